//! The keywords of an OpenAPI schema, one function each. A keyword checks only values of types it applies to; a wrong type
//! is reported once, by [`types`].

use regex::bytes::RegexBuilder;
use serde_json::{Map, Value};

use super::{Problem, problem::go_float};

type Keyword = fn(&Value, &Value, &str, &mut Vec<Problem>);

/// All keywords, in the order in which they are checked.
const KEYWORDS: [Keyword; 10] =
    [types, text, number_format, maximum, minimum, list_size, map_size, enumeration, items, properties];

/// Checks `value`, which is at `path`, against `schema` and everything below.
pub(super) fn check(schema: &Value, value: &Value, path: &str, problems: &mut Vec<Problem>) {
    for keyword in KEYWORDS {
        keyword(schema, value, path, problems);
    }
}

/// The types a schema allows: one, or two for a quantity.
fn expected_types(schema: &Value) -> Vec<&str> {
    if schema["x-kubernetes-int-or-string"] == true {
        return vec!["integer", "string"];
    }
    schema["type"].as_str().into_iter().collect()
}

/// `type`, and `format` of a number where the API server reports the format as the expected type.
fn types(schema: &Value, value: &Value, path: &str, problems: &mut Vec<Problem>) {
    let expected = expected_types(schema);
    let actual = type_of(value);
    if expected.is_empty() || expected.contains(&actual) || (actual == "number" && fits_integer(schema, value)) {
        return;
    }
    match schema["format"].as_str() {
        Some(format) if !value.is_string() && !value.is_array() && !value.is_null() => {
            problems.push(Problem::wrong_type(path, format, if actual == "number" { "float64" } else { "" }));
        }
        _ => problems.push(Problem::wrong_type(path, &expected.join(","), actual)),
    }
}

fn type_of(value: &Value) -> &'static str {
    match value {
        Value::Null => "null",
        Value::Bool(_) => "boolean",
        Value::Number(number) if number.is_i64() => "integer",
        Value::Number(_) => "number",
        Value::String(_) => "string",
        Value::Array(_) => "array",
        Value::Object(_) => "object",
    }
}

/// Whether a number without a fraction, such as 3.0, is accepted because an integer is expected.
fn fits_integer(schema: &Value, value: &Value) -> bool {
    /// The largest integer (2^53 - 1) up to which a float represents every integer exactly.
    const LOSSLESS: f64 = 9_007_199_254_740_991.0;
    let whole = value.as_f64().is_some_and(|float| float.fract() == 0.0 && float.abs() <= LOSSLESS);
    whole && expected_types(schema).contains(&"integer")
}

/// `maxLength`, `minLength` and `pattern`: only the first violation is reported.
fn text(schema: &Value, value: &Value, path: &str, problems: &mut Vec<Problem>) {
    let Some(text) = value.as_str() else { return };
    let length = text.chars().count() as i64;
    if let Some(maximum) = schema["maxLength"].as_i64().filter(|maximum| length > *maximum) {
        problems.push(Problem::too_long(path, maximum));
    } else if let Some(minimum) = schema["minLength"].as_i64().filter(|minimum| length < *minimum) {
        let detail = format!("{path} in body should be at least {minimum} chars long");
        problems.push(Problem::invalid(path, value, detail));
    } else if let Some(pattern) = schema["pattern"].as_str().filter(|pattern| !matches(pattern, text)) {
        let detail = format!("{path} in body should match '{pattern}'");
        problems.push(Problem::invalid(path, value, detail));
    }
}

/// Whether a text matches a pattern. Go's classes (`\s`, `\d`, `\w`) contain ASCII characters only.
fn matches(pattern: &str, text: &str) -> bool {
    let regex = RegexBuilder::new(pattern).unicode(false).build();
    regex.expect("patterns of the schema are valid").is_match(text.as_bytes())
}

/// `format` of an integer: whether the number fits it.
fn number_format(schema: &Value, value: &Value, path: &str, problems: &mut Vec<Problem>) {
    let Value::Number(number) = value else { return };
    if schema["type"] != "integer" {
        return;
    }
    let integer = number.as_i64().or_else(|| fits_integer(schema, value).then(|| value.as_f64().unwrap_or(0.0) as i64));
    let format = schema["format"].as_str().filter(|format| ["int32", "int64"].contains(format));
    let fits = integer.is_some_and(|integer| format != Some("int32") || i32::try_from(integer).is_ok());
    if !fits {
        let format = format.map_or("(default format)".to_owned(), |format| format!("with format {format}"));
        problems.push(Problem::out_of_range(format!("Checked value must be of type integer {format} in {path}")));
    }
}

fn maximum(schema: &Value, value: &Value, path: &str, problems: &mut Vec<Problem>) {
    let (Some(limit), Some(number)) = (schema["maximum"].as_f64(), value.as_f64()) else { return };
    if number > limit {
        let detail = format!("{path} in body should be less than or equal to {}", bound(limit, value));
        problems.push(Problem::invalid(path, value, detail));
    }
}

fn minimum(schema: &Value, value: &Value, path: &str, problems: &mut Vec<Problem>) {
    let (Some(limit), Some(number)) = (schema["minimum"].as_f64(), value.as_f64()) else { return };
    if number < limit {
        let detail = format!("{path} in body should be greater than or equal to {}", bound(limit, value));
        problems.push(Problem::invalid(path, value, detail));
    }
}

/// A bound as the API server prints it: as an integer beside an integer, otherwise as a float.
fn bound(limit: f64, value: &Value) -> String {
    if value.is_i64() { limit.to_string() } else { go_float(limit, 1e6) }
}

/// `minItems` and `maxItems`.
fn list_size(schema: &Value, value: &Value, path: &str, problems: &mut Vec<Problem>) {
    let Some(size) = value.as_array().map(Vec::len) else { return };
    if let Some(minimum) = schema["minItems"].as_u64().filter(|minimum| (size as u64) < *minimum) {
        let detail = format!("{path} in body should have at least {minimum} items");
        problems.push(Problem::invalid(path, &size.into(), detail));
    }
    if let Some(maximum) = schema["maxItems"].as_i64().filter(|maximum| size as i64 > *maximum) {
        problems.push(Problem::too_many(path, size, maximum));
    }
}

/// `maxProperties`.
fn map_size(schema: &Value, value: &Value, path: &str, problems: &mut Vec<Problem>) {
    let Some(size) = value.as_object().map(Map::len) else { return };
    if let Some(maximum) = schema["maxProperties"].as_i64().filter(|maximum| size as i64 > *maximum) {
        problems.push(Problem::too_many(path, size, maximum));
    }
}

/// `enum`.
fn enumeration(schema: &Value, value: &Value, path: &str, problems: &mut Vec<Problem>) {
    if let Some(supported) = schema["enum"].as_array().filter(|supported| !supported.contains(value)) {
        problems.push(Problem::unsupported(path, value, supported));
    }
}

/// `items`.
fn items(schema: &Value, value: &Value, path: &str, problems: &mut Vec<Problem>) {
    let (Some(values), true) = (value.as_array(), schema["items"].is_object()) else { return };
    for (index, value) in values.iter().enumerate() {
        check(&schema["items"], value, &format!("{path}[{index}]"), problems);
    }
}

/// `properties`, `required` and `additionalProperties`.
fn properties(schema: &Value, value: &Value, path: &str, problems: &mut Vec<Problem>) {
    let Some(fields) = value.as_object() else { return };
    for (name, value) in fields {
        let known = &schema["properties"][name];
        let schema = if known.is_object() { known } else { &schema["additionalProperties"] };
        if schema.is_object() {
            check(schema, value, &child(path, name), problems);
        }
    }
    let required = schema["required"].as_array().into_iter().flatten().filter_map(Value::as_str);
    problems
        .extend(required.filter(|name| !fields.contains_key(*name)).map(|name| Problem::required(&child(path, name))));
}

/// The path of the field `name` of the object at `path`.
pub(super) fn child(path: &str, name: &str) -> String {
    if path.is_empty() { name.to_owned() } else { format!("{path}.{name}") }
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;

    /// The problems that `schema` reports for `value` at `spec.a`.
    fn texts(schema: Value, value: Value) -> Vec<String> {
        let mut problems = Vec::new();
        check(&schema, &value, "spec.a", &mut problems);
        problems.iter().map(Problem::to_string).collect()
    }

    /// No problems.
    const NONE: [&str; 0] = [];

    #[test]
    fn a_value_of_the_wrong_type_is_reported_with_its_type() {
        let integer = json!({ "type": "integer" });
        assert_eq!(
            texts(integer.clone(), json!("80")),
            [r#"spec.a: Invalid value: "string": spec.a in body must be of type integer: "string""#]
        );
        assert_eq!(texts(integer.clone(), json!(80)), NONE);
        assert_eq!(texts(integer, json!(80.0)), NONE);
        assert_eq!(
            texts(json!({ "type": "string" }), json!(null)),
            [r#"spec.a: Invalid value: "null": spec.a in body must be of type string: "null""#]
        );
    }

    #[test]
    fn a_number_must_fit_its_format() {
        let port = json!({ "type": "integer", "format": "int32" });
        assert_eq!(
            texts(port.clone(), json!(true)),
            [r#"spec.a: Invalid value: "": spec.a in body must be of type int32: """#]
        );
        assert_eq!(
            texts(port.clone(), json!([])),
            [r#"spec.a: Invalid value: "array": spec.a in body must be of type integer: "array""#]
        );
        assert_eq!(
            texts(port, json!(3_000_000_000_i64)),
            [r#"<nil>: Invalid value: "": Checked value must be of type integer with format int32 in spec.a"#]
        );
    }

    #[test]
    fn a_quantity_is_an_integer_or_a_string() {
        let quantity = json!({ "x-kubernetes-int-or-string": true, "pattern": "^[0-9]+m?$" });
        assert_eq!(texts(quantity.clone(), json!(1)), NONE);
        assert_eq!(texts(quantity.clone(), json!("500m")), NONE);
        assert_eq!(
            texts(quantity.clone(), json!("5x")),
            [r#"spec.a: Invalid value: "5x": spec.a in body should match '^[0-9]+m?$'"#]
        );
        assert_eq!(
            texts(quantity, json!(1.5)),
            [r#"spec.a: Invalid value: "number": spec.a in body must be of type integer,string: "number""#]
        );
    }

    #[test]
    fn only_the_first_violated_bound_of_a_string_is_reported() {
        let schema = json!({ "type": "string", "minLength": 2, "maxLength": 3, "pattern": "^[a-z]+$" });
        assert_eq!(texts(schema.clone(), json!("ABCD")), ["spec.a: Too long: may not be more than 3 bytes"]);
        assert_eq!(
            texts(schema.clone(), json!("A")),
            [r#"spec.a: Invalid value: "A": spec.a in body should be at least 2 chars long"#]
        );
        assert_eq!(
            texts(schema.clone(), json!("AB")),
            [r#"spec.a: Invalid value: "AB": spec.a in body should match '^[a-z]+$'"#]
        );
        assert_eq!(texts(schema, json!("ab")), NONE);
    }

    #[test]
    fn lengths_count_characters_and_classes_contain_ascii_only() {
        assert_eq!(texts(json!({ "type": "string", "maxLength": 2 }), json!("äö")), NONE);
        assert_eq!(texts(json!({ "type": "string", "pattern": r"^\S+$" }), json!("a\u{a0}b")), NONE);
    }

    #[test]
    fn numbers_are_bounded_on_both_sides() {
        let schema = json!({ "type": "integer", "minimum": 1, "maximum": 9 });
        assert_eq!(
            texts(schema.clone(), json!(0)),
            ["spec.a: Invalid value: 0: spec.a in body should be greater than or equal to 1"]
        );
        assert_eq!(
            texts(schema.clone(), json!(10)),
            ["spec.a: Invalid value: 10: spec.a in body should be less than or equal to 9"]
        );
        assert_eq!(texts(schema.clone(), json!(1)), NONE);
        assert_eq!(texts(schema, json!(9)), NONE);
    }

    #[test]
    fn a_large_bound_is_printed_as_integer_or_float_like_the_value() {
        let schema = json!({ "type": "integer", "maximum": 1_000_000 });
        let expected = |value, bound| {
            [format!("spec.a: Invalid value: {value}: spec.a in body should be less than or equal to {bound}")]
        };
        assert_eq!(texts(schema.clone(), json!(2_000_000)), expected("2000000", "1000000"));
        assert_eq!(texts(schema, json!(2e6)), expected("2000000", "1e+06"));
    }

    #[test]
    fn lists_and_maps_are_bounded() {
        let list = json!({ "type": "array", "minItems": 1, "maxItems": 2, "items": { "type": "string" } });
        assert_eq!(
            texts(list.clone(), json!([])),
            ["spec.a: Invalid value: 0: spec.a in body should have at least 1 items"]
        );
        assert_eq!(texts(list.clone(), json!(["a", "b", "c"])), ["spec.a: Too many: 3: must have at most 2 items"]);
        assert_eq!(
            texts(list, json!(["a", 1])),
            [r#"spec.a[1]: Invalid value: "integer": spec.a[1] in body must be of type string: "integer""#]
        );
        let map = json!({ "type": "object", "maxProperties": 1, "additionalProperties": { "type": "string", "maxLength": 1 } });
        assert_eq!(
            texts(map, json!({ "b.c": "xx", "d": "y" })),
            ["spec.a: Too many: 2: must have at most 1 item", "spec.a.b.c: Too long: may not be more than 1 byte"]
        );
    }

    #[test]
    fn only_listed_values_are_supported() {
        let schema = json!({ "type": "string", "enum": ["A", "B"] });
        assert_eq!(
            texts(schema.clone(), json!("X")),
            [r#"spec.a: Unsupported value: "X": supported values: "A", "B""#]
        );
        assert_eq!(texts(schema, json!("B")), NONE);
    }

    #[test]
    fn only_missing_required_fields_are_reported() {
        let schema = json!({ "type": "object", "required": ["b"], "properties": { "b": {}, "c": {} } });
        assert_eq!(texts(schema, json!({ "c": 1 })), ["spec.a.b: Required value"]);
    }
}
