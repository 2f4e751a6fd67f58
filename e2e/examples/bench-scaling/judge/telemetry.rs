//! What the metrics of a run say: counters and gauges of every second, read with the windows, noise and gaps that a
//! scraper has.

use std::cell::RefCell;

use super::cohort::{KUBELET, SCRAPE};
use super::queue::{BUCKETS, Histogram, histogram_quantile};
use super::rng::Rng;

/// Scrapes of the histogram that are kept (one every [`SCRAPE`] seconds).
const KEPT: usize = 64;

/// What the pods that answer their scrapes count in a second.
#[derive(Debug, Clone, Copy, Default, PartialEq)]
pub struct Exported {
    /// How many pods that is, and how many were ready once and do not answer.
    pub pods: u32,
    pub silent: u32,
    /// Requests they answered, whoever waited for it, and of those the ones they refused (503).
    pub requests: f64,
    pub refused: f64,
    /// Requests in the pods, waiting and in service, on average.
    pub in_flight: f64,
    /// CPU used, in pods' worth.
    pub busy: f64,
}

/// What pods counted while they did not answer their scrapes: counters go on, and the next scrape that is answered has it.
#[derive(Debug, Clone, Copy, Default, PartialEq)]
pub struct Unseen {
    /// For how long, how many pods at the end.
    pub seconds: u32,
    pub pods: u32,
    /// Requests that were worked on, and the CPU that took, in pods' worth times seconds.
    pub requests: f64,
    pub busy: f64,
    /// Their latencies.
    pub histogram: Histogram,
}

/// CPU as the kubelets measure it, every 15 s over 15 s, of pods that answer or not.
#[derive(Debug, Clone, Copy, Default, PartialEq)]
pub struct Measured {
    /// Of so many pods.
    pub pods: u32,
    /// CPU used, in pods' worth.
    pub cpu: f64,
}

impl Measured {
    /// Seconds from the end of a measurement at `now`: it can be read a second later.
    #[must_use]
    pub fn age(now: u32) -> u32 {
        (now - 1) % KUBELET + 1
    }

    /// Adds that of other pods.
    pub fn add(&mut self, other: Self) {
        self.pods += other.pods;
        self.cpu += other.cpu;
    }
}

/// Pods as a policy may count them.
#[derive(Debug, Clone, Copy, Default, PartialEq)]
pub struct Pods {
    /// All, starting ones included.
    pub replicas: u32,
    /// Those that get requests.
    pub ready: u32,
    /// Of those, the ones that have been ready for the warm-up.
    pub warm: u32,
    /// Those that were ready and do not pass their readiness probe any more.
    pub unready: u32,
    /// The CPU of all pods that were ready once, and of those that the HPA's calculator counts.
    pub measured: Measured,
    pub counted: Measured,
}

/// Everything the pods exported so far, as sums over the seconds, and how many pods answered.
#[derive(Debug)]
pub struct Telemetry {
    requests: Vec<f64>,
    refused: Vec<f64>,
    in_flight: Vec<f64>,
    busy: Vec<f64>,
    pods: Vec<f64>,
    silent: Vec<u32>,
    histogram: Histogram,
    scrapes: Vec<[f64; BUCKETS.len() + 1]>,
    noise: RefCell<Rng>,
    gaps: f64,
}

impl Telemetry {
    /// Empty; each scrape is lost with probability `gaps`.
    #[must_use]
    pub fn new(seed: u64, gaps: f64, seconds: usize) -> Self {
        let sums = || {
            let mut sums = Vec::with_capacity(seconds + 1);
            sums.push(0.0);
            sums
        };
        Self {
            requests: sums(),
            refused: sums(),
            in_flight: sums(),
            busy: sums(),
            pods: sums(),
            silent: Vec::with_capacity(seconds),
            histogram: Histogram::default(),
            scrapes: vec![[0.0; BUCKETS.len() + 1]; KEPT],
            noise: RefCell::new(Rng::new(seed ^ 0xA11CE)),
            gaps,
        }
    }

    /// Adds a second that was lived through. What a pod counts while it does not answer is missing, until it answers again
    /// ([`Telemetry::catch_up`]).
    pub fn push(&mut self, second: &Exported) {
        let add = |sums: &mut Vec<f64>, value: f64| sums.push(sums[sums.len() - 1] + value);
        add(&mut self.requests, second.requests);
        add(&mut self.refused, second.refused);
        add(&mut self.in_flight, second.in_flight);
        add(&mut self.busy, second.busy);
        add(&mut self.pods, f64::from(second.pods));
        self.silent.push(second.silent);
        let now = self.silent.len() as u32;
        if now.is_multiple_of(SCRAPE) {
            let index = (now / SCRAPE) as usize;
            let before = self.scrapes[(index - 1) % KEPT];
            let mut next = before;
            for (sum, count) in next.iter_mut().zip(self.histogram) {
                *sum += f64::from(count);
            }
            self.scrapes[index % KEPT] = next;
            self.histogram = Histogram::default();
        }
    }

    /// Pods answer again: what they counted meanwhile is spread over that time, as `rate` does it for a window that holds
    /// the scrape before it. (Of a shorter window it makes nothing before the second scrape: here that is a scrape early.)
    pub fn catch_up(&mut self, unseen: &Unseen) {
        let Unseen { seconds, pods, requests, busy, histogram } = *unseen;
        let pods = f64::from(pods) * f64::from(seconds);
        for (sums, more) in [(&mut self.requests, requests), (&mut self.busy, busy), (&mut self.pods, pods)] {
            let last = sums.len() - 1;
            for ago in 0..seconds.min(last as u32) {
                sums[last - ago as usize] += more * f64::from(seconds - ago) / f64::from(seconds);
            }
        }
        let last = (self.silent.len() as u32 / SCRAPE) as usize;
        let scrapes = (seconds / SCRAPE).max(1) as usize;
        for ago in 0..scrapes.min(KEPT - 1).min(last + 1) {
            let share = (scrapes - ago) as f64 / scrapes as f64;
            for (sum, more) in self.scrapes[(last - ago) % KEPT].iter_mut().zip(histogram) {
                *sum += f64::from(more) * share;
            }
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

    /// Requests per second over the window that ends at `at`, refused ones included, with the noise of counting (Poisson).
    #[must_use]
    pub fn rate(&self, at: u32, window: u32) -> f64 {
        self.counted(self.mean(&self.requests, at, window), window)
    }

    /// Requests per second that were refused, over the window that ends at `at`.
    #[must_use]
    pub fn refused(&self, at: u32, window: u32) -> f64 {
        self.mean(&self.refused, at, window)
    }

    fn counted(&self, rate: f64, window: u32) -> f64 {
        (rate + (rate / f64::from(window.max(1))).sqrt() * self.noise.borrow_mut().normal()).max(0.0)
    }

    /// Requests in the pods on average over the window, 2 % noise.
    #[must_use]
    pub fn concurrency(&self, at: u32, window: u32) -> f64 {
        self.noisy(self.mean(&self.in_flight, at, window))
    }

    /// CPU used over the window, mean of the pods, 0 to 1, 2 % noise.
    #[must_use]
    pub fn cpu(&self, at: u32, window: u32) -> f64 {
        self.noisy(self.mean(&self.busy, at, window) / self.mean(&self.pods, at, window).max(1.0))
    }

    /// Pods that answered the scrape of a second or the last before it; the first second's before that.
    #[must_use]
    pub fn answering(&self, at: u32) -> u32 {
        let at = (at as usize).clamp(1, self.pods.len() - 1);
        (self.pods[at] - self.pods[at - 1]).round() as u32
    }

    /// Pods that were ready once and did not answer it.
    #[must_use]
    pub fn silent(&self, at: u32) -> u32 {
        self.silent.get(at.saturating_sub(1) as usize).copied().unwrap_or(0)
    }

    /// A quantile of the latency in seconds from the scrapes of the window ending at `at` (both rounded down to
    /// scrapes), with the error of a quantile of so many samples; None without requests.
    #[must_use]
    pub fn latency(&self, at: u32, window: u32, quantile: f64) -> Option<f64> {
        let last = (at / SCRAPE) as usize;
        let first = last.saturating_sub((window / SCRAPE) as usize);
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

    /// A measurement with 2 % noise.
    #[must_use]
    pub fn noisy(&self, value: f64) -> f64 {
        value * (1.0 + 0.02 * self.noise.borrow_mut().normal())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn windows_end_where_they_are_asked_to() {
        let mut telemetry = Telemetry::new(1, 0.0, 100);
        for second in 0..100u32 {
            let requests = if second < 50 { 1000.0 } else { 3000.0 };
            telemetry.histogram()[4] += requests as f32;
            telemetry.push(&Exported { pods: 4, requests, in_flight: 8.0, busy: 2.0, ..Exported::default() });
        }
        assert!((telemetry.rate(50, 20) - 1000.0).abs() < 40.0);
        assert!((telemetry.rate(60, 20) - 2000.0).abs() < 60.0);
        assert!((telemetry.concurrency(100, 60) - 8.0).abs() < 0.8 && (telemetry.cpu(100, 15) - 0.5).abs() < 0.05);
        assert_eq!((telemetry.answering(100), telemetry.silent(100)), (4, 0));
        let p95 = telemetry.latency(99, 15, 0.95).unwrap();
        assert!((p95 - (0.075 + 0.025 * 0.95)).abs() < 0.005, "{p95}");
    }

    #[test]
    fn what_silent_pods_count_is_missing_until_they_answer() {
        let mut telemetry = Telemetry::new(1, 0.0, 40);
        let all = Exported { pods: 2, requests: 200.0, busy: 1.0, ..Exported::default() };
        (0..20).for_each(|_| telemetry.push(&all));
        (0..20).for_each(|_| telemetry.push(&Exported { silent: 2, ..Exported::default() }));
        assert_eq!((telemetry.answering(20), telemetry.answering(21), telemetry.silent(21)), (2, 0, 2));
        assert!((telemetry.rate(30, 20) - 100.0).abs() < 10.0);
        assert!((telemetry.cpu(30, 20) - 0.5).abs() < 0.1, "the mean of those that answered");
        assert_eq!(telemetry.rate(40, 20), 0.0);
        let mut histogram = Histogram::default();
        histogram[4] = 4000.0;
        telemetry.catch_up(&Unseen { seconds: 20, pods: 2, requests: 4000.0, busy: 20.0, histogram });
        assert!((telemetry.rate(40, 20) - 200.0).abs() < 15.0 && (telemetry.rate(40, 5) - 200.0).abs() < 30.0);
        assert!((telemetry.cpu(40, 30) - 0.5).abs() < 0.1 && telemetry.answering(40) == 2);
        assert!(telemetry.latency(40, 10, 0.95).is_some());
    }

    #[test]
    fn a_measurement_of_a_kubelet_can_be_read_a_second_later() {
        assert_eq!([15, 16, 30, 31].map(Measured::age), [15, 1, 15, 1]);
    }

    #[test]
    fn without_requests_there_is_no_latency_and_scrapes_are_lost_as_often_as_asked() {
        let mut telemetry = Telemetry::new(1, 0.25, 10);
        (0..10).for_each(|_| telemetry.push(&Exported { pods: 1, ..Exported::default() }));
        assert_eq!(telemetry.latency(10, 5, 0.95), None);
        let lost = (0..4000).filter(|_| telemetry.scrape_lost()).count();
        assert!((800..1200).contains(&lost), "{lost}");
    }
}
