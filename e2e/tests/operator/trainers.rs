//! Trainers that fail. The failure is reported, and the served version stays up.

use anyhow::{Context, Result, ensure};
use k8s_openapi::api::batch::v1::Job;
use kube::{ResourceExt, api::ListParams};
use libtest_mimic::Trial;
use recommender_operator::api::RecommenderModel;
use serde_json::{Value, json};

use crate::{
    bed::{Bed, DEADLINE_SECONDS, TIMEOUT, has_message, is, serving, training},
    finish,
    scripts::trainer,
    servers::NO_IMAGE,
};

/// A trainer that fails.
struct Bad {
    what: &'static str,
    script: &'static str,
    deadline_seconds: u32,
    reason: &'static str,
    /// Part of the message of the condition TrainingReady.
    message: &'static str,
}

/// The failing trainers and what is reported.
const BAD: [Bad; 6] = [
    Bad {
        what: "fails",
        script: trainer::FAILS,
        deadline_seconds: DEADLINE_SECONDS,
        reason: "TrainingFailed",
        message: "exit code 3",
    },
    Bad {
        what: "hangs",
        script: trainer::HANGS,
        // Longer than a Job without a pod is waited for: its pod is deleted before it has failed.
        deadline_seconds: 40,
        reason: "DeadlineExceeded",
        message: "raise spec.training.full.deadlineSeconds",
    },
    Bad {
        what: "reports_nothing",
        script: trainer::SILENT,
        deadline_seconds: DEADLINE_SECONDS,
        reason: "InvalidReport",
        message: "nothing was reported",
    },
    Bad {
        what: "reports_rubbish",
        script: trainer::RUBBISH,
        deadline_seconds: DEADLINE_SECONDS,
        reason: "InvalidReport",
        message: "the report is not JSON",
    },
    Bad {
        what: "reports_nan",
        script: trainer::NAN,
        deadline_seconds: DEADLINE_SECONDS,
        reason: "InvalidReport",
        message: "precision_at_10 is NaN",
    },
    Bad {
        what: "reports_5_kib",
        script: trainer::TOO_LONG,
        deadline_seconds: DEADLINE_SECONDS,
        reason: "InvalidReport",
        message: "cut at 4096 bytes",
    },
];

/// One test for each failing trainer.
pub fn trials() -> Vec<Trial> {
    let trial = |bad: &'static Bad| {
        let name = format!("trainers::a_trainer_that_{}_is_reported_and_the_served_version_stays_up", bad.what);
        Trial::test(name, move || finish(check(bad)))
    };
    BAD.iter().map(trial).collect()
}

/// First without a version to serve, then with a working trainer, then failing again while a version is served.
async fn check(bad: &Bad) -> Result<()> {
    let bed = Bed::new(&bad.what.replace('_', "-")).await?;
    let script = |script: &str, deadline_seconds: u32| {
        json!({"spec": {"training": {"full": {
            "command": ["sh", "-c", script], "deadlineSeconds": deadline_seconds,
        }}}})
    };
    let model = bed.create("shop", script(bad.script, bad.deadline_seconds)).await?;
    let reported = bed
        .until("shop", "reports what failed", |model| has_message(model, "TrainingReady", bad.reason, bad.message))
        .await?;
    ensure!(is(&reported, "Ready", "False") && is(&reported, "Stalled", "True"), "{:#?}", reported.status);
    ensure!(training(&reported).active.is_none(), "it trains again by itself: {:?}", training(&reported));
    bed.until_events(&model, &[bad.reason]).await?;

    bed.edit("shop", script(trainer::GOOD, DEADLINE_SECONDS)).await?;
    let good = bed.served("shop").await?;
    let version = serving(&good).version.context("a version is served")?;
    let generation = bed.deployment("shop").await?.metadata.generation;

    bed.edit("shop", script(bad.script, bad.deadline_seconds)).await?;
    bed.request("shop", "full again").await?;
    let reported = bed
        .until("shop", "reports what failed", |model| has_message(model, "TrainingReady", bad.reason, bad.message))
        .await?;
    ensure!(is(&reported, "Ready", "True") && is(&reported, "Stalled", "False"), "{:#?}", reported.status);
    ensure!(serving(&reported).version.as_ref() == Some(&version), "{:?}", serving(&reported));
    ensure!(bed.deployment("shop").await?.metadata.generation == generation, "the Deployment was changed");
    ensure!(bed.answers("shop", "/version").await? == version, "another version answers");
    Ok(())
}

/// First without a version to serve, then with one.
pub async fn an_image_that_cannot_be_pulled_is_reported_and_replaced_at_once() -> Result<()> {
    let bed = Bed::new("trainer-image").await?;
    bed.create("shop", image(NO_IMAGE)).await?;
    let reported = blocked_and_replaced(&bed).await?;
    ensure!(is(&reported, "Ready", "False"), "{:#?}", reported.status);
    let version = serving(&bed.served("shop").await?).version.context("a version is served")?;

    bed.edit("shop", image(NO_IMAGE)).await?;
    bed.request("shop", "full again").await?;
    let reported = blocked_and_replaced(&bed).await?;
    ensure!(
        is(&reported, "Ready", "True") && serving(&reported).version.as_ref() == Some(&version),
        "{:#?}",
        reported.status
    );
    bed.until("shop", "serves the next version", |model| serving(model).version.is_some_and(|next| next != version))
        .await
        .map(drop)
}

fn image(image: &str) -> Value {
    json!({"spec": {"training": {"image": image}}})
}

/// Waits until the blocked run is reported, fixes the image, and waits until another Job has replaced the blocked one.
/// Returns the object with the report.
async fn blocked_and_replaced(bed: &Bed) -> Result<RecommenderModel> {
    let reported = bed
        .until("shop", "reports the image", |model| {
            has_message(
                model,
                "TrainingReady",
                "TrainingBlocked",
                "image registry.invalid/recommender:1 cannot be pulled",
            )
        })
        .await?;
    let jobs = bed.api::<Job>();
    let job = training(&reported).active.context("a run is under way")?.job;
    let blocked = jobs.get(&job).await?;
    bed.edit("shop", image(bed.image())).await?;
    e2e::eventually("the Job that could not start is replaced", TIMEOUT, async || {
        let uids: Vec<_> = jobs.list(&ListParams::default()).await?.iter().map(ResourceExt::uid).collect();
        ensure!(!uids.contains(&blocked.uid()), "it is still there");
        Ok(())
    })
    .await?;
    Ok(reported)
}
