//! The fields that remedies name. The only place with their paths.

/// The part of the spec that a pod comes from.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum Part {
    /// A training run.
    Training,
    /// The servers.
    Serving,
    /// A worker.
    Worker,
}

impl Part {
    /// Of a pod's component label.
    pub fn of(component: &str) -> Self {
        match component {
            "training" => Self::Training,
            "serving" => Self::Serving,
            _ => Self::Worker,
        }
    }

    const fn path(self) -> &'static str {
        match self {
            Self::Training => "spec.training",
            Self::Serving => "spec.serving",
            Self::Worker => "spec.workers[]",
        }
    }
}

/// Names in remedies, and paths. A path with a leading dot is below the part of the spec that the pod comes from.
const FIELDS: &[(&str, &str)] = &[
    ("Image", ".image"),
    ("Env", ".env"),
    ("Args", ".args"),
    ("Command", ".command"),
    ("Requests", ".resources.requests"),
    ("Limits", ".resources.limits"),
    ("Resources", ".resources"),
    ("Port", ".port"),
    ("Probes", ".probes"),
    ("ProbePath", ".probes.path"),
    ("ProbeTimeout", ".probes.timeoutSeconds"),
    ("StartupSeconds", ".probes.startupSeconds"),
    ("Strategy", "spec.serving.strategy"),
    ("PullSecrets", "spec.imagePullSecrets"),
    ("PullPolicy", ".pod.imagePullPolicy"),
    ("Labels", ".pod.labels"),
    ("Annotations", ".pod.annotations"),
    ("NodeSelector", ".pod.nodeSelector"),
    ("Tolerations", ".pod.tolerations"),
    ("Affinity", ".pod.affinity"),
    ("Spread", ".pod.topologySpreadConstraints"),
    ("PriorityClass", ".pod.priorityClassName"),
    ("RuntimeClass", ".pod.runtimeClassName"),
    ("Account", ".pod.serviceAccountName"),
    ("Security", ".pod.securityContext"),
    ("User", ".pod.securityContext.runAsUser"),
    ("FsGroup", ".pod.securityContext.fsGroup"),
    ("WritableRoot", ".pod.securityContext.readOnlyRootFilesystem"),
    ("Volumes", ".pod.volumes"),
    ("VolumeMounts", ".pod.volumeMounts"),
    ("TmpSize", ".pod.tmp.sizeLimit"),
    ("Artifacts", "spec.artifacts"),
    ("Claim", "spec.artifacts.persistentVolumeClaim.claimName"),
    ("S3", "spec.artifacts.s3"),
    ("S3Secret", "spec.artifacts.s3.credentialsSecret"),
    ("Deadline", "spec.training.full.deadlineSeconds"),
];

/// Fields that are elsewhere in a part of the spec.
const ELSEWHERE: &[(&str, Part, &str)] = &[
    ("Args", Part::Training, ".full.args"),
    ("Command", Part::Training, ".full.command"),
    ("Probes", Part::Training, ".pod.probes"),
    ("ProbePath", Part::Training, ".pod.probes"),
    ("ProbeTimeout", Part::Training, ".pod.probes"),
    ("StartupSeconds", Part::Training, ".pod.probes"),
    ("Port", Part::Training, ".pod.probes"),
    ("Probes", Part::Worker, ".pod.probes"),
    ("ProbePath", Part::Worker, ".pod.probes"),
    ("ProbeTimeout", Part::Worker, ".pod.probes"),
    ("StartupSeconds", Part::Worker, ".pod.probes"),
    ("Port", Part::Worker, ".pod.probes"),
];

/// The path of a field.
pub fn field(name: &str, part: Part) -> Option<String> {
    let elsewhere = ELSEWHERE.iter().find(|(of, within, _)| *of == name && *within == part).map(|(.., path)| *path);
    let path = elsewhere.or_else(|| FIELDS.iter().find(|(of, _)| *of == name).map(|(_, path)| *path))?;
    Some(if path.starts_with('.') { format!("{}{path}", part.path()) } else { path.to_owned() })
}

#[cfg(test)]
mod tests {
    use serde_json::Value;

    use super::*;
    use crate::api::crd;

    fn exists(path: &str, schema: &Value) -> bool {
        let mut schema = schema;
        for name in path.split('.') {
            let (name, is_list) = name.strip_suffix("[]").map_or((name, false), |name| (name, true));
            schema = &schema["properties"][name];
            schema = if is_list { &schema["items"] } else { schema };
        }
        !schema.is_null()
    }

    #[test]
    fn every_field_that_a_remedy_names_is_a_field_of_the_object() {
        let schema = crd::schema();
        for (name, _) in FIELDS {
            for part in [Part::Training, Part::Serving, Part::Worker] {
                let path = field(name, part).expect("it is in the table");
                assert!(exists(&path, &schema), "{path}");
            }
        }
    }
}
