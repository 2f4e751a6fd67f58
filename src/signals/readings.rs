//! The newest samples of all objects after an answer, and their quality as they age.

use std::{
    borrow::Cow,
    collections::{BTreeMap, HashMap},
    sync::Arc,
};

use jiff::Timestamp;

use super::{
    answer::{Answer, Newest},
    reason,
};
use crate::{
    scaling::Signal,
    series::{Series, Subject},
};

/// Seconds that a sample may be ahead of the clock: HTTP's `Date` has whole seconds, and the clocks of two hosts differ.
const AHEAD: f64 = 5.0;

/// Longest key, bytes. Names in Kubernetes have no more than 63 + 253 + 63 bytes.
const LONGEST_KEY: usize = 512;

/// The age limits of samples.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct Quality {
    /// Oldest fresh sample, seconds.
    pub fresh_seconds: f64,
    /// Oldest stale sample, seconds. Older ones are not used.
    pub stale_seconds: f64,
}

impl Default for Quality {
    /// Fresh: three of the samples may be missing that are recorded every 5 s, and one of those that are recorded every 10 s. Stale:
    /// five minutes, the default lookback of Prometheus.
    fn default() -> Self {
        Self { fresh_seconds: 20.0, stale_seconds: 300.0 }
    }
}

/// The newest sample of an object.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct Sampled {
    /// When it was taken, seconds since 1970 by its server's clock. It identifies the sample.
    pub at: f64,
    /// Its age by our clock, seconds.
    pub age: f64,
}

/// Statistics of one read of a source.
#[derive(Clone, Copy, Debug, Default, PartialEq)]
pub struct ReadStats {
    /// Number of series in all answers.
    pub series: usize,
    /// Seconds from the first query to the last answer.
    pub seconds: f64,
    /// Size of all bodies, bytes.
    pub bytes: usize,
    /// Number of queries without a usable answer. There is one query for each of [`Series::SCALING`].
    pub failed: usize,
}

/// The newest samples of all objects of a source. Immutable; each read creates new ones.
#[derive(Clone, Debug)]
pub struct Readings {
    quality: Quality,
    /// One for each of [`Series::SCALING`], in that order.
    pub(super) series: Vec<Known>,
    /// Those that are read on demand.
    pub(super) demanded: BTreeMap<Series, Known>,
    /// Of a series that is not read.
    unread: Known,
    error: Option<String>,
    pub(super) stats: ReadStats,
}

impl Readings {
    /// Before the first read: everything is missing.
    pub fn none(quality: Quality) -> Self {
        let unread = Known { samples: Arc::default(), absent: reason::NOT_READ, expired: reason::NOT_READ };
        Self {
            quality,
            series: vec![unread.clone(); Series::SCALING.len()],
            demanded: BTreeMap::new(),
            unread,
            error: None,
            stats: ReadStats::default(),
        }
    }

    /// The signal of an object. `about`: the value of the label [`Series::about`], a workload or a dependency. `now`: the time
    /// of use, by the same clock as the read; a sample that is not read again becomes stale.
    pub fn get(&self, series: Series, namespace: &str, recommender: &str, about: &str, now: Timestamp) -> Signal {
        let known = self.known(series);
        let sample = known.newest(namespace, recommender, about);
        sample.map_or(Signal::Missing(known.absent), |sample| sample.signal(self.quality, now, known.expired))
    }

    /// The newest sample of such a signal, valid or not. None when there is none.
    pub fn sampled(
        &self,
        series: Series,
        namespace: &str,
        recommender: &str,
        about: &str,
        now: Timestamp,
    ) -> Option<Sampled> {
        let sample = self.known(series).newest(namespace, recommender, about)?;
        Some(Sampled { at: sample.at, age: (seconds(now) - sample.taken).max(0.0) })
    }

    /// Age in seconds of the newest sample of an alert on an objective in a state. None when there is none.
    pub fn alert(
        &self,
        namespace: &str,
        recommender: &str,
        objective: &str,
        state: &str,
        now: Timestamp,
    ) -> Option<f64> {
        let about = alert(objective, state);
        self.sampled(Series::BudgetSpent, namespace, recommender, &about, now).map(|sampled| sampled.age)
    }

    /// When a server that answers with a version was scraped last, or why that is not known.
    ///
    /// # Errors
    /// Why there is no such sample that was recorded within the last `recent` seconds.
    pub fn scraped(
        &self,
        (namespace, recommender): (&str, &str),
        (pod, version): (&str, &str),
        recent: f64,
        now: Timestamp,
    ) -> Result<f64, &'static str> {
        let about = pod_with_version(pod, version);
        let scraped = self.get(Series::PodVersion, namespace, recommender, &about, now).known()?;
        let sampled = self.sampled(Series::PodVersion, namespace, recommender, &about, now);
        let sampled = sampled.filter(|sampled| sampled.age <= recent).ok_or(reason::OLD)?;
        Ok(seconds(now) - sampled.age - (sampled.at - scraped).max(0.0))
    }

    /// When the servers of an object were scraped last with each version, in seconds by the source's clock: by pod and version.
    pub fn versions(&self, (namespace, recommender): (&str, &str)) -> BTreeMap<&str, BTreeMap<&str, f64>> {
        let prefix = format!("{namespace}/{recommender}/");
        let mut versions: BTreeMap<&str, BTreeMap<&str, f64>> = BTreeMap::new();
        for (key, sample) in self.known(Series::PodVersion).samples.iter() {
            let about = key.strip_prefix(&prefix).and_then(|about| about.strip_suffix('/')?.split_once(':'));
            if let (Some((pod, version)), Ok(scraped)) = (about, sample.value) {
                versions.entry(pod).or_default().insert(version, scraped);
            }
        }
        versions
    }

    /// One sentence with the source, the failure, and what to check. None when all queries were answered completely.
    pub fn source_error(&self) -> Option<&str> {
        self.error.as_deref()
    }

    /// The same, if none was answered: nothing is known of any object now.
    pub fn silence(&self) -> Option<&str> {
        self.source_error().filter(|_| self.stats.failed >= Series::SCALING.len())
    }

    /// Statistics of the read.
    pub fn stats(&self) -> ReadStats {
        self.stats
    }

    /// The readings of the next read.
    pub(super) fn next(
        &self,
        series: Vec<Known>,
        demanded: BTreeMap<Series, Known>,
        error: Option<String>,
        stats: ReadStats,
    ) -> Self {
        Self { quality: self.quality, series, demanded, unread: self.unread.clone(), error, stats }
    }

    /// The same samples after a read that nothing answered.
    #[cfg(test)]
    pub(crate) fn silent(&self, why: &str) -> Self {
        let stats = ReadStats { failed: Series::SCALING.len(), ..ReadStats::default() };
        self.next(self.series.clone(), self.demanded.clone(), Some(why.into()), stats)
    }

    /// The samples of a series.
    pub(super) fn known(&self, series: Series) -> &Known {
        self.series.get(series.index()).or_else(|| self.demanded.get(&series)).unwrap_or(&self.unread)
    }

    /// The age limits of samples.
    pub(super) fn quality(&self) -> Quality {
        self.quality
    }
}

/// The time of an answer by both clocks, seconds since 1970.
#[derive(Clone, Copy, Debug)]
pub(super) struct Clock {
    /// By our clock.
    pub ours: f64,
    /// By the server's clock; by ours when the server does not send its time.
    pub server: f64,
}

/// A time in seconds since 1970.
pub(super) fn seconds(time: Timestamp) -> f64 {
    time.as_duration().as_secs_f64()
}

/// The newest samples of one series, for all objects.
#[derive(Clone, Debug)]
pub(super) struct Known {
    samples: Arc<HashMap<Arc<str>, Sample>>,
    /// Why there is no signal for an object without a sample.
    absent: &'static str,
    /// Why there is no signal for an object whose sample is too old.
    expired: &'static str,
}

/// The newest sample of one object.
#[derive(Clone, Copy, Debug)]
struct Sample {
    /// When it was taken, seconds since 1970 by the server's clock. It identifies the sample.
    at: f64,
    /// When it was taken, seconds since 1970 by our clock. Its age is computed from it.
    taken: f64,
    value: Result<f64, &'static str>,
    partial: bool,
}

impl Known {
    fn newest(&self, namespace: &str, recommender: &str, about: &str) -> Option<&Sample> {
        let mut buffer = String::with_capacity(namespace.len() + recommender.len() + about.len() + 3);
        key(&mut buffer, namespace, recommender, about).and_then(|key| self.samples.get(key))
    }

    /// Number of objects with a sample.
    #[cfg(test)]
    pub(super) fn len(&self) -> usize {
        self.samples.len()
    }

    /// The same samples after a query without a usable answer.
    pub(super) fn after_failure(&self, reason: &'static str) -> Self {
        Self { samples: self.samples.clone(), absent: reason, expired: reason }
    }

    /// The samples after an answer: those of the answer, and for other objects the earlier ones that are not too old. There
    /// are no more than `most` in all.
    pub(super) fn after(&self, series: Series, answer: &Answer, clock: Clock, quality: Quality, most: usize) -> Self {
        let partial = answer.partial.is_some();
        let mut samples: HashMap<Arc<str>, Sample> =
            HashMap::with_capacity(answer.series.len().max(self.samples.len()));
        let mut buffer = String::new();
        for newest in &answer.series {
            let (labels, at) = (&newest.labels, newest.at);
            let about = match series.subject() {
                Subject::Workload => &labels.workload,
                Subject::Dependency => &labels.dependency,
                Subject::Objective if labels.alertstate.is_empty() => &labels.objective,
                Subject::Objective => &Cow::Owned(alert(&labels.objective, &labels.alertstate)),
                Subject::Pod if labels.version.is_empty() => &labels.pod,
                Subject::Pod => &Cow::Owned(pod_with_version(&labels.pod, &labels.version)),
                Subject::Run => &labels.version,
            };
            let Some(key) = key(&mut buffer, &labels.namespace, &labels.recommender, about) else { continue };
            if let Some(twice) = samples.get_mut(key).filter(|_| !series.labels().is_empty()) {
                *twice = twice.and(Sample::new(newest, clock, partial), series);
                continue;
            }
            if let Some(twice) = samples.get_mut(key) {
                *twice = Sample { at: twice.at.max(at), value: Err(reason::AMBIGUOUS), ..*twice };
                continue;
            }
            let earlier = self.samples.get_key_value(key);
            let sample = Sample::new(newest, clock, partial).or_as_old_as(earlier.map(|(_, sample)| sample));
            samples.insert(earlier.map_or_else(|| Arc::from(key), |(key, _)| key.clone()), sample);
        }
        let is_usable = |sample: &Sample| (clock.ours - sample.taken).abs() <= quality.stale_seconds;
        for (key, sample) in self.samples.iter().filter(|(_, sample)| is_usable(sample)) {
            // The server may return new names with every answer.
            if samples.len() >= most {
                break;
            }
            samples.entry(key.clone()).or_insert(*sample);
        }
        let absent = if answer.series.is_empty() { reason::NO_SERIES } else { reason::NO_OBJECT };
        Self { samples: Arc::new(samples), absent, expired: reason::OLD }
    }
}

impl Sample {
    fn new(newest: &Newest, clock: Clock, partial: bool) -> Self {
        let age = clock.server - newest.at;
        if age < -AHEAD {
            return Self { at: newest.at, taken: clock.ours, value: Err(reason::FUTURE), partial };
        }
        Self { at: newest.at, taken: clock.ours - age.max(0.0), value: newest.value, partial }
    }

    /// The sample of a series with several values, such as the features of a drift: their sum or the largest, as in
    /// [`Series::is_total`].
    fn and(self, other: Self, series: Series) -> Self {
        let combine = |a: f64, b: f64| if series.is_total() { a + b } else { a.max(b) };
        let value = self.value.and_then(|a| other.value.map(|b| combine(a, b)));
        Self {
            at: self.at.max(other.at),
            taken: self.taken.min(other.taken),
            value,
            partial: self.partial || other.partial,
        }
    }

    /// A sample that was returned before does not become younger: the answer may come from a cache, or the server's clock may
    /// have stopped.
    fn or_as_old_as(self, earlier: Option<&Self>) -> Self {
        match earlier {
            Some(earlier) if earlier.at == self.at => Self { taken: self.taken.min(earlier.taken), ..self },
            _ => self,
        }
    }

    fn signal(&self, quality: Quality, now: Timestamp, expired: &'static str) -> Signal {
        let age = seconds(now) - self.taken;
        match self.value {
            _ if age > quality.stale_seconds => Signal::Missing(expired),
            Err(reason) => Signal::Missing(reason),
            // The operator's own clock was set back after the read.
            Ok(_) if age < -AHEAD => Signal::Missing(reason::FUTURE),
            Ok(value) if age <= quality.fresh_seconds && !self.partial => Signal::Fresh { value, age: age.max(0.0) },
            Ok(value) => Signal::Stale { value, age: age.max(0.0) },
        }
    }
}

/// What a sample of an alert on an objective is about; no objective has such a name.
fn alert(objective: &str, state: &str) -> String {
    format!("{objective}:{state}")
}

/// What a sample of a version of a pod is about; no pod has such a name.
pub fn pod_with_version(pod: &str, version: &str) -> String {
    format!("{pod}:{version}")
}

/// One string for three labels. None when they cannot be names in Kubernetes, which are not empty and contain no slash.
fn key<'b>(buffer: &'b mut String, namespace: &str, recommender: &str, about: &str) -> Option<&'b str> {
    let parts = [namespace, recommender, about];
    let length = parts.iter().map(|part| part.len() + 1).sum::<usize>();
    if length > LONGEST_KEY || parts.iter().any(|part| part.is_empty() || part.contains('/')) {
        return None;
    }
    buffer.clear();
    for part in parts {
        buffer.push_str(part);
        buffer.push('/');
    }
    Some(buffer)
}
