//! The conditions that summarize others: Ready, Stalled and Reconciling.

use super::{
    ConditionValue, Inputs,
    problems::{is_of_canary, of_problem, training_problem},
};
use crate::{
    api::{ServingStatus, conditions::reasons},
    apply::ChildProblem,
};

/// Ready: a trained version answers requests. A model that cannot be trained again, or whose newer version is still
/// rolling out, is ready as long as the older one answers. `workers`: a remark on workers that are not ready.
pub(super) fn ready(
    training: &ConditionValue,
    serving_ready: &ConditionValue,
    serving: &ServingStatus,
    workers: Option<String>,
) -> ConditionValue {
    let answers = serving.version.as_ref().filter(|_| serving.replicas > 0);
    match answers {
        Some(version) => {
            let answers = format!("version {version} answers requests");
            let message = [answers].into_iter().chain(workers).collect::<Vec<_>>().join("; ");
            ConditionValue::yes(reasons::SERVING, message)
        }
        // Before the first version, the state of the training is the reason.
        None if serving_ready.reason == reasons::NO_VERSION => ConditionValue::no(&training.reason, &training.message),
        None => ConditionValue::no(&serving_ready.reason, &serving_ready.message),
    }
}

/// Reasons of conditions that last until a person changes something.
const WAIT_FOR_A_PERSON: [&str; 1] = [reasons::ROLLOUT_STUCK];
/// Reasons of conditions that pass by themselves: the operator or the cluster is still working on it.
const UNDER_WAY: [&str; 6] = [
    reasons::ROLLING_OUT,
    reasons::RELOADING,
    reasons::ROLLOUT_BLOCKED,
    reasons::ARTIFACTS_MOVED,
    reasons::REPLICAS_MISSING,
    reasons::SERVERS_OVERLOADED,
];

/// The first of `pods`, ServingReady and WorkersReady, that is not `True` for one of these reasons.
fn because<'a>(pods: &[&'a ConditionValue], reasons: &[&str]) -> Option<&'a ConditionValue> {
    pods.iter().copied().find(|condition| !condition.is_yes() && reasons.contains(&condition.reason.as_str()))
}

/// Stalled and Reconciling summarize all other conditions. The first row that applies counts; `pods` are ServingReady and
/// WorkersReady.
///
/// | case | Stalled | Reconciling |
/// |---|---|---|
/// | a child that is neither optional nor a canary's is refused permanently | True | False |
/// | one of `pods` is False for a reason of [`WAIT_FOR_A_PERSON`] | True | False |
/// | there is no version in the artifact store, and no run that could make one | True | False |
/// | a child could not be applied this time | False | True |
/// | Ready is not True | False | True |
/// | one of `pods` is False for a reason of [`UNDER_WAY`] | False | True |
/// | none of these: a regular training run of a model that serves, scaling, optional kinds and dependencies do not count | False | False |
pub fn summary(
    inputs: &Inputs<'_>,
    ready: &ConditionValue,
    training: &ConditionValue,
    pods: &[&ConditionValue],
) -> (ConditionValue, ConditionValue) {
    let is_needed = |problem: &ChildProblem| !problem.kind.is_optional() && !is_of_canary(inputs, problem);
    let refused = inputs.problems.iter().find(|problem| problem.permanent && is_needed(problem));
    let ended_badly = training.status == "False" && inputs.training.status.active.is_none();
    let no_run = (!ready.is_yes() || inputs.rollout.elsewhere.is_some())
        && ended_badly
        && inputs.rollout.serve.is_none()
        && training_problem(inputs).is_none();
    let of_problem = |problem: &ChildProblem| of_problem(inputs, problem, ConditionValue::yes);
    let of_condition = |condition: &ConditionValue| ConditionValue::yes(&condition.reason, &condition.message);
    let waits = refused
        .map(of_problem)
        .or_else(|| because(pods, &WAIT_FOR_A_PERSON).map(of_condition))
        .or_else(|| no_run.then(|| of_condition(training)));
    if let Some(stalled) = waits {
        let reconciling = ConditionValue::no(&stalled.reason, "waits for a person, see Stalled");
        return (stalled, reconciling);
    }
    let failed = inputs.problems.iter().find(|problem| !problem.permanent);
    let works = failed
        .map(of_problem)
        .or_else(|| (!ready.is_yes()).then(|| of_condition(ready)))
        .or_else(|| because(pods, &UNDER_WAY).map(of_condition));
    (
        ConditionValue::no(reasons::AS_SPECIFIED, "nothing waits for a person"),
        works.unwrap_or_else(|| ConditionValue::no(reasons::AS_SPECIFIED, "everything is as specified")),
    )
}
