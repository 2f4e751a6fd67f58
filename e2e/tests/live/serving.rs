//! Servers that compute: the example recommender with a limit of CPU, so that its latency depends on its load.

use std::time::Duration;

use anyhow::Result;
use e2e::load::{Load, Stage};
use serde_json::{Value, json};

use crate::{
    bed::{Bed, NAME},
    watch::{Row, Signal},
};

/// The servers' Deployment.
pub const DEPLOYMENT: &str = "packages-serving";

/// As the pods themselves measure it, in milliseconds, whatever the operator's rules make of it.
pub const P95: Signal = Signal {
    title: "p95, ms",
    query: "1000 * histogram_quantile(0.95, sum by (le) (\
            rate(http_request_duration_highr_seconds_bucket{namespace=\"$namespace\"}[20s])))",
};

/// What is promised: 95 % of the requests are answered in so many milliseconds. An idle server needs ten; one that has used
/// up its CPU stands still for most of every 100 ms. It measures no more than that: what waits for it outside, it does not see.
pub const TARGET: u32 = 50;

/// Creates the object with these fields beside its latency target, and waits until Prometheus measures it.
pub async fn create(bed: &Bed, mut autoscaling: Value) -> Result<()> {
    autoscaling["latency"] = json!({"quantile": "P95", "targetMilliseconds": TARGET});
    // Forty-odd requests a second are all that a replica can do with it.
    let resources =
        json!({"requests": {"cpu": "50m", "memory": "128Mi"}, "limits": {"cpu": "150m", "memory": "256Mi"}});
    bed.create(resources, autoscaling).await?;
    bed.ready(DEPLOYMENT).await?;
    bed.measured("recommender:cpu_use:rate20s{$labels,workload=\"serving\"}").await.map(drop)
}

/// Sends load to the servers' Service.
pub async fn load(bed: &Bed, stages: &[Stage]) -> Result<Load> {
    let path = "/recommendations/python3-flask?limit=5";
    Load::start(&bed.cluster, &bed.namespace.name, NAME, path, stages).await
}

/// Whether the latency is known and kept for so long until now.
pub fn kept_for(rows: &[Row], length: Duration) -> bool {
    let Some(now) = rows.last().map(|row| row.seconds) else { return false };
    let since = now - length.as_secs_f64();
    rows[0].seconds <= since
        && rows
            .iter()
            .filter(|row| row.seconds >= since)
            .all(|row| row.signal.is_some_and(|p95| p95 <= f64::from(TARGET)))
}
