//! The scrape configuration of the pods.

use std::collections::BTreeMap;

use k8s_openapi::apimachinery::pkg::apis::meta::v1::{LabelSelector, ObjectMeta};
use serde_json::{Value, json};

use super::{deployment, worker::METRICS_PORT};
use crate::{
    api::{
        Dependency, MetricRelabeling, Monitoring, RelabelAction, ScrapeScheme, ScrapeTls, Worker,
        monitoring_coreos::{
            Endpoint, PodMonitor, PodMonitorSpec, Probe, ProbeSpec, ProbeTargets, Prober, Relabeling, ServiceMonitor,
            ServiceMonitorSpec, StaticTargets,
        },
    },
    child::{self, Child},
    kinds::Kind,
    model::{Identity, Model, Workload, scrapes},
    monitoring,
    names::{self, SERVING_COMPONENT, TRAINING_COMPONENT},
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

fn label(name: &str, value: &str) -> Relabeling {
    // `$` would refer to a capture group.
    let replacement = value.replace('$', "$$");
    Relabeling { action: "replace".into(), source_labels: Vec::new(), target_label: name.into(), replacement }
}

/// Metadata with the additional labels by which the user's Prometheus selects objects.
pub(super) fn meta(identity: &Identity, monitoring: &Monitoring, name: String, component: &str) -> ObjectMeta {
    let mut meta = child::meta(identity, name, component);
    child::add(&mut meta.labels, &monitoring.labels);
    meta
}
