//! The cached children of all objects.

use std::{
    collections::{HashMap, HashSet},
    sync::{
        Mutex, MutexGuard, PoisonError,
        atomic::{AtomicU32, Ordering},
    },
};

use jiff::Timestamp;
use kube::core::ObjectMeta;

use super::{ChildState, Children, ObservedChild, Watched, child::model_of, external::External, state};
use crate::{kinds::Kind, names};

/// Identifies a model: namespace and base name.
type ModelKey = (String, String);

/// The cached children of all models. Filled by the watches and by the responses to our own writes.
#[derive(Debug, Default)]
pub struct Cache {
    pub(super) models: Mutex<HashMap<ModelKey, Children>>,
    /// Progress of each watch: the highest resource version of the changes and deletions it delivered.
    reported: Mutex<HashMap<Watched, u64>>,
    /// Number of watches that have not delivered their first list yet.
    loading: AtomicU32,
    /// Optional kinds that the cluster does not have.
    missing: Mutex<HashSet<Kind>>,
    /// External autoscalers.
    pub(super) external: Mutex<External>,
}

impl Cache {
    /// The children of an object, as last observed.
    pub fn children(&self, namespace: &str, base: &str) -> Children {
        lock(&self.models).get(&(namespace.to_owned(), base.to_owned())).cloned().unwrap_or_default()
    }

    /// The objects of which a training Job has not ended: their UIDs and namespaces.
    pub fn active_trainings(&self) -> Vec<(String, String)> {
        let models = lock(&self.models);
        let jobs = models
            .iter()
            .flat_map(|((namespace, _), children)| children.of_kind(Kind::Job).map(move |(_, job)| (namespace, job)));
        let is_active = |job: &ObservedChild| match &job.state {
            ChildState::Job(job) => job.end.is_none(),
            ChildState::Prune(_) => false,
            _ => true,
        };
        jobs.filter(|(_, job)| is_active(job))
            .filter_map(|(namespace, job)| Some((job.controller.clone()?, namespace.clone())))
            .collect()
    }

    /// Whether every watch has delivered its first list. Until then an object that is not in the cache may still exist.
    pub fn is_loaded(&self) -> bool {
        self.loading.load(Ordering::Acquire) == 0
    }

    /// Whether the cluster has a kind and lets us list it.
    pub fn has_kind(&self, kind: Kind) -> bool {
        !lock(&self.missing).contains(&kind)
    }

    /// Records the response of the API server to one of our writes of a child, so that the next reconcile does not depend on
    /// the watch. Returns the child as in the response.
    pub fn record_write(&self, kind: Kind, meta: &ObjectMeta) -> Option<ObservedChild> {
        let mut observed = ObservedChild::new(meta, ChildState::Nothing, None)?;
        observed.written.clone_from(&observed.hash);
        self.record_response(kind, meta, observed)
    }

    /// Records the response of the API server to a read of a child, as [`Self::record_write`] does.
    pub fn record_read(&self, kind: Kind, meta: &ObjectMeta) -> Option<ObservedChild> {
        self.record_response(kind, meta, ObservedChild::new(meta, ChildState::Nothing, None)?)
    }

    fn record_response(&self, kind: Kind, meta: &ObjectMeta, mut observed: ObservedChild) -> Option<ObservedChild> {
        let watched = Watched::Child(kind);
        let mut models = lock(&self.models);
        let before = models.get(&key(meta)?).and_then(|children| children.child(kind, meta.name.as_deref()?));
        let before = before.filter(|before| Some(&before.uid) == meta.uid.as_ref());
        let is_known = before.is_some();
        // Only the watch delivers the state; our write does not change it, but for that of a ConfigMap, which is in its metadata.
        observed.state = match before {
            Some(before) if kind != Kind::ConfigMap => before.state.clone(),
            _ => state::of_new(kind, meta),
        };
        if let ChildState::Deployment(deployment) = &mut observed.state {
            deployment.applied_generation = meta.generation.unwrap_or_default();
        }
        // The watch is past this write and the child is not cached, so it was deleted since. No further event would
        // remove it from the cache.
        let is_past = lock(&self.reported).get(&watched).is_some_and(|reported| observed.version <= *reported);
        if is_known || !is_past {
            insert(&mut models, watched, meta, observed.clone());
        }
        Some(observed)
    }

    /// Records the progress of a watch, before the change or deletion it delivered is put into the cache.
    pub(super) fn record_progress(&self, watched: Watched, meta: &ObjectMeta) {
        let version: Option<u64> = meta.resource_version.as_ref().and_then(|version| version.parse().ok());
        let mut reported = lock(&self.reported);
        let reported = reported.entry(watched).or_default();
        *reported = version.unwrap_or_default().max(*reported);
    }

    /// Records that a child was compared with the desired object and needs no apply.
    pub fn confirm(&self, namespace: &str, base: &str, kind: Kind, name: &str) {
        let mut models = lock(&self.models);
        let children = models.get_mut(&(namespace.to_owned(), base.to_owned()));
        if let Some(observed) =
            children.and_then(|children| children.members.get_mut(&(Watched::Child(kind), name.to_owned())))
        {
            observed.confirm();
        }
    }

    /// Records an object that a watch delivered at `now`. Returns whether more than its resource version changed.
    pub(super) fn put(&self, watched: Watched, meta: &ObjectMeta, mut observed: ObservedChild, now: Timestamp) -> bool {
        let mut models = lock(&self.models);
        let member = meta.name.clone().map(|name| (watched, name));
        let before = key(meta).and_then(|key| models.get(&key)?.members.get(&member?));
        if let Some(before) = before.filter(|before| before.uid == observed.uid) {
            observed.state.keep(&before.state, now);
            if let (Some(pod), Some(before)) = (&mut observed.pod, &before.pod) {
                pod.keep(before);
            }
        }
        insert(&mut models, watched, meta, observed)
    }

    /// Records an object as if its watch had delivered it.
    #[cfg(test)]
    pub fn show(&self, watched: Watched, object: serde_json::Value) {
        let meta: ObjectMeta = serde_json::from_value(object["metadata"].clone()).expect("metadata");
        let (state, pod) = match watched {
            Watched::Child(Kind::Deployment) => (state::deployment(&parsed(object)), None),
            Watched::Child(Kind::Job) => (state::job(&parsed(object)), None),
            Watched::Child(Kind::HorizontalPodAutoscaler) => (state::autoscaler(&parsed(object)), None),
            Watched::Child(Kind::HTTPRoute) => (super::route::route(&parsed(object)), None),
            Watched::Child(kind) => (state::of_metadata(kind, &meta), None),
            Watched::Pod => (ChildState::Nothing, Some(state::pod(&parsed(object)))),
        };
        let observed = ObservedChild::new(&meta, state, pod).expect("it belongs to an object");
        self.put(watched, &meta, observed, Timestamp::now());
    }

    /// Removes an object. Returns (namespace, model) it belonged to; none when it is not cached.
    pub(crate) fn remove(&self, watched: Watched, meta: &ObjectMeta) -> Option<(String, String)> {
        let (key, name) = (key(meta)?, meta.name.clone()?);
        let mut models = lock(&self.models);
        let children = models.get_mut(&key)?;
        let observed = children.members.get(&(watched, name.clone()))?;
        if Some(&observed.uid) != meta.uid.as_ref() {
            return None; // a later object of that name is cached already
        }
        let model = (key.0.clone(), observed.model.clone());
        children.members.remove(&(watched, name));
        if children.members.is_empty() {
            models.remove(&key);
        }
        Some(model)
    }

    /// Removes an object whose owner reference was removed. Returns (namespace, model) it belonged to; none when it is
    /// not cached.
    pub(super) fn disown(&self, watched: Watched, meta: &ObjectMeta) -> Option<(String, String)> {
        let (namespace, name) = (meta.namespace.clone()?, meta.name.clone()?);
        let mut models = lock(&self.models);
        // Without the owner reference only the name shows which model it belonged to.
        let keys = names::bases(&name).map(|base| (namespace.clone(), base.to_owned()));
        let member = (watched, name.clone());
        let is_member =
            |children: &Children| children.members.get(&member).is_some_and(|s| Some(&s.uid) == meta.uid.as_ref());
        let key = keys.into_iter().find(|key| models.get(key).is_some_and(is_member))?;
        let children = models.get_mut(&key)?;
        let observed = children.members.remove(&member)?;
        if children.members.is_empty() {
            models.remove(&key);
        }
        Some((namespace, observed.model))
    }

    /// Removes all objects of a kind that a new list does not contain. Returns (namespace, model) of each.
    pub(super) fn retain(&self, watched: Watched, listed: &HashSet<String>) -> Vec<(String, String)> {
        let mut gone = Vec::new();
        if watched == Watched::Child(Kind::HorizontalPodAutoscaler) {
            gone = self.retain_external(listed);
        }
        lock(&self.models).retain(|(namespace, _), children| {
            children.members.retain(|(of, _), observed| {
                let keep = *of != watched || listed.contains(&observed.uid);
                if !keep {
                    gone.push((namespace.clone(), observed.model.clone()));
                }
                keep
            });
            !children.members.is_empty()
        });
        gone
    }

    pub(crate) fn expect_list(&self) {
        self.loading.fetch_add(1, Ordering::AcqRel);
    }

    pub(crate) fn list_arrived(&self) {
        self.loading.fetch_sub(1, Ordering::AcqRel);
    }

    /// Records whether a kind is missing in the cluster. Returns whether that changed.
    pub(crate) fn set_missing(&self, kind: Kind, missing: bool) -> bool {
        let mut set = lock(&self.missing);
        if missing { set.insert(kind) } else { set.remove(&kind) }
    }
}

/// Puts an object among the children of its model. Returns whether more than its resource version changed.
fn insert(
    models: &mut HashMap<ModelKey, Children>,
    watched: Watched,
    meta: &ObjectMeta,
    mut observed: ObservedChild,
) -> bool {
    let (Some(key), Some(name)) = (key(meta), meta.name.clone()) else {
        return false;
    };
    let members = &mut models.entry(key).or_default().members;
    let changed = match members.get_mut(&(watched, name.clone())) {
        // The watch may lag behind our own writes, and the response to a write behind the watch.
        Some(newer) if newer.version > observed.version => {
            newer.keep_written(&observed);
            return false;
        }
        Some(before) => {
            observed.keep(before);
            !before.is_same_but_for_version(&observed)
        }
        None => true,
    };
    members.insert((watched, name), observed);
    changed
}

fn key(meta: &ObjectMeta) -> Option<ModelKey> {
    Some((meta.namespace.clone()?, names::base(&model_of(meta)?)))
}

#[cfg(test)]
fn parsed<K: serde::de::DeserializeOwned>(object: serde_json::Value) -> K {
    serde_json::from_value(object).expect("an object of its kind")
}

/// Locks a mutex, also a poisoned one: a thread panicked while it held the lock, but the data are replaced as a whole and
/// stay usable.
pub(super) fn lock<T>(mutex: &Mutex<T>) -> MutexGuard<'_, T> {
    mutex.lock().unwrap_or_else(PoisonError::into_inner)
}
