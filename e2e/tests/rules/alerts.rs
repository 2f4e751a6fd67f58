//! Alerts fire and resolve.

use super::*;

/// Scenarios of alerts whose canonical series are given, so that a week takes seconds.
pub(super) const ALERTS: [(&str, &str); 2] =
    [("alerts", include_str!("alerts.yaml")), ("weeks", include_str!("weeks.yaml"))];

#[test]
fn the_alerts_fire_and_resolve_as_their_canonical_series_ask_for() -> Result<()> {
    let resources = resources("{limits: {cpu: 500m, memory: 256Mi}}");
    // The alerts on dependencies without a lag are left out of objects without their exporters.
    let dependencies = DEPENDENCIES.iter().map(|(_, yaml)| dependency(yaml)).collect::<Result<Vec<_>>>()?;
    let changes = BTreeMap::from([("RecommenderErrorRateHigh".to_owned(), Change::default())]);
    let usual = with_gauges_of_operator(packages());
    let monitored = Monitored {
        servers: Servers { latency_target: Some(&P95), resources: Some(&resources), ..usual.servers },
        dependencies: &dependencies,
        workers: &[Worker { name: "events", lag: Some(("events", 120)), ..Worker::default() }],
        objectives: &objectives(&["availability", "quiet", "gone"]),
        application: &application("shop")?,
        alerting: Alerting { changes: &changes, ..usual.alerting },
        ..usual
    };
    let rules = rule_groups(&monitored).into_iter().flat_map(|group| group.rules);
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
