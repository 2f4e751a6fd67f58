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
    let signals = Signals::new(&serde_json::from_value(custom)?, PACKAGES.namespace);
    let signals = signals.map_err(|problems| anyhow!("{problems:?}"))?;
    let watched = Watched { profile: catalog::CUSTOM, signals: Some(&signals), ..PACKAGES };
    let file = directory("custom_signals_lint")?.join("rules.yaml");
    write_rules(&file, &rule_groups(&watched))?;
    promtool(&LINT, &file)?;
    let scenarios = Path::new(env!("CARGO_MANIFEST_DIR")).join("tests/rules/custom_signals.yaml");
    run_scenarios("custom_signals", &watched, &fs::read_to_string(scenarios)?)
}

#[test]
fn the_rules_give_the_expected_results_for_servers_that_scale() -> Result<()> {
    let resources: Resources = serde_saphyr::from_str("{limits: {cpu: 500m, memory: 256Mi}}")?;
    let front: Front = serde_saphyr::from_str("{ingressNginx: {}}")?;
    let watched = Watched {
        interval_seconds: 5,
        scaled_on: Some(&P95),
        resources: Some(&resources),
        front: Some(&front),
        ..PACKAGES
    };
    run_scenarios("scaling", &watched, include_str!("scaling.yaml"))
}

#[test]
fn the_counters_of_each_pod_are_recorded_while_there_is_a_canary() -> Result<()> {
    let compared = Some(Compared { errors: true, slow: Some(0.1) });
    run_scenarios("canary", &Watched { compared, ..PACKAGES }, include_str!("canary.yaml"))
}

#[test]
fn the_version_of_each_server_is_recorded_where_servers_change_versions_without_a_restart() -> Result<()> {
    run_scenarios("reload", &Watched { reloads: true, ..PACKAGES }, include_str!("reload.yaml"))
}

#[test]
fn the_rules_about_trainings_versions_and_pods_give_the_expected_results() -> Result<()> {
    let workers = [("events", "packages-worker-events".to_owned())];
    let watched = Watched {
        workers: &workers,
        waits_for_inputs: true,
        promotions_wait: true,
        prunes: true,
        reports_progress: true,
        is_gated: true,
        minimums: &[("precision_at_10", 0.2)],
        ..PACKAGES
    };
    run_scenarios("object", &watched, include_str!("object.yaml"))
}

/// Without the other rules, which a week of samples would make slow.
#[test]
fn what_pods_used_within_a_week_is_compared_with_what_they_request() -> Result<()> {
    let worker = Requested { workload: "events", of_allowed: 1.0, memory: 2000.0 };
    let watched = Watched {
        workers: &[("events", "packages-worker-events".to_owned())],
        cores: &[("serving", 3.0), ("events", 1.0)],
        requested: &[SERVERS, worker],
        ..PACKAGES
    };
    let read = [Series::CpuUse, Series::MemoryRequested, Series::CpuRequestedWeek, Series::MemoryRequestedWeek]
        .map(Series::name);
    let mut groups = rule_groups(&watched);
    let is_of_week = |rule: &Rule| match (&rule.record, &rule.alert) {
        (Some(record), _) => read.contains(&record.as_str()),
        (None, alert) => alert.as_deref() == Some("RecommenderOversized"),
    };
    groups.iter_mut().for_each(|group| group.rules.retain(is_of_week));
    groups.retain(|group| !group.rules.is_empty());
    run_groups("requested", &groups, include_str!("requested.yaml"))
}
