//! What the triggers of an object's trainings wait for: signals above a value, messages that arrive, dependencies that recover. Pure.
//!
//! A value that is missing or too old starts nothing: a signal then counts as not above, arrivals as none, and a dependency as not
//! known to have been down. After a restart of the operator the time above a value and the time down begin anew; messages, and what
//! waits for a run because of them or of a recovery, are taken over from the status.

use jiff::{SignedDuration, Timestamp};

use crate::{
    api::{RecommenderModelStatus, TrainingKind, TrainingStatus, Version, VersionState},
    model::{
        Model,
        triggers::{Condition, TriggerPlan},
    },
    observed::{OfSource, Ticked},
    series::Series,
    signals::Readings,
    time::whole_seconds,
    training::{self, Met, Signals},
};

/// In how many steps messages are reported on the way to the number that starts a run: each step is a write of the status, and a
/// restart of the operator loses at most one.
const STEPS: i64 = 10;
/// Longest time between two ticks for which arrivals are counted, seconds: ticks are 5 s apart.
const LONGEST_TICK: f64 = 60.0;

/// What the ticks keep of an object.
#[derive(Debug, Default)]
pub struct State {
    object: OfSource,
    triggers: Vec<Watched>,
}

/// The newest run with the data of a kind.
#[derive(Clone, Debug)]
pub struct Newest {
    /// Its version.
    pub(crate) version: String,
    /// Whether signals do not show yet what was trained: the run is active, or a version waits to serve.
    pub(crate) is_pending: bool,
}

/// What the ticks keep of a trigger, or of messages that are counted.
#[derive(Debug)]
pub struct Watched {
    pub(crate) plan: TriggerPlan,
    newest: Option<Newest>,
    /// Since when the signal is above its value, or the dependency is down.
    since: Option<Timestamp>,
    /// Messages since that run.
    events: f64,
    /// When arrivals were last known.
    counted_at: Option<Timestamp>,
    met: Option<Met>,
}

impl Ticked for State {
    type Observed = Signals;

    fn update(&mut self, model: &Model, prior: &RecommenderModelStatus) {
        self.object = OfSource::new(model);
        let mut before = std::mem::take(&mut self.triggers);
        let none = TrainingStatus::default();
        let training = prior.training.as_ref().unwrap_or(&none);
        let watched = |plan: &TriggerPlan| {
            let recorded = training.triggers.iter().find(|of| of.name == plan.name);
            let events = recorded.and_then(|of| of.new_events);
            let met_since = recorded.and_then(|of| of.met_since.as_ref()).map(|time| time.0);
            let newest = training.newest(plan.kind).map(|(version, is_active)| Newest {
                version: version.into(),
                is_pending: is_active || waits_to_serve(model, prior, plan.kind),
            });
            Watched::of(&mut before, plan, newest, events, met_since)
        };
        self.triggers = model.triggers.iter().map(watched).collect();
    }

    fn object(&self) -> &OfSource {
        &self.object
    }

    fn is_empty(&self) -> bool {
        self.triggers.is_empty()
    }

    fn demanded(&self) -> Vec<Series> {
        self.triggers.iter().map(|of| of.plan.condition.signal().0).collect()
    }

    fn observed(&self) -> Signals {
        let met = self.triggers.iter().filter_map(|of| Some((of.plan.name.clone(), of.met.clone()?)));
        let events = self.triggers.iter().filter_map(|of| Some((of.plan.name.clone(), (of.reported()?, of.version()))));
        Signals { met: met.collect(), events: events.collect(), ..Signals::default() }
    }

    fn tick(&mut self, readings: Option<&Readings>, now: Timestamp) -> bool {
        let object = &self.object;
        let changed = self.triggers.iter_mut().filter_map(|of| {
            let before = (of.met.is_some(), of.reported());
            let (series, about) = of.plan.condition.signal();
            let value = object.signal(readings, series, about, now).last();
            of.observe(value, now);
            (before != (of.met.is_some(), of.reported())).then_some(())
        });
        changed.count() > 0
    }
}

impl Watched {
    /// The one with this plan among those that were known before, or a new one with what the status has of it.
    pub(crate) fn of(
        known: &mut Vec<Self>,
        plan: &TriggerPlan,
        newest: Option<Newest>,
        events: Option<i64>,
        met_since: Option<Timestamp>,
    ) -> Self {
        let index = known.iter().position(|of| of.plan == *plan);
        let known = index.map(|index| known.swap_remove(index));
        let mut watched = known.unwrap_or_else(|| Self::restored(plan, newest.clone(), events, met_since));
        watched.follow(newest);
        watched
    }

    fn restored(plan: &TriggerPlan, newest: Option<Newest>, events: Option<i64>, met_since: Option<Timestamp>) -> Self {
        let (plan, events) = (plan.clone(), events.unwrap_or_default() as f64);
        let mut watched = Self { plan, newest, since: None, events, counted_at: None, met: None };
        watched.met = met_since.and_then(|since| match watched.plan.condition {
            Condition::Above { .. } => None,
            Condition::Events { .. } => watched.arrived(since),
            Condition::Recovered { .. } => Some(watched.recovered(since)),
        });
        watched
    }

    /// Begins anew after a run was started that covers what was observed.
    fn follow(&mut self, newest: Option<Newest>) {
        let is_same_run = self.newest.as_ref().map(|of| &of.version) == newest.as_ref().map(|of| &of.version);
        if !is_same_run {
            (self.since, self.events, self.met) = (None, 0.0, None);
        }
        self.newest = newest;
    }

    /// The version of the newest run with the data of its kind.
    pub(crate) fn version(&self) -> Option<String> {
        self.newest.as_ref().map(|of| of.version.clone())
    }

    /// Messages in whole steps; the number that starts a run, which may be no multiple of a step, once so many have arrived.
    pub(crate) fn reported(&self) -> Option<i64> {
        let Condition::Events { count, .. } = self.plan.condition else { return None };
        let (events, step) = (self.events as i64, (count / STEPS).max(1));
        Some(if events >= count { count } else { events / step * step })
    }

    /// Takes over a value; `None` without one that is not too old.
    pub(crate) fn observe(&mut self, value: Option<f64>, now: Timestamp) {
        match &self.plan.condition {
            Condition::Above { series, about, value: limit, duration } => {
                // What was trained may lower it, so its time begins when that serves, or will not.
                let is_pending = self.newest.as_ref().is_some_and(|of| of.is_pending);
                let above = value.filter(|value| value > limit && !is_pending);
                self.since = above.map(|_| self.since.unwrap_or(now));
                let held = self.since.map(|since| now.duration_since(since)).filter(|held| held >= duration);
                let why = |value: f64, held: SignedDuration| {
                    let name = series.short_name();
                    format!("{name} of {about} was {value:.4}, above {limit} for {}", minutes(held))
                };
                self.met = above.zip(held).map(|(value, held)| Met { why: why(value, held), ..self.met_since(now) });
            }
            Condition::Events { .. } => {
                let passed = self.counted_at.map(|at| now.duration_since(at).as_secs_f64().clamp(0.0, LONGEST_TICK));
                self.counted_at = value.map(|_| now);
                self.events += value.zip(passed).map_or(0.0, |(rate, seconds)| rate * seconds);
                if value.is_some() && self.met.is_none() {
                    self.met = self.arrived(now);
                }
            }
            Condition::Recovered { down, .. } => match value {
                None => self.since = None,
                Some(value) if value < 1.0 => (self.since, self.met) = (self.since.or(Some(now)), None),
                Some(_) => {
                    let was_down = self.since.take().is_some_and(|since| now.duration_since(since) >= *down);
                    if was_down {
                        self.met = Some(self.recovered(now));
                    }
                }
            },
        }
    }

    /// Met since `now`, or since before.
    fn met_since(&self, now: Timestamp) -> Met {
        let since = self.met.as_ref().map_or(now, |met| met.since);
        Met { since, why: String::new(), after: self.version() }
    }

    /// `None` until so many messages have arrived.
    fn arrived(&self, at: Timestamp) -> Option<Met> {
        let Condition::Events { dependency, count } = &self.plan.condition else { return None };
        let since = self.version().map(|version| format!(" since {version}")).unwrap_or_default();
        let why = format!("{count} messages arrived at {dependency}{since}");
        (self.events >= *count as f64).then(|| Met { since: at, why, after: self.version() })
    }

    fn recovered(&self, at: Timestamp) -> Met {
        let (_, dependency) = self.plan.condition.signal();
        Met { since: at, why: format!("{dependency} works again since {}", whole_seconds(at)), after: self.version() }
    }
}

/// Whether a version with the data of a kind that is newer than the one that serves may serve yet: it is rolled out or a canary, or
/// waits for an approval, or for the end of a pause or a pin. Until then signals show the version before.
fn waits_to_serve(model: &Model, prior: &RecommenderModelStatus, kind: TrainingKind) -> bool {
    let serving = prior.serving.as_ref().and_then(|serving| serving.version.as_deref());
    let serves = |version: &&Version| serving == Some(version.id.as_str());
    let full = |version| training::root(version).map(|(full, _)| full);
    let served = prior.versions.iter().find(serves).and_then(full);
    let store = model.artifacts.root_uri();
    let is_unserved = |version: &&Version| {
        matches!(version.state, VersionState::Candidate | VersionState::Canary) && version.is_in(&store)
    };
    let mut newer = prior.versions.iter().take_while(|version| !serves(version)).filter(is_unserved);
    newer.any(|version| kind == TrainingKind::Partial || full(version) != served)
}

/// A duration for people.
fn minutes(duration: SignedDuration) -> String {
    match duration.as_secs() {
        seconds @ ..120 => format!("{seconds} s"),
        seconds => format!("{} min", seconds / 60),
    }
}

#[cfg(test)]
mod tests;
