//! Replicas for consumers of a log or a queue that has to be caught up with in time.
//!
//! ```text
//! need     = (arrivals + (lag + arrivals * pause) / catchUp) / (capacity * utilisation)
//! replicas = ceil(need), as many more as the partitions can be shared among, at most one per partition
//! ```
//! `arrivals` is the highest of the last two minutes and `pause` what a change costs in seconds (a rebalance), as Flink's
//! autoscaler has it (`lag / catchUp + rate * restart / catchUp + rate / utilisation`); `capacity` is what one replica
//! consumes per second when it has enough to do, learned while there is a lag. The busiest of n replicas has
//! `ceil(partitions / n)` partitions, so n replicas do the work of `partitions / ceil(partitions / n)`: with 12 partitions, 5
//! replicas do no more than 4, and a need of 4.2 gives 6.
//!
//! | lag | arrivals | what follows |
//! |---|---|---|
//! | fresh | fresh | up and down |
//! | fresh | stale or missing | up, from what was consumed; never down |
//! | stale | any | up only, from the last value |
//! | missing or invalid (-1) | any | held |
//! | fresh again, less than a window | any | up only |
//!
//! Example: 600 messages behind, 40/s arriving, 20/s per replica, to be gone in 60 s, a pause of 0: (40 + 10) / 20 = 3.

use serde::{Deserialize, Serialize};

use super::decision::{Decision, Inputs, Limit};
use super::memory::Peak;
use super::policy::{Behavior, Bounds};
use super::signal::Signal;

/// Share of what a replica consumes that is planned with.
const UTILISATION: f64 = 0.9;
/// The highest arrivals of so many seconds count.
const ARRIVALS_SECONDS: f64 = 120.0;
/// A lag of so many seconds of consumption means that replicas have enough to do.
const BUSY_SECONDS: f64 = 2.0;
/// Without any message for so long, there may be no replicas at all, seconds.
const IDLE_SECONDS: f64 = 300.0;
/// Consumers that consume nothing of a lag for so long do not get more replicas, seconds.
const STUCK_SECONDS: f64 = 120.0;

/// What is promised and what it takes.
#[derive(Debug, Clone, Copy, PartialEq)]
pub struct Policy {
    /// Fewest and most replicas; a minimum of 0 allows none while nothing arrives.
    pub bounds: Bounds,
    /// A lag is to be gone within so many seconds.
    pub catch_up: f64,
    /// Partitions, when the log has any: more consumers would be idle.
    pub partitions: Option<u32>,
    /// Messages per second that one replica is said to consume: where learning starts.
    pub messages_per_replica: Option<f64>,
    /// How long nothing is consumed after a change, seconds.
    pub pause: f64,
    /// Window of the rates, seconds.
    pub window: f64,
    /// How the number moves.
    pub behavior: Behavior,
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
}

/// What was learned of one replica; kept over restarts.
#[derive(Debug, Clone, Copy, PartialEq, Default, Serialize, Deserialize)]
pub struct Learned {
    /// Messages one replica consumes per second when it has enough to do.
    pub capacity: Option<f64>,
}

/// What is remembered from tick to tick.
#[derive(Debug, Clone, Default)]
pub struct History {
    /// Kept over restarts.
    pub learned: Learned,
    arrivals: Peak<13>,
    wanted: Peak<33>,
    ready: (u32, f64),
    fresh_since: Option<f64>,
    idle_since: Option<f64>,
    stuck_since: Option<f64>,
    changed: Option<f64>,
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
    if history.ready.0 != signals.ready {
        history.ready = (signals.ready, now);
    }
    history.learn(policy, signals, now);
    let Some(lag) = signals.lag.last() else { return held(policy, signals, history) };
    let fresh = signals.lag.value().is_some();
    history.fresh_since = if fresh { history.fresh_since.or(Some(now)) } else { None };

    let measured = signals.arrivals.value().or(signals.consumed.value()).or(signals.arrivals.last()).unwrap_or(0.0);
    let arrivals = history.arrivals.max(now, measured, ARRIVALS_SECONDS);
    let capacity = history.capacity(policy, signals, measured);
    let catch_up = policy.catch_up.max(1.0);
    let need = (arrivals + (lag + arrivals * policy.pause) / catch_up) / (capacity * UTILISATION);
    let (wanted, limit) = history.want(policy, signals, need, (lag, measured), now);
    let recovered = history.fresh_since.is_some_and(|since| now - since >= policy.window);
    let lowers = match (fresh, signals.arrivals.value().is_some(), recovered) {
        (false, ..) => Err(Limit::NoData("the lag is stale")),
        (_, false, _) => Err(Limit::NoData("the arrivals are missing or old")),
        (.., false) => Err(Limit::Outage),
        _ => Ok(()),
    };
    let (replicas, without, limit) = history.settle(policy, signals, (wanted, limit), lowers, now);
    let inputs = Inputs::Lag { lag: Some(lag), arrivals, capacity, catch_up };
    Decision { replicas, current: signals.current, without, limit, inputs }
}

fn held(policy: &Policy, signals: &Signals, history: &mut History) -> Decision {
    history.fresh_since = None;
    let (current, capacity) = (signals.current, history.learned.capacity.unwrap_or(0.0));
    let arrivals = signals.arrivals.last().unwrap_or(0.0);
    let inputs = Inputs::Lag { lag: None, arrivals, capacity, catch_up: policy.catch_up };
    let replicas = policy.bounds.clamp(current);
    Decision { replicas, current, without: replicas, limit: Limit::NoData("the lag is missing"), inputs }
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
    fn capacity(&self, policy: &Policy, signals: &Signals, measured: f64) -> f64 {
        // Nothing known: as if the replicas there are just manage.
        let guess = || measured / f64::from(signals.ready.max(1));
        self.learned.capacity.or(policy.messages_per_replica).unwrap_or_else(guess).max(1e-3)
    }

    /// While there is a lag, what is consumed is what the replicas can; without one, it is what they can at least.
    fn learn(&mut self, policy: &Policy, signals: &Signals, now: f64) {
        let settled = now - self.ready.1 > policy.window + policy.pause && signals.ready > 0;
        let (Some(lag), Some(consumed)) = (signals.lag.value(), signals.consumed.value()) else { return };
        if !settled || consumed <= 0.0 {
            return;
        }
        // Replicas without a partition consume nothing.
        let working = policy.partitions.map_or(signals.ready, |partitions| signals.ready.min(partitions.max(1)));
        let each = consumed / f64::from(working);
        let known = self.learned.capacity.get_or_insert(each);
        if lag > BUSY_SECONDS * consumed {
            *known += 0.1 * (each - *known);
        } else {
            *known = known.max(each);
        }
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
        let idle = lag < 1.0 && arriving <= 0.0 && signals.lag.value().is_some() && signals.arrivals.value().is_some();
        self.idle_since = idle.then(|| self.idle_since.unwrap_or(now));
        if self.idle_since.is_some_and(|since| now - since >= IDLE_SECONDS) && policy.bounds.min == 0 {
            return (0, Limit::Idle);
        }
        let stuck = lag >= 1.0 && signals.ready > 0 && signals.consumed.value() == Some(0.0);
        self.stuck_since = stuck.then(|| self.stuck_since.unwrap_or(now));
        if self.stuck_since.is_some_and(|since| now - since >= STUCK_SECONDS) {
            return (signals.current, Limit::DoesNotHelp);
        }
        // A last replica is only given up after the idle time.
        let shared = share(need, policy.partitions).max(u32::from(lag >= 1.0 || arriving > 0.0 || signals.current > 0));
        match policy.partitions {
            Some(partitions) if need > f64::from(partitions) => (shared, Limit::Partitions(partitions)),
            _ if lag > arriving * policy.catch_up => (shared, Limit::Backlog),
            _ => (shared, Limit::Load),
        }
    }

    fn settle(
        &mut self,
        policy: &Policy,
        signals: &Signals,
        (wanted, limit): (u32, Limit),
        lowers: Result<(), Limit>,
        now: f64,
    ) -> (u32, u32, Limit) {
        let current = signals.current;
        let window = policy.behavior.scale_down_stabilization_seconds.unwrap_or(policy.catch_up + policy.pause);
        let lately = self.wanted.max(now, f64::from(policy.bounds.clamp(wanted)), window) as u32;
        let (mut replicas, mut limit) = (wanted, limit);
        if wanted < current {
            match lowers {
                Err(why) => (replicas, limit) = (current, why),
                Ok(()) if lately > wanted => (replicas, limit) = (lately.min(current), Limit::Stabilising),
                Ok(()) => {}
            }
        }
        // Every change stops all consumers for the pause: one at a time, unless there are none.
        let rebalancing = self.changed.is_some_and(|at| now - at < policy.pause) && current > 0;
        if replicas != current && rebalancing {
            (replicas, limit) = (current, Limit::Rebalance);
        }
        let stepped = policy.behavior.step(current, replicas);
        if stepped != replicas {
            (replicas, limit) = (stepped, Limit::Step);
        }
        let bounded = policy.bounds.clamp(replicas);
        if bounded != replicas {
            limit = if bounded < replicas { Limit::Maximum } else { Limit::Minimum };
        }
        if bounded != current {
            self.changed = Some(now);
        }
        (bounded, wanted, limit)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn policy() -> Policy {
        Policy {
            bounds: Bounds { min: 1, max: 20 },
            catch_up: 60.0,
            partitions: Some(12),
            messages_per_replica: Some(20.0 / UTILISATION),
            pause: 0.0,
            window: 15.0,
            behavior: Behavior::default(),
        }
    }

    fn signals(lag: f64, arrivals: f64, current: u32) -> Signals {
        let (lag, arrivals) = (Signal::fresh(lag), Signal::fresh(arrivals));
        Signals { lag, arrivals, consumed: Signal::Missing("not exported"), current, ready: current }
    }

    fn once(policy: &Policy, signals: &Signals) -> Decision {
        decide(policy, signals, &mut History::default(), 1000.0)
    }

    #[test]
    fn the_example_of_the_documentation_gives_three() {
        assert_eq!(once(&policy(), &signals(600.0, 40.0, 1)).replicas, 3);
    }

    #[test]
    fn partitions_are_shared_evenly_and_never_outnumbered() {
        let shared: Vec<u32> =
            [0.0, 0.5, 1.0, 3.9, 4.2, 6.5, 11.0, 40.0].iter().map(|need| share(*need, Some(12))).collect();
        assert_eq!(shared, [0, 1, 1, 4, 6, 12, 12, 12]);
        assert_eq!((share(4.2, None), share(7.0, Some(0))), (5, 7));
        let decision = once(&policy(), &signals(1e6, 40.0, 1));
        assert_eq!((decision.replicas, decision.limit), (12, Limit::Partitions(12)));
    }

    #[test]
    fn a_lag_of_minus_one_or_none_holds() {
        for lag in [Signal::fresh(-1.0), Signal::fresh(f64::NAN), Signal::Missing("the exporter is down")] {
            let decision = once(&policy(), &Signals { lag, ..signals(0.0, 0.0, 7) });
            assert_eq!((decision.replicas, decision.limit), (7, Limit::NoData("the lag is missing")));
        }
    }

    #[test]
    fn a_stale_lag_raises_and_never_lowers() {
        let stale = |value| Signals { lag: Signal::Stale { value, age: 99.0 }, ..signals(0.0, 40.0, 4) };
        assert_eq!(once(&policy(), &stale(3600.0)).replicas, 6);
        assert_eq!(once(&policy(), &stale(0.0)).replicas, 4);
    }

    #[test]
    fn without_arrivals_nothing_goes_down() {
        let decision = once(&policy(), &Signals { arrivals: Signal::Missing("no rule"), ..signals(0.0, 0.0, 5) });
        assert_eq!((decision.replicas, decision.limit.reason()), (5, "MetricsMissing"));
    }

    #[test]
    fn it_goes_to_zero_when_idle_for_five_minutes_and_comes_back_with_the_first_message() {
        let policy = Policy { bounds: Bounds { min: 0, max: 20 }, ..policy() };
        let (mut history, mut current) = (History::default(), 3);
        let mut zero_at = None;
        for tick in 0..120 {
            let decision = decide(&policy, &signals(0.0, 0.0, current), &mut history, f64::from(tick) * 5.0);
            current = decision.replicas;
            zero_at = zero_at.or((current == 0).then_some(tick * 5));
        }
        assert!(zero_at.is_some_and(|at| (300..400).contains(&at)), "{zero_at:?}");
        assert!(decide(&policy, &signals(1.0, 0.1, 0), &mut history, 600.0).replicas >= 1);
    }

    #[test]
    fn consumers_that_make_no_progress_get_no_more_replicas() {
        let mut history = History::default();
        let stuck = Signals { consumed: Signal::fresh(0.0), ..signals(9e5, 40.0, 4) };
        let decisions: Vec<Decision> =
            (0..40).map(|tick| decide(&policy(), &stuck, &mut history, f64::from(tick) * 5.0)).collect();
        assert_eq!(decisions[0].replicas, 12);
        assert_eq!((decisions[39].replicas, decisions[39].limit), (4, Limit::DoesNotHelp));
    }

    #[test]
    fn what_a_replica_consumes_is_learned_while_there_is_a_lag_and_survives_a_restart() {
        let mut history = History::default();
        for tick in 0..60 {
            let busy = Signals { consumed: Signal::fresh(40.0), ..signals(5000.0, 60.0, 4) };
            decide(&Policy { messages_per_replica: None, ..policy() }, &busy, &mut history, f64::from(tick) * 5.0);
        }
        let text = serde_json::to_string(&history.learned).unwrap();
        let learned: Learned = serde_json::from_str(&text).unwrap();
        assert!((learned.capacity.unwrap() - 10.0).abs() < 0.1, "{text}");
        let decision = decide(&policy(), &signals(0.0, 45.0, 5), &mut History::resume(learned), 0.0);
        assert_eq!(decision.replicas, 6, "{decision}");
    }

    #[test]
    fn one_rebalance_at_a_time() {
        let policy = Policy { pause: 30.0, ..policy() };
        let mut history = History::default();
        assert_eq!(decide(&policy, &signals(0.0, 60.0, 1), &mut history, 0.0).replicas, 6);
        let more = signals(9e5, 60.0, 6);
        assert_eq!(decide(&policy, &more, &mut history, 10.0).limit, Limit::Rebalance);
        assert_eq!(decide(&policy, &more, &mut history, 31.0).replicas, 12);
    }
}
