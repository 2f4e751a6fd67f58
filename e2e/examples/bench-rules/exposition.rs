//! The series that the rules read, of all objects, in the text format of Prometheus.

use std::{collections::BTreeSet, fmt::Write, net::SocketAddr, sync::Arc, time::Instant};

use anyhow::{Result, ensure};
use axum::{Router, routing::get};
use recommender_operator::{
    catalog::{self, Declared, NO_LAG, Type},
    model::Model,
    monitoring::dependencies::reported,
};
use tokio::net::TcpListener;

/// The namespace of all objects: what is restricted to a namespace alone reads the series of all of them.
pub const NAMESPACE: &str = "bench";
/// The namespace of the exporters.
const EXPORTERS: &str = "data";
/// Servers of an object.
const SERVERS: u32 = 2;
/// Training Jobs of an object that still exist: one that failed, and the others complete.
const JOBS: u32 = 4;
/// Requests per second of a server, messages per second of a queue.
const RATE: f64 = 10.0;
/// Objects that share an exporter.
const SHARE: usize = 100;
/// Values of labels that make several series of one: partitions of a topic, routes and status codes of servers. Any other label
/// of what an exporter reports of an object has the value `own-N` of the object.
const VALUES: [(&str, &[&str]); 6] = [
    ("partition", &["0", "1", "2"]),
    ("handler", &["/recommendations", "/items"]),
    ("method", &["GET"]),
    ("status", &["200", "500"]),
    ("vhost", &["/"]),
    ("db", &["db0"]),
];

/// The quantile of summaries.
const QUANTILE: &str = "99";
/// Values of the first other label of what an exporter reports of a whole database, broker or store, such as operations or
/// collections; further labels have the first of them.
const OTHERS: [&str; 5] = ["one", "two", "three", "four", "five"];

/// A server of the series on loopback.
pub struct Exposition {
    address: SocketAddr,
}

impl Exposition {
    /// Serves the series of these objects under `/metrics`. Counters grow from now on. `read`: the series that the rules read;
    /// it fails unless all of them are there, because a rule without input costs next to nothing.
    pub async fn serve(models: &[Model], read: &BTreeSet<String>) -> Result<Self> {
        let objects: Arc<Vec<Object>> = Arc::new(models.iter().map(Object::new).collect());
        let exporters = exporters(&models[0]);
        let missing = missing(&objects[..1], &exporters, read);
        ensure!(missing.is_empty(), "the rules read series that are not exposed: {missing:?}");
        let started = Instant::now();
        let metrics = get(async move || text(&objects, &exporters, started.elapsed().as_secs_f64()));
        let listener = TcpListener::bind("127.0.0.1:0").await?;
        let address = listener.local_addr()?;
        tokio::spawn(async move { axum::serve(listener, Router::new().route("/metrics", metrics)).await });
        Ok(Self { address })
    }

    /// Its address.
    pub fn address(&self) -> SocketAddr {
        self.address
    }
}

/// The labels of the exporter of an object. `dependency`: name of the dependency.
pub fn target(number: usize, dependency: &str) -> [(&'static str, String); 2] {
    [("job", dependency.into()), ("instance", format!("{dependency}-{}:9000", number / SHARE))]
}

/// The name of the dependency on an exporter.
pub fn dependency(kind: &str, exporter: &str) -> String {
    format!("{kind}-{exporter}").to_lowercase()
}

/// Kind and name of an exporter.
type Exporter = (String, String);

/// The exporters of the dependencies of an object.
fn exporters(model: &Model) -> BTreeSet<Exporter> {
    let reported = model.dependencies.iter().filter_map(reported);
    reported.map(|(kind, name, _)| (kind.to_owned(), name)).collect()
}

/// What the series of an object depend on.
struct Object {
    name: String,
    /// Those that are scaled.
    workloads: Vec<String>,
}

impl Object {
    fn new(model: &Model) -> Self {
        let workers = model.workers.iter().map(|worker| worker.name.clone());
        Self { name: model.identity.name.clone(), workloads: workers.chain(["serving".into()]).collect() }
    }

    /// The labels of its series.
    fn labels(&self) -> String {
        format!("namespace=\"{NAMESPACE}\",recommender=\"{}\"", self.name)
    }
}

/// The series that the rules of these objects read, and that are not exposed.
fn missing(objects: &[Object], exporters: &BTreeSet<Exporter>, read: &BTreeSet<String>) -> Vec<String> {
    let text = text(objects, exporters, 1.0);
    let exposed: BTreeSet<&str> = text.lines().filter_map(|line| Some(line.split_once('{')?.0)).collect();
    read.iter().filter(|name| !exposed.contains(name.as_str())).cloned().collect()
}

/// All series, `seconds` after the start.
fn text(objects: &[Object], exporters: &BTreeSet<Exporter>, seconds: f64) -> String {
    // The claim of the example, which all objects have.
    let claim = format!("{{namespace=\"{NAMESPACE}\",persistentvolumeclaim=\"models\"}}");
    let of_volume = ["available", "capacity"].map(|of| format!("kubelet_volume_stats_{of}_bytes{claim} 1\n"));
    let mut text = of_volume.concat();
    for (number, object) in objects.iter().enumerate() {
        let own = format!("own-{number}");
        servers(&mut text, object, seconds);
        operator(&mut text, object);
        jobs(&mut text, object);
        for (kind, exporter) in exporters {
            let dependency = dependency(kind, exporter);
            let of_target = target(number, &dependency).map(|(name, value)| format!("{name}=\"{value}\"")).join(",");
            let of_exporter = format!("namespace=\"{EXPORTERS}\",{of_target}");
            let of_pods = format!("{},{of_target}", object.labels());
            for series in &catalog::embedded().exporters[&(kind.clone(), exporter.clone())].series {
                let has_own_value =
                    kind != NO_LAG && series.labels.iter().any(|label| VALUES.iter().all(|(name, _)| name != label));
                // Pods of the object expose these, with the name of the dependency.
                if series.name.starts_with("recommender_") {
                    write(&mut text, series, &of_pods, &[&dependency], seconds);
                } else if has_own_value {
                    write(&mut text, series, &of_exporter, &[&own], seconds);
                } else if number.is_multiple_of(SHARE) {
                    write(&mut text, series, &of_exporter, &OTHERS, seconds);
                }
            }
            if number.is_multiple_of(SHARE) {
                let _ = writeln!(text, "up{{{of_exporter}}} 1");
            }
        }
    }
    text
}

/// What the servers of an object expose, and what the kubelet and kube-state-metrics report of them.
fn servers(text: &mut String, object: &Object, seconds: f64) {
    let profile = &catalog::embedded().profiles["FastApiInstrumentator"];
    let deployment = format!("{}-serving", object.name);
    let ready = "kube_deployment_status_replicas_ready";
    let _ = writeln!(text, "{ready}{{namespace=\"{NAMESPACE}\",deployment=\"{deployment}\"}} {SERVERS}");
    for server in 0..SERVERS {
        let pod = format!("{deployment}-7c9f6d5b4-{server:05}");
        let target = format!("{},workload=\"serving\",instance=\"{pod}:8000\"", object.labels());
        let network = format!("namespace=\"{NAMESPACE}\",pod=\"{pod}\"");
        let pod = format!("pod=\"{pod}\",container=\"server\"");
        let target = format!("{target},{pod}");
        let container = format!("namespace=\"{NAMESPACE}\",{pod}");
        for (series, labels, value) in [
            ("up", &target, 1.0),
            ("recommender_model_info", &format!("{target},version=\"a\""), 1.0),
            ("container_network_receive_bytes_total", &network, seconds),
            ("container_network_transmit_bytes_total", &network, seconds),
            ("process_start_time_seconds", &target, 1.0),
            ("process_cpu_seconds_total", &target, seconds / 10.0),
            ("container_cpu_usage_seconds_total", &container, seconds / 10.0),
            ("container_cpu_cfs_periods_total", &container, seconds * 10.0),
            ("container_cpu_cfs_throttled_periods_total", &container, 0.0),
            ("container_memory_working_set_bytes", &container, 1e8),
            ("kube_pod_container_status_restarts_total", &container, 0.0),
        ] {
            let _ = writeln!(text, "{series}{{{labels}}} {value}");
        }
        profile.series.iter().for_each(|series| write(text, series, &target, &[], seconds));
    }
}

/// Metrics of the operator about an object, without their prefix, and the labels of each of their series.
const OF_OBJECT: [(&str, &[&str]); 19] = [
    ("training_failed", &[""]),
    ("serving_expected", &[""]),
    ("serving_ready", &[""]),
    ("trained_timestamp_seconds", &[""]),
    ("serving_trained_timestamp_seconds", &[""]),
    ("serving_data_through_timestamp_seconds", &[""]),
    ("serving_version_bytes", &[""]),
    ("rollout_started_timestamp_seconds", &[""]),
    ("training_failures_in_a_row", &[""]),
    ("training_failed_timestamp_seconds", &[",stage=\"load\"", ",stage=\"save\""]),
    ("versions_rolled_back", &[""]),
    ("not_refreshable_timestamp_seconds", &[""]),
    (
        "serving_version_metric",
        &[
            ",metric=\"precision\"",
            ",metric=\"users\"",
            ",metric=\"items\"",
            ",metric=\"als_nonzeros\"",
            ",metric=\"als_bytes\"",
        ],
    ),
    ("training_runs_total", &[",kind=\"Full\",result=\"success\"", ",kind=\"Full\",result=\"failure\""]),
    ("training_failures_total", &[",stage=\"run\"", ",stage=\"report\""]),
    ("training_duration_seconds", &[",kind=\"Full\""]),
    ("training_started_timestamp_seconds", &[",kind=\"Full\""]),
    (
        "version_info",
        &[",version=\"a\",kind=\"Full\",state=\"Serving\"", ",version=\"b\",kind=\"Full\",state=\"Previous\""],
    ),
    ("pods", &[",workload=\"training\",state=\"running\""]),
];
/// The same about each workload that is scaled.
const OF_WORKLOAD: [(&str, &str); 5] = [
    ("scaling_held", ""),
    ("scaling_at_maximum", ""),
    ("scaling_ineffective", ""),
    ("out_of_memory_timestamp_seconds", ""),
    ("pods", ",state=\"ready\""),
];

/// What the operator exposes about an object.
fn operator(text: &mut String, object: &Object) {
    let labels = object.labels();
    for (metric, series) in OF_OBJECT {
        for more in series {
            let _ = writeln!(text, "recommender_operator_{metric}{{{labels}{more}}} 1");
        }
    }
    for (metric, more) in OF_WORKLOAD {
        for workload in &object.workloads {
            let _ = writeln!(text, "recommender_operator_{metric}{{{labels},workload=\"{workload}\"{more}}} 0");
        }
    }
}

/// What kube-state-metrics reports of the training Jobs of an object.
fn jobs(text: &mut String, object: &Object) {
    let name = &object.name;
    for job in 0..JOBS {
        let labels = format!("namespace=\"{NAMESPACE}\",job_name=\"{name}-full-20261121-030{job}\"");
        let outcome = if job == 0 { "kube_job_failed" } else { "kube_job_complete" };
        let _ = writeln!(
            text,
            "kube_job_owner{{{labels},owner_kind=\"RecommenderModel\",owner_name=\"{name}\"}} 1\n\
             kube_job_status_start_time{{{labels}}} {job}\nkube_job_status_completion_time{{{labels}}} {job}\n\
             {outcome}{{{labels},condition=\"true\"}} 1"
        );
    }
}

/// Writes the series of a declaration: one for each combination of [`VALUES`], and of `others` for its first other label.
fn write(text: &mut String, declared: &Declared, target: &str, others: &[&str], seconds: f64) {
    let mut combinations = vec![target.to_owned()];
    let mut others = others;
    for label in &declared.labels {
        let known = VALUES.iter().find(|(name, _)| name == label).map(|(_, values)| *values);
        let values = known.unwrap_or(others);
        if known.is_none() {
            others = &others[..1];
        }
        let with =
            |labels: &String| values.iter().map(|value| format!("{labels},{label}=\"{value}\"")).collect::<Vec<_>>();
        combinations = combinations.iter().flat_map(with).collect();
    }
    let (name, count) = (&declared.name, (RATE * seconds).floor());
    for labels in combinations {
        let _ = match declared.type_ {
            Type::Counter => writeln!(text, "{name}{{{labels}}} {count}"),
            Type::Gauge => writeln!(text, "{name}{{{labels}}} {}", count.max(1.0)),
            Type::Summary => writeln!(
                text,
                "{name}{{{labels},quantile=\"{QUANTILE}\"}} 1\n{name}_sum{{{labels}}} {seconds}\n{name}_count{{{labels}}} {count}"
            ),
            Type::Histogram => {
                for bound in declared.buckets.iter().map(ToString::to_string).chain(["+Inf".to_owned()]) {
                    let _ = writeln!(text, "{name}_bucket{{{labels},le=\"{bound}\"}} {count}");
                }
                writeln!(text, "{name}_sum{{{labels}}} {seconds}\n{name}_count{{{labels}}} {count}")
            }
        };
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::{model, read};

    #[test]
    fn every_series_that_the_rules_read_is_exposed() {
        for every_exporter in [false, true] {
            let model = model(0, every_exporter).expect("the object is valid");
            let read = read(&model).expect("the rules are PromQL");
            let (objects, exporters) = ([Object::new(&model)], exporters(&model));
            assert_eq!(missing(&objects, &exporters, &read), [""; 0], "add it to this file");
            let more = read.into_iter().chain(["made_up_total".to_owned()]).collect();
            assert_eq!(missing(&objects, &exporters, &more), ["made_up_total"]);
        }
    }
}
