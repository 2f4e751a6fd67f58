//! The capacity of one replica at the target, learned from its load and its latency.
//!
//! # Model
//!
//! The latency quantile L of a replica at a load of x requests/s is
//! ```text
//! L(x) = L0 * (1 + rho^(sqrt(2 (c + 1)) - 1) / (c (1 - rho)))        rho = x / X
//! ```
//! with L0 the latency quantile without load, X the load at saturation in requests/s, and c the number of workers.
//! (H. Sakasegawa, "An approximation formula Lq = a rho^b / (1 - rho)", Ann. Inst. Statist. Math. 29, 1977; exact for
//! c = 1.)
//!
//! The capacity is the load at which L(x) reaches the target. So it accounts for the latency without following each change
//! of it. A target below L0 is detected as impossible. The capacity never exceeds 0.97 of the CPU of a replica, whatever
//! the curve gives.
//!
//! Example: L0 = 600 ms, X = 20/s, c = 4: 18/s at a target of 1.5 s, 8/s at 640 ms, none at 600 ms.
//!
//! # Learning
//!
//! For each of three c (1, 4, 16) an extended Kalman filter estimates (ln L0, ln X). The steeper the curve at the
//! load of a sample, the more the sample teaches about X. The filter with the smallest prediction errors is used. When the
//! CPU per request changes, as with a new model version, L0 and X change with it at once.

use serde::{Deserialize, Serialize};

/// Numbers of workers per replica, one per filter.
const WORKERS: [f64; 3] = [1.0, 4.0, 16.0];
/// The first or last filter is used only when its mean negative log-likelihood is lower than that of the middle one by more
/// than this.
const CLEARLY: f64 = 0.08;
/// Variance of ln(latency) from histogram buckets. It does not depend on the number of requests.
const MEASUREMENT: f64 = 0.01;
/// Variance of ln(latency) from counting, times the requests. For the p95 of exponentially distributed times this is
/// `q / (1 - q) / ln(1 - q)^2` = 2.1. The value is about three times that because windows overlap: of three samples in a row
/// only one is new information.
const COUNTING: f64 = 6.0;
/// Variance that ln L0 and ln X gain per sample, because both may drift.
const DRIFT: f64 = 1.6e-5;
/// CPU use of a replica, 0 to 1, below which the CPU per request is not learned. An idle process uses some CPU too, which
/// would make requests seem expensive after a quiet night.
const IDLE: f64 = 0.2;
/// Utilisation, 0 to 1, above which the curve is not followed. Also the largest share of the CPU of a replica that is planned
/// with.
const SATURATED: f64 = 0.97;
/// A target below this times L0 is impossible.
const FEASIBLE: f64 = 1.02;
/// Fewest requests within a window for a sample to count.
const FEWEST: f64 = 10.0;

/// L(x) / L0 at a utilisation, and its elasticity d ln L / d ln rho.
fn curve(workers: f64, utilisation: f64) -> (f64, f64) {
    let rho = utilisation.clamp(1e-3, SATURATED);
    let power = (2.0 * (workers + 1.0)).sqrt() - 1.0;
    let wait = rho.powf(power) / (workers * (1.0 - rho));
    (1.0 + wait, wait * (power + rho / (1.0 - rho)) / (1.0 + wait))
}

/// A steady measurement of warm replicas.
#[derive(Debug, Clone, Copy, PartialEq)]
pub struct Sample {
    /// Requests per second of one replica.
    pub load: f64,
    /// Requests within the window, all replicas.
    pub requests: f64,
    /// The latency quantile, seconds.
    pub latency: f64,
    /// CPU of one replica, 0 to 1 of what it may use.
    pub cpu: Option<f64>,
}

/// The estimate for one number of workers.
#[derive(Debug, Clone, Copy, PartialEq, Serialize, Deserialize)]
struct Filter {
    /// ln L0, ln seconds.
    unloaded: f64,
    /// ln X, ln requests per second.
    saturation: f64,
    /// Variance of ln L0, covariance, variance of ln X.
    variance: [f64; 3],
    /// Exponentially weighted mean of the negative log-likelihood of the samples.
    surprise: f64,
}

impl Filter {
    fn update(&mut self, workers: f64, sample: &Sample) {
        let [aa, ab, bb] = [self.variance[0] + DRIFT, self.variance[1], self.variance[2] + DRIFT];
        let (factor, steep) = curve(workers, sample.load / self.saturation.exp());
        let row = [aa - steep * ab, ab - steep * bb];
        let variance = row[0] - steep * row[1] + MEASUREMENT + COUNTING / sample.requests;
        let error = sample.latency.ln() - self.unloaded - factor.ln();
        self.surprise += 0.005 * ((error * error / variance).min(25.0) + variance.ln() - self.surprise);
        // An outlier counts as at most three standard deviations.
        let limit = 3.0 * variance.sqrt();
        let error = error.clamp(-limit, limit);
        let gain = [row[0] / variance, row[1] / variance];
        let moved = gain[0] * error;
        self.unloaded += moved;
        // At a light load X changes at most as much as L0: it is far from that load, so the tangent would overshoot.
        let most = (moved.abs() + 0.3 * steep.min(1.0)).min(0.3);
        self.saturation += (gain[1] * error).clamp(-most, most);
        self.variance = [aa - gain[0] * row[0], ab - gain[0] * row[1], bb - gain[1] * row[1]];
    }

    /// ln of the load at the target, and its standard deviation. None when no load meets the target.
    fn at(&self, workers: f64, target: f64) -> Option<(f64, f64)> {
        let ratio = target / self.unloaded.exp();
        if ratio < FEASIBLE {
            return None;
        }
        // Bisected until the curve is nearly linear within the interval.
        let (mut low, mut high) = ((1e-3, 1.0), (SATURATED, curve(workers, SATURATED).0));
        for _ in 0..5 {
            let middle = f64::midpoint(low.0, high.0);
            let factor = curve(workers, middle).0;
            if factor > ratio { high = (middle, factor) } else { low = (middle, factor) }
        }
        let share = ((ratio - low.1) / (high.1 - low.1)).clamp(0.0, 1.0);
        let utilisation = low.0 + share * (high.0 - low.0);
        // On a flat curve a small error of L0 is a large error of the load, so the elasticity is bounded below.
        let steep = curve(workers, utilisation).1.max(0.3);
        let [aa, ab, bb] = self.variance;
        let variance = (bb - 2.0 * ab / steep + aa / (steep * steep)).max(0.0);
        Some((utilisation.ln() + self.saturation, variance.sqrt()))
    }
}

/// The model of one replica: about 20 numbers, kept over restarts.
#[derive(Debug, Clone, Copy, PartialEq, Default, Serialize, Deserialize)]
pub struct Capacity {
    filters: Option<[Filter; 3]>,
    /// ln of the CPU of a replica (0 to 1) per request per second, smoothed.
    cost: Option<f64>,
}

impl Capacity {
    /// Learns from a steady sample. The first one starts with a low estimate: from `prior` (requests per second per replica
    /// at the target) if it is given, else 0.9 of the capacity by CPU, else 1.7 times the load.
    pub fn learn(&mut self, sample: &Sample, prior: Option<f64>, target: f64) {
        let numbers = [sample.load, sample.latency];
        if numbers.iter().any(|number| !number.is_finite() || *number <= 0.0) || sample.requests < FEWEST {
            return;
        }
        let cpu = sample.cpu.filter(|cpu| *cpu > IDLE);
        self.costs(sample.load, cpu);
        let filters = self.filters.get_or_insert_with(|| [first(sample, cpu, prior, target); 3]);
        for (filter, workers) in filters.iter_mut().zip(WORKERS) {
            filter.update(workers, sample);
        }
    }

    /// Learns the CPU per request only. The latency is not learned, because it is affected by replicas that are added, removed
    /// or warming up.
    pub fn costs(&mut self, load: f64, cpu: Option<f64>) {
        if let Some(cpu) = cpu.filter(|cpu| *cpu > IDLE && load > 0.0) {
            self.follow_cost((cpu / load).ln());
        }
    }

    /// Learns from a steady state in which the queue grows without limit. The latency is then that of the queue. The CPU per
    /// request is still learned if it rose. A fall is ignored: it may come from clients that give up.
    pub fn overloaded(&mut self, load: f64, cpu: Option<f64>) {
        let risen = cpu.filter(|cpu| self.cost.is_some_and(|before| (cpu / load).ln() > before));
        self.costs(load, risen);
    }

    /// Smooths the CPU per request. A change of it raises L0 and lowers X by the same factor.
    fn follow_cost(&mut self, cost: f64) {
        let before = self.cost.unwrap_or(cost);
        let after = before + 0.1 * (cost - before);
        self.cost = Some(after);
        for filter in self.filters.iter_mut().flatten() {
            filter.unloaded += after - before;
            filter.saturation -= after - before;
        }
    }

    /// The capacity of one replica at the target: half a standard deviation below the estimate.
    #[must_use]
    pub fn at(&self, target: f64) -> Known {
        let Some(filters) = &self.filters else { return Known::Unknown };
        let best = self.best(filters);
        match filters[best].at(WORKERS[best], target) {
            Some((load, deviation)) => {
                let by_cpu = self.cost.map_or(f64::INFINITY, |cost| SATURATED / cost.exp());
                Known::Capacity((load - 0.5 * deviation).exp().min(by_cpu))
            }
            None => Known::Impossible { unloaded: filters[best].unloaded.exp() },
        }
    }

    /// The estimated latency without load, seconds.
    #[must_use]
    pub fn unloaded(&self) -> Option<f64> {
        self.filters.as_ref().map(|filters| filters[self.best(filters)].unloaded.exp())
    }

    /// Whether an estimate differs by more than a tenth.
    #[must_use]
    pub(super) fn differs_from(&self, other: &Self) -> bool {
        let estimates = |capacity: &Self| {
            let filter = capacity.filters.as_ref().map(|filters| filters[capacity.best(filters)]);
            let exp = |logarithm: Option<f64>| logarithm.map(f64::exp);
            [exp(filter.map(|filter| filter.unloaded)), exp(filter.map(|filter| filter.saturation)), exp(capacity.cost)]
        };
        estimates(self).into_iter().zip(estimates(other)).any(|(own, others)| differs(own, others))
    }

    /// Index of the filter that is used.
    fn best(&self, filters: &[Filter; 3]) -> usize {
        let other = if filters[0].surprise < filters[2].surprise { 0 } else { 2 };
        if filters[other].surprise + CLEARLY < filters[1].surprise { other } else { 1 }
    }
}

/// Whether two numbers that may be unknown differ by more than a tenth of the larger.
pub(super) fn differs(a: Option<f64>, b: Option<f64>) -> bool {
    match (a, b) {
        (Some(a), Some(b)) => (a - b).abs() > 0.1 * a.abs().max(b.abs()),
        _ => a.is_some() != b.is_some(),
    }
}

/// The result of [`Capacity::at`].
#[derive(Debug, Clone, Copy, PartialEq)]
pub enum Known {
    /// No sample yet.
    Unknown,
    /// The capacity of one replica, requests per second.
    Capacity(f64),
    /// The latency is above the target even without load.
    Impossible {
        /// Latency without load, seconds.
        unloaded: f64,
    },
}

/// The filter to start with at the first sample.
fn first(sample: &Sample, cpu: Option<f64>, prior: Option<f64>, target: f64) -> Filter {
    let full = prior.map(|prior| prior * 1.2).or(cpu.map(|cpu| sample.load / cpu * 0.9));
    // Even one worker serves at least one request per latency quantile.
    let guess = full.unwrap_or((sample.load / 0.6).max(1.5 / sample.latency));
    Filter {
        unloaded: sample.latency.min(target).ln() - 0.1,
        saturation: guess.max(sample.load * 1.05).ln(),
        variance: [0.09, 0.0, if full.is_some() { 0.04 } else { 0.25 }],
        surprise: 0.0,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn learned(workers: f64, unloaded: f64, saturation: f64, loads: impl Iterator<Item = f64>) -> Capacity {
        let mut capacity = Capacity::default();
        for load in loads {
            let latency = unloaded * curve(workers, load / saturation).0;
            let cpu = Some(load / saturation);
            capacity.learn(&Sample { load, requests: 1000.0, latency, cpu }, None, 2.5 * unloaded);
        }
        capacity
    }

    fn wave(length: u32, low: f64, high: f64) -> impl Iterator<Item = f64> {
        (0..length).map(move |tick| low + (high - low) * (0.5 + 0.5 * (f64::from(tick) / 40.0).sin()))
    }

    #[test]
    fn the_example_of_the_module_documentation_is_exact() {
        let exact = Filter { unloaded: 0.6f64.ln(), saturation: 20f64.ln(), variance: [0.0; 3], surprise: 0.0 };
        let capacity = |target| exact.at(4.0, target).map(|(load, _)| load.exp());
        assert!((capacity(1.5).unwrap() - 17.6).abs() < 0.5, "{:?}", capacity(1.5));
        assert!((capacity(0.64).unwrap() - 8.4).abs() < 0.5, "{:?}", capacity(0.64));
        assert_eq!(capacity(0.6), None);
    }

    #[test]
    fn the_capacity_is_learned_from_loads_close_to_it_for_any_number_of_workers() {
        for (workers, truth) in [(1.0, 0.6), (4.0, 0.87), (16.0, 0.965)] {
            let Known::Capacity(found) = learned(workers, 0.1, 100.0, wave(3000, 20.0, 90.0 * truth)).at(0.25) else {
                panic!("nothing learned");
            };
            assert!((0.8..1.15).contains(&(found / (100.0 * truth))), "{workers}: {found}");
        }
    }

    #[test]
    fn a_light_load_alone_never_gives_a_capacity_far_above_what_the_cpu_allows() {
        let Known::Capacity(found) = learned(4.0, 0.1, 100.0, wave(3000, 10.0, 30.0)).at(0.25) else { panic!() };
        assert!((50.0..110.0).contains(&found), "{found}");
    }

    #[test]
    fn a_target_below_the_unloaded_latency_is_impossible() {
        let Known::Impossible { unloaded } = learned(4.0, 0.3, 100.0, wave(500, 10.0, 60.0)).at(0.25) else { panic!() };
        assert!((0.25..0.35).contains(&unloaded), "{unloaded}");
    }

    #[test]
    fn requests_that_cost_more_cpu_lower_the_capacity_within_a_minute() {
        let mut capacity = learned(4.0, 0.1, 100.0, wave(2000, 30.0, 80.0));
        let Known::Capacity(before) = capacity.at(0.25) else { panic!() };
        for _ in 0..24 {
            let latency = 0.143 * curve(4.0, 50.0 / 70.0).0;
            capacity.learn(&Sample { load: 50.0, requests: 1000.0, latency, cpu: Some(50.0 / 70.0) }, None, 0.25);
        }
        let Known::Capacity(after) = capacity.at(0.25) else { panic!() };
        assert!((0.5..0.75).contains(&(after / before)), "{before} {after}");
    }

    #[test]
    fn a_quiet_hour_does_not_lower_the_capacity_much() {
        // One worker, 30 ms without load, saturated at 100/s: 60/s at 75 ms. The tangent alone gives 33/s.
        let busy = std::iter::repeat_n(55.0, 300);
        let mut capacity = Capacity::default();
        for load in busy.chain(std::iter::repeat_n(5.0, 700)) {
            let (latency, cpu) = (0.03 / (1.0 - load / 100.0), Some(load / 100.0));
            capacity.learn(&Sample { load, requests: 20.0 * load, latency, cpu }, None, 0.075);
        }
        let Known::Capacity(found) = capacity.at(0.075) else { panic!() };
        assert!((40.0..70.0).contains(&found), "{found}");
    }

    #[test]
    fn the_capacity_is_the_same_after_serialization() {
        let capacity = learned(4.0, 0.1, 100.0, wave(500, 20.0, 80.0));
        let text = serde_json::to_string(&capacity).unwrap();
        let back: Capacity = serde_json::from_str(&text).unwrap();
        let (Known::Capacity(a), Known::Capacity(b)) = (capacity.at(0.25), back.at(0.25)) else { panic!() };
        assert!((a / b - 1.0).abs() < 1e-9 && text.len() < 900, "{}", text.len());
    }

    #[test]
    fn nothing_is_learned_from_invalid_samples() {
        let mut capacity = Capacity::default();
        for (load, latency, requests) in
            [(0.0, 0.1, 50.0), (5.0, f64::NAN, 50.0), (5.0, 0.1, 3.0), (f64::INFINITY, 0.1, 50.0)]
        {
            capacity.learn(&Sample { load, requests, latency, cpu: None }, None, 0.25);
        }
        assert_eq!(capacity.at(0.25), Known::Unknown);
    }
}
