use kube::KubeSchema;
use serde::{Deserialize, Serialize};

use super::{EnvVar, Pod, Resources};
use crate::api::{TrainingKind, rules};

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
    /// The partial training, on new data only, on top of the newest version: RECOMMENDER_BASE_* name it, and
    /// RECOMMENDER_DATA_FROM and _TO the interval of the data. It also runs when the annotation recommender.dev/train gets a
    /// new value that starts with "partial".
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub partial: Option<PartialTraining>,
    /// What else starts a run, from recorded series: it needs spec.monitoring.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    #[schemars(length(max = 8))]
    #[x_kube(merge_strategy = ListMerge::Map(vec!["name".into()]))]
    pub triggers: Vec<TrainingTrigger>,
    /// What has to be there before a run starts that is due and was not requested. It needs spec.monitoring.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub readiness: Option<TrainingReadiness>,
    /// Deletes the artifacts of versions that left the status, by a Job.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub prune: Option<Prune>,
    /// Environment variables of the trainer.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    #[schemars(length(max = 256))]
    #[x_kube(merge_strategy = ListMerge::Map(vec!["name".into()]))]
    pub env: Vec<EnvVar>,
    /// Compute resources of the trainer, for example requests: {cpu: 500m, memory: 2Gi}.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub resources: Option<Resources>,
    /// Settings of the pods of the trainer: metadata, scheduling, identity, security.
    #[serde(default, skip_serializing_if = "Pod::is_empty")]
    pub pod: Pod,
    /// Starts no run at creation, on schedule or after a change of the settings. As with a CronJob, an active run continues and
    /// one missed run is caught up later; a requested run is started. To end a run, suspend training and delete its Job.
    #[serde(default)]
    pub suspend: bool,
    /// Seconds after its scheduled time within which a run must start; later it is skipped, as with a CronJob. Set it if a
    /// late run is of no use. Default: no limit.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[schemars(range(min = 10, max = 604_800))]
    pub starting_deadline_seconds: Option<i64>,
    /// Scheduled runs start up to this many seconds later, always the same number for an object, so that many objects with
    /// the same schedule do not start together. Default: 0.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[schemars(range(min = 0, max = 86_400))]
    pub jitter_seconds: Option<i64>,
    /// Number of Jobs of successful runs that are kept, so that their logs can be read. Versions are kept in any case.
    #[serde(default = "default_successful_jobs")]
    #[schemars(range(min = 0, max = 50))]
    pub successful_jobs_history_limit: i32,
    /// Number of Jobs of failed runs that are kept, so that their logs can be read.
    #[serde(default = "default_failed_jobs")]
    #[schemars(range(min = 0, max = 50))]
    pub failed_jobs_history_limit: i32,
    /// Port and path of the trainer's metrics, for its progress. They are scraped by a PodMonitor if spec.monitoring is set.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub metrics: Option<TrainerMetrics>,
    /// Settings of the Jobs.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub job: Option<TrainingJob>,
}

impl Training {
    /// Number of trainers of a run that several work on, as the pods of an indexed Job; `None` with one trainer.
    pub fn trainers(&self) -> Option<i32> {
        self.job.as_ref()?.completions.filter(|completions| *completions > 1)
    }
}

/// Settings of the Jobs. A pod that is evicted, preempted or drained is no failed attempt. It is replaced once it has ended.
#[derive(KubeSchema, Serialize, Deserialize, Clone, Debug, Default, PartialEq)]
#[x_kube(validation = Rule::new(rules::PARALLELISM)
    .message("parallelism must not be above completions: set completions to the number of trainers of a run"))]
#[serde(rename_all = "camelCase")]
pub struct TrainingJob {
    /// Number of trainers of a full run; a partial run has one. Each gets its number in JOB_COMPLETION_INDEX, their number in
    /// RECOMMENDER_COMPLETIONS, and the host name of number 0 in RECOMMENDER_LEADER_HOST. The report of number 0 counts.
    /// Default: 1.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[schemars(range(min = 1, max = 1000))]
    pub completions: Option<i32>,
    /// Number of trainers that run at the same time. Default: all.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[schemars(range(min = 1, max = 1000))]
    pub parallelism: Option<i32>,
    /// Seconds after which a finished Job is deleted with its pods, also if the history limits would keep it. A run whose Job
    /// is deleted before the operator has recorded its outcome is repeated. Default: never.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[schemars(range(min = 300, max = 31_536_000))]
    pub ttl_seconds_after_finished: Option<i32>,
    /// LocalQueue of Kueue that admits the Jobs. They are created suspended, with the label kueue.x-k8s.io/queue-name, and
    /// wait until Kueue admits them; the deadline counts from then on.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[schemars(length(min = 1, max = 63))]
    #[x_kube(validation = Rule::new(rules::OBJECT_NAME)
        .message("write lower case letters, digits, - and ."))]
    pub queue_name: Option<String>,
}

/// Deletes artifacts. It gets the versions in RECOMMENDER_PRUNE_VERSIONS and their URIs in RECOMMENDER_PRUNE_URIS.
#[derive(KubeSchema, Serialize, Deserialize, Clone, Debug, PartialEq)]
#[serde(rename_all = "camelCase")]
pub struct Prune {
    /// Container image. Default: that of training.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[schemars(length(min = 1, max = 512))]
    #[x_kube(validation = Rule::new(rules::IMAGE)
        .message("write an image without blanks, for example example.org/recommender:1.4"))]
    pub image: Option<String>,
    /// Replaces the image's entrypoint.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    #[schemars(length(max = 64), inner(length(max = 4096)))]
    pub command: Vec<String>,
    /// Arguments. It deletes all below each URI in RECOMMENDER_PRUNE_URIS.
    #[schemars(length(min = 1, max = 64), inner(length(max = 4096)))]
    pub args: Vec<String>,
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

/// The partial training: when it runs, on which base, and how it differs from the full one.
#[derive(KubeSchema, Serialize, Deserialize, Clone, Debug, PartialEq)]
#[x_kube(validation = Rule::new("!has(self.timeZone) || has(self.schedule)")
    .message("timeZone only means something with a schedule: set schedule or remove timeZone"))]
#[serde(rename_all = "camelCase")]
pub struct PartialTraining {
    /// When to run, as in full.schedule. Runs that were missed or failed are made up for by the next one: its data begins where
    /// that of its base ends. Without a schedule it runs on request only.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[schemars(length(max = 128))]
    #[x_kube(validation = Rule::new(rules::FIVE_FIELDS)
        .message("write minute, hour, day of month, month and day of week with single blanks, for example */15 * * * *"))]
    pub schedule: Option<String>,
    /// Time zone of the schedule. Default: UTC.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[schemars(length(min = 1, max = 64))]
    #[x_kube(validation = Rule::new(rules::TIME_ZONE)
        .message("write a name of the IANA database, for example Europe/Helsinki"))]
    pub time_zone: Option<String>,
    /// Hours after which the full version at the root of the base is too old: runs then wait for the next full one.
    /// Default: no limit.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[schemars(range(min = 1, max = 8760))]
    pub max_base_age_hours: Option<i64>,
    /// Container image. Default: that of training.
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
    /// Environment variables beside those of training, or in their place.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    #[schemars(length(max = 64))]
    #[x_kube(merge_strategy = ListMerge::Map(vec!["name".into()]))]
    pub env: Vec<PlainVar>,
    /// Compute resources. Default: those of training.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub resources: Option<Resources>,
    /// Deadline of a run in seconds, including its retries.
    #[serde(default = "default_deadline")]
    #[schemars(range(min = 1, max = 604_800))]
    pub deadline_seconds: i64,
    /// Number of retries of a failed trainer within the same run.
    #[serde(default = "default_backoff_limit")]
    #[schemars(range(min = 0, max = 20))]
    pub backoff_limit: i32,
}

/// Starts a run by exactly one of signal, newEvents and recoveredAfterSeconds, at most once per cool-down and never beside another
/// run. Values that are missing or older than five minutes start none.
#[derive(KubeSchema, Serialize, Deserialize, Clone, Debug, PartialEq)]
#[x_kube(validation = Rule::new(rules::ONE_TRIGGER)
    .message("set exactly one of signal, newEvents and recoveredAfterSeconds"))]
#[serde(rename_all = "camelCase")]
pub struct TrainingTrigger {
    /// Its name.
    #[schemars(length(min = 1, max = 30))]
    #[x_kube(validation = Rule::new(rules::LABEL_NAME)
        .message("write lower case letters, digits and -, with a letter at the beginning"))]
    pub name: String,
    /// The kind of run.
    pub run: TrainingKind,
    /// The dependency that it is about.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[schemars(length(min = 1, max = 30))]
    pub dependency: Option<String>,
    /// A series without recommender:, such as drift_score of a dependency; without one, of monitoring.signals.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[schemars(length(min = 1, max = 64))]
    pub signal: Option<String>,
    /// The run starts once the signal was above this decimal number for forSeconds.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[schemars(length(max = 32))]
    pub above: Option<String>,
    /// Seconds that the signal has to be above, since the last run of the kind. Default: 300.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[schemars(range(min = 1, max = 604_800))]
    pub for_seconds: Option<i64>,
    /// The run starts once so many messages arrived at the dependency since the last run.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[schemars(range(min = 1, max = 1_000_000_000_000_i64))]
    pub new_events: Option<i64>,
    /// The run starts when the dependency works again after it was down for at least so many seconds.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[schemars(range(min = 1, max = 604_800))]
    pub recovered_after_seconds: Option<i64>,
    /// Least seconds between two runs that it starts. Default: 3600.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[schemars(range(min = 60, max = 2_592_000))]
    pub cool_down_seconds: Option<i64>,
}

/// Where a trainer exposes its progress, as docs/training.md lists it.
#[derive(KubeSchema, Serialize, Deserialize, Clone, Debug, PartialEq)]
#[serde(rename_all = "camelCase")]
pub struct TrainerMetrics {
    /// Port; the trainer gets it in RECOMMENDER_METRICS_PORT.
    #[schemars(range(min = 1, max = 65535))]
    pub port: i32,
    /// HTTP path. Default: /metrics.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[schemars(length(min = 1, max = 512))]
    #[x_kube(validation = Rule::new(rules::HTTP_PATH).message("write a path that starts with / and has no blanks"))]
    pub path: Option<String>,
}

/// A run that is due waits for its inputs; TrainingReady has for which and since when. What is not known counts as missing.
#[derive(KubeSchema, Serialize, Deserialize, Clone, Debug, PartialEq)]
#[serde(rename_all = "camelCase")]
pub struct TrainingReadiness {
    /// The inputs; a run waits for all of them.
    #[schemars(length(min = 1, max = 8))]
    #[x_kube(merge_strategy = ListMerge::Map(vec!["dependency".into()]))]
    pub inputs: Vec<TrainingInput>,
    /// Seconds after which a run starts although inputs are missing. Default: never.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[schemars(range(min = 60, max = 604_800))]
    pub max_wait_seconds: Option<i64>,
}

/// A dependency that has to work, if its exporter reports that, and that meets these bounds.
#[derive(KubeSchema, Serialize, Deserialize, Clone, Debug, PartialEq)]
#[serde(rename_all = "camelCase")]
pub struct TrainingInput {
    /// Its name.
    #[schemars(length(min = 1, max = 30))]
    pub dependency: String,
    /// The most messages that may wait.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[schemars(range(min = 0, max = 1_000_000_000_000_i64))]
    pub max_lag_messages: Option<i64>,
    /// Whether a stream must have processed the events until the run was due.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub events_until_due: Option<bool>,
    /// The least messages that must have arrived since the last run of the kind.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[schemars(range(min = 1, max = 1_000_000_000_000_i64))]
    pub min_new_events: Option<i64>,
}

/// An environment variable with a value.
#[derive(KubeSchema, Serialize, Deserialize, Clone, Debug, PartialEq)]
#[x_kube(validation = Rule::new("!self.name.startsWith('RECOMMENDER_')")
    .message("names that start with RECOMMENDER_ are set by the operator: choose another name"))]
#[serde(rename_all = "camelCase")]
pub struct PlainVar {
    /// Name of the variable.
    #[schemars(length(min = 1, max = 128))]
    #[x_kube(validation = Rule::new(rules::VARIABLE)
        .message("write letters, digits, _, - and ., with no digit at the beginning"))]
    pub name: String,
    /// Its value. Default: empty.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[schemars(length(max = 4096))]
    pub value: Option<String>,
}

fn default_deadline() -> i64 {
    3600
}
fn default_backoff_limit() -> i32 {
    2
}
fn default_successful_jobs() -> i32 {
    3
}
fn default_failed_jobs() -> i32 {
    1
}
