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

/// Training runs.
#[derive(KubeSchema, Serialize, Deserialize, Clone, Debug, Default, PartialEq)]
#[serde(rename_all = "camelCase")]
pub struct TrainingStatus {
    /// The active run.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub active: Option<ActiveRun>,
    /// The full run that ended last.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub last: Option<FinishedRun>,
    /// How many full runs in a row have failed, up to the last one.
    #[serde(default, skip_serializing_if = "is_zero")]
    pub consecutive_failures: i32,
    /// When a run last produced a valid version.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub last_success_time: Option<Time>,
    /// Last scheduled time of the full training that was handled; scheduled times up to it are not run again.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub last_schedule_time: Option<Time>,
    /// When the newest run was due whose outcome is recorded here: every run due until then is recorded as well, also when its
    /// Job and its version are gone.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub recorded_through: Option<Time>,
    /// When the next scheduled full run is due.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub next_schedule_time: Option<Time>,
    /// The value of the annotation recommender.dev/train for which a run was last started.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub last_request: Option<String>,
    /// Since when a run that is due waits for its inputs or for other runs to end.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub waiting_since: Option<Time>,
    /// The kind of that run.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub waiting_kind: Option<TrainingKind>,
    /// Messages by dependency since the last full run, in tenths of minNewEvents.
    #[serde(default, skip_serializing_if = "BTreeMap::is_empty")]
    pub new_events: BTreeMap<String, i64>,
    /// The triggers that started a run or are about to.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    #[x_kube(merge_strategy = ListMerge::Map(vec!["name".into()]))]
    pub triggers: Vec<TriggerStatus>,
    /// The partial runs.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub partial: Option<PartialTrainingStatus>,
}

/// A trigger of a training.
#[derive(KubeSchema, Serialize, Deserialize, Clone, Debug, Default, PartialEq)]
#[serde(rename_all = "camelCase")]
pub struct TriggerStatus {
    /// Its name.
    pub name: String,
    /// When it last started a run.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub last_trigger_time: Option<Time>,
    /// Since when its condition is met, while no run was started for it.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub met_since: Option<Time>,
    /// Messages since the last run, in tenths of newEvents.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub new_events: Option<i64>,
}

/// The partial training runs.
#[derive(KubeSchema, Serialize, Deserialize, Clone, Debug, Default, PartialEq)]
#[serde(rename_all = "camelCase")]
pub struct PartialTrainingStatus {
    /// The run that ended last.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub last: Option<FinishedRun>,
    /// How many in a row have failed.
    #[serde(default, skip_serializing_if = "is_zero")]
    pub consecutive_failures: i32,
    /// Messages by dependency since the last run, in tenths of minNewEvents.
    #[serde(default, skip_serializing_if = "BTreeMap::is_empty")]
    pub new_events: BTreeMap<String, i64>,
    /// Last scheduled time that was handled.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub last_schedule_time: Option<Time>,
    /// When the next scheduled run is due.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub next_schedule_time: Option<Time>,
}

impl TrainingStatus {
    /// The version of the newest run with the data of a kind: of the partial training any run, of the full one a full run. With
    /// whether it is active.
    pub fn newest(&self, kind: TrainingKind) -> Option<(&str, bool)> {
        let active = self.active.as_ref().filter(|run| run.kind.covers(kind)).map(|run| (run.version.as_str(), true));
        active.or_else(|| kind.newest(|of| self.last(of)).map(|run| (run.version.as_str(), false)))
    }

    /// The run of a kind that ended last.
    pub fn last(&self, kind: TrainingKind) -> Option<&FinishedRun> {
        match kind {
            TrainingKind::Full => self.last.as_ref(),
            TrainingKind::Partial => self.partial.as_ref()?.last.as_ref(),
        }
    }

    /// How many runs of a kind in a row have failed.
    pub fn consecutive_failures(&self, kind: TrainingKind) -> i32 {
        match kind {
            TrainingKind::Full => self.consecutive_failures,
            TrainingKind::Partial => self.partial.as_ref().map_or(0, |partial| partial.consecutive_failures),
        }
    }

    /// Messages by dependency since the newest run with the data of a kind.
    pub fn new_events(&self, kind: TrainingKind) -> &BTreeMap<String, i64> {
        static NONE: BTreeMap<String, i64> = BTreeMap::new();
        match kind {
            TrainingKind::Full => &self.new_events,
            TrainingKind::Partial => self.partial.as_ref().map_or(&NONE, |partial| &partial.new_events),
        }
    }

    /// The last scheduled time of a kind that was handled.
    pub fn last_schedule_time(&self, kind: TrainingKind) -> Option<&Time> {
        match kind {
            TrainingKind::Full => self.last_schedule_time.as_ref(),
            TrainingKind::Partial => self.partial.as_ref()?.last_schedule_time.as_ref(),
        }
    }

    /// When the next scheduled run of a kind is due.
    pub fn next_schedule_time(&self, kind: TrainingKind) -> Option<&Time> {
        match kind {
            TrainingKind::Full => self.next_schedule_time.as_ref(),
            TrainingKind::Partial => self.partial.as_ref()?.next_schedule_time.as_ref(),
        }
    }
}

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
    /// The trigger that started it and what was observed, as in "drift: drift_score was 0.31".
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub cause: Option<String>,
    /// Why its pod cannot start, as last observed.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub blocked: Option<String>,
    /// What its trainer last reported of its progress.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub progress: Option<TrainingProgress>,
}

/// Progress of a training run, reported at most every 30 s.
#[derive(KubeSchema, Serialize, Deserialize, Clone, Debug, Default, PartialEq)]
#[serde(rename_all = "camelCase")]
pub struct TrainingProgress {
    /// Per cent that are done.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub percent: Option<i32>,
    /// Steps that are done.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub step: Option<i64>,
    /// The loss, as a decimal number.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub loss: Option<String>,
    /// Seconds until it ends.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub remaining_seconds: Option<i64>,
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
    /// The trigger that started it and what was observed, as in "drift: drift_score was 0.31".
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub cause: Option<String>,
    /// Hash of the training settings it ran with. After a failure, the next run starts when they change, when the schedule
    /// is due, or on request.
    pub template: String,
    /// Whether it produced a valid version.
    pub succeeded: bool,
    /// Succeeded, or the reason of the failure in CamelCase.
    pub reason: String,
    /// In which stage it failed; none if it succeeded.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub stage: Option<Stage>,
    /// What happened and what to do.
    pub message: String,
    /// When its Job was started.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub started_at: Option<Time>,
    /// When it ended.
    pub finished_at: Time,
}

/// The stage of a training run that failed: what the trainer reports as `stage`, or what the operator observed.
#[derive(Serialize, Deserialize, JsonSchema, Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub enum Stage {
    /// Loading the training data.
    Load,
    /// Fitting the model.
    Fit,
    /// Saving the artifact.
    Save,
    /// The report: there is none, or it is not valid.
    Report,
    /// The deadline was exceeded.
    Deadline,
    /// Not known: the trainer ended without a stage.
    Unknown,
}

impl Stage {
    /// All stages.
    pub const ALL: [Self; 6] = [Self::Load, Self::Fit, Self::Save, Self::Report, Self::Deadline, Self::Unknown];
    /// Those that a trainer reports.
    pub const OF_TRAINERS: [Self; 3] = [Self::Load, Self::Fit, Self::Save];

    /// The name in a trainer's report and in metrics.
    pub const fn as_str(self) -> &'static str {
        match self {
            Self::Load => "load",
            Self::Fit => "fit",
            Self::Save => "save",
            Self::Report => "report",
            Self::Deadline => "deadline",
            Self::Unknown => "unknown",
        }
    }
}

/// Whether a number is 0, and so left out.
pub(crate) fn is_zero<T: Default + PartialEq>(number: &T) -> bool {
    *number == T::default()
}

/// Full training uses all data; partial training adds new data to a base version.
#[derive(Serialize, Deserialize, JsonSchema, Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub enum TrainingKind {
    /// Training on all data.
    Full,
    /// Training on new data, on top of a base version.
    Partial,
}

impl TrainingKind {
    /// All kinds.
    pub const ALL: [Self; 2] = [Self::Full, Self::Partial];

    /// The name in the status and in RECOMMENDER_KIND.
    pub const fn as_str(self) -> &'static str {
        match self {
            Self::Full => "Full",
            Self::Partial => "Partial",
        }
    }

    /// The name in the ids of versions, in annotations and in texts.
    pub const fn lower(self) -> &'static str {
        match self {
            Self::Full => "full",
            Self::Partial => "partial",
        }
    }

    /// Whether runs of this kind have the data of those of another kind as well.
    pub fn covers(self, kind: Self) -> bool {
        self == Self::Full || self == kind
    }

    /// The newest run with the data of this kind. `last`: the run of a kind that ended last.
    pub fn newest<'a>(self, last: impl Fn(Self) -> Option<&'a FinishedRun>) -> Option<&'a FinishedRun> {
        let runs = Self::ALL.into_iter().filter(|kind| kind.covers(self)).filter_map(last);
        runs.max_by_key(|run| run.finished_at.0)
    }

    /// The kind that a version is named after, see [`crate::training`]; versions of any other name are full.
    pub fn of_version(id: &str) -> Self {
        if id.starts_with("partial-") { Self::Partial } else { Self::Full }
    }
}

impl Version {
    /// Whether it was taken over with its servers because the status was lost: nothing is known of its training.
    pub fn is_taken_over(&self) -> bool {
        self.bytes == 0 && self.started_at.is_none() && self.metrics.is_empty()
    }

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
            Self::Signal => "Signal",
        }
    }
}

impl std::str::FromStr for Trigger {
    type Err = ();

    fn from_str(text: &str) -> Result<Self, ()> {
        let all = [Self::Initial, Self::Schedule, Self::Request, Self::Signal];
        all.into_iter().find(|trigger| trigger.as_str() == text).ok_or(())
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
    /// One of spec.training.triggers.
    Signal,
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
