//! Observations during a test, every two seconds, and checks on them.

use std::time::Duration;

use anyhow::{Context, Result, bail};
use e2e::load::{Stage, rate_at};
use k8s_openapi::api::apps::v1::Deployment;
use tokio::time::{Instant, sleep};

use crate::bed::Bed;

/// Time between two observations.
const INTERVAL: Duration = Duration::from_secs(2);

/// One observation.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct Row {
    /// Seconds since the start.
    pub seconds: f64,
    /// The load, per second.
    pub load: Option<f64>,
    /// The signal: a latency in milliseconds, or the number of waiting messages. None while it is unknown.
    pub signal: Option<f64>,
    /// Replicas of the spec of the Deployment.
    pub desired: i32,
    /// Ready replicas.
    pub ready: i32,
}

/// The source of the load of a row.
pub enum Source<'a> {
    /// A query to Prometheus.
    Query(&'static str),
    /// These stages, which began with the watch.
    Sent(&'a [Stage]),
}

/// The signal on which the replicas scale: a table header and a query to Prometheus.
#[derive(Clone, Copy)]
pub struct Signal {
    /// The table header.
    pub title: &'static str,
    /// The query.
    pub query: &'static str,
}

/// Observes a Deployment and its signal over time.
pub struct Watch<'a> {
    bed: &'a Bed,
    deployment: String,
    load: Source<'a>,
    signal: Signal,
    started: Instant,
    /// All observations, oldest first.
    pub rows: Vec<Row>,
    /// Lines to insert into the table: seconds since the start, and text.
    annotations: Vec<(f64, String)>,
}

impl<'a> Watch<'a> {
    /// Starts the clock.
    pub fn new(bed: &'a Bed, deployment: &str, load: Source<'a>, signal: Signal) -> Self {
        let started = Instant::now();
        Self { bed, deployment: deployment.into(), load, signal, started, rows: vec![], annotations: vec![] }
    }

    /// Adds a line to the table, at the current time.
    pub fn annotate(&mut self, text: impl Into<String>) {
        self.annotations.push((self.seconds(), text.into()));
    }

    /// Seconds since the start.
    pub fn seconds(&self) -> f64 {
        self.started.elapsed().as_secs_f64()
    }

    /// Observes until the rows since this call are as desired. Returns the seconds that it took.
    pub async fn until(&mut self, what: &str, within: Duration, is_desired: impl Fn(&[Row]) -> bool) -> Result<f64> {
        let (first, begun) = (self.rows.len(), self.seconds());
        loop {
            let row = self.observe().await?;
            self.rows.push(row);
            let took = self.seconds() - begun;
            if is_desired(&self.rows[first..]) {
                self.annotate(format!("{what}, after {took:.0} s"));
                return Ok(took);
            }
            if took > within.as_secs_f64() {
                bail!("waited {took:.0} s until {what}\n{}\n{}", self.table(), self.state().await);
            }
            sleep(INTERVAL).await;
        }
    }

    /// Observes for this time.
    pub async fn during(&mut self, length: Duration) -> Result<()> {
        let end = self.seconds() + length.as_secs_f64();
        self.until(&format!("{} s are over", length.as_secs()), length * 2, |rows| {
            rows.last().is_some_and(|row| row.seconds >= end)
        })
        .await
        .map(drop)
    }

    /// Takes one observation. A Prometheus that does not answer leaves values unknown; an API server that does not
    /// answer is an error.
    async fn observe(&self) -> Result<Row> {
        let deployment = self.bed.api::<Deployment>().get(&self.deployment).await?;
        let load = match &self.load {
            Source::Query(query) => self.bed.query(query).await.ok().flatten(),
            Source::Sent(stages) => Some(rate_at(stages, self.seconds())),
        };
        Ok(Row {
            seconds: self.seconds(),
            load,
            signal: self.bed.query(self.signal.query).await.ok().flatten(),
            desired: deployment.spec.and_then(|spec| spec.replicas).context("a Deployment has replicas")?,
            ready: deployment.status.and_then(|status| status.ready_replicas).unwrap_or(0),
        })
    }

    /// The state of the cluster for failure messages: conditions and last decisions of the object, pods, autoscalers
    /// and Events.
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
            let output = self.bed.cluster.kubectl(&[&["-n", namespace], arguments].concat()).await;
            text += &format!(
                "-- kubectl {}\n{}\n",
                arguments[..2].join(" "),
                output.unwrap_or_else(|error| format!("{error:#}"))
            );
        }
        text
    }

    /// The sequence of desired replicas.
    pub fn numbers(&self) -> Vec<i32> {
        numbers(&self.rows)
    }

    /// The observations as a table: a line for each change of the replicas, and at least one every ten seconds.
    pub fn table(&self) -> String {
        let shown = |value: Option<f64>| value.map_or_else(|| "-".to_owned(), |value| format!("{value:.0}"));
        let title = self.signal.title;
        let mut text = format!("{:>6} {:>8} {title:>9} {:>7} {:>6}\n", "second", "load/s", "desired", "ready");
        let mut last: Option<&Row> = None;
        let mut annotations = self.annotations.iter().peekable();
        for row in &self.rows {
            while let Some((_, line)) = annotations.next_if(|(seconds, _)| *seconds <= row.seconds) {
                text += &format!("       -- {line}\n");
            }
            let changed = last.is_none_or(|last| (last.desired, last.ready) != (row.desired, row.ready));
            if changed || last.is_some_and(|last| row.seconds - last.seconds >= 10.0) {
                let (load, signal) = (shown(row.load), shown(row.signal));
                text += &format!("{:6.0} {load:>8} {signal:>9} {:>7} {:>6}\n", row.seconds, row.desired, row.ready);
                last = Some(row);
            }
        }
        annotations.for_each(|(_, line)| text += &format!("       -- {line}\n"));
        text
    }
}

/// The sequence of desired replicas, without repetitions.
fn numbers(rows: &[Row]) -> Vec<i32> {
    let mut numbers: Vec<i32> = rows.iter().map(|row| row.desired).collect();
    numbers.dedup();
    numbers
}

/// Number of changes of direction: 1 for up and then down.
pub fn turns(numbers: &[i32]) -> usize {
    let directions: Vec<bool> = numbers.windows(2).map(|pair| pair[1] > pair[0]).collect();
    directions.windows(2).filter(|pair| pair[0] != pair[1]).count()
}
