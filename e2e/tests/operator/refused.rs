//! What the cluster refuses, and what no schema can see.

use anyhow::{Result, ensure};
use k8s_openapi::api::{batch::v1::Job, core::v1::ResourceQuota};
use kube::api::{DeleteParams, ListParams, PostParams};
use serde_json::json;

use crate::bed::{Bed, is, says};

async fn forbid(bed: &Bed, resource: &str) -> Result<()> {
    let quota = serde_json::from_value(json!({"metadata": {"name": "none"}, "spec": {"hard": {resource: "0"}}}))?;
    bed.api::<ResourceQuota>().create(&PostParams::default(), &quota).await?;
    // It only counts once its controller has written its status.
    e2e::until(&bed.api::<ResourceQuota>(), "none", "is in force", crate::bed::PATIENCE, |quota: &ResourceQuota| {
        quota.status.as_ref().is_some_and(|status| status.hard.is_some())
    })
    .await
    .map(drop)
}

async fn allow(bed: &Bed) -> Result<()> {
    bed.api::<ResourceQuota>().delete("none", &DeleteParams::default()).await?;
    Ok(())
}

pub async fn a_quota_on_jobs_is_told_and_training_goes_on_when_it_is_lifted() -> Result<()> {
    let bed = Bed::new("quota-jobs").await?;
    forbid(&bed, "count/jobs.batch").await?;
    bed.create("shop", json!({})).await?;
    let told = bed
        .until("shop", "tells the quota", |model| says(model, "TrainingReady", "ApplyFailed", "exceeded quota: none"))
        .await?;
    ensure!(is(&told, "Ready", "False") && is(&told, "Reconciling", "True"), "{:#?}", told.status);
    allow(&bed).await?;
    bed.served("shop").await.map(drop)
}

pub async fn a_quota_on_pods_is_told_and_training_goes_on_when_it_is_lifted() -> Result<()> {
    let bed = Bed::new("quota-pods").await?;
    forbid(&bed, "pods").await?;
    bed.create("shop", json!({})).await?;
    let told = bed
        .until("shop", "says that the pod is missing", |model| {
            says(model, "TrainingReady", "TrainingBlocked", "ResourceQuota")
        })
        .await?;
    ensure!(is(&told, "Ready", "False"), "{:#?}", told.status);
    allow(&bed).await?;
    bed.served("shop").await.map(drop)
}

pub async fn a_schedule_that_cannot_be_read_stalls_until_it_is_edited() -> Result<()> {
    let bed = Bed::new("invalid").await?;
    let wrong = json!({"schedule": "0 25 * * *", "timeZone": "Europe/Atlantis"});
    let model = bed.create("hour", json!({"spec": {"training": {"full": {"schedule": wrong["schedule"]}}}})).await?;
    bed.create(
        "zone",
        json!({"spec": {"training": {"full": {
            "schedule": "0 3 * * *", "timeZone": wrong["timeZone"],
        }}}}),
    )
    .await?;
    for (name, field) in [("hour", "spec.training.full.schedule: "), ("zone", "spec.training.full.timeZone: ")] {
        let told = bed.until(name, "says what is wrong", |model| says(model, "Ready", "InvalidSpec", field)).await?;
        ensure!(says(&told, "Stalled", "InvalidSpec", field) && is(&told, "Stalled", "True"), "{:#?}", told.status);
        ensure!(is(&told, "Ready", "False") && is(&told, "Reconciling", "False"), "{:#?}", told.status);
        bed.told(&told, &["InvalidSpec"]).await?;
    }
    let jobs = bed.api::<Job>().list(&ListParams::default()).await?;
    ensure!(jobs.items.is_empty(), "an invalid object trains");

    bed.edit("hour", json!({"spec": {"training": {"full": {"schedule": "0 3 * * *"}}}})).await?;
    bed.served("hour").await?;
    bed.told(&model, &["InvalidSpec", "Training", "Trained", "Serving"]).await
}
