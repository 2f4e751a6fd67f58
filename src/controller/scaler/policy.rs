//! From what an object asks for to what a decision needs. Pure.

use crate::{
    api::{self, ScalingPolicyType, ScalingRules, SelectPolicy},
    cores,
    model::{Model, Scaling, Workload, scrapes},
    monitoring::{self, dependencies},
    scaling::{Behavior, Bounds, Common, Direction, Headroom, Select, StepKind, StepPolicy, lag, serving},
};

/// What passes on average beside the measured age of a sample and half of the time between two scrapes, seconds: half of what
/// is between two ticks (5 s), and what is written then.
const DELAY: f64 = 3.0;
/// Seconds from ready to full speed: caches, pools, just-in-time compilers.
pub const WARM_UP: f64 = 20.0;
/// Seconds a replica takes to become ready, as long as it was not measured.
pub const STARTUP: f64 = 30.0;
/// Seconds during which nothing is consumed when consumers of Kafka come or go: partitions are reassigned.
const REBALANCE: f64 = 10.0;

/// What one workload's replicas are decided from.
#[derive(Clone, Debug, PartialEq)]
pub struct Plan {
    /// Name of its Deployment.
    pub deployment: String,
    /// Whether the decision moves replicas, or only is told.
    pub acted_on: bool,
    /// Whether the decision is the number of replicas, and not only the least because the CPU use is followed as well.
    pub exact: bool,
    /// Cores that each server may use, where that is limited.
    pub cores: Option<f64>,
    /// Where its servers expose their metrics; none for workers, and without monitoring.
    pub metrics: Option<MetricsEndpoint>,
    /// Seconds until a replica is ready, when the object says so.
    pub startup: Option<f64>,
    /// For a latency target. Its start-up is filled in at every tick.
    pub latency: Option<serving::Policy>,
    /// For a lag.
    pub lag: Option<LagPlan>,
}

/// Where each server exposes its metrics.
#[derive(Clone, Debug, PartialEq)]
pub struct MetricsEndpoint {
    /// Port of the pod.
    pub port: u16,
    /// HTTP path.
    pub path: String,
}

/// What replicas are decided from to catch up with a lag.
#[derive(Clone, Debug, PartialEq)]
pub struct LagPlan {
    /// Whose messages wait: the label `dependency` of the series.
    pub dependency: String,
    /// What is promised. Its partitions are filled in at every tick.
    pub policy: lag::Policy,
}

impl Plan {
    /// None for a workload that the operator does not decide on.
    pub fn new(model: &Model, workload: &Workload) -> Option<Self> {
        let scaling = workload.scaling.as_ref().filter(|scaling| scaling.is_decided())?;
        let seconds = |seconds: Option<i32>| seconds.map(f64::from);
        let interval = scrapes::of_servers(model);
        let latency = scaling.latency.as_ref().map(|target| serving::Policy {
            common: common(scaling, f64::from(monitoring::scaling::window_seconds(interval))),
            target: f64::from(target.target_milliseconds) / 1e3,
            requests_per_replica: seconds(scaling.requests_per_replica),
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
                rates: dependency.is_none_or(dependencies::tells_rates),
            };
            LagPlan { dependency: target.dependency.clone(), policy }
        });
        Some(Self {
            deployment: workload.deployment.clone(),
            acted_on: scaling.is_acted_on(),
            exact: scaling.is_acted_on() && scaling.cpu.is_none(),
            cores: cores::limit(model.serving.resources.as_ref()).filter(|_| workload.is_serving()),
            metrics: metrics(model).filter(|_| workload.is_serving()),
            startup: seconds(scaling.startup_seconds),
            latency,
            lag,
        })
    }
}

fn metrics(model: &Model) -> Option<MetricsEndpoint> {
    let metrics = &model.monitoring.as_ref()?.metrics;
    Some(MetricsEndpoint { port: u16::try_from(model.serving.port).ok()?, path: metrics.path.clone() })
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

fn headroom(wanted: api::Headroom) -> Headroom {
    match wanted {
        api::Headroom::Economy => Headroom::Economy,
        api::Headroom::Balanced => Headroom::Balanced,
        api::Headroom::Reliable => Headroom::Reliable,
    }
}
