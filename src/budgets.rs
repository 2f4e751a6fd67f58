//! What is left of the error budgets of an object's objectives: the series `recommender:error_budget_spent`. Pure.

use std::collections::BTreeMap;

use jiff::Timestamp;

use crate::{
    api::{ObjectiveStatus, RecommenderModelStatus},
    model::Model,
    observed::{OfSource, Ticked},
    scaling::Signal,
    series::Series,
    signals::Readings,
};

/// By which part of what is missing of a budget it has to change to be reported anew, once a fifth of the budget is missing.
const STEP: f64 = 0.05;

/// What was last observed of an error budget.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Budget {
    /// Per cent of it are left; negative when the goal is missed.
    Left(i32),
    /// There is no value that is not too old.
    Unknown {
        /// Why, as text to follow "because".
        why: &'static str,
    },
}

/// What was observed of the error budgets of an object, by objective. One is missing until it is observed for the first time.
pub type Observed = BTreeMap<String, Budget>;

/// What the ticks keep of an object.
#[derive(Debug, Default)]
pub struct State {
    object: OfSource,
    /// Names of the objectives.
    objectives: Vec<String>,
    observed: Observed,
}

impl Ticked for State {
    type Observed = Observed;

    fn update(&mut self, model: &Model, prior: &RecommenderModelStatus) {
        self.object = OfSource::new(model);
        self.objectives = model.objectives.iter().map(|objective| objective.name.clone()).collect();
        self.observed.retain(|name, _| self.objectives.contains(name));
        // After a restart, so that nothing is reported anew that has hardly changed.
        let desired = model.monitoring.iter().flat_map(|monitoring| &monitoring.objectives);
        for objective in desired {
            let is_it = |of: &&ObjectiveStatus| of.name == objective.name && of.goal == objective.goal;
            let percent = prior.objectives.iter().find(is_it).and_then(|status| status.budget_remaining_percent);
            if let Some(percent) = percent {
                self.observed.entry(objective.name.clone()).or_insert(Budget::Left(percent));
            }
        }
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
        let of = (Series::BudgetSpent, self.objectives.as_slice());
        self.object.tick(of, &mut self.observed, readings, now, judge)
    }
}

fn judge(before: Option<Budget>, signal: Signal) -> Budget {
    let before = match before {
        Some(Budget::Left(percent)) => Some(percent),
        _ => None,
    };
    match signal.known() {
        Ok(spent) => Budget::Left(reported(before, spent)),
        Err(why) => Budget::Unknown { why },
    }
}

/// Whole per cent of a budget of which a part is spent, rounded down. It stays as it was until it differs by one per cent, or
/// by [`STEP`] of what is missing: each change is a write of the status.
fn reported(before: Option<i32>, spent: f64) -> i32 {
    // Decimal fractions are not exact.
    let left = 100.0 * (1.0 - spent) + 1e-9;
    let is_as_before = |before: &i32| (left - f64::from(*before)).abs() < (-f64::from(*before) * STEP).max(1.0);
    before.filter(is_as_before).unwrap_or(left.floor() as i32)
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::{
        observed::NO_SOURCE,
        signals::fake::{at, readings},
    };

    fn state() -> State {
        let object = OfSource::packages();
        State { object, objectives: vec!["availability".into(), "fast".into()], observed: Observed::new() }
    }

    /// What a source has of the two, of which a part is spent.
    fn read(availability: &str, fast: &str, second: i64) -> Readings {
        let sample =
            |name: &'static str, value: &str| ("shop", "packages", Series::BudgetSpent, name, value.to_owned(), 0);
        readings(&[sample("availability", availability), sample("fast", fast)], second)
    }

    #[test]
    fn a_budget_is_reported_in_whole_per_cent_and_only_a_change_of_one_is_a_change() {
        let mut state = state();
        let mut observe = |availability, fast, second| {
            let is_changed = state.tick(Some(&read(availability, fast, second)), at(second));
            (is_changed, state.observed().into_values().collect::<Vec<_>>())
        };
        let left = |a, b| vec![Budget::Left(a), Budget::Left(b)];
        assert_eq!(observe("0", "0.29", 0), (true, left(100, 71)));
        assert_eq!(observe("0.009", "0.295", 120), (false, left(100, 71)));
        assert_eq!(observe("0.012", "0.281", 240), (true, left(98, 71)));
        assert_eq!(observe("0.001", "1.2", 360), (true, left(99, -20)));
    }

    #[test]
    fn a_budget_that_is_missed_by_far_changes_in_larger_steps() {
        assert_eq!(reported(None, 11.0), -1000);
        assert_eq!(reported(Some(-1000), 11.49), -1000);
        assert_eq!(reported(Some(-1000), 11.6), -1060);
    }

    #[test]
    fn a_value_that_swings_by_less_than_a_per_cent_is_reported_once() {
        let swinging = [0.1299, 0.1301, 0.1299, 0.131, 0.1295].into_iter();
        let reported: Vec<i32> = swinging
            .scan(None, |before, spent| {
                *before = Some(reported(*before, spent));
                *before
            })
            .collect();
        assert_eq!(reported, [87; 5]);
    }

    #[test]
    fn without_data_nothing_is_known() {
        let mut state = state();
        assert!(state.tick(None, at(0)));
        assert_eq!(state.observed().into_values().collect::<Vec<_>>(), [Budget::Unknown { why: NO_SOURCE }; 2]);
        let read = read("0.5", "NaN", 0);
        state.tick(Some(&read), at(200));
        let observed = state.observed();
        assert_eq!(
            observed["availability"],
            Budget::Left(50),
            "recorded every two minutes, a sample may be older than one"
        );
        assert!(matches!(observed["fast"], Budget::Unknown { .. }), "{observed:?}");
        assert!(state.tick(Some(&read), at(301)));
        assert!(matches!(state.observed()["availability"], Budget::Unknown { .. }));
    }

    #[test]
    fn after_a_restart_what_is_in_the_status_stays_until_it_changes() {
        let mut object = crate::validate::tests::minimal();
        object["spec"]["monitoring"] = serde_json::json!({
            "metrics": {"profile": "FastApiInstrumentator"},
            "objectives": [{"name": "availability", "goal": "99.9", "availability": {}}],
        });
        let object: crate::api::RecommenderModel = serde_json::from_value(object).expect("an object");
        let model = Model::new(&object, at(0)).expect("valid");
        let status = |name: &str, percent| ObjectiveStatus {
            name: name.into(),
            goal: "99.9".into(),
            budget_remaining_percent: Some(percent),
            ..ObjectiveStatus::default()
        };
        let objectives = vec![status("availability", 87), status("removed", 3)];
        let prior = RecommenderModelStatus { objectives, ..RecommenderModelStatus::default() };
        let mut state = State::default();
        state.update(&model, &prior);
        assert_eq!(state.observed(), Observed::from([("availability".into(), Budget::Left(87))]));
        assert!(!state.tick(Some(&read("0.135", "0", 0)), at(0)));
    }
}
