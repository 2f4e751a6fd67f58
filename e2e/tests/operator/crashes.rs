//! Restarts of the operator.

use std::{collections::HashSet, time::Duration};

use anyhow::{Context, Result, ensure};
use e2e::{eventually, operator::RELEASE};
use futures::{StreamExt, TryStreamExt, future::try_join_all, stream};
use k8s_openapi::api::{batch::v1::Job, core::v1::Pod};
use kube::{
    Api, ResourceExt,
    api::ListParams,
    runtime::{WatchStreamExt, watcher},
};
use recommender_operator::{api::RecommenderModel, kinds::Kind};
use serde_json::json;

use crate::{
    audit::{Audit, Request},
    bed::{Bed, TIMEOUT, is, serving, training},
};

/// A value of a metric of the operator.
async fn metric(bed: &Bed, name: &str) -> Result<f64> {
    let (status, text) = bed.cluster.service_get(RELEASE, RELEASE, 8080, "/metrics").await?;
    ensure!(status == 200, "{status}");
    let line = text.lines().find_map(|line| line.strip_prefix(name)).with_context(|| format!("no {name}"))?;
    Ok(line.trim().parse()?)
}

async fn operator_pods(bed: &Bed) -> Result<Vec<String>> {
    let pods: Api<Pod> = Api::namespaced(bed.cluster.client(), RELEASE);
    let ours = ListParams::default().labels(e2e::operator::SELECTOR);
    Ok(pods.list(&ours).await?.iter().filter_map(ResourceExt::uid).collect())
}

/// Waits until a pod other than those of `before` has reconciled all objects.
async fn has_reconciled_again(bed: &Bed, before: &[String]) -> Result<()> {
    eventually("another operator has reconciled everything", TIMEOUT, async || {
        let pods = operator_pods(bed).await?;
        ensure!(
            !pods.is_empty() && pods.iter().all(|pod| !before.contains(pod)),
            "the old pod is still terminating: {pods:?}"
        );
        let objects = metric(bed, "recommender_operator_objects").await?;
        let reconciled = metric(bed, "recommender_operator_reconciles_total{result=\"success\"}").await?;
        let in_flight = metric(bed, "recommender_operator_reconciles_in_flight").await?;
        ensure!(
            objects >= 3.0 && reconciled >= objects && in_flight == 0.0,
            "{reconciled} reconciliations of {objects} objects, {in_flight} in flight"
        );
        Ok(())
    })
    .await
}

pub async fn a_restart_with_converged_objects_only_lists_and_watches() -> Result<()> {
    let mut bed = Bed::new("restart").await?;
    for name in ["one", "two", "three"] {
        let autoscaling = json!({"minReplicas": 1, "maxReplicas": 2});
        let spec = json!({"serving": {"autoscaling": autoscaling}, "monitoring": Bed::monitoring()});
        bed.create(name, json!({"spec": spec})).await?;
    }
    let names = ["one", "two", "three"];
    try_join_all(names.map(|name| bed.served(name))).await?;
    let is_complete =
        |model: &RecommenderModel| ["ScalingActive", "MonitoringReady"].iter().all(|of| is(model, of, "True"));
    try_join_all(names.map(|name| bed.until(name, "is scaled and scraped", is_complete))).await?;
    bed.alone().await?;
    let before = operator_pods(&bed).await?;
    let audit = Audit::from_now(&bed.cluster)?;
    bed.kill_operator(30).await?;
    has_reconciled_again(&bed, &before).await?;

    let requests: Vec<Request> = audit.requests(RELEASE)?.into_iter().filter(Request::is_operators).collect();
    let here: Vec<_> = requests.iter().filter(|request| request.namespace == bed.namespace.name).collect();
    ensure!(here.is_empty(), "requests about converged objects: {here:#?}");
    let listed: HashSet<_> = requests.iter().filter(|request| request.verb == "list").map(|r| &r.resource).collect();
    ensure!(listed.len() == 2 + Kind::ALL.len(), "objects, each kind of children and pods are listed: {listed:?}");
    let own = |request: &&Request| request.namespace == RELEASE && request.resource == "leases";
    let of_all = requests.iter().filter(|request| request.namespace.is_empty() || own(request));
    let other: Vec<_> = of_all.filter(|r| !own(r) && !matches!(r.verb.as_str(), "list" | "watch")).collect();
    ensure!(other.is_empty(), "neither a list nor a watch nor its lease: {other:#?}");
    Ok(())
}

/// Records the UID of every Job by its model.
async fn record_jobs(jobs: Api<Job>, recorded: &std::sync::Mutex<HashSet<(String, String)>>) -> Result<()> {
    let watch = watcher(jobs, watcher::Config::default()).default_backoff().applied_objects();
    watch
        .try_for_each(|job| {
            if let Ok(mut recorded) = recorded.lock() {
                recorded.insert((job.labels()["recommender.dev/model"].clone(), job.uid().unwrap_or_default()));
            }
            std::future::ready(Ok(()))
        })
        .await?;
    Ok(())
}

pub async fn an_operator_killed_every_second_trains_each_object_exactly_once() -> Result<()> {
    let mut bed = Bed::new("killed").await?;
    bed.alone().await?;
    let names = ["one", "two", "three", "four", "five"];
    let jobs = std::sync::Mutex::new(HashSet::new());
    let work = async {
        let create = async {
            for name in names {
                bed.create(name, json!({})).await?;
                tokio::time::sleep(Duration::from_secs(2)).await;
            }
            anyhow::Ok(())
        };
        let kill = stream::iter(0..10).map(Ok).try_for_each(|_| async {
            bed.kill_operator(0).await?;
            tokio::time::sleep(Duration::from_secs(1)).await;
            anyhow::Ok(())
        });
        futures::try_join!(create, kill)?;
        try_join_all(names.map(|name| bed.served(name))).await
    };
    let models = tokio::select! {
        models = work => models?,
        ended = record_jobs(bed.api(), &jobs) => { ended?; anyhow::bail!("the watch of the Jobs ended") }
    };
    for model in &models {
        let version = serving(model).version.context("a version is served")?;
        ensure!(training(model).last.is_some_and(|run| run.succeeded && run.version == version), "{:#?}", model.status);
        let name = model.name_any();
        let ran = jobs.lock().map(|jobs| jobs.iter().filter(|(of, _)| *of == name).count()).unwrap_or_default();
        ensure!(ran == 1, "{name} was trained by {ran} Jobs");
        ensure!(bed.answers(&name, "/version").await? == version, "{name}: another version answers");
    }
    Ok(())
}
