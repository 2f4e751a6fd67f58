//! Servers that change to another version without a restart.

use std::collections::BTreeMap;

use anyhow::{Context, Result, ensure};
use k8s_openapi::api::core::v1::ConfigMap;
use kube::{
    ResourceExt,
    api::{DeleteParams, ListParams},
};
use recommender_operator::api::RecommenderModel;
use serde_json::{Value, json};

use crate::{
    bed::{Bed, DEADLINE_SECONDS, TIMEOUT, has_message, is, serving},
    retraining::Poller,
    scripts::{server, trainer},
};

/// A full version that two servers answer with, and that is scraped.
async fn served(bed: &Bed, timeout_seconds: i32, follows: &str) -> Result<String> {
    let spec = json!({
        "training": {"partial": {"command": ["sh", "-c", trainer::PARTIAL], "deadlineSeconds": DEADLINE_SECONDS}},
        "serving": {
            "replicas": 2,
            "command": ["sh", "-c", server::RELOADS],
            "env": [{"name": "FOLLOWS", "value": follows}],
        },
        "promotion": {"hotReload": {"timeoutSeconds": timeout_seconds}},
        "monitoring": Bed::monitoring(),
    });
    bed.create("shop", json!({"spec": spec})).await?;
    let version = serving(&bed.served("shop").await?).version.context("a version is served")?;
    // Prometheus has loaded the rule that records what servers report.
    bed.until("shop", "is monitored", |model| is(model, "MonitoringReady", "True")).await?;
    bed.answers("shop", "/version").await?;
    Ok(version)
}

/// The servers, with the number of their restarts, by UID.
async fn servers(bed: &Bed) -> Result<BTreeMap<String, i32>> {
    e2e::restarts(&bed.api(), "recommender.dev/model=shop,recommender.dev/traffic=true").await
}

/// Waits until this version serves.
async fn until_served(bed: &Bed, what: &str, is_one: impl Fn(&str) -> bool) -> Result<RecommenderModel> {
    bed.until("shop", what, |model| {
        let serving = serving(model);
        serving.version.as_deref().is_some_and(&is_one) && serving.rolling_out.is_none() && serving.reload.is_none()
    })
    .await
}

/// What the file of the servers names.
async fn named(bed: &Bed) -> Result<String> {
    let selector = ListParams::default().labels("recommender.dev/model=shop");
    let files = bed.api::<ConfigMap>().list(&selector).await?.items;
    let [file] = files.as_slice() else { anyhow::bail!("{} ConfigMaps", files.len()) };
    let content = file.data.as_ref().and_then(|data| data.get("version.json")).context("no version.json")?;
    let content: Value = serde_json::from_str(content)?;
    Ok(content["version"].as_str().context("no version")?.to_owned())
}

pub async fn a_partial_version_takes_over_without_a_restart_and_is_taken_back_so() -> Result<()> {
    let bed = Bed::new("reload").await?;
    let first = served(&bed, 300, "yes").await?;
    let before = servers(&bed).await?;
    ensure!(before.len() == 2, "{before:?}");
    let poller = Poller::start(&bed, "shop");

    bed.request("shop", "partial 1").await?;
    let text = "without a restart because it is the newest valid version: ";
    bed.until("shop", "changes versions", |model| has_message(model, "ServingReady", "Reloading", text)).await?;
    let model = until_served(&bed, "serves the partial version", |version| version.starts_with("partial-")).await?;
    let second = serving(&model).version.context("a version is served")?;
    for _ in 0..20 {
        ensure!(bed.answer("shop", "/version").await? == second, "a server answers with another one");
    }
    ensure!(servers(&bed).await? == before, "a pod was restarted or replaced");
    ensure!(named(&bed).await? == second, "the file names another one");

    // A ConfigMap that is deleted is created again as it was.
    let files = bed.api::<ConfigMap>().list(&ListParams::default().labels("recommender.dev/model=shop")).await?;
    let name = files.items.first().context("a ConfigMap")?.name_any();
    bed.api::<ConfigMap>().delete(&name, &DeleteParams::default()).await?;
    e2e::eventually("the ConfigMap is there again", TIMEOUT, async || {
        ensure!(named(&bed).await? == second, "the file names another one");
        Ok(())
    })
    .await?;

    let back = json!({"metadata": {"annotations": {"recommender.dev/rollback": first}}});
    bed.edit("shop", back).await?;
    until_served(&bed, "is rolled back", |version| version == first).await?;
    ensure!(servers(&bed).await? == before, "a pod was restarted or replaced");
    let answers = poller.answers()?;
    ensure!(answers.iter().all(|version| [&first, &second].contains(&version)), "another version answered");
    Ok(())
}

pub async fn a_server_that_does_not_change_versions_is_restarted_after_the_timeout() -> Result<()> {
    let bed = Bed::new("no-reload").await?;
    let first = served(&bed, 30, "no").await?;
    let before = servers(&bed).await?;
    let poller = Poller::start(&bed, "shop");

    bed.request("shop", "partial 1").await?;
    let model = until_served(&bed, "serves the partial version", |version| version.starts_with("partial-")).await?;
    let second = serving(&model).version.context("a version is served")?;
    e2e::eventually("the pods of before have ended", TIMEOUT, async || {
        let after = servers(&bed).await?;
        ensure!(after.keys().all(|uid| !before.contains_key(uid)), "a pod of before is left: {after:?}");
        Ok(())
    })
    .await?;
    let events = bed.events(&model).await?;
    let timed_out = events.iter().find(|event| event.reason.as_deref() == Some("ReloadTimedOut"));
    let note = timed_out.and_then(|event| event.note.clone()).context("no Event of the time-out")?;
    let expected = format!("version {second}: it was not reloaded within 30 s (0 of 2 pods report it; shop-serving-");
    ensure!(note.starts_with(&expected), "{note}");
    let answers = poller.answers()?;
    ensure!(answers.iter().all(|version| [&first, &second].contains(&version)), "another version answered");
    Ok(())
}
