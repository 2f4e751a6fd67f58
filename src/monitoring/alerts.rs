//! The alerting rules of an object: the alerts of the catalogue (`src/catalog/alerts/`) that can fire for it.

use std::collections::BTreeMap;

use super::{Watched, profiles};
use crate::{
    api::monitoring_coreos::Rule,
    catalog::{self, Alert, Severity},
    series::Series,
};

/// What the address of an alert's runbook begins with: its directory in the repository.
const RUNBOOKS: &str = "docs/runbooks";

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
pub fn rules(watched: &Watched, recorded: &[Rule]) -> Vec<Rule> {
    let is_recorded = |series: &Series| recorded.iter().any(|rule| rule.record.as_deref() == Some(series.name()));
    let all = catalog::embedded().alerts.iter().filter(|alert| alert.series.iter().all(is_recorded));
    all.filter_map(|alert| rule(alert, watched)).collect()
}

/// The rule for an alert; `None` if it is disabled, or its threshold is a latency that the buckets of the servers cannot show.
fn rule(alert: &Alert, watched: &Watched) -> Option<Rule> {
    let change = watched.alerts.get(&alert.name).copied().unwrap_or_default();
    let threshold = change.threshold.or(alert.threshold.map(|of| of.default)).unwrap_or_default();
    if change.is_disabled {
        return None;
    }
    if alert.is_on_latency() && profiles::of(watched.profile).latency.as_ref().is_some_and(|of| !of.shows(threshold)) {
        return None;
    }
    Some(Rule {
        alert: Some(alert.name.clone()),
        expr: alert.expr(&watched.matchers_of(alert.applies_to), threshold),
        for_: match change.for_seconds {
            Some(0) => None,
            Some(seconds) => Some(format!("{seconds}s")),
            None => alert.for_.clone(),
        },
        labels: BTreeMap::from([("severity".into(), change.severity.unwrap_or(alert.severity).as_str().into())]),
        annotations: BTreeMap::from([
            ("summary".into(), alert.summary.clone()),
            ("description".into(), alert.description(threshold)),
            ("runbook_url".into(), format!("{RUNBOOKS}/{}.md", alert.name)),
        ]),
        ..Rule::default()
    })
}
