//! Maxima over a sliding span of time, in fixed memory.

/// The maximum over a sliding span of time, in `N` slots.
#[derive(Debug, Clone, Copy, PartialEq)]
pub struct Peak<const N: usize> {
    slots: [f32; N],
    current: Option<i64>,
}

impl<const N: usize> Default for Peak<N> {
    fn default() -> Self {
        Self { slots: [0.0; N], current: None }
    }
}

impl<const N: usize> Peak<N> {
    /// Records `value` at `now` and returns the maximum of the last `span` seconds. The span may be longer by up to
    /// `span / (N - 1)`. A clock that goes back, or jumps forward by more than the span, clears the record.
    pub fn max(&mut self, now: f64, value: f64, span: f64) -> f64 {
        let slot = (now / (span.max(1.0) / (N - 1) as f64)).floor() as i64;
        let current = self.current.unwrap_or(slot);
        if slot < current || slot - current >= N as i64 {
            self.slots = [0.0; N];
        } else {
            (current + 1..=slot).for_each(|skipped| self.slots[Self::index(skipped)] = 0.0);
        }
        self.current = Some(slot);
        let index = Self::index(slot);
        self.slots[index] = self.slots[index].max(value as f32);
        f64::from(self.slots.iter().copied().fold(0.0, f32::max))
    }

    fn index(slot: i64) -> usize {
        slot.rem_euclid(N as i64) as usize
    }
}

/// Span of [`RecentPeak`], seconds.
const RECENT: f64 = 1200.0;

/// The highest load of the last 20 minutes, to the minute.
#[derive(Debug, Clone, Copy, PartialEq, Default)]
pub struct RecentPeak(Peak<21>);

impl RecentPeak {
    /// Records the load at `now` and returns the highest.
    pub fn next(&mut self, now: f64, load: f64) -> f64 {
        self.0.max(now, load, RECENT)
    }
}

/// Length of a slot of [`Season`], seconds.
pub(super) const QUARTER: f64 = 900.0;
/// Slots of a day.
const DAY: i64 = 96;
/// Slots of a week.
const WEEK: i64 = 7 * DAY;

/// The highest load of every quarter of an hour of the last week.
#[derive(Debug, Clone)]
pub struct Season {
    slots: Box<[f32; WEEK as usize]>,
    /// The first slot with a recorded load.
    first: Option<i64>,
    current: i64,
}

impl Default for Season {
    fn default() -> Self {
        Self { slots: Box::new([0.0; WEEK as usize]), first: None, current: 0 }
    }
}

impl Season {
    /// Records the load at `now`. Returns the highest load in the quarter of an hour of `now + ahead` one day and one week
    /// earlier, each None when it was not recorded.
    pub fn next(&mut self, now: f64, load: f64, ahead: f64) -> [Option<f64>; 2] {
        let slot = (now / QUARTER).floor() as i64;
        if self.first.is_none() || slot < self.current || slot - self.current >= WEEK {
            (self.first, self.current) = (Some(slot), slot);
            self.slots.fill(0.0);
        }
        let first = self.first.unwrap_or(slot);
        let then = ((now + ahead) / QUARTER).floor() as i64;
        // The slot of a week ago is overwritten below, so it is read first.
        let before = [DAY, WEEK].map(|back| {
            (then - back >= first && then - back > self.current - WEEK)
                .then(|| f64::from(self.slots[(then - back).rem_euclid(WEEK) as usize]))
        });
        while self.current < slot {
            self.current += 1;
            self.slots[self.current.rem_euclid(WEEK) as usize] = 0.0;
        }
        let index = slot.rem_euclid(WEEK) as usize;
        self.slots[index] = self.slots[index].max(load as f32);
        before
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_peak_is_kept_for_its_span_and_then_dropped() {
        let mut peak = Peak::<11>::default();
        assert_eq!(peak.max(0.0, 5.0, 100.0), 5.0);
        assert_eq!(peak.max(95.0, 1.0, 100.0), 5.0);
        assert_eq!(peak.max(111.0, 1.0, 100.0), 1.0);
    }

    #[test]
    fn a_clock_that_jumps_clears_the_record() {
        let mut peak = Peak::<11>::default();
        peak.max(1000.0, 9.0, 100.0);
        assert_eq!(peak.max(0.0, 2.0, 100.0), 2.0);
        assert_eq!(peak.max(1e9, 1.0, 100.0), 1.0);
    }

    #[test]
    fn only_the_same_quarter_of_an_hour_of_yesterday_is_returned() {
        let mut season = Season::default();
        let day = 86_400.0;
        for quarter in 0..96 {
            let load = if quarter == 40 { 70.0 } else { 10.0 };
            assert_eq!(season.next(f64::from(quarter) * 900.0, load, 60.0), [None, None]);
        }
        assert_eq!(season.next(day + 39.0 * 900.0, 10.0, 900.0), [Some(70.0), None]);
        assert_eq!(season.next(day + 40.0 * 900.0, 10.0, 900.0), [Some(10.0), None]);
    }
}
