//! Who converges objects on the same API server: the operator, a bare client that only creates the same children, and a
//! client that makes the operator's requests without deciding anything.

use std::{array, collections::HashSet, ops::Range, pin::pin, sync::Arc, time::Duration};

use anyhow::{Context, Result, anyhow, bail, ensure};
use e2e::{Bare, define, definition, eventually, monitoring_definition, process};
use futures::{StreamExt, TryStreamExt, stream};
use jiff::Timestamp;
use k8s_openapi::{
    api::core::v1::{Event, Namespace},
    apimachinery::pkg::apis::meta::v1::MicroTime,
};
use kube::{
    Api, Client, Resource, ResourceExt,
    api::{Patch, PatchParams, PostParams},
    core::NamespaceResourceScope,
    runtime::{WatchStreamExt, watcher},
};
use recommender_operator::{
    api::{FIELD_MANAGER, RecommenderModel, conditions::types, crd},
    apply::Cluster,
    child::Child,
    controller::{self, Settings},
    model::Model,
    monitoring::alerts::RUNBOOKS,
    observe::{Cache, Scope, watch, watch_children},
    render,
    telemetry::{Health, Metrics},
    training::TrainingLimits,
    validate,
};
use serde_json::{Value, json};
use tokio::{
    task::JoinSet,
    time::{Instant, sleep, timeout_at},
};

use crate::{
    requests::{Counts, Requests},
    stand_in,
};

/// The file whose object is converged many times: with an autoscaler on CPU use and monitoring.
const EXAMPLE: &str = include_str!("../../../examples/packages.yaml");
/// Namespace of the operator's objects.
pub const OPERATORS: &str = "operators";
/// Namespace of the bare client's objects, which the operator and the stand-in do not watch.
const BARE_CLIENTS: &str = "bare-clients";
/// Namespace of the client with the operator's requests.
const SAME_REQUESTS: &str = "same-requests";
/// Events of an object whose first version is served: Trained and Serving.
const EVENTS: [(&str, &str); 2] = [
    ("Trained", "trained full-20261121-030000 in 2 s: precision_at_10 0.31"),
    ("Serving", "serves full-20261121-030000 with 2 replicas"),
];
/// The writes of a status until the object is Ready, by the fields that are not known then: nothing is trained, nothing is served,
/// and the servers are ready.
const STATUS_WRITES: [&[&str]; 3] = [&["versions", "serving"], &["serving"], &[]];
/// Requests of the stand-in per object: a trainer's pod and its end, the end of the Job, a rolled out Deployment.
const OF_STAND_IN: u64 = 4;
/// The UID in the owner references that the bare client writes. There is no garbage collector that would miss the owner.
const OWNER: &str = "00000000-0000-4000-8000-000000000000";
/// How long the operator may take to list everything.
const START_TIMEOUT: Duration = Duration::from_secs(60);
/// How long a single object may take to settle; with many, each may take another second.
const SETTLE_TIMEOUT: Duration = Duration::from_secs(60);
/// Time without a request after which everything has converged: longer than the operator gathers changes.
const QUIET: Duration = Duration::from_secs(2);
/// How long it may take from the last settled object until then.
const QUIET_TIMEOUT: Duration = Duration::from_secs(60);
/// Pause between two counts of the stand-in's requests: 20 ms, short beside the second that a server takes to start.
const POLL: Duration = Duration::from_millis(20);
/// How long the requests of the converged operator are counted.
pub const CONVERGED: Duration = Duration::from_secs(30);

/// What it took to converge some objects.
pub struct Phase {
    /// How many objects.
    pub objects: u32,
    /// From the first request to the last object.
    pub seconds: f64,
    /// CPU seconds of the API server, of etcd and of this process meanwhile.
    pub cpu: [f64; 3],
    /// The requests.
    pub requests: Counts,
}

impl Phase {
    /// Requests per object.
    pub fn requests_per_object(&self) -> f64 {
        self.requests.values().sum::<u64>() as f64 / f64::from(self.objects)
    }
}

/// What the operator did.
pub struct Converged {
    /// From the first object to the last settled one.
    pub phase: Phase,
    /// The requests of the stand-in meanwhile.
    pub stand_in: Counts,
    /// The requests of the operator in [`CONVERGED`] afterwards.
    pub idle: Counts,
}

/// The API server, and the object.
pub struct Bench {
    bare: Bare,
    admin: Client,
    object: Value,
    concurrency: u16,
}

impl Bench {
    /// Starts an API server with all kinds that the operator uses.
    pub async fn start(concurrency: u16) -> Result<Self> {
        let bare = Bare::start().await?;
        let admin = bare.client()?;
        define(&admin, &crd::crd()).await?;
        for kind in ["ServiceMonitor", "PodMonitor", "Probe", "PrometheusRule"] {
            define(&admin, &monitoring_definition(kind, &format!("{}s", kind.to_lowercase()))?).await?;
        }
        define(&admin, &definition("gateway.networking.k8s.io", "HTTPRoute", "httproutes")?).await?;
        for name in [OPERATORS, BARE_CLIENTS, SAME_REQUESTS] {
            let namespace = serde_json::from_value::<Namespace>(json!({"metadata": {"name": name}}))?;
            Api::all(admin.clone()).create(&PostParams::default(), &namespace).await?;
        }
        let example = validate::documents(EXAMPLE)?.pop().context("the example has an object")?;
        Ok(Self { bare, admin, object: validate::stored(&example.object), concurrency })
    }

    /// A client that only creates the children of objects, with the requests of the operator and as many at a time.
    pub async fn bare_client(&self, objects: Range<u32>) -> Result<Phase> {
        let requests = Requests::default();
        let cluster = &Cluster::new(requests.client(&self.bare, "bare-client")?, Metrics::new(), None);
        let rendered = objects.map(|number| self.children(BARE_CLIENTS, number)).collect::<Result<Vec<_>>>()?;
        let count = u32::try_from(rendered.len())?;
        let create = async |children: Vec<Child>| create_all(cluster, BARE_CLIENTS, &children).await;
        let work = stream::iter(rendered).map(Ok).try_for_each_concurrent(usize::from(self.concurrency), create);
        let phase = self.measure(count, work).await?;
        Ok(Phase { requests: requests.take(), ..phase })
    }

    /// A client that makes the operator's requests without deciding anything: it watches the objects and the kinds of their children,
    /// creates the object, its children and Events, and writes its status when the run has started, when it has ended, and when
    /// the servers are ready. The stand-in does its part. The operator must have converged its objects before.
    pub async fn same_requests(&self, objects: u32) -> Result<Phase> {
        let (requests, of_stand_in) = (Requests::default(), Requests::default());
        let client = requests.client(&self.bare, "same-requests")?;
        let cluster = &Cluster::new(client.clone(), Metrics::new(), None);
        let mut tasks = JoinSet::new(); // they end with this function
        let cache = Arc::<Cache>::default();
        let children = watch_children(&client, &Scope::Namespace(SAME_REQUESTS.into()), &cache, false);
        tasks.spawn(children.map(|_| Ok(())).try_collect::<()>());
        let changed =
            watch(Api::<RecommenderModel>::namespaced(client.clone(), SAME_REQUESTS), watcher::Config::default());
        tasks.spawn(changed.map(|_| Ok(())).try_collect::<()>());
        let models: &Api<RecommenderModel> = &Api::namespaced(client, SAME_REQUESTS);
        let converged = Api::<RecommenderModel>::namespaced(self.admin.clone(), OPERATORS).get(&name(0)).await?;
        let status = serde_json::to_value(converged.status.context("the operator's objects have a status")?)?;
        let statuses = &STATUS_WRITES.map(|unknown| without(&status, unknown));
        let work = (0..objects)
            .map(|number| Ok((self.object(SAME_REQUESTS, number)?, self.children(SAME_REQUESTS, number)?)))
            .collect::<Result<Vec<_>>>()?;
        let converge = async |(object, children)| make_requests(cluster, models, &object, children, statuses).await;
        let client = of_stand_in.client(&self.bare, "stand-in")?;
        tasks.spawn(stand_in::run(client, SAME_REQUESTS, Duration::ZERO));
        eventually("everything is listed", START_TIMEOUT, async || {
            ensure!(of_stand_in.total() >= 2, "the stand-in lists Jobs and Deployments");
            ensure!(cache.is_loaded(), "the client lists the kinds of children");
            Ok(())
        })
        .await?;
        let _lists = [&requests, &of_stand_in].map(Requests::take);
        let work = async {
            let each = stream::iter(work).map(Ok);
            each.try_for_each_concurrent(usize::from(self.concurrency), converge).await?;
            while of_stand_in.total() < OF_STAND_IN * u64::from(objects) {
                sleep(POLL).await;
            }
            Ok(())
        };
        let work = async { tokio::try_join!(work, self.all_settled(SAME_REQUESTS, objects)).map(drop) };
        let timeout = SETTLE_TIMEOUT + Duration::from_secs(objects.into());
        let phase =
            tokio::time::timeout(timeout, self.measure(objects, work)).await.context("the stand-in hangs")??;
        Ok(Phase { requests: requests.take(), ..phase })
    }

    /// The operator, from the first created object until all are settled, and its requests once nothing is left to do.
    pub async fn operator(&self, objects: u32) -> Result<Converged> {
        self.with_operator(TrainingLimits::default(), Duration::ZERO, async |requests, stand_in| {
            let work = async { tokio::try_join!(self.create(objects), self.all_settled(OPERATORS, objects)).map(drop) };
            let phase = self.measure(objects, work).await?;
            quiet(requests).await?;
            let [requests_until_quiet, stand_in] = [requests, stand_in].map(Requests::take);
            sleep(CONVERGED).await;
            let phase = Phase { requests: requests_until_quiet, ..phase };
            Ok(Converged { phase, stand_in, idle: requests.take() })
        })
        .await
    }

    /// Runs the operator with these limits, and a stand-in whose trainers take this time, while something is measured: from when
    /// they have listed everything. It gets the requests of both.
    pub async fn with_operator<T>(
        &self,
        trainings: TrainingLimits,
        trainer: Duration,
        measure: impl AsyncFnOnce(&Requests, &Requests) -> Result<T>,
    ) -> Result<T> {
        let (requests, stand_in) = (Requests::default(), Requests::default());
        let health = Health::default();
        health.lead();
        let settings = Settings {
            scopes: vec![Scope::Namespace(OPERATORS.into())],
            concurrency: self.concurrency,
            trainings,
            fence: None,
            sources: Vec::new(),
            runbooks: RUNBOOKS.into(),
            hot_reload: false,
        };
        let client = requests.client(&self.bare, "recommender-operator")?;
        let mut tasks = JoinSet::new(); // they end with this function
        tasks.spawn(controller::run(client, settings, Metrics::new(), health.clone(), std::future::pending()));
        tasks.spawn(stand_in::run(stand_in.client(&self.bare, "stand-in")?, OPERATORS, trainer));
        let measure = async {
            eventually("the operator has listed everything", START_TIMEOUT, async || {
                let missing = health.readiness().missing;
                ensure!(missing.is_empty(), "{missing:?}");
                Ok(())
            })
            .await?;
            let _lists = [&requests, &stand_in].map(Requests::take);
            measure(&requests, &stand_in).await
        };
        tokio::select! {
            measured = measure => measured,
            Some(ended) = tasks.join_next() => match ended? {
                Ok(()) => bail!("the operator or the stand-in ended by itself"),
                Err(error) => Err(error.context("the operator or the stand-in failed")),
            },
        }
    }

    async fn measure(&self, objects: u32, work: impl Future<Output = Result<()>>) -> Result<Phase> {
        let (start, before) = (Instant::now(), self.cpu_seconds()?);
        work.await?;
        let (seconds, after) = (start.elapsed().as_secs_f64(), self.cpu_seconds()?);
        let cpu = array::from_fn(|index| after[index] - before[index]);
        Ok(Phase { objects, seconds, cpu, requests: Counts::new() })
    }

    /// Of the API server, of etcd and of this process.
    fn cpu_seconds(&self) -> Result<[f64; 3]> {
        let [etcd, api_server] = self.bare.cpu_seconds()?;
        Ok([api_server, etcd, process::cpu_seconds(std::process::id())?])
    }

    fn object(&self, namespace: &str, number: u32) -> Result<RecommenderModel> {
        let mut object = self.object.clone();
        object["metadata"] = json!({"name": name(number), "namespace": namespace});
        Ok(serde_json::from_value(object)?)
    }

    /// The API of the operator's objects, or of what belongs to them, with all rights.
    pub fn api<K>(&self) -> Api<K>
    where
        K: Resource<Scope = NamespaceResourceScope, DynamicType = ()>,
    {
        Api::namespaced(self.admin.clone(), OPERATORS)
    }

    /// Works on all objects, as many at a time as the operator.
    pub async fn on_each<F>(&self, objects: u32, work: impl Fn(String) -> F) -> Result<()>
    where
        F: Future<Output = Result<()>>,
    {
        let names = stream::iter(0..objects).map(|number| Ok(name(number)));
        names.try_for_each_concurrent(usize::from(self.concurrency), work).await
    }

    /// The children of an object, as if it were stored.
    fn children(&self, namespace: &str, number: u32) -> Result<Vec<Child>> {
        let mut object = self.object(namespace, number)?;
        object.metadata.uid = Some(OWNER.into());
        let now = Timestamp::now();
        let model = Model::new(&object, now).map_err(|problems| anyhow!("{problems:?}"))?;
        Ok(render::offline(&model, now))
    }

    /// Creates objects of the operator.
    pub async fn create(&self, objects: u32) -> Result<()> {
        let api: &Api<RecommenderModel> = &Api::namespaced(self.admin.clone(), OPERATORS);
        let create = async |number| {
            api.create(&PostParams::default(), &self.object(OPERATORS, number)?).await?;
            Ok(())
        };
        stream::iter(0..objects).map(Ok).try_for_each_concurrent(usize::from(self.concurrency), create).await
    }

    /// Waits until that many objects are ready.
    pub async fn all_settled(&self, namespace: &str, objects: u32) -> Result<()> {
        let timeout = SETTLE_TIMEOUT + Duration::from_secs(objects.into());
        let deadline = Instant::now() + timeout;
        let api = Api::<RecommenderModel>::namespaced(self.admin.clone(), namespace);
        let mut changed = pin!(watcher(api, watcher::Config::default()).applied_objects());
        let mut settled = HashSet::new();
        while settled.len() < objects as usize {
            let Ok(next) = timeout_at(deadline, changed.try_next()).await else {
                bail!("{} of {objects} objects are ready after {} s", settled.len(), timeout.as_secs());
            };
            let object = next?.context("the watch ended")?;
            if is_settled(&object) {
                settled.insert(object.name_any());
            }
        }
        Ok(())
    }
}

/// The name of an object.
fn name(number: u32) -> String {
    format!("object-{number:05}")
}

async fn create_all(cluster: &Cluster, namespace: &str, children: &[Child]) -> Result<()> {
    for child in children {
        let created = cluster.create(child.kind, namespace, &child.object).await?;
        created.with_context(|| format!("{} {} exists already", child.kind.as_str(), child.name))?;
    }
    Ok(())
}

async fn make_requests(
    cluster: &Cluster,
    models: &Api<RecommenderModel>,
    object: &RecommenderModel,
    children: Vec<Child>,
    statuses: &[Value],
) -> Result<()> {
    let object = models.create(&PostParams::default(), object).await?;
    create_all(cluster, SAME_REQUESTS, &children).await?;
    for (number, (reason, message)) in EVENTS.into_iter().enumerate() {
        cluster.create_event(SAME_REQUESTS, &event(&object, number, reason, message)?).await?;
    }
    let params = PatchParams::apply(FIELD_MANAGER).force();
    for status in statuses {
        models.patch_status(&object.name_any(), &params, &Patch::Apply(status)).await?;
    }
    Ok(())
}

/// The patch that writes a status without some of its fields.
fn without(status: &Value, fields: &[&str]) -> Value {
    let mut status = status.clone();
    if let Some(known) = status.as_object_mut() {
        known.retain(|name, _| !fields.contains(&name.as_str()));
    }
    json!({"apiVersion": RecommenderModel::api_version(&()), "kind": RecommenderModel::kind(&()), "status": status})
}

/// An Event about an object, as the operator reports one.
fn event(object: &RecommenderModel, number: usize, reason: &str, message: &str) -> Result<Event> {
    let event = json!({
        "metadata": {"name": format!("{}.{number}", object.name_any()), "namespace": SAME_REQUESTS},
        "action": "Reconcile", "type": "Normal", "reason": reason, "message": message,
        "eventTime": MicroTime(Timestamp::now()),
        "reportingComponent": "recommender.dev/operator", "reportingInstance": "bench",
        "involvedObject": object.object_ref(&()),
    });
    Ok(serde_json::from_value(event)?)
}

pub fn is_settled(object: &RecommenderModel) -> bool {
    object.status.as_ref().is_some_and(|status| {
        let is_ready =
            status.conditions.iter().any(|condition| condition.type_ == types::READY && condition.status == "True");
        is_ready && status.observed_generation == object.metadata.generation
    })
}

/// Waits until no request was made for [`QUIET`].
pub async fn quiet(requests: &Requests) -> Result<()> {
    let deadline = Instant::now() + QUIET_TIMEOUT;
    loop {
        let before = requests.total();
        sleep(QUIET).await;
        if requests.total() == before {
            return Ok(());
        }
        let seconds = QUIET_TIMEOUT.as_secs();
        ensure!(Instant::now() < deadline, "the operator still makes requests {seconds} s after all objects are ready");
    }
}
