//! What the ticks decide on replicas, and the requests of the reconcile that follows.

use super::*;
use crate::{
    series::Series,
    signals::fake::{at, readings},
};

/// Name of the worker's Deployment and autoscaler.
const WORKER: &str = "packages-worker-events";

/// A worker that scales on its lag, with one ready replica.
async fn worker() -> (Fixture, Value) {
    let lag = json!({"dependency": "events", "catchUpSeconds": 60});
    let autoscaling = json!({"minReplicas": 1, "maxReplicas": 9, "lag": lag});
    let object = object(json!({
        "workers": [{"name": "events", "image": "w", "autoscaling": autoscaling}],
        "dependencies": [{"name": "events", "kafka": {"consumerGroup": "packages", "topics": ["events"]}}],
        "monitoring": {"metrics": {"profile": "FastApiInstrumentator"}},
    }));
    let mut fixture = Fixture::new();
    fixture.requests(&object).await;
    let ready = json!({"observedGeneration": 1, "replicas": 1, "updatedReplicas": 1, "readyReplicas": 1});
    fixture.show_child(Watched::Child(Kind::Deployment), &format!("deployments/{WORKER}"), &ready);
    fixture.requests(&object).await;
    (fixture, object)
}

/// A tick in which ten times as many messages arrive as are consumed. Returns whether it enqueues an object.
fn tick(context: &Context, second: i64) -> bool {
    let sample = |series, value: &str| ("shop", "packages", series, "events", value.to_owned(), 0);
    let samples = [sample(Series::Lag, "9000"), sample(Series::Arrivals, "100"), sample(Series::Consumed, "10")];
    let (readings, metrics) = (readings(&samples, second), context.metrics.scaling());
    !context.scaler.tick(&|_| true, Some(&readings), metrics, at(second), second as f64).is_empty()
}

fn decided(context: &Context) -> Option<i32> {
    context.scaler.decided("uid").get("events").map(|decided| decided.replicas)
}

#[tokio::test]
async fn a_decision_of_a_tick_is_ordered_with_one_request_and_ticks_send_none() {
    let (mut fixture, object) = worker().await;
    let context = fixture.context.clone();
    let enqueued = (1..60).any(|number| tick(&context, number * 5) && decided(&context) > Some(1));
    assert!(enqueued, "{:?}", decided(&context));
    assert_eq!(fixture.server.requests(), [""; 0]);

    let ordered = fixture.requests(&object).await;
    let autoscaler = |method| format!("{method} horizontalpodautoscalers/{WORKER}");
    let [read, patch] = ["GET", "PATCH"].map(autoscaler);
    let order = format!("PATCH deployments/{WORKER}/scale");
    // It is the first change of the autoscaler since its creation: before it is applied, the ownership of its fields is converted.
    assert_eq!(ordered, [&read, &patch, &patch, &order, STATUS, EVENT]);
    let sent = fixture.server.object(&format!("deployments/{WORKER}")).expect("exists");
    assert_eq!(sent["spec"]["replicas"].as_i64().map(|replicas| replicas as i32), decided(&context));

    assert_eq!(fixture.requests(&object).await, [""; 0], "the decision is not ordered again");
}

#[tokio::test]
async fn replicas_that_could_not_be_set_are_set_with_the_next_try() {
    let (mut fixture, object) = worker().await;
    let context = fixture.context.clone();
    assert!((1..60).any(|number| tick(&context, number * 5) && decided(&context) > Some(1)));
    let order = format!("PATCH deployments/{WORKER}/scale");
    fixture.server.refuse(&order, 500, "etcdserver: request timed out");
    fixture.reconcile(&object).await.unwrap_err();
    assert!(fixture.server.requests().contains(&order));

    fixture.server.refuse_nothing();
    assert_eq!(fixture.requests(&object).await, [&order, STATUS]);
    let deployment = fixture.server.object(&format!("deployments/{WORKER}")).expect("exists");
    assert_eq!(deployment["spec"]["replicas"].as_i64().map(|replicas| replicas as i32), decided(&context));
    assert_eq!(fixture.requests(&object).await, [""; 0]);
}

#[tokio::test]
async fn an_object_that_does_not_scale_any_more_is_not_decided_on() {
    let (mut fixture, _) = worker().await;
    let context = fixture.context.clone();
    assert!((1..60).any(|number| tick(&context, number * 5)));
    fixture.requests(&object(json!({}))).await;
    assert_eq!(decided(&context), None);
    assert!(!tick(&context, 600));
}

/// The first reconcile after a restart of the operator comes before the first tick.
#[tokio::test]
async fn what_ticks_observed_of_trainings_stays_in_the_status_after_a_restart() {
    let trigger = |name, field: &str, value, dependency| json!({"name": name, "run": "Full", field: value, "dependency": dependency});
    let mut object = object(json!({
        "training": {
            "image": "t", "full": {}, "metrics": {"port": 9091},
            "triggers": [
                trigger("events", "newEvents", 1000, "events"),
                trigger("database", "recoveredAfterSeconds", 60, "users-db"),
            ],
            "readiness": {"inputs": [{"dependency": "events", "minNewEvents": 105}]},
        },
        "dependencies": [
            {"name": "events", "kafka": {"consumerGroup": "packages", "topics": ["events"]}},
            {"name": "users-db", "exporter": {"name": "PostgresExporter"}},
        ],
        "monitoring": {"metrics": {"profile": "FastApiInstrumentator"}},
    }));
    let since = "2026-11-21T03:00:00Z";
    object["status"] = json!({"versions": [], "conditions": [], "training": {
        "active": {
            "job": "packages-full-2", "version": "full-2", "kind": "Full", "trigger": "Request", "progress": {"percent": 40},
        },
        "triggers": [
            {"name": "events", "newEvents": 1000, "metSince": since}, {"name": "database", "metSince": since},
        ],
        "newEvents": {"events": 105},
    }});
    let before: RecommenderModelStatus = serde_json::from_value(object["status"].clone()).expect("a status");
    let before = before.training.expect("trainings");
    let mut fixture = Fixture::new();
    assert!(fixture.requests(&object).await.contains(&STATUS.to_owned()));
    let after = fixture.status().training.expect("trainings");
    assert_eq!((after.triggers, after.new_events), (before.triggers, before.new_events));
    assert_eq!(after.active, before.active);
}
