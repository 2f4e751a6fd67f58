//! What is remembered of one workload from tick to tick, and what of it is told.

use jiff::{SignedDuration, Timestamp};
use k8s_openapi::apimachinery::pkg::apis::meta::v1::Time;
use serde::{Deserialize, Serialize};

use super::policy::{Plan, STARTUP, WARM_UP};
use crate::{
    api::{
        LearnedStatus, ScalingDecision, ScalingStatus,
        conditions::reasons::{METRICS_MISSING, SCALING_TROUBLES},
    },
    scaling::{Decision, Limit, Signal, combine, lag, serving},
    signals::{Readings, Series},
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
/// What was learned is written so often at most, when nothing else is.
const LEARNED_PAUSE: SignedDuration = SignedDuration::from_secs(600);

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
}

/// Where a tick reads.
pub struct Tick<'a> {
    /// Namespace and name of the object.
    pub object: (&'a str, &'a str),
    /// The workload's name.
    pub workload: &'a str,
    /// What was read; none when the operator knows no source of the name that the object gives.
    pub readings: Option<&'a Readings>,
    /// Now, for people and for the ages of samples.
    pub now: Timestamp,
    /// Now, in seconds, on a clock that never jumps.
    pub clock: f64,
}

/// What was learned of one replica, as it stands in the status.
#[derive(Clone, Copy, Debug, Default, PartialEq, Serialize, Deserialize)]
struct Learned {
    #[serde(default)]
    latency: serving::Learned,
    #[serde(default)]
    lag: lag::Learned,
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
    /// What the status says, and what the autoscaler is to follow.
    told: Option<ScalingStatus>,
    /// When the number of replicas that is told was decided.
    decided_at: Timestamp,
    /// When what was learned was last told, and what that was.
    learned_at: Timestamp,
    learned: Learned,
    /// A trouble that is not told yet, or the end of one that is, and since when.
    candidate: Option<(&'static str, Timestamp)>,
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
            decided_at: now,
            learned_at: now,
            candidate: None,
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

    /// What the status is to say. None before anything was decided.
    pub fn told(&self) -> Option<&ScalingStatus> {
        self.told.as_ref()
    }

    /// Decides anew. Returns whether there is something to do or to tell.
    pub fn tick(&mut self, tick: &Tick<'_>) -> bool {
        let Some(pods) = self.pods.take() else { return false };
        if pods.ready > 0 || pods.desired == 0 {
            self.since.get_or_insert(tick.now);
        }
        let current = self.current(&pods, tick.now);
        let decisions = [self.decide_latency(tick, &pods, current), self.decide_lag(tick, &pods, current)];
        self.pods = Some(pods);
        let Some(decision) = combine(decisions.into_iter().flatten().collect()) else { return false };
        let news = self.consider(&decision, tick);
        self.latest = Some(decision);
        news
    }

    /// Replicas there are or are about to be: what was ordered a moment ago is on its way, up or down. Where the CPU use is
    /// followed as well, an order down may never be followed.
    fn current(&self, pods: &Pods, now: Timestamp) -> u32 {
        let under_way = self.plan.acted_on && now.duration_since(self.decided_at) < FOLLOWED;
        let ordered = self.told.as_ref().filter(|_| under_way).and_then(|told| u32::try_from(told.replicas).ok());
        match ordered {
            Some(ordered) if self.plan.exact => ordered,
            Some(ordered) => ordered.max(pods.desired),
            None => pods.desired,
        }
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
            replicas: serving::Replicas { current, ready: pods.ready, warm: warm.min(pods.ready) },
            rolling_out: pods.rolling_out,
        };
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
        // Partitions are never taken away: without news of them, those known last hold.
        plan.policy.partitions = partitions.map(|count| count.round() as u32).or(plan.policy.partitions);
        Some(lag::decide(&plan.policy, &signals, history, tick.clock))
    }

    /// Whether a decision is news: another number, a trouble that lasts or ended, or much learned.
    fn consider(&mut self, decision: &Decision, tick: &Tick<'_>) -> bool {
        let now = tick.now;
        let state = state(decision);
        let Some(told) = &self.told else {
            let waited = self.since.map(|since| now.duration_since(since));
            let patience = state == METRICS_MISSING && waited.is_none_or(|waited| waited < FIRST_SIGNALS);
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
        let (reason, message) = (state_or_limit(decision), sentence(decision, tick.readings));
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
    let none = Signal::Missing(
        "the operator has no metric source of this name: see its flags --prometheus-url and \
                                --metric-sources",
    );
    tick.readings.map_or(none, |readings| readings.get(series, namespace, name, about, tick.now))
}

/// The state of a decision without trouble.
const FINE: &str = "";

/// The state that people were told of.
fn told_state(reason: &str) -> &'static str {
    let states = [METRICS_MISSING].into_iter().chain(SCALING_TROUBLES);
    states.into_iter().find(|state| *state == reason).unwrap_or(FINE)
}

/// The trouble of a decision, if any. While metrics are coming back they still are missing.
fn state(decision: &Decision) -> &'static str {
    let limits = std::iter::once(&decision.limit).chain(decision.others.iter().map(|other| &other.limit));
    if limits.clone().any(|limit| matches!(limit, Limit::NoData(_) | Limit::Outage)) {
        return METRICS_MISSING;
    }
    decision.trouble().map_or(FINE, |trouble| trouble.reason())
}

fn state_or_limit(decision: &Decision) -> &'static str {
    match state(decision) {
        FINE => decision.limit.reason(),
        trouble => trouble,
    }
}

/// The decision's own sentence, with what is wrong with the source.
fn sentence(decision: &Decision, readings: Option<&Readings>) -> String {
    match readings.and_then(Readings::source_error) {
        Some(error) if state(decision) == METRICS_MISSING => format!("{decision}; {error}"),
        _ => decision.to_string(),
    }
}
