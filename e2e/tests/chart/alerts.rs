//! The chart's alerts on the operator itself: valid, tested by scenarios, and each with a runbook. Needs no cluster.

use std::{
    collections::{BTreeMap, BTreeSet},
    fs,
    path::PathBuf,
};

use anyhow::{Context, Result, ensure};
use e2e::{
    paths,
    promtool::{LINT, every_alert_fires_and_does_not_fire, promtool},
};
use recommender_operator::{
    catalog,
    cli::{Cli, Command},
    telemetry::{
        Metrics,
        models::{Gauge, Samples},
    },
};
use serde_json::Value;

use crate::helm::{IMAGE, files, items, rendered, string, strings, template, text, yaml};

/// Values with which the alerts are rendered.
const ENABLED: [&str; 4] =
    ["--set", IMAGE, "--set", "serviceMonitor.enabled=true,prometheusRule.enabled=true,prometheusRule.watchdog=true"];

/// The alert that always fires.
const WATCHDOG: &str = "RecommenderWatchdog";

/// The alerts that read no metric of the operator, with what their expression contains instead.
const OF_OTHERS: [(&str, &str); 2] =
    [("RecommenderNotificationsFailing", "alertmanager_notifications_failed_total"), (WATCHDOG, "vector(1)")];

/// How soon a person responds to an alert of each severity.
const RESPONSE_TIMES: [(&str, &str); 3] = [("critical", "15m"), ("warning", "60m"), ("info", "24h")];

/// The labels that Prometheus gives to a replica's series by the chart's ServiceMonitor.
fn target(namespace: &str, job: &str, pod: &str, address: &str) -> String {
    format!(
        r#"namespace="{namespace}",job="{job}",service="{job}",pod="{job}-{pod}",container="operator",endpoint="http",instance="{address}:8080""#
    )
}

/// The PrometheusRule of release `r` in the namespace `ops`.
fn prometheus_rule(arguments: &[&str]) -> Result<Value> {
    let objects = yaml(&rendered("ops", &[&ENABLED, arguments].concat())?)?;
    objects.into_iter().find(|object| object["kind"] == "PrometheusRule").context("no PrometheusRule")
}

fn alerts() -> Result<Vec<Value>> {
    let rules = items(&prometheus_rule(&[])?["spec"]["groups"][0]["rules"]).to_vec();
    ensure!(rules.iter().all(|rule| !string(&rule["alert"]).is_empty()), "there are rules that are no alerts");
    Ok(rules)
}

/// A directory with the rendered rules and the scenarios.
fn directory(test: &str) -> Result<PathBuf> {
    let directory = PathBuf::from(env!("CARGO_TARGET_TMPDIR")).join("operator-alerts").join(test);
    fs::create_dir_all(&directory)?;
    fs::write(directory.join("rules.yaml"), prometheus_rule(&[])?["spec"].to_string())?;
    let job = "r-recommender-operator";
    let scenarios = include_str!("alerts.yaml")
        .replace("@a", &target("ops", job, "6d5f7c9b8-x2x4z", "10.1.0.5"))
        .replace("@b", &target("ops", job, "6d5f7c9b8-4k8wq", "10.1.0.6"))
        .replace("@other", &target("dev", "s-recommender-operator", "7f9b6d4c5-9zv7m", "10.1.0.7"));
    fs::write(directory.join("scenarios.yaml"), scenarios)?;
    Ok(directory)
}

#[test]
fn the_alerts_are_valid_and_lint() -> Result<()> {
    promtool(&LINT, &directory("lint")?.join("rules.yaml")).map(drop)
}

#[test]
fn the_alerts_fire_and_resolve_as_the_scenarios_expect() -> Result<()> {
    promtool(&["test", "rules"], &directory("scenarios")?.join("scenarios.yaml")).map(drop)
}

#[test]
fn every_alert_has_scenarios_in_which_it_fires_and_does_not_fire() -> Result<()> {
    let scenarios = yaml(include_str!("alerts.yaml"))?.remove(0);
    let tests = items(&scenarios["tests"]).iter().flat_map(|scenario| items(&scenario["alert_rule_test"]));
    let tested = tests.map(|test| (string(&test["alertname"]).to_owned(), !items(&test["exp_alerts"]).is_empty()));
    // One that always fires is not expected to be quiet in any scenario.
    let tested: Vec<(String, bool)> = tested.collect();
    ensure!(!tested.contains(&(WATCHDOG.to_owned(), false)), "{WATCHDOG} does not fire");
    let tested = tested.into_iter().chain([(WATCHDOG.to_owned(), false)]);
    let all = alerts()?.iter().map(|alert| string(&alert["alert"]).to_owned()).collect();
    every_alert_fires_and_does_not_fire(&all, tested)
}

#[test]
fn every_alert_states_its_severity_and_what_to_do() -> Result<()> {
    let times = BTreeMap::from(RESPONSE_TIMES);
    for alert in alerts()? {
        let name = string(&alert["alert"]);
        let annotation = |key: &str| string(&alert["annotations"][key]);
        let time = times.get(string(&alert["labels"]["severity"]));
        assert_eq!(time, Some(&annotation("response_time")), "{name}: response_time of its severity");
        assert_eq!(annotation("runbook_url"), format!("docs/runbooks/{name}.md"));
        let summary = annotation("summary");
        ensure!(summary.ends_with('.') && !summary.contains("{{"), "{name}: {summary}");
        ensure!(annotation("description").contains("{{ $labels.namespace }}"), "{name} names no namespace");
        ensure!(!alert.to_string().contains("{@}"), "{name} has a selector that is not filled in");
    }
    Ok(())
}

/// A renamed metric would silence its alerts: the scenarios have the old name as well.
#[test]
fn the_alerts_read_metrics_that_the_operator_exposes() -> Result<()> {
    let metrics = Metrics::new();
    metrics.initialize_failures(["child"]);
    metrics.models().set("shop", "packages", Samples::from([((Gauge::RulesLoaded, Vec::new()), 1.0)]));
    metrics.scaling().read("default", 0.1, true);
    metrics.scaling().observed(["shop", "packages", "serving"], true);
    let exposed = String::from_utf8(metrics.encode()?)?;
    let exposed: BTreeSet<&str> = exposed.lines().filter_map(|line| line.split(['{', ' ']).next()).collect();
    for alert in alerts()? {
        let expr = string(&alert["expr"]);
        if let Some((_, read)) = OF_OTHERS.iter().find(|(name, _)| *name == string(&alert["alert"])) {
            ensure!(expr.contains(read), "{} reads something else: {expr}", alert["alert"]);
            continue;
        }
        let words = expr.split(|c: char| !c.is_ascii_alphanumeric() && c != '_');
        let read: BTreeSet<&str> =
            words.filter(|word| word.starts_with("recommender_operator_") || word.starts_with("process_")).collect();
        ensure!(!read.is_empty(), "{} reads no metric of the operator: {expr}", alert["alert"]);
        let missing: Vec<_> = read.difference(&exposed).collect();
        ensure!(missing.is_empty(), "{} reads metrics that are not exposed: {missing:?}", alert["alert"]);
    }
    Ok(())
}

/// What a page of `docs/runbooks/` has.
const SECTIONS: [&str; 4] = ["## What it means", "## Check", "## What to do", "## When to wake a person"];

#[test]
fn every_alert_has_a_runbook_and_every_runbook_an_alert() -> Result<()> {
    let pages = files(&paths::repository().join("docs/runbooks"))?;
    let named: BTreeSet<&str> = pages.iter().filter_map(|page| page.file_stem()?.to_str()).collect();
    let alerts = alerts()?;
    let of_operator: BTreeSet<&str> = alerts.iter().map(|alert| string(&alert["alert"])).collect();
    let of_objects = catalog::embedded().alerts.iter().map(|alert| alert.name.as_str());
    let known: BTreeSet<&str> = of_objects.chain(of_operator).collect();
    let without: Vec<_> = known.difference(&named).collect();
    ensure!(without.is_empty(), "alerts without a page in docs/runbooks/: {without:?}");
    let unknown: Vec<_> = named.difference(&known).collect();
    ensure!(unknown.is_empty(), "pages in docs/runbooks/ without an alert: {unknown:?}");
    for page in &pages {
        let written = fs::read_to_string(page)?;
        let missing: Vec<_> = SECTIONS.iter().filter(|section| !written.contains(*section)).collect();
        ensure!(missing.is_empty(), "{} has no section {missing:?}", text(page));
        ensure!(written.contains("kubectl"), "{} has no command", text(page));
    }
    Ok(())
}

#[test]
fn two_alerts_are_added_and_left_out_by_values() -> Result<()> {
    let names = |set: &str| -> Result<BTreeSet<String>> {
        let rules = prometheus_rule(&["--set", set])?["spec"]["groups"][0]["rules"].clone();
        Ok(items(&rules).iter().map(|rule| string(&rule["alert"]).to_owned()).collect())
    };
    let all: BTreeSet<String> = alerts()?.iter().map(|alert| string(&alert["alert"]).to_owned()).collect();
    for (set, name) in
        [("prometheusRule.watchdog=false", WATCHDOG), ("prometheusRule.notifications=false", OF_OTHERS[0].0)]
    {
        let left_out: Vec<_> = all.difference(&names(set)?).cloned().collect();
        assert_eq!(left_out, [name]);
    }
    let objects =
        yaml(&rendered("ops", &["--set", IMAGE, "--set", "serviceMonitor.enabled=true,prometheusRule.enabled=true"])?)?;
    ensure!(
        !serde_json::to_string(&objects)?.contains(WATCHDOG),
        "{WATCHDOG} needs a route, so it is not there by default"
    );
    Ok(())
}

#[test]
fn the_runbooks_may_be_elsewhere() -> Result<()> {
    for base in ["https://example.org/runbooks", "https://example.org/runbooks/"] {
        let rule = prometheus_rule(&["--set", &format!("prometheusRule.runbookBaseURL={base}")])?;
        let down = &rule["spec"]["groups"][0]["rules"][0];
        assert_eq!(down["annotations"]["runbook_url"], "https://example.org/runbooks/RecommenderOperatorDown.md");
    }
    Ok(())
}

#[test]
fn the_alerts_of_objects_name_the_same_runbooks() -> Result<()> {
    use clap::Parser;
    for (set, expected) in [("", "docs/runbooks"), ("https://example.org/runbooks/", "https://example.org/runbooks")] {
        let objects =
            yaml(&rendered("ops", &["--set", IMAGE, "--set", &format!("prometheusRule.runbookBaseURL={set}")])?)?;
        let deployment = objects.iter().find(|object| object["kind"] == "Deployment").context("no Deployment")?;
        let arguments = strings(&deployment["spec"]["template"]["spec"]["containers"][0]["args"]);
        let line = [&["recommender-operator"], arguments.as_slice()].concat();
        let Command::Run(run) = Cli::try_parse_from(&line)?.command else { anyhow::bail!("not run: {line:?}") };
        assert_eq!(run.runbooks.base_url, expected);
    }
    Ok(())
}

#[test]
fn the_alerts_need_a_service_monitor_that_scrapes_often_enough() -> Result<()> {
    let alone = template("ops", &["--set", IMAGE, "--set", "prometheusRule.enabled=true"])?.err();
    let alone = alone.context("alerts without a ServiceMonitor are not refused")?;
    ensure!(alone.contains("Enable serviceMonitor as well"), "{alone}");
    for (interval, is_enough) in
        [("500ms", true), ("1s", true), ("60s", true), ("1m", true), ("61s", false), ("1h", false)]
    {
        let set = format!("serviceMonitor.interval={interval}");
        let refused = template("ops", &[&ENABLED[..], &["--set", &set]].concat())?.err();
        assert_eq!(refused.is_none(), is_enough, "{interval}: {refused:?}");
        ensure!(
            refused.is_none_or(|why| why.contains("Set it to 1m or less")),
            "{interval} is refused without a remedy"
        );
    }
    Ok(())
}
