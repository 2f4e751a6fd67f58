use std::collections::BTreeMap;

use kube::KubeSchema;
use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

use crate::api::rules;

/// How the model is monitored. Requires the kinds of prometheus-operator (monitoring.coreos.com) in the cluster.
#[derive(KubeSchema, Serialize, Deserialize, Clone, Debug, PartialEq)]
#[serde(rename_all = "camelCase")]
pub struct Monitoring {
    /// Metrics of the servers.
    pub metrics: Metrics,
    /// Name of the metric source that scaling reads, as in the operator's configuration. Default: the source named
    /// default.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[schemars(length(min = 1, max = 63))]
    #[x_kube(validation = Rule::new(rules::OBJECT_NAME)
        .message("write the name of a metric source of the operator: lower case letters, digits, - and ."))]
    pub source: Option<String>,
    /// The ingress or proxy in front of the servers that counts their requests. While overloaded servers do not answer their
    /// scrapes, scaling uses its request rate.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub front: Option<Front>,
    /// Labels added to the ServiceMonitor, PodMonitors and the PrometheusRule, so that your Prometheus selects them, for example
    /// release: kube-prometheus-stack.
    #[serde(default, skip_serializing_if = "BTreeMap::is_empty")]
    #[schemars(extend("maxProperties" = 16, "additionalProperties" = { "type": "string", "maxLength": 63 }))]
    #[x_kube(
        validation = Rule::new("self.all(k, !k.contains('recommender.dev/') && !k.startsWith('app.kubernetes.io/'))")
            .message("labels of recommender.dev and app.kubernetes.io are set by the operator: remove them"),
        validation = Rule::new(rules::LABEL_KEYS).message(rules::LABEL_KEYS_MESSAGE),
        validation = Rule::new(rules::LABEL_VALUES)
            .message(rules::LABEL_VALUES_MESSAGE)
    )]
    pub labels: BTreeMap<String, String>,
}

/// Path, names and scrape interval of metrics.
#[derive(KubeSchema, Serialize, Deserialize, Clone, Debug, PartialEq)]
#[serde(rename_all = "camelCase")]
pub struct Metrics {
    /// The metric names of the server. Recording rules map them to the canonical series.
    pub profile: MetricProfile,
    /// HTTP path of the metrics, on serving.metricsPort or else the serving port.
    #[serde(default = "default_metrics_path")]
    #[schemars(length(min = 1, max = 512))]
    #[x_kube(validation = Rule::new(rules::HTTP_PATH).message("write a path that starts with / and has no blanks"))]
    pub path: String,
    /// Seconds between two scrapes. Default: 5 if the servers scale on latency, otherwise 15.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[schemars(range(min = 1, max = 120))]
    pub interval_seconds: Option<i32>,
}

/// The ingress or proxy in front of the servers: exactly one of the fields.
#[derive(KubeSchema, Serialize, Deserialize, Clone, Debug, PartialEq)]
#[x_kube(validation = Rule::new("[has(self.ingressNginx), has(self.istio), has(self.custom)].filter(x, x).size() == 1")
    .message("set exactly one of ingressNginx, istio and custom"))]
#[serde(rename_all = "camelCase")]
pub struct Front {
    /// ingress-nginx: nginx_ingress_controller_requests of the model's Service.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub ingress_nginx: Option<IngressNginx>,
    /// Istio: istio_requests_total of the model's Service, as reported by the client's proxy (reporter="source").
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub istio: Option<Istio>,
    /// Anything else, in PromQL.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub custom: Option<CustomFront>,
}

/// ingress-nginx; has no settings.
#[derive(KubeSchema, Serialize, Deserialize, Clone, Debug, Default, PartialEq)]
pub struct IngressNginx {}

/// Istio; has no settings.
#[derive(KubeSchema, Serialize, Deserialize, Clone, Debug, Default, PartialEq)]
pub struct Istio {}

/// Requests in front of the servers, in PromQL.
#[derive(KubeSchema, Serialize, Deserialize, Clone, Debug, PartialEq)]
#[serde(rename_all = "camelCase")]
pub struct CustomFront {
    /// Requests per second to this model's servers, for example rate(traefik_service_requests_total{service="shop"}[1m]).
    /// The sum over all series of the result is used.
    #[schemars(length(min = 1, max = 1024))]
    pub requests: String,
}

/// A known set of metric names.
#[derive(Serialize, Deserialize, JsonSchema, Clone, Copy, Debug, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub enum MetricProfile {
    /// prometheus-fastapi-instrumentator for FastAPI: http_requests_total, http_request_duration_highr_seconds and
    /// http_requests_inprogress.
    FastApiInstrumentator,
}

fn default_metrics_path() -> String {
    "/metrics".into()
}
