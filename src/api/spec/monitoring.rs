use std::collections::BTreeMap;

use k8s_openapi::apimachinery::pkg::api::resource::Quantity;
use kube::KubeSchema;
use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

use super::{CaBundle, KeyReference};
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
    /// How servers and workers are scraped.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub scrape: Option<ScrapeSettings>,
    /// Alerts that are changed, by their names.
    #[serde(default, skip_serializing_if = "BTreeMap::is_empty")]
    #[schemars(extend("maxProperties" = 64))]
    pub alerts: BTreeMap<String, AlertSettings>,
    /// How far in the past the rules are evaluated, in seconds: query_offset of their groups. Set it to 0 if your ruler evaluates
    /// in the past by default, as that of Mimir does; otherwise the signals of scaling are always old. Needs a
    /// PrometheusRule that has this field, and Prometheus 2.53 or newer. Default: that of the ruler.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[schemars(range(min = 0, max = 15))]
    pub query_offset_seconds: Option<i32>,
}

/// Changes of an alert.
#[derive(KubeSchema, Serialize, Deserialize, Clone, Debug, Default, PartialEq)]
#[serde(rename_all = "camelCase")]
pub struct AlertSettings {
    /// The alert is left out.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub disabled: Option<bool>,
    /// What it compares with: a decimal number in the alert's unit; fractions in quotes.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub threshold: Option<Quantity>,
    /// How long it must be exceeded. 0: the alert fires at once.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[schemars(range(min = 0, max = 604_800))]
    pub for_seconds: Option<i32>,
    /// Who responds how soon.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub severity: Option<AlertSeverity>,
}

/// Who responds to an alert how soon.
#[derive(Serialize, Deserialize, JsonSchema, Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum AlertSeverity {
    /// A person at any time.
    Critical,
    /// A person in working hours.
    Warning,
    /// No response is due.
    Info,
}

/// How servers and workers are scraped: settings of the ServiceMonitor and the PodMonitors.
#[derive(KubeSchema, Serialize, Deserialize, Clone, Debug, Default, PartialEq)]
#[x_kube(validation = Rule::new("!has(self.tls) || self.scheme == 'Https'")
    .message("tls has no effect with http: set scheme to Https"))]
#[serde(rename_all = "camelCase")]
pub struct ScrapeSettings {
    /// Http or Https.
    #[serde(default)]
    pub scheme: ScrapeScheme,
    /// How certificates are verified.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub tls: Option<ScrapeTls>,
    /// A key of a Secret with a bearer token that scrapes send. Prometheus reads it, the operator does not.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub bearer_token: Option<KeyReference>,
    /// Series that are not stored, to save room. Do not drop those of the profile: alerts and scaling read them.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    #[schemars(length(max = 16))]
    pub metric_relabelings: Vec<MetricRelabeling>,
    /// Most series of a scrape: with more, it fails. Default: no limit.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[schemars(range(min = 1, max = 10_000_000))]
    pub sample_limit: Option<i64>,
}

impl ScrapeSettings {
    /// Whether anyone in the cluster may scrape, without TLS.
    pub fn is_plain(&self) -> bool {
        self.scheme == ScrapeScheme::Http && self.bearer_token.is_none()
    }
}

/// Scheme of scrapes.
#[derive(Serialize, Deserialize, JsonSchema, Clone, Copy, Debug, Default, PartialEq, Eq, Hash)]
pub enum ScrapeScheme {
    /// Without TLS.
    #[default]
    Http,
    /// With TLS.
    Https,
}

/// How certificates are verified.
#[derive(KubeSchema, Serialize, Deserialize, Clone, Debug, Default, PartialEq)]
#[serde(rename_all = "camelCase")]
pub struct ScrapeTls {
    /// Certificates of the authorities that have signed those of the pods. Default: those known to Prometheus.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub ca: Option<CaBundle>,
    /// Name in the certificates. Default: the address of the pod.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[schemars(length(min = 1, max = 253))]
    pub server_name: Option<String>,
    /// Certificates are not verified.
    #[serde(default)]
    pub insecure_skip_verify: bool,
}

/// A rule by which series are kept or dropped, as metricRelabelings of a ServiceMonitor.
#[derive(KubeSchema, Serialize, Deserialize, Clone, Debug, PartialEq)]
#[serde(rename_all = "camelCase")]
pub struct MetricRelabeling {
    /// Keep only what matches, drop what matches (Drop), or drop the labels whose names match (LabelDrop).
    pub action: RelabelAction,
    /// Labels whose values are matched, joined by ";". Not with LabelDrop. Default: __name__, the name of the metric.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    #[schemars(length(max = 8), inner(length(min = 1, max = 128)))]
    pub source_labels: Vec<String>,
    /// Regular expression (RE2), for the whole value.
    #[schemars(length(min = 1, max = 512))]
    pub regex: String,
}

/// What is done with what matches.
#[derive(Serialize, Deserialize, JsonSchema, Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum RelabelAction {
    /// Only such series are stored.
    Keep,
    /// Such series are not stored.
    Drop,
    /// Such labels are removed.
    LabelDrop,
}

impl RelabelAction {
    /// The value of the field `action`.
    pub const fn as_str(self) -> &'static str {
        match self {
            Self::Keep => "keep",
            Self::Drop => "drop",
            Self::LabelDrop => "labeldrop",
        }
    }
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
#[x_kube(validation = Rule::new("[has(self.ingressNginx), has(self.istio), has(self.custom)].exists_one(x, x)")
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
    /// starlette_exporter for Starlette and FastAPI: starlette_requests_total and starlette_request_duration_seconds.
    StarletteExporter,
    /// starlette-prometheus for Starlette and FastAPI: starlette_requests_processing_time_seconds.
    StarlettePrometheus,
    /// OpenTelemetry's stable conventions: http_server_request_duration_seconds.
    OpenTelemetry,
    /// OpenTelemetry's conventions before they were stable: http_server_duration_milliseconds.
    OpenTelemetryLegacy,
    /// NVIDIA Triton: nv_inference_request_success; without a latency.
    Triton,
    /// TorchServe: ts_inference_requests_total; without a latency.
    TorchServe,
    /// TensorFlow Serving: :tensorflow:serving:request_count.
    TensorFlowServing,
    /// KServe's Python library: request_predict_seconds; without errors.
    KServe,
    /// MLServer, requests by REST: rest_server_requests_total.
    MlServer,
    /// BentoML: bentoml_service_request_total.
    BentoMl,
}

fn default_metrics_path() -> String {
    "/metrics".into()
}
