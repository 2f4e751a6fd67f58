//! Values in the settings of pods that the API server would refuse only in the pod template of a child, where their rule would
//! be in the schema a dozen times.

use super::{FieldPath, InvalidField};
use crate::api::{
    Affinity, EnvFrom, NodeExpression, NodeOperator, Pod, PodTerm, Volume, VolumeMount, WhenUnsatisfiable,
};

/// What to write instead of an invalid name of an object.
const OBJECT_NAME: &str = "write lower case letters, digits, and between them - and single .";
/// What to write instead of an invalid value of a label.
const LABEL_VALUE: &str = "write letters, digits, -, _ and .";
/// What to write instead of an invalid path below a volume.
const BELOW: &str = "write a path without / at its beginning and without ..";
/// Directories that the container runtime fills, whether nothing can be mounted below them either, and why.
const OF_THE_RUNTIME: [(&str, bool, &str); 3] = [
    ("/dev", false, "would hide the devices of the container: mount the volume below it, as in /dev/shm, or elsewhere"),
    ("/proc", true, "is where the kernel shows processes: mount the volume elsewhere"),
    ("/sys", true, "is where the kernel shows devices: mount the volume elsewhere"),
];

/// The problems of the values of a pod. `path`: that of `pod`.
pub fn problems(path: &FieldPath, pod: &Pod) -> Vec<InvalidField> {
    let mut problems: Vec<InvalidField> = keys(path, pod).into_iter().chain(affinity(path, pod)).collect();
    problems.extend(tolerations(path, pod));
    problems.extend(repeated_spread(path, pod));
    let names = [
        ("priorityClassName", &pod.priority_class_name),
        ("runtimeClassName", &pod.runtime_class_name),
        ("serviceAccountName", &pod.service_account_name),
    ];
    problems.extend(names.into_iter().filter_map(|(field, name)| object_name(&path.field(field), name.as_deref()?)));
    problems.extend(path.items("volumes", &pod.volumes).filter_map(|(path, of)| volume(&path, of)));
    problems.extend(of_container(path, &pod.env_from, pod.working_dir.as_deref(), &pod.volume_mounts));
    let init = || path.items("initContainers", &pod.init_containers);
    problems.extend(
        init().flat_map(|(path, of)| of_container(&path, &of.env_from, of.working_dir.as_deref(), &of.volume_mounts)),
    );
    let probes = init().flat_map(|(path, of)| path.items("probes", &of.probes).collect::<Vec<_>>());
    let headers = probes.chain(path.items("probes", &pod.probes)).flat_map(|(path, probe)| {
        let names = path.items("httpHeaders", &probe.http_headers).filter(|(_, header)| !is_header(&header.name));
        names.collect::<Vec<_>>()
    });
    problems.extend(headers.map(|(path, header)| {
        let why = format!("{:?} is no name of a header: write letters, digits and -, as in X-Probe", header.name);
        path.field("name").problem(why)
    }));
    problems
}

/// Keys of labels that cannot exist.
fn keys(path: &FieldPath, pod: &Pod) -> Vec<InvalidField> {
    let tolerations = path.items("tolerations", &pod.tolerations);
    let tolerations = tolerations.filter_map(|(path, of)| Some((path.field("key"), of.key.as_ref()?)));
    let nodes = expressions(path, pod).into_iter().map(|(path, of)| (path.field("key"), &of.key));
    let pods = terms(path, pod).into_iter().flat_map(|(path, of)| {
        let labels = of.match_labels.keys().map(|key| (path.field("matchLabels"), key));
        [(path.field("topologyKey"), &of.topology_key)].into_iter().chain(labels).collect::<Vec<_>>()
    });
    let spreads =
        path.items("topologySpreadConstraints", pod.topology_spread_constraints.as_deref().unwrap_or_default());
    let spreads = spreads.map(|(path, of)| (path.field("topologyKey"), &of.topology_key));
    let keys = tolerations.chain(nodes).chain(pods).chain(spreads).filter(|(_, key)| !is_key(key));
    let wrong = |(path, key): (FieldPath, &String)| {
        path.problem(format!("{key:?} is no key of a label: write a key like dedicated or example.org/zone"))
    };
    keys.map(wrong).collect()
}

fn expressions<'a>(path: &FieldPath, pod: &'a Pod) -> Vec<(FieldPath, &'a NodeExpression)> {
    let affinity = pod.affinity.iter();
    let terms = affinity.flat_map(|of| path.items("affinity.node", &of.node));
    terms.flat_map(|(path, term)| path.items("matchExpressions", &term.match_expressions)).collect()
}

fn terms<'a>(path: &FieldPath, pod: &'a Pod) -> Vec<(FieldPath, &'a PodTerm)> {
    let of = |of: &'a Affinity| path.items("affinity.pod", &of.pod).chain(path.items("affinity.antiPod", &of.anti_pod));
    pod.affinity.iter().flat_map(of).collect()
}

fn affinity(path: &FieldPath, pod: &Pod) -> Vec<InvalidField> {
    let of_node = expressions(path, pod).into_iter().filter_map(|(path, of)| {
        let is_number = |value: &String| value.parse::<i64>().is_ok();
        let why = match of.operator {
            NodeOperator::Gt | NodeOperator::Lt if of.values.len() != 1 || !of.values.iter().all(is_number) => {
                format!("{:?} compares with one whole number: write one value", of.operator)
            }
            _ => {
                let wrong = of.values.iter().find(|value| !is_label_value(value))?;
                format!("no label has the value {wrong:?}: {LABEL_VALUE}")
            }
        };
        Some(path.field("values").problem(why))
    });
    let of_pods = terms(path, pod).into_iter().flat_map(|(path, term)| {
        let wrong = term.match_labels.iter().filter(|(_, value)| !is_label_value(value));
        let wrong = wrong.map(move |(key, value)| (path.field("matchLabels").key(key), value));
        wrong.map(|(path, value)| path.problem(format!("no label has the value {value:?}: {LABEL_VALUE}")))
    });
    of_node.chain(of_pods).collect()
}

fn tolerations(path: &FieldPath, pod: &Pod) -> Vec<InvalidField> {
    let wrong = path.items("tolerations", &pod.tolerations).filter_map(|(path, of)| {
        let value = of.value.as_ref().filter(|value| !is_label_value(value))?;
        Some(path.field("value").problem(format!("no taint has the value {value:?}: {LABEL_VALUE}")))
    });
    wrong.collect()
}

fn repeated_spread(path: &FieldPath, pod: &Pod) -> Option<InvalidField> {
    let when = |asked: Option<WhenUnsatisfiable>| asked.unwrap_or(WhenUnsatisfiable::ScheduleAnyway);
    let spreads = pod.topology_spread_constraints.iter().flatten();
    let spreads: Vec<_> = spreads.map(|of| (&of.topology_key, when(of.when_unsatisfiable))).collect();
    let (index, (topology, when)) = spreads.iter().enumerate().find(|(index, of)| spreads[..*index].contains(of))?;
    let why = format!("{topology:?} with {when:?} is there twice: remove one");
    Some(path.field("topologySpreadConstraints").item(index).problem(why))
}

fn volume(path: &FieldPath, volume: &Volume) -> Option<InvalidField> {
    let csi = volume.csi.as_ref();
    let claim = volume.persistent_volume_claim.as_ref();
    let names = [
        ("configMap.name", volume.config_map.as_ref().map(|of| &of.name)),
        ("secret.secretName", volume.secret.as_ref().map(|of| &of.secret_name)),
        ("persistentVolumeClaim.claimName", claim.map(|of| &of.claim_name)),
        ("ephemeral.storageClassName", volume.ephemeral.as_ref().and_then(|of| of.storage_class_name.as_ref())),
        ("csi.driver", csi.map(|of| &of.driver)),
        ("csi.nodePublishSecretRef.name", csi.and_then(|of| of.node_publish_secret_ref.as_ref()).map(|of| &of.name)),
    ];
    let mut names = names.into_iter().filter_map(|(field, name)| object_name(&path.field(field), name?));
    let sources = volume.projected.iter().flat_map(|of| path.items("projected.sources", &of.sources));
    let mut of_sources = sources.filter_map(|(path, source)| {
        let references = [("configMap.name", &source.config_map), ("secret.name", &source.secret)];
        let mut names =
            references.into_iter().filter_map(|(field, of)| object_name(&path.field(field), &of.as_ref()?.name));
        let token = source.service_account_token.as_ref().map(|token| &token.path).filter(|path| !is_below(path));
        let token = token.map(|below| {
            path.field("serviceAccountToken.path").problem(format!("{below:?} leaves the volume: {BELOW}"))
        });
        names.next().or(token)
    });
    names.next().or_else(|| of_sources.next())
}

fn of_container(
    path: &FieldPath,
    env_from: &[EnvFrom],
    working_dir: Option<&str>,
    mounts: &[VolumeMount],
) -> Vec<InvalidField> {
    let mut problems = Vec::new();
    for (path, source) in path.items("envFrom", env_from) {
        let references = [("configMapRef.name", &source.config_map_ref), ("secretRef.name", &source.secret_ref)];
        problems.extend(
            references.into_iter().filter_map(|(field, of)| object_name(&path.field(field), &of.as_ref()?.name)),
        );
        let prefix = source.prefix.as_ref().filter(|prefix| !is_variable(prefix));
        problems.extend(prefix.map(|prefix| {
            let why = "is no prefix of a variable: write letters, digits and _, first a letter or _";
            path.field("prefix").problem(format!("{prefix:?} {why}"))
        }));
    }
    let relative = working_dir.filter(|path| !path.starts_with('/'));
    problems.extend(relative.map(|dir| {
        path.field("workingDir").problem(format!("{dir:?} is no absolute path: write one that starts with /"))
    }));
    problems.extend(self::mounts(path, mounts));
    problems
}

fn mounts(path: &FieldPath, mounts: &[VolumeMount]) -> Vec<InvalidField> {
    let trimmed = |mount: &VolumeMount| mount.mount_path.trim_end_matches('/').to_owned();
    let is_repeated = |index: usize| mounts[..index].iter().any(|before| trimmed(before) == trimmed(&mounts[index]));
    let problem = |(index, (path, mount)): (usize, (FieldPath, &VolumeMount))| {
        if let Some(below) = mount.sub_path.as_ref().filter(|below| !is_below(below)) {
            return Some(path.field("subPath").problem(format!("{below:?} leaves the volume: {BELOW}")));
        }
        let parts = || mount.mount_path.trim_end_matches('/').split('/').skip(1);
        let why = if mount.mount_path.starts_with('/') && trimmed(mount).is_empty() {
            "would hide the whole image: mount the volume below a directory"
        } else if parts().any(|part| ["", ".", ".."].contains(&part)) {
            "is another path than it seems: write it without //, . and .."
        } else if is_repeated(index) {
            "is mounted twice: mount one of them elsewhere"
        } else {
            let (.., why) = OF_THE_RUNTIME.iter().find(|(of, with_below, _)| {
                let below = mount.mount_path.strip_prefix(of);
                below.is_some_and(|rest| rest.trim_end_matches('/').is_empty() || *with_below && rest.starts_with('/'))
            })?;
            why
        };
        Some(path.field("mountPath").problem(format!("{:?} {why}", mount.mount_path)))
    };
    path.items("volumeMounts", mounts).enumerate().filter_map(problem).collect()
}

/// Why an object or class cannot have this name.
pub fn object_name(path: &FieldPath, name: &str) -> Option<InvalidField> {
    (!is_subdomain(name)).then(|| path.problem(format!("{name:?} is no name: {OBJECT_NAME}")))
}

/// Whether a name is a DNS subdomain: labels with dots between them.
fn is_subdomain(name: &str) -> bool {
    name.len() <= 253 && name.split('.').all(is_label)
}

/// Whether a name is a DNS label.
pub fn is_label(name: &str) -> bool {
    let is_end = |c: Option<char>| c.is_some_and(|c| c.is_ascii_lowercase() || c.is_ascii_digit());
    is_end(name.chars().next())
        && is_end(name.chars().next_back())
        && name.chars().all(|c| c.is_ascii_lowercase() || c.is_ascii_digit() || c == '-')
}

/// Whether a name is one of a port: at most 15 characters, with a letter, and without two hyphens in a row.
pub fn is_port_name(name: &str) -> bool {
    is_label(name) && name.len() <= 15 && name.contains(|c: char| c.is_ascii_lowercase()) && !name.contains("--")
}

/// Whether a label of a node or pod can have this key, or a resource of devices this name.
pub fn is_key(key: &str) -> bool {
    match key.split_once('/') {
        Some((domain, name)) => is_subdomain(domain) && is_qualified(name, 63),
        None => is_qualified(key, 63),
    }
}

fn is_label_value(value: &str) -> bool {
    value.is_empty() || is_qualified(value, 63)
}

/// Letters, digits, `-`, `_` and `.`, with a letter or digit at both ends.
fn is_qualified(name: &str, max: usize) -> bool {
    (1..=max).contains(&name.len())
        && name.starts_with(|c: char| c.is_ascii_alphanumeric())
        && name.ends_with(|c: char| c.is_ascii_alphanumeric())
        && name.chars().all(|c| c.is_ascii_alphanumeric() || "-_.".contains(c))
}

/// Whether a path stays below where it begins.
fn is_below(path: &str) -> bool {
    !path.starts_with('/') && path.split('/').all(|part| part != "..")
}

fn is_variable(name: &str) -> bool {
    name.is_empty()
        || name.starts_with(|c: char| c.is_ascii_alphabetic() || c == '_')
            && name.chars().all(|c| c.is_ascii_alphanumeric() || "_.-".contains(c))
}

fn is_header(name: &str) -> bool {
    !name.is_empty() && name.chars().all(|c| c.is_ascii_alphanumeric() || c == '-')
}
