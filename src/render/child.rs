//! One wanted object and the kinds there are.

use std::collections::BTreeMap;

use k8s_openapi::apimachinery::pkg::apis::meta::v1::{ObjectMeta, OwnerReference};
use kube::core::ApiResource;
use serde::Serialize;
use serde_json::Value;
use sha2::{Digest, Sha256};

use crate::{
    api::{FIELD_MANAGER, HASH_ANNOTATION, MANAGED_BY_LABEL, MODEL_LABEL},
    model::Identity,
};

/// The kinds of children.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub enum Kind {
    /// The account of the pods, without a token.
    ServiceAccount,
    /// A training run.
    Job,
    /// The address of the servers.
    Service,
    /// The servers, or a worker.
    Deployment,
    /// The autoscaler of a Deployment.
    HorizontalPodAutoscaler,
    /// How many servers may be drained at once.
    PodDisruptionBudget,
    /// How the servers are scraped.
    ServiceMonitor,
    /// How workers are scraped.
    PodMonitor,
    /// Recording rules and alerts.
    PrometheusRule,
}

impl Kind {
    /// Every kind.
    pub const ALL: [Self; 9] = [
        Self::ServiceAccount,
        Self::Job,
        Self::Service,
        Self::Deployment,
        Self::HorizontalPodAutoscaler,
        Self::PodDisruptionBudget,
        Self::ServiceMonitor,
        Self::PodMonitor,
        Self::PrometheusRule,
    ];

    /// Kind, API version and plural, as the API server names them.
    const fn names(self) -> (&'static str, &'static str, &'static str) {
        match self {
            Self::ServiceAccount => ("ServiceAccount", "v1", "serviceaccounts"),
            Self::Job => ("Job", "batch/v1", "jobs"),
            Self::Service => ("Service", "v1", "services"),
            Self::Deployment => ("Deployment", "apps/v1", "deployments"),
            Self::HorizontalPodAutoscaler => ("HorizontalPodAutoscaler", "autoscaling/v2", "horizontalpodautoscalers"),
            Self::PodDisruptionBudget => ("PodDisruptionBudget", "policy/v1", "poddisruptionbudgets"),
            Self::ServiceMonitor => ("ServiceMonitor", "monitoring.coreos.com/v1", "servicemonitors"),
            Self::PodMonitor => ("PodMonitor", "monitoring.coreos.com/v1", "podmonitors"),
            Self::PrometheusRule => ("PrometheusRule", "monitoring.coreos.com/v1", "prometheusrules"),
        }
    }

    /// The kind's name.
    pub const fn as_str(self) -> &'static str {
        self.names().0
    }

    /// What a dynamic client needs to know of the kind.
    pub fn resource(self) -> ApiResource {
        let (kind, api_version, plural) = self.names();
        let (group, version) = api_version.split_once('/').unwrap_or(("", api_version));
        ApiResource {
            group: group.into(),
            version: version.into(),
            api_version: api_version.into(),
            kind: kind.into(),
            plural: plural.into(),
        }
    }

    /// Whether clusters may lack the kind.
    pub const fn is_optional(self) -> bool {
        matches!(self, Self::ServiceMonitor | Self::PodMonitor | Self::PrometheusRule)
    }
}

/// An object as it is to be applied.
#[derive(Clone, Debug, PartialEq)]
pub struct Child {
    /// Its kind.
    pub kind: Kind,
    /// Its name.
    pub name: String,
    /// What is applied, complete.
    pub object: Value,
    /// Hash of what is applied; the object carries it as an annotation.
    pub hash: String,
    /// Replicas of a Deployment that is made without a number, because an autoscaler is to write it.
    pub seed_replicas: Option<i32>,
}

impl Child {
    /// Seals an object: adds its API version, kind and the hash of all of it.
    ///
    /// Our types serialize to JSON objects by construction, so this does not fail.
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

/// Labels every child has.
pub fn labels(identity: &Identity, component: &str) -> BTreeMap<String, String> {
    let mut labels = selector(identity, component);
    labels.insert(MANAGED_BY_LABEL.into(), FIELD_MANAGER.into());
    labels.insert("app.kubernetes.io/name".into(), "recommender".into());
    labels.insert("app.kubernetes.io/instance".into(), identity.base.clone());
    labels
}

/// Labels that tell the pods of a component. One of them is ours alone, because charts give everything the others. They
/// can never change: a Deployment's selector is immutable.
pub fn selector(identity: &Identity, component: &str) -> BTreeMap<String, String> {
    BTreeMap::from([
        (MODEL_LABEL.into(), identity.base.clone()),
        ("app.kubernetes.io/component".into(), component.into()),
    ])
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

fn owner(identity: &Identity, uid: &str) -> OwnerReference {
    OwnerReference {
        api_version: "recommender.dev/v1alpha1".into(),
        kind: "RecommenderModel".into(),
        name: identity.name.clone(),
        uid: uid.into(),
        controller: Some(true),
        block_owner_deletion: Some(true),
    }
}
