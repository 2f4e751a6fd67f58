//! Events: what changed between two statuses, one Event per change.

use crate::{
    api::{
        RecommenderModelStatus, ScalingStatus, TrainingKind, Trigger, Version, VersionState,
        conditions::{reasons, types},
    },
    monitoring::Workload,
    promotion::{harm_of, reload::REPLACED},
    text::one_line,
};

/// Longest part of a message that repeats a request with its reason, in characters.
const REQUEST_SHOWN: usize = 128;

/// An Event to be created.
#[derive(Clone, Debug, PartialEq)]
pub struct Event {
    /// Whether its type is Warning, not Normal.
    pub warning: bool,
    /// Reason, as in the condition it comes from.
    pub reason: String,
    /// What was done or observed, as readable text.
    pub message: String,
}

impl Event {
    fn normal(reason: &str, message: String) -> Self {
        Self { warning: false, reason: reason.into(), message }
    }

    fn warning(reason: &str, message: String) -> Self {
        Self { warning: true, reason: reason.into(), message }
    }
}

/// The Events for the changes from `prior` to `next`.
pub fn events(prior: &RecommenderModelStatus, next: &RecommenderModelStatus) -> Vec<Event> {
    let mut events = Vec::new();
    events.extend(run_started(prior, next));
    events.extend(TrainingKind::ALL.into_iter().filter_map(|kind| run_ended(prior, next, kind)));
    events.extend(base_too_old(prior, next));
    events.extend(versions_refused(prior, next));
    events.extend(reload_timed_out(prior, next));
    events.extend(version_serves(prior, next));
    events.extend(pruned(prior, next));
    events.extend(scaled(prior, next));
    events.extend(spec_refused(prior, next));
    events.extend(became_false(prior, next));
    events
}

/// A run was started, except for an object's first one: that every new object is trained is no news, and its first status
/// reports the run.
fn run_started(prior: &RecommenderModelStatus, next: &RecommenderModelStatus) -> Option<Event> {
    prior.training.as_ref()?;
    let active = |status: &RecommenderModelStatus| status.training.as_ref()?.active.clone();
    let run = active(next)?;
    let new = active(prior).is_none_or(|before| before.version != run.version);
    let why = match (run.trigger, next.training.as_ref().and_then(|training| training.last_request.as_ref())) {
        (Trigger::Request, Some(request)) => format!("{}: {}", run.trigger.as_str(), one_line(request, REQUEST_SHOWN)),
        _ => run.cause.clone().unwrap_or_else(|| run.trigger.as_str().to_owned()),
    };
    let text = || format!("started Job {} ({why}) for version {}", run.job, run.version);
    new.then(|| Event::normal(reasons::TRAINING, text()))
}

fn run_ended(prior: &RecommenderModelStatus, next: &RecommenderModelStatus, kind: TrainingKind) -> Option<Event> {
    let last = |status: &RecommenderModelStatus| status.training.as_ref()?.last(kind).cloned();
    let run = last(next)?;
    if last(prior).is_some_and(|before| before.version == run.version && before.finished_at == run.finished_at) {
        return None;
    }
    Some(if run.succeeded {
        Event::normal(reasons::TRAINED, run.message)
    } else {
        Event::warning(&run.reason, run.message)
    })
}

/// Versions that did not pass their gates, are tried, were taken back, or would have been if there were another one.
fn versions_refused(prior: &RecommenderModelStatus, next: &RecommenderModelStatus) -> Vec<Event> {
    let passed = |version: &Version| version.canary.as_ref().is_some_and(|verdict| verdict.passed);
    let state = |version: &Version| (version.state, harm_of(version), passed(version));
    let before = |id: &str| prior.versions.iter().find(|version| version.id == id).map(state);
    let is_new_verdict =
        |version: &Version| !prior.versions.iter().any(|before| before.id == version.id && before.canary.is_some());
    let changed = next.versions.iter().filter(|version| before(&version.id) != Some(state(version)));
    let event = |version: &Version| match version.state {
        VersionState::Rejected => {
            let failed = version.gates.iter().filter(|verdict| !verdict.passed);
            let why = failed.map(|verdict| verdict.message.as_str()).collect::<Vec<_>>().join("; ");
            let message = format!("version {} does not pass its gates: {why}", version.id);
            Some(Event::warning(reasons::VERSION_REJECTED, message))
        }
        VersionState::RolledBack => {
            let why = harm_of(version).map(|why| format!(": {why}")).unwrap_or_default();
            Some(Event::warning(reasons::ROLLED_BACK, format!("version {} is rolled back{why}", version.id)))
        }
        VersionState::Failed => {
            let why = harm_of(version).unwrap_or_default();
            Some(Event::warning(reasons::ROLLOUT_FAILED, format!("version {} is taken back: {why}", version.id)))
        }
        VersionState::Canary => {
            let message = format!("version {} is a canary: it is compared with the version that serves", version.id);
            Some(Event::normal(reasons::CANARY, message))
        }
        VersionState::Candidate if passed(version) && is_new_verdict(version) && harm_of(version).is_none() => {
            let why = version.canary.as_ref().map(|verdict| verdict.message.as_str()).unwrap_or_default();
            Some(Event::normal(reasons::CANARY, format!("version {} has passed its canary: {why}", version.id)))
        }
        VersionState::Candidate | VersionState::Serving => {
            let why = harm_of(version)?;
            let message = format!("version {} stays, because there is no other one to return to: {why}", version.id);
            Some(Event::warning(reasons::ROLLOUT_FAILED, message))
        }
        VersionState::Previous | VersionState::Superseded => None,
    };
    changed.filter_map(event).collect()
}

/// A partial run that is due waits for a full one.
fn base_too_old(prior: &RecommenderModelStatus, next: &RecommenderModelStatus) -> Option<Event> {
    let waits = |status: &RecommenderModelStatus| {
        let mut conditions = status.conditions.iter().filter(|of| of.type_ == types::TRAINING_READY);
        conditions.find(|of| of.reason == reasons::BASE_TOO_OLD).map(|of| of.message.clone())
    };
    let message = waits(next)?;
    waits(prior).is_none().then(|| Event::warning(reasons::BASE_TOO_OLD, message))
}

/// Servers have not changed versions in time.
fn reload_timed_out(prior: &RecommenderModelStatus, next: &RecommenderModelStatus) -> Option<Event> {
    let restarts =
        |status: &RecommenderModelStatus| status.serving.as_ref()?.reload.clone().filter(|reload| reload.restarts);
    let now = restarts(next)?;
    // Those that change otherwise as well have reasons of their own.
    let is_new = now.message != REPLACED && restarts(prior).is_none_or(|before| before.since != now.since);
    is_new.then(|| Event::warning(reasons::RELOAD_TIMED_OUT, format!("version {}: {}", now.version, now.message)))
}

fn version_serves(prior: &RecommenderModelStatus, next: &RecommenderModelStatus) -> Option<Event> {
    let version = |status: &RecommenderModelStatus| status.serving.as_ref()?.version.clone();
    let now = version(next)?;
    (version(prior).as_ref() != Some(&now))
        .then(|| Event::normal(reasons::SERVING, format!("version {now} answers requests")))
}

/// A Job that deletes artifacts has ended.
fn pruned(prior: &RecommenderModelStatus, next: &RecommenderModelStatus) -> Option<Event> {
    let number = |status: &RecommenderModelStatus| status.pruning.as_ref().map_or(0, |pruning| pruning.last_job);
    let pruning = next.pruning.as_ref().filter(|_| number(next) > number(prior))?;
    let message = pruning.message.clone()?;
    Some(match pruning.failures {
        0 => Event::normal(reasons::PRUNED, message),
        _ => Event::warning(reasons::PRUNE_FAILED, message),
    })
}

/// Decisions on replicas, and limiting reasons.
fn scaled(prior: &RecommenderModelStatus, next: &RecommenderModelStatus) -> Vec<Event> {
    let mut events = Vec::new();
    for (workload, now) in scaling(next) {
        let before = scaling(prior).find(|(name, _)| *name == workload).map(|(_, before)| before);
        let is_limited = reasons::LIMITING_REASONS.contains(&now.reason.as_str());
        let decided = now.decisions.first();
        if is_limited && before.is_none_or(|before| before.reason != now.reason) {
            // Its message contains the number of replicas as well.
            events.push(Event::warning(&now.reason, format!("{workload}: {}", now.message)));
        } else if let Some(decided) = decided.filter(|_| before.and_then(|before| before.decisions.first()) != decided)
        {
            events.push(Event::normal(reasons::SCALED, format!("{workload}: {}", decided.message)));
        }
    }
    events
}

/// What was decided, by workload.
fn scaling(status: &RecommenderModelStatus) -> impl Iterator<Item = (&str, &ScalingStatus)> {
    let serving = status.serving.iter().map(|serving| (Workload::Serving.label(), serving.scaling.as_ref()));
    let workers = status.workers.iter().map(|worker| (worker.name.as_str(), worker.scaling.as_ref()));
    serving.chain(workers).filter_map(|(name, scaling)| Some((name, scaling?)))
}

fn spec_refused(prior: &RecommenderModelStatus, next: &RecommenderModelStatus) -> Option<Event> {
    let refused = |status: &RecommenderModelStatus| {
        let ready = status.conditions.iter().find(|condition| condition.type_ == types::READY)?;
        (ready.reason == reasons::INVALID_SPEC).then(|| ready.message.clone())
    };
    let message = refused(next)?;
    (refused(prior).as_ref() != Some(&message)).then(|| Event::warning(reasons::INVALID_SPEC, message))
}

fn became_false(prior: &RecommenderModelStatus, next: &RecommenderModelStatus) -> Vec<Event> {
    let changed = |condition: &&k8s_openapi::apimachinery::pkg::apis::meta::v1::Condition| {
        types::SUMMARIZED.contains(&condition.type_.as_str())
            && condition.status == "False"
            && !reasons::QUIET.contains(&condition.reason.as_str())
            && !prior.conditions.iter().any(|before| {
                before.type_ == condition.type_ && before.status == "False" && before.reason == condition.reason
            })
    };
    let mut events: Vec<_> = next
        .conditions
        .iter()
        .filter(changed)
        .map(|condition| Event::warning(&condition.reason, condition.message.clone()))
        .collect();
    events.dedup();
    events
}
