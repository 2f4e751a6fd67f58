//! What the ticks observe beside replicas: the health of dependencies, error budgets, alerts on objectives, canaries, and what
//! trainings wait for or are triggered by. The readings are those that a tick decides on replicas with: one query of a source and
//! series for all objects. An object of which something changes is enqueued, and its reconcile reports it; a tick without a change
//! makes no request.

use std::{
    collections::{BTreeSet, HashMap},
    sync::{Mutex, MutexGuard, PoisonError},
};

use jiff::Timestamp;
use kube::runtime::reflector::ObjectRef;

use crate::{
    api::{Guarded, RecommenderModelStatus},
    model::Model,
    observed::{OfSource, Ticked},
    series::Series,
    signals::Readings,
};

/// All objects of which something is observed, by UID.
#[derive(Debug)]
pub struct Observers<S>(Mutex<HashMap<String, S>>);

impl<S> Default for Observers<S> {
    fn default() -> Self {
        Self(Mutex::default())
    }
}

impl<S: Ticked> Observers<S> {
    /// Takes over what a reconcile found in an object, for the next ticks.
    pub fn update(&self, uid: &str, model: &Model, prior: &RecommenderModelStatus) {
        self.update_with(uid, model, prior, |_| ());
    }

    /// The same, and what else the reconcile knows.
    pub fn update_with(&self, uid: &str, model: &Model, prior: &RecommenderModelStatus, further: impl FnOnce(&mut S)) {
        let mut objects = self.lock();
        let mut state = objects.remove(uid).unwrap_or_default();
        state.update(model, prior);
        further(&mut state);
        if !state.is_empty() {
            objects.insert(uid.into(), state);
        }
    }

    /// What was observed last of an object.
    pub fn observed(&self, uid: &str) -> S::Observed {
        self.lock().get(uid).map(Ticked::observed).unwrap_or_default()
    }

    /// Whether any object uses a source for which `of` is true.
    pub fn reads(&self, of: &dyn Fn(&str) -> bool) -> bool {
        self.lock().values().any(|state| of(&state.object().source))
    }

    /// The series that any object whose source is `of` demands.
    pub fn demanded(&self, of: &dyn Fn(&str) -> bool) -> BTreeSet<Series> {
        let objects = self.lock();
        objects.values().filter(|state| of(&state.object().source)).flat_map(Ticked::demanded).collect()
    }

    /// Observes all objects whose source is `of`. Returns the objects to enqueue. `readings`: none when no such source is
    /// configured.
    pub fn tick(
        &self,
        of: &dyn Fn(&str) -> bool,
        readings: Option<&Readings>,
        now: Timestamp,
    ) -> Vec<ObjectRef<Guarded>> {
        let mut objects = self.lock();
        let changed = objects.values_mut().filter(|state| of(&state.object().source));
        let changed = changed.filter_map(|state| state.tick(readings, now).then_some(&*state));
        let reference = |OfSource { namespace, name, .. }: &OfSource| ObjectRef::new(name).within(namespace);
        changed.map(|state| reference(state.object())).collect()
    }

    /// Removes a deleted object.
    pub fn forget(&self, uid: &str) {
        self.lock().remove(uid);
    }

    fn lock(&self) -> MutexGuard<'_, HashMap<String, S>> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }
}
