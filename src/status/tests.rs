use serde_json::json;

use super::*;
use crate::{
    api::{
        ActiveRun, FinishedRun, PartialTrainingStatus, RecommenderModel, TrainingKind, TrainingStatus, Trigger,
        Version, VersionState,
    },
    budgets::Budget,
    kinds::Kind,
    observe::{Blocked, ChildState, PodState, Watched},
    promotion,
    training::{Decision, Outcome, Truth},
};

/// What a reconcile decides on the served version.
pub(super) fn rollout(
    training: &Decision,
    prior: &RecommenderModelStatus,
    model: &Model,
    children: &Children,
) -> Rollout {
    let store = model.artifacts.root_uri();
    let servers = promotion::Servers::new(model, prior, children, &Default::default(), NOW);
    let versions = (store.as_str(), training.versions.as_slice());
    Rollout::decide(&promotion::Inputs::new(
        model,
        versions,
        prior,
        &servers,
        promotion::Tried::NONE,
        &Default::default(),
        NOW,
    ))
}

/// The time of every reconcile.
pub(super) const NOW: Timestamp = Timestamp::constant(1_800_000_000, 0);

fn model(serving: serde_json::Value) -> Model {
    let mut object = json!({
        "apiVersion": "recommender.dev/v1alpha1", "kind": "RecommenderModel",
        "metadata": {"name": "packages", "namespace": "shop", "uid": "uid", "generation": 3},
        "spec": {
            "artifacts": {"persistentVolumeClaim": {"claimName": "models"}},
            "training": {"image": "t", "full": {}},
            "serving": {"image": "s"},
        },
    });
    for (field, value) in serving.as_object().expect("an object") {
        object["spec"]["serving"][field] = value.clone();
    }
    let object: RecommenderModel = serde_json::from_value(object).expect("a valid object");
    Model::new(&object, NOW).expect("a valid model")
}

fn version(id: &str) -> Version {
    Version {
        id: id.into(),
        kind: TrainingKind::Full,
        job: format!("packages-{id}"),
        uri: "file:///artifacts/m".into(),
        digest: "sha256:0".into(),
        bytes: 1,
        metrics: Default::default(),
        samples: None,
        standard_errors: BTreeMap::new(),
        gates: Vec::new(),
        canary: None,
        data_through: None,
        base: None,
        due_at: Time(NOW),
        state: VersionState::Candidate,
        started_at: None,
        trained_at: Time(NOW),
        served_at: None,
    }
}

pub(super) fn training(status: Truth, reason: &'static str, versions: &[&str]) -> Decision {
    Decision {
        start: None,
        replace: Vec::new(),
        remove: Vec::new(),
        status: TrainingStatus::default(),
        versions: versions.iter().map(|id| version(id)).collect(),
        condition: Outcome { status, reason, message: format!("training: {reason}") },
        wake_at: None,
    }
}

pub(super) fn deployment(version: &str, ready: i32, desired: i32) -> DeploymentState {
    DeploymentState {
        version: Some(version.into()),
        observed: true,
        observed_generation: 2,
        applied_generation: 2,
        desired,
        is_ordered: false,
        total: desired,
        updated: desired,
        ready,
        stuck: None,
        ..DeploymentState::default()
    }
}

pub(super) fn children(state: DeploymentState) -> Children {
    Children::default().with(Watched::Child(Kind::Deployment), "packages-serving", ChildState::Deployment(state), None)
}

pub(super) fn serving(version: &str) -> RecommenderModelStatus {
    let serving = ServingStatus { version: Some(version.into()), ..ServingStatus::default() };
    RecommenderModelStatus { serving: Some(serving), ..RecommenderModelStatus::default() }
}

pub(super) struct Case {
    pub(super) model: Model,
    pub(super) prior: RecommenderModelStatus,
    pub(super) training: Decision,
    pub(super) children: Children,
    pub(super) problems: Vec<ChildProblem>,
    pub(super) scaling: Scaling,
    pub(super) health: health::Observed,
    pub(super) budgets: budgets::Observed,
    pub(super) feedback: Option<ConditionValue>,
    pub(super) route: Option<Routed>,
    pub(super) pruning: Option<PruningStatus>,
}

impl Case {
    pub(super) fn new(prior: RecommenderModelStatus, training: Decision, children: Children) -> Self {
        Self {
            model: model(json!({"replicas": 2})),
            prior,
            training,
            children,
            problems: Vec::new(),
            scaling: Scaling::default(),
            health: health::Observed::default(),
            budgets: budgets::Observed::default(),
            feedback: None,
            route: None,
            pruning: None,
        }
    }

    pub(super) fn with_problem(mut self, kind: Kind, reason: &'static str, permanent: bool) -> Self {
        let name = "packages-serving".into();
        self.problems.push(ChildProblem {
            kind,
            name,
            reason,
            message: format!("{}: {reason}", kind.as_str()),
            permanent,
        });
        self
    }

    pub(super) fn compute(&self) -> RecommenderModelStatus {
        compute(&Inputs {
            reload: None,
            model: &self.model,
            prior: &self.prior,
            training: &self.training,
            rollout: &rollout(&self.training, &self.prior, &self.model, &self.children),
            pruning: self.pruning.as_ref(),
            children: &self.children,
            problems: &self.problems,
            scaling: &self.scaling,
            health: &self.health,
            budgets: &self.budgets,
            canary: None,
            route: self.route.as_ref(),
            feedback: self.feedback.as_ref(),
            now: NOW,
        })
    }

    /// Ready, Reconciling, Stalled, ServingReady: status and reason.
    fn summary(&self) -> [String; 4] {
        let status = self.compute();
        [types::READY, types::RECONCILING, types::STALLED, types::SERVING_READY].map(|type_| {
            let condition = status.conditions.iter().find(|condition| condition.type_ == type_).expect(type_);
            format!("{} {}", condition.status, condition.reason)
        })
    }
}

#[test]
fn while_the_first_model_trains_the_object_is_in_progress() {
    let case = Case::new(Default::default(), training(Truth::Unknown, reasons::TRAINING, &[]), Children::default());
    assert_eq!(case.summary(), ["False Training", "True Training", "False AsSpecified", "False NoVersion"]);
}

#[test]
fn a_first_training_that_failed_waits_for_a_person() {
    let failed = training(Truth::False, reasons::TRAINING_FAILED, &[]);
    let case = Case::new(Default::default(), failed, Children::default());
    assert_eq!(
        case.summary(),
        ["False TrainingFailed", "False TrainingFailed", "True TrainingFailed", "False NoVersion"]
    );
}

#[test]
fn a_version_serves_when_all_its_pods_are_ready() {
    let trained = || training(Truth::True, reasons::TRAINED, &["v1"]);
    let starting = Case::new(Default::default(), trained(), children(deployment("v1", 1, 2)));
    assert_eq!(starting.summary(), ["False RollingOut", "True RollingOut", "False AsSpecified", "False RollingOut"]);
    let ready = Case::new(Default::default(), trained(), children(deployment("v1", 2, 2)));
    assert_eq!(ready.summary(), ["True Serving", "False AsSpecified", "False AsSpecified", "True Serving"]);
    assert_eq!(ready.compute().serving.and_then(|serving| serving.version).as_deref(), Some("v1"));
}

#[test]
fn pods_that_may_run_as_root_are_reported_while_all_is_well() {
    let as_root = json!({"securityContext": {"runAsNonRoot": false}});
    let mut case =
        Case::new(serving("v1"), training(Truth::True, reasons::TRAINED, &["v1"]), children(deployment("v1", 2, 2)));
    let message = |case: &Case, type_: &str| {
        let status = case.compute();
        status.conditions.into_iter().find(|condition| condition.type_ == type_).map(|condition| condition.message)
    };
    let note = "; with runAsNonRoot: false the pods do not meet the Pod Security level restricted";
    let is_reported = |case: &Case, type_: &str| message(case, type_).is_some_and(|message| message.ends_with(note));
    assert!(!is_reported(&case, types::SERVING_READY) && !is_reported(&case, types::TRAINING_READY));
    case.model = model(json!({"replicas": 2, "pod": as_root}));
    assert!(is_reported(&case, types::SERVING_READY), "{:?}", message(&case, types::SERVING_READY));
    assert!(!is_reported(&case, types::TRAINING_READY));
    case.model.training.pod = serde_json::from_value(as_root).expect("settings of pods");
    assert!(is_reported(&case, types::TRAINING_READY), "{:?}", message(&case, types::TRAINING_READY));
    assert_eq!(case.summary()[0], "True Serving");
}

#[test]
fn what_render_warns_of_is_reported_while_all_is_well() {
    let mut case =
        Case::new(serving("v1"), training(Truth::True, reasons::TRAINED, &["v1"]), children(deployment("v1", 2, 2)));
    case.model = model(json!({"replicas": 2, "disruptionBudget": {"minAvailable": 2}}));
    let status = case.compute();
    let of = |type_: &str| status.conditions.iter().find(|of| of.type_ == type_).map(|of| of.message.as_str());
    let message = of(types::SERVING_READY).unwrap_or_default();
    assert!(
        message.starts_with("version v1 is rolled out; spec.serving.disruptionBudget: with at most 2 servers none may"),
        "{message}"
    );
    assert!(of(types::WORKERS_READY).is_some_and(|message| !message.contains("disruptionBudget")));
}

#[test]
fn workers_that_are_not_ready_are_named_in_ready_although_requests_are_answered() {
    let mut case =
        Case::new(serving("v1"), training(Truth::True, reasons::TRAINED, &["v1"]), children(deployment("v1", 2, 2)));
    for name in ["events", "mails"] {
        case.model.workers.push(serde_json::from_value(json!({"name": name})).expect("a worker"));
    }
    let state = ChildState::Deployment(DeploymentState { version: None, ..deployment("v1", 1, 2) });
    case.children = case.children.with(Watched::Child(Kind::Deployment), "packages-worker-events", state, None);
    let status = case.compute();
    let of = |type_: &str| status.conditions.iter().find(|of| of.type_ == type_).map(|of| of.message.as_str());
    let ready = "version v1 answers requests; not ready: worker mails (no pod is ready)";
    assert_eq!(of(types::READY), Some(ready));
    assert_eq!(of(types::WORKERS_READY), Some("worker mails is being rolled out"));
}

#[test]
fn a_model_that_cannot_be_trained_again_still_serves() {
    let failed = training(Truth::False, reasons::TRAINING_FAILED, &["v1"]);
    let case = Case::new(serving("v1"), failed, children(deployment("v1", 2, 2)));
    assert_eq!(case.summary(), ["True Serving", "False AsSpecified", "False AsSpecified", "True Serving"]);
}

#[test]
fn the_old_version_is_named_until_the_new_one_is_rolled_out() {
    let mut half = deployment("v2", 3, 2);
    (half.total, half.updated) = (3, 1);
    let case = Case::new(serving("v1"), training(Truth::True, reasons::TRAINED, &["v2", "v1"]), children(half));
    assert_eq!(case.summary(), ["True Serving", "True RollingOut", "False AsSpecified", "False RollingOut"]);
    let status = case.compute().serving.expect("a serving status");
    assert_eq!((status.version.as_deref(), status.rolling_out.as_deref()), (Some("v1"), Some("v2")));
}

#[test]
fn a_deployment_that_still_has_the_old_template_is_not_taken_for_the_new_version() {
    let trained = training(Truth::True, reasons::TRAINED, &["v2", "v1"]);
    let case = Case::new(serving("v1"), trained, children(deployment("v1", 2, 2)));
    assert_eq!(case.compute().serving.and_then(|serving| serving.version).as_deref(), Some("v1"));
}

#[test]
fn a_rollout_that_is_stuck_waits_for_a_person_and_reports_why() {
    let stuck = DeploymentState { stuck: Some("deadline".into()), ready: 2, ..deployment("v2", 2, 2) };
    let state = DeploymentState { updated: 1, total: 3, ..stuck };
    let pod = PodState {
        job: None,
        component: "serving".into(),
        version: "v2".into(),
        created_at: NOW,
        ready_since: None,
        started_after: None,
        blocked: Some(Blocked { why: "image s cannot be pulled".into(), counts_from: NOW }),
        end: None,
        ..PodState::default()
    };
    let children = children(state).with(Watched::Pod, "p", ChildState::Nothing, Some(pod));
    let case = Case::new(serving("v1"), training(Truth::True, reasons::TRAINED, &["v2", "v1"]), children);
    assert_eq!(case.summary(), ["True Serving", "False RolloutStuck", "True RolloutStuck", "False RolloutStuck"]);
    let status = case.compute();
    let message = &status.conditions.iter().find(|c| c.type_ == types::STALLED).expect("Stalled").message;
    assert_eq!(message, "version v2 does not get ready: image s cannot be pulled; v1 continues to serve");
}

#[test]
fn a_version_in_an_earlier_artifact_store_is_served_and_its_object_is_in_progress() {
    let moved = |condition: Truth, reason| {
        let mut trained = training(condition, reason, &["v1"]);
        trained.versions[0].uri = "s3://models/shop/packages/v1/m".into();
        Case::new(serving("v1"), trained, children(deployment("v1", 2, 2)))
    };
    let case = moved(Truth::True, reasons::TRAINED);
    assert_eq!(case.summary(), ["True Serving", "True ArtifactsMoved", "False AsSpecified", "False ArtifactsMoved"]);
    let failed = moved(Truth::False, reasons::TRAINING_FAILED);
    assert_eq!(failed.summary()[2], "True TrainingFailed", "without a run that could make one");
}

#[test]
fn a_problem_with_the_service_of_trainers_is_one_of_training() {
    for (name, expected) in [("packages-trainers", [false, true]), ("packages", [true, false])] {
        let trained = training(Truth::True, reasons::TRAINED, &["v1"]);
        let case = Case::new(serving("v1"), trained, children(deployment("v1", 2, 2)));
        let mut case = case.with_problem(Kind::Service, reasons::NAME_CONFLICT, true);
        case.problems[0].name = name.into();
        let status = case.compute();
        let is_true = |kind: &str| status.conditions.iter().any(|of| of.type_ == kind && of.status == "True");
        assert_eq!([types::TRAINING_READY, types::SERVING_READY].map(is_true), expected, "{name}");
    }
}

#[test]
fn all_names_that_are_taken_are_reported_together() {
    let trained = training(Truth::True, reasons::TRAINED, &["v1"]);
    let taken = |case: Case, kind| case.with_problem(kind, reasons::NAME_CONFLICT, true);
    let case = Case::new(serving("v1"), trained, children(deployment("v1", 2, 2)));
    let case = [Kind::ServiceAccount, Kind::Service, Kind::PrometheusRule].into_iter().fold(case, taken);
    let status = case.compute();
    let stalled = status.conditions.iter().find(|c| c.type_ == types::STALLED).expect("Stalled");
    let names = ["ServiceAccount: NameConflict; likewise Service ", "PrometheusRule "];
    assert!(names.iter().all(|name| stalled.message.contains(name)), "{}", stalled.message);
}

#[test]
fn a_rollout_whose_pods_cannot_start_is_a_warning() {
    let trained = || training(Truth::True, reasons::TRAINED, &["v2", "v1"]);
    let rolling = DeploymentState { updated: 1, total: 3, ..deployment("v2", 2, 2) };
    let blocked = PodState {
        version: "v2".into(),
        blocked: Some(Blocked { why: "a Secret does not exist".into(), counts_from: NOW }),
        ..PodState::default()
    };
    let before = Case::new(serving("v1"), trained(), children(rolling.clone())).compute();
    let after = children(rolling).with(Watched::Pod, "p", ChildState::Nothing, Some(blocked));
    let after = Case::new(serving("v1"), trained(), after).compute();
    let emitted = events(&before, &after);
    let [event] = emitted.as_slice() else { panic!("{emitted:?}") };
    assert_eq!((event.warning, event.reason.as_str()), (true, reasons::ROLLOUT_BLOCKED));
    assert!(event.message.contains("a Secret does not exist; v1 continues to serve"), "{}", event.message);
    assert_eq!(after.serving.and_then(|serving| serving.service).as_deref(), Some("packages"));
}

#[test]
fn servers_that_are_not_ready_have_the_reason_of_their_probe_and_are_not_blocked() {
    let unready = || PodState {
        version: "v2".into(),
        unready: Some("it answers its readiness probe with an error".into()),
        ..PodState::default()
    };
    let message = |state: DeploymentState| {
        let children = children(state).with(Watched::Pod, "p", ChildState::Nothing, Some(unready()));
        let status = Case::new(serving("v2"), training(Truth::True, reasons::TRAINED, &["v2"]), children).compute();
        let serving = status.conditions.into_iter().find(|of| of.type_ == types::SERVING_READY).expect("ServingReady");
        (serving.reason, serving.message)
    };
    let rolling = DeploymentState { updated: 1, total: 3, ..deployment("v2", 2, 2) };
    let (reason, text) = message(rolling.clone());
    assert_eq!(reason, reasons::ROLLING_OUT, "a slow start is normal");
    assert!(text.contains("is being rolled out: it answers its readiness probe with an error"), "{text}");
    let late = DeploymentState { stuck: Some("\"it has timed out\"".into()), ..rolling };
    let (reason, text) = message(late);
    assert_eq!(reason, reasons::ROLLOUT_STUCK);
    assert!(text.contains("does not get ready: it answers its readiness probe with an error"), "{text}");
    let (reason, text) = message(deployment("v2", 0, 2));
    assert_eq!(reason, reasons::REPLICAS_MISSING);
    assert_eq!(text, "0 of at least 2 pods are ready: it answers its readiness probe with an error");
}

#[test]
fn pods_refused_by_a_quota_are_under_way_until_the_progress_deadline() {
    let refused = DeploymentState { refused: Some("a quota".into()), updated: 0, ..deployment("v2", 2, 2) };
    let trained = || training(Truth::True, reasons::TRAINED, &["v2", "v1"]);
    let case = Case::new(serving("v1"), trained(), children(refused.clone()));
    assert_eq!(case.summary(), ["True Serving", "True RolloutBlocked", "False AsSpecified", "False RolloutBlocked"]);
    let late = DeploymentState { stuck: Some("timed out".into()), ..refused };
    let case = Case::new(serving("v1"), trained(), children(late));
    assert_eq!(case.summary(), ["True Serving", "False RolloutStuck", "True RolloutStuck", "False RolloutStuck"]);
    let status = case.compute();
    let message = &status.conditions.iter().find(|c| c.type_ == types::STALLED).expect("Stalled").message;
    assert_eq!(message, "version v2 does not get ready: a quota; v1 continues to serve");
}

#[test]
fn new_settings_of_the_same_version_are_a_rollout_from_the_moment_they_are_applied() {
    let trained = || training(Truth::True, reasons::TRAINED, &["v1"]);
    let applied = DeploymentState { applied_generation: 3, ..deployment("v1", 2, 2) };
    let half = DeploymentState { total: 3, updated: 1, ..deployment("v1", 2, 2) };
    for state in [applied, half] {
        let case = Case::new(serving("v1"), trained(), children(state));
        assert_eq!(case.summary(), ["True Serving", "True RollingOut", "False AsSpecified", "False RollingOut"]);
        let status = case.compute();
        let message = &status.conditions.iter().find(|c| c.type_ == types::SERVING_READY).expect("a condition").message;
        assert_eq!(message, "version v1 is being rolled out; its earlier pods continue to serve");
    }
}

#[test]
fn too_few_ready_pods_are_reported_and_without_any_the_object_is_not_ready() {
    let trained = || training(Truth::True, reasons::TRAINED, &["v1"]);
    let one = Case::new(serving("v1"), trained(), children(deployment("v1", 1, 2)));
    assert_eq!(one.summary()[0], "True Serving");
    assert_eq!(one.summary()[1..], ["True ReplicasMissing", "False AsSpecified", "False ReplicasMissing"]);
    let none = Case::new(serving("v1"), trained(), children(deployment("v1", 0, 2)));
    assert_eq!(none.summary()[0], "False ReplicasMissing");
}

#[test]
fn the_deployment_of_an_earlier_object_of_the_same_name_does_not_count() {
    let trained = training(Truth::True, reasons::TRAINED, &["v1"]);
    let mut case = Case::new(serving("v1"), trained, children(deployment("v1", 2, 2)));
    case.model.identity.uid = Some("later".into());
    assert_eq!(case.summary()[0], "False ReplicasMissing");
}

#[test]
fn the_status_stays_while_the_state_of_the_deployment_is_not_observed() {
    let trained = training(Truth::True, reasons::TRAINED, &["v1"]);
    let mut case = Case::new(serving("v1"), trained, children(deployment("v1", 2, 2)));
    case.prior = case.compute();
    case.children =
        Children::default().with(Watched::Child(Kind::Deployment), "packages-serving", ChildState::Nothing, None);
    assert_eq!(case.compute(), case.prior);
}

#[test]
fn scaling_up_is_no_rollout() {
    let trained = training(Truth::True, reasons::TRAINED, &["v1"]);
    let mut case = Case::new(serving("v1"), trained, children(deployment("v1", 2, 4)));
    case.model = model(json!({
        "autoscaling": {"minReplicas": 2, "maxReplicas": 4}, "resources": {"requests": {"cpu": "1"}},
    }));
    assert_eq!(case.summary(), ["True Serving", "False AsSpecified", "False AsSpecified", "True Serving"]);
}

#[test]
fn a_name_conflict_waits_for_a_person() {
    let trained = training(Truth::True, reasons::TRAINED, &["v1"]);
    let case = Case::new(Default::default(), trained, Children::default()).with_problem(
        Kind::Service,
        reasons::NAME_CONFLICT,
        true,
    );
    assert_eq!(case.summary(), ["False NameConflict", "False NameConflict", "True NameConflict", "False NameConflict"]);
}

#[test]
fn a_missing_monitoring_kind_does_not_affect_readiness() {
    let trained = training(Truth::True, reasons::TRAINED, &["v1"]);
    let case = Case::new(serving("v1"), trained, children(deployment("v1", 2, 2))).with_problem(
        Kind::ServiceMonitor,
        reasons::API_MISSING,
        true,
    );
    assert_eq!(case.summary(), ["True Serving", "False AsSpecified", "False AsSpecified", "True Serving"]);
}

#[test]
fn a_failed_apply_is_in_progress_because_it_is_retried() {
    let trained = training(Truth::True, reasons::TRAINED, &["v1"]);
    let case = Case::new(serving("v1"), trained, children(deployment("v1", 2, 2))).with_problem(
        Kind::Deployment,
        reasons::APPLY_FAILED,
        false,
    );
    assert_eq!(case.summary(), ["True Serving", "True ApplyFailed", "False AsSpecified", "False ApplyFailed"]);
}

#[test]
fn computing_the_status_again_changes_nothing_and_has_no_events() {
    let trained = training(Truth::True, reasons::TRAINED, &["v1"]);
    let mut case = Case::new(Default::default(), trained, children(deployment("v1", 2, 2)));
    let first = case.compute();
    case.prior = first.clone();
    assert_eq!(case.compute(), first);
    assert_eq!(events(&first, &case.compute()), []);
}

#[test]
fn the_start_of_a_run_is_an_event_unless_it_is_the_first_one() {
    let running = |version: &str| {
        let run = ActiveRun {
            job: format!("packages-{version}"),
            version: version.into(),
            kind: TrainingKind::Full,
            trigger: Trigger::Initial,
            cause: None,
            blocked: None,
            progress: None,
        };
        let training = TrainingStatus { active: Some(run), ..TrainingStatus::default() };
        RecommenderModelStatus { training: Some(training), ..RecommenderModelStatus::default() }
    };
    assert_eq!(events(&RecommenderModelStatus::default(), &running("full-1")), []);
    let later = events(&running("full-1"), &running("full-2"));
    assert!(later.len() == 1 && later[0].message.contains("packages-full-2"), "{later:?}");
}

#[test]
fn the_event_of_a_requested_run_repeats_its_reason() {
    let run = ActiveRun {
        job: "packages-partial-r1".into(),
        version: "partial-r1".into(),
        kind: TrainingKind::Partial,
        trigger: Trigger::Request,
        cause: None,
        blocked: None,
        progress: None,
    };
    let request = Some("partial: drift\nof the catalogue".to_owned());
    let training = TrainingStatus { active: Some(run), last_request: request, ..TrainingStatus::default() };
    let before = RecommenderModelStatus { training: Some(Default::default()), ..Default::default() };
    let after = RecommenderModelStatus { training: Some(training), ..Default::default() };
    let message = "started Job packages-partial-r1 (Request: partial: drift of the catalogue) for version partial-r1";
    assert_eq!(events(&before, &after).iter().map(|event| event.message.as_str()).collect::<Vec<_>>(), [message]);
}

#[test]
fn prunes_that_fail_again_and_again_and_versions_that_are_not_deleted_are_in_the_condition_of_training() {
    let message = |failures, pending: usize| {
        let trained = training(Truth::True, reasons::TRAINED, &["v1"]);
        let mut case = Case::new(serving("v1"), trained, children(deployment("v1", 2, 2)));
        let pending = (0..pending).map(|n| (format!("full-{n}"), String::new())).collect();
        let message = Some("Job packages-prune-3 failed: access denied".to_owned());
        case.pruning = Some(PruningStatus { failures, pending, message, ..PruningStatus::default() });
        let status = case.compute();
        let of = status.conditions.into_iter().find(|of| of.type_ == types::TRAINING_READY).expect("a condition");
        (of.status, of.message)
    };
    let yes = |message: &str| ("True".to_owned(), format!("training: Trained{message}"));
    assert_eq!(message(2, 63), yes(""));
    let fails =
        "; the last 3 Jobs that delete artifacts failed (training.prune): Job packages-prune-3 failed: access denied";
    assert_eq!(message(3, 63), yes(fails));
    let full = "; 64 versions wait to be deleted, the most that can: the artifacts of later ones stay in the store";
    assert_eq!(message(0, 64), yes(full));
    assert_eq!(message(3, 64), yes(&format!("{fails}{full}")));
}

#[test]
fn the_end_of_a_job_that_deletes_artifacts_is_an_event_once() {
    let status = |jobs, failures| {
        let message = Some(format!("Job {jobs}"));
        let pruning = PruningStatus { last_job: jobs, failures, message, ..PruningStatus::default() };
        RecommenderModelStatus { pruning: Some(pruning), ..RecommenderModelStatus::default() }
    };
    let of = |before: &RecommenderModelStatus, after: &RecommenderModelStatus| {
        events(before, after).into_iter().map(|event| (event.warning, event.reason, event.message)).collect::<Vec<_>>()
    };
    let (none, pruned, failed) = (RecommenderModelStatus::default(), status(1, 0), status(2, 1));
    assert_eq!(of(&none, &pruned), [(false, reasons::PRUNED.to_owned(), "Job 1".to_owned())]);
    assert_eq!(of(&pruned, &failed), [(true, reasons::PRUNE_FAILED.to_owned(), "Job 2".to_owned())]);
    assert_eq!((of(&pruned, &pruned), of(&pruned, &none)), (vec![], vec![]));
}

#[test]
fn the_end_of_a_run_of_each_kind_and_a_base_that_is_too_old_are_events() {
    let run = |kind: TrainingKind| FinishedRun {
        job: "j".into(),
        version: "v".into(),
        kind,
        trigger: Trigger::Schedule,
        cause: None,
        template: "t".into(),
        succeeded: false,
        reason: reasons::TRAINING_FAILED.into(),
        stage: None,
        message: kind.as_str().into(),
        started_at: None,
        finished_at: Time(NOW),
    };
    let partial = PartialTrainingStatus { last: Some(run(TrainingKind::Partial)), ..Default::default() };
    let training =
        TrainingStatus { last: Some(run(TrainingKind::Full)), partial: Some(partial), ..TrainingStatus::default() };
    let old = training_condition(reasons::BASE_TOO_OLD, "it waits");
    let after = RecommenderModelStatus { training: Some(training), conditions: vec![old], ..Default::default() };
    let emitted = |before: &RecommenderModelStatus| -> Vec<_> {
        events(before, &after).into_iter().map(|event| (event.warning, event.message)).collect()
    };
    let messages = ["Full", "Partial", "it waits"].map(|message| (true, message.to_owned()));
    assert_eq!(emitted(&RecommenderModelStatus::default()), messages);
    assert_eq!(emitted(&after), []);
}

/// TrainingReady, True.
fn training_condition(reason: &str, message: &str) -> k8s_openapi::apimachinery::pkg::apis::meta::v1::Condition {
    k8s_openapi::apimachinery::pkg::apis::meta::v1::Condition {
        type_: types::TRAINING_READY.into(),
        status: "True".into(),
        reason: reason.into(),
        message: message.into(),
        observed_generation: None,
        last_transition_time: Time(NOW),
    }
}

#[test]
fn the_time_of_transition_stays_while_only_the_reason_changes() {
    let earlier = Time(NOW - jiff::SignedDuration::from_hours(1));
    let training_now = training(Truth::Unknown, reasons::TRAINING, &[]);
    let mut case = Case::new(Default::default(), training_now, Children::default());
    case.prior = case.compute();
    for condition in &mut case.prior.conditions {
        condition.last_transition_time = earlier.clone();
    }
    case.training = training(Truth::True, reasons::TRAINED, &["v1"]);
    case.children = children(deployment("v1", 1, 2));
    let status = case.compute();
    let condition = |type_: &str| status.conditions.iter().find(|c| c.type_ == type_).expect("a condition").clone();
    assert_eq!(condition(types::READY).last_transition_time, earlier, "it was and is False");
    assert_eq!(condition(types::TRAINING_READY).last_transition_time, Time(NOW), "Unknown became True");
}

#[test]
fn an_invalid_spec_keeps_all_that_is_known_and_has_one_event() {
    let trained = training(Truth::True, reasons::TRAINED, &["v1"]);
    let good = Case::new(serving("v1"), trained, children(deployment("v1", 2, 2))).compute();
    let bad = stalled(&good, 4, reasons::INVALID_SPEC, "spec.x: wrong", NOW);
    assert_eq!(bad.versions, good.versions);
    assert_eq!(bad.serving, good.serving);
    assert_eq!(bad.observed_generation, Some(4));
    let reported = events(&good, &bad);
    assert_eq!(reported.len(), 1, "{reported:?}");
    assert_eq!((reported[0].warning, reported[0].reason.as_str()), (true, reasons::INVALID_SPEC));
    assert_eq!(events(&bad, &stalled(&bad, 4, reasons::INVALID_SPEC, "spec.x: wrong", NOW)), []);
}

#[test]
fn every_condition_is_in_every_status_in_the_same_order() {
    let trained = training(Truth::True, reasons::TRAINED, &["v1"]);
    let valid = Case::new(serving("v1"), trained, children(deployment("v1", 2, 2))).compute();
    let invalid = stalled(&RecommenderModelStatus::default(), 1, reasons::INVALID_SPEC, "spec.x: wrong", NOW);
    let retried = interrupted(&RecommenderModelStatus::default(), 1, "port 1 is closed", NOW);
    for status in [valid, invalid, retried] {
        let found: Vec<&str> = status.conditions.iter().map(|condition| condition.type_.as_str()).collect();
        assert_eq!(found, types::all().collect::<Vec<_>>());
    }
}

#[test]
fn a_problem_with_a_child_is_reported_by_the_condition_of_its_kind() {
    for kind in Kind::ALL {
        let trained = training(Truth::True, reasons::TRAINED, &["v1"]);
        let mut case = Case::new(serving("v1"), trained, children(deployment("v1", 2, 2)));
        case.model = model(json!({
            "autoscaling": {"minReplicas": 2, "maxReplicas": 4}, "resources": {"requests": {"cpu": "1"}},
        }));
        let monitoring = json!({"metrics": {"profile": "FastApiInstrumentator"}});
        case.model.monitoring = Some(serde_json::from_value(monitoring).expect("a valid field"));
        let status = case.with_problem(kind, reasons::APPLY_FAILED, false).compute();
        let condition = status.conditions.iter().find(|condition| condition.type_ == kind.condition());
        let reason = condition.map(|condition| condition.reason.as_str());
        assert_eq!(reason, Some(reasons::APPLY_FAILED), "{kind:?} is reported by {}", kind.condition());
    }
}

#[test]
fn messages_are_cut_at_the_longest_that_a_condition_may_have() {
    let long = "x".repeat(5000);
    let status = stalled(&RecommenderModelStatus::default(), 1, reasons::INVALID_SPEC, &long, NOW);
    assert!(status.conditions.iter().all(|condition| condition.message.len() <= 1024));
}

#[test]
fn another_message_of_the_same_failure_is_distinguished_from_a_change() {
    let refused = |message: &str| {
        let trained = training(Truth::True, reasons::TRAINED, &["full-1"]);
        let case = Case::new(serving("full-1"), trained, children(deployment("full-1", 2, 2)));
        let mut case = case.with_problem(Kind::Service, reasons::APPLY_FAILED, false);
        case.problems[0].message = message.into();
        case
    };
    let first = refused("read tcp 10.0.0.1:48213: connection reset").compute();
    let again = refused("read tcp 10.0.0.1:48214: connection reset").compute();
    assert_ne!(first, again);
    assert!(is_rewording(&first, &again));
    assert!(!is_rewording(&first, &first), "that is the same");

    let mut other = refused("read tcp 10.0.0.1:48214: connection reset");
    other.training.condition.message = "training: under way".into();
    assert!(!is_rewording(&first, &other.compute()), "another message of a condition that did not fail is a change");
    let mut recovered = refused("");
    recovered.problems.clear();
    assert!(!is_rewording(&first, &recovered.compute()));
}

/// All values of ServingReady and WorkersReady, and for each whether it waits for a person and whether it passes by itself.
fn of_pods() -> Vec<(ConditionValue, bool, bool)> {
    let no = |reason: &str| ConditionValue::no(reason, format!("pods: {reason}"));
    vec![
        (ConditionValue::yes(reasons::AS_SPECIFIED, "pods"), false, false),
        (no(reasons::NOT_REQUESTED), false, false),
        (no(reasons::ROLLOUT_STUCK), true, false),
        (no(reasons::ROLLING_OUT), false, true),
        (no(reasons::REPLICAS_MISSING), false, true),
        (no(reasons::SERVERS_OVERLOADED), false, true),
    ]
}

#[test]
fn servers_and_workers_count_alike_in_the_summary() {
    let case = Case::new(serving("v1"), training(Truth::True, reasons::TRAINED, &["v1"]), Children::default());
    let inputs = Inputs {
        reload: None,
        model: &case.model,
        prior: &case.prior,
        training: &case.training,
        rollout: &rollout(&case.training, &case.prior, &case.model, &case.children),
        pruning: None,
        children: &case.children,
        problems: &case.problems,
        scaling: &case.scaling,
        health: &case.health,
        budgets: &case.budgets,
        canary: None,
        route: None,
        feedback: None,
        now: NOW,
    };
    let (ready, trained) = (ConditionValue::yes(reasons::SERVING, ""), ConditionValue::yes(reasons::TRAINED, ""));
    for (servers, servers_wait, servers_pass) in of_pods() {
        for (workers, workers_wait, workers_pass) in of_pods() {
            let (stalled, reconciling) = summary::summary(&inputs, &ready, &trained, &[&servers, &workers]);
            let waits = servers_wait || workers_wait;
            assert_eq!(stalled.is_yes(), waits, "{servers:?} {workers:?}");
            assert_eq!(reconciling.is_yes(), !waits && (servers_pass || workers_pass), "{servers:?} {workers:?}");
            if waits {
                assert_eq!(
                    (stalled.reason.as_str(), reconciling.reason.as_str()),
                    (reasons::ROLLOUT_STUCK, reasons::ROLLOUT_STUCK)
                );
            }
        }
    }
}

#[test]
fn monitoring_is_ready_as_its_metric_source_has_loaded_it_unless_a_child_has_a_problem() {
    let monitored = |metric_source: Option<&str>| {
        let mut case = Case::new(serving("v1"), training(Truth::True, reasons::TRAINED, &["v1"]), Children::default());
        let monitoring = json!({"metrics": {"profile": "FastApiInstrumentator"}, "source": metric_source});
        case.model.monitoring = Some(serde_json::from_value(monitoring).expect("a valid field"));
        case
    };
    let shown = |case: &Case| {
        let conditions = case.compute().conditions;
        let found = conditions.into_iter().find(|condition| condition.type_ == types::MONITORING_READY).expect("shown");
        (found.status, found.reason, found.message)
    };
    let loading = ConditionValue::unknown(reasons::LOADING, "applied");
    let mut none = monitored(None);
    none.model.monitoring = None;
    let refused = monitored(None).with_problem(Kind::PrometheusRule, reasons::APPLY_FAILED, true);
    let refused = Case { feedback: Some(loading.clone()), ..refused };
    for (case, status, reason, part) in [
        (none, "False", reasons::NOT_REQUESTED, "spec.monitoring is not set"),
        (refused, "False", reasons::APPLY_FAILED, "PrometheusRule"),
        (monitored(None), "True", reasons::AS_SPECIFIED, "has no metric source \"default\""),
        (
            monitored(Some("eu")),
            "Unknown",
            reasons::UNKNOWN_SOURCE,
            "spec.monitoring.source is \"eu\", but the operator has no",
        ),
        (Case { feedback: Some(loading), ..monitored(None) }, "Unknown", reasons::LOADING, "applied"),
    ] {
        let (found, why, message) = shown(&case);
        assert_eq!((found.as_str(), why.as_str()), (status, reason), "{message}");
        assert!(message.contains(part), "{message}");
    }
}

/// An object with monitoring and a database, which is critical.
fn with_database(prior: RecommenderModelStatus) -> Case {
    let children = children(deployment("a", 2, 2));
    let mut case = Case::new(prior, training(Truth::True, reasons::TRAINED, &["a"]), children);
    let database = json!({"name": "users-db", "exporter": {"name": "PostgresExporter"}});
    case.model.dependencies = vec![serde_json::from_value(database).expect("a dependency")];
    let monitoring = json!({"metrics": {"profile": "FastApiInstrumentator"}});
    case.model.monitoring = Some(serde_json::from_value(monitoring).expect("monitoring"));
    case
}

#[test]
fn a_dependency_that_is_down_is_reported_and_changes_neither_ready_nor_the_summary() {
    let of = |case: &Case, type_: &str| {
        let status = case.compute();
        let condition = status.conditions.into_iter().find(|condition| condition.type_ == type_);
        condition.map(|condition| (condition.status, condition.reason)).expect("it is there")
    };
    let is = |status: &str, reason: &str| (status.to_owned(), reason.to_owned());
    let mut case = with_database(serving("a"));
    let summaries = types::SUMMARIES.map(|type_| of(&case, type_));
    assert_eq!(of(&case, types::DEPENDENCIES_HEALTHY), is("Unknown", reasons::PENDING));
    let down = health::Health::Down { since: NOW };
    for (health, expected) in [
        (down, is("False", reasons::DEPENDENCY_DOWN)),
        (health::Health::Up, is("True", reasons::AS_SPECIFIED)),
        (health::Health::Unknown { why: "x" }, is("Unknown", reasons::METRICS_MISSING)),
    ] {
        case.health = health::Observed::from([("users-db".into(), health)]);
        assert_eq!(of(&case, types::DEPENDENCIES_HEALTHY), expected);
        assert_eq!(types::SUMMARIES.map(|type_| of(&case, type_)), summaries);
    }
    // Until the first observation after a restart, it is as it was.
    case.health = health::Observed::from([("users-db".into(), down)]);
    let again = with_database(RecommenderModelStatus { conditions: case.compute().conditions, ..serving("a") });
    assert_eq!(of(&again, types::DEPENDENCIES_HEALTHY), is("False", reasons::DEPENDENCY_DOWN));
    // Without dependencies, and without monitoring.
    case.model.dependencies.clear();
    assert_eq!(of(&case, types::DEPENDENCIES_HEALTHY), is("False", reasons::NOT_REQUESTED));
    let mut case = with_database(serving("a"));
    case.model.monitoring = None;
    assert_eq!(of(&case, types::DEPENDENCIES_HEALTHY), is("False", reasons::NOT_REQUESTED));
}

/// An object with two objectives.
fn with_objectives(prior: RecommenderModelStatus) -> Case {
    let mut case = with_database(prior);
    let objectives = json!([
        {"name": "availability", "goal": "99.9", "availability": {}},
        {"name": "fast", "goal": "99", "latency": {"thresholdMilliseconds": 75}},
    ]);
    let monitoring = case.model.monitoring.as_mut().expect("it is monitored");
    monitoring.objectives = serde_json::from_value(objectives).expect("objectives");
    case
}

#[test]
fn what_is_left_of_the_error_budgets_is_reported_and_the_least_of_them() {
    let mut case = with_objectives(serving("a"));
    let unknown = case.compute();
    assert_eq!(unknown.error_budget_remaining_percent, None);
    assert_eq!(unknown.objectives[0].message.as_deref(), Some("nothing is known of it yet"));

    case.budgets =
        [("availability", Budget::Left(87)), ("fast", Budget::Left(-3))].map(|(k, v)| (k.to_owned(), v)).into();
    let known = case.compute();
    let found: Vec<_> = known.objectives.iter().map(|of| (of.goal.as_str(), of.budget_remaining_percent)).collect();
    assert_eq!(found, [("99.9", Some(87)), ("99", Some(-3))]);
    assert_eq!(known.error_budget_remaining_percent, Some(-3));

    // As it was until it is observed after a restart, but not with another goal.
    let mut again = with_objectives(known.clone());
    assert_eq!(
        (again.compute().objectives, again.compute().error_budget_remaining_percent),
        (known.objectives, Some(-3))
    );
    again.model.monitoring.as_mut().expect("it is monitored").objectives[1].goal = "99.5".into();
    assert_eq!(again.compute().error_budget_remaining_percent, Some(87));

    case.budgets.insert("fast".into(), Budget::Unknown { why: "the newest sample is minutes old" });
    let stale = case.compute();
    assert_eq!(stale.error_budget_remaining_percent, Some(87));
    let message = stale.objectives[1].message.as_deref();
    assert_eq!(message, Some("nothing is known of it, because the newest sample is minutes old"));

    // An object without objectives has none in its status.
    let none = with_database(stale).compute();
    assert!(none.objectives.is_empty() && none.error_budget_remaining_percent.is_none());
}
