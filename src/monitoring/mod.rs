//! What Prometheus computes of an object and when it raises an alert. Pure.
//!
//! ```text
//! metric profile (what the server exposes) -> recording rules -> canonical series -> alerts
//! ```
//!
//! A new kind of server is a file in [`profiles`]; a new alert is an entry in [`alerts::ALERTS`].

pub mod alerts;
pub mod profiles;
pub(crate) mod promql;
pub mod recording;

use crate::api::{Dependency, MetricProfile, Quantile, Resources, monitoring_coreos::RuleGroup};

/// What has to be known of an object to watch it.
#[derive(Clone, Copy, Debug)]
pub struct Watched<'a> {
    /// Namespace of the object.
    pub namespace: &'a str,
    /// Name of the object: the label `recommender` of all its series.
    pub recommender: &'a str,
    /// Name of the Deployment that serves.
    pub serving_deployment: &'a str,
    /// The names the servers expose.
    pub profile: MetricProfile,
    /// Seconds between two scrapes.
    pub interval_seconds: i32,
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

    /// Routes that machines ask and that say nothing about users. Labels hold paths without their query.
    fn unmeasured_routes(&self) -> [&str; 2] {
        [self.metrics_path, self.health_path].map(|path| path.split('?').next().unwrap_or(path))
    }
}

/// The rules of an object's PrometheusRule: one group, because its rules are evaluated one after the other, so alerts see
/// what was just recorded.
pub fn rule_groups(watched: &Watched) -> Vec<RuleGroup> {
    vec![RuleGroup {
        name: format!("recommender/{}/{}", watched.namespace, watched.recommender),
        // Prometheus looks back five minutes for a sample, so recorded series must not be sparser than the scrapes are.
        interval: Some(format!("{}s", watched.interval_seconds.min(60))),
        rules: [recording::rules(watched), alerts::rules(watched)].concat(),
    }]
}

#[cfg(test)]
mod tests;
