//! Training Jobs and their pods, as inputs of the training's decisions.

use jiff::{SignedDuration, Timestamp};

use crate::{
    api::{ActiveRun, TrainingKind},
    causes::{self, Part},
    kinds::Kind,
    names::TRAINING_COMPONENT,
    observe::{ChildState, Children, ContainerEnd, JobEnd, JobState, ObservedChild, PodState},
    training::{ObservedRun, RunState},
};

/// How long after the end of a Job the end of its pod may not be observed yet: 20 s. Jobs and pods have separate watches.
pub const POD_LAG: SignedDuration = SignedDuration::from_secs(20);

/// How long other containers may outlive the trainer before its end counts as the end of the run: 30 s. Normally the Job is
/// complete within seconds.
const LINGER: SignedDuration = SignedDuration::from_secs(30);

/// What the runs are computed from.
pub struct Inputs<'a> {
    /// The object's children and their pods.
    pub children: &'a Children,
    /// UID of the object.
    pub uid: &'a str,
    /// Namespace of the object.
    pub namespace: &'a str,
    /// The active run as the status recorded it: the cause of a pod that is gone.
    pub active: Option<&'a ActiveRun>,
    /// The current time.
    pub now: Timestamp,
}

/// All training runs of the object with the UID `uid`, oldest first. Jobs of an earlier object of the same name, and
/// orphaned Jobs, are not its runs: they give it no version, and it must not delete them.
pub fn observed(inputs: &Inputs<'_>) -> Vec<ObservedRun> {
    let mut runs: Vec<_> = inputs
        .children
        .owned(Kind::Job, inputs.uid)
        .filter_map(|(name, observed)| match &observed.state {
            // A Job that is being deleted counts as running until it is gone; only then may it be started again.
            ChildState::Job(job) if !observed.deleting || job.end.is_none() => Some(run(inputs, name, observed, job)),
            _ => None,
        })
        .collect();
    runs.sort_by_key(|run| run.due);
    runs
}

fn run(inputs: &Inputs<'_>, name: &str, observed: &ObservedChild, job: &JobState) -> ObservedRun {
    ObservedRun {
        job: name.into(),
        uid: observed.uid.clone(),
        version: job.version.clone(),
        kind: TrainingKind::of_version(&job.version),
        trigger: job.trigger,
        due: job.due,
        template: job.template.clone(),
        request: job.request.clone(),
        cause: job.cause.clone(),
        base: job.base.clone(),
        started_at: job.started_at,
        state: match &job.end {
            None if observed.deleting => RunState::Running,
            None if job.suspended => RunState::Suspended { queue: job.queue.clone() },
            None => under_way(inputs, name, job),
            Some(end) => ended(inputs, name, job, end),
        },
    }
}

/// Whether a trainer of the object has not ended although its Job was deleted. Orphans of an earlier object of the same name
/// count as well: they write below the same URI.
pub fn has_trainer(children: &Children) -> bool {
    let has_job = |job: &str| children.of_kind(Kind::Job).any(|(name, _)| name == job);
    let trainers = children.pods().filter(|pod| pod.component == TRAINING_COMPONENT);
    let mut deleted = trainers.filter(|pod| pod.job.as_deref().is_some_and(|job| !has_job(job)));
    deleted.any(|pod| pod.end.is_none() && pod.current().is_some())
}

/// The pods of a Job.
fn pods<'a>(inputs: &Inputs<'a>, job: &str) -> impl Iterator<Item = &'a PodState> {
    inputs.children.pods().filter(move |pod| pod.job.as_deref() == Some(job))
}

/// Of several trainers one that cannot start, or else the newest pod.
fn newest<'a>(pods: impl Iterator<Item = &'a PodState>, now: Timestamp) -> Option<&'a PodState> {
    pods.max_by_key(|pod| (pod.end.is_none() && pod.blocked_at(now).is_some(), pod.created_at))
}

/// Why the pod of a run could not start when it was last observed. The Job controller deletes the pod before the Job gets
/// its condition Failed.
fn last_known<'a>(inputs: &Inputs<'a>, job: &str) -> Option<&'a str> {
    inputs.active.filter(|active| active.job == job)?.blocked.as_deref()
}

fn under_way(inputs: &Inputs<'_>, name: &str, job: &JobState) -> RunState {
    let no_pod = || format!("its Job has no pod; kubectl -n {} describe job {name} shows why", inputs.namespace);
    if let Some(outlived) = outlived(&pods(inputs, name).collect::<Vec<_>>(), inputs.now) {
        return outlived;
    }
    match newest(pods(inputs, name), inputs.now) {
        Some(PodState { blocked: None, .. }) => RunState::Running,
        Some(pod) => RunState::Pending { blocked: pod.blocked_at(inputs.now).map(Into::into) },
        None => {
            let known = job.refused.as_deref().or_else(|| last_known(inputs, name)).map(str::to_owned);
            RunState::Pending { blocked: known.or_else(|| job.is_pod_due(inputs.now).then(no_pod)) }
        }
    }
}

/// From when on the end of a trainer counts as the end of its run, although other containers keep its pod alive.
pub fn lingers_from(pod: &PodState) -> Option<Timestamp> {
    let end = pod.end.as_ref().filter(|_| pod.job.is_some() && pod.is_running && !pod.others.is_empty())?;
    Some(end.at + LINGER)
}

/// The state of a run whose trainers have all ended, in pods that other containers keep alive: the Job would not end before its
/// deadline.
fn outlived(pods: &[&PodState], now: Timestamp) -> Option<RunState> {
    let lingers = |pod: &&&PodState| lingers_from(pod).is_some_and(|from| from <= now);
    let first = pods.iter().find(lingers).filter(|_| pods.iter().all(|pod| pod.end.is_some()))?;
    let warning = format!(
        "Its pod is kept alive by container {}, and its Job until the deadline: let it be injected as a native sidecar (an init \
         container with restartPolicy Always), or turn the injection off with {}",
        first.others.join(" and "),
        causes::field("Annotations", Part::Training).unwrap_or_default()
    );
    let mut ends = pods.iter().filter(lingers).filter_map(|pod| Some((pod.name.clone(), pod.end.clone()?)));
    if let Some((pod, end)) = ends.find(|(_, end)| end.exit_code != 0) {
        return Some(RunState::Failed {
            finished_at: end.at,
            reason: String::new(),
            message: warning,
            termination_message: end.message,
            exit_code: Some(end.exit_code),
            container_reason: Some(end.reason),
            failed_by: None,
            pod: Some(pod),
        });
    }
    Some(RunState::Succeeded {
        finished_at: first.end.as_ref()?.at,
        termination_message: report(pods).and_then(|end| end.message.clone()),
        warning: Some(warning),
    })
}

/// The end of the trainer that reports: of several the one with number 0.
fn report<'a>(pods: &[&'a PodState]) -> Option<&'a ContainerEnd> {
    pods.iter().filter(|pod| pod.index == 0).find_map(|pod| pod.end.as_ref().filter(|end| end.exit_code == 0))
}

fn ended(inputs: &Inputs<'_>, name: &str, job: &JobState, end: &JobEnd) -> RunState {
    if end.succeeded {
        let report = report(&pods(inputs, name).collect::<Vec<_>>());
        if report.is_none() && inputs.now.duration_since(end.observed_at) < POD_LAG {
            return RunState::Running; // its pod has ended, but the watch has not delivered that yet
        }
        return RunState::Succeeded {
            finished_at: end.at,
            termination_message: report.and_then(|end| end.message.clone()),
            warning: None,
        };
    }
    let failed = |pod: &PodState| pod.end.as_ref().is_some_and(|end| end.exit_code != 0);
    let newest = pods(inputs, name).max_by_key(|pod| (pod.created_at, failed(pod)));
    if let Some(interrupted) = interrupted(inputs, name, job, end, newest) {
        return interrupted;
    }
    // Of several trainers, one that has not failed may have been created later than the one that has.
    let newest = pods(inputs, name).max_by_key(|pod| (failed(pod), pod.created_at));
    let container = newest.and_then(|pod| pod.end.as_ref());
    RunState::Failed {
        finished_at: end.at,
        reason: end.reason.clone(),
        message: end.message.clone(),
        termination_message: container.and_then(|end| end.message.clone()),
        exit_code: container.map(|end| end.exit_code),
        container_reason: container.map(|end| end.reason.clone()),
        failed_by: newest.and_then(|pod| pod.failed_by.clone()),
        pod: newest.map(|pod| pod.name.clone()),
    }
}

/// The state of a failed Job whose trainer is not the cause: its pod was evicted, or could not start until the deadline.
fn interrupted(
    inputs: &Inputs<'_>,
    name: &str,
    job: &JobState,
    end: &JobEnd,
    newest: Option<&PodState>,
) -> Option<RunState> {
    if let Some(why) = newest.and_then(|pod| pod.disrupted.clone()) {
        return Some(RunState::Interrupted { at: end.at, had_started: true, why });
    }
    let has_ended = pods(inputs, name).any(|pod| pod.end.is_some());
    let now = newest.and_then(|pod| pod.blocked_at(inputs.now));
    let last = || job.refused.as_deref().or_else(|| last_known(inputs, name)).filter(|_| newest.is_none());
    let why = now.or_else(last).filter(|_| !has_ended)?;
    Some(RunState::Interrupted { at: end.at, had_started: false, why: why.into() })
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::{
        api::Trigger,
        observe::{Blocked, Watched},
    };

    /// The name of the Job.
    const JOB: &str = "packages-full-1";

    fn job(at: Timestamp, end: Option<JobEnd>) -> JobState {
        JobState {
            version: "full-1".into(),
            due: at,
            trigger: Trigger::Initial,
            template: "t".into(),
            request: None,
            cause: None,
            base: None,
            started_at: None,
            end,
            pod_due: Some(at),
            suspended: false,
            queue: None,
            refused: None,
        }
    }

    fn failed(at: Timestamp) -> JobEnd {
        let (reason, message) = ("DeadlineExceeded".into(), "Job was active longer than specified deadline".into());
        JobEnd { succeeded: false, at, observed_at: at, reason, message }
    }

    fn children(job: JobState, pod: Option<PodState>) -> Children {
        let children = Children::default().with(Watched::Child(Kind::Job), JOB, ChildState::Job(job), None);
        match pod {
            Some(pod) => children.with(Watched::Pod, "p", ChildState::Nothing, Some(pod)),
            None => children,
        }
    }

    /// The runs of the object with that UID.
    fn runs(children: &Children, uid: &str, active: Option<&ActiveRun>, now: Timestamp) -> Vec<ObservedRun> {
        observed(&Inputs { children, uid, namespace: "shop", active, now })
    }

    fn state(children: &Children, active: Option<&ActiveRun>, now: Timestamp) -> RunState {
        runs(children, "uid", active, now).remove(0).state
    }

    fn pod() -> PodState {
        PodState { job: Some(JOB.into()), component: "training".into(), ..PodState::default() }
    }

    fn after(seconds: i64) -> Timestamp {
        Timestamp::UNIX_EPOCH + SignedDuration::from_secs(seconds)
    }

    fn active(blocked: Option<&str>) -> ActiveRun {
        ActiveRun {
            job: JOB.into(),
            version: "full-1".into(),
            kind: TrainingKind::Full,
            trigger: Trigger::Initial,
            cause: None,
            blocked: blocked.map(Into::into),
            progress: None,
        }
    }

    #[test]
    fn jobs_of_an_earlier_object_of_the_same_name_are_not_its_runs() {
        let children = children(job(after(0), None), None);
        assert_eq!(runs(&children, "uid", None, after(0)).len(), 1);
        assert_eq!(runs(&children, "uid of a later object", None, after(0)), []);
    }

    #[test]
    fn a_trainer_whose_job_was_deleted_counts_until_it_has_ended() {
        let pod = |change: PodState| PodState { is_running: true, ..change };
        let without_job = |pod| Children::default().with(Watched::Pod, "p", ChildState::Nothing, Some(pod));
        assert!(has_trainer(&without_job(pod(self::pod()))));
        assert!(!has_trainer(&children(job(after(0), None), Some(pod(self::pod())))), "its Job is there");
        assert!(!has_trainer(&without_job(pod(PodState { end: Some(ContainerEnd::default()), ..self::pod() }))));
        for component in ["serving", "prune"] {
            assert!(!has_trainer(&without_job(pod(PodState { component: component.into(), ..self::pod() }))));
        }
    }

    #[test]
    fn the_report_of_a_run_is_waited_for_by_our_own_clock() {
        for skew in [-3600, 0, 3600] {
            let at = after(skew);
            let end =
                JobEnd { succeeded: true, at, observed_at: after(0), reason: String::new(), message: String::new() };
            let children = children(job(at, Some(end)), None);
            let state = |now| state(&children, None, now);
            assert_eq!(state(after(19)), RunState::Running, "its pod may not have been observed yet");
            let unreported = RunState::Succeeded { finished_at: at, termination_message: None, warning: None };
            assert_eq!(state(after(20)), unreported);
        }
    }

    #[test]
    fn a_run_that_was_blocked_until_its_deadline_keeps_its_cause_although_its_pod_is_gone() {
        let known = active(Some("a Secret does not exist"));
        let blocked = RunState::Pending { blocked: Some("a Secret does not exist".into()) };
        assert_eq!(
            state(&children(job(after(0), None), None), Some(&known), after(60)),
            blocked,
            "before the condition"
        );
        let ended = children(job(after(0), Some(failed(after(60)))), None);
        let why = "a Secret does not exist".to_owned();
        let interrupted = RunState::Interrupted { at: after(60), had_started: false, why: why.clone() };
        assert_eq!(state(&ended, Some(&known), after(60)), interrupted);
        assert!(matches!(state(&ended, Some(&active(None)), after(60)), RunState::Failed { .. }), "it was running");
        assert!(matches!(state(&ended, None, after(60)), RunState::Failed { .. }));

        let pod = PodState { blocked: Some(Blocked { why, counts_from: after(0) }), ..pod() };
        let still_there = children(job(after(0), Some(failed(after(60)))), Some(pod));
        assert_eq!(state(&still_there, None, after(60)), interrupted);
    }

    /// At a deadline, the Job controller first sets FailureTarget, then deletes the pods, and then sets Failed.
    #[test]
    fn a_job_that_is_ended_is_not_one_that_gets_no_pod() {
        let at_deadline = |pod_due| children(JobState { pod_due, ..job(after(0), None) }, None);
        let no_pod = state(&at_deadline(Some(after(15))), Some(&active(None)), after(60));
        assert!(matches!(no_pod, RunState::Pending { blocked: Some(_) }), "{no_pod:?}");
        let ending = state(&at_deadline(None), Some(&active(None)), after(60));
        assert_eq!(ending, RunState::Pending { blocked: None });
        let known = state(&at_deadline(None), Some(&active(Some("no node takes the pod"))), after(60));
        assert_eq!(known, RunState::Pending { blocked: Some("no node takes the pod".into()) });
    }

    #[test]
    fn an_evicted_pod_is_no_failure_of_the_trainer() {
        let end = ContainerEnd { at: after(50), exit_code: 137, reason: "Error".into(), message: None };
        let evicted = PodState { disrupted: Some("it was evicted".into()), end: Some(end.clone()), ..pod() };
        let interrupted = RunState::Interrupted { at: after(60), had_started: true, why: "it was evicted".into() };
        assert_eq!(
            state(&children(job(after(0), Some(failed(after(60)))), Some(evicted)), None, after(60)),
            interrupted
        );
        let by_limit = PodState { failed_by: Some("its disk is full".into()), end: Some(end), ..pod() };
        let state = state(&children(job(after(0), Some(failed(after(60)))), Some(by_limit)), None, after(60));
        assert!(matches!(state, RunState::Failed { failed_by: Some(why), .. } if why == "its disk is full"));
    }

    #[test]
    fn the_end_of_a_trainer_counts_although_an_injected_sidecar_keeps_its_pod_alive() {
        let end =
            |exit_code| ContainerEnd { at: after(26), exit_code, reason: String::new(), message: Some("{}".into()) };
        let lingering = |exit_code| {
            let pod =
                PodState { is_running: true, others: vec!["istio-proxy".into()], end: Some(end(exit_code)), ..pod() };
            children(job(after(0), None), Some(pod))
        };
        assert_eq!(state(&lingering(0), None, after(55)), RunState::Running, "the Job normally ends within seconds");
        let RunState::Succeeded { finished_at, termination_message, warning: Some(warning) } =
            state(&lingering(0), None, after(56))
        else {
            panic!("it has succeeded")
        };
        assert_eq!((finished_at, termination_message.as_deref()), (after(26), Some("{}")));
        assert!(
            warning.contains("container istio-proxy") && warning.contains("spec.training.pod.annotations"),
            "{warning}"
        );
        assert!(matches!(state(&lingering(1), None, after(56)), RunState::Failed { exit_code: Some(1), .. }));
    }

    #[test]
    fn of_several_trainers_the_report_of_number_0_counts() {
        let end = |index: u32| ContainerEnd { message: Some(index.to_string()), ..ContainerEnd::default() };
        let pods = [2, 0, 1].map(|index| PodState { index, end: Some(end(index)), ..pod() });
        let report = report(&pods.iter().collect::<Vec<_>>()).and_then(|end| end.message.as_deref());
        assert_eq!(report, Some("0"));
    }

    #[test]
    fn of_several_trainers_the_pod_of_the_one_that_failed_is_named() {
        let end = |exit_code| Some(ContainerEnd { exit_code, ..ContainerEnd::default() });
        let trainer = |name: &str, second, code| PodState {
            name: name.into(),
            created_at: after(second),
            end: end(code),
            ..pod()
        };
        let children = children(job(after(0), Some(failed(after(60)))), Some(trainer("run-2-x", 0, 1)));
        let children = children.with(Watched::Pod, "q", ChildState::Nothing, Some(trainer("run-0-y", 9, 0)));
        let state = state(&children, None, after(60));
        assert!(
            matches!(&state, RunState::Failed { pod: Some(pod), exit_code: Some(1), .. } if pod == "run-2-x"),
            "{state:?}"
        );
    }

    #[test]
    fn of_several_trainers_the_one_that_cannot_start_is_reported() {
        let blocked = Some(Blocked { why: "no node takes the pod".into(), counts_from: after(0) });
        let pods = [PodState { blocked, ..pod() }, PodState { created_at: after(1), ..pod() }];
        assert_eq!(newest(pods.iter(), after(2)), Some(&pods[0]));
        assert_eq!(newest(pods[1..].iter(), after(2)), Some(&pods[1]));
    }
}
