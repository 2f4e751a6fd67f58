//! Missing data is not zero: Prometheus is stopped under load. And a new process of the operator backfills.

use std::time::Duration;

use anyhow::{Context, Result, ensure};
use e2e::load::Stage;
use k8s_openapi::api::apps::v1::StatefulSet;
use kube::Api;
use serde_json::json;

use crate::{
    bed::{Bed, TIMEOUT},
    serving::{self, DEPLOYMENT, Machine, P95, kept_for},
    turn::Turn,
    watch::{Row, Source, Watch},
};

/// A load that the maximum of three replicas serves with a reserve on any machine, so that no replica is removed.
fn stages(machine: Machine) -> [Stage; 2] {
    let per_second = machine.capacity * 6 / 5;
    [5, 595].map(|seconds| Stage { per_second, seconds })
}

/// Arguments of kubectl for the pods of the operator: namespace and label selector.
const OPERATOR: [&str; 4] = ["-n", e2e::operator::RELEASE, "-l", e2e::operator::SELECTOR];

/// Duration of the outage. A limiting reason is reported after it has lasted half a minute.
const OUTAGE: Duration = Duration::from_secs(60);

pub async fn replicas_hold_while_prometheus_is_down() -> Result<()> {
    let machine = serving::machine().await?;
    let stages = stages(machine);
    let mut turn = Turn::shared().await;
    let bed = Bed::new("outage").await?;
    let expected = machine.capacity * 2 / 3;
    serving::create(&bed, machine, json!({"minReplicas": 1, "maxReplicas": 3, "requestsPerReplica": expected})).await?;
    turn.without_prometheus().await;
    let _load = serving::load(&bed, &stages).await?;
    let mut watch = Watch::new(&bed, DEPLOYMENT, Source::Sent(&stages), P95);
    let seconds = Duration::from_secs;
    watch
        .until("all is well", seconds(240), |rows| kept_for(rows, machine, seconds(15)) && unchanged_for(rows, 60.0))
        .await?;
    let before = watch.rows.len();

    let outage = Outage::begin(&bed).await?;
    watch.annotate("Prometheus is stopped");
    watch.during(OUTAGE).await?;
    let condition = e2e::eventually("it is reported", OUTAGE, async || {
        let condition = bed.condition("ScalingActive").await?;
        ensure!(
            condition.status == "False" && condition.reason == "MetricsMissing",
            "it is not reported: {condition:?}"
        );
        Ok(condition)
    })
    .await?;
    let during = watch.rows[before..].to_vec();
    outage.end(&bed).await?;
    watch.annotate("Prometheus is back");
    watch.during(seconds(60)).await?;
    watch
        .until("the latency is known again", TIMEOUT, |rows| rows.last().is_some_and(|row| row.signal.is_some()))
        .await?;
    bed.cluster.kubectl(&[&["delete", "pods"], &OPERATOR[..]].concat()).await?;
    watch.annotate("the operator is restarted");
    let backfill = e2e::eventually("the new operator backfills the load", TIMEOUT, async || {
        let log = bed.cluster.kubectl(&[&["logs", "--tail=-1"], &OPERATOR[..]].concat()).await?;
        let of_ours = |line: &&str| line.contains("replayed the recorded load") && line.contains(&bed.namespace.name);
        log.lines().find(of_ours).map(str::to_owned).with_context(|| log.clone())
    })
    .await?;
    watch.during(seconds(30)).await?;
    println!("\n{}\n{backfill}", watch.table());

    let desired = watch.rows[before - 1].desired;
    ensure!(desired > 1, "with one replica there is nothing to lose: {desired}");
    ensure!(during.iter().filter(|row| row.signal.is_none()).count() * 2 > during.len(), "Prometheus went on");
    ensure!(
        during.iter().all(|row| row.desired == desired),
        "the replicas did not hold:\n{}\n{}",
        watch.table(),
        watch.state().await
    );
    ensure!(
        watch.rows[before..].iter().all(|row| row.desired >= desired),
        "there was a dip:\n{}\n{}",
        watch.table(),
        watch.state().await
    );
    println!("ScalingActive: {}", condition.message);
    Ok(())
}

/// Whether the replicas have not changed for this time, and all are ready.
fn unchanged_for(rows: &[Row], seconds: f64) -> bool {
    let Some(last) = rows.last() else { return false };
    let since = last.seconds - seconds;
    rows[0].seconds <= since
        && rows
            .iter()
            .filter(|row| row.seconds >= since)
            .all(|row| (row.desired, row.ready) == (last.desired, last.desired))
}

/// A stopped Prometheus. Dropping this starts it again, since other tests need it.
pub struct Outage {
    ended: bool,
}

impl Outage {
    /// Stops it, and waits until it is gone.
    pub async fn begin(bed: &Bed) -> Result<Self> {
        let outage = Self { ended: false };
        bed.cluster.kubectl(&scale(0)).await?;
        e2e::until(&prometheus(bed), "prometheus-main", "is gone", TIMEOUT, |set| {
            set.status.as_ref().is_some_and(|status| status.replicas == 0)
        })
        .await?;
        Ok(outage)
    }

    /// Starts it again, and waits until it is ready.
    pub async fn end(mut self, bed: &Bed) -> Result<()> {
        bed.cluster.kubectl(&scale(1)).await?;
        self.ended = true;
        e2e::until(&prometheus(bed), "prometheus-main", "is ready", TIMEOUT, |set| {
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

/// Arguments of kubectl that set the number of replicas of the Prometheus of the cluster.
fn scale(replicas: u32) -> [&'static str; 8] {
    let patch = if replicas == 0 { r#"{"spec":{"replicas":0}}"# } else { r#"{"spec":{"replicas":1}}"# };
    ["-n", "monitoring", "patch", "prometheus", "main", "--type=merge", "--patch", patch]
}
