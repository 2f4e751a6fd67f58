//! Results for the signals of an application.

use super::*;

/// The signals of an application: `tests/rules/signals.yaml` has their series.
pub(super) fn application(namespace: &str) -> Result<Application> {
    let page = fs::read_to_string(e2e::paths::repository().join("docs/signals.md"))?;
    // All that the documentation proposes.
    let blocks = page.split("```yaml\n").skip(1).filter_map(|block| block.split("```").next());
    let mut signals = BTreeMap::new();
    for block in blocks {
        let spec: serde_json::Value = serde_saphyr::from_str(block)?;
        let of: BTreeMap<String, String> = serde_json::from_value(spec["spec"]["monitoring"]["signals"].clone())?;
        signals.extend(of.into_iter().map(|(name, text)| (name, text.replace("\"shop\"", "\"packages\""))));
    }
    application::read(&signals, namespace).map_err(|problems| anyhow!("{problems:?}"))
}

#[test]
fn the_rules_give_the_expected_results_for_the_signals_of_the_documentation() -> Result<()> {
    let monitored = Monitored { application: &application(OBJECT.namespace)?, ..packages() };
    assert_eq!(monitored.application.len(), Series::SIGNALS.len(), "the documentation has an example of each");
    let file = directory("signals_lint")?.join("rules.yaml");
    write_rules(&file, &rule_groups(&monitored))?;
    promtool(&LINT, &file)?;
    let scenarios = include_str!("signals.yaml");
    run_scenarios("signals", &monitored, scenarios)?;
    let signals = Series::SIGNALS.into_iter().chain([Series::TenantShare]);
    every_series_is_expected(signals.map(|of| of.name().to_owned()), &serde_saphyr::from_str(scenarios)?)
}
