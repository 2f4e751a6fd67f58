use std::collections::BTreeMap;

use k8s_openapi::apimachinery::pkg::api::resource::Quantity;
use serde_json::json;

use super::*;

/// Servers that scale on latency.
pub fn scaled<'a>(profile: &'a str, resources: &'a Resources) -> Monitored<'a> {
    let usual = packages(profile);
    Monitored {
        metrics: Metrics { interval_seconds: 5, ..usual.metrics },
        servers: Servers { latency_target: Some(&P95), resources: Some(resources), ..usual.servers },
        ..usual
    }
}

pub fn half_a_core() -> Resources {
    let limits = [("cpu", "500m"), ("memory", "256Mi")].map(|(name, limit)| (name.to_owned(), Quantity(limit.into())));
    Resources { limits: BTreeMap::from(limits), ..Resources::default() }
}

/// The group of the rules for scaling.
fn group(monitored: &Monitored) -> Option<RuleGroup> {
    rule_groups(monitored).into_iter().find(|group| group.name.ends_with("/scaling"))
}

#[test]
fn the_rules_of_servers_that_scale() {
    insta::assert_yaml_snapshot!(group(&scaled("FastApiInstrumentator", &half_a_core())));
}

#[test]
fn only_rules_for_scaling_are_evaluated_every_5_s() {
    assert_eq!(group(&packages("FastApiInstrumentator")), None);
    let resources = half_a_core();
    let scaled = scaled("FastApiInstrumentator", &resources);
    let slow = Monitored { metrics: Metrics { interval_seconds: 30, ..scaled.metrics }, ..scaled };
    let intervals: Vec<_> = rule_groups(&slow).into_iter().map(|group| group.interval).collect();
    assert_eq!(intervals, ["5s", "15s", "60s", "120s"].map(|seconds| Some(seconds.into())));
}

#[test]
fn promql_of_the_spec_is_evaluated_as_often_as_what_is_decided_on_it() {
    let lag: Dependency = serde_json::from_value(json!({"name": "own", "custom": {"lag": "jobs"}})).expect("valid");
    let resources = Resources::default();
    let interval = |front: serde_json::Value| {
        let front: Front = serde_json::from_value(front).expect("valid");
        let usual = scaled("FastApiInstrumentator", &resources);
        let servers = Servers { front: Some(&front), ..usual.servers };
        let monitored = Monitored { servers, dependencies: std::slice::from_ref(&lag), ..usual };
        let group = rule_groups(&monitored).into_iter().find(|group| group.name.ends_with("/custom"));
        group.expect("PromQL of the spec").interval.expect("is set")
    };
    // Only the requests of a front in PromQL are recorded in that group.
    assert_eq!(interval(json!({"istio": {}})), "60s");
    assert_eq!(interval(json!({"custom": {"requests": "rate(edge_requests_total[1m])"}})), "5s");
}

#[test]
fn windows_follow_the_scrape_interval_and_names_do_not() {
    let resources = half_a_core();
    for (interval, long, short) in
        [(1, "[20s]", "[10s]"), (5, "[20s]", "[10s]"), (15, "[60s]", "[30s]"), (120, "[480s]", "[240s]")]
    {
        let scaled = scaled("FastApiInstrumentator", &resources);
        let metrics = Metrics { interval_seconds: interval, ..scaled.metrics };
        let monitored = Monitored { metrics, ..scaled };
        for rule in group(&monitored).expect("a group").rules {
            let name = rule.record.unwrap_or_default();
            if !name.ends_with("0s") {
                continue; // Not a rate of the servers' own counters.
            }
            let (window, other) = if name.ends_with("10s") { (short, long) } else { (long, short) };
            assert!(
                rule.expr.contains(window) && !rule.expr.contains(other),
                "{name} every {interval} s: {}",
                rule.expr
            );
        }
    }
}

#[test]
fn the_quantile_is_that_of_the_target() {
    for (quantile, number) in [(Quantile::P50, "0.5"), (Quantile::P95, "0.95"), (Quantile::P99, "0.99")] {
        let target = LatencyTarget { quantile, ..P95.clone() };
        let usual = packages("FastApiInstrumentator");
        let servers = Servers { latency_target: Some(&target), ..usual.servers };
        let monitored = Monitored { servers, ..usual };
        let rules = group(&monitored).expect("a group").rules;
        let latency =
            rules.iter().find(|rule| rule.record.as_deref() == Some("recommender:scaling_latency_seconds:rate20s"));
        let expr = &latency.expect("a latency").expr;
        assert!(expr.contains(&format!("histogram_quantile({number},")), "{expr}");
    }
}

#[test]
fn without_a_cpu_limit_or_request_no_cpu_use_is_recorded() {
    let records = |resources: &Resources| -> Vec<String> {
        let monitored = scaled("FastApiInstrumentator", resources);
        let groups = rule_groups(&monitored)
            .into_iter()
            .filter(|group| ["5s", "15s"].map(Some).contains(&group.interval.as_deref()));
        groups.flat_map(|group| group.rules).filter_map(|rule| rule.record).collect()
    };
    let cpu = "recommender:cpu_use:rate20s".to_owned();
    assert!(records(&half_a_core()).contains(&cpu));
    assert!(records(&Resources::default()).iter().all(|name| !name.contains("cpu")));
    assert_eq!(records(&Resources::default()).len() + 2, records(&half_a_core()).len());
}
