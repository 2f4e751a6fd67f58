//! How pods reach the artifacts: volumes, mounts and variables.

use k8s_openapi::api::core::v1::{
    ConfigMapVolumeSource, EnvVar, EnvVarSource, KeyToPath, PersistentVolumeClaimVolumeSource, SecretKeySelector,
    SecretVolumeSource, Volume, VolumeMount,
};

use super::{Access, plain};
use crate::{
    api::{CaBundle, KeyReference},
    model::{ARTIFACTS_VOLUME, ArtifactStore, CA_PATH, CA_VOLUME},
};

/// Name of the file with the certificates.
const CA_FILE: &str = "ca.crt";

/// The volumes: the claim with the versions, or the certificates of the bucket's endpoint.
pub fn volumes(store: &ArtifactStore) -> Option<Volume> {
    match store {
        ArtifactStore::Volume(claim) => Some(Volume {
            name: ARTIFACTS_VOLUME.into(),
            // Not read_only here: the claim is shared by trainers and servers, and the mount sets it.
            persistent_volume_claim: Some(PersistentVolumeClaimVolumeSource {
                claim_name: claim.claim_name.clone(),
                read_only: None,
            }),
            ..Volume::default()
        }),
        ArtifactStore::S3(s3) => s3.ca.as_ref().map(ca_volume),
        ArtifactStore::Cloud(_) => None,
    }
}

fn ca_volume(ca: &CaBundle) -> Volume {
    let items =
        |of: &KeyReference| Some(vec![KeyToPath { key: of.key.clone(), path: CA_FILE.into(), ..KeyToPath::default() }]);
    Volume {
        name: CA_VOLUME.into(),
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

/// The mount of [`volumes`].
pub fn mounts(store: &ArtifactStore, access: Access) -> Option<VolumeMount> {
    let mount = |name: &str, path: &str, read_only| VolumeMount {
        name: name.into(),
        mount_path: path.into(),
        read_only,
        ..VolumeMount::default()
    };
    match store {
        ArtifactStore::Volume(_) => Some(mount(ARTIFACTS_VOLUME, ArtifactStore::MOUNT, access.read_only())),
        ArtifactStore::S3(s3) => s3.ca.as_ref().map(|_| mount(CA_VOLUME, CA_PATH, Some(true))),
        ArtifactStore::Cloud(_) => None,
    }
}

/// The variables by which S3 clients find the bucket and their credentials.
pub fn env(store: &ArtifactStore) -> Vec<EnvVar> {
    let ArtifactStore::S3(s3) = store else { return Vec::new() };
    let token = s3.session_token.then_some("AWS_SESSION_TOKEN");
    let keys = || ["AWS_ACCESS_KEY_ID", "AWS_SECRET_ACCESS_KEY"].into_iter().chain(token);
    let secret = s3.credentials_secret.iter();
    let mut env: Vec<_> = secret.flat_map(|secret| keys().map(|key| from_secret(key, &secret.name))).collect();
    env.extend(s3.endpoint.clone().map(|endpoint| plain("AWS_ENDPOINT_URL", endpoint)));
    env.extend(s3.region.clone().map(|region| plain("AWS_REGION", region)));
    env.extend(s3.ca.as_ref().map(|_| plain("AWS_CA_BUNDLE", format!("{CA_PATH}/{CA_FILE}"))));
    env.extend(s3.path_style.then(|| plain("RECOMMENDER_S3_PATH_STYLE", "true".into())));
    env
}

/// A variable with the key of its name in a Secret.
fn from_secret(name: &str, secret: &str) -> EnvVar {
    let key = SecretKeySelector { name: secret.into(), key: name.into(), optional: None };
    let source = EnvVarSource { secret_key_ref: Some(key), ..EnvVarSource::default() };
    EnvVar { name: name.into(), value: None, value_from: Some(source) }
}
