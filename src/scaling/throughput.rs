//! What one replica consumes, learned while it works.
//!
//! What a replica is seen to consume is what it can *at least*: without a backlog it consumes what arrives, and more replicas
//! share that. Only under a backlog it is what it can. A lag alone is no backlog: a client that commits every five seconds
//! always shows five seconds of what it consumes. So a backlog is a lag of [`BUSY_SECONDS`] of consumption that lasts.
//!
//! | seen | `least` | `capacity` |
//! |---|---|---|
//! | no backlog | the highest | never falls, rises with `least` once it is known |
//! | a backlog for half a window, no change of replicas for a whole one | the highest | follows, down slowly |
//! | replicas went within the last window | as it was: what went is still in the rate | as it was |

use serde::{Deserialize, Serialize};

use super::capacity::differs;

/// A lag of so many seconds of consumption is a backlog.
pub const BUSY_SECONDS: f64 = 15.0;
/// Share of the difference by which the capacity falls at a tick.
const FALL: f64 = 0.1;

/// What was learned of one replica; kept over restarts.
#[derive(Debug, Clone, Copy, PartialEq, Default, Serialize, Deserialize)]
pub struct Learned {
    /// Messages one replica consumes per second when it has enough to do; None before that was seen.
    pub capacity: Option<f64>,
    /// Messages per second that one replica was seen to consume.
    #[serde(default)]
    pub least: Option<f64>,
}

impl Learned {
    /// Whether a number changed by more than a tenth: worth writing down.
    #[must_use]
    pub fn differs_from(&self, other: &Self) -> bool {
        differs(self.capacity, other.capacity) || differs(self.least, other.least)
    }
}

/// What is seen at a tick.
pub(super) struct Seen {
    /// Messages waiting.
    pub lag: f64,
    /// Messages consumed per second over the window.
    pub consumed: f64,
    /// Replicas that consume, at most one per partition.
    pub working: u32,
    /// Window of the rate and pause after a change, seconds.
    pub window: f64,
}

/// When replicas came and went, and since when there is a backlog.
#[derive(Debug, Clone, Copy, Default)]
pub(super) struct Watch {
    working: Option<u32>,
    changed: f64,
    fell: Option<f64>,
    busy_since: Option<f64>,
}

impl Watch {
    /// Takes note of what is seen at `now`, seconds.
    pub fn note(&mut self, learned: &mut Learned, seen: &Seen, now: f64) {
        if self.working != Some(seen.working) {
            if self.working.is_some_and(|before| before > seen.working) {
                self.fell = Some(now);
            }
            (self.working, self.changed) = (Some(seen.working), now);
        }
        let busy = seen.consumed > 0.0 && seen.lag > BUSY_SECONDS * seen.consumed;
        self.busy_since = busy.then(|| self.busy_since.unwrap_or(now));
        let fell_lately = self.fell.is_some_and(|at| now - at <= seen.window);
        if seen.working == 0 || seen.consumed <= 0.0 || fell_lately {
            return;
        }
        let each = seen.consumed / f64::from(seen.working);
        learned.least = Some(learned.least.map_or(each, |least| least.max(each)));
        let settled = now - self.changed > seen.window;
        let proven = settled && self.busy_since.is_some_and(|since| now - since >= seen.window / 2.0);
        learned.capacity = match learned.capacity {
            Some(known) if proven && each < known => Some(known + FALL * (each - known)),
            Some(known) => Some(known.max(each)),
            None => proven.then_some(each),
        };
        if proven {
            // What it could once is of no use when it cannot any more.
            learned.least = learned.capacity;
        }
    }

    /// Whether there has been a backlog for `seconds`.
    pub fn is_behind(&self, now: f64, seconds: f64) -> bool {
        self.busy_since.is_some_and(|since| now - since >= seconds)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    /// Notes the same for some seconds; returns what is known then.
    fn watched(learned: &mut Learned, watch: &mut Watch, seen: (f64, f64, u32), seconds: std::ops::Range<i32>) {
        let (lag, consumed, working) = seen;
        for second in seconds.step_by(5) {
            watch.note(learned, &Seen { lag, consumed, working, window: 60.0 }, f64::from(second));
        }
    }

    #[test]
    fn a_lag_of_the_commit_interval_teaches_what_is_consumed_at_least_and_nothing_else() {
        let (mut learned, mut watch) = Default::default();
        watched(&mut learned, &mut watch, (100.0, 20.0, 1), 0..300);
        assert_eq!(learned, Learned { capacity: None, least: Some(20.0) });
        // More replicas share what arrives; that makes none of them slower.
        watched(&mut learned, &mut watch, (100.0, 20.0, 6), 300..900);
        assert_eq!(learned, Learned { capacity: None, least: Some(20.0) });
    }

    #[test]
    fn under_a_backlog_what_is_consumed_is_what_a_replica_can() {
        let (mut learned, mut watch) = Default::default();
        watched(&mut learned, &mut watch, (9000.0, 100.0, 2), 0..60);
        assert_eq!(learned.capacity, None, "not settled for a window");
        watched(&mut learned, &mut watch, (9000.0, 100.0, 2), 60..120);
        assert_eq!(learned.capacity, Some(50.0));
        // A slower dependency.
        watched(&mut learned, &mut watch, (9000.0, 40.0, 2), 120..420);
        assert!(learned.capacity.is_some_and(|capacity| (20.0..20.5).contains(&capacity)), "{learned:?}");
        assert_eq!(learned.least, learned.capacity);
    }

    #[test]
    fn what_replicas_that_went_still_count_in_the_rate_is_not_taken_for_that_of_the_others() {
        let (mut learned, mut watch) = Default::default();
        watched(&mut learned, &mut watch, (10.0, 60.0, 6), 0..120);
        watched(&mut learned, &mut watch, (10.0, 60.0, 1), 120..180);
        assert_eq!(learned.least, Some(10.0));
    }
}
