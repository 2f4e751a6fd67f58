//! Measures what the rules of many objects cost a Prometheus: `cargo bench-rules --help`.

mod exposition;
mod prometheus;

use std::{process::ExitCode, time::Duration};

use anyhow::{Context, Result, anyhow};
use clap::Parser;
use jiff::Timestamp;
use recommender_operator::{
    api::RecommenderModel,
    catalog::{self, NO_LAG},
    model::Model,
    render, validate,
};
use serde_json::{Value, json};
use tokio::time::sleep;

use exposition::Exposition;
use prometheus::Prometheus;

/// Text after the options in `--help`.
const EXPLANATION: &str = "\
One Prometheus on loopback gets the rules of all objects, as `recommender-operator render --rules` prints them, and scrapes the
series that they read, every 5 s. Each object is that of examples/latency.yaml, with two servers under load, a dependency on
each exporter of the catalogue, and workers that scale on two of them. Of each exporter there is one for 100 objects. After the
warm-up, over the time of the measurement:
  share of interval   the time of one evaluation of a rule group, as a share of the group's interval: the worst group
  missed              evaluations that did not take place because the one before was not over
  CPU                 cores that this Prometheus used, scrapes included";

/// Largest share of its interval that the evaluation of a group may take.
const MOST_SHARE: f64 = 0.5;
/// How many rules are shown, the most expensive first: the cause of a load is among the first few.
const SHOWN: usize = 12;
/// The dependencies on whose lag workers scale: their rules, and those of servers that scale on latency, are evaluated every 5 s.
const SCALED_ON: [&str; 2] = ["kafka-kafkaexporter", "rq-rqexporter"];
/// Time after which the windows of rates up to two minutes are full. Longer ones (5 to 15 minutes, an hour) are not, so that their
/// rules cost slightly more in service.
const WARM_UP: Duration = Duration::from_secs(150);

/// Measures what the rules of many objects cost a Prometheus.
#[derive(Debug, Parser)]
#[command(name = "bench-rules", after_help = EXPLANATION)]
struct Arguments {
    /// Number of objects
    #[arg(long, default_value_t = 1000, value_parser = clap::value_parser!(u32).range(1..=10_000))]
    objects: u32,
    /// Time of the measurement, seconds
    #[arg(long, default_value_t = 60, value_parser = clap::value_parser!(u64).range(30..=3600))]
    seconds: u64,
    /// End with exit code 1 if an evaluation takes more than half of its interval, one is missed, or a rule fails
    #[arg(long)]
    check: bool,
}

#[tokio::main]
async fn main() -> Result<ExitCode> {
    let Arguments { objects, seconds, check } = Arguments::parse();
    let models = (0..objects).map(model).collect::<Result<Vec<_>>>()?;
    let exposition = Exposition::serve(&models).await?;
    let prometheus = Prometheus::start(&render::rule_file(&models)?, exposition.address()).await?;
    sleep(WARM_UP).await;
    let before = prometheus.totals().await?;
    sleep(Duration::from_secs(seconds)).await;
    let after = prometheus.totals().await?;
    let window = format!("{seconds}s");
    let share = prometheus.worst_share(&window).await?;
    let (groups, rules) = (prometheus.groups().await?, prometheus.rules().await?);
    let recorded = prometheus.recorded().await?;
    let of_object = |total: f64| total / f64::from(objects);
    println!("objects                       {objects}");
    println!("rule groups                   {groups:.0} ({:.1} per object)", of_object(groups));
    println!("rules                         {rules:.0} ({:.1} per object)", of_object(rules));
    println!("recorded series               {recorded:.0} ({:.1} per object)", of_object(recorded));
    println!("share of interval, worst      {:.1} % ({})", share.of_interval * 100.0, share.group);
    let missed = after.missed - before.missed;
    let failed = after.failed - before.failed;
    println!("missed evaluations            {missed:.0}");
    println!("failed rules                  {failed:.0}");
    println!("CPU                           {:.2} cores", (after.cpu - before.cpu) / seconds as f64);
    println!("memory                        {:.0} MiB", after.memory / f64::from(1 << 20));
    println!("\nms per object   rule");
    for (name, seconds) in prometheus.by_name().await?.iter().take(SHOWN) {
        println!("{:13.2}   {name}", of_object(seconds * 1000.0));
    }
    let is_good = share.of_interval <= MOST_SHARE && missed == 0.0 && failed == 0.0;
    if check && !is_good {
        eprintln!("an evaluation takes more than {} % of its interval, is missed, or fails", MOST_SHARE * 100.0);
    }
    Ok(if check && !is_good { ExitCode::FAILURE } else { ExitCode::SUCCESS })
}

/// An object that scales on latency, with a dependency on each exporter.
fn model(number: u32) -> Result<Model> {
    let example = validate::documents(include_str!("../../../examples/latency.yaml"))?.pop();
    let mut object = example.context("the example has an object")?.object;
    object["metadata"] =
        json!({"name": format!("object-{number:05}"), "namespace": "bench", "uid": number.to_string()});
    object["spec"]["dependencies"] = dependencies(number);
    object["spec"]["workers"] = SCALED_ON.map(worker).into();
    let object: RecommenderModel = serde_json::from_value(validate::stored(&object))?;
    Model::new(&object, Timestamp::now()).map_err(|problems| anyhow!("{problems:?}"))
}

/// A worker that scales on the lag of a dependency.
fn worker(dependency: &str) -> Value {
    let autoscaling = json!({"minReplicas": 1, "maxReplicas": 4, "lag": {"dependency": dependency}});
    json!({"name": dependency, "args": ["consume"], "autoscaling": autoscaling})
}

/// A dependency on each exporter of the catalogue, with a topic, queue, key and job of the object's own.
fn dependencies(number: u32) -> Value {
    let own = format!("own-{number}");
    let dependency = |(kind, exporter): &(String, String)| {
        let of = match kind.as_str() {
            "kafka" => json!({"consumerGroup": own, "topics": [own], "exporter": exporter}),
            "rabbitmq" => json!({"queues": [own], "vhost": "/", "endpoint": exporter}),
            "rq" => json!({"queues": [own]}),
            "redisList" => json!({"keys": [own]}),
            "flink" => json!({"job": own}),
            NO_LAG => {
                let labels = json!({"instance": exposition::instance(number)});
                return json!({"name": name(kind, exporter), kind: {"name": exporter}, "matchLabels": labels});
            }
            _ => panic!("write what a dependency of the kind {kind} needs"),
        };
        json!({"name": name(kind, exporter), kind: of})
    };
    catalog::embedded().exporters.keys().map(dependency).collect()
}

/// The name of a dependency.
fn name(kind: &str, exporter: &str) -> String {
    format!("{kind}-{exporter}").to_lowercase()
}
