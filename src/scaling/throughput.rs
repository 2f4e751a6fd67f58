//! The consumption of one replica, learned while it consumes.
//!
//! The observed consumption of a replica is only a lower bound of its capacity. Without a backlog a replica consumes what
//! arrives, and more replicas share that. Under a backlog the consumption is the capacity.
//!
//! A lag alone is not a backlog: a client that commits every five seconds always shows a lag of five seconds of consumption.
//! So a backlog is a lag of more than [`BUSY_SECONDS`] of consumption that lasts.
//!
//! | observed | `least` | `capacity` |
//! |---|---|---|
//! | no backlog | the highest | never falls; rises with `least` once it is known |
//! | a backlog for half a window, no change of replicas for a whole one | the capacity | follows; falls slowly |
//! | replicas removed within the last window | unchanged: their consumption is still in the rate | unchanged |

use serde::{Deserialize, Serialize};

use super::capacity::differs;

/// A lag of more than this many seconds of consumption is a backlog.
pub const BUSY_SECONDS: f64 = 15.0;
/// Share of the difference by which the capacity falls per tick, 0 to 1.
const FALL: f64 = 0.1;

/// The estimates of one replica, kept over restarts.
#[derive(Debug, Clone, Copy, PartialEq, Default, Serialize, Deserialize)]
pub struct Learned {
    /// Messages per second that one replica consumes under a backlog; None before a backlog was observed.
    pub capacity: Option<f64>,
    /// Messages per second that one replica consumes at least: the highest observed consumption.
    #[serde(default)]
    pub least: Option<f64>,
}

impl Learned {
    /// Whether a number differs from `other` by more than a tenth. The estimates are worth writing only then.
    #[must_use]
    pub fn differs_from(&self, other: &Self) -> bool {
        differs(self.capacity, other.capacity) || differs(self.least, other.least)
    }
}

/// The observations of one tick.
pub(super) struct Throughput {
    /// Messages waiting.
    pub lag: f64,
    /// Messages consumed per second over the window.
    pub consumed: f64,
    /// Replicas that consume, at most one per partition.
    pub working: u32,
    /// Window of the rate plus the pause after a change of the replicas, seconds.
    pub window: f64,
}

/// The state between ticks: changes of the replicas, and the backlog. Times are seconds on the clock of decisions.
#[derive(Debug, Clone, Copy, Default)]
pub(super) struct Watch {
    working: Option<u32>,
    /// When `working` last changed.
    changed: f64,
    /// When `working` last fell.
    fell: Option<f64>,
    /// Since when the lag is a backlog.
    busy_since: Option<f64>,
}

impl Watch {
    /// Records the observations at `now` (seconds) and updates the estimates.
    pub fn record(&mut self, learned: &mut Learned, observed: &Throughput, now: f64) {
        if self.working != Some(observed.working) {
            if self.working.is_some_and(|before| before > observed.working) {
                self.fell = Some(now);
            }
            (self.working, self.changed) = (Some(observed.working), now);
        }
        let busy = observed.consumed > 0.0 && observed.lag > BUSY_SECONDS * observed.consumed;
        self.busy_since = busy.then(|| self.busy_since.unwrap_or(now));
        let fell_lately = self.fell.is_some_and(|at| now - at <= observed.window);
        if observed.working == 0 || observed.consumed <= 0.0 || fell_lately {
            return;
        }
        let each = observed.consumed / f64::from(observed.working);
        learned.least = Some(learned.least.map_or(each, |least| least.max(each)));
        let unchanged = now - self.changed > observed.window;
        let proven = unchanged && self.busy_since.is_some_and(|since| now - since >= observed.window / 2.0);
        learned.capacity = match learned.capacity {
            Some(known) if proven && each < known => Some(known + FALL * (each - known)),
            Some(known) => Some(known.max(each)),
            None => proven.then_some(each),
        };
        if proven {
            // An earlier, higher consumption is out of date.
            learned.least = learned.capacity;
        }
    }

    /// Whether a backlog has lasted for `seconds`.
    pub fn is_behind(&self, now: f64, seconds: f64) -> bool {
        self.busy_since.is_some_and(|since| now - since >= seconds)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    /// Records the same observation every 5 s for a range of seconds.
    fn watched(learned: &mut Learned, watch: &mut Watch, observed: (f64, f64, u32), seconds: std::ops::Range<i32>) {
        let (lag, consumed, working) = observed;
        for second in seconds.step_by(5) {
            watch.record(learned, &Throughput { lag, consumed, working, window: 60.0 }, f64::from(second));
        }
    }

    #[test]
    fn from_a_lag_of_the_commit_interval_only_the_least_consumption_is_learned() {
        let (mut learned, mut watch) = Default::default();
        watched(&mut learned, &mut watch, (100.0, 20.0, 1), 0..300);
        assert_eq!(learned, Learned { capacity: None, least: Some(20.0) });
        // More replicas share what arrives: a lower consumption of each does not lower the estimate.
        watched(&mut learned, &mut watch, (100.0, 20.0, 6), 300..900);
        assert_eq!(learned, Learned { capacity: None, least: Some(20.0) });
    }

    #[test]
    fn under_a_backlog_the_consumption_is_the_capacity() {
        let (mut learned, mut watch) = Default::default();
        watched(&mut learned, &mut watch, (9000.0, 100.0, 2), 0..60);
        assert_eq!(learned.capacity, None, "not unchanged for a window");
        watched(&mut learned, &mut watch, (9000.0, 100.0, 2), 60..120);
        assert_eq!(learned.capacity, Some(50.0));
        // A slower dependency.
        watched(&mut learned, &mut watch, (9000.0, 40.0, 2), 120..420);
        assert!(learned.capacity.is_some_and(|capacity| (20.0..20.5).contains(&capacity)), "{learned:?}");
        assert_eq!(learned.least, learned.capacity);
    }

    #[test]
    fn the_consumption_of_removed_replicas_is_not_attributed_to_the_others() {
        let (mut learned, mut watch) = Default::default();
        watched(&mut learned, &mut watch, (10.0, 60.0, 6), 0..120);
        watched(&mut learned, &mut watch, (10.0, 60.0, 1), 120..180);
        assert_eq!(learned.least, Some(10.0));
    }
}
