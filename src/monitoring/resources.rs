//! Canonical series of the pods of all workloads: their states by the operator's metrics, and what they use by those of the
//! kubelets, where these are scraped.

use super::{
    Watched, Workload,
    promql::{any_of, equals, quote, series},
    recording::{LAST, Source, distinct, record, rule_of},
};
use crate::{api::monitoring_coreos::Rule, series::Series};

/// Window of rates of what containers use, as a PromQL duration: kubelets measure every 10 to 20 s and are scraped every 15 to 60 s.
const WINDOW: &str = "5m";
/// Matcher for the containers of our pods, without sidecars.
const CONTAINERS: &str = r#"container=~"server|trainer|worker""#;

/// What a workload requests for each of its pods.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct Requested<'a> {
    /// Servers, training or the name of a worker.
    pub workload: &'a str,
    /// CPU, as a part of what its CPU use is a part of: of the limit, or else of the request itself.
    pub of_allowed: f64,
    /// Memory, in bytes.
    pub memory: f64,
}

/// The recording rules. The label `workload` comes from the pods.
pub fn rules(watched: &Watched) -> Vec<Rule> {
    let source = Source::new(watched);
    let pods = watched.pods();
    let of_pods = |name: &str, containers: &[&str]| {
        let namespace = equals("namespace", watched.namespace);
        let all = pods.iter().map(|(_, pattern)| pattern.as_str()).collect::<Vec<_>>().join("|");
        series(name, &[&[namespace.as_str(), &format!("pod=~{}", quote(&all))], containers].concat())
    };
    let by_workload = |aggregation: &str, expr: String| {
        let labelled = pods.iter().fold(expr, |expr, (workload, pattern)| {
            format!("label_replace({expr}, \"workload\", {}, \"pod\", {})", quote(workload), quote(pattern))
        });
        format!("{aggregation} by (workload) ({labelled})")
    };
    let rated = |aggregation: &str, name: &str, containers: &[&str]| {
        by_workload(aggregation, format!("rate({}[{WINDOW}])", of_pods(name, containers)))
    };
    let rate = |name: &str, containers: &[&str]| rated("sum", name, containers);
    let periods = |name: &str| rate(&format!("container_cpu_cfs_{name}_total"), &[CONTAINERS]);
    let memory = of_pods("container_memory_working_set_bytes", &[CONTAINERS]);
    let all = [
        (Series::Pods, source.of_operator_by("workload, state", "recommender_operator_pods", "")),
        (
            Series::OutOfMemoryAge,
            format!(
                "time() - {}",
                source.of_operator_by("workload", "recommender_operator_out_of_memory_timestamp_seconds", "")
            ),
        ),
        (Series::CpuCores, rate("container_cpu_usage_seconds_total", &[CONTAINERS])),
        (Series::CpuThrottled, format!("{} / ({} > 0)", periods("throttled_periods"), periods("periods"))),
        (Series::MemoryBytes, by_workload("sum", format!("last_over_time({memory}[{LAST}])"))),
        (Series::NetworkReceived, rate("container_network_receive_bytes_total", &[])),
        (Series::NetworkTransmitted, rate("container_network_transmit_bytes_total", &[])),
    ];
    let use_of_cores = values(watched.cores.iter().copied()).map(|allowed| {
        let mean = rated("avg", "container_cpu_usage_seconds_total", &[CONTAINERS]);
        (Series::CpuUse, format!("{mean} / on (workload) ({allowed})"))
    });
    let requested = values(watched.requested.iter().map(|of| (of.workload, of.memory))).map(|requested| {
        let largest = by_workload("max", format!("last_over_time({memory}[{LAST}])"));
        [(Series::MemoryRequested, format!("{largest} / on (workload) ({requested})"))].into_iter().chain(week(watched))
    });
    let of_volume = watched.claim.map(|claim| volume(watched, claim));
    let of_volume = of_volume.map(|free| rule_of(watched, Workload::Training, Series::VolumeFree.name(), free));
    let requested = requested.into_iter().flatten();
    all.into_iter()
        .chain(use_of_cores)
        .chain(requested)
        .map(|(series, expr)| record(watched, series.name(), &[], expr))
        .chain(of_volume)
        .collect()
}

/// A value for each workload; `None` for none.
fn values<'a>(of: impl Iterator<Item = (&'a str, f64)>) -> Option<String> {
    let each: Vec<_> = of.map(|(workload, value)| (workload, format!("vector({value})"))).collect();
    (!each.is_empty()).then(|| distinct("workload", &each))
}

/// What workloads used within a week of what they request, once something is known of its first day. What is recorded every two minutes
/// is read, 5,040 samples of each workload: some milliseconds per object, of the two minutes until the next evaluation.
fn week(watched: &Watched) -> [(Series, String); 2] {
    let workloads = format!("workload=~{}", any_of(watched.requested.iter().map(|of| of.workload)));
    let of_week = |function: &str, of: Series| {
        let of = series(of.name(), &[&watched.object(), &workloads]);
        format!("{function}{of}[1w]) and present_over_time({of}[1d] offset 6d)")
    };
    // The mean of the pods, as replicas share the load; the largest of the pods, as each may fill its memory.
    let cpu = of_week("quantile_over_time(0.95, ", Series::CpuUse);
    let cpu = match values(watched.requested.iter().map(|of| (of.workload, of.of_allowed))) {
        Some(parts) if watched.requested.iter().any(|of| of.of_allowed != 1.0) => {
            format!("({cpu}) / on (workload) ({parts})")
        }
        _ => cpu,
    };
    let memory = of_week("max_over_time(", Series::MemoryRequested);
    [(Series::CpuRequestedWeek, cpu), (Series::MemoryRequestedWeek, memory)]
}

/// The free part of the volume of the artifacts. It is mounted by pods on several nodes, each of which reports it.
fn volume(watched: &Watched, claim: &str) -> String {
    let namespace = equals("namespace", watched.namespace);
    let of = |name: &str| {
        series(&format!("kubelet_volume_stats_{name}_bytes"), &[&namespace, &equals("persistentvolumeclaim", claim)])
    };
    format!("min({} / {})", of("available"), of("capacity"))
}
