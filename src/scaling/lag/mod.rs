//! Replicas for consumers of a log or a queue that has to be caught up with in time.
//!
//! ```text
//! need     = (arrivals + (lag + arrivals * pause) / catchUp) / (capacity * utilisation)
//! replicas = ceil(need), as many more as the partitions can be shared among, at most one per partition
//! ```
//! `arrivals` is the highest of the last two minutes and `pause` what a change costs in seconds (a rebalance), as Flink's
//! autoscaler has it (`lag / catchUp + rate * restart / catchUp + rate / utilisation`); `capacity` is what one replica
//! consumes per second when it has enough to do, learned under a backlog ([`super::throughput`]). As long as only its least
//! is known, replicas that keep up stay as they are, and a backlog at most doubles them every [`TRY_SECONDS`], never to more
//! than there are messages; the least is enough to know when fewer would do. The busiest of n replicas has
//! `ceil(partitions / n)` partitions, so n replicas do the work of `partitions / ceil(partitions / n)`: with 12 partitions, 5
//! replicas do no more than 4, and a need of 4.2 gives 6.
//!
//! | lag | arrivals | what follows |
//! |---|---|---|
//! | fresh | fresh | up and down |
//! | fresh | stale or missing | up, from what was consumed; never down |
//! | stale | any | up only, from the last value |
//! | missing or invalid (-1) | any | held |
//! | one of them fresh again, less than a window | | up only |
//! | fresh | not told at all | up by trying, down one by one |
//! | any, while a version is rolled out | any | up only |
//! | above `max_lag` | any | all replicas that bounds and partitions allow |
//!
//! Example: 600 messages behind, 40/s arriving, 20/s per replica, to be gone in 60 s, a pause of 0: (40 + 10) / 20 = 3.

use super::decision::{Decision, Inputs, Limit};
use super::memory::Peak;
use super::policy::Common;
use super::signal::Signal;
use super::steps::{Steps, Wish};
pub use super::throughput::Learned;
use super::throughput::{BUSY_SECONDS, Seen, Watch};

/// Share of what a replica consumes that is planned with.
const UTILISATION: f64 = 0.9;
/// The highest arrivals of so many seconds count.
const ARRIVALS_SECONDS: f64 = 120.0;
/// While what a replica can is not known, more replicas are tried so often, seconds.
const TRY_SECONDS: f64 = 30.0;
/// Without any message for so long, there may be no replicas at all, seconds.
const IDLE_SECONDS: f64 = 300.0;
/// Consumers that consume nothing of a lag for so long do not get more replicas, seconds.
const STUCK_SECONDS: f64 = 120.0;

/// What is promised and what it takes.
#[derive(Debug, Clone, PartialEq)]
pub struct Policy {
    /// Bounds, window and behaviour; a minimum of 0 allows no replicas while nothing arrives.
    pub common: Common,
    /// A lag is to be gone within so many seconds.
    pub catch_up: f64,
    /// With more messages waiting, as many replicas work as bounds and partitions allow.
    pub max_lag: Option<f64>,
    /// Partitions, when the log has any: more consumers would be idle. While they are unknown (None), those that were
    /// known last count.
    pub partitions: Option<u32>,
    /// Messages per second that one replica is said to consume: where learning starts.
    pub messages_per_replica: Option<f64>,
    /// How long nothing is consumed after a change, seconds.
    pub pause: f64,
    /// Whether arrivals and consumption are told at all. Without them (a list in Redis) replicas are tried while messages
    /// wait, and given up one by one while none does.
    pub rates: bool,
}

/// What was measured.
#[derive(Debug, Clone, Copy, PartialEq)]
pub struct Signals {
    /// Messages not yet consumed, all partitions.
    pub lag: Signal,
    /// Messages arriving per second over the window.
    pub arrivals: Signal,
    /// Messages consumed per second over the window; optional.
    pub consumed: Signal,
    /// All replicas that there are or are about to be.
    pub current: u32,
    /// Those that consume.
    pub ready: u32,
    /// Whether a new version is being rolled out: nothing is lowered then.
    pub rolling_out: bool,
}

/// What is remembered from tick to tick.
#[derive(Debug, Clone, Default)]
pub struct History {
    /// Kept over restarts.
    pub learned: Learned,
    arrivals: Peak<13>,
    steps: Steps,
    partitions: Option<u32>,
    watch: Watch,
    tried: Option<f64>,
    /// Since when more messages wait than there are replicas.
    waiting_since: Option<f64>,
    fresh_since: Option<f64>,
    idle_since: Option<f64>,
    stuck_since: Option<f64>,
    /// When the number was last changed, and to what.
    ordered: Option<(f64, u32)>,
}

impl History {
    /// A history that knows what was learned before a restart.
    #[must_use]
    pub fn resume(learned: Learned) -> Self {
        Self { learned, ..Self::default() }
    }
}

/// How many replicas there should be at `now` (seconds). Call it every tick, about every 5 s.
pub fn decide(policy: &Policy, signals: &Signals, history: &mut History, now: f64) -> Decision {
    history.steps.observe(&policy.common.behavior, signals.current, now);
    history.partitions = policy.partitions.or(history.partitions);
    history.learn(policy, signals, now);
    let Some(lag) = signals.lag.last() else { return held(policy, signals, history) };
    let fresh = signals.lag.value().is_some();
    let all_fresh = fresh && (signals.arrivals.value().is_some() || !policy.rates);
    history.fresh_since = if all_fresh { history.fresh_since.or(Some(now)) } else { None };

    let measured = signals.arrivals.value().or(signals.consumed.value()).or(signals.arrivals.last()).unwrap_or(0.0);
    let arrivals = history.arrivals.max(now, measured, ARRIVALS_SECONDS);
    let capacity = history.learned.capacity.or(policy.messages_per_replica).or(history.learned.least).unwrap_or(0.0);
    let catch_up = policy.catch_up.max(1.0);
    let work = arrivals + (lag + arrivals * policy.pause) / catch_up;
    let need = if work > 0.0 { work / (capacity * UTILISATION) } else { 0.0 };
    let (wanted, limit) = history.want(policy, signals, need, (lag, measured), now);
    let recovered = history.fresh_since.is_some_and(|since| now - since >= policy.common.window);
    let lowers = match (fresh, all_fresh, recovered) {
        (false, ..) => Err(Limit::NoData("the lag is old")),
        (_, false, _) => Err(Limit::NoData("the arrivals are missing or old")),
        (.., false) => Err(Limit::Outage),
        _ if signals.rolling_out => Err(Limit::RollingOut),
        _ => Ok(()),
    };
    let stabilization = policy.catch_up + policy.pause;
    let wish = Wish { current: signals.current, replicas: wanted, limit, lowers, stabilization };
    let (replicas, limit) = history.settle(policy, &wish, now);
    let inputs = Inputs::Lag { lag: Some(lag), arrivals, capacity, catch_up };
    Decision { replicas, current: signals.current, without: wanted, limit, inputs, others: vec![] }
}

fn held(policy: &Policy, signals: &Signals, history: &mut History) -> Decision {
    history.fresh_since = None;
    let (current, capacity) = (signals.current, history.learned.capacity.unwrap_or(0.0));
    let arrivals = signals.arrivals.last().unwrap_or(0.0);
    let inputs = Inputs::Lag { lag: None, arrivals, capacity, catch_up: policy.catch_up };
    let replicas = policy.common.bounds.clamp(current);
    let limit = Limit::NoData("the lag is missing");
    Decision { replicas, current, without: replicas, limit, inputs, others: vec![] }
}

/// The fewest replicas that do the work of `need`, when each partition belongs to one replica. More than there are
/// partitions is never returned.
#[must_use]
pub fn share(need: f64, partitions: Option<u32>) -> u32 {
    let whole = (need - 1e-9).ceil().clamp(0.0, f64::from(u32::MAX)) as u32;
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
        let seen = Seen { lag, consumed, working, window: policy.common.window + policy.pause };
        self.watch.note(&mut self.learned, &seen, now);
    }

    /// As long as it is not known what a replica can: as many as there are while these keep up, fewer when even the least
    /// that was seen of one is enough, and more only for a backlog.
    fn attempt(&mut self, signals: &Signals, shared: u32, lag: f64, now: f64) -> u32 {
        let current = signals.current;
        let waits = lag > f64::from(current) && signals.lag.value().is_some();
        self.waiting_since = waits.then(|| self.waiting_since.unwrap_or(now));
        // Where nothing was consumed yet, nothing is known of what a lag means.
        let nothing =
            self.learned.least.is_none() && self.waiting_since.is_some_and(|since| now - since >= BUSY_SECONDS);
        if !(self.watch.is_behind(now, BUSY_SECONDS) || nothing) {
            return shared.min(current.max(1));
        }
        if shared > current && self.tried.is_some_and(|at| now - at < TRY_SECONDS) {
            return current;
        }
        let messages = lag.ceil().min(f64::from(u32::MAX)) as u32;
        let wanted = shared.min(current.max(1).saturating_mul(2)).min(messages.max(current));
        if wanted > current {
            self.tried = Some(now);
        }
        wanted
    }

    /// What load and lag ask for, and what keeps it from being more.
    fn want(
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
            return (signals.current, Limit::DoesNotHelp);
        }
        // A last replica is only given up after the idle time.
        let shared = share(need, self.partitions).max(u32::from(lag >= 1.0 || arriving > 0.0 || signals.current > 0));
        if policy.max_lag.is_some_and(|max_lag| lag > max_lag) {
            let all = policy.common.bounds.clamp(self.partitions.unwrap_or(u32::MAX));
            return (all, Limit::LagAboveMaximum);
        }
        if !policy.rates && lag < 1.0 {
            return (signals.current.saturating_sub(1).max(1), Limit::Load);
        }
        if self.learned.capacity.or(policy.messages_per_replica).is_none() {
            let wanted = self.attempt(signals, shared, lag, now);
            // For fewer, the least that was seen of one is knowledge enough.
            return (wanted, if wanted < signals.current { Limit::Load } else { Limit::Learning });
        }
        match self.partitions {
            Some(partitions) if need > f64::from(partitions) => (shared, Limit::Partitions(partitions)),
            _ if lag > arriving * policy.catch_up => (shared, Limit::Backlog),
            _ => (shared, Limit::Load),
        }
    }

    fn settle(&mut self, policy: &Policy, wish: &Wish, now: f64) -> (u32, Limit) {
        let (mut replicas, mut limit) = self.steps.settle(&policy.common, wish, now);
        // Every change stops all consumers for the pause: one at a time, unless there are none. What was ordered stands
        // meanwhile, as an autoscaler takes its time to follow, or follows the CPU use.
        let (at, ordered) = self.ordered.unwrap_or((f64::NEG_INFINITY, wish.current));
        let ordered = if wish.lowers.is_ok() { ordered } else { ordered.max(wish.current) };
        // Replicas beyond the partitions are only kept, and not asked for again.
        let most = self.partitions.map_or(u32::MAX, |partitions| partitions.max(wish.current));
        let ordered = policy.common.bounds.clamp(ordered.min(most));
        if replicas != ordered && now - at < policy.pause && wish.current > 0 {
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
