//! The pods of one workload, the load they are under, and what would be measured of them.

use std::collections::VecDeque;

use crate::{model::Workload, signals::Series};

/// Seconds between two scrapes, two evaluations of rules and two ticks.
pub const TICK: i64 = 5;
/// Requests that one replica answers per second at the most, and seconds that each takes without any other: 60 requests
/// per second take 75 ms.
const SATURATED: f64 = 100.0;
const UNLOADED: f64 = 0.03;
/// Messages that one replica consumes per second.
const CONSUMED: f64 = 20.0;
/// Partitions of the log.
pub const PARTITIONS: u32 = 24;

/// What really arrives, per second.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct Load {
    pub requests: f64,
    pub messages: f64,
}

/// What six replicas of each fleet are needed for.
pub const HIGH: Load = Load { requests: 330.0, messages: 100.0 };
/// What twelve are.
pub const DOUBLE: Load = Load { requests: 660.0, messages: 200.0 };
/// What one is, with enough requests for a latency.
pub const LITTLE: Load = Load { requests: 30.0, messages: 5.0 };
pub const NOTHING: Load = Load { requests: 0.0, messages: 0.0 };

/// The pods of one workload.
#[derive(Debug)]
pub struct Fleet {
    pub workload: Workload,
    /// Replicas that its Deployment asks for.
    pub desired: u32,
    /// Fewest and most replicas of its autoscaler.
    pub window: Option<(u32, u32)>,
    /// When each pod gets ready.
    pub ready: Vec<i64>,
    /// Seconds until a pod is ready, and how much slower it is in the 20 s after that.
    pub startup: i64,
    pub cold: f64,
    lag: f64,
    requests: VecDeque<f64>,
    seconds: VecDeque<f64>,
    busy: VecDeque<f64>,
    arrivals: VecDeque<f64>,
    consumed: VecDeque<f64>,
}

/// A recorded series of the fleet's object: which, about what, and the value as Prometheus writes it.
pub type Recorded = (Series, String, String);

impl Fleet {
    /// Six pods that have been ready for long.
    pub fn new(workload: Workload) -> Self {
        Self {
            workload,
            desired: 6,
            window: None,
            ready: vec![-3600; 6],
            startup: 20,
            cold: 1.0,
            lag: 0.0,
            requests: VecDeque::new(),
            seconds: VecDeque::new(),
            busy: VecDeque::new(),
            arrivals: VecDeque::new(),
            consumed: VecDeque::new(),
        }
    }

    /// Pods that are ready.
    pub fn ready(&self, now: i64) -> u32 {
        self.ready.iter().filter(|ready| **ready <= now).count() as u32
    }

    /// The autoscaler looks every 15 s, and leaves a Deployment without replicas alone.
    pub fn follow(&mut self, now: i64) {
        if let Some((min, max)) = self.window.filter(|_| now % 15 == 0 && self.desired > 0) {
            self.desired = self.desired.clamp(min, max);
        }
        self.ready.resize(self.desired as usize, now + self.startup);
    }

    /// What is recorded after a scrape interval under a load.
    pub fn measure(&mut self, load: Load, now: i64) -> Vec<Recorded> {
        let scaling = self.workload.scaling.as_ref().expect("scales");
        let (latency, lag) = (scaling.latency.is_some(), scaling.lag.is_some());
        let ready = f64::from(self.ready(now));
        let mut recorded = Vec::new();
        if latency {
            recorded.extend(self.served(load.requests, ready, now));
        }
        if lag {
            recorded.extend(self.worked_off(load.messages, ready));
        }
        recorded
    }

    fn served(&mut self, requests: f64, ready: f64, now: i64) -> Vec<Recorded> {
        let busy = (requests / ready.max(1.0) / SATURATED).min(0.98);
        let is_cold = self.ready.iter().any(|ready| (*ready..ready + 20).contains(&now));
        let latency = UNLOADED / (1.0 - busy) * if is_cold { self.cold } else { 1.0 };
        let rate = mean(&mut self.requests, requests, 4);
        let latest = self.requests.iter().rev().take(2).sum::<f64>() / 2.0_f64.min(self.requests.len() as f64);
        // Of the window's requests; of none it is not a number.
        let seconds = mean(&mut self.seconds, requests * latency, 4) / rate;
        let about = |(series, value): (Series, f64)| (series, self.workload.name.clone(), value.to_string());
        [
            (Series::RequestRate, rate),
            (Series::LatestRequestRate, latest),
            (Series::Latency, seconds),
            (Series::InFlight, requests * latency),
            (Series::Cpu, mean(&mut self.busy, busy, 4)),
        ]
        .map(about)
        .into()
    }

    fn worked_off(&mut self, messages: f64, ready: f64) -> Vec<Recorded> {
        let seconds = TICK as f64;
        let consumed = (ready.min(f64::from(PARTITIONS)) * CONSUMED).min(messages + self.lag / seconds);
        self.lag = (self.lag + (messages - consumed) * seconds).max(0.0);
        let about = |(series, value): (Series, f64)| (series, "events".to_owned(), value.to_string());
        [
            (Series::Lag, self.lag),
            (Series::Arrivals, mean(&mut self.arrivals, messages, 24)),
            (Series::Consumed, mean(&mut self.consumed, consumed, 24)),
            (Series::Partitions, f64::from(PARTITIONS)),
        ]
        .map(about)
        .into()
    }
}

/// The mean of the last `count` values, of which `value` is the newest.
fn mean(values: &mut VecDeque<f64>, value: f64, count: usize) -> f64 {
    values.push_back(value);
    if values.len() > count {
        values.pop_front();
    }
    values.iter().sum::<f64>() / values.len() as f64
}
