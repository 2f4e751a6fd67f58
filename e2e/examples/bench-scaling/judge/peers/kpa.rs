//! Knative's pod autoscaler.
//!
//! From `pkg/autoscaler/scaling/autoscaler.go` (`Scale`) and `config/core/configmaps/autoscaler.yaml` of
//! knative/serving: every 2 s, with the mean concurrency of the stable window (60 s) and of the panic window (10 % of it),
//! both from samples of every second:
//! ```text
//! desired     = ceil(concurrency / target), within [floor(ready / maxDown), ceil(maxUp * ready)]   target = 70 % of the limit
//! panic       when ceil(panicConcurrency / target) / ready >= 2, until that was false for a stable window
//! in panic    the highest of both windows since panic began; it never scales down
//! ```
//! Its queue proxy in each pod passes as many requests as the server has workers (`containerConcurrency`), holds back
//! the rest, and counts both. So the server answers its probes, and the count does not depend on the server. Its
//! activator, which is in the path while there is little spare capacity, passes waiting requests to any pod with a free
//! worker ([`Policy::fronted`]). The activator also buffers requests while there are no pods. This is not simulated,
//! since no run scales to zero.

use super::super::run::Policy;
use super::super::telemetry::{Pods, Telemetry};

/// Settings, with Knative's defaults.
#[derive(Debug, Clone, Copy, PartialEq)]
pub struct Settings {
    /// Target number of requests in one pod: limit times target utilisation.
    pub target: f64,
    /// Stable window, seconds.
    pub stable: u32,
    /// Panic window, per cent of the stable one.
    pub panic_percent: f64,
    /// Panic when the desired pods are at least this multiple of the ready pods.
    pub panic_threshold: f64,
    /// `max-scale-up-rate`: highest factor per decision.
    pub max_up: f64,
    /// `max-scale-down-rate`: highest divisor per decision.
    pub max_down: f64,
    /// `scale-down-delay`, seconds.
    pub delay: u32,
}

impl Settings {
    /// Knative's defaults for a pod with that many workers as its concurrency limit.
    #[must_use]
    pub fn new(workers: u32, utilisation: f64) -> Self {
        Self {
            target: f64::from(workers) * utilisation,
            stable: 60,
            panic_percent: 10.0,
            panic_threshold: 2.0,
            max_up: 1000.0,
            max_down: 2.0,
            delay: 0,
        }
    }
}

/// The autoscaler of one revision.
#[derive(Debug)]
pub struct Kpa {
    settings: Settings,
    /// Second of the last decision that fulfilled the panic condition.
    panicking: Option<u32>,
    /// Most pods since panic began.
    most: u32,
    /// (second, desired pods), descending in pods: the maximum over the scale-down delay is in front.
    delayed: std::collections::VecDeque<(u32, u32)>,
}

impl Kpa {
    /// An autoscaler without history.
    #[must_use]
    pub fn new(settings: Settings) -> Self {
        Self { settings, panicking: None, most: 0, delayed: std::collections::VecDeque::new() }
    }

    /// `Scale` on the mean concurrency of both windows.
    pub fn scale(&mut self, now: u32, ready: u32, stable: f64, panic: f64) -> u32 {
        let settings = &self.settings;
        let ready = f64::from(ready.max(1));
        let (most, least) = ((settings.max_up * ready).ceil(), (ready / settings.max_down).floor());
        let bounded = |concurrency: f64| (concurrency / settings.target).ceil().max(least).min(most) as u32;
        let (stable_pods, panic_pods) = (bounded(stable), bounded(panic));
        if (panic / settings.target).ceil() / ready >= settings.panic_threshold {
            self.panicking = Some(now);
        } else if self.panicking.is_some_and(|since| since + settings.stable < now) {
            (self.panicking, self.most) = (None, 0);
        }
        let mut desired = stable_pods;
        if self.panicking.is_some() {
            self.most = self.most.max(stable_pods).max(panic_pods);
            desired = self.most;
        }
        self.delay(now, desired)
    }

    fn delay(&mut self, now: u32, desired: u32) -> u32 {
        while self.delayed.back().is_some_and(|(_, before)| *before <= desired) {
            self.delayed.pop_back();
        }
        self.delayed.push_back((now, desired));
        while self.delayed.front().is_some_and(|(at, _)| at + self.settings.delay < now) {
            self.delayed.pop_front();
        }
        self.delayed.front().map_or(desired, |(_, most)| *most)
    }
}

impl Policy for Kpa {
    fn decide(&mut self, now: u32, telemetry: &Telemetry, pods: Pods) -> Option<u32> {
        if !now.is_multiple_of(2) || telemetry.scrape_lost() {
            return None;
        }
        let panic_window = (f64::from(self.settings.stable) * self.settings.panic_percent / 100.0).max(1.0) as u32;
        let stable = telemetry.concurrency(now, self.settings.stable);
        let panic = telemetry.concurrency(now, panic_window);
        Some(self.scale(now, pods.ready, stable, panic))
    }

    fn fronted(&self) -> bool {
        true
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn kpa() -> Kpa {
        Kpa::new(Settings::new(10, 0.7)) // 7 requests per pod
    }

    #[test]
    fn the_stable_window_is_divided_by_the_target_and_rounded_up() {
        assert_eq!(kpa().scale(0, 3, 21.0, 21.0), 3);
        assert_eq!(kpa().scale(0, 3, 21.1, 21.1), 4);
    }

    #[test]
    fn scale_down_is_limited_to_half() {
        assert_eq!(kpa().scale(0, 9, 0.0, 0.0), 4);
        assert_eq!(kpa().scale(0, 1, 0.0, 0.0), 0);
    }

    #[test]
    fn the_example_in_the_source_adds_a_pod_despite_a_low_scale_up_rate() {
        // MSUR=1.1, OCC=3, RPC=2, TV=1 => desired 3, MSU=ceil(2.2)=3.
        let mut kpa = Kpa::new(Settings { target: 1.0, max_up: 1.1, ..Settings::new(1, 1.0) });
        assert_eq!(kpa.scale(0, 2, 3.0, 3.0), 3);
    }

    #[test]
    fn panic_begins_at_twice_the_pods_keeps_the_maximum_and_ends_after_a_stable_window() {
        let mut kpa = kpa();
        assert_eq!(kpa.scale(0, 5, 35.0, 62.0), 5, "9 pods of 5 are below twice");
        assert_eq!(kpa.scale(2, 5, 40.0, 70.0), 10, "10 of 5 are twice");
        assert_eq!(kpa.scale(4, 5, 40.0, 56.0), 10, "no decrease in panic");
        assert_eq!(kpa.scale(62, 10, 56.0, 56.0), 10, "60 s later it is not over yet");
        assert_eq!(kpa.scale(64, 10, 56.0, 56.0), 8, "after a stable window it is");
    }

    #[test]
    fn the_scale_down_delay_keeps_the_maximum_of_its_window() {
        let mut kpa = Kpa::new(Settings { delay: 30, ..Settings::new(10, 0.7) });
        assert_eq!(kpa.scale(0, 6, 42.0, 42.0), 6);
        assert_eq!(kpa.scale(30, 6, 28.0, 28.0), 6);
        assert_eq!(kpa.scale(32, 6, 28.0, 28.0), 4);
    }
}
