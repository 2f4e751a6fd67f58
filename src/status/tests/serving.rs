//! What serves, its rollouts, and what Ready says of it.

use super::*;

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
    let mut case = Case::well();
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
    let mut case = Case::well();
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
    let mut case = Case::well();
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
    let mut case = Case::well();
    case.model.identity.uid = Some("later".into());
    assert_eq!(case.summary()[0], "False ReplicasMissing");
}

#[test]
fn the_status_stays_while_the_state_of_the_deployment_is_not_observed() {
    let mut case = Case::well();
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
