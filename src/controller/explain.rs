//! Causes that only Events carry: a Job that gets no pod, a volume that cannot be mounted, a probe that fails. Events are read
//! for objects that hang, at most once in [`PAUSE`], and for none while nothing hangs.

use std::collections::BTreeMap;

use jiff::{SignedDuration, Timestamp};
use k8s_openapi::api::core::v1::Event;

use crate::{
    apply::Cluster,
    causes::{self, Part, Source, Subject},
    kinds::Kind,
    names::TRAINING_COMPONENT,
    observe::{ChildState, Children, Open, PodState, Unexplained},
};

/// Least time between two reads of the Events of one object: 2 min. The kubelet repeats a failing mount after at most 2 min.
const PAUSE: SignedDuration = SignedDuration::from_mins(2);
/// Most objects whose Events are read in one reconcile. The pods of one Deployment hang for the same cause.
const MOST: usize = 3;

/// How long after the end of a trainer its Events are read: 5 min. By then its run is recorded.
const RECENT: SignedDuration = SignedDuration::from_mins(5);

/// Most time from a failed probe until the kubelet ends the container for it: 2 s, because Events count in whole seconds.
const KILLED_WITHIN: SignedDuration = SignedDuration::from_secs(2);

/// What Events state of the objects that hang, by UID.
pub type Explained = BTreeMap<String, Explanation>;

/// What the Events of one object state.
#[derive(Clone, Debug, PartialEq)]
pub struct Explanation {
    /// When they were read.
    read_at: Timestamp,
    /// What was open then.
    open: Open,
    /// Cause and remedy; none when no Event has one.
    why: Option<String>,
}

/// An object that hangs, and whose own status does not state why.
#[derive(Clone, Debug, PartialEq)]
pub struct Hanging {
    uid: String,
    part: Part,
    /// `pod NAME` or `job NAME`.
    object: String,
    /// What its Events are to state.
    open: Open,
}

/// The objects that hang: Jobs without a pod, pods whose containers are not created or not ready, and pods whose container was
/// ended. Of the pods the newest come first.
pub fn hanging(children: &Children, uid: &str, now: Timestamp) -> Vec<Hanging> {
    let jobs = children.owned(Kind::Job, uid).filter_map(|(name, observed)| match &observed.state {
        ChildState::Job(job) if job.end.is_none() && !observed.deleting && job.is_pod_due(now) => {
            let has_pod = children.pods().any(|pod| pod.job.as_deref() == Some(name));
            let object = format!("job {name}");
            let part = Part::of_pod(TRAINING_COMPONENT, &job.version);
            let hanging = || Hanging { uid: observed.uid.clone(), part, object, open: Open::Creation };
            (!has_pod).then(hanging)
        }
        _ => None,
    });
    let mut pods: Vec<_> = children.pods().filter_map(|pod| Some((pod, open(pod, now)?))).collect();
    pods.sort_by_key(|(pod, _)| std::cmp::Reverse(pod.created_at));
    // Many servers do not hide a trainer.
    let pods = first_of_each(pods, |(pod, open)| (pod.component.clone(), *open));
    let pods = pods.into_iter().map(|(pod, open)| Hanging {
        uid: pod.uid.clone(),
        part: Part::of_pod(&pod.component, &pod.version),
        object: format!("pod {}", pod.name),
        open,
    });
    jobs.chain(pods).take(MOST).collect()
}

/// The first one of each kind, then all others, in their order.
fn first_of_each<T, K: PartialEq>(items: Vec<T>, kind: impl Fn(&T) -> K) -> Vec<T> {
    let mut kinds = Vec::new();
    let (firsts, others): (Vec<T>, Vec<T>) = items.into_iter().partition(|item| {
        let kind = kind(item);
        let is_first = !kinds.contains(&kind);
        kinds.push(kind);
        is_first
    });
    firsts.into_iter().chain(others).collect()
}

/// What is open about a pod now.
fn open(pod: &PodState, now: Timestamp) -> Option<Open> {
    let Unexplained { open, from } = pod.unexplained.filter(|unexplained| unexplained.from <= now)?;
    let is_open = match open {
        Open::Creation | Open::Start | Open::Readiness => pod.blocked.is_none(),
        Open::Scheduling | Open::Image => true,
        Open::Kill => pod.job.is_none() || now.duration_since(from) < RECENT,
    };
    is_open.then_some(open)
}

/// Reads the Events of the objects that hang, except of those in `known` whose Events were read lately.
pub async fn explain(
    cluster: &Cluster,
    namespace: &str,
    hanging: &[Hanging],
    known: &Explained,
    now: Timestamp,
) -> Explained {
    let mut explained = Explained::new();
    for of in hanging {
        let before = known.get(&of.uid).filter(|before| before.open == of.open);
        let explanation = match before.filter(|before| now.duration_since(before.read_at) < PAUSE) {
            Some(lately) => lately.clone(),
            None => {
                let why = match cluster.events(namespace, &of.uid).await {
                    Ok(events) => cause(of, namespace, events),
                    Err(error) => {
                        tracing::debug!(%error, object = of.object, "its Events could not be read");
                        before.and_then(|before| before.why.clone())
                    }
                };
                Explanation { read_at: now, open: of.open, why }
            }
        };
        explained.insert(of.uid.clone(), explanation);
    }
    explained
}

/// When Events are to be read again.
pub fn next_read(explained: &Explained) -> Option<Timestamp> {
    explained.values().map(|explanation| explanation.read_at + PAUSE).min()
}

/// The causes that were found, by UID.
pub fn found(explained: &Explained) -> BTreeMap<String, String> {
    let found = |(uid, of): (&String, &Explanation)| Some((uid.clone(), of.why.clone()?));
    explained.iter().filter_map(found).collect()
}

/// Reason of an Event on Secrets for images that do not exist.
const PULL_SECRET: &str = "FailedToRetrieveImagePullSecret";

/// Reasons of Events that show progress: what was reported before them is over.
const PROGRESS: [&str; 5] = ["SuccessfulCreate", "Pulling", "Pulled", "Created", "Started"];

/// What the Events of an object state of what is open.
fn cause(of: &Hanging, namespace: &str, mut events: Vec<Event>) -> Option<String> {
    events.sort_by_key(last_observed);
    let subject = Subject { part: of.part, namespace, object: &of.object, image: "", is_init: false };
    match of.open {
        Open::Scheduling => explained(&subject, &events, Source::Unscheduled, "FailedScheduling", "Unschedulable"),
        Open::Image => explained(&subject, &events, Source::Event, PULL_SECRET, PULL_SECRET),
        Open::Creation => creation(&subject, &events),
        Open::Start => probe(&subject, &events, &["Startup"]),
        Open::Readiness => probe(&subject, &events, &["Liveness", "Readiness"]),
        Open::Kill => kill(&subject, &events),
    }
}

/// Why it is not created: the newest cause after its last progress, special ones first. The kubelet repeats the general "timed
/// out waiting for the condition" beside the Event that states why.
fn creation(subject: &Subject<'_>, events: &[Event]) -> Option<String> {
    let is_progress = |event: &Event| event.reason.as_deref().is_some_and(|reason| PROGRESS.contains(&reason));
    let since = events.iter().rposition(is_progress).map_or(0, |last| last + 1);
    let causes = events[since..].iter().filter(|event| event.type_.as_deref() == Some("Warning")).filter_map(|event| {
        let reason = event.reason.as_deref().unwrap_or_default();
        let source = if reason == "FailedCreate" { Source::Refused } else { Source::Event };
        causes::explain(subject, source, reason, event.message.as_deref().unwrap_or_default())
    });
    // Of equal ones the last, which is the newest.
    causes.max_by_key(|cause| cause.is_specific).map(|cause| cause.text)
}

/// Why a container was ended: by the kubelet, because a probe had failed. Of a container that is not started again, such as a
/// trainer, the kubelet reports only "Stopping container", right after the failed probe.
fn kill(subject: &Subject<'_>, events: &[Event]) -> Option<String> {
    let killing = with_reason(events, "Killing").next_back()?;
    let of = causes::killed_for(killing.message.as_deref()?).or_else(|| failed_before(events, killing))?;
    let why = probe(subject, events, &[of])
        .or_else(|| causes::explain(subject, Source::Probe, of, "").map(|cause| cause.text))?;
    Some(format!("the kubelet ended its container, because its {} probe had failed: {why}", of.to_lowercase()))
}

/// The type of the probe that failed right before a container was ended. The readiness probe ends none.
fn failed_before(events: &[Event], killing: &Event) -> Option<&'static str> {
    let since = last_observed(killing) - KILLED_WITHIN;
    let failed = with_reason(events, "Unhealthy").rev().take_while(|event| last_observed(event) >= since);
    failed
        .filter_map(|event| causes::failed_probe(event.message.as_deref()?))
        .find_map(|(of, _)| (of != "Readiness").then_some(of))
}

/// The newest failed probe of these types. Containers beside the main one are named.
fn probe(subject: &Subject<'_>, events: &[Event], types: &[&str]) -> Option<String> {
    let failed = |event: &Event| {
        let (of, output) = causes::failed_probe(event.message.as_deref()?)?;
        types.contains(&of).then(|| (of, output.to_owned(), beside(event).map(str::to_owned)))
    };
    let (of, output, sidecar) = with_reason(events, "Unhealthy").rev().find_map(failed)?;
    let subject = Subject { is_init: sidecar.is_some(), ..subject.clone() };
    let why = causes::explain(&subject, Source::Probe, of, &output)?.text;
    Some(match sidecar {
        Some(name) => format!("init container {name}: {why}"),
        None => why,
    })
}

/// The cause of the newest Event with this reason, which is the table's `of`.
fn explained(subject: &Subject<'_>, events: &[Event], source: Source, reason: &str, of: &str) -> Option<String> {
    let message = with_reason(events, reason).rev().find_map(|event| event.message.as_deref())?;
    causes::explain(subject, source, of, message).map(|cause| cause.text)
}

fn with_reason<'a>(events: &'a [Event], reason: &str) -> impl DoubleEndedIterator<Item = &'a Event> {
    events.iter().filter(move |event| event.reason.as_deref() == Some(reason))
}

/// The init container or sidecar that an Event is about.
fn beside(event: &Event) -> Option<&str> {
    event.involved_object.field_path.as_deref()?.strip_prefix("spec.initContainers{")?.strip_suffix('}')
}

fn last_observed(event: &Event) -> Timestamp {
    let series = event.series.as_ref().and_then(|series| series.last_observed_time.as_ref()).map(|time| time.0);
    let times = [event.last_timestamp.as_ref().map(|time| time.0), event.event_time.as_ref().map(|time| time.0)];
    series.into_iter().chain(times.into_iter().flatten()).max().unwrap_or_default()
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;

    /// An Event of that second.
    fn event(second: u32, type_: &str, reason: &str, message: &str) -> Event {
        let object = json!({
            "metadata": {}, "involvedObject": {}, "type": type_, "reason": reason, "message": message,
            "lastTimestamp": format!("2026-11-20T12:00:{second:02}Z"),
        });
        serde_json::from_value(object).expect("an Event")
    }

    fn of_pod(events: &[Event]) -> Option<String> {
        of(Open::Creation, events)
    }

    fn of(open: Open, events: &[Event]) -> Option<String> {
        let pod = Hanging { uid: "u".into(), part: Part::Serving, object: "pod p".into(), open };
        cause(&pod, "shop", events.to_vec())
    }

    #[test]
    fn the_special_event_is_taken_although_the_general_one_is_repeated_later() {
        let events = [
            event(
                9,
                "Warning",
                "FailedMount",
                "Unable to attach or mount volumes: timed out waiting for the condition",
            ),
            event(1, "Normal", "Scheduled", "Successfully assigned shop/p to b"),
            event(
                2,
                "Warning",
                "FailedAttachVolume",
                "Multi-Attach error for volume \"v\" Volume is already used by pod(s) s",
            ),
        ];
        let why = of_pod(&events).expect("a cause");
        assert!(why.starts_with("its volume is in use on another node"), "{why}");
    }

    #[test]
    fn what_was_reported_before_the_last_progress_is_over() {
        let failed =
            event(2, "Warning", "FailedMount", "MountVolume.SetUp failed for volume \"v\" : secret \"s\" not found");
        assert!(of_pod(std::slice::from_ref(&failed)).is_some());
        assert_eq!(of_pod(&[failed, event(3, "Normal", "Pulling", "Pulling image \"r:1\"")]), None);
        assert_eq!(of_pod(&[event(1, "Warning", "SomethingElse", "")]), None);
        assert_eq!(of_pod(&[]), None);
    }

    const REFUSED: &str = "Startup probe failed: Get \"http://10.1.0.5:8000/health\": dial tcp 10.1.0.5:8000: connect: connection refused";

    #[test]
    fn a_failing_startup_probe_is_the_cause_also_after_the_container_was_started_again() {
        let events = [
            event(1, "Normal", "Started", "Container started"),
            event(2, "Warning", "Unhealthy", REFUSED),
            event(3, "Normal", "Killing", "Container server failed startup probe, will be restarted"),
            event(4, "Normal", "Started", "Container started"),
        ];
        let why = of(Open::Start, &events[..2]).expect("a cause");
        assert!(why.starts_with("nothing listens on the port of its startup probe: \"Get 'http://"), "{why}");
        let why = of(Open::Kill, &events).expect("a cause");
        assert!(
            why.starts_with("the kubelet ended its container, because its startup probe had failed: nothing listens")
                && why.contains("spec.serving.pod.probes (type Startup)"),
            "{why}"
        );
        assert_eq!(of(Open::Start, &events[..1]), None, "it may still start");
        let killed = [event(3, "Normal", "Killing", "Container server failed liveness probe, will be restarted")];
        let why = of(Open::Kill, &killed).expect("a cause");
        assert!(why.contains("its liveness probe fails; correct spec.serving.pod.probes (type Liveness)"), "{why}");
    }

    #[test]
    fn a_container_that_ends_by_itself_has_not_failed_the_probe_before() {
        let events = [event(1, "Warning", "Unhealthy", REFUSED), event(2, "Normal", "Started", "Container started")];
        assert_eq!(of(Open::Kill, &events), None);
    }

    #[test]
    fn many_of_one_kind_do_not_hide_another() {
        assert_eq!(first_of_each(vec!["s1", "s2", "s3", "t1"], |name| name[..1].to_owned()), ["s1", "t1", "s2", "s3"]);
    }

    #[test]
    fn what_was_reported_of_the_start_is_over_once_the_container_has_started() {
        let events = [
            event(1, "Warning", "Unhealthy", REFUSED),
            event(2, "Warning", "Unhealthy", "Readiness probe failed: HTTP probe failed with statuscode: 503"),
        ];
        let why = of(Open::Readiness, &events).expect("a cause");
        assert!(why.starts_with("it answers its readiness probe with an error: \"HTTP probe failed with"), "{why}");
        assert_eq!(of(Open::Readiness, &events[..1]), None);
    }

    #[test]
    fn a_trainer_that_was_killed_for_its_memory_has_not_failed_its_probe() {
        let killed = |second: u32, message: &str| {
            let pod = Hanging { uid: "u".into(), part: Part::Training, object: "pod p".into(), open: Open::Kill };
            cause(
                &pod,
                "shop",
                vec![event(1, "Warning", "Unhealthy", REFUSED), event(second, "Normal", "Killing", message)],
            )
        };
        assert_eq!(killed(9, "Stopping container trainer"), None, "one failed probe ends no container");
        // The kubelet's text of a container that is not started again, right after the last failure.
        for message in ["Container trainer failed startup probe", "Stopping container trainer"] {
            let why = killed(2, message).expect("a cause");
            assert!(why.contains("spec.training.pod.probes (type Startup)"), "{why}");
        }
    }

    #[test]
    fn a_pull_secret_that_does_not_exist_is_named_although_the_pull_was_tried_after_it() {
        let events = [
            event(
                1,
                "Warning",
                "FailedToRetrieveImagePullSecret",
                "Unable to retrieve some image pull secrets (registry); attempting to pull the image may not succeed.",
            ),
            event(2, "Normal", "Pulling", "Pulling image \"r:1\""),
            event(3, "Warning", "Failed", "Failed to pull image \"r:1\": 401 Unauthorized"),
        ];
        let why = of(Open::Image, &events).expect("a cause");
        assert!(
            why.starts_with("a Secret of spec.imagePullSecrets does not exist in namespace shop: \"Unable to retrieve some image pull secrets (registry)"),
            "{why}"
        );
        assert_eq!(of(Open::Image, &events[1..]), None);
    }

    #[test]
    fn the_probe_of_a_sidecar_is_named_with_its_container() {
        let mut failed = event(1, "Warning", "Unhealthy", REFUSED);
        failed.involved_object.field_path = Some("spec.initContainers{proxy}".into());
        let why = of(Open::Start, &[failed]).expect("a cause");
        assert!(
            why.starts_with("init container proxy: nothing listens")
                && why.contains("spec.serving.pod.initContainers[].probes"),
            "{why}"
        );
    }
}
