//! How often an object's pods are scraped. The windows of recording rules and of scaling decisions depend on it.

use super::Model;
use crate::{api::Worker, monitoring::SCRAPE_SECONDS};

/// Seconds between two scrapes of workloads that scale on latency or lag: a decision is only as current as its newest
/// sample.
const SCALING_SECONDS: i32 = 5;

/// Seconds between two scrapes of the servers.
pub fn of_servers(model: &Model) -> i32 {
    let scaled = model.serving.autoscaling.as_ref().is_some_and(|autoscaling| autoscaling.latency.is_some());
    let asked = model.monitoring.as_ref().and_then(|monitoring| monitoring.metrics.interval_seconds);
    asked.unwrap_or(default_of(scaled))
}

/// Seconds between two scrapes of a worker; `None` if it exposes no metrics.
pub fn of_worker(worker: &Worker) -> Option<i32> {
    let scaled = worker.autoscaling.as_ref().is_some_and(|autoscaling| autoscaling.lag.is_some());
    Some(worker.metrics.as_ref()?.interval_seconds.unwrap_or(default_of(scaled)))
}

/// Seconds between two scrapes of the worker that is scraped least often. Without scraped workers the value is unused.
pub fn of_workers(model: &Model) -> i32 {
    model.workers.iter().filter_map(of_worker).max().unwrap_or(SCRAPE_SECONDS)
}

const fn default_of(scaled: bool) -> i32 {
    if scaled { SCALING_SECONDS } else { SCRAPE_SECONDS }
}
