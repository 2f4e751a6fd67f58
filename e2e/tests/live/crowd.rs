//! A flash crowd with the operator, compared with a plain HorizontalPodAutoscaler on CPU with the same bounds and load
//! in the same run, and once more while Prometheus is stopped. And an overload of twice the capacity of all replicas.

use std::time::Duration;

use anyhow::{Context, Result, ensure};
use e2e::load::{MAX_PER_SECOND, Report, Stage};
use serde_json::{Value, json};

use crate::{
    bed::Bed,
    outage::Outage,
    serving::{self, DEPLOYMENT, Machine, P95},
    turn::Turn,
    watch::{Row, Source, Watch},
};

/// Maximum number of replicas in the flash crowd, for both autoscalers.
const MAX_REPLICAS: u32 = 5;
/// Number of replicas in the overload. With as many as in the flash crowd, replicas and load would saturate a node of
/// two cores, and the result would depend on the node.
const OVERLOADED_REPLICAS: u32 = 3;
/// Least multiple of the capacity that is an overload for certain: replicas that run beside each other serve a little more or less each time.
const OVERLOAD: f64 = 1.4;
/// Duration of the flash crowd, seconds.
const CROWD_SECONDS: u32 = 180;
/// Duration of the overload, seconds: a minute that is judged, after the [`UNJUDGED_SECONDS`] at its begin.
const OVERLOAD_SECONDS: u32 = 90;
/// The begin of the overload, in which pods may still be seen as before it, seconds.
const UNJUDGED_SECONDS: f64 = 30.0;
/// Load of the flash crowd, as a multiple of the capacity of one replica.
const CROWD_FACTOR: u32 = 4;
/// Time within which the first new replica must be ordered, seconds.
const FIRST_ORDER_SECONDS: f64 = 15.0;

pub async fn a_crowd_does_not_blind_the_scaler() -> Result<()> {
    let machine = serving::machine().await?;
    let capacity = machine.capacity;
    let crowd = [
        Stage { per_second: CROWD_FACTOR * capacity, seconds: 0 },
        Stage { per_second: CROWD_FACTOR * capacity, seconds: CROWD_SECONDS },
    ];

    let plain = Crowd::begin("crowd-hpa", machine, plain_autoscaler()).await?.run(&crowd, "plain HPA on CPU").await?;
    let decided = Crowd::begin("crowd", machine, ours(machine, 1, MAX_REPLICAS)).await?.run(&crowd, "latency").await?;
    let mut blind = Crowd::begin("crowd-outage", machine, ours(machine, 1, MAX_REPLICAS)).await?;
    blind.turn.without_prometheus().await;
    let outage = Outage::begin(&blind.bed).await?;
    let without_source = blind.run(&crowd, "latency, Prometheus is stopped").await;
    outage.end(&blind.bed).await?;
    let without_source = without_source?;

    let errors = plain.errors();
    println!("one replica serves {capacity} requests/s; errors of {CROWD_SECONDS} s with {}", crowd[0].per_second);
    for outcome in [&plain, &decided, &without_source] {
        println!("{}", outcome.summary());
    }
    ensure!(errors > u64::from(crowd[0].per_second) * 5, "the crowd was no overload: {errors} errors with a plain HPA");
    ensure!(
        decided.first_order.is_some_and(|seconds| seconds <= FIRST_ORDER_SECONDS),
        "ordered late:\n{}",
        decided.table
    );
    ensure!(
        decided.errors() * 5 <= errors,
        "{} errors, {errors} with a plain HPA:\n{}",
        decided.errors(),
        decided.table
    );
    let blinded = without_source.errors();
    ensure!(
        blinded * 2 <= errors,
        "{blinded} errors without Prometheus, {errors} with a plain HPA:\n{}",
        without_source.table
    );
    Ok(())
}

pub async fn overloaded_servers_stay_ready_and_serve_their_capacity() -> Result<()> {
    let machine = serving::machine().await?;
    let all = Crowd::begin("overload", machine, ours(machine, OVERLOADED_REPLICAS, OVERLOADED_REPLICAS)).await?;
    // Replicas that run beside each other serve less than as many that run alone, on a busy machine much less.
    let full = serving::full_load(&all.bed, OVERLOADED_REPLICAS * machine.capacity).await?;
    let capacity = full.served_per_second();
    // Twice the capacity, or as much as one host may send.
    let per_second = ((2.0 * capacity) as u32).min(MAX_PER_SECOND);
    ensure!(f64::from(per_second) > OVERLOAD * capacity, "{per_second} requests/s are no overload of {capacity:.0}/s");
    let load = [Stage { per_second, seconds: 0 }, Stage { per_second, seconds: OVERLOAD_SECONDS }];
    let outcome = all.run(&load, "latency, more than all replicas serve").await?;
    let active = all.bed.condition("ScalingActive").await?;
    println!("{OVERLOADED_REPLICAS} replicas serve {capacity:.0} of {per_second} requests/s\n{}", outcome.summary());
    outcome.all_stay_ready(capacity)?;
    ensure!(
        active.reason == "MaxReplicas" && active.message.contains("raise maxReplicas"),
        "the message does not state what to do: {active:?}"
    );
    println!("ScalingActive: {}", active.message);
    Ok(())
}

/// Default settings with a latency target.
fn ours(machine: Machine, min: u32, max: u32) -> Value {
    let latency = json!({"quantile": "P95", "targetMilliseconds": machine.target});
    json!({"minReplicas": min, "maxReplicas": max, "latency": latency})
}

/// A target of 70 % of the CPU limit, which is three times the request.
fn plain_autoscaler() -> Value {
    json!({"minReplicas": 1, "maxReplicas": MAX_REPLICAS, "cpu": {"targetUtilizationPercent": 210}})
}

/// An idle object that Prometheus has scraped, alone on the machine.
struct Crowd {
    bed: Bed,
    turn: Turn,
}

/// The outcome of a load.
struct Outcome {
    name: &'static str,
    report: Report,
    rows: Vec<Row>,
    table: String,
    /// Seconds until the first order of more replicas.
    first_order: Option<f64>,
}

impl Crowd {
    async fn begin(hint: &str, machine: Machine, autoscaling: Value) -> Result<Self> {
        let mut turn = Turn::shared().await;
        let bed = Bed::new(hint).await?;
        serving::create_without_target(&bed, machine, autoscaling).await?;
        bed.measured("recommender:requests:rate1m{$labels,workload=\"serving\"} == 0").await?;
        turn.alone().await;
        Ok(Self { bed, turn })
    }

    async fn run(&self, stages: &[Stage], name: &'static str) -> Result<Outcome> {
        let load = serving::load(&self.bed, stages).await?;
        let mut watch = Watch::new(&self.bed, DEPLOYMENT, Source::Sent(stages), P95);
        watch.during(Duration::from_secs(stages.iter().map(|stage| u64::from(stage.seconds)).sum())).await?;
        let report = load.stop().await?;
        let table = format!("{name}\n{}\n{report:?}", watch.table());
        println!("\n{table}");
        println!("{}", watch.state().await);
        let before = watch.rows.first().context("there are rows")?.desired;
        let first_order = watch.rows.iter().find(|row| row.desired > before).map(|row| row.seconds);
        Ok(Outcome { name, report, rows: watch.rows, table, first_order })
    }
}

impl Outcome {
    /// Requests that failed, and requests that could not be sent.
    fn errors(&self) -> u64 {
        self.report.failed + self.report.dropped
    }

    fn summary(&self) -> String {
        let order = self.first_order.map_or("none".into(), |seconds| format!("after {seconds:.0} s"));
        format!(
            "{:45} {:>6} of {:>6} requests failed, first order {order}",
            self.name,
            self.errors(),
            self.report.requests
        )
    }

    /// Fails unless all replicas stay ready and serve four fifths of their capacity, requests/s.
    fn all_stay_ready(&self, capacity: f64) -> Result<()> {
        let rows: Vec<&Row> = self.rows.iter().filter(|row| row.seconds > UNJUDGED_SECONDS).collect();
        let ready: Vec<i32> = rows.iter().map(|row| row.ready).collect();
        ensure!(
            ready.iter().all(|ready| *ready == OVERLOADED_REPLICAS as i32),
            "ready pods flap: {ready:?}\n{}",
            self.table
        );
        let served = (self.report.requests - self.report.failed) as f64 / f64::from(OVERLOAD_SECONDS);
        let least = 0.8 * capacity;
        ensure!(served >= least, "{served:.0} requests/s were served of {least:.0} at least\n{}", self.table);
        Ok(())
    }
}
