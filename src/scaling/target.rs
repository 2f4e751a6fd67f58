//! The latency target of a workload: what is configured, and what follows from it for the forecast.

use super::forecast::Tick;
use super::policy::{Common, Headroom};

/// The latency target and how to reach it.
#[derive(Debug, Clone, PartialEq)]
pub struct Policy {
    /// Bounds, window and behaviour; latencies have the same window as rates.
    pub common: Common,
    /// The target of the latency quantile, seconds.
    pub target: f64,
    /// Capacity of one replica at the target as configured, requests per second. Learning starts from it.
    pub requests_per_replica: Option<f64>,
    /// How much spare capacity to keep.
    pub headroom: Headroom,
    /// Time from ordering a replica until it is ready, seconds.
    pub startup: f64,
    /// Time from ready to full speed, seconds.
    pub warmup: f64,
    /// Mean delay between a scrape and the order of a replica, without the measured age of the sample, seconds. It covers
    /// the evaluation of the recording rules, the wait for the next tick, and the order itself.
    pub delay: f64,
}

impl Policy {
    /// The inputs of the forecast at `now`, `interval` seconds after the previous tick.
    ///
    /// `load` and `latest` are requests per second, over the window and over the last scrape interval. `age` is the age of
    /// the sample in seconds, `capacity` that of one replica in requests per second.
    pub(super) fn tick(
        &self,
        (now, interval): (f64, f64),
        (load, latest): (f64, f64),
        age: f64,
        capacity: f64,
    ) -> Tick {
        Tick {
            now,
            interval,
            load,
            latest,
            horizon: self.startup + self.warmup + self.common.window / 2.0 + age + self.delay,
            capacity: capacity * self.headroom.utilisation(),
            price: self.headroom.price(),
            hold: self.headroom.hold(),
            least: self.common.bounds.min,
        }
    }
}
