//! Offline validation of a `RecommenderModel`: what `kubectl apply` would be told by the API server, without one.
//!
//! It walks the schema of the CRD in the API server's own order, so that a field added there is checked here:
//!
//! ```text
//! decode (unknown fields) -> prune nulls, fill in defaults -> metadata -> schema -> unique list keys -> CEL rules
//! ```
//!
//! The texts are those of Kubernetes 1.36; a test compares them with a real API server's.

mod decode;
mod documents;
mod metadata;
mod problem;
mod rules;
mod schema;
mod unique;

pub use documents::{Document, DocumentError, documents};
pub use problem::Problem;
use rules::Rules;

use std::{collections::HashSet, sync::LazyLock};

use kube::Resource;
use serde_json::Value;

use crate::api::{RecommenderModel, crd};

static SCHEMA: LazyLock<Value> = LazyLock::new(crd::schema);
static RULES: LazyLock<Rules> = LazyLock::new(|| Rules::of(&SCHEMA));

/// Everything the API server would object to in `object`, which is what a manifest says. Empty when it would take it.
pub fn validate(object: &Value) -> Vec<Problem> {
    let schema = &*SCHEMA;
    let mut problems = decode::check(schema, object);
    if problems.is_empty() {
        problems = type_meta(object);
    }
    if !problems.is_empty() {
        return problems;
    }
    let object = stored(object);
    metadata::check(&object, &mut problems);
    schema::check(schema, &object, "", &mut problems);
    unique::check(schema, &object, "", &mut problems);
    if problems.iter().any(Problem::blocks_rules) {
        problems.push(Problem::rules_unchecked());
    } else {
        RULES.check(&object, "", &mut problems);
    }
    let mut said = HashSet::new();
    problems.retain(|problem| said.insert(problem.to_string()));
    problems
}

/// A valid `object` as the API server would store it: without `null`s and status, with defaults. Only this decodes into
/// the Rust type for certain.
pub fn stored(object: &Value) -> Value {
    decode::complete(&SCHEMA, object)
}

/// `problems` of the object called `name` in the words and the layout of `kubectl apply`.
pub fn report(name: &str, problems: &[Problem]) -> String {
    let head = format!("The {} {name:?} is invalid: ", RecommenderModel::kind(&()));
    match problems {
        [problem] => format!("{head}{problem}"),
        problems => problems.iter().fold(head, |text, problem| format!("{text}\n* {problem}")),
    }
}

fn type_meta(object: &Value) -> Vec<Problem> {
    let expected = [("kind", RecommenderModel::kind(&())), ("apiVersion", RecommenderModel::api_version(&()))];
    let wrong = expected.into_iter().filter(|(field, wanted)| object[field] != wanted.as_ref());
    wrong.map(|(field, wanted)| Problem::invalid(field, &object[field], format!("must be {wanted}"))).collect()
}

#[cfg(test)]
pub(crate) mod tests {
    use serde_json::json;

    use super::*;

    /// The smallest object that is valid.
    pub(crate) fn minimal() -> Value {
        json!({
            "apiVersion": "recommender.dev/v1alpha1",
            "kind": "RecommenderModel",
            "metadata": { "name": "packages", "namespace": "shop" },
            "spec": {
                "artifacts": { "persistentVolumeClaim": { "claimName": "models" } },
                "training": { "image": "example.org/trainer:1", "full": {} },
                "serving": { "image": "example.org/server:1" }
            }
        })
    }

    fn texts(object: &Value) -> Vec<String> {
        validate(object).iter().map(Problem::to_string).collect()
    }

    #[test]
    fn the_smallest_object_is_valid() {
        assert_eq!(texts(&minimal()), Vec::<String>::new());
    }

    #[test]
    fn only_the_kind_and_version_that_is_served_is_taken() {
        let mut object = minimal();
        object["apiVersion"] = json!("recommender.dev/v1");
        assert_eq!(
            texts(&object),
            [r#"apiVersion: Invalid value: "recommender.dev/v1": must be recommender.dev/v1alpha1"#]
        );
    }

    #[test]
    fn rules_are_not_checked_on_what_the_schema_refuses() {
        let mut object = minimal();
        object["spec"]["serving"] = json!({ "autoscaling": { "minReplicas": 3, "maxReplicas": 2 } });
        let texts = texts(&object);
        assert_eq!(texts[0], "spec.serving.image: Required value");
        assert!(
            texts[1].starts_with("<nil>: Invalid value: null: some validation rules were not checked"),
            "{texts:?}"
        );
        assert_eq!(texts.len(), 2);
    }

    #[test]
    fn rules_see_the_defaults() {
        let mut object = minimal();
        object["spec"]["serving"]["resources"] = json!({ "requests": { "cpu": 1 } });
        object["spec"]["serving"]["autoscaling"] = json!({ "maxReplicas": 2 });
        assert_eq!(texts(&object), Vec::<String>::new());
    }

    #[test]
    fn one_problem_is_reported_on_one_line_and_more_as_a_list() {
        let problems = [Problem::required("spec.a"), Problem::required("spec.b")];
        assert_eq!(report("x", &problems[..1]), "The RecommenderModel \"x\" is invalid: spec.a: Required value");
        assert_eq!(
            report("x", &problems),
            "The RecommenderModel \"x\" is invalid: \n* spec.a: Required value\n* spec.b: Required value"
        );
    }
}
