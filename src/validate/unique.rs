//! Lists of type map (`x-kubernetes-list-type: map`): no key may occur twice.

use serde_json::{Map, Value};

use super::{Problem, schema::child};

/// Checks all lists at and below `value`, which is at `path`.
pub(super) fn check(schema: &Value, value: &Value, path: &str, problems: &mut Vec<Problem>) {
    match value {
        Value::Object(fields) => {
            for (name, value) in fields {
                let known = &schema["properties"][name];
                if known.is_object() {
                    check(known, value, &child(path, name), problems);
                } else {
                    check(&schema["additionalProperties"], value, &format!("{path}[{name}]"), problems);
                }
            }
        }
        Value::Array(entries) => {
            if schema["x-kubernetes-list-type"] == "map" {
                keys(&schema["x-kubernetes-list-map-keys"], entries, path, problems);
            }
            for (index, entry) in entries.iter().enumerate() {
                check(&schema["items"], entry, &format!("{path}[{index}]"), problems);
            }
        }
        _ => {}
    }
}

fn keys(fields: &Value, entries: &[Value], path: &str, problems: &mut Vec<Problem>) {
    if let Some(index) = entries.iter().position(|entry| !entry.is_object() && !entry.is_null()) {
        let detail = "must be an object for an array of list-type map".to_owned();
        problems.push(Problem::invalid(&format!("{path}[{index}]"), &entries[index], detail));
        return;
    }
    let fields: Vec<&str> = fields.as_array().into_iter().flatten().filter_map(Value::as_str).collect();
    let key = |entry: &Value| -> Map<String, Value> {
        let given = fields.iter().filter_map(|field| Some(((*field).to_owned(), entry.get(field)?.clone())));
        given.collect()
    };
    let keys: Vec<Map<String, Value>> = entries.iter().map(key).collect();
    for (index, key) in keys.iter().enumerate() {
        // A key that occurs three times is reported once, at its first repetition.
        if keys[..index].iter().filter(|other| *other == key).count() == 1 {
            problems.push(Problem::duplicate(&format!("{path}[{index}]"), &Value::Object(key.clone())));
        }
    }
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;

    fn texts(value: Value) -> Vec<String> {
        let list = json!({ "x-kubernetes-list-type": "map", "x-kubernetes-list-map-keys": ["name"], "items": {} });
        let mut problems = Vec::new();
        check(&json!({ "properties": { "env": list } }), &json!({ "env": value }), "", &mut problems);
        problems.iter().map(Problem::to_string).collect()
    }

    #[test]
    fn a_key_that_is_repeated_is_reported_once() {
        let entries = json!([{ "name": "a" }, { "name": "b" }, { "name": "a" }, { "name": "a", "value": 1 }]);
        assert_eq!(texts(entries), [r#"env[2]: Duplicate value: {"name":"a"}"#]);
    }

    #[test]
    fn different_keys_are_accepted_and_two_missing_keys_are_equal() {
        assert_eq!(texts(json!([{ "name": "a" }, { "name": "b" }, {}])), Vec::<String>::new());
        assert_eq!(texts(json!([{}, { "value": "x" }])), ["env[1]: Duplicate value: {}"]);
    }

    #[test]
    fn entries_are_objects() {
        assert_eq!(
            texts(json!([{ "name": "a" }, "b", "c"])),
            [r#"env[1]: Invalid value: "b": must be an object for an array of list-type map"#]
        );
    }
}
