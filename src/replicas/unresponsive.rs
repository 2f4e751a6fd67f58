//! Servers of which some do not answer: what the reports about them mean.

use std::{collections::BTreeMap, net::SocketAddr};

use jiff::Timestamp;

use super::{
    evidence::{CpuUse, Evidence},
    own_cpu::OwnCpu,
    plan::MetricsEndpoint,
    pods::Pods,
};
use crate::{
    scaling::overload::ProbeFailure,
    signals::{FailedProbe, PodCpu},
};

/// The servers of a workload of which some did not answer at the last tick.
#[derive(Clone, Debug)]
pub struct Unresponsive {
    /// Namespace of the object.
    pub namespace: String,
    /// The pods.
    pub pods: Pods,
    /// CPU limit of each server, cores. None without a limit.
    pub cores: Option<f64>,
    /// Endpoint of the servers' metrics, when the metric source does not measure them.
    pub metrics: Option<MetricsEndpoint>,
}

impl Unresponsive {
    /// The evidence after the servers reported their own CPU use.
    pub fn after_own_cpu(&self, evidence: Evidence, own: &OwnCpu) -> Evidence {
        Evidence { own_cpu: self.cores.and_then(|cores| own.cpu_use(cores)), ..evidence }
    }

    /// The evidence after queries of the kubelets. A failed query keeps the earlier value.
    pub fn after_kubelets(
        &self,
        evidence: Evidence,
        cpu: &Result<Vec<PodCpu>, String>,
        probes: Option<&[FailedProbe]>,
    ) -> Evidence {
        let probe = probes.and_then(|probes| self.failure(probes)).or(evidence.probe);
        let (cpu, cpu_error) = match cpu {
            Ok(cpu) => (self.use_of_cpu(cpu), self.why_no_cpu()),
            Err(error) => (evidence.cpu, Some(error.clone())),
        };
        Evidence { probe, cpu, cpu_error, ..evidence }
    }

    /// The servers to query directly: pod name, address, and path of the metrics.
    pub fn servers(&self) -> impl Iterator<Item = (&String, SocketAddr, &str)> {
        let metrics = self.metrics.as_ref().filter(|_| self.cores.is_some());
        let addressed = self.pods.running.iter().filter_map(|(pod, address)| Some((pod, (*address)?)));
        addressed.filter_map(move |(pod, ip)| {
            let metrics = metrics?;
            Some((pod, SocketAddr::new(ip, metrics.port), metrics.path.as_str()))
        })
    }

    /// CPU use of the running servers.
    fn use_of_cpu(&self, cpu: &[PodCpu]) -> Option<CpuUse> {
        let allowed = self.cores?;
        let is_ours = |of: &&PodCpu| of.namespace == self.namespace && self.pods.running.contains_key(&of.pod);
        let measured = |of: &PodCpu| CpuUse { share: of.cores / allowed, end: of.at, seconds: of.window };
        CpuUse::mean(&cpu.iter().filter(is_ours).map(measured).collect::<Vec<_>>())
    }

    fn why_no_cpu(&self) -> Option<String> {
        self.cores.is_none().then(|| "there is no limit to compare it with: set resources.limits.cpu".into())
    }

    /// Why the readiness probes of most unready servers fail, and when a failure was last reported.
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
}
