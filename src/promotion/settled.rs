//! What is known of the versions before one is chosen: what was rolled out, judged, does harm, and is requested. Pure.

use super::{Inputs, Refusal, has_served, judged, requests, states, track, watch};
use crate::api::{Version, VersionState};

/// What one of the versions is chosen by.
pub(super) struct Settled {
    /// All versions, with the states that they had and with those of what has happened since.
    versions: Vec<Version>,
    /// The version that answers requests.
    serving: Option<String>,
    /// The version that is being rolled out.
    rolling_out: Option<String>,
    /// Id of the version that is pinned, or why the pin is not followed.
    pinned: Result<Option<String>, Refusal>,
    /// Id of the version that is rolled back to now, or why the rollback is not followed.
    back: Result<Option<String>, Refusal>,
    /// Whether a version does harm and another one comes back.
    pub(super) is_harmed: bool,
}

impl Settled {
    /// In this order: a rollout that is complete, the verdict on a canary, the pin, harm, a rollback, the gates. Each counts for those after it.
    pub(super) fn of(last: &Inputs<'_>) -> Self {
        let (serving, rolling_out) = match last.rolling_out {
            Some(id) if last.rolled_out == Some(id) => (Some(id), None),
            rolling_out => (last.serving, rolling_out),
        };
        let versions = track::recorded(last.versions, last.verdict);
        let versions = states(&versions, serving, rolling_out.or(serving));
        let inputs = &Inputs { versions: &versions, serving, rolling_out, ..*last };
        // Decided once, on what the gates say now: what does harm and a rollback yield to it.
        let pinned = requests::pinned(&Inputs { versions: &judged(inputs, versions.clone(), None), ..*inputs })
            .map(|of| of.map(|version| version.id.clone()));
        let pin = pinned.as_ref().ok().and_then(Option::as_deref);
        let harm = watch::Harm::of(inputs).filter(|_| pin.is_none());
        let versions = harm.as_ref().map_or_else(|| versions.clone(), |harm| harm.applied(&versions));
        let rolling_out = harm.as_ref().map_or(rolling_out, |harm| harm.rolling_out(inputs));
        let inputs = &Inputs { versions: &versions, rolling_out, ..*inputs };
        let rollback = requests::rollback(inputs, pin);
        let back = rollback.as_ref().ok().and_then(|of| *of);
        let versions = taken_back(inputs, back);
        // Only now: until here, what was pinned is being rolled out, so that it may do harm and is taken back by a rollback.
        let rolling_out = rolling_out.filter(|id| !requests::is_unpinned(inputs, pin, id));
        let inputs = &Inputs { rolling_out, ..*inputs };
        let versions = judged(inputs, versions, back);
        let versions = without_waiting(versions, back.filter(|back| serving == Some(back.id.as_str())));
        Self {
            versions,
            serving: serving.map(Into::into),
            rolling_out: rolling_out.map(Into::into),
            back: rollback.map(|of| of.map(|version| version.id.clone())),
            is_harmed: harm.is_some_and(|harm| harm.to.is_some()),
            pinned,
        }
    }

    /// What is decided on, with these in place of what was recorded last.
    pub(super) fn inputs<'a>(&'a self, last: &Inputs<'a>) -> Inputs<'a> {
        let (serving, rolling_out) = (self.serving.as_deref(), self.rolling_out.as_deref());
        Inputs { versions: &self.versions, serving, rolling_out, ..*last }
    }

    /// The version that is pinned, and the one that is rolled back to now.
    pub(super) fn requested<'a>(&self, inputs: &Inputs<'a>) -> (Option<&'a Version>, Option<&'a Version>) {
        let version = |of: &Result<Option<String>, Refusal>| inputs.version(of.as_ref().ok()?.as_deref()?);
        (version(&self.pinned), version(&self.back))
    }

    /// Why requests are not followed.
    pub(super) fn refusals(&self) -> Vec<Refusal> {
        [&self.pinned, &self.back].into_iter().filter_map(|of| of.as_ref().err().cloned()).collect()
    }
}

/// The versions after a rollback to one of them: the newer ones that served, were being rolled out, or would be now because their canary
/// is over, are not promoted again. They had passed the gates when they began, so that they can be pinned, whatever the gates say now.
fn taken_back(inputs: &Inputs<'_>, to: Option<&Version>) -> Vec<Version> {
    let target =
        inputs.versions.iter().position(|version| to.is_some_and(|to| to.id == version.id)).unwrap_or_default();
    let is_meant = |version: &Version| has_served(version, inputs.rolling_out) || track::is_over(inputs, version);
    let state = |(index, version): (usize, &Version)| match version.state {
        _ if index < target && is_meant(version) => VersionState::RolledBack,
        state => state,
    };
    let with_state = |of: (usize, &Version)| Version { state: state(of), ..of.1.clone() };
    inputs.versions.iter().enumerate().map(with_state).collect()
}

/// The versions after a rollback to the one that serves, `to`: no newer one that is there is promoted, whether it is a canary or waits, and
/// whatever for. Nothing else can be meant by that. One that did not pass its gates stays so: else it could be pinned.
fn without_waiting(mut versions: Vec<Version>, to: Option<&Version>) -> Vec<Version> {
    let newer = versions.iter().position(|version| to.is_some_and(|to| to.id == version.id)).unwrap_or_default();
    let waiting = versions[..newer].iter_mut().filter(|version| version.state == VersionState::Candidate);
    waiting.for_each(|version| version.state = VersionState::RolledBack);
    versions
}
