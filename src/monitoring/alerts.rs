//! The alerting rules of an object: the alerts of the catalogue (`src/catalog/alerts/`) that can fire for it.

use std::collections::BTreeMap;

use super::{Monitored, Object, Workload, profiles, promql};
use crate::{
    api::monitoring_coreos::Rule,
    catalog::{self, Alert, AppliesTo, Severity},
    series::Series,
};

/// What the address of an alert's runbook begins with unless the operator is given a URL: its directory in the repository, as in
/// the chart's own alerts.
pub const RUNBOOKS: &str = "docs/runbooks";

/// What an object changes of an alert.
#[derive(Clone, Copy, Debug, Default, PartialEq)]
pub struct Change {
    /// Whether it is left out.
    pub is_disabled: bool,
    /// In the unit of its threshold.
    pub threshold: Option<f64>,
    /// How long its expression must be true, in seconds.
    pub for_seconds: Option<i32>,
    /// Its severity.
    pub severity: Option<Severity>,
}

/// The alerting rules of an object. Alerts have the labels of the series they read (`namespace`, `recommender`, and `workload` or
/// `dependency`). No text of the object is inserted into a template. An alert on a series that is not recorded could never fire;
/// it is left out. `recorded`: the recording rules of the object.
pub fn rules(monitored: &Monitored, recorded: &[Rule]) -> Vec<Rule> {
    let all = catalog::current().alerts.iter().filter(|alert| is_possible(alert, recorded));
    all.flat_map(|alert| of(alert, monitored, recorded)).collect()
}

/// Whether all series that an alert needs are recorded.
fn is_possible<'a>(alert: &Alert, recorded: impl IntoIterator<Item = &'a Rule> + Clone) -> bool {
    let is_recorded =
        |series: &Series| recorded.clone().into_iter().any(|rule| rule.record.as_deref() == Some(series.name()));
    alert.series.iter().all(is_recorded)
}

/// The rules for an alert; none if it is disabled or has to be set, or its threshold is a latency that the buckets of the servers cannot show.
fn of(alert: &Alert, monitored: &Monitored, recorded: &[Rule]) -> Vec<Rule> {
    let change = monitored.alerting.changes.get(&alert.name).copied();
    if alert.is_only_if_set && change.is_none() {
        return Vec::new();
    }
    let change = change.unwrap_or_default();
    let threshold = change.threshold.or(alert.threshold.map(|of| of.default)).unwrap_or_default();
    let latency = profiles::of(monitored.metrics.profile).latency.as_ref().filter(|_| alert.is_on_latency());
    if change.is_disabled || latency.is_some_and(|of| !of.shows_excess(threshold)) {
        return Vec::new();
    }
    let subjects = match alert.applies_to {
        AppliesTo::Dependencies | AppliesTo::EachDependency => {
            dependencies(alert, monitored, recorded, change.severity)
        }
        AppliesTo::Objectives => objectives(alert, monitored, change.severity),
        applies_to => vec![(vec![matchers(monitored.object, applies_to)], change.severity.unwrap_or(alert.severity))],
    };
    let expr = |all: &[String]| all.iter().map(|one| alert.expr(one, threshold)).collect::<Vec<_>>().join(" or ");
    let changed = Changed { alert, change, threshold, runbooks: monitored.alerting.runbooks };
    subjects.iter().map(|(all, severity)| changed.rule(expr(all), *severity)).collect()
}

/// The matchers of the series that an alert reads.
fn matchers(object: Object, applies_to: AppliesTo) -> String {
    match applies_to {
        AppliesTo::Serving => object.matchers_of(Workload::Serving),
        AppliesTo::Training => object.matchers_of(Workload::Training),
        AppliesTo::Workloads | AppliesTo::Dependencies | AppliesTo::EachDependency | AppliesTo::Objectives => {
            object.matchers()
        }
    }
}

/// The matchers of an alert on dependencies, and its severity: in one rule, or in two if it is less severe for those that the
/// recommender can do without. Left out are dependencies without the series that it needs.
fn dependencies(
    alert: &Alert,
    monitored: &Monitored,
    recorded: &[Rule],
    changed: Option<Severity>,
) -> Vec<(Vec<String>, Severity)> {
    let reported = monitored.dependencies.iter().filter(|dependency| {
        let is_its_own = |rule: &&Rule| rule.labels.get("dependency") == Some(&dependency.name);
        is_possible(alert, recorded.iter().filter(is_its_own))
    });
    let groups = by_severity(alert, reported.map(|of| (of.name.as_str(), of.critical)), changed);
    let is_whole = groups.len() == 1;
    let matchers = |names: Vec<&str>| match alert.applies_to {
        AppliesTo::EachDependency => {
            let one = |name| format!("{},{}", monitored.object.matchers(), promql::equals("dependency", name));
            names.into_iter().map(one).collect()
        }
        _ if is_whole => vec![monitored.object.matchers()],
        _ => vec![format!("{},dependency=~{}", monitored.object.matchers(), promql::any_of(names))],
    };
    groups.into_iter().map(|(names, severity)| (matchers(names), severity)).collect()
}

/// Names by the severity that an alert has for each, which is lower for what is not critical.
fn by_severity<'a>(
    alert: &Alert,
    named: impl IntoIterator<Item = (&'a str, bool)>,
    changed: Option<Severity>,
) -> Vec<(Vec<&'a str>, Severity)> {
    let low = if alert.severity == Severity::Critical { Severity::Warning } else { alert.severity };
    let mut groups: Vec<(Vec<&str>, Severity)> = Vec::new();
    for (name, is_critical) in named {
        let severity = changed.unwrap_or(if is_critical { alert.severity } else { low });
        match groups.iter_mut().find(|(_, of)| *of == severity) {
            Some((names, _)) => names.push(name),
            None => groups.push((vec![name], severity)),
        }
    }
    groups
}

/// The matchers of an alert on objectives, and its severity, which is lower for those that wake no one.
fn objectives(alert: &Alert, monitored: &Monitored, changed: Option<Severity>) -> Vec<(Vec<String>, Severity)> {
    let named = monitored.objectives.iter().map(|of| (of.name.as_str(), of.is_critical));
    let groups = by_severity(alert, named, changed);
    let is_whole = groups.len() == 1;
    let matchers = |names: Vec<&str>| {
        let object = monitored.object.matchers();
        if is_whole { object } else { format!("{object},objective=~{}", promql::any_of(names)) }
    };
    groups.into_iter().map(|(names, severity)| (vec![matchers(names)], severity)).collect()
}

/// An alert as an object changes it.
struct Changed<'a> {
    alert: &'a Alert,
    change: Change,
    threshold: f64,
    runbooks: &'a str,
}

impl Changed<'_> {
    fn rule(&self, expr: String, severity: Severity) -> Rule {
        let Self { alert, change, threshold, runbooks } = self;
        let runbook = alert.is_embedded.then(|| format!("{runbooks}/{}.md", alert.name));
        Rule {
            alert: Some(alert.name.clone()),
            expr,
            for_: match change.for_seconds {
                Some(0) => None,
                Some(seconds) => Some(format!("{seconds}s")),
                None => alert.for_.clone(),
            },
            labels: BTreeMap::from([("severity".into(), severity.as_str().into())]),
            annotations: [
                ("summary", Some(alert.summary.clone())),
                ("description", Some(alert.description(*threshold))),
                ("runbook_url", runbook.or_else(|| alert.runbook.clone())),
            ]
            .into_iter()
            .filter_map(|(name, text)| Some((name.to_owned(), text?)))
            .collect(),
            ..Rule::default()
        }
    }
}
