//! The operator with its own API server, on which definitions can be missing or wrong. No pods run: the tests check
//! what the operator requests from the API server.

use std::time::Duration;

use anyhow::{Context, Result, ensure};
use e2e::{Bare, define, eventually, monitoring_definition};
use k8s_openapi::{
    api::{
        core::v1::{Namespace, Service},
        events::v1::Event,
    },
    apiextensions_apiserver::pkg::apis::apiextensions::v1::CustomResourceDefinition,
    apimachinery::pkg::apis::meta::v1::Condition,
};
use kube::{
    Api, Client,
    api::{DynamicObject, ListParams, PostParams},
    core::ApiResource,
};
use recommender_operator::{
    api::{
        RecommenderModel,
        conditions::{reasons, types},
        crd,
        monitoring_coreos::{PrometheusRule, ServiceMonitor},
    },
    controller::{self, Settings},
    monitoring::alerts::RUNBOOKS,
    observe::Scope,
    telemetry::{Health, Metrics},
    training::TrainingLimits,
};
use serde_json::{Value, json};
use tokio::{sync::oneshot, task::JoinHandle, time::Instant};

/// Timeout of every expected change: a watch of a kind that is missing is tried again after half a minute at the latest, and one whose
/// kind was removed ends after a minute at the latest, beside three API servers that start at the same time.
const TIMEOUT: Duration = Duration::from_secs(180);
/// The namespace of all objects.
const NAMESPACE: &str = "default";

/// The operator in this process. It stops when this is dropped.
struct Operator {
    metrics: Metrics,
    _stop: oneshot::Sender<()>,
    _task: JoinHandle<Result<()>>,
}

impl Operator {
    fn start(client: Client) -> Self {
        let (metrics, health) = (Metrics::new(), Health::new(Instant::now()));
        let (sender, receiver) = oneshot::channel::<()>();
        let stop = async {
            let _ = receiver.await;
        };
        let settings = Settings {
            scopes: vec![Scope::All],
            concurrency: 4,
            trainings: TrainingLimits::default(),
            fence: None,
            sources: Vec::new(),
            runbooks: RUNBOOKS.into(),
            hot_reload: false,
        };
        let task = tokio::spawn(controller::run(client, settings, metrics.clone(), health, stop));
        Self { metrics, _stop: sender, _task: task }
    }

    fn metric(&self, series: &str) -> Option<f64> {
        let text = String::from_utf8(self.metrics.encode().ok()?).ok()?;
        text.lines().find_map(|line| line.strip_prefix(series)?.trim().parse().ok())
    }
}

/// Starts an API server with this definition of RecommenderModel, and returns a client.
async fn server_with(definition: &CustomResourceDefinition) -> Result<(Bare, Client)> {
    let bare = Bare::start().await?;
    let client = bare.client()?;
    let namespaces: Api<Namespace> = Api::all(client.clone());
    eventually("the default namespace exists", TIMEOUT, async || {
        namespaces.get_opt(NAMESPACE).await?.context("not yet").map(drop)
    })
    .await?;
    define(&client, definition).await?;
    Ok((bare, client))
}

fn object(name: &str) -> Value {
    json!({
        "apiVersion": "recommender.dev/v1alpha1", "kind": "RecommenderModel",
        "metadata": {"name": name},
        "spec": {
            "artifacts": {"persistentVolumeClaim": {"claimName": "models"}},
            "training": {"image": "trainer:1", "full": {"args": ["train"]}},
            "serving": {"image": "server:1"},
            "monitoring": {"metrics": {"profile": "FastApiInstrumentator"}},
        },
    })
}

async fn create(client: &Client, object: Value) -> Result<()> {
    let kind = ApiResource::erase::<RecommenderModel>(&());
    let objects: Api<DynamicObject> = Api::namespaced_with(client.clone(), NAMESPACE, &kind);
    objects.create(&PostParams::default(), &serde_json::from_value(object)?).await?;
    Ok(())
}

/// Waits until an object's condition has a reason.
async fn until_reason(client: &Client, name: &str, type_: &str, reason: &str) -> Result<Condition> {
    let kind = ApiResource::erase::<RecommenderModel>(&());
    let objects: Api<DynamicObject> = Api::namespaced_with(client.clone(), NAMESPACE, &kind);
    eventually(&format!("{type_} of {name} is {reason}"), TIMEOUT, async || {
        let object = objects.get(name).await?;
        let conditions: Vec<Condition> = serde_json::from_value(object.data["status"]["conditions"].clone())?;
        let condition = conditions.into_iter().find(|condition| condition.type_ == type_);
        let condition = condition.context("no such condition")?;
        ensure!(condition.reason == reason, "{condition:?}");
        Ok(condition)
    })
    .await
}

#[tokio::test(flavor = "multi_thread")]
async fn without_prometheus_operator_all_else_works_and_its_kinds_are_used_once_they_exist() -> Result<()> {
    let (_bare, client) = server_with(&crd::crd()).await?;
    let _operator = Operator::start(client.clone());
    create(&client, object("packages")).await?;

    let missing = until_reason(&client, "packages", types::MONITORING_READY, reasons::API_MISSING).await?;
    ensure!(missing.message.contains("install prometheus-operator"), "{}", missing.message);
    Api::<Service>::namespaced(client.clone(), NAMESPACE).get("packages").await.context("the Service is made")?;
    until_reason(&client, "packages", types::TRAINING_READY, reasons::TRAINING).await?;

    define(&client, &monitoring_definition("ServiceMonitor", "servicemonitors")?).await?;
    define(&client, &monitoring_definition("PrometheusRule", "prometheusrules")?).await?;
    let ready = until_reason(&client, "packages", types::MONITORING_READY, reasons::AS_SPECIFIED).await?;
    ensure!(ready.status == "True", "{ready:?}");
    Api::<ServiceMonitor>::namespaced(client.clone(), NAMESPACE).get("packages").await?;
    Api::<PrometheusRule>::namespaced(client.clone(), NAMESPACE).get("packages").await?;

    let definitions: Api<CustomResourceDefinition> = Api::all(client.clone());
    definitions.delete("prometheusrules.monitoring.coreos.com", &Default::default()).await?;
    until_reason(&client, "packages", types::MONITORING_READY, reasons::API_MISSING).await.map(drop)
}

#[tokio::test(flavor = "multi_thread")]
async fn an_undecodable_object_is_reported_once_and_does_not_affect_others() -> Result<()> {
    let mut lax = crd::crd();
    let version = &mut lax.spec.versions[0];
    version.schema = serde_json::from_value(json!({
        "openAPIV3Schema": {"type": "object", "x-kubernetes-preserve-unknown-fields": true},
    }))?;
    let (_bare, client) = server_with(&lax).await?;
    let operator = Operator::start(client.clone());
    let mut poison = object("poison");
    poison["spec"]["serving"]["port"] = json!({"number": "eight thousand"});
    create(&client, poison).await?;
    for name in ["a", "b", "c"] {
        create(&client, object(name)).await?;
    }

    for name in ["a", "b", "c"] {
        until_reason(&client, name, types::TRAINING_READY, reasons::TRAINING).await?;
    }
    let stalled = until_reason(&client, "poison", types::STALLED, reasons::INVALID_SPEC).await?;
    ensure!(stalled.message.contains("cannot be read by this version of the operator"), "{}", stalled.message);
    let services: Api<Service> = Api::namespaced(client.clone(), NAMESPACE);
    ensure!(services.get_opt("poison").await?.is_none(), "an undecodable object has children");
    eventually("the undecodable object is counted", TIMEOUT, async || {
        let counted = operator.metric("recommender_operator_undecodable_objects");
        ensure!(counted == Some(1.0), "{counted:?}");
        Ok(())
    })
    .await?;
    // An Event is written after the status that it is about.
    let has_one_event = async || {
        let events = Api::<Event>::namespaced(client.clone(), NAMESPACE).list(&ListParams::default()).await?;
        let about =
            |event: &&Event| event.regarding.as_ref().and_then(|object| object.name.as_deref()) == Some("poison");
        let found: Vec<_> = events.iter().filter(about).map(|event| event.reason.as_deref()).collect();
        ensure!(found == [Some(reasons::INVALID_SPEC)], "not exactly one Event: {found:?}");
        Ok(())
    };
    eventually("there is an Event", TIMEOUT, has_one_event).await?;
    tokio::time::sleep(Duration::from_secs(2)).await; // long enough for further reconciliations
    has_one_event().await
}

#[tokio::test(flavor = "multi_thread")]
async fn an_invalid_schedule_that_the_schema_accepts_is_reported_in_the_status() -> Result<()> {
    let (_bare, client) = server_with(&crd::crd()).await?;
    let _operator = Operator::start(client.clone());
    for (name, field, value, path) in [
        ("cron", "schedule", "99 3 * * *", "spec.training.full.schedule"),
        ("zone", "timeZone", "Europe/Atlantis", "spec.training.full.timeZone"),
    ] {
        let mut wrong = object(name);
        wrong["spec"]["training"]["full"] = json!({"schedule": "0 3 * * *"});
        wrong["spec"]["training"]["full"][field] = value.into();
        create(&client, wrong).await?;
        let stalled = until_reason(&client, name, types::STALLED, reasons::INVALID_SPEC).await?;
        ensure!(stalled.message.contains(path) && stalled.observed_generation == Some(1), "{stalled:?}");
    }
    Ok(())
}
