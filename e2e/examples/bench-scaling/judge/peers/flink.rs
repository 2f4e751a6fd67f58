//! The autoscaler of the Flink Kubernetes operator, for one source vertex.
//!
//! From `flink-autoscaler/.../AutoScalerUtils.java` (`getTargetProcessingCapacity`), `JobVertexScaler.java` and the
//! documentation ("Autoscaler", options) of apache/flink-kubernetes-operator:
//! ```text
//! capacity(u) = lag / catchUp + input * restart / catchUp + input / u
//! desired     = ceil(parallelism * capacity(0.7) / trueRate)       trueRate: what the parallelism processes when busy
//! ```
//! rounded up to a divisor of the partitions. It acts when the true rate is below capacity(1.0) without the restart, or
//! above capacity(0.4), at most once per stabilisation interval (5 min). Metrics are means over 15 min; the lag is the
//! current value. It scales down by at most 0.6 of the parallelism and only after 1 h. The catch-up time is 30 min, the
//! restart time 5 min unless measured.

use std::collections::VecDeque;

use crate::judge::log::{LagPolicy, Observation};

/// Settings, with Flink's defaults.
#[derive(Debug, Clone, Copy, PartialEq)]
pub struct Settings {
    /// `utilization.target`.
    pub utilisation: f64,
    /// `utilization.max`: it scales up above this.
    pub most: f64,
    /// `utilization.min`: it scales down below this.
    pub least: f64,
    /// `catch-up.duration`, seconds.
    pub catch_up: f64,
    /// `restart.time`, seconds.
    pub restart: f64,
    /// `metrics.window`, seconds.
    pub window: u32,
    /// `stabilization.interval`, seconds.
    pub stabilization: u32,
    /// `scale-down.interval`, seconds.
    pub down_interval: u32,
}

impl Default for Settings {
    fn default() -> Self {
        Self {
            utilisation: 0.7,
            most: 1.0,
            least: 0.4,
            catch_up: 1800.0,
            restart: 300.0,
            window: 900,
            stabilization: 300,
            down_interval: 3600,
        }
    }
}

/// The autoscaler of one job.
#[derive(Debug)]
pub struct Flink {
    settings: Settings,
    input: VecDeque<f64>,
    /// Second of the last change.
    scaled: u32,
    /// Since when scaling down has been due.
    down_since: Option<u32>,
}

impl Flink {
    /// An autoscaler without history.
    #[must_use]
    pub fn new(settings: Settings) -> Self {
        Self { settings, input: VecDeque::new(), scaled: 0, down_since: None }
    }

    /// `getTargetProcessingCapacity`: the required capacity, messages per second.
    #[must_use]
    pub fn capacity(&self, lag: f64, input: f64, utilisation: f64, restart: bool) -> f64 {
        let settings = &self.settings;
        let restarting = if restart { input * settings.restart / settings.catch_up } else { 0.0 };
        lag / settings.catch_up + restarting + input / utilisation
    }

    /// The parallelism for a true rate per replica, rounded up to the next divisor of the partitions.
    #[must_use]
    pub fn parallelism(&self, current: u32, lag: f64, input: f64, each: f64, partitions: u32) -> u32 {
        let rate = each * f64::from(current);
        let factor = (self.capacity(lag, input, self.settings.utilisation, true) / rate).max(1.0 - 0.6);
        let desired = ((f64::from(current) * factor - 1e-9).ceil() as u32).clamp(1, partitions);
        (desired..=partitions).find(|parallelism| partitions.is_multiple_of(*parallelism)).unwrap_or(desired)
    }
}

impl LagPolicy for Flink {
    fn decide(&mut self, now: u32, observed: &Observation) -> Option<u32> {
        self.input.push_back(observed.arrivals);
        if self.input.len() > self.settings.window as usize {
            self.input.pop_front();
        }
        if observed.current == 0 || now < self.scaled + self.settings.stabilization || !now.is_multiple_of(30) {
            return None;
        }
        let input = self.input.iter().sum::<f64>() / self.input.len() as f64;
        let rate = observed.each * f64::from(observed.current);
        let up = rate < self.capacity(observed.lag, input, self.settings.most, false);
        let down = rate > self.capacity(observed.lag, input, self.settings.least, true);
        let desired = self.parallelism(observed.current, observed.lag, input, observed.each, observed.partitions);
        if up && desired > observed.current {
            self.down_since = None;
        } else if down && desired < observed.current {
            let since = *self.down_since.get_or_insert(now);
            if now - since < self.settings.down_interval {
                return None;
            }
        } else {
            self.down_since = None;
            return None;
        }
        (self.scaled, self.down_since) = (now, None);
        Some(desired)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_target_is_lag_restart_and_input_as_in_the_source() {
        // 18000 / 1800 + 70 * 300 / 1800 + 70 / 0.7 = 10 + 11.67 + 100.
        let capacity = Flink::new(Settings::default()).capacity(18_000.0, 70.0, 0.7, true);
        assert!((capacity - 121.666_666).abs() < 1e-3, "{capacity}");
    }

    #[test]
    fn parallelism_follows_the_true_rate_and_divides_the_partitions() {
        let flink = Flink::new(Settings::default());
        // 2 replicas of 20/s: factor 121.67 / 40, 6.08 replicas, so 7, aligned to 12.
        assert_eq!(flink.parallelism(2, 18_000.0, 70.0, 20.0, 12), 12);
        // 100 + 11.67 of 20/s: 5.58, so 6.
        assert_eq!(flink.parallelism(2, 0.0, 70.0, 20.0, 12), 6);
        // Down by at most 0.6.
        assert_eq!(flink.parallelism(10, 0.0, 1.0, 20.0, 12), 4);
    }

    #[test]
    fn nothing_changes_within_the_utilisation_band() {
        let observed =
            Observation { current: 5, lag: 0.0, arrivals: 70.0, each: 20.0, partitions: 12, ..Observation::default() };
        assert_eq!(Flink::new(Settings::default()).decide(600, &observed), None);
        let busy = Observation { arrivals: 110.0, ..observed };
        assert_eq!(Flink::new(Settings::default()).decide(600, &busy), Some(12));
    }
}
