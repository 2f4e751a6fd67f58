//! Runs Helm and kubectl on the chart, and reads what they print.

use std::{
    fs,
    path::{Path, PathBuf},
    process::{Command, Output, Stdio},
};

use anyhow::{Context, Result, ensure};
use e2e::{Cluster, TestNamespace, paths, tools};
use serde_json::Value;

/// The chart has no default image, so every rendering sets one.
pub const IMAGE: &str = "image.repository=recommender-operator";

pub fn chart() -> PathBuf {
    paths::repository().join("charts/recommender-operator")
}

/// The sets of values in the chart's `ci/`, which Helm's chart-testing also uses.
pub fn value_sets() -> Result<Vec<PathBuf>> {
    let mut sets = files(&chart().join("ci"))?;
    sets.retain(|path| text(path).ends_with("-values.yaml"));
    ensure!(sets.len() >= 6, "sets of values are missing in the chart's ci/: {sets:?}");
    Ok(sets)
}

pub fn files(directory: &Path) -> Result<Vec<PathBuf>> {
    let entries = fs::read_dir(directory).with_context(|| format!("cannot read {}", directory.display()))?;
    let mut paths = entries.map(|entry| Ok(entry?.path())).collect::<Result<Vec<_>>>()?;
    paths.sort();
    Ok(paths)
}

/// Runs Helm without a cluster and without the settings of the user.
pub fn helm(arguments: &[&str]) -> Result<Output> {
    let home = Path::new(env!("CARGO_TARGET_TMPDIR")).join("helm");
    let mut helm = Command::new(tools::program("helm")?);
    for variable in ["HELM_CACHE_HOME", "HELM_CONFIG_HOME", "HELM_DATA_HOME"] {
        helm.env(variable, &home);
    }
    helm.args(arguments).env_remove("KUBECONFIG").output().context("cannot run helm")
}

/// The chart rendered as release `r`, or the error of Helm.
pub fn template(namespace: &str, arguments: &[&str]) -> Result<Result<String, String>> {
    let chart = chart();
    let fixed = ["template", "r", text(&chart), "--namespace", namespace, "--kube-version", "1.33.0"];
    let output = helm(&[&fixed, arguments].concat())?;
    Ok(match output.status.success() {
        true => Ok(String::from_utf8(output.stdout)?),
        false => Err(String::from_utf8(output.stderr)?),
    })
}

pub fn rendered(namespace: &str, arguments: &[&str]) -> Result<String> {
    template(namespace, arguments)?.map_err(|error| anyhow::anyhow!("helm template {arguments:?}: {error}"))
}

/// Creates a namespace that refuses pods that are not `restricted`, and warns about Deployments of such pods.
pub async fn namespace(cluster: &Cluster, hint: &str) -> Result<TestNamespace> {
    let label = |mode: &str| (format!("pod-security.kubernetes.io/{mode}"), "restricted".to_owned());
    cluster.namespace_with(hint, [label("enforce"), label("warn")].into()).await
}

/// Validates, defaults and admits manifests with the API server, without writing them.
pub fn server_dry_run(cluster: &Cluster, manifests: &str) -> Result<Output> {
    let arguments = ["apply", "--server-side", "--force-conflicts", "--dry-run=server", "-f", "-"];
    kubectl(cluster, &arguments, manifests)
}

/// As [`Cluster::kubectl_with_input`], but returns warnings and failures as output.
pub fn kubectl(cluster: &Cluster, arguments: &[&str], input: &str) -> Result<Output> {
    use std::io::Write;
    let mut kubectl = Command::new(tools::program("kubectl")?);
    kubectl.arg("--kubeconfig").arg(cluster.kubeconfig()).args(arguments);
    kubectl.stdin(Stdio::piped()).stdout(Stdio::piped()).stderr(Stdio::piped());
    let mut child = kubectl.spawn().context("cannot run kubectl")?;
    // kubectl reads everything before it writes. If it exits early, its output has the reason.
    let _ = child.stdin.take().context("stdin is piped")?.write_all(input.as_bytes());
    child.wait_with_output().context("cannot wait for kubectl")
}

pub fn yaml(text: &str) -> Result<Vec<Value>> {
    serde_saphyr::from_multiple(text).context("this is not YAML")
}

pub fn items(list: &Value) -> &[Value] {
    list.as_array().map_or(&[], Vec::as_slice)
}

pub fn strings(list: &Value) -> Vec<&str> {
    items(list).iter().map(string).collect()
}

pub fn string(value: &Value) -> &str {
    value.as_str().unwrap_or_default()
}

pub fn text(path: &Path) -> &str {
    path.to_str().expect("the checkout's path is UTF-8")
}
