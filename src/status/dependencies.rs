//! The condition on dependencies.

use jiff::Timestamp;

use super::{ConditionValue, Inputs, known};
use crate::{
    api::{
        Dependency,
        conditions::{reasons, types},
    },
    health::Health,
    monitoring::dependencies::reports_health,
};

/// DependenciesHealthy. It changes neither Ready, because the recommender still serves, nor Stalled and Reconciling, because
/// the operator can do nothing about it. The first row that applies counts; the message names every dependency that is not up.
///
/// | dependencies whose exporters report health | condition |
/// |---|---|
/// | none, or there is no spec.monitoring | False, NotRequested |
/// | one was not observed since the operator started | as it was; Unknown, Pending at first |
/// | a critical one is down | False, DependencyDown |
/// | a critical one is unknown, or all are | Unknown, MetricsMissing |
/// | one that is not critical is down or unknown | True, DependencyDegraded |
/// | all are up | True, AsSpecified |
pub(super) fn dependencies(inputs: &Inputs<'_>) -> ConditionValue {
    if inputs.model.monitoring.is_none() {
        let message = match inputs.model.dependencies[..] {
            [] => "spec.monitoring is not set",
            _ => "spec.monitoring is not set, so that nothing is recorded of spec.dependencies",
        };
        return ConditionValue::no(reasons::NOT_REQUESTED, message);
    }
    let watched: Vec<&Dependency> = inputs.model.dependencies.iter().filter(|of| reports_health(of)).collect();
    if watched.is_empty() {
        let message = "spec.dependencies has none whose exporter reports whether it is up";
        return ConditionValue::no(reasons::NOT_REQUESTED, message);
    }
    let observed = watched.iter().map(|of| Some((*of, *inputs.health.get(&of.name)?)));
    match observed.collect::<Option<Vec<_>>>() {
        Some(observed) => of_observed(&observed),
        None => not_observed_yet(inputs),
    }
}

/// As it was, unless it was that there are none.
fn not_observed_yet(inputs: &Inputs<'_>) -> ConditionValue {
    let before = known(inputs.prior, types::DEPENDENCIES_HEALTHY);
    if before.reason == reasons::NOT_REQUESTED { ConditionValue::pending() } else { before }
}

fn of_observed(observed: &[(&Dependency, Health)]) -> ConditionValue {
    let is_down = |health: &Health| matches!(health, Health::Down { .. });
    let is_unknown = |health: &Health| matches!(health, Health::Unknown { .. });
    let some_critical = |is: fn(&Health) -> bool| observed.iter().any(|(of, health)| of.critical && is(health));
    if observed.iter().all(|(_, health)| *health == Health::Up) {
        return ConditionValue::yes(reasons::AS_SPECIFIED, "all dependencies are up");
    }
    let message = message(observed);
    if some_critical(is_down) {
        return ConditionValue::no(reasons::DEPENDENCY_DOWN, message);
    }
    if some_critical(is_unknown) || observed.iter().all(|(_, health)| is_unknown(health)) {
        return ConditionValue::unknown(reasons::METRICS_MISSING, message);
    }
    ConditionValue::yes(reasons::DEPENDENCY_DEGRADED, message)
}

/// Every dependency that is not up: the critical ones first, and of these those that are down.
fn message(observed: &[(&Dependency, Health)]) -> String {
    let mut sick: Vec<_> = observed.iter().filter(|(_, health)| *health != Health::Up).collect();
    sick.sort_by_key(|(of, health)| (!of.critical, matches!(health, Health::Unknown { .. })));
    let texts = sick.into_iter().map(|(of, health)| {
        let remark = if of.critical { "" } else { " (not critical)" };
        let what = match health {
            Health::Up => "is up".into(),
            Health::Down { since } => {
                format!("has been down since {}: recommender:dependency_up is 0", seconds(*since))
            }
            Health::Unknown { why } => format!("is unknown, because {why}"),
        };
        format!("{}{remark} {what}", of.name)
    });
    texts.collect::<Vec<_>>().join("; ")
}

/// A time without a fraction of a second.
fn seconds(time: Timestamp) -> Timestamp {
    Timestamp::from_second(time.as_second()).unwrap_or(time)
}

#[cfg(test)]
mod tests {
    use super::*;

    const UP: Health = Health::Up;
    const DOWN: Health = Health::Down { since: Timestamp::UNIX_EPOCH };
    const UNKNOWN: Health = Health::Unknown { why: "the newest sample is minutes old" };

    /// The condition with a critical dependency and one that is not.
    fn condition(critical: Health, other: Health) -> ConditionValue {
        let of = |name: &str, critical| Dependency { name: name.into(), critical, ..Dependency::default() };
        let (database, ads) = (of("users-db", true), of("ads", false));
        of_observed(&[(&ads, other), (&database, critical)])
    }

    #[test]
    fn all_combinations_of_a_critical_dependency_and_one_that_is_not() {
        let down = reasons::DEPENDENCY_DOWN;
        let degraded = reasons::DEPENDENCY_DEGRADED;
        let missing = reasons::METRICS_MISSING;
        for (critical, other, status, reason) in [
            (UP, UP, "True", reasons::AS_SPECIFIED),
            (UP, DOWN, "True", degraded),
            (UP, UNKNOWN, "True", degraded),
            (DOWN, UP, "False", down),
            (DOWN, DOWN, "False", down),
            (DOWN, UNKNOWN, "False", down),
            (UNKNOWN, UP, "Unknown", missing),
            (UNKNOWN, DOWN, "Unknown", missing),
            (UNKNOWN, UNKNOWN, "Unknown", missing),
        ] {
            let found = condition(critical, other);
            assert_eq!((found.status, found.reason.as_str()), (status, reason), "{critical:?} and {other:?}");
        }
    }

    #[test]
    fn nothing_is_healthy_without_any_data() {
        let ads = Dependency { name: "ads".into(), ..Dependency::default() };
        assert_eq!(of_observed(&[(&ads, UNKNOWN)]).status, "Unknown");
        assert_eq!(of_observed(&[(&ads, DOWN)]).status, "True");
    }

    #[test]
    fn the_message_names_what_is_not_up_with_what_was_observed_and_since_when() {
        assert_eq!(condition(UP, UP).message, "all dependencies are up");
        assert_eq!(
            condition(DOWN, UNKNOWN).message,
            "users-db has been down since 1970-01-01T00:00:00Z: recommender:dependency_up is 0; ads (not critical) is unknown, \
             because the newest sample is minutes old"
        );
        assert_eq!(
            condition(UP, DOWN).message,
            "ads (not critical) has been down since 1970-01-01T00:00:00Z: recommender:dependency_up is 0"
        );
    }
}
