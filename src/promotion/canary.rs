//! The rollout of a version by a canary: how much of the traffic it gets, until it is promoted or goes back. Pure.
//!
//! ```text
//! Memory::new(version, now)                    a canary begins; goes to the status as it is
//! memory.capacity_percent(&policy)             the share of the traffic for which replicas of the canary are to be there
//! advance(&policy, memory, &readings, now)     one tick: what to remember, the weight of the canary, and what follows
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

use std::collections::BTreeMap;

use jiff::Timestamp;
use k8s_openapi::apimachinery::pkg::apis::meta::v1::Time;
use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

use super::{
    judge::{Comparison, Evidence, Finding, Settings, Verdict},
    route::Shares,
};
use crate::training::whole_seconds;

/// Seconds between two calls that count at most. Ticks come more often; a clock that steps, or an operator that was down, counts no more.
const ELAPSED_MAX: i64 = 60;
/// Seconds from the end of the last window that was counted to that of another one, from which on the clock was set back. Above it, and below 0,
/// all of the window was counted already.
const SET_BACK: i64 = -300;

/// All requests, in per cent.
const WHOLE: i32 = 100;

/// How a canary is rolled out.
#[derive(Clone, Debug, PartialEq)]
pub struct Policy {
    /// The steps, at least one; the weights rise. A step of 100 % and those after it are the promotion: nothing would be left to
    /// compare with.
    pub steps: Vec<Step>,
    /// Seconds after a weight has moved in which counts are no evidence, because caches are cold.
    pub warm_up_seconds: i64,
    /// Seconds after which a step that is not decided goes back: of waiting for replicas, and again of being judged.
    pub max_seconds: i64,
    /// What is judged, and how strictly.
    pub judge: Settings,
}

/// A step of a canary.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Step {
    /// The share of the requests that the canary gets, 1 to 99; 0 in a step with copies.
    pub weight_percent: i32,
    /// The share of the requests that it gets copies of, 1 to 100; 0 in the other steps, which come after those with copies.
    pub mirror_percent: i32,
    /// Seconds that it has to be judged at least.
    pub minimum_seconds: i64,
    /// Requests of the canary that have to be judged at least.
    pub minimum_requests: i64,
}

/// What is remembered of a canary between two ticks.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "camelCase")]
pub struct Memory {
    /// The version of the canary.
    #[schemars(length(max = 63))]
    pub version: String,
    /// The version that it is compared with.
    #[serde(default)]
    #[schemars(length(max = 63))]
    pub baseline: String,
    /// Number of the step, from 0.
    #[schemars(range(min = 0))]
    pub step: i32,
    /// The share of the requests that the canary gets now: less than that of the step until replicas for it are ready.
    #[schemars(range(min = 0, max = 100))]
    pub weight_percent: i32,
    /// The share of the requests that it gets copies of now.
    #[serde(default, skip_serializing_if = "is_zero")]
    #[schemars(range(min = 0, max = 100))]
    pub mirror_percent: i32,
    /// When it was advanced last.
    pub advanced_at: Time,
    /// Seconds waited for the replicas of this step, and for its share of the requests.
    pub waited_seconds: i64,
    /// Seconds since the weight moved to that of this step.
    pub weighted_seconds: i64,
    /// Seconds that the counts of all signals cover, since it has warmed up in this step.
    pub judged_seconds: i64,
    /// Until when counts were added.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub counted_until: Option<Time>,
    /// What was counted.
    pub evidence: Evidence,
    /// What the canary ended with; nothing changes any more.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub end: Option<End>,
}

/// What a canary ended with.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "camelCase")]
pub struct End {
    /// Whether the version is promoted; else it goes back.
    pub is_promoted: bool,
    /// What was found.
    pub finding: Finding,
    /// Why, in one sentence.
    #[schemars(length(max = 4096))]
    pub why: String,
}

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

impl Policy {
    /// The steps in which there is something to compare with.
    fn judged(&self) -> &[Step] {
        self.steps.split(|step| step.weight_percent >= WHOLE).next().unwrap_or_default()
    }
}

impl Memory {
    /// A canary that begins.
    pub fn new(version: impl Into<String>, now: Timestamp) -> Self {
        Self {
            version: version.into(),
            baseline: String::new(),
            step: 0,
            weight_percent: 0,
            mirror_percent: 0,
            advanced_at: Time(whole_seconds(now)),
            waited_seconds: 0,
            weighted_seconds: 0,
            judged_seconds: 0,
            counted_until: None,
            evidence: Evidence::default(),
            end: None,
        }
    }

    /// The share of the traffic for which replicas of the canary are to be there. `Readings::expected` is the number for it.
    pub fn capacity_percent(&self, policy: &Policy) -> i32 {
        match &self.end {
            Some(end) if !end.is_promoted => 0,
            Some(_) => self.weight_percent,
            // What it gets meanwhile needs replicas, too.
            None => self.step_of(policy).map_or(0, |(_, step)| load(step.shares()).max(load(self.shares()))),
        }
    }

    /// What it gets of the requests now.
    pub fn shares(&self) -> Shares {
        Shares { canary: self.weight_percent, mirrored: self.mirror_percent }
    }

    fn give(&mut self, Shares { canary, mirrored }: Shares) {
        (self.weight_percent, self.mirror_percent) = (canary, mirrored);
    }

    /// The policy may have lower weights than when the step began.
    fn limit(&mut self, step: &Step) {
        self.weight_percent = self.weight_percent.min(step.weight_percent);
        if step.mirror_percent > 0 {
            self.mirror_percent = self.mirror_percent.min(step.mirror_percent);
        }
    }

    /// The current step, and its number; the last one when the policy has fewer than when it began.
    fn step_of<'a>(&self, policy: &'a Policy) -> Option<(usize, &'a Step)> {
        let steps = policy.judged();
        let index = usize::try_from(self.step).unwrap_or_default().min(steps.len().checked_sub(1)?);
        Some((index, steps.get(index)?))
    }

    /// Seconds since the last call, as far as they count.
    fn elapse(&mut self, now: Timestamp) -> i64 {
        let now = Time(whole_seconds(now));
        let elapsed = seconds_between(self.advanced_at.0, now.0).clamp(0, ELAPSED_MAX);
        self.advanced_at = now;
        elapsed
    }

    /// The seconds of a window that were not counted before, and are now.
    fn take(&mut self, tick: &Tick) -> i64 {
        let at = Time(whole_seconds(tick.at));
        let new = match &self.counted_until {
            None => tick.window_seconds,
            Some(until) => match seconds_between(until.0, at.0) {
                ..=SET_BACK => tick.window_seconds,
                between => between.clamp(0, tick.window_seconds.max(0)),
            },
        };
        if new > 0 {
            self.counted_until = Some(at);
        }
        new
    }

    fn begin_step(&mut self, index: usize) {
        self.step = i32::try_from(index).unwrap_or(i32::MAX);
        (self.waited_seconds, self.weighted_seconds, self.judged_seconds) = (0, 0, 0);
        self.evidence.begin_step();
    }
}

impl Step {
    /// What the canary is to get of the requests.
    pub fn shares(&self) -> Shares {
        Shares { canary: self.weight_percent, mirrored: self.mirror_percent }
    }
}

/// The requests that arrive at a canary with these shares, in per cent of all.
fn load(shares: Shares) -> i32 {
    shares.canary.max(shares.mirrored)
}

fn is_zero(number: &i32) -> bool {
    *number == 0
}

fn seconds_between(from: Timestamp, to: Timestamp) -> i64 {
    to.duration_since(from).as_secs()
}

/// What follows from a tick.
pub fn advance(policy: &Policy, mut memory: Memory, readings: &Readings, now: Timestamp) -> Next {
    if let Some(end) = memory.end.clone() {
        return ended(memory, end);
    }
    let elapsed = memory.elapse(now);
    let Some((index, step)) = memory.step_of(policy) else {
        return back(memory, Finding::Inconclusive, "the canary has no step".into());
    };
    let here = format!("step {} of {} ({})", index + 1, policy.judged().len(), step.shares());
    if let Some(broken) = &readings.broken {
        return back(memory, Finding::Worse, format!("{here}: {broken}"));
    }
    let lacking = replicas_lacking(readings);
    memory.limit(step);
    if let Some(why) = &readings.undivided {
        if let Some(verdict) = memory.worse_meanwhile(policy, readings) {
            return back(memory, Finding::Worse, format!("{here}: {verdict}"));
        }
        return undivided(policy, memory, elapsed, format!("{here}: {why}"));
    }
    if memory.shares() != step.shares() {
        if let Some(verdict) = memory.worse_meanwhile(policy, readings) {
            return back(memory, Finding::Worse, format!("{here}: {verdict}"));
        }
        let Some(lacking) = lacking else {
            memory.give(step.shares());
            memory.weighted_seconds = 0;
            memory.evidence.begin_step();
            readings.counts.iter().for_each(|tick| _ = memory.take(tick));
            return stay(memory, Wait::WarmUp, format!("{here}: its replicas are ready"));
        };
        memory.waited_seconds = memory.waited_seconds.saturating_add(elapsed);
        let why = format!("{here}: {lacking}, after {} of at most {} s", memory.waited_seconds, policy.max_seconds);
        return match memory.waited_seconds >= policy.max_seconds {
            true => back(memory, Finding::Inconclusive, why),
            false => stay(memory, Wait::Replicas, why),
        };
    }
    memory.weighted_seconds = memory.weighted_seconds.saturating_add(elapsed);
    memory.count(policy, readings.counts.as_ref());
    let verdict = memory.evidence.verdict(&policy.judge, memory.judged_seconds);
    if verdict.finding == Finding::Worse {
        return back(memory, Finding::Worse, format!("{here}: {}", verdict.why));
    }
    let Some((wait, why)) = open(policy, &memory, step, readings, &verdict, lacking) else {
        let why = format!("{here}: {}", verdict.why);
        return if index + 1 < policy.judged().len() {
            next_step(memory, index, why)
        } else {
            promote(memory, &verdict, why)
        };
    };
    let most = policy.warm_up_seconds.saturating_add(step.minimum_seconds).saturating_add(policy.max_seconds);
    match memory.weighted_seconds >= most {
        true => back(memory, Finding::Inconclusive, format!("{here}: {why}; it may take {most} s at most")),
        false => stay(memory, wait, format!("{here}: {why}")),
    }
}

/// The requests are not divided as they are to be. A canary that gets none waits without an end: that is no fault of its version.
fn undivided(policy: &Policy, mut memory: Memory, elapsed: i64, why: String) -> Next {
    if !memory.shares().is_some() {
        return stay(memory, Wait::Share, why);
    }
    memory.waited_seconds = memory.waited_seconds.saturating_add(elapsed);
    match memory.waited_seconds >= policy.max_seconds {
        true => back(memory, Finding::Inconclusive, format!("{why}; it may wait for {} s at most", policy.max_seconds)),
        false => stay(memory, Wait::Share, why),
    }
}

/// What a step that is judged still lacks. The first row that applies counts.
fn open(
    policy: &Policy,
    memory: &Memory,
    step: &Step,
    readings: &Readings,
    verdict: &Verdict,
    lacking: Option<String>,
) -> Option<(Wait, String)> {
    let (weighted, warm_up) = (memory.weighted_seconds, policy.warm_up_seconds);
    let (judged, requests) = (memory.judged_seconds, memory.evidence.requests_in_step());
    #[expect(clippy::cast_precision_loss, reason = "a bound, far below 2^52")]
    let least = step.minimum_requests as f64;
    let missing = memory.missing(policy, readings);
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
    fn worse_meanwhile(&mut self, policy: &Policy, readings: &Readings) -> Option<String> {
        if !self.shares().is_some() {
            return None;
        }
        self.observe(policy, readings.counts.as_ref());
        let verdict = self.evidence.verdict(&policy.judge, self.judged_seconds);
        (verdict.finding == Finding::Worse).then_some(verdict.why)
    }

    /// Adds counts, once it has warmed up: of windows that begin after that.
    fn count(&mut self, policy: &Policy, tick: Option<&Tick>) {
        let window = tick.map_or(0, |tick| tick.window_seconds);
        let warm = if policy.warm_up_seconds > 0 { policy.warm_up_seconds.saturating_add(window) } else { 0 };
        if self.weighted_seconds < warm {
            tick.iter().for_each(|tick| _ = self.take(tick));
            return;
        }
        let new = self.observe(policy, tick);
        let is_whole = |tick: &Tick| policy.judge.signals.iter().all(|signal| tick.signals.contains_key(&signal.name));
        if tick.is_some_and(is_whole) {
            self.judged_seconds = self.judged_seconds.saturating_add(new);
        }
    }

    /// Adds the part of a window that was not counted before. Returns its seconds.
    fn observe(&mut self, policy: &Policy, tick: Option<&Tick>) -> i64 {
        let Some(tick) = tick.filter(|tick| tick.window_seconds > 0) else { return 0 };
        let new = self.take(tick).max(0);
        if new > 0 {
            #[expect(clippy::cast_precision_loss, reason = "a window has far fewer than 2^52 seconds")]
            let share = new as f64 / tick.window_seconds as f64;
            self.evidence.observe(&policy.judge, &tick.signals, share);
        }
        new
    }

    /// The signals without counts in this tick.
    fn missing(&self, policy: &Policy, readings: &Readings) -> String {
        let has = |name: &String| readings.counts.as_ref().is_some_and(|tick| tick.signals.contains_key(name));
        let names = policy.judge.signals.iter().map(|signal| &signal.name).filter(|name| !has(name));
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
    ended(memory, End { is_promoted: true, finding: verdict.finding, why })
}

fn back(memory: Memory, finding: Finding, why: String) -> Next {
    ended(memory, End { is_promoted: false, finding, why })
}

fn ended(mut memory: Memory, end: End) -> Next {
    memory.mirror_percent = 0;
    if !end.is_promoted {
        memory.weight_percent = 0;
    }
    let why = end.why.clone();
    let outcome = if end.is_promoted { Outcome::Promote { why } } else { Outcome::Back { why } };
    memory.end = Some(end);
    Next { weight_percent: memory.weight_percent, memory, outcome }
}

#[cfg(test)]
mod tests;
