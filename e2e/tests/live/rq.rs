//! Workers on an RQ queue.

use std::time::Duration;

use anyhow::Result;
use e2e::parts;
use serde_json::json;

use crate::{
    bed::Bed,
    lag::{Backlog, WORKER, catches_up},
    turn::Turn,
};

/// Jobs of two minutes, more than a hundred of which still wait after a quarter of an hour: how many wait is recorded every two minutes,
/// and the backlog may come and go between two evaluations.
const WAITING: [&str; 5] = ["enqueue", "--count", "150", "--work-milliseconds", "120000"];

/// Each job takes half a second, so a worker processes almost two jobs per second.
pub async fn workers_catch_up_with_a_queue() -> Result<()> {
    let turn = Turn::shared().await;
    let bed = Bed::new("rq").await?;
    let worker = json!({
        "name": WORKER,
        "image": bed.cluster.workers_image().await?,
        "args": ["-m", "rq.cli", "worker", "--url", "redis://redis:6379", "train_model"],
        "resources": {"requests": {"cpu": "20m", "memory": "64Mi"}},
        "terminationGraceSeconds": 10,
        "autoscaling": {
            "minReplicas": 1,
            "maxReplicas": 5,
            "lag": {"dependency": WORKER, "catchUpSeconds": 60},
            "behavior": {"scaleDown": {"stabilizationWindowSeconds": 15}},
        },
    });
    bed.create_worker(worker, json!({"name": WORKER, "rq": {"queues": ["train_model"]}})).await?;
    parts::redis(&bed.cluster, &bed.namespace.name).await?;
    let steady = ["enqueue", "--count", "450", "--per-second", "0.25", "--work-milliseconds", "500"];
    parts::start(&bed.cluster, &bed.namespace.name, "steady", &steady).await?;
    // Before the first failure, so that the number of failures is seen to grow.
    bed.measured("sum(rq_workers_failed_total{namespace=\"$namespace\"})").await?;
    let failing = ["enqueue", "--fail", "--count", "3", "--per-second", "0.2"];
    parts::start(&bed.cluster, &bed.namespace.name, "failing", &failing).await?;
    let backlog = Backlog {
        // One worker alone would take four minutes.
        program: &["enqueue", "--count", "400", "--work-milliseconds", "500"],
        messages: 400.0,
        gone: 5.0,
        catch_up: Duration::from_secs(60),
        // The number depends on the capacity that was learned, and on how many wait when it was.
        replicas: 3..=5,
    };
    tokio::try_join!(catches_up(&bed, turn, &backlog), jobs_are_recorded(&bed))?;

    let _turn = Turn::shared().await;
    parts::start(&bed.cluster, &bed.namespace.name, "waiting", &WAITING).await?;
    bed.reaches(r#"recommender:jobs{$labels,queue="train_model",status="queued"}"#, |jobs| jobs > 100.0).await.map(drop)
}

/// Waits until what people and alerts read of the jobs is recorded.
async fn jobs_are_recorded(bed: &Bed) -> Result<()> {
    bed.reaches(r#"recommender:consumers{$labels,dependency="events"}"#, |workers| workers >= 1.0).await?;
    bed.reaches(r#"recommender:jobs{$labels,queue="train_model",status="failed"}"#, |jobs| jobs == 3.0).await?;
    bed.reaches(r#"recommender:jobs_done:rate5m{$labels,result="failed"}"#, |rate| rate > 0.0).await?;
    bed.reaches(r#"recommender:jobs_done:rate5m{$labels,result="success"}"#, |rate| rate > 0.0).await?;
    // Of half a second; those that fail take less.
    bed.reaches(r#"recommender:job_seconds:mean{$labels,dependency="events"}"#, |mean| (0.2..1.0).contains(&mean))
        .await
        .map(drop)
}
