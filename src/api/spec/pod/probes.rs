//! Probes, and what is called before a container is stopped.

use kube::KubeSchema;
use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

use crate::api::rules;

/// A probe: an HTTP request if path is set, a command with exec, a gRPC health check with grpcService, and otherwise whether
/// the port is open. What is not set of a server's probe is as in spec.serving.probes.
#[derive(KubeSchema, Serialize, Deserialize, Clone, Debug, PartialEq)]
#[x_kube(
    validation = Rule::new("[has(self.path), has(self.exec), has(self.grpcService)].filter(x, x).size() <= 1")
        .message("set at most one of path, exec and grpcService"),
    validation = Rule::new("has(self.path) || (!has(self.scheme) && !has(self.httpHeaders))")
        .message("scheme and httpHeaders are those of an HTTP request: set path")
)]
#[serde(rename_all = "camelCase")]
pub struct Probe {
    /// What its result means.
    #[serde(rename = "type")]
    pub type_: ProbeType,
    /// Path of a GET that must be answered with a status from 200 to 399.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[schemars(length(min = 1, max = 512))]
    #[x_kube(validation = Rule::new(rules::HTTP_PATH).message("write a path that starts with / and has no blanks"))]
    pub path: Option<String>,
    /// HTTP or HTTPS, whose certificate is not verified. Default: HTTP.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub scheme: Option<Scheme>,
    /// Headers of the request.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    #[schemars(length(max = 8))]
    pub http_headers: Vec<HttpHeader>,
    /// Command in the container that must exit with 0; there is no shell.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    #[schemars(length(min = 1, max = 32), inner(length(max = 1024)))]
    pub exec: Vec<String>,
    /// Service that grpc.health.v1.Health must report as SERVING; empty: the whole server.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[schemars(length(max = 253))]
    pub grpc_service: Option<String>,
    /// Port. Default: that of the container.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[schemars(range(min = 1, max = 65535))]
    pub port: Option<i32>,
    /// Seconds from the container's start to the first probe. Default: 0.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[schemars(range(min = 0, max = 7200))]
    pub initial_delay_seconds: Option<i32>,
    /// Seconds between two probes. Default: 10.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[schemars(range(min = 1, max = 300))]
    pub period_seconds: Option<i32>,
    /// Seconds until an unanswered probe has failed. Default: 1.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[schemars(range(min = 1, max = 300))]
    pub timeout_seconds: Option<i32>,
    /// Consecutive successes until a pod is ready. Default: 1.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[schemars(range(min = 1, max = 100))]
    pub success_threshold: Option<i32>,
    /// Consecutive failures until the probe has failed. Default: 3.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[schemars(range(min = 1, max = 10_000))]
    pub failure_threshold: Option<i32>,
}

impl Probe {
    /// Whether it has an action of its own, and not only timings.
    pub fn has_action(&self) -> bool {
        self.path.is_some() || !self.exec.is_empty() || self.grpc_service.is_some() || self.port.is_some()
    }
}

/// What the result of a probe means.
#[derive(Serialize, Deserialize, JsonSchema, Clone, Copy, Debug, PartialEq, Eq)]
pub enum ProbeType {
    /// The container has started: the other probes and the next containers begin.
    Startup,
    /// The pod is ready: only then a server gets requests.
    Readiness,
    /// The container need not be restarted.
    Liveness,
}

/// How a port is spoken to.
#[derive(Serialize, Deserialize, JsonSchema, Clone, Copy, Debug, PartialEq, Eq)]
#[serde(rename_all = "UPPERCASE")]
pub enum Scheme {
    /// Plain.
    Http,
    /// With TLS.
    Https,
}

/// A header of a request.
#[derive(KubeSchema, Serialize, Deserialize, Clone, Debug, PartialEq)]
pub struct HttpHeader {
    /// Its name.
    #[schemars(length(min = 1, max = 128))]
    pub name: String,
    /// Its value.
    #[schemars(length(max = 512))]
    pub value: String,
}

/// What is done before a container gets SIGTERM: exactly one of sleepSeconds, exec and path.
#[derive(KubeSchema, Serialize, Deserialize, Clone, Debug, PartialEq)]
#[x_kube(validation = Rule::new("[has(self.sleepSeconds), has(self.exec), has(self.path)].exists_one(x, x)")
    .message("set exactly one of sleepSeconds, exec and path"))]
#[serde(rename_all = "camelCase")]
pub struct PreStop {
    /// Pause in seconds, for example until a load balancer sends no more requests. Of servers, it is added to their
    /// terminationGraceSeconds; of workers and trainers (30 seconds) it is part of them.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[schemars(range(min = 1, max = 3600))]
    pub sleep_seconds: Option<i64>,
    /// Command in the container; there is no shell.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    #[schemars(length(min = 1, max = 32), inner(length(max = 1024)))]
    pub exec: Vec<String>,
    /// Path of an HTTP request.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[schemars(length(min = 1, max = 512))]
    #[x_kube(validation = Rule::new(rules::HTTP_PATH).message("write a path that starts with / and has no blanks"))]
    pub path: Option<String>,
    /// Its port. Default: that of the container.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[schemars(range(min = 1, max = 65535))]
    pub port: Option<i32>,
}
