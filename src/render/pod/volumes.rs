//! Volumes and where they are mounted.

use k8s_openapi::api::core::v1::{
    CSIVolumeSource, EmptyDirVolumeSource, EphemeralVolumeSource, PersistentVolumeClaimSpec,
    PersistentVolumeClaimTemplate, Volume, VolumeMount, VolumeResourceRequirements,
};

use super::{Access, same, storage};
use crate::{
    api::{self, EphemeralVolume, Pod},
    model::{ARTIFACTS_VOLUME, CA_VOLUME, Model, TMP_PATH, TMP_VOLUME},
};

/// The volumes of a pod: /tmp, the artifacts, and the user's.
pub fn all(model: &Model, pod: &Pod) -> Vec<Volume> {
    let tmp = pod.tmp.as_ref().map_or_else(EmptyDirVolumeSource::default, same);
    let mut volumes = vec![Volume { name: TMP_VOLUME.into(), empty_dir: Some(tmp), ..Volume::default() }];
    volumes.extend(storage::volumes(&model.artifacts));
    volumes.extend(pod.volumes.iter().map(volume));
    volumes
}

fn volume(asked: &api::Volume) -> Volume {
    Volume {
        name: asked.name.clone(),
        config_map: asked.config_map.as_ref().map(same),
        secret: asked.secret.as_ref().map(same),
        projected: asked.projected.as_ref().map(same),
        empty_dir: asked.empty_dir.as_ref().map(same),
        persistent_volume_claim: asked.persistent_volume_claim.as_ref().map(same),
        ephemeral: asked.ephemeral.as_ref().map(ephemeral),
        csi: asked.csi.as_ref().map(same::<_, CSIVolumeSource>),
        ..Volume::default()
    }
}

fn ephemeral(asked: &EphemeralVolume) -> EphemeralVolumeSource {
    let spec = PersistentVolumeClaimSpec {
        access_modes: Some(vec!["ReadWriteOnce".into()]),
        resources: Some(VolumeResourceRequirements { requests: Some(asked.requests()), limits: None }),
        storage_class_name: asked.storage_class_name.clone(),
        ..PersistentVolumeClaimSpec::default()
    };
    EphemeralVolumeSource { volume_claim_template: Some(PersistentVolumeClaimTemplate { metadata: None, spec }) }
}

/// The mounts of the main container: /tmp, the artifacts, and the user's.
pub fn mounts(model: &Model, access: Access, asked: &[api::VolumeMount]) -> Vec<VolumeMount> {
    let mut mounts = vec![tmp()];
    mounts.extend(storage::mounts(&model.artifacts, access));
    mounts.extend(asked.iter().map(|asked| mount(access, asked)));
    mounts
}

/// The mounts of an init container: /tmp, the certificates of the bucket's endpoint, and what it asks for.
pub fn mounts_beside(model: &Model, access: Access, asked: &[api::VolumeMount]) -> Vec<VolumeMount> {
    let ca = storage::mounts(&model.artifacts, access).filter(|mount| mount.name == CA_VOLUME);
    std::iter::once(tmp()).chain(ca).chain(asked.iter().map(|asked| mount(access, asked))).collect()
}

fn tmp() -> VolumeMount {
    VolumeMount { name: TMP_VOLUME.into(), mount_path: TMP_PATH.into(), ..VolumeMount::default() }
}

/// A further mount of the artifacts' volume is as writable as the first.
fn mount(access: Access, asked: &api::VolumeMount) -> VolumeMount {
    let mount: VolumeMount = same(asked);
    let forced = access.read_only().filter(|_| asked.name == ARTIFACTS_VOLUME);
    VolumeMount { read_only: forced.or(mount.read_only), ..mount }
}
