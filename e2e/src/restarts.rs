//! Which pods run, and how often their containers were restarted: what is the same before and after a change that restarts nothing.

use std::collections::BTreeMap;

use anyhow::Result;
use k8s_openapi::api::core::v1::Pod;
use kube::{
    ResourceExt,
    api::{Api, ListParams},
};

/// The pods with these labels by UID, each with how often its containers were restarted.
pub async fn restarts(pods: &Api<Pod>, selector: &str) -> Result<BTreeMap<String, i32>> {
    let pods = pods.list(&ListParams::default().labels(selector)).await?;
    Ok(pods.iter().filter_map(|pod| Some((pod.uid()?, of(pod)))).collect())
}

fn of(pod: &Pod) -> i32 {
    let containers = pod.status.iter().flat_map(|status| status.container_statuses.iter().flatten());
    containers.map(|container| container.restart_count).sum()
}
