//! File locks that report their holder. The kernel releases them when the holder ends, however it ends.

use std::fs::{File, OpenOptions, TryLockError};
use std::os::unix::fs::MetadataExt;
use std::path::Path;

use anyhow::{Context, Result};

/// A held lock. Dropping it releases it.
#[derive(Debug)]
pub struct Lock {
    _file: File,
}

/// Whether a lock is shared.
#[derive(Clone, Copy, PartialEq, Eq)]
pub enum Mode {
    /// No other process holds it.
    Exclusive,
    /// Other processes may hold it as `Shared`, too.
    Shared,
}

/// Takes the lock, or returns a description of its holders.
pub fn try_lock(path: &Path, mode: Mode) -> Result<std::result::Result<Lock, String>> {
    loop {
        let file = open(path)?;
        let taken = match mode {
            Mode::Exclusive => file.try_lock(),
            Mode::Shared => file.try_lock_shared(),
        };
        match taken {
            Ok(()) if is_current(&file, path) => return Ok(Ok(Lock { _file: file })),
            Ok(()) => continue, // removed by its last holder while we opened it
            Err(TryLockError::WouldBlock) => return Ok(Err(holders(&file))),
            Err(TryLockError::Error(error)) => {
                return Err(error).with_context(|| format!("cannot lock {}", path.display()));
            }
        }
    }
}

/// Takes the lock. If it is held, calls `waiting` once with a description of the holders, and waits.
pub fn lock(path: &Path, mode: Mode, waiting: impl FnOnce(&str)) -> Result<Lock> {
    let holder = match try_lock(path, mode)? {
        Ok(lock) => return Ok(lock),
        Err(holder) => holder,
    };
    waiting(&holder);
    loop {
        let file = open(path)?;
        let taken = match mode {
            Mode::Exclusive => file.lock(),
            Mode::Shared => file.lock_shared(),
        };
        taken.with_context(|| format!("cannot lock {}", path.display()))?;
        if is_current(&file, path) {
            return Ok(Lock { _file: file });
        }
    }
}

fn open(path: &Path) -> Result<File> {
    if let Some(parent) = path.parent() {
        std::fs::create_dir_all(parent).with_context(|| format!("cannot create {}", parent.display()))?;
    }
    OpenOptions::new()
        .create(true)
        .truncate(false)
        .write(true)
        .open(path)
        .with_context(|| format!("cannot open {}", path.display()))
}

/// Whether the opened file is still the one at this path. The last holder may have removed it.
fn is_current(file: &File, path: &Path) -> bool {
    match (file.metadata(), path.metadata()) {
        (Ok(held), Ok(named)) => held.ino() == named.ino() && held.dev() == named.dev(),
        _ => false,
    }
}

/// `pid 1234 (cargo demo) since 10:55:12`, for each process that has the file locked.
fn holders(file: &File) -> String {
    let Ok(meta) = file.metadata() else { return "another process".into() };
    let locks = std::fs::read_to_string("/proc/locks").unwrap_or_default();
    let mut pids: Vec<i32> = locks.lines().filter_map(|line| lock_holder(line, meta.ino())).collect();
    pids.sort_unstable();
    pids.dedup();
    let described: Vec<String> = pids.into_iter().map(crate::process::describe_pid).collect();
    if described.is_empty() { "another process".into() } else { described.join(", ") }
}

/// The pid in a line of `/proc/locks` (`1: FLOCK ADVISORY WRITE 1234 fe:00:5678 0 EOF`), if the line is about the
/// inode. Waiting processes (`1: -> FLOCK`) are not holders.
fn lock_holder(line: &str, inode: u64) -> Option<i32> {
    let fields: Vec<&str> = line.split_whitespace().collect();
    let [_, "FLOCK", _, _, pid, file, ..] = fields[..] else { return None };
    let of_line: u64 = file.rsplit(':').next()?.parse().ok()?;
    if of_line == inode { pid.parse().ok() } else { None }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn proc_locks_lists_holders_and_waiters_are_ignored() {
        assert_eq!(lock_holder("1: FLOCK  ADVISORY  WRITE 812 fe:00:5678 0 EOF", 5678), Some(812));
        assert_eq!(lock_holder("1: -> FLOCK  ADVISORY  WRITE 813 fe:00:5678 0 EOF", 5678), None);
        assert_eq!(lock_holder("2: POSIX  ADVISORY  WRITE 812 fe:00:5678 0 EOF", 5678), None);
        assert_eq!(lock_holder("3: FLOCK  ADVISORY  WRITE 812 fe:00:1 0 EOF", 5678), None);
    }

    #[test]
    fn a_refused_lock_names_its_holder() {
        let path = std::env::temp_dir().join(format!("e2e-lock-test-{}", std::process::id()));
        let held = try_lock(&path, Mode::Exclusive).expect("can lock").expect("is free");
        let refused = try_lock(&path, Mode::Shared).expect("can lock").expect_err("is held");
        assert!(refused.contains(&format!("pid {}", std::process::id())), "{refused}");
        drop(held);
        assert!(try_lock(&path, Mode::Shared).expect("can lock").is_ok());
        std::fs::remove_file(&path).expect("is ours");
    }
}
