use super::{
    super::{groups::SLOW_SECONDS, objectives::Indicator},
    *,
};

/// An objective of each kind; the last two wake no one.
pub fn some() -> [Objective; 4] {
    let objective = |name: &str, indicator, min_bad_requests| Objective {
        name: name.into(),
        indicator,
        is_critical: true,
        error_budget: 0.001,
        window_days: 30,
        min_bad_requests,
    };
    let age = Indicator::Age { series: Series::ModelAge, max_hours: 26 };
    let lag = Indicator::Lag { dependency: "events".into(), within_seconds: 120 };
    [
        objective("availability", Indicator::Availability, Some(10)),
        objective("fast", Indicator::Latency { bucket: 1.0 }, Some(10)),
        Objective { is_critical: false, window_days: 7, error_budget: 0.01, ..objective("events", lag, None) },
        Objective { is_critical: false, error_budget: 0.01, ..objective("fresh", age, None) },
    ]
}

/// The rules of these objectives.
fn of(objectives: &[Objective], profile: &str) -> Vec<Rule> {
    let usual = rules(&packages(profile));
    let rules = rules(&Monitored { objectives, ..packages(profile) }).into_iter();
    rules.filter(|rule| !usual.contains(rule)).collect()
}

#[test]
fn the_rules_of_objectives() {
    insta::assert_yaml_snapshot!(of(&some(), "FastApiInstrumentator"));
}

#[test]
fn an_objective_more_takes_no_rule_more_but_those_of_what_it_measures() {
    let [availability, fast, ..] = some();
    let profile = "FastApiInstrumentator";
    let one = of(std::slice::from_ref(&availability), profile).len();
    // What is bad, all, the budget and the floor.
    assert_eq!(of(&[availability, fast], profile).len(), one + 4);
}

#[test]
fn hours_and_days_are_computed_from_means_in_a_group_of_their_own() {
    let objectives = some();
    let groups = rule_groups(&Monitored { objectives: &objectives, ..packages("FastApiInstrumentator") });
    let of_objectives = groups.iter().find(|group| group.name == "recommender/shop/packages/objectives");
    let interval = of_objectives.and_then(|group| group.interval.clone());
    assert_eq!(interval, Some(format!("{SLOW_SECONDS}s")));
    for rule in groups.iter().flat_map(|group| &group.rules).filter(|rule| rule.record.is_some()) {
        let is_of_objectives = rule.expr.contains("recommender:objective_");
        let long = ["[2h]", "[6h]", "[1d]", "[3d]", "[7d]", "[30d]"];
        let is_long = is_of_objectives && long.iter().any(|of| rule.expr.contains(of));
        let reads = selectors(&rule.expr).into_iter();
        let is_of_means =
            reads.into_iter().all(|of| !of.name.ends_with(":rate1m") && of.name.starts_with("recommender:"));
        assert!(!is_long || is_of_means, "{}", rule.expr);
    }
}

#[test]
fn the_bound_of_a_bucket_is_matched_as_any_version_of_prometheus_writes_it() {
    let [_, fast, ..] = some();
    let expr = |bucket| {
        let objective = Objective { indicator: Indicator::Latency { bucket }, ..fast.clone() };
        let rules = of(&[objective], "OpenTelemetryLegacy").into_iter();
        rules.map(|rule| rule.expr).find(|expr| expr.contains("_bucket{")).expect("a rule on buckets")
    };
    assert!(expr(75.0).contains(r#"le=~"75(\\.0)?""#), "{}", expr(75.0));
    assert!(expr(0.075).contains(r#"le=~"0\\.075""#), "{}", expr(0.075));
}

#[test]
fn alerts_wake_a_person_for_what_users_notice_only() {
    let rules = of(&some(), "FastApiInstrumentator");
    let fast = rules.iter().filter(|rule| rule.alert.as_deref() == Some("RecommenderObjectiveBurnFast"));
    let fast: Vec<(&str, bool)> = fast
        .map(|rule| (rule.labels["severity"].as_str(), rule.expr.contains(r#"objective=~"availability|fast""#)))
        .collect();
    assert_eq!(fast, [("critical", true), ("warning", false)]);
}

#[test]
fn without_objectives_there_is_no_rule_of_them() {
    let rules = rules(&packages("FastApiInstrumentator"));
    let of_objectives = |rule: &&Rule| rule.expr.contains("objective") || rule.expr.contains("error_budget");
    assert_eq!(rules.iter().find(of_objectives), None);
}
