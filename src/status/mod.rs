//! The status of an object, computed from what was decided, done and observed. Pure: [`crate::controller`] writes it.

mod condition;
mod dependencies;
mod events;
mod monitoring;
mod objectives;
mod problems;
mod promotion;
mod refresh;
mod scaling;
mod serving;
mod summary;
mod workers;

use std::collections::{BTreeMap, BTreeSet};

use k8s_openapi::apimachinery::pkg::apis::meta::v1::{Condition, Time};

pub use condition::ConditionValue;
pub use events::{Event, events};
use jiff::Timestamp;
pub use scaling::FIRST_METRICS;

use crate::{
    api::{
        CanaryStatus, PruningStatus, RecommenderModelStatus, ReloadStatus, ScalingStatus, ServingStatus, Worker,
        WorkerStatus,
        conditions::{reasons, types},
    },
    apply::ChildProblem,
    budgets, health,
    kinds::Kind,
    limits,
    model::{Model, Workload},
    names,
    observe::{Children, DeploymentState, ExternalAutoscaler},
    promotion::{
        Rollout,
        route::Routed,
        trial::{self, Progress},
    },
    time::whole_seconds,
    training::{Decision, reported_end},
};

/// Longest message of a condition, in characters.
const MESSAGE_MAX: usize = 1024;

/// What the status is computed from.
pub struct Inputs<'a> {
    /// The validated object.
    pub model: &'a Model,
    /// The status as it was last written.
    pub prior: &'a RecommenderModelStatus,
    /// What was decided on training.
    pub training: &'a Decision,
    /// What was decided on the served version.
    pub rollout: &'a Rollout,
    /// What was decided on pruning; none where nothing is pruned.
    pub pruning: Option<&'a PruningStatus>,
    /// The change to another version without a restart, while it goes on.
    pub reload: Option<&'a ReloadStatus>,
    /// The children as observed.
    pub children: &'a Children,
    /// Children that are not as desired.
    pub problems: &'a [ChildProblem],
    /// What was decided on replicas.
    pub scaling: &'a Scaling,
    /// What was observed of its dependencies.
    pub health: &'a health::Observed,
    /// What was observed of its error budgets.
    pub budgets: &'a budgets::Observed,
    /// How far the last tick found its canary.
    pub canary: Option<&'a Progress>,
    /// The HTTPRoute that divides its requests, if one does.
    pub route: Option<&'a Routed>,
    /// What its metric source has loaded of it; none when there is nothing to ask.
    pub feedback: Option<&'a ConditionValue>,
    /// The time of this reconcile.
    pub now: Timestamp,
}

impl Inputs<'_> {
    /// UID of the object; empty if it has none.
    fn uid(&self) -> &str {
        self.model.identity.uid.as_deref().unwrap_or_default()
    }

    /// What is known of its canary.
    fn known(&self) -> trial::Known<'_> {
        let Inputs { model, children, route, prior, canary: progress, .. } = *self;
        trial::Known { model, children, progress, route, prior }
    }

    /// The Deployment of the servers as observed.
    fn servers(&self) -> Option<&DeploymentState> {
        self.children.deployment(&names::serving(&self.model.identity.base), self.uid())
    }
}

/// What was decided on replicas, and the external autoscalers.
#[derive(Clone, Debug, Default, PartialEq)]
pub struct Scaling {
    /// By workload, for those that scale on latency or lag.
    pub decided: BTreeMap<String, ScalingStatus>,
    /// External autoscalers, by the Deployment they scale.
    pub external: BTreeMap<String, ExternalAutoscaler>,
}

impl Scaling {
    /// Deployments whose autoscaler may add replicas on CPU use, because the signals of the decision are missing.
    pub fn open(&self, model: &Model) -> BTreeSet<String> {
        let workloads = model.workloads().into_iter();
        let is_open = |workload: &Workload| self.decided.get(&workload.name).is_some_and(limits::is_open);
        workloads.filter(is_open).map(|workload| workload.deployment).collect()
    }
}

/// The status of an object whose spec is valid.
pub fn compute(inputs: &Inputs<'_>) -> RecommenderModelStatus {
    let serving = serving_status(inputs);
    let values = condition::all(inputs, &serving);
    let objectives = objectives::objectives(inputs);
    RecommenderModelStatus {
        observed_generation: Some(inputs.model.identity.generation),
        conditions: to_conditions(inputs.prior, inputs.model.identity.generation, inputs.now, values),
        training: Some(inputs.training.status.clone()),
        pruning: inputs.pruning.cloned(),
        serving: Some(serving),
        workers: workers(inputs),
        versions: inputs.rollout.versions.clone(),
        last_rollback: inputs.rollout.last_rollback.clone(),
        error_budget_remaining_percent: objectives::least(&objectives),
        objectives,
    }
}

/// The status as it was, with the versions and what is to serve: what is recorded before it is carried out.
pub fn recorded(
    prior: &RecommenderModelStatus,
    rollout: &Rollout,
    reload: Option<&ReloadStatus>,
    now: Timestamp,
) -> RecommenderModelStatus {
    let serving = of_rollout(prior.serving.clone().unwrap_or_default(), rollout, reload, now);
    RecommenderModelStatus { versions: rollout.versions.clone(), serving: Some(serving), ..prior.clone() }
}

/// What a decision changes in the status of the servers.
fn of_rollout(prior: ServingStatus, rollout: &Rollout, reload: Option<&ReloadStatus>, now: Timestamp) -> ServingStatus {
    let since = prior.rolling_out_since.filter(|_| rollout.rolling_out == prior.rolling_out);
    let begun = rollout.rolling_out.is_some();
    let version = rollout.versions.iter().find(|version| rollout.serving.as_ref() == Some(&version.id));
    ServingStatus {
        trained_at: version.map(|version| version.trained_at.clone()),
        data_through: version.and_then(reported_end).map(Time),
        version: rollout.serving.clone(),
        rolling_out: rollout.rolling_out.clone(),
        rolling_out_since: begun.then(|| since.unwrap_or_else(|| Time(whole_seconds(now)))),
        pinned: rollout.recorded_pin.clone(),
        watched_until: rollout.watched_until.map(Time),
        waiting_since: rollout.waiting_since.map(Time),
        breached: rollout.breached.clone(),
        settings: rollout.settings.clone(),
        reload: reload.cloned(),
        ..prior
    }
}

/// The status of an object that is invalid or unreadable: the summary reports what is wrong, and everything known stays. A canary without a
/// verdict does not: its pods are deleted, and it begins anew.
pub fn stalled(
    prior: &RecommenderModelStatus,
    generation: i64,
    reason: &str,
    message: &str,
    now: Timestamp,
) -> RecommenderModelStatus {
    let wrong = || ConditionValue::no(reason, message);
    let mut values = vec![
        (types::READY, wrong()),
        (types::RECONCILING, ConditionValue::no(reason, "waits for the object to be changed")),
        (types::STALLED, ConditionValue::yes(reason, message)),
        (types::REFRESHABLE, not_refreshable(prior, reason, message)),
    ];
    for type_ in types::SUMMARIZED {
        values.push((type_, known(prior, type_)));
    }
    RecommenderModelStatus {
        observed_generation: Some(generation),
        conditions: to_conditions(prior, generation, now, values),
        serving: prior.serving.clone().map(|serving| ServingStatus {
            canary: serving.canary.filter(|canary| is_judged(prior, &canary.version)),
            ..serving
        }),
        ..prior.clone()
    }
}

/// Whether there is a verdict on the canary of a version.
fn is_judged(status: &RecommenderModelStatus, version: &str) -> bool {
    status.versions.iter().any(|of| of.id == version && of.canary.is_some())
}

/// The status after a reconcile that was interrupted; it is retried.
pub fn interrupted(
    prior: &RecommenderModelStatus,
    generation: i64,
    message: &str,
    now: Timestamp,
) -> RecommenderModelStatus {
    let values: Vec<_> = types::all()
        .map(|type_| {
            let value = match type_ {
                types::RECONCILING => ConditionValue::yes(reasons::RECONCILE_FAILED, message),
                types::STALLED => ConditionValue::no(reasons::RECONCILE_FAILED, "it is tried again"),
                _ => known(prior, type_),
            };
            (type_, value)
        })
        .collect();
    RecommenderModelStatus { conditions: to_conditions(prior, generation, now, values), ..prior.clone() }
}

/// Nothing is trained for an object that is not reconciled, and what serves is left as it is.
fn not_refreshable(prior: &RecommenderModelStatus, reason: &str, message: &str) -> ConditionValue {
    let serving = prior.serving.as_ref().and_then(|serving| serving.version.as_ref());
    match serving {
        Some(version) => {
            ConditionValue::no(reason, format!("version {version} serves, and cannot be refreshed: {message}"))
        }
        None => known(prior, types::REFRESHABLE),
    }
}

/// The last known value of a condition.
fn known(prior: &RecommenderModelStatus, type_: &str) -> ConditionValue {
    let condition = prior.conditions.iter().find(|condition| condition.type_ == type_);
    condition.map_or_else(ConditionValue::pending, ConditionValue::from)
}

/// Whether `next` differs from `prior` only in the messages of the same failures. The API server's message may differ with
/// every try, for example if it contains a port or the number of a request.
pub fn is_rewording(prior: &RecommenderModelStatus, next: &RecommenderModelStatus) -> bool {
    let unworded = |status: &RecommenderModelStatus| {
        let mut status = status.clone();
        let failed = [reasons::APPLY_FAILED, reasons::RECONCILE_FAILED];
        let reported = status.conditions.iter_mut().filter(|condition| failed.contains(&condition.reason.as_str()));
        reported.for_each(|condition| condition.message.clear());
        status
    };
    prior != next && unworded(prior) == unworded(next)
}

fn serving_status(inputs: &Inputs<'_>) -> ServingStatus {
    let deployment = inputs.servers();
    let prior = inputs.prior.serving.clone().unwrap_or_default();
    let serving = names::serving(&inputs.model.identity.base);
    let (replicas, desired_replicas) = match deployment {
        Some(state) => (state.ready, state.desired),
        // It exists, but the watch has not delivered its state yet: until then the last known numbers stay.
        None if inputs.children.own(Kind::Deployment, &serving, inputs.uid()).is_some() => {
            (prior.replicas, prior.desired_replicas)
        }
        None => (0, inputs.model.serving_workload().replicas),
    };
    ServingStatus {
        service: Some(inputs.model.identity.base.clone()),
        replicas,
        desired_replicas,
        scaling: inputs.scaling.decided.get(crate::monitoring::Workload::Serving.label()).cloned(),
        canary: canary(inputs, prior.canary.as_ref()),
        ..of_rollout(prior, inputs.rollout, inputs.reload, inputs.now)
    }
}

/// The canary. Before its first tick, and while its version is rolled out, it is as the status had it.
fn canary(inputs: &Inputs<'_>, prior: Option<&CanaryStatus>) -> Option<CanaryStatus> {
    let version = inputs.rollout.canary.as_ref()?;
    let prior = prior.filter(|of| of.version == version.id);
    let progress = inputs.canary.filter(|progress| progress.memory.version == version.id);
    let known = inputs.known();
    let memory = known.memory(&version.id, inputs.now);
    let name = names::canary(&inputs.model.identity.base);
    let state = inputs.children.deployment(&name, inputs.uid());
    let message = match (&version.canary, progress) {
        (Some(verdict), _) => format!("{}; it is rolled out", verdict.message),
        (None, Some(progress)) => progress.why.clone(),
        (None, None) => prior.map_or_else(|| "its pods are created".into(), |prior| prior.message.clone()),
    };
    Some(CanaryStatus {
        version: version.id.clone(),
        step: memory.step.saturating_add(1),
        weight_percent: memory.weight_percent,
        replicas: state.map_or(0, |state| state.ready),
        desired_replicas: trial::replicas_of(&known, version, inputs.now),
        message,
        notes: serde_json::to_string(&memory).ok(),
    })
}

fn workers(inputs: &Inputs<'_>) -> Vec<WorkerStatus> {
    let of = |worker: &Worker| {
        let workload = Workload::worker(worker, &inputs.model.identity.base);
        let prior = inputs.prior.workers.iter().find(|prior| prior.name == worker.name);
        let (replicas, desired_replicas) = match inputs.children.deployment(&workload.deployment, inputs.uid()) {
            Some(state) => (state.ready, state.desired),
            None => prior.map_or((0, workload.replicas), |prior| (prior.replicas, prior.desired_replicas)),
        };
        let scaling = inputs.scaling.decided.get(&worker.name).cloned();
        WorkerStatus { name: worker.name.clone(), replicas, desired_replicas, scaling }
    };
    inputs.model.workers.iter().map(of).collect()
}

/// The conditions to write. The time of the last transition changes only with the status.
fn to_conditions(
    prior: &RecommenderModelStatus,
    generation: i64,
    now: Timestamp,
    values: impl IntoIterator<Item = (&'static str, ConditionValue)>,
) -> Vec<Condition> {
    let now = Time(whole_seconds(now));
    values
        .into_iter()
        .map(|(type_, value)| {
            let before = prior.conditions.iter().find(|condition| condition.type_ == type_);
            let unchanged = before.filter(|before| before.status == value.status);
            Condition {
                type_: type_.into(),
                status: value.status.into(),
                reason: value.reason,
                message: value.message.chars().take(MESSAGE_MAX).collect(),
                observed_generation: Some(generation),
                last_transition_time: unchanged
                    .map_or_else(|| now.clone(), |before| before.last_transition_time.clone()),
            }
        })
        .collect()
}

#[cfg(test)]
mod tests;
