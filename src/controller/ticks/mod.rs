//! The loops that read metrics and decide on replicas. Each metric source has three:
//! - one reads the source, publishes the readings, and makes decisions; a slow source delays only the workloads that use it;
//! - one runs the backfill: it queries the load that was recorded before this process started;
//! - one asks what the source has loaded of the objects that are due.

pub(super) mod feedback;
mod kubelets;

use std::{sync::Arc, time::Duration};

use futures::future::join_all;
use jiff::Timestamp;
use tokio::time::{Instant, interval, sleep, sleep_until};
use tracing::{debug, info};

use crate::{
    controller::context::Context,
    signals::{self, Published, Quality, Reader, SourceConfig},
    telemetry::Metrics,
};

/// Longest time between two reads of a source, and the interval of decisions for objects without a configured source.
const TICK: Duration = Duration::from_secs(5);
/// Shortest time between two reads of a source: a source with many objects has new samples all the time.
const SHORTEST_TICK: Duration = Duration::from_secs(1);
/// Time between two reads of a source as a multiple of the duration of a read, up to [`TICK`]: the source must not spend
/// most of its time on these queries.
const MIN_INTERVAL_FACTOR: u32 = 10;

/// Pause between the backfills of two workloads: each takes about 20 ms of work in the operator and more in the source.
const BACKFILL_PAUSE: Duration = Duration::from_millis(100);
/// Time until the backfill loop checks again after no workload needed a backfill.
const BACKFILL_IDLE: Duration = Duration::from_secs(1);

/// Runs all loops: reads, backfills and checks of each source, decisions for objects whose source is not configured, and the queries
/// of kubelets. Never returns.
pub async fn run(sources: Vec<SourceConfig>, signals: Arc<Published>, contexts: Vec<Arc<Context>>, metrics: Metrics) {
    let epoch = Timestamp::now().as_duration().as_secs_f64();
    let ticks = Ticks { started: (Instant::now(), epoch), signals, contexts, metrics };
    let backfills = join_all(sources.iter().map(|source| ticks.backfill(source)));
    let readers = sources.iter().map(|source| ticks.run_source(Reader::new(source.clone(), Quality::default())));
    let kubelets = join_all(ticks.contexts.iter().map(|context| kubelets::run(context)));
    let feedback = join_all(sources.iter().map(|source| feedback::run(source, &ticks.contexts)));
    tokio::join!(join_all(readers), backfills, ticks.run_without_source(), kubelets, feedback);
}

struct Ticks {
    /// The start of the loops on the monotonic clock, and the same moment in seconds since 1970.
    started: (Instant, f64),
    /// Where the readings are published.
    signals: Arc<Published>,
    contexts: Vec<Arc<Context>>,
    metrics: Metrics,
}

impl Ticks {
    /// Reads a source, publishes the readings, and makes the decisions from them.
    async fn run_source(&self, mut reader: Reader) {
        let source = reader.name().to_owned();
        let of = |name: &str| name == source;
        loop {
            let begun = Instant::now();
            let needs = |context: &Arc<Context>| context.scaler.reads(&of) || context.observers.reads(&of);
            if self.contexts.iter().any(needs) {
                reader.demand(self.contexts.iter().flat_map(|context| context.observers.demanded(&of)));
                let readings = reader.read(Timestamp::now()).await;
                self.metrics.scaling().read(&source, readings.stats().seconds, readings.source_error().is_none());
                self.signals.publish(&source, readings);
                self.decide(&of, Some(&source));
            }
            sleep_until(self.next(&of, begun)).await;
        }
    }

    /// When to read a source next: when its next sample is expected, within limits that depend on the duration of the last
    /// read. `begun`: when that read began.
    fn next(&self, of: &dyn Fn(&str) -> bool, begun: Instant) -> Instant {
        let took = begun.elapsed();
        let clock = self.clock();
        let due = self.contexts.iter().filter_map(|context| context.scaler.next(of, clock)).min_by(f64::total_cmp);
        let wait = due.map_or(TICK, |due| Duration::from_secs_f64((due - clock).max(0.0)));
        begun + (took + wait).clamp((took * MIN_INTERVAL_FACTOR).clamp(SHORTEST_TICK, TICK), TICK)
    }

    /// Makes decisions for objects whose source is not configured, so that their status reports it.
    async fn run_without_source(&self) {
        let mut interval = interval(TICK);
        loop {
            interval.tick().await;
            self.decide(&|name| !self.signals.is_configured(name), None);
        }
    }

    /// Backfills the workloads of a source one after the other: there may be thousands.
    async fn backfill(&self, source: &SourceConfig) {
        let of = |name: &str| name == source.name;
        loop {
            let mut writing = self.contexts.iter().filter(|context| context.may_write());
            let next = writing.find_map(|context| Some((context, context.scaler.next_backfill(&of, self.clock())?)));
            let Some((context, backfill)) = next else {
                sleep(BACKFILL_IDLE).await;
                continue;
            };
            let subject = &backfill.subject;
            let (namespace, name, workload) = (&subject.namespace, &subject.recommender, &subject.workload);
            match signals::past(source, subject, Timestamp::now()).await {
                Ok(past) => {
                    let (loads, quarters) = (past.loads.len(), past.quarters.len());
                    if context.scaler.replay(&backfill, &past, self.clock()) {
                        info!(namespace, name, workload, loads, quarters, "replayed the recorded load");
                    }
                }
                // A failing source is reported in the status of the workloads that need it.
                Err(error) => debug!(namespace, name, workload, error, "cannot read the recorded load"),
            }
            sleep(BACKFILL_PAUSE).await;
        }
    }

    /// The clock of decisions: seconds since 1970, monotonic. Its quarters of an hour are those of the source's samples.
    fn clock(&self) -> f64 {
        self.started.1 + self.started.0.elapsed().as_secs_f64()
    }

    /// Makes the decisions that are due for objects whose source is `of`, observes what else their status and their trainings depend on,
    /// and enqueues the changed ones. `source`: none for those whose source is not configured.
    fn decide(&self, of: &dyn Fn(&str) -> bool, source: Option<&str>) {
        let (begun, now) = (Instant::now(), Timestamp::now());
        let clock = self.clock();
        for context in self.contexts.iter().filter(|context| context.may_write()) {
            let readings = source.and_then(|source| context.signals.of(source));
            let scaled = context.scaler.tick(of, readings.as_deref(), self.metrics.scaling(), now, clock);
            let observed = context.observers.tick(of, readings.as_deref(), now);
            scaled.into_iter().chain(observed).for_each(|object| context.enqueue(object));
        }
        self.metrics.scaling().ticked(begun.elapsed().as_secs_f64());
    }
}
