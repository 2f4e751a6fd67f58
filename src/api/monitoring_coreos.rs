//! The fields of prometheus-operator's kinds (monitoring.coreos.com/v1) that we write, and of Prometheus those that we read.

use std::collections::BTreeMap;

use k8s_openapi::apimachinery::pkg::apis::meta::v1::LabelSelector;
use kube::CustomResource;
use serde::{Deserialize, Serialize};
use serde_json::Value;

/// Spec of a ServiceMonitor.
#[derive(CustomResource, Serialize, Deserialize, Clone, Debug, PartialEq)]
#[kube(
    group = "monitoring.coreos.com",
    version = "v1",
    kind = "ServiceMonitor",
    namespaced,
    schema = "disabled",
    derive = "PartialEq"
)]
#[serde(rename_all = "camelCase")]
pub struct ServiceMonitorSpec {
    /// Services to scrape, by label.
    pub selector: LabelSelector,
    /// Ports to scrape.
    pub endpoints: Vec<Endpoint>,
    /// Labels of the Service that become labels of the series.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub target_labels: Vec<String>,
    /// Most series of a scrape.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub sample_limit: Option<i64>,
}

/// Spec of a PodMonitor.
#[derive(CustomResource, Serialize, Deserialize, Clone, Debug, PartialEq)]
#[kube(
    group = "monitoring.coreos.com",
    version = "v1",
    kind = "PodMonitor",
    namespaced,
    schema = "disabled",
    derive = "PartialEq"
)]
#[serde(rename_all = "camelCase")]
pub struct PodMonitorSpec {
    /// Pods to scrape, by label.
    pub selector: LabelSelector,
    /// Ports to scrape.
    pub pod_metrics_endpoints: Vec<Endpoint>,
    /// Most series of a scrape.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub sample_limit: Option<i64>,
}

/// Spec of a Probe.
#[derive(CustomResource, Serialize, Deserialize, Clone, Debug, PartialEq)]
#[kube(
    group = "monitoring.coreos.com",
    version = "v1",
    kind = "Probe",
    namespaced,
    schema = "disabled",
    derive = "PartialEq"
)]
#[serde(rename_all = "camelCase")]
pub struct ProbeSpec {
    /// The label `job` of the series.
    pub job_name: String,
    /// Time between probes, as in "15s".
    pub interval: String,
    /// Timeout of a probe, as in "10s".
    pub scrape_timeout: String,
    /// Module of the exporter's configuration.
    pub module: String,
    /// The blackbox exporter.
    pub prober: Prober,
    /// What is probed.
    pub targets: ProbeTargets,
}

/// A blackbox exporter.
#[derive(Serialize, Deserialize, Clone, Debug, PartialEq)]
pub struct Prober {
    /// Host and port.
    pub url: String,
    /// HTTP path of its probes, `/probe`.
    pub path: String,
}

/// What a Probe probes.
#[derive(Serialize, Deserialize, Clone, Debug, PartialEq)]
#[serde(rename_all = "camelCase")]
pub struct ProbeTargets {
    /// Addresses.
    pub static_config: StaticTargets,
}

/// Addresses to probe.
#[derive(Serialize, Deserialize, Clone, Debug, PartialEq)]
pub struct StaticTargets {
    /// URLs.
    #[serde(rename = "static")]
    pub urls: Vec<String>,
    /// Labels of the series.
    pub labels: BTreeMap<String, String>,
}

/// One port to scrape.
#[derive(Serialize, Deserialize, Clone, Debug, Default, PartialEq)]
#[serde(rename_all = "camelCase")]
pub struct Endpoint {
    /// Name of the port of the Service, or of the pod.
    pub port: String,
    /// HTTP path.
    pub path: String,
    /// The query of a scrape, by name.
    #[serde(default, skip_serializing_if = "BTreeMap::is_empty")]
    pub params: BTreeMap<String, Vec<String>>,
    /// Time between scrapes, as in "15s".
    pub interval: String,
    /// Timeout of a scrape, as in "10s".
    pub scrape_timeout: String,
    /// Whether labels in the scraped metrics take precedence over labels of the same name of the target.
    pub honor_labels: bool,
    /// Rewrites of the target's labels.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub relabelings: Vec<Relabeling>,
    /// `https`; http without it.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub scheme: Option<String>,
    /// How certificates are verified.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub tls_config: Option<Value>,
    /// The token that scrapes send.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub authorization: Option<Value>,
    /// Which of the scraped series are stored.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub metric_relabelings: Vec<Value>,
}

/// A rewrite of a target's labels: sets `target_label` to `replacement`.
#[derive(Serialize, Deserialize, Clone, Debug, PartialEq)]
#[serde(rename_all = "camelCase")]
pub struct Relabeling {
    /// Always `replace`.
    pub action: String,
    /// The labels whose values `$1` in the replacement stands for.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub source_labels: Vec<String>,
    /// The label that is set.
    pub target_label: String,
    /// Its value.
    pub replacement: String,
}

/// Groups of recording and alerting rules.
#[derive(CustomResource, Serialize, Deserialize, Clone, Debug, PartialEq)]
#[kube(
    group = "monitoring.coreos.com",
    version = "v1",
    kind = "PrometheusRule",
    namespaced,
    schema = "disabled",
    derive = "PartialEq"
)]
#[serde(rename_all = "camelCase")]
pub struct PrometheusRuleSpec {
    /// Groups, evaluated independently of each other.
    pub groups: Vec<RuleGroup>,
}

/// Rules that are evaluated sequentially.
#[derive(Serialize, Deserialize, Clone, Debug, PartialEq)]
#[serde(rename_all = "camelCase")]
pub struct RuleGroup {
    /// Name, unique within the object.
    pub name: String,
    /// Time between evaluations, as in "15s".
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub interval: Option<String>,
    /// How far in the past the rules are evaluated, as in "0s".
    #[serde(default, rename = "query_offset", skip_serializing_if = "Option::is_none")]
    pub query_offset: Option<String>,
    /// The rules.
    pub rules: Vec<Rule>,
}

/// A recording rule (`record`) or an alerting rule (`alert`).
#[derive(Serialize, Deserialize, Clone, Debug, Default, PartialEq)]
#[serde(rename_all = "camelCase")]
pub struct Rule {
    /// Name of the recorded series.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub record: Option<String>,
    /// Name of the alert.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub alert: Option<String>,
    /// PromQL.
    pub expr: String,
    /// How long the alert's expression must be true, as in "5m".
    #[serde(default, rename = "for", skip_serializing_if = "Option::is_none")]
    pub for_: Option<String>,
    /// Labels added to the result.
    #[serde(default, skip_serializing_if = "BTreeMap::is_empty")]
    pub labels: BTreeMap<String, String>,
    /// Texts of the alert.
    #[serde(default, skip_serializing_if = "BTreeMap::is_empty")]
    pub annotations: BTreeMap<String, String>,
}

/// Spec of a Prometheus: what it selects. Without a selector of objects it selects none, without one of namespaces those of its own.
#[derive(CustomResource, Serialize, Deserialize, Clone, Debug, Default, PartialEq)]
#[kube(
    group = "monitoring.coreos.com",
    version = "v1",
    kind = "Prometheus",
    plural = "prometheuses",
    namespaced,
    schema = "disabled",
    derive = "PartialEq"
)]
#[serde(rename_all = "camelCase", default)]
pub struct PrometheusSpec {
    /// Whether prometheus-operator changes nothing of it.
    pub paused: bool,
    /// PrometheusRules, by label.
    pub rule_selector: Option<LabelSelector>,
    /// Namespaces of PrometheusRules.
    pub rule_namespace_selector: Option<LabelSelector>,
    /// ServiceMonitors, by label.
    pub service_monitor_selector: Option<LabelSelector>,
    /// Namespaces of ServiceMonitors.
    pub service_monitor_namespace_selector: Option<LabelSelector>,
    /// PodMonitors, by label.
    pub pod_monitor_selector: Option<LabelSelector>,
    /// Namespaces of PodMonitors.
    pub pod_monitor_namespace_selector: Option<LabelSelector>,
    /// Probes, by label.
    pub probe_selector: Option<LabelSelector>,
    /// Namespaces of Probes.
    pub probe_namespace_selector: Option<LabelSelector>,
}
