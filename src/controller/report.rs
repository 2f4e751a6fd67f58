//! Reports what was done and observed: writes the status (nothing else does) and emits Events.

use std::sync::atomic::{AtomicU64, Ordering};

use jiff::Timestamp;
use k8s_openapi::{
    api::core::v1,
    apimachinery::pkg::apis::meta::v1::{MicroTime, ObjectMeta, Time},
};

use super::context::Context;
use crate::{
    api::{FIELD_MANAGER, RecommenderModelStatus},
    apply::CallError,
    model::Identity,
    status::{self, Event},
};

/// Writes `next` if it differs from `prior`, and emits an Event for each change. Where only the message of a failure
/// differs, it is written once a minute at most: each write triggers the next reconcile, which may find yet another
/// message.
///
/// # Errors
/// When the status could not be written. That an Event could not be created is only logged.
pub async fn report(
    context: &Context,
    identity: &Identity,
    uid: &str,
    prior: &RecommenderModelStatus,
    next: &RecommenderModelStatus,
    now: Timestamp,
) -> Result<(), CallError> {
    if next == prior || (status::is_rewording(prior, next) && context.memory.was_reported_lately(uid, now)) {
        return Ok(());
    }
    let version = context.cluster.write_status(&identity.namespace, &identity.name, uid, next).await?;
    if let Some(version) = version {
        context.memory.wrote(uid, version, next, now);
    }
    emit(context, identity, uid, &status::events(prior, next), now).await;
    Ok(())
}

/// Logs each Event and creates it.
pub async fn emit(context: &Context, identity: &Identity, uid: &str, events: &[Event], now: Timestamp) {
    for event in events {
        if event.warning {
            tracing::warn!(reason = event.reason, "{}", event.message);
        } else {
            tracing::info!(reason = event.reason, "{}", event.message);
        }
        let created = context.cluster.create_event(&identity.namespace, &object_of(event, identity, uid, now)).await;
        if let Err(error) = created {
            tracing::debug!(%error, reason = event.reason, "the Event could not be created");
        }
    }
}

/// Longest message of an Event that the API server takes, in bytes.
const MESSAGE_MAX: usize = 1024;

/// An Event of the core API, whose `lastTimestamp` is what most tools sort by; the API server refuses it in events.k8s.io.
fn object_of(event: &Event, identity: &Identity, uid: &str, now: Timestamp) -> v1::Event {
    /// One reconcile has one `now`, and may have several Events.
    static CREATED: AtomicU64 = AtomicU64::new(0);
    let number = CREATED.fetch_add(1, Ordering::Relaxed);
    let mut message = event.message.clone();
    while message.len() > MESSAGE_MAX {
        message.pop();
    }
    v1::Event {
        metadata: ObjectMeta {
            // As client-go names them: the object and an instant.
            name: Some(format!("{}.{:x}.{number:x}", identity.base, now.as_nanosecond())),
            namespace: Some(identity.namespace.clone()),
            ..ObjectMeta::default()
        },
        action: Some("Reconcile".into()),
        count: Some(1),
        event_time: Some(MicroTime(now)),
        first_timestamp: Some(Time(now)),
        last_timestamp: Some(Time(now)),
        message: Some(message),
        reason: Some(event.reason.clone()),
        involved_object: v1::ObjectReference {
            api_version: Some("recommender.dev/v1alpha1".into()),
            kind: Some("RecommenderModel".into()),
            name: Some(identity.name.clone()),
            namespace: Some(identity.namespace.clone()),
            uid: Some(uid.into()),
            ..v1::ObjectReference::default()
        },
        reporting_component: Some(format!("recommender.dev/{FIELD_MANAGER}")),
        reporting_instance: Some(FIELD_MANAGER.into()),
        source: Some(v1::EventSource { component: Some(FIELD_MANAGER.into()), host: None }),
        type_: Some(if event.warning { "Warning" } else { "Normal" }.into()),
        ..v1::Event::default()
    }
}

/// Like [`report`] for an object whose status could not be read: only the conditions and `observedGeneration` are written.
///
/// # Errors
/// When the conditions could not be written.
pub async fn report_unreadable(
    context: &Context,
    identity: &Identity,
    uid: &str,
    prior: &RecommenderModelStatus,
    next: &RecommenderModelStatus,
    now: Timestamp,
) -> Result<(), CallError> {
    if next == prior {
        return Ok(());
    }
    let version = context.cluster.write_conditions(&identity.namespace, &identity.name, uid, next).await?;
    if let Some(version) = version {
        context.memory.wrote(uid, version, next, now);
    }
    emit(context, identity, uid, &status::events(prior, next), now).await;
    Ok(())
}

#[cfg(test)]
mod tests {
    use jiff::SignedDuration;

    use super::*;
    use crate::controller::tests::{Fixture, STATUS};

    #[test]
    fn two_events_of_one_instant_have_names_of_their_own_and_a_time_to_sort_by() {
        let mut meta = ObjectMeta::default();
        (meta.name, meta.namespace) = (Some("shop".into()), Some("n".into()));
        let identity = Identity::of(&meta, Timestamp::UNIX_EPOCH);
        let event = Event { warning: true, reason: "RolloutStuck".into(), message: "é".repeat(600) };
        let [one, other] = [(); 2].map(|()| object_of(&event, &identity, "u", Timestamp::UNIX_EPOCH));
        assert_ne!(one.metadata.name, other.metadata.name);
        assert_eq!(one.last_timestamp, Some(Time(Timestamp::UNIX_EPOCH)));
        assert_eq!(one.message.map(|message| message.len()), Some(MESSAGE_MAX));
    }

    #[tokio::test]
    async fn a_failure_whose_message_differs_at_every_try_is_written_once_a_minute() {
        let fixture = Fixture::new();
        let context = &fixture.context;
        let at = |seconds| Timestamp::UNIX_EPOCH + SignedDuration::from_secs(seconds);
        let mut meta = ObjectMeta::default();
        (meta.name, meta.namespace) = (Some("packages".into()), Some("shop".into()));
        let identity = Identity::of(&meta, at(0));
        for second in 0..120 {
            let shown = RecommenderModelStatus::default();
            let prior = context.memory.newest_status("u", 0, Some(&shown));
            let next = status::interrupted(&prior, 1, &format!("port {second} is closed"), at(second));
            report(context, &identity, "u", &prior, &next, at(second)).await.expect("the API server takes it");
        }
        assert_eq!(fixture.server.requests().iter().filter(|request| *request == STATUS).count(), 2);
    }
}
