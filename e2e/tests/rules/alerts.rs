//! Alerts fire and resolve.

use super::*;

/// Scenarios of alerts whose canonical series are given, so that a week takes seconds.
pub(super) const ALERTS: [(&str, &str); 2] =
    [("alerts", include_str!("alerts.yaml")), ("weeks", include_str!("weeks.yaml"))];

#[test]
fn the_alerts_fire_and_resolve_as_their_canonical_series_ask_for() -> Result<()> {
    let resources: Resources = serde_saphyr::from_str("{limits: {cpu: 500m, memory: 256Mi}}")?;
    // The alerts on dependencies without a lag are left out of objects without their exporters.
    let dependencies = DEPENDENCIES.iter().map(|(_, yaml)| dependency(yaml)).collect::<Result<Vec<_>>>()?;
    let watched = Watched {
        scaled_on: Some(&P95),
        resources: Some(&resources),
        dependencies: &dependencies,
        scaled_on_lag_of: &[("events", 120)],
        objectives: &objectives(&["availability", "quiet", "gone"]),
        application: &application("shop")?,
        waits_for_inputs: true,
        promotions_wait: true,
        prunes: true,
        is_gated: true,
        minimums: &[("precision_at_10", 0.2)],
        alerts: &BTreeMap::from([("RecommenderErrorRateHigh".to_owned(), Change::default())]),
        ..PACKAGES
    };
    let rules = rule_groups(&watched).into_iter().flat_map(|group| group.rules);
    let alerts: Vec<Rule> = rules.filter(|rule| rule.alert.is_some()).collect();
    assert_eq!(alerts.len(), catalog::embedded().alerts.len());
    let object = r#"namespace="shop",recommender="packages""#;
    for (name, scenarios) in ALERTS {
        let is_tested = |rule: &&Rule| rule.alert.as_ref().is_some_and(|alert| scenarios.contains(alert.as_str()));
        let rules = alerts.iter().filter(is_tested).cloned().collect();
        let group = RuleGroup { name: "alerts".into(), interval: Some("1m".into()), query_offset: None, rules };
        let scenarios = scenarios
            .replace("@serving", &format!(r#"{object},workload="serving""#))
            .replace("@training", &format!(r#"{object},workload="training""#))
            .replace("@worker", &format!(r#"{object},workload="events""#))
            .replace("@dependency", &format!(r#"{object},dependency="events""#))
            .replace("@objective", &format!(r#"{object},objective="availability""#))
            .replace("@quiet", &format!(r#"{object},objective="quiet""#))
            .replace("@gone", &format!(r#"{object},objective="gone""#));
        run_groups(name, &[group], &scenarios)?;
    }
    Ok(())
}
