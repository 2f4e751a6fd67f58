//! Decides every few seconds how many replicas workloads that scale on latency or lag should have.
//!
//! A tick reads the recorded series of all objects (one query per series and source), decides ([`crate::scaling`]) on those
//! of which there is a new sample ([`pace`]) and touches those of which there is something to do or to tell; their next
//! look does it. A tick without news makes no request to the API server.

mod kubelets;
mod own_cpu;
mod pace;
mod policy;
mod recall;
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
    observe::{Family, PodFacts},
    render,
    signals::{Readings, config::DEFAULT},
    telemetry::ScalingMetrics,
};

/// All objects with workloads that are decided on, by UID.
#[derive(Debug, Default)]
pub struct Scaler(Mutex<HashMap<String, Object>>);

#[derive(Debug)]
struct Object {
    namespace: String,
    name: String,
    source: String,
    workloads: BTreeMap<String, Scaled>,
}

/// What was decided, by workload.
pub type Decided = BTreeMap<String, ScalingStatus>;

impl Scaler {
    /// Takes over what an object asks for and what was seen of its pods. Returns what is decided on its workloads; those of
    /// which nothing is decided yet are left out.
    pub fn look(
        &self,
        model: &Model,
        family: &Family,
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
                let pods = pods(family, uid, workload, now);
                let scaled = match before.remove(&workload.name) {
                    Some(mut scaled) => {
                        scaled.update(plan, pods);
                        scaled
                    }
                    None => Scaled::new(plan, pods, told(prior, workload).cloned(), now),
                };
                (workload.name.clone(), scaled)
            })
            .collect();
        for gone in before.keys() {
            metrics.remove([&identity.namespace, &identity.name, gone]);
        }
        let decided = scaled.iter().filter_map(|(name, scaled)| Some((name.clone(), scaled.told()?.clone()))).collect();
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

    /// Whether any object is decided on from a source.
    pub fn reads(&self, of: &dyn Fn(&str) -> bool) -> bool {
        self.lock().values().any(|object| of(&object.source))
    }

    /// When there is reason to look for new samples in the source `of`. None when nothing was decided from it.
    pub fn next(&self, of: &dyn Fn(&str) -> bool, clock: f64) -> Option<f64> {
        let objects = self.lock();
        let workloads =
            objects.values().filter(|object| of(&object.source)).flat_map(|object| object.workloads.values());
        workloads.filter_map(|scaled| scaled.next(clock)).min_by(f64::total_cmp)
    }

    /// Decides on the workloads whose time it is, of the objects whose source is `of`. Returns the objects to look at.
    /// `readings`: none when there is no such source. `clock`: seconds since 1970 on a clock that never jumps.
    pub fn tick(
        &self,
        of: &dyn Fn(&str) -> bool,
        readings: Option<&Readings>,
        metrics: &ScalingMetrics,
        now: Timestamp,
        clock: f64,
    ) -> Vec<ObjectRef<Guarded>> {
        let mut touched = Vec::new();
        for object in self.lock().values_mut().filter(|object| of(&object.source)) {
            let mut news = false;
            for (workload, scaled) in &mut object.workloads {
                let (of_object, source) = ((object.namespace.as_str(), object.name.as_str()), object.source.as_str());
                let tick = Tick { object: of_object, workload, source, readings, now, clock };
                let Some(is_news) = scaled.tick(&tick) else { continue };
                news |= is_news;
                if let Some(decision) = &scaled.latest {
                    metrics.decided([&object.namespace, &object.name, workload], decision, scaled.sample_age());
                }
            }
            if news {
                touched.push(ObjectRef::new(&object.name).within(&object.namespace));
            }
        }
        touched
    }

    /// Forgets an object that is gone.
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

/// The replicas of a workload to order beside its autoscaler, see [`render::replicas_to_order`]: what was decided is new when
/// the status does not say it yet. `there`: those of its Deployment.
pub fn to_order(prior: &RecommenderModelStatus, workload: &Workload, decided: &Decided, there: i32) -> Option<i32> {
    let decided = decided.get(&workload.name)?;
    let is_new = told(prior, workload).map(|told| told.replicas) != Some(decided.replicas);
    let open = render::is_open(decided);
    render::replicas_to_order(workload.scaling.as_ref()?, decided.replicas, there, is_new, open)
}

/// What the status says of a workload.
fn told<'a>(status: &'a RecommenderModelStatus, workload: &Workload) -> Option<&'a ScalingStatus> {
    let worker = status.workers.iter().find(|worker| worker.name == workload.name);
    match worker {
        Some(worker) => worker.scaling.as_ref(),
        None => status.serving.as_ref()?.scaling.as_ref().filter(|_| workload.is_serving()),
    }
}

/// What was seen of a workload's pods; none while the state of its Deployment is not known: that is not zero.
fn pods(family: &Family, uid: &str, workload: &Workload, now: Timestamp) -> Option<Pods> {
    let facts = family.deployment(&workload.deployment, uid)?;
    let count = |replicas: i32| u32::try_from(replicas).unwrap_or_default();
    let pods: Vec<_> = family.pods().filter(|pod| pod.component == workload.component).collect();
    let mut startups: Vec<f64> =
        pods.iter().filter_map(|pod| pod.started_after).map(|after| after.as_secs_f64()).collect();
    startups.sort_by(f64::total_cmp);
    let running = running(&pods, facts.is_rolling(), now);
    Some(Pods {
        desired: count(facts.desired),
        ready: count(facts.ready),
        ready_since: pods.iter().filter_map(|pod| pod.ready_since).collect(),
        startup: startups.get(startups.len() / 2).copied(),
        rolling_out: facts.is_rolling(),
        others: count_of(&pods, |pod| pod.address.is_some() && pod.ready_since.is_none())
            .saturating_sub(count_of(&running, |pod| pod.lost_readiness)),
        unready: running.iter().filter(|pod| pod.lost_readiness).map(|pod| pod.name.clone()).collect(),
        running: running.iter().map(|pod| (pod.name.clone(), pod.address)).collect(),
    })
}

/// A container that was restarted within so many seconds may be in a crash loop: that it is not ready is no overload.
const RESTARTED_SECONDS: i64 = 600;

/// The pods whose silence may be an overload: those that started and were not restarted of late. While something is
/// rolled out, those of the newest template do not count: it may be their own fault.
fn running<'a>(pods: &[&'a PodFacts], is_rolling: bool, now: Timestamp) -> Vec<&'a PodFacts> {
    // That of which the first pod was created last: while both are scaled, the older one gets new pods too.
    let mut first_of: BTreeMap<&str, Timestamp> = BTreeMap::new();
    for pod in pods {
        let first = first_of.entry(&pod.template).or_insert(pod.created_at);
        *first = (*first).min(pod.created_at);
    }
    let newest = first_of.into_iter().max_by_key(|(_, first)| *first).map(|(template, _)| template);
    let is_crashing =
        |pod: &PodFacts| pod.restarted_at.is_some_and(|at| now.duration_since(at).as_secs() < RESTARTED_SECONDS);
    let of_before = |pod: &PodFacts| !is_rolling || newest != Some(pod.template.as_str());
    pods.iter().copied().filter(|pod| pod.started && !is_crashing(pod) && of_before(pod)).collect()
}

fn count_of(pods: &[&PodFacts], holds: impl Fn(&PodFacts) -> bool) -> u32 {
    u32::try_from(pods.iter().filter(|pod| holds(pod)).count()).unwrap_or(u32::MAX)
}

#[cfg(test)]
mod tests;
