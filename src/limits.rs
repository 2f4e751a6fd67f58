//! How a decision on replicas is carried out: the limits of the Deployment's autoscaler, and the replicas that the operator
//! sets itself. Pure.
//!
//! | Signals | Desired bounds and metric |
//! |---|---|
//! | CPU or memory only | bounds of the spec, CPU or memory |
//! | latency or lag, and CPU or memory | from the decision to the maximum of the spec, CPU or memory |
//! | latency or lag | exactly the decision |
//! | latency, if its metrics are missing or the servers overloaded | from the decision to the maximum of the spec, CPU (1) |
//! | latency or lag, advisory | as without latency and lag; no autoscaler without a target for CPU or memory |
//!
//! (1) The CPU target is near the CPU limit, see [`Scaling::backstop`].
//!
//! An autoscaler reconciles every 15 s, and is disabled while there are 0 replicas. A new decision is therefore also written
//! to the Deployment's scale at once:
//!
//! | Current replicas | Replicas set |
//! |---|---|
//! | 0, or 0 decided, and the spec allows 0 | the decision |
//! | 0, set by the operator, and the spec allows 0 no longer | the decision, or where none is made any more the minimum |
//! | 0, set by another client, and the spec does not allow 0 | none: it was stopped on purpose |
//! | within the bounds of a new decision | none |
//! | outside the bounds of a new decision | the nearest bound |
//! | any, and the decision is not new | none: keeping it is left to the autoscaler, so that there are not two writers |

use crate::{
    api::{ScalingStatus, conditions::reasons},
    model::Scaling,
};

/// The limits of an autoscaler.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct Limits {
    /// Minimum number of replicas.
    pub min: i32,
    /// Maximum number of replicas.
    pub max: i32,
    /// CPU target that it follows between them, in per cent of the request.
    pub cpu: Option<i32>,
    /// Memory target that it follows between them, in per cent of the request.
    pub memory: Option<i32>,
}

/// Whether a decision was made without its signals, so that the autoscaler may add replicas on CPU use.
pub fn is_open(decided: &ScalingStatus) -> bool {
    [reasons::METRICS_MISSING, reasons::OVERLOADED].contains(&decided.reason.as_str())
}

/// The limits of a workload's autoscaler; `None` if it needs none. `decided`: the replicas decided on latency or lag; before
/// the first decision, the current replicas. `open`: whether it may add replicas on CPU use, because the signals are missing.
pub fn limits(scaling: &Scaling, decided: Option<i32>, open: bool) -> Option<Limits> {
    let (min, max) = (scaling.min.max(1), scaling.max);
    let (cpu, memory) = (scaling.cpu_target(open), scaling.memory);
    let follows_use = cpu.is_some() || memory.is_some();
    if !scaling.is_acted_on() {
        return follows_use.then_some(Limits { min, max, cpu, memory });
    }
    // 0 replicas are set by the operator itself: an autoscaler is disabled while there are none.
    let decided = decided.unwrap_or(scaling.min).clamp(min, max);
    Some(Limits { min: decided, max: if follows_use { max } else { decided }, cpu, memory })
}

/// The replicas that an autoscaled Deployment is created with: those decided last, if it had existed before.
pub fn initial_replicas(scaling: &Scaling, decided: Option<i32>) -> i32 {
    match decided {
        Some(decided) if scaling.is_acted_on() => decided.clamp(scaling.min, scaling.max),
        // Not none at all: with no lag measured nothing would ever add the first.
        _ => scaling.min.max(1),
    }
}

/// The replicas that a Deployment has.
#[derive(Clone, Copy, Debug)]
pub struct Current {
    /// Their number.
    pub replicas: i32,
    /// Whether we set it last.
    pub is_ordered: bool,
}

/// The replicas to set in addition to the autoscaler's bounds, if any. `decided`: None before the first decision; `is_new`:
/// whether it is not known yet that the decision was ordered.
pub fn replicas_to_order(
    scaling: &Scaling,
    decided: Option<i32>,
    current: Current,
    is_new: bool,
    open: bool,
) -> Option<i32> {
    let replicas = current.replicas;
    if !scaling.is_acted_on() {
        return (replicas == 0 && current.is_ordered).then(|| initial_replicas(scaling, None));
    }
    let decided = decided?;
    if replicas == 0 {
        let first = initial_replicas(scaling, Some(decided));
        return (first > 0 && (scaling.min == 0 || current.is_ordered)).then_some(first);
    }
    if decided == 0 {
        return (scaling.min == 0).then_some(0);
    }
    let limits = limits(scaling, Some(decided), open)?;
    let nearest = replicas.clamp(limits.min, limits.max);
    (is_new && nearest != replicas).then_some(nearest)
}

#[cfg(test)]
mod tests {
    use super::*;

    /// From `min` to 10 replicas on latency, with a CPU target or without.
    fn scaling(min: i32, cpu: Option<i32>) -> Scaling {
        let latency = crate::api::LatencyTarget { quantile: crate::api::Quantile::P95, target_milliseconds: 75 };
        Scaling {
            min,
            max: 10,
            cpu,
            memory: None,
            latency: Some(latency),
            requests_per_replica: None,
            headroom: crate::api::Headroom::Balanced,
            lag: None,
            startup_seconds: None,
            behavior: None,
            advisory: false,
            backstop: Some(225),
        }
    }

    /// Replicas that another client has set last.
    fn others(replicas: i32) -> Current {
        Current { replicas, is_ordered: false }
    }

    #[test]
    fn a_new_decision_sets_the_replicas_at_once_and_an_old_one_is_left_to_the_autoscaler() {
        let exact = scaling(1, None);
        assert_eq!(replicas_to_order(&exact, Some(5), others(3), true, false), Some(5));
        assert_eq!(replicas_to_order(&exact, Some(2), others(3), true, false), Some(2));
        assert_eq!(replicas_to_order(&exact, Some(3), others(3), true, false), None);
        assert_eq!(replicas_to_order(&exact, Some(5), others(3), false, false), None);
        assert_eq!(
            replicas_to_order(&exact, Some(40), others(3), true, false),
            Some(10),
            "the maximum was lowered since"
        );
    }

    #[test]
    fn with_a_cpu_target_a_decision_is_only_the_minimum() {
        let least = scaling(1, Some(70));
        assert_eq!(replicas_to_order(&least, Some(5), others(3), true, false), Some(5));
        assert_eq!(replicas_to_order(&least, Some(2), others(3), true, false), None);
    }

    #[test]
    fn a_memory_target_is_followed_above_a_decision_or_alone() {
        let followed = Limits { min: 5, max: 10, cpu: None, memory: Some(80) };
        let both = Scaling { memory: Some(80), ..scaling(1, None) };
        assert_eq!(limits(&both, Some(5), false), Some(followed));
        let alone = Scaling { latency: None, ..both };
        assert_eq!(limits(&alone, None, false), Some(Limits { min: 1, ..followed }));
    }

    #[test]
    fn while_signals_are_missing_replicas_above_the_decision_are_kept() {
        let exact = scaling(1, None);
        assert_eq!(replicas_to_order(&exact, Some(3), others(5), true, true), None);
        assert_eq!(replicas_to_order(&exact, Some(5), others(3), true, true), Some(5));
        let no_cpu_requested = Scaling { backstop: None, ..exact };
        assert_eq!(replicas_to_order(&no_cpu_requested, Some(3), others(5), true, true), Some(3));
    }

    #[test]
    fn scaling_to_zero_and_back_is_set_until_reached_if_min_replicas_is_zero() {
        let to_zero = scaling(0, None);
        assert_eq!(replicas_to_order(&to_zero, Some(0), others(3), false, false), Some(0));
        assert_eq!(replicas_to_order(&to_zero, Some(4), others(0), false, false), Some(4));
        assert_eq!(replicas_to_order(&to_zero, Some(0), others(0), true, false), None);
        // Scaled to zero manually.
        assert_eq!(replicas_to_order(&scaling(1, None), Some(4), others(0), true, false), None);
    }

    #[test]
    fn zero_replicas_that_we_have_set_end_when_the_spec_does_not_allow_them_any_more() {
        let none = Current { replicas: 0, is_ordered: true };
        let (at_least_two, by_cpu) = (scaling(2, None), Scaling { latency: None, ..scaling(2, Some(70)) });
        assert_eq!(replicas_to_order(&at_least_two, Some(0), none, false, false), Some(2), "decided before the change");
        assert_eq!(replicas_to_order(&at_least_two, Some(4), none, false, false), Some(4));
        assert_eq!(replicas_to_order(&at_least_two, None, none, false, false), None, "is decided at the next tick");
        assert_eq!(replicas_to_order(&by_cpu, None, none, false, false), Some(2));
        assert_eq!(replicas_to_order(&by_cpu, None, others(0), false, false), None, "scaled to zero manually");
        assert_eq!(replicas_to_order(&by_cpu, None, Current { replicas: 3, ..none }, false, false), None);
    }

    #[test]
    fn an_advisory_decision_sets_no_replicas() {
        assert_eq!(
            replicas_to_order(&Scaling { advisory: true, ..scaling(0, None) }, Some(0), others(3), true, false),
            None
        );
    }
}
