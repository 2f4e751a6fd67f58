use kube::KubeSchema;
use serde::{Deserialize, Serialize};

use super::{EnvVar, Pod, Resources};
use crate::api::rules;

/// How the model is trained. A run is a Job. It gets its version, kind and output location in the environment variables
/// RECOMMENDER_VERSION, RECOMMENDER_KIND and RECOMMENDER_OUTPUT_URI. It reports its result by its exit code and a JSON
/// report of at most 4096 bytes in /dev/termination-log.
#[derive(KubeSchema, Serialize, Deserialize, Clone, Debug, PartialEq)]
#[serde(rename_all = "camelCase")]
pub struct Training {
    /// Container image of the trainer.
    #[schemars(length(min = 1, max = 512))]
    #[x_kube(validation = Rule::new(rules::IMAGE)
        .message("write an image without blanks, for example example.org/recommender:1.4"))]
    pub image: String,
    /// The full training, on all data. It runs when the object is created, on its schedule, and when the annotation
    /// recommender.dev/train gets a new value that starts with "full".
    pub full: FullTraining,
    /// Environment variables of the trainer.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    #[schemars(length(max = 64))]
    #[x_kube(merge_strategy = ListMerge::Map(vec!["name".into()]))]
    pub env: Vec<EnvVar>,
    /// Compute resources of the trainer, for example requests: {cpu: 500m, memory: 2Gi}.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub resources: Option<Resources>,
    /// Settings of the pods of the trainer: metadata, scheduling, identity, security.
    #[serde(default, skip_serializing_if = "Pod::is_empty")]
    pub pod: Pod,
}

/// The full training: when it runs and with which command.
#[derive(KubeSchema, Serialize, Deserialize, Clone, Debug, PartialEq)]
#[x_kube(validation = Rule::new("!has(self.timeZone) || has(self.schedule)")
    .message("timeZone only means something with a schedule: set schedule or remove timeZone"))]
#[serde(rename_all = "camelCase")]
pub struct FullTraining {
    /// When to run, in the five fields of cron (minute hour day-of-month month day-of-week), for example "0 3 * * *".
    /// Runs missed while the operator was down are caught up once. Without a schedule the model is trained at creation
    /// and on request only.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[schemars(length(max = 128))]
    #[x_kube(validation = Rule::new(rules::FIVE_FIELDS)
        .message("write minute, hour, day of month, month and day of week with single blanks, for example 0 3 * * *"))]
    pub schedule: Option<String>,
    /// Time zone of the schedule as in the IANA database, for example Europe/Helsinki. Default: UTC.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[schemars(length(min = 1, max = 64))]
    #[x_kube(validation = Rule::new(rules::TIME_ZONE)
        .message("write a name of the IANA database, for example Europe/Helsinki"))]
    pub time_zone: Option<String>,
    /// Replaces the image's entrypoint.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    #[schemars(length(max = 64), inner(length(max = 4096)))]
    pub command: Vec<String>,
    /// Arguments of the entrypoint.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    #[schemars(length(max = 64), inner(length(max = 4096)))]
    pub args: Vec<String>,
    /// Deadline of a run in seconds, including its retries. After it the run is stopped and has failed.
    #[serde(default = "default_deadline")]
    #[schemars(range(min = 1, max = 604_800))]
    pub deadline_seconds: i64,
    /// Number of retries of a failed trainer within the same run.
    #[serde(default = "default_backoff_limit")]
    #[schemars(range(min = 0, max = 20))]
    pub backoff_limit: i32,
}

fn default_deadline() -> i64 {
    3600
}
fn default_backoff_limit() -> i32 {
    2
}
