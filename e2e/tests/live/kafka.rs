//! Workers on a Kafka topic.

use std::time::Duration;

use anyhow::Result;
use e2e::parts;
use serde_json::json;

use crate::{
    bed::Bed,
    lag::{Backlog, WORKER, catches_up},
    turn::Turn,
};

/// Six partitions and 50 messages per second and worker: six workers process 300 messages per second.
pub async fn workers_catch_up_with_a_topic() -> Result<()> {
    let turn = Turn::shared().await;
    let bed = Bed::new("kafka").await?;
    let worker = json!({
        "name": WORKER,
        "image": bed.cluster.workers_image().await?,
        "args": ["-m", "live_workers", "consume"],
        "env": [{"name": "WORK_MILLISECONDS", "value": "20"}],
        "resources": {"requests": {"cpu": "20m", "memory": "48Mi"}},
        "terminationGraceSeconds": 10,
        "metrics": {"port": 9100},
        "autoscaling": {
            "minReplicas": 1,
            "maxReplicas": 10,
            "lag": {"dependency": WORKER, "catchUpSeconds": 60, "maxLagMessages": 5000},
            "behavior": {"scaleDown": {"stabilizationWindowSeconds": 15}},
        },
    });
    let topic = json!({"consumerGroup": "ml-recommender", "topics": ["events"], "exporter": "ConsumerClient"});
    bed.create_worker(worker, json!({"name": WORKER, "kafka": topic})).await?;
    parts::kafka(&bed.cluster, &bed.namespace.name).await?;
    let steady = ["produce", "--count", "36000", "--per-second", "20"];
    parts::start(&bed.cluster, &bed.namespace.name, "steady", &steady).await?;
    catches_up(
        &bed,
        turn,
        &Backlog {
            program: &["produce", "--count", "9000"],
            messages: 9000.0,
            gone: 150.0,
            catch_up: Duration::from_secs(60),
            // One worker per partition, although the maximum is ten.
            replicas: 6..=6,
        },
    )
    .await
}
