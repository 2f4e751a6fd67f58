//! Children that are not as desired: which condition reports them.

use super::{ConditionValue, Inputs};
use crate::{
    api::conditions::{reasons, types},
    apply::ChildProblem,
    kinds::Kind,
    names,
};

/// The first problem with a child that a condition reports.
pub(super) fn problem<'a>(inputs: &'a Inputs<'_>, condition: &str) -> Option<&'a ChildProblem> {
    inputs.problems.iter().find(|problem| problem.kind.condition() == condition)
}

/// A problem with a child that serving needs; workers have Deployments of their own, trainers a Service, and a canary both.
pub(super) fn serving_problem<'a>(inputs: &'a Inputs<'_>) -> Option<&'a ChildProblem> {
    let serving = names::serving(&inputs.model.identity.base);
    let concerns = |problem: &&ChildProblem| {
        problem.kind.condition() == types::SERVING_READY
            && (problem.kind != Kind::Deployment || problem.name == serving)
            && !is_of_trainers(inputs, problem)
            && !is_of_canary(inputs, problem)
    };
    inputs.problems.iter().find(concerns)
}

/// A problem with a child that a canary needs.
pub(super) fn canary_problem<'a>(inputs: &'a Inputs<'_>) -> Option<&'a ChildProblem> {
    let of_canary = || inputs.problems.iter().find(|problem| is_of_canary(inputs, problem));
    problem(inputs, types::PROMOTION_READY).or_else(of_canary)
}

/// A problem with a child that training needs.
pub(super) fn training_problem<'a>(inputs: &'a Inputs<'_>) -> Option<&'a ChildProblem> {
    let of_trainers = || inputs.problems.iter().find(|problem| is_of_trainers(inputs, problem));
    problem(inputs, types::TRAINING_READY).or_else(of_trainers)
}

/// Whether a problem is one of the Service of distributed trainers.
fn is_of_trainers(inputs: &Inputs<'_>, problem: &ChildProblem) -> bool {
    problem.kind == Kind::Service && problem.name == names::trainers(&inputs.model.identity.base)
}

/// Whether a problem is one of the Service or the Deployment of a canary: what serves does not need them.
pub(super) fn is_of_canary(inputs: &Inputs<'_>, problem: &ChildProblem) -> bool {
    matches!(problem.kind, Kind::Service | Kind::Deployment)
        && problem.name == names::canary(&inputs.model.identity.base)
}

/// A condition that reports a problem. All conflicts of names are reported together, because one remedy ends them.
pub(super) fn of_problem(
    inputs: &Inputs<'_>,
    problem: &ChildProblem,
    make: fn(&str, String) -> ConditionValue,
) -> ConditionValue {
    let is_other = |of: &&ChildProblem| {
        of.reason == reasons::NAME_CONFLICT && (of.kind, &of.name) != (problem.kind, &problem.name)
    };
    let others = inputs.problems.iter().filter(|_| problem.reason == reasons::NAME_CONFLICT).filter(is_other);
    let others: Vec<String> = others.map(|of| format!("{} {}", of.kind.as_str(), of.name)).collect();
    let more = if others.is_empty() { String::new() } else { format!("; likewise {}", others.join(", ")) };
    make(problem.reason, format!("{}{more}", problem.message))
}
