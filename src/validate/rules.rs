//! The CEL rules of the schema (`x-kubernetes-validations`), each on the value it is written at.

use kube::core::cel::Validator;
use serde_json::Value;

use super::{Problem, schema::child};

const RULES: &str = "x-kubernetes-validations";

/// Evaluates all rules at and below `value`, which is at `path`.
pub(super) fn check(schema: &Value, value: &Value, path: &str, problems: &mut Vec<Problem>) {
    if schema[RULES].is_array() {
        here(schema, value, path, problems);
    }
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
            for (index, entry) in entries.iter().enumerate() {
                check(&schema["items"], entry, &format!("{path}[{index}]"), problems);
            }
        }
        _ => {}
    }
}

fn here(schema: &Value, value: &Value, path: &str, problems: &mut Vec<Problem>) {
    // The rules below are left out: their paths would be those of this library, not of the API server.
    let mut schema = schema.clone();
    let own = schema[RULES].take();
    drop_rules(&mut schema);
    schema[RULES] = own;
    let Err(failed) = Validator::new().validate(&schema, value, None) else { return };
    for failure in failed {
        let path = format!("{path}{}", failure.field_path);
        problems.push(if value.is_object() || value.is_array() {
            Problem::rule(&path, failure.message.trim())
        } else {
            Problem::invalid(&path, value, failure.message.trim().to_owned())
        });
    }
}

fn drop_rules(schema: &mut Value) {
    match schema {
        Value::Object(keywords) => {
            keywords.remove(RULES);
            keywords.values_mut().for_each(drop_rules);
        }
        Value::Array(values) => values.iter_mut().for_each(drop_rules),
        _ => {}
    }
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;

    fn rule(rule: &str) -> Value {
        json!([{ "rule": rule, "message": "say it differently" }])
    }

    fn texts(schema: Value, value: Value) -> Vec<String> {
        let mut problems = Vec::new();
        check(&schema, &value, "spec", &mut problems);
        problems.iter().map(Problem::to_string).collect()
    }

    #[test]
    fn a_rule_on_an_object_names_the_object() {
        let schema = json!({ "type": "object", RULES: rule("self.a < self.b"), "properties": {
            "a": { "type": "integer" }, "b": { "type": "integer" }
        } });
        assert_eq!(texts(schema.clone(), json!({ "a": 2, "b": 1 })), ["spec: Invalid value: say it differently"]);
        assert_eq!(texts(schema, json!({ "a": 1, "b": 2 })), Vec::<String>::new());
    }

    #[test]
    fn a_rule_on_a_scalar_repeats_its_value() {
        let schema = json!({ "type": "string", RULES: rule("self != 'x'") });
        assert_eq!(texts(schema, json!("x")), [r#"spec: Invalid value: "x": say it differently"#]);
    }

    #[test]
    fn rules_below_lists_and_maps_are_evaluated_once_with_the_path_of_the_api_server() {
        let inner = json!({ "type": "object", RULES: rule("false") });
        let schema = json!({ "type": "object", RULES: rule("true"), "properties": {
            "list": { "type": "array", "items": inner },
            "map": { "type": "object", "additionalProperties": inner }
        } });
        assert_eq!(
            texts(schema, json!({ "list": [{}], "map": { "a.b/c": {} } })),
            ["spec.list[0]: Invalid value: say it differently", "spec.map[a.b/c]: Invalid value: say it differently"]
        );
    }

    #[test]
    fn a_rule_that_cannot_be_evaluated_is_not_passed_over() {
        let schema = json!({ "type": "object", RULES: rule("self.missing == 1") });
        assert_eq!(texts(schema, json!({})).len(), 1);
    }
}
