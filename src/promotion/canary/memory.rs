//! What is remembered of a canary between two ticks, and its steps.

use jiff::Timestamp;
use k8s_openapi::apimachinery::pkg::apis::meta::v1::Time;
use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

use super::{
    super::{
        judge::{Evidence, Finding},
        route::{Shares, WHOLE},
    },
    Tick,
};
use crate::{
    api::is_zero,
    model::canary::{Plan, Step},
    time::whole_seconds,
};

/// Seconds between two calls that count at most. Ticks come more often; a clock that steps, or an operator that was down, counts no more.
pub(in crate::promotion) const ELAPSED_MAX: i64 = 60;
/// Seconds from the end of the last window that was counted to that of another one, from which on the clock was set back. Above it, and below 0,
/// all of the window was counted already.
const SET_BACK: i64 = -300;

/// Seconds of answers after which a source that has nothing to count is no longer one that was just silent: a scrape and two evaluations of
/// the rules, from whose first sample nothing follows, with as much to spare.
const ANSWERED: i64 = 60;
/// Seconds for which one answer stands at most: ticks come every 5 or 15 s. What was in a longer time is not known.
const ANSWER: i64 = 15;

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
    /// The part of its step in which its metric source gave it nothing.
    #[serde(default, skip_serializing_if = "Silence::is_none")]
    pub silence: Silence,
    /// What was counted.
    pub evidence: Evidence,
    /// What the canary ended with; nothing changes any more.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub end: Option<End>,
}

/// The part of a step of which nothing is known, because the metric source did not answer.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "camelCase")]
pub struct Silence {
    /// Whether the source was silent in a tick since requests were counted last, or since it has answered for long enough without them. One
    /// that answers again may have no series yet, and of the first sample nothing follows.
    pub is_on: bool,
    /// Seconds for which it has answered since.
    #[serde(default, skip_serializing_if = "is_zero")]
    #[schemars(range(min = 0))]
    pub answered_seconds: i64,
    /// Seconds of the step.
    #[schemars(range(min = 0))]
    pub seconds: i64,
}

/// What a tick has got of the metric source.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(in crate::promotion) enum Answer {
    /// New counts, which cover so many seconds.
    Counts(i64),
    /// No new counts.
    NoCounts,
    /// None, while the last counts are still those of now.
    Missed,
    /// None.
    Silence,
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
    /// Whether it ended inconclusive because its metric source did not answer. Too little is known of the version then, so that is no verdict.
    #[serde(default, skip_serializing_if = "std::ops::Not::not")]
    pub lacks_data: bool,
}

impl Silence {
    fn is_none(&self) -> bool {
        *self == Self::default()
    }

    /// One tick later.
    pub(in crate::promotion) fn after(self, elapsed: i64, answer: Answer) -> Self {
        let (is_on, answered_seconds) = match answer {
            // Counters of pods that ran on have what was missed.
            Answer::Counts(counted) => {
                let seconds = (self.seconds - (counted - elapsed).max(0)).max(0);
                return Self { seconds, ..Self::default() };
            }
            // It has nothing to count of a version that exposes no counters: that is no silence.
            Answer::NoCounts => (self.is_on, self.answered_seconds.saturating_add(elapsed.min(ANSWER))),
            Answer::Missed => (self.is_on, self.answered_seconds),
            Answer::Silence => (true, 0),
        };
        let seconds = self.seconds.saturating_add(if is_on { elapsed } else { 0 });
        match is_on && answered_seconds < ANSWERED {
            true => Self { is_on, answered_seconds, seconds },
            false => Self { seconds, ..Self::default() },
        }
    }

    /// Whether the version could not be judged in a step that took so many seconds: nothing was counted since the source was just silent, or
    /// for most of the step.
    pub(in crate::promotion) fn lacks_data(self, step_seconds: i64) -> bool {
        self.is_on || self.seconds > step_seconds / 2
    }
}

impl Plan {
    /// The steps in which there is something to compare with.
    pub(super) fn judged(&self) -> &[Step] {
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
            silence: Silence::default(),
            evidence: Evidence::default(),
            end: None,
        }
    }

    /// Whether it ended without a verdict, because nothing could be counted: a canary of its version begins anew.
    pub fn lacks_data(&self) -> bool {
        self.end.as_ref().is_some_and(|end| end.lacks_data)
    }

    /// The share of the traffic for which replicas of the canary are to be there. `Readings::expected` is the number for it.
    pub fn capacity_percent(&self, plan: &Plan) -> i32 {
        match &self.end {
            Some(end) if !end.is_promoted => 0,
            Some(_) => self.weight_percent,
            // What it gets meanwhile needs replicas, too.
            None => self.step_of(plan).map_or(0, |(_, step)| load(step.shares()).max(load(self.shares()))),
        }
    }

    /// What it gets of the requests now.
    pub fn shares(&self) -> Shares {
        Shares { canary: self.weight_percent, mirrored: self.mirror_percent }
    }

    pub(super) fn give(&mut self, Shares { canary, mirrored }: Shares) {
        (self.weight_percent, self.mirror_percent) = (canary, mirrored);
    }

    /// The plan may have lower weights than when the step began.
    pub(super) fn limit(&mut self, step: &Step) {
        self.weight_percent = self.weight_percent.min(step.weight_percent);
        if step.mirror_percent > 0 {
            self.mirror_percent = self.mirror_percent.min(step.mirror_percent);
        }
    }

    /// The current step, and its number; the last one when the plan has fewer than when it began.
    pub(super) fn step_of<'a>(&self, plan: &'a Plan) -> Option<(usize, &'a Step)> {
        let steps = plan.judged();
        let index = usize::try_from(self.step).unwrap_or_default().min(steps.len().checked_sub(1)?);
        Some((index, steps.get(index)?))
    }

    /// Seconds since the last call, as far as they count.
    pub(super) fn elapse(&mut self, now: Timestamp) -> i64 {
        let now = Time(whole_seconds(now));
        let elapsed = seconds_between(self.advanced_at.0, now.0).clamp(0, ELAPSED_MAX);
        self.advanced_at = now;
        elapsed
    }

    /// The seconds of a window that were not counted before, and are now.
    pub(super) fn take(&mut self, tick: &Tick) -> i64 {
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

    pub(super) fn begin_step(&mut self, index: usize) {
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

fn seconds_between(from: Timestamp, to: Timestamp) -> i64 {
    to.duration_since(from).as_secs()
}
