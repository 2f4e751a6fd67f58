//! The status of training runs.

use std::collections::BTreeMap;

use k8s_openapi::apimachinery::pkg::apis::meta::v1::Time;
use kube::KubeSchema;
use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

use super::is_zero;

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
    /// How many of its runs failed since one had its data.
    #[serde(default, skip_serializing_if = "is_zero")]
    pub failures: i32,
    /// What they were for.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub failed_cause: Option<String>,
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
