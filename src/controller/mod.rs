//! Watches, the queue, and what surrounds every reconcile: deadline, panics, back-off, metrics; and the ticks beside them.

mod admission;
mod context;
mod error;
mod explain;
mod feedback;
mod gateways;
mod memory;
mod observed;
mod prunes;
mod queue;
mod reconcile;
mod report;
mod runs;
mod scaler;
mod ticked;
mod ticks;
mod wakes;

use std::{panic::AssertUnwindSafe, sync::Arc, time::Duration};

use futures::{FutureExt, Stream, StreamExt, stream};
use jiff::Timestamp;
use kube::{
    Client,
    runtime::{
        WatchStreamExt,
        controller::{self, Action, Config, applier},
        reflector::{self, ObjectRef, Store, store::Writer},
        watcher::{self, Event},
    },
};
use tokio::sync::{Semaphore, mpsc};
use tracing::Instrument;

use self::{
    admission::Admission,
    context::Context,
    error::{Error, RECONCILE_DEADLINE},
    feedback::Feedback,
    memory::Memory,
    scaler::Scaler,
    ticked::AllObservers,
};
use crate::{
    api::Guarded,
    apply::Cluster,
    leader::Fence,
    observe::{Cache, Enqueue, Scope, WATCH_SECONDS, watch, watch_children},
    signals::{Kubelets, Published, SourceConfig},
    status,
    telemetry::{Health, Metrics},
    training::TrainingLimits,
};

/// Changes of an object within this time are one reconcile: 250 ms. This merges the watch events of our own
/// writes, and those of the pods of one rollout.
const GATHER: Duration = Duration::from_millis(250);

/// Time that running reconciles have after the signal to stop: 20 s. Less than the 30 s a pod has by default, so that the
/// lease can still be released.
const DRAIN: Duration = Duration::from_secs(20);

/// Settings of the controller.
pub struct Settings {
    /// The namespaces to work in.
    pub scopes: Vec<Scope>,
    /// Reconciles at the same time, of all scopes together, at most.
    pub concurrency: u16,
    /// Trainings that run at the same time.
    pub trainings: TrainingLimits,
    /// Whether we may still write; none without leader election.
    pub fence: Option<Fence>,
    /// Where the signals are read from that replicas are decided on.
    pub sources: Vec<SourceConfig>,
    /// URL of the directory with the pages of alerts, without a slash at its end.
    pub runbooks: Arc<str>,
    /// Whether the operator may write ConfigMaps, by which servers change versions without a restart.
    pub hot_reload: bool,
}

/// Reconciles until `stop` resolves; then finishes the running reconciles, within [`DRAIN`].
///
/// Each scope has its own watches and cache, so that the list of one namespace never replaces that of another.
///
/// # Errors
/// When a queue ended before `stop` resolved, which is a defect.
pub async fn run(
    client: Client,
    settings: Settings,
    metrics: Metrics,
    health: Health,
    stop: impl Future<Output = ()> + Send + 'static,
) -> anyhow::Result<()> {
    metrics.initialize_failures(Error::CLASSES);
    let stop = stop.boxed().shared();
    let (waiting, permits) = (Arc::default(), Arc::new(Semaphore::new(settings.concurrency.into())));
    let signals = Arc::new(Published::new(settings.sources.iter().map(|source| source.name.as_str())));
    let admission = Arc::new(Admission::new(settings.trainings));
    let (mut caches, mut contexts, mut work) = (Vec::new(), Vec::new(), Vec::new());
    for scope in &settings.scopes {
        let (store, writer) = reflector::store();
        let (enqueue, mut enqueued) = mpsc::unbounded_channel();
        let context = Arc::new(Context {
            scope: scope.clone(),
            objects: store.clone(),
            cluster: Cluster::new(client.clone(), metrics.clone(), settings.fence.clone()),
            cache: Arc::new(Cache::default()),
            memory: Memory::default(),
            scaler: Scaler::default(),
            observers: AllObservers::default(),
            feedback: Feedback::default(),
            admission: Arc::clone(&admission),
            signals: Arc::clone(&signals),
            kubelets: Kubelets::new(client.clone(), scope.clone()),
            enqueue,
            waiting: Arc::clone(&waiting),
            permits: Arc::clone(&permits),
            metrics: metrics.clone(),
            fence: settings.fence.clone(),
            runbooks: Arc::clone(&settings.runbooks),
            hot_reload: settings.hot_reload,
        });
        contexts.push(context.clone());
        let enqueued = stream::poll_fn(move |poll| enqueued.poll_recv(poll));
        let objects = stream::select(objects(&client, scope, &context, writer), enqueued);
        caches.push((store.clone(), context.cache.clone()));
        work.push(work_off(&client, scope, settings.concurrency, store, objects, context, stop.clone()));
    }
    admission.observe(caches.iter().map(|(_, cache)| Arc::clone(cache)).collect());
    let too_long = stop.clone().then(|()| tokio::time::sleep(DRAIN));
    tokio::select! {
        _ = futures::future::join_all(work) => {}
        () = beat(&health, &metrics, caches) => {}
        () = ticks::run(settings.sources, signals, contexts, metrics.clone()) => {}
        () = too_long => tracing::warn!("aborted the reconciles that were still running"),
    }
    anyhow::ensure!(stop.peek().is_some(), "the work queue ended by itself");
    Ok(())
}

/// Reconciles every object of a scope whenever it or one of its children changed.
async fn work_off(
    client: &Client,
    scope: &Scope,
    concurrency: u16,
    store: Store<Guarded>,
    objects: impl Stream<Item = ObjectRef<Guarded>> + Send,
    context: Arc<Context>,
    stop: impl Future<Output = ()> + Send,
) {
    let known = store.clone();
    let children = watch_children(client, scope, &context.cache, context.hot_reload)
        .flat_map(move |enqueued| stream::iter(refs(&known, enqueued)));
    let enqueued = stream::select(objects, children).inspect({
        let context = context.clone();
        move |object| context.metrics.set_queue_length(context.waiting.enter(object))
    });
    let queued = context.clone();
    let queue = queue::gather(enqueued, GATHER).map(Ok::<_, watcher::Error>).take_until(stop);
    let config = Config::default().concurrency(concurrency);
    let results = applier(
        |object, context| Box::pin(reconcile_one(object, context)),
        |object, error, context| back_off(&object, error, &context),
        context,
        store,
        queue,
        config,
    );
    // Failed reconciles are logged where they failed. Any other error is an object that vanished while it was queued, or
    // one whose children are deleted after it.
    results
        .for_each(|result| {
            if let Err(controller::Error::ObjectNotFound(object)) = &result {
                let gone = ObjectRef::new(&object.name).within(object.namespace.as_deref().unwrap_or_default());
                queued.metrics.set_queue_length(queued.waiting.leave(&gone));
                // Its Job may have been the one that others wait for.
                queued.admission.wake();
            }
            async move { tracing::debug!(failed = result.is_err(), "reconciled an object") }
        })
        .await;
}

/// Watches the objects themselves: fills the store and yields those that changed.
fn objects(
    client: &Client,
    scope: &Scope,
    context: &Arc<Context>,
    writer: Writer<Guarded>,
) -> impl Stream<Item = ObjectRef<Guarded>> + use<> {
    let config = watcher::Config::default().timeout(WATCH_SECONDS);
    // The managed fields are not used here, and are often larger than the object itself.
    let watch = watch(scope.api::<Guarded>(client.clone()), config)
        .modify(|object| kube::Resource::meta_mut(object).managed_fields = None);
    let context = context.clone();
    let mut before_list = Vec::new();
    reflector::reflector(writer, watch).filter_map(move |event| {
        let enqueued = match event {
            Ok(Event::Apply(object) | Event::InitApply(object)) => Some(ObjectRef::from_obj(&object)),
            Ok(Event::Delete(object)) => {
                forget(&context, &object);
                None
            }
            Ok(Event::Init) => {
                before_list = context.objects.state();
                None
            }
            Ok(Event::InitDone) => {
                // Objects that were deleted while there was no watch.
                before_list
                    .drain(..)
                    .filter(|object| is_gone(&context, object))
                    .for_each(|gone| forget(&context, &gone));
                None
            }
            Err(error) => {
                tracing::warn!(%error, "watch of RecommenderModels failed; retrying");
                None
            }
        };
        std::future::ready(enqueued)
    })
}

/// Whether an object does not exist any more, or another one has its name.
fn is_gone(context: &Context, object: &Guarded) -> bool {
    let uid = |object: &Guarded| kube::Resource::meta(object).uid.clone();
    context.objects.get(&ObjectRef::from_obj(object)).is_none_or(|now| uid(&now) != uid(object))
}

fn leave_queue(context: &Context, object: &Guarded) {
    context.metrics.set_queue_length(context.waiting.leave(&ObjectRef::from_obj(object)));
}

fn forget(context: &Context, object: &Guarded) {
    leave_queue(context, object);
    let meta = kube::Resource::meta(object);
    let uid = meta.uid.as_deref().unwrap_or_default();
    context.memory.forget(uid);
    context.scaler.forget(uid, context.metrics.scaling());
    context.observers.forget(uid);
    context.feedback.forget(uid);
    context.admission.reconciled(uid, false);
    let name = |name: &Option<String>| name.clone().unwrap_or_default();
    context.metrics.models().remove(&name(&meta.namespace), &name(&meta.name));
}

fn refs(store: &Store<Guarded>, enqueued: Enqueue) -> Vec<ObjectRef<Guarded>> {
    match enqueued {
        Enqueue::Model { namespace, name } => vec![ObjectRef::new(&name).within(&namespace)],
        Enqueue::Everything => store.state().iter().map(|object| ObjectRef::from_obj(object.as_ref())).collect(),
    }
}

/// Reconciles an object once it has a permit, in its newest state then.
async fn reconcile_one(object: Arc<Guarded>, context: Arc<Context>) -> Result<Action, Error> {
    let span = tracing::info_span!(
        "reconcile",
        object = reconcile::display_name(&object),
        reconcile_id = format!("{:08x}", Timestamp::now().as_microsecond() as u32),
    );
    async move {
        // An error would mean that the semaphore was closed, which never happens.
        let _permit = context.permits.acquire().await;
        let newest = context.objects.get(&ObjectRef::from_obj(object.as_ref()));
        let Some(object) = newest.filter(|_| !is_gone(&context, &object)) else {
            leave_queue(&context, &object); // another object of its name is enqueued by itself
            return Ok(Action::await_change());
        };
        let now = Timestamp::now();
        supervised(&context, &object, now, reconcile::reconcile(&context, object.clone(), now)).await
    }
    .instrument(span)
    .await
}

/// Runs the work of one reconcile with a deadline, contains its panics, and counts it.
async fn supervised(
    context: &Context,
    object: &Guarded,
    now: Timestamp,
    work: impl Future<Output = Result<Action, Error>>,
) -> Result<Action, Error> {
    let _timer = context.metrics.reconcile_timer();
    leave_queue(context, object);
    let result = contained(work).await;
    let uid = kube::Resource::meta(object).uid.clone().unwrap_or_default();
    if result.is_err() {
        context.admission.reconciled(&uid, true);
    }
    match &result {
        Ok(_) => context.memory.succeeded(&uid),
        Err(error @ (Error::Panic(_) | Error::Deadline)) => {
            let reported = contained(report_interrupted(context, object, &uid, error, now).map(Ok)).await;
            reported.unwrap_or_else(|error| tracing::warn!(%error, "the status could not be written"));
        }
        Err(_) => {}
    }
    if is_gone(context, object) {
        forget(context, object); // what this reconcile recorded would stay for ever
        return Ok(Action::await_change());
    }
    context.metrics.reconciled(result.as_ref().map(drop).map_err(Error::class));
    result
}

/// Ends work at the deadline, and turns a panic in it into an error.
async fn contained<T>(work: impl Future<Output = Result<T, Error>>) -> Result<T, Error> {
    match tokio::time::timeout(RECONCILE_DEADLINE, AssertUnwindSafe(work).catch_unwind()).await {
        Ok(Ok(result)) => result,
        Ok(Err(panic)) => Err(Error::Panic(panic_message(panic.as_ref()))),
        Err(_) => Err(Error::Deadline),
    }
}

/// Reports a reconcile that ended before it could write a status of its own.
async fn report_interrupted(context: &Context, object: &Guarded, uid: &str, error: &Error, now: Timestamp) {
    let Ok(model) = &object.0 else { return };
    let shown = model.status.clone().unwrap_or_default();
    let prior = context.memory.newest_status(uid, 0, Some(&shown));
    let identity = crate::model::Identity::of(&model.metadata, now);
    let next = status::interrupted(&prior, identity.generation, &error.to_string(), now);
    if let Err(error) = report::report(context, &identity, uid, &prior, &next, now).await {
        tracing::warn!(%error, "the status could not be written");
    }
}

fn panic_message(panic: &(dyn std::any::Any + Send)) -> String {
    let text = panic.downcast_ref::<&str>().map(ToString::to_string);
    text.or_else(|| panic.downcast_ref::<String>().cloned()).unwrap_or_else(|| "panic".into())
}

fn back_off(object: &Guarded, error: &Error, context: &Context) -> Action {
    let uid = kube::Resource::meta(object).uid.clone().unwrap_or_default();
    let due = if let Error::Child { due, .. } = error { *due } else { None };
    let pause = context.memory.failed(&uid).min(due.unwrap_or(Duration::MAX));
    tracing::warn!(object = reconcile::display_name(object), %error, again_in_seconds = pause.as_secs(), "the reconcile failed");
    Action::requeue(pause)
}

/// Reports to the health endpoints that the loop is alive and whether everything was listed.
async fn beat(health: &Health, metrics: &Metrics, caches: Vec<(Store<Guarded>, Arc<Cache>)>) {
    let mut interval = tokio::time::interval(Duration::from_secs(1));
    loop {
        interval.tick().await;
        health.beat();
        let loaded = caches.iter().all(|(store, cache)| {
            cache.is_loaded() && store.wait_until_ready().now_or_never().is_some_and(|ready| ready.is_ok())
        });
        health.set_loaded(loaded);
        let objects: Vec<_> = caches.iter().flat_map(|(store, _)| store.state()).collect();
        metrics.set_objects(objects.len(), objects.iter().filter(|object| object.0.is_err()).count());
    }
}

#[cfg(test)]
mod tests;
