//! The newest readings of every source, for every decision.

use std::{collections::BTreeMap, sync::Arc};

use tokio::sync::watch;

use super::readings::{Quality, Readings};

/// What the configured sources published last, by name. Each source's reader publishes once per read; a tick, a reconcile or
/// any other decision takes the value and keeps it to its end, so that it decides on the signals of one moment. A source is
/// read only while a decision needs it: while an object that uses it scales on latency or lag, has a dependency whose health
/// is observed, or has an objective.
#[derive(Debug, Default)]
pub struct Published(BTreeMap<String, watch::Sender<Arc<Readings>>>);

impl Published {
    /// Nothing was read yet of these sources.
    pub fn new<'a>(sources: impl IntoIterator<Item = &'a str>) -> Self {
        let unread = || watch::Sender::new(Arc::new(Readings::none(Quality::default())));
        Self(sources.into_iter().map(|source| (source.to_owned(), unread())).collect())
    }

    /// Replaces the readings of a source, if it is configured.
    pub fn publish(&self, source: &str, readings: Arc<Readings>) {
        if let Some(published) = self.0.get(source) {
            published.send_replace(readings);
        }
    }

    /// The newest readings of a source. None when it is not configured.
    pub fn of(&self, source: &str) -> Option<Arc<Readings>> {
        self.0.get(source).map(|published| published.borrow().clone())
    }

    /// Whether there is a source of this name.
    pub fn is_configured(&self, source: &str) -> bool {
        self.0.contains_key(source)
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::{
        scaling::Signal,
        series::Series,
        signals::{
            fake::{at, readings},
            reason,
        },
    };

    fn lag(readings: &Readings) -> Signal {
        readings.get(Series::Lag, "shop", "packages", "events", at(0))
    }

    #[test]
    fn who_has_taken_the_readings_keeps_them_and_who_comes_later_gets_the_newer_ones() {
        let signals = Published::new(["default", "thanos"]);
        let before = signals.of("default").expect("configured");
        assert_eq!(lag(&before), Signal::Missing(reason::NOT_READ));

        let sample = ("shop", "packages", Series::Lag, "events", "7".to_owned(), 0);
        signals.publish("default", Arc::new(readings(&[sample], 0)));
        assert_eq!(lag(&before), Signal::Missing(reason::NOT_READ));
        assert_eq!(signals.of("default").as_deref().map(lag).and_then(|lag| lag.value()), Some(7.0));
        assert_eq!(signals.of("thanos").as_deref().map(lag), Some(Signal::Missing(reason::NOT_READ)));
    }

    #[test]
    fn a_source_that_is_not_configured_has_no_readings() {
        let signals = Published::new(["default"]);
        signals.publish("other", Arc::new(readings(&[], 0)));
        assert!(signals.of("other").is_none() && !signals.is_configured("other") && signals.is_configured("default"));
    }
}
