//! The autoscaler of a Deployment: the only writer of its number of replicas, save that zero is not its business.
//!
//! | signals | wanted: bounds, metric |
//! |---|---|
//! | CPU only | the object's bounds, CPU |
//! | latency or lag, and CPU | from what was decided to the object's maximum, CPU |
//! | latency or lag | exactly what was decided |
//! | latency or lag, advisory | as without them; no autoscaler when nothing else is followed |

use k8s_openapi::api::autoscaling::v2::{
    CrossVersionObjectReference, HPAScalingPolicy, HPAScalingRules, HorizontalPodAutoscaler,
    HorizontalPodAutoscalerBehavior, HorizontalPodAutoscalerSpec, MetricSpec, MetricTarget, ResourceMetricSource,
};

use super::child::{self, Child, Kind};
use crate::{
    api::{ScalingPolicyType, ScalingRules, SelectPolicy},
    model::{Identity, Scaling, Workload},
};

/// None with a fixed number of replicas. `decided`: what was decided on latency or lag, or as long as nothing was, the
/// replicas there are.
pub fn render(identity: &Identity, workload: &Workload, decided: Option<i32>) -> Option<Child> {
    let scaling = workload.scaling.as_ref()?;
    let (min, max) = window(scaling, decided)?;
    let spec = HorizontalPodAutoscalerSpec {
        min_replicas: Some(min),
        max_replicas: max,
        // Without metrics the API server would put a CPU target of its own here; with equal bounds it moves nothing.
        metrics: scaling.cpu.map(|percent| vec![cpu(percent)]),
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

/// Fewest and most replicas; none when nothing is to move them.
fn window(scaling: &Scaling, decided: Option<i32>) -> Option<(i32, i32)> {
    let bounds = (scaling.min.max(1), scaling.max);
    if !scaling.is_acted_on() {
        return scaling.cpu.map(|_| bounds);
    }
    // No replicas at all is written by the operator itself: an autoscaler rests while there are none.
    let decided = decided.unwrap_or(scaling.min).clamp(bounds.0, bounds.1);
    Some((decided, if scaling.cpu.is_some() { bounds.1 } else { decided }))
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
