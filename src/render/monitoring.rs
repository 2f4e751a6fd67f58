//! The scrape configuration of the pods, and the rules over their metrics.

use std::collections::{BTreeMap, BTreeSet};

use k8s_openapi::apimachinery::pkg::apis::meta::v1::{LabelSelector, ObjectMeta};
use serde_json::{Value, json};

use super::{deployment, worker::METRICS_PORT};
use crate::{
    api::{
        Dependency, Histograms, MetricRelabeling, Monitoring, RelabelAction, Resources, ScrapeScheme, ScrapeTls,
        Worker,
        monitoring_coreos::{
            Endpoint, PodMonitor, PodMonitorSpec, Probe, ProbeSpec, ProbeTargets, Prober, PrometheusRule,
            PrometheusRuleSpec, Relabeling, Rule, RuleGroup, ServiceMonitor, ServiceMonitorSpec, StaticTargets,
        },
    },
    catalog,
    child::{self, Child},
    cores,
    kinds::Kind,
    model::{Identity, Model, Workload, schedule::Schedule, scrapes},
    monitoring::{self, Requested, Watched},
    names::{self, SERVING_COMPONENT, TRAINING_COMPONENT},
    series::{Series, Subject},
};

/// Longest timeout of a scrape, in seconds.
const SCRAPE_TIMEOUT_SECONDS: i32 = 10;

/// Seconds between two scrapes of a trainer, whose progress is recorded every minute.
const TRAINER_SECONDS: i32 = 15;
/// HTTP path of a trainer's metrics by default.
const METRICS_PATH: &str = "/metrics";
/// What Prometheus calls the label of a trainer's pod with the version of its run.
const POD_VERSION: &str = "__meta_kubernetes_pod_label_recommender_dev_version";
/// Seconds between two scrapes of an exporter unless the spec states them: a rate over two minutes has eight samples.
const EXPORTER_SECONDS: i32 = 15;
/// Seconds between two probes of the servers unless the spec states them: eight within the two minutes that their alert holds.
const PROBE_SECONDS: i32 = 15;
/// HTTP path of the probes of a blackbox exporter.
const PROBE_PATH: &str = "/probe";
/// The component of what belongs to dependencies.
const EXPORTERS: &str = "dependencies";

/// The ServiceMonitor of the servers; `None` without `spec.monitoring`.
pub fn service_monitor(model: &Model) -> Option<Child> {
    let monitoring = model.monitoring.as_ref()?;
    let identity = &model.identity;
    let spec = ServiceMonitorSpec {
        selector: LabelSelector {
            match_labels: Some(child::selector(identity, SERVING_COMPONENT)),
            ..LabelSelector::default()
        },
        endpoints: vec![endpoint(
            model,
            deployment::scraped_port(&model.serving),
            &monitoring.metrics.path,
            scrapes::of_servers(model),
            SERVING_COMPONENT,
        )],
        target_labels: Vec::new(),
        sample_limit: sample_limit(monitoring),
    };
    let metadata = meta(identity, monitoring, identity.base.clone(), SERVING_COMPONENT);
    Some(Child::new(Kind::ServiceMonitor, ServiceMonitor { metadata, spec }))
}

/// The PodMonitor of a worker; `None` without `spec.monitoring`, or if the worker exposes no metrics.
pub fn pod_monitor(model: &Model, worker: &Worker) -> Option<Child> {
    let (monitoring, metrics) = (model.monitoring.as_ref()?, worker.metrics.as_ref()?);
    let identity = &model.identity;
    let workload = Workload::worker(worker, &identity.base);
    let seconds = scrapes::of_worker(worker)?;
    let endpoint = endpoint(model, METRICS_PORT, &metrics.path, seconds, &workload.name);
    Some(of_pods(identity, monitoring, (workload.deployment, &workload.component), endpoint))
}

/// A PodMonitor with this name of the pods of a component.
fn of_pods(
    identity: &Identity,
    monitoring: &Monitoring,
    (name, component): (String, &str),
    endpoint: Endpoint,
) -> Child {
    let spec = PodMonitorSpec {
        selector: LabelSelector {
            match_labels: Some(child::selector(identity, component)),
            ..LabelSelector::default()
        },
        pod_metrics_endpoints: vec![endpoint],
        sample_limit: sample_limit(monitoring),
    };
    let metadata = meta(identity, monitoring, name, component);
    Child::new(Kind::PodMonitor, PodMonitor { metadata, spec })
}

/// The PodMonitor of the trainers; `None` without `spec.monitoring`, or if they expose no metrics. Series have the version of their run.
pub fn trainer_monitor(model: &Model) -> Option<Child> {
    let (monitoring, metrics) = (model.monitoring.as_ref()?, model.training.metrics.as_ref()?);
    let identity = &model.identity;
    let path = metrics.path.as_deref().unwrap_or(METRICS_PATH);
    let workload = monitoring::Workload::Training.label();
    let mut endpoint = endpoint(model, METRICS_PORT, path, TRAINER_SECONDS, workload);
    endpoint.relabelings.push(Relabeling {
        source_labels: vec![POD_VERSION.into()],
        replacement: "$1".into(),
        ..label("version", "")
    });
    Some(of_pods(identity, monitoring, (names::trainers(&identity.base), TRAINING_COMPONENT), endpoint))
}

/// The PodMonitor of a dependency's exporter; `None` without `spec.monitoring`, or if the spec does not name its pods. Its series keep
/// their labels: whose they are is decided by the label `job`. `monitoring.scrape` is that of servers and workers.
pub fn exporter_monitor(model: &Model, dependency: &Dependency) -> Option<Child> {
    let (monitoring, pods) = (model.monitoring.as_ref()?, dependency.scrape.as_ref()?);
    let identity = &model.identity;
    let name = names::scraped(&identity.base, &dependency.name);
    let seconds = pods.interval_seconds.unwrap_or(EXPORTER_SECONDS);
    let (path, params) = query(&pods.path);
    let relabelings = vec![label("job", &monitoring::dependencies::job(&identity.namespace, &name))];
    let endpoint = Endpoint { params, relabelings, ..plain(&pods.port, path, seconds) };
    let selector = LabelSelector { match_labels: Some(pods.match_labels.clone()), ..LabelSelector::default() };
    let spec = PodMonitorSpec { selector, pod_metrics_endpoints: vec![endpoint], sample_limit: None };
    Some(Child::new(Kind::PodMonitor, PodMonitor { metadata: meta(identity, monitoring, name, EXPORTERS), spec }))
}

/// The Probe of the servers; `None` without `spec.monitoring.probe`. Its series have no label `workload`, by which targets of servers
/// are counted.
pub fn probe(model: &Model) -> Option<Child> {
    let settings = model.monitoring.as_ref()?;
    let probing = settings.probe.as_ref()?;
    let identity = &model.identity;
    let seconds = probing.interval_seconds.unwrap_or(PROBE_SECONDS);
    // The name of a headless Service resolves to the servers themselves, which do not listen on the Service's port 80.
    let is_headless = model.serving.service.as_ref().is_some_and(|service| service.headless);
    let port = if is_headless { format!(":{}", model.serving.port) } else { String::new() };
    let health = || format!("http://{}.{}.svc{port}{}", identity.base, identity.namespace, model.serving.probes.path);
    let spec = ProbeSpec {
        job_name: monitoring::recording::probe_job(&identity.namespace, &identity.base),
        interval: format!("{seconds}s"),
        scrape_timeout: format!("{}s", seconds.min(SCRAPE_TIMEOUT_SECONDS)),
        module: probing.module.clone(),
        prober: Prober { url: probing.prober.clone(), path: PROBE_PATH.into() },
        targets: ProbeTargets {
            static_config: StaticTargets {
                urls: vec![probing.url.clone().unwrap_or_else(health)],
                labels: BTreeMap::from([("recommender".into(), identity.name.clone())]),
            },
        },
    };
    let metadata = meta(identity, settings, identity.base.clone(), SERVING_COMPONENT);
    Some(Child::new(Kind::Probe, Probe { metadata, spec }))
}

fn sample_limit(monitoring: &Monitoring) -> Option<i64> {
    monitoring.scrape.as_ref()?.sample_limit
}

/// The scrape endpoint of a port. Adds labels for object and workload to its series.
fn endpoint(model: &Model, port: &str, path: &str, seconds: i32, workload: &str) -> Endpoint {
    let scrape = model.monitoring.as_ref().and_then(|monitoring| monitoring.scrape.clone()).unwrap_or_default();
    Endpoint {
        relabelings: vec![label("recommender", &model.identity.name), label("workload", workload)],
        scheme: (scrape.scheme == ScrapeScheme::Https).then(|| "https".into()),
        tls_config: scrape.tls.as_ref().map(tls),
        authorization: scrape.bearer_token.map(|token| json!({ "type": "Bearer", "credentials": token })),
        metric_relabelings: scrape.metric_relabelings.iter().map(relabeling).collect(),
        ..plain(port, path, seconds)
    }
}

/// A scrape endpoint over HTTP, without the settings for servers and workers, whose token is no other program's.
fn plain(port: &str, path: &str, seconds: i32) -> Endpoint {
    Endpoint {
        port: port.into(),
        path: path.into(),
        interval: format!("{seconds}s"),
        scrape_timeout: format!("{}s", seconds.min(SCRAPE_TIMEOUT_SECONDS)),
        ..Endpoint::default()
    }
}

/// A path, and its query as parameters: Prometheus would escape the `?`.
fn query(path: &str) -> (&str, BTreeMap<String, Vec<String>>) {
    let (path, query) = path.split_once('?').unwrap_or((path, ""));
    let mut params: BTreeMap<String, Vec<String>> = BTreeMap::new();
    for part in query.split('&').filter(|part| !part.is_empty()) {
        let (name, value) = part.split_once('=').unwrap_or((part, ""));
        params.entry(name.into()).or_default().push(value.into());
    }
    (path, params)
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
            let metadata = meta(identity, monitoring, name, SERVING_COMPONENT);
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
    let of_worker = |worker: &Worker| names::worker(&identity.base, &worker.name);
    let workers: Vec<_> = model.workers.iter().map(|worker| (worker.name.as_str(), of_worker(worker))).collect();
    let of_workers = model.workers.iter().map(|worker| (worker.name.as_str(), worker.resources.as_ref()));
    let own = [
        (monitoring::Workload::Serving.label(), model.serving.resources.as_ref()),
        (monitoring::Workload::Training.label(), model.training.resources.as_ref()),
    ];
    let all = own.into_iter().chain(of_workers);
    let cores: Vec<_> = all.clone().filter_map(|(name, of)| Some((name, cores::allowed(of)?))).collect();
    let requested: Vec<_> = all.filter_map(|(name, of)| requested(name, of)).collect();
    let watched = Watched {
        namespace: &identity.namespace,
        recommender: &identity.name,
        serving_deployment: &names::serving(&identity.base),
        is_routed: model.http_route().is_some(),
        compared: model.canary.as_ref().map(|canary| canary.compared),
        reloads: model.hot_reload.is_some(),
        workers: &workers,
        base: &identity.base,
        claim: model.artifacts.claim(),
        cores: &cores,
        requested: &requested,
        front: monitoring.front.as_ref(),
        profile: &monitoring.metrics.profile,
        reads_native: monitoring.metrics.histograms == Some(Histograms::Native),
        signals: model.signals.as_ref(),
        application: &model.application,
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
        waits_for_inputs: !model.readiness.inputs.is_empty(),
        promotions_wait: !model.promotion_readiness.inputs.is_empty(),
        prunes: model.training.prune.is_some(),
        reports_progress: model.training.metrics.is_some(),
        is_gated: model.promotion.has_gates(),
        minimums: &model.promotion.minimums(),
        objectives: &model.objectives,
        alerts: &model.alerts,
        runbooks: &model.runbooks,
        is_probed: monitoring.probe.is_some(),
        query_offset_seconds: monitoring.query_offset_seconds,
    };
    Some(monitoring::rule_groups(&watched))
}

/// What a workload requests; `None` unless it is both CPU and memory.
fn requested<'a>(workload: &'a str, resources: Option<&Resources>) -> Option<Requested<'a>> {
    let of_allowed = cores::requested(resources)? / cores::allowed(resources)?;
    Some(Requested { workload, of_allowed, memory: cores::memory_requested(resources)? })
}

/// Changes of alerts that an object does not have, each with the reason.
pub fn alerts_without_effect(model: &Model) -> Vec<String> {
    let rules: Vec<Rule> = rule_groups(model).into_iter().flatten().flat_map(|group| group.rules).collect();
    let is_recorded = |series: &Series| rules.iter().any(|rule| rule.record.as_deref() == Some(series.name()));
    let changed = model.alerts.iter().filter(|(_, change)| !change.is_disabled).map(|(name, _)| name);
    let left_out = changed.filter(|name| !rules.iter().any(|rule| rule.alert.as_ref() == Some(name)));
    let alerts = left_out.filter_map(|name| catalog::current().alert(name));
    alerts
        .map(|alert| {
            let why = match alert.series.iter().find(|series| !is_recorded(series)) {
                Some(series) if series.subject() == Subject::Dependency => {
                    format!("no dependency of the spec reports {}", series.name())
                }
                Some(series) => format!("nothing in the spec makes {} recorded", series.name()),
                None if matches!(
                    alert.applies_to,
                    catalog::AppliesTo::Dependencies | catalog::AppliesTo::EachDependency
                ) =>
                {
                    let names: BTreeSet<_> = alert.series.iter().map(|series| series.name()).collect();
                    format!("no single dependency of the spec reports {}", Vec::from_iter(names).join(" and "))
                }
                None => "no series that it compares can exceed its threshold".into(),
            };
            let name = &alert.name;
            let page = if alert.is_embedded { format!(", or see docs/runbooks/{name}.md") } else { String::new() };
            format!("spec.monitoring.alerts: {name}: {why}, so the object does not have this alert: remove it{page}")
        })
        .collect()
}

fn label(name: &str, value: &str) -> Relabeling {
    // `$` would refer to a capture group.
    let replacement = value.replace('$', "$$");
    Relabeling { action: "replace".into(), source_labels: Vec::new(), target_label: name.into(), replacement }
}

/// Metadata with the additional labels by which the user's Prometheus selects objects.
fn meta(identity: &Identity, monitoring: &Monitoring, name: String, component: &str) -> ObjectMeta {
    let mut meta = child::meta(identity, name, component);
    child::add(&mut meta.labels, &monitoring.labels);
    meta
}
