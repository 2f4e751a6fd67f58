//! promtool of Prometheus: is what is generated valid, and does it do what scenarios expect?

use std::{
    collections::{BTreeMap, BTreeSet},
    path::Path,
    process::Command,
};

use anyhow::{Context, Result, ensure};

/// Arguments that check a file of rules, with warnings as errors.
pub const LINT: [&str; 4] = ["check", "rules", "--lint=all", "--lint-fatal"];

/// Runs promtool with these arguments and a file. Returns its standard output.
///
/// # Errors
/// All that it printed, if it fails.
pub fn promtool(arguments: &[&str], file: &Path) -> Result<String> {
    let mut promtool = Command::new(crate::tools::program("promtool")?);
    let output = promtool.args(arguments).arg(file).output().context("cannot run promtool")?;
    let printed = [output.stdout.as_slice(), output.stderr.as_slice()].concat();
    ensure!(output.status.success(), "promtool failed ({}):\n{}", output.status, String::from_utf8_lossy(&printed));
    Ok(String::from_utf8_lossy(&output.stdout).into_owned())
}

/// Fails unless each alert is tested while it fires and while it does not. `tested`: alerts, and whether they fire.
///
/// # Errors
/// The alerts that have such a test, if others have none or there are no such alerts.
pub fn every_alert_fires_and_does_not_fire(
    all: &BTreeSet<String>,
    tested: impl IntoIterator<Item = (String, bool)>,
) -> Result<()> {
    let mut by_outcome: BTreeMap<bool, BTreeSet<String>> = BTreeMap::new();
    for (alert, fires) in tested {
        by_outcome.entry(fires).or_default().insert(alert);
    }
    for (fires, what) in [(true, "fires"), (false, "does not fire")] {
        let alerts = by_outcome.remove(&fires).unwrap_or_default();
        ensure!(alerts == *all, "each alert needs a scenario in which it {what}; only these have one: {alerts:?}");
    }
    Ok(())
}
