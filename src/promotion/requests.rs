//! What people request by annotations ([`crate::model::promotion::Requests`]): which of it is followed.

use super::{Inputs, Refusal};
use crate::{
    api::{PIN_ANNOTATION, ROLLBACK_ANNOTATION, Version, VersionState},
    pruning,
};

/// The version that a rollback requests, unless that was followed before. `pinned`: the version that is pinned.
///
/// # Errors
/// Why it is not followed.
pub(super) fn rollback<'a>(inputs: &Inputs<'a>, pinned: Option<&str>) -> Result<Option<&'a Version>, Refusal> {
    let Some(value) = inputs.requests.rollback.as_ref().filter(|value| inputs.last_rollback != Some(value)) else {
        return Ok(None);
    };
    let refusal = |why: String| Err(Refusal { annotation: ROLLBACK_ANNOTATION, value: value.clone(), why });
    if let Some(pin) = pinned {
        return refusal(format!("waits as long as {PIN_ANNOTATION} keeps {pin} serving"));
    }
    let not_newer = || inputs.versions.iter().skip_while(|version| inputs.serving != Some(version.id.as_str()));
    let may_be_named = |version: &Version| may_return(version) && not_newer().any(|of| of.id == version.id);
    match inputs.version(value) {
        Some(version) if may_be_named(version) => readable(inputs, version, may_be_named).map(Some).or_else(refusal),
        Some(version) if !may_return(version) => refusal(format!(
            "names a version that cannot be rolled back to, because it is {}; {}",
            (if inputs.canary == Some(version.id.as_str()) { VersionState::Canary } else { version.state }).as_str(),
            known(inputs, may_be_named)
        )),
        Some(_) => {
            refusal(format!("names a version that is newer than the one that serves; {}", known(inputs, may_be_named)))
        }
        None => refusal(format!("{}; {}", unknown(inputs, value), known(inputs, may_be_named))),
    }
}

/// The version that is pinned.
///
/// # Errors
/// Why it does not serve.
pub(super) fn pinned<'a>(inputs: &Inputs<'a>) -> Result<Option<&'a Version>, Refusal> {
    let Some(value) = &inputs.requests.pin else { return Ok(None) };
    let refusal = |why: String| Err(Refusal { annotation: PIN_ANNOTATION, value: value.clone(), why });
    match inputs.version(value) {
        Some(version) if may_be_pinned(version) => readable(inputs, version, may_be_pinned).map(Some).or_else(refusal),
        Some(_) => refusal(format!("names a version that did not pass its gates; {}", known(inputs, may_be_pinned))),
        None => refusal(format!("{}; {}", unknown(inputs, value), known(inputs, may_be_pinned))),
    }
}

/// Whether a version was being rolled out while it was pinned, and the pin is gone before that was complete. It was spared what other versions
/// wait for, so it begins anew, also if its rollout had begun before the pin. `pinned`: the version that is pinned now.
pub(super) fn is_unpinned(inputs: &Inputs<'_>, pinned: Option<&str>, id: &str) -> bool {
    let was_pinned = inputs.pinned == Some(id) && pinned != Some(id);
    // In another store, its rollout goes on in a Deployment that is left as it is. So it does where nothing else serves, or what does cannot
    // be rolled out.
    let stays = |version: Option<&Version>| version.is_none_or(|version| !version.is_in(inputs.store));
    was_pinned && !stays(inputs.version(id)) && !stays(inputs.standing())
}

/// Whether a version has served, and may do so again.
pub(super) fn may_return(version: &Version) -> bool {
    matches!(version.state, VersionState::Serving | VersionState::Previous | VersionState::Superseded)
}

fn may_be_pinned(version: &Version) -> bool {
    version.state != VersionState::Rejected
}

fn readable<'a>(
    inputs: &Inputs<'_>,
    version: &'a Version,
    may_be_named: impl Fn(&Version) -> bool,
) -> Result<&'a Version, String> {
    let why = match version.is_in(inputs.store) {
        true => return Ok(version),
        false if !version.has_artifact() => "whose artifact is not known".into(),
        false => format!("that is not in the artifact store of the spec ({})", inputs.store),
    };
    Err(format!("names a version {why}; {}", known(inputs, may_be_named)))
}

/// Why there is no version of this name.
fn unknown(inputs: &Inputs<'_>, id: &str) -> &'static str {
    pruning::why_gone(inputs.pruning, id).unwrap_or("names no version of this object")
}

/// The versions that can be written instead.
fn known(inputs: &Inputs<'_>, may_be_named: impl Fn(&Version) -> bool) -> String {
    let ids = inputs.versions.iter().filter(|version| may_be_named(version) && version.is_in(inputs.store));
    let ids: Vec<&str> = ids.map(|version| version.id.as_str()).collect();
    if ids.is_empty() {
        "there is none yet: remove the annotation".into()
    } else {
        format!("write one of {}", ids.join(", "))
    }
}
