//! What the operator exposes of each object: its trainings, versions, rollout and pods. The number of series is bounded per object:
//! by the metrics of a report (32), the versions in the status (5), the states of a pod, and the stages of a training run.

use std::{
    collections::{BTreeMap, HashMap},
    sync::{Arc, Mutex, PoisonError},
};

use prometheus::{GaugeVec, IntCounterVec, Registry};

use super::register::{opts, register};
use crate::{
    api::{FinishedRun, RecommenderModelStatus, Stage, TrainingKind, Version, VersionState, conditions::types},
    kinds::Kind,
    model::Workload,
    observe::{ChildState, Children, PodState},
    training::reported_end,
};

/// Labels that identify an object.
const OBJECT: [&str; 2] = ["namespace", "recommender"];
/// Values of the label `result` of a training run.
const RESULTS: [&str; 2] = ["success", "failure"];

/// A gauge that has series of each object.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub enum Gauge {
    /// Whether the newest full or the newest partial training run failed.
    TrainingFailed,
    /// When the newest full or the newest partial training run failed, by stage.
    TrainingFailedAt,
    /// Failed training runs of a kind in a row.
    TrainingFailuresInARow,
    /// When the active training run was started.
    TrainingStarted,
    /// Since when a training run that is due waits.
    TrainingWaiting,
    /// Since when a version waits for its inputs.
    PromotionWaiting,
    /// Jobs that delete artifacts and failed in a row.
    PruneFailuresInARow,
    /// How long the last successful training run of a kind took.
    TrainingDuration,
    /// When the newest full version was trained.
    Trained,
    /// The versions in the status.
    VersionInfo,
    /// Versions that did not pass their gates in a row.
    VersionsRefused,
    /// Versions that were taken back.
    VersionsRolledBack,
    /// Since when it cannot be refreshed.
    NotRefreshable,
    /// When the version that answers requests was trained.
    ServingTrained,
    /// The time up to which the data of that version reaches.
    ServingDataThrough,
    /// What the trainer of that version reported.
    ServingMetric,
    /// The size of the artifact of that version.
    ServingBytes,
    /// Whether there is a version to serve.
    ServingExpected,
    /// Servers that are ready.
    ServingReady,
    /// Since when a version is being rolled out.
    RolloutStarted,
    /// Pods by their state.
    Pods,
    /// When a container last ended because it used more memory than it may.
    OutOfMemory,
    /// Whether the metric source has loaded the rules.
    RulesLoaded,
}

impl Gauge {
    /// All gauges, in the order of declaration.
    const ALL: [Self; 23] = [
        Self::TrainingFailed,
        Self::TrainingFailedAt,
        Self::TrainingFailuresInARow,
        Self::TrainingStarted,
        Self::TrainingWaiting,
        Self::PromotionWaiting,
        Self::PruneFailuresInARow,
        Self::TrainingDuration,
        Self::Trained,
        Self::VersionInfo,
        Self::VersionsRefused,
        Self::VersionsRolledBack,
        Self::NotRefreshable,
        Self::ServingTrained,
        Self::ServingDataThrough,
        Self::ServingMetric,
        Self::ServingBytes,
        Self::ServingExpected,
        Self::ServingReady,
        Self::RolloutStarted,
        Self::Pods,
        Self::OutOfMemory,
        Self::RulesLoaded,
    ];

    /// Name without the operator's prefix, help, and labels beside those of the object.
    #[rustfmt::skip] // a table
    const fn row(self) -> (&'static str, &'static str, &'static [&'static str]) {
        match self {
            Self::TrainingFailed => ("training_failed", "1 when the newest full or the newest partial training run of the RecommenderModel failed, else 0.", &[]),
            Self::TrainingFailedAt => ("training_failed_timestamp_seconds", "When the newest training run of the RecommenderModel failed, by stage, in seconds since 1970; absent when it succeeded.", &["stage"]),
            Self::TrainingFailuresInARow => ("training_failures_in_a_row", "Training runs of the RecommenderModel that failed, since the last one of the same kind that succeeded; of the kind with more of them.", &[]),
            Self::TrainingStarted => ("training_started_timestamp_seconds", "When the active training run of the RecommenderModel was started, in seconds since 1970; absent while none is active.", &["kind"]),
            Self::TrainingWaiting => ("training_waiting_timestamp_seconds", "Since when a training run of the RecommenderModel that is due waits for its inputs or for other runs to end, in seconds since 1970; absent while none does.", &[]),
            Self::PromotionWaiting => ("promotion_waiting_timestamp_seconds", "Since when a version of the RecommenderModel that passes its gates waits for its inputs, in seconds since 1970; absent while none does.", &[]),
            Self::PruneFailuresInARow => ("prune_failures_in_a_row", "Jobs of the RecommenderModel that delete artifacts (training.prune) and failed, since the last one that succeeded; absent before the first one.", &[]),
            Self::TrainingDuration => ("training_duration_seconds", "How long the last successful training run of the RecommenderModel took, from the start of its Job to its end; absent while its version is not in the status and a later run failed.", &["kind"]),
            Self::Trained => ("trained_timestamp_seconds", "When the newest full version of the RecommenderModel was trained, in seconds since 1970; of partial versions the root of their lineage.", &[]),
            Self::VersionInfo => ("version_info", "Always 1, for each version in the status of the RecommenderModel.", &["version", "kind", "state"]),
            Self::VersionsRefused => ("versions_refused_in_a_row", "Versions of the RecommenderModel that did not pass their gates, since the last one that did.", &[]),
            Self::VersionsRolledBack => ("versions_rolled_back", "Versions of the RecommenderModel that were rolled back or failed their rollout, since the last one that was promoted.", &[]),
            Self::NotRefreshable => ("not_refreshable_timestamp_seconds", "Since when no newer version can take the place of the one that the RecommenderModel serves, in seconds since 1970; absent while one can.", &[]),
            Self::ServingTrained => ("serving_trained_timestamp_seconds", "When the version that the RecommenderModel serves was trained, in seconds since 1970.", &[]),
            Self::ServingDataThrough => ("serving_data_through_timestamp_seconds", "Time up to which the training data of the served version reaches, in seconds since 1970; absent if its trainer did not report it.", &[]),
            Self::ServingMetric => ("serving_version_metric", "A metric that the trainer of the served version reported.", &["metric"]),
            Self::ServingBytes => ("serving_version_bytes", "Size of the artifact of the served version.", &[]),
            Self::ServingExpected => ("serving_expected", "1 when the RecommenderModel has a version to serve, else 0.", &[]),
            Self::ServingReady => ("serving_ready", "Servers of the RecommenderModel that pass their readiness probes.", &[]),
            Self::RolloutStarted => ("rollout_started_timestamp_seconds", "Since when a version of the RecommenderModel is being rolled out, in seconds since 1970; absent while none is.", &[]),
            Self::Pods => ("pods", "Pods of the RecommenderModel that have not ended, by state: ready, running, or why they wait.", &["workload", "state"]),
            Self::OutOfMemory => ("out_of_memory_timestamp_seconds", "When a container of the RecommenderModel's pods last ended because it used more memory than it may, in seconds since 1970.", &["workload"]),
            Self::RulesLoaded => ("rules_loaded", "1 when the metric source of the RecommenderModel has loaded its rules, 0 when it has not, absent when that is not known.", &[]),
        }
    }
}

/// Values of an object, by gauge and labels beside those of the object.
pub type Samples = BTreeMap<(Gauge, Vec<String>), f64>;

/// What the samples of an object are computed from.
#[derive(Clone, Copy, Debug)]
pub struct Observed<'a> {
    /// Its status.
    pub status: &'a RecommenderModelStatus,
    /// Its children and their pods.
    pub children: &'a Children,
    /// Its UID.
    pub uid: &'a str,
    /// Whether it has a version to serve.
    pub serving_expected: bool,
    /// Whether its metric source has loaded its rules; none when that is not known.
    pub rules_loaded: Option<bool>,
}

/// The samples of an object.
pub fn samples(of: &Observed<'_>) -> Samples {
    let training = of.status.training.as_ref();
    let last = TrainingKind::ALL.into_iter().filter_map(|kind| training?.last(kind));
    let in_a_row = TrainingKind::ALL.into_iter().filter_map(|kind| Some(training?.consecutive_failures(kind)));
    let serving = of.status.serving.as_ref();
    let one = |gauge, value: f64| ((gauge, Vec::new()), value);
    let mut samples = Samples::from([
        one(Gauge::TrainingFailed, flag(last.clone().any(|run| !run.succeeded))),
        one(Gauge::TrainingFailuresInARow, in_a_row.max().unwrap_or_default().into()),
        one(Gauge::ServingExpected, flag(of.serving_expected)),
        one(Gauge::ServingReady, serving.map_or(0.0, |serving| serving.replicas.into())),
    ]);
    samples.extend(of.rules_loaded.map(|loaded| one(Gauge::RulesLoaded, flag(loaded))));
    // The newest version is the first. The last run of a kind is in the status even if its version is not any more.
    let versions = of.status.versions.iter().rev();
    let of_versions = versions.map(|version| (version.kind, &version.started_at, &version.trained_at));
    let of_runs = last.clone().filter(|run| run.succeeded).map(|run| (run.kind, &run.started_at, &run.finished_at));
    let durations = of_versions.chain(of_runs).filter_map(|(kind, from, to)| {
        Some(((Gauge::TrainingDuration, vec![kind.as_str().into()]), seconds(to.0) - seconds(from.as_ref()?.0)))
    });
    samples.extend(durations);
    let failed = last.filter_map(|run| Some((vec![run.stage?.as_str().into()], seconds(run.finished_at.0))));
    for (stage, at) in failed {
        let newest = samples.entry((Gauge::TrainingFailedAt, stage)).or_default();
        *newest = newest.max(at);
    }
    samples.extend(started(of).map(|(kind, at)| ((Gauge::TrainingStarted, vec![kind.into()]), at)));
    let waiting = training.and_then(|training| training.waiting_since.as_ref());
    samples.extend(waiting.map(|since| one(Gauge::TrainingWaiting, seconds(since.0))));
    samples.extend(of.status.versions.iter().map(trained).max().map(|at| one(Gauge::Trained, seconds(at))));
    samples.extend(of.status.versions.iter().map(|version| {
        let labels = [version.id.as_str(), version.kind.as_str(), version.state.as_str()].map(Into::into).to_vec();
        ((Gauge::VersionInfo, labels), 1.0)
    }));
    let refused = of.status.versions.iter().take_while(|version| version.state == VersionState::Rejected).count();
    // Versions that did not pass may have followed.
    let later = of.status.versions.iter().skip(refused);
    let taken_back = |version: &&Version| matches!(version.state, VersionState::RolledBack | VersionState::Failed);
    let rolled_back = later.take_while(taken_back).count();
    #[expect(clippy::cast_precision_loss, reason = "the status has at most some dozens")]
    samples.extend([one(Gauge::VersionsRefused, refused as f64), one(Gauge::VersionsRolledBack, rolled_back as f64)]);
    let waiting = serving.and_then(|serving| serving.waiting_since.as_ref());
    samples.extend(waiting.map(|since| one(Gauge::PromotionWaiting, seconds(since.0))));
    let pruning = of.status.pruning.as_ref().filter(|pruning| pruning.last_job > 0);
    samples.extend(pruning.map(|pruning| one(Gauge::PruneFailuresInARow, pruning.failures.into())));
    samples.extend(not_refreshable(of.status).map(|since| one(Gauge::NotRefreshable, since)));
    let rollout = serving.and_then(|serving| serving.rolling_out_since.as_ref());
    samples.extend(rollout.map(|since| one(Gauge::RolloutStarted, seconds(since.0))));
    let served = serving.and_then(|serving| serving.version.as_ref());
    let served = served.and_then(|id| of.status.versions.iter().find(|version| version.id == *id));
    served.into_iter().for_each(|version| of_version(&mut samples, version));
    of.children.pods().for_each(|pod| of_pod(&mut samples, pod));
    samples
}

fn flag(is: bool) -> f64 {
    f64::from(u8::from(is))
}

fn seconds(at: jiff::Timestamp) -> f64 {
    at.as_duration().as_secs_f64()
}

/// When a version was trained on all data: of a partial one the full version at the root of its lineage.
fn trained(version: &Version) -> jiff::Timestamp {
    version.base.as_ref().map_or(version.trained_at.0, |base| base.full_trained_at.0)
}

/// The kind of the active run, and when it was started.
fn started(of: &Observed<'_>) -> Option<(&'static str, f64)> {
    let active = of.status.training.as_ref()?.active.as_ref()?;
    match &of.children.own(Kind::Job, &active.job, of.uid)?.state {
        ChildState::Job(job) => Some((active.kind.as_str(), seconds(job.started_at?))),
        _ => None,
    }
}

/// Since when the condition Refreshable is False.
fn not_refreshable(status: &RecommenderModelStatus) -> Option<f64> {
    let condition = status.conditions.iter().find(|of| of.type_ == types::REFRESHABLE && of.status == "False")?;
    Some(seconds(condition.last_transition_time.0))
}

fn of_version(samples: &mut Samples, version: &Version) {
    samples.insert((Gauge::ServingTrained, Vec::new()), seconds(version.trained_at.0));
    let through = reported_end(version).map(seconds);
    samples.extend(through.map(|through| ((Gauge::ServingDataThrough, Vec::new()), through)));
    #[expect(clippy::cast_precision_loss, reason = "exact up to 8 PiB")]
    samples.insert((Gauge::ServingBytes, Vec::new()), version.bytes as f64);
    let metrics = version.metrics.iter().filter_map(|(name, value)| Some((name.clone(), value.parse().ok()?)));
    samples.extend(metrics.map(|(name, value): (_, f64)| ((Gauge::ServingMetric, vec![name]), value)));
}

fn of_pod(samples: &mut Samples, pod: &PodState) {
    let Some(workload) = Workload::name_of(&pod.component) else { return };
    if let Some(at) = pod.out_of_memory_at {
        let newest = samples.entry((Gauge::OutOfMemory, vec![workload.into()])).or_default();
        *newest = newest.max(seconds(at));
    }
    if let Some(state) = pod.current() {
        *samples.entry((Gauge::Pods, vec![workload.into(), state.into()])).or_default() += 1.0;
    }
}

/// The metrics of objects. Clones share them.
#[derive(Clone, Debug)]
pub struct ModelMetrics {
    gauges: BTreeMap<Gauge, GaugeVec>,
    runs: IntCounterVec,
    failures: IntCounterVec,
    /// The samples of each object, by namespace and name, so that those it no longer has are removed.
    exposed: Arc<Mutex<HashMap<[String; 2], Samples>>>,
}

impl ModelMetrics {
    pub(super) fn new(registry: &Registry) -> Self {
        let gauge = |gauge: Gauge| {
            let (name, help, labels) = gauge.row();
            (gauge, register(registry, GaugeVec::new(opts(name, help), &[&OBJECT, labels].concat())))
        };
        let counter = |name, help, labels: &[&str]| {
            register(registry, IntCounterVec::new(opts(name, help), &[&OBJECT, labels].concat()))
        };
        Self {
            gauges: Gauge::ALL.map(gauge).into(),
            runs: counter(
                "training_runs_total",
                "Training runs of the RecommenderModel that ended, by kind and result: success or failure.",
                &["kind", "result"],
            ),
            failures: counter(
                "training_failures_total",
                "Training runs of the RecommenderModel that failed, by stage: load, fit, save, report, deadline or unknown.",
                &["stage"],
            ),
            exposed: Arc::default(),
        }
    }

    /// Exposes the samples of an object, and removes what it no longer has. Its counters exist from then on, so that Prometheus
    /// sees the first run as an increase.
    pub fn set(&self, namespace: &str, name: &str, samples: Samples) {
        let mut exposed = self.exposed.lock().unwrap_or_else(PoisonError::into_inner);
        let before = exposed.insert([namespace.into(), name.into()], samples.clone());
        if before.is_none() {
            self.counters(namespace, name).for_each(|(counter, labels)| drop(counter.with_label_values(&labels)));
        }
        let gone = before.into_iter().flatten().filter(|(key, _)| !samples.contains_key(key));
        gone.for_each(|((gauge, labels), _)| self.remove_sample(namespace, name, gauge, &labels));
        for ((gauge, labels), value) in samples {
            self.gauges[&gauge].with_label_values(&all(namespace, name, &labels)).set(value);
        }
    }

    /// A training run of an object ended.
    pub fn run_ended(&self, namespace: &str, name: &str, run: &FinishedRun) {
        let result = RESULTS[usize::from(!run.succeeded)];
        self.runs.with_label_values(&[namespace, name, run.kind.as_str(), result]).inc();
        if let Some(stage) = run.stage {
            self.failures.with_label_values(&[namespace, name, stage.as_str()]).inc();
        }
    }

    /// The object was deleted: removes its series.
    pub fn remove(&self, namespace: &str, name: &str) {
        let mut exposed = self.exposed.lock().unwrap_or_else(PoisonError::into_inner);
        let samples = exposed.remove(&[namespace.into(), name.into()]);
        let samples = samples.into_iter().flatten();
        samples.for_each(|((gauge, labels), _)| self.remove_sample(namespace, name, gauge, &labels));
        // An error means that there was no such series.
        self.counters(namespace, name).for_each(|(counter, labels)| drop(counter.remove_label_values(&labels)));
    }

    /// The counters of an object, each with its labels.
    fn counters<'a>(
        &'a self,
        namespace: &'a str,
        name: &'a str,
    ) -> impl Iterator<Item = (&'a IntCounterVec, Vec<&'a str>)> {
        let runs = TrainingKind::ALL.into_iter().flat_map(move |kind| RESULTS.map(|result| (kind.as_str(), result)));
        let runs = runs.map(move |(kind, result)| (&self.runs, vec![namespace, name, kind, result]));
        let failures = Stage::ALL.into_iter().map(move |stage| (&self.failures, vec![namespace, name, stage.as_str()]));
        runs.chain(failures)
    }

    fn remove_sample(&self, namespace: &str, name: &str, gauge: Gauge, labels: &[String]) {
        // An error means that there was no such series.
        drop(self.gauges[&gauge].remove_label_values(&all(namespace, name, labels)));
    }
}

fn all<'a>(namespace: &'a str, name: &'a str, labels: &'a [String]) -> Vec<&'a str> {
    [namespace, name].into_iter().chain(labels.iter().map(String::as_str)).collect()
}

#[cfg(test)]
pub(super) mod tests;
