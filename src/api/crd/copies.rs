//! Descriptions of what the schema has several times: they are in full in one place, because the CRD has to stay small. One that differs
//! from that in this place stays as it is.

use k8s_openapi::apiextensions_apiserver::pkg::apis::apiextensions::v1::{
    JSONSchemaProps, JSONSchemaPropsOrArray, JSONSchemaPropsOrBool, ValidationRule,
};

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
    let mut in_full = spec.clone();
    for CopyOf { at, full, kept } in COPIES {
        if let Some((copy, full)) = find(spec, at).zip(find(&mut in_full, full)) {
            // Those of a list are those of its items.
            shorten(copy, items_of(full).unwrap_or(full), kept);
        }
        // The description of a list includes that of its items.
        if let Some(described) = find(spec, at.trim_end_matches("[]")) {
            let description = described.description.get_or_insert_default();
            *description = format!("{description} Its fields are described in full at spec.{full}.");
        }
    }
}

/// The field at a path such as `workers[].pod`.
pub(super) fn find<'a>(schema: &'a mut JSONSchemaProps, path: &str) -> Option<&'a mut JSONSchemaProps> {
    path.split('.').try_fold(schema, |schema, name| match name.strip_suffix("[]") {
        Some(list) => items(property(schema, list)?),
        None => property(schema, name),
    })
}

/// Where the fields of a readiness are described.
pub(super) const READINESS: &str = "spec.training.readiness";

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

/// Shortens the descriptions below a copy that are those of the same fields below what is described in full.
fn shorten(copy: &mut JSONSchemaProps, full: &JSONSchemaProps, kept: Kept) {
    for (name, field) in copy.properties.iter_mut().flatten() {
        let Some(full) = full.properties.as_ref().and_then(|fields| fields.get(name)) else { continue };
        if field.description == full.description {
            let brief = if kept == Kept::Sentence { |text: &str| Some(brief(text)) } else { default_of };
            field.description = field.description.as_deref().and_then(brief);
        }
        shorten(field, full, Kept::Default);
    }
    if let Some((copy, full)) = items(copy).zip(items_of(full)) {
        shorten(copy, full, Kept::Default);
    }
    if let Some((JSONSchemaPropsOrBool::Schema(copy), JSONSchemaPropsOrBool::Schema(full))) =
        copy.additional_properties.as_mut().zip(full.additional_properties.as_ref())
    {
        shorten(copy, full, Kept::Default);
    }
}

fn items_of(schema: &JSONSchemaProps) -> Option<&JSONSchemaProps> {
    match &schema.items {
        Some(JSONSchemaPropsOrArray::Schema(items)) => Some(items),
        _ => None,
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
