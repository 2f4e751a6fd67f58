//! The CPU use of servers from their own counters, for the time in which no metric source measures them.

use std::collections::{BTreeMap, VecDeque};

use jiff::Timestamp;

/// Shortest window of a measurement, seconds: a start or a batch may use all of the CPU for a moment.
const WINDOW: f64 = 9.0;
/// Largest use of a process, as a factor of its limit: a limit holds per period of 100 ms, and readings are some ms apart.
const MOST: f64 = 1.2;
/// Number of readings that are kept: enough to span the window when they are 5 s apart and one was missed.
const KEPT: usize = 4;

/// The last readings of the CPU counters of a workload's servers.
#[derive(Clone, Debug, Default)]
pub struct OwnCpu(VecDeque<Reading>);

#[derive(Clone, Debug)]
struct Reading {
    at: Timestamp,
    /// CPU seconds that a server's process has used since its start, by pod name.
    seconds: BTreeMap<String, f64>,
}

impl OwnCpu {
    /// Adds a reading.
    pub fn add(&mut self, at: Timestamp, seconds: BTreeMap<String, f64>) {
        self.0.push_back(Reading { at, seconds });
        if self.0.len() > KEPT {
            self.0.pop_front();
        }
    }

    /// CPU use as a share of the `cores` that each server may use, mean of the servers that were read twice; the end of the
    /// measurement, and its length in seconds. None when there is no such server.
    pub fn share(&self, cores: f64) -> Option<(f64, Timestamp, f64)> {
        let newest = self.0.back()?;
        let length = |of: &Reading| newest.at.duration_since(of.at).as_secs_f64();
        let before = self.0.iter().rev().find(|reading| length(reading) >= WINDOW)?;
        let used = newest.seconds.iter().filter_map(|(pod, seconds)| Some(seconds - before.seconds.get(pod)?));
        let window = length(before);
        // A counter that went back, or on by more than the limit allows, is that of another process.
        let possible = 0.0..=MOST * cores * window;
        let used: Vec<f64> = used.filter(|used| possible.contains(used)).collect();
        let mean = used.iter().sum::<f64>() / used.len() as f64;
        (!used.is_empty()).then_some((mean / window / cores, newest.at, window))
    }
}

#[cfg(test)]
mod tests {
    use jiff::SignedDuration;

    use super::*;

    fn at(seconds: i64) -> Timestamp {
        Timestamp::UNIX_EPOCH + SignedDuration::from_secs(seconds)
    }

    fn read(own: &mut OwnCpu, second: i64, seconds: &[(&str, f64)]) {
        own.add(at(second), seconds.iter().map(|(pod, seconds)| ((*pod).to_owned(), *seconds)).collect());
    }

    #[test]
    fn the_cpu_use_is_the_mean_of_the_servers_over_the_last_ten_seconds() {
        let mut own = OwnCpu::default();
        read(&mut own, 0, &[("a", 7.0), ("b", 3.0)]);
        read(&mut own, 5, &[("a", 7.0), ("b", 3.0)]);
        assert_eq!(own.share(0.5), None, "five seconds are too short a window");
        read(&mut own, 10, &[("a", 12.0), ("b", 3.0)]);
        assert_eq!(own.share(0.5), Some((0.5, at(10), 10.0)));
        read(&mut own, 15, &[("a", 12.0), ("b", 8.0)]);
        assert_eq!(own.share(0.5), Some((1.0, at(15), 10.0)));
    }

    #[test]
    fn new_removed_and_restarted_servers_do_not_count() {
        let mut own = OwnCpu::default();
        read(&mut own, 0, &[("a", 7.0), ("gone", 1.0), ("restarted", 900.0)]);
        read(&mut own, 10, &[("a", 8.0), ("new", 5.0), ("restarted", 2.0)]);
        assert_eq!(own.share(1.0), Some((0.1, at(10), 10.0)));
        read(&mut own, 20, &[("a", 400.0)]);
        assert_eq!(
            own.share(1.0),
            None,
            "more than a core for ten seconds: another process of the same server answered"
        );
        read(&mut own, 30, &[]);
        assert_eq!(own.share(1.0), None);
    }
}
