//! The load when a replica ordered now would be warm, and how much more to provide for.
//!
//! There are [`WAYS`] ways to guess that load, in requests per second `H` seconds ahead:
//!
//! | way | guess |
//! |---|---|
//! | last | the rate of the last scrape interval |
//! | lines | least-squares lines through the last 30, 60, 120 and 300 s, extended by H, at most to twice the load; a jump of a quarter within a tick is a step, and lines begin after it |
//! | mean | the mean of 60 s, for loads that are noise and no trend |
//! | peaks | the highest of 1, 10 and 60 minutes: steps and flash crowds come back |
//! | season | the highest of the same quarter of an hour yesterday and a week ago |
//!
//! Each way's errors are kept ([`Errors`], an hour's memory), so a way times e^(quantile of its errors) is a **plan**: five
//! quantiles per way. A plan falls by at most 1/e per [`HOLD`] seconds. Every plan is judged by what it would have cost:
//! ```text
//! cost = replicas + (price when the load was more than the replicas carry)          per tick, forgotten over about 14 h
//! ```
//! and the cheapest is followed. So noise and trend, steps and slopes are told apart by results and not by rules, and
//! headroom is bought where it pays, with the same price everywhere ([`super::Headroom::price`]). This is prediction with
//! expert advice, "follow the leader" (Cesa-Bianchi, Lugosi: Prediction, Learning, and Games, 2006, chapters 2 and 3).

use super::errors::Errors;
use super::memory::{Peak, Season};

/// Ticks kept: the longest horizon is one less.
const KEPT: usize = 64;
/// Ways to guess.
pub const WAYS: usize = 11;
/// Quantiles of the errors, falling.
const LEVELS: [f64; 5] = [0.995, 0.98, 0.92, 0.8, 0.6];
const PLANS: usize = WAYS * LEVELS.len();
/// The plan followed before there is experience: the line through 60 s with the quantile 0.92.
const FIRST: usize = 2 * LEVELS.len() + 2;
/// Errors that are remembered: an hour at a tick of 5 s.
const MEMORY: f32 = 720.0;
/// How fast costs are forgotten per tick: 10,000 ticks, about 14 hours.
const LEARN: f32 = 1e-4;
/// A load that changes by this share within a tick is a step: no slope is seen in it.
const JUMP: f64 = 0.25;
/// Seconds in which a plan falls to 1/e at most.
const HOLD: f64 = 300.0;

/// Loads, guesses, plans and their costs.
#[derive(Debug, Clone)]
pub struct Forecast {
    loads: [f32; KEPT],
    guesses: [[f32; WAYS]; KEPT],
    plans: [[f32; PLANS]; KEPT],
    costs: [f32; PLANS],
    errors: [Errors; WAYS],
    peaks: [Peak<13>; 3],
    season: Season,
    best: usize,
    seen: usize,
    /// Ticks since the load jumped: lines begin there.
    level: usize,
}

/// What one tick is planned with.
#[derive(Debug, Clone, Copy, PartialEq)]
pub struct Tick {
    /// Seconds.
    pub now: f64,
    /// Seconds since the tick before.
    pub interval: f64,
    /// Requests per second over the window.
    pub load: f64,
    /// Requests per second over the last scrape interval.
    pub latest: f64,
    /// Seconds from the sample until a replica ordered now is warm.
    pub horizon: f64,
    /// Requests per second that are planned with per replica.
    pub capacity: f64,
    /// Replica-seconds that a second above the target costs.
    pub price: f64,
    /// Fewest replicas.
    pub least: u32,
}

/// What is expected.
#[derive(Debug, Clone, Copy, PartialEq)]
pub struct Expected {
    /// The guess, requests per second.
    pub load: f64,
    /// What to provide for, requests per second.
    pub safe: f64,
}

impl Default for Forecast {
    fn default() -> Self {
        Self {
            loads: [0.0; KEPT],
            guesses: [[0.0; WAYS]; KEPT],
            plans: [[0.0; PLANS]; KEPT],
            costs: [0.0; PLANS],
            errors: std::array::from_fn(|_| Errors::default()),
            peaks: Default::default(),
            season: Season::default(),
            best: FIRST,
            seen: 0,
            level: 0,
        }
    }
}

impl Forecast {
    /// Takes the load of this tick and says what to provide for.
    pub fn next(&mut self, tick: &Tick) -> Expected {
        let ticks = (tick.horizon / tick.interval.max(0.1)).clamp(1.0, (KEPT - 1) as f64);
        let jumped = self.seen > 0 && (tick.latest - self.load(0)).abs() > JUMP * tick.latest.max(self.load(0));
        self.level = if jumped { 1 } else { self.level + 1 };
        self.loads[self.seen % KEPT] = tick.latest as f32;
        self.seen += 1;
        // The plan is chosen before this tick is judged, so that more load never means fewer replicas.
        let best = self.best;
        self.judge(tick, ticks.ceil() as usize);
        let guesses = self.guess(tick, ticks);
        let at = (self.seen - 1) % KEPT;
        let before = self.plans[(self.seen + KEPT - 2) % KEPT];
        let kept = (-tick.interval / HOLD).exp() as f32;
        self.guesses[at] = guesses.map(|guess| guess as f32);
        for (way, guess) in guesses.iter().enumerate() {
            for (level, error) in self.errors[way].quantiles(&LEVELS).iter().enumerate() {
                let plan = way * LEVELS.len() + level;
                self.plans[at][plan] = (*guess as f32 * (*error as f32).exp()).max(before[plan] * kept);
            }
        }
        Expected { load: guesses[best / LEVELS.len()], safe: f64::from(self.plans[at][best]) }
    }

    /// Adds to the errors of every way and to the costs of every plan what they said for now, then picks the cheapest.
    fn judge(&mut self, tick: &Tick, ticks: usize) {
        if self.seen <= ticks + 3 {
            return;
        }
        let at = (self.seen - 1 - ticks) % KEPT;
        // A thousandth of a request per second keeps silence from being an infinite error.
        for (errors, guess) in self.errors.iter_mut().zip(self.guesses[at]) {
            errors.add(f64::from(((tick.load as f32 + 1e-3) / (guess + 1e-3)).ln()), MEMORY);
        }
        let (needed, per_load) = ((tick.load / tick.capacity) as f32, (1.0 / tick.capacity) as f32);
        let (price, least) = (tick.price as f32, tick.least as f32);
        let learn = LEARN.max(1.0 / self.seen as f32);
        for (cost, plan) in self.costs.iter_mut().zip(self.plans[at]) {
            let replicas = (plan * per_load).ceil().max(least);
            let paid = if needed > replicas { replicas + price } else { replicas };
            *cost += learn * (paid - *cost);
        }
        let cheapest =
            (0..PLANS).fold(self.best, |best, plan| if self.costs[plan] < self.costs[best] { plan } else { best });
        self.best = cheapest;
    }

    fn guess(&mut self, tick: &Tick, ticks: f64) -> [f64; WAYS] {
        let line = |samples| {
            let (end, slope) = self.line(samples);
            (end + slope * ticks).clamp(0.5 * end, 2.0 * tick.load.max(end))
        };
        let lines = [line(6), line(12), line(24), line(60)];
        let mean = self.mean(12);
        let highest = tick.load.max(tick.latest);
        let spans = [60.0, 600.0, 3600.0];
        let peaks: [f64; 3] = std::array::from_fn(|index| self.peaks[index].max(tick.now, highest, spans[index]));
        let season = self.season.next(tick.now, tick.load, tick.horizon).map(|load| load.unwrap_or(tick.load));
        [tick.latest, lines[0], lines[1], lines[2], lines[3], mean, peaks[0], peaks[1], peaks[2], season[0], season[1]]
    }

    fn load(&self, back: usize) -> f64 {
        f64::from(self.loads[(self.seen - 1 - back) % KEPT])
    }

    fn mean(&self, samples: usize) -> f64 {
        let n = samples.min(self.seen);
        (0..n).map(|back| self.load(back)).sum::<f64>() / n as f64
    }

    /// The least-squares line through the last samples: its value now (not negative) and its slope per tick.
    fn line(&self, samples: usize) -> (f64, f64) {
        let n = samples.min(self.level);
        if n < 3 {
            return (self.load(0), 0.0);
        }
        let middle = (n - 1) as f64 / 2.0;
        let (mut sum, mut weighted) = (0.0, 0.0);
        for back in 0..n {
            let load = self.load(back);
            sum += load;
            weighted += load * (middle - back as f64);
        }
        let count = n as f64;
        let slope = weighted / (count * (count * count - 1.0) / 12.0);
        ((sum / count + slope * middle).max(0.0), slope)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn run(forecast: &mut Forecast, from: u32, loads: impl Iterator<Item = f64>, price: f64) -> Vec<Expected> {
        loads
            .enumerate()
            .map(|(index, load)| {
                let now = f64::from(from) + index as f64 * 5.0;
                let (interval, horizon, capacity, least) = (5.0, 50.0, 10.0, 2);
                forecast.next(&Tick { now, interval, load, latest: load, horizon, capacity, price, least })
            })
            .collect()
    }

    #[test]
    fn a_steady_load_is_provided_for_without_a_margin() {
        let expected = run(&mut Forecast::default(), 0, std::iter::repeat_n(100.0, 2000), 200.0);
        let last = expected[1999];
        assert!((last.load - 100.0).abs() < 1.0 && (99.0..104.0).contains(&last.safe), "{last:?}");
    }

    #[test]
    fn a_slope_is_met_where_it_will_be() {
        let mut forecast = Forecast::default();
        run(&mut forecast, 0, std::iter::repeat_n(100.0, 200), 200.0);
        let expected = run(&mut forecast, 1000, (0..60).map(|tick| 100.0 + f64::from(tick)), 200.0);
        // 10 ticks ahead of 159 the load is 169.
        assert!((165.0..190.0).contains(&expected[59].safe), "{:?}", expected[59]);
    }

    #[test]
    fn a_spike_every_ten_minutes_is_held_when_the_price_is_high_and_not_when_it_is_low() {
        let spiky = |price| {
            let loads = (0..4000).map(|tick| if tick % 120 < 12 { 300.0 } else { 50.0 });
            let expected = run(&mut Forecast::default(), 0, loads, price);
            expected[3900..].iter().map(|expected| expected.safe).sum::<f64>() / 100.0
        };
        assert!(spiky(1000.0) > 250.0 && spiky(1.0) < 150.0, "{} {}", spiky(1000.0), spiky(1.0));
    }

    #[test]
    fn silence_is_no_error_and_the_first_tick_has_an_answer() {
        let expected = run(&mut Forecast::default(), 0, std::iter::repeat_n(0.0, 300), 200.0);
        assert!(expected.iter().all(|expected| expected.safe.is_finite() && expected.safe < 1.0));
    }
}
