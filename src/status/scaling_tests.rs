//! What is told of scaling and of workers: each row of the verdicts, and the events.

use jiff::SignedDuration;
use serde_json::{Value, json};

use super::*;
use crate::{
    api::{RecommenderModel, ScalingDecision},
    observe::{AutoscalerFacts, Blocked, Facts, PodFacts, Watched},
    training::{Outcome, Truth},
};

const NOW: Timestamp = Timestamp::constant(1_800_000_000, 0);
const SERVING: &str = "packages-serving";
const WORKER: &str = "packages-worker-events";

/// An object with these servers and workers.
struct Case {
    model: Model,
    prior: RecommenderModelStatus,
    family: Family,
    problems: Vec<Problem>,
    scaling: Scaling,
}

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
    /// `serving` and `worker`: the autoscaling of each; without one it has two replicas.
    fn new(serving: Option<Value>, worker: Option<Value>) -> Self {
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
        let family = Family::default()
            .with(Watched::Child(Kind::Deployment), SERVING, Facts::Deployment(deployment(2, 2)), None)
            .with(Watched::Child(Kind::Deployment), WORKER, Facts::Deployment(deployment(2, 2)), None);
        let prior = RecommenderModelStatus::default();
        let model = Model::new(&object, NOW).expect("a valid object");
        Self { model, prior, family, problems: Vec::new(), scaling: Scaling::default() }
    }

    fn told(mut self, workload: &str, reason: &str, message: &str) -> Self {
        self.scaling.decided.insert(workload.into(), status(4, reason, message));
        self
    }

    fn with_problem(mut self, kind: Kind, name: &str) -> Self {
        let (reason, message) = (reasons::APPLY_FAILED, format!("{} {name}: forbidden", kind.as_str()));
        self.problems.push(Problem { kind, name: name.into(), reason, message, permanent: false });
        self
    }

    fn contested(mut self, deployment: &str, owner: Option<&str>) -> Self {
        let foreign = ForeignAutoscaler { name: "theirs".into(), owner: owner.map(Into::into) };
        self.scaling.foreign.insert(deployment.into(), foreign);
        self
    }

    fn with_autoscaler(mut self, name: &str, active: Option<(bool, &str)>, minutes: i64) -> Self {
        let created_at = NOW - SignedDuration::from_mins(minutes);
        let active = active.map(|(active, message)| (active, message.to_owned()));
        let facts = Facts::Autoscaler(AutoscalerFacts { created_at, target: None, active });
        self.family = self.family.with(Watched::Child(Kind::HorizontalPodAutoscaler), name, facts, None);
        self
    }

    fn with_worker(mut self, facts: Facts) -> Self {
        self.family = self.family.with(Watched::Child(Kind::Deployment), WORKER, facts, None);
        self
    }

    fn compute(&self) -> RecommenderModelStatus {
        compute(&Inputs {
            model: &self.model,
            prior: &self.prior,
            training: &trained(),
            family: &self.family,
            problems: &self.problems,
            scaling: &self.scaling,
            now: NOW,
        })
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

fn deployment(ready: i32, desired: i32) -> DeploymentFacts {
    DeploymentFacts {
        version: None,
        observed: true,
        observed_generation: 1,
        applied_generation: 1,
        desired,
        total: desired,
        updated: desired,
        ready,
        stuck: None,
    }
}

fn status(replicas: i32, reason: &str, message: &str) -> ScalingStatus {
    ScalingStatus { replicas, reason: reason.into(), message: message.into(), decisions: Vec::new(), learned: None }
}

#[test]
fn fixed_replicas_are_no_scaling() {
    Case::new(None, None).scales("False", reasons::NOT_REQUESTED, "the number of replicas is fixed");
}

#[test]
fn what_is_followed_is_named() {
    let load = |case: Case, workload| case.told(workload, "Load", "kept");
    load(Case::new(Some(latency()), None), "serving").scales("True", "AsSpecified", "the replicas follow the latency");
    load(Case::new(None, Some(lag())), "events").scales("True", "AsSpecified", "the replicas follow the lag");
    let mut both = latency();
    (both["lag"], both["cpu"]) = (json!({"dependency": "events"}), json!({}));
    let all = "the replicas follow the latency and the lag and the CPU use";
    load(Case::new(Some(both), None), "serving").scales("True", "AsSpecified", all);
    let mut advisory = latency();
    advisory["advisory"] = json!(true);
    let told = "decisions on replicas are told and not acted on, as asked for";
    load(Case::new(Some(advisory), None), "serving").scales("True", reasons::ADVISORY, told);
}

#[test]
fn before_the_first_decision_scaling_is_pending() {
    let pending = "nothing is decided yet, because the first signals are awaited";
    Case::new(Some(latency()), None).scales("Unknown", reasons::PENDING, pending);
}

#[test]
fn missing_metrics_are_told_in_the_decisions_own_words() {
    let message = "kept at 4 replicas because the lag is missing";
    let case = Case::new(None, Some(lag())).told("events", reasons::METRICS_MISSING, message);
    case.scales("False", reasons::METRICS_MISSING, message);
    let (status, ..) = case.condition(types::STALLED);
    assert_eq!(status, "False", "nothing of the object has to be changed");
}

#[test]
fn a_promise_that_cannot_be_kept_is_told_while_scaling_works() {
    for reason in reasons::SCALING_TROUBLES {
        let case = Case::new(Some(latency()), None).told("serving", reason, "because");
        case.scales("True", reason, "because");
    }
}

#[test]
fn an_autoscaler_that_is_not_as_wanted_comes_first() {
    let case = Case::new(Some(latency()), None).told("serving", reasons::METRICS_MISSING, "missing");
    let case = case.contested(SERVING, None).with_problem(Kind::HorizontalPodAutoscaler, SERVING);
    case.scales("False", reasons::APPLY_FAILED, "HorizontalPodAutoscaler packages-serving: forbidden");
    // One of a worker is told with the worker's name only when there are several.
    let other = Case::new(Some(latency()), None).told("serving", "Load", "kept");
    let other = other.with_problem(Kind::HorizontalPodAutoscaler, WORKER);
    other.scales("True", "AsSpecified", "the replicas follow the latency");
}

#[test]
fn somebody_elses_autoscaler_is_named_with_what_made_it_and_what_to_do() {
    let case = || Case::new(Some(latency()), None).told("serving", reasons::METRICS_MISSING, "missing");
    case().contested(SERVING, Some("ScaledObject shop-scaler")).scales(
        "False",
        reasons::SCALING_CONFLICT,
        "HorizontalPodAutoscaler theirs (of ScaledObject shop-scaler) moves Deployment packages-serving too, so this one's \
         is taken away meanwhile: delete that one, or remove autoscaling here",
    );
    let (.., message) = case().contested(SERVING, None).condition(types::SCALING_ACTIVE);
    assert!(message.starts_with("HorizontalPodAutoscaler theirs moves Deployment packages-serving too"), "{message}");
}

#[test]
fn on_the_cpu_it_is_what_the_autoscaler_says() {
    let case = || Case::new(Some(cpu()), None);
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

/// Of two workloads the worse one is told, with its name.
#[test]
fn the_worst_workload_is_told_by_name() {
    let case = || Case::new(Some(latency()), Some(lag()));
    let good = |case: Case, workload| case.told(workload, "Load", "kept");
    good(good(case(), "serving"), "events").scales("True", "AsSpecified", "serving: the replicas follow the latency");
    good(case(), "serving").scales(
        "Unknown",
        reasons::PENDING,
        "events: nothing is decided yet, because the first signals are awaited",
    );
    let limited = good(case(), "serving").told("events", reasons::PARTITIONS, "there are only 3 partitions to share");
    limited.scales("True", reasons::PARTITIONS, "events: there are only 3 partitions to share");
    let missing = case().told("serving", reasons::MAX_REPLICAS, "the maximum");
    let missing = missing.told("events", reasons::METRICS_MISSING, "the lag is missing");
    missing.scales("False", reasons::METRICS_MISSING, "events: the lag is missing");
}

#[test]
fn workers_are_ready_when_their_pods_are() {
    let ready = |case: Case, status, reason, message| case.is(types::WORKERS_READY, status, reason, message);
    let case = || Case::new(None, None);
    ready(case(), "True", reasons::AS_SPECIFIED, "the workers' pods are ready");
    let missing = "worker events: 1 of at least 2 pods are ready";
    let one = Facts::Deployment(deployment(1, 2));
    ready(case().with_worker(one.clone()), "False", reasons::ROLLING_OUT, missing);
    let mut once_ready = case();
    once_ready.prior = once_ready.compute();
    ready(once_ready.with_worker(one), "False", reasons::REPLICAS_MISSING, missing);
    let half = DeploymentFacts { total: 3, updated: 1, ..deployment(2, 2) };
    let rolling = "worker events is being rolled out";
    ready(case().with_worker(Facts::Deployment(half)), "False", reasons::ROLLING_OUT, rolling);
    ready(case().with_worker(Facts::Nothing), "False", reasons::ROLLING_OUT, rolling);
    let stuck = DeploymentFacts { stuck: Some("deadline".into()), ..deployment(1, 2) };
    let told = "worker events does not get ready: deadline";
    ready(case().with_worker(Facts::Deployment(stuck)), "False", reasons::ROLLOUT_STUCK, told);
    let refused = "Deployment packages-worker-events: forbidden";
    ready(case().with_problem(Kind::Deployment, WORKER), "False", reasons::APPLY_FAILED, refused);
    let mut none = case();
    none.model.workers.clear();
    ready(none, "False", reasons::NOT_REQUESTED, "spec.workers is empty");
}

/// A worker that scaled down to nothing, as it may, is ready; one that gets more pods than the fewest is, too.
#[test]
fn workers_without_replicas_are_ready_when_none_are_wanted() {
    let mut to_zero = lag();
    to_zero["minReplicas"] = json!(0);
    let case = || Case::new(None, Some(to_zero.clone())).told("events", "Idle", "there is nothing to do");
    let with = |ready, desired| case().with_worker(Facts::Deployment(deployment(ready, desired)));
    with(0, 0).is(types::WORKERS_READY, "True", reasons::AS_SPECIFIED, "the workers' pods are ready");
    with(1, 6).is(types::WORKERS_READY, "True", reasons::AS_SPECIFIED, "the workers' pods are ready");
}

#[test]
fn what_keeps_a_workers_pod_from_starting_is_told() {
    let pod = PodFacts {
        job: None,
        component: "worker-events".into(),
        version: String::new(),
        created_at: NOW,
        ready_since: None,
        started_after: None,
        blocked: Some(Blocked { why: "image s cannot be pulled".into(), counts_from: NOW }),
        end: None,
        ..PodFacts::default()
    };
    let mut case = Case::new(None, None).with_worker(Facts::Deployment(deployment(0, 2)));
    case.family = case.family.with(Watched::Pod, "p", Facts::Nothing, Some(pod));
    let told = "worker events: 0 of at least 2 pods are ready: image s cannot be pulled";
    case.is(types::WORKERS_READY, "False", reasons::REPLICAS_MISSING, told);
}

#[test]
fn what_was_decided_stands_in_the_status_of_its_workload() {
    let case = Case::new(Some(latency()), Some(lag())).told("serving", "Load", "kept").told("events", "Idle", "idle");
    let status = case.compute();
    let serving = status.serving.and_then(|serving| serving.scaling).expect("told");
    let events = status.workers[0].scaling.clone().expect("told");
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
        let mut told = status(4, reason, &format!("because of {reason}"));
        told.decisions = times.iter().map(decision).collect();
        case.scaling.decided.insert(workload.into(), told);
        case
    };
    with(with(Case::new(Some(latency()), Some(lag())), "serving", serving), "events", events).compute()
}

fn told(prior: &RecommenderModelStatus, next: &RecommenderModelStatus) -> Vec<String> {
    let told = notes(prior, next).into_iter();
    told.map(|note| format!("{}{}: {}", if note.warning { "!" } else { "" }, note.reason, note.message)).collect()
}

#[test]
fn each_decision_is_an_event_once_and_names_its_workload() {
    let before = history(("Load", &[0]), ("Load", &[]));
    assert_eq!(told(&before, &before), [] as [&str; 0]);
    let after = history(("Load", &[60, 0]), ("Load", &[60]));
    let scaled = ["Scaled: serving: up from 2 to 4 at 60", "Scaled: events: up from 2 to 4 at 60"];
    assert_eq!(told(&before, &after), scaled);
    assert_eq!(told(&after, &after), [] as [&str; 0]);
    let reworded = history(("Burst", &[60, 0]), ("Idle", &[60]));
    assert_eq!(told(&after, &reworded), [] as [&str; 0], "another reason for the same number is no event");
}

#[test]
fn a_trouble_is_an_event_once_as_it_begins() {
    let fine = history(("Load", &[0]), ("Load", &[0]));
    let full = history(("MaxReplicas", &[0]), ("Load", &[0]));
    assert_eq!(told(&fine, &full), ["!MaxReplicas: serving: because of MaxReplicas"]);
    assert_eq!(told(&full, &full), [] as [&str; 0]);
    assert_eq!(told(&full, &fine), [] as [&str; 0]);
    let other = history(("TargetImpossible", &[0]), ("Load", &[0]));
    assert_eq!(told(&full, &other), ["!TargetImpossible: serving: because of TargetImpossible"]);
}

#[test]
fn missing_metrics_are_an_event_once_also_when_both_workloads_miss_them() {
    let fine = history(("Load", &[0]), ("Load", &[0]));
    let one = history(("Load", &[0]), ("MetricsMissing", &[0]));
    let both = history(("MetricsMissing", &[0]), ("MetricsMissing", &[0]));
    assert_eq!(told(&fine, &one), ["!MetricsMissing: events: because of MetricsMissing"]);
    assert_eq!(told(&one, &both), [] as [&str; 0], "the condition was False for this reason and is");
    assert_eq!(told(&both, &fine), [] as [&str; 0]);
}

#[test]
fn a_worker_that_does_not_get_ready_waits_for_a_person() {
    // Seen on a real cluster: an image that cannot be pulled, while kstatus, Flux and helm --wait called it done.
    let stuck = DeploymentFacts { stuck: Some("image w cannot be pulled".into()), ..deployment(0, 1) };
    let case = Case::new(None, None).with_worker(Facts::Deployment(stuck));
    let message = "worker events does not get ready: image w cannot be pulled";
    case.is(types::STALLED, "True", reasons::ROLLOUT_STUCK, message);
    case.is(types::RECONCILING, "False", reasons::ROLLOUT_STUCK, "waits for a person, see Stalled");
}
