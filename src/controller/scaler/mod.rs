//! The decisions of ticks on the replicas of workloads that scale on latency or lag. The loops that read metrics every few
//! seconds ([`super::ticks`]) decide here.
//!
//! ```text
//! source -> read -> publish -> decide (replicas::decide, for each object) -> enqueue the objects that change
//! ```
//!
//! A tick decides, and not a reconcile, because every sample teaches something and is to be decided on once and at once: a
//! reconcile renders and compares all children, and waits for the API server. So a tick is the pipeline of a reconcile for
//! one decision. It reads what the last reconcile of the object observed, and a reconcile reads what the last tick decided.
//! Objects whose replicas or status change are enqueued; their reconcile sets the replicas, with one request. A tick without
//! changes sends none to the API server.

mod backfill;
mod unresponsive;

use std::{
    collections::HashMap,
    sync::{Mutex, MutexGuard, PoisonError},
};

use jiff::Timestamp;
use kube::runtime::reflector::ObjectRef;
pub use unresponsive::UnresponsiveWorkload;

use crate::{
    api::Guarded,
    replicas::{self, Observation, ScalingState, ScalingStatuses},
    signals::Readings,
    telemetry::ScalingMetrics,
};

/// The state of all objects with workloads that scale on latency or lag, by UID. Only the ticks decide with it, one at a time.
/// Reconciles hand in what they observed and read what was decided; the loops beside the ticks hand in what kubelets and
/// servers report, and the load recorded in the past.
#[derive(Debug, Default)]
pub struct Scaler(Mutex<HashMap<String, ScalingState>>);

impl Scaler {
    /// Takes over what a reconcile observed of an object, for the next ticks. The metrics of workloads that do not scale any
    /// more are removed, and those whose decisions are due get a counter of them.
    pub fn observe(&self, uid: &str, observation: Observation, metrics: &ScalingMetrics, now: Timestamp) {
        let mut objects = self.lock();
        let mut state = objects.remove(uid).unwrap_or_default();
        for removed in state.observe(observation, now) {
            metrics.remove([&state.namespace, &state.name, &removed]);
        }
        for (workload, scaled) in &state.workloads {
            metrics.observed([&state.namespace, &state.name, workload], scaled.has_deployment());
        }
        if !state.workloads.is_empty() {
            objects.insert(uid.into(), state);
        }
    }

    /// What was decided last on the workloads of an object.
    pub fn decided(&self, uid: &str) -> ScalingStatuses {
        self.lock().get(uid).map(ScalingState::decided).unwrap_or_default()
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
        for state in self.lock().values_mut().filter(|state| of(&state.source)) {
            let mut changed = false;
            for made in replicas::decide(state, readings, now, clock) {
                metrics.decided(made.workload, made.decision, made.sample_age);
                changed |= made.is_change;
            }
            if changed {
                enqueued.push(ObjectRef::new(&state.name).within(&state.namespace));
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

    fn lock(&self) -> MutexGuard<'_, HashMap<String, ScalingState>> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

#[cfg(test)]
mod tests;
