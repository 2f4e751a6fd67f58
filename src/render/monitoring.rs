//! How the serving pods are scraped, and the rules over what they tell.

use k8s_openapi::apimachinery::pkg::apis::meta::v1::{LabelSelector, ObjectMeta};

use super::{
    child::{self, Child, Kind},
    deployment::{COMPONENT, PORT_NAME},
};
use crate::{
    api::{
        Monitoring,
        monitoring_coreos::{
            Endpoint, PrometheusRule, PrometheusRuleSpec, Relabeling, ServiceMonitor, ServiceMonitorSpec,
        },
    },
    model::{Identity, Model, names},
    monitoring::{self, Watched},
};

/// Longest time-out of a scrape, in seconds.
const SCRAPE_TIMEOUT_SECONDS: i32 = 10;

/// None when monitoring is not asked for.
pub fn service_monitor(model: &Model) -> Option<Child> {
    let monitoring = model.monitoring.as_ref()?;
    let metrics = &monitoring.metrics;
    let identity = &model.identity;
    let endpoint = Endpoint {
        port: PORT_NAME.into(),
        path: metrics.path.clone(),
        interval: format!("{}s", metrics.interval_seconds),
        scrape_timeout: format!("{}s", metrics.interval_seconds.min(SCRAPE_TIMEOUT_SECONDS)),
        honor_labels: false,
        relabelings: vec![label("recommender", &identity.name), label("workload", COMPONENT)],
    };
    let spec = ServiceMonitorSpec {
        selector: LabelSelector {
            match_labels: Some(child::selector(identity, COMPONENT)),
            ..LabelSelector::default()
        },
        endpoints: vec![endpoint],
        target_labels: Vec::new(),
    };
    let object = ServiceMonitor { metadata: meta(identity, monitoring), spec };
    Some(Child::new(Kind::ServiceMonitor, object))
}

/// None when monitoring is not asked for.
pub fn prometheus_rule(model: &Model) -> Option<Child> {
    let monitoring = model.monitoring.as_ref()?;
    let identity = &model.identity;
    let watched = Watched {
        namespace: &identity.namespace,
        recommender: &identity.name,
        serving_deployment: &names::serving(&identity.base),
        profile: monitoring.metrics.profile,
        interval_seconds: monitoring.metrics.interval_seconds,
        metrics_path: &monitoring.metrics.path,
        health_path: &model.serving.probes.path,
    };
    let spec = PrometheusRuleSpec { groups: monitoring::rule_groups(&watched) };
    let object = PrometheusRule { metadata: meta(identity, monitoring), spec };
    Some(Child::new(Kind::PrometheusRule, object))
}

fn label(name: &str, value: &str) -> Relabeling {
    // `$` would refer to a capture group.
    Relabeling { action: "replace".into(), target_label: name.into(), replacement: value.replace('$', "$$") }
}

/// Metadata with the labels the user's Prometheus selects by.
fn meta(identity: &Identity, monitoring: &Monitoring) -> ObjectMeta {
    let mut meta = child::meta(identity, identity.base.clone(), COMPONENT);
    let labels = meta.labels.get_or_insert_default();
    for (name, value) in &monitoring.labels {
        labels.entry(name.clone()).or_insert_with(|| value.clone());
    }
    meta
}
