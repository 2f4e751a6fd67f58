//! Computes the replicas of workloads that scale on latency or lag, every few seconds.
//!
//! A tick reads the recorded series of all objects, with one query per series and source. It makes a decision
//! ([`crate::scaling`]) for each workload with a new sample ([`pace`]). Objects whose replicas or status change are
//! enqueued, and their next reconcile applies the change. A tick without changes sends no request to the API server.

mod backfill;
mod evidence;
mod explanation;
mod kubelets;
mod own_cpu;
mod pace;
mod pods;
mod policy;
mod sources;
mod tick;
mod workload;

use std::{
    collections::{BTreeMap, HashMap},
    sync::{Mutex, MutexGuard, PoisonError},
};

use jiff::Timestamp;
use kube::runtime::reflector::ObjectRef;
pub use sources::run;
use tick::Tick;
use workload::Scaled;

use self::policy::Plan;
use crate::{
    api::{Guarded, RecommenderModelStatus, ScalingStatus},
    model::{Model, Workload},
    observe::Children,
    render,
    signals::{Readings, config::DEFAULT},
    telemetry::ScalingMetrics,
};

/// All objects with workloads that scale on latency or lag, by UID.
#[derive(Debug, Default)]
pub struct Scaler(Mutex<HashMap<String, Object>>);

#[derive(Debug)]
struct Object {
    namespace: String,
    name: String,
    source: String,
    workloads: BTreeMap<String, Scaled>,
}

/// The scaling status to report, by workload.
pub type Decided = BTreeMap<String, ScalingStatus>;

impl Scaler {
    /// Updates an object's workloads from its spec and its observed pods. Returns their scaling statuses; a workload without
    /// a decision is omitted. The metrics of workloads that do not scale any more are removed.
    pub fn reconcile(
        &self,
        model: &Model,
        children: &Children,
        prior: &RecommenderModelStatus,
        metrics: &ScalingMetrics,
        now: Timestamp,
    ) -> Decided {
        let identity = &model.identity;
        let uid = identity.uid.as_deref().unwrap_or_default();
        let workloads = model.workloads();
        let plans = workloads.iter().filter_map(|workload| Some((workload, Plan::new(model, workload)?)));
        let mut objects = self.lock();
        let mut before = objects.remove(uid).map(|object| object.workloads).unwrap_or_default();
        let scaled: BTreeMap<String, Scaled> = plans
            .map(|(workload, plan)| {
                let pods = pods::observed(children, uid, workload, now);
                let scaled = match before.remove(&workload.name) {
                    Some(mut scaled) => {
                        scaled.update(plan, pods);
                        scaled
                    }
                    None => Scaled::new(plan, pods, reported(prior, workload).cloned(), now),
                };
                (workload.name.clone(), scaled)
            })
            .collect();
        for removed in before.keys() {
            metrics.remove([&identity.namespace, &identity.name, removed]);
        }
        let decided =
            scaled.iter().filter_map(|(name, scaled)| Some((name.clone(), scaled.reported()?.clone()))).collect();
        if !scaled.is_empty() {
            let source = model.monitoring.as_ref().and_then(|monitoring| monitoring.source.clone());
            let object = Object {
                namespace: identity.namespace.clone(),
                name: identity.name.clone(),
                source: source.unwrap_or_else(|| DEFAULT.into()),
                workloads: scaled,
            };
            objects.insert(uid.into(), object);
        }
        decided
    }

    /// Whether any object uses a source for which `of` is true.
    pub fn reads(&self, of: &dyn Fn(&str) -> bool) -> bool {
        self.lock().values().any(|object| of(&object.source))
    }

    /// When to read the source `of` next, in seconds on the clock of decisions: when its next sample is expected. None before
    /// the first decision from this source.
    pub fn next(&self, of: &dyn Fn(&str) -> bool, clock: f64) -> Option<f64> {
        let objects = self.lock();
        let workloads =
            objects.values().filter(|object| of(&object.source)).flat_map(|object| object.workloads.values());
        workloads.filter_map(|scaled| scaled.next(clock)).min_by(f64::total_cmp)
    }

    /// Makes the decisions that are due, for objects whose source is `of`. Returns the objects to enqueue.
    /// `readings`: None when no such source is configured. `clock`: seconds since 1970 on a monotonic clock.
    pub fn tick(
        &self,
        of: &dyn Fn(&str) -> bool,
        readings: Option<&Readings>,
        metrics: &ScalingMetrics,
        now: Timestamp,
        clock: f64,
    ) -> Vec<ObjectRef<Guarded>> {
        let mut enqueued = Vec::new();
        for object in self.lock().values_mut().filter(|object| of(&object.source)) {
            let mut changed = false;
            for (workload, scaled) in &mut object.workloads {
                let (of_object, source) = ((object.namespace.as_str(), object.name.as_str()), object.source.as_str());
                let tick = Tick { object: of_object, workload, source, readings, now, clock };
                let Some(is_change) = scaled.tick(&tick) else { continue };
                changed |= is_change;
                if let Some(decision) = &scaled.latest {
                    metrics.decided([&object.namespace, &object.name, workload], decision, scaled.sample_age());
                }
            }
            if changed {
                enqueued.push(ObjectRef::new(&object.name).within(&object.namespace));
            }
        }
        enqueued
    }

    /// Removes a deleted object and its metrics.
    pub fn forget(&self, uid: &str, metrics: &ScalingMetrics) {
        if let Some(object) = self.lock().remove(uid) {
            for workload in object.workloads.keys() {
                metrics.remove([&object.namespace, &object.name, workload]);
            }
        }
    }

    fn lock(&self) -> MutexGuard<'_, HashMap<String, Object>> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

/// Replicas to set on a workload's Deployment directly, in addition to its autoscaler's limits; see
/// [`render::replicas_to_order`]. A decision is new while the status reports another number. `current`: replicas of the
/// Deployment.
pub fn replicas_to_order(
    prior: &RecommenderModelStatus,
    workload: &Workload,
    decided: &Decided,
    current: i32,
) -> Option<i32> {
    let decided = decided.get(&workload.name)?;
    let is_new = reported(prior, workload).map(|reported| reported.replicas) != Some(decided.replicas);
    let open = render::is_open(decided);
    render::replicas_to_order(workload.scaling.as_ref()?, decided.replicas, current, is_new, open)
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
mod tests;
