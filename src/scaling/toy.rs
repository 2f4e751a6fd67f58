//! A simulated service that follows the decisions on it, for tests.

use super::decision::Decision;
use super::overload::Outside;
use super::policy::{Behavior, Bounds, Common, Headroom};
use super::serving::{History, Policy, Replicas, Signals, decide};
use super::signal::Signal;

/// Seconds between two decisions.
pub(super) const TICK: f64 = 5.0;

pub(super) fn between(min: u32, max: u32) -> Common {
    Common { bounds: Bounds { min, max }, window: 15.0, behavior: Behavior::default() }
}

pub(super) fn policy() -> Policy {
    Policy {
        common: between(2, 50),
        target: 0.25,
        requests_per_replica: None,
        headroom: Headroom::Balanced,
        startup: 20.0,
        warmup: 10.0,
        delay: 15.0,
    }
}

/// A service whose latency is `unloaded / (1 - load / saturation) + dependency` seconds, with the load per ready replica.
/// A new replica is ready after the start-up of its policy.
pub(super) struct Toy {
    pub policy: Policy,
    pub history: History,
    pub now: f64,
    pub current: u32,
    /// When each replica is ready.
    pub ready: Vec<f64>,
    /// Latency without load, seconds.
    pub unloaded: f64,
    /// Requests per second that one replica serves at most.
    pub saturation: f64,
    /// Latency of a dependency, seconds. It does not depend on the replicas.
    pub dependency: f64,
}

impl Toy {
    pub fn new(current: u32) -> Self {
        let ready = vec![-1e9; current as usize];
        let (policy, history) = (policy(), History::default());
        Self { policy, history, now: 0.0, current, ready, unloaded: 0.1, saturation: 100.0, dependency: 0.0 }
    }

    pub fn signals(&self, rate: f64) -> Signals {
        let older = |age: f64| self.ready.iter().filter(|ready| self.now - **ready >= age).count() as u32;
        let ready = older(0.0).max(1);
        let busy = (rate / f64::from(ready) / self.saturation).min(0.99);
        let latency = self.unloaded / (1.0 - busy) + self.dependency;
        Signals {
            rate: Signal::fresh(rate),
            latest: Signal::fresh(rate),
            latency: if rate > 0.0 { Signal::fresh(latency) } else { Signal::Missing("no requests") },
            in_flight: Signal::fresh(rate * latency),
            cpu: Signal::fresh(busy),
            failed: Signal::Missing("none"),
            outside: Outside::default(),
            replicas: Replicas { current: self.current, ready, warm: older(self.policy.warmup) },
            rolling_out: false,
        }
    }

    pub fn apply(&mut self, decision: &Decision) {
        self.current = decision.replicas;
        self.now += TICK;
        let from_now = self.now + self.policy.startup;
        self.ready.resize(self.current as usize, from_now);
    }

    pub fn tick(&mut self, rate: f64) -> Decision {
        let signals = self.signals(rate);
        let decision = decide(&self.policy, &signals, &mut self.history, self.now);
        self.apply(&decision);
        decision
    }

    /// Runs ticks with a load. Returns the replicas after each change.
    pub fn run(&mut self, ticks: u32, rate: impl Fn(u32) -> f64) -> Vec<u32> {
        let mut before = self.current;
        (0..ticks)
            .filter_map(|tick| {
                let after = self.tick(rate(tick)).replicas;
                let changed = (after != before).then_some(after);
                before = after;
                changed
            })
            .collect()
    }
}
