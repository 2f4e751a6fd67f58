//! The decision: the active run, the run that is due, the Jobs to delete, and the resulting status.

use std::collections::BTreeMap;

use jiff::Timestamp;
use k8s_openapi::apimachinery::pkg::apis::meta::v1::Time;

use super::{
    Decision, Inputs, NewRun, ObservedRun, RunState,
    activity::{Activity, Next},
    base::{self, Refusal},
    due,
    due::Done,
    history,
    history::History,
    outcome, readiness, triggers,
};
use crate::{
    api::{ActiveRun, PartialTrainingStatus, TrainingKind, TrainingStatus, Trigger},
    names,
    time::whole_seconds,
};

/// Decides which run to start, which Jobs to delete, and what the status reports.
pub fn decide(inputs: &Inputs<'_>) -> Decision {
    let history = History::of(inputs);
    let mut done = Done::of(inputs);
    let Step { start, activity, refused, full_waits } = next_step(inputs, &done, &history);
    if let Some(run) = &start {
        done.add(inputs, run);
    }
    let (replace, repeated_at) = replaced(inputs, &activity);
    let next = |kind| next_instant(inputs, &done, &history, start.as_ref(), kind).map(Time);
    let waiting = waiting(inputs, &activity, full_waits);
    let mut status = TrainingStatus {
        active: activity.run().cloned(),
        last: history.full.last.clone(),
        consecutive_failures: history.full.consecutive_failures,
        last_success_time: last_success(inputs, &history).map(Time),
        recorded_through: history.recorded_through.map(Time),
        last_schedule_time: done.schedule(TrainingKind::Full).map(Time),
        next_schedule_time: next(TrainingKind::Full),
        partial: partial(PartialTrainingStatus {
            last: history.partial.last.clone(),
            consecutive_failures: history.partial.consecutive_failures,
            last_schedule_time: done.schedule(TrainingKind::Partial).map(Time),
            next_schedule_time: next(TrainingKind::Partial),
            new_events: BTreeMap::new(),
        }),
        last_request: done.request.clone(),
        waiting_since: waiting.map(|(since, _)| Time(since)),
        waiting_kind: waiting.map(|(_, kind)| kind),
        ..TrainingStatus::default()
    };
    report_observed(inputs, &done, &history, &mut status);
    let for_inputs = waiting.filter(|_| matches!(activity, Activity::Held { for_inputs: true, .. }));
    let waits = for_inputs.map(|(since, _)| inputs.plan.readiness.wakes(since, inputs.now));
    let wakes = TrainingKind::ALL.into_iter().flat_map(|kind| wakes(inputs, &done, &history, kind));
    Decision {
        condition: outcome::condition(inputs.plan, &activity, &history, refused.as_ref()),
        wake_at: wakes
            .chain(repeated_at)
            .chain(triggers::wakes(inputs, &done, &history))
            .chain(waits.into_iter().flatten())
            .filter(|at| *at > inputs.now)
            .min(),
        remove: history::removable(inputs),
        versions: history.versions,
        start,
        replace,
        status,
    }
}

/// Since when a run waits, and its kind. A wait for inputs goes on while others run, or a partial run before a full one, so that the
/// longest wait does not begin anew after that.
fn waiting(
    inputs: &Inputs<'_>,
    activity: &Activity,
    full_waits: Option<Timestamp>,
) -> Option<(Timestamp, TrainingKind)> {
    let is_full_active = activity.run().is_some_and(|run| run.kind == TrainingKind::Full);
    let full = full_waits.filter(|_| !is_full_active).map(|since| (since, TrainingKind::Full));
    full.or_else(|| match activity {
        Activity::Held { since, kind, .. } => Some((readiness::recorded(inputs, *kind).unwrap_or(*since), *kind)),
        _ => None,
    })
}

/// Adds what ticks observe since the runs in the status.
fn report_observed(inputs: &Inputs<'_>, done: &Done, history: &History, status: &mut TrainingStatus) {
    if let Some(active) = &mut status.active {
        let progress = inputs.signals.progress.as_ref().filter(|(version, _)| *version == active.version);
        active.progress = progress.map(|(_, progress)| progress.clone());
    }
    status.triggers = triggers::status(inputs, done, history, status);
    let [full, partial] = TrainingKind::ALL
        .map(|kind| readiness::new_events(inputs, kind, status.newest(kind).map(|(version, _)| version)));
    status.new_events = full;
    if inputs.plan.partial.is_some() && !partial.is_empty() {
        status.partial.get_or_insert_default().new_events = partial;
    }
}

/// None of an object that never had partial training.
fn partial(status: PartialTrainingStatus) -> Option<PartialTrainingStatus> {
    (status != PartialTrainingStatus::default()).then_some(status)
}

/// The Jobs to delete so that their run, or a full one, can be started, and when that is due if it is not yet.
fn replaced(inputs: &Inputs<'_>, activity: &Activity) -> (Vec<ObservedRun>, Option<Timestamp>) {
    let (run, repeated_at) = match activity {
        Activity::Superseded { run, .. } | Activity::Blocked { run, next: Next::NewSettings, .. } => (run, None),
        Activity::Blocked { run, next: Next::Repeated { at, .. }, .. } => (run, Some(*at)),
        _ => return (Vec::new(), None),
    };
    // The cause is in the status before the Job is deleted, so that a crash does not lose it.
    let is_recorded = || inputs.prior.and_then(|prior| prior.active.as_ref()?.blocked.as_ref()).is_some();
    let is_due = repeated_at.is_none_or(|at| at <= inputs.now && is_recorded());
    let jobs = inputs.runs.iter().filter(|observed| is_due && observed.job == run.job);
    (jobs.cloned().collect(), repeated_at)
}

/// What is done next.
struct Step {
    start: Option<NewRun>,
    activity: Activity,
    /// Why a partial run that is due is not started.
    refused: Option<Refusal>,
    /// Since when a full run that is due waits for its inputs, or did until others ran.
    full_waits: Option<Timestamp>,
}

/// One run at a time. An active run continues; else a run whose Job was lost is started again; else the run that is due
/// is started, a full one before a partial one.
fn next_step(inputs: &Inputs<'_>, done: &Done, history: &History) -> Step {
    let unready = |run: &NewRun| readiness::waits(inputs, run, triggers::newest(history, run.kind));
    let full = due::full(inputs, done, history);
    let full_lacks = full.as_ref().and_then(unready);
    let is_full_due = full.is_some() && full_lacks.is_none();
    let recorded = readiness::recorded(inputs, TrainingKind::Full).filter(|_| full.is_some());
    let full_waits = recorded.or_else(|| full_lacks.map(|(since, _)| since));
    let step = |start, activity| Step { start, activity, refused: None, full_waits };
    let wait = |run: &NewRun, again: Option<&ActiveRun>, (since, why), for_inputs| {
        let (version, kind) = (run.version.clone(), run.kind);
        step(None, Activity::Held { version, kind, again: again.cloned(), since, why, for_inputs })
    };
    let held = |run: &NewRun, again| Some(wait(run, again, inputs.held.cloned()?, false));
    let under_way = inputs.runs.iter().filter(|run| run.state.finished_at().is_none() && !was_recorded(inputs, run));
    if let Some(run) = under_way.min_by_key(|run| (run.due, &run.job)) {
        return step(None, Activity::of(run, inputs.plan, is_full_due));
    }
    if let Some(lost) = missing(inputs) {
        if !inputs.runs_complete || inputs.has_trainer {
            // The Job may exist, but not be in the cache yet. Or it was deleted, and its trainer has not ended yet.
            return step(None, Activity::Run(lost.clone()));
        }
        // Otherwise its Job was deleted to end it, or so that the full run can be started.
        if let Some(run) = again(inputs, history, lost, is_full_due) {
            if let Some(held) = held(&run, Some(lost)) {
                return held;
            }
            let blocked = |why: &String| Activity::Blocked { run: lost.clone(), why: why.clone(), next: Next::Waits };
            let activity = lost.blocked.as_ref().map_or_else(|| Activity::Again(lost.clone()), blocked);
            return step(Some(run), activity);
        }
    }
    if inputs.has_trainer {
        return step(None, Activity::Idle);
    }
    match due_first(inputs, done, history, full, is_full_due) {
        Ok(Some(run)) => {
            let unready = unready(&run).map(|missing| wait(&run, None, missing, true));
            unready.or_else(|| held(&run, None)).unwrap_or_else(|| {
                let active = active(names::job(&inputs.plan.base, &run.version), &run);
                step(Some(run), Activity::Run(active))
            })
        }
        Ok(None) => step(None, Activity::Idle),
        Err(refusal) => Step { refused: Some(refusal), ..step(None, Activity::Idle) },
    }
}

/// The run that is due: a full one before a partial one. But a partial one that was requested does not wait behind a full one that
/// waits for its inputs.
fn due_first(
    inputs: &Inputs<'_>,
    done: &Done,
    history: &History,
    full: Option<NewRun>,
    is_full_due: bool,
) -> Result<Option<NewRun>, Refusal> {
    let partial = due::partial(inputs, done, history);
    match full {
        None => partial,
        Some(full) if is_full_due => Ok(Some(full)),
        Some(full) => Ok(partial.ok().flatten().filter(|run| run.trigger == Trigger::Request).or(Some(full))),
    }
}

/// Whether an interrupted run was recorded as failed, by an earlier operator.
fn was_recorded(inputs: &Inputs<'_>, run: &ObservedRun) -> bool {
    matches!(run.state, RunState::Interrupted { .. })
        && history::recorded_through(inputs).is_some_and(|recorded| run.due <= recorded)
}

/// The run that the status shows as active but that has no Job. None if another one was started since: a run that is not recorded
/// is newer, because those before it were recorded when it was started.
fn missing<'a>(inputs: &Inputs<'a>) -> Option<&'a ActiveRun> {
    let active = inputs.prior?.active.as_ref()?;
    let recorded = history::recorded_through(inputs);
    inputs.runs.iter().all(|run| run.job != active.job && Some(run.due) <= recorded).then_some(active)
}

/// The same run under the same name. It can be repeated because no outcome of it was recorded. None if it may not be started
/// now, of a partial run also if a full one is due or if there is no base.
fn again(inputs: &Inputs<'_>, history: &History, lost: &ActiveRun, is_full_due: bool) -> Option<NewRun> {
    if !inputs.plan.may_start(lost.kind, lost.trigger) {
        return None;
    }
    let base = match lost.kind {
        TrainingKind::Full => None,
        TrainingKind::Partial if is_full_due => return None,
        TrainingKind::Partial => Some(base::base(inputs, history).ok()?),
    };
    let instant = match lost.trigger {
        Trigger::Schedule => inputs.prior.and_then(|status| status.last_schedule_time(lost.kind)).map(|time| time.0),
        Trigger::Initial | Trigger::Request | Trigger::Signal => None,
    };
    let request = match lost.trigger {
        Trigger::Request => inputs.prior.and_then(|status| status.last_request.clone()),
        Trigger::Initial | Trigger::Schedule | Trigger::Signal => None,
    };
    Some(NewRun {
        version: lost.version.clone(),
        kind: lost.kind,
        trigger: lost.trigger,
        due: instant.unwrap_or_else(|| due::after_all(inputs, whole_seconds(inputs.now))),
        request,
        cause: lost.cause.clone(),
        base,
    })
}

fn active(job: String, run: &NewRun) -> ActiveRun {
    ActiveRun {
        job,
        version: run.version.clone(),
        kind: run.kind,
        trigger: run.trigger,
        cause: run.cause.clone(),
        blocked: None,
        progress: None,
    }
}

fn last_success(inputs: &Inputs<'_>, history: &History) -> Option<Timestamp> {
    let before = inputs.prior.and_then(|status| status.last_success_time.as_ref()).map(|time| time.0);
    history.versions.iter().map(|version| version.trained_at.0).max().max(before)
}

/// The first scheduled time of a kind that still needs a run. While it waits it may be in the past: it does not advance with the
/// clock, so that the status does not change at every scheduled time during a long run.
fn next_instant(
    inputs: &Inputs<'_>,
    done: &Done,
    history: &History,
    start: Option<&NewRun>,
    kind: TrainingKind,
) -> Option<Timestamp> {
    let schedule = inputs.plan.schedule(kind)?;
    let started = start.filter(|run| kind == TrainingKind::Partial || run.kind == kind).map(|run| run.due);
    let from = due::latest_due(inputs, done, history, kind).max(started.unwrap_or(Timestamp::MIN));
    match due::instant(inputs, kind, from) {
        Some(_) => {
            let reported = inputs.prior.and_then(|prior| due::reported(prior, kind));
            schedule.next_after(from).max(reported)
        }
        None => schedule.next_after(due::through(inputs)),
    }
}

/// When the next scheduled run of a kind may start, and when one that waits is past its starting deadline.
fn wakes(inputs: &Inputs<'_>, done: &Done, history: &History, kind: TrainingKind) -> impl Iterator<Item = Timestamp> {
    let plan = inputs.plan;
    let schedule = plan.schedule(kind).filter(|_| !plan.suspended);
    let next = schedule.and_then(|schedule| schedule.next_after(due::through(inputs)));
    let waiting = || due::instant(inputs, kind, due::latest_due(inputs, done, history, kind));
    let last = plan.starting_deadline.and_then(|deadline| waiting()?.checked_add(deadline).ok());
    next.into_iter().chain(last).filter_map(|at| at.checked_add(plan.delay).ok())
}
