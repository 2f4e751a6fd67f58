//! What the metrics of a run say: counters and gauges of every second, read with the windows, noise and gaps that a
//! scraper has.

use std::cell::RefCell;

use super::fleet::Second;
use super::queue::{BUCKETS, Histogram, histogram_quantile};
use super::rng::Rng;

/// Scrapes of the histogram that are kept (one every [`Telemetry::SCRAPE`] seconds).
const KEPT: usize = 64;

/// Everything the pods exported so far, and how many pods there were.
#[derive(Debug)]
pub struct Telemetry {
    finished: Vec<f64>,
    in_flight: Vec<f64>,
    busy: Vec<f64>,
    ready: Vec<u32>,
    histogram: Histogram,
    scrapes: Vec<[f64; BUCKETS.len() + 1]>,
    noise: RefCell<Rng>,
    gaps: f64,
}

/// Pods as a policy may count them.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Pods {
    /// All, starting ones included.
    pub replicas: u32,
    /// Those that get requests.
    pub ready: u32,
    /// Those that have been ready for the warm-up.
    pub warm: u32,
}

impl Telemetry {
    /// Seconds between two scrapes of the latency histogram.
    pub const SCRAPE: u32 = 5;

    /// Empty; each scrape is lost with probability `gaps`.
    #[must_use]
    pub fn new(seed: u64, gaps: f64, seconds: usize) -> Self {
        let sums = || {
            let mut sums = Vec::with_capacity(seconds + 1);
            sums.push(0.0);
            sums
        };
        Self {
            finished: sums(),
            in_flight: sums(),
            busy: sums(),
            ready: Vec::with_capacity(seconds),
            histogram: Histogram::default(),
            scrapes: vec![[0.0; BUCKETS.len() + 1]; KEPT],
            noise: RefCell::new(Rng::new(seed ^ 0xA11CE)),
            gaps,
        }
    }

    /// Adds a second that was lived through.
    pub fn push(&mut self, second: &Second, ready: u32) {
        let add = |sums: &mut Vec<f64>, value: f64| sums.push(sums[sums.len() - 1] + value);
        add(&mut self.finished, second.finished);
        add(&mut self.in_flight, second.in_flight);
        add(&mut self.busy, second.busy);
        self.ready.push(ready);
        let now = self.ready.len() as u32;
        if now.is_multiple_of(Self::SCRAPE) {
            let index = (now / Self::SCRAPE) as usize;
            let before = self.scrapes[(index - 1) % KEPT];
            let mut next = before;
            for (sum, count) in next.iter_mut().zip(self.histogram) {
                *sum += f64::from(count);
            }
            self.scrapes[index % KEPT] = next;
            self.histogram = Histogram::default();
        }
    }

    /// The histogram of the seconds since the last scrape, to be added to.
    pub fn histogram(&mut self) -> &mut Histogram {
        &mut self.histogram
    }

    fn mean(&self, sums: &[f64], at: u32, window: u32) -> f64 {
        let from = at.saturating_sub(window);
        (sums[at as usize] - sums[from as usize]) / f64::from((at - from).max(1))
    }

    /// Requests per second over the window that ends at `at`, with the noise of counting (Poisson).
    #[must_use]
    pub fn rate(&self, at: u32, window: u32) -> f64 {
        let rate = self.mean(&self.finished, at, window);
        (rate + (rate / f64::from(window.max(1))).sqrt() * self.noise.borrow_mut().normal()).max(0.0)
    }

    /// Requests in the pods on average over the window, 2 % noise.
    #[must_use]
    pub fn concurrency(&self, at: u32, window: u32) -> f64 {
        self.mean(&self.in_flight, at, window) * self.two_per_cent()
    }

    /// CPU used over the window, in pods' worth, 2 % noise.
    #[must_use]
    pub fn cpu(&self, at: u32, window: u32) -> f64 {
        self.mean(&self.busy, at, window) * self.two_per_cent()
    }

    /// Pods that were ready at a second; the first second's before it.
    #[must_use]
    pub fn ready_at(&self, at: u32) -> u32 {
        self.ready.get(at.saturating_sub(1) as usize).or(self.ready.last()).copied().unwrap_or(0)
    }

    /// A quantile of the latency in seconds from the scrapes of the window ending at `at` (both rounded down to
    /// scrapes), with the error of a quantile of so many samples; None without requests.
    #[must_use]
    pub fn latency(&self, at: u32, window: u32, quantile: f64) -> Option<f64> {
        let last = (at / Self::SCRAPE) as usize;
        let first = last.saturating_sub((window / Self::SCRAPE) as usize);
        let mut counts = Histogram::default();
        for (index, count) in counts.iter_mut().enumerate() {
            *count = (self.scrapes[last % KEPT][index] - self.scrapes[first % KEPT][index]) as f32;
        }
        let requests: f64 = counts.iter().map(|count| f64::from(*count)).sum();
        // Relative error of the quantile of n exponential times: sqrt(q / (1 - q) / n) / -ln(1 - q).
        let error = (quantile / (1.0 - quantile) / requests.max(1.0)).sqrt() / -(1.0 - quantile).ln();
        let noise = (1.0 + error * self.noise.borrow_mut().normal()).clamp(0.5, 2.0);
        histogram_quantile(&counts, quantile).map(|latency| latency * noise)
    }

    /// Whether the scrape that is due now is lost.
    #[must_use]
    pub fn scrape_lost(&self) -> bool {
        self.gaps > 0.0 && self.noise.borrow_mut().uniform() < self.gaps
    }

    fn two_per_cent(&self) -> f64 {
        1.0 + 0.02 * self.noise.borrow_mut().normal()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn windows_end_where_they_are_asked_to() {
        let mut telemetry = Telemetry::new(1, 0.0, 100);
        for second in 0..100u32 {
            let finished = if second < 50 { 1000.0 } else { 3000.0 };
            telemetry.histogram()[4] += finished as f32;
            telemetry.push(&Second { finished, in_flight: 8.0, busy: 2.0, ..Second::default() }, 3);
        }
        assert!((telemetry.rate(50, 20) - 1000.0).abs() < 40.0);
        assert!((telemetry.rate(60, 20) - 2000.0).abs() < 60.0);
        assert!((telemetry.concurrency(100, 60) - 8.0).abs() < 0.8 && (telemetry.cpu(100, 15) - 2.0).abs() < 0.2);
        assert_eq!((telemetry.ready.len(), telemetry.ready_at(100)), (100, 3));
        let p95 = telemetry.latency(99, 15, 0.95).unwrap();
        assert!((p95 - (0.075 + 0.025 * 0.95)).abs() < 0.005, "{p95}");
    }

    #[test]
    fn without_requests_there_is_no_latency_and_scrapes_are_lost_as_often_as_asked() {
        let mut telemetry = Telemetry::new(1, 0.25, 10);
        (0..10).for_each(|_| telemetry.push(&Second::default(), 1));
        assert_eq!(telemetry.latency(10, 5, 0.95), None);
        let lost = (0..4000).filter(|_| telemetry.scrape_lost()).count();
        assert!((800..1200).contains(&lost), "{lost}");
    }
}
