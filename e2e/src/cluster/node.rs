//! The node: containerd, the pod network, kubelet and kube-proxy.

use std::fs;
use std::process::Command;
use std::time::Duration;

use anyhow::{Context, Result, ensure};
use serde_json::json;

use super::control_plane::{kubeconfig_of, listens, pki_file};
use super::network::{CNI_NETWORK, DNS_SERVICE, NODE_ADDRESS, NODE_NAME, POD_SUBNET};
use crate::kubectl::kubectl;
use crate::process::{self, Daemon};
use crate::{command, paths, tools};

/// How long a process may take to get ready: some seconds on two fast cores.
const TIMEOUT: Duration = Duration::from_secs(180);
/// The directory of the CNI plugins, from Debian's package.
const CNI_PROGRAMS: &str = "/usr/lib/cni";

/// The socket of our containerd.
pub fn containerd_socket() -> std::path::PathBuf {
    paths::run().join("containerd.sock")
}

/// A `ctr` command for the images and containers of our cluster.
pub fn ctr() -> Result<Command> {
    let mut command = Command::new(tools::program("ctr")?);
    command.arg("--address").arg(containerd_socket()).args(["--namespace", "k8s.io"]);
    Ok(command)
}

/// Starts containerd, after which images can be loaded. `pause` is the image that keeps the namespaces of a pod.
pub fn start_containerd(pause: &str) -> Result<()> {
    write_cni_config()?;
    let config = paths::state().join("containerd.toml");
    fs::write(&config, containerd_config(pause))?;
    let program = tools::program("containerd")?;
    let shims = program.parent().context("a program lies in a directory")?.display().to_string();
    let path = format!("{shims}:{}", std::env::var("PATH").unwrap_or_default());
    let mut containerd = process::start(Daemon {
        name: "containerd",
        program,
        args: vec![format!("--config={}", config.display())],
        env: vec![("PATH", format!("{path}:/usr/sbin:/sbin"))],
    })?;
    containerd.wait_ready(TIMEOUT, || command::output(ctr()?.args(["images", "list", "-q"])).map(drop))
}

/// Starts kubelet and kube-proxy and waits until the node is ready.
pub fn start_kubelet() -> Result<()> {
    super::cgroup::create()?;
    let state = paths::state();
    fs::write(state.join("kubelet.json"), serde_json::to_vec_pretty(&kubelet_config())?)?;
    fs::write(state.join("kube-proxy.json"), serde_json::to_vec_pretty(&proxy_config())?)?;
    // Pods with `dnsPolicy: Default` get no nameserver: nothing here may depend on the Internet.
    fs::write(state.join("resolv.conf"), "")?;
    let config = |name: &str| format!("--config={}", state.join(name).display());
    process::start(Daemon {
        name: "kube-proxy",
        program: tools::program("kube-proxy")?,
        args: vec![config("kube-proxy.json")],
        env: vec![],
    })?;
    let mut kubelet = process::start(Daemon {
        name: "kubelet",
        program: tools::program("kubelet")?,
        args: vec![
            config("kubelet.json"),
            format!("--kubeconfig={}", kubeconfig_of("node").display()),
            format!("--root-dir={}", state.join("kubelet").display()),
            format!("--cert-dir={}", state.join("pki").display()),
            format!("--hostname-override={NODE_NAME}"),
            format!("--node-ip={NODE_ADDRESS}"),
            // Deprecated, but cAdvisor has no other option for a socket at another path than the default. Without it,
            // container metrics have no labels for container, pod and namespace.
            format!("--containerd={}", containerd_socket().display()),
        ],
        env: vec![],
    })?;
    kubelet.wait_ready(TIMEOUT, || {
        ensure!(process::is_running("kube-proxy"), "kube-proxy ended. {}", process::log_tail("kube-proxy"));
        listens(10256).context("kube-proxy")?;
        let status = r#"jsonpath={.status.conditions[?(@.type=="Ready")]}"#;
        let ready = kubectl(&["get", "node", NODE_NAME, "-o", status])?;
        ensure!(ready.contains(r#""status":"True""#), "the node is not ready: {ready}");
        Ok(())
    })
}

fn write_cni_config() -> Result<()> {
    let directory = paths::state().join("cni");
    fs::create_dir_all(&directory)?;
    // Point to point: all traffic of a pod is routed through the host. So Services work between pods without the bridge
    // netfilter module, and there is no bridge to remove.
    let network = json!({
        "cniVersion": "1.0.0",
        "name": CNI_NETWORK,
        "plugins": [{
            "type": "ptp",
            "ipMasq": false,
            "ipam": {
                "type": "host-local",
                "ranges": [[{"subnet": POD_SUBNET}]],
                "routes": [{"dst": "0.0.0.0/0"}],
                "dataDir": paths::run().join("addresses"),
            },
        }],
    });
    fs::write(directory.join("10-pods.conflist"), serde_json::to_vec_pretty(&network)?)?;
    Ok(())
}

fn containerd_config(pause: &str) -> String {
    let state = paths::state();
    let run = paths::run();
    format!(
        r#"version = 3
root = "{root}"
state = "{run}/containerd"
disabled_plugins = ["io.containerd.nri.v1.nri", "io.containerd.snapshotter.v1.devmapper"]

[grpc]
address = "{socket}"

[ttrpc]
address = "{socket}.ttrpc"

[plugins."io.containerd.shim.v1.manager"]
socket_dir = "{run}/s"

[plugins."io.containerd.cri.v1.images".pinned_images]
sandbox = "{pause}"

[plugins."io.containerd.cri.v1.runtime"]
# Without CAP_SYS_RESOURCE the kernel refuses the score that pods ask for.
restrict_oom_score_adj = true
netns_mounts_under_state_dir = true
# Ordinary ports for ordinary users, as elsewhere.
enable_unprivileged_ports = true

[plugins."io.containerd.cri.v1.runtime".cni]
bin_dirs = ["{CNI_PROGRAMS}"]
conf_dir = "{state}/cni"
use_internal_loopback = true

[plugins."io.containerd.cri.v1.runtime".containerd.runtimes.runc]
runtime_type = "io.containerd.runc.v2"

[plugins."io.containerd.cri.v1.runtime".containerd.runtimes.runc.options]
BinaryName = "/usr/sbin/runc"
Root = "{run}/runc"
SystemdCgroup = false

[plugins."io.containerd.grpc.v1.cri"]
stream_server_address = "127.0.0.1"
"#,
        root = state.join("containerd").display(),
        state = state.display(),
        run = run.display(),
        socket = containerd_socket().display(),
    )
}

fn kubelet_config() -> serde_json::Value {
    json!({
        "apiVersion": "kubelet.config.k8s.io/v1beta1",
        "kind": "KubeletConfiguration",
        "address": NODE_ADDRESS,
        "healthzBindAddress": NODE_ADDRESS,
        "tlsCertFile": pki_file("kubelet.crt"),
        "tlsPrivateKeyFile": pki_file("kubelet.key"),
        "authentication": {
            "anonymous": {"enabled": false},
            "webhook": {"enabled": true},
            "x509": {"clientCAFile": pki_file("ca.crt")},
        },
        "authorization": {"mode": "Webhook"},
        "clusterDNS": [DNS_SERVICE],
        "clusterDomain": "cluster.local",
        "resolvConf": paths::state().join("resolv.conf"),
        "containerRuntimeEndpoint": format!("unix://{}", containerd_socket().display()),
        // All pods are below a cgroup of ours, in which `down` finds their processes.
        "cgroupRoot": super::cgroup::ROOT,
        "cgroupDriver": "cgroupfs",
        "failCgroupV1": false,
        "failSwapOn": false,
        "enforceNodeAllocatable": [],
        "makeIPTablesUtilChains": false,
        "volumePluginDir": paths::state().join("volume-plugins"),
        "podLogsDir": paths::state().join("pod-logs"),
        // The disk of a developer is often nearly full. Images are ours and never collected.
        "evictionHard": {"memory.available": "50Mi", "nodefs.available": "1%", "imagefs.available": "1%",
                         "nodefs.inodesFree": "1%"},
        "imageGCHighThresholdPercent": 100,
        "maxPods": 500,
        "serializeImagePulls": false,
        "kubeAPIQPS": 100,
        "kubeAPIBurst": 200,
        // Short, so that pods get changes of Secrets and ConfigMaps before tests time out.
        "syncFrequency": "10s",
    })
}

fn proxy_config() -> serde_json::Value {
    json!({
        "apiVersion": "kubeproxy.config.k8s.io/v1alpha1",
        "kind": "KubeProxyConfiguration",
        "mode": "nftables",
        "clientConnection": {"kubeconfig": kubeconfig_of("kube-proxy")},
        "hostnameOverride": NODE_NAME,
        "clusterCIDR": POD_SUBNET,
        "detectLocalMode": "ClusterCIDR",
        "bindAddress": NODE_ADDRESS,
        "healthzBindAddress": format!("{NODE_ADDRESS}:10256"),
        "metricsBindAddress": format!("{NODE_ADDRESS}:10249"),
        "nodePortAddresses": [format!("{NODE_ADDRESS}/32")],
        "conntrack": {"maxPerCore": 0},
        "nftables": {"syncPeriod": "30s", "minSyncPeriod": "100ms"},
    })
}
