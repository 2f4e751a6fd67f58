//! Workers of a partitioned log: lag per partition, consumers that share partitions, and rebalances that pause all of
//! them.

use recommender_operator::scaling::{Behavior, Bounds, Common, Signal, lag};

use super::rng::Rng;

/// A log and its workers.
#[derive(Debug, Clone, Copy, PartialEq, serde::Serialize)]
pub struct LogWorld {
    /// Partitions.
    pub partitions: u32,
    /// Messages a worker consumes per second.
    pub each: f64,
    /// From the order of a worker until it joins the group, seconds.
    pub startup: u32,
    /// Pause of all workers after a worker joins or leaves the group, seconds.
    pub rebalance: u32,
    /// Time within which a lag must be processed, seconds.
    pub catch_up: f64,
}

/// The input of a lag policy for one second.
#[derive(Debug, Clone, Copy, Default, PartialEq)]
pub struct Observation {
    /// Unconsumed messages.
    pub lag: f64,
    /// Messages that arrive per second, mean of the last 15 s.
    pub arrivals: f64,
    /// Messages consumed per second, mean of the last 15 s.
    pub consumed: f64,
    /// Messages a busy worker consumes per second (Flink's true processing rate).
    pub each: f64,
    /// Workers, including those that start.
    pub current: u32,
    /// Workers in the group.
    pub ready: u32,
    /// Partitions.
    pub partitions: u32,
}

/// A policy that decides the number of workers.
pub trait LagPolicy {
    /// Called every second; a policy keeps its own period. Returns the new number of workers, or None for no change.
    fn decide(&mut self, now: u32, observed: &Observation) -> Option<u32>;
}

/// The results of a run.
#[derive(Debug, Clone, Copy, Default, PartialEq, serde::Serialize)]
pub struct LagOutcome {
    /// Seconds in which the lag was higher than the arrivals of the catch-up time.
    pub seconds_behind: f64,
    /// The highest lag, in seconds of arrivals.
    pub worst_lag_seconds: f64,
    /// Hours of workers.
    pub replica_hours: f64,
    /// Changes of the number of workers.
    pub changes: u32,
}

impl LagOutcome {
    /// Adds another run. The worst lag is the worse of both.
    pub fn add(&mut self, other: &Self) {
        self.seconds_behind += other.seconds_behind;
        self.worst_lag_seconds = self.worst_lag_seconds.max(other.worst_lag_seconds);
        self.replica_hours += other.replica_hours;
        self.changes += other.changes;
    }
}

/// The partitions' lags and the consumer group.
struct Log {
    world: LogWorld,
    lags: Vec<f64>,
    weights: Vec<f64>,
    ready: u32,
    starting: Vec<u32>,
    paused_until: u32,
}

impl Log {
    fn new(world: LogWorld, ready: u32, seed: u64) -> Self {
        // Keys are not distributed evenly: the partitions differ by about 10 %.
        let mut rng = Rng::new(seed ^ 0x106);
        let weights: Vec<f64> = (0..world.partitions).map(|_| (1.0 + 0.1 * rng.normal()).max(0.2)).collect();
        let total: f64 = weights.iter().sum();
        let weights = weights.into_iter().map(|weight| weight / total).collect();
        Self { world, lags: vec![0.0; world.partitions as usize], weights, ready, starting: vec![], paused_until: 0 }
    }

    fn current(&self) -> u32 {
        self.ready + self.starting.len() as u32
    }

    fn scale(&mut self, now: u32, desired: u32) {
        while self.current() < desired {
            self.starting.push(now + self.world.startup);
        }
        while self.current() > desired && self.starting.pop().is_some() {}
        if self.ready > desired {
            self.ready = desired;
            self.paused_until = now + self.world.rebalance;
        }
    }

    /// Simulates a second: messages arrive, and each worker consumes only from its own partitions. Returns the consumed
    /// messages.
    fn second(&mut self, now: u32, arriving: f64) -> f64 {
        let joined = self.starting.iter().filter(|at| **at <= now).count() as u32;
        if joined > 0 {
            self.starting.retain(|at| *at > now);
            self.ready += joined;
            self.paused_until = now + self.world.rebalance;
        }
        for (lag, weight) in self.lags.iter_mut().zip(&self.weights) {
            *lag += arriving * weight;
        }
        if now < self.paused_until || self.ready == 0 {
            return 0.0;
        }
        let mut consumed = 0.0;
        let workers = self.ready.min(self.world.partitions) as usize;
        for worker in 0..workers {
            let mut left = self.world.each;
            for partition in (worker..self.lags.len()).step_by(workers) {
                let taken = self.lags[partition].min(left);
                self.lags[partition] -= taken;
                left -= taken;
                consumed += taken;
            }
        }
        consumed
    }
}

/// Runs a policy on arrivals (messages per second, one value per second).
pub fn run(world: LogWorld, arrivals: &[f64], seed: u64, policy: &mut dyn LagPolicy) -> LagOutcome {
    let first = ((arrivals[0] / world.each).ceil() as u32).clamp(1, world.partitions);
    let mut log = Log::new(world, first, seed);
    let mut outcome = LagOutcome::default();
    let (mut in_window, mut out_window) = ([0.0; 15], [0.0; 15]);
    for (now, arriving) in arrivals.iter().enumerate() {
        let at = now as u32;
        let consumed = log.second(at, *arriving);
        (in_window[now % 15], out_window[now % 15]) = (*arriving, consumed);
        let mean = |window: &[f64; 15]| window.iter().sum::<f64>() / (now + 1).min(15) as f64;
        let lag: f64 = log.lags.iter().sum();
        let rate = mean(&in_window);
        outcome.seconds_behind += f64::from(u8::from(lag > (rate * world.catch_up).max(world.each)));
        outcome.worst_lag_seconds = outcome.worst_lag_seconds.max(lag / rate.max(world.each));
        outcome.replica_hours += f64::from(log.current()) / 3600.0;
        let (current, ready, partitions) = (log.current(), log.ready, world.partitions);
        let consumed = mean(&out_window);
        let observed = Observation { lag, arrivals: rate, consumed, each: world.each, current, ready, partitions };
        if let Some(desired) = policy.decide(at, &observed) {
            log.scale(at, desired);
            outcome.changes += u32::from(log.current() != current);
        }
    }
    outcome
}

/// The decision of this project for workers: a decision every 5 s on a sample that is 5 s old, applied a second later.
#[derive(Debug)]
pub struct OurWorkers {
    policy: lag::Policy,
    history: lag::History,
    sampled: Option<Observation>,
    desired: Option<u32>,
}

impl OurWorkers {
    /// A policy without history.
    #[must_use]
    pub fn new(world: &LogWorld) -> Self {
        let policy = lag::Policy {
            common: Common {
                bounds: Bounds { min: 1, max: world.partitions },
                window: 15.0,
                behavior: Behavior::default(),
            },
            catch_up: world.catch_up,
            max_lag: None,
            partitions: Some(world.partitions),
            messages_per_replica: None,
            pause: f64::from(world.rebalance),
            rates: true,
        };
        Self { policy, history: lag::History::default(), sampled: None, desired: None }
    }
}

impl LagPolicy for OurWorkers {
    fn decide(&mut self, now: u32, observed: &Observation) -> Option<u32> {
        let due = now.is_multiple_of(5).then(|| self.sampled.replace(*observed)).flatten();
        if let Some(sample) = due {
            let signals = lag::Signals {
                lag: Signal::Fresh { value: sample.lag, age: 5.0 },
                arrivals: Signal::Fresh { value: sample.arrivals, age: 5.0 },
                consumed: Signal::Fresh { value: sample.consumed, age: 5.0 },
                current: observed.current,
                ready: observed.ready,
                rolling_out: false,
            };
            let decision = lag::decide(&self.policy, &signals, &mut self.history, f64::from(now));
            self.desired = Some(decision.replicas);
        }
        if now % 5 == 1 { self.desired.filter(|desired| *desired != observed.current) } else { None }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    struct Fixed(u32);

    impl LagPolicy for Fixed {
        fn decide(&mut self, _: u32, _: &Observation) -> Option<u32> {
            Some(self.0)
        }
    }

    fn world() -> LogWorld {
        LogWorld { partitions: 12, each: 10.0, startup: 10, rebalance: 10, catch_up: 120.0 }
    }

    #[test]
    fn enough_workers_keep_up_and_too_few_fall_behind() {
        let enough = run(world(), &[60.0; 1800], 1, &mut Fixed(12));
        assert!(enough.seconds_behind == 0.0 && enough.worst_lag_seconds < 40.0, "{enough:?}");
        let few = run(world(), &[60.0; 1800], 1, &mut Fixed(4));
        assert!(few.seconds_behind > 1000.0, "{few:?}");
    }

    #[test]
    fn workers_beyond_the_number_of_partitions_are_idle() {
        let twelve = run(world(), &[110.0; 600], 1, &mut Fixed(12));
        let twenty = run(world(), &[110.0; 600], 1, &mut Fixed(20));
        assert!((twelve.worst_lag_seconds - twenty.worst_lag_seconds).abs() < 1.0);
        assert!(twenty.replica_hours > 1.5 * twelve.replica_hours);
    }

    #[test]
    fn our_workers_catch_up_in_time_after_a_jump_and_scale_down_again() {
        let arrivals: Vec<f64> =
            (0..7200).map(|second| if (600..1200).contains(&second) { 90.0 } else { 15.0 }).collect();
        let outcome = run(world(), &arrivals, 1, &mut OurWorkers::new(&world()));
        assert!(outcome.seconds_behind < 60.0 && outcome.changes < 20, "{outcome:?}");
        assert!(outcome.replica_hours < 12.0, "{outcome:?}");
    }
}
