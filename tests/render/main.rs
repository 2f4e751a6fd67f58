//! What the examples become, whole, so that every change of a child is seen in review.

mod autoscaling;
mod canary;
#[path = "../merge/mod.rs"]
mod merge;
mod monitoring;
mod pods;
mod servers;
mod training;

use std::{
    collections::{BTreeMap, BTreeSet, HashSet},
    path::Path,
};

use k8s_openapi::apimachinery::pkg::apis::meta::v1::Time;
use recommender_operator::{
    api::{Base, RecommenderModel, TrainingKind, Trigger, Version},
    child::Child,
    kinds::Kind,
    model::Model,
    promotion::route::Shares,
    pruning::NewPrune,
    render::{self, Decided},
    training::{NewBase, NewRun},
    validate,
};
use serde_json::{Value, json};

use merge::merge;

const NOW: &str = "2026-11-21T12:00:00Z";

fn model(file: &str, change: impl Fn(&mut Value)) -> Model {
    let path = Path::new(env!("CARGO_MANIFEST_DIR")).join("examples").join(file);
    let text = std::fs::read_to_string(&path).expect("the example exists");
    let mut documents = validate::documents(&text).expect("the example is YAML");
    let mut object = documents.remove(0).object;
    change(&mut object);
    assert_eq!(validate::validate(&object), [], "{file}");
    let object: RecommenderModel = serde_json::from_value(object).expect("the example is a RecommenderModel");
    Model::new(&object, NOW.parse().expect("an instant")).expect("the example is valid")
}

fn children(model: &Model) -> Vec<Child> {
    render::offline(model, NOW.parse().expect("an instant"))
}

fn of_kind(children: &[Child], kind: Kind) -> &Value {
    &children.iter().find(|child| child.kind == kind).expect("it is rendered").object
}

#[test]
fn the_example_becomes_these_children() {
    let yaml = render::as_yaml(&children(&model("packages.yaml", |_| {}))).expect("YAML");
    insta::assert_snapshot!("packages", yaml);
}

/// So that a review sees the pods, whatever the first training waits for in a cluster.
#[test]
fn what_holds_a_training_back_holds_back_no_rendering() {
    let rendered = |change: fn(&mut Value)| {
        let named: Vec<_> =
            children(&model("packages.yaml", change)).into_iter().map(|of| (of.kind, of.name)).collect();
        named.into_iter().filter(|(kind, _)| [Kind::Job, Kind::Deployment].contains(kind)).collect::<Vec<_>>()
    };
    let usual = rendered(|_| {});
    assert!(usual.len() >= 2, "{usual:?}");
    let held = rendered(|object| {
        object["spec"]["training"]["suspend"] = true.into();
        object["spec"]["dependencies"] = json!([{"name": "pg", "exporter": {"name": "PostgresExporter"}}]);
        object["spec"]["training"]["readiness"] = json!({"inputs": [{"dependency": "pg"}]});
    });
    assert_eq!(held, usual);
}

#[test]
fn the_smallest_object_becomes_these_children() {
    let yaml = render::as_yaml(&children(&model("minimal.yaml", |_| {}))).expect("YAML");
    insta::assert_snapshot!("minimal", yaml);
}

#[test]
fn servers_that_keep_a_latency_become_these_children() {
    let yaml = render::as_yaml(&children(&model("latency.yaml", |_| {}))).expect("YAML");
    insta::assert_snapshot!("latency", yaml);
}

#[test]
fn workers_become_these_children() {
    let yaml = render::as_yaml(&children(&model("workers.yaml", |_| {}))).expect("YAML");
    insta::assert_snapshot!("workers", yaml);
}

#[test]
fn pods_of_production_become_these_children() {
    let yaml = render::as_yaml(&children(&model("production.yaml", |_| {}))).expect("YAML");
    insta::assert_snapshot!("production", yaml);
}

#[test]
fn a_bucket_becomes_environment_variables_and_no_volume() {
    let model = model("minimal.yaml", |object| {
        object["spec"]["artifacts"] = json!({"s3": {
            "uri": "s3://models/packages/", "endpoint": "http://s3.data:9000", "region": "eu-north-1",
            "credentialsSecret": {"name": "packages-s3"},
        }});
    });
    let yaml = render::as_yaml(&children(&model)).expect("YAML");
    insta::assert_snapshot!("s3", yaml);
}

#[test]
fn the_same_object_gives_the_same_hashes_and_another_one_does_not() {
    let hashes = |model: &Model| -> Vec<String> { children(model).into_iter().map(|child| child.hash).collect() };
    let packages = || model("packages.yaml", |_| {});
    assert_eq!(hashes(&packages()), hashes(&packages()));
    let more_time = model("packages.yaml", |object| object["spec"]["serving"]["terminationGraceSeconds"] = 45.into());
    let differing = hashes(&packages()).iter().zip(hashes(&more_time)).filter(|(a, b)| *a != b).count();
    assert_eq!(differing, 1, "only the Deployment changes");
}

#[test]
fn no_two_children_share_kind_and_name() {
    for file in ["packages.yaml", "workers.yaml"] {
        let children = children(&model(file, |_| {}));
        let names: HashSet<_> = children.iter().map(|child| (child.kind, child.name.as_str())).collect();
        assert_eq!(names.len(), children.len(), "{file}");
    }
}

/// The children of every example, by file.
fn of_examples() -> Vec<(String, Vec<Child>)> {
    let directory = Path::new(env!("CARGO_MANIFEST_DIR")).join("examples");
    let files = std::fs::read_dir(directory).expect("there are examples");
    let names = files.map(|file| file.expect("the directory can be read").file_name().into_string().expect("UTF-8"));
    let names = names.filter(|name| Path::new(name).extension().is_some_and(|extension| extension == "yaml"));
    names.map(|name| (name.clone(), children(&model(&name, |_| {})))).collect()
}

#[test]
fn every_kind_is_rendered_for_an_example() {
    let examples = of_examples();
    let rendered: BTreeSet<Kind> = examples.iter().flat_map(|(_, children)| children).map(|child| child.kind).collect();
    let missing: Vec<Kind> = Kind::ALL.into_iter().filter(|kind| !rendered.contains(kind)).collect();
    assert!(
        missing.is_empty(),
        "add these to `children` in src/render/mod.rs, and what they need to an example: {missing:?}"
    );
}

#[test]
fn an_object_comes_after_those_that_it_refers_to() {
    let mut references = 0;
    for (file, children) in of_examples() {
        for (index, child) in children.iter().enumerate() {
            for (path, kind) in [
                ("/spec/template/spec/serviceAccountName", Kind::ServiceAccount),
                ("/spec/scaleTargetRef/name", Kind::Deployment),
                ("/spec/rules/0/backendRefs/0/name", Kind::Service),
                ("/spec/rules/0/backendRefs/1/name", Kind::Service),
            ] {
                let Some(name) = child.object.pointer(path) else { continue };
                let place = children.iter().position(|other| other.kind == kind && *name == *other.name);
                assert!(place.is_some_and(|place| place < index), "{file}: {:?} before {kind:?} {name}", child.kind);
                references += 1;
            }
        }
    }
    assert!(references > 10, "only {references} references were found");
}

/// The rules of the chart, without the template around them.
fn permissions() -> Vec<Value> {
    let text = include_str!("../../charts/recommender-operator/templates/_rules.tpl");
    let (_, rules) = text.split_once("\"recommender-operator.rules\" -}}").expect("the rules are defined");
    let (rules, _) = rules.split_once("{{- end -}}").expect("the definition ends");
    // Those that values ask for as well.
    let rules: Vec<&str> = rules.lines().filter(|line| !line.starts_with("{{-")).collect();
    serde_saphyr::from_str(&rules.join("\n")).expect("rules are YAML")
}

#[test]
fn the_operator_may_read_and_write_every_kind_and_delete_what_it_deletes() {
    let permissions = permissions();
    let lists = |list: &Value, text: &str| list.as_array().is_some_and(|list| list.iter().any(|entry| entry == text));
    let may = |kind: &Kind, verb: &str| {
        let resource = kind.resource();
        permissions.iter().any(|rule| {
            lists(&rule["apiGroups"], &resource.group)
                && lists(&rule["resources"], &resource.plural)
                && lists(&rule["verbs"], verb)
        })
    };
    let needed = ["get", "list", "watch", "create", "patch"];
    let lacks = |kind: &Kind| !needed.iter().all(|verb| may(kind, verb)) || may(kind, "delete") != kind.is_deleted();
    let wrong: Vec<Kind> = Kind::ALL.into_iter().filter(lacks).collect();
    assert!(wrong.is_empty(), "the chart's templates/_rules.tpl has not the permissions that {wrong:?} need");
}
