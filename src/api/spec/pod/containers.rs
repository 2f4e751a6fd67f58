//! Init containers and sidecars.

use kube::KubeSchema;
use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

use super::{
    super::{EnvFrom, EnvVar, Resources},
    ImagePullPolicy, Probe, VolumeMount,
};
use crate::api::rules;

/// A container that ends before the main one starts, or with restartPolicy: Always runs beside it as a sidecar. It gets /tmp,
/// the operator's variables (RECOMMENDER_, AWS_) and the security context of the main container.
#[derive(KubeSchema, Serialize, Deserialize, Clone, Debug, PartialEq)]
#[serde(rename_all = "camelCase")]
pub struct InitContainer {
    /// Name of the container.
    #[schemars(length(min = 1, max = 63))]
    #[x_kube(validation = Rule::new("!(self in ['trainer', 'server', 'worker'])")
        .message("trainer, server and worker are the main containers: choose another name"))]
    pub name: String,
    /// Container image.
    #[schemars(length(min = 1, max = 512))]
    #[x_kube(validation = Rule::new(rules::IMAGE)
        .message("write an image without blanks, for example example.org/recommender:1.4"))]
    pub image: String,
    /// Always: a sidecar, which runs until the main container has ended. Default: it must end before that one starts.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub restart_policy: Option<SidecarRestart>,
    /// Replaces the image's entrypoint.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    #[schemars(length(max = 64), inner(length(max = 4096)))]
    pub command: Vec<String>,
    /// Arguments of the entrypoint.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    #[schemars(length(max = 64), inner(length(max = 4096)))]
    pub args: Vec<String>,
    /// Working directory. Default: the image's.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[schemars(length(min = 1, max = 512))]
    pub working_dir: Option<String>,
    /// Environment variables.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    #[schemars(length(max = 64))]
    #[x_kube(merge_strategy = ListMerge::Map(vec!["name".into()]))]
    pub env: Vec<EnvVar>,
    /// All keys of ConfigMaps and Secrets as variables.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    #[schemars(length(max = 8))]
    pub env_from: Vec<EnvFrom>,
    /// Compute resources. Those of a sidecar add to those of the main container.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub resources: Option<Resources>,
    /// Mounted volumes of the pod.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    #[schemars(length(max = 16))]
    #[x_kube(merge_strategy = ListMerge::Map(vec!["mountPath".into()]))]
    pub volume_mounts: Vec<VolumeMount>,
    /// Ports of a sidecar.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    #[schemars(length(max = 8))]
    #[x_kube(merge_strategy = ListMerge::Map(vec!["name".into()]))]
    pub ports: Vec<SidecarPort>,
    /// Probes of a sidecar. The main container starts when its startup probe has succeeded.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    #[schemars(length(max = 3))]
    #[x_kube(merge_strategy = ListMerge::Map(vec!["type".into()]))]
    pub probes: Vec<Probe>,
    /// When the image is pulled. Default: Always for the tag latest, otherwise IfNotPresent.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub image_pull_policy: Option<ImagePullPolicy>,
}

/// How long a container of `initContainers` runs.
#[derive(Serialize, Deserialize, JsonSchema, Clone, Copy, Debug, PartialEq, Eq)]
pub enum SidecarRestart {
    /// As long as the main container.
    Always,
}

/// A port of a sidecar.
#[derive(KubeSchema, Serialize, Deserialize, Clone, Debug, PartialEq)]
#[serde(rename_all = "camelCase")]
pub struct SidecarPort {
    /// Name of the port. http and metrics are the operator's.
    #[schemars(length(min = 1, max = 15))]
    pub name: String,
    /// Number of the port.
    #[schemars(range(min = 1, max = 65535))]
    pub container_port: i32,
}
