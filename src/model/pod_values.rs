//! Values in the settings of pods that the API server would refuse only in the pod template of a child, where their rule would
//! be in the schema a dozen times.

use crate::api::{
    EnvFrom, NodeExpression, NodeOperator, Pod, PodTerm, Toleration, Volume, VolumeMount, WhenUnsatisfiable,
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

/// The problems of the values of a pod, each with its field.
pub fn problems(pod: &Pod) -> Vec<String> {
    let mut problems: Vec<String> = keys(pod).into_iter().chain(affinity(pod)).collect();
    problems.extend(pod.tolerations.iter().filter_map(toleration));
    problems.extend(repeated_spread(pod));
    let names = [
        ("priorityClassName", &pod.priority_class_name),
        ("runtimeClassName", &pod.runtime_class_name),
        ("serviceAccountName", &pod.service_account_name),
    ];
    problems.extend(names.into_iter().filter_map(|(field, name)| object_name(field, name.as_deref()?)));
    problems.extend(pod.volumes.iter().filter_map(volume));
    let init = pod.init_containers.iter();
    problems.extend(of_container("", &pod.env_from, pod.working_dir.as_deref()));
    problems.extend(init.clone().flat_map(|of| {
        let container = format!("initContainers: {:?}: ", of.name);
        of_container(&container, &of.env_from, of.working_dir.as_deref())
    }));
    let mounts = init.clone().map(|of| (format!("initContainers: {:?}: ", of.name), &of.volume_mounts));
    let mounts: Vec<_> = [(String::new(), &pod.volume_mounts)].into_iter().chain(mounts).collect();
    problems.extend(mounts.into_iter().flat_map(|(of, mounts)| self::mounts(&of, mounts)));
    let prefixes = init.clone().flat_map(|of| &of.env_from).chain(&pod.env_from).filter_map(|of| of.prefix.as_ref());
    problems.extend(prefixes.filter(|prefix| !is_variable(prefix)).map(|prefix| {
        format!("envFrom: {prefix:?} is no prefix of a variable: write letters, digits and _, first a letter or _")
    }));
    let probes = init.flat_map(|of| &of.probes).chain(&pod.probes);
    let headers = probes.flat_map(|probe| &probe.http_headers).filter(|header| !is_header(&header.name));
    problems.extend(headers.map(|header| {
        format!("probes: {:?} is no name of a header: write letters, digits and -, as in X-Probe", header.name)
    }));
    problems
}

/// Keys of labels that cannot exist.
fn keys(pod: &Pod) -> Vec<String> {
    let keys = [
        ("tolerations", pod.tolerations.iter().filter_map(|of| of.key.as_ref()).cloned().collect::<Vec<_>>()),
        ("affinity.node", expressions(pod).map(|of| of.key.clone()).collect()),
        (
            "affinity",
            terms(pod).flat_map(|of| [&of.topology_key].into_iter().chain(of.match_labels.keys())).cloned().collect(),
        ),
        (
            "topologySpreadConstraints",
            pod.topology_spread_constraints.iter().flatten().map(|of| of.topology_key.clone()).collect(),
        ),
    ];
    let wrong = |(field, keys): (&str, Vec<String>)| {
        let wrong = keys.into_iter().find(|key| !is_key(key))?;
        Some(format!("{field}: {wrong:?} is no key of a label: write a key like dedicated or example.org/zone"))
    };
    keys.into_iter().filter_map(wrong).collect()
}

fn expressions(pod: &Pod) -> impl Iterator<Item = &NodeExpression> {
    pod.affinity.iter().flat_map(|of| &of.node).flat_map(|term| &term.match_expressions)
}

fn terms(pod: &Pod) -> impl Iterator<Item = &PodTerm> {
    pod.affinity.iter().flat_map(|of| of.pod.iter().chain(&of.anti_pod))
}

fn affinity(pod: &Pod) -> Vec<String> {
    let of_node = expressions(pod).filter_map(|of| {
        let is_number = |value: &String| value.parse::<i64>().is_ok();
        let why = match of.operator {
            NodeOperator::Gt | NodeOperator::Lt if of.values.len() != 1 || !of.values.iter().all(is_number) => {
                "compares with one whole number: write one value".to_owned()
            }
            _ => {
                let wrong = of.values.iter().find(|value| !is_label_value(value))?;
                format!("has the value {wrong:?}, which no label has: {LABEL_VALUE}")
            }
        };
        Some(format!("affinity.node: {:?} {:?} {why}", of.key, of.operator))
    });
    let of_pods = terms(pod).flat_map(|term| term.match_labels.values()).filter(|value| !is_label_value(value));
    of_node.chain(of_pods.map(|value| format!("affinity: no label has the value {value:?}: {LABEL_VALUE}"))).collect()
}

fn toleration(toleration: &Toleration) -> Option<String> {
    let wrong = toleration.value.as_ref().filter(|value| !is_label_value(value))?;
    Some(format!("tolerations: no taint has the value {wrong:?}: {LABEL_VALUE}"))
}

fn repeated_spread(pod: &Pod) -> Option<String> {
    let when = |asked: Option<WhenUnsatisfiable>| asked.unwrap_or(WhenUnsatisfiable::ScheduleAnyway);
    let spreads = pod.topology_spread_constraints.iter().flatten();
    let spreads: Vec<_> = spreads.map(|of| (&of.topology_key, when(of.when_unsatisfiable))).collect();
    let (_, (topology, when)) = spreads.iter().enumerate().find(|(index, of)| spreads[..*index].contains(of))?;
    Some(format!("topologySpreadConstraints: {topology:?} with {when:?} is there twice: remove one"))
}

fn volume(volume: &Volume) -> Option<String> {
    let of = |why: String| format!("volumes: {:?}: {why}", volume.name);
    let csi = volume.csi.as_ref();
    let names = [
        ("configMap.name", volume.config_map.as_ref().map(|of| &of.name)),
        ("secret.secretName", volume.secret.as_ref().map(|of| &of.secret_name)),
        ("claimName", volume.persistent_volume_claim.as_ref().map(|of| &of.claim_name)),
        ("storageClassName", volume.ephemeral.as_ref().and_then(|of| of.storage_class_name.as_ref())),
        ("driver", csi.map(|of| &of.driver)),
        ("nodePublishSecretRef.name", csi.and_then(|of| of.node_publish_secret_ref.as_ref()).map(|of| &of.name)),
    ];
    let sources = || volume.projected.iter().flat_map(|projected| &projected.sources);
    let of_sources = sources().flat_map(|source| {
        let references = [("configMap.name", &source.config_map), ("secret.name", &source.secret)];
        references.map(|(field, reference)| (field, reference.as_ref().map(|of| &of.name)))
    });
    let mut paths = sources().filter_map(|source| Some(&source.service_account_token.as_ref()?.path));
    let mut wrong_names = names.into_iter().chain(of_sources).filter_map(|(field, name)| object_name(field, name?));
    wrong_names
        .next()
        .or_else(|| paths.find(|path| !is_below(path)).map(|path| format!("path: {path:?} leaves the volume: {BELOW}")))
        .map(of)
}

/// `of`: the container, if it is not the main one.
fn of_container(of: &str, env_from: &[EnvFrom], working_dir: Option<&str>) -> Vec<String> {
    let references = env_from.iter().flat_map(|source| {
        [("envFrom: configMapRef.name", &source.config_map_ref), ("envFrom: secretRef.name", &source.secret_ref)]
    });
    let names = references.filter_map(|(field, reference)| object_name(field, &reference.as_ref()?.name));
    let relative = working_dir.filter(|path| !path.starts_with('/'));
    let relative =
        relative.map(|path| format!("workingDir: {path:?} is no absolute path: write one that starts with /"));
    names.chain(relative).map(|why| format!("{of}{why}")).collect()
}

/// `of`: the container, if it is not the main one.
fn mounts(of: &str, mounts: &[VolumeMount]) -> Vec<String> {
    let path = |mount: &VolumeMount| mount.mount_path.trim_end_matches('/').to_owned();
    let is_repeated = |index: usize| mounts[..index].iter().any(|before| path(before) == path(&mounts[index]));
    let problem = |(index, mount): (usize, &VolumeMount)| {
        let sub_path = mount.sub_path.as_ref().filter(|below| !is_below(below));
        if let Some(below) = sub_path {
            return Some(format!("{of}volumeMounts: the subPath {below:?} leaves the volume: {BELOW}"));
        }
        let parts = || mount.mount_path.trim_end_matches('/').split('/').skip(1);
        let why = if mount.mount_path.starts_with('/') && path(mount).is_empty() {
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
        Some(format!("{of}volumeMounts: {:?} {why}", mount.mount_path))
    };
    mounts.iter().enumerate().filter_map(problem).collect()
}

/// Why an object or class cannot have this name.
pub fn object_name(field: &str, name: &str) -> Option<String> {
    (!is_subdomain(name)).then(|| format!("{field}: {name:?} is no name: {OBJECT_NAME}"))
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
