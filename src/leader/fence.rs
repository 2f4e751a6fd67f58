//! Whether the term is still ours, and why it ended: what the code that writes sees of the lease.

use std::time::Duration;

use tokio::{
    sync::watch,
    time::{Instant, sleep_until},
};

/// Why a term ended.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum Loss {
    /// The record names another holder.
    #[error("the lease is held by {0}")]
    TakenBy(String),
    /// No renewal succeeded in time; another replica may take over soon.
    #[error("the lease was not renewed within {deadline:?}: {why}")]
    Deadline {
        /// The renew deadline.
        deadline: Duration,
        /// What went wrong last.
        why: String,
    },
    /// We released it.
    #[error("the lease was released")]
    Released,
}

/// The term, as the renewal task reports it.
#[derive(Clone, Debug)]
pub(super) enum State {
    Held { until: Instant },
    Lost(Loss),
}

/// Reports whether the lease is still ours; cheap enough to be checked before every write.
#[derive(Clone, Debug)]
pub struct Fence {
    state: watch::Receiver<State>,
    deadline: Duration,
}

impl Fence {
    /// `deadline`: the renew deadline.
    pub(super) fn new(state: watch::Receiver<State>, deadline: Duration) -> Self {
        Self { state, deadline }
    }

    /// Of a lease that was released.
    #[cfg(test)]
    pub(crate) fn lost_already() -> Self {
        let (_, state) = watch::channel(State::Lost(Loss::Released));
        Self { state, deadline: Duration::ZERO }
    }

    /// False from the moment the term is over, also when the process was suspended and nothing else has run since.
    pub fn is_valid(&self) -> bool {
        matches!(*self.state.borrow(), State::Held { until } if Instant::now() < until)
    }

    /// Resolves when the lease is no longer ours.
    pub async fn lost(&self) -> Loss {
        let mut state = self.state.clone();
        loop {
            let until = match &*state.borrow_and_update() {
                State::Held { until } => *until,
                State::Lost(loss) => return loss.clone(),
            };
            tokio::select! {
                // If both are ready, the task's own reason takes precedence.
                biased;
                changed = state.changed() => if changed.is_err() { return Loss::Released },
                // The task reports the end itself; this is for the case that it did not run.
                () = sleep_until(until + Duration::from_millis(50)) => return Loss::Deadline {
                    deadline: self.deadline,
                    why: "the renewing task did not run".to_owned(),
                },
            }
        }
    }
}
