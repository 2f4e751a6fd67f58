//! Runs that recorded series start: what ticks observe of the triggers of the spec ([`crate::model::triggers`]), and which run is due.
//!
//! What is observed counts since the newest run with the data of the kind ([`Met::after`]), so that a run that was started by anything
//! else covers it as well.

use std::collections::BTreeMap;

use jiff::{SignedDuration, Timestamp};
use k8s_openapi::apimachinery::pkg::apis::meta::v1::Time;

use super::{Inputs, NewRun, Plan, Reading, due, due::Done, history::History, ids};
use crate::{
    api::{FinishedRun, TrainingKind, TrainingProgress, TrainingStatus, Trigger, TriggerStatus},
    model::triggers::TriggerPlan,
    time::whole_seconds,
};

/// Longest time from the begin of a triggered run that failed to the next one, unless the cool-down is longer: 24 h. It begins with the
/// cool-down, and doubles with each failure of the trigger's runs in a row: a trainer that is broken fails then as well.
const LAST_RETRY: SignedDuration = SignedDuration::from_hours(24);
/// Most doublings of a cool-down, so that none overflows: 16.
const DOUBLINGS_MAX: i32 = 16;

/// A condition that is met.
#[derive(Clone, Debug, PartialEq)]
pub struct Met {
    /// Since when.
    pub since: Timestamp,
    /// What was observed.
    pub why: String,
    /// The version of the newest run with the data of the kind: it is met since that run.
    pub after: Option<String>,
}

/// What ticks observe of the triggers of an object, by their names, and of the inputs and the progress of its trainings.
#[derive(Clone, Debug, Default, PartialEq)]
pub struct Signals {
    /// The conditions that are met.
    pub met: BTreeMap<String, Met>,
    /// Messages that arrived since the newest run, with its version, in tenths of what is waited for.
    pub events: BTreeMap<String, (i64, Option<String>)>,
    /// The inputs, by dependency.
    pub inputs: BTreeMap<String, Reading>,
    /// The progress of the active run, with its version.
    pub progress: Option<(String, TrainingProgress)>,
}

/// The runs of triggers that failed, so that what they were started for is not trained yet, by the names of the triggers. A run of
/// anything else that fails as well does not change that. None of signals: one that is still above its value is observed again by
/// itself; messages are counted anew, and a recovery is over.
#[derive(Clone, Debug, Default, PartialEq)]
pub struct Failures(BTreeMap<String, Failed>);

/// Runs of a trigger that failed.
#[derive(Clone, Debug, PartialEq)]
struct Failed {
    /// How many, since a run had the data.
    count: i32,
    /// What they were started for.
    cause: String,
}

impl Failures {
    /// As recorded in the status. None by an operator that did not repeat them.
    pub fn recorded(inputs: &Inputs<'_>) -> Self {
        let statuses = inputs.prior.into_iter().flat_map(|status| &status.triggers);
        let failed = statuses.filter_map(|of| {
            let cause = of.failed_cause.clone().filter(|_| of.failures > 0)?;
            Some((of.name.clone(), Failed { count: of.failures, cause }))
        });
        Self(failed.collect())
    }

    /// Adds a run that ended, later than all others.
    pub fn add(&mut self, plan: &Plan, run: &FinishedRun) {
        let cause = run.cause.as_deref().unwrap_or_default();
        for trigger in plan.triggers.iter().filter(|trigger| run.kind.covers(trigger.kind)) {
            if run.succeeded {
                self.0.remove(&trigger.name);
            } else if run.kind == trigger.kind && name(cause) == trigger.name && trigger.condition.is_past() {
                let before = self.0.get(&trigger.name).map_or(0, |failed| failed.count);
                let failed = Failed { count: before.saturating_add(1), cause: cause.into() };
                self.0.insert(trigger.name.clone(), failed);
            }
        }
    }

    fn of(&self, trigger: &TriggerPlan) -> Option<&Failed> {
        self.0.get(&trigger.name).filter(|_| trigger.condition.is_past())
    }
}

/// The name of the trigger that started a run, from what is recorded of that.
pub fn name(cause: &str) -> &str {
    cause.split_once(':').map_or(cause, |(name, _)| name)
}

/// When each trigger last started a run, as recorded.
pub fn recorded(inputs: &Inputs<'_>) -> BTreeMap<String, Timestamp> {
    let statuses = inputs.prior.into_iter().flat_map(|status| &status.triggers);
    statuses.filter_map(|of| Some((of.name.clone(), of.last_trigger_time.as_ref()?.0))).collect()
}

/// The run of a kind that a trigger starts now: of several, the one that is met for longest. A partial one without its base.
pub fn due(inputs: &Inputs<'_>, done: &Done, history: &History, kind: TrainingKind) -> Option<NewRun> {
    let plan = inputs.plan;
    if !plan.may_start(kind, Trigger::Signal) {
        return None;
    }
    let newest = newest(history, kind);
    let of_kind = || plan.triggers.iter().filter(|trigger| trigger.kind == kind);
    let met = of_kind().filter_map(|trigger| {
        let met = inputs.signals.met.get(&trigger.name).filter(|met| met.after.as_deref() == newest)?;
        let cause = format!("{}: {}", trigger.name, met.why);
        Some((trigger, cool_from(trigger, done), met.since, cause))
    });
    let failed = of_kind().filter_map(|trigger| {
        let failed = history.failures.of(trigger)?;
        let since = done.triggered.get(&trigger.name).copied().unwrap_or(inputs.now);
        Some((trigger, retry_from(trigger, done, failed), since, failed.cause.clone()))
    });
    let due = met.chain(failed).filter(|(_, from, ..)| from.is_none_or(|from| from <= inputs.now));
    let (trigger, _, _, cause) = due.min_by_key(|(_, _, since, _)| *since)?;
    let before = done.triggered.get(&trigger.name).map(ToString::to_string).unwrap_or_default();
    let last = [&trigger.name, &before, due::last_id(history.last(kind)).unwrap_or_default()].join(" ");
    let at = whole_seconds(inputs.now);
    Some(NewRun {
        version: ids::version(plan, kind, Trigger::Signal, at, Some(&last)),
        kind,
        trigger: Trigger::Signal,
        due: due::after_all(inputs, at),
        request: None,
        cause: Some(cause),
        base: None,
    })
}

/// The version of the newest run with the data of a kind, while none is active.
pub fn newest(history: &History, kind: TrainingKind) -> Option<&str> {
    kind.newest(|kind| history.last(kind)).map(|run| run.version.as_str())
}

/// From when on a trigger may start another run; `None` if it started none.
fn cool_from(trigger: &TriggerPlan, done: &Done) -> Option<Timestamp> {
    done.triggered.get(&trigger.name)?.checked_add(trigger.cool_down).ok()
}

/// From when on a run of a trigger that failed may be repeated.
fn retry_from(trigger: &TriggerPlan, done: &Done, failed: &Failed) -> Option<Timestamp> {
    let times = 1 << failed.count.saturating_sub(1).clamp(0, DOUBLINGS_MAX);
    let pause = trigger.cool_down.saturating_mul(times).min(LAST_RETRY.max(trigger.cool_down));
    done.triggered.get(&trigger.name)?.checked_add(pause).ok()
}

/// When the cool-downs end of conditions that are met, and of runs that failed.
pub fn wakes<'a>(inputs: &'a Inputs<'_>, done: &'a Done, history: &'a History) -> impl Iterator<Item = Timestamp> + 'a {
    let triggers = || inputs.plan.triggers.iter();
    let met = triggers().filter(|trigger| inputs.signals.met.contains_key(&trigger.name));
    let retries = triggers().filter_map(|trigger| retry_from(trigger, done, history.failures.of(trigger)?));
    met.filter_map(|trigger| cool_from(trigger, done)).chain(retries)
}

/// What the status reports of the triggers. `status`: the runs in it.
pub fn status(inputs: &Inputs<'_>, done: &Done, history: &History, status: &TrainingStatus) -> Vec<TriggerStatus> {
    let of = |trigger: &TriggerPlan| {
        let newest = status.newest(trigger.kind).map(|(version, _)| version);
        let is_current = |after: &Option<String>| after.as_deref() == newest;
        let met = inputs.signals.met.get(&trigger.name).filter(|met| is_current(&met.after));
        let events = inputs.signals.events.get(&trigger.name).filter(|(count, after)| *count > 0 && is_current(after));
        let failed = history.failures.of(trigger);
        TriggerStatus {
            name: trigger.name.clone(),
            last_trigger_time: done.triggered.get(&trigger.name).copied().map(Time),
            met_since: met.map(|met| Time(whole_seconds(met.since))),
            new_events: events.map(|(count, _)| *count),
            failures: failed.map_or(0, |failed| failed.count),
            failed_cause: failed.map(|failed| failed.cause.clone()),
        }
    };
    let is_empty = |of: &TriggerStatus| *of == TriggerStatus { name: of.name.clone(), ..TriggerStatus::default() };
    inputs.plan.triggers.iter().map(of).filter(|of| !is_empty(of)).collect()
}
