//! `cargo demo`: from an empty host to a recommender that is trained and serves.

use std::fs;
use std::path::Path;
use std::sync::Arc;
use std::time::Duration;

use anyhow::{Context, Result, bail};
use kube::api::{Api, DynamicObject};
use kube::core::{ApiResource, GroupVersionKind};
use serde_json::Value;
use tokio::time::{Instant, sleep};

use crate::addons::once;
use crate::image::{self, catalog};
use crate::kubectl::kubectl;
use crate::lock::Lock;
use crate::progress::Progress;
use crate::{Cluster, client, cluster, operator, paths, tools};

/// The namespace in `examples/packages.yaml`.
const NAMESPACE: &str = "shop";
/// The RecommenderModel in `examples/packages.yaml`.
const NAME: &str = "packages";
/// The name of the image in `examples/packages.yaml`.
const IMAGE: &str = "packages-recommender:demo";
/// The annotation that requests a training run.
const REQUEST: &str = "recommender.dev/train";
/// The path of the request that is shown, for a package whose recommendations anybody can judge.
const QUESTION: &str = "/recommendations/python3-flask?limit=5";
/// How long training, and then serving, may take.
const TIMEOUT: Duration = Duration::from_secs(600);

/// The steps after [`cluster::UP_STEPS`].
const STEPS: [&str; 6] =
    ["operator image", "example image", "operator, from its Helm chart", "training", "serving", "a recommendation"];

/// Starts everything that does not run yet, and prints the recommender and its answer.
pub async fn up() -> Result<()> {
    let progress = Progress::new(&[&cluster::UP_STEPS[..], &STEPS].concat());
    let shared = Arc::clone(&progress);
    let [_, _, _, training, serving, recommendation] = STEPS;
    let lock = tokio::task::spawn_blocking(move || prepare(&shared)).await??;
    let cluster = client::own(lock).await?;
    let recommender = recommenders(&cluster);
    progress.step_async(training, follow(&progress, &recommender, has_version)).await?;
    progress.step_async(serving, follow(&progress, &recommender, is_ready)).await?;
    let answer = progress.step_async(recommendation, ask(&cluster)).await?;
    eprintln!("\nWhere the time went:\n{}", progress.table());
    show(&cluster, &answer).await
}

/// Removes the cluster, and with `cache` also the build cache.
pub fn down(force: bool, cache: bool) -> Result<()> {
    let progress = Progress::quiet();
    cluster::down(&progress, force)?;
    if cache {
        let directory = paths::cache();
        progress.step("removing the build cache", || match fs::remove_dir_all(&directory) {
            Err(error) if error.kind() != std::io::ErrorKind::NotFound => Err(error.into()),
            _ => Ok(()),
        })?;
    }
    Ok(())
}

/// The steps that need no API client: programs, cluster, images, the operator and the object.
fn prepare(progress: &Progress) -> Result<Lock> {
    let [operator_image, example_image, chart, ..] = STEPS;
    let lock = cluster::up(progress)?;
    let image = progress.step(operator_image, || {
        let recipe = catalog::operator(Some(progress))?;
        let _changing = cluster::lock_for_change(progress)?;
        recipe.load()
    })?;
    let changed = progress.step(example_image, || {
        let recipe = catalog::example(Some(progress))?;
        let _changing = cluster::lock_for_change(progress)?;
        let loaded = recipe.load()?;
        once("example-image", &loaded, || image::tag(&loaded, IMAGE))
    })?;
    progress.step(chart, || {
        let _changing = cluster::lock_for_change(progress)?;
        operator::install(&image)
    })?;
    let before = kubectl(&["-n", NAMESPACE, "get", "recommendermodel", NAME, "-o", "json"]);
    let file = paths::repository().join("examples/packages.yaml");
    kubectl(&["apply", "-f", text(&file)?])?;
    if let Ok(before) = before
        && let Some(why) = reason_to_train(&serde_json::from_str(&before)?, changed)
    {
        let request = format!("{REQUEST}=full {}", jiff::Timestamp::now());
        kubectl(&["-n", NAMESPACE, "annotate", "recommendermodel", NAME, "--overwrite", &request])?;
        progress.println(&format!("    {why}: asked for a new training run"));
    }
    Ok(lock)
}

/// Why the object of an earlier demo has to be trained again.
fn reason_to_train(object: &Value, image_changed: bool) -> Option<&'static str> {
    if image_changed {
        // Its pods keep the old image until a new version rolls out.
        return Some("the example's image has changed");
    }
    is_stalled(object).then_some("the last demo ended badly")
}

fn recommenders(cluster: &Cluster) -> Api<DynamicObject> {
    let kind = GroupVersionKind::gvk("recommender.dev", "v1alpha1", "RecommenderModel");
    Api::namespaced_with(cluster.client(), NAMESPACE, &ApiResource::from_gvk(&kind))
}

/// Prints each change of the Ready condition until `done`. Fails when the object is stalled.
async fn follow(progress: &Progress, api: &Api<DynamicObject>, done: fn(&Value) -> bool) -> Result<()> {
    let deadline = Instant::now() + TIMEOUT;
    let mut shown = String::new();
    loop {
        let object = serde_json::to_value(api.get(NAME).await?)?;
        let current = request_is_answered(&object);
        if current && done(&object) {
            return Ok(());
        }
        let now = summary(&object);
        if now != shown {
            progress.println(&format!("    {now}"));
            progress.detail(&now);
            shown = now;
        }
        if current && is_stalled(&object) {
            bail!("it is stalled: {shown}\n{}", pods_and_events());
        }
        if Instant::now() > deadline {
            bail!("timed out after {} s; its last status: {shown}\n{}", TIMEOUT.as_secs(), pods_and_events());
        }
        sleep(Duration::from_millis(500)).await;
    }
}

fn has_version(object: &Value) -> bool {
    object["status"]["versions"].as_array().is_some_and(|versions| !versions.is_empty())
}

/// Whether it is Ready for its current generation.
fn is_ready(object: &Value) -> bool {
    condition(object, "Ready").is_some_and(|ready| {
        ready["status"] == "True" && ready["observedGeneration"] == object["metadata"]["generation"]
    })
}

fn is_stalled(object: &Value) -> bool {
    condition(object, "Stalled").is_some_and(|stalled| stalled["status"] == "True")
}

/// Whether the status is newer than the last training request: the operator has acted on it.
fn request_is_answered(object: &Value) -> bool {
    let request = &object["metadata"]["annotations"][REQUEST];
    request.is_null() || *request == object["status"]["training"]["lastRequest"]
}

fn condition<'a>(object: &'a Value, kind: &str) -> Option<&'a Value> {
    object["status"]["conditions"].as_array()?.iter().find(|condition| condition["type"] == kind)
}

/// Reason and message of the Ready condition: `Training: run packages-full-x has started`.
fn summary(object: &Value) -> String {
    let Some(ready) = condition(object, "Ready") else { return "waiting for the operator to see it".into() };
    let field = |name: &str| ready[name].as_str().unwrap_or_default().to_owned();
    format!("{}: {}", field("reason"), field("message"))
}

fn pods_and_events() -> String {
    let pods = kubectl(&["-n", NAMESPACE, "get", "pods", "-o", "wide"]).unwrap_or_default();
    let events = kubectl(&["-n", NAMESPACE, "get", "events", "--sort-by=.lastTimestamp"]);
    format!("{pods}\n{}", crate::command::last_lines(&events.unwrap_or_default(), 10))
}

/// Sends one request to the Service. kube-proxy may need a moment after the pods are ready.
async fn ask(cluster: &Cluster) -> Result<String> {
    crate::eventually("the recommender answers over its Service", Duration::from_secs(30), async || {
        match cluster.service_get(NAMESPACE, NAME, 80, QUESTION).await? {
            (200, body) => Ok(body),
            (status, body) => bail!("{status} {body}"),
        }
    })
    .await
}

async fn show(cluster: &Cluster, answer: &str) -> Result<()> {
    let table = cluster.kubectl(&["get", "recommendermodels", "--all-namespaces"]).await?;
    let answer: Value = serde_json::from_str(answer).with_context(|| format!("no JSON: {answer}"))?;
    let recommender = address(cluster, NAMESPACE, NAME).await?;
    let prometheus = address(cluster, "monitoring", "prometheus").await?;
    let kubectl = tools::program("kubectl")?;
    let helm = tools::program("helm")?;
    let directory = |program: &Path| program.parent().map(|path| path.display().to_string()).unwrap_or_default();
    println!("$ kubectl get recommendermodels --all-namespaces\n{table}");
    println!("$ curl 'http://{recommender}{QUESTION}'\n{}\n", serde_json::to_string_pretty(&answer)?);
    println!("What to try next:");
    println!("  export KUBECONFIG={}", cluster.kubeconfig().display());
    println!("  export PATH={}:{}:$PATH      # kubectl and helm", directory(&kubectl), directory(&helm));
    println!("  kubectl -n {NAMESPACE} describe recommendermodel {NAME}");
    println!("  kubectl -n {NAMESPACE} get pods,jobs,deployments,services,hpa,pdb,servicemonitors,prometheusrules");
    println!(
        "  kubectl -n {NAMESPACE} annotate recommendermodel {NAME} --overwrite recommender.dev/train=\"full $(date -Is)\""
    );
    println!("  kubectl -n {NAMESPACE} delete deployment {NAME}-serving      # it comes back");
    println!("  kubectl explain recommendermodel.spec");
    println!("  curl -s 'http://{recommender}/recommendations/python3-requests?limit=10'");
    println!("  curl -s 'http://{prometheus}:9090/api/v1/query?query=up%7Bnamespace%3D%22{NAMESPACE}%22%7D'");
    println!("  cargo demo down                                  # removes the cluster and every trace of it");
    Ok(())
}

async fn address(cluster: &Cluster, namespace: &str, service: &str) -> Result<String> {
    let path = "jsonpath={.spec.clusterIP}";
    cluster.kubectl(&["-n", namespace, "get", "service", service, "-o", path]).await
}

fn text(path: &Path) -> Result<&str> {
    path.to_str().context("the repository's path is no UTF-8")
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;

    #[test]
    fn an_object_is_ready_only_for_its_current_generation() {
        let object = |generation: u32, status: &str| {
            json!({"metadata": {"generation": generation}, "status": {"conditions": [
                {"type": "Ready", "status": status, "reason": "R", "message": "m", "observedGeneration": 2},
            ]}})
        };
        assert!(is_ready(&object(2, "True")));
        assert!(!is_ready(&object(3, "True")) && !is_ready(&object(2, "False")));
        assert_eq!(summary(&object(2, "True")), "R: m");
    }
}
