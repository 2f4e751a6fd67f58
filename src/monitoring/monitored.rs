//! What the rules of an object depend on.

use std::collections::BTreeMap;

use super::{
    alerts::{Change, RUNBOOKS},
    application::Application,
    canary::Canary,
    objectives::Objective,
    promql,
    signals::Signals,
};
use crate::{
    api::{Dependency, Front, LatencyTarget, Resources},
    names,
};

/// Seconds between two scrapes of servers and workers that do not scale, unless the spec states them.
pub const SCRAPE_SECONDS: i32 = 15;

/// An application without series of its own.
static SILENT: Application = Application::new();

/// Alerts as the catalogue has them.
static UNCHANGED: BTreeMap<String, Change> = BTreeMap::new();

/// A monitored object: all that its rules depend on, by the part of the object that it describes. What follows from it is computed
/// where it is needed.
#[derive(Clone, Copy, Debug)]
pub struct Monitored<'a> {
    /// Which object it is.
    pub object: Object<'a>,
    /// What its servers and workers expose.
    pub metrics: Metrics<'a>,
    /// Its servers.
    pub servers: Servers<'a>,
    /// Its canary, if the spec has one.
    pub canary: Option<Canary>,
    /// Its workers.
    pub workers: &'a [Worker<'a>],
    /// Its training runs.
    pub training: Training<'a>,
    /// What they produce.
    pub versions: Versions<'a>,
    /// Message queues, databases and others that exporters report on.
    pub dependencies: &'a [Dependency],
    /// Series of the application, in PromQL of the spec.
    pub application: &'a Application,
    /// Service level objectives.
    pub objectives: &'a [Objective],
    /// Its alerts.
    pub alerting: Alerting<'a>,
    /// How far in the past the rules are evaluated, in seconds; None: as the ruler does by default.
    pub query_offset_seconds: Option<i32>,
}

/// Which object it is.
#[derive(Clone, Copy, Debug)]
pub struct Object<'a> {
    /// Its namespace.
    pub namespace: &'a str,
    /// Its name: the label `recommender` of all its series.
    pub name: &'a str,
    /// Base of the names of its children, see [`names::base`].
    pub base: &'a str,
}

/// What servers and workers expose, and how it is scraped.
#[derive(Clone, Copy, Debug)]
pub struct Metrics<'a> {
    /// The metric profile of the servers.
    pub profile: &'a str,
    /// The expressions of the profile `Custom`, which no other has.
    pub signals: Option<&'a Signals>,
    /// Whether histograms may be native ones, also if the profile declares classic ones.
    pub reads_native: bool,
    /// Seconds between two scrapes of the servers.
    pub interval_seconds: i32,
    /// Seconds between two scrapes of the worker that is scraped least often.
    pub workers_interval_seconds: i32,
    /// HTTP paths of the servers' metrics and probes, which are no requests of users.
    pub unmeasured_paths: &'a [&'a str],
}

/// The servers. By default they do not scale, and nothing but themselves reports on them.
#[derive(Clone, Copy, Debug, Default)]
pub struct Servers<'a> {
    /// Compute resources of each.
    pub resources: Option<&'a Resources>,
    /// The latency target, if they scale on latency.
    pub latency_target: Option<&'a LatencyTarget>,
    /// The proxy in front of their Service that counts requests, if the spec names one.
    pub front: Option<&'a Front>,
    /// Whether a blackbox exporter probes them.
    pub is_probed: bool,
    /// Whether they change versions without a restart.
    pub reloads: bool,
}

/// A worker. By default it does not scale.
#[derive(Clone, Copy, Debug, Default)]
pub struct Worker<'a> {
    /// Its name.
    pub name: &'a str,
    /// Compute resources of each pod.
    pub resources: Option<&'a Resources>,
    /// Name of the dependency whose lag it scales on, if it does, and the seconds within which what waits is to be consumed.
    pub lag: Option<(&'a str, i32)>,
}

/// The training runs. By default no schedule starts them.
#[derive(Clone, Copy, Debug, Default)]
pub struct Training<'a> {
    /// Compute resources of each pod.
    pub resources: Option<&'a Resources>,
    /// The longest time between two runs of the schedule in seconds, if there is a schedule.
    pub period_seconds: Option<i64>,
    /// Whether runs wait for their inputs.
    pub waits_for_inputs: bool,
    /// Whether trainers expose metrics with their progress.
    pub reports_progress: bool,
}

/// What becomes of trained versions. By default each is promoted at once, and none is deleted.
#[derive(Clone, Copy, Debug, Default)]
pub struct Versions<'a> {
    /// The PersistentVolumeClaim with their artifacts, if they are on one.
    pub claim: Option<&'a str>,
    /// Whether Jobs delete the artifacts of those that are not kept.
    pub prunes: bool,
    /// Whether promotions wait for inputs.
    pub wait_for_inputs: bool,
    /// The least values of reported metrics that gates ask for, if there are gates.
    pub gates: Option<&'a [(&'a str, f64)]>,
}

/// The alerts. By default as the catalogue has them.
#[derive(Clone, Copy, Debug)]
pub struct Alerting<'a> {
    /// What the spec changes, by name.
    pub changes: &'a BTreeMap<String, Change>,
    /// URL of the directory with their pages, without a slash at its end.
    pub runbooks: &'a str,
}

impl Default for Alerting<'_> {
    fn default() -> Self {
        Self { changes: &UNCHANGED, runbooks: RUNBOOKS }
    }
}

/// The part of an object that a series belongs to: the value of its label `workload`.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Workload {
    /// The servers.
    Serving,
    /// The training runs.
    Training,
}

impl Workload {
    /// The label's value.
    pub fn label(self) -> &'static str {
        match self {
            Self::Serving => "serving",
            Self::Training => "training",
        }
    }
}

impl<'a> Metrics<'a> {
    /// The metrics of a profile, with all that the spec has by default for servers and workers that do not scale.
    pub fn of(profile: &'a str) -> Self {
        Self {
            profile,
            signals: None,
            reads_native: false,
            interval_seconds: SCRAPE_SECONDS,
            workers_interval_seconds: SCRAPE_SECONDS,
            unmeasured_paths: &["/metrics", "/health"],
        }
    }

    /// The routes of probes and scrapes: labels contain paths without their query.
    pub(super) fn unmeasured_routes(&self) -> Vec<&'a str> {
        self.unmeasured_paths.iter().map(|path| path.split('?').next().unwrap_or(path)).collect()
    }
}

impl<'a> Monitored<'a> {
    /// An object with nothing in its spec but how it is scraped, and all else by default: what tests begin with.
    pub fn new(object: Object<'a>, metrics: Metrics<'a>) -> Self {
        Self {
            object,
            metrics,
            servers: Servers::default(),
            canary: None,
            workers: &[],
            training: Training::default(),
            versions: Versions::default(),
            dependencies: &[],
            application: &SILENT,
            objectives: &[],
            alerting: Alerting::default(),
            query_offset_seconds: None,
        }
    }

    /// Whether the operator decides on the replicas of servers or workers.
    pub(super) fn is_decided(&self) -> bool {
        self.servers.latency_target.is_some() || self.workers.iter().any(|worker| worker.lag.is_some())
    }

    /// Whether the operator scales on PromQL of the profile `Custom`.
    pub(super) fn scales_on_signals(&self) -> bool {
        self.metrics.signals.is_some() && self.servers.latency_target.is_some()
    }

    /// Seconds within which what waits in a dependency is to be consumed, if a worker scales on it; of two workers, of the one
    /// that is to be faster.
    pub(super) fn catch_up_seconds(&self, dependency: &Dependency) -> Option<i32> {
        let lags = self.workers.iter().filter_map(|worker| worker.lag);
        lags.filter(|(name, _)| *name == dependency.name).map(|(_, seconds)| seconds).min()
    }

    /// The workloads with compute resources, and these.
    pub(super) fn resources(&self) -> impl Iterator<Item = (&'a str, &'a Resources)> + Clone {
        let own = [
            (Workload::Serving.label(), self.servers.resources),
            (Workload::Training.label(), self.training.resources),
        ];
        let workers = self.workers.iter().map(|worker| (worker.name, worker.resources));
        own.into_iter().chain(workers).filter_map(|(workload, resources)| Some((workload, resources?)))
    }

    /// The workloads, with a regular expression for the names of their pods.
    pub(super) fn pods(&self) -> Vec<(&'a str, String)> {
        let base = self.object.base;
        let jobs = format!("{}-{RUNS}", promql::quote_regex(base));
        let serving = (Workload::Serving.label(), pods_of(&self.object.serving_deployment()));
        let workers = self.workers.iter().map(|worker| (worker.name, pods_of(&names::worker(base, worker.name))));
        [serving, (Workload::Training.label(), jobs)].into_iter().chain(workers).collect()
    }
}

impl Object<'_> {
    /// The labels of all its canonical series.
    pub(super) fn labels(&self) -> BTreeMap<String, String> {
        [("namespace", self.namespace), ("recommender", self.name)]
            .map(|(name, value)| (name.into(), value.into()))
            .into()
    }

    /// Matchers for all its canonical series.
    pub(super) fn matchers(&self) -> String {
        [promql::equals("namespace", self.namespace), promql::equals("recommender", self.name)].join(",")
    }

    /// Matchers for the canonical series of a workload. They select the series of its servers as well, because the
    /// ServiceMonitor adds the same labels.
    pub(super) fn matchers_of(&self, workload: Workload) -> String {
        format!("{},{}", self.matchers(), promql::equals("workload", workload.label()))
    }

    /// A series of the kubelet about the containers of the servers.
    pub(super) fn server_containers(&self, name: &str) -> String {
        let namespace = promql::equals("namespace", self.namespace);
        promql::series(name, &[&namespace, &format!("pod=~{}", self.serving_pods()), r#"container="server""#])
    }

    /// Name of the serving Deployment.
    pub(super) fn serving_deployment(&self) -> String {
        names::serving(self.base)
    }

    /// The value for `pod=~` that matches the serving pods.
    pub(super) fn serving_pods(&self) -> String {
        promql::quote(&pods_of(&self.serving_deployment()))
    }

    /// Name of the Deployment of a canary, and of its Service.
    pub(super) fn canary(&self) -> String {
        names::canary(self.base)
    }

    /// The value for `pod=~` that matches the pods of a canary.
    pub(super) fn canary_pods(&self) -> String {
        promql::quote(&pods_of(&self.canary()))
    }
}

/// A regular expression for the rest of the names of trainers' pods: the version, the number of the trainer if there are several,
/// and what Kubernetes generates.
const RUNS: &str = "(full|partial)-([0-9]{8}-[0-9]{4}|[irs][0-9a-f]{8})(-[0-9]+)?-[a-z0-9]{5}";

/// A regular expression for the names of the pods of a Deployment. The second dash is optional: it is missing where Kubernetes
/// truncates the name of a ReplicaSet to generate the name of a pod.
fn pods_of(deployment: &str) -> String {
    format!("{}-[a-z0-9]{{1,10}}-?[a-z0-9]{{5}}", promql::quote_regex(deployment))
}
