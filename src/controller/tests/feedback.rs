//! What a metric source has loaded of an object, and the requests of the reconciles that report it.

use std::sync::atomic::{AtomicUsize, Ordering};

use axum::{body::Body, http::Request};

use super::*;
use crate::{
    api::conditions::{reasons, types},
    controller::ticks::feedback::Scope as Asking,
    feedback::Expected,
    signals::{
        Inspector, Published, SourceConfig,
        fake::{Fake, reply},
    },
};

/// A monitored object, with labels for its children.
fn monitored(labels: Value) -> Value {
    object(json!({"monitoring": {"metrics": {"profile": "FastApiInstrumentator"}, "labels": labels}}))
}

/// A fixture whose source is configured, and an object that was reconciled once.
async fn fixture() -> (Fixture, Value) {
    let mut fixture = Fixture::new();
    let context = Arc::get_mut(&mut fixture.context).expect("not shared yet");
    context.signals = Arc::new(Published::new(["default"]));
    let object = monitored(json!({}));
    let (before, _) = kinds(&object);
    let first = fixture.requests(&object).await;
    assert_eq!(first, [created(&before), vec![STATUS.into()]].concat());
    (fixture, object)
}

/// A source without any rule or series.
async fn empty() -> (Fake, Inspector) {
    let fake = Fake::start(Arc::new(|request: Request<Body>| {
        let body = match request.uri().path().ends_with("/rules") {
            true => r#"{"status":"success","data":{"groups":[]}}"#,
            false => r#"{"status":"success","data":{"resultType":"vector","result":[]}}"#,
        };
        reply(200, body)
    }))
    .await;
    let inspector = Inspector::new(SourceConfig::plain(&fake.url).expect("a URL"));
    (fake, inspector)
}

/// Asks so many seconds from now.
async fn ask(context: &Context, inspector: &mut Inspector, seconds: i64) {
    Asking::new(context).ask(inspector, Timestamp::now() + SignedDuration::from_secs(seconds)).await;
}

#[tokio::test]
async fn what_is_not_loaded_is_reported_after_three_minutes_with_the_selector_of_the_prometheus() {
    let (mut fixture, object) = fixture().await;
    let (_fake, mut inspector) = empty().await;
    let context = fixture.context.clone();
    assert_eq!(fixture.condition(types::MONITORING_READY).0, reasons::LOADING);

    ask(&context, &mut inspector, 0).await;
    assert_eq!(fixture.requests(&object).await, [""; 0], "asking makes no request to the API server");

    let release = json!({"matchLabels": {"release": "x"}});
    let selectors = json!({"ruleSelector": release, "ruleNamespaceSelector": {}});
    let meta = json!({"name": "k8s", "namespace": "shop"});
    let of_kind = |kind: &str| json!({"apiVersion": "monitoring.coreos.com/v1", "kind": kind, "metadata": {}});
    let mut prometheus = of_kind("Prometheus");
    (prometheus["metadata"], prometheus["spec"]) = (meta, selectors);
    let mut list = of_kind("PrometheusList");
    // One that cannot be decoded does not hide the other.
    list["items"] = json!([{"metadata": {"name": "new"}, "spec": {"ruleSelector": "all"}}, prometheus]);
    fixture.server.store("prometheuses", list);

    ask(&context, &mut inspector, 200).await;
    assert_eq!(fixture.server.requests(), ["GET prometheuses"]);
    assert_eq!(fixture.requests(&object).await, [STATUS, EVENT]);
    let (reason, message) = fixture.condition(types::MONITORING_READY);
    let expected = "not loaded: PrometheusRule packages; Prometheus shop/k8s selects PrometheusRules with release=x: set \
                    spec.monitoring.labels.release to \"x\"";
    assert_eq!((reason.as_str(), message.as_str()), (reasons::RULES_NOT_LOADED, expected));
    assert_eq!(fixture.requests(&object).await, [""; 0]);

    // Corrected: the status is written with the children, and not once more.
    let mut corrected = monitored(json!({"release": "x"}));
    corrected["metadata"]["generation"] = 2.into();
    let requests = fixture.requests(&corrected).await;
    assert_eq!(requests.iter().filter(|request| *request == STATUS).count(), 1, "{requests:?}");
    assert_eq!(fixture.condition(types::MONITORING_READY).0, reasons::LOADING);
}

#[tokio::test]
async fn a_source_that_does_not_answer_changes_no_other_condition() {
    let (mut fixture, object) = fixture().await;
    let fake = Fake::always(|| reply(503, "")).await;
    let mut inspector = Inspector::new(SourceConfig::plain(&fake.url).expect("a URL"));
    let others = |fixture: &Fixture| {
        let conditions = fixture.status().conditions.into_iter().filter(|of| of.type_ != types::MONITORING_READY);
        conditions.map(|of| (of.type_, of.status, of.reason)).collect::<Vec<_>>()
    };
    let before = others(&fixture);
    ask(&fixture.context, &mut inspector, 0).await;
    assert_eq!(fixture.requests(&object).await, [STATUS]);
    let (reason, message) = fixture.condition(types::MONITORING_READY);
    assert!(reason == reasons::SOURCE_FAILED && message.contains("HTTP 503"), "{reason}: {message}");
    assert_eq!(others(&fixture), before);
}

#[tokio::test]
async fn nothing_is_asked_without_a_source_or_while_a_child_has_a_problem() {
    let mut fixture = Fixture::new();
    fixture.requests(&monitored(json!({}))).await;
    let (reason, message) = fixture.condition(types::MONITORING_READY);
    assert!(reason == reasons::AS_SPECIFIED && message.contains("has no metric source \"default\""), "{message}");
    assert!(fixture.context.feedback.condition("uid").is_none());

    let (mut fixture, mut object) = self::fixture().await;
    assert!(fixture.context.feedback.condition("uid").is_some());
    for kind in Kind::ALL.into_iter().filter(|kind| kind.is_optional()) {
        fixture.context.cache.set_missing(kind, true);
    }
    object["metadata"]["generation"] = 2.into();
    fixture.requests(&object).await;
    assert_eq!(fixture.condition(types::MONITORING_READY).0, reasons::API_MISSING);
    assert!(fixture.context.feedback.condition("uid").is_none());
}

#[tokio::test]
async fn an_object_that_is_deleted_during_its_reconcile_is_not_asked_about() {
    let (mut fixture, object) = fixture().await;
    let reconciled = fixture.show(&object);
    let context = fixture.context.clone();
    fixture.objects.apply_watcher_event(&Event::Delete(reconciled.as_ref().clone()));
    super::super::forget(&context, &reconciled);
    super::super::reconcile::reconcile(&context, reconciled, Timestamp::now()).await.expect("reconciled");
    assert!(context.feedback.condition("uid").is_none());
}

#[tokio::test]
async fn a_source_is_asked_about_few_scrape_pools_at_once_and_no_more_after_a_failure() {
    // A source with the pools of 15 objects, none of which answers, and one that does not list pools.
    for (lists_pools, per_pass) in [(true, [10, 5]), (false, [1, 0])] {
        let mut fixture = Fixture::new();
        let context = Arc::get_mut(&mut fixture.context).expect("not shared yet");
        context.signals = Arc::new(Published::new(["default"]));
        let context = fixture.context.clone();
        let object: RecommenderModel = serde_json::from_value(monitored(json!({}))).expect("a RecommenderModel");
        let model = Model::new(&object, Timestamp::now()).expect("valid");
        let expected = Expected::new(&model, &render::children(&model, &Decided::default()));
        let before = json!({"conditions": [{
            "type": types::MONITORING_READY, "status": "False", "reason": reasons::TARGETS_DOWN, "message": "m",
            "lastTransitionTime": Timestamp::now() - SignedDuration::from_mins(9),
        }]});
        let prior: RecommenderModelStatus = serde_json::from_value(before).expect("a status");
        let ready = BTreeSet::from(["serving".to_owned()]);
        for uid in 0..15 {
            context.feedback.update(&uid.to_string(), expected.clone(), ready.clone(), &prior, Timestamp::now());
        }
        let (fake, pools) = down(lists_pools).await;
        let mut inspector = Inspector::new(SourceConfig::plain(&fake.url).expect("a URL"));
        for most in per_pass {
            ask(&context, &mut inspector, 0).await;
            assert_eq!(pools.swap(0, Ordering::Relaxed), most, "{lists_pools}");
        }
        assert!(context.feedback.due("default", Timestamp::now()).is_empty(), "all were recorded");
    }
}

/// A source that evaluates the rules elsewhere, and none of whose targets answers. Counts the requests for scrape pools.
async fn down(lists_pools: bool) -> (Fake, Arc<AtomicUsize>) {
    let count: Arc<AtomicUsize> = Arc::default();
    let counted = count.clone();
    let fake = Fake::start(Arc::new(move |request: Request<Body>| {
        let uri = request.uri().to_string();
        let element = |name: &str, value: &str| {
            format!(
                r#"{{"metric":{{"namespace":"shop","recommender":"packages","workload":"serving","__name__":"{name}"}},
                "value":[1,"{value}"]}}"#
            )
        };
        let vector = |elements: [String; 2]| {
            let elements = elements.join(",");
            reply(200, format!(r#"{{"status":"success","data":{{"resultType":"vector","result":[{elements}]}}}}"#))
        };
        match () {
            () if uri.contains("query=count") => vector([element("up", "3"), element("recommender:targets", "1")]),
            () if uri.contains("query=sum") => vector([element("up", "0"), element("recommender:targets", "3")]),
            () if uri.contains("/targets") => {
                counted.fetch_add(1, Ordering::Relaxed);
                let pool = "serviceMonitor/shop/packages/0";
                let body = format!(
                    r#"{{"status":"success","data":{{"activeTargets":[{{"scrapePool":"{pool}","lastError":"e"}}]}}}}"#
                );
                if lists_pools { reply(200, body) } else { reply(404, "") }
            }
            () => reply(404, ""),
        }
    }))
    .await;
    (fake, count)
}
