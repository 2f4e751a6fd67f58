//! Replicas for consumers of a log or a queue, so that a lag is worked off in time.
//!
//! ```text
//! need     = (arrivals + (lag + arrivals * pause) / catchUp) / (capacity * utilisation)
//! replicas = the fewest that do the work of `need` replicas, at most one per partition; ceil(need) without partitions
//! ```
//! - `arrivals`: the highest rate of arrivals of the last two minutes, messages/s.
//! - `lag`: messages not yet consumed.
//! - `pause`: the seconds without consumption after a change of the replicas (a rebalance).
//! - `catchUp`: the seconds within which a lag is to be worked off.
//! - `capacity`: messages/s that one replica consumes under a backlog, see [`super::throughput`].
//!
//! Flink's autoscaler uses the same formula: `lag / catchUp + rate * restart / catchUp + rate / utilisation`.
//!
//! Example: a lag of 600 messages, 40/s arriving, 20/s per replica, a catch-up of 60 s, a pause of 0:
//! (40 + 10) / 20 = 2.5, so 3 replicas.
//!
//! # Unknown capacity
//!
//! As long as only a lower bound of the capacity is known, replicas that keep up are not raised. A backlog at most doubles
//! them every [`TRY_SECONDS`], to no more replicas than messages. The lower bound is enough to lower the replicas: to those that would
//! each consume at most [`SEEN`] times what one has consumed.
//!
//! # Partitions
//!
//! The busiest of n replicas has `ceil(partitions / n)` partitions. So n replicas do the work of
//! `partitions / ceil(partitions / n)`. With 12 partitions, 5 replicas do no more work than 4, and a need of 4.2 gives 6.
//!
//! # Signals
//!
//! | lag | arrivals | scaling |
//! |---|---|---|
//! | fresh | fresh | up and down |
//! | fresh | stale or missing | up only, from the rate of consumption |
//! | stale | any | up only, from the last value |
//! | missing or invalid (-1) | any | none, except from 0 to 1 while messages arrive (1) |
//! | fresh for less than a window, after an outage of either signal | | up only |
//! | fresh | not reported by the source | up by trying, down one by one |
//! | any, while a version is rolled out | any | up only |
//! | above `max_lag` | any | all replicas that bounds and partitions allow |
//!
//! (1) A broker forgets the offsets of a group that has been idle for a week, and with them its lag. The first replica commits
//! offsets again.

use super::decision::{Decision, Inputs, Limit};
use super::memory::Peak;
use super::policy::Common;
use super::signal::Signal;
use super::steps::{Recommendation, Steps, count};
pub use super::throughput::Learned;
use super::throughput::{BUSY_SECONDS, Throughput, Watch};

/// Share of the capacity of a replica that is planned with, 0 to 1.
const UTILISATION: f64 = 0.9;
/// Multiple of the highest observed consumption of a replica that is planned with to lower the replicas while the capacity of one is
/// not known. Whatever kept up with a load does so again, and rates vary by some per cent; with less than 1, a topic that one replica
/// had kept up with would keep two for good after a backlog.
const SEEN: f64 = 1.1;
/// Span of the highest rate of arrivals, seconds.
const ARRIVALS_SECONDS: f64 = 120.0;
/// Seconds between two attempts with more replicas while the capacity of a replica is not known.
const TRY_SECONDS: f64 = 30.0;
/// Seconds without any message after which the replicas may be 0.
const IDLE_SECONDS: f64 = 300.0;
/// Seconds without consumption despite a lag after which consumers get no more replicas. A longer catch-up applies
/// instead.
const STUCK_SECONDS: f64 = 120.0;

/// The catch-up target and how to reach it.
#[derive(Debug, Clone, PartialEq)]
pub struct Policy {
    /// Bounds, window and behaviour. A minimum of 0 allows 0 replicas while nothing arrives.
    pub common: Common,
    /// Seconds within which a lag is to be worked off.
    pub catch_up: f64,
    /// Lag in messages above which as many replicas run as bounds and partitions allow.
    pub max_lag: Option<f64>,
    /// Partitions of the log, if it has any: more consumers than partitions would be idle. While they are unknown (None), the
    /// last known number applies.
    pub partitions: Option<u32>,
    /// Messages per second that one replica consumes, as configured. Used until its capacity is learned.
    pub messages_per_replica: Option<f64>,
    /// Seconds without consumption after a change of the replicas.
    pub pause: f64,
    /// Whether the source reports the rates of arrivals and consumption. Without them (a list in Redis) more replicas are
    /// tried while messages wait, and replicas are removed one by one while none waits.
    pub rates: bool,
}

/// The measured signals.
#[derive(Debug, Clone, Copy, PartialEq)]
pub struct Signals {
    /// Messages not yet consumed, all partitions.
    pub lag: Signal,
    /// Messages arriving per second over the window.
    pub arrivals: Signal,
    /// Messages consumed per second over the window; optional.
    pub consumed: Signal,
    /// Current replicas, including those that are still starting.
    pub current: u32,
    /// Ready replicas, which consume.
    pub ready: u32,
    /// Whether a new version is being rolled out. The replicas are not lowered then.
    pub rolling_out: bool,
}

/// State kept between ticks.
#[derive(Debug, Clone, Default)]
pub struct History {
    /// Estimates of one replica, kept over restarts.
    pub learned: Learned,
    arrivals: Peak<13>,
    steps: Steps,
    /// The last known number of partitions.
    partitions: Option<u32>,
    watch: Watch,
    /// When more replicas were last tried.
    tried: Option<f64>,
    /// Since when the lag in messages is larger than the number of current replicas.
    waiting_since: Option<f64>,
    fresh_since: Option<f64>,
    idle_since: Option<f64>,
    stuck_since: Option<f64>,
    /// When the desired replicas last changed, and to how many.
    ordered: Option<(f64, u32)>,
}

impl History {
    /// A history with the estimates from before a restart.
    #[must_use]
    pub fn resume(learned: Learned) -> Self {
        Self { learned, ..Self::default() }
    }
}

/// The desired replicas at `now` (seconds). Call it every tick, about every 5 s.
pub fn decide(policy: &Policy, signals: &Signals, history: &mut History, now: f64) -> Decision {
    history.steps.observe(&policy.common.behavior, signals.current, now);
    history.partitions = policy.partitions.or(history.partitions);
    history.learn(policy, signals, now);
    let Some(lag) = signals.lag.last() else { return without_lag(policy, signals, history, now) };
    let fresh = signals.lag.value().is_some();
    let all_fresh = fresh && (signals.arrivals.value().is_some() || !policy.rates);
    history.fresh_since = if all_fresh { history.fresh_since.or(Some(now)) } else { None };

    let measured = signals.arrivals.value().or(signals.consumed.value()).or(signals.arrivals.last()).unwrap_or(0.0);
    let arrivals = history.arrivals.max(now, measured, ARRIVALS_SECONDS);
    let capacity = history.learned.capacity.or(policy.messages_per_replica).or(history.learned.least).unwrap_or(0.0);
    let catch_up = policy.catch_up.max(1.0);
    let work = arrivals + (lag + arrivals * policy.pause) / catch_up;
    let need = if work > 0.0 { work / (capacity * UTILISATION) } else { 0.0 };
    let (desired, limit) = history.recommend(policy, signals, need, (lag, measured), now);
    let recovered = history.fresh_since.is_some_and(|since| now - since >= policy.common.window);
    let lowers = match (fresh, all_fresh, recovered) {
        (false, ..) => Err(Limit::NoData("the lag is old")),
        (_, false, _) => Err(Limit::NoData("the arrivals are missing or old")),
        (.., false) => Err(Limit::Outage),
        _ if signals.rolling_out => Err(Limit::RollingOut),
        _ => Ok(()),
    };
    let stabilization = policy.catch_up + policy.pause;
    let recommendation = Recommendation { current: signals.current, replicas: desired, limit, lowers, stabilization };
    let (replicas, limit) = history.apply_limits(policy, &recommendation, now);
    let inputs = Inputs::Lag { lag: Some(lag), arrivals, capacity, catch_up };
    Decision { replicas, current: signals.current, unclamped: desired, limit, inputs, others: vec![] }
}

/// The decision without a lag: keeps the current replicas, but starts one for messages that arrive.
fn without_lag(policy: &Policy, signals: &Signals, history: &mut History, now: f64) -> Decision {
    history.fresh_since = None;
    let (current, capacity) = (signals.current, history.learned.capacity.unwrap_or(0.0));
    let arrivals = signals.arrivals.last().unwrap_or(0.0);
    let inputs = Inputs::Lag { lag: None, arrivals, capacity, catch_up: policy.catch_up };
    let wakes = current == 0 && signals.arrivals.value().is_some_and(|arrivals| arrivals > 0.0);
    let (desired, why) = match wakes {
        true => {
            (1, "messages arrive while the lag is missing, which it may be until the first replica commits offsets")
        }
        false => (current, "the lag is missing"),
    };
    let desired = history.steps.step(&policy.common.behavior, current, desired, now);
    let replicas = policy.common.bounds.clamp(desired);
    Decision { replicas, current, unclamped: replicas, limit: Limit::NoData(why), inputs, others: vec![] }
}

/// The fewest replicas that do the work of `need` replicas, when each partition belongs to one replica. Never more than the
/// partitions.
#[must_use]
pub fn share(need: f64, partitions: Option<u32>) -> u32 {
    let whole = count(need);
    let Some(partitions) = partitions.filter(|partitions| *partitions > 0) else { return whole };
    if need <= 0.0 {
        return 0;
    }
    // The most partitions that the busiest replica may have.
    let each = (f64::from(partitions) / need + 1e-9).floor().max(1.0) as u32;
    partitions.div_ceil(each.min(partitions))
}

impl History {
    fn learn(&mut self, policy: &Policy, signals: &Signals, now: f64) {
        let (Some(lag), Some(consumed)) = (signals.lag.value(), signals.consumed.value()) else { return };
        // Replicas without a partition consume nothing.
        let working = self.partitions.map_or(signals.ready, |partitions| signals.ready.min(partitions.max(1)));
        let observed = Throughput { lag, consumed, working, window: policy.common.window + policy.pause };
        self.watch.record(&mut self.learned, &observed, now);
    }

    /// The replicas while the capacity of one is not known: the current ones while they keep up, more only for a backlog, and
    /// fewer when the lower bound of the capacity is enough for that. `shared`: the replicas by that bound; `enough`: those that were
    /// enough for such a load before.
    fn attempt(&mut self, signals: &Signals, (shared, enough): (u32, u32), lag: f64, now: f64) -> u32 {
        let current = signals.current;
        let waits = lag > f64::from(current) && signals.lag.value().is_some();
        self.waiting_since = waits.then(|| self.waiting_since.unwrap_or(now));
        // Without any observed consumption a lag cannot be compared with it, so messages that wait count as a backlog.
        let nothing =
            self.learned.least.is_none() && self.waiting_since.is_some_and(|since| now - since >= BUSY_SECONDS);
        if !(self.watch.is_behind(now, BUSY_SECONDS) || nothing) {
            return enough.min(current.max(1));
        }
        if shared > current && self.tried.is_some_and(|at| now - at < TRY_SECONDS) {
            return current;
        }
        let messages = lag.ceil().min(f64::from(u32::MAX)) as u32;
        let desired = shared.min(current.max(1).saturating_mul(2)).min(messages.max(current));
        if desired > current {
            self.tried = Some(now);
        }
        desired
    }

    /// The replicas for the arrivals and the lag, and the reason.
    fn recommend(
        &mut self,
        policy: &Policy,
        signals: &Signals,
        need: f64,
        (lag, arriving): (f64, f64),
        now: f64,
    ) -> (u32, Limit) {
        let known = signals.lag.value().is_some() && (signals.arrivals.value().is_some() || !policy.rates);
        let idle = lag < 1.0 && arriving <= 0.0 && known;
        self.idle_since = idle.then(|| self.idle_since.unwrap_or(now));
        if self.idle_since.is_some_and(|since| now - since >= IDLE_SECONDS) && policy.common.bounds.min == 0 {
            return (0, Limit::Idle);
        }
        let stuck = lag >= 1.0 && signals.ready > 0 && signals.consumed.value() == Some(0.0);
        self.stuck_since = stuck.then(|| self.stuck_since.unwrap_or(now));
        if self.stuck_since.is_some_and(|since| now - since >= STUCK_SECONDS.max(policy.catch_up)) {
            let few = self.partitions.is_some_and(|partitions| lag <= f64::from(partitions));
            return (signals.current, Limit::NotConsumed { few });
        }
        // The last replica is removed only after the idle time.
        let one = u32::from(lag >= 1.0 || arriving > 0.0 || signals.current > 0);
        let shared = share(need, self.partitions).max(one);
        if policy.max_lag.is_some_and(|max_lag| lag > max_lag) {
            let all = policy.common.bounds.clamp(self.partitions.unwrap_or(u32::MAX));
            return (all, Limit::LagAboveMaximum);
        }
        if !policy.rates && lag < 1.0 {
            return (signals.current.saturating_sub(1).max(1), Limit::Load);
        }
        if self.learned.capacity.or(policy.messages_per_replica).is_none() {
            let enough = share(need * UTILISATION / SEEN, self.partitions).max(one);
            let desired = self.attempt(signals, (shared, enough), lag, now);
            return (desired, if desired < signals.current { Limit::Load } else { Limit::Learning });
        }
        match self.partitions {
            Some(partitions) if need > f64::from(partitions) => (shared, Limit::Partitions(partitions)),
            _ if lag > arriving * policy.catch_up => (shared, Limit::Backlog),
            _ => (shared, Limit::Load),
        }
    }

    fn apply_limits(&mut self, policy: &Policy, recommendation: &Recommendation, now: f64) -> (u32, Limit) {
        let (mut replicas, mut limit) = self.steps.apply_limits(&policy.common, recommendation, now);
        // Every change stops all consumers for the pause, so there is one change per pause unless nothing runs. The last order
        // stays in force meanwhile: an autoscaler follows it with a delay, or follows the CPU use instead.
        let (at, ordered) = self.ordered.unwrap_or((f64::NEG_INFINITY, recommendation.current));
        let ordered = if recommendation.lowers.is_ok() { ordered } else { ordered.max(recommendation.current) };
        // Replicas beyond the partitions are kept as long as they run, but not ordered again.
        let most = self.partitions.map_or(u32::MAX, |partitions| partitions.max(recommendation.current));
        let ordered = policy.common.bounds.clamp(ordered.min(most));
        if replicas != ordered && now - at < policy.pause && recommendation.current > 0 {
            (replicas, limit) = (ordered, Limit::Rebalance);
        }
        if replicas != ordered {
            self.ordered = Some((now, replicas));
        }
        (replicas, limit)
    }
}

#[cfg(test)]
mod tests;
