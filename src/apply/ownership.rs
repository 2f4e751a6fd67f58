//! Converts the ownership of fields that we own from creating an object to that of our applies, so that the next apply
//! removes those that it does not contain. Client-go's `csaupgrade` does the same, except for defaults.
//!
//! The API server counts its defaults as fields of the manager that creates an object. `csaupgrade` makes them fields of the
//! applies: the next apply removes them, and they are set again. If a webhook for creations has set another value instead of
//! a default, it is lost by that. So defaults are not converted: no manager owns them afterwards, and no apply changes them.

use k8s_openapi::apimachinery::pkg::apis::meta::v1::ManagedFieldsEntry;
use serde_json::{Map, Value};

use crate::observe::{APPLY, UPDATE, is_key_of, is_ours};

/// Fields that the API server sets by default and that rendering sets always or never for a child, each after the field that
/// it is part of. Those that rendering sets only sometimes, such as `schedulerName`, must not be listed, because they would
/// stay when they are no longer desired. They are removed and set by default again; the value of a webhook is lost.
const DEFAULTED: &[&str] = &[
    "metadata.creationTimestamp",
    "spec.dnsPolicy",
    "spec.internalTrafficPolicy",
    "spec.progressDeadlineSeconds",
    "spec.restartPolicy",
    "spec.serviceAccount",
    "spec.sessionAffinity",
    "spec.strategy",
    "containers.terminationMessagePath",
    "containers.terminationMessagePolicy",
    "livenessProbe.successThreshold",
    "startupProbe.successThreshold",
];

/// Fields that the API server sets to an empty object by default. Rendering omits them instead.
const EMPTY: &[&str] = &["containers.resources"];

/// The managed fields of an object with all of ours as fields of our applies. `desired`: the object that is applied next.
/// None when there is nothing to convert.
pub fn converted(managed: Option<&[ManagedFieldsEntry]>, desired: &Value) -> Option<Vec<ManagedFieldsEntry>> {
    let (mut created, mut all): (Vec<_>, Vec<_>) = managed?.iter().cloned().partition(|entry| is_ours(entry, UPDATE));
    for fields in created.iter_mut().filter_map(|entry| entry.fields_v1.as_mut()?.0.as_object_mut()) {
        remove_defaults(fields, desired, "");
    }
    let first = created.first()?;
    let of_applies = all.iter().position(|entry| is_ours(entry, APPLY)).map(|index| all.remove(index));
    let mut applied =
        of_applies.unwrap_or_else(|| ManagedFieldsEntry { operation: Some(APPLY.into()), ..first.clone() });
    for entry in created {
        // The paths of another version may mean other fields.
        if entry.api_version == applied.api_version
            && let (Some(fields), Some(more)) = (&mut applied.fields_v1, entry.fields_v1)
        {
            unite(&mut fields.0, more.0);
        }
    }
    all.push(applied);
    Some(all)
}

/// Removes the fields that the API server has set by default: those that are not desired although what they are part of is.
/// `of`: the field that these are part of.
fn remove_defaults(fields: &mut Map<String, Value>, desired: &Value, of: &str) {
    fields.retain(|key, node| {
        let node = node.as_object_mut();
        let is_empty = node.as_ref().is_none_or(|node| node.is_empty());
        let name = key.strip_prefix("f:");
        match (part(desired, key), name) {
            (Some(part), _) => {
                if let Some(node) = node {
                    // An item of a list is part of the list's field.
                    remove_defaults(node, part, name.unwrap_or(of));
                }
                true
            }
            (None, Some(name)) => {
                let field = format!("{of}.{name}");
                !(DEFAULTED.contains(&field.as_str()) || is_empty && EMPTY.contains(&field.as_str()))
            }
            (None, None) => true,
        }
    });
}

/// The field or the item of a list that a key of a set of fields names.
fn part<'a>(value: &'a Value, key: &str) -> Option<&'a Value> {
    match key.strip_prefix("f:") {
        Some(name) => value.get(name),
        None => value.as_array()?.iter().find(|item| is_key_of(key, item)),
    }
}

/// Adds the fields of one set to another.
fn unite(fields: &mut Value, more: Value) {
    if let (Value::Object(fields), Value::Object(more)) = (fields, more) {
        for (name, node) in more {
            unite(fields.entry(name).or_insert_with(|| Value::Object(Map::new())), node);
        }
    }
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;
    use crate::observe::owned_entry as entry;

    /// The fields of our applies after conversion, when `created` are those of our creation.
    fn converted_fields(created: Value, desired: &Value) -> Value {
        let all = converted(Some(&[entry(UPDATE, None, created)]), desired).expect("there is something to convert");
        let [ManagedFieldsEntry { operation: Some(operation), fields_v1: Some(fields), .. }] = &all[..] else {
            panic!("{all:?}")
        };
        assert_eq!(operation, APPLY);
        fields.0.clone()
    }

    #[test]
    fn only_the_fields_of_our_own_writes_are_converted() {
        let scaled = entry(UPDATE, Some("scale"), json!({"f:spec": {"f:replicas": {}}}));
        let created = entry(UPDATE, None, json!({"f:spec": {"f:ports": {"k:1": {".": {}}}}}));
        let other = ManagedFieldsEntry { manager: Some("kubectl-edit".into()), ..created.clone() };
        let as_applied = ManagedFieldsEntry { operation: Some(APPLY.into()), ..created.clone() };
        let managed = [created.clone(), scaled.clone(), other.clone()];
        assert_eq!(converted(Some(&managed), &json!({})), Some(vec![scaled.clone(), other, as_applied]));

        let applied = entry(APPLY, None, json!({"f:spec": {}}));
        assert_eq!(converted(Some(&[applied, scaled]), &json!({})), None);
        assert_eq!(converted(None, &json!({})), None);
    }

    #[test]
    fn every_entry_of_ours_beside_one_of_applies_is_united_with_it_unless_it_is_of_another_version() {
        let applied = entry(APPLY, None, json!({"f:spec": {"f:ports": {"k:2": {}}, "f:type": {}}}));
        let created = entry(UPDATE, None, json!({"f:spec": {"f:ports": {"k:1": {".": {}}}}}));
        let labelled = entry(UPDATE, None, json!({"f:metadata": {"f:labels": {"f:a": {}}}}));
        let old = ManagedFieldsEntry {
            api_version: Some("v0".into()),
            ..entry(UPDATE, None, json!({"f:spec": {"f:old": {}}}))
        };
        let united = entry(
            APPLY,
            None,
            json!({
                "f:metadata": {"f:labels": {"f:a": {}}},
                "f:spec": {"f:ports": {"k:1": {".": {}}, "k:2": {}}, "f:type": {}},
            }),
        );
        let managed = [applied, created, labelled, old];
        assert_eq!(converted(Some(&managed), &json!({})), Some(vec![united]));
    }

    #[test]
    fn what_the_api_server_defaulted_is_not_ours_and_what_we_sent_is_also_if_it_is_no_longer_desired() {
        let desired = json!({"spec": {
            "type": "RollingUpdate",
            "template": {"spec": {"containers": [{"name": "server", "image": "i", "env": [{"name": "A", "value": "1"}]}]}},
        }});
        let container = r#"k:{"name":"server"}"#;
        let created = json!({"f:spec": {
            "f:type": {},
            "f:strategy": {"f:rollingUpdate": {".": {}, "f:maxSurge": {}}, "f:type": {}},
            "f:template": {"f:spec": {"f:dnsPolicy": {}, "f:nodeName": {}, "f:containers": {container: {
                ".": {}, "f:name": {}, "f:image": {}, "f:terminationMessagePath": {}, "f:resources": {},
                "f:env": {
                    ".": {},
                    r#"k:{"name":"A"}"#: {".": {}, "f:name": {}, "f:value": {}},
                    r#"k:{"name":"B"}"#: {".": {}, "f:name": {}, "f:type": {}},
                },
            }}}},
        }});
        let sent = json!({"f:spec": {
            "f:type": {},
            "f:template": {"f:spec": {"f:nodeName": {}, "f:containers": {container: {
                ".": {}, "f:name": {}, "f:image": {},
                "f:env": {
                    ".": {},
                    r#"k:{"name":"A"}"#: {".": {}, "f:name": {}, "f:value": {}},
                    // Removed as a whole, with the defaults in it.
                    r#"k:{"name":"B"}"#: {".": {}, "f:name": {}, "f:type": {}},
                },
            }}}},
        }});
        assert_eq!(converted_fields(created, &desired), sent);
        let scheduled = json!({"f:spec": {"f:template": {"f:spec": {"f:schedulerName": {}, "f:containers": {container: {
            ".": {}, "f:name": {}, "f:imagePullPolicy": {},
        }}}}}});
        assert_eq!(converted_fields(scheduled.clone(), &desired), scheduled, "settings that are no longer desired");
        let volume = r#"k:{"name":"rules"}"#;
        let modes = json!({"f:volumes": {volume: {"f:configMap": {"f:name": {}, "f:defaultMode": {}}}}});
        let by_default = json!({"volumes": [{"name": "rules", "configMap": {"name": "rules"}}]});
        assert_eq!(converted_fields(modes.clone(), &by_default), modes, "a mode of the user that is no longer desired");
        let probe = json!({"f:readinessProbe": {"f:httpGet": {"f:scheme": {}}, "f:successThreshold": {}}});
        let by_default = json!({"readinessProbe": {"httpGet": {"path": "/health"}}});
        assert_eq!(converted_fields(probe.clone(), &by_default), probe, "a scheme and a threshold of the user");
        let labels = json!({"f:metadata": {"f:labels": {"f:release": {}, "f:type": {}, "f:resources": {}}}});
        let without = json!({"metadata": {"labels": {"release": "x"}}});
        assert_eq!(
            converted_fields(labels.clone(), &without),
            labels,
            "labels of the user that are called like defaults"
        );
        let limited = json!({"f:containers": {container: {"f:resources": {"f:limits": {"f:cpu": {}}}}}});
        let unlimited = json!({"containers": [{"name": "server"}]});
        assert_eq!(converted_fields(limited.clone(), &unlimited), limited, "limits are removed");
    }
}
