//! Where pods run.

use std::collections::BTreeMap;

use kube::KubeSchema;
use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

/// Taints that the pods tolerate.
#[derive(KubeSchema, Serialize, Deserialize, Clone, Debug, PartialEq)]
#[x_kube(
    validation = Rule::new("has(self.key) || (has(self.operator) && self.operator == 'Exists')")
        .message("set key, or operator: Exists alone, which tolerates every taint"),
    validation = Rule::new("!has(self.value) || !has(self.operator) || self.operator != 'Exists'")
        .message("operator Exists compares no value: remove value, or write operator: Equal"),
    validation = Rule::new("!has(self.tolerationSeconds) || (has(self.effect) && self.effect == 'NoExecute')")
        .message("tolerationSeconds is the time until an eviction: it needs effect: NoExecute")
)]
#[serde(rename_all = "camelCase")]
pub struct Toleration {
    /// Key of the taint, for example nvidia.com/gpu.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[schemars(length(min = 1, max = 317))]
    pub key: Option<String>,
    /// How the taint's value is compared. Default: Equal.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub operator: Option<TolerationOperator>,
    /// Value of the taint. Default: empty.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[schemars(length(max = 63))]
    pub value: Option<String>,
    /// Effect of the taint. Default: all effects.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub effect: Option<TaintEffect>,
    /// Seconds until a pod is evicted after its node got the taint. Default: never.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[schemars(range(min = 0, max = 604_800))]
    pub toleration_seconds: Option<i64>,
}

/// How the value of a taint is compared.
#[derive(Serialize, Deserialize, JsonSchema, Clone, Copy, Debug, PartialEq, Eq)]
pub enum TolerationOperator {
    /// It is equal.
    Equal,
    /// It may be any.
    Exists,
}

/// Effect of a taint.
#[derive(Serialize, Deserialize, JsonSchema, Clone, Copy, Debug, PartialEq, Eq)]
pub enum TaintEffect {
    /// New pods are not scheduled.
    NoSchedule,
    /// New pods are scheduled if there is no other node.
    PreferNoSchedule,
    /// Running pods are evicted.
    NoExecute,
}

/// Which nodes and pods attract or repel the pods. Terms without a weight are required, those with one are preferred.
#[derive(KubeSchema, Serialize, Deserialize, Clone, Debug, Default, PartialEq)]
#[serde(rename_all = "camelCase")]
pub struct Affinity {
    /// Nodes to run on: one that matches any of the required terms, and as many preferred ones as possible.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    #[schemars(length(max = 8))]
    pub node: Vec<NodeTerm>,
    /// Pods to run beside: all required terms must hold.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    #[schemars(length(max = 8))]
    pub pod: Vec<PodTerm>,
    /// Pods to run apart from, for example one replica per node: {topologyKey: kubernetes.io/hostname}.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    #[schemars(length(max = 8))]
    pub anti_pod: Vec<PodTerm>,
}

/// Labels of nodes.
#[derive(KubeSchema, Serialize, Deserialize, Clone, Debug, PartialEq)]
#[serde(rename_all = "camelCase")]
pub struct NodeTerm {
    /// Preferred with this weight, from 1 to 100. Default: required.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[schemars(range(min = 1, max = 100))]
    pub weight: Option<i32>,
    /// Conditions on the node's labels; all must hold.
    #[schemars(length(min = 1, max = 8))]
    pub match_expressions: Vec<NodeExpression>,
}

/// A condition on a label of nodes.
#[derive(KubeSchema, Serialize, Deserialize, Clone, Debug, PartialEq)]
#[x_kube(validation = Rule::new("has(self.values) == (self.operator in ['In', 'NotIn', 'Gt', 'Lt'])")
    .message("In, NotIn, Gt and Lt need values, Exists and DoesNotExist have none"))]
#[serde(rename_all = "camelCase")]
pub struct NodeExpression {
    /// Key of the label, for example topology.kubernetes.io/zone.
    #[schemars(length(min = 1, max = 317))]
    pub key: String,
    /// How the label is compared with values.
    pub operator: NodeOperator,
    /// Values to compare with: for Gt and Lt one integer.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    #[schemars(length(min = 1, max = 32), inner(length(max = 63)))]
    pub values: Vec<String>,
}

/// How a label of nodes is compared.
#[derive(Serialize, Deserialize, JsonSchema, Clone, Copy, Debug, PartialEq, Eq)]
pub enum NodeOperator {
    /// It is one of the values.
    In,
    /// It is none of the values.
    NotIn,
    /// It is set.
    Exists,
    /// It is not set.
    DoesNotExist,
    /// It is above the value.
    Gt,
    /// It is below the value.
    Lt,
}

/// Pods on the same node, or in the same zone.
#[derive(KubeSchema, Serialize, Deserialize, Clone, Debug, PartialEq)]
#[serde(rename_all = "camelCase")]
pub struct PodTerm {
    /// Preferred with this weight, from 1 to 100. Default: required.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[schemars(range(min = 1, max = 100))]
    pub weight: Option<i32>,
    /// Label of nodes by which "beside" is meant: kubernetes.io/hostname or topology.kubernetes.io/zone.
    #[schemars(length(min = 1, max = 317))]
    pub topology_key: String,
    /// Labels of the other pods, in the same namespace. Default: those of the same Deployment or training.
    #[serde(default, skip_serializing_if = "BTreeMap::is_empty")]
    #[schemars(extend("maxProperties" = 8, "additionalProperties" = { "type": "string", "maxLength": 63 }))]
    pub match_labels: BTreeMap<String, String>,
}

/// A spread over nodes or zones. It counts the pods of the same Deployment and version of its template.
#[derive(KubeSchema, Serialize, Deserialize, Clone, Debug, PartialEq)]
#[x_kube(validation = Rule::new(
    "!has(self.minDomains) || (has(self.whenUnsatisfiable) && self.whenUnsatisfiable == 'DoNotSchedule')")
    .message("minDomains needs whenUnsatisfiable: DoNotSchedule"))]
#[serde(rename_all = "camelCase")]
pub struct TopologySpread {
    /// Label of nodes to spread over: kubernetes.io/hostname or topology.kubernetes.io/zone.
    #[schemars(length(min = 1, max = 317))]
    pub topology_key: String,
    /// Largest difference between the numbers of pods. Default: 1.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[schemars(range(min = 1, max = 1000))]
    pub max_skew: Option<i32>,
    /// Whether a pod waits if it cannot be kept. Default: ScheduleAnyway.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub when_unsatisfiable: Option<WhenUnsatisfiable>,
    /// Number of nodes or zones there must be at least. Default: 1.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[schemars(range(min = 1, max = 1000))]
    pub min_domains: Option<i32>,
}

/// Whether a pod waits for a node that keeps the spread.
#[derive(Serialize, Deserialize, JsonSchema, Clone, Copy, Debug, PartialEq, Eq)]
pub enum WhenUnsatisfiable {
    /// It waits.
    DoNotSchedule,
    /// It takes any other node.
    ScheduleAnyway,
}
