//! Results for servers, workers, trainings and versions, whatever their profile.

use super::*;

#[test]
fn the_rules_give_the_expected_results_for_expressions_of_the_spec() -> Result<()> {
    let custom = json!({
        "requests": "rate(shop_requests_total[1m])",
        "errors": "rate(shop_requests_total{code=~\"5..\"}[1m]) # of the servers",
        "inFlight": "shop_requests_in_flight",
        "latencyP95": "histogram_quantile(0.95, sum(rate(shop_seconds[1m])))",
    });
    let signals = Signals::new(&serde_json::from_value(custom)?, OBJECT.namespace);
    let signals = signals.map_err(|problems| anyhow!("{problems:?}"))?;
    let usual = of_profile(catalog::CUSTOM);
    let monitored = Monitored { metrics: Metrics { signals: Some(&signals), ..usual.metrics }, ..usual };
    let file = directory("custom_signals_lint")?.join("rules.yaml");
    write_rules(&file, &rule_groups(&monitored))?;
    promtool(&LINT, &file)?;
    let scenarios = Path::new(env!("CARGO_MANIFEST_DIR")).join("tests/rules/custom_signals.yaml");
    run_scenarios("custom_signals", &monitored, &fs::read_to_string(scenarios)?)
}

#[test]
fn the_rules_give_the_expected_results_for_servers_that_scale() -> Result<()> {
    let resources = resources("{limits: {cpu: 500m, memory: 256Mi}}");
    let front: Front = serde_saphyr::from_str("{ingressNginx: {}}")?;
    let usual = packages();
    let monitored = Monitored {
        metrics: Metrics { interval_seconds: 5, ..usual.metrics },
        servers: Servers {
            resources: Some(&resources),
            latency_target: Some(&P95),
            front: Some(&front),
            ..usual.servers
        },
        ..usual
    };
    run_scenarios("scaling", &monitored, include_str!("scaling.yaml"))
}

#[test]
fn the_counters_of_each_pod_are_recorded_while_there_is_a_canary() -> Result<()> {
    run_scenarios("canary", &Monitored { canary: CANARY, ..packages() }, include_str!("canary.yaml"))
}

#[test]
fn the_version_of_each_server_is_recorded_where_servers_change_versions_without_a_restart() -> Result<()> {
    let usual = packages();
    let monitored = Monitored { servers: Servers { reloads: true, ..usual.servers }, ..usual };
    run_scenarios("reload", &monitored, include_str!("reload.yaml"))
}

#[test]
fn the_rules_about_trainings_versions_and_pods_give_the_expected_results() -> Result<()> {
    let usual = with_gauges_of_operator(packages());
    let monitored = Monitored {
        workers: &[Worker { name: "events", ..Worker::default() }],
        training: Training { reports_progress: true, ..usual.training },
        ..usual
    };
    run_scenarios("object", &monitored, include_str!("object.yaml"))
}

/// Without the other rules, which a week of samples would make slow.
#[test]
fn what_pods_used_within_a_week_is_compared_with_what_they_request() -> Result<()> {
    let resources = resources("{requests: {cpu: '1', memory: '2000'}}");
    let worker = Worker { name: "events", resources: Some(&resources), ..Worker::default() };
    let monitored = Monitored { workers: &[worker], ..packages() };
    let read = [Series::CpuUse, Series::MemoryRequested, Series::CpuRequestedWeek, Series::MemoryRequestedWeek]
        .map(Series::name);
    let mut groups = rule_groups(&monitored);
    let is_of_week = |rule: &Rule| match (&rule.record, &rule.alert) {
        (Some(record), _) => read.contains(&record.as_str()),
        (None, alert) => alert.as_deref() == Some("RecommenderOversized"),
    };
    groups.iter_mut().for_each(|group| group.rules.retain(is_of_week));
    groups.retain(|group| !group.rules.is_empty());
    run_groups("requested", &groups, include_str!("requested.yaml"))
}
