//! What every reconcile and every scaling tick needs.

use std::sync::Arc;

use kube::runtime::reflector::{ObjectRef, Store};
use tokio::sync::{Semaphore, mpsc};

use super::{
    admission::Admission, feedback::Feedback, memory::Memory, queue::Waiting, scaler::Scaler, ticked::AllObservers,
};
use crate::{
    api::Guarded,
    apply::Cluster,
    kinds::Kind,
    leader::Fence,
    observe::{Cache, Scope},
    signals::{Kubelets, Published},
    telemetry::Metrics,
};

/// The clients, caches and queues of one scope.
pub struct Context {
    pub(super) scope: Scope,
    pub(super) objects: Store<Guarded>,
    pub(super) cluster: Cluster,
    pub(super) cache: Arc<Cache>,
    pub(super) memory: Memory,
    pub(super) scaler: Scaler,
    /// What ticks observe beside replicas.
    pub(super) observers: AllObservers,
    pub(super) feedback: Feedback,
    /// Admits trainings, of all scopes together.
    pub(super) admission: Arc<Admission>,
    /// The signals of all objects, for every decision.
    pub(super) signals: Arc<Published>,
    pub(super) kubelets: Kubelets,
    /// Enqueues objects for other reasons than a change in the cluster.
    pub(super) enqueue: mpsc::UnboundedSender<ObjectRef<Guarded>>,
    /// Objects of all scopes that wait to be reconciled.
    pub(super) waiting: Arc<Waiting>,
    /// Permits of concurrent reconciles, of all scopes together.
    pub(super) permits: Arc<Semaphore>,
    pub(super) metrics: Metrics,
    pub(super) fence: Option<Fence>,
    /// URL of the directory with the pages of alerts.
    pub(super) runbooks: Arc<str>,
    /// Whether the operator is to write ConfigMaps.
    pub(super) hot_reload: bool,
}

impl Context {
    /// Enqueues an object.
    pub fn enqueue(&self, object: ObjectRef<Guarded>) {
        // An error means that the queue is gone, and with it the controller.
        let _ = self.enqueue.send(object);
    }

    /// Whether the operator is to write ConfigMaps, and may.
    pub fn may_reload(&self) -> bool {
        self.hot_reload && self.cache.has_kind(Kind::ConfigMap)
    }

    /// Whether the lease, if there is one, is still ours.
    pub fn may_write(&self) -> bool {
        self.fence.as_ref().is_none_or(Fence::is_valid)
    }
}
