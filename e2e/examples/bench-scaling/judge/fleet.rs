//! The replicas of a simulated service: starting, cold and warm pods, their backlog, and what their users wait.
//!
//! Fluid in steps of one second: within a second each pod is an M/M/c queue in its steady state ([`super::queue`]); what
//! arrives beyond capacity is a first-come backlog that everybody waits for. Requests give up after [`GIVE_UP`].

use std::collections::VecDeque;
use std::sync::Arc;

use clap::ValueEnum;

use super::queue::{self, Histogram, Pod, SATURATED, Shares};

/// Seconds a request waits before its user gives up.
pub const GIVE_UP: f64 = 5.0;

/// CPU of a ready pod without requests, in pods' worth.
pub const IDLE_CPU: f64 = 0.03;

/// How requests are spread over pods.
#[derive(Debug, Clone, Copy, PartialEq, Eq, ValueEnum, serde::Serialize)]
#[serde(rename_all = "kebab-case")]
pub enum Balancing {
    /// To the pod with the fewest requests: pods are equally utilised, a cold pod gets half of a warm one's requests.
    LeastRequest,
    /// The same number of requests to each ready pod, cold or warm.
    Equal,
}

/// The simulated application and cluster.
#[derive(Debug, Clone, Copy, PartialEq, serde::Serialize)]
pub struct World {
    /// Mean service time of a request in a warm pod, seconds.
    pub service: f64,
    /// Workers per pod.
    pub workers: u32,
    /// The p95 that is promised, seconds.
    pub target: f64,
    /// From the order to ready, seconds.
    pub startup: u32,
    /// A ready pod works at half speed for that long, seconds.
    pub warmup: u32,
    /// Fewest and most pods.
    pub bounds: (u32, u32),
    /// How requests are spread.
    pub balancing: Balancing,
}

impl World {
    /// Four workers, 20 s at half speed, 2 to 50 pods, a target of 2.5 times the unloaded p95 unless one is given.
    #[must_use]
    pub fn new(service: f64, startup: u32, target: Option<f64>) -> Self {
        let target = target.unwrap_or_else(|| 2.5 * service * Pod::new(4).quantile(0.0, 0.95));
        let balancing = Balancing::LeastRequest;
        Self { service, workers: 4, target, startup, warmup: 20, bounds: (2, 50), balancing }
    }

    /// Requests per second a warm pod carries at the target, when the service time is `slowdown` times the usual.
    #[must_use]
    pub fn capacity(&self, slowdown: f64) -> f64 {
        let (pod, service) = (Pod::new(self.workers), self.service * slowdown);
        pod.utilisation_at(self.target / service, 0.95) * pod.workers() / service
    }
}

/// What one second was like.
#[derive(Debug, Clone, Copy, Default, PartialEq)]
pub struct Second {
    /// Requests that were answered or given up.
    pub finished: f64,
    /// Of those, given up.
    pub given_up: f64,
    /// Share of the requests that took longer than the target (those given up included).
    pub above: f64,
    /// Requests in the pods, waiting and in service, on average.
    pub in_flight: f64,
    /// CPU used, in pods' worth.
    pub busy: f64,
}

#[derive(Debug, Clone, Copy, Default)]
struct Group {
    backlog: f64,
    utilisation: f64,
    share: f64,
    wait: f64,
}

/// The pods of a service and their queues.
#[derive(Debug)]
pub struct Fleet {
    world: World,
    pod: Arc<Pod>,
    slowdown: f64,
    warm_shares: Shares,
    cold_shares: Shares,
    starting: VecDeque<u32>,
    cold: VecDeque<u32>,
    warm: u32,
    groups: [Group; 2],
}

impl Fleet {
    /// A fleet of warm pods without a backlog.
    #[must_use]
    pub fn new(world: World, warm: u32) -> Self {
        let pod = Arc::new(Pod::new(world.workers));
        let (warm_shares, cold_shares) = (Shares::new(&pod, world.service), Shares::new(&pod, world.service * 2.0));
        let (starting, cold) = (VecDeque::new(), VecDeque::new());
        Self { world, pod, slowdown: 1.0, warm_shares, cold_shares, starting, cold, warm, groups: Default::default() }
    }

    /// From now on each request takes `slowdown` times the usual.
    pub fn slow_down(&mut self, slowdown: f64) {
        self.slowdown = slowdown;
        self.warm_shares = Shares::new(&self.pod, self.world.service * slowdown);
        self.cold_shares = Shares::new(&self.pod, self.world.service * slowdown * 2.0);
    }

    /// All pods, paid for from the order on.
    #[must_use]
    pub fn replicas(&self) -> u32 {
        self.warm + (self.cold.len() + self.starting.len()) as u32
    }

    /// Pods that get requests.
    #[must_use]
    pub fn ready(&self) -> u32 {
        self.warm + self.cold.len() as u32
    }

    /// Pods that get requests and have been ready for the warm-up.
    #[must_use]
    pub fn warm(&self) -> u32 {
        self.warm
    }

    /// Orders that many replicas (within the world's bounds) at second `now`. Down: starting pods go first, then the
    /// youngest, as the ReplicaSet controller does.
    pub fn scale(&mut self, now: u32, replicas: u32) {
        let wanted = replicas.clamp(self.world.bounds.0, self.world.bounds.1);
        while self.replicas() < wanted {
            self.starting.push_back(now + self.world.startup);
        }
        while self.replicas() > wanted {
            if self.starting.pop_back().is_none() && self.cold.pop_back().is_none() {
                self.warm -= 1;
            }
        }
    }

    /// Lives through second `now` at `load` requests per second; adds latencies to `histogram` when given.
    pub fn second(&mut self, now: u32, load: f64, histogram: Option<&mut Histogram>) -> Second {
        self.age(now);
        let rate = self.pod.workers() / (self.world.service * self.slowdown);
        let capacities = [f64::from(self.warm) * rate, self.cold.len() as f64 * rate / 2.0];
        let shares = self.spread(capacities);
        let mut second = Second::default();
        for index in 0..2 {
            self.serve(index, load * shares[index], capacities[index], &mut second);
        }
        second.busy = (second.busy + IDLE_CPU * f64::from(self.ready())).min(f64::from(self.ready()));
        if second.finished > 0.0 {
            second.above = self.above(&second);
        }
        if let Some(histogram) = histogram {
            self.record(histogram);
        }
        second
    }

    fn age(&mut self, now: u32) {
        while self.starting.front().is_some_and(|ready| *ready <= now) {
            self.starting.pop_front();
            self.cold.push_back(now + self.world.warmup);
        }
        while self.cold.front().is_some_and(|warm| *warm <= now) {
            self.cold.pop_front();
            self.warm += 1;
        }
    }

    /// The share of arrivals per group; backlogs follow their balancing, a vanished group's goes to the other.
    fn spread(&mut self, capacities: [f64; 2]) -> [f64; 2] {
        let weights = match self.world.balancing {
            Balancing::LeastRequest => capacities,
            Balancing::Equal => [f64::from(self.warm), self.cold.len() as f64],
        };
        let total = (weights[0] + weights[1]).max(1e-12);
        let shares = [weights[0] / total, weights[1] / total];
        let gone = capacities[0] <= 0.0 || capacities[1] <= 0.0;
        if self.world.balancing == Balancing::LeastRequest || gone {
            let backlog = self.groups[0].backlog + self.groups[1].backlog;
            self.groups[0].backlog = backlog * shares[0];
            self.groups[1].backlog = backlog * shares[1];
        }
        shares
    }

    fn serve(&mut self, index: usize, arriving: f64, capacity: f64, second: &mut Second) {
        let group = &mut self.groups[index];
        let waiting = group.backlog + arriving;
        let served = waiting.min(capacity);
        let left = waiting - served;
        let given_up = (left - GIVE_UP * capacity).max(0.0);
        let before = group.backlog;
        group.backlog = left - given_up;
        group.utilisation = if group.backlog > 0.0 { SATURATED } else { (served / capacity.max(1e-12)).min(SATURATED) };
        group.wait = f64::midpoint(before, group.backlog) / capacity.max(1e-12);
        group.share = served;
        let speed = if index == 0 { 1.0 } else { 0.5 };
        let rate = self.pod.workers() / (self.world.service * self.slowdown) * speed;
        let pods = capacity / rate;
        second.finished += served + given_up;
        second.given_up += given_up;
        second.busy += served / rate;
        second.in_flight += pods * self.pod.in_flight(group.utilisation) + f64::midpoint(before, group.backlog);
    }

    fn above(&self, second: &Second) -> f64 {
        let slow: f64 = (0..2)
            .map(|index| (index, &self.groups[index]))
            .filter(|(_, group)| group.share > 0.0)
            .map(|(index, group)| {
                let time = (self.world.target - group.wait) / self.service(index);
                group.share * self.pod.tail(group.utilisation, time)
            })
            .sum();
        (slow + second.given_up) / second.finished
    }

    fn service(&self, index: usize) -> f64 {
        self.world.service * self.slowdown * if index == 0 { 1.0 } else { 2.0 }
    }

    fn record(&self, histogram: &mut Histogram) {
        for (index, group) in self.groups.iter().enumerate().filter(|(_, group)| group.share > 0.0) {
            let shares = if group.wait > 0.0 {
                queue::delayed(&self.pod, group.utilisation, self.service(index), group.wait)
            } else {
                *[&self.warm_shares, &self.cold_shares][index].at(group.utilisation)
            };
            for (count, share) in histogram.iter_mut().zip(shares) {
                *count += share * group.share as f32;
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn run(fleet: &mut Fleet, seconds: std::ops::Range<u32>, load: f64) -> Vec<Second> {
        seconds.map(|now| fleet.second(now, load, None)).collect()
    }

    #[test]
    fn at_its_capacity_five_per_cent_are_above_the_target() {
        let world = World::new(0.2, 10, None);
        let second = Fleet::new(world, 10).second(0, world.capacity(1.0) * 10.0, None);
        assert!((second.above - 0.05).abs() < 0.002, "{second:?}");
        assert!((second.busy - 10.0 * (world.capacity(1.0) * 0.2 / 4.0 + IDLE_CPU)).abs() < 1e-9);
    }

    #[test]
    fn beyond_capacity_a_backlog_grows_until_users_give_up_and_drains_again() {
        let mut fleet = Fleet::new(World::new(0.2, 10, None), 5); // 100 requests per second
        let over = run(&mut fleet, 0..60, 150.0);
        assert!(over[0].given_up == 0.0 && over[59].given_up > 49.0 && over[59].above > 0.99);
        assert!(over[59].in_flight > 500.0);
        let after = run(&mut fleet, 60..90, 50.0);
        assert!(after[5].above > 0.9 && after[15].above < 0.05, "{:?}", after[15]);
    }

    #[test]
    fn a_pod_starts_works_at_half_speed_and_is_warm() {
        let mut fleet = Fleet::new(World::new(0.2, 10, None), 2);
        fleet.scale(0, 4);
        run(&mut fleet, 0..10, 10.0);
        assert_eq!((fleet.replicas(), fleet.ready(), fleet.warm()), (4, 2, 2));
        run(&mut fleet, 10..11, 10.0);
        assert_eq!((fleet.ready(), fleet.warm()), (4, 2));
        run(&mut fleet, 11..31, 10.0);
        assert_eq!(fleet.warm(), 4);
        fleet.scale(31, 6);
        fleet.scale(32, 3);
        assert_eq!((fleet.replicas(), fleet.warm()), (3, 3));
    }

    #[test]
    fn equal_balancing_hurts_while_pods_are_cold() {
        let share = |balancing| {
            let world = World { balancing, ..World::new(0.2, 0, None) };
            let mut fleet = Fleet::new(world, 4);
            fleet.scale(0, 8);
            run(&mut fleet, 0..15, 80.0)[14].above
        };
        assert!(share(Balancing::Equal) > 0.2 && share(Balancing::LeastRequest) < 0.05);
    }

    #[test]
    fn the_histogram_counts_what_was_served_and_shows_the_p95() {
        let world = World::new(0.2, 10, None);
        let mut counts = Histogram::default();
        Fleet::new(world, 10).second(0, 100.0, Some(&mut counts));
        assert!((counts.iter().sum::<f32>() - 100.0).abs() < 0.01);
        let p95 = queue::histogram_quantile(&counts, 0.95).unwrap();
        let truth = 0.2 * Pod::new(4).quantile(0.5, 0.95);
        assert!((p95 / truth - 1.0).abs() < 0.15, "{p95} {truth}");
    }
}
