//! What is promised of workers with a lag to catch up with, whatever they read from.

use std::{ops::RangeInclusive, time::Duration};

use anyhow::{Context, Result, ensure};
use e2e::parts;

use crate::{
    bed::{Bed, NAME},
    watch::{Row, Signal, Source, Watch, turns},
};

/// The worker and the dependency of each test.
pub const WORKER: &str = "events";

/// What the operator goes by.
const LAG: Signal = Signal { title: "waiting", query: "recommender:lag_messages{$labels,dependency=\"events\"}" };
const ARRIVALS: &str = "recommender:arrivals:rate1m{$labels,dependency=\"events\"}";

/// From a backlog to consumers that work it off: a scrape, a rule and a tick of 5 s each, the autoscaler's 15 s, and the
/// start of pods on a busy host.
const START: Duration = Duration::from_secs(50);
/// Until the arrivals of the backlog are forgotten: a minute of the rate, two of the peak, and the autoscaler.
const FORGOTTEN: Duration = Duration::from_secs(300);

/// A backlog and what is to become of it.
pub struct Backlog<'a> {
    /// The program that makes it.
    pub program: &'a [&'a str],
    /// So many messages.
    pub messages: f64,
    /// They are as good as gone when no more than these wait.
    pub gone: f64,
    /// Within so long, after the start of workers.
    pub catch_up: Duration,
    /// So many replicas work on it.
    pub replicas: RangeInclusive<i32>,
}

/// The worker is one replica that has little to do; then comes the backlog. Prints what happened.
pub async fn catches_up(bed: &Bed, backlog: &Backlog<'_>) -> Result<()> {
    let deployment = format!("{NAME}-worker-{WORKER}");
    bed.ready(&deployment).await?;
    bed.measured(LAG.query).await?;
    bed.measured(ARRIVALS).await?;
    let mut watch = Watch::new(bed, &deployment, Source::Query(ARRIVALS), LAG);
    watch.during(Duration::from_secs(20)).await?;
    ensure!(watch.numbers() == [1], "one replica was enough:\n{}", watch.table());

    watch.note(format!("{} messages at once", backlog.messages));
    parts::start(&bed.cluster, &bed.namespace.name, "backlog", backlog.program).await?;
    let seen = backlog.messages * 0.5;
    watch.until("they wait", Duration::from_secs(40), |rows| last(rows).is_some_and(|lag| lag > seen)).await?;
    let within = START + backlog.catch_up;
    let gone = backlog.gone;
    watch.until("they are gone", within, |rows| last(rows).is_some_and(|lag| lag <= gone)).await?;
    watch.until("one replica is left", FORGOTTEN, |rows| rows.last().is_some_and(|row| row.wanted == 1)).await?;
    println!("\n{}", watch.table());

    let numbers = watch.numbers();
    let most = *numbers.iter().max().context("there were replicas")?;
    ensure!(backlog.replicas.contains(&most), "{:?} replicas were expected, there were {numbers:?}", backlog.replicas);
    ensure!(turns(&numbers) == 1, "the replicas went up and down more than once: {numbers:?}");
    let scaling = bed.every_change_is_told(Some(WORKER), &numbers).await?;
    println!("{}", serde_json::to_string_pretty(&scaling)?);
    Ok(())
}

fn last(rows: &[Row]) -> Option<f64> {
    rows.last().and_then(|row| row.signal)
}
