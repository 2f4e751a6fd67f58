//! The PodDisruptionBudget of the servers.

use k8s_openapi::{
    api::policy::v1::{PodDisruptionBudget, PodDisruptionBudgetSpec},
    apimachinery::pkg::{apis::meta::v1::LabelSelector, util::intstr::IntOrString},
};

use super::pod;
use crate::{
    api::DisruptionBudget,
    child::{self, Child},
    kinds::Kind,
    model::Model,
    names::{self, SERVING_COMPONENT},
};

/// The budget; `None` if the spec asks for none.
pub fn render(model: &Model) -> Option<Child> {
    let identity = &model.identity;
    let desired = model.serving.disruption_budget.as_ref();
    let pods = |of: fn(&DisruptionBudget) -> &Option<IntOrString>| {
        desired.and_then(|desired| of(desired).as_ref()).map(pod::number_or_percent)
    };
    let min_available = pods(|desired| &desired.min_available);
    // One pod at a time works with any number of replicas. `minAvailable` would block every drain of a single replica.
    let one = min_available.is_none().then_some(IntOrString::Int(1));
    let spec = PodDisruptionBudgetSpec {
        max_unavailable: pods(|desired| &desired.max_unavailable).or(one),
        min_available,
        selector: Some(LabelSelector {
            match_labels: Some(child::traffic_selector(identity)),
            ..LabelSelector::default()
        }),
        // An unhealthy pod must not block a drain.
        unhealthy_pod_eviction_policy: Some("AlwaysAllow".into()),
    };
    let metadata = child::meta(identity, names::serving(&identity.base), SERVING_COMPONENT);
    let budget = PodDisruptionBudget { metadata, spec: Some(spec), status: None };
    desired.is_none_or(|desired| desired.enabled).then(|| Child::new(Kind::PodDisruptionBudget, budget))
}
