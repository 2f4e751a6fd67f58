//! A canary that gets its share of the requests by an HTTPRoute: what is written, in which order.

use super::{
    life::{roll_out, train},
    *,
};
use crate::{
    api::{VersionState, conditions::types},
    controller::ticked::Observe,
    series::Series,
    signals::{
        Published,
        fake::{at, readings},
    },
};

const ROUTE: &str = "httproutes/packages";
const CANARY: &str = "deployments/packages-canary";
const PATCH_ROUTE: &str = "PATCH httproutes/packages";

fn routed() -> Value {
    object(json!({
        "monitoring": {"metrics": {"profile": "FastApiInstrumentator"}},
        "promotion": {"canary": {
            "httpRoute": {"parentRefs": [{"name": "public", "namespace": "infra"}]},
            "steps": [{"weightPercent": 1, "seconds": 20}, {"weightPercent": 10, "seconds": 20}],
        }},
    }))
}

/// Shows the HTTPRoute as it is stored, with what a controller reports of it.
fn report(fixture: &Fixture, accepted: bool) {
    let generation = fixture.server.object(ROUTE).expect("was created")["metadata"]["generation"].clone();
    report_of(fixture, accepted, generation.as_i64().expect("a generation"));
}

/// The same, with what it reports of this generation.
fn report_of(fixture: &Fixture, accepted: bool, generation: i64) {
    let condition = |type_: &str, status: bool, reason: &str| {
        json!({"type": type_, "status": if status { "True" } else { "False" }, "reason": reason, "message": "",
               "observedGeneration": generation, "lastTransitionTime": "2026-11-21T12:00:00Z"})
    };
    let accepted = condition("Accepted", accepted, if accepted { "Accepted" } else { "NoMatchingParent" });
    let status = json!({"parents": [{
        "parentRef": {"name": "public", "namespace": "infra"}, "controllerName": "example.org/gateway",
        "conditions": [accepted, condition("ResolvedRefs", true, "ResolvedRefs")],
    }]});
    fixture.show_child(Watched::Child(Kind::HTTPRoute), ROUTE, &status);
}

/// Makes the canary's Deployment report so many ready pods.
fn ready(fixture: &Fixture, ready: i32) {
    let generation = fixture.server.object(CANARY).expect("was created")["metadata"]["generation"].clone();
    let status = json!({"observedGeneration": generation, "replicas": 1, "updatedReplicas": 1, "readyReplicas": ready});
    fixture.show_child(Watched::Child(Kind::Deployment), CANARY, &status);
    show_pod(fixture, CANARY, "canary", ready > 0);
}

/// The weights of the HTTPRoute: of the version that serves, and of the canary.
fn weights(fixture: &Fixture) -> (i64, i64) {
    let route = fixture.server.object(ROUTE).expect("was created");
    let backends = route["spec"]["rules"][0]["backendRefs"].as_array().expect("backends").clone();
    let [stable, canary] = &backends[..] else { panic!("{backends:?}") };
    assert_eq!((&stable["name"], &canary["name"]), (&json!("packages"), &json!("packages-canary")));
    (stable["weight"].as_i64().expect("a weight"), canary["weight"].as_i64().expect("a weight"))
}

fn tick(fixture: &Fixture) {
    fixture.context.observers.canaries.tick(&|_| true, None, Timestamp::now());
}

/// An object whose first version serves, and whose second one is to be a canary. No Gateway has reported on its route.
async fn with_candidate() -> (Fixture, Value) {
    with_candidate_of(routed()).await
}

async fn with_candidate_of(mut object: Value) -> (Fixture, Value) {
    let mut fixture = with_source();
    fixture.requests(&object).await;
    train(&fixture);
    fixture.requests(&object).await;
    roll_out(&fixture, 1);
    fixture.requests(&object).await;
    assert_eq!(fixture.requests(&object).await, [""; 0], "converged");
    object["metadata"]["annotations"] = json!({"recommender.dev/train": "full again"});
    fixture.requests(&object).await;
    train(&fixture);
    fixture.requests(&object).await;
    assert_eq!(fixture.condition(types::PROMOTION_READY).0, "SourceFailed", "it was not read yet");
    assert_eq!(fixture.status().versions[0].state, VersionState::Candidate);
    assert!(reads(&fixture));
    fixture.requests(&object).await;
    (fixture, object)
}

/// The metric source is read, and answers. Returns whether the object is enqueued.
fn reads(fixture: &Fixture) -> bool {
    !fixture.context.observers.sources.tick(&|of| of == "default", Some(&readings(&[], 0)), at(0)).is_empty()
}

/// An operator with a metric source.
fn with_source() -> Fixture {
    let mut fixture = Fixture::new();
    Arc::get_mut(&mut fixture.context).expect("not shared").signals = Arc::new(Published::new(["default"]));
    fixture
}

/// The same, while it gets 1 % of the requests.
async fn with_canary() -> (Fixture, Value) {
    let (mut fixture, object) = with_candidate().await;
    report(&fixture, true);
    fixture.requests(&object).await;
    ready(&fixture, 1);
    fixture.requests(&object).await;
    tick(&fixture);
    fixture.requests(&object).await;
    report(&fixture, true);
    fixture.requests(&object).await;
    assert_eq!(weights(&fixture), (99, 1));
    (fixture, object)
}

#[tokio::test]
async fn a_canary_has_pods_once_its_route_is_accepted_and_weight_once_they_are_ready() {
    let (mut fixture, object) = with_candidate().await;
    assert_eq!((fixture.server.object(CANARY), weights(&fixture)), (None, (100, 0)), "nobody would give it requests");
    fixture.show_child(Watched::Child(Kind::HTTPRoute), ROUTE, &json!({}));
    fixture.requests(&object).await;
    let (reason, message) = fixture.condition(types::PROMOTION_READY);
    assert!(message.contains("the canary, waits for that and gets no requests"), "{message}");
    assert!(reason == "RouteNotAccepted" && message.contains("no controller has reported"), "{reason}: {message}");
    let canary = fixture.status().serving.and_then(|serving| serving.canary).expect("it waits");
    tick(&fixture);
    assert_eq!((canary.desired_replicas, canary.weight_percent), (0, 0));

    report(&fixture, false);
    fixture.requests(&object).await;
    let (reason, message) = fixture.condition(types::PROMOTION_READY);
    assert!(reason == "RouteNotAccepted" && message.contains("Accepted is False, NoMatchingParent"), "{message}");
    assert_eq!(fixture.server.object(CANARY), None);

    report(&fixture, true);
    let requests = fixture.requests(&object).await;
    assert!(requests.contains(&"POST deployments".into()) && !requests.contains(&PATCH_ROUTE.into()), "{requests:?}");
    assert_eq!(fixture.condition(types::PROMOTION_READY).0, "Canary");
    tick(&fixture);
    fixture.requests(&object).await;
    assert_eq!(weights(&fixture), (100, 0), "its pod is not ready");

    ready(&fixture, 1);
    fixture.requests(&object).await;
    tick(&fixture);
    let requests = fixture.requests(&object).await;
    assert!(requests.contains(&PATCH_ROUTE.into()), "{requests:?}");
    assert_eq!(weights(&fixture), (99, 1));
    assert!(
        fixture.condition(types::PROMOTION_READY).1.ends_with("; it gets no requests"),
        "the Gateway has not got it yet"
    );
    let context = fixture.context.clone();
    let message = || context.observers.canaries.observed("uid").expect("there is one").why;
    tick(&fixture);
    assert!(message().contains("in place of 1 % of the requests"), "{}", message());
    report(&fixture, true);
    fixture.requests(&object).await;
    tick(&fixture);
    assert!(message().contains("it warms up"), "{}", message());
    let condition = fixture.condition(types::PROMOTION_READY).1;
    assert!(condition.ends_with("serves; it gets 1 % of the requests"), "{condition}");
    fixture.requests(&object).await;
    assert_eq!(fixture.requests(&object).await, [""; 0], "it waits without requests");
}

/// Stores the Gateway, and a GatewayClass that states these features.
fn store_gateway(fixture: &Fixture, features: Value) {
    let object = |kind: &str, name: &str| json!({"apiVersion": "gateway.networking.k8s.io/v1", "kind": kind, "metadata": {"name": name, "resourceVersion": "1"}});
    let (mut gateway, mut class) = (object("Gateway", "public"), object("GatewayClass", "traefik"));
    gateway["spec"] = json!({"gatewayClassName": "traefik", "listeners": []});
    class["spec"] = json!({"controllerName": "traefik.io/gateway-controller"});
    class["status"] = json!({"supportedFeatures": features});
    fixture.server.store("namespaces/infra/gateways/public", gateway);
    fixture.server.store("gatewayclasses/traefik", class);
}

fn mirrored(percent: i32) -> Value {
    let mut object = routed();
    object["spec"]["promotion"]["canary"]["steps"] = json!([{"mirrorPercent": percent, "seconds": 20}]);
    object
}

const GET_GATEWAY: &str = "GET namespaces/infra/gateways/public";
const GET_CLASS: &str = "GET gatewayclasses/traefik";

#[tokio::test]
async fn a_gateway_that_does_not_copy_requests_gets_no_route_with_copies_although_it_would_accept_it() {
    let (mut fixture, mut object) = with_candidate_of(mirrored(100)).await;
    store_gateway(&fixture, json!([{"name": "HTTPRouteMethodMatching"}]));
    report(&fixture, true);
    let requests = fixture.requests(&object).await;
    assert!([GET_GATEWAY, GET_CLASS].iter().all(|get| requests.contains(&(*get).to_owned())), "{requests:?}");
    let (reason, message) = fixture.condition(types::PROMOTION_READY);
    assert!(reason == "RouteNotAccepted" && message.contains("lacks HTTPRouteRequestMirror"), "{reason}: {message}");
    tick(&fixture);
    fixture.requests(&object).await;
    assert_eq!(fixture.requests(&object).await, [""; 0], "it is not read again at once");
    assert_eq!((fixture.server.object(CANARY), weights(&fixture)), (None, (100, 0)));

    // Without copies, nothing is asked.
    object["spec"] = routed()["spec"].clone();
    object["metadata"]["generation"] = 2.into();
    let requests = fixture.requests(&object).await;
    assert!(requests.contains(&"POST deployments".into()) && !requests.contains(&GET_CLASS.into()), "{requests:?}");
}

#[tokio::test]
async fn copies_begin_where_the_gateway_copies_or_where_it_is_not_known() {
    let copies = [json!([{"name": "HTTPRouteRequestMirror"}]), json!(["HTTPRouteRequestMirror"]), json!([])];
    for features in copies.into_iter().map(Some).chain([None]) {
        let (mut fixture, object) = with_candidate_of(mirrored(100)).await;
        if let Some(features) = &features {
            store_gateway(&fixture, features.clone());
        }
        report(&fixture, true);
        let requests = fixture.requests(&object).await;
        assert!(requests.contains(&"POST deployments".into()), "{features:?}: {requests:?}");
        ready(&fixture, 1);
        fixture.requests(&object).await;
        tick(&fixture);
        fixture.requests(&object).await;
        let route = fixture.server.object(ROUTE).expect("was created");
        assert_eq!(route["spec"]["rules"][0]["filters"][0]["type"], "RequestMirror", "{features:?}");
        report(&fixture, true);
        fixture.requests(&object).await;
        assert_eq!(fixture.requests(&object).await, [""; 0], "{features:?}: nothing is read while it gets copies");
    }
}

#[tokio::test]
async fn a_canary_without_ready_pods_gets_no_requests() {
    let (mut fixture, object) = with_canary().await;
    ready(&fixture, 0);
    let requests = fixture.requests(&object).await;
    assert!(requests.contains(&PATCH_ROUTE.into()), "{requests:?}");
    assert_eq!(weights(&fixture), (100, 0));
    report(&fixture, true);
    ready(&fixture, 1);
    fixture.requests(&object).await;
    assert_eq!(weights(&fixture), (99, 1));
}

#[tokio::test]
async fn weight_goes_before_the_pods_of_a_canary_that_has_ended() {
    let (mut fixture, mut object) = with_canary().await;
    object["metadata"]["annotations"]["recommender.dev/pause-promotion"] = "true".into();
    let requests = fixture.requests(&object).await;
    assert!(requests.contains(&PATCH_ROUTE.into()) && !requests.contains(&format!("DELETE {CANARY}")), "{requests:?}");
    assert_eq!(weights(&fixture), (100, 0));
    assert_eq!(fixture.requests(&object).await, [""; 0], "no Gateway has observed that yet");
    report(&fixture, true);
    assert_eq!(fixture.requests(&object).await, [format!("DELETE {CANARY}")]);
}

#[tokio::test]
async fn weight_goes_before_the_pods_also_of_an_object_that_became_invalid_and_a_canary_begins_anew_once_it_is_valid() {
    let (mut fixture, object) = with_canary().await;
    let mut invalid = object.clone();
    invalid["spec"]["promotion"]["canary"]["steps"] = json!([{"weightPercent": 10}, {"weightPercent": 1}]);
    let delete = format!("DELETE {CANARY}");
    let canary = |fixture: &Fixture| fixture.status().serving.and_then(|serving| serving.canary);
    let requests = fixture.requests(&invalid).await;
    assert!(requests.contains(&PATCH_ROUTE.into()) && !requests.contains(&delete), "{requests:?}");
    assert_eq!(weights(&fixture), (100, 0));

    assert_eq!(
        (canary(&fixture), fixture.context.observers.canaries.observed("uid")),
        (None, None),
        "nothing counts on"
    );

    fixture.requests(&object).await;
    assert!(reads(&fixture), "its requests have to be counted again");
    report(&fixture, true);
    fixture.requests(&object).await;
    assert_eq!((weights(&fixture), canary(&fixture).map(|canary| canary.weight_percent)), ((100, 0), Some(0)));
    tick(&fixture);
    fixture.requests(&object).await;
    assert_eq!(weights(&fixture), (99, 1), "its pod is still there");
    let route = fixture.server.object(ROUTE).expect("it stays");
    let managers = route["metadata"]["managedFields"].as_array().expect("entries");
    assert_eq!(managers.iter().filter(|entry| entry["manager"] == "recommender-operator").count(), 1, "{managers:?}");

    report(&fixture, true);
    fixture.requests(&invalid).await;
    assert_eq!(weights(&fixture), (100, 0));
    report_of(&fixture, true, 1);
    assert_eq!(fixture.requests(&invalid).await, [""; 0], "the Gateway has not observed that");
    report(&fixture, true);
    assert!(fixture.requests(&invalid).await.contains(&delete));
}

#[tokio::test]
async fn weights_that_another_manager_has_changed_are_corrected_and_no_evidence_is_taken_meanwhile() {
    let (mut fixture, object) = with_canary().await;
    let mut route = fixture.server.object(ROUTE).expect("was created");
    route["spec"]["rules"][0]["backendRefs"][1]["weight"] = 50.into();
    route["metadata"]["resourceVersion"] = "9000".into();
    for entry in route["metadata"]["managedFields"].as_array_mut().expect("entries") {
        entry["fieldsV1"]["f:spec"] = json!({"f:parentRefs": {}});
    }
    fixture.server.store(ROUTE, route);
    report(&fixture, true);
    let requests = fixture.requests(&object).await;
    assert!(requests.contains(&PATCH_ROUTE.into()) && requests.contains(&EVENT.into()), "{requests:?}");
    assert_eq!(weights(&fixture), (99, 1));
    tick(&fixture);
    let progress = fixture.context.observers.canaries.observed("uid").expect("there is one");
    assert!(progress.why.contains("the weights of the HTTPRoute were changed"), "{}", progress.why);
}

#[tokio::test]
async fn without_a_metric_source_no_canary_begins_and_what_serves_is_not_touched() {
    let (mut fixture, mut object) = (Fixture::new(), routed());
    fixture.requests(&object).await;
    train(&fixture);
    fixture.requests(&object).await;
    roll_out(&fixture, 1);
    fixture.requests(&object).await;
    object["metadata"]["annotations"] = json!({"recommender.dev/train": "full again"});
    fixture.requests(&object).await;
    train(&fixture);
    report(&fixture, true);
    let requests = fixture.requests(&object).await;
    let children = requests.iter().filter(|request| ["POST dep", "PATCH dep"].iter().any(|of| request.starts_with(of)));
    assert_eq!(
        (children.count(), fixture.server.object(CANARY), weights(&fixture)),
        (0, None, (100, 0)),
        "{requests:?}"
    );
    let states: Vec<_> = fixture.status().versions.iter().map(|version| version.state).collect();
    assert_eq!(states, [VersionState::Candidate, VersionState::Serving]);
    let (reason, message) = fixture.condition(types::PROMOTION_READY);
    assert!(reason == "UnknownSource" && message.contains("no metric source \"default\""), "{reason}: {message}");
    let (reason, message) = fixture.condition(types::REFRESHABLE);
    assert!(reason == "UnknownSource" && message.contains("(PromotionReady)"), "{reason}: {message}");
    assert!(!reads(&fixture), "it needs a person");
    assert_eq!(fixture.requests(&object).await, [""; 0], "it waits without requests");
}

#[tokio::test]
async fn a_canary_whose_source_does_not_answer_for_its_longest_time_gives_the_requests_back_and_begins_anew() {
    let (mut fixture, object) = with_canary().await;
    for minute in 0..200 {
        let now = Timestamp::now() + SignedDuration::from_mins(minute);
        let silent = readings(&[], minute * 60).silent("metric source \"default\": HTTP 503");
        fixture.context.observers.canaries.tick(&|_| true, Some(&silent), now);
    }
    fixture.requests(&object).await;
    assert_eq!((weights(&fixture), fixture.status().versions[0].state), ((100, 0), VersionState::Candidate));
    assert!(fixture.status().serving.is_some_and(|serving| serving.canary.is_none()));
    assert_eq!(fixture.condition(types::PROMOTION_READY).0, "SourceFailed");
    report(&fixture, true);
    assert_eq!(fixture.requests(&object).await, [format!("DELETE {CANARY}")]);
    assert!(reads(&fixture));
    fixture.requests(&object).await;
    assert_eq!(fixture.status().versions[0].state, VersionState::Canary);
}

#[tokio::test]
async fn without_the_gateway_api_no_canary_begins_and_the_condition_says_so() {
    let (mut fixture, object) = (Fixture::new(), routed());
    fixture.context.cache.set_missing(Kind::HTTPRoute, true);
    fixture.requests(&object).await;
    train(&fixture);
    fixture.requests(&object).await;
    roll_out(&fixture, 1);
    fixture.requests(&object).await;
    let (reason, message) = fixture.condition(types::PROMOTION_READY);
    assert!(reason == "ApiMissing" && message.contains("install the Gateway API"), "{reason}: {message}");
    assert!(message.contains("is the newest valid version"), "{message}");
    assert_eq!(fixture.requests(&object).await, [""; 0]);
    assert_eq!(fixture.condition(types::STALLED).0, "AsSpecified");
}

/// The backends of the HTTPRoute with their weights.
fn backends(fixture: &Fixture) -> Value {
    let route = fixture.server.object(ROUTE).expect("it stays");
    assert_eq!(route["spec"]["parentRefs"][0]["name"], "public", "the rest of it is unchanged");
    route["spec"]["rules"].clone()
}

/// Which pods the Service selects.
fn selected(fixture: &Fixture) -> Value {
    let service = fixture.server.object("services/packages").expect("was created");
    service["spec"]["selector"].clone()
}

fn released() -> Value {
    json!([{"backendRefs": [{"name": "packages", "port": 80, "weight": 100}]}])
}

#[tokio::test]
async fn a_route_that_is_no_longer_specified_stays_and_gives_all_requests_to_the_service_that_serves() {
    let (mut fixture, mut object) = with_canary().await;
    object["spec"]["promotion"].as_object_mut().expect("a promotion").remove("canary");
    object["metadata"]["generation"] = 2.into();
    object["metadata"]["annotations"]["recommender.dev/pause-promotion"] = "true".into();
    let requests = fixture.requests(&object).await;
    assert_eq!(backends(&fixture), released(), "{requests:?}");
    assert!(!requests.iter().any(|request| request.starts_with("DELETE")), "{requests:?}");
    assert_eq!(selected(&fixture)["recommender.dev/track"], "stable", "its pods go, and get nothing meanwhile");

    report_of(&fixture, true, 1);
    let requests = fixture.requests(&object).await;
    let deleted = |requests: &[String]| requests.iter().any(|request| request.starts_with("DELETE"));
    assert!(!deleted(&requests), "the Gateway still sends it requests: {requests:?}");

    report(&fixture, true);
    let requests = fixture.requests(&object).await;
    let gone = ["DELETE services/packages-canary", "DELETE deployments/packages-canary"];
    assert!(gone.iter().all(|gone| requests.iter().any(|request| request == gone)), "{requests:?}");
    assert_eq!(backends(&fixture), released());
    assert_eq!(selected(&fixture)["recommender.dev/track"], Value::Null);
    let message = fixture.condition(types::PROMOTION_READY).1;
    assert!(message.contains("kubectl -n shop delete httproute packages"), "{message}");

    // It divides the requests again once it is in the spec again.
    let routed = routed();
    object["spec"] = routed["spec"].clone();
    fixture.requests(&object).await;
    assert_eq!(weights(&fixture), (100, 0));
}

#[tokio::test]
async fn a_canary_whose_route_is_no_longer_specified_gets_its_share_by_pods_before_the_route_gives_it_none() {
    let (mut fixture, mut object) = with_canary().await;
    object["spec"]["promotion"]["canary"].as_object_mut().expect("a canary").remove("httpRoute");
    object["metadata"]["generation"] = 2.into();
    let requests = fixture.requests(&object).await;
    let at = |wanted: &str| requests.iter().position(|request| request == wanted).expect("was requested");
    assert!(at("PATCH services/packages") < at(PATCH_ROUTE), "{requests:?}");
    assert_eq!((backends(&fixture), &selected(&fixture)["recommender.dev/track"]), (released(), &Value::Null));
    report(&fixture, true);
    let requests = fixture.requests(&object).await;
    assert!(requests.contains(&"DELETE services/packages-canary".into()), "{requests:?}");
    assert!(fixture.server.object(CANARY).is_some() && fixture.server.object(ROUTE).is_some());
}

#[tokio::test]
async fn a_service_of_somebody_else_with_the_name_of_the_canarys_gets_no_requests() {
    let mut fixture = Fixture::new();
    let meta = json!({"name": "packages-canary", "namespace": "shop", "uid": "theirs", "resourceVersion": "1"});
    fixture.server.store("services/packages-canary", json!({"kind": "Service", "metadata": meta, "spec": {}}));
    let mut object = routed();
    let _ = fixture.reconcile(&object).await; // a conflict of names is an error
    train(&fixture);
    let _ = fixture.reconcile(&object).await;
    roll_out(&fixture, 1);
    object["metadata"]["annotations"] = json!({"recommender.dev/train": "full again"});
    let _ = fixture.reconcile(&object).await;
    train(&fixture);
    report(&fixture, true);
    let _ = fixture.reconcile(&object).await;
    let (reason, message) = fixture.condition(types::PROMOTION_READY);
    assert!(reason == "NameConflict" && message.contains("Service packages-canary"), "{reason}: {message}");
    let others = [types::SERVING_READY, types::STALLED].map(|type_| fixture.condition(type_).0);
    assert!(!others.contains(&reason), "what serves does not need it: {others:?}");
    assert_eq!((fixture.server.object(CANARY), weights(&fixture)), (None, (100, 0)));
}

/// Shows a pod of a Deployment, which has been warm for long if it is ready.
fn show_pod(fixture: &Fixture, key: &str, name: &str, is_ready: bool) {
    let deployment = fixture.server.object(key).expect("was created");
    let mut meta = deployment["spec"]["template"]["metadata"].clone();
    for (field, value) in [("name", name), ("namespace", "shop"), ("uid", name), ("resourceVersion", "100")] {
        meta[field] = value.into();
    }
    let since = Timestamp::now() - SignedDuration::from_hours(1);
    let is = if is_ready { "True" } else { "False" };
    meta["creationTimestamp"] = json!(since);
    let status = json!({
        "phase": "Running", "conditions": [{"type": "Ready", "status": is, "lastTransitionTime": since}],
        "containerStatuses": [{
            "name": "server", "image": "i", "imageID": "i", "ready": is_ready, "started": true, "restartCount": 0,
            "state": {"running": {"startedAt": since}},
        }],
    });
    fixture.context.cache.show(Watched::Pod, json!({"metadata": meta, "spec": {"containers": []}, "status": status}));
}

/// Ticks, each with a reconcile and a Gateway that observes its route, until the version of the servers changes or the canary has ended.
/// A part of the canary's requests fails. Returns the weights over time.
async fn play(fixture: &mut Fixture, object: &Value, failing: f64) -> Vec<(i64, i64)> {
    let version = |fixture: &Fixture| {
        let servers = fixture.server.object("deployments/packages-serving").expect("was created");
        servers["spec"]["template"]["metadata"]["labels"]["recommender.dev/version"].clone()
    };
    show_pod(fixture, "deployments/packages-serving", "stable", true);
    show_pod(fixture, CANARY, "canary", true);
    let (before, mut given) = (version(fixture), vec![weights(fixture)]);
    for round in 1..100 {
        let requests = 1000.0 * f64::from(round);
        let of =
            |series, pod: &'static str, value: f64| ("shop", "packages", series, pod, value.floor().to_string(), 0);
        let [canary, stable] = [("canary", failing), ("stable", 0.0)].map(|(pod, failing)| {
            [of(Series::PodRequests, pod, requests), of(Series::PodErrors, pod, requests * failing)]
        });
        let second = i64::from(round) * 10;
        let samples = readings(&[canary, stable].concat(), second);
        fixture.context.observers.canaries.tick(&|_| true, Some(&samples), at(second));
        fixture.requests(object).await;
        given.push(weights(fixture));
        report(fixture, true);
        if version(fixture) != before || fixture.status().serving.is_some_and(|serving| serving.canary.is_none()) {
            given.dedup();
            return given;
        }
    }
    panic!("it never ends: {given:?}, {:?}", fixture.context.observers.canaries.observed("uid"));
}

#[tokio::test]
async fn a_version_that_takes_over_keeps_its_weight_until_the_servers_are_rolled_out() {
    let (mut fixture, object) = with_canary().await;
    assert_eq!(play(&mut fixture, &object, 0.0).await, [(99, 1), (90, 10)]);
    fixture.requests(&object).await;
    assert_eq!(weights(&fixture), (90, 10), "pods of the version before still serve");
    let generation =
        fixture.server.object("deployments/packages-serving").expect("exists")["metadata"]["generation"].clone();
    let status = json!({"observedGeneration": generation, "replicas": 1, "updatedReplicas": 1, "readyReplicas": 1});
    fixture.show_child(Watched::Child(Kind::Deployment), "deployments/packages-serving", &status);
    let requests = fixture.requests(&object).await;
    assert!(requests.contains(&PATCH_ROUTE.into()) && !requests.contains(&format!("DELETE {CANARY}")), "{requests:?}");
    assert_eq!((weights(&fixture), fixture.status().versions[0].state), ((100, 0), VersionState::Serving));
    report(&fixture, true);
    assert_eq!(fixture.requests(&object).await, [format!("DELETE {CANARY}")]);
}

#[tokio::test]
async fn a_version_that_is_worse_with_one_per_cent_of_the_requests_is_taken_back() {
    let (mut fixture, object) = with_canary().await;
    assert_eq!(play(&mut fixture, &object, 0.2).await, [(99, 1), (100, 0)]);
    assert_eq!(fixture.status().versions[0].state, VersionState::RolledBack);
    assert!(fixture.server.object(CANARY).is_some(), "its pods go after its weight");
    assert_eq!(fixture.requests(&object).await, [format!("DELETE {CANARY}")]);
}

#[tokio::test]
async fn a_canary_whose_gateway_has_not_observed_its_route_waits_and_the_condition_says_so() {
    let (mut fixture, object) = with_canary().await;
    report_of(&fixture, true, 1);
    fixture.requests(&object).await;
    for round in 0..200 {
        fixture.context.observers.canaries.tick(&|_| true, None, Timestamp::now() + SignedDuration::from_mins(round));
    }
    fixture.requests(&object).await;
    assert_eq!(weights(&fixture), (99, 1));
    let (reason, message) = fixture.condition(types::PROMOTION_READY);
    let late = "Gateway infra/public has not observed the last change of HTTPRoute packages yet";
    assert!(reason == "Canary" && message.contains(late), "{reason}: {message}");
    report(&fixture, true);
    fixture.requests(&object).await;
    assert!(!fixture.condition(types::PROMOTION_READY).1.contains(late));
}

#[tokio::test]
async fn pods_of_the_same_version_stay_while_a_gateway_sends_them_requests_though_they_would_get_none() {
    let (mut fixture, object) = with_canary().await;
    let mut invalid = object.clone();
    invalid["spec"]["promotion"]["canary"]["steps"] = json!([{"weightPercent": 10}, {"weightPercent": 1}]);
    // It begins anew, and its route is not accepted: it is to have no pods.
    fixture.requests(&invalid).await;
    report_of(&fixture, false, 1);
    let requests = fixture.requests(&object).await;
    assert!(!requests.contains(&format!("DELETE {CANARY}")), "the Gateway may still give it 1 %: {requests:?}");
    report(&fixture, false);
    assert!(fixture.requests(&object).await.contains(&format!("DELETE {CANARY}")));
}
