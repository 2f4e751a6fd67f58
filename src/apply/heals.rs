//! How often children were put right of late: against another writer that never gives up we would not either, with a
//! write every moment for ever.

use std::collections::BTreeMap;

use jiff::{SignedDuration, Timestamp};

use crate::render::{Child, Kind};

/// How often a child is put right at once. People edit it once or twice; whoever does it again is a program.
const AT_ONCE: u32 = 3;
/// The pause after those; it doubles with each further time.
const FIRST_PAUSE: SignedDuration = SignedDuration::from_secs(10);
/// Longest pause.
const LONGEST_PAUSE: SignedDuration = SignedDuration::from_secs(300);
/// After this time without a change the next one counts as the first. Longer than the longest pause and the time until
/// the look after it.
const QUIET: SignedDuration = SignedDuration::from_secs(900);

/// The children of one object that were put right.
#[derive(Clone, Debug, Default)]
pub struct Heals(BTreeMap<(Kind, String), Series>);

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

impl Heals {
    /// Takes note that a child was put right. Returns whether it is the first time of a series.
    pub fn add(&mut self, kind: Kind, name: &str, now: Timestamp) -> bool {
        let times = self.series(kind, name, now).map_or(0, |series| series.times).saturating_add(1);
        self.0.insert((kind, name.to_owned()), Series { times, last: now });
        times == 1
    }

    /// Whether somebody else changes a child again and again.
    pub fn is_contested(&self, child: &Child, now: Timestamp) -> bool {
        self.series(child.kind, &child.name, now).is_some_and(|series| series.times >= AT_ONCE)
    }

    /// Whether a child is left as somebody else made it, for now.
    pub fn is_resting(&self, child: &Child, now: Timestamp) -> bool {
        let series = self.series(child.kind, &child.name, now);
        series.is_some_and(|series| now.duration_since(series.last) < series.pause())
    }

    fn series(&self, kind: Kind, name: &str, now: Timestamp) -> Option<&Series> {
        let series = self.0.get(&(kind, name.to_owned()))?;
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

    /// When a child is put right that somebody changes at once each time, in seconds.
    fn put_right(until: i64) -> Vec<i64> {
        let mut heals = Heals::default();
        let heal = |second: &i64| {
            let rests = heals.is_resting(&service(), at(*second));
            if !rests {
                heals.add(Kind::Service, "shop", at(*second));
            }
            !rests
        };
        (0..until).filter(heal).collect()
    }

    #[test]
    fn a_child_is_put_right_at_once_three_times_and_then_after_pauses_that_double_up_to_five_minutes() {
        assert_eq!(put_right(1300), [0, 1, 2, 12, 32, 72, 152, 312, 612, 912, 1212]);
    }

    #[test]
    fn after_a_quarter_of_an_hour_without_a_change_a_series_begins_anew() {
        let mut heals = Heals::default();
        let first: Vec<_> = [0, 1, 2, 901, 902 + 900].map(|second| heals.add(Kind::Service, "shop", at(second))).into();
        assert_eq!(first, [true, false, false, false, true]);
        assert!(!heals.is_contested(&service(), at(902 + 900)));
    }

    #[test]
    fn each_child_has_a_series_of_its_own() {
        let mut heals = Heals::default();
        for second in 0..3 {
            heals.add(Kind::Service, "shop", at(second));
        }
        assert!(heals.is_contested(&service(), at(3)) && heals.is_resting(&service(), at(3)));
        let other = Child { kind: Kind::ServiceAccount, ..service() };
        assert!(!heals.is_contested(&other, at(3)) && !heals.is_resting(&other, at(3)));
    }
}
