//! What is due: requests, the first training, and scheduled times.

use jiff::{SignedDuration, Timestamp};

use super::{Inputs, NewRun, history, ids};
use crate::api::{FinishedRun, TrainingKind, Trigger};

/// Longest accepted value of the annotation `recommender.dev/train`, in characters.
const REQUEST_MAX: usize = 128;

/// The scheduled time and the request handled last.
#[derive(Clone, Debug, Default, PartialEq)]
pub struct Done {
    /// The last scheduled time that needs no run any more.
    pub schedule: Option<Timestamp>,
    /// The last value of the annotation for which a run was started.
    pub request: Option<String>,
}

impl Done {
    /// Combines the status with the Jobs that are not yet recorded in it. Such Jobs exist after a crash between the
    /// creation of a Job and the write of the status.
    pub fn of(inputs: &Inputs<'_>) -> Self {
        let mut done = Self {
            schedule: inputs.prior.and_then(|status| status.last_schedule_time.as_ref()).map(|time| time.0),
            request: inputs.prior.and_then(|status| status.last_request.clone()),
        };
        let mut runs: Vec<_> = inputs.runs.iter().filter(|run| !history::is_recorded(inputs, run)).collect();
        runs.sort_by_key(|run| run.due);
        for run in runs {
            done.add(inputs, run.trigger, run.due, run.request.as_ref());
        }
        done
    }

    /// Adds a run that was started. It covers every scheduled time up to its own due time, and its request.
    pub fn add(&mut self, inputs: &Inputs<'_>, trigger: Trigger, due: Timestamp, request: Option<&String>) {
        let from = self.schedule.max(Some(inputs.plan.created_at)).unwrap_or(due);
        let passed = inputs.plan.schedule.as_ref().and_then(|schedule| schedule.latest_within(from, due));
        let own = (trigger == Trigger::Schedule).then_some(due);
        self.schedule = self.schedule.max(passed).max(own);
        self.request = request.or(self.request.as_ref()).cloned();
    }
}

/// The run that is due, if any: requested, initial or scheduled, in this order of precedence. One run covers everything
/// that is due at the same time.
pub fn run(inputs: &Inputs<'_>, done: &Done, history: &history::History) -> Option<NewRun> {
    let plan = inputs.plan;
    let request = plan.request.clone().filter(|value| is_request(value) && done.request.as_ref() != Some(value));
    let scheduled = instant(inputs, latest_due(inputs, done));
    let (trigger, due) = match (&request, scheduled) {
        (Some(_), _) => (Trigger::Request, fresh(inputs)),
        _ if plan.suspended => return None,
        _ if !has_version(inputs, history) && may_start_by_itself(inputs, history.last.as_ref()) => {
            (Trigger::Initial, fresh(inputs))
        }
        (None, Some(instant)) => (Trigger::Schedule, instant),
        (None, None) => return None,
    };
    let last = history.last.as_ref().map(|run| run.version.as_str());
    let kind = TrainingKind::Full;
    Some(NewRun { version: ids::version(plan, kind, trigger, due, last), kind, trigger, due, request })
}

/// Whether there is a version that can be rolled out.
fn has_version(inputs: &Inputs<'_>, history: &history::History) -> bool {
    history.versions.first().is_some_and(|version| version.is_in(&inputs.plan.store))
}

/// Without a version, training starts without a request, unless the last run failed with the same settings.
fn may_start_by_itself(inputs: &Inputs<'_>, last: Option<&FinishedRun>) -> bool {
    last.is_none_or(|last| last.succeeded || last.template != inputs.plan.template)
}

/// The latest scheduled time after `after`, if the status had reported it or an earlier one as `nextScheduleTime`.
/// A time that an edit of the schedule put into the past is not caught up, and neither is one past its starting deadline.
pub fn instant(inputs: &Inputs<'_>, after: Timestamp) -> Option<Timestamp> {
    let until = through(inputs);
    let latest = inputs.plan.schedule.as_ref()?.latest_within(after, until)?;
    if inputs.plan.starting_deadline.is_some_and(|deadline| until.duration_since(latest) > deadline) {
        return None;
    }
    let reported = match inputs.prior {
        Some(prior) => prior.next_schedule_time.as_ref().is_some_and(|next| next.0 <= latest),
        None => true,
    };
    reported.then_some(latest)
}

/// Runs scheduled up to this time may start now.
pub fn through(inputs: &Inputs<'_>) -> Timestamp {
    inputs.now.checked_sub(inputs.plan.delay).unwrap_or(inputs.now)
}

/// The latest of the object's creation, the last scheduled time that was handled, and the due time of the newest run of
/// any trigger. No scheduled time up to it is due.
pub fn latest_due(inputs: &Inputs<'_>, done: &Done) -> Timestamp {
    done.schedule.max(newest_run(inputs)).max(Some(inputs.plan.created_at)).unwrap_or(inputs.now)
}

/// The due time of a run that starts now: later than that of every other run, even if the clock was set back.
pub fn fresh(inputs: &Inputs<'_>) -> Timestamp {
    let after = newest_run(inputs).and_then(|due| due.checked_add(SignedDuration::from_secs(1)).ok());
    history::whole_seconds(inputs.now).max(after.unwrap_or(Timestamp::MIN))
}

fn newest_run(inputs: &Inputs<'_>) -> Option<Timestamp> {
    inputs.runs.iter().map(|run| run.due).chain(history::recorded_through(inputs)).max()
}

/// Whether a value of the annotation requests a full training: `full`, optionally followed by a text that does not
/// begin with a letter or digit.
pub fn is_request(value: &str) -> bool {
    let rest = value.strip_prefix("full");
    let is_full = rest.is_some_and(|rest| !rest.starts_with(|c: char| c.is_alphanumeric()));
    is_full && value.chars().count() <= REQUEST_MAX
}
