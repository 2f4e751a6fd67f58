//! How the API server merges what it is sent: merge patches (RFC 7386) and applies, with the fields that each manager owns.
//!
//! Sets of fields are those of managed fields. A list is merged by its keys in [`KEYS`], any other list is one value.
//! Versions of an API are not distinguished.

use serde_json::{Map, Value, json};

/// Keys by which items of a list are merged, by the list's name. Of several the first that every item has.
const KEYS: &[(&str, &[&str])] = &[
    ("containers", &["name"]),
    ("env", &["name"]),
    ("ownerReferences", &["uid"]),
    ("ports", &["containerPort", "protocol"]),
    ("ports", &["port", "protocol"]),
    ("topologySpreadConstraints", &["topologyKey", "whenUnsatisfiable"]),
    ("volumeMounts", &["mountPath"]),
    ("volumes", &["name"]),
];

/// Fields of the metadata that belong to no manager.
const SYSTEM: &[&str] =
    &["name", "namespace", "uid", "resourceVersion", "generation", "creationTimestamp", "managedFields"];

/// The part of an object that managers own.
pub fn owned(object: &Value) -> Value {
    let mut object = object.clone();
    for field in ["apiVersion", "kind"] {
        object.as_object_mut().expect("an object").remove(field);
    }
    if let Some(meta) = object.get_mut("metadata").and_then(Value::as_object_mut) {
        meta.retain(|name, _| !SYSTEM.contains(&name.as_str()));
        if meta.is_empty() {
            object.as_object_mut().expect("an object").remove("metadata");
        }
    }
    object
}

/// Applies a merge patch.
pub fn merge_patch(target: &mut Value, patch: &Value) {
    let Value::Object(changes) = patch else {
        *target = patch.clone();
        return;
    };
    if !target.is_object() {
        *target = json!({});
    }
    let fields = target.as_object_mut().expect("it is one now");
    for (name, change) in changes {
        match change {
            Value::Null => drop(fields.remove(name)),
            change => merge_patch(fields.entry(name).or_insert(Value::Null), change),
        }
    }
}

/// Merges an applied object.
pub fn merge_applied(target: &mut Value, sent: &Value) {
    merge_field(target, sent, "");
}

fn merge_field(target: &mut Value, sent: &Value, name: &str) {
    match (target, sent) {
        (Value::Object(fields), Value::Object(sent)) => {
            for (name, sent) in sent {
                merge_field(fields.entry(name).or_insert(Value::Null), sent, name);
            }
        }
        (Value::Array(items), Value::Array(sent)) if keys(name, sent).is_some() => {
            let keys = keys(name, sent).expect("as the guard requires");
            for sent in sent {
                match items.iter_mut().find(|item| key(item, keys) == key(sent, keys)) {
                    Some(item) => merge_field(item, sent, ""),
                    None => items.push(sent.clone()),
                }
            }
        }
        (target, sent) => *target = sent.clone(),
    }
}

/// The set of all fields of a value.
pub fn set(value: &Value) -> Value {
    set_of(value, "")
}

fn set_of(value: &Value, name: &str) -> Value {
    match value {
        Value::Object(fields) => {
            fields.iter().map(|(name, value)| (format!("f:{name}"), set_of(value, name))).collect()
        }
        Value::Array(items) => match keys(name, items) {
            Some(keys) => items.iter().map(|item| (key(item, keys), item_set(item))).collect(),
            None => json!({}),
        },
        _ => json!({}),
    }
}

fn item_set(item: &Value) -> Value {
    let mut set = set_of(item, "");
    set["."] = json!({});
    set
}

/// The set of the fields that `after` has with another value than `before`.
pub fn changed(before: &Value, after: &Value) -> Value {
    changed_field(before, after, "").unwrap_or_else(|| json!({}))
}

fn changed_field(before: &Value, after: &Value, name: &str) -> Option<Value> {
    let parts: Map<String, Value> = match (before, after) {
        (Value::Object(before), Value::Object(after)) => after
            .iter()
            .filter_map(|(name, after)| {
                let changed = match before.get(name) {
                    Some(before) => changed_field(before, after, name)?,
                    None => set_of(after, name),
                };
                Some((format!("f:{name}"), changed))
            })
            .collect(),
        (Value::Array(before), Value::Array(after)) if keys(name, after).is_some() => {
            let keys = keys(name, after).expect("as the guard requires");
            let was = |item: &Value| before.iter().find(|before| key(before, keys) == key(item, keys));
            let changed = |item: &Value| match was(item) {
                Some(before) => changed_field(before, item, ""),
                None => Some(item_set(item)),
            };
            after.iter().filter_map(|item| Some((key(item, keys), changed(item)?))).collect()
        }
        (before, after) => return (before != after).then(|| set_of(after, name)),
    };
    (!parts.is_empty()).then_some(Value::Object(parts))
}

/// The fields of a set that are not in another.
pub fn difference(set: &Value, other: &Value) -> Value {
    let parts = set.as_object().into_iter().flatten().filter_map(|(key, node)| {
        let Some(other) = other.get(key) else { return Some((key.clone(), node.clone())) };
        let rest = difference(node, other);
        // A node without children is a field that is owned as a whole.
        (!is_leaf(node) && !is_leaf(other) && !is_leaf(&rest)).then(|| (key.clone(), rest))
    });
    Value::Object(parts.collect())
}

/// The fields of both sets.
pub fn union(set: &Value, other: &Value) -> Value {
    let mut all = set.clone();
    for (key, node) in other.as_object().into_iter().flatten() {
        let united = all.get(key).map_or_else(|| node.clone(), |mine| union(mine, node));
        all[key] = united;
    }
    all
}

/// Removes the fields of a set, and what is empty without them.
pub fn remove(target: &mut Value, set: &Value) {
    for (path, node) in set.as_object().into_iter().flatten() {
        match (target.as_object_mut(), path.strip_prefix("f:")) {
            (Some(fields), Some(name)) => {
                let Some(field) = fields.get_mut(name) else { continue };
                remove(field, node);
                let is_empty =
                    field.as_object().is_some_and(Map::is_empty) || field.as_array().is_some_and(Vec::is_empty);
                if is_leaf(node) || is_empty {
                    fields.remove(name);
                }
            }
            (None, None) if path.starts_with("k:") => {
                let items = target.as_array_mut().expect("only lists have items");
                items.retain(|item| !(node.get(".").is_some() && is_item(item, path)));
                items.iter_mut().filter(|item| is_item(item, path)).for_each(|item| remove(item, node));
            }
            _ => {}
        }
    }
}

fn is_leaf(node: &Value) -> bool {
    node.as_object().is_none_or(Map::is_empty)
}

fn keys(name: &str, items: &[Value]) -> Option<&'static [&'static str]> {
    let have = |keys: &[&str]| items.iter().all(|item| keys.iter().all(|key| item.get(key).is_some()));
    KEYS.iter().find(|(list, keys)| *list == name && have(keys)).map(|(_, keys)| *keys)
}

fn key(item: &Value, keys: &[&str]) -> String {
    let key: Map<String, Value> = keys.iter().map(|key| ((*key).to_owned(), item[key].clone())).collect();
    format!("k:{}", Value::Object(key))
}

fn is_item(item: &Value, key: &str) -> bool {
    let keys: Map<String, Value> = serde_json::from_str(&key["k:".len()..]).expect("keys are JSON");
    keys.iter().all(|(name, value)| item.get(name) == Some(value))
}

#[test]
fn a_field_is_removed_when_nobody_owns_it_any_more_and_what_nobody_owned_stays() {
    let item = |name: &str| json!({"name": name, "value": "1"});
    let mut object =
        json!({"spec": {"type": "A", "mine": 1, "containers": [{"name": "c", "env": [item("a"), item("b")]}]}});
    let before = set(&object);
    let sent = json!({"spec": {"mine": 2, "containers": [{"name": "c", "env": [item("b")]}]}});
    assert_eq!(changed(&object, &sent), json!({"f:spec": {"f:mine": {}}}));
    merge_applied(&mut object, &sent);
    remove(&mut object, &difference(&difference(&before, &set(&sent)), &json!({"f:spec": {"f:type": {}}})));
    assert_eq!(object, json!({"spec": {"type": "A", "mine": 2, "containers": [{"name": "c", "env": [item("b")]}]}}));
}
