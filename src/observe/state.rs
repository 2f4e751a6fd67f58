//! The state kept of the watched objects: only what decisions and the status are computed from.

use std::net::IpAddr;

use jiff::{SignedDuration, Timestamp};
use k8s_openapi::{
    api::{
        apps::v1::Deployment,
        autoscaling::v2::{CrossVersionObjectReference, HorizontalPodAutoscaler},
        batch::v1::Job,
        core::v1::{ContainerStatus, Pod, PodSpec},
    },
    apimachinery::pkg::apis::meta::v1::{ObjectMeta, Time},
};

use super::{
    blocked::{self, SCHEDULING},
    fields::are_replicas_ordered,
    route::RouteState,
    settings::settings,
};
use crate::{
    api::{
        BASE_ANNOTATION, Base, CAUSE_ANNOTATION, DUE_ANNOTATION, PRUNE_ANNOTATION, QUEUE_LABEL, REQUEST_ANNOTATION,
        RESTARTED_ANNOTATION, SERVERS_ANNOTATION, TEMPLATE_ANNOTATION, TEMPLATE_HASH_LABEL, TRIGGER_ANNOTATION,
        Trigger, VERSION_FILE_ANNOTATION, VERSION_LABEL,
    },
    causes::{self, Part, Source, Subject},
    kinds::Kind,
    render::{SERVER_CONTAINER, TRAINER_CONTAINER, WORKER_CONTAINER},
    version_file::{self, Artifact},
};

/// The state of a child beyond its metadata.
#[derive(Clone, Debug, PartialEq)]
pub enum ChildState {
    /// None is kept.
    Nothing,
    /// Of the Deployment of servers or of a worker.
    Deployment(DeploymentState),
    /// Of a training Job.
    Job(JobState),
    /// Of a Job that deletes artifacts.
    Prune(PruneState),
    /// Of an autoscaler.
    Autoscaler(AutoscalerState),
    /// Of the ConfigMap with the version file of servers: the version that it names.
    VersionFile(Artifact),
    /// Of an HTTPRoute.
    Route(RouteState),
}

impl ChildState {
    /// Takes over what the API server does not report: the generation that our last apply of a Deployment gave, and when,
    /// by our own clock, the end of a Job was first observed.
    pub fn keep(&mut self, before: &Self, now: Timestamp) {
        match (self, before) {
            (Self::Deployment(observed), Self::Deployment(before)) => {
                observed.applied_generation = observed.applied_generation.max(before.applied_generation);
            }
            (Self::Job(JobState { end: Some(end), .. }), Self::Job(before)) => {
                end.observed_at = before.end.as_ref().map_or(now, |before| before.observed_at);
            }
            _ => {}
        }
    }
}

/// The state of the Deployment of servers or of a worker.
#[derive(Clone, Debug, Default, PartialEq)]
pub struct DeploymentState {
    /// The version in its pod template; none for workers.
    pub version: Option<String>,
    /// Hash of its pod template without the version.
    pub settings: String,
    /// How long its rollout may make no progress until it counts as failed.
    pub deadline: Option<SignedDuration>,
    /// URI and digest of the artifact of that version.
    pub artifact: Option<(String, String)>,
    /// When it was created.
    pub created_at: Timestamp,
    /// Whether the Deployment controller has observed the newest generation.
    pub observed: bool,
    /// The generation that the Deployment controller observed last.
    pub observed_generation: i64,
    /// Its generation.
    pub generation: i64,
    /// The generation that our last apply gave; 0 when it was not applied since the operator started.
    pub applied_generation: i64,
    /// Desired pods.
    pub desired: i32,
    /// Whether we set [`Self::desired`] last, and not an autoscaler or a person.
    pub is_ordered: bool,
    /// Current pods, of any version.
    pub total: i32,
    /// Pods of the newest template.
    pub updated: i32,
    /// Pods that are ready, of any version.
    pub ready: i32,
    /// Its component, as [`crate::model::Workload::component`] names it; empty when its label is gone.
    pub component: String,
    /// Why its pods are refused, for example by a quota. That ends when what refuses them is gone.
    pub refused: Option<String>,
    /// The Deployment controller's sentence when the progress deadline has passed.
    pub stuck: Option<String>,
    /// The file in which its servers read their version, if they do. [`Self::version`] is the one that it names then, see
    /// [`Children::with_version_files`](super::Children::with_version_files).
    pub file: Option<version_file::Observed>,
    /// Whether its servers change versions without a restart: whether all of them have, while that goes on.
    pub reloaded: Option<bool>,
}

impl DeploymentState {
    /// Whether it was written since it was observed.
    pub fn is_stale(&self) -> bool {
        self.generation < self.applied_generation
    }

    /// Why pods are missing, as the Deployment controller reports it.
    pub fn failure(&self) -> Option<&str> {
        self.refused.as_deref().or(self.stuck.as_deref()).filter(|why| !why.is_empty())
    }

    /// Whether all pods are of the newest template and ready.
    pub fn rolled_out(&self) -> bool {
        if let Some(is_done) = self.reloaded {
            return is_done;
        }
        self.observed && self.updated >= self.desired && self.total == self.updated && self.ready >= self.desired
    }

    /// The version of which all pods are ready, and no other pods exist.
    pub fn rolled_out_version(&self) -> Option<&str> {
        self.version.as_deref().filter(|_| self.rolled_out())
    }

    /// Whether pods of an older template still exist, or the Deployment controller has not observed our last apply yet. A
    /// change of the number of pods by an autoscaler is no rollout.
    pub fn is_rolling(&self) -> bool {
        self.observed_generation < self.applied_generation || self.total != self.updated
    }
}

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

/// The state of an autoscaler.
#[derive(Clone, Debug, PartialEq)]
pub struct AutoscalerState {
    /// When it was created.
    pub created_at: Timestamp,
    /// Name of the Deployment it scales; none when it scales another kind.
    pub target: Option<String>,
    /// Its condition `ScalingActive`: whether it is True, and the message if it is not.
    pub active: Option<(bool, String)>,
}

/// The state of a pod.
#[derive(Clone, Debug, Default, PartialEq)]
pub struct PodState {
    /// Its name.
    pub name: String,
    /// Identifies the pod template it was created from: the label that its ReplicaSet sets.
    pub template: String,
    /// Whether its container runs and has passed its start-up probe, and the pod is not being deleted.
    pub started: bool,
    /// When its container ended before its last restart; none when it was not restarted.
    pub restarted_at: Option<Timestamp>,
    /// How often its container was restarted.
    pub restarts: i32,
    /// The Job it belongs to; none for servers and workers.
    pub job: Option<String>,
    /// Its number among the trainers of a run; 0 for all other pods.
    pub index: u32,
    /// The component it belongs to, as [`crate::model::Workload::component`] names it; empty when its label is gone.
    pub component: String,
    /// The version it trains or serves; empty for workers.
    pub version: String,
    /// When it was created. Of several pods of a Job the newest counts.
    pub created_at: Timestamp,
    /// Since when it is ready without interruption; none while it is not ready, and once it is being deleted.
    pub ready_since: Option<Timestamp>,
    /// Its address, by which it may be scraped whether or not it is ready; none once it has ended.
    pub address: Option<IpAddr>,
    /// Whether it was ready and is not any more, although its container has been running ever since.
    pub lost_readiness: bool,
    /// Time from its creation to its first readiness, in whole seconds. None before that, and when its container was
    /// restarted meanwhile, because that is no normal start. A pod that was ready when first observed may have been ready
    /// before; then the value is too long. None above [`LONGEST_START`].
    pub started_after: Option<SignedDuration>,
    /// Its UID.
    pub uid: String,
    /// Why its container does not start.
    pub blocked: Option<Blocked>,
    /// What its status leaves open, and its Events may state.
    pub unexplained: Option<Unexplained>,
    /// Why it is not ready although its container runs, from its Events.
    pub unready: Option<String>,
    /// The reason of its container or of the scheduler for which it waits, such as `ImagePullBackOff` or `Unschedulable`.
    pub waits_for: Option<String>,
    /// When its container last ended because it used more memory than it may.
    pub out_of_memory_at: Option<Timestamp>,
    /// Why it was evicted or preempted.
    pub disrupted: Option<String>,
    /// What failed it instead of its container, with the reason: its node, the API server or an init container, if known.
    pub failed_by: Option<String>,
    /// Whether its phase is Running.
    pub is_running: bool,
    /// Whether its container runs now, and the pod is not being deleted.
    pub runs: bool,
    /// Its containers beside ours that run, without init containers: injected sidecars.
    pub others: Vec<String>,
    /// How its container ended.
    pub end: Option<ContainerEnd>,
    /// The file in which it reads its version, if it does. [`Self::version`] is the one that it names then, see
    /// [`Children::with_version_files`](super::Children::with_version_files).
    pub file: Option<PodFile>,
    /// Another version with which it answers, if its metrics show that, see
    /// [`Children::with_answers`](super::Children::with_answers).
    pub answers: Option<String>,
}

/// The file in which a server reads its version.
#[derive(Clone, Debug, Default, PartialEq)]
pub struct PodFile {
    /// Name of its ConfigMap.
    pub config_map: String,
    /// The version in its variables.
    pub started: String,
}

/// Why a container does not start.
#[derive(Clone, Debug, PartialEq)]
pub struct Blocked {
    /// Readable text for the status.
    pub why: String,
    /// From when on it counts. A pod that is not scheduled in its first seconds mostly waits for its volume.
    pub counts_from: Timestamp,
}

/// What the status of a pod leaves open.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Open {
    /// Why it has no node, if a scheduler has reported that in an Event alone.
    Scheduling,
    /// Why its image cannot be pulled: a Secret that does not exist.
    Image,
    /// Why its containers are not created: volumes, network.
    Creation,
    /// Why its container has not started: its startup probe.
    Start,
    /// Why it is not ready: a probe.
    Readiness,
    /// Why its container was ended: a probe, or something else.
    Kill,
}

/// What the status of a pod leaves open, and from when on its Events are read for it.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Unexplained {
    /// What is open.
    pub open: Open,
    /// From when on.
    pub from: Timestamp,
}

impl PodState {
    /// Takes over the duration of the first start, which the API server does not report. A pod that becomes ready again
    /// was not started again.
    pub fn keep(&mut self, before: &Self) {
        self.started_after = before.started_after.or(self.started_after);
    }

    /// Adds what its Events state of what is open.
    pub fn explain(&mut self, why: &str) {
        let Some(Unexplained { open, .. }) = self.unexplained else { return };
        match open {
            Open::Start | Open::Readiness => self.unready = Some(why.into()),
            // A trainer is not started again in the same pod.
            Open::Kill if self.job.is_some() => self.failed_by = Some(why.into()),
            Open::Image => {
                let why = self.blocked.iter().fold(why.to_owned(), |why, pull| format!("{why}; {}", pull.why));
                self.blocked = Some(Blocked { why, counts_from: self.created_at });
            }
            Open::Scheduling | Open::Creation | Open::Kill => {
                self.blocked = Some(Blocked { why: why.into(), counts_from: self.created_at });
            }
        }
    }

    /// Its state for metrics: ready, running, or the reason for which it waits. None once it has ended.
    pub fn current(&self) -> Option<&str> {
        match (&self.ready_since, &self.waits_for, self.is_running) {
            (Some(_), ..) => Some("ready"),
            (None, Some(reason), _) => Some(reason),
            (None, None, true) => Some("running"),
            (None, None, false) => None,
        }
    }

    /// Why its container does not start; none while that does not count yet.
    pub fn blocked_at(&self, now: Timestamp) -> Option<&str> {
        self.blocked.as_ref().filter(|blocked| blocked.counts_from <= now).map(|blocked| blocked.why.as_str())
    }
}

/// How a container ended.
#[derive(Clone, Debug, Default, PartialEq)]
pub struct ContainerEnd {
    /// When it ended, by the clock of its node.
    pub at: Timestamp,
    /// Exit code.
    pub exit_code: i32,
    /// Reason, such as `OOMKilled`.
    pub reason: String,
    /// What it wrote to its termination log.
    pub message: Option<String>,
}

pub(super) fn instant(time: Option<&Time>) -> Timestamp {
    time.map_or(Timestamp::UNIX_EPOCH, |time| time.0)
}

fn annotation<'a>(meta: &'a ObjectMeta, name: &str) -> Option<&'a str> {
    meta.annotations.as_ref()?.get(name).map(String::as_str)
}

fn label<'a>(meta: &'a ObjectMeta, name: &str) -> Option<&'a str> {
    meta.labels.as_ref()?.get(name).map(String::as_str)
}

/// The state of a child of which only the metadata is watched.
pub fn of_metadata(kind: Kind, meta: &ObjectMeta) -> ChildState {
    let named = (kind == Kind::ConfigMap).then(|| annotation(meta, VERSION_FILE_ANNOTATION)).flatten();
    named.and_then(|content| serde_json::from_str(content).ok()).map_or(ChildState::Nothing, ChildState::VersionFile)
}

/// The state of a Deployment.
pub fn deployment(deployment: &Deployment) -> ChildState {
    let spec = deployment.spec.as_ref();
    let status = deployment.status.clone().unwrap_or_default();
    let template = spec.and_then(|spec| spec.template.metadata.as_ref());
    let component = label(&deployment.metadata, COMPONENT_LABEL).unwrap_or_default().to_owned();
    let (refused, stuck) = failures(deployment, &component);
    ChildState::Deployment(DeploymentState {
        version: template.and_then(|meta| label(meta, VERSION_LABEL)).map(Into::into),
        observed: status.observed_generation >= deployment.metadata.generation,
        observed_generation: status.observed_generation.unwrap_or_default(),
        generation: deployment.metadata.generation.unwrap_or_default(),
        applied_generation: 0,
        desired: spec.and_then(|spec| spec.replicas).unwrap_or(1),
        is_ordered: are_replicas_ordered(deployment.metadata.managed_fields.as_deref()),
        total: status.replicas.unwrap_or_default(),
        updated: status.updated_replicas.unwrap_or_default(),
        ready: status.ready_replicas.unwrap_or_default(),
        settings: spec.map(|spec| settings(&spec.template)).unwrap_or_default(),
        deadline: spec.and_then(|spec| spec.progress_deadline_seconds).map(|of| SignedDuration::from_secs(of.into())),
        artifact: artifact(deployment),
        created_at: instant(deployment.metadata.creation_timestamp.as_ref()),
        component,
        refused,
        stuck,
        file: file(deployment),
        reloaded: None,
    })
}

/// The file in which the servers of a Deployment read their version.
fn file(deployment: &Deployment) -> Option<version_file::Observed> {
    let template = &deployment.spec.as_ref()?.template;
    let meta = template.metadata.as_ref()?;
    let (uri, digest) = artifact(deployment)?;
    Some(version_file::Observed {
        config_map: mounted(template.spec.as_ref()?)?,
        template: annotation(&deployment.metadata, SERVERS_ANNOTATION)?.into(),
        started: Artifact { version: label(meta, VERSION_LABEL)?.into(), uri, digest },
        restarted: annotation(meta, RESTARTED_ANNOTATION).map(Into::into),
        named: None,
    })
}

/// URI and digest of the artifact that the servers of a Deployment load.
fn artifact(deployment: &Deployment) -> Option<(String, String)> {
    let containers = &deployment.spec.as_ref()?.template.spec.as_ref()?.containers;
    let server = containers.iter().find(|container| container.name == SERVER_CONTAINER)?;
    let value = |name: &str| server.env.iter().flatten().find(|variable| variable.name == name)?.value.clone();
    Some((value("RECOMMENDER_MODEL_URI")?, value("RECOMMENDER_MODEL_DIGEST")?))
}

/// Why the pods of a Deployment are refused, and the sentence about its progress deadline. A ReplicaSet that cannot be
/// created fails the progress at once, but not for good.
fn failures(deployment: &Deployment, component: &str) -> (Option<String>, Option<String>) {
    let meta = &deployment.metadata;
    let object = format!("deployment {}", meta.name.as_deref().unwrap_or_default());
    let namespace = meta.namespace.as_deref().unwrap_or_default();
    let subject = Subject { part: Part::of(component), namespace, object: &object, image: "", is_init: false };
    let (mut refused, mut stuck) = (None, None);
    for condition in deployment.status.iter().filter_map(|status| status.conditions.as_ref()).flatten() {
        let (reason, message) = (condition.reason.as_deref().unwrap_or_default(), condition.message.as_deref());
        let message = message.unwrap_or_default();
        match (condition.type_.as_str(), condition.status.as_str(), reason) {
            ("ReplicaFailure", "True", _) | ("Progressing", "False", "ReplicaSetCreateError") => {
                refused = causes::explain(&subject, Source::Refused, reason, message).map(|cause| cause.text);
            }
            ("Progressing", "False", _) => stuck = Some(causes::quoted(message).unwrap_or_default()),
            _ => {}
        }
    }
    (refused, stuck)
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

/// The state of a child known from its metadata alone, before the watch has delivered it. A Job that was just created
/// counts as running: it must not be taken for lost.
pub fn of_new(kind: Kind, meta: &ObjectMeta) -> ChildState {
    match kind {
        Kind::Job => job(&Job { metadata: meta.clone(), ..Job::default() }),
        _ => of_metadata(kind, meta),
    }
}

/// The state of an autoscaler.
pub fn autoscaler(autoscaler: &HorizontalPodAutoscaler) -> ChildState {
    let conditions = autoscaler.status.as_ref().and_then(|status| status.conditions.as_ref());
    let active =
        conditions.into_iter().flatten().find(|condition| condition.type_ == "ScalingActive").map(|condition| {
            let active = condition.status == "True";
            // The message of an active autoscaler contains changing details that are not used.
            (active, if active { String::new() } else { condition.message.clone().unwrap_or_default() })
        });
    let target = autoscaler.spec.as_ref().map(|spec| &spec.scale_target_ref);
    let is_deployment = |target: &&CrossVersionObjectReference| {
        target.kind == "Deployment" && target.api_version.as_ref().is_some_and(|version| version.starts_with("apps/"))
    };
    ChildState::Autoscaler(AutoscalerState {
        created_at: instant(autoscaler.metadata.creation_timestamp.as_ref()),
        target: target.filter(is_deployment).map(|target| target.name.clone()),
        active,
    })
}

/// The state of a pod.
pub fn pod(pod: &Pod) -> PodState {
    let status = pod.status.as_ref();
    let container = status.and_then(|status| status.container_statuses.as_ref()).into_iter().flatten();
    let container = container.into_iter().find(|container| CONTAINERS.contains(&container.name.as_str()));
    let created_at = instant(pod.metadata.creation_timestamp.as_ref());
    let object = format!("pod {}", pod.metadata.name.as_deref().unwrap_or_default());
    let subject = Subject {
        part: Part::of_pod(
            label(&pod.metadata, COMPONENT_LABEL).unwrap_or_default(),
            label(&pod.metadata, VERSION_LABEL).unwrap_or_default(),
        ),
        namespace: pod.metadata.namespace.as_deref().unwrap_or_default(),
        object: &object,
        image: container.map_or("", |container| &container.image),
        is_init: false,
    };
    let ready_since = ready_since(pod);
    let is_restarted = container.is_none_or(|container| container.restart_count > 0);
    let running = container.filter(|container| container.state.as_ref().is_some_and(|state| state.running.is_some()));
    let running = running.filter(|_| pod.metadata.deletion_timestamp.is_none());
    PodState {
        answers: None,
        name: pod.metadata.name.clone().unwrap_or_default(),
        template: label(&pod.metadata, TEMPLATE_HASH_LABEL).unwrap_or_default().into(),
        started: running.is_some_and(|container| container.started == Some(true)),
        runs: running.is_some(),
        restarts: container.map_or(0, |container| container.restart_count),
        restarted_at: container.filter(|_| is_restarted).and_then(restarted_at),
        component: label(&pod.metadata, COMPONENT_LABEL).unwrap_or_default().into(),
        ready_since,
        address: status
            .filter(|status| !matches!(status.phase.as_deref(), Some("Succeeded" | "Failed")))
            .and_then(|status| status.pod_ip.as_ref()?.parse().ok()),
        lost_readiness: has_lost_readiness(pod, container),
        started_after: ready_since
            .filter(|_| !is_restarted)
            .map(|ready| ready.duration_since(created_at))
            .filter(|start| *start <= LONGEST_START),
        job: label(&pod.metadata, "batch.kubernetes.io/job-name").map(Into::into),
        index: label(&pod.metadata, INDEX_LABEL).and_then(|index| index.parse().ok()).unwrap_or_default(),
        version: label(&pod.metadata, VERSION_LABEL).unwrap_or_default().into(),
        created_at,
        uid: pod.metadata.uid.clone().unwrap_or_default(),
        blocked: blocked::blocked(pod, container, &subject),
        unexplained: blocked::unexplained(pod, container),
        unready: None,
        waits_for: waits_for(pod, container),
        out_of_memory_at: container.and_then(out_of_memory_at),
        disrupted: blocked::disrupted(pod, &subject),
        failed_by: blocked::failed_by_node(pod, &subject).or_else(|| blocked::failed_by_init(pod, &subject)),
        is_running: status.is_some_and(|status| status.phase.as_deref() == Some("Running")),
        others: others(pod),
        end: container.and_then(end),
        file: pod_file(pod),
    }
}

fn pod_file(pod: &Pod) -> Option<PodFile> {
    let config_map = mounted(pod.spec.as_ref()?)?;
    Some(PodFile { config_map, started: label(&pod.metadata, VERSION_LABEL).unwrap_or_default().into() })
}

/// The ConfigMap of the version file of a pod.
fn mounted(spec: &PodSpec) -> Option<String> {
    let volume = spec.volumes.iter().flatten().find(|volume| volume.name == version_file::VOLUME)?;
    Some(volume.config_map.as_ref()?.name.clone())
}

/// Reason of a container that ended because it used more memory than it may.
const OUT_OF_MEMORY: &str = "OOMKilled";

/// The label with the number of a trainer among those of a run.
const INDEX_LABEL: &str = "batch.kubernetes.io/job-completion-index";

/// Names of the containers of our pods.
const CONTAINERS: [&str; 3] = [TRAINER_CONTAINER, SERVER_CONTAINER, WORKER_CONTAINER];

/// The label that distinguishes servers from workers.
const COMPONENT_LABEL: &str = "app.kubernetes.io/component";

/// Longest possible start: 7200 s, the maximum of `probes.startupSeconds`. A pod that seems to have taken longer had been
/// ready before.
const LONGEST_START: SignedDuration = SignedDuration::from_secs(7200);

pub(super) fn ready_since(pod: &Pod) -> Option<Timestamp> {
    if pod.metadata.deletion_timestamp.is_some() {
        return None;
    }
    let conditions = pod.status.as_ref()?.conditions.as_ref()?;
    let ready = conditions.iter().find(|c| c.type_ == "Ready" && c.status == "True")?;
    ready.last_transition_time.as_ref().map(|time| time.0)
}

/// Whether a pod was ready and is not any more, although its container has been running ever since.
pub(super) fn has_lost_readiness(pod: &Pod, container: Option<&ContainerStatus>) -> bool {
    ready_since(pod).is_none() && container.is_some_and(|container| lost_readiness(pod, container))
}

/// The condition Ready is False from a pod's creation until its first readiness. If it became False after the container
/// started, it was True in between.
fn lost_readiness(pod: &Pod, container: &ContainerStatus) -> bool {
    let started = container.state.as_ref().and_then(|state| state.running.as_ref()?.started_at.as_ref());
    let conditions = pod.status.as_ref().and_then(|status| status.conditions.as_ref()).into_iter().flatten();
    let mut ready = conditions.filter(|condition| condition.type_ == "Ready" && condition.status == "False");
    let became_false = ready.find_map(|condition| condition.last_transition_time.as_ref());
    started.zip(became_false).is_some_and(|(started, became_false)| became_false.0 > started.0)
}

/// The reason for which a pod waits, as its container or the scheduler gives it.
fn waits_for(pod: &Pod, container: Option<&ContainerStatus>) -> Option<String> {
    let waiting = container.and_then(|container| container.state.as_ref()?.waiting.as_ref()?.reason.clone());
    waiting.or_else(|| {
        let conditions = pod.status.as_ref()?.conditions.as_ref()?;
        conditions.iter().find(|of| of.type_ == "PodScheduled" && of.status == "False")?.reason.clone()
    })
}

/// When a container last ended because it used more memory than it may.
fn out_of_memory_at(container: &ContainerStatus) -> Option<Timestamp> {
    let ends = [&container.state, &container.last_state].map(|state| state.as_ref()?.terminated.as_ref());
    let killed = ends.into_iter().flatten().filter(|end| end.reason.as_deref() == Some(OUT_OF_MEMORY));
    killed.filter_map(|end| Some(end.finished_at.as_ref()?.0)).max()
}

fn restarted_at(container: &ContainerStatus) -> Option<Timestamp> {
    let ended = container.last_state.as_ref()?.terminated.as_ref()?;
    ended.finished_at.as_ref().map(|time| time.0)
}

fn others(pod: &Pod) -> Vec<String> {
    let all = pod.status.as_ref().and_then(|status| status.container_statuses.as_ref()).into_iter().flatten();
    let runs = |of: &&ContainerStatus| of.state.as_ref().is_some_and(|state| state.running.is_some());
    let others = all.filter(|of| !CONTAINERS.contains(&of.name.as_str())).filter(runs);
    others.map(|of| of.name.clone()).collect()
}

fn end(container: &ContainerStatus) -> Option<ContainerEnd> {
    let terminated = container.state.as_ref()?.terminated.as_ref()?;
    Some(ContainerEnd {
        at: instant(terminated.finished_at.as_ref()),
        exit_code: terminated.exit_code,
        reason: terminated.reason.clone().unwrap_or_default(),
        message: terminated.message.clone(),
    })
}
