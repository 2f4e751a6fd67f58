//! The test bed: the operator, a namespace with a claim for model versions, and objects that work unless a test changes
//! them.

use std::time::Duration;

use anyhow::{Context, Result, ensure};
use e2e::{Cluster, TestNamespace, eventually};
use k8s_openapi::{
    NamespaceResourceScope,
    api::{
        apps::v1::Deployment,
        core::v1::{Namespace, PersistentVolumeClaim},
        events::v1::Event,
    },
    apimachinery::pkg::apis::meta::v1::Condition,
};
use kube::{
    Api, ResourceExt,
    api::{DynamicObject, ListParams, Patch, PatchParams, PostParams},
};
use recommender_operator::{
    api::{RecommenderModel, ServingStatus, TrainingStatus},
    kinds::Kind,
};
use serde_json::{Value, json};
use tokio::sync::{OnceCell, RwLock, RwLockReadGuard, RwLockWriteGuard};

use crate::scripts::{server, trainer};

/// Timeout of every expected change: 600 s. Two cores start the pods of all tests, on some machines three times as slowly as on others.
pub const TIMEOUT: Duration = Duration::from_secs(600);

/// The user name of the operator's service account at the API server.
pub const OPERATOR: &str = "system:serviceaccount:recommender-operator:recommender-operator";

/// `deadlineSeconds` of the trainers: 900 s, longer than any change is waited for. What keeps a pod from starting would be reported as an
/// exceeded deadline after it.
pub const DEADLINE_SECONDS: u32 = 900;

/// The claim for model versions in each test's namespace.
const CLAIM: &str = "models";

/// The installation of the operator, once per process.
static INSTALLED: OnceCell<()> = OnceCell::const_new();

/// Held shared by each running test, and exclusively by a test that must run alone.
static RUNNING: RwLock<()> = RwLock::const_new(());

/// How long a test may wait until all other tests have ended: 3600 s. Each of them has time-outs of its own, and together they take a
/// quarter of an hour on a fast machine.
const ALONE_TIMEOUT: Duration = Duration::from_secs(3600);

/// Whether other tests may run at the same time.
enum Isolation {
    Shared {
        _guard: RwLockReadGuard<'static, ()>,
    },
    Alone {
        _guard: RwLockWriteGuard<'static, ()>,
    },
    /// While changing from shared to alone.
    Waiting,
}

/// The test bed of a test.
pub struct Bed {
    /// The cluster.
    pub cluster: Cluster,
    /// The test's own namespace.
    pub namespace: TestNamespace,
    image: String,
    isolation: Isolation,
}

impl Bed {
    /// Creates a test bed with a new namespace; `hint` is part of its name.
    pub async fn new(hint: &str) -> Result<Self> {
        let isolation = Isolation::Shared { _guard: RUNNING.read().await };
        let cluster = e2e::cluster().await?;
        INSTALLED.get_or_try_init(async || cluster.operator().await).await?;
        let image = cluster.double_image().await?;
        let namespace = cluster.namespace(hint).await?;
        let claims: Api<PersistentVolumeClaim> = Api::namespaced(cluster.client(), &namespace.name);
        let claim = json!({
            "metadata": {"name": CLAIM},
            "spec": {"accessModes": ["ReadWriteOnce"], "resources": {"requests": {"storage": "1Gi"}}},
        });
        claims.create(&PostParams::default(), &serde_json::from_value(claim)?).await?;
        Ok(Self { cluster, namespace, image, isolation })
    }

    /// Waits until no other test runs, and keeps others from starting: for tests that count all requests or kill the
    /// operator. Objects that were created before stay.
    pub async fn alone(&mut self) -> Result<()> {
        self.isolation = Isolation::Waiting;
        let guard = eventually("all other tests have ended", ALONE_TIMEOUT, async || Ok(RUNNING.try_write()?)).await?;
        self.isolation = Isolation::Alone { _guard: guard };
        Ok(())
    }

    /// Deletes the pod of the operator. Only for tests that are [alone](Bed::alone). With a grace period of 0 it is
    /// killed without SIGTERM.
    pub async fn kill_operator(&self, grace_period_seconds: u32) -> Result<()> {
        ensure!(matches!(self.isolation, Isolation::Alone { .. }), "other tests need the operator");
        let grace = format!("--grace-period={grace_period_seconds}");
        let (release, selector) = (e2e::operator::RELEASE, e2e::operator::SELECTOR);
        let mut delete = vec!["-n", release, "delete", "pods", "--selector", selector];
        delete.extend(["--wait=false", &grace]);
        if grace_period_seconds == 0 {
            delete.push("--force");
        }
        self.cluster.kubectl(&delete).await.map(drop)
    }

    /// An object that trains and serves, with `changes` merged into it (RFC 7396).
    pub fn object(&self, name: &str, changes: Value) -> Value {
        let mut object = json!({
            "apiVersion": "recommender.dev/v1alpha1",
            "kind": "RecommenderModel",
            "metadata": {"name": name},
            "spec": {
                "artifacts": {"persistentVolumeClaim": {"claimName": CLAIM}},
                "training": {
                    "image": self.image,
                    "full": {"command": ["sh", "-c", trainer::GOOD], "backoffLimit": 0, "deadlineSeconds": DEADLINE_SECONDS},
                },
                "serving": {
                    "image": self.image,
                    "command": ["sh", "-c", server::GOOD],
                    "probes": {"periodSeconds": 1},
                    "resources": {"requests": {"cpu": "10m"}},
                },
            },
        });
        merge(&mut object, changes);
        object
    }

    /// `spec.monitoring` for the metrics of [`Bed::object`].
    pub fn monitoring() -> Value {
        json!({"metrics": {"profile": "FastApiInstrumentator", "path": server::METRICS_PATH}})
    }

    /// The image of the trainers and servers: the test double.
    pub fn image(&self) -> &str {
        &self.image
    }

    /// Creates [`Bed::object`].
    pub async fn create(&self, name: &str, changes: Value) -> Result<RecommenderModel> {
        let object = serde_json::from_value(self.object(name, changes))?;
        self.models().create(&PostParams::default(), &object).await.with_context(|| format!("cannot create {name}"))
    }

    /// Merges `changes` into an object, as a user with kubectl does.
    pub async fn edit(&self, name: &str, changes: Value) -> Result<RecommenderModel> {
        let patch = Patch::Merge(changes);
        self.models().patch(name, &user(), &patch).await.with_context(|| format!("cannot edit {name}"))
    }

    /// Requests a training run.
    pub async fn request(&self, name: &str, value: &str) -> Result<RecommenderModel> {
        self.edit(name, json!({"metadata": {"annotations": {"recommender.dev/train": value}}})).await
    }

    /// The API of the RecommenderModels.
    pub fn models(&self) -> Api<RecommenderModel> {
        Api::namespaced(self.cluster.client(), &self.namespace.name)
    }

    /// The API of a kind that is known at compile time.
    pub fn api<K>(&self) -> Api<K>
    where
        K: kube::Resource<Scope = NamespaceResourceScope, DynamicType = ()>,
    {
        Api::namespaced(self.cluster.client(), &self.namespace.name)
    }

    /// The API of a kind of children.
    pub fn children(&self, kind: Kind) -> Api<DynamicObject> {
        Api::namespaced_with(self.cluster.client(), &self.namespace.name, &kind.resource())
    }

    /// Waits until an object is as desired.
    pub async fn until(
        &self,
        name: &str,
        what: &str,
        is_desired: impl Fn(&RecommenderModel) -> bool,
    ) -> Result<RecommenderModel> {
        e2e::until(&self.models(), name, what, TIMEOUT, is_desired).await
    }

    /// Waits until the current generation of an object is rolled out and ready.
    pub async fn served(&self, name: &str) -> Result<RecommenderModel> {
        self.until(name, "is served as specified", |model| {
            is(model, "Ready", "True") && is(model, "ServingReady", "True") && is(model, "Reconciling", "False")
        })
        .await
    }

    /// The response of the servers of an object, which must be 200.
    pub async fn answer(&self, service: &str, path: &str) -> Result<String> {
        let (status, body) = self.cluster.service_get(&self.namespace.name, service, 80, path).await?;
        ensure!(status == 200, "{status} {body}");
        Ok(body.trim().to_owned())
    }

    /// Waits for a response of the servers. kube-proxy needs a moment after the pods are ready.
    pub async fn answers(&self, service: &str, path: &str) -> Result<String> {
        eventually(&format!("{service} answers {path}"), TIMEOUT, async || self.answer(service, path).await).await
    }

    /// The serving Deployment of an object whose children are named after `base`.
    pub async fn deployment(&self, base: &str) -> Result<Deployment> {
        Ok(self.api::<Deployment>().get(&format!("{base}-serving")).await?)
    }

    /// Waits until the reasons of the Events about an object are exactly these, in this order. An Event is written
    /// right after the status that it is about.
    pub async fn until_events(&self, model: &RecommenderModel, reasons: &[&str]) -> Result<()> {
        eventually(&format!("the events are {reasons:?}"), TIMEOUT, async || {
            let events = self.events(model).await?;
            let found: Vec<_> = events.into_iter().filter_map(|event| event.reason).collect();
            ensure!(found == reasons, "{found:?}");
            Ok(())
        })
        .await
    }

    /// The Events about an object, oldest first.
    pub async fn events(&self, model: &RecommenderModel) -> Result<Vec<Event>> {
        let events = self.api::<Event>().list(&ListParams::default()).await?;
        let about = |event: &Event| event.regarding.as_ref().and_then(|object| object.uid.clone()) == model.uid();
        let mut events: Vec<_> = events.into_iter().filter(about).collect();
        events.sort_by_key(|event| (event.event_time.as_ref().map(|time| time.0), event.name_any()));
        Ok(events)
    }
}

/// Waits until all namespaces of finished tests are gone.
pub async fn terminating_namespaces_are_gone(cluster: &Cluster) -> Result<()> {
    let namespaces: Api<Namespace> = Api::all(cluster.client());
    eventually("the namespaces of earlier tests are gone", TIMEOUT, async || {
        let namespaces = namespaces.list(&ListParams::default()).await?;
        let terminating = namespaces.iter().filter(|namespace| namespace.metadata.deletion_timestamp.is_some());
        let terminating: Vec<_> = terminating.map(ResourceExt::name_any).collect();
        ensure!(terminating.is_empty(), "{terminating:?}");
        Ok(())
    })
    .await
}

/// Patch parameters with the field manager of `kubectl edit`.
pub fn user() -> PatchParams {
    PatchParams { field_manager: Some("kubectl-edit".into()), ..PatchParams::default() }
}

/// A condition of an object, if it is about the current generation.
pub fn condition<'a>(model: &'a RecommenderModel, kind: &str) -> Option<&'a Condition> {
    let conditions = &model.status.as_ref()?.conditions;
    let is_current = |condition: &&Condition| condition.observed_generation == model.metadata.generation;
    conditions.iter().find(|condition| condition.type_ == kind).filter(is_current)
}

/// Whether a condition has this status, for the current generation.
pub fn is(model: &RecommenderModel, kind: &str, status: &str) -> bool {
    condition(model, kind).is_some_and(|condition| condition.status == status)
}

/// Whether a condition has this reason and `text` in its message, for the current generation.
pub fn has_message(model: &RecommenderModel, kind: &str, reason: &str, text: &str) -> bool {
    condition(model, kind).is_some_and(|condition| condition.reason == reason && condition.message.contains(text))
}

/// The serving status.
pub fn serving(model: &RecommenderModel) -> ServingStatus {
    model.status.as_ref().and_then(|status| status.serving.clone()).unwrap_or_default()
}

/// The training status.
pub fn training(model: &RecommenderModel) -> TrainingStatus {
    model.status.as_ref().and_then(|status| status.training.clone()).unwrap_or_default()
}

/// Applies a JSON merge patch (RFC 7396).
fn merge(target: &mut Value, patch: Value) {
    let Value::Object(changes) = patch else {
        *target = patch;
        return;
    };
    if !target.is_object() {
        *target = json!({});
    }
    for (name, change) in changes {
        match change {
            Value::Null => drop(target.as_object_mut().and_then(|fields| fields.remove(&name))),
            change => merge(&mut target[name], change),
        }
    }
}
