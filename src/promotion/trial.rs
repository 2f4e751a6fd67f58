//! What the ticks keep of a canary between two reconciles: the counters of its pods, and how far it is. Pure.
//!
//! ```text
//! reconcile: Plan (version, pods, replicas) ─> State ─ tick: counters ─> canary::advance ─> Progress ─> reconcile, status
//! ```

use std::collections::BTreeMap;

use jiff::{SignedDuration, Timestamp};

use super::{
    canary::{self, Answer, Memory, Outcome, Policy, Readings as Observation, Silence, Tick, Wait},
    counts::{self, Counters, Track},
    route::Routed,
    watch,
};
use crate::{
    api::{CanaryStatus, RecommenderModelStatus, Verdict, Version},
    model::{Model, names},
    monitoring::canary::Compared,
    observe::{Children, DeploymentState, PodState},
    observed::{OfSource, Ticked},
    render::{CANARY_COMPONENT, SERVING_COMPONENT},
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
    pub policy: Policy,
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
        let warm_up = SignedDuration::from_secs(canary.policy.warm_up_seconds);
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
            policy: canary.policy.clone(),
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
    let policy = known.model.canary.as_ref().map(|canary| &canary.policy);
    let percent = policy.map_or(memory.weight_percent, |policy| memory.capacity_percent(policy));
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
        let Plan { ready, expected, broken, policy, route, .. } = &self.plan;
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
        let mut next = canary::advance(policy, self.memory.clone(), &observed, now);
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
mod tests {
    use super::*;
    use crate::{
        promotion::{
            canary::Step,
            counts::{ERRORS, SLOW},
            judge::{Settings, Signal},
            route::{Acceptance, Shares},
        },
        signals::fake::{at, readings},
    };

    /// Seconds between two ticks, and between two samples.
    const TICK: i64 = 10;

    /// Four servers and a canary that answer 50 requests/s each. Of those of the canary, a part fails.
    struct Bed {
        state: State,
        second: i64,
        /// Requests and errors of each pod, by its name.
        counters: BTreeMap<&'static str, (f64, f64)>,
        failing: f64,
    }

    fn plan() -> Plan {
        let signal = |name: &str| Signal { name: name.into(), floor: Some(0.01), maximum: None };
        let step =
            |weight_percent| Step { weight_percent, mirror_percent: 0, minimum_seconds: 60, minimum_requests: 100 };
        let pods = [("s1", Track::Serving), ("s2", Track::Serving), ("s3", Track::Serving), ("s4", Track::Serving)];
        let pods = pods.into_iter().chain([("c1", Track::Canary)]);
        Plan {
            policy: Policy {
                steps: vec![step(20), step(50)],
                warm_up_seconds: 20,
                max_seconds: 600,
                judge: Settings { level: 0.05, margin: 1.5, signals: vec![signal(ERRORS)] },
            },
            compared: Compared { errors: true, slow: None },
            version: "full-2".into(),
            baseline: "full-1".into(),
            pods: pods.map(|(name, track)| (name.into(), (track, at(0)))).collect(),
            ready: 1,
            expected: 1,
            broken: None,
            route: None,
        }
    }

    impl Bed {
        fn new() -> Self {
            let object = OfSource::packages();
            let mut state = State { object, trial: None };
            state.plan(Some(plan()), None, at(0));
            let counters = ["s1", "s2", "s3", "s4", "c1"].map(|pod| (pod, (1e6, 100.0))).into();
            Self { state, second: 0, counters, failing: 0.002 }
        }

        /// What was decided, at most so many ticks later, when the canary is in this step or has ended. The number of changes too.
        fn until(&mut self, ticks: usize, is_reached: impl Fn(&Memory) -> bool) -> (Progress, usize) {
            let mut changes = 0;
            for _ in 0..ticks {
                self.second += TICK;
                for (pod, (requests, errors)) in &mut self.counters {
                    *requests += 500.0;
                    *errors += 500.0 * if *pod == "c1" { self.failing } else { 0.002 };
                }
                changes += usize::from(self.tick());
                let progress = self.state.observed().expect("there is a canary");
                if is_reached(&progress.memory) {
                    return (progress, changes);
                }
            }
            panic!("{:?}", self.state.observed());
        }

        fn tick(&mut self) -> bool {
            let of = |series, pod: &'static str, value: f64| ("shop", "packages", series, pod, value.to_string(), 0);
            let samples: Vec<_> = self
                .counters
                .iter()
                .flat_map(|(pod, (requests, errors))| {
                    [of(Series::PodRequests, pod, *requests), of(Series::PodErrors, pod, errors.floor())]
                })
                .collect();
            self.state.tick(Some(&readings(&samples, self.second)), at(self.second))
        }
    }

    #[test]
    fn a_canary_gets_so_many_pods_that_its_share_is_at_least_the_desired_one() {
        let of = |percent, serving| replicas(percent, serving, false);
        assert_eq!([of(10, 9), of(10, 10), of(50, 3), of(1, 2), of(25, 0), of(33, 4)], [1, 2, 3, 1, 1, 2]);
        assert_eq!(replicas(i32::MAX, i32::MAX, false), i32::MAX);
        let of = |percent, serving| replicas(percent, serving, true);
        assert_eq!([of(1, 2), of(1, 101), of(10, 20), of(50, 3), of(100, 4), of(25, 0)], [1, 2, 2, 2, 4, 1], "by load");
        assert_eq!(replicas(i32::MAX, i32::MAX, true), i32::MAX);
    }

    #[test]
    fn a_canary_without_a_difference_passes_each_step_and_few_ticks_are_reported() {
        let mut bed = Bed::new();
        let (progress, _) = bed.until(60, |memory| memory.step == 1);
        assert!(progress.why.contains("step 1 of 2 (20 % of the requests)"), "{}", progress.why);
        assert_eq!(progress.verdict(), None);
        let (progress, changes) = bed.until(60, |memory| memory.end.is_some());
        assert!(progress.verdict().is_some_and(|verdict| verdict.passed && verdict.gate == GATE), "{progress:?}");
        assert!(changes < 12, "{changes}");
    }

    #[test]
    fn a_canary_that_fails_more_often_is_taken_back_within_a_minute() {
        let mut bed = Bed { failing: 0.1, ..Bed::new() };
        let (progress, _) = bed.until(12, |memory| memory.end.is_some());
        let verdict = progress.verdict().expect("a verdict");
        assert!(!verdict.passed && verdict.message.contains("errors"), "{verdict:?}");
    }

    #[test]
    fn a_restarted_pod_and_a_restarted_operator_are_no_evidence() {
        let mut bed = Bed::new();
        bed.until(60, |memory| memory.judged_seconds > 30);
        let before = bed.state.observed().expect("there is one").memory;
        // Its counters begin anew, and the errors that it counted before are gone.
        bed.counters.insert("c1", (0.0, 0.0));
        bed.tick();
        let status = CanaryStatus {
            version: "full-2".into(),
            message: "it is judged".into(),
            notes: serde_json::to_string(&before).ok(),
            ..CanaryStatus::default()
        };
        let mut resumed = Bed { state: State { object: OfSource::default(), trial: None }, ..Bed::new() };
        resumed.state.plan(Some(plan()), Some(&status), at(0));
        assert_eq!(resumed.state.observed().map(|progress| progress.memory), Some(before));
        resumed.state.plan(Some(Plan { version: "full-3".into(), ..plan() }), Some(&status), at(0));
        let other = resumed.state.observed().expect("there is one").memory;
        assert_eq!((other.version.as_str(), other.judged_seconds), ("full-3", 0));
        let (progress, _) = bed.until(120, |memory| memory.end.is_some());
        assert!(progress.verdict().is_some_and(|verdict| verdict.passed), "{progress:?}");
    }

    #[test]
    fn without_samples_a_canary_is_taken_back_as_inconclusive() {
        let progress = ended_by(|second| Some(readings(&[], second)));
        let verdict = progress.verdict().expect("a verdict");
        assert!(!verdict.passed && verdict.message.contains("no current counts of errors"), "{verdict:?}");
    }

    #[test]
    fn while_its_metric_source_does_not_answer_a_canary_ends_without_a_verdict_on_its_version() {
        let silent = |second| Some(readings(&[], second).silent("metric source \"default\": HTTP 503"));
        for progress in [ended_by(silent), ended_by(|_| None)] {
            assert!(progress.memory.lacks_data() && progress.verdict().is_none(), "{progress:?}");
            assert!(progress.why.contains("no current counts of errors"), "{progress:?}");
        }
    }

    /// A canary with hardly any requests whose counters are read in these ticks, and else so, until it has ended.
    fn ended_with(is_sampled: impl Fn(i64) -> bool, read: impl Fn(i64) -> Option<Readings>) -> Progress {
        ended_in(&mut Bed::new(), is_sampled, read)
    }

    fn ended_in(bed: &mut Bed, is_sampled: impl Fn(i64) -> bool, read: impl Fn(i64) -> Option<Readings>) -> Progress {
        for tick in 1..100 {
            bed.second += TICK;
            bed.counters.values_mut().for_each(|(requests, _)| *requests += 2.0);
            match is_sampled(tick) {
                true => _ = bed.tick(),
                false => _ = bed.state.tick(read(bed.second).as_ref(), at(bed.second)),
            }
            let progress = bed.state.observed().expect("there is one");
            if progress.memory.end.is_some() {
                assert_eq!(tick, LAST, "{progress:?}");
                return progress;
            }
        }
        panic!("it does not end");
    }

    /// The tick in which a step that begins with the first tick has taken 20 + 60 + 600 s.
    const LAST: i64 = 69;

    #[test]
    fn a_source_that_answers_again_just_before_the_end_gives_no_verdict() {
        let silent = |second| Some(readings(&[], second).silent("metric source \"default\": HTTP 503"));
        let mute = |second| match second / TICK {
            ..=40 => silent(second),
            _ => Some(readings(&[], second)),
        };
        for progress in [ended_with(|tick| tick >= LAST, silent), ended_with(|_| false, mute)] {
            assert!(progress.memory.lacks_data() && progress.verdict().is_none(), "{progress:?}");
        }
        let progress = ended_with(|tick| tick >= LAST - 20, silent);
        assert!(progress.memory.lacks_data(), "a third of the step was counted: {progress:?}");
        for (is_sampled, why) in [
            ((|_| true) as fn(i64) -> bool, "the source has answered all the time"),
            (|tick| !(10..30).contains(&tick), "what its pods counted meanwhile is known"),
            (|tick| tick >= 20, "most of the step was counted"),
        ] {
            let progress = ended_with(is_sampled, silent);
            assert!(
                !progress.memory.lacks_data() && progress.verdict().is_some_and(|verdict| !verdict.passed),
                "{why}: {progress:?}"
            );
        }
    }

    /// What is written to the status of this progress.
    fn written(progress: &Progress) -> CanaryStatus {
        let notes = serde_json::to_string(&progress.memory).ok();
        CanaryStatus { version: "full-2".into(), notes, ..CanaryStatus::default() }
    }

    #[test]
    fn a_version_that_exposes_no_counters_is_judged_although_its_source_was_silent_for_a_while_in_each_step() {
        let silent = |second| Some(readings(&[], second).silent("metric source \"default\": HTTP 503"));
        let fails_in = |from: i64, until: i64| {
            move |second: i64| match second / TICK {
                tick if (from..until).contains(&tick) => silent(second),
                _ => Some(readings(&[], second)),
            }
        };
        // Of none of the pods, and of those of the serving version alone.
        let of_servers = || {
            let mut bed = Bed::new();
            bed.counters.remove("c1");
            bed
        };
        let progress = [
            ended_with(|_| false, fails_in(20, 21)),
            ended_with(|_| false, fails_in(LAST - 7, LAST - 6)),
            ended_in(&mut of_servers(), |tick| !(20..27).contains(&tick), silent),
        ];
        for progress in progress {
            assert!(progress.verdict().is_some_and(|verdict| !verdict.passed), "{progress:?}");
        }
        // A source that is back for half a minute may have no series yet.
        for progress in [
            ended_with(|_| false, fails_in(LAST - 4, LAST - 3)),
            ended_in(&mut of_servers(), |tick| !(LAST - 10..LAST - 3).contains(&tick), silent),
            ended_with(
                |_| false,
                |second| if second / TICK % 5 == 0 { silent(second) } else { Some(readings(&[], second)) },
            ),
        ] {
            assert!(progress.memory.lacks_data(), "{progress:?}");
        }
    }

    #[test]
    fn a_restart_of_the_operator_does_not_forget_that_the_source_was_silent() {
        let mut bed = Bed::new();
        for tick in 1..=LAST {
            bed.second += TICK;
            bed.counters.values_mut().for_each(|(requests, _)| *requests += 2.0);
            if tick == LAST - 3 {
                let status = written(&bed.state.observed().expect("there is one"));
                bed.state = State { object: OfSource::packages(), trial: None };
                bed.state.plan(Some(plan()), Some(&status), at(bed.second));
            }
            // It answers again just before the restart, and the counters of the process after it begin with a first sample.
            match tick {
                ..20 => _ = bed.tick(),
                20..60 => _ = bed.state.tick(Some(&readings(&[], bed.second).silent("it is down")), at(bed.second)),
                60.. => _ = bed.state.tick(Some(&readings(&[], bed.second)), at(bed.second)),
            }
        }
        let progress = bed.state.observed().expect("there is one");
        assert!(progress.memory.end.is_some(), "{progress:?}");
        assert!(progress.memory.lacks_data() && progress.verdict().is_none(), "{progress:?}");
    }

    #[test]
    fn a_canary_that_ended_without_data_begins_anew_also_after_a_restart() {
        let ended = ended_by(|_| None);
        let mut bed = Bed::new();
        bed.state.plan(None, None, at(0));
        bed.state.plan(Some(plan()), Some(&written(&ended)), at(0));
        let begun = bed.state.observed().expect("there is one").memory;
        assert_eq!((begun.end, begun.weight_percent), (None, 0));
        while bed.state.observed().is_some_and(|progress| progress.memory.end.is_none()) {
            bed.second += TICK;
            bed.state.tick(None, at(bed.second));
            assert!(bed.second < 10_000, "it does not end");
        }
        bed.state.plan(Some(plan()), None, at(bed.second));
        assert_eq!(bed.state.observed().and_then(|progress| progress.memory.end), None, "in the same process");
    }

    #[test]
    fn pods_that_do_not_get_ready_are_a_verdict_also_if_the_source_was_silent_meanwhile() {
        let mut state = State { object: OfSource::packages(), trial: None };
        state.plan(Some(Plan { ready: 0, ..plan() }), None, at(0));
        for tick in 1..100 {
            let read = readings(&[], tick * TICK);
            let read = if tick == 5 { read.silent("metric source \"default\": HTTP 503") } else { read };
            state.tick(Some(&read), at(tick * TICK));
        }
        let progress = state.observed().expect("there is one");
        assert!(
            !progress.memory.lacks_data() && progress.verdict().is_some_and(|verdict| !verdict.passed),
            "{progress:?}"
        );
    }

    #[test]
    fn what_is_known_without_the_source_is_a_verdict_also_if_it_is_silent_in_the_end() {
        let route = Routed {
            shares: Some(Shares::default()),
            state: Acceptance::Refused("HTTPRoute packages is not accepted".into()),
        };
        let waits = [
            (Plan { ready: 0, ..plan() }, "0 of 1 replicas are ready"),
            (Plan { route: Some(route), ..plan() }, "HTTPRoute packages is not accepted"),
        ];
        // With a restart of the operator just before the end, too: the first tick after it ends the canary.
        for ((waiting, why), is_restarted) in waits.into_iter().flat_map(|of| [(of.clone(), false), (of, true)]) {
            let mut bed = Bed::new();
            let begun = if waiting.route.is_some() { plan() } else { waiting.clone() };
            bed.state.plan(Some(begun), None, at(0));
            bed.tick();
            bed.state.plan(Some(waiting.clone()), None, at(0));
            for tick in 2..100 {
                bed.second = tick * TICK;
                let memory = bed.state.trial.as_ref().map(|trial| trial.memory.clone()).expect("there is one");
                if is_restarted && memory.waited_seconds == 590 {
                    let status = written(&Progress { memory, why: String::new() });
                    bed.state = State { object: OfSource::packages(), trial: None };
                    bed.state.plan(Some(waiting.clone()), Some(&status), at(bed.second));
                }
                let read = readings(&[], bed.second);
                let read = if tick > 40 { read.silent("metric source \"default\": HTTP 503") } else { read };
                bed.state.tick(Some(&read), at(bed.second));
            }
            let progress = bed.state.observed().expect("there is one");
            let verdict =
                progress.verdict().unwrap_or_else(|| panic!("no verdict, restarted {is_restarted}: {progress:?}"));
            assert!(!verdict.passed && verdict.message.contains(why), "{progress:?}");
        }
    }

    /// A canary that gets requests and is then read so, until it has ended.
    fn ended_by(read: impl Fn(i64) -> Option<Readings>) -> Progress {
        let mut bed = Bed::new();
        bed.until(10, |memory| memory.weight_percent > 0);
        let mut ticks = 0;
        while bed.state.observed().is_some_and(|progress| progress.memory.end.is_none()) {
            (bed.second, ticks) = (bed.second + TICK, ticks + 1);
            bed.state.tick(read(bed.second).as_ref(), at(bed.second));
            assert!(ticks < 100, "it does not end");
        }
        // It stays what it ended with.
        bed.state.tick(Some(&readings(&[], bed.second + 120)), at(bed.second + 120));
        bed.state.observed().expect("there is one")
    }

    #[test]
    fn counters_are_compared_only_if_they_were_recorded_at_the_same_time() {
        let of = |series, value: &str, age| ("shop", "packages", series, "c1", value.to_owned(), age);
        let read = |samples: &[_]| {
            let compared = Compared { errors: true, slow: Some(0.1) };
            counts::sample(&readings(samples, 100), ("shop", "packages"), compared, "c1", at(100))
        };
        let whole = [of(Series::PodRequests, "10", 1), of(Series::PodErrors, "1", 1), of(Series::PodSlow, "2", 1)];
        let sample = read(&whole).expect("all are there");
        assert_eq!((sample.requests, sample.errors, sample.slow), (10.0, Some(1.0), Some(2.0)));
        let [requests, errors, _] = whole.clone();
        assert_eq!(read(&[requests.clone(), errors.clone()]), None, "{SLOW}");
        assert_eq!(read(&[requests, errors, of(Series::PodSlow, "2", 11)]), None);
        let old = whole.map(|(namespace, name, series, pod, value, _)| (namespace, name, series, pod, value, 60));
        assert_eq!(read(&old), None, "a stale sample is none of now");
    }
}
