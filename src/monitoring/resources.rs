//! Canonical series of the pods of all workloads: their states by the operator's metrics, and what they use by those of the
//! kubelets, where these are scraped.

use super::{
    Monitored, Workload,
    promql::{any_of, equals, quote, series},
    recording::{LAST, Source, distinct, record, rule_of},
};
use crate::{
    api::{Resources, monitoring_coreos::Rule},
    cores,
    series::Series,
};

/// Window of rates of what containers use, as a PromQL duration: kubelets measure every 10 to 20 s and are scraped every 15 to 60 s.
const WINDOW: &str = "5m";
/// Matcher for the containers of our pods, without sidecars.
const CONTAINERS: &str = r#"container=~"server|trainer|worker""#;

/// What a workload requests for each of its pods.
struct Requested<'a> {
    /// Servers, training or the name of a worker.
    workload: &'a str,
    /// CPU, as a part of what its CPU use is a part of: of the limit, or else of the request itself.
    of_allowed: f64,
    /// Memory, in bytes.
    memory: f64,
}

impl<'a> Requested<'a> {
    /// `None` unless it requests both CPU and memory.
    fn of(workload: &'a str, resources: &Resources) -> Option<Self> {
        let resources = Some(resources);
        let of_allowed = cores::requested(resources)? / cores::allowed(resources)?;
        Some(Self { workload, of_allowed, memory: cores::memory_requested(resources)? })
    }
}

/// The recording rules. The label `workload` comes from the pods.
pub fn rules(monitored: &Monitored) -> Vec<Rule> {
    let source = Source::new(monitored);
    let pods = monitored.pods();
    let of_pods = |name: &str, containers: &[&str]| {
        let namespace = equals("namespace", monitored.object.namespace);
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
    let allowed = monitored.resources().filter_map(|(workload, of)| Some((workload, cores::allowed(Some(of))?)));
    let use_of_cores = values(allowed).map(|allowed| {
        let mean = rated("avg", "container_cpu_usage_seconds_total", &[CONTAINERS]);
        (Series::CpuUse, format!("{mean} / on (workload) ({allowed})"))
    });
    let requested: Vec<_> =
        monitored.resources().filter_map(|(workload, resources)| Requested::of(workload, resources)).collect();
    let of_requested = values(requested.iter().map(|of| (of.workload, of.memory))).map(|memory_requested| {
        let largest = by_workload("max", format!("last_over_time({memory}[{LAST}])"));
        [(Series::MemoryRequested, format!("{largest} / on (workload) ({memory_requested})"))]
            .into_iter()
            .chain(week(monitored, &requested))
    });
    let of_volume = monitored.versions.claim.map(|claim| volume(monitored, claim));
    let of_volume = of_volume.map(|free| rule_of(monitored, Workload::Training, Series::VolumeFree.name(), free));
    all.into_iter()
        .chain(use_of_cores)
        .chain(of_requested.into_iter().flatten())
        .map(|(series, expr)| record(monitored, series.name(), &[], expr))
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
fn week(monitored: &Monitored, requested: &[Requested]) -> [(Series, String); 2] {
    let workloads = format!("workload=~{}", any_of(requested.iter().map(|of| of.workload)));
    let of_week = |function: &str, of: Series| {
        let of = series(of.name(), &[&monitored.object.matchers(), &workloads]);
        format!("{function}{of}[1w]) and present_over_time({of}[1d] offset 6d)")
    };
    // The mean of the pods, as replicas share the load; the largest of the pods, as each may fill its memory.
    let cpu = of_week("quantile_over_time(0.95, ", Series::CpuUse);
    let cpu = match values(requested.iter().map(|of| (of.workload, of.of_allowed))) {
        Some(parts) if requested.iter().any(|of| of.of_allowed != 1.0) => {
            format!("({cpu}) / on (workload) ({parts})")
        }
        _ => cpu,
    };
    let memory = of_week("max_over_time(", Series::MemoryRequested);
    [(Series::CpuRequestedWeek, cpu), (Series::MemoryRequestedWeek, memory)]
}

/// The free part of the volume of the artifacts. It is mounted by pods on several nodes, each of which reports it.
fn volume(monitored: &Monitored, claim: &str) -> String {
    let namespace = equals("namespace", monitored.object.namespace);
    let of = |name: &str| {
        series(&format!("kubelet_volume_stats_{name}_bytes"), &[&namespace, &equals("persistentvolumeclaim", claim)])
    };
    format!("min({} / {})", of("available"), of("capacity"))
}
