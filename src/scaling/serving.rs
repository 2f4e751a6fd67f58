//! Replicas for a latency target.
//!
//! ```text
//! H           = start-up + warm-up + window / 2 + age of the sample + delay                              seconds
//! provisioned = max(plan(x, H), 0.3 * highest x of the last 20 min) + surge                              requests/s
//! replicas    = ceil(provisioned / (k * utilisation))      then guard, stabilisation, steps and bounds
//! ```
//! - `x`: the load, requests/s.
//! - `H`: the horizon, the time until a replica ordered now is warm.
//! - `plan`: the rate to provision for a load `x` and a horizon `H`, see [`super::forecast`].
//! - `k`: the capacity of one replica at the target, requests/s, see [`super::capacity`].
//! - `guard`: replicas for a latency that the load does not explain, see `super::guard`.
//! - `utilisation`: the share of `k` that is planned with, see [`super::Headroom::utilisation`].
//!
//! # Capacity
//!
//! `k` is never less than half of the baseline capacity, which is `k` averaged over about an hour. So the latency alone
//! can at most double the replicas. `super::learned` lists what a sample teaches. `k` is learned in full only when no
//! replica was added, removed or warming up for one window. After a removal a sample gets less weight. While a few
//! replicas are added or warm up, only the CPU per request is learned, because the slowest twentieth of the requests is
//! theirs. Without that, a capacity that falls during a long rise would not be noticed.
//!
//! While the target seems impossible, the replicas are not lowered, and the load raises them only if a baseline capacity
//! is known.
//!
//! # Surge
//!
//! `surge` is for replicas that are already overloaded. It is the sum of two rates, at most twice the rest of
//! `provisioned`:
//! - twice the load beyond the capacity of the ready replicas, because new replicas are slow at first;
//! - the rate that works off the waiting requests within 2 s.
//!
//! It raises `provisioned` to at most 2.5 times the load.
//!
//! Replicas are overloaded when more arrives than their capacity and requests wait, requests fail, or the latency is above
//! the target while no replica warms up. The latency counts because some servers count a request only when they start on it.
//!
//! The waiting requests are those in flight beyond `k * T` per ready replica, with T the target (Little's law). An increase
//! of the waiting requests is added to the load, because under overload the rate of responses is less than the rate of
//! requests. It is not added while replicas warm up: those are slow without any load.
//!
//! # Signals
//!
//! | rate | latency | scaling |
//! |---|---|---|
//! | fresh | fresh | up and down |
//! | fresh, less than one request per window | missing | up and down: without requests there is no latency |
//! | fresh | stale or missing | up only |
//! | fresh for less than a window, after an outage of either signal | | up only |
//! | fresh, while a version is rolled out | any | up only |
//! | fresh, of a part of the servers | any | up only |
//! | stale | any | up only, from the last value |
//! | missing or invalid | any | none, except up for an overload that is observed from outside |

use super::capacity::Known;
use super::decision::{Decision, Inputs, Limit};
use super::forecast::{Expected, Forecast};
use super::guard::Guard;
pub use super::learned::Learned;
use super::learned::{Circumstances, Now};
use super::memory::RecentPeak;
use super::observed::BUSY;
pub use super::observed::{Replicas, Signals};
use super::overload::{Assessment, Needed, Overload, Silence};
use super::past::Replayed;
use super::removal::Removals;
use super::steps::{Recommendation, SPARE, SPARE_SHARE, Steps, count};
pub use super::target::Policy;

/// Scrapes in a window, see [`crate::monitoring::scaling::window_seconds`]: a rate changes with a scrape, not with a tick.
const SCRAPES: f64 = 4.0;
/// Share of the highest load of the last 20 minutes that is always provisioned, 0 to 1.
const PEAK_SHARE: f64 = 0.3;
/// The reason is [`Limit::RecentPeak`] when the provisioned rate is more than this many times the load and less than
/// this many times the recent peak. A surge is not counted.
const RECENT_PEAK_RATIO: f64 = 1.5;
/// Factor of the load beyond the capacity in a surge. Above 1 because replicas that have just started are slow.
const SURGE: f64 = 2.0;
/// Time in which a surge works off the waiting requests, seconds.
const DRAIN: f64 = 2.0;
/// Largest surge, as a factor of the rate that is provisioned without it.
const SURGE_MOST: f64 = 2.0;
/// A surge raises the provisioned rate to at most this many times the load.
const MOST: f64 = 2.5;
/// Share of the capacity by CPU that is assumed before anything is learned, 0 to 1.
const CAUTIOUS: f64 = 0.9;
/// Shortest default stabilisation of the way down, seconds. One single replica waits for longer, see `super::removal`.
const STABLE_SECONDS: f64 = 10.0;
/// Default stabilisation of the way down, as a share of the start-up: a replica that is removed too early takes a whole
/// start-up to come back.
const STABLE_STARTUP: f64 = 0.4;

/// State kept between ticks.
#[derive(Debug, Clone, Default)]
pub struct History {
    /// Estimates of one replica, kept over restarts.
    pub learned: Learned,
    forecast: Forecast,
    peak: RecentPeak,
    steps: Steps,
    removals: Removals,
    tick: Option<f64>,
    /// Ready replicas, and when they last changed or warmed up.
    ready: (u32, f64),
    /// When a replica was last warming up.
    warming: f64,
    /// Replicas at full speed, see [`Replicas::at_full_speed`], averaged over about a window.
    speed: Option<f64>,
    /// Replicas that were ready, are not any more, and still belong to the current replicas.
    lost: u32,
    /// The request rate at the last tick.
    rate: Option<f64>,
    /// Waiting requests at the last tick.
    waiting: f64,
    overload: Overload,
    fresh_since: Option<f64>,
    guard: Guard,
}

impl History {
    /// A history with the estimates from before a restart.
    #[must_use]
    pub fn resume(learned: Learned) -> Self {
        Self { learned, ..Self::default() }
    }

    /// Replaces the forecast and the recent peak with those of a backfill.
    pub fn replay(&mut self, replayed: Replayed) {
        (self.forecast, self.peak) = (*replayed.forecast, replayed.peak);
    }
}

/// The desired replicas at `now` (seconds). Call it every tick, about every 5 s.
pub fn decide(policy: &Policy, signals: &Signals, history: &mut History, now: f64) -> Decision {
    history.steps.observe(&policy.common.behavior, signals.replicas.current, now);
    let stable_startup = STABLE_STARTUP * policy.startup;
    history.removals.observe(signals.replicas.current, stable_startup, now);
    let interval = history.tick.replace(now).map_or(5.0, |before| (now - before).clamp(1.0, 60.0));
    let measured = signals.rate.value().is_some() && !signals.outside.source_failed;
    let assessment = history.overload.assess(&signals.outside, signals.replicas.ready, measured, now);
    // What a source that is away said last is of before the overload, however fresh.
    let is_of_before = assessment == Assessment::Overloaded(Silence::Source);
    let Some(rate) = signals.rate.value().filter(|_| !is_of_before) else {
        return without_data(policy, signals, history, assessment, now);
    };
    let since = *history.fresh_since.get_or_insert(now);
    let replicas = signals.replicas;
    let state = history.observe(policy, signals, rate, interval, now);

    history.guard.check_trial(policy, &state, signals.cpu.value());
    let (capacity, known) = history.capacity(policy, signals, &state);
    let (provisioned, mut limit) = history.provide(policy, signals, &state, (capacity, known), interval);
    let need = provisioned / (capacity * policy.headroom.utilisation());
    // A replica is removed only when some capacity is spare without it.
    let mut desired = count(need).max(count(need + SPARE.max(SPARE_SHARE * need)).min(replicas.current));
    match known {
        // These replicas are at the end of their CPU, whatever their capacity is.
        Known::Unknown if limit == Limit::Backlog => {}
        Known::Unknown => {
            limit = Limit::Learning;
            let prior = history.learned.baseline.or(policy.requests_per_replica);
            // Without a prior the capacity is only a guess. Replicas with CPU to spare are enough all the same when they are well
            // within the target, and when requests have only just begun: the first ones of idle servers are slow.
            let idle = signals.limited_cpu().is_none_or(|cpu| cpu < BUSY);
            let comfortable = idle && state.latency.is_some_and(|latency| latency <= policy.target / 2.0);
            let begins = state.is_mixed() && signals.cpu_now(state.rise).is_some_and(|cpu| cpu < BUSY);
            let most = replicas.current.max(1).saturating_mul(if comfortable || begins { 1 } else { 2 });
            desired = if prior.is_none() { desired.min(most) } else { desired };
        }
        // The guess of the capacity depends on the current replicas: following it would feed back on itself.
        Known::Impossible { .. } if history.learned.baseline.is_none() => desired = replicas.current,
        // The baseline capacity may be out of date, so it does not lower the replicas.
        Known::Impossible { .. } if desired < replicas.current => {
            (desired, limit) = (replicas.current, Limit::Learning)
        }
        _ => {}
    }
    let learned = &mut history.learned;
    (desired, limit) = history.guard.apply(policy, &state, known, signals.some_are_silent(), learned, (desired, limit));
    history.overload.observed(replicas.ready, signals.limited_cpu(), history.waiting, now - signals.rate.age());
    if let Assessment::Overloaded(silence) = assessment {
        // The last rate stays fresh for a while after all servers have stopped answering.
        let silent = signals.outside.silent();
        let needed = if silent >= signals.proven() { Needed::NoneAnswers } else { Needed::More(silent) };
        let raised = history.overload.step(replicas.current, signals.proven(), needed, policy.startup, now);
        (desired, limit) = if raised > desired { (raised, Limit::Overloaded(silence)) } else { (desired, limit) };
    }
    let frozen = history.guard.is_frozen();
    history.learned.learn(
        policy,
        &state,
        &Circumstances {
            known,
            frozen,
            waiting: history.waiting,
            cpu: signals.cpu.value(),
            partial: signals.failing() || signals.some_are_silent(),
        },
    );

    let lowers = if state.latency.is_none() && rate * policy.common.window >= 1.0 {
        history.fresh_since = None;
        Err(Limit::NoData("the latency is missing or old"))
    } else if now - since < policy.common.window {
        Err(Limit::Outage)
    } else if let Assessment::Overloaded(silence) = assessment {
        Err(Limit::Overloaded(silence))
    } else if history.overload.is_recent(policy.startup, now) {
        Err(Limit::Recovering)
    } else if signals.some_are_silent() {
        Err(Limit::Silent)
    } else if signals.rolling_out {
        Err(Limit::RollingOut)
    } else {
        Ok(())
    };
    let inputs =
        Inputs::Serving { rate: Some(rate), provisioned, capacity, latency: state.latency, target: policy.target };
    // The window starts at the newest sample: a sample that is late might still have asked for all replicas.
    let single = desired.saturating_add(1) == replicas.current;
    let wait = match single {
        true => history.removals.wait(replicas.current, stable_startup),
        false => STABLE_SECONDS.max(stable_startup),
    };
    let stabilization = wait + signals.rate.age();
    let recommendation = Recommendation { current: replicas.current, replicas: desired, limit, lowers, stabilization };
    let (stabilized, limit) = history.steps.apply_limits(&policy.common, &recommendation, now);
    Decision { replicas: stabilized, current: replicas.current, unclamped: desired, limit, inputs, others: vec![] }
}

/// The decision without a fresh rate: keeps the current replicas. A stale rate may raise them, and so may an overload that
/// is observed from outside.
fn without_data(
    policy: &Policy,
    signals: &Signals,
    history: &mut History,
    assessment: Assessment,
    now: f64,
) -> Decision {
    (history.fresh_since, history.rate) = (None, None);
    let current = signals.replicas.current;
    let (rate, baseline) = (signals.rate.last(), history.learned.baseline.or(policy.requests_per_replica));
    let capacity = baseline.unwrap_or(0.0);
    let needed = |rate: Option<f64>| rate.filter(|_| capacity > 0.0).map(|rate| count(rate / capacity));
    let mut raised = needed(rate).map_or(current, |needed| needed.max(current));
    let why = if rate.is_some() { "the requests per second are old" } else { "the requests per second are missing" };
    let mut limit = Limit::NoData(why);
    if let Assessment::Overloaded(silence) = assessment {
        // What is counted in front is of the same source: when it does not answer, that rate is of before the overload.
        let front = signals.outside.front.value().filter(|_| !signals.outside.source_failed);
        let silent = signals.outside.silent();
        let others_answer = silence != Silence::Source && silent < signals.proven();
        let not_counted = if others_answer { Needed::More(silent) } else { Needed::NoneAnswers };
        let counted = needed(front).map_or(not_counted, Needed::Counted);
        raised = raised.max(history.overload.step(current, signals.proven(), counted, policy.startup, now));
        limit = Limit::Overloaded(silence);
    }
    let replicas = policy.common.bounds.clamp(history.steps.step(&policy.common.behavior, current, raised, now));
    // A step limit is not reported here: the missing signal or the overload matters more.
    let at_most = current >= policy.common.bounds.max && matches!(assessment, Assessment::Overloaded(_));
    if at_most || replicas < raised && replicas == policy.common.bounds.max {
        limit = Limit::Maximum;
    }
    let inputs = Inputs::Serving {
        rate: None,
        provisioned: rate.unwrap_or(0.0),
        capacity,
        latency: signals.latency.value(),
        target: policy.target,
    };
    Decision { replicas, current, unclamped: raised, limit, inputs, others: vec![] }
}

/// How many times the mean over the window the load of the last interval was, at least 1. Of a load that begins on idle
/// servers all requests in the window are of the last interval: the mean over the window is small, however large the load is.
fn rise(before: f64, rate: f64, interval: f64, window: f64) -> f64 {
    let share = (1.0 - before / rate.max(f64::MIN_POSITIVE)).max(0.0);
    (share * window / interval).max(1.0)
}

impl History {
    /// Records the replicas of this tick and how long they have been unchanged and warm.
    fn observe(&mut self, policy: &Policy, signals: &Signals, rate: f64, interval: f64, now: f64) -> Now {
        let replicas = signals.replicas;
        let were_ready = self.lost.saturating_add(self.ready.0);
        self.lost = were_ready.min(replicas.current).saturating_sub(replicas.ready);
        if replicas.warm != replicas.ready || self.speed.is_none() {
            self.warming = now;
        }
        if replicas.ready != self.ready.0 || replicas.warm != replicas.ready {
            self.ready = (replicas.ready, now);
        }
        let lasts = |since: f64| now - since > policy.common.window && replicas.ready > 0;
        let (steady, warm) = (lasts(self.ready.1), lasts(self.warming));
        let full = replicas.at_full_speed();
        let speed = self.speed.get_or_insert(full);
        *speed += (full - *speed) * (2.0 * interval / policy.common.window).min(1.0);
        let before = self.rate.replace(rate).unwrap_or(rate);
        let rise = rise(before, rate, interval.max(policy.common.window / SCRAPES), policy.common.window);
        Now { at: now, rate, latency: signals.latency.value(), replicas, steady, warm, speed: *speed, rise }
    }

    /// The capacity of one replica, requests per second, and what is known of it.
    ///
    /// - Learned: the estimate, at least half of the baseline.
    /// - The target is impossible, or more replicas did not help: the baseline, else its current load.
    /// - Nothing is learned: the baseline, else the capacity by CPU if the CPU is used up, else its current load.
    ///
    /// The configured capacity stands in for a baseline that is not known.
    fn capacity(&self, policy: &Policy, signals: &Signals, state: &Now) -> (f64, Known) {
        let known = self.learned.capacity.at(policy.target);
        let baseline = self.learned.baseline.or(policy.requests_per_replica).filter(|baseline| *baseline > 0.0);
        // Assumes that the current replicas are just enough for the current load.
        let guess = || {
            let per_replica = state.rate / f64::from(state.replicas.current.max(1)) / policy.headroom.utilisation();
            per_replica.max(1.0 / policy.target.max(1e-3))
        };
        let capacity = match known {
            Known::Capacity(_) if self.guard.is_frozen() => baseline.unwrap_or_else(guess),
            Known::Capacity(learned) => baseline.map_or(learned, |baseline| learned.max(baseline / 2.0)),
            Known::Impossible { .. } => baseline.unwrap_or_else(guess),
            Known::Unknown => baseline
                .unwrap_or_else(|| signals.capacity_by_cpu(state.rise).map_or_else(guess, |most| CAUTIOUS * most)),
        };
        (capacity.max(1e-6), known)
    }

    /// The provisioned rate, requests per second, and the reason for it.
    fn provide(
        &mut self,
        policy: &Policy,
        signals: &Signals,
        state: &Now,
        (capacity, known): (f64, Known),
        interval: f64,
    ) -> (f64, Limit) {
        // Replicas that are being replaced come back: requests that wait for them are no additional load.
        let ready = f64::from(state.replicas.ready.saturating_add(self.lost));
        // At least the baseline: a capacity that was lowered because of the latency is not an overload.
        let ready = ready * self.learned.baseline.map_or(capacity, |baseline| baseline.max(capacity));
        let waiting = (signals.in_flight.value().unwrap_or(0.0) - ready * policy.target).max(0.0);
        let warms = self.lost > 0 || state.replicas.warm < state.replicas.ready;
        let joining = if warms { 0.0 } else { (waiting - self.waiting).max(0.0) / interval };
        self.waiting = waiting;
        let latest = signals.latest_rate().unwrap_or(state.rate) + joining;
        let age = signals.rate.age();
        let tick = policy.tick((state.at, interval), (state.rate, latest), age, capacity);
        let Expected { provisioned, rising, .. } = self.forecast.next(&tick);
        let peak = self.peak.next(state.at, state.rate);
        let needed = provisioned.max(PEAK_SHARE * peak);
        // A high latency alone is not an overload: the load must be above the capacity too, which has to be known for that.
        let is_known = match known {
            Known::Capacity(_) => !self.guard.is_frozen(),
            Known::Unknown => signals.capacity_by_cpu(state.rise).is_some(),
            Known::Impossible { .. } => false,
        };
        let above = state.latency.is_some_and(|latency| latency > policy.target);
        let overloaded = is_known && (waiting > 0.0 || signals.failing() || above && !warms) && latest > ready;
        let surge = if overloaded { SURGE * (latest - ready) + waiting / DRAIN } else { 0.0 };
        let surge = surge.min(SURGE_MOST * needed);
        let is_recent_peak = needed > RECENT_PEAK_RATIO * state.rate.max(latest) && needed < RECENT_PEAK_RATIO * peak;
        let limit = match (surge > 0.1 * needed, rising && provisioned >= needed) {
            (true, _) => Limit::Backlog,
            (false, true) => Limit::Rising,
            (false, false) if is_recent_peak => Limit::RecentPeak,
            (false, false) => Limit::Load,
        };
        ((needed + surge).min(MOST * state.rate.max(latest)).max(needed), limit)
    }
}
