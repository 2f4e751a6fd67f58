//! The measured signals of servers at a tick.

use super::{overload::Outside, signal::Signal};

/// CPU use, 0 to 1, from which on replicas are too few. Below it they wait for something else.
pub(super) const BUSY: f64 = 0.8;
/// Share of failed requests above which latency and CPU are not those of served requests: a refusal is quick.
const FAILING: f64 = 0.05;
/// CPU use, 0 to 1, from which on replicas that fail requests are overloaded and refuse them for that reason.
const REFUSING: f64 = 0.5;

/// The replicas at a tick.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Replicas {
    /// Current replicas, including those that are still starting: `spec.replicas` of the scale.
    pub current: u32,
    /// Ready replicas, which get requests.
    pub ready: u32,
    /// Replicas that have been ready for at least the warm-up.
    pub warm: u32,
}

impl Replicas {
    /// Ready replicas in units of warm ones: one that warms up counts as half.
    pub(super) fn at_full_speed(self) -> f64 {
        f64::midpoint(f64::from(self.warm), f64::from(self.ready.max(self.warm)))
    }
}

/// The measured signals.
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
    /// Mean CPU use of the ready replicas, 0 to 1 of what each may use; optional.
    pub cpu: Signal,
    /// Requests per second that failed (5xx) over the window; optional.
    pub failed: Signal,
    /// What is observed from outside, without an answer of the servers.
    pub outside: Outside,
    /// The replicas.
    pub replicas: Replicas,
    /// Whether a new version is being rolled out. The replicas are not lowered then.
    pub rolling_out: bool,
}

impl Signals {
    /// Whether so many requests fail that the signals are not those of served requests.
    pub(super) fn failing(&self) -> bool {
        let failed = self.failed.value().unwrap_or(0.0);
        failed > FAILING * self.rate.value().unwrap_or(0.0)
    }

    /// Mean CPU use of the ready replicas, 0 to 1. None without a CPU limit: only with one does the share show how much is
    /// left.
    pub(super) fn limited_cpu(&self) -> Option<f64> {
        self.cpu.value().filter(|_| self.outside.limited)
    }

    /// CPU use of the ready replicas in the last interval, 0 to 1 or more: the measured one is a mean over the window, in which a
    /// crowd may have only just begun. `rise`: how many times the mean over the window the load of the last interval was.
    pub(super) fn cpu_now(&self, rise: f64) -> Option<f64> {
        let rate = self.rate.value()?;
        let latest = self.latest_rate().unwrap_or(rate) / rate.max(f64::MIN_POSITIVE);
        Some(self.limited_cpu()? * rise.max(latest))
    }

    /// Capacity of one replica by CPU: requests per second at full CPU use, from the CPU that served requests take now.
    ///
    /// None unless the replicas are at the end of their CPU: they refuse requests, or use all of it. `rise`: as for
    /// [`Self::cpu_now`].
    pub(super) fn capacity_by_cpu(&self, rise: f64) -> Option<f64> {
        let (rate, cpu) = (self.rate.value()?, self.limited_cpu().filter(|cpu| *cpu > 0.0)?);
        // Servers that fail requests without much CPU use have another cause.
        if self.cpu_now(rise)? < if self.failing() { REFUSING } else { BUSY } {
            return None;
        }
        let served = rate - self.failed.value().unwrap_or(0.0);
        (served > 0.0).then(|| served / f64::from(self.replicas.ready.max(1)) / cpu)
    }

    /// Whether so many servers do not answer that the signals are not those of all. Nothing is learned and the replicas are
    /// not lowered then.
    pub(super) fn some_are_silent(&self) -> bool {
        self.outside.some_are_silent(self.replicas.ready)
    }

    /// Replicas that have been ready: those that are now, and those that run but do not pass their readiness probe any more.
    pub(super) fn proven(&self) -> u32 {
        self.replicas.ready.saturating_add(self.outside.unready)
    }

    /// The rate of the last scrape interval, requests per second.
    ///
    /// None when it is at least 1 s older than the rate of the window: an overloaded server misses scrapes just when its
    /// load rises.
    pub(super) fn latest_rate(&self) -> Option<f64> {
        self.latest.value().filter(|_| self.latest.age() < self.rate.age() + 1.0)
    }
}
