//! What happened during a test, looked at every two seconds, and what must be true of it.

use std::time::Duration;

use anyhow::{Context, Result, bail};
use e2e::load::{Stage, rate_at};
use k8s_openapi::api::apps::v1::Deployment;
use tokio::time::{Instant, sleep};

use crate::bed::Bed;

const INTERVAL: Duration = Duration::from_secs(2);

/// One look.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct Row {
    /// Since the beginning.
    pub seconds: f64,
    /// What comes in, per second.
    pub load: Option<f64>,
    /// What the replicas are there for: a latency in milliseconds, or messages that wait. None while it is unknown.
    pub signal: Option<f64>,
    /// Replicas that the Deployment wants.
    pub wanted: i32,
    /// Replicas that are ready.
    pub ready: i32,
}

/// Where the load of a row comes from.
pub enum Source<'a> {
    /// A query to Prometheus.
    Query(&'static str),
    /// It is known: these stages began with the watch.
    Sent(&'a [Stage]),
}

/// What the replicas are there for: a word for the table, and a query to Prometheus.
#[derive(Clone, Copy)]
pub struct Signal {
    /// What the number is.
    pub title: &'static str,
    /// Where it comes from.
    pub query: &'static str,
}

/// A Deployment and what it is there for, over time.
pub struct Watch<'a> {
    bed: &'a Bed,
    deployment: String,
    load: Source<'a>,
    signal: Signal,
    started: Instant,
    /// Everything that was seen, oldest first.
    pub rows: Vec<Row>,
    notes: Vec<(f64, String)>,
}

impl<'a> Watch<'a> {
    /// Begins.
    pub fn new(bed: &'a Bed, deployment: &str, load: Source<'a>, signal: Signal) -> Self {
        let started = Instant::now();
        Self { bed, deployment: deployment.into(), load, signal, started, rows: vec![], notes: vec![] }
    }

    /// Says in the table what begins now.
    pub fn note(&mut self, text: impl Into<String>) {
        self.notes.push((self.seconds(), text.into()));
    }

    /// Seconds since the beginning.
    pub fn seconds(&self) -> f64 {
        self.started.elapsed().as_secs_f64()
    }

    /// Looks until the rows since now are as wanted. Returns the seconds that it took.
    pub async fn until(&mut self, what: &str, within: Duration, wanted: impl Fn(&[Row]) -> bool) -> Result<f64> {
        let (first, begun) = (self.rows.len(), self.seconds());
        loop {
            let row = self.look().await?;
            self.rows.push(row);
            let took = self.seconds() - begun;
            if wanted(&self.rows[first..]) {
                self.note(format!("{what}, after {took:.0} s"));
                return Ok(took);
            }
            if took > within.as_secs_f64() {
                bail!("waited {took:.0} s until {what}\n{}\n{}", self.table(), self.state().await);
            }
            sleep(INTERVAL).await;
        }
    }

    /// Looks for so long.
    pub async fn during(&mut self, length: Duration) -> Result<()> {
        let end = self.seconds() + length.as_secs_f64();
        self.until(&format!("{} s are over", length.as_secs()), length * 2, |rows| {
            rows.last().is_some_and(|row| row.seconds >= end)
        })
        .await
        .map(drop)
    }

    /// A Prometheus that does not answer is part of the story; an API server that does not is none.
    async fn look(&self) -> Result<Row> {
        let deployment = self.bed.api::<Deployment>().get(&self.deployment).await?;
        let load = match &self.load {
            Source::Query(query) => self.bed.query(query).await.ok().flatten(),
            Source::Sent(stages) => Some(rate_at(stages, self.seconds())),
        };
        Ok(Row {
            seconds: self.seconds(),
            load,
            signal: self.bed.query(self.signal.query).await.ok().flatten(),
            wanted: deployment.spec.and_then(|spec| spec.replicas).context("a Deployment has replicas")?,
            ready: deployment.status.and_then(|status| status.ready_replicas).unwrap_or(0),
        })
    }

    /// What the cluster says now, for a person who has to find out why something did not happen: the object's status with
    /// its last decisions, its conditions, its Events, and its pods.
    pub async fn state(&self) -> String {
        let namespace = self.bed.namespace.name.as_str();
        let mut text = String::new();
        for arguments in [
            &[
                "get",
                "recommendermodels",
                "-o",
                "jsonpath={range .items[*].status.conditions[*]}{.type}={.status} {.reason}: {.message}{\"\\n\"}{end}",
            ][..],
            &[
                "get",
                "recommendermodels",
                "-o",
                "jsonpath={range .items[*].status.serving.scaling.decisions[*]}{.time} {.reason}: {.message}{\"\\n\"}{end}",
            ],
            &["get", "pods,hpa", "-o", "wide"],
            &[
                "get",
                "events",
                "--sort-by=.lastTimestamp",
                "-o",
                "custom-columns=LAST:.lastTimestamp,COUNT:.count,REASON:.reason,OBJECT:.involvedObject.name,MESSAGE:.message",
            ],
        ] {
            let said = self.bed.cluster.kubectl(&[&["-n", namespace], arguments].concat()).await;
            text += &format!(
                "-- kubectl {}\n{}\n",
                arguments[..2].join(" "),
                said.unwrap_or_else(|error| format!("{error:#}"))
            );
        }
        text
    }

    /// The numbers of replicas that were wanted one after the other.
    pub fn numbers(&self) -> Vec<i32> {
        numbers(&self.rows)
    }

    /// What happened, for a person: a line whenever the replicas changed, and at least every ten seconds.
    pub fn table(&self) -> String {
        let shown = |value: Option<f64>| value.map_or_else(|| "-".to_owned(), |value| format!("{value:.0}"));
        let title = self.signal.title;
        let mut text = format!("{:>6} {:>8} {title:>9} {:>7} {:>6}\n", "second", "load/s", "wanted", "ready");
        let mut last: Option<&Row> = None;
        let mut notes = self.notes.iter().peekable();
        for row in &self.rows {
            while let Some((_, note)) = notes.next_if(|(seconds, _)| *seconds <= row.seconds) {
                text += &format!("       -- {note}\n");
            }
            let changed = last.is_none_or(|last| (last.wanted, last.ready) != (row.wanted, row.ready));
            if changed || last.is_some_and(|last| row.seconds - last.seconds >= 10.0) {
                let (load, signal) = (shown(row.load), shown(row.signal));
                text += &format!("{:6.0} {load:>8} {signal:>9} {:>7} {:>6}\n", row.seconds, row.wanted, row.ready);
                last = Some(row);
            }
        }
        notes.for_each(|(_, note)| text += &format!("       -- {note}\n"));
        text
    }
}

/// The numbers that were wanted one after the other.
fn numbers(rows: &[Row]) -> Vec<i32> {
    let mut numbers: Vec<i32> = rows.iter().map(|row| row.wanted).collect();
    numbers.dedup();
    numbers
}

/// How often the numbers went the other way than before: 1 when they went up and then down.
pub fn turns(numbers: &[i32]) -> usize {
    let directions: Vec<bool> = numbers.windows(2).map(|pair| pair[1] > pair[0]).collect();
    directions.windows(2).filter(|pair| pair[0] != pair[1]).count()
}
