//! HTTP load on a Service of our own cluster, from k6 as an open loop: requests are sent at a given rate, regardless of
//! responses. This is how many independent users behave.

use std::process::Stdio;
use std::time::Duration;

use anyhow::{Context, Result, bail, ensure};
use k8s_openapi::api::core::v1::Service;
use kube::api::Api;
use rustix::process::{Pid, Signal, kill_process};
use serde_json::{Value, json};
use tokio::io::AsyncReadExt;
use tokio::process::{Child, Command};
use tokio::task::JoinHandle;

use crate::{Cluster, command, tools};

/// Highest rate that a test may use, requests per second.
pub const MAX_PER_SECOND: u32 = 500;
/// Longest load that a test may use.
const MAX_DURATION: Duration = Duration::from_secs(900);
/// Maximum number of requests in flight. Requests beyond it are counted as dropped.
const MAX_IN_FLIGHT: u32 = 600;

/// A stage of the load: the rate changes linearly to `per_second` within `seconds`. With 0 seconds it jumps.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct Stage {
    /// Requests per second at the end of the stage.
    pub per_second: u32,
    /// Duration of the stage, seconds.
    pub seconds: u32,
}

/// The rate after `seconds` of these stages, in requests per second. The rate before the first stage and after the last
/// is 0.
pub fn rate_at(stages: &[Stage], seconds: f64) -> f64 {
    let (mut begins, mut from) = (0.0, 0.0);
    for stage in stages {
        let (length, to) = (f64::from(stage.seconds), f64::from(stage.per_second));
        if seconds < begins + length {
            return from + (to - from) * (seconds - begins) / length;
        }
        (begins, from) = (begins + length, to);
    }
    0.0
}

/// A running load. Dropping it stops it.
pub struct Load {
    child: Child,
    /// The stderr of k6, with a line for each failed request. It is read continuously, or k6 would block.
    stderr: JoinHandle<String>,
}

/// Results of a load, as k6 measured them.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct Report {
    /// Requests that were sent.
    pub requests: u64,
    /// Requests without a response or with an error response.
    pub failed: u64,
    /// Those of them that were answered with 503, as servers do that are overloaded.
    pub refused: u64,
    /// Requests that were not sent, because too many were in flight.
    pub dropped: u64,
    /// The 95th percentile of the duration of all requests, in milliseconds.
    pub p95_milliseconds: f64,
}

impl Load {
    /// Starts GET requests for `path` on a Service. Only in our own cluster: a test must not put load on pods of
    /// others.
    pub async fn start(
        cluster: &Cluster,
        namespace: &str,
        service: &str,
        path: &str,
        stages: &[Stage],
    ) -> Result<Self> {
        ensure!(cluster.is_ours(), "load is only sent to pods of the cluster that the tests start: unset KUBECONFIG");
        let (max, length) = (stages.iter().map(|stage| stage.per_second).max(), total(stages));
        ensure!(max <= Some(MAX_PER_SECOND) && length <= MAX_DURATION, "too much load for one host: {stages:?}");
        let services: Api<Service> = Api::namespaced(cluster.client(), namespace);
        let address = services.get(service).await?.spec.and_then(|spec| spec.cluster_ip);
        let address = address.filter(|address| address != "None");
        let address = address.with_context(|| format!("the Service {namespace}/{service} has no cluster IP"))?;
        let k6 = tokio::task::spawn_blocking(|| tools::program("k6")).await??;
        let script = crate::paths::repository().join("e2e/src/load.js");
        let of_stage = |stage: &Stage| json!({"target": stage.per_second, "duration": format!("{}s", stage.seconds)});
        let listed: Vec<Value> = stages.iter().chain(&until_stopped(stages)).map(of_stage).collect();
        let mut command = Command::new(k6);
        command
            .args(["run", "--quiet", "--no-usage-report", "--address="])
            .args(["--env", &format!("URL=http://{address}{path}")])
            .args(["--env", &format!("STAGES={}", serde_json::to_string(&listed)?)])
            .args(["--env", &format!("MAX_IN_FLIGHT={MAX_IN_FLIGHT}")])
            .arg(script)
            // k6 would look for extensions on the network.
            .env("K6_AUTO_EXTENSION_RESOLUTION", "false")
            .stdin(Stdio::null())
            .stdout(Stdio::piped())
            .stderr(Stdio::piped())
            .kill_on_drop(true);
        let mut child = command.spawn().context("cannot run k6")?;
        let mut pipe = child.stderr.take().context("stderr is piped")?;
        let stderr = tokio::spawn(async move {
            let mut bytes = Vec::new();
            let _ = pipe.read_to_end(&mut bytes).await; // after an error, what was read before is still of use
            String::from_utf8_lossy(&bytes).into_owned()
        });
        Ok(Self { child, stderr })
    }

    /// Stops the load, even before the end of its last stage, and returns the results.
    pub async fn stop(self) -> Result<Report> {
        if let Some(pid) = self.child.id().and_then(|pid| Pid::from_raw(i32::try_from(pid).ok()?)) {
            kill_process(pid, Signal::INT).context("cannot end k6")?;
        }
        // After SIGINT k6 still prints its summary. Its exit code shows the interruption.
        let output = tokio::time::timeout(Duration::from_secs(60), self.child.wait_with_output()).await;
        let output = output.context("k6 does not end")??;
        let metrics = String::from_utf8_lossy(&output.stdout);
        let stderr = command::last_lines(&self.stderr.await?, 20);
        let report = report(&metrics).with_context(|| format!("k6 ended ({}): {metrics}\n{stderr}", output.status))?;
        if report.failed > report.refused {
            eprintln!("failed requests, the last ones:\n{stderr}");
        }
        Ok(report)
    }
}

/// A last stage that keeps the rate until k6 is stopped. k6 prints no summary if it is interrupted just as it ends by
/// itself.
fn until_stopped(stages: &[Stage]) -> Option<Stage> {
    stages.last().map(|last| Stage { seconds: 60, ..*last })
}

fn total(stages: &[Stage]) -> Duration {
    stages.iter().map(|stage| Duration::from_secs(stage.seconds.into())).sum()
}

/// Parses the metrics of k6, which omits metrics without samples: missing counts are 0, but requests and their duration
/// are required.
fn report(metrics: &str) -> Result<Report> {
    let metrics: Value = serde_json::from_str(metrics).context("no JSON")?;
    let count = |metric: &str, field: &str| metrics[metric]["values"][field].as_u64();
    let Some(requests) = count("http_reqs", "count") else { bail!("no request was sent") };
    let p95 = metrics["http_req_duration"]["values"]["p(95)"].as_f64();
    Ok(Report {
        requests,
        // A rate metric: its "passes" are the requests that failed.
        failed: count("http_req_failed", "passes").unwrap_or(0),
        refused: count("refused", "count").unwrap_or(0),
        dropped: count("dropped_iterations", "count").unwrap_or(0),
        p95_milliseconds: p95.context("no http_req_duration")?,
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_rate_is_linear_within_a_stage_and_jumps_in_a_stage_of_zero_seconds() {
        let stage = |per_second, seconds| Stage { per_second, seconds };
        let stages = [stage(10, 0), stage(10, 20), stage(30, 10), stage(0, 10)];
        let rates = [0.0, 19.0, 25.0, 30.0, 35.0, 40.0].map(|seconds| rate_at(&stages, seconds));
        assert_eq!(rates, [10.0, 10.0, 20.0, 30.0, 15.0, 0.0]);
        assert_eq!(total(&stages), Duration::from_secs(40));
    }

    #[test]
    fn the_summary_of_k6_is_parsed() {
        let summary = r#"{"http_reqs": {"values": {"count": 119, "rate": 19.9}},
            "http_req_failed": {"values": {"rate": 0.1, "passes": 12, "fails": 107}},
            "refused": {"values": {"count": 5, "rate": 0.5}},
            "http_req_duration": {"values": {"p(50)": 1.3, "p(95)": 4.8, "max": 8.0}}}"#;
        let expected = Report { requests: 119, failed: 12, refused: 5, dropped: 0, p95_milliseconds: 4.8 };
        assert_eq!(report(summary).expect("is a summary"), expected);
        assert!(report("{}").is_err());
    }
}
