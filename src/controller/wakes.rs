//! When an object is to be reconciled again although nothing changes: because of what its children have not done until then. Pure.

use jiff::Timestamp;

use super::runs;
use crate::{
    kinds::Kind,
    model::{Model, Workload},
    observe::{ChildState, Children},
    status::FIRST_METRICS,
};

/// The next time after `now`; none if nothing is due.
pub fn next(model: &Model, children: &Children, now: Timestamp) -> Option<Timestamp> {
    let due = [report_due(children, now), first_metrics_due(model, children, now), blocked_due(children, now)];
    due.into_iter().flatten().min()
}

/// When a complete Job whose report was not observed counts as one without a report.
fn report_due(children: &Children, now: Timestamp) -> Option<Timestamp> {
    let is_reported = |job: &str| children.pods().any(|pod| pod.job.as_deref() == Some(job) && pod.end.is_some());
    let ends = children.of_kind(Kind::Job).filter_map(|(name, observed)| match &observed.state {
        ChildState::Job(job) if !is_reported(name) => Some(job.end.as_ref()?.observed_at + runs::POD_LAG),
        _ => None,
    });
    ends.filter(|due| *due > now).min()
}

/// When a pod that does not start, or a Job that gets no pod, is to be reported.
fn blocked_due(children: &Children, now: Timestamp) -> Option<Timestamp> {
    let blocked = children.pods().filter_map(|pod| Some(pod.blocked.as_ref()?.counts_from));
    let unexplained = children.pods().filter_map(|pod| Some(pod.unexplained?.from));
    let lingering = children.pods().filter_map(runs::lingers_from);
    let jobs = children.of_kind(Kind::Job).filter_map(|(_, observed)| match &observed.state {
        ChildState::Job(job) if job.end.is_none() => job.pod_due,
        _ => None,
    });
    blocked.chain(unexplained).chain(jobs).chain(lingering).filter(|due| *due > now).min()
}

/// When an autoscaler without metrics is to be reported.
fn first_metrics_due(model: &Model, children: &Children, now: Timestamp) -> Option<Timestamp> {
    let by_cpu = |workload: Workload| workload.scaling.is_some_and(|scaling| !scaling.is_decided());
    model.workloads().into_iter().any(by_cpu).then_some(())?;
    let due = children.of_kind(Kind::HorizontalPodAutoscaler).filter_map(|(_, observed)| match &observed.state {
        ChildState::Autoscaler(state) => match &state.active {
            Some((false, _)) => Some(state.created_at + FIRST_METRICS),
            _ => None,
        },
        _ => None,
    });
    due.filter(|due| *due > now).min()
}
