//! The state kept in memory of each object between two reconciles. It may be lost: a restart costs little.

use std::{
    collections::{BTreeMap, HashMap},
    sync::{Mutex, MutexGuard, PoisonError},
    time::Duration,
};

use jiff::{SignedDuration, Timestamp};

use super::{explain::Explained, gateways};
use crate::{api::RecommenderModelStatus, apply::Corrections, kinds::Kind, promotion::reload::Since};

/// Pause after a first failure: 1 s. It doubles with each further one.
const FIRST_PAUSE: Duration = Duration::from_secs(1);
/// Longest pause after a failure: 300 s.
const LONGEST_PAUSE: Duration = Duration::from_secs(300);
/// Minimum time since the last write of the status before another message of the same failure is written: 60 s.
const REWORDING_PAUSE: SignedDuration = SignedDuration::from_secs(60);

/// The state of one object.
#[derive(Debug, Default)]
struct ObjectState {
    /// When we first reconciled it.
    first_at: Option<Timestamp>,
    /// The status we wrote last, and the resource version that gave. Kept until the watch has delivered it, and as long as
    /// the object cannot be read.
    written: Option<(u64, RecommenderModelStatus)>,
    /// Failures in a row.
    failures: u32,
    /// When we last wrote the status.
    reported_at: Option<Timestamp>,
    /// Corrections of its children.
    corrections: Corrections,
    /// Deployments whose replicas could not be set in the last reconcile.
    failed_orders: Vec<String>,
    /// What Events state of its objects that hang.
    explained: Explained,
    /// What its Gateways can do.
    gateways: Option<gateways::Read>,
    /// Servers that have changed versions without a restart, by pod.
    changed: BTreeMap<String, Since>,
}

/// The state of all objects, by UID.
#[derive(Debug, Default)]
pub struct Memory(Mutex<HashMap<String, ObjectState>>);

impl Memory {
    /// The newest status: the one the watch delivered with `version`, or the one we have written since. `shown` is none for
    /// an object that cannot be read; then only the one we wrote is known, if there is one.
    pub fn newest_status(
        &self,
        uid: &str,
        version: u64,
        shown: Option<&RecommenderModelStatus>,
    ) -> RecommenderModelStatus {
        let mut objects = self.lock();
        let object = objects.get_mut(uid);
        match (shown, object.as_ref().and_then(|object| object.written.as_ref())) {
            (Some(shown), Some((written, _))) if *written <= version => {
                object.map(|object| object.written.take());
                shown.clone()
            }
            (_, Some((_, status))) => status.clone(),
            (shown, None) => shown.cloned().unwrap_or_default(),
        }
    }

    /// When an object was first reconciled.
    pub fn first_at(&self, uid: &str, now: Timestamp) -> Timestamp {
        *self.lock().entry(uid.to_owned()).or_default().first_at.get_or_insert(now)
    }

    /// Records a written status.
    pub fn wrote(&self, uid: &str, version: u64, status: &RecommenderModelStatus, now: Timestamp) {
        let mut objects = self.lock();
        let object = objects.entry(uid.to_owned()).or_default();
        object.written = Some((version, status.clone()));
        object.reported_at = Some(now);
    }

    /// Whether the status was written so recently that another message of the same failure can wait.
    pub fn was_reported_lately(&self, uid: &str, now: Timestamp) -> bool {
        let reported_at = self.lock().get(uid).and_then(|object| object.reported_at);
        reported_at.is_some_and(|at| now.duration_since(at) < REWORDING_PAUSE)
    }

    /// The corrections of an object's children.
    pub fn corrections(&self, uid: &str) -> Corrections {
        self.lock().get(uid).map(|object| object.corrections.clone()).unwrap_or_default()
    }

    /// Records a correction of a child. Returns whether it is the first of a series.
    pub fn corrected(&self, uid: &str, kind: Kind, name: &str, now: Timestamp) -> bool {
        self.lock().entry(uid.to_owned()).or_default().corrections.add(kind, name, now)
    }

    /// What Events state of an object's pods and Jobs that hang.
    pub fn explained(&self, uid: &str) -> Explained {
        self.lock().get(uid).map(|object| object.explained.clone()).unwrap_or_default()
    }

    /// Records what Events state.
    pub fn explain(&self, uid: &str, explained: &Explained) {
        self.lock().entry(uid.to_owned()).or_default().explained = explained.clone();
    }

    /// What was read of an object's Gateways.
    pub fn gateways(&self, uid: &str) -> Option<gateways::Read> {
        self.lock().get(uid).and_then(|object| object.gateways.clone())
    }

    /// Records what was read of them; none if it is not asked for any more.
    pub fn read_gateways(&self, uid: &str, read: Option<gateways::Read>) {
        self.lock().entry(uid.to_owned()).or_default().gateways = read;
    }

    /// How often servers were restarted before they changed to the version that they have, by pod: that is no fault of it. `changed`: those
    /// that have, as they are now. What a pod had when it was first seen with the version counts; after a restart of the operator that is
    /// what it has by then, so that a version is not blamed for what may have been before.
    pub fn restarts_before(&self, uid: &str, changed: Vec<Since>) -> BTreeMap<String, i32> {
        let mut objects = self.lock();
        if changed.is_empty() && !objects.contains_key(uid) {
            return BTreeMap::new();
        }
        let object = objects.entry(uid.to_owned()).or_default();
        let is_same = |known: &Since, of: &Since| known.version == of.version && (known.at == of.at || !of.goes_on);
        let known = |of: Since| match object.changed.get(&of.pod).filter(|known| is_same(known, &of)) {
            Some(known) => known.clone(),
            None => of,
        };
        let changed: Vec<Since> = changed.into_iter().map(known).collect();
        object.changed = changed.into_iter().map(|of| (of.pod.clone(), of)).collect();
        object.changed.values().map(|of| (of.pod.clone(), of.restarts)).collect()
    }

    /// The Deployments of an object whose replicas could not be set in its last reconcile.
    pub fn failed_orders(&self, uid: &str) -> Vec<String> {
        self.lock().get(uid).map(|object| object.failed_orders.clone()).unwrap_or_default()
    }

    /// Records which Deployments' replicas could not be set.
    pub fn ordered(&self, uid: &str, failed: &[String]) {
        self.lock().entry(uid.to_owned()).or_default().failed_orders = failed.to_vec();
    }

    /// Records a reconcile without failure.
    pub fn succeeded(&self, uid: &str) {
        if let Some(object) = self.lock().get_mut(uid) {
            object.failures = 0;
        }
    }

    /// Records a failure. Returns the pause before the retry.
    pub fn failed(&self, uid: &str) -> Duration {
        let mut objects = self.lock();
        let object = objects.entry(uid.to_owned()).or_default();
        object.failures = object.failures.saturating_add(1);
        pause(uid, object.failures)
    }

    /// Removes the state of an object that is gone.
    pub fn forget(&self, uid: &str) {
        self.lock().remove(uid);
    }

    fn lock(&self) -> MutexGuard<'_, HashMap<String, ObjectState>> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

/// The pause after so many failures in a row; it doubles with each. It is shortened by up to a quarter, by a share that
/// depends on the UID only, so that objects that failed together are not retried together.
fn pause(uid: &str, failures: u32) -> Duration {
    let doubled = FIRST_PAUSE.saturating_mul(1 << (failures - 1).min(16)).min(LONGEST_PAUSE);
    let spread: u32 = uid.bytes().map(u32::from).sum::<u32>() % 256;
    doubled.mul_f64(1.0 - f64::from(spread) / 1024.0)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn pauses_double_up_to_five_minutes_and_start_again_after_a_success() {
        let memory = Memory::default();
        let pauses: Vec<u64> = (0..12).map(|_| memory.failed("\0").as_secs()).collect();
        assert_eq!(pauses, [1, 2, 4, 8, 16, 32, 64, 128, 256, 300, 300, 300]);
        memory.succeeded("\0");
        assert_eq!(memory.failed("\0").as_secs(), 1);
    }

    #[test]
    fn objects_that_fail_together_are_not_retried_together() {
        assert_ne!(pause("a", 9), pause("b", 9));
        for uid in ["a", "zzzz", "f00"] {
            assert!(pause(uid, 9) <= Duration::from_secs(256) && pause(uid, 9) >= Duration::from_secs(192));
        }
    }

    #[test]
    fn our_own_write_counts_until_the_watch_has_caught_up() {
        let memory = Memory::default();
        let status = |generation| RecommenderModelStatus {
            observed_generation: Some(generation),
            ..RecommenderModelStatus::default()
        };
        memory.wrote("u", 10, &status(2), Timestamp::UNIX_EPOCH);
        assert_eq!(memory.newest_status("u", 9, Some(&status(1))), status(2));
        assert_eq!(memory.newest_status("u", 10, Some(&status(2))), status(2));
        assert_eq!(memory.newest_status("u", 9, Some(&status(3))), status(3), "the watch had caught up before");
    }

    #[test]
    fn the_status_written_for_an_unreadable_object_stays_the_newest() {
        let memory = Memory::default();
        assert_eq!(memory.newest_status("u", 9, None), RecommenderModelStatus::default());
        let reported = RecommenderModelStatus { observed_generation: Some(2), ..RecommenderModelStatus::default() };
        memory.wrote("u", 10, &reported, Timestamp::UNIX_EPOCH);
        assert_eq!(memory.newest_status("u", 10, None), reported);
        assert_eq!(memory.newest_status("u", 11, None), reported);
    }

    #[test]
    fn restarts_before_a_server_has_changed_versions_do_not_count_and_those_since_do() {
        let at = |seconds| Timestamp::UNIX_EPOCH + SignedDuration::from_secs(seconds);
        let of = |version: &str, seconds, goes_on, restarts| {
            vec![Since { pod: "server".into(), version: version.into(), at: at(seconds), goes_on, restarts }]
        };
        let (memory, before) = (Memory::default(), |restarts: i32| BTreeMap::from([("server".to_owned(), restarts)]));
        assert_eq!(memory.restarts_before("u", Vec::new()), BTreeMap::new());
        assert_eq!(memory.restarts_before("u", of("partial-2", 10, true, 5)), before(5));
        assert_eq!(memory.restarts_before("u", of("partial-2", 10, true, 7)), before(5), "two since");
        assert_eq!(memory.restarts_before("u", of("partial-2", 60, false, 8)), before(5), "it is watched now");
        assert_eq!(memory.restarts_before("u", of("full-1", 90, true, 9)), before(9), "it comes back");
        assert_eq!(memory.restarts_before("u", of("full-1", 120, true, 9)), before(9));
        assert_eq!(Memory::default().restarts_before("u", of("full-1", 90, true, 12)), before(12), "another process");
    }

    #[test]
    fn another_message_of_the_same_failure_waits_a_minute() {
        let memory = Memory::default();
        let at = |seconds| Timestamp::UNIX_EPOCH + SignedDuration::from_secs(seconds);
        assert!(!memory.was_reported_lately("u", at(0)), "nothing was written yet");
        memory.wrote("u", 10, &RecommenderModelStatus::default(), at(0));
        assert!(memory.was_reported_lately("u", at(59)));
        assert!(!memory.was_reported_lately("u", at(60)));
    }
}
