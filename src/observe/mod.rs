//! The cache of every object's children, filled by the watches and reduced to what decisions need.

mod external;
mod fields;
mod state;
mod watch;

use std::{
    collections::{BTreeMap, HashMap, HashSet, hash_map::DefaultHasher},
    hash::{Hash, Hasher},
    sync::{
        Mutex, MutexGuard, PoisonError,
        atomic::{AtomicU32, Ordering},
    },
};

use external::External;
pub use external::ExternalAutoscaler;
#[cfg(test)]
pub(crate) use fields::tests::entry as owned_entry;
pub(crate) use fields::{APPLY, UPDATE, is_key_of, is_ours};
use jiff::Timestamp;
use k8s_openapi::apimachinery::pkg::apis::meta::v1::OwnerReference;
use kube::core::ObjectMeta;
pub use state::*;
pub use watch::{Enqueue, Scope, WATCH_SECONDS, watch, watch_children};

use crate::{
    api::{HASH_ANNOTATION, MODEL_NAME_ANNOTATION},
    kinds::Kind,
    model::names,
    render::Child,
};

/// What is watched.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub enum Watched {
    /// A kind of child.
    Child(Kind),
    /// The pods of children.
    Pod,
}

/// A child, or a pod of one, as last observed.
#[derive(Clone, Debug, PartialEq)]
pub struct ObservedChild {
    /// Its UID.
    pub uid: String,
    /// Its resource version, as a number.
    pub version: u64,
    /// The `RecommenderModel` it belongs to.
    pub model: String,
    /// UID of its controller; none when it has none.
    pub controller: Option<String>,
    /// Whether it is being deleted.
    pub deleting: bool,
    /// Hash of the configuration we applied last.
    pub hash: Option<String>,
    /// Whether we own `spec.replicas`.
    pub owns_replicas: bool,
    /// Whether we own fields from other writes than applies, such as its creation: an apply would not remove those.
    pub has_unconverted: bool,
    /// The fields we own.
    fields: Fields,
    /// Its state beyond the metadata; [`ChildState::Nothing`] for a pod.
    pub state: ChildState,
    /// The state of a pod; none for a child.
    pub pod: Option<PodState>,
}

/// The fields we own of an object: as text until they are first compared with the desired object, as a hash afterwards.
#[derive(Clone, Debug, PartialEq)]
enum Fields {
    Unchecked(Box<str>),
    Checked(u64),
}

impl ObservedChild {
    /// Reads an object's metadata. None when it belongs to no `RecommenderModel`.
    fn new(meta: &ObjectMeta, state: ChildState, pod: Option<PodState>) -> Option<Self> {
        let ours = fields::ours(meta.managed_fields.as_deref());
        Some(Self {
            uid: meta.uid.clone()?,
            version: meta.resource_version.as_ref()?.parse().ok()?,
            model: model_of(meta)?,
            controller: controller(meta).map(|owner| owner.uid.clone()),
            deleting: meta.deletion_timestamp.is_some(),
            hash: annotation(meta, HASH_ANNOTATION),
            owns_replicas: ours.owns_replicas,
            has_unconverted: ours.has_unconverted,
            fields: Fields::Unchecked(ours.fields.into()),
            state,
            pod,
        })
    }

    /// Whether the object needs no apply: it has the hash of `desired`, and no other manager has taken over a field of it.
    pub fn is_as_applied(&self, desired: &Child) -> bool {
        self.hash.as_deref() == Some(&desired.hash)
            && match &self.fields {
                Fields::Checked(_) => true,
                Fields::Unchecked(fields) => fields::covers(fields, &desired.object),
            }
    }

    /// Whether its owner is a deleted `RecommenderModel` of the same name. Only for children that are not owned by the
    /// existing one.
    pub fn outlived(&self, name: &str) -> bool {
        self.controller.is_some() && self.model == name
    }

    /// Whether `later` is the same object, with the same hash and the same fields owned by us.
    fn same_fields(&self, later: &Self) -> bool {
        self.uid == later.uid && self.hash == later.hash && self.fields_hash() == later.fields_hash()
    }

    fn fields_hash(&self) -> u64 {
        match &self.fields {
            Fields::Checked(hash) => *hash,
            Fields::Unchecked(fields) => {
                let mut hasher = DefaultHasher::new();
                fields.hash(&mut hasher);
                hasher.finish()
            }
        }
    }
}

/// The children of one `RecommenderModel`, and their pods.
#[derive(Clone, Debug, Default)]
pub struct Children {
    members: BTreeMap<(Watched, String), ObservedChild>,
}

impl Children {
    /// A child by kind and name.
    pub fn child(&self, kind: Kind, name: &str) -> Option<&ObservedChild> {
        self.members.get(&(Watched::Child(kind), name.to_owned()))
    }

    /// All children of a kind.
    pub fn of_kind(&self, kind: Kind) -> impl Iterator<Item = (&str, &ObservedChild)> {
        self.iter().filter(move |(of, ..)| *of == kind).map(|(_, name, observed)| (name, observed))
    }

    /// All children of a kind whose controller has the UID `uid`.
    pub fn owned(&self, kind: Kind, uid: &str) -> impl Iterator<Item = (&str, &ObservedChild)> {
        self.of_kind(kind).filter(move |(_, observed)| observed.controller.as_deref() == Some(uid))
    }

    /// The state of the Deployment `name` whose controller has the UID `uid`. None when there is no such Deployment, or
    /// the watch has not delivered its state yet.
    pub fn deployment(&self, name: &str, uid: &str) -> Option<&DeploymentState> {
        match self.state(Kind::Deployment, name, uid)? {
            ChildState::Deployment(state) => Some(state),
            _ => None,
        }
    }

    /// The state of the autoscaler `name` whose controller has the UID `uid`. None when there is no such autoscaler, or
    /// the watch has not delivered its state yet. An autoscaler has the name of its Deployment.
    pub fn autoscaler(&self, name: &str, uid: &str) -> Option<&AutoscalerState> {
        match self.state(Kind::HorizontalPodAutoscaler, name, uid)? {
            ChildState::Autoscaler(state) => Some(state),
            _ => None,
        }
    }

    fn state(&self, kind: Kind, name: &str, uid: &str) -> Option<&ChildState> {
        self.child(kind, name)
            .filter(|observed| observed.controller.as_deref() == Some(uid))
            .map(|observed| &observed.state)
    }

    /// All children, without pods.
    pub fn iter(&self) -> impl Iterator<Item = (Kind, &str, &ObservedChild)> {
        self.members.iter().filter_map(|((watched, name), observed)| match watched {
            Watched::Child(kind) => Some((*kind, name.as_str(), observed)),
            Watched::Pod => None,
        })
    }

    /// All pods.
    pub fn pods(&self) -> impl Iterator<Item = &PodState> {
        self.members.values().filter_map(|observed| observed.pod.as_ref())
    }

    /// Adds an object whose controller has the UID `uid`, for tests.
    #[cfg(test)]
    pub fn with(mut self, watched: Watched, name: &str, state: ChildState, pod: Option<PodState>) -> Self {
        let observed = ObservedChild {
            uid: name.into(),
            version: 1,
            model: "packages".into(),
            controller: Some("uid".into()),
            deleting: false,
            hash: None,
            owns_replicas: false,
            has_unconverted: false,
            fields: Fields::Checked(0),
            state,
            pod,
        };
        self.members.insert((watched, name.to_owned()), observed);
        self
    }
}

/// Identifies a model: namespace and base name.
type ModelKey = (String, String);

/// The cached children of all models. Filled by the watches and by the responses to our own writes.
#[derive(Debug, Default)]
pub struct Cache {
    models: Mutex<HashMap<ModelKey, Children>>,
    /// Progress of each watch: the highest resource version of the changes and deletions it delivered.
    reported: Mutex<HashMap<Watched, u64>>,
    /// Number of watches that have not delivered their first list yet.
    loading: AtomicU32,
    /// Optional kinds that the cluster does not have.
    missing: Mutex<HashSet<Kind>>,
    /// External autoscalers.
    external: Mutex<External>,
}

impl Cache {
    /// The children of an object, as last observed.
    pub fn children(&self, namespace: &str, base: &str) -> Children {
        lock(&self.models).get(&(namespace.to_owned(), base.to_owned())).cloned().unwrap_or_default()
    }

    /// Whether every watch has delivered its first list. Until then an object that is not in the cache may still exist.
    pub fn is_loaded(&self) -> bool {
        self.loading.load(Ordering::Acquire) == 0
    }

    /// Whether the cluster has a kind and lets us list it.
    pub fn has_kind(&self, kind: Kind) -> bool {
        !lock(&self.missing).contains(&kind)
    }

    /// Records the response of the API server to one of our writes, so that the next reconcile does not depend on the
    /// watch. Returns the child as in the response.
    pub fn record(&self, kind: Kind, meta: &ObjectMeta) -> Option<ObservedChild> {
        let watched = Watched::Child(kind);
        let mut models = lock(&self.models);
        let before = models.get(&key(meta)?).and_then(|children| children.child(kind, meta.name.as_deref()?));
        let before = before.filter(|before| Some(&before.uid) == meta.uid.as_ref());
        let is_known = before.is_some();
        // Only the watch delivers the state; our write does not change it.
        let mut state = before.map_or_else(|| state::of_new(kind, meta), |before| before.state.clone());
        if let ChildState::Deployment(deployment) = &mut state {
            deployment.applied_generation = meta.generation.unwrap_or_default();
        }
        let observed = ObservedChild::new(meta, state, None)?;
        // The watch is past this write and the child is not cached, so it was deleted since. No further event would
        // remove it from the cache.
        let is_past = lock(&self.reported).get(&watched).is_some_and(|reported| observed.version <= *reported);
        if is_known || !is_past {
            insert(&mut models, watched, meta, observed.clone());
        }
        Some(observed)
    }

    /// Records the progress of a watch, before the change or deletion it delivered is put into the cache.
    fn record_progress(&self, watched: Watched, meta: &ObjectMeta) {
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
            observed.fields = Fields::Checked(observed.fields_hash());
        }
    }

    /// Records an object that a watch delivered at `now`. Returns whether more than its resource version changed.
    fn put(&self, watched: Watched, meta: &ObjectMeta, mut observed: ObservedChild, now: Timestamp) -> bool {
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
            Watched::Child(_) => (ChildState::Nothing, None),
            Watched::Pod => (ChildState::Nothing, Some(state::pod(&parsed(object)))),
        };
        let observed = ObservedChild::new(&meta, state, pod).expect("it belongs to an object");
        self.put(watched, &meta, observed, Timestamp::now());
    }

    /// Removes an object. Returns (namespace, model) it belonged to; none when it is not cached.
    fn remove(&self, watched: Watched, meta: &ObjectMeta) -> Option<(String, String)> {
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
    fn disown(&self, watched: Watched, meta: &ObjectMeta) -> Option<(String, String)> {
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
    fn retain(&self, watched: Watched, listed: &HashSet<String>) -> Vec<(String, String)> {
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
    let before = members.get(&(watched, name.clone()));
    match before {
        // The watch may lag behind our own writes.
        Some(before) if before.version > observed.version => return false,
        Some(before) if before.same_fields(&observed) => observed.fields = before.fields.clone(),
        _ => {}
    }
    let changed = before.is_none_or(|before| ObservedChild { version: observed.version, ..before.clone() } != observed);
    members.insert((watched, name), observed);
    changed
}

fn key(meta: &ObjectMeta) -> Option<ModelKey> {
    Some((meta.namespace.clone()?, names::base(&model_of(meta)?)))
}

/// The name of the `RecommenderModel` that an object belongs to: its controller, or for pods, whose controller is a Job
/// or ReplicaSet, an annotation. Labels are not used, because people edit them.
fn model_of(meta: &ObjectMeta) -> Option<String> {
    let owner = controller(meta).filter(|owner| owner.kind == "RecommenderModel");
    owner.map(|owner| owner.name.clone()).or_else(|| annotation(meta, MODEL_NAME_ANNOTATION))
}

/// The owner that controls an object. It may have further owners that do not.
pub fn controller(meta: &ObjectMeta) -> Option<&OwnerReference> {
    meta.owner_references.iter().flatten().find(|owner| owner.controller == Some(true))
}

fn annotation(meta: &ObjectMeta, name: &str) -> Option<String> {
    meta.annotations.as_ref()?.get(name).cloned()
}

#[cfg(test)]
fn parsed<K: serde::de::DeserializeOwned>(object: serde_json::Value) -> K {
    serde_json::from_value(object).expect("an object of its kind")
}

/// Locks a mutex, also a poisoned one: a thread panicked while it held the lock, but the data are replaced as a whole and
/// stay usable.
fn lock<T>(mutex: &Mutex<T>) -> MutexGuard<'_, T> {
    mutex.lock().unwrap_or_else(PoisonError::into_inner)
}

#[cfg(test)]
mod tests;
