//! Workloads, one type for all Deployments of an object: the servers and the workers.

use std::collections::BTreeMap;

use k8s_openapi::apimachinery::pkg::api::resource::Quantity;

use crate::{
    api::{
        Autoscaling, Headroom, LagTarget, LatencyTarget, Resources, ScalingBehavior, Serving, UtilizationTarget,
        Worker, WorkerAutoscaling,
    },
    cores, monitoring, names,
};

/// What the component of a worker begins with, before its name.
const WORKER_PREFIX: &str = "worker-";

/// A Deployment of an object and the settings of its number of replicas.
#[derive(Clone, Debug, PartialEq)]
pub struct Workload {
    /// Its name: `serving`, or the name of the worker. Value of the label `workload` of its series.
    pub name: String,
    /// The component label of its pods: `serving`, or `worker-` and the worker's name.
    pub component: String,
    /// Name of its Deployment and of its autoscaler.
    pub deployment: String,
    /// Number of replicas without autoscaling; with autoscaling, the initial number.
    pub replicas: i32,
    /// Autoscaling settings, if it is autoscaled.
    pub scaling: Option<Scaling>,
}

/// Bounds and signals of an autoscaled workload.
#[derive(Clone, Debug, PartialEq)]
pub struct Scaling {
    /// Minimum number of replicas.
    pub min: i32,
    /// Maximum number of replicas.
    pub max: i32,
    /// Target CPU utilization, in per cent of the request.
    pub cpu: Option<i32>,
    /// Target memory utilization, in per cent of the request.
    pub memory: Option<i32>,
    /// Latency target.
    pub latency: Option<LatencyTarget>,
    /// Expected capacity of one replica, in requests per second.
    pub requests_per_replica: Option<i32>,
    /// How much headroom is kept.
    pub headroom: Headroom,
    /// Lag target.
    pub lag: Option<LagTarget>,
    /// Seconds until a replica is ready; `None`: as measured.
    pub startup_seconds: Option<i32>,
    /// Limits on changes of the number of replicas.
    pub behavior: Option<ScalingBehavior>,
    /// Decisions are reported, but not applied.
    pub advisory: bool,
    /// Target CPU utilization, in per cent of the request, that the autoscaler follows while the operator's signals are
    /// missing. Set only for servers that scale on latency without a CPU target and have a CPU request or limit.
    pub backstop: Option<i32>,
}

/// CPU utilization for [`Scaling::backstop`], in per cent of the CPU limit. An autoscaler adds replicas from 10 % above its
/// target, so from 83 % of the limit, which a server does not reach in normal operation. The measured use of a throttled
/// server is some per cent below its limit.
const BACKSTOP_PERCENT: f64 = 75.0;
/// CPU utilization for [`Scaling::backstop`] of servers without a limit, in per cent of the request. In normal operation
/// they may use spare CPU of the node.
const UNLIMITED_BACKSTOP_PERCENT: i32 = 200;

impl Scaling {
    /// Whether the operator decides on the replicas from recorded signals, in place of the autoscaler alone.
    pub const fn is_decided(&self) -> bool {
        self.latency.is_some() || self.lag.is_some()
    }

    /// Whether the operator's decision is applied to the bounds of the autoscaler.
    pub const fn is_acted_on(&self) -> bool {
        self.is_decided() && !self.advisory
    }

    /// Whether the autoscaler follows the use of CPU or memory, also while nothing is open.
    pub const fn follows_use(&self) -> bool {
        self.cpu.is_some() || self.memory.is_some()
    }

    /// Target CPU utilization of the autoscaler, in per cent of the request. `open`: whether it may add replicas on CPU
    /// use, because the signals for latency or lag are missing.
    pub fn cpu_target(&self, open: bool) -> Option<i32> {
        self.cpu.or(self.backstop.filter(|_| open))
    }
}

impl Workload {
    /// Whether this is the serving workload.
    pub fn is_serving(&self) -> bool {
        self.name == monitoring::Workload::Serving.label()
    }

    /// The servers.
    pub fn serving(serving: &Serving, base: &str) -> Self {
        let mut scaling = serving.autoscaling.as_ref().map(Scaling::from);
        if let Some(scaling) =
            scaling.as_mut().filter(|of| of.is_acted_on() && of.latency.is_some() && of.cpu.is_none())
        {
            scaling.backstop = serving.resources.as_ref().and_then(backstop);
        }
        let label = monitoring::Workload::Serving.label();
        Self {
            name: label.into(),
            component: label.into(),
            deployment: names::serving(base),
            replicas: scaling.as_ref().map_or(serving.replicas.unwrap_or(1), |scaling| scaling.min),
            scaling,
        }
    }

    /// The name of the workload with this component: `serving`, `training`, or that of a worker. None of other components.
    pub fn name_of(component: &str) -> Option<&str> {
        let known = [monitoring::Workload::Serving, monitoring::Workload::Training].map(monitoring::Workload::label);
        let worker = component.strip_prefix(WORKER_PREFIX);
        worker.or_else(|| known.into_iter().find(|label| *label == component))
    }

    /// A worker.
    pub fn worker(worker: &Worker, base: &str) -> Self {
        let scaling = worker.autoscaling.as_ref().map(Scaling::from);
        Self {
            name: worker.name.clone(),
            component: format!("{WORKER_PREFIX}{}", worker.name),
            deployment: names::worker(base, &worker.name),
            replicas: scaling.as_ref().map_or(worker.replicas.unwrap_or(1), |scaling| scaling.min),
            scaling,
        }
    }
}

impl From<&Autoscaling> for Scaling {
    fn from(desired: &Autoscaling) -> Self {
        let signals = desired.latency.is_some() || desired.lag.is_some();
        Self {
            min: desired.min_replicas,
            max: desired.max_replicas,
            cpu: cpu(desired.cpu.as_ref(), signals || desired.memory.is_some()),
            memory: desired.memory.as_ref().map(|target| target.target_utilization_percent),
            latency: desired.latency.clone(),
            requests_per_replica: desired.requests_per_replica,
            headroom: desired.headroom,
            lag: desired.lag.clone(),
            startup_seconds: desired.startup_seconds,
            behavior: desired.behavior.clone(),
            advisory: desired.advisory,
            backstop: None,
        }
    }
}

impl From<&WorkerAutoscaling> for Scaling {
    fn from(desired: &WorkerAutoscaling) -> Self {
        Self {
            min: desired.min_replicas,
            max: desired.max_replicas,
            cpu: cpu(desired.cpu.as_ref(), desired.lag.is_some() || desired.memory.is_some()),
            memory: desired.memory.as_ref().map(|target| target.target_utilization_percent),
            latency: None,
            requests_per_replica: None,
            headroom: Headroom::default(),
            lag: desired.lag.clone(),
            startup_seconds: desired.startup_seconds,
            behavior: desired.behavior.clone(),
            advisory: desired.advisory,
            backstop: None,
        }
    }
}

/// The value of [`Scaling::backstop`]. Without a request, the limit is the request, as defaulted by the API server; of a request of
/// zero there is no part.
fn backstop(resources: &Resources) -> Option<i32> {
    let of = |map: &BTreeMap<String, Quantity>| map.get("cpu").and_then(|cpu| cores::parse(&cpu.0));
    match (of(&resources.requests), of(&resources.limits)) {
        (None, _) if resources.requests.contains_key("cpu") => None,
        (None, None) => None,
        (Some(_), None) => Some(UNLIMITED_BACKSTOP_PERCENT),
        (request, Some(limit)) => Some((BACKSTOP_PERCENT * limit / request.unwrap_or(limit)).round() as i32),
    }
}

/// The CPU target. Without any other signal, the default CPU target applies.
fn cpu(target: Option<&UtilizationTarget>, signals: bool) -> Option<i32> {
    let default = (!signals).then(UtilizationTarget::default);
    target.cloned().or(default).map(|target| target.target_utilization_percent)
}
