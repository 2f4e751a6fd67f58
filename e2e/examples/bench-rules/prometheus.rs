//! What a Prometheus says of its rules.

use std::collections::BTreeMap;

use anyhow::{Context, Result, ensure};
use e2e::prometheus::{Prometheus, number};
use serde_json::Value;

/// What it has counted since its start.
pub struct Totals {
    /// Evaluations that did not take place.
    pub missed: f64,
    /// Evaluations of a rule.
    pub evaluations: f64,
    /// Those that failed.
    pub failed: f64,
    /// CPU seconds.
    pub cpu: f64,
    /// Resident memory in bytes, at this moment.
    pub memory: f64,
}

/// The group whose evaluation takes the largest share of its interval.
pub struct Share {
    /// Time of an evaluation over the interval.
    pub of_interval: f64,
    /// The name of the group.
    pub group: String,
}

/// What evaluations cost, by kind of group and by rule.
#[derive(Default)]
pub struct Loads {
    /// By the last part of the name of a group and its interval.
    pub groups: BTreeMap<String, Load>,
    /// By the name of a rule and its dependency.
    pub rules: BTreeMap<String, Load>,
}

/// What evaluations of the same kind cost.
#[derive(Clone, Copy, Default)]
pub struct Load {
    /// Seconds of evaluation per second.
    pub cores: f64,
    /// Seconds of one evaluation of each.
    pub seconds: f64,
}

impl Load {
    /// Adds a group or a rule of the API.
    fn add(&mut self, evaluated: &Value, interval: f64) {
        let seconds = evaluated["evaluationTime"].as_f64().unwrap_or_default();
        self.seconds += seconds;
        self.cores += seconds / interval;
    }
}

/// Fails unless the series of the objects are scraped: rules without input cost next to nothing.
pub async fn check_scrapes(of: &Prometheus) -> Result<()> {
    let up = of.value(r#"min_over_time(up{job="series"}[1m])"#).await?;
    ensure!(up == 1.0, "the series are not scraped, or not within 5 s: see Status > Target health");
    Ok(())
}

/// What it has counted so far.
pub async fn totals(of: &Prometheus) -> Result<Totals> {
    Ok(Totals {
        missed: of.value("sum(prometheus_rule_group_iterations_missed_total)").await?,
        evaluations: of.value("sum(prometheus_rule_evaluations_total)").await?,
        failed: of.value("sum(prometheus_rule_evaluation_failures_total)").await?,
        cpu: of.value(r#"process_cpu_seconds_total{job="prometheus"}"#).await?,
        memory: of.value(r#"process_resident_memory_bytes{job="prometheus"}"#).await?,
    })
}

/// The group whose slowest evaluation within a window took the largest share of its interval.
pub async fn worst_share(of: &Prometheus, window: &str) -> Result<Share> {
    let slowest = format!("max_over_time(prometheus_rule_group_last_duration_seconds[{window}])");
    let found = of.query(&format!("topk(1, {slowest} / prometheus_rule_group_interval_seconds)")).await?;
    let worst = found.first().context("there are no rule groups")?;
    let group = worst["metric"]["rule_group"].as_str().unwrap_or_default();
    let group = group.rsplit_once(';').map_or(group, |(_, name)| name).to_owned();
    Ok(Share { of_interval: number(worst)?, group })
}

/// Number of rule groups.
pub async fn groups(of: &Prometheus) -> Result<f64> {
    of.value("count(prometheus_rule_group_rules)").await
}

/// Number of rules.
pub async fn rules(of: &Prometheus) -> Result<f64> {
    of.value("sum(prometheus_rule_group_rules)").await
}

/// Number of series that rules have recorded.
pub async fn recorded(of: &Prometheus) -> Result<f64> {
    of.value(r#"count({__name__=~"recommender:.*"})"#).await
}

/// What the last evaluations of all groups and of all rules took.
pub async fn loads(of: &Prometheus) -> Result<Loads> {
    let (status, body) = of.get("/api/v1/rules?exclude_alerts=true").await?;
    ensure!(status == 200, "Prometheus answered {status}: {body}");
    let answer: Value = serde_json::from_str(&body)?;
    let mut loads = Loads::default();
    for group in answer["data"]["groups"].as_array().context("the answer has groups")? {
        let interval = group["interval"].as_f64().context("a group has an interval")?;
        // recommender/NAMESPACE/OBJECT/KIND
        let kind = group["name"].as_str().unwrap_or_default().split('/').nth(3).unwrap_or("(last)");
        loads.groups.entry(format!("{kind} every {interval} s")).or_default().add(group, interval);
        for rule in group["rules"].as_array().into_iter().flatten() {
            let dependency =
                rule["labels"]["dependency"].as_str().map_or_else(String::new, |name| format!(" of {name}"));
            let name = format!("{}{dependency}", rule["name"].as_str().unwrap_or_default());
            loads.rules.entry(name).or_default().add(rule, interval);
        }
    }
    Ok(loads)
}
