//! The requests of reconciles, from the creation of an object to its deletion.

use super::*;
use crate::api::{FIELD_MANAGER, conditions::types};

/// An object with autoscaling and monitoring.
pub(super) fn whole() -> Value {
    object(json!({
        "serving": {"image": "s", "autoscaling": {"minReplicas": 2, "maxReplicas": 5, "cpu": {"targetUtilizationPercent": 70}},
                    "resources": {"requests": {"cpu": "1"}}},
        "monitoring": {"metrics": {"profile": "FastApiInstrumentator"}},
    }))
}

/// Ends the training run of an object, with a valid report.
pub(super) fn train(fixture: &Fixture) {
    train_in(fixture, "pod");
}

/// The same, in a pod of this name.
pub(super) fn train_in(fixture: &Fixture, pod: &str) {
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
    for (field, value) in [("name", pod), ("namespace", "shop"), ("uid", pod), ("resourceVersion", "100")] {
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
pub(super) fn roll_out(fixture: &Fixture, replicas: i32) {
    let status = json!({
        "observedGeneration": 1, "replicas": replicas, "updatedReplicas": replicas, "readyReplicas": replicas,
    });
    fixture.show_child(Watched::Child(Kind::Deployment), "deployments/packages-serving", &status);
}

#[tokio::test]
async fn alerts_name_the_runbooks_at_the_url_that_the_operator_is_given() {
    let mut fixture = Fixture::new();
    fixture.requests(&whole()).await;
    let rule = fixture.server.object("prometheusrules/packages").expect("it was created").to_string();
    let written = rule.matches(r#""runbook_url":""#).count();
    assert!(written > 5 && rule.matches(&format!(r#""runbook_url":"{RUNBOOKS_URL}/Recommender"#)).count() == written);
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

/// An object that serves one version, with environment variables.
async fn serving_with_env(fixture: &mut Fixture, names: &[&str]) -> Value {
    let object = with_env(&whole(), names);
    fixture.requests(&object).await;
    train(fixture);
    fixture.requests(&object).await;
    roll_out(fixture, 2);
    fixture.requests(&object).await;
    object
}

fn with_env(object: &Value, names: &[&str]) -> Value {
    let mut object = object.clone();
    object["spec"]["serving"]["env"] = names.iter().map(|name| json!({"name": name, "value": "1"})).collect();
    object
}

/// Names of the environment variables of the servers that the user has set.
fn env(fixture: &Fixture) -> Vec<String> {
    let deployment = fixture.server.object("deployments/packages-serving").expect("was created");
    let env = deployment["spec"]["template"]["spec"]["containers"][0]["env"].as_array().expect("variables").clone();
    let names = env.iter().map(|variable| variable["name"].as_str().expect("a name").to_owned());
    names.filter(|name| !name.starts_with("RECOMMENDER_")).collect()
}

#[tokio::test]
async fn a_field_removed_from_the_object_is_removed_from_the_child_and_those_of_the_api_server_and_of_webhooks_stay() {
    let mut fixture = Fixture::new();
    let object = serving_with_env(&mut fixture, &["KEPT", "GONE"]).await;
    // A webhook that is called only for creations does not count as a manager.
    let key = "deployments/packages-serving";
    let mut deployment = fixture.server.object(key).expect("was created");
    deployment["spec"]["template"]["spec"]["dnsPolicy"] = "Default".into();
    fixture.server.store(key, deployment);

    let requests = fixture.requests(&with_env(&object, &["KEPT"])).await;
    let patch = format!("PATCH {key}");
    let expected = [patch.clone(), format!("GET {key}"), patch.clone(), patch.clone()];
    assert_eq!(
        requests[..4],
        expected,
        "replicas are handed over, ownership is converted, and the Deployment is applied"
    );
    assert_eq!(env(&fixture), ["KEPT"]);
    let deployment = fixture.server.object(key).expect("was created");
    assert_eq!(deployment["spec"]["template"]["spec"]["dnsPolicy"], "Default");
    let entries = deployment["metadata"]["managedFields"].as_array().expect("entries");
    let ours: Vec<_> = entries.iter().filter(|entry| entry["manager"] == FIELD_MANAGER).collect();
    let [entry] = ours[..] else { panic!("{ours:?}") };
    assert_eq!(entry["operation"], "Apply");
    assert!(!entry.to_string().contains("f:dnsPolicy"), "{entry}");

    let requests = fixture.requests(&with_env(&object, &[])).await;
    assert_eq!(requests[0], patch, "nothing is left to convert");
    assert_eq!(env(&fixture), [""; 0]);
}

#[tokio::test]
async fn a_field_is_removed_also_after_an_older_version_has_applied_the_child_without_converting_its_creation() {
    let mut fixture = Fixture::new();
    let object = serving_with_env(&mut fixture, &["KEPT", "GONE"]).await;
    let key = "deployments/packages-serving";
    let mut deployment = fixture.server.object(key).expect("was created");
    let mut applied = deployment["metadata"]["managedFields"][0].clone();
    applied["operation"] = "Apply".into();
    applied["fieldsV1"]["f:spec"].as_object_mut().expect("fields").remove("f:replicas");
    deployment["metadata"]["managedFields"].as_array_mut().expect("entries").push(applied);
    deployment["metadata"]["resourceVersion"] = "9000".into();
    fixture.server.store(key, deployment);
    roll_out(&fixture, 2);

    fixture.requests(&with_env(&object, &["KEPT"])).await;
    assert_eq!(env(&fixture), ["KEPT"]);
    let deployment = fixture.server.object(key).expect("was created");
    assert_eq!(deployment["spec"]["replicas"], 2, "handed over before they were given up");
}

#[tokio::test]
async fn another_manager_that_applies_an_old_copy_of_a_child_is_met_with_a_back_off() {
    let (mut fixture, object) = (Fixture::new(), whole());
    fixture.requests(&object).await;
    let key = "serviceaccounts/packages";
    let mut corrected = Vec::new();
    for round in 1..=6 {
        let mut account = fixture.server.object(key).expect("was created");
        // Later than our own writes of the round before.
        account["metadata"]["resourceVersion"] = (round * 10_000).to_string().into();
        account["metadata"]["annotations"]["recommender.dev/applied-hash"] = "old".into();
        fixture.server.store(key, account.clone());
        fixture.context.cache.show(Watched::Child(Kind::ServiceAccount), account);
        let _ = fixture.reconcile(&object).await; // a conflict is an error
        corrected.push(fixture.server.requests().contains(&format!("PATCH {key}")));
    }
    assert_eq!(corrected, [true, true, true, false, false, false], "three times at once, as for any other change");
    assert!(fixture.status().conditions.iter().any(|condition| condition.reason == "FieldConflict"));
}

#[tokio::test]
async fn an_object_is_reconciled_as_it_is_when_it_gets_its_permit() {
    let (mut fixture, mut object) = (Fixture::new(), whole());
    let before = fixture.show(&object);
    let permit = fixture.context.permits.clone().acquire_owned().await.expect("there is one");
    let waits = tokio::spawn(super::super::reconcile_one(before.clone(), fixture.context.clone()));
    tokio::task::yield_now().await;
    object["metadata"]["generation"] = 2.into();
    fixture.show(&object);
    drop(permit);
    waits.await.expect("no panic").expect("the reconcile succeeds");
    assert_eq!(fixture.status().observed_generation, Some(2));

    object["metadata"]["uid"] = "another".into();
    fixture.show(&object);
    fixture.server.requests();
    super::super::reconcile_one(before, fixture.context.clone()).await.expect("there is nothing to do");
    assert_eq!(fixture.server.requests(), [""; 0], "the object is gone, and the new one is enqueued by itself");
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
