//! Tests of the cluster itself, on which all other tests rely.

use std::time::Duration;

use anyhow::{Context, Result, ensure};
use e2e::image::catalog;
use e2e::{Cluster, TestNamespace, eventually};
use serde_json::{Value, json};

/// Timeout of every expected change: metrics-server and Prometheus need two scrapes after their start, and a Job may try again.
const TIMEOUT: Duration = Duration::from_secs(300);

/// A container's security context for the Pod Security level `restricted`.
fn restricted() -> Value {
    json!({
        "runAsNonRoot": true, "runAsUser": 65532, "allowPrivilegeEscalation": false, "readOnlyRootFilesystem": true,
        "capabilities": {"drop": ["ALL"]}, "seccompProfile": {"type": "RuntimeDefault"},
    })
}

async fn apply(cluster: &Cluster, namespace: &TestNamespace, object: Value) -> Result<()> {
    cluster.kubectl_with_input(&["-n", &namespace.name, "apply", "-f", "-"], &object.to_string()).await.map(drop)
}

/// An image that our cluster has anyway; in other clusters the published one.
async fn image(cluster: &Cluster, name: &'static str, component: &'static str, published: &str) -> Result<String> {
    if !cluster.is_ours() {
        return Ok(published.to_owned());
    }
    tokio::task::spawn_blocking(move || catalog::go_program(name, component)?.load()).await?
}

#[tokio::test]
async fn a_pod_is_reachable_through_its_service() -> Result<()> {
    let cluster = e2e::cluster().await?;
    let namespace = cluster.namespace("pod").await?;
    let image = image(&cluster, "coredns", "coredns", "registry.k8s.io/coredns/coredns:v1.12.0").await?;
    apply(
        &cluster,
        &namespace,
        json!({
            "apiVersion": "v1", "kind": "ConfigMap", "metadata": {"name": "server"},
            "data": {"Corefile": ".:1053 {\n  health :8080\n}\n"},
        }),
    )
    .await?;
    apply(
        &cluster,
        &namespace,
        json!({
            "apiVersion": "v1", "kind": "Pod", "metadata": {"name": "server", "labels": {"app": "server"}},
            "spec": {
                "containers": [{
                    "name": "server", "image": image, "args": ["-conf", "/config/Corefile"],
                    "securityContext": restricted(), "volumeMounts": [{"name": "config", "mountPath": "/config"}],
                }],
                "volumes": [{"name": "config", "configMap": {"name": "server"}}],
            },
        }),
    )
    .await?;
    apply(
        &cluster,
        &namespace,
        json!({
            "apiVersion": "v1", "kind": "Service", "metadata": {"name": "server"},
            "spec": {"selector": {"app": "server"}, "ports": [{"port": 80, "targetPort": 8080}]},
        }),
    )
    .await?;
    let body = eventually("the server answers", TIMEOUT, async || {
        let (status, body) = cluster.service_get(&namespace.name, "server", 80, "/health").await?;
        ensure!(status == 200, "{status} {body}");
        Ok(body)
    });
    ensure!(body.await? == "OK", "CoreDNS responds with OK when it is healthy");
    Ok(())
}

#[tokio::test]
async fn a_pod_resolves_a_service_by_name() -> Result<()> {
    let cluster = e2e::cluster().await?;
    let namespace = cluster.namespace("dns").await?;
    let image = image(&cluster, "promtool", "prometheus", "quay.io/prometheus/prometheus:v3.5.0").await?;
    apply(
        &cluster,
        &namespace,
        json!({
            "apiVersion": "batch/v1", "kind": "Job", "metadata": {"name": "client"},
            "spec": {"backoffLimit": 3, "template": {"spec": {"restartPolicy": "Never", "containers": [{
                "name": "client", "image": image, "command": ["/bin/promtool"],
                "args": ["check", "ready", "--url=http://prometheus.monitoring.svc:9090"],
                "securityContext": restricted(),
            }]}}},
        }),
    )
    .await?;
    eventually("the Job reaches Prometheus by its name", TIMEOUT, async || {
        let get = ["-n", &namespace.name, "get", "job", "client", "-o", "jsonpath={.status}"];
        let status = cluster.kubectl(&get).await?;
        let parsed: Value = serde_json::from_str(&status).with_context(|| status.clone())?;
        ensure!(parsed["succeeded"] == 1, "{status}");
        Ok(())
    })
    .await
}

#[tokio::test]
async fn a_claim_of_the_default_class_is_bound() -> Result<()> {
    let cluster = e2e::cluster().await?;
    let namespace = cluster.namespace("claim").await?;
    apply(
        &cluster,
        &namespace,
        json!({
            "apiVersion": "v1", "kind": "PersistentVolumeClaim", "metadata": {"name": "models"},
            "spec": {"accessModes": ["ReadWriteOnce"], "resources": {"requests": {"storage": "1Gi"}}},
        }),
    )
    .await?;
    // A StorageClass may bind only when the first pod uses the volume.
    let image = image(&cluster, "coredns", "coredns", "registry.k8s.io/coredns/coredns:v1.12.0").await?;
    apply(
        &cluster,
        &namespace,
        json!({
            "apiVersion": "v1", "kind": "Pod", "metadata": {"name": "user"},
            "spec": {
                "containers": [{
                    "name": "user", "image": image, "securityContext": restricted(),
                    "args": ["-dns.port=1053"], "volumeMounts": [{"name": "models", "mountPath": "/artifacts"}],
                }],
                "volumes": [{"name": "models", "persistentVolumeClaim": {"claimName": "models"}}],
            },
        }),
    )
    .await?;
    eventually("the claim is bound and its pod runs", TIMEOUT, async || {
        let of = |object: &'static str| ["-n", &namespace.name, "get", object, "-o", "jsonpath={.status.phase}"];
        let (claim, pod) = (cluster.kubectl(&of("pvc/models")).await?, cluster.kubectl(&of("pod/user")).await?);
        ensure!(claim == "Bound" && pod == "Running", "the claim is {claim}, the pod is {pod}");
        Ok(())
    })
    .await
}

#[tokio::test]
async fn the_metrics_api_has_the_usage_of_the_node() -> Result<()> {
    let cluster = e2e::cluster().await?;
    // metrics-server needs two scrapes, 15 s apart, after its start.
    eventually("kubectl top has the usage of a node", TIMEOUT, async || {
        let top = cluster.kubectl(&["top", "nodes"]).await?;
        ensure!(top.contains('%'), "no usage of a node in {top}");
        Ok(())
    })
    .await
}

#[tokio::test]
async fn prometheus_scrapes_the_kubelets_containers() -> Result<()> {
    let cluster = e2e::cluster().await?;
    eventually("container metrics exist", TIMEOUT, async || {
        let result =
            cluster.prometheus("container_start_time_seconds{namespace=\"kube-system\",container!=\"\"}").await?;
        ensure!(!result.is_empty(), "no series");
        Ok(())
    })
    .await
}

#[tokio::test]
async fn a_pod_that_is_not_restricted_is_refused() -> Result<()> {
    let cluster = e2e::cluster().await?;
    let namespace = cluster.namespace("refused").await?;
    let pod = json!({
        "apiVersion": "v1", "kind": "Pod", "metadata": {"name": "root"},
        "spec": {"containers": [{"name": "root", "image": "any", "securityContext": {"runAsUser": 0}}]},
    });
    let refusal = apply(&cluster, &namespace, pod).await.expect_err("Pod Security is enforced").to_string();
    ensure!(refusal.contains("violates PodSecurity \"restricted"), "{refusal}");
    Ok(())
}

#[tokio::test]
async fn requests_are_counted_and_attributed() -> Result<()> {
    let cluster = e2e::cluster().await?;
    let metrics = cluster.apiserver_metrics().await?;
    ensure!(metrics.contains("apiserver_request_total{"), "the API server counts no requests");
    if !cluster.is_ours() {
        return Ok(()); // the audit log of other clusters cannot be read
    }
    let agent = format!("cluster-test/{}", std::process::id());
    cluster.client_named(&agent).await?.apiserver_version().await?;
    eventually("the request is in the audit log", TIMEOUT, async || {
        let log = std::fs::read_to_string(cluster.audit_log()?)?;
        ensure!(log.contains(&agent), "{} lines without it", log.lines().count());
        Ok(())
    })
    .await
}
