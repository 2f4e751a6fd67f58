use std::{
    convert::Infallible,
    sync::{Arc, Mutex},
};

use axum::http::{Request, Response};
use jiff::Timestamp;
use kube::{
    Client,
    client::Body,
    core::{ObjectMeta, PartialObjectMetaExt},
};
use serde_json::{Value, json};

use super::*;
use crate::{api::HASH_ANNOTATION, telemetry::Metrics};

/// An API server that has one object or none, takes every write, and keeps what it was asked.
#[derive(Clone, Default)]
struct Server {
    object: Option<ObjectMeta>,
    asked: Arc<Mutex<Vec<String>>>,
}

impl Server {
    fn with(object: Value) -> Self {
        Self { object: serde_json::from_value(object).ok(), ..Self::default() }
    }

    fn cluster(&self) -> Cluster {
        let server = self.clone();
        let service = tower::service_fn(move |request: Request<Body>| {
            let answer = server.answer(&request);
            async move { Ok::<_, Infallible>(answer) }
        });
        Cluster::new(Client::new(service, "default"), Metrics::new(), None)
    }

    fn answer(&self, request: &Request<Body>) -> Response<Body> {
        let (method, uri) = (request.method().as_str(), request.uri());
        let name = uri.path().rsplit('/').next().unwrap_or_default();
        let force = if uri.query().unwrap_or_default().contains("force=true") { " by force" } else { "" };
        self.asked.lock().expect("no panic").push(format!("{method} {name}{force}"));
        let found = match (&self.object, method) {
            (None, "GET") => return status(404),
            (None, _) => serde_json::from_value(meta(json!({}))).expect("metadata"),
            (Some(object), _) => object.clone(),
        };
        let object = found.into_response_partial::<k8s_openapi::api::core::v1::Service>();
        Response::new(Body::from(serde_json::to_vec(&object).expect("JSON")))
    }

    fn asked(&self) -> Vec<String> {
        self.asked.lock().expect("no panic").clone()
    }
}

fn status(code: u16) -> Response<Body> {
    let body = json!({"kind": "Status", "apiVersion": "v1", "status": "Failure", "code": code});
    Response::builder().status(code).body(Body::from(body.to_string().into_bytes())).expect("a response")
}

/// Metadata of a child of the object with the UID `uid`, with changes.
fn meta(changes: Value) -> Value {
    let mut meta = json!({
        "name": "a", "namespace": "shop", "uid": "child", "resourceVersion": "5",
        "labels": {MANAGED_BY_LABEL: FIELD_MANAGER},
        "ownerReferences": [{
            "apiVersion": "recommender.dev/v1alpha1", "kind": "RecommenderModel", "name": "a", "uid": "uid",
            "controller": true,
        }],
    });
    for (field, value) in changes.as_object().expect("an object") {
        meta[field] = value.clone();
    }
    meta
}

fn child(kind: Kind) -> Child {
    Child {
        kind,
        name: "a".into(),
        object: json!({"metadata": {"name": "a"}, "spec": {}}),
        hash: "h".into(),
        seed_replicas: None,
    }
}

/// Applies one child in a world where the watch has shown `seen`.
async fn apply_one(server: &Server, seen: Option<Value>, child: Child) -> Outcome {
    apply_after(server, seen, child, &Heals::default(), Timestamp::UNIX_EPOCH).await
}

/// Applies one child at `now`, after it was put right before.
async fn apply_after(server: &Server, seen: Option<Value>, child: Child, heals: &Heals, now: Timestamp) -> Outcome {
    let world = World::default();
    if let Some(seen) = seen {
        world.record(child.kind, &serde_json::from_value(seen).expect("metadata"));
    }
    let meta = ObjectMeta {
        name: Some("a".into()),
        namespace: Some("shop".into()),
        uid: Some("uid".into()),
        ..ObjectMeta::default()
    };
    let identity = Identity::of(&meta, Timestamp::UNIX_EPOCH);
    let wanted = Wanted { identity: &identity, uid: "uid", children: &[child], serving_decided: false, heals, now };
    let family = world.family("shop", "a");
    apply(&server.cluster(), &world, &wanted, &family).await
}

#[tokio::test]
async fn a_new_child_takes_nothing_from_an_object_that_was_made_meanwhile() {
    let server = Server::default();
    assert_eq!(apply_one(&server, None, child(Kind::Service)).await, Outcome::default());
    assert_eq!(server.asked(), ["GET a", "PATCH a"]);
}

#[tokio::test]
async fn what_is_ours_is_put_right_by_force() {
    let server = Server::with(meta(json!({})));
    assert_eq!(apply_one(&server, Some(meta(json!({}))), child(Kind::Service)).await.problems, []);
    assert_eq!(server.asked(), ["PATCH a by force"]);
}

#[tokio::test]
async fn a_child_that_somebody_keeps_changing_is_left_for_a_while_then_put_right_and_told_of_all_the_time() {
    let at = |seconds| Timestamp::UNIX_EPOCH + jiff::SignedDuration::from_secs(seconds);
    let edited = || meta(json!({"annotations": {HASH_ANNOTATION: "h"}}));
    let healed = [(Kind::Service, "a".to_owned())];
    let conflict = |outcome: &Outcome| outcome.problems.iter().map(|problem| problem.reason).collect::<Vec<_>>();

    let (server, mut heals) = (Server::with(edited()), Heals::default());
    for second in 0..3 {
        let outcome = apply_after(&server, Some(edited()), child(Kind::Service), &heals, at(second)).await;
        assert_eq!((conflict(&outcome), &outcome.healed[..]), (vec![], &healed[..]), "{second}");
        heals.add(Kind::Service, "a", at(second));
    }
    let rests = apply_after(&server, Some(edited()), child(Kind::Service), &heals, at(3)).await;
    assert_eq!((conflict(&rests), &rests.healed[..]), (vec![reasons::FIELD_CONFLICT], &[][..]));
    assert_eq!(server.asked().len(), 3, "{:?}", server.asked());

    let again = apply_after(&server, Some(edited()), child(Kind::Service), &heals, at(60)).await;
    assert_eq!((conflict(&again), &again.healed[..]), (vec![reasons::FIELD_CONFLICT], &healed[..]));

    let ours = Child { hash: "a new spec".into(), ..child(Kind::Service) };
    let changed = apply_after(&server, Some(edited()), ours, &heals, at(3)).await;
    assert_eq!(changed, Outcome::default(), "a change of the spec does not wait");
    assert_eq!(server.asked().len(), 5, "{:?}", server.asked());
}

#[tokio::test]
async fn a_job_without_our_label_gets_it_back_because_nobody_would_see_its_end() {
    let server = Server::with(meta(json!({"labels": {}})));
    assert_eq!(apply_one(&server, None, child(Kind::Job)).await.problems, []);
    assert_eq!(server.asked(), ["GET a", "PATCH a"]);
    let labelled = Server::with(meta(json!({})));
    assert_eq!(apply_one(&labelled, None, child(Kind::Job)).await.problems, []);
    assert_eq!(labelled.asked(), ["GET a"], "the watch is only late");
}

#[tokio::test]
async fn the_child_of_a_deleted_object_of_the_same_name_is_waited_for_and_a_foreign_one_is_a_conflict() {
    let of = |name: &str, kind: &str| {
        let owner = json!({"apiVersion": "v1", "kind": kind, "name": name, "uid": "other", "controller": true});
        json!([owner])
    };
    for (owners, reason, permanent) in [
        (of("a", "RecommenderModel"), reasons::PENDING, false),
        (of("a", "Deployment"), reasons::NAME_CONFLICT, true),
        (json!([]), reasons::NAME_CONFLICT, true),
    ] {
        let theirs = meta(json!({"ownerReferences": owners}));
        let server = Server::with(theirs.clone());
        let outcome = apply_one(&server, Some(theirs), child(Kind::Service)).await;
        let told: Vec<_> = outcome.problems.iter().map(|problem| (problem.reason, problem.permanent)).collect();
        assert_eq!(told, [(reason, permanent)], "{owners}");
        assert!(!server.asked().iter().any(|asked| asked.starts_with("PATCH")), "{:?}", server.asked());
    }
}

#[tokio::test]
async fn replicas_are_not_let_go_before_it_is_known_how_many_there_are() {
    let server = Server::with(meta(json!({})));
    let fields = json!([{
        "manager": FIELD_MANAGER, "operation": "Apply", "fieldsType": "FieldsV1", "apiVersion": "apps/v1",
        "fieldsV1": {"f:spec": {"f:replicas": {}}},
    }]);
    let seen = meta(json!({"managedFields": fields}));
    assert_eq!(apply_one(&server, Some(seen), child(Kind::Deployment)).await, Outcome::default());
    assert_eq!(server.asked(), [""; 0], "the state of the Deployment was not seen yet");
}
