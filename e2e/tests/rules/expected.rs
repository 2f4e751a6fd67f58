//! What the scenarios expect: each series and alert has to be there.

use super::*;

/// The fields of promtool's format that name the tested alerts and series.
#[derive(Deserialize)]
pub(super) struct Scenarios {
    pub(super) tests: Vec<Scenario>,
}

#[derive(Deserialize)]
pub(super) struct Scenario {
    #[serde(default)]
    alert_rule_test: Vec<AlertTest>,
    #[serde(default)]
    promql_expr_test: Vec<ExprTest>,
}

#[derive(Deserialize)]
struct AlertTest {
    alertname: String,
    exp_alerts: Vec<serde_json::Value>,
}

#[derive(Deserialize)]
struct ExprTest {
    exp_samples: Vec<Sample>,
}

#[derive(Deserialize)]
struct Sample {
    /// The series: `name{label="value"}`, or `{series="name"}` where its name is lost. Empty for a result without labels.
    #[serde(default)]
    labels: String,
}

/// Fails unless each series that an exporter records of the health of a dependency has an expected value.
pub(super) fn every_record_of_an_exporter_is_expected(dependency: &Dependency, scenarios: &Scenarios) -> Result<()> {
    let Some((kind, name, _)) = reported(dependency) else { return Ok(()) };
    let exporter = catalog::embedded().exporter(kind, &name).context("it is in the catalogue")?;
    every_series_is_expected(exporter.records.keys().map(|series| series.name().to_owned()), scenarios)
}

/// Fails unless each series that is computed from the names of the profile has an expected value.
pub(super) fn every_series_of_a_profile_is_expected(monitored: &Monitored, scenarios: &Scenarios) -> Result<()> {
    let names: Vec<&str> =
        profiles::of(monitored.metrics.profile).series.iter().map(|series| series.name.as_str()).collect();
    let rules = rule_groups(monitored).into_iter().flat_map(|group| group.rules);
    let rules = rules.filter(|rule| names.iter().any(|name| rule.expr.contains(name)));
    every_series_is_expected(rules.filter_map(|rule| rule.record), scenarios)
}

pub(super) fn every_series_is_expected(series: impl Iterator<Item = String>, scenarios: &Scenarios) -> Result<()> {
    let expressions = scenarios.tests.iter().flat_map(|scenario| &scenario.promql_expr_test);
    let samples: Vec<&Sample> = expressions.flat_map(|expression| &expression.exp_samples).collect();
    let is_expected = |series: &String| {
        let [named, quoted] = [format!("{series}{{"), format!("{series:?}")];
        samples.iter().any(|sample| sample.labels.contains(&named) || sample.labels.contains(&quoted))
    };
    let unexpected: Vec<String> = series.filter(|series| !is_expected(series)).collect();
    ensure!(unexpected.is_empty(), "these series need an expected value in exp_samples: {unexpected:?}");
    Ok(())
}

/// Fails unless each alert has a scenario in which it fires and one in which it does not. Alerts read canonical series, which are
/// the same for all profiles, so one such scenario is enough.
pub(super) fn every_alert_is_tested_firing_and_not_firing(scenarios: Vec<Scenario>) -> Result<()> {
    let tests = scenarios.into_iter().flat_map(|scenario| scenario.alert_rule_test);
    let tested = tests.map(|test| (test.alertname, !test.exp_alerts.is_empty()));
    let all = catalog::embedded().alerts.iter().map(|alert| alert.name.clone()).collect();
    every_alert_fires_and_does_not_fire(&all, tested)
}
