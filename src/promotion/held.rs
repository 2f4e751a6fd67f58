//! What a version waits for that may be promoted otherwise. Pure.

use super::{Inputs, SourceUnavailable, Waiting, readiness, source};
use crate::api::{Version, conditions::reasons};

/// What a version that may be promoted waits for.
#[derive(Clone, Debug, PartialEq)]
pub enum Held {
    /// Its inputs.
    Inputs(Waiting),
    /// What counts the requests of a canary.
    Source(SourceUnavailable),
}

impl Held {
    /// The first thing that a version waits for; none if it begins, or another one has to end before.
    pub(super) fn of(inputs: &Inputs<'_>, version: &Version) -> Option<Self> {
        let of_inputs = readiness::waits(inputs, version).map(Self::Inputs);
        of_inputs.or_else(|| source::unavailable(inputs, version).map(Self::Source))
    }

    /// The version.
    pub fn version(&self) -> &str {
        match self {
            Self::Inputs(Waiting { version, .. }) | Self::Source(SourceUnavailable { version, .. }) => version,
        }
    }

    /// Why it waits, to follow "because".
    pub fn why(&self) -> &str {
        match self {
            Self::Inputs(Waiting { why, .. }) | Self::Source(SourceUnavailable { why, .. }) => why,
        }
    }

    /// The reason of conditions.
    pub fn reason(&self) -> &'static str {
        match self {
            Self::Inputs(_) => reasons::AWAITING_INPUTS,
            Self::Source(SourceUnavailable { is_temporary: true, .. }) => reasons::SOURCE_FAILED,
            Self::Source(_) => reasons::UNKNOWN_SOURCE,
        }
    }
}
