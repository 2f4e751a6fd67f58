//! New versions as canaries, under load: each gets a part of the requests and is compared with the version that serves. One that is no
//! worse takes over, and one that fails is taken back.

use std::time::Duration;

use anyhow::{Context, Result, bail, ensure};
use e2e::{eventually, load::Stage};
use k8s_openapi::api::apps::v1::Deployment;
use kube::api::{Patch, PatchParams};
use recommender_operator::api::{CanaryStatus, RecommenderModel, RecommenderModelStatus, VersionState};
use serde_json::json;

use crate::{
    bed::{Bed, NAME},
    serving::{DEPLOYMENT, load},
    turn::Turn,
};

/// Of the canary.
const CANARY: &str = "packages-canary";
/// Requests per second: a canary that fails none of a third of them is no worse after about half a minute.
const PER_SECOND: u32 = 50;
/// How long the whole rollout of a version may take, training included.
const ROLLOUT: Duration = Duration::from_secs(400);

/// The part of all requests that may be refused (503) while a version takes over that is no worse. None would be on a machine of
/// its own: here, other tests build and start programs beside it, and servers that do not get the CPU for a second refuse some.
const REFUSED: f64 = 0.01;

/// The part of all requests that may fail because of a version that fails a fifth of a third of them for a while.
const FAILED: f64 = 0.05;

pub async fn a_version_takes_over_step_by_step_and_one_that_fails_is_taken_back() -> Result<()> {
    let _turn = Turn::shared().await;
    let bed = Bed::new("canary").await?;
    bed.create_canary(json!({
        "steps": [
            {"weightPercent": 30, "seconds": 20, "requests": 200},
            {"weightPercent": 50, "seconds": 20, "requests": 200},
        ],
        "warmUpSeconds": 5,
        "maxStepSeconds": 300,
    }))
    .await?;
    bed.ready(DEPLOYMENT).await?;
    let first = until(&bed, "its first version serves", serving).await?;
    bed.measured("sum(up{namespace=\"$namespace\"} == 1)").await?;
    let load = load(&bed, &[0, 600].map(|seconds| Stage { per_second: PER_SECOND, seconds })).await?;

    bed.train("full for a canary").await?;
    let canary = until(&bed, "there is a canary", canary).await?;
    println!("canary: {}", canary.message);
    let state = |status: &RecommenderModelStatus| status.versions.first().map(|version| version.state);
    let states = until(&bed, "it is one", |status| state(status)).await?;
    ensure!(states == VersionState::Canary && canary.version != first, "{states:?}, {canary:?}");
    let weighted = until(&bed, "it gets requests", |status| canary_with(status, 30)).await?;
    let pods: i32 = bed.api::<Deployment>().get(CANARY).await?.spec.and_then(|spec| spec.replicas).unwrap_or_default();
    ensure!((weighted.desired_replicas, pods) == (1, 1), "a third of two pods is one: {weighted:?}, {pods}");
    until(&bed, "it gets half of the requests", |status| canary_with(status, 50)).await?;

    let second =
        until(&bed, "the second version serves", |status| serving(status).filter(|version| *version == canary.version))
            .await?;
    let gone = || async { bed.api::<Deployment>().get_opt(CANARY).await };
    eventually("the canary's pods are removed", ROLLOUT, async || {
        ensure!(gone().await?.is_none(), "the Deployment is there");
        Ok(())
    })
    .await?;
    let status = bed.status().await?;
    let verdict =
        status.versions.iter().find(|version| version.id == second).and_then(|version| version.canary.clone());
    let verdict = verdict.context("the verdict is recorded")?;
    println!("verdict: {}", verdict.message);
    ensure!(verdict.passed && verdict.message.contains("errors"), "{verdict:?}");
    let events = bed.event_messages().await?;
    for expected in [format!("version {second} is a canary"), format!("version {second} has passed its canary")] {
        ensure!(events.iter().any(|event| event.contains(&expected)), "no Event has {expected:?}: {events:#?}");
    }
    let report = load.stop().await?;
    println!("load: {report:?}");
    ensure!(
        report.requests > 1000 && report.failed == report.refused,
        "a version that takes over fails no request: {report:?}"
    );
    ensure!(
        report.refused as f64 <= REFUSED * report.requests as f64,
        "too little capacity during the steps: {report:?}"
    );
    is_taken_back(&bed, &second).await
}

/// A version that measures well, and whose servers fail every fifth request.
async fn is_taken_back(bed: &Bed, serving_before: &str) -> Result<()> {
    let generation =
        async || -> Result<Option<i64>> { Ok(bed.api::<Deployment>().get(DEPLOYMENT).await?.metadata.generation) };
    let before = generation().await?;
    let args = json!({"spec": {"training": {"full": {"args": ["train", "--full", "--make-worse", "failing"]}}}});
    bed.api::<RecommenderModel>().patch(NAME, &PatchParams::default(), &Patch::Merge(args)).await?;
    let load = load(bed, &[0, 600].map(|seconds| Stage { per_second: PER_SECOND, seconds })).await?;
    bed.train("full that fails").await?;
    let bad = until(bed, "there is a bad canary", canary).await?;
    let judged = until(bed, "it is taken back", |status| {
        let version = status.versions.iter().find(|version| version.id == bad.version);
        version.filter(|version| version.state == VersionState::RolledBack).cloned()
    })
    .await?;
    let verdict = judged.canary.context("the verdict is recorded")?;
    println!("verdict: {}", verdict.message);
    ensure!(!verdict.passed && verdict.message.contains("errors of the canary"), "{verdict:?}");
    // The decision is recorded first and applied then.
    let serving_after =
        until(bed, "its pods are gone", |status| canary(status).is_none().then(|| serving(status))).await?;
    ensure!(serving_after.as_deref() == Some(serving_before), "{serving_after:?}");
    let condition = bed.condition("PromotionReady").await?;
    ensure!(condition.reason == "RolledBack" && condition.message.contains(&verdict.message), "{condition:?}");
    ensure!(generation().await? == before, "what serves was changed");
    let report = load.stop().await?;
    println!("load: {report:?}");
    let failed = report.failed as f64 / report.requests as f64;
    ensure!(failed > 0.0 && failed < FAILED, "{failed} of all requests failed: {report:?}");
    Ok(())
}

fn serving(status: &RecommenderModelStatus) -> Option<String> {
    status.serving.as_ref().filter(|serving| serving.rolling_out.is_none())?.version.clone()
}

fn canary(status: &RecommenderModelStatus) -> Option<CanaryStatus> {
    status.serving.as_ref()?.canary.clone()
}

fn canary_with(status: &RecommenderModelStatus, percent: i32) -> Option<CanaryStatus> {
    canary(status).filter(|canary| canary.weight_percent == percent && canary.replicas > 0)
}

/// Waits until the status has something.
async fn until<T>(bed: &Bed, what: &str, of: impl Fn(&RecommenderModelStatus) -> Option<T>) -> Result<T> {
    eventually(what, ROLLOUT, async || {
        let status = bed.status().await?;
        match of(&status) {
            Some(found) => Ok(found),
            None => bail!("{}", serde_json::to_string(&(&status.serving, &status.training, &status.conditions))?),
        }
    })
    .await
}

impl Bed {
    async fn train(&self, request: &str) -> Result<()> {
        let patch = json!({"metadata": {"annotations": {"recommender.dev/train": request}}});
        self.api::<RecommenderModel>().patch(NAME, &PatchParams::default(), &Patch::Merge(patch)).await.map(drop)?;
        Ok(())
    }
}
