//! Descriptions of what the schema has several times: they are in full in one place, because the CRD has to stay small.

use std::collections::BTreeMap;

use k8s_openapi::apiextensions_apiserver::pkg::apis::apiextensions::v1::{JSONSchemaProps, ValidationRule};

use super::{items, property, visit};

/// A field whose fields another one has as well.
pub(super) struct CopyOf {
    /// Where it is, below `spec`.
    pub(super) at: &'static str,
    /// Where its fields are described, below `spec`.
    pub(super) full: &'static str,
    /// What its fields keep of their descriptions.
    pub(super) kept: Kept,
}

/// What the fields of a copy keep of their descriptions. What is below them keeps its defaults.
#[derive(Clone, Copy, PartialEq)]
pub(super) enum Kept {
    /// The first sentence and the default, for fields that differ in what they are for.
    Sentence,
    /// The default.
    Default,
}

/// The copies in the spec. Names and structure of the fields are those of Kubernetes or of `spec.serving`, in which people look first.
pub(super) const COPIES: [CopyOf; 15] = [
    copy("training.pod", "serving.pod", Kept::Sentence),
    copy("training.env[]", "serving.env", Kept::Sentence),
    copy("training.resources", "serving.resources", Kept::Sentence),
    copy("training.partial.resources", "serving.resources", Kept::Sentence),
    copy("workers[].pod", "serving.pod", Kept::Sentence),
    copy("workers[].env[]", "serving.env", Kept::Sentence),
    copy("workers[].resources", "serving.resources", Kept::Sentence),
    copy("workers[].autoscaling", "serving.autoscaling", Kept::Sentence),
    copy("serving.autoscaling.behavior.scaleUp", "serving.autoscaling.behavior.scaleDown", Kept::Default),
    copy("serving.pod.affinity.antiPod[]", "serving.pod.affinity.pod", Kept::Default),
    copy("serving.pod.initContainers[].env[]", "serving.env", Kept::Default),
    copy("serving.pod.initContainers[].envFrom[]", "serving.pod.envFrom", Kept::Default),
    copy("serving.pod.initContainers[].probes[]", "serving.pod.probes", Kept::Default),
    copy("serving.pod.initContainers[].resources", "serving.resources", Kept::Default),
    copy("serving.pod.initContainers[].volumeMounts[]", "serving.pod.volumeMounts", Kept::Default),
];

const fn copy(at: &'static str, full: &'static str, kept: Kept) -> CopyOf {
    CopyOf { at, full, kept }
}

/// Shortens the descriptions of all copies.
pub(super) fn shorten_all(spec: &mut JSONSchemaProps) {
    for CopyOf { at, full, kept } in COPIES {
        if let Some(copy) = find(spec, at) {
            shorten(copy, kept);
        }
        // The description of a list includes that of its items.
        if let Some(described) = find(spec, at.trim_end_matches("[]")) {
            let description = described.description.get_or_insert_default();
            *description = format!("{description} Its fields are described in full at spec.{full}.");
        }
    }
}

/// The field at a path such as `workers[].pod`.
fn find<'a>(schema: &'a mut JSONSchemaProps, path: &str) -> Option<&'a mut JSONSchemaProps> {
    path.split('.').try_fold(schema, |schema, name| match name.strip_suffix("[]") {
        Some(list) => items(property(schema, list)?),
        None => property(schema, name),
    })
}

/// Where the fields of a readiness are described.
const READINESS: &str = "spec.training.readiness";

/// A promotion waits for the same inputs as a training, but for new messages: these are counted between two trainings. The field remains,
/// so that the API server says so.
pub(super) fn readiness_of_promotions(spec: &mut JSONSchemaProps) {
    let promotion = property(spec, "promotion");
    let Some(readiness) = promotion.and_then(|promotion| property(promotion, "readiness")) else { return };
    let description = readiness.description.take().unwrap_or_default();
    visit(readiness, &mut |schema| schema.description = None);
    let counted = property(readiness, "inputs").and_then(items).and_then(|input| property(input, "minNewEvents"));
    if let Some(field) = counted {
        field.x_kubernetes_validations = Some(vec![ValidationRule {
            rule: "false".into(),
            message: Some(format!("counted between trainings: write it in {READINESS}")),
            ..ValidationRule::default()
        }]);
    }
    readiness.description = Some(format!("{description} Its fields are those of {READINESS}."));
}

/// Shortens the descriptions of what is below a copy.
fn shorten(copy: &mut JSONSchemaProps, kept: Kept) {
    for field in copy.properties.iter_mut().flat_map(BTreeMap::values_mut) {
        let of_field = field.description.clone().filter(|_| kept == Kept::Sentence);
        visit(field, &mut |schema| schema.description = schema.description.as_deref().and_then(default_of));
        if let Some(description) = of_field {
            field.description = Some(brief(&description));
        }
    }
}

/// The first sentence of a description without examples, and its default.
pub(super) fn brief(description: &str) -> String {
    let first = sentences(description).next().unwrap_or_default();
    let first = first.split_once(", for example ").map_or(first, |(before, _)| before);
    default_of(description).map_or_else(|| format!("{first}."), |default| format!("{first}. {default}"))
}

/// The sentence of a description that states its default.
fn default_of(description: &str) -> Option<String> {
    let sentence = sentences(description).find(|sentence| sentence.starts_with("Default: "))?;
    Some(format!("{sentence}."))
}

fn sentences(text: &str) -> impl Iterator<Item = &str> {
    text.split_inclusive(". ").map(|sentence| sentence.trim_end().trim_end_matches('.'))
}
