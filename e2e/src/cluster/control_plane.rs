//! etcd, the API server, the controller manager and the scheduler.

use std::fs;
use std::process::Command;
use std::time::Duration;

use anyhow::{Context, Result, ensure};
use serde_json::json;

use super::network::{API_SERVER, API_SERVICE, NODE_ADDRESS, NODE_NAME, POD_SUBNET, SERVICE_SUBNET};
use crate::pki::Pki;
use crate::process::{self, Daemon};
use crate::{command, paths, tools};

/// How long a process may take to get ready: some seconds on two fast cores.
const TIMEOUT: Duration = Duration::from_secs(180);

/// Creates all certificates, keys and kubeconfigs of the cluster.
pub fn make_certificates() -> Result<()> {
    let directory = paths::state().join("pki");
    let pki = Pki::create(&directory)?;
    pki.server("etcd", "etcd", &[NODE_ADDRESS])?;
    let names = [
        NODE_ADDRESS,
        API_SERVICE,
        "127.0.0.1",
        "localhost",
        "kubernetes",
        "kubernetes.default",
        "kubernetes.default.svc",
        "kubernetes.default.svc.cluster.local",
    ];
    pki.server("kube-apiserver", "kube-apiserver", &names)?;
    pki.client("etcd-client", "kube-apiserver", None)?;
    pki.client("kubelet-client", "kube-apiserver-kubelet-client", Some("system:masters"))?;
    pki.client("front-proxy", "front-proxy", None)?;
    pki.key_pair("service-account")?;
    pki.server("kubelet", NODE_NAME, &[NODE_ADDRESS, NODE_NAME])?;

    let node = format!("system:node:{NODE_NAME}");
    let clients = [
        ("admin", "admin", Some("system:masters")),
        ("kube-controller-manager", "system:kube-controller-manager", None),
        ("kube-scheduler", "system:kube-scheduler", None),
        ("kube-proxy", "system:kube-proxy", None),
        ("node", node.as_str(), Some("system:nodes")),
    ];
    for (file, common_name, group) in clients {
        pki.client(file, common_name, group)?;
        pki.kubeconfig(file, API_SERVER, &kubeconfig_of(file))?;
    }
    fs::copy(kubeconfig_of("admin"), paths::kubeconfig()).context("cannot write the kubeconfig")?;
    Ok(())
}

/// The kubeconfig of a component of the cluster.
pub fn kubeconfig_of(client: &str) -> std::path::PathBuf {
    paths::state().join("pki").join(format!("{client}.kubeconfig"))
}

/// The path of a certificate or key.
pub fn pki_file(name: &str) -> String {
    paths::state().join("pki").join(name).display().to_string()
}

/// Starts etcd and the API server, and waits until the API server is ready.
pub fn start_api_server() -> Result<()> {
    process::start(etcd()?)?;
    write_api_server_files()?;
    let mut server = process::start(api_server()?)?;
    let kubectl = tools::program("kubectl")?;
    server.wait_ready(TIMEOUT, || {
        // An API server that does not get ready often waits for etcd.
        ensure!(process::is_running("etcd"), "etcd ended. {}", process::log_tail("etcd"));
        let mut ready = Command::new(&kubectl);
        ready.arg("--kubeconfig").arg(paths::kubeconfig()).args(["get", "--raw", "/readyz"]);
        command::output(&mut ready).map(drop)
    })
}

/// Starts the controller manager and the scheduler. The API server must be ready, otherwise they exit.
pub fn start_controllers() -> Result<()> {
    let mut manager = process::start(controller_manager()?)?;
    let mut scheduler = process::start(scheduler()?)?;
    manager.wait_ready(TIMEOUT, || listens(10257))?;
    scheduler.wait_ready(TIMEOUT, || listens(10259))
}

/// Fails unless a process accepts connections on this port of the node.
pub fn listens(port: u16) -> Result<()> {
    let address = std::net::SocketAddr::new(NODE_ADDRESS.parse()?, port);
    std::net::TcpStream::connect_timeout(&address, Duration::from_secs(1))
        .with_context(|| format!("nothing listens on {address}"))?;
    Ok(())
}

fn etcd() -> Result<Daemon> {
    let client = format!("https://{NODE_ADDRESS}:2379");
    let peer = format!("https://{NODE_ADDRESS}:2380");
    let data = paths::state().join("etcd").display().to_string();
    let mut args = vec![
        "--unsafe-no-fsync".to_owned(), // its data need not survive a reboot
        format!("--data-dir={data}"),
        format!("--listen-client-urls={client}"),
        format!("--advertise-client-urls={client}"),
        format!("--listen-peer-urls={peer}"),
        format!("--initial-advertise-peer-urls={peer}"),
        format!("--initial-cluster=default={peer}"),
        "--log-level=warn".to_owned(),
    ];
    for side in ["", "peer-"] {
        args.push(format!("--{side}cert-file={}", pki_file("etcd.crt")));
        args.push(format!("--{side}key-file={}", pki_file("etcd.key")));
        args.push(format!("--{side}trusted-ca-file={}", pki_file("ca.crt")));
        args.push(format!("--{side}client-cert-auth"));
    }
    Ok(Daemon { name: "etcd", program: tools::program("etcd")?, args, env: vec![] })
}

fn write_api_server_files() -> Result<()> {
    // Anonymous requests are refused, except for health checks.
    let authentication = json!({
        "apiVersion": "apiserver.config.k8s.io/v1",
        "kind": "AuthenticationConfiguration",
        "anonymous": {"enabled": true, "conditions": [{"path": "/livez"}, {"path": "/readyz"}, {"path": "/healthz"}]},
    });
    // Lets tests count requests by user. Heartbeats of the components are omitted.
    let audit = json!({
        "apiVersion": "audit.k8s.io/v1",
        "kind": "Policy",
        "omitStages": ["RequestReceived"],
        "omitManagedFields": true,
        "rules": [
            {"level": "None", "nonResourceURLs": ["/livez*", "/readyz*", "/healthz*"]},
            {"level": "None", "namespaces": ["kube-system", "kube-node-lease"],
             "resources": [{"group": "coordination.k8s.io", "resources": ["leases"]}]},
            {"level": "Metadata"},
        ],
    });
    for (name, content) in [("authentication.json", authentication), ("audit-policy.json", audit)] {
        fs::write(paths::state().join(name), serde_json::to_vec_pretty(&content)?)?;
    }
    Ok(())
}

fn api_server() -> Result<Daemon> {
    let state = paths::state();
    let in_state = |name: &str| state.join(name).display().to_string();
    let args = vec![
        format!("--advertise-address={NODE_ADDRESS}"),
        format!("--bind-address={NODE_ADDRESS}"),
        format!("--service-cluster-ip-range={SERVICE_SUBNET}"),
        "--secure-port=6443".into(),
        format!("--tls-cert-file={}", pki_file("kube-apiserver.crt")),
        format!("--tls-private-key-file={}", pki_file("kube-apiserver.key")),
        format!("--client-ca-file={}", pki_file("ca.crt")),
        format!("--authentication-config={}", in_state("authentication.json")),
        "--authorization-mode=Node,RBAC".into(),
        "--enable-admission-plugins=NodeRestriction".into(), // in addition to the defaults: PodSecurity, quota, limits, ...
        "--allow-privileged=true".into(),                    // usual: Pod Security decides which pods may be
        format!("--etcd-servers=https://{NODE_ADDRESS}:2379"),
        format!("--etcd-cafile={}", pki_file("ca.crt")),
        format!("--etcd-certfile={}", pki_file("etcd-client.crt")),
        format!("--etcd-keyfile={}", pki_file("etcd-client.key")),
        "--service-account-issuer=https://kubernetes.default.svc.cluster.local".into(),
        format!("--service-account-key-file={}", pki_file("service-account.pub")),
        format!("--service-account-signing-key-file={}", pki_file("service-account.key")),
        format!("--kubelet-certificate-authority={}", pki_file("ca.crt")),
        format!("--kubelet-client-certificate={}", pki_file("kubelet-client.crt")),
        format!("--kubelet-client-key={}", pki_file("kubelet-client.key")),
        "--kubelet-preferred-address-types=InternalIP".into(),
        format!("--requestheader-client-ca-file={}", pki_file("ca.crt")),
        // One authority signs for clients and the front proxy: only this name may impersonate users by headers.
        "--requestheader-allowed-names=front-proxy".into(),
        "--requestheader-extra-headers-prefix=X-Remote-Extra-".into(),
        "--requestheader-group-headers=X-Remote-Group".into(),
        "--requestheader-username-headers=X-Remote-User".into(),
        format!("--proxy-client-cert-file={}", pki_file("front-proxy.crt")),
        format!("--proxy-client-key-file={}", pki_file("front-proxy.key")),
        "--enable-aggregator-routing=true".into(),
        format!("--audit-policy-file={}", in_state("audit-policy.json")),
        format!("--audit-log-path={}", paths::audit_log().display()),
        "--audit-log-maxsize=1000".into(), // megabytes
        "--audit-log-maxbackup=1".into(),
        "--profiling=false".into(),
    ];
    Ok(Daemon { name: "kube-apiserver", program: tools::program("kube-apiserver")?, args, env: vec![] })
}

/// Arguments that the controller manager and the scheduler share.
fn controller_args(name: &str, port: u16) -> Vec<String> {
    let kubeconfig = kubeconfig_of(name).display().to_string();
    vec![
        format!("--kubeconfig={kubeconfig}"),
        format!("--authentication-kubeconfig={kubeconfig}"),
        format!("--authorization-kubeconfig={kubeconfig}"),
        format!("--bind-address={NODE_ADDRESS}"),
        format!("--secure-port={port}"),
        // Any certificate for the node will do. Without one they would create their own in /var/run.
        format!("--tls-cert-file={}", pki_file("kubelet.crt")),
        format!("--tls-private-key-file={}", pki_file("kubelet.key")),
        "--leader-elect=false".into(),
        // The default limits protect large clusters. Here they would only slow tests down.
        "--kube-api-qps=300".into(),
        "--kube-api-burst=600".into(),
    ]
}

fn controller_manager() -> Result<Daemon> {
    let name = "kube-controller-manager";
    let mut args = controller_args(name, 10257);
    args.extend([
        "--use-service-account-credentials=true".to_owned(),
        format!("--root-ca-file={}", pki_file("ca.crt")),
        format!("--service-account-private-key-file={}", pki_file("service-account.key")),
        format!("--cluster-signing-cert-file={}", pki_file("ca.crt")),
        format!("--cluster-signing-key-file={}", pki_file("ca.key")),
        format!("--cluster-cidr={POD_SUBNET}"),
        format!("--flex-volume-plugin-dir={}", paths::state().join("volume-plugins").display()),
    ]);
    Ok(Daemon { name, program: tools::program(name)?, args, env: vec![] })
}

fn scheduler() -> Result<Daemon> {
    let name = "kube-scheduler";
    Ok(Daemon { name, program: tools::program(name)?, args: controller_args(name, 10259), env: vec![] })
}
