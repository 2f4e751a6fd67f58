//! What a metric source is expected to have loaded of an object, from its rendered children.

use std::collections::BTreeMap;

use promql_parser::util::parse_duration;
use serde_json::Value;

use crate::{
    api::{Histograms, conditions::types},
    child::Child,
    kinds::Kind,
    model::Model,
    monitoring,
    signals::{Asked, LoadedRule, config::DEFAULT},
};

/// What is expected of an object.
#[derive(Clone, Debug, PartialEq)]
pub struct Expected {
    /// Namespace of the object.
    pub namespace: String,
    /// Name of the object.
    pub name: String,
    /// Name of its metric source.
    pub source: String,
    /// The metric profile of its servers.
    pub profile: String,
    /// Whether its rules read native histograms, also if the profile declares classic ones.
    pub reads_native: bool,
    /// Its PrometheusRules.
    pub rules: Vec<Rules>,
    /// Its ServiceMonitor and PodMonitors.
    pub monitors: Vec<Monitor>,
    /// Its Probe. Its targets are no pods: what is recorded of it shows that it is loaded.
    pub probe: Option<Monitor>,
    /// Hashes of all of these children: another value is another version of one of them.
    pub version: String,
}

/// A PrometheusRule.
#[derive(Clone, Debug, PartialEq)]
pub struct Rules {
    /// Name of the object.
    pub name: String,
    /// Its labels.
    pub labels: BTreeMap<String, String>,
    /// Its groups.
    pub groups: Vec<ExpectedGroup>,
}

/// A rule group.
#[derive(Clone, Debug, PartialEq)]
pub struct ExpectedGroup {
    /// Its name.
    pub name: String,
    /// Seconds between two evaluations.
    pub interval_seconds: f64,
    /// Its rules.
    pub rules: Vec<LoadedRule>,
}

/// A ServiceMonitor, PodMonitor or Probe.
#[derive(Clone, Debug, PartialEq)]
pub struct Monitor {
    /// Its kind.
    pub kind: Kind,
    /// Name of the object.
    pub name: String,
    /// Its labels.
    pub labels: BTreeMap<String, String>,
    /// The workload whose pods it scrapes.
    pub workload: String,
}

impl Monitor {
    /// Name of the scrape pool that prometheus-operator makes of it.
    pub fn pool(&self, namespace: &str) -> String {
        let name = &self.name;
        match self.kind {
            Kind::Probe => format!("probe/{namespace}/{name}"),
            Kind::PodMonitor => format!("podMonitor/{namespace}/{name}/0"),
            _ => format!("serviceMonitor/{namespace}/{name}/0"),
        }
    }
}

impl Expected {
    /// `None` without `spec.monitoring`.
    pub fn new(model: &Model, children: &[Child]) -> Option<Self> {
        let monitoring = model.monitoring.as_ref()?;
        let watching = || children.iter().filter(|child| child.kind.condition() == types::MONITORING_READY);
        let (rules, monitors): (Vec<_>, Vec<_>) = watching().partition(|child| child.kind == Kind::PrometheusRule);
        let source = monitoring.source.clone().unwrap_or_else(|| DEFAULT.into());
        let hashes: Vec<&str> = watching().map(|child| child.hash.as_str()).collect();
        Some(Self {
            namespace: model.identity.namespace.clone(),
            name: model.identity.name.clone(),
            profile: monitoring.metrics.profile.clone(),
            reads_native: monitoring.metrics.histograms == Some(Histograms::Native),
            rules: rules.into_iter().map(rules_of).collect(),
            probe: monitors.iter().copied().find(|child| child.kind == Kind::Probe).map(probe_of),
            monitors: monitors.into_iter().filter_map(monitor_of).collect(),
            version: [source.as_str()].into_iter().chain(hashes).collect::<Vec<_>>().join(" "),
            source,
        })
    }

    /// What a source is asked about it.
    pub fn asked(&self) -> Asked {
        let groups = self.rules.iter().flat_map(|rules| &rules.groups).map(|group| group.name.clone());
        Asked { namespace: self.namespace.clone(), recommender: self.name.clone(), groups: groups.collect() }
    }

    /// Its kinds and names, as text.
    pub fn children(&self) -> String {
        let rules = self.rules.iter().map(|of| format!("{} {}", Kind::PrometheusRule.as_str(), of.name));
        let monitors = self.monitors.iter().chain(&self.probe).map(|of| format!("{} {}", of.kind.as_str(), of.name));
        rules.chain(monitors).collect::<Vec<_>>().join(", ")
    }
}

fn rules_of(child: &Child) -> Rules {
    let groups = items(&child.object["spec"]["groups"]).map(|group| ExpectedGroup {
        name: text(&group["name"]),
        interval_seconds: seconds(&group["interval"]).unwrap_or_default(),
        rules: items(&group["rules"]).map(rule_of).collect(),
    });
    Rules { name: child.name.clone(), labels: labels(child), groups: groups.collect() }
}

fn rule_of(rule: &Value) -> LoadedRule {
    LoadedRule {
        name: rule["record"].as_str().map_or_else(|| text(&rule["alert"]), str::to_owned),
        query: rule["expr"].as_str().map(str::to_owned),
        labels: texts(&rule["labels"]),
        annotations: Some(texts(&rule["annotations"])),
        for_seconds: rule["alert"].is_string().then(|| seconds(&rule["for"]).unwrap_or_default()),
    }
}

/// The Probe, which is of the servers.
fn probe_of(child: &Child) -> Monitor {
    let workload = monitoring::Workload::Serving.label().into();
    Monitor { kind: child.kind, name: child.name.clone(), labels: labels(child), workload }
}

/// None of the exporter of a dependency, whose state is in another condition.
fn monitor_of(child: &Child) -> Option<Monitor> {
    let spec = &child.object["spec"];
    let endpoints = items(&spec["endpoints"]).chain(items(&spec["podMetricsEndpoints"]));
    let mut relabelings = endpoints.flat_map(|endpoint| items(&endpoint["relabelings"]));
    let workload = relabelings.find(|relabeling| relabeling["targetLabel"] == "workload");
    let workload = text(&workload?["replacement"]);
    Some(Monitor { kind: child.kind, name: child.name.clone(), labels: labels(child), workload })
}

fn labels(child: &Child) -> BTreeMap<String, String> {
    texts(&child.object["metadata"]["labels"])
}

fn texts(object: &Value) -> BTreeMap<String, String> {
    object.as_object().into_iter().flatten().map(|(key, value)| (key.clone(), text(value))).collect()
}

fn seconds(duration: &Value) -> Option<f64> {
    duration.as_str().and_then(|text| parse_duration(text).ok()).map(|duration| duration.as_secs_f64())
}

fn items(list: &Value) -> impl Iterator<Item = &Value> {
    list.as_array().into_iter().flatten()
}

fn text(value: &Value) -> String {
    value.as_str().unwrap_or_default().to_owned()
}
