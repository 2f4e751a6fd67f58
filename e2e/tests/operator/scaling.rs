//! Which field manager owns the number of serving pods.

use std::sync::{Arc, Mutex};

use anyhow::{Context, Result, ensure};
use e2e::{eventually, until_gone};
use futures::TryStreamExt;
use k8s_openapi::api::{apps::v1::Deployment, autoscaling::v2::HorizontalPodAutoscaler};
use kube::{
    Api, ResourceExt,
    api::Patch,
    runtime::{WatchStreamExt, watcher},
};
use serde_json::{Value, json};
use tokio::task::JoinHandle;

use crate::bed::{Bed, TIMEOUT, serving, user};

/// The state of a Deployment at some time.
#[derive(Clone, Debug, PartialEq)]
struct Sample {
    replicas: i32,
    /// The field managers of the replicas.
    owners: Vec<String>,
    /// Generation of the Deployment.
    generation: i64,
    /// Value of the environment variable that identifies an update of the test.
    round: Option<String>,
}

/// All states of a Deployment while this exists.
struct Recorder {
    samples: Arc<Mutex<Vec<Sample>>>,
    task: JoinHandle<()>,
}

impl Recorder {
    fn start(deployments: Api<Deployment>, name: &str) -> Self {
        let samples = Arc::new(Mutex::new(Vec::new()));
        let config = watcher::Config::default().fields(&format!("metadata.name={name}"));
        let into = samples.clone();
        let record = watcher(deployments, config).default_backoff().applied_objects().try_for_each(move |deployment| {
            if let Ok(mut samples) = into.lock() {
                samples.push(sample(&deployment));
            }
            std::future::ready(Ok(()))
        });
        let task = tokio::spawn(async move {
            if let Err(error) = record.await {
                eprintln!("the watch of a Deployment ended: {error}");
            }
        });
        Self { samples, task }
    }

    fn samples(&self) -> Vec<Sample> {
        self.samples.lock().map(|samples| samples.clone()).unwrap_or_default()
    }
}

impl Drop for Recorder {
    fn drop(&mut self) {
        self.task.abort();
    }
}

fn sample(deployment: &Deployment) -> Sample {
    let owners = deployment
        .managed_fields()
        .iter()
        .filter(|entry| entry.fields_v1.as_ref().is_some_and(|fields| fields.0["f:spec"]["f:replicas"].is_object()));
    let spec = deployment.spec.clone().unwrap_or_default();
    let containers = spec.template.spec.map(|pod| pod.containers).unwrap_or_default();
    let variables = containers.into_iter().flat_map(|container| container.env.unwrap_or_default());
    Sample {
        replicas: spec.replicas.unwrap_or(1),
        owners: owners.filter_map(|entry| entry.manager.clone()).collect(),
        generation: deployment.metadata.generation.unwrap_or_default(),
        round: variables.into_iter().find(|variable| variable.name == "ROUND").and_then(|variable| variable.value),
    }
}

/// An environment variable that changes the pod template, so that the operator must apply the Deployment.
fn round(round: &str) -> Value {
    json!([{"name": "ROUND", "value": round}])
}

pub async fn the_operator_does_not_own_the_replicas_of_an_autoscaled_deployment() -> Result<()> {
    let bed = Bed::new("replicas").await?;
    let autoscaling = json!({"minReplicas": 1, "maxReplicas": 4});
    bed.create("wide", json!({"spec": {"serving": {"autoscaling": autoscaling, "env": round("one")}}})).await?;
    bed.served("wide").await?;
    let deployments: Api<Deployment> = bed.api();
    let recorder = Recorder::start(deployments.clone(), "wide-serving");
    eventually("the Deployment is watched", TIMEOUT, async || {
        recorder.samples().last().cloned().context("no state was observed")
    })
    .await?;

    // Scale through the subresource, as an autoscaler does. Then change the object, so that the operator applies the
    // Deployment.
    deployments.patch_scale("wide-serving", &user(), &Patch::Merge(json!({"spec": {"replicas": 3}}))).await?;
    bed.edit("wide", json!({"metadata": {"labels": {"touched": "yes"}}, "spec": {"serving": {"env": round("two")}}}))
        .await?;
    e2e::until(&deployments, "wide-serving", "is applied", TIMEOUT, |deployment| {
        sample(deployment).round.as_deref() == Some("two")
    })
    .await?;
    bed.served("wide").await?;

    let samples = recorder.samples();
    let applied =
        samples.windows(2).find(|pair| pair[0].round != pair[1].round).context("the update was not observed")?;
    ensure!(applied[0].replicas == applied[1].replicas, "the operator's update changed the replicas: {applied:#?}");
    ensure!(samples.iter().any(|sample| sample.replicas == 3), "the new number was not observed: {samples:#?}");
    // Until another manager sets them it owns them as who created the Deployment, which conflicts with no other write.
    let mut scaled = samples.iter().skip_while(|sample| sample.replicas != 3);
    let ours = scaled.find(|sample| sample.owners.iter().any(|owner| owner == "recommender-operator"));
    ensure!(ours.is_none(), "the operator owns the replicas: {ours:?}");
    Ok(())
}

pub async fn switching_to_an_autoscaler_and_back_never_reduces_the_replicas() -> Result<()> {
    let bed = Bed::new("handover").await?;
    bed.create("steady", json!({"spec": {"serving": {"replicas": 3}}})).await?;
    bed.served("steady").await?;
    let deployments: Api<Deployment> = bed.api();
    let recorder = Recorder::start(deployments.clone(), "steady-serving");
    eventually("the Deployment is watched", TIMEOUT, async || {
        recorder.samples().last().cloned().context("no state was observed")
    })
    .await?;

    let autoscaling = json!({"minReplicas": 3, "maxReplicas": 5});
    bed.edit("steady", json!({"spec": {"serving": {"replicas": null, "autoscaling": autoscaling}}})).await?;
    let autoscalers: Api<HorizontalPodAutoscaler> = bed.api();
    e2e::until(&autoscalers, "steady-serving", "knows its Deployment", TIMEOUT, |autoscaler| {
        autoscaler.status.as_ref().is_some_and(|status| status.current_replicas == Some(3))
    })
    .await?;
    let handed_over = sample(&deployments.get("steady-serving").await?);
    ensure!(!handed_over.owners.iter().any(|owner| owner == "recommender-operator"), "{handed_over:?}");

    bed.edit("steady", json!({"spec": {"serving": {"replicas": 4, "autoscaling": null}}})).await?;
    until_gone(&autoscalers, "steady-serving", TIMEOUT).await?;
    bed.until("steady", "has four replicas", |model| serving(model).replicas == 4).await?;

    let samples = recorder.samples();
    let fewest = samples.iter().map(|sample| sample.replicas).min();
    ensure!(fewest == Some(3), "there were {fewest:?} replicas at some time: {samples:#?}");
    let taken_back = samples.last().context("samples")?;
    ensure!(taken_back.owners.contains(&"recommender-operator".to_owned()), "{taken_back:?}");
    Ok(())
}
