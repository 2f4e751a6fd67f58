//! KEDA's Kafka scaler and the HPA it feeds.
//!
//! From `pkg/scalers/kafka_scaler.go` of kedacore/keda and its documentation ("Apache Kafka", 2.21): the metric is the
//! sum over partitions of latest minus committed offset, at most partitions × lagThreshold (unless idle consumers are
//! allowed); lagThreshold is 10. It is an external metric of type AverageValue, so the HPA computes
//! `ceil(metric / lagThreshold)` regardless of the current replicas, with its tolerance, policies and stabilisation
//! ([`super::hpa`]). KEDA itself decides between 0 and 1 replicas every 30 s (on: lag above activationLagThreshold 0;
//! off after 300 s).

use super::hpa::{Hpa, Metric, SYNC, Settings as HpaSettings};
use crate::judge::log::{LagPolicy, Observation};

/// The scaler of one consumer group.
#[derive(Debug)]
pub struct Keda {
    threshold: f64,
    hpa: Hpa,
    phase: u32,
}

impl Keda {
    /// The default `lagThreshold` of KEDA, messages per replica.
    pub const LAG_THRESHOLD: f64 = 10.0;

    /// A scaler with that `lagThreshold`, in messages per replica.
    #[must_use]
    pub fn new(threshold: f64, phase: u32) -> Self {
        let hpa = Hpa::new(HpaSettings::new(Metric::Rate { target: threshold, window: 0 }), phase);
        Self { threshold, hpa, phase }
    }

    /// The metric for the HPA, messages.
    #[must_use]
    pub fn metric(&self, lag: f64, partitions: u32) -> f64 {
        lag.min(f64::from(partitions) * self.threshold)
    }
}

impl LagPolicy for Keda {
    fn decide(&mut self, now: u32, observed: &Observation) -> Option<u32> {
        if now % SYNC != self.phase {
            return None;
        }
        let desired =
            self.hpa.external_average(observed.current, self.metric(observed.lag, observed.partitions), self.threshold);
        Some(self.hpa.behave(now, observed.current, desired).max(1))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn lag_over_threshold_and_at_most_a_replica_per_partition() {
        let keda = Keda::new(10.0, 0);
        assert_eq!(keda.metric(35.0, 12), 35.0);
        assert_eq!(keda.hpa.external_average(1, keda.metric(35.0, 12), 10.0), 4);
        assert_eq!(keda.hpa.external_average(1, keda.metric(1e6, 12), 10.0), 12);
    }

    #[test]
    fn its_hpa_doubles_or_adds_four() {
        let observed = Observation { current: 1, lag: 1e6, partitions: 12, ..Observation::default() };
        assert_eq!(Keda::new(10.0, 0).decide(0, &observed), Some(5));
    }
}
