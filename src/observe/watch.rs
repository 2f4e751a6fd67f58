//! The watches that fill the [`World`]. One per kind and namespace, and each ends up as a stream of the objects whose
//! children changed.

use std::{collections::HashSet, fmt::Debug, sync::Arc, time::Duration};

use futures::{Stream, StreamExt, stream, stream::BoxStream};
use jiff::Timestamp;
use k8s_openapi::api::{
    apps::v1::Deployment,
    autoscaling::v2::HorizontalPodAutoscaler,
    batch::v1::Job,
    core::v1::{Pod, Service, ServiceAccount},
    policy::v1::PodDisruptionBudget,
};
use kube::{
    Api, Client, Resource,
    core::{NamespaceResourceScope, PartialObjectMeta},
    runtime::{
        WatchStreamExt,
        watcher::{self, Event, watcher},
    },
};
use serde::de::DeserializeOwned;

use super::{Facts, PodFacts, Seen, Watched, World, facts};
use crate::{
    api::{
        FIELD_MANAGER, MANAGED_BY_LABEL,
        monitoring_coreos::{PodMonitor, PrometheusRule, ServiceMonitor},
    },
    render::Kind,
};

/// Seconds after which the API server ends a watch and we start it again: a connection that silently died is noticed
/// within this time.
pub const WATCH_SECONDS: u32 = 60;

/// Before everything is listed anew.
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
    /// An API of the scope.
    pub fn api<K>(&self, client: Client) -> Api<K>
    where
        K: Resource<Scope = NamespaceResourceScope, DynamicType = ()>,
    {
        match self {
            Self::All => Api::all(client),
            Self::Namespace(namespace) => Api::namespaced(client, namespace),
        }
    }
}

/// Something that calls for a look at objects.
#[derive(Clone, Debug, PartialEq)]
pub enum Touched {
    /// One object's children changed.
    Model {
        /// Its namespace.
        namespace: String,
        /// Its name.
        name: String,
    },
    /// A kind appeared in the cluster or vanished from it.
    Everything,
}

/// Watches all kinds in a scope, fills `world`, and tells which objects to look at. The stream never ends.
pub fn watch_children(client: &Client, scope: &Scope, world: &Arc<World>) -> impl Stream<Item = Touched> + use<> {
    let one = One { client: client.clone(), scope: scope.clone(), world: world.clone() };
    stream::select_all([
        one.full::<Deployment>(Kind::Deployment, facts::deployment),
        one.full::<Job>(Kind::Job, facts::job),
        one.full::<HorizontalPodAutoscaler>(Kind::HorizontalPodAutoscaler, facts::autoscaler),
        one.metadata::<ServiceAccount>(Kind::ServiceAccount),
        one.metadata::<Service>(Kind::Service),
        one.metadata::<PodDisruptionBudget>(Kind::PodDisruptionBudget),
        one.metadata::<ServiceMonitor>(Kind::ServiceMonitor),
        one.metadata::<PodMonitor>(Kind::PodMonitor),
        one.metadata::<PrometheusRule>(Kind::PrometheusRule),
        one.watch::<Pod>(Watched::Pod, |pod| (Facts::Nothing, Some(facts::pod(pod)))),
    ])
}

/// Watches a kind without end. kube's watcher goes on from where it stopped; where the API server refuses just that,
/// because the kind was gone in between or a proxy answers 410 as a status, it would ask for the same for ever. So then
/// everything is listed anew.
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
                tokio::time::sleep(RELIST_PAUSE).await; // a new watcher starts without a pause of its own
            }
            Some((event, (!refused).then_some(running)))
        }
    })
}

/// The watches of one scope.
struct One {
    client: Client,
    scope: Scope,
    world: Arc<World>,
}

impl One {
    fn full<K>(&self, kind: Kind, facts: fn(&K) -> Facts) -> BoxStream<'static, Touched>
    where
        K: Resource<Scope = NamespaceResourceScope, DynamicType = ()>
            + Clone
            + DeserializeOwned
            + Debug
            + Send
            + 'static,
    {
        self.watch::<K>(Watched::Child(kind), move |object| (facts(object), None))
    }

    fn metadata<K>(&self, kind: Kind) -> BoxStream<'static, Touched>
    where
        K: Resource<Scope = NamespaceResourceScope, DynamicType = ()> + Clone + Debug + Send + Sync + 'static,
    {
        self.watch::<PartialObjectMeta<K>>(Watched::Child(kind), |_| (Facts::Nothing, None))
    }

    fn watch<K>(
        &self,
        watched: Watched,
        facts: impl Fn(&K) -> (Facts, Option<PodFacts>) + Send + 'static,
    ) -> BoxStream<'static, Touched>
    where
        K: Resource<Scope = NamespaceResourceScope, DynamicType = ()>
            + Clone
            + DeserializeOwned
            + Debug
            + Send
            + 'static,
    {
        let mut config = watcher::Config::default().timeout(WATCH_SECONDS);
        // Of the autoscalers also those of others are watched: they may move our Deployments.
        if watched != Watched::Child(Kind::HorizontalPodAutoscaler) {
            config = config.labels(&format!("{MANAGED_BY_LABEL}={FIELD_MANAGER}"));
        }
        self.world.expect_list();
        let mut fill = Fill { watched, world: self.world.clone(), facts, listed: HashSet::new(), loaded: false };
        watch(self.scope.api::<K>(self.client.clone()), config)
            .map(move |event| stream::iter(fill.take(event)))
            .flatten()
            .boxed()
    }
}

/// Fills the world from one watch.
struct Fill<F> {
    watched: Watched,
    world: Arc<World>,
    facts: F,
    /// UIDs of the list that is coming in.
    listed: HashSet<String>,
    loaded: bool,
}

impl<F> Fill<F> {
    fn take<K>(&mut self, event: Result<Event<K>, watcher::Error>) -> Vec<Touched>
    where
        K: Resource<DynamicType = ()>,
        F: Fn(&K) -> (Facts, Option<PodFacts>),
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
                self.world.tells(self.watched, object.meta());
                self.put(&object)
            }
            Ok(Event::Delete(object)) => {
                self.world.tells(self.watched, object.meta());
                let mut models = self.world.forget_mover(object.meta());
                models.extend(self.world.remove(self.watched, object.meta()));
                touched(models)
            }
            Err(error) => self.failed(&error),
        }
    }

    fn put<K: Resource>(&self, object: &K) -> Vec<Touched>
    where
        F: Fn(&K) -> (Facts, Option<PodFacts>),
    {
        let (facts, pod) = (self.facts)(object);
        let mut models = match &facts {
            Facts::Autoscaler(_) => self.world.note_mover(object.meta(), &facts),
            _ => Vec::new(),
        };
        match Seen::new(object.meta(), facts, pod) {
            Some(seen) => {
                let model = (object.meta().namespace.clone().unwrap_or_default(), seen.model.clone());
                let is_news = self.world.put(self.watched, object.meta(), seen, Timestamp::now());
                models.extend(is_news.then_some(model));
            }
            None => models.extend(self.world.disown(self.watched, object.meta())),
        }
        touched(models)
    }

    fn list_done(&mut self) -> Vec<Touched> {
        let mut touched = touched(self.world.retain(self.watched, &self.listed));
        self.listed = HashSet::new();
        if let Watched::Child(kind) = self.watched
            && self.world.set_missing(kind, false)
        {
            tracing::info!(kind = kind.as_str(), "the kind appeared in the cluster");
            touched.push(Touched::Everything);
        }
        touched.extend(self.loaded());
        touched
    }

    fn failed(&mut self, error: &watcher::Error) -> Vec<Touched> {
        match self.watched {
            Watched::Child(kind) if kind.is_optional() && is_absent(error) => {
                // What was of that kind went with it.
                self.world.retain(self.watched, &HashSet::new());
                let mut touched = Vec::new();
                if self.world.set_missing(kind, true) {
                    tracing::info!(
                        kind = kind.as_str(),
                        "the kind is not in the cluster or may not be listed; trying again"
                    );
                    touched.push(Touched::Everything);
                }
                touched.extend(self.loaded());
                touched
            }
            watched => {
                tracing::warn!(?watched, %error, "watch failed; trying again");
                Vec::new()
            }
        }
    }

    /// The first list is there, or will not come: everything may be looked at.
    fn loaded(&mut self) -> Option<Touched> {
        (!std::mem::replace(&mut self.loaded, true)).then(|| self.world.list_arrived())?;
        self.world.is_loaded().then_some(Touched::Everything)
    }
}

/// From namespaces and names.
fn touched(models: Vec<(String, String)>) -> Vec<Touched> {
    models.into_iter().map(|(namespace, name)| Touched::Model { namespace, name }).collect()
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
        convert::Infallible,
        sync::atomic::{AtomicU16, Ordering},
    };

    use axum::http::{Request, Response};
    use kube::client::Body;
    use serde_json::json;

    use super::*;

    /// Answers lists, or refuses them with `list`, and refuses watches with `watch`.
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
    async fn a_watch_that_cannot_go_on_lists_anew() {
        for (code, lists) in [(410, 2), (404, 2), (500, 1)] {
            let api = Api::<Pod>::all(client(Arc::new(200.into()), code));
            let events = watch(api, watcher::Config::default()).take(6).collect::<Vec<_>>().await;
            let listed = events.iter().filter(|event| matches!(event, Ok(Event::InitDone))).count();
            assert_eq!(listed, lists, "{code}: {events:?}");
        }
    }

    #[tokio::test(start_paused = true)]
    async fn an_optional_kind_that_may_not_be_listed_is_missing_until_it_may() {
        for code in [403, 404] {
            let (list, world) = (Arc::new(AtomicU16::new(code)), Arc::new(World::default()));
            let one = One { client: client(list.clone(), 500), scope: Scope::All, world: world.clone() };
            let mut touched = one.metadata::<ServiceMonitor>(Kind::ServiceMonitor);
            assert_eq!(touched.next().await, Some(Touched::Everything), "{code}");
            assert!(world.is_loaded() && !world.has_kind(Kind::ServiceMonitor), "all else goes on");
            list.store(200, Ordering::Relaxed);
            while !world.has_kind(Kind::ServiceMonitor) {
                touched.next().await;
            }
        }
    }

    #[tokio::test(start_paused = true)]
    async fn a_kind_that_every_object_needs_is_waited_for() {
        let world = Arc::new(World::default());
        let one = One { client: client(Arc::new(403.into()), 500), scope: Scope::All, world: world.clone() };
        let mut touched = one.full::<Job>(Kind::Job, facts::job);
        let waited = tokio::time::timeout(Duration::from_secs(600), touched.next()).await;
        assert!(waited.is_err() && !world.is_loaded());
    }

    #[tokio::test]
    async fn all_autoscalers_are_asked_for_and_of_other_kinds_only_ours() {
        let queries = Arc::new(std::sync::Mutex::new(Vec::new()));
        let asked = queries.clone();
        let service = tower::service_fn(move |request: Request<Body>| {
            asked.lock().expect("no panic").push(request.uri().to_string());
            async { Ok::<_, Infallible>(Response::builder().status(403).body(Body::empty()).expect("a response")) }
        });
        let client = Client::new(service, "default");
        let one = One { client, scope: Scope::All, world: Arc::new(World::default()) };
        let autoscalers = one.full::<HorizontalPodAutoscaler>(Kind::HorizontalPodAutoscaler, facts::autoscaler);
        let deployments = one.full::<Deployment>(Kind::Deployment, facts::deployment);
        for mut stream in [autoscalers, deployments] {
            let _ = tokio::time::timeout(Duration::from_millis(100), stream.next()).await;
        }
        let labelled: Vec<bool> =
            queries.lock().expect("no panic").iter().map(|query| query.contains("labelSelector=")).collect();
        assert_eq!(labelled, [false, true], "{queries:?}");
    }

    #[test]
    fn an_autoscaler_of_somebody_else_calls_for_a_look_when_it_comes_and_when_it_goes() {
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

        let world = Arc::new(World::default());
        let seen = Seen::new(&deployment.metadata, Facts::Nothing, None).expect("the Deployment is a child");
        world.put(Watched::Child(Kind::Deployment), &deployment.metadata, seen, Timestamp::UNIX_EPOCH);
        let facts = |autoscaler: &HorizontalPodAutoscaler| (facts::autoscaler(autoscaler), None);
        let watched = Watched::Child(Kind::HorizontalPodAutoscaler);
        let mut fill = Fill { watched, world: world.clone(), facts, listed: HashSet::new(), loaded: true };
        let model = vec![Touched::Model { namespace: "shop".into(), name: "a".into() }];
        assert_eq!(fill.take(Ok(Event::Apply(autoscaler.clone()))), model);
        assert!(world.foreign_autoscaler("shop", "a-serving").is_some());
        assert_eq!(fill.take(Ok(Event::Delete(autoscaler.clone()))), model);
        assert_eq!(world.foreign_autoscaler("shop", "a-serving"), None);

        fill.take(Ok(Event::Apply(autoscaler)));
        assert_eq!(fill.take(Ok(Event::Init)), []);
        assert_eq!(fill.take(Ok(Event::InitDone)), model);
        assert_eq!(world.foreign_autoscaler("shop", "a-serving"), None, "the new list did not have it");
    }
}
