//! The rollout of a version by a canary: how much of the traffic it gets, until it is promoted or goes back. Pure.
//!
//! ```text
//! Memory::new(version, now)                    a canary begins; goes to the status as it is
//! memory.capacity_percent(&plan)               the share of the traffic for which replicas of the canary are to be there
//! advance(&plan, memory, &readings, now)       one tick: what to remember, the weight of the canary, and what follows
//! ```
//!
//! Per step: replicas for its share are ordered and awaited; then the weight moves; the canary warms up; then it is judged. The step ends
//! when the canary is found no worse, for the least time and the least number of requests. After the last step the version is promoted.
//! It goes back at once when it is found worse or a bound is broken, and as inconclusive when a step takes too long. While it waits for
//! replicas or warms up, only [`Readings::broken`] counts, because replicas that are new are slow.
//!
//! Time is the sum of what passes between two calls, each at most `ELAPSED_MAX`, so a clock that steps, and an operator that is
//! down, neither end nor lengthen a step. Judged time is what counts of all signals cover. Call it with each tick, also without
//! readings: a rollout ends because time passes.
//!
//! The memory has to be written before anything but [`Outcome::Stay`] is followed. Otherwise it may be written less often than it
//! changes: after a restart, the counts since then are missing, which is less evidence, never other evidence.

mod memory;

pub(super) use memory::{Answer, ELAPSED_MAX};
pub use memory::{End, Memory, Silence};

use std::collections::BTreeMap;

use jiff::Timestamp;

use super::judge::{Comparison, Finding, Verdict};
use crate::model::canary::{Plan, Step};

/// What is observed in a tick.
#[derive(Clone, Debug, Default, PartialEq)]
pub struct Readings {
    /// Ready replicas of the canary, of its version.
    pub ready: i32,
    /// Replicas of the canary that [`Memory::capacity_percent`] needs; none while that is not known.
    pub expected: Option<i32>,
    /// The counts; none when they are missing or stale.
    pub counts: Option<Tick>,
    /// A bound beside the statistics that the canary has broken (a crash loop, a plain reading above its bound), in words.
    pub broken: Option<String>,
    /// Why the requests are not divided as the memory has it; none where they are, and where the pods alone divide them.
    pub undivided: Option<String>,
    /// Whether Gateways have not observed how they are to be divided.
    pub is_late: bool,
}

/// The counts of both tracks.
#[derive(Clone, Debug, PartialEq)]
pub struct Tick {
    /// The end of the window of the counts, as the metric source has it.
    pub at: Timestamp,
    /// Seconds of the window. Of windows that overlap, the part that is new counts.
    pub window_seconds: i64,
    /// The counts by the name of the signal.
    pub signals: BTreeMap<String, Comparison>,
}

/// What follows from a tick.
#[derive(Clone, Debug, PartialEq)]
pub struct Next {
    /// What to remember.
    pub memory: Memory,
    /// The share of the requests that the canary is to get.
    pub weight_percent: i32,
    /// What to do.
    pub outcome: Outcome,
}

/// What to do with a canary.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Outcome {
    /// It stays in its step.
    Stay {
        /// What it waits for: changes rarely, while the numbers in `why` change with each tick.
        wait: Wait,
        /// The same with the numbers.
        why: String,
    },
    /// It begins its next step.
    NextStep {
        /// Why.
        why: String,
    },
    /// The version is promoted: an ordinary rollout replaces the serving one.
    Promote {
        /// Why.
        why: String,
    },
    /// The canary is removed, and the version is not tried again.
    Back {
        /// Why.
        why: String,
        /// What it waited for, if it goes back because that took too long.
        waited: Option<Wait>,
    },
}

/// What a canary waits for.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Wait {
    /// Replicas for the weight of its step.
    Replicas,
    /// That it gets its share of the requests.
    Share,
    /// The end of its warm-up.
    WarmUp,
    /// Counts.
    Readings,
    /// A finding.
    Finding,
    /// The least time of its step.
    Time,
    /// The least number of requests of its step.
    Requests,
}

impl Wait {
    /// Whether the metric source has to answer for it. Whether pods get ready, and get requests, is known without it.
    pub fn needs_counts(self) -> bool {
        !matches!(self, Self::Replicas | Self::Share)
    }
}

/// What follows from a tick.
pub fn advance(plan: &Plan, mut memory: Memory, readings: &Readings, now: Timestamp) -> Next {
    if let Some(end) = memory.end.clone() {
        return ended(memory, end);
    }
    let elapsed = memory.elapse(now);
    let Some((index, step)) = memory.step_of(plan) else {
        return back(memory, Finding::Inconclusive, "the canary has no step".into(), None);
    };
    let here = format!("step {} of {} ({})", index + 1, plan.judged().len(), step.shares());
    if let Some(broken) = &readings.broken {
        return worse(memory, format!("{here}: {broken}"));
    }
    let lacking = replicas_lacking(readings);
    memory.limit(step);
    let moves = memory.shares() != step.shares();
    if (readings.undivided.is_some() || moves)
        && let Some(verdict) = memory.worse_meanwhile(plan, readings)
    {
        return worse(memory, format!("{here}: {verdict}"));
    }
    if let Some(why) = &readings.undivided {
        return undivided(plan, memory, readings.is_late, elapsed, format!("{here}: {why}"));
    }
    if moves {
        let Some(lacking) = lacking else {
            memory.give(step.shares());
            memory.weighted_seconds = 0;
            memory.evidence.begin_step();
            readings.counts.iter().for_each(|tick| _ = memory.take(tick));
            return stay(memory, Wait::WarmUp, format!("{here}: its replicas are ready"));
        };
        memory.waited_seconds = memory.waited_seconds.saturating_add(elapsed);
        let why = format!("{here}: {lacking}, after {} of at most {} s", memory.waited_seconds, plan.max_seconds);
        return match memory.waited_seconds >= plan.max_seconds {
            true => late(memory, Wait::Replicas, why),
            false => stay(memory, Wait::Replicas, why),
        };
    }
    memory.weighted_seconds = memory.weighted_seconds.saturating_add(elapsed);
    memory.count(plan, readings.counts.as_ref());
    let verdict = memory.evidence.verdict(&plan.judge, memory.judged_seconds);
    if verdict.finding == Finding::Worse {
        return worse(memory, format!("{here}: {}", verdict.why));
    }
    let Some((wait, why)) = open(plan, &memory, step, readings, &verdict, lacking) else {
        let why = format!("{here}: {}", verdict.why);
        return if index + 1 < plan.judged().len() {
            next_step(memory, index, why)
        } else {
            promote(memory, &verdict, why)
        };
    };
    let most = plan.warm_up_seconds.saturating_add(step.minimum_seconds).saturating_add(plan.max_seconds);
    match memory.weighted_seconds >= most {
        true => late(memory, wait, format!("{here}: {why}; it may take {most} s at most")),
        false => stay(memory, wait, format!("{here}: {why}")),
    }
}

/// The requests are not divided as they are to be. A canary that gets none waits without an end: that is no fault of its version. So does one
/// whose Gateways have not observed the last change: to take it back would change nothing of what they do.
fn undivided(plan: &Plan, mut memory: Memory, is_late: bool, elapsed: i64, why: String) -> Next {
    if is_late || !memory.shares().is_some() {
        return stay(memory, Wait::Share, why);
    }
    memory.waited_seconds = memory.waited_seconds.saturating_add(elapsed);
    match memory.waited_seconds >= plan.max_seconds {
        true => late(memory, Wait::Share, format!("{why}; it may wait for {} s at most", plan.max_seconds)),
        false => stay(memory, Wait::Share, why),
    }
}

/// What a step that is judged still lacks. The first row that applies counts.
fn open(
    plan: &Plan,
    memory: &Memory,
    step: &Step,
    readings: &Readings,
    verdict: &Verdict,
    lacking: Option<String>,
) -> Option<(Wait, String)> {
    let (weighted, warm_up) = (memory.weighted_seconds, plan.warm_up_seconds);
    let (judged, requests) = (memory.judged_seconds, memory.evidence.requests_in_step());
    #[expect(clippy::cast_precision_loss, reason = "a bound, far below 2^52")]
    let least = step.minimum_requests as f64;
    let missing = memory.missing(plan, readings);
    let rows = [
        (weighted < warm_up, Wait::WarmUp, format!("it warms up: {weighted} of {warm_up} s")),
        (!missing.is_empty(), Wait::Readings, format!("there are no current counts of {missing}; {}", verdict.why)),
        (lacking.is_some(), Wait::Replicas, lacking.unwrap_or_default()),
        (!is_promotable(verdict.finding), Wait::Finding, verdict.why.clone()),
        (
            judged < step.minimum_seconds,
            Wait::Time,
            format!("it was judged for {judged} of at least {} s; {}", step.minimum_seconds, verdict.why),
        ),
        (
            requests < least,
            Wait::Requests,
            format!("{requests:.0} of at least {least} requests were judged; {}", verdict.why),
        ),
    ];
    rows.into_iter().find(|(applies, ..)| *applies).map(|(_, wait, why)| (wait, why))
}

fn is_promotable(finding: Finding) -> bool {
    matches!(finding, Finding::Better | Finding::NoWorse)
}

/// Which replicas are not there, in words; none when all are.
fn replicas_lacking(readings: &Readings) -> Option<String> {
    match readings.expected {
        None => Some("the number of its replicas is unknown".into()),
        Some(expected) if expected < 1 => Some("no replicas are ordered for it".into()),
        Some(expected) if readings.ready < expected => {
            Some(format!("{} of {expected} replicas are ready", readings.ready))
        }
        Some(_) => None,
    }
}

impl Memory {
    /// Why it is found worse while it waits. Meanwhile it answers the share of the step before: that shows what is worse, but not what
    /// the step is to show.
    fn worse_meanwhile(&mut self, plan: &Plan, readings: &Readings) -> Option<String> {
        if !self.shares().is_some() {
            return None;
        }
        self.observe(plan, readings.counts.as_ref());
        let verdict = self.evidence.verdict(&plan.judge, self.judged_seconds);
        (verdict.finding == Finding::Worse).then_some(verdict.why)
    }

    /// Adds counts, once it has warmed up: of windows that begin after that.
    fn count(&mut self, plan: &Plan, tick: Option<&Tick>) {
        let window = tick.map_or(0, |tick| tick.window_seconds);
        let warm = if plan.warm_up_seconds > 0 { plan.warm_up_seconds.saturating_add(window) } else { 0 };
        if self.weighted_seconds < warm {
            tick.iter().for_each(|tick| _ = self.take(tick));
            return;
        }
        let new = self.observe(plan, tick);
        let is_whole = |tick: &Tick| plan.judge.signals.iter().all(|signal| tick.signals.contains_key(&signal.name));
        if tick.is_some_and(is_whole) {
            self.judged_seconds = self.judged_seconds.saturating_add(new);
        }
    }

    /// Adds the part of a window that was not counted before. Returns its seconds.
    fn observe(&mut self, plan: &Plan, tick: Option<&Tick>) -> i64 {
        let Some(tick) = tick.filter(|tick| tick.window_seconds > 0) else { return 0 };
        let new = self.take(tick).max(0);
        if new > 0 {
            #[expect(clippy::cast_precision_loss, reason = "a window has far fewer than 2^52 seconds")]
            let share = new as f64 / tick.window_seconds as f64;
            self.evidence.observe(&plan.judge, &tick.signals, share);
        }
        new
    }

    /// The signals without counts in this tick.
    fn missing(&self, plan: &Plan, readings: &Readings) -> String {
        let has = |name: &String| readings.counts.as_ref().is_some_and(|tick| tick.signals.contains_key(name));
        let names = plan.judge.signals.iter().map(|signal| &signal.name).filter(|name| !has(name));
        names.map(String::as_str).collect::<Vec<_>>().join(", ")
    }
}

fn stay(memory: Memory, wait: Wait, why: String) -> Next {
    Next { weight_percent: memory.weight_percent, memory, outcome: Outcome::Stay { wait, why } }
}

fn next_step(mut memory: Memory, index: usize, why: String) -> Next {
    memory.begin_step(index + 1);
    Next { weight_percent: memory.weight_percent, memory, outcome: Outcome::NextStep { why } }
}

fn promote(memory: Memory, verdict: &Verdict, why: String) -> Next {
    ended(memory, End { is_promoted: true, finding: verdict.finding, why, lacks_data: false })
}

fn worse(memory: Memory, why: String) -> Next {
    back(memory, Finding::Worse, why, None)
}

/// It waited too long for something.
fn late(memory: Memory, wait: Wait, why: String) -> Next {
    back(memory, Finding::Inconclusive, why, Some(wait))
}

fn back(memory: Memory, finding: Finding, why: String, waited: Option<Wait>) -> Next {
    let next = ended(memory, End { is_promoted: false, finding, why: why.clone(), lacks_data: false });
    Next { outcome: Outcome::Back { why, waited }, ..next }
}

fn ended(mut memory: Memory, end: End) -> Next {
    memory.mirror_percent = 0;
    if !end.is_promoted {
        memory.weight_percent = 0;
    }
    let why = end.why.clone();
    let outcome = if end.is_promoted { Outcome::Promote { why } } else { Outcome::Back { why, waited: None } };
    memory.end = Some(end);
    Next { weight_percent: memory.weight_percent, memory, outcome }
}

#[cfg(test)]
mod tests;
