//! The versions in the status: their states, results of gates, bases, and what is deleted.

use std::collections::BTreeMap;

use k8s_openapi::apimachinery::pkg::apis::meta::v1::Time;
use kube::KubeSchema;
use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

use super::{TrainingKind, is_zero};

/// The artifacts that are deleted.
#[derive(KubeSchema, Serialize, Deserialize, Clone, Debug, Default, PartialEq)]
#[serde(rename_all = "camelCase")]
pub struct PruningStatus {
    /// The PersistentVolumeClaim of the artifacts.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub claim: Option<String>,
    /// Since when, if there was another one before.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub claim_since: Option<Time>,
    /// URIs of versions that left the status and are to be deleted.
    #[serde(default, skip_serializing_if = "BTreeMap::is_empty")]
    pub pending: BTreeMap<String, String>,
    /// The versions deleted last, newest first.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub pruned: Vec<String>,
    /// Number of the Job that ended last.
    #[serde(default, skip_serializing_if = "is_zero")]
    pub last_job: i64,
    /// When it ended.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub finished_at: Option<Time>,
    /// How many in a row have failed.
    #[serde(default, skip_serializing_if = "is_zero")]
    pub failures: i32,
    /// What the last one did, or why it failed.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub message: Option<String>,
}

impl Version {
    /// Whether it was taken over with its servers because the status was lost: nothing is known of its training.
    pub fn is_taken_over(&self) -> bool {
        self.bytes == 0 && self.started_at.is_none() && self.metrics.is_empty()
    }

    /// Whether it is known where its artifact is: not of one that was taken over with servers that do not name it.
    pub fn has_artifact(&self) -> bool {
        !self.uri.is_empty()
    }

    /// Whether its artifact is in the store with this URI.
    pub fn is_in(&self, store: &str) -> bool {
        self.uri.strip_prefix(store).is_some_and(|rest| rest.is_empty() || rest.starts_with('/'))
    }
}

/// What a version is used for.
#[derive(Serialize, Deserialize, JsonSchema, Clone, Copy, Debug, Default, PartialEq, Eq, Hash)]
pub enum VersionState {
    /// Trained and valid; it has not answered requests yet.
    #[default]
    Candidate,
    /// It did not pass its gates, and does not serve.
    Rejected,
    /// It answers a part of the requests, and is compared with the version that serves.
    Canary,
    /// It answers requests.
    Serving,
    /// It answered requests before the version that does now.
    Previous,
    /// A newer version answers requests, or did.
    Superseded,
    /// It was rolled back, and is not promoted again.
    RolledBack,
    /// Its rollout failed; it is not promoted again.
    Failed,
}

impl VersionState {
    /// The name in the status.
    pub const fn as_str(self) -> &'static str {
        match self {
            Self::Candidate => "Candidate",
            Self::Rejected => "Rejected",
            Self::Canary => "Canary",
            Self::Serving => "Serving",
            Self::Previous => "Previous",
            Self::Superseded => "Superseded",
            Self::RolledBack => "RolledBack",
            Self::Failed => "Failed",
        }
    }
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
    /// Number of samples of the test set, as reported by the trainer.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub samples: Option<i64>,
    /// Standard errors of metrics, as reported by the trainer.
    #[serde(default, skip_serializing_if = "BTreeMap::is_empty")]
    pub standard_errors: BTreeMap<String, String>,
    /// The verdict of each gate, when it was last judged, and why it was taken back.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub gates: Vec<Verdict>,
    /// The verdict on its canary, once there is one.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub canary: Option<Verdict>,
    /// Time up to which the training data reaches.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub data_through: Option<Time>,
    /// What a partial version was trained on top of.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub base: Option<Base>,
    /// When the run was due; the newest valid version is served.
    pub due_at: Time,
    /// When the Job that trained it was started.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub started_at: Option<Time>,
    /// When the training ended.
    pub trained_at: Time,
    /// When it first answered requests.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub served_at: Option<Time>,
}

/// The verdict of a gate.
#[derive(KubeSchema, Serialize, Deserialize, Clone, Debug, PartialEq)]
#[serde(rename_all = "camelCase")]
pub struct Verdict {
    /// The metric, artifactBytes, dataThrough, base, canary, rollout, rollback or watch.
    pub gate: String,
    /// Whether it was passed.
    pub passed: bool,
    /// The numbers, in one sentence.
    pub message: String,
}

/// What a partial version was trained on top of: its base, the root of its lineage, and from when on it has new data.
#[derive(KubeSchema, Serialize, Deserialize, Clone, Debug, PartialEq)]
#[serde(rename_all = "camelCase")]
pub struct Base {
    /// The version it was trained on top of.
    pub version: String,
    /// The full version at the root of its lineage.
    pub full: String,
    /// When that one was trained.
    pub full_trained_at: Time,
    /// Time from which on its data is new: where that of its base ends.
    pub data_from: Time,
}
