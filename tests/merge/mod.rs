//! Changes of objects in tests.

use serde_json::Value;

/// Adds the fields of `change`, and replaces those that are there.
pub fn merge(target: &mut Value, change: &Value) {
    for (name, value) in change.as_object().expect("an object") {
        if value.is_object() && target[name].is_object() {
            merge(&mut target[name], value);
        } else {
            target[name] = value.clone();
        }
    }
}
