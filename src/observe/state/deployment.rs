//! The state of a Deployment.

use jiff::{SignedDuration, Timestamp};
use k8s_openapi::api::apps::v1::Deployment;

use super::{COMPONENT_LABEL, ChildState, annotation, instant, label, mounted};
use crate::{
    api::{RESTARTED_ANNOTATION, SERVERS_ANNOTATION, VERSION_LABEL},
    causes::{self, Part, Source, Subject},
    names::SERVER_CONTAINER,
    observe::{fields::are_replicas_ordered, settings::settings},
    version_file::{self, Artifact},
};

/// The state of the Deployment of servers or of a worker.
#[derive(Clone, Debug, Default, PartialEq)]
pub struct DeploymentState {
    /// The version in its pod template; none for workers.
    pub version: Option<String>,
    /// Hash of its pod template without the version.
    pub settings: String,
    /// How long its rollout may make no progress until it counts as failed.
    pub deadline: Option<SignedDuration>,
    /// URI and digest of the artifact of that version.
    pub artifact: Option<(String, String)>,
    /// When it was created.
    pub created_at: Timestamp,
    /// Whether the Deployment controller has observed the newest generation.
    pub observed: bool,
    /// The generation that the Deployment controller observed last.
    pub observed_generation: i64,
    /// Its generation.
    pub generation: i64,
    /// The generation that our last apply gave; 0 when it was not applied since the operator started.
    pub applied_generation: i64,
    /// Desired pods.
    pub desired: i32,
    /// Whether we set [`Self::desired`] last, and not an autoscaler or a person.
    pub is_ordered: bool,
    /// Current pods, of any version.
    pub total: i32,
    /// Pods of the newest template.
    pub updated: i32,
    /// Pods that are ready, of any version.
    pub ready: i32,
    /// Its component, as [`crate::model::Workload::component`] names it; empty when its label is gone.
    pub component: String,
    /// Why its pods are refused, for example by a quota. That ends when what refuses them is gone.
    pub refused: Option<String>,
    /// The Deployment controller's sentence when the progress deadline has passed.
    pub stuck: Option<String>,
    /// The file in which its servers read their version, if they do. [`Self::version`] is the one that it names then, see
    /// [`Children::with_version_files`](crate::observe::Children::with_version_files).
    pub file: Option<version_file::Observed>,
    /// Whether its servers change versions without a restart: whether all of them have, while that goes on.
    pub reloaded: Option<bool>,
}

impl DeploymentState {
    /// Whether it was written since it was observed.
    pub fn is_stale(&self) -> bool {
        self.generation < self.applied_generation
    }

    /// Why pods are missing, as the Deployment controller reports it.
    pub fn failure(&self) -> Option<&str> {
        self.refused.as_deref().or(self.stuck.as_deref()).filter(|why| !why.is_empty())
    }

    /// Whether all pods are of the newest template and ready.
    pub fn rolled_out(&self) -> bool {
        if let Some(is_done) = self.reloaded {
            return is_done;
        }
        self.observed && self.updated >= self.desired && self.total == self.updated && self.ready >= self.desired
    }

    /// The version of which all pods are ready, and no other pods exist.
    pub fn rolled_out_version(&self) -> Option<&str> {
        self.version.as_deref().filter(|_| self.rolled_out())
    }

    /// Whether pods of an older template still exist, or the Deployment controller has not observed our last apply yet. A
    /// change of the number of pods by an autoscaler is no rollout.
    pub fn is_rolling(&self) -> bool {
        self.observed_generation < self.applied_generation || self.total != self.updated
    }
}

/// The state of a Deployment.
pub fn deployment(deployment: &Deployment) -> ChildState {
    let spec = deployment.spec.as_ref();
    let status = deployment.status.clone().unwrap_or_default();
    let template = spec.and_then(|spec| spec.template.metadata.as_ref());
    let component = label(&deployment.metadata, COMPONENT_LABEL).unwrap_or_default().to_owned();
    let (refused, stuck) = failures(deployment, &component);
    ChildState::Deployment(DeploymentState {
        version: template.and_then(|meta| label(meta, VERSION_LABEL)).map(Into::into),
        observed: status.observed_generation >= deployment.metadata.generation,
        observed_generation: status.observed_generation.unwrap_or_default(),
        generation: deployment.metadata.generation.unwrap_or_default(),
        applied_generation: 0,
        desired: spec.and_then(|spec| spec.replicas).unwrap_or(1),
        is_ordered: are_replicas_ordered(deployment.metadata.managed_fields.as_deref()),
        total: status.replicas.unwrap_or_default(),
        updated: status.updated_replicas.unwrap_or_default(),
        ready: status.ready_replicas.unwrap_or_default(),
        settings: spec.map(|spec| settings(&spec.template)).unwrap_or_default(),
        deadline: spec.and_then(|spec| spec.progress_deadline_seconds).map(|of| SignedDuration::from_secs(of.into())),
        artifact: artifact(deployment),
        created_at: instant(deployment.metadata.creation_timestamp.as_ref()),
        component,
        refused,
        stuck,
        file: file(deployment),
        reloaded: None,
    })
}

/// The file in which the servers of a Deployment read their version.
fn file(deployment: &Deployment) -> Option<version_file::Observed> {
    let template = &deployment.spec.as_ref()?.template;
    let meta = template.metadata.as_ref()?;
    let (uri, digest) = artifact(deployment)?;
    Some(version_file::Observed {
        config_map: mounted(template.spec.as_ref()?)?,
        template: annotation(&deployment.metadata, SERVERS_ANNOTATION)?.into(),
        started: Artifact { version: label(meta, VERSION_LABEL)?.into(), uri, digest },
        restarted: annotation(meta, RESTARTED_ANNOTATION).map(Into::into),
        named: None,
    })
}

/// URI and digest of the artifact that the servers of a Deployment load.
fn artifact(deployment: &Deployment) -> Option<(String, String)> {
    let containers = &deployment.spec.as_ref()?.template.spec.as_ref()?.containers;
    let server = containers.iter().find(|container| container.name == SERVER_CONTAINER)?;
    let value = |name: &str| server.env.iter().flatten().find(|variable| variable.name == name)?.value.clone();
    Some((value("RECOMMENDER_MODEL_URI")?, value("RECOMMENDER_MODEL_DIGEST")?))
}

/// Why the pods of a Deployment are refused, and the sentence about its progress deadline. A ReplicaSet that cannot be
/// created fails the progress at once, but not for good.
fn failures(deployment: &Deployment, component: &str) -> (Option<String>, Option<String>) {
    let meta = &deployment.metadata;
    let object = format!("deployment {}", meta.name.as_deref().unwrap_or_default());
    let namespace = meta.namespace.as_deref().unwrap_or_default();
    let subject = Subject { part: Part::of(component), namespace, object: &object, image: "", is_init: false };
    let (mut refused, mut stuck) = (None, None);
    for condition in deployment.status.iter().filter_map(|status| status.conditions.as_ref()).flatten() {
        let (reason, message) = (condition.reason.as_deref().unwrap_or_default(), condition.message.as_deref());
        let message = message.unwrap_or_default();
        match (condition.type_.as_str(), condition.status.as_str(), reason) {
            ("ReplicaFailure", "True", _) | ("Progressing", "False", "ReplicaSetCreateError") => {
                refused = causes::explain(&subject, Source::Refused, reason, message).map(|cause| cause.text);
            }
            ("Progressing", "False", _) => stuck = Some(causes::quoted(message).unwrap_or_default()),
            _ => {}
        }
    }
    (refused, stuck)
}
