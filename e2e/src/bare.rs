//! An API server with its etcd and no other component, for tests that change what all objects share (missing kinds, wrong
//! schemas) and for measurements. Its files are in a temporary directory, and it ends with the test.

use std::{
    fs,
    net::TcpListener,
    path::{Path, PathBuf},
    process::{Child, Command, Stdio},
    sync::atomic::{AtomicU16, Ordering},
    time::Duration,
};

use anyhow::{Context, Result, ensure};
use k8s_openapi::apiextensions_apiserver::pkg::apis::apiextensions::v1::CustomResourceDefinition;
use kube::{Api, Client, Config, api::PostParams, config::AuthInfo};
use serde_json::json;

use crate::{
    command,
    pki::Pki,
    process, tools,
    wait::{eventually, until},
};

/// How long a definition may take until its kind is served.
const DEFINE_TIMEOUT: Duration = Duration::from_secs(180);

/// How long an API server may take to be ready: some seconds of a core, and three may start at the same time.
const START_TIMEOUT: Duration = Duration::from_secs(240);

/// The bearer token of the tests, which has all rights.
const TOKEN: &str = "bare-admin";

/// A running API server. Dropping it stops it and removes its files.
pub struct Bare {
    directory: PathBuf,
    port: u16,
    processes: Vec<Child>,
}

impl Bare {
    /// Starts etcd and an API server on free ports and waits until it is ready.
    pub async fn start() -> Result<Self> {
        // Build the programs now, outside of the threads of the runtime.
        tokio::task::spawn_blocking(|| tools::program("etcd").and(tools::program("kube-apiserver"))).await??;
        let directory = std::env::temp_dir().join(format!("recommender-bare-{}-{}", std::process::id(), free_port()?));
        fs::create_dir_all(&directory)?;
        let mut bare = Self { directory, port: free_port()?, processes: Vec::new() };
        let etcd = bare.start_etcd()?;
        bare.start_api_server(&etcd)?;
        let client = bare.client()?;
        eventually("the API server is ready", START_TIMEOUT, async || {
            bare.ensure_running()?;
            let request = http::Request::get("/readyz").body(Vec::new())?;
            Ok(client.request_text(request).await.map(drop)?)
        })
        .await?;
        Ok(bare)
    }

    /// A client configuration with the API server's address and the rights of an administrator.
    pub fn config(&self) -> Result<Config> {
        let mut config = Config::new(format!("https://127.0.0.1:{}", self.port).parse()?);
        config.accept_invalid_certs = true; // its certificate is self-signed
        config.auth_info = AuthInfo { token: Some(TOKEN.to_owned().into()), ..AuthInfo::default() };
        Ok(config)
    }

    /// A client with the rights of an administrator.
    pub fn client(&self) -> Result<Client> {
        Ok(Client::try_from(self.config()?)?)
    }

    /// CPU seconds that etcd and the API server have used so far, in this order.
    pub fn cpu_seconds(&self) -> Result<[f64; 2]> {
        let [etcd, api_server] = [0, 1].map(|index| process::cpu_seconds(self.processes[index].id()));
        Ok([etcd?, api_server?])
    }

    fn start_etcd(&mut self) -> Result<String> {
        let (client, peer) = (free_port()?, free_port()?);
        let [client, peer] = [client, peer].map(|port| format!("http://127.0.0.1:{port}"));
        let data = self.directory.join("etcd");
        let args = [
            "--unsafe-no-fsync".to_owned(),
            format!("--data-dir={}", data.display()),
            format!("--listen-client-urls={client}"),
            format!("--advertise-client-urls={client}"),
            format!("--listen-peer-urls={peer}"),
            format!("--initial-advertise-peer-urls={peer}"),
            format!("--initial-cluster=default={peer}"),
            "--log-level=warn".to_owned(),
        ];
        self.spawn("etcd", &args)?;
        Ok(client)
    }

    fn start_api_server(&mut self, etcd: &str) -> Result<()> {
        let pki = self.directory.join("pki");
        Pki::create(&pki)?.key_pair("service-account")?;
        let tokens = self.directory.join("tokens.csv");
        fs::write(&tokens, format!("{TOKEN},admin,admin,system:masters\n"))?;
        let file = |directory: &Path, name: &str| directory.join(name).display().to_string();
        let args = [
            format!("--etcd-servers={etcd}"),
            "--bind-address=127.0.0.1".to_owned(),
            format!("--secure-port={}", self.port),
            format!("--cert-dir={}", file(&self.directory, "certificates")),
            format!("--token-auth-file={}", tokens.display()),
            "--authorization-mode=RBAC".to_owned(),
            "--service-cluster-ip-range=198.18.128.0/17".to_owned(),
            "--service-account-issuer=https://bare.test".to_owned(),
            format!("--service-account-key-file={}", file(&pki, "service-account.pub")),
            format!("--service-account-signing-key-file={}", file(&pki, "service-account.key")),
        ];
        self.spawn("kube-apiserver", &args)
    }

    fn spawn(&mut self, name: &str, args: &[String]) -> Result<()> {
        let log = fs::File::create(self.log(name))?;
        let child = Command::new(tools::program(name)?)
            .args(args)
            .stdin(Stdio::null())
            .stdout(log.try_clone()?)
            .stderr(log)
            .spawn()
            .with_context(|| format!("cannot start {name}"))?;
        self.processes.push(child);
        Ok(())
    }

    fn ensure_running(&mut self) -> Result<()> {
        for (name, child) in ["etcd", "kube-apiserver"].into_iter().zip(&mut self.processes) {
            if let Some(status) = child.try_wait()? {
                let log = fs::read(self.directory.join(format!("{name}.log"))).unwrap_or_default();
                let lines = command::last_lines(&String::from_utf8_lossy(&log), 15);
                ensure!(false, "{name} ended while starting ({status}). The end of its log:\n{lines}");
            }
        }
        Ok(())
    }

    fn log(&self, name: &str) -> PathBuf {
        self.directory.join(format!("{name}.log"))
    }
}

impl Drop for Bare {
    fn drop(&mut self) {
        for child in self.processes.iter_mut().rev() {
            // No data is kept, so it need not stop gracefully.
            let _ = child.kill();
            let _ = child.wait();
        }
        let _ = fs::remove_dir_all(&self.directory);
    }
}

/// Defines a kind and waits until it is served.
pub async fn define(client: &Client, definition: &CustomResourceDefinition) -> Result<()> {
    let definitions: Api<CustomResourceDefinition> = Api::all(client.clone());
    let name = definition.metadata.name.clone().context("a definition has a name")?;
    definitions.create(&PostParams::default(), definition).await?;
    until_served(client, &name).await
}

/// Waits until the kind of the definition is served.
pub async fn until_served(client: &Client, definition: &str) -> Result<()> {
    let definitions: Api<CustomResourceDefinition> = Api::all(client.clone());
    until(&definitions, definition, "is served", DEFINE_TIMEOUT, |definition| {
        let conditions = definition.status.as_ref().and_then(|status| status.conditions.as_ref());
        conditions.into_iter().flatten().any(|c| c.type_ == "Established" && c.status == "True")
    })
    .await
    .map(drop)
}

/// A minimal definition of a kind of prometheus-operator.
pub fn monitoring_definition(kind: &str, plural: &str) -> Result<CustomResourceDefinition> {
    definition("monitoring.coreos.com", kind, plural)
}

/// A minimal definition of a kind of a group.
pub fn definition(group: &str, kind: &str, plural: &str) -> Result<CustomResourceDefinition> {
    let definition = json!({
        "metadata": {"name": format!("{plural}.{group}")},
        "spec": {
            "group": group, "scope": "Namespaced",
            "names": {"kind": kind, "plural": plural, "singular": kind.to_lowercase(), "listKind": format!("{kind}List")},
            "versions": [{
                "name": "v1", "served": true, "storage": true,
                "schema": {"openAPIV3Schema": {"type": "object", "x-kubernetes-preserve-unknown-fields": true}},
            }],
        },
    });
    Ok(serde_json::from_value(definition)?)
}

/// A free port, another one at every call. A port chosen by the kernel could be assigned again, to a connection or to
/// another caller, before a server listens on it. So these ports are below the range of the kernel.
pub fn free_port() -> Result<u16> {
    static NEXT: AtomicU16 = AtomicU16::new(0);
    let begin = std::process::id() % 1000 * 10;
    let candidates = (0..10_000).map(|_| {
        let next = begin + u32::from(NEXT.fetch_add(1, Ordering::Relaxed));
        20_000 + (next % 10_000) as u16
    });
    let mut free = candidates.filter(|port| TcpListener::bind(("127.0.0.1", *port)).is_ok());
    free.next().context("no port from 20000 to 29999 is free")
}
