//! Servers that change versions without a restart: what is written, in which order, and what a lost write changes.

use k8s_openapi::apimachinery::pkg::apis::meta::v1::Time;

use super::{
    life::{roll_out, train},
    *,
};
use crate::{
    api::{Version, VersionState, conditions::types},
    controller::ticked::Observe,
    series::Series,
    signals::fake::{NOW, at, readings},
    version_file::FILE,
};

const DEPLOYMENT: &str = "PATCH deployments/packages-serving";

/// An object with hot reload whose first version, a full one, serves by one ready server.
async fn serving() -> (Fixture, Value) {
    let mut object = object(json!({
        "promotion": {"hotReload": {"timeoutSeconds": 60}},
        "monitoring": {"metrics": {"profile": "FastApiInstrumentator"}},
    }));
    object["spec"]["training"]["partial"] = json!({});
    let mut fixture = Fixture::new();
    fixture.requests(&object).await;
    train(&fixture);
    let created = fixture.requests(&object).await;
    let position = |kind: &str| created.iter().position(|request| *request == format!("POST {kind}"));
    assert!(position("configmaps") < position("deployments") && position("configmaps").is_some(), "{created:?}");
    fixture.context.cache.show(Watched::Pod, server(&fixture));
    roll_out(&fixture, 1);
    fixture.requests(&object).await;
    assert_eq!(fixture.requests(&object).await, [""; 0], "converged");
    (fixture, object)
}

/// The same, after a partial training.
async fn trained() -> (Fixture, Value) {
    let (mut fixture, mut object) = serving().await;
    object["metadata"]["annotations"] = json!({"recommender.dev/train": "partial now"});
    fixture.requests(&object).await;
    train(&fixture);
    (fixture, object)
}

/// A ready server of the version that the Deployment has.
fn server(fixture: &Fixture) -> Value {
    let deployment = fixture.server.object("deployments/packages-serving").expect("was created");
    let template = &deployment["spec"]["template"];
    let mut meta = template["metadata"].clone();
    for (field, value) in [("name", "server"), ("namespace", "shop"), ("uid", "server"), ("resourceVersion", "5000")] {
        meta[field] = value.into();
    }
    meta["creationTimestamp"] = json!(Timestamp::now());
    let ready = json!({"type": "Ready", "status": "True", "lastTransitionTime": Timestamp::now()});
    let status = json!({"phase": "Running", "conditions": [ready], "containerStatuses": [{
        "name": "server", "image": "i", "imageID": "i", "ready": true, "restartCount": 0,
        "state": {"running": {"startedAt": Timestamp::now()}},
    }]});
    json!({"metadata": meta, "spec": template["spec"], "status": status})
}

/// Name of the ConfigMap in the pod template, and the version that it names.
fn file(fixture: &Fixture) -> (String, String) {
    let deployment = fixture.server.object("deployments/packages-serving").expect("was created");
    let volumes = deployment["spec"]["template"]["spec"]["volumes"].as_array().expect("volumes").clone();
    let name = volumes.iter().find_map(|volume| volume["configMap"]["name"].as_str()).expect("a ConfigMap").to_owned();
    let config_map = fixture.server.object(&format!("configmaps/{name}")).expect("was created");
    let named: Value = serde_json::from_str(config_map["data"][FILE].as_str().expect("a file")).expect("JSON");
    assert!(["uri", "digest"].iter().all(|key| named[key].is_string()), "{named}");
    (name, named["version"].as_str().expect("a version").to_owned())
}

/// A tick that finds the server scraped while it answered with this version.
fn tick(fixture: &Fixture, version: &str) -> bool {
    tick_of(fixture, "server", version)
}

/// The same of another server.
fn tick_of(fixture: &Fixture, pod: &str, version: &str) -> bool {
    let second = Timestamp::now().as_second() - NOW + 5;
    let about: &'static str = format!(r#"{pod}","version":"{version}"#).leak();
    let sample = ("shop", "packages", Series::PodVersion, about, (NOW + second).to_string(), 0);
    !fixture.context.observers.reloads.tick(&|_| true, Some(&readings(&[sample], second)), at(second)).is_empty()
}

#[tokio::test]
async fn a_reload_is_recorded_then_written_to_the_file_and_ends_when_the_server_reports_it() {
    let (mut fixture, object) = trained().await;
    let (name, before) = file(&fixture);
    let pods = fixture.server.object("deployments/packages-serving").expect("it serves")["spec"]["template"].clone();
    let config_map = format!("PATCH configmaps/{name}");
    let requests = fixture.requests(&object).await;
    let is_one = |request: &&String| **request == STATUS || **request == config_map;
    let mut order: Vec<&String> = requests.iter().filter(is_one).collect();
    // Before its first change, the ownership of its fields is converted.
    order.dedup();
    assert_eq!(order, [STATUS, &config_map, STATUS], "{requests:?}");
    assert!(!requests.contains(&DEPLOYMENT.to_owned()), "{requests:?}");
    let (_, named) = file(&fixture);
    assert!(named.starts_with("partial-") && before.starts_with("full-"), "{before}, {named}");
    let (reason, message) = fixture.condition(types::SERVING_READY);
    assert!(reason == "Reloading" && message.contains(&named) && message.contains(&before), "{reason}: {message}");
    assert_eq!(
        fixture.context.observers.reloads.demanded(&|_| true).into_iter().collect::<Vec<_>>(),
        [Series::PodVersion]
    );
    fixture.requests(&object).await;
    assert_eq!(fixture.requests(&object).await, [""; 0], "it waits");

    assert!(!tick(&fixture, &before) || fixture.requests(&object).await.len() <= 1);
    assert!(tick(&fixture, &named));
    fixture.requests(&object).await;
    let status = fixture.status();
    let serving = status.serving.clone().expect("a status");
    assert_eq!((serving.version, serving.rolling_out, serving.reload), (Some(named.clone()), None, None));
    assert_eq!(status.versions[0].state, VersionState::Serving);
    assert_eq!(fixture.condition(types::SERVING_READY).0, "Serving");
    assert_eq!(fixture.requests(&object).await, [""; 0], "converged");
    assert!(fixture.context.observers.reloads.demanded(&|_| true).is_empty(), "nothing is read any more");
    assert_eq!(fixture.server.object("deployments/packages-serving").expect("it serves")["spec"]["template"], pods);

    // A ConfigMap that is deleted is created again as it was.
    let deleted = fixture.server.object(&format!("configmaps/{name}")).expect("it exists");
    let meta = serde_json::from_value(deleted["metadata"].clone()).expect("metadata");
    fixture.context.cache.remove(Watched::Child(Kind::ConfigMap), &meta);
    fixture.server.delete(&format!("configmaps/{name}"));
    assert_eq!(fixture.requests(&object).await, ["POST configmaps"]);
    assert_eq!(file(&fixture), (name, named));
    assert_eq!(fixture.requests(&object).await, [""; 0]);
}

#[tokio::test]
async fn a_server_that_gets_ready_later_with_another_version_than_its_file_names_is_named() {
    let (mut fixture, mut object) = trained().await;
    let (_, before) = file(&fixture);
    fixture.requests(&object).await;
    let (_, named) = file(&fixture);
    tick(&fixture, &named);
    fixture.requests(&object).await;
    assert_eq!(fixture.requests(&object).await, [""; 0], "converged");

    let mut late = server(&fixture);
    for field in ["name", "uid"] {
        late["metadata"][field] = "late".into();
    }
    late["status"]["conditions"][0]["lastTransitionTime"] = json!(Timestamp::now() + SignedDuration::from_secs(2));
    fixture.context.cache.show(Watched::Pod, late);
    assert_eq!(fixture.requests(&object).await, [""; 0]);
    let demanded = fixture.context.observers.reloads.demanded(&|_| true);
    assert_eq!(demanded.into_iter().collect::<Vec<_>>(), [Series::PodVersion], "it is checked what it answers with");
    assert!(!tick_of(&fixture, "server", &before), "that one was ready before");
    assert!(tick_of(&fixture, "late", &before));
    assert_eq!(fixture.requests(&object).await, [STATUS], "no other server is restarted");
    let (reason, message) = fixture.condition(types::SERVING_READY);
    let expected = format!("; pod late answers with {before}, although its file names {named}: its log says why");
    assert!(reason == "Serving" && message.contains(&expected), "{reason}: {message}");
    assert!(message.ends_with("kubectl -n shop delete pod late"), "{message}");
    assert_eq!(fixture.requests(&object).await, [""; 0], "it stays so");

    // After a restart of the operator it is found again, however long the pod is ready by then. What is left is the status.
    object["status"] = serde_json::to_value(fixture.status()).expect("a status");
    Arc::get_mut(&mut fixture.context).expect("no reconcile is under way").memory = Memory::default();
    fixture.context.observers.reloads.forget("uid");
    let later = Timestamp::now() + SignedDuration::from_secs(3600);
    let shown = fixture.show(&object);
    super::super::reconcile::reconcile(&fixture.context, shown.clone(), later).await.expect("reconciled");
    assert!(tick_of(&fixture, "late", &before));
    super::super::reconcile::reconcile(&fixture.context, shown.clone(), later).await.expect("reconciled");
    assert!(fixture.condition(types::SERVING_READY).1.contains(&expected));
    // One that answers with what its file names is observed for as long as a reload may take.
    assert!(tick_of(&fixture, "late", &named));
    let later = later + SignedDuration::from_secs(61);
    super::super::reconcile::reconcile(&fixture.context, shown, later).await.expect("reconciled");
    assert!(!fixture.condition(types::SERVING_READY).1.contains("late"));
    assert!(fixture.context.observers.reloads.demanded(&|_| true).is_empty());
}

#[tokio::test]
async fn nothing_is_written_to_the_file_unless_that_is_recorded() {
    let (mut fixture, object) = trained().await;
    let (name, before) = file(&fixture);
    fixture.server.refuse(STATUS, 500, "not now");
    assert!(fixture.reconcile(&object).await.is_err());
    assert_eq!(file(&fixture), (name.clone(), before.clone()));
    assert!(fixture.status().serving.is_some_and(|serving| serving.reload.is_none()));

    fixture.server.refuse_nothing();
    let config_map = format!("PATCH configmaps/{name}");
    fixture.server.refuse(&config_map, 500, "not now");
    assert!(fixture.reconcile(&object).await.is_err());
    let since = |fixture: &Fixture| fixture.status().serving.and_then(|serving| serving.reload).map(|of| of.since.0);
    let begun = since(&fixture);
    assert!(begun.is_some() && file(&fixture).1 == before);
    fixture.server.refuse_nothing();
    fixture.requests(&object).await;
    assert_eq!(since(&fixture), begun, "it has not begun anew");
    assert_ne!(file(&fixture).1, before);
}

#[tokio::test]
async fn a_server_that_does_not_report_it_in_time_is_restarted_by_a_rollout() {
    let (mut fixture, object) = trained().await;
    let (name, _) = file(&fixture);
    fixture.requests(&object).await;
    let shown = fixture.show(&object);
    let later = Timestamp::now() + SignedDuration::from_secs(61);
    super::super::reconcile::reconcile(&fixture.context, shown, later).await.expect("reconciled");
    let requests = fixture.server.requests();
    assert!(
        requests.contains(&DEPLOYMENT.to_owned()) && requests.contains(&"POST configmaps".to_owned()),
        "{requests:?}"
    );
    assert!(
        !requests.iter().any(|request| *request == format!("DELETE configmaps/{name}")),
        "its pods may start again"
    );
    let reload = fixture.status().serving.and_then(|serving| serving.reload).expect("it goes on");
    assert!(reload.restarts && reload.message.contains("within 60 s (0 of 1 pods report it; server"), "{reload:?}");
    let (of_new, named) = file(&fixture);
    assert!(of_new != name && named == reload.version, "{of_new}");

    // The new pod starts with the version, and then the file of the earlier ones goes.
    fixture.context.cache.show(Watched::Pod, server(&fixture));
    let status = json!({"observedGeneration": 2, "replicas": 1, "updatedReplicas": 1, "readyReplicas": 1});
    fixture.show_child(Watched::Child(Kind::Deployment), "deployments/packages-serving", &status);
    let requests = fixture.requests(&object).await;
    assert!(requests.contains(&format!("DELETE configmaps/{name}")), "{requests:?}");
    let serving = fixture.status().serving.expect("a status");
    assert_eq!((serving.version, serving.reload), (Some(named), None));
}

/// A server that is not ready, was restarted so often, and last so many seconds ago.
fn crashing(fixture: &Fixture, restarts: i32, seconds_ago: i64) -> Value {
    let mut server = server(fixture);
    server["metadata"]["resourceVersion"] = (6000 + restarts).to_string().into();
    server["metadata"]["creationTimestamp"] = json!(Timestamp::now() - SignedDuration::from_secs(3600));
    server["status"]["conditions"][0]["status"] = "False".into();
    let container = &mut server["status"]["containerStatuses"][0];
    (container["ready"], container["restartCount"]) = (false.into(), restarts.into());
    let ended = Timestamp::now() - SignedDuration::from_secs(seconds_ago);
    container["lastState"] = json!({"terminated": {"exitCode": 1, "finishedAt": ended}});
    server
}

#[tokio::test]
async fn restarts_before_a_reload_condemn_nothing_also_after_a_restart_of_the_operator() {
    let (mut fixture, mut object) = trained().await;
    let (_, full) = file(&fixture);
    fixture.context.cache.show(Watched::Pod, crashing(&fixture, 9, 30));
    fixture.requests(&object).await;
    fixture.requests(&object).await;
    let (_, partial) = file(&fixture);
    assert!(partial.starts_with("partial-"), "{partial}");

    // What is left of the operator is the status.
    object["status"] = serde_json::to_value(fixture.status()).expect("a status");
    Arc::get_mut(&mut fixture.context).expect("no reconcile is under way").memory = Memory::default();
    fixture.requests(&object).await;
    assert_eq!(file(&fixture).1, partial, "it was before the version was named");
    fixture.context.cache.show(Watched::Pod, crashing(&fixture, 12, 0));
    fixture.requests(&object).await;
    assert_eq!(file(&fixture).1, partial, "three times");
    fixture.context.cache.show(Watched::Pod, crashing(&fixture, 13, 0));
    fixture.requests(&object).await;
    assert_eq!(file(&fixture).1, full, "four times since");
    let version = fixture.status().versions.into_iter().find(|version| version.id == partial).expect("it is kept");
    assert_eq!(version.state, VersionState::Failed);
}

#[tokio::test]
async fn the_file_of_earlier_pods_names_what_serves_once_their_reload_is_interrupted() {
    let (mut fixture, mut object) = trained().await;
    let (name, full) = file(&fixture);
    fixture.requests(&object).await;
    let (_, partial) = file(&fixture);
    let named = |fixture: &Fixture| {
        let config_map = fixture.server.object(&format!("configmaps/{name}")).expect("pods mount it");
        let named: Value = serde_json::from_str(config_map["data"][FILE].as_str().expect("a file")).expect("JSON");
        named["version"].as_str().expect("a version").to_owned()
    };
    assert_eq!(named(&fixture), partial);

    // It is taken back while the pods change otherwise as well, and their file cannot be written.
    object["spec"]["serving"]["image"] = "example.org/server:2".into();
    let config_map = format!("PATCH configmaps/{name}");
    fixture.server.refuse(&config_map, 500, "not now");
    object["metadata"]["annotations"] = json!({"recommender.dev/pin": full});
    assert!(fixture.reconcile(&object).await.is_err());
    let status = json!({"observedGeneration": 2, "replicas": 2, "updatedReplicas": 1, "readyReplicas": 1});
    fixture.show_child(Watched::Child(Kind::Deployment), "deployments/packages-serving", &status);
    assert!(fixture.reconcile(&object).await.is_err(), "it is tried again");
    assert_eq!(named(&fixture), partial);

    // More versions are trained than are kept: the one that may be loaded is not dropped, so it is not pruned either.
    let mut status = fixture.status();
    let loaded = status.versions.iter().find(|version| version.id == partial).expect("it is kept").clone();
    let newer = |number: i32| Version {
        id: format!("partial-newer-{number}"),
        job: format!("packages-partial-newer-{number}"),
        state: VersionState::Superseded,
        due_at: Time(loaded.due_at.0 + SignedDuration::from_secs(1)),
        trained_at: Time(loaded.trained_at.0 + SignedDuration::from_secs(1)),
        ..loaded.clone()
    };
    status.versions.splice(0..0, (0..20).map(newer));
    object["status"] = serde_json::to_value(&status).expect("a status");
    Arc::get_mut(&mut fixture.context).expect("no reconcile is under way").memory = Memory::default();
    assert!(fixture.reconcile(&object).await.is_err());
    let kept = |fixture: &Fixture| fixture.status().versions.iter().any(|version| version.id == partial);
    assert!(fixture.status().versions.len() < 20 && kept(&fixture), "{:?}", fixture.status().versions);

    fixture.server.refuse_nothing();
    fixture.requests(&object).await;
    assert_eq!(named(&fixture), full, "a pod that starts again has what serves");
    assert_eq!(file(&fixture).1, full);
    fixture.requests(&object).await;
    assert_eq!(fixture.requests(&object).await, [""; 0]);
}

#[tokio::test]
async fn an_operator_that_may_write_no_config_maps_rolls_versions_out_and_says_so() {
    let (mut fixture, object) = (Fixture::new(), trained().await.1);
    fixture.context.cache.set_missing(Kind::ConfigMap, true);
    fixture.requests(&object).await;
    train(&fixture);
    let requests = fixture.requests(&object).await;
    assert!(requests.contains(&"POST deployments".to_owned()), "{requests:?}");
    assert!(!requests.iter().any(|request| request.contains("configmaps")), "{requests:?}");
    let (_, message) = fixture.condition(types::PROMOTION_READY);
    assert!(message.contains("spec.promotion.hotReload: the operator may not write ConfigMaps"), "{message}");
}
