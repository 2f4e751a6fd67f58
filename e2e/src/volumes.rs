//! The volumes of the default StorageClass: directories on the node behind `local` PersistentVolumes. kubelet applies
//! the `fsGroup` of a pod to them as to real storage, which it does not do for `hostPath`.

use std::fs;

use anyhow::{Context, Result};
use serde_json::{Value, json};

use crate::cluster::network::NODE_NAME;
use crate::kubectl::{kubectl, kubectl_apply};
use crate::paths;

/// Number of unclaimed volumes after [`replenish`].
const FREE: usize = 60;

/// Replaces released volumes by new, empty ones, so that [`FREE`] can be claimed.
pub fn replenish() -> Result<()> {
    let listed: Value = serde_json::from_str(&kubectl(&["get", "persistentvolumes", "-o", "json"])?)?;
    let volumes = listed["items"].as_array().context("kubectl lists volumes")?;
    let in_phase = |phase: &str| -> Vec<String> {
        let of_phase = volumes.iter().filter(|volume| volume["status"]["phase"] == phase);
        of_phase.filter_map(|volume| Some(volume["metadata"]["name"].as_str()?.to_owned())).collect()
    };
    let mut released = in_phase("Released");
    released.retain(|name| name.starts_with("local-")); // all others belong to another manager
    if !released.is_empty() {
        let delete = ["delete", "persistentvolume"].into_iter().chain(released.iter().map(String::as_str));
        kubectl(&delete.collect::<Vec<_>>())?;
    }
    for name in &released {
        let directory = directory(name);
        fs::remove_dir_all(&directory).with_context(|| format!("cannot remove {}", directory.display()))?;
    }
    // New volumes are `Pending` until the controller has reconciled them.
    let free = in_phase("Available").len() + in_phase("Pending").len();
    create(FREE.saturating_sub(free))
}

fn create(count: usize) -> Result<()> {
    if count == 0 {
        return Ok(());
    }
    let stamp = jiff::Timestamp::now().as_millisecond();
    let mut manifests = Vec::new();
    for index in 0..count {
        let name = format!("local-{stamp}-{index}");
        let path = directory(&name);
        fs::create_dir_all(&path).with_context(|| format!("cannot create {}", path.display()))?;
        manifests.push(manifest(&name));
    }
    kubectl_apply(&json!({"apiVersion": "v1", "kind": "List", "items": manifests}).to_string())
}

fn manifest(name: &str) -> Value {
    json!({
        "apiVersion": "v1",
        "kind": "PersistentVolume",
        "metadata": {"name": name},
        "spec": {
            "storageClassName": "local",
            "capacity": {"storage": "10Gi"},
            "accessModes": ["ReadWriteOnce", "ReadOnlyMany", "ReadWriteMany"],
            "persistentVolumeReclaimPolicy": "Retain",
            "local": {"path": directory(name)},
            "nodeAffinity": {"required": {"nodeSelectorTerms": [{"matchExpressions": [
                {"key": "kubernetes.io/hostname", "operator": "In", "values": [NODE_NAME]},
            ]}]}},
        },
    })
}

fn directory(name: &str) -> std::path::PathBuf {
    paths::state().join("volumes").join(name)
}
