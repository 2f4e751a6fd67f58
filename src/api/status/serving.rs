//! The status of servers and workers.

use k8s_openapi::apimachinery::pkg::apis::meta::v1::Time;
use kube::KubeSchema;
use serde::{Deserialize, Serialize};

/// The servers.
#[derive(KubeSchema, Serialize, Deserialize, Clone, Debug, Default, PartialEq)]
#[serde(rename_all = "camelCase")]
pub struct ServingStatus {
    /// The version that answers requests: the last one whose rollout was completed.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub version: Option<String>,
    /// When that version was trained.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub trained_at: Option<Time>,
    /// Time up to which its data reaches.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub data_through: Option<Time>,
    /// The Service in front of the servers.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub service: Option<String>,
    /// The version that is being rolled out.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub rolling_out: Option<String>,
    /// Since when it is being rolled out.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub rolling_out_since: Option<Time>,
    /// The version that is pinned, if the annotation is followed. It stays while its rollout goes on in an earlier artifact store.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub pinned: Option<String>,
    /// Until when the version is watched, and taken back if it does harm.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub watched_until: Option<Time>,
    /// Since when a version waits for promotion.readiness.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub waiting_since: Option<Time>,
    /// Objectives that were breached when its rollout began, or of which nothing was known.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub breached: Vec<String>,
    /// Hash of the settings that the last complete rollout had beside its version.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub settings: Option<String>,
    /// Serving pods that are ready.
    #[serde(default)]
    pub replicas: i32,
    /// Desired number of serving pods.
    #[serde(default)]
    pub desired_replicas: i32,
    /// The decision on their number, if they scale on latency or lag.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub scaling: Option<ScalingStatus>,
    /// The canary, while there is one.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub canary: Option<CanaryStatus>,
    /// The change to another version without a restart, while it goes on.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub reload: Option<ReloadStatus>,
}

/// Servers that change to another version without a restart.
#[derive(KubeSchema, Serialize, Deserialize, Clone, Debug, PartialEq)]
#[serde(rename_all = "camelCase")]
pub struct ReloadStatus {
    /// The version.
    pub version: String,
    /// Since when they are to answer with it.
    pub since: Time,
    /// Whether they are restarted, because they have not done so in time.
    #[serde(default)]
    pub restarts: bool,
    /// How many do, and what is known of the others.
    pub message: String,
}

/// A version that is tried on a part of the requests.
#[derive(KubeSchema, Serialize, Deserialize, Clone, Debug, Default, PartialEq)]
#[serde(rename_all = "camelCase")]
pub struct CanaryStatus {
    /// The version.
    pub version: String,
    /// The current step, counted from 1.
    pub step: i32,
    /// The part of the requests that is desired for it.
    pub weight_percent: i32,
    /// Its pods that are ready.
    #[serde(default)]
    pub replicas: i32,
    /// Desired number of its pods.
    #[serde(default)]
    pub desired_replicas: i32,
    /// What was counted so far, and what the step waits for.
    pub message: String,
    /// Internal data of the operator.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub notes: Option<String>,
}

/// A worker.
#[derive(KubeSchema, Serialize, Deserialize, Clone, Debug, Default, PartialEq)]
#[serde(rename_all = "camelCase")]
pub struct WorkerStatus {
    /// Its name.
    pub name: String,
    /// Pods that are ready.
    #[serde(default)]
    pub replicas: i32,
    /// Desired number of pods.
    #[serde(default)]
    pub desired_replicas: i32,
    /// The decision on their number, if they scale on lag.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub scaling: Option<ScalingStatus>,
}

/// The decision on a number of replicas. Written when the number or its reason changes, not with every measurement.
#[derive(KubeSchema, Serialize, Deserialize, Clone, Debug, Default, PartialEq)]
#[serde(rename_all = "camelCase")]
pub struct ScalingStatus {
    /// Number of replicas decided on.
    pub replicas: i32,
    /// The reason, in CamelCase.
    pub reason: String,
    /// The measurements, what limited the number, and what it would be otherwise.
    pub message: String,
    /// The last ten changes of the number, newest first.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub decisions: Vec<ScalingDecision>,
    /// Estimates of one replica.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub learned: Option<LearnedStatus>,
}

/// One change of the number of replicas.
#[derive(KubeSchema, Serialize, Deserialize, Clone, Debug, PartialEq)]
#[serde(rename_all = "camelCase")]
pub struct ScalingDecision {
    /// When it was decided.
    pub time: Time,
    /// Number of replicas before.
    pub from: i32,
    /// Number of replicas decided on.
    pub to: i32,
    /// The reason, in CamelCase.
    pub reason: String,
    /// The reason, in one sentence.
    pub message: String,
}

/// Estimates of one replica. Stored here so that they persist over a restart of the operator.
#[derive(KubeSchema, Serialize, Deserialize, Clone, Debug, Default, PartialEq)]
#[serde(rename_all = "camelCase")]
pub struct LearnedStatus {
    /// Capacity of one replica at the latency target, in requests per second, as a decimal number.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub requests_per_replica: Option<String>,
    /// Capacity of one replica, in messages per second, as a decimal number.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub messages_per_replica: Option<String>,
    /// Seconds from scaling up until the new replica is ready, as measured on the pods.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub startup_seconds: Option<i32>,
    /// Internal data of the operator.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub notes: Option<String>,
}
