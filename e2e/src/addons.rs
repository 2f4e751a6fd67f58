//! The add-ons of the cluster: DNS, storage, metrics-server, prometheus-operator and a Prometheus. They are applied
//! again only when they have changed.

use std::fs;
use std::path::PathBuf;
use std::thread;
use std::time::{Duration, Instant};

use anyhow::{Context, Result, bail, ensure};

use crate::cluster::network::DNS_SERVICE;
use crate::image::catalog;
use crate::kubectl::{kubectl, kubectl_apply};
use crate::progress::Progress;
use crate::{digest, gateway, paths, tools, volumes};

/// How long a rollout may take, and how long an object may take to appear: a minute on two fast cores.
const TIMEOUT: Duration = Duration::from_secs(480);

/// Applies DNS, the default StorageClass with its volumes, and metrics-server.
pub fn base(progress: &Progress) -> Result<()> {
    progress.detail("images of CoreDNS and metrics-server");
    let coredns = catalog::go_program("coredns", "coredns")?.load()?;
    let metrics_server = catalog::go_program("metrics-server", "metrics-server")?.load()?;
    let manifests = [
        filled(
            include_str!("../manifests/coredns.yaml"),
            &[("COREDNS_IMAGE", &coredns), ("DNS_SERVICE", DNS_SERVICE)],
        )?,
        filled(include_str!("../manifests/metrics-server.yaml"), &[("METRICS_SERVER_IMAGE", &metrics_server)])?,
        include_str!("../manifests/storage.yaml").to_owned(),
    ]
    .join("\n---\n");
    once("base", &manifests, || {
        progress.detail("applying CoreDNS, metrics-server and storage");
        kubectl_apply(&manifests)
    })?;
    progress.detail("volumes");
    volumes::replenish()?;
    progress.detail("waiting for CoreDNS");
    rolled_out("kube-system", "deployment/coredns")
}

/// Applies the definition of HTTPRoutes, which the operator is to find in the cluster.
pub fn gateway_api(progress: &Progress) -> Result<()> {
    progress.detail("the definition of HTTPRoutes");
    let definition = gateway::http_routes()?;
    once("gateway-api", &definition, || {
        kubectl_apply(&definition)?;
        let name = "crd/httproutes.gateway.networking.k8s.io";
        until_it_succeeds(&["wait", "--for=condition=Established", "--timeout=60s", name])
    })
    .map(drop)
}

/// Applies prometheus-operator from the bundle of its module, and one Prometheus for the whole cluster.
pub fn monitoring(progress: &Progress) -> Result<()> {
    progress.detail("images");
    let operator = catalog::go_program("prometheus-operator", "prometheus-operator")?.load()?;
    let reloader = catalog::go_program("prometheus-config-reloader", "prometheus-operator")?.load()?;
    let bundle = operator_bundle(&operator, &reloader)?;
    once("prometheus-operator", &bundle, || {
        progress.detail("applying prometheus-operator");
        let namespace = r#"{"apiVersion": "v1", "kind": "Namespace", "metadata": {"name": "monitoring"}}"#;
        kubectl_apply(namespace)?;
        kubectl_apply(&bundle)?;
        let definitions = ["crd/prometheuses", "crd/servicemonitors", "crd/prometheusrules"];
        let names = definitions.map(|name| format!("{name}.monitoring.coreos.com"));
        // `kubectl wait` fails at once as long as a definition has no conditions at all.
        let mut wait = vec!["wait", "--for=condition=Established", "--timeout=60s"];
        wait.extend(names.iter().map(String::as_str));
        until_it_succeeds(&wait)
    })?;
    let server = server(include_str!("../manifests/prometheus.yaml"))?;
    once("prometheus", &server, || {
        progress.detail("applying Prometheus");
        kubectl_apply(&server)
    })?;
    progress.detail("waiting for prometheus-operator");
    rolled_out("monitoring", "deployment/prometheus-operator")?;
    progress.detail("waiting for Prometheus");
    exists("monitoring", "statefulset/prometheus-main")?;
    rolled_out("monitoring", "statefulset/prometheus-main")?;
    progress.detail("waiting for metrics-server");
    rolled_out("kube-system", "deployment/metrics-server")
}

/// Applies a second Prometheus, which the rules of other objects than those with its label do not restart, and waits until it is ready.
pub fn steady_prometheus() -> Result<()> {
    let server = server(include_str!("../manifests/prometheus-steady.yaml"))?;
    once("prometheus-steady", &server, || kubectl_apply(&server))?;
    exists("monitoring", "statefulset/prometheus-steady")?;
    rolled_out("monitoring", "statefulset/prometheus-steady")
}

/// The manifest of a Prometheus, with our image, which is loaded.
fn server(manifest: &str) -> Result<String> {
    let image = catalog::go_program("prometheus", "prometheus")?.load()?;
    let version = prometheus_version(&tools::component("prometheus")?.version()?)?;
    filled(manifest, &[("PROMETHEUS_IMAGE", &image), ("PROMETHEUS_VERSION", &version)])
}

/// The bundle of prometheus-operator's module, in the namespace `monitoring` and with our images.
fn operator_bundle(operator: &str, reloader: &str) -> Result<String> {
    let component = tools::component("prometheus-operator")?;
    let path = component.module_directory()?.join("bundle.yaml");
    let mut bundle = fs::read_to_string(&path).with_context(|| format!("cannot read {}", path.display()))?;
    let version = component.version()?;
    let replacements = [
        (format!("quay.io/prometheus-operator/prometheus-config-reloader:{version}"), reloader),
        (format!("quay.io/prometheus-operator/prometheus-operator:{version}"), operator),
        ("\n  namespace: default\n".to_owned(), "\n  namespace: monitoring\n"),
    ];
    for (theirs, ours) in replacements {
        ensure!(bundle.contains(&theirs), "{} has no {theirs:?} to replace", path.display());
        bundle = bundle.replace(&theirs, ours);
    }
    Ok(bundle)
}

/// The version of Prometheus for a version of its Go module: v0.315.0 is Prometheus 3.15.
fn prometheus_version(module: &str) -> Result<String> {
    let number = module.strip_prefix("v0.").and_then(|rest| rest.split_once('.'));
    let (minor, patch) = number.with_context(|| format!("{module} is no version of Prometheus's module"))?;
    let minor: u32 = minor.parse()?;
    Ok(format!("v{}.{}.{patch}", minor / 100, minor % 100))
}

/// Replaces each `${NAME}` by its value. A name that does not occur, or a placeholder without a value, is an error.
pub(crate) fn filled(template: &str, values: &[(&str, &str)]) -> Result<String> {
    let mut text = template.to_owned();
    for (name, value) in values {
        let placeholder = format!("${{{name}}}");
        ensure!(text.contains(&placeholder), "the manifest has no {placeholder}");
        text = text.replace(&placeholder, value);
    }
    if let Some(left) = text.find("${") {
        bail!("no value for {}", text[left..].lines().next().unwrap_or_default());
    }
    Ok(text)
}

/// Runs `work` unless it has succeeded with the same content since the cluster was started. Returns whether it ran.
pub fn once(name: &str, content: &str, work: impl FnOnce() -> Result<()>) -> Result<bool> {
    let stamp = stamp(name);
    let hash = digest::hex(content.as_bytes());
    if fs::read_to_string(&stamp).is_ok_and(|done| done == hash) {
        return Ok(false);
    }
    work()?;
    fs::create_dir_all(paths::state().join("applied"))?;
    fs::write(&stamp, hash).with_context(|| format!("cannot write {}", stamp.display()))?;
    Ok(true)
}

/// Makes the next [`once`] run its work.
pub fn invalidate(name: &str) {
    let _ = fs::remove_file(stamp(name)); // it may not exist
}

fn stamp(name: &str) -> PathBuf {
    paths::state().join("applied").join(name)
}

/// Waits until the workload is rolled out. The error shows pods and Events.
pub fn rolled_out(namespace: &str, workload: &str) -> Result<()> {
    let timeout = format!("--timeout={}s", TIMEOUT.as_secs());
    kubectl(&["-n", namespace, "rollout", "status", workload, &timeout]).map(drop).map_err(|error| {
        let pods = kubectl(&["-n", namespace, "get", "pods", "-o", "wide"]).unwrap_or_default();
        let events = kubectl(&["-n", namespace, "get", "events", "--sort-by=.lastTimestamp"]).unwrap_or_default();
        error.context(format!(
            "{workload} in {namespace} does not get ready.\n{pods}\n{}",
            crate::command::last_lines(&events, 10)
        ))
    })
}

/// Waits until the object exists.
fn exists(namespace: &str, object: &str) -> Result<()> {
    until_it_succeeds(&["-n", namespace, "get", object])
}

/// Repeats a kubectl command until it succeeds. The error is that of the last attempt.
fn until_it_succeeds(arguments: &[&str]) -> Result<()> {
    let deadline = Instant::now() + TIMEOUT;
    while let Err(error) = kubectl(arguments) {
        if Instant::now() > deadline {
            return Err(error.context(format!("it still fails after {} s", TIMEOUT.as_secs())));
        }
        thread::sleep(Duration::from_millis(300));
    }
    Ok(())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_version_of_prometheus_is_derived_from_its_module() {
        assert_eq!(prometheus_version("v0.315.0").expect("is one"), "v3.15.0");
        assert!(prometheus_version("v3.1.0").is_err());
    }

    #[test]
    fn a_placeholder_without_a_value_is_an_error() {
        assert_eq!(filled("a: ${B}", &[("B", "c")]).expect("complete"), "a: c");
        assert!(filled("a: ${B} ${C}", &[("B", "c")]).is_err());
        assert!(filled("a: b", &[("B", "c")]).is_err());
    }
}
