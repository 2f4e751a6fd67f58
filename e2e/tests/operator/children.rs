//! Children that somebody deletes or edits.

use std::collections::BTreeMap;

use anyhow::{Context, Result, ensure};
use e2e::eventually;
use k8s_openapi::api::batch::v1::Job;
use kube::{
    ResourceExt,
    api::{DeleteParams, DynamicObject, Patch},
};
use recommender_operator::render::Kind;
use serde_json::{Value, json};

use crate::{
    bed::{Bed, PATIENCE, serving, training, user},
    lifecycle::family,
    scripts::trainer,
};

/// The children that an object with everything has, training Jobs left out.
const CHILDREN: [(Kind, &str); 7] = [
    (Kind::ServiceAccount, "shop"),
    (Kind::Service, "shop"),
    (Kind::Deployment, "shop-serving"),
    (Kind::HorizontalPodAutoscaler, "shop-serving"),
    (Kind::PodDisruptionBudget, "shop-serving"),
    (Kind::ServiceMonitor, "shop"),
    (Kind::PrometheusRule, "shop"),
];

fn everything() -> Value {
    json!({"spec": {
        "serving": {"autoscaling": {"minReplicas": 2, "maxReplicas": 4}},
        "monitoring": {"metrics": {"profile": "FastApiInstrumentator"}},
    }})
}

pub async fn a_child_that_is_deleted_comes_back() -> Result<()> {
    let bed = Bed::new("deleted").await?;
    bed.create("shop", everything()).await?;
    let version = serving(&bed.served("shop").await?).version;
    let mut deleted = BTreeMap::new();
    for (kind, name) in CHILDREN {
        let child = bed.children(kind).get(name).await?;
        bed.children(kind).delete(name, &DeleteParams::background()).await?;
        deleted.insert((kind, name), child);
    }
    for ((kind, name), before) in deleted {
        let again = eventually(&format!("{} {name} comes back", kind.as_str()), PATIENCE, async || {
            let child = bed.children(kind).get(name).await?;
            ensure!(child.uid() != before.uid(), "the old one is still there");
            Ok(child)
        })
        .await?;
        let hash = |child: &DynamicObject| child.annotations().get("recommender.dev/applied-hash").cloned();
        ensure!(hash(&again) == hash(&before), "{} {name} is another one", kind.as_str());
    }
    let model = bed.until("shop", "serves again", |model| serving(model).replicas == 2).await?;
    ensure!(serving(&model).version == version, "{:?}", serving(&model));
    bed.answers("shop", "/version").await.map(drop)
}

pub async fn a_training_job_that_is_deleted_is_started_again() -> Result<()> {
    let bed = Bed::new("lostjob").await?;
    bed.create("shop", json!({"spec": {"training": {"full": {"command": ["sh", "-c", trainer::HANGS]}}}})).await?;
    let model = bed.until("shop", "trains", |model| training(model).active.is_some()).await?;
    let job = training(&model).active.context("a run is under way")?.job;
    let jobs = bed.api::<Job>();
    let before = e2e::until(&jobs, &job, "has a pod", PATIENCE, |job| {
        job.status.as_ref().is_some_and(|status| status.ready == Some(1))
    })
    .await?;
    jobs.delete(&job, &DeleteParams::background()).await?;
    let again = e2e::until(&jobs, &job, "is there again", PATIENCE, |job| job.uid() != before.uid()).await?;
    ensure!(again.labels() == before.labels(), "{:?}", again.labels());
    let model = bed.models().get("shop").await?;
    ensure!(training(&model).last.is_none(), "the lost run was taken for one that ended: {:?}", training(&model));
    Ok(())
}

/// An edit by hand: the child, the edit, and where the edited value is found.
fn edits() -> [(Kind, &'static str, Value, &'static str); 6] {
    let container = json!([{"name": "server", "image": "registry.invalid/other:1"}]);
    [
        (
            Kind::Deployment,
            "shop-serving",
            json!({"spec": {"template": {"spec": {"containers": container}}}}),
            "/spec/template/spec/containers/0/image",
        ),
        (
            Kind::Service,
            "shop",
            json!({"spec": {"ports": [{"port": 80, "targetPort": 9999}]}}),
            "/spec/ports/0/targetPort",
        ),
        (Kind::HorizontalPodAutoscaler, "shop-serving", json!({"spec": {"maxReplicas": 50}}), "/spec/maxReplicas"),
        (
            Kind::PodDisruptionBudget,
            "shop-serving",
            json!({"metadata": {"labels": {"app.kubernetes.io/name": "other"}}}),
            "/metadata/labels/app.kubernetes.io~1name",
        ),
        (
            Kind::ServiceMonitor,
            "shop",
            json!({"metadata": {"labels": {"app.kubernetes.io/managed-by": "other"}}}),
            "/metadata/labels/app.kubernetes.io~1managed-by",
        ),
        (Kind::ServiceAccount, "shop", json!({"automountServiceAccountToken": true}), "/automountServiceAccountToken"),
    ]
}

pub async fn a_child_edited_by_hand_is_put_right_and_what_others_added_stays() -> Result<()> {
    let bed = Bed::new("edited").await?;
    let model = bed.create("shop", everything()).await?;
    bed.served("shop").await?;
    let additions = json!({"metadata": {
        "labels": {"example.org/team": "search"}, "annotations": {"example.org/note": "mine"},
    }});
    for (kind, name, edit, path) in edits() {
        let before = serde_json::to_value(bed.children(kind).get(name).await?)?;
        let right = before.pointer(path).with_context(|| format!("{} {name} has {path}", kind.as_str()))?;
        bed.children(kind).patch(name, &user(), &Patch::Merge(&additions)).await?;
        // Containers are merged by name, as kubectl set image and kubectl edit do it.
        let edited = match kind {
            Kind::ServiceMonitor => bed.children(kind).patch(name, &user(), &Patch::Merge(&edit)).await?,
            _ => bed.children(kind).patch(name, &user(), &Patch::Strategic(&edit)).await?,
        };
        ensure!(serde_json::to_value(&edited)?.pointer(path) != Some(right), "{} {name} was not edited", kind.as_str());
        let mended = eventually(&format!("{} {name} is put right", kind.as_str()), PATIENCE, async || {
            let child = bed.children(kind).get(name).await?;
            let now = serde_json::to_value(&child)?;
            ensure!(now.pointer(path) == Some(right), "{path} is {:?}", now.pointer(path));
            Ok(child)
        })
        .await?;
        ensure!(mended.labels().get("example.org/team").is_some_and(|team| team == "search"), "{:?}", mended.labels());
        ensure!(mended.annotations().contains_key("example.org/note"), "{:?}", mended.annotations());
        ensure!(mended.uid() == edited.uid(), "{} {name} was made anew", kind.as_str());
    }
    eventually("each mended child has an event", PATIENCE, async || {
        let events = bed.events(&model).await?;
        let notes: Vec<_> = events
            .into_iter()
            .filter(|event| event.reason.as_deref() == Some("ChildRestored"))
            .filter_map(|event| event.note)
            .collect();
        let told = |(kind, name, ..): &(Kind, &str, Value, &str)| {
            notes.iter().filter(|note| note.starts_with(&format!("{} {name} ", kind.as_str()))).count() == 1
        };
        ensure!(edits().iter().all(told), "{notes:#?}");
        Ok(())
    })
    .await
}

pub async fn monitoring_that_is_no_longer_wanted_is_removed() -> Result<()> {
    let bed = Bed::new("prune").await?;
    bed.create("shop", everything()).await?;
    bed.served("shop").await?;
    let before = family(&bed, "shop").await?;
    let monitoring = ["ServiceMonitor/shop", "PrometheusRule/shop"];
    ensure!(monitoring.iter().all(|child| before.iter().any(|name| name == child)), "{before:?}");
    bed.edit("shop", json!({"spec": {"monitoring": null}})).await?;
    eventually("ServiceMonitor and PrometheusRule are gone, and nothing else", PATIENCE, async || {
        let now = family(&bed, "shop").await?;
        let gone: Vec<_> = before.iter().filter(|name| !now.contains(name)).collect();
        ensure!(gone == monitoring, "gone: {gone:?}");
        Ok(())
    })
    .await
}
