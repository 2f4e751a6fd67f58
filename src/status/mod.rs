//! What is told about an object: computed from what was decided, done and seen. Pure; the writing is
//! [`crate::controller`]'s.

mod events;
mod verdict;

use std::collections::{BTreeMap, BTreeSet};

use k8s_openapi::apimachinery::pkg::apis::meta::v1::{Condition, Time};

pub use events::{Note, notes};
use jiff::Timestamp;
pub use verdict::{FIRST_METRICS, Verdict};

use crate::{
    api::{
        RecommenderModelStatus, ScalingStatus, ServingStatus, Worker, WorkerStatus,
        conditions::{reasons, types},
    },
    apply::Problem,
    model::{Model, Workload, names},
    monitoring,
    observe::{DeploymentFacts, Family, ForeignAutoscaler},
    render::{self, Kind},
    training::{Decision, whole_seconds},
};

/// The conditions that Ready, Reconciling and Stalled sum up.
const ASPECTS: [&str; 5] =
    [types::TRAINING_READY, types::SERVING_READY, types::WORKERS_READY, types::SCALING_ACTIVE, types::MONITORING_READY];

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
    /// What was seen of the children.
    pub family: &'a Family,
    /// Children that are not as wanted.
    pub problems: &'a [Problem],
    /// What was decided on replicas.
    pub scaling: &'a Scaling,
    /// The time of this look.
    pub now: Timestamp,
}

/// What was decided on replicas, and who else moves them.
#[derive(Clone, Debug, Default, PartialEq)]
pub struct Scaling {
    /// By workload, for those that scale on latency or lag.
    pub decided: BTreeMap<String, ScalingStatus>,
    /// Somebody else's autoscalers, by the Deployment they move.
    pub foreign: BTreeMap<String, ForeignAutoscaler>,
}

impl Scaling {
    /// Deployments whose autoscaler may add replicas on CPU use, because what is decided on is missing.
    pub fn open(&self, model: &Model) -> BTreeSet<String> {
        let workloads = model.workloads().into_iter();
        let is_open = |workload: &Workload| self.decided.get(&workload.name).is_some_and(render::is_open);
        workloads.filter(is_open).map(|workload| workload.deployment).collect()
    }
}

/// The status of an object whose spec can be worked with.
pub fn compute(inputs: &Inputs<'_>) -> RecommenderModelStatus {
    let uid = inputs.model.identity.uid.as_deref().unwrap_or_default();
    let deployment = inputs.family.deployment(&names::serving(&inputs.model.identity.base), uid);
    let serving = serving_status(inputs, deployment);
    let training_ready = training_verdict(inputs);
    let serving_ready = verdict::serving(inputs, deployment, &serving);
    let ready = verdict::ready(&training_ready, &serving_ready, &serving);
    let workers_ready = verdict::workers(inputs);
    let (stalled, reconciling) = verdict::summary(inputs, &ready, &training_ready, &[&serving_ready, &workers_ready]);
    let verdicts = [
        (types::READY, ready),
        (types::RECONCILING, reconciling),
        (types::STALLED, stalled),
        (types::TRAINING_READY, training_ready),
        (types::SERVING_READY, serving_ready),
        (types::WORKERS_READY, workers_ready),
        (types::SCALING_ACTIVE, verdict::scaling(inputs)),
        (types::MONITORING_READY, verdict::monitoring(inputs)),
    ];
    RecommenderModelStatus {
        observed_generation: Some(inputs.model.identity.generation),
        conditions: conditions(inputs.prior, inputs.model.identity.generation, inputs.now, verdicts),
        training: Some(inputs.training.status.clone()),
        serving: Some(serving),
        workers: workers(inputs, uid),
        versions: inputs.training.versions.clone(),
    }
}

/// The status of an object that cannot be worked with: everything known stays, the summary says what is wrong.
pub fn stalled(
    prior: &RecommenderModelStatus,
    generation: i64,
    reason: &str,
    message: &str,
    now: Timestamp,
) -> RecommenderModelStatus {
    let wrong = || Verdict::no(reason, message);
    let mut verdicts = vec![
        (types::READY, wrong()),
        (types::RECONCILING, Verdict::no(reason, "waits for the object to be changed")),
        (types::STALLED, Verdict::yes(reason, message)),
    ];
    for aspect in ASPECTS {
        verdicts.push((aspect, known(prior, aspect)));
    }
    RecommenderModelStatus {
        observed_generation: Some(generation),
        conditions: conditions(prior, generation, now, verdicts),
        ..prior.clone()
    }
}

/// The status of an object that could not be worked on this time; it is tried again.
pub fn interrupted(
    prior: &RecommenderModelStatus,
    generation: i64,
    message: &str,
    now: Timestamp,
) -> RecommenderModelStatus {
    let all = [types::READY, types::RECONCILING, types::STALLED].into_iter().chain(ASPECTS);
    let verdicts: Vec<_> = all
        .map(|aspect| {
            let verdict = match aspect {
                types::RECONCILING => Verdict::yes(reasons::RECONCILE_FAILED, message),
                types::STALLED => Verdict::no(reasons::RECONCILE_FAILED, "it is tried again"),
                _ => known(prior, aspect),
            };
            (aspect, verdict)
        })
        .collect();
    RecommenderModelStatus { conditions: conditions(prior, generation, now, verdicts), ..prior.clone() }
}

/// How an aspect stood when it was last looked at.
fn known(prior: &RecommenderModelStatus, aspect: &str) -> Verdict {
    let condition = prior.conditions.iter().find(|condition| condition.type_ == aspect);
    condition.map_or_else(Verdict::pending, Verdict::from)
}

/// Whether `next` differs from `prior` only in how it words the same failures: what the API server says may differ with
/// every try, as where it names a port or the number of a request.
pub fn is_rewording(prior: &RecommenderModelStatus, next: &RecommenderModelStatus) -> bool {
    let unworded = |status: &RecommenderModelStatus| {
        let mut status = status.clone();
        let failed = [reasons::APPLY_FAILED, reasons::RECONCILE_FAILED];
        let told = status.conditions.iter_mut().filter(|condition| failed.contains(&condition.reason.as_str()));
        told.for_each(|condition| condition.message.clear());
        status
    };
    prior != next && unworded(prior) == unworded(next)
}

fn serving_status(inputs: &Inputs<'_>, deployment: Option<&DeploymentFacts>) -> ServingStatus {
    let prior = inputs.prior.serving.clone().unwrap_or_default();
    let wanted = inputs.training.versions.first().map(|version| version.id.clone());
    let rolled_out = deployment.is_some_and(|facts| facts.version == wanted && facts.rolled_out());
    let version = if rolled_out { wanted.clone() } else { prior.version };
    let uid = inputs.model.identity.uid.as_deref().unwrap_or_default();
    let serving = names::serving(&inputs.model.identity.base);
    let (replicas, desired_replicas) = match deployment {
        Some(facts) => (facts.ready, facts.desired),
        // It is there, and the watch is about to tell its state: until then what was known of it holds.
        None if inputs.family.owned(Kind::Deployment, uid).any(|(name, _)| name == serving) => {
            (prior.replicas, prior.desired_replicas)
        }
        None => (0, inputs.model.serving_workload().replicas),
    };
    ServingStatus {
        rolling_out: wanted.filter(|wanted| version.as_ref() != Some(wanted)),
        version,
        replicas,
        desired_replicas,
        scaling: inputs.scaling.decided.get(monitoring::Workload::Serving.label()).cloned(),
    }
}

fn training_verdict(inputs: &Inputs<'_>) -> Verdict {
    let refused = inputs.problems.iter().find(|problem| problem.kind == Kind::Job);
    match refused {
        Some(problem) => Verdict::no(problem.reason, &problem.message),
        None => Verdict::from(&inputs.training.condition),
    }
}

fn workers(inputs: &Inputs<'_>, uid: &str) -> Vec<WorkerStatus> {
    let of = |worker: &Worker| {
        let workload = Workload::worker(worker, &inputs.model.identity.base);
        let prior = inputs.prior.workers.iter().find(|prior| prior.name == worker.name);
        let (replicas, desired_replicas) = match inputs.family.deployment(&workload.deployment, uid) {
            Some(facts) => (facts.ready, facts.desired),
            None => prior.map_or((0, workload.replicas), |prior| (prior.replicas, prior.desired_replicas)),
        };
        let scaling = inputs.scaling.decided.get(&worker.name).cloned();
        WorkerStatus { name: worker.name.clone(), replicas, desired_replicas, scaling }
    };
    inputs.model.workers.iter().map(of).collect()
}

/// Conditions from verdicts. The time of the last transition changes with the status only.
fn conditions(
    prior: &RecommenderModelStatus,
    generation: i64,
    now: Timestamp,
    verdicts: impl IntoIterator<Item = (&'static str, Verdict)>,
) -> Vec<Condition> {
    let now = Time(whole_seconds(now));
    verdicts
        .into_iter()
        .map(|(type_, verdict)| {
            let before = prior.conditions.iter().find(|condition| condition.type_ == type_);
            let unchanged = before.filter(|before| before.status == verdict.status);
            Condition {
                type_: type_.into(),
                status: verdict.status.into(),
                reason: verdict.reason,
                message: verdict.message.chars().take(MESSAGE_MAX).collect(),
                observed_generation: Some(generation),
                last_transition_time: unchanged
                    .map_or_else(|| now.clone(), |before| before.last_transition_time.clone()),
            }
        })
        .collect()
}

#[cfg(test)]
mod scaling_tests;
#[cfg(test)]
mod tests;
