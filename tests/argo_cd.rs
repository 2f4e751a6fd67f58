//! The health check for Argo CD, run over its test data as Argo CD's own tests do.

use std::{collections::BTreeSet, fs, path::PathBuf};

use mlua::{Lua, LuaOptions, StdLib, Table, Value};
use recommender_operator::validate::{documents, report, validate};
use serde::Deserialize;

/// The format of Argo CD's `health_test.yaml`.
#[derive(Deserialize)]
struct Tests {
    tests: Vec<Test>,
}

#[derive(Deserialize)]
#[serde(rename_all = "camelCase")]
struct Test {
    health_status: Health,
    input_path: String,
}

#[derive(Deserialize, Debug, PartialEq)]
struct Health {
    status: String,
    message: String,
}

fn directory() -> PathBuf {
    PathBuf::from(env!("CARGO_MANIFEST_DIR"))
        .join("docs/argo-cd/resource_customizations/recommender.dev/RecommenderModel")
}

fn read(path: &str) -> String {
    fs::read_to_string(directory().join(path)).unwrap_or_else(|error| panic!("{path}: {error}"))
}

/// An object as Argo CD passes it to a script.
fn to_lua(lua: &Lua, value: &serde_json::Value) -> mlua::Result<Value> {
    Ok(match value {
        serde_json::Value::Null => Value::Nil,
        serde_json::Value::Bool(value) => Value::Boolean(*value),
        serde_json::Value::Number(value) => Value::Number(value.as_f64().unwrap_or_default()),
        serde_json::Value::String(value) => Value::String(lua.create_string(value)?),
        serde_json::Value::Array(values) => {
            let values = values.iter().map(|value| to_lua(lua, value)).collect::<mlua::Result<Vec<_>>>()?;
            Value::Table(lua.create_sequence_from(values)?)
        }
        serde_json::Value::Object(fields) => {
            let table = lua.create_table()?;
            for (name, value) in fields {
                table.set(name.as_str(), to_lua(lua, value)?)?;
            }
            Value::Table(table)
        }
    })
}

fn health(script: &str, object: &serde_json::Value) -> mlua::Result<Health> {
    // Argo CD opens no other library that a script may call.
    let lua = Lua::new_with(StdLib::TABLE, LuaOptions::default())?;
    lua.globals().set("obj", to_lua(&lua, object)?)?;
    let health: Table = lua.load(script).eval()?;
    Ok(Health { status: health.get("status")?, message: health.get("message")? })
}

#[test]
fn the_health_of_every_state_is_as_expected() {
    let script = read("health.lua");
    let tests: Tests = serde_saphyr::from_str(&read("health_test.yaml")).expect("the format of Argo CD");
    for test in &tests.tests {
        let [document] = &documents(&read(&test.input_path)).expect("YAML")[..] else {
            panic!("{} has one object", test.input_path)
        };
        let problems = validate(&document.object);
        assert!(problems.is_empty(), "{}: {}", test.input_path, report("", &problems));
        let found = health(&script, &document.object).unwrap_or_else(|error| panic!("{}: {error}", test.input_path));
        assert_eq!(found, test.health_status, "{}", test.input_path);
    }
    let tested: BTreeSet<String> = tests.tests.into_iter().map(|test| test.input_path).collect();
    let files = fs::read_dir(directory().join("testdata")).expect("a directory");
    let all: BTreeSet<String> =
        files.map(|file| format!("testdata/{}", file.expect("a file").file_name().to_string_lossy())).collect();
    assert_eq!(tested, all);
}
