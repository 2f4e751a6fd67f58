//! The watches that fill the [`World`]. One per kind and namespace, and each ends up as a stream of the objects whose
//! children changed.

use std::{collections::HashSet, fmt::Debug, sync::Arc};

use futures::{Stream, StreamExt, stream, stream::BoxStream};
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
        FIELD_MANAGER,
        monitoring_coreos::{PrometheusRule, ServiceMonitor},
    },
    render::Kind,
};

/// Seconds after which the API server ends a watch and we start it again: a connection that silently died is noticed
/// within this time.
pub const WATCH_SECONDS: u32 = 60;

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
        one.metadata::<PrometheusRule>(Kind::PrometheusRule),
        one.watch::<Pod>(Watched::Pod, |pod| (Facts::Nothing, Some(facts::pod(pod)))),
    ])
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
        let config = watcher::Config::default()
            .labels(&format!("app.kubernetes.io/managed-by={FIELD_MANAGER}"))
            .timeout(WATCH_SECONDS);
        self.world.expect_list();
        let mut fill = Fill { watched, world: self.world.clone(), facts, listed: HashSet::new(), loaded: false };
        watcher(self.scope.api::<K>(self.client.clone()), config)
            .default_backoff()
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
            Ok(Event::Apply(object)) => self.put(&object),
            Ok(Event::Delete(object)) => {
                let model = self.world.remove(self.watched, object.meta());
                model.map(|name| touched(object.meta().namespace.clone(), name)).into_iter().collect()
            }
            Err(error) => self.failed(&error),
        }
    }

    fn put<K: Resource>(&self, object: &K) -> Vec<Touched>
    where
        F: Fn(&K) -> (Facts, Option<PodFacts>),
    {
        let (facts, pod) = (self.facts)(object);
        let Some(seen) = Seen::new(object.meta(), facts, pod) else {
            let uid = object.meta().uid.as_deref().unwrap_or_default();
            let disowned = self.world.disown(self.watched, uid);
            return disowned.map(|(namespace, name)| Touched::Model { namespace, name }).into_iter().collect();
        };
        let model = seen.model.clone();
        if self.world.put(self.watched, object.meta(), seen) {
            vec![touched(object.meta().namespace.clone(), model)]
        } else {
            Vec::new()
        }
    }

    fn list_done(&mut self) -> Vec<Touched> {
        let gone = self.world.retain(self.watched, &self.listed);
        self.listed = HashSet::new();
        let mut touched: Vec<_> =
            gone.into_iter().map(|(namespace, name)| Touched::Model { namespace, name }).collect();
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
            Watched::Child(kind) if kind.is_optional() && is_not_found(error) => {
                // What was of that kind went with it.
                self.world.retain(self.watched, &HashSet::new());
                let mut touched = Vec::new();
                if self.world.set_missing(kind, true) {
                    tracing::info!(kind = kind.as_str(), "the kind is not in the cluster; looking for it again");
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

fn touched(namespace: Option<String>, name: String) -> Touched {
    Touched::Model { namespace: namespace.unwrap_or_default(), name }
}

fn is_not_found(error: &watcher::Error) -> bool {
    let error = match error {
        watcher::Error::InitialListFailed(error) | watcher::Error::WatchStartFailed(error) => error,
        _ => return false,
    };
    matches!(error, kube::Error::Api(status) if status.code == 404)
}
