//! Converts an object's spec into the parameters of its scaling decisions. Pure: no clock, no I/O.

use crate::{
    api::{self, ScalingPolicyType, ScalingRules, ScrapeSettings, SelectPolicy},
    cores,
    model::{Model, Scaling, Workload, scrapes},
    monitoring::{self, dependencies},
    scaling::{Behavior, Bounds, Common, Direction, Headroom, Select, StepKind, StepPolicy, lag, serving},
};

/// Average delay of a decision, seconds, without the measured age of the sample and half the scrape interval. It consists of
/// half the time between two ticks (5 s) and the time to write the result.
const DELAY: f64 = 3.0;
/// Seconds from readiness to full speed: caches, connection pools, just-in-time compilers.
pub const WARM_UP: f64 = 20.0;
/// Seconds that a replica takes to become ready; used until a start-up was measured.
pub const STARTUP: f64 = 30.0;
/// Seconds without consumption after a Kafka consumer joins or leaves its group: partitions are reassigned.
const REBALANCE: f64 = 10.0;

/// The parameters of the scaling decisions for one workload.
#[derive(Clone, Debug, PartialEq)]
pub struct ScalingPlan {
    /// Name of the workload's Deployment.
    pub deployment: String,
    /// Whether the decision is applied to the replicas. If not, it is only reported (advisory).
    pub acted_on: bool,
    /// Whether the decision is the exact number of replicas. False when the autoscaler follows the CPU use as well: the
    /// decision is then its minimum. Also false for advisory scaling.
    pub exact: bool,
    /// CPU limit of each server, cores. None for workers, and without a limit.
    pub cores: Option<f64>,
    /// Endpoint of the servers' metrics. None for workers, and without monitoring.
    pub metrics: Option<MetricsEndpoint>,
    /// Seconds until a replica is ready, from the spec. None when it does not set them.
    pub startup: Option<f64>,
    /// Policy for the latency target. Its `startup` is set at every tick.
    pub latency: Option<serving::Policy>,
    /// Policy for the lag of a dependency.
    pub lag: Option<LagPlan>,
}

/// The metrics endpoint of each server.
#[derive(Clone, Debug, PartialEq)]
pub struct MetricsEndpoint {
    /// Port of the pod.
    pub port: u16,
    /// HTTP path.
    pub path: String,
}

/// The parameters of decisions on a lag.
#[derive(Clone, Debug, PartialEq)]
pub struct LagPlan {
    /// Name of the dependency with the messages: the value of the label `dependency` of the series.
    pub dependency: String,
    /// Objective and limits. Its `partitions` are set at every tick.
    pub policy: lag::Policy,
}

impl ScalingPlan {
    /// The plan of a workload. None when it scales on neither a latency nor a lag.
    pub fn new(model: &Model, workload: &Workload) -> Option<Self> {
        let scaling = workload.scaling.as_ref().filter(|scaling| scaling.is_decided())?;
        let number = |number: Option<i32>| number.map(f64::from);
        let interval = scrapes::of_servers(model);
        let latency = scaling.latency.as_ref().map(|target| serving::Policy {
            common: common(scaling, f64::from(monitoring::scaling::window_seconds(interval))),
            target: f64::from(target.target_milliseconds) / 1e3,
            requests_per_replica: number(scaling.requests_per_replica),
            headroom: headroom(scaling.headroom),
            startup: STARTUP,
            warmup: WARM_UP,
            delay: f64::from(interval) / 2.0 + DELAY,
        });
        let lag = scaling.lag.as_ref().map(|target| {
            let dependency = model.dependencies.iter().find(|dependency| dependency.name == target.dependency);
            let kafka = dependency.and_then(|dependency| dependency.kafka.as_ref());
            let workers = scrapes::of_workers(model);
            let window = dependency.map_or(0, |dependency| dependencies::window_seconds(dependency, workers));
            let policy = lag::Policy {
                common: common(scaling, f64::from(window)),
                catch_up: f64::from(target.catch_up_seconds),
                max_lag: target.max_lag_messages.map(|most| most as f64),
                partitions: None,
                messages_per_replica: None,
                pause: if kafka.is_some() { REBALANCE } else { 0.0 },
                rates: dependency.is_none_or(dependencies::reports_rates),
            };
            LagPlan { dependency: target.dependency.clone(), policy }
        });
        Some(Self {
            deployment: workload.deployment.clone(),
            acted_on: scaling.is_acted_on(),
            exact: scaling.is_acted_on() && !scaling.follows_use(),
            cores: cores::limit(model.serving.resources.as_ref()).filter(|_| workload.is_serving()),
            metrics: metrics(model).filter(|_| workload.is_serving()),
            startup: number(scaling.startup_seconds),
            latency,
            lag,
        })
    }
}

fn metrics(model: &Model) -> Option<MetricsEndpoint> {
    let monitoring = model.monitoring.as_ref()?;
    // Only plain HTTP is read from servers: the names in their certificates and the tokens they want are not known here.
    let is_plain = monitoring.scrape.as_ref().is_none_or(ScrapeSettings::is_plain);
    let port = model.serving.metrics_port.unwrap_or(model.serving.port);
    let endpoint = MetricsEndpoint { port: u16::try_from(port).ok()?, path: monitoring.metrics.path.clone() };
    is_plain.then_some(endpoint)
}

fn common(scaling: &Scaling, window: f64) -> Common {
    let count = |replicas: i32| u32::try_from(replicas).unwrap_or_default();
    let behavior = scaling.behavior.as_ref();
    Common {
        bounds: Bounds { min: count(scaling.min), max: count(scaling.max) },
        window,
        behavior: Behavior {
            scale_up: behavior.and_then(|behavior| behavior.scale_up.as_ref()).map(direction).unwrap_or_default(),
            scale_down: behavior.and_then(|behavior| behavior.scale_down.as_ref()).map(direction).unwrap_or_default(),
        },
    }
}

fn direction(rules: &ScalingRules) -> Direction {
    let policies = rules.policies.iter().map(|policy| StepPolicy {
        kind: match policy.type_ {
            ScalingPolicyType::Pods => StepKind::Pods,
            ScalingPolicyType::Percent => StepKind::Percent,
        },
        value: policy.value.unsigned_abs(),
        period_seconds: f64::from(policy.period_seconds),
    });
    Direction {
        stabilization_seconds: rules.stabilization_window_seconds.map(f64::from),
        policies: policies.collect(),
        select: match rules.select_policy {
            None | Some(SelectPolicy::Max) => Select::Max,
            Some(SelectPolicy::Min) => Select::Min,
            Some(SelectPolicy::Disabled) => Select::Disabled,
        },
    }
}

fn headroom(setting: api::Headroom) -> Headroom {
    match setting {
        api::Headroom::Economy => Headroom::Economy,
        api::Headroom::Balanced => Headroom::Balanced,
        api::Headroom::Reliable => Headroom::Reliable,
    }
}
