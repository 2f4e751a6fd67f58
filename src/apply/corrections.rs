//! Back-off of drift correction, by how often each child was corrected of late. Without it, another manager that keeps
//! changing the same fields would cause a write every moment, for ever.

use std::collections::BTreeMap;

use jiff::{SignedDuration, Timestamp};

use crate::{child::Child, kinds::Kind};

/// Number of corrections without a pause. People edit a child once or twice; what edits it more often is a program.
const AT_ONCE: u32 = 3;
/// Pause after those corrections: 10 s. It doubles with each further one.
const FIRST_PAUSE: SignedDuration = SignedDuration::from_secs(10);
/// Longest pause between two corrections: 300 s.
const LONGEST_PAUSE: SignedDuration = SignedDuration::from_secs(300);
/// Time after the last correction when a series ends: 900 s. The next correction is then the first of a new series. It is
/// longer than [`LONGEST_PAUSE`] and the time until the reconcile after that.
const QUIET: SignedDuration = SignedDuration::from_secs(900);

/// The corrected children of one object.
#[derive(Clone, Debug, Default)]
pub struct Corrections {
    series: BTreeMap<(Kind, String), Series>,
}

/// Consecutive corrections of one child.
#[derive(Clone, Debug)]
struct Series {
    times: u32,
    last: Timestamp,
}

impl Series {
    fn pause(&self) -> SignedDuration {
        match self.times.checked_sub(AT_ONCE) {
            Some(more) => (FIRST_PAUSE * (1 << more.min(16))).min(LONGEST_PAUSE),
            None => SignedDuration::ZERO,
        }
    }
}

impl Corrections {
    /// Records a correction of a child. Returns whether it is the first of a series.
    pub fn add(&mut self, kind: Kind, name: &str, now: Timestamp) -> bool {
        let times = self.series(kind, name, now).map_or(0, |series| series.times).saturating_add(1);
        self.series.insert((kind, name.to_owned()), Series { times, last: now });
        times == 1
    }

    /// Whether another manager changes a child again and again.
    pub fn has_field_conflict(&self, child: &Child, now: Timestamp) -> bool {
        self.series(child.kind, &child.name, now).is_some_and(|series| series.times >= AT_ONCE)
    }

    /// Whether the next correction of a child has to wait for the end of the pause.
    pub fn is_backed_off(&self, child: &Child, now: Timestamp) -> bool {
        let series = self.series(child.kind, &child.name, now);
        series.is_some_and(|series| now.duration_since(series.last) < series.pause())
    }

    fn series(&self, kind: Kind, name: &str, now: Timestamp) -> Option<&Series> {
        let series = self.series.get(&(kind, name.to_owned()))?;
        (now.duration_since(series.last) < QUIET).then_some(series)
    }
}

#[cfg(test)]
mod tests {
    use serde_json::Value;

    use super::*;

    fn at(seconds: i64) -> Timestamp {
        Timestamp::UNIX_EPOCH + SignedDuration::from_secs(seconds)
    }

    fn service() -> Child {
        Child {
            kind: Kind::Service,
            name: "shop".into(),
            object: Value::Null,
            hash: String::new(),
            seed_replicas: None,
        }
    }

    /// When a child is corrected that another manager changes again at once each time, in seconds.
    fn corrected_at(until: i64) -> Vec<i64> {
        let mut corrections = Corrections::default();
        let corrects = |second: &i64| {
            let waits = corrections.is_backed_off(&service(), at(*second));
            if !waits {
                corrections.add(Kind::Service, "shop", at(*second));
            }
            !waits
        };
        (0..until).filter(corrects).collect()
    }

    #[test]
    fn a_child_is_corrected_at_once_three_times_and_then_after_pauses_that_double_up_to_five_minutes() {
        assert_eq!(corrected_at(1300), [0, 1, 2, 12, 32, 72, 152, 312, 612, 912, 1212]);
    }

    #[test]
    fn after_a_quarter_of_an_hour_without_a_correction_a_new_series_begins() {
        let mut corrections = Corrections::default();
        let first: Vec<_> =
            [0, 1, 2, 901, 902 + 900].map(|second| corrections.add(Kind::Service, "shop", at(second))).into();
        assert_eq!(first, [true, false, false, false, true]);
        assert!(!corrections.has_field_conflict(&service(), at(902 + 900)));
    }

    #[test]
    fn each_child_has_a_series_of_its_own() {
        let mut corrections = Corrections::default();
        for second in 0..3 {
            corrections.add(Kind::Service, "shop", at(second));
        }
        assert!(corrections.has_field_conflict(&service(), at(3)) && corrections.is_backed_off(&service(), at(3)));
        let other = Child { kind: Kind::ServiceAccount, ..service() };
        assert!(!corrections.has_field_conflict(&other, at(3)) && !corrections.is_backed_off(&other, at(3)));
    }
}
