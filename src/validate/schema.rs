//! The keywords of an OpenAPI schema, one function each. A keyword checks only values of types it applies to; a wrong type
//! is reported once, by [`types`].

use std::{
    collections::BTreeMap,
    sync::{Mutex, PoisonError},
};

use regex::Regex;
use serde_json::{Map, Value};

use super::{Problem, problem::go_float};

type Keyword = fn(&Value, &Value, &str, &mut Vec<Problem>);

/// All keywords, in the order in which they are checked.
const KEYWORDS: [Keyword; 11] =
    [types, text, number_format, maximum, minimum, list_size, map_size, enumeration, items, properties, list_keys];

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
    if expected.is_empty() || expected.contains(&actual) {
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

/// `maxLength`, `minLength` and `pattern`. The first violation is reported.
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

/// Compiled patterns: compiling takes far longer than matching, and a pattern occurs in many fields.
static PATTERNS: Mutex<BTreeMap<String, Regex>> = Mutex::new(BTreeMap::new());

/// Whether a text matches a pattern of the CRD; a test ensures that all of these are regular expressions.
fn matches(pattern: &str, text: &str) -> bool {
    let mut compiled = PATTERNS.lock().unwrap_or_else(PoisonError::into_inner);
    if !compiled.contains_key(pattern)
        && let Ok(regex) = Regex::new(pattern)
    {
        compiled.insert(pattern.to_owned(), regex);
    }
    compiled.get(pattern).is_some_and(|regex| regex.is_match(text))
}

/// `format` of an integer: whether the number fits it; without one, whether it is an integer of 64 bits.
fn number_format(schema: &Value, value: &Value, path: &str, problems: &mut Vec<Problem>) {
    let (true, Value::Number(number)) = (schema["type"] == "integer", value) else { return };
    let format = schema["format"].as_str();
    if number.as_i64().is_none_or(|integer| format == Some("int32") && i32::try_from(integer).is_err()) {
        let format = format.map_or_else(|| "(default format)".into(), |format| format!("with format {format}"));
        let detail = format!("Checked value must be of type integer {format} in {path}");
        problems.push(Problem::out_of_range(detail));
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
        if let Some(schema) = field(schema, name) {
            check(schema, value, &child(path, name), problems);
        }
    }
    let required = schema["required"].as_array().into_iter().flatten().filter_map(Value::as_str);
    problems
        .extend(required.filter(|name| !fields.contains_key(*name)).map(|name| Problem::required(&child(path, name))));
}

/// `x-kubernetes-list-map-keys`: no two entries have the same values of these fields.
fn list_keys(schema: &Value, value: &Value, path: &str, problems: &mut Vec<Problem>) {
    let (Some(fields), Some(entries)) = (schema["x-kubernetes-list-map-keys"].as_array(), value.as_array()) else {
        return;
    };
    if let Some(index) = entries.iter().position(|entry| !entry.is_object() && !entry.is_null()) {
        let detail = "must be an object for an array of list-type map".to_owned();
        problems.push(Problem::invalid(&format!("{path}[{index}]"), &entries[index], detail));
        return;
    }
    let key = |entry: &Value| -> Map<String, Value> {
        let fields = fields.iter().filter_map(Value::as_str);
        fields.filter_map(|field| Some((field.to_owned(), entry.get(field)?.clone()))).collect()
    };
    let keys: Vec<Map<String, Value>> = entries.iter().map(key).collect();
    for (index, key) in keys.iter().enumerate() {
        // A key that occurs three times is reported once, at its first repetition.
        if keys[..index].iter().filter(|other| *other == key).count() == 1 {
            problems.push(Problem::duplicate(&format!("{path}[{index}]"), &Value::Object(key.clone())));
        }
    }
}

/// The schema of a field: its own, or that of a map's values. None when it is unknown.
pub(super) fn field<'a>(schema: &'a Value, name: &str) -> Option<&'a Value> {
    [&schema["properties"][name], &schema["additionalProperties"]].into_iter().find(|schema| schema.is_object())
}

/// The path of the field `name` of the object at `path`.
pub(super) fn child(path: &str, name: &str) -> String {
    if path.is_empty() { name.to_owned() } else { format!("{path}.{name}") }
}

#[cfg(test)]
mod tests {
    use kube::core::cel::apply_defaults;
    use serde_json::json;

    use super::*;
    use crate::api::crd;

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
        assert_eq!(texts(integer, json!(80)), NONE);
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
        let without = json!({ "type": "integer" });
        assert_eq!(texts(without.clone(), json!(3_000_000_000_i64)), NONE);
        assert_eq!(
            texts(without, json!(80.5)),
            [
                r#"spec.a: Invalid value: "number": spec.a in body must be of type integer: "number""#,
                r#"<nil>: Invalid value: "": Checked value must be of type integer (default format) in spec.a"#
            ]
        );
    }

    #[test]
    fn a_quantity_is_an_integer_or_a_string() {
        let quantity = json!({ "x-kubernetes-int-or-string": true });
        assert_eq!(texts(quantity.clone(), json!(1)), NONE);
        assert_eq!(texts(quantity.clone(), json!("500m")), NONE);
        assert_eq!(
            texts(quantity, json!(1.5)),
            [r#"spec.a: Invalid value: "number": spec.a in body must be of type integer,string: "number""#]
        );
    }

    #[test]
    fn the_length_of_a_string_is_bounded_in_characters() {
        let schema = json!({ "type": "string", "minLength": 2, "maxLength": 3 });
        assert_eq!(texts(schema.clone(), json!("abcd")), ["spec.a: Too long: may not be more than 3 bytes"]);
        assert_eq!(
            texts(schema.clone(), json!("ä")),
            [r#"spec.a: Invalid value: "ä": spec.a in body should be at least 2 chars long"#]
        );
        assert_eq!(texts(schema, json!("äöü")), NONE);
    }

    #[test]
    fn a_pattern_applies_to_texts_that_are_not_too_long_and_not_to_numbers() {
        let schema =
            json!({ "x-kubernetes-int-or-string": true, "pattern": "^[0-9]+m$", "maxLength": 4, "minimum": 0 });
        assert_eq!(
            texts(schema.clone(), json!("1 m")),
            [r#"spec.a: Invalid value: "1 m": spec.a in body should match '^[0-9]+m$'"#]
        );
        assert_eq!(texts(schema.clone(), json!("1234 m")), ["spec.a: Too long: may not be more than 4 bytes"]);
        assert_eq!(
            texts(schema.clone(), json!(-1)),
            ["spec.a: Invalid value: -1: spec.a in body should be greater than or equal to 0"]
        );
        assert_eq!(texts(schema.clone(), json!("12m")), NONE);
        assert_eq!(texts(schema, json!(12)), NONE);
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
            format!("spec.a: Invalid value: {value}: spec.a in body should be less than or equal to {bound}")
        };
        assert_eq!(texts(schema.clone(), json!(2_000_000)), [expected("2000000", "1000000")]);
        assert_eq!(texts(schema, json!(1e300))[2..], [expected("1e+300", "1e+06")]);
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

    /// The problems of a list whose entries are distinguished by `name`.
    fn of_list(entries: Value) -> Vec<String> {
        let list = json!({ "type": "array", "x-kubernetes-list-map-keys": ["name"], "items": {} });
        texts(list, entries)
    }

    #[test]
    fn a_key_that_is_repeated_is_reported_once() {
        let entries = json!([{ "name": "a" }, { "name": "b" }, { "name": "a" }, { "name": "a", "value": 1 }]);
        assert_eq!(of_list(entries), [r#"spec.a[2]: Duplicate value: {"name":"a"}"#]);
    }

    #[test]
    fn different_keys_are_accepted_and_two_missing_keys_are_equal() {
        assert_eq!(of_list(json!([{ "name": "a" }, { "name": "b" }, {}])), NONE);
        assert_eq!(of_list(json!([{}, { "value": "x" }])), ["spec.a[1]: Duplicate value: {}"]);
    }

    #[test]
    fn entries_with_keys_are_objects() {
        assert_eq!(
            of_list(json!([{ "name": "a" }, "b", "c"])),
            [r#"spec.a[1]: Invalid value: "b": must be an object for an array of list-type map"#]
        );
    }

    #[test]
    fn the_crd_uses_only_what_is_checked() {
        only_what_is_checked(&crd::schema()["properties"]["spec"], "spec", false);
    }

    /// Fails when `schema`, that of the field at `path`, has a keyword that nothing here checks.
    fn only_what_is_checked(schema: &Value, path: &str, in_map: bool) {
        const CHECKED: [&str; 18] = [
            "type",
            "format",
            "maxLength",
            "minLength",
            "pattern",
            "maximum",
            "minimum",
            "maxItems",
            "minItems",
            "maxProperties",
            "enum",
            "items",
            "properties",
            "additionalProperties",
            "required",
            "x-kubernetes-int-or-string",
            "default",
            "description",
        ];
        /// The API server reports an entry of a map as `labels[key]` for these, and as `labels.key` for all others.
        const NOT_IN_MAPS: [&str; 3] =
            ["x-kubernetes-validations", "x-kubernetes-list-type", "x-kubernetes-list-map-keys"];
        for (keyword, value) in schema.as_object().into_iter().flatten() {
            let keyword = keyword.as_str();
            let checked = CHECKED.contains(&keyword) || (!in_map && NOT_IN_MAPS.contains(&keyword));
            assert!(checked, "validation does not check {keyword} of {path}");
            match keyword {
                "x-kubernetes-list-type" => assert_eq!(value, "map", "{path}"),
                "pattern" => assert!(value.as_str().is_some_and(|of| Regex::new(of).is_ok()), "{path}"),
                "format" => assert!(schema["type"] == "integer" && (value == "int32" || value == "int64"), "{path}"),
                _ => {}
            }
        }
        // Bounds imply the format.
        let is_bounded = schema["minimum"].is_number() && schema["maximum"].is_number();
        let has_format = schema["format"].is_string();
        assert!(schema["type"] != "integer" || has_format || is_bounded, "{path} has neither a format nor bounds");
        assert!(!expected_types(schema).is_empty(), "{path} has no type");
        // kube does not fill in defaults within a default.
        let default = &schema["default"];
        assert_eq!(apply_defaults(schema, default), *default, "the default of {path} is not complete");
        for (name, schema) in schema["properties"].as_object().into_iter().flatten() {
            only_what_is_checked(schema, &child(path, name), in_map);
        }
        for (below, in_map) in [("items", in_map), ("additionalProperties", true)] {
            if schema[below].is_object() {
                only_what_is_checked(&schema[below], &child(path, below), in_map);
            }
        }
    }
}
