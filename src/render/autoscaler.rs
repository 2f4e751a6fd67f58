//! The autoscaler of the serving pods: the only writer of their number.

use k8s_openapi::api::autoscaling::v2::{
    CrossVersionObjectReference, HorizontalPodAutoscaler, HorizontalPodAutoscalerSpec, MetricSpec, MetricTarget,
    ResourceMetricSource,
};

use super::{
    child::{self, Child, Kind},
    deployment::COMPONENT,
};
use crate::model::{Model, names};

/// None with a fixed number of replicas.
pub fn render(model: &Model) -> Option<Child> {
    let autoscaling = model.serving.autoscaling.as_ref()?;
    let identity = &model.identity;
    let name = names::serving(&identity.base);
    let cpu = MetricSpec {
        type_: "Resource".into(),
        resource: Some(ResourceMetricSource {
            name: "cpu".into(),
            target: MetricTarget {
                type_: "Utilization".into(),
                average_utilization: Some(autoscaling.cpu.target_utilization_percent),
                ..MetricTarget::default()
            },
        }),
        ..MetricSpec::default()
    };
    let spec = HorizontalPodAutoscalerSpec {
        min_replicas: Some(autoscaling.min_replicas),
        max_replicas: autoscaling.max_replicas,
        metrics: Some(vec![cpu]),
        scale_target_ref: CrossVersionObjectReference {
            api_version: Some("apps/v1".into()),
            kind: "Deployment".into(),
            name: name.clone(),
        },
        behavior: None,
    };
    let metadata = child::meta(identity, name, COMPONENT);
    Some(Child::new(
        Kind::HorizontalPodAutoscaler,
        HorizontalPodAutoscaler { metadata, spec: Some(spec), status: None },
    ))
}
