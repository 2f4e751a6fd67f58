//! The condition Refreshable: whether a newer version can take the place of the one that serves. It is the other axis beside Ready:
//! a model that cannot be refreshed still serves, and its data get older.

use k8s_openapi::apimachinery::pkg::apis::meta::v1::Time;

use super::{ConditionValue, Inputs, problems::problem};
use crate::{
    api::{
        APPROVE_ANNOTATION, CanaryVersions, FinishedRun, PAUSE_ANNOTATION, PIN_ANNOTATION, ServingStatus, TrainingKind,
        Version, VersionState,
        conditions::{reasons, types},
    },
    promotion::route::Acceptance,
    text::one_line,
    training::reported_end,
};

/// Longest quote of the message of another condition, in characters. That condition has all of it.
const QUOTE: usize = 240;

/// What keeps a newer version from serving: a reason and a text.
type Problem = (String, String);

/// Refreshable. Of several reasons the first one in this order counts, and the message has all of them:
///
/// | case | condition |
/// |---|---|
/// | no version serves yet | Unknown, NoVersion |
/// | training is suspended | False, TrainingSuspended |
/// | TrainingReady is False: the last run failed or cannot start | False, its reason |
/// | the partial training has no base that is new enough | False, BaseTooOld |
/// | a run that is due waits for its inputs or for others | False, TrainingWaits |
/// | the newest version is held back: refused, taken back, not approved, paused, without its inputs or what counts a canary, behind a pin | False, which of these |
/// | the requests of canaries cannot be divided, and the next version has to be one | False, the reason of the HTTPRoute |
/// | the newest version cannot be rolled out | False, the reason of ServingReady |
/// | none of these | True, AsSpecified |
pub fn refreshable(inputs: &Inputs<'_>, serving: &ServingStatus, others: &Others<'_>) -> ConditionValue {
    let id = serving.version.as_ref();
    let Some(version) = id.and_then(|id| inputs.rollout.versions.iter().find(|version| version.id == *id)) else {
        return ConditionValue::unknown(reasons::NO_VERSION, "no version serves yet");
    };
    let problems: Vec<Problem> = [
        suspended(inputs),
        training(inputs, others.training),
        waits(inputs),
        held(inputs),
        route(inputs),
        rollout(others.serving),
    ]
    .into_iter()
    .flatten()
    .collect();
    let serves = serves(version);
    let Some((reason, _)) = problems.first() else {
        return ConditionValue::yes(reasons::AS_SPECIFIED, format!("{serves}; {}", next(inputs)));
    };
    let texts: Vec<&str> = problems.iter().map(|(_, text)| text.as_str()).collect();
    ConditionValue::no(reason, format!("{serves}, and cannot be refreshed: {}", texts.join("; ")))
}

/// The conditions that it summarizes.
pub struct Others<'a> {
    /// TrainingReady.
    pub training: &'a ConditionValue,
    /// ServingReady.
    pub serving: &'a ConditionValue,
}

/// Which version serves, and how old it and its data are: as times, because the message changes only when something happens.
fn serves(version: &Version) -> String {
    let data = match (reported_end(version), &version.data_through) {
        (Some(end), _) => format!(" with data until {end}"),
        (None, Some(Time(reported))) => {
            format!(" (its dataThrough, {reported}, is after the end of its run and does not count)")
        }
        (None, None) => String::new(),
    };
    format!("version {} serves, trained at {}{data}", version.id, version.trained_at.0)
}

fn suspended(inputs: &Inputs<'_>) -> Option<Problem> {
    let text = "training is suspended (spec.training.suspend)";
    inputs.model.training.suspend.then(|| (reasons::TRAINING_SUSPENDED.into(), text.into()))
}

fn training(inputs: &Inputs<'_>, condition: &ConditionValue) -> Option<Problem> {
    let is_failed = [reasons::TRAINING_FAILED, reasons::DEADLINE_EXCEEDED, reasons::INVALID_REPORT];
    let text = match condition.status {
        "False" if is_failed.contains(&condition.reason.as_str()) => failures(inputs),
        "False" => one_line(&condition.message, QUOTE),
        _ if condition.reason == reasons::BASE_TOO_OLD => {
            "the base of the partial training is too old, so it waits for a full run".into()
        }
        _ => return None,
    };
    Some((condition.reason.clone(), format!("{text} ({})", types::TRAINING_READY)))
}

/// How many runs of which kinds have failed in a row.
fn failures(inputs: &Inputs<'_>) -> String {
    let status = &inputs.training.status;
    let of = |kind: TrainingKind| {
        let last: &FinishedRun = status.last(kind).filter(|run| !run.succeeded)?;
        let (count, kind) = (status.consecutive_failures(kind).max(1), kind.lower());
        let runs = if count == 1 { format!("the last {kind} run") } else { format!("the last {count} {kind} runs") };
        Some(format!("{runs} failed, {} at {} ({})", last.version, last.finished_at.0, last.reason))
    };
    TrainingKind::ALL.into_iter().filter_map(of).collect::<Vec<_>>().join(", and ")
}

fn waits(inputs: &Inputs<'_>) -> Option<Problem> {
    let status = &inputs.training.status;
    let since = status.waiting_since.as_ref().filter(|_| status.active.is_none())?;
    let kind = status.waiting_kind.unwrap_or(TrainingKind::Full).lower();
    let text = format!("a {kind} run is due and waits since {} ({})", since.0, types::TRAINING_READY);
    Some((reasons::TRAINING_WAITS.into(), text))
}

/// What holds the newest version back. It is decided from the rollout, because PromotionReady names one thing only: a refused request
/// or a problem of the HTTPRoute hides a pin, a pause or an approval that is missing there.
fn held(inputs: &Inputs<'_>) -> Option<Problem> {
    let rollout = inputs.rollout;
    let newest = rollout.versions.first()?;
    let requests = &inputs.model.promotion_requests;
    let id = newest.id.as_str();
    let is_to_serve = rollout.serve.as_ref().is_some_and(|version| version.id == id);
    let (reason, otherwise) = match newest.state {
        _ if rollout.pinned.is_some() => {
            let pin = rollout.pinned.as_deref().unwrap_or_default();
            (reasons::PINNED, format!("version {pin} is pinned by the annotation {PIN_ANNOTATION}"))
        }
        // It serves, although it may do harm, or is rolled out; behind a canary others wait for its end, whatever else they wait for.
        _ if is_to_serve || rollout.canary.is_some() => return None,
        _ if rollout.unapproved.is_some() => {
            let id = rollout.unapproved.as_deref().unwrap_or_default();
            (
                reasons::AWAITING_APPROVAL,
                format!("version {id} waits for an approval by the annotation {APPROVE_ANNOTATION}"),
            )
        }
        VersionState::Rejected => (reasons::VERSION_REJECTED, refused(&rollout.versions)),
        VersionState::RolledBack => (reasons::ROLLED_BACK, format!("the newest version, {id}, was rolled back")),
        VersionState::Failed => (reasons::ROLLOUT_FAILED, format!("the rollout of the newest version, {id}, failed")),
        _ if !newest.is_in(&inputs.model.artifacts.root_uri()) => {
            let why = if newest.has_artifact() {
                "is not in the artifact store of the spec"
            } else {
                "has an artifact that is not known"
            };
            (reasons::ARTIFACTS_MOVED, format!("version {id} {why}"))
        }
        VersionState::Candidate if requests.is_paused => (
            reasons::PAUSED,
            format!("version {id} waits because promotion is paused by the annotation {PAUSE_ANNOTATION}"),
        ),
        _ => {
            let held = rollout.held.as_ref()?;
            (held.reason(), format!("version {} waits, because {}", held.version(), held.why()))
        }
    };
    let decided = &rollout.condition;
    let is_counted = [reasons::VERSION_REJECTED, reasons::ROLLED_BACK, reasons::ROLLOUT_FAILED].contains(&reason);
    let text = if decided.reason == reason && !is_counted { &decided.message } else { &otherwise };
    Some((reason.into(), format!("{} ({})", one_line(text, QUOTE), types::PROMOTION_READY)))
}

/// How many of the newest versions did not pass.
fn refused(versions: &[Version]) -> String {
    let count = versions.iter().take_while(|version| version.state == VersionState::Rejected).count();
    let several = if count == 1 { "the newest version".into() } else { format!("the newest {count} versions") };
    format!("{several} did not pass the gates")
}

/// That no canary can get requests. It holds back the versions that have to be one: with `canary.versions: Full` those of partial
/// trainings are rolled out meanwhile, unless one is a canary, which has to end first.
fn route(inputs: &Inputs<'_>) -> Option<Problem> {
    let has_canary = inputs.rollout.canary.as_ref().is_some_and(|version| version.canary.is_none());
    let canaries = inputs.model.canary.as_ref().map(|canary| canary.versions);
    let others = canaries == Some(CanaryVersions::Full) && inputs.model.training.partial.is_some();
    if canaries.is_none() || others && !has_canary {
        return None;
    }
    let (reason, why) = match (problem(inputs, types::PROMOTION_READY), inputs.route.map(|route| &route.state)) {
        (Some(problem), _) => (problem.reason, &problem.message),
        (None, Some(Acceptance::Refused(why))) => (reasons::ROUTE_NOT_ACCEPTED, why),
        (None, Some(Acceptance::Unreported(why))) if has_canary => (reasons::ROUTE_NOT_ACCEPTED, why),
        _ => return None,
    };
    let what = if has_canary { "the canary gets no requests" } else { "no version can be a canary" };
    Some((reason.into(), format!("{what}: {} ({})", one_line(why, QUOTE), types::PROMOTION_READY)))
}

fn rollout(condition: &ConditionValue) -> Option<Problem> {
    let not_applied = [reasons::NAME_CONFLICT, reasons::FIELD_CONFLICT, reasons::APPLY_FAILED];
    let is_stuck = [reasons::ROLLOUT_STUCK, reasons::ROLLOUT_BLOCKED].into_iter().chain(not_applied);
    let is_one = condition.status == "False" && is_stuck.into_iter().any(|reason| reason == condition.reason);
    is_one.then(|| {
        let text = format!("{} ({})", one_line(&condition.message, QUOTE), types::SERVING_READY);
        (condition.reason.clone(), text)
    })
}

/// What refreshes it next.
fn next(inputs: &Inputs<'_>) -> String {
    let status = &inputs.training.status;
    if let Some(run) = &status.active {
        return format!("training run {} is under way", run.version);
    }
    let due = TrainingKind::ALL.into_iter().filter_map(|kind| Some((status.next_schedule_time(kind)?.0, kind)));
    match due.min() {
        Some((at, kind)) => format!("the next {} run is due at {at}", kind.lower()),
        None if !inputs.model.triggers.is_empty() => "a trigger or a request starts the next run".into(),
        None => "without a schedule only a request starts a run".into(),
    }
}

#[cfg(test)]
mod tests;
