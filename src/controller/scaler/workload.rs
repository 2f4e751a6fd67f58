//! The state of one workload between ticks, and which decisions are reported in the object's status.

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
        conditions::reasons::{LIMITING_REASONS, METRICS_MISSING, OVERLOADED},
    },
    render::is_open,
    scaling::{Decision, Limit, Signal, combine, decision::Inputs, lag, overload::Outside, past::Replayed, serving},
    series::Series,
    signals::{Quality, Readings, Sampled},
    training::whole_seconds,
};

/// Most changes of the number of replicas that the status lists.
const DECISIONS: usize = 10;
/// Time that a new state has to last before it is reported: missing metrics, an overload, a limiting reason, or their end.
const LASTING: SignedDuration = SignedDuration::from_secs(30);
/// Time before the first decision in which missing metrics are not reported: recording rules have to be loaded first.
const FIRST_SIGNALS: SignedDuration = SignedDuration::from_secs(180);
/// Time within which the autoscaler follows a decision.
const FOLLOWED: SignedDuration = SignedDuration::from_secs(60);
/// Series that a latency target needs: while one is missing, replicas are not lowered.
const LATENCY_NEEDS: [Series; 2] = [Series::RequestRate, Series::Latency];
/// Series that scaling on a lag needs: while one is missing, replicas are not lowered.
const LAG_NEEDS: [Series; 2] = [Series::Lag, Series::Arrivals];
/// Shortest time between two writes of the learned estimates, when nothing else changes.
const LEARNED_PAUSE: SignedDuration = SignedDuration::from_secs(600);

/// Most attempts to backfill a workload. As the pauses double, the last one follows 8.5 hours after the first.
const TRIES: u8 = 10;
/// Pause after the first attempt to backfill, seconds; it doubles with each attempt.
const FIRST_PAUSE: f64 = 60.0;

/// The observed pods of a workload.
#[derive(Clone, Debug, Default, PartialEq)]
pub struct Pods {
    /// Desired replicas of the Deployment.
    pub desired: u32,
    /// Ready replicas.
    pub ready: u32,
    /// Since when each ready pod is ready.
    pub ready_since: Vec<Timestamp>,
    /// Median start-up time of the current pods, seconds. None when it is not known of any pod.
    pub startup: Option<f64>,
    /// Whether another version or other settings are being rolled out.
    pub rolling_out: bool,
    /// Names and addresses of the running pods that were not restarted recently. During a rollout, pods of the newest
    /// template are excluded.
    pub running: BTreeMap<String, Option<IpAddr>>,
    /// Names of the running pods that were ready and are not any more.
    pub unready: BTreeSet<String>,
    /// Number of pods with an address that are neither ready nor in `unready`: they start, terminate, crash, or were never
    /// ready.
    pub others: u32,
}

/// The inputs of one tick.
pub struct Tick<'a> {
    /// Namespace and name of the object.
    pub object: (&'a str, &'a str),
    /// Name of the workload.
    pub workload: &'a str,
    /// Name of the object's metric source.
    pub source: &'a str,
    /// What was read from the source. None when no source of this name is configured.
    pub readings: Option<&'a Readings>,
    /// The current time, for the status and the age of samples.
    pub now: Timestamp,
    /// The current time on the clock of decisions, seconds, monotonic.
    pub clock: f64,
}

impl Tick<'_> {
    /// Whether the source did not answer a single query.
    fn source_failed(&self) -> bool {
        self.readings.is_some_and(|readings| readings.stats().failed == Series::SCALING.len())
    }
}

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
    plan: Plan,
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
    /// A state that differs from the reported one and is not reported yet, and since when it lasts.
    candidate: Option<(&'static str, Timestamp)>,
    /// The latest data from the kubelets.
    pub kubelet: Kubelet,
    /// Whether some servers did not answer at the last tick: then their kubelets are queried.
    silent: bool,
    /// Whether there was no fresh request rate at the last tick: then the servers are queried directly.
    unmeasured: bool,
    /// The latest decision.
    pub latest: Option<Decision>,
}

impl Scaled {
    /// A workload for which this process has not made a decision before. `reported`: its scaling status.
    pub fn new(plan: Plan, pods: Option<Pods>, reported: Option<ScalingStatus>, now: Timestamp) -> Self {
        let learned = reported.as_ref().and_then(|reported| reported.learned.as_ref()?.notes.as_deref());
        let learned: Learned = learned.and_then(|json| serde_json::from_str(json).ok()).unwrap_or_default();
        let latency = serving::History::resume(learned.latency);
        let lag = lag::History::resume(learned.lag);
        Self {
            latency: plan.latency.is_some().then(|| Box::new(latency)),
            lag: plan.lag.is_some().then(|| Box::new(lag)),
            pace: Pace::default(),
            backfill: BackfillSchedule { tries: if reported.is_some() { TRIES } else { 0 }, at: f64::NEG_INFINITY },
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
            reported,
        }
    }

    /// Updates the plan and the pods. The learned estimates are kept.
    pub fn update(&mut self, plan: Plan, pods: Option<Pods>) {
        if plan.latency.is_some() {
            self.latency.get_or_insert_default();
        }
        if plan.lag.is_some() {
            self.lag.get_or_insert_default();
        }
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

    /// Takes over the replayed load and ends the backfill.
    pub fn replay(&mut self, replayed: Option<Replayed>) {
        self.backfill.tries = 0;
        if let (Some(history), Some(replayed)) = (&mut self.latency, replayed) {
            history.replay(replayed);
        }
    }

    /// The pods, when their kubelets have to be queried because some servers do not answer.
    pub fn unresponsive_pods(&self) -> Option<&Pods> {
        self.pods.as_ref().filter(|pods| self.silent && self.plan.latency.is_some() && !pods.running.is_empty())
    }

    /// The endpoint of the servers' metrics, when they have to be queried directly.
    pub fn unmeasured(&self) -> Option<&MetricsEndpoint> {
        self.plan.metrics.as_ref().filter(|_| self.unmeasured)
    }

    /// CPU limit of each pod, cores.
    pub fn cores(&self) -> Option<f64> {
        self.plan.cores
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
        let sampled = |series| tick.readings?.sampled(series, tick.object.0, tick.object.1, about, tick.now);
        // Unanswered scrapes are recorded even when servers yield no other series.
        let unanswered = self.plan.latency.as_ref().and_then(|_| sampled(Series::Unanswered));
        [sampled(series), unanswered].into_iter().flatten().max_by(|a, b| a.at.total_cmp(&b.at))
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
        if !self.unmeasured {
            self.kubelet.own_cpu = None;
        }
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
        // When the count is missing, the history has the last known one.
        plan.policy.partitions = partitions.map(|count| count.round() as u32);
        Some(lag::decide(&plan.policy, &signals, history, tick.clock))
    }

    /// Reports a decision if it differs from the reported one: in the number of replicas, in a state that has lasted, or in
    /// the learned estimates. Returns whether it did.
    fn report_if_changed(&mut self, decision: &Decision, tick: &Tick<'_>) -> bool {
        let now = tick.now;
        let state = self.state(decision, tick);
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
        if state == reported_state(&reported.reason) {
            self.candidate = None;
        } else {
            let (candidate, since) = *self.candidate.get_or_insert((state, now));
            if candidate != state {
                self.candidate = Some((state, now));
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
        let (reason, message) = (self.state_or_limit(decision, tick), self.sentence(decision, tick));
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
        self.candidate = None;
        self.reported =
            Some(ScalingStatus { replicas, reason: reason.into(), message, decisions, learned: self.learned_status() });
    }

    /// The message of the status: the decision's sentence. While signals are missing, also which, and the source's error.
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

    /// Why an overload would not be detected while the servers' signals are missing. Without kubelets, the CPU use that the servers
    /// report themselves may show it.
    fn why_no_backstop(&self) -> Option<String> {
        let is_needed = self.latency.is_some() && self.kubelet.own_cpu.is_none();
        let error = self.kubelet.cpu_error.as_ref().filter(|_| is_needed)?;
        Some(format!("an overload would not be detected, because the CPU use of the pods is not known: {error}"))
    }

    /// The state of a decision: missing metrics, an overload, its limiting reason, or [`NORMAL`]. Metrics that have been back
    /// for less than a window still count as missing.
    fn state(&self, decision: &Decision, tick: &Tick<'_>) -> &'static str {
        if signals(decision).any(|of| self.lacks(of, tick)) {
            return METRICS_MISSING;
        }
        if matches!(decision.limit, Limit::Overloaded(_)) {
            return OVERLOADED;
        }
        decision.limiting_reason().map_or(NORMAL, |limit| limit.reason())
    }

    /// The reason in the status: the state, or in the normal state what limited the decision.
    fn state_or_limit(&self, decision: &Decision, tick: &Tick<'_>) -> &'static str {
        match self.state(decision, tick) {
            NORMAL => decision.limit.reason(),
            state => state,
        }
    }

    /// Whether the decision of one signal holds the replicas, or would, because the signal is missing or stale. A stale lag
    /// can still raise replicas, so the decision itself may not show that it is stale.
    fn lacks(&self, of_signal: &Decision, tick: &Tick<'_>) -> bool {
        let lag_is_old = || {
            let lag = self.plan.lag.as_ref().map(|plan| signal(tick, Series::Lag, &plan.dependency));
            matches!(of_signal.inputs, Inputs::Lag { .. }) && lag.is_some_and(|lag| lag.value().is_none())
        };
        matches!(of_signal.limit, Limit::NoData(_) | Limit::Outage) || lag_is_old()
    }

    /// Of the series that a signal needs, the first that is not fresh, and why it is not.
    fn missing(&self, inputs: &Inputs, tick: &Tick<'_>) -> Option<String> {
        let (needs, about) = match inputs {
            Inputs::Serving { .. } => (LATENCY_NEEDS, tick.workload),
            Inputs::Lag { .. } => (LAG_NEEDS, self.plan.lag.as_ref()?.dependency.as_str()),
        };
        needs.into_iter().find_map(|series| {
            let name = series.name();
            match signal(tick, series, about) {
                Signal::Fresh { .. } => None,
                // Recent, but from a partial answer: the source's error covers it.
                Signal::Stale { age, .. } if age <= Quality::default().fresh_seconds => None,
                Signal::Stale { age, .. } => {
                    Some(format!("{name} is {age:.0} s old: is it scraped, are its recording rules loaded?"))
                }
                Signal::Missing(why) => Some(format!("{name}: {why}")),
            }
        })
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

/// The state of a decision without missing metrics, an overload or a limiting reason.
const NORMAL: &str = "";

/// The state that a reported reason stands for.
fn reported_state(reason: &str) -> &'static str {
    let states = [METRICS_MISSING, OVERLOADED].into_iter().chain(LIMITING_REASONS);
    states.into_iter().find(|state| *state == reason).unwrap_or(NORMAL)
}

/// The decisions of all signals; `decision` is the one that won.
fn signals(decision: &Decision) -> impl Iterator<Item = &Decision> {
    std::iter::once(decision).chain(&decision.others)
}
