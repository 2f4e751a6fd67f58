//! Results for the series of every metric profile.

use super::*;

/// Scenarios in `e2e/tests/rules/` that are not of a profile: those of servers that scale, of alerts and of objectives.
const OTHER_SCENARIOS: [&str; 14] = [
    "signals",
    "requested",
    "scaling",
    "alerts",
    "weeks",
    "object",
    "objectives",
    "budget",
    "custom_signals",
    "canary",
    "reload",
    "native",
    "native_counters",
    "native_scaling",
];

#[test]
fn the_rules_give_the_expected_results_for_every_profile() -> Result<()> {
    let mut unread = stems("tests/rules")?;
    unread.retain(|name| !OTHER_SCENARIOS.contains(&name.as_str()));
    let mut tests = Vec::new();
    for profile in profiles::all() {
        let name = snake_case(profile);
        let file = format!("e2e/tests/rules/{name}.yaml");
        let text = fs::read_to_string(e2e::paths::repository().join(&file))
            .with_context(|| format!("{profile} has no scenarios: write {file}, with real series of such a server"))?;
        let monitored = of_profile(profile);
        let objectives = fast(profile);
        run_scenarios(&name, &Monitored { objectives: &objectives, ..monitored }, &text)
            .with_context(|| file.clone())?;
        let scenarios: Scenarios = serde_saphyr::from_str(&text)?;
        every_series_of_a_profile_is_expected(&monitored, &scenarios).with_context(|| file.clone())?;
        tests.extend(scenarios.tests);
        unread.remove(&name);
    }
    for (_, scenarios) in ALERTS {
        tests.extend(serde_saphyr::from_str::<Scenarios>(scenarios)?.tests);
    }
    ensure!(unread.is_empty(), "e2e/tests/rules/ has scenarios of no profile: {unread:?}");
    for (exporter, _) in DEPENDENCIES {
        let file = format!("e2e/tests/rules/dependencies/{exporter}.yaml");
        let text = fs::read_to_string(e2e::paths::repository().join(&file)).context(file)?;
        tests.extend(serde_saphyr::from_str::<Scenarios>(&text)?.tests);
    }
    every_alert_is_tested_firing_and_not_firing(tests)
}

/// An object may read native histograms while its Prometheus still stores classic ones.
#[test]
fn the_rules_of_native_histograms_give_the_same_results_for_classic_ones() -> Result<()> {
    let lint = directory("lint-native")?.join("rules.yaml");
    for profile in profiles::all().filter(|profile| profiles::of(profile).histograms().next().is_some()) {
        write_rules(&lint, &rule_groups(&native(profile)))?;
        promtool(&LINT, &lint).with_context(|| profile)?;
    }
    // With requests that are counted apart from their durations, and those that are the count of a histogram.
    for (profile, scenarios) in [
        ("FastApiInstrumentator", include_str!("fast_api_instrumentator.yaml")),
        ("OpenTelemetryLegacy", include_str!("open_telemetry_legacy.yaml")),
    ] {
        let objectives = fast(profile);
        let monitored = Monitored { objectives: &objectives, ..native(profile) };
        run_scenarios(&format!("{profile}-classic"), &monitored, scenarios)?;
    }
    let monitored = Monitored { canary: CANARY, ..native("FastApiInstrumentator") };
    run_scenarios("canary-classic", &monitored, include_str!("canary.yaml"))
}

#[test]
fn the_rules_give_the_expected_results_for_native_histograms() -> Result<()> {
    let objectives = &measured()[..2];
    let compared = |profile| Monitored { canary: CANARY, objectives, ..native(profile) };
    run_scenarios("native", &compared("FastApiInstrumentator"), include_str!("native.yaml"))?;
    let counters = compared("OpenTelemetry");
    run_scenarios("native_counters", &counters, include_str!("native_counters.yaml"))?;
    let resources = resources("{limits: {cpu: 500m}}");
    let scaled = Monitored {
        metrics: Metrics { interval_seconds: 5, ..counters.metrics },
        servers: Servers { latency_target: Some(&P95), resources: Some(&resources), ..counters.servers },
        ..counters
    };
    run_scenarios("native_scaling", &scaled, include_str!("native_scaling.yaml"))
}

/// The object with native histograms of this profile.
fn native(profile: &str) -> Monitored<'_> {
    let usual = of_profile(profile);
    Monitored { metrics: Metrics { reads_native: true, ..usual.metrics }, ..usual }
}

/// An objective of the latency, of a profile whose histogram has the bound 50.
fn fast(profile: &str) -> Vec<Objective> {
    let mut objectives = objectives(&["fast"]);
    objectives[0].indicator = Indicator::Latency { bucket: 50.0 };
    objectives.retain(|_| profiles::of(profile).buckets().contains(&50.0));
    objectives
}

/// `FastApiInstrumentator` as `fast_api_instrumentator`.
fn snake_case(name: &str) -> String {
    let mut words = String::new();
    for letter in name.chars() {
        if letter.is_uppercase() && !words.is_empty() {
            words.push('_');
        }
        words.extend(letter.to_lowercase());
    }
    words
}
