//! Whether the inputs are there that a promotion requires: judged as those of trainings are ([`crate::model::readiness`]).

use jiff::Timestamp;

use super::{Inputs, track};
use crate::{api::Version, time::whole_seconds};

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

/// What a version that may be promoted waits for; none if it is promoted: with its inputs, or after the longest wait.
pub fn waits(inputs: &Inputs<'_>, version: &Version) -> Option<Waiting> {
    let (since, missing) = pending(inputs, version)?;
    let is_over = inputs.readiness.is_over(since, inputs.now);
    (!is_over).then(|| Waiting { version: version.id.clone(), since, why: missing.join(", and ") })
}

/// What is missing of the inputs of a version that has not begun, and since when; also after the longest wait, when it may begin once
/// the canary before it has ended. What has begun goes on, and nothing waits while nothing serves.
pub fn pending(inputs: &Inputs<'_>, version: &Version) -> Option<(Timestamp, Vec<String>)> {
    let id = Some(version.id.as_str());
    let has_begun =
        id == inputs.rolling_out || id == inputs.canary || id == inputs.serving || track::has_passed(version);
    if has_begun || inputs.standing().is_none() {
        return None;
    }
    let missing = inputs.readiness.missing(inputs.readings, version.kind, None, version.due_at.0);
    let since = inputs.waiting_since.unwrap_or_else(|| whole_seconds(inputs.now));
    (!missing.is_empty()).then_some((since, missing))
}
