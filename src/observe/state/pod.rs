//! The state of a pod.

use std::net::IpAddr;

use jiff::{SignedDuration, Timestamp};
use k8s_openapi::api::core::v1::{ContainerStatus, Pod};

use super::{COMPONENT_LABEL, instant, label, mounted};
use crate::{
    api::{TEMPLATE_HASH_LABEL, VERSION_LABEL},
    causes::{Part, Subject},
    names::{SERVER_CONTAINER, TRAINER_CONTAINER, WORKER_CONTAINER},
    observe::blocked,
};

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
    /// [`Children::with_version_files`](crate::observe::Children::with_version_files).
    pub file: Option<PodFile>,
    /// Another version with which it answers, if its metrics show that, see
    /// [`Children::with_answers`](crate::observe::Children::with_answers).
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

/// Reason of a container that ended because it used more memory than it may.
const OUT_OF_MEMORY: &str = "OOMKilled";

/// The label with the number of a trainer among those of a run.
const INDEX_LABEL: &str = "batch.kubernetes.io/job-completion-index";

/// Names of the containers of our pods.
const CONTAINERS: [&str; 3] = [TRAINER_CONTAINER, SERVER_CONTAINER, WORKER_CONTAINER];

/// Longest possible start: 7200 s, the maximum of `probes.startupSeconds`. A pod that seems to have taken longer had been
/// ready before.
const LONGEST_START: SignedDuration = SignedDuration::from_secs(7200);

pub(in crate::observe) fn ready_since(pod: &Pod) -> Option<Timestamp> {
    if pod.metadata.deletion_timestamp.is_some() {
        return None;
    }
    let conditions = pod.status.as_ref()?.conditions.as_ref()?;
    let ready = conditions.iter().find(|c| c.type_ == "Ready" && c.status == "True")?;
    ready.last_transition_time.as_ref().map(|time| time.0)
}

/// Whether a pod was ready and is not any more, although its container has been running ever since.
pub(in crate::observe) fn has_lost_readiness(pod: &Pod, container: Option<&ContainerStatus>) -> bool {
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
