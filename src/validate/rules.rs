//! The CEL rules of the schema (`x-kubernetes-validations`), which kube evaluates.

use kube::core::cel::{CompiledSchema, Validator};
use serde_json::Value;

use super::Problem;

/// Evaluates the rules on `object`.
pub(super) fn check(rules: &CompiledSchema, object: &Value, problems: &mut Vec<Problem>) {
    let Err(failures) = Validator::new().validate_compiled(rules, object, None) else { return };
    let mut failures = failures.into_vec();
    // kube visits the fields of an object in no particular order. The sort is stable: rules of one field stay in theirs.
    failures.sort_by(|a, b| a.field_path.cmp(&b.field_path));
    problems.extend(failures.iter().map(|failure| problem(object, &failure.field_path, failure.message.trim())));
}

fn problem(object: &Value, path: &str, message: &str) -> Problem {
    match object.pointer(&pointer(path)) {
        Some(value) if !value.is_object() && !value.is_array() => Problem::invalid(path, value, message.to_owned()),
        _ => Problem::rule(path, message),
    }
}

/// The JSON pointer of a path: `/spec/env/0/name` of `spec.env[0].name`.
fn pointer(path: &str) -> String {
    format!("/{}", path.replace(['.', '['], "/").replace(']', ""))
}

#[cfg(test)]
mod tests {
    use kube::core::cel::compile_schema;
    use serde_json::json;

    use super::*;

    /// Keyword of the rules in a schema.
    const RULES: &str = "x-kubernetes-validations";

    fn rule(rule: &str) -> Value {
        json!([{ "rule": rule, "message": "say it differently" }])
    }

    /// The problems that the rules of `schema`, which is that of the field `spec`, report for `value`.
    fn texts(schema: Value, value: Value) -> Vec<String> {
        let mut problems = Vec::new();
        let rules = compile_schema(&json!({ "type": "object", "properties": { "spec": schema } }));
        check(&rules, &json!({ "spec": value }), &mut problems);
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
        let list = json!({ "type": "array", "items": { "type": "string", RULES: rule("self != 'x'") } });
        let schema = json!({ "type": "object", "properties": { "list": list } });
        assert_eq!(
            texts(schema, json!({ "list": ["y", "x"] })),
            [r#"spec.list[1]: Invalid value: "x": say it differently"#]
        );
    }

    #[test]
    fn the_rules_of_fields_are_reported_in_the_order_of_their_paths() {
        let names = ["a", "b", "c", "d", "e", "f"];
        let object = |value: Value| names.map(|name| (name, value.clone())).into_iter().collect::<Value>();
        let failing = json!({ "type": "object", RULES: rule("false") });
        let schema = json!({ "type": "object", RULES: rule("false"), "properties": object(failing) });
        let expected = ["spec", "spec.a", "spec.b", "spec.c", "spec.d", "spec.e", "spec.f"];
        assert_eq!(
            texts(schema, object(json!({}))),
            expected.map(|path| format!("{path}: Invalid value: say it differently"))
        );
    }

    #[test]
    fn a_rule_that_cannot_be_evaluated_is_reported() {
        let schema = json!({ "type": "object", RULES: rule("self.missing == 1") });
        assert_eq!(texts(schema, json!({})).len(), 1);
    }
}
