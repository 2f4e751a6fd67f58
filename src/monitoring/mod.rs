//! Recording and alerting rules of an object. Pure.
//!
//! ```text
//! metric profile (what the server exposes) -> recording rules -> canonical series -> alerts
//! ```
//!
//! A new kind of server, a new exporter of a dependency and a new alert are entries of the catalogue (`src/catalog/`).

pub mod alerts;
pub mod dependencies;
pub mod expression;
mod front;
pub mod inhibition;
pub mod profiles;
pub(crate) mod promql;
pub mod recording;
pub mod scaling;

use std::{collections::BTreeMap, ops::RangeInclusive};

use alerts::Change;

use crate::{
    api::{Dependency, Front, LatencyTarget, MetricProfile, Resources, monitoring_coreos::RuleGroup},
    catalog::AppliesTo,
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
    /// Name of the Service of the servers.
    pub service: &'a str,
    /// The proxy in front of the Service that counts requests, if the spec names one.
    pub front: Option<&'a Front>,
    /// The metric names of the servers.
    pub profile: MetricProfile,
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
    /// Changes of alerts, by name.
    pub alerts: &'a BTreeMap<String, Change>,
    /// URL of the directory with the pages of alerts, without a slash at its end.
    pub runbooks: &'a str,
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
            AppliesTo::Workloads | AppliesTo::Dependencies | AppliesTo::EachDependency => self.object(),
        }
    }

    /// Whether the operator decides on the replicas of servers or workers.
    fn is_decided(&self) -> bool {
        self.scaled_on.is_some() || !self.scaled_on_lag_of.is_empty()
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

    /// The value for `pod=~` that matches the serving pods. The second dash is optional: it is missing where Kubernetes
    /// truncates the name of a ReplicaSet to generate the name of a pod.
    fn serving_pods(&self) -> String {
        let deployment = promql::quote_regex(self.serving_deployment);
        promql::quote(&format!("{deployment}-[a-z0-9]{{1,10}}-?[a-z0-9]{{5}}"))
    }

    /// Routes of probes and scrapes, which are no requests of users. Labels contain paths without their query.
    fn unmeasured_routes(&self) -> Vec<&str> {
        let paths = std::iter::once(&self.metrics_path).chain(self.health_paths);
        paths.map(|path| path.split('?').next().unwrap_or(path)).collect()
    }
}

/// Seconds between two evaluations of the rules that scaling reads: a decision is only as current as its newest sample.
const SCALING_SECONDS: i32 = 5;

/// Seconds between two evaluations of the other rules: as often as the servers are scraped, within these bounds. More often than
/// every 30 s would cost more than people and alerts, which are about minutes, gain from it. Prometheus looks back five minutes for a
/// sample, so recorded series must not be too sparse.
const WATCHING_SECONDS: RangeInclusive<i32> = 30..=60;

/// Last part of the name of the group with PromQL of the spec.
const CUSTOM: &str = "custom";

/// Whether a group contains PromQL of the spec. prometheus-operator drops a whole PrometheusRule of which one expression is
/// invalid, so such a group gets its own.
pub fn is_custom(group: &RuleGroup) -> bool {
    // After the constant, the namespace and the object, which may have this name.
    group.name.split('/').nth(3) == Some(CUSTOM)
}

/// The rules of an object, in up to three groups. The rules of a group are evaluated sequentially, so that alerts read what
/// was just recorded. Groups are evaluated independently, so that the rules for scaling, and only those, are evaluated every 5 s:
/// evaluations are what many objects cost a Prometheus (`cargo bench-rules`).
pub fn rule_groups(watched: &Watched) -> Vec<RuleGroup> {
    let name = format!("recommender/{}/{}", watched.namespace, watched.recommender);
    let seconds = watched.interval_seconds.clamp(*WATCHING_SECONDS.start(), *WATCHING_SECONDS.end());
    let is_scaled_on = |dependency: &&Dependency| watched.catch_up_seconds(dependency).is_some();
    let (custom, known): (Vec<_>, Vec<_>) =
        watched.dependencies.iter().partition(|dependency| dependency.custom.is_some());
    let custom_seconds =
        if watched.front.is_some() || custom.iter().any(is_scaled_on) { SCALING_SECONDS } else { seconds };
    let (scaled_on, others): (Vec<_>, Vec<_>) = known.into_iter().partition(is_scaled_on);
    let recorded =
        [recording::rules(watched), dependencies::rules(watched, &others), dependencies::health(watched)].concat();
    let scaling = [scaling::rules(watched), dependencies::rules(watched, &scaled_on)].concat();
    let custom = [front::custom_rule(watched), dependencies::rules(watched, &custom)].concat();
    let alerts = alerts::rules(watched, &[recorded.as_slice(), &scaling, &custom].concat());
    let watching = [recorded, alerts].concat();
    [(format!("{name}/scaling"), SCALING_SECONDS, scaling), (format!("{name}/{CUSTOM}"), custom_seconds, custom)]
        .into_iter()
        .filter(|(_, _, rules)| !rules.is_empty())
        .chain([(name, seconds, watching)])
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
