//! Starts and stops the cluster. There is one per host, shared by all tests and the demo.
//!
//! Two locks protect it. A process that changes the cluster holds the first one exclusively. All processes that use it
//! share the second one, so that the cluster is not stopped while another test uses it.

pub mod cgroup;
mod clean;
pub mod control_plane;
pub mod network;
pub mod node;

use std::fs;
use std::path::{Path, PathBuf};
use std::thread;
use std::time::{Duration, Instant};

use anyhow::{Context, Result, bail, ensure};

use crate::image::catalog;
use crate::lock::{self, Lock, Mode};
use crate::progress::Progress;
use crate::{addons, debian, digest, paths, process, tools};

// For tests that have no `Cluster`.
pub use crate::kubectl::kubectl;

/// The processes of the cluster, in start order.
const DAEMONS: &[&str] =
    &["etcd", "kube-apiserver", "containerd", "kube-controller-manager", "kube-scheduler", "kube-proxy", "kubelet"];

/// Part of the fingerprint. Raise it when flags or files of the cluster change so that a running cluster must be
/// replaced.
const REVISION: u32 = 2;

/// The steps of [`up`] that are displayed.
pub const UP_STEPS: [&str; 5] = [
    "Debian packages",
    "cluster programs (Go)",
    "control plane and node",
    "DNS, storage, metrics",
    "prometheus-operator and Prometheus",
];

/// Path of the lock of the process that changes the cluster.
fn change_lock() -> PathBuf {
    PathBuf::from("/run/lock/recommender-e2e.change")
}

/// Path of the lock that all users of the cluster share.
fn use_lock() -> PathBuf {
    PathBuf::from("/run/lock/recommender-e2e.use")
}

/// Starts the cluster with its add-ons if it does not run. While the returned lock exists, the cluster is in use and
/// `down` is refused.
pub fn up(progress: &Progress) -> Result<Lock> {
    require_root()?;
    let [packages, programs, control_plane, base, monitoring] = UP_STEPS;
    let _changing = lock_for_change(progress)?;
    progress.step(packages, || debian::ensure(progress))?;
    if let Some(forecast) = tools::forecast()? {
        progress.println(&forecast);
    }
    progress.step(programs, || tools::build_all(progress))?;
    progress.step(control_plane, || {
        let fingerprint = fingerprint()?;
        match (health(), read_fingerprint() == fingerprint) {
            (Ok(()), true) => return Ok(()),
            (Ok(()), false) => ensure_unused("it was started by another version of e2e/")?,
            (Err(problem), _) => ensure_unused(&problem.to_string())?,
        }
        start(progress, &fingerprint)
    })?;
    progress.step(base, || addons::base(progress).and_then(|()| addons::gateway_api(progress)))?;
    progress.step(monitoring, || addons::monitoring(progress))?;
    in_use()
}

/// Stops the cluster and removes every trace of it. Refused while it is in use, unless forced.
pub fn down(progress: &Progress, force: bool) -> Result<()> {
    require_root()?;
    let _changing = lock_for_change(progress)?;
    let _unused = match lock::try_lock(&use_lock(), Mode::Exclusive)? {
        Ok(lock) => Some(lock),
        Err(_) if force => None,
        Err(holder) => bail!("the cluster is in use by {holder}: stop that first, or use --force"),
    };
    progress.step("stopping the cluster", || clean::everything(DAEMONS, progress))?;
    for lock in [use_lock(), change_lock()] {
        let _ = fs::remove_file(lock);
    }
    Ok(())
}

/// Marks the cluster as in use by this process until the lock is dropped.
pub fn in_use() -> Result<Lock> {
    lock::lock(&use_lock(), Mode::Shared, |_| ())
}

/// Takes the lock for changes of the cluster.
pub fn lock_for_change(progress: &Progress) -> Result<Lock> {
    lock::lock(&change_lock(), Mode::Exclusive, |holder| {
        progress.println(&format!("waiting for {holder}, which is working on the cluster"));
    })
}

/// Fails with the reason if the cluster cannot be used.
fn health() -> Result<()> {
    for name in DAEMONS {
        ensure!(process::is_running(name), "{name} does not run. {}", process::log_tail(name));
    }
    // A busy host may answer late, so this is retried.
    let deadline = Instant::now() + Duration::from_secs(30);
    while let Err(error) = kubectl(&["get", "--raw", "/readyz"]) {
        ensure!(Instant::now() < deadline, "the API server is not ready: {error:#}");
        thread::sleep(Duration::from_secs(1));
    }
    Ok(())
}

/// Refuses to replace a cluster that cannot be used as it is while other processes use it.
fn ensure_unused(problem: &str) -> Result<()> {
    if let Err(holder) = lock::try_lock(&use_lock(), Mode::Exclusive)? {
        bail!("the cluster cannot be used: {problem}\nIt is in use by {holder}. When that has ended: cargo demo down");
    }
    Ok(())
}

/// Removes what is left of an earlier cluster, and starts a new one.
fn start(progress: &Progress, fingerprint: &str) -> Result<()> {
    progress.detail("removing what is left of an earlier one");
    clean::everything(DAEMONS, progress)?;
    for directory in [paths::state(), paths::run()] {
        create_private(&directory)?;
    }
    progress.detail("network and certificates");
    network::set_up()?;
    control_plane::make_certificates()?;
    progress.detail("etcd and kube-apiserver");
    control_plane::start_api_server()?;
    progress.detail("containerd");
    let pause = catalog::pause()?;
    node::start_containerd(&crate::image::canonical(&pause.reference()?))?;
    pause.load()?;
    progress.detail("controllers, kubelet and kube-proxy");
    control_plane::start_controllers()?;
    node::start_kubelet()?;
    fs::write(fingerprint_file(), fingerprint).context("cannot write into the state directory")
}

fn create_private(directory: &Path) -> Result<()> {
    use std::os::unix::fs::DirBuilderExt;
    fs::DirBuilder::new()
        .recursive(true)
        .mode(0o711) // processes of pods traverse it to their volumes, but only root may list it
        .create(directory)
        .with_context(|| format!("cannot create {}", directory.display()))
}

fn require_root() -> Result<()> {
    if !rustix::process::geteuid().is_root() {
        bail!(
            "the cluster runs containers of its own and needs root: run this as root, or set KUBECONFIG to \
             have the tests use another cluster"
        );
    }
    Ok(())
}

/// A hash of everything that requires another cluster when it changes.
fn fingerprint() -> Result<String> {
    let mut inputs = format!("revision {REVISION}\n");
    for component in ["etcd", "kubernetes", "containerd"] {
        inputs += &format!("{component} {}\n", tools::component(component)?.hash()?);
    }
    Ok(digest::hex(inputs.as_bytes()))
}

fn fingerprint_file() -> PathBuf {
    paths::state().join("fingerprint")
}

fn read_fingerprint() -> String {
    fs::read_to_string(fingerprint_file()).unwrap_or_default()
}
