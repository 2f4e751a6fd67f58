//! The active run: it waits, runs, cannot start, or is started again.

use jiff::{SignedDuration, Timestamp};

use super::{ObservedRun, Plan, RunState};
use crate::{
    api::{ActiveRun, TrainingKind},
    text::one_line,
};

/// Longest part of a message that states why a pod cannot start, with its remedy, in characters.
const SHOWN: usize = 700;
/// Least time from the end of an interrupted run's Job to the next one: 60 s. A run with a short deadline that cannot start is
/// not repeated more often.
const REPEAT_PAUSE: SignedDuration = SignedDuration::from_secs(60);

/// State of the active run. There is at most one.
#[derive(Clone, Debug, PartialEq)]
pub enum Activity {
    /// No run is active.
    Idle,
    /// A run is active, or is started now.
    Run(ActiveRun),
    /// A run is started again because its Job was deleted.
    Again(ActiveRun),
    /// The Job of a run is suspended.
    Suspended {
        /// The run.
        run: ActiveRun,
        /// The queue that is to admit it, if it has one.
        queue: Option<String>,
    },
    /// A run is due and waits for its inputs, or for others to end.
    Held {
        /// Its version.
        version: String,
        /// Its kind.
        kind: TrainingKind,
        /// The run that is to be started again, if it was started before.
        again: Option<ActiveRun>,
        /// Since when.
        since: Timestamp,
        /// Why, to follow "because".
        why: String,
        /// Whether it waits for its inputs, not for others to end.
        for_inputs: bool,
    },
    /// A partial run has not started, and does not start any more: its Job is deleted.
    Superseded {
        /// The run.
        run: ActiveRun,
        /// Why, to follow "because".
        why: &'static str,
    },
    /// The pod of a run cannot start, or was evicted.
    Blocked {
        /// The run.
        run: ActiveRun,
        /// Why.
        why: String,
        /// How it goes on.
        next: Next,
    },
}

/// How a blocked run goes on.
#[derive(Clone, Debug, PartialEq)]
pub enum Next {
    /// Its pod starts by itself once what blocks it is gone.
    Waits,
    /// The settings have changed since the Job was created: the Job is deleted and the run started again.
    NewSettings,
    /// The Job has ended without its trainer being the cause: it is deleted and the run started again at this time.
    Repeated {
        /// When.
        at: Timestamp,
        /// Whether its trainer had started.
        had_started: bool,
    },
    /// The Job has ended in the same way, and training is suspended: the Job is kept until it is resumed, because a run without a
    /// Job would end.
    Resumed {
        /// Whether its trainer had started.
        had_started: bool,
    },
}

impl Activity {
    /// The activity of a Job that has not ended. `is_full_due`: whether a full run is due.
    pub fn of(run: &ObservedRun, plan: &Plan, is_full_due: bool) -> Self {
        let (why, next) = match &run.state {
            RunState::Pending { blocked: Some(why) } => {
                let is_changed = plan.template(run.kind).is_some_and(|template| run.template != template);
                let is_replaced = is_changed && plan.may_start(run.kind, run.trigger);
                (Some(why), if is_replaced { Next::NewSettings } else { Next::Waits })
            }
            RunState::Interrupted { had_started, why, .. } if !plan.may_start(run.kind, run.trigger) => {
                (Some(why), Next::Resumed { had_started: *had_started })
            }
            RunState::Interrupted { at, had_started, why } => {
                (Some(why), Next::Repeated { at: *at + REPEAT_PAUSE, had_started: *had_started })
            }
            _ => (None, Next::Waits),
        };
        let active = ActiveRun {
            job: run.job.clone(),
            version: run.version.clone(),
            kind: run.kind,
            trigger: run.trigger,
            cause: run.cause.clone(),
            // New settings may end what blocks it.
            blocked: why.filter(|_| next != Next::NewSettings).map(|why| one_line(why, SHOWN)),
            progress: None,
        };
        if let Some(why) = superseded(run, plan, is_full_due) {
            return Self::Superseded { run: active, why };
        }
        match (why, &run.state) {
            (Some(why), _) => Self::Blocked { run: active, why: one_line(why, SHOWN), next },
            (None, RunState::Suspended { queue }) => Self::Suspended { run: active, queue: queue.clone() },
            (None, _) => Self::Run(active),
        }
    }

    /// The active run, if there is one.
    pub fn run(&self) -> Option<&ActiveRun> {
        match self {
            Self::Idle | Self::Held { again: None, .. } => None,
            Self::Held { again: Some(run), .. } => Some(run),
            Self::Run(run)
            | Self::Again(run)
            | Self::Suspended { run, .. }
            | Self::Superseded { run, .. }
            | Self::Blocked { run, .. } => Some(run),
        }
    }
}

/// Why a partial run that has not started does not start any more; `None` if it does. One that runs is not ended.
fn superseded(run: &ObservedRun, plan: &Plan, is_full_due: bool) -> Option<&'static str> {
    let waits =
        matches!(run.state, RunState::Pending { .. } | RunState::Suspended { .. } | RunState::Interrupted { .. });
    match (run.kind, is_full_due) {
        (TrainingKind::Full, _) => None,
        _ if !waits => None,
        (TrainingKind::Partial, true) => Some("a full run is due"),
        (TrainingKind::Partial, false) => plan.partial.is_none().then_some("spec.training.partial was removed"),
    }
}
