//! Children that are not as desired.

use super::*;

#[test]
fn a_problem_with_the_service_of_trainers_is_one_of_training() {
    for (name, expected) in [("packages-trainers", [false, true]), ("packages", [true, false])] {
        let case = Case::well();
        let mut case = case.with_problem(Kind::Service, reasons::NAME_CONFLICT, true);
        case.problems[0].name = name.into();
        let status = case.compute();
        let is_true = |kind: &str| status.conditions.iter().any(|of| of.type_ == kind && of.status == "True");
        assert_eq!([types::TRAINING_READY, types::SERVING_READY].map(is_true), expected, "{name}");
    }
}

#[test]
fn all_names_that_are_taken_are_reported_together() {
    let taken = |case: Case, kind| case.with_problem(kind, reasons::NAME_CONFLICT, true);
    let case = Case::well();
    let case = [Kind::ServiceAccount, Kind::Service, Kind::PrometheusRule].into_iter().fold(case, taken);
    let status = case.compute();
    let stalled = status.conditions.iter().find(|c| c.type_ == types::STALLED).expect("Stalled");
    let names = ["ServiceAccount: NameConflict; likewise Service ", "PrometheusRule "];
    assert!(names.iter().all(|name| stalled.message.contains(name)), "{}", stalled.message);
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
    let case = Case::well().with_problem(Kind::ServiceMonitor, reasons::API_MISSING, true);
    assert_eq!(case.summary(), ["True Serving", "False AsSpecified", "False AsSpecified", "True Serving"]);
}

#[test]
fn a_failed_apply_is_in_progress_because_it_is_retried() {
    let case = Case::well().with_problem(Kind::Deployment, reasons::APPLY_FAILED, false);
    assert_eq!(case.summary(), ["True Serving", "True ApplyFailed", "False AsSpecified", "False ApplyFailed"]);
}

#[test]
fn a_problem_with_a_child_is_reported_by_the_condition_of_its_kind() {
    for kind in Kind::ALL {
        let mut case = Case::well();
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
