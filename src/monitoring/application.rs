//! Series that only the application itself can measure, in PromQL of the spec: `spec.monitoring.signals`.
//!
//! A rule aggregates to exactly the labels of its series, and to a bounded number of their values at a time. Over time there are more
//! series where many values are about equally large, so docs/signals.md asks for labels with few values.

use std::collections::BTreeMap;

use super::{Monitored, recording::Source, signals::limited};
use crate::{
    api::monitoring_coreos::Rule,
    catalog::most_similar,
    series::{PREFIX, Series},
};

/// Expressions of an object by the series that they are recorded as, limited to its namespace.
pub type Application = BTreeMap<Series, String>;

/// The most values of the labels of a series; the others are left out.
const MOST_VALUES: usize = 20;
/// The most tenants, as in the name of [`Series::TenantRequests`].
const MOST_TENANTS: usize = 10;

/// Reads the expressions of a spec, by the names of their series without `recommender:`.
///
/// # Errors
/// Each that cannot be used: its name, and why.
pub fn read(signals: &BTreeMap<String, String>, namespace: &str) -> Result<Application, Vec<(String, String)>> {
    let (mut application, mut problems) = (Application::new(), Vec::new());
    for (name, text) in signals {
        match series(name).and_then(|series| Ok((series, limited(text, namespace)?))) {
            Ok((series, expr)) => drop(application.insert(series, expr)),
            Err(why) => problems.push((name.clone(), why)),
        }
    }
    if problems.is_empty() { Ok(application) } else { Err(problems) }
}

/// The series of a name without `recommender:`.
fn series(name: &str) -> Result<Series, String> {
    let known = || Series::SIGNALS.map(Series::short_name);
    Series::SIGNALS.into_iter().find(|series| series.short_name() == name).ok_or_else(|| {
        if let Some(short) = name.strip_prefix(PREFIX).filter(|short| known().contains(short)) {
            return format!("write it without {PREFIX}, as {short}");
        }
        let nearest = most_similar(name, known()).unwrap_or_default();
        let all = known().join(", ");
        format!("there is no such signal of an application; the most similar one is {nearest}: write one of {all}")
    })
}

/// The recording rules, with the labels of the servers.
pub fn rules(monitored: &Monitored) -> Vec<Rule> {
    let source = Source::new(monitored);
    let each = monitored.application.iter().map(|(series, expr)| (*series, bounded(*series, expr)));
    let share = monitored.application.get(&Series::TenantRequests).map(|expr| (Series::TenantShare, share(expr)));
    each.chain(share).map(|(series, expr)| source.rule(series.name(), expr)).collect()
}

/// A bounded number of elements with the labels of the series. `>= 0` drops NaN, the quantile of nothing and the ratio to nothing.
fn bounded(series: Series, expr: &str) -> String {
    let of = if series.is_sum() { "sum" } else { "max" };
    let most = if series == Series::TenantRequests { MOST_TENANTS } else { MOST_VALUES };
    match series.labels() {
        [] => format!("{of}({expr}) >= 0"),
        labels => format!("topk({most}, {of} by ({}) ({expr}) >= 0)", labels.join(", ")),
    }
}

/// The requests of the tenant that sends most, as a part of those of all.
fn share(expr: &str) -> String {
    format!("max(sum by (tenant) ({expr})) / (sum({expr}) > 0)")
}
