//! The pods of training, serving and workers: what they have in common, and what the user sets for all three alike.

mod scheduling;
mod security;

use std::collections::BTreeMap;

use k8s_openapi::{
    api::core::v1::{
        ConfigMapKeySelector, ConfigMapVolumeSource, Container, EmptyDirVolumeSource, EnvVar as PodEnvVar,
        EnvVarSource as PodEnvVarSource, KeyToPath, LocalObjectReference, PersistentVolumeClaimVolumeSource, PodSpec,
        PodTemplateSpec, ResourceRequirements, SecretKeySelector, SecretVolumeSource, Volume, VolumeMount,
    },
    apimachinery::pkg::{apis::meta::v1::ObjectMeta, util::intstr::IntOrString},
};
pub use scheduling::Spread;
use serde::{Serialize, de::DeserializeOwned};

use super::child;
use crate::{
    api::{CaBundle, EnvVar, EnvVarSource, KeyReference, MODEL_NAME_ANNOTATION, Pod, Resources},
    model::{ArtifactStore, Model},
};

/// Name of the artifact volume.
const ARTIFACTS: &str = "artifacts";
/// Name of the volume for /tmp.
const TMP: &str = "tmp";

/// Name of the volume with the certificates of the storage's authorities.
const CA: &str = "artifacts-ca";
/// Where it is mounted.
const CA_MOUNT: &str = "/etc/recommender/artifacts-ca";
/// Name of the file in it.
const CA_FILE: &str = "ca.crt";

/// Whether a pod may write to the artifact volume.
#[derive(Clone, Copy, Debug, PartialEq)]
pub enum Access {
    /// Trainers write versions.
    ReadWrite,
    /// Servers read them.
    ReadOnly,
}

/// The main container of a pod, as the spec has it for training, serving and workers alike.
pub struct Main<'a> {
    /// Name of the container.
    pub name: &'a str,
    /// Its image.
    pub image: &'a str,
    /// Its entrypoint; empty: the image's.
    pub command: &'a [String],
    /// Arguments of the entrypoint.
    pub args: &'a [String],
    /// Variables of the contract.
    pub contract: Vec<(&'a str, String)>,
    /// Variables of the user.
    pub env: &'a [EnvVar],
    /// Its resources.
    pub resources: Option<&'a Resources>,
    /// Whether it writes versions.
    pub access: Access,
    /// Settings of its pod.
    pub pod: &'a Pod,
}

impl Main<'_> {
    /// The container, without what only some of the pods have.
    pub fn container(&self, model: &Model) -> Container {
        Container {
            name: self.name.into(),
            image: Some(self.image.into()),
            image_pull_policy: self.pod.image_pull_policy.as_ref().map(same),
            command: non_empty(self.command),
            args: non_empty(self.args),
            env: Some(env(model, &self.contract, self.env)),
            resources: resources(self.resources),
            volume_mounts: Some(mounts(model, self.access)),
            security_context: Some(security::of_container(self.pod)),
            ..Container::default()
        }
    }
}

/// The template of a pod. With the defaults it conforms to the Pod Security level `restricted`; it has no API token.
/// `labels`: those of the operator.
pub fn template(
    model: &Model,
    pod: &Pod,
    labels: BTreeMap<String, String>,
    spread: &Spread,
    container: Container,
) -> PodTemplateSpec {
    let ours = BTreeMap::from([(MODEL_NAME_ANNOTATION.into(), model.identity.name.clone())]);
    let mut metadata = ObjectMeta { labels: Some(labels), annotations: Some(ours), ..ObjectMeta::default() };
    describe(&mut metadata, pod);
    let mut spec = spec(model, pod, container);
    scheduling::set(&mut spec, pod, spread);
    PodTemplateSpec { metadata: Some(metadata), spec: Some(spec) }
}

/// Adds the labels and annotations of the user to those of a pod, or of the child that creates it.
pub fn describe(metadata: &mut ObjectMeta, pod: &Pod) {
    child::add(&mut metadata.labels, &pod.labels);
    child::add(&mut metadata.annotations, &pod.annotations);
}

fn spec(model: &Model, pod: &Pod, container: Container) -> PodSpec {
    let mut volumes =
        vec![Volume { name: TMP.into(), empty_dir: Some(EmptyDirVolumeSource::default()), ..Volume::default() }];
    if let ArtifactStore::Volume(claim) = &model.artifacts {
        volumes.push(Volume {
            name: ARTIFACTS.into(),
            // Not read_only here: the claim is shared by trainers and servers, and the mount sets it.
            persistent_volume_claim: Some(PersistentVolumeClaimVolumeSource {
                claim_name: claim.claim_name.clone(),
                read_only: None,
            }),
            ..Volume::default()
        });
    }
    volumes.extend(ca(&model.artifacts).map(ca_volume));
    let secrets = model.image_pull_secrets.iter().map(|name| LocalObjectReference { name: name.clone() });
    PodSpec {
        containers: vec![container],
        volumes: Some(volumes),
        image_pull_secrets: (!model.image_pull_secrets.is_empty()).then(|| secrets.collect()),
        service_account_name: Some(pod.service_account_name.clone().unwrap_or_else(|| model.identity.base.clone())),
        automount_service_account_token: Some(false),
        // Environment variables for every Service of the namespace are not used and slow down the start.
        enable_service_links: Some(false),
        security_context: Some(security::of_pod(pod)),
        ..PodSpec::default()
    }
}

/// A value of the spec as the type of Kubernetes that has the same fields. It cannot fail: the fields of ours are some of
/// theirs, and a test converts a value of every field.
fn same<T: Serialize, U: DeserializeOwned + Default>(ours: &T) -> U {
    serde_json::to_value(ours).and_then(serde_json::from_value).unwrap_or_default()
}

/// [`same`] for the entries of a list; `None` for an empty one, because the API server does not store empty lists.
fn same_list<T: Serialize, U: DeserializeOwned + Default>(ours: &[T]) -> Option<Vec<U>> {
    (!ours.is_empty()).then(|| ours.iter().map(same).collect())
}

fn ca(store: &ArtifactStore) -> Option<&CaBundle> {
    match store {
        ArtifactStore::S3(s3) => s3.ca.as_ref(),
        ArtifactStore::Cloud(_) | ArtifactStore::Volume(_) => None,
    }
}

fn ca_volume(ca: &CaBundle) -> Volume {
    let items =
        |of: &KeyReference| Some(vec![KeyToPath { key: of.key.clone(), path: CA_FILE.into(), ..KeyToPath::default() }]);
    Volume {
        name: CA.into(),
        config_map: ca.config_map_key_ref.as_ref().map(|reference| ConfigMapVolumeSource {
            name: reference.name.clone(),
            items: items(reference),
            ..ConfigMapVolumeSource::default()
        }),
        secret: ca.secret_key_ref.as_ref().map(|reference| SecretVolumeSource {
            secret_name: Some(reference.name.clone()),
            items: items(reference),
            ..SecretVolumeSource::default()
        }),
        ..Volume::default()
    }
}

/// The volume mounts of /tmp, the artifacts and the certificates for their storage.
fn mounts(model: &Model, access: Access) -> Vec<VolumeMount> {
    let mut mounts = vec![VolumeMount { name: TMP.into(), mount_path: "/tmp".into(), ..VolumeMount::default() }];
    if let ArtifactStore::Volume(_) = model.artifacts {
        mounts.push(VolumeMount {
            name: ARTIFACTS.into(),
            mount_path: ArtifactStore::MOUNT.into(),
            read_only: (access == Access::ReadOnly).then_some(true),
            ..VolumeMount::default()
        });
    }
    mounts.extend(ca(&model.artifacts).map(|_| VolumeMount {
        name: CA.into(),
        mount_path: CA_MOUNT.into(),
        read_only: Some(true),
        ..VolumeMount::default()
    }));
    mounts
}

/// The environment variables: first those of the contract, then those for the bucket, then the user's. Empty values are
/// not applied, because the API server does not keep them.
fn env(model: &Model, contract: &[(&str, String)], user: &[EnvVar]) -> Vec<PodEnvVar> {
    let mut env: Vec<PodEnvVar> = contract.iter().map(|(name, value)| plain(name, value.clone())).collect();
    if let ArtifactStore::S3(s3) = &model.artifacts {
        let token = s3.session_token.then_some("AWS_SESSION_TOKEN");
        let keys = ["AWS_ACCESS_KEY_ID", "AWS_SECRET_ACCESS_KEY"].into_iter().chain(token);
        for (secret, key) in s3.credentials_secret.iter().flat_map(|secret| keys.clone().map(move |key| (secret, key)))
        {
            let reference = KeyReference { name: secret.name.clone(), key: key.into() };
            env.push(from_source(key, &EnvVarSource { secret_key_ref: Some(reference), config_map_key_ref: None }));
        }
        env.extend(s3.endpoint.clone().map(|endpoint| plain("AWS_ENDPOINT_URL", endpoint)));
        env.extend(s3.region.clone().map(|region| plain("AWS_REGION", region)));
        env.extend(s3.ca.as_ref().map(|_| plain("AWS_CA_BUNDLE", format!("{CA_MOUNT}/{CA_FILE}"))));
        env.extend(s3.path_style.then(|| plain("RECOMMENDER_S3_PATH_STYLE", "true".into())));
    }
    // The user's value takes precedence over ours for the bucket. Names of the contract are refused by the schema.
    env.retain(|ours| !user.iter().any(|theirs| theirs.name == ours.name));
    env.extend(user.iter().map(|variable| match &variable.value_from {
        Some(source) => from_source(&variable.name, source),
        None => plain(&variable.name, variable.value.clone().unwrap_or_default()),
    }));
    env
}

fn plain(name: &str, value: String) -> PodEnvVar {
    PodEnvVar { name: name.into(), value: (!value.is_empty()).then_some(value), ..PodEnvVar::default() }
}

fn from_source(name: &str, source: &EnvVarSource) -> PodEnvVar {
    PodEnvVar {
        name: name.into(),
        value_from: Some(PodEnvVarSource {
            secret_key_ref: source.secret_key_ref.as_ref().map(|reference| SecretKeySelector {
                name: reference.name.clone(),
                key: reference.key.clone(),
                optional: None,
            }),
            config_map_key_ref: source.config_map_key_ref.as_ref().map(|reference| ConfigMapKeySelector {
                name: reference.name.clone(),
                key: reference.key.clone(),
                optional: None,
            }),
            ..PodEnvVarSource::default()
        }),
        ..PodEnvVar::default()
    }
}

/// The resources of a container.
fn resources(resources: Option<&Resources>) -> Option<ResourceRequirements> {
    let resources = resources?;
    let some = |map: &BTreeMap<_, _>| (!map.is_empty()).then(|| map.clone());
    Some(ResourceRequirements {
        requests: some(&resources.requests),
        limits: some(&resources.limits),
        ..ResourceRequirements::default()
    })
}

/// A number of pods as the API server accepts it: a text is a percentage.
pub fn number_or_percent(pods: &IntOrString) -> IntOrString {
    match pods {
        IntOrString::String(text) => text.parse().map_or_else(|_| pods.clone(), IntOrString::Int),
        IntOrString::Int(_) => pods.clone(),
    }
}

/// `None` for an empty list, because the API server does not store empty lists.
fn non_empty(list: &[String]) -> Option<Vec<String>> {
    (!list.is_empty()).then(|| list.to_vec())
}
