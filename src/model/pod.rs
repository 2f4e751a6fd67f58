//! Contradictions in the settings of pods: names that are taken, references to nothing, and fields without an effect.

use super::{
    InvalidField,
    pod_values::{self, is_label, is_port_name},
};
use crate::api::{
    InitContainer, Pod, Probe, ProbeType, QUEUE_LABEL, RecommenderModelSpec, Serving, VolumeMount, default_drain,
};

/// Name of the artifact volume.
pub const ARTIFACTS_VOLUME: &str = "artifacts";
/// Name of the volume with the certificates of the authorities of an S3 endpoint.
pub const CA_VOLUME: &str = "artifacts-ca";
/// Where it is mounted.
pub const CA_PATH: &str = "/etc/recommender/artifacts-ca";
/// Name of the volume for /tmp.
pub const TMP_VOLUME: &str = "tmp";
/// Where every container can write.
pub const TMP_PATH: &str = "/tmp";
/// Seconds a trainer has to exit, from the start of its `preStop` hook.
pub const TRAINER_GRACE_SECONDS: i64 = 30;
/// Where the report of a trainer is read.
const REPORT_PATH: &str = "/dev/termination-log";
/// Name of the port of the requests.
const HTTP: &str = "http";
/// Name of the port of the metrics.
const METRICS: &str = "metrics";
/// Paths of the operator below which nothing can be mounted, because what is there is read-only or the versions.
const CLOSED: [&str; 2] = [super::ArtifactStore::MOUNT, CA_PATH];

/// The pods of a part of the spec.
struct Part<'a> {
    pod: &'a Pod,
    /// Path of the part that has the field `pod`.
    field: &'static str,
    /// Name of the worker.
    worker: Option<&'a str>,
    /// Names and numbers of the ports of its main container, the main one first.
    ports: Vec<(&'a str, i32)>,
    /// Whether servers are probed without being asked to.
    is_serving: bool,
    /// Seconds that a pause before SIGTERM may take; `None`: any, because they are added.
    grace_seconds: Option<i64>,
    /// Paths of the main container that the operator mounts.
    mounted: Vec<&'static str>,
    /// Volumes of the operator that init containers may mount.
    volumes: Vec<&'static str>,
}

/// The problems of all pods.
pub fn problems(spec: &RecommenderModelSpec) -> Vec<InvalidField> {
    let on_claim = spec.artifacts.persistent_volume_claim.is_some();
    let part = |pod, field| Part {
        pod,
        field,
        worker: None,
        ports: Vec::new(),
        is_serving: false,
        grace_seconds: None,
        mounted: [TMP_PATH, CA_PATH].into_iter().chain(on_claim.then_some(super::ArtifactStore::MOUNT)).collect(),
        volumes: [TMP_VOLUME].into_iter().chain(on_claim.then_some(ARTIFACTS_VOLUME)).collect(),
    };
    let mut training = part(&spec.training.pod, "spec.training");
    training.mounted.push(REPORT_PATH);
    training.grace_seconds = Some(TRAINER_GRACE_SECONDS);
    let serving_ports = std::iter::once((HTTP, spec.serving.port))
        .chain(spec.serving.metrics_port.map(|port| (METRICS, port)))
        .chain(spec.serving.ports.iter().map(|port| (port.name.as_str(), port.port)));
    let ports = serving_ports.collect();
    let serving = Part { ports, is_serving: true, ..part(&spec.serving.pod, "spec.serving") };
    let workers = spec.workers.iter().map(|of| Part {
        worker: Some(&of.name),
        ports: of.metrics.iter().map(|metrics| (METRICS, metrics.port)).collect(),
        grace_seconds: Some(of.termination_grace_seconds),
        ..part(&of.pod, "spec.workers")
    });
    let problem = |part: Part<'_>| {
        let messages = part.messages();
        messages.into_iter().map(move |message| part.problem(&message)).collect::<Vec<_>>()
    };
    [training, serving].into_iter().chain(workers).flat_map(problem).chain(drain(&spec.serving)).collect()
}

/// Two pauses of servers before their SIGTERM. What another hook does may take the seconds of `drainSeconds`.
fn drain(serving: &Serving) -> Option<InvalidField> {
    let sleep = serving.pod.pre_stop.as_ref()?.sleep_seconds?;
    let drain = serving.drain_seconds;
    (drain != default_drain() && drain != sleep).then(|| InvalidField {
        field: "spec.serving",
        message: format!(
            "drainSeconds is {drain} and pod.preStop.sleepSeconds {sleep}, but servers pause once: remove one of them"
        ),
    })
}

impl Part<'_> {
    fn problem(&self, message: &str) -> InvalidField {
        let worker = self.worker.map(|name| format!("{name:?}: ")).unwrap_or_default();
        InvalidField { field: self.field, message: format!("{worker}pod.{message}") }
    }

    fn port(&self) -> Option<i32> {
        self.ports.first().map(|(_, number)| *number)
    }

    /// Names that Kubernetes would refuse. Their rule would be in the schema a dozen times.
    fn names(&self) -> Vec<String> {
        let volumes = self.pod.volumes.iter().map(|volume| ("volumes", &volume.name));
        let containers = self.pod.init_containers.iter();
        let ports = containers.clone().flat_map(|of| of.ports.iter().map(move |port| (&of.name, &port.name)));
        let names = volumes.chain(containers.map(|of| ("initContainers", &of.name)));
        let wrong = names
            .filter(|(_, name)| !is_label(name))
            .map(|(field, name)| format!("{field}: {name:?} is no name: write lower case letters, digits and -"));
        let wrong_ports = ports.filter(|(_, name)| !is_port_name(name)).map(|(container, name)| {
            format!(
                "initContainers: {container:?}: ports: {name:?} is no name: write at most 15 lower case letters, digits and \
                 single -, with a letter"
            )
        });
        wrong.chain(wrong_ports).collect()
    }

    fn messages(&self) -> Vec<String> {
        let mut messages = self.names();
        messages.extend(self.volumes());
        messages.extend(self.pod.volume_mounts.iter().filter_map(|mount| self.mount("", mount)));
        messages.extend(self.mounts_of_ours());
        messages.extend(self.pod.init_containers.iter().flat_map(|container| self.init_container(container)));
        messages.extend(self.sidecar_ports());
        messages.extend(pod_values::problems(self.pod));
        messages.extend(self.queue());
        messages.extend(self.probes());
        messages.extend(self.pre_stop());
        messages
    }

    /// A queue by its label alone would not keep the Job suspended.
    fn queue(&self) -> Option<String> {
        (self.field == "spec.training" && self.pod.labels.contains_key(QUEUE_LABEL))
            .then(|| format!("labels: {QUEUE_LABEL} needs a suspended Job: write the queue in training.job.queueName"))
    }

    fn volumes(&self) -> Vec<String> {
        let taken = |name: &&str| [TMP_VOLUME, ARTIFACTS_VOLUME, CA_VOLUME].contains(name);
        let names = self.pod.volumes.iter().map(|volume| volume.name.as_str()).filter(taken);
        let hint = |name| match name {
            TMP_VOLUME => "set pod.tmp to change /tmp, or choose another name",
            _ => "choose another name",
        };
        names.map(|name| format!("volumes: {name:?} is a volume of the operator: {}", hint(name))).collect()
    }

    /// A mount of a volume that does not exist. `of`: the container, if it is not the main one.
    fn mount(&self, of: &str, mount: &VolumeMount) -> Option<String> {
        let ours = self.volumes.contains(&mount.name.as_str());
        let exists = ours || self.pod.volumes.iter().any(|volume| volume.name == mount.name);
        if !exists {
            return Some(format!("{of}volumeMounts: there is no {:?} among pod.volumes", mount.name));
        }
        (!mount.mount_path.starts_with('/')).then(|| {
            format!("{of}volumeMounts: {:?} is no absolute path: write one that starts with /", mount.mount_path)
        })
    }

    /// Mounts of the main container over those of the operator.
    fn mounts_of_ours(&self) -> Vec<String> {
        self.pod.volume_mounts.iter().filter_map(|mount| over_ours(mount, &self.mounted)).collect()
    }

    fn init_container(&self, container: &InitContainer) -> Vec<String> {
        let of = format!("initContainers: {:?}: ", container.name);
        let mut messages: Vec<String> =
            container.volume_mounts.iter().filter_map(|mount| self.mount(&of, mount)).collect();
        let over_ours = container.volume_mounts.iter().filter_map(|mount| over_ours(mount, &[TMP_PATH, CA_PATH]));
        messages.extend(over_ours.map(|why| format!("{of}{why}")));
        if container.restart_policy.is_none() && !(container.probes.is_empty() && container.ports.is_empty()) {
            messages
                .push(format!("{of}only sidecars have ports and probes: write restartPolicy: Always, or remove them"));
        }
        let first_port = container.ports.first().map(|port| port.container_port);
        let wrong = container.probes.iter().filter_map(|probe| unusable(probe, first_port, false));
        messages.extend(wrong.map(|why| format!("{of}{why}")));
        messages
    }

    /// Ports of sidecars whose name or number another port of the pod has.
    fn sidecar_ports(&self) -> Vec<String> {
        let of_sidecars = self.pod.init_containers.iter().flat_map(|of| {
            of.ports.iter().map(move |port| (Some(of.name.as_str()), port.name.as_str(), port.container_port))
        });
        let ours = self.ports.iter().map(|(name, number)| (None, *name, *number));
        let ports: Vec<(Option<&str>, &str, i32)> = ours.chain(of_sidecars).collect();
        let problem = |(index, (container, name, number)): (usize, &(Option<&str>, &str, i32))| {
            let container = (*container)?;
            let before = |is_same: &dyn Fn(&str, i32) -> bool| {
                let (owner, ..) = ports[..index].iter().find(|(_, name, number)| is_same(name, *number))?;
                Some(owner.map_or_else(|| "the main container".to_owned(), |name| format!("{name:?}")))
            };
            let why = if [HTTP, METRICS].contains(name) {
                format!("{name:?} is a port of the operator: choose another name")
            } else if let Some(owner) = before(&|of, _| of == *name) {
                format!("{name:?} is also a port of {owner}: choose another name")
            } else if let Some(owner) = before(&|_, of| of == *number) {
                format!("{number} is also a port of {owner}: choose another")
            } else {
                return None;
            };
            Some(format!("initContainers: {container:?}: ports: {why}"))
        };
        ports.iter().enumerate().filter_map(problem).collect()
    }

    fn probes(&self) -> Vec<String> {
        let probes = &self.pod.probes;
        let mut messages: Vec<String> =
            probes.iter().filter_map(|probe| unusable(probe, self.port(), self.is_serving)).collect();
        if self.field == "spec.training" && self.pod.probe(ProbeType::Readiness).is_some() {
            messages.push("probes: nothing waits for a trainer to be ready: remove the one of type Readiness".into());
        }
        messages
    }

    fn pre_stop(&self) -> Option<String> {
        let hook = self.pod.pre_stop.as_ref()?;
        if hook.path.is_some() && hook.port.is_none() && self.ports.is_empty() {
            return Some("preStop: the container has no port: set port".into());
        }
        if hook.port.is_some() && hook.path.is_none() {
            return Some("preStop: port is that of an HTTP request: remove it, or set path".into());
        }
        let (sleep, grace) = (hook.sleep_seconds?, self.grace_seconds?);
        (sleep >= grace).then(|| {
            format!(
                "preStop: a sleep of {sleep} s leaves nothing of the {grace} s until the container is killed: write less{}",
                if self.worker.is_some() { ", or raise terminationGraceSeconds" } else { "" }
            )
        })
    }
}

/// Why a volume cannot be mounted in a container with these paths of the operator.
fn over_ours(mount: &VolumeMount, ours: &[&str]) -> Option<String> {
    let path = mount.mount_path.trim_end_matches('/');
    let is_below = |of: &str| CLOSED.contains(&of) && path.strip_prefix(of).is_some_and(|rest| rest.starts_with('/'));
    let of = ours.iter().find(|of| path == **of || is_below(of))?;
    let what = if path == *of { path.to_owned() } else { format!("{path} is below {of}, which") };
    Some(format!("volumeMounts: {what} is the operator's: mount the volume elsewhere"))
}

/// Why a probe cannot be made. `port`: that of the container; `has_default`: whether it may only change one of ours.
fn unusable(probe: &Probe, port: Option<i32>, has_default: bool) -> Option<String> {
    let needs_port = probe.path.is_some() || probe.grpc_service.is_some();
    let is_repeated = probe.success_threshold.is_some_and(|times| times != 1);
    let why = if !probe.has_action() && !has_default {
        "it does nothing: set path, exec, grpcService or port"
    } else if !probe.exec.is_empty() && probe.port.is_some() {
        "a command uses no port: remove port or exec"
    } else if needs_port && probe.port.is_none() && port.is_none() {
        "the container has no port: set port"
    } else if is_repeated && probe.type_ != ProbeType::Readiness {
        "successThreshold can only be 1 here: remove it"
    } else {
        return None;
    };
    Some(format!("probes: {:?}: {why}", probe.type_))
}
