//! Why a reconcile is retried.

use std::time::Duration;

use crate::apply::{CallError, ChildProblem};

/// Deadline of a reconcile: 60 s.
pub const RECONCILE_DEADLINE: Duration = Duration::from_secs(60);

/// Why a reconcile is retried, by stage.
#[derive(Debug, thiserror::Error)]
pub enum Error {
    /// A child could not be brought to its desired state.
    #[error("{}", .problem.message)]
    Child {
        /// The first problem.
        problem: ChildProblem,
        /// The time after which to reconcile in any case, because something else is due.
        due: Option<Duration>,
    },
    /// The status could not be written.
    #[error("the status could not be written: {0}")]
    Status(#[from] CallError),
    /// It exceeded the deadline.
    #[error("not done within {} s", RECONCILE_DEADLINE.as_secs())]
    Deadline,
    /// A defect of the operator.
    #[error("internal error: {0}")]
    Panic(String),
}

impl Error {
    /// All classes.
    pub const CLASSES: [&str; 4] = ["child", "status", "deadline", "panic"];

    /// The class of the error in metrics.
    pub fn class(&self) -> &'static str {
        match self {
            Self::Child { .. } => "child",
            Self::Status(_) => "status",
            Self::Deadline => "deadline",
            Self::Panic(_) => "panic",
        }
    }
}
