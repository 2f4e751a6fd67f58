//! Gates, rollback and pin: which version serves.

use anyhow::{Context, Result, ensure};
use recommender_operator::api::{RecommenderModel, VersionState};
use serde_json::{Value, json};

use crate::{
    bed::{Bed, has_message, serving},
    retraining::Poller,
};

/// Changes that train a version of this precision on request.
fn trained(precision: &str, request: &str) -> Value {
    json!({
        "metadata": {"annotations": {"recommender.dev/train": request}},
        "spec": {"training": {"env": [{"name": "PRECISION", "value": precision}]}},
    })
}

/// The newest version and its state.
fn newest(model: &RecommenderModel) -> Option<(&str, VersionState)> {
    let version = model.status.as_ref()?.versions.first()?;
    Some((version.id.as_str(), version.state))
}

fn annotated(key: &str, value: Option<&str>) -> Value {
    json!({"metadata": {"annotations": {format!("recommender.dev/{key}"): value}}})
}

pub async fn a_worse_version_is_rejected_and_a_rollback_is_not_undone() -> Result<()> {
    let bed = Bed::new("promotion").await?;
    let gates = json!([{"metric": "precision_at_10", "minimum": "0.20", "maxRegressionPercent": "2"}]);
    bed.create("shop", json!({"spec": {"promotion": {"gates": gates}}})).await?;
    let first = serving(&bed.served("shop").await?).version.context("a version is served")?;
    bed.answers("shop", "/version").await?;
    let poller = Poller::start(&bed, "shop");

    bed.edit("shop", trained("0.25", "full worse")).await?;
    let why = "precision_at_10 0.25 is 19.35 % worse than 0.31 of";
    let rejected = bed
        .until("shop", "rejects the worse version", |model| {
            has_message(model, "PromotionReady", "VersionRejected", why)
        })
        .await?;
    ensure!(newest(&rejected).is_some_and(|(_, state)| state == VersionState::Rejected), "{:#?}", rejected.status);
    ensure!(
        serving(&rejected).version.as_ref() == Some(&first) && serving(&rejected).rolling_out.is_none(),
        "it serves"
    );

    bed.edit("shop", trained("0.32", "full better")).await?;
    let promoted = bed
        .until("shop", "serves the better version", |model| {
            newest(model).is_some_and(|(_, state)| state == VersionState::Serving)
        })
        .await?;
    let second = serving(&promoted).version.context("a version is served")?;
    let answer = |id: &str| format!("version {id} answers");
    e2e::eventually(&answer(&second), crate::bed::TIMEOUT, async || {
        ensure!(bed.answer("shop", "/version").await? == second, "another one answers");
        Ok(())
    })
    .await?;

    bed.edit("shop", annotated("rollback", Some("full-none"))).await?;
    let text =
        format!("\"full-none\" names no version of this object; write one of {second}, {first}; {second} serves");
    bed.until("shop", "reports the wrong version", |model| {
        has_message(model, "PromotionReady", "InvalidRequest", &text)
    })
    .await?;
    bed.edit("shop", annotated("rollback", Some(&first))).await?;
    let back = bed
        .until("shop", "is rolled back", |model| {
            serving(model).version.as_ref() == Some(&first) && serving(model).rolling_out.is_none()
        })
        .await?;
    ensure!(newest(&back) == Some((second.as_str(), VersionState::RolledBack)), "{:#?}", back.status);
    let text = format!("version {second} was rolled back, and is not promoted again; {first} serves");
    ensure!(has_message(&back, "PromotionReady", "RolledBack", &text), "{:#?}", back.status);
    e2e::eventually(&answer(&first), crate::bed::TIMEOUT, async || {
        ensure!(bed.answer("shop", "/version").await? == first, "another one answers");
        Ok(())
    })
    .await?;

    bed.edit("shop", annotated("pin", Some(&second))).await?;
    bed.until("shop", "serves the pinned version", |model| {
        serving(model).version.as_ref() == Some(&second) && serving(model).rolling_out.is_none()
    })
    .await?;
    let answers = poller.answers()?;
    ensure!(answers.iter().all(|version| [&first, &second].contains(&version)), "a rejected version answered");
    let events = bed.events(&back).await?;
    let reasons: Vec<_> = events.iter().filter_map(|event| event.reason.as_deref()).collect();
    ensure!(["VersionRejected", "RolledBack"].iter().all(|reason| reasons.contains(reason)), "{reasons:?}");
    Ok(())
}

/// Changes that train a version on request. `digest`: reported instead of that of its artifact.
fn trained_with(digest: Option<&str>, request: &str) -> Value {
    let env: Vec<Value> = digest.into_iter().map(|value| json!({"name": "DIGEST", "value": value})).collect();
    json!({"metadata": {"annotations": {"recommender.dev/train": request}}, "spec": {"training": {"env": env}}})
}

pub async fn a_version_that_no_server_can_load_is_taken_back_without_a_failed_request() -> Result<()> {
    let bed = Bed::new("broken").await?;
    bed.create("shop", json!({"spec": {"serving": {"replicas": 2}}})).await?;
    let first = serving(&bed.served("shop").await?).version.context("a version is served")?;
    bed.answers("shop", "/version").await?;
    let poller = Poller::start(&bed, "shop");

    bed.edit("shop", trained_with(Some(&"0".repeat(64)), "full broken")).await?;
    let why = "pods were restarted 4 times or more: the container ends right after its start";
    let failed = bed
        .until("shop", "takes the broken version back", |model| {
            has_message(model, "PromotionReady", "RolloutFailed", why)
        })
        .await?;
    let (broken, state) = newest(&failed).context("a version")?;
    ensure!(broken != first && state == VersionState::Failed, "{:#?}", failed.status);
    ensure!(
        serving(&failed).version.as_ref() == Some(&first) && serving(&failed).rolling_out.is_none(),
        "{:#?}",
        failed.status
    );
    let back = bed.served("shop").await?;
    ensure!(newest(&back) == Some((broken, VersionState::Failed)), "it is tried again: {:#?}", back.status);

    bed.edit("shop", trained_with(None, "full mended")).await?;
    let mended = bed
        .until("shop", "serves the next version", |model| {
            newest(model).is_some_and(|(id, state)| id != broken && state == VersionState::Serving)
        })
        .await?;
    let third = serving(&mended).version.context("a version is served")?;
    let answers = poller.answers()?;
    ensure!(answers.iter().all(|version| [&first, &third].contains(&version)), "the broken version answered");
    let events = bed.events(&mended).await?;
    let taken_back = events.iter().filter(|event| event.reason.as_deref() == Some("RolloutFailed")).count();
    ensure!(taken_back == 1, "{taken_back} Events of the rollback");
    Ok(())
}
