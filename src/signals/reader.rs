//! Reads all series from one source.

use std::{collections::BTreeSet, sync::Arc};

use futures::StreamExt;
use jiff::Timestamp;
use tokio::time::Instant;

use super::{
    answer,
    client::{Client, Session},
    config::SourceConfig,
    failure::Failure,
    readings::{Known, Quality, ReadStats, Readings, seconds},
};
use crate::series::Series;

/// Number of queries at the same time. One or two that hang do not delay the others, and only so many bodies are in memory.
const AT_ONCE: usize = 3;

/// A source and its latest readings. Each source has its own reader in its own task, so none waits for another.
pub struct Reader {
    config: SourceConfig,
    /// None until the first read, and after a read in which every query failed.
    client: Option<Client>,
    latest: Arc<Readings>,
    /// The series that are read beside [`Series::SCALING`].
    demanded: BTreeSet<Series>,
}

/// The outcome of one query.
struct Outcome {
    series: Series,
    known: Known,
    found: usize,
    bytes: usize,
    problem: Option<Failure>,
}

impl Reader {
    /// Does not connect yet.
    pub fn new(config: SourceConfig, quality: Quality) -> Self {
        Self { config, client: None, latest: Arc::new(Readings::none(quality)), demanded: BTreeSet::new() }
    }

    /// Name of the source.
    pub fn name(&self) -> &str {
        &self.config.name
    }

    /// Sets what is read beside [`Series::SCALING`]: a query each, also if many objects need it.
    pub fn demand(&mut self, series: impl IntoIterator<Item = Series>) {
        self.demanded = series.into_iter().filter(|series| !Series::SCALING.contains(series)).collect();
    }

    /// The readings of the last read.
    pub fn latest(&self) -> Arc<Readings> {
        self.latest.clone()
    }

    /// Reads all series within the source's time-out. `now` is the time at the begin. A series without an answer keeps its
    /// samples, which become stale. A read that is dropped before its end changes no readings.
    pub async fn read(&mut self, now: Timestamp) -> Arc<Readings> {
        let started = Instant::now();
        let mut readings = match self.outcomes(started, now).await {
            Ok(outcomes) => self.after(outcomes),
            Err(failure) => self.after_failure(&failure),
        };
        readings.stats.seconds = started.elapsed().as_secs_f64();
        if readings.stats.failed == Series::SCALING.len() {
            // Its connections may be dead, and its files may have changed.
            self.client = None;
        }
        self.latest = Arc::new(readings);
        self.latest()
    }

    async fn outcomes(&mut self, started: Instant, now: Timestamp) -> Result<Vec<Outcome>, Failure> {
        let client = match self.client.take() {
            Some(client) => client.renewed(&self.config),
            None => Client::new(&self.config)?,
        };
        self.client = Some(client.clone());
        let session = client.session(&self.config, (started, seconds(now)))?;
        let all = Series::SCALING.into_iter().chain(self.demanded.iter().copied());
        let asked = all.map(|series| self.outcome(&session, series));
        let mut outcomes: Vec<Outcome> = futures::stream::iter(asked).buffer_unordered(AT_ONCE).collect().await;
        outcomes.sort_by_key(|outcome| outcome.series);
        Ok(outcomes)
    }

    async fn outcome(&self, session: &Session<'_>, series: Series) -> Outcome {
        let before = self.latest.known(series);
        let (mut found, mut bytes) = (0, 0);
        let after = async {
            let reply = session.ask(series).await?;
            bytes = reply.body.len();
            let answer = answer::parse(&reply.body, self.config.max_series)?;
            found = answer.series.len();
            let known = before.after(series, &answer, reply.clock, self.latest.quality(), self.config.max_series);
            Ok((known, answer.partial.map(Failure::Partial)))
        };
        let (known, problem) =
            after.await.unwrap_or_else(|failure: Failure| (before.after_failure(failure.reason()), Some(failure)));
        Outcome { series, known, found, bytes, problem }
    }

    /// The readings after a read.
    fn after(&self, outcomes: Vec<Outcome>) -> Readings {
        let problems = || outcomes.iter().filter_map(|outcome| Some((outcome.series, outcome.problem.as_ref()?)));
        let of_scaling = || problems().filter(|(series, _)| series.index() < Series::SCALING.len());
        let everywhere = of_scaling().count() == Series::SCALING.len();
        let error =
            problems().next().map(|(series, failure)| failure.sentence(&self.config, (!everywhere).then_some(series)));
        let stats = ReadStats {
            series: outcomes.iter().map(|outcome| outcome.found).sum(),
            seconds: 0.0,
            bytes: outcomes.iter().map(|outcome| outcome.bytes).sum(),
            failed: of_scaling().filter(|(_, failure)| !matches!(failure, Failure::Partial(_))).count(),
        };
        let (known, demanded): (Vec<_>, Vec<_>) =
            outcomes.into_iter().partition(|outcome| outcome.series.index() < Series::SCALING.len());
        let demanded = demanded.into_iter().map(|outcome| (outcome.series, outcome.known)).collect();
        self.latest.next(known.into_iter().map(|outcome| outcome.known).collect(), demanded, error, stats)
    }

    /// The readings after a failure before the first query.
    fn after_failure(&self, failure: &Failure) -> Readings {
        let series = self.latest.series.iter().map(|known| known.after_failure(failure.reason())).collect();
        let demanded = &self.latest.demanded;
        let demanded =
            demanded.iter().map(|(series, known)| (*series, known.after_failure(failure.reason()))).collect();
        let stats = ReadStats { failed: Series::SCALING.len(), ..ReadStats::default() };
        self.latest.next(series, demanded, Some(failure.sentence(&self.config, None)), stats)
    }
}
