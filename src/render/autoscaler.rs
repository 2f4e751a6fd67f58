//! The HorizontalPodAutoscaler of a Deployment. Its bounds and its targets are decided in [`crate::limits`].

use k8s_openapi::api::autoscaling::v2::{
    ContainerResourceMetricSource, CrossVersionObjectReference, HPAScalingPolicy, HPAScalingRules,
    HorizontalPodAutoscaler, HorizontalPodAutoscalerBehavior, HorizontalPodAutoscalerSpec, MetricSpec, MetricTarget,
};

use crate::{
    api::{ScalingBehavior, ScalingPolicyType, ScalingRules, SelectPolicy},
    child::{self, Child},
    kinds::Kind,
    limits::Limits,
    model::{Identity, Scaling, Workload},
    names::{SERVER_CONTAINER, WORKER_CONTAINER},
};

/// The autoscaler with these limits. `is_frozen`: it removes no pods by itself, because those of a canary answer a part of the requests,
/// and it would take the canary for less load.
pub fn render(identity: &Identity, workload: &Workload, scaling: &Scaling, limits: Limits, is_frozen: bool) -> Child {
    let container = if workload.is_serving() { SERVER_CONTAINER } else { WORKER_CONTAINER };
    let targets = [("cpu", limits.cpu), ("memory", limits.memory)];
    let metrics: Vec<_> = targets
        .into_iter()
        .filter_map(|(resource, percent)| Some(utilization(resource, container, percent?)))
        .collect();
    let spec = HorizontalPodAutoscalerSpec {
        min_replicas: Some(limits.min),
        max_replicas: limits.max,
        // Without metrics the API server sets a default CPU target. With equal bounds it has no effect.
        metrics: (!metrics.is_empty()).then_some(metrics),
        scale_target_ref: CrossVersionObjectReference {
            api_version: Some("apps/v1".into()),
            kind: "Deployment".into(),
            name: workload.deployment.clone(),
        },
        behavior: behavior(scaling.behavior.as_ref(), is_frozen),
    };
    let metadata = child::meta(identity, workload.deployment.clone(), &workload.component);
    let object = HorizontalPodAutoscaler { metadata, spec: Some(spec), status: None };
    Child::new(Kind::HorizontalPodAutoscaler, object)
}

fn behavior(desired: Option<&ScalingBehavior>, is_frozen: bool) -> Option<HorizontalPodAutoscalerBehavior> {
    let frozen =
        is_frozen.then(|| HPAScalingRules { select_policy: Some("Disabled".into()), ..HPAScalingRules::default() });
    let scale_up = desired.and_then(|behavior| behavior.scale_up.as_ref()).map(rules);
    let scale_down = frozen.or_else(|| desired.and_then(|behavior| behavior.scale_down.as_ref()).map(rules));
    (desired.is_some() || is_frozen).then_some(HorizontalPodAutoscalerBehavior { scale_up, scale_down })
}

/// The mean use of a resource by our own container: a sidecar that requests none would otherwise stop the scaling.
fn utilization(resource: &str, container: &str, percent: i32) -> MetricSpec {
    MetricSpec {
        type_: "ContainerResource".into(),
        container_resource: Some(ContainerResourceMetricSource {
            container: container.into(),
            name: resource.into(),
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
        // Behind a feature gate that is off in Kubernetes 1.33 and 1.34, which drop the field.
        tolerance: None,
    }
}
