//! What is known of all objects' series after an answer, and how good it still is.

use std::{collections::HashMap, sync::Arc};

use jiff::Timestamp;

use super::{
    Series,
    answer::{Answer, Newest},
};
use crate::scaling::Signal;

/// Why there is no signal, to come after "because": each tells where to look.
pub(super) mod reason {
    pub const NOT_READ: &str = "the metric source has not been read yet";
    pub const NO_SERIES: &str = "the metric source has this series of no object: no recording rule of ours is loaded, \
                                 or no Prometheus selects our PrometheusRules";
    pub const NO_OBJECT: &str = "the metric source has no such series of this object: its recording rules are not loaded, or nothing is scraped";
    pub const OLD: &str = "the newest sample is minutes old: nothing is scraped or recorded any more";
    pub const NAN: &str = "the newest sample is not a number: nothing was counted in its window";
    pub const NO_NUMBER: &str = "the newest sample cannot be read as a number";
    pub const NEGATIVE: &str = "the newest sample is negative: its exporter does not know";
    pub const ABSURD: &str = "the newest sample is larger than anything that can be measured";
    pub const FUTURE: &str = "the newest sample is from the future: clocks are wrong";
    pub const AMBIGUOUS: &str =
        "the metric source has several such series of this object: narrow them with matchLabels";
}

/// A sample may be so many seconds ahead of the clock: HTTP's `Date` has no fractions, and clocks of two hosts differ.
const AHEAD: f64 = 5.0;

/// Longest key that is kept. Kubernetes' names give no more than 63 + 253 + 63 bytes.
const LONGEST_KEY: usize = 512;

/// How old a sample may be.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct Quality {
    /// Up to this age a sample is fresh, seconds.
    pub fresh_seconds: f64,
    /// Up to this age a sample is of some use, seconds.
    pub stale_seconds: f64,
}

impl Default for Quality {
    /// Of samples every 5 s three may be missed; five minutes is as far as Prometheus itself looks back.
    fn default() -> Self {
        Self { fresh_seconds: 20.0, stale_seconds: 300.0 }
    }
}

/// The newest sample of an object.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct Sampled {
    /// When it was taken, seconds since 1970 by its server's clock: the same sample has the same time.
    pub at: f64,
    /// How old it is by ours, seconds.
    pub age: f64,
}

/// What one read of a source took.
#[derive(Clone, Copy, Debug, Default, PartialEq)]
pub struct ReadStats {
    /// Series that were found.
    pub series: usize,
    /// From the first query to the last answer.
    pub seconds: f64,
    /// Of all bodies.
    pub bytes: usize,
    /// Queries without a usable answer, of as many as there are in [`Series::ALL`].
    pub failed: usize,
}

/// What is known of all objects of a source. Never changes; a read makes new ones.
#[derive(Clone, Debug)]
pub struct Readings {
    quality: Quality,
    /// One for each of [`Series::ALL`].
    pub(super) series: Vec<Known>,
    error: Option<String>,
    pub(super) stats: ReadStats,
}

impl Readings {
    /// Before the first read: everything is missing.
    pub fn none(quality: Quality) -> Self {
        let unread = Known { samples: Arc::default(), absent: reason::NOT_READ, expired: reason::NOT_READ };
        Self { quality, series: vec![unread; Series::ALL.len()], error: None, stats: ReadStats::default() }
    }

    /// The signal of an object. `about` is the value of the label [`Series::about`]: a workload or a dependency. `now` is
    /// when it is used, by the same clock as that of the read: what is not read again becomes stale.
    pub fn get(&self, series: Series, namespace: &str, recommender: &str, about: &str, now: Timestamp) -> Signal {
        let known = &self.series[series.index()];
        let sample = known.newest(namespace, recommender, about);
        sample.map_or(Signal::Missing(known.absent), |sample| sample.signal(self.quality, now, known.expired))
    }

    /// The newest sample behind such a signal, whatever it says. None when there never was one.
    pub fn sampled(
        &self,
        series: Series,
        namespace: &str,
        recommender: &str,
        about: &str,
        now: Timestamp,
    ) -> Option<Sampled> {
        let sample = self.series[series.index()].newest(namespace, recommender, about)?;
        Some(Sampled { at: sample.at, age: (seconds(now) - sample.taken).max(0.0) })
    }

    /// One sentence: which source, what happened, what to check. None when all queries were answered in full.
    pub fn source_error(&self) -> Option<&str> {
        self.error.as_deref()
    }

    /// What the read took.
    pub fn stats(&self) -> ReadStats {
        self.stats
    }

    /// What comes after these.
    pub(super) fn next(&self, series: Vec<Known>, error: Option<String>, stats: ReadStats) -> Self {
        Self { quality: self.quality, series, error, stats }
    }

    /// The quality that was asked for.
    pub(super) fn quality(&self) -> Quality {
        self.quality
    }
}

/// The time of an answer by both clocks, seconds since 1970.
#[derive(Clone, Copy, Debug)]
pub(super) struct Clock {
    /// Ours.
    pub ours: f64,
    /// The server's; ours when it does not tell.
    pub server: f64,
}

/// A time in seconds since 1970.
pub(super) fn seconds(time: Timestamp) -> f64 {
    time.as_duration().as_secs_f64()
}

/// What is known of one series of all objects.
#[derive(Clone, Debug)]
pub(super) struct Known {
    samples: Arc<HashMap<Arc<str>, Sample>>,
    /// Why there is nothing of an object of which there is nothing,
    absent: &'static str,
    /// and of one of which there once was something.
    expired: &'static str,
}

/// The newest sample of one object that was ever seen.
#[derive(Clone, Copy, Debug)]
struct Sample {
    /// When it was taken, seconds since 1970: by the server's clock, to know it again,
    at: f64,
    /// and by ours, to know its age.
    taken: f64,
    value: Result<f64, &'static str>,
    partial: bool,
}

impl Known {
    fn newest(&self, namespace: &str, recommender: &str, about: &str) -> Option<&Sample> {
        let mut buffer = String::with_capacity(namespace.len() + recommender.len() + about.len() + 3);
        key(&mut buffer, namespace, recommender, about).and_then(|key| self.samples.get(key))
    }

    /// Of so many objects.
    #[cfg(test)]
    pub(super) fn len(&self) -> usize {
        self.samples.len()
    }

    /// The same, but there was no usable answer.
    pub(super) fn after_failure(&self, reason: &'static str) -> Self {
        Self { samples: self.samples.clone(), absent: reason, expired: reason }
    }

    /// What is known after an answer: its samples, and of the earlier ones those that it does not have and that are of
    /// use still; no more than `most` in all.
    pub(super) fn after(&self, series: Series, answer: &Answer, clock: Clock, quality: Quality, most: usize) -> Self {
        let partial = answer.partial.is_some();
        let mut samples: HashMap<Arc<str>, Sample> =
            HashMap::with_capacity(answer.series.len().max(self.samples.len()));
        let mut buffer = String::new();
        for newest in &answer.series {
            let (labels, at) = (&newest.labels, newest.at);
            let about = if series.about() == "workload" { &labels.workload } else { &labels.dependency };
            let Some(key) = key(&mut buffer, &labels.namespace, &labels.recommender, about) else { continue };
            if let Some(twice) = samples.get_mut(key) {
                *twice = Sample { at: twice.at.max(at), value: Err(reason::AMBIGUOUS), ..*twice };
                continue;
            }
            let earlier = self.samples.get_key_value(key);
            let sample = Sample::new(newest, clock, partial).or_as_old_as(earlier.map(|(_, sample)| sample));
            samples.insert(earlier.map_or_else(|| Arc::from(key), |(key, _)| key.clone()), sample);
        }
        let of_use = |sample: &Sample| (clock.ours - sample.taken).abs() <= quality.stale_seconds;
        for (key, sample) in self.samples.iter().filter(|(_, sample)| of_use(sample)) {
            if samples.len() >= most {
                break; // a server that makes up new names all the time
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

    /// A sample that was seen before does not get younger: its answer may come out of a cache, its server's clock stand
    /// still.
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
            // The operator's own clock was set back since.
            Ok(_) if age < -AHEAD => Signal::Missing(reason::FUTURE),
            Ok(value) if age <= quality.fresh_seconds && !self.partial => Signal::Fresh { value, age: age.max(0.0) },
            Ok(value) => Signal::Stale { value, age: age.max(0.0) },
        }
    }
}

/// One string for three labels. None when they are not the names of something in Kubernetes, which have no slash.
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
