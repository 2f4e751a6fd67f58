//! Requests of both tracks of a simulated canary, and what happens to them.

use std::collections::BTreeMap;

use recommender_operator::{
    model::canary::Signal,
    promotion::judge::{Comparison, Counts},
};

use crate::rng::Rng;

/// What a signal counts, and how often it happens.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Counted {
    /// 0.5 % of the requests, with a floor of 1 %.
    Errors,
    /// 5 % of the requests: slower than a bound that is the p95 of the serving version.
    Slow,
}

impl Counted {
    /// How often it happens in the serving version.
    pub fn rate(self) -> f64 {
        match self {
            Self::Errors => 0.005,
            Self::Slow => 0.05,
        }
    }

    /// The signal that is judged.
    pub fn signal(self) -> Signal {
        match self {
            Self::Errors => Signal { name: "errors".into(), floor: Some(0.01), maximum: None },
            Self::Slow => Signal { name: "requests slower than the bound".into(), floor: None, maximum: None },
        }
    }
}

/// What happens to the traffic of a canary.
#[derive(Clone, Debug)]
pub struct Traffic {
    /// Requests per second of both tracks.
    pub requests: f64,
    /// The share of the canary, from these seconds on.
    pub shares: Vec<(f64, f64)>,
    /// What is counted, and how many times as often it happens in the canary.
    pub counted: Vec<(Counted, f64)>,
    /// The seconds after which the canary differs.
    pub differs_after: f64,
    /// The share from which on it differs.
    pub differs_from: f64,
    /// Whether now and then, for a minute, events of both tracks are 20 times as frequent.
    pub has_bursts: bool,
    /// Events come in groups of so many, within one track.
    pub group: u32,
    /// Whether counts are those of `increase()` over four scrapes, of which each tick is one.
    pub is_extrapolated: bool,
}

impl Traffic {
    /// Without anything special.
    pub fn new(requests: f64, share: f64, counted: Vec<(Counted, f64)>) -> Self {
        Self {
            requests,
            shares: vec![(0.0, share)],
            counted,
            differs_after: 0.0,
            differs_from: 0.0,
            has_bursts: false,
            group: 1,
            is_extrapolated: false,
        }
    }
}

/// Bursts per second that begin: one each 10 min.
const BURSTS: f64 = 1.0 / 600.0;
/// Seconds of a burst.
const BURST_SECONDS: f64 = 60.0;
/// How many times as frequent events are in a burst, and the highest rate.
const BURST: (f64, f64) = (20.0, 0.9);
/// Scrapes in the window of an increase.
const SCRAPES: usize = 4;

/// The traffic of one canary, tick by tick.
pub struct Run<'a> {
    traffic: &'a Traffic,
    samplers: &'a mut Samplers,
    rng: Rng,
    seconds: f64,
    burst_until: f64,
    /// The share of the canary, if it does not depend on the time.
    set_share: Option<f64>,
    /// The ticks of the window.
    window: Vec<Vec<Comparison>>,
}

impl<'a> Run<'a> {
    pub fn new(traffic: &'a Traffic, samplers: &'a mut Samplers, seed: u64) -> Self {
        Self {
            traffic,
            samplers,
            rng: Rng::new(seed),
            seconds: 0.0,
            burst_until: 0.0,
            set_share: None,
            window: Vec::new(),
        }
    }

    /// The share of the canary.
    pub fn share(&self) -> f64 {
        let past = self.traffic.shares.iter().take_while(|(from, _)| *from <= self.seconds);
        self.set_share.or(past.last().map(|(_, share)| *share)).unwrap_or_default()
    }

    /// Moves the weight.
    pub fn set_share(&mut self, share: f64) {
        self.set_share = Some(share);
    }

    /// The counts of a tick of so many seconds, and which share of them is new.
    pub fn tick(&mut self, seconds: f64, counts: &mut BTreeMap<String, Comparison>) -> f64 {
        if self.traffic.has_bursts && self.rng.uniform() < BURSTS * seconds {
            self.burst_until = self.seconds + BURST_SECONDS;
        }
        let drawn: Vec<Comparison> =
            self.traffic.counted.iter().map(|(counted, ratio)| self.draw(*counted, *ratio, seconds)).collect();
        self.seconds += seconds;
        let (drawn, share) = if self.traffic.is_extrapolated { self.increase(drawn) } else { (drawn, 1.0) };
        for ((_, of), comparison) in counts.iter_mut().zip(drawn) {
            *of = comparison;
        }
        share
    }

    fn draw(&mut self, counted: Counted, ratio: f64, seconds: f64) -> Comparison {
        let is_burst = self.seconds < self.burst_until;
        let rate = if is_burst { (counted.rate() * BURST.0).min(BURST.1) } else { counted.rate() };
        let share = self.share();
        let differs = self.seconds >= self.traffic.differs_after && share >= self.traffic.differs_from;
        let ratio = if differs { ratio } else { 1.0 };
        let requests = self.traffic.requests * seconds;
        let canary = self.counts(requests * share, (rate * ratio).min(BURST.1));
        Comparison { canary, baseline: self.counts(requests * (1.0 - share), rate) }
    }

    fn counts(&mut self, requests: f64, rate: f64) -> Counts {
        let group = f64::from(self.traffic.group);
        let events = group * self.samplers.draw(requests * rate / group, &mut self.rng);
        Counts { requests: events + self.samplers.draw(requests * (1.0 - rate), &mut self.rng), events }
    }

    /// As `increase()` has it: between four scrapes are three intervals, and their sum is extrapolated to four.
    fn increase(&mut self, drawn: Vec<Comparison>) -> (Vec<Comparison>, f64) {
        self.window.insert(0, drawn);
        self.window.truncate(SCRAPES - 1);
        let factor = SCRAPES as f64 / (SCRAPES - 1) as f64;
        let sum = |index: usize, of: fn(&Comparison) -> f64| {
            factor * self.window.iter().map(|tick| of(&tick[index])).sum::<f64>()
        };
        let increase = |index| Comparison {
            canary: Counts { requests: sum(index, |of| of.canary.requests), events: sum(index, |of| of.canary.events) },
            baseline: Counts {
                requests: sum(index, |of| of.baseline.requests),
                events: sum(index, |of| of.baseline.events),
            },
        };
        ((0..self.traffic.counted.len()).map(increase).collect(), 1.0 / SCRAPES as f64)
    }
}

/// Poisson distributions by their mean, as tables.
#[derive(Default)]
pub struct Samplers(Vec<(f64, Vec<f64>)>);

impl Samplers {
    /// A random number of events of which `mean` are expected.
    fn draw(&mut self, mean: f64, rng: &mut Rng) -> f64 {
        let index = self.0.iter().position(|(of, _)| *of == mean).unwrap_or_else(|| {
            self.0.push((mean, cumulated(mean)));
            self.0.len() - 1
        });
        let uniform = rng.uniform();
        self.0[index].1.partition_point(|probability| *probability <= uniform) as f64
    }
}

/// P(X ≤ k) for k = 0, 1, ..., until the rest is below 10⁻¹⁵.
fn cumulated(mean: f64) -> Vec<f64> {
    let most = (mean + 10.0 * mean.sqrt() + 20.0) as u32;
    let mut logarithm = -mean;
    let mut sum = 0.0;
    (0..=most)
        .map(|k| {
            if k > 0 {
                logarithm += (mean / f64::from(k)).ln();
            }
            sum += logarithm.exp();
            sum
        })
        .collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_numbers_of_events_have_mean_and_variance_of_a_poisson_distribution() {
        let (mut samplers, mut rng) = (Samplers::default(), Rng::new(1));
        for mean in [0.02, 0.7, 30.0, 450.0, 5400.0] {
            let drawn: Vec<f64> = (0..20_000).map(|_| samplers.draw(mean, &mut rng)).collect();
            let average = drawn.iter().sum::<f64>() / 20_000.0;
            let variance = drawn.iter().map(|x| (x - mean).powi(2)).sum::<f64>() / 20_000.0;
            assert!((average - mean).abs() < 5.0 * (mean / 20_000.0).sqrt(), "{mean}: {average}");
            assert!((variance / mean - 1.0).abs() < 0.3, "{mean}: {variance}");
        }
    }
}
