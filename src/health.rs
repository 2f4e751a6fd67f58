//! Whether what an object depends on works, as exporters report it: the series `recommender:dependency_up`. Pure.

use std::collections::BTreeMap;

use jiff::Timestamp;
use k8s_openapi::apimachinery::pkg::apis::meta::v1::Condition;

use crate::{
    api::{
        RecommenderModelStatus,
        conditions::{reasons, types},
    },
    model::Model,
    monitoring::dependencies::reports_health,
    observed::{OfSource, Ticked},
    scaling::Signal,
    series::Series,
    signals::Readings,
};

/// What was last observed of a dependency.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Health {
    /// Every instance of it works.
    Up,
    /// One of its instances does not.
    Down {
        /// When that was first observed.
        since: Timestamp,
    },
    /// There is no value that is not too old.
    Unknown {
        /// Why, as text to follow "because".
        why: &'static str,
    },
}

/// What was observed of the dependencies of an object, by name. One is missing until it is observed for the first time.
pub type Observed = BTreeMap<String, Health>;

/// What the ticks keep of an object.
#[derive(Debug, Default)]
pub struct State {
    object: OfSource,
    /// Names of the dependencies whose exporters report health.
    watched: Vec<String>,
    /// When the condition became False because of a dependency that is down, if it did before anything was observed: the best that is
    /// known of what is down at first.
    down_since: Option<Timestamp>,
    observed: Observed,
}

impl Ticked for State {
    type Observed = Observed;

    fn update(&mut self, model: &Model, prior: &RecommenderModelStatus) {
        self.object = OfSource::new(model);
        let watched = model.dependencies.iter().filter(|of| model.monitoring.is_some() && reports_health(of));
        self.watched = watched.map(|of| of.name.clone()).collect();
        self.observed.retain(|name, _| self.watched.contains(name));
        self.down_since = self.down_before(prior);
    }

    fn object(&self) -> &OfSource {
        &self.object
    }

    fn is_empty(&self) -> bool {
        self.watched.is_empty()
    }

    fn observed(&self) -> Observed {
        self.observed.clone()
    }

    fn tick(&mut self, readings: Option<&Readings>, now: Timestamp) -> bool {
        let first = self.down_since.unwrap_or(now);
        let of = (Series::DependencyUp, self.watched.as_slice());
        self.object.tick(of, &mut self.observed, readings, now, |before, signal| judge(before, signal, first, now))
    }
}

impl State {
    /// Since when a dependency has been down by the status, if nothing was observed yet.
    fn down_before(&self, prior: &RecommenderModelStatus) -> Option<Timestamp> {
        let condition = down(prior).filter(|_| self.observed.is_empty());
        condition.map(|condition| condition.last_transition_time.0)
    }
}

/// The condition of a status that a critical dependency is down; none if it is not.
pub fn down(prior: &RecommenderModelStatus) -> Option<&Condition> {
    let is_down = |condition: &&Condition| {
        condition.type_ == types::DEPENDENCIES_HEALTHY && condition.reason == reasons::DEPENDENCY_DOWN
    };
    prior.conditions.iter().find(is_down)
}

/// The health of a dependency after `before`. `first`: since when it counts as down if it is at its first observation.
fn judge(before: Option<Health>, signal: Signal, first: Timestamp, now: Timestamp) -> Health {
    let value = match signal.known() {
        Ok(value) => value,
        Err(why) => return Health::Unknown { why },
    };
    match before {
        _ if value >= 1.0 => Health::Up,
        Some(Health::Down { since }) => Health::Down { since },
        Some(_) => Health::Down { since: now },
        None => Health::Down { since: first },
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::{
        observed::NO_SOURCE,
        signals::fake::{at, readings},
    };

    /// A state with two dependencies that are observed.
    fn state(down_since: Option<Timestamp>) -> State {
        State {
            object: OfSource::packages(),
            watched: vec!["cache".into(), "users-db".into()],
            down_since,
            observed: Observed::new(),
        }
    }

    /// What a source has of the two at a time, in seconds.
    fn read(cache: &str, database: &str, second: i64) -> Readings {
        let sample =
            |name: &'static str, value: &str| ("shop", "packages", Series::DependencyUp, name, value.to_owned(), 0);
        readings(&[sample("cache", cache), sample("users-db", database)], second)
    }

    fn observe(state: &mut State, readings: Option<&Readings>, second: i64) -> (bool, Vec<Health>) {
        let is_changed = state.tick(readings, at(second));
        (is_changed, state.observed().into_values().collect())
    }

    #[test]
    fn a_dependency_is_down_since_it_was_first_observed_and_only_a_change_is_one() {
        let mut state = state(None);
        let down = Health::Down { since: at(5) };
        assert_eq!(observe(&mut state, Some(&read("1", "1", 0)), 0), (true, vec![Health::Up, Health::Up]));
        assert_eq!(observe(&mut state, Some(&read("1", "0", 5)), 5), (true, vec![Health::Up, down]));
        assert_eq!(observe(&mut state, Some(&read("1", "0", 10)), 10), (false, vec![Health::Up, down]));
        assert_eq!(observe(&mut state, Some(&read("1", "1", 15)), 15), (true, vec![Health::Up, Health::Up]));
    }

    #[test]
    fn after_a_restart_what_is_down_has_been_down_since_the_condition_says_so() {
        let mut state = state(Some(at(-600)));
        let down = |since| Health::Down { since: at(since) };
        assert_eq!(observe(&mut state, Some(&read("1", "0", 0)), 0), (true, vec![Health::Up, down(-600)]));
        assert_eq!(observe(&mut state, Some(&read("0", "0", 5)), 5), (true, vec![down(5), down(-600)]));
    }

    /// The status of an object with that condition since the epoch.
    fn prior(status: &str, reason: &str) -> RecommenderModelStatus {
        let condition = serde_json::json!({
            "type": types::DEPENDENCIES_HEALTHY, "status": status, "reason": reason, "message": "",
            "lastTransitionTime": "1970-01-01T00:00:00Z",
        });
        let conditions = vec![serde_json::from_value(condition).expect("a condition")];
        RecommenderModelStatus { conditions, ..RecommenderModelStatus::default() }
    }

    #[test]
    fn only_what_was_down_before_the_first_tick_is_down_since_then() {
        let down = prior("False", reasons::DEPENDENCY_DOWN);
        assert_eq!(State::default().down_before(&down), Some(Timestamp::UNIX_EPOCH));
        let none_yet = prior("False", reasons::NOT_REQUESTED);
        assert_eq!(State::default().down_before(&none_yet), None, "there was no dependency to be down");
        let observed = Observed::from([("cache".into(), Health::Up)]);
        let state = State { observed, ..State::default() };
        assert_eq!(state.down_before(&down), None, "a dependency that is added while another one is down");
    }

    #[test]
    fn without_data_nothing_is_known() {
        let mut state = state(None);
        let unknown = |of: &[Health]| of.iter().all(|health| matches!(health, Health::Unknown { .. }));
        let (_, observed) = observe(&mut state, None, 0);
        assert_eq!(observed, vec![Health::Unknown { why: NO_SOURCE }; 2]);
        let read = read("1", "NaN", 0);
        let (_, observed) = observe(&mut state, Some(&read), 60);
        assert!(observed[0] == Health::Up && unknown(&observed[1..]), "{observed:?}");
        // The same samples, when they are too old to be used.
        let (is_changed, observed) = observe(&mut state, Some(&read), 301);
        assert!(is_changed && unknown(&observed), "{observed:?}");
    }
}
