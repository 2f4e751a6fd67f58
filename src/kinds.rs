//! The kinds of children, one row each. A new kind is a row here and a file in `render/`. The watches, the tests of what is
//! created and deleted, and those of permissions take their lists from here.

use kube::core::ApiResource;

use crate::api::conditions::types;

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

/// What to do where the operator may not write ConfigMaps: it needs that only for the file that names the version to servers.
const ALLOW_CONFIG_MAPS: Option<&str> =
    Some("set hotReload.enabled in the values of its chart, or remove spec.promotion.hotReload");
/// What to do where HTTPRoutes are missing.
const INSTALL_GATEWAY_API: Option<&str> = Some(
    "install the Gateway API, it is picked up without a restart, or remove spec.promotion.canary.httpRoute: a canary then gets its share of \
     the requests by its number of pods, and an HTTPRoute that exists stays, with all requests for the Service of the servers",
);

/// Declares [`Kind`] from the table, so that [`Kind::ALL`] and the rows cannot lack a kind.
macro_rules! kinds {
    ($($(#[$doc:meta])+ $kind:ident: $api_version:literal, $plural:literal, $condition:expr, $when_missing:expr;)+) => {
        /// The kinds of children.
        #[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, PartialOrd, Ord)]
        pub enum Kind {
            $($(#[$doc])+ $kind,)+
        }

        impl Kind {
            /// Every kind.
            pub const ALL: [Self; [$(stringify!($kind)),+].len()] = [$(Self::$kind),+];

            const fn row(self) -> Row {
                match self {
                    $(Self::$kind => Row {
                        kind: stringify!($kind),
                        api_version: $api_version,
                        plural: $plural,
                        condition: $condition,
                        when_missing: $when_missing,
                    },)+
                }
            }
        }
    };
}

kinds! {
    /// The account of the pods, without a token.
    ServiceAccount: "v1", "serviceaccounts", types::SERVING_READY, None;
    /// The file that names the version to servers that change versions without a restart.
    ConfigMap: "v1", "configmaps", types::SERVING_READY, ALLOW_CONFIG_MAPS;
    /// A training run.
    Job: "batch/v1", "jobs", types::TRAINING_READY, None;
    /// The Service of the servers.
    Service: "v1", "services", types::SERVING_READY, None;
    /// The servers, or a worker.
    Deployment: "apps/v1", "deployments", types::SERVING_READY, None;
    /// The autoscaler of a Deployment.
    HorizontalPodAutoscaler: "autoscaling/v2", "horizontalpodautoscalers", types::SCALING_ACTIVE, None;
    /// Limits how many servers are evicted at once.
    PodDisruptionBudget: "policy/v1", "poddisruptionbudgets", types::SERVING_READY, None;
    /// Divides the requests of Gateways between the servers and a canary.
    HTTPRoute: "gateway.networking.k8s.io/v1", "httproutes", types::PROMOTION_READY, INSTALL_GATEWAY_API;
    /// Scrape configuration of the servers.
    ServiceMonitor: "monitoring.coreos.com/v1", "servicemonitors", types::MONITORING_READY, INSTALL_PROMETHEUS_OPERATOR;
    /// Scrape configuration of a worker.
    PodMonitor: "monitoring.coreos.com/v1", "podmonitors", types::MONITORING_READY, INSTALL_PROMETHEUS_OPERATOR;
    /// What a blackbox exporter probes.
    Probe: "monitoring.coreos.com/v1", "probes", types::MONITORING_READY, INSTALL_PROMETHEUS_OPERATOR;
    /// Recording rules and alerts.
    PrometheusRule: "monitoring.coreos.com/v1", "prometheusrules", types::MONITORING_READY, INSTALL_PROMETHEUS_OPERATOR;
}

impl Kind {
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

    /// Whether the operator deletes children of this kind that are no longer desired. All requests of Gateways come by an HTTPRoute, so
    /// that goes with its owner only.
    pub const fn is_deleted(self) -> bool {
        !matches!(self, Self::HTTPRoute)
    }

    /// Whether a cluster may lack the kind.
    pub const fn is_optional(self) -> bool {
        self.row().when_missing.is_some()
    }

    /// The kinds that are watched. `hot_reload`: whether the operator may write ConfigMaps.
    pub fn watched(hot_reload: bool) -> impl Iterator<Item = Self> {
        Self::ALL.into_iter().filter(move |kind| hot_reload || *kind != Self::ConfigMap)
    }

    /// That a cluster does not have the kind, and what to do.
    pub fn absence(self) -> String {
        format!(
            "the cluster has no {}s ({}), or the operator may not list them: {}",
            self.as_str(),
            self.resource().group,
            self.when_missing().unwrap_or("it has to have them")
        )
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
