//! Results for objectives.

use super::*;

/// Objectives of these names: 99.9 % of the requests do not fail.
pub(super) fn objectives(names: &[&str]) -> Vec<Objective> {
    let of = |name: &&str| Objective {
        name: (*name).into(),
        indicator: Indicator::Availability,
        is_critical: true,
        error_budget: 0.001,
        window_days: 30,
        min_bad_requests: Some(10),
    };
    names.iter().map(of).collect()
}

/// An objective of each kind.
pub(super) fn measured() -> Vec<Objective> {
    let lag = Indicator::Lag { dependency: "events".into(), within_seconds: 120 };
    let indicators = [
        ("availability", Indicator::Availability, 0.001),
        ("fast", Indicator::Latency { bucket: 1.0 }, 0.01),
        ("events", lag, 0.005),
        ("fresh", Indicator::Age { series: Series::ModelAge, max_hours: 26 }, 0.01),
    ];
    let of = |(name, indicator, error_budget): (&str, Indicator, f64)| Objective {
        min_bad_requests: matches!(indicator, Indicator::Availability | Indicator::Latency { .. }).then_some(10),
        is_critical: !matches!(indicator, Indicator::Age { .. }),
        indicator,
        error_budget,
        ..objectives(&[name]).remove(0)
    };
    indicators.map(of).into()
}

#[test]
fn the_rules_give_the_expected_results_for_objectives() -> Result<()> {
    let dependencies = [dependency("{name: events, custom: {lag: waiting, consumed: done}}")?];
    let monitored = Monitored { objectives: &measured(), dependencies: &dependencies, ..packages() };
    run_scenarios("objectives", &monitored, include_str!("objectives.yaml"))
}

/// The rules over hours and days alone, over days of given series: an hour of the servers' own would take minutes.
#[test]
fn the_error_budget_is_that_of_the_days_of_an_objective() -> Result<()> {
    let objectives = [Objective { window_days: 7, ..objectives(&["availability"]).remove(0) }];
    let mut groups = rule_groups(&Monitored { objectives: &objectives, ..packages() });
    groups.retain(|group| group.name.ends_with("/objectives"));
    run_groups("budget", &groups, include_str!("budget.yaml"))
}
