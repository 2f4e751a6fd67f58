//! Why a pod does not start or has ended, and what to change: from what the kubelet, the scheduler and the controllers report
//! to a cause and a remedy in the object's own fields. Pure; the knowledge is in tables.
//!
//! ```text
//! reason and message ─> row of a table (first that matches) ─> cause, the quoted sentence, remedy with fields
//! ```

mod containers;
mod fields;
mod images;
mod pods;
mod probes;
mod quote;
mod refusals;
mod scheduling;
#[cfg(test)]
mod tests;
mod volumes;

pub use fields::{Part, field};
pub use images::PULL as PULL_FAILURES;
pub use probes::{failed as failed_probe, killed_for};
pub use quote::quoted;
pub use scheduling::{NO_DEFAULT_SCHEDULER, NO_SCHEDULER};

/// Where a sentence about a pod comes from.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum Source {
    /// A container that waits: its reason and message.
    Waiting,
    /// A container that has ended: its reason, and `exit code N`.
    Ended,
    /// The scheduler: the condition PodScheduled.
    Unscheduled,
    /// The pod itself: its status, or its condition DisruptionTarget.
    Pod,
    /// The kubelet's Events about a pod: volumes, network, pull secrets.
    Event,
    /// A probe that failed: its type, and what it returned.
    Probe,
    /// Pods are not created: Events of a Job, the condition ReplicaFailure of a Deployment, and the API server's refusals.
    Refused,
}

/// What the texts are about.
#[derive(Clone, Debug, PartialEq)]
pub struct Subject<'a> {
    /// The part of the spec that the pod comes from.
    pub part: Part,
    /// Namespace of the object.
    pub namespace: &'a str,
    /// What to name in advice for kubectl: `pod NAME` or `job NAME`.
    pub object: &'a str,
    /// The container's image; empty when it is not known.
    pub image: &'a str,
    /// Whether it is an init container or a sidecar, which has fields of its own.
    pub is_init: bool,
}

/// One row of a table. Placeholders in braces are names of [`fields`], or those of [`value`].
struct Row {
    source: Source,
    /// Reasons that it is for; none: every reason.
    reasons: &'static [&'static str],
    /// Texts of which one must be in the message, in lower case; none: every message.
    any: &'static [&'static str],
    /// What is wrong.
    cause: &'static str,
    /// What to change; empty when only a command helps.
    remedy: &'static str,
}

/// The tables. Within one, special rows come before general ones.
const TABLES: [&[Row]; 7] =
    [images::ROWS, containers::ROWS, scheduling::ROWS, volumes::ROWS, probes::ROWS, pods::ROWS, refusals::ROWS];

/// Most causes of one sentence: the scheduler names one for each group of nodes.
const MOST_CAUSES: usize = 3;

/// Cause and remedy of what was reported.
#[derive(Clone, Debug, PartialEq)]
pub struct Cause {
    /// Cause, quote and remedy, without a full stop.
    pub text: String,
    /// Whether a row for this very message matched, and not the one for every message of its reason.
    pub is_specific: bool,
}

/// The cause of what `source` reports with a reason and a message; none when no row is for that reason.
pub fn explain(subject: &Subject<'_>, source: Source, reason: &str, message: &str) -> Option<Cause> {
    let lower = message.to_lowercase();
    let mut rows: Vec<&Row> = Vec::new();
    for part in parts(source, &lower) {
        let row = rows_for(source, reason).find(|row| row.any.iter().any(|text| part.contains(text)));
        rows.extend(row.filter(|row| !rows.iter().any(|known| known.cause == row.cause)));
    }
    rows.truncate(MOST_CAUSES);
    let is_specific = !rows.is_empty();
    if !is_specific {
        rows.push(rows_for(source, reason).find(|row| row.any.is_empty())?);
    }
    let causes: Vec<_> = rows.iter().map(|row| row.cause).collect();
    let remedies: Vec<_> = rows.iter().map(|row| row.remedy).filter(|remedy| !remedy.is_empty()).collect();
    // An exit code is part of the cause already.
    let quote = quoted(message).filter(|_| source != Source::Ended);
    let sentence = [filled(&causes.join(", and "), subject, reason)].into_iter().chain(quote).collect::<Vec<_>>();
    let advice = (!remedies.is_empty()).then(|| filled(&remedies.join("; "), subject, reason));
    Some(Cause { text: [sentence.join(": ")].into_iter().chain(advice).collect::<Vec<_>>().join("; "), is_specific })
}

fn rows_for(source: Source, reason: &str) -> impl Iterator<Item = &'static Row> {
    let is_for = move |row: &&Row| row.source == source && (row.reasons.is_empty() || row.reasons.contains(&reason));
    TABLES.into_iter().flatten().filter(is_for)
}

/// The parts of a message that have a cause each: the scheduler counts the nodes of each.
fn parts(source: Source, message: &str) -> Vec<&str> {
    match source {
        Source::Unscheduled => message.split("preemption:").next().unwrap_or_default().split(", ").collect(),
        _ => vec![message],
    }
}

/// The text with its placeholders replaced. A brace of a quoted message that is no placeholder stays.
fn filled(template: &str, subject: &Subject<'_>, reason: &str) -> String {
    let mut text = String::new();
    let mut rest = template;
    while let Some((before, after)) = rest.split_once('{') {
        text.push_str(before);
        let value = after.split_once('}').and_then(|(name, after)| Some((value(name, subject, reason)?, after)));
        rest = match value {
            Some((value, after)) => {
                text.push_str(&value);
                after
            }
            None => {
                text.push('{');
                after
            }
        };
    }
    text + rest
}

/// Only the rollout of servers starts pods beside the old ones and can be configured not to.
fn surge(part: Part) -> String {
    let field = field("MaxSurge", part).filter(|_| part == Part::Serving);
    field.map(|field| format!("; a rollout needs room for one more pod, unless {field} is 0")).unwrap_or_default()
}

/// A field of the object.
fn path(name: &str, subject: &Subject<'_>) -> Option<String> {
    if subject.is_init { fields::field_of_init(name, subject.part) } else { field(name, subject.part) }
}

/// The value of a placeholder. `log` is what `kubectl logs` takes; `probe` and `entry` are those of a failed probe, whose type is
/// the reason.
fn value(name: &str, subject: &Subject<'_>, reason: &str) -> Option<String> {
    match name {
        "namespace" => Some(subject.namespace.to_owned()),
        "object" => Some(subject.object.to_owned()),
        "log" => Some(subject.object.replacen(' ', "/", 1)),
        "probe" => Some(reason.to_lowercase()),
        "entry" => Some(format!("{} (type {reason})", path("ProbeEntry", subject)?)),
        "image" => Some(subject.image.to_owned()),
        "surge" => Some(surge(subject.part)),
        _ => path(name, subject),
    }
}
