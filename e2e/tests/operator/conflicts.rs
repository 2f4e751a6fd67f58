//! Objects of users that have the names of children.

use anyhow::{Result, ensure};
use e2e::eventually;
use futures::try_join;
use kube::{
    ResourceExt,
    api::{DeleteParams, DynamicObject, PostParams},
};
use recommender_operator::kinds::Kind;
use serde_json::{Value, json};

use crate::{
    bed::{Bed, TIMEOUT, condition, has_message, is},
    scripts::server,
};

/// The object of a user.
fn object_of_user(kind: Kind) -> Value {
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

pub async fn objects_of_users_with_names_of_children_are_never_changed() -> Result<()> {
    let bed = Bed::new("conflict").await?;
    try_join!(
        check(&bed, "a", Kind::Service, "a", "ServingReady"),
        check(&bed, "b", Kind::Deployment, "b-serving", "ServingReady"),
        check(&bed, "c", Kind::ServiceMonitor, "c", "MonitoringReady"),
    )?;
    Ok(())
}

async fn check(bed: &Bed, model: &str, kind: Kind, name: &str, condition_type: &str) -> Result<()> {
    let objects = bed.children(kind);
    let mut object: DynamicObject = DynamicObject::new(name, &kind.resource());
    object.data = object_of_user(kind);
    objects.create(&PostParams::default(), &object).await?;
    // Wait until the Deployment controller has written the status, after which it does not change the object.
    let before = eventually("the user's object does not change any more", TIMEOUT, async || {
        let object = objects.get(name).await?;
        let observed = object.data["status"]["observedGeneration"].as_i64() == object.metadata.generation;
        ensure!(observed || kind != Kind::Deployment, "{:?}", object.data["status"]);
        Ok(object)
    })
    .await?;

    let metrics = json!({"profile": "FastApiInstrumentator", "path": server::METRICS_PATH});
    let monitoring = json!({"spec": {"monitoring": {"metrics": metrics}}});
    bed.create(model, monitoring).await?;
    let conflict = format!("{} {name} exists and is not owned by this RecommenderModel", kind.as_str());
    let reported = bed
        .until(model, "reports the conflict", |model| has_message(model, condition_type, "NameConflict", &conflict))
        .await?;
    if condition_type == "ServingReady" {
        ensure!(
            has_message(&reported, "Stalled", "NameConflict", &conflict),
            "Stalled: {:?}",
            condition(&reported, "Stalled")
        );
    } else {
        // Serving does not depend on monitoring.
        bed.until(model, "serves anyway", |model| has_message(model, "Ready", "Serving", "")).await?;
    }
    // The conflict is retried. An edit of the object triggers one more reconciliation.
    bed.edit(model, json!({"metadata": {"labels": {"touched": "yes"}}})).await?;
    bed.until(model, "is trained", |model| has_message(model, "TrainingReady", "Trained", "")).await?;
    let after = objects.get(name).await?;
    ensure!(
        after.resource_version() == before.resource_version(),
        "{} {name} was changed: {:?}",
        kind.as_str(),
        after.metadata
    );

    objects.delete(name, &DeleteParams::background()).await?;
    bed.until(model, "has no conflict any more", |model| {
        is(model, condition_type, "True") && is(model, "Ready", "True")
    })
    .await?;
    let ours = objects.get(name).await?;
    ensure!(ours.labels().get("recommender.dev/model").is_some_and(|of| of == model), "{:?}", ours.metadata);
    Ok(())
}
