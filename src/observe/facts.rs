//! What is kept of the objects that are watched: only what decisions and the status are made from.

use std::net::IpAddr;

use jiff::{SignedDuration, Timestamp};
use k8s_openapi::{
    api::{
        apps::v1::Deployment,
        autoscaling::v2::{CrossVersionObjectReference, HorizontalPodAutoscaler},
        batch::v1::Job,
        core::v1::{ContainerStatus, Pod},
    },
    apimachinery::pkg::apis::meta::v1::{ObjectMeta, Time},
};

use crate::{
    api::{DUE_ANNOTATION, REQUEST_ANNOTATION, TEMPLATE_ANNOTATION, TRIGGER_ANNOTATION, Trigger, VERSION_LABEL},
    render::{Kind, SERVER_CONTAINER, TRAINER_CONTAINER, WORKER_CONTAINER},
};

/// The state of a child beyond its metadata.
#[derive(Clone, Debug, PartialEq)]
pub enum Facts {
    /// Nothing of interest.
    Nothing,
    /// Of the Deployment of servers or of a worker.
    Deployment(DeploymentFacts),
    /// Of a training Job.
    Job(JobFacts),
    /// Of an autoscaler.
    Autoscaler(AutoscalerFacts),
}

impl Facts {
    /// Takes over what only we know: which generation of a Deployment was ours, and when, by our own clock, a Job was
    /// seen to end.
    pub fn keep(&mut self, before: &Self, now: Timestamp) {
        match (self, before) {
            (Self::Deployment(seen), Self::Deployment(before)) => {
                seen.applied_generation = seen.applied_generation.max(before.applied_generation);
            }
            (Self::Job(JobFacts { end: Some(end), .. }), Self::Job(before)) => {
                end.seen_at = before.end.as_ref().map_or(now, |before| before.seen_at);
            }
            _ => {}
        }
    }
}

/// The state of the Deployment of servers or of a worker.
#[derive(Clone, Debug, Default, PartialEq)]
pub struct DeploymentFacts {
    /// The version in its pod template; none for workers.
    pub version: Option<String>,
    /// Whether the Deployment's controller has seen the newest template.
    pub observed: bool,
    /// The generation that its controller has seen last.
    pub observed_generation: i64,
    /// The generation that our last apply gave; 0 when we did not apply it since we started.
    pub applied_generation: i64,
    /// Pods wanted.
    pub desired: i32,
    /// Pods there are, of any version.
    pub total: i32,
    /// Pods of the newest template.
    pub updated: i32,
    /// Pods that are ready, of any version.
    pub ready: i32,
    /// Why the rollout does not go on: the progress deadline passed, or pods are refused.
    pub stuck: Option<String>,
}

impl DeploymentFacts {
    /// Whether all pods are of the newest template and ready.
    pub fn rolled_out(&self) -> bool {
        self.observed && self.updated >= self.desired && self.total == self.updated && self.ready >= self.desired
    }

    /// Whether pods of an older template are still there, or are about to be replaced by what we applied. An autoscaler
    /// that changes the number of pods rolls nothing out.
    pub fn is_rolling(&self) -> bool {
        self.observed_generation < self.applied_generation || self.total != self.updated
    }
}

/// The state of a training Job.
#[derive(Clone, Debug, PartialEq)]
pub struct JobFacts {
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
    /// How it ended.
    pub end: Option<JobEnd>,
    /// From when on it is news that it has no pod, as where a quota refuses it.
    pub pod_due: Timestamp,
}

/// How a Job ended.
#[derive(Clone, Debug, PartialEq)]
pub struct JobEnd {
    /// Whether it succeeded.
    pub succeeded: bool,
    /// When, by the clock of the cluster.
    pub at: Timestamp,
    /// When we saw it end, by our own clock; `at` where it had ended before we first saw it.
    pub seen_at: Timestamp,
    /// Reason of the Job's condition, such as `BackoffLimitExceeded`.
    pub reason: String,
    /// Message of the Job's condition.
    pub message: String,
}

/// The state of an autoscaler.
#[derive(Clone, Debug, PartialEq)]
pub struct AutoscalerFacts {
    /// When it was created.
    pub created_at: Timestamp,
    /// Name of the Deployment whose replicas it writes; none when it writes those of something else.
    pub target: Option<String>,
    /// Its condition `ScalingActive`, with the message where it is not true.
    pub active: Option<(bool, String)>,
}

/// The state of a pod.
#[derive(Clone, Debug, Default, PartialEq)]
pub struct PodFacts {
    /// Its name.
    pub name: String,
    /// Identifies the pod template it was made from, as its ReplicaSet labels it.
    pub template: String,
    /// Whether its container runs and has passed its start-up probe, and the pod is not being deleted.
    pub started: bool,
    /// When its container was last restarted.
    pub restarted_at: Option<Timestamp>,
    /// The Job it belongs to; none for servers and workers.
    pub job: Option<String>,
    /// The component it belongs to, as [`crate::model::Workload::component`] names it; empty when its label is gone.
    pub component: String,
    /// The version it trains or serves; empty for workers.
    pub version: String,
    /// When it was created; the newest attempt of a Job counts.
    pub created_at: Timestamp,
    /// Since when it is ready without a break; none while it is not, and once it is being deleted.
    pub ready_since: Option<Timestamp>,
    /// Its address, by which it may be scraped whether or not it is ready; none once it has ended.
    pub address: Option<IpAddr>,
    /// Whether it was ready, and is not any more although its container has run ever since.
    pub lost_readiness: bool,
    /// How long it took from its creation to its being ready for the first time, in whole seconds. None before, and when its container
    /// was restarted on the way: that is not how a start normally goes. It is not known whether a pod that was ready
    /// when we first saw it had been ready before, so where it had, this is too long; None above [`LONGEST_START`].
    pub started_after: Option<SignedDuration>,
    /// Why its container does not start.
    pub blocked: Option<Blocked>,
    /// How its container ended.
    pub end: Option<ContainerEnd>,
}

/// Why a container does not start.
#[derive(Clone, Debug, PartialEq)]
pub struct Blocked {
    /// For a person.
    pub why: String,
    /// From when on it counts. A pod that no node takes in its first moments mostly waits for its volume.
    pub counts_from: Timestamp,
}

impl PodFacts {
    /// Takes over what only we know: how long its first start took. Readiness that is lost and comes back is no start.
    pub fn keep(&mut self, before: &Self) {
        self.started_after = before.started_after.or(self.started_after);
    }

    /// Why its container does not start, if that is not just the way every pod starts.
    pub fn blocked_at(&self, now: Timestamp) -> Option<&str> {
        self.blocked.as_ref().filter(|blocked| blocked.counts_from <= now).map(|blocked| blocked.why.as_str())
    }
}

/// How a container ended.
#[derive(Clone, Debug, PartialEq)]
pub struct ContainerEnd {
    /// Exit code.
    pub exit_code: i32,
    /// Reason, such as `OOMKilled`.
    pub reason: String,
    /// What it wrote to its termination log.
    pub message: Option<String>,
}

fn instant(time: Option<&Time>) -> Timestamp {
    time.map_or(Timestamp::UNIX_EPOCH, |time| time.0)
}

fn annotation<'a>(meta: &'a ObjectMeta, name: &str) -> Option<&'a str> {
    meta.annotations.as_ref()?.get(name).map(String::as_str)
}

fn label<'a>(meta: &'a ObjectMeta, name: &str) -> Option<&'a str> {
    meta.labels.as_ref()?.get(name).map(String::as_str)
}

/// What counts of a Deployment.
pub fn deployment(deployment: &Deployment) -> Facts {
    let spec = deployment.spec.as_ref();
    let status = deployment.status.clone().unwrap_or_default();
    let template = spec.and_then(|spec| spec.template.metadata.as_ref());
    let stuck = status.conditions.iter().flatten().find_map(|condition| {
        let late = condition.type_ == "Progressing" && condition.status == "False";
        let refused = condition.type_ == "ReplicaFailure" && condition.status == "True";
        (late || refused).then(|| condition.message.clone().unwrap_or_default())
    });
    Facts::Deployment(DeploymentFacts {
        version: template.and_then(|meta| label(meta, VERSION_LABEL)).map(Into::into),
        observed: status.observed_generation >= deployment.metadata.generation,
        observed_generation: status.observed_generation.unwrap_or_default(),
        applied_generation: 0,
        desired: spec.and_then(|spec| spec.replicas).unwrap_or(1),
        total: status.replicas.unwrap_or_default(),
        updated: status.updated_replicas.unwrap_or_default(),
        ready: status.ready_replicas.unwrap_or_default(),
        stuck,
    })
}

/// What counts of a Job. A Job without our annotations is none of our runs.
pub fn job(job: &Job) -> Facts {
    let meta = &job.metadata;
    let status = job.status.clone().unwrap_or_default();
    let end = status.conditions.iter().flatten().find_map(|condition| {
        let succeeded = condition.type_ == "Complete";
        let at = instant(condition.last_transition_time.as_ref());
        ((succeeded || condition.type_ == "Failed") && condition.status == "True").then(|| JobEnd {
            succeeded,
            at,
            seen_at: at,
            reason: condition.reason.clone().unwrap_or_default(),
            message: condition.message.clone().unwrap_or_default(),
        })
    });
    let (Some(version), Some(template)) = (label(meta, VERSION_LABEL), annotation(meta, TEMPLATE_ANNOTATION)) else {
        return Facts::Nothing;
    };
    let created_at = instant(meta.creation_timestamp.as_ref());
    Facts::Job(JobFacts {
        version: version.into(),
        due: annotation(meta, DUE_ANNOTATION).and_then(|text| text.parse().ok()).unwrap_or(created_at),
        trigger: annotation(meta, TRIGGER_ANNOTATION).and_then(|text| text.parse().ok()).unwrap_or(Trigger::Initial),
        template: template.into(),
        request: annotation(meta, REQUEST_ANNOTATION).map(Into::into),
        end,
        pod_due: created_at + SCHEDULING,
    })
}

/// What is known of a child from its metadata alone, before the watch has told its state. A Job that was just made runs:
/// it must not be taken for one that is lost.
pub fn of_new(kind: Kind, meta: &ObjectMeta) -> Facts {
    match kind {
        Kind::Job => job(&Job { metadata: meta.clone(), ..Job::default() }),
        _ => Facts::Nothing,
    }
}

/// What counts of an autoscaler.
pub fn autoscaler(autoscaler: &HorizontalPodAutoscaler) -> Facts {
    let conditions = autoscaler.status.as_ref().and_then(|status| status.conditions.as_ref());
    let active =
        conditions.into_iter().flatten().find(|condition| condition.type_ == "ScalingActive").map(|condition| {
            let active = condition.status == "True";
            // The message of an active autoscaler carries changing detail that nobody needs.
            (active, if active { String::new() } else { condition.message.clone().unwrap_or_default() })
        });
    let target = autoscaler.spec.as_ref().map(|spec| &spec.scale_target_ref);
    let is_deployment = |target: &&CrossVersionObjectReference| {
        target.kind == "Deployment" && target.api_version.as_ref().is_some_and(|version| version.starts_with("apps/"))
    };
    Facts::Autoscaler(AutoscalerFacts {
        created_at: instant(autoscaler.metadata.creation_timestamp.as_ref()),
        target: target.filter(is_deployment).map(|target| target.name.clone()),
        active,
    })
}

/// What counts of a pod.
pub fn pod(pod: &Pod) -> PodFacts {
    let status = pod.status.as_ref();
    let container = status.and_then(|status| status.container_statuses.as_ref()).into_iter().flatten();
    let container = container.into_iter().find(|container| CONTAINERS.contains(&container.name.as_str()));
    let created_at = instant(pod.metadata.creation_timestamp.as_ref());
    let ready_since = ready_since(pod);
    let is_restarted = container.is_none_or(|container| container.restart_count > 0);
    let is_started = container.is_some_and(|container| {
        container.started == Some(true) && container.state.as_ref().is_some_and(|state| state.running.is_some())
    });
    PodFacts {
        name: pod.metadata.name.clone().unwrap_or_default(),
        template: label(&pod.metadata, TEMPLATE_HASH_LABEL).unwrap_or_default().into(),
        started: is_started && pod.metadata.deletion_timestamp.is_none(),
        restarted_at: container.filter(|_| is_restarted).and_then(restarted_at),
        component: label(&pod.metadata, COMPONENT_LABEL).unwrap_or_default().into(),
        ready_since,
        address: status
            .filter(|status| !matches!(status.phase.as_deref(), Some("Succeeded" | "Failed")))
            .and_then(|status| status.pod_ip.as_ref()?.parse().ok()),
        lost_readiness: ready_since.is_none() && container.is_some_and(|container| lost_readiness(pod, container)),
        started_after: ready_since
            .filter(|_| !is_restarted)
            .map(|ready| ready.duration_since(created_at))
            .filter(|start| *start <= LONGEST_START),
        job: label(&pod.metadata, "batch.kubernetes.io/job-name").map(Into::into),
        version: label(&pod.metadata, VERSION_LABEL).unwrap_or_default().into(),
        created_at,
        blocked: container
            .and_then(blocked)
            .map(|why| Blocked { why, counts_from: created_at })
            .or_else(|| unschedulable(pod).map(|why| Blocked { why, counts_from: created_at + SCHEDULING })),
        end: container.and_then(end),
    }
}

/// The containers of our pods.
const CONTAINERS: [&str; 3] = [TRAINER_CONTAINER, SERVER_CONTAINER, WORKER_CONTAINER];

/// The label that tells servers and workers apart.
const COMPONENT_LABEL: &str = "app.kubernetes.io/component";

/// The label by which a Deployment's controller tells pods of one template from those of another.
const TEMPLATE_HASH_LABEL: &str = "pod-template-hash";

/// How long a pod may be without a node before that is news.
const SCHEDULING: SignedDuration = SignedDuration::from_secs(15);
/// No start takes longer, as `probes.startupSeconds` has it: a pod that seems to have taken longer had been ready before.
const LONGEST_START: SignedDuration = SignedDuration::from_secs(7200);

/// Reasons for waiting that pass by themselves in a healthy start.
const STARTING: [&str; 2] = ["ContainerCreating", "PodInitializing"];

fn blocked(container: &ContainerStatus) -> Option<String> {
    let waiting = container.state.as_ref()?.waiting.as_ref()?;
    let reason = waiting.reason.as_deref().unwrap_or_default();
    if reason.is_empty() || STARTING.contains(&reason) {
        return None;
    }
    // An image that cannot be pulled alternates between two reasons; one sentence keeps the status quiet.
    if matches!(reason, "ErrImagePull" | "ImagePullBackOff" | "ErrImageNeverPull") {
        return Some(format!("image {} cannot be pulled", container.image));
    }
    if reason == "CrashLoopBackOff" {
        return Some("the container ends right after its start (CrashLoopBackOff); see its log".into());
    }
    match waiting.message.as_deref().unwrap_or_default() {
        "" => Some(reason.into()),
        message => Some(format!("{reason}: {message}")),
    }
}

fn ready_since(pod: &Pod) -> Option<Timestamp> {
    if pod.metadata.deletion_timestamp.is_some() {
        return None;
    }
    let conditions = pod.status.as_ref()?.conditions.as_ref()?;
    let ready = conditions.iter().find(|c| c.type_ == "Ready" && c.status == "True")?;
    ready.last_transition_time.as_ref().map(|time| time.0)
}

/// Readiness is False from a pod's creation until it is ready for the first time. Where it became False after its container
/// started, it was True in between.
fn lost_readiness(pod: &Pod, container: &ContainerStatus) -> bool {
    let started = container.state.as_ref().and_then(|state| state.running.as_ref()?.started_at.as_ref());
    let conditions = pod.status.as_ref().and_then(|status| status.conditions.as_ref()).into_iter().flatten();
    let mut ready = conditions.filter(|condition| condition.type_ == "Ready" && condition.status == "False");
    let became_false = ready.find_map(|condition| condition.last_transition_time.as_ref());
    started.zip(became_false).is_some_and(|(started, became_false)| became_false.0 > started.0)
}

fn restarted_at(container: &ContainerStatus) -> Option<Timestamp> {
    let ended = container.last_state.as_ref()?.terminated.as_ref()?;
    ended.finished_at.as_ref().map(|time| time.0)
}

fn unschedulable(pod: &Pod) -> Option<String> {
    let conditions = pod.status.as_ref()?.conditions.as_ref()?;
    let scheduled = conditions.iter().find(|c| c.type_ == "PodScheduled" && c.status == "False")?;
    (scheduled.reason.as_deref() == Some("Unschedulable"))
        .then(|| format!("no node takes the pod: {}", scheduled.message.as_deref().unwrap_or("no reason given")))
}

fn end(container: &ContainerStatus) -> Option<ContainerEnd> {
    let terminated = container.state.as_ref()?.terminated.as_ref()?;
    Some(ContainerEnd {
        exit_code: terminated.exit_code,
        reason: terminated.reason.clone().unwrap_or_default(),
        message: terminated.message.clone(),
    })
}
