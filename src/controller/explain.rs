//! Causes that only Events carry: a Job that gets no pod, a volume that cannot be mounted, a probe that fails. Events are read
//! for objects that hang, at most once in [`PAUSE`], and for none while nothing hangs.

use std::collections::BTreeMap;

use jiff::{SignedDuration, Timestamp};
use k8s_openapi::api::core::v1::Event;

use crate::{
    apply::Cluster,
    causes::{self, Part, Source, Subject},
    kinds::Kind,
    observe::{ChildState, Children, PodState},
};

/// Least time between two reads of the Events of one object: 2 min. The kubelet repeats a failing mount after at most 2 min.
const PAUSE: SignedDuration = SignedDuration::from_mins(2);
/// Most objects whose Events are read in one reconcile. The pods of one Deployment hang for the same cause.
const MOST: usize = 3;

/// What Events state of the objects that hang, by UID.
pub type Explained = BTreeMap<String, Explanation>;

/// What the Events of one object state.
#[derive(Clone, Debug, PartialEq)]
pub struct Explanation {
    /// When they were read.
    read_at: Timestamp,
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
}

/// The objects that hang: Jobs without a pod, pods whose containers are not created, and pods that do not become ready within
/// their Deployment's progress deadline.
pub fn hanging(children: &Children, uid: &str, now: Timestamp) -> Vec<Hanging> {
    let jobs = children.owned(Kind::Job, uid).filter_map(|(name, observed)| match &observed.state {
        ChildState::Job(job) if job.end.is_none() && !observed.deleting && job.is_pod_due(now) => {
            let has_pod = children.pods().any(|pod| pod.job.as_deref() == Some(name));
            let hanging = || Hanging { uid: observed.uid.clone(), part: Part::Training, object: format!("job {name}") };
            (!has_pod).then(hanging)
        }
        _ => None,
    });
    let is_late = |pod: &&PodState| pod.blocked.is_none() && pod.creating_from.is_some_and(|from| from <= now);
    let creating = children.pods().filter(is_late);
    let stuck = children.owned(Kind::Deployment, uid).filter_map(|(_, observed)| match &observed.state {
        ChildState::Deployment(state) if state.stuck.is_some() => {
            let is_new = |pod: &&PodState| state.component == pod.component && pod.is_running && pod.blocked.is_none();
            let unready = children.pods().filter(is_new).filter(|pod| pod.ready_since.is_none());
            unready.max_by_key(|pod| pod.created_at)
        }
        _ => None,
    });
    let pod = |pod: &PodState| Hanging {
        uid: pod.uid.clone(),
        part: Part::of(&pod.component),
        object: format!("pod {}", pod.name),
    };
    jobs.chain(creating.chain(stuck).map(pod)).take(MOST).collect()
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
        let before = known.get(&of.uid);
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
                Explanation { read_at: now, why }
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

/// Reasons of Events that show progress: what was reported before them is over.
const PROGRESS: [&str; 5] = ["SuccessfulCreate", "Pulling", "Pulled", "Created", "Started"];

/// The cause in the Events of an object: the newest one after its last progress, special ones first. The kubelet repeats the
/// general "timed out waiting for the condition" beside the Event that states why.
fn cause(of: &Hanging, namespace: &str, mut events: Vec<Event>) -> Option<String> {
    events.sort_by_key(last_observed);
    let is_progress = |event: &Event| event.reason.as_deref().is_some_and(|reason| PROGRESS.contains(&reason));
    let since = events.iter().rposition(is_progress).map_or(0, |last| last + 1);
    let subject = Subject { part: of.part, namespace, object: &of.object, image: "", is_init: false };
    let causes = events[since..].iter().filter(|event| event.type_.as_deref() == Some("Warning")).filter_map(|event| {
        let reason = event.reason.as_deref().unwrap_or_default();
        let source = if reason == "FailedCreate" { Source::Refused } else { Source::Event };
        causes::explain(&subject, source, reason, event.message.as_deref().unwrap_or_default())
    });
    // Of equal ones the last, which is the newest.
    causes.max_by_key(|cause| cause.is_specific).map(|cause| cause.text)
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
        let pod = Hanging { uid: "u".into(), part: Part::Training, object: "pod p".into() };
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
}
