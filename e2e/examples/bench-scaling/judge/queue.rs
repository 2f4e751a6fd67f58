//! The queue of one pod: M/M/c, first come first served.
//!
//! With a = λ/μ requests in service on average, c workers and r = c − a, the probability to wait is Erlang's C(c, a).
//! The time of a request in the pod, T = wait + service, has in units of the mean service time the distribution
//! `P(T > t) = e^(-t) (1 + C (1 − e^(−t (r − 1))) / (r − 1))`, with the limit `1 + C t` at r = 1
//! (Gross, Harris: Fundamentals of Queueing Theory, section on M/M/c waiting times).

/// Load per worker at which a pod counts as saturated. Above it the steady state is not reached within a second.
pub const SATURATED: f64 = 0.97;

/// Buckets of the latency histogram, seconds: the defaults of the high-resolution histogram of
/// prometheus-fastapi-instrumentator.
pub const BUCKETS: [f64; 21] = [
    0.01, 0.025, 0.05, 0.075, 0.1, 0.25, 0.5, 0.75, 1.0, 1.5, 2.0, 2.5, 3.0, 3.5, 4.0, 4.5, 5.0, 7.5, 10.0, 30.0, 60.0,
];

/// Counts per bucket, not cumulative. The last bucket is +Inf.
pub type Histogram = [f32; BUCKETS.len() + 1];

/// Number of utilisation levels in the tables.
const LEVELS: usize = 400;

/// A pod with `workers` workers.
#[derive(Debug, Clone)]
pub struct Pod {
    workers: u32,
    /// Erlang's C by level of utilisation.
    waiting: Vec<f64>,
}

impl Pod {
    /// A pod with that many workers (at least one).
    #[must_use]
    pub fn new(workers: u32) -> Self {
        let workers = workers.max(1);
        let waiting = (0..=LEVELS).map(|level| erlang_c(workers, level as f64 / LEVELS as f64)).collect();
        Self { workers, waiting }
    }

    /// Workers of the pod.
    #[must_use]
    pub fn workers(&self) -> f64 {
        f64::from(self.workers)
    }

    fn probability_to_wait(&self, utilisation: f64) -> f64 {
        let at = utilisation.clamp(0.0, 1.0) * LEVELS as f64;
        let low = (at as usize).min(LEVELS - 1);
        let share = at - low as f64;
        self.waiting[low] * (1.0 - share) + self.waiting[low + 1] * share
    }

    /// P(time in the pod > `time`), `time` in units of the mean service time.
    #[must_use]
    pub fn tail(&self, utilisation: f64, time: f64) -> f64 {
        if time <= 0.0 {
            return 1.0;
        }
        let utilisation = utilisation.min(SATURATED);
        let spare = self.workers() * (1.0 - utilisation) - 1.0;
        let wait = self.probability_to_wait(utilisation);
        let served = (-time).exp();
        let late = if spare.abs() < 1e-6 { time * served } else { (served - (-time * (1.0 + spare)).exp()) / spare };
        (served + wait * late).clamp(0.0, 1.0)
    }

    /// Requests in the pod on average, waiting and in service.
    #[must_use]
    pub fn in_flight(&self, utilisation: f64) -> f64 {
        let utilisation = utilisation.min(SATURATED);
        self.workers() * utilisation + self.probability_to_wait(utilisation) * utilisation / (1.0 - utilisation)
    }

    /// The time that a request exceeds with probability `1 - quantile`, in units of the mean service time.
    #[must_use]
    pub fn quantile(&self, utilisation: f64, quantile: f64) -> f64 {
        bisect(0.0, 1e4, |time| self.tail(utilisation, time) < 1.0 - quantile)
    }

    /// The highest utilisation at which the quantile of the time in the pod is at most `time`; 0 if there is none.
    #[must_use]
    pub fn utilisation_at(&self, time: f64, quantile: f64) -> f64 {
        bisect(0.0, SATURATED, |utilisation| self.tail(utilisation, time) > 1.0 - quantile)
    }
}

/// Erlang's C by the recursion of Erlang's B: the probability that all workers are busy.
fn erlang_c(workers: u32, utilisation: f64) -> f64 {
    let offered = f64::from(workers) * utilisation;
    let blocked = (1..=workers).fold(1.0, |b, k| offered * b / (f64::from(k) + offered * b));
    blocked / (1.0 - utilisation * (1.0 - blocked)).max(1e-12)
}

/// The point in `low..high` at which `beyond` becomes true.
fn bisect(mut low: f64, mut high: f64, beyond: impl Fn(f64) -> bool) -> f64 {
    for _ in 0..60 {
        let middle = f64::midpoint(low, high);
        if beyond(middle) { high = middle } else { low = middle }
    }
    low
}

/// Prometheus' `histogram_quantile` on counts per bucket: linear within the bucket, the highest bound for +Inf, None
/// without requests.
#[must_use]
pub fn histogram_quantile(counts: &Histogram, quantile: f64) -> Option<f64> {
    let total: f64 = counts.iter().map(|count| f64::from(*count)).sum();
    if total < 1e-9 {
        return None;
    }
    let (mut below, rank) = (0.0, quantile * total);
    for (index, count) in counts.iter().enumerate() {
        let count = f64::from(*count);
        if below + count >= rank && count > 0.0 {
            let Some(upper) = BUCKETS.get(index) else { break };
            let lower = if index == 0 { 0.0 } else { BUCKETS[index - 1] };
            return Some(lower + (upper - lower) * ((rank - below) / count));
        }
        below += count;
    }
    Some(BUCKETS[BUCKETS.len() - 1])
}

/// Shares of requests per bucket, by level of utilisation, for one service time.
#[derive(Debug, Clone)]
pub struct Shares {
    levels: Vec<Histogram>,
}

impl Shares {
    /// Tables for a pod whose mean service time is `service` seconds.
    #[must_use]
    pub fn new(pod: &Pod, service: f64) -> Self {
        Self { levels: (0..=LEVELS).map(|level| delayed(pod, level as f64 / LEVELS as f64, service, 0.0)).collect() }
    }

    /// The shares at a utilisation.
    #[must_use]
    pub fn at(&self, utilisation: f64) -> &Histogram {
        &self.levels[(utilisation.clamp(0.0, 1.0) * LEVELS as f64).round() as usize]
    }
}

/// Shares of requests per bucket, if each request waits `wait` seconds longer than in the steady state.
#[must_use]
pub fn delayed(pod: &Pod, utilisation: f64, service: f64, wait: f64) -> Histogram {
    let mut shares = [0.0; BUCKETS.len() + 1];
    let mut above = 1.0;
    for (index, bound) in BUCKETS.iter().enumerate() {
        let next = pod.tail(utilisation, (bound - wait) / service);
        shares[index] = (above - next) as f32;
        above = next;
    }
    shares[BUCKETS.len()] = above as f32;
    shares
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn one_worker_is_the_textbook_m_m_1() {
        let pod = Pod::new(1);
        // T is exponential with rate 1 - ρ.
        assert!((pod.tail(0.6, 2.0) - (-0.8f64).exp()).abs() < 1e-9);
        assert!((pod.quantile(0.6, 0.95) - 20f64.ln() / 0.4).abs() < 1e-6);
        assert!((pod.in_flight(0.6) - 1.5).abs() < 1e-9);
        // 2.5 times the unloaded p95 is reached at 1 - 1/2.5.
        assert!((pod.utilisation_at(2.5 * 20f64.ln(), 0.95) - 0.6).abs() < 1e-6);
    }

    #[test]
    fn erlang_c_matches_published_values() {
        // c = 4, a = 3.2: 0.5964; c = 2, ρ = 0.5: 1/3 (textbook tables).
        assert!((erlang_c(4, 0.8) - 0.5964).abs() < 1e-3, "{}", erlang_c(4, 0.8));
        assert!((erlang_c(2, 0.5) - 1.0 / 3.0).abs() < 1e-12);
    }

    #[test]
    fn four_workers_agree_with_a_simulation_of_single_requests() {
        use crate::judge::rng::Rng;
        let (pod, mut rng) = (Pod::new(4), Rng::new(11));
        for utilisation in [0.5, 0.8, 0.9] {
            let (mut now, mut free) = (0.0f64, [0.0f64; 4]);
            let mut times: Vec<f64> = (0..400_000)
                .map(|_| {
                    now += rng.exponential() / (4.0 * utilisation);
                    free.sort_by(f64::total_cmp);
                    free[0] = free[0].max(now) + rng.exponential();
                    free[0] - now
                })
                .collect();
            times.sort_by(f64::total_cmp);
            let (simulated, computed) = (times[380_000], pod.quantile(utilisation, 0.95));
            assert!(
                (simulated / computed - 1.0).abs() < 0.06,
                "{utilisation}: simulated {simulated}, computed {computed}"
            );
        }
    }

    #[test]
    fn the_histogram_quantile_interpolates_as_prometheus_does() {
        let mut counts = [0.0; BUCKETS.len() + 1];
        assert_eq!(histogram_quantile(&counts, 0.95), None);
        counts[4] = 90.0;
        counts[5] = 10.0;
        // The 95th of 100 lies in the middle of 0.1..0.25.
        assert!((histogram_quantile(&counts, 0.95).unwrap() - 0.175).abs() < 1e-9);
        counts[BUCKETS.len()] = 900.0;
        assert_eq!(histogram_quantile(&counts, 0.95), Some(60.0));
    }
}
