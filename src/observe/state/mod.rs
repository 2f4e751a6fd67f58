//! The state kept of the watched objects: only what decisions and the status are computed from.

mod autoscaler;
mod deployment;
mod job;
mod pod;

use jiff::Timestamp;
use k8s_openapi::{
    api::{batch::v1::Job, core::v1::PodSpec},
    apimachinery::pkg::apis::meta::v1::{ObjectMeta, Time},
};

pub use autoscaler::{AutoscalerState, autoscaler};
pub use deployment::{DeploymentState, deployment};
pub use job::{JobEnd, JobState, PruneState, job};
pub use pod::{Blocked, ContainerEnd, Open, PodFile, PodState, Unexplained, pod};
pub(in crate::observe) use pod::{has_lost_readiness, ready_since};

use super::route::RouteState;
use crate::{
    api::VERSION_FILE_ANNOTATION,
    kinds::Kind,
    version_file::{self, Artifact},
};

/// The state of a child beyond its metadata.
#[derive(Clone, Debug, PartialEq)]
pub enum ChildState {
    /// None is kept.
    Nothing,
    /// Of the Deployment of servers or of a worker.
    Deployment(DeploymentState),
    /// Of a training Job.
    Job(JobState),
    /// Of a Job that deletes artifacts.
    Prune(PruneState),
    /// Of an autoscaler.
    Autoscaler(AutoscalerState),
    /// Of the ConfigMap with the version file of servers: the version that it names.
    VersionFile(Artifact),
    /// Of an HTTPRoute.
    Route(RouteState),
}

impl ChildState {
    /// Takes over what the API server does not report: the generation that our last apply of a Deployment gave, and when,
    /// by our own clock, the end of a Job was first observed.
    pub fn keep(&mut self, before: &Self, now: Timestamp) {
        match (self, before) {
            (Self::Deployment(observed), Self::Deployment(before)) => {
                observed.applied_generation = observed.applied_generation.max(before.applied_generation);
            }
            (Self::Job(JobState { end: Some(end), .. }), Self::Job(before)) => {
                end.observed_at = before.end.as_ref().map_or(now, |before| before.observed_at);
            }
            _ => {}
        }
    }
}

/// The state of a child of which only the metadata is watched.
pub fn of_metadata(kind: Kind, meta: &ObjectMeta) -> ChildState {
    let named = (kind == Kind::ConfigMap).then(|| annotation(meta, VERSION_FILE_ANNOTATION)).flatten();
    named.and_then(|content| serde_json::from_str(content).ok()).map_or(ChildState::Nothing, ChildState::VersionFile)
}

/// The state of a child known from its metadata alone, before the watch has delivered it. A Job that was just created
/// counts as running: it must not be taken for lost.
pub fn of_new(kind: Kind, meta: &ObjectMeta) -> ChildState {
    match kind {
        Kind::Job => job(&Job { metadata: meta.clone(), ..Job::default() }),
        _ => of_metadata(kind, meta),
    }
}

/// The label that distinguishes servers from workers.
const COMPONENT_LABEL: &str = "app.kubernetes.io/component";

pub(super) fn instant(time: Option<&Time>) -> Timestamp {
    time.map_or(Timestamp::UNIX_EPOCH, |time| time.0)
}

fn annotation<'a>(meta: &'a ObjectMeta, name: &str) -> Option<&'a str> {
    meta.annotations.as_ref()?.get(name).map(String::as_str)
}

fn label<'a>(meta: &'a ObjectMeta, name: &str) -> Option<&'a str> {
    meta.labels.as_ref()?.get(name).map(String::as_str)
}

/// The ConfigMap of the version file of a pod.
fn mounted(spec: &PodSpec) -> Option<String> {
    let volume = spec.volumes.iter().flatten().find(|volume| volume.name == version_file::VOLUME)?;
    Some(volume.config_map.as_ref()?.name.clone())
}
