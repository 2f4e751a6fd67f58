//! Objects of the user's that happen to have the names of children.

use anyhow::{Result, ensure};
use e2e::eventually;
use futures::try_join;
use kube::{
    ResourceExt,
    api::{DeleteParams, DynamicObject, PostParams},
};
use recommender_operator::render::Kind;
use serde_json::{Value, json};

use crate::bed::{Bed, PATIENCE, condition, is, says};

/// What a user might have had before.
fn foreign(kind: Kind) -> Value {
    let labels = json!({"app": "mine"});
    let spec = match kind {
        Kind::Service => json!({"selector": labels, "ports": [{"port": 80}]}),
        Kind::Deployment => json!({
            "replicas": 0,
            "selector": {"matchLabels": labels},
            "template": {
                "metadata": {"labels": labels},
                "spec": {"containers": [{"name": "mine", "image": "registry.invalid/mine:1"}]},
            },
        }),
        _ => json!({"selector": {"matchLabels": labels}, "endpoints": [{"port": "http"}]}),
    };
    json!({"spec": spec})
}

pub async fn children_of_the_user_with_our_names_are_never_touched() -> Result<()> {
    let bed = Bed::new("conflict").await?;
    try_join!(
        check(&bed, "a", Kind::Service, "a", "ServingReady"),
        check(&bed, "b", Kind::Deployment, "b-serving", "ServingReady"),
        check(&bed, "c", Kind::ServiceMonitor, "c", "MonitoringReady"),
    )?;
    Ok(())
}

async fn check(bed: &Bed, model: &str, kind: Kind, name: &str, aspect: &str) -> Result<()> {
    let objects = bed.children(kind);
    let mut object: DynamicObject = DynamicObject::new(name, &kind.resource());
    object.data = foreign(kind);
    objects.create(&PostParams::default(), &object).await?;
    // The Deployment's controller takes note of it, and then leaves it alone.
    let before = eventually("the user's object is at rest", PATIENCE, async || {
        let object = objects.get(name).await?;
        let seen = object.data["status"]["observedGeneration"].as_i64() == object.metadata.generation;
        ensure!(seen || kind != Kind::Deployment, "{:?}", object.data["status"]);
        Ok(object)
    })
    .await?;

    let monitoring = json!({"spec": {"monitoring": {"metrics": {"profile": "FastApiInstrumentator"}}}});
    bed.create(model, monitoring).await?;
    let conflict = format!("{} {name} exists and is not owned by this RecommenderModel", kind.as_str());
    let told = bed.until(model, "tells the conflict", |model| says(model, aspect, "NameConflict", &conflict)).await?;
    if aspect == "ServingReady" {
        ensure!(says(&told, "Stalled", "NameConflict", &conflict), "Stalled: {:?}", condition(&told, "Stalled"));
    } else {
        // What answers requests does not depend on who watches it.
        bed.until(model, "serves all the same", |model| says(model, "Ready", "Serving", "")).await?;
    }
    // It is tried again and again; give it a reason more.
    bed.edit(model, json!({"metadata": {"labels": {"touched": "yes"}}})).await?;
    bed.until(model, "is trained", |model| says(model, "TrainingReady", "Trained", "")).await?;
    let after = objects.get(name).await?;
    ensure!(
        after.resource_version() == before.resource_version(),
        "{} {name} was touched: {:?}",
        kind.as_str(),
        after.metadata
    );

    objects.delete(name, &DeleteParams::background()).await?;
    bed.until(model, "goes on", |model| is(model, aspect, "True") && is(model, "Ready", "True")).await?;
    let ours = objects.get(name).await?;
    ensure!(ours.labels().get("recommender.dev/model").is_some_and(|of| of == model), "{:?}", ours.metadata);
    Ok(())
}
