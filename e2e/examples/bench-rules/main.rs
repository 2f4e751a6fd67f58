//! Measures what the rules of many objects cost a Prometheus: `cargo bench-rules --help`.

mod exposition;
mod prometheus;

use std::{
    collections::{BTreeMap, BTreeSet},
    process::ExitCode,
    time::Duration,
};

use anyhow::{Context, Result, anyhow};
use clap::Parser;
use jiff::Timestamp;
use recommender_operator::{
    api::RecommenderModel,
    catalog::{self, NO_LAG, promql},
    model::Model,
    render, validate,
};
use serde_json::{Value, json};
use tokio::time::sleep;

use e2e::prometheus::{Prometheus, Settings};
use exposition::{Exposition, NAMESPACE};
use prometheus::Load;

/// Text after the options in `--help`.
const EXPLANATION: &str = "\
One Prometheus on loopback gets the rules of all objects, as `recommender-operator render --rules` prints them, and scrapes every
series that they read, every 5 s: those of servers, exporters, the operator, kubelets and kube-state-metrics. Each object is that
of examples/latency.yaml, with two servers under load, nine dependencies, of which there is one of each kind, and workers that scale
on two of them. Of each exporter there is one for 100 objects. After the warm-up, over the time of the measurement:
  share of interval   the time of one evaluation of a rule group, as a share of the group's interval: the worst group
  missed              evaluations that did not take place because the one before was not over
  CPU                 cores that this Prometheus used, scrapes included: unlike durations, about the same on a busy machine
  load                seconds of evaluation per second, and the time of one evaluation, by kind of group and by rule. Several
                      groups are evaluated at a time, so that on few cores it includes time in which they wait for one";

/// Largest share of its interval that the evaluation of a group may take.
const MOST_SHARE: f64 = 0.5;
/// How many rules are shown, the most expensive first: the cause of a load is among the first few.
const SHOWN: usize = 10;
/// The dependencies of an object, by kind and exporter: one of each kind, and of those without a lag what most recommenders have.
const USUAL: [(&str, &str); 9] = [
    ("kafka", "KafkaExporter"),
    ("rabbitmq", "Detailed"),
    ("rq", "RqExporter"),
    ("redisList", "RedisExporter"),
    ("flink", "PrometheusReporter"),
    (NO_LAG, "PostgresExporter"),
    (NO_LAG, "RedisExporter"),
    (NO_LAG, "MinIoV3"),
    (NO_LAG, "DriftMonitor"),
];
/// The dependencies on whose lag workers scale: their rules are evaluated every 15 s.
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
    /// Time of the measurement, seconds: at least the longest interval of rules
    #[arg(long, default_value_t = 120, value_parser = clap::value_parser!(u64).range(120..=3600))]
    seconds: u64,
    /// Give each object a dependency on each exporter of the catalogue instead of nine
    #[arg(long)]
    every_exporter: bool,
    /// `runtime.gogc` of Prometheus: a larger one trades memory for CPU
    #[arg(long, default_value_t = 75, value_parser = clap::value_parser!(u32).range(10..=1000))]
    gogc: u32,
    /// End with exit code 1 if an evaluation takes more than half of its interval, one is missed, or a rule fails
    #[arg(long)]
    check: bool,
}

#[tokio::main]
async fn main() -> Result<ExitCode> {
    let Arguments { objects, seconds, every_exporter, gogc, check } = Arguments::parse();
    let models = (0..objects as usize).map(|number| model(number, every_exporter)).collect::<Result<Vec<_>>>()?;
    let exposition = Exposition::serve(&models, &read(&models[0])?).await?;
    let running = Prometheus::start(&Settings {
        rules: &render::rule_file(&models)?,
        series: exposition.address(),
        labels: json!({}),
        scrape_seconds: 5,
        converts: false,
        gogc,
    })
    .await?;
    sleep(WARM_UP).await;
    let before = prometheus::totals(&running).await?;
    sleep(Duration::from_secs(seconds)).await;
    let after = prometheus::totals(&running).await?;
    prometheus::check_scrapes(&running).await?;
    let window = format!("{seconds}s");
    let share = prometheus::worst_share(&running, &window).await?;
    let (groups, rules) = (prometheus::groups(&running).await?, prometheus::rules(&running).await?);
    let recorded = prometheus::recorded(&running).await?;
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
    let (cpu, evaluations) = (after.cpu - before.cpu, after.evaluations - before.evaluations);
    println!("evaluations                   {:.2}/s per object", of_object(evaluations) / seconds as f64);
    println!("CPU                           {:.2} cores", cpu / seconds as f64);
    println!("CPU per object                {:.2} ms/s", of_object(cpu) * 1000.0 / seconds as f64);
    println!("CPU per evaluation            {:.2} ms", cpu * 1000.0 / evaluations);
    println!("memory                        {:.0} MiB", after.memory / f64::from(1 << 20));
    let loads = prometheus::loads(&running).await?;
    print(&loads.groups, "group", objects);
    print(&loads.rules, "rule", objects);
    let is_good = share.of_interval <= MOST_SHARE && missed == 0.0 && failed == 0.0;
    if check && !is_good {
        eprintln!("an evaluation takes more than {} % of its interval, is missed, or fails", MOST_SHARE * 100.0);
    }
    Ok(if check && !is_good { ExitCode::FAILURE } else { ExitCode::SUCCESS })
}

/// Prints what costs most.
fn print(loads: &BTreeMap<String, Load>, of: &str, objects: u32) {
    let mut all: Vec<(&String, &Load)> = loads.iter().collect();
    all.sort_by(|(_, one), (_, other)| other.cores.total_cmp(&one.cores));
    println!("\nload, cores   ms per object   {of}");
    for (name, load) in all.into_iter().take(SHOWN) {
        println!("{:11.3}   {:13.3}   {name}", load.cores, load.seconds * 1000.0 / f64::from(objects));
    }
}

/// The series that the rules of an object read and do not record.
fn read(model: &Model) -> Result<BTreeSet<String>> {
    let rules: Vec<_> = render::rule_groups(model).into_iter().flatten().flat_map(|group| group.rules).collect();
    let mut read = BTreeSet::new();
    for rule in &rules {
        let used = promql::parse(&rule.expr).map_err(|why| anyhow!("{why} in {}", rule.expr))?.selectors;
        read.extend(used.into_iter().map(|selector| selector.name));
    }
    read.retain(|name| !name.starts_with("recommender:"));
    Ok(read)
}

/// An object that scales on latency, with the dependencies of [`USUAL`] or on each exporter.
fn model(number: usize, every_exporter: bool) -> Result<Model> {
    let example = validate::documents(include_str!("../../../examples/latency.yaml"))?.pop();
    let mut object = example.context("the example has an object")?.object;
    object["metadata"] =
        json!({"name": format!("object-{number:05}"), "namespace": NAMESPACE, "uid": number.to_string()});
    let all = catalog::embedded().exporters.keys().map(|(kind, name)| (kind.as_str(), name.as_str()));
    let all: Vec<_> = if every_exporter { all.collect() } else { USUAL.to_vec() };
    object["spec"]["dependencies"] = all.into_iter().map(|of| dependency(number, of)).collect();
    object["spec"]["workers"] = SCALED_ON.map(worker).into();
    let object: RecommenderModel = serde_json::from_value(validate::stored(&object))?;
    Model::new(&object, Timestamp::now()).map_err(|problems| anyhow!("{problems:?}"))
}

/// A worker that scales on the lag of a dependency.
fn worker(dependency: &str) -> Value {
    let autoscaling = json!({"minReplicas": 1, "maxReplicas": 4, "lag": {"dependency": dependency}});
    json!({"name": dependency, "args": ["consume"], "autoscaling": autoscaling})
}

/// A dependency on an exporter, with a topic, queue, key and job of the object's own.
fn dependency(number: usize, (kind, exporter): (&str, &str)) -> Value {
    let own = format!("own-{number}");
    let of = match kind {
        "kafka" => json!({"consumerGroup": own, "topics": [own], "exporter": exporter}),
        "rabbitmq" => json!({"queues": [own], "vhost": "/", "endpoint": exporter}),
        "rq" => json!({"queues": [own]}),
        "redisList" => json!({"keys": [own]}),
        "flink" => json!({"job": own}),
        NO_LAG => json!({"name": exporter}),
        _ => panic!("write what a dependency of the kind {kind} needs"),
    };
    let name = exposition::dependency(kind, exporter);
    let labels: BTreeMap<_, _> = exposition::target(number, &name).into();
    json!({"name": name, kind: of, "matchLabels": labels})
}
