//! What the ticks keep of a canary between two reconciles: the counters of its pods, and how far it is. Pure.
//!
//! ```text
//! reconcile: Plan (version, pods, replicas) ─> State ─ tick: counters ─> canary::advance ─> Progress ─> reconcile, status
//! ```

use std::collections::BTreeMap;

use jiff::{SignedDuration, Timestamp};

use super::{
    canary::{self, Answer, Memory, Outcome, Readings as Observation, Silence, Tick, Wait},
    counts::{self, Counters, Track},
    route::Routed,
    watch,
};
use crate::{
    api::{CanaryStatus, RecommenderModelStatus, Verdict, Version},
    model::{self, Model},
    monitoring::canary::Compared,
    names::{self, CANARY_COMPONENT, SERVING_COMPONENT},
    observe::{Children, DeploymentState, PodState},
    observed::{OfSource, Ticked},
    series::Series,
    signals::Readings,
};

/// Seconds for which counts are those of now: counters are recorded every 10 s, and one evaluation may fail.
const CURRENT_SECONDS: i64 = 30;
/// Name of the verdict on a canary.
pub const GATE: &str = "canary";
/// Seconds between two writes of what was counted to the status, if nothing else changes: as much is lost at most with a restart of
/// the operator.
const REPORT_SECONDS: i64 = 60;

/// What a reconcile knows of the canary.
#[derive(Clone, Debug)]
pub struct Plan {
    /// Its steps, and how it is judged.
    pub canary: model::canary::Plan,
    /// What is compared.
    pub compared: Compared,
    /// The version.
    pub version: String,
    /// The version that it is compared with.
    pub baseline: String,
    /// The pods of both tracks that are ready, and from when on their requests count: once they have warmed up.
    pub pods: BTreeMap<String, (Track, Timestamp)>,
    /// Pods of the canary that are ready.
    pub ready: i32,
    /// Pods that it needs for its share of the requests.
    pub expected: i32,
    /// Why its pods do not get ready, once that lasts too long.
    pub broken: Option<String>,
    /// The HTTPRoute that divides the requests, if one does.
    pub route: Option<Routed>,
}

/// How far a canary is.
#[derive(Clone, Debug, PartialEq)]
pub struct Progress {
    /// What is remembered of it.
    pub memory: Memory,
    /// What it waits for, or what it ended with.
    pub why: String,
}

impl Progress {
    /// The verdict, once there is one.
    pub fn verdict(&self) -> Option<Verdict> {
        let end = self.memory.end.as_ref().filter(|end| !end.lacks_data)?;
        Some(Verdict { gate: GATE.into(), passed: end.is_promoted, message: end.why.clone() })
    }
}

impl Plan {
    /// From an object and its children; `None` once there is a verdict. `expected`: pods that the canary needs.
    pub fn new(known: &Known<'_>, (version, baseline): (&Version, &Version), expected: i32) -> Option<Self> {
        let Known { model, children, .. } = known;
        let canary = model.canary.as_ref().filter(|_| version.canary.is_none())?;
        let state = super::deployment(model, children, names::canary);
        let state = state.filter(|state| state.observed && state.version.as_ref() == Some(&version.id));
        let warm_up = SignedDuration::from_secs(canary.plan.warm_up_seconds);
        let of = |component, version: &Version| -> Vec<&PodState> {
            children.pods().filter(|pod| pod.component == component && pod.version == version.id).collect()
        };
        let (own, others) = (of(CANARY_COMPONENT, version), of(SERVING_COMPONENT, baseline));
        // Servers that changed versions without a restart are ready for longer than they have had the version.
        let counted = |pods: &[&PodState], track, version: &Version| -> Vec<_> {
            let served_at = version.served_at.as_ref().map(|at| at.0);
            let since = |pod: &PodState| Some(pod.ready_since?.max(served_at.unwrap_or(Timestamp::MIN)));
            let ready = pods.iter().filter_map(|pod| Some((pod.name.clone(), since(pod)? + warm_up)));
            ready.map(|(name, from)| (name, (track, from))).collect()
        };
        let pods = [counted(&own, Track::Canary, version), counted(&others, Track::Serving, baseline)];
        // What the spec or a dependency breaks, breaks the other servers as well. Pods that never ran only wait for their time to end.
        let servers = super::deployment(model, children, names::serving);
        let is_its_own = servers.is_some_and(DeploymentState::rolled_out) && !watch::is_dependency_down(known.prior);
        Some(Self {
            canary: canary.plan.clone(),
            compared: canary.compared,
            version: version.id.clone(),
            baseline: baseline.id.clone(),
            pods: pods.into_iter().flatten().collect(),
            ready: state.map_or(0, |state| state.ready.min(state.updated)),
            expected,
            broken: watch::crashes(&own).filter(|_| is_its_own),
            route: known.route.cloned(),
        })
    }
}

/// What the number of pods of a canary depends on.
#[derive(Clone, Copy, Debug)]
pub struct Known<'a> {
    /// The object.
    pub model: &'a Model,
    /// Its children.
    pub children: &'a Children,
    /// How far the last tick found its canary.
    pub progress: Option<&'a Progress>,
    /// The HTTPRoute that divides the requests, if one does.
    pub route: Option<&'a Routed>,
    /// The status that was written last.
    pub prior: &'a RecommenderModelStatus,
}

impl Known<'_> {
    /// What is remembered of the canary of a version: by the last tick, else in the status, and else what one that begins has.
    pub fn memory(&self, version: &str, now: Timestamp) -> Memory {
        let ticked = self.progress.map(|progress| &progress.memory).filter(|memory| memory.version == version);
        let known = ticked.cloned().or_else(|| resumed(status(self.prior), version));
        known.unwrap_or_else(|| Memory::new(version, now))
    }
}

/// What was written of the canary last.
pub fn status(prior: &RecommenderModelStatus) -> Option<&CanaryStatus> {
    prior.serving.as_ref()?.canary.as_ref()
}

/// Pods of the canary of a version, by the share of its step, or of the last one while the version is rolled out. None as long as it gets no
/// requests and could not get any, because Gateways do not divide them.
pub fn replicas_of(known: &Known<'_>, version: &Version, now: Timestamp) -> i32 {
    let memory = known.memory(&version.id, now);
    let plan = known.model.canary.as_ref().map(|canary| &canary.plan);
    let percent = plan.map_or(memory.weight_percent, |plan| memory.capacity_percent(plan));
    if !memory.shares().is_some() && known.route.is_some_and(|route| !route.is_usable()) {
        return 0;
    }
    let servers = super::deployment(known.model, known.children, names::serving);
    let serving = servers.map_or_else(|| known.model.serving_workload().replicas, |state| state.desired);
    replicas(percent, serving, known.model.http_route().is_some())
}

/// What was written of a canary to the status, if it is of this version. One that ended without a verdict begins anew.
fn resumed(status: Option<&CanaryStatus>, version: &str) -> Option<Memory> {
    let memory: Memory = serde_json::from_str(status?.notes.as_deref()?).ok()?;
    (memory.version == version && !memory.lacks_data()).then_some(memory)
}

/// Pods of a canary that get so many per cent of the requests beside `serving` other ones, which can answer all of them: at least one,
/// rounded up. Behind the same Service as these, they have to be that share of all pods; with weights, they only need to bear the load.
fn replicas(percent: i32, serving: i32, is_weighted: bool) -> i32 {
    let percent = if is_weighted { percent.clamp(0, 100) } else { percent.clamp(0, 99) };
    let share = i64::from(percent) * i64::from(serving.max(0));
    let of = if is_weighted { 100 } else { 100 - i64::from(percent) };
    let rounded = (share + of - 1) / of;
    i32::try_from(rounded).unwrap_or(i32::MAX).max(1)
}

/// What the ticks keep of an object with a canary.
#[derive(Debug, Default)]
pub struct State {
    object: OfSource,
    trial: Option<Trial>,
}

#[derive(Debug)]
struct Trial {
    plan: Plan,
    counters: Counters,
    /// When the newest counters were recorded, seconds since 1970 by the server's clock.
    counted_at: Option<f64>,
    /// The newest counts, and when they were read. They are counted once, whatever the number of ticks that hand them in.
    counts: Option<(Tick, Timestamp)>,
    memory: Memory,
    wait: Option<Wait>,
    /// What reconciles read. It changes less often than what is counted.
    reported: Progress,
    reported_at: Timestamp,
}

impl State {
    /// Takes over what a reconcile knows; `None` without a canary. `status`: what was written of the canary last.
    pub fn plan(&mut self, plan: Option<Plan>, status: Option<&CanaryStatus>, now: Timestamp) {
        // Beside another version, with another bound of what is slow, and after an end without a verdict, it begins anew.
        let is_same = |trial: &Trial, plan: &Plan| {
            let compared = |plan: &Plan| (plan.version.clone(), plan.baseline.clone(), plan.compared);
            compared(&trial.plan) == compared(plan) && !trial.memory.lacks_data()
        };
        let has_changed = self.trial.as_ref().zip(plan.as_ref()).is_some_and(|(trial, plan)| !is_same(trial, plan));
        let status = status.filter(|_| !has_changed);
        let before = self.trial.take().filter(|trial| plan.as_ref().is_some_and(|plan| is_same(trial, plan)));
        self.trial = plan.map(|plan| match before {
            Some(trial) => Trial { plan, ..trial },
            None => Trial::new(plan, status, now),
        });
    }
}

impl Trial {
    fn new(plan: Plan, status: Option<&CanaryStatus>, now: Timestamp) -> Self {
        let memory = resumed(status, &plan.version).filter(|memory| memory.baseline == plan.baseline);
        let memory =
            memory.unwrap_or_else(|| Memory { baseline: plan.baseline.clone(), ..Memory::new(&plan.version, now) });
        let why = status
            .filter(|of| of.version == plan.version)
            .map_or_else(|| "it waits for its pods".into(), |status| status.message.clone());
        Self {
            counters: Counters::default(),
            counted_at: None,
            counts: None,
            wait: None,
            reported: Progress { memory: memory.clone(), why },
            reported_at: now,
            memory,
            plan,
        }
    }

    fn tick(&mut self, object: &OfSource, readings: Option<&Readings>, now: Timestamp) -> bool {
        let names = (object.namespace.as_str(), object.name.as_str());
        let read = |pod: &str| counts::sample(readings?, names, self.plan.compared, pod, now);
        let warm = self.plan.pods.iter().filter(|(_, (_, from))| *from <= now);
        let pods = warm.map(|(name, (track, _))| (name.clone(), *track)).collect();
        let (signals, newest) = self.counters.increase(&pods, read);
        let has_counted = !signals.is_empty();
        if let Some(at) = newest {
            let window_seconds = self.counted_at.replace(at).map_or(0, |before| (at - before).round() as i64);
            let at = Timestamp::from_second(at as i64).unwrap_or(now);
            self.counts = Some((Tick { at, window_seconds, signals }, now));
        }
        let is_current = |read: Timestamp| now.duration_since(read).as_secs().abs() <= CURRENT_SECONDS;
        let counts = self.counts.as_ref().filter(|(_, read)| is_current(*read)).map(|(tick, _)| tick.clone());
        let Plan { ready, expected, broken, canary: plan, route, .. } = &self.plan;
        let answer = match &counts {
            Some(tick) if newest.is_some() && has_counted => Answer::Counts(tick.window_seconds),
            _ if readings.is_some_and(|readings| readings.silence().is_none()) => Answer::NoCounts,
            Some(_) => Answer::Missed,
            None => Answer::Silence,
        };
        let observed = Observation {
            ready: *ready,
            expected: Some(*expected),
            counts,
            broken: broken.clone(),
            is_late: route.as_ref().is_some_and(Routed::is_late),
            undivided: route.as_ref().and_then(|route| route.undivided(*ready, self.memory.shares())),
        };
        let elapsed = now.duration_since(self.memory.advanced_at.0).as_secs().clamp(0, canary::ELAPSED_MAX);
        let silence = self.memory.silence.after(elapsed, answer);
        let mut next = canary::advance(plan, self.memory.clone(), &observed, now);
        let (wait, waited, why) = match next.outcome {
            Outcome::Stay { wait, why } => (Some(wait), None, why),
            Outcome::NextStep { why } | Outcome::Promote { why } => (None, None, why),
            Outcome::Back { why, waited } => (None, waited, why),
        };
        let position = |memory: &Memory| (memory.step, memory.shares(), memory.end.is_some());
        let is_news = wait != self.wait || position(&next.memory) != position(&self.memory);
        let is_due = now.duration_since(self.reported_at).abs() >= SignedDuration::from_secs(REPORT_SECONDS);
        // What it ended with stays.
        if self.memory.end.is_none() {
            let lacks_data = waited.is_some_and(Wait::needs_counts) && silence.lacks_data(next.memory.weighted_seconds);
            let begins = position(&next.memory) != position(&self.memory) && next.memory.end.is_none();
            next.memory.silence = if begins { Silence { seconds: 0, ..silence } } else { silence };
            next.memory.end.iter_mut().for_each(|end| end.lacks_data = lacks_data);
        }
        (self.wait, self.memory) = (wait, next.memory);
        if is_news || is_due {
            self.reported = Progress { memory: self.memory.clone(), why };
            self.reported_at = now;
        }
        is_news || is_due
    }
}

impl Ticked for State {
    type Observed = Option<Progress>;

    fn update(&mut self, model: &Model, _: &RecommenderModelStatus) {
        self.object = OfSource::new(model);
        if model.canary.is_none() {
            self.trial = None;
        }
    }

    fn object(&self) -> &OfSource {
        &self.object
    }

    fn is_empty(&self) -> bool {
        self.trial.is_none()
    }

    fn demanded(&self) -> Vec<Series> {
        vec![Series::PodRequests, Series::PodErrors, Series::PodSlow]
    }

    fn observed(&self) -> Option<Progress> {
        self.trial.as_ref().map(|trial| trial.reported.clone())
    }

    fn tick(&mut self, readings: Option<&Readings>, now: Timestamp) -> bool {
        self.trial.as_mut().is_some_and(|trial| trial.tick(&self.object, readings, now))
    }
}

#[cfg(test)]
mod tests;
