//! The protocol, pure: what a candidate may do about the record it read. It reads no clock and makes no request.

use std::time::Duration;

use jiff::Timestamp;
use k8s_openapi::{api::coordination::v1::LeaseSpec, apimachinery::pkg::apis::meta::v1::MicroTime};
use tokio::time::Instant;

use super::timings::Timings;

/// Lease duration of a released Lease in seconds, at most: what client-go writes on release. A released Lease has no holder.
const RELEASED_SECONDS: i32 = 1;

/// One moment, by two clocks.
#[derive(Clone, Copy, Debug)]
pub(super) struct Now {
    /// All decisions are based on it.
    pub monotonic: Instant,
    /// Written into the Lease for people to read; no decision is based on it.
    pub wall: Timestamp,
}

/// What to do about the record that was read.
#[derive(Clone, Debug, PartialEq)]
pub(super) enum Action {
    /// Write this, on condition that the record is still the one that was read.
    Write(LeaseSpec),
    /// Another candidate may hold the lease until then, unless the record changes again.
    Wait {
        /// The holder that the record names; empty when there is none.
        holder: String,
        /// By our own monotonic clock.
        until: Instant,
    },
}

/// The record as last observed, and until when it blocks us.
#[derive(Clone, Debug, PartialEq)]
pub(super) struct ObservedLease {
    /// `None`: there is no Lease.
    record: Option<LeaseSpec>,
    /// Counted from when the change was first observed.
    blocked_until: Instant,
}

/// Records an observation. An unchanged record keeps its age; any change starts a new term of its holder.
pub(super) fn observe(
    observed: Option<ObservedLease>,
    record: Option<&LeaseSpec>,
    timings: &Timings,
    now: Instant,
) -> ObservedLease {
    match observed {
        Some(observed) if observed.record.as_ref() == record => observed,
        before => {
            let term = term_of_another(before.as_ref().and_then(|observed| observed.record.as_ref()), record, timings);
            ObservedLease { record: record.cloned(), blocked_until: now + term }
        }
    }
}

/// How long another candidate may still rely on a lease whose record has just become `record`.
///
/// Never less than our own lease duration: a shorter one in the record may have been written by a third party, which the
/// holder does not detect before its next renewal.
fn term_of_another(before: Option<&LeaseSpec>, record: Option<&LeaseSpec>, timings: &Timings) -> Duration {
    match (before, record) {
        (_, Some(record)) if is_free(record) => Duration::ZERO,
        (_, Some(record)) => {
            let seconds = record.lease_duration_seconds.and_then(|seconds| u64::try_from(seconds).ok()).unwrap_or(0);
            timings.lease_duration.max(Duration::from_secs(seconds))
        }
        // Deleted while it was held: the holder will create it again.
        (Some(before), None) if !is_free(before) => timings.lease_duration,
        (_, None) => Duration::ZERO,
    }
}

/// Released by its holder, or never taken.
fn is_free(record: &LeaseSpec) -> bool {
    holder(Some(record)).is_empty() && record.lease_duration_seconds.is_none_or(|seconds| seconds <= RELEASED_SECONDS)
}

/// The holder that a record names; empty when there is none.
pub(super) fn holder(record: Option<&LeaseSpec>) -> &str {
    record.and_then(|record| record.holder_identity.as_deref()).unwrap_or_default()
}

/// The decision. `holding`: whether our own term is running. A record that names us while it is not (the response to a
/// write was lost, or a third party wrote our name) proves nothing, and is waited for like that of another candidate.
///
/// | the record names | we hold | its term is over | action |
/// |------------------|---------|------------------|--------|
/// | us, none         | yes     | any              | Write  |
/// | another          | yes     | any              | Wait   |
/// | any, none        | no      | yes              | Write  |
/// | any, none        | no      | no               | Wait   |
pub(super) fn step(observed: &ObservedLease, identity: &str, holding: bool, timings: &Timings, now: Now) -> Action {
    let record = observed.record.as_ref();
    let holder = holder(record);
    let may_write =
        if holding { holder == identity || holder.is_empty() } else { now.monotonic >= observed.blocked_until };
    if may_write {
        Action::Write(term(record, identity, holding, timings, now.wall))
    } else {
        Action::Wait { holder: holder.to_owned(), until: observed.blocked_until }
    }
}

/// The record that begins our term, or continues it while we are `holding`. Fields that are not ours are kept.
fn term(record: Option<&LeaseSpec>, identity: &str, holding: bool, timings: &Timings, wall: Timestamp) -> LeaseSpec {
    let before = record.cloned().unwrap_or_default();
    let transitions = before.lease_transitions.unwrap_or(0).max(0);
    LeaseSpec {
        holder_identity: Some(identity.to_owned()),
        lease_duration_seconds: Some(timings.lease_seconds()),
        acquire_time: before.acquire_time.clone().filter(|_| holding).or(Some(MicroTime(wall))),
        renew_time: Some(MicroTime(wall)),
        lease_transitions: Some(if holding || record.is_none() { transitions } else { transitions.saturating_add(1) }),
        ..before
    }
}

/// The record that a holder writes on a clean stop, as client-go does: without a holder, free at once.
pub(super) fn released(record: &LeaseSpec, wall: Timestamp) -> LeaseSpec {
    LeaseSpec {
        holder_identity: Some(String::new()),
        lease_duration_seconds: Some(RELEASED_SECONDS),
        acquire_time: Some(MicroTime(wall)),
        renew_time: Some(MicroTime(wall)),
        ..record.clone()
    }
}

/// One process that competes for the lease. `identity` is unique to the process; otherwise two would share a term.
#[derive(Debug)]
pub(super) struct Candidate {
    identity: String,
    timings: Timings,
    observed: Option<ObservedLease>,
    valid_until: Option<Instant>,
}

impl Candidate {
    pub(super) fn new(identity: String, timings: Timings) -> Self {
        Self { identity, timings, observed: None, valid_until: None }
    }

    /// Decides about the record as it was when it was requested; `now` is taken after the response arrived.
    pub(super) fn decide(&mut self, record: Option<&LeaseSpec>, now: Now) -> Action {
        let observed = observe(self.observed.take(), record, &self.timings, now.monotonic);
        let action = step(&observed, &self.identity, self.holds(now.monotonic), &self.timings, now);
        if matches!(action, Action::Wait { .. }) {
            self.valid_until = None;
        }
        self.observed = Some(observed);
        action
    }

    /// Records that our write was accepted. The term counts from when it was *sent*: other candidates may have observed it
    /// that early.
    pub(super) fn accepted(&mut self, record: Option<&LeaseSpec>, sent: Instant) -> Instant {
        let valid_until = sent + self.timings.renew_deadline;
        self.observed = Some(observe(self.observed.take(), record, &self.timings, sent));
        self.valid_until = Some(valid_until);
        valid_until
    }

    /// Whether we may write on behalf of the lease.
    pub(super) fn holds(&self, now: Instant) -> bool {
        self.valid_until.is_some_and(|until| now < until)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    /// The default lease duration.
    const LEASE: Duration = Duration::from_secs(15);

    fn now(start: Instant, seconds: u64) -> Now {
        Now { monotonic: start + Duration::from_secs(seconds), wall: "2026-11-21T12:00:00Z".parse().unwrap() }
    }

    fn record(holder: &str, seconds: Option<i32>) -> LeaseSpec {
        LeaseSpec { holder_identity: Some(holder.to_owned()), lease_duration_seconds: seconds, ..LeaseSpec::default() }
    }

    /// How many seconds a change from `before` to `after` blocks other candidates.
    fn blocks(before: Option<&LeaseSpec>, after: Option<&LeaseSpec>) -> u64 {
        let (start, timings) = (Instant::now(), Timings::default());
        let observed = before.map(|before| observe(None, Some(before), &timings, start));
        let observed = observe(observed, after, &timings, start + Duration::from_secs(100));
        (observed.blocked_until - start).as_secs() - 100
    }

    #[test]
    fn a_change_blocks_other_candidates_for_as_long_as_a_holder_may_rely_on_it() {
        let theirs = record("b", Some(15));
        for (case, before, after, seconds) in [
            ("no lease yet", None, None, 0),
            ("prepared by the chart, never taken", None, Some(LeaseSpec::default()), 0),
            ("held", None, Some(theirs.clone()), 15),
            ("held with a longer term than ours", None, Some(record("b", Some(60))), 60),
            ("shortened by a third party", Some(theirs.clone()), Some(record("b", Some(1))), 15),
            ("a negative duration", Some(theirs.clone()), Some(record("b", Some(-5))), 15),
            ("no duration at all", None, Some(record("b", None)), 15),
            ("released", Some(theirs.clone()), Some(record("", Some(1))), 0),
            ("emptied by a third party", Some(theirs.clone()), Some(record("", Some(15))), 15),
            ("deleted under its holder", Some(theirs.clone()), None, 15),
            ("deleted after its release", Some(record("", Some(1))), None, 0),
        ] {
            assert_eq!(blocks(before.as_ref(), after.as_ref()), seconds, "{case}");
        }
    }

    #[test]
    fn an_unchanged_record_keeps_its_age() {
        let (start, timings, theirs) = (Instant::now(), Timings::default(), record("b", Some(15)));
        let first = observe(None, Some(&theirs), &timings, start);
        let later = observe(Some(first.clone()), Some(&theirs), &timings, start + Duration::from_secs(14));
        assert_eq!(first, later);
    }

    #[test]
    fn the_decision_table() {
        let start = Instant::now();
        let (young, old) = (now(start, 14), now(start, 15));
        for (case, record, holding, at, writes) in [
            ("ours, renewing", Some(record("a", Some(15))), true, young, true),
            ("ours by a write whose answer was lost", Some(record("a", Some(15))), false, young, false),
            ("the same, but old", Some(record("a", Some(15))), false, old, true),
            ("deleted while we hold", None, true, young, true),
            ("emptied while we hold", Some(record("", Some(15))), true, young, true),
            ("without a holder, and young", Some(record("", Some(15))), false, young, false),
            ("without a holder, and old", Some(record("", Some(15))), false, old, true),
            ("another's and young", Some(record("b", Some(15))), false, young, false),
            ("another's and old", Some(record("b", Some(15))), false, old, true),
            ("another's while we believe we hold", Some(record("b", Some(15))), true, old, false),
        ] {
            let observed = ObservedLease { record, blocked_until: start + LEASE };
            let action = step(&observed, "a", holding, &Timings::default(), at);
            assert_eq!(matches!(action, Action::Write(_)), writes, "{case}: {action:?}");
        }
    }

    #[test]
    fn a_term_keeps_the_fields_that_are_not_ours_and_counts_the_transitions() {
        let wall: Timestamp = "2026-11-21T12:00:00Z".parse().unwrap();
        let earlier = MicroTime("2026-11-21T11:00:00Z".parse().unwrap());
        let before = LeaseSpec {
            acquire_time: Some(earlier.clone()),
            lease_transitions: Some(4),
            strategy: Some("OldestEmulationVersion".to_owned()),
            ..record("b", Some(15))
        };
        let renewed = term(Some(&before), "b", true, &Timings::default(), wall);
        assert_eq!((renewed.acquire_time, renewed.lease_transitions), (Some(earlier), Some(4)));
        let taken = term(Some(&before), "a", false, &Timings::default(), wall);
        assert_eq!((taken.acquire_time, taken.lease_transitions), (Some(MicroTime(wall)), Some(5)));
        assert_eq!(taken.strategy, before.strategy);
        for (transitions, next) in [(i32::MAX, i32::MAX), (-3, 1)] {
            let record = LeaseSpec { lease_transitions: Some(transitions), ..before.clone() };
            let taken = term(Some(&record), "a", false, &Timings::default(), wall);
            assert_eq!(taken.lease_transitions, Some(next));
        }
        assert_eq!(term(None, "a", false, &Timings::default(), wall).lease_transitions, Some(0));
    }

    #[test]
    fn a_term_counts_from_sending_the_write_and_ends_when_another_holder_is_observed() {
        let start = Instant::now();
        let mut candidate = Candidate::new("a".to_owned(), Timings::default());
        let Action::Write(ours) = candidate.decide(None, now(start, 0)) else { panic!("the lease is free") };
        assert!(!candidate.holds(start), "the decision to write starts no term");
        candidate.accepted(Some(&ours), start);
        assert!(candidate.holds(start + Duration::from_millis(9_999)));
        assert!(!candidate.holds(start + Duration::from_secs(10)), "the term is over at its deadline");
        let taken = record("b", Some(15));
        assert!(matches!(candidate.decide(Some(&taken), now(start, 5)), Action::Wait { holder, .. } if holder == "b"));
        assert!(!candidate.holds(start + Duration::from_secs(5)));
    }
}
