//! The series that the rules read, of all objects, in the text format of Prometheus.

use std::{fmt::Write, net::SocketAddr, sync::Arc, time::Instant};

use anyhow::Result;
use axum::{Router, routing::get};
use recommender_operator::{
    catalog::{self, Declared, Type},
    model::Model,
};
use tokio::net::TcpListener;

/// Servers of an object.
const SERVERS: u32 = 2;
/// Requests per second of a server, messages per second of a queue.
const RATE: f64 = 10.0;
/// Objects that share an exporter.
const SHARE: u32 = 100;
/// Values of labels that make several series of one: partitions of a topic, routes and status codes of servers. Any other label
/// has the value `own-N` of the object.
const VALUES: [(&str, &[&str]); 6] = [
    ("partition", &["0", "1", "2"]),
    ("handler", &["/recommendations", "/items"]),
    ("method", &["GET"]),
    ("status", &["200", "500"]),
    ("vhost", &["/"]),
    ("db", &["db0"]),
];

/// A server of the series on loopback.
pub struct Exposition {
    address: SocketAddr,
}

impl Exposition {
    /// Serves the series of these objects under `/metrics`. Counters grow from now on.
    pub async fn serve(models: &[Model]) -> Result<Self> {
        let names: Arc<Vec<String>> = Arc::new(models.iter().map(|model| model.identity.name.clone()).collect());
        let started = Instant::now();
        let metrics = get(async move || text(&names, started.elapsed().as_secs_f64()));
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

/// The label `instance` of the exporters of an object.
pub fn instance(number: u32) -> String {
    format!("exporter-{}:9000", number / SHARE)
}

/// All series, `seconds` after the start.
fn text(names: &[String], seconds: f64) -> String {
    let catalog = catalog::embedded();
    let profile = &catalog.profiles["FastApiInstrumentator"];
    let mut text = String::new();
    for (number, name) in (0..).zip(names) {
        let exporter_of = format!("job=\"exporter\",instance=\"{}\"", instance(number));
        let own = format!("own-{number}");
        let object = format!("namespace=\"bench\",recommender=\"{name}\"");
        let from_exporter = format!("{object},{exporter_of}");
        for server in 0..SERVERS {
            let pod = format!("{name}-serving-7c9f6d5b4-{server:05}");
            let target =
                format!("{object},workload=\"serving\",pod=\"{pod}\",instance=\"{pod}:8000\",container=\"server\"");
            for (series, value) in [
                ("up", 1.0),
                ("process_start_time_seconds", 1.0),
                ("process_cpu_seconds_total", seconds / 10.0),
                ("container_cpu_usage_seconds_total", seconds / 10.0),
                ("container_cpu_cfs_periods_total", seconds * 10.0),
                ("container_cpu_cfs_throttled_periods_total", 0.0),
            ] {
                let _ = writeln!(text, "{series}{{{target}}} {value}");
            }
            profile.series.iter().for_each(|series| write(&mut text, series, &target, &own, seconds));
        }
        for gauge in ["training_failed", "serving_expected", "serving_ready", "trained_timestamp_seconds"] {
            let _ = writeln!(text, "recommender_operator_{gauge}{{{object}}} 1");
        }
        for exporter in catalog.exporters.values() {
            let is_of_object =
                |series: &&Declared| series.labels.iter().any(|label| VALUES.iter().all(|(name, _)| name != label));
            let (of_object, shared): (Vec<_>, Vec<_>) = exporter.series.iter().partition(is_of_object);
            of_object.iter().for_each(|series| write(&mut text, series, &from_exporter, &own, seconds));
            if number.is_multiple_of(SHARE) {
                shared.iter().for_each(|series| write(&mut text, series, &exporter_of, &own, seconds));
            }
        }
    }
    text
}

/// Writes the series of a declaration: one for each combination of [`VALUES`].
fn write(text: &mut String, declared: &Declared, target: &str, own: &str, seconds: f64) {
    let mut combinations = vec![target.to_owned()];
    for label in &declared.labels {
        let own = [own];
        let values = VALUES.iter().find(|(name, _)| name == label).map_or(own.as_slice(), |(_, values)| values);
        let with =
            |labels: &String| values.iter().map(|value| format!("{labels},{label}=\"{value}\"")).collect::<Vec<_>>();
        combinations = combinations.iter().flat_map(with).collect();
    }
    let (name, count) = (&declared.name, (RATE * seconds).floor());
    for labels in combinations {
        let _ = match declared.type_ {
            Type::Counter => writeln!(text, "{name}{{{labels}}} {count}"),
            Type::Gauge => writeln!(text, "{name}{{{labels}}} {}", count.max(1.0)),
            Type::Histogram | Type::Summary => {
                for bound in declared.buckets.iter().map(ToString::to_string).chain(["+Inf".to_owned()]) {
                    let _ = writeln!(text, "{name}_bucket{{{labels},le=\"{bound}\"}} {count}");
                }
                writeln!(text, "{name}_sum{{{labels}}} {seconds}\n{name}_count{{{labels}}} {count}")
            }
        };
    }
}
