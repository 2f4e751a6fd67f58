//! Stands in for what a bare API server lacks: a Job controller, a Deployment controller and a kubelet. Servers start in
//! [`SERVER_START`].

use std::{fmt::Debug, time::Duration};

use anyhow::{Context, Result};
use futures::TryStreamExt;
use jiff::Timestamp;
use k8s_openapi::api::{apps::v1::Deployment, batch::v1::Job, core::v1::Pod};
use kube::{
    Api, Client, Resource, ResourceExt,
    api::{Patch, PatchParams, PostParams},
    runtime::{WatchStreamExt, watcher},
};
use serde::de::DeserializeOwned;
use serde_json::{Value, json};

/// From the creation of a Deployment until its pods are ready: 1 s. That is longer than the rest of the reconcile that
/// created it; otherwise the same reconcile would report both, with one request less than for a real server.
const SERVER_START: Duration = Duration::from_secs(1);

/// Completes every Job after `trainer` and rolls out every Deployment of a namespace, until it is dropped.
pub async fn run(client: Client, namespace: &str, trainer: Duration) -> Result<()> {
    let (jobs, deployments) = (Api::namespaced(client.clone(), namespace), Api::namespaced(client.clone(), namespace));
    let pods = Api::namespaced(client, namespace);
    tokio::try_join!(
        each(&jobs, |job| complete(&jobs, &pods, job, trainer)),
        each(&deployments, |deployment| roll_out(&deployments, deployment)),
    )
    .map(drop)
}

/// Does something with every object that is new or was changed.
async fn each<K, F>(api: &Api<K>, what: impl Fn(K) -> F) -> Result<()>
where
    K: Resource<DynamicType = ()> + Clone + DeserializeOwned + Debug + Send + 'static,
    F: Future<Output = Result<()>>,
{
    let changed = watcher(api.clone(), watcher::Config::default()).applied_objects().map_err(Into::into);
    changed.try_for_each_concurrent(None, what).await
}

/// Ends the run of a Job: its pod has ended with a valid report, then the Job is complete.
async fn complete(jobs: &Api<Job>, pods: &Api<Pod>, job: Job, trainer: Duration) -> Result<()> {
    if job.status.as_ref().is_some_and(|status| status.completion_time.is_some()) {
        return Ok(());
    }
    tokio::time::sleep(trainer).await;
    let (name, now) = (job.name_any(), Timestamp::now().to_string());
    let template = job.spec.clone().context("a Job has a spec")?.template;
    let mut pod = Pod { metadata: template.metadata.unwrap_or_default(), spec: template.spec, status: None };
    pod.metadata.name = Some(format!("{name}-0"));
    pod.metadata.owner_references = job.controller_owner_ref(&()).map(|owner| vec![owner]);
    let containers = pod.spec.as_ref().context("a pod template has a spec")?.containers.clone();
    let [trainer] = &containers[..] else { anyhow::bail!("{name} has {} containers", containers.len()) };
    let output = trainer.env.iter().flatten().find(|variable| variable.name == "RECOMMENDER_OUTPUT_URI");
    let report = json!({
        "metrics": {"precision_at_10": "0.31"},
        "artifact": {
            "uri": output.and_then(|output| output.value.as_ref()).map(|uri| format!("{uri}/model.npz")),
            "digest": format!("sha256:{}", "0".repeat(64)),
            "bytes": 123_456,
        },
    });
    let end = json!({
        "exitCode": 0, "reason": "Completed", "startedAt": now, "finishedAt": now, "message": report.to_string(),
    });
    let container = json!({
        "name": trainer.name, "image": trainer.image, "imageID": "", "ready": false, "restartCount": 0,
        "state": {"terminated": end},
    });
    pods.create(&PostParams::default(), &pod).await?;
    set_status(pods, &format!("{name}-0"), json!({"phase": "Succeeded", "containerStatuses": [container]})).await?;
    let is_true =
        |type_| json!({"type": type_, "status": "True", "reason": "CompletionsReached", "lastTransitionTime": now});
    let conditions = ["SuccessCriteriaMet", "Complete"].map(is_true);
    set_status(jobs, &name, json!({"startTime": now, "completionTime": now, "succeeded": 1, "conditions": conditions}))
        .await
}

/// Reports all pods of a Deployment as ready, once they have started.
async fn roll_out(deployments: &Api<Deployment>, deployment: Deployment) -> Result<()> {
    let generation = deployment.metadata.generation;
    if deployment.status.as_ref().and_then(|status| status.observed_generation) == generation {
        return Ok(());
    }
    tokio::time::sleep(SERVER_START).await;
    let replicas = deployment.spec.as_ref().and_then(|spec| spec.replicas);
    let status = json!({
        "observedGeneration": generation, "replicas": replicas, "updatedReplicas": replicas, "readyReplicas": replicas,
        "availableReplicas": replicas,
    });
    set_status(deployments, &deployment.name_any(), status).await
}

async fn set_status<K: Clone + DeserializeOwned + Debug>(api: &Api<K>, name: &str, status: Value) -> Result<()> {
    let patch = Patch::Merge(json!({"status": status}));
    Ok(api.patch_status(name, &PatchParams::default(), &patch).await.map(drop)?)
}
