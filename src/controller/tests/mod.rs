//! The pipeline from an object to requests, against an API server that records them. All requests of a reconcile are
//! compared, so that a superfluous one fails the test.

mod contained;
mod failures;
mod feedback;
mod life;
mod merge;
mod reloads;
mod restored;
mod rollback;
mod routed;
mod server;
mod stuck;
mod ticks;

use std::{collections::BTreeSet, sync::Arc};

use jiff::{SignedDuration, Timestamp};
use kube::runtime::{
    controller::Action,
    reflector::{self, ObjectRef, store::Writer},
    watcher::Event,
};
use serde_json::{Value, json};
use tokio::sync::{Semaphore, mpsc};

use self::server::Server;
use super::{Context, Error, Guarded, feedback::Feedback, memory::Memory, scaler::Scaler, ticked::AllObservers};
use crate::{
    api::{RecommenderModel, RecommenderModelStatus},
    apply::Cluster,
    child::Child,
    kinds::Kind,
    leader::Fence,
    model::Model,
    observe::{Cache, Scope, Watched},
    render::{self, Decided},
    signals::Kubelets,
    telemetry::Metrics,
    validate::{stored, tests::minimal},
};

/// URL of the pages of alerts that the operator is given.
const RUNBOOKS_URL: &str = "https://git.example.org/runbooks";

/// A fake API server and the controller's context, to show objects to the operator and to reconcile them.
pub(super) struct Fixture {
    pub(super) server: Server,
    pub(super) context: Arc<Context>,
    objects: Writer<Guarded>,
}

impl Fixture {
    pub(super) fn new() -> Self {
        Self::with_fence(None)
    }

    fn with_fence(fence: Option<Fence>) -> Self {
        let (server, metrics) = (Server::default(), Metrics::new());
        let (store, objects) = reflector::store();
        let context = Context {
            scope: Scope::Namespace("shop".into()),
            objects: store,
            cluster: Cluster::new(server.client(), metrics.clone(), fence.clone()),
            cache: Arc::new(Cache::default()),
            memory: Memory::default(),
            scaler: Scaler::default(),
            observers: AllObservers::default(),
            feedback: Feedback::default(),
            admission: Arc::default(),
            signals: Arc::default(),
            kubelets: Kubelets::new(server.client(), Scope::All),
            enqueue: mpsc::unbounded_channel().0,
            waiting: Arc::default(),
            permits: Arc::new(Semaphore::new(1)),
            metrics,
            fence,
            runbooks: RUNBOOKS_URL.into(),
            hot_reload: true,
        };
        Self { server, context: Arc::new(context), objects }
    }

    /// Shows an object to the operator, as the watch of its kind does.
    fn show(&mut self, object: &Value) -> Arc<Guarded> {
        let object: Guarded = serde_json::from_value(object.clone()).expect("a guard takes everything");
        let name = ObjectRef::from_obj(&object);
        self.objects.apply_watcher_event(&Event::Apply(object));
        self.context.objects.get(&name).expect("it is in the store")
    }

    async fn reconcile(&mut self, object: &Value) -> Result<Action, Error> {
        let object = self.show(object);
        // Every test would contain this future as often as it reconciles, and the stack of its thread is small.
        Box::pin(super::reconcile_one(object, self.context.clone())).await
    }

    /// Reconciles an object without failure. Returns the requests this took.
    async fn requests(&mut self, object: &Value) -> Vec<String> {
        self.reconcile(object).await.expect("the reconcile succeeds");
        self.server.requests()
    }

    /// Shows a child to the operator as the server stores it, with a status.
    fn show_child(&self, watched: Watched, key: &str, status: &Value) {
        let mut object = self.server.object(key).unwrap_or_else(|| panic!("{key} was not created"));
        object["status"] = status.clone();
        self.context.cache.show(watched, object);
    }

    fn status(&self) -> RecommenderModelStatus {
        self.context.memory.newest_status("uid", 0, Some(&RecommenderModelStatus::default()))
    }

    /// Reason and message of a condition.
    fn condition(&self, type_: &str) -> (String, String) {
        let conditions = self.status().conditions;
        let condition = conditions.into_iter().find(|condition| condition.type_ == type_);
        condition.map(|condition| (condition.reason, condition.message)).unwrap_or_default()
    }
}

/// The smallest object as it is stored, with fields of its spec set.
fn object(fields: Value) -> Value {
    let mut object = minimal();
    object["spec"].as_object_mut().expect("a spec").extend(fields.as_object().expect("fields").clone());
    let mut object = stored(&object);
    let meta = json!({
        "name": "packages", "namespace": "shop", "uid": "uid", "generation": 1, "resourceVersion": "1",
        "creationTimestamp": Timestamp::now() - SignedDuration::from_secs(5),
    });
    object["metadata"] = meta;
    object
}

/// The kinds of an object's children in the order of applying: before there is a version, and those that come with it.
fn kinds(object: &Value) -> (Vec<Kind>, Vec<Kind>) {
    let object: RecommenderModel = serde_json::from_value(object.clone()).expect("a RecommenderModel");
    let model = Model::new(&object, Timestamp::now()).expect("a valid object");
    let kinds = |children: Vec<Child>| children.into_iter().map(|child| child.kind);
    let before: BTreeSet<Kind> = kinds(render::children(&model, &Decided::default())).collect();
    // The first run is started before there is a version; without a run no Job is desired.
    kinds(render::offline(&model, Timestamp::now())).partition(|kind| *kind == Kind::Job || before.contains(kind))
}

/// Requests for new children of these kinds.
fn created(kinds: &[Kind]) -> Vec<String> {
    kinds.iter().map(|kind| format!("POST {}", kind.resource().plural)).collect()
}

/// The request that writes the status.
pub(super) const STATUS: &str = "PATCH recommendermodels/packages/status";
/// The request that creates an Event.
const EVENT: &str = "POST events";
