//! The control group below which all pods run, in either version of the kernel's interface.

use std::fs;
use std::path::{Path, PathBuf};
use std::thread;
use std::time::{Duration, Instant};

use anyhow::{Context, Result};

use crate::process;

/// The group, in every hierarchy.
pub const ROOT: &str = "/recommender-e2e";

const MOUNT: &str = "/sys/fs/cgroup";

/// Makes the group; kubelet wants to find it.
pub fn create() -> Result<()> {
    let unified = Path::new(MOUNT).join("cgroup.controllers");
    if let Ok(controllers) = fs::read_to_string(&unified) {
        for controller in controllers.split_whitespace() {
            // Some cannot be delegated on some hosts. Kubelet says so if it misses one.
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

/// Kills everything that runs in the group.
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

/// Removes the group, which must be empty of processes.
pub fn remove() {
    let deadline = Instant::now() + Duration::from_secs(5);
    for hierarchy in hierarchies() {
        let group = hierarchy.join(&ROOT[1..]);
        // The kernel may need a moment to see that the last process is gone.
        while group.exists() && !remove_tree(&group) && Instant::now() < deadline {
            thread::sleep(Duration::from_millis(50));
        }
    }
}

fn is_inside(pid: i32) -> bool {
    let groups = fs::read_to_string(format!("/proc/{pid}/cgroup")).unwrap_or_default();
    groups.lines().any(is_line_inside)
}

/// A line of `/proc/PID/cgroup`: `4:memory:/recommender-e2e/kubepods/...`.
fn is_line_inside(line: &str) -> bool {
    let path = line.splitn(3, ':').nth(2).unwrap_or_default();
    path.strip_prefix(ROOT).is_some_and(|rest| rest.is_empty() || rest.starts_with('/'))
}

/// Directories of files that cannot be deleted: only `rmdir`, deepest first.
fn remove_tree(group: &Path) -> bool {
    for entry in fs::read_dir(group).into_iter().flatten().flatten() {
        if entry.file_type().is_ok_and(|kind| kind.is_dir()) {
            remove_tree(&entry.path());
        }
    }
    fs::remove_dir(group).is_ok()
}

/// The mount itself with version 2; one directory for each controller with version 1 or both. A hierarchy
/// may be mounted under several names through symbolic links; each is taken once.
fn hierarchies() -> Vec<PathBuf> {
    if Path::new(MOUNT).join("cgroup.controllers").exists() {
        return vec![MOUNT.into()];
    }
    let entries = fs::read_dir(MOUNT).into_iter().flatten().flatten();
    let directories = entries.filter(|entry| entry.file_type().is_ok_and(|kind| kind.is_dir()));
    directories.map(|entry| entry.path()).collect()
}

/// In version 1 a new group may use no CPU and no memory node until told which.
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
    fn only_paths_below_the_group_are_inside() {
        assert!(is_line_inside("4:memory:/recommender-e2e/kubepods/pod1"));
        assert!(is_line_inside("0::/recommender-e2e"));
        assert!(!is_line_inside("4:memory:/recommender-e2e-other/x"));
        assert!(!is_line_inside("4:memory:/user.slice/recommender-e2e"));
    }
}
