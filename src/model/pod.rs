//! Contradictions in the settings of pods: names that are taken, references to nothing, and fields without an effect.

use super::{
    FieldPath, InvalidField,
    pod_values::{self, is_label, is_port_name},
};
use crate::{
    api::{
        InitContainer, Pod, Probe, ProbeType, QUEUE_LABEL, RecommenderModelSpec, Serving, Volume, VolumeMount,
        default_drain,
    },
    version_file,
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
const CLOSED: [&str; 3] = [super::ArtifactStore::MOUNT, CA_PATH, version_file::DIRECTORY];

/// The pods of a part of the spec.
struct Part<'a> {
    pod: &'a Pod,
    /// Path of the field `pod`.
    path: FieldPath,
    /// Whether they are trainers.
    is_training: bool,
    /// Whether servers are probed without being asked to.
    is_serving: bool,
    /// Names and numbers of the ports of its main container, the main one first.
    ports: Vec<(&'a str, i32)>,
    /// Seconds that a pause before SIGTERM may take, and the field that sets them; `None`: any, because they are added.
    grace: Option<(i64, Option<FieldPath>)>,
    /// Paths of the main container that the operator mounts.
    mounted: Vec<&'static str>,
    /// Volumes of the operator that init containers may mount.
    volumes: Vec<&'static str>,
}

/// A port of a pod.
struct Port<'a> {
    /// Path of the port and name of the container; none: it is one of the main container.
    sidecar: Option<(FieldPath, &'a str)>,
    name: &'a str,
    number: i32,
}

/// The problems of all pods.
pub fn problems(spec: &RecommenderModelSpec) -> Vec<InvalidField> {
    let on_claim = spec.artifacts.persistent_volume_claim.is_some();
    let part = |pod, of: &FieldPath| Part {
        pod,
        path: of.field("pod"),
        is_training: false,
        is_serving: false,
        ports: Vec::new(),
        grace: None,
        mounted: [TMP_PATH, CA_PATH].into_iter().chain(on_claim.then_some(super::ArtifactStore::MOUNT)).collect(),
        volumes: [TMP_VOLUME].into_iter().chain(on_claim.then_some(ARTIFACTS_VOLUME)).collect(),
    };
    let root = FieldPath::spec();
    let grace = Some((TRAINER_GRACE_SECONDS, None));
    let mut training = Part { is_training: true, grace, ..part(&spec.training.pod, &root.field("training")) };
    training.mounted.push(REPORT_PATH);
    let serving_ports = std::iter::once((HTTP, spec.serving.port))
        .chain(spec.serving.metrics_port.map(|port| (METRICS, port)))
        .chain(spec.serving.ports.iter().map(|port| (port.name.as_str(), port.port)));
    let ports = serving_ports.collect();
    let mut serving = Part { ports, is_serving: true, ..part(&spec.serving.pod, &root.field("serving")) };
    serving.mounted.extend(spec.promotion.hot_reload.iter().map(|_| version_file::DIRECTORY));
    let workers = root.items("workers", &spec.workers).map(|(path, of)| Part {
        ports: of.metrics.iter().map(|metrics| (METRICS, metrics.port)).collect(),
        grace: Some((of.termination_grace_seconds, Some(path.field("terminationGraceSeconds")))),
        ..part(&of.pod, &path)
    });
    let of_parts = [training, serving].into_iter().chain(workers).flat_map(|part| part.problems());
    of_parts.chain(drain(&spec.serving)).collect()
}

/// Two pauses of servers before their SIGTERM. What another hook does may take the seconds of `drainSeconds`.
fn drain(serving: &Serving) -> Option<InvalidField> {
    let sleep = serving.pod.pre_stop.as_ref()?.sleep_seconds?;
    let drain = serving.drain_seconds;
    (drain != default_drain() && drain != sleep).then(|| {
        FieldPath::spec().field("serving.drainSeconds").problem(format!(
            "it is {drain} and spec.serving.pod.preStop.sleepSeconds {sleep}, but servers pause once: remove one of them"
        ))
    })
}

impl Part<'_> {
    fn port(&self) -> Option<i32> {
        self.ports.first().map(|(_, number)| *number)
    }

    fn init_containers(&self) -> impl Iterator<Item = (FieldPath, &InitContainer)> {
        self.path.items("initContainers", &self.pod.init_containers)
    }

    /// Names that Kubernetes would refuse. Their rule would be in the schema a dozen times.
    fn names(&self) -> Vec<InvalidField> {
        let volumes = self.path.items("volumes", &self.pod.volumes).map(|(path, of)| (path, &of.name));
        let names = volumes.chain(self.init_containers().map(|(path, of)| (path, &of.name)));
        let wrong = names.filter(|(_, name)| !is_label(name)).map(|(path, name)| {
            path.field("name").problem(format!("{name:?} is no name: write lower case letters, digits and -"))
        });
        let ports = self.init_containers().flat_map(|(path, of)| path.items("ports", &of.ports));
        let wrong_ports = ports.filter(|(_, port)| !is_port_name(&port.name)).map(|(path, port)| {
            let remedy = "write at most 15 lower case letters, digits and single -, with a letter";
            path.field("name").problem(format!("{:?} is no name: {remedy}", port.name))
        });
        wrong.chain(wrong_ports).collect()
    }

    fn problems(&self) -> Vec<InvalidField> {
        let mut problems = self.names();
        problems.extend(self.volumes());
        problems.extend(self.mounts(&self.path, &self.pod.volume_mounts, &self.mounted));
        problems.extend(self.init_containers().flat_map(|(path, container)| self.init_container(&path, container)));
        problems.extend(self.sidecar_ports());
        problems.extend(pod_values::problems(&self.path, self.pod));
        problems.extend(self.queue());
        problems.extend(self.probes());
        problems.extend(self.pre_stop());
        problems
    }

    /// A queue by its label alone would not keep the Job suspended.
    fn queue(&self) -> Option<InvalidField> {
        (self.is_training && self.pod.labels.contains_key(QUEUE_LABEL)).then(|| {
            let remedy = "write the queue in spec.training.job.queueName";
            self.path.field("labels").key(QUEUE_LABEL).problem(format!("it needs a suspended Job: {remedy}"))
        })
    }

    fn volumes(&self) -> Vec<InvalidField> {
        let all = self.path.items("volumes", &self.pod.volumes);
        let taken = all.filter(|(_, of)| {
            [TMP_VOLUME, ARTIFACTS_VOLUME, CA_VOLUME, version_file::VOLUME].contains(&of.name.as_str())
        });
        let problem = |(path, of): (FieldPath, &Volume)| {
            let change = (of.name == TMP_VOLUME).then(|| format!("set {} to change /tmp, or ", self.path.field("tmp")));
            let change = change.unwrap_or_default();
            path.field("name")
                .problem(format!("{:?} is a volume of the operator: {change}choose another name", of.name))
        };
        taken.map(problem).collect()
    }

    /// Mounts of volumes that do not exist, at paths that do not, or over those of the operator. `path`: that of the container.
    fn mounts(&self, path: &FieldPath, mounts: &[VolumeMount], ours: &[&str]) -> Vec<InvalidField> {
        let problem = |(path, mount): (FieldPath, &VolumeMount)| {
            let is_ours = self.volumes.contains(&mount.name.as_str());
            let exists = is_ours || self.pod.volumes.iter().any(|volume| volume.name == mount.name);
            let at = path.field("mountPath");
            if !exists {
                let volumes = self.path.field("volumes");
                let why = format!("there is no {:?} among {volumes}: write the name of one, or add it", mount.name);
                return vec![path.field("name").problem(why)];
            }
            let relative = (!mount.mount_path.starts_with('/')).then(|| {
                at.problem(format!("{:?} is no absolute path: write one that starts with /", mount.mount_path))
            });
            relative.into_iter().chain(over_ours(mount, ours).map(|why| at.problem(why))).collect()
        };
        path.items("volumeMounts", mounts).flat_map(problem).collect()
    }

    /// `path`: that of the container.
    fn init_container(&self, path: &FieldPath, container: &InitContainer) -> Vec<InvalidField> {
        let ours = [TMP_PATH, CA_PATH, version_file::DIRECTORY];
        let ours: Vec<&str> = ours.into_iter().filter(|path| self.mounted.contains(path)).collect();
        let mut problems = self.mounts(path, &container.volume_mounts, &ours);
        if container.restart_policy.is_none() && !(container.probes.is_empty() && container.ports.is_empty()) {
            let why = "only sidecars have ports and probes: write restartPolicy: Always, or remove them";
            problems.push(path.problem(why));
        }
        let first_port = container.ports.first().map(|port| port.container_port);
        let probes = path.items("probes", &container.probes);
        problems.extend(probes.filter_map(|(path, probe)| unusable(&path, probe, first_port, false)));
        problems
    }

    /// Ports of sidecars whose name or number another port of the pod has.
    fn sidecar_ports(&self) -> Vec<InvalidField> {
        let of_sidecars = self.init_containers().flat_map(|(path, of)| {
            path.items("ports", &of.ports).map(|(path, port)| Port {
                sidecar: Some((path, &of.name)),
                name: &port.name,
                number: port.container_port,
            })
        });
        let ours = self.ports.iter().map(|(name, number)| Port { sidecar: None, name, number: *number });
        let ports: Vec<Port<'_>> = ours.chain(of_sidecars).collect();
        let problem = |(index, port): (usize, &Port<'_>)| {
            let (path, _) = port.sidecar.as_ref()?;
            let before = |is_same: &dyn Fn(&Port<'_>) -> bool| {
                let owner = ports[..index].iter().find(|before| is_same(before))?.sidecar.as_ref();
                Some(owner.map_or_else(|| "the main container".to_owned(), |(_, name)| format!("{name:?}")))
            };
            let Port { name, number, .. } = port;
            if [HTTP, METRICS].contains(name) {
                let why = format!("{name:?} is a port of the operator: choose another name");
                Some(path.field("name").problem(why))
            } else if let Some(owner) = before(&|before| before.name == *name) {
                Some(path.field("name").problem(format!("{name:?} is also a port of {owner}: choose another name")))
            } else {
                let owner = before(&|before| before.number == *number)?;
                let why = format!("{number} is also a port of {owner}: choose another");
                Some(path.field("containerPort").problem(why))
            }
        };
        ports.iter().enumerate().filter_map(problem).collect()
    }

    fn probes(&self) -> Vec<InvalidField> {
        let probes = || self.path.items("probes", &self.pod.probes);
        let mut problems: Vec<InvalidField> =
            probes().filter_map(|(path, probe)| unusable(&path, probe, self.port(), self.is_serving)).collect();
        let readiness = probes().filter(|(_, probe)| self.is_training && probe.type_ == ProbeType::Readiness);
        let why = "nothing waits for a trainer to be ready: remove the probe of type Readiness";
        problems.extend(readiness.map(|(path, _)| path.problem(why)));
        problems
    }

    fn pre_stop(&self) -> Option<InvalidField> {
        let hook = self.pod.pre_stop.as_ref()?;
        let path = self.path.field("preStop");
        if hook.path.is_some() && hook.port.is_none() && self.ports.is_empty() {
            return Some(path.problem("the container has no port: set port"));
        }
        if hook.port.is_some() && hook.path.is_none() {
            return Some(path.field("port").problem("it is that of an HTTP request: remove it, or set path"));
        }
        let (sleep, (grace, field)) = (hook.sleep_seconds?, self.grace.as_ref()?);
        let (of, raise) = match field {
            Some(field) => (format!(" of {field}"), format!(", or raise {field}")),
            None => (" that a trainer has".into(), String::new()),
        };
        (sleep >= *grace).then(|| {
            path.field("sleepSeconds").problem(format!(
                "a sleep of {sleep} s leaves nothing of the {grace} s{of} until the container is killed: write less{raise}"
            ))
        })
    }
}

/// Why a volume cannot be mounted in a container with these paths of the operator.
fn over_ours(mount: &VolumeMount, ours: &[&str]) -> Option<String> {
    let path = mount.mount_path.trim_end_matches('/');
    let is_below = |of: &str| CLOSED.contains(&of) && path.strip_prefix(of).is_some_and(|rest| rest.starts_with('/'));
    let of = ours.iter().find(|of| path == **of || is_below(of))?;
    let what = if path == *of { path.to_owned() } else { format!("{path} is below {of}, which") };
    Some(format!("{what} is the operator's: mount the volume elsewhere"))
}

/// Why a probe cannot be made. `port`: that of the container; `has_default`: whether it may only change one of ours.
fn unusable(path: &FieldPath, probe: &Probe, port: Option<i32>, has_default: bool) -> Option<InvalidField> {
    let needs_port = probe.path.is_some() || probe.grpc_service.is_some();
    let is_repeated = probe.success_threshold.is_some_and(|times| times != 1);
    if !probe.has_action() && !has_default {
        Some(path.problem("it does nothing: set path, exec, grpcService or port"))
    } else if !probe.exec.is_empty() && probe.port.is_some() {
        Some(path.field("port").problem("a command uses no port: remove port or exec"))
    } else if needs_port && probe.port.is_none() && port.is_none() {
        Some(path.problem("the container has no port: set port"))
    } else if is_repeated && probe.type_ != ProbeType::Readiness {
        let why = format!("a probe of type {:?} can only have 1: remove it", probe.type_);
        Some(path.field("successThreshold").problem(why))
    } else {
        None
    }
}
