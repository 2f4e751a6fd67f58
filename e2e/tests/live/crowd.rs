//! A flash crowd, beside a plain HorizontalPodAutoscaler on CPU with the same bounds and the same load in the same run, and
//! again while Prometheus is stopped; and twice of what all replicas carry.

use std::time::Duration;

use anyhow::{Context, Result, ensure};
use e2e::load::{Report, Stage};
use serde_json::{Value, json};

use crate::{
    bed::{Bed, Turn},
    outage::Outage,
    serving::{self, DEPLOYMENT, Machine, P95},
    watch::{Row, Source, Watch},
};

/// Most replicas for the crowd, for both.
const MOST: u32 = 5;
/// Replicas for more than all of them carry: with as many as for the crowd, they and the load would fill a node of two cores,
/// and it would be the node that is measured.
const ALL: u32 = 3;
/// Seconds of each load.
const LENGTH: u32 = 180;
/// The crowd is so many times what one replica carries.
const CROWD: u32 = 4;
/// Seconds within which the first new replica is to be ordered.
const FIRST_ORDER: f64 = 15.0;

pub async fn a_crowd_does_not_blind_the_scaler() -> Result<()> {
    let machine = serving::machine().await?;
    let carries = machine.carries;
    let crowd =
        [Stage { per_second: CROWD * carries, seconds: 0 }, Stage { per_second: CROWD * carries, seconds: LENGTH }];

    let plain = Crowd::begin("crowd-hpa", plain_autoscaler()).await?.meet(&crowd, "plain HPA on CPU").await?;
    let decided = Crowd::begin("crowd", ours(machine, 1, MOST)).await?.meet(&crowd, "latency").await?;
    let blind = Crowd::begin("crowd-outage", ours(machine, 1, MOST)).await?;
    let outage = Outage::begin(&blind.bed).await?;
    let without_source = blind.meet(&crowd, "latency, Prometheus is stopped").await;
    outage.end(&blind.bed).await?;
    let without_source = without_source?;

    let errors = plain.errors();
    println!("one replica carries {carries} requests/s; errors of {LENGTH} s with {}", crowd[0].per_second);
    for met in [&plain, &decided, &without_source] {
        println!("{}", met.summary());
    }
    ensure!(errors > u64::from(crowd[0].per_second) * 5, "the crowd was no overload: {errors} errors with a plain HPA");
    ensure!(decided.first_order.is_some_and(|seconds| seconds <= FIRST_ORDER), "ordered late:\n{}", decided.table);
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

pub async fn servers_asked_for_twice_what_all_carry_stay_ready_and_do_what_they_can() -> Result<()> {
    let machine = serving::machine().await?;
    let twice = 2 * ALL * machine.carries;
    let load = [Stage { per_second: twice, seconds: 0 }, Stage { per_second: twice, seconds: LENGTH }];
    let all = Crowd::begin("overload", ours(machine, ALL, ALL)).await?;
    let met = all.meet(&load, "latency, twice of what all replicas carry").await?;
    let active = all.bed.condition("ScalingActive").await?;
    println!("one replica carries {} requests/s\n{}", machine.carries, met.summary());
    met.all_stay_ready(machine.carries)?;
    ensure!(
        active.reason == "MaxReplicas" && active.message.contains("raise maxReplicas"),
        "what a person can do is not said: {active:?}"
    );
    println!("ScalingActive: {}", active.message);
    Ok(())
}

/// With default settings: a latency target, and nothing else.
fn ours(machine: Machine, min: u32, max: u32) -> Value {
    let latency = json!({"quantile": "P95", "targetMilliseconds": machine.target});
    json!({"minReplicas": min, "maxReplicas": max, "latency": latency})
}

/// 70 % of the CPU limit, which is three times the request.
fn plain_autoscaler() -> Value {
    json!({"minReplicas": 1, "maxReplicas": MOST, "cpu": {"targetUtilizationPercent": 210}})
}

/// An idle object, which Prometheus has measured.
struct Crowd {
    bed: Bed,
}

/// What became of a load.
struct Met {
    name: &'static str,
    report: Report,
    rows: Vec<Row>,
    table: String,
    /// Seconds until more replicas were ordered.
    first_order: Option<f64>,
}

impl Crowd {
    async fn begin(hint: &str, autoscaling: Value) -> Result<Self> {
        let bed = Bed::new(Turn::alone().await, hint).await?;
        serving::create_with(&bed, autoscaling).await?;
        bed.measured("recommender:requests:rate1m{$labels,workload=\"serving\"} == 0").await?;
        Ok(Self { bed })
    }

    async fn meet(&self, stages: &[Stage], name: &'static str) -> Result<Met> {
        let load = serving::load(&self.bed, stages).await?;
        let mut watch = Watch::new(&self.bed, DEPLOYMENT, Source::Sent(stages), P95);
        watch.during(Duration::from_secs(LENGTH.into())).await?;
        let report = load.stop().await?;
        let table = format!("{name}\n{}\n{report:?}", watch.table());
        println!("\n{table}");
        println!("{}", watch.state().await);
        let before = watch.rows.first().context("there are rows")?.wanted;
        let first_order = watch.rows.iter().find(|row| row.wanted > before).map(|row| row.seconds);
        Ok(Met { name, report, rows: watch.rows, table, first_order })
    }
}

impl Met {
    /// Requests that got no good answer, and those that could not even be sent.
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

    /// Replicas that are all there are refuse what they cannot do, and do the rest.
    fn all_stay_ready(&self, carries: u32) -> Result<()> {
        let settled: Vec<&Row> = self.rows.iter().filter(|row| row.seconds > 30.0).collect();
        let ready: Vec<i32> = settled.iter().map(|row| row.ready).collect();
        ensure!(ready.iter().all(|ready| *ready == ALL as i32), "ready pods flap: {ready:?}\n{}", self.table);
        let served = (self.report.requests - self.report.failed) as f64 / f64::from(LENGTH);
        let least = 0.8 * f64::from(ALL * carries);
        ensure!(served >= least, "{served:.0} requests/s were served of {least:.0} at least\n{}", self.table);
        Ok(())
    }
}
