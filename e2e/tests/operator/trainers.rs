//! Trainers that do not work: told in words, and what serves goes on.

use anyhow::{Context, Result, ensure};
use k8s_openapi::api::batch::v1::Job;
use kube::ResourceExt;
use libtest_mimic::Trial;
use serde_json::{Value, json};

use crate::{
    bed::{Bed, is, says, serving, training},
    finish,
    scripts::trainer,
    servers::NO_IMAGE,
};

/// A trainer that does not work.
struct Bad {
    what: &'static str,
    script: &'static str,
    deadline_seconds: u32,
    reason: &'static str,
    says: &'static str,
}

const BAD: [Bad; 6] = [
    Bad { what: "fails", script: trainer::FAILS, deadline_seconds: 120, reason: "TrainingFailed", says: "exit code 3" },
    Bad {
        what: "hangs",
        script: trainer::HANGS,
        deadline_seconds: 6,
        reason: "DeadlineExceeded",
        says: "raise training.full.deadlineSeconds",
    },
    Bad {
        what: "reports_nothing",
        script: trainer::SILENT,
        deadline_seconds: 120,
        reason: "InvalidReport",
        says: "nothing was reported",
    },
    Bad {
        what: "reports_rubbish",
        script: trainer::RUBBISH,
        deadline_seconds: 120,
        reason: "InvalidReport",
        says: "the report is not JSON",
    },
    Bad {
        what: "reports_nan",
        script: trainer::NAN,
        deadline_seconds: 120,
        reason: "InvalidReport",
        says: "precision_at_10 is NaN",
    },
    Bad {
        what: "reports_5_kib",
        script: trainer::TOO_LONG,
        deadline_seconds: 120,
        reason: "InvalidReport",
        says: "cut at 4096 bytes",
    },
];

/// One test for each bad trainer.
pub fn trials() -> Vec<Trial> {
    let trial = |bad: &'static Bad| {
        let name = format!("trainers::a_trainer_that_{}_is_told_and_never_takes_down_what_serves", bad.what);
        Trial::test(name, move || finish(check(bad)))
    };
    BAD.iter().map(trial).collect()
}

/// First without a version to serve, then mended, then again with one.
async fn check(bad: &Bad) -> Result<()> {
    let bed = Bed::new(&bad.what.replace('_', "-")).await?;
    let script = |script: &str, deadline_seconds: u32| {
        json!({"spec": {"training": {"full": {
            "command": ["sh", "-c", script], "deadlineSeconds": deadline_seconds,
        }}}})
    };
    let model = bed.create("shop", script(bad.script, bad.deadline_seconds)).await?;
    let told =
        bed.until("shop", "says what failed", |model| says(model, "TrainingReady", bad.reason, bad.says)).await?;
    ensure!(is(&told, "Ready", "False") && is(&told, "Stalled", "True"), "{:#?}", told.status);
    ensure!(training(&told).active.is_none(), "it trains again by itself: {:?}", training(&told));
    bed.told(&model, &["Training", bad.reason]).await?;

    bed.edit("shop", script(trainer::GOOD, 120)).await?;
    let good = bed.served("shop").await?;
    let version = serving(&good).version.context("a version is served")?;
    let generation = bed.deployment("shop").await?.metadata.generation;

    bed.edit("shop", script(bad.script, bad.deadline_seconds)).await?;
    bed.request("shop", "full again").await?;
    let told =
        bed.until("shop", "says what failed", |model| says(model, "TrainingReady", bad.reason, bad.says)).await?;
    ensure!(is(&told, "Ready", "True") && is(&told, "Stalled", "False"), "{:#?}", told.status);
    ensure!(serving(&told).version.as_ref() == Some(&version), "{:?}", serving(&told));
    ensure!(bed.deployment("shop").await?.metadata.generation == generation, "the Deployment was touched");
    ensure!(bed.answers("shop", "/version").await? == version, "another version answers");
    Ok(())
}

pub async fn an_image_that_cannot_be_pulled_is_told_and_replaced_at_once() -> Result<()> {
    let bed = Bed::new("trainer-image").await?;
    let image = |image: &str| -> Value { json!({"spec": {"training": {"image": image}}}) };
    bed.create("shop", image(NO_IMAGE)).await?;
    let told = bed
        .until("shop", "says which image", |model| {
            says(model, "TrainingReady", "TrainingBlocked", "image registry.invalid/recommender:1 cannot be pulled")
        })
        .await?;
    ensure!(is(&told, "Ready", "False"), "{:#?}", told.status);
    let job = training(&told).active.context("a run is under way")?.job;
    let blocked = bed.api::<Job>().get(&job).await?;

    bed.edit("shop", image(bed.image())).await?;
    bed.served("shop").await?;
    let now = bed.api::<Job>().get_opt(&job).await?;
    ensure!(now.is_none_or(|now| now.uid() != blocked.uid()), "the Job that could not start is still there");
    Ok(())
}
