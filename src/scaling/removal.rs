//! How long a single replica has to be spare before it is removed.
//!
//! At a load on the boundary between two numbers of replicas, noise of the load, of the plan or of the learned capacity can
//! exceed the spare capacity that keeps a replica, and removes and adds one again and again. So a removal that is taken back
//! makes the next one from the same number of replicas wait twice as long.
//!
//! Only removals wait: a replica is added as fast as ever. It costs at most the one replica that would be removed and added
//! again, and none once the load falls further: other numbers of replicas wait as short as ever. A removal that is not taken
//! back for [`PROOF`] times its wait was right, and ends the longer wait.

/// Wait before one single replica is removed, seconds: six decisions. Noise of the load asks for one replica less in every
/// third decision or so, and one replica more costs little for so long. Where replicas start slowly, the stabilisation of any
/// removal is longer, and is what is doubled.
const SHORTEST: f64 = 30.0;
/// A removal that is not taken back within this many times its wait was right.
const PROOF: f64 = 20.0;
/// How often the wait is doubled at most: of the shortest one, to four minutes.
const DOUBLED: u32 = 3;
/// Longest wait that doubling leads to, seconds: half an hour, so that the replica that is kept costs no more than that, however
/// slowly replicas start. It does not shorten a stabilisation that is longer by itself.
const LONGEST: f64 = 1800.0;

/// The last removal, and how often removals from the same number of replicas were taken back.
#[derive(Debug, Clone, Copy, Default)]
pub(super) struct Removals {
    /// The current replicas at the last tick.
    current: u32,
    /// When replicas were last removed, in seconds on the clock of decisions. None once that was taken back, or right.
    removed: Option<f64>,
    /// The replicas before that.
    from: u32,
    /// How often in a row removals from as many replicas were taken back, at most [`DOUBLED`].
    taken_back: u32,
}

impl Removals {
    /// Records the current replicas at `now` (seconds). Call it in every tick. `least`: as in [`Self::wait`].
    pub fn observe(&mut self, current: u32, least: f64, now: f64) {
        let before = std::mem::replace(&mut self.current, current);
        let proof = PROOF * self.wait(self.from, least);
        // A clock that goes back ends it too.
        if self.removed.is_some_and(|at| !(0.0..proof).contains(&(now - at))) {
            (self.removed, self.taken_back) = (None, 0);
        }
        if self.removed.is_some() && current >= self.from {
            (self.removed, self.taken_back) = (None, (self.taken_back + 1).min(DOUBLED));
        }
        if current < before {
            self.taken_back = if before == self.from { self.taken_back } else { 0 };
            (self.removed, self.from) = (Some(now), before);
        }
    }

    /// Seconds for which one of the `current` replicas has to be spare before it is removed. `least`: for how long any number has to
    /// be, by how long one takes to come back.
    pub fn wait(&self, current: u32, least: f64) -> f64 {
        let doubled = if current == self.from { self.taken_back } else { 0 };
        let shortest = SHORTEST.max(least);
        (shortest * f64::from(1 << doubled)).min(LONGEST.max(shortest))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    /// The stabilisation of any removal at a start-up of a minute, seconds: shorter than the wait.
    const LEAST: f64 = 24.0;

    /// Observes the replicas every 5 s until `until`, and returns the wait from 7 replicas.
    fn watch(removals: &mut Removals, now: &mut f64, current: u32, until: f64) -> f64 {
        watch_slow(removals, now, (current, until), LEAST)
    }

    fn watch_slow(removals: &mut Removals, now: &mut f64, (current, until): (u32, f64), least: f64) -> f64 {
        while *now < until {
            removals.observe(current, least, *now);
            *now += 5.0;
        }
        removals.wait(7, least)
    }

    /// The waits from 7 replicas after each of five removals that was taken back.
    fn waits(least: f64) -> Vec<f64> {
        let (mut removals, mut now) = (Removals::default(), 0.0);
        let rounds = (0..5).map(|round| {
            let start = f64::from(round) * 1000.0;
            for (current, until) in [(7, 500.0), (6, 900.0)] {
                watch_slow(&mut removals, &mut now, (current, start + until), least);
            }
            watch_slow(&mut removals, &mut now, (7, start + 1000.0), least)
        });
        rounds.collect()
    }

    #[test]
    fn each_removal_that_is_taken_back_doubles_the_wait_up_to_four_minutes() {
        assert_eq!(waits(LEAST), [60.0, 120.0, 240.0, 240.0, 240.0]);
        assert_eq!(waits(4.0), waits(LEAST), "a start-up of 10 s waits as one of a minute");
        let mut removals = Removals::default();
        for (current, now) in [(7, 0.0), (6, 5.0), (7, 10.0)] {
            removals.observe(current, LEAST, now);
        }
        let others = [6, 8].map(|current| removals.wait(current, LEAST));
        assert_eq!(others, [30.0; 2], "other numbers of replicas wait as ever");
    }

    #[test]
    fn where_replicas_start_slowly_the_longer_wait_is_doubled_up_to_half_an_hour() {
        assert_eq!(waits(40.0), [80.0, 160.0, 320.0, 320.0, 320.0], "a start-up of 100 s");
        assert_eq!(waits(240.0), [480.0, 960.0, 1800.0, 1800.0, 1800.0], "of 10 min");
        assert_eq!(waits(2400.0), [2400.0; 5], "of 100 min: longer by itself");
    }

    #[test]
    fn where_replicas_start_slowly_a_removal_takes_longer_to_prove_right() {
        let (mut removals, mut now, least) = (Removals::default(), 0.0, 240.0);
        let mut watch = |current, until| watch_slow(&mut removals, &mut now, (current, until), least);
        watch(7, 100.0);
        watch(6, 4800.0);
        assert_eq!(watch(7, 5000.0), 480.0, "taken back within 80 minutes");
        assert_eq!(watch(6, 14000.0), 480.0, "for 150 minutes");
        assert_eq!(watch(6, 15000.0), 240.0, "for 160 minutes and more");
    }

    #[test]
    fn a_removal_that_lasts_ends_the_longer_wait() {
        let (mut removals, mut now) = (Removals::default(), 0.0);
        watch(&mut removals, &mut now, 7, 100.0);
        watch(&mut removals, &mut now, 6, 200.0);
        assert_eq!(watch(&mut removals, &mut now, 7, 300.0), 60.0);
        assert_eq!(watch(&mut removals, &mut now, 6, 1400.0), 60.0, "for 18 minutes");
        assert_eq!(watch(&mut removals, &mut now, 6, 1600.0), 30.0, "for 20 minutes and more");
        assert_eq!(watch(&mut removals, &mut now, 7, 1700.0), 30.0, "added later for another reason");
    }

    #[test]
    fn a_load_that_falls_further_is_followed_as_ever() {
        let (mut removals, mut now) = (Removals::default(), 0.0);
        for current in [9, 8, 9, 8, 7, 6] {
            let until = now + 50.0;
            watch(&mut removals, &mut now, current, until);
        }
        assert_eq!([9, 8, 7, 6].map(|current| removals.wait(current, LEAST)), [30.0; 4]);
        // Only a part of what was removed comes back.
        watch(&mut removals, &mut now, 9, 400.0);
        watch(&mut removals, &mut now, 7, 450.0);
        watch(&mut removals, &mut now, 8, 500.0);
        assert_eq!([8, 9].map(|current| removals.wait(current, LEAST)), [30.0; 2]);
    }

    #[test]
    fn a_clock_that_goes_back_does_not_keep_a_longer_wait() {
        let mut removals = Removals::default();
        for (current, now) in [(7, 1000.0), (6, 1005.0), (7, 1010.0), (6, 1015.0), (6, 0.0)] {
            removals.observe(current, LEAST, now);
        }
        assert_eq!(removals.wait(7, LEAST), 30.0);
    }
}
