//! The autoscaler of a Deployment, which keeps its number of replicas within what was decided.
//!
//! | signals | wanted: bounds, metric |
//! |---|---|
//! | CPU only | the object's bounds, CPU |
//! | latency or lag, and CPU | from what was decided to the object's maximum, CPU |
//! | latency or lag | exactly what was decided |
//! | latency, and its metrics are missing or the servers overloaded | from what was decided to the object's maximum, CPU near its limit |
//! | latency or lag, advisory | as without them; no autoscaler when nothing else is followed |
//!
//! An autoscaler looks every 15 s, and rests while there are no replicas. So what is new is also ordered at once:
//!
//! | replicas | ordered |
//! |---|---|
//! | none are there or wanted, and the object allows none | what was decided |
//! | as many as a new decision allows | nothing |
//! | fewer or more than that | the nearest that it allows |
//! | any, and the decision is not new | nothing: who keeps it is the autoscaler, and two would fight over it twice as hard |

use k8s_openapi::api::autoscaling::v2::{
    CrossVersionObjectReference, HPAScalingPolicy, HPAScalingRules, HorizontalPodAutoscaler,
    HorizontalPodAutoscalerBehavior, HorizontalPodAutoscalerSpec, MetricSpec, MetricTarget, ResourceMetricSource,
};

use super::child::{self, Child, Kind};
use crate::{
    api::{ScalingPolicyType, ScalingRules, ScalingStatus, SelectPolicy, conditions::reasons},
    model::{Identity, Scaling, Workload},
};

/// None with a fixed number of replicas. `decided`: what was decided on latency or lag, or as long as nothing was, the
/// replicas there are. `open`: whether more may be added on CPU use, because what is decided on is missing.
pub fn render(identity: &Identity, workload: &Workload, decided: Option<i32>, open: bool) -> Option<Child> {
    let scaling = workload.scaling.as_ref()?;
    let target = scaling.cpu_target(open);
    let (min, max) = window(scaling, decided, target)?;
    let spec = HorizontalPodAutoscalerSpec {
        min_replicas: Some(min),
        max_replicas: max,
        // Without metrics the API server would put a CPU target of its own here; with equal bounds it moves nothing.
        metrics: target.map(|percent| vec![cpu(percent)]),
        scale_target_ref: CrossVersionObjectReference {
            api_version: Some("apps/v1".into()),
            kind: "Deployment".into(),
            name: workload.deployment.clone(),
        },
        behavior: scaling.behavior.as_ref().map(|behavior| HorizontalPodAutoscalerBehavior {
            scale_up: behavior.scale_up.as_ref().map(rules),
            scale_down: behavior.scale_down.as_ref().map(rules),
        }),
    };
    let metadata = child::meta(identity, workload.deployment.clone(), &workload.component);
    let object = HorizontalPodAutoscaler { metadata, spec: Some(spec), status: None };
    Some(Child::new(Kind::HorizontalPodAutoscaler, object))
}

/// Whether a decision is made without its signals, so that the autoscaler may add replicas on CPU use.
pub fn is_open(decided: &ScalingStatus) -> bool {
    [reasons::METRICS_MISSING, reasons::OVERLOADED].contains(&decided.reason.as_str())
}

/// Fewest and most replicas; none when nothing is to move them. `cpu`: the CPU use that moves them between these.
fn window(scaling: &Scaling, decided: Option<i32>, cpu: Option<i32>) -> Option<(i32, i32)> {
    let bounds = (scaling.min.max(1), scaling.max);
    if !scaling.is_acted_on() {
        return cpu.map(|_| bounds);
    }
    // No replicas at all is written by the operator itself: an autoscaler rests while there are none.
    let decided = decided.unwrap_or(scaling.min).clamp(bounds.0, bounds.1);
    Some((decided, if cpu.is_some() { bounds.1 } else { decided }))
}

/// What to order beside the autoscaler. `there`: the replicas of the Deployment; `is_new`: whether the decision was not
/// known at the last look.
pub fn replicas_to_order(scaling: &Scaling, decided: i32, there: i32, is_new: bool, open: bool) -> Option<i32> {
    if !scaling.is_acted_on() {
        return None;
    }
    if decided == 0 || there == 0 {
        return (scaling.min == 0 && decided != there).then_some(decided);
    }
    let (least, most) = window(scaling, Some(decided), scaling.cpu_target(open))?;
    let ordered = there.clamp(least, most);
    (is_new && ordered != there).then_some(ordered)
}

fn cpu(percent: i32) -> MetricSpec {
    MetricSpec {
        type_: "Resource".into(),
        resource: Some(ResourceMetricSource {
            name: "cpu".into(),
            target: MetricTarget {
                type_: "Utilization".into(),
                average_utilization: Some(percent),
                ..MetricTarget::default()
            },
        }),
        ..MetricSpec::default()
    }
}

fn rules(rules: &ScalingRules) -> HPAScalingRules {
    let policies = rules.policies.iter().map(|policy| HPAScalingPolicy {
        type_: match policy.type_ {
            ScalingPolicyType::Pods => "Pods".into(),
            ScalingPolicyType::Percent => "Percent".into(),
        },
        value: policy.value,
        period_seconds: policy.period_seconds,
    });
    HPAScalingRules {
        policies: (!rules.policies.is_empty()).then(|| policies.collect()),
        select_policy: rules.select_policy.map(|select| match select {
            SelectPolicy::Max => "Max".into(),
            SelectPolicy::Min => "Min".into(),
            SelectPolicy::Disabled => "Disabled".into(),
        }),
        stabilization_window_seconds: rules.stabilization_window_seconds,
        tolerance: None,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    /// From 0 or 1 to 10 on latency; with CPU beside it or without.
    fn scaling(min: i32, cpu: Option<i32>) -> Scaling {
        let latency = crate::api::LatencyTarget { quantile: crate::api::Quantile::P95, target_milliseconds: 75 };
        Scaling {
            min,
            max: 10,
            cpu,
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

    #[test]
    fn a_new_decision_is_ordered_at_once_and_an_old_one_is_the_autoscalers() {
        let exact = scaling(1, None);
        assert_eq!(replicas_to_order(&exact, 5, 3, true, false), Some(5));
        assert_eq!(replicas_to_order(&exact, 2, 3, true, false), Some(2));
        assert_eq!(replicas_to_order(&exact, 3, 3, true, false), None);
        assert_eq!(replicas_to_order(&exact, 5, 3, false, false), None);
        assert_eq!(replicas_to_order(&exact, 40, 3, true, false), Some(10), "the maximum was lowered since");
    }

    #[test]
    fn beside_the_cpu_use_a_decision_is_the_least() {
        let least = scaling(1, Some(70));
        assert_eq!(replicas_to_order(&least, 5, 3, true, false), Some(5));
        assert_eq!(replicas_to_order(&least, 2, 3, true, false), None);
    }

    #[test]
    fn while_signals_are_missing_more_replicas_than_decided_stay() {
        let exact = scaling(1, None);
        assert_eq!(replicas_to_order(&exact, 3, 5, true, true), None);
        assert_eq!(replicas_to_order(&exact, 5, 3, true, true), Some(5));
        let no_cpu_requested = Scaling { backstop: None, ..exact };
        assert_eq!(replicas_to_order(&no_cpu_requested, 3, 5, true, true), Some(3));
    }

    #[test]
    fn none_and_back_is_ordered_until_it_is_so_where_it_is_allowed() {
        let to_zero = scaling(0, None);
        assert_eq!(replicas_to_order(&to_zero, 0, 3, false, false), Some(0));
        assert_eq!(replicas_to_order(&to_zero, 4, 0, false, false), Some(4));
        assert_eq!(replicas_to_order(&to_zero, 0, 0, true, false), None);
        // Somebody stopped it by hand.
        assert_eq!(replicas_to_order(&scaling(1, None), 4, 0, true, false), None);
    }

    #[test]
    fn advice_orders_nothing() {
        assert_eq!(replicas_to_order(&Scaling { advisory: true, ..scaling(0, None) }, 0, 3, true, false), None);
    }
}
