//! All conditions, and what each has: status, reason and message.

use k8s_openapi::apimachinery::pkg::apis::meta::v1::Condition;

use super::{
    Inputs,
    dependencies::dependencies,
    monitoring::monitoring,
    problems::{of_problem, training_problem},
    promotion::promotion,
    refresh::{Others, refreshable},
    scaling::scaling,
    serving::serving,
    summary::{ready, summary},
    workers::{broken_workers, not_ready, workers},
};
use crate::{
    api::{
        Pod, ServingStatus,
        conditions::{reasons, types},
    },
    pruning,
    training::Outcome,
};

/// Status, reason and message of a condition.
#[derive(Clone, Debug, PartialEq)]
pub struct ConditionValue {
    /// `True`, `False` or `Unknown`.
    pub status: &'static str,
    /// Why, as one of [`reasons`].
    pub reason: String,
    /// Why, as readable text.
    pub message: String,
}

impl ConditionValue {
    /// With the status `True`.
    pub fn yes(reason: &str, message: impl Into<String>) -> Self {
        Self { status: "True", reason: reason.into(), message: message.into() }
    }

    /// With the status `False`.
    pub fn no(reason: &str, message: impl Into<String>) -> Self {
        Self { status: "False", reason: reason.into(), message: message.into() }
    }

    /// With the status `Unknown`.
    pub fn unknown(reason: &str, message: impl Into<String>) -> Self {
        Self { status: "Unknown", reason: reason.into(), message: message.into() }
    }

    /// Of a condition that was not computed yet.
    pub fn pending() -> Self {
        Self::unknown(reasons::PENDING, "not evaluated yet")
    }

    /// The same, with more in its message.
    pub(super) fn more(self, text: &str) -> Self {
        Self { message: format!("{}; {text}", self.message.trim_end_matches('.')), ..self }
    }

    /// Whether the status is `True`.
    pub fn is_yes(&self) -> bool {
        self.status == "True"
    }
}

impl From<&Condition> for ConditionValue {
    fn from(condition: &Condition) -> Self {
        let make = match condition.status.as_str() {
            "True" => Self::yes,
            "False" => Self::no,
            _ => Self::unknown,
        };
        make(&condition.reason, condition.message.clone())
    }
}

impl From<&Outcome> for ConditionValue {
    fn from(outcome: &Outcome) -> Self {
        Self { status: outcome.status.as_str(), reason: outcome.reason.into(), message: outcome.message.clone() }
    }
}

/// All conditions, in the order of [`types::all`].
pub fn all(inputs: &Inputs<'_>, status: &ServingStatus) -> [(&'static str, ConditionValue); 11] {
    let training = training(inputs);
    let serving = serving(inputs, status);
    let broken = broken_workers(inputs);
    let workers = workers(inputs, &broken);
    let ready = ready(&training, &serving, status, not_ready(&broken));
    let (stalled, reconciling) = summary(inputs, &ready, &training, &[&serving, &workers]);
    let promotion = promotion(inputs);
    let others = Others { training: &training, serving: &serving };
    let refreshable = refreshable(inputs, status, &others);
    [
        (types::READY, ready),
        (types::RECONCILING, reconciling),
        (types::STALLED, stalled),
        (types::REFRESHABLE, refreshable),
        (types::TRAINING_READY, training),
        (types::PROMOTION_READY, promotion),
        (types::SERVING_READY, serving),
        (types::WORKERS_READY, workers),
        (types::SCALING_ACTIVE, scaling(inputs)),
        (types::MONITORING_READY, monitoring(inputs)),
        (types::DEPENDENCIES_HEALTHY, remarked(inputs, types::DEPENDENCIES_HEALTHY, dependencies(inputs), [])),
    ]
}

/// TrainingReady: as decided, unless a Job was refused.
pub(super) fn training(inputs: &Inputs<'_>) -> ConditionValue {
    match training_problem(inputs) {
        Some(problem) => of_problem(inputs, problem, ConditionValue::no),
        None => {
            let condition = ConditionValue::from(&inputs.training.condition);
            let condition = remarked(inputs, types::TRAINING_READY, condition, [("", &inputs.model.training.pod)]);
            // Trainings go on until the store is full.
            match inputs.pruning.and_then(pruning::warning) {
                Some(warning) => condition.more(&warning),
                None => condition,
            }
        }
    }
}

/// A condition that is `True`, with the warnings about its part of the spec, and a remark where pods may run as root. `pods`:
/// their settings, by the name of the worker.
pub fn remarked<'a>(
    inputs: &Inputs<'_>,
    type_: &str,
    condition: ConditionValue,
    pods: impl IntoIterator<Item = (&'a str, &'a Pod)>,
) -> ConditionValue {
    if !condition.is_yes() {
        return condition;
    }
    let warnings = inputs.model.warnings_of(type_).into_iter().map(|problem| problem.to_string());
    let remarks: Vec<String> = as_root(pods).into_iter().chain(warnings).collect();
    if remarks.is_empty() {
        return condition;
    }
    condition.more(&remarks.join("; "))
}

/// A remark on pods that may run as root.
fn as_root<'a>(pods: impl IntoIterator<Item = (&'a str, &'a Pod)>) -> Option<String> {
    let as_root = pods
        .into_iter()
        .filter(|(_, pod)| pod.security_context.as_ref().is_some_and(|context| context.run_as_non_root == Some(false)));
    let names: Vec<&str> = as_root.map(|(name, _)| name).collect();
    let of = if names.iter().all(|name| name.is_empty()) { String::new() } else { format!(" of {}", names.join(", ")) };
    (!names.is_empty())
        .then(|| format!("with runAsNonRoot: false the pods{of} do not meet the Pod Security level restricted"))
}
