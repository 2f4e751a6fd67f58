//! Whether the inputs of a run that is due ([`crate::model::readiness`]) are there. What is not known counts as not there.

use std::collections::BTreeMap;

use jiff::{SignedDuration, Timestamp};

use super::{Inputs, NewRun};
use crate::{
    api::{TrainingKind, Trigger},
    model::readiness::{Input, Readiness},
    time::whole_seconds,
};

/// Time after which what waits for its inputs is decided again: 60 s, as they are recorded every minute.
const RECHECK: SignedDuration = SignedDuration::from_secs(60);

/// What ticks observe of an input; none where it is not known.
#[derive(Clone, Debug, Default, PartialEq)]
pub struct Reading {
    /// Whether the dependency works.
    pub up: Option<bool>,
    /// Messages that wait.
    pub lag: Option<f64>,
    /// Until when its events are processed.
    pub events_until: Option<Timestamp>,
    /// Whether it is known how many messages arrive now.
    pub has_arrivals: bool,
    /// By kind of training: messages since the newest run with its data and the version of that run, in tenths of what is needed.
    pub events: BTreeMap<TrainingKind, (i64, Option<String>)>,
}

impl Readiness {
    /// What is missing of the inputs, each to follow "because". `newest`: the newest run of the kind. `until`: until when events have to
    /// be processed.
    pub fn missing(
        &self,
        readings: &BTreeMap<String, Reading>,
        kind: TrainingKind,
        newest: Option<&str>,
        until: Timestamp,
    ) -> Vec<String> {
        let none = Reading::default();
        let missing = self
            .inputs
            .iter()
            .flat_map(|input| input.missing(readings.get(&input.dependency).unwrap_or(&none), kind, newest, until));
        missing.collect()
    }

    /// Whether the longest wait is over of what waits since then.
    pub fn is_over(&self, since: Timestamp, now: Timestamp) -> bool {
        self.max_wait.is_some_and(|most| now.duration_since(since) >= most)
    }

    /// When to decide again on what waits since then.
    pub fn wakes(&self, since: Timestamp, now: Timestamp) -> impl Iterator<Item = Timestamp> {
        let last = self.max_wait.map(|most| since + most);
        [Some(now + RECHECK), last].into_iter().flatten()
    }
}

impl Input {
    /// What is missing for a run of a kind with the events until `until`, to follow "because".
    fn missing(&self, reading: &Reading, kind: TrainingKind, newest: Option<&str>, until: Timestamp) -> Vec<String> {
        let name = &self.dependency;
        let health = match reading.up.filter(|_| self.has_health) {
            Some(true) => None,
            Some(false) => Some(format!("{name} is down")),
            None => self.has_health.then(|| format!("it is not known whether {name} works")),
        };
        let lag = self.max_lag.and_then(|most| match reading.lag {
            Some(lag) if lag <= most as f64 => None,
            Some(_) => Some(format!("more than {most} messages wait at {name} (maxLagMessages)")),
            None => Some(format!("it is not known how many messages wait at {name}")),
        });
        let stream = match reading.events_until.filter(|_| self.events_until_due) {
            Some(processed) if processed >= until => None,
            Some(_) => Some(format!("{name} has not processed the events until the run was due (eventsUntilDue)")),
            None => self.events_until_due.then(|| format!("it is not known how far {name} is with its events")),
        };
        let events = self.min_events.and_then(|least| {
            let counted = reading.events.get(&kind).filter(|(_, after)| after.as_deref() == newest);
            let count = counted.map_or(0, |(count, _)| *count);
            match (count >= least, reading.has_arrivals) {
                (true, _) => None,
                (false, true) => {
                    Some(format!("fewer than {least} messages arrived at {name} since the last run (minNewEvents)"))
                }
                (false, false) => Some(format!("it is not known how many messages arrive at {name}")),
            }
        });
        [health, lag, stream, events].into_iter().flatten().collect()
    }
}

/// Since when a run that is due waits for its inputs, and for which, to follow "because"; `None` if it starts. One that was requested
/// does not wait, and neither does one after the longest wait.
pub fn waits(inputs: &Inputs<'_>, run: &NewRun, newest: Option<&str>) -> Option<(Timestamp, String)> {
    let readiness = &inputs.plan.readiness;
    if run.trigger == Trigger::Request {
        return None;
    }
    let since = since(inputs, run.kind);
    if readiness.is_over(since, inputs.now) {
        return None;
    }
    // Other triggers are due anew with every decision until they start.
    let until = if run.trigger == Trigger::Schedule { run.due } else { since };
    let missing = readiness.missing(&inputs.signals.inputs, run.kind, newest, until);
    (!missing.is_empty()).then(|| (since, missing.join(", and ")))
}

/// Since when a run of a kind waits, if one did when the status was written last. A later one of that kind goes on with its wait:
/// it has its data as well, and its schedule may be due again before the longest wait ends.
pub fn since(inputs: &Inputs<'_>, kind: TrainingKind) -> Timestamp {
    recorded(inputs, kind).unwrap_or_else(|| whole_seconds(inputs.now))
}

/// Since when a run of a kind waited when the status was written last.
pub fn recorded(inputs: &Inputs<'_>, kind: TrainingKind) -> Option<Timestamp> {
    let of_kind = inputs.prior.filter(|status| status.waiting_kind == Some(kind));
    of_kind.and_then(|status| status.waiting_since.as_ref()).map(|time| time.0)
}

/// What the status reports of the messages since the newest run of a kind.
pub fn new_events(inputs: &Inputs<'_>, kind: TrainingKind, newest: Option<&str>) -> BTreeMap<String, i64> {
    let of = |(dependency, reading): (&String, &Reading)| {
        let (count, after) = reading.events.get(&kind)?;
        (*count > 0 && after.as_deref() == newest).then(|| (dependency.clone(), *count))
    };
    inputs.signals.inputs.iter().filter_map(of).collect()
}
