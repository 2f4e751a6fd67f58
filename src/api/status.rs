use std::collections::BTreeMap;

use k8s_openapi::apimachinery::pkg::apis::meta::v1::{Condition, Time};
use kube::KubeSchema;
use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

/// What the operator found and did. Written by the operator only.
#[derive(KubeSchema, Serialize, Deserialize, Clone, Debug, Default, PartialEq)]
#[serde(rename_all = "camelCase")]
pub struct RecommenderModelStatus {
    /// The generation of the spec that this status speaks of.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub observed_generation: Option<i64>,
    /// The state by aspect. Ready, Reconciling and Stalled sum it up (kstatus).
    #[serde(default)]
    #[x_kube(merge_strategy = ListMerge::Map(vec!["type".into()]))]
    pub conditions: Vec<Condition>,
    /// What is trained and when.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub training: Option<TrainingStatus>,
    /// What answers requests.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub serving: Option<ServingStatus>,
    /// The workers, as in the spec.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    #[x_kube(merge_strategy = ListMerge::Map(vec!["name".into()]))]
    pub workers: Vec<WorkerStatus>,
    /// The model versions known, newest first; at most five.
    #[serde(default)]
    #[x_kube(merge_strategy = ListMerge::Map(vec!["id".into()]))]
    pub versions: Vec<Version>,
}

/// What is trained and when.
#[derive(KubeSchema, Serialize, Deserialize, Clone, Debug, Default, PartialEq)]
#[serde(rename_all = "camelCase")]
pub struct TrainingStatus {
    /// The run under way.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub active: Option<ActiveRun>,
    /// The run that ended last.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub last: Option<FinishedRun>,
    /// When a run last gave a valid version.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub last_success_time: Option<Time>,
    /// When the last scheduled run was due; older instants are never run again.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub last_schedule_time: Option<Time>,
    /// When the next scheduled run is due.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub next_schedule_time: Option<Time>,
    /// The value of the annotation recommender.dev/train that was last acted on.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub last_request: Option<String>,
}

/// A training run under way.
#[derive(KubeSchema, Serialize, Deserialize, Clone, Debug, PartialEq)]
#[serde(rename_all = "camelCase")]
pub struct ActiveRun {
    /// The Job.
    pub job: String,
    /// The version it will give.
    pub version: String,
    /// Full or partial.
    pub kind: TrainingKind,
    /// Why it was started.
    pub trigger: Trigger,
}

/// A training run that ended.
#[derive(KubeSchema, Serialize, Deserialize, Clone, Debug, PartialEq)]
#[serde(rename_all = "camelCase")]
pub struct FinishedRun {
    /// The Job.
    pub job: String,
    /// The version it gave or was to give.
    pub version: String,
    /// Full or partial.
    pub kind: TrainingKind,
    /// Why it was started.
    pub trigger: Trigger,
    /// Hash of the training settings it ran with: a failed run is not repeated before they change, it is due again, or
    /// it is asked for.
    pub template: String,
    /// Whether it gave a valid version.
    pub succeeded: bool,
    /// Succeeded, or why it failed, in one word.
    pub reason: String,
    /// What happened and what to do.
    pub message: String,
    /// When it ended.
    pub finished_at: Time,
}

/// Full training takes all data; partial training (to come) starts from a base version.
#[derive(Serialize, Deserialize, JsonSchema, Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum TrainingKind {
    /// On all data.
    Full,
}

impl TrainingKind {
    /// The name as it stands in the status and in RECOMMENDER_KIND.
    pub const fn as_str(self) -> &'static str {
        match self {
            Self::Full => "Full",
        }
    }
}

impl Trigger {
    /// The name as it stands in the status.
    pub const fn as_str(self) -> &'static str {
        match self {
            Self::Initial => "Initial",
            Self::Schedule => "Schedule",
            Self::Request => "Request",
        }
    }
}

impl std::str::FromStr for Trigger {
    type Err = ();

    fn from_str(text: &str) -> Result<Self, ()> {
        [Self::Initial, Self::Schedule, Self::Request].into_iter().find(|trigger| trigger.as_str() == text).ok_or(())
    }
}

/// Why a training run was started.
#[derive(Serialize, Deserialize, JsonSchema, Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum Trigger {
    /// There was no valid version yet.
    Initial,
    /// Its schedule.
    Schedule,
    /// The annotation recommender.dev/train.
    Request,
}

/// A trained model version.
#[derive(KubeSchema, Serialize, Deserialize, Clone, Debug, PartialEq)]
#[serde(rename_all = "camelCase")]
pub struct Version {
    /// Its name, unique within the object.
    pub id: String,
    /// Full or partial.
    pub kind: TrainingKind,
    /// The Job that trained it.
    pub job: String,
    /// Where the artifact is.
    pub uri: String,
    /// SHA-256 of the artifact, as sha256:<hex>.
    pub digest: String,
    /// Size of the artifact in bytes.
    pub bytes: i64,
    /// What the trainer measured, as decimal numbers.
    #[serde(default, skip_serializing_if = "BTreeMap::is_empty")]
    pub metrics: BTreeMap<String, String>,
    /// The training data reaches up to here.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub data_through: Option<Time>,
    /// When the run was due; the newest valid version is served.
    pub due_at: Time,
    /// When the training ended.
    pub trained_at: Time,
}

/// What answers requests.
#[derive(KubeSchema, Serialize, Deserialize, Clone, Debug, Default, PartialEq)]
#[serde(rename_all = "camelCase")]
pub struct ServingStatus {
    /// The version that answers requests: the last one whose rollout was completed.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub version: Option<String>,
    /// The version that is being rolled out.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub rolling_out: Option<String>,
    /// Serving pods that are ready.
    #[serde(default)]
    pub replicas: i32,
    /// Serving pods that are wanted.
    #[serde(default)]
    pub desired_replicas: i32,
    /// What was decided on their number, where they scale on latency or lag.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub scaling: Option<ScalingStatus>,
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
    /// Pods that are wanted.
    #[serde(default)]
    pub desired_replicas: i32,
    /// What was decided on their number, where they scale on a lag.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub scaling: Option<ScalingStatus>,
}

/// What was decided on a number of replicas. Written when the number or its reason changes, not with every measurement.
#[derive(KubeSchema, Serialize, Deserialize, Clone, Debug, Default, PartialEq)]
#[serde(rename_all = "camelCase")]
pub struct ScalingStatus {
    /// Replicas decided on.
    pub replicas: i32,
    /// Why, in one word.
    pub reason: String,
    /// Why: what was measured, what limited the number, and what it would have been otherwise.
    pub message: String,
    /// The last ten changes of the number, newest first.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub decisions: Vec<ScalingDecision>,
    /// What was learned of one replica.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub learned: Option<LearnedStatus>,
}

/// One change of the number of replicas.
#[derive(KubeSchema, Serialize, Deserialize, Clone, Debug, PartialEq)]
#[serde(rename_all = "camelCase")]
pub struct ScalingDecision {
    /// When it was decided.
    pub time: Time,
    /// Replicas there were.
    pub from: i32,
    /// Replicas decided on.
    pub to: i32,
    /// Why, in one word.
    pub reason: String,
    /// Why, in one sentence.
    pub message: String,
}

/// What was learned of one replica; kept so that a restart of the operator forgets nothing.
#[derive(KubeSchema, Serialize, Deserialize, Clone, Debug, Default, PartialEq)]
#[serde(rename_all = "camelCase")]
pub struct LearnedStatus {
    /// Requests per second that one replica carries at the latency target, as a decimal number.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub requests_per_replica: Option<String>,
    /// Messages per second that one replica works off, as a decimal number.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub messages_per_replica: Option<String>,
    /// Seconds from the order of a replica to its being ready, as measured on the pods.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub startup_seconds: Option<i32>,
    /// The operator's own notes.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub notes: Option<String>,
}
