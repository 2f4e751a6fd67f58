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

use crate::api::{FIELD_MANAGER, HANDOFF_MANAGER};

/// The operation of server-side applies in managed fields.
pub const APPLY: &str = "Apply";

/// The operation of all other writes in managed fields, including creation.
pub const UPDATE: &str = "Update";

/// Fields of the metadata that identify an object and belong to no manager.
const NAMING: [&str; 3] = ["name", "namespace", "uid"];

/// The fields we own of an object.
#[derive(Clone, Debug, PartialEq, Default)]
pub struct Ours {
    /// Their set, as JSON; empty when we own none.
    pub fields: String,
    /// Whether we own some from other writes than applies, such as the creation: an apply would not remove those.
    pub has_unconverted: bool,
    /// Whether we own `spec.replicas`.
    pub owns_replicas: bool,
}

/// The set of fields we own: those of our applies, or before the first apply those of our creation of the object.
pub fn ours(managed: Option<&[ManagedFieldsEntry]>) -> Ours {
    let of = |operation| managed.unwrap_or_default().iter().find(|entry| is_ours(entry, operation));
    let (applied, created) = (of(APPLY), of(UPDATE));
    let sets = [applied, created].map(|entry| entry?.fields_v1.as_ref().map(|fields| &fields.0));
    Ours {
        fields: sets.into_iter().flatten().next().map(ToString::to_string).unwrap_or_default(),
        has_unconverted: created.is_some(),
        owns_replicas: sets.into_iter().flatten().any(has_replicas),
    }
}

/// Whether the number of replicas was last set by us directly, and not by an apply, an autoscaler or a person.
pub fn are_replicas_ordered(managed: Option<&[ManagedFieldsEntry]>) -> bool {
    let sets = managed.unwrap_or_default().iter().filter(|entry| entry.manager.as_deref() == Some(HANDOFF_MANAGER));
    sets.filter_map(|entry| entry.fields_v1.as_ref()).any(|fields| has_replicas(&fields.0))
}

fn has_replicas(fields: &Value) -> bool {
    fields.pointer("/f:spec/f:replicas").is_some()
}

/// Whether an entry has fields of our own writes of an object itself, not of a subresource.
pub fn is_ours(entry: &ManagedFieldsEntry, operation: &str) -> bool {
    entry.manager.as_deref() == Some(FIELD_MANAGER)
        && entry.operation.as_deref() == Some(operation)
        && entry.subresource.as_deref().unwrap_or_default().is_empty()
}

/// Whether `key` (`k:<keys>`) names an item of a list that is merged by keys.
pub fn is_key_of(key: &str, item: &Value) -> bool {
    let Some(Ok(Value::Object(keys))) = key.strip_prefix("k:").map(serde_json::from_str) else {
        return false;
    };
    keys.iter().all(|(name, value)| item.get(name) == Some(value))
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
        is_key_of(key, item) && child.as_object().is_some_and(|child| node_covers(child, item))
    })
}

#[cfg(test)]
pub mod tests {
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

    /// An entry of our own writes, for tests.
    pub fn entry(operation: &str, subresource: Option<&str>, fields: Value) -> ManagedFieldsEntry {
        ManagedFieldsEntry {
            manager: Some(FIELD_MANAGER.into()),
            operation: Some(operation.into()),
            subresource: subresource.map(Into::into),
            fields_v1: Some(FieldsV1(fields)),
            ..ManagedFieldsEntry::default()
        }
    }

    #[test]
    fn the_fields_of_our_creation_are_ours_until_the_first_apply_and_to_be_converted_also_after_it() {
        let created = entry(UPDATE, None, json!({"f:spec": {"f:ports": {}}}));
        let scaled = entry(UPDATE, Some("scale"), json!({"f:spec": {"f:replicas": {}}}));
        let applied = entry(APPLY, None, json!({"f:spec": {}}));
        let other = ManagedFieldsEntry { manager: Some("kubectl-edit".into()), ..created.clone() };
        let fields = |entries: &[ManagedFieldsEntry]| ours(Some(entries));
        let of_creation =
            Ours { fields: r#"{"f:spec":{"f:ports":{}}}"#.into(), has_unconverted: true, owns_replicas: false };
        assert_eq!(fields(&[scaled.clone(), created.clone()]), of_creation);
        assert_eq!(fields(&[scaled, other, entry(APPLY, Some("status"), json!({}))]), Ours::default());
        let of_applies = Ours { fields: r#"{"f:spec":{}}"#.into(), ..Ours::default() };
        assert_eq!(fields(std::slice::from_ref(&applied)), of_applies);
        assert_eq!(fields(&[created, applied]), Ours { has_unconverted: true, ..of_applies });
    }

    #[test]
    fn replicas_are_ours_from_an_apply_or_from_the_creation() {
        let replicas = || json!({"f:spec": {"f:replicas": {}}});
        let owns = |entries: &[ManagedFieldsEntry]| ours(Some(entries)).owns_replicas;
        let without = entry(APPLY, None, json!({"f:spec": {"f:template": {}}}));
        assert!(owns(&[entry(APPLY, None, replicas())]));
        assert!(
            owns(&[without.clone(), entry(UPDATE, None, replicas())]),
            "applied by a version that converts nothing"
        );
        assert!(!owns(&[without, entry(UPDATE, Some("scale"), replicas())]));
    }

    #[test]
    fn replicas_are_ordered_until_another_manager_sets_them() {
        let by = |manager: &str| ManagedFieldsEntry {
            manager: Some(manager.into()),
            ..entry(UPDATE, Some("scale"), json!({"f:spec": {"f:replicas": {}}}))
        };
        assert!(are_replicas_ordered(Some(&[by(HANDOFF_MANAGER)])));
        let taken_over = ManagedFieldsEntry { fields_v1: Some(FieldsV1(json!({}))), ..by(HANDOFF_MANAGER) };
        assert!(!are_replicas_ordered(Some(&[taken_over, by("kubectl")])));
        assert!(!are_replicas_ordered(Some(&[by(FIELD_MANAGER)])) && !are_replicas_ordered(None));
    }
}
