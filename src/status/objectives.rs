//! What is left of the error budgets.

use super::Inputs;
use crate::{
    api::{Objective, ObjectiveStatus},
    budgets::Budget,
};

/// The objectives of the spec, in its order. One that was not observed since it was added or since the operator started is as it was.
pub(super) fn objectives(inputs: &Inputs<'_>) -> Vec<ObjectiveStatus> {
    let status = |objective: &Objective| {
        let (name, goal) = (objective.name.clone(), objective.goal.clone());
        let before = inputs.prior.objectives.iter().find(|before| before.name == name && before.goal == goal);
        let (budget_remaining_percent, message) = match (inputs.budgets.get(&name), before) {
            (Some(Budget::Left(percent)), _) => (Some(*percent), None),
            (Some(Budget::Unknown { why }), _) => (None, Some(format!("nothing is known of it, because {why}"))),
            (None, Some(before)) => return before.clone(),
            (None, None) => (None, Some("nothing is known of it yet".into())),
        };
        ObjectiveStatus { name, goal, budget_remaining_percent, message }
    };
    inputs.model.monitoring.iter().flat_map(|monitoring| &monitoring.objectives).map(status).collect()
}

/// What is left of the budget that has least left; `None` while none is known.
pub(super) fn least(objectives: &[ObjectiveStatus]) -> Option<i32> {
    objectives.iter().filter_map(|objective| objective.budget_remaining_percent).min()
}
