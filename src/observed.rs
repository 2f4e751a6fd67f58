//! What ticks keep of an object and observe of it, for its status.

use std::collections::BTreeMap;

use jiff::Timestamp;

use crate::{
    api::RecommenderModelStatus,
    model::Model,
    scaling::Signal,
    series::Series,
    signals::{Readings, config::DEFAULT},
};

/// Why nothing is known of an object whose metric source is not configured.
pub const NO_SOURCE: &str = "the operator has no such metric source";

/// An object and its metric source.
#[derive(Debug, Default)]
pub struct OfSource {
    /// Namespace of the object.
    pub namespace: String,
    /// Name of the object.
    pub name: String,
    /// Name of its metric source.
    pub source: String,
}

impl OfSource {
    /// The object of a model.
    pub fn new(model: &Model) -> Self {
        let source = model.monitoring.as_ref().and_then(|monitoring| monitoring.source.clone());
        Self {
            namespace: model.identity.namespace.clone(),
            name: model.identity.name.clone(),
            source: source.unwrap_or_else(|| DEFAULT.into()),
        }
    }

    /// The signal of the object, see [`Readings::get`].
    pub fn signal(&self, readings: Option<&Readings>, series: Series, about: &str, now: Timestamp) -> Signal {
        let signal = readings.map(|readings| readings.get(series, &self.namespace, &self.name, about, now));
        signal.unwrap_or(Signal::Missing(NO_SOURCE))
    }

    /// Observes a series of the object by the names of what it is about, and judges each signal after what was observed before.
    /// Returns whether something is now different.
    pub fn tick<T: Copy + PartialEq>(
        &self,
        (series, names): (Series, &[String]),
        observed: &mut BTreeMap<String, T>,
        readings: Option<&Readings>,
        now: Timestamp,
        judge: impl Fn(Option<T>, Signal) -> T,
    ) -> bool {
        let mut is_changed = false;
        for name in names {
            let signal = self.signal(readings, series, name, now);
            let before = observed.get(name).copied();
            let after = judge(before, signal);
            if before != Some(after) {
                observed.insert(name.clone(), after);
                is_changed = true;
            }
        }
        is_changed
    }
}

#[cfg(test)]
impl OfSource {
    /// The object of tests: that of [`crate::signals::fake`].
    pub fn packages() -> Self {
        Self { namespace: "shop".into(), name: "packages".into(), source: DEFAULT.into() }
    }
}

/// What is observed with every tick, for the status.
pub trait Ticked: Default {
    /// What a status is computed from.
    type Observed: Default;

    /// Takes over the spec of an object, and its last status. What was observed of what is still in the spec stays.
    fn update(&mut self, model: &Model, prior: &RecommenderModelStatus);

    /// The object.
    fn object(&self) -> &OfSource;

    /// Whether there is nothing to observe.
    fn is_empty(&self) -> bool;

    /// The series that are read for it, of those that are read on demand only.
    fn demanded(&self) -> Vec<Series> {
        Vec::new()
    }

    /// What was observed last.
    fn observed(&self) -> Self::Observed;

    /// Observes, as with [`OfSource::tick`]. Returns whether something is now different. `readings`: none when no such source is configured.
    fn tick(&mut self, readings: Option<&Readings>, now: Timestamp) -> bool;
}
