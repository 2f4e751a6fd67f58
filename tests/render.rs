//! What the examples become, whole, so that every change of a child is seen in review.

use std::{collections::HashSet, path::Path};

use recommender_operator::{api::RecommenderModel, model::Model, render, validate};

const NOW: &str = "2026-11-21T12:00:00Z";

fn model(file: &str, change: impl Fn(&mut serde_json::Value)) -> Model {
    let path = Path::new(env!("CARGO_MANIFEST_DIR")).join("examples").join(file);
    let text = std::fs::read_to_string(&path).expect("the example exists");
    let mut documents = validate::documents(&text).expect("the example is YAML");
    let mut object = documents.remove(0).object;
    change(&mut object);
    assert_eq!(validate::validate(&object), [], "{file}");
    let object: RecommenderModel = serde_json::from_value(object).expect("the example is a RecommenderModel");
    Model::new(&object, NOW.parse().expect("an instant")).expect("the example is valid")
}

fn children(model: &Model) -> Vec<render::Child> {
    render::offline(model, NOW.parse().expect("an instant"))
}

#[test]
fn the_example_becomes_these_children() {
    let yaml = render::as_yaml(&children(&model("packages.yaml", |_| {}))).expect("YAML");
    insta::assert_snapshot!("packages", yaml);
}

#[test]
fn the_smallest_object_becomes_these_children() {
    let yaml = render::as_yaml(&children(&model("minimal.yaml", |_| {}))).expect("YAML");
    insta::assert_snapshot!("minimal", yaml);
}

#[test]
fn a_bucket_becomes_environment_variables_and_no_volume() {
    let model = model("minimal.yaml", |object| {
        object["spec"]["artifacts"] = serde_json::json!({"s3": {
            "uri": "s3://models/packages/", "endpoint": "http://s3.data:9000", "region": "eu-north-1",
            "credentialsSecret": {"name": "packages-s3"},
        }});
    });
    let yaml = render::as_yaml(&children(&model)).expect("YAML");
    insta::assert_snapshot!("s3", yaml);
}

#[test]
fn an_object_with_an_autoscaler_says_nothing_of_replicas_and_one_without_does() {
    let replicas = |model: &Model| {
        let children = children(model);
        let deployment = children.iter().find(|child| child.kind == render::Kind::Deployment).expect("a Deployment");
        deployment.object["spec"]["replicas"].clone()
    };
    assert!(replicas(&model("packages.yaml", |_| {})).is_null());
    assert_eq!(replicas(&model("minimal.yaml", |_| {})), 1);
}

#[test]
fn the_same_object_gives_the_same_hashes_and_another_one_does_not() {
    let hashes = |model: &Model| -> Vec<String> { children(model).into_iter().map(|child| child.hash).collect() };
    let packages = || model("packages.yaml", |_| {});
    assert_eq!(hashes(&packages()), hashes(&packages()));
    let more_memory = model("packages.yaml", |object| {
        object["spec"]["serving"]["resources"]["requests"]["memory"] = "192Mi".into();
    });
    let differing = hashes(&packages()).iter().zip(hashes(&more_memory)).filter(|(a, b)| *a != b).count();
    assert_eq!(differing, 1, "only the Deployment changes");
}

#[test]
fn no_two_children_share_kind_and_name() {
    let children = children(&model("packages.yaml", |_| {}));
    let names: HashSet<_> = children.iter().map(|child| (child.kind, child.name.as_str())).collect();
    assert_eq!(names.len(), children.len());
}
