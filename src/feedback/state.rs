//! What is kept of an object between two checks of its source, and when it is asked again.

use std::{
    collections::{BTreeMap, BTreeSet},
    sync::Arc,
};

use jiff::{SignedDuration, Timestamp};

use super::{expected::Expected, judge::Problem};
use crate::{
    api::{
        RecommenderModelStatus,
        conditions::{reasons, types},
    },
    status::ConditionValue,
};

/// How long a problem lasts until it is reported: 3 min. The kubelet takes up to 90 s to bring new rules to a Prometheus; once these
/// are loaded, they are evaluated for the first time within an interval, of up to 2 min; and a Prometheus that restarts has none for
/// some time.
const LOADING: SignedDuration = SignedDuration::from_mins(3);
/// How long an answer counts while the source does not answer any more: 2 min. Its restart changes nothing of its objects.
const STALE: SignedDuration = SignedDuration::from_mins(2);
/// Time until the first check after a change: 10 s.
const FIRST: SignedDuration = SignedDuration::from_secs(10);
/// Longest time between two checks while there is a problem: 2 min.
const LONGEST: SignedDuration = SignedDuration::from_mins(2);
/// Time between two checks without a problem: up to 5 min.
const SLOW: SignedDuration = SignedDuration::from_mins(5);

/// What is kept of an object.
#[derive(Clone, Debug)]
pub struct State {
    expected: Arc<Expected>,
    /// Workloads with ready pods.
    ready: BTreeSet<String>,
    /// When the children were last changed.
    applied_at: Timestamp,
    /// Since when there have been problems of a reason without interruption.
    problem_since: BTreeMap<&'static str, Timestamp>,
    /// Whether the rules are loaded, by what the condition reports; none where it is Unknown.
    rules_loaded: Option<bool>,
    /// When the source last answered.
    answered_at: Option<Timestamp>,
    /// Checks since the last answer without a problem.
    tries: u32,
    /// When it is asked next.
    next: Timestamp,
    /// Shortens [`SLOW`], so that objects are not all asked about at once: 0 to 1.
    spread: f64,
    condition: ConditionValue,
}

/// A check that is due.
#[derive(Clone, Debug)]
pub struct Due {
    /// UID of the object.
    pub uid: String,
    /// What is expected of it.
    pub expected: Arc<Expected>,
    /// Its workloads with ready pods.
    pub ready: BTreeSet<String>,
    /// Since when it is due.
    pub since: Timestamp,
    /// The reasons whose problems are to be reported now.
    pub overdue: BTreeSet<&'static str>,
}

impl State {
    /// Of an object that was not known. What the condition reported before counts until there is an answer.
    pub fn new(
        uid: &str,
        expected: Expected,
        ready: BTreeSet<String>,
        prior: &RecommenderModelStatus,
        now: Timestamp,
    ) -> Self {
        let before = prior.conditions.iter().find(|condition| condition.type_ == types::MONITORING_READY);
        let since = before.map(|condition| (condition, condition.last_transition_time.0));
        let is = |of: &[&str]| before.is_some_and(|condition| of.contains(&condition.reason.as_str()));
        let reason = before.and_then(|before| Problem::REASONS.into_iter().find(|reason| *reason == before.reason));
        let mut state = Self {
            condition: loading(&expected, now),
            expected: Arc::new(expected),
            ready,
            applied_at: now,
            problem_since: BTreeMap::new(),
            rules_loaded: None,
            answered_at: None,
            tries: 0,
            next: now,
            spread: f64::from(uid.bytes().map(u32::from).sum::<u32>() % 256) / 256.0,
        };
        match (since, reason) {
            // It was reported, so it had lasted that long.
            (Some((condition, since)), Some(reason)) => {
                state.applied_at = since - LOADING;
                state.problem_since = [(reason, state.applied_at)].into();
                state.rules_loaded = Some(reason != reasons::RULES_NOT_LOADED);
                state.answered_at = Some(now);
                state.condition = condition.into();
            }
            (Some((condition, since)), None)
                if is(&[reasons::AS_SPECIFIED, reasons::LOADING, reasons::SOURCE_FAILED]) =>
            {
                state.applied_at = since;
                state.answered_at = Some(now);
                state.condition = condition.into();
                state.rules_loaded = state.condition.is_yes().then_some(true);
            }
            _ => {}
        }
        state
    }

    /// Takes over what the last reconcile applied and observed.
    pub fn update(&mut self, expected: Expected, ready: BTreeSet<String>, now: Timestamp) {
        if ready.iter().any(|workload| !self.ready.contains(workload)) {
            self.next = self.next.min(now + FIRST);
        }
        self.ready = ready;
        if expected.version != self.expected.version {
            self.condition = loading(&expected, now);
            self.rules_loaded = None;
            self.expected = Arc::new(expected);
            (self.applied_at, self.next) = (now, now + FIRST);
            (self.problem_since, self.answered_at, self.tries) = (BTreeMap::new(), None, 0);
        }
    }

    /// What is expected of the object.
    pub fn expected(&self) -> &Expected {
        &self.expected
    }

    /// The condition MonitoringReady.
    pub fn condition(&self) -> &ConditionValue {
        &self.condition
    }

    /// Whether its rules are loaded; none while that is not known.
    pub fn rules_loaded(&self) -> Option<bool> {
        self.rules_loaded
    }

    /// The check of it, if it is due.
    pub fn due(&self, uid: &str, now: Timestamp) -> Option<Due> {
        (self.next <= now).then(|| Due {
            uid: uid.into(),
            expected: Arc::clone(&self.expected),
            ready: self.ready.clone(),
            since: self.next,
            overdue: self.overdue(now),
        })
    }

    fn overdue(&self, now: Timestamp) -> BTreeSet<&'static str> {
        let has_lasted = |since: Timestamp| now.duration_since(since.max(self.applied_at)) >= LOADING;
        self.problem_since.iter().filter(|(_, since)| has_lasted(**since)).map(|(reason, _)| *reason).collect()
    }

    /// Records that everything is loaded. Returns whether the condition changed, as the other records do.
    pub fn well(&mut self, remarks: &[String], now: Timestamp) -> bool {
        (self.problem_since, self.answered_at, self.tries) = (BTreeMap::new(), Some(now), 0);
        self.rules_loaded = Some(true);
        self.next = now + SLOW.mul_f64(1.0 - self.spread / 4.0);
        let mut message = "the rules are loaded and evaluated, and the targets of ready pods are scraped".to_owned();
        for remark in remarks {
            message = format!("{message}; {remark}");
        }
        self.set(ConditionValue::yes(reasons::AS_SPECIFIED, message))
    }

    /// Records problems of these reasons. They are reported once they have lasted; until then what was well stays so.
    /// `described`: the reason and message of those that have lasted.
    pub fn problem(
        &mut self,
        found: &BTreeSet<&'static str>,
        (reason, message): (&'static str, String),
        now: Timestamp,
    ) -> bool {
        self.problem_since.retain(|reason, _| found.contains(reason));
        found.iter().for_each(|reason| _ = self.problem_since.entry(reason).or_insert(now));
        self.answered_at = Some(now);
        let overdue = self.overdue(now);
        self.tries = if overdue.is_empty() { 0 } else { self.tries.saturating_add(1) };
        self.next = now + self.pause();
        if overdue.contains(reason) {
            self.rules_loaded = Some(!overdue.contains(reasons::RULES_NOT_LOADED));
            return self.set(ConditionValue::no(reason, message));
        }
        let is_loading = now.duration_since(self.applied_at) < LOADING;
        if self.condition.is_yes() || (self.condition.reason == reasons::LOADING && !is_loading) {
            return false;
        }
        self.rules_loaded = None;
        self.set(if is_loading { loading(&self.expected, self.applied_at) } else { checking(&self.expected) })
    }

    /// Records that the source does not answer.
    pub fn failed(&mut self, sentence: &str, now: Timestamp) -> bool {
        self.tries = self.tries.saturating_add(1);
        self.next = now + self.pause();
        if self.answered_at.is_some_and(|at| now.duration_since(at) < STALE) {
            return false;
        }
        self.rules_loaded = None;
        self.set(ConditionValue::unknown(reasons::SOURCE_FAILED, sentence))
    }

    /// Takes into account what a reconcile observed during the check: another workload has ready pods.
    pub fn checked(&mut self, of: &Due, now: Timestamp) {
        if !self.ready.is_subset(&of.ready) {
            self.next = self.next.min(now + FIRST);
        }
    }

    fn pause(&self) -> SignedDuration {
        (FIRST * (1 << self.tries.min(4))).min(LONGEST)
    }

    /// Texts contain ports, times and numbers of targets, so another number in one is no change.
    fn set(&mut self, condition: ConditionValue) -> bool {
        let unnumbered = |of: &ConditionValue| {
            let message = of.message.replace(|c: char| c.is_ascii_digit(), "");
            (of.status, of.reason.clone(), message)
        };
        if unnumbered(&condition) == unnumbered(&self.condition) {
            return false;
        }
        self.condition = condition;
        true
    }
}

/// The condition while a problem has not lasted, long after the children were changed.
fn checking(expected: &Expected) -> ConditionValue {
    let message = format!(
        "metric source {:?} has not loaded all of {}, or does not scrape it: being checked, which takes up to {} s",
        expected.source,
        expected.children(),
        LOADING.as_secs()
    );
    ConditionValue::unknown(reasons::LOADING, message)
}

/// The condition after the children were changed.
fn loading(expected: &Expected, applied_at: Timestamp) -> ConditionValue {
    let at = Timestamp::from_second(applied_at.as_second()).unwrap_or(applied_at);
    let message = format!(
        "{} applied at {at}; metric source {:?} has not loaded all of it yet, which takes up to {} s",
        expected.children(),
        expected.source,
        LOADING.as_secs()
    );
    ConditionValue::unknown(reasons::LOADING, message)
}
