//! What a recommender depends on, in the namespace of a test: Kafka, Redis, and Jobs that produce messages.

use std::time::Duration;

use anyhow::{Context, Result};
use serde_json::json;

use crate::Cluster;
use crate::addons::filled;

/// How long a rollout may take. A Java runtime starts slowly on two cores that also start other pods.
const TIMEOUT: Duration = Duration::from_secs(480);

/// Starts a Kafka broker, `kafka:9092` within the namespace, and waits until it is ready. A topic is created with six
/// partitions on first use.
pub async fn kafka(cluster: &Cluster, namespace: &str) -> Result<()> {
    let image = cluster.kafka_image().await?;
    let manifest = filled(include_str!("../manifests/live/kafka.yaml"), &[("KAFKA_IMAGE", &image)])?;
    apply(cluster, namespace, &manifest).await?;
    rolled_out(cluster, namespace, "deployment/kafka").await
}

/// Starts a Redis, `redis:6379` within the namespace, and an rq-exporter that Prometheus scrapes every 5 s. Waits until
/// both are ready.
pub async fn redis(cluster: &Cluster, namespace: &str) -> Result<()> {
    let image = cluster.workers_image().await?;
    let manifest = filled(include_str!("../manifests/live/redis.yaml"), &[("WORKERS_IMAGE", &image)])?;
    apply(cluster, namespace, &manifest).await?;
    rolled_out(cluster, namespace, "deployment/redis").await?;
    rolled_out(cluster, namespace, "deployment/rq-exporter").await
}

/// Starts a program of the workers' image as a Job of this name, for example `["produce", "--count", "100"]`.
pub async fn start(cluster: &Cluster, namespace: &str, name: &str, program: &[&str]) -> Result<()> {
    let image = cluster.workers_image().await?;
    let arguments = json!([&["-m", "live_workers"], program].concat()).to_string();
    let values = [("NAME", name), ("WORKERS_IMAGE", &image), ("ARGUMENTS", &arguments)];
    apply(cluster, namespace, &filled(include_str!("../manifests/live/job.yaml"), &values)?).await
}

/// Waits until a Job of [`start`] is complete. The error contains the end of its log.
pub async fn finish(cluster: &Cluster, namespace: &str, name: &str, within: Duration) -> Result<()> {
    let job = format!("job/{name}");
    let timeout = format!("--timeout={}s", within.as_secs());
    let wait = cluster.kubectl(&["-n", namespace, "wait", "--for=condition=Complete", &job, &timeout]).await;
    if wait.is_ok() {
        return Ok(());
    }
    let log = cluster.kubectl(&["-n", namespace, "logs", &job, "--tail=20"]).await.unwrap_or_default();
    wait.map(drop).with_context(|| format!("the Job {name} did not complete. Its log:\n{log}"))
}

pub(crate) async fn apply(cluster: &Cluster, namespace: &str, manifest: &str) -> Result<()> {
    let apply = ["-n", namespace, "apply", "--server-side", "--field-manager=e2e", "-f", "-"];
    cluster.kubectl_with_input(&apply, manifest).await.map(drop)
}

pub(crate) async fn rolled_out(cluster: &Cluster, namespace: &str, workload: &str) -> Result<()> {
    let timeout = format!("--timeout={}s", TIMEOUT.as_secs());
    let status = cluster.kubectl(&["-n", namespace, "rollout", "status", workload, &timeout]).await;
    if status.is_ok() {
        return Ok(());
    }
    let pods = cluster.kubectl(&["-n", namespace, "get", "pods", "-o", "wide"]).await.unwrap_or_default();
    let logs = cluster.kubectl(&["-n", namespace, "logs", workload, "--all-containers", "--tail=20"]).await;
    let logs = logs.unwrap_or_default();
    status.map(drop).with_context(|| format!("{workload} in {namespace} is not ready.\n{pods}\n{logs}"))
}
