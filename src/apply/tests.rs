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
use crate::{
    api::{HASH_ANNOTATION, MODEL_NAME_ANNOTATION},
    telemetry::Metrics,
};

/// An API server that has one object or none, accepts every write unless a test wants it refused, and records the requests.
#[derive(Clone, Default)]
struct Server {
    object: Option<ObjectMeta>,
    /// Number of merge patches that conflict with a change made meanwhile.
    conflicts: Arc<Mutex<u32>>,
    /// Whether writes of autoscalers are refused.
    refuses_autoscalers: bool,
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
        let is_merge = request.headers().get("content-type").is_some_and(|of| of == "application/merge-patch+json");
        let mut conflicts = self.conflicts.lock().expect("no panic");
        if is_merge && *conflicts > 0 {
            *conflicts -= 1;
            return status(409, "Conflict");
        }
        if self.refuses_autoscalers && method != "GET" && uri.path().contains("/horizontalpodautoscalers") {
            return status(500, "InternalError");
        }
        if name == "scale" {
            return Response::new(Body::from(br#"{"metadata": {}}"#.to_vec()));
        }
        let found = match (&self.object, method) {
            (None, "GET") => return status(404, "NotFound"),
            (Some(_), "POST") => return status(409, "AlreadyExists"),
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

fn status(code: u16, reason: &str) -> Response<Body> {
    let body = json!({"kind": "Status", "apiVersion": "v1", "status": "Failure", "code": code, "reason": reason});
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

/// Applies one child with a cache that contains `observed`, if there is one.
async fn apply_one(server: &Server, observed: Option<Value>, child: Child) -> Outcome {
    apply_after(server, observed, child, &Corrections::default(), Timestamp::UNIX_EPOCH).await
}

/// Applies one child at `now`, after these corrections.
async fn apply_after(
    server: &Server,
    observed: Option<Value>,
    child: Child,
    corrections: &Corrections,
    now: Timestamp,
) -> Outcome {
    let cache = Cache::default();
    if let Some(observed) = observed {
        cache.record_read(child.kind, &serde_json::from_value(observed).expect("metadata"));
    }
    apply_in(&cache, server, child, &[], corrections, now).await
}

/// Applies one child and sets these replicas at `now`, after these corrections.
async fn apply_in(
    cache: &Cache,
    server: &Server,
    child: Child,
    replicas: &[(String, i32)],
    corrections: &Corrections,
    now: Timestamp,
) -> Outcome {
    let meta = ObjectMeta {
        name: Some("a".into()),
        namespace: Some("shop".into()),
        uid: Some("uid".into()),
        ..ObjectMeta::default()
    };
    let identity = Identity::of(&meta, Timestamp::UNIX_EPOCH);
    let desired = Desired {
        identity: &identity,
        uid: "uid",
        children: &[child],
        is_canary_held: false,
        serving_decided: false,
        jobs_to_delete: &[],
        replicas,
        corrections,
        now,
    };
    let children = cache.children("shop", "a");
    apply(&server.cluster(), cache, &desired, &children).await
}

#[tokio::test]
async fn a_new_child_is_created_with_one_request() {
    let server = Server::default();
    assert_eq!(apply_one(&server, None, child(Kind::Service)).await, Outcome::default());
    assert_eq!(server.asked(), ["POST services"]);
}

#[tokio::test]
async fn an_object_of_another_owner_that_was_created_meanwhile_is_not_changed() {
    let theirs = meta(json!({"ownerReferences": []}));
    let server = Server::with(theirs);
    let outcome = apply_one(&server, None, child(Kind::Service)).await;
    let reasons: Vec<_> = outcome.problems.iter().map(|problem| problem.reason).collect();
    assert_eq!(reasons, [reasons::NAME_CONFLICT]);
    assert_eq!(server.asked(), ["POST services", "GET a"]);
}

#[test]
fn a_scaled_deployment_is_created_with_replicas_and_applied_without_them() {
    let scaled = Child { seed_replicas: Some(3), ..child(Kind::Deployment) };
    assert_eq!(created(&scaled)["spec"], json!({"replicas": 3}));
    assert_eq!(scaled.object["spec"], json!({}));
}

#[tokio::test]
async fn the_first_apply_of_a_child_converts_the_ownership_of_its_creation_so_that_fields_can_be_removed() {
    let fields = |operation: &str| {
        json!([{
            "manager": FIELD_MANAGER, "operation": operation, "fieldsType": "FieldsV1", "apiVersion": "v1",
            "fieldsV1": {"f:spec": {"f:ports": {}}},
        }])
    };
    let created = meta(json!({"managedFields": fields("Update")}));
    let server = Server::with(created.clone());
    assert_eq!(apply_one(&server, Some(created), child(Kind::Service)).await.problems, []);
    assert_eq!(server.asked(), ["GET a", "PATCH a", "PATCH a by force"]);

    let applied = meta(json!({"managedFields": fields("Apply")}));
    let server = Server::with(applied.clone());
    assert_eq!(apply_one(&server, Some(applied), child(Kind::Service)).await.problems, []);
    assert_eq!(server.asked(), ["PATCH a by force"]);
}

#[tokio::test]
async fn a_conversion_that_conflicts_with_another_write_is_repeated_from_a_fresh_read_and_not_for_ever() {
    let fields = json!([{
        "manager": FIELD_MANAGER, "operation": "Update", "fieldsType": "FieldsV1", "apiVersion": "v1",
        "fieldsV1": {"f:spec": {"f:ports": {}}},
    }]);
    let created = meta(json!({"managedFields": fields}));
    for (conflicts, attempts, fails) in [(2, 3, false), (u32::MAX, 5, true)] {
        let server = Server { conflicts: Arc::new(Mutex::new(conflicts)), ..Server::with(created.clone()) };
        let outcome = apply_one(&server, Some(created.clone()), child(Kind::Service)).await;
        let reasons: Vec<_> = outcome.problems.iter().map(|problem| problem.reason).collect();
        assert_eq!(reasons, if fails { vec![reasons::APPLY_FAILED] } else { vec![] }, "{conflicts}");
        let asked = server.asked();
        assert_eq!(asked.iter().filter(|asked| *asked == "GET a").count(), attempts, "{asked:?}");
        assert_eq!(asked.last().is_some_and(|asked| asked == "PATCH a by force"), !fails, "{asked:?}");
    }
}

#[tokio::test]
async fn an_order_of_replicas_is_held_back_only_while_an_autoscaler_of_ours_would_undo_it() {
    let of_another = json!({"ownerReferences": []});
    for (what, autoscaler, current, order, is_sent) in [
        ("it has the old bounds", Some(json!({})), 3, 5, false),
        ("it could not be created", None, 3, 5, true),
        ("it is disabled at 0 replicas", Some(json!({})), 0, 5, true),
        ("it is disabled by the order", Some(json!({})), 3, 0, true),
        ("it is not ours", Some(of_another), 3, 5, true),
    ] {
        let server = Server { refuses_autoscalers: true, ..Server::with(meta(json!({}))) };
        let cache = Cache::default();
        let spec = json!({"replicas": current, "selector": {}, "template": {}});
        let deployment = json!({"metadata": meta(json!({"name": "a-serving"})), "spec": spec});
        cache.show(observe::Watched::Child(Kind::Deployment), deployment);
        if let Some(changes) = autoscaler {
            let mut meta = meta(changes);
            meta["name"] = "a-serving".into();
            meta["annotations"] = json!({MODEL_NAME_ANNOTATION: "a"});
            cache.record_read(Kind::HorizontalPodAutoscaler, &serde_json::from_value(meta).expect("metadata"));
        }
        let child = Child { name: "a-serving".into(), ..child(Kind::HorizontalPodAutoscaler) };
        let (orders, corrections) = ([("a-serving".to_owned(), order)], Corrections::default());
        let outcome = apply_in(&cache, &server, child, &orders, &corrections, Timestamp::UNIX_EPOCH).await;
        assert_eq!(outcome.problems.len(), 1, "{what}: {outcome:?}");
        assert_eq!(server.asked().iter().any(|asked| asked == "PATCH scale"), is_sent, "{what}: {:?}", server.asked());
    }
}

#[tokio::test]
async fn a_child_of_ours_is_corrected_by_force() {
    let server = Server::with(meta(json!({})));
    assert_eq!(apply_one(&server, Some(meta(json!({}))), child(Kind::Service)).await.problems, []);
    assert_eq!(server.asked(), ["PATCH a by force"]);
}

#[tokio::test]
async fn a_field_conflict_is_corrected_with_a_back_off_and_reported_all_the_time() {
    let at = |seconds| Timestamp::UNIX_EPOCH + jiff::SignedDuration::from_secs(seconds);
    let edited = || meta(json!({"annotations": {HASH_ANNOTATION: "h"}}));
    let corrected = [(Kind::Service, "a".to_owned())];
    let conflict = |outcome: &Outcome| outcome.problems.iter().map(|problem| problem.reason).collect::<Vec<_>>();

    let (server, mut corrections) = (Server::with(edited()), Corrections::default());
    for second in 0..3 {
        let outcome = apply_after(&server, Some(edited()), child(Kind::Service), &corrections, at(second)).await;
        assert_eq!((conflict(&outcome), &outcome.corrected[..]), (vec![], &corrected[..]), "{second}");
        corrections.add(Kind::Service, "a", at(second));
    }
    let waits = apply_after(&server, Some(edited()), child(Kind::Service), &corrections, at(3)).await;
    assert_eq!((conflict(&waits), &waits.corrected[..]), (vec![reasons::FIELD_CONFLICT], &[][..]));
    assert_eq!(server.asked().len(), 3, "{:?}", server.asked());

    let again = apply_after(&server, Some(edited()), child(Kind::Service), &corrections, at(60)).await;
    assert_eq!((conflict(&again), &again.corrected[..]), (vec![reasons::FIELD_CONFLICT], &corrected[..]));

    let ours = Child { hash: "a new spec".into(), ..child(Kind::Service) };
    let changed = apply_after(&server, Some(edited()), ours, &corrections, at(3)).await;
    assert_eq!(changed, Outcome::default(), "a change of the spec does not wait");
    assert_eq!(server.asked().len(), 5, "{:?}", server.asked());
}

#[tokio::test]
async fn a_job_without_our_label_gets_it_back_because_the_watch_would_not_deliver_its_end() {
    let server = Server::with(meta(json!({"labels": {}})));
    assert_eq!(apply_one(&server, None, child(Kind::Job)).await.problems, []);
    assert_eq!(server.asked(), ["POST jobs", "GET a", "PATCH a"]);
    let labelled = Server::with(meta(json!({})));
    assert_eq!(apply_one(&labelled, None, child(Kind::Job)).await.problems, []);
    assert_eq!(labelled.asked(), ["POST jobs", "GET a"], "the watch is only late");
}

#[tokio::test]
async fn a_child_of_a_deleted_object_of_the_same_name_is_pending_and_one_of_another_owner_is_a_conflict() {
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
        let reported: Vec<_> = outcome.problems.iter().map(|problem| (problem.reason, problem.permanent)).collect();
        assert_eq!(reported, [(reason, permanent)], "{owners}");
        assert!(!server.asked().iter().any(|asked| asked.starts_with("PATCH")), "{:?}", server.asked());
    }
}

#[tokio::test]
async fn the_replicas_field_is_not_given_up_before_the_current_number_is_known() {
    let server = Server::with(meta(json!({})));
    let fields = json!([{
        "manager": FIELD_MANAGER, "operation": "Apply", "fieldsType": "FieldsV1", "apiVersion": "apps/v1",
        "fieldsV1": {"f:spec": {"f:replicas": {}}},
    }]);
    let observed = meta(json!({"managedFields": fields}));
    assert_eq!(apply_one(&server, Some(observed), child(Kind::Deployment)).await, Outcome::default());
    assert_eq!(server.asked(), [""; 0], "the state of the Deployment was not observed yet");
}
