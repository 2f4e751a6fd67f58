//! What the metric sources have loaded of all objects. A loop beside the ticks ([`super::ticks`]) asks; an object whose condition
//! changes is enqueued, and its reconcile reports it.

use std::{
    collections::{BTreeSet, HashMap},
    sync::{Mutex, MutexGuard, PoisonError},
};

use jiff::Timestamp;
use kube::runtime::reflector::ObjectRef;

use crate::{
    api::{Guarded, RecommenderModelStatus},
    feedback::{Due, Expected, State},
    status::ConditionValue,
};

/// Most objects that are asked about at once, so that those of a restart do not delay each other: 100.
const MOST: usize = 100;

/// All monitored objects whose metric source is configured, by UID.
#[derive(Debug, Default)]
pub struct Feedback(Mutex<HashMap<String, State>>);

impl Feedback {
    /// Takes over what a reconcile has applied and observed. `expected`: none when there is nothing to ask. `ready`: the workloads
    /// with ready pods.
    pub fn update(
        &self,
        uid: &str,
        expected: Option<Expected>,
        ready: BTreeSet<String>,
        prior: &RecommenderModelStatus,
        now: Timestamp,
    ) {
        let mut objects = self.lock();
        let Some(expected) = expected else {
            objects.remove(uid);
            return;
        };
        match objects.get_mut(uid) {
            Some(state) => state.update(expected, ready, now),
            None => _ = objects.insert(uid.into(), State::new(uid, expected, ready, prior, now)),
        }
    }

    /// The condition MonitoringReady of an object. None when there is nothing to ask.
    pub fn condition(&self, uid: &str) -> Option<ConditionValue> {
        self.lock().get(uid).map(|state| state.condition().clone())
    }

    /// Whether the rules of an object are loaded. None while that is not known.
    pub fn rules_loaded(&self, uid: &str) -> Option<bool> {
        self.lock().get(uid).and_then(State::rules_loaded)
    }

    /// The objects that a source is to be asked about now: those that have waited longest.
    pub fn due(&self, source: &str, now: Timestamp) -> Vec<Due> {
        let objects = self.lock();
        let of_source = objects.iter().filter(|(_, state)| state.expected().source == source);
        let mut due: Vec<Due> = of_source.filter_map(|(uid, state)| state.due(uid, now)).collect();
        due.sort_by_key(|of| of.since);
        due.truncate(MOST);
        due
    }

    /// Records what was found, unless the object was changed meanwhile. Returns the object if its condition changed.
    pub fn record(
        &self,
        of: &Due,
        now: Timestamp,
        change: impl FnOnce(&mut State) -> bool,
    ) -> Option<ObjectRef<Guarded>> {
        let mut objects = self.lock();
        let state = objects.get_mut(&of.uid).filter(|state| state.expected().version == of.expected.version)?;
        let is_changed = change(state);
        state.checked(of, now);
        is_changed.then(|| ObjectRef::new(&of.expected.name).within(&of.expected.namespace))
    }

    /// Removes a deleted object.
    pub fn forget(&self, uid: &str) {
        self.lock().remove(uid);
    }

    fn lock(&self) -> MutexGuard<'_, HashMap<String, State>> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }
}
