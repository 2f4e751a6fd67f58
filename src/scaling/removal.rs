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
/// third decision or so, and one replica more costs little for so long.
const SHORTEST: f64 = 30.0;
/// A removal that is not taken back within this many times its wait was right.
const PROOF: f64 = 20.0;
/// How often the wait is doubled at most: four minutes.
const DOUBLED: u32 = 3;

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
    /// Records the current replicas at `now` (seconds). Call it in every tick.
    pub fn observe(&mut self, current: u32, now: f64) {
        let before = std::mem::replace(&mut self.current, current);
        let proof = PROOF * self.wait(self.from);
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

    /// Seconds for which one of the `current` replicas has to be spare before it is removed.
    pub fn wait(&self, current: u32) -> f64 {
        let doubled = if current == self.from { self.taken_back } else { 0 };
        SHORTEST * f64::from(1 << doubled)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    /// Observes the replicas every 5 s until `until`, and returns the wait from 7 replicas.
    fn watch(removals: &mut Removals, now: &mut f64, current: u32, until: f64) -> f64 {
        while *now < until {
            removals.observe(current, *now);
            *now += 5.0;
        }
        removals.wait(7)
    }

    #[test]
    fn each_removal_that_is_taken_back_doubles_the_wait_up_to_four_minutes() {
        let (mut removals, mut now) = (Removals::default(), 0.0);
        let waits: Vec<f64> = (0..5)
            .map(|round| {
                let start = f64::from(round) * 1000.0;
                watch(&mut removals, &mut now, 7, start + 500.0);
                watch(&mut removals, &mut now, 6, start + 900.0);
                watch(&mut removals, &mut now, 7, start + 1000.0)
            })
            .collect();
        assert_eq!(waits, [60.0, 120.0, 240.0, 240.0, 240.0]);
        assert_eq!((removals.wait(6), removals.wait(8)), (30.0, 30.0), "other numbers of replicas wait as ever");
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
        assert_eq!([9, 8, 7, 6].map(|current| removals.wait(current)), [30.0; 4]);
        // Only a part of what was removed comes back.
        watch(&mut removals, &mut now, 9, 400.0);
        watch(&mut removals, &mut now, 7, 450.0);
        watch(&mut removals, &mut now, 8, 500.0);
        assert_eq!([8, 9].map(|current| removals.wait(current)), [30.0; 2]);
    }

    #[test]
    fn a_clock_that_goes_back_does_not_keep_a_longer_wait() {
        let mut removals = Removals::default();
        for (current, now) in [(7, 1000.0), (6, 1005.0), (7, 1010.0), (6, 1015.0), (6, 0.0)] {
            removals.observe(current, now);
        }
        assert_eq!(removals.wait(7), 30.0);
    }
}
