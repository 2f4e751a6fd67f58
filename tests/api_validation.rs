//! Offline validation, on the same objects that `e2e/tests/bad_input.rs` sends to a real API server.

mod bad_input;

use std::collections::BTreeSet;

use recommender_operator::{
    api::{RecommenderModel, crd},
    validate::{Problem, stored, validate},
};
use serde_json::Value;

fn texts(object: &Value) -> Vec<String> {
    let mut texts: Vec<String> = validate(object).iter().map(Problem::to_string).collect();
    texts.sort();
    texts
}

#[test]
fn valid_objects_have_no_problems() {
    for valid in bad_input::table().valid {
        assert_eq!(texts(&valid.object), Vec::<String>::new(), "{}", valid.what);
    }
}

#[test]
fn the_valid_objects_use_every_field() {
    let mut fields = BTreeSet::new();
    // A field that is always refused is there for what the API server says of it.
    let is_refused = |schema: &Value| schema["x-kubernetes-validations"][0]["rule"] == "false";
    walk_schema("spec", &crd::schema()["properties"]["spec"], &mut |path, schema| {
        fields.extend((!is_refused(schema)).then(|| path.to_owned()));
    });
    let used: BTreeSet<String> = bad_input::broken(&bad_input::table()).into_iter().map(|case| case.field).collect();
    let unused: Vec<&String> = fields.difference(&used).collect();
    assert!(unused.is_empty(), "use these in a valid object of tests/bad_input/cases.yaml: {unused:#?}");
}

/// Calls `each` with every field at and below `path`, as `spec.serving.env[].name`, and its schema.
fn walk_schema(path: &str, schema: &Value, each: &mut impl FnMut(&str, &Value)) {
    each(path, schema);
    for (name, child) in schema["properties"].as_object().into_iter().flatten() {
        walk_schema(&format!("{path}.{name}"), child, each);
    }
    for (keyword, suffix) in [("items", "[]"), ("additionalProperties", "[*]")] {
        if schema[keyword].is_object() {
            walk_schema(&format!("{path}{suffix}"), &schema[keyword], each);
        }
    }
}

#[test]
fn every_mistake_of_the_table_is_told_as_written_there() {
    let table = bad_input::table();
    for wrong in &table.wrong {
        assert_eq!(texts(&wrong.object(&table)), wrong.says, "{}", wrong.what);
    }
}

#[test]
fn every_rule_of_the_schema_is_broken_in_the_table() {
    let table = bad_input::table();
    let said: Vec<&String> = table.wrong.iter().flat_map(|wrong| &wrong.says).collect();
    let mut unbroken = BTreeSet::new();
    walk_schema("spec", &crd::schema()["properties"]["spec"], &mut |_, schema| {
        for rule in schema["x-kubernetes-validations"].as_array().into_iter().flatten() {
            let message = rule["message"].as_str().expect("every rule has a message");
            if !said.iter().any(|text| text.ends_with(message)) {
                unbroken.insert(message.to_owned());
            }
        }
    });
    assert!(unbroken.is_empty(), "break these in tests/bad_input/cases.yaml: {unbroken:#?}");
}

#[test]
fn every_bound_of_the_schema_is_noticed() {
    const BOUNDS: [&str; 8] =
        ["beyond", "too long", "too short", "too many", "too few", "not a choice", "without", "an unknown field"];
    let broken = bad_input::broken(&bad_input::table());
    let of_bounds = broken.iter().filter(|case| BOUNDS.iter().any(|bound| case.what.starts_with(bound)));
    let unnoticed = of_bounds.filter(|case| validate(&case.object).is_empty());
    let unnoticed: Vec<String> = unnoticed.map(|case| format!("{}: {}", case.field, case.what)).collect();
    assert!(unnoticed.is_empty(), "{unnoticed:#?}");
}

#[test]
fn what_is_valid_can_be_decoded() {
    let table = bad_input::table();
    let mut objects: Vec<Value> = bad_input::broken(&table).into_iter().map(|case| case.object).collect();
    objects.extend(table.valid.into_iter().map(|valid| valid.object));
    objects.retain(|object| validate(object).is_empty());
    assert!(objects.len() > 50, "only {} objects are valid", objects.len());
    for object in objects {
        let decoded = serde_json::from_value::<RecommenderModel>(stored(&object));
        assert!(decoded.is_ok(), "{}: {object:#}", decoded.expect_err("it was just seen"));
    }
}
