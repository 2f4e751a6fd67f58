//! The fields that remedies name. The only place with their paths.

use crate::api::TrainingKind;

/// The part of the spec that a pod comes from.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum Part {
    /// A full training run.
    Training,
    /// A partial training run.
    PartialTraining,
    /// The servers.
    Serving,
    /// A worker.
    Worker,
}

impl Part {
    /// Of a pod's component label.
    pub fn of(component: &str) -> Self {
        match component {
            "training" | "prune" => Self::Training,
            "serving" | "canary" => Self::Serving,
            _ => Self::Worker,
        }
    }

    /// Of a pod's labels: its component and its version.
    pub fn of_pod(component: &str, version: &str) -> Self {
        match Self::of(component) {
            Self::Training if TrainingKind::of_version(version) == TrainingKind::Partial => Self::PartialTraining,
            part => part,
        }
    }

    const fn path(self) -> &'static str {
        match self {
            Self::Training | Self::PartialTraining => "spec.training",
            Self::Serving => "spec.serving",
            Self::Worker => "spec.workers[]",
        }
    }
}

/// Names in remedies, and paths. A path with a leading dot is below the part of the spec that the pod comes from.
const FIELDS: &[(&str, &str)] = &[
    ("Image", ".image"),
    ("Env", ".env"),
    ("EnvFrom", ".pod.envFrom"),
    ("Args", ".args"),
    ("Command", ".command"),
    ("Requests", ".resources.requests"),
    ("Limits", ".resources.limits"),
    ("Resources", ".resources"),
    ("Port", ".port"),
    ("Probes", ".probes"),
    ("ProbeEntry", ".pod.probes"),
    ("ProbePath", ".probes.path"),
    ("ProbeTimeout", ".probes.timeoutSeconds"),
    ("StartupSeconds", ".probes.startupSeconds"),
    ("MaxSurge", "spec.serving.strategy.maxSurge"),
    ("PullSecrets", "spec.imagePullSecrets"),
    ("PullPolicy", ".pod.imagePullPolicy"),
    ("Labels", ".pod.labels"),
    ("Annotations", ".pod.annotations"),
    ("NodeSelector", ".pod.nodeSelector"),
    ("Tolerations", ".pod.tolerations"),
    ("Affinity", ".pod.affinity"),
    ("Spread", ".pod.topologySpreadConstraints"),
    ("PriorityClass", ".pod.priorityClassName"),
    ("Scheduler", ".pod.schedulerName"),
    ("RuntimeClass", ".pod.runtimeClassName"),
    ("Account", ".pod.serviceAccountName"),
    ("Security", ".pod.securityContext"),
    ("User", ".pod.securityContext.runAsUser"),
    ("FsGroup", ".pod.securityContext.fsGroup"),
    ("OmitFsGroup", ".pod.securityContext.omitFsGroup"),
    ("WritableRoot", ".pod.securityContext.readOnlyRootFilesystem"),
    ("Volumes", ".pod.volumes"),
    ("Mounts", ".pod.volumeMounts"),
    ("TmpSize", ".pod.tmp.sizeLimit"),
    ("Artifacts", "spec.artifacts"),
    ("Claim", "spec.artifacts.persistentVolumeClaim.claimName"),
    ("S3", "spec.artifacts.s3"),
    ("S3Secret", "spec.artifacts.s3.credentialsSecret"),
    ("Deadline", "spec.training.full.deadlineSeconds"),
];

/// Fields of a training run that are not where those of the servers are.
const OF_TRAINING: &[(&str, &str)] = &[("Args", ".full.args"), ("Command", ".full.command")];
/// Fields of a partial training run that are not where those of a full one are.
const OF_PARTIAL: &[(&str, &str)] = &[
    ("Args", ".partial.args"),
    ("Command", ".partial.command"),
    ("Deadline", ".partial.deadlineSeconds"),
    ("Image", ".partial.image"),
    ("Requests", ".partial.resources.requests"),
    ("Limits", ".partial.resources.limits"),
    ("Resources", ".partial.resources"),
];
/// Fields of trainers and workers, which have no probes unless the user adds some.
const OF_OTHERS: &[(&str, &str)] = &[
    ("Port", ".pod.probes"),
    ("Probes", ".pod.probes"),
    ("ProbePath", ".pod.probes"),
    ("ProbeTimeout", ".pod.probes"),
    ("StartupSeconds", ".pod.probes"),
];

/// Fields of init containers and sidecars. They share the others with the pod.
const OF_INIT: &[(&str, &str)] = &[
    ("Image", ".pod.initContainers[].image"),
    ("Env", ".pod.initContainers[].env"),
    ("EnvFrom", ".pod.initContainers[].envFrom"),
    ("Args", ".pod.initContainers[].args"),
    ("Command", ".pod.initContainers[].command"),
    ("Requests", ".pod.initContainers[].resources.requests"),
    ("Limits", ".pod.initContainers[].resources.limits"),
    ("Resources", ".pod.initContainers[].resources"),
    ("Port", ".pod.initContainers[].ports"),
    ("Probes", ".pod.initContainers[].probes"),
    ("ProbeEntry", ".pod.initContainers[].probes"),
    ("ProbePath", ".pod.initContainers[].probes"),
    ("ProbeTimeout", ".pod.initContainers[].probes"),
    ("StartupSeconds", ".pod.initContainers[].probes"),
    ("PullPolicy", ".pod.initContainers[].imagePullPolicy"),
    ("Mounts", ".pod.initContainers[].volumeMounts"),
];

/// All paths of a part of the spec, for tests.
#[cfg(test)]
pub fn paths(part: Part) -> impl Iterator<Item = String> {
    let own = FIELDS.iter().filter_map(move |(name, _)| field(name, part));
    own.chain(OF_INIT.iter().filter_map(move |(name, _)| field_of_init(name, part)))
}

/// The path of a field.
pub fn field(name: &str, part: Part) -> Option<String> {
    let own = match part {
        Part::Training => OF_TRAINING,
        Part::PartialTraining => OF_PARTIAL,
        Part::Serving | Part::Worker => &[],
    };
    let others = OF_OTHERS.iter().filter(|_| part != Part::Serving);
    path(own.iter().chain(others).chain(FIELDS), name, part)
}

/// The path of a field of an init container or a sidecar.
pub fn field_of_init(name: &str, part: Part) -> Option<String> {
    path(OF_INIT.iter(), name, part).or_else(|| field(name, part))
}

/// The path of the first row with this name.
fn path(rows: impl Iterator<Item = &'static (&'static str, &'static str)>, name: &str, part: Part) -> Option<String> {
    let (_, path) = rows.into_iter().find(|(of, _)| *of == name)?;
    Some(if path.starts_with('.') { format!("{}{path}", part.path()) } else { (*path).to_owned() })
}
