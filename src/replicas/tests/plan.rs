//! From the fields of an object to the parameters of a decision: units, headroom, behaviour.

use serde_json::{Value, json};

use super::{
    super::plan::{STARTUP, ScalingPlan, WARM_UP},
    model, serving,
};
use crate::{
    model::Model,
    scaling::{Behavior, Bounds, Direction, Headroom, Select, StepKind, StepPolicy},
};

/// The plan for servers with this autoscaling.
fn plan(autoscaling: Value) -> Option<ScalingPlan> {
    let model = model("packages", json!({"serving": serving(autoscaling)}));
    ScalingPlan::new(&model, &model.serving_workload())
}

/// The fields of a latency target, and additional ones.
fn latency(more: Value) -> Value {
    let mut fields = json!({
        "minReplicas": 2, "maxReplicas": 20, "latency": {"quantile": "P95", "targetMilliseconds": 75},
    });
    for (field, value) in more.as_object().expect("fields") {
        fields[field] = value.clone();
    }
    fields
}

/// A model whose worker `events` scales on the lag of this dependency.
fn worker(dependency: Value, lag: Value) -> Model {
    let worker = json!({"name": "events", "autoscaling": {"minReplicas": 0, "maxReplicas": 9, "lag": lag}});
    let serving = json!({"image": "s", "replicas": 1});
    model("packages", json!({"serving": serving, "workers": [worker], "dependencies": [dependency]}))
}

fn worker_plan(model: &Model) -> ScalingPlan {
    let workload = model.workloads().into_iter().find(|workload| workload.name == "events").expect("the worker");
    ScalingPlan::new(model, &workload).expect("decided")
}

#[test]
fn milliseconds_become_seconds_and_omitted_fields_have_their_defaults() {
    let plan = plan(latency(json!({}))).expect("decided");
    assert_eq!((plan.deployment.as_str(), plan.acted_on, plan.startup), ("packages-serving", true, None));
    assert_eq!(plan.lag, None);
    let policy = plan.latency.expect("a latency target");
    assert_eq!((policy.target, policy.requests_per_replica), (0.075, None));
    assert_eq!((policy.startup, policy.warmup, policy.delay), (STARTUP, WARM_UP, 5.5));
    assert_eq!(policy.common.bounds, Bounds { min: 2, max: 20 });
    assert_eq!(policy.common.window, 20.0);
    assert_eq!(policy.common.behavior, Behavior::default());
    assert_eq!(policy.headroom, Headroom::Balanced);
}

#[test]
fn windows_follow_from_how_often_pods_are_scraped() {
    let slow = |worker_seconds: i64| {
        let worker = json!({
            "name": "events",
            "metrics": {"port": 9000, "intervalSeconds": worker_seconds},
            "autoscaling": {"minReplicas": 1, "maxReplicas": 9, "lag": {"dependency": "events", "catchUpSeconds": 60}},
        });
        let kafka = json!({"consumerGroup": "g", "topics": ["t"], "exporter": "ConsumerClient"});
        model(
            "packages",
            json!({
                "serving": serving(latency(json!({}))),
                "monitoring": {"metrics": {"profile": "FastApiInstrumentator", "intervalSeconds": 30}},
                "workers": [worker],
                "dependencies": [{"name": "events", "kafka": kafka}],
            }),
        )
    };
    let model = slow(60);
    let servers = ScalingPlan::new(&model, &model.serving_workload()).and_then(|plan| plan.latency).expect("decided");
    assert_eq!((servers.common.window, servers.delay), (120.0, 18.0));
    // A window of a minute does not contain two scrapes that are a minute apart, so it gives no rate.
    for (interval, window) in [(60, 240.0), (5, 60.0)] {
        let lag = worker_plan(&slow(interval)).lag.expect("decided");
        assert_eq!(lag.policy.common.window, window);
    }
}

#[test]
fn every_field_is_taken_over_from_the_spec() {
    let plan =
        plan(latency(json!({"requestsPerReplica": 40, "startupSeconds": 90, "advisory": true}))).expect("decided");
    assert_eq!((plan.acted_on, plan.startup), (false, Some(90.0)));
    assert_eq!(plan.latency.expect("a latency target").requests_per_replica, Some(40.0));
    for (setting, headroom) in
        [("Economy", Headroom::Economy), ("Balanced", Headroom::Balanced), ("Reliable", Headroom::Reliable)]
    {
        let plan = self::plan(latency(json!({"headroom": setting}))).expect("decided");
        assert_eq!(plan.latency.expect("a latency target").headroom, headroom, "{setting}");
    }
}

#[test]
fn behaviour_is_taken_over_with_the_meaning_of_the_autoscalers_fields() {
    let behavior = json!({
        "scaleUp": {"policies": [
            {"type": "Pods", "value": 4, "periodSeconds": 60}, {"type": "Percent", "value": 100, "periodSeconds": 15},
        ], "selectPolicy": "Min"},
        "scaleDown": {"stabilizationWindowSeconds": 300, "selectPolicy": "Disabled"},
    });
    let plan = plan(latency(json!({"behavior": behavior}))).expect("decided");
    let up = StepPolicy { kind: StepKind::Pods, value: 4, period_seconds: 60.0 };
    let twice = StepPolicy { kind: StepKind::Percent, value: 100, period_seconds: 15.0 };
    let expected = Behavior {
        scale_up: Direction { stabilization_seconds: None, policies: vec![up, twice], select: Select::Min },
        scale_down: Direction { stabilization_seconds: Some(300.0), policies: vec![], select: Select::Disabled },
    };
    assert_eq!(plan.latency.expect("a latency target").common.behavior, expected);
}

#[test]
fn a_lag_names_its_dependency_and_only_kafka_rebalances() {
    let lag = json!({"dependency": "events", "catchUpSeconds": 90, "maxLagMessages": 5_000_000_000_i64});
    let cases = [
        (json!({"name": "events", "kafka": {"consumerGroup": "g", "topics": ["t"]}}), 10.0),
        (json!({"name": "events", "rabbitmq": {"queues": ["q"]}}), 0.0),
        (json!({"name": "events", "rq": {"queues": ["q"]}}), 0.0),
        (json!({"name": "events", "redisList": {"keys": ["k"]}}), 0.0),
    ];
    for (dependency, pause) in cases {
        let plan = worker_plan(&worker(dependency.clone(), lag.clone()));
        assert_eq!((plan.deployment.as_str(), &plan.latency), ("packages-worker-events", &None), "{dependency}");
        let lag = plan.lag.expect("a lag");
        assert_eq!(lag.dependency, "events");
        assert_eq!(
            (lag.policy.catch_up, lag.policy.max_lag, lag.policy.pause),
            (90.0, Some(5e9), pause),
            "{dependency}"
        );
        assert_eq!(lag.policy.common.bounds, Bounds { min: 0, max: 9 });
        assert_eq!((lag.policy.partitions, lag.policy.messages_per_replica), (None, None));
    }
}

#[test]
fn servers_may_scale_on_latency_and_lag_and_cpu_alone_is_left_to_the_autoscaler() {
    let both = plan(latency(json!({"lag": {"dependency": "events"}}))).expect("decided");
    assert!(both.latency.is_some() && both.lag.is_some());
    assert_eq!(plan(json!({"minReplicas": 2, "maxReplicas": 20})), None);
    assert_eq!(plan(json!({"minReplicas": 2, "maxReplicas": 20, "cpu": {"targetUtilizationPercent": 50}})), None);
    let with_cpu = plan(latency(json!({"cpu": {"targetUtilizationPercent": 50}}))).expect("decided");
    assert!(with_cpu.acted_on && !with_cpu.exact && both.exact, "with a CPU target the decision is only the minimum");
}

#[test]
fn servers_are_read_at_the_port_of_their_metrics_unless_that_needs_tls_or_a_token() {
    let endpoint = |scrape: Value| {
        let mut serving = serving(latency(json!({})));
        serving["metricsPort"] = 9090.into();
        let monitoring = json!({"metrics": {"profile": "FastApiInstrumentator"}, "scrape": scrape});
        let model = model("packages", json!({"serving": serving, "monitoring": monitoring}));
        ScalingPlan::new(&model, &model.serving_workload()).expect("decided").metrics
    };
    assert_eq!(endpoint(json!({})).map(|endpoint| endpoint.port), Some(9090));
    assert_eq!(endpoint(json!({"scheme": "Https"})), None);
    assert_eq!(endpoint(json!({"bearerToken": {"name": "a", "key": "b"}})), None);
}
