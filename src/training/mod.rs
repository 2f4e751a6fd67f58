//! What to train next, what a trainer's report means, which versions exist, and which Jobs may go. Pure: no client and
//! no clock; the same inputs give the same decision.
//!
//! ```text
//! observed Jobs ─┐
//! prior status  ─┼─> history (what has ended) ─> decide (what is due) ─> outcome (what to tell)
//! the plan      ─┘
//! ```

mod decide;
mod due;
mod history;
mod ids;
mod outcome;
pub mod report;
mod schedule;
mod text;

#[cfg(test)]
mod tests;

use jiff::Timestamp;

pub use decide::decide;
pub use history::whole_seconds;
pub use schedule::{Schedule, ScheduleError};

use crate::api::{TrainingKind, TrainingStatus, Trigger, Version};

/// What is asked for, taken from the validated model.
#[derive(Clone, Debug, PartialEq)]
pub struct Plan {
    /// UID of the object.
    pub uid: String,
    /// What the names of its Jobs begin with: a Job is named `<base>-<version>`.
    pub base: String,
    /// When the object was created; no instant of the schedule before it counts.
    pub created_at: Timestamp,
    /// When to train by itself.
    pub schedule: Option<Schedule>,
    /// Hash of the training settings: a failed run is not repeated before it changes.
    pub template: String,
    /// The value of the annotation `recommender.dev/train`.
    pub request: Option<String>,
    /// URI below which versions are stored, without the version.
    pub output_base: String,
}

/// A training Job as it was seen.
#[derive(Clone, Debug, PartialEq)]
pub struct ObservedRun {
    /// Name of the Job.
    pub job: String,
    /// UID of the Job, so that only this very Job is deleted.
    pub uid: String,
    /// The version it gives.
    pub version: String,
    /// Full or partial.
    pub kind: TrainingKind,
    /// Why it was started.
    pub trigger: Trigger,
    /// When it was due.
    pub due: Timestamp,
    /// Hash of the training settings it was made from.
    pub template: String,
    /// The request it answers.
    pub request: Option<String>,
    /// How far it is.
    pub state: RunState,
}

/// How far a run is.
#[derive(Clone, Debug, PartialEq)]
pub enum RunState {
    /// Its pod does not run yet.
    Pending {
        /// Why the pod cannot start, such as the message of `ErrImagePull`.
        blocked: Option<String>,
    },
    /// Its pod runs.
    Running,
    /// Its Job is complete.
    Succeeded {
        /// When it ended.
        finished_at: Timestamp,
        /// What the trainer wrote to its termination log: the report.
        termination_message: Option<String>,
    },
    /// Its Job has failed.
    Failed {
        /// When it ended.
        finished_at: Timestamp,
        /// Reason of the Job's condition: `BackoffLimitExceeded`, `DeadlineExceeded`, ...
        reason: String,
        /// Message of the Job's condition.
        message: String,
        /// What the trainer of the last attempt wrote to its termination log.
        termination_message: Option<String>,
        /// Exit code of the last attempt.
        exit_code: Option<i32>,
        /// Why the container of the last attempt ended, such as `OOMKilled`.
        container_reason: Option<String>,
    },
}

impl RunState {
    /// When the run ended; none while it is under way.
    pub fn finished_at(&self) -> Option<Timestamp> {
        match self {
            Self::Pending { .. } | Self::Running => None,
            Self::Succeeded { finished_at, .. } | Self::Failed { finished_at, .. } => Some(*finished_at),
        }
    }
}

/// Everything a decision is made from.
#[derive(Clone, Debug)]
pub struct Inputs<'a> {
    /// What is asked for.
    pub plan: &'a Plan,
    /// The training status that was written last.
    pub prior: Option<&'a TrainingStatus>,
    /// The versions in the status that was written last.
    pub versions: &'a [Version],
    /// Ids of versions that are served or rolled out; they are never dropped.
    pub in_use: &'a [String],
    /// All Jobs of the object.
    pub runs: &'a [ObservedRun],
    /// The present.
    pub now: Timestamp,
    /// Whether `runs` is known to contain every Job that was created before: only then a missing Job is lost.
    pub settled: bool,
}

/// What is to be done, and what the status is to say.
#[derive(Clone, Debug, PartialEq)]
pub struct Decision {
    /// The run to start now. Creating its Job again is harmless: the name is the same each time.
    pub start: Option<NewRun>,
    /// Jobs to delete because the settings changed before they could start.
    pub replace: Vec<ObservedRun>,
    /// Finished Jobs to delete: older than the newest three, and their outcome is in the status that was written last.
    pub remove: Vec<ObservedRun>,
    /// The training status.
    pub status: TrainingStatus,
    /// The valid versions, newest first.
    pub versions: Vec<Version>,
    /// The condition `TrainingReady`.
    pub condition: Outcome,
    /// When to decide anew even if nothing happens: the next instant of the schedule.
    pub wake_at: Option<Timestamp>,
}

/// A run to start.
#[derive(Clone, Debug, PartialEq)]
pub struct NewRun {
    /// The version it gives.
    pub version: String,
    /// Full or partial.
    pub kind: TrainingKind,
    /// Why it is started.
    pub trigger: Trigger,
    /// When it was due, in whole seconds; orders versions. The Job must carry it, it cannot be found out later.
    pub due: Timestamp,
    /// The request it answers. The Job must carry it, so that a crash before the status is written repeats nothing.
    pub request: Option<String>,
}

/// Status of a condition.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum Truth {
    /// It holds.
    True,
    /// It does not.
    False,
    /// It cannot be told yet.
    Unknown,
}

impl Truth {
    /// The value as it stands in a condition.
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
    /// Whether the last run gave a valid version.
    pub status: Truth,
    /// One of [`crate::api::conditions::reasons`].
    pub reason: &'static str,
    /// What happened and what to do; without any age, so that it only changes when something happens.
    pub message: String,
}
