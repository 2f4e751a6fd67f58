//! Replicas and autoscalers.

use super::*;

#[test]
fn an_autoscaled_deployment_is_created_with_the_replicas_that_were_decided_last() {
    let model = model("workers.yaml", |object| object["spec"]["workers"][0]["autoscaling"]["minReplicas"] = 0.into());
    let workload = &model.workloads().into_iter().find(|workload| !workload.is_serving()).expect("a worker");
    let scaling = workload.scaling.as_ref().expect("it is autoscaled");
    assert!(scaling.min == 0 && scaling.max > 1, "{scaling:?}");
    let created_with = |decided: Option<i32>, is_external: bool| {
        let name = workload.deployment.clone();
        let decided = Decided {
            placement: None,
            returned: &[],
            keeps_servers: false,
            replicas: decided.map(|replicas| (name.clone(), replicas)).into_iter().collect(),
            externally_scaled: is_external.then_some(name).into_iter().collect(),
            ..Decided::default()
        };
        let children = render::children(&model, &decided);
        let deployment = children
            .iter()
            .find(|child| child.kind == Kind::Deployment && child.name == workload.deployment)
            .expect("a Deployment");
        deployment.seed_replicas
    };
    assert_eq!(created_with(None, false), Some(1), "one must run to be measured");
    assert_eq!(created_with(Some(3), false), Some(3));
    assert_eq!(created_with(Some(0), false), Some(0));
    assert_eq!(created_with(Some(1000), false), Some(scaling.max), "the maximum was lowered since");
    assert_eq!(created_with(Some(3), true), Some(1), "another autoscaler scales it");
}

#[test]
fn an_object_with_an_autoscaler_says_nothing_of_replicas_and_one_without_does() {
    let replicas = |model: &Model| {
        let children = children(model);
        let deployment = children.iter().find(|child| child.kind == Kind::Deployment).expect("a Deployment");
        deployment.object["spec"]["replicas"].clone()
    };
    assert!(replicas(&model("packages.yaml", |_| {})).is_null());
    assert_eq!(replicas(&model("minimal.yaml", |_| {})), 1);
}

const EVENTS: &str = "shop-worker-events";

/// Fewest and most replicas of the autoscaler of the example's consumers of events, and the CPU use it follows. They scale
/// by `autoscaling`, with 1 to 12 replicas; `decided` was decided on the lag.
fn window(autoscaling: Value, decided: Option<i32>, externally_scaled: &[&str]) -> Option<(i64, i64, Option<i64>)> {
    let model = model("workers.yaml", |object| {
        let mut autoscaling = autoscaling.clone();
        autoscaling["maxReplicas"] = 12.into();
        object["spec"]["workers"][0]["autoscaling"] = autoscaling;
    });
    let decided = Decided {
        placement: None,
        returned: &[],
        keeps_servers: false,
        canary: None,
        shares: Shares::default(),
        is_canary_held: false,
        serve: None,
        train: None,
        prune: None,
        replicas: decided.map(|replicas| (EVENTS.to_owned(), replicas)).into_iter().collect::<BTreeMap<_, _>>(),
        open: BTreeSet::new(),
        externally_scaled: externally_scaled.iter().map(ToString::to_string).collect::<BTreeSet<_>>(),
    };
    let children = render::children(&model, &decided);
    let named = |child: &&Child| child.kind == Kind::HorizontalPodAutoscaler && child.name == EVENTS;
    let spec = &children.iter().find(named)?.object["spec"];
    let cpu = spec["metrics"][0]["containerResource"]["target"]["averageUtilization"].as_i64();
    Some((spec["minReplicas"].as_i64()?, spec["maxReplicas"].as_i64()?, cpu))
}

#[test]
fn the_window_of_an_autoscaler_is_what_was_decided_within_the_bounds() {
    let lag = || json!({"lag": {"dependency": "events"}});
    let both = || json!({"lag": {"dependency": "events"}, "cpu": {"targetUtilizationPercent": 80}});
    let advisory = |mut autoscaling: Value| {
        autoscaling["advisory"] = true.into();
        autoscaling
    };
    let from = |least: i32, mut autoscaling: Value| {
        autoscaling["minReplicas"] = least.into();
        autoscaling
    };
    for (autoscaling, decided, expected) in [
        // CPU alone: the bounds, whatever was decided.
        (json!({}), None, Some((1, 12, Some(70)))),
        (json!({}), Some(5), Some((1, 12, Some(70)))),
        // Lag and CPU: at least what was decided.
        (both(), Some(5), Some((5, 12, Some(80)))),
        (both(), None, Some((1, 12, Some(80)))),
        (from(2, both()), Some(1), Some((2, 12, Some(80)))),
        // Lag: exactly what was decided, or the fewest as long as nothing was.
        (lag(), Some(5), Some((5, 5, None))),
        (from(3, lag()), None, Some((3, 3, None))),
        (from(3, lag()), Some(2), Some((3, 3, None))),
        (lag(), Some(13), Some((12, 12, None))),
        // No replicas are not for an autoscaler to write.
        (from(0, lag()), Some(0), Some((1, 1, None))),
        // Advisory: as without the lag.
        (advisory(both()), Some(5), Some((1, 12, Some(80)))),
        (advisory(lag()), Some(5), None),
    ] {
        assert_eq!(window(autoscaling.clone(), decided, &[]), expected, "{autoscaling} with {decided:?}");
    }
}

#[test]
fn a_deployment_that_somebody_else_scales_gets_no_autoscaler_of_ours() {
    let lag = json!({"lag": {"dependency": "events"}});
    assert_eq!(window(lag.clone(), Some(5), &[EVENTS]), None);
    assert_eq!(window(lag, Some(5), &["shop-worker-jobs"]), Some((5, 5, None)));
}

#[test]
fn an_autoscaler_measures_our_own_container_alone_and_memory_if_asked_for() {
    let model = model("workers.yaml", |object| {
        let memory = json!({"maxReplicas": 3, "memory": {"targetUtilizationPercent": 80}});
        object["spec"]["serving"].as_object_mut().expect("an object").remove("replicas");
        object["spec"]["serving"]["autoscaling"] = memory.clone();
        object["spec"]["serving"]["resources"] = json!({"requests": {"memory": "1Gi"}});
        object["spec"]["workers"][0]["autoscaling"] = memory;
        object["spec"]["workers"][0]["autoscaling"]["cpu"] = json!({});
        object["spec"]["workers"][0]["resources"] = json!({"requests": {"cpu": "1", "memory": "1Gi"}});
    });
    let children = children(&model);
    let metrics = |name: &str| -> Vec<(String, String)> {
        let is_it = |child: &&Child| child.kind == Kind::HorizontalPodAutoscaler && child.name == name;
        let metrics = &children.iter().find(is_it).expect("an autoscaler").object["spec"]["metrics"];
        let of = |metric: &Value, field: &str| metric["containerResource"][field].as_str().expect("a text").to_owned();
        metrics
            .as_array()
            .expect("metrics")
            .iter()
            .map(|metric| (of(metric, "name"), of(metric, "container")))
            .collect()
    };
    assert_eq!(metrics("shop-serving"), [("memory".into(), "server".into())]);
    assert_eq!(metrics(EVENTS), [("cpu".into(), "worker".into()), ("memory".into(), "worker".into())]);
}
