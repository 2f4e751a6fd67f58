//! Servers: probes, rollouts, ports and Services.

use super::*;

#[test]
fn labels_of_the_user_do_not_replace_those_of_the_operator() {
    let model = model("minimal.yaml", |object| object["spec"]["serving"]["pod"]["labels"] = json!({"team": "search"}));
    let children = children(&model);
    let deployment = children.iter().find(|child| child.kind == Kind::Deployment).expect("a Deployment");
    let of_pods = &deployment.object["spec"]["template"]["metadata"]["labels"];
    for labels in [&deployment.object["metadata"]["labels"], of_pods] {
        assert_eq!((&labels["team"], &labels["app.kubernetes.io/name"]), (&json!("search"), &json!("recommender")));
    }
    assert!(deployment.object["spec"]["selector"]["matchLabels"]["team"].is_null(), "selectors are immutable");
}

#[test]
fn a_pause_of_servers_before_their_end_is_added_to_their_grace_and_a_slower_start_to_the_deadline_of_a_rollout() {
    let deployment = |pod: Value| {
        let model = model("minimal.yaml", |object| object["spec"]["serving"]["pod"] = pod.clone());
        let found = children(&model).into_iter().find(|child| child.kind == Kind::Deployment).expect("a Deployment");
        let spec = &found.object["spec"];
        (spec["template"]["spec"]["terminationGracePeriodSeconds"].clone(), spec["progressDeadlineSeconds"].clone())
    };
    assert_eq!(deployment(json!({})), (json!(35), json!(600)));
    assert_eq!(deployment(json!({"preStop": {"sleepSeconds": 45}})), (json!(75), json!(600)));
    let slow = json!({"probes": [{"type": "Startup", "periodSeconds": 10, "failureThreshold": 90}]});
    assert_eq!(deployment(slow), (json!(35), json!(1190)));
    let rarer = json!({"probes": [{"type": "Startup", "periodSeconds": 10}]});
    assert_eq!(deployment(rarer), (json!(35), json!(600)), "a server has as long to start as before");
}

#[test]
fn servers_that_keep_apart_from_each_other_do_not_keep_apart_from_an_earlier_version() {
    let model = model("minimal.yaml", |object| {
        object["spec"]["serving"]["pod"] = json!({"affinity": {"antiPod": [
            {"topologyKey": "kubernetes.io/hostname"},
            {"topologyKey": "kubernetes.io/hostname", "matchLabels": {"app": "trainer"}},
        ]}});
    });
    let deployment = children(&model).into_iter().find(|child| child.kind == Kind::Deployment).expect("a Deployment");
    let terms = &deployment.object["spec"]["template"]["spec"]["affinity"]["podAntiAffinity"]["requiredDuringSchedulingIgnoredDuringExecution"];
    assert_eq!(terms[0]["matchLabelKeys"], json!(["pod-template-hash"]));
    assert_eq!(terms[1]["matchLabelKeys"], Value::Null, "{terms}");
}

#[test]
fn servers_have_started_by_what_they_are_ready_by() {
    let container = |probes: Value| {
        let model = model("minimal.yaml", |object| {
            object["spec"]["serving"]["pod"] = json!({"probes": probes});
            object["spec"]["serving"]["probes"] = json!({"startupSeconds": 120});
        });
        let servers = children(&model).into_iter().find(|child| child.kind == Kind::Deployment).expect("servers");
        servers.object["spec"]["template"]["spec"]["containers"][0].clone()
    };
    let grpc = json!({"type": "Readiness", "grpcService": "", "port": 9001, "periodSeconds": 7});
    let server = container(json!([grpc]));
    assert_eq!(server["startupProbe"]["grpc"], json!({"port": 9001}));
    assert_eq!(server["startupProbe"]["httpGet"], Value::Null);
    assert_eq!(
        (&server["startupProbe"]["periodSeconds"], &server["startupProbe"]["failureThreshold"]),
        (&json!(2), &json!(61))
    );
    let own = container(json!([grpc, {"type": "Startup", "exec": ["started"]}]));
    assert_eq!(own["startupProbe"]["exec"], json!({"command": ["started"]}));
    assert_eq!(own["startupProbe"]["grpc"], Value::Null);
    let slower = container(json!([{"type": "Readiness", "periodSeconds": 7}]));
    assert_eq!(slower["startupProbe"]["httpGet"]["path"], json!("/health"));
}

/// The kubelet starts an attempt a period after the last one, or as soon as that has timed out; the first at the start.
#[test]
fn a_server_is_restarted_at_about_its_startup_seconds_whether_attempts_fail_at_once_or_by_their_time_out() {
    for (probes, entry) in [
        (json!({"startupSeconds": 20}), json!({})),
        (json!({"startupSeconds": 1}), json!({})),
        (json!({"startupSeconds": 300, "timeoutSeconds": 1}), json!({})),
        (json!({"startupSeconds": 60, "timeoutSeconds": 30}), json!({})),
        (json!({"startupSeconds": 60}), json!({"periodSeconds": 10})),
        (json!({"startupSeconds": 60}), json!({"timeoutSeconds": 8})),
        (json!({"startupSeconds": 60}), json!({"initialDelaySeconds": 45})),
    ] {
        let model = model("minimal.yaml", |object| {
            object["spec"]["serving"]["probes"] = probes.clone();
            let mut entry = entry.clone();
            if entry != json!({}) {
                entry["type"] = "Startup".into();
                object["spec"]["serving"]["pod"] = json!({"probes": [entry]});
            }
        });
        let servers = children(&model).into_iter().find(|child| child.kind == Kind::Deployment).expect("servers");
        let probe = &servers.object["spec"]["template"]["spec"]["containers"][0]["startupProbe"];
        let number = |field: &str| probe[field].as_i64().unwrap_or_default();
        let (period, timeout) = (number("periodSeconds"), number("timeoutSeconds"));
        let spaces = number("failureThreshold") - 1;
        let at_once = number("initialDelaySeconds") + spaces * period;
        let by_time_out = number("initialDelaySeconds") + spaces * period.max(timeout) + timeout;
        let asked = probes["startupSeconds"].as_i64().unwrap_or_default();
        for restarted in [at_once, by_time_out] {
            assert!(
                (asked..=asked + 2 * period.max(timeout)).contains(&restarted),
                "{restarted} s in place of {asked}: {probe}"
            );
        }
    }
}

/// The children of the smallest object, with these settings of the servers.
fn served_with(serving: Value) -> Vec<Child> {
    children(&model("minimal.yaml", |object| merge(&mut object["spec"]["serving"], &serving)))
}

#[test]
fn a_server_drains_and_then_has_its_grace_period() {
    for (serving, sleep, grace) in [
        (json!({}), json!(5), 35),
        (json!({"drainSeconds": 45, "terminationGraceSeconds": 60}), json!(45), 105),
        (json!({"drainSeconds": 0, "terminationGraceSeconds": 0}), Value::Null, 0),
    ] {
        let children = served_with(serving);
        let pod = &of_kind(&children, Kind::Deployment)["spec"]["template"]["spec"];
        assert_eq!(pod["containers"][0]["lifecycle"]["preStop"]["sleep"]["seconds"], sleep);
        assert_eq!(pod["terminationGracePeriodSeconds"], grace);
    }
}

#[test]
fn servers_are_replaced_as_the_strategy_says_and_have_time_to_stay_ready() {
    let by_default = served_with(json!({}));
    let in_place = served_with(json!({"strategy": {"maxSurge": "0", "maxUnavailable": 1}, "minReadySeconds": 30}));
    let spec = |children: &[Child]| of_kind(children, Kind::Deployment)["spec"].clone();
    let update = |children: &[Child]| spec(children)["strategy"]["rollingUpdate"].clone();
    assert_eq!(update(&by_default), json!({"maxSurge": "25%", "maxUnavailable": 0}));
    assert_eq!(update(&in_place), json!({"maxSurge": 0, "maxUnavailable": 1}), "a text is a percentage");
    assert_eq!(update(&served_with(json!({"strategy": {"maxUnavailable": "50%"}})))["maxSurge"], "25%");
    assert_eq!(spec(&in_place)["minReadySeconds"], 30);
    let deadline = |children: &[Child]| spec(children)["progressDeadlineSeconds"].as_i64().expect("a number");
    assert_eq!(deadline(&in_place) - deadline(&by_default), 30);
}

#[test]
fn the_disruption_budget_is_the_one_of_the_spec() {
    for (budget, expected) in [
        (json!({}), Some((json!(1), Value::Null))),
        (json!({"maxUnavailable": "50%"}), Some((json!("50%"), Value::Null))),
        (json!({"minAvailable": 2}), Some((Value::Null, json!(2)))),
        (json!({"enabled": false}), None),
    ] {
        let children = served_with(json!({"disruptionBudget": budget}));
        let spec =
            children.iter().find(|child| child.kind == Kind::PodDisruptionBudget).map(|child| &child.object["spec"]);
        assert_eq!(spec.map(|spec| (spec["maxUnavailable"].clone(), spec["minAvailable"].clone())), expected);
    }
}

#[test]
fn further_ports_are_ports_of_the_container_and_of_the_service_and_that_of_the_metrics_is_scraped() {
    let model = model("packages.yaml", |object| {
        let serving = json!({"metricsPort": 9090, "ports": [{"name": "grpc", "port": 9000}]});
        merge(&mut object["spec"]["serving"], &serving);
    });
    let children = children(&model);
    let ports = |list: &Value, number: &str| -> Vec<(String, i64)> {
        let list = list.as_array().expect("ports").iter();
        list.map(|port| (port["name"].as_str().expect("a name").into(), port[number].as_i64().expect("a number")))
            .collect()
    };
    let container = &of_kind(&children, Kind::Deployment)["spec"]["template"]["spec"]["containers"][0];
    let further = [("metrics".to_owned(), 9090), ("grpc".to_owned(), 9000)];
    assert_eq!(ports(&container["ports"], "containerPort")[1..], further);
    assert_eq!(ports(&of_kind(&children, Kind::Service)["spec"]["ports"], "port")[1..], further);
    assert_eq!(of_kind(&children, Kind::ServiceMonitor)["spec"]["endpoints"][0]["port"], "metrics");
    assert_eq!(container["readinessProbe"]["httpGet"]["port"], "http");
}

#[test]
fn the_service_is_of_the_type_of_the_spec_and_labels_of_the_operator_stay() {
    let settings = json!({
        "type": "LoadBalancer", "labels": {"team": "search"}, "annotations": {"example.org/internal": "true"},
    });
    let children = served_with(json!({"service": settings}));
    let service = of_kind(&children, Kind::Service);
    assert_eq!(service["spec"]["type"], "LoadBalancer");
    assert_eq!(service["metadata"]["annotations"]["example.org/internal"], "true");
    let labels = &service["metadata"]["labels"];
    assert_eq!((&labels["team"], &labels["app.kubernetes.io/component"]), (&json!("search"), &json!("serving")));
    let headless = served_with(json!({"service": {"headless": true}}));
    let spec = &of_kind(&headless, Kind::Service)["spec"];
    assert_eq!((&spec["clusterIP"], &spec["type"]), (&json!("None"), &Value::Null));
}

#[test]
fn a_second_deployment_of_servers_fits_behind_the_same_service_without_relabelling_any_pod() {
    let children = children(&model("packages.yaml", |_| {}));
    let spec = |kind: Kind| &children.iter().find(|child| child.kind == kind).expect("rendered").object["spec"];
    let deployment = spec(Kind::Deployment);
    let of_traffic = json!({"recommender.dev/model": "packages", "recommender.dev/traffic": "true"});
    assert_eq!(spec(Kind::Service)["selector"], of_traffic);
    assert_eq!(spec(Kind::PodDisruptionBudget)["selector"]["matchLabels"], of_traffic);
    assert_eq!(deployment["selector"]["matchLabels"]["recommender.dev/track"], "stable");
    let labels = &deployment["template"]["metadata"]["labels"];
    for selector in [&of_traffic, &deployment["selector"]["matchLabels"]] {
        let missing = selector.as_object().expect("labels").iter().find(|(key, value)| labels[key.as_str()] != **value);
        assert_eq!(missing, None, "{labels}");
    }
}
