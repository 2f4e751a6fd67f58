//! The pods of a simulated service: starting, cold and warm pods, their backlog, and the latency for clients.
//!
//! A fluid model in steps of one second. Within a second each pod is an M/M/c queue in its steady state
//! ([`super::queue`]). Requests beyond the capacity wait ([`super::cohort`]), and clients give up after
//! [`GIVE_UP`](super::cohort::GIVE_UP). What happens then depends on the servers ([`super::world::Queueing`]): a blind
//! server still serves these requests, and answers neither scrapes nor probes in time. When no pod is ready, requests
//! are refused at once. A share of the failed requests is retried a second later.

use std::collections::VecDeque;
use std::sync::Arc;

use super::cohort::{Backlog, Cohort};
use super::queue::{self, Histogram, Pod, Shares};
use super::telemetry::{Exported, Measured, Pods, SCRAPE, Unscraped};
use super::world::{Balancing, Queueing, World};

/// Share of the failed requests that clients retry a second later. Retries are at most this share of the load, so that
/// retries of retries cannot accumulate. The value is between clients that never retry and clients that retry several
/// times.
const RETRIED: f64 = 0.5;

/// The results of one second.
#[derive(Debug, Clone, Copy, Default, PartialEq)]
pub struct Second {
    /// Requests that were answered, given up or refused.
    pub finished: f64,
    /// Requests that were given up or refused.
    pub failed: f64,
    /// Share of the requests that took longer than the target, including failed ones.
    pub above: f64,
    /// The metrics of the pods that answer their scrapes.
    pub exported: Exported,
}

/// The pods of a service and their queues.
#[derive(Debug)]
pub struct Fleet {
    world: World,
    queueing: Queueing,
    pod: Arc<Pod>,
    slowdown: f64,
    warm_shares: Shares,
    cold_shares: Shares,
    /// Seconds at which the starting pods will be ready.
    starting: VecDeque<u32>,
    /// Pods that have been ready, oldest first.
    cohorts: Vec<Cohort>,
    /// Metrics of pods whose scrape of this second is the first answered one after a gap.
    caught_up: Vec<Unscraped>,
    /// Requests that are retried in the next second.
    retried: f64,
    /// Unserved requests of removed pods.
    lost: f64,
}

impl Fleet {
    /// A fleet of warm pods without backlog.
    #[must_use]
    pub fn new(world: World, warm: u32) -> Self {
        let pod = Arc::new(Pod::new(world.workers));
        let (warm_shares, cold_shares) = (Shares::new(&pod, world.service), Shares::new(&pod, world.service * 2.0));
        Self {
            world,
            queueing: world.queueing(),
            pod,
            slowdown: 1.0,
            warm_shares,
            cold_shares,
            starting: VecDeque::new(),
            cohorts: vec![Cohort::new(warm, 0, 0, 0)],
            caught_up: Vec::new(),
            retried: 0.0,
            lost: 0.0,
        }
    }

    /// Multiplies the service times by `slowdown` from now on.
    pub fn slow_down(&mut self, slowdown: f64) {
        self.slowdown = slowdown;
        self.warm_shares = Shares::new(&self.pod, self.world.service * slowdown);
        self.cold_shares = Shares::new(&self.pod, self.world.service * slowdown * 2.0);
    }

    /// All pods, including starting ones: replica-hours count from the order.
    #[must_use]
    pub fn replicas(&self) -> u32 {
        self.cohorts.iter().map(|cohort| cohort.pods).sum::<u32>() + self.starting.len() as u32
    }

    /// The pods at `now`, as a policy may count them.
    #[must_use]
    pub fn pods(&self, now: u32) -> Pods {
        let mut pods = Pods { replicas: self.starting.len() as u32, ..Pods::default() };
        for cohort in &self.cohorts {
            pods.replicas += cohort.pods;
            *if cohort.ready { &mut pods.ready } else { &mut pods.unready } += cohort.pods;
            pods.warm += if cohort.ready && cohort.warm { cohort.pods } else { 0 };
            if let Some(cpu) = cohort.measured() {
                let cpu = Measured { pods: cohort.pods, cpu };
                pods.measured.add(cpu);
                pods.counted.add(if cohort.is_counted(now) { cpu } else { Measured::default() });
            }
        }
        pods
    }

    /// Sets the number of replicas (within the world's bounds) at second `now`. Scale-down removes starting pods first,
    /// then unready ones, then the youngest, as the ReplicaSet controller does.
    pub fn scale(&mut self, now: u32, replicas: u32) {
        let desired = replicas.clamp(self.world.bounds.0, self.world.bounds.1);
        let current = self.replicas();
        (current..desired).for_each(|_| self.starting.push_back(now + self.world.startup));
        for _ in desired..current {
            if self.starting.pop_back().is_none() {
                self.remove();
            }
        }
    }

    fn remove(&mut self) {
        let unready = self.cohorts.iter().rposition(|cohort| !cohort.ready);
        let index = unready.unwrap_or(self.cohorts.len() - 1);
        let backlog = self.cohorts[index].lose_pod();
        if self.cohorts[index].pods == 0 {
            self.cohorts.remove(index);
        }
        match self.cohorts.first_mut().filter(|_| self.queueing.shared) {
            Some(first) => first.backlog.add(&backlog),
            None => self.lost += backlog.alive(),
        }
    }

    /// Simulates second `now` with `load` requests per second. Adds latencies to `histogram` if given.
    pub fn second(&mut self, now: u32, load: f64, histogram: Option<&mut Histogram>) -> Second {
        let rate = self.pod.workers() / (self.world.service * self.slowdown);
        self.start(now);
        let queueing = self.queueing;
        self.cohorts.iter_mut().for_each(|cohort| cohort.begin(now, rate, &queueing));
        self.merge();
        let refused = self.spread(load + self.retried, rate);
        self.cohorts.iter_mut().for_each(|cohort| cohort.serve(rate, &queueing));
        let failed = refused + std::mem::take(&mut self.lost);
        let mut second = Second { finished: failed, failed, ..Second::default() };
        for cohort in &self.cohorts {
            let served = &cohort.served;
            second.failed += served.given_up + served.refused;
            second.finished += served.alive + served.given_up + served.refused;
        }
        self.retried = RETRIED * second.failed.min(load);
        if second.finished > 0.0 {
            second.above = ((self.slow() + second.failed) / second.finished).min(1.0);
        }
        if let Some(histogram) = histogram {
            self.record(histogram);
        }
        second.exported = self.export(rate);
        // A scrape at the end of this second is the scrape at the beginning of the next one.
        if (now + 1).is_multiple_of(SCRAPE) {
            self.caught_up.extend(self.cohorts.iter_mut().filter_map(|cohort| cohort.scrape(rate, &queueing)));
        }
        for cohort in &self.cohorts {
            let Exported { pods, silent, .. } = &mut second.exported;
            *if cohort.silent { silent } else { pods } += cohort.pods;
        }
        second
    }

    /// Metrics of pods that answer their scrapes again, counted since their last answer.
    pub fn caught_up(&mut self) -> impl Iterator<Item = Unscraped> {
        self.caught_up.drain(..)
    }

    fn start(&mut self, now: u32) {
        let ready = self.starting.iter().take_while(|ready| **ready <= now).count();
        if ready > 0 {
            self.starting.drain(..ready);
            let created = now.saturating_sub(self.world.startup);
            self.cohorts.push(Cohort::new(ready as u32, now, created, now + self.world.warmup));
        }
    }

    /// Merges all warm pods without backlog into one cohort.
    fn merge(&mut self) {
        let Some(first) = self.cohorts.iter().position(Cohort::is_ordinary) else { return };
        let mut index = self.cohorts.len() - 1;
        while index > first {
            if self.cohorts[index].is_ordinary() {
                let other = self.cohorts.remove(index);
                self.cohorts[first].merge(&other);
            }
            index -= 1;
        }
    }

    /// Balances requests over the ready pods. Returns the requests that are refused because no pod is ready.
    fn spread(&mut self, requests: f64, rate: f64) -> f64 {
        if self.queueing.shared {
            self.share_backlog(rate);
        }
        self.cohorts.iter_mut().for_each(|cohort| cohort.arriving = 0.0);
        let ready = |cohort: &&mut Cohort| cohort.ready;
        let pods: u32 = self.cohorts.iter_mut().filter(ready).map(|cohort| cohort.pods).sum();
        if pods == 0 {
            return requests;
        }
        match self.world.balancing {
            Balancing::LeastRequest => self.level(requests, rate),
            Balancing::Equal => self
                .cohorts
                .iter_mut()
                .filter(ready)
                .for_each(|cohort| cohort.arriving = requests * f64::from(cohort.pods) / f64::from(pods)),
        }
        0.0
    }

    /// Balances requests to the pods with the least waiting work, in seconds, so that all pods that get requests have
    /// the same amount.
    fn level(&mut self, requests: f64, rate: f64) {
        let mut level = f64::INFINITY;
        loop {
            let (mut work, mut capacity) = (requests, 0.0);
            for cohort in self.cohorts.iter().filter(|cohort| cohort.ready) {
                let (its_work, its_capacity) = (cohort.backlog.total(), cohort.capacity(rate));
                // Tolerates floating-point errors: the pods with the least work must always qualify.
                if its_work <= level * its_capacity * (1.0 + 1e-9) {
                    (work, capacity) = (work + its_work, capacity + its_capacity);
                }
            }
            // Without the pods above it, the level is lower, so more pods may be above it.
            let lower = work / capacity;
            if lower >= level {
                break;
            }
            level = lower;
        }
        for cohort in self.cohorts.iter_mut().filter(|cohort| cohort.ready) {
            cohort.arriving = (level * cohort.capacity(rate) - cohort.backlog.total()).max(0.0);
        }
    }

    /// Redistributes waiting requests to the pods in proportion to their capacity.
    fn share_backlog(&mut self, rate: f64) {
        let (mut all, mut capacity) = (Backlog::default(), 0.0);
        for cohort in &self.cohorts {
            all.add(&cohort.backlog);
            capacity += cohort.capacity(rate);
        }
        if all.total() > 0.0 {
            for cohort in &mut self.cohorts {
                cohort.backlog = all.times(cohort.capacity(rate) / capacity);
            }
        }
    }

    /// Requests that were answered in this second and took longer than the target.
    fn slow(&self) -> f64 {
        let slow = |cohort: &Cohort| {
            let served = &cohort.served;
            let time = (self.world.target - served.wait) / cohort.service(&self.world, self.slowdown);
            served.alive * self.pod.tail(served.utilisation, time)
        };
        self.cohorts.iter().filter(|cohort| cohort.served.alive > 0.0).map(slow).sum()
    }

    /// Adds the latencies that the servers measure: of all requests that they served, even if their clients had gone.
    fn record(&mut self, histogram: &mut Histogram) {
        for cohort in self.cohorts.iter_mut().filter(|cohort| cohort.served.all > 0.0) {
            let served = cohort.served;
            let shares = if served.wait > 0.0 {
                let service = cohort.service(&self.world, self.slowdown);
                queue::delayed(&self.pod, served.utilisation, service, served.wait)
            } else {
                *if cohort.warm { &self.warm_shares } else { &self.cold_shares }.at(served.utilisation)
            };
            let counts = if cohort.silent { &mut cohort.unscraped.histogram } else { &mut *histogram };
            for (count, share) in counts.iter_mut().zip(shares) {
                *count += share * served.all as f32;
            }
        }
    }

    /// The metrics of the pods that answered their last scrape.
    fn export(&self, rate: f64) -> Exported {
        let mut exported = Exported::default();
        for cohort in self.cohorts.iter().filter(|cohort| !cohort.silent) {
            let (served, pods) = (&cohort.served, f64::from(cohort.pods));
            exported.requests += served.all + served.refused;
            exported.refused += served.refused;
            exported.busy += cohort.cpu(cohort.capacity(rate));
            exported.in_flight += pods * self.pod.in_flight(served.utilisation) + served.wait * cohort.capacity(rate);
        }
        exported
    }
}

#[cfg(test)]
#[path = "fleet_tests.rs"]
mod tests;
