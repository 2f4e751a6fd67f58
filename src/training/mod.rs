//! Decides what to train next, how a trainer's report is evaluated, which versions exist, and which Jobs are deleted.
//! Pure: no client and no clock; the same inputs give the same decision.
//!
//! ```text
//! observed Jobs ─┐
//! prior status  ─┼─> history (finished runs) ─> decide (what is due) ─> outcome (condition TrainingReady)
//! the plan      ─┘
//! ```

mod activity;
mod admission;
mod base;
mod decide;
mod due;
mod history;
mod ids;
mod outcome;
mod readiness;
pub mod report;
mod triggers;

#[cfg(test)]
mod tests;

use jiff::{SignedDuration, Timestamp};

pub use admission::{TrainingLimits, Waiting};
pub use base::{reported_end, root};
pub use decide::decide;
pub use history::{bounded, error_text};
pub use readiness::Reading;
pub use triggers::{Met, Signals};

use crate::{
    api::{Base, TrainingKind, TrainingStatus, Trigger, Version},
    model::{Model, readiness::Readiness, schedule::Schedule, triggers::TriggerPlan},
};

/// The desired training, taken from the validated model.
#[derive(Clone, Debug, PartialEq)]
pub struct Plan {
    /// UID of the object.
    pub uid: String,
    /// Namespace of the object, for advice.
    pub namespace: String,
    /// Prefix of the Job names: a Job is named `<base>-<version>`.
    pub base: String,
    /// When the object was created; scheduled times before it do not count.
    pub created_at: Timestamp,
    /// When to train on all data without a request.
    pub schedule: Option<Schedule>,
    /// Hash of the settings of the full training: a failed run is not repeated before it changes.
    pub template: String,
    /// The partial training, if there is any.
    pub partial: Option<PartialPlan>,
    /// The value of the annotation `recommender.dev/train`.
    pub request: Option<String>,
    /// What else starts a run.
    pub triggers: Vec<TriggerPlan>,
    /// What a run waits for.
    pub readiness: Readiness,
    /// URI below which versions are stored, without the version.
    pub output_base: String,
    /// URI of the artifact store; versions elsewhere cannot be rolled out.
    pub store: String,
    /// Whether only requested runs are started.
    pub suspended: bool,
    /// How long after its scheduled time a run starts: the object's share of the jitter.
    pub delay: SignedDuration,
    /// How long after that a run may still start; None: at any time.
    pub starting_deadline: Option<SignedDuration>,
    /// Whether versions have to pass gates.
    pub is_gated: bool,
    /// Number of versions that are kept; exceeded only when more are in use.
    pub versions_kept: usize,
    /// Number of Jobs of successful and of failed runs that are kept.
    pub jobs_kept: JobsKept,
}

/// The desired partial training.
#[derive(Clone, Debug, PartialEq)]
pub struct PartialPlan {
    /// When to train on new data without a request.
    pub schedule: Option<Schedule>,
    /// Hash of its settings.
    pub template: String,
    /// Maximum age of the full version at the root of its base, hours; None: any.
    pub max_base_age_hours: Option<i64>,
}

/// Number of Jobs of finished runs that are kept, so that their logs can be read.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct JobsKept {
    /// Of successful runs.
    pub successful: usize,
    /// Of failed runs.
    pub failed: usize,
}

impl Plan {
    /// The plan of an object. `template`: hash of the settings of a kind of training.
    pub fn new(model: &Model, template: impl Fn(TrainingKind) -> String) -> Self {
        let (identity, training) = (&model.identity, &model.training);
        let uid = identity.uid.clone().unwrap_or_default();
        let limit = |limit| usize::try_from(limit).unwrap_or_default();
        Self {
            namespace: identity.namespace.clone(),
            base: identity.base.clone(),
            created_at: identity.created_at,
            schedule: model.schedule.clone(),
            template: template(TrainingKind::Full),
            partial: training.partial.as_ref().map(|partial| PartialPlan {
                schedule: model.partial_schedule.clone(),
                template: template(TrainingKind::Partial),
                max_base_age_hours: partial.max_base_age_hours,
            }),
            request: model.request.clone(),
            triggers: model.triggers.clone(),
            readiness: model.readiness.clone(),
            output_base: model.artifacts.base_uri(identity),
            store: model.artifacts.root_uri(),
            suspended: training.suspend,
            delay: SignedDuration::from_secs(ids::share_of(training.jitter_seconds.unwrap_or_default(), &uid)),
            starting_deadline: training.starting_deadline_seconds.map(SignedDuration::from_secs),
            is_gated: model.promotion.has_gates(),
            versions_kept: model.promotion.kept,
            jobs_kept: JobsKept {
                successful: limit(training.successful_jobs_history_limit),
                failed: limit(training.failed_jobs_history_limit),
            },
            uid,
        }
    }

    /// Whether a run may be started now: while training is suspended, only a requested one.
    pub fn may_start(&self, kind: TrainingKind, trigger: Trigger) -> bool {
        self.template(kind).is_some() && (!self.suspended || trigger == Trigger::Request)
    }

    /// The kind of training that a value of the annotation requests; `None` if the object has no such training.
    pub fn requested(&self, value: &str) -> Option<TrainingKind> {
        due::requested(value).filter(|kind| self.template(*kind).is_some())
    }

    /// The schedule of a kind of training.
    pub fn schedule(&self, kind: TrainingKind) -> Option<&Schedule> {
        match kind {
            TrainingKind::Full => self.schedule.as_ref(),
            TrainingKind::Partial => self.partial.as_ref()?.schedule.as_ref(),
        }
    }

    /// Hash of the settings of a kind of training; `None` if the object has no such training.
    pub fn template(&self, kind: TrainingKind) -> Option<&str> {
        match kind {
            TrainingKind::Full => Some(&self.template),
            TrainingKind::Partial => self.partial.as_ref().map(|partial| partial.template.as_str()),
        }
    }
}

/// A training Job as observed.
#[derive(Clone, Debug, PartialEq)]
pub struct ObservedRun {
    /// Name of the Job.
    pub job: String,
    /// UID of the Job; a precondition of its deletion, so that a newer Job of the same name is not deleted.
    pub uid: String,
    /// The version it produces.
    pub version: String,
    /// Full or partial.
    pub kind: TrainingKind,
    /// Why it was started.
    pub trigger: Trigger,
    /// When it was due.
    pub due: Timestamp,
    /// Hash of the training settings it was created from.
    pub template: String,
    /// The value of the annotation `recommender.dev/train` that it was started for.
    pub request: Option<String>,
    /// The trigger that it was started by, and what was observed.
    pub cause: Option<String>,
    /// What it is trained on top of, of a partial run.
    pub base: Option<Base>,
    /// When its Job was started; none before.
    pub started_at: Option<Timestamp>,
    /// Its current state.
    pub state: RunState,
}

/// State of a run.
#[derive(Clone, Debug, PartialEq)]
pub enum RunState {
    /// Its pod is not running yet.
    Pending {
        /// Why the pod cannot start, such as the message of `ErrImagePull`.
        blocked: Option<String>,
    },
    /// Its Job is suspended, and has no pod.
    Suspended {
        /// The queue that is to admit it, if it has one.
        queue: Option<String>,
    },
    /// Its pod is running.
    Running,
    /// Its Job is complete.
    Succeeded {
        /// When it ended.
        finished_at: Timestamp,
        /// Termination message of the trainer's container: the report.
        termination_message: Option<String>,
        /// What its owner has to know beside the report.
        warning: Option<String>,
    },
    /// Its Job has failed, and not because of its trainer: it is started again with the same version.
    Interrupted {
        /// When the Job ended.
        at: Timestamp,
        /// Whether its trainer had started.
        had_started: bool,
        /// What kept its pod from starting, or ended it.
        why: String,
    },
    /// Its Job has failed.
    Failed {
        /// When it ended.
        finished_at: Timestamp,
        /// Reason of the Job's condition: `BackoffLimitExceeded`, `DeadlineExceeded`, ...
        reason: String,
        /// Message of the Job's condition.
        message: String,
        /// Termination message of the trainer's container in the last attempt.
        termination_message: Option<String>,
        /// Exit code of the last attempt.
        exit_code: Option<i32>,
        /// Reason of the terminated container state in the last attempt, such as `OOMKilled`.
        container_reason: Option<String>,
        /// What failed the last attempt instead of its container, with the reason: its node, the API server or an init container.
        failed_by: Option<String>,
        /// The pod of the last attempt that failed; of several trainers, the one that failed.
        pod: Option<String>,
    },
}

impl RunState {
    /// When the run ended; `None` while it is active, also if its Job has ended and is to be replaced.
    pub fn finished_at(&self) -> Option<Timestamp> {
        match self {
            Self::Pending { .. } | Self::Suspended { .. } | Self::Running | Self::Interrupted { .. } => None,
            Self::Succeeded { finished_at, .. } | Self::Failed { finished_at, .. } => Some(*finished_at),
        }
    }
}

/// All inputs of a decision.
#[derive(Clone, Debug)]
pub struct Inputs<'a> {
    /// The desired training.
    pub plan: &'a Plan,
    /// The training status that was written last.
    pub prior: Option<&'a TrainingStatus>,
    /// The versions in the status that was written last.
    pub versions: &'a [Version],
    /// Ids of versions that are served or being rolled out; they are never dropped.
    pub in_use: &'a [String],
    /// All Jobs of the object.
    pub runs: &'a [ObservedRun],
    /// What ticks observe of triggers and inputs.
    pub signals: &'a Signals,
    /// Since when the run that is due waits for others to end, and why; none if it may start.
    pub held: Option<&'a (Timestamp, String)>,
    /// The current time.
    pub now: Timestamp,
    /// Whether `runs` is known to contain every Job created so far. Only then is a Job missing from it taken for lost.
    pub runs_complete: bool,
    /// Whether the pod of a Job that was deleted has not ended yet. No other run is started before.
    pub has_trainer: bool,
}

/// The actions to take and the resulting status.
#[derive(Clone, Debug, PartialEq)]
pub struct Decision {
    /// The run to start now. Creating its Job twice is harmless: the name is the same each time.
    pub start: Option<NewRun>,
    /// Jobs to delete because the settings changed before they could start.
    pub replace: Vec<ObservedRun>,
    /// Finished Jobs to delete: not among those that are kept, and their outcome is in the status that was written last.
    pub remove: Vec<ObservedRun>,
    /// The training status.
    pub status: TrainingStatus,
    /// The valid versions, newest first.
    pub versions: Vec<Version>,
    /// The condition `TrainingReady`.
    pub condition: Outcome,
    /// When to decide again even without a watch event: the next scheduled time.
    pub wake_at: Option<Timestamp>,
}

/// A run to start.
#[derive(Clone, Debug, PartialEq)]
pub struct NewRun {
    /// The version it produces.
    pub version: String,
    /// Full or partial.
    pub kind: TrainingKind,
    /// Why it is started.
    pub trigger: Trigger,
    /// When it was due, in whole seconds; orders versions. Stored in the Job, because it cannot be determined later.
    pub due: Timestamp,
    /// The value of the annotation `recommender.dev/train` that it is started for. Stored in the Job, so that a crash
    /// before the status is written does not repeat the run.
    pub request: Option<String>,
    /// The trigger that it is started by, and what was observed. Stored in the Job as well.
    pub cause: Option<String>,
    /// What it is trained on top of; of a partial run always, of a full one never.
    pub base: Option<NewBase>,
}

/// The version that a partial run is trained on top of.
#[derive(Clone, Debug, PartialEq)]
pub struct NewBase {
    /// What is recorded of it.
    pub base: Base,
    /// URI of its artifact.
    pub uri: String,
    /// Digest of its artifact.
    pub digest: String,
}

/// Status of a condition.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum Truth {
    /// The condition is met.
    True,
    /// The condition is not met.
    False,
    /// Not known yet.
    Unknown,
}

impl Truth {
    /// The value of the field `status` of a condition.
    pub const fn as_str(self) -> &'static str {
        match self {
            Self::True => "True",
            Self::False => "False",
            Self::Unknown => "Unknown",
        }
    }
}

/// Status, reason and message of a condition.
#[derive(Clone, Debug, PartialEq)]
pub struct Outcome {
    /// Whether the last run produced a valid version.
    pub status: Truth,
    /// One of [`crate::api::conditions::reasons`].
    pub reason: &'static str,
    /// What happened and what to do. Contains no age, so that it changes only when something happens.
    pub message: String,
}
