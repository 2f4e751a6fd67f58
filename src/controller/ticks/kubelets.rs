//! Queries the kubelets about servers that do not answer, and queries servers directly whose metric source does not answer.
//! Runs only while there are such servers.

use std::{
    collections::{BTreeMap, BTreeSet, HashMap},
    time::Duration,
};

use futures::{StreamExt, future::join_all, stream};
use jiff::Timestamp;
use tokio::time::{sleep, timeout};
use tracing::debug;

use crate::{
    controller::{context::Context, scaler::UnresponsiveWorkload},
    replicas::{OwnCpu, Reading},
    signals::{FailedProbe, Servers},
};

/// Time between two rounds of queries while some servers do not answer: a kubelet has a new CPU use every 10 to 15 s.
const ROUND: Duration = Duration::from_secs(5);
/// Interval of the check whether some servers do not answer.
const CHECK: Duration = Duration::from_secs(1);
/// Most servers of one workload that are queried directly in one round: their mean stands for that of all.
const ASKED_DIRECTLY: usize = 4;
/// Longest time in which servers are queried in one round. The others keep their earlier readings.
const ASKING: Duration = Duration::from_secs(4);
/// Most workloads whose servers are queried at the same time: a metric source that is down is that of all objects.
const ASKED_AT_ONCE: usize = 16;
/// Most namespaces whose Events are read in one round: each takes a request.
const NAMESPACES: usize = 5;

/// Queries kubelets and servers whenever some servers do not answer. Never returns.
pub async fn run(context: &Context) {
    let (servers, mut own) = (Servers::default(), HashMap::new());
    loop {
        sleep(CHECK).await;
        if !context.may_write() {
            continue;
        }
        let silent = context.scaler.unresponsive();
        own.retain(|key, _| silent.iter().any(|of| of.key() == *key));
        if silent.is_empty() {
            continue;
        }
        // Beside each other: servers that do not answer must not keep the kubelets from being asked.
        let direct = timeout(ASKING, record_directly(context, &servers, &silent, &mut own));
        let (done, ()) = tokio::join!(direct, record_kubelets(context, &silent));
        if done.is_err() {
            debug!("not all servers answered in time");
        }
        sleep(ROUND - CHECK).await;
    }
}

/// Records what the servers report themselves, as it arrives.
async fn record_directly(
    context: &Context,
    servers: &Servers,
    silent: &[UnresponsiveWorkload],
    own: &mut HashMap<(String, String), OwnCpu>,
) {
    let asked: Vec<_> = silent.iter().map(|of| ask_directly(servers, of)).collect();
    let mut answers = stream::iter(asked).buffer_unordered(ASKED_AT_ONCE);
    while let Some((of, readings)) = answers.next().await {
        let own = own.entry(of.key()).or_default();
        own.add(readings);
        context.scaler.record_own_cpu(of, own);
    }
}

/// Records what the kubelets report.
async fn record_kubelets(context: &Context, silent: &[UnresponsiveWorkload]) {
    let cpu = context.kubelets.cpu().await;
    if let Err(error) = &cpu {
        debug!(error, "cannot read the CPU use of pods");
    }
    let unready = silent.iter().filter(|of| !of.servers.pods.unready.is_empty());
    let namespaces: BTreeSet<&str> = unready.map(|of| of.servers.namespace.as_str()).collect();
    let mut probes: BTreeMap<&str, Vec<FailedProbe>> = BTreeMap::new();
    for namespace in namespaces.into_iter().take(NAMESPACES) {
        match context.kubelets.failed_probes(namespace).await {
            Ok(failed) => _ = probes.insert(namespace, failed),
            Err(error) => debug!(namespace, error, "cannot read the Events of failed readiness probes"),
        }
    }
    for of in silent {
        context.scaler.record_kubelet_report(of, &cpu, probes.get(of.servers.namespace.as_str()).map(Vec::as_slice));
    }
}

/// A reading of each server of a workload that reports its CPU use, by pod name.
async fn ask_directly<'a>(
    servers: &Servers,
    of: &'a UnresponsiveWorkload,
) -> (&'a UnresponsiveWorkload, BTreeMap<String, Reading>) {
    let asked = of.servers.servers().take(ASKED_DIRECTLY).map(|(pod, server, path)| async move {
        let seconds = servers.cpu_seconds(server, path).await?;
        Some((pod.clone(), Reading { at: Timestamp::now(), seconds }))
    });
    (of, join_all(asked).await.into_iter().flatten().collect())
}
