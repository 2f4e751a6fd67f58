//! Events: what changed between two statuses, one event per change.

use crate::{
    api::{
        RecommenderModelStatus, ScalingStatus,
        conditions::{reasons, types},
    },
    monitoring::Workload,
};

/// An event to be.
#[derive(Clone, Debug, PartialEq)]
pub struct Note {
    /// Whether it is bad news.
    pub warning: bool,
    /// Reason, as in the condition it comes from.
    pub reason: String,
    /// What was done or found, for a person.
    pub message: String,
}

impl Note {
    fn good(reason: &str, message: String) -> Self {
        Self { warning: false, reason: reason.into(), message }
    }

    fn bad(reason: &str, message: String) -> Self {
        Self { warning: true, reason: reason.into(), message }
    }
}

/// Conditions whose turning bad is news of its own. Ready, Reconciling and Stalled only sum up; the end of a training
/// run is told once, as a run.
const NEWSWORTHY: [&str; 5] =
    [types::TRAINING_READY, types::SERVING_READY, types::WORKERS_READY, types::SCALING_ACTIVE, types::MONITORING_READY];

/// Reasons that are states on the way, or told as a run.
const QUIET: [&str; 8] = [
    reasons::NOT_REQUESTED,
    reasons::NO_VERSION,
    reasons::ROLLING_OUT,
    reasons::TRAINING,
    reasons::TRAINING_FAILED,
    reasons::DEADLINE_EXCEEDED,
    reasons::INVALID_REPORT,
    reasons::PENDING,
];

/// What is new in `next`.
pub fn notes(prior: &RecommenderModelStatus, next: &RecommenderModelStatus) -> Vec<Note> {
    let mut notes = Vec::new();
    notes.extend(run_started(prior, next));
    notes.extend(run_ended(prior, next));
    notes.extend(version_serves(prior, next));
    notes.extend(scaled(prior, next));
    notes.extend(spec_refused(prior, next));
    notes.extend(turned_bad(prior, next));
    notes
}

fn run_started(prior: &RecommenderModelStatus, next: &RecommenderModelStatus) -> Option<Note> {
    let active = |status: &RecommenderModelStatus| status.training.as_ref()?.active.clone();
    let run = active(next)?;
    let new = active(prior).is_none_or(|before| before.version != run.version);
    let text = || format!("started Job {} ({}) for version {}", run.job, run.trigger.as_str(), run.version);
    new.then(|| Note::good(reasons::TRAINING, text()))
}

fn run_ended(prior: &RecommenderModelStatus, next: &RecommenderModelStatus) -> Option<Note> {
    let last = |status: &RecommenderModelStatus| status.training.as_ref()?.last.clone();
    let run = last(next)?;
    if last(prior).is_some_and(|before| before.version == run.version && before.finished_at == run.finished_at) {
        return None;
    }
    Some(if run.succeeded { Note::good(reasons::TRAINED, run.message) } else { Note::bad(&run.reason, run.message) })
}

fn version_serves(prior: &RecommenderModelStatus, next: &RecommenderModelStatus) -> Option<Note> {
    let version = |status: &RecommenderModelStatus| status.serving.as_ref()?.version.clone();
    let now = version(next)?;
    (version(prior).as_ref() != Some(&now))
        .then(|| Note::good(reasons::SERVING, format!("version {now} answers requests")))
}

/// Decisions on replicas, and promises that cannot be kept.
fn scaled(prior: &RecommenderModelStatus, next: &RecommenderModelStatus) -> Vec<Note> {
    let mut notes = Vec::new();
    for (workload, now) in scaling(next) {
        let before = scaling(prior).find(|(name, _)| *name == workload).map(|(_, before)| before);
        let troubled = reasons::SCALING_TROUBLES.contains(&now.reason.as_str());
        let decided = now.decisions.first();
        if troubled && before.is_none_or(|before| before.reason != now.reason) {
            // It tells of the number as well.
            notes.push(Note::bad(&now.reason, format!("{workload}: {}", now.message)));
        } else if let Some(decided) = decided.filter(|_| before.and_then(|before| before.decisions.first()) != decided)
        {
            notes.push(Note::good(reasons::SCALED, format!("{workload}: {}", decided.message)));
        }
    }
    notes
}

/// What was decided, by workload.
fn scaling(status: &RecommenderModelStatus) -> impl Iterator<Item = (&str, &ScalingStatus)> {
    let serving = status.serving.iter().map(|serving| (Workload::Serving.label(), serving.scaling.as_ref()));
    let workers = status.workers.iter().map(|worker| (worker.name.as_str(), worker.scaling.as_ref()));
    serving.chain(workers).filter_map(|(name, scaling)| Some((name, scaling?)))
}

fn spec_refused(prior: &RecommenderModelStatus, next: &RecommenderModelStatus) -> Option<Note> {
    let refused = |status: &RecommenderModelStatus| {
        let ready = status.conditions.iter().find(|condition| condition.type_ == types::READY)?;
        (ready.reason == reasons::INVALID_SPEC).then(|| ready.message.clone())
    };
    let message = refused(next)?;
    (refused(prior).as_ref() != Some(&message)).then(|| Note::bad(reasons::INVALID_SPEC, message))
}

fn turned_bad(prior: &RecommenderModelStatus, next: &RecommenderModelStatus) -> Vec<Note> {
    let news = |condition: &&k8s_openapi::apimachinery::pkg::apis::meta::v1::Condition| {
        NEWSWORTHY.contains(&condition.type_.as_str())
            && condition.status == "False"
            && !QUIET.contains(&condition.reason.as_str())
            && !prior.conditions.iter().any(|before| {
                before.type_ == condition.type_ && before.status == "False" && before.reason == condition.reason
            })
    };
    let mut notes: Vec<_> = next
        .conditions
        .iter()
        .filter(news)
        .map(|condition| Note::bad(&condition.reason, condition.message.clone()))
        .collect();
    notes.dedup();
    notes
}
