//! The Jobs that delete artifacts and their pods, as inputs of the decision on pruning.

use jiff::Timestamp;

use super::runs;
use crate::{
    kinds::Kind,
    observe::{ChildState, Children, ContainerEnd, JobEnd, PodState},
    pruning::ObservedPrune,
    text::one_line,
    training::error_text,
};

/// Longest part of a message that the Job's container wrote, in characters.
const WROTE_MAX: usize = 240;

/// All Jobs of the object with the UID `uid` that delete artifacts. One that is being deleted has not ended until it is gone.
pub fn observed(children: &Children, uid: &str, now: Timestamp) -> Vec<ObservedPrune> {
    let jobs = children.owned(Kind::Job, uid).filter_map(|(name, observed)| match &observed.state {
        ChildState::Prune(state) => Some((name, observed, state)),
        _ => None,
    });
    jobs.map(|(name, observed, state)| {
        let pod = children.pods().filter(|pod| pod.job.as_deref() == Some(name)).max_by_key(|pod| pod.created_at);
        ObservedPrune {
            job: name.into(),
            uid: observed.uid.clone(),
            versions: state.versions.clone(),
            blocked: pod.and_then(|pod| pod.blocked_at(now)).map(Into::into),
            end: ended(state.end.as_ref(), pod, now).filter(|_| !observed.deleting),
        }
    })
    .collect()
}

/// How a Job ended: as its condition has it, or as its container did, where other containers keep its pod alive.
fn ended(end: Option<&JobEnd>, pod: Option<&PodState>, now: Timestamp) -> Option<(Timestamp, Result<(), String>)> {
    let container = pod.and_then(|pod| pod.end.as_ref());
    if let Some(end) = end {
        let why = || {
            let of_job = format!("{}: {}", end.reason, end.message);
            container.map_or_else(|| one_line(&of_job, WROTE_MAX), failure)
        };
        return Some((end.at, if end.succeeded { Ok(()) } else { Err(why()) }));
    }
    let lingers = pod.and_then(runs::lingers_from).is_some_and(|from| from <= now);
    let container = container.filter(|_| lingers)?;
    Some((container.at, if container.exit_code == 0 { Ok(()) } else { Err(failure(container)) }))
}

/// Why a container failed: what it wrote, as a trainer does.
fn failure(end: &ContainerEnd) -> String {
    let wrote = one_line(&error_text(end.message.as_deref().unwrap_or_default()), WROTE_MAX);
    let wrote = if wrote.is_empty() { String::new() } else { format!(": {wrote}") };
    format!("it ended with exit code {}{wrote}", end.exit_code)
}

#[cfg(test)]
mod tests {
    use jiff::SignedDuration;

    use super::*;
    use crate::observe::{PruneState, Watched};

    /// The name of the Job.
    const JOB: &str = "packages-prune-1";

    fn after(seconds: i64) -> Timestamp {
        Timestamp::UNIX_EPOCH + SignedDuration::from_secs(seconds)
    }

    fn one(end: Option<JobEnd>, pod: Option<PodState>, now: Timestamp) -> ObservedPrune {
        let state = ChildState::Prune(PruneState { versions: vec!["full-1".into()], end });
        let mut children = Children::default().with(Watched::Child(Kind::Job), JOB, state, None);
        if let Some(pod) = pod {
            children = children.with(Watched::Pod, "p", ChildState::Nothing, Some(pod));
        }
        assert_eq!(observed(&children, "uid of another object", now), []);
        observed(&children, "uid", now).remove(0)
    }

    fn pod(exit_code: i32, message: &str) -> PodState {
        let end = ContainerEnd { at: after(5), exit_code, reason: "Error".into(), message: Some(message.to_owned()) };
        PodState { job: Some(JOB.into()), component: "prune".into(), end: Some(end), ..PodState::default() }
    }

    fn end(succeeded: bool) -> Option<JobEnd> {
        let (reason, message) = ("BackoffLimitExceeded".into(), "too many failures".into());
        Some(JobEnd { succeeded, at: after(9), observed_at: after(9), reason, message })
    }

    #[test]
    fn how_a_job_ended_is_what_its_condition_and_its_container_have() {
        assert_eq!(one(None, None, after(1)).end, None);
        assert_eq!(one(end(true), None, after(9)).end, Some((after(9), Ok(()))));
        let failed = |pod| one(end(false), pod, after(9)).end.and_then(|(_, result)| result.err()).unwrap_or_default();
        assert_eq!(failed(None), "BackoffLimitExceeded: too many failures");
        assert_eq!(
            failed(Some(pod(2, r#"{"error": "403 from the store"}"#))),
            "it ended with exit code 2: 403 from the store"
        );
        assert_eq!(failed(Some(pod(137, ""))), "it ended with exit code 137");
    }

    #[test]
    fn an_injected_sidecar_does_not_keep_a_job_from_its_end() {
        let kept_alive = |code| PodState { is_running: true, others: vec!["istio-proxy".into()], ..pod(code, "") };
        assert_eq!(one(None, Some(kept_alive(0)), after(10)).end, None, "the Job normally ends within seconds");
        assert_eq!(one(None, Some(kept_alive(0)), after(35)).end, Some((after(5), Ok(()))));
        assert!(matches!(one(None, Some(kept_alive(1)), after(35)).end, Some((_, Err(_)))));
    }
}
