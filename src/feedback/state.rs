//! What is kept of an object between two checks of its source, and when it is asked again.

use std::{collections::BTreeSet, sync::Arc};

use jiff::{SignedDuration, Timestamp};

use super::expected::Expected;
use crate::{
    api::{
        RecommenderModelStatus,
        conditions::{reasons, types},
    },
    status::ConditionValue,
};

/// How long a problem lasts until it is reported: 3 min. The kubelet takes up to 90 s to bring new rules to a Prometheus, which
/// evaluates them for the first time within an interval, of up to 60 s; and a Prometheus that restarts has none for some time.
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
    /// Since when there has been a problem without interruption.
    problem_since: Option<Timestamp>,
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
    /// Whether a problem is to be reported now.
    pub is_overdue: bool,
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
        const PROBLEMS: [&str; 5] = [
            reasons::RULES_NOT_LOADED,
            reasons::RULES_FAILING,
            reasons::NOT_SCRAPED,
            reasons::TARGETS_DOWN,
            reasons::PROFILE_MISMATCH,
        ];
        let before = prior.conditions.iter().find(|condition| condition.type_ == types::MONITORING_READY);
        let since = before.map(|condition| (condition, condition.last_transition_time.0));
        let is = |of: &[&str]| before.is_some_and(|condition| of.contains(&condition.reason.as_str()));
        let mut state = Self {
            condition: loading(&expected, now),
            expected: Arc::new(expected),
            ready,
            applied_at: now,
            problem_since: None,
            answered_at: None,
            tries: 0,
            next: now,
            spread: f64::from(uid.bytes().map(u32::from).sum::<u32>() % 256) / 256.0,
        };
        match since {
            // It was reported, so it had lasted that long.
            Some((condition, since)) if is(&PROBLEMS) => {
                state.applied_at = since - LOADING;
                state.problem_since = Some(state.applied_at);
                state.answered_at = Some(now);
                state.condition = condition.into();
            }
            Some((condition, since)) if is(&[reasons::AS_SPECIFIED, reasons::LOADING, reasons::SOURCE_FAILED]) => {
                state.applied_at = since;
                state.answered_at = Some(now);
                state.condition = condition.into();
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
            self.expected = Arc::new(expected);
            (self.applied_at, self.next) = (now, now + FIRST);
            (self.problem_since, self.answered_at, self.tries) = (None, None, 0);
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

    /// The check of it, if it is due.
    pub fn due(&self, uid: &str, now: Timestamp) -> Option<Due> {
        (self.next <= now).then(|| Due {
            uid: uid.into(),
            expected: Arc::clone(&self.expected),
            ready: self.ready.clone(),
            since: self.next,
            is_overdue: self.is_overdue(now),
        })
    }

    fn is_overdue(&self, now: Timestamp) -> bool {
        self.problem_since.is_some_and(|since| now.duration_since(since.max(self.applied_at)) >= LOADING)
    }

    /// Records that everything is loaded. Returns whether the condition changed, as the other records do.
    pub fn well(&mut self, remarks: &[String], now: Timestamp) -> bool {
        (self.problem_since, self.answered_at, self.tries) = (None, Some(now), 0);
        self.next = now + SLOW.mul_f64(1.0 - self.spread / 4.0);
        let mut message = "the rules are loaded and evaluated, and the targets of ready pods are scraped".to_owned();
        for remark in remarks {
            message = format!("{message}; {remark}");
        }
        self.set(ConditionValue::yes(reasons::AS_SPECIFIED, message))
    }

    /// Records a problem. It is reported once it has lasted; until then what was well stays so.
    pub fn problem(&mut self, (reason, message): (&str, String), now: Timestamp) -> bool {
        self.problem_since.get_or_insert(now);
        self.answered_at = Some(now);
        let is_overdue = self.is_overdue(now);
        self.tries = if is_overdue { self.tries.saturating_add(1) } else { 0 };
        self.next = now + self.pause();
        match is_overdue {
            true => self.set(ConditionValue::no(reason, message)),
            false if self.condition.is_yes() => false,
            false => self.set(loading(&self.expected, self.applied_at)),
        }
    }

    /// Records that the source does not answer.
    pub fn failed(&mut self, sentence: &str, now: Timestamp) -> bool {
        self.tries = self.tries.saturating_add(1);
        self.next = now + self.pause();
        if self.answered_at.is_some_and(|at| now.duration_since(at) < STALE) {
            return false;
        }
        self.set(ConditionValue::unknown(reasons::SOURCE_FAILED, sentence))
    }

    fn pause(&self) -> SignedDuration {
        (FIRST * (1 << self.tries.min(4))).min(LONGEST)
    }

    /// Errors of other programs contain ports and times, so another number in the text of a problem is no change.
    fn set(&mut self, condition: ConditionValue) -> bool {
        let unnumbered = |of: &ConditionValue| of.message.replace(|c: char| c.is_ascii_digit(), "");
        let is_same =
            condition.reason == self.condition.reason && unnumbered(&condition) == unnumbered(&self.condition);
        if condition == self.condition || (is_same && !condition.is_yes()) {
            return false;
        }
        self.condition = condition;
        true
    }
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
