//! Tells what was done and found: the status (the only place that writes it) and the events.

use std::sync::atomic::{AtomicU64, Ordering};

use jiff::Timestamp;
use k8s_openapi::{
    api::core::v1::{Event, EventSource, ObjectReference},
    apimachinery::pkg::apis::meta::v1::{MicroTime, ObjectMeta, Time},
};

use super::Context;
use crate::{
    api::{FIELD_MANAGER, RecommenderModelStatus},
    apply::CallError,
    model::Identity,
    status::{self, Note},
};

/// Writes `next` if it differs from `prior`, and then an event for each change. Other words for the same failure are
/// written once a minute at most: each write is a change that calls for the next look, which may find yet other words.
/// They come with a later try.
///
/// # Errors
/// When the status could not be written. Events are a courtesy: their failure is only logged.
pub async fn report(
    context: &Context,
    identity: &Identity,
    uid: &str,
    prior: &RecommenderModelStatus,
    next: &RecommenderModelStatus,
    now: Timestamp,
) -> Result<(), CallError> {
    if next == prior || (status::is_rewording(prior, next) && context.memory.was_told_lately(uid, now)) {
        return Ok(());
    }
    let version = context.cluster.write_status(&identity.namespace, &identity.name, uid, next).await?;
    if let Some(version) = version {
        context.memory.wrote(uid, version, next, now);
    }
    announce(context, identity, uid, &status::notes(prior, next), now).await;
    Ok(())
}

/// Logs news and makes events of them.
pub async fn announce(context: &Context, identity: &Identity, uid: &str, notes: &[Note], now: Timestamp) {
    for note in notes {
        if note.warning {
            tracing::warn!(reason = note.reason, "{}", note.message);
        } else {
            tracing::info!(reason = note.reason, "{}", note.message);
        }
        let event = event(identity, uid, note, now);
        if let Err(error) = context.cluster.create_event(&identity.namespace, &event).await {
            tracing::debug!(%error, reason = note.reason, "event not written");
        }
    }
}

/// Longest message of an event that the API server takes, in bytes.
const MESSAGE_MAX: usize = 1024;

/// An event of the core API, whose `lastTimestamp` is what most tools sort by; the API server refuses it in events.k8s.io.
fn event(identity: &Identity, uid: &str, note: &Note, now: Timestamp) -> Event {
    /// One reconcile has one `now`, and may have several events.
    static CREATED: AtomicU64 = AtomicU64::new(0);
    let number = CREATED.fetch_add(1, Ordering::Relaxed);
    let mut message = note.message.clone();
    while message.len() > MESSAGE_MAX {
        message.pop();
    }
    Event {
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
        reason: Some(note.reason.clone()),
        involved_object: ObjectReference {
            api_version: Some("recommender.dev/v1alpha1".into()),
            kind: Some("RecommenderModel".into()),
            name: Some(identity.name.clone()),
            namespace: Some(identity.namespace.clone()),
            uid: Some(uid.into()),
            ..ObjectReference::default()
        },
        reporting_component: Some(format!("recommender.dev/{FIELD_MANAGER}")),
        reporting_instance: Some(FIELD_MANAGER.into()),
        source: Some(EventSource { component: Some(FIELD_MANAGER.into()), host: None }),
        type_: Some(if note.warning { "Warning" } else { "Normal" }.into()),
        ..Event::default()
    }
}

/// Like [`report`] for an object whose status could not be read: only the conditions are written, all else stays.
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
    announce(context, identity, uid, &status::notes(prior, next), now).await;
    Ok(())
}

#[cfg(test)]
mod tests {
    use std::{
        convert::Infallible,
        sync::{
            Arc,
            atomic::{AtomicU64, Ordering},
        },
    };

    use axum::http::{Request, Response};
    use jiff::SignedDuration;
    use kube::{Client, client::Body, runtime::reflector};
    use serde_json::json;

    use super::*;
    use crate::{
        apply::Cluster,
        controller::{memory::Memory, scaler::Scaler},
        observe::World,
        telemetry::Metrics,
    };

    /// Counts the writes of statuses in `writes`.
    fn context(writes: Arc<AtomicU64>) -> Context {
        let service = tower::service_fn(move |request: Request<Body>| {
            let is_status = request.uri().path().ends_with("/status");
            let version = writes.fetch_add(u64::from(is_status), Ordering::Relaxed) + 1;
            let meta = json!({"name": "shop", "namespace": "n", "resourceVersion": version.to_string()});
            let body = json!({"apiVersion": "recommender.dev/v1alpha1", "kind": "RecommenderModel", "metadata": meta});
            async move { Ok::<_, Infallible>(Response::new(Body::from(body.to_string().into_bytes()))) }
        });
        let metrics = Metrics::new();
        Context {
            objects: reflector::store().0,
            cluster: Cluster::new(Client::new(service.clone(), "default"), metrics.clone(), None),
            world: Arc::new(World::default()),
            memory: Memory::default(),
            scaler: Scaler::default(),
            kubelets: crate::signals::Kubelets::new(
                Client::new(service.clone(), "default"),
                crate::observe::Scope::All,
            ),
            touch: tokio::sync::mpsc::unbounded_channel().0,
            waiting: Arc::default(),
            permits: Arc::new(tokio::sync::Semaphore::new(1)),
            metrics,
            fence: None,
        }
    }

    #[test]
    fn two_events_of_one_instant_have_names_of_their_own_and_a_time_to_sort_by() {
        let mut meta = ObjectMeta::default();
        (meta.name, meta.namespace) = (Some("shop".into()), Some("n".into()));
        let identity = Identity::of(&meta, Timestamp::UNIX_EPOCH);
        let note = Note { warning: true, reason: "RolloutStuck".into(), message: "é".repeat(600) };
        let [one, other] = [(); 2].map(|()| event(&identity, "u", &note, Timestamp::UNIX_EPOCH));
        assert_ne!(one.metadata.name, other.metadata.name);
        assert_eq!(one.last_timestamp, Some(Time(Timestamp::UNIX_EPOCH)));
        assert_eq!(one.message.map(|message| message.len()), Some(MESSAGE_MAX));
    }

    #[tokio::test]
    async fn a_failure_with_other_words_at_every_try_writes_the_status_once_a_minute() {
        let writes = Arc::new(AtomicU64::new(0));
        let context = context(writes.clone());
        let at = |seconds| Timestamp::UNIX_EPOCH + SignedDuration::from_secs(seconds);
        let mut meta = ObjectMeta::default();
        (meta.name, meta.namespace) = (Some("shop".into()), Some("n".into()));
        let identity = Identity::of(&meta, at(0));
        for second in 0..120 {
            let shown = RecommenderModelStatus::default();
            let prior = context.memory.newest_status("u", 0, Some(&shown));
            let next = status::interrupted(&prior, 1, &format!("port {second} is closed"), at(second));
            report(&context, &identity, "u", &prior, &next, at(second)).await.expect("the API server takes it");
        }
        assert_eq!(writes.load(Ordering::Relaxed), 2);
    }
}
