//! Objects for the tests of validation, offline (`tests/api_validation.rs`) and against a real API server
//! (`e2e/tests/bad_input.rs`): a table written by hand, and every bound of the schema broken once.

use std::collections::BTreeSet;

use recommender_operator::api::crd;
use serde::Deserialize;
use serde_json::{Map, Value, json};

/// The table: see `cases.yaml`.
#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Table {
    /// Valid objects. Together they use every field of the spec.
    pub valid: Vec<Valid>,
    /// Objects with mistakes.
    pub wrong: Vec<Wrong>,
}

/// A valid object.
#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Valid {
    /// What it shows.
    pub what: String,
    /// The object.
    pub object: Value,
}

/// A mistake, as a change of the first valid object.
#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Wrong {
    /// What is wrong.
    pub what: String,
    /// A merge patch. In it, `x*1000` stands for 1000 times x.
    pub change: Value,
    /// What the API server says, sorted. In it, `<choices>` stands for the values that the schema lists for the field, and
    /// `<pattern>` for its pattern.
    pub says: Vec<String>,
}

/// An object with one field changed.
pub struct Case {
    /// The field in the schema, as `spec.serving.env[].name`.
    pub field: String,
    /// What it is changed to.
    pub what: String,
    /// The object.
    pub object: Value,
}

/// Reads the table.
pub fn table() -> Table {
    let mut table: Table = serde_saphyr::from_str(include_str!("cases.yaml")).expect("the table is well-formed");
    for text in table.wrong.iter_mut().flat_map(|wrong| &mut wrong.says) {
        if text.contains(CHOICES) || text.contains(PATTERN) {
            *text = filled_in(text);
        }
    }
    table
}

/// Stands for the values that the schema lists for the field of a message.
const CHOICES: &str = "<choices>";
/// Stands for the pattern of the field of a message, in quotes.
const PATTERN: &str = "<pattern>";

fn filled_in(text: &str) -> String {
    let (field, _) = text.split_once(": ").expect("a message begins with its field");
    let below = |schema: Value, name| match schema["properties"].get(name) {
        Some(field) => field.clone(),
        None => schema["additionalProperties"].clone(),
    };
    let schema = field.split('.').fold(crd::schema(), below);
    let choices = schema["enum"].as_array().into_iter().flatten().map(Value::to_string).collect::<Vec<_>>().join(", ");
    let pattern = schema["pattern"].as_str().map(|pattern| format!("'{pattern}'")).unwrap_or_default();
    [(CHOICES, choices), (PATTERN, pattern)].into_iter().fold(text.to_owned(), |text, (of, value)| {
        assert!(!text.contains(of) || !value.is_empty(), "{field} has no {of}");
        text.replace(of, &value)
    })
}

impl Wrong {
    /// The object with the mistake.
    pub fn object(&self, table: &Table) -> Value {
        let mut object = table.valid[0].object.clone();
        merge(&mut object, &self.change);
        object
    }
}

/// RFC 7386, and long texts.
fn merge(target: &mut Value, change: &Value) {
    match change {
        Value::Object(changes) => {
            if !target.is_object() {
                *target = json!({});
            }
            let fields = target.as_object_mut().expect("it was just made one");
            for (name, change) in changes {
                if change.is_null() {
                    fields.remove(name);
                } else {
                    merge(fields.entry(name.clone()).or_insert(Value::Null), change);
                }
            }
        }
        Value::Array(values) => {
            let entries = values.iter().map(|value| {
                let mut entry = Value::Null;
                merge(&mut entry, value);
                entry
            });
            *target = entries.collect();
        }
        Value::String(text) => *target = expanded(text).into(),
        other => *target = other.clone(),
    }
}

fn expanded(text: &str) -> String {
    let repeat = text.split_once('*').and_then(|(unit, times)| Some(unit.repeat(times.parse().ok()?)));
    repeat.unwrap_or_else(|| text.to_owned())
}

/// A place in a valid object.
struct Place {
    /// Its field in the schema.
    field: String,
    /// JSON pointer to it.
    pointer: String,
    schema: Value,
}

/// The first place of every field in the valid objects that use it, with that object.
fn places(table: &Table) -> Vec<(&Value, Place)> {
    let mut seen = BTreeSet::new();
    let mut places = Vec::new();
    let schema = crd::schema();
    for valid in &table.valid {
        let mut found = Vec::new();
        walk_value("spec", "/spec", &schema["properties"]["spec"], &valid.object["spec"], &mut found);
        places.extend(found.into_iter().filter(|place| seen.insert(place.field.clone())).map(|p| (&valid.object, p)));
    }
    places
}

fn walk_value(field: &str, pointer: &str, schema: &Value, value: &Value, places: &mut Vec<Place>) {
    places.push(Place { field: field.to_owned(), pointer: pointer.to_owned(), schema: schema.clone() });
    match value {
        Value::Object(values) => {
            for (name, value) in values {
                let pointer = format!("{pointer}/{}", name.replace('~', "~0").replace('/', "~1"));
                match schema["properties"].get(name) {
                    Some(schema) => walk_value(&format!("{field}.{name}"), &pointer, schema, value, places),
                    None => {
                        walk_value(&format!("{field}[*]"), &pointer, &schema["additionalProperties"], value, places);
                    }
                }
            }
        }
        Value::Array(values) => {
            for (index, value) in values.iter().enumerate() {
                walk_value(&format!("{field}[]"), &format!("{pointer}/{index}"), &schema["items"], value, places);
            }
        }
        _ => {}
    }
}

/// Every bound of every field broken once, and some values beside them.
pub fn broken(table: &Table) -> Vec<Case> {
    places(table).into_iter().flat_map(|(object, place)| broken_at(object, &place)).collect()
}

fn broken_at(object: &Value, place: &Place) -> Vec<Case> {
    let value = object.pointer(&place.pointer).expect("the place is in the object");
    let schema = &place.schema;
    let mut values: Vec<(String, Value)> = vec![
        ("null".into(), Value::Null),
        ("a boolean".into(), json!(true)),
        ("a fraction".into(), json!(1.5)),
        ("a text".into(), json!("x")),
        ("an empty list".into(), json!([])),
        ("an empty map".into(), json!({})),
    ];
    values.extend(beyond_numbers(schema));
    values.extend(beyond_texts(schema));
    values.extend(beyond_collections(schema, value));
    let cases = values.into_iter().map(|(what, value)| {
        let mut object = object.clone();
        *object.pointer_mut(&place.pointer).expect("the place is in the object") = value;
        Case { field: place.field.clone(), what, object }
    });
    cases.collect()
}

fn beyond_numbers(schema: &Value) -> Vec<(String, Value)> {
    let bound = |keyword: &str, by: i64| Some((format!("beyond {keyword}"), json!(schema[keyword].as_i64()? + by)));
    let mut values: Vec<_> = [bound("minimum", -1), bound("maximum", 1)].into_iter().flatten().collect();
    if schema["format"] == "int32" {
        values.push(("beyond its format".into(), json!(3_000_000_000_i64)));
    }
    if schema["type"] == "integer" {
        values.push(("beyond any integer".into(), json!(1e300)));
    }
    values
}

fn beyond_texts(schema: &Value) -> Vec<(String, Value)> {
    let mut values = Vec::new();
    if let Some(length) = schema["maxLength"].as_u64() {
        values.push(("too long".to_owned(), json!("x".repeat(length as usize + 1))));
        values.push(("as long as allowed".to_owned(), json!("x".repeat(length as usize))));
        values.push(("empty".to_owned(), json!("")));
        values.push(("odd characters".to_owned(), json!("ä \t\"<&\u{a0}\u{1}")));
    }
    let rules = schema["x-kubernetes-validations"].as_array().into_iter().flatten();
    let has_form = |rule: &Value| rule["rule"].as_str().is_some_and(|rule| rule.starts_with("self.matches("));
    if schema["minLength"].as_u64() >= Some(1) || rules.into_iter().any(has_form) {
        values.push(("too short".to_owned(), json!("")));
    }
    if schema["enum"].is_array() {
        values.push(("not a choice".to_owned(), json!("NoSuch")));
    }
    values
}

fn beyond_collections(schema: &Value, value: &Value) -> Vec<(String, Value)> {
    let mut values = Vec::new();
    if schema["minItems"].as_u64() >= Some(1) {
        values.push(("too few entries".to_owned(), json!([])));
    }
    if let (Some(most), Some(entries)) = (schema["maxItems"].as_u64(), value.as_array()) {
        values.push(("too many entries".to_owned(), json!(vec![entries[0].clone(); most as usize + 1])));
        values.push(("the same entry twice".to_owned(), json!([entries[0], entries[0]])));
        values.push(("null in a list".to_owned(), json!([entries[0], null])));
    }
    let Some(fields) = value.as_object() else { return values };
    if let (Some(most), Some(entry)) = (schema["maxProperties"].as_u64(), fields.values().next()) {
        let entries: Map<String, Value> = (0..=most).map(|number| (format!("k{number}"), entry.clone())).collect();
        values.push(("too many entries".to_owned(), entries.into()));
        values.push(("null in a map".to_owned(), json!({ "k": null })));
    }
    for name in schema["required"].as_array().into_iter().flatten().filter_map(Value::as_str) {
        let mut fields = fields.clone();
        fields.remove(name);
        values.push((format!("without {name}"), fields.into()));
    }
    if schema["properties"].is_object() {
        let mut fields = fields.clone();
        fields.insert("noSuchField".into(), json!({ "a": [1] }));
        values.push(("an unknown field".to_owned(), fields.into()));
    }
    values
}
