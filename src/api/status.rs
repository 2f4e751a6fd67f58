//! The status of an object.

mod serving;
mod training;
mod versions;

use k8s_openapi::apimachinery::pkg::apis::meta::v1::Condition;
use kube::KubeSchema;
use serde::{Deserialize, Serialize};

pub use serving::*;
pub use training::*;
pub use versions::*;

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
    /// The artifacts that training.prune deletes.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub pruning: Option<PruningStatus>,
    /// The servers.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub serving: Option<ServingStatus>,
    /// The value of the annotation recommender.dev/rollback that was followed last, while it is there.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub last_rollback: Option<String>,
    /// The workers, as in the spec.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    #[x_kube(merge_strategy = ListMerge::Map(vec!["name".into()]))]
    pub workers: Vec<WorkerStatus>,
    /// The objectives, as in the spec.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    #[x_kube(merge_strategy = ListMerge::Map(vec!["name".into()]))]
    pub objectives: Vec<ObjectiveStatus>,
    /// Per cent left of the error budget that has least left.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub error_budget_remaining_percent: Option<i32>,
    /// The valid model versions, newest first; at most promotion.keepVersions, unless more are in use.
    #[serde(default)]
    #[x_kube(merge_strategy = ListMerge::Map(vec!["id".into()]))]
    pub versions: Vec<Version>,
}

/// Whether a number is 0, and so left out.
pub(crate) fn is_zero<T: Default + PartialEq>(number: &T) -> bool {
    *number == T::default()
}

/// A service level objective.
#[derive(KubeSchema, Serialize, Deserialize, Clone, Debug, Default, PartialEq)]
#[serde(rename_all = "camelCase")]
pub struct ObjectiveStatus {
    /// Its name.
    pub name: String,
    /// Its goal, in per cent.
    pub goal: String,
    /// Per cent left of its error budget; negative when the goal is missed. Written when it changes by one or more.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub budget_remaining_percent: Option<i32>,
    /// Why nothing is known of it.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub message: Option<String>,
}
