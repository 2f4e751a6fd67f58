//! Which objectives are breached: whether the alert on a fast burn of their error budget fires. Prometheus records that itself, as the
//! series `ALERTS`, only while an alert is pending or fires. Pure.

use std::collections::BTreeMap;

use jiff::{SignedDuration, Timestamp};

use crate::{
    api::RecommenderModelStatus,
    model::Model,
    monitoring::objectives::{Indicator, Objective},
    observed::{OfSource, Ticked},
    series::Series,
    signals::Readings,
};

/// Age up to which a sample of the alert counts: 150 s. It is evaluated every 60 s, and one evaluation may be missing.
const RECENT: SignedDuration = SignedDuration::from_secs(150);

/// The state of the alert.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Burn {
    /// It does not fire.
    Inactive,
    /// It fires unless its condition ends.
    Pending,
    /// It fires.
    Firing,
}

/// The state of the alert by objective. One is missing as long as nothing is known of it.
pub type Observed = BTreeMap<String, Burn>;

/// Names of the objectives of requests. Those of ages and lags are no matter of the version that serves.
pub fn of_requests(model: &Model) -> impl Iterator<Item = &str> {
    let is_one = |of: &&Objective| matches!(of.indicator, Indicator::Availability | Indicator::Latency { .. });
    model.objectives.iter().filter(is_one).map(|objective| objective.name.as_str())
}

/// What the ticks keep of an object.
#[derive(Debug, Default)]
pub struct State {
    object: OfSource,
    /// Names of the objectives, see [`of_requests`].
    objectives: Vec<String>,
    observed: Observed,
}

impl Ticked for State {
    type Observed = Observed;

    fn update(&mut self, model: &Model, _prior: &RecommenderModelStatus) {
        self.object = OfSource::new(model);
        self.objectives = of_requests(model).map(Into::into).collect();
        self.observed.retain(|name, _| self.objectives.contains(name));
    }

    fn object(&self) -> &OfSource {
        &self.object
    }

    fn is_empty(&self) -> bool {
        self.objectives.is_empty()
    }

    fn observed(&self) -> Observed {
        self.observed.clone()
    }

    fn tick(&mut self, readings: Option<&Readings>, now: Timestamp) -> bool {
        let burns = self.objectives.iter().filter_map(|name| Some((name.clone(), self.burn(readings?, name, now)?)));
        let observed: Observed = burns.collect();
        let is_changed = observed != self.observed;
        self.observed = observed;
        is_changed
    }
}

impl State {
    /// None when its source records nothing of the objective.
    fn burn(&self, readings: &Readings, objective: &str, now: Timestamp) -> Option<Burn> {
        let OfSource { namespace, name, .. } = &self.object;
        readings.get(Series::BudgetSpent, namespace, name, objective, now).known().ok()?;
        let is = |state: &str| {
            let age = readings.alert(namespace, name, objective, state, now)?;
            (age <= RECENT.as_secs_f64()).then_some(())
        };
        let firing = is("firing").map(|()| Burn::Firing);
        Some(firing.or_else(|| is("pending").map(|()| Burn::Pending)).unwrap_or(Burn::Inactive))
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::signals::fake::{at, readings};

    fn state() -> State {
        let object = OfSource::packages();
        State { object, objectives: vec!["availability".into()], observed: Observed::new() }
    }

    /// A read of a source in which the alert has this state.
    fn read(alert: Option<&'static str>, second: i64) -> Readings {
        let sample = |about| ("shop", "packages", Series::BudgetSpent, about, "0.1".to_owned(), 0);
        let alert = alert.map(|state| match state {
            "firing" => r#"availability","alertstate":"firing","alertname":"x"#,
            _ => r#"availability","alertstate":"pending","alertname":"x"#,
        });
        readings(&[Some(sample("availability")), alert.map(sample)].into_iter().flatten().collect::<Vec<_>>(), second)
    }

    #[test]
    fn the_state_of_the_alert_is_observed_while_its_samples_are_recent() {
        let mut state = state();
        let mut observe = |read: &Readings, second| {
            let is_changed = state.tick(Some(read), at(second));
            (is_changed, state.observed().into_values().next())
        };
        assert_eq!(observe(&read(None, 0), 0), (true, Some(Burn::Inactive)));
        assert_eq!(observe(&read(Some("pending"), 60), 60), (true, Some(Burn::Pending)));
        let firing = read(Some("firing"), 120);
        assert_eq!(observe(&firing, 120), (true, Some(Burn::Firing)));
        assert_eq!(observe(&firing, 270), (false, Some(Burn::Firing)));
        assert_eq!(observe(&firing, 271), (true, Some(Burn::Inactive)));
        assert_eq!(observe(&firing, 421), (true, None), "the source records nothing any more");
    }

    #[test]
    fn without_a_source_nothing_is_known() {
        let mut state = state();
        assert!(!state.tick(None, at(0)));
        assert_eq!(state.observed(), Observed::new());
    }
}
