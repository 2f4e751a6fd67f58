//! The load when a replica ordered now would be warm, and how much more to provide for.
//!
//! There are [`WAYS`] ways to guess that load, in requests per second `H` seconds ahead:
//!
//! | way | guess |
//! |---|---|
//! | last | the rate of the last scrape interval |
//! | lines | least-squares lines through the last 30, 60, 120 and 300 s, extended by H, at most to twice the load |
//! | mean | the mean of about 5 minutes, for loads that are noise and no trend |
//! | between | 0.4 of the load and 0.6 of the mean, for noise of which a part will still be there |
//! | peaks | the highest of 10 and 60 minutes: steps and flash crowds come back |
//! | season | the highest of the same quarter of an hour yesterday and a week ago |
//!
//! Each way's errors are kept ([`Errors`], half a day's memory), so a way times e^(quantile of its errors) is a **plan**:
//! five quantiles per way. A plan falls to 1/e at most in the time of the knob ([`super::Headroom::hold`]). Every plan is
//! judged by what it would have cost, had it been followed in the way [`super::serving`] follows the best one (a replica is
//! only given up when something is left over, and the load is compared with what was believed of a replica at that time):
//! ```text
//! cost = replicas + price * (1 when the load was more than the replicas carry + 0.02 per replica started)
//!                                                                                   per tick, forgotten over about 14 h
//! ```
//! and the cheapest is followed, up to 1.5 times the highest load of an hour. Never less than the line through 20 s says,
//! as far as its rise is more than the noise of the differences from tick to tick explains: flash crowds are too rare to be
//! learned, and this is the fast window that sees them begin (as the panic mode of Knative's autoscaler does, with a
//! measure of noise instead of a threshold). So noise and trend, steps and slopes are told apart by results and hardly by
//! rules, and headroom is bought where it pays, with the same price everywhere ([`super::Headroom::price`]). This is
//! prediction with expert advice, "follow the leader" (Cesa-Bianchi, Lugosi: Prediction, Learning, and Games, 2006,
//! chapters 2 and 3).

use super::errors::Errors;
use super::memory::{Peak, Season};
use super::steps::{SPARE, SPARE_SHARE};

/// Ticks kept: the longest horizon is one less.
const KEPT: usize = 64;
/// Ticks that the lines go through.
const LINES: [usize; 4] = [6, 12, 24, 60];
/// Spans of the peaks, seconds.
const PEAKS: [f64; 2] = [600.0, 3600.0];
/// The way that is the highest of an hour.
const HOUR: usize = 1 + LINES.len() + 2 + 1;
/// Ways to guess.
pub const WAYS: usize = 1 + LINES.len() + 2 + PEAKS.len() + 2;
/// Ticks in which a rise is seen to begin, and deviations that it has to be above the noise.
const RISE: usize = 4;
const DOUBT: f64 = 2.0;
/// A rise is followed up to so many times the load.
const RISE_MOST: f64 = 2.0;
/// The rate of the last scrape interval is flat when it grew by no more than this share since the last tick.
const FLAT: f64 = 0.05;
/// A load that was less than this share of what it is now when the line began came in a step.
const STEP: f64 = 0.5;
/// A load that is less than this share of what it was within five minutes is hardly there.
const COLLAPSE: f64 = 0.3;
/// No plan is for more than so many times the highest load of the last hour.
const PLAN_MOST: f64 = 1.5;
/// Ticks over which the noise is averaged: five minutes.
const NOISE: f64 = 60.0;
/// Quantiles of the errors, falling.
const LEVELS: [f64; 5] = [0.995, 0.98, 0.92, 0.8, 0.6];
const PLANS: usize = WAYS * LEVELS.len();
/// The plan followed before there is experience: the line through 60 s with the quantile 0.92.
const FIRST: usize = 2 * LEVELS.len() + 2;
/// Errors that are remembered: half a day at a tick of 5 s.
const MEMORY: f32 = 8640.0;
/// What a replica that is started costs, in ticks above the target: too little to matter but among plans that are as good,
/// of which it favours the calm one.
const START: f32 = 0.02;
/// How fast costs are forgotten per tick: 10,000 ticks, about 14 hours.
const LEARN: f32 = 1e-4;
/// Seconds over which the mean forgets, and what the load counts between load and mean.
const MEAN_SECONDS: f64 = 300.0;
const BETWEEN: f64 = 0.4;

/// Loads, guesses, plans and their costs: about 15 KB.
#[derive(Debug, Clone)]
pub struct Forecast {
    loads: [f32; KEPT],
    guesses: [[f32; WAYS]; KEPT],
    /// The replicas that each plan would have ordered.
    orders: [[u16; PLANS]; KEPT],
    /// Requests per second per replica that they were made with.
    capacities: [f32; KEPT],
    /// What each plan says now, requests per second.
    plans: [f32; PLANS],
    costs: [f32; PLANS],
    errors: [Errors; WAYS],
    /// e^(quantile of the errors) by way and level.
    factors: [f32; PLANS],
    peaks: [Peak<13>; PEAKS.len()],
    season: Season,
    mean: f64,
    /// Mean square of the relative differences from tick to tick.
    noise: f64,
    /// The rate of the last scrape interval at the last tick and at this one.
    latest: [f64; 2],
    best: usize,
    seen: usize,
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
    /// Seconds in which a plan falls to 1/e at most.
    pub hold: f64,
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
    /// Whether that is for a rise that has just begun, and more than what was planned.
    pub rising: bool,
}

/// Beyond the largest u16 it stays that.
fn rounded_up(replicas: f32) -> u16 {
    (replicas as u16).saturating_add(u16::from(replicas > f32::from(replicas as u16)))
}

impl Default for Forecast {
    fn default() -> Self {
        Self {
            loads: [0.0; KEPT],
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
            noise: 0.0,
            latest: [0.0; 2],
            best: FIRST,
            seen: 0,
        }
    }
}

impl Forecast {
    /// Takes the load of this tick and says what to provide for.
    pub fn next(&mut self, tick: &Tick) -> Expected {
        let ticks = (tick.horizon / tick.interval.max(0.1)).clamp(1.0, (KEPT - 1) as f64);
        let before = if self.seen > 0 { self.load(0) } else { tick.latest };
        let change = (tick.latest - before).abs() / tick.latest.max(before).max(1e-9);
        self.noise += (change * change - self.noise) / NOISE;
        self.loads[self.seen % KEPT] = tick.latest as f32;
        self.seen += 1;
        self.latest = [self.latest[1], tick.latest];
        // The plan is chosen before this tick is judged, so that more load never means fewer replicas.
        let best = self.best;
        self.judge(tick, ticks.ceil() as usize);
        let guesses = self.guess(tick, ticks);
        self.plan(tick, &guesses);
        let planned = f64::from(self.plans[best]).min(PLAN_MOST * guesses[HOUR]);
        // A rise that has just begun is never in a plan that was cheap so far.
        let risen = self.rising(tick, ticks);
        Expected { load: guesses[best / LEVELS.len()], safe: planned.max(risen), rising: risen > planned }
    }

    /// Takes over the highest load of a quarter of an hour that lies before all that it knows; `now`: its middle.
    pub fn remember(&mut self, now: f64, highest: f64) {
        self.season.next(now, highest, 0.0);
    }

    fn plan(&mut self, tick: &Tick, guesses: &[f64; WAYS]) {
        let at = (self.seen - 1) % KEPT;
        let kept = (-tick.interval / tick.hold).exp() as f32;
        let per_load = (1.0 / tick.capacity) as f32;
        self.capacities[at] = tick.capacity as f32;
        self.guesses[at] = guesses.map(|guess| guess as f32);
        let ordered = self.orders[(at + KEPT - 1) % KEPT];
        let plans = self.plans.iter_mut().zip(&self.factors).zip(&mut self.orders[at]);
        for (index, ((plan, factor), order)) in plans.enumerate() {
            *plan = (self.guesses[at][index / LEVELS.len()] * factor).max(*plan * kept);
            let need = *plan * per_load;
            // As `decide` would: what a plan keeps because little is left over, it has, and has paid for.
            let spared = need + (SPARE as f32).max(SPARE_SHARE as f32 * need);
            *order = rounded_up(need).max(rounded_up(spared).min(ordered[index]));
        }
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
        // Half a day's quantiles move slowly: one way per tick is looked at.
        let way = self.seen % WAYS;
        let quantiles = self.errors[way].quantiles(&LEVELS);
        for (factor, quantile) in self.factors[way * LEVELS.len()..].iter_mut().zip(quantiles) {
            *factor = quantile.exp() as f32;
        }
        // What was believed of a replica then is not the plan's fault.
        let needed = tick.load as f32 / self.capacities[at];
        let (price, least) = (tick.price as f32, tick.least as f32);
        let learn = LEARN.max(1.0 / self.seen as f32);
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
        let lines = self.lines().map(|(end, slope)| {
            let most = 2.0 * tick.load.max(end);
            (end + slope * ticks).clamp(0.5 * end, most)
        });
        // At first the mean is that of what was seen.
        let span = MEAN_SECONDS.min(self.seen as f64 * tick.interval).max(tick.interval);
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

    /// Where the line through the last [`RISE`] ticks will be, its slope less what the noise explains: the variance of a
    /// difference is twice that of a sample, and that of a slope is a sample's over the sum of the squared distances from
    /// the middle.
    fn rising(&self, tick: &Tick, ticks: f64) -> f64 {
        let n = RISE.min(self.seen);
        let (count, middle) = (n as f64, (n - 1) as f64 / 2.0);
        let (mut sum, mut weighted) = (0.0, 0.0);
        for back in 0..n {
            sum += self.load(back);
            weighted += self.load(back) * (middle - back as f64);
        }
        let squares = (count * (count * count - 1.0) / 12.0).max(1.0);
        let (slope, end) = (weighted / squares, (sum + weighted / squares * middle * count) / count);
        let deviation = (self.noise / 2.0 / squares).sqrt() * end;
        let rising =
            (end + (slope - DOUBT * deviation).max(0.0) * ticks).min(RISE_MOST * tick.latest.max(tick.load).max(end));
        // A load that is back where it was after it was hardly there, as after a restart of all pods, goes no higher for
        // that.
        let highest = (n..self.seen.min(KEPT)).map(|back| self.load(back)).fold(0.0, f64::max);
        let lowest = (0..n).map(|back| self.load(back)).fold(f64::INFINITY, f64::min);
        // After a step the window goes on filling: a trend that the last scrape interval does not have is none.
        let is_step = self.load(n - 1) < STEP * tick.latest;
        let is_flat = is_step && self.latest[1] <= (1.0 + FLAT) * self.latest[0];
        let rising = if is_flat { rising.min(tick.latest.max(tick.load)) } else { rising };
        let is_back =
            lowest < COLLAPSE * highest && self.load(0) <= highest * (1.0 + DOUBT * self.noise.sqrt().min(0.2));
        if is_back { rising.min(highest) } else { rising }
    }

    fn load(&self, back: usize) -> f64 {
        f64::from(self.loads[(self.seen - 1 - back) % KEPT])
    }

    /// The least-squares lines through the last samples: their values now (not negative) and their slopes per tick.
    fn lines(&self) -> [(f64, f64); LINES.len()] {
        let (mut taken, mut sum, mut weighted) = (0, 0.0, 0.0);
        LINES.map(|samples| {
            let n = samples.min(self.seen);
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
    fn a_plan_keeps_what_would_be_kept_if_it_were_followed() {
        let mut forecast = Forecast::default();
        // The first plan is that of the last rate: 9.5 and its 12 % are still 11, 8.8 and its 12 % are 10.
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
            assert_eq!(forecast.orders[(forecast.seen - 1) % KEPT][0], replicas, "at {load}");
        }
    }

    #[test]
    fn that_more_was_believed_of_a_replica_does_not_make_the_highest_plan_look_cheap() {
        // Found as a steady load that went between 8 and 9 replicas where 7 were enough: when a replica turned out to carry
        // less, all plans but the highest seemed to have missed, and the highest was followed for hours.
        let mut forecast = Forecast::default();
        let mut next = |tick: u32, capacity| {
            let load = 325.0 + f64::from(tick * 31 % 997 % 36);
            let (now, interval, horizon, price, hold, least) = (f64::from(tick) * 5.0, 5.0, 50.0, 500.0, 300.0, 2);
            forecast.next(&Tick { now, interval, load, latest: load, horizon, capacity, price, hold, least }).safe
        };
        (0..200).for_each(|tick| _ = next(tick, 70.0));
        let highest = (200..1400).map(|tick| next(tick, 54.0)).skip(400).fold(0.0, f64::max);
        assert!(highest < 378.0, "{highest} for a load of at most 360: 7 replicas carry 378");
    }

    #[test]
    fn silence_is_no_error_and_the_first_tick_has_an_answer() {
        let expected = run(&mut Forecast::default(), 0, std::iter::repeat_n(0.0, 300), 200.0);
        assert!(expected.iter().all(|expected| expected.safe.is_finite() && expected.safe < 1.0));
    }
}
