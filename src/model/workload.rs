//! What has replicas of its own: the servers and the workers, in one form.

use std::collections::BTreeMap;

use k8s_openapi::apimachinery::pkg::api::resource::Quantity;

use super::names;
use crate::{
    api::{
        Autoscaling, CpuTarget, Headroom, LagTarget, LatencyTarget, Resources, ScalingBehavior, Serving, Worker,
        WorkerAutoscaling,
    },
    cores, monitoring,
};

/// A Deployment of an object, as far as its number of replicas goes.
#[derive(Clone, Debug, PartialEq)]
pub struct Workload {
    /// Its name: `serving`, or that of the worker. The label `workload` of its series.
    pub name: String,
    /// The component label of its pods: `serving`, or `worker-` and the worker's name.
    pub component: String,
    /// Name of its Deployment and of its autoscaler.
    pub deployment: String,
    /// Replicas it has without autoscaling, and starts with otherwise.
    pub replicas: i32,
    /// How the number of replicas follows the load, if it does.
    pub scaling: Option<Scaling>,
}

/// Bounds and signals of a number of replicas.
#[derive(Clone, Debug, PartialEq)]
pub struct Scaling {
    /// Fewest replicas.
    pub min: i32,
    /// Most replicas.
    pub max: i32,
    /// CPU use to aim at, in per cent of what is requested.
    pub cpu: Option<i32>,
    /// Latency to keep.
    pub latency: Option<LatencyTarget>,
    /// Requests per second that one replica is expected to carry.
    pub requests_per_replica: Option<i32>,
    /// How much is kept in hand.
    pub headroom: Headroom,
    /// Lag to catch up with.
    pub lag: Option<LagTarget>,
    /// Seconds until a replica is ready; none: as measured.
    pub startup_seconds: Option<i32>,
    /// Limits on how the number moves.
    pub behavior: Option<ScalingBehavior>,
    /// Only tell.
    pub advisory: bool,
    /// CPU use, in per cent of what is requested, from which the autoscaler adds replicas while the signals that are decided on
    /// are missing. None where no CPU is requested, or something else is followed.
    pub backstop: Option<i32>,
}

/// Share of its CPU limit, in per cent. An autoscaler adds replicas from a tenth above its target on, so at 83 % of the limit,
/// which a server does not reach in normal work; and a throttled one shows some per cent less than all of it.
const BACKSTOP_PERCENT: f64 = 75.0;
/// The same for servers without a limit, in per cent of the request: what a node has to spare may be used in normal work.
const UNLIMITED_BACKSTOP_PERCENT: i32 = 200;

impl Scaling {
    /// Whether the operator decides, from recorded signals, and not the autoscaler alone.
    pub const fn is_decided(&self) -> bool {
        self.latency.is_some() || self.lag.is_some()
    }

    /// Whether the operator's decision moves the autoscaler's window.
    pub const fn is_acted_on(&self) -> bool {
        self.is_decided() && !self.advisory
    }

    /// CPU use, in per cent of what is requested, that the autoscaler follows. `open`: whether more may be added on CPU use,
    /// because the signals that are decided on are missing.
    pub fn cpu_target(&self, open: bool) -> Option<i32> {
        self.cpu.or(self.backstop.filter(|_| open))
    }
}

impl Workload {
    /// Whether it is the servers, and not a worker.
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

    /// A worker.
    pub fn worker(worker: &Worker, base: &str) -> Self {
        let scaling = worker.autoscaling.as_ref().map(Scaling::from);
        Self {
            name: worker.name.clone(),
            component: format!("worker-{}", worker.name),
            deployment: names::worker(base, &worker.name),
            replicas: scaling.as_ref().map_or(worker.replicas.unwrap_or(1), |scaling| scaling.min),
            scaling,
        }
    }
}

impl From<&Autoscaling> for Scaling {
    fn from(wanted: &Autoscaling) -> Self {
        let signals = wanted.latency.is_some() || wanted.lag.is_some();
        Self {
            min: wanted.min_replicas,
            max: wanted.max_replicas,
            cpu: cpu(wanted.cpu.as_ref(), signals),
            latency: wanted.latency.clone(),
            requests_per_replica: wanted.requests_per_replica,
            headroom: wanted.headroom,
            lag: wanted.lag.clone(),
            startup_seconds: wanted.startup_seconds,
            behavior: wanted.behavior.clone(),
            advisory: wanted.advisory,
            backstop: None,
        }
    }
}

impl From<&WorkerAutoscaling> for Scaling {
    fn from(wanted: &WorkerAutoscaling) -> Self {
        Self {
            min: wanted.min_replicas,
            max: wanted.max_replicas,
            cpu: cpu(wanted.cpu.as_ref(), wanted.lag.is_some()),
            latency: None,
            requests_per_replica: None,
            headroom: Headroom::default(),
            lag: wanted.lag.clone(),
            startup_seconds: wanted.startup_seconds,
            behavior: wanted.behavior.clone(),
            advisory: wanted.advisory,
            backstop: None,
        }
    }
}

/// See [`Scaling::backstop`]. A limit without a request is the request, as the API server has it.
fn backstop(resources: &Resources) -> Option<i32> {
    let of = |map: &BTreeMap<String, Quantity>| map.get("cpu").and_then(|cpu| cores::parse(&cpu.0));
    match (of(&resources.requests), of(&resources.limits)) {
        (None, None) => None,
        (Some(_), None) => Some(UNLIMITED_BACKSTOP_PERCENT),
        (request, Some(limit)) => Some((BACKSTOP_PERCENT * limit / request.unwrap_or(limit)).round() as i32),
    }
}

/// Something has to be followed: without any signal it is the CPU use.
fn cpu(target: Option<&CpuTarget>, signals: bool) -> Option<i32> {
    let default = (!signals).then(CpuTarget::default);
    target.cloned().or(default).map(|target| target.target_utilization_percent)
}
