//! What is known of servers that do not answer: what their kubelets report, and the CPU use that they report themselves.

use jiff::Timestamp;

use super::pods::Pods;
use crate::{
    scaling::{
        Signal,
        overload::{MeasuredCpu, Outside, ProbeFailure},
    },
    series::Series,
};

/// Seconds for which a reported probe failure is evidence. A kubelet reports the first 25 failures of a pod, and then one
/// every 300 s.
const PROBE_SECONDS: f64 = 330.0;
/// Longest window of the recorded CPU use of containers, seconds: its recording rule goes back this far for two samples.
const RECORDED_CPU: f64 = 120.0;

/// A measured CPU use of a workload's servers.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct CpuUse {
    /// As a share of the limit, mean of the servers.
    pub share: f64,
    /// The end of the measurement; of several, the earliest.
    pub end: Timestamp,
    /// How long it lasted, seconds; of several, the longest.
    pub seconds: f64,
}

impl CpuUse {
    /// That of several servers together. None without a server.
    pub fn mean(servers: &[Self]) -> Option<Self> {
        let end = servers.iter().map(|of| of.end).min()?;
        let seconds = servers.iter().map(|of| of.seconds).fold(0.0, f64::max);
        let sum: f64 = servers.iter().map(|of| of.share).sum();
        Some(Self { share: sum / servers.len() as f64, end, seconds })
    }
}

/// What is known of the servers of a workload without their metrics.
#[derive(Clone, Debug, Default, PartialEq)]
pub struct Evidence {
    /// Why readiness probes fail, and when that was last reported.
    pub probe: Option<(ProbeFailure, Timestamp)>,
    /// CPU use of the running servers, as their kubelets report it.
    pub cpu: Option<CpuUse>,
    /// The same from the servers' own counters, measured while the metric source does not answer.
    pub own_cpu: Option<CpuUse>,
    /// Why the CPU use is not known.
    pub cpu_error: Option<String>,
}

impl Evidence {
    /// What is observed of the servers from outside, without their own answers. `limited`: whether they have a CPU limit.
    pub fn outside(&self, pods: &Pods, limited: bool, signal: &dyn Fn(Series) -> Signal, now: Timestamp) -> Outside {
        let ago = |at: Timestamp| now.duration_since(at).as_secs_f64().max(0.0);
        let measured = |of: CpuUse| MeasuredCpu { share: of.share, age: ago(of.end), window: of.seconds };
        let (cpu, own) = (self.cpu.map(measured), self.own_cpu.map(measured).filter(MeasuredCpu::is_fresh));
        let unanswered = signal(Series::Unanswered).value().map_or(0, |count| count as u32);
        let recorded = signal(Series::ContainerCpu);
        let recorded = recorded.value().map(|share| MeasuredCpu { share, age: recorded.age(), window: RECORDED_CPU });
        Outside {
            unready: u32::try_from(pods.unready.len()).unwrap_or(u32::MAX),
            probe: self.probe.filter(|(_, at)| ago(*at) <= PROBE_SECONDS).map(|(failure, _)| failure),
            // A pod that was never ready, or is being deleted, may not answer its scrapes either.
            unscraped: unanswered.saturating_sub(pods.others),
            // A server's own counter may cover only one of its processes: it can show that the CPU is fully used, but not
            // that it is not.
            cpu: [cpu, recorded]
                .into_iter()
                .flatten()
                .min_by(|a, b| a.age.total_cmp(&b.age))
                .into_iter()
                .chain(own)
                .max_by(|a, b| a.share.total_cmp(&b.share)),
            limited,
            front: signal(Series::Front),
            ..Outside::default()
        }
    }

    /// Why an overload would not be detected while the servers' signals are missing. Without kubelets, the CPU use that the
    /// servers report themselves may show it.
    pub fn why_no_backstop(&self) -> Option<String> {
        let error = self.cpu_error.as_ref().filter(|_| self.own_cpu.is_none())?;
        Some(format!("an overload would not be detected, because the CPU use of the pods is not known: {error}"))
    }
}
