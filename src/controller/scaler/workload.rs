//! What is remembered of one workload from tick to tick, and what of it is told.

use std::{
    collections::{BTreeMap, BTreeSet},
    net::IpAddr,
};

use jiff::{SignedDuration, Timestamp};
use k8s_openapi::apimachinery::pkg::apis::meta::v1::Time;
use serde::{Deserialize, Serialize};

use super::{
    kubelets::Kubelet,
    pace::Pace,
    policy::{MetricsEndpoint, Plan, STARTUP, WARM_UP},
};
use crate::{
    api::{
        LearnedStatus, ScalingDecision, ScalingStatus,
        conditions::reasons::{METRICS_MISSING, OVERLOADED, SCALING_TROUBLES},
    },
    render::is_open,
    scaling::{Decision, Limit, Signal, combine, decision::Inputs, lag, overload::Outside, past::Memories, serving},
    signals::{Quality, Readings, Sampled, Series},
    training::whole_seconds,
};

/// Changes of the number that are told.
const DECISIONS: usize = 10;
/// A trouble, or its end, is told when it lasted so long.
const LASTING: SignedDuration = SignedDuration::from_secs(30);
/// Before anything was decided, so long nothing is said of missing metrics: rules have to be loaded first.
const FIRST_SIGNALS: SignedDuration = SignedDuration::from_secs(180);
/// The autoscaler follows a decision within so long.
const FOLLOWED: SignedDuration = SignedDuration::from_secs(60);
/// Series without which nothing is lowered, for a latency target and for a lag.
const LATENCY_NEEDS: [Series; 2] = [Series::RequestRate, Series::Latency];
const LAG_NEEDS: [Series; 2] = [Series::Lag, Series::Arrivals];
/// What was learned is written so often at most, when nothing else is.
const LEARNED_PAUSE: SignedDuration = SignedDuration::from_secs(600);

/// The loads of the time before this process are asked for so often at most, after a pause that doubles from so many
/// seconds on: the last time after nine hours.
const TRIES: u8 = 10;
const FIRST_PAUSE: f64 = 60.0;

/// The pods of a workload, as they were last seen.
#[derive(Clone, Debug, Default, PartialEq)]
pub struct Pods {
    /// Replicas that its Deployment asks for.
    pub desired: u32,
    /// Those that are ready.
    pub ready: u32,
    /// Since when each of these is.
    pub ready_since: Vec<Timestamp>,
    /// Seconds that replicas took to become ready, the median of those there are.
    pub startup: Option<f64>,
    /// Whether another version or other settings are being rolled out.
    pub rolling_out: bool,
    /// Names and addresses of those that run, and were not restarted of late; of a rollout, those of before.
    pub running: BTreeMap<String, Option<IpAddr>>,
    /// Names of those of these that are not ready any more.
    pub unready: BTreeSet<String>,
    /// Pods with an address beside those that are ready and these: they start, end, crash, or were never ready.
    pub others: u32,
}

/// Where a tick reads.
pub struct Tick<'a> {
    /// Namespace and name of the object.
    pub object: (&'a str, &'a str),
    /// The workload's name.
    pub workload: &'a str,
    /// The source that the object names.
    pub source: &'a str,
    /// What was read of it; none when the operator knows no source of this name.
    pub readings: Option<&'a Readings>,
    /// Now, for people and for the ages of samples.
    pub now: Timestamp,
    /// Now, in seconds, on a clock that never jumps.
    pub clock: f64,
}

impl Tick<'_> {
    /// Whether the source answered no query at all.
    fn source_failed(&self) -> bool {
        self.readings.is_some_and(|readings| readings.stats().failed == Series::ALL.len())
    }
}

/// What was learned of one replica, as it stands in the status.
#[derive(Clone, Copy, Debug, Default, PartialEq, Serialize, Deserialize)]
struct Learned {
    #[serde(default)]
    latency: serving::Learned,
    #[serde(default)]
    lag: lag::Learned,
}

/// Whether and when the metric source is asked for the loads of the time before this process.
#[derive(Clone, Copy, Debug)]
struct Recall {
    /// How often it may still be.
    tries: u8,
    /// When at the earliest, on the clock of decisions.
    at: f64,
}

/// One workload that the operator decides on.
#[derive(Debug)]
pub struct Scaled {
    plan: Plan,
    /// None before there is a Deployment: there is nothing to decide on.
    pods: Option<Pods>,
    /// Since when there are pods that could be measured.
    since: Option<Timestamp>,
    latency: Option<Box<serving::History>>,
    lag: Option<Box<lag::History>>,
    /// When it is decided on.
    pace: Pace,
    recall: Recall,
    /// What the status says, and what the autoscaler is to follow.
    told: Option<ScalingStatus>,
    /// When the number of replicas that is told was decided.
    decided_at: Timestamp,
    /// When what was learned was last told, and what that was.
    learned_at: Timestamp,
    learned: Learned,
    /// A trouble that is not told yet, or the end of one that is, and since when.
    candidate: Option<(&'static str, Timestamp)>,
    /// What the kubelets reported last.
    pub kubelet: Kubelet,
    /// Whether some servers did not answer at the last tick, so that it is worth to ask their kubelets.
    silent: bool,
    /// Whether the metric source had no sample of the servers at the last tick, so that it is worth to ask them directly.
    unmeasured: bool,
    /// The newest decision.
    pub latest: Option<Decision>,
}

impl Scaled {
    /// A workload that was not decided on before by this process; `told` is what its status says.
    pub fn new(plan: Plan, pods: Option<Pods>, told: Option<ScalingStatus>, now: Timestamp) -> Self {
        let notes = told.as_ref().and_then(|told| told.learned.as_ref()?.notes.as_deref());
        let learned: Learned = notes.and_then(|notes| serde_json::from_str(notes).ok()).unwrap_or_default();
        let latency = serving::History::resume(learned.latency);
        let lag = lag::History::resume(learned.lag);
        Self {
            latency: plan.latency.is_some().then(|| Box::new(latency)),
            lag: plan.lag.is_some().then(|| Box::new(lag)),
            pace: Pace::default(),
            recall: Recall { tries: if told.is_some() { TRIES } else { 0 }, at: f64::NEG_INFINITY },
            decided_at: now,
            learned_at: now,
            candidate: None,
            kubelet: Kubelet::default(),
            silent: false,
            unmeasured: false,
            latest: None,
            since: None,
            learned,
            plan,
            pods,
            told,
        }
    }

    /// Takes over what is asked for now. What was learned for a signal that is still there is kept.
    pub fn update(&mut self, plan: Plan, pods: Option<Pods>) {
        if plan.latency.is_some() {
            self.latency.get_or_insert_default();
        }
        if plan.lag.is_some() {
            self.lag.get_or_insert_default();
        }
        (self.plan, self.pods) = (plan, pods);
    }

    /// How often the loads of the time before may still be asked for, 0 when not now: not before there is a target and an
    /// idea of what a replica carries, and not right after a try.
    pub fn tries_to_remember(&self, clock: f64) -> u8 {
        let policy = self.plan.latency.as_ref();
        let learned = self.latency.as_ref().and_then(|history| history.learned.usual);
        let knows = policy.is_some_and(|policy| learned.or(policy.requests_per_replica).is_some());
        if knows && self.latest.is_some() && clock >= self.recall.at { self.recall.tries } else { 0 }
    }

    /// Takes one of these tries. Returns what the past is to be looked at with.
    pub fn try_to_remember(&mut self, clock: f64) -> Option<(serving::Policy, serving::Learned)> {
        let tries = self.tries_to_remember(clock).checked_sub(1)?;
        let pause = FIRST_PAUSE * f64::from(1 << (TRIES - 1 - tries));
        self.recall = Recall { tries, at: clock + pause };
        Some((self.plan.latency.clone()?, self.latency.as_ref()?.learned))
    }

    /// Remembers, and asks no more.
    pub fn remember(&mut self, memories: Option<Memories>) {
        self.recall.tries = 0;
        if let (Some(history), Some(memories)) = (&mut self.latency, memories) {
            history.remember(memories);
        }
    }

    /// Its pods, when it is worth to ask their kubelets why some do not answer.
    pub fn silent_pods(&self) -> Option<&Pods> {
        self.pods.as_ref().filter(|pods| self.silent && self.plan.latency.is_some() && !pods.running.is_empty())
    }

    /// Where its servers expose their metrics, when it is worth to ask them directly.
    pub fn unmeasured(&self) -> Option<&MetricsEndpoint> {
        self.plan.metrics.as_ref().filter(|_| self.unmeasured)
    }

    /// Cores that each of its pods may use.
    pub fn cores(&self) -> Option<f64> {
        self.plan.cores
    }

    /// What the status is to say. None before anything was decided.
    pub fn told(&self) -> Option<&ScalingStatus> {
        self.told.as_ref()
    }

    /// Decides anew if it is time to. Returns whether there is something to do or to tell, None when nothing was decided.
    pub fn tick(&mut self, tick: &Tick<'_>) -> Option<bool> {
        if self.pods.is_none() || !self.pace.decides(tick.clock, self.sampled(tick)) {
            return None;
        }
        let pods = self.pods.take()?;
        if pods.ready > 0 || pods.desired == 0 {
            self.since.get_or_insert(tick.now);
        }
        let current = self.current(&pods, tick);
        let decisions = [self.decide_latency(tick, &pods, current), self.decide_lag(tick, &pods, current)];
        self.pods = Some(pods);
        let decision = combine(decisions.into_iter().flatten().collect())?;
        let news = self.consider(&decision, tick);
        self.latest = Some(decision);
        Some(news)
    }

    /// When there is reason to look for a new sample, see [`Pace::next`]. None when nothing can be decided.
    pub fn next(&self, clock: f64) -> Option<f64> {
        self.pods.as_ref().and_then(|_| self.pace.next(clock))
    }

    /// How old the sample of the last decision was, seconds.
    pub fn sample_age(&self) -> Option<f64> {
        self.pace.age()
    }

    /// The series that it is decided on in the first place, and what that is about: `workload`, or a dependency.
    fn load<'a>(&'a self, workload: &'a str) -> Option<(Series, &'a str)> {
        let lag = || self.plan.lag.as_ref().map(|plan| (Series::Lag, plan.dependency.as_str()));
        self.plan.latency.as_ref().map(|_| (Series::RequestRate, workload)).or_else(lag)
    }

    /// The newest sample of what it is decided on.
    fn sampled(&self, tick: &Tick<'_>) -> Option<Sampled> {
        let (series, about) = self.load(tick.workload)?;
        let sampled = |series| tick.readings?.sampled(series, tick.object.0, tick.object.1, about, tick.now);
        // That servers do not answer is recorded even when nothing else is.
        let silence = self.plan.latency.as_ref().and_then(|_| sampled(Series::Unanswered));
        [sampled(series), silence].into_iter().flatten().max_by(|a, b| a.at.total_cmp(&b.at))
    }

    /// Replicas there are or are about to be. What was ordered a moment ago is on its way, up or down; where the CPU use is
    /// followed as well, or for the time being because signals are missing, an order down may never be followed, and there
    /// may be more than were ordered. An order up stands however long the autoscaler takes, so that
    /// a tick without data holds it.
    fn current(&self, pods: &Pods, tick: &Tick<'_>) -> u32 {
        let now = tick.now;
        let is_open = self.told.as_ref().is_some_and(is_open);
        let under_way = self.plan.exact && !is_open && now.duration_since(self.decided_at) < FOLLOWED;
        let ordered = self.told.as_ref().filter(|_| self.plan.acted_on);
        match ordered.and_then(|told| u32::try_from(told.replicas).ok()) {
            Some(ordered) if under_way => ordered,
            // What the autoscaler added by itself it takes away by itself, for as long as that goes on.
            Some(ordered) if is_open && self.plan.exact && !self.is_measured(tick) => ordered,
            Some(ordered) => ordered.max(pods.desired),
            None => pods.desired,
        }
    }

    /// Whether there is a fresh sample of what it is decided on.
    fn is_measured(&self, tick: &Tick<'_>) -> bool {
        self.load(tick.workload).is_some_and(|(series, about)| signal(tick, series, about).value().is_some())
    }

    fn decide_latency(&mut self, tick: &Tick<'_>, pods: &Pods, current: u32) -> Option<Decision> {
        let (policy, history) = (self.plan.latency.as_mut()?, self.latency.as_mut()?);
        policy.startup = self.plan.startup.or(pods.startup).unwrap_or(STARTUP);
        let signal = |series| signal(tick, series, tick.workload);
        let warm = |since: &&Timestamp| tick.now.duration_since(**since).as_secs_f64() >= WARM_UP;
        let warm = u32::try_from(pods.ready_since.iter().filter(warm).count()).unwrap_or(u32::MAX);
        let signals = serving::Signals {
            rate: signal(Series::RequestRate),
            latest: signal(Series::LatestRequestRate),
            latency: signal(Series::Latency),
            in_flight: signal(Series::InFlight),
            cpu: signal(Series::Cpu),
            failed: signal(Series::Failed),
            outside: Outside {
                source_failed: tick.source_failed(),
                ..self.kubelet.outside(pods, self.plan.cores.is_some(), &signal, tick.now)
            },
            replicas: serving::Replicas { current, ready: pods.ready, warm: warm.min(pods.ready) },
            rolling_out: pods.rolling_out,
        };
        let outside = &signals.outside;
        self.unmeasured = signals.rate.value().is_none() || outside.source_failed;
        self.silent = self.unmeasured || outside.unready > 0 || outside.unscraped > 0;
        Some(serving::decide(policy, &signals, history, tick.clock))
    }

    fn decide_lag(&mut self, tick: &Tick<'_>, pods: &Pods, current: u32) -> Option<Decision> {
        let (plan, history) = (self.plan.lag.as_mut()?, self.lag.as_mut()?);
        let signal = |series| signal(tick, series, &plan.dependency);
        let partitions = signal(Series::Partitions).last().filter(|count| *count >= 1.0);
        let signals = lag::Signals {
            lag: signal(Series::Lag),
            arrivals: signal(Series::Arrivals),
            consumed: signal(Series::Consumed),
            current,
            ready: pods.ready,
            rolling_out: pods.rolling_out,
        };
        // Without news of them, the history has those known last.
        plan.policy.partitions = partitions.map(|count| count.round() as u32);
        Some(lag::decide(&plan.policy, &signals, history, tick.clock))
    }

    /// Whether a decision is news: another number, a trouble that lasts or ended, or much learned.
    fn consider(&mut self, decision: &Decision, tick: &Tick<'_>) -> bool {
        let now = tick.now;
        let state = self.state(decision, tick);
        let Some(told) = &self.told else {
            let waited = self.since.map(|since| now.duration_since(since));
            let held = state == METRICS_MISSING && decision.replicas <= decision.current;
            let patience = held && waited.is_none_or(|waited| waited < FIRST_SIGNALS);
            if !patience {
                self.tell(decision, tick);
            }
            return !patience;
        };
        if i32::try_from(decision.replicas) != Ok(told.replicas) {
            self.tell(decision, tick);
            return true;
        }
        if state == told_state(&told.reason) {
            self.candidate = None;
        } else {
            let (candidate, since) = *self.candidate.get_or_insert((state, now));
            if candidate != state {
                self.candidate = Some((state, now));
            } else if now.duration_since(since) >= LASTING {
                self.tell(decision, tick);
                return true;
            }
        }
        let pause_is_over = now.duration_since(self.learned_at) >= LEARNED_PAUSE;
        if pause_is_over && self.has_learned() {
            self.tell(decision, tick);
            return true;
        }
        false
    }

    fn tell(&mut self, decision: &Decision, tick: &Tick<'_>) {
        let replicas = i32::try_from(decision.replicas).unwrap_or(i32::MAX);
        let current = i32::try_from(decision.current).unwrap_or(i32::MAX);
        let (reason, message) = (self.state_or_limit(decision, tick), self.sentence(decision, tick));
        let before = self.told.take();
        let changed = before.as_ref().map(|told| told.replicas) != Some(replicas);
        let mut decisions = before.map(|told| told.decisions).unwrap_or_default();
        if changed {
            self.decided_at = tick.now;
            if replicas != current {
                let time = Time(whole_seconds(tick.now));
                let (reason, message) = (reason.to_owned(), message.clone());
                decisions.insert(0, ScalingDecision { time, from: current, to: replicas, reason, message });
                decisions.truncate(DECISIONS);
            }
        }
        (self.learned, self.learned_at) = (self.learned(), tick.now);
        self.candidate = None;
        self.told =
            Some(ScalingStatus { replicas, reason: reason.into(), message, decisions, learned: self.learned_status() });
    }

    /// The decision's own sentence; when signals are missing, also which, and what is wrong with the source.
    fn sentence(&self, decision: &Decision, tick: &Tick<'_>) -> String {
        let mut parts = vec![decision.to_string()];
        if self.state(decision, tick) == METRICS_MISSING {
            match tick.readings {
                None => parts.push(unknown_source(tick.source)),
                Some(readings) => {
                    let of_signals = signals(decision).filter(|of| !tick.source_failed() && self.lacks(of, tick));
                    parts.extend(of_signals.filter_map(|of| self.missing(&of.inputs, tick)));
                    parts.extend(readings.source_error().map(str::to_owned));
                }
            }
            parts.extend(self.why_no_backstop());
        }
        parts.join("; ")
    }

    /// Why an overload would not be noticed while the signals of the servers are missing.
    fn why_no_backstop(&self) -> Option<String> {
        let error = self.kubelet.cpu_error.as_ref().filter(|_| self.latency.is_some())?;
        Some(format!("an overload would not be noticed, as the CPU use of the pods is not known: {error}"))
    }

    /// The trouble of a decision, if any. While metrics are coming back they still are missing.
    fn state(&self, decision: &Decision, tick: &Tick<'_>) -> &'static str {
        if signals(decision).any(|of| self.lacks(of, tick)) {
            return METRICS_MISSING;
        }
        if matches!(decision.limit, Limit::Overloaded(_)) {
            return OVERLOADED;
        }
        decision.trouble().map_or(FINE, |trouble| trouble.reason())
    }

    fn state_or_limit(&self, decision: &Decision, tick: &Tick<'_>) -> &'static str {
        match self.state(decision, tick) {
            FINE => decision.limit.reason(),
            trouble => trouble,
        }
    }

    /// Whether what one signal asks for is held, or would be, because it is missing or old. A lag that is old still raises,
    /// so that nothing of it may show in the decision.
    fn lacks(&self, of_signal: &Decision, tick: &Tick<'_>) -> bool {
        let lag_is_old = || {
            let lag = self.plan.lag.as_ref().map(|plan| signal(tick, Series::Lag, &plan.dependency));
            matches!(of_signal.inputs, Inputs::Lag { .. }) && lag.is_some_and(|lag| lag.value().is_none())
        };
        matches!(of_signal.limit, Limit::NoData(_) | Limit::Outage) || lag_is_old()
    }

    /// The first series that is not fresh, of those without which nothing is lowered, and why it is not.
    fn missing(&self, inputs: &Inputs, tick: &Tick<'_>) -> Option<String> {
        let (needs, about) = match inputs {
            Inputs::Serving { .. } => (LATENCY_NEEDS, tick.workload),
            Inputs::Lag { .. } => (LAG_NEEDS, self.plan.lag.as_ref()?.dependency.as_str()),
        };
        needs.into_iter().find_map(|series| {
            let name = series.name();
            match signal(tick, series, about) {
                Signal::Fresh { .. } => None,
                // New, but of an answer that is only a part: the source tells.
                Signal::Stale { age, .. } if age <= Quality::default().fresh_seconds => None,
                Signal::Stale { age, .. } => {
                    Some(format!("{name} is {age:.0} s old: is it scraped, are its recording rules loaded?"))
                }
                Signal::Missing(why) => Some(format!("{name}: {why}")),
            }
        })
    }

    /// What is known of one replica now.
    fn learned(&self) -> Learned {
        Learned {
            latency: self.latency.as_ref().map(|history| history.learned).unwrap_or_default(),
            lag: self.lag.as_ref().map(|history| history.learned).unwrap_or_default(),
        }
    }

    /// Whether so much was learned since it was last told that a restart would miss it.
    fn has_learned(&self) -> bool {
        let now = self.learned();
        now.latency.differs_from(&self.learned.latency) || now.lag.differs_from(&self.learned.lag)
    }

    fn learned_status(&self) -> Option<LearnedStatus> {
        let learned = self.learned;
        let decimal = |number: f64| format!("{number:.1}");
        (learned != Learned::default()).then(|| LearnedStatus {
            requests_per_replica: learned.latency.usual.map(decimal),
            messages_per_replica: learned.lag.capacity.map(decimal),
            startup_seconds: self.pods.as_ref().and_then(|pods| pods.startup).map(|seconds| seconds.round() as i32),
            notes: serde_json::to_string(&learned).ok(),
        })
    }
}

fn signal(tick: &Tick<'_>, series: Series, about: &str) -> Signal {
    let (namespace, name) = tick.object;
    let none = Signal::Missing("the operator has no such metric source");
    tick.readings.map_or(none, |readings| readings.get(series, namespace, name, about, tick.now))
}

fn unknown_source(name: &str) -> String {
    format!(
        "the operator has no metric source {name:?}: set the value metricSources of its chart, or its flag --prometheus-url or --metric-sources"
    )
}

/// The state of a decision without trouble.
const FINE: &str = "";

/// The state that people were told of.
fn told_state(reason: &str) -> &'static str {
    let states = [METRICS_MISSING, OVERLOADED].into_iter().chain(SCALING_TROUBLES);
    states.into_iter().find(|state| *state == reason).unwrap_or(FINE)
}

/// What each signal asks for.
fn signals(decision: &Decision) -> impl Iterator<Item = &Decision> {
    std::iter::once(decision).chain(&decision.others)
}
