use k8s_openapi::apimachinery::pkg::util::intstr::IntOrString;
use kube::KubeSchema;
use serde::{Deserialize, Serialize};

use super::{Autoscaling, EnvVar, Pod, Resources};
use crate::api::rules;

/// How the model is served. Pods get the version to load in the environment variables RECOMMENDER_VERSION,
/// RECOMMENDER_MODEL_URI and RECOMMENDER_MODEL_DIGEST. They must be ready only when exactly that version answers requests.
#[derive(KubeSchema, Serialize, Deserialize, Clone, Debug, PartialEq)]
#[x_kube(
    validation = Rule::new("!(has(self.replicas) && has(self.autoscaling))")
        .message("set replicas or autoscaling, not both: with autoscaling the number of replicas follows the load"),
    validation = Rule::new(rules::CPU_REQUESTED)
        .message("autoscaling on CPU is relative to the request: set resources.requests.cpu")
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
    /// Environment variables of the server.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    #[schemars(length(max = 64))]
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
    /// a load balancer or ingress with pods as targets needs longer to stop sending requests, often 30 to 60.
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
    /// Seconds a server may take from its start until the path first returns 200. After that it is restarted.
    #[serde(default = "default_startup_seconds")]
    #[schemars(range(min = 1, max = 7200))]
    pub startup_seconds: i32,
    /// Seconds between two readiness probes.
    #[serde(default = "default_probe_period")]
    #[schemars(range(min = 1, max = 300))]
    pub period_seconds: i32,
    /// Seconds after which an unanswered probe counts as failed. A server leaves the Service after three consecutive failures.
    /// The default is longer than a healthy server needs: a server under load answers late, and removing it would add its load
    /// to the others. A server that is down refuses the connection at once.
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

fn default_drain() -> i64 {
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
