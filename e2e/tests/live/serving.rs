//! Servers that use CPU: the example recommender with a CPU limit, so that its latency depends on its load.

use std::time::Duration;

use anyhow::{Context, Result, ensure};
use e2e::load::{Load, Report, Stage};
use serde_json::{Value, json};
use tokio::sync::OnceCell;

use crate::{
    bed::{Bed, NAME},
    turn::Turn,
    watch::{Row, Signal},
};

/// The servers' Deployment.
pub const DEPLOYMENT: &str = "packages-serving";

/// The p95 that the pods measure, in milliseconds, independent of the recording rules of the operator.
pub const P95: Signal = Signal {
    title: "p95, ms",
    query: "1000 * histogram_quantile(0.95, sum by (le) (\
            rate(http_request_duration_highr_seconds_bucket{namespace=\"$namespace\"}[20s])))",
};

/// The capacity of one replica on this machine. Machines differ by a factor of two and more, so all loads and limits of
/// the tests are derived from it.
#[derive(Clone, Copy, Debug)]
pub struct Machine {
    /// CPU limit of a replica, millicores.
    cpu_limit: u32,
    /// Requests per second that one replica can serve with all of its CPU.
    pub capacity: u32,
    /// Latency target, milliseconds: 95 % of the requests must be answered within it. It is a bound of the server's
    /// histogram, well above the latency without load, and below the latency with exhausted CPU.
    pub target: u32,
}

/// Possible targets, milliseconds: bounds of the server's histogram.
const TARGETS: [u32; 5] = [50, 75, 100, 250, 500];
/// Minimum ratio of the target to the p95 without load.
const ABOVE_UNLOADED: f64 = 2.5;
/// CFS period of the kernel, seconds. A replica with exhausted quota is throttled until the end of a period. If fewer
/// than [`MIN_REQUESTS_PER_PERIOD`] requests fit into its quota of a period, more than one request in twenty is
/// throttled, so the target must be at least a period.
const PERIOD_SECONDS: f64 = 0.1;
/// Requests per period from which throttling does not determine the p95.
const MIN_REQUESTS_PER_PERIOD: f64 = 4.0;

/// Creates the object with these fields in addition to its latency target, and waits until Prometheus has its metrics.
pub async fn create(bed: &Bed, machine: Machine, mut autoscaling: Value) -> Result<()> {
    autoscaling["latency"] = json!({"quantile": "P95", "targetMilliseconds": machine.target});
    create_with(bed, machine.cpu_limit, autoscaling).await?;
    bed.measured("recommender:cpu_use:rate20s{$labels,workload=\"serving\"}").await.map(drop)
}

/// Creates the object with this autoscaling, without a latency target.
pub async fn create_without_target(bed: &Bed, machine: Machine, autoscaling: Value) -> Result<()> {
    create_with(bed, machine.cpu_limit, autoscaling).await
}

/// Creates the object with this CPU limit of a replica in millicores, and waits until its servers are ready and scraped.
async fn create_with(bed: &Bed, limit: u32, autoscaling: Value) -> Result<()> {
    let resources = json!({
        "requests": {"cpu": format!("{}m", limit / 3), "memory": "128Mi"},
        "limits": {"cpu": format!("{limit}m"), "memory": "256Mi"},
    });
    bed.create(resources, autoscaling).await?;
    bed.ready(DEPLOYMENT).await?;
    bed.measured("sum(up{namespace=\"$namespace\"} == 1)").await.map(drop)
}

/// Highest CPU limit of a replica, millicores. `LIVE_CPU_LIMIT` overrides it, to run the tests as on a slower machine.
fn max_cpu_limit() -> u32 {
    std::env::var("LIVE_CPU_LIMIT").ok().and_then(|limit| limit.parse().ok()).unwrap_or(150)
}

/// Measures the machine, once per process. It takes a [`Turn`], so a caller must not hold one.
pub async fn machine() -> Result<Machine> {
    static MACHINE: OnceCell<Machine> = OnceCell::const_new();
    MACHINE.get_or_try_init(measure).await.copied()
}

/// Requests per second that a replica serves at most. On a faster machine its CPU limit is lower, because one host may send
/// only [`e2e::load::MAX_PER_SECOND`], and several replicas together are to be overloaded by that.
const MAX_CAPACITY: f64 = 75.0;
/// A load that one replica with this CPU limit serves on any machine.
const LIGHT: Stage = Stage { per_second: 6, seconds: 40 };
/// The full load, relative to the predicted capacity. Slightly more: the served rate is then the capacity.
const FULL: f64 = 1.25;
/// Duration of the full load, seconds.
const FULL_SECONDS: u32 = 40;
/// CPU use of a replica, cores. The window is [`LIGHT`] without the time by which a scrape may be behind.
const CPU: &str = "sum(rate(process_cpu_seconds_total{namespace=\"$namespace\"}[30s]))";

async fn measure() -> Result<Machine> {
    let mut turn = Turn::shared().await;
    let bed = Bed::new("machine").await?;
    // Scales on CPU from one replica to one, so there is nothing to decide.
    let limit = f64::from(max_cpu_limit());
    create_with(&bed, max_cpu_limit(), json!({"minReplicas": 1, "maxReplicas": 1, "cpu": {}})).await?;
    turn.alone().await;
    let light = load(&bed, &[Stage { seconds: 0, ..LIGHT }, LIGHT]).await?;
    tokio::time::sleep(Duration::from_secs(LIGHT.seconds.into())).await;
    // The load goes on until it is stopped.
    let scraped = async || bed.query(CPU).await?.context("no CPU use was scraped");
    let cores = e2e::eventually("the CPU use is scraped", Duration::from_secs(30), scraped).await?;
    let report = light.stop().await?;
    let by_cpu = f64::from(LIGHT.per_second) * limit / 1e3 / cores;
    let served = full_load(&bed, by_cpu as u32).await?.served_per_second();
    // The capacity is proportional to the limit.
    let share = (MAX_CAPACITY / served).min(1.0);
    let (limit, capacity) = (share * limit, (share * served) as u32);
    let per_period = limit * PERIOD_SECONDS / 1e3 / (cores / f64::from(LIGHT.per_second));
    let waits = if per_period < MIN_REQUESTS_PER_PERIOD { 1e3 * PERIOD_SECONDS } else { 0.0 };
    let least = waits.max(ABOVE_UNLOADED * report.p95_milliseconds);
    let target = TARGETS.into_iter().find(|target| f64::from(*target) >= least);
    println!(
        "one replica serves {capacity} requests/s with {limit:.0} millicores, and its target is {target:?} ms: \
         {cores:.3} cores at {report:?}"
    );
    ensure!(capacity >= 10, "this machine is too slow or too busy for a load test: {cores} cores at {report:?}");
    let target = target.with_context(|| format!("this machine is too slow or too busy for a latency: {report:?}"))?;
    Ok(Machine { cpu_limit: limit.round() as u32, capacity, target })
}

/// The result of slightly more load than this predicted capacity, in requests/s.
pub async fn full_load(bed: &Bed, capacity: u32) -> Result<FullLoad> {
    let per_second = (FULL * f64::from(capacity)) as u32;
    let load = load(bed, &[0, FULL_SECONDS].map(|seconds| Stage { per_second, seconds })).await?;
    tokio::time::sleep(Duration::from_secs(FULL_SECONDS.into())).await;
    load.stop().await.map(FullLoad)
}

/// The result of a full load of [`FULL_SECONDS`].
pub struct FullLoad(Report);

impl FullLoad {
    /// The capacity.
    pub fn served_per_second(&self) -> f64 {
        (self.0.requests - self.0.failed) as f64 / f64::from(FULL_SECONDS)
    }
}

/// Sends load to the servers' Service.
pub async fn load(bed: &Bed, stages: &[Stage]) -> Result<Load> {
    let path = "/recommendations/python3-flask?limit=5";
    Load::start(&bed.cluster, &bed.namespace.name, NAME, path, stages).await
}

/// Whether the latency has been known and at most the target for this time.
pub fn kept_for(rows: &[Row], machine: Machine, length: Duration) -> bool {
    let Some(now) = rows.last().map(|row| row.seconds) else { return false };
    let since = now - length.as_secs_f64();
    rows[0].seconds <= since
        && rows
            .iter()
            .filter(|row| row.seconds >= since)
            .all(|row| row.signal.is_some_and(|p95| p95 <= f64::from(machine.target)))
}
