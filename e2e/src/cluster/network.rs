//! Addresses of the cluster and the host's side of its network. All of it is from 198.18.0.0/15, which is
//! set aside for tests (RFC 2544) and routed nowhere.

use std::fs;
use std::process::Command;

use anyhow::{Context, Result};

use crate::{command, paths};

/// The node and everything that listens on it. On `lo`, yet no loopback address: pods reach it.
pub const NODE_ADDRESS: &str = "198.18.0.1";
/// The API server.
pub const API_SERVER: &str = "https://198.18.0.1:6443";
/// Pods.
pub const POD_SUBNET: &str = "198.18.64.0/18";
/// Services.
pub const SERVICE_SUBNET: &str = "198.19.0.0/16";
/// The first address of [`SERVICE_SUBNET`]: `kubernetes.default`.
pub const API_SERVICE: &str = "198.19.0.1";
/// `kube-dns.kube-system`.
pub const DNS_SERVICE: &str = "198.19.0.10";

/// The name of the pod network in the CNI plugins' files.
pub const CNI_NETWORK: &str = "recommender-e2e";

/// What the cluster's programs change in the kernel's settings; `down` puts the values back.
const SYSCTLS: &[&str] = &[
    "net/ipv4/ip_forward",
    "net/ipv4/conf/all/route_localnet",
    "kernel/panic",
    "kernel/panic_on_oops",
    "kernel/keys/root_maxbytes",
    "kernel/keys/root_maxkeys",
    "vm/overcommit_memory",
];

/// Puts the node's address on `lo` and lets the kernel forward between pods.
pub fn set_up() -> Result<()> {
    remember_sysctls()?;
    ip(&["address", "replace", &format!("{NODE_ADDRESS}/32"), "dev", "lo"])?;
    // Without a route the host could not even try to reach a Service: kube-proxy redirects what is sent.
    ip(&["route", "replace", SERVICE_SUBNET, "dev", "lo", "src", NODE_ADDRESS])?;
    fs::write("/proc/sys/net/ipv4/ip_forward", "1").context("cannot switch on IP forwarding")
}

/// Takes away what [`set_up`], the CNI plugins and kube-proxy left. What is not there is no error.
pub fn tear_down() {
    for device in pod_devices() {
        let _ = ip(&["link", "delete", &device]);
    }
    let _ = ip(&["route", "delete", SERVICE_SUBNET, "dev", "lo"]);
    let _ = ip(&["address", "delete", &format!("{NODE_ADDRESS}/32"), "dev", "lo"]);
    remove_proxy_rules();
    restore_sysctls();
}

/// Routes to pods name the devices of the pods.
fn pod_devices() -> Vec<String> {
    let routes = ip(&["route", "show", "root", POD_SUBNET]).unwrap_or_default();
    routes.lines().filter_map(device_of_route).map(str::to_owned).collect()
}

fn device_of_route(route: &str) -> Option<&str> {
    let mut fields = route.split_whitespace();
    fields.find(|field| *field == "dev")?;
    fields.next().filter(|device| device.starts_with("veth"))
}

/// kube-proxy's tables, if they are ours: another cluster on this host would have other Services.
fn remove_proxy_rules() {
    let list = |family| command::output(Command::new("nft").args(["list", "table", family, "kube-proxy"]));
    if !list("ip").is_ok_and(|rules| rules.contains(API_SERVICE) || rules.contains(POD_SUBNET)) {
        return;
    }
    for family in ["ip", "ip6"] {
        let _ = command::output(Command::new("nft").args(["delete", "table", family, "kube-proxy"]));
    }
}

fn remember_sysctls() -> Result<()> {
    let path = paths::state().join("sysctls.json");
    if path.exists() {
        return Ok(()); // of a start that did not finish: these are the host's own values
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
    fn only_the_pods_own_devices_are_taken_from_the_routes() {
        assert_eq!(device_of_route("198.18.64.5 dev veth1a2b scope host src 198.18.64.1"), Some("veth1a2b"));
        assert_eq!(device_of_route("198.18.0.0/15 via 10.0.0.1 dev eth0"), None);
    }
}
