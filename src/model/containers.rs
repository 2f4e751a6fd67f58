//! Resources and variables of containers that the API server would refuse only in the pod template of a child.

use std::collections::BTreeSet;

use k8s_openapi::apimachinery::pkg::api::resource::Quantity;

use super::{
    InvalidField,
    pod_values::{is_key, object_name},
};
use crate::{
    api::{Divisor, EnvVar, Pod, RecommenderModelSpec, ResourceField, Resources},
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
    let of_workers = spec.workers.iter().flat_map(|worker| {
        let of = format!("{:?}: ", worker.name);
        of_part("spec.workers", &of, worker.resources.as_ref(), &worker.env, &worker.pod)
    });
    let training = &spec.training;
    let index = training.trainers().is_some() && training.env.iter().any(|variable| variable.name == INDEX_VARIABLE);
    let index = index.then(|| InvalidField {
        field: "spec.training",
        message: format!(
            "env: {INDEX_VARIABLE} is the number of a trainer, which Kubernetes sets: choose another name"
        ),
    });
    of_part("spec.training", "", training.resources.as_ref(), &training.env, &training.pod)
        .into_iter()
        .chain(of_part("spec.serving", "", spec.serving.resources.as_ref(), &spec.serving.env, &spec.serving.pod))
        .chain(of_workers)
        .chain(index)
        .collect()
}

/// `of`: the worker, if it is one.
fn of_part(
    field: &'static str,
    of: &str,
    resources: Option<&Resources>,
    env: &[EnvVar],
    pod: &Pod,
) -> Vec<InvalidField> {
    let init = pod.init_containers.iter().flat_map(|container| {
        let messages = messages(container.resources.as_ref(), &container.env);
        messages.into_iter().map(move |message| format!("pod.initContainers: {:?}: {message}", container.name))
    });
    let messages = messages(resources, env).into_iter().chain(init);
    messages.map(|message| InvalidField { field, message: format!("{of}{message}") }).collect()
}

fn messages(resources: Option<&Resources>, env: &[EnvVar]) -> Vec<String> {
    let resources = resources.map(self::resources).unwrap_or_default();
    resources.into_iter().chain(env.iter().filter_map(variable)).collect()
}

fn resources(resources: &Resources) -> Vec<String> {
    let names: BTreeSet<&String> = resources.limits.keys().chain(resources.requests.keys()).collect();
    let alone = names.iter().find(|name| name.starts_with(HUGE_PAGES));
    let alone = alone.filter(|_| !names.iter().any(|name| ["cpu", "memory"].contains(&name.as_str())));
    let alone =
        alone.map(|name| format!("resources: {name}: huge pages need cpu or memory beside them: set one of them"));
    names.iter().filter_map(|name| resource(resources, name)).chain(alone).collect()
}

/// Devices, such as GPUs, and huge pages cannot be shared or overcommitted: Kubernetes takes the same amount in both maps, and
/// whole numbers of devices.
fn resource(resources: &Resources, name: &str) -> Option<String> {
    let is_huge = name.starts_with(HUGE_PAGES);
    if !RESOURCES.contains(&name) && !(is_key(name) && (is_huge || name.contains('/'))) {
        return Some(format!(
            "resources: {name:?} is no name: write cpu, memory, ephemeral-storage, hugepages-2Mi, or one with a domain such as \
             nvidia.com/gpu"
        ));
    }
    let is_device = name.contains('/') && !name.starts_with("kubernetes.io/");
    let (request, limit) = (resources.requests.get(name), resources.limits.get(name));
    let is_whole = |Quantity(amount): &Quantity| amount.parse::<u64>().is_ok();
    let is_right =
        (!is_device || request.into_iter().chain(limit).all(is_whole)) && (request.is_none() || request == limit);
    let what = if is_device { "a whole number" } else { "the amount" };
    if !is_right && (is_device || is_huge) {
        return Some(format!("resources: {name}: write {what} in limits, and the same or nothing in requests"));
    }
    above_limit(name, &request?.0, &limit?.0)
}

/// Relative difference of equal quantities that are written differently, such as 0.3 and 300m, as floats.
const ROUNDING: f64 = 1e-12;

fn above_limit(name: &str, request: &str, limit: &str) -> Option<String> {
    let is_above = cores::amount(request)? > cores::amount(limit)? * (1.0 + ROUNDING);
    is_above.then(|| {
        format!("resources: requests.{name}: {request} is above limits.{name}, {limit}: write at most {limit}, or a higher limit")
    })
}

fn variable(variable: &EnvVar) -> Option<String> {
    let source = variable.value_from.as_ref()?;
    let of = |why: String| format!("env: {:?}: {why}", variable.name);
    if let Some(path) = source.field_ref.as_ref().map(|of| of.field_path.as_str()) {
        let with_key = ["metadata.labels['", "metadata.annotations['"].iter().any(|begin| path.starts_with(begin));
        let is_known = FIELDS.contains(&path) || with_key && path.ends_with("']");
        return (!is_known).then(|| {
            of(format!(
                "{path:?} is no field that a variable can have: write one of {}, or metadata.labels['KEY']",
                FIELDS.join(", ")
            ))
        });
    }
    let keys = [("secretKeyRef.name", &source.secret_key_ref), ("configMapKeyRef.name", &source.config_map_key_ref)];
    if let Some(why) = keys.into_iter().find_map(|(field, key)| object_name(field, &key.as_ref()?.name)) {
        return Some(of(why));
    }
    let reference = source.resource_field_ref.as_ref()?;
    let is_cpu = matches!(reference.resource, ResourceField::CpuLimit | ResourceField::CpuRequest);
    match reference.divisor? {
        Divisor::One => None,
        Divisor::Milli if is_cpu => None,
        Divisor::Milli => Some(of("memory has no thousandths: write the divisor 1Mi, or another of bytes".into())),
        Divisor::Kibi | Divisor::Mebi | Divisor::Gibi if is_cpu => {
            Some(of("CPUs are not counted in bytes: write the divisor 1 or 1m".into()))
        }
        Divisor::Kibi | Divisor::Mebi | Divisor::Gibi => None,
    }
}
