//! Resources and variables of containers that the API server would refuse only in the pod template of a child.

use std::collections::BTreeMap;

use k8s_openapi::apimachinery::pkg::api::resource::Quantity;

use super::InvalidField;
use crate::api::{Divisor, EnvVar, Pod, RecommenderModelSpec, ResourceField, Resources};

/// The number of a trainer among those of its run, which Kubernetes sets.
const INDEX_VARIABLE: &str = "JOB_COMPLETION_INDEX";
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
    let is_distributed = training.job.as_ref().is_some_and(|job| job.completions.is_some());
    let index = training.env.iter().any(|variable| variable.name == INDEX_VARIABLE) && is_distributed;
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
    let resources = resources.map(extended).unwrap_or_default();
    resources.into_iter().chain(env.iter().filter_map(variable)).collect()
}

/// Devices, such as GPUs, cannot be shared or overcommitted: Kubernetes takes whole numbers, the same in both maps.
fn extended(resources: &Resources) -> Vec<String> {
    let (requests, limits) = (&resources.requests, &resources.limits);
    let is_whole = |Quantity(amount): &Quantity| amount.parse::<u64>().is_ok();
    let is_extended = |name: &&String| name.contains('/') && !name.starts_with("kubernetes.io/");
    let names = limits.keys().chain(requests.keys().filter(|name| !limits.contains_key(*name)));
    let wrong = |name: &String| {
        let of = |amounts: &BTreeMap<String, Quantity>| amounts.get(name).cloned();
        let all_whole = of(requests).iter().chain(&of(limits)).all(is_whole);
        let is_same = of(requests).is_none_or(|request| Some(request) == of(limits));
        (!all_whole || !is_same)
            .then(|| format!("resources: {name}: write a whole number in limits, and the same or nothing in requests"))
    };
    names.filter(is_extended).filter_map(wrong).collect()
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
