//! The ticks: one loop for each metric source, so that a slow one only delays the decisions that are made from it; and
//! beside it one that asks the source for what it recorded before this process began.

use std::{collections::HashSet, sync::Arc, time::Duration};

use futures::future::join_all;
use jiff::Timestamp;
use tokio::time::{Instant, interval, sleep, sleep_until};
use tracing::{debug, info};

use super::kubelets;
use crate::{
    controller::Context,
    signals::{self, Quality, Reader, Readings, SourceConfig},
    telemetry::Metrics,
};

/// Longest and shortest time between two reads of a source, and how many times that of a read it is at least, up to the
/// longest: a source with many objects has new samples all the time, and is not to spend most of it on answers.
const TICK: Duration = Duration::from_secs(5);
const SHORTEST_TICK: Duration = Duration::from_secs(1);
const REST: u32 = 10;

/// Between two questions for the past, each of which is some 20 ms of work here and more there, and when nobody has one.
const RECALL: Duration = Duration::from_millis(100);
const RECALL_IDLE: Duration = Duration::from_secs(1);

/// Decides without end, from every source and for the objects whose source is not known.
pub async fn run(sources: Vec<SourceConfig>, contexts: Vec<Arc<Context>>, metrics: Metrics) {
    let epoch = Timestamp::now().as_duration().as_secs_f64();
    let ticks = Ticks { started: (Instant::now(), epoch), contexts, metrics };
    let known: HashSet<String> = sources.iter().map(|source| source.name.clone()).collect();
    let recalls = join_all(sources.iter().map(|source| ticks.recall(source)));
    let readers = sources.iter().map(|source| ticks.of_source(Reader::new(source.clone(), Quality::default())));
    let kubelets = join_all(ticks.contexts.iter().map(|context| kubelets::ask(context)));
    tokio::join!(join_all(readers), recalls, ticks.of_nowhere(&known), kubelets);
}

struct Ticks {
    /// The same moment on two clocks; the second in seconds since 1970.
    started: (Instant, f64),
    contexts: Vec<Arc<Context>>,
    metrics: Metrics,
}

impl Ticks {
    async fn of_source(&self, mut reader: Reader) {
        let source = reader.name().to_owned();
        let of = |name: &str| name == source;
        loop {
            let begun = Instant::now();
            if self.contexts.iter().any(|context| context.scaler.reads(&of)) {
                let readings = reader.read(Timestamp::now()).await;
                self.metrics.scaling().read(&source, readings.stats().seconds, readings.source_error().is_none());
                self.decide(&of, Some(&readings));
            }
            sleep_until(self.next(&of, begun)).await;
        }
    }

    /// When to read next: as the next sample is due, in time bounds that follow from the last read, which began then.
    fn next(&self, of: &dyn Fn(&str) -> bool, begun: Instant) -> Instant {
        let took = begun.elapsed();
        let clock = self.clock();
        let due = self.contexts.iter().filter_map(|context| context.scaler.next(of, clock)).min_by(f64::total_cmp);
        let wait = due.map_or(TICK, |due| Duration::from_secs_f64((due - clock).max(0.0)));
        begun + (took + wait).clamp((took * REST).clamp(SHORTEST_TICK, TICK), TICK)
    }

    async fn of_nowhere(&self, known: &HashSet<String>) {
        let mut interval = interval(TICK);
        loop {
            interval.tick().await;
            self.decide(&|name| !known.contains(name), None);
        }
    }

    /// Has workloads remember what the source recorded of them, one after the other: it may know thousands.
    async fn recall(&self, source: &SourceConfig) {
        let of = |name: &str| name == source.name;
        loop {
            let mut writing = self.contexts.iter().filter(|context| context.may_write());
            let next = writing.find_map(|context| Some((context, context.scaler.forgetful(&of, self.clock())?)));
            let Some((context, forgetful)) = next else {
                sleep(RECALL_IDLE).await;
                continue;
            };
            let of = &forgetful.subject;
            let (namespace, name, workload) = (&of.namespace, &of.recommender, &of.workload);
            match signals::past(source, of, Timestamp::now()).await {
                Ok(past) => {
                    let (loads, quarters) = (past.loads.len(), past.quarters.len());
                    if context.scaler.remember(&forgetful, &past, self.clock()) {
                        info!(namespace, name, workload, loads, quarters, "remembers the load of before");
                    }
                }
                // That a source does not answer is told where its absence hurts.
                Err(error) => debug!(namespace, name, workload, error, "cannot remember the load of before"),
            }
            sleep(RECALL).await;
        }
    }

    /// Seconds since 1970, by a clock that never jumps: quarters of an hour are those that the source has.
    fn clock(&self) -> f64 {
        self.started.1 + self.started.0.elapsed().as_secs_f64()
    }

    fn decide(&self, of: &dyn Fn(&str) -> bool, readings: Option<&Readings>) {
        let (begun, now) = (Instant::now(), Timestamp::now());
        let clock = self.clock();
        for context in self.contexts.iter().filter(|context| context.may_write()) {
            for object in context.scaler.tick(of, readings, self.metrics.scaling(), now, clock) {
                context.touch(object);
            }
        }
        self.metrics.scaling().ticked(begun.elapsed().as_secs_f64());
    }
}
