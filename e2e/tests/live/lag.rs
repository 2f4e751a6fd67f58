//! Workers that catch up with a lag, for every kind of dependency.

use std::{ops::RangeInclusive, time::Duration};

use anyhow::{Context, Result, ensure};
use e2e::parts;

use crate::{
    bed::{Bed, NAME},
    turn::{Turn, operator_runs},
    watch::{Row, Signal, Source, Watch, turns},
};

/// The worker and the dependency of each test.
pub const WORKER: &str = "events";

/// The lag by which the operator scales.
const LAG: Signal = Signal { title: "waiting", query: "recommender:lag_messages{$labels,dependency=\"events\"}" };
/// The recorded series of the arrivals, messages per second.
const ARRIVALS: &str = "recommender:arrivals:rate1m{$labels,dependency=\"events\"}";

/// Limit of the time from a backlog to enough workers: 90 s. It is a scrape, a rule and a tick of 5 s each, 15 s of the
/// autoscaler, half a minute in which the capacity of one worker is learned, and the start of pods, twice on a busy host.
const START: Duration = Duration::from_secs(90);
/// Limit of the time until one replica is left: 480 s. The arrivals of the backlog leave a minute of the rate and two minutes of
/// the peak, and the replicas are then lowered in up to three steps; that takes four minutes on a busy host.
const SCALE_DOWN: Duration = Duration::from_secs(480);

/// A backlog and the expected scaling.
pub struct Backlog<'a> {
    /// The program that produces it.
    pub program: &'a [&'a str],
    /// Number of messages.
    pub messages: f64,
    /// The backlog counts as processed when at most this number of messages wait.
    pub gone: f64,
    /// Time to process it, after the start of workers.
    pub catch_up: Duration,
    /// Expected maximum number of replicas.
    pub replicas: RangeInclusive<i32>,
}

/// Limit of the time from the order of a backlog until it waits: the start of the pod that produces it, a scrape and an evaluation.
const PRODUCED: Duration = Duration::from_secs(120);

/// Starts with one replica and little work, then adds the backlog. Prints a table. Ends its turn with the test.
pub async fn catches_up(bed: &Bed, mut turn: Turn, backlog: &Backlog<'_>) -> Result<()> {
    let deployment = format!("{NAME}-worker-{WORKER}");
    bed.ready(&deployment).await?;
    bed.measured(LAG.query).await?;
    bed.measured(ARRIVALS).await?;
    // What came before the first worker was ready is work as well, for which others may have been ordered.
    let mut watch = Watch::new(bed, &deployment, Source::Query(ARRIVALS), LAG);
    let is_calm = |row: &Row| row.signal.is_some_and(|lag| lag <= backlog.gone) && row.desired == 1 && row.ready == 1;
    watch.until("one replica has little work", SCALE_DOWN, |rows| rows.last().is_some_and(is_calm)).await?;
    let mut watch = Watch::new(bed, &deployment, Source::Query(ARRIVALS), LAG);
    watch.during(Duration::from_secs(20)).await?;
    ensure!(watch.numbers() == [1], "one replica was enough:\n{}", watch.table());

    let operator = operator_runs().await;
    watch.annotate(format!("{} messages at once", backlog.messages));
    parts::start(&bed.cluster, &bed.namespace.name, "backlog", backlog.program).await?;
    let waiting = backlog.messages * 0.5;
    watch.until("they wait", PRODUCED, |rows| last(rows).is_some_and(|lag| lag > waiting)).await?;
    let within = START + backlog.catch_up;
    let gone = backlog.gone;
    watch.until("they are gone", within, |rows| last(rows).is_some_and(|lag| lag <= gone)).await?;
    drop(operator);
    turn.only_waits();
    watch.until("one replica is left", SCALE_DOWN, |rows| rows.last().is_some_and(|row| row.desired == 1)).await?;
    println!("\n{}", watch.table());

    let numbers = watch.numbers();
    let most = *numbers.iter().max().context("there were replicas")?;
    ensure!(backlog.replicas.contains(&most), "{:?} replicas were expected, there were {numbers:?}", backlog.replicas);
    ensure!(turns(&numbers) == 1, "the replicas went up and down more than once: {numbers:?}");
    let scaling = bed.every_change_is_reported(Some(WORKER), &numbers).await?;
    println!("{}", serde_json::to_string_pretty(&scaling)?);
    Ok(())
}

fn last(rows: &[Row]) -> Option<f64> {
    rows.last().and_then(|row| row.signal)
}
