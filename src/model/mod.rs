//! The validated model: the spec of a `RecommenderModel` in a form that rendering cannot fail on.
//!
//! The schema and its CEL rules refuse most mistakes at `kubectl apply`. Validated here is what they cannot check
//! (schedules, time zones, PromQL). What rendering relies on is validated again, because an object may be older than the
//! schema.
//!
//! The values that it is made of ([`schedule`], [`triggers`], [`readiness`], [`promotion`], [`canary`]) are read and checked here. What is
//! decided with them is above, in [`crate::training`] and [`crate::promotion`].

mod accounts;
mod alerts;
pub mod canary;
mod containers;
mod dependencies;
mod hot_reload;
mod objectives;
mod path;
mod pod;
mod pod_values;
mod probing;
pub mod promotion;
pub mod readiness;
mod relabeling;
pub mod schedule;
pub mod scrapes;
pub mod triggers;
mod utilization;
mod warnings;
mod workload;

use std::{collections::BTreeMap, sync::Arc};

pub use canary::Canary;
use jiff::Timestamp;
use kube::ResourceExt;
pub use path::{FieldPath, InvalidField};
pub use pod::{ARTIFACTS_VOLUME, CA_PATH, CA_VOLUME, TMP_PATH, TMP_VOLUME, TRAINER_GRACE_SECONDS};
use promotion::{Policy, Requests};
use readiness::Readiness;
use schedule::Schedule;
use triggers::TriggerPlan;
pub use warnings::Warning;
pub use workload::{Scaling, Workload};

use crate::{
    api::{
        Artifacts, Dependency, Histograms, HotReload, HttpRoute, LatencyTarget, Metrics, Monitoring, PvcArtifacts,
        RecommenderModel, RecommenderModelSpec, Resources, S3Artifacts, Serving, StorageUri, TRAIN_ANNOTATION,
        Training, Worker,
    },
    catalog::{CUSTOM, Latency, most_similar},
    monitoring::{
        Signals,
        alerts::{Change, RUNBOOKS},
        application::{self, Application},
        limited,
        objectives::Objective,
        profiles,
    },
    names,
};

/// A `RecommenderModel` with a valid spec.
#[derive(Clone, Debug)]
pub struct Model {
    /// Which object it is.
    pub identity: Identity,
    /// Where versions are stored.
    pub artifacts: ArtifactStore,
    /// How it is trained.
    pub training: Training,
    /// When it is trained on all data.
    pub schedule: Option<Schedule>,
    /// When it is trained on new data.
    pub partial_schedule: Option<Schedule>,
    /// What else starts a training.
    pub triggers: Vec<TriggerPlan>,
    /// What a training waits for.
    pub readiness: Readiness,
    /// What a promotion waits for.
    pub promotion_readiness: Readiness,
    /// The value of the annotation `recommender.dev/train`, which requests a training run.
    pub request: Option<String>,
    /// Which versions may serve.
    pub promotion: Policy,
    /// How a new version is tried before it is rolled out, if it is.
    pub canary: Option<Canary>,
    /// How its servers change versions without a restart, if they do.
    pub hot_reload: Option<HotReload>,
    /// Whether the spec asks for that, and the operator cannot do it.
    pub is_reload_refused: bool,
    /// What annotations request of its versions.
    pub promotion_requests: Requests,
    /// How it is served.
    pub serving: Serving,
    /// The workers.
    pub workers: Vec<Worker>,
    /// What it depends on. Its PromQL is limited to the namespace, as all of the model.
    pub dependencies: Vec<Dependency>,
    /// How it is monitored.
    pub monitoring: Option<Monitoring>,
    /// The expressions of the metric profile `Custom`.
    pub signals: Option<Signals>,
    /// Series of its application, in PromQL.
    pub application: Application,
    /// Changes of its alerts, by name.
    pub alerts: BTreeMap<String, Change>,
    /// Its service level objectives.
    pub objectives: Vec<Objective>,
    /// URL of the directory with the pages of its alerts, without a slash at its end: a setting of the operator.
    pub runbooks: Arc<str>,
    /// Names of the Secrets for pulling the images.
    pub image_pull_secrets: Vec<String>,
    /// Annotations of the ServiceAccount that is created for the pods.
    pub service_account_annotations: BTreeMap<String, String>,
}

/// Which object a model is.
#[derive(Clone, Debug, PartialEq)]
pub struct Identity {
    /// The object's name.
    pub name: String,
    /// Its namespace.
    pub namespace: String,
    /// Its UID; `None` when it was read from a file.
    pub uid: Option<String>,
    /// The generation of its spec.
    pub generation: i64,
    /// When it was created.
    pub created_at: Timestamp,
    /// Base of the names of its children, see [`names::base`].
    pub base: String,
}

impl Identity {
    /// Reads the metadata. `now` replaces a missing creation time (an object read from a file).
    pub fn of(meta: &kube::core::ObjectMeta, now: Timestamp) -> Self {
        let name = meta.name.clone().unwrap_or_default();
        Self {
            namespace: meta.namespace.clone().unwrap_or_else(|| "default".into()),
            uid: meta.uid.clone(),
            generation: meta.generation.unwrap_or_default(),
            created_at: meta.creation_timestamp.as_ref().map_or(now, |time| time.0),
            base: names::base(&name),
            name,
        }
    }
}

/// Where versions are stored.
#[derive(Clone, Debug, PartialEq)]
pub enum ArtifactStore {
    /// A bucket behind the S3 API.
    S3(S3Artifacts),
    /// A bucket or container of another cloud, by its URI. Pods have their rights from their ServiceAccount.
    Cloud(String),
    /// A volume, mounted at [`ArtifactStore::MOUNT`].
    Volume(PvcArtifacts),
}

impl ArtifactStore {
    /// The PersistentVolumeClaim, if it is one.
    pub fn claim(&self) -> Option<&str> {
        match self {
            Self::Volume(of) => Some(&of.claim_name),
            _ => None,
        }
    }

    /// Mount path of the volume in pods.
    pub const MOUNT: &str = "/artifacts";

    /// The URI below which an object's versions are stored, without a trailing slash. It contains namespace and name, so
    /// that objects may share a volume or a bucket's prefix.
    pub fn base_uri(&self, identity: &Identity) -> String {
        format!("{}/{}/{}", self.root_uri(), identity.namespace, identity.name)
    }

    /// The URI of the store, without a trailing slash. Pods can read what is below it.
    pub fn root_uri(&self) -> String {
        match self {
            Self::S3(s3) => s3.uri.trim_end_matches('/').to_owned(),
            Self::Cloud(uri) => uri.trim_end_matches('/').to_owned(),
            Self::Volume(_) => format!("file://{}", Self::MOUNT),
        }
    }
}

impl Model {
    /// Validates an object.
    ///
    /// # Errors
    /// Every problem of the spec, each with its field.
    pub fn new(object: &RecommenderModel, now: Timestamp) -> Result<Self, Vec<InvalidField>> {
        let spec = &object.spec;
        let mut problems = Vec::new();
        let artifacts = artifacts(&spec.artifacts).map_err(|problem| problems.push(problem));
        let schedules = schedule::schedules(&spec.training).map_err(|of| problems.extend(of));
        let promotion = promotion::policy(spec).map_err(|of| problems.extend(of));
        let canary = canary::canary(spec).map_err(|of| problems.extend(of));
        let alerts = alerts::changes(spec.monitoring.as_ref()).map_err(|of| problems.extend(of));
        let objectives = alerts.as_ref().map_or(Ok(Vec::new()), |changes| objectives::objectives(spec, changes));
        let objectives = objectives.map_err(|of| problems.extend(of));
        let namespace = object.namespace().unwrap_or_else(|| "default".into());
        let expressions = expressions(spec.monitoring.as_ref(), &namespace).map_err(|of| problems.extend(of));
        let application = application(spec.monitoring.as_ref(), &namespace).map_err(|of| problems.extend(of));
        let dependencies = dependencies::in_namespace(&spec.dependencies, &namespace).map_err(|of| problems.extend(of));
        let monitoring = monitoring(spec.monitoring.as_ref(), &namespace).map_err(|problem| problems.push(problem));
        let triggers = triggers::triggers(spec).map_err(|of| problems.extend(of));
        let readiness = readiness::readiness(spec).map_err(|of| problems.extend(of));
        problems.extend(pod::problems(spec));
        problems.extend(containers::problems(spec));
        problems.extend(accounts::problems(spec));
        problems.extend(hot_reload::problems(spec));
        problems.extend(replicas(spec));
        problems.extend(signals(spec));
        problems.extend(utilization::problems(spec));
        problems.extend(dependencies::problems(&spec.dependencies, spec.monitoring.is_some()));
        problems.extend(spec.monitoring.as_ref().and_then(profile));
        problems.extend(spec.monitoring.as_ref().and_then(histograms));
        problems.extend(probing::problems(spec.monitoring.as_ref()));
        problems.extend(relabeling::problems(spec.monitoring.as_ref()));
        let promql = (expressions, application, dependencies, monitoring);
        match (artifacts, (schedules, triggers, readiness), (promotion, canary), alerts, objectives, promql) {
            (
                Ok(artifacts),
                (Ok([schedule, partial_schedule]), Ok(triggers), Ok([readiness, promotion_readiness])),
                (Ok(promotion), Ok(canary)),
                Ok(alerts),
                Ok(objectives),
                (Ok(signals), Ok(application), Ok(dependencies), Ok(monitoring)),
            ) if problems.is_empty() => Ok(Self {
                identity: Identity::of(&object.metadata, now),
                artifacts,
                training: spec.training.clone(),
                schedule,
                partial_schedule,
                triggers,
                readiness,
                promotion_readiness,
                request: object.annotations().get(TRAIN_ANNOTATION).cloned(),
                promotion,
                canary,
                hot_reload: spec.promotion.hot_reload.clone(),
                is_reload_refused: false,
                promotion_requests: Requests::of(object.annotations()),
                serving: spec.serving.clone(),
                workers: spec.workers.clone(),
                dependencies,
                monitoring,
                signals,
                application,
                alerts,
                objectives,
                runbooks: RUNBOOKS.into(),
                image_pull_secrets: spec.image_pull_secrets.iter().map(|secret| secret.name.clone()).collect(),
                service_account_annotations: spec.service_account_annotations.clone(),
            }),
            _ => Err(problems),
        }
    }

    /// The model with the pages of its alerts below another URL.
    pub fn with_runbooks(self, runbooks: &Arc<str>) -> Self {
        Self { runbooks: Arc::clone(runbooks), ..self }
    }

    /// The HTTPRoute that divides the requests between the servers and a canary; none if the Service does.
    pub fn http_route(&self) -> Option<&HttpRoute> {
        self.canary.as_ref()?.http_route.as_ref()
    }

    /// The servers, as a workload with replicas.
    pub fn serving_workload(&self) -> Workload {
        Workload::serving(&self.serving, &self.identity.base)
    }

    /// The servers and the workers, as workloads with replicas.
    pub fn workloads(&self) -> Vec<Workload> {
        let workers = self.workers.iter().map(|worker| Workload::worker(worker, &self.identity.base));
        std::iter::once(self.serving_workload()).chain(workers).collect()
    }
}

fn artifacts(artifacts: &Artifacts) -> Result<ArtifactStore, InvalidField> {
    let cloud = |cloud: &Option<StorageUri>| cloud.as_ref().map(|cloud| ArtifactStore::Cloud(cloud.uri.clone()));
    let stores = [
        artifacts.s3.clone().map(ArtifactStore::S3),
        cloud(&artifacts.gcs),
        cloud(&artifacts.azure),
        artifacts.persistent_volume_claim.clone().map(ArtifactStore::Volume),
    ];
    let mut stores = stores.into_iter().flatten();
    match (stores.next(), stores.next()) {
        (Some(store), None) => Ok(store),
        _ => Err(FieldPath::spec()
            .field("artifacts")
            .problem("set exactly one of s3, gcs, azure and persistentVolumeClaim")),
    }
}

/// What the checks of autoscaling read of the servers or of a worker.
struct Scalable<'a> {
    path: FieldPath,
    /// The fixed number of replicas.
    replicas: Option<i32>,
    resources: Option<&'a Resources>,
    scaling: Option<Scaling>,
}

/// The servers and workers.
fn scalable(spec: &RecommenderModelSpec) -> impl Iterator<Item = Scalable<'_>> {
    let serving = Scalable {
        path: FieldPath::spec().field("serving"),
        replicas: spec.serving.replicas,
        resources: spec.serving.resources.as_ref(),
        scaling: spec.serving.autoscaling.as_ref().map(Scaling::from),
    };
    let workers = FieldPath::spec().items("workers", &spec.workers).map(|(path, worker)| Scalable {
        path,
        replicas: worker.replicas,
        resources: worker.resources.as_ref(),
        scaling: worker.autoscaling.as_ref().map(Scaling::from),
    });
    std::iter::once(serving).chain(workers)
}

/// Contradicting numbers of replicas.
fn replicas(spec: &RecommenderModelSpec) -> Vec<InvalidField> {
    let problem = |Scalable { path, replicas, scaling, .. }: Scalable<'_>| {
        let scaling = scaling?;
        let both = "set replicas or autoscaling, not both: with autoscaling the number of replicas follows the load";
        match replicas {
            Some(_) => Some(path.problem(both)),
            None if scaling.min > scaling.max => Some(
                path.field("autoscaling.minReplicas").problem("must not be above maxReplicas: write a lower number"),
            ),
            None => None,
        }
    };
    scalable(spec).filter_map(problem).collect()
}

/// Missing prerequisites of scaling on recorded signals.
fn signals(spec: &RecommenderModelSpec) -> Vec<InvalidField> {
    scalable(spec).filter_map(|of| unreadable(spec, &of.path.field("autoscaling"), &of.scaling?)).collect()
}

/// Why servers with the metrics of a profile cannot follow a latency target; `None` if they can.
fn unmeasured(path: &FieldPath, target: &LatencyTarget, metrics: &Metrics) -> Option<InvalidField> {
    if let Some(custom) = &metrics.custom {
        let field = custom.without_latency(target.quantile)?;
        return Some(path.field("latency.quantile").problem(format!(
            "spec.monitoring.metrics.custom has no {field}, which this follows: add it, or write another quantile"
        )));
    }
    let profile = &metrics.profile;
    // An unknown profile is a problem of its own.
    let Some(latency) = &profiles::find(profile)?.latency else {
        return Some(path.field("latency").problem(format!(
            "servers of the profile {profile} have no histogram of it: write cpu in its place, or expose the series of another \
             profile"
        )));
    };
    let why = beyond_the_buckets(f64::from(target.target_milliseconds) / 1000.0, latency)?;
    Some(path.field("latency.targetMilliseconds").problem(format!("{} is {why}", target.target_milliseconds)))
}

/// Why a latency cannot be compared with what a histogram shows; `None` if it can.
fn beyond_the_buckets(seconds: f64, latency: &Latency) -> Option<String> {
    let Latency { histogram, least_seconds, limit_seconds, .. } = latency;
    if !latency.shows_excess(seconds) {
        let limit = limit_seconds * 1000.0;
        return Some(format!(
            "not below the largest bucket of {histogram}, {limit} ms, so that a higher latency would not be measured: write less"
        ));
    }
    (!latency.shows_success(seconds)).then(|| {
        let least = least_seconds * 1000.0;
        format!(
            "below the smallest bucket of {histogram}, {least} ms, so that it could not be shown to be kept: write at least that"
        )
    })
}

/// Why the signals of an autoscaled workload cannot be read; `None` if they can.
fn unreadable(spec: &RecommenderModelSpec, path: &FieldPath, scaling: &Scaling) -> Option<InvalidField> {
    if scaling.is_decided() && spec.monitoring.is_none() {
        return Some(path.problem("autoscaling on latency or lag reads recording rules: set spec.monitoring"));
    }
    if let (Some(target), Some(monitoring)) = (&scaling.latency, &spec.monitoring)
        && let Some(why) = unmeasured(path, target, &monitoring.metrics)
    {
        return Some(why);
    }
    let name = &scaling.lag.as_ref()?.dependency;
    let of_lag = path.field("lag.dependency");
    let dependency = match dependencies::named(&of_lag, name, &spec.dependencies) {
        Ok(dependency) => dependency,
        Err(problem) => return Some(problem),
    };
    if dependency.exporter.is_some() {
        return Some(of_lag.problem(format!(
            "{name:?} has an exporter that reports no lag: name a dependency with kafka, rabbitmq, rq, redisList, flink or custom"
        )));
    }
    (scaling.min == 0 && dependencies::is_reported_by_workers(dependency)).then(|| {
        path.field("minReplicas").problem(format!(
            "with 0 replicas nobody reports the lag of {name:?}, because its consumers themselves do: write 1, or take another \
             exporter"
        ))
    })
}

/// A metric profile that the catalogue does not have.
fn profile(monitoring: &Monitoring) -> Option<InvalidField> {
    let name = &monitoring.metrics.profile;
    let path = FieldPath::spec().field("monitoring.metrics.profile");
    profiles::find(name).is_none().then(|| {
        let why = unknown(name, profiles::all().chain([CUSTOM]));
        path.problem(format!("{why}, or add it to the catalogue: docs/catalog.md"))
    })
}

/// A form of histograms that is none of the profile's.
fn histograms(monitoring: &Monitoring) -> Option<InvalidField> {
    let Metrics { histograms, profile: name, .. } = &monitoring.metrics;
    let (form, profile) = ((*histograms)?, profiles::find(name)?);
    let why = if name == CUSTOM {
        "the expressions of custom have the form that you write: remove it".into()
    } else if profile.histograms().next().is_none() {
        format!("servers of the profile {name} have no histogram: remove it")
    } else if form == Histograms::Classic && profile.histograms().all(|of| of.native) {
        format!(
            "the profile {name} declares native histograms: remove it, or take a profile that declares classic ones"
        )
    } else {
        return None;
    };
    Some(FieldPath::spec().field("monitoring.metrics.histograms").problem(why))
}

/// The expressions of the profile `Custom`.
fn expressions(monitoring: Option<&Monitoring>, namespace: &str) -> Result<Option<Signals>, Vec<InvalidField>> {
    let metrics = monitoring.map(|monitoring| &monitoring.metrics);
    let path = FieldPath::spec().field("monitoring.metrics.custom");
    match metrics.map(|metrics| (metrics.profile == CUSTOM, &metrics.custom)) {
        None | Some((false, None)) => Ok(None),
        Some((true, Some(custom))) => {
            let problems =
                |all: Vec<(&str, String)>| all.into_iter().map(|(at, why)| path.field(at).problem(why)).collect();
            Signals::new(custom, namespace).map(Some).map_err(problems)
        }
        Some(_) => Err(vec![path.problem("the profile Custom and the field custom go together: set both or neither")]),
    }
}

/// The series of the application.
fn application(monitoring: Option<&Monitoring>, namespace: &str) -> Result<Application, Vec<InvalidField>> {
    let Some(monitoring) = monitoring else { return Ok(Application::new()) };
    let path = FieldPath::spec().field("monitoring.signals");
    application::read(&monitoring.signals, namespace)
        .map_err(|all| all.iter().map(|(name, why)| path.key(name).problem(why.as_str())).collect())
}

/// How it is monitored, with the PromQL of the servers' front limited to a namespace.
fn monitoring(monitoring: Option<&Monitoring>, namespace: &str) -> Result<Option<Monitoring>, InvalidField> {
    let mut monitoring = monitoring.cloned();
    let front = monitoring.as_mut().and_then(|of| of.front.as_mut()?.custom.as_mut());
    if let Some(custom) = front {
        let path = FieldPath::spec().field("monitoring.front.custom.requests");
        custom.requests = limited(&custom.requests, namespace).map_err(|why| path.problem(why))?;
    }
    Ok(monitoring)
}

/// What is wrong with a name that is none of the known ones.
fn unknown<'a>(name: &str, known: impl Iterator<Item = &'a str> + Clone) -> String {
    let nearest = most_similar(name, known.clone()).unwrap_or_default();
    let all = known.collect::<Vec<_>>().join(", ");
    format!("there is no {name}; the most similar one is {nearest}: write one of {all}")
}

#[cfg(test)]
mod pod_tests;
#[cfg(test)]
pub(crate) mod tests;
