//! What is observed of servers at a tick.

use super::{overload::Outside, signal::Signal};

/// Replicas that use this share of their CPU are too few, not waiting for something else.
pub(super) const BUSY: f64 = 0.8;
/// From this share of failed requests on, latency and CPU say nothing of what a served request takes: a refusal is quick.
const FAILING: f64 = 0.05;

/// Replicas that fail requests and use this share of their CPU refuse them because they have too much to do.
const REFUSING: f64 = 0.5;
/// From this share of silent servers on, what the others do is not all there is. One of many that hangs is not to hold the
/// replicas for as long as it does.
pub(super) const SILENT: f64 = 0.1;

/// Replicas as they are.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Replicas {
    /// All that there are or are about to be: the scale's `spec.replicas`.
    pub current: u32,
    /// Those that get requests.
    pub ready: u32,
    /// Those that have been ready for the warm-up.
    pub warm: u32,
}

impl Replicas {
    /// Those that are ready, as if a cold one worked at half speed.
    pub(super) fn at_full_speed(self) -> f64 {
        f64::midpoint(f64::from(self.warm), f64::from(self.ready.max(self.warm)))
    }
}

/// What was measured.
#[derive(Debug, Clone, Copy, PartialEq)]
pub struct Signals {
    /// Requests per second over the window.
    pub rate: Signal,
    /// Requests per second over the last scrape interval; optional.
    pub latest: Signal,
    /// The latency quantile over the window, seconds.
    pub latency: Signal,
    /// Requests in flight; optional.
    pub in_flight: Signal,
    /// CPU of the ready replicas, mean, 0 to 1 of what each may use; optional.
    pub cpu: Signal,
    /// Requests per second that failed (5xx) over the window; optional.
    pub failed: Signal,
    /// What is observed without any answer of the servers.
    pub outside: Outside,
    /// Replicas.
    pub replicas: Replicas,
    /// Whether a new version is being rolled out: nothing is lowered then.
    pub rolling_out: bool,
}

impl Signals {
    /// Whether so many requests fail that what is measured is not that of requests that were served.
    pub(super) fn failing(&self) -> bool {
        let failed = self.failed.value().unwrap_or(0.0);
        failed > FAILING * self.rate.value().unwrap_or(0.0)
    }

    /// CPU of the ready replicas where it has a limit: only then is a share of it a measure of what is left.
    pub(super) fn limited_cpu(&self) -> Option<f64> {
        self.cpu.value().filter(|_| self.outside.limited)
    }

    /// Requests per second that one replica serves when it uses all of its CPU, by what those that are served take of it
    /// now. None unless the replicas are at their end: they refuse requests, or use all of their CPU.
    pub(super) fn carries_by_cpu(&self) -> Option<f64> {
        let (rate, cpu) = (self.rate.value()?, self.limited_cpu().filter(|cpu| *cpu > 0.0)?);
        // The CPU use is over the window, in which a crowd has only just begun.
        let cpu_now = cpu * (self.latest_rate().unwrap_or(rate) / rate.max(f64::MIN_POSITIVE)).max(1.0);
        // Servers that fail without much CPU lack something else.
        if cpu_now < if self.failing() { REFUSING } else { BUSY } {
            return None;
        }
        let served = rate - self.failed.value().unwrap_or(0.0);
        (served > 0.0).then(|| served / f64::from(self.replicas.ready.max(1)) / cpu)
    }

    /// Whether so many servers do not answer that what is measured is not that of all: nothing is learned or lowered then.
    pub(super) fn some_are_silent(&self) -> bool {
        self.outside.some_are_silent(self.replicas.ready)
    }

    /// Replicas that were ready once: those that are, and those that run and do not answer any more.
    pub(super) fn proven(&self) -> u32 {
        self.replicas.ready.saturating_add(self.outside.unready)
    }

    /// The rate of the last scrape interval. None when it is older than that of the window: a server with too much to do
    /// misses scrapes, just when its load rises.
    pub(super) fn latest_rate(&self) -> Option<f64> {
        self.latest.value().filter(|_| self.latest.age() < self.rate.age() + 1.0)
    }
}
