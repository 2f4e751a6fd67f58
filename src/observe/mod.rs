//! What is in the cluster of every object's children, as the watches tell, trimmed to what decisions need.

mod facts;
mod fields;
mod foreign;
mod watch;

use std::{
    collections::{BTreeMap, HashMap, HashSet, hash_map::DefaultHasher},
    hash::{Hash, Hasher},
    sync::{
        Mutex, MutexGuard, PoisonError,
        atomic::{AtomicU32, Ordering},
    },
};

pub use facts::*;
use foreign::Foreign;
pub use foreign::ForeignAutoscaler;
use jiff::Timestamp;
use k8s_openapi::apimachinery::pkg::apis::meta::v1::OwnerReference;
use kube::core::ObjectMeta;
pub use watch::{Scope, Touched, WATCH_SECONDS, watch, watch_children};

use crate::{
    api::{HASH_ANNOTATION, MODEL_NAME_ANNOTATION},
    model::names,
    render::{Child, Kind},
};

/// What is watched.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub enum Watched {
    /// A kind of child.
    Child(Kind),
    /// The pods of children.
    Pod,
}

/// One object as it was last seen.
#[derive(Clone, Debug, PartialEq)]
pub struct Seen {
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
    /// The hash of what we last applied.
    pub hash: Option<String>,
    /// Whether we own `spec.replicas`.
    pub owns_replicas: bool,
    /// The fields we own.
    fields: Fields,
    /// Its state.
    pub facts: Facts,
    /// Its state, of a pod.
    pub pod: Option<PodFacts>,
}

/// The fields we own of an object: as text until they were once held against what is wanted, then as a hash.
#[derive(Clone, Debug, PartialEq)]
enum Fields {
    Unchecked(Box<str>),
    Checked(u64),
}

impl Seen {
    /// Reads an object's metadata. None when it belongs to no `RecommenderModel`.
    fn new(meta: &ObjectMeta, facts: Facts, pod: Option<PodFacts>) -> Option<Self> {
        let ours = fields::ours(meta.managed_fields.as_deref());
        Some(Self {
            uid: meta.uid.clone()?,
            version: meta.resource_version.as_ref()?.parse().ok()?,
            model: model_of(meta)?,
            controller: controller(meta).map(|owner| owner.uid.clone()),
            deleting: meta.deletion_timestamp.is_some(),
            hash: annotation(meta, HASH_ANNOTATION),
            owns_replicas: fields::has_spec_field(&ours, "replicas"),
            fields: Fields::Unchecked(ours.into()),
            facts,
            pod,
        })
    }

    /// Whether the object is as `wanted` was last applied: it carries its hash, and nobody took a field of it from us.
    pub fn is_as_applied(&self, wanted: &Child) -> bool {
        self.hash.as_deref() == Some(&wanted.hash)
            && match &self.fields {
                Fields::Checked(_) => true,
                Fields::Unchecked(fields) => fields::covers(fields, &wanted.object),
            }
    }

    /// Whether its owner is a deleted `RecommenderModel` of the same name, as seen from the one that lives.
    pub fn outlived(&self, name: &str) -> bool {
        self.controller.is_some() && self.model == name
    }

    /// Whether it is the same object, and nobody touched what we applied in between.
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

/// The children of one `RecommenderModel`.
#[derive(Clone, Debug, Default)]
pub struct Family {
    members: BTreeMap<(Watched, String), Seen>,
}

impl Family {
    /// A child by kind and name.
    pub fn child(&self, kind: Kind, name: &str) -> Option<&Seen> {
        self.members.get(&(Watched::Child(kind), name.to_owned()))
    }

    /// All children of a kind.
    pub fn of_kind(&self, kind: Kind) -> impl Iterator<Item = (&str, &Seen)> {
        self.children().filter(move |(of, ..)| *of == kind).map(|(_, name, seen)| (name, seen))
    }

    /// All children of a kind that the object of a UID controls.
    pub fn owned(&self, kind: Kind, uid: &str) -> impl Iterator<Item = (&str, &Seen)> {
        self.of_kind(kind).filter(move |(_, seen)| seen.controller.as_deref() == Some(uid))
    }

    /// The state of the Deployment of a name that the object of a UID controls; none when there is no such Deployment,
    /// and before the watch has told its state.
    pub fn deployment(&self, name: &str, uid: &str) -> Option<&DeploymentFacts> {
        match self.facts(Kind::Deployment, name, uid)? {
            Facts::Deployment(facts) => Some(facts),
            _ => None,
        }
    }

    /// The state of the autoscaler of a name that the object of a UID controls; none when there is no such autoscaler,
    /// and before the watch has told its state. An autoscaler has the name of its Deployment.
    pub fn autoscaler(&self, name: &str, uid: &str) -> Option<&AutoscalerFacts> {
        match self.facts(Kind::HorizontalPodAutoscaler, name, uid)? {
            Facts::Autoscaler(facts) => Some(facts),
            _ => None,
        }
    }

    fn facts(&self, kind: Kind, name: &str, uid: &str) -> Option<&Facts> {
        self.child(kind, name).filter(|seen| seen.controller.as_deref() == Some(uid)).map(|seen| &seen.facts)
    }

    /// All children, pods left out.
    pub fn children(&self) -> impl Iterator<Item = (Kind, &str, &Seen)> {
        self.members.iter().filter_map(|((watched, name), seen)| match watched {
            Watched::Child(kind) => Some((*kind, name.as_str(), seen)),
            Watched::Pod => None,
        })
    }

    /// All pods.
    pub fn pods(&self) -> impl Iterator<Item = &PodFacts> {
        self.members.values().filter_map(|seen| seen.pod.as_ref())
    }

    /// A family of children of the UID `uid`, for tests.
    #[cfg(test)]
    pub fn with(mut self, watched: Watched, name: &str, facts: Facts, pod: Option<PodFacts>) -> Self {
        let seen = Seen {
            uid: name.into(),
            version: 1,
            model: "packages".into(),
            controller: Some("uid".into()),
            deleting: false,
            hash: None,
            owns_replicas: false,
            fields: Fields::Checked(0),
            facts,
            pod,
        };
        self.members.insert((watched, name.to_owned()), seen);
        self
    }
}

/// Whose children: namespace and base name.
type FamilyKey = (String, String);

/// Everything that was seen. Filled by the watches and by the answers to our own writes.
#[derive(Debug, Default)]
pub struct World {
    families: Mutex<HashMap<FamilyKey, Family>>,
    /// How far each watch has told what happened: the highest resource version of its changes and deletions.
    told: Mutex<HashMap<Watched, u64>>,
    /// Watches that have not delivered their first list yet.
    loading: AtomicU32,
    /// Optional kinds that the cluster does not have.
    missing: Mutex<HashSet<Kind>>,
    /// Autoscalers of others.
    foreign: Mutex<Foreign>,
}

impl World {
    /// The children of an object, as they were last seen.
    pub fn family(&self, namespace: &str, base: &str) -> Family {
        lock(&self.families).get(&(namespace.to_owned(), base.to_owned())).cloned().unwrap_or_default()
    }

    /// Whether every watch has delivered its first list. Before, something that is not seen may still be there.
    pub fn is_loaded(&self) -> bool {
        self.loading.load(Ordering::Acquire) == 0
    }

    /// Whether the cluster has a kind.
    pub fn has_kind(&self, kind: Kind) -> bool {
        !lock(&self.missing).contains(&kind)
    }

    /// Takes note of what the API server answered to a write of ours, so that the next look does not wait for the
    /// watch. Returns the child as the answer shows it.
    pub fn record(&self, kind: Kind, meta: &ObjectMeta) -> Option<Seen> {
        let watched = Watched::Child(kind);
        let mut families = lock(&self.families);
        let before = families.get(&key(meta)?).and_then(|family| family.child(kind, meta.name.as_deref()?));
        let before = before.filter(|before| Some(&before.uid) == meta.uid.as_ref());
        let is_known = before.is_some();
        // The state is the watch's business; a write of ours does not change it.
        let mut facts = before.map_or_else(|| facts::of_new(kind, meta), |before| before.facts.clone());
        if let Facts::Deployment(deployment) = &mut facts {
            deployment.applied_generation = meta.generation.unwrap_or_default();
        }
        let seen = Seen::new(meta, facts, None)?;
        // The watch is past this write and knows no such child: it was deleted since, and nobody would tell again.
        let is_past = lock(&self.told).get(&watched).is_some_and(|told| seen.version <= *told);
        if is_known || !is_past {
            insert(&mut families, watched, meta, seen.clone());
        }
        Some(seen)
    }

    /// Takes note that a watch is about to tell of a change or deletion.
    fn tells(&self, watched: Watched, meta: &ObjectMeta) {
        let version: Option<u64> = meta.resource_version.as_ref().and_then(|version| version.parse().ok());
        let mut told = lock(&self.told);
        let told = told.entry(watched).or_default();
        *told = version.unwrap_or_default().max(*told);
    }

    /// Takes note that a child was held against what is wanted, and is so.
    pub fn confirm(&self, namespace: &str, base: &str, kind: Kind, name: &str) {
        let mut families = lock(&self.families);
        let family = families.get_mut(&(namespace.to_owned(), base.to_owned()));
        if let Some(seen) = family.and_then(|family| family.members.get_mut(&(Watched::Child(kind), name.to_owned()))) {
            seen.fields = Fields::Checked(seen.fields_hash());
        }
    }

    /// Records what a watch told at `now`. Returns whether anything that counts is different from before.
    fn put(&self, watched: Watched, meta: &ObjectMeta, mut seen: Seen, now: Timestamp) -> bool {
        let mut families = lock(&self.families);
        let member = meta.name.clone().map(|name| (watched, name));
        let before = key(meta).and_then(|key| families.get(&key)?.members.get(&member?));
        if let Some(before) = before.filter(|before| before.uid == seen.uid) {
            seen.facts.keep(&before.facts, now);
            if let (Some(pod), Some(before)) = (&mut seen.pod, &before.pod) {
                pod.keep(before);
            }
        }
        insert(&mut families, watched, meta, seen)
    }

    /// Forgets an object. Returns (namespace, model) of whom it belonged to.
    fn remove(&self, watched: Watched, meta: &ObjectMeta) -> Option<(String, String)> {
        let (key, name) = (key(meta)?, meta.name.clone()?);
        let mut families = lock(&self.families);
        let family = families.get_mut(&key)?;
        let seen = family.members.get(&(watched, name.clone()))?;
        if Some(&seen.uid) != meta.uid.as_ref() {
            return None; // a later object of that name is there already
        }
        let model = (key.0.clone(), seen.model.clone());
        family.members.remove(&(watched, name));
        if family.members.is_empty() {
            families.remove(&key);
        }
        Some(model)
    }

    /// Forgets an object that has become nobody's, as its owner reference was removed. Returns (namespace, model) of whom
    /// it belonged to.
    fn disown(&self, watched: Watched, meta: &ObjectMeta) -> Option<(String, String)> {
        let (namespace, name) = (meta.namespace.clone()?, meta.name.clone()?);
        let mut families = lock(&self.families);
        // Whose it was is not said any more, save by its name.
        let keys = names::bases(&name).map(|base| (namespace.clone(), base.to_owned()));
        let member = (watched, name.clone());
        let is_member =
            |family: &Family| family.members.get(&member).is_some_and(|s| Some(&s.uid) == meta.uid.as_ref());
        let key = keys.into_iter().find(|key| families.get(key).is_some_and(is_member))?;
        let family = families.get_mut(&key)?;
        let seen = family.members.remove(&member)?;
        if family.members.is_empty() {
            families.remove(&key);
        }
        Some((namespace, seen.model))
    }

    /// Forgets all objects of a kind that a new list did not have. Returns (namespace, model) of those concerned.
    fn retain(&self, watched: Watched, listed: &HashSet<String>) -> Vec<(String, String)> {
        let mut gone = Vec::new();
        if watched == Watched::Child(Kind::HorizontalPodAutoscaler) {
            gone = self.retain_movers(listed);
        }
        lock(&self.families).retain(|(namespace, _), family| {
            family.members.retain(|(of, _), seen| {
                let keep = *of != watched || listed.contains(&seen.uid);
                if !keep {
                    gone.push((namespace.clone(), seen.model.clone()));
                }
                keep
            });
            !family.members.is_empty()
        });
        gone
    }

    fn expect_list(&self) {
        self.loading.fetch_add(1, Ordering::AcqRel);
    }

    fn list_arrived(&self) {
        self.loading.fetch_sub(1, Ordering::AcqRel);
    }

    /// Returns whether this is news.
    fn set_missing(&self, kind: Kind, missing: bool) -> bool {
        let mut set = lock(&self.missing);
        if missing { set.insert(kind) } else { set.remove(&kind) }
    }
}

/// Puts an object into its family. Returns whether anything that counts is different from before.
fn insert(families: &mut HashMap<FamilyKey, Family>, watched: Watched, meta: &ObjectMeta, mut seen: Seen) -> bool {
    let (Some(key), Some(name)) = (key(meta), meta.name.clone()) else {
        return false;
    };
    let members = &mut families.entry(key).or_default().members;
    let before = members.get(&(watched, name.clone()));
    match before {
        // The watch may be behind our own writes.
        Some(before) if before.version > seen.version => return false,
        Some(before) if before.same_fields(&seen) => seen.fields = before.fields.clone(),
        _ => {}
    }
    let changed = before.is_none_or(|before| Seen { version: seen.version, ..before.clone() } != seen);
    members.insert((watched, name), seen);
    changed
}

fn key(meta: &ObjectMeta) -> Option<FamilyKey> {
    Some((meta.namespace.clone()?, names::base(&model_of(meta)?)))
}

/// The name of the `RecommenderModel` that an object belongs to: its controller, or for pods, whose controller is a Job
/// or ReplicaSet, an annotation. Labels are not asked: people edit them.
fn model_of(meta: &ObjectMeta) -> Option<String> {
    let owner = controller(meta).filter(|owner| owner.kind == "RecommenderModel");
    owner.map(|owner| owner.name.clone()).or_else(|| annotation(meta, MODEL_NAME_ANNOTATION))
}

/// The owner that manages an object; others may merely hold it.
pub fn controller(meta: &ObjectMeta) -> Option<&OwnerReference> {
    meta.owner_references.iter().flatten().find(|owner| owner.controller == Some(true))
}

fn annotation(meta: &ObjectMeta, name: &str) -> Option<String> {
    meta.annotations.as_ref()?.get(name).cloned()
}

/// A poisoned lock means that a thread panicked while it held it; the data are replaced whole, so they are usable.
fn lock<T>(mutex: &Mutex<T>) -> MutexGuard<'_, T> {
    mutex.lock().unwrap_or_else(PoisonError::into_inner)
}

#[cfg(test)]
mod tests;
