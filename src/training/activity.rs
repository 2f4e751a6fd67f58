//! The active run: it waits, runs, cannot start, or is started again.

use jiff::{SignedDuration, Timestamp};

use super::{ObservedRun, Plan, RunState, text::one_line};
use crate::api::ActiveRun;

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
    /// The activity of a Job that has not ended.
    pub fn of(run: &ObservedRun, plan: &Plan) -> Self {
        let (why, next) = match &run.state {
            RunState::Pending { blocked: Some(why) } => {
                let is_replaced = run.template != plan.template && plan.may_start(run.trigger);
                (Some(why), if is_replaced { Next::NewSettings } else { Next::Waits })
            }
            RunState::Interrupted { had_started, why, .. } if !plan.may_start(run.trigger) => {
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
            // New settings may end what blocks it.
            blocked: why.filter(|_| next != Next::NewSettings).map(|why| one_line(why, SHOWN)),
        };
        match (why, &run.state) {
            (Some(why), _) => Self::Blocked { run: active, why: one_line(why, SHOWN), next },
            (None, RunState::Suspended { queue }) => Self::Suspended { run: active, queue: queue.clone() },
            (None, _) => Self::Run(active),
        }
    }

    /// The active run, if there is one.
    pub fn run(&self) -> Option<&ActiveRun> {
        match self {
            Self::Idle => None,
            Self::Run(run) | Self::Again(run) | Self::Suspended { run, .. } | Self::Blocked { run, .. } => Some(run),
        }
    }
}
