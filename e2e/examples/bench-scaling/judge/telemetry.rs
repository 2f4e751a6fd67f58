//! The metrics of a run: counters and gauges of every second, read with the windows, noise and gaps of a scraper.

use std::cell::RefCell;

use super::queue::{BUCKETS, Histogram, histogram_quantile};
use super::rng::Rng;

/// Seconds between two scrapes, and their time-out: as the operator configures it for objects that scale on latency.
pub const SCRAPE: u32 = 5;

/// Seconds between two CPU measurements of a kubelet, and their length: the resolution of metrics-server.
pub const KUBELET: u32 = 15;

/// Number of scrapes of the histogram that are kept (one every [`SCRAPE`] seconds).
const KEPT: usize = 64;

/// The metrics of a second of the pods that answer their scrapes.
#[derive(Debug, Clone, Copy, Default, PartialEq)]
pub struct Exported {
    /// Number of these pods.
    pub pods: u32,
    /// Number of pods that have been ready and do not answer.
    pub silent: u32,
    /// Requests that they answered, even if the clients had gone, including refused ones.
    pub requests: f64,
    /// Requests that they refused (503).
    pub refused: f64,
    /// Requests in the pods, waiting and in service, on average.
    pub in_flight: f64,
    /// CPU used, in fully used pods.
    pub busy: f64,
}

/// The metrics of pods while they did not answer their scrapes. Counters continue, and the next answered scrape has the
/// increase.
#[derive(Debug, Clone, Copy, Default, PartialEq)]
pub struct Unscraped {
    /// Seconds without an answer.
    pub seconds: u32,
    /// Number of pods at the end.
    pub pods: u32,
    /// Served requests.
    pub requests: f64,
    /// CPU used, in fully used pods times seconds.
    pub busy: f64,
    /// Their latencies.
    pub histogram: Histogram,
}

/// CPU as the kubelets measure it, every [`KUBELET`] seconds over as many, whether or not the pods answer.
#[derive(Debug, Clone, Copy, Default, PartialEq)]
pub struct Measured {
    /// Number of pods.
    pub pods: u32,
    /// CPU used, in fully used pods.
    pub cpu: f64,
}

impl Measured {
    /// Seconds since the end of the last measurement at `now`. A measurement is available a second after its end.
    #[must_use]
    pub fn age(now: u32) -> u32 {
        (now - 1) % KUBELET + 1
    }

    /// Adds the measurement of other pods.
    pub fn add(&mut self, other: Self) {
        self.pods += other.pods;
        self.cpu += other.cpu;
    }
}

/// The pods as a policy may count them.
#[derive(Debug, Clone, Copy, Default, PartialEq)]
pub struct Pods {
    /// All pods, including starting ones.
    pub replicas: u32,
    /// Pods that get requests.
    pub ready: u32,
    /// Ready pods that have been ready for the warm-up time.
    pub warm: u32,
    /// Pods that were ready and fail their readiness probe.
    pub unready: u32,
    /// The CPU of all pods that have been ready.
    pub measured: Measured,
    /// The CPU of the pods that the HPA counts.
    pub counted: Measured,
}

/// All metrics so far, as sums over the seconds, and the number of pods that answered.
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
    /// Without metrics. Each scrape is lost with probability `gaps`.
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

    /// Adds a second. The metrics of pods that do not answer are missing until they answer again
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

    /// Adds the metrics of pods that answer again, spread over the time without an answer. This is what `rate` computes
    /// for a window that contains the scrape before the gap. (For a shorter window `rate` has no result before the
    /// second scrape; here it has one a scrape earlier.)
    pub fn catch_up(&mut self, unscraped: &Unscraped) {
        let Unscraped { seconds, pods, requests, busy, histogram } = *unscraped;
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

    /// The histogram of the seconds since the last scrape, to add to.
    pub fn histogram(&mut self) -> &mut Histogram {
        &mut self.histogram
    }

    fn mean(&self, sums: &[f64], at: u32, window: u32) -> f64 {
        let from = at.saturating_sub(window);
        (sums[at as usize] - sums[from as usize]) / f64::from((at - from).max(1))
    }

    /// Requests per second over the window that ends at `at`, including refused ones, with Poisson noise.
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

    /// Mean number of requests in the pods over the window, with 2 % noise.
    #[must_use]
    pub fn concurrency(&self, at: u32, window: u32) -> f64 {
        self.noisy(self.mean(&self.in_flight, at, window))
    }

    /// Mean CPU utilisation of the pods over the window, 0 to 1, with 2 % noise.
    #[must_use]
    pub fn cpu(&self, at: u32, window: u32) -> f64 {
        self.noisy(self.mean(&self.busy, at, window) / self.mean(&self.pods, at, window).max(1.0))
    }

    /// Number of pods that answered the last scrape at or before `at`. Before the first second it is the value of the
    /// first second.
    #[must_use]
    pub fn answering(&self, at: u32) -> u32 {
        let at = (at as usize).clamp(1, self.pods.len() - 1);
        (self.pods[at] - self.pods[at - 1]).round() as u32
    }

    /// Number of pods that have been ready and did not answer that scrape.
    #[must_use]
    pub fn silent(&self, at: u32) -> u32 {
        self.silent.get(at.saturating_sub(1) as usize).copied().unwrap_or(0)
    }

    /// A quantile of the latency, seconds, from the scrapes of the window that ends at `at` (both rounded down to
    /// scrapes), with the sampling error of the quantile. None without requests.
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

    /// Whether the current scrape is lost.
    #[must_use]
    pub fn scrape_lost(&self) -> bool {
        self.gaps > 0.0 && self.noise.borrow_mut().uniform() < self.gaps
    }

    /// Adds 2 % noise to a value.
    #[must_use]
    pub fn noisy(&self, value: f64) -> f64 {
        value * (1.0 + 0.02 * self.noise.borrow_mut().normal())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn windows_end_at_the_given_second() {
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
    fn metrics_of_silent_pods_are_missing_until_they_answer() {
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
        telemetry.catch_up(&Unscraped { seconds: 20, pods: 2, requests: 4000.0, busy: 20.0, histogram });
        assert!((telemetry.rate(40, 20) - 200.0).abs() < 15.0 && (telemetry.rate(40, 5) - 200.0).abs() < 30.0);
        assert!((telemetry.cpu(40, 30) - 0.5).abs() < 0.1 && telemetry.answering(40) == 2);
        assert!(telemetry.latency(40, 10, 0.95).is_some());
    }

    #[test]
    fn a_measurement_of_a_kubelet_is_available_a_second_later() {
        assert_eq!([15, 16, 30, 31].map(Measured::age), [15, 1, 15, 1]);
    }

    #[test]
    fn without_requests_there_is_no_latency_and_scrapes_are_lost_with_the_given_probability() {
        let mut telemetry = Telemetry::new(1, 0.25, 10);
        (0..10).for_each(|_| telemetry.push(&Exported { pods: 1, ..Exported::default() }));
        assert_eq!(telemetry.latency(10, 5, 0.95), None);
        let lost = (0..4000).filter(|_| telemetry.scrape_lost()).count();
        assert!((800..1200).contains(&lost), "{lost}");
    }
}
