//! The loads of the last ticks, the lines through them, and the start of a rise.
//!
//! # Rises
//!
//! Flash crowds are too rare to be learned. So the provisioned rate is never less than the line through the last 20 s,
//! extended to the horizon. Only the part of its slope counts that exceeds the noise of the differences between ticks. This
//! is a fast window like the panic mode of Knative's autoscaler, with a measure of noise instead of a threshold.

/// Ticks that are kept. The longest horizon is one tick less.
pub(super) const KEPT: usize = 64;
/// Ticks that each line is fitted to: 30, 60, 120 and 300 s at a tick of 5 s.
pub(super) const LINES: [usize; 4] = [6, 12, 24, 60];
/// Ticks of the line that detects the start of a rise: 20 s at a tick of 5 s.
const RISE: usize = 4;
/// Standard deviations of noise that are subtracted from the slope of a rise.
const DOUBT: f64 = 2.0;
/// A rise is followed up to this many times the load.
const RISE_MOST: f64 = 2.0;
/// The rate of the last scrape interval is flat when it grew by at most this share since the last tick.
const FLAT: f64 = 0.05;
/// A rise is a step when the load at the start of the line was less than this share of the current one.
const STEP: f64 = 0.5;
/// The load has collapsed when it is less than this share of its highest value within five minutes.
const COLLAPSE: f64 = 0.3;
/// Ticks over which the noise is averaged: five minutes.
const NOISE: f64 = 60.0;

/// The rates of the last scrape intervals, requests per second.
#[derive(Debug, Clone)]
pub(super) struct Recent {
    /// The last [`KEPT`] rates, as a ring.
    loads: [f32; KEPT],
    /// Number of ticks so far.
    pub observed: usize,
    /// The rate of the last tick and of this one.
    latest: [f64; 2],
    /// Mean square of the relative differences from tick to tick.
    noise: f64,
}

impl Default for Recent {
    fn default() -> Self {
        Self { loads: [0.0; KEPT], observed: 0, latest: [0.0; 2], noise: 0.0 }
    }
}

impl Recent {
    /// Records the rate of this tick.
    pub fn push(&mut self, latest: f64) {
        let before = if self.observed > 0 { self.load(0) } else { latest };
        let change = (latest - before).abs() / latest.max(before).max(1e-9);
        self.noise += (change * change - self.noise) / NOISE;
        self.loads[self.observed % KEPT] = latest as f32;
        self.observed += 1;
        self.latest = [self.latest[1], latest];
    }

    /// The line through the last [`RISE`] ticks, extended by `ticks`, requests per second. `load`: the rate over the window.
    ///
    /// The slope is reduced by [`DOUBT`] standard deviations of noise. The variance of a difference is twice that of a
    /// sample. The variance of a slope is that of a sample over the sum of the squared distances from the middle.
    pub fn rising(&self, load: f64, ticks: f64) -> f64 {
        let [before, latest] = self.latest;
        let n = RISE.min(self.observed);
        let (count, middle) = (n as f64, (n - 1) as f64 / 2.0);
        let (mut sum, mut weighted) = (0.0, 0.0);
        for back in 0..n {
            sum += self.load(back);
            weighted += self.load(back) * (middle - back as f64);
        }
        let squares = (count * (count * count - 1.0) / 12.0).max(1.0);
        let (slope, end) = (weighted / squares, (sum + weighted / squares * middle * count) / count);
        let deviation = (self.noise / 2.0 / squares).sqrt() * end;
        let rising = (end + (slope - DOUBT * deviation).max(0.0) * ticks).min(RISE_MOST * latest.max(load).max(end));
        // A load that recovers from a collapse, such as a restart of all pods, is not extended above its earlier level.
        let highest = (n..self.observed.min(KEPT)).map(|back| self.load(back)).fold(0.0, f64::max);
        let lowest = (0..n).map(|back| self.load(back)).fold(f64::INFINITY, f64::min);
        // After a step the rate over the window still rises, but a trend shows in the last scrape interval too.
        let is_step = self.load(n - 1) < STEP * latest;
        let is_flat = is_step && latest <= (1.0 + FLAT) * before;
        let rising = if is_flat { rising.min(latest.max(load)) } else { rising };
        let is_back =
            lowest < COLLAPSE * highest && self.load(0) <= highest * (1.0 + DOUBT * self.noise.sqrt().min(0.2));
        if is_back { rising.min(highest) } else { rising }
    }

    /// The load of `back` ticks ago, requests per second.
    fn load(&self, back: usize) -> f64 {
        f64::from(self.loads[(self.observed - 1 - back) % KEPT])
    }

    /// The least-squares lines through the last [`LINES`] ticks: their values now (not negative) and slopes per tick.
    pub fn lines(&self) -> [(f64, f64); LINES.len()] {
        let (mut taken, mut sum, mut weighted) = (0, 0.0, 0.0);
        LINES.map(|samples| {
            let n = samples.min(self.observed);
            while taken < n {
                let load = self.load(taken);
                sum += load;
                weighted += load * taken as f64;
                taken += 1;
            }
            if n < 3 {
                return (self.load(0), 0.0);
            }
            let (count, middle) = (n as f64, (n - 1) as f64 / 2.0);
            let slope = (middle * sum - weighted) / (count * (count * count - 1.0) / 12.0);
            ((sum / count + slope * middle).max(0.0), slope)
        })
    }
}
