//! Model and decisions -> the objects wanted in the cluster. Pure, and it cannot fail: whatever could be wrong was
//! refused by [`crate::model`].

mod autoscaler;
mod child;
mod deployment;
mod disruption_budget;
mod job;
mod monitoring;
mod offline;
mod pod;
mod rule_file;
mod service;
mod service_account;
mod worker;

pub use autoscaler::{is_open, replicas_to_order};
pub use child::{Child, Kind};
pub use offline::{as_yaml, offline};
pub use rule_file::rule_file;

use std::collections::{BTreeMap, BTreeSet};

use crate::{
    api::Version,
    model::{Model, Workload},
    training::NewRun,
};

/// What was decided and goes into the children.
#[derive(Clone, Debug)]
pub struct Decided<'a> {
    /// The version to serve; none before the first training.
    pub serve: Option<&'a Version>,
    /// The training run to start.
    pub train: Option<&'a NewRun>,
    /// Replicas by Deployment: what was decided on latency or lag, or as long as nothing was, the replicas there are.
    pub replicas: BTreeMap<String, i32>,
    /// Deployments whose signals are missing or silenced by an overload: their autoscaler may add replicas on CPU use.
    pub open: BTreeSet<String>,
    /// Deployments that somebody else's autoscaler moves: they get none of ours, as two would stop each other.
    pub left_alone: BTreeSet<String>,
}

/// All children that are wanted now, in the order they are to be applied: what others refer to comes first.
///
/// Training Jobs are wanted only at the moment they are started; afterwards they are history.
pub fn children(model: &Model, decided: &Decided<'_>) -> Vec<Child> {
    let mut children = vec![service_account::render(model)];
    children.extend(decided.train.map(|run| job::render(model, run)));
    children.push(service::render(model));
    if let Some(version) = decided.serve {
        children.push(deployment::render(model, version));
        children.extend(autoscaler(model, &model.serving_workload(), decided));
        children.push(disruption_budget::render(model));
    }
    for worker in &model.workers {
        children.push(worker::render(model, worker));
        children.extend(autoscaler(model, &Workload::worker(worker, &model.identity.base), decided));
    }
    children.extend(monitoring::service_monitor(model));
    children.extend(model.workers.iter().filter_map(|worker| monitoring::pod_monitor(model, worker)));
    children.extend(monitoring::prometheus_rule(model));
    children
}

fn autoscaler(model: &Model, workload: &Workload, decided: &Decided<'_>) -> Option<Child> {
    if decided.left_alone.contains(&workload.deployment) {
        return None;
    }
    let replicas = decided.replicas.get(&workload.deployment).copied();
    autoscaler::render(&model.identity, workload, replicas, decided.open.contains(&workload.deployment))
}

/// A hash of everything a training run is made from, except what differs from run to run. A failed run is tried again
/// when it changes.
pub fn training_template(model: &Model) -> String {
    job::template_hash(model)
}

pub use deployment::CONTAINER as SERVER_CONTAINER;
pub use job::CONTAINER as TRAINER_CONTAINER;
pub use worker::CONTAINER as WORKER_CONTAINER;
