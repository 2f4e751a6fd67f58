//! The common parts of all pods: security, storage, environment.

use std::collections::BTreeMap;

use k8s_openapi::api::core::v1::ConfigMapKeySelector;
use k8s_openapi::api::core::v1::{
    Capabilities, Container, EmptyDirVolumeSource, EnvVar as PodEnvVar, EnvVarSource as PodEnvVarSource,
    PersistentVolumeClaimVolumeSource, PodSecurityContext, PodSpec, ResourceRequirements, SeccompProfile,
    SecretKeySelector, SecurityContext, Volume, VolumeMount,
};

use crate::{
    api::{EnvVar, EnvVarSource, KeyReference, Resources},
    model::{ArtifactStore, Model},
};

/// ID of the group that owns volumes (`fsGroup`), so that a pod of any user can write to them.
const VOLUME_GROUP: i64 = 65532;
/// Name of the artifact volume.
const ARTIFACTS: &str = "artifacts";
/// Name of the volume for /tmp.
const TMP: &str = "tmp";

/// Whether a pod may write to the artifact volume.
#[derive(Clone, Copy, Debug, PartialEq)]
pub enum Access {
    /// Trainers write versions.
    ReadWrite,
    /// Servers read them.
    ReadOnly,
}

/// The spec of a pod with one container. It conforms to the Pod Security level `restricted` and has no API token.
pub fn spec(model: &Model, container: Container) -> PodSpec {
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
    PodSpec {
        containers: vec![container],
        volumes: Some(volumes),
        service_account_name: Some(model.identity.base.clone()),
        automount_service_account_token: Some(false),
        // Environment variables for every Service of the namespace are not used and slow down the start.
        enable_service_links: Some(false),
        security_context: Some(PodSecurityContext {
            run_as_non_root: Some(true),
            fs_group: Some(VOLUME_GROUP),
            fs_group_change_policy: Some("OnRootMismatch".into()),
            seccomp_profile: Some(SeccompProfile { type_: "RuntimeDefault".into(), ..SeccompProfile::default() }),
            ..PodSecurityContext::default()
        }),
        ..PodSpec::default()
    }
}

/// The security context of a container.
pub fn security_context() -> SecurityContext {
    SecurityContext {
        allow_privilege_escalation: Some(false),
        read_only_root_filesystem: Some(true),
        capabilities: Some(Capabilities { drop: Some(vec!["ALL".into()]), ..Capabilities::default() }),
        ..SecurityContext::default()
    }
}

/// The volume mounts of /tmp and the artifacts.
pub fn mounts(model: &Model, access: Access) -> Vec<VolumeMount> {
    let mut mounts = vec![VolumeMount { name: TMP.into(), mount_path: "/tmp".into(), ..VolumeMount::default() }];
    if let ArtifactStore::Volume(_) = model.artifacts {
        mounts.push(VolumeMount {
            name: ARTIFACTS.into(),
            mount_path: ArtifactStore::MOUNT.into(),
            read_only: (access == Access::ReadOnly).then_some(true),
            ..VolumeMount::default()
        });
    }
    mounts
}

/// The environment variables: first those of the contract, then those for the bucket, then the user's. Empty values are
/// not applied, because the API server does not keep them.
pub fn env(model: &Model, contract: Vec<(&str, String)>, user: &[EnvVar]) -> Vec<PodEnvVar> {
    let mut env: Vec<PodEnvVar> = contract.into_iter().map(|(name, value)| plain(name, value)).collect();
    if let ArtifactStore::S3(s3) = &model.artifacts {
        for key in ["AWS_ACCESS_KEY_ID", "AWS_SECRET_ACCESS_KEY"] {
            let reference = KeyReference { name: s3.credentials_secret.name.clone(), key: key.into() };
            env.push(from_source(key, &EnvVarSource { secret_key_ref: Some(reference), config_map_key_ref: None }));
        }
        env.extend(s3.endpoint.clone().map(|endpoint| plain("AWS_ENDPOINT_URL", endpoint)));
        env.extend(s3.region.clone().map(|region| plain("AWS_REGION", region)));
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
pub fn resources(resources: Option<&Resources>) -> Option<ResourceRequirements> {
    let resources = resources?;
    let some = |map: &BTreeMap<_, _>| (!map.is_empty()).then(|| map.clone());
    Some(ResourceRequirements {
        requests: some(&resources.requests),
        limits: some(&resources.limits),
        ..ResourceRequirements::default()
    })
}

/// `None` for an empty list, because the API server does not store empty lists.
pub fn non_empty(list: &[String]) -> Option<Vec<String>> {
    (!list.is_empty()).then(|| list.to_vec())
}
