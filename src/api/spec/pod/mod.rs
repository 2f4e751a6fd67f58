//! Settings of pods, one definition for training, serving and workers. Only what is named here can be set: it is not a pod
//! template. Fields that Kubernetes has as well have its names, so that most values are rendered as they are.

mod containers;
mod probes;
mod scheduling;
mod security;
mod volumes;

use std::collections::BTreeMap;

pub use containers::*;
use kube::KubeSchema;
pub use probes::*;
pub use scheduling::*;
use schemars::JsonSchema;
pub use security::*;
use serde::{Deserialize, Serialize};
pub use volumes::*;

use super::EnvFrom;
use crate::api::rules;

/// Settings of the pods and of their main container.
#[derive(KubeSchema, Serialize, Deserialize, Clone, Debug, Default, PartialEq)]
#[serde(rename_all = "camelCase")]
pub struct Pod {
    /// Labels of the pods and of their Job or Deployment, for example for policies and cost reports.
    #[serde(default, skip_serializing_if = "BTreeMap::is_empty")]
    #[schemars(extend("maxProperties" = 32, "additionalProperties" = { "type": "string", "maxLength": 63 }))]
    #[x_kube(
        validation = Rule::new(rules::FREE_KEYS).message(rules::FREE_KEYS_MESSAGE),
        validation = Rule::new(rules::LABEL_KEYS).message(rules::LABEL_KEYS_MESSAGE),
        validation = Rule::new(rules::LABEL_VALUES)
            .message(rules::LABEL_VALUES_MESSAGE)
    )]
    pub labels: BTreeMap<String, String>,
    /// Annotations of the pods and of their Job or Deployment, for example sidecar.istio.io/inject: "false".
    #[serde(default, skip_serializing_if = "BTreeMap::is_empty")]
    #[schemars(extend("maxProperties" = 32, "additionalProperties" = { "type": "string", "maxLength": 4096 }))]
    #[x_kube(
        validation = Rule::new(rules::FREE_KEYS).message(rules::FREE_KEYS_MESSAGE),
        validation = Rule::new(rules::LABEL_KEYS).message(rules::LABEL_KEYS_MESSAGE)
    )]
    pub annotations: BTreeMap<String, String>,
    /// Labels that a node must have, for example node.kubernetes.io/instance-type: g5.xlarge.
    #[serde(default, skip_serializing_if = "BTreeMap::is_empty")]
    #[schemars(extend("maxProperties" = 16, "additionalProperties" = { "type": "string", "maxLength": 63 }))]
    #[x_kube(
        validation = Rule::new(rules::LABEL_KEYS).message(rules::LABEL_KEYS_MESSAGE),
        validation = Rule::new(rules::LABEL_VALUES)
            .message(rules::LABEL_VALUES_MESSAGE)
    )]
    pub node_selector: BTreeMap<String, String>,
    /// Taints of nodes that the pods tolerate, for example those of nodes with GPUs.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    #[schemars(length(max = 16))]
    pub tolerations: Vec<Toleration>,
    /// Nodes and other pods that the pods are to run on, beside or apart from.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub affinity: Option<Affinity>,
    /// How the pods are spread over nodes or zones. Default: evenly over nodes if possible (kubernetes.io/hostname,
    /// ScheduleAnyway) for servers and workers; an empty list: not spread.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[schemars(length(max = 8))]
    pub topology_spread_constraints: Option<Vec<TopologySpread>>,
    /// PriorityClass of the pods. Default: that of the cluster.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[schemars(length(min = 1, max = 253))]
    pub priority_class_name: Option<String>,
    /// Scheduler of the pods, for example volcano. Default: that of the cluster.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[schemars(length(min = 1, max = 253))]
    pub scheduler_name: Option<String>,
    /// RuntimeClass of the pods, for example nvidia or gvisor. Default: that of the node.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[schemars(length(min = 1, max = 253))]
    pub runtime_class_name: Option<String>,
    /// ServiceAccount of the pods, in the same namespace. Default: one that is created for the object, without permissions.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[schemars(length(min = 1, max = 253))]
    #[x_kube(validation = Rule::new(rules::OBJECT_NAME).message(rules::OBJECT_NAME_MESSAGE))]
    pub service_account_name: Option<String>,
    /// User and groups of the processes.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub security_context: Option<PodSecurity>,
    /// When the image is pulled. Default: Always for the tag latest, otherwise IfNotPresent.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub image_pull_policy: Option<ImagePullPolicy>,
    /// Volumes of the pods, beside those for /tmp and the artifacts.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    #[schemars(length(max = 32))]
    #[x_kube(merge_strategy = ListMerge::Map(vec!["name".into()]))]
    pub volumes: Vec<Volume>,
    /// Where the main container has them.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    #[schemars(length(max = 32))]
    #[x_kube(merge_strategy = ListMerge::Map(vec!["mountPath".into()]))]
    pub volume_mounts: Vec<VolumeMount>,
    /// Size and medium of /tmp. Default: on the node's disk, without a limit.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub tmp: Option<EmptyDir>,
    /// All keys of ConfigMaps and Secrets as variables of the main container. Its env takes precedence.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    #[schemars(length(max = 16))]
    pub env_from: Vec<EnvFrom>,
    /// Working directory of the main container. Default: the image's.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[schemars(length(min = 1, max = 512))]
    pub working_dir: Option<String>,
    /// What the main container does before its SIGTERM. Default: servers sleep 5 seconds, so that no request is sent to a
    /// closed port.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub pre_stop: Option<PreStop>,
    /// Containers that run before the main one, in this order, and sidecars.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    #[schemars(length(max = 4))]
    #[x_kube(merge_strategy = ListMerge::Map(vec!["name".into()]))]
    pub init_containers: Vec<InitContainer>,
    /// Probes of the main container. Default: those of spec.serving.probes for servers, otherwise none.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    #[schemars(length(max = 3))]
    #[x_kube(merge_strategy = ListMerge::Map(vec!["type".into()]))]
    pub probes: Vec<Probe>,
}

impl Pod {
    /// Whether nothing is set.
    pub fn is_empty(&self) -> bool {
        *self == Self::default()
    }

    /// The probe of a type.
    pub fn probe(&self, of: ProbeType) -> Option<&Probe> {
        self.probes.iter().find(|probe| probe.type_ == of)
    }
}

/// When an image is pulled.
#[derive(Serialize, Deserialize, JsonSchema, Clone, Copy, Debug, PartialEq, Eq)]
pub enum ImagePullPolicy {
    /// At every start of a container.
    Always,
    /// If the node does not have it.
    IfNotPresent,
    /// Never: the node must have it.
    Never,
}
