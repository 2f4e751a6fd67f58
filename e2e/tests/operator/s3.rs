//! Model versions in a bucket: the example recommender, an S3 server in the cluster, and a Secret that only pods read.

use std::fmt::Debug;

use anyhow::{Context, Result, ensure};
use k8s_openapi::{
    NamespaceResourceScope,
    api::{
        apps::v1::Deployment,
        core::v1::{Secret, Service},
    },
};
use kube::{
    Resource,
    api::{Patch, PatchParams, PostParams},
};
use recommender_operator::api::{RecommenderModel, Version};
use serde::{Serialize, de::DeserializeOwned};
use serde_json::{Value, json};

use crate::{
    audit::Audit,
    bed::{Bed, TIMEOUT, has_message, is, training},
};

/// The RecommenderModel.
const NAME: &str = "packages";

/// The bucket for versions.
const BUCKET: &str = "models";
/// The prefix of versions in the bucket.
const PREFIX: &str = "recommenders";

/// The Secret with the credentials of the pods.
const SECRET: &str = "packages-s3";
/// The access key ID.
const ACCESS_KEY: &str = "trainer";
/// The secret access key that the S3 server accepts.
const RIGHT: &str = "the-secret-that-the-server-knows";
/// A secret access key that the S3 server refuses.
const WRONG: &str = "a-secret-with-a-typing-error";

/// The S3 server: name of its Deployment, its Service and the Secret with its own copy of the credentials.
const STORE: &str = "store";
/// The port of the S3 server.
const PORT: u16 = 9000;
/// The data directory of the S3 server. Its subdirectories are buckets.
const ROOT: &str = "/data";

/// As users may experience it: first the Secret is missing, then wrong, then right.
pub async fn versions_are_stored_in_a_bucket_and_a_missing_or_wrong_secret_is_reported() -> Result<()> {
    let bed = Bed::new("s3").await?;
    let audit = Audit::from_now(&bed.cluster)?;
    // Build both images before anything runs: a first build takes minutes, and the run below has a deadline.
    let (image, server) = (bed.cluster.example_image().await?, bed.cluster.s3_image().await?);
    bed.create(NAME, in_bucket(&bed, &image)).await?;
    run_store(&bed, &server).await?;

    a_missing_secret_is_reported(&bed).await?;
    set_secret(&bed, WRONG).await?;
    a_wrong_secret_is_reported(&bed).await?;
    set_secret(&bed, RIGHT).await?;
    bed.request(NAME, "full with the right secret").await?;
    let model = bed.served(NAME).await?;

    let version = the_version_is_in_the_bucket(&bed, &model).await?;
    it_answers(&bed, &version).await?;
    only_pods_read_secrets(&bed, &audit)?;
    no_secret_is_leaked(&bed).await
}

/// The example recommender, with a bucket instead of the claim.
fn in_bucket(bed: &Bed, image: &str) -> Value {
    let s3 = json!({
        "uri": format!("s3://{BUCKET}/{PREFIX}"),
        "endpoint": format!("http://{STORE}.{}:{PORT}", bed.namespace),
        "credentialsSecret": {"name": SECRET},
    });
    json!({"spec": {
        "artifacts": {"persistentVolumeClaim": null, "s3": s3},
        "training": {"image": image, "full": {"command": null, "args": ["train", "--full"], "deadlineSeconds": 600}},
        "serving": {"image": image, "command": null, "args": ["serve"]},
    }})
}

/// Starts the S3 server and waits until it is ready.
async fn run_store(bed: &Bed, server: &str) -> Result<()> {
    let credentials = json!({
        "metadata": {"name": STORE},
        "stringData": {"ROOT_ACCESS_KEY_ID": ACCESS_KEY, "ROOT_SECRET_ACCESS_KEY": RIGHT},
    });
    create::<Secret>(bed, credentials).await?;
    let ports = json!([{"port": PORT}]);
    create::<Service>(bed, json!({"metadata": {"name": STORE}, "spec": {"selector": {"app": STORE}, "ports": ports}}))
        .await?;
    create::<Deployment>(bed, store(server, bed.image())).await?;
    e2e::until(&bed.api::<Deployment>(), STORE, "is ready", TIMEOUT, |deployment| {
        deployment.status.as_ref().and_then(|status| status.ready_replicas) == Some(1)
    })
    .await
    .map(drop)
}

/// The Deployment of the S3 server, which stores objects as files. `shell` is an image with a shell: it creates the
/// bucket, and lets the test read the files directly.
fn store(server: &str, shell: &str) -> Value {
    let bucket = [("command", json!(["mkdir", format!("{ROOT}/{BUCKET}")]))];
    let serve = [
        ("args", json!(["--port", format!(":{PORT}"), "--health", "/health", "posix", ROOT])),
        ("envFrom", json!([{"secretRef": {"name": STORE}}])),
        ("readinessProbe", json!({"httpGet": {"path": "/health", "port": PORT}, "periodSeconds": 1})),
    ];
    let wait = [("command", json!(["sleep", "3600"]))];
    let pod = json!({
        "automountServiceAccountToken": false,
        "terminationGracePeriodSeconds": 1,
        "securityContext": {"runAsNonRoot": true, "fsGroup": 65532, "seccompProfile": {"type": "RuntimeDefault"}},
        "volumes": [{"name": "data", "emptyDir": {}}],
        "initContainers": [container("bucket", shell, bucket)],
        "containers": [container("server", server, serve), container("shell", shell, wait)],
    });
    json!({
        "metadata": {"name": STORE},
        "spec": {
            "selector": {"matchLabels": {"app": STORE}},
            "template": {"metadata": {"labels": {"app": STORE}}, "spec": pod},
        },
    })
}

/// A container that complies with the Pod Security level `restricted`, with the data volume.
fn container<const N: usize>(name: &str, image: &str, fields: [(&str, Value); N]) -> Value {
    let mut container = json!({
        "name": name,
        "image": image,
        "securityContext": {
            "allowPrivilegeEscalation": false, "readOnlyRootFilesystem": true, "capabilities": {"drop": ["ALL"]},
        },
        "volumeMounts": [{"name": "data", "mountPath": ROOT}],
    });
    for (field, value) in fields {
        container[field] = value;
    }
    container
}

async fn create<K>(bed: &Bed, object: Value) -> Result<()>
where
    K: Resource<Scope = NamespaceResourceScope, DynamicType = ()>,
    K: Clone + Debug + DeserializeOwned + Serialize,
{
    let object: K = serde_json::from_value(object)?;
    bed.api::<K>().create(&PostParams::default(), &object).await?;
    Ok(())
}

/// Creates or changes the Secret that the object names.
async fn set_secret(bed: &Bed, secret_access_key: &str) -> Result<()> {
    let secret = json!({
        "apiVersion": "v1",
        "kind": "Secret",
        "metadata": {"name": SECRET},
        "stringData": {"AWS_ACCESS_KEY_ID": ACCESS_KEY, "AWS_SECRET_ACCESS_KEY": secret_access_key},
    });
    let apply = PatchParams::apply("test").force();
    bed.api::<Secret>().patch(SECRET, &apply, &Patch::Apply(secret)).await?;
    Ok(())
}

/// The run waits for the Secret, and continues by itself once it exists.
async fn a_missing_secret_is_reported(bed: &Bed) -> Result<()> {
    let missing = format!("secret '{SECRET}' not found");
    let reported = bed
        .until(NAME, "reports the missing secret", |model| {
            has_message(model, "TrainingReady", "TrainingBlocked", &missing)
        })
        .await?;
    ensure!(is(&reported, "Ready", "False") && training(&reported).last.is_none(), "{:#?}", reported.status);
    Ok(())
}

/// The condition shows the error code of S3, which is documented everywhere, and what to check.
async fn a_wrong_secret_is_reported(bed: &Bed) -> Result<()> {
    let refused = "403 SignatureDoesNotMatch from the store: check AWS_ACCESS_KEY_ID, AWS_SECRET_ACCESS_KEY";
    let reported = bed
        .until(NAME, "reports the wrong credentials", |model| {
            has_message(model, "TrainingReady", "TrainingFailed", refused)
        })
        .await?;
    ensure!(is(&reported, "Ready", "False") && is(&reported, "Stalled", "True"), "{:#?}", reported.status);
    ensure!(versions(&reported).is_empty(), "{:?}", versions(&reported));
    let files = in_store(bed, &["busybox", "find", &format!("{ROOT}/{BUCKET}"), "-type", "f"]).await?;
    ensure!(files.is_empty(), "something was stored without permission:\n{files}");
    Ok(())
}

/// The bucket contains what the trainer reported, read from the disk of the server.
async fn the_version_is_in_the_bucket(bed: &Bed, model: &RecommenderModel) -> Result<Version> {
    let trained = versions(model);
    let [version] = &trained[..] else { anyhow::bail!("one version was trained, not {trained:?}") };
    let base = format!("s3://{BUCKET}/{PREFIX}/{}/{NAME}/{}/", bed.namespace, version.id);
    let key = version.uri.strip_prefix("s3://").filter(|_| version.uri.starts_with(&base));
    let key = key.with_context(|| format!("{} is not below {base}", version.uri))?;
    let file = format!("{ROOT}/{key}");
    let listed = in_store(bed, &["sha256sum", &file]).await?;
    let digest = format!("sha256:{}", listed.split_whitespace().next().unwrap_or_default());
    ensure!(digest == version.digest, "{file} has {digest}, reported was {}", version.digest);
    let bytes = in_store(bed, &["busybox", "wc", "-c", &file]).await?;
    ensure!(bytes.split_whitespace().next() == Some(&version.bytes.to_string()), "{bytes} instead of {version:?}");
    Ok(version.clone())
}

/// The servers have loaded that version from the bucket.
async fn it_answers(bed: &Bed, version: &Version) -> Result<()> {
    let answer: Value = serde_json::from_str(&bed.answers(NAME, "/recommendations/python3-flask?limit=3").await?)?;
    ensure!(answer["version"] == version.id.as_str(), "another version answers: {answer}");
    let recommended = answer["recommendations"].as_array().context("there are recommendations")?;
    ensure!(recommended.len() == 3, "{answer}");
    let health: Value = serde_json::from_str(&bed.answers(NAME, "/health").await?)?;
    ensure!(health["digest"] == version.digest.as_str(), "another artifact is loaded: {health}");
    Ok(())
}

/// The operator never requests a Secret. The requests of the kubelet show that the audit log would contain them.
fn only_pods_read_secrets(bed: &Bed, audit: &Audit) -> Result<()> {
    let of_secrets = audit.requests("\"secrets\"")?;
    let own: Vec<_> = of_secrets.iter().filter(|request| request.is_operators()).collect();
    ensure!(own.is_empty(), "the operator requested secrets: {own:?}");
    let kubelets = of_secrets.iter().any(|request| {
        request.user.starts_with("system:node:") && request.namespace == bed.namespace.name && request.name == SECRET
    });
    ensure!(kubelets, "the kubelet's requests for {SECRET} are not in the audit log");
    ensure!(!audit.of_operator_in(&bed.namespace.name)?.is_empty(), "the operator's requests are not in the audit log");
    Ok(())
}

/// Neither objects of the operator nor logs of the pods contain the credentials.
async fn no_secret_is_leaked(bed: &Bed) -> Result<()> {
    let ours = "recommendermodels,jobs,deployments,pods,replicasets,events";
    let mut texts = bed.cluster.kubectl(&["-n", &bed.namespace.name, "get", ours, "-o", "json"]).await?;
    let of_model = format!("--selector=recommender.dev/model={NAME}");
    texts += &bed.cluster.kubectl(&["-n", &bed.namespace.name, "logs", &of_model, "--tail=-1"]).await?;
    ensure!(texts.contains("SignatureDoesNotMatch") && texts.contains("version trained"), "the logs are missing");
    for secret in [RIGHT, WRONG] {
        let found = texts.lines().find(|line| line.contains(secret));
        ensure!(found.is_none(), "the secret is leaked: {found:?}");
    }
    Ok(())
}

fn versions(model: &RecommenderModel) -> Vec<Version> {
    model.status.as_ref().map(|status| status.versions.clone()).unwrap_or_default()
}

/// Runs a command in the pod of the S3 server.
async fn in_store(bed: &Bed, command: &[&str]) -> Result<String> {
    let deployment = format!("deployment/{STORE}");
    let exec = ["-n", &bed.namespace.name, "exec", &deployment, "--container=shell", "--"];
    bed.cluster.kubectl(&[&exec, command].concat()).await
}
