//! What is reported of scaling and of workers: each row of the conditions, and the Events.

use jiff::SignedDuration;
use serde_json::{Value, json};

use super::*;
use crate::{
    api::{RecommenderModel, ScalingDecision},
    observe::{AutoscalerState, Blocked, ChildState, PodState, Watched},
    training::{Outcome, Truth},
};

/// Name of the servers' Deployment.
const SERVING: &str = "packages-serving";
/// Name of the worker's Deployment.
const WORKER: &str = "packages-worker-events";

fn latency() -> Value {
    json!({"minReplicas": 2, "maxReplicas": 9, "latency": {"quantile": "P95", "targetMilliseconds": 75}})
}

fn lag() -> Value {
    json!({"minReplicas": 1, "maxReplicas": 9, "lag": {"dependency": "events"}})
}

fn cpu() -> Value {
    json!({"minReplicas": 2, "maxReplicas": 9})
}

impl Case {
    /// An object with servers and one worker. `serving` and `worker`: the autoscaling of each; without one it has two replicas.
    fn scaled(serving: Option<Value>, worker: Option<Value>) -> Self {
        let with = |mut workload: Value, autoscaling: Option<Value>| {
            match autoscaling {
                Some(autoscaling) => workload["autoscaling"] = autoscaling,
                None => workload["replicas"] = json!(2),
            }
            workload
        };
        let resources = json!({"requests": {"cpu": "1"}});
        let object = json!({
            "apiVersion": "recommender.dev/v1alpha1", "kind": "RecommenderModel",
            "metadata": {"name": "packages", "namespace": "shop", "uid": "uid", "generation": 3},
            "spec": {
                "artifacts": {"persistentVolumeClaim": {"claimName": "models"}},
                "training": {"image": "t", "full": {}},
                "monitoring": {"metrics": {"profile": "FastApiInstrumentator"}},
                "dependencies": [{"name": "events", "rq": {"queues": ["q"]}}],
                "serving": with(json!({"image": "s", "resources": resources}), serving),
                "workers": [with(json!({"name": "events", "resources": resources}), worker)],
            },
        });
        let object: RecommenderModel = serde_json::from_value(object).expect("an object");
        let children = Children::default()
            .with(Watched::Child(Kind::Deployment), SERVING, ChildState::Deployment(deployment(2, 2)), None)
            .with(Watched::Child(Kind::Deployment), WORKER, ChildState::Deployment(deployment(2, 2)), None);
        let model = Model::new(&object, NOW).expect("a valid object");
        Self { model, ..Self::new(RecommenderModelStatus::default(), trained(), children) }
    }

    fn reported(mut self, workload: &str, reason: &str, message: &str) -> Self {
        self.scaling.decided.insert(workload.into(), status(4, reason, message));
        self
    }

    fn with_failed(mut self, kind: Kind, name: &str) -> Self {
        let (reason, message) = (reasons::APPLY_FAILED, format!("{} {name}: forbidden", kind.as_str()));
        self.problems.push(ChildProblem { kind, name: name.into(), reason, message, permanent: false });
        self
    }

    fn with_external(mut self, deployment: &str, owner: Option<&str>) -> Self {
        let external = ExternalAutoscaler { name: "theirs".into(), owner: owner.map(Into::into) };
        self.scaling.external.insert(deployment.into(), external);
        self
    }

    fn with_autoscaler(mut self, name: &str, active: Option<(bool, &str)>, minutes: i64) -> Self {
        let created_at = NOW - SignedDuration::from_mins(minutes);
        let active = active.map(|(active, message)| (active, message.to_owned()));
        let state = ChildState::Autoscaler(AutoscalerState { created_at, target: None, active });
        self.children = self.children.with(Watched::Child(Kind::HorizontalPodAutoscaler), name, state, None);
        self
    }

    fn with_worker(mut self, state: ChildState) -> Self {
        self.children = self.children.with(Watched::Child(Kind::Deployment), WORKER, state, None);
        self
    }

    /// Status, reason and message of a condition.
    fn condition(&self, type_: &str) -> (String, String, String) {
        let conditions = self.compute().conditions;
        let condition = conditions.into_iter().find(|condition| condition.type_ == type_).expect(type_);
        (condition.status, condition.reason, condition.message)
    }

    #[track_caller]
    fn is(&self, type_: &str, status: &str, reason: &str, message: &str) {
        assert_eq!(self.condition(type_), (status.into(), reason.into(), message.into()));
    }

    #[track_caller]
    fn scales(&self, status: &str, reason: &str, message: &str) {
        self.is(types::SCALING_ACTIVE, status, reason, message);
    }
}

fn trained() -> Decision {
    Decision {
        start: None,
        replace: Vec::new(),
        remove: Vec::new(),
        status: Default::default(),
        versions: Vec::new(),
        condition: Outcome { status: Truth::True, reason: reasons::TRAINED, message: "trained".into() },
        wake_at: None,
    }
}

fn deployment(ready: i32, desired: i32) -> DeploymentState {
    let of_version = super::deployment("", ready, desired);
    DeploymentState { version: None, observed_generation: 1, applied_generation: 1, ..of_version }
}

fn status(replicas: i32, reason: &str, message: &str) -> ScalingStatus {
    ScalingStatus { replicas, reason: reason.into(), message: message.into(), decisions: Vec::new(), learned: None }
}

#[test]
fn without_autoscaling_scaling_is_not_requested() {
    Case::scaled(None, None).scales("False", reasons::NOT_REQUESTED, "the number of replicas is fixed");
}

#[test]
fn the_signals_that_replicas_follow_are_named() {
    let load = |case: Case, workload| case.reported(workload, "Load", "kept");
    load(Case::scaled(Some(latency()), None), "serving").scales(
        "True",
        "AsSpecified",
        "the replicas follow the latency",
    );
    load(Case::scaled(None, Some(lag())), "events").scales("True", "AsSpecified", "the replicas follow the lag");
    let mut both = latency();
    (both["lag"], both["cpu"]) = (json!({"dependency": "events"}), json!({}));
    let all = "the replicas follow the latency and the lag and the CPU use";
    load(Case::scaled(Some(both), None), "serving").scales("True", "AsSpecified", all);
    let mut advisory = latency();
    advisory["advisory"] = json!(true);
    let reported = "advisory: decisions on replicas are reported and not applied";
    load(Case::scaled(Some(advisory), None), "serving").scales("True", reasons::ADVISORY, reported);
}

#[test]
fn before_the_first_decision_scaling_is_pending() {
    let pending = "nothing is decided yet, because the first signals are awaited";
    Case::scaled(Some(latency()), None).scales("Unknown", reasons::PENDING, pending);
}

#[test]
fn missing_metrics_are_reported_with_the_message_of_the_decision() {
    let message = "kept at 4 replicas because the lag is missing";
    let case = Case::scaled(None, Some(lag())).reported("events", reasons::METRICS_MISSING, message);
    case.scales("False", reasons::METRICS_MISSING, message);
    let (status, ..) = case.condition(types::STALLED);
    assert_eq!(status, "False", "nothing of the object has to be changed");
}

#[test]
fn a_limiting_reason_is_reported_while_scaling_is_active() {
    for reason in reasons::LIMITING_REASONS {
        let case = Case::scaled(Some(latency()), None).reported("serving", reason, "because");
        case.scales("True", reason, "because");
    }
}

#[test]
fn a_problem_of_the_autoscaler_takes_precedence() {
    let case = Case::scaled(Some(latency()), None).reported("serving", reasons::METRICS_MISSING, "missing");
    let case = case.with_external(SERVING, None).with_failed(Kind::HorizontalPodAutoscaler, SERVING);
    case.scales("False", reasons::APPLY_FAILED, "HorizontalPodAutoscaler packages-serving: forbidden");
    // A problem of the autoscaler of a workload without autoscaling does not count. A single workload is not named.
    let other = Case::scaled(Some(latency()), None).reported("serving", "Load", "kept");
    let other = other.with_failed(Kind::HorizontalPodAutoscaler, WORKER);
    other.scales("True", "AsSpecified", "the replicas follow the latency");
}

#[test]
fn an_external_autoscaler_is_named_with_its_owner_and_what_to_do() {
    let case = || Case::scaled(Some(latency()), None).reported("serving", reasons::METRICS_MISSING, "missing");
    case().with_external(SERVING, Some("ScaledObject shop-scaler")).scales(
        "False",
        reasons::SCALING_CONFLICT,
        "HorizontalPodAutoscaler theirs (of ScaledObject shop-scaler) also scales Deployment packages-serving, so this \
         object's is deleted until that one is gone: delete that one, or remove autoscaling here",
    );
    let (.., message) = case().with_external(SERVING, None).condition(types::SCALING_ACTIVE);
    assert!(message.starts_with("HorizontalPodAutoscaler theirs also scales Deployment packages-serving"), "{message}");
}

#[test]
fn scaling_on_cpu_is_as_the_autoscaler_reports() {
    let case = || Case::scaled(Some(cpu()), None);
    let wait = "the autoscaler has no metrics of the pods yet";
    case().scales("Unknown", reasons::PENDING, wait);
    case().with_autoscaler(SERVING, None, 60).scales("Unknown", reasons::PENDING, wait);
    case().with_autoscaler(SERVING, Some((false, "no metrics")), 2).scales("Unknown", reasons::PENDING, wait);
    case().with_autoscaler(SERVING, Some((false, "no metrics")), 4).scales("False", reasons::NO_METRICS, "no metrics");
    case().with_autoscaler(SERVING, Some((true, "")), 4).scales(
        "True",
        "AsSpecified",
        "the replicas follow the CPU use",
    );
}

/// Of two workloads the worse one is reported, with its name.
#[test]
fn the_worst_workload_is_reported_by_name() {
    let case = || Case::scaled(Some(latency()), Some(lag()));
    let good = |case: Case, workload| case.reported(workload, "Load", "kept");
    good(good(case(), "serving"), "events").scales("True", "AsSpecified", "serving: the replicas follow the latency");
    good(case(), "serving").scales(
        "Unknown",
        reasons::PENDING,
        "events: nothing is decided yet, because the first signals are awaited",
    );
    let limited =
        good(case(), "serving").reported("events", reasons::PARTITIONS, "there are only 3 partitions to share");
    limited.scales("True", reasons::PARTITIONS, "events: there are only 3 partitions to share");
    let missing = case().reported("serving", reasons::MAX_REPLICAS, "the maximum");
    let missing = missing.reported("events", reasons::METRICS_MISSING, "the lag is missing");
    missing.scales("False", reasons::METRICS_MISSING, "events: the lag is missing");
}

#[test]
fn workers_are_ready_when_their_pods_are() {
    let ready = |case: Case, status, reason, message| case.is(types::WORKERS_READY, status, reason, message);
    let case = || Case::scaled(None, None);
    ready(case(), "True", reasons::AS_SPECIFIED, "the workers' pods are ready");
    let missing = "worker events: 1 of at least 2 pods are ready";
    let one = ChildState::Deployment(deployment(1, 2));
    ready(case().with_worker(one.clone()), "False", reasons::ROLLING_OUT, missing);
    let mut once_ready = case();
    once_ready.prior = once_ready.compute();
    ready(once_ready.with_worker(one), "False", reasons::REPLICAS_MISSING, missing);
    let half = DeploymentState { total: 3, updated: 1, ..deployment(2, 2) };
    let rolling = "worker events is being rolled out";
    ready(case().with_worker(ChildState::Deployment(half)), "False", reasons::ROLLING_OUT, rolling);
    ready(case().with_worker(ChildState::Nothing), "False", reasons::ROLLING_OUT, rolling);
    let stuck = DeploymentState { stuck: Some("deadline".into()), ..deployment(1, 2) };
    let reported = "worker events does not get ready: deadline";
    ready(case().with_worker(ChildState::Deployment(stuck)), "False", reasons::ROLLOUT_STUCK, reported);
    let refused = "Deployment packages-worker-events: forbidden";
    ready(case().with_failed(Kind::Deployment, WORKER), "False", reasons::APPLY_FAILED, refused);
    let mut none = case();
    none.model.workers.clear();
    ready(none, "False", reasons::NOT_REQUESTED, "spec.workers is empty");
}

#[test]
fn every_worker_that_is_not_ready_is_named_and_the_worst_gives_the_reason() {
    let mut case = Case::scaled(None, None).with_worker(ChildState::Deployment(deployment(1, 2)));
    for name in ["mails", "clicks"] {
        let mut worker = case.model.workers[0].clone();
        worker.name = name.into();
        case.model.workers.push(worker);
    }
    let stuck = DeploymentState { stuck: Some("\"late\"".into()), ..deployment(0, 2) };
    let child = Watched::Child(Kind::Deployment);
    case.children = case.children.with(child, "packages-worker-clicks", ChildState::Deployment(stuck), None);
    let (status, reason, message) = case.condition(types::WORKERS_READY);
    assert_eq!((status.as_str(), reason.as_str()), ("False", reasons::ROLLOUT_STUCK));
    let names = "not ready: workers clicks (no pod is ready), events, mails (no pod is ready)";
    assert!(message.starts_with(&format!("{names}; worker clicks does not get ready: \"late\"; worker")), "{message}");
    assert!(
        message.contains("worker events: 1 of at least 2") && message.contains("worker mails is being"),
        "{message}"
    );
}

/// A worker that scaled down to zero, as its minimum allows, is ready. So is one that scales up from its minimum.
#[test]
fn workers_without_replicas_are_ready_when_none_are_desired() {
    let mut to_zero = lag();
    to_zero["minReplicas"] = json!(0);
    let case = || Case::scaled(None, Some(to_zero.clone())).reported("events", "Idle", "there is nothing to do");
    let with = |ready, desired| case().with_worker(ChildState::Deployment(deployment(ready, desired)));
    with(0, 0).is(types::WORKERS_READY, "True", reasons::AS_SPECIFIED, "the workers' pods are ready");
    with(1, 6).is(types::WORKERS_READY, "True", reasons::AS_SPECIFIED, "the workers' pods are ready");
}

#[test]
fn the_reason_why_the_pod_of_a_worker_does_not_start_is_reported() {
    let pod = PodState {
        job: None,
        component: "worker-events".into(),
        version: String::new(),
        created_at: NOW,
        ready_since: None,
        started_after: None,
        blocked: Some(Blocked { why: "image s cannot be pulled".into(), counts_from: NOW }),
        end: None,
        ..PodState::default()
    };
    let mut case = Case::scaled(None, None).with_worker(ChildState::Deployment(deployment(0, 2)));
    case.children = case.children.with(Watched::Pod, "p", ChildState::Nothing, Some(pod));
    let reported = "worker events: 0 of at least 2 pods are ready: image s cannot be pulled";
    case.is(types::WORKERS_READY, "False", reasons::REPLICAS_MISSING, reported);
}

#[test]
fn a_decision_is_in_the_status_of_its_workload() {
    let case = Case::scaled(Some(latency()), Some(lag()))
        .reported("serving", "Load", "kept")
        .reported("events", "Idle", "idle");
    let status = case.compute();
    let serving = status.serving.and_then(|serving| serving.scaling).expect("it was decided");
    let events = status.workers[0].scaling.clone().expect("it was decided");
    assert_eq!((serving.reason.as_str(), events.reason.as_str()), ("Load", "Idle"));
    assert_eq!((status.workers[0].replicas, status.workers[0].desired_replicas), (2, 2));
}

/// A status of servers and a worker with these decisions: reason, and times of decisions, newest first.
fn history(serving: (&str, &[i64]), events: (&str, &[i64])) -> RecommenderModelStatus {
    let with = |mut case: Case, workload: &str, (reason, times): (&str, &[i64])| {
        let decision = |seconds: &i64| ScalingDecision {
            time: Time(NOW + SignedDuration::from_secs(*seconds)),
            from: 2,
            to: 4,
            reason: "Load".into(),
            message: format!("up from 2 to 4 at {seconds}"),
        };
        let mut reported = status(4, reason, &format!("because of {reason}"));
        reported.decisions = times.iter().map(decision).collect();
        case.scaling.decided.insert(workload.into(), reported);
        case
    };
    with(with(Case::scaled(Some(latency()), Some(lag())), "serving", serving), "events", events).compute()
}

fn reported(prior: &RecommenderModelStatus, next: &RecommenderModelStatus) -> Vec<String> {
    let reported = events(prior, next).into_iter();
    reported
        .map(|event| format!("{}{}: {}", if event.warning { "!" } else { "" }, event.reason, event.message))
        .collect()
}

#[test]
fn each_decision_is_an_event_once_and_names_its_workload() {
    let before = history(("Load", &[0]), ("Load", &[]));
    assert_eq!(reported(&before, &before), [] as [&str; 0]);
    let after = history(("Load", &[60, 0]), ("Load", &[60]));
    let scaled = ["Scaled: serving: up from 2 to 4 at 60", "Scaled: events: up from 2 to 4 at 60"];
    assert_eq!(reported(&before, &after), scaled);
    assert_eq!(reported(&after, &after), [] as [&str; 0]);
    let reworded = history(("Burst", &[60, 0]), ("Idle", &[60]));
    assert_eq!(reported(&after, &reworded), [] as [&str; 0], "another reason for the same number is no event");
}

#[test]
fn a_limiting_reason_is_an_event_once_as_it_begins() {
    let fine = history(("Load", &[0]), ("Load", &[0]));
    let full = history(("MaxReplicas", &[0]), ("Load", &[0]));
    assert_eq!(reported(&fine, &full), ["!MaxReplicas: serving: because of MaxReplicas"]);
    assert_eq!(reported(&full, &full), [] as [&str; 0]);
    assert_eq!(reported(&full, &fine), [] as [&str; 0]);
    let other = history(("TargetImpossible", &[0]), ("Load", &[0]));
    assert_eq!(reported(&full, &other), ["!TargetImpossible: serving: because of TargetImpossible"]);
}

#[test]
fn missing_metrics_are_an_event_once_also_when_both_workloads_miss_them() {
    let fine = history(("Load", &[0]), ("Load", &[0]));
    let one = history(("Load", &[0]), ("MetricsMissing", &[0]));
    let both = history(("MetricsMissing", &[0]), ("MetricsMissing", &[0]));
    assert_eq!(reported(&fine, &one), ["!MetricsMissing: events: because of MetricsMissing"]);
    assert_eq!(reported(&one, &both), [] as [&str; 0], "the condition was False for this reason before");
    assert_eq!(reported(&both, &fine), [] as [&str; 0]);
}

#[test]
fn a_worker_whose_rollout_is_stuck_waits_for_a_person() {
    // Observed on a real cluster: an image could not be pulled, while kstatus, Flux and helm --wait reported success.
    let stuck = DeploymentState { stuck: Some("image w cannot be pulled".into()), ..deployment(0, 1) };
    let case = Case::scaled(None, None).with_worker(ChildState::Deployment(stuck));
    let message = "worker events does not get ready: image w cannot be pulled";
    case.is(types::STALLED, "True", reasons::ROLLOUT_STUCK, message);
    case.is(types::RECONCILING, "False", reasons::ROLLOUT_STUCK, "waits for a person, see Stalled");
}
