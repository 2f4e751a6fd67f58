//! The operator in the cluster as users install it: from its Helm chart, as a container with its own service account
//! and RBAC. The demo and all tests share one installation.

use std::fs;
use std::path::Path;
use std::process::Command;

use anyhow::{Context, Result};

use crate::addons::{invalidate, once, rolled_out};
use crate::kubectl::kubectl;
use crate::{command, digest, paths, tools};

/// The Helm release, its namespace and the name of its Deployment.
pub const RELEASE: &str = "recommender-operator";

/// The label selector of its pods and other objects.
pub const SELECTOR: &str = "app.kubernetes.io/name=recommender-operator";

/// Installs or upgrades the operator with this image and waits until it is ready.
pub fn install(image: &str) -> Result<()> {
    let (repository, tag) = image.rsplit_once(':').with_context(|| format!("the image {image} has no tag"))?;
    let chart = paths::repository().join("charts/recommender-operator");
    let chart_path = chart.display().to_string();
    let (repository, tag) = (format!("image.repository={repository}"), format!("image.tag={tag}"));
    let mut arguments =
        vec!["upgrade", "--install", RELEASE, &chart_path, "--namespace", RELEASE, "--create-namespace"];
    // As strings: a tag of digits would be parsed as a number.
    arguments.extend(["--set-string", &repository, "--set-string", &tag]);
    arguments.extend(["--set", "serviceMonitor.enabled=true", "--set", "serviceMonitor.interval=5s"]);
    arguments.extend(["--set", "serviceMonitor.labels.release=kube-prometheus-stack"]);
    arguments.extend(["--set", "hotReload.enabled=true"]);
    arguments.extend(["--set", "metricSources[0].name=default"]);
    arguments.extend(["--set", "metricSources[0].url=http://prometheus.monitoring:9090"]);
    // Started by the test that needs it.
    arguments.extend(["--set", "metricSources[1].name=steady"]);
    arguments.extend(["--set", "metricSources[1].url=http://prometheus-steady.monitoring:9090"]);
    // The CRD may have been applied without Helm, as tests without the operator do.
    arguments.extend(["--take-ownership", "--server-side=true", "--force-conflicts"]);
    let content = format!("{image}\n{}\n{}", arguments.join("\n"), digest_of_directory(&chart)?);
    let deployment = format!("deployment/{RELEASE}");
    if kubectl(&["-n", RELEASE, "get", &deployment]).is_err() {
        invalidate("operator"); // it was uninstalled
    }
    once("operator", &content, || {
        let mut helm = Command::new(tools::program("helm")?);
        command::output(helm.args(&arguments).env("KUBECONFIG", paths::kubeconfig())).map(drop)
    })?;
    rolled_out(RELEASE, &deployment)
}

/// A digest of all files below the directory.
fn digest_of_directory(directory: &Path) -> Result<String> {
    let mut names = Vec::new();
    let entries = fs::read_dir(directory).with_context(|| format!("cannot read {}", directory.display()))?;
    for entry in entries {
        let entry = entry?;
        let content = if entry.file_type()?.is_dir() {
            digest_of_directory(&entry.path())?
        } else {
            digest::hex(&fs::read(entry.path())?)
        };
        names.push(format!("{} {content}", entry.file_name().to_string_lossy()));
    }
    names.sort();
    Ok(digest::hex(names.join("\n").as_bytes()))
}
