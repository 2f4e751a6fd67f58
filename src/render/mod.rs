//! Renders the model and the decisions to the desired objects. Pure, and it cannot fail: invalid specs were refused by
//! [`crate::model`].

mod autoscaler;
mod deployment;
mod disruption_budget;
mod job;
mod monitoring;
mod offline;
mod pod;
mod prune;
mod route;
mod rule_file;
mod rules;
mod service;
mod service_account;
mod stats;
mod version_file;
mod worker;

pub use offline::{as_yaml, later_jobs, offline};
pub use rule_file::rule_file;
pub use rules::{alerts_without_effect, rule_groups};
pub use stats::{Stats, stats, stats_table, total};

use std::collections::{BTreeMap, BTreeSet};

use crate::{
    api::{TrainingKind, Version, gateway::RouteRule},
    child::Child,
    limits,
    model::{Model, Workload},
    promotion::route::Shares,
    pruning::NewPrune,
    training::NewRun,
    version_file::{Artifact, Placement},
};

/// The decisions that the children are rendered from. By default nothing is decided.
#[derive(Clone, Debug, Default)]
pub struct Decided<'a> {
    /// The version to serve; `None` before the first successful training.
    pub serve: Option<&'a Version>,
    /// How the version to serve gets to servers that change versions without a restart; `None`: by their start.
    pub placement: Option<&'a Placement>,
    /// What version files of pods that are replaced are to name, by the hash of their template.
    pub returned: &'a [(String, Artifact)],
    /// Whether the Deployment of the servers stays as it is for now.
    pub keeps_servers: bool,
    /// The version of the canary and its number of pods, while there is one.
    pub canary: Option<(&'a Version, i32)>,
    /// What the canary gets of the requests by an HTTPRoute, if the spec has one.
    pub shares: Shares,
    /// Whether the Deployment of the canary is left as it is.
    pub is_canary_held: bool,
    /// The training run to start.
    pub train: Option<&'a NewRun>,
    /// The Job to start that deletes artifacts.
    pub prune: Option<&'a NewPrune>,
    /// Replicas by Deployment, as decided on latency or lag; before the first decision, the current replicas.
    pub replicas: BTreeMap<String, i32>,
    /// Deployments whose signals are missing, also because of an overload. Their autoscaler may add replicas on CPU use.
    pub open: BTreeSet<String>,
    /// Deployments scaled by an external autoscaler. They get no autoscaler of the operator, because two autoscalers of the
    /// same Deployment stop each other.
    pub externally_scaled: BTreeSet<String>,
}

/// All children that are desired now, in the order in which they are applied: an object comes before objects that refer
/// to it.
///
/// A training Job is desired only when it is started. Afterwards it is a record of the run.
pub fn children(model: &Model, decided: &Decided<'_>) -> Vec<Child> {
    let mut children = vec![service_account::render(model)];
    children.extend(service::of_trainers(model));
    children.extend(decided.train.map(|run| job::render(model, run)));
    let prune = model.training.prune.as_ref().zip(decided.prune);
    children.extend(prune.map(|(prune, run)| prune::render(model, prune, run)));
    children.push(service::render(model, decided.is_canary_held));
    // Weight goes to the canary once its pods are ready, and away from it before they are changed.
    children.extend(service::of_canary(model));
    children.extend(route::render(model, decided.shares));
    if let Some(version) = decided.serve {
        let workload = model.serving_workload();
        if !decided.keeps_servers {
            let started = || Placement::started(version);
            let placement = model.hot_reload.as_ref().map(|_| decided.placement.cloned().unwrap_or_else(started));
            let (file, servers) = deployment::render(model, version, placement.as_ref());
            children.extend(file);
            children
                .extend(decided.returned.iter().map(|(template, named)| version_file::render(model, template, named)));
            children.push(seeded(servers, &workload, decided));
        }
        children.extend(autoscaler(model, &workload, decided));
        children.extend(disruption_budget::render(model));
    }
    let canary = decided.canary.filter(|(_, replicas)| *replicas > 0 && !decided.is_canary_held);
    children.extend(canary.map(|(version, replicas)| deployment::canary(model, version, replicas)));
    for worker in &model.workers {
        let workload = Workload::worker(worker, &model.identity.base);
        children.push(seeded(worker::render(model, worker), &workload, decided));
        children.extend(autoscaler(model, &workload, decided));
    }
    children.extend(monitoring::service_monitor(model));
    children.extend(model.workers.iter().filter_map(|worker| monitoring::pod_monitor(model, worker)));
    children.extend(monitoring::trainer_monitor(model));
    children.extend(model.dependencies.iter().filter_map(|of| monitoring::exporter_monitor(model, of)));
    children.extend(monitoring::probe(model));
    children.extend(rules::prometheus_rules(model));
    children
}

/// A Deployment with the replicas it is created with.
fn seeded(child: Child, workload: &Workload, decided: &Decided<'_>) -> Child {
    let replicas = decided.replicas.get(&workload.deployment).copied();
    let ours = replicas.filter(|_| !decided.externally_scaled.contains(&workload.deployment));
    let seed = workload.scaling.as_ref().map(|scaling| limits::initial_replicas(scaling, ours));
    Child { seed_replicas: seed, ..child }
}

fn autoscaler(model: &Model, workload: &Workload, decided: &Decided<'_>) -> Option<Child> {
    if decided.externally_scaled.contains(&workload.deployment) {
        return None;
    }
    let scaling = workload.scaling.as_ref()?;
    let replicas = decided.replicas.get(&workload.deployment).copied();
    let limits = limits::limits(scaling, replicas, decided.open.contains(&workload.deployment))?;
    // One that has no pods yet, because it waits for its Gateways, takes no load off the servers.
    let is_frozen = workload.is_serving() && decided.canary.is_some_and(|(_, replicas)| replicas > 0);
    Some(autoscaler::render(&model.identity, workload, scaling, limits, is_frozen))
}

/// Hash of the settings of a kind of training, without what differs from run to run. When it changes, a failed run is repeated.
pub fn training_template(model: &Model, kind: TrainingKind) -> String {
    job::template_hash(model, kind)
}

pub use deployment::servers_template;
pub use route::released as released_route;

/// Rules of an HTTPRoute that gives a canary nothing.
pub fn closed_route(base: &str) -> Vec<RouteRule> {
    route::rules(base, Shares::default())
}
