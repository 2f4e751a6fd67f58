//! Admits trainings where their number is limited: what waits, in memory. The Jobs of the caches are what runs, so nothing is lost
//! with the operator: after a restart every object that is due asks again.

use std::{
    collections::{BTreeMap, BTreeSet},
    sync::{Arc, Mutex, MutexGuard, OnceLock, PoisonError},
};

use jiff::Timestamp;
use kube::runtime::reflector::ObjectRef;
use tokio::sync::mpsc;

use crate::{
    api::Guarded,
    observe::Cache,
    time::whole_seconds,
    training::{TrainingLimits, Waiting},
};

/// The trainings of all scopes.
#[derive(Debug, Default)]
pub struct Admission {
    limits: TrainingLimits,
    caches: OnceLock<Vec<Arc<Cache>>>,
    state: Mutex<State>,
}

#[derive(Debug, Default)]
struct State {
    /// By UID of the object.
    waiting: BTreeMap<String, (Waiting, Waker)>,
    /// Namespaces of those that may start and whose Job is not in the cache yet, by UID.
    starting: BTreeMap<String, String>,
}

/// Enqueues an object that waits.
#[derive(Clone, Debug)]
pub struct Waker {
    /// The queue of its scope.
    pub enqueue: mpsc::UnboundedSender<ObjectRef<Guarded>>,
    /// The object.
    pub object: ObjectRef<Guarded>,
}

impl Admission {
    /// With these limits.
    pub fn new(limits: TrainingLimits) -> Self {
        Self { limits, ..Self::default() }
    }

    /// Sets the caches of all scopes, whose Jobs are what runs.
    pub fn observe(&self, caches: Vec<Arc<Cache>>) {
        // It is called once.
        let _ = self.caches.set(caches);
    }

    /// Asks whether a training of an object may start. If not, since when it waits, and why.
    pub fn ask(&self, uid: &str, namespace: &str, waker: &Waker, now: Timestamp) -> Result<(), (Timestamp, String)> {
        if !self.limits.is_limited() {
            return Ok(());
        }
        let mut state = self.lock();
        state.starting.remove(uid);
        let new = || Waiting { since: whole_seconds(now), uid: uid.into(), namespace: namespace.into() };
        let since = state.waiting.entry(uid.into()).or_insert_with(|| (new(), waker.clone())).0.since;
        if !self.caches.get().into_iter().flatten().all(|cache| cache.is_loaded()) {
            return Err((since, "the Jobs of all namespaces are not known yet".into()));
        }
        let active = self.active(&state);
        if !self.admitted(&state, &active).contains(uid) {
            let active: Vec<&str> = active.values().map(String::as_str).collect();
            return Err((since, self.limits.reason(&active, namespace)));
        }
        state.waiting.remove(uid);
        state.starting.insert(uid.into(), namespace.into());
        Ok(())
    }

    /// Records that a reconcile of an object has ended: its Job is in the cache now. `waits`: whether its training still does.
    /// Enqueues those that may start since.
    pub fn reconciled(&self, uid: &str, waits: bool) {
        if !self.limits.is_limited() {
            return;
        }
        let mut state = self.lock();
        state.starting.remove(uid);
        if !waits {
            state.waiting.remove(uid);
        }
        self.enqueue_admitted(&state);
    }

    /// Enqueues those that may start since the last reconcile.
    pub fn wake(&self) {
        if self.limits.is_limited() {
            self.enqueue_admitted(&self.lock());
        }
    }

    fn enqueue_admitted(&self, state: &State) {
        if state.waiting.is_empty() {
            return;
        }
        for uid in self.admitted(state, &self.active(state)) {
            let Some((_, Waker { enqueue, object })) = state.waiting.get(uid) else { continue };
            // An error means that the queue is gone, and with it the controller.
            let _ = enqueue.send(object.clone());
        }
    }

    /// The UIDs of those that wait and may start.
    fn admitted<'a>(&self, state: &'a State, active: &BTreeMap<String, String>) -> BTreeSet<&'a str> {
        let active: Vec<&str> = active.values().map(String::as_str).collect();
        self.limits.admitted(&active, state.waiting.values().map(|(of, _)| of))
    }

    /// Number of trainings that wait.
    pub fn waiting(&self) -> usize {
        self.lock().waiting.len()
    }

    /// Namespaces of the trainings that run or start, by UID of the object: it has one at a time.
    fn active(&self, state: &State) -> BTreeMap<String, String> {
        let caches = self.caches.get().into_iter().flatten();
        caches.flat_map(|cache| cache.active_trainings()).chain(state.starting.clone()).collect()
    }

    fn lock(&self) -> MutexGuard<'_, State> {
        self.state.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn waker(name: &str) -> (Waker, mpsc::UnboundedReceiver<ObjectRef<Guarded>>) {
        let (enqueue, enqueued) = mpsc::unbounded_channel();
        (Waker { enqueue, object: ObjectRef::new(name).within("shop") }, enqueued)
    }

    #[test]
    fn a_training_waits_until_one_has_ended_and_is_enqueued_then() {
        let admission = Admission::new(TrainingLimits { total: Some(1), per_namespace: None });
        let at = |second| Timestamp::from_second(second).expect("a time");
        let ((a, _of_a), (b, mut of_b)) = (waker("a"), waker("b"));
        assert_eq!(admission.ask("a", "shop", &a, at(1)), Ok(()));
        let why = "at most 1 trainings run at the same time (--max-trainings)".to_owned();
        assert_eq!(admission.ask("b", "shop", &b, at(2)), Err((at(2), why.clone())));
        admission.reconciled("b", true);
        assert!(of_b.try_recv().is_err(), "the first one is starting");
        assert_eq!(admission.ask("b", "shop", &b, at(9)), Err((at(2), why)), "it waits since it asked first");
        // Its Job is not in the cache, so it does not run.
        admission.reconciled("a", false);
        assert_eq!(of_b.try_recv().map(|object| object.name), Ok("b".into()));
        assert_eq!((admission.ask("b", "shop", &b, at(10)), admission.waiting()), (Ok(()), 0));
    }

    #[test]
    fn without_limits_nothing_waits_and_what_is_gone_does_not_hold_others_back() {
        let (waker, _enqueued) = waker("a");
        let now = Timestamp::UNIX_EPOCH;
        let free = Admission::default();
        assert!((0..1000).all(|number| free.ask(&number.to_string(), "shop", &waker, now).is_ok()));
        let admission = Admission::new(TrainingLimits { total: None, per_namespace: Some(1) });
        assert_eq!(admission.ask("a", "shop", &waker, now), Ok(()));
        assert!(admission.ask("b", "shop", &waker, now).is_err());
        assert_eq!(admission.ask("c", "lab", &waker, now), Ok(()));
        admission.reconciled("b", false);
        admission.reconciled("a", false);
        assert_eq!(admission.ask("d", "shop", &waker, now), Ok(()), "b was deleted");
    }
}
