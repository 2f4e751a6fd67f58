//! Evaluates the CEL rules of the schema (`x-kubernetes-validations`), each on the value it is defined at.

use std::collections::HashMap;

use kube::core::cel::{CompiledSchema, Validator, compile_schema};
use serde_json::Value;

use super::{Problem, schema::child};

/// Keyword of the rules in a schema.
const RULES: &str = "x-kubernetes-validations";

/// The rules of a schema, compiled.
pub(super) struct Rules {
    /// Rules on the value itself. Rules below it are compiled separately: otherwise the library would report them with
    /// paths that differ from the API server's.
    own: Option<CompiledSchema>,
    /// Rules of the fields of an object.
    properties: HashMap<String, Rules>,
    /// Rules of the entries of a list.
    items: Option<Box<Rules>>,
    /// Rules of the entries of a map.
    entries: Option<Box<Rules>>,
}

impl Rules {
    /// Compiles all rules at and below `schema`.
    pub(super) fn of(schema: &Value) -> Self {
        let below = |keyword: &str| schema[keyword].is_object().then(|| Box::new(Self::of(&schema[keyword])));
        let properties = schema["properties"].as_object().into_iter().flatten();
        Self {
            own: schema[RULES].is_array().then(|| own(schema)),
            properties: properties.map(|(name, schema)| (name.clone(), Self::of(schema))).collect(),
            items: below("items"),
            entries: below("additionalProperties"),
        }
    }

    /// Evaluates them on `value`, which is at `path`.
    pub(super) fn check(&self, value: &Value, path: &str, problems: &mut Vec<Problem>) {
        self.walk(&Validator::new(), value, path, problems);
    }

    fn walk(&self, validator: &Validator, value: &Value, path: &str, problems: &mut Vec<Problem>) {
        if let Some(rules) = &self.own {
            evaluate(validator, rules, value, path, problems);
        }
        match value {
            Value::Object(fields) => {
                for (name, value) in fields {
                    if let Some(rules) = self.properties.get(name) {
                        rules.walk(validator, value, &child(path, name), problems);
                    } else if let Some(rules) = &self.entries {
                        rules.walk(validator, value, &format!("{path}[{name}]"), problems);
                    }
                }
            }
            Value::Array(values) => {
                let Some(rules) = &self.items else { return };
                for (index, value) in values.iter().enumerate() {
                    rules.walk(validator, value, &format!("{path}[{index}]"), problems);
                }
            }
            _ => {}
        }
    }
}

/// The rules of a schema, without the rules below it.
fn own(schema: &Value) -> CompiledSchema {
    let mut schema = schema.clone();
    let own = schema[RULES].take();
    drop_rules(&mut schema);
    schema[RULES] = own;
    compile_schema(&schema)
}

fn evaluate(validator: &Validator, rules: &CompiledSchema, value: &Value, path: &str, problems: &mut Vec<Problem>) {
    let Err(failed) = validator.validate_compiled(rules, value, None) else { return };
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
        Rules::of(&schema).check(&value, "spec", &mut problems);
        problems.iter().map(Problem::to_string).collect()
    }

    #[test]
    fn a_rule_on_an_object_reports_the_path_of_the_object() {
        let schema = json!({ "type": "object", RULES: rule("self.a < self.b"), "properties": {
            "a": { "type": "integer" }, "b": { "type": "integer" }
        } });
        assert_eq!(texts(schema.clone(), json!({ "a": 2, "b": 1 })), ["spec: Invalid value: say it differently"]);
        assert_eq!(texts(schema, json!({ "a": 1, "b": 2 })), Vec::<String>::new());
    }

    #[test]
    fn a_rule_on_a_scalar_reports_its_value() {
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
    fn a_rule_that_cannot_be_evaluated_is_reported() {
        let schema = json!({ "type": "object", RULES: rule("self.missing == 1") });
        assert_eq!(texts(schema, json!({})).len(), 1);
    }
}
