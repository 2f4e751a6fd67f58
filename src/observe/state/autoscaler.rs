//! The state of an autoscaler.

use jiff::Timestamp;
use k8s_openapi::api::autoscaling::v2::{CrossVersionObjectReference, HorizontalPodAutoscaler};

use super::{ChildState, instant};

/// The state of an autoscaler.
#[derive(Clone, Debug, PartialEq)]
pub struct AutoscalerState {
    /// When it was created.
    pub created_at: Timestamp,
    /// Name of the Deployment it scales; none when it scales another kind.
    pub target: Option<String>,
    /// Its condition `ScalingActive`: whether it is True, and the message if it is not.
    pub active: Option<(bool, String)>,
}

/// The state of an autoscaler.
pub fn autoscaler(autoscaler: &HorizontalPodAutoscaler) -> ChildState {
    let conditions = autoscaler.status.as_ref().and_then(|status| status.conditions.as_ref());
    let active =
        conditions.into_iter().flatten().find(|condition| condition.type_ == "ScalingActive").map(|condition| {
            let active = condition.status == "True";
            // The message of an active autoscaler contains changing details that are not used.
            (active, if active { String::new() } else { condition.message.clone().unwrap_or_default() })
        });
    let target = autoscaler.spec.as_ref().map(|spec| &spec.scale_target_ref);
    let is_deployment = |target: &&CrossVersionObjectReference| {
        target.kind == "Deployment" && target.api_version.as_ref().is_some_and(|version| version.starts_with("apps/"))
    };
    ChildState::Autoscaler(AutoscalerState {
        created_at: instant(autoscaler.metadata.creation_timestamp.as_ref()),
        target: target.filter(is_deployment).map(|target| target.name.clone()),
        active,
    })
}
