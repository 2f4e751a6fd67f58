//! Offline validation of a `RecommenderModel`: the errors that the API server would return to `kubectl apply`.
//!
//! It walks the schema of the CRD in the API server's order, so that a field added to the CRD is checked here as well:
//!
//! ```text
//! decode (unknown fields) -> prune nulls, fill in defaults -> metadata -> schema -> CEL rules
//! ```
//!
//! The messages are those of Kubernetes 1.36; a test compares them with those of a real API server.
//!
//! CEL and defaults are kube's. A JSON Schema library is not worth it: `jsonschema` 0.61 accepts and refuses the same of the
//! 1,901 objects of `tests/bad_input` that can be decoded, but it would replace some 130 lines of `schema.rs` only. 64 are
//! needed to turn its errors into the API server's, of which 193 objects still get others, as it knows no `format: int32`;
//! unknown fields, `null` and `x-kubernetes-*` stay here. It adds 20 crates to Cargo.lock, one of them under MIT-0, which
//! deny.toml refuses, a second `strum`, and 5.2 MB to a binary of 24 MB. With the messages of the library as they are, that test
//! could only compare which fields are wrong.

mod decode;
mod documents;
mod metadata;
mod problem;
mod rules;
mod schema;

pub use documents::{Document, DocumentError, documents};
pub use problem::Problem;

use std::{
    collections::{BTreeSet, HashSet},
    sync::LazyLock,
};

use kube::{
    Resource,
    core::cel::{CompiledSchema, compile_schema},
};
use serde_json::Value;

use crate::api::{RecommenderModel, crd};

/// The schema of the CRD.
static SCHEMA: LazyLock<Value> = LazyLock::new(crd::schema);
/// The compiled CEL rules of the schema.
static RULES: LazyLock<CompiledSchema> = LazyLock::new(|| compile_schema(&SCHEMA));

/// All problems for which the API server would reject `object`, the content of a manifest. Empty if it would accept it.
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
    if problems.iter().any(Problem::blocks_rules) {
        problems.push(Problem::rules_unchecked());
    } else {
        rules::check(&RULES, &object, &mut problems);
    }
    let mut reported = HashSet::new();
    problems.retain(|problem| reported.insert(problem.to_string()));
    problems
}

/// A valid `object` as the API server would store it: without `null`s and status, with defaults. Only in this form it is
/// certain to deserialize into the Rust type.
pub fn stored(object: &Value) -> Value {
    decode::complete(&SCHEMA, object)
}

/// The API server's words for a number with a fraction where a quantity or a number of pods is expected.
const FRACTION: &str = "must be of type integer,string: \"number\"";
/// The API server's words for a fraction, or any other scalar, in place of settings.
const NO_SETTINGS: &str = "must be of type object:";
/// What to write instead of a quantity that is none.
const QUANTITIES: &str = "Write quantities such as 500m, 2 or 1.5Gi.";
/// What to write instead of a fraction of pods.
const OF_PODS: &str =
    "Write a whole number of pods, or per cent of them in quotes, as in maxUnavailable: 1 or \"25%\".";
/// Most unknown fields for which a report names the ones that there are: more are an object of another program.
const UNKNOWN_FIELDS: usize = 5;
/// What to write instead of a number or a boolean where a text is expected.
const IN_QUOTES: &str = "Write the text in quotes, as in \"99.9\" or \"true\".";
/// What to do about words of the API server that do not state the remedy: a problem has all of the first texts, and the second is
/// added.
const HINTS: [(&[&str], &str); 12] = [
    (&["in body should match", ".resources."], QUANTITIES),
    (&["greater than or equal to 0", ".resources."], QUANTITIES),
    (&[FRACTION, ".resources."], "Write a fraction in quotes, as in \"0.5\", or in thousandths, as in 500m."),
    (&[FRACTION, ".threshold"], "Write a fraction in quotes, as in threshold: \"0.5\"."),
    (&[FRACTION, ".disruptionBudget."], OF_PODS),
    (&[FRACTION, ".strategy."], OF_PODS),
    (&[NO_SETTINGS, ".disruptionBudget"], OF_PODS),
    (&["must be of type string: \"number\""], IN_QUOTES),
    (&["must be of type string: \"integer\""], IN_QUOTES),
    (&["must be of type string: \"boolean\""], IN_QUOTES),
    (
        &[".weightPercent in body should be less than or equal to 50"],
        "Leave out steps above 50: after the last one the version is rolled out to all servers.",
    ),
    (&["unknown field", ".pod."], "docs/pods.md lists where each field of a pod is set, or why it cannot be."),
];

/// `problems` of the object `name` in the format of `kubectl apply`, with a hint where the API server's words have none.
pub fn report(name: &str, problems: &[Problem]) -> String {
    let head = format!("The {} {name:?} is invalid: ", RecommenderModel::kind(&()));
    let text = match problems {
        [problem] => format!("{head}{problem}"),
        problems => problems.iter().fold(head, |text, problem| format!("{text}\n* {problem}")),
    };
    let applies =
        |words: &[&str]| problems.iter().any(|problem| words.iter().all(|of| problem.to_string().contains(of)));
    let hints: BTreeSet<&str> = HINTS.iter().filter(|(words, _)| applies(words)).map(|(_, hint)| *hint).collect();
    let unknown = problems.iter().flat_map(|problem| decode::unknown_in(&problem.message)).take(UNKNOWN_FIELDS);
    let unknown = unknown.filter_map(|path| decode::instead_of(&SCHEMA, path));
    hints.into_iter().map(str::to_owned).chain(unknown).fold(text, |text, hint| format!("{text}\n{hint}"))
}

fn type_meta(object: &Value) -> Vec<Problem> {
    let expected = [("kind", RecommenderModel::kind(&())), ("apiVersion", RecommenderModel::api_version(&()))];
    let wrong = expected.into_iter().filter(|(field, value)| object[field] != value.as_ref());
    wrong.map(|(field, value)| Problem::invalid(field, &object[field], format!("must be {value}"))).collect()
}

#[cfg(test)]
pub(crate) mod tests {
    use serde_json::json;

    use super::*;

    /// The smallest valid object.
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
    fn only_the_served_kind_and_version_are_accepted() {
        let mut object = minimal();
        object["apiVersion"] = json!("recommender.dev/v1");
        assert_eq!(
            texts(&object),
            [r#"apiVersion: Invalid value: "recommender.dev/v1": must be recommender.dev/v1alpha1"#]
        );
    }

    #[test]
    fn rules_are_not_checked_on_an_object_that_the_schema_refuses() {
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
    fn rules_are_evaluated_with_defaults_filled_in() {
        let mut object = minimal();
        object["spec"]["serving"]["resources"] = json!({ "requests": { "cpu": 1 } });
        object["spec"]["serving"]["autoscaling"] = json!({ "maxReplicas": 2 });
        assert_eq!(texts(&object), Vec::<String>::new());
    }

    #[test]
    fn what_to_write_instead_is_added_where_the_words_of_the_api_server_do_not_state_it() {
        let hint = |serving: Value| {
            let mut object = minimal();
            object["spec"]["serving"]
                .as_object_mut()
                .expect("a map")
                .extend(serving.as_object().expect("a map").clone());
            let report = report("x", &validate(&object));
            report.lines().last().expect("a line").to_owned()
        };
        let quantity = "Write a fraction in quotes, as in \"0.5\", or in thousandths, as in 500m.";
        assert_eq!(hint(json!({"resources": {"requests": {"cpu": 1.5}}})), quantity);
        for quantity in [json!("500 m"), json!("-1"), json!(-1)] {
            assert_eq!(hint(json!({"resources": {"requests": {"cpu": quantity}}})), QUANTITIES);
        }
        for serving in [
            json!({"disruptionBudget": 1.5}),
            json!({"disruptionBudget": {"maxUnavailable": 1.5}}),
            json!({"strategy": {"maxSurge": 1.5}}),
        ] {
            assert_eq!(hint(serving), OF_PODS);
        }
        let mut object = minimal();
        let alerts = json!({"RecommenderLatencyHigh": {"threshold": 0.5}});
        object["spec"]["monitoring"] = json!({"metrics": {"profile": "FastApiInstrumentator"}, "alerts": alerts});
        let hinted = report("x", &validate(&object));
        assert!(hinted.ends_with("\nWrite a fraction in quotes, as in threshold: \"0.5\"."), "{hinted}");
        let mut object = minimal();
        object["spec"]["serving"]["pod"] = json!({"initContainers": [{"name": "a", "image": "a", "tty": true}]});
        let hinted = report("x", &validate(&object));
        assert!(
            hinted.contains("\ndocs/pods.md lists where each field of a pod is set, or why it cannot be."),
            "{hinted}"
        );
    }

    #[test]
    fn a_number_in_place_of_a_text_and_a_step_of_all_requests_are_explained() {
        let monitoring =
            |objectives: Value| json!({"metrics": {"profile": "FastApiInstrumentator"}, "objectives": objectives});
        for goal in [json!(99.9), json!(99), json!(true)] {
            let mut object = minimal();
            object["spec"]["monitoring"] = monitoring(json!([{"name": "a", "goal": goal, "availability": {}}]));
            let hinted = report("x", &validate(&object));
            assert!(hinted.ends_with("\nWrite the text in quotes, as in \"99.9\" or \"true\"."), "{hinted}");
        }
        let mut object = minimal();
        object["spec"]["monitoring"] = monitoring(json!([]));
        object["spec"]["promotion"] = json!({"canary": {"steps": [{"weightPercent": 10}, {"weightPercent": 100}]}});
        let hinted = report("x", &validate(&object));
        let remedy = "\nLeave out steps above 50: after the last one the version is rolled out to all servers.";
        assert!(hinted.ends_with(remedy), "{hinted}");
    }

    #[test]
    fn beside_an_unknown_field_the_most_similar_one_is_named_and_how_to_list_all() {
        let hinted = |path: &[&str], field: &str| {
            let mut object = minimal();
            let at = path.iter().fold(&mut object, |at, key| &mut at[*key]);
            at[field] = json!(1);
            report("x", &validate(&object)).lines().last().expect("a line").to_owned()
        };
        assert_eq!(
            hinted(&["spec", "serving"], "replica"),
            "Instead of spec.serving.replica write replicas, or another field that `kubectl explain recommendermodels.spec.serving` lists."
        );
        assert_eq!(
            hinted(&["spec", "serving"], "colour"),
            "Instead of spec.serving.colour write a field that `kubectl explain recommendermodels.spec.serving` lists, or nothing."
        );
        assert_eq!(
            hinted(&["spec"], "monitor"),
            "Instead of spec.monitor write monitoring, or another field that `kubectl explain recommendermodels.spec` lists."
        );
        let mut object = minimal();
        object["spec"]["workers"] = json!([{"name": "a", "argz": ["b"]}]);
        assert_eq!(
            report("x", &validate(&object)).lines().last().expect("a line"),
            "Instead of spec.workers[0].argz write args, or another field that `kubectl explain recommendermodels.spec.workers` lists."
        );
        let mut object = minimal();
        object["spec"]["monitoring"] = json!({"alerts": {"RecommenderLatencyHigh": {"treshold": 1}}});
        assert_eq!(
            report("x", &validate(&object)).lines().last().expect("a line"),
            "Instead of spec.monitoring.alerts.RecommenderLatencyHigh.treshold write threshold, or another field that \
             `kubectl explain recommendermodels.spec.monitoring.alerts` lists."
        );
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
