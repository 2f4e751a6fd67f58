//! Whose rights pods have in the cluster and the cloud, and for the images.

use super::{FieldPath, InvalidField, pod_values::object_name};
use crate::api::RecommenderModelSpec;

/// Names of Secrets for images, and annotations of a ServiceAccount that no pod has.
pub fn problems(spec: &RecommenderModelSpec) -> Vec<InvalidField> {
    let secrets = &spec.image_pull_secrets;
    let path = FieldPath::spec().field("imagePullSecrets");
    let secret = |(index, name): (usize, &str)| {
        let path = path.item(index).field("name");
        let is_repeated = secrets[..index].iter().any(|before| before.name == name);
        let repeated = is_repeated.then(|| path.problem(format!("{name:?} is there twice: remove one")));
        repeated.or_else(|| object_name(&path, name))
    };
    let names = secrets.iter().map(|secret| secret.name.as_str()).enumerate();
    names.filter_map(secret).chain(unused_annotations(spec)).collect()
}

fn unused_annotations(spec: &RecommenderModelSpec) -> Option<InvalidField> {
    let pods = [&spec.training.pod, &spec.serving.pod].into_iter().chain(spec.workers.iter().map(|worker| &worker.pod));
    let is_used = pods.map(|pod| &pod.service_account_name).any(Option::is_none);
    (!is_used && !spec.service_account_annotations.is_empty()).then(|| {
        FieldPath::spec().field("serviceAccountAnnotations").problem(
            "they are for a ServiceAccount that no pod has, because every part has a pod.serviceAccountName: annotate those \
             ServiceAccounts yourself and remove serviceAccountAnnotations",
        )
    })
}
