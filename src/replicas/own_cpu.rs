//! The CPU use of servers from their own counters, for the time in which no metric source measures them.

use std::collections::{BTreeMap, VecDeque};

use jiff::Timestamp;

use super::evidence::CpuUse;

/// Shortest window of a measurement, seconds: a start or a batch may use all of the CPU for a moment.
const WINDOW: f64 = 9.0;
/// Largest use of a process, as a factor of its limit: a limit holds per period of 100 ms, and readings are some ms apart.
const MOST: f64 = 1.2;
/// Number of readings that are kept of each server: enough to span the window when they are 5 s apart and one was missed.
const KEPT: usize = 4;

/// A reading of a server's CPU counter.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct Reading {
    /// When the server answered.
    pub at: Timestamp,
    /// CPU seconds that the server's process has used since its start.
    pub seconds: f64,
}

/// The last readings of the CPU counters of a workload's servers, by pod name, oldest first. Each has its own time: servers
/// with a full queue answer up to two seconds later than others.
#[derive(Clone, Debug, Default)]
pub struct OwnCpu(BTreeMap<String, VecDeque<Reading>>);

impl OwnCpu {
    /// Adds a reading of each server that answered. A server without a reading for a window is forgotten.
    pub fn add(&mut self, readings: BTreeMap<String, Reading>) {
        for (pod, reading) in readings {
            let kept = self.0.entry(pod).or_default();
            kept.push_back(reading);
            if kept.len() > KEPT {
                kept.pop_front();
            }
        }
        let last = |kept: &VecDeque<Reading>| kept.back().map(|reading| reading.at);
        if let Some(newest) = self.0.values().filter_map(last).max() {
            self.0.retain(|_, kept| last(kept).is_some_and(|at| newest.duration_since(at).as_secs_f64() < WINDOW));
        }
    }

    /// CPU use of the servers that were read over a window, of which each may use `cores`. None when there is no such server.
    pub fn cpu_use(&self, cores: f64) -> Option<CpuUse> {
        let servers: Vec<CpuUse> = self.0.values().filter_map(|kept| cpu_use(kept, cores)).collect();
        CpuUse::mean(&servers)
    }
}

/// The same for one server.
fn cpu_use(kept: &VecDeque<Reading>, cores: f64) -> Option<CpuUse> {
    let newest = kept.back()?;
    let length = |of: &Reading| newest.at.duration_since(of.at).as_secs_f64();
    let before = kept.iter().rev().find(|reading| length(reading) >= WINDOW)?;
    let (seconds, used) = (length(before), newest.seconds - before.seconds);
    let share = used / seconds / cores;
    // A counter that went back, or on by more than the limit allows, is that of another process.
    (0.0..=MOST * cores * seconds).contains(&used).then_some(CpuUse { share, end: newest.at, seconds })
}

#[cfg(test)]
mod tests {
    use jiff::SignedDuration;

    use super::*;

    fn at(seconds: i64) -> Timestamp {
        Timestamp::UNIX_EPOCH + SignedDuration::from_secs(seconds)
    }

    fn measured(share: f64, end: i64, seconds: f64) -> Option<CpuUse> {
        Some(CpuUse { share, end: at(end), seconds })
    }

    fn read(own: &mut OwnCpu, second: i64, seconds: &[(&str, f64)]) {
        let reading = |seconds| Reading { at: at(second), seconds };
        own.add(seconds.iter().map(|(pod, seconds)| ((*pod).to_owned(), reading(*seconds))).collect());
    }

    #[test]
    fn the_cpu_use_is_the_mean_of_the_servers_over_the_last_ten_seconds() {
        let mut own = OwnCpu::default();
        read(&mut own, 0, &[("a", 7.0), ("b", 3.0)]);
        read(&mut own, 5, &[("a", 7.0), ("b", 3.0)]);
        assert_eq!(own.cpu_use(0.5), None, "five seconds are too short a window");
        read(&mut own, 10, &[("a", 12.0), ("b", 3.0)]);
        assert_eq!(own.cpu_use(0.5), measured(0.5, 10, 10.0));
        read(&mut own, 15, &[("a", 12.0), ("b", 8.0)]);
        assert_eq!(own.cpu_use(0.5), measured(1.0, 15, 10.0));
    }

    #[test]
    fn a_late_answer_counts_from_its_own_time() {
        let mut own = OwnCpu::default();
        for (second, seconds) in [(0, 0.0), (12, 6.0)] {
            let late = Reading { at: at(second), seconds };
            own.add([("late".to_owned(), late)].into());
        }
        assert_eq!(own.cpu_use(0.5), measured(1.0, 12, 12.0), "half a core for twelve seconds, not for ten");
    }

    #[test]
    fn new_removed_and_restarted_servers_do_not_count() {
        let mut own = OwnCpu::default();
        read(&mut own, 0, &[("a", 7.0), ("gone", 1.0), ("restarted", 900.0)]);
        read(&mut own, 10, &[("a", 8.0), ("new", 5.0), ("restarted", 2.0)]);
        assert_eq!(own.cpu_use(1.0), measured(0.1, 10, 10.0));
        read(&mut own, 20, &[("a", 400.0)]);
        assert_eq!(
            own.cpu_use(1.0),
            None,
            "more than a core for ten seconds: another process of the same server answered"
        );
        read(&mut own, 30, &[]);
        assert_eq!(own.cpu_use(1.0), None);
    }
}
