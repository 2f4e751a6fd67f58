//! Resources and variables of containers that the API server would refuse only in the pod template of a child.

use std::collections::BTreeSet;

use k8s_openapi::apimachinery::pkg::api::resource::Quantity;

use super::{
    FieldPath, InvalidField,
    pod_values::{is_key, object_name},
};
use crate::{
    api::{Divisor, EnvVar, OptionalKeyReference, Pod, RecommenderModelSpec, ResourceField, Resources, Training},
    cores,
};

/// The number of a trainer among those of its run, which Kubernetes sets.
const INDEX_VARIABLE: &str = "JOB_COMPLETION_INDEX";
/// Resources of a container without a domain in their names, beside huge pages.
const RESOURCES: [&str; 3] = ["cpu", "memory", "ephemeral-storage"];
/// How the names of resources of huge pages begin. The size of a page follows.
const HUGE_PAGES: &str = "hugepages-";
/// Fields of a pod that a variable can have. Labels and annotations need a key in brackets.
const FIELDS: [&str; 9] = [
    "metadata.name",
    "metadata.namespace",
    "metadata.uid",
    "spec.nodeName",
    "spec.serviceAccountName",
    "status.hostIP",
    "status.hostIPs",
    "status.podIP",
    "status.podIPs",
];

/// The problems of all containers.
pub fn problems(spec: &RecommenderModelSpec) -> Vec<InvalidField> {
    let (training, serving) = (&spec.training, &spec.serving);
    let at = |name: &str| FieldPath::spec().field(name);
    let workers = FieldPath::spec().items("workers", &spec.workers);
    let of_workers = workers.flat_map(|(path, of)| of_part(&path, of.resources.as_ref(), &of.env, &of.pod));
    of_part(&at("training"), training.resources.as_ref(), &training.env, &training.pod)
        .into_iter()
        .chain(
            spec.training
                .partial
                .iter()
                .flat_map(|of| of_container(&at("training.partial"), of.resources.as_ref(), &[])),
        )
        .chain(of_part(&at("serving"), serving.resources.as_ref(), &serving.env, &serving.pod))
        .chain(of_workers)
        .chain(index(training))
        .collect()
}

/// The number of a trainer, set by the user.
fn index(training: &Training) -> Option<InvalidField> {
    training.trainers()?;
    let env = FieldPath::spec().field("training").items("env", &training.env);
    let (path, _) = env.into_iter().find(|(_, variable)| variable.name == INDEX_VARIABLE)?;
    Some(
        path.field("name").problem(format!(
            "{INDEX_VARIABLE} is the number of a trainer, which Kubernetes sets: choose another name"
        )),
    )
}

fn of_part(path: &FieldPath, resources: Option<&Resources>, env: &[EnvVar], pod: &Pod) -> Vec<InvalidField> {
    let init = path.items("pod.initContainers", &pod.init_containers);
    let init = init.flat_map(|(path, container)| of_container(&path, container.resources.as_ref(), &container.env));
    of_container(path, resources, env).into_iter().chain(init).collect()
}

fn of_container(path: &FieldPath, resources: Option<&Resources>, env: &[EnvVar]) -> Vec<InvalidField> {
    let resources = resources.map(|resources| self::resources(&path.field("resources"), resources));
    let env = path.items("env", env).filter_map(|(path, of)| variable(&path.field("valueFrom"), of));
    resources.unwrap_or_default().into_iter().chain(env).collect()
}

fn resources(path: &FieldPath, resources: &Resources) -> Vec<InvalidField> {
    let names: BTreeSet<&String> = resources.limits.keys().chain(resources.requests.keys()).collect();
    let alone = names.iter().find(|name| name.starts_with(HUGE_PAGES));
    let alone = alone.filter(|_| !names.iter().any(|name| ["cpu", "memory"].contains(&name.as_str())));
    let alone = alone
        .map(|name| entry(path, resources, name).problem("huge pages need cpu or memory beside them: set one of them"));
    names.iter().filter_map(|name| resource(path, resources, name)).chain(alone).collect()
}

/// The entry of a resource: that of the limits if there is one.
fn entry(path: &FieldPath, resources: &Resources, name: &str) -> FieldPath {
    path.field(if resources.limits.contains_key(name) { "limits" } else { "requests" }).key(name)
}

/// Devices, such as GPUs, and huge pages cannot be shared or overcommitted: Kubernetes takes the same amount in both maps, and
/// whole numbers of devices.
fn resource(path: &FieldPath, resources: &Resources, name: &str) -> Option<InvalidField> {
    let is_huge = name.starts_with(HUGE_PAGES);
    if !RESOURCES.contains(&name) && !(is_key(name) && (is_huge || name.contains('/'))) {
        return Some(entry(path, resources, name).problem(
            "that is no name of a resource: write cpu, memory, ephemeral-storage, hugepages-2Mi, or one with a domain such as \
             nvidia.com/gpu",
        ));
    }
    let is_device = name.contains('/') && !name.starts_with("kubernetes.io/");
    let (request, limit) = (resources.requests.get(name), resources.limits.get(name));
    let is_whole = |Quantity(amount): &Quantity| amount.parse::<u64>().is_ok();
    let is_right =
        (!is_device || request.into_iter().chain(limit).all(is_whole)) && (request.is_none() || request == limit);
    let what = if is_device { "a whole number" } else { "the amount" };
    if !is_right && (is_device || is_huge) {
        let message = format!("write {what} in limits, and the same or nothing in requests");
        return Some(entry(path, resources, name).problem(message));
    }
    let why = above_limit(name, &request?.0, &limit?.0)?;
    Some(path.field("requests").key(name).problem(why))
}

/// Relative difference of equal quantities that are written differently, such as 0.3 and 300m, as floats.
const ROUNDING: f64 = 1e-12;

fn above_limit(name: &str, request: &str, limit: &str) -> Option<String> {
    let is_above = cores::amount(request)? > cores::amount(limit)? * (1.0 + ROUNDING);
    is_above.then(|| format!("{request} is above limits.{name}, {limit}: write at most {limit}, or a higher limit"))
}

/// `path`: that of `valueFrom`.
fn variable(path: &FieldPath, variable: &EnvVar) -> Option<InvalidField> {
    let source = variable.value_from.as_ref()?;
    if let Some(field) = source.field_ref.as_ref().map(|of| of.field_path.as_str()) {
        let with_key = ["metadata.labels['", "metadata.annotations['"].iter().any(|begin| field.starts_with(begin));
        let is_known = FIELDS.contains(&field) || with_key && field.ends_with("']");
        return (!is_known).then(|| {
            path.field("fieldRef.fieldPath").problem(format!(
                "{field:?} is no field that a variable can have: write one of {}, or metadata.labels['KEY']",
                FIELDS.join(", ")
            ))
        });
    }
    let keys = [("secretKeyRef.name", &source.secret_key_ref), ("configMapKeyRef.name", &source.config_map_key_ref)];
    let name =
        |(field, key): (&str, &Option<OptionalKeyReference>)| object_name(&path.field(field), &key.as_ref()?.name);
    keys.into_iter().find_map(name).or_else(|| {
        let reference = source.resource_field_ref.as_ref()?;
        let is_cpu = matches!(reference.resource, ResourceField::CpuLimit | ResourceField::CpuRequest);
        let why = match reference.divisor? {
            Divisor::Milli if !is_cpu => "memory has no thousandths: write 1Mi, or another of bytes",
            Divisor::Kibi | Divisor::Mebi | Divisor::Gibi if is_cpu => "CPUs are not counted in bytes: write 1 or 1m",
            _ => return None,
        };
        Some(path.field("resourceFieldRef.divisor").problem(why))
    })
}
