//! Whether the requests of a canary can be counted: by the metric source of its object. Pure.
//!
//! A source may not be read at all while there is no canary, so a version that is to be one waits for a read of it first, one tick. It is read
//! until that version has begun, also after it has answered and while another version is a canary or rolled out: else it would be unknown again.

use jiff::Timestamp;

use super::{Inputs, permitted, track};
use crate::{
    api::{RecommenderModelStatus, Version},
    model::Model,
    observed::{OfSource, Ticked},
    signals::Readings,
};

/// What is known of the metric source of an object.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub enum Source {
    /// It has not been read since a version waits for it.
    #[default]
    Unread,
    /// It answered when it was read last.
    Answers,
    /// It answered nothing then: the source and the failure, in words.
    Silent(String),
    /// The operator has no source of this name.
    Unconfigured(String),
}

/// A version that is to be a canary, and does not begin because its requests could not be counted.
#[derive(Clone, Debug, PartialEq)]
pub struct SourceUnavailable {
    /// The version.
    pub version: String,
    /// Whether it waits for the source; else it needs a person.
    pub is_temporary: bool,
    /// Why, to follow "because".
    pub why: String,
}

/// Whether a version is to be a canary and has not begun.
fn is_to_begin(inputs: &Inputs<'_>, version: &Version) -> bool {
    inputs.canary != Some(version.id.as_str()) && track::needs_canary(inputs, version)
}

/// Whether the source has to be known of a version that is to be a canary and has not begun. One that the operator does not have needs a person.
pub(super) fn is_read_for(inputs: &Inputs<'_>, version: &Version) -> bool {
    !matches!(inputs.source, Source::Unconfigured(_)) && is_to_begin(inputs, version)
}

/// Why a version does not begin as a canary; none if it does, has begun, need not be one, or cannot begin yet whatever the source answers,
/// because another one is a canary or rolled out.
pub(super) fn unavailable(inputs: &Inputs<'_>, version: &Version) -> Option<SourceUnavailable> {
    let begun = [inputs.canary, inputs.rolling_out];
    let is_ahead = |other: &&Version| other.id != version.id && begun.contains(&Some(other.id.as_str()));
    if !is_to_begin(inputs, version) || permitted(inputs).iter().any(is_ahead) {
        return None;
    }
    let why = inputs.source.why()?;
    let is_temporary = !matches!(inputs.source, Source::Unconfigured(_));
    Some(SourceUnavailable {
        version: version.id.clone(),
        is_temporary,
        why: format!("it has to be a canary, and {why}"),
    })
}

impl Source {
    /// Why requests cannot be counted by it, and what to do; none if they can.
    fn why(&self) -> Option<String> {
        match self {
            Self::Answers => None,
            Self::Unread => Some("the metric source has not been read yet".into()),
            Self::Silent(why) => {
                Some(format!("its requests cannot be counted: {why}; it begins once the source answers"))
            }
            Self::Unconfigured(name) => Some(format!(
                "its requests cannot be counted: the operator has no metric source {name:?}. Set the value metricSources of its chart, \
                 or its flag --prometheus-url or --metric-sources, or name another one in spec.monitoring.source; or remove \
                 promotion.canary"
            )),
        }
    }
}

/// What the ticks keep of an object with a version that is to be a canary and has not begun.
#[derive(Debug, Default)]
pub struct State {
    object: OfSource,
    is_read: bool,
    source: Source,
}

impl State {
    /// Takes over whether there is such a version.
    pub fn plan(&mut self, is_read: bool) {
        self.is_read = is_read;
    }
}

impl Ticked for State {
    type Observed = Source;

    fn update(&mut self, model: &Model, _: &RecommenderModelStatus) {
        let object = OfSource::new(model);
        if object.source != self.object.source {
            self.source = Source::Unread;
        }
        self.object = object;
    }

    fn object(&self) -> &OfSource {
        &self.object
    }

    fn is_empty(&self) -> bool {
        !self.is_read
    }

    fn observed(&self) -> Source {
        self.source.clone()
    }

    /// A failure that is worded differently is no news.
    fn tick(&mut self, readings: Option<&Readings>, _: Timestamp) -> bool {
        let source = match readings.map(Readings::silence) {
            None => Source::Unconfigured(self.object.source.clone()),
            Some(None) => Source::Answers,
            Some(Some(why)) => Source::Silent(why.into()),
        };
        let is_news = std::mem::discriminant(&source) != std::mem::discriminant(&self.source);
        if is_news {
            self.source = source;
        }
        is_news
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::signals::fake::{at, readings};

    #[test]
    fn what_is_known_of_a_source_is_news_once() {
        let mut state = State { object: OfSource::packages(), is_read: true, source: Source::Unread };
        let silent = |why: &str| readings(&[], 0).silent(why);
        assert!(state.tick(Some(&silent("it is down")), at(0)));
        assert!(!state.tick(Some(&silent("it does not answer in time")), at(5)));
        assert_eq!(state.observed(), Source::Silent("it is down".into()));
        assert!(state.tick(Some(&readings(&[], 0)), at(10)));
        assert_eq!((state.observed(), state.tick(Some(&readings(&[], 0)), at(15))), (Source::Answers, false));
        assert!(state.tick(None, at(20)));
        assert_eq!(state.observed(), Source::Unconfigured("default".into()));
        state.plan(false);
        assert!(state.is_empty(), "a source is not read for an object without a version that is to begin");
    }
}
