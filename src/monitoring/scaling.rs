//! The series that the scaler reads for servers that scale on latency, recorded every 5 s, but for the CPU use by the kubelet's
//! metrics, which change every 10 to 20 s and are recorded every 15 s.
//!
//! | Series | Unit | Meaning |
//! |---|---|---|
//! | `recommender:requests:rate20s` | requests/s | over four scrapes |
//! | `recommender:requests:rate10s` | requests/s | over the last two scrapes |
//! | `recommender:scaling_latency_seconds:rate20s` | s | the quantile of the latency target |
//! | `recommender:cpu_use:rate20s` | 1 | cores used divided by cores allowed, mean of the pods |
//! | `recommender:request_errors:rate20s` | requests/s | failed requests, over four scrapes |
//! | `recommender:targets_unanswered` | targets | targets that did not answer their last scrape |
//! | `recommender:container_cpu_use` | 1 | cores used divided by the limit, or the share of throttled periods (1) |
//! | `recommender:front_requests:rate1m` | requests/s | in front of the servers, if the spec has a front |
//!
//! (1) The larger of the two, as measured by the kubelet. Recorded only where Prometheus scrapes kubelets. It does not need
//! an answer of the servers.
//!
//! `recommender:requests_in_flight` is a gauge, so it needs no window.
//!
//! The suffixes of the names refer to scrapes every 5 s, the default of objects that scale on latency. With another
//! `intervalSeconds` the windows are four and two intervals, but at least 20 and 10 s, and the names do not change.
//!
//! While `recommender:targets_of_several_processes` is above 0, no series is recorded that is computed from the servers' own
//! counters.
//!
//! If no server answers, all series computed from their metrics are absent at once. Otherwise a rate would still be computed
//! for the length of its window from the samples left, and would fall meanwhile. If servers answer and there are no
//! requests, the rates are 0 and the latency is absent.

use super::{Monitored, front, recording::Source};
use crate::{api::monitoring_coreos::Rule, cores, series::Series};

/// Largest age of the two newest samples of a kubelet, as a PromQL duration. Kubelets are scraped every 10 to 60 s.
const KUBELET_WINDOW: &str = "2m";

/// The recording rules for scaling; empty if the servers do not scale on latency.
pub fn rules(monitored: &Monitored) -> Vec<Rule> {
    let Some(target) = monitored.servers.latency_target else { return Vec::new() };
    let source = Source::new(monitored);
    let [long, short] =
        [window_seconds(monitored.metrics.interval_seconds), window_seconds(monitored.metrics.interval_seconds) / 2]
            .map(|seconds| format!("{seconds}s"));
    let up = source.of_servers("up", &[]);
    let trusted = |expr: String| source.trusted(&format!("({expr}) and sum({up}) > 0"));
    // The request rate is recorded first, and is absent whenever servers do not answer or are not trusted. That of PromQL of the spec
    // is in another group.
    let rate = source.of_servers(Series::RequestRate.name(), &[]);
    let answering = |expr: String| match monitored.metrics.signals {
        Some(_) => trusted(expr),
        None => format!("({expr}) and sum({rate})"),
    };
    let recorded = [
        (Series::RequestRate, Some(trusted(source.requests(&long)))),
        (Series::LatestRequestRate, Some(answering(source.requests(&short)))),
        (Series::Latency, source.latency(target.quantile, &long).map(answering)),
        (
            Series::Cpu,
            cores::allowed(monitored.servers.resources).map(|cores| answering(cpu_use(&source, cores, &long))),
        ),
        (Series::Failed, source.errors(&long, Series::RequestRate.name(), &answering)),
        (Series::Unanswered, Some(format!("sum({up} == bool 0)"))),
        (Series::Front, front::requests(monitored)),
    ];
    let recorded = recorded.into_iter().filter_map(|(series, expr)| Some(source.rule(series.name(), expr?)));
    source.in_flight_rule().into_iter().chain(recorded).collect()
}

/// The rule for the CPU use by the kubelet's metrics; none without a limit.
pub fn kubelet_rules(monitored: &Monitored) -> Vec<Rule> {
    let limit = monitored.servers.latency_target.and_then(|_| cores::limit(monitored.servers.resources));
    let expr = limit.map(|cores| container_cpu_use(monitored, cores));
    expr.map(|expr| Source::new(monitored).rule(Series::ContainerCpu.name(), expr)).into_iter().collect()
}

/// Length of the longer window in seconds: four scrapes. The scaler assumes the same window for the series it reads.
pub fn window_seconds(interval_seconds: i32) -> i32 {
    interval_seconds.saturating_mul(4).max(20)
}

/// The larger of the mean use and the share of CFS periods in which the pods were throttled. A pod that is throttled all the
/// time has too little CPU, even if its use does not quite reach the limit. Below half of the limit the share is ignored:
/// the kernel counts only periods with work, and a single long request is throttled in most of its periods.
fn container_cpu_use(monitored: &Monitored, cores: f64) -> String {
    let of_server = |name: &str| format!("irate({}[{KUBELET_WINDOW}])", monitored.object.server_containers(name));
    let used = format!("avg({}) / {cores}", of_server("container_cpu_usage_seconds_total"));
    let throttled = format!(
        "sum({}) / (sum({}) > 0) and {used} > 0.5",
        of_server("container_cpu_cfs_throttled_periods_total"),
        of_server("container_cpu_cfs_periods_total")
    );
    super::recording::largest(&[("use", used), ("throttled", throttled)])
}

/// Mean of the pods that got requests. A pod that is not ready yet gets none, and the CPU it uses during start-up is not
/// the cost of requests. Without any requests, the mean of all pods.
fn cpu_use(source: &Source, cores: f64, window: &str) -> String {
    let used = format!("rate({}[{window}])", source.of_servers("process_cpu_seconds_total", &[]));
    let rates = source.profile.requests.iter().map(|of| source.counter(of, &[]).rate(window));
    let asked = rates.map(|rate| format!("sum by (instance) ({rate}) > 0"));
    let asked = asked.collect::<Vec<_>>().join(" or ");
    if asked.is_empty() {
        return format!("avg({used}) / {cores}");
    }
    format!("(avg({used} and on (instance) {asked}) or avg({used})) / {cores}")
}
