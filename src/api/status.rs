use std::collections::BTreeMap;

use k8s_openapi::apimachinery::pkg::apis::meta::v1::{Condition, Time};
use kube::KubeSchema;
use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

/// Observed state of the model. Written by the operator only.
#[derive(KubeSchema, Serialize, Deserialize, Clone, Debug, Default, PartialEq)]
#[serde(rename_all = "camelCase")]
pub struct RecommenderModelStatus {
    /// The generation of the spec that this status refers to.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub observed_generation: Option<i64>,
    /// The conditions. Ready, Reconciling and Stalled summarize the others (kstatus).
    #[serde(default)]
    #[x_kube(merge_strategy = ListMerge::Map(vec!["type".into()]))]
    pub conditions: Vec<Condition>,
    /// Training runs.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub training: Option<TrainingStatus>,
    /// The servers.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub serving: Option<ServingStatus>,
    /// The workers, as in the spec.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    #[x_kube(merge_strategy = ListMerge::Map(vec!["name".into()]))]
    pub workers: Vec<WorkerStatus>,
    /// The valid model versions, newest first; at most five, unless more are in use.
    #[serde(default)]
    #[x_kube(merge_strategy = ListMerge::Map(vec!["id".into()]))]
    pub versions: Vec<Version>,
}

/// Training runs.
#[derive(KubeSchema, Serialize, Deserialize, Clone, Debug, Default, PartialEq)]
#[serde(rename_all = "camelCase")]
pub struct TrainingStatus {
    /// The active run.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub active: Option<ActiveRun>,
    /// The run that ended last.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub last: Option<FinishedRun>,
    /// When a run last produced a valid version.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub last_success_time: Option<Time>,
    /// Last scheduled time that was handled; scheduled times up to it are not run again.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub last_schedule_time: Option<Time>,
    /// When the newest run was due whose outcome is recorded here: every run due until then is recorded as well, also when its
    /// Job and its version are gone.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub recorded_through: Option<Time>,
    /// When the next scheduled run is due.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub next_schedule_time: Option<Time>,
    /// The value of the annotation recommender.dev/train for which a run was last started.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub last_request: Option<String>,
}

/// An active training run.
#[derive(KubeSchema, Serialize, Deserialize, Clone, Debug, PartialEq)]
#[serde(rename_all = "camelCase")]
pub struct ActiveRun {
    /// The Job.
    pub job: String,
    /// The version it will produce.
    pub version: String,
    /// Full or partial.
    pub kind: TrainingKind,
    /// Why it was started.
    pub trigger: Trigger,
    /// Why its pod cannot start, as last observed.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub blocked: Option<String>,
}

/// A finished training run.
#[derive(KubeSchema, Serialize, Deserialize, Clone, Debug, PartialEq)]
#[serde(rename_all = "camelCase")]
pub struct FinishedRun {
    /// The Job.
    pub job: String,
    /// The version it produced or should have produced.
    pub version: String,
    /// Full or partial.
    pub kind: TrainingKind,
    /// Why it was started.
    pub trigger: Trigger,
    /// Hash of the training settings it ran with. After a failure, the next run starts when they change, when the schedule
    /// is due, or on request.
    pub template: String,
    /// Whether it produced a valid version.
    pub succeeded: bool,
    /// Succeeded, or the reason of the failure in CamelCase.
    pub reason: String,
    /// What happened and what to do.
    pub message: String,
    /// When it ended.
    pub finished_at: Time,
}

/// Full training uses all data; partial training (not implemented yet) starts from a base version.
#[derive(Serialize, Deserialize, JsonSchema, Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum TrainingKind {
    /// Training on all data.
    Full,
}

impl TrainingKind {
    /// The name in the status and in RECOMMENDER_KIND.
    pub const fn as_str(self) -> &'static str {
        match self {
            Self::Full => "Full",
        }
    }
}

impl Version {
    /// Whether its artifact is in the store with this URI.
    pub fn is_in(&self, store: &str) -> bool {
        self.uri.strip_prefix(store).is_some_and(|rest| rest.is_empty() || rest.starts_with('/'))
    }
}

impl Trigger {
    /// The name in the status.
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
    /// There was no valid version in the artifact store.
    Initial,
    /// The schedule.
    Schedule,
    /// The annotation recommender.dev/train.
    Request,
}

/// What a version is used for.
#[derive(Serialize, Deserialize, JsonSchema, Clone, Copy, Debug, Default, PartialEq, Eq, Hash)]
pub enum VersionState {
    /// Trained and valid; it has not answered requests yet.
    #[default]
    Candidate,
    /// It answers requests.
    Serving,
    /// It answered requests before the version that does now.
    Previous,
    /// A newer version answers requests, or did.
    Superseded,
}

/// A trained model version.
#[derive(KubeSchema, Serialize, Deserialize, Clone, Debug, PartialEq)]
#[serde(rename_all = "camelCase")]
pub struct Version {
    /// Its name, unique within the object.
    pub id: String,
    /// What it is used for.
    #[serde(default)]
    pub state: VersionState,
    /// Full or partial.
    pub kind: TrainingKind,
    /// The Job that trained it.
    pub job: String,
    /// URI of the artifact.
    pub uri: String,
    /// SHA-256 of the artifact, as sha256:<hex>.
    pub digest: String,
    /// Size of the artifact in bytes.
    pub bytes: i64,
    /// Metrics reported by the trainer, as decimal numbers.
    #[serde(default, skip_serializing_if = "BTreeMap::is_empty")]
    pub metrics: BTreeMap<String, String>,
    /// Time up to which the training data reaches.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub data_through: Option<Time>,
    /// When the run was due; the newest valid version is served.
    pub due_at: Time,
    /// When the training ended.
    pub trained_at: Time,
}

/// The servers.
#[derive(KubeSchema, Serialize, Deserialize, Clone, Debug, Default, PartialEq)]
#[serde(rename_all = "camelCase")]
pub struct ServingStatus {
    /// The version that answers requests: the last one whose rollout was completed.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub version: Option<String>,
    /// The Service in front of the servers.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub service: Option<String>,
    /// The version that is being rolled out.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub rolling_out: Option<String>,
    /// Serving pods that are ready.
    #[serde(default)]
    pub replicas: i32,
    /// Desired number of serving pods.
    #[serde(default)]
    pub desired_replicas: i32,
    /// The decision on their number, if they scale on latency or lag.
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
