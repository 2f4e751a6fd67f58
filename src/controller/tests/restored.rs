//! Objects that were restored from a backup: the children have no owner, and the object has neither a status nor its old UID.

use super::{
    life::{roll_out, train_in},
    *,
};
use crate::api::{VersionState, conditions::types};

/// URI of a version of the object.
const URI: &str = "file:///artifacts/shop/packages/full-1/m";

/// Deletes the owner of a child and shows it to the operator, as a restore creates it.
fn restore(fixture: &Fixture, kind: Kind, key: &str, mut object: Value) {
    let meta = object["metadata"].as_object_mut().expect("metadata");
    meta.remove("ownerReferences");
    meta.insert("resourceVersion".into(), "5".into());
    meta.insert("uid".into(), key.into());
    meta.insert("creationTimestamp".into(), "2026-11-20T12:00:00Z".into());
    fixture.server.store(key, object.clone());
    fixture.context.cache.show(Watched::Child(kind), object);
}

/// The children of a serving object, in a server of their own, as a backup has them.
fn backup(object: &Value) -> Vec<Child> {
    let object: RecommenderModel = serde_json::from_value(object.clone()).expect("a RecommenderModel");
    let mut model = Model::new(&object, Timestamp::now()).expect("a valid object");
    model.identity.uid = Some("uid of the deleted object".into());
    render::offline(&model, Timestamp::now())
}

/// Restores all children but the Jobs. The servers have the artifact `uri` of the version `full-1`. Returns the children.
fn restore_all(fixture: &Fixture, object: &Value, uri: &str) -> Vec<String> {
    let mut taken = Vec::new();
    for child in backup(object).into_iter().filter(|child| child.kind != Kind::Job) {
        let plural = child.kind.resource().plural;
        let key = format!("{plural}/{}", child.name);
        let mut restored = child.object.clone();
        if child.kind == Kind::Deployment {
            restored["spec"]["replicas"] = 1.into();
            restored["spec"]["template"]["metadata"]["labels"]["recommender.dev/version"] = "full-1".into();
            let env = restored["spec"]["template"]["spec"]["containers"][0]["env"].as_array_mut().expect("variables");
            for variable in env.iter_mut().filter(|variable| variable["name"] == "RECOMMENDER_MODEL_URI") {
                variable["value"] = uri.into();
            }
            restored["status"] =
                json!({"replicas": 1, "updatedReplicas": 1, "readyReplicas": 1, "observedGeneration": 1});
        }
        restore(fixture, child.kind, &key, restored);
        taken.push(key);
    }
    taken
}

#[tokio::test]
async fn children_without_an_owner_are_taken_over_and_what_they_serve_is_served_without_a_training() {
    let (mut fixture, object) = (Fixture::new(), object(json!({})));
    let taken = restore_all(&fixture, &object, URI);
    fixture.reconcile(&object).await.expect("the reconcile succeeds");
    let requests = fixture.server.requests();
    assert!(!requests.iter().any(|request| request.contains("jobs")), "nothing is trained anew: {requests:?}");
    for key in &taken {
        assert!(requests.contains(&format!("PATCH {key}")), "{key}: {requests:?}");
        let owner = fixture.server.object(key).expect("it is there")["metadata"]["ownerReferences"].clone();
        assert_eq!((&owner[0]["uid"], owner.as_array().map(Vec::len)), (&json!("uid"), Some(1)), "{key}");
    }
    let versions = fixture.status().versions;
    assert_eq!(versions.iter().map(|version| (&*version.id, &*version.uri)).collect::<Vec<_>>(), [("full-1", URI)]);
    assert_eq!(fixture.condition(types::READY).0, "Serving");
    assert_eq!(fixture.condition(types::STALLED).0, "AsSpecified");
    let deployment = fixture.server.object("deployments/packages-serving").expect("it is there");
    assert_eq!(deployment["spec"]["template"]["metadata"]["labels"]["recommender.dev/version"], "full-1");
}

#[tokio::test]
async fn after_a_restore_with_another_store_the_first_version_that_is_trained_there_is_promoted() {
    let (mut fixture, object) = (Fixture::new(), object(json!({})));
    let uri = "s3://earlier/shop/packages/full-1/m";
    restore_all(&fixture, &object, uri);
    fixture.reconcile(&object).await.expect("the reconcile succeeds");
    let before = fixture.status().versions;
    let ready = [types::SERVING_READY, types::READY].map(|type_| fixture.condition(type_).0);
    train_in(&fixture, "first");
    fixture.server.requests();
    let requests = fixture.requests(&object).await;
    assert!(requests.contains(&"PATCH deployments/packages-serving".to_owned()), "{requests:?}");
    let states: Vec<_> = fixture.status().versions.iter().map(|version| version.state).collect();
    assert_eq!(states, [VersionState::Candidate, VersionState::Serving]);
    let known: Vec<_> = before.iter().map(|version| (&*version.id, &*version.uri, version.state)).collect();
    assert_eq!(known, [("full-1", uri, VersionState::Serving)]);
    assert_eq!(ready, ["ArtifactsMoved", "Serving"]);
}

#[tokio::test]
async fn a_child_of_another_owner_or_without_our_hash_is_not_taken_over() {
    let (mut fixture, object) = (Fixture::new(), object(json!({})));
    let account =
        backup(&object).into_iter().find(|child| child.kind == Kind::ServiceAccount).expect("every object has one");
    let key = "serviceaccounts/packages";
    for change in ["/metadata/annotations", "/metadata/labels"] {
        let mut theirs = account.object.clone();
        *theirs.pointer_mut(change).expect("a map") = json!({});
        theirs["metadata"]["ownerReferences"] = json!([]);
        theirs["metadata"]["uid"] = "x".into();
        theirs["metadata"]["resourceVersion"] = "7".into();
        fixture.server.store(key, theirs.clone());
        assert!(fixture.reconcile(&object).await.is_err());
        assert_eq!(fixture.server.object(key), Some(theirs), "{change}");
        assert_eq!(fixture.condition(types::STALLED).0, "NameConflict");
    }
}

/// An object whose first version serves.
async fn with_first_version() -> (Fixture, Value) {
    let (mut fixture, object) = (Fixture::new(), object(json!({})));
    fixture.requests(&object).await;
    train_in(&fixture, "first");
    fixture.requests(&object).await;
    roll_out(&fixture, 1);
    fixture.requests(&object).await;
    (fixture, object)
}

/// As [`with_first_version`], and a second version is held back. What was decided on it is in the status only.
async fn with_second_version_held() -> (Fixture, Value) {
    let (mut fixture, mut object) = with_first_version().await;
    object["metadata"]["annotations"] =
        json!({"recommender.dev/train": "full again", "recommender.dev/pause-promotion": "true"});
    fixture.requests(&object).await;
    train_in(&fixture, "second");
    fixture.requests(&object).await;
    (fixture, object)
}

/// The node of the first trainer was removed, and its pod with it. Its Job, of this name, is kept.
fn remove_first_trainer(fixture: &Fixture, job: &str) {
    let job = fixture.server.object(&format!("jobs/{job}")).expect("it is kept");
    let mut meta = job["spec"]["template"]["metadata"].clone();
    for (field, value) in [("name", "first"), ("namespace", "shop"), ("uid", "first")] {
        meta[field] = value.into();
    }
    let meta = serde_json::from_value(meta).expect("metadata");
    fixture.context.cache.remove(Watched::Pod, &meta).expect("it was there");
}

#[tokio::test]
async fn after_the_status_was_lost_no_version_that_is_newer_than_the_one_that_serves_is_promoted_by_itself() {
    let (mut fixture, mut object) = with_second_version_held().await;
    let versions = fixture.status().versions;
    assert_eq!(
        versions.iter().map(|of| of.state).collect::<Vec<_>>(),
        [VersionState::Candidate, VersionState::Serving]
    );

    fixture.context.memory.forget("uid");
    object["metadata"]["annotations"] = json!({"recommender.dev/train": "full again"});
    let requests = fixture.requests(&object).await;
    assert!(!requests.contains(&"PATCH deployments/packages-serving".to_owned()), "{requests:?}");
    let known = fixture.status().versions;
    let ids = |versions: &[crate::api::Version]| versions.iter().map(|of| of.id.clone()).collect::<Vec<_>>();
    assert_eq!(ids(&known), ids(&versions));
    let states: Vec<_> = known.iter().map(|version| version.state).collect();
    assert_eq!(states, [VersionState::RolledBack, VersionState::Serving]);
    let (reason, message) = fixture.condition(types::PROMOTION_READY);
    let why = format!("the status was lost while {} served", known[1].id);
    assert!(reason == "RolledBack" && message.contains(&why), "{reason}: {message}");
    assert_eq!(fixture.requests(&object).await, [""; 0], "it stays so");

    object["metadata"]["annotations"]["recommender.dev/pin"] = known[0].id.clone().into();
    let requests = fixture.requests(&object).await;
    assert!(requests.contains(&"PATCH deployments/packages-serving".to_owned()), "a person may: {requests:?}");
}

#[tokio::test]
async fn after_the_status_was_lost_the_version_that_serves_is_known_also_if_the_report_of_its_job_is_gone() {
    let (mut fixture, mut object) = with_second_version_held().await;
    let before = fixture.status().versions;
    remove_first_trainer(&fixture, &before[1].job);
    fixture.context.memory.forget("uid");
    object["metadata"]["annotations"] = json!({"recommender.dev/train": "full again"});
    for seconds in [0, 60] {
        let shown = fixture.show(&object);
        let now = Timestamp::now() + SignedDuration::from_secs(seconds);
        super::super::reconcile::reconcile(&fixture.context, shown, now).await.expect("reconciled");
        let requests = fixture.server.requests();
        assert!(!requests.contains(&"PATCH deployments/packages-serving".to_owned()), "{requests:?}");
        let known = fixture.status().versions;
        let of = |versions: &[crate::api::Version]| {
            versions.iter().map(|of| (of.id.clone(), of.uri.clone(), of.due_at.clone())).collect::<Vec<_>>()
        };
        assert_eq!(of(&known), of(&before));
        let states: Vec<_> = known.iter().map(|version| version.state).collect();
        assert_eq!(states, [VersionState::RolledBack, VersionState::Serving]);
    }
}

#[tokio::test]
async fn after_the_status_was_lost_what_serves_is_neither_judged_nor_held_again() {
    let gate = json!([{"metric": "precision", "minimum": "2"}]);
    for (annotation, promotion) in [
        ("recommender.dev/pause-promotion", json!({})),
        ("of-somebody-else", json!({"mode": "Manual"})),
        ("of-somebody-else", json!({"gates": gate})),
    ] {
        let (mut fixture, mut object) = with_first_version().await;
        let first = fixture.status().versions[0].id.clone();
        fixture.context.memory.forget("uid");
        object["metadata"]["annotations"] = json!({annotation: "true"});
        object["spec"]["promotion"] = promotion.clone();
        for _ in 0..2 {
            fixture.requests(&object).await;
            let status = fixture.status();
            let states: Vec<_> = status.versions.iter().map(|version| version.state).collect();
            assert_eq!(states, [VersionState::Serving], "{promotion}");
            assert_eq!(status.serving.and_then(|serving| serving.version), Some(first.clone()), "{promotion}");
            assert_eq!(fixture.condition(types::SERVING_READY).0, "Serving", "{promotion}");
        }
    }
}

#[tokio::test]
async fn after_the_status_was_lost_a_rollback_that_may_have_been_followed_is_not_followed_again() {
    let (mut fixture, mut object) = with_first_version().await;
    object["metadata"]["annotations"] = json!({"recommender.dev/train": "full again"});
    fixture.requests(&object).await;
    train_in(&fixture, "second");
    fixture.requests(&object).await;
    let rolled_out = json!({"observedGeneration": 2, "replicas": 1, "updatedReplicas": 1, "readyReplicas": 1});
    fixture.show_child(Watched::Child(Kind::Deployment), "deployments/packages-serving", &rolled_out);
    fixture.requests(&object).await;
    let states = |fixture: &Fixture| fixture.status().versions.iter().map(|of| of.state).collect::<Vec<_>>();
    assert_eq!(states(&fixture), [VersionState::Serving, VersionState::Previous]);

    let first = fixture.status().versions[1].id.clone();
    fixture.context.memory.forget("uid");
    object["metadata"]["annotations"]["recommender.dev/rollback"] = first.clone().into();
    for _ in 0..2 {
        let requests = fixture.requests(&object).await;
        assert!(!requests.contains(&"PATCH deployments/packages-serving".to_owned()), "{requests:?}");
        assert_eq!(states(&fixture)[0], VersionState::Serving);
    }
    object["metadata"]["annotations"] = json!({"recommender.dev/train": "full again"});
    fixture.requests(&object).await;
    object["metadata"]["annotations"]["recommender.dev/rollback"] = first.into();
    let requests = fixture.requests(&object).await;
    assert!(requests.contains(&"PATCH deployments/packages-serving".to_owned()), "set anew: {requests:?}");
    assert_eq!(states(&fixture)[0], VersionState::RolledBack);
}

#[tokio::test]
async fn after_the_status_was_lost_servers_whose_artifact_is_unknown_serve_on_until_a_new_version_passes_its_gates() {
    let (mut fixture, object) = (Fixture::new(), object(json!({})));
    restore_all(&fixture, &object, URI);
    let mut servers = fixture.server.object("deployments/packages-serving").expect("it was restored");
    let env = servers["spec"]["template"]["spec"]["containers"][0]["env"].as_array_mut().expect("variables");
    env.retain(|variable| variable["name"] != "RECOMMENDER_MODEL_URI");
    restore(&fixture, Kind::Deployment, "deployments/packages-serving", servers);
    fixture.reconcile(&object).await.expect("the reconcile succeeds");
    assert_eq!(fixture.status().serving.and_then(|serving| serving.version).as_deref(), Some("full-1"));
    assert_eq!(fixture.condition(types::READY).0, "Serving");
    for type_ in [types::SERVING_READY, types::PROMOTION_READY] {
        let (reason, message) = fixture.condition(type_);
        let what = "version full-1 is left as it is in the Deployment of the servers until a newer version is promoted";
        assert!(reason == "ArtifactsMoved" && message.contains(what), "{type_}: {message}");
        assert!(message.contains("recommender.dev/train"), "{type_} says what to do: {message}");
    }
    let (reason, message) = fixture.condition(types::REFRESHABLE);
    assert!(reason == "ArtifactsMoved" && message.contains("its artifact is not known"), "{message}");

    train_in(&fixture, "first");
    fixture.server.requests();
    let requests = fixture.requests(&object).await;
    assert!(requests.contains(&"PATCH deployments/packages-serving".to_owned()), "{requests:?}");
    let states: Vec<_> = fixture.status().versions.iter().map(|version| version.state).collect();
    assert_eq!(states, [VersionState::Candidate, VersionState::Serving]);
}

#[tokio::test]
async fn of_servers_whose_artifact_is_unknown_no_newer_version_is_promoted_but_the_next_one_is_after_the_status_was_lost()
 {
    let (mut fixture, mut object) = with_second_version_held().await;
    let before = fixture.status().versions;
    remove_first_trainer(&fixture, &before[1].job);
    let mut servers = fixture.server.object("deployments/packages-serving").expect("it is there");
    let containers = &mut servers["spec"]["template"]["spec"]["containers"][0];
    containers["env"].as_array_mut().expect("variables").retain(|of| of["name"] != "RECOMMENDER_MODEL_DIGEST");
    servers["metadata"]["resourceVersion"] = "99999".into();
    fixture.server.store("deployments/packages-serving", servers);
    roll_out(&fixture, 1);
    fixture.context.memory.forget("uid");
    object["metadata"]["annotations"] = json!({"recommender.dev/train": "full again"});
    for _ in 0..2 {
        let requests = fixture.requests(&object).await;
        assert!(!requests.contains(&"PATCH deployments/packages-serving".to_owned()), "{requests:?}");
        let of: Vec<_> = fixture.status().versions.iter().map(|of| (of.id.clone(), of.state)).collect();
        let states = [VersionState::RolledBack, VersionState::Serving];
        assert_eq!(of, before.iter().map(|of| of.id.clone()).zip(states).collect::<Vec<_>>());
    }
    let (reason, message) = fixture.condition(types::PROMOTION_READY);
    assert!(reason == "RolledBack" && message.contains("the status was lost while"), "{reason}: {message}");
    let (reason, message) = fixture.condition(types::SERVING_READY);
    assert!(reason == "ArtifactsMoved" && message.contains("its artifact is not known"), "{message}");
}
