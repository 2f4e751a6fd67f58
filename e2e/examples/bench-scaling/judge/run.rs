//! One run: a load, a world and a policy, and their outcome.

use super::fleet::Fleet;
use super::queue::Pod;
use super::telemetry::{Pods, Telemetry};
use super::trace::Variant;
use super::world::World;

/// A policy that decides the number of replicas.
pub trait Policy {
    /// Called every second with the metrics as of second `now`; a policy keeps its own period. Returns the new number
    /// of replicas, or None for no change.
    fn decide(&mut self, now: u32, telemetry: &Telemetry, pods: Pods) -> Option<u32>;

    /// Whether it reads the latency histogram, which is expensive to simulate.
    fn reads_latency(&self) -> bool {
        false
    }

    /// Whether it has a proxy in each pod that holds back requests until a worker is free, and counts requests while
    /// the server is busy.
    fn fronted(&self) -> bool {
        false
    }

    /// An explanation of the last decision, if the policy has one.
    fn explain(&self) -> Option<String> {
        None
    }
}

/// The input of a run.
#[derive(Debug, Clone)]
pub struct Scenario {
    /// The simulated application and cluster.
    pub world: World,
    /// Requests per second, one per second.
    pub load: Vec<f64>,
    /// Second from which requests are slower, and by which factor.
    pub drift: Option<(u32, f64)>,
    /// Share of the scrapes that are lost.
    pub gaps: f64,
    /// Seed of the metrics' noise and of the phases of all periods.
    pub seed: u64,
}

impl Scenario {
    /// A scenario for a load per second.
    #[must_use]
    pub fn new(world: World, load: Vec<f64>, variant: Variant, seed: u64) -> Self {
        let drift = (variant == Variant::Drift).then_some((load.len() as u32 / 3, 1.0 / 0.7));
        let gaps = if variant == Variant::Noise { 0.005 } else { 0.0 };
        Self { world, load, drift, gaps, seed }
    }

    /// The factor on service times at a second.
    #[must_use]
    pub fn slowdown(&self, second: u32) -> f64 {
        self.drift.filter(|(from, _)| second >= *from).map_or(1.0, |(_, slowdown)| slowdown)
    }

    /// The warm replicas that the load of each second needs.
    #[must_use]
    pub fn needed(&self) -> Vec<u32> {
        let (normal, slow) = (self.world.capacity(1.0), self.drift.map_or(1.0, |(_, by)| self.world.capacity(by)));
        let capacity = |second: usize| if self.slowdown(second as u32) > 1.0 { slow } else { normal };
        let bounds = self.world.bounds;
        self.load
            .iter()
            .enumerate()
            .map(|(second, load)| ((load / capacity(second)).ceil() as u32).clamp(bounds.0, bounds.1))
            .collect()
    }
}

/// The results of a run.
#[derive(Debug, Clone, Copy, Default, PartialEq, serde::Serialize)]
pub struct Outcome {
    /// Seconds in which more than 5 % of the requests took longer than the target.
    pub seconds_above: f64,
    /// Requests that took longer than the target, including failed ones.
    pub requests_above: f64,
    /// Requests that were given up or refused.
    pub failed: f64,
    /// Seconds in which more than 5 % of the requests failed.
    pub seconds_failing: f64,
    /// All requests, including retries.
    pub requests: f64,
    /// Replica-hours, from the order on.
    pub replica_hours: f64,
    /// Changes of the number of replicas.
    pub changes: u32,
}

impl Outcome {
    /// Adds another run.
    pub fn add(&mut self, other: &Self) {
        self.seconds_above += other.seconds_above;
        self.requests_above += other.requests_above;
        self.failed += other.failed;
        self.seconds_failing += other.seconds_failing;
        self.requests += other.requests;
        self.replica_hours += other.replica_hours;
        self.changes += other.changes;
    }
}

/// A second of a run, for plots and timelines.
#[derive(Debug, Clone, PartialEq)]
pub struct Point {
    /// All replicas.
    pub replicas: u32,
    /// Pods that get requests.
    pub ready: u32,
    /// Pods that were ready and fail their probes.
    pub unready: u32,
    /// Share of the requests that took longer than the target.
    pub above: f64,
    /// Share of the requests that failed.
    pub failed: f64,
    /// The explanation of the last decision, if the policy has one.
    pub explanation: Option<String>,
}

/// Runs a policy on a scenario. Every run starts with the replicas that the first second needs, all warm. Appends a
/// point per second to `timeline` if given.
pub fn run(scenario: &Scenario, policy: &mut dyn Policy, mut timeline: Option<&mut Vec<Point>>) -> Outcome {
    let bounds = scenario.world.bounds;
    let first = (scenario.load[0] / scenario.world.capacity(1.0)).ceil() as u32;
    let world = World { fronted: policy.fronted(), ..scenario.world };
    let mut fleet = Fleet::new(world, first.clamp(bounds.0, bounds.1));
    let mut telemetry = Telemetry::new(scenario.seed, scenario.gaps, scenario.load.len());
    let mut outcome = Outcome::default();
    for (now, load) in scenario.load.iter().enumerate() {
        let now = now as u32;
        if scenario.drift.is_some_and(|(at, _)| at == now) {
            fleet.slow_down(scenario.slowdown(now));
        }
        let histogram = policy.reads_latency().then(|| telemetry.histogram());
        let second = fleet.second(now, *load, histogram);
        telemetry.push(&second.exported);
        fleet.caught_up().for_each(|unscraped| telemetry.catch_up(&unscraped));
        let pods = fleet.pods(now + 1);
        outcome.seconds_above += f64::from(u8::from(second.above > 0.05));
        outcome.requests_above += second.above * second.finished;
        outcome.failed += second.failed;
        outcome.seconds_failing += f64::from(u8::from(second.failed > 0.05 * second.finished));
        outcome.requests += second.finished;
        outcome.replica_hours += f64::from(pods.replicas) / 3600.0;
        if let Some(replicas) = policy.decide(now + 1, &telemetry, pods) {
            fleet.scale(now + 1, replicas);
            outcome.changes += u32::from(fleet.replicas() != pods.replicas);
        }
        if let Some(timeline) = timeline.as_deref_mut() {
            let Pods { replicas, ready, unready, .. } = pods;
            let failed = second.failed / second.finished.max(1e-9);
            timeline.push(Point {
                replicas,
                ready,
                unready,
                above: second.above,
                failed,
                explanation: policy.explain(),
            });
        }
    }
    outcome
}

/// The optimum of a policy that knows the future. At every second it has as many replicas as any second needs until a
/// pod ordered now would be warm. This is feasible, because every needed pod was ordered in time. It is minimal,
/// because a pod of a peak cannot be ordered later.
#[derive(Debug)]
pub struct Clairvoyant {
    plan: Vec<u32>,
}

impl Clairvoyant {
    /// The plan for a scenario.
    #[must_use]
    pub fn new(scenario: &Scenario) -> Self {
        let ahead = (scenario.world.startup + scenario.world.warmup) as usize + 1;
        let needed = scenario.needed();
        // The maximum of the next `ahead` seconds: a queue of candidates in descending order.
        let mut plan = vec![0; needed.len()];
        let mut candidates: std::collections::VecDeque<usize> = std::collections::VecDeque::new();
        for second in (0..needed.len()).rev() {
            while candidates.back().is_some_and(|later| needed[*later] <= needed[second]) {
                candidates.pop_back();
            }
            candidates.push_back(second);
            if candidates.front().is_some_and(|later| *later > second + ahead) {
                candidates.pop_front();
            }
            plan[second] = candidates.front().map_or(0, |most| needed[*most]);
        }
        Self { plan }
    }
}

impl Policy for Clairvoyant {
    fn decide(&mut self, now: u32, _: &Telemetry, pods: Pods) -> Option<u32> {
        self.plan.get(now as usize).copied().filter(|replicas| *replicas != pods.replicas)
    }
}

/// The unloaded p95 of a world in seconds.
#[must_use]
pub fn unloaded(world: &World) -> f64 {
    world.service * Pod::new(world.workers).quantile(0.0, 0.95)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_clairvoyant_orders_before_a_jump_and_is_never_above_the_target() {
        let world = World::new(0.2, 60, None);
        let capacity = world.capacity(1.0);
        let load = (0..1200).map(|second| capacity * if second < 600 { 3.9 } else { 9.9 }).collect();
        let scenario = Scenario::new(world, load, Variant::Main, 1);
        let mut clairvoyant = Clairvoyant::new(&scenario);
        assert_eq!((clairvoyant.plan[518], clairvoyant.plan[519], clairvoyant.plan[600]), (4, 10, 10));
        let outcome = run(&scenario, &mut clairvoyant, None);
        assert!(outcome.seconds_above < 2.0 && outcome.failed == 0.0, "{outcome:?}");
        assert!((outcome.replica_hours - (519.0 * 4.0 + 681.0 * 10.0) / 3600.0).abs() < 0.02);
        assert_eq!(outcome.changes, 1);
    }

    #[test]
    fn drift_reduces_the_capacity_by_30_per_cent_or_more() {
        let world = World::new(0.02, 10, None);
        let scenario = Scenario::new(world, vec![1.0; 300], Variant::Drift, 1);
        assert_eq!((scenario.slowdown(99), scenario.slowdown(100)), (1.0, 1.0 / 0.7));
        assert!(world.capacity(1.0 / 0.7) < 0.7 * world.capacity(1.0));
    }
}
