//! Which version is the canary. How it is judged is [`super::canary`].

use super::Inputs;
use crate::api::{CanaryVersions, TrainingKind, Verdict, Version, VersionState};

/// The versions with the verdict on the canary of one of them. One that did not pass is not promoted again.
pub(super) fn recorded(versions: &[Version], verdict: Option<(&str, &Verdict)>) -> Vec<Version> {
    let record = |version: &Version| {
        let mut version = version.clone();
        if version.state == VersionState::Canary {
            version.state = VersionState::Candidate;
        }
        if let Some((_, verdict)) = verdict.filter(|(id, _)| *id == version.id && version.canary.is_none()) {
            version.canary = Some(verdict.clone());
            if !verdict.passed && version.state == VersionState::Candidate {
                version.state = VersionState::RolledBack;
            }
        }
        version
    };
    versions.iter().map(record).collect()
}

/// Whether the verdict on a canary is not in the status yet.
pub(super) fn is_news(inputs: &Inputs<'_>) -> bool {
    let version = inputs.verdict.and_then(|(id, _)| inputs.version(id));
    version.is_some_and(|version| version.canary.is_none())
}

/// The version that one is based on and that has to be a canary first: what is in that one is in it as well. Of several the oldest: the others
/// wait for it themselves.
pub(super) fn base_to_wait_for<'a>(inputs: &Inputs<'a>, version: &Version) -> Option<&'a Version> {
    let base = |version: &Version| inputs.version(&version.base.as_ref()?.version);
    let bases = std::iter::successors(base(version), |version| base(version));
    let root = version.base.as_ref().and_then(|base| inputs.version(&base.full));
    // A lineage is as long as the list of versions at most. Those between a version and its root may be dropped already.
    bases.take(inputs.versions.len()).chain(root).filter(|version| needs_canary(inputs, version)).last()
}

/// Whether a version that may be promoted is a canary first: the spec asks for it, another version serves that it is compared with, and
/// there is no verdict yet. A rollout that has begun goes on.
pub(super) fn needs_canary(inputs: &Inputs<'_>, version: &Version) -> bool {
    let is_pinned = inputs.requests.pin.as_deref() == Some(version.id.as_str());
    let is_begun = inputs.rolling_out == Some(version.id.as_str());
    let is_new = version.state == VersionState::Candidate && version.canary.is_none();
    let other = inputs.standing().filter(|serving| serving.id != version.id && serving.is_in(inputs.store));
    let is_asked_for = match inputs.canary_versions {
        Some(CanaryVersions::All) => true,
        Some(CanaryVersions::Full) => version.kind == TrainingKind::Full,
        None => false,
    };
    // Without servers that answer there is nothing to compare with, and nothing that could be harmed. Those of a version that is rolled out
    // say nothing of the one that stands, also when it is taken back, or its pin is gone.
    let is_crashing = |other: &Version| {
        inputs.servers.crashes.is_some() && inputs.servers.version.as_deref() == Some(other.id.as_str())
    };
    let is_compared = other.is_some_and(|other| !inputs.servers.is_stopped && !is_crashing(other));
    is_asked_for && is_new && !is_pinned && !is_begun && is_compared
}

/// Whether a version that has not been rolled out was a canary and need not be one any more: it has passed, or nothing is left to compare it
/// with.
pub(super) fn is_over(inputs: &Inputs<'_>, version: &Version) -> bool {
    let has_begun = has_passed(version) || inputs.canary == Some(version.id.as_str());
    has_begun && version.state == VersionState::Candidate && !needs_canary(inputs, version)
}

/// Whether a version has passed its canary.
pub(super) fn has_passed(version: &Version) -> bool {
    version.canary.as_ref().is_some_and(|verdict| verdict.passed)
}

/// The versions with the state of the one that is the canary.
pub(super) fn marked(mut versions: Vec<Version>, canary: Option<&Version>) -> Vec<Version> {
    let marked = versions.iter_mut().filter(|version| canary.is_some_and(|canary| canary.id == version.id));
    marked.for_each(|version| version.state = VersionState::Canary);
    versions
}
