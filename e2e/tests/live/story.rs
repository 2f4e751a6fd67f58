//! A recommender from its first version on, under load, with an operator that is killed between each two steps: a partial version, one that
//! is worse by its own metrics and is rejected, one that takes over as a canary, one that fails requests and is taken back, and data that
//! drift and start a training.

use std::{collections::BTreeMap, time::Duration};

use anyhow::{Context, Result, bail, ensure};
use e2e::{
    eventually,
    load::{Load, Stage},
    operator::{RELEASE, SELECTOR},
    restarts, services,
};
use k8s_openapi::api::apps::v1::Deployment;
use kube::api::{Patch, PatchParams};
use recommender_operator::api::{CanaryStatus, RecommenderModel, RecommenderModelStatus, TrainingKind, VersionState};
use serde_json::{Value, json};

use crate::{
    bed::{Bed, NAME},
    serving::{DEPLOYMENT, load},
    turn::{Turn, operator_is_killed},
};

/// Of the canary.
const CANARY: &str = "packages-canary";
/// Name of the service that compares data, and of the dependency on it.
const MONITOR: &str = "drift-monitor";
/// Requests per second: a canary that fails none of a third of them is no worse after about half a minute.
const PER_SECOND: u32 = 50;
/// How long the whole rollout of a version may take, training included, and the time until another operator has the lease of one that
/// was killed.
const ROLLOUT: Duration = Duration::from_secs(600);
/// The part of all requests that may be refused (503) while versions take over that are no worse. None would be on a machine of its
/// own: here, other tests build and start programs beside it, and servers that do not get the CPU for a second refuse some.
const REFUSED: f64 = 0.01;
/// The part of all requests that may fail because of a version that fails a fifth of a third of them for a while.
const FAILED: f64 = 0.05;

pub async fn a_recommender_is_retrained_all_day_by_an_operator_that_is_killed() -> Result<()> {
    let _turn = Turn::shared().await;
    let bed = Bed::new("story").await?;
    services::start_only(&bed.cluster, &bed.namespace.name, &[MONITOR]).await?;
    bed.create_object(spec(&bed).await?).await?;
    bed.ready(DEPLOYMENT).await?;
    let first = until(&bed, "its first version serves", serving).await?;
    bed.measured("sum(up{namespace=\"$namespace\"} == 1)").await?;
    bed.kill_operator().await?;

    let load = bed.load().await?;
    let partial = takes_a_partial_version(&bed, &first).await?;
    bed.kill_operator().await?;
    rejects_a_worse_version(&bed, &partial).await?;
    bed.kill_operator().await?;
    let second = takes_a_version_over_step_by_step(&bed, &partial).await?;
    bed.kill_operator().await?;
    let report = load.stop().await?;
    println!("load: {report:?}");
    ensure!(
        report.requests > 1000 && report.failed == report.refused,
        "a version that takes over fails no request: {report:?}"
    );
    ensure!(report.refused as f64 <= REFUSED * report.requests as f64, "too little capacity: {report:?}");

    takes_a_failing_version_back(&bed, &second).await?;
    bed.kill_operator().await?;
    trains_when_data_drift(&bed).await
}

/// The object: servers of the example, canaries of full versions, a gate, and a training when data drift.
async fn spec(bed: &Bed) -> Result<Value> {
    let image = bed.cluster.example_image().await?;
    Ok(json!({
        "training": {
            "image": image,
            "full": {"args": GOOD, "deadlineSeconds": 600},
            "partial": {"args": ["train", "--partial"], "deadlineSeconds": 600},
            "triggers": [{
                "name": "drift", "run": "Partial", "signal": "drift_score", "dependency": MONITOR, "above": "0.5", "forSeconds": 60,
            }],
        },
        "serving": {
            "image": image, "args": ["serve"], "probes": {"path": "/health", "periodSeconds": 1}, "replicas": 2,
        },
        "dependencies": [{"name": MONITOR, "exporter": {"name": "DriftMonitor"}}],
        "promotion": {
            "hotReload": {"timeoutSeconds": 300},
            "gates": [{"metric": "precision_at_10", "maxRegressionPercent": "20"}],
            "canary": {
                "steps": [
                    {"weightPercent": 30, "seconds": 20, "requests": 200},
                    {"weightPercent": 50, "seconds": 20, "requests": 200},
                ],
                "warmUpSeconds": 5,
                "maxStepSeconds": 300,
            },
        },
        "monitoring": {"metrics": {"profile": "FastApiInstrumentator", "intervalSeconds": 5}},
    }))
}

/// Arguments of a trainer whose versions are good.
const GOOD: [&str; 2] = ["train", "--full"];

/// A partial version takes over without a canary and without a restart.
async fn takes_a_partial_version(bed: &Bed, first: &str) -> Result<String> {
    let before = bed.servers().await?;
    bed.train("partial of today").await?;
    let partial =
        until(bed, "a partial version serves", |status| serving(status).filter(|version| version != first)).await?;
    let status = bed.status().await?;
    let version = status.versions.iter().find(|version| version.id == partial).context("it is recorded")?;
    let base = version.base.as_ref().map(|base| base.version.as_str());
    ensure!(version.kind == TrainingKind::Partial && base == Some(first), "{version:?}");
    let after = bed.servers().await?;
    ensure!(before == after && before.len() == 2, "the servers were replaced or restarted: {before:?}, {after:?}");
    let events = bed.event_messages().await?;
    ensure!(!events.iter().any(|event| event.contains("restarted")), "it had to fall back: {events:#?}");
    Ok(partial)
}

/// A version that recommends the wrong libraries, by its own metrics.
async fn rejects_a_worse_version(bed: &Bed, serving_before: &str) -> Result<()> {
    bed.full_args(&["train", "--full", "--make-worse", "inaccurate"]).await?;
    bed.train("full that is worse").await?;
    until(bed, "it is rejected", |status| {
        let newest = status.versions.first()?;
        (newest.state == VersionState::Rejected).then_some(())
    })
    .await?;
    ensure!(serving(&bed.status().await?).as_deref() == Some(serving_before), "{:?}", bed.status().await?.serving);
    bed.full_args(&GOOD).await
}

/// A version that is no worse takes over in two steps.
async fn takes_a_version_over_step_by_step(bed: &Bed, before: &str) -> Result<String> {
    bed.train("full for a canary").await?;
    let canary = until(bed, "there is a canary", canary).await?;
    println!("canary: {}", canary.message);
    let state = |status: &RecommenderModelStatus| status.versions.first().map(|version| version.state);
    let states = until(bed, "it is one", |status| state(status)).await?;
    ensure!(states == VersionState::Canary && canary.version != before, "{states:?}, {canary:?}");
    let weighted = until(bed, "it gets requests", |status| canary_with(status, 30)).await?;
    let pods: i32 = bed.api::<Deployment>().get(CANARY).await?.spec.and_then(|spec| spec.replicas).unwrap_or_default();
    ensure!((weighted.desired_replicas, pods) == (1, 1), "a third of two pods is one: {weighted:?}, {pods}");
    until(bed, "it gets half of the requests", |status| canary_with(status, 50)).await?;

    let second =
        until(bed, "the second version serves", |status| serving(status).filter(|version| *version == canary.version))
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
    Ok(second)
}

/// A version that measures well, and whose servers fail every fifth request.
async fn takes_a_failing_version_back(bed: &Bed, serving_before: &str) -> Result<()> {
    let generation =
        async || -> Result<Option<i64>> { Ok(bed.api::<Deployment>().get(DEPLOYMENT).await?.metadata.generation) };
    let before = generation().await?;
    bed.full_args(&["train", "--full", "--make-worse", "failing"]).await?;
    let load = bed.load().await?;
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
    bed.full_args(&GOOD).await
}

/// A feature whose data shift: a partial training begins by itself.
async fn trains_when_data_drift(bed: &Bed) -> Result<()> {
    ensure!(drifted(&bed.status().await?).is_none(), "the data did not drift: {:?}", bed.status().await?.training);
    services::run(&bed.cluster, &bed.namespace.name, MONITOR, "echo 1 > /tmp/shift").await?;
    let cause = until(bed, "a training begins", drifted).await?;
    println!("cause: {cause}");
    Ok(())
}

/// Why a run was started that the trigger on the drift has started.
fn drifted(status: &RecommenderModelStatus) -> Option<String> {
    let training = status.training.as_ref()?;
    let active = training.active.as_ref().and_then(|run| run.cause.clone());
    let last = training.partial.as_ref().and_then(|partial| partial.last.as_ref()?.cause.clone());
    [active, last].into_iter().flatten().find(|cause| cause.starts_with("drift: drift_score of drift-monitor was"))
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
    /// The pods of the servers by UID, with the number of their restarts.
    async fn servers(&self) -> Result<BTreeMap<String, i32>> {
        restarts(&self.api(), "app.kubernetes.io/component=serving").await
    }

    /// Kills the operator without a warning, and waits until its successor runs. That gets the lease once it has expired.
    async fn kill_operator(&self) -> Result<()> {
        let _alone = operator_is_killed().await;
        let pods = ["-n", RELEASE, "--selector", SELECTOR];
        self.cluster.kubectl(&[&["delete", "pods", "--grace-period=0", "--force"], &pods[..]].concat()).await?;
        let deployment = format!("deployment/{RELEASE}");
        self.cluster.kubectl(&["-n", RELEASE, "rollout", "status", &deployment, "--timeout=300s"]).await.map(drop)
    }

    /// Sends requests until it is stopped.
    async fn load(&self) -> Result<Load> {
        load(self, &[0, 800].map(|seconds| Stage { per_second: PER_SECOND, seconds })).await
    }

    /// Changes how full versions are trained.
    async fn full_args(&self, args: &[&str]) -> Result<()> {
        let args = json!({"spec": {"training": {"full": {"args": args}}}});
        self.api::<RecommenderModel>().patch(NAME, &PatchParams::default(), &Patch::Merge(args)).await.map(drop)?;
        Ok(())
    }

    async fn train(&self, request: &str) -> Result<()> {
        let patch = json!({"metadata": {"annotations": {"recommender.dev/train": request}}});
        self.api::<RecommenderModel>().patch(NAME, &PatchParams::default(), &Patch::Merge(patch)).await.map(drop)?;
        Ok(())
    }
}
