//! The judge of a canary: whether its requests fail, or are slow, more often than those of the serving version. Pure.
//!
//! ```text
//! Settings { level, margin, signals }          what is judged, and how strictly
//! Evidence::default()                           nothing observed yet; goes to the status as it is
//! evidence.observe(&settings, &counts, share)   the counts of a tick
//! evidence.begin_step()                         a new step has to show again that the canary is not worse
//! evidence.verdict(&settings, seconds)          Better, NoWorse, Worse or Inconclusive, and why in one sentence
//! ```
//!
//! # Method
//!
//! Of each signal, *events* are counted (errors; requests slower than a bound of the histogram) and requests, of both tracks. If events
//! come r times as often in the canary, then of the x events of both tracks in a tick, those of the canary are binomial with
//!
//! ```text
//! π(r) = r n_c / (r n_c + n_b)        n_c, n_b: requests of the canary and of the serving version in the tick
//! ```
//!
//! so what affects both tracks alike cancels out, and weights may change meanwhile (Lindon and Malek, Anytime-Valid Inference For
//! Multinomial Count Data, NeurIPS 2022). With L(r) the likelihood of that, L(r) / L(r₀) has a mean of at most 1 in each tick if
//! the ratio is r₀ or, for r > r₀, less than that. The product over ticks is the capital of a gambler in a game that is fair at best, a
//! test supermartingale, and so is each mixture of such products, an *e-value*. By Ville's inequality, P(sup E ≥ 1/α) ≤ α: it may be
//! compared with 1/α after each tick, and stopped at any time (Lindon, Sanden and Shirikian, Rapid Regression Detection in Software
//! Deployments through Sequential Testing, KDD 2022, arXiv 2205.14762; Waudby-Smith and Ramdas, Estimating Means of Bounded Random
//! Variables by Betting, JRSS B 2024, on mixtures and bets that change).
//!
//! | e-value | null hypothesis | mixture of |
//! |---|---|---|
//! | worse | r ≤ 1 | L(r) / L(1) for r in `WORSE`, each begun in any tick |
//! | above | the canary's own rate ≤ the maximum | the same for its own rate, for multiples of the maximum in `ABOVE` |
//! | no worse | r ≥ margin | L(r) / L(margin) for r in `NO_WORSE` |
//! | better | r ≥ 1 | L(r) / L(1) for r in `BETTER` |
//! | rare | the canary's own rate ≥ the floor | (q/f)^x ((1−q)/(1−f))^(n−x), with f the floor, for q in `RARE` |
//!
//! - **Worse**: the mean of all `worse` and `above` reaches 1/α. At most the share α of canaries without any difference is called worse, with
//!   all signals, steps and ticks together, because a mean of e-values is one, and is never below the split α / signals. `worse` and
//!   `above` last for the whole canary. A part of their capital is held back, and of it a part is staked in each tick with events. This
//!   is a mixture over the tick in which the rate changes, so a canary that becomes worse later is found as well.
//!   Whatever the evidence, a canary is called worse only while it has had more events than its share of those of both tracks, which is
//!   Σ n_c (x_c + x_b) / (n_c + n_b) over the ticks: otherwise one group of events (below) could take back the better version.
//! - **NoWorse**: for each signal, the mean of `no worse` and `rare` (if it has a floor) reaches 1/α. All have to, so none needs a smaller
//!   α: a version that is worse by the margin in one signal passes with a probability of at most α (an intersection-union test: Berger,
//!   Multiparameter Hypothesis Testing and Acceptance Sampling, Technometrics 1982). It begins anew with each step.
//! - **Better**: NoWorse, and the mean of `better` over the signals reaches 1/α.
//! - **Inconclusive**: anything else.
//!
//! Fractions: for 0 ≤ c ≤ 1, L(r)^c / L(r₀)^c has a mean of at most 1 as well (Jensen's inequality), so counts may be multiplied by any share
//! of at most 1, the same for all of them: evidence becomes less, never wrong. A share above 1 is wrong. See [`Evidence::observe`] for what
//! follows for `increase()`, which extrapolates.
//!
//! Not covered: events that come in groups within one track (retries of the same request, one broken pod) are taken for independent.

mod words;

use std::collections::BTreeMap;

use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

use crate::model::canary::{Settings, Signal};
use words::{duration, per_cent, stated};

/// Ratios of event rates that count as worse, with their share of the stakes.
const WORSE: [(f64, f64); 4] = [(1.4, 0.15), (2.0, 0.3), (4.0, 0.3), (12.0, 0.25)];
/// Multiples of the odds of the maximum that count as above it, with their share of the stakes.
const ABOVE: [(f64, f64); 3] = [(1.5, 0.3), (3.0, 0.4), (10.0, 0.3)];
/// Ratios that count as no worse.
const NO_WORSE: [(f64, f64); 4] = [(1.0, 0.5), (0.75, 0.25), (0.5, 0.15), (0.2, 0.1)];
/// Ratios that count as better.
const BETTER: [(f64, f64); 3] = [(0.8, 0.4), (0.5, 0.4), (0.2, 0.2)];
/// Rates that the e-value `rare` stakes on, as shares of the floor.
const RARE: [(f64, f64); 2] = [(0.5, 0.6), (0.1, 0.4)];
/// The share of the capital of `worse` and `above` that is not staked from the beginning.
const HELD_BACK: f64 = 0.1;
/// The share of what is held back that is staked in a tick with events. With ticks of 5 s, half of it within half an hour.
const STAKED: f64 = 1.0 / 500.0;
/// The largest level: with more, a single event decides.
const LEVEL_MAX: f64 = 0.5;
/// Requests of a track in a tick above which a count is an error of the metric.
const REQUESTS_MAX: f64 = 1e12;
/// Units per nat (natural unit of logarithms) in recorded evidence. Rounded down in each tick, so that rounding is never evidence.
const PER_NAT: f64 = 1e6;
/// Bound of recorded numbers: JSON readers take integers up to 2⁵³.
const RECORDED_MAX: f64 = 9e15;
/// Number of the method: evidence by other grids does not count.
const METHOD: f64 = 1.0;
/// Numbers that are counted of a signal, see [`SignalEvidence::counted`].
const COUNTED: usize = 5;
/// Units per request in recorded tallies.
const PER_REQUEST: f64 = 1e3;

/// How many requests of a track there were, and how many of them were events.
#[derive(Clone, Copy, Debug, Default, PartialEq)]
pub struct Counts {
    /// Increase of the counter of requests.
    pub requests: f64,
    /// Increase of the counter of events.
    pub events: f64,
}

/// The counts of a tick.
#[derive(Clone, Copy, Debug, Default, PartialEq)]
pub struct Comparison {
    /// Those of the canary.
    pub canary: Counts,
    /// Those of the serving version.
    pub baseline: Counts,
}

impl Counts {
    /// The counts, if they may be evidence: negative numbers and such that are no number come from counters that were reset or are missing.
    fn valid(self) -> Option<Self> {
        let Self { requests, events } = self;
        let is_valid = requests > 0.0 && requests <= REQUESTS_MAX && events >= 0.0 && events.is_finite();
        // Counters of the same request are not incremented at the same moment.
        is_valid.then_some(Self { requests, events: events.min(requests) })
    }

    fn times(self, share: f64) -> Self {
        Self { requests: share * self.requests, events: share * self.events }
    }
}

/// All that was observed of a canary, as integers: a restart changes no verdict, because nothing else is kept.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "camelCase")]
pub struct Evidence {
    /// One entry per signal.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    #[schemars(length(max = 16))]
    pub signals: Vec<SignalEvidence>,
}

/// What was observed of a signal. Logarithms are in millionths of a nat.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "camelCase")]
pub struct SignalEvidence {
    /// Name of the signal.
    #[schemars(length(max = 256))]
    pub signal: String,
    /// What it is judged against: margin, floor and maximum in millionths, and the method. Evidence against anything else does not count.
    #[schemars(length(max = 16))]
    pub against: Vec<i64>,
    /// Counts of the whole canary: requests and events of the canary, then those of the serving version, and the canary's share of all
    /// events, in thousandths.
    #[schemars(length(max = 16))]
    pub counted: Vec<i64>,
    /// Counts of the current step, in the same order.
    #[schemars(length(max = 16))]
    pub counted_in_step: Vec<i64>,
    /// Logarithms of the capital that stakes on worse: what is held back, then one per ratio.
    #[schemars(length(max = 16))]
    pub worse: Vec<i64>,
    /// The same for stakes on more events than the maximum.
    #[schemars(length(max = 16))]
    pub above: Vec<i64>,
    /// Logarithms of the likelihood ratios for no worse, of the current step.
    #[schemars(length(max = 16))]
    pub no_worse: Vec<i64>,
    /// The same for better.
    #[schemars(length(max = 16))]
    pub better: Vec<i64>,
    /// The same for events that are rarer than the floor.
    #[schemars(length(max = 16))]
    pub rare: Vec<i64>,
}

/// What a canary is, by its evidence.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
pub enum Finding {
    /// Not worse, and better in one of the signals.
    Better,
    /// Not worse in any signal.
    NoWorse,
    /// Worse in one of the signals, or above its maximum.
    Worse,
    /// None of these can be stated yet.
    Inconclusive,
}

/// A finding, and why.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Verdict {
    /// What is found.
    pub finding: Finding,
    /// Why, in one sentence with the numbers.
    pub why: String,
}

impl Evidence {
    /// Adds the counts of a tick, by the name of the signal.
    ///
    /// `share`: the part of them, at most 1, that was not added before. `increase(x[60s])` read each 15 s has each event four times, so
    /// the share is a quarter. Then it is of no importance that it extrapolates: with a scrape each 15 s, it finds each event in three
    /// windows of four, times 4/3. Read each 60 s, it would count 3/4 of the events times 4/3, which is more than there were: the share
    /// is then 3/4, what the samples cover.
    ///
    /// Negative numbers, such that are no number, and ticks without requests of either track are no evidence.
    pub fn observe(&mut self, settings: &Settings, counts: &BTreeMap<String, Comparison>, share: f64) {
        let is_of = |(of, signal): (&SignalEvidence, &Signal)| of.is_of(signal, settings.margin);
        if self.signals.len() != settings.signals.len() || !self.signals.iter().zip(&settings.signals).all(is_of) {
            self.signals = settings.signals.iter().map(|signal| self.of(signal, settings.margin)).collect();
        }
        for (evidence, signal) in self.signals.iter_mut().zip(&settings.signals) {
            let valid = counts.get(&signal.name).and_then(|of| of.canary.valid().zip(of.baseline.valid()));
            if let Some((canary, baseline)) = valid.filter(|_| share > 0.0) {
                let share = share.min(1.0);
                let tick = Tick::new(canary.times(share), baseline.times(share), signal, settings.margin);
                evidence.add(&tick);
            }
        }
    }

    /// Forgets what was found in favour of the canary, because a step has more traffic than the one before.
    pub fn begin_step(&mut self) {
        for signal in &mut self.signals {
            for numbers in [&mut signal.counted_in_step, &mut signal.no_worse, &mut signal.better, &mut signal.rare] {
                numbers.fill(0);
            }
        }
    }

    /// What was observed of a signal, judged as it is now.
    fn of(&self, signal: &Signal, margin: f64) -> SignalEvidence {
        let recorded = self.signals.iter().find(|of| of.is_of(signal, margin)).cloned();
        recorded.unwrap_or_else(|| SignalEvidence::new(signal, margin))
    }

    /// The requests of the canary in this step that were judged: of the signal with the fewest.
    pub fn requests_in_step(&self) -> f64 {
        self.signals.iter().map(|signal| whole(signal.counted_in_step[0])).reduce(f64::min).unwrap_or(0.0)
    }
}

impl Signal {
    /// See [`SignalEvidence::against`].
    fn against(&self, margin: f64) -> [i64; 4] {
        let millionths = |bound: f64| recorded((bound * 1e6).round());
        [margin, self.floor.unwrap_or_default(), self.maximum.unwrap_or_default(), METHOD].map(millionths)
    }
}

/// Logarithms of the likelihood ratios of a tick.
struct Tick {
    counted: [f64; COUNTED],
    worse: [f64; WORSE.len()],
    above: Option<[f64; ABOVE.len()]>,
    no_worse: [f64; NO_WORSE.len()],
    better: [f64; BETTER.len()],
    rare: Option<[f64; RARE.len()]>,
}

impl Tick {
    fn new(canary: Counts, baseline: Counts, signal: &Signal, margin: f64) -> Self {
        let events = canary.events + baseline.events;
        let share_of_events = events * canary.requests / (canary.requests + baseline.requests);
        // ln L(r), but for a constant.
        let likelihood = |r: f64| {
            let odds = r * canary.requests / baseline.requests;
            if events > 0.0 { canary.events * r.ln() - events * odds.ln_1p() } else { 0.0 }
        };
        let own = |rate: f64, than: f64| {
            let others = canary.requests - canary.events;
            canary.events * (rate / than).ln() + others * ((1.0 - rate) / (1.0 - than)).ln()
        };
        let (at_one, at_margin) = (likelihood(1.0), likelihood(margin.max(1.0)));
        Self {
            counted: [canary.requests, canary.events, baseline.requests, baseline.events, share_of_events],
            worse: WORSE.map(|(r, _)| likelihood(r) - at_one),
            above: share(signal.maximum).map(|most| ABOVE.map(|(times, _)| own(of_odds(times * odds(most)), most))),
            no_worse: NO_WORSE.map(|(r, _)| likelihood(r) - at_margin),
            better: BETTER.map(|(r, _)| likelihood(r) - at_one),
            rare: share(signal.floor).map(|floor| RARE.map(|(part, _)| own(part * floor, floor))),
        }
    }
}

/// A share of requests that can be a bound.
fn share(bound: Option<f64>) -> Option<f64> {
    bound.filter(|share| *share > 0.0 && *share < 1.0)
}

fn odds(share: f64) -> f64 {
    share / (1.0 - share)
}

fn of_odds(odds: f64) -> f64 {
    odds / (1.0 + odds)
}

impl SignalEvidence {
    fn new(signal: &Signal, margin: f64) -> Self {
        Self {
            signal: signal.name.clone(),
            against: signal.against(margin).to_vec(),
            counted: vec![0; COUNTED],
            counted_in_step: vec![0; COUNTED],
            worse: stakes(&WORSE),
            above: stakes(&ABOVE),
            no_worse: vec![0; NO_WORSE.len()],
            better: vec![0; BETTER.len()],
            rare: vec![0; RARE.len()],
        }
    }

    /// Whether it can go on with this signal; in a status that was edited, numbers may be missing.
    fn is_of(&self, signal: &Signal, margin: f64) -> bool {
        let numbers =
            [&self.counted, &self.counted_in_step, &self.worse, &self.above, &self.no_worse, &self.better, &self.rare];
        self.signal == signal.name
            && self.against == signal.against(margin)
            && numbers.map(Vec::len)
                == [COUNTED, COUNTED, 1 + WORSE.len(), 1 + ABOVE.len(), NO_WORSE.len(), BETTER.len(), RARE.len()]
    }

    fn add(&mut self, tick: &Tick) {
        for counted in [&mut self.counted, &mut self.counted_in_step] {
            for (counted, more) in counted.iter_mut().zip(tick.counted) {
                *counted = recorded((*counted as f64 + more * PER_REQUEST).round());
            }
        }
        add(&mut self.no_worse, &tick.no_worse);
        add(&mut self.better, &tick.better);
        if let Some(rare) = tick.rare {
            add(&mut self.rare, &rare);
        }
        if tick.counted[1] + tick.counted[3] > 0.0 {
            play(&mut self.worse, &WORSE, &tick.worse);
        }
        if let Some(above) = tick.above {
            play(&mut self.above, &ABOVE, &above);
        }
    }

    /// The e-values.
    fn values(&self, signal: &Signal) -> Values {
        let capital = |logarithms: &[i64]| logarithms.iter().map(|of| exp(*of)).sum::<f64>();
        let mixture = |logarithms: &[i64], grid: &[(f64, f64)]| {
            logarithms.iter().zip(grid).map(|(of, (_, weight))| weight * exp(*of)).sum::<f64>()
        };
        let no_worse = mixture(&self.no_worse, &NO_WORSE);
        let has_more = self.counted[1] > self.counted[4];
        Values {
            worse: if has_more { capital(&self.worse) } else { 0.0 },
            above: share(signal.maximum).map(|_| capital(&self.above)),
            no_worse: if share(signal.floor).is_some() {
                (no_worse + mixture(&self.rare, &RARE)) / 2.0
            } else {
                no_worse
            },
            better: mixture(&self.better, &BETTER),
        }
    }
}

/// The e-values of a signal.
#[derive(Clone, Copy, Debug)]
struct Values {
    worse: f64,
    above: Option<f64>,
    no_worse: f64,
    better: f64,
}

impl Values {
    fn is_no_worse(&self, level: f64) -> bool {
        self.no_worse >= needed(level)
    }
}

/// An e-value against the canary.
struct Against {
    /// Number of its signal.
    signal: usize,
    value: f64,
    /// Whether it is that of `above`.
    is_above: bool,
}

impl Evidence {
    /// What the canary is.
    pub fn finding(&self, settings: &Settings) -> Finding {
        self.judge(settings).0
    }

    fn judge(&self, settings: &Settings) -> (Finding, Vec<Values>) {
        let needed = needed(settings.level);
        let values: Vec<Values> = settings
            .signals
            .iter()
            .enumerate()
            .map(|(index, signal)| match self.signals.get(index).filter(|of| of.is_of(signal, settings.margin)) {
                Some(evidence) => evidence.values(signal),
                None => self.of(signal, settings.margin).values(signal),
            })
            .collect();
        let finding = if mean(against(&values).map(|of| of.value)) >= needed {
            Finding::Worse
        } else if values.is_empty() || !values.iter().all(|of| of.is_no_worse(settings.level)) {
            Finding::Inconclusive
        } else if mean(values.iter().map(|of| of.better)) >= needed {
            Finding::Better
        } else {
            Finding::NoWorse
        };
        (finding, values)
    }

    /// What the canary is, and why, after so many seconds in which it was judged.
    pub fn verdict(&self, settings: &Settings, seconds: i64) -> Verdict {
        let (finding, values) = self.judge(settings);
        let after = format!("at level {} after {}", settings.level, duration(seconds));
        let in_step = |is_stated: &dyn Fn(&Values) -> bool| {
            let signals = settings.signals.iter().zip(&values).filter(|(_, values)| is_stated(values));
            let texts = signals.map(|(signal, _)| stated(signal, &self.of(signal, settings.margin).counted_in_step));
            texts.collect::<Vec<_>>().join("; ")
        };
        let margin = settings.margin;
        let why = match finding {
            _ if values.is_empty() => "no signal is judged".into(),
            Finding::Worse => self.against(settings, &values, &after),
            Finding::Better => format!("{}: better {after}", in_step(&|_| true)),
            Finding::NoWorse => format!("{}: not worse by the factor {margin} {after}", in_step(&|_| true)),
            Finding::Inconclusive => {
                let open = in_step(&|of| !of.is_no_worse(settings.level));
                format!("{open}: neither worse, nor not worse by the factor {margin}, {after}")
            }
        };
        Verdict { finding, why }
    }

    /// The strongest evidence against the canary in words.
    fn against(&self, settings: &Settings, values: &[Values], after: &str) -> String {
        let strongest = against(values).max_by(|a, b| a.value.total_cmp(&b.value));
        let Some((of, signal)) = strongest.and_then(|of| Some((settings.signals.get(of.signal)?, of))) else {
            return String::new();
        };
        let what = match of.maximum.filter(|_| signal.is_above) {
            Some(most) => format!("above the maximum of {}", per_cent(most)),
            None => "worse".into(),
        };
        format!("{}: {what} {after}", stated(of, &self.of(of, settings.margin).counted))
    }
}

/// The e-value that is enough.
fn needed(level: f64) -> f64 {
    1.0 / level.clamp(0.0, LEVEL_MAX)
}

fn against(values: &[Values]) -> impl Iterator<Item = Against> {
    values.iter().enumerate().flat_map(|(signal, of)| {
        let worse = Some(Against { signal, value: of.worse, is_above: false });
        [worse, of.above.map(|value| Against { signal, value, is_above: true })].into_iter().flatten()
    })
}

/// The logarithms of the capital before the first tick.
fn stakes(grid: &[(f64, f64)]) -> Vec<i64> {
    let staked = grid.iter().map(|(_, weight)| weight * (1.0 - HELD_BACK));
    std::iter::once(HELD_BACK).chain(staked).map(|capital| logarithm(capital.ln())).collect()
}

/// Stakes in a tick: a part of what is held back is added to the results of what was staked before.
fn play(capital: &mut [i64], grid: &[(f64, f64)], ratios: &[f64]) {
    let [held, staked @ ..] = capital else { return };
    let added = STAKED.ln() + nats(*held);
    for ((of, (_, weight)), ratio) in staked.iter_mut().zip(grid).zip(ratios) {
        let (a, b) = (nats(*of) + ratio, added + weight.ln());
        *of = logarithm(a.max(b) + (-(a - b).abs()).exp().ln_1p());
    }
    *held = logarithm(nats(*held) + (-STAKED).ln_1p());
}

/// Adds logarithms.
fn add(sums: &mut [i64], more: &[f64]) {
    for (sum, more) in sums.iter_mut().zip(more) {
        *sum = logarithm(nats(*sum) + more);
    }
}

fn nats(recorded: i64) -> f64 {
    recorded as f64 / PER_NAT
}

fn exp(recorded: i64) -> f64 {
    nats(recorded).exp()
}

/// A logarithm as it is recorded.
fn logarithm(nats: f64) -> i64 {
    recorded((nats * PER_NAT).floor())
}

#[expect(clippy::cast_possible_truncation, reason = "bounded, and a whole number")]
fn recorded(number: f64) -> i64 {
    number.clamp(-RECORDED_MAX, RECORDED_MAX) as i64
}

fn mean(values: impl Iterator<Item = f64>) -> f64 {
    let (sum, count) = values.fold((0.0, 0.0), |(sum, count), value| (sum + value, count + 1.0));
    if count > 0.0 { sum / count } else { 0.0 }
}

/// Requests, from how they are recorded.
fn whole(recorded: i64) -> f64 {
    recorded as f64 / PER_REQUEST
}

#[cfg(test)]
mod tests;
