//! The ticks: one loop for each metric source, so that a slow one only delays the decisions that are made from it.

use std::{collections::HashSet, sync::Arc, time::Duration};

use futures::future::join_all;
use jiff::Timestamp;
use tokio::time::{Instant, MissedTickBehavior, interval};

use crate::{
    controller::Context,
    signals::{Quality, Reader, Readings, SourceConfig},
    telemetry::Metrics,
};

/// Time between two decisions on a workload: as often as its signals are recorded.
const TICK: Duration = Duration::from_secs(5);

/// Decides without end, from every source and for the objects whose source is not known.
pub async fn run(sources: Vec<SourceConfig>, contexts: Vec<Arc<Context>>, metrics: Metrics) {
    let ticks = Ticks { started: Instant::now(), contexts, metrics };
    let known: HashSet<String> = sources.iter().map(|source| source.name.clone()).collect();
    let readers = sources.into_iter().map(|source| ticks.of_source(Reader::new(source, Quality::default())));
    tokio::join!(join_all(readers), ticks.of_nowhere(&known));
}

struct Ticks {
    started: Instant,
    contexts: Vec<Arc<Context>>,
    metrics: Metrics,
}

impl Ticks {
    async fn of_source(&self, mut reader: Reader) {
        let mut interval = interval(TICK);
        interval.set_missed_tick_behavior(MissedTickBehavior::Delay);
        let source = reader.name().to_owned();
        let of = |name: &str| name == source;
        loop {
            interval.tick().await;
            if self.contexts.iter().any(|context| context.scaler.reads(&of)) {
                let readings = reader.read(Timestamp::now()).await;
                self.metrics.scaling().read(&source, readings.stats().seconds, readings.source_error().is_none());
                self.decide(&of, Some(&readings));
            }
        }
    }

    async fn of_nowhere(&self, known: &HashSet<String>) {
        let mut interval = interval(TICK);
        loop {
            interval.tick().await;
            self.decide(&|name| !known.contains(name), None);
        }
    }

    fn decide(&self, of: &dyn Fn(&str) -> bool, readings: Option<&Readings>) {
        let (begun, now) = (Instant::now(), Timestamp::now());
        let clock = self.started.elapsed().as_secs_f64();
        for context in self.contexts.iter().filter(|context| context.may_write()) {
            for object in context.scaler.tick(of, readings, self.metrics.scaling(), now, clock) {
                context.touch(object);
            }
        }
        self.metrics.scaling().ticked(begun.elapsed().as_secs_f64());
    }
}
