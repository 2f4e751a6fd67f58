use std::collections::BTreeMap;

use k8s_openapi::apimachinery::pkg::util::intstr::IntOrString;
use kube::KubeSchema;
use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

use super::{Autoscaling, EnvVar, Pod, Resources};
use crate::api::rules;

/// How the model is served. Pods get the version to load in the environment variables RECOMMENDER_VERSION,
/// RECOMMENDER_MODEL_URI and RECOMMENDER_MODEL_DIGEST, or with promotion.hotReload in a file. They must be ready only when exactly
/// that version answers requests.
#[derive(KubeSchema, Serialize, Deserialize, Clone, Debug, PartialEq)]
#[x_kube(
    validation = Rule::new("!(has(self.replicas) && has(self.autoscaling))")
        .message("set replicas or autoscaling, not both: with autoscaling the number of replicas follows the load"),
    validation = Rule::new(rules::CPU_REQUESTED)
        .message("autoscaling on CPU is relative to the request: set resources.requests.cpu"),
    validation = Rule::new(rules::MEMORY_REQUESTED).message(rules::MEMORY_REQUESTED_MESSAGE),
    validation = Rule::new(rules::PORTS_APART)
        .message("port, metricsPort and ports must have different numbers, and 80 is that of the Service")
)]
#[serde(rename_all = "camelCase")]
pub struct Serving {
    /// Container image of the server.
    #[schemars(length(min = 1, max = 512))]
    #[x_kube(validation = Rule::new(rules::IMAGE)
        .message("write an image without blanks, for example example.org/recommender:1.4"))]
    pub image: String,
    /// Replaces the image's entrypoint.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    #[schemars(length(max = 64), inner(length(max = 4096)))]
    pub command: Vec<String>,
    /// Arguments of the entrypoint.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    #[schemars(length(max = 64), inner(length(max = 4096)))]
    pub args: Vec<String>,
    /// Port the server listens on. The Service exposes it as port 80, named http.
    #[serde(default = "default_port")]
    #[schemars(range(min = 1, max = 65535))]
    pub port: i32,
    /// Further ports the server listens on. The Service exposes them under the same numbers and names.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    #[schemars(length(max = 8))]
    #[x_kube(
        merge_strategy = ListMerge::Map(vec!["name".into()])
    )]
    pub ports: Vec<ServerPort>,
    /// Port of the server's metrics, if it is not that of its requests. The Service exposes it under the same number, named
    /// metrics.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[schemars(range(min = 1, max = 65535))]
    pub metrics_port: Option<i32>,
    /// Settings of the Service.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub service: Option<ServiceSettings>,
    /// Environment variables of the server.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    #[schemars(length(max = 256))]
    #[x_kube(merge_strategy = ListMerge::Map(vec!["name".into()]))]
    pub env: Vec<EnvVar>,
    /// Probes of the server.
    #[serde(default)]
    pub probes: Probes,
    /// Compute resources of each server, for example requests: {cpu: 500m, memory: 512Mi}.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub resources: Option<Resources>,
    /// Settings of the pods of the servers: metadata, scheduling, identity, security.
    #[serde(default, skip_serializing_if = "Pod::is_empty")]
    pub pod: Pod,
    /// A fixed number of replicas. Default without autoscaling: 1.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[schemars(range(min = 1, max = 1000))]
    pub replicas: Option<i32>,
    /// Scales the number of replicas with the load.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub autoscaling: Option<Autoscaling>,
    /// Seconds between the removal of a server from the Service and its SIGTERM, in which it continues to answer. Raise it where
    /// a load balancer or ingress with pods as targets needs longer to stop sending requests, often 30 to 60. pod.preStop replaces it.
    #[serde(default = "default_drain")]
    #[schemars(range(min = 0, max = 3600))]
    pub drain_seconds: i64,
    /// Seconds a server has after SIGTERM to finish its requests: more than its longest request takes.
    #[serde(default = "default_grace")]
    #[schemars(range(min = 0, max = 86_400))]
    pub termination_grace_seconds: i64,
    /// How servers are replaced by those of a new version or of new settings.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub strategy: Option<RolloutStrategy>,
    /// Seconds for which a new server must stay ready before it counts as available and an earlier one is removed. Set it if
    /// servers fail soon after they have become ready. Default: 0.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[schemars(range(min = 0, max = 3600))]
    pub min_ready_seconds: Option<i32>,
    /// How many servers may be evicted at once, for example when nodes are drained. Default: one.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub disruption_budget: Option<DisruptionBudget>,
}

/// A further port of the servers.
#[derive(KubeSchema, Serialize, Deserialize, Clone, Debug, PartialEq)]
#[serde(rename_all = "camelCase")]
pub struct ServerPort {
    /// Name of the port.
    #[schemars(length(min = 1, max = 15))]
    #[x_kube(
        validation = Rule::new(rules::LABEL_NAME)
            .message("write lower case letters, digits and -, with a letter at the beginning"),
        validation = Rule::new("!(self in ['http', 'metrics'])")
            .message("http and metrics are the ports of port and metricsPort: choose another name")
    )]
    pub name: String,
    /// Its number.
    #[schemars(range(min = 1, max = 65535))]
    pub port: i32,
}

/// Settings of the Service.
#[derive(KubeSchema, Serialize, Deserialize, Clone, Debug, Default, PartialEq)]
#[x_kube(validation = Rule::new("!self.headless || self.type == 'ClusterIP'")
    .message("a headless Service has the type ClusterIP: remove type or headless"))]
#[serde(rename_all = "camelCase")]
pub struct ServiceSettings {
    /// Where the Service can be reached: within the cluster (ClusterIP), also by a port of every node (NodePort), or also by
    /// a load balancer of the cloud (LoadBalancer).
    #[serde(default, rename = "type")]
    pub type_: ServiceType,
    /// Without an address of its own: its name resolves to the addresses of the ready servers, for clients that balance
    /// their requests themselves, as with gRPC. Decided when the Service is created: to change it, delete the Service.
    #[serde(default)]
    pub headless: bool,
    /// Labels added to the Service.
    #[serde(default, skip_serializing_if = "BTreeMap::is_empty")]
    #[schemars(extend("maxProperties" = 16, "additionalProperties" = { "type": "string", "maxLength": 63 }))]
    #[x_kube(
        validation = Rule::new(rules::FREE_KEYS).message(rules::FREE_KEYS_MESSAGE),
        validation = Rule::new(rules::LABEL_KEYS).message(rules::LABEL_KEYS_MESSAGE),
        validation = Rule::new(rules::LABEL_VALUES).message(rules::LABEL_VALUES_MESSAGE)
    )]
    pub labels: BTreeMap<String, String>,
    /// Annotations added to the Service, for example those of the cloud for its load balancer.
    #[serde(default, skip_serializing_if = "BTreeMap::is_empty")]
    #[schemars(extend("maxProperties" = 32, "additionalProperties" = { "type": "string", "maxLength": 1024 }))]
    #[x_kube(
        validation = Rule::new(rules::FREE_KEYS).message(rules::FREE_KEYS_MESSAGE),
        validation = Rule::new(rules::LABEL_KEYS).message(rules::LABEL_KEYS_MESSAGE)
    )]
    pub annotations: BTreeMap<String, String>,
}

/// Where a Service can be reached.
#[derive(Serialize, Deserialize, JsonSchema, Clone, Copy, Debug, Default, PartialEq, Eq, Hash)]
pub enum ServiceType {
    /// Within the cluster.
    #[default]
    ClusterIP,
    /// Also by a port of every node.
    NodePort,
    /// Also by a load balancer of the cloud.
    LoadBalancer,
}

impl ServiceType {
    /// The value of the field `spec.type` of a Service.
    pub const fn as_str(self) -> &'static str {
        match self {
            Self::ClusterIP => "ClusterIP",
            Self::NodePort => "NodePort",
            Self::LoadBalancer => "LoadBalancer",
        }
    }
}

/// How servers are replaced, as in a Deployment. By default new ones are started beside the earlier ones, which are kept until as
/// many are ready. Where there is no room for a pod more (one GPU, a full quota), write {maxSurge: 0, maxUnavailable: 1}: then an
/// earlier server goes first, and with one replica nothing answers until the new one is ready.
#[derive(KubeSchema, Serialize, Deserialize, Clone, Debug, Default, PartialEq)]
#[x_kube(validation = Rule::new(rules::SOME_PODS_MOVE)
    .message("with maxSurge 0 an earlier server has to go first: set maxUnavailable to 1 or more"))]
#[serde(rename_all = "camelCase")]
pub struct RolloutStrategy {
    /// Pods above the number of replicas during a rollout, as a number or in per cent. Default: 25%.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[x_kube(validation = Rule::new(rules::NUMBER_OR_PERCENT).message(rules::NUMBER_OR_PERCENT_MESSAGE))]
    pub max_surge: Option<IntOrString>,
    /// Replicas that may be missing during a rollout, as a number or in per cent. Default: 0.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[x_kube(validation = Rule::new(rules::NUMBER_OR_PERCENT).message(rules::NUMBER_OR_PERCENT_MESSAGE))]
    pub max_unavailable: Option<IntOrString>,
}

/// The PodDisruptionBudget of the servers: at most one of minAvailable and maxUnavailable.
#[derive(KubeSchema, Serialize, Deserialize, Clone, Debug, PartialEq)]
#[x_kube(validation = Rule::new(rules::ONE_BUDGET)
    .message("set one of minAvailable and maxUnavailable, or enabled: false alone"))]
#[serde(rename_all = "camelCase")]
pub struct DisruptionBudget {
    /// Whether there is one. Set it to false if you select the servers by a budget of your own: with two, no pod can be evicted.
    #[serde(default = "default_enabled")]
    pub enabled: bool,
    /// Servers that must stay available, as a number or in per cent. From the number of replicas on, no node with a server can
    /// be drained.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[x_kube(validation = Rule::new(rules::NUMBER_OR_PERCENT).message(rules::NUMBER_OR_PERCENT_MESSAGE))]
    pub min_available: Option<IntOrString>,
    /// Servers that may be evicted at once, as a number or in per cent.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[x_kube(validation = Rule::new(rules::NUMBER_OR_PERCENT).message(rules::NUMBER_OR_PERCENT_MESSAGE))]
    pub max_unavailable: Option<IntOrString>,
}

/// Settings of the startup and readiness probes.
#[derive(KubeSchema, Serialize, Deserialize, Clone, Debug, PartialEq)]
#[serde(rename_all = "camelCase")]
pub struct Probes {
    /// HTTP path that must return 200 exactly when the version in RECOMMENDER_VERSION answers requests.
    #[serde(default = "default_probe_path")]
    #[schemars(length(min = 1, max = 512))]
    #[x_kube(validation = Rule::new(rules::HTTP_PATH).message("write a path that starts with / and has no blanks"))]
    pub path: String,
    /// Seconds a server may take from its start until the path first returns 200. After that it is restarted. Meanwhile it is
    /// probed every 2 seconds, with a time-out of at most 2 seconds; a Startup entry of pod.probes changes both.
    #[serde(default = "default_startup_seconds")]
    #[schemars(range(min = 1, max = 7200))]
    pub startup_seconds: i32,
    /// Seconds between two readiness probes.
    #[serde(default = "default_probe_period")]
    #[schemars(range(min = 1, max = 300))]
    pub period_seconds: i32,
    /// Seconds after which an unanswered probe counts as failed. A server leaves the Service after three consecutive failures,
    /// and adds its load to the others: servers under load answer late.
    #[serde(default = "default_probe_timeout")]
    #[schemars(range(min = 1, max = 60))]
    pub timeout_seconds: i32,
}

impl Default for Probes {
    fn default() -> Self {
        Self {
            path: default_probe_path(),
            startup_seconds: default_startup_seconds(),
            period_seconds: default_probe_period(),
            timeout_seconds: default_probe_timeout(),
        }
    }
}

/// Seconds between the removal of a server from the Service and its SIGTERM.
pub fn default_drain() -> i64 {
    5
}
fn default_grace() -> i64 {
    30
}
fn default_enabled() -> bool {
    true
}
fn default_port() -> i32 {
    8000
}
fn default_probe_path() -> String {
    "/health".into()
}
fn default_startup_seconds() -> i32 {
    300
}
fn default_probe_period() -> i32 {
    5
}
fn default_probe_timeout() -> i32 {
    5
}
