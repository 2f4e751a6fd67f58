//! The condition `PromotionReady`: whether the newest version serves, or why not.

use super::{Held, Inputs, Refusal, SourceUnavailable, Waiting, track, unreadable, unserved, watch::harm_of};
use crate::{
    api::{APPROVE_ANNOTATION, PAUSE_ANNOTATION, PIN_ANNOTATION, Version, VersionState, conditions::reasons},
    training::{Outcome, Truth},
};

/// The condition when `desired` is to serve, `canary` gets a part of the requests, and these requests are refused. The first row that applies
/// counts. From the fifth on, an approved version that waits takes the place of the newest one:
///
/// | case | condition |
/// |---|---|
/// | a request is refused | False, InvalidRequest |
/// | no version | Unknown, NoVersion |
/// | a version is pinned | True, Pinned |
/// | a version is the canary | True, Canary |
/// | the newest version did not pass its gates | False, VersionRejected |
/// | the newest version was rolled back | False, RolledBack |
/// | the rollout of the newest version failed | False, RolloutFailed |
/// | the newest version, or the one that it is based on, waits for an approval | False, AwaitingApproval |
/// | the newest version waits because promotion is paused | True, Paused |
/// | the newest version, or the one that it is based on, waits for its inputs | False, AwaitingInputs |
/// | the same is to be a canary, and the operator has no metric source to count its requests | False, UnknownSource |
/// | the same, and the metric source does not answer, or was not read yet | Unknown, SourceFailed |
/// | the newest version, or the one that it is based on, waits until another one is rolled out | True, RollingOut |
/// | the newest version is to serve, does harm, and there is no other one | False, RolloutFailed |
/// | the newest version is to serve | True, AsSpecified |
pub fn condition(
    inputs: &Inputs<'_>,
    desired: Option<&Version>,
    canary: Option<&Version>,
    refusals: &[Refusal],
    held: Option<&Held>,
) -> Outcome {
    if !refusals.is_empty() {
        return refused(refusals, desired);
    }
    let Some(newest) = inputs.versions.first() else {
        return outcome(Truth::Unknown, reasons::NO_VERSION, "no version was trained yet".into());
    };
    if let Some(pin) = &inputs.requests.pin {
        return pinned(pin, newest, desired);
    }
    if let Some(canary) = canary {
        return tried(canary, newest, desired);
    }
    if let Some((newest, version)) = unapproved(inputs, desired) {
        return awaits_approval(inputs, newest, version, &kept(desired, Some(&newest.id)));
    }
    let newest = approved(inputs, desired).unwrap_or(newest);
    match newest.state {
        VersionState::Rejected => rejected(newest, desired),
        _ if desired.is_some_and(|desired| desired.id == newest.id) => chosen(newest),
        _ => held_back(inputs, newest, desired, held),
    }
}

fn outcome(status: Truth, reason: &'static str, message: String) -> Outcome {
    Outcome { status, reason, message }
}

fn refused(refusals: &[Refusal], desired: Option<&Version>) -> Outcome {
    let texts = refusals.iter().map(|of| format!("annotation {}: {:?} {}", of.annotation, of.value, of.why));
    let message = format!("{}{}", texts.collect::<Vec<_>>().join("; "), kept(desired, None));
    outcome(Truth::False, reasons::INVALID_REQUEST, message)
}

fn pinned(pin: &str, newest: &Version, desired: Option<&Version>) -> Outcome {
    let (id, is_desired) = (&newest.id, desired.is_some_and(|desired| desired.id == newest.id));
    let newer = if is_desired { String::new() } else { format!("; {id} is newer and waits until it is removed") };
    let message = format!("version {pin} is pinned by the annotation {PIN_ANNOTATION}{newer}");
    outcome(Truth::True, reasons::PINNED, message)
}

/// The condition when a version is the canary.
fn tried(canary: &Version, newest: &Version, desired: Option<&Version>) -> Outcome {
    let (id, passed, kept) = (&newest.id, passed(canary), kept(desired, None));
    let newer =
        if canary.id == *id { String::new() } else { format!("; {id} is newer and waits until that has ended") };
    let what = "it is compared with the version that serves";
    outcome(Truth::True, reasons::CANARY, format!("version {} is a canary: {passed}{what}{newer}{kept}", canary.id))
}

fn rejected(newest: &Version, desired: Option<&Version>) -> Outcome {
    let (id, failed, kept) = (&newest.id, verdicts(newest, false), kept(desired, Some(&newest.id)));
    let message = format!("version {id} does not pass its gates: {failed}{kept}");
    outcome(Truth::False, reasons::VERSION_REJECTED, message)
}

/// The condition when the newest version is to serve.
fn chosen(newest: &Version) -> Outcome {
    let id = &newest.id;
    if harm_of(newest).is_some() {
        let message = format!("version {id} stays, because there is no other one to return to{}", why(newest));
        return outcome(Truth::False, reasons::ROLLOUT_FAILED, message);
    }
    let message = match verdicts(newest, true) {
        of if of.is_empty() => format!("version {id} is the newest valid version"),
        of => format!("version {id} passes its gates: {of}"),
    };
    outcome(Truth::True, reasons::AS_SPECIFIED, message)
}

/// The condition when another version is to serve, or none, and no approval is missing.
fn held_back(inputs: &Inputs<'_>, newest: &Version, desired: Option<&Version>, held: Option<&Held>) -> Outcome {
    let (id, kept) = (&newest.id, kept(desired, Some(&newest.id)));
    let is_candidate = is_candidate(inputs, newest);
    let is_other = |desired: &&str| inputs.serving.is_some_and(|serving| serving != *desired);
    let rolled_out = desired.map(|desired| desired.id.as_str()).filter(is_other);
    match newest.state {
        VersionState::RolledBack => {
            let message = format!("version {id} was rolled back, and is not promoted again{}{kept}", why(newest));
            outcome(Truth::False, reasons::ROLLED_BACK, message)
        }
        VersionState::Failed => {
            let message =
                format!("the rollout of version {id} failed, and it is not promoted again{}{kept}", why(newest));
            outcome(Truth::False, reasons::ROLLOUT_FAILED, message)
        }
        _ if is_candidate && inputs.requests.is_paused => {
            let message = format!(
                "version {id} waits because promotion is paused by the annotation {PAUSE_ANNOTATION}: {}remove it to promote{kept}",
                passed(newest)
            );
            outcome(Truth::True, reasons::PAUSED, message)
        }
        _ => match (held.filter(|_| is_candidate), rolled_out.filter(|_| is_candidate)) {
            (Some(held), _) => waits(newest, held, &kept),
            (None, Some(other)) => behind(newest, other, inputs.serving),
            (None, None) => {
                let message =
                    format!("version {}{kept}", unreadable(inputs.identity, newest, inputs.store, inputs.serving));
                outcome(Truth::False, reasons::ARTIFACTS_MOVED, message)
            }
        },
    }
}

/// The version that is approved and waits: people are told what for, also once newer versions are trained.
fn approved<'a>(inputs: &Inputs<'a>, desired: Option<&Version>) -> Option<&'a Version> {
    let waits = |version: &&Version| {
        version.state == VersionState::Candidate
            && version.is_in(inputs.store)
            && desired.is_none_or(|desired| desired.id != version.id)
    };
    let mut waiting = unserved(inputs.versions, inputs.serving).filter(waits);
    waiting.find(|version| inputs.policy.is_manual && is_approved(inputs, version))
}

fn is_approved(inputs: &Inputs<'_>, version: &Version) -> bool {
    inputs.requests.approve.as_ref() == Some(&version.id)
}

/// The version that waits, the newest or an approved one, and the one without the approval that it waits for: one that it is based on and that
/// has to be a canary first, or itself.
pub(super) fn unapproved<'a>(inputs: &Inputs<'a>, desired: Option<&Version>) -> Option<(&'a Version, &'a Version)> {
    let waiting = approved(inputs, desired).or(inputs.versions.first())?;
    let is_desired = desired.is_some_and(|desired| desired.id == waiting.id);
    let first = track::base_to_wait_for(inputs, waiting).unwrap_or(waiting);
    let is_open = inputs.policy.is_manual && !is_approved(inputs, first);
    (is_open && !is_desired && is_candidate(inputs, waiting)).then_some((waiting, first))
}

/// Whether a version may be promoted, but for what it waits for.
fn is_candidate(inputs: &Inputs<'_>, version: &Version) -> bool {
    let is_unserved = unserved(inputs.versions, inputs.serving).any(|of| of.id == version.id);
    is_unserved && version.state == VersionState::Candidate && version.is_in(inputs.store)
}

/// The condition when a version waits for an approval: the newest one, or one that it is based on.
fn awaits_approval(inputs: &Inputs<'_>, newest: &Version, version: &Version, kept: &str) -> Outcome {
    let (id, requests, identity) = (&version.id, inputs.requests, inputs.identity);
    let approved = requests.approve.as_ref().filter(|value| *value != id);
    let other = approved.map(|value| format!(" ({value:?} is approved)")).unwrap_or_default();
    let newer =
        if newest.id == *id { passed(newest) } else { format!("{} is based on it and waits with it; ", newest.id) };
    let message = format!(
        "version {id} waits for an approval{other}: {newer}kubectl -n {} annotate recommendermodel {} {APPROVE_ANNOTATION}={id} \
         --overwrite{kept}",
        identity.namespace, identity.name,
    );
    Outcome { status: Truth::False, reason: reasons::AWAITING_APPROVAL, message }
}

/// The condition when the newest version, or the one that it is based on, waits until another one is rolled out.
fn behind(newest: &Version, other: &str, serving: Option<&str>) -> Outcome {
    let (id, passed, serves) = (&newest.id, passed(newest), serving.unwrap_or_default());
    let message = format!("version {id} waits until {other} is rolled out: {passed}{serves} serves meanwhile");
    Outcome { status: Truth::True, reason: reasons::ROLLING_OUT, message }
}

/// The condition when the newest version, or the one that it is based on, waits for its inputs or for what a canary needs.
fn waits(newest: &Version, held: &Held, kept: &str) -> Outcome {
    let (id, version, why) = (newest.id.as_str(), held.version(), held.why());
    let newer = if version == id { passed(newest) } else { format!("{id} is newer and waits with it; ") };
    let waits = match held {
        Held::Inputs(Waiting { since, .. }) => format!("waits since {since}, because {why} (promotion.readiness)"),
        Held::Source(_) => format!("waits, because {why}"),
    };
    let status = match held {
        Held::Source(SourceUnavailable { is_temporary: true, .. }) => Truth::Unknown,
        _ => Truth::False,
    };
    let message =
        format!("version {version} {waits}: {newer}the annotation {PIN_ANNOTATION}={version} does not wait{kept}");
    Outcome { status, reason: held.reason(), message }
}

/// Why a version was taken back, to be appended to a message.
fn why(version: &Version) -> String {
    harm_of(version).map(|why| format!(": {why}")).unwrap_or_default()
}

/// What serves instead, to be appended to a message.
fn kept(desired: Option<&Version>, instead_of: Option<&str>) -> String {
    match desired.filter(|desired| instead_of != Some(desired.id.as_str())) {
        Some(desired) => format!("; {} serves", desired.id),
        None => String::new(),
    }
}

fn passed(version: &Version) -> String {
    match verdicts(version, true) {
        of if of.is_empty() => String::new(),
        of => format!("{of}; "),
    }
}

/// The verdicts of the gates and the canary that were passed, or of those that were not.
fn verdicts(version: &Version, passed: bool) -> String {
    let messages = version.gates.iter().chain(&version.canary).filter(|verdict| verdict.passed == passed);
    messages.map(|verdict| verdict.message.as_str()).collect::<Vec<_>>().join("; ")
}
