//! Training Jobs and their pods, as the training decides on them.

use jiff::{SignedDuration, Timestamp};

use crate::{
    api::TrainingKind,
    observe::{Facts, Family, JobEnd, JobFacts, PodFacts, Seen},
    render::Kind,
    training::{ObservedRun, RunState},
};

/// Jobs and pods are watched apart from each other: how long after the end of a Job its pod may still be unseen.
pub const POD_LAG: SignedDuration = SignedDuration::from_secs(20);

/// All training runs of the object of a UID, oldest first. Jobs of an earlier object of the same name, and Jobs that
/// were orphaned, are none of its runs: they give it no version, and they are not its to delete.
pub fn observed(family: &Family, uid: &str, now: Timestamp) -> Vec<ObservedRun> {
    let mut runs: Vec<_> = family
        .owned(Kind::Job, uid)
        .filter_map(|(name, seen)| match &seen.facts {
            // One that is being deleted still runs until it is gone; only then may it be started again.
            Facts::Job(job) if !seen.deleting || job.end.is_none() => Some(run(family, name, seen, job, now)),
            _ => None,
        })
        .collect();
    runs.sort_by_key(|run| run.due);
    runs
}

fn run(family: &Family, name: &str, seen: &Seen, job: &JobFacts, now: Timestamp) -> ObservedRun {
    let newest = family.pods().filter(|pod| pod.job.as_deref() == Some(name)).max_by_key(|pod| pod.created_at);
    ObservedRun {
        job: name.into(),
        uid: seen.uid.clone(),
        version: job.version.clone(),
        kind: TrainingKind::Full,
        trigger: job.trigger,
        due: job.due,
        template: job.template.clone(),
        request: job.request.clone(),
        state: match &job.end {
            None if seen.deleting => RunState::Running,
            None => under_way(newest, name, job, now),
            Some(end) => ended(end, newest, family, name, now),
        },
    }
}

fn under_way(newest: Option<&PodFacts>, name: &str, job: &JobFacts, now: Timestamp) -> RunState {
    let no_pod = || format!("its Job has no pod; kubectl describe job {name} tells why, often a ResourceQuota");
    match newest {
        Some(PodFacts { blocked: None, .. }) => RunState::Running,
        Some(pod) => RunState::Pending { blocked: pod.blocked_at(now).map(Into::into) },
        None => RunState::Pending { blocked: (job.pod_due <= now).then(no_pod) },
    }
}

fn ended(end: &JobEnd, newest: Option<&PodFacts>, family: &Family, job: &str, now: Timestamp) -> RunState {
    if end.succeeded {
        let report = family
            .pods()
            .filter(|pod| pod.job.as_deref() == Some(job))
            .find_map(|pod| pod.end.as_ref().filter(|end| end.exit_code == 0));
        if report.is_none() && now.duration_since(end.seen_at) < POD_LAG {
            return RunState::Running; // its pod has ended, we have only not heard of it yet
        }
        return RunState::Succeeded {
            finished_at: end.at,
            termination_message: report.and_then(|end| end.message.clone()),
        };
    }
    let container = newest.and_then(|pod| pod.end.as_ref());
    let blocked = newest.and_then(|pod| pod.blocked_at(now)).map(Into::into);
    RunState::Failed {
        finished_at: end.at,
        reason: end.reason.clone(),
        // A Job that ran out of time before its pod could start: what kept the pod is the news.
        message: blocked.unwrap_or_else(|| end.message.clone()),
        termination_message: container.and_then(|end| end.message.clone()),
        exit_code: container.map(|end| end.exit_code),
        container_reason: container.map(|end| end.reason.clone()),
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::{api::Trigger, observe::Watched};

    #[test]
    fn jobs_of_an_earlier_object_of_the_same_name_are_none_of_its_runs() {
        let now = Timestamp::UNIX_EPOCH;
        let job = JobFacts {
            version: "full-1".into(),
            due: now,
            trigger: Trigger::Initial,
            template: "t".into(),
            request: None,
            end: None,
            pod_due: now,
        };
        let family = Family::default().with(Watched::Child(Kind::Job), "packages-full-1", Facts::Job(job), None);
        assert_eq!(observed(&family, "uid", now).len(), 1);
        assert_eq!(observed(&family, "uid of a later object", now), []);
    }

    #[test]
    fn the_report_of_a_run_is_waited_for_by_our_own_clock() {
        let seen_at = Timestamp::UNIX_EPOCH;
        let later = |seconds| seen_at + SignedDuration::from_secs(seconds);
        for skew in [-3600, 0, 3600] {
            let at = later(skew);
            let job = JobFacts {
                version: "full-1".into(),
                due: at,
                trigger: Trigger::Initial,
                template: "t".into(),
                request: None,
                end: Some(JobEnd { succeeded: true, at, seen_at, reason: String::new(), message: String::new() }),
                pod_due: at,
            };
            let family = Family::default().with(Watched::Child(Kind::Job), "packages-full-1", Facts::Job(job), None);
            let state = |now| observed(&family, "uid", now).remove(0).state;
            assert_eq!(state(later(19)), RunState::Running, "its pod may not have been seen yet");
            assert_eq!(state(later(20)), RunState::Succeeded { finished_at: at, termination_message: None });
        }
    }
}
