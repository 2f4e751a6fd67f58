//! Training on request, and the rollout of a new version.

use std::{
    sync::{Arc, Mutex},
    time::Duration,
};

use anyhow::{Context, Result, ensure};
use k8s_openapi::api::batch::v1::Job;
use kube::api::ListParams;
use recommender_operator::api::{RecommenderModel, TrainingKind, Version};
use serde_json::json;
use tokio::task::JoinHandle;

use crate::{
    bed::{Bed, DEADLINE_SECONDS, has_message, is, serving, training},
    scripts::trainer,
};

/// Requests the version from a Service continuously.
pub struct Poller {
    answers: Arc<Mutex<Vec<Result<String, String>>>>,
    task: JoinHandle<()>,
}

impl Poller {
    /// Starts with a Service that responds.
    pub fn start(bed: &Bed, service: &'static str) -> Self {
        let (cluster, namespace) = (bed.cluster.clone(), bed.namespace.name.clone());
        let answers = Arc::new(Mutex::new(Vec::new()));
        let into = answers.clone();
        let task = tokio::spawn(async move {
            loop {
                let answer = match cluster.service_get(&namespace, service, 80, "/version").await {
                    Ok((200, body)) => Ok(body.trim().to_owned()),
                    Ok((status, body)) => Err(format!("{status} {body}")),
                    Err(error) => Err(format!("{error:#}")),
                };
                if let Ok(mut answers) = into.lock() {
                    answers.push(answer);
                }
                tokio::time::sleep(Duration::from_millis(50)).await;
            }
        });
        Self { answers, task }
    }

    /// Stops and returns all responses, which are versions. A failed request is an error.
    pub fn answers(self) -> Result<Vec<String>> {
        self.task.abort();
        let answers = self.answers.lock().map(|answers| answers.clone()).unwrap_or_default();
        let requests = answers.len();
        ensure!(requests > 10, "only {requests} requests");
        let failed: Vec<_> = answers.iter().filter_map(|answer| answer.as_ref().err()).collect();
        ensure!(failed.is_empty(), "{} of {requests} requests failed: {:?}", failed.len(), failed[0]);
        Ok(answers.into_iter().flatten().collect())
    }
}

pub async fn a_new_version_is_rolled_out_without_a_failed_request() -> Result<()> {
    let bed = Bed::new("rollout").await?;
    bed.create("shop", json!({"spec": {"serving": {"replicas": 2}}})).await?;
    let first = serving(&bed.served("shop").await?).version.context("a version is served")?;
    bed.answers("shop", "/version").await?;
    let poller = Poller::start(&bed, "shop");

    bed.request("shop", "full 1").await?;
    let rolling_out =
        bed.until("shop", "rolls out another version", |model| serving(model).rolling_out.is_some()).await?;
    ensure!(serving(&rolling_out).version.as_ref() == Some(&first), "the status does not report the old version");
    ensure!(is(&rolling_out, "Ready", "True"), "the old version serves: {:#?}", rolling_out.status);
    let second = serving(&rolling_out).rolling_out.context("it is rolled out")?;
    ensure!(second != first, "it is the same version");

    let switched = bed
        .until("shop", "reports that it is served", |model| serving(model).version.as_ref() == Some(&second))
        .await?;
    let deployment = bed.deployment("shop").await?.status.unwrap_or_default();
    ensure!(deployment.updated_replicas == Some(2) && deployment.ready_replicas == Some(2), "{deployment:?}");
    ensure!(serving(&switched).rolling_out.is_none() && serving(&switched).replicas == 2, "{:?}", serving(&switched));
    bed.served("shop").await?;
    e2e::eventually("only the new version answers", crate::bed::TIMEOUT, async || {
        ensure!(bed.answer("shop", "/version").await? == second, "the old one answers");
        Ok(())
    })
    .await?;

    let answers = poller.answers()?;
    ensure!(answers.first() == Some(&first), "{:?} answered first", answers.first());
    ensure!(answers.contains(&second), "the new version never answered");
    ensure!(answers.iter().all(|version| [&first, &second].contains(&version)), "a third version answered");
    let versions = switched.status.as_ref().map(|status| status.versions.clone()).unwrap_or_default();
    let ids: Vec<_> = versions.iter().map(|version| version.id.as_str()).collect();
    ensure!(ids == [second, first], "the versions known are {ids:?}");
    ensure!(training(&switched).last_request.as_deref() == Some("full 1"), "{:?}", training(&switched));
    Ok(())
}

pub async fn an_invalid_training_request_is_reported_and_starts_nothing() -> Result<()> {
    let bed = Bed::new("request").await?;
    bed.create("shop", json!({})).await?;
    let good = serving(&bed.served("shop").await?);
    bed.request("shop", "yes please").await?;
    let reported = bed
        .until("shop", "reports what to write", |model| {
            has_message(model, "TrainingReady", "InvalidRequest", "\"yes please\", which asks for nothing: write full")
        })
        .await?;
    ensure!(is(&reported, "Ready", "True") && serving(&reported) == good, "{:#?}", reported.status);
    let jobs = bed.api::<Job>().list(&ListParams::default()).await?;
    ensure!(jobs.items.len() == 1, "{} Jobs", jobs.items.len());
    Ok(())
}

/// The newest version.
fn newest(model: &RecommenderModel) -> Option<Version> {
    model.status.as_ref()?.versions.first().cloned()
}

/// With a schedule of every minute, so that the test need not wait longer.
pub async fn partial_runs_follow_a_full_one_by_schedule_and_by_request() -> Result<()> {
    let bed = Bed::new("partial").await?;
    let partial = json!({
        "schedule": "* * * * *", "command": ["sh", "-c", trainer::PARTIAL], "env": [{"name": "SPEED", "value": "fast"}],
        "maxBaseAgeHours": 1, "deadlineSeconds": DEADLINE_SECONDS, "backoffLimit": 0,
    });
    bed.create("shop", json!({"spec": {"training": {"partial": partial}}})).await?;
    let is_second = |version: Version| version.base.is_some_and(|base| base.version != base.full);
    let trained = bed
        .until("shop", "has a partial version on top of another one", |model| newest(model).is_some_and(is_second))
        .await?;
    let versions = trained.status.as_ref().map(|status| status.versions.clone()).unwrap_or_default();
    for pair in versions.windows(2).filter(|pair| pair[0].kind == TrainingKind::Partial) {
        let base = pair[0].base.as_ref().context("a partial version has a base")?;
        ensure!(base.version == pair[1].id, "{} is on top of {}, not {}", pair[0].id, base.version, pair[1].id);
        let end = pair[1].data_through.as_ref().unwrap_or(&pair[1].due_at);
        ensure!(base.data_from == *end, "{:?} leaves a gap or overlaps", pair[0]);
    }
    let full = versions.last().context("there is a full version")?;
    ensure!(full.kind == TrainingKind::Full && full.base.is_none(), "{full:?}");

    bed.edit("shop", json!({"spec": {"training": {"partial": {"schedule": null}}}})).await?;
    bed.until("shop", "trains no more", |model| {
        let status = training(model);
        status.active.is_none() && status.next_schedule_time(TrainingKind::Partial).is_none()
    })
    .await?;
    bed.request("shop", "partial: drift").await?;
    let requested = bed
        .until("shop", "has the requested version", |model| {
            newest(model).is_some_and(|version| version.id.starts_with("partial-r"))
        })
        .await?;
    ensure!(training(&requested).last_request.as_deref() == Some("partial: drift"), "{:?}", training(&requested));
    let version = newest(&requested).context("it was just there")?;
    let base = version.base.clone().context("it has a base")?;
    let model = bed.until("shop", "serves it", |model| serving(model).version.as_ref() == Some(&version.id)).await?;
    ensure!(is(&model, "TrainingReady", "True"), "{:#?}", model.status);
    let given = format!("fast {} {} {}", base.version, base.data_from.0, version.due_at.0);
    e2e::eventually("the new version answers", crate::bed::TIMEOUT, async || {
        let answer = bed.answer("shop", "/model").await?;
        ensure!(answer == given, "{answer} in place of {given}");
        Ok(())
    })
    .await
}
