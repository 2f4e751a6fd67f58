use kube::KubeSchema;
use serde::{Deserialize, Serialize};

use super::{EnvVar, Pod, Resources, WorkerAutoscaling};
use crate::api::rules;

/// A Deployment that processes events or jobs. It runs from the object's creation on and does not depend on model versions.
#[derive(KubeSchema, Serialize, Deserialize, Clone, Debug, PartialEq)]
#[x_kube(
    validation = Rule::new("!(has(self.replicas) && has(self.autoscaling))")
        .message("set replicas or autoscaling, not both: with autoscaling the number of replicas follows the load"),
    validation = Rule::new(rules::WORKER_CPU_REQUESTED)
        .message("autoscaling on CPU is relative to the request: set resources.requests.cpu"),
    validation = Rule::new(rules::MEMORY_REQUESTED).message(rules::MEMORY_REQUESTED_MESSAGE)
)]
#[serde(rename_all = "camelCase")]
pub struct Worker {
    /// Name of the worker. Its Deployment is named <object>-worker-<name>.
    #[schemars(length(min = 1, max = 15))]
    #[x_kube(
        validation = Rule::new(rules::LABEL_NAME)
            .message("write lower case letters, digits and -, with a letter at the beginning"),
        validation = Rule::new("!(self in ['serving', 'training'] || self.endsWith('-serving'))")
            .message("serving, training and names that end in -serving are the object's own parts: choose another name")
    )]
    pub name: String,
    /// Container image. Default: the image of serving.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[schemars(length(min = 1, max = 512))]
    #[x_kube(validation = Rule::new(rules::IMAGE)
        .message("write an image without blanks, for example example.org/recommender:1.4"))]
    pub image: Option<String>,
    /// Replaces the image's entrypoint.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    #[schemars(length(max = 64), inner(length(max = 4096)))]
    pub command: Vec<String>,
    /// Arguments of the entrypoint.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    #[schemars(length(max = 64), inner(length(max = 4096)))]
    pub args: Vec<String>,
    /// Environment variables.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    #[schemars(length(max = 256))]
    #[x_kube(merge_strategy = ListMerge::Map(vec!["name".into()]))]
    pub env: Vec<EnvVar>,
    /// Compute resources of each replica, for example requests: {cpu: 500m, memory: 512Mi}.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub resources: Option<Resources>,
    /// Settings of the pods of the worker: metadata, scheduling, identity, security.
    #[serde(default, skip_serializing_if = "Pod::is_empty")]
    pub pod: Pod,
    /// Seconds a replica has after SIGTERM to finish its current work.
    #[serde(default = "default_grace")]
    #[schemars(range(min = 0, max = 86_400))]
    pub termination_grace_seconds: i64,
    /// Port and path of the worker's metrics, if it exposes any.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub metrics: Option<WorkerMetrics>,
    /// A fixed number of replicas. Default without autoscaling: 1.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[schemars(range(min = 0, max = 1000))]
    pub replicas: Option<i32>,
    /// Scales the number of replicas with a lag or the CPU use.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub autoscaling: Option<WorkerAutoscaling>,
}

/// Port and path of a worker's metrics. They are scraped by a PodMonitor if spec.monitoring is set.
#[derive(KubeSchema, Serialize, Deserialize, Clone, Debug, PartialEq)]
#[serde(rename_all = "camelCase")]
pub struct WorkerMetrics {
    /// Port of the metrics.
    #[schemars(range(min = 1, max = 65535))]
    pub port: i32,
    /// HTTP path of the metrics.
    #[serde(default = "default_path")]
    #[schemars(length(min = 1, max = 512))]
    #[x_kube(validation = Rule::new(rules::HTTP_PATH).message("write a path that starts with / and has no blanks"))]
    pub path: String,
    /// Seconds between two scrapes. Default: 5 if the worker scales on lag, otherwise 15.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[schemars(range(min = 1, max = 120))]
    pub interval_seconds: Option<i32>,
}

fn default_grace() -> i64 {
    60
}
fn default_path() -> String {
    "/metrics".into()
}
