//! The alerting rules of an object: the alerts of the catalogue (`src/catalog/alerts/`) that can fire for it.

use std::collections::BTreeMap;

use super::{Watched, profiles};
use crate::{
    api::monitoring_coreos::Rule,
    catalog::{self, Alert},
    series::Series,
};

/// What the address of an alert's runbook begins with: its directory in the repository.
const RUNBOOKS: &str = "docs/runbooks";

/// The alerting rules of an object. Alerts have the labels of the series they read (`namespace`, `recommender`, and `workload` or
/// `dependency`). No text of the object is inserted into a template. An alert on a series that is not recorded could never fire;
/// it is left out. `recorded`: the recording rules of the object.
pub fn rules(watched: &Watched, recorded: &[Rule]) -> Vec<Rule> {
    let is_recorded = |series: &Series| recorded.iter().any(|rule| rule.record.as_deref() == Some(series.name()));
    let all = catalog::embedded().alerts.iter().filter(|alert| alert.series.iter().all(is_recorded));
    all.filter_map(|alert| rule(alert, watched)).collect()
}

/// The rule for an alert; `None` if its threshold is a latency that the buckets of the servers cannot show.
fn rule(alert: &Alert, watched: &Watched) -> Option<Rule> {
    let threshold = alert.threshold.map_or(0.0, |of| of.default);
    if alert.is_on_latency() && profiles::limit_seconds(watched.profile).is_some_and(|limit| threshold >= limit) {
        return None;
    }
    Some(Rule {
        alert: Some(alert.name.clone()),
        expr: alert.expr(&watched.matchers_of(alert.applies_to), threshold),
        for_: alert.for_.clone(),
        labels: BTreeMap::from([("severity".into(), alert.severity.as_str().into())]),
        annotations: BTreeMap::from([
            ("summary".into(), alert.summary.clone()),
            ("description".into(), alert.description(threshold)),
            ("runbook_url".into(), format!("{RUNBOOKS}/{}.md", alert.name)),
        ]),
        ..Rule::default()
    })
}
