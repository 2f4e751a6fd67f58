//! The PodDisruptionBudget of the servers.

use k8s_openapi::{
    api::policy::v1::{PodDisruptionBudget, PodDisruptionBudgetSpec},
    apimachinery::pkg::{apis::meta::v1::LabelSelector, util::intstr::IntOrString},
};

use super::{
    child::{self, Child},
    deployment::COMPONENT,
};
use crate::{
    kinds::Kind,
    model::{Model, names},
};

pub fn render(model: &Model) -> Child {
    let identity = &model.identity;
    let spec = PodDisruptionBudgetSpec {
        // One pod at a time works with any number of replicas. `minAvailable` would block every drain of a single replica.
        max_unavailable: Some(IntOrString::Int(1)),
        selector: Some(LabelSelector {
            match_labels: Some(child::traffic_selector(identity)),
            ..LabelSelector::default()
        }),
        // An unhealthy pod must not block a drain.
        unhealthy_pod_eviction_policy: Some("AlwaysAllow".into()),
        ..PodDisruptionBudgetSpec::default()
    };
    let metadata = child::meta(identity, names::serving(&identity.base), COMPONENT);
    Child::new(Kind::PodDisruptionBudget, PodDisruptionBudget { metadata, spec: Some(spec), status: None })
}
