//! The kinds of children, one row each. A new kind is a row here, a file in `render/`, and a line in
//! `observe/watch.rs`, which decodes it.

use kube::core::ApiResource;

use crate::api::conditions::types;

/// The kinds of children.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub enum Kind {
    /// The account of the pods, without a token.
    ServiceAccount,
    /// A training run.
    Job,
    /// The Service of the servers.
    Service,
    /// The servers, or a worker.
    Deployment,
    /// The autoscaler of a Deployment.
    HorizontalPodAutoscaler,
    /// Limits how many servers are evicted at once.
    PodDisruptionBudget,
    /// Scrape configuration of the servers.
    ServiceMonitor,
    /// Scrape configuration of a worker.
    PodMonitor,
    /// Recording rules and alerts.
    PrometheusRule,
}

/// What differs from kind to kind.
struct Row {
    kind: &'static str,
    api_version: &'static str,
    plural: &'static str,
    /// The condition that reports a child that cannot be applied. A worker's Deployment belongs to WorkersReady instead.
    condition: &'static str,
    /// What to do where a cluster does not have the kind; none for kinds that every cluster has.
    when_missing: Option<&'static str>,
}

/// What to do where the kinds of monitoring.coreos.com are missing.
const INSTALL_PROMETHEUS_OPERATOR: Option<&str> =
    Some("install prometheus-operator, it is picked up without a restart, or remove spec.monitoring");

impl Kind {
    /// Every kind.
    pub const ALL: [Self; 9] = [
        Self::ServiceAccount,
        Self::Job,
        Self::Service,
        Self::Deployment,
        Self::HorizontalPodAutoscaler,
        Self::PodDisruptionBudget,
        Self::ServiceMonitor,
        Self::PodMonitor,
        Self::PrometheusRule,
    ];

    #[rustfmt::skip] // a table
    const fn row(self) -> Row {
        let (kind, api_version, plural, condition, when_missing) = match self {
            Self::ServiceAccount => ("ServiceAccount", "v1", "serviceaccounts", types::SERVING_READY, None),
            Self::Job => ("Job", "batch/v1", "jobs", types::TRAINING_READY, None),
            Self::Service => ("Service", "v1", "services", types::SERVING_READY, None),
            Self::Deployment => ("Deployment", "apps/v1", "deployments", types::SERVING_READY, None),
            Self::HorizontalPodAutoscaler =>
                ("HorizontalPodAutoscaler", "autoscaling/v2", "horizontalpodautoscalers", types::SCALING_ACTIVE, None),
            Self::PodDisruptionBudget =>
                ("PodDisruptionBudget", "policy/v1", "poddisruptionbudgets", types::SERVING_READY, None),
            Self::ServiceMonitor =>
                ("ServiceMonitor", "monitoring.coreos.com/v1", "servicemonitors", types::MONITORING_READY, INSTALL_PROMETHEUS_OPERATOR),
            Self::PodMonitor =>
                ("PodMonitor", "monitoring.coreos.com/v1", "podmonitors", types::MONITORING_READY, INSTALL_PROMETHEUS_OPERATOR),
            Self::PrometheusRule =>
                ("PrometheusRule", "monitoring.coreos.com/v1", "prometheusrules", types::MONITORING_READY, INSTALL_PROMETHEUS_OPERATOR),
        };
        Row { kind, api_version, plural, condition, when_missing }
    }

    /// The kind's name.
    pub const fn as_str(self) -> &'static str {
        self.row().kind
    }

    /// The condition that reports a child of this kind that cannot be applied.
    pub const fn condition(self) -> &'static str {
        self.row().condition
    }

    /// What to do where a cluster does not have the kind; none for kinds that every cluster has.
    pub const fn when_missing(self) -> Option<&'static str> {
        self.row().when_missing
    }

    /// Whether a cluster may lack the kind.
    pub const fn is_optional(self) -> bool {
        self.row().when_missing.is_some()
    }

    /// The kind's API resource, for a dynamic client.
    pub fn resource(self) -> ApiResource {
        let Row { kind, api_version, plural, .. } = self.row();
        let (group, version) = api_version.split_once('/').unwrap_or(("", api_version));
        ApiResource {
            group: group.into(),
            version: version.into(),
            api_version: api_version.into(),
            kind: kind.into(),
            plural: plural.into(),
        }
    }
}
