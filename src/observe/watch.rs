//! The watches that fill the [`Cache`], one per kind and scope. Each yields a stream of the objects whose children
//! changed.

use std::{collections::HashSet, fmt::Debug, sync::Arc, time::Duration};

use futures::{Stream, StreamExt, stream, stream::BoxStream};
use jiff::Timestamp;
use k8s_openapi::api::{apps::v1::Deployment, autoscaling::v2::HorizontalPodAutoscaler, batch::v1::Job, core::v1::Pod};
use kube::{
    Api, Client, Resource,
    core::{NamespaceResourceScope, PartialObjectMeta},
    runtime::{
        WatchStreamExt,
        watcher::{self, Event, watcher},
    },
};
use serde::de::DeserializeOwned;

use super::{Cache, ChildState, ObservedChild, PodState, Watched, route::route, state};
use crate::{
    api::{FIELD_MANAGER, MANAGED_BY_LABEL, gateway::HTTPRoute},
    kinds::Kind,
};

/// Duration of a watch in seconds: the API server ends it then, and we start it again. A connection that died silently is
/// detected within this time.
pub const WATCH_SECONDS: u32 = 60;

/// Pause before everything is listed again because the API server refused to resume a watch: 1 s. A new watcher has no
/// back-off yet.
const RELIST_PAUSE: Duration = Duration::from_secs(1);

/// One namespace, or all.
#[derive(Clone, Debug, PartialEq)]
pub enum Scope {
    /// All namespaces.
    All,
    /// One namespace.
    Namespace(String),
}

impl Scope {
    /// The API of a kind in this scope.
    pub fn api<K>(&self, client: Client) -> Api<K>
    where
        K: Resource<Scope = NamespaceResourceScope, DynamicType = ()>,
    {
        match self {
            Self::All => Api::all(client),
            Self::Namespace(namespace) => Api::namespaced(client, namespace),
        }
    }

    /// The API of the metadata of a kind of child in this scope.
    fn metadata_api(&self, client: Client, kind: Kind) -> Api<PartialObjectMeta> {
        match self {
            Self::All => Api::all_with(client, &kind.resource()),
            Self::Namespace(namespace) => Api::namespaced_with(client, namespace, &kind.resource()),
        }
    }
}

/// What a change enqueues.
#[derive(Clone, Debug, PartialEq)]
pub enum Enqueue {
    /// One object, because its children changed.
    Model {
        /// Its namespace.
        namespace: String,
        /// Its name.
        name: String,
    },
    /// All objects, because a kind appeared in the cluster or vanished from it, or because the cache is loaded.
    Everything,
}

/// Watches all kinds in a scope, fills `cache`, and yields the objects to enqueue. The stream never ends. `hot_reload`: whether
/// ConfigMaps are watched, too.
pub fn watch_children(
    client: &Client,
    scope: &Scope,
    cache: &Arc<Cache>,
    hot_reload: bool,
) -> impl Stream<Item = Enqueue> + use<> {
    let one = One { client: client.clone(), scope: scope.clone(), cache: cache.clone() };
    let children = Kind::watched(hot_reload).map(|kind| match kind {
        Kind::Deployment => one.full::<Deployment>(kind, state::deployment),
        Kind::Job => one.full::<Job>(kind, state::job),
        Kind::HorizontalPodAutoscaler => one.full::<HorizontalPodAutoscaler>(kind, state::autoscaler),
        Kind::HTTPRoute => one.full::<HTTPRoute>(kind, route),
        // Of the others only the metadata is needed, unless a decision depends on their state.
        _ => one.metadata(kind),
    });
    let children: Vec<_> = children.collect();
    let state = |pod: &Pod| (ChildState::Nothing, Some(state::pod(pod)));
    let pods = one.watch(Watched::Pod, scope.api(client.clone()), state);
    stream::select_all(children.into_iter().chain([pods]))
}

/// Watches a kind; the stream never ends. kube's watcher resumes a watch where it stopped. If the API server refuses that,
/// because the kind was gone meanwhile or a proxy responds with status 410, it would repeat the same request for ever. In
/// that case everything is listed again.
pub fn watch<K>(api: Api<K>, config: watcher::Config) -> impl Stream<Item = Result<Event<K>, watcher::Error>> + Send
where
    K: Resource + Clone + DeserializeOwned + Debug + Send + 'static,
{
    stream::unfold(None, move |running| {
        let (api, config) = (api.clone(), config.clone());
        async move {
            let mut running: BoxStream<'static, _> =
                running.unwrap_or_else(|| watcher(api, config).default_backoff().boxed());
            let event = running.next().await?;
            let refused =
                matches!(&event, Err(watcher::Error::WatchStartFailed(error)) if has_code(error, &[404, 410]));
            if refused {
                tokio::time::sleep(RELIST_PAUSE).await; // a new watcher starts without back-off
            }
            Some((event, (!refused).then_some(running)))
        }
    })
}

/// The watches of one scope.
struct One {
    client: Client,
    scope: Scope,
    cache: Arc<Cache>,
}

impl One {
    fn full<K>(&self, kind: Kind, state: fn(&K) -> ChildState) -> BoxStream<'static, Enqueue>
    where
        K: Resource<Scope = NamespaceResourceScope, DynamicType = ()>
            + Clone
            + DeserializeOwned
            + Debug
            + Send
            + 'static,
    {
        let api = self.scope.api::<K>(self.client.clone());
        self.watch(Watched::Child(kind), api, move |object| (state(object), None))
    }

    fn metadata(&self, kind: Kind) -> BoxStream<'static, Enqueue> {
        let api = self.scope.metadata_api(self.client.clone(), kind);
        let state = move |object: &PartialObjectMeta| (state::of_metadata(kind, &object.metadata), None);
        self.watch(Watched::Child(kind), api, state)
    }

    fn watch<K>(
        &self,
        watched: Watched,
        api: Api<K>,
        state: impl Fn(&K) -> (ChildState, Option<PodState>) + Send + 'static,
    ) -> BoxStream<'static, Enqueue>
    where
        K: Resource + Clone + DeserializeOwned + Debug + Send + 'static,
    {
        let mut config = watcher::Config::default().timeout(WATCH_SECONDS);
        // External autoscalers are watched too: they may scale our Deployments.
        if watched != Watched::Child(Kind::HorizontalPodAutoscaler) {
            config = config.labels(&format!("{MANAGED_BY_LABEL}={FIELD_MANAGER}"));
        }
        self.cache.expect_list();
        let mut fill = Fill { watched, cache: self.cache.clone(), state, listed: HashSet::new(), loaded: false };
        watch(api, config).map(move |event| stream::iter(fill.take(event))).flatten().boxed()
    }
}

/// Fills the cache from one watch.
struct Fill<F> {
    watched: Watched,
    cache: Arc<Cache>,
    state: F,
    /// UIDs of the list being received.
    listed: HashSet<String>,
    /// Whether the first list has arrived, or is known not to come.
    loaded: bool,
}

impl<F> Fill<F> {
    fn take<K>(&mut self, event: Result<Event<K>, watcher::Error>) -> Vec<Enqueue>
    where
        K: Resource,
        F: Fn(&K) -> (ChildState, Option<PodState>),
    {
        match event {
            Ok(Event::Init) => {
                self.listed.clear();
                Vec::new()
            }
            Ok(Event::InitApply(object)) => {
                self.listed.extend(object.meta().uid.clone());
                self.put(&object)
            }
            Ok(Event::InitDone) => self.list_done(),
            Ok(Event::Apply(object)) => {
                self.cache.record_progress(self.watched, object.meta());
                self.put(&object)
            }
            Ok(Event::Delete(object)) => {
                self.cache.record_progress(self.watched, object.meta());
                let mut models = self.cache.forget_external(object.meta());
                models.extend(self.cache.remove(self.watched, object.meta()));
                enqueued(models)
            }
            Err(error) => self.failed(&error),
        }
    }

    fn put<K: Resource>(&self, object: &K) -> Vec<Enqueue>
    where
        F: Fn(&K) -> (ChildState, Option<PodState>),
    {
        let (state, pod) = (self.state)(object);
        let mut models = match &state {
            ChildState::Autoscaler(_) => self.cache.record_external(object.meta(), &state),
            _ => Vec::new(),
        };
        match ObservedChild::new(object.meta(), state, pod) {
            Some(observed) => {
                let model = (object.meta().namespace.clone().unwrap_or_default(), observed.model.clone());
                let changed = self.cache.put(self.watched, object.meta(), observed, Timestamp::now());
                models.extend(changed.then_some(model));
            }
            None => models.extend(self.cache.disown(self.watched, object.meta())),
        }
        enqueued(models)
    }

    fn list_done(&mut self) -> Vec<Enqueue> {
        let mut enqueued = enqueued(self.cache.retain(self.watched, &self.listed));
        self.listed = HashSet::new();
        if let Watched::Child(kind) = self.watched
            && self.cache.set_missing(kind, false)
        {
            tracing::info!(kind = kind.as_str(), "the kind is now in the cluster");
            enqueued.push(Enqueue::Everything);
        }
        enqueued.extend(self.loaded());
        enqueued
    }

    fn failed(&mut self, error: &watcher::Error) -> Vec<Enqueue> {
        match self.watched {
            Watched::Child(kind) if kind.is_optional() && is_absent(error) => {
                // All objects of the kind were removed with it.
                self.cache.retain(self.watched, &HashSet::new());
                let mut enqueued = Vec::new();
                if self.cache.set_missing(kind, true) {
                    tracing::info!(
                        kind = kind.as_str(),
                        "the kind is not in the cluster or may not be listed; retrying"
                    );
                    enqueued.push(Enqueue::Everything);
                }
                enqueued.extend(self.loaded());
                enqueued
            }
            watched => {
                tracing::warn!(?watched, %error, "watch failed; retrying");
                Vec::new()
            }
        }
    }

    /// Records that the first list has arrived or will not come. Enqueues everything once that is so for all watches.
    fn loaded(&mut self) -> Option<Enqueue> {
        (!std::mem::replace(&mut self.loaded, true)).then(|| self.cache.list_arrived())?;
        self.cache.is_loaded().then_some(Enqueue::Everything)
    }
}

/// One object per namespace and name.
fn enqueued(models: Vec<(String, String)>) -> Vec<Enqueue> {
    models.into_iter().map(|(namespace, name)| Enqueue::Model { namespace, name }).collect()
}

/// Whether the cluster has no such kind, or does not let us list it.
fn is_absent(error: &watcher::Error) -> bool {
    match error {
        watcher::Error::InitialListFailed(error) => has_code(error, &[403, 404]),
        watcher::Error::WatchStartFailed(error) => has_code(error, &[404]),
        _ => false,
    }
}

fn has_code(error: &kube::Error, codes: &[u16]) -> bool {
    matches!(error, kube::Error::Api(status) if codes.contains(&status.code))
}

#[cfg(test)]
mod tests {
    use std::{
        collections::BTreeMap,
        convert::Infallible,
        sync::atomic::{AtomicU16, Ordering},
    };

    use axum::http::{Request, Response};
    use kube::client::Body;
    use serde_json::json;

    use super::*;

    /// Responds to lists with the status code `list`, and to watches with the status code `watch`.
    fn client(list: Arc<AtomicU16>, watch: u16) -> Client {
        let service = tower::service_fn(move |request: Request<Body>| {
            let watches = request.uri().query().unwrap_or_default().contains("watch=true");
            let code = if watches { watch } else { list.load(Ordering::Relaxed) };
            let body = match code {
                200 => json!({"kind": "List", "apiVersion": "v1", "metadata": {"resourceVersion": "7"}, "items": []}),
                code => json!({"kind": "Status", "apiVersion": "v1", "status": "Failure", "code": code}),
            };
            let answer = Response::builder().status(code).body(Body::from(body.to_string().into_bytes()));
            async move { Ok::<_, Infallible>(answer.expect("a response")) }
        });
        Client::new(service, "default")
    }

    #[tokio::test(start_paused = true)]
    async fn a_watch_that_cannot_be_resumed_lists_again() {
        for (code, lists) in [(410, 2), (404, 2), (500, 1)] {
            let api = Api::<Pod>::all(client(Arc::new(200.into()), code));
            let events = watch(api, watcher::Config::default()).take(6).collect::<Vec<_>>().await;
            let listed = events.iter().filter(|event| matches!(event, Ok(Event::InitDone))).count();
            assert_eq!(listed, lists, "{code}: {events:?}");
        }
    }

    #[tokio::test(start_paused = true)]
    async fn an_optional_kind_is_missing_until_it_may_be_listed() {
        for code in [403, 404] {
            let (list, cache) = (Arc::new(AtomicU16::new(code)), Arc::new(Cache::default()));
            let one = One { client: client(list.clone(), 500), scope: Scope::All, cache: cache.clone() };
            let mut enqueued = one.metadata(Kind::ServiceMonitor);
            assert_eq!(enqueued.next().await, Some(Enqueue::Everything), "{code}");
            assert!(cache.is_loaded() && !cache.has_kind(Kind::ServiceMonitor), "a missing kind blocks nothing");
            list.store(200, Ordering::Relaxed);
            while !cache.has_kind(Kind::ServiceMonitor) {
                enqueued.next().await;
            }
        }
    }

    #[tokio::test(start_paused = true)]
    async fn the_cache_is_not_loaded_while_a_required_kind_may_not_be_listed() {
        let cache = Arc::new(Cache::default());
        let one = One { client: client(Arc::new(403.into()), 500), scope: Scope::All, cache: cache.clone() };
        let mut enqueued = one.full::<Job>(Kind::Job, state::job);
        let waited = tokio::time::timeout(Duration::from_secs(600), enqueued.next()).await;
        assert!(waited.is_err() && !cache.is_loaded());
    }

    #[tokio::test(start_paused = true)]
    async fn every_kind_is_listed_and_only_autoscalers_without_our_label_selector() {
        let queries = Arc::new(std::sync::Mutex::new(Vec::new()));
        let asked = queries.clone();
        let service = tower::service_fn(move |request: Request<Body>| {
            asked.lock().expect("no panic").push(request.uri().to_string());
            async { Ok::<_, Infallible>(Response::builder().status(403).body(Body::empty()).expect("a response")) }
        });
        let enqueued = watch_children(&Client::new(service, "default"), &Scope::All, &Arc::default(), true);
        let watched = tokio::time::timeout(Duration::from_millis(100), enqueued.for_each(|_| std::future::ready(())));
        watched.await.expect_err("watches never end");

        let queries = queries.lock().expect("no panic");
        let listed: BTreeMap<&str, bool> = queries
            .iter()
            .filter_map(|query| query.split_once('?'))
            .map(|(path, query)| (path.rsplit('/').next().unwrap_or(path), query.contains("labelSelector=")))
            .collect();
        let resources = Kind::ALL.map(|kind| (kind.resource().plural, kind != Kind::HorizontalPodAutoscaler));
        let mut expected: BTreeMap<&str, bool> = resources.iter().map(|(plural, of)| (plural.as_str(), *of)).collect();
        expected.insert("pods", true);
        assert_eq!(listed, expected, "{queries:?}");
    }

    #[test]
    fn an_external_autoscaler_enqueues_the_object_when_it_appears_and_when_it_is_deleted() {
        let meta = |name: &str, owner: &str, of: &str| {
            let owner = json!({"apiVersion": "v1", "kind": owner, "name": of, "uid": "u", "controller": true});
            json!({
                "name": name, "namespace": "shop", "uid": name, "resourceVersion": "1", "ownerReferences": [owner],
            })
        };
        let target = json!({"apiVersion": "apps/v1", "kind": "Deployment", "name": "a-serving"});
        let autoscaler = json!({
            "metadata": meta("keda-hpa-s", "ScaledObject", "s"),
            "spec": {"maxReplicas": 2, "scaleTargetRef": target},
        });
        let autoscaler: HorizontalPodAutoscaler = serde_json::from_value(autoscaler).expect("an autoscaler");
        let deployment = json!({"metadata": meta("a-serving", "RecommenderModel", "a")});
        let deployment: Deployment = serde_json::from_value(deployment).expect("a Deployment");

        let cache = Arc::new(Cache::default());
        let observed =
            ObservedChild::new(&deployment.metadata, ChildState::Nothing, None).expect("the Deployment is a child");
        cache.put(Watched::Child(Kind::Deployment), &deployment.metadata, observed, Timestamp::UNIX_EPOCH);
        let state = |autoscaler: &HorizontalPodAutoscaler| (state::autoscaler(autoscaler), None);
        let watched = Watched::Child(Kind::HorizontalPodAutoscaler);
        let mut fill = Fill { watched, cache: cache.clone(), state, listed: HashSet::new(), loaded: true };
        let model = vec![Enqueue::Model { namespace: "shop".into(), name: "a".into() }];
        assert_eq!(fill.take(Ok(Event::Apply(autoscaler.clone()))), model);
        assert!(cache.external_autoscaler("shop", "a-serving").is_some());
        assert_eq!(fill.take(Ok(Event::Delete(autoscaler.clone()))), model);
        assert_eq!(cache.external_autoscaler("shop", "a-serving"), None);

        fill.take(Ok(Event::Apply(autoscaler)));
        assert_eq!(fill.take(Ok(Event::Init)), []);
        assert_eq!(fill.take(Ok(Event::InitDone)), model);
        assert_eq!(cache.external_autoscaler("shop", "a-serving"), None, "the new list did not have it");
    }
}
