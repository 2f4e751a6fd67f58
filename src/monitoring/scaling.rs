//! The series that the scaler reads of servers that scale on a latency, recorded every 5 s.
//!
//! | Series | Unit | What |
//! |---|---|---|
//! | `recommender:requests:rate20s` | requests/s | over four scrapes |
//! | `recommender:requests:rate10s` | requests/s | over the last two scrapes |
//! | `recommender:scaling_latency_seconds:rate20s` | s | the quantile of the latency target |
//! | `recommender:cpu_use:rate20s` | 1 | cores used over cores allowed, the mean of the pods |
//! | `recommender:request_errors:rate20s` | requests/s | those that failed, over four scrapes |
//! | `recommender:targets_unanswered` | targets | those that did not answer their last scrape |
//! | `recommender:container_cpu_use` | 1 | of the limit, as the kubelet measures it, where Prometheus scrapes kubelets; no answer of the servers is needed for it |
//! | `recommender:front_requests:rate1m` | requests/s | in front of the servers, where the object names a front |
//!
//! `recommender:requests_in_flight` is not among them: it is no rate, and [`recording`](super::recording) has it with every
//! scrape.
//!
//! The names are those of scrapes every 5 s, the default of objects that scale on latency. Where `intervalSeconds` says
//! otherwise, the windows are four and two intervals long, and the names stay; they never get shorter than 20 and 10 s.
//!
//! Where no server answers, everything that comes from their answers is absent at once. Without that, a rate would go on for a window over what it has,
//! and fall while it does. Where servers answer and nobody asks, the rates are 0 and the latency is absent.

use super::{Watched, front, promql::equals, promql::series, recording::Source};
use crate::api::{Quantile, monitoring_coreos::Rule};
use crate::cores;

/// How far back the two newest samples of a kubelet may lie: they are scraped every 10 to 60 s.
const KUBELET_WINDOW: &str = "2m";

/// None when the servers do not scale on a latency.
pub fn rules(watched: &Watched) -> Vec<Rule> {
    let Some(quantile) = watched.scaled_on else { return Vec::new() };
    let source = Source::new(watched);
    let [long, short] = [window_seconds(watched.interval_seconds), window_seconds(watched.interval_seconds) / 2]
        .map(|seconds| format!("{seconds}s"));
    let answering = |expr: String| format!("({expr}) and sum({}) > 0", source.of_servers("up", &[]));
    let mut rules = vec![
        source.rule("recommender:requests:rate20s", answering(source.requests(&long))),
        source.rule("recommender:requests:rate10s", answering(source.requests(&short))),
        source
            .rule("recommender:scaling_latency_seconds:rate20s", answering(source.latency(in_promql(quantile), &long))),
    ];
    let cpu_use = cores::allowed(watched.resources).map(|cores| answering(cpu_use(&source, cores, &long)));
    rules.extend(cpu_use.map(|expr| source.rule("recommender:cpu_use:rate20s", expr)));
    let up = source.of_servers("up", &[]);
    rules.push(
        source.rule(
            "recommender:request_errors:rate20s",
            answering(source.errors(&long, "recommender:requests:rate20s")),
        ),
    );
    rules.push(source.rule("recommender:targets_unanswered", format!("count({up} == 0) or 0 * count({up})")));
    let container = cores::limit(watched.resources).map(|cores| container_cpu_use(watched, cores));
    rules.extend(container.map(|expr| source.rule("recommender:container_cpu_use", expr)));
    rules.extend(front::requests(watched).map(|expr| source.rule("recommender:front_requests:rate1m", expr)));
    rules
}

/// Seconds of the longer window: four scrapes. The scaler assumes it of what it reads.
pub fn window_seconds(interval_seconds: i32) -> i32 {
    interval_seconds.saturating_mul(4).max(20)
}

fn in_promql(quantile: Quantile) -> &'static str {
    match quantile {
        Quantile::P50 => "0.5",
        Quantile::P95 => "0.95",
        Quantile::P99 => "0.99",
    }
}

/// The larger of the mean use and of the share of periods in which the pods were throttled: one that is throttled all the
/// time has too little CPU even where its use does not quite reach the limit. Where not even half of the limit is used the
/// periods say nothing: only those count in which there was work, and a single long request is throttled in most of its own.
fn container_cpu_use(watched: &Watched, cores: f64) -> String {
    let pods = format!("pod=~{}", watched.serving_pods());
    let of_server = |name: &str| {
        let matchers = [&equals("namespace", watched.namespace), &pods, r#"container="server""#];
        format!("irate({}[{KUBELET_WINDOW}])", series(name, &matchers.map(|matcher| matcher as &str)))
    };
    let used = format!("avg({}) / {cores}", of_server("container_cpu_usage_seconds_total"));
    let throttled = format!(
        "sum({}) / (sum({}) > 0) and {used} > 0.5",
        of_server("container_cpu_cfs_throttled_periods_total"),
        of_server("container_cpu_cfs_periods_total")
    );
    super::recording::largest(&[("use", used), ("throttled", throttled)])
}

/// Pods that got requests count: one that is not ready yet gets none, and what it burns while it starts says nothing
/// about what requests cost. When nobody asks, all count.
fn cpu_use(source: &Source, cores: f64, window: &str) -> String {
    let used = format!("rate({}[{window}])", source.of_servers("process_cpu_seconds_total", &[]));
    let requests = source.of_servers(source.profile.requests, &[&source.measured]);
    let asked = format!("sum by (instance) (rate({requests}[{window}])) > 0");
    format!("(avg({used} and on (instance) {asked}) or avg({used})) / {cores}")
}
