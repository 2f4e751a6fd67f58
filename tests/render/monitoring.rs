//! Rules, monitors and probes.

use super::*;

#[test]
fn the_rules_of_pods_are_counted_per_pod() {
    let counted = |canary: Value| {
        let model = model("packages.yaml", |object| object["spec"]["promotion"]["canary"] = canary.clone());
        render::total(&render::stats(&model)).0
    };
    let with = counted(json!({"steps": [{"weightPercent": 20}]}));
    let per_pod = with.per_value.get("pod").copied().unwrap_or_default();
    assert!(per_pod > 0, "{with:?}");
    assert_eq!(counted(Value::Null).series + per_pod, with.series);
}

#[test]
fn requests_of_all_probes_of_servers_are_no_load() {
    let model = model("latency.yaml", |object| {
        object["spec"]["serving"]["pod"] = json!({"probes": [{"type": "Readiness", "path": "/ready"}]});
    });
    let rules = children(&model).into_iter().find(|child| child.kind == Kind::PrometheusRule).expect("rules");
    let rules = rules.object.to_string();
    assert!(rules.contains("/ready") && rules.contains("/health"), "{rules}");
}

#[test]
fn promql_of_the_spec_is_in_a_prometheus_rule_of_its_own() {
    let model = model("workers.yaml", |object| {
        let dependencies = object["spec"]["dependencies"].as_array_mut().expect("a list");
        dependencies.push(json!({"name": "own", "custom": {"lag": "queue_depth"}}));
    });
    let rules = children(&model).into_iter().filter(|child| child.kind == Kind::PrometheusRule);
    let rules: Vec<(String, bool)> =
        rules.map(|child| (child.name, child.object["spec"].to_string().contains("queue_depth"))).collect();
    assert_eq!(rules, [("shop".into(), false), ("shop-custom.rules".into(), true)]);
}

#[test]
fn a_blackbox_exporter_probes_the_health_check_through_the_service_or_another_url() {
    let probe = |probe: Value| {
        let model = model("packages.yaml", |object| {
            object["spec"]["monitoring"]["probe"] = probe.clone();
            object["spec"]["monitoring"]["labels"] = json!({"release": "x"});
        });
        let mut children = children(&model);
        let at = children.iter().position(|child| child.kind == Kind::Probe).expect("a Probe");
        children.remove(at).object
    };
    let object = probe(json!({"prober": "blackbox.monitoring:9115"}));
    assert_eq!(object["metadata"]["labels"]["release"], "x");
    assert_eq!(
        object["spec"],
        json!({
            "jobName": "shop/packages-probe", "interval": "15s", "scrapeTimeout": "10s", "module": "http_2xx",
            "prober": {"url": "blackbox.monitoring:9115", "path": "/probe"},
            "targets": {"staticConfig": {
                "static": ["http://packages.shop.svc/health"], "labels": {"recommender": "packages"},
            }},
        })
    );
    let url = "https://shop.example.org/health";
    let other = json!({"prober": "blackbox:9115", "module": "http_post", "url": url, "intervalSeconds": 5});
    let spec = &probe(other)["spec"];
    assert_eq!(spec["targets"]["staticConfig"]["static"], json!([url]));
    assert_eq!([&spec["module"], &spec["interval"], &spec["scrapeTimeout"]], ["http_post", "5s", "5s"]);
    let headless = children(&model("packages.yaml", |object| {
        object["spec"]["monitoring"]["probe"] = json!({"prober": "blackbox:9115"});
        object["spec"]["serving"]["service"] = json!({"headless": true});
        object["spec"]["serving"]["port"] = json!(8000);
    }));
    let probe = headless.iter().find(|child| child.kind == Kind::Probe).expect("a Probe");
    let urls = &probe.object["spec"]["targets"]["staticConfig"]["static"];
    assert_eq!(*urls, json!(["http://packages.shop.svc:8000/health"]), "its name resolves to the servers");
    assert!(children(&model("packages.yaml", |_| {})).iter().all(|child| child.kind != Kind::Probe));
}

#[test]
fn scrapes_are_made_as_the_spec_says_and_rules_evaluated_at_its_offset() {
    let model = model("workers.yaml", |object| {
        let monitoring = json!({"queryOffsetSeconds": 0, "scrape": {
            "scheme": "Https", "tls": {"ca": {"configMapKeyRef": {"name": "ca", "key": "ca.crt"}}, "serverName": "shop"},
            "bearerToken": {"name": "scrape", "key": "token"}, "sampleLimit": 5000,
            "metricRelabelings": [{"action": "Drop", "regex": "go_.*"}, {"action": "LabelDrop", "regex": "pod_ip"}],
        }});
        merge(&mut object["spec"]["monitoring"], &monitoring);
        object["spec"]["workers"][0]["metrics"] = json!({"port": 9100});
    });
    let children = children(&model);
    for (kind, field) in [(Kind::ServiceMonitor, "endpoints"), (Kind::PodMonitor, "podMetricsEndpoints")] {
        let spec = &of_kind(&children, kind)["spec"];
        let endpoint = &spec[field][0];
        assert_eq!((&endpoint["scheme"], &spec["sampleLimit"]), (&json!("https"), &json!(5000)));
        assert_eq!(
            endpoint["tlsConfig"],
            json!({"ca": {"configMap": {"name": "ca", "key": "ca.crt"}}, "serverName": "shop"})
        );
        assert_eq!(
            endpoint["authorization"],
            json!({"type": "Bearer", "credentials": {"name": "scrape", "key": "token"}})
        );
        assert_eq!(
            endpoint["metricRelabelings"],
            json!([
                {"action": "drop", "regex": "go_.*", "sourceLabels": ["__name__"]},
                {"action": "labeldrop", "regex": "pod_ip"},
            ])
        );
    }
    let groups = of_kind(&children, Kind::PrometheusRule)["spec"]["groups"].as_array().expect("groups");
    assert!(groups.iter().all(|group| group["query_offset"] == "0s"));
}

#[test]
fn the_query_of_an_exporters_path_becomes_parameters_of_its_scrapes() {
    let model = model("latency.yaml", |object| {
        let path = "/metrics/detailed?family=queue_coarse_metrics&family=queue_delivery_metrics&vhost=shop";
        object["spec"]["dependencies"] = json!([{
            "name": "mail", "rabbitmq": {"queues": ["mail"]},
            "scrape": {"matchLabels": {"app": "rabbitmq"}, "port": "prometheus", "path": path}
        }]);
    });
    let children = children(&model);
    let monitor = children.iter().find(|child| child.kind == Kind::PodMonitor).expect("a PodMonitor");
    let endpoint = &monitor.object["spec"]["podMetricsEndpoints"][0];
    let families = json!({"family": ["queue_coarse_metrics", "queue_delivery_metrics"], "vhost": ["shop"]});
    assert_eq!((&endpoint["path"], &endpoint["params"]), (&json!("/metrics/detailed"), &families));
    let rules = render::rule_file(&[model]).expect("there are rules");
    assert!(rules.contains("#   params:\n#     family:\n"), "{rules}");
}

#[test]
fn pods_of_an_exporter_are_scraped_and_only_their_series_count() {
    let model = model("latency.yaml", |object| {
        object["spec"]["dependencies"] = json!([{
            "name": "users-db", "exporter": {"name": "PostgresExporter"}, "matchLabels": {"instance": "10.0.0.1:9187"},
            "scrape": {"matchLabels": {"app": "postgres-exporter"}, "port": "metrics", "intervalSeconds": 30}
        }]);
        // How servers are scraped, with a token that is no exporter's.
        object["spec"]["monitoring"]["scrape"] = json!({
            "scheme": "Https", "bearerToken": {"name": "scrape", "key": "token"}, "sampleLimit": 5,
            "metricRelabelings": [{"action": "Keep", "regex": "http_.*"}],
        });
    });
    let children = children(&model);
    let name = format!("{}-dependency.users-db", model.identity.base);
    let monitor = children.iter().find(|child| child.kind == Kind::PodMonitor).expect("a PodMonitor");
    assert_eq!(monitor.name, name);
    let spec = &monitor.object["spec"];
    assert_eq!(spec["selector"], json!({"matchLabels": {"app": "postgres-exporter"}}));
    let job = format!("{}/{name}", model.identity.namespace);
    let endpoint = &spec["podMetricsEndpoints"][0];
    let expected = json!({
        "port": "metrics", "path": "/metrics", "interval": "30s", "scrapeTimeout": "10s", "honorLabels": false,
        "relabelings": [{"action": "replace", "targetLabel": "job", "replacement": job}],
    });
    assert_eq!((endpoint, spec.get("sampleLimit")), (&expected, None));
    let rules = render::rule_file(&[model]).expect("there are rules");
    assert!(rules.contains(&format!(r#"pg_up{{instance="10.0.0.1:9187",job="{job}"}}"#)), "{rules}");
    assert!(rules.contains("# scrape_configs:") && rules.contains(&format!("/{name}\n")), "{rules}");
}
