//! Compares the fields that the API server records as ours (`managedFields`) with the desired object.
//!
//! When another manager changes a field that we applied, the API server removes it from our set of fields. So an object
//! needs no apply if it has the hash of the desired object and our set of fields still covers all of it. This needs no
//! record of earlier applies, so it also works after a restart.
//!
//! The format of the set is that of
//! <https://kubernetes.io/docs/reference/using-api/server-side-apply/#field-management>: `f:<name>` is a field, `k:<keys>`
//! an item of a list that is merged by keys, `v:<value>` an item of a set, and a node without children is owned as a whole.

use k8s_openapi::apimachinery::pkg::apis::meta::v1::ManagedFieldsEntry;
use serde_json::{Map, Value};

use crate::api::FIELD_MANAGER;

/// The operation of server-side applies in managed fields.
const APPLY: &str = "Apply";

/// The operation of all other writes in managed fields, including creation.
const UPDATE: &str = "Update";

/// Fields of the metadata that identify an object and belong to no manager.
const NAMING: [&str; 3] = ["name", "namespace", "uid"];

/// The fields we own of an object.
#[derive(Clone, Debug, PartialEq, Default)]
pub struct Ours {
    /// Their set, as JSON; empty when we own none.
    pub fields: String,
    /// Whether we own them from creating the object, and have never applied it.
    pub created_not_applied: bool,
}

/// The set of fields we own: those of our applies, or before the first apply those of our creation of the object.
pub fn ours(managed: Option<&[ManagedFieldsEntry]>) -> Ours {
    let of = |operation| managed.unwrap_or_default().iter().find(|entry| is_ours(entry, operation));
    let (applied, created) = (of(APPLY), of(UPDATE));
    let fields = applied.or(created).and_then(|entry| entry.fields_v1.as_ref());
    Ours {
        fields: fields.map(|fields| fields.0.to_string()).unwrap_or_default(),
        created_not_applied: applied.is_none() && created.is_some(),
    }
}

/// The managed fields with those of our creation of the object converted to fields of our applies. None when there is
/// nothing to convert.
pub fn converted_ownership(managed: Option<&[ManagedFieldsEntry]>) -> Option<Vec<ManagedFieldsEntry>> {
    let (mut created, mut all): (Vec<_>, Vec<_>) = managed?.iter().cloned().partition(|entry| is_ours(entry, UPDATE));
    let created = created.pop()?;
    match all.iter_mut().find(|entry| is_ours(entry, APPLY)) {
        Some(applied) => {
            if let (Some(fields), Some(more)) = (&mut applied.fields_v1, created.fields_v1) {
                unite(&mut fields.0, more.0);
            }
        }
        None => all.push(ManagedFieldsEntry { operation: Some(APPLY.into()), ..created }),
    }
    Some(all)
}

fn is_ours(entry: &ManagedFieldsEntry, operation: &str) -> bool {
    entry.manager.as_deref() == Some(FIELD_MANAGER)
        && entry.operation.as_deref() == Some(operation)
        && entry.subresource.as_deref().unwrap_or_default().is_empty()
}

/// Adds the fields of one set to another.
fn unite(fields: &mut Value, more: Value) {
    if let (Value::Object(fields), Value::Object(more)) = (fields, more) {
        for (name, node) in more {
            unite(fields.entry(name).or_insert_with(|| Value::Object(Map::new())), node);
        }
    }
}

/// Whether a set of fields (as JSON) covers every field of `desired`.
pub fn covers(fields: &str, desired: &Value) -> bool {
    let Ok(Value::Object(fields)) = serde_json::from_str(fields) else {
        return false;
    };
    let Value::Object(desired) = desired else {
        return false;
    };
    desired.iter().all(|(name, value)| match (name.as_str(), value) {
        ("apiVersion" | "kind", _) => true,
        ("metadata", Value::Object(meta)) => match fields.get("f:metadata").and_then(Value::as_object) {
            Some(node) => meta
                .iter()
                .filter(|(name, _)| !NAMING.contains(&name.as_str()))
                .all(|(name, value)| field_covered(node, name, value)),
            None => false,
        },
        _ => field_covered(&fields, name, value),
    })
}

/// Whether a set of fields (as JSON) has a field directly below `spec`.
pub fn has_spec_field(fields: &str, field: &str) -> bool {
    serde_json::from_str::<Value>(fields)
        .is_ok_and(|fields| fields.get("f:spec").is_some_and(|spec| spec.get(format!("f:{field}")).is_some()))
}

fn field_covered(node: &Map<String, Value>, name: &str, desired: &Value) -> bool {
    node.get(&format!("f:{name}")).and_then(Value::as_object).is_some_and(|node| node_covers(node, desired))
}

fn node_covers(node: &Map<String, Value>, desired: &Value) -> bool {
    if node.is_empty() {
        return true; // owned as a whole: a scalar, or an atomic list or map
    }
    match desired {
        Value::Object(fields) => fields.iter().all(|(name, value)| field_covered(node, name, value)),
        Value::Array(items) => items.iter().all(|item| item_covered(node, item)),
        _ => true,
    }
}

fn item_covered(node: &Map<String, Value>, item: &Value) -> bool {
    node.iter().any(|(key, child)| {
        if let Some(value) = key.strip_prefix("v:") {
            return serde_json::from_str::<Value>(value).is_ok_and(|value| value == *item);
        }
        let Some(Ok(Value::Object(keys))) = key.strip_prefix("k:").map(serde_json::from_str) else {
            return false;
        };
        keys.iter().all(|(name, value)| item.get(name) == Some(value))
            && child.as_object().is_some_and(|child| node_covers(child, item))
    })
}

#[cfg(test)]
mod tests {
    use k8s_openapi::apimachinery::pkg::apis::meta::v1::FieldsV1;
    use serde_json::json;

    use super::*;

    /// The set of fields that covers [`desired`].
    const FIELDS: &str = r#"{
        "f:metadata": {"f:labels": {"f:app": {}}, "f:ownerReferences": {"k:{\"uid\":\"u\"}": {}}},
        "f:spec": {
            "f:selector": {},
            "f:template": {"f:spec": {"f:containers": {"k:{\"name\":\"server\"}": {
                ".": {}, "f:name": {}, "f:image": {},
                "f:ports": {"k:{\"containerPort\":8000,\"protocol\":\"TCP\"}": {".": {}, "f:containerPort": {}, "f:protocol": {}}}
            }}}}
        }
    }"#;

    fn desired() -> Value {
        json!({
            "apiVersion": "apps/v1", "kind": "Deployment",
            "metadata": {
                "name": "a", "namespace": "n", "labels": {"app": "a"},
                "ownerReferences": [{"uid": "u", "kind": "RecommenderModel", "name": "a"}],
            },
            "spec": {
                "selector": {"matchLabels": {"app": "a"}},
                "template": {"spec": {"containers": [
                    {"name": "server", "image": "i", "ports": [{"containerPort": 8000, "protocol": "TCP"}]},
                ]}},
            },
        })
    }

    #[test]
    fn a_field_set_with_every_desired_field_covers_the_object() {
        assert!(covers(FIELDS, &desired()));
    }

    #[test]
    fn a_field_taken_over_by_another_manager_is_detected() {
        let taken = FIELDS.replace(r#""f:image": {},"#, "");
        assert!(!covers(&taken, &desired()));
        let label = FIELDS.replace(r#""f:app": {}"#, r#""f:other": {}"#);
        assert!(!covers(&label, &desired()));
    }

    #[test]
    fn a_list_item_removed_by_another_manager_is_detected() {
        let mut more = desired();
        more["spec"]["template"]["spec"]["containers"][0]["ports"] =
            json!([{"containerPort": 8000, "protocol": "TCP"}, {"containerPort": 9000, "protocol": "TCP"}]);
        assert!(!covers(FIELDS, &more));
    }

    #[test]
    fn a_newly_desired_field_is_not_covered() {
        let mut more = desired();
        more["spec"]["replicas"] = json!(2);
        assert!(!covers(FIELDS, &more));
    }

    #[test]
    fn an_object_we_never_applied_is_not_covered() {
        assert!(!covers("", &desired()));
        assert_eq!(ours(None), Ours::default());
    }

    fn entry(operation: &str, subresource: Option<&str>, fields: Value) -> ManagedFieldsEntry {
        ManagedFieldsEntry {
            manager: Some(FIELD_MANAGER.into()),
            operation: Some(operation.into()),
            subresource: subresource.map(Into::into),
            fields_v1: Some(FieldsV1(fields)),
            ..ManagedFieldsEntry::default()
        }
    }

    #[test]
    fn the_fields_of_our_creation_are_ours_until_the_first_apply() {
        let created = entry(UPDATE, None, json!({"f:spec": {"f:ports": {}}}));
        let scaled = entry(UPDATE, Some("scale"), json!({"f:spec": {"f:replicas": {}}}));
        let applied = entry(APPLY, None, json!({"f:spec": {}}));
        let other = ManagedFieldsEntry { manager: Some("kubectl-edit".into()), ..created.clone() };
        let fields = |entries: &[ManagedFieldsEntry]| ours(Some(entries));
        let of_creation = Ours { fields: r#"{"f:spec":{"f:ports":{}}}"#.into(), created_not_applied: true };
        assert_eq!(fields(&[scaled.clone(), created.clone()]), of_creation);
        assert_eq!(fields(&[scaled, other, entry(APPLY, Some("status"), json!({}))]), Ours::default());
        let of_applies = Ours { fields: r#"{"f:spec":{}}"#.into(), created_not_applied: false };
        assert_eq!(fields(&[created, applied]), of_applies);
    }

    #[test]
    fn converting_ownership_changes_only_the_fields_of_our_creation() {
        let scaled = entry(UPDATE, Some("scale"), json!({"f:spec": {"f:replicas": {}}}));
        let created = entry(UPDATE, None, json!({"f:spec": {"f:ports": {"k:1": {".": {}}}}}));
        let as_applied = ManagedFieldsEntry { operation: Some(APPLY.into()), ..created.clone() };
        assert_eq!(
            converted_ownership(Some(&[created.clone(), scaled.clone()])),
            Some(vec![scaled.clone(), as_applied])
        );

        let applied = entry(APPLY, None, json!({"f:spec": {"f:ports": {"k:2": {}}, "f:type": {}}}));
        let united = entry(APPLY, None, json!({"f:spec": {"f:ports": {"k:1": {".": {}}, "k:2": {}}, "f:type": {}}}));
        assert_eq!(converted_ownership(Some(&[applied.clone(), created])), Some(vec![united]));
        assert_eq!(converted_ownership(Some(&[applied, scaled])), None);
        assert_eq!(converted_ownership(None), None);
    }
}
