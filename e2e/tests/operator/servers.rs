//! Servers that fail. The failure is reported, and the served version stays up.

use anyhow::{Result, ensure};
use futures::try_join;
use serde_json::{Value, json};

use crate::{
    bed::{Bed, has_message, is, serving},
    retraining::Poller,
    scripts::server,
};

/// An image that no registry has: the top-level domain `.invalid` is reserved (RFC 2606).
pub const NO_IMAGE: &str = "registry.invalid/recommender:1";

/// A way in which servers fail.
struct Broken {
    /// Changes to `spec.serving`.
    changes: Value,
    /// Part of the message of the condition ServingReady.
    message: &'static str,
}

pub async fn an_image_that_cannot_be_pulled_is_reported_and_the_served_version_stays_up() -> Result<()> {
    let message = "image registry.invalid/recommender:1 cannot be pulled";
    check("noimage", Broken { changes: json!({"image": NO_IMAGE}), message }).await
}

pub async fn a_server_that_never_gets_ready_is_reported_and_the_served_version_stays_up() -> Result<()> {
    let changes = json!({"command": ["sh", "-c", server::NEVER_READY], "probes": {"startupSeconds": 4}});
    check("notready", Broken { changes, message: "because its startup probe had failed" }).await
}

async fn check(hint: &str, broken: Broken) -> Result<()> {
    let bed = Bed::new(hint).await?;
    try_join!(broken_from_the_start(&bed, &broken), broken_later(&bed, &broken))?;
    Ok(())
}

async fn broken_from_the_start(bed: &Bed, broken: &Broken) -> Result<()> {
    bed.create("first", json!({"spec": {"serving": broken.changes}})).await?;
    let reported = bed
        .until("first", "reports why", |model| has_message(model, "ServingReady", "RolloutBlocked", broken.message))
        .await?;
    ensure!(is(&reported, "Ready", "False") && is(&reported, "TrainingReady", "True"), "{:#?}", reported.status);
    ensure!(serving(&reported).version.is_none(), "nothing serves: {:?}", serving(&reported));

    bed.edit("first", fixed(bed)).await?;
    bed.served("first").await.map(drop)
}

async fn broken_later(bed: &Bed, broken: &Broken) -> Result<()> {
    bed.create("later", json!({"spec": {"serving": {"replicas": 2}}})).await?;
    let good = serving(&bed.served("later").await?);
    bed.answers("later", "/version").await?;
    let poller = Poller::start(bed, "later");

    bed.edit("later", json!({"spec": {"serving": broken.changes}})).await?;
    let reported = bed
        .until("later", "reports why", |model| has_message(model, "ServingReady", "RolloutBlocked", broken.message))
        .await?;
    ensure!(is(&reported, "Ready", "True"), "the served version is not reported: {:#?}", reported.status);
    ensure!(serving(&reported).version == good.version && serving(&reported).replicas == 2, "{:?}", serving(&reported));

    bed.edit("later", fixed(bed)).await?;
    bed.served("later").await?;
    poller.answers().map(drop)
}

/// Reverts every change that breaks a server.
fn fixed(bed: &Bed) -> Value {
    let good = bed.object("any", json!({}));
    let probes = json!({"startupSeconds": null});
    json!({"spec": {"serving": {"image": bed.image(), "command": good["spec"]["serving"]["command"], "probes": probes}}})
}
