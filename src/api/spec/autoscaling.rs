use kube::KubeSchema;
use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

/// Bounds and signals of the servers' replicas. Without `cpu`, `memory`, `latency` and `lag`, the target is 70 % of the requested CPU.
/// With several signals, the one that needs the most replicas is used.
#[derive(KubeSchema, Serialize, Deserialize, Clone, Debug, PartialEq)]
#[x_kube(
    validation = Rule::new("self.minReplicas <= self.maxReplicas").message("minReplicas must not be above maxReplicas"),
    validation = Rule::new("self.minReplicas > 0")
        .message("write 1 or more: without a server nothing measures the requests that would need one, and they fail"),
    validation = Rule::new("!has(self.requestsPerReplica) || has(self.latency)")
        .message("requestsPerReplica is where learning for a latency target starts: set latency or remove it"),
    validation = Rule::new("self.headroom == 'Balanced' || has(self.latency)")
        .message("headroom is kept for a latency target: set latency or remove headroom")
)]
#[serde(rename_all = "camelCase")]
pub struct Autoscaling {
    /// Minimum number of replicas, at least 1: servers are not scaled to zero.
    #[serde(default = "default_min_replicas")]
    #[schemars(range(min = 0, max = 1000))]
    pub min_replicas: i32,
    /// Maximum number of replicas.
    #[schemars(range(min = 1, max = 1000))]
    pub max_replicas: i32,
    /// Scales on a latency target: replicas follow the load, by the estimated capacity of one replica at the target.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub latency: Option<LatencyTarget>,
    /// Expected capacity of one replica at the latency target, in requests per second. Used until there is an estimate.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[schemars(range(min = 1, max = 1_000_000))]
    pub requests_per_replica: Option<i32>,
    /// Scales on the CPU use of the pods.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub cpu: Option<UtilizationTarget>,
    /// Scales on the memory use of the pods. Of use only if more pods need less memory each, as with caches by request; a
    /// model needs the same in each.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub memory: Option<UtilizationTarget>,
    /// Scales on a lag.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub lag: Option<LagTarget>,
    /// How much spare capacity is kept for unexpected load: the price of a second above the latency target.
    #[serde(default)]
    pub headroom: Headroom,
    /// Seconds from scaling up until the new replica is ready. Default: as measured on the pods.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[schemars(range(min = 1, max = 7200))]
    pub startup_seconds: Option<i32>,
    /// Limits on how fast the number of replicas changes.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub behavior: Option<ScalingBehavior>,
    /// Decisions on latency and lag are reported in the status, but not applied.
    #[serde(default)]
    pub advisory: bool,
}

/// Bounds and signals of a worker's replicas. Without `cpu`, `memory` and `lag`, the target is 70 % of the requested CPU.
// It is within a list, so the API server sets no defaults, and rules must not rely on them.
#[derive(KubeSchema, Serialize, Deserialize, Clone, Debug, PartialEq)]
#[x_kube(
    validation = Rule::new("!has(self.minReplicas) || self.minReplicas <= self.maxReplicas")
        .message("minReplicas must not be above maxReplicas"),
    validation = Rule::new("!has(self.minReplicas) || self.minReplicas > 0 || \
        (has(self.lag) && !has(self.cpu) && !has(self.memory))")
        .message("scaling to zero follows a lag alone: set lag and remove cpu and memory, or set minReplicas to 1")
)]
#[serde(rename_all = "camelCase")]
pub struct WorkerAutoscaling {
    /// Minimum number of replicas. With 0, the worker is scaled to zero when nothing has arrived for five minutes.
    #[serde(default = "default_min_replicas")]
    #[schemars(range(min = 0, max = 1000))]
    pub min_replicas: i32,
    /// Maximum number of replicas.
    #[schemars(range(min = 1, max = 1000))]
    pub max_replicas: i32,
    /// Scales on a lag.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub lag: Option<LagTarget>,
    /// Scales on the CPU use of the pods.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub cpu: Option<UtilizationTarget>,
    /// Scales on the memory use of the pods. Of use only if more pods need less memory each, as with caches by request; a
    /// model needs the same in each.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub memory: Option<UtilizationTarget>,
    /// Seconds from scaling up until the new replica is ready. Default: as measured on the pods.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[schemars(range(min = 1, max = 7200))]
    pub startup_seconds: Option<i32>,
    /// Limits on how fast the number of replicas changes.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub behavior: Option<ScalingBehavior>,
    /// Decisions on the lag are reported in the status, but not applied.
    #[serde(default)]
    pub advisory: bool,
}

/// A latency target.
#[derive(KubeSchema, Serialize, Deserialize, Clone, Debug, PartialEq)]
#[serde(rename_all = "camelCase")]
pub struct LatencyTarget {
    /// The quantile: with P95, 95 % of the requests are to be answered within the target.
    #[serde(default)]
    pub quantile: Quantile,
    /// Target for the duration of requests as measured by the servers, in milliseconds.
    #[schemars(range(min = 1, max = 60_000))]
    pub target_milliseconds: i32,
}

/// A quantile of the requests' durations.
#[derive(Serialize, Deserialize, JsonSchema, Clone, Copy, Debug, Default, PartialEq, Eq, Hash)]
pub enum Quantile {
    /// The median.
    P50,
    /// 95 % are as fast or faster.
    #[default]
    P95,
    /// 99 % are as fast or faster.
    P99,
}

/// How much spare capacity is kept.
#[derive(Serialize, Deserialize, JsonSchema, Clone, Copy, Debug, Default, PartialEq, Eq, Hash)]
pub enum Headroom {
    /// Fewest replicas. The latency may exceed its target when the load rises unexpectedly.
    Economy,
    /// Between Economy and Reliable.
    #[default]
    Balanced,
    /// Most spare capacity.
    Reliable,
}

/// A lag target.
#[derive(KubeSchema, Serialize, Deserialize, Clone, Debug, PartialEq)]
#[serde(rename_all = "camelCase")]
pub struct LagTarget {
    /// Name of the dependency whose lag is the signal.
    #[schemars(length(min = 1, max = 30))]
    pub dependency: String,
    /// Seconds within which all waiting messages are to be consumed.
    #[serde(default = "default_catch_up")]
    #[schemars(range(min = 10, max = 86_400))]
    pub catch_up_seconds: i32,
    /// Largest acceptable lag in messages. While it is exceeded, as many replicas run as maxReplicas and the number of
    /// partitions allow. Default: no limit.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[schemars(range(min = 1, max = 1_000_000_000_000_i64))]
    pub max_lag_messages: Option<i64>,
}

/// Target utilization of the autoscaler.
#[derive(KubeSchema, Serialize, Deserialize, Clone, Debug, PartialEq)]
#[serde(rename_all = "camelCase")]
pub struct UtilizationTarget {
    /// Target for the mean use of all pods, in per cent of what resources.requests has. Sidecars do not count.
    #[serde(default = "default_cpu_target")]
    #[schemars(range(min = 1, max = 1000))]
    pub target_utilization_percent: i32,
}

impl Default for UtilizationTarget {
    fn default() -> Self {
        Self { target_utilization_percent: default_cpu_target() }
    }
}

/// Limits on how fast replicas are added and removed. Same fields and semantics as in a HorizontalPodAutoscaler.
#[derive(KubeSchema, Serialize, Deserialize, Clone, Debug, Default, PartialEq)]
#[serde(rename_all = "camelCase")]
pub struct ScalingBehavior {
    /// Limits on adding replicas. Default: none.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub scale_up: Option<ScalingRules>,
    /// Limits on removing replicas. Default: a stabilization window that depends on the start-up time (latency) or the
    /// catch-up time (lag); no fewer replicas than the highest recommendation within it.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub scale_down: Option<ScalingRules>,
}

/// Limits on one direction.
#[derive(KubeSchema, Serialize, Deserialize, Clone, Debug, Default, PartialEq)]
#[serde(rename_all = "camelCase")]
pub struct ScalingRules {
    /// Seconds of which the lowest (up) or the highest (down) recommendation is used.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[schemars(range(min = 0, max = 3600))]
    pub stabilization_window_seconds: Option<i32>,
    /// Which of several policies is used: the one that allows the largest change (Max, the default), the one that allows the
    /// smallest (Min), or no change at all (Disabled).
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub select_policy: Option<SelectPolicy>,
    /// Largest changes per period.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    #[schemars(length(max = 4))]
    pub policies: Vec<ScalingPolicy>,
}

/// Which of several policies is used.
#[derive(Serialize, Deserialize, JsonSchema, Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum SelectPolicy {
    /// The one that allows the largest change.
    Max,
    /// The one that allows the smallest change.
    Min,
    /// No change in this direction.
    Disabled,
}

/// Largest change within a period.
#[derive(KubeSchema, Serialize, Deserialize, Clone, Debug, PartialEq)]
#[serde(rename_all = "camelCase")]
pub struct ScalingPolicy {
    /// Unit of value.
    #[serde(rename = "type")]
    pub type_: ScalingPolicyType,
    /// Largest change, in pods or in per cent of the pods at the beginning of the period.
    #[schemars(range(min = 1, max = 100_000))]
    pub value: i32,
    /// Length of the period in seconds.
    #[schemars(range(min = 1, max = 1800))]
    pub period_seconds: i32,
}

/// Unit of a policy's value.
#[derive(Serialize, Deserialize, JsonSchema, Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum ScalingPolicyType {
    /// Pods.
    Pods,
    /// Per cent of the pods at the beginning of the period.
    Percent,
}

fn default_min_replicas() -> i32 {
    1
}
fn default_cpu_target() -> i32 {
    70
}
fn default_catch_up() -> i32 {
    120
}
