//! The pods of one workload, their load, and the metrics that would be recorded.

use std::collections::VecDeque;

use crate::{model::Workload, series::Series};

/// Seconds between two scrapes, between two evaluations of rules, and between two ticks.
pub const TICK: i64 = 5;
/// Most requests that one replica answers per second.
const SATURATED: f64 = 100.0;
/// Latency of a request without load, seconds. With [`SATURATED`], 60 requests per second take 75 ms each.
const UNLOADED: f64 = 0.03;
/// Messages that one replica consumes per second.
const CONSUMED: f64 = 20.0;
/// Partitions of the topic.
pub const PARTITIONS: u32 = 24;

/// The actual load, per second.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct Load {
    pub requests: f64,
    pub messages: f64,
}

/// The load for six replicas of each fleet.
pub const HIGH: Load = Load { requests: 330.0, messages: 100.0 };
/// The load for twelve replicas.
pub const DOUBLE: Load = Load { requests: 660.0, messages: 200.0 };
/// The load for one replica, with enough requests to measure a latency.
pub const LITTLE: Load = Load { requests: 30.0, messages: 5.0 };
/// No load.
pub const NOTHING: Load = Load { requests: 0.0, messages: 0.0 };

/// The pods of one workload.
#[derive(Debug)]
pub struct Fleet {
    pub workload: Workload,
    /// Desired replicas of the Deployment.
    pub desired: u32,
    /// Minimum and maximum replicas of the autoscaler.
    pub window: Option<(u32, u32)>,
    /// When each pod becomes ready.
    pub ready: Vec<i64>,
    /// Seconds until a pod is ready.
    pub startup: i64,
    /// Factor on the latency in the 20 s after any pod becomes ready.
    pub cold: f64,
    lag: f64,
    requests: VecDeque<f64>,
    seconds: VecDeque<f64>,
    busy: VecDeque<f64>,
    arrivals: VecDeque<f64>,
    consumed: VecDeque<f64>,
}

/// A recorded sample of the fleet's object: the series, the value of its label [`Series::about`], and the sample's value as
/// Prometheus writes it.
pub type Recorded = (Series, String, String);

impl Fleet {
    /// Six pods that have been ready for an hour.
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

    /// Number of ready pods.
    pub fn ready(&self, now: i64) -> u32 {
        self.ready.iter().filter(|ready| **ready <= now).count() as u32
    }

    /// The autoscaler reconciles every 15 s. It does not scale a Deployment without replicas.
    pub fn follow(&mut self, now: i64) {
        if let Some((min, max)) = self.window.filter(|_| now % 15 == 0 && self.desired > 0) {
            self.desired = self.desired.clamp(min, max);
        }
        self.ready.resize(self.desired as usize, now + self.startup);
    }

    /// What is recorded after one scrape interval under a load.
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

    /// The series of a latency target.
    fn served(&mut self, requests: f64, ready: f64, now: i64) -> Vec<Recorded> {
        let busy = (requests / ready.max(1.0) / SATURATED).min(0.98);
        let is_cold = self.ready.iter().any(|ready| (*ready..ready + 20).contains(&now));
        let latency = UNLOADED / (1.0 - busy) * if is_cold { self.cold } else { 1.0 };
        let rate = mean(&mut self.requests, requests, 4);
        let latest = self.requests.iter().rev().take(2).sum::<f64>() / 2.0_f64.min(self.requests.len() as f64);
        // The latency of the window's requests; NaN when there are none.
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

    /// The series of a lag.
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
