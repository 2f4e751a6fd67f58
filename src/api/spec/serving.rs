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
