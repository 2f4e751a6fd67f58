//! The name of the node, the addresses of the cluster, and the host's side of its network. All addresses are from
//! 198.18.0.0/15, which is reserved for benchmarks (RFC 2544) and not routed on the Internet.

use std::fs;
use std::process::Command;

use anyhow::{Context, Result};

use crate::{command, paths};

/// The name of the only node.
pub const NODE_NAME: &str = "local";
/// The address of the node and of everything that listens on it. It is on the device `lo`, but it is no loopback address: pods
/// reach it.
pub const NODE_ADDRESS: &str = "198.18.0.1";
/// URL of the API server.
pub const API_SERVER: &str = "https://198.18.0.1:6443";
/// Addresses of pods.
pub const POD_SUBNET: &str = "198.18.64.0/18";
/// Cluster IPs of Services.
pub const SERVICE_SUBNET: &str = "198.19.0.0/16";
/// Cluster IP of `kubernetes.default`: the first address of [`SERVICE_SUBNET`].
pub const API_SERVICE: &str = "198.19.0.1";
/// Cluster IP of `kube-dns.kube-system`.
pub const DNS_SERVICE: &str = "198.19.0.10";

/// The name of the pod network in the CNI plugins' files.
pub const CNI_NETWORK: &str = "recommender-e2e";

/// Kernel parameters that the programs of the cluster change. `down` restores the values.
const SYSCTLS: &[&str] = &[
    "net/ipv4/ip_forward",
    "net/ipv4/conf/all/route_localnet",
    "kernel/panic",
    "kernel/panic_on_oops",
    "kernel/keys/root_maxbytes",
    "kernel/keys/root_maxkeys",
    "vm/overcommit_memory",
];

/// Adds the address of the node to `lo`, and enables forwarding between pods.
pub fn set_up() -> Result<()> {
    save_sysctls()?;
    ip(&["address", "replace", &format!("{NODE_ADDRESS}/32"), "dev", "lo"])?;
    // Without a route the host rejects packets to a Service before kube-proxy can redirect them.
    ip(&["route", "replace", SERVICE_SUBNET, "dev", "lo", "src", NODE_ADDRESS])?;
    fs::write("/proc/sys/net/ipv4/ip_forward", "1").context("cannot switch on IP forwarding")
}

/// Removes what [`set_up`], the CNI plugins and kube-proxy created. Ignores what does not exist.
pub fn tear_down() {
    for device in pod_devices() {
        let _ = ip(&["link", "delete", &device]);
    }
    let _ = ip(&["route", "delete", SERVICE_SUBNET, "dev", "lo"]);
    let _ = ip(&["address", "delete", &format!("{NODE_ADDRESS}/32"), "dev", "lo"]);
    remove_proxy_rules();
    restore_sysctls();
}

/// The network devices of pods, from the routes to them.
fn pod_devices() -> Vec<String> {
    let routes = ip(&["route", "show", "root", POD_SUBNET]).unwrap_or_default();
    routes.lines().filter_map(device_of_route).map(str::to_owned).collect()
}

fn device_of_route(route: &str) -> Option<&str> {
    let mut fields = route.split_whitespace();
    fields.find(|field| *field == "dev")?;
    fields.next().filter(|device| device.starts_with("veth"))
}

/// Removes the tables of kube-proxy if they are ours. Those of another cluster on this host have other addresses.
fn remove_proxy_rules() {
    let list = |family| command::output(Command::new("nft").args(["list", "table", family, "kube-proxy"]));
    if !list("ip").is_ok_and(|rules| rules.contains(API_SERVICE) || rules.contains(POD_SUBNET)) {
        return;
    }
    for family in ["ip", "ip6"] {
        let _ = command::output(Command::new("nft").args(["delete", "table", family, "kube-proxy"]));
    }
}

/// Saves the host's values of [`SYSCTLS`].
fn save_sysctls() -> Result<()> {
    let path = paths::state().join("sysctls.json");
    if path.exists() {
        return Ok(()); // saved by an earlier start that did not finish; they are the host's values
    }
    let read = |name: &&str| Some(((*name).to_owned(), fs::read_to_string(format!("/proc/sys/{name}")).ok()?));
    let values: std::collections::BTreeMap<String, String> = SYSCTLS.iter().filter_map(read).collect();
    fs::write(&path, serde_json::to_vec_pretty(&values)?).with_context(|| format!("cannot write {}", path.display()))
}

fn restore_sysctls() {
    let Ok(content) = fs::read(paths::state().join("sysctls.json")) else { return };
    let values: std::collections::BTreeMap<String, String> = serde_json::from_slice(&content).unwrap_or_default();
    for (name, value) in values {
        let path = format!("/proc/sys/{name}");
        if fs::read_to_string(&path).is_ok_and(|now| now != value) {
            let _ = fs::write(&path, value);
        }
    }
}

fn ip(arguments: &[&str]) -> Result<String> {
    command::output(Command::new("ip").args(arguments))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn only_routes_of_pods_have_pod_devices() {
        assert_eq!(device_of_route("198.18.64.5 dev veth1a2b scope host src 198.18.64.1"), Some("veth1a2b"));
        assert_eq!(device_of_route("198.18.0.0/15 via 10.0.0.1 dev eth0"), None);
    }
}
