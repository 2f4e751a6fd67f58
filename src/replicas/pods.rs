//! The pods of a workload, as inputs of its scaling decisions.

use std::{
    collections::{BTreeMap, BTreeSet},
    net::IpAddr,
};

use jiff::Timestamp;

use crate::{
    model::Workload,
    names::CANARY_COMPONENT,
    observe::{Children, PodState},
};

/// Seconds after a restart in which a container may be in a crash loop: lost readiness is then no sign of an overload.
const RESTARTED_SECONDS: i64 = 600;

/// The observed pods of a workload.
#[derive(Clone, Debug, Default, PartialEq)]
pub struct Pods {
    /// Desired replicas of the Deployment.
    pub desired: u32,
    /// Ready replicas. Of servers, those of a canary are among them, because they answer a part of the requests.
    pub ready: u32,
    /// Since when each ready pod is ready.
    pub ready_since: Vec<Timestamp>,
    /// Median start-up time of the current pods, seconds. None when it is not known of any pod.
    pub startup: Option<f64>,
    /// Whether another version or other settings are being rolled out.
    pub rolling_out: bool,
    /// Names and addresses of the running pods that were not restarted recently. During a rollout, pods of the newest
    /// template are excluded.
    pub running: BTreeMap<String, Option<IpAddr>>,
    /// Names of the running pods that were ready and are not any more.
    pub unready: BTreeSet<String>,
    /// Number of pods with an address that are neither ready nor in `unready`: they start, terminate, crash, or were never
    /// ready.
    pub others: u32,
}

/// The observed pods of a workload. None while its Deployment is not in the cache, which does not mean zero replicas.
pub fn observed(children: &Children, uid: &str, workload: &Workload, now: Timestamp) -> Option<Pods> {
    let state = children.deployment(&workload.deployment, uid)?;
    let count = |replicas: i32| u32::try_from(replicas).unwrap_or_default();
    let pods: Vec<_> = children.pods().filter(|pod| pod.component == workload.component).collect();
    let mut startups: Vec<f64> =
        pods.iter().filter_map(|pod| pod.started_after).map(|after| after.as_secs_f64()).collect();
    startups.sort_by(f64::total_cmp);
    let canary = children.pods().filter(|pod| workload.is_serving() && pod.component == CANARY_COMPONENT);
    let canary: Vec<&PodState> = canary.collect();
    let all = [pods.as_slice(), &canary].concat();
    let running = running(&pods, state.is_rolling(), now);
    Some(Pods {
        desired: count(state.desired),
        ready: count(state.ready) + count_of(&canary, |pod| pod.ready_since.is_some()),
        ready_since: all.iter().filter_map(|pod| pod.ready_since).collect(),
        startup: startups.get(startups.len() / 2).copied(),
        rolling_out: state.is_rolling(),
        others: count_of(&all, |pod| pod.address.is_some() && pod.ready_since.is_none())
            .saturating_sub(count_of(&running, |pod| pod.lost_readiness)),
        unready: running.iter().filter(|pod| pod.lost_readiness).map(|pod| pod.name.clone()).collect(),
        running: running.iter().map(|pod| (pod.name.clone(), pod.address)).collect(),
    })
}

/// The pods whose missing answers may mean an overload: those that started and were not restarted within
/// [`RESTARTED_SECONDS`]. During a rollout, pods of the newest template are excluded: they may fail because of it.
pub fn running<'a>(pods: &[&'a PodState], is_rolling: bool, now: Timestamp) -> Vec<&'a PodState> {
    // The newest template is the one whose first pod was created last. The newest pod may be of an older template, because
    // both get new pods when the workload scales during the rollout.
    let mut first_of: BTreeMap<&str, Timestamp> = BTreeMap::new();
    for pod in pods {
        let first = first_of.entry(&pod.template).or_insert(pod.created_at);
        *first = (*first).min(pod.created_at);
    }
    let newest = first_of.into_iter().max_by_key(|(_, first)| *first).map(|(template, _)| template);
    let is_crashing =
        |pod: &PodState| pod.restarted_at.is_some_and(|at| now.duration_since(at).as_secs() < RESTARTED_SECONDS);
    let is_older = |pod: &PodState| !is_rolling || newest != Some(pod.template.as_str());
    pods.iter().copied().filter(|pod| pod.started && !is_crashing(pod) && is_older(pod)).collect()
}

fn count_of(pods: &[&PodState], matches: impl Fn(&PodState) -> bool) -> u32 {
    u32::try_from(pods.iter().filter(|pod| matches(pod)).count()).unwrap_or(u32::MAX)
}
