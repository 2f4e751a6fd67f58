//! The guard: adds replicas for a latency that is above the target for 30 s in a steady state, although the load is within
//! the capacity. It multiplies them by `(1 - L0/L) / (1 - L0/T)`, at most by 2. This is the M/M/1 queue,
//! `L = L0 / (1 - rho)`, with L the latency and L0 the latency without load. Example: L0 = 40 ms, T = 80 ms, L = 160 ms give
//! 1.5 times the replicas; the ratio of the latencies would give 2.
//!
//! When more replicas and no more load leave the latency where it was, the replicas are not the cause. The guard then adds
//! none for 10 minutes, the next time for 20, and so on. Replicas that use up their CPU are an exception: they are too few.
//!
//! While the target seems impossible, the guard adds replicas only while requests queue up, which means a latency above
//! 1.3 * L0. The estimates may be wrong after an overload, and more replicas correct them.

use super::capacity::Known;
use super::decision::Limit;
use super::learned::{Learned, Now};
use super::observed::BUSY;
use super::steps::count;
use super::target::Policy;

/// Seconds for which the latency has to be above the target before the guard acts. It is also added to the start-up for
/// the time that an order of the guard stays in force.
const GUARD_SECONDS: f64 = 30.0;
/// A latency above this many times the latency without load means that requests queue up, whatever the target is.
const QUEUED: f64 = 1.3;
/// More replicas that lower the latency by less than this share did not help, 0 to 1.
const HELPS: f64 = 0.1;
/// Seconds for which the guard adds no replicas after more of them did not help. Doubled each time, at most five times.
const FROZEN_SECONDS: f64 = 600.0;

/// The state before replicas were added, to check whether they lower the latency.
#[derive(Debug, Clone, Copy)]
struct Trial {
    ready: u32,
    latency: f64,
    rate: f64,
}

/// The state of the guard between ticks. Times are seconds on the clock of decisions.
#[derive(Debug, Clone, Default)]
pub(super) struct Guard {
    /// Since when the latency is above the target in a steady state.
    above_since: Option<f64>,
    /// Until when an order of the guard stays in force, and its replicas: they take a start-up to become ready.
    guarded: (f64, u32),
    trial: Option<Trial>,
    /// Until when no replicas are added for the latency.
    frozen_until: Option<f64>,
    /// How often the guard was frozen since the latency was last within the target.
    freezes: i32,
}

impl Guard {
    /// Whether no replicas are added for the latency, because more of them did not help.
    pub fn is_frozen(&self) -> bool {
        self.frozen_until.is_some()
    }

    /// Adds replicas for a latency above the target that the load does not explain, unless more replicas did not help.
    /// `partial`: the load is that of a part of the servers.
    pub fn apply(
        &mut self,
        policy: &Policy,
        state: &Now,
        known: Known,
        partial: bool,
        learned: &mut Learned,
        (desired, limit): (u32, Limit),
    ) -> (u32, Limit) {
        let current = state.replicas.current;
        let above = state.latency.filter(|latency| *latency > policy.target);
        // Requests that take much longer than without load queue up: then more replicas do help.
        if let (Known::Impossible { unloaded }, Some(latency)) = (known, above)
            && latency <= QUEUED * unloaded
        {
            self.above_since = None;
            return (desired, Limit::Impossible(unloaded));
        }
        let Some(latency) = above.filter(|_| state.steady) else {
            self.above_since = None;
            return (desired, limit);
        };
        let since = *self.above_since.get_or_insert(state.at);
        if self.frozen_until.is_some() {
            return (desired.max(current), if desired > current { limit } else { Limit::DoesNotHelp });
        }
        let (until, guarded) = self.guarded;
        if state.at < until && guarded > desired {
            return (guarded, Limit::Latency);
        }
        if state.at - since < GUARD_SECONDS || desired > current || state.replicas.ready < current {
            return (desired, limit);
        }
        self.above_since = Some(state.at);
        // The current load is too much for a replica, so it bounds the baseline capacity.
        if !partial {
            learned.baseline = learned.baseline.map(|baseline| baseline.min(state.load()));
        }
        let unloaded = learned.capacity.unloaded().unwrap_or(0.0).min(0.95 * policy.target);
        let factor = (1.0 - unloaded / latency) / (1.0 - unloaded / policy.target);
        let more = count(f64::from(current) * factor.clamp(1.1, 2.0));
        self.guarded = (state.at + GUARD_SECONDS + policy.startup, more);
        (more, Limit::Latency)
    }

    /// Checks whether replicas that were added while the latency was above the target lowered it. Freezes the guard if not.
    pub fn check_trial(&mut self, policy: &Policy, state: &Now, cpu: Option<f64>) {
        let Some(latency) = state.latency else { return };
        if latency <= policy.target || cpu.is_some_and(|cpu| cpu >= BUSY) {
            (self.trial, self.frozen_until, self.freezes) = (None, None, 0);
            return;
        }
        if self.frozen_until.is_some_and(|until| state.at >= until) {
            (self.trial, self.frozen_until) = (None, None);
        }
        if !state.steady {
            return;
        }
        let ready = state.replicas.ready;
        match self.trial {
            Some(trial) if f64::from(ready) >= 1.1 * f64::from(trial.ready) => {
                if latency > (1.0 - HELPS) * trial.latency && state.rate <= 1.1 * trial.rate {
                    self.frozen_until = Some(state.at + FROZEN_SECONDS * f64::from(1 << self.freezes.min(5)));
                    self.freezes += 1;
                }
                self.trial = None;
            }
            Some(trial) if ready >= trial.ready => {}
            _ => self.trial = Some(Trial { ready, latency, rate: state.rate }),
        }
    }
}
