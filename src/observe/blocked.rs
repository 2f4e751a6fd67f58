//! Why a pod does not start, as its own status shows it. What only Events carry is added by [`super::Children::explain`].

use jiff::{SignedDuration, Timestamp};
use k8s_openapi::api::core::v1::{ContainerStateTerminated, ContainerStatus, Pod, PodCondition};

use super::state::{Blocked, Open, Unexplained, instant};
use crate::{
    causes::{self, Source, Subject},
    names::TRAINER_CONTAINER,
};

/// How long a pod may be without a node, or a Job without a pod, before that is reported: 15 s. In its first seconds an
/// unscheduled pod mostly waits for its volume.
pub const SCHEDULING: SignedDuration = SignedDuration::from_secs(15);
/// How long a pod may be without a report of its scheduler: 30 s. A running one reports within seconds, also that no node takes
/// the pod.
const UNCLAIMED: SignedDuration = SignedDuration::from_secs(30);
/// Name of the scheduler of every conformant cluster.
const DEFAULT_SCHEDULER: &str = "default-scheduler";
/// How long the containers of a scheduled pod may be created before its Events are read: 60 s. Volumes are attached and
/// mounted within it; a pull has a reason of its own only when it failed.
pub const CREATING: SignedDuration = SignedDuration::from_secs(60);

/// How long a container may run without being ready before the Events of its pod are read: 30 s.
const UNREADY: SignedDuration = SignedDuration::from_secs(30);
/// Exit codes of a container that the kubelet ends: SIGKILL, SIGTERM, and those that end properly on SIGTERM.
const KILLED: [i32; 3] = [137, 143, 0];

/// Reasons of waiting containers that are part of a normal start.
const STARTING: [&str; 2] = ["ContainerCreating", "PodInitializing"];
/// The kubelet's first pause between the end of a container and its next start: 10 s. The first restart has none.
const BACK_OFF: SignedDuration = SignedDuration::from_secs(10);
/// A container that ran for so long was not in a loop; the kubelet resets its pause: 10 min.
const STEADY: SignedDuration = SignedDuration::from_mins(10);
/// Longest part of a termination message that is quoted, in characters.
const WROTE_MAX: usize = 120;

/// Why a pod does not start; none while it starts normally.
pub fn blocked(pod: &Pod, container: Option<&ContainerStatus>, subject: &Subject<'_>) -> Option<Blocked> {
    let created_at = instant(pod.metadata.creation_timestamp.as_ref());
    container
        .filter(|_| !super::state::has_lost_readiness(pod, container))
        .and_then(|container| waiting(container, subject))
        .or_else(|| by_init(pod, subject, waiting))
        .map(|why| Blocked { why, counts_from: created_at })
        .or_else(|| unscheduled(pod, subject).map(|why| Blocked { why, counts_from: created_at + SCHEDULING }))
        .or_else(|| unclaimed(pod, subject).map(|why| Blocked { why, counts_from: created_at + UNCLAIMED }))
}

/// Why an init container holds up a pod or has failed it: what `why` gives for the first one, after its name.
fn by_init(
    pod: &Pod,
    subject: &Subject<'_>,
    why: impl Fn(&ContainerStatus, &Subject<'_>) -> Option<String>,
) -> Option<String> {
    pod.status.as_ref()?.init_container_statuses.iter().flatten().find_map(|init| {
        let why = why(init, &Subject { image: &init.image, is_init: true, ..subject.clone() })?;
        Some(format!("init container {}: {why}", init.name))
    })
}

fn waiting(container: &ContainerStatus, subject: &Subject<'_>) -> Option<String> {
    let state = container.state.as_ref()?;
    let Some(waiting) = &state.waiting else { return looping(container, subject) };
    let reason = waiting.reason.as_deref().unwrap_or_default();
    let message = waiting.message.as_deref().unwrap_or_default();
    match reason {
        "CrashLoopBackOff" => Some(crashes(container, subject)),
        "" => None,
        _ if STARTING.contains(&reason) => None,
        _ => causes::explain(subject, Source::Waiting, reason, message).map(|cause| cause.text).or_else(|| {
            Some([reason.to_owned()].into_iter().chain(causes::quoted(message)).collect::<Vec<_>>().join(": "))
        }),
    }
}

/// A container in a loop of crashes runs for a moment between two of them, or has just ended. The same text meanwhile avoids
/// writes of the status. It is in a loop when the kubelet had waited before it started it again.
fn looping(container: &ContainerStatus, subject: &Subject<'_>) -> Option<String> {
    let last = container.last_state.as_ref()?.terminated.as_ref()?.finished_at.as_ref()?.0;
    let state = container.state.as_ref()?;
    let ended = state.terminated.as_ref();
    let started = state.running.as_ref().map_or_else(|| ended?.started_at.as_ref(), |of| of.started_at.as_ref())?.0;
    let is_early = ended.is_none_or(|of| instant(of.finished_at.as_ref()).duration_since(started) < STEADY);
    (started.duration_since(last) >= BACK_OFF && !container.ready && is_early).then(|| crashes(container, subject))
}

fn crashes(container: &ContainerStatus, subject: &Subject<'_>) -> String {
    let ended = |state: Option<&k8s_openapi::api::core::v1::ContainerState>| state?.terminated.clone();
    let last = ended(container.last_state.as_ref()).or_else(|| ended(container.state.as_ref()));
    let how = last.as_ref().map(|last| format!(": {}", how_ended(last, subject))).unwrap_or_default();
    format!(
        "the container ends right after its start (CrashLoopBackOff){how}; kubectl -n {} logs {} -c {} --previous shows more",
        subject.namespace,
        // kubectl logs takes the name of a pod without its kind.
        subject.object.trim_start_matches("pod "),
        container.name
    )
}

/// How a container ended: the cause and remedy of its exit code, and what it wrote to its termination log.
fn how_ended(end: &ContainerStateTerminated, subject: &Subject<'_>) -> String {
    let code = format!("exit code {}", end.exit_code);
    let cause = causes::explain(subject, Source::Ended, end.reason.as_deref().unwrap_or_default(), &code);
    let wrote = end.message.as_deref().and_then(causes::quoted);
    let wrote = wrote.filter(|wrote| wrote.chars().count() <= WROTE_MAX).map(|wrote| format!(", and wrote {wrote}"));
    format!("{}{}", cause.map_or(code, |cause| cause.text), wrote.unwrap_or_default())
}

fn unscheduled(pod: &Pod, subject: &Subject<'_>) -> Option<String> {
    let scheduled = condition(pod, "PodScheduled").filter(|condition| condition.status == "False")?;
    let message = scheduled.message.as_deref().unwrap_or_default();
    let reason = scheduled.reason.as_deref().unwrap_or_default();
    causes::explain(subject, Source::Unscheduled, reason, message).map(|cause| cause.text)
}

/// That no scheduler has reported on a pod.
fn unclaimed(pod: &Pod, subject: &Subject<'_>) -> Option<String> {
    let is_unclaimed = is_unclaimed(pod) && pod.metadata.deletion_timestamp.is_none();
    let name = pod.spec.as_ref().filter(|_| is_unclaimed)?.scheduler_name.as_deref().unwrap_or(DEFAULT_SCHEDULER);
    let (reason, message) = match name {
        DEFAULT_SCHEDULER => (causes::NO_DEFAULT_SCHEDULER, ""),
        other => (causes::NO_SCHEDULER, other),
    };
    causes::explain(subject, Source::Unscheduled, reason, message).map(|cause| cause.text)
}

fn is_unclaimed(pod: &Pod) -> bool {
    let has_node = pod.spec.as_ref().is_none_or(|spec| spec.node_name.is_some());
    phase(pod) == Some("Pending") && !has_node && condition(pod, "PodScheduled").is_none()
}

/// What the status of a pod leaves open about its containers, and its Events may state.
pub fn unexplained(pod: &Pod, container: Option<&ContainerStatus>) -> Option<Unexplained> {
    if pod.metadata.deletion_timestamp.is_some() || super::state::ready_since(pod).is_some() {
        return None;
    }
    // Evicted pods of servers and workers stay, but are not started again.
    let has_ended = matches!(phase(pod), Some("Failed" | "Succeeded"));
    let is_final = |of: &ContainerStatus| has_ended && of.name != TRAINER_CONTAINER;
    let killed = container.filter(|of| !is_final(of) && !super::state::has_lost_readiness(pod, container));
    let kill = || Some(Unexplained { open: Open::Kill, from: killed_at(killed?)? });
    let created_at = instant(pod.metadata.creation_timestamp.as_ref());
    let scheduling = is_unclaimed(pod).then(|| Unexplained { open: Open::Scheduling, from: created_at + UNCLAIMED });
    let image = || needs_secret(pod).then_some(Unexplained { open: Open::Image, from: created_at });
    let running = || kill().or_else(|| unready(pod, container));
    scheduling.or_else(|| creating(pod, container)).or_else(image).or_else(running)
}

/// Whether an image cannot be pulled although the pod has Secrets for that.
fn needs_secret(pod: &Pod) -> bool {
    let Some(status) = &pod.status else { return false };
    let mut containers = [&status.init_container_statuses, &status.container_statuses].into_iter().flatten().flatten();
    let is_pull = |container: &ContainerStatus| {
        let waiting = container.state.as_ref().and_then(|state| state.waiting.as_ref());
        waiting.and_then(|waiting| waiting.reason.as_deref()).is_some_and(|of| causes::PULL_FAILURES.contains(&of))
    };
    let has_secrets =
        pod.spec.as_ref().and_then(|spec| spec.image_pull_secrets.as_ref()).is_some_and(|of| !of.is_empty());
    has_secrets && containers.any(is_pull)
}

/// Its containers are still being created: none has started, or failed to.
fn creating(pod: &Pod, container: Option<&ContainerStatus>) -> Option<Unexplained> {
    let scheduled = condition(pod, "PodScheduled").filter(|condition| condition.status == "True")?;
    let is_creating = container.is_none_or(|container| {
        let waiting = container.state.as_ref().and_then(|state| state.waiting.as_ref());
        waiting.is_some_and(|waiting| waiting.reason.as_deref() == Some(STARTING[0]))
    });
    let from = instant(scheduled.last_transition_time.as_ref()) + CREATING;
    (is_creating && phase(pod) == Some("Pending")).then_some(Unexplained { open: Open::Creation, from })
}

/// When a container ended in a way in which the kubelet ends those whose probe has failed.
fn killed_at(container: &ContainerStatus) -> Option<Timestamp> {
    let states = [container.state.as_ref(), container.last_state.as_ref()];
    let end = states.into_iter().flatten().find_map(|state| state.terminated.as_ref())?;
    // A trainer that exits with 0 has succeeded.
    let is_success = container.name == TRAINER_CONTAINER && end.exit_code == 0;
    let is_killed = KILLED.contains(&end.exit_code) && end.reason.as_deref() != Some("OOMKilled") && !is_success;
    is_killed.then(|| instant(end.finished_at.as_ref()))
}

/// A container runs and its pod is not ready: the main one, or a sidecar before it that has not passed its startup probe. Nothing
/// waits for trainers to be ready.
fn unready(pod: &Pod, container: Option<&ContainerStatus>) -> Option<Unexplained> {
    let container = container.filter(|container| container.name != TRAINER_CONTAINER)?;
    let inits = pod.status.as_ref()?.init_container_statuses.iter().flatten();
    let sidecar = || inits.filter(|of| of.started == Some(false)).find_map(running_since);
    let since = running_since(container).or_else(sidecar)?;
    let lost = condition(pod, "Ready").and_then(|ready| ready.last_transition_time.as_ref()).map(|time| time.0);
    let open = if container.started == Some(true) { Open::Readiness } else { Open::Start };
    Some(Unexplained { open, from: lost.map_or(since, |lost| lost.max(since)) + UNREADY })
}

fn running_since(container: &ContainerStatus) -> Option<Timestamp> {
    container.state.as_ref()?.running.as_ref()?.started_at.as_ref().map(|time| time.0)
}

fn phase(pod: &Pod) -> Option<&str> {
    pod.status.as_ref()?.phase.as_deref()
}

/// Why a pod was ended from outside, by an eviction or preemption: that is not the fault of its container.
pub fn disrupted(pod: &Pod, subject: &Subject<'_>) -> Option<String> {
    let condition = condition(pod, "DisruptionTarget").filter(|condition| condition.status == "True")?;
    let (reason, message) = (condition.reason.as_deref().unwrap_or_default(), condition.message.as_deref());
    let cause = causes::explain(subject, Source::Pod, reason, message.unwrap_or_default());
    Some(cause.map_or_else(|| format!("it was disrupted ({reason})"), |cause| cause.text))
}

/// Why the kubelet or the API server failed a pod that was not disrupted, for example because it wrote more than its limit.
pub fn failed_by_node(pod: &Pod, subject: &Subject<'_>) -> Option<String> {
    let status = pod.status.as_ref()?;
    let reason = status.reason.as_deref()?;
    causes::explain(subject, Source::Pod, reason, status.message.as_deref().unwrap_or_default()).map(|cause| cause.text)
}

/// Which init container has failed a pod that is not restarted, and how it ended.
pub fn failed_by_init(pod: &Pod, subject: &Subject<'_>) -> Option<String> {
    pod.status.as_ref().filter(|status| status.phase.as_deref() == Some("Failed"))?;
    by_init(pod, subject, |init, subject| {
        let ended = init.state.as_ref()?.terminated.as_ref().filter(|ended| ended.exit_code != 0)?;
        Some(how_ended(ended, subject))
    })
}

fn condition<'a>(pod: &'a Pod, type_: &str) -> Option<&'a PodCondition> {
    pod.status.as_ref()?.conditions.as_ref()?.iter().find(|condition| condition.type_ == type_)
}
