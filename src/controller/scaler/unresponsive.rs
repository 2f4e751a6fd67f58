//! Workloads with servers that do not answer, and what is reported of them.

use super::Scaler;
use crate::{
    replicas::{Evidence, OwnCpu, Unresponsive},
    signals::{FailedProbe, PodCpu},
};

/// A workload with servers that do not answer.
#[derive(Clone, Debug)]
pub struct UnresponsiveWorkload {
    uid: String,
    workload: String,
    /// Its servers.
    pub servers: Unresponsive,
}

impl Scaler {
    /// The workloads with servers that did not answer at the last tick.
    pub fn unresponsive(&self) -> Vec<UnresponsiveWorkload> {
        let objects = self.lock();
        let workloads = objects.iter().flat_map(|(uid, state)| {
            state.unresponsive().map(move |(workload, servers)| UnresponsiveWorkload {
                uid: uid.clone(),
                workload: workload.clone(),
                servers,
            })
        });
        workloads.collect()
    }

    /// Records the CPU use that a workload's servers report themselves.
    pub fn record_own_cpu(&self, of: &UnresponsiveWorkload, own: &OwnCpu) {
        self.record(of, |evidence| of.servers.after_own_cpu(evidence, own));
    }

    /// Records what the kubelets report about a workload. A failed query keeps the earlier value.
    pub fn record_kubelet_report(
        &self,
        of: &UnresponsiveWorkload,
        cpu: &Result<Vec<PodCpu>, String>,
        probes: Option<&[FailedProbe]>,
    ) {
        self.record(of, |evidence| of.servers.after_kubelets(evidence, cpu, probes));
    }

    /// Records something about a workload, unless it was removed meanwhile.
    fn record(&self, of: &UnresponsiveWorkload, after: impl FnOnce(Evidence) -> Evidence) {
        let mut objects = self.lock();
        let state = objects.get_mut(&of.uid);
        if let Some(scaled) = state.and_then(|state| state.workloads.get_mut(&of.workload)) {
            scaled.record(after);
        }
    }
}

impl UnresponsiveWorkload {
    /// Its key: UID of the object, and name of the workload.
    pub fn key(&self) -> (String, String) {
        (self.uid.clone(), self.workload.clone())
    }

    /// Names of the running pods.
    #[cfg(test)]
    pub fn names(&self) -> Vec<String> {
        self.servers.pods.running.keys().cloned().collect()
    }
}
