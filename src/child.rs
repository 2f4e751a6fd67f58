//! A desired object.

use std::collections::BTreeMap;

use k8s_openapi::apimachinery::pkg::apis::meta::v1::{ObjectMeta, OwnerReference};
use serde::Serialize;
use serde_json::Value;
use sha2::{Digest, Sha256};

use crate::{
    api::{FIELD_MANAGER, HASH_ANNOTATION, MANAGED_BY_LABEL, MODEL_LABEL, STABLE_TRACK, TRACK_LABEL, TRAFFIC_LABEL},
    kinds::Kind,
    model::Identity,
};

/// A desired object.
#[derive(Clone, Debug, PartialEq)]
pub struct Child {
    /// Its kind.
    pub kind: Kind,
    /// Its name.
    pub name: String,
    /// The complete object to apply.
    pub object: Value,
    /// Hash of the object without its hash; stored in its annotation [`HASH_ANNOTATION`].
    pub hash: String,
    /// Initial replicas of an autoscaled Deployment. Its `spec.replicas` is not applied, because an autoscaler writes it.
    pub seed_replicas: Option<i32>,
}

impl Child {
    /// Completes an object: adds its API version, its kind and the hash of the whole.
    ///
    /// Cannot fail, because our types serialize to JSON objects by construction.
    pub fn new<T: Serialize>(kind: Kind, object: T) -> Self {
        let mut object = serde_json::to_value(object).unwrap_or_default();
        let resource = kind.resource();
        object["apiVersion"] = resource.api_version.into();
        object["kind"] = resource.kind.into();
        let hash = hash(&object);
        object["metadata"]["annotations"][HASH_ANNOTATION] = hash.clone().into();
        let name = object["metadata"]["name"].as_str().unwrap_or_default().to_owned();
        Self { kind, name, object, hash, seed_replicas: None }
    }
}

/// The first 16 hex digits of the SHA-256 of a value's JSON.
pub fn hash<T: Serialize>(value: &T) -> String {
    let json = serde_json::to_vec(value).unwrap_or_default();
    Sha256::digest(json).iter().take(8).map(|byte| format!("{byte:02x}")).collect()
}

/// The labels of every child.
pub fn labels(identity: &Identity, component: &str) -> BTreeMap<String, String> {
    let mut labels = selector(identity, component);
    labels.insert(MANAGED_BY_LABEL.into(), FIELD_MANAGER.into());
    labels.insert("app.kubernetes.io/name".into(), "recommender".into());
    labels.insert("app.kubernetes.io/instance".into(), identity.base.clone());
    labels
}

/// Labels that select the pods of a component. One of them has a key of our own, because Helm charts set the common labels
/// on their objects as well. They must never change: a Deployment's selector is immutable.
pub fn selector(identity: &Identity, component: &str) -> BTreeMap<String, String> {
    BTreeMap::from([
        (MODEL_LABEL.into(), identity.base.clone()),
        ("app.kubernetes.io/component".into(), component.into()),
    ])
}

/// Labels that select the pods of a Deployment: those of a component on the stable track.
pub fn track_selector(identity: &Identity, component: &str) -> BTreeMap<String, String> {
    on_track(identity, component, STABLE_TRACK)
}

/// Labels that select the pods of a component on a track.
pub fn on_track(identity: &Identity, component: &str, track: &str) -> BTreeMap<String, String> {
    let mut labels = selector(identity, component);
    labels.insert(TRACK_LABEL.into(), track.into());
    labels
}

/// Labels that select the pods that get requests, whatever Deployment they belong to.
pub fn traffic_selector(identity: &Identity) -> BTreeMap<String, String> {
    BTreeMap::from([(MODEL_LABEL.into(), identity.base.clone()), (TRAFFIC_LABEL.into(), "true".into())])
}

/// Labels that select the pods of a track that get requests.
pub fn traffic_of(identity: &Identity, track: &str) -> BTreeMap<String, String> {
    let mut labels = traffic_selector(identity);
    labels.insert(TRACK_LABEL.into(), track.into());
    labels
}

/// Metadata of a child: its name, labels and owner.
pub fn meta(identity: &Identity, name: String, component: &str) -> ObjectMeta {
    ObjectMeta {
        name: Some(name),
        namespace: Some(identity.namespace.clone()),
        labels: Some(labels(identity, component)),
        owner_references: identity.uid.as_ref().map(|uid| vec![owner(identity, uid)]),
        ..ObjectMeta::default()
    }
}

/// Adds labels or annotations of the user. Those of the operator win.
pub fn add(ours: &mut Option<BTreeMap<String, String>>, of_user: &BTreeMap<String, String>) {
    if !of_user.is_empty() {
        let mut all = of_user.clone();
        all.append(ours.get_or_insert_default());
        *ours = Some(all);
    }
}

/// The reference to the object that owns a child.
pub fn owner(identity: &Identity, uid: &str) -> OwnerReference {
    OwnerReference {
        api_version: "recommender.dev/v1alpha1".into(),
        kind: "RecommenderModel".into(),
        name: identity.name.clone(),
        uid: uid.into(),
        controller: Some(true),
        block_owner_deletion: Some(true),
    }
}
