//! Computes the replicas of workloads that scale on latency or lag, every few seconds.
//!
//! A tick reads the recorded series of all objects, with one query per series and source. It makes a decision
//! ([`crate::scaling`]) for each workload with a new sample ([`pace`]). Objects whose replicas or status change are
//! enqueued, and their next reconcile applies the change. A tick without changes sends no request to the API server.

mod backfill;
mod kubelets;
mod own_cpu;
mod pace;
mod policy;
mod sources;
mod workload;

use std::{
    collections::{BTreeMap, HashMap},
    sync::{Mutex, MutexGuard, PoisonError},
};

use jiff::Timestamp;
use kube::runtime::reflector::ObjectRef;
pub use sources::run;
use workload::{Pods, Scaled, Tick};

use self::policy::Plan;
use super::Guarded;
use crate::{
    api::{RecommenderModelStatus, ScalingStatus},
    model::{Model, Workload},
    observe::{Children, PodState},
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
                let pods = pods(children, uid, workload, now);
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

/// The observed pods of a workload. None while its Deployment is not in the cache, which does not mean zero replicas.
fn pods(children: &Children, uid: &str, workload: &Workload, now: Timestamp) -> Option<Pods> {
    let state = children.deployment(&workload.deployment, uid)?;
    let count = |replicas: i32| u32::try_from(replicas).unwrap_or_default();
    let pods: Vec<_> = children.pods().filter(|pod| pod.component == workload.component).collect();
    let mut startups: Vec<f64> =
        pods.iter().filter_map(|pod| pod.started_after).map(|after| after.as_secs_f64()).collect();
    startups.sort_by(f64::total_cmp);
    let running = running(&pods, state.is_rolling(), now);
    Some(Pods {
        desired: count(state.desired),
        ready: count(state.ready),
        ready_since: pods.iter().filter_map(|pod| pod.ready_since).collect(),
        startup: startups.get(startups.len() / 2).copied(),
        rolling_out: state.is_rolling(),
        others: count_of(&pods, |pod| pod.address.is_some() && pod.ready_since.is_none())
            .saturating_sub(count_of(&running, |pod| pod.lost_readiness)),
        unready: running.iter().filter(|pod| pod.lost_readiness).map(|pod| pod.name.clone()).collect(),
        running: running.iter().map(|pod| (pod.name.clone(), pod.address)).collect(),
    })
}

/// Seconds after a restart in which a container may be in a crash loop: lost readiness is then no sign of an overload.
const RESTARTED_SECONDS: i64 = 600;

/// The pods whose missing answers may mean an overload: those that started and were not restarted within
/// [`RESTARTED_SECONDS`]. During a rollout, pods of the newest template are excluded: they may fail because of it.
fn running<'a>(pods: &[&'a PodState], is_rolling: bool, now: Timestamp) -> Vec<&'a PodState> {
    // The newest template is the one whose first pod was created last. The newest pod may be of an older template, because
    // both get new pods when the workload scales during the rollout.
    let mut first_of: BTreeMap<&str, Timestamp> = BTreeMap::new();
    for pod in pods {
        let first = first_of.entry(&pod.template).or_insert(pod.created_at);
        *first = (*first).min(pod.created_at);
    }
    let newest = first_of.into_iter().max_by_key(|(_, first)| *first).map(|(template, _)| template);
    let is_crashing =
        |pod: &PodState| pod.restarted_at.is_some_and(|at| now.duration_since(at).as_secs() < RESTARTED_SECONDS);
    let is_older = |pod: &PodState| !is_rolling || newest != Some(pod.template.as_str());
    pods.iter().copied().filter(|pod| pod.started && !is_crashing(pod) && is_older(pod)).collect()
}

fn count_of(pods: &[&PodState], matches: impl Fn(&PodState) -> bool) -> u32 {
    u32::try_from(pods.iter().filter(|pod| matches(pod)).count()).unwrap_or(u32::MAX)
}

#[cfg(test)]
mod tests;
