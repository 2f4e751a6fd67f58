//! Servers that do not work: told, and what served before goes on.

use anyhow::{Result, ensure};
use futures::try_join;
use serde_json::{Value, json};

use crate::{
    bed::{Bed, is, says, serving},
    retraining::Poller,
    scripts::server,
};

/// An image that no registry has: the name is reserved for just that (RFC 2606).
pub const NO_IMAGE: &str = "registry.invalid/recommender:1";

/// A way for servers not to work.
struct Broken {
    /// Changes to `spec.serving`.
    changes: Value,
    /// What the condition says of it.
    says: &'static str,
}

pub async fn an_image_that_cannot_be_pulled_is_told_and_never_takes_down_what_serves() -> Result<()> {
    let says = "image registry.invalid/recommender:1 cannot be pulled";
    check("noimage", Broken { changes: json!({"image": NO_IMAGE}), says }).await
}

pub async fn a_server_that_never_gets_ready_is_told_and_never_takes_down_what_serves() -> Result<()> {
    let changes = json!({"command": ["sh", "-c", server::NEVER_READY], "probes": {"startupSeconds": 4}});
    check("notready", Broken { changes, says: "CrashLoopBackOff" }).await
}

async fn check(hint: &str, broken: Broken) -> Result<()> {
    let bed = Bed::new(hint).await?;
    try_join!(broken_from_the_start(&bed, &broken), broken_later(&bed, &broken))?;
    Ok(())
}

async fn broken_from_the_start(bed: &Bed, broken: &Broken) -> Result<()> {
    bed.create("first", json!({"spec": {"serving": broken.changes}})).await?;
    let told = bed.until("first", "says why", |model| says(model, "ServingReady", "RollingOut", broken.says)).await?;
    ensure!(is(&told, "Ready", "False") && is(&told, "TrainingReady", "True"), "{:#?}", told.status);
    ensure!(serving(&told).version.is_none(), "nothing serves: {:?}", serving(&told));

    bed.edit("first", mended(bed)).await?;
    bed.served("first").await.map(drop)
}

async fn broken_later(bed: &Bed, broken: &Broken) -> Result<()> {
    bed.create("later", json!({"spec": {"serving": {"replicas": 2}}})).await?;
    let good = serving(&bed.served("later").await?);
    bed.answers("later", "/version").await?;
    let poller = Poller::start(bed, "later");

    bed.edit("later", json!({"spec": {"serving": broken.changes}})).await?;
    let told = bed.until("later", "says why", |model| says(model, "ServingReady", "RollingOut", broken.says)).await?;
    ensure!(is(&told, "Ready", "True"), "what serves is not told: {:#?}", told.status);
    ensure!(serving(&told).version == good.version && serving(&told).replicas == 2, "{:?}", serving(&told));

    bed.edit("later", mended(bed)).await?;
    bed.served("later").await?;
    poller.answers().map(drop)
}

/// Undoes every change that breaks a server.
fn mended(bed: &Bed) -> Value {
    let good = bed.object("any", json!({}));
    let probes = json!({"startupSeconds": null});
    json!({"spec": {"serving": {"image": bed.image(), "command": good["spec"]["serving"]["command"], "probes": probes}}})
}
