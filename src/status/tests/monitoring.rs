//! Monitoring, dependencies and objectives.

use super::*;

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
