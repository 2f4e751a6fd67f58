//! WorkersReady: which workers are not ready, and why.

use super::{ConditionValue, Inputs, condition::remarked, serving::missing_pods};
use crate::{
    api::conditions::{reasons, types},
    apply::ChildProblem,
    kinds::Kind,
    model::Workload,
};

/// A worker that is not ready.
pub struct BrokenWorker {
    name: String,
    /// Whether one of its pods is ready.
    has_pods: bool,
    condition: ConditionValue,
}

/// Reasons of workers that are not ready, the worst first. Others, of Deployments that are refused, are worse.
const OF_WORKERS: [&str; 4] =
    [reasons::ROLLOUT_STUCK, reasons::ROLLOUT_BLOCKED, reasons::REPLICAS_MISSING, reasons::ROLLING_OUT];
/// Most workers whose messages a condition contains; all are named, at most 8.
const WORKERS_EXPLAINED: usize = 3;
/// The workers that are not ready, the worst first.
pub fn broken_workers(inputs: &Inputs<'_>) -> Vec<BrokenWorker> {
    let workloads = inputs.model.workloads();
    let of_workers = workloads.iter().filter(|workload| !workload.is_serving());
    let broken = of_workers.filter_map(|workload| {
        let state = inputs.children.deployment(&workload.deployment, inputs.uid());
        let has_pods = state.is_some_and(|state| state.ready > 0);
        Some(BrokenWorker { name: workload.name.clone(), has_pods, condition: worker(inputs, workload)? })
    });
    let mut broken: Vec<_> = broken.collect();
    broken.sort_by_key(|of| OF_WORKERS.iter().position(|reason| *reason == of.condition.reason));
    broken
}

/// Which workers are not ready; `None` if all are.
pub fn not_ready(broken: &[BrokenWorker]) -> Option<String> {
    let name = |of: &BrokenWorker| format!("{}{}", of.name, if of.has_pods { "" } else { " (no pod is ready)" });
    let names: Vec<_> = broken.iter().map(name).collect();
    let noun = if broken.len() == 1 { "worker" } else { "workers" };
    (!broken.is_empty()).then(|| format!("not ready: {noun} {}", names.join(", ")))
}

/// WorkersReady: every worker has at least its minimum of ready pods, and none is being rolled out. Of several that are not, all
/// are named, and the worst gives the reason.
pub fn workers(inputs: &Inputs<'_>, broken: &[BrokenWorker]) -> ConditionValue {
    if inputs.model.workers.is_empty() {
        return ConditionValue::no(reasons::NOT_REQUESTED, "spec.workers is empty");
    }
    let Some(worst) = broken.first() else {
        let ready = ConditionValue::yes(reasons::AS_SPECIFIED, "the workers' pods are ready");
        let pods = inputs.model.workers.iter().map(|worker| (worker.name.as_str(), &worker.pod));
        return remarked(inputs, types::WORKERS_READY, ready, pods);
    };
    let explained = broken.iter().take(WORKERS_EXPLAINED).map(|of| of.condition.message.clone());
    let names = not_ready(broken).filter(|_| broken.len() > 1);
    let message = names.into_iter().chain(explained).collect::<Vec<_>>().join("; ");
    ConditionValue { message, ..worst.condition.clone() }
}

/// What keeps a worker from being ready.
fn worker(inputs: &Inputs<'_>, workload: &Workload) -> Option<ConditionValue> {
    let refused = |problem: &&ChildProblem| problem.kind == Kind::Deployment && problem.name == workload.deployment;
    if let Some(problem) = inputs.problems.iter().find(refused) {
        return Some(ConditionValue::no(problem.reason, &problem.message));
    }
    let name = &workload.name;
    let Some(state) = inputs.children.deployment(&workload.deployment, inputs.uid()) else {
        return Some(ConditionValue::no(reasons::ROLLING_OUT, format!("worker {name} is being rolled out")));
    };
    let (blocked, why) = missing_pods(inputs, |pod| pod.component == workload.component, Some(state));
    let least = workload.replicas.min(state.desired);
    if state.stuck.is_some() {
        return Some(ConditionValue::no(reasons::ROLLOUT_STUCK, format!("worker {name} does not get ready{why}")));
    }
    if state.is_rolling() {
        let reason = if blocked { reasons::ROLLOUT_BLOCKED } else { reasons::ROLLING_OUT };
        return Some(ConditionValue::no(reason, format!("worker {name} is being rolled out{why}")));
    }
    let ready = state.ready;
    // The first pods of a worker are being rolled out, not missing.
    let was_ready = inputs.prior.conditions.iter().any(|condition| {
        condition.type_ == types::WORKERS_READY
            && (condition.status == "True" || condition.reason == reasons::REPLICAS_MISSING)
    });
    let reason = if was_ready || blocked { reasons::REPLICAS_MISSING } else { reasons::ROLLING_OUT };
    (ready < least)
        .then(|| ConditionValue::no(reason, format!("worker {name}: {ready} of at least {least} pods are ready{why}")))
}
