//! No data is not zero: a Prometheus that is gone, under load. And an operator that is another process.

use std::time::Duration;

use anyhow::{Context, Result, ensure};
use e2e::load::Stage;
use k8s_openapi::api::apps::v1::StatefulSet;
use kube::Api;
use serde_json::json;

use crate::{
    bed::{Bed, PATIENCE, Turn},
    serving::{self, DEPLOYMENT, Machine, P95, kept_for},
    watch::{Row, Source, Watch},
};

/// What the three replicas that are allowed carry with something in hand, wherever the test runs: none of them goes by itself.
fn stages(machine: Machine) -> [Stage; 2] {
    let per_second = machine.carries * 6 / 5;
    [5, 595].map(|seconds| Stage { per_second, seconds })
}

/// Where the operator is installed: its namespace, and its pods' label.
const OPERATOR: [&str; 4] = ["-n", e2e::operator::RELEASE, "-l", e2e::operator::SELECTOR];

/// A trouble is told when it has lasted half a minute.
const OUTAGE: Duration = Duration::from_secs(60);

pub async fn replicas_hold_while_prometheus_is_down() -> Result<()> {
    let machine = serving::machine().await?;
    let stages = stages(machine);
    let bed = Bed::new(Turn::alone().await, "outage").await?;
    let expected = machine.carries * 2 / 3;
    serving::create(&bed, machine, json!({"minReplicas": 1, "maxReplicas": 3, "requestsPerReplica": expected})).await?;
    let _load = serving::load(&bed, &stages).await?;
    let mut watch = Watch::new(&bed, DEPLOYMENT, Source::Sent(&stages), P95);
    let seconds = Duration::from_secs;
    watch
        .until("all is well", seconds(180), |rows| kept_for(rows, machine, seconds(15)) && unchanged_for(rows, 30.0))
        .await?;
    let before = watch.rows.len();

    let outage = Outage::begin(&bed).await?;
    watch.note("Prometheus is stopped");
    watch.during(OUTAGE).await?;
    let told = bed.condition("ScalingActive").await?;
    let during = watch.rows[before..].to_vec();
    outage.end(&bed).await?;
    watch.note("Prometheus is back");
    watch.during(seconds(60)).await?;
    watch
        .until("the latency is known again", seconds(60), |rows| rows.last().is_some_and(|row| row.signal.is_some()))
        .await?;
    bed.cluster.kubectl(&[&["delete", "pods"], &OPERATOR[..]].concat()).await?;
    watch.note("the operator is another one");
    let remembers = e2e::eventually("the new operator remembers the load", PATIENCE, async || {
        let log = bed.cluster.kubectl(&[&["logs", "--tail=-1"], &OPERATOR[..]].concat()).await?;
        let of_ours = |line: &&str| line.contains("remembers the load") && line.contains(&bed.namespace.name);
        log.lines().find(of_ours).map(str::to_owned).with_context(|| log.clone())
    })
    .await?;
    watch.during(seconds(30)).await?;
    println!("\n{}\n{remembers}", watch.table());

    let wanted = watch.rows[before - 1].wanted;
    ensure!(wanted > 1, "with one replica there is nothing to lose: {wanted}");
    ensure!(during.iter().filter(|row| row.signal.is_none()).count() * 2 > during.len(), "Prometheus went on");
    ensure!(
        during.iter().all(|row| row.wanted == wanted),
        "the replicas did not hold:\n{}\n{}",
        watch.table(),
        watch.state().await
    );
    ensure!(
        watch.rows[before..].iter().all(|row| row.wanted >= wanted),
        "there was a dip:\n{}\n{}",
        watch.table(),
        watch.state().await
    );
    ensure!(told.status == "False" && told.reason == "MetricsMissing", "it is not told: {told:?}");
    println!("ScalingActive: {}", told.message);
    Ok(())
}

/// Whether the replicas have been as they are for so many seconds.
fn unchanged_for(rows: &[Row], seconds: f64) -> bool {
    let Some(last) = rows.last() else { return false };
    let since = last.seconds - seconds;
    rows[0].seconds <= since
        && rows
            .iter()
            .filter(|row| row.seconds >= since)
            .all(|row| (row.wanted, row.ready) == (last.wanted, last.wanted))
}

/// A Prometheus that is gone. Dropped, it comes back: others need it.
pub struct Outage {
    ended: bool,
}

impl Outage {
    /// Stops it, and waits until it is gone.
    pub async fn begin(bed: &Bed) -> Result<Self> {
        let outage = Self { ended: false };
        bed.cluster.kubectl(&scale(0)).await?;
        e2e::until(&prometheus(bed), "prometheus-main", "is gone", PATIENCE, |set| {
            set.status.as_ref().is_some_and(|status| status.replicas == 0)
        })
        .await?;
        Ok(outage)
    }

    /// Starts it again, and waits until it is ready.
    pub async fn end(mut self, bed: &Bed) -> Result<()> {
        bed.cluster.kubectl(&scale(1)).await?;
        self.ended = true;
        e2e::until(&prometheus(bed), "prometheus-main", "is ready", PATIENCE, |set| {
            set.status.as_ref().is_some_and(|status| status.ready_replicas == Some(1))
        })
        .await
        .map(drop)
    }
}

impl Drop for Outage {
    fn drop(&mut self) {
        if !self.ended
            && let Err(error) = e2e::cluster::kubectl(&scale(1))
        {
            eprintln!("Prometheus could not be started again: {error:#}");
        }
    }
}

fn prometheus(bed: &Bed) -> Api<StatefulSet> {
    Api::namespaced(bed.cluster.client(), "monitoring")
}

/// Arguments of kubectl that give the cluster's Prometheus so many replicas.
fn scale(replicas: u32) -> [&'static str; 8] {
    let patch = if replicas == 0 { r#"{"spec":{"replicas":0}}"# } else { r#"{"spec":{"replicas":1}}"# };
    ["-n", "monitoring", "patch", "prometheus", "main", "--type=merge", "--patch", patch]
}
