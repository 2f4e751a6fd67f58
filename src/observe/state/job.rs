//! The state of a Job: a training run, or one that deletes artifacts.

use jiff::Timestamp;
use k8s_openapi::api::batch::v1::Job;

use super::{ChildState, annotation, instant, label};
use crate::{
    api::{
        BASE_ANNOTATION, Base, CAUSE_ANNOTATION, DUE_ANNOTATION, PRUNE_ANNOTATION, QUEUE_LABEL, REQUEST_ANNOTATION,
        TEMPLATE_ANNOTATION, TRIGGER_ANNOTATION, Trigger, VERSION_LABEL,
    },
    observe::blocked::SCHEDULING,
};

/// The state of a training Job.
#[derive(Clone, Debug, PartialEq)]
pub struct JobState {
    /// The version it trains.
    pub version: String,
    /// When the run was due.
    pub due: Timestamp,
    /// Why it was started.
    pub trigger: Trigger,
    /// Hash of its settings.
    pub template: String,
    /// The request that started it.
    pub request: Option<String>,
    /// The trigger that started it, and what was observed.
    pub cause: Option<String>,
    /// What it is trained on top of, of a partial run.
    pub base: Option<Base>,
    /// When the Job controller started it; none while it is suspended.
    pub started_at: Option<Timestamp>,
    /// How it ended.
    pub end: Option<JobEnd>,
    /// From when on a missing pod is reported, for example one that a quota refuses. `None` once the Job controller ends the Job,
    /// for example at its deadline: it deletes the pods before the Job gets its condition Failed.
    pub pod_due: Option<Timestamp>,
    /// Whether it is suspended, and has no pods: by a queue that has not admitted it yet, or by another client.
    pub suspended: bool,
    /// The queue that is to admit it.
    pub queue: Option<String>,
    /// Why it gets no pod, from its Events.
    pub refused: Option<String>,
}

impl JobState {
    /// Whether it counts as one that gets no pod, if it has none.
    pub fn is_pod_due(&self, now: Timestamp) -> bool {
        self.pod_due.is_some_and(|due| due <= now)
    }
}

/// The state of a Job that deletes artifacts.
#[derive(Clone, Debug, PartialEq)]
pub struct PruneState {
    /// The versions it deletes.
    pub versions: Vec<String>,
    /// How it ended.
    pub end: Option<JobEnd>,
}

/// How a Job ended.
#[derive(Clone, Debug, PartialEq)]
pub struct JobEnd {
    /// Whether it succeeded.
    pub succeeded: bool,
    /// When it ended, by the clock of the cluster.
    pub at: Timestamp,
    /// When its end was first observed, by our own clock; `at` if it had ended before it was first observed.
    pub observed_at: Timestamp,
    /// Reason of the Job's condition, such as `BackoffLimitExceeded`.
    pub reason: String,
    /// Message of the Job's condition.
    pub message: String,
}

/// Conditions of a Job that the Job controller ends: Failed and Complete follow once its pods are gone.
const ENDING: [&str; 2] = ["FailureTarget", "SuccessCriteriaMet"];

/// The state of a Job. A Job without our version label and template annotation is not a training run; one with versions to delete is none either.
pub fn job(job: &Job) -> ChildState {
    let meta = &job.metadata;
    let status = job.status.clone().unwrap_or_default();
    let end = status.conditions.iter().flatten().find_map(|condition| {
        let succeeded = condition.type_ == "Complete";
        let at = instant(condition.last_transition_time.as_ref());
        ((succeeded || condition.type_ == "Failed") && condition.status == "True").then(|| JobEnd {
            succeeded,
            at,
            observed_at: at,
            reason: condition.reason.clone().unwrap_or_default(),
            message: condition.message.clone().unwrap_or_default(),
        })
    });
    if let Some(versions) = annotation(meta, PRUNE_ANNOTATION) {
        return ChildState::Prune(PruneState { versions: versions.split_whitespace().map(Into::into).collect(), end });
    }
    let (Some(version), Some(template)) = (label(meta, VERSION_LABEL), annotation(meta, TEMPLATE_ANNOTATION)) else {
        return ChildState::Nothing;
    };
    let created_at = instant(meta.creation_timestamp.as_ref());
    let is_ending = status
        .conditions
        .iter()
        .flatten()
        .any(|condition| ENDING.contains(&condition.type_.as_str()) && condition.status == "True");
    let started_at = status.start_time.map(|start| start.0.max(created_at));
    ChildState::Job(JobState {
        version: version.into(),
        due: annotation(meta, DUE_ANNOTATION).and_then(|text| text.parse().ok()).unwrap_or(created_at),
        trigger: annotation(meta, TRIGGER_ANNOTATION).and_then(|text| text.parse().ok()).unwrap_or(Trigger::Initial),
        template: template.into(),
        request: annotation(meta, REQUEST_ANNOTATION).map(Into::into),
        cause: annotation(meta, CAUSE_ANNOTATION).map(Into::into),
        base: annotation(meta, BASE_ANNOTATION).and_then(|json| serde_json::from_str(json).ok()),
        started_at,
        end,
        pod_due: (!is_ending).then(|| started_at.unwrap_or(created_at) + SCHEDULING),
        suspended: job.spec.as_ref().is_some_and(|spec| spec.suspend == Some(true)),
        queue: label(meta, QUEUE_LABEL).map(Into::into),
        refused: None,
    })
}
