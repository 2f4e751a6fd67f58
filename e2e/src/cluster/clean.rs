//! Removes every trace of a cluster, also of one that crashed or that was interrupted by a reboot.

use std::fs;
use std::path::{Path, PathBuf};

use anyhow::{Context, Result, bail};
use rustix::mount::{UnmountFlags, unmount};

use super::{cgroup, network, node};
use crate::progress::Progress;
use crate::{paths, process};

/// Stops all processes and containers, and removes mounts, devices, firewall rules, addresses and files. Fails if
/// something cannot be removed. Ignores what does not exist. `daemons`: the processes of the cluster, in start order.
pub fn everything(daemons: &[&str], progress: &Progress) -> Result<()> {
    progress.detail("processes and containers");
    // kubelet first, so that it does not restart containers. Containers before the processes on which they depend.
    process::stop(&["kubelet", "kube-proxy"]);
    cgroup::kill();
    process::kill_all(&process::find(is_shim_of_ours));
    let rest: Vec<&str> = daemons.iter().rev().copied().collect();
    process::stop(&rest);
    progress.detail("mounts");
    unmount_all()?;
    progress.detail("network");
    network::tear_down();
    cgroup::remove();
    progress.detail("files");
    remove_files()
}

/// Whether a process is a containerd shim of ours. Shims are not our children and have no record, but our containerd
/// socket is among their arguments.
fn is_shim_of_ours(pid: i32) -> bool {
    let Ok(line) = fs::read(format!("/proc/{pid}/cmdline")) else { return false };
    let socket = node::containerd_socket();
    let mut arguments = line.split(|byte| *byte == 0);
    let is_shim = arguments.next().is_some_and(|program| program.ends_with(b"containerd-shim-runc-v2"));
    is_shim && arguments.any(|argument| Path::new(&*String::from_utf8_lossy(argument)) == socket)
}

fn unmount_all() -> Result<()> {
    let table = fs::read_to_string("/proc/self/mountinfo").context("cannot read the mounts")?;
    // Later mounts may be on top of earlier ones.
    for mount in mounts_below(&table, &[paths::state(), paths::run()]).iter().rev() {
        unmount(mount, UnmountFlags::DETACH).with_context(|| format!("cannot unmount {}", mount.display()))?;
    }
    Ok(())
}

/// The mount points below these directories, in the order of `/proc/self/mountinfo`, which is the order of mounting.
fn mounts_below(mountinfo: &str, directories: &[PathBuf]) -> Vec<PathBuf> {
    let points = mountinfo.lines().filter_map(|line| line.split(' ').nth(4));
    let points = points.map(|point| PathBuf::from(point.replace("\\040", " ")));
    points.filter(|point| directories.iter().any(|directory| point.starts_with(directory))).collect()
}

fn remove_files() -> Result<()> {
    remove_pod_log_links();
    remove_cni_results();
    remove_device_plugins();
    let table = fs::read_to_string("/proc/self/mountinfo")?;
    for directory in [paths::run(), paths::state()] {
        // Never delete through a mount: the data may belong to another program.
        if let Some(mount) = mounts_below(&table, std::slice::from_ref(&directory)).first() {
            bail!("{} is still mounted: unmount it, then run `cargo demo down` again", mount.display());
        }
        match fs::remove_dir_all(&directory) {
            Err(error) if error.kind() != std::io::ErrorKind::NotFound => {
                bail!("cannot remove {}: {error}", directory.display());
            }
            _ => {}
        }
    }
    Ok(())
}

/// kubelet links the log of each container in /var/log/containers, wherever the log itself is.
fn remove_pod_log_links() {
    let links = Path::new("/var/log/containers");
    for entry in fs::read_dir(links).into_iter().flatten().flatten() {
        if fs::read_link(entry.path()).is_ok_and(|target| target.starts_with(paths::state())) {
            let _ = fs::remove_file(entry.path());
        }
    }
    let _ = fs::remove_dir(links); // fails unless it is empty
}

/// The library of the CNI plugins keeps its result for each pod in a file that starts with the name of the network.
fn remove_cni_results() {
    let results = Path::new("/var/lib/cni/results");
    for entry in fs::read_dir(results).into_iter().flatten().flatten() {
        let name = entry.file_name();
        if name.to_string_lossy().starts_with(&format!("{}-", network::CNI_NETWORK)) {
            let _ = fs::remove_file(entry.path());
        }
    }
    for directory in ["/var/lib/cni/results", "/var/lib/cni/cache", "/var/lib/cni"] {
        let _ = fs::remove_dir(directory); // fails unless it is empty
    }
}

/// The directory of device plugins does not depend on the root directory of kubelet.
fn remove_device_plugins() {
    let directory = Path::new("/var/lib/kubelet/device-plugins");
    for file in ["kubelet.sock", "kubelet_internal_checkpoint"] {
        let _ = fs::remove_file(directory.join(file));
    }
    for directory in [directory, Path::new("/var/lib/kubelet")] {
        let _ = fs::remove_dir(directory); // fails unless it is empty
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn only_mounts_below_our_directories_are_found() {
        let table = "21 1 254:0 / / rw - ext4 /dev/vda rw\n\
                     40 21 0:40 / /var/lib/recommender-e2e/kubelet/pods/a\\040b rw - tmpfs tmpfs rw\n\
                     41 21 0:41 / /var/lib/recommender-e2e-other/x rw - tmpfs tmpfs rw\n\
                     42 21 0:42 net:[1] /run/recommender-e2e/containerd/netns/n rw - nsfs nsfs rw\n";
        let found = mounts_below(table, &[paths::state(), paths::run()]);
        assert_eq!(
            found,
            [
                PathBuf::from("/var/lib/recommender-e2e/kubelet/pods/a b"),
                PathBuf::from("/run/recommender-e2e/containerd/netns/n"),
            ]
        );
    }
}
