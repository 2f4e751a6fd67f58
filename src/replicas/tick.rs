//! The inputs of one tick of a workload, except for its pods.

use jiff::Timestamp;

use crate::{
    scaling::Signal,
    series::Series,
    signals::{Readings, Sampled},
};

/// The inputs of one tick.
pub struct Tick<'a> {
    /// Namespace and name of the object.
    pub object: (&'a str, &'a str),
    /// Name of the workload.
    pub workload: &'a str,
    /// Name of the object's metric source.
    pub source: &'a str,
    /// What was read from the source. None when no source of this name is configured.
    pub readings: Option<&'a Readings>,
    /// The current time, for the status and the age of samples.
    pub now: Timestamp,
    /// The current time on the clock of decisions, seconds, monotonic.
    pub clock: f64,
}

impl Tick<'_> {
    /// Whether the source did not answer a single query.
    pub fn source_failed(&self) -> bool {
        self.readings.is_some_and(|readings| readings.stats().failed == Series::SCALING.len())
    }

    /// The newest value of a series. `about`: the value of its label [`Series::about`].
    pub fn signal(&self, series: Series, about: &str) -> Signal {
        let (namespace, name) = self.object;
        let none = Signal::Missing("the operator has no such metric source");
        self.readings.map_or(none, |readings| readings.get(series, namespace, name, about, self.now))
    }

    /// When that value was sampled. None without one.
    pub fn sampled(&self, series: Series, about: &str) -> Option<Sampled> {
        self.readings?.sampled(series, self.object.0, self.object.1, about, self.now)
    }
}
