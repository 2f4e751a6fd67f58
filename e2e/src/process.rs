//! Processes that outlive the program that started them. Each has a log file and a record of its pid and start time, so
//! that only processes of ours are ever stopped.

use std::fs::{self, File};
use std::os::unix::process::CommandExt;
use std::path::PathBuf;
use std::process::{Child, Command, Stdio};
use std::thread;
use std::time::{Duration, Instant};

use anyhow::{Context, Result, bail};
use rustix::process::{Pid, Signal, kill_process};
use serde::{Deserialize, Serialize};

use crate::{command, paths};

/// How long a process may take to end after SIGTERM, and after SIGKILL.
const STOP_TIMEOUT: Duration = Duration::from_secs(5);

/// A process to start.
pub struct Daemon {
    /// The name of its log and record.
    pub name: &'static str,
    /// The program.
    pub program: PathBuf,
    /// Its arguments.
    pub args: Vec<String>,
    /// Environment variables in addition to ours.
    pub env: Vec<(&'static str, String)>,
}

/// A started process.
pub struct Started {
    name: &'static str,
    child: Child,
}

/// Identifies a process. A pid is reused; a pid with its start time within one boot is not.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Identity {
    pid: i32,
    /// In clock ticks since boot, as in `/proc/PID/stat`.
    start: u64,
    boot: String,
}

impl Identity {
    /// The identity of a running process; None if it does not exist or is a zombie.
    pub fn of(pid: i32) -> Option<Self> {
        let (state, start) = parse_stat(&fs::read_to_string(format!("/proc/{pid}/stat")).ok()?)?;
        (state != 'Z').then(|| Self { pid, start, boot: boot_id() })
    }

    fn is_alive(&self) -> bool {
        Self::of(self.pid).as_ref() == Some(self)
    }

    fn signal(&self, signal: Signal) {
        if self.is_alive()
            && let Some(pid) = Pid::from_raw(self.pid)
        {
            // It may have ended in the meantime.
            let _ = kill_process(pid, signal);
        }
    }
}

/// Starts the process in its own process group, so that Ctrl-C in our terminal does not reach it.
pub fn start(daemon: Daemon) -> Result<Started> {
    fs::create_dir_all(paths::logs())?;
    fs::create_dir_all(records())?;
    let log = File::create(log_path(daemon.name)).context("cannot create a log file")?;
    let child = Command::new(&daemon.program)
        .args(&daemon.args)
        .envs(daemon.env)
        .stdin(Stdio::null())
        .stdout(log.try_clone()?)
        .stderr(log)
        .current_dir(paths::state())
        .process_group(0)
        .spawn()
        .with_context(|| format!("cannot start {} ({})", daemon.name, daemon.program.display()))?;
    let pid = i32::try_from(child.id())?;
    if let Some(identity) = Identity::of(pid) {
        fs::write(record_path(daemon.name), serde_json::to_vec(&identity)?)?;
    }
    Ok(Started { name: daemon.name, child })
}

impl Started {
    /// Waits until `probe` succeeds. Fails with the reason and the end of the log when the process ends or the time is
    /// up.
    pub fn wait_ready(&mut self, timeout: Duration, mut probe: impl FnMut() -> Result<()>) -> Result<()> {
        let deadline = Instant::now() + timeout;
        loop {
            let failure = match probe() {
                Ok(()) => return Ok(()),
                Err(failure) => failure,
            };
            if let Some(status) = self.child.try_wait()? {
                bail!("{} ended while starting ({status}). {}", self.name, log_tail(self.name));
            }
            if Instant::now() > deadline {
                bail!("{} is not ready after {} s: {failure:#}. {}", self.name, timeout.as_secs(), log_tail(self.name));
            }
            thread::sleep(Duration::from_millis(100));
        }
    }
}

/// Whether the process that was last started under this name is running.
pub fn is_running(name: &str) -> bool {
    recorded(name).is_some_and(|identity| identity.is_alive())
}

/// Stops these processes together, with SIGTERM and then SIGKILL, and removes their records.
pub fn stop(names: &[&str]) {
    let identities: Vec<Identity> = names.iter().filter_map(|name| recorded(name)).collect();
    stop_all(&identities);
    for name in names {
        let _ = fs::remove_file(record_path(name));
    }
}

/// Stops these processes: SIGTERM, and SIGKILL for all that have not ended after [`STOP_TIMEOUT`].
pub fn stop_all(identities: &[Identity]) {
    for identity in identities {
        identity.signal(Signal::TERM);
    }
    if !wait_gone(identities, STOP_TIMEOUT) {
        kill_all(identities);
    }
}

/// Sends SIGKILL to these processes.
pub fn kill_all(identities: &[Identity]) {
    for identity in identities {
        identity.signal(Signal::KILL);
    }
    wait_gone(identities, STOP_TIMEOUT);
}

fn wait_gone(identities: &[Identity], timeout: Duration) -> bool {
    let deadline = Instant::now() + timeout;
    while identities.iter().any(Identity::is_alive) {
        if Instant::now() > deadline {
            return false;
        }
        thread::sleep(Duration::from_millis(20));
    }
    true
}

/// All processes whose pid fulfils the predicate.
pub fn find(predicate: impl Fn(i32) -> bool) -> Vec<Identity> {
    let Ok(entries) = fs::read_dir("/proc") else { return Vec::new() };
    entries
        .filter_map(|entry| entry.ok()?.file_name().to_str()?.parse().ok())
        .filter(|pid| predicate(*pid))
        .filter_map(Identity::of)
        .collect()
}

/// `pid 1234 (cargo demo) since 10:55:12`.
pub fn describe_pid(pid: i32) -> String {
    let line = fs::read(format!("/proc/{pid}/cmdline")).unwrap_or_default();
    let line = String::from_utf8_lossy(&line).replace('\0', " ");
    let short: String = line.trim().chars().take(80).collect();
    let since = started_at(pid).map_or(String::new(), |at| format!(" since {}", at.strftime("%H:%M:%S")));
    format!("pid {pid} ({short}){since}")
}

fn started_at(pid: i32) -> Option<jiff::Zoned> {
    let ticks = Identity::of(pid)?.start;
    let stat = fs::read_to_string("/proc/stat").ok()?;
    let boot: u64 = stat.lines().find_map(|line| line.strip_prefix("btime "))?.trim().parse().ok()?;
    let second = boot + ticks / rustix::param::clock_ticks_per_second();
    let timestamp = jiff::Timestamp::from_second(i64::try_from(second).ok()?).ok()?;
    Some(timestamp.to_zoned(jiff::tz::TimeZone::system()))
}

/// CPU seconds that a process has used so far, in user and in kernel mode.
pub fn cpu_seconds(pid: u32) -> Result<f64> {
    let path = format!("/proc/{pid}/stat");
    let stat = fs::read_to_string(&path).with_context(|| format!("cannot read {path}"))?;
    let ticks = parse_cpu(&stat).with_context(|| format!("no CPU time in {path}: {stat}"))?;
    Ok(ticks as f64 / rustix::param::clock_ticks_per_second() as f64)
}

/// The end of a process's log, for error messages.
pub fn log_tail(name: &str) -> String {
    let path = log_path(name);
    let text = fs::read(&path).unwrap_or_default();
    let lines = command::last_lines(&String::from_utf8_lossy(&text), 15);
    format!("The end of {}:\n{lines}", path.display())
}

fn log_path(name: &str) -> PathBuf {
    paths::logs().join(format!("{name}.log"))
}

fn records() -> PathBuf {
    paths::state().join("processes")
}

fn record_path(name: &str) -> PathBuf {
    records().join(format!("{name}.json"))
}

fn recorded(name: &str) -> Option<Identity> {
    serde_json::from_slice(&fs::read(record_path(name)).ok()?).ok()
}

fn boot_id() -> String {
    fs::read_to_string("/proc/sys/kernel/random/boot_id").unwrap_or_default().trim().to_owned()
}

/// State and start time.
fn parse_stat(stat: &str) -> Option<(char, u64)> {
    let fields = fields(stat)?;
    Some((fields.first()?.chars().next()?, fields.get(19)?.parse().ok()?))
}

/// CPU time in user and in kernel mode, in clock ticks.
fn parse_cpu(stat: &str) -> Option<u64> {
    let fields = fields(stat)?;
    let ticks = |index: usize| fields.get(index)?.parse::<u64>().ok();
    Some(ticks(11)? + ticks(12)?)
}

/// The fields of `/proc/PID/stat` from the state on. The process name in parentheses before it may itself contain spaces and
/// parentheses.
fn fields(stat: &str) -> Option<Vec<&str>> {
    Some(stat[stat.rfind(')')? + 1..].split_whitespace().collect())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_start_time_and_the_cpu_time_are_parsed_after_any_process_name() {
        let stat = "12 (a) b (c) S 1 12 12 0 -1 4194560 1 2 3 4 5 6 7 8 20 0 1 0 98765 1000 10";
        assert_eq!(parse_stat(stat), Some(('S', 98765)));
        assert_eq!(parse_cpu(stat), Some(5 + 6));
    }

    #[test]
    fn a_reused_pid_is_another_process() {
        let mine = Identity::of(i32::try_from(std::process::id()).expect("fits")).expect("we run");
        assert!(mine.is_alive());
        assert!(!Identity { start: mine.start + 1, ..mine.clone() }.is_alive());
        assert!(!Identity { boot: "another".into(), ..mine }.is_alive());
    }
}
