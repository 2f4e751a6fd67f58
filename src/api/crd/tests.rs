use std::collections::BTreeMap;

use super::{
    copies::{COPIES, Kept, READINESS, brief},
    *,
};

/// Calls `check` with the path and the schema of everything below `schema`.
fn walk(path: &str, schema: &Value, check: &mut impl FnMut(&str, &Value)) {
    check(path, schema);
    for (name, child) in schema["properties"].as_object().into_iter().flatten() {
        walk(&format!("{path}.{name}"), child, check);
    }
    for (keyword, suffix) in [("items", "[]"), ("additionalProperties", "[*]")] {
        if schema[keyword].is_object() {
            walk(&format!("{path}{suffix}"), &schema[keyword], check);
        }
    }
}

/// Paths in the schema of the spec for which `wrong` holds.
fn spec_paths(wrong: impl Fn(&str, &Value) -> bool) -> Vec<String> {
    let mut found = Vec::new();
    walk("spec", &schema()["properties"]["spec"], &mut |path, schema| {
        if wrong(path, schema) {
            found.push(path.to_owned());
        }
    });
    found
}

/// No paths.
const NONE: [String; 0] = [];

#[test]
fn every_field_of_the_spec_is_described() {
    let is_in_copy = |path: &str| {
        COPIES.iter().any(|copy| {
            let field = path.strip_prefix(&format!("spec.{}.", copy.at));
            field.is_some_and(|field| copy.kept == Kept::Default || field.contains('.'))
        })
    };
    let is_exempt =
        |path: &str| path.ends_with(']') || is_in_copy(path) || path.starts_with("spec.promotion.readiness.");
    let undescribed = spec_paths(|path, schema| !is_exempt(path) && schema["description"].is_null());
    assert_eq!(undescribed, NONE);
}

#[test]
fn everything_in_the_spec_is_bounded() {
    let unbounded = spec_paths(|_, schema| match schema["type"].as_str() {
        Some("string") => schema["maxLength"].is_null() && schema["enum"].is_null(),
        Some("integer") => schema["minimum"].is_null() || schema["maximum"].is_null(),
        Some("array") => schema["maxItems"].is_null(),
        Some("object") => !schema["additionalProperties"].is_null() && schema["maxProperties"].is_null(),
        Some("boolean") => false,
        // Only quantities have no type.
        _ => schema["maxLength"].is_null(),
    });
    assert_eq!(unbounded, NONE);
}

#[test]
fn the_spec_uses_only_keywords_that_the_offline_validation_checks() {
    const CHECKED: [&str; 20] = [
        "default",
        "description",
        "enum",
        "format",
        "items",
        "maxItems",
        "maxLength",
        "maxProperties",
        "maximum",
        "minItems",
        "minLength",
        "minimum",
        "pattern",
        "properties",
        "required",
        "type",
        "x-kubernetes-int-or-string",
        "x-kubernetes-list-map-keys",
        "x-kubernetes-list-type",
        "x-kubernetes-validations",
    ];
    let unchecked = spec_paths(|_, schema| {
        let keywords = schema.as_object().expect("a schema is an object").keys();
        keywords.into_iter().any(|key| !CHECKED.contains(&key.as_str()) && key != "additionalProperties")
            || schema["additionalProperties"].is_boolean()
            || (schema["type"] == "string" && !schema["format"].is_null())
    });
    assert_eq!(unchecked, NONE);
}

#[test]
fn copies_of_a_pod_differ_from_it_in_descriptions_only_and_keep_every_default() {
    let spec = &schema()["properties"]["spec"]["properties"];
    let fields = |pod: &Value| {
        let mut fields = Vec::new();
        walk("pod", pod, &mut |path, schema| {
            let text = schema["description"].as_str().unwrap_or_default();
            let default = text.split("Default: ").nth(1).and_then(|text| text.split(". ").next());
            let default = default.map(|text| text.trim_end_matches('.').to_owned());
            let mut keywords = schema.as_object().expect("it is a schema").clone();
            keywords.retain(|keyword, _| !["description", "properties", "items"].contains(&keyword.as_str()));
            fields.push((path.to_owned(), keywords, default));
        });
        fields
    };
    let full = &spec["serving"]["properties"]["pod"];
    for copy in [&spec["training"]["properties"]["pod"], &spec["workers"]["items"]["properties"]["pod"]] {
        assert_eq!(fields(copy), fields(full));
        assert!(copy["description"].as_str().is_some_and(|text| text.ends_with(" at spec.serving.pod.")), "{copy}");
    }
}

#[test]
fn what_refers_to_a_full_description_has_the_fields_that_are_described_there() {
    let spec = &schema()["properties"]["spec"];
    let field = |path: &str| {
        path.split('.').fold(spec.clone(), |schema, name| {
            let field = &schema["properties"][name.trim_end_matches("[]")];
            if name.ends_with("[]") { field["items"].clone() } else { field.clone() }
        })
    };
    let names = |schema: &Value| -> Vec<String> {
        let fields = if schema["items"].is_object() { &schema["items"]["properties"] } else { &schema["properties"] };
        fields.as_object().expect("it has fields").keys().cloned().collect()
    };
    for copy in COPIES {
        let full = field(copy.full);
        let [copied, described] = [names(&field(copy.at)), names(&full)];
        assert!(copied.iter().all(|name| described.contains(name)), "{}: {copied:?} {described:?}", copy.at);
        let description = field(copy.at.trim_end_matches("[]"))["description"].to_string();
        assert!(description.contains(&format!(" at spec.{}.", copy.full)), "{}: {description}", copy.at);
        let is_in_copy =
            COPIES.iter().any(|other| copy.full.starts_with(&format!("{}.", other.at.trim_end_matches("[]"))));
        assert!(!is_in_copy, "{} is not described in full itself", copy.full);
    }
}

/// The descriptions of the spec by their paths, below `spec`.
fn descriptions(spec: &Value) -> BTreeMap<String, String> {
    let mut found = BTreeMap::new();
    walk("", spec, &mut |path, schema| {
        let text = schema["description"].as_str().unwrap_or_default();
        found.insert(path.trim_start_matches('.').to_owned(), text.to_owned());
    });
    found
}

#[test]
fn what_a_copy_lacks_of_a_description_is_said_at_the_place_that_it_refers_to() {
    let mut crd = RecommenderModel::crd();
    let root = crd.spec.versions[0].schema.as_mut().and_then(|schema| schema.open_api_v3_schema.as_mut());
    let root = root.expect("it has a schema");
    describe(root);
    let before = serde_json::to_value(property(root, "spec")).expect("a schema is plain data");
    let [before, after] = [before, schema()["properties"]["spec"].take()].map(|spec| descriptions(&spec));
    let readiness = READINESS.trim_start_matches("spec.");
    let copies = COPIES.iter().map(|copy| (copy.at, copy.full)).chain([("promotion.readiness", readiness)]);
    let mut lost = Vec::new();
    for (at, full) in copies {
        for (path, text) in before.iter().filter(|(path, text)| after[*path] != **text) {
            let Some(field) = path.strip_prefix(at).filter(|field| field.starts_with('.')) else { continue };
            let said = [full.to_owned(), format!("{full}[]")].map(|full| before.get(&format!("{full}{field}")));
            if !said.into_iter().flatten().any(|said| said == text) {
                lost.push(format!("{path}: {text:?}"));
            }
        }
    }
    assert_eq!(lost, NONE);
    let differs = "Minimum number of replicas. With 0, the worker is scaled to zero when nothing has arrived for five minutes. Default: 1.";
    assert_eq!(after["workers[].autoscaling.minReplicas"], differs);
}

#[test]
fn what_violates_a_rule_on_a_map_is_named_by_its_opposite() {
    for (condition, opposite) in [
        ("k.matches('^a$')", "!k.matches('^a$')"),
        ("!k.matches('^a$')", "k.matches('^a$')"),
        ("!self[k].matches('^a && b$')", "self[k].matches('^a && b$')"),
        ("!k.matches('^a$') && k != 'b'", "!(!k.matches('^a$') && k != 'b')"),
        ("!k.matches('^a$')&&k!='b'", "!(!k.matches('^a$')&&k!='b')"),
        ("k=='b'", "!(k=='b')"),
        ("!(k == 'a') || k == 'b'", "!(!(k == 'a') || k == 'b')"),
        (r"!k.contains('\'')||k.contains('\'')", r"!(!k.contains('\'')||k.contains('\''))"),
    ] {
        assert_eq!(negated(condition), opposite);
    }
}

#[test]
fn a_brief_description_is_the_first_sentence_without_examples_and_the_default() {
    for (description, expected) in [
        ("Seconds, for example 5. More. Default: 3.", "Seconds. Default: 3."),
        ("Value.", "Value."),
        ("Value. Default: 1; a.b is set. More.", "Value. Default: 1; a.b is set."),
        ("Group that owns volumes, for example 2", "Group that owns volumes."),
    ] {
        assert_eq!(brief(description), expected);
    }
}

#[test]
fn every_rule_has_a_message() {
    let without_message = spec_paths(|_, schema| {
        let rules = schema["x-kubernetes-validations"].as_array();
        // That of an expression is not used if a key in it has a line break.
        rules.into_iter().flatten().any(|rule| rule["message"].as_str().is_none_or(str::is_empty))
    });
    assert_eq!(without_message, NONE);
}

#[test]
fn scalar_defaults_are_in_the_description_that_kubectl_explain_shows() {
    let hidden = spec_paths(|_, schema| {
        let default = match &schema["default"] {
            Value::String(text) => text.clone(),
            Value::Null | Value::Object(_) => return false,
            value => value.to_string(),
        };
        !schema["description"].as_str().is_some_and(|text| text.ends_with(&format!("Default: {default}.")))
    });
    assert_eq!(hidden, NONE);
}

#[test]
fn nothing_within_a_list_has_a_default_so_that_applying_an_object_again_changes_nothing() {
    let defaulted = spec_paths(|path, schema| path.contains("[]") && !schema["default"].is_null());
    assert_eq!(defaulted, NONE);
    let described = spec_paths(|path, schema| {
        path.contains("[]") && schema["description"].as_str().is_some_and(|text| text.contains("Default: "))
    });
    assert!(described.contains(&"spec.workers[].autoscaling.minReplicas".to_owned()), "{described:?}");
}

#[test]
fn an_object_that_was_never_reconciled_does_not_count_as_ready() {
    assert_eq!(schema()["properties"]["status"]["default"], json!({ "observedGeneration": -1 }));
}

#[test]
fn lists_and_maps_of_the_status_are_bounded_and_nothing_in_it_is_defaulted() {
    let mut wrong = Vec::new();
    let schema = schema();
    walk("", &schema["properties"]["status"], &mut |path, schema| {
        let unbounded = (!schema["items"].is_null() && schema["maxItems"].is_null())
            || (!schema["additionalProperties"].is_null() && schema["maxProperties"].is_null());
        if unbounded || (!path.is_empty() && !schema["default"].is_null()) {
            wrong.push(path.to_owned());
        }
    });
    assert_eq!(wrong, NONE);
}

#[test]
fn the_yaml_is_the_crd_and_stays_small() {
    let yaml = yaml();
    let read: CustomResourceDefinition = serde_saphyr::from_str(&yaml).expect("the YAML is a CRD");
    assert_eq!(read, crd());
    assert!(yaml.len() < 200_000, "{} bytes", yaml.len());
}
