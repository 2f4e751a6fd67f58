//! The cluster as tests and the demo use it: our own, or the one of `KUBECONFIG`.

use std::path::{Path, PathBuf};
use std::process::Stdio;
use std::sync::Arc;

use anyhow::{Context, Result, bail};
use http_body_util::{BodyExt, Empty};
use hyper_util::client::legacy::Client as HttpClient;
use hyper_util::client::legacy::connect::HttpConnector;
use hyper_util::rt::TokioExecutor;
use k8s_openapi::api::core::v1::Service;
use kube::api::Api;
use kube::config::{KubeConfigOptions, Kubeconfig};
use tokio::io::AsyncWriteExt;
use tokio::sync::OnceCell;

use crate::cluster::{self as host};
use crate::image::{Recipe, catalog, double};
use crate::lock::Lock;
use crate::progress::Progress;
use crate::{addons, command, contour, kueue, operator, paths, tools};

/// Environment variable with the operator image to use in a cluster that is not ours, into which images cannot be
/// loaded. The cluster must be able to pull it.
pub const OPERATOR_IMAGE_VARIABLE: &str = "E2E_OPERATOR_IMAGE";
/// As [`OPERATOR_IMAGE_VARIABLE`], for the example recommender.
pub const EXAMPLE_IMAGE_VARIABLE: &str = "E2E_EXAMPLE_IMAGE";
/// As [`OPERATOR_IMAGE_VARIABLE`], for the test double: a busybox whose user is not root.
pub const DOUBLE_IMAGE_VARIABLE: &str = "E2E_DOUBLE_IMAGE";
/// As [`OPERATOR_IMAGE_VARIABLE`], for the S3 server: versitygw as the image's entrypoint, with a user that is not root.
pub const S3_IMAGE_VARIABLE: &str = "E2E_S3_IMAGE";
/// As [`OPERATOR_IMAGE_VARIABLE`], for Kafka: Java and Kafka's jars on `CLASSPATH`, and `/etc/kafka/server.properties`.
pub const KAFKA_IMAGE_VARIABLE: &str = "E2E_KAFKA_IMAGE";
/// As [`OPERATOR_IMAGE_VARIABLE`], for Flink: a shell that takes a script as the image's entrypoint, Java, Flink's jars and the job
/// `Features` on `CLASSPATH`, and `/etc/flink/config.yaml`.
pub const FLINK_IMAGE_VARIABLE: &str = "E2E_FLINK_IMAGE";
/// As [`OPERATOR_IMAGE_VARIABLE`], for what a recommender stands on: a shell that takes a script as the image's entrypoint, and the
/// programs of `e2e/src/image/services.rs`.
pub const SERVICES_IMAGE_VARIABLE: &str = "E2E_SERVICES_IMAGE";
/// As [`OPERATOR_IMAGE_VARIABLE`], for Redis, rq-exporter and the programs in `e2e/images/workers/`.
pub const WORKERS_IMAGE_VARIABLE: &str = "E2E_WORKERS_IMAGE";

/// State that all clients of this process share.
#[derive(Default)]
struct Shared {
    kubeconfig: PathBuf,
    /// The lock that keeps our cluster in use as long as this process runs; None for a cluster of `KUBECONFIG`.
    ours: Option<Lock>,
    operator_image: OnceCell<String>,
    example_image: OnceCell<String>,
    double_image: OnceCell<String>,
    s3_image: OnceCell<String>,
    kafka_image: OnceCell<String>,
    flink_image: OnceCell<String>,
    services_image: OnceCell<String>,
    workers_image: OnceCell<String>,
}

/// Initialized by the first call of [`cluster`].
static SHARED: OnceCell<Arc<Shared>> = OnceCell::const_new();

/// A cluster that is ready for tests. Cheap to clone. Create one in each test, since its client belongs to the runtime
/// of the test.
#[derive(Clone)]
pub struct Cluster {
    shared: Arc<Shared>,
    client: kube::Client,
}

/// The cluster of `KUBECONFIG`, or our own, which is started if necessary. May be called from many threads and
/// processes at once: one starts the cluster, the others wait.
pub async fn cluster() -> Result<Cluster> {
    let shared = SHARED.get_or_try_init(connect).await?.clone();
    let client = client(&shared.kubeconfig, None).await?;
    Ok(Cluster { shared, client })
}

async fn connect() -> Result<Arc<Shared>> {
    let named = std::env::var_os("KUBECONFIG").filter(|value| !value.is_empty());
    let (kubeconfig, ours) = match named.map(PathBuf::from) {
        // `KUBECONFIG` may also name our own cluster. Then it must be running: it is not started, since the user chose
        // it.
        Some(path) if path == paths::kubeconfig() => (path, Some(host::in_use()?)),
        Some(path) => (path, None),
        None => (paths::kubeconfig(), Some(start().await?)),
    };
    Ok(Arc::new(Shared { kubeconfig, ours, ..Shared::default() }))
}

/// Our own cluster, regardless of `KUBECONFIG`. `lock` is the one that [`host::up`] returned.
pub(crate) async fn own(lock: Lock) -> Result<Cluster> {
    let kubeconfig = paths::kubeconfig();
    let client = client(&kubeconfig, None).await?;
    Ok(Cluster { shared: Arc::new(Shared { kubeconfig, ours: Some(lock), ..Shared::default() }), client })
}

async fn start() -> Result<Lock> {
    tokio::task::spawn_blocking(|| host::up(&Progress::quiet())).await?
}

async fn client(kubeconfig: &Path, user_agent: Option<&str>) -> Result<kube::Client> {
    let read = Kubeconfig::read_from(kubeconfig)
        .with_context(|| format!("cannot read the kubeconfig {}", kubeconfig.display()))?;
    let mut config = kube::Config::from_custom_kubeconfig(read, &KubeConfigOptions::default()).await?;
    if let Some(name) = user_agent {
        config.headers.push((http::header::USER_AGENT, name.parse()?));
    }
    Ok(kube::Client::try_from(config)?)
}

impl Cluster {
    /// A client with the rights of an administrator.
    pub fn client(&self) -> kube::Client {
        self.client.clone()
    }

    /// As [`Cluster::client`], with its own `userAgent` in the audit log, so that its requests can be counted.
    pub async fn client_named(&self, user_agent: &str) -> Result<kube::Client> {
        client(&self.shared.kubeconfig, Some(user_agent)).await
    }

    /// The kubeconfig of an administrator.
    pub fn kubeconfig(&self) -> &Path {
        &self.shared.kubeconfig
    }

    /// Whether it is the cluster that this crate starts.
    pub fn is_ours(&self) -> bool {
        self.shared.ours.is_some()
    }

    /// The API server's audit log: one JSON object (`audit.k8s.io/v1` Event, metadata level) per line, of the stage
    /// `ResponseComplete`, and for watches also `ResponseStarted`. Only in our cluster.
    pub fn audit_log(&self) -> Result<PathBuf> {
        if !self.is_ours() {
            bail!("only the cluster that the tests start has an audit log: unset KUBECONFIG for this test");
        }
        Ok(paths::audit_log())
    }

    /// Runs kubectl and returns what it prints.
    pub async fn kubectl(&self, arguments: &[&str]) -> Result<String> {
        self.run("kubectl", arguments, "").await
    }

    /// Runs kubectl with `input` on stdin, as for `kubectl apply -f -`.
    pub async fn kubectl_with_input(&self, arguments: &[&str], input: &str) -> Result<String> {
        self.run("kubectl", arguments, input).await
    }

    /// Runs helm and returns what it prints.
    pub async fn helm(&self, arguments: &[&str]) -> Result<String> {
        self.run("helm", arguments, "").await
    }

    async fn run(&self, program: &'static str, arguments: &[&str], input: &str) -> Result<String> {
        let path = tokio::task::spawn_blocking(move || tools::program(program)).await??;
        let mut command = tokio::process::Command::new(path);
        command
            .args(arguments)
            .env("KUBECONFIG", &self.shared.kubeconfig)
            .current_dir(paths::repository())
            .stdin(Stdio::piped())
            .stdout(Stdio::piped())
            .stderr(Stdio::piped())
            .kill_on_drop(true);
        let mut child = command.spawn().with_context(|| format!("cannot run {program}"))?;
        let mut stdin = child.stdin.take().context("stdin is piped")?;
        let feed = async {
            // A program that exits before it has read everything reports the reason itself.
            let _ = stdin.write_all(input.as_bytes()).await;
            drop(stdin);
        };
        let (output, ()) = tokio::join!(child.wait_with_output(), feed);
        command::checked(command.as_std(), output?)
    }

    /// The API server's own metrics, in Prometheus's text format.
    pub async fn apiserver_metrics(&self) -> Result<String> {
        let request = http::Request::get("/metrics").body(Vec::new())?;
        Ok(self.client.request_text(request).await?)
    }

    /// Sends a GET request to a Service and returns status code and body. In our cluster it goes from the host to the
    /// ClusterIP. In other clusters Services cannot be reached from here, so it goes through the proxy of the API
    /// server.
    pub async fn service_get(&self, namespace: &str, service: &str, port: u16, path: &str) -> Result<(u16, String)> {
        if !self.is_ours() {
            let url = format!("/api/v1/namespaces/{namespace}/services/{service}:{port}/proxy{path}");
            let request = http::Request::get(url).body(kube::client::Body::empty())?;
            let response = self.client.send(request).await?;
            let status = response.status().as_u16();
            let body = response.into_body().collect().await?.to_bytes();
            return Ok((status, String::from_utf8_lossy(&body).into_owned()));
        }
        let services: Api<Service> = Api::namespaced(self.client(), namespace);
        let found = services.get(service).await?;
        let address = found.spec.and_then(|spec| spec.cluster_ip).filter(|address| address != "None");
        let address = address.with_context(|| format!("the Service {namespace}/{service} has no cluster IP"))?;
        http_get(&format!("http://{address}:{port}{path}")).await
    }

    /// The result of an instant query (`data.result`) to the Prometheus in the namespace `monitoring`.
    pub async fn prometheus(&self, query: &str) -> Result<Vec<serde_json::Value>> {
        let (status, body) = self.service_get("monitoring", "prometheus", 9090, &query_path(query)).await?;
        query_result(query, status, &body)
    }

    /// `repository:tag` of the operator built from this checkout, loaded into the cluster.
    pub async fn operator_image(&self) -> Result<String> {
        let make = || self.image(OPERATOR_IMAGE_VARIABLE, "operator image", catalog::operator);
        self.shared.operator_image.get_or_try_init(make).await.cloned()
    }

    /// `repository:tag` of the example recommender, loaded into the cluster.
    pub async fn example_image(&self) -> Result<String> {
        let make = || self.image(EXAMPLE_IMAGE_VARIABLE, "example image", catalog::example);
        self.shared.example_image.get_or_try_init(make).await.cloned()
    }

    /// `repository:tag` of the test double for trainers and servers, loaded into the cluster: a shell and small
    /// commands.
    pub async fn double_image(&self) -> Result<String> {
        let make = || self.image(DOUBLE_IMAGE_VARIABLE, "test double's image", |_| double::recipe());
        self.shared.double_image.get_or_try_init(make).await.cloned()
    }

    /// `repository:tag` of an S3 server, loaded into the cluster. The program is built on first use.
    pub async fn s3_image(&self) -> Result<String> {
        let make =
            || self.image(S3_IMAGE_VARIABLE, "S3 server's image", |_| catalog::go_program("versitygw", "versitygw"));
        self.shared.s3_image.get_or_try_init(make).await.cloned()
    }

    /// `repository:tag` of a Kafka broker, loaded into the cluster.
    pub async fn kafka_image(&self) -> Result<String> {
        let make = || self.image(KAFKA_IMAGE_VARIABLE, "Kafka's image", catalog::kafka);
        self.shared.kafka_image.get_or_try_init(make).await.cloned()
    }

    /// `repository:tag` of Flink with a job, loaded into the cluster.
    pub async fn flink_image(&self) -> Result<String> {
        let make = || self.image(FLINK_IMAGE_VARIABLE, "Flink's image", catalog::flink);
        self.shared.flink_image.get_or_try_init(make).await.cloned()
    }

    /// `repository:tag` of PostgreSQL, FerretDB, Redis, NGINX, RabbitMQ, an S3 server and exporters, loaded into the cluster.
    pub async fn services_image(&self) -> Result<String> {
        let make = || self.image(SERVICES_IMAGE_VARIABLE, "services' image", catalog::services);
        self.shared.services_image.get_or_try_init(make).await.cloned()
    }

    /// `repository:tag` of consumers, producers, rq-exporter and Redis, loaded into the cluster.
    pub async fn workers_image(&self) -> Result<String> {
        let make = || self.image(WORKERS_IMAGE_VARIABLE, "workers' image", catalog::workers);
        self.shared.workers_image.get_or_try_init(make).await.cloned()
    }

    /// Installs the operator once, for all namespaces, from its chart and with [`Cluster::operator_image`]. The demo
    /// and all tests share it. Its Deployment and namespace are named [`crate::operator::RELEASE`]. A cluster of
    /// `KUBECONFIG` must have it already.
    pub async fn operator(&self) -> Result<()> {
        if !self.is_ours() {
            let name = format!("deployment/{}", operator::RELEASE);
            let wait = ["-n", operator::RELEASE, "rollout", "status", &name, "--timeout=60s"];
            return self.kubectl(&wait).await.map(drop);
        }
        let image = self.operator_image().await?;
        tokio::task::spawn_blocking(move || {
            let progress = Progress::quiet();
            let _changing = host::lock_for_change(&progress)?;
            operator::install(&image)
        })
        .await?
    }

    /// Starts the metric source `steady` of the operator, once: a Prometheus that only the rules with the label `prometheus: steady` can
    /// restart. A cluster of `KUBECONFIG` must have such a source already.
    pub async fn steady_prometheus(&self) -> Result<()> {
        if !self.is_ours() {
            return Ok(());
        }
        tokio::task::spawn_blocking(|| {
            let _changing = host::lock_for_change(&Progress::quiet())?;
            addons::steady_prometheus()
        })
        .await?
    }

    /// Installs Kueue once, for the Jobs of `namespace` and of all others with its [`kueue::LABEL`]. A cluster of `KUBECONFIG` must
    /// have it already. The program is built on first use.
    pub async fn kueue(&self, namespace: &str) -> Result<()> {
        self.kubectl(&["label", "namespace", namespace, &format!("{}=true", kueue::LABEL)]).await?;
        if !self.is_ours() {
            return self.kubectl(&["get", "crd", "localqueues.kueue.x-k8s.io"]).await.map(drop);
        }
        let image = load("Kueue's image", |_| catalog::kueue()).await?;
        tokio::task::spawn_blocking(move || {
            let _changing = host::lock_for_change(&Progress::quiet())?;
            kueue::install(&image)
        })
        .await?
    }

    /// Starts a Gateway with its controller in `namespace` for routes of `served`, see [`contour`]. Only in our cluster. Its program is
    /// built on first use.
    pub async fn gateway(&self, namespace: &str, served: &str) -> Result<()> {
        if !self.is_ours() {
            bail!("a Gateway is only run in the cluster that the tests start: unset KUBECONFIG for this test");
        }
        let image = load("the Gateway's image", |_| catalog::gateway()).await?;
        let (namespace, served) = (namespace.to_owned(), served.to_owned());
        tokio::task::spawn_blocking(move || {
            let _changing = host::lock_for_change(&Progress::quiet())?;
            contour::install(&image, &namespace, &served)
        })
        .await?
    }

    async fn image(
        &self,
        variable: &str,
        step: &'static str,
        recipe: fn(Option<&Progress>) -> Result<Recipe>,
    ) -> Result<String> {
        if let Ok(image) = std::env::var(variable) {
            return Ok(image);
        }
        if !self.is_ours() {
            bail!("images cannot be loaded into the cluster of KUBECONFIG: set {variable} to one that it can pull");
        }
        load(step, recipe).await
    }
}

/// Builds an image and loads it into our cluster.
async fn load(step: &'static str, recipe: fn(Option<&Progress>) -> Result<Recipe>) -> Result<String> {
    tokio::task::spawn_blocking(move || {
        let progress = Progress::quiet();
        progress.step(step, || {
            // A build takes long and does not change the cluster, so it holds no lock.
            let recipe = recipe(Some(&progress))?;
            let _changing = host::lock_for_change(&progress)?;
            recipe.load()
        })
    })
    .await?
}

/// Sends a GET request without following redirects and returns status code and body.
pub async fn http_get(url: &str) -> Result<(u16, String)> {
    let client: HttpClient<HttpConnector, Empty<&[u8]>> =
        HttpClient::builder(TokioExecutor::new()).build(HttpConnector::new());
    let answer = async {
        let response = client.get(url.parse()?).await?;
        let status = response.status().as_u16();
        let body = response.into_body().collect().await?.to_bytes();
        anyhow::Ok((status, String::from_utf8_lossy(&body).into_owned()))
    };
    let answer = tokio::time::timeout(std::time::Duration::from_secs(10), answer).await;
    answer.context("no answer in 10 s").flatten().with_context(|| format!("GET {url}"))
}

/// The path of an instant query to a Prometheus.
pub fn query_path(query: &str) -> String {
    format!("/api/v1/query?query={}", percent_encoded(query))
}

/// The result (`data.result`) of an instant query.
///
/// # Errors
/// What was answered instead.
pub fn query_result(query: &str, status: u16, body: &str) -> Result<Vec<serde_json::Value>> {
    let mut answer: serde_json::Value =
        serde_json::from_str(body).with_context(|| format!("Prometheus answered {status}: {body}"))?;
    match answer["data"]["result"].take() {
        serde_json::Value::Array(result) if status == 200 => Ok(result),
        _ => bail!("Prometheus does not answer {query:?} ({status}): {body}"),
    }
}

fn percent_encoded(text: &str) -> String {
    let encode = |byte: u8| match byte {
        b'a'..=b'z' | b'A'..=b'Z' | b'0'..=b'9' | b'-' | b'_' | b'.' | b'~' => char::from(byte).to_string(),
        _ => format!("%{byte:02X}"),
    };
    text.bytes().map(encode).collect()
}

#[cfg(test)]
mod tests {
    #[test]
    fn queries_are_percent_encoded() {
        assert_eq!(super::percent_encoded("up{a=\"b c\"}"), "up%7Ba%3D%22b%20c%22%7D");
    }
}
