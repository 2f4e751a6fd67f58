//! Objects that the cluster refuses, and errors that no schema can detect.

use anyhow::{Result, ensure};
use jiff::{Timestamp, tz::TimeZone};
use k8s_openapi::api::{batch::v1::Job, core::v1::ResourceQuota};
use kube::api::{DeleteParams, ListParams, PostParams};
use serde_json::json;

use crate::bed::{Bed, has_message, is};

async fn forbid(bed: &Bed, resource: &str) -> Result<()> {
    let quota = serde_json::from_value(json!({"metadata": {"name": "none"}, "spec": {"hard": {resource: "0"}}}))?;
    bed.api::<ResourceQuota>().create(&PostParams::default(), &quota).await?;
    // A quota is effective once its controller has written the status.
    e2e::until(&bed.api::<ResourceQuota>(), "none", "is effective", crate::bed::TIMEOUT, |quota: &ResourceQuota| {
        quota.status.as_ref().is_some_and(|status| status.hard.is_some())
    })
    .await
    .map(drop)
}

async fn allow(bed: &Bed) -> Result<()> {
    bed.api::<ResourceQuota>().delete("none", &DeleteParams::default()).await?;
    Ok(())
}

pub async fn a_quota_on_jobs_is_reported_and_training_continues_when_it_is_lifted() -> Result<()> {
    let bed = Bed::new("quota-jobs").await?;
    forbid(&bed, "count/jobs.batch").await?;
    bed.create("shop", json!({})).await?;
    let reported = bed
        .until("shop", "reports the quota", |model| {
            has_message(model, "TrainingReady", "ApplyFailed", "exceeded quota: none")
        })
        .await?;
    ensure!(is(&reported, "Ready", "False") && is(&reported, "Reconciling", "True"), "{:#?}", reported.status);
    allow(&bed).await?;
    bed.served("shop").await.map(drop)
}

pub async fn a_quota_on_pods_is_reported_and_training_continues_when_it_is_lifted() -> Result<()> {
    let bed = Bed::new("quota-pods").await?;
    forbid(&bed, "pods").await?;
    bed.create("shop", json!({})).await?;
    let reported = bed
        .until("shop", "reports the missing pod", |model| {
            has_message(model, "TrainingReady", "TrainingBlocked", "ResourceQuota")
        })
        .await?;
    ensure!(is(&reported, "Ready", "False"), "{:#?}", reported.status);
    allow(&bed).await?;
    bed.served("shop").await.map(drop)
}

pub async fn an_invalid_schedule_stalls_until_it_is_edited() -> Result<()> {
    let bed = Bed::new("invalid").await?;
    // Twelve hours away, so that it starts no run of its own while the test waits.
    let schedule = format!("0 {} * * *", (Timestamp::now().to_zoned(TimeZone::UTC).hour() + 12) % 24);
    let wrong = json!({"schedule": "0 25 * * *", "timeZone": "Europe/Atlantis"});
    let model = bed.create("hour", json!({"spec": {"training": {"full": {"schedule": wrong["schedule"]}}}})).await?;
    bed.create(
        "zone",
        json!({"spec": {"training": {"full": {
            "schedule": schedule, "timeZone": wrong["timeZone"],
        }}}}),
    )
    .await?;
    for (name, field) in [("hour", "spec.training.full.schedule: "), ("zone", "spec.training.full.timeZone: ")] {
        let reported = bed
            .until(name, "reports what is invalid", |model| has_message(model, "Ready", "InvalidSpec", field))
            .await?;
        ensure!(
            has_message(&reported, "Stalled", "InvalidSpec", field) && is(&reported, "Stalled", "True"),
            "{:#?}",
            reported.status
        );
        ensure!(is(&reported, "Ready", "False") && is(&reported, "Reconciling", "False"), "{:#?}", reported.status);
        bed.until_events(&reported, &["InvalidSpec"]).await?;
    }
    let jobs = bed.api::<Job>().list(&ListParams::default()).await?;
    ensure!(jobs.items.is_empty(), "an invalid object trains");

    bed.edit("hour", json!({"spec": {"training": {"full": {"schedule": schedule}}}})).await?;
    bed.served("hour").await?;
    bed.until_events(&model, &["InvalidSpec", "Trained", "Serving"]).await
}
