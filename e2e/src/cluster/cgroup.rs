//! The cgroup of all pods, for cgroup v1 and v2.

use std::fs;
use std::path::{Path, PathBuf};
use std::thread;
use std::time::{Duration, Instant};

use anyhow::{Context, Result};

use crate::process;

/// The path of the cgroup in every hierarchy.
pub const ROOT: &str = "/recommender-e2e";

/// The mount point of cgroup v2, or the parent of the mounts of cgroup v1.
const MOUNT: &str = "/sys/fs/cgroup";

/// Creates the cgroup, which kubelet requires.
pub fn create() -> Result<()> {
    let unified = Path::new(MOUNT).join("cgroup.controllers");
    if let Ok(controllers) = fs::read_to_string(&unified) {
        for controller in controllers.split_whitespace() {
            // Some controllers cannot be delegated on some hosts. kubelet reports a missing one that it needs.
            let _ = fs::write(Path::new(MOUNT).join("cgroup.subtree_control"), format!("+{controller}"));
        }
    }
    for hierarchy in hierarchies() {
        let group = hierarchy.join(&ROOT[1..]);
        fs::create_dir_all(&group).with_context(|| format!("cannot create {}", group.display()))?;
        inherit_cpuset(&hierarchy, &group);
    }
    Ok(())
}

/// Kills all processes in the cgroup.
pub fn kill() {
    let deadline = Instant::now() + Duration::from_secs(10);
    loop {
        let left = process::find(is_inside);
        if left.is_empty() || Instant::now() > deadline {
            return;
        }
        process::kill_all(&left);
    }
}

/// Removes the cgroup, which must not contain processes.
pub fn remove() {
    let deadline = Instant::now() + Duration::from_secs(5);
    for hierarchy in hierarchies() {
        let group = hierarchy.join(&ROOT[1..]);
        // The kernel may need a moment after the last process has ended.
        while group.exists() && !remove_tree(&group) && Instant::now() < deadline {
            thread::sleep(Duration::from_millis(50));
        }
    }
}

fn is_inside(pid: i32) -> bool {
    let groups = fs::read_to_string(format!("/proc/{pid}/cgroup")).unwrap_or_default();
    groups.lines().any(is_line_inside)
}

/// Whether a line of `/proc/PID/cgroup` is about our cgroup: `4:memory:/recommender-e2e/kubepods/...`.
fn is_line_inside(line: &str) -> bool {
    let path = line.splitn(3, ':').nth(2).unwrap_or_default();
    path.strip_prefix(ROOT).is_some_and(|rest| rest.is_empty() || rest.starts_with('/'))
}

/// Removes a cgroup and its children, deepest first. The files in them cannot be deleted, so only `rmdir` works.
fn remove_tree(group: &Path) -> bool {
    for entry in fs::read_dir(group).into_iter().flatten().flatten() {
        if entry.file_type().is_ok_and(|kind| kind.is_dir()) {
            remove_tree(&entry.path());
        }
    }
    fs::remove_dir(group).is_ok()
}

/// The hierarchies: the mount with v2, one directory for each controller with v1 or both. Symbolic links are other
/// names of the same hierarchy and are skipped.
fn hierarchies() -> Vec<PathBuf> {
    if Path::new(MOUNT).join("cgroup.controllers").exists() {
        return vec![MOUNT.into()];
    }
    let entries = fs::read_dir(MOUNT).into_iter().flatten().flatten();
    let directories = entries.filter(|entry| entry.file_type().is_ok_and(|kind| kind.is_dir()));
    directories.map(|entry| entry.path()).collect()
}

/// With v1 a new cgroup has no CPUs and no memory nodes until they are set. Copies those of the parent.
fn inherit_cpuset(hierarchy: &Path, group: &Path) {
    for file in ["cpuset.cpus", "cpuset.mems"] {
        if let Ok(value) = fs::read_to_string(hierarchy.join(file))
            && group.join(file).exists()
        {
            let _ = fs::write(group.join(file), value.trim());
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn only_paths_below_the_cgroup_are_inside() {
        assert!(is_line_inside("4:memory:/recommender-e2e/kubepods/pod1"));
        assert!(is_line_inside("0::/recommender-e2e"));
        assert!(!is_line_inside("4:memory:/recommender-e2e-other/x"));
        assert!(!is_line_inside("4:memory:/user.slice/recommender-e2e"));
    }
}
