//! The HorizontalPodAutoscaler of a Deployment. Its bounds and its CPU target are decided in [`crate::limits`].

use k8s_openapi::api::autoscaling::v2::{
    CrossVersionObjectReference, HPAScalingPolicy, HPAScalingRules, HorizontalPodAutoscaler,
    HorizontalPodAutoscalerBehavior, HorizontalPodAutoscalerSpec, MetricSpec, MetricTarget, ResourceMetricSource,
};

use super::child::{self, Child};
use crate::{
    api::{ScalingPolicyType, ScalingRules, SelectPolicy},
    kinds::Kind,
    limits::Limits,
    model::{Identity, Scaling, Workload},
};

/// The autoscaler with these limits.
pub fn render(identity: &Identity, workload: &Workload, scaling: &Scaling, limits: Limits) -> Child {
    let spec = HorizontalPodAutoscalerSpec {
        min_replicas: Some(limits.min),
        max_replicas: limits.max,
        // Without metrics the API server sets a default CPU target. With equal bounds it has no effect.
        metrics: limits.cpu.map(|percent| vec![cpu(percent)]),
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
    Child::new(Kind::HorizontalPodAutoscaler, object)
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
