//! When a decision is made for a workload: as soon as there is a new sample, which is every 5 s, of a lag every 10 s.
//!
//! The rules of each object are evaluated at their own offset within this time. Ticks at a fixed time would find samples
//! that are half of it old on average, and a decision is only as good as its newest sample. A source may show samples late, for
//! example because it receives them from a remote one. It is then read again until the sample arrives.

use crate::signals::Sampled;

/// Seconds after which a sample can be read: the evaluation of its rule group has to be complete.
const EVALUATED: f64 = 0.2;
/// Longest delay of a sample, seconds, for which a decision waits.
const LONGEST_DELAY: f64 = 2.0;
/// Shortest time between two decisions, seconds: a sample that is too late for one is used by the next.
const SHORTEST_INTERVAL: f64 = 2.5;
/// How much sooner than after a period a decision is made while there are no new samples, seconds: the duration of reads varies while
/// a source does not answer.
const SOONER_WITHOUT_SAMPLES: f64 = 1.0;

/// The last decision for a workload, and when the next one is due, in seconds on the clock of decisions.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct Pace {
    /// Seconds between two samples, and so between two decisions.
    period: f64,
    decided: Option<LastDecision>,
}

#[derive(Clone, Copy, Debug, PartialEq)]
struct LastDecision {
    at: f64,
    /// The newest sample at that time.
    newest: Option<Sampled>,
    /// Whether that sample was new.
    is_new: bool,
}

impl Pace {
    /// Before the first decision. `period`: seconds between two samples.
    pub fn new(period: f64) -> Self {
        Self { period, decided: None }
    }

    /// Changes the time between two samples.
    pub fn follow(&mut self, period: f64) {
        self.period = period;
    }

    /// Whether to make a decision at `clock`: when there is a new sample, or when none arrives in time. `newest`: the newest
    /// sample and its age.
    pub fn decides(&mut self, clock: f64, newest: Option<Sampled>) -> bool {
        let before = self.decided.and_then(|decided| decided.newest);
        let is_new = newest.is_some_and(|newest| before.is_none_or(|before| newest.at > before.at));
        let interval =
            |last: LastDecision| if is_new { SHORTEST_INTERVAL } else { last.interval_without_new_sample(self.period) };
        let decides = self.decided.is_none_or(|last| clock - last.at >= interval(last));
        if decides {
            self.decided = Some(LastDecision { at: clock, newest, is_new });
        }
        decides
    }

    /// Age of the sample at the last decision, seconds. None when there was none.
    pub fn age(&self) -> Option<f64> {
        self.decided?.newest.map(|newest| newest.age)
    }

    /// When the next sample is expected; not later than `clock` when it is overdue. None before the first decision.
    pub fn next(&self, clock: f64) -> Option<f64> {
        let LastDecision { at, newest, is_new } = self.decided?;
        // If the last sample was not new, the time of the next one is not known.
        let known = newest.filter(|_| is_new);
        let next = known.map(|newest| (at - newest.age + self.period + EVALUATED).max(clock));
        Some(next.unwrap_or(at + self.period))
    }
}

impl LastDecision {
    /// Shortest time to the next decision while there is no new sample, seconds. After a new sample, the next one is waited
    /// for, but only once.
    fn interval_without_new_sample(&self, period: f64) -> f64 {
        if self.is_new { period + LONGEST_DELAY } else { period - SOONER_WITHOUT_SAMPLES }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    /// Seconds between two samples of servers.
    const PERIOD: f64 = 5.0;

    /// The times of the decisions, for rules that are evaluated at these times. The source is read when the pace asks for it;
    /// a read takes 0.05 s, and two reads are at least a second apart.
    fn decided(evaluated: &[f64], until: f64) -> Vec<f64> {
        decided_with_delay(evaluated, 0.1, until)
    }

    /// The same, with samples that can be read `late` seconds after their evaluation.
    fn decided_with_delay(evaluated: &[f64], late: f64, until: f64) -> Vec<f64> {
        decided_every(PERIOD, evaluated, late, until)
    }

    /// The same, for samples that are `period` seconds apart.
    fn decided_every(period: f64, evaluated: &[f64], late: f64, until: f64) -> Vec<f64> {
        let (mut pace, mut clock, mut decided) = (Pace::new(period), 0.0, vec![]);
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
    fn after_the_first_two_decisions_each_follows_a_new_sample_within_half_a_second() {
        let samples: Vec<f64> = (0..20).map(|index| 3.3 + f64::from(index) * 5.0).collect();
        let decided = decided(&samples, 60.0);
        assert!(decided.len() >= 11, "{decided:?}");
        for at in &decided[2..] {
            let age = (at - 3.3) % 5.0;
            assert!(age < 0.5, "a sample of {age} s at {at}: {decided:?}");
        }
    }

    #[test]
    fn of_samples_every_15_s_each_is_used_for_one_decision_and_one_may_be_missing() {
        let samples = [3.3, 18.3, 33.3, 63.3, 78.3];
        let decided = decided_every(15.0, &samples, 0.1, 90.0);
        let first = decided.iter().position(|at| (18.3..20.0).contains(at)).expect("a decision");
        let after: Vec<f64> = decided[first..].iter().map(|at| at - 3.3).collect();
        // Of the missing one, the sample before is used two seconds later, and the next at the next read, at most 5 s later.
        let expected = [(15.0, 1.5), (30.0, 1.5), (47.0, 1.5), (60.0, 5.2), (75.0, 1.5)];
        assert_eq!(after.len(), expected.len(), "{decided:?}");
        let is_expected = |((from, delay), at): (&(f64, f64), &f64)| (*from..from + delay).contains(at);
        assert!(expected.iter().zip(&after).all(is_expected), "{decided:?}");
    }

    #[test]
    fn samples_that_arrive_late_are_used_within_about_a_second() {
        let samples: Vec<f64> = (0..20).map(|index| f64::from(index) * 5.0).collect();
        for late in [1.0, 2.0, 3.3] {
            let decided = decided_with_delay(&samples, late, 60.0);
            assert!(decided.len() >= 11, "{late}: {decided:?}");
            assert!(decided[4..].iter().all(|at| (late..late + 1.2).contains(&(at % 5.0))), "{late}: {decided:?}");
        }
    }

    #[test]
    fn late_and_missing_samples_delay_decisions_briefly_and_the_pace_recovers() {
        let samples = [1.0, 6.0, 12.1, 16.0, 41.0, 46.0, 51.0];
        let decided = decided(&samples, 55.0);
        let intervals: Vec<f64> = decided.windows(2).map(|pair| pair[1] - pair[0]).collect();
        assert!(intervals.iter().all(|interval| (SHORTEST_INTERVAL..8.1).contains(interval)), "{decided:?}");
        assert!(decided.iter().any(|at| (51.0..51.5).contains(at)), "{decided:?}");
    }

    #[test]
    fn without_samples_decisions_are_still_made_about_every_period() {
        assert_eq!(decided(&[], 22.0).len(), 5);
    }

    #[test]
    fn each_sample_is_used_for_one_decision_while_new_ones_arrive() {
        let mut pace = Pace::new(PERIOD);
        let sampled = |at, age| Some(Sampled { at, age });
        assert!(pace.decides(10.0, sampled(1000.0, 0.5)));
        assert_eq!((pace.next(10.0), pace.age()), (Some(14.7), Some(0.5)));
        assert!(!pace.decides(11.0, sampled(1000.0, 1.5)), "the same sample");
        assert!(!pace.decides(12.0, sampled(1004.9, 0.1)), "too soon");
        assert!(pace.decides(13.0, sampled(1004.9, 1.1)));
        assert!(!pace.decides(16.0, sampled(1000.0, 6.5)), "an older sample, from another Prometheus");
    }
}
