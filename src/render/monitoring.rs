//! The scrape configuration of the pods, and the rules over their metrics.

use k8s_openapi::apimachinery::pkg::apis::meta::v1::{LabelSelector, ObjectMeta};
use serde_json::{Value, json};

use super::{
    child::{self, Child},
    deployment::{self, COMPONENT},
    worker::METRICS_PORT,
};
use crate::{
    api::{
        MetricRelabeling, Monitoring, RelabelAction, ScrapeScheme, ScrapeTls, Worker,
        monitoring_coreos::{
            Endpoint, PodMonitor, PodMonitorSpec, PrometheusRule, PrometheusRuleSpec, Relabeling, Rule, RuleGroup,
            ServiceMonitor, ServiceMonitorSpec,
        },
    },
    catalog,
    kinds::Kind,
    model::{Identity, Model, Workload, names, scrapes},
    monitoring::{self, Watched},
    series::{Series, Subject},
    training::Schedule,
};

/// Longest timeout of a scrape, in seconds.
const SCRAPE_TIMEOUT_SECONDS: i32 = 10;

/// The ServiceMonitor of the servers; `None` without `spec.monitoring`.
pub fn service_monitor(model: &Model) -> Option<Child> {
    let monitoring = model.monitoring.as_ref()?;
    let identity = &model.identity;
    let spec = ServiceMonitorSpec {
        selector: LabelSelector {
            match_labels: Some(child::selector(identity, COMPONENT)),
            ..LabelSelector::default()
        },
        endpoints: vec![endpoint(
            model,
            deployment::scraped_port(&model.serving),
            &monitoring.metrics.path,
            scrapes::of_servers(model),
            COMPONENT,
        )],
        target_labels: Vec::new(),
        sample_limit: sample_limit(monitoring),
    };
    let metadata = meta(identity, monitoring, identity.base.clone(), COMPONENT);
    Some(Child::new(Kind::ServiceMonitor, ServiceMonitor { metadata, spec }))
}

/// The PodMonitor of a worker; `None` without `spec.monitoring`, or if the worker exposes no metrics.
pub fn pod_monitor(model: &Model, worker: &Worker) -> Option<Child> {
    let (monitoring, metrics) = (model.monitoring.as_ref()?, worker.metrics.as_ref()?);
    let identity = &model.identity;
    let workload = Workload::worker(worker, &identity.base);
    let seconds = scrapes::of_worker(worker)?;
    let spec = PodMonitorSpec {
        selector: LabelSelector {
            match_labels: Some(child::selector(identity, &workload.component)),
            ..LabelSelector::default()
        },
        pod_metrics_endpoints: vec![endpoint(model, METRICS_PORT, &metrics.path, seconds, &workload.name)],
        sample_limit: sample_limit(monitoring),
    };
    let metadata = meta(identity, monitoring, workload.deployment, &workload.component);
    Some(Child::new(Kind::PodMonitor, PodMonitor { metadata, spec }))
}

fn sample_limit(monitoring: &Monitoring) -> Option<i64> {
    monitoring.scrape.as_ref()?.sample_limit
}

/// The scrape endpoint of a port. Adds labels for object and workload to its series.
fn endpoint(model: &Model, port: &str, path: &str, seconds: i32, workload: &str) -> Endpoint {
    let scrape = model.monitoring.as_ref().and_then(|monitoring| monitoring.scrape.clone()).unwrap_or_default();
    Endpoint {
        port: port.into(),
        path: path.into(),
        interval: format!("{seconds}s"),
        scrape_timeout: format!("{}s", seconds.min(SCRAPE_TIMEOUT_SECONDS)),
        honor_labels: false,
        relabelings: vec![label("recommender", &model.identity.name), label("workload", workload)],
        scheme: (scrape.scheme == ScrapeScheme::Https).then(|| "https".into()),
        tls_config: scrape.tls.as_ref().map(tls),
        authorization: scrape.bearer_token.map(|token| json!({ "type": "Bearer", "credentials": token })),
        metric_relabelings: scrape.metric_relabelings.iter().map(relabeling).collect(),
    }
}

/// `tlsConfig` of an endpoint. Fields that are not set are left out: an apply would own them.
fn tls(tls: &ScrapeTls) -> Value {
    let mut config = json!({});
    if let Some(ca) = &tls.ca {
        let (kind, reference) = match &ca.secret_key_ref {
            Some(reference) => ("secret", Some(reference)),
            None => ("configMap", ca.config_map_key_ref.as_ref()),
        };
        config["ca"] = json!({ kind: reference });
    }
    if let Some(name) = &tls.server_name {
        config["serverName"] = name.as_str().into();
    }
    if tls.insecure_skip_verify {
        config["insecureSkipVerify"] = true.into();
    }
    config
}

fn relabeling(rule: &MetricRelabeling) -> Value {
    let mut relabeling = json!({ "action": rule.action.as_str(), "regex": rule.regex });
    if rule.action != RelabelAction::LabelDrop {
        let name = vec!["__name__".to_owned()];
        relabeling["sourceLabels"] = json!(if rule.source_labels.is_empty() { &name } else { &rule.source_labels });
    }
    relabeling
}

/// The PrometheusRule, and another one for PromQL of the spec; none without `spec.monitoring`.
pub fn prometheus_rules(model: &Model) -> Vec<Child> {
    let (Some(monitoring), Some(groups)) = (&model.monitoring, rule_groups(model)) else { return Vec::new() };
    let identity = &model.identity;
    let (custom, own): (Vec<_>, Vec<_>) = groups.into_iter().partition(monitoring::is_custom);
    [(identity.base.clone(), own), (names::custom_rules(&identity.base), custom)]
        .into_iter()
        .filter(|(_, groups)| !groups.is_empty())
        .map(|(name, groups)| {
            let metadata = meta(identity, monitoring, name, COMPONENT);
            Child::new(Kind::PrometheusRule, PrometheusRule { metadata, spec: PrometheusRuleSpec { groups } })
        })
        .collect()
}

/// The recording and alerting rules of an object; `None` without `spec.monitoring`.
pub fn rule_groups(model: &Model) -> Option<Vec<RuleGroup>> {
    let monitoring = model.monitoring.as_ref()?;
    let identity = &model.identity;
    let probed = model.serving.pod.probes.iter().filter_map(|probe| probe.path.as_deref());
    let health_paths: Vec<&str> = std::iter::once(model.serving.probes.path.as_str()).chain(probed).collect();
    let latency = model.serving.autoscaling.as_ref().and_then(|autoscaling| autoscaling.latency.as_ref());
    let lags = model.workers.iter().filter_map(|worker| worker.autoscaling.as_ref()?.lag.as_ref());
    let scaled_on_lag_of: Vec<(&str, i32)> = lags.map(|lag| (lag.dependency.as_str(), lag.catch_up_seconds)).collect();
    let watched = Watched {
        namespace: &identity.namespace,
        recommender: &identity.name,
        serving_deployment: &names::serving(&identity.base),
        service: &identity.base,
        front: monitoring.front.as_ref(),
        profile: monitoring.metrics.profile,
        interval_seconds: scrapes::of_servers(model),
        workers_interval_seconds: scrapes::of_workers(model),
        metrics_path: &monitoring.metrics.path,
        health_paths: &health_paths,
        scaled_on: latency,
        resources: model.serving.resources.as_ref(),
        dependencies: &model.dependencies,
        scaled_on_lag_of: &scaled_on_lag_of,
        // Nothing is overdue while training is suspended.
        training_period_seconds: model
            .schedule
            .as_ref()
            .filter(|_| !model.training.suspend)
            .and_then(Schedule::longest_pause_seconds),
        alerts: &model.alerts,
        runbooks: &model.runbooks,
        query_offset_seconds: monitoring.query_offset_seconds,
    };
    Some(monitoring::rule_groups(&watched))
}

/// Changes of alerts that an object does not have, each with the reason.
pub fn alerts_without_effect(model: &Model) -> Vec<String> {
    let rules: Vec<Rule> = rule_groups(model).into_iter().flatten().flat_map(|group| group.rules).collect();
    let is_recorded = |series: &Series| rules.iter().any(|rule| rule.record.as_deref() == Some(series.name()));
    let changed = model.alerts.iter().filter(|(_, change)| !change.is_disabled).map(|(name, _)| name);
    let left_out = changed.filter(|name| !rules.iter().any(|rule| rule.alert.as_ref() == Some(name)));
    let alerts = left_out.filter_map(|name| catalog::embedded().alert(name));
    alerts
        .map(|alert| {
            let why = match alert.series.iter().find(|series| !is_recorded(series)) {
                Some(series) if series.subject() == Subject::Dependency => {
                    format!("no dependency of the spec reports {}", series.name())
                }
                Some(series) => format!("nothing in the spec makes {} recorded", series.name()),
                None => "no series that it compares can exceed its threshold".into(),
            };
            let name = &alert.name;
            format!("spec.monitoring.alerts: {name}: {why}, so the object does not have this alert: remove it, or see docs/runbooks/{name}.md")
        })
        .collect()
}

fn label(name: &str, value: &str) -> Relabeling {
    // `$` would refer to a capture group.
    Relabeling { action: "replace".into(), target_label: name.into(), replacement: value.replace('$', "$$") }
}

/// Metadata with the additional labels by which the user's Prometheus selects objects.
fn meta(identity: &Identity, monitoring: &Monitoring, name: String, component: &str) -> ObjectMeta {
    let mut meta = child::meta(identity, name, component);
    child::add(&mut meta.labels, &monitoring.labels);
    meta
}
