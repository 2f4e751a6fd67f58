//! What the API server recorded as ours (`managedFields`), held against what we want.
//!
//! When somebody changes a field that we applied, the API server takes it out of our set of fields. So an object that
//! carries the hash of what we want, and whose set of our fields still covers all of it, is as we left it: there is
//! nothing to apply. This needs no memory of earlier applies, so it also holds after a restart.
//!
//! The format of the set is that of
//! <https://kubernetes.io/docs/reference/using-api/server-side-apply/#field-management>: `f:<name>` is a field, `k:<keys>`
//! an item of a list that is merged by keys, `v:<value>` an item of a set, and a node without children is owned whole.

use k8s_openapi::apimachinery::pkg::apis::meta::v1::ManagedFieldsEntry;
use serde_json::{Map, Value};

use crate::api::FIELD_MANAGER;

/// Parts of every object that name it and belong to no manager.
const NAMING: [&str; 3] = ["name", "namespace", "uid"];

/// The set of fields we own by apply, as JSON; empty when we own none.
pub fn ours(managed: Option<&[ManagedFieldsEntry]>) -> String {
    managed
        .unwrap_or_default()
        .iter()
        .find(|entry| {
            entry.manager.as_deref() == Some(FIELD_MANAGER)
                && entry.operation.as_deref() == Some("Apply")
                && entry.subresource.as_deref().unwrap_or_default().is_empty()
        })
        .and_then(|entry| entry.fields_v1.as_ref())
        .map(|fields| fields.0.to_string())
        .unwrap_or_default()
}

/// Whether a set of fields (as JSON) has everything that `wanted` says.
pub fn covers(fields: &str, wanted: &Value) -> bool {
    let Ok(Value::Object(fields)) = serde_json::from_str(fields) else {
        return false;
    };
    let Value::Object(wanted) = wanted else {
        return false;
    };
    wanted.iter().all(|(name, value)| match (name.as_str(), value) {
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

fn field_covered(node: &Map<String, Value>, name: &str, wanted: &Value) -> bool {
    node.get(&format!("f:{name}")).and_then(Value::as_object).is_some_and(|node| node_covers(node, wanted))
}

fn node_covers(node: &Map<String, Value>, wanted: &Value) -> bool {
    if node.is_empty() {
        return true; // owned whole: a scalar, or a list or map that is only ever replaced
    }
    match wanted {
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
    use serde_json::json;

    use super::*;

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

    fn wanted() -> Value {
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
    fn a_set_with_all_we_want_covers_it() {
        assert!(covers(FIELDS, &wanted()));
    }

    #[test]
    fn a_field_that_somebody_took_from_us_is_noticed() {
        let taken = FIELDS.replace(r#""f:image": {},"#, "");
        assert!(!covers(&taken, &wanted()));
        let label = FIELDS.replace(r#""f:app": {}"#, r#""f:other": {}"#);
        assert!(!covers(&label, &wanted()));
    }

    #[test]
    fn a_list_item_that_somebody_removed_is_noticed() {
        let mut more = wanted();
        more["spec"]["template"]["spec"]["containers"][0]["ports"] =
            json!([{"containerPort": 8000, "protocol": "TCP"}, {"containerPort": 9000, "protocol": "TCP"}]);
        assert!(!covers(FIELDS, &more));
    }

    #[test]
    fn a_field_we_want_for_the_first_time_is_not_covered() {
        let mut more = wanted();
        more["spec"]["replicas"] = json!(2);
        assert!(!covers(FIELDS, &more));
    }

    #[test]
    fn an_object_that_was_never_applied_by_us_is_not_covered() {
        assert!(!covers("", &wanted()));
        assert_eq!(ours(None), "");
    }

    #[test]
    fn only_our_own_apply_counts_and_not_updates_under_our_name() {
        let entry = |operation: &str, subresource: Option<&str>| ManagedFieldsEntry {
            manager: Some(FIELD_MANAGER.into()),
            operation: Some(operation.into()),
            subresource: subresource.map(Into::into),
            fields_v1: Some(k8s_openapi::apimachinery::pkg::apis::meta::v1::FieldsV1(json!({"f:spec": {}}))),
            ..ManagedFieldsEntry::default()
        };
        assert_eq!(ours(Some(&[entry("Update", None), entry("Apply", Some("status"))])), "");
        assert_eq!(ours(Some(&[entry("Apply", None)])), r#"{"f:spec":{}}"#);
    }
}
