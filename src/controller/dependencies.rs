//! What the ticks observe of dependencies. The readings are those that a tick decides on replicas with: one query of a source for
//! all objects. An object of which a dependency changes is enqueued, and its reconcile reports it; a tick without a change makes
//! no request.

use std::{
    collections::HashMap,
    sync::{Mutex, MutexGuard, PoisonError},
};

use jiff::Timestamp;
use kube::runtime::reflector::ObjectRef;

use crate::{
    api::{Guarded, RecommenderModelStatus},
    health::{Observed, State},
    model::Model,
    signals::Readings,
};

/// All objects with dependencies whose exporters report health, by UID.
#[derive(Debug, Default)]
pub struct Dependencies(Mutex<HashMap<String, State>>);

impl Dependencies {
    /// Takes over what a reconcile found in an object, for the next ticks.
    pub fn update(&self, uid: &str, model: &Model, prior: &RecommenderModelStatus) {
        let mut objects = self.lock();
        let mut state = objects.remove(uid).unwrap_or_default();
        state.update(model, prior);
        if !state.is_empty() {
            objects.insert(uid.into(), state);
        }
    }

    /// What was observed last of the dependencies of an object.
    pub fn observed(&self, uid: &str) -> Observed {
        self.lock().get(uid).map(State::observed).unwrap_or_default()
    }

    /// Whether any object uses a source for which `of` is true.
    pub fn reads(&self, of: &dyn Fn(&str) -> bool) -> bool {
        self.lock().values().any(|object| of(&object.source))
    }

    /// Observes the dependencies of all objects whose source is `of`. Returns the objects to enqueue. `readings`: none when no
    /// such source is configured.
    pub fn tick(
        &self,
        of: &dyn Fn(&str) -> bool,
        readings: Option<&Readings>,
        now: Timestamp,
    ) -> Vec<ObjectRef<Guarded>> {
        let mut objects = self.lock();
        let changed = objects.values_mut().filter(|state| of(&state.source));
        let changed = changed.filter_map(|state| state.tick(readings, now).then_some(&*state));
        changed.map(|state| ObjectRef::new(&state.name).within(&state.namespace)).collect()
    }

    /// Removes a deleted object.
    pub fn forget(&self, uid: &str) {
        self.lock().remove(uid);
    }

    fn lock(&self) -> MutexGuard<'_, HashMap<String, State>> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }
}
