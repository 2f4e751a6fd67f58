//! What is remembered of objects between two looks. All of it may be lost: a restart only costs a little.

use std::{
    collections::HashMap,
    sync::{Mutex, MutexGuard, PoisonError},
    time::Duration,
};

use jiff::{SignedDuration, Timestamp};

use crate::{api::RecommenderModelStatus, apply::Heals, render::Kind};

/// First pause after a failure; it doubles with each further one.
const FIRST_PAUSE: Duration = Duration::from_secs(1);
/// Longest pause.
const LONGEST_PAUSE: Duration = Duration::from_secs(300);
/// How long other words for the same failure wait to be told.
const REWORDING_PAUSE: SignedDuration = SignedDuration::from_secs(60);

#[derive(Debug, Default)]
struct Remembered {
    /// What we last wrote, and the resource version it gave: while the watch has not shown it yet, and as long as the
    /// object cannot be read.
    written: Option<(u64, RecommenderModelStatus)>,
    /// Failures in a row.
    failures: u32,
    /// When we last wrote the status.
    told_at: Option<Timestamp>,
    /// Children that were put right.
    heals: Heals,
}

/// By object UID.
#[derive(Debug, Default)]
pub struct Memory(Mutex<HashMap<String, Remembered>>);

impl Memory {
    /// The newest status there is: what the watch showed at `version`, or what we have written since. An object that
    /// cannot be read shows none; what we wrote of it, if anything, is all that is known.
    pub fn newest_status(
        &self,
        uid: &str,
        version: u64,
        shown: Option<&RecommenderModelStatus>,
    ) -> RecommenderModelStatus {
        let mut objects = self.lock();
        let remembered = objects.get_mut(uid);
        match (shown, remembered.as_ref().and_then(|remembered| remembered.written.as_ref())) {
            (Some(shown), Some((written, _))) if *written <= version => {
                remembered.map(|remembered| remembered.written.take());
                shown.clone()
            }
            (_, Some((_, status))) => status.clone(),
            (shown, None) => shown.cloned().unwrap_or_default(),
        }
    }

    /// Takes note of a status that was written.
    pub fn wrote(&self, uid: &str, version: u64, status: &RecommenderModelStatus, now: Timestamp) {
        let mut objects = self.lock();
        let remembered = objects.entry(uid.to_owned()).or_default();
        remembered.written = Some((version, status.clone()));
        remembered.told_at = Some(now);
    }

    /// Whether the status was written so recently that other words for the same failure can wait.
    pub fn was_told_lately(&self, uid: &str, now: Timestamp) -> bool {
        let told_at = self.lock().get(uid).and_then(|remembered| remembered.told_at);
        told_at.is_some_and(|at| now.duration_since(at) < REWORDING_PAUSE)
    }

    /// The children of an object that were put right.
    pub fn heals(&self, uid: &str) -> Heals {
        self.lock().get(uid).map(|remembered| remembered.heals.clone()).unwrap_or_default()
    }

    /// Takes note that a child was put right. Returns whether it is the first time of a series.
    pub fn healed(&self, uid: &str, kind: Kind, name: &str, now: Timestamp) -> bool {
        self.lock().entry(uid.to_owned()).or_default().heals.add(kind, name, now)
    }

    /// Takes note that an object was worked on without a failure.
    pub fn succeeded(&self, uid: &str) {
        if let Some(remembered) = self.lock().get_mut(uid) {
            remembered.failures = 0;
        }
    }

    /// Takes note of a failure. Returns the pause before the next try.
    pub fn failed(&self, uid: &str) -> Duration {
        let mut objects = self.lock();
        let remembered = objects.entry(uid.to_owned()).or_default();
        remembered.failures = remembered.failures.saturating_add(1);
        pause(uid, remembered.failures)
    }

    /// Forgets an object that is gone.
    pub fn forget(&self, uid: &str) {
        self.lock().remove(uid);
    }

    fn lock(&self) -> MutexGuard<'_, HashMap<String, Remembered>> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

/// Doubles with each failure. Objects that failed together are spread over a quarter of the pause, each always at the
/// same place in it.
fn pause(uid: &str, failures: u32) -> Duration {
    let doubled = FIRST_PAUSE.saturating_mul(1 << (failures - 1).min(16)).min(LONGEST_PAUSE);
    let spread: u32 = uid.bytes().map(u32::from).sum::<u32>() % 256;
    doubled.mul_f64(1.0 - f64::from(spread) / 1024.0)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn pauses_double_up_to_five_minutes_and_start_anew_after_a_success() {
        let memory = Memory::default();
        let pauses: Vec<u64> = (0..12).map(|_| memory.failed("\0").as_secs()).collect();
        assert_eq!(pauses, [1, 2, 4, 8, 16, 32, 64, 128, 256, 300, 300, 300]);
        memory.succeeded("\0");
        assert_eq!(memory.failed("\0").as_secs(), 1);
    }

    #[test]
    fn objects_that_fail_together_do_not_come_back_together() {
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
        assert_eq!(memory.newest_status("u", 9, Some(&status(3))), status(3), "what was caught up with is forgotten");
    }

    #[test]
    fn what_was_written_of_an_object_that_cannot_be_read_counts_on() {
        let memory = Memory::default();
        assert_eq!(memory.newest_status("u", 9, None), RecommenderModelStatus::default());
        let told = RecommenderModelStatus { observed_generation: Some(2), ..RecommenderModelStatus::default() };
        memory.wrote("u", 10, &told, Timestamp::UNIX_EPOCH);
        assert_eq!(memory.newest_status("u", 10, None), told);
        assert_eq!(memory.newest_status("u", 11, None), told);
    }

    #[test]
    fn other_words_for_the_same_failure_wait_a_minute() {
        let memory = Memory::default();
        let at = |seconds| Timestamp::UNIX_EPOCH + SignedDuration::from_secs(seconds);
        assert!(!memory.was_told_lately("u", at(0)), "nothing was told yet");
        memory.wrote("u", 10, &RecommenderModelStatus::default(), at(0));
        assert!(memory.was_told_lately("u", at(59)));
        assert!(!memory.was_told_lately("u", at(60)));
    }
}
