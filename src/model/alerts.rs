//! Changes of alerts.

use std::collections::BTreeMap;

use super::{FieldPath, InvalidField, beyond_the_buckets};
use crate::{
    api::{AlertSettings, AlertSeverity, Monitoring},
    catalog::{self, Alert, CUSTOM, Severity, most_similar},
    monitoring::{alerts::Change, profiles},
};

/// The changes of an object's alerts, by name.
///
/// # Errors
/// Every one that cannot be made.
pub(super) fn changes(monitoring: Option<&Monitoring>) -> Result<BTreeMap<String, Change>, Vec<InvalidField>> {
    let Some(monitoring) = monitoring else { return Ok(BTreeMap::new()) };
    let (mut changes, mut problems) = (BTreeMap::new(), Vec::new());
    for (name, settings) in &monitoring.alerts {
        let path = FieldPath::spec().field("monitoring.alerts").key(name);
        match change(&path, name, settings, &monitoring.metrics.profile) {
            Ok(change) => drop(changes.insert(name.clone(), change)),
            Err(problem) => problems.push(problem),
        }
    }
    if problems.is_empty() { Ok(changes) } else { Err(problems) }
}

fn change(path: &FieldPath, name: &str, settings: &AlertSettings, profile: &str) -> Result<Change, InvalidField> {
    let catalog = catalog::current();
    let Some(alert) = catalog.alert(name) else {
        let nearest = most_similar(name, catalog.alerts.iter().map(|alert| alert.name.as_str())).unwrap_or_default();
        return Err(path.problem(format!(
            "there is no such alert of objects; the most similar one is {nearest}: write its name; docs/runbooks has a page for each \
             alert, also for those on the operator itself, which its chart has"
        )));
    };
    let threshold = settings.threshold.as_ref().map(|of| threshold(alert, &of.0, profile)).transpose();
    let threshold = threshold.map_err(|why| path.field("threshold").problem(why))?;
    Ok(Change {
        is_disabled: settings.disabled.unwrap_or(false),
        threshold,
        for_seconds: settings.for_seconds,
        severity: settings.severity.map(severity),
    })
}

/// A threshold that the alert can compare with.
fn threshold(alert: &Alert, text: &str, profile: &str) -> Result<f64, String> {
    let Some(of) = alert.threshold else {
        return Err("it compares with none that can be changed: remove the field".into());
    };
    let unit = of.unit.as_str();
    let value =
        number(text).ok_or_else(|| format!("{text:?} is no number of {unit}: write for example \"{}\"", of.default))?;
    if let Some(why) = of.problem(value) {
        return Err(why);
    }
    if !alert.is_on_latency() {
        return Ok(value);
    }
    // What expressions of the spec can show is not known, and an unknown profile is a problem of its own.
    if profile == CUSTOM {
        return Ok(value);
    }
    let Some(known) = profiles::find(profile) else { return Ok(value) };
    let Some(latency) = &known.latency else {
        return Err(format!(
            "servers of the profile {profile} have no histogram of the latency, so this alert is left out: remove it"
        ));
    };
    beyond_the_buckets(value, latency).map_or(Ok(value), |why| Err(format!("{text} s is {why}")))
}

/// A decimal number; `None` of what is none, or too large or too small to be represented.
fn number(text: &str) -> Option<f64> {
    let value: f64 = text.parse().ok()?;
    let is_zero = !text.split(['e', 'E']).next()?.contains(|c: char| c.is_ascii_digit() && c != '0');
    (value.is_finite() && (value != 0.0 || is_zero)).then_some(value)
}

const fn severity(severity: AlertSeverity) -> Severity {
    match severity {
        AlertSeverity::Critical => Severity::Critical,
        AlertSeverity::Warning => Severity::Warning,
        AlertSeverity::Info => Severity::Info,
    }
}
