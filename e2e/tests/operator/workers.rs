//! Workers that scale on a lag. The lag is a PromQL expression that each test sets; real brokers are in the live tests.

use std::time::Duration;

use anyhow::{Context, Result, ensure};
use e2e::{eventually, until_gone};
use k8s_openapi::api::{apps::v1::Deployment, autoscaling::v2::HorizontalPodAutoscaler};
use kube::api::{DeleteParams, PostParams};
use recommender_operator::api::{RecommenderModel, WorkerStatus};
use serde_json::{Value, json};

use crate::{
    audit::{Audit, Request},
    bed::{Bed, TIMEOUT, has_message, is},
};

/// How long scaling to zero may take: the last replica is removed after five minutes without messages, on a busy machine later.
const IDLE_TIMEOUT: Duration = Duration::from_secs(900);

/// The Deployment of the worker.
const DEPLOYMENT: &str = "shop-worker-events";

/// A change of an object: a worker, and the lag and rate of its dependency.
fn with_lag(bed: &Bed, min_replicas: i32, lag: &str, rate: &str) -> Value {
    json!({"spec": {
        "workers": [{
            "name": "events",
            "image": bed.image(),
            "command": ["sleep", "100000"],
            "terminationGraceSeconds": 1,
            "autoscaling": {
                "minReplicas": min_replicas, "maxReplicas": 4, "lag": {"dependency": "own", "catchUpSeconds": 30},
            },
        }],
        "dependencies": [{"name": "own", "custom": {"lag": lag, "consumed": rate, "arrivals": rate}}],
        "monitoring": {"metrics": {"profile": "FastApiInstrumentator"}},
    }})
}

fn worker(model: &RecommenderModel) -> WorkerStatus {
    let status = model.status.clone().unwrap_or_default();
    status.workers.into_iter().find(|worker| worker.name == "events").unwrap_or_default()
}

fn decided(model: &RecommenderModel) -> i32 {
    worker(model).scaling.map_or(-1, |scaling| scaling.replicas)
}

async fn window(bed: &Bed) -> Result<(i32, i32)> {
    let autoscaler = bed.api::<HorizontalPodAutoscaler>().get(DEPLOYMENT).await?;
    let spec = autoscaler.spec.context("an autoscaler without a spec")?;
    Ok((spec.min_replicas.unwrap_or(1), spec.max_replicas))
}

pub async fn a_worker_follows_its_lag_and_yields_to_another_autoscaler() -> Result<()> {
    let bed = Bed::new("lag").await?;
    let audit = bed.cluster.is_ours().then(|| Audit::from_now(&bed.cluster)).transpose()?;
    bed.create("shop", with_lag(&bed, 1, "vector(6000)", "vector(10)")).await?;
    let model =
        bed.until("shop", "has more workers", |model| decided(model) >= 2 && worker(model).replicas >= 2).await?;
    ensure!(is(&model, "ScalingActive", "True") && is(&model, "WorkersReady", "True"), "{:?}", model.status);
    let scaling = worker(&model).scaling.context("nothing was decided")?;
    ensure!(scaling.message.contains("6000 messages behind"), "{}", scaling.message);
    eventually("there is an Event of the decision", TIMEOUT, async || {
        let reasons: Vec<_> = bed.events(&model).await?.into_iter().filter_map(|event| event.reason).collect();
        ensure!(reasons.iter().any(|reason| reason == "Scaled"), "{reasons:?}");
        Ok(())
    })
    .await?;
    let model = bed.until("shop", "has all its workers", |model| decided(model) == 4).await?;
    ensure!(window(&bed).await? == (4, 4), "{:?}", window(&bed).await?);
    ensure!(worker(&model).scaling.is_some_and(|scaling| !scaling.decisions.is_empty()), "{:?}", model.status);
    if let Some(audit) = audit {
        // The operator sets the replicas itself, without waiting for the autoscaler. That syncs every 15 s, and may do so in the moment
        // between its new bounds and the order, which then follows.
        let requests = audit.requests(&bed.namespace.name)?;
        let of_replicas = |request: &&Request| request.is_write() && request.resource == "deployments/scale";
        let of_replicas: Vec<_> = requests.iter().filter(of_replicas).filter(|request| request.code < 300).collect();
        let follows = of_replicas.windows(2).all(|pair| pair.iter().any(|by| by.is_operators()));
        ensure!(follows && of_replicas.last().is_some_and(|by| by.is_operators()), "{of_replicas:?}");
    }

    // The lag is missing: the operator does not scale down, and reports it.
    bed.edit("shop", with_lag(&bed, 1, "vector(1) > 2", "vector(10)")).await?;
    let missing =
        |model: &RecommenderModel| has_message(model, "ScalingActive", "MetricsMissing", "recommender:lag_messages");
    let model = bed.until("shop", "misses its metrics", missing).await?;
    ensure!(decided(&model) == 4 && worker(&model).desired_replicas == 4, "{:?}", model.status);

    // Another autoscaler.
    let other = json!({
        "metadata": {"name": "theirs"},
        "spec": {
            "maxReplicas": 3, "minReplicas": 3,
            "scaleTargetRef": {"apiVersion": "apps/v1", "kind": "Deployment", "name": DEPLOYMENT},
        },
    });
    let autoscalers = bed.api::<HorizontalPodAutoscaler>();
    autoscalers.create(&PostParams::default(), &serde_json::from_value(other)?).await?;
    bed.until("shop", "reports it", |model| has_message(model, "ScalingActive", "ScalingConflict", "theirs")).await?;
    until_gone(&autoscalers, DEPLOYMENT, TIMEOUT).await?;
    autoscalers.delete("theirs", &DeleteParams::default()).await?;
    eventually("ours is back", TIMEOUT, async || window(&bed).await.map(drop)).await?;

    // A removed worker is deleted with its autoscaler.
    bed.edit("shop", json!({"spec": {"workers": null}})).await?;
    until_gone(&bed.api::<Deployment>(), DEPLOYMENT, TIMEOUT).await?;
    until_gone(&autoscalers, DEPLOYMENT, TIMEOUT).await
}

pub async fn a_worker_without_work_scales_to_zero_and_back_up_with_work() -> Result<()> {
    let bed = Bed::new("zero").await?;
    // The minutes without messages begin anew whenever Prometheus is restarted, as the rules of the objects beside it do to the default.
    bed.cluster.steady_prometheus().await?;
    let mut changes = with_lag(&bed, 0, "vector(0)", "vector(0)");
    changes["spec"]["monitoring"]["source"] = "steady".into();
    changes["spec"]["monitoring"]["labels"] = json!({"prometheus": "steady"});
    bed.create("shop", changes).await?;
    let none = |model: &RecommenderModel| decided(model) == 0 && worker(model).desired_replicas == 0;
    e2e::until(&bed.models(), "shop", "has no workers", IDLE_TIMEOUT, none).await?;
    let deployment = bed.api::<Deployment>().get(DEPLOYMENT).await?;
    ensure!(deployment.spec.and_then(|spec| spec.replicas) == Some(0), "replicas are left");
    bed.edit("shop", with_lag(&bed, 0, "vector(5)", "vector(1)")).await?;
    bed.until("shop", "has a worker again", |model| decided(model) >= 1 && worker(model).replicas >= 1).await.map(drop)
}
