//! What is due: requests, the first training, and scheduled times.

use jiff::{SignedDuration, Timestamp};

use std::collections::BTreeMap;

use super::{Inputs, NewRun, ObservedRun, base, base::Refusal, history, ids, triggers};
use crate::{
    api::{FinishedRun, TrainingKind, TrainingStatus, Trigger},
    time::whole_seconds,
};

/// Longest accepted value of the annotation `recommender.dev/train`, in characters.
const REQUEST_MAX: usize = 128;

/// The scheduled times and the request handled last.
#[derive(Clone, Debug, Default, PartialEq)]
pub struct Done {
    /// The last scheduled time of the full training that needs no run any more.
    full: Option<Timestamp>,
    /// The same of the partial training.
    partial: Option<Timestamp>,
    /// The last value of the annotation for which a run was started.
    pub request: Option<String>,
    /// When each trigger last started a run, by its name.
    pub triggered: BTreeMap<String, Timestamp>,
}

/// What a run that was started covers.
#[derive(Clone, Copy, Debug)]
pub struct Started<'a> {
    kind: TrainingKind,
    trigger: Trigger,
    due: Timestamp,
    request: Option<&'a String>,
    cause: Option<&'a String>,
}

impl<'a> From<&'a ObservedRun> for Started<'a> {
    fn from(run: &'a ObservedRun) -> Self {
        let (request, cause) = (run.request.as_ref(), run.cause.as_ref());
        Self { kind: run.kind, trigger: run.trigger, due: run.due, request, cause }
    }
}

impl<'a> From<&'a NewRun> for Started<'a> {
    fn from(run: &'a NewRun) -> Self {
        let (request, cause) = (run.request.as_ref(), run.cause.as_ref());
        Self { kind: run.kind, trigger: run.trigger, due: run.due, request, cause }
    }
}

impl Done {
    /// Combines the status with the Jobs that are not yet recorded in it. Such Jobs exist after a crash between the
    /// creation of a Job and the write of the status.
    pub fn of(inputs: &Inputs<'_>) -> Self {
        let handled = |kind| inputs.prior.and_then(|status| status.last_schedule_time(kind)).map(|time| time.0);
        let mut done = Self {
            full: handled(TrainingKind::Full),
            partial: handled(TrainingKind::Partial),
            request: inputs.prior.and_then(|status| status.last_request.clone()),
            triggered: triggers::recorded(inputs),
        };
        let mut runs: Vec<_> = inputs.runs.iter().filter(|run| !history::is_recorded(inputs, run)).collect();
        runs.sort_by_key(|run| run.due);
        for run in runs {
            done.add(inputs, run);
        }
        done
    }

    /// The last scheduled time of a kind that needs no run any more.
    pub const fn schedule(&self, kind: TrainingKind) -> Option<Timestamp> {
        match kind {
            TrainingKind::Full => self.full,
            TrainingKind::Partial => self.partial,
        }
    }

    /// Adds a run that was started. It covers every scheduled time of its kind up to its own due time, and its request. A full
    /// run has all data, so it covers those of the partial training as well.
    pub fn add<'a>(&mut self, inputs: &Inputs<'_>, run: impl Into<Started<'a>>) {
        let Started { kind, trigger, due, request, cause } = run.into();
        for of in TrainingKind::ALL.into_iter().filter(|of| kind == TrainingKind::Full || *of == kind) {
            let handled = self.schedule(of);
            let from = handled.max(Some(inputs.plan.created_at)).unwrap_or(due);
            let passed = inputs.plan.schedule(of).and_then(|schedule| schedule.latest_within(from, due));
            let own = (trigger == Trigger::Schedule && of == kind).then_some(due);
            let handled = handled.max(passed).max(own);
            match of {
                TrainingKind::Full => self.full = handled,
                TrainingKind::Partial => self.partial = handled,
            }
        }
        self.request = request.or(self.request.as_ref()).cloned();
        self.triggered.extend(cause.map(|cause| (triggers::name(cause).to_owned(), due)));
    }
}

/// The full run that is due, if any: requested, initial, scheduled or by a trigger, in this order of precedence. One run covers everything
/// that is due at the same time, also a requested partial run.
pub fn full(inputs: &Inputs<'_>, done: &Done, history: &history::History) -> Option<NewRun> {
    let plan = inputs.plan;
    let kind = TrainingKind::Full;
    let request = request(inputs, done);
    let scheduled = instant(inputs, kind, latest_due(inputs, done, history, kind));
    let (trigger, at) = match (&request, scheduled) {
        (Some((TrainingKind::Full, _)), _) => (Trigger::Request, whole_seconds(inputs.now)),
        _ if plan.suspended => return None,
        _ if !has_version(inputs, history) && may_start_by_itself(inputs, history.full.last.as_ref()) => {
            (Trigger::Initial, whole_seconds(inputs.now))
        }
        (_, Some(instant)) => (Trigger::Schedule, instant),
        (_, None) => return triggers::due(inputs, done, history, kind),
    };
    let version = ids::version(plan, kind, trigger, at, last_id(history.full.last.as_ref()));
    let request = request.map(|(_, of)| of);
    Some(NewRun { version, kind, trigger, due: after_all(inputs, at), request, cause: None, base: None })
}

/// The partial run that is due, if any: requested, scheduled or by a trigger.
///
/// # Errors
/// Why it is not started although it is due.
pub fn partial(inputs: &Inputs<'_>, done: &Done, history: &history::History) -> Result<Option<NewRun>, Refusal> {
    let plan = inputs.plan;
    let kind = TrainingKind::Partial;
    let request = request(inputs, done).filter(|(of, _)| *of == kind).map(|(_, value)| value);
    let scheduled = instant(inputs, kind, latest_due(inputs, done, history, kind)).filter(|_| !plan.suspended);
    let of = |trigger, at| {
        let version = ids::version(plan, kind, trigger, at, last_id(history.partial.last.as_ref()));
        NewRun { version, kind, trigger, due: after_all(inputs, at), request: request.clone(), cause: None, base: None }
    };
    let run = match (&request, scheduled) {
        _ if plan.partial.is_none() => return Ok(None),
        (Some(_), _) => of(Trigger::Request, whole_seconds(inputs.now)),
        (None, Some(instant)) => of(Trigger::Schedule, instant),
        (None, None) => match triggers::due(inputs, done, history, kind) {
            Some(run) => run,
            None => return Ok(None),
        },
    };
    // The gates judge a version once its run is recorded; until then it is no base.
    if plan.is_gated
        && history.versions.iter().any(|version| inputs.versions.iter().all(|known| known.id != version.id))
    {
        return Ok(None);
    }
    let base = base::base(inputs, history)?;
    Ok(Some(NewRun { base: Some(base), ..run }))
}

pub fn last_id(last: Option<&FinishedRun>) -> Option<&str> {
    last.map(|run| run.version.as_str())
}

/// The value of the annotation for which no run was started yet, and the kind that it requests.
fn request(inputs: &Inputs<'_>, done: &Done) -> Option<(TrainingKind, String)> {
    let value = inputs.plan.request.as_ref().filter(|value| done.request.as_ref() != Some(value))?;
    Some((inputs.plan.requested(value)?, value.clone()))
}

/// Whether the newest version is in the artifact store.
fn has_version(inputs: &Inputs<'_>, history: &history::History) -> bool {
    history.versions.first().is_some_and(|version| version.is_in(&inputs.plan.store))
}

/// Without a version, training starts without a request, unless the last full run failed with the same settings.
fn may_start_by_itself(inputs: &Inputs<'_>, last: Option<&FinishedRun>) -> bool {
    last.is_none_or(|last| last.succeeded || last.template != inputs.plan.template)
}

/// The latest scheduled time of a kind after `after`, if the status had reported it or an earlier one as `nextScheduleTime`.
/// A time that an edit of the schedule put into the past is not caught up, and neither is one past its starting deadline.
pub fn instant(inputs: &Inputs<'_>, kind: TrainingKind, after: Timestamp) -> Option<Timestamp> {
    let until = through(inputs);
    let latest = inputs.plan.schedule(kind)?.latest_within(after, until)?;
    if inputs.plan.starting_deadline.is_some_and(|deadline| until.duration_since(latest) > deadline) {
        return None;
    }
    let reported = match inputs.prior {
        Some(prior) => reported(prior, kind).is_some_and(|next| next <= latest),
        None => true,
    };
    reported.then_some(latest)
}

/// The next scheduled time of a kind as the status reports it.
pub fn reported(prior: &TrainingStatus, kind: TrainingKind) -> Option<Timestamp> {
    prior.next_schedule_time(kind).map(|time| time.0)
}

/// Runs scheduled up to this time may start now.
pub fn through(inputs: &Inputs<'_>) -> Timestamp {
    inputs.now.checked_sub(inputs.plan.delay).unwrap_or(inputs.now)
}

/// No scheduled time of a kind up to this one is due: the latest of the object's creation, the last scheduled time that was
/// handled, and the due time of the newest run. A partial run does not stand for a full one.
pub fn latest_due(inputs: &Inputs<'_>, done: &Done, history: &history::History, kind: TrainingKind) -> Timestamp {
    let newest = match kind {
        TrainingKind::Full => inputs.runs.iter().filter(|run| run.kind == kind).map(|run| run.due).max(),
        TrainingKind::Partial => newest_run(inputs).max(base::covered(inputs, history)),
    };
    done.schedule(kind).max(newest).max(Some(inputs.plan.created_at)).unwrap_or(inputs.now)
}

/// The due time of a run that starts now and was due at `at`: later than that of every other run, even if the clock was set
/// back, or a partial run was started in the meantime.
pub fn after_all(inputs: &Inputs<'_>, at: Timestamp) -> Timestamp {
    let after = newest_run(inputs).and_then(|due| due.checked_add(SignedDuration::from_secs(1)).ok());
    at.max(after.unwrap_or(Timestamp::MIN))
}

fn newest_run(inputs: &Inputs<'_>) -> Option<Timestamp> {
    inputs.runs.iter().map(|run| run.due).chain(history::recorded_through(inputs)).max()
}

/// The kind of training that a value of the annotation requests: `full` or `partial`, optionally followed by a text that does
/// not begin with a letter or digit, such as the reason.
pub fn requested(value: &str) -> Option<TrainingKind> {
    let is_of = |kind: &TrainingKind| {
        let rest = value.strip_prefix(kind.lower());
        rest.is_some_and(|rest| !rest.starts_with(|c: char| c.is_alphanumeric()))
    };
    TrainingKind::ALL.into_iter().find(is_of).filter(|_| value.chars().count() <= REQUEST_MAX)
}
