//! When a workload is decided on: as soon as there is a new sample of it, which is every 5 s.
//!
//! The rules of each object have a moment of their own within these 5 s. Ticks at any fixed moment would find samples that
//! are 2.5 s old on average, and a decision is as good as its newest sample. A source that shows samples late, as one that
//! gets them from afar, is asked again until it does.

use crate::signals::Sampled;

/// Seconds between two samples, and so between two decisions.
const PERIOD: f64 = 5.0;
/// A sample can be read so many seconds after it was taken: its group of rules has to be evaluated to its end.
const EVALUATED: f64 = 0.2;
/// A sample that is so late, seconds, is not waited for.
const PATIENCE: f64 = 2.0;
/// Two decisions are at least so far apart, seconds: a sample that was too late for one is for the next.
const APART: f64 = 2.5;
/// While no samples come, two decisions are at least so far apart, seconds: a little less than a period, because reads of a
/// source that does not answer take longer at one time than at another.
const APART_WITHOUT: f64 = 4.0;

/// When one workload was and will be decided on, in seconds on the clock of decisions.
#[derive(Clone, Copy, Debug, Default, PartialEq)]
pub struct Pace {
    decided: Option<Decided>,
}

#[derive(Clone, Copy, Debug, PartialEq)]
struct Decided {
    at: f64,
    /// The newest sample there was, and whether it was new.
    newest: Option<Sampled>,
    anew: bool,
}

impl Pace {
    /// Whether to decide at `clock`: there is a new sample, or none comes. `newest`: the newest there is and its age.
    pub fn decides(&mut self, clock: f64, newest: Option<Sampled>) -> bool {
        let before = self.decided.and_then(|decided| decided.newest);
        let is_new = newest.is_some_and(|newest| before.is_none_or(|before| newest.at > before.at));
        let apart = |last: Decided| if is_new { APART } else { last.apart_without_another() };
        let decides = self.decided.is_none_or(|last| clock - last.at >= apart(last));
        if decides {
            self.decided = Some(Decided { at: clock, newest, anew: is_new });
        }
        decides
    }

    /// How old the sample of the last decision was, seconds. None when there was none.
    pub fn age(&self) -> Option<f64> {
        self.decided?.newest.map(|newest| newest.age)
    }

    /// When there is reason to look for a new sample; not after `clock` when it is high time. None before the first decision.
    pub fn next(&self, clock: f64) -> Option<f64> {
        let Decided { at, newest, anew } = self.decided?;
        // Without new ones lately, nobody knows when the next comes.
        let known = newest.filter(|_| anew);
        let next = known.map(|newest| (at - newest.age + PERIOD + EVALUATED).max(clock));
        Some(next.unwrap_or(at + PERIOD))
    }
}

impl Decided {
    /// Seconds until the next decision when no other sample comes: one that is late is waited for, once.
    fn apart_without_another(&self) -> f64 {
        if self.anew { PERIOD + PATIENCE } else { APART_WITHOUT }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    /// Looks when the pace says so and notes when it decides, for rules that are evaluated at these times; a look takes
    /// 0.05 s, and none comes within a second after the last.
    fn decided(evaluated: &[f64], until: f64) -> Vec<f64> {
        decided_from_afar(evaluated, 0.1, until)
    }

    /// The same, with samples that can be read so many seconds later.
    fn decided_from_afar(evaluated: &[f64], late: f64, until: f64) -> Vec<f64> {
        let (mut pace, mut clock, mut decided) = (Pace::default(), 0.0, vec![]);
        while clock < until {
            let newest = evaluated.iter().rfind(|at| **at + late <= clock);
            if pace.decides(clock, newest.map(|at| Sampled { at: *at, age: clock - at })) {
                decided.push(clock);
            }
            clock += (pace.next(clock).unwrap_or(clock) - clock).clamp(1.0, PERIOD) + 0.05;
        }
        decided
    }

    #[test]
    fn after_the_first_look_every_decision_follows_a_sample_at_once() {
        let samples: Vec<f64> = (0..20).map(|index| 3.3 + f64::from(index) * 5.0).collect();
        let decided = decided(&samples, 60.0);
        assert!(decided.len() >= 11, "{decided:?}");
        for at in &decided[2..] {
            let age = (at - 3.3) % 5.0;
            assert!(age < 0.5, "a sample of {age} s at {at}: {decided:?}");
        }
    }

    #[test]
    fn samples_that_come_from_afar_are_decided_with_within_a_second() {
        let samples: Vec<f64> = (0..20).map(|index| f64::from(index) * 5.0).collect();
        for late in [1.0, 2.0, 3.3] {
            let decided = decided_from_afar(&samples, late, 60.0);
            assert!(decided.len() >= 11, "{late}: {decided:?}");
            assert!(decided[4..].iter().all(|at| (late..late + 1.2).contains(&(at % 5.0))), "{late}: {decided:?}");
        }
    }

    #[test]
    fn late_and_missing_samples_are_waited_for_a_little_and_the_pace_is_found_again() {
        let samples = [1.0, 6.0, 12.1, 16.0, 41.0, 46.0, 51.0];
        let decided = decided(&samples, 55.0);
        let apart: Vec<f64> = decided.windows(2).map(|pair| pair[1] - pair[0]).collect();
        assert!(apart.iter().all(|apart| (APART..8.1).contains(apart)), "{decided:?}");
        assert!(decided.iter().any(|at| (51.0..51.5).contains(at)), "{decided:?}");
    }

    #[test]
    fn without_samples_there_is_a_decision_every_now_and_then() {
        assert_eq!(decided(&[], 22.0).len(), 5);
    }

    #[test]
    fn no_sample_is_decided_with_twice_while_others_come() {
        let mut pace = Pace::default();
        let sampled = |at, age| Some(Sampled { at, age });
        assert!(pace.decides(10.0, sampled(1000.0, 0.5)));
        assert_eq!((pace.next(10.0), pace.age()), (Some(14.7), Some(0.5)));
        assert!(!pace.decides(11.0, sampled(1000.0, 1.5)), "the same");
        assert!(!pace.decides(12.0, sampled(1004.9, 0.1)), "so soon");
        assert!(pace.decides(13.0, sampled(1004.9, 1.1)));
        assert!(!pace.decides(16.0, sampled(1000.0, 6.5)), "an older one, of another Prometheus");
    }
}
