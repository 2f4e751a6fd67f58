//! The steps before validation: unknown fields are refused, `null` means absent, defaults are filled in, and the status of a
//! manifest is dropped.

use std::sync::LazyLock;

use k8s_openapi::apimachinery::pkg::apis::meta::v1::ObjectMeta;
use kube::core::cel::apply_defaults;
use schemars::{Schema, schema_for};
use serde_json::{Map, Value};

use super::{
    Problem,
    schema::{self, child},
};
use crate::catalog::{is_like, most_similar};

/// The schema of Kubernetes' metadata.
static METADATA: LazyLock<Schema> = LazyLock::new(|| schema_for!(ObjectMeta));

/// Problems that prevent the object from being decoded.
pub(super) fn check(schema: &Value, object: &Value) -> Vec<Problem> {
    let Some(fields) = object.as_object() else {
        return vec![Problem::undecodable(
            "a RecommenderModel is a map with apiVersion, kind, metadata and spec".into(),
        )];
    };
    let mut problems = metadata_types(&fields.get("metadata").cloned().unwrap_or_default());
    let unknown = unknown_fields(schema, fields);
    if !unknown.is_empty() {
        let unknown: Vec<String> = unknown.iter().map(|path| format!("unknown field \"{path}\"")).collect();
        problems.push(Problem::undecodable(format!("strict decoding error: {}", unknown.join(", "))));
    }
    problems
}

/// The object as the API server stores it, except for the metadata fields that it adds.
pub(super) fn complete(schema: &Value, object: &Value) -> Value {
    let mut object = object.clone();
    drop_nulls(&mut object);
    let mut object = apply_defaults(schema, &object);
    if let Some(fields) = object.as_object_mut() {
        fields.remove("status");
    }
    object
}

/// Removes `null`s, except from lists. A field that is `null` has its default, as if it were absent.
fn drop_nulls(value: &mut Value) {
    match value {
        Value::Object(values) => {
            values.retain(|_, value| !value.is_null());
            values.values_mut().for_each(drop_nulls);
        }
        Value::Array(values) => values.iter_mut().for_each(drop_nulls),
        _ => {}
    }
}

/// Labels and annotations must be strings. A number or a `yes` without quotes is not a string.
fn metadata_types(metadata: &Value) -> Vec<Problem> {
    let wrong = |field: &'static str| {
        let values = metadata[field].as_object().into_iter().flatten().map(|(_, value)| value);
        let wrong = values.filter(|value| !value.is_string() && !value.is_null()).map(go_kind);
        wrong.map(move |kind| {
            Problem::undecodable(format!(
                "json: cannot unmarshal {kind} into Go struct field ObjectMeta.{field} of type string"
            ))
        })
    };
    ["labels", "annotations"].into_iter().flat_map(wrong).take(1).collect()
}

fn go_kind(value: &Value) -> &'static str {
    match value {
        Value::Bool(_) => "bool",
        Value::Number(_) => "number",
        Value::Array(_) => "array",
        Value::Object(_) => "object",
        Value::Null | Value::String(_) => "string",
    }
}

/// Paths of the fields that exist neither in the schema nor in Kubernetes' metadata. Those of the metadata come first, as in
/// the API server's message.
fn unknown_fields(schema: &Value, object: &Map<String, Value>) -> Vec<String> {
    let mut unknown = Vec::new();
    for name in object.get("metadata").and_then(Value::as_object).into_iter().flatten().map(|(name, _)| name) {
        if METADATA.as_value()["properties"].get(name).is_none() {
            unknown.push(format!("metadata.{name}"));
        }
    }
    let mut below = Vec::new();
    for (name, value) in object.iter().filter(|(name, _)| !["apiVersion", "kind", "metadata"].contains(&name.as_str()))
    {
        field(schema, name, value, "", &mut below);
    }
    below.sort();
    unknown.extend(below);
    unknown
}

/// The unknown fields that the message of a problem names.
pub(super) fn unknown_in(message: &str) -> impl Iterator<Item = &str> {
    message.split("unknown field \"").skip(1).filter_map(|rest| rest.split('"').next())
}

/// What to write instead of an unknown field below `spec`; `None` of others.
pub(super) fn instead_of(schema: &Value, path: &str) -> Option<String> {
    let (parent, name) = path.rsplit_once('.').filter(|(parent, _)| parent.starts_with("spec"))?;
    let (mut known, mut explained) = (schema, vec!["recommendermodels"]);
    for part in parent.split('.') {
        let field = part.split('[').next().unwrap_or(part);
        // `kubectl explain` takes no keys of maps: it lists the fields of their values in place of those of the map.
        if known["properties"][field].is_object() {
            explained.push(field);
        }
        let found = schema::field(known, field)?;
        known = if part.ends_with(']') { &found["items"] } else { found };
    }
    let names = known["properties"].as_object().into_iter().flatten().map(|(name, _)| name.as_str());
    let place = format!("`kubectl explain {}` lists", explained.join("."));
    let similar = most_similar(name, names).filter(|known| is_like(known, name));
    Some(similar.map_or_else(
        || format!("Instead of {path} write a field that {place}, or nothing."),
        |known| format!("Instead of {path} write {known}, or another field that {place}."),
    ))
}

fn field(schema: &Value, name: &str, value: &Value, path: &str, unknown: &mut Vec<String>) {
    match schema::field(schema, name) {
        Some(schema) => fields(schema, value, &child(path, name), unknown),
        None => unknown.push(child(path, name)),
    }
}

fn fields(schema: &Value, value: &Value, path: &str, unknown: &mut Vec<String>) {
    match value {
        Value::Object(values) => {
            values.iter().for_each(|(name, value)| field(schema, name, value, path, unknown));
        }
        Value::Array(values) => {
            let indexed = values.iter().enumerate();
            indexed.for_each(|(index, value)| fields(&schema["items"], value, &format!("{path}[{index}]"), unknown));
        }
        _ => {}
    }
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;
    use crate::{api::crd, validate::tests::minimal};

    fn schema() -> Value {
        json!({ "properties": {
            "spec": { "properties": {
                "a": { "type": "string" },
                "port": { "type": "integer", "default": 80 },
                "probe": { "properties": { "path": { "default": "/" } } },
                "list": { "items": { "properties": { "b": {} } } },
                "map": { "additionalProperties": { "type": "string" } }
            } },
            "status": {}
        } })
    }

    fn texts(object: Value) -> Vec<String> {
        check(&schema(), &object).iter().map(Problem::to_string).collect()
    }

    #[test]
    fn all_unknown_fields_are_reported_in_one_message() {
        let object = json!({
            "kind": "X", "metadata": { "name": "x", "nam": "y" },
            "spec": { "z": 1, "list": [{ "b": 1, "c": 2 }], "map": { "any": "thing" }, "a": { "d": 1 } }
        });
        assert_eq!(
            texts(object),
            [
                r#"strict decoding error: unknown field "metadata.nam", unknown field "spec.a.d", unknown field "spec.list[0].c", unknown field "spec.z""#
            ]
        );
    }

    #[test]
    fn every_field_of_kubernetes_metadata_is_known() {
        let object = json!({ "metadata": {
            "name": "x", "namespace": "y", "labels": {}, "annotations": {}, "finalizers": [], "ownerReferences": [],
            "generateName": "x-", "uid": "u", "resourceVersion": "1", "generation": 1, "creationTimestamp": null,
            "managedFields": [], "selfLink": "", "deletionTimestamp": null, "deletionGracePeriodSeconds": null
        } });
        assert_eq!(texts(object), Vec::<String>::new());
    }

    #[test]
    fn labels_must_be_strings() {
        assert_eq!(
            texts(json!({ "metadata": { "labels": { "a": true } } })),
            ["json: cannot unmarshal bool into Go struct field ObjectMeta.labels of type string"]
        );
    }

    #[test]
    fn a_list_is_refused_as_an_object() {
        assert_eq!(texts(json!([1])), ["a RecommenderModel is a map with apiVersion, kind, metadata and spec"]);
    }

    #[test]
    fn null_means_absent_and_defaults_are_filled_in() {
        let spec = json!({ "a": null, "port": null, "probe": {}, "list": [null, { "b": null }] });
        let object = json!({ "spec": spec, "status": { "x": 1 } });
        assert_eq!(
            complete(&schema(), &object),
            json!({ "spec": { "port": 80, "probe": { "path": "/" }, "list": [null, {}] } })
        );
    }

    #[test]
    fn nothing_is_missing_in_the_defaults_of_the_crd() {
        let complete = |object: &Value| complete(&crd::schema(), object);
        let once = complete(&minimal());
        assert_eq!(complete(&once), once);
    }

    #[test]
    fn a_value_that_is_set_is_not_replaced_by_the_default() {
        let object = json!({ "spec": { "port": 0, "probe": { "path": "" } } });
        assert_eq!(complete(&schema(), &object), object);
    }

    #[test]
    fn an_exported_object_with_a_status_is_accepted() {
        let object = json!({ "status": { "observedGeneration": 1, "conditions": [] } });
        assert!(check(&crd::schema(), &object).is_empty());
    }
}
