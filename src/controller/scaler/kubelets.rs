//! Asks the kubelets about servers that do not answer themselves, and servers about themselves whose metric source does not
//! answer, for as long as there are some.

use std::{
    collections::{BTreeMap, BTreeSet, HashMap},
    net::SocketAddr,
    time::Duration,
};

use futures::{StreamExt, future::join_all, stream};
use jiff::Timestamp;
use tokio::time::sleep;
use tracing::debug;

use super::{Scaler, own_cpu::OwnCpu, policy::MetricsEndpoint, workload::Pods};
use crate::{
    controller::Context,
    scaling::{
        Signal,
        overload::{MeasuredCpu, Outside, ProbeFailure},
    },
    signals::{FailedProbe, PodCpu, Series, Servers},
};

/// Between two rounds while some servers are silent: a kubelet has a new CPU use every 10 to 15 s.
const ROUND: Duration = Duration::from_secs(5);
/// How often it is checked whether some are.
const CHECK: Duration = Duration::from_secs(1);
/// Servers of one workload that are asked directly in one round, at most: their mean stands for that of all.
const ASKED_DIRECTLY: usize = 4;
/// Workloads whose servers are asked at the same time, at most: a metric source that is down is that of all objects.
const ASKED_AT_ONCE: usize = 16;
/// Namespaces whose Events are read in one round, at most: each is a request.
const NAMESPACES: usize = 5;

/// Seconds for which a failed probe that a kubelet reported is evidence. A kubelet reports the first 25 failures of a pod, and
/// then one in 300 s.
const PROBE_SECONDS: f64 = 330.0;
/// Seconds over which the recorded CPU use of containers is measured, at most: as far as its rule looks back for two samples.
const RECORDED_CPU: f64 = 120.0;

/// What the kubelets report of the servers of a workload.
#[derive(Clone, Debug, Default, PartialEq)]
pub struct Kubelet {
    /// Why readiness probes fail, and when that was last reported.
    pub probe: Option<(ProbeFailure, Timestamp)>,
    /// Share of the CPU that they may use, mean of those that run; when the measurement ended, and its length in seconds.
    pub cpu: Option<(f64, Timestamp, f64)>,
    /// The same by the servers' own counters, while the metric source does not answer.
    pub own_cpu: Option<(f64, Timestamp, f64)>,
    /// Why the CPU use is not known.
    pub cpu_error: Option<String>,
}

impl Kubelet {
    /// What is observed of servers beside their own answers. `limited`: whether their CPU use has a limit.
    pub fn outside(&self, pods: &Pods, limited: bool, signal: &dyn Fn(Series) -> Signal, now: Timestamp) -> Outside {
        let ago = |at: Timestamp| now.duration_since(at).as_secs_f64().max(0.0);
        let measured = |(share, at, window)| MeasuredCpu { share, age: ago(at), window };
        let (cpu, own) = (self.cpu.map(measured), self.own_cpu.map(measured).filter(MeasuredCpu::is_fresh));
        let unanswered = signal(Series::Unanswered).value().map_or(0, |count| count as u32);
        let recorded = signal(Series::ContainerCpu);
        let recorded = recorded.value().map(|share| MeasuredCpu { share, age: recorded.age(), window: RECORDED_CPU });
        Outside {
            unready: u32::try_from(pods.unready.len()).unwrap_or(u32::MAX),
            probe: self.probe.filter(|(_, at)| ago(*at) <= PROBE_SECONDS).map(|(failure, _)| failure),
            // A pod that has not been ready yet, or is being deleted, may not answer its scrapes either.
            unscraped: unanswered.saturating_sub(pods.others),
            // A server's own counter may be that of one of its processes: it shows that it is full, never that it is not.
            cpu: [cpu, recorded]
                .into_iter()
                .flatten()
                .min_by(|a, b| a.age.total_cmp(&b.age))
                .into_iter()
                .chain(own)
                .max_by(|a, b| a.share.total_cmp(&b.share)),
            limited,
            source_failed: false,
            front: signal(Series::Front),
        }
    }
}

/// A workload some of whose servers do not answer.
#[derive(Clone, Debug)]
pub struct SilentWorkload {
    uid: String,
    namespace: String,
    workload: String,
    pods: Pods,
    /// Cores that each of its servers may use, if that is limited.
    cores: Option<f64>,
    /// Where they expose their metrics, when nothing else measures them.
    metrics: Option<MetricsEndpoint>,
}

impl Scaler {
    /// The workloads some of whose servers did not answer at the last tick.
    pub fn silent(&self) -> Vec<SilentWorkload> {
        let objects = self.lock();
        let workloads = objects.iter().flat_map(|(uid, object)| {
            object.workloads.iter().filter_map(move |(workload, scaled)| {
                let (pods, cores) = (scaled.silent_pods()?.clone(), scaled.cores());
                Some(SilentWorkload {
                    uid: uid.clone(),
                    namespace: object.namespace.clone(),
                    workload: workload.clone(),
                    pods,
                    cores,
                    metrics: scaled.unmeasured().cloned(),
                })
            })
        });
        workloads.collect()
    }

    /// Takes over what its servers report of a workload.
    pub fn reported_directly(&self, of: &SilentWorkload, own: &OwnCpu) {
        let mut objects = self.lock();
        let object = objects.get_mut(&of.uid);
        let Some(scaled) = object.and_then(|object| object.workloads.get_mut(&of.workload)) else { return };
        scaled.kubelet.own_cpu = of.cores.and_then(|cores| own.share(cores)).or(scaled.kubelet.own_cpu);
    }

    /// Takes over what the kubelets report of a workload.
    pub fn reported(&self, of: &SilentWorkload, cpu: &Result<Vec<PodCpu>, String>, probes: Option<&[FailedProbe]>) {
        let mut objects = self.lock();
        let object = objects.get_mut(&of.uid);
        let Some(scaled) = object.and_then(|object| object.workloads.get_mut(&of.workload)) else { return };
        match cpu {
            Ok(cpu) => (scaled.kubelet.cpu, scaled.kubelet.cpu_error) = (of.use_of_cpu(cpu), of.why_no_cpu()),
            Err(error) => scaled.kubelet.cpu_error = Some(error.clone()),
        }
        scaled.kubelet.probe = probes.and_then(|probes| of.failure(probes)).or(scaled.kubelet.probe);
    }
}

impl SilentWorkload {
    fn key(&self) -> (String, String) {
        (self.uid.clone(), self.workload.clone())
    }

    /// Names of the pods that run.
    #[cfg(test)]
    pub fn names(&self) -> Vec<String> {
        self.pods.running.keys().cloned().collect()
    }

    /// Share of the CPU that its servers may use, mean of those that run; when the oldest measurement ended, and the
    /// length of the longest.
    fn use_of_cpu(&self, cpu: &[PodCpu]) -> Option<(f64, Timestamp, f64)> {
        let allowed = self.cores?;
        let is_ours = |of: &&PodCpu| of.namespace == self.namespace && self.pods.running.contains_key(&of.pod);
        let ours: Vec<&PodCpu> = cpu.iter().filter(is_ours).collect();
        let at = ours.iter().map(|of| of.at).min()?;
        let window = ours.iter().map(|of| of.window).fold(0.0, f64::max);
        let cores: f64 = ours.iter().map(|of| of.cores).sum();
        Some((cores / allowed / ours.len() as f64, at, window))
    }

    /// Why the readiness probes of most of its servers fail that are not ready, and when that was last reported.
    fn failure(&self, probes: &[FailedProbe]) -> Option<(ProbeFailure, Timestamp)> {
        let mut newest: BTreeMap<&str, &FailedProbe> = BTreeMap::new();
        for probe in probes.iter().filter(|probe| self.pods.unready.contains(&probe.pod)) {
            let known = newest.entry(&probe.pod).or_insert(probe);
            *known = if probe.at > known.at { probe } else { *known };
        }
        let at = newest.values().map(|probe| probe.at).max()?;
        let timed_out = newest.values().filter(|probe| probe.failure == ProbeFailure::TimedOut).count();
        let failure = if timed_out * 2 > newest.len() { ProbeFailure::TimedOut } else { ProbeFailure::Answered };
        Some((failure, at))
    }

    /// Servers to ask directly, with the names of their pods.
    fn servers(&self) -> Vec<(&String, SocketAddr, &str)> {
        let Some(metrics) = self.metrics.as_ref().filter(|_| self.cores.is_some()) else { return Vec::new() };
        let addressed = self.pods.running.iter().filter_map(|(pod, address)| Some((pod, (*address)?)));
        let servers = addressed.map(|(pod, ip)| (pod, SocketAddr::new(ip, metrics.port), metrics.path.as_str()));
        servers.take(ASKED_DIRECTLY).collect()
    }

    fn why_no_cpu(&self) -> Option<String> {
        self.cores.is_none().then(|| "there is no limit to compare it with: set resources.limits.cpu".into())
    }
}

/// Asks without end, whenever there is a reason.
pub async fn ask(context: &Context) {
    let (servers, mut own) = (Servers::default(), HashMap::new());
    loop {
        sleep(CHECK).await;
        if !context.may_write() {
            continue;
        }
        let silent = context.scaler.silent();
        own.retain(|key, _| silent.iter().any(|of| of.key() == *key));
        if silent.is_empty() {
            continue;
        }
        let asked = stream::iter(&silent).map(|of| ask_directly(&servers, of)).buffer_unordered(ASKED_AT_ONCE);
        for (of, at, seconds) in asked.collect::<Vec<_>>().await {
            let own = own.entry(of.key()).or_insert_with(OwnCpu::default);
            own.add(at, seconds);
            context.scaler.reported_directly(of, own);
        }
        let cpu = context.kubelets.cpu().await;
        if let Err(error) = &cpu {
            debug!(error, "the CPU use of pods is not known");
        }
        let unready = silent.iter().filter(|of| !of.pods.unready.is_empty()).map(|of| of.namespace.as_str());
        let namespaces: BTreeSet<&str> = unready.collect();
        let mut probes: BTreeMap<&str, Vec<FailedProbe>> = BTreeMap::new();
        for namespace in namespaces.into_iter().take(NAMESPACES) {
            match context.kubelets.failed_probes(namespace).await {
                Ok(failed) => _ = probes.insert(namespace, failed),
                Err(error) => debug!(namespace, error, "why readiness probes fail is not known"),
            }
        }
        for of in &silent {
            context.scaler.reported(of, &cpu, probes.get(of.namespace.as_str()).map(Vec::as_slice));
        }
        sleep(ROUND - CHECK).await;
    }
}

/// The CPU seconds of those servers of a workload that say so, and when that was.
async fn ask_directly<'a>(
    servers: &Servers,
    of: &'a SilentWorkload,
) -> (&'a SilentWorkload, Timestamp, BTreeMap<String, f64>) {
    let asked = of
        .servers()
        .into_iter()
        .map(|(pod, server, path)| async move { Some((pod.clone(), servers.cpu_seconds(server, path).await?)) });
    let seconds = join_all(asked).await.into_iter().flatten().collect();
    (of, Timestamp::now(), seconds)
}
