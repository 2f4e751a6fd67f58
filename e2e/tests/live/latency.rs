//! Servers with a latency to keep.

use std::time::Duration;

use anyhow::{Context, Result, ensure};
use e2e::load::Stage;
use serde_json::json;

use crate::{
    bed::{Bed, Turn},
    serving::{self, DEPLOYMENT, Machine, P95, kept_for},
    watch::{Source, Watch, turns},
};

/// From little to twice what one replica can do, and back to little, where it stays to the end of the test.
fn stages(machine: Machine) -> [Stage; 6] {
    let (little, much) = ((machine.carries / 5).max(2), machine.carries * 2);
    [(little, 0), (little, 90), (much, 5), (much, 145), (little / 2, 0), (little / 2, 450)]
        .map(|(per_second, seconds)| Stage { per_second, seconds })
}

/// Until when little comes, less than a look before the load rises; seconds.
const CALM: f64 = 85.0;
/// When the load ends, and since when all is to be well again, seconds.
const ENDS: f64 = 240.0;
const WELL: f64 = 210.0;

pub async fn servers_keep_their_latency_under_load() -> Result<()> {
    let machine = serving::machine().await?;
    let stages = stages(machine);
    // What others do on the same host would be measured as latency.
    let bed = Bed::new(Turn::alone().await, "latency").await?;
    // With `Economy` what is provided for falls to a third in two minutes; the default takes five, almost as long as a test waits.
    serving::create(&bed, machine, json!({"minReplicas": 1, "maxReplicas": 5, "headroom": "Economy"})).await?;
    let load = serving::load(&bed, &stages).await?;
    let mut watch = Watch::new(&bed, DEPLOYMENT, Source::Sent(&stages), P95);
    let seconds = Duration::from_secs;

    watch.until("one replica keeps the latency", seconds(90), |rows| kept_for(rows, machine, seconds(20))).await?;
    watch
        .until("the load is about to rise", seconds(90), |rows| rows.last().is_some_and(|row| row.seconds >= CALM))
        .await?;
    ensure!(watch.numbers() == [1], "one replica was enough:\n{}\n{}", watch.table(), watch.state().await);
    let above = |p95: Option<f64>| p95.is_some_and(|p95| p95 > f64::from(machine.target));
    watch
        .until("the latency is above its target", seconds(130), |rows| rows.last().is_some_and(|row| above(row.signal)))
        .await?;
    watch.until("more are ready", seconds(60), |rows| rows.last().is_some_and(|row| row.ready > 1)).await?;
    watch.until("the latency is kept", seconds(90), |rows| kept_for(rows, machine, seconds(15))).await?;
    watch.until("the load ends", seconds(240), |rows| rows.last().is_some_and(|row| row.seconds >= ENDS)).await?;
    let most = watch.numbers().into_iter().max().context("there were replicas")?;
    // What came once without a warning may come again: a third of it is given up after twenty minutes only.
    watch
        .until("fewer are left", seconds(420), |rows| {
            rows.last().is_some_and(|row| row.wanted < most && row.ready < most)
        })
        .await?;
    println!("\n{}", watch.table());

    // A busy host makes single looks late; a quarter of them is more than that.
    let looks: Vec<_> = watch.rows.iter().filter(|row| (WELL..ENDS).contains(&row.seconds)).collect();
    let late = looks.iter().filter(|row| above(row.signal)).count();
    ensure!(late * 4 < looks.len(), "the latency was above its target again while the load lasted");
    let numbers = watch.numbers();
    ensure!(turns(&numbers) == 1, "the replicas went up and down more than once: {numbers:?}");
    let scaling = bed.every_change_is_told(None, &numbers).await?;
    println!("{}", serde_json::to_string_pretty(&scaling)?);
    println!("{:?}", load.stop().await?);
    Ok(())
}
