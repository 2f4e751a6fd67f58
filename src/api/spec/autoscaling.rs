use kube::KubeSchema;
use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

/// Bounds and signals of the servers' replicas. Without `cpu`, `latency` and `lag`, 70 % of the requested CPU is aimed at.
/// With several, the one that asks for most replicas counts.
#[derive(KubeSchema, Serialize, Deserialize, Clone, Debug, PartialEq)]
#[x_kube(
    validation = Rule::new("self.minReplicas <= self.maxReplicas").message("minReplicas must not be above maxReplicas"),
    validation = Rule::new("!has(self.requestsPerReplica) || has(self.latency)")
        .message("requestsPerReplica is where learning for a latency target starts: set latency or remove it"),
    validation = Rule::new("self.headroom == 'Balanced' || has(self.latency)")
        .message("headroom is kept for a latency target: set latency or remove headroom")
)]
#[serde(rename_all = "camelCase")]
pub struct Autoscaling {
    /// Fewest replicas.
    #[serde(default = "default_min_replicas")]
    #[schemars(range(min = 1, max = 1000))]
    pub min_replicas: i32,
    /// Most replicas.
    #[schemars(range(min = 1, max = 1000))]
    pub max_replicas: i32,
    /// Keeps a latency: replicas follow the load, by what one replica was seen to carry at the target.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub latency: Option<LatencyTarget>,
    /// Requests per second that one replica is expected to carry at the latency target, as long as nothing was learned.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[schemars(range(min = 1, max = 1_000_000))]
    pub requests_per_replica: Option<i32>,
    /// Follows the CPU use of the pods.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub cpu: Option<CpuTarget>,
    /// Catches up with a lag.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub lag: Option<LagTarget>,
    /// How much is kept in hand for what cannot be foreseen: the price of a second above the latency target.
    #[serde(default)]
    pub headroom: Headroom,
    /// Seconds from the order of a replica to its being ready. Default: as measured on the pods.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[schemars(range(min = 1, max = 7200))]
    pub startup_seconds: Option<i32>,
    /// Limits on how fast the number of replicas moves.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub behavior: Option<ScalingBehavior>,
    /// Decides on latency and lag and tells what it would do, but changes nothing.
    #[serde(default)]
    pub advisory: bool,
}

/// Bounds and signals of a worker's replicas. Without `cpu` and `lag`, 70 % of the requested CPU is aimed at.
#[derive(KubeSchema, Serialize, Deserialize, Clone, Debug, PartialEq)]
#[x_kube(
    validation = Rule::new("self.minReplicas <= self.maxReplicas").message("minReplicas must not be above maxReplicas"),
    validation = Rule::new("self.minReplicas > 0 || (has(self.lag) && !has(self.cpu))")
        .message("scaling to zero follows a lag alone: set lag and remove cpu, or set minReplicas to 1")
)]
#[serde(rename_all = "camelCase")]
pub struct WorkerAutoscaling {
    /// Fewest replicas; with 0 there are none while nothing arrives for five minutes.
    #[serde(default = "default_min_replicas")]
    #[schemars(range(min = 0, max = 1000))]
    pub min_replicas: i32,
    /// Most replicas.
    #[schemars(range(min = 1, max = 1000))]
    pub max_replicas: i32,
    /// Catches up with a lag.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub lag: Option<LagTarget>,
    /// Follows the CPU use of the pods.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub cpu: Option<CpuTarget>,
    /// Seconds from the order of a replica to its being ready. Default: as measured on the pods.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[schemars(range(min = 1, max = 7200))]
    pub startup_seconds: Option<i32>,
    /// Limits on how fast the number of replicas moves.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub behavior: Option<ScalingBehavior>,
    /// Decides on the lag and tells what it would do, but changes nothing.
    #[serde(default)]
    pub advisory: bool,
}

/// A latency that is to be kept.
#[derive(KubeSchema, Serialize, Deserialize, Clone, Debug, PartialEq)]
#[serde(rename_all = "camelCase")]
pub struct LatencyTarget {
    /// Which of the requests counts: with P95, 95 % are answered within the target.
    #[serde(default)]
    pub quantile: Quantile,
    /// The time, in milliseconds, as the servers measure it.
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

/// How much is kept in hand.
#[derive(Serialize, Deserialize, JsonSchema, Clone, Copy, Debug, Default, PartialEq, Eq, Hash)]
pub enum Headroom {
    /// Fewest replicas; what cannot be foreseen is felt.
    Economy,
    /// In between.
    #[default]
    Balanced,
    /// Most in hand.
    Reliable,
}

/// A lag that is to be caught up with.
#[derive(KubeSchema, Serialize, Deserialize, Clone, Debug, PartialEq)]
#[serde(rename_all = "camelCase")]
pub struct LagTarget {
    /// Name of the dependency whose messages wait.
    #[schemars(length(min = 1, max = 30))]
    pub dependency: String,
    /// Seconds within which whatever waits is to be worked off.
    #[serde(default = "default_catch_up")]
    #[schemars(range(min = 10, max = 86_400))]
    pub catch_up_seconds: i32,
    /// While more messages wait than these, as many replicas work as are allowed.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[schemars(range(min = 1, max = 1_000_000_000_000_i64))]
    pub max_lag_messages: Option<i64>,
}

/// CPU use that the autoscaler aims at.
#[derive(KubeSchema, Serialize, Deserialize, Clone, Debug, PartialEq)]
#[serde(rename_all = "camelCase")]
pub struct CpuTarget {
    /// Mean CPU use over all pods, in per cent of resources.requests.cpu.
    #[serde(default = "default_cpu_target")]
    #[schemars(range(min = 1, max = 1000))]
    pub target_utilization_percent: i32,
}

impl Default for CpuTarget {
    fn default() -> Self {
        Self { target_utilization_percent: default_cpu_target() }
    }
}

/// Limits on how fast replicas come and go, in the words of a HorizontalPodAutoscaler, and of the same meaning.
#[derive(KubeSchema, Serialize, Deserialize, Clone, Debug, Default, PartialEq)]
#[serde(rename_all = "camelCase")]
pub struct ScalingBehavior {
    /// Limits on adding replicas. Default: none.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub scale_up: Option<ScalingRules>,
    /// Limits on removing replicas. Default: down to the most that was wanted of late, a time that follows the start-up
    /// (latency) or the catch-up time (lag).
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub scale_down: Option<ScalingRules>,
}

/// Limits on one direction.
#[derive(KubeSchema, Serialize, Deserialize, Clone, Debug, Default, PartialEq)]
#[serde(rename_all = "camelCase")]
pub struct ScalingRules {
    /// Follow the least (up) or the most (down) that was wanted within so many seconds.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[schemars(range(min = 0, max = 3600))]
    pub stabilization_window_seconds: Option<i32>,
    /// Which policy counts when there are several: the one that allows most, the one that allows least, or no change at all.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub select_policy: Option<SelectPolicy>,
    /// How much may change in which time.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    #[schemars(length(max = 4))]
    pub policies: Vec<ScalingPolicy>,
}

/// Which policy counts.
#[derive(Serialize, Deserialize, JsonSchema, Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum SelectPolicy {
    /// The one that allows most.
    Max,
    /// The one that allows least.
    Min,
    /// No change in this direction.
    Disabled,
}

/// How much may change in which time.
#[derive(KubeSchema, Serialize, Deserialize, Clone, Debug, PartialEq)]
#[serde(rename_all = "camelCase")]
pub struct ScalingPolicy {
    /// What value counts.
    #[serde(rename = "type")]
    pub type_: ScalingPolicyType,
    /// How many pods, or per cent of them.
    #[schemars(range(min = 1, max = 100_000))]
    pub value: i32,
    /// In how many seconds.
    #[schemars(range(min = 1, max = 1800))]
    pub period_seconds: i32,
}

/// What a policy's value counts.
#[derive(Serialize, Deserialize, JsonSchema, Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum ScalingPolicyType {
    /// Pods.
    Pods,
    /// Per cent of the pods there were at the beginning of the period.
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
