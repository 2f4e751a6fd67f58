//! Trainings that the real Kueue admits.

use anyhow::{Context, Result, ensure};
use k8s_openapi::api::{
    batch::v1::Job,
    core::v1::{Namespace, Pod},
};
use kube::{Api, Resource, ResourceExt, api::ListParams};
use serde_json::{Value, json};

use crate::{
    bed::{Bed, has_message, training},
    scripts::trainer,
};

/// CPU of a trainer, and of all that the queue admits at a time.
const CPU: &str = "10m";

/// What the condition contains while Kueue has not admitted the Job of a run.
const WAITS: &str = "waits until Kueue admits its Job";

/// With room for one trainer: Kueue admits the first run, the second one waits, an eviction by Kueue is no failure of the first one,
/// and both train, each with the Job that it began with.
pub async fn kueue_admits_runs_one_after_the_other_and_what_it_evicts_has_not_failed() -> Result<()> {
    let bed = Bed::new("queued").await?;
    bed.cluster.kueue(&bed.namespace.name).await?;
    // At its first start it runs until it is evicted.
    let first = format!(
        "mark=$(dirname ${{RECOMMENDER_OUTPUT_URI#file://}})/started
         if ! test -e $mark; then mkdir -p $(dirname $mark); touch $mark; {}; fi
         {}",
        trainer::HANGS,
        trainer::GOOD
    );
    bed.create("shop", json!({"spec": {"training": queued(&first)}})).await?;
    bed.until("shop", "reports the queue", |model| has_message(model, "TrainingReady", "Training", WAITS)).await?;

    let [flavor, cluster_queue, local_queue] = queues(&bed).await?;
    for object in [&flavor, &cluster_queue, &local_queue] {
        apply(&bed, object).await?;
    }
    let running =
        bed.until("shop", "trains", |model| has_message(model, "TrainingReady", "Training", "under way")).await?;
    let job = training(&running).active.context("a run is under way")?.job;
    runs(&bed, &job).await?;
    bed.create("films", json!({"spec": {"training": queued(trainer::GOOD)}})).await?;
    bed.until("films", "waits for its turn", |model| has_message(model, "TrainingReady", "Training", WAITS)).await?;

    apply(&bed, &with_stop_policy(&cluster_queue, "HoldAndDrain")).await?;
    bed.until("shop", "waits again", |model| has_message(model, "TrainingReady", "Training", WAITS)).await?;
    apply(&bed, &with_stop_policy(&cluster_queue, "None")).await?;
    for name in ["shop", "films"] {
        let model = bed.served(name).await?;
        ensure!(training(&model).consecutive_failures == 0, "{:?}", training(&model));
    }
    let jobs: Vec<String> =
        bed.api::<Job>().list(&ListParams::default()).await?.iter().map(ResourceExt::name_any).collect();
    ensure!(jobs.len() == 2 && jobs.contains(&job), "no run was repeated: {jobs:?}, and {job} was the first");
    Ok(())
}

/// `spec.training` with a queue.
fn queued(script: &str) -> Value {
    json!({
        "full": {"command": ["sh", "-c", script]},
        "resources": {"requests": {"cpu": CPU}},
        "job": {"queueName": "gpus"},
    })
}

/// A flavor, a queue of the cluster with room for one trainer, and the namespace's queue. The first two belong to no namespace and
/// are deleted with the test's.
async fn queues(bed: &Bed) -> Result<[Value; 3]> {
    let name = &bed.namespace.name;
    let namespace = Api::<Namespace>::all(bed.cluster.client()).get(name).await?;
    let owned = json!({"name": name, "ownerReferences": [namespace.owner_ref(&()).context("it has a UID")?]});
    let flavors = json!([{"name": name, "resources": [{"name": "cpu", "nominalQuota": CPU}]}]);
    let group = "kueue.x-k8s.io/v1beta2";
    Ok([
        json!({"apiVersion": group, "kind": "ResourceFlavor", "metadata": owned}),
        json!({
            "apiVersion": group, "kind": "ClusterQueue", "metadata": owned,
            "spec": {"namespaceSelector": {}, "resourceGroups": [{"coveredResources": ["cpu"], "flavors": flavors}]},
        }),
        json!({
            "apiVersion": group, "kind": "LocalQueue", "metadata": {"name": "gpus", "namespace": name},
            "spec": {"clusterQueue": name},
        }),
    ])
}

fn with_stop_policy(queue: &Value, policy: &str) -> Value {
    let mut queue = queue.clone();
    queue["spec"]["stopPolicy"] = policy.into();
    queue
}

/// Applies an object. Kueue's webhooks may not answer yet when its pod is ready.
async fn apply(bed: &Bed, object: &Value) -> Result<()> {
    let arguments = ["apply", "--server-side", "--field-manager=e2e", "-f", "-"];
    let what = format!("{} is applied", object["kind"]);
    let text = object.to_string();
    e2e::eventually(&what, crate::bed::TIMEOUT, async || {
        bed.cluster.kubectl_with_input(&arguments, &text).await.map(drop)
    })
    .await
}

/// Waits until the pod of a Job runs.
async fn runs(bed: &Bed, job: &str) -> Result<()> {
    let pods = ListParams::default().labels(&format!("batch.kubernetes.io/job-name={job}"));
    e2e::eventually("the trainer runs", crate::bed::TIMEOUT, async || {
        let pods = bed.api::<Pod>().list(&pods).await?;
        let phases: Vec<_> = pods.iter().filter_map(|pod| pod.status.as_ref()?.phase.clone()).collect();
        ensure!(phases == ["Running"], "{phases:?}");
        Ok(())
    })
    .await
}
