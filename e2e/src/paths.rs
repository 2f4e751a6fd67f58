//! The paths of all files. There is one cluster per host, so its paths are fixed. The cache has what checkouts may
//! share and what may outlive a cluster (built programs, downloaded root file systems).

use std::path::{Path, PathBuf};

/// Files of the cluster: certificates, etcd, containers, logs, volumes. Removed by `down`.
pub fn state() -> PathBuf {
    PathBuf::from("/var/lib/recommender-e2e")
}

/// Sockets and mounts. Gone after a reboot, removed by `down`.
pub fn run() -> PathBuf {
    PathBuf::from("/run/recommender-e2e")
}

/// One log file per process of the cluster.
pub fn logs() -> PathBuf {
    state().join("logs")
}

/// The administrator's kubeconfig of our cluster.
pub fn kubeconfig() -> PathBuf {
    state().join("kubeconfig")
}

/// The audit log of the API server, one JSON event per line.
pub fn audit_log() -> PathBuf {
    logs().join("audit.log")
}

/// The build cache: `${XDG_CACHE_HOME:-~/.cache}/recommender-operator/e2e`.
pub fn cache() -> PathBuf {
    let named = std::env::var_os("XDG_CACHE_HOME").filter(|value| !value.is_empty()).map(PathBuf::from);
    let base = named.or_else(|| Some(std::env::home_dir()?.join(".cache"))).unwrap_or_else(|| "/var/cache".into());
    base.join("recommender-operator/e2e")
}

/// The root of the checkout this crate was compiled in.
pub fn repository() -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).parent().expect("e2e lies in the repository").to_owned()
}
