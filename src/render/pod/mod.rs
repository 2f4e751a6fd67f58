//! The pods of training, serving and workers: what they have in common, and what the user sets for all three alike.

mod probes;
mod scheduling;
mod security;
mod storage;
mod volumes;

use std::collections::BTreeMap;

use k8s_openapi::{
    api::core::v1::{
        Container, ContainerPort, EnvVar as PodEnvVar, LocalObjectReference, PodSpec, PodTemplateSpec, Probe,
        ResourceRequirements,
    },
    apimachinery::pkg::{apis::meta::v1::ObjectMeta, util::intstr::IntOrString},
};
pub use scheduling::Spread;
use serde::{Serialize, de::DeserializeOwned};

use crate::{
    api::{EnvVar, InitContainer, MODEL_NAME_ANNOTATION, Pod, ProbeType, Resources},
    child,
    model::Model,
};

/// Whether a pod may write to the artifact volume.
#[derive(Clone, Copy, Debug, PartialEq)]
pub enum Access {
    /// Trainers write versions.
    ReadWrite,
    /// Servers read them.
    ReadOnly,
}

impl Access {
    /// As the field of a mount.
    fn read_only(self) -> Option<bool> {
        (self == Self::ReadOnly).then_some(true)
    }
}

/// The main container of a pod, as the spec has it for training, serving and workers alike.
pub struct Main<'a> {
    /// Name of the container.
    pub name: &'a str,
    /// Its image.
    pub image: &'a str,
    /// Its entrypoint; empty: the image's.
    pub command: &'a [String],
    /// Arguments of the entrypoint.
    pub args: &'a [String],
    /// Variables of the contract.
    pub contract: Vec<(&'a str, String)>,
    /// Variables of the user.
    pub env: &'a [EnvVar],
    /// Its resources.
    pub resources: Option<&'a Resources>,
    /// Names and numbers of its ports, the main one first.
    pub ports: Vec<(&'a str, i32)>,
    /// Whether it writes versions.
    pub access: Access,
    /// Its probes by default.
    pub probes: Probes,
    /// Seconds it sleeps before its SIGTERM by default.
    pub drain_seconds: Option<i64>,
    /// Settings of its pod.
    pub pod: &'a Pod,
}

/// The probes of a container.
#[derive(Default)]
pub struct Probes {
    /// When it has started.
    pub startup: Option<Probe>,
    /// When it is ready.
    pub readiness: Option<Probe>,
    /// When it is to be restarted.
    pub liveness: Option<Probe>,
}

impl Main<'_> {
    fn container(&self, model: &Model) -> Container {
        let number = self.ports.first().map(|(_, number)| *number);
        let ports: Vec<_> = self.ports.iter().map(|(name, number)| port(name, *number)).collect();
        let ours = &self.probes;
        let probe = |of, ours: &Option<_>| probes::probe(self.pod.probe(of), ours.clone(), number);
        Container {
            name: self.name.into(),
            image: Some(self.image.into()),
            image_pull_policy: self.pod.image_pull_policy.as_ref().map(same),
            command: non_empty(self.command),
            args: non_empty(self.args),
            working_dir: self.pod.working_dir.clone(),
            ports: (!ports.is_empty()).then_some(ports),
            env: Some(env(model, &self.contract, self.env)),
            env_from: same_list(&self.pod.env_from),
            resources: resources(self.resources),
            volume_mounts: Some(volumes::mounts(model, self.access, &self.pod.volume_mounts)),
            security_context: Some(security::of_container(self.pod)),
            startup_probe: probes::startup(self.pod, ours.startup.clone(), number),
            readiness_probe: probe(ProbeType::Readiness, &ours.readiness),
            liveness_probe: probe(ProbeType::Liveness, &ours.liveness),
            lifecycle: probes::lifecycle(self.pod.pre_stop.as_ref(), self.drain_seconds, number),
            ..Container::default()
        }
    }

    /// A container before or beside the main one.
    fn init_container(&self, model: &Model, asked: &InitContainer) -> Container {
        let ports: Vec<_> = asked.ports.iter().map(|of| port(&of.name, of.container_port)).collect();
        let first_port = asked.ports.first().map(|port| port.container_port);
        let probe = |of| probes::probe(asked.probes.iter().find(|probe| probe.type_ == of), None, first_port);
        Container {
            name: asked.name.clone(),
            image: Some(asked.image.clone()),
            image_pull_policy: asked.image_pull_policy.as_ref().map(same),
            restart_policy: asked.restart_policy.as_ref().map(same),
            command: non_empty(&asked.command),
            args: non_empty(&asked.args),
            working_dir: asked.working_dir.clone(),
            ports: (!ports.is_empty()).then_some(ports),
            env: Some(env(model, &self.contract, &asked.env)),
            env_from: same_list(&asked.env_from),
            resources: resources(asked.resources.as_ref()),
            volume_mounts: Some(volumes::mounts_beside(model, self.access, &asked.volume_mounts)),
            security_context: Some(security::of_container(self.pod)),
            startup_probe: probe(ProbeType::Startup),
            readiness_probe: probe(ProbeType::Readiness),
            liveness_probe: probe(ProbeType::Liveness),
            ..Container::default()
        }
    }
}

fn port(name: &str, number: i32) -> ContainerPort {
    ContainerPort {
        name: Some(name.into()),
        container_port: number,
        protocol: Some("TCP".into()),
        ..ContainerPort::default()
    }
}

/// The template of a pod. With the defaults it conforms to the Pod Security level `restricted`; it has no API token.
/// `labels`: those of the operator.
pub fn template(model: &Model, main: &Main<'_>, labels: BTreeMap<String, String>, spread: &Spread) -> PodTemplateSpec {
    let pod = main.pod;
    let ours = BTreeMap::from([(MODEL_NAME_ANNOTATION.into(), model.identity.name.clone())]);
    let mut metadata = ObjectMeta { labels: Some(labels), annotations: Some(ours), ..ObjectMeta::default() };
    describe(&mut metadata, pod);
    let mut spec = spec(model, main);
    scheduling::set(&mut spec, pod, spread);
    PodTemplateSpec { metadata: Some(metadata), spec: Some(spec) }
}

/// Adds the labels and annotations of the user to those of a pod, or of the child that creates it.
pub fn describe(metadata: &mut ObjectMeta, pod: &Pod) {
    child::add(&mut metadata.labels, &pod.labels);
    child::add(&mut metadata.annotations, &pod.annotations);
}

fn spec(model: &Model, main: &Main<'_>) -> PodSpec {
    let pod = main.pod;
    let init_containers: Vec<_> = pod.init_containers.iter().map(|asked| main.init_container(model, asked)).collect();
    let secrets = model.image_pull_secrets.iter().map(|name| LocalObjectReference { name: name.clone() });
    PodSpec {
        init_containers: (!init_containers.is_empty()).then_some(init_containers),
        containers: vec![main.container(model)],
        volumes: Some(volumes::all(model, pod)),
        image_pull_secrets: (!model.image_pull_secrets.is_empty()).then(|| secrets.collect()),
        service_account_name: Some(pod.service_account_name.clone().unwrap_or_else(|| model.identity.base.clone())),
        automount_service_account_token: Some(false),
        // Environment variables for every Service of the namespace are not used and slow down the start.
        enable_service_links: Some(false),
        security_context: Some(security::of_pod(pod)),
        ..PodSpec::default()
    }
}

/// A value of the spec as the type of Kubernetes that has the same fields. It cannot fail: the fields of ours are some of
/// theirs, and a test converts a value of every field.
fn same<T: Serialize, U: DeserializeOwned + Default>(ours: &T) -> U {
    serde_json::to_value(ours).and_then(serde_json::from_value).unwrap_or_default()
}

/// [`same`] for the entries of a list; `None` for an empty one, because the API server does not store empty lists.
fn same_list<T: Serialize, U: DeserializeOwned + Default>(ours: &[T]) -> Option<Vec<U>> {
    (!ours.is_empty()).then(|| ours.iter().map(same).collect())
}

/// The environment variables: first those of the contract, then those for the bucket, then the user's. Empty values are
/// not applied, because the API server does not keep them.
fn env(model: &Model, contract: &[(&str, String)], user: &[EnvVar]) -> Vec<PodEnvVar> {
    let mut env: Vec<PodEnvVar> = contract.iter().map(|(name, value)| plain(name, value.clone())).collect();
    env.extend(storage::env(&model.artifacts));
    // The user's value takes precedence over ours for the bucket. Names of the contract are refused by the schema.
    env.retain(|ours| !user.iter().any(|theirs| theirs.name == ours.name));
    env.extend(user.iter().map(variable));
    env
}

/// A variable of the user.
fn variable(asked: &EnvVar) -> PodEnvVar {
    match &asked.value_from {
        Some(source) => PodEnvVar { name: asked.name.clone(), value: None, value_from: Some(same(source)) },
        None => plain(&asked.name, asked.value.clone().unwrap_or_default()),
    }
}

fn plain(name: &str, value: String) -> PodEnvVar {
    PodEnvVar { name: name.into(), value: (!value.is_empty()).then_some(value), ..PodEnvVar::default() }
}

/// The resources of a container.
fn resources(resources: Option<&Resources>) -> Option<ResourceRequirements> {
    let resources = resources?;
    let some = |map: &BTreeMap<_, _>| (!map.is_empty()).then(|| map.clone());
    Some(ResourceRequirements {
        requests: some(&resources.requests),
        limits: some(&resources.limits),
        ..ResourceRequirements::default()
    })
}

/// A number of pods as the API server accepts it: a text is a percentage.
pub fn number_or_percent(pods: &IntOrString) -> IntOrString {
    match pods {
        IntOrString::String(text) => text.parse().map_or_else(|_| pods.clone(), IntOrString::Int),
        IntOrString::Int(_) => pods.clone(),
    }
}

/// `None` for an empty list, because the API server does not store empty lists.
fn non_empty(list: &[String]) -> Option<Vec<String>> {
    (!list.is_empty()).then(|| list.to_vec())
}
