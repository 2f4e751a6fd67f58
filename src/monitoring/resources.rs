//! Canonical series of the pods of all workloads: their states by the operator's metrics, and what they use by those of the
//! kubelets, where these are scraped.

use super::{
    Watched, Workload,
    promql::{equals, quote, series},
    recording::{LAST, Source, rule_of},
};
use crate::{api::monitoring_coreos::Rule, series::Series};

/// Window of rates of what containers use, as a PromQL duration: kubelets measure every 10 to 20 s and are scraped every 15 to 60 s.
const WINDOW: &str = "5m";
/// Matcher for the containers of our pods, without sidecars.
const CONTAINERS: &str = r#"container=~"server|trainer|worker""#;

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
    let rule = |series: Series, expr| Rule {
        record: Some(series.name().into()),
        expr,
        labels: watched.labels(),
        ..Rule::default()
    };
    let allowed = watched.cores.iter().map(|(workload, cores)| {
        format!("label_replace(vector({cores}), \"workload\", {}, \"\", \"\")", quote(workload))
    });
    let allowed: Vec<String> = allowed.collect();
    let use_of_cores = (!allowed.is_empty()).then(|| {
        let mean = rated("avg", "container_cpu_usage_seconds_total", &[CONTAINERS]);
        (Series::CpuUse, format!("{mean} / on (workload) ({})", allowed.join(" or ")))
    });
    let of_volume = watched.claim.map(|claim| volume(watched, claim));
    let of_volume = of_volume.map(|free| rule_of(watched, Workload::Training, Series::VolumeFree.name(), free));
    all.into_iter().chain(use_of_cores).map(|(series, expr)| rule(series, expr)).chain(of_volume).collect()
}

/// The free part of the volume of the artifacts. It is mounted by pods on several nodes, each of which reports it.
fn volume(watched: &Watched, claim: &str) -> String {
    let namespace = equals("namespace", watched.namespace);
    let of = |name: &str| {
        series(&format!("kubelet_volume_stats_{name}_bytes"), &[&namespace, &equals("persistentvolumeclaim", claim)])
    };
    format!("min({} / {})", of("available"), of("capacity"))
}
