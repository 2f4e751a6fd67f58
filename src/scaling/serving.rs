//! Replicas for a latency target.
//!
//! With x the load, H the time until a replica ordered now is warm, k what one replica carries at the target:
//! ```text
//! H        = start-up + warm-up + window / 2 + age of the sample + delay                                seconds
//! safe     = max(plan(x, H), 0.3 of the highest of 20 min) + surge                                      requests/s
//! replicas = ceil(safe / (k * utilisation))        then guard, stabilisation, steps and bounds
//! ```
//! `plan` is [`super::forecast`], k is [`super::capacity`], never below half of what it has been of late: what latency
//! alone can do is to double the replicas. k is learned while no replica comes, goes or warms up for a window. A sample
//! teaches a little when some only went, and while few come or warm up (the slowest twentieth is theirs) what a request
//! costs in CPU is followed at least: a capacity that fell during a long rise would not be seen otherwise.
//! `surge` is for replicas that are overloaded already: twice what they cannot carry, because new ones are slow at
//! first, and what waits within 2 s, at most twice the rest. Overloaded: more arrives than they carry, and some of it
//! waits or, as with servers that count a request only when they get to it, the latency is above the target. What waits
//! is what is in flight beyond k * T per ready replica (Little's law). What joins it has arrived too, because under
//! overload the rate of answers is not that of requests; but not while replicas warm up, which are slow without any
//! load.
//!
//! | rate | latency | what follows |
//! |---|---|---|
//! | fresh | fresh | up and down |
//! | fresh, none (less than a request per window) | missing | up and down: without requests there is no latency |
//! | fresh | stale or missing | up only |
//! | one of them fresh again, less than a window | | up only |
//! | fresh, while a version is rolled out | any | up only |
//! | fresh, of a part of the servers | any | up only |
//! | stale | any | up only, from the last value |
//! | missing or invalid | any | held, and raised for an overload that is observed from outside |
//!
//! Latency above the target in a steady state for 30 s, which load over capacity does not explain, adds replicas by
//! `(1 - L0/L) / (1 - L0/T)`, at most twice as many (M/M/1: L = L0 / (1 - rho)). When more replicas and no more load leave
//! the latency where it was, nothing is added for ten minutes (then twenty, and so on): it is not the replicas. Unless
//! they use up their CPU: then there are too few.
//!
//! A target that seems impossible keeps the replicas there are, and adds some only while requests queue up (1.3 times the
//! latency without load): what is believed of a replica after an overload may be wrong, and more replicas show it.
//!
//! Example: L0 = 40 ms, T = 80 ms, L = 160 ms: 1.5 times the replicas; a ratio of latencies would say 2.

use super::capacity::Known;
use super::decision::{Decision, Inputs, Limit};
use super::forecast::{Expected, Forecast, Tick};
pub use super::learned::Learned;
use super::learned::{Circumstances, Now};
use super::memory::Peak;
use super::observed::BUSY;
pub use super::observed::{Replicas, Signals};
use super::overload::{Assessment, Needed, Overload, Silence};
use super::past::Memories;
use super::policy::{Common, Headroom};
use super::steps::{SPARE, SPARE_SHARE, Steps, Wish};

/// Share of the highest load of the last [`PEAK_SECONDS`] that is always provided for.
const PEAK_SHARE: f64 = 0.3;
pub(super) const PEAK_SECONDS: f64 = 1200.0;
/// What is provided for is that of a peak when it is this many times the load, and not this many times the peak.
const REMEMBERED: f64 = 1.5;
/// While replicas are overloaded, what they cannot carry is provided for so many times more, because replicas that have
/// just started are slow, and what waits is to be gone in so many seconds; both at most so many times the rest.
const SURGE: f64 = 2.0;
const DRAIN: f64 = 2.0;
const SURGE_MOST: f64 = 2.0;
/// A surge never asks for more than so many times the load.
const MOST: f64 = 2.5;
/// Latency above the target for so long without a change is acted on, seconds.
const GUARD_SECONDS: f64 = 30.0;
/// Latency over so many times what it is believed to be without load is a queue, whatever the target.
const QUEUED: f64 = 1.3;
/// While nothing is learned, a replica is believed to carry this share of what its CPU would allow.
const CAUTIOUS: f64 = 0.9;
/// More replicas that lower the latency by less than this share do not help; believed for so many seconds.
const HELPS: f64 = 0.1;
const FROZEN_SECONDS: f64 = 600.0;
/// What was wanted is kept for so many seconds and this share of a start-up at least, unless the user says something else:
/// what goes too soon takes so long to come back.
const STABLE_SECONDS: f64 = 10.0;
const STABLE_STARTUP: f64 = 0.4;

/// What is promised and what it takes.
#[derive(Debug, Clone, PartialEq)]
pub struct Policy {
    /// Bounds, window and behaviour; latencies have the same window as rates.
    pub common: Common,
    /// The target of the latency quantile, seconds.
    pub target: f64,
    /// Requests per second that one replica is said to carry at the target: where learning starts.
    pub requests_per_replica: Option<f64>,
    /// How much is kept in hand.
    pub headroom: Headroom,
    /// From the order of a replica to its being ready, seconds.
    pub startup: f64,
    /// From ready to full speed, seconds.
    pub warmup: f64,
    /// What passes between a scrape and the order of a replica beside the measured age of the sample, seconds on average:
    /// until rules make a sample of the scrape, until the next tick, and the order itself.
    pub delay: f64,
}

impl Policy {
    /// What is planned with at a time and seconds since the tick before, for a load and that of the last scrape interval,
    /// from a sample of some age, when a replica carries `capacity`.
    pub(super) fn tick(
        &self,
        (now, interval): (f64, f64),
        (load, latest): (f64, f64),
        age: f64,
        capacity: f64,
    ) -> Tick {
        Tick {
            now,
            interval,
            load,
            latest,
            horizon: self.startup + self.warmup + self.common.window / 2.0 + age + self.delay,
            capacity: capacity * self.headroom.utilisation(),
            price: self.headroom.price(),
            hold: self.headroom.hold(),
            least: self.common.bounds.min,
        }
    }
}

/// Latency before replicas were added, to see whether they help.
#[derive(Debug, Clone, Copy)]
struct Trial {
    ready: u32,
    latency: f64,
    rate: f64,
}

/// The highest load of [`PEAK_SECONDS`].
pub(super) type RecentPeak = Peak<21>;

/// What is remembered from tick to tick.
#[derive(Debug, Clone, Default)]
pub struct History {
    /// Kept over restarts.
    pub learned: Learned,
    forecast: Forecast,
    peak: RecentPeak,
    steps: Steps,
    tick: Option<f64>,
    ready: (u32, f64),
    /// When a replica was warming up for the last time.
    warming: f64,
    /// Replicas as if at full speed, on average over about a window.
    speed: Option<f64>,
    /// Replicas that were ready, are no more, and are still wanted.
    lost: u32,
    /// Requests that waited at the last tick.
    waiting: f64,
    overload: Overload,
    fresh_since: Option<f64>,
    above_since: Option<f64>,
    /// Until when so many replicas are wanted for the latency's sake: replicas take their time to come.
    guarded: (f64, u32),
    trial: Option<Trial>,
    frozen_until: Option<f64>,
    /// How often it was frozen since the latency was last within the target.
    freezes: i32,
}

impl History {
    /// A history that knows what was learned before a restart.
    #[must_use]
    pub fn resume(learned: Learned) -> Self {
        Self { learned, ..Self::default() }
    }

    /// Takes over what was recorded while somebody else decided, instead of what it saw of the loads itself.
    pub fn remember(&mut self, memories: Memories) {
        (self.forecast, self.peak) = (*memories.forecast, memories.peak);
    }
}

/// How many replicas there should be at `now` (seconds). Call it every tick, about every 5 s.
pub fn decide(policy: &Policy, signals: &Signals, history: &mut History, now: f64) -> Decision {
    history.steps.observe(&policy.common.behavior, signals.replicas.current, now);
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

    history.check_trial(policy, &state, signals.cpu.value());
    let (capacity, known) = history.capacity(policy, signals, &state);
    let (safe, mut limit) = history.provide(policy, signals, &state, (capacity, known), interval);
    let need = safe / (capacity * policy.headroom.utilisation());
    // A replica is only given up when something is left over.
    let mut wanted = count(need).max(count(need + SPARE.max(SPARE_SHARE * need)).min(replicas.current));
    match known {
        // Whatever a replica carries, these carry no more.
        Known::Nothing if limit == Limit::Backlog => {}
        Known::Nothing => {
            limit = Limit::Learning;
            let prior = history.learned.usual.or(policy.requests_per_replica);
            // Without a prior there is only a guess. Replicas well within the target are enough, whatever it says.
            let idle = signals.limited_cpu().is_none_or(|cpu| cpu < BUSY);
            let comfortable = idle && state.latency.is_some_and(|latency| latency <= policy.target / 2.0);
            let most = replicas.current.max(1).saturating_mul(if comfortable { 1 } else { 2 });
            wanted = if prior.is_none() { wanted.min(most) } else { wanted };
        }
        // What follows from a guess would chase itself.
        Known::Impossible { .. } if history.learned.usual.is_none() => wanted = replicas.current,
        // What a replica usually carries may be what it does no more.
        Known::Impossible { .. } if wanted < replicas.current => (wanted, limit) = (replicas.current, Limit::Learning),
        _ => {}
    }
    (wanted, limit) = history.guard(policy, &state, known, signals.some_are_silent(), (wanted, limit));
    history.overload.seen(replicas.ready, signals.limited_cpu(), history.waiting, now - signals.rate.age());
    if let Assessment::Overloaded(silence) = assessment {
        // The rate of before is fresh for a while when no server answers any more.
        let silent = signals.outside.silent();
        let needed = if silent >= signals.proven() { Needed::NoneAnswers } else { Needed::More(silent) };
        let raised = history.overload.step(replicas.current, signals.proven(), needed, policy.startup, now);
        (wanted, limit) = if raised > wanted { (raised, Limit::Overloaded(silence)) } else { (wanted, limit) };
    }
    let frozen = history.frozen_until.is_some();
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
    let inputs = Inputs::Serving { rate: Some(rate), safe, capacity, latency: state.latency, target: policy.target };
    // Counted from the newest sample: one that does not come may have said that all of it is needed still.
    let stabilization = STABLE_SECONDS.max(STABLE_STARTUP * policy.startup) + signals.rate.age();
    let wish = Wish { current: replicas.current, replicas: wanted, limit, lowers, stabilization };
    let (settled, limit) = history.steps.settle(&policy.common, &wish, now);
    Decision { replicas: settled, current: replicas.current, without: wanted, limit, inputs, others: vec![] }
}

/// Holds; a stale rate may raise, and so may an overload that is observed from outside.
fn without_data(
    policy: &Policy,
    signals: &Signals,
    history: &mut History,
    assessment: Assessment,
    now: f64,
) -> Decision {
    history.fresh_since = None;
    let current = signals.replicas.current;
    let (rate, usual) = (signals.rate.last(), history.learned.usual.or(policy.requests_per_replica));
    let capacity = usual.unwrap_or(0.0);
    let needed = |rate: Option<f64>| rate.filter(|_| capacity > 0.0).map(|rate| count(rate / capacity));
    let mut raised = needed(rate).map_or(current, |needed| needed.max(current));
    let why = if rate.is_some() { "the requests per second are old" } else { "the requests per second are missing" };
    let mut limit = Limit::NoData(why);
    if let Assessment::Overloaded(silence) = assessment {
        let counted = needed(signals.outside.front.value()).map_or(Needed::NoneAnswers, Needed::Counted);
        raised = raised.max(history.overload.step(current, signals.proven(), counted, policy.startup, now));
        limit = Limit::Overloaded(silence);
    }
    let replicas = policy.common.bounds.clamp(history.steps.step(&policy.common.behavior, current, raised, now));
    // A step that is limited is no reason of its own: what is missing is what people have to know of.
    let at_most = current >= policy.common.bounds.max && matches!(assessment, Assessment::Overloaded(_));
    if at_most || replicas < raised && replicas == policy.common.bounds.max {
        limit = Limit::Maximum;
    }
    let inputs = Inputs::Serving {
        rate: None,
        safe: rate.unwrap_or(0.0),
        capacity,
        latency: signals.latency.value(),
        target: policy.target,
    };
    Decision { replicas, current, without: raised, limit, inputs, others: vec![] }
}

/// Replicas as a whole number; anything beyond the range of u32 is its maximum.
fn count(replicas: f64) -> u32 {
    // A billionth forgives the error of floating point, so that 6.0000000001 is 6.
    (replicas - 1e-9).ceil().clamp(0.0, f64::from(u32::MAX)) as u32
}

impl History {
    /// Takes over which replicas there are, and since when.
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
        Now { at: now, rate, latency: signals.latency.value(), replicas, steady, warm, speed: *speed }
    }

    /// What one replica carries: as learned, at least half of the usual; the usual when the target is impossible or more
    /// replicas do not help. When nothing is known: what its CPU would allow, if it is at its end, or its current load.
    fn capacity(&self, policy: &Policy, signals: &Signals, state: &Now) -> (f64, Known) {
        let known = self.learned.capacity.at(policy.target);
        let usual = self.learned.usual.or(policy.requests_per_replica).filter(|usual| *usual > 0.0);
        // As if the replicas that are there just manage.
        let guess = || {
            let per_replica = state.rate / f64::from(state.replicas.current.max(1)) / policy.headroom.utilisation();
            per_replica.max(1.0 / policy.target.max(1e-3))
        };
        let capacity = match known {
            Known::Carries(_) if self.frozen_until.is_some() => usual.unwrap_or_else(guess),
            Known::Carries(carries) => usual.map_or(carries, |usual| carries.max(usual / 2.0)),
            Known::Impossible { .. } => usual.unwrap_or_else(guess),
            Known::Nothing => {
                usual.unwrap_or_else(|| signals.carries_by_cpu().map_or_else(guess, |most| CAUTIOUS * most))
            }
        };
        (capacity.max(1e-6), known)
    }

    /// The load to provide for, requests per second, and which part of it was the highest.
    fn provide(
        &mut self,
        policy: &Policy,
        signals: &Signals,
        state: &Now,
        (capacity, known): (f64, Known),
        interval: f64,
    ) -> (f64, Limit) {
        // Replicas that are being replaced come back: what waits for them is no load.
        let ready = f64::from(state.replicas.ready.saturating_add(self.lost));
        // What they usually carry: a capacity that fell for the latency's sake is no overload.
        let ready = ready * self.learned.usual.map_or(capacity, |usual| usual.max(capacity));
        let waiting = (signals.in_flight.value().unwrap_or(0.0) - ready * policy.target).max(0.0);
        let warms = self.lost > 0 || state.replicas.warm < state.replicas.ready;
        let joining = if warms { 0.0 } else { (waiting - self.waiting).max(0.0) / interval };
        self.waiting = waiting;
        let latest = signals.latest_rate().unwrap_or(state.rate) + joining;
        let age = signals.rate.age();
        let tick = policy.tick((state.at, interval), (state.rate, latest), age, capacity);
        let Expected { safe, rising, .. } = self.forecast.next(&tick);
        let peak = self.peak.max(state.at, state.rate, PEAK_SECONDS);
        let needed = safe.max(PEAK_SHARE * peak);
        // Slow answers alone are no overload: more must arrive than the replicas carry, too.
        let carries = match known {
            Known::Carries(_) => self.frozen_until.is_none(),
            Known::Nothing => signals.carries_by_cpu().is_some(),
            Known::Impossible { .. } => false,
        };
        let above = state.latency.is_some_and(|latency| latency > policy.target);
        let overloaded = carries && (waiting > 0.0 || signals.failing() || above && !warms) && latest > ready;
        let surge = if overloaded { SURGE * (latest - ready) + waiting / DRAIN } else { 0.0 };
        let surge = surge.min(SURGE_MOST * needed);
        let remembered = needed > REMEMBERED * state.rate.max(latest) && needed < REMEMBERED * peak;
        let limit = match (surge > 0.1 * needed, rising && safe >= needed) {
            (true, _) => Limit::Backlog,
            (false, true) => Limit::Rising,
            (false, false) if remembered => Limit::RecentPeak,
            (false, false) => Limit::Load,
        };
        ((needed + surge).min(MOST * state.rate.max(latest)).max(needed), limit)
    }

    /// Adds replicas for a latency that the load does not explain, unless they would not help. `partial`: the load is that of
    /// a part of the servers.
    fn guard(
        &mut self,
        policy: &Policy,
        state: &Now,
        known: Known,
        partial: bool,
        (wanted, limit): (u32, Limit),
    ) -> (u32, Limit) {
        let current = state.replicas.current;
        let above = state.latency.filter(|latency| *latency > policy.target);
        // Requests that take much longer than without load wait for one another: more replicas do help then.
        if let (Known::Impossible { unloaded }, Some(latency)) = (known, above)
            && latency <= QUEUED * unloaded
        {
            self.above_since = None;
            return (wanted, Limit::Impossible(unloaded));
        }
        let Some(latency) = above.filter(|_| state.steady) else {
            self.above_since = None;
            return (wanted, limit);
        };
        let since = *self.above_since.get_or_insert(state.at);
        if self.frozen_until.is_some() {
            return (wanted.max(current), if wanted > current { limit } else { Limit::DoesNotHelp });
        }
        let (until, guarded) = self.guarded;
        if state.at < until && guarded > wanted {
            return (guarded, Limit::Latency);
        }
        if state.at - since < GUARD_SECONDS || wanted > current || state.replicas.ready < current {
            return (wanted, limit);
        }
        self.above_since = Some(state.at);
        // Whatever was usual, it is less than what makes them slow now.
        if !partial {
            self.learned.usual = self.learned.usual.map(|usual| usual.min(state.load()));
        }
        let unloaded = self.learned.capacity.unloaded().unwrap_or(0.0).min(0.95 * policy.target);
        let factor = (1.0 - unloaded / latency) / (1.0 - unloaded / policy.target);
        let more = count(f64::from(current) * factor.clamp(1.1, 2.0));
        self.guarded = (state.at + GUARD_SECONDS + policy.startup, more);
        (more, Limit::Latency)
    }

    /// Sees whether replicas that were added while the latency was above the target lowered it.
    fn check_trial(&mut self, policy: &Policy, state: &Now, cpu: Option<f64>) {
        let Some(latency) = state.latency else { return };
        if latency <= policy.target || cpu.is_some_and(|cpu| cpu >= BUSY) {
            (self.trial, self.frozen_until, self.freezes) = (None, None, 0);
            return;
        }
        if self.frozen_until.is_some_and(|until| state.at >= until) {
            (self.trial, self.frozen_until) = (None, None);
        }
        if !state.steady {
            return;
        }
        let ready = state.replicas.ready;
        match self.trial {
            Some(trial) if f64::from(ready) >= 1.1 * f64::from(trial.ready) => {
                if latency > (1.0 - HELPS) * trial.latency && state.rate <= 1.1 * trial.rate {
                    self.frozen_until = Some(state.at + FROZEN_SECONDS * f64::from(1 << self.freezes.min(5)));
                    self.freezes += 1;
                }
                self.trial = None;
            }
            Some(trial) if ready >= trial.ready => {}
            _ => self.trial = Some(Trial { ready, latency, rate: state.rate }),
        }
    }
}
