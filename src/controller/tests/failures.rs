//! Failures: all other work continues, the status reports the failure, and it is retried.

use std::{future, time::Duration};

use super::*;
use crate::api::conditions::types;

/// The request that creates the ServiceAccount.
const ACCOUNT: &str = "POST serviceaccounts";

/// Requests that create the first children of an object when one of the ServiceAccount's name may exist.
fn tried(object: &Value) -> Vec<String> {
    let mut requests = created(&kinds(object).0);
    let account = requests.iter().position(|request| request == ACCOUNT).expect("every object has one");
    requests.insert(account + 1, "GET serviceaccounts/packages".into());
    requests
}

/// An object with an invalid spec, which is reported with an Event.
fn invalid() -> Value {
    let mut object = object(json!({}));
    object["spec"]["training"]["full"]["schedule"] = "often".into();
    object
}

#[tokio::test]
async fn an_invalid_spec_is_reported_once_and_waits_for_its_change() {
    let (mut fixture, wrong) = (Fixture::new(), invalid());
    assert_eq!(fixture.requests(&wrong).await, [STATUS, EVENT]);
    let (reason, message) = fixture.condition(types::STALLED);
    assert!(reason == "InvalidSpec" && message.contains("spec.training.full.schedule"), "{message}");
    assert_eq!(fixture.requests(&wrong).await, [""; 0]);

    let mut corrected = object(json!({}));
    corrected["metadata"]["generation"] = 2.into();
    let created = created(&kinds(&corrected).0);
    assert_eq!(fixture.requests(&corrected).await, [created, vec![STATUS.into()]].concat());
}

#[tokio::test]
async fn an_unreadable_object_keeps_all_of_its_status_but_the_conditions() {
    let mut unreadable = object(json!({}));
    unreadable["spec"]["training"] = "by hand".into();
    let mut fixture = Fixture::new();
    assert_eq!(fixture.requests(&unreadable).await, [STATUS, EVENT]);
    let written = fixture.server.object("recommendermodels/packages/status").expect("was written");
    let fields: Vec<_> = written["status"].as_object().expect("a status").keys().cloned().collect();
    assert_eq!(fields, ["conditions", "observedGeneration"]);
}

#[tokio::test]
async fn a_refused_child_does_not_block_the_other_ones_and_its_message_is_in_the_status() {
    let (mut fixture, object) = (Fixture::new(), object(json!({})));
    fixture.server.refuse(ACCOUNT, 403, "exceeded quota: accounts");
    let error = fixture.reconcile(&object).await.unwrap_err();
    assert_eq!(error.class(), "child");
    let requests = fixture.server.requests();
    assert_eq!(requests, [tried(&object), vec![STATUS.into(), EVENT.into()]].concat());
    let reported = fixture.status().conditions.iter().any(|of| of.message.contains("exceeded quota: accounts"));
    assert!(reported, "{:?}", fixture.status().conditions);

    fixture.server.refuse_nothing();
    let again = fixture.requests(&object).await;
    assert_eq!(again[..2], [ACCOUNT, STATUS], "only what was missing");
}

#[tokio::test]
async fn an_object_of_another_owner_with_the_name_of_a_child_is_not_changed() {
    let (mut fixture, object) = (Fixture::new(), object(json!({})));
    let theirs = json!({"metadata": {"name": "packages", "namespace": "shop", "uid": "x", "resourceVersion": "7"}});
    fixture.server.store("serviceaccounts/packages", theirs.clone());
    let error = fixture.reconcile(&object).await.unwrap_err();
    assert!(error.to_string().contains("ServiceAccount packages exists and is not owned by"), "{error}");
    assert_eq!(fixture.server.requests(), [tried(&object), vec![STATUS.into(), EVENT.into()]].concat());
    assert_eq!(fixture.server.object("serviceaccounts/packages"), Some(theirs));
}

#[tokio::test]
async fn failures_are_retried_after_pauses_that_double_and_a_success_resets_them() {
    let (mut fixture, object) = (Fixture::new(), object(json!({})));
    fixture.server.refuse("POST jobs", 500, "etcd is full");
    let expected = Memory::default(); // its own tests show that pauses double
    for _ in 0..4 {
        let error = fixture.reconcile(&object).await.unwrap_err();
        let shown = fixture.show(&object);
        let action = super::super::back_off(&shown, &error, &fixture.context);
        assert_eq!(action, Action::requeue(expected.failed("uid")));
    }
    fixture.server.refuse_nothing();
    fixture.reconcile(&object).await.expect("the reconcile succeeds");
    assert!(fixture.context.memory.failed("uid") <= Duration::from_secs(1));
}

#[tokio::test]
async fn a_status_that_could_not_be_written_has_no_events_and_is_written_with_the_next_retry() {
    let (mut fixture, wrong) = (Fixture::new(), invalid());
    fixture.server.refuse(STATUS, 500, "etcd is full");
    let error = fixture.reconcile(&wrong).await.unwrap_err();
    assert_eq!(error.class(), "status");
    assert_eq!(fixture.server.requests(), [STATUS]);
    fixture.server.refuse_nothing();
    assert_eq!(fixture.requests(&wrong).await, [STATUS, EVENT]);
}

#[tokio::test]
async fn an_event_that_could_not_be_created_does_not_fail_the_reconcile() {
    let mut fixture = Fixture::new();
    fixture.server.refuse(EVENT, 403, "not allowed");
    assert_eq!(fixture.requests(&invalid()).await, [STATUS, EVENT], "the reconcile succeeds");
}

#[tokio::test]
async fn a_panic_is_an_error_with_its_message_in_the_status() {
    let mut fixture = Fixture::new();
    let object = fixture.show(&object(json!({})));
    let work = async { panic!("index out of bounds") };
    let error = super::super::supervised(&fixture.context, &object, Timestamp::now(), work).await.unwrap_err();
    assert_eq!(error.class(), "panic");
    assert_eq!(fixture.server.requests()[0], STATUS);
    let (_, message) = fixture.condition(types::RECONCILING);
    assert!(message.contains("internal error: index out of bounds"), "{message}");
}

#[tokio::test(start_paused = true)]
async fn a_reconcile_that_hangs_ends_at_the_deadline_and_the_status_reports_it() {
    let mut fixture = Fixture::new();
    let object = fixture.show(&object(json!({})));
    let error =
        super::super::supervised(&fixture.context, &object, Timestamp::now(), future::pending()).await.unwrap_err();
    assert_eq!(error.class(), "deadline");
    assert_eq!(fixture.server.requests()[0], STATUS);
}

#[tokio::test]
async fn no_request_is_made_for_a_kind_that_the_cluster_does_not_have() {
    let monitored = object(json!({"monitoring": {"metrics": {"profile": "FastApiInstrumentator"}}}));
    let mut fixture = Fixture::new();
    for kind in Kind::ALL.into_iter().filter(|kind| kind.is_optional()) {
        fixture.context.cache.set_missing(kind, true);
    }
    let requests = fixture.requests(&monitored).await;
    assert!(!requests.iter().any(|request| request.contains("monitor") || request.contains("rule")), "{requests:?}");
    assert_eq!(fixture.condition(types::MONITORING_READY).0, "ApiMissing");
}
