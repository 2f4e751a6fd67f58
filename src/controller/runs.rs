//! Training Jobs and their pods, as inputs of the training's decisions.

use jiff::{SignedDuration, Timestamp};

use crate::{
    api::TrainingKind,
    kinds::Kind,
    observe::{ChildState, Children, JobEnd, JobState, ObservedChild, PodState},
    training::{ObservedRun, RunState},
};

/// How long after the end of a Job the end of its pod may not be observed yet: 20 s. Jobs and pods have separate watches.
pub const POD_LAG: SignedDuration = SignedDuration::from_secs(20);

/// All training runs of the object with the UID `uid`, oldest first. Jobs of an earlier object of the same name, and
/// orphaned Jobs, are not its runs: they give it no version, and it must not delete them.
pub fn observed(children: &Children, uid: &str, now: Timestamp) -> Vec<ObservedRun> {
    let mut runs: Vec<_> = children
        .owned(Kind::Job, uid)
        .filter_map(|(name, observed)| match &observed.state {
            // A Job that is being deleted counts as running until it is gone; only then may it be started again.
            ChildState::Job(job) if !observed.deleting || job.end.is_none() => {
                Some(run(children, name, observed, job, now))
            }
            _ => None,
        })
        .collect();
    runs.sort_by_key(|run| run.due);
    runs
}

fn run(children: &Children, name: &str, observed: &ObservedChild, job: &JobState, now: Timestamp) -> ObservedRun {
    let pods = || children.pods().filter(|pod| pod.job.as_deref() == Some(name));
    ObservedRun {
        job: name.into(),
        uid: observed.uid.clone(),
        version: job.version.clone(),
        kind: TrainingKind::Full,
        trigger: job.trigger,
        due: job.due,
        template: job.template.clone(),
        request: job.request.clone(),
        state: match &job.end {
            None if observed.deleting => RunState::Running,
            None if job.suspended => RunState::Suspended { queue: job.queue.clone() },
            None => under_way(newest(pods(), now), name, job, now),
            Some(end) => ended(end, pods().collect(), now),
        },
    }
}

/// Of several trainers one that cannot start, or else the newest pod.
fn newest<'a>(pods: impl Iterator<Item = &'a PodState>, now: Timestamp) -> Option<&'a PodState> {
    pods.max_by_key(|pod| (pod.end.is_none() && pod.blocked_at(now).is_some(), pod.created_at))
}

fn under_way(newest: Option<&PodState>, name: &str, job: &JobState, now: Timestamp) -> RunState {
    let no_pod = || format!("its Job has no pod; kubectl describe job {name} tells why, often a ResourceQuota");
    match newest {
        Some(PodState { blocked: None, .. }) => RunState::Running,
        Some(pod) => RunState::Pending { blocked: pod.blocked_at(now).map(Into::into) },
        None => RunState::Pending { blocked: (job.pod_due <= now).then(no_pod) },
    }
}

fn ended(end: &JobEnd, pods: Vec<&PodState>, now: Timestamp) -> RunState {
    if end.succeeded {
        let succeeded = |pod: &&&PodState| pod.index == 0 && pod.end.as_ref().is_some_and(|end| end.exit_code == 0);
        let report = pods.iter().find(succeeded).and_then(|pod| pod.end.as_ref());
        if report.is_none() && now.duration_since(end.observed_at) < POD_LAG {
            return RunState::Running; // its pod has ended, but the watch has not delivered that yet
        }
        return RunState::Succeeded {
            finished_at: end.at,
            termination_message: report.and_then(|end| end.message.clone()),
        };
    }
    let failed = |pod: &PodState| pod.end.as_ref().is_some_and(|end| end.exit_code != 0);
    let newest = pods.into_iter().max_by_key(|pod| (pod.created_at, failed(pod)));
    let container = newest.and_then(|pod| pod.end.as_ref());
    let blocked = newest.and_then(|pod| pod.blocked_at(now)).map(Into::into);
    RunState::Failed {
        finished_at: end.at,
        reason: end.reason.clone(),
        // If the Job ran out of time before its pod could start, the message is what blocked the pod.
        message: blocked.unwrap_or_else(|| end.message.clone()),
        termination_message: container.and_then(|end| end.message.clone()),
        exit_code: container.map(|end| end.exit_code),
        container_reason: container.map(|end| end.reason.clone()),
        failed_by_node: newest.and_then(|pod| pod.failed_by_node.clone()),
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::{
        api::Trigger,
        observe::{Blocked, ContainerEnd, Watched},
    };

    #[test]
    fn jobs_of_an_earlier_object_of_the_same_name_are_not_its_runs() {
        let now = Timestamp::UNIX_EPOCH;
        let job = JobState {
            version: "full-1".into(),
            due: now,
            trigger: Trigger::Initial,
            template: "t".into(),
            request: None,
            end: None,
            pod_due: now,
            suspended: false,
            queue: None,
        };
        let children =
            Children::default().with(Watched::Child(Kind::Job), "packages-full-1", ChildState::Job(job), None);
        assert_eq!(observed(&children, "uid", now).len(), 1);
        assert_eq!(observed(&children, "uid of a later object", now), []);
    }

    #[test]
    fn the_report_of_a_run_is_waited_for_by_our_own_clock() {
        let observed_at = Timestamp::UNIX_EPOCH;
        let later = |seconds| observed_at + SignedDuration::from_secs(seconds);
        for skew in [-3600, 0, 3600] {
            let at = later(skew);
            let job = JobState {
                version: "full-1".into(),
                due: at,
                trigger: Trigger::Initial,
                template: "t".into(),
                request: None,
                end: Some(JobEnd { succeeded: true, at, observed_at, reason: String::new(), message: String::new() }),
                pod_due: at,
                suspended: false,
                queue: None,
            };
            let children =
                Children::default().with(Watched::Child(Kind::Job), "packages-full-1", ChildState::Job(job), None);
            let state = |now| observed(&children, "uid", now).remove(0).state;
            assert_eq!(state(later(19)), RunState::Running, "its pod may not have been observed yet");
            assert_eq!(state(later(20)), RunState::Succeeded { finished_at: at, termination_message: None });
        }
    }

    #[test]
    fn of_several_trainers_the_report_of_number_0_counts() {
        let now = Timestamp::UNIX_EPOCH;
        let end = JobEnd { succeeded: true, at: now, observed_at: now, reason: String::new(), message: String::new() };
        let pod = |index| PodState {
            index,
            end: Some(ContainerEnd { exit_code: 0, message: Some(index.to_string()), ..ContainerEnd::default() }),
            ..PodState::default()
        };
        let pods = [pod(2), pod(0), pod(1)];
        let expected = RunState::Succeeded { finished_at: now, termination_message: Some("0".into()) };
        assert_eq!(ended(&end, pods.iter().collect(), now), expected);
    }

    #[test]
    fn of_several_trainers_the_one_that_cannot_start_is_reported() {
        let now = Timestamp::UNIX_EPOCH;
        let blocked = Some(Blocked { why: "no node takes the pod".into(), counts_from: now });
        let pods = [PodState { blocked, ..PodState::default() }, PodState { created_at: now, ..PodState::default() }];
        assert_eq!(newest(pods.iter(), now), Some(&pods[0]));
        assert_eq!(newest(pods[1..].iter(), now), Some(&pods[1]));
    }
}
