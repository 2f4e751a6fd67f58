//! Where pods run.

use std::collections::BTreeMap;

use k8s_openapi::{
    api::core::v1::{
        Affinity, NodeAffinity, NodeSelector, NodeSelectorTerm, PodAffinity, PodAffinityTerm, PodAntiAffinity, PodSpec,
        PreferredSchedulingTerm, TopologySpreadConstraint, WeightedPodAffinityTerm,
    },
    apimachinery::pkg::apis::meta::v1::LabelSelector,
};

use super::{same, same_list};
use crate::api::{self, NodeTerm, Pod, PodTerm, TEMPLATE_HASH_LABEL, TopologySpread};

/// The spread of pods over nodes that is the default.
const OVER_NODES: &str = "kubernetes.io/hostname";

/// The pods that a pod is spread over nodes with.
pub enum Spread {
    /// Those with these labels and of the same template of a Deployment.
    Replicas(BTreeMap<String, String>),
    /// Those with these labels. A training run has one pod, which is not spread by default.
    Runs(BTreeMap<String, String>),
}

impl Spread {
    const fn labels(&self) -> &BTreeMap<String, String> {
        match self {
            Self::Replicas(labels) | Self::Runs(labels) => labels,
        }
    }

    /// Labels whose values have to be equal as well.
    fn match_label_keys(&self) -> Option<Vec<String>> {
        // Pods of a new version are placed regardless of the old ones, which are gone after the rollout.
        matches!(self, Self::Replicas(_)).then(|| vec![TEMPLATE_HASH_LABEL.into()])
    }
}

/// Sets what decides on the node of a pod.
pub fn set(spec: &mut PodSpec, pod: &Pod, spread: &Spread) {
    spec.node_selector = (!pod.node_selector.is_empty()).then(|| pod.node_selector.clone());
    spec.tolerations = same_list(&pod.tolerations);
    spec.affinity = pod.affinity.as_ref().map(|affinity| self::affinity(affinity, spread));
    spec.topology_spread_constraints = topology_spread(pod, spread);
    spec.priority_class_name.clone_from(&pod.priority_class_name);
    spec.scheduler_name.clone_from(&pod.scheduler_name);
    spec.runtime_class_name.clone_from(&pod.runtime_class_name);
}

fn topology_spread(pod: &Pod, spread: &Spread) -> Option<Vec<TopologySpreadConstraint>> {
    let over_nodes = || {
        let over_nodes = TopologySpread {
            topology_key: OVER_NODES.into(),
            max_skew: None,
            when_unsatisfiable: None,
            min_domains: None,
        };
        matches!(spread, Spread::Replicas(_)).then(|| vec![over_nodes])
    };
    let constraints = pod.topology_spread_constraints.clone().or_else(over_nodes)?;
    let rendered = constraints.into_iter().map(|constraint| TopologySpreadConstraint {
        max_skew: constraint.max_skew.unwrap_or(1),
        min_domains: constraint.min_domains,
        when_unsatisfiable: constraint.when_unsatisfiable.map_or_else(|| "ScheduleAnyway".into(), |when| same(&when)),
        topology_key: constraint.topology_key,
        label_selector: Some(selector(spread.labels())),
        match_label_keys: spread.match_label_keys(),
        ..TopologySpreadConstraint::default()
    });
    let rendered: Vec<_> = rendered.collect();
    (!rendered.is_empty()).then_some(rendered)
}

fn selector(labels: &BTreeMap<String, String>) -> LabelSelector {
    LabelSelector { match_labels: Some(labels.clone()), ..LabelSelector::default() }
}

/// `own`: the pods themselves.
fn affinity(affinity: &api::Affinity, own: &Spread) -> Affinity {
    let pod = PodTerms::of(&affinity.pod, own);
    let anti = PodTerms::of(&affinity.anti_pod, own);
    Affinity {
        node_affinity: (!affinity.node.is_empty()).then(|| node_affinity(&affinity.node)),
        pod_affinity: (!affinity.pod.is_empty()).then_some(PodAffinity {
            required_during_scheduling_ignored_during_execution: pod.required,
            preferred_during_scheduling_ignored_during_execution: pod.preferred,
        }),
        pod_anti_affinity: (!affinity.anti_pod.is_empty()).then_some(PodAntiAffinity {
            required_during_scheduling_ignored_during_execution: anti.required,
            preferred_during_scheduling_ignored_during_execution: anti.preferred,
        }),
    }
}

fn node_affinity(terms: &[NodeTerm]) -> NodeAffinity {
    let term = |term: &NodeTerm| NodeSelectorTerm {
        match_expressions: same_list(&term.match_expressions),
        ..NodeSelectorTerm::default()
    };
    let required: Vec<_> = terms.iter().filter(|of| of.weight.is_none()).map(term).collect();
    let preferred =
        terms.iter().filter_map(|of| Some(PreferredSchedulingTerm { weight: of.weight?, preference: term(of) }));
    let preferred: Vec<_> = preferred.collect();
    NodeAffinity {
        required_during_scheduling_ignored_during_execution: (!required.is_empty())
            .then_some(NodeSelector { node_selector_terms: required }),
        preferred_during_scheduling_ignored_during_execution: (!preferred.is_empty()).then_some(preferred),
    }
}

/// Terms on other pods, by whether they have a weight.
struct PodTerms {
    required: Option<Vec<PodAffinityTerm>>,
    preferred: Option<Vec<WeightedPodAffinityTerm>>,
}

impl PodTerms {
    fn of(terms: &[PodTerm], own: &Spread) -> Self {
        let term = |term: &PodTerm| PodAffinityTerm {
            topology_key: term.topology_key.clone(),
            label_selector: Some(selector(if term.match_labels.is_empty() {
                own.labels()
            } else {
                &term.match_labels
            })),
            // Otherwise no pod of a new version would fit beside the old ones where each node has one.
            match_label_keys: own.match_label_keys().filter(|_| term.match_labels.is_empty()),
            ..PodAffinityTerm::default()
        };
        let required: Vec<_> = terms.iter().filter(|of| of.weight.is_none()).map(term).collect();
        let preferred = terms
            .iter()
            .filter_map(|of| Some(WeightedPodAffinityTerm { weight: of.weight?, pod_affinity_term: term(of) }));
        let preferred: Vec<_> = preferred.collect();
        Self {
            required: (!required.is_empty()).then_some(required),
            preferred: (!preferred.is_empty()).then_some(preferred),
        }
    }
}
