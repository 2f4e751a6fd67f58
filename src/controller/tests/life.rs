//! The requests of reconciles, from the creation of an object to its deletion.

use std::collections::BTreeSet;

use super::*;
use crate::{
    api::{RecommenderModel, conditions::types},
    model::Model,
    render::{self, Decided},
};

/// An object with autoscaling and monitoring.
fn whole() -> Value {
    object(json!({
        "serving": {"image": "s", "autoscaling": {"minReplicas": 2, "maxReplicas": 5, "cpu": {"targetUtilizationPercent": 70}},
                    "resources": {"requests": {"cpu": "1"}}},
        "monitoring": {"metrics": {"profile": "FastApiInstrumentator"}},
    }))
}

/// Ends the training run of an object, with a valid report.
fn train(fixture: &Fixture) {
    let ended = Timestamp::now() - SignedDuration::from_secs(60);
    let job = fixture.status().training.and_then(|training| training.active).expect("a run").job;
    let done = json!({"conditions": [{"type": "Complete", "status": "True", "lastTransitionTime": ended}]});
    fixture.show_child(Watched::Child(Kind::Job), &format!("jobs/{job}"), &done);
    let version = job.strip_prefix("packages-").expect("named after the version");
    let uri = format!("file:///artifacts/shop/packages/{version}");
    let report = json!({
        "metrics": {"precision_at_10": "0.3"},
        "artifact": {"uri": format!("{uri}/m"), "digest": format!("sha256:{}", "0".repeat(64)), "bytes": 1},
    });
    let template = fixture.server.object(&format!("jobs/{job}")).expect("was created")["spec"]["template"].clone();
    let mut meta = template["metadata"].clone();
    meta["labels"]["batch.kubernetes.io/job-name"] = job.clone().into();
    for (field, value) in [("name", "pod"), ("namespace", "shop"), ("uid", "pod"), ("resourceVersion", "100")] {
        meta[field] = value.into();
    }
    meta["creationTimestamp"] = json!(ended);
    let end = json!({"exitCode": 0, "reason": "Completed", "finishedAt": ended, "message": report.to_string()});
    let status = json!({"phase": "Succeeded", "containerStatuses": [{
        "name": "trainer", "image": "i", "imageID": "i", "ready": false, "restartCount": 0, "state": {"terminated": end},
    }]});
    fixture.context.cache.show(Watched::Pod, json!({"metadata": meta, "spec": {"containers": []}, "status": status}));
}

/// Makes a Deployment report that all of its pods are ready.
fn roll_out(fixture: &Fixture, replicas: i32) {
    let status = json!({
        "observedGeneration": 1, "replicas": replicas, "updatedReplicas": replicas, "readyReplicas": replicas,
    });
    fixture.show_child(Watched::Child(Kind::Deployment), "deployments/packages-serving", &status);
}

/// The kinds of an object's children in the order of applying: before there is a version, and those that come with it.
fn kinds(object: &Value) -> (Vec<Kind>, Vec<Kind>) {
    let object: RecommenderModel = serde_json::from_value(object.clone()).expect("a RecommenderModel");
    let model = Model::new(&object, Timestamp::now()).expect("a valid object");
    let kinds = |children: Vec<render::Child>| children.into_iter().map(|child| child.kind);
    let before: BTreeSet<Kind> = kinds(render::children(&model, &Decided::default())).collect();
    // The first run is started before there is a version; without a run no Job is desired.
    kinds(render::offline(&model, Timestamp::now())).partition(|kind| *kind == Kind::Job || before.contains(kind))
}

#[tokio::test]
async fn an_object_is_trained_and_served_and_then_causes_no_requests() {
    let (mut fixture, object) = (Fixture::new(), whole());
    let (before, with_version) = kinds(&object);
    assert!(before.contains(&Kind::Job) && with_version.contains(&Kind::Deployment), "{before:?}, {with_version:?}");
    let first = fixture.requests(&object).await;
    assert_eq!(first, [created(&before), vec![STATUS.into()]].concat());
    assert_eq!(fixture.requests(&object).await, [""; 0], "the training runs");

    train(&fixture);
    let trained = fixture.requests(&object).await;
    assert_eq!(trained, [created(&with_version), vec![STATUS.into(), EVENT.into()]].concat());
    let replicas = fixture.server.object("deployments/packages-serving").map(|of| of["spec"]["replicas"].clone());
    assert_eq!(replicas, Some(json!(2)), "created with the replicas its autoscaler would set");

    roll_out(&fixture, 2);
    let served = fixture.requests(&object).await;
    assert_eq!(served, [STATUS, EVENT]);
    assert_eq!(fixture.condition(types::READY).0, "Serving");
    assert_eq!(fixture.requests(&object).await, [""; 0], "converged");

    let all = [first, trained, served].concat();
    assert_eq!(all.len(), 13, "requests from the object to its converged state: {all:?}");
}

#[tokio::test]
async fn a_child_changed_by_another_manager_is_corrected_with_one_apply_and_one_event() {
    let (mut fixture, object) = (Fixture::new(), whole());
    fixture.requests(&object).await;
    let mut account = fixture.server.object("serviceaccounts/packages").expect("was created");
    account["metadata"]["resourceVersion"] = "9000".into();
    account["metadata"]["managedFields"][0]["fieldsV1"]["f:metadata"]["f:labels"] = json!({"f:other": {}});
    account["metadata"]["managedFields"][0]["operation"] = "Apply".into();
    fixture.context.cache.show(Watched::Child(Kind::ServiceAccount), account);
    assert_eq!(fixture.requests(&object).await, ["PATCH serviceaccounts/packages", EVENT]);
}

#[tokio::test]
async fn an_object_that_is_deleted_is_left_to_the_garbage_collector() {
    let (mut fixture, mut object) = (Fixture::new(), whole());
    object["metadata"]["deletionTimestamp"] = "2026-01-01T00:00:00Z".into();
    object["metadata"]["finalizers"] = json!(["foregroundDeletion"]);
    assert_eq!(fixture.requests(&object).await, [""; 0]);
}

#[tokio::test]
async fn nothing_is_done_before_every_list_has_arrived() {
    let (mut fixture, object) = (Fixture::new(), whole());
    fixture.context.cache.expect_list();
    assert_eq!(fixture.requests(&object).await, [""; 0]);
    fixture.context.cache.list_arrived();
    assert_ne!(fixture.requests(&object).await, [""; 0]);
}

#[tokio::test]
async fn nothing_is_written_after_the_lease_is_lost() {
    let (mut fixture, object) = (Fixture::with_fence(Some(Fence::lost_already())), whole());
    assert_eq!(fixture.requests(&object).await, [""; 0]);
}

#[tokio::test]
async fn the_failures_and_the_queue_entry_of_an_object_are_removed_with_it() {
    let (mut fixture, object) = (Fixture::new(), whole());
    fixture.server.refuse("POST jobs", 500, "etcd is full");
    let shown = fixture.show(&object);
    fixture.context.waiting.enter(&ObjectRef::from_obj(shown.as_ref()));
    assert!(fixture.reconcile(&object).await.is_err());
    let pauses = [(); 3].map(|()| fixture.context.memory.failed("uid").as_secs());
    fixture.context.waiting.enter(&ObjectRef::from_obj(shown.as_ref()));

    super::super::forget(&fixture.context, &shown);
    assert_eq!(fixture.context.waiting.leave(&ObjectRef::new("another")), 0, "nothing waits");
    assert!(fixture.context.memory.failed("uid").as_secs() < pauses[2], "failures are counted from zero");
}

#[tokio::test]
async fn an_autoscaler_without_metrics_is_reported_by_its_own_age_whatever_the_age_of_the_other_ones() {
    let scaled = |name: &str| {
        json!({"name": name, "image": "w", "autoscaling": {
        "minReplicas": 1, "maxReplicas": 5, "cpu": {"targetUtilizationPercent": 70}},
        "resources": {"requests": {"cpu": "1"}}})
    };
    let object = object(json!({"workers": [scaled("new"), scaled("old")]}));
    let mut fixture = Fixture::new();
    fixture.requests(&object).await;
    train(&fixture);
    fixture.requests(&object).await;
    let now = Timestamp::now();
    let blind =
        json!({"conditions": [{"type": "ScalingActive", "status": "False", "reason": "FailedGetResourceMetric"}]});
    for (worker, age) in [("new", 10), ("old", 10_000)] {
        let key = format!("horizontalpodautoscalers/packages-worker-{worker}");
        let mut autoscaler = fixture.server.object(&key).expect("was created");
        autoscaler["metadata"]["creationTimestamp"] = json!(now - SignedDuration::from_secs(age));
        autoscaler["status"] = blind.clone();
        autoscaler["metadata"]["resourceVersion"] = "9000".into();
        fixture.context.cache.show(Watched::Child(Kind::HorizontalPodAutoscaler), autoscaler);
    }
    let action = fixture.reconcile(&object).await.expect("the reconcile succeeds");
    // One second after the first three minutes of the newer one.
    let text = format!("{action:?}");
    let seconds = text.split(['(', ')', 's']).find_map(|part| part.parse::<f64>().ok());
    assert!(seconds.is_some_and(|seconds| (165.0..=171.5).contains(&seconds)), "{text}");
}
