//! The decision: the active run, the run that is due, the Jobs to delete, and the resulting status.

use jiff::Timestamp;
use k8s_openapi::apimachinery::pkg::apis::meta::v1::Time;

use super::{
    Decision, Inputs, NewRun, ObservedRun, RunState,
    activity::{Activity, Next},
    due,
    due::Done,
    history,
    history::History,
    outcome,
};
use crate::{
    api::{ActiveRun, TrainingStatus, Trigger},
    model::names,
};

/// Decides which run to start, which Jobs to delete, and what the status reports.
pub fn decide(inputs: &Inputs<'_>) -> Decision {
    let history = History::of(inputs);
    let mut done = Done::of(inputs);
    let (start, activity) = next_step(inputs, &done, &history);
    if let Some(run) = &start {
        done.add(inputs, run.trigger, run.due, run.request.as_ref());
    }
    let (replace, repeated_at) = replaced(inputs, &activity);
    let status = TrainingStatus {
        active: activity.run().cloned(),
        last: history.last.clone(),
        last_success_time: last_success(inputs, &history).map(Time),
        recorded_through: history.recorded_through.map(Time),
        last_schedule_time: done.schedule.map(Time),
        next_schedule_time: next_instant(inputs, &done, start.as_ref()).map(Time),
        last_request: done.request,
    };
    Decision {
        condition: outcome::condition(inputs.plan, &activity, &history),
        wake_at: next_start(inputs).into_iter().chain(repeated_at.filter(|at| *at > inputs.now)).min(),
        remove: history::removable(inputs),
        versions: history.versions,
        start,
        replace,
        status,
    }
}

/// The Jobs to delete so that their run can be started again, and when that is due if it is not yet.
fn replaced(inputs: &Inputs<'_>, activity: &Activity) -> (Vec<ObservedRun>, Option<Timestamp>) {
    let Activity::Blocked { run, next, .. } = activity else { return (Vec::new(), None) };
    let repeated_at = match next {
        Next::Waits | Next::Resumed { .. } => return (Vec::new(), None),
        Next::NewSettings => None,
        Next::Repeated { at, .. } => Some(*at),
    };
    // The cause is in the status before the Job is deleted, so that a crash does not lose it.
    let is_recorded = || inputs.prior.and_then(|prior| prior.active.as_ref()?.blocked.as_ref()).is_some();
    let is_due = repeated_at.is_none_or(|at| at <= inputs.now && is_recorded());
    let jobs = inputs.runs.iter().filter(|observed| is_due && observed.job == run.job);
    (jobs.cloned().collect(), repeated_at)
}

/// One run at a time. An active run continues; else a run whose Job was lost is started again; else the run that is due
/// is started.
fn next_step(inputs: &Inputs<'_>, done: &Done, history: &History) -> (Option<NewRun>, Activity) {
    let under_way = inputs.runs.iter().filter(|run| run.state.finished_at().is_none() && !was_recorded(inputs, run));
    if let Some(run) = under_way.min_by_key(|run| (run.due, &run.job)) {
        return (None, Activity::of(run, inputs.plan));
    }
    match missing(inputs) {
        // Its Job was deleted to end it.
        Some(active) if inputs.runs_complete && !inputs.plan.may_start(active.trigger) => (None, Activity::Idle),
        Some(active) if inputs.runs_complete => {
            let blocked = |why: &String| Activity::Blocked { run: active.clone(), why: why.clone(), next: Next::Waits };
            let activity = active.blocked.as_ref().map_or_else(|| Activity::Again(active.clone()), blocked);
            (Some(again(inputs, active)), activity)
        }
        // The Job may exist, but not be in the cache yet.
        Some(active) => (None, Activity::Run(active.clone())),
        None => match due::run(inputs, done, history) {
            Some(run) => {
                let active = active(names::job(&inputs.plan.base, &run.version), &run);
                (Some(run), Activity::Run(active))
            }
            None => (None, Activity::Idle),
        },
    }
}

/// Whether an interrupted run was recorded as failed, by an earlier operator.
fn was_recorded(inputs: &Inputs<'_>, run: &ObservedRun) -> bool {
    matches!(run.state, RunState::Interrupted { .. })
        && history::recorded_through(inputs).is_some_and(|recorded| run.due <= recorded)
}

/// The run that the status shows as active but that has no Job.
fn missing<'a>(inputs: &Inputs<'a>) -> Option<&'a ActiveRun> {
    let active = inputs.prior?.active.as_ref()?;
    inputs.runs.iter().all(|run| run.job != active.job).then_some(active)
}

/// The same run under the same name. It can be repeated because no outcome of it was recorded.
fn again(inputs: &Inputs<'_>, lost: &ActiveRun) -> NewRun {
    let prior = |field: fn(&TrainingStatus) -> Option<Timestamp>| inputs.prior.and_then(field);
    let instant = match lost.trigger {
        Trigger::Schedule => prior(|status| status.last_schedule_time.as_ref().map(|time| time.0)),
        Trigger::Initial | Trigger::Request => None,
    };
    let request = match lost.trigger {
        Trigger::Request => inputs.prior.and_then(|status| status.last_request.clone()),
        Trigger::Initial | Trigger::Schedule => None,
    };
    NewRun {
        version: lost.version.clone(),
        kind: lost.kind,
        trigger: lost.trigger,
        due: instant.unwrap_or_else(|| due::fresh(inputs)),
        request,
    }
}

fn active(job: String, run: &NewRun) -> ActiveRun {
    ActiveRun { job, version: run.version.clone(), kind: run.kind, trigger: run.trigger, blocked: None }
}

fn last_success(inputs: &Inputs<'_>, history: &History) -> Option<Timestamp> {
    let before = inputs.prior.and_then(|status| status.last_success_time.as_ref()).map(|time| time.0);
    history.versions.iter().map(|version| version.trained_at.0).max().max(before)
}

/// The first scheduled time that still needs a run. While another run is active it may be in the past: it does not
/// advance with the clock, so that the status does not change at every scheduled time during a long run.
fn next_instant(inputs: &Inputs<'_>, done: &Done, start: Option<&NewRun>) -> Option<Timestamp> {
    let schedule = inputs.plan.schedule.as_ref()?;
    let from = due::latest_due(inputs, done).max(start.map_or(Timestamp::MIN, |run| run.due));
    match due::instant(inputs, from) {
        Some(_) => {
            let reported = inputs.prior.and_then(|status| status.next_schedule_time.as_ref()).map(|time| time.0);
            schedule.next_after(from).max(reported)
        }
        None => schedule.next_after(due::through(inputs)),
    }
}

/// When the next scheduled run may start.
fn next_start(inputs: &Inputs<'_>) -> Option<Timestamp> {
    let schedule = inputs.plan.schedule.as_ref().filter(|_| !inputs.plan.suspended)?;
    schedule.next_after(due::through(inputs))?.checked_add(inputs.plan.delay).ok()
}
