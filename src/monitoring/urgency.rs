//! Which rules are evaluated every minute, and which every two: evaluations are what many objects cost a Prometheus.
//!
//! Every minute: the alerts that are [urgent](is_urgent), what they read, and what the operator and people [follow](FOLLOWED). Of other
//! alerts, two minutes more are a small part of the time that they hold and of the time in which a person is to respond.

use std::{
    collections::{BTreeSet, HashSet},
    time::Duration,
};

use promql_parser::util::parse_duration;

use super::promql::words;
use crate::{
    api::monitoring_coreos::Rule,
    catalog::Severity,
    series::{PREFIX, Series},
};

/// How long a critical alert holds at least for its rule to be evaluated every two minutes.
const LONG_CRITICAL: Duration = Duration::from_secs(600);
/// The same of any other alert.
const LONG: Duration = Duration::from_secs(300);
/// Series that are recorded every minute regardless of alerts: what the operator reads, the load of servers, the progress of trainings, and the two series from
/// which requests of objectives are counted by their number of samples.
const FOLLOWED: [Series; 16] = [
    Series::SeveralProcesses,
    Series::DependencyUp,
    Series::Lag,
    Series::LagSeconds,
    Series::InFlight,
    Series::Requests,
    Series::RequestErrors,
    Series::LatencyP50,
    Series::LatencyP95,
    Series::LatencyP99,
    Series::ObjectiveBad,
    Series::ObjectiveAll,
    Series::TrainingProgress,
    Series::TrainingStep,
    Series::TrainingLoss,
    Series::TrainingRemaining,
];

/// Rules in the order in which they are to be evaluated.
pub struct Split {
    /// Every minute.
    pub minute: Vec<Rule>,
    /// Every two minutes: recording rules.
    pub slow: Vec<Rule>,
    /// Every two minutes: alerts.
    pub slow_alerts: Vec<Rule>,
}

/// Splits rules by how often they are evaluated. `recorded`: rules of which each comes after those whose series it reads. `faster`: names
/// of further series that are recorded every minute or more often; an alert that reads none of them and of `recorded` is about what
/// changes every two minutes.
pub fn split(recorded: Vec<Rule>, alerts: Vec<Rule>, faster: &HashSet<String>) -> Split {
    let known: HashSet<&str> =
        recorded.iter().filter_map(|rule| rule.record.as_deref()).chain(faster.iter().map(String::as_str)).collect();
    let is_urgent = |alert: &Rule| is_urgent(alert) && read(&alert.expr).any(|name| known.contains(name));
    let (urgent, slow_alerts): (Vec<_>, Vec<_>) = alerts.into_iter().partition(is_urgent);
    let mut needed: BTreeSet<String> = FOLLOWED.iter().map(|series| series.name().to_owned()).collect();
    let mut need = |rule: &Rule| needed.extend(read(&rule.expr).map(str::to_owned));
    urgent.iter().for_each(&mut need);
    let (mut minute, mut slow) = (Vec::new(), Vec::new());
    for rule in recorded.into_iter().rev() {
        if rule.record.as_ref().is_some_and(|name| needed.contains(name)) {
            needed.extend(read(&rule.expr).map(str::to_owned));
            minute.push(rule);
        } else {
            slow.push(rule);
        }
    }
    minute.reverse();
    slow.reverse();
    minute.extend(urgent);
    Split { minute, slow, slow_alerts }
}

/// Whether an alert wakes a person within minutes, or holds so short that it would end between two evaluations.
fn is_urgent(alert: &Rule) -> bool {
    let holds = alert.for_.as_deref().and_then(|text| parse_duration(text).ok()).unwrap_or_default();
    let is_critical = alert.labels.get("severity").is_some_and(|of| of == Severity::Critical.as_str());
    holds < if is_critical { LONG_CRITICAL } else { LONG }
}

/// The names of the canonical series that an expression reads.
fn read(expr: &str) -> impl Iterator<Item = &str> {
    words(expr).filter(|word| word.starts_with(PREFIX))
}

#[cfg(test)]
mod tests {
    use std::collections::BTreeMap;

    use super::*;

    fn record(name: &str, expr: &str) -> Rule {
        Rule { record: Some(name.into()), expr: expr.into(), ..Rule::default() }
    }

    fn alert(name: &str, expr: &str, holds: Option<&str>, severity: &str) -> Rule {
        let labels = BTreeMap::from([("severity".into(), severity.into())]);
        Rule { alert: Some(name.into()), expr: expr.into(), for_: holds.map(Into::into), labels, ..Rule::default() }
    }

    fn names(rules: &[Rule]) -> Vec<&str> {
        rules.iter().filter_map(|rule| rule.record.as_deref().or(rule.alert.as_deref())).collect()
    }

    #[test]
    fn urgent_alerts_and_what_they_read_are_evaluated_every_minute_and_all_else_every_two() {
        let recorded = vec![
            record("recommender:a", "x"),
            record("recommender:a:b", "x"),
            record("recommender:sum", "recommender:a{} + 1"),
            record("recommender:panel", "recommender:sum{}"),
            record(Series::Lag.name(), "x"),
        ];
        let alerts = vec![
            alert("Wakes", "recommender:sum{} > 1", Some("9m"), "critical"),
            alert("WakesLater", "recommender:panel{} > 1", Some("600s"), "critical"),
            alert("Short", "recommender:faster{} > 1", Some("4m"), "warning"),
            alert("Long", "recommender:a{} > 1", Some("5m"), "warning"),
            alert("AtOnceOfSlow", "recommender:of_slow{} > 1", None, "critical"),
        ];
        let split = split(recorded, alerts, &HashSet::from(["recommender:faster".to_owned()]));
        assert_eq!(names(&split.minute), ["recommender:a", "recommender:sum", Series::Lag.name(), "Wakes", "Short"]);
        assert_eq!(names(&split.slow), ["recommender:a:b", "recommender:panel"]);
        assert_eq!(names(&split.slow_alerts), ["WakesLater", "Long", "AtOnceOfSlow"]);
    }
}
