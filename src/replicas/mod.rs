//! How many replicas each workload of an object is to have for its latency or its lag, and what its status reports of that.
//! Pure: no clock, no I/O; the arithmetic is [`crate::scaling`].
//!
//! ```text
//! observed (plan, pods) + signals (readings, evidence) + state + now -> decisions, state
//! ```
//!
//! The state of an object is a value, [`ScalingState`]: its last observation, and of each workload what was learned and what is to
//! be reported. It changes by:
//! - [`ScalingState::observe`], with what a reconcile observed;
//! - [`decide`], with what a tick read. It makes the decisions that are due ([`pace`]): one for each new sample;
//! - [`Scaled::record`], with what kubelets and servers report of servers that do not answer;
//! - [`Scaled::begin_backfill`] and [`Scaled::replay`], with the load that was recorded before this process started.
//!
//! A reconcile reads what was decided last ([`decided`]) and orders the replicas of new decisions ([`to_order`]).

mod evidence;
mod explanation;
mod own_cpu;
mod pace;
mod plan;
mod pods;
mod tick;
mod unresponsive;
mod workload;

use std::collections::BTreeMap;

use jiff::Timestamp;

pub use self::{
    evidence::Evidence,
    own_cpu::{OwnCpu, Reading},
    unresponsive::Unresponsive,
    workload::Scaled,
};
use self::{plan::ScalingPlan, pods::Pods, tick::Tick};
use crate::{
    api::{RecommenderModelStatus, ScalingStatus},
    limits::{self, Current},
    model::{Model, Workload},
    observe::Children,
    scaling::Decision,
    signals::{Readings, config::DEFAULT},
};

/// The scaling statuses to report, by workload. A workload without a decision is omitted.
pub type ScalingStatuses = BTreeMap<String, ScalingStatus>;

/// What was observed of an object for its decisions on replicas.
#[derive(Debug)]
pub struct Observation {
    namespace: String,
    name: String,
    source: String,
    /// Those that scale on latency or lag, by name.
    workloads: Vec<(String, ObservedWorkload)>,
}

/// What was observed of one workload.
#[derive(Debug)]
struct ObservedWorkload {
    plan: ScalingPlan,
    /// None while the Deployment is not in the cache.
    pods: Option<Pods>,
    /// The scaling status that was written last.
    reported: Option<ScalingStatus>,
}

impl Observation {
    /// From an object's spec, its children, and the status that was written last.
    pub fn new(model: &Model, children: &Children, prior: &RecommenderModelStatus, now: Timestamp) -> Self {
        let identity = &model.identity;
        let uid = identity.uid.as_deref().unwrap_or_default();
        let observed = |workload: Workload| {
            let (plan, pods) = (ScalingPlan::new(model, &workload)?, pods::observed(children, uid, &workload, now));
            let reported = reported(prior, &workload).cloned();
            Some((workload.name, ObservedWorkload { plan, pods, reported }))
        };
        let source = model.monitoring.as_ref().and_then(|monitoring| monitoring.source.clone());
        Self {
            namespace: identity.namespace.clone(),
            name: identity.name.clone(),
            source: source.unwrap_or_else(|| DEFAULT.into()),
            workloads: model.workloads().into_iter().filter_map(observed).collect(),
        }
    }
}

/// The state of an object between two decisions.
#[derive(Debug, Default)]
pub struct ScalingState {
    /// Namespace of the object.
    pub namespace: String,
    /// Name of the object.
    pub name: String,
    /// Name of its metric source.
    pub source: String,
    /// Its workloads that scale on latency or lag, by name.
    pub workloads: BTreeMap<String, Scaled>,
}

impl ScalingState {
    /// Takes over what was observed. A workload that is new to this process resumes from its status. Returns the names of
    /// the workloads that do not scale any more.
    pub fn observe(&mut self, observation: Observation, now: Timestamp) -> Vec<String> {
        let mut before = std::mem::take(&mut self.workloads);
        for (name, ObservedWorkload { plan, pods, reported }) in observation.workloads {
            let scaled = match before.remove(&name) {
                Some(mut scaled) => {
                    scaled.update(plan, pods);
                    scaled
                }
                None => Scaled::new(plan, pods, reported, now),
            };
            self.workloads.insert(name, scaled);
        }
        (self.namespace, self.name, self.source) = (observation.namespace, observation.name, observation.source);
        before.into_keys().collect()
    }

    /// The workloads with servers that did not answer at the last tick, by name.
    pub fn unresponsive(&self) -> impl Iterator<Item = (&String, Unresponsive)> {
        self.workloads.iter().filter_map(|(name, scaled)| Some((name, scaled.unresponsive(&self.namespace)?)))
    }

    /// What was decided last.
    pub fn decided(&self) -> ScalingStatuses {
        let decided = self.workloads.iter().filter_map(|(name, scaled)| Some((name, scaled.reported()?)));
        decided.map(|(name, status)| (name.clone(), status.clone())).collect()
    }
}

/// A decision that was made for a workload.
#[derive(Debug)]
pub struct Made<'m> {
    /// Namespace and name of the object, and name of the workload.
    pub workload: [&'m str; 3],
    /// The decision.
    pub decision: &'m Decision,
    /// Age of its sample, seconds. None when there was none.
    pub sample_age: Option<f64>,
    /// Whether the replicas or the status of the object change.
    pub is_change: bool,
}

/// Makes the decisions on an object that are due, and keeps what they teach. `readings`: what its source published last;
/// none when no such source is configured. `clock`: seconds since 1970 on a monotonic clock.
pub fn decide<'m>(
    state: &'m mut ScalingState,
    readings: Option<&Readings>,
    now: Timestamp,
    clock: f64,
) -> Vec<Made<'m>> {
    let ScalingState { namespace, name, source, workloads } = state;
    let (namespace, name, source): (&str, &str, &str) = (namespace, name, source);
    let made = workloads.iter_mut().filter_map(|(workload, scaled)| {
        let tick = Tick { object: (namespace, name), workload, source, readings, now, clock };
        let is_change = scaled.tick(&tick)?;
        let (decision, sample_age) = (scaled.latest.as_ref()?, scaled.sample_age());
        Some(Made { workload: [namespace, name, workload], decision, sample_age, is_change })
    });
    made.collect()
}

/// What is decided on an object's workloads: what the last tick decided, and before this process has decided, what the
/// status says.
pub fn decided(model: &Model, prior: &RecommenderModelStatus, latest: &ScalingStatuses) -> ScalingStatuses {
    let is_decided = |of: &Workload| of.scaling.as_ref().is_some_and(|scaling| scaling.is_decided());
    let workloads = model.workloads().into_iter().filter(is_decided);
    let decided = workloads.filter_map(|workload| {
        let status = latest.get(&workload.name).or_else(|| reported(prior, &workload))?.clone();
        Some((workload.name, status))
    });
    decided.collect()
}

/// Replicas to set on a workload's Deployment directly, in addition to its autoscaler's limits; see
/// [`limits::replicas_to_order`]. A decision is new while the status reports another number, and while its order has failed.
pub fn to_order(
    prior: &RecommenderModelStatus,
    workload: &Workload,
    decided: &ScalingStatuses,
    current: Current,
    has_failed: bool,
) -> Option<i32> {
    let decided = decided.get(&workload.name);
    let replicas = decided.map(|decided| decided.replicas);
    let is_new = reported(prior, workload).map(|reported| reported.replicas) != replicas;
    let open = decided.is_some_and(limits::is_open);
    limits::replicas_to_order(workload.scaling.as_ref()?, replicas, current, is_new || has_failed, open)
}

/// The scaling status of a workload in the object's status.
fn reported<'a>(status: &'a RecommenderModelStatus, workload: &Workload) -> Option<&'a ScalingStatus> {
    let worker = status.workers.iter().find(|worker| worker.name == workload.name);
    match worker {
        Some(worker) => worker.scaling.as_ref(),
        None => status.serving.as_ref()?.scaling.as_ref().filter(|_| workload.is_serving()),
    }
}

#[cfg(test)]
pub mod tests;
