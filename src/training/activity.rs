//! The active run: it waits, runs, cannot start, or is started again.

use super::{ObservedRun, Plan, RunState};
use crate::api::ActiveRun;

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
    /// The pod of a run cannot start.
    Blocked {
        /// The run.
        run: ActiveRun,
        /// Why.
        why: String,
        /// The settings have changed since the Job was created: the Job is deleted and the run started again.
        replaced: bool,
    },
}

impl Activity {
    /// The activity of a Job that has not ended.
    pub fn of(run: &ObservedRun, plan: &Plan) -> Self {
        let active =
            ActiveRun { job: run.job.clone(), version: run.version.clone(), kind: run.kind, trigger: run.trigger };
        match &run.state {
            RunState::Pending { blocked: Some(why) } => {
                let replaced = run.template != plan.template && plan.may_start(run.trigger);
                Self::Blocked { run: active, why: why.clone(), replaced }
            }
            RunState::Suspended { queue } => Self::Suspended { run: active, queue: queue.clone() },
            _ => Self::Run(active),
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
