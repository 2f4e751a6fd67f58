//! The HorizontalPodAutoscaler v2, on CPU, on a latency and on requests per second and pod.
//!
//! From the Kubernetes documentation ("Horizontal Pod Autoscaling", Algorithm details) and
//! `pkg/controller/podautoscaler/{replica_calculator,horizontal}.go`: every 15 s
//! ```text
//! desired = ceil(pods * metric / target), unchanged when |metric / target - 1| <= 0.1
//! ```
//! Pods that are not ready count as 0 when the others require more pods, and not at all when they require fewer. Pods
//! without a metric count as 0 when the others require more pods, and as the target when they require fewer. If that
//! reverses the direction or falls within the tolerance, nothing changes. Without the metric of any pod there is no
//! decision (`<unknown>`). Scale-up is limited to twice the pods or 4 more per 15 s, scale-down to the highest
//! recommendation of the last 300 s.
//!
//! CPU comes from the kubelets, whether or not the servers answer. The CPU of a pod that is not ready is ignored in the
//! first five minutes after its start ([`Pods::counted`]); later it counts, because the pod was ready once. Latency and
//! rates come from the pods through Prometheus, without the pods that do not answer.

use std::collections::VecDeque;

use super::super::run::Policy;
use super::super::telemetry::{Pods, SCRAPE, Telemetry};

/// The metric of an HPA.
#[derive(Debug, Clone, Copy, PartialEq)]
pub enum Metric {
    /// CPU of the pods relative to their requests (here: to all of their workers), through metrics-server (15 s).
    Cpu {
        /// Target utilisation, 0 to 1.
        target: f64,
    },
    /// p95 as an external metric of type Value, from a PromQL query.
    Latency {
        /// Target, seconds.
        target: f64,
        /// Window of the rate, seconds.
        window: u32,
    },
    /// Requests per second and pod, a Pods metric of type AverageValue.
    Rate {
        /// Requests per second and pod.
        target: f64,
        /// Window of the rate, seconds.
        window: u32,
    },
}

/// A metric over pods.
#[derive(Debug, Clone, Copy, PartialEq)]
pub struct PerPod {
    /// Sum over the pods that count.
    pub sum: f64,
    /// Number of those pods.
    pub pods: u32,
    /// Pods that are not ready.
    pub unready: u32,
    /// Pods without a metric.
    pub missing: u32,
}

/// Settings, with the defaults of Kubernetes.
#[derive(Debug, Clone, Copy, PartialEq)]
pub struct Settings {
    /// The metric.
    pub metric: Metric,
    /// `tolerance`.
    pub tolerance: f64,
    /// `behavior.scaleDown.stabilizationWindowSeconds`.
    pub stabilization: u32,
}

impl Settings {
    /// The defaults for a metric.
    #[must_use]
    pub fn new(metric: Metric) -> Self {
        Self { metric, tolerance: 0.1, stabilization: 300 }
    }
}

/// Seconds between two decisions (`--horizontal-pod-autoscaler-sync-period`), and between two samples of
/// metrics-server.
pub const SYNC: u32 = 15;

/// An HPA.
#[derive(Debug)]
pub struct Hpa {
    settings: Settings,
    phase: u32,
    /// (second, desired replicas), descending in replicas: the maximum over the stabilization window is in front.
    desired: VecDeque<(u32, u32)>,
}

impl Hpa {
    /// An HPA whose periods begin at `phase` seconds.
    #[must_use]
    pub fn new(settings: Settings, phase: u32) -> Self {
        Self { settings, phase, desired: VecDeque::new() }
    }

    /// `calcPlainMetricReplicas` and `GetResourceReplicas`. None when no pod that counts has a metric.
    #[must_use]
    pub fn per_pod(&self, current: u32, metric: &PerPod, target: f64) -> Option<u32> {
        if metric.pods == 0 {
            return None;
        }
        let ratio = metric.sum / f64::from(metric.pods) / target;
        let unready = if ratio > 1.0 { metric.unready } else { 0 };
        if unready == 0 && metric.missing == 0 {
            let desired = ceil(ratio * f64::from(metric.pods));
            return Some(if self.tolerated(ratio) { current } else { desired });
        }
        let assumed = if ratio < 1.0 { target * f64::from(metric.missing) } else { 0.0 };
        let all = f64::from(metric.pods + unready + metric.missing);
        let corrected = (metric.sum + assumed) / all / target;
        let desired = ceil(corrected * all);
        let turned = (corrected > 1.0) != (ratio > 1.0) || (corrected > 1.0) != (desired > current);
        Some(if self.tolerated(corrected) || turned { current } else { desired })
    }

    /// `GetExternalMetricReplicas` for a Value: the ratio times the ready pods.
    #[must_use]
    pub fn external_value(&self, current: u32, ready: u32, value: f64, target: f64) -> u32 {
        let ratio = value / target;
        if self.tolerated(ratio) { current } else { ceil(ratio * f64::from(ready)) }
    }

    /// `GetExternalPerPodMetricReplicas` for an AverageValue: the sum divided by the target, regardless of the pods.
    #[must_use]
    pub fn external_average(&self, current: u32, sum: f64, target: f64) -> u32 {
        let ratio = sum / (target * f64::from(current.max(1)));
        if self.tolerated(ratio) { current } else { ceil(sum / target) }
    }

    fn tolerated(&self, ratio: f64) -> bool {
        (ratio - 1.0).abs() <= self.settings.tolerance
    }

    /// Applies the stabilisation window and the default scaling policies to the desired replicas.
    pub fn behave(&mut self, now: u32, current: u32, desired: u32) -> u32 {
        while self.desired.back().is_some_and(|(_, before)| *before <= desired) {
            self.desired.pop_back();
        }
        self.desired.push_back((now, desired));
        while self.desired.front().is_some_and(|(at, _)| at + self.settings.stabilization < now) {
            self.desired.pop_front();
        }
        let stabilized = self.desired.front().map_or(desired, |(_, most)| *most).min(current.max(desired));
        stabilized.min((current * 2).max(current + 4))
    }

    fn desired(&self, now: u32, telemetry: &Telemetry, pods: Pods) -> Option<u32> {
        let at = now.saturating_sub(SCRAPE);
        match self.settings.metric {
            Metric::Cpu { target } => {
                let counted = pods.counted;
                let sum = telemetry.noisy(counted.cpu);
                let metric = PerPod { sum, pods: counted.pods, unready: pods.replicas - counted.pods, missing: 0 };
                self.per_pod(pods.replicas, &metric, target)
            }
            Metric::Latency { target, window } => {
                let latency = telemetry.latency(at, window, 0.95)?;
                Some(self.external_value(pods.replicas, pods.ready, latency, target))
            }
            Metric::Rate { target, window } => {
                let sum = telemetry.rate(at, window);
                let answering = telemetry.answering(at.saturating_sub(window)).min(telemetry.answering(at));
                let answering = answering.min(pods.ready + pods.unready);
                let missing = telemetry.silent(at).min(pods.replicas - answering);
                let unready = pods.replicas - answering - missing;
                self.per_pod(pods.replicas, &PerPod { sum, pods: answering, unready, missing }, target)
            }
        }
    }
}

fn ceil(replicas: f64) -> u32 {
    // As in the source: tolerates the floating-point error of the product, so that an integer is not rounded up.
    (replicas - 1e-9).ceil().max(0.0) as u32
}

impl Policy for Hpa {
    fn decide(&mut self, now: u32, telemetry: &Telemetry, pods: Pods) -> Option<u32> {
        if now % SYNC != self.phase || telemetry.scrape_lost() {
            return None;
        }
        let desired = self.desired(now, telemetry, pods)?;
        Some(self.behave(now, pods.replicas, desired))
    }

    fn reads_latency(&self) -> bool {
        matches!(self.settings.metric, Metric::Latency { .. })
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn hpa() -> Hpa {
        Hpa::new(Settings::new(Metric::Cpu { target: 0.5 }), 0)
    }

    fn of(pods: u32, each: f64) -> PerPod {
        PerPod { sum: f64::from(pods) * each, pods, unready: 0, missing: 0 }
    }

    #[test]
    fn the_examples_of_the_documentation_double_and_halve() {
        // 200m used of a target of 100m doubles, 50m halves.
        assert_eq!(hpa().per_pod(4, &of(4, 0.2), 0.1), Some(8));
        assert_eq!(hpa().per_pod(4, &of(4, 0.05), 0.1), Some(2));
    }

    #[test]
    fn within_the_tolerance_nothing_changes() {
        assert_eq!(hpa().per_pod(10, &of(10, 0.549), 0.5), Some(10));
        assert_eq!(hpa().per_pod(10, &of(10, 0.56), 0.5), Some(12));
        assert_eq!(hpa().external_value(10, 10, 0.109, 0.1), 10);
    }

    #[test]
    fn unready_pods_count_as_zero_on_scale_up_and_not_at_all_on_scale_down() {
        // (3 * 0.9) / 5 / 0.5 = 1.08: tolerated, although the ready ones alone are at 1.8.
        assert_eq!(hpa().per_pod(5, &PerPod { unready: 2, ..of(3, 0.9) }, 0.5), Some(5));
        // (3 * 1.0) / 4 / 0.5 = 1.5, times 4.
        assert_eq!(hpa().per_pod(4, &PerPod { unready: 1, ..of(3, 1.0) }, 0.5), Some(6));
        assert_eq!(hpa().per_pod(4, &PerPod { unready: 1, ..of(3, 0.2) }, 0.5), Some(2));
    }

    #[test]
    fn pods_without_a_metric_count_as_zero_on_scale_up_and_as_the_target_on_scale_down() {
        assert_eq!(hpa().per_pod(4, &PerPod { missing: 1, ..of(3, 1.0) }, 0.5), Some(6));
        // (3 * 0.2 + 0.5) / 4 / 0.5 = 0.55, times 4.
        assert_eq!(hpa().per_pod(4, &PerPod { missing: 1, ..of(3, 0.2) }, 0.5), Some(3));
    }

    #[test]
    fn without_the_metric_of_any_pod_nothing_is_decided() {
        assert_eq!(hpa().per_pod(2, &PerPod { unready: 2, ..of(0, 0.0) }, 0.5), None);
    }

    #[test]
    fn an_external_value_multiplies_ready_pods_and_an_average_divides() {
        assert_eq!(hpa().external_value(4, 4, 0.4, 0.1), 16);
        assert_eq!(hpa().external_average(4, 1000.0, 100.0), 10);
    }

    #[test]
    fn scale_up_is_limited_to_twice_or_four_pods_and_scale_down_waits_five_minutes() {
        let mut hpa = hpa();
        assert_eq!(hpa.behave(0, 2, 50), 6);
        assert_eq!(hpa.behave(15, 6, 50), 12);
        assert_eq!(hpa.behave(30, 12, 10), 12);
        assert_eq!(hpa.behave(316, 12, 10), 10);
    }
}
