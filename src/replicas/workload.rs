//! The state of one workload between ticks: makes its decisions, and selects those that the object's status reports.

use jiff::{SignedDuration, Timestamp};
use k8s_openapi::apimachinery::pkg::apis::meta::v1::Time;
use serde::{Deserialize, Serialize};

use super::{
    evidence::Evidence,
    explanation::{Explanation, reported_state},
    pace::Pace,
    plan::{STARTUP, ScalingPlan, WARM_UP},
    pods::Pods,
    tick::Tick,
    unresponsive::Unresponsive,
};
use crate::{
    api::{LearnedStatus, ScalingDecision, ScalingStatus, conditions::reasons::METRICS_MISSING},
    limits::is_open,
    monitoring::{LAG_SECONDS, SCALING_SECONDS},
    scaling::{Decision, Signal, combine, lag, overload::Outside, past::Replayed, serving},
    series::Series,
    signals::Sampled,
    time::whole_seconds,
};

/// Series computed from the counters of the servers.
const SERVERS_OWN: [Series; 6] =
    [Series::RequestRate, Series::LatestRequestRate, Series::Latency, Series::InFlight, Series::Cpu, Series::Failed];
/// Most changes of the number of replicas that the status lists.
const DECISIONS: usize = 10;
/// Time that a new state has to last before it is reported: missing metrics, an overload, a limiting reason, or their end.
const LASTING: SignedDuration = SignedDuration::from_secs(30);
/// Time before the first decision in which missing metrics are not reported: recording rules have to be loaded first.
const FIRST_SIGNALS: SignedDuration = SignedDuration::from_secs(180);
/// Time within which the autoscaler follows a decision.
const FOLLOWED: SignedDuration = SignedDuration::from_secs(60);
/// Shortest time between two writes of the learned estimates, when nothing else changes.
const LEARNED_PAUSE: SignedDuration = SignedDuration::from_secs(600);

/// Most attempts to backfill a workload. As the pauses double, the last one follows 8.5 hours after the first.
const TRIES: u8 = 10;
/// Pause after the first attempt to backfill, seconds; it doubles with each attempt.
const FIRST_PAUSE: f64 = 60.0;

/// The learned estimates of one replica, as stored in the status.
#[derive(Clone, Copy, Debug, Default, PartialEq, Serialize, Deserialize)]
struct Learned {
    #[serde(default)]
    latency: serving::Learned,
    #[serde(default)]
    lag: lag::Learned,
}

/// Whether and when the backfill queries the load recorded before this process started.
#[derive(Clone, Copy, Debug)]
struct BackfillSchedule {
    /// Attempts left.
    tries: u8,
    /// Earliest time of the next attempt, seconds on the clock of decisions.
    at: f64,
}

/// One workload that scales on latency or lag.
#[derive(Debug)]
pub struct Scaled {
    plan: ScalingPlan,
    /// None while the Deployment is not in the cache: then no decision is made.
    pods: Option<Pods>,
    /// Since when there can be metrics: the first tick with a ready pod, or without desired replicas.
    since: Option<Timestamp>,
    latency: Option<Box<serving::History>>,
    lag: Option<Box<lag::History>>,
    /// Schedule of the decisions.
    pace: Pace,
    backfill: BackfillSchedule,
    /// The scaling status to report. The autoscaler follows it.
    reported: Option<ScalingStatus>,
    /// When the reported number of replicas was decided.
    decided_at: Timestamp,
    /// When the learned estimates were last reported.
    learned_at: Timestamp,
    /// The learned estimates that were last reported.
    learned: Learned,
    /// A state that differs from the reported one and is not reported yet, with what it lacks, and since when it lasts.
    candidate: Option<((&'static str, &'static str), Timestamp)>,
    /// What the reported state lacks, see [`Explanation::lacking`]; nothing after a restart.
    lacking: &'static str,
    /// What is known of servers that do not answer.
    pub evidence: Evidence,
    /// Whether some servers did not answer at the last tick: then their kubelets are queried.
    silent: bool,
    /// Whether there was no fresh request rate at the last tick: then the servers are queried directly.
    unmeasured: bool,
    /// The latest decision.
    pub latest: Option<Decision>,
}

/// Seconds between two samples of what a decision is made from.
fn period(plan: &ScalingPlan) -> f64 {
    f64::from(if plan.latency.is_some() { SCALING_SECONDS } else { LAG_SECONDS })
}

impl Scaled {
    /// A workload for which this process has not made a decision before. `reported`: its scaling status.
    pub fn new(plan: ScalingPlan, pods: Option<Pods>, reported: Option<ScalingStatus>, now: Timestamp) -> Self {
        let learned = reported.as_ref().and_then(|reported| reported.learned.as_ref()?.notes.as_deref());
        let learned: Learned = learned.and_then(|json| serde_json::from_str(json).ok()).unwrap_or_default();
        let latency = serving::History::resume(learned.latency);
        let lag = lag::History::resume(learned.lag);
        Self {
            latency: plan.latency.is_some().then(|| Box::new(latency)),
            lag: plan.lag.is_some().then(|| Box::new(lag)),
            pace: Pace::new(period(&plan)),
            backfill: BackfillSchedule { tries: if reported.is_some() { TRIES } else { 0 }, at: f64::NEG_INFINITY },
            decided_at: now,
            learned_at: now,
            candidate: None,
            lacking: "",
            evidence: Evidence::default(),
            silent: false,
            unmeasured: false,
            latest: None,
            since: None,
            learned,
            plan,
            pods,
            reported,
        }
    }

    /// Updates the plan and the pods. The learned estimates are kept.
    pub fn update(&mut self, plan: ScalingPlan, pods: Option<Pods>) {
        if plan.latency.is_some() {
            self.latency.get_or_insert_default();
        }
        if plan.lag.is_some() {
            self.lag.get_or_insert_default();
        }
        self.pace.follow(period(&plan));
        (self.plan, self.pods) = (plan, pods);
    }

    /// Backfill attempts left, 0 while none is due. An attempt needs a latency target, an estimate of the capacity of one
    /// replica, and a first decision. After an attempt there is a pause.
    pub fn backfill_tries(&self, clock: f64) -> u8 {
        let policy = self.plan.latency.as_ref();
        let learned = self.latency.as_ref().and_then(|history| history.learned.baseline);
        let has_capacity = policy.is_some_and(|policy| learned.or(policy.requests_per_replica).is_some());
        if has_capacity && self.latest.is_some() && clock >= self.backfill.at { self.backfill.tries } else { 0 }
    }

    /// Uses one backfill attempt. Returns the policy and the estimates to replay the recorded load with.
    pub fn begin_backfill(&mut self, clock: f64) -> Option<(serving::Policy, serving::Learned)> {
        let tries = self.backfill_tries(clock).checked_sub(1)?;
        let pause = FIRST_PAUSE * f64::from(1 << (TRIES - 1 - tries));
        self.backfill = BackfillSchedule { tries, at: clock + pause };
        Some((self.plan.latency.clone()?, self.latency.as_ref()?.learned))
    }

    /// Records what was reported of servers that do not answer.
    pub fn record(&mut self, after: impl FnOnce(Evidence) -> Evidence) {
        self.evidence = after(std::mem::take(&mut self.evidence));
    }

    /// Takes over the replayed load and ends the backfill.
    pub fn replay(&mut self, replayed: Option<Replayed>) {
        self.backfill.tries = 0;
        if let (Some(history), Some(replayed)) = (&mut self.latency, replayed) {
            history.replay(replayed);
        }
    }

    /// The servers, when their kubelets have to be queried because some do not answer. `namespace`: that of the object.
    pub fn unresponsive(&self, namespace: &str) -> Option<Unresponsive> {
        let is_asked_about = |pods: &&Pods| self.silent && self.plan.latency.is_some() && !pods.running.is_empty();
        Some(Unresponsive {
            namespace: namespace.into(),
            pods: self.pods.as_ref().filter(is_asked_about)?.clone(),
            cores: self.plan.cores,
            metrics: self.plan.metrics.clone().filter(|_| self.unmeasured),
        })
    }

    /// The scaling status to report. None before the first reported decision.
    pub fn reported(&self) -> Option<&ScalingStatus> {
        self.reported.as_ref()
    }

    /// Makes a decision if one is due. Returns whether replicas or status change; None without a decision.
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
        let changed = self.report_if_changed(&decision, tick);
        self.latest = Some(decision);
        Some(changed)
    }

    /// Whether its Deployment is in the cache, so that decisions are made.
    pub fn has_deployment(&self) -> bool {
        self.pods.is_some()
    }

    /// When the next sample is expected, see [`Pace::next`]. None while no decision can be made.
    pub fn next(&self, clock: f64) -> Option<f64> {
        self.pods.as_ref().and_then(|_| self.pace.next(clock))
    }

    /// Age of the sample at the last decision, seconds.
    pub fn sample_age(&self) -> Option<f64> {
        self.pace.age()
    }

    /// The main series of the decision, and the value of its label [`Series::about`]: `workload`, or a dependency.
    fn load<'a>(&'a self, workload: &'a str) -> Option<(Series, &'a str)> {
        let lag = || self.plan.lag.as_ref().map(|plan| (Series::Lag, plan.dependency.as_str()));
        self.plan.latency.as_ref().map(|_| (Series::RequestRate, workload)).or_else(lag)
    }

    /// The newest sample of the main series, or of the unanswered scrapes if that is newer.
    fn sampled(&self, tick: &Tick<'_>) -> Option<Sampled> {
        let (series, about) = self.load(tick.workload)?;
        // Unanswered scrapes are recorded even when servers yield no other series.
        let unanswered = self.plan.latency.as_ref().and_then(|_| tick.sampled(Series::Unanswered, about));
        [tick.sampled(series, about), unanswered].into_iter().flatten().max_by(|a, b| a.at.total_cmp(&b.at))
    }

    /// Current replicas, including ordered ones that do not exist yet. An advisory decision is no order.
    ///
    /// - A recent order counts, up or down: it is being carried out.
    /// - An order up counts however long the autoscaler takes, so that a tick without data holds it.
    /// - An order down may never be followed where the autoscaler follows the CPU use as well, always or while signals are
    ///   missing. There may also be more replicas than were ordered. So the replicas of the Deployment count if there are more.
    fn current(&self, pods: &Pods, tick: &Tick<'_>) -> u32 {
        let now = tick.now;
        let is_open = self.reported.as_ref().is_some_and(is_open);
        let is_recent = self.plan.exact && !is_open && now.duration_since(self.decided_at) < FOLLOWED;
        let ordered = self.reported.as_ref().filter(|_| self.plan.acted_on);
        match ordered.and_then(|reported| u32::try_from(reported.replicas).ok()) {
            Some(ordered) if is_recent => ordered,
            // While signals are missing, only the order counts: the autoscaler itself removes what it added on CPU use.
            Some(ordered) if is_open && self.plan.exact && !self.is_measured(tick) => ordered,
            Some(ordered) => ordered.max(pods.desired),
            None => pods.desired,
        }
    }

    /// Whether the main series has a fresh sample.
    fn is_measured(&self, tick: &Tick<'_>) -> bool {
        self.load(tick.workload).is_some_and(|(series, about)| tick.signal(series, about).value().is_some())
    }

    fn decide_latency(&mut self, tick: &Tick<'_>, pods: &Pods, current: u32) -> Option<Decision> {
        let (policy, history) = (self.plan.latency.as_mut()?, self.latency.as_mut()?);
        policy.startup = self.plan.startup.or(pods.startup).unwrap_or(STARTUP);
        // An earlier sample, from before it was noticed, does not count either.
        let several = tick.signal(Series::SeveralProcesses, tick.workload).last().is_some_and(|targets| targets > 0.0);
        let signal = |series| match several && SERVERS_OWN.contains(&series) {
            true => Signal::Missing("several processes answer the scrapes of one pod"),
            false => tick.signal(series, tick.workload),
        };
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
                ..self.evidence.outside(pods, self.plan.cores.is_some(), &signal, tick.now)
            },
            replicas: serving::Replicas { current, ready: pods.ready, warm: warm.min(pods.ready) },
            rolling_out: pods.rolling_out,
        };
        let outside = &signals.outside;
        // Where several processes answer in turn, the difference of two readings is that of two processes.
        self.unmeasured = (signals.rate.value().is_none() || outside.source_failed) && !several;
        if !self.unmeasured {
            self.evidence.own_cpu = None;
        }
        self.silent = self.unmeasured || outside.unready > 0 || outside.unscraped > 0;
        Some(serving::decide(policy, &signals, history, tick.clock))
    }

    fn decide_lag(&mut self, tick: &Tick<'_>, pods: &Pods, current: u32) -> Option<Decision> {
        let (plan, history) = (self.plan.lag.as_mut()?, self.lag.as_mut()?);
        let signal = |series| tick.signal(series, &plan.dependency);
        let partitions = signal(Series::Partitions).last().filter(|count| *count >= 1.0);
        let signals = lag::Signals {
            lag: signal(Series::Lag),
            arrivals: signal(Series::Arrivals),
            consumed: signal(Series::Consumed),
            current,
            ready: pods.ready,
            rolling_out: pods.rolling_out,
        };
        // When the count is missing, the history has the last known one.
        plan.policy.partitions = partitions.map(|count| count.round() as u32);
        Some(lag::decide(&plan.policy, &signals, history, tick.clock))
    }

    /// Reports a decision if it differs from the reported one: in the number of replicas, in a state that has lasted, or in
    /// the learned estimates. Returns whether it did.
    fn report_if_changed(&mut self, decision: &Decision, tick: &Tick<'_>) -> bool {
        let now = tick.now;
        let explanation = self.explain(decision, tick);
        let (state, lacking) = (explanation.state(), explanation.lacking());
        let Some(reported) = &self.reported else {
            let waited = self.since.map(|since| now.duration_since(since));
            let held = state == METRICS_MISSING && decision.replicas <= decision.current;
            let is_pending = held && waited.is_none_or(|waited| waited < FIRST_SIGNALS);
            if !is_pending {
                self.report(decision, tick);
            }
            return !is_pending;
        };
        if i32::try_from(decision.replicas) != Ok(reported.replicas) {
            self.report(decision, tick);
            return true;
        }
        // Also the same state for another cause: a message that names a failed source is wrong once that answers without the series.
        if (state, lacking) == (reported_state(&reported.reason), self.lacking) {
            self.candidate = None;
        } else {
            let (candidate, since) = *self.candidate.get_or_insert(((state, lacking), now));
            if candidate != (state, lacking) {
                self.candidate = Some(((state, lacking), now));
            } else if now.duration_since(since) >= LASTING {
                self.report(decision, tick);
                return true;
            }
        }
        let pause_is_over = now.duration_since(self.learned_at) >= LEARNED_PAUSE;
        if pause_is_over && self.has_learned() {
            self.report(decision, tick);
            return true;
        }
        false
    }

    /// Makes a decision the reported one. A change of the number of replicas is added to the list of decisions.
    fn report(&mut self, decision: &Decision, tick: &Tick<'_>) {
        let replicas = i32::try_from(decision.replicas).unwrap_or(i32::MAX);
        let current = i32::try_from(decision.current).unwrap_or(i32::MAX);
        let explanation = self.explain(decision, tick);
        let (reason, message, lacking) = (explanation.reason(), explanation.message(), explanation.lacking());
        let before = self.reported.take();
        let changed = before.as_ref().map(|reported| reported.replicas) != Some(replicas);
        let mut decisions = before.map(|reported| reported.decisions).unwrap_or_default();
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
        (self.candidate, self.lacking) = (None, lacking);
        self.reported =
            Some(ScalingStatus { replicas, reason: reason.into(), message, decisions, learned: self.learned_status() });
    }

    fn explain<'a>(&'a self, decision: &'a Decision, tick: &'a Tick<'a>) -> Explanation<'a> {
        let dependency = self.plan.lag.as_ref().map(|plan| plan.dependency.as_str());
        Explanation { decision, tick, dependency, evidence: self.latency.as_ref().map(|_| &self.evidence) }
    }

    /// The current estimates of one replica.
    fn learned(&self) -> Learned {
        Learned {
            latency: self.latency.as_ref().map(|history| history.learned).unwrap_or_default(),
            lag: self.lag.as_ref().map(|history| history.learned).unwrap_or_default(),
        }
    }

    /// Whether the estimates have changed so much since they were last reported that a restart would lose them.
    fn has_learned(&self) -> bool {
        let now = self.learned();
        now.latency.differs_from(&self.learned.latency) || now.lag.differs_from(&self.learned.lag)
    }

    fn learned_status(&self) -> Option<LearnedStatus> {
        let learned = self.learned;
        let decimal = |number: f64| format!("{number:.1}");
        (learned != Learned::default()).then(|| LearnedStatus {
            requests_per_replica: learned.latency.baseline.map(decimal),
            messages_per_replica: learned.lag.capacity.map(decimal),
            startup_seconds: self.pods.as_ref().and_then(|pods| pods.startup).map(|seconds| seconds.round() as i32),
            notes: serde_json::to_string(&learned).ok(),
        })
    }
}
