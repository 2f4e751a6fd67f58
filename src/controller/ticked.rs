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
    budgets, burns, health,
    model::Model,
    observed::{OfSource, Ticked},
    progress, promotion, readiness,
    series::Series,
    signals::Readings,
    triggers,
};

/// What the ticks of a scope observe of its objects.
#[derive(Debug, Default)]
pub struct AllObservers {
    /// Of the health of dependencies.
    pub dependencies: Observers<health::State>,
    /// Of error budgets.
    pub budgets: Observers<budgets::State>,
    /// Of alerts on objectives.
    pub burns: Observers<burns::State>,
    /// Of canaries, whose requests they count.
    pub canaries: Observers<promotion::trial::State>,
    /// Of the metric sources that versions wait for, to be canaries.
    pub sources: Observers<promotion::source::State>,
    /// Of servers that change versions.
    pub reloads: Observers<promotion::reports::State>,
    /// Of the inputs of trainings.
    pub inputs: Observers<readiness::State>,
    /// Of the progress of trainings.
    pub progress: Observers<progress::State>,
    /// Of the triggers of trainings.
    pub triggers: Observers<triggers::State>,
}

impl AllObservers {
    fn all(&self) -> [&dyn Observe; 9] {
        let Self { dependencies, budgets, burns, canaries, sources, reloads, inputs, progress, triggers } = self;
        [dependencies, budgets, burns, canaries, sources, reloads, inputs, progress, triggers]
    }

    /// Whether any object uses a source for which `of` is true.
    pub fn reads(&self, of: &dyn Fn(&str) -> bool) -> bool {
        self.all().into_iter().any(|observers| observers.reads(of))
    }

    /// The series that any object whose source is `of` demands.
    pub fn demanded(&self, of: &dyn Fn(&str) -> bool) -> BTreeSet<Series> {
        self.all().into_iter().flat_map(|observers| observers.demanded(of)).collect()
    }

    /// Observes all objects whose source is `of`. Returns the objects to enqueue. `readings`: none when no such source is
    /// configured.
    pub fn tick(
        &self,
        of: &dyn Fn(&str) -> bool,
        readings: Option<&Readings>,
        now: Timestamp,
    ) -> Vec<ObjectRef<Guarded>> {
        self.all().into_iter().flat_map(|observers| observers.tick(of, readings, now)).collect()
    }

    /// Removes a deleted object.
    pub fn forget(&self, uid: &str) {
        self.all().into_iter().for_each(|observers| observers.forget(uid));
    }
}

/// What ticks do with all observers alike, and [`AllObservers`] with all of them.
pub trait Observe {
    /// See [`AllObservers::reads`].
    fn reads(&self, of: &dyn Fn(&str) -> bool) -> bool;

    /// See [`AllObservers::demanded`].
    fn demanded(&self, of: &dyn Fn(&str) -> bool) -> BTreeSet<Series>;

    /// See [`AllObservers::tick`].
    fn tick(&self, of: &dyn Fn(&str) -> bool, readings: Option<&Readings>, now: Timestamp) -> Vec<ObjectRef<Guarded>>;

    /// See [`AllObservers::forget`].
    fn forget(&self, uid: &str);
}

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

    fn lock(&self) -> MutexGuard<'_, HashMap<String, S>> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl<S: Ticked> Observe for Observers<S> {
    fn reads(&self, of: &dyn Fn(&str) -> bool) -> bool {
        self.lock().values().any(|state| of(&state.object().source))
    }

    fn demanded(&self, of: &dyn Fn(&str) -> bool) -> BTreeSet<Series> {
        let objects = self.lock();
        objects.values().filter(|state| of(&state.object().source)).flat_map(Ticked::demanded).collect()
    }

    fn tick(&self, of: &dyn Fn(&str) -> bool, readings: Option<&Readings>, now: Timestamp) -> Vec<ObjectRef<Guarded>> {
        let mut objects = self.lock();
        let changed = objects.values_mut().filter(|state| of(&state.object().source));
        let changed = changed.filter_map(|state| state.tick(readings, now).then_some(&*state));
        let reference = |OfSource { namespace, name, .. }: &OfSource| ObjectRef::new(name).within(namespace);
        changed.map(|state| reference(state.object())).collect()
    }

    fn forget(&self, uid: &str) {
        self.lock().remove(uid);
    }
}
