//! Canaries, by pods and by an HTTPRoute.

use super::*;

#[test]
fn a_canary_is_a_deployment_of_its_own_behind_the_same_service() {
    let model = model("latency.yaml", |_| {});
    let versions: Vec<_> = ["full-1", "full-2"].map(version).into();
    let replicas = BTreeMap::from([(format!("{}-serving", model.identity.base), 2)]);
    let decided =
        |canary| Decided { serve: Some(&versions[0]), canary, replicas: replicas.clone(), ..Decided::default() };
    let children = render::children(&model, &decided(Some((&versions[1], 3))));
    let without = render::children(&model, &decided(None));
    let find = |children: &[Child], kind: Kind, name: &str| -> Value {
        let found = children.iter().find(|child| child.kind == kind && child.name == name);
        found.map(|child| child.object.clone()).unwrap_or_default()
    };
    let base = &model.identity.base;
    let canary = find(&children, Kind::Deployment, &format!("{base}-canary"));
    let serving = find(&children, Kind::Deployment, &format!("{base}-serving"));
    assert_eq!(
        (canary["spec"]["replicas"].as_i64(), find(&without, Kind::Deployment, &format!("{base}-canary"))),
        (Some(3), Value::Null)
    );
    assert_eq!(serving, find(&without, Kind::Deployment, &format!("{base}-serving")), "what serves is not restarted");
    let labels = &canary["spec"]["template"]["metadata"]["labels"];
    assert_eq!(labels["recommender.dev/version"], "full-2");
    let selects = |selector: &Value, labels: &Value| {
        selector.as_object().expect("a selector").iter().all(|(key, value)| labels[key] == *value)
    };
    assert!(selects(&find(&children, Kind::Service, base)["spec"]["selector"], labels));
    assert!(selects(&canary["spec"]["selector"]["matchLabels"], labels));
    assert!(!selects(&serving["spec"]["selector"]["matchLabels"], labels));
    let disruption = find(&children, Kind::PodDisruptionBudget, &format!("{base}-serving"));
    assert!(selects(&disruption["spec"]["selector"]["matchLabels"], labels));
    // But for its track, its version and its labels, it is a server like the others.
    let environment = |deployment: &Value| deployment["spec"]["template"]["spec"]["containers"][0]["resources"].clone();
    assert_eq!(environment(&canary), environment(&serving));
    let down = |children: &[Child]| {
        find(children, Kind::HorizontalPodAutoscaler, &format!("{base}-serving"))["spec"]["behavior"]["scaleDown"]["selectPolicy"].clone()
    };
    assert_eq!((down(&children), down(&without)), (json!("Disabled"), Value::Null), "no server is removed meanwhile");
    assert_eq!(render::children(&model, &decided(Some((&versions[1], 0)))), without, "it waits without pods");
}

#[test]
fn an_http_route_divides_requests_between_two_services_that_select_a_track_each() {
    let model = model("production.yaml", |_| {});
    let (base, versions) = (&model.identity.base, ["full-1", "full-2"].map(version));
    let rendered = |canary, mirrored, is_canary_held| {
        let canary_pods = (&versions[1], 1);
        let shares = Shares { canary, mirrored };
        let (serve, canary) = (Some(&versions[0]), Some(canary_pods));
        render::children(&model, &Decided { serve, canary, shares, is_canary_held, ..Decided::default() })
    };
    let find = |children: &[Child], kind: Kind, name: &str| -> Option<Value> {
        children.iter().find(|child| child.kind == kind && child.name == name).map(|child| child.object.clone())
    };
    let canary_name = format!("{base}-canary");
    for (canary, mirrored) in [(0, 0), (1, 0), (50, 0), (0, 20), (0, 100)] {
        let route = find(&rendered(canary, mirrored, false), Kind::HTTPRoute, base).expect("a route");
        let backends = json!([
            {"name": base, "port": 80, "weight": 100 - canary}, {"name": canary_name, "port": 80, "weight": canary},
        ]);
        let rule = &route["spec"]["rules"][0];
        assert_eq!((&rule["backendRefs"], &route["spec"]["rules"][1]), (&backends, &Value::Null));
        let mirror = &rule["filters"][0]["requestMirror"];
        let percent = if mirrored % 100 == 0 { Value::Null } else { mirrored.into() };
        assert_eq!((mirror.is_object(), &mirror["percent"]), (mirrored > 0, &percent));
        assert!(mirrored == 0 || mirror["backendRef"]["name"] == *canary_name, "{mirror}");
    }
    let children = rendered(1, 0, false);
    let selects = |service: &str, deployment: &str| {
        let selector = find(&children, Kind::Service, service).expect("a Service")["spec"]["selector"].clone();
        let labels = find(&children, Kind::Deployment, deployment).expect("a Deployment");
        let labels = labels["spec"]["template"]["metadata"]["labels"].clone();
        selector.as_object().expect("a selector").iter().all(|(key, value)| labels[key] == *value)
    };
    let serving = format!("{base}-serving");
    let selected = [(base, &serving), (base, &canary_name), (&canary_name, &serving), (&canary_name, &canary_name)];
    assert_eq!(selected.map(|(service, deployment)| selects(service, deployment)), [true, false, false, true]);
    // One ServiceMonitor scrapes both.
    let monitor = find(&children, Kind::ServiceMonitor, base).expect("a ServiceMonitor")["spec"]["selector"].clone();
    for service in [base, &canary_name] {
        let labels = find(&children, Kind::Service, service).expect("a Service")["metadata"]["labels"].clone();
        let wanted = monitor["matchLabels"].as_object().expect("labels");
        assert!(wanted.iter().all(|(key, value)| labels[key] == *value), "{service}: {labels}");
    }
    assert_eq!(find(&rendered(1, 0, true), Kind::Deployment, &canary_name), None, "its pods are left as they are");
}

fn version(id: &str) -> Version {
    let store = "s3://models/production";
    serde_json::from_value(json!({
        "id": id, "kind": "Full", "job": id, "uri": format!("{store}/{id}"), "digest": "sha256:0", "bytes": 1,
        "dueAt": NOW, "trainedAt": NOW,
    }))
    .expect("a version")
}
