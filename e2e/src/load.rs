//! HTTP load on a Service of our own cluster, from k6 as an open loop: requests come at a rate, whether or not earlier ones
//! have been answered, as they do from many users who know nothing of each other.

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

/// No test asks for more than so many requests a second, nor for so long.
const MOST_PER_SECOND: u32 = 500;
const LONGEST: Duration = Duration::from_secs(900);
/// Requests that may be without an answer; those that would be more are counted as dropped.
const MOST_AT_ONCE: u32 = 600;

/// The rate moves evenly to `per_second` in `seconds`; in none it jumps.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct Stage {
    /// Requests a second at the end of the stage.
    pub per_second: u32,
    /// How long the stage takes.
    pub seconds: u32,
}

/// Requests a second after so many seconds of these stages, which begin at none; 0 after the last.
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

/// Load that runs. Dropping it ends it.
pub struct Load {
    child: Child,
    /// What k6 says besides: a line for each request that failed. Read all the time, or it would wait to be heard.
    said: JoinHandle<String>,
}

/// What became of the requests, as their sender saw it.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct Report {
    /// Requests that were sent.
    pub requests: u64,
    /// Those without an answer, or with one that is an error.
    pub failed: u64,
    /// Those that were due and not sent, because too many were without an answer.
    pub dropped: u64,
    /// The 95th percentile of all, in milliseconds.
    pub p95_milliseconds: f64,
}

impl Load {
    /// Starts to ask for `path` on a Service. Only in our own cluster: the load is for our own pods and nobody else.
    pub async fn start(
        cluster: &Cluster,
        namespace: &str,
        service: &str,
        path: &str,
        stages: &[Stage],
    ) -> Result<Self> {
        ensure!(cluster.is_ours(), "load is only sent to pods of the cluster that the tests start: unset KUBECONFIG");
        let (most, length) = (stages.iter().map(|stage| stage.per_second).max(), total(stages));
        ensure!(most <= Some(MOST_PER_SECOND) && length <= LONGEST, "too much load for one host: {stages:?}");
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
            .args(["--env", &format!("MOST_AT_ONCE={MOST_AT_ONCE}")])
            .arg(script)
            // It would look for extensions on the network.
            .env("K6_AUTO_EXTENSION_RESOLUTION", "false")
            .stdin(Stdio::null())
            .stdout(Stdio::piped())
            .stderr(Stdio::piped())
            .kill_on_drop(true);
        let mut child = command.spawn().context("cannot run k6")?;
        let mut stderr = child.stderr.take().context("stderr is piped")?;
        let said = tokio::spawn(async move {
            let mut said = Vec::new();
            let _ = stderr.read_to_end(&mut said).await; // what was read until then is better than nothing
            String::from_utf8_lossy(&said).into_owned()
        });
        Ok(Self { child, said })
    }

    /// Ends it, whether or not its last stage is over, and says what became of the requests.
    pub async fn stop(self) -> Result<Report> {
        if let Some(pid) = self.child.id().and_then(|pid| Pid::from_raw(i32::try_from(pid).ok()?)) {
            kill_process(pid, Signal::INT).context("cannot end k6")?;
        }
        // Interrupted it still sums up, and ends with a code of its own.
        let output = tokio::time::timeout(Duration::from_secs(60), self.child.wait_with_output()).await;
        let output = output.context("k6 does not end")??;
        let metrics = String::from_utf8_lossy(&output.stdout);
        let said = command::last_lines(&self.said.await?, 20);
        report(&metrics).with_context(|| format!("k6 ended ({}): {metrics}\n{said}", output.status))
    }
}

/// The last rate goes on until it is stopped. Interrupted just as it ends by itself, k6 sums nothing up.
fn until_stopped(stages: &[Stage]) -> Option<Stage> {
    stages.last().map(|last| Stage { seconds: 60, ..*last })
}

fn total(stages: &[Stage]) -> Duration {
    stages.iter().map(|stage| Duration::from_secs(stage.seconds.into())).sum()
}

/// Of k6's metrics; it leaves out what never happened, but for requests.
fn report(metrics: &str) -> Result<Report> {
    let metrics: Value = serde_json::from_str(metrics).context("no JSON")?;
    let count = |metric: &str, field: &str| metrics[metric]["values"][field].as_u64();
    let Some(requests) = count("http_reqs", "count") else { bail!("no request was sent") };
    let p95 = metrics["http_req_duration"]["values"]["p(95)"].as_f64();
    Ok(Report {
        requests,
        // A rate whose "passes" are the requests for which it is true that they failed.
        failed: count("http_req_failed", "passes").unwrap_or(0),
        dropped: count("dropped_iterations", "count").unwrap_or(0),
        p95_milliseconds: p95.context("no http_req_duration")?,
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_rate_moves_evenly_within_a_stage_and_jumps_in_one_of_no_seconds() {
        let stage = |per_second, seconds| Stage { per_second, seconds };
        let stages = [stage(10, 0), stage(10, 20), stage(30, 10), stage(0, 10)];
        let seen = [0.0, 19.0, 25.0, 30.0, 35.0, 40.0].map(|seconds| rate_at(&stages, seconds));
        assert_eq!(seen, [10.0, 10.0, 20.0, 30.0, 15.0, 0.0]);
        assert_eq!(total(&stages), Duration::from_secs(40));
    }

    #[test]
    fn a_summary_says_what_failed_and_what_was_not_sent() {
        let summary = r#"{"http_reqs": {"values": {"count": 119, "rate": 19.9}},
            "http_req_failed": {"values": {"rate": 0.1, "passes": 12, "fails": 107}},
            "http_req_duration": {"values": {"p(50)": 1.3, "p(95)": 4.8, "max": 8.0}}}"#;
        let expected = Report { requests: 119, failed: 12, dropped: 0, p95_milliseconds: 4.8 };
        assert_eq!(report(summary).expect("is a summary"), expected);
        assert!(report("{}").is_err());
    }
}
