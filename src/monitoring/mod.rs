//! Recording and alerting rules of an object. Pure.
//!
//! ```text
//! metric profile (what the server exposes) -> recording rules -> canonical series -> alerts
//! ```
//!
//! A new kind of server, a new exporter of a dependency and a new alert are entries of the catalogue (`src/catalog/`).

pub mod alerts;
pub mod application;
pub mod canary;
pub mod dependencies;
pub mod expression;
mod front;
mod histogram;
pub mod inhibition;
pub mod objectives;
pub mod profiles;
pub(crate) mod promql;
pub mod recording;
pub mod reload;
mod resources;
mod responses;
pub mod scaling;
mod signals;
mod training;
mod urgency;

use std::collections::{BTreeMap, HashSet};

use alerts::Change;
use application::Application;
use objectives::Objective;
pub use resources::Requested;
pub use signals::{Signals, limited};

use crate::{
    api::{
        Dependency, Front, LatencyTarget, Resources,
        monitoring_coreos::{Rule, RuleGroup},
    },
    catalog::AppliesTo,
    names,
};

/// The settings of an object that its rules depend on.
#[derive(Clone, Copy, Debug)]
pub struct Watched<'a> {
    /// Namespace of the object.
    pub namespace: &'a str,
    /// Name of the object: the label `recommender` of all its series.
    pub recommender: &'a str,
    /// Name of the serving Deployment.
    pub serving_deployment: &'a str,
    /// Whether a canary has a Service of its own, with the name of its Deployment, because an HTTPRoute divides the requests.
    pub is_routed: bool,
    /// What a canary is compared by, if the spec has one.
    pub compared: Option<canary::Compared>,
    /// Whether servers change versions without a restart.
    pub reloads: bool,
    /// Names of the workers, and of their Deployments.
    pub workers: &'a [(&'a str, String)],
    /// Base name of its children, which the Service of the servers has: a training Job is named after it and the version.
    pub base: &'a str,
    /// The PersistentVolumeClaim with the artifacts, if they are on one.
    pub claim: Option<&'a str>,
    /// Workloads whose CPU is limited or requested, and the cores that each of their pods may use.
    pub cores: &'a [(&'a str, f64)],
    /// Workloads that request both CPU and memory.
    pub requested: &'a [Requested<'a>],
    /// The proxy in front of the Service that counts requests, if the spec names one.
    pub front: Option<&'a Front>,
    /// The metric profile of the servers.
    pub profile: &'a str,
    /// Whether its histograms may be native ones, also if the profile declares classic ones.
    pub reads_native: bool,
    /// The expressions of the profile `Custom`.
    pub signals: Option<&'a Signals>,
    /// Series of the application, in PromQL of the spec.
    pub application: &'a Application,
    /// Seconds between two scrapes of the servers.
    pub interval_seconds: i32,
    /// Seconds between two scrapes of the worker that is scraped least often.
    pub workers_interval_seconds: i32,
    /// HTTP path of the servers' metrics.
    pub metrics_path: &'a str,
    /// HTTP path of the servers' probes.
    pub health_paths: &'a [&'a str],
    /// The latency target, if the servers scale on latency.
    pub scaled_on: Option<&'a LatencyTarget>,
    /// Compute resources of each server.
    pub resources: Option<&'a Resources>,
    /// Message queues and topics whose lag is measured.
    pub dependencies: &'a [Dependency],
    /// Names of those whose lag workers scale on, and the seconds within which what waits is to be consumed.
    pub scaled_on_lag_of: &'a [(&'a str, i32)],
    /// The longest time between two runs of the training schedule in seconds, if there is a schedule.
    pub training_period_seconds: Option<i64>,
    /// Whether training runs wait for their inputs.
    pub waits_for_inputs: bool,
    /// Whether a promotion waits for inputs.
    pub promotions_wait: bool,
    /// Whether Jobs delete the artifacts of versions that are not kept.
    pub prunes: bool,
    /// Whether trainers expose metrics with their progress.
    pub reports_progress: bool,
    /// Whether versions have to pass gates.
    pub is_gated: bool,
    /// The least values of reported metrics that its gates ask for.
    pub minimums: &'a [(&'a str, f64)],
    /// Service level objectives.
    pub objectives: &'a [Objective],
    /// Changes of alerts, by name.
    pub alerts: &'a BTreeMap<String, Change>,
    /// URL of the directory with the pages of alerts, without a slash at its end.
    pub runbooks: &'a str,
    /// Whether a blackbox exporter probes the servers.
    pub is_probed: bool,
    /// How far in the past the rules are evaluated, in seconds; None: as the ruler does by default.
    pub query_offset_seconds: Option<i32>,
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

impl Watched<'_> {
    /// Matchers for the object's canonical series. They select the series of its servers as well, because the
    /// ServiceMonitor adds the same labels.
    fn matchers(&self, workload: Workload) -> String {
        format!("{},{}", self.object(), promql::equals("workload", workload.label()))
    }

    /// Matchers for the series that an alert reads.
    fn matchers_of(&self, applies_to: AppliesTo) -> String {
        match applies_to {
            AppliesTo::Serving => self.matchers(Workload::Serving),
            AppliesTo::Training => self.matchers(Workload::Training),
            AppliesTo::Workloads | AppliesTo::Dependencies | AppliesTo::EachDependency | AppliesTo::Objectives => {
                self.object()
            }
        }
    }

    /// Whether the operator decides on the replicas of servers or workers.
    fn is_decided(&self) -> bool {
        self.scaled_on.is_some() || !self.scaled_on_lag_of.is_empty()
    }

    /// Whether the operator scales on PromQL of the profile `Custom`.
    fn reads_signals(&self) -> bool {
        self.signals.is_some() && self.scaled_on.is_some()
    }

    /// Seconds within which what waits in a dependency is to be consumed, if a worker scales on it; of two workers, of the one
    /// that is to be faster.
    fn catch_up_seconds(&self, dependency: &Dependency) -> Option<i32> {
        let targets = self.scaled_on_lag_of.iter().filter(|(name, _)| *name == dependency.name);
        targets.map(|(_, seconds)| *seconds).min()
    }

    /// The labels of all canonical series of the object.
    fn labels(&self) -> BTreeMap<String, String> {
        [("namespace", self.namespace), ("recommender", self.recommender)]
            .map(|(name, value)| (name.into(), value.into()))
            .into()
    }

    /// A series of the kubelet about the containers of the servers.
    fn server_containers(&self, name: &str) -> String {
        let namespace = promql::equals("namespace", self.namespace);
        promql::series(name, &[&namespace, &format!("pod=~{}", self.serving_pods()), r#"container="server""#])
    }

    /// Matchers for all canonical series of the object.
    fn object(&self) -> String {
        [promql::equals("namespace", self.namespace), promql::equals("recommender", self.recommender)].join(",")
    }

    /// The value for `pod=~` that matches the serving pods.
    fn serving_pods(&self) -> String {
        promql::quote(&pods_of(self.serving_deployment))
    }

    /// Name of the Deployment of a canary, and of its Service.
    fn canary(&self) -> String {
        names::canary(self.base)
    }

    /// The value for `pod=~` that matches the pods of a canary.
    fn canary_pods(&self) -> String {
        promql::quote(&pods_of(&self.canary()))
    }

    /// The workloads of the object, with a regular expression for the names of their pods.
    fn pods(&self) -> Vec<(&str, String)> {
        let workers = self.workers.iter().map(|(name, deployment)| (*name, pods_of(deployment)));
        let jobs = format!("{}-{RUNS}", promql::quote_regex(self.base));
        let serving = (Workload::Serving.label(), pods_of(self.serving_deployment));
        [serving, (Workload::Training.label(), jobs)].into_iter().chain(workers).collect()
    }

    /// Routes of probes and scrapes, which are no requests of users. Labels contain paths without their query.
    fn unmeasured_routes(&self) -> Vec<&str> {
        let paths = std::iter::once(&self.metrics_path).chain(self.health_paths);
        paths.map(|path| path.split('?').next().unwrap_or(path)).collect()
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

/// Seconds between two evaluations of the rules that servers scale on: a decision is only as current as its newest sample.
pub const SCALING_SECONDS: i32 = 5;

/// Seconds between two evaluations of the lags that workers scale on: exporters of queues are scraped every 15 to 60 s, and an
/// autoscaler reconciles every 15 s. Two fit into the time for which a sample is fresh ([`Quality`](crate::signals::Quality)).
pub const LAG_SECONDS: i32 = 10;

/// Seconds between two evaluations of the CPU use that kubelets report: they measure every 10 to 20 s, and the scaler takes a
/// sample for current up to 20 s ([`Quality`](crate::signals::Quality)).
const KUBELET_SECONDS: i32 = 15;

/// Seconds between two evaluations of urgent alerts and of what they read, see [`urgency`]: the least that an alert holds.
const WATCHING_SECONDS: i32 = 60;

/// Seconds between two evaluations of everything else: of the rules about trainings, versions and resources, which change over minutes
/// and hours, of objectives over hours and days, of values of the spec, and of alerts that hold for minutes. Prometheus looks back
/// five minutes for a sample, so one evaluation may fail.
const SLOW_SECONDS: i32 = 120;

/// Last part of the name of the group with PromQL of the spec.
const CUSTOM: &str = "custom";

/// Whether a group contains PromQL of the spec. prometheus-operator drops a whole PrometheusRule of which one expression is
/// invalid, so such a group gets its own.
pub fn is_custom(group: &RuleGroup) -> bool {
    // After the constant, the namespace and the object, which may have this name.
    group.name.split('/').nth(3) == Some(CUSTOM)
}

/// The rules of an object, in up to ten groups. The rules of a group are evaluated sequentially, so that alerts read what
/// was just recorded. Groups are evaluated independently, so that the rules that servers scale on, and only those, are evaluated
/// every 5 s, and others more rarely: evaluations are what many objects cost a Prometheus (`cargo bench-rules`).
pub fn rule_groups(watched: &Watched) -> Vec<RuleGroup> {
    let name = format!("recommender/{}/{}", watched.namespace, watched.recommender);
    let is_scaled_on = |dependency: &&Dependency| watched.catch_up_seconds(dependency).is_some();
    let (custom, known): (Vec<_>, Vec<_>) =
        watched.dependencies.iter().partition(|dependency| dependency.custom.is_some());
    let custom_seconds = match () {
        () if watched.front.is_some() || watched.reads_signals() => SCALING_SECONDS,
        () if custom.iter().any(is_scaled_on) => LAG_SECONDS,
        () => WATCHING_SECONDS,
    };
    let (scaled_on, others): (Vec<_>, Vec<_>) = known.into_iter().partition(is_scaled_on);
    let recorded = [
        recording::rules(watched),
        responses::rules(watched),
        dependencies::signals(watched, &others),
        dependencies::states(watched),
        training::progress(watched),
        objectives::fast(watched, WATCHING_SECONDS),
    ]
    .concat();
    let long = objectives::slow(watched);
    let lags = dependencies::signals(watched, &scaled_on);
    let is_signal = |rule: &Rule| watched.signals.is_some() && rule.record.as_deref().is_some_and(Signals::record);
    let (signals, recorded): (Vec<_>, Vec<_>) = recorded.into_iter().partition(is_signal);
    let (scaled_signals, scaling): (Vec<_>, Vec<_>) = scaling::rules(watched).into_iter().partition(is_signal);
    let custom =
        [front::custom_rule(watched), dependencies::signals(watched, &custom), scaled_signals, signals].concat();
    let kubelet = scaling::kubelet_rules(watched);
    let canary = canary::rules(watched);
    let reload = reload::rules(watched);
    let slow =
        [recording::slow(watched), dependencies::of_spec(watched), training::rules(watched), resources::rules(watched)];
    let slow = slow.concat();
    let application = application::rules(watched);
    let faster = [scaling.as_slice(), &lags, &custom, &application, &kubelet].concat();
    let alerts = alerts::rules(watched, &[recorded.as_slice(), &faster, &slow, &long].concat());
    let faster: HashSet<String> = faster.into_iter().filter_map(|rule| rule.record).collect();
    let split = urgency::split(recorded, alerts, &faster);
    let slow = [slow, split.slow, split.slow_alerts].concat();
    let parts = ["scaling", "lags", CUSTOM, "kubelet", "canary", "reload", "slow", "objectives"];
    let [of_scaling, of_lags, of_custom, of_kubelet, of_canary, of_reload, of_slow, of_objectives] =
        parts.map(|part| format!("{name}/{part}"));
    let of_application = format!("{of_custom}/application");
    let others = [
        (of_scaling, SCALING_SECONDS, scaling),
        (of_lags, LAG_SECONDS, lags),
        (of_custom, custom_seconds, custom),
        (of_application, WATCHING_SECONDS, application),
        (of_kubelet, KUBELET_SECONDS, kubelet),
        (of_canary, canary::SECONDS, canary),
        (of_reload, reload::SECONDS, reload),
        (of_objectives, SLOW_SECONDS, long),
    ];
    others
        .into_iter()
        .filter(|(_, _, rules)| !rules.is_empty())
        .chain([(name, WATCHING_SECONDS, split.minute), (of_slow, SLOW_SECONDS, slow)])
        .map(|(name, seconds, rules)| RuleGroup {
            name,
            interval: Some(format!("{seconds}s")),
            query_offset: watched.query_offset_seconds.map(|seconds| format!("{seconds}s")),
            rules,
        })
        .collect()
}

#[cfg(test)]
mod tests;
