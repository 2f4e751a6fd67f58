//! The condition Refreshable: whether a newer version can take the place of the one that serves. It is the other axis beside Ready:
//! a model that cannot be refreshed still serves, and its data get older.

use super::{Inputs, condition::ConditionValue};
use crate::{
    api::{
        FinishedRun, ServingStatus, TrainingKind, Version, VersionState,
        conditions::{reasons, types},
    },
    training::one_line,
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
/// | the newest version is held back: refused, taken back, not approved, paused, behind a pin | False, the reason of PromotionReady |
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
        promotion(inputs, others.promotion),
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
    /// PromotionReady.
    pub promotion: &'a ConditionValue,
    /// ServingReady.
    pub serving: &'a ConditionValue,
}

/// Which version serves, and how old it and its data are: as times, because the message changes only when something happens.
fn serves(version: &Version) -> String {
    let data =
        version.data_through.as_ref().map_or_else(String::new, |through| format!(" with data until {}", through.0));
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
        let (count, kind) = (status.consecutive_failures(kind).max(1), kind.as_str().to_ascii_lowercase());
        let runs = if count == 1 { format!("the last {kind} run") } else { format!("the last {count} {kind} runs") };
        Some(format!("{runs} failed, {} at {} ({})", last.version, last.finished_at.0, last.reason))
    };
    TrainingKind::ALL.into_iter().filter_map(of).collect::<Vec<_>>().join(", and ")
}

fn waits(inputs: &Inputs<'_>) -> Option<Problem> {
    let status = &inputs.training.status;
    let since = status.waiting_since.as_ref().filter(|_| status.active.is_none())?;
    let kind = status.waiting_kind.unwrap_or(TrainingKind::Full).as_str().to_ascii_lowercase();
    let text = format!("a {kind} run is due and waits since {} ({})", since.0, types::TRAINING_READY);
    Some((reasons::TRAINING_WAITS.into(), text))
}

fn promotion(inputs: &Inputs<'_>, condition: &ConditionValue) -> Option<Problem> {
    let newest = inputs.rollout.versions.first()?;
    let reason = match (condition.reason.as_str(), newest.state) {
        (reasons::AS_SPECIFIED | reasons::CANARY | reasons::NO_VERSION, _) => return None,
        // A request that is refused holds nothing back.
        (reasons::INVALID_REQUEST, VersionState::Rejected) => reasons::VERSION_REJECTED,
        (reasons::INVALID_REQUEST, VersionState::RolledBack) => reasons::ROLLED_BACK,
        (reasons::INVALID_REQUEST, VersionState::Failed) => reasons::ROLLOUT_FAILED,
        (reasons::INVALID_REQUEST, _) => return None,
        // It serves, although it does harm.
        (reasons::ROLLOUT_FAILED, VersionState::Serving) => return None,
        (reason, _) => reason,
    };
    let in_a_row = |state| inputs.rollout.versions.iter().take_while(|version| version.state == state).count();
    let several =
        |count: usize| if count == 1 { "the newest version".into() } else { format!("the newest {count} versions") };
    let text = match reason {
        reasons::VERSION_REJECTED => format!("{} did not pass the gates", several(in_a_row(VersionState::Rejected))),
        reasons::ROLLED_BACK => format!("{}, {}, was rolled back", several(1), newest.id),
        reasons::ROLLOUT_FAILED => format!("the rollout of {}, {}, failed", several(1), newest.id),
        _ => one_line(&condition.message, QUOTE),
    };
    Some((reason.into(), format!("{text} ({})", types::PROMOTION_READY)))
}

fn rollout(condition: &ConditionValue) -> Option<Problem> {
    let is_stuck = [reasons::ROLLOUT_STUCK, reasons::ROLLOUT_BLOCKED, reasons::NAME_CONFLICT, reasons::APPLY_FAILED];
    let is_one = condition.status == "False" && is_stuck.contains(&condition.reason.as_str());
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
        Some((at, kind)) => format!("the next {} run is due at {at}", kind.as_str().to_ascii_lowercase()),
        None if !inputs.model.triggers.is_empty() => "a trigger or a request starts the next run".into(),
        None => "without a schedule only a request starts a run".into(),
    }
}

#[cfg(test)]
mod tests;
