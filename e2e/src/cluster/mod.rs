//! Starting and stopping the cluster. There is one per host; everybody who needs it shares it.
//!
//! Two locks guard it: whoever changes it holds the first, whoever uses it holds the second
//! together with the other users, so that nobody stops a cluster under somebody else's tests.

pub mod cgroup;
mod clean;
pub mod control_plane;
pub mod network;
pub mod node;

use std::fs;
use std::path::{Path, PathBuf};
use std::process::Command;
use std::thread;
use std::time::{Duration, Instant};

use anyhow::{Context, Result, bail, ensure};

use crate::image::catalog;
use crate::lock::{self, Lock, Mode};
use crate::progress::Progress;
use crate::{addons, command, debian, digest, paths, process, tools};

/// The one node.
pub const NODE_NAME: &str = "local";

/// The processes of the cluster, in the order in which they start.
const DAEMONS: &[&str] =
    &["etcd", "kube-apiserver", "containerd", "kube-controller-manager", "kube-scheduler", "kube-proxy", "kubelet"];

/// To be raised when flags or files of the cluster change in a way that a running one must not keep.
const REVISION: u32 = 2;

/// The steps that [`up`] shows.
pub const UP_STEPS: [&str; 5] = [
    "Debian packages",
    "cluster programs (Go)",
    "control plane and node",
    "DNS, storage, metrics",
    "prometheus-operator and Prometheus",
];

fn change_lock() -> PathBuf {
    PathBuf::from("/run/lock/recommender-e2e.change")
}

fn use_lock() -> PathBuf {
    PathBuf::from("/run/lock/recommender-e2e.use")
}

/// Starts the cluster with its add-ons, or finds that it runs. The returned lock says that it is in use;
/// `down` is refused until it is dropped.
pub fn up(progress: &Progress) -> Result<Lock> {
    require_root()?;
    let [packages, programs, control_plane, base, monitoring] = UP_STEPS;
    let _changing = lock_for_change(progress)?;
    progress.step(packages, || debian::ensure(progress))?;
    if let Some(forecast) = tools::forecast()? {
        progress.say(&forecast);
    }
    progress.step(programs, || tools::build_all(progress))?;
    progress.step(control_plane, || {
        let fingerprint = fingerprint()?;
        match (health(), read_fingerprint() == fingerprint) {
            (Ok(()), true) => return Ok(()),
            (Ok(()), false) => stop_if_unused("it was started by another version of e2e/")?,
            (Err(problem), _) => stop_if_unused(&problem.to_string())?,
        }
        start(progress, &fingerprint)
    })?;
    progress.step(base, || addons::base(progress))?;
    progress.step(monitoring, || addons::monitoring(progress))?;
    in_use()
}

/// Stops the cluster and removes every trace of it. Refused while somebody uses it, unless forced.
pub fn down(progress: &Progress, force: bool) -> Result<()> {
    require_root()?;
    let _changing = lock_for_change(progress)?;
    let _used_by_nobody = match lock::try_lock(&use_lock(), Mode::Exclusive)? {
        Ok(lock) => Some(lock),
        Err(_) if force => None,
        Err(holder) => bail!("the cluster is in use by {holder}: stop that first, or use --force"),
    };
    progress.step("stopping the cluster", || clean::everything(progress))?;
    for lock in [use_lock(), change_lock()] {
        let _ = fs::remove_file(lock);
    }
    Ok(())
}

/// Says that this process uses the cluster, for as long as the lock lives.
pub fn in_use() -> Result<Lock> {
    lock::lock(&use_lock(), Mode::Shared, |_| ())
}

/// Takes the lock under which the cluster is changed.
pub fn lock_for_change(progress: &Progress) -> Result<Lock> {
    lock::lock(&change_lock(), Mode::Exclusive, |holder| {
        progress.say(&format!("waiting for {holder}, which is working on the cluster"));
    })
}

/// What keeps the cluster from being used.
fn health() -> Result<()> {
    for name in DAEMONS {
        ensure!(process::is_running(name), "{name} does not run. {}", process::log_tail(name));
    }
    // A busy host is slow to answer; that is no reason to think that nobody is there.
    let deadline = Instant::now() + Duration::from_secs(30);
    while let Err(error) = kubectl(&["get", "--raw", "/readyz"]) {
        ensure!(Instant::now() < deadline, "the API server is not ready: {error:#}");
        thread::sleep(Duration::from_secs(1));
    }
    Ok(())
}

/// A cluster that cannot be used as it is may go, unless others use it: then they decide when.
fn stop_if_unused(problem: &str) -> Result<()> {
    if let Err(holder) = lock::try_lock(&use_lock(), Mode::Exclusive)? {
        bail!("the cluster cannot be used: {problem}\nIt is in use by {holder}. When that has ended: cargo demo down");
    }
    Ok(())
}

/// Runs kubectl against our cluster.
pub fn kubectl(arguments: &[&str]) -> Result<String> {
    command::output(kubectl_command()?.args(arguments))
}

/// Applies manifests on the server's side.
pub fn kubectl_apply(manifests: &str) -> Result<()> {
    let mut apply = kubectl_command()?;
    apply.args(["apply", "--server-side", "--force-conflicts", "--field-manager=e2e", "-f", "-"]);
    command::output_with_input(&mut apply, manifests.as_bytes()).map(drop)
}

fn kubectl_command() -> Result<Command> {
    let mut kubectl = Command::new(tools::program("kubectl")?);
    kubectl.arg("--kubeconfig").arg(paths::kubeconfig());
    Ok(kubectl)
}

/// Starts from nothing, removing whatever is left of an earlier cluster.
fn start(progress: &Progress, fingerprint: &str) -> Result<()> {
    progress.detail("removing what is left of an earlier one");
    clean::everything(progress)?;
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
        .mode(0o711) // pods' processes pass through to their volumes, nobody else reads
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

/// Differs when a running cluster is not what this version of the crate would start.
fn fingerprint() -> Result<String> {
    let mut inputs = format!("revision {REVISION}\n");
    for family in ["etcd", "kubernetes", "containerd"] {
        inputs += &format!("{family} {}\n", tools::family(family)?.hash()?);
    }
    Ok(digest::hex(inputs.as_bytes()))
}

fn fingerprint_file() -> PathBuf {
    paths::state().join("fingerprint")
}

fn read_fingerprint() -> String {
    fs::read_to_string(fingerprint_file()).unwrap_or_default()
}
