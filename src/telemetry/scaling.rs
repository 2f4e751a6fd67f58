//! Metrics of scaling decisions and of metric sources. Metrics of decisions have one series per workload that scales on latency
//! or lag.

use prometheus::{GaugeVec, Histogram, HistogramVec, IntCounterVec, IntGaugeVec, Registry};

use super::register::{histogram, opts, register};
use crate::scaling::{Decision, Limit, decision::Inputs};

/// Buckets of the duration of a read, seconds: from a nearby source to the longest time-out.
const READ_BUCKETS: [f64; 8] = [0.005, 0.025, 0.1, 0.25, 1.0, 4.0, 10.0, 30.0];
/// Buckets of the duration of a tick, seconds: from one workload to tens of thousands.
const TICK_BUCKETS: [f64; 7] = [0.000_1, 0.001, 0.005, 0.025, 0.1, 0.5, 5.0];
/// Buckets of the age of a sample, seconds. Samples are recorded every 5 s.
const AGE_BUCKETS: [f64; 8] = [0.25, 0.5, 1.0, 2.0, 3.0, 5.0, 10.0, 20.0];
/// Labels that identify a workload.
const WORKLOAD: [&str; 3] = ["namespace", "recommender", "workload"];

/// The metrics of scaling.
#[derive(Clone, Debug)]
pub struct ScalingMetrics {
    decisions: IntCounterVec,
    replicas: IntGaugeVec,
    held: IntGaugeVec,
    at_maximum: IntGaugeVec,
    ineffective: IntGaugeVec,
    capacity: GaugeVec,
    source_up: IntGaugeVec,
    read_seconds: HistogramVec,
    tick_seconds: Histogram,
    sample_age: Histogram,
}

impl ScalingMetrics {
    pub(super) fn new(registry: &Registry) -> Self {
        let per_workload = |name, help| register(registry, IntGaugeVec::new(opts(name, help), &WORKLOAD));
        let seconds = |name, help, buckets: &[f64]| histogram(name, help).buckets(buckets.into());
        Self {
            decisions: register(
                registry,
                IntCounterVec::new(
                    opts("scaling_decisions_total", "Decisions on the replicas of a workload that has a Deployment."),
                    &WORKLOAD,
                ),
            ),
            replicas: per_workload("scaling_replicas", "Replicas decided on for latency or lag."),
            held: per_workload(
                "scaling_held",
                "1 while the number of replicas is held because signals are missing or old, else 0.",
            ),
            at_maximum: per_workload(
                "scaling_at_maximum",
                "1 while the load or the lag needs more replicas than the maximum, else 0.",
            ),
            ineffective: per_workload(
                "scaling_ineffective",
                "1 while more replicas do not help the latency or the lag, else 0.",
            ),
            capacity: register(
                registry,
                GaugeVec::new(
                    opts("scaling_replica_capacity", "Estimated capacity of one replica: requests/s, or messages/s."),
                    &WORKLOAD,
                ),
            ),
            source_up: register(
                registry,
                IntGaugeVec::new(
                    opts("metric_source_up", "1 when the last read of the metric source was answered in full, else 0."),
                    &["source"],
                ),
            ),
            read_seconds: register(
                registry,
                HistogramVec::new(
                    seconds("metric_source_read_duration_seconds", "How long reads of a source took.", &READ_BUCKETS),
                    &["source"],
                ),
            ),
            tick_seconds: register(
                registry,
                Histogram::with_opts(seconds(
                    "scaling_tick_duration_seconds",
                    "How long deciding on all workloads of a source took, reading left out.",
                    &TICK_BUCKETS,
                )),
            ),
            sample_age: register(
                registry,
                Histogram::with_opts(seconds(
                    "scaling_sample_age_seconds",
                    "How old the newest sample of a workload was when its replicas were decided on.",
                    &AGE_BUCKETS,
                )),
            ),
        }
    }

    /// A reconcile observed a workload. `has_deployment`: whether decisions are due, so that their counter exists before the
    /// first one. Otherwise ticks that never decide and workloads without decisions would expose the same.
    pub fn observed(&self, workload: [&str; 3], has_deployment: bool) {
        if has_deployment {
            self.decisions.with_label_values(&workload);
        } else {
            // An error means that there was no such series.
            let _ = self.decisions.remove_label_values(&workload);
        }
    }

    /// A decision was made for a workload. `age`: age of its sample, seconds.
    pub fn decided(&self, workload: [&str; 3], decision: &Decision, age: Option<f64>) {
        self.decisions.with_label_values(&workload).inc();
        age.into_iter().for_each(|age| self.sample_age.observe(age));
        self.replicas.with_label_values(&workload).set(i64::from(decision.replicas));
        let held = matches!(decision.limit, Limit::NoData(_) | Limit::Outage);
        self.held.with_label_values(&workload).set(i64::from(held));
        let at_maximum = matches!(decision.limit, Limit::Maximum | Limit::LagAboveMaximum);
        self.at_maximum.with_label_values(&workload).set(i64::from(at_maximum));
        let ineffective = decision.limit.is_limiting_reason() && !at_maximum;
        self.ineffective.with_label_values(&workload).set(i64::from(ineffective));
        let (Inputs::Serving { capacity, .. } | Inputs::Lag { capacity, .. }) = decision.inputs;
        self.capacity.with_label_values(&workload).set(capacity);
    }

    /// The workload was deleted, or does not scale on latency or lag any more: removes its series.
    pub fn remove(&self, workload: [&str; 3]) {
        // An error means that there was no such series.
        let _ = self.decisions.remove_label_values(&workload);
        let _ = self.replicas.remove_label_values(&workload);
        let _ = self.held.remove_label_values(&workload);
        let _ = self.at_maximum.remove_label_values(&workload);
        let _ = self.ineffective.remove_label_values(&workload);
        let _ = self.capacity.remove_label_values(&workload);
    }

    /// A source was read in so many seconds. `complete`: whether every query was answered completely.
    pub fn read(&self, source: &str, seconds: f64, complete: bool) {
        self.source_up.with_label_values(&[source]).set(i64::from(complete));
        self.read_seconds.with_label_values(&[source]).observe(seconds);
    }

    /// The decisions for all workloads of a source were made in so many seconds.
    pub fn ticked(&self, seconds: f64) {
        self.tick_seconds.observe(seconds);
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn gauges_show_that_a_workload_is_held_at_its_maximum_or_not_helped() {
        let workload = ["shop", "packages", "events"];
        for (limit, held, at_maximum, ineffective) in [
            (Limit::Load, 0, 0, 0),
            (Limit::NoData("the lag"), 1, 0, 0),
            (Limit::Outage, 1, 0, 0),
            (Limit::Maximum, 0, 1, 0),
            (Limit::LagAboveMaximum, 0, 1, 0),
            (Limit::Partitions(3), 0, 0, 1),
            (Limit::Impossible(0.1), 0, 0, 1),
            (Limit::DoesNotHelp, 0, 0, 1),
            (Limit::NotConsumed { few: false }, 0, 0, 1),
        ] {
            let metrics = ScalingMetrics::new(&Registry::new());
            let inputs = Inputs::Lag { lag: None, arrivals: 0.0, capacity: 1.0, catch_up: 60.0 };
            let others = Vec::new();
            let decision = Decision { replicas: 1, current: 1, unclamped: 1, limit, inputs, others };
            metrics.decided(workload, &decision, None);
            let gauges = [&metrics.held, &metrics.at_maximum, &metrics.ineffective];
            let values = gauges.map(|gauge| gauge.with_label_values(&workload).get());
            assert_eq!(values, [held, at_maximum, ineffective], "{:?}", decision.limit);
        }
    }
}
