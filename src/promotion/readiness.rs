//! Whether the inputs are there that a promotion requires: judged as those of trainings are ([`Readiness`]).

use jiff::{SignedDuration, Timestamp};

use super::{Inputs, track};
use crate::{api::Version, training::whole_seconds};

/// Time after which a version that waits is decided again: 60 s, as its inputs are recorded every minute.
const RECHECK: SignedDuration = SignedDuration::from_secs(60);

/// A version that may be promoted and waits for inputs.
#[derive(Clone, Debug, PartialEq)]
pub struct Waiting {
    /// The version.
    pub version: String,
    /// Since when one waits. A newer version goes on with the wait of the one before, because there may always be a newer one.
    pub since: Timestamp,
    /// For what, to follow "because".
    pub why: String,
}

/// What a version that may be promoted waits for; none if it is promoted. What has begun goes on, and nothing waits while nothing
/// serves, or after the longest wait.
pub fn waits(inputs: &Inputs<'_>, version: &Version) -> Option<Waiting> {
    let id = Some(version.id.as_str());
    let has_begun =
        id == inputs.rolling_out || id == inputs.canary || id == inputs.serving || track::has_passed(version);
    if has_begun || inputs.standing().is_none() {
        return None;
    }
    let since = inputs.waiting_since.unwrap_or_else(|| whole_seconds(inputs.now));
    if inputs.readiness.max_wait.is_some_and(|most| inputs.now.duration_since(since) >= most) {
        return None;
    }
    let missing = inputs.readiness.missing(inputs.readings, version.kind, None, version.due_at.0);
    (!missing.is_empty()).then(|| Waiting { version: version.id.clone(), since, why: missing.join(", and ") })
}

/// When to decide again on a version that waits.
pub fn wake_at(inputs: &Inputs<'_>, waiting: &Waiting) -> Timestamp {
    let last = inputs.readiness.max_wait.map(|most| waiting.since + most).filter(|at| *at > inputs.now);
    last.into_iter().chain([inputs.now + RECHECK]).min().unwrap_or(inputs.now)
}
