//! The generated rules, judged by Prometheus' own promtool: they are PromQL, they lint, and they say the right thing about
//! the series that servers really expose. Needs no cluster; promtool is built from source the first time.

use std::{
    collections::{BTreeMap, BTreeSet},
    fs,
    path::{Path, PathBuf},
    process::{Command, Output},
};

use anyhow::{Context, Result, ensure};
use recommender_operator::{
    api::{MetricProfile, monitoring_coreos::RuleGroup},
    monitoring::{Watched, alerts::ALERTS, rule_groups},
};
use serde::Deserialize;

const PACKAGES: Watched = Watched {
    namespace: "shop",
    recommender: "packages",
    serving_deployment: "packages-serving",
    profile: MetricProfile::FastApiInstrumentator,
    interval_seconds: 15,
    metrics_path: "/metrics",
    health_path: "/health",
};

/// What prometheus-operator and our ServiceMonitor add to the series of a target.
fn target(recommender: &str, pod: &str, address: &str) -> String {
    format!(
        r#"namespace="shop",recommender="{recommender}",workload="serving",job="{recommender}",service="{recommender}",pod="{pod}",container="server",endpoint="http",instance="{address}:8000""#
    )
}

/// A directory of its own for each test.
fn directory(test: &str) -> Result<PathBuf> {
    let directory = Path::new(env!("CARGO_TARGET_TMPDIR")).join("rules").join(test);
    fs::create_dir_all(&directory)?;
    Ok(directory)
}

/// Writes a rule file. JSON is YAML.
fn write_rules(path: &Path, groups: &[RuleGroup]) -> Result<()> {
    fs::write(path, serde_json::to_vec_pretty(&serde_json::json!({ "groups": groups }))?)?;
    Ok(())
}

fn promtool(arguments: &[&str], file: &Path) -> Result<Output> {
    Command::new(e2e::tools::program("promtool")?).args(arguments).arg(file).output().context("cannot run promtool")
}

fn expect_success(output: &Output) -> Result<()> {
    let said = [output.stdout.as_slice(), output.stderr.as_slice()].concat();
    ensure!(output.status.success(), "promtool ({}) says:\n{}", output.status, String::from_utf8_lossy(&said));
    Ok(())
}

#[test]
fn the_rules_are_valid_and_lint() -> Result<()> {
    let file = directory("lint")?.join("rules.yaml");
    write_rules(&file, &rule_groups(&PACKAGES))?;
    let output = promtool(&["check", "rules", "--lint=all", "--lint-fatal"], &file)?;
    expect_success(&output)?;
    let found = format!("{} rules found", rule_groups(&PACKAGES)[0].rules.len());
    ensure!(String::from_utf8_lossy(&output.stdout).contains(&found), "promtool read other than {found}: {output:?}");
    Ok(())
}

#[test]
fn the_rules_are_valid_whatever_the_names_are() -> Result<()> {
    let file = directory("names")?.join("rules.yaml");
    let names = [
        "a",
        "7days",
        "shop.packages",
        "\"",
        "\\",
        "\\\"",
        "x\"} or up{a=\"",
        "{{ .Labels }}",
        "{@}",
        "a\nb\t\0",
        "#",
        "é\u{202e}",
        "$1|.*",
    ];
    let mut groups = Vec::new();
    for (index, name) in names.iter().enumerate() {
        let other = names[(index + 3) % names.len()];
        groups.extend(rule_groups(&Watched {
            namespace: other,
            recommender: name,
            serving_deployment: name,
            metrics_path: name,
            health_path: other,
            ..PACKAGES
        }));
    }
    write_rules(&file, &groups)?;
    // No lint: in one file the alerts of several objects count as duplicates; in a cluster each object has its own.
    expect_success(&promtool(&["check", "rules", "--lint=none"], &file)?)
}

#[test]
fn the_rules_say_the_right_thing_about_fast_api_servers() -> Result<()> {
    run_scenarios("fast_api_instrumentator", include_str!("rules/fast_api_instrumentator.yaml"))
}

fn run_scenarios(profile: &str, scenarios: &str) -> Result<()> {
    let directory = directory(profile)?;
    write_rules(&directory.join("rules.yaml"), &rule_groups(&PACKAGES))?;
    let file = directory.join("scenarios.yaml");
    let expanded = scenarios
        .replace("@a", &target("packages", "packages-serving-7c9d8b6f5-x2x4z", "10.1.0.5"))
        .replace("@b", &target("packages", "packages-serving-7c9d8b6f5-4k8wq", "10.1.0.6"))
        .replace("@other", &target("books", "books-serving-5f6b7c8d9-9zv7m", "10.1.0.7"));
    fs::write(&file, &expanded)?;
    expect_success(&promtool(&["test", "rules"], &file)?)?;
    every_alert_fires_and_rests(&expanded)
}

/// The part of promtool's format that tells which alerts are tried.
#[derive(Deserialize)]
struct Scenarios {
    tests: Vec<Scenario>,
}

#[derive(Deserialize)]
struct Scenario {
    #[serde(default)]
    alert_rule_test: Vec<AlertTest>,
}

#[derive(Deserialize)]
struct AlertTest {
    alertname: String,
    exp_alerts: Vec<serde_json::Value>,
}

fn every_alert_fires_and_rests(scenarios: &str) -> Result<()> {
    let scenarios: Scenarios = serde_saphyr::from_str(scenarios)?;
    let mut seen: BTreeMap<bool, BTreeSet<String>> = BTreeMap::new();
    for test in scenarios.tests.into_iter().flat_map(|scenario| scenario.alert_rule_test) {
        seen.entry(!test.exp_alerts.is_empty()).or_default().insert(test.alertname);
    }
    let all: BTreeSet<String> = ALERTS.iter().map(|alert| alert.name.to_owned()).collect();
    for (firing, what) in [(true, "fires"), (false, "does not fire")] {
        let tried = seen.remove(&firing).unwrap_or_default();
        ensure!(tried == all, "each alert needs a scenario in which it {what}; there are only {tried:?}");
    }
    Ok(())
}
