//! The condition `TrainingReady`: its status, reason and message.

use super::{
    Outcome, Plan, Truth,
    activity::{Activity, Next},
    base::Refusal,
    due,
    history::{History, describe},
};
use crate::{
    api::{FinishedRun, TRAIN_ANNOTATION, TrainingKind, Version, VersionState, conditions::reasons},
    text::one_line,
};

/// The condition for the active run and the finished ones. `refused`: why a partial run that is due is not started.
pub fn condition(plan: &Plan, activity: &Activity, history: &History, refused: Option<&Refusal>) -> Outcome {
    let outcome = match (activity, decisive(plan, history), history.versions.first()) {
        (Activity::Blocked { run, why, next }, ..) => blocked(&run.version, why, next, history),
        (Activity::Idle, None, None) => Outcome {
            status: Truth::Unknown,
            reason: reasons::PENDING,
            message: match plan.suspended {
                true => {
                    "Training is suspended and there is no version: set training.suspend to false, or request a run."
                        .into()
                }
                false => "No training run was started yet.".into(),
            },
        },
        (
            Activity::Held { .. }
            | Activity::Run(_)
            | Activity::Again(_)
            | Activity::Suspended { .. }
            | Activity::Superseded { .. },
            last,
            None,
        ) => first(plan, activity, last),
        (_, Some(last), _) if !last.succeeded => failed(plan, activity, last, history),
        (_, _, Some(version)) => Outcome {
            status: Truth::True,
            reason: reasons::TRAINED,
            message: sentences([trained(version, history), under_way(plan, activity), suspended(plan)]),
        },
        (Activity::Idle, Some(last), None) => failed(plan, activity, last, history),
    };
    with_request(plan, with_refusal(outcome, refused))
}

/// The run that decides whether training works: the newest one, or else the last full run if it failed. Partial runs do not hide
/// that.
fn decisive<'a>(plan: &Plan, history: &'a History) -> Option<&'a FinishedRun> {
    let full = history.full.last.as_ref();
    let partial = history.partial.last.as_ref().filter(|_| plan.partial.is_some());
    match (full, partial) {
        (Some(full), Some(partial)) if full.succeeded && partial.finished_at.0 >= full.finished_at.0 => Some(partial),
        (full, partial) => full.or(partial),
    }
}

/// Appends why a partial run that is due waits.
fn with_refusal(outcome: Outcome, refused: Option<&Refusal>) -> Outcome {
    let why = match refused {
        None => return outcome,
        Some(Refusal::NoVersion) => "there is no version that it could add to".to_owned(),
        Some(Refusal::UnknownRoot { version }) => {
            format!("it is not known from which full version {version} descends")
        }
        Some(Refusal::TooOld { full, trained_at, hours }) => format!(
            "the full version {full} at the root of its base was trained at {trained_at}, and \
             spec.training.partial.maxBaseAgeHours is {hours}"
        ),
    };
    let waits = format!(
        "A partial run waits for the next full one, because {why}; a value of the annotation {TRAIN_ANNOTATION} that starts \
         with full starts one."
    );
    let reason = match (outcome.status, refused) {
        (Truth::True, Some(Refusal::TooOld { .. } | Refusal::UnknownRoot { .. })) => reasons::BASE_TOO_OLD,
        // The other problem is more urgent.
        _ => outcome.reason,
    };
    Outcome { message: sentences([outcome.message, waits]), reason, ..outcome }
}

fn blocked(version: &str, why: &str, next: &Next, history: &History) -> Outcome {
    let had_started = matches!(next, Next::Repeated { had_started: true, .. } | Next::Resumed { had_started: true });
    let what = if had_started { "was interrupted" } else { "cannot start" };
    let then = match next {
        Next::NewSettings => "The training settings have changed since: it is deleted and started anew.",
        Next::Repeated { had_started: true, .. } => "It is started again, and does not count as failed.",
        Next::Resumed { .. } => {
            "Training is suspended: it is started again once training.suspend is false. Delete its Job to end it. Until one of \
             these, a requested run waits as well."
        }
        Next::Waits | Next::Repeated { .. } => {
            "It starts by itself once that is fixed; after a change of the training settings it is started anew."
        }
    };
    Outcome {
        status: Truth::False,
        reason: reasons::TRAINING_BLOCKED,
        message: sentences([
            format!("Training run {version} {what}: {}", full_stop(why)),
            then.into(),
            served(history),
        ]),
    }
}

fn first(plan: &Plan, activity: &Activity, last: Option<&FinishedRun>) -> Outcome {
    let before = last.map(|run| format!("Before: {}", full_stop(&run.message))).unwrap_or_default();
    Outcome {
        status: Truth::Unknown,
        reason: reasons::TRAINING,
        message: sentences([under_way(plan, activity), "There is no version to serve yet.".into(), before]),
    }
}

fn failed(plan: &Plan, activity: &Activity, last: &FinishedRun, history: &History) -> Outcome {
    let then = match activity {
        Activity::Idle if plan.suspended => suspended(plan),
        Activity::Idle if last.kind == TrainingKind::Partial => {
            "The next partial run covers its data as well; a full run does not need it.".into()
        }
        Activity::Idle => format!(
            "It is not repeated before the training settings change, its schedule is due, or the annotation \
             {TRAIN_ANNOTATION} gets a new value."
        ),
        _ => under_way(plan, activity),
    };
    let reason = match last.reason.as_str() {
        reasons::DEADLINE_EXCEEDED => reasons::DEADLINE_EXCEEDED,
        reasons::INVALID_REPORT => reasons::INVALID_REPORT,
        _ => reasons::TRAINING_FAILED,
    };
    Outcome { status: Truth::False, reason, message: sentences([full_stop(&last.message), then, served(history)]) }
}

/// What was recorded of the run that trained the version, with its warnings; of an earlier run only the version is left.
fn trained(version: &Version, history: &History) -> String {
    let ended = [&history.full, &history.partial].into_iter().filter_map(|ended| ended.last.as_ref());
    let run = ended.into_iter().find(|last| last.version == version.id);
    run.map_or_else(|| describe(version), |last| last.message.clone())
}

fn under_way(plan: &Plan, activity: &Activity) -> String {
    match activity {
        Activity::Idle => String::new(),
        Activity::Run(run) | Activity::Blocked { run, .. } => format!("Training run {} is under way.", run.version),
        Activity::Superseded { run, why } => {
            format!("The Job {} of a partial run that has not started is deleted, because {why}.", run.job)
        }
        Activity::Again(run) => {
            format!("Training run {} is started again, because there is no Job {}.", run.version, run.job)
        }
        Activity::Held { version, since, why, .. } => {
            format!("Training run {version} is due and waits since {since}, because {why}.")
        }
        Activity::Suspended { run, queue: Some(queue) } => format!(
            "Training run {} waits until Kueue admits its Job {} to the queue {queue} (training.job.queueName). That needs Kueue in \
             the cluster and a LocalQueue of that name: kubectl -n {} get localqueues,workloads shows both; without one of them it \
             waits forever. After a change of training.job.queueName, delete the Job: it is started again.",
            run.version, run.job, plan.namespace
        ),
        Activity::Suspended { run, queue: None } => {
            format!("Training run {} waits: its Job {} is suspended (spec.suspend).", run.version, run.job)
        }
    }
}

fn suspended(plan: &Plan) -> String {
    if plan.suspended { "Training is suspended (training.suspend).".into() } else { String::new() }
}

fn served(history: &History) -> String {
    let serving = history.versions.iter().find(|version| version.state == VersionState::Serving);
    match serving.or(history.versions.first()) {
        Some(version) => format!("Version {} is still served.", version.id),
        None => "There is no version to serve yet.".into(),
    }
}

/// Appends a message if the value of the annotation is invalid. Such a value has no other effect.
fn with_request(plan: &Plan, outcome: Outcome) -> Outcome {
    let Some(value) = plan.request.as_ref().filter(|value| plan.requested(value).is_none()) else {
        return outcome;
    };
    let value = one_line(value, 48);
    let problem = match due::requested(&value) {
        Some(_) => format!(
            "The annotation {TRAIN_ANNOTATION} has the value {value:?}, but there is no partial training: set \
             spec.training.partial, or write full."
        ),
        None => format!(
            "The annotation {TRAIN_ANNOTATION} has the value {value:?}, which asks for nothing: write full, or full and a text \
             that was not used before, as in \"full 2026-11-21\"{}.",
            if plan.partial.is_some() { "; or partial in its place" } else { "" }
        ),
    };
    let reason = match outcome.status {
        Truth::True => reasons::INVALID_REQUEST,
        // The other problem is more urgent.
        Truth::False | Truth::Unknown => outcome.reason,
    };
    Outcome { message: sentences([outcome.message, problem]), reason, ..outcome }
}

fn full_stop(text: &str) -> String {
    if text.ends_with(['.', '!', '?', '…']) { text.into() } else { format!("{text}.") }
}

fn sentences<const N: usize>(parts: [String; N]) -> String {
    parts.into_iter().filter(|part| !part.is_empty()).collect::<Vec<_>>().join(" ")
}
