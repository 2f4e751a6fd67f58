//! The rules of objects as a file for a Prometheus that is not configured by prometheus-operator.

use std::collections::BTreeSet;

use serde_json::{Value, json};

use super::{monitoring, rules};
use crate::{child::Child, kinds::Kind, model::Model};

/// Comment at the beginning of the file.
const HEAD: &str = "\
# Rules of RecommenderModels for a Prometheus without prometheus-operator: name this file under rule_files.
#
# They find the series of an object's pods by the labels namespace, recommender (the object's name) and workload (serving, or
# the name of a worker). The scrape configuration has to add them, for example so; the operator's own /metrics is scraped as well,
# with whatever labels. Exporters of dependencies are scraped as they are.
#
";

/// One rule file for all objects, with the scrape configuration that it needs as a comment at its beginning.
///
/// # Errors
/// If there are no rules, or an object occurs twice: Prometheus does not accept two groups of the same name.
pub fn rule_file(models: &[Model]) -> anyhow::Result<String> {
    let (mut groups, mut jobs, mut names) = (Vec::new(), Vec::new(), BTreeSet::new());
    for model in models {
        let identity = &model.identity;
        let name = format!("{}/{}", identity.namespace, identity.name);
        anyhow::ensure!(names.insert(name.clone()), "{name} is in these files twice: leave one of them out");
        groups.extend(rules::rule_groups(model).unwrap_or_default());
        let workers = model.workers.iter().filter_map(|worker| monitoring::pod_monitor(model, worker));
        let exporters = model.dependencies.iter().filter_map(|of| monitoring::exporter_monitor(model, of));
        let monitors = monitoring::service_monitor(model).into_iter().chain(workers).chain(exporters);
        jobs.extend(monitors.map(|monitor| job(&name, &monitor)));
        jobs.extend(monitoring::probe(model).map(|child| probe(&child)));
    }
    anyhow::ensure!(!groups.is_empty(), "none of these objects has spec.monitoring: there is nothing to record");
    let scraping = serde_saphyr::to_string(&json!({ "scrape_configs": jobs }))?;
    let comment: String = scraping.lines().map(|line| format!("# {line}\n")).collect();
    Ok(format!("{HEAD}{comment}\n{}", serde_saphyr::to_string(&json!({ "groups": groups }))?))
}

/// A ServiceMonitor or PodMonitor of ours as a scrape configuration of Prometheus. `object` makes the job name unique.
fn job(object: &str, monitor: &Child) -> Value {
    let spec = &monitor.object["spec"];
    let endpoints = if monitor.kind == Kind::PodMonitor { "podMetricsEndpoints" } else { "endpoints" };
    let endpoint = &spec[endpoints][0];
    let added = endpoint["relabelings"].as_array().into_iter().flatten();
    let added = added.map(|label| json!({ "target_label": label["targetLabel"], "replacement": label["replacement"] }));
    let relabelings = [
        json!({ "action": "keep", "source_labels": ["__meta_kubernetes_pod_container_port_name"], "regex": endpoint["port"] }),
        json!({ "action": "keep", "source_labels": ["__meta_kubernetes_pod_phase"], "regex": "Running" }),
        json!({ "target_label": "namespace", "source_labels": ["__meta_kubernetes_namespace"] }),
        json!({ "target_label": "pod", "source_labels": ["__meta_kubernetes_pod_name"] }),
    ];
    let selector = spec["selector"]["matchLabels"].as_object().into_iter().flatten();
    let selector: Vec<String> =
        selector.map(|(name, value)| format!("{name}={}", value.as_str().unwrap_or_default())).collect();
    let mut job = json!({
        "job_name": format!("{object}/{}", monitor.name),
        "scrape_interval": endpoint["interval"],
        "scrape_timeout": endpoint["scrapeTimeout"],
        "metrics_path": endpoint["path"],
        "kubernetes_sd_configs": [{
            "role": "pod",
            "namespaces": { "names": [monitor.object["metadata"]["namespace"]] },
            "selectors": [{ "role": "pod", "label": selector.join(",") }],
        }],
        "relabel_configs": relabelings.into_iter().chain(added).collect::<Vec<_>>(),
    });
    if let Some(params) = endpoint.get("params") {
        job["params"] = params.clone();
    }
    job
}

/// Our Probe as a scrape configuration of Prometheus: the exporter is scraped, with the URL as a parameter.
fn probe(child: &Child) -> Value {
    let spec = &child.object["spec"];
    let mut targets = spec["targets"]["staticConfig"]["labels"].clone();
    targets["namespace"] = child.object["metadata"]["namespace"].clone();
    json!({
        "job_name": spec["jobName"],
        "scrape_interval": spec["interval"],
        "scrape_timeout": spec["scrapeTimeout"],
        "metrics_path": spec["prober"]["path"],
        "params": { "module": [spec["module"]] },
        "static_configs": [{ "targets": spec["targets"]["staticConfig"]["static"], "labels": targets }],
        "relabel_configs": [
            { "target_label": "__param_target", "source_labels": ["__address__"] },
            { "target_label": "instance", "source_labels": ["__param_target"] },
            { "target_label": "__address__", "replacement": spec["prober"]["url"] },
        ],
    })
}
