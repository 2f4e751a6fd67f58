//! The test bed of the live tests: the operator, a namespace with a claim for model versions, and one object.

use std::time::Duration;

use anyhow::{Context, Result, ensure};
use e2e::{Cluster, TestNamespace, eventually};
use k8s_openapi::{
    NamespaceResourceScope,
    api::{apps::v1::Deployment, core::v1::PersistentVolumeClaim, events::v1::Event},
    apimachinery::pkg::apis::meta::v1::Condition,
};
use kube::{
    Api,
    api::{ListParams, PostParams},
};
use recommender_operator::api::{RecommenderModel, RecommenderModelStatus, ScalingStatus};
use serde_json::{Value, json};
use tokio::sync::OnceCell;

/// Timeout of everything before the load: a version is trained, pods start on a busy host, and Prometheus discovers them.
pub const TIMEOUT: Duration = Duration::from_secs(600);

/// How long the report of a decision may take after it was carried out, whose Event is written last.
const REPORTED: Duration = Duration::from_secs(60);

/// Name of the object of each test.
pub const NAME: &str = "packages";

/// The installation of the operator, once per process.
static INSTALLED: OnceCell<()> = OnceCell::const_new();

/// The test bed of a test.
pub struct Bed {
    /// The cluster.
    pub cluster: Cluster,
    /// The test's own namespace.
    pub namespace: TestNamespace,
}

impl Bed {
    /// Creates a test bed with a new namespace; `hint` is part of its name.
    pub async fn new(hint: &str) -> Result<Self> {
        let cluster = e2e::cluster().await?;
        INSTALLED.get_or_try_init(async || cluster.operator().await).await?;
        let namespace = cluster.namespace(hint).await?;
        let bed = Self { cluster, namespace };
        let claim = json!({
            "metadata": {"name": "models"},
            "spec": {"accessModes": ["ReadWriteOnce"], "resources": {"requests": {"storage": "1Gi"}}},
        });
        let claim: PersistentVolumeClaim = serde_json::from_value(claim)?;
        bed.api().create(&PostParams::default(), &claim).await?;
        Ok(bed)
    }

    /// Creates the object: the example recommender with these resources and this autoscaling.
    pub async fn create(&self, resources: Value, autoscaling: Value) -> Result<()> {
        let image = self.cluster.example_image().await?;
        let serving = json!({
            "image": image,
            "args": ["serve"],
            "probes": {"path": "/health", "periodSeconds": 1},
            "resources": resources,
            "autoscaling": autoscaling,
        });
        self.create_with(serving, json!([]), json!([]), json!({})).await
    }

    /// Creates the object: the example recommender without load, a worker and its dependency.
    pub async fn create_worker(&self, worker: Value, dependency: Value) -> Result<()> {
        self.create_without_load(json!([worker]), json!([dependency]), json!({})).await
    }

    /// Creates the object: the example recommender without load, what it stands on, and alerts that differ.
    pub async fn create_dependencies(&self, dependencies: Value, alerts: Value) -> Result<()> {
        self.create_without_load(json!([]), dependencies, alerts).await
    }

    async fn create_without_load(&self, workers: Value, dependencies: Value, alerts: Value) -> Result<()> {
        let image = self.cluster.example_image().await?;
        let serving = json!({"image": image, "args": ["serve"], "probes": {"path": "/health"}, "replicas": 1});
        self.create_with(serving, workers, dependencies, alerts).await
    }

    async fn create_with(&self, serving: Value, workers: Value, dependencies: Value, alerts: Value) -> Result<()> {
        self.create_object(spec(serving, workers, dependencies, alerts)).await
    }

    /// Creates the object with this specification; its versions are stored on the claim.
    pub async fn create_object(&self, mut spec: Value) -> Result<()> {
        spec["artifacts"] = json!({"persistentVolumeClaim": {"claimName": "models"}});
        let object = json!({
            "apiVersion": "recommender.dev/v1alpha1", "kind": "RecommenderModel", "metadata": {"name": NAME}, "spec": spec,
        });
        let object: RecommenderModel = serde_json::from_value(object)?;
        self.api().create(&PostParams::default(), &object).await.context("cannot create the object")?;
        Ok(())
    }

    /// The API of a kind.
    pub fn api<K>(&self) -> Api<K>
    where
        K: kube::Resource<Scope = NamespaceResourceScope, DynamicType = ()>,
    {
        Api::namespaced(self.cluster.client(), &self.namespace.name)
    }

    /// Waits until all desired pods of a Deployment are ready, at least one.
    pub async fn ready(&self, deployment: &str) -> Result<()> {
        e2e::until(&self.api::<Deployment>(), deployment, "is ready", TIMEOUT, |deployment| {
            let ready = deployment.status.as_ref().and_then(|status| status.ready_replicas);
            ready.is_some() && ready == deployment.spec.as_ref().and_then(|spec| spec.replicas)
        })
        .await
        .map(drop)
    }

    /// The single value of a query, in which `$namespace` is replaced by the namespace and `$labels` by the labels of
    /// the object's series. None when there is no series.
    pub async fn query(&self, query: &str) -> Result<Option<f64>> {
        let labels = format!("namespace=\"{}\",recommender=\"{NAME}\"", self.namespace.name);
        let query = query.replace("$labels", &labels).replace("$namespace", &self.namespace.name);
        let found = self.cluster.prometheus(&query).await?;
        ensure!(found.len() <= 1, "{query} has {} answers instead of one: {found:?}", found.len());
        let Some(sample) = found.first() else { return Ok(None) };
        let value = sample["value"][1].as_str().context("a sample has a value")?.parse::<f64>()?;
        Ok(value.is_finite().then_some(value))
    }

    /// Waits until the query has a value, which means that the monitors and rules of the object have reached
    /// Prometheus.
    pub async fn measured(&self, query: &str) -> Result<f64> {
        let what = format!("Prometheus answers {query} in {}", self.namespace);
        eventually(&what, TIMEOUT, async || self.query(query).await?.context("no series")).await
    }

    /// Waits until the single value of the query is as desired.
    pub async fn reaches(&self, query: &str, desired: impl Fn(f64) -> bool) -> Result<f64> {
        eventually(&format!("{query} is as desired in {}", self.namespace), TIMEOUT, async || {
            let value = self.query(query).await?.context("no series")?;
            ensure!(desired(value), "it is {value}");
            Ok(value)
        })
        .await
    }

    /// The status of the object.
    pub async fn status(&self) -> Result<RecommenderModelStatus> {
        self.api::<RecommenderModel>().get(NAME).await?.status.context("there is a status")
    }

    /// The scaling status of the servers, or of the worker with this name.
    pub async fn scaling(&self, worker: Option<&str>) -> Result<ScalingStatus> {
        let status = self.status().await?;
        let found = match worker {
            Some(name) => status.workers.into_iter().find(|worker| worker.name == name).and_then(|own| own.scaling),
            None => status.serving.and_then(|serving| serving.scaling),
        };
        found.context("the status has no scaling")
    }

    /// A condition of the object.
    pub async fn condition(&self, kind: &str) -> Result<Condition> {
        let status = self.status().await?;
        let found = status.conditions.into_iter().find(|condition| condition.type_ == kind);
        found.with_context(|| format!("there is no condition {kind}"))
    }

    /// The messages of all Events about the object, oldest first.
    pub async fn event_messages(&self) -> Result<Vec<String>> {
        let mut events: Vec<Event> = self.api::<Event>().list(&ListParams::default()).await?.items;
        events.retain(|event| event.regarding.as_ref().and_then(|object| object.name.as_deref()) == Some(NAME));
        events.sort_by_key(|event| event.event_time.as_ref().map(|time| time.0));
        Ok(events.into_iter().filter_map(|event| event.note).collect())
    }

    /// Fails unless every change of the number of replicas is reported: in the decisions of the status, newest first,
    /// and in one Event each.
    pub async fn every_change_is_reported(&self, worker: Option<&str>, numbers: &[i32]) -> Result<ScalingStatus> {
        eventually("every change of the replicas is reported", REPORTED, async || {
            let scaling = self.scaling(worker).await?;
            let reported: Vec<i32> = scaling.decisions.iter().rev().map(|decision| decision.to).collect();
            ensure!(
                numbers[1..].iter().all(|number| reported.contains(number)),
                "{numbers:?}, but reported were {reported:?}"
            );
            let messages = self.event_messages().await?;
            for decision in &scaling.decisions {
                let message = &decision.message;
                ensure!(!message.is_empty() && !decision.reason.is_empty(), "no reason is given: {decision:?}");
                ensure!(messages.iter().any(|text| text.contains(message)), "no Event has {message:?}: {messages:#?}");
            }
            Ok(scaling)
        })
        .await
    }
}

fn spec(serving: Value, workers: Value, dependencies: Value, alerts: Value) -> Value {
    json!({
        "training": {"image": serving["image"], "full": {"args": ["train", "--full"], "deadlineSeconds": 600}},
        "serving": serving,
        "workers": workers,
        "dependencies": dependencies,
        "monitoring": {"metrics": {"profile": "FastApiInstrumentator"}, "alerts": alerts},
    })
}
