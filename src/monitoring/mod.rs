//! What Prometheus computes of an object and when it raises an alert. Pure.
//!
//! ```text
//! metric profile (what the server exposes) -> recording rules -> canonical series -> alerts
//! ```
//!
//! A new kind of server is a file in [`profiles`], a new exporter of a dependency one in [`dependencies`]; a new alert is an
//! entry in [`alerts::ALERTS`].

pub mod alerts;
pub mod dependencies;
mod front;
pub mod profiles;
pub(crate) mod promql;
pub mod recording;
pub mod scaling;

use crate::api::{Dependency, Front, MetricProfile, Quantile, Resources, monitoring_coreos::RuleGroup};

/// What has to be known of an object to watch it.
#[derive(Clone, Copy, Debug)]
pub struct Watched<'a> {
    /// Namespace of the object.
    pub namespace: &'a str,
    /// Name of the object: the label `recommender` of all its series.
    pub recommender: &'a str,
    /// Name of the Deployment that serves.
    pub serving_deployment: &'a str,
    /// Name of the Service in front of them.
    pub service: &'a str,
    /// What is in front of that, if the object says so.
    pub front: Option<&'a Front>,
    /// The names the servers expose.
    pub profile: MetricProfile,
    /// Seconds between two scrapes of the servers.
    pub interval_seconds: i32,
    /// Seconds between two scrapes of the worker that is scraped least often.
    pub workers_interval_seconds: i32,
    /// Path of the metrics on the servers.
    pub metrics_path: &'a str,
    /// Path of the probes on the servers.
    pub health_path: &'a str,
    /// The quantile of the latency that the servers scale on, if they do.
    pub scaled_on: Option<Quantile>,
    /// CPU and memory of each server.
    pub resources: Option<&'a Resources>,
    /// What it stands on.
    pub dependencies: &'a [Dependency],
}

/// What of an object a series is about: its label `workload`.
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
    /// Matchers for the object's canonical series, and for those of its servers: the ServiceMonitor adds the same labels.
    fn matchers(&self, workload: Workload) -> String {
        [
            promql::equals("namespace", self.namespace),
            promql::equals("recommender", self.recommender),
            promql::equals("workload", workload.label()),
        ]
        .join(",")
    }

    /// What stands behind `pod=~` for the pods that serve. The dash goes missing where Kubernetes shortens the name of a
    /// ReplicaSet to generate that of a pod.
    fn serving_pods(&self) -> String {
        let deployment = promql::quote_regex(self.serving_deployment);
        promql::quote(&format!("{deployment}-[a-z0-9]{{1,10}}-?[a-z0-9]{{5}}"))
    }

    /// Routes that machines ask and that say nothing about users. Labels hold paths without their query.
    fn unmeasured_routes(&self) -> [&str; 2] {
        [self.metrics_path, self.health_path].map(|path| path.split('?').next().unwrap_or(path))
    }
}

/// Seconds between two evaluations of what is scaled on: a decision is as good as its newest sample.
const SCALING_SECONDS: i32 = 5;

/// The rules of an object's PrometheusRule, in one group or two. The rules of a group are evaluated one after the other, so
/// alerts see what was just recorded; groups are evaluated independently of each other, so what is scaled on can be
/// evaluated more often than the rest.
pub fn rule_groups(watched: &Watched) -> Vec<RuleGroup> {
    let name = format!("recommender/{}/{}", watched.namespace, watched.recommender);
    // Prometheus looks back five minutes for a sample, so recorded series must not be sparser than the scrapes are.
    let seconds = watched.interval_seconds.min(60);
    let watching = [recording::rules(watched), alerts::rules(watched)].concat();
    let scaling = [scaling::rules(watched), dependencies::rules(watched)].concat();
    [(format!("{name}/scaling"), SCALING_SECONDS, scaling)]
        .into_iter()
        .filter(|(_, _, rules)| !rules.is_empty())
        .chain([(name, seconds, watching)])
        .map(|(name, seconds, rules)| RuleGroup { name, interval: Some(format!("{seconds}s")), rules })
        .collect()
}

#[cfg(test)]
mod tests;
