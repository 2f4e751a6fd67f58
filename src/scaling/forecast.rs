//! Forecasts the load for the time when a replica ordered now is warm, and the rate to provision for it.
//!
//! # Ways
//!
//! [`WAYS`] ways guess the load, in requests/s, one horizon `H` (seconds) ahead:
//!
//! | way | guess |
//! |---|---|
//! | last | the rate of the last scrape interval |
//! | lines | least-squares lines through the last 30, 60, 120 and 300 s, extended by H, at most to twice the load |
//! | mean | the mean of about 5 minutes, for a load with noise and no trend |
//! | between | 0.4 * load + 0.6 * mean, for noise of which a part lasts until the horizon |
//! | peaks | the highest load of 10 and of 60 minutes, for steps and flash crowds that recur |
//! | season | the highest load of the same quarter of an hour yesterday and a week ago |
//!
//! # Plans
//!
//! The errors of each way are kept in a histogram ([`Errors`]) with a time constant of half a day. A **plan** is the guess of
//! a way times e^(quantile of its errors); each way has five plans, one per quantile. A plan falls by at most a factor of e
//! within [`super::Headroom::hold`] seconds.
//!
//! Each plan has a cost: what it would have cost if [`super::serving`] had followed it.
//! ```text
//! cost = replicas + price * ((1 if the load was above the capacity of the replicas) + 0.02 per replica started)
//!        per tick, as an exponentially weighted mean over about 14 h
//! ```
//! As in `serving`, a replica is removed only when some capacity is spare without it. The load is compared with the
//! capacity of a replica that was estimated when the plan was made. `price` is [`super::Headroom::price`], the same for all
//! workloads with the same headroom.
//!
//! The cheapest plan is followed, up to 1.5 times the highest load of the last hour. So results and not rules distinguish
//! noise from trend and steps from slopes, and headroom is added where it pays. This is prediction with expert advice,
//! "follow the leader" (Cesa-Bianchi, Lugosi: Prediction, Learning, and Games, 2006, chapters 2 and 3).
//!
//! A rise that has just begun is not in any plan: the provisioned rate is never less than that of `super::recent`.

use super::errors::Errors;
use super::memory::{Peak, Season};
use super::recent::{KEPT, LINES, Recent};
use super::steps::{SPARE, SPARE_SHARE};

/// Spans of the peaks, seconds.
const PEAKS: [f64; 2] = [600.0, 3600.0];
/// Index of the way "highest load of 60 minutes".
const HOUR: usize = 1 + LINES.len() + 2 + 1;
/// Number of ways to guess the load.
pub const WAYS: usize = 1 + LINES.len() + 2 + PEAKS.len() + 2;
/// No plan is for more than this many times the highest load of the last hour.
const PLAN_MOST: f64 = 1.5;
/// Quantiles of the errors, in falling order.
const LEVELS: [f64; 5] = [0.995, 0.98, 0.92, 0.8, 0.6];
/// Number of plans: one per way and quantile.
const PLANS: usize = WAYS * LEVELS.len();
/// Index of the plan that is followed before any cost is known: the line through 60 s with the quantile 0.92.
const FIRST: usize = 2 * LEVELS.len() + 2;
/// Time constant of the error histograms, in errors: half a day at a tick of 5 s.
const ERRORS_KEPT: f32 = 8640.0;
/// Cost of starting a replica, in ticks above the target. So small that it only decides between plans that are otherwise
/// equal, in favour of the one that changes the replicas less.
const START: f32 = 0.02;
/// Weight of one tick in the mean cost. The time constant is 10,000 ticks, about 14 hours.
const LEARN: f32 = 1e-4;
/// Time constant of the way "mean", seconds.
const MEAN_SECONDS: f64 = 300.0;
/// Weight of the load in the way "between", 0 to 1. The mean has the rest.
const BETWEEN: f64 = 0.4;

/// The recent loads and guesses, and the plans with their costs: about 15 KB.
#[derive(Debug, Clone)]
pub struct Forecast {
    recent: Recent,
    guesses: [[f32; WAYS]; KEPT],
    /// Replicas that each plan would have ordered.
    orders: [[u16; PLANS]; KEPT],
    /// Requests per second per replica that the orders were made with.
    capacities: [f32; KEPT],
    /// The rate of each plan now, requests per second.
    plans: [f32; PLANS],
    costs: [f32; PLANS],
    errors: [Errors; WAYS],
    /// e^(quantile of the errors) by way and level.
    factors: [f32; PLANS],
    peaks: [Peak<13>; PEAKS.len()],
    season: Season,
    mean: f64,
    best: usize,
}

/// The inputs of one tick.
#[derive(Debug, Clone, Copy, PartialEq)]
pub struct Tick {
    /// Seconds on the clock of decisions.
    pub now: f64,
    /// Seconds since the previous tick.
    pub interval: f64,
    /// Requests per second over the window.
    pub load: f64,
    /// Requests per second over the last scrape interval.
    pub latest: f64,
    /// Seconds from the sample until a replica ordered now is warm.
    pub horizon: f64,
    /// Requests per second per replica that are planned with.
    pub capacity: f64,
    /// Price of one second above the target, replica-seconds.
    pub price: f64,
    /// Seconds within which a plan falls at most to 1/e.
    pub hold: f64,
    /// Minimum of the replicas.
    pub least: u32,
}

/// The forecast of one tick.
#[derive(Debug, Clone, Copy, PartialEq)]
pub struct Expected {
    /// The guessed load at the horizon, requests per second.
    pub load: f64,
    /// The rate to provision for, requests per second.
    pub provisioned: f64,
    /// Whether `provisioned` is for a rise that has just begun and exceeds the plan.
    pub rising: bool,
}

/// Rounds up; saturates at `u16::MAX`.
fn rounded_up(replicas: f32) -> u16 {
    (replicas as u16).saturating_add(u16::from(replicas > f32::from(replicas as u16)))
}

impl Default for Forecast {
    fn default() -> Self {
        Self {
            recent: Recent::default(),
            guesses: [[0.0; WAYS]; KEPT],
            orders: [[0; PLANS]; KEPT],
            capacities: [1.0; KEPT],
            plans: [0.0; PLANS],
            costs: [0.0; PLANS],
            errors: std::array::from_fn(|_| Errors::default()),
            factors: [1.0; PLANS],
            peaks: Default::default(),
            season: Season::default(),
            mean: 0.0,
            best: FIRST,
        }
    }
}

impl Forecast {
    /// Records the load of this tick and returns the forecast.
    pub fn next(&mut self, tick: &Tick) -> Expected {
        let ticks = (tick.horizon / tick.interval.max(0.1)).clamp(1.0, (KEPT - 1) as f64);
        self.recent.push(tick.latest);
        // The plan of the previous tick is used: this tick may change the best plan, and then more load could mean fewer
        // replicas.
        let best = self.best;
        self.judge(tick, ticks.ceil() as usize);
        let guesses = self.guess(tick, ticks);
        self.plan(tick, &guesses);
        let planned = f64::from(self.plans[best]).min(PLAN_MOST * guesses[HOUR]);
        // A plan that was cheap so far does not contain a rise that has just begun.
        let risen = self.recent.rising(tick.load, ticks);
        Expected { load: guesses[best / LEVELS.len()], provisioned: planned.max(risen), rising: risen > planned }
    }

    /// Backfills the highest load of a quarter of an hour, in order of time and before the first call of [`Self::next`].
    /// `now`: the middle of the quarter.
    pub fn replay(&mut self, now: f64, highest: f64) {
        self.season.next(now, highest, 0.0);
    }

    fn plan(&mut self, tick: &Tick, guesses: &[f64; WAYS]) {
        let at = (self.recent.observed - 1) % KEPT;
        let kept = (-tick.interval / tick.hold).exp() as f32;
        let per_load = (1.0 / tick.capacity) as f32;
        self.capacities[at] = tick.capacity as f32;
        self.guesses[at] = guesses.map(|guess| guess as f32);
        let ordered = self.orders[(at + KEPT - 1) % KEPT];
        let plans = self.plans.iter_mut().zip(&self.factors).zip(&mut self.orders[at]);
        for (index, ((plan, factor), order)) in plans.enumerate() {
            *plan = (self.guesses[at][index / LEVELS.len()] * factor).max(*plan * kept);
            let need = *plan * per_load;
            // Like `decide`, a plan keeps a replica while little capacity is spare without it, and pays for it.
            let spared = need + (SPARE as f32).max(SPARE_SHARE as f32 * need);
            *order = rounded_up(need).max(rounded_up(spared).min(ordered[index]));
        }
    }

    /// Updates the errors of every way and the costs of every plan with the load of this tick, then picks the cheapest
    /// plan. The guesses and orders are those of `ticks` ago.
    fn judge(&mut self, tick: &Tick, ticks: usize) {
        if self.recent.observed <= ticks + 3 {
            return;
        }
        let at = (self.recent.observed - 1 - ticks) % KEPT;
        // 0.001 requests/s on both sides: a load of 0 would be an infinite error.
        for (errors, guess) in self.errors.iter_mut().zip(self.guesses[at]) {
            errors.add(f64::from(((tick.load as f32 + 1e-3) / (guess + 1e-3)).ln()), ERRORS_KEPT);
        }
        // Quantiles of half a day move slowly, so the factors of one way per tick are updated.
        let way = self.recent.observed % WAYS;
        let quantiles = self.errors[way].quantiles(&LEVELS);
        for (factor, quantile) in self.factors[way * LEVELS.len()..].iter_mut().zip(quantiles) {
            *factor = quantile.exp() as f32;
        }
        // With the capacity of that time: a wrong estimate of it is not an error of the plan.
        let needed = tick.load as f32 / self.capacities[at];
        let (price, least) = (tick.price as f32, tick.least as f32);
        let learn = LEARN.max(1.0 / self.recent.observed as f32);
        let before = self.orders[(at + KEPT - 1) % KEPT];
        for ((cost, ordered), before) in self.costs.iter_mut().zip(self.orders[at]).zip(before) {
            let replicas = f32::from(ordered).max(least);
            let missed = if needed > replicas { 1.0 } else { 0.0 };
            let started = f32::from(ordered.saturating_sub(before));
            let paid = replicas + price * (missed + START * started);
            *cost += learn * (paid - *cost);
        }
        let cheaper = |best, plan| if self.costs[plan] < self.costs[best] { plan } else { best };
        self.best = (0..PLANS).fold(self.best, cheaper);
    }

    fn guess(&mut self, tick: &Tick, ticks: f64) -> [f64; WAYS] {
        let lines = self.recent.lines().map(|(end, slope)| {
            let most = 2.0 * tick.load.max(end);
            (end + slope * ticks).clamp(0.5 * end, most)
        });
        // Until there are five minutes of loads, this is the plain mean of all of them.
        let span = MEAN_SECONDS.min(self.recent.observed as f64 * tick.interval).max(tick.interval);
        self.mean += (tick.load - self.mean) * tick.interval / span;
        let between = BETWEEN * tick.load + (1.0 - BETWEEN) * self.mean;
        let highest = tick.load.max(tick.latest);
        let mut peaks = PEAKS;
        for (peak, span) in self.peaks.iter_mut().zip(&mut peaks) {
            *span = peak.max(tick.now, highest, *span);
        }
        let season = self.season.next(tick.now, tick.load, tick.horizon).map(|load| load.unwrap_or(tick.load));
        let [l0, l1, l2, l3] = lines;
        [tick.latest, l0, l1, l2, l3, self.mean, between, peaks[0], peaks[1], season[0], season[1]]
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
                let (interval, horizon, capacity, hold, least) = (5.0, 50.0, 10.0, 300.0, 2);
                forecast.next(&Tick { now, interval, load, latest: load, horizon, capacity, price, hold, least })
            })
            .collect()
    }

    #[test]
    fn a_steady_load_is_provisioned_without_a_margin() {
        let expected = run(&mut Forecast::default(), 0, std::iter::repeat_n(100.0, 2000), 200.0);
        let last = expected[1999];
        assert!((last.load - 100.0).abs() < 1.0 && (99.0..104.0).contains(&last.provisioned), "{last:?}");
    }

    #[test]
    fn a_rising_load_is_provisioned_for_its_value_at_the_horizon() {
        let mut forecast = Forecast::default();
        run(&mut forecast, 0, std::iter::repeat_n(100.0, 200), 200.0);
        let expected = run(&mut forecast, 1000, (0..60).map(|tick| 100.0 + f64::from(tick)), 200.0);
        // 10 ticks ahead of 159 the load is 169.
        assert!((165.0..190.0).contains(&expected[59].provisioned), "{:?}", expected[59]);
    }

    #[test]
    fn a_spike_every_ten_minutes_stays_provisioned_at_a_high_price_and_not_at_a_low_one() {
        let spiky = |price| {
            let loads = (0..4000).map(|tick| if tick % 120 < 12 { 300.0 } else { 50.0 });
            let expected = run(&mut Forecast::default(), 0, loads, price);
            expected[3900..].iter().map(|expected| expected.provisioned).sum::<f64>() / 100.0
        };
        assert!(spiky(1000.0) > 250.0 && spiky(1.0) < 150.0, "{} {}", spiky(1000.0), spiky(1.0));
    }

    #[test]
    fn a_plan_keeps_the_replicas_that_decide_would_keep() {
        let mut forecast = Forecast::default();
        // Plan 0 is the last rate. A need of 9.5 plus 12 % keeps 11 replicas, a need of 8.8 plus 12 % keeps 10.
        for (load, replicas) in [(105.0, 11), (95.0, 11), (88.0, 10), (110.0, 11)] {
            let tick = Tick {
                now: 0.0,
                interval: 5.0,
                load,
                latest: load,
                horizon: 50.0,
                capacity: 10.0,
                price: 200.0,
                hold: 1e-3,
                least: 2,
            };
            forecast.next(&tick);
            assert_eq!(forecast.orders[(forecast.recent.observed - 1) % KEPT][0], replicas, "at {load}");
        }
    }

    #[test]
    fn a_capacity_that_was_overestimated_does_not_make_the_highest_plan_the_cheapest() {
        // Found as a steady load with 8 or 9 replicas where 7 were enough. The estimated capacity of a replica fell, so all
        // plans but the highest seemed too low, and the highest was followed for hours.
        let mut forecast = Forecast::default();
        let mut next = |tick: u32, capacity| {
            let load = 325.0 + f64::from(tick * 31 % 997 % 36);
            let (now, interval, horizon, price, hold, least) = (f64::from(tick) * 5.0, 5.0, 50.0, 500.0, 300.0, 2);
            forecast
                .next(&Tick { now, interval, load, latest: load, horizon, capacity, price, hold, least })
                .provisioned
        };
        (0..200).for_each(|tick| _ = next(tick, 70.0));
        let highest = (200..1400).map(|tick| next(tick, 54.0)).skip(400).fold(0.0, f64::max);
        assert!(highest < 378.0, "{highest} for a load of at most 360: 7 replicas serve 378");
    }

    #[test]
    fn a_load_of_zero_is_no_infinite_error_and_the_first_tick_returns_a_forecast() {
        let expected = run(&mut Forecast::default(), 0, std::iter::repeat_n(0.0, 300), 200.0);
        assert!(expected.iter().all(|expected| expected.provisioned.is_finite() && expected.provisioned < 1.0));
    }
}
