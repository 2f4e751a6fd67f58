//! A child as last observed.

use std::hash::{DefaultHasher, Hash, Hasher};

use k8s_openapi::apimachinery::pkg::apis::meta::v1::OwnerReference;
use kube::core::ObjectMeta;

use super::{ChildState, PodState, fields};
use crate::{
    api::{FIELD_MANAGER, HASH_ANNOTATION, MANAGED_BY_LABEL, MODEL_LABEL, MODEL_NAME_ANNOTATION},
    child::Child,
};

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
    /// Whether we have written it and it has no owner, as after the restore of a backup.
    pub is_orphan: bool,
    /// Hash of the configuration it has, by its annotation.
    pub hash: Option<String>,
    /// Hash of the configuration that we wrote last, which an apply of an old copy by another manager does not change. None
    /// after a restart, until our next write.
    pub written: Option<String>,
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
    pub(super) fn new(meta: &ObjectMeta, state: ChildState, pod: Option<PodState>) -> Option<Self> {
        let ours = fields::ours(meta.managed_fields.as_deref());
        Some(Self {
            uid: meta.uid.clone()?,
            version: meta.resource_version.as_ref()?.parse().ok()?,
            model: model_of(meta)?,
            controller: controller(meta).map(|owner| owner.uid.clone()),
            deleting: meta.deletion_timestamp.is_some(),
            is_orphan: is_orphan(meta),
            hash: annotation(meta, HASH_ANNOTATION),
            written: None,
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

    /// Whether another manager has changed an object that is not as desired: the desired configuration is the one it has, or
    /// the one that we wrote last.
    pub fn has_drifted(&self, desired: &Child) -> bool {
        [&self.hash, &self.written].into_iter().any(|hash| hash.as_ref() == Some(&desired.hash))
    }

    /// Whether its owner is a deleted `RecommenderModel` of the same name. Only for children that are not owned by the
    /// existing one.
    pub fn outlived(&self, name: &str) -> bool {
        self.controller.is_some() && self.model == name
    }

    /// Records that the object was compared with the desired one and needs no apply.
    pub(super) fn confirm(&mut self) {
        self.fields = Fields::Checked(self.fields_hash());
    }

    /// Takes over what an earlier observation has and this one lacks: what we wrote last, and that our fields were checked.
    pub(super) fn keep(&mut self, before: &Self) {
        if self.written.is_none() {
            self.keep_written(before);
        }
        if before.same_fields(self) {
            self.fields = before.fields.clone();
        }
    }

    /// Takes over what we wrote last from the response to that write.
    pub(super) fn keep_written(&mut self, response: &Self) {
        if self.uid == response.uid && response.written.is_some() {
            self.written.clone_from(&response.written);
        }
    }

    /// An object whose controller has the UID `uid`, for tests.
    #[cfg(test)]
    pub(super) fn example(name: &str, state: ChildState, pod: Option<PodState>) -> Self {
        Self {
            uid: name.into(),
            version: 1,
            model: "packages".into(),
            controller: Some("uid".into()),
            deleting: false,
            is_orphan: false,
            hash: None,
            written: None,
            owns_replicas: false,
            has_unconverted: false,
            fields: Fields::Checked(0),
            state,
            pod,
        }
    }

    /// Whether nothing but the resource version differs.
    pub(super) fn is_same_but_for_version(&self, later: &Self) -> bool {
        Self { version: later.version, ..self.clone() } == *later
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

/// The name of the `RecommenderModel` that an object belongs to: its controller, or for pods, whose controller is a Job
/// or ReplicaSet, an annotation. Of an object without any owner that we have written, as a restored backup has them, it is
/// the label with the base of the name. Otherwise labels are not used, because people edit them.
pub(super) fn model_of(meta: &ObjectMeta) -> Option<String> {
    let owner = controller(meta).filter(|owner| owner.kind == "RecommenderModel");
    owner
        .map(|owner| owner.name.clone())
        .or_else(|| annotation(meta, MODEL_NAME_ANNOTATION))
        .or_else(|| label(meta, MODEL_LABEL).filter(|_| is_orphan(meta)))
}

/// Whether an object that we have written has no owner.
fn is_orphan(meta: &ObjectMeta) -> bool {
    meta.owner_references.as_ref().is_none_or(Vec::is_empty)
        && annotation(meta, HASH_ANNOTATION).is_some()
        && label(meta, MANAGED_BY_LABEL).as_deref() == Some(FIELD_MANAGER)
}

/// The owner that controls an object. It may have further owners that do not.
pub fn controller(meta: &ObjectMeta) -> Option<&OwnerReference> {
    meta.owner_references.iter().flatten().find(|owner| owner.controller == Some(true))
}

fn label(meta: &ObjectMeta, name: &str) -> Option<String> {
    meta.labels.as_ref()?.get(name).cloned()
}

fn annotation(meta: &ObjectMeta, name: &str) -> Option<String> {
    meta.annotations.as_ref()?.get(name).cloned()
}
