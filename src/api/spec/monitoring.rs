use std::collections::BTreeMap;

use k8s_openapi::apimachinery::pkg::api::resource::Quantity;
use kube::KubeSchema;
use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

use super::{CaBundle, KeyReference, Quantile};
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
    /// A blackbox exporter that sends requests to the servers as their clients do, by a Probe of prometheus-operator.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub probe: Option<Probing>,
    /// Alerts that are changed, by their names.
    #[serde(default, skip_serializing_if = "BTreeMap::is_empty")]
    #[schemars(extend("maxProperties" = 128))]
    pub alerts: BTreeMap<String, AlertSettings>,
    /// Service level objectives: how many of the requests, or how much of the time, is to be good. Alerts fire when the error
    /// budget is spent too fast, and the status has what is left of it.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    #[schemars(length(max = 8))]
    #[x_kube(merge_strategy = ListMerge::Map(vec!["name".into()]))]
    pub objectives: Vec<Objective>,
    /// Series that only the application itself can measure, in PromQL, by their canonical names without recommender:, for example
    /// "sessions": shop_sessions. docs/signals.md lists them and their labels; others are aggregated away. Selectors get
    /// namespace="..." of the object unless they have it.
    #[serde(default, skip_serializing_if = "BTreeMap::is_empty")]
    #[schemars(extend("maxProperties" = 24, "additionalProperties" = { "type": "string", "maxLength": 1024 }))]
    pub signals: BTreeMap<String, String>,
    /// How far in the past the rules are evaluated, in seconds (query_offset). Set it to 0 if your ruler evaluates in the past
    /// by default, as that of Mimir does. Needs Prometheus 2.53 or newer. Default: that of the ruler.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[schemars(range(min = 0, max = 15))]
    pub query_offset_seconds: Option<i32>,
}

/// Requests of a blackbox exporter.
#[derive(KubeSchema, Serialize, Deserialize, Clone, Debug, PartialEq)]
#[serde(rename_all = "camelCase")]
pub struct Probing {
    /// Its host and port as Prometheus reaches them.
    #[schemars(length(min = 1, max = 253))]
    #[x_kube(validation = Rule::new(rules::ADDRESS).message("write host:port, for example blackbox-exporter.monitoring:9115"))]
    pub prober: String,
    /// Module of its configuration.
    #[serde(default = "http_2xx")]
    #[schemars(length(min = 1, max = 63))]
    #[x_kube(validation = Rule::new(rules::MODULE).message("write letters, digits, -, _ and ."))]
    pub module: String,
    /// What is probed, for example the URL of the ingress. Default: the health check, through the Service.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[schemars(length(min = 1, max = 512))]
    #[x_kube(validation = Rule::new(rules::ANY_URL).message("write a URL such as https://shop.example.org/health; a module has basic_auth"))]
    pub url: Option<String>,
    /// Seconds between two requests. Default: 15.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[schemars(range(min = 5, max = 60))]
    pub interval_seconds: Option<i32>,
}

/// The module that every example of a configuration of the blackbox exporter has.
fn http_2xx() -> String {
    "http_2xx".into()
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
    /// A person reads it within a day.
    Info,
}

/// A service level objective: exactly one of `availability`, `latency`, `modelAge`, `dataAge` and `lag`, and its goal.
#[derive(KubeSchema, Serialize, Deserialize, Clone, Debug, Default, PartialEq)]
#[x_kube(
    validation = Rule::new(rules::ONE_INDICATOR)
        .message("set exactly one of availability, latency, modelAge, dataAge and lag"),
    validation = Rule::new("!has(self.minBadRequests) || has(self.availability) || has(self.latency)")
        .message("minBadRequests has no effect on a share of time: remove it")
)]
#[serde(rename_all = "camelCase")]
pub struct Objective {
    /// Name: the label `objective` of its series.
    #[schemars(length(min = 1, max = 30))]
    #[x_kube(validation = Rule::new(rules::LABEL_NAME)
        .message("write lower case letters, digits and -, with a letter at the beginning"))]
    pub name: String,
    /// How much is to be good, in per cent: a decimal number in quotes, for example "99.9".
    #[schemars(length(min = 1, max = 8))]
    #[x_kube(validation = Rule::new(rules::GOAL)
        .message("write per cent below 100 with at most four decimals, for example \"99.9\": a goal of 100 leaves no error budget"))]
    pub goal: String,
    /// Days within which it is to be met; the metric source must keep as many. Default: 30.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[schemars(range(min = 7, max = 90))]
    pub window_days: Option<i32>,
    /// No alert fires on fewer bad requests than these in its longer window, so that an error among few requests wakes no one.
    /// Default: 10.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[schemars(range(min = 1, max = 1_000_000))]
    pub min_bad_requests: Option<i32>,
    /// The share of requests that servers do not fail to answer.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub availability: Option<AvailabilityObjective>,
    /// The share of requests that are answered in time.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub latency: Option<LatencyObjective>,
    /// The share of time in which the model that is served is not too old.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub model_age: Option<AgeObjective>,
    /// The share of time in which the data that it was trained on, by dataThrough of the trainer's report, are not too old.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub data_age: Option<AgeObjective>,
    /// The share of time in which the messages of a dependency would be consumed in time.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub lag: Option<LagObjective>,
}

/// Availability; has no settings.
#[derive(KubeSchema, Serialize, Deserialize, Clone, Debug, Default, PartialEq)]
pub struct AvailabilityObjective {}

/// How fast requests are to be answered.
#[derive(KubeSchema, Serialize, Deserialize, Clone, Debug, Default, PartialEq)]
#[serde(rename_all = "camelCase")]
pub struct LatencyObjective {
    /// A bound of the buckets of the profile, in milliseconds: see docs/profiles.md.
    #[schemars(range(min = 1, max = 600_000))]
    pub threshold_milliseconds: i32,
}

/// How old something may be.
#[derive(KubeSchema, Serialize, Deserialize, Clone, Debug, Default, PartialEq)]
#[serde(rename_all = "camelCase")]
pub struct AgeObjective {
    /// Hours.
    #[schemars(range(min = 1, max = 8760))]
    pub max_hours: i32,
}

/// How fast messages are to be consumed.
#[derive(KubeSchema, Serialize, Deserialize, Clone, Debug, Default, PartialEq)]
#[serde(rename_all = "camelCase")]
pub struct LagObjective {
    /// Name of the dependency.
    #[schemars(length(min = 1, max = 30))]
    pub dependency: String,
    /// Seconds within which what waits is to be consumed, at the present pace.
    #[schemars(range(min = 1, max = 86_400))]
    pub within_seconds: i32,
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
#[x_kube(validation = Rule::new("has(self.custom) == (self.profile == 'Custom')")
    .message("the profile Custom and the field custom go together: set both or neither"))]
#[serde(rename_all = "camelCase")]
pub struct Metrics {
    /// The metric profile: the names of the series that the servers expose, for example FastApiInstrumentator, OpenTelemetry or
    /// Triton; docs/profiles.md has all, and administrators of the operator may add others (docs/catalog.md). Custom: those in the
    /// expressions of custom.
    #[schemars(length(min = 1, max = 63))]
    #[x_kube(validation = Rule::new(rules::CATALOG_NAME).message(rules::CATALOG_NAME_MESSAGE))]
    pub profile: String,
    /// The signals of the servers in PromQL, with the profile Custom.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub custom: Option<CustomMetrics>,
    /// Native: the histograms of the profile may be native ones, as scraped or converted (docs/profiles.md). Default: Classic.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub histograms: Option<Histograms>,
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

/// The form of histograms.
#[derive(Serialize, Deserialize, JsonSchema, Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum Histograms {
    /// A series for each bucket.
    Classic,
    /// Native ones, and classic ones where there are none.
    Native,
}

/// The signals of servers in PromQL. Each expression is an instant vector, and its selectors get namespace="..." of the object unless
/// they have it. What is left out is unknown: no alert on it, and no scaling.
#[derive(KubeSchema, Serialize, Deserialize, Clone, Debug, PartialEq)]
#[serde(rename_all = "camelCase")]
pub struct CustomMetrics {
    /// Requests per second, for example rate(shop_requests_total{recommender="shop"}[1m]). The sum over its series is used.
    #[schemars(length(min = 1, max = 1024))]
    pub requests: String,
    /// Failed requests per second. The sum over its series; while there are none, 0.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[schemars(length(min = 1, max = 1024))]
    pub errors: Option<String>,
    /// Requests in flight. The sum over its series.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[schemars(length(min = 1, max = 1024))]
    pub in_flight: Option<String>,
    /// Median of the durations in seconds. The largest of its series, as of the other quantiles.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[schemars(length(min = 1, max = 1024))]
    pub latency_p50: Option<String>,
    /// 95th percentile, for example histogram_quantile(0.95, sum by (le) (rate(shop_seconds_bucket{recommender="shop"}[1m]))).
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[schemars(length(min = 1, max = 1024))]
    pub latency_p95: Option<String>,
    /// 99th percentile.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[schemars(length(min = 1, max = 1024))]
    pub latency_p99: Option<String>,
}

impl CustomMetrics {
    /// The field of a quantile, if it is not set.
    pub fn without_latency(&self, quantile: Quantile) -> Option<&'static str> {
        let (field, expression) = match quantile {
            Quantile::P50 => ("latencyP50", &self.latency_p50),
            Quantile::P95 => ("latencyP95", &self.latency_p95),
            Quantile::P99 => ("latencyP99", &self.latency_p99),
        };
        expression.is_none().then_some(field)
    }
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
    /// The sum over all series of the result is used. Its selectors are limited to the namespace of the object.
    #[schemars(length(min = 1, max = 1024))]
    pub requests: String,
}

fn default_metrics_path() -> String {
    "/metrics".into()
}
