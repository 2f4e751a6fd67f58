use serde_json::{Value, json};

use super::*;
use crate::{
    api::{self, Autoscaling, WorkerAutoscaling},
    catalog,
    series::Series,
    validate::{stored, tests::minimal},
};

/// The smallest object, with fields of its spec set.
fn object(fields: Value) -> RecommenderModel {
    let mut object = minimal();
    let fields = fields.as_object().expect("fields").clone();
    object["spec"].as_object_mut().expect("a spec").extend(fields);
    serde_json::from_value(stored(&object)).expect("a RecommenderModel")
}

pub fn model(fields: Value) -> Model {
    Model::new(&object(fields), Timestamp::UNIX_EPOCH).expect("a valid spec")
}

pub fn problems(fields: Value) -> Vec<String> {
    let problems = Model::new(&object(fields), Timestamp::UNIX_EPOCH).err().unwrap_or_default();
    problems.iter().map(ToString::to_string).collect()
}

fn serving(autoscaling: Value) -> Value {
    json!({"image": "s", "autoscaling": autoscaling})
}

fn monitoring() -> Value {
    json!({"metrics": {"profile": "FastApiInstrumentator"}})
}

/// Dependencies with one entry: Kafka, by the name `events`.
fn kafka(exporter: &str) -> Value {
    json!([{"name": "events", "kafka": {"consumerGroup": "g", "topics": ["t"], "exporter": exporter}}])
}

#[test]
fn servers_and_workers_have_names_components_and_deployments_of_their_own() {
    let model = model(json!({"workers": [{"name": "events"}, {"name": "jobs"}]}));
    let workloads = model.workloads();
    let names: Vec<[&str; 3]> =
        workloads.iter().map(|of| [of.name.as_str(), of.component.as_str(), of.deployment.as_str()]).collect();
    assert_eq!(
        names,
        [
            ["serving", "serving", "packages-serving"],
            ["events", "worker-events", "packages-worker-events"],
            ["jobs", "worker-jobs", "packages-worker-jobs"],
        ]
    );
    assert_eq!(workloads[0], model.serving_workload());
}

#[test]
fn schedules_and_resources_of_both_kinds_of_training_are_checked() {
    let of =
        |full: Value, partial: Value| problems(json!({"training": {"image": "t", "full": full, "partial": partial}}));
    assert_eq!(of(json!({}), json!({"schedule": "*/15 * * * *"})), [""; 0]);
    let both = of(json!({"schedule": "99 3 * * *"}), json!({"schedule": "0 * * * *", "timeZone": "Europe/Atlantis"}));
    assert!(both.len() == 2 && both[0].starts_with("spec.training.full.schedule: "), "{both:?}");
    assert!(both[1].starts_with("spec.training.partial.timeZone: "), "{both:?}");
    let resources =
        of(json!({}), json!({"resources": {"requests": {"nvidia.com/gpu": 1}, "limits": {"nvidia.com/gpu": 2}}}));
    assert!(resources.len() == 1 && resources[0].starts_with("spec.training.partial.resources."), "{resources:?}");
}

#[test]
fn schedules_of_which_runs_are_covered_or_late_are_warned_of() {
    let warnings = |full: &str, partial: Value, jitter: i64| {
        let full = json!({"schedule": full});
        let training = json!({"image": "t", "full": full, "partial": partial, "jitterSeconds": jitter});
        model(json!({"training": training}))
            .warnings()
            .iter()
            .map(|warning| warning.problem.to_string())
            .collect::<Vec<_>>()
    };
    let (often, nightly) = (json!({"schedule": "*/15 * * * *"}), json!({"schedule": "0 3 * * *"}));
    assert_eq!(warnings("0 3 * * *", often.clone(), 900), [""; 0]);
    assert_eq!(
        warnings("0 3 * * *", often, 901),
        [
            "spec.training.jitterSeconds: two runs of a schedule are at most 900 s apart, so that a run may start only after the next \
          one is due, with data as old: write at most 900"
        ]
    );
    assert_eq!(
        warnings("0 3 * * *", nightly.clone(), 60),
        [
            "spec.training.partial.schedule: a full run is due at each of these times and covers the partial one, so that none starts: \
          write other times, as in \"*/15 * * * *\""
        ]
    );
    assert_eq!(warnings("0 4 * * *", nightly, 60), [""; 0]);
}

#[test]
fn a_counter_in_place_of_a_rate_is_warned_of() {
    let warnings = |requests: &str, consumed: &str| {
        let custom = json!({"requests": requests, "errors": "rate(shop_errors_total[1m])"});
        model(json!({
            "dependencies": [{"name": "own", "custom": {"lag": "shop_lag", "consumed": consumed}}],
            "monitoring": {"metrics": {"profile": "Custom", "custom": custom}, "front": {"custom": {"requests": requests}}},
        }))
        .warnings()
        .iter()
        .map(|warning| warning.problem.to_string())
        .collect::<Vec<_>>()
    };
    for rate in [
        "rate(a_total[1m])",
        "sum(increase(a_total[5m])) / 300",
        "shop_rate",
        "deriv(a_total[5m])",
        "rate(a[1m]) and b_total",
        "shop:requests:rate5m unless on () maintenance_total > 0",
        "shop_rate / on () replicas_total",
        "(sum(a_total) - sum(a_total offset 1m)) / 60",
        "(sum(a_total) - sum(last_over_time(a_total[1m:] offset 1m))) / 60",
        "(sum(a_total) - sum(a_total @ 1)) / 60",
    ] {
        assert_eq!(warnings(rate, rate), [""; 0], "{rate}");
    }
    let why = |field: &str, name: &str| {
        format!(
            "spec.{field}: {name} is a counter by its name, and this takes how much comes per second: write rate({name}{{...}}[2m])"
        )
    };
    assert_eq!(
        warnings("sum(a_total)", "b_total"),
        [
            why("monitoring.metrics.custom.requests", "a_total"),
            why("monitoring.front.custom.requests", "a_total"),
            why("dependencies[0].custom.consumed", "b_total"),
        ]
    );
    for counter in
        ["a_total unless on () b", "a_total and on () rate_of_others > 0", "a_total + b_total", "a_total offset 1m"]
    {
        assert_eq!(
            warnings(counter, "shop_rate")[0],
            why("monitoring.metrics.custom.requests", "a_total"),
            "{counter}"
        );
    }
}

#[test]
fn an_exporter_that_the_catalogue_does_not_have_is_the_only_problem_with_what_reads_it() {
    let object = |exporter: &str| {
        problems(json!({
            "training": {
                "image": "t",
                "full": {},
                "triggers": [
                    {"name": "a", "run": "Full", "signal": "drift_score", "dependency": "db", "above": "0.2"},
                    {"name": "b", "run": "Full", "recoveredAfterSeconds": 300, "dependency": "db"},
                ],
                "readiness": {"inputs": [{"dependency": "db"}]},
            },
            "promotion": {"readiness": {"inputs": [{"dependency": "db"}]}},
            "dependencies": [{"name": "db", "exporter": {"name": exporter}}],
            "monitoring": {"metrics": {"profile": "FastApiInstrumentator"}},
        }))
    };
    let [only] = &object("Postgres")[..] else { panic!("one problem") };
    assert!(only.starts_with("spec.dependencies[0].exporter.name: there is no Postgres; "), "{only}");
    assert!(only.ends_with(", or add it to the catalogue: docs/catalog.md"), "{only}");
    let [signal] = &object("PostgresExporter")[..] else { panic!("one problem") };
    let begin =
        "spec.training.triggers[0].signal: of the dependency \"db\" there is no drift_score; the most similar one is ";
    assert!(signal.starts_with(begin), "{signal}");
}

#[test]
fn a_pause_of_servers_that_every_rollout_waits_for_is_warned_of_with_both_fields() {
    let warnings = |fields: Value| {
        let mut serving = json!({"image": "s"});
        serving.as_object_mut().expect("a map").extend(fields.as_object().expect("a map").clone());
        model(json!({"serving": serving}))
            .warnings()
            .iter()
            .map(|warning| warning.problem.to_string())
            .collect::<Vec<_>>()
    };
    assert_eq!(warnings(json!({"drainSeconds": 300})), [""; 0]);
    let [warning] = &warnings(json!({"pod": {"preStop": {"sleepSeconds": 600}}}))[..] else { panic!("one warning") };
    assert!(
        warning.starts_with("spec.serving.pod.preStop.sleepSeconds: a server sleeps 600 s")
            && warning.contains("the 30 s of spec.serving.terminationGraceSeconds")
            && warning.contains("waits up to 630 s"),
        "{warning}"
    );
    assert_eq!(warnings(json!({"drainSeconds": 301})).len(), 1);
}

#[test]
fn a_budget_that_lets_no_server_be_evicted_is_warned_of() {
    let warnings = |budget: Value, replicas: Value| {
        let mut serving = json!({"image": "s", "disruptionBudget": budget, "resources": {"requests": {"cpu": 1}}});
        serving.as_object_mut().expect("a map").extend(replicas.as_object().expect("a map").clone());
        model(json!({"serving": serving}))
            .warnings()
            .iter()
            .map(|warning| warning.problem.to_string())
            .collect::<Vec<_>>()
    };
    let (two, to_four) = (json!({"replicas": 2}), json!({"autoscaling": {"minReplicas": 2, "maxReplicas": 4}}));
    for (budget, replicas) in [
        (json!({"maxUnavailable": 0}), &two),
        (json!({"maxUnavailable": "0%"}), &to_four),
        (json!({"minAvailable": 2}), &two),
        (json!({"minAvailable": "51%"}), &two),
        (json!({"minAvailable": "4"}), &to_four),
    ] {
        let [warning] = &warnings(budget.clone(), replicas.clone())[..] else { panic!("one warning of {budget}") };
        assert!(warning.starts_with("spec.serving.disruptionBudget: with at most "), "{warning}");
    }
    for (budget, replicas) in [
        (json!({}), &two),
        (json!({"enabled": false}), &two),
        (json!({"maxUnavailable": "1%"}), &two),
        (json!({"minAvailable": "50%"}), &two),
        (json!({"minAvailable": 2}), &to_four),
    ] {
        assert_eq!(warnings(budget.clone(), replicas.clone()), [""; 0], "{budget}");
    }
}

#[test]
fn replicas_are_as_specified_without_autoscaling_and_start_at_min_replicas_with_it() {
    let model = model(json!({
        "serving": serving(json!({"minReplicas": 3, "maxReplicas": 9})),
        "workers": [
            {"name": "plain"},
            {"name": "fixed", "replicas": 2},
            {"name": "paused", "replicas": 0},
            {"name": "scaled", "autoscaling": {"minReplicas": 0, "maxReplicas": 4, "lag": {"dependency": "events"}}},
        ],
        "dependencies": kafka("KafkaExporter"),
        "monitoring": monitoring(),
    }));
    let replicas: Vec<(i32, bool)> =
        model.workloads().iter().map(|workload| (workload.replicas, workload.scaling.is_some())).collect();
    assert_eq!(replicas, [(3, true), (1, false), (2, false), (0, false), (0, true)]);
}

#[test]
fn cpu_is_a_target_if_it_is_set_or_if_there_is_no_other_signal() {
    let latency = json!({"targetMilliseconds": 75});
    let lag = json!({"dependency": "events"});
    let cpu = json!({"targetUtilizationPercent": 60});
    for (autoscaling, percent) in [
        (json!({"maxReplicas": 9}), Some(70)),
        (json!({"maxReplicas": 9, "cpu": {}}), Some(70)),
        (json!({"maxReplicas": 9, "cpu": cpu}), Some(60)),
        (json!({"maxReplicas": 9, "memory": {}}), None),
        (json!({"maxReplicas": 9, "latency": latency}), None),
        (json!({"maxReplicas": 9, "lag": lag}), None),
        (json!({"maxReplicas": 9, "latency": latency, "cpu": cpu}), Some(60)),
        (json!({"maxReplicas": 9, "lag": lag, "cpu": cpu}), Some(60)),
    ] {
        let read: Autoscaling = serde_json::from_value(autoscaling.clone()).expect("autoscaling");
        assert_eq!(Scaling::from(&read).cpu, percent, "{autoscaling}");
        if autoscaling.get("latency").is_none() {
            let read: WorkerAutoscaling = serde_json::from_value(autoscaling.clone()).expect("that of a worker");
            assert_eq!(Scaling::from(&read).cpu, percent, "{autoscaling}");
        }
    }
}

#[test]
fn decisions_on_latency_or_lag_are_applied_unless_advisory() {
    for (autoscaling, decided, acted_on) in [
        (json!({"maxReplicas": 9, "advisory": false}), false, false),
        (json!({"maxReplicas": 9, "advisory": true}), false, false),
        (json!({"maxReplicas": 9, "latency": {"targetMilliseconds": 75}}), true, true),
        (json!({"maxReplicas": 9, "lag": {"dependency": "events"}}), true, true),
        (json!({"maxReplicas": 9, "latency": {"targetMilliseconds": 75}, "advisory": true}), true, false),
    ] {
        let read: Autoscaling = serde_json::from_value(autoscaling.clone()).expect("autoscaling");
        let scaling = Scaling::from(&read);
        assert_eq!((scaling.is_decided(), scaling.is_acted_on()), (decided, acted_on), "{autoscaling}");
    }
}

#[test]
fn signals_without_monitoring_or_without_their_dependency_are_refused() {
    let latency = || serving(json!({"maxReplicas": 9, "latency": {"targetMilliseconds": 75}}));
    let worker = || json!([{"name": "w", "autoscaling": {"maxReplicas": 9, "lag": {"dependency": "events"}}}]);
    let unrecorded = "autoscaling on latency or lag reads recording rules: set spec.monitoring";
    assert_eq!(problems(json!({"serving": latency()})), [format!("spec.serving.autoscaling: {unrecorded}")]);
    let unmonitored = json!({"workers": worker(), "dependencies": kafka("Burrow")});
    assert_eq!(problems(unmonitored), [format!("spec.workers[0].autoscaling: {unrecorded}")]);
    assert_eq!(problems(json!({"serving": latency(), "monitoring": monitoring()})), [""; 0]);

    let unknown = "lag.dependency: there is no \"events\" among spec.dependencies: write the name of one";
    let nowhere = json!({"workers": worker(), "monitoring": monitoring()});
    assert_eq!(problems(nowhere), [format!("spec.workers[0].autoscaling.{unknown}")]);
    let lag = serving(json!({"maxReplicas": 9, "lag": {"dependency": "events"}}));
    let nowhere = json!({"serving": lag, "monitoring": monitoring()});
    assert_eq!(problems(nowhere), [format!("spec.serving.autoscaling.{unknown}")]);
    let known = json!({"workers": worker(), "dependencies": kafka("Burrow"), "monitoring": monitoring()});
    assert_eq!(problems(known), [""; 0]);
}

#[test]
fn scaling_to_zero_is_refused_if_the_lag_is_reported_by_the_consumers() {
    let of = |least: i32, exporter: &str| {
        let autoscaling = json!({"minReplicas": least, "maxReplicas": 9, "lag": {"dependency": "events"}});
        let workers = json!([{"name": "w", "autoscaling": autoscaling}]);
        problems(json!({"workers": workers, "dependencies": kafka(exporter), "monitoring": monitoring()}))
    };
    assert_eq!(
        of(0, "ConsumerClient"),
        [
            "spec.workers[0].autoscaling.minReplicas: with 0 replicas nobody reports the lag of \"events\", because its consumers themselves \
         do: write 1, or take another exporter"
        ]
    );
    assert_eq!((of(1, "ConsumerClient"), of(0, "KafkaExporter")), (vec![], vec![]));
}

#[test]
fn a_profile_that_is_not_in_the_catalogue_is_refused_with_the_most_similar_one_and_all() {
    let serving = serving(json!({"maxReplicas": 9, "latency": {"targetMilliseconds": 75}}));
    let found = problems(json!({"serving": serving, "monitoring": {"metrics": {"profile": "OpenTelemetri"},
        "alerts": {"RecommenderLatencyHigh": {"threshold": 2}}}}));
    let [message] = &found[..] else { panic!("one problem: {found:?}") };
    let begin = "spec.monitoring.metrics.profile: there is no OpenTelemetri; the most similar one is OpenTelemetry: write one of \
                 AnilibriaService, BentoMl, ";
    assert!(message.starts_with(begin), "{message}");
}

#[test]
fn expressions_of_servers_are_validated_with_the_path_of_their_field() {
    let of = |custom: serde_json::Value| {
        let serving = serving(json!({"maxReplicas": 9, "latency": {"targetMilliseconds": 75}}));
        problems(json!({"serving": serving, "monitoring": {"metrics": {"profile": "Custom", "custom": custom},
            "alerts": {"RecommenderLatencyHigh": {"threshold": 100}}}}))
    };
    let p95 = "histogram_quantile(0.95, sum(rate(a[1m])))";
    assert_eq!(of(json!({"requests": "rate(a[1m])", "latencyP95": p95})), [""; 0]);
    let [wrong, other] = &of(json!({"requests": "rate(a[1m]", "latencyP95": p95, "errors": "e{namespace=\"x\"}"}))[..]
    else {
        panic!("two problems")
    };
    assert!(wrong.starts_with("spec.monitoring.metrics.custom.requests: it is not PromQL, "), "{wrong}");
    assert!(
        other.starts_with("spec.monitoring.metrics.custom.errors: namespace=\"x\" selects another namespace"),
        "{other}"
    );
    assert_eq!(
        of(json!({"requests": "rate(a[1m])"})),
        [
            "spec.serving.autoscaling.latency.quantile: spec.monitoring.metrics.custom has no latencyP95, which this follows: add it, or \
          write another quantile"
        ]
    );
    let together =
        "spec.monitoring.metrics.custom: the profile Custom and the field custom go together: set both or neither";
    assert_eq!(problems(json!({"monitoring": {"metrics": {"profile": "Custom"}}})), [together]);
}

#[test]
fn signals_of_the_application_are_validated_with_the_path_of_their_field() {
    let of = |signals: serde_json::Value| {
        let profile = "FastApiInstrumentator";
        problems(json!({"monitoring": {"metrics": {"profile": profile}, "signals": signals}}))
    };
    assert_eq!(of(json!({"sessions": "shop_sessions", "exceptions:rate1m": "rate(errors_total[1m])"})), [""; 0]);
    for (name, text, reason) in [
        (
            "session",
            "a",
            "there is no such signal of an application; the most similar one is sessions: write one of exceptions:",
        ),
        ("recommender:sessions", "a", "write it without recommender:, as sessions"),
        ("requests:rate1m", "a", "there is no such signal of an application; the most similar one is "),
        (
            "tenant_share:max",
            "a",
            "there is no such signal of an application; the most similar one is tenant_requests:top10: ",
        ),
        ("sessions", "sum(a", "it is not PromQL, "),
        ("sessions", "5", "it is a number, not a series"),
        ("sessions", "a{queue=\"$queue\"}", "$queue is a variable of Grafana"),
        ("sessions", "a{namespace=\"x\"}", "namespace=\"x\" selects another namespace"),
    ] {
        let found = of(json!({name: text}));
        let [problem] = &found[..] else { panic!("{name}: {text}: {found:?}") };
        let path = if name.contains([':', '_']) { format!("[{name}]") } else { format!(".{name}") };
        assert!(problem.starts_with(&format!("spec.monitoring.signals{path}: {reason}")), "{problem}");
    }
}

#[test]
fn scaling_on_a_dependency_without_a_lag_is_refused() {
    let spec = json!({
        "dependencies": [{"name": "users-db", "exporter": {"name": "PostgresExporter"}}],
        "monitoring": {"metrics": {"profile": "FastApiInstrumentator"}},
        "workers": [{"name": "w", "image": "w", "autoscaling": {"maxReplicas": 2, "lag": {"dependency": "users-db"}}}],
    });
    let message = "lag.dependency: \"users-db\" has an exporter that reports no lag: name a dependency with kafka, rabbitmq, rq, \
                   redisList, flink or custom";
    assert_eq!(problems(spec), [format!("spec.workers[0].autoscaling.{message}")]);
}

#[test]
fn what_is_copied_from_a_dashboard_is_refused_with_its_field_and_what_to_write() {
    let custom =
        json!({"lag": "sum(queue_depth{queue=~\"$queue\"})", "arrivals": "sum(rate(added_total[$__rate_interval]))"});
    let front = json!({"metrics": {"profile": "FastApiInstrumentator"}, "front": {"custom": {"requests": "5"}}});
    let unknown = "is a variable of Grafana, which Prometheus does not know: write";
    assert_eq!(
        problems(json!({"dependencies": [{"name": "own", "custom": custom}], "monitoring": front})),
        [
            format!(
                "spec.dependencies[0].custom.lag: $queue {unknown} its value, or remove the matcher that contains it"
            ),
            format!(
                "spec.dependencies[0].custom.arrivals: $__rate_interval {unknown} a duration of at least four scrapes, for \
                 example 2m"
            ),
            "spec.monitoring.front.custom.requests: it is a number, not a series: write vector(5)".into(),
        ]
    );
}

#[test]
fn promql_of_the_spec_is_limited_to_the_namespace_of_the_object() {
    let of = |lag: &str, front: &str| {
        json!({
            "dependencies": [{"name": "own", "custom": {"lag": lag, "consumed": "rate(done[1m])"}}],
            "monitoring": {"metrics": {"profile": "FastApiInstrumentator"}, "front": {"custom": {"requests": front}}},
        })
    };
    let model = model(of("waiting # comment", "rate(requests_total[1m])"));
    let custom = model.dependencies[0].custom.as_ref().expect("PromQL");
    assert_eq!(custom.lag, r#"waiting{namespace="shop"}"#);
    assert_eq!(custom.consumed.as_deref(), Some(r#"rate(done{namespace="shop"}[1m])"#));
    let front = model.monitoring.and_then(|of| of.front?.custom).expect("PromQL");
    assert_eq!(front.requests, r#"rate(requests_total{namespace="shop"}[1m])"#);
    let other = r#"x{namespace="data"}"#;
    let found = problems(of(other, other));
    let [lag, requests] = &found[..] else { panic!("two problems: {found:?}") };
    let selects = r#"namespace="data" selects another namespace"#;
    assert!(lag.starts_with(&format!("spec.dependencies[0].custom.lag: {selects}")), "{lag}");
    assert!(requests.starts_with(&format!("spec.monitoring.front.custom.requests: {selects}")), "{requests}");
}

#[test]
fn scrapes_that_could_not_give_the_series_that_are_read_are_refused() {
    let of = |dependency: serde_json::Value, path: &str, labels: serde_json::Value| {
        let mut all = json!([{"name": "x", "matchLabels": labels,
            "scrape": {"matchLabels": {"app": "x"}, "port": "metrics", "path": path}}]);
        for (name, value) in dependency.as_object().expect("an object") {
            all[0][name] = value.clone();
        }
        problems(json!({"dependencies": all, "monitoring": monitoring()}))
    };
    let queues = || json!({"rabbitmq": {"queues": ["q"]}});
    let named = |name: &str| json!({"exporter": {"name": name}});
    for (dependency, path, labels, problem) in [
        (named("BlackboxExporter"), "/metrics", json!({}), "scrape.path: its own metrics do not contain the probes"),
        (named("BlackboxExporter"), "/probe?module=http_2xx", json!({}), "scrape.path: its own metrics"),
        (queues(), "/metrics", json!({}), "scrape.path: the endpoint Detailed has only the families"),
        (named("RedisExporter"), "/metrics", json!({"job": "x"}), "scrape: the series have the job of the PodMonitor"),
    ] {
        let found = of(dependency, path, labels);
        assert!(found.len() == 1 && found[0].starts_with(&format!("spec.dependencies[0].{problem}")), "{found:?}");
    }
    assert_eq!(of(queues(), "/metrics/detailed?family=queue_coarse_metrics", json!({})), [""; 0]);
    for (key, is_valid) in
        [("app", true), ("example.org/app", true), ("-x", false), ("a b", false), ("example.org/", false)]
    {
        let scrape = json!({"scrape": {"matchLabels": {key: "x"}, "port": "metrics", "path": "/metrics"}, "rq": {"queues": ["q"]}});
        assert_eq!(of(scrape, "/metrics", json!({})).is_empty(), is_valid, "{key}");
    }
    assert_eq!(of(named("RedisExporter"), "/metrics", json!({"cluster": "x"})), [""; 0]);
    let probe = "/probe?target=https://ads.example.org/health&module=http_2xx";
    assert_eq!(of(named("BlackboxExporter"), probe, json!({})), [""; 0]);
}

#[test]
fn contradicting_replica_settings_are_refused_for_servers_and_workers() {
    let both = ": set replicas or autoscaling, not both: with autoscaling the number of replicas follows the load";
    let upside_down = ".autoscaling.minReplicas: must not be above maxReplicas: write a lower number";
    let autoscaling = json!({"minReplicas": 4, "maxReplicas": 3});
    let fixed = json!({"image": "s", "name": "w", "replicas": 2, "autoscaling": {"maxReplicas": 3}});
    let scaled = json!({"image": "s", "name": "w", "autoscaling": autoscaling});
    for (replicas, message) in [(fixed, both), (scaled, upside_down)] {
        assert_eq!(problems(json!({"workers": [replicas]})), [format!("spec.workers[0]{message}")]);
        assert_eq!(problems(json!({"serving": replicas})), [format!("spec.serving{message}")]);
    }
}

#[test]
fn expressions_that_would_close_the_parentheses_around_them_in_a_rule_are_refused() {
    let custom = |lag: &str| json!({"dependencies": [{"name": "own", "custom": {"lag": "up", "arrivals": lag}}]});
    assert_eq!(problems(custom("sum(rate(shop_orders_total[1m])) # per second")), Vec::<String>::new());
    assert_eq!(
        problems(custom("0) or (up")),
        [
            "spec.dependencies[0].custom.arrivals: it is not PromQL, unexpected right parenthesis ')': correct it, or, if it is \
          an extension of the metric source, record it with another rule and write the name of that series"
        ]
    );
}

#[test]
fn names_and_ports_of_pods_that_kubernetes_would_refuse_are_refused() {
    let pod = json!({
        "volumes": [{"name": "Shm_1", "emptyDir": {}}],
        "initContainers": [{
            "name": "proxy", "image": "p:1", "restartPolicy": "Always", "ports": [{"name": "admin", "containerPort": 9090}],
        }],
    });
    let mut object = stored(&minimal());
    object["spec"]["serving"]["metricsPort"] = 9090.into();
    object["spec"]["serving"]["pod"] = pod;
    let object: RecommenderModel = serde_json::from_value(object).expect("an object");
    let refused = Model::new(&object, Timestamp::UNIX_EPOCH).expect_err("two mistakes");
    let messages: Vec<_> = refused.iter().map(ToString::to_string).collect();
    let expected = [
        "spec.serving.pod.volumes[0].name: \"Shm_1\" is no name: write lower case letters, digits and -",
        "spec.serving.pod.initContainers[0].ports[0].containerPort: 9090 is also a port of the main container: choose another",
    ];
    assert_eq!(messages, expected);
}

#[test]
fn a_latency_target_that_the_metrics_cannot_show_is_refused() {
    let refused = |profile: &str, milliseconds: i32| {
        problems(json!({
            "serving": serving(json!({"maxReplicas": 3, "latency": {"targetMilliseconds": milliseconds}})),
            "monitoring": {"metrics": {"profile": profile}},
        }))
    };
    assert_eq!(
        refused("Triton", 75),
        [
            "spec.serving.autoscaling.latency: servers of the profile Triton have no histogram of it: write cpu in its place, or \
          expose the series of another profile"
        ]
    );
    assert_eq!(
        refused("OpenTelemetryLegacy", 10_000),
        ["spec.serving.autoscaling.latency.targetMilliseconds: 10000 is not below the largest bucket of \
          http_server_duration_milliseconds, 10000 ms, so that a higher latency would not be measured: write less"]
    );
    assert_eq!(
        refused("OpenTelemetryLegacy", 4),
        [
            "spec.serving.autoscaling.latency.targetMilliseconds: 4 is below the smallest bucket of http_server_duration_milliseconds, \
          5 ms, so that it could not be shown to be kept: write at least that"
        ]
    );
    assert_eq!(refused("OpenTelemetryLegacy", 5), [""; 0]);
    assert_eq!(refused("OpenTelemetryLegacy", 9_999), [""; 0]);
    assert_eq!(refused("FastApiInstrumentator", 59_999), [""; 0]);
}

#[test]
fn dependencies_that_nothing_is_recorded_of_and_a_critical_without_effect_are_warned_of() {
    let warnings = |dependencies: Value, monitoring: Value| {
        let of = model(json!({"dependencies": dependencies, "monitoring": monitoring})).warnings();
        of.iter().map(|warning| warning.problem.to_string()).collect::<Vec<_>>()
    };
    let [unrecorded] = &warnings(kafka("Burrow"), Value::Null)[..] else { panic!("one warning") };
    assert!(unrecorded.starts_with("spec.dependencies[0]: nothing is recorded of it without spec.monitoring: "));
    assert_eq!(warnings(kafka("Burrow"), monitoring()), [""; 0]);
    let labelled = |exporter: &str, label: &str| json!([{"name": "x", "exporter": {"name": exporter}, "matchLabels": {label: "y"}}]);
    for (exporter, label) in [("PostgresExporter", "datname"), ("MinIoV3", "bucket"), ("MongoDbExporter", "rs_nm")] {
        let [unmatched] = &warnings(labelled(exporter, label), monitoring())[..] else {
            panic!("one warning: {exporter}")
        };
        let begin = "spec.dependencies[0].matchLabels: the series that show whether the dependency is up do not have the label ";
        assert!(unmatched.starts_with(&format!("{begin}{label}, ")), "{unmatched}");
    }
    for (exporter, label) in
        [("PostgresExporter", "cluster"), ("PostgresExporter", "instance"), ("RedisExporter", "job")]
    {
        assert_eq!(warnings(labelled(exporter, label), monitoring()), [""; 0]);
    }
    let of = |exporter: &str| json!([{"name": "x", "critical": false, "exporter": {"name": exporter}}]);
    let [moot] = &warnings(of("DriftMonitor"), monitoring())[..] else { panic!("one warning") };
    assert!(moot.starts_with("spec.dependencies[0].critical: it has no effect, "), "{moot}");
    assert_eq!(warnings(of("PostgresExporter"), monitoring()), [""; 0]);
}

#[test]
fn an_object_may_change_every_alert_and_record_every_signal() {
    let schema = api::crd::schema();
    let fields = &schema["properties"]["spec"]["properties"]["monitoring"]["properties"];
    let most = |field: &str| fields[field]["maxProperties"].as_u64().expect("a bound");
    for (field, all) in [("alerts", catalog::embedded().alerts.len()), ("signals", Series::SIGNALS.len())] {
        assert!(most(field) >= all as u64, "at most {} {field} of {all}", most(field));
    }
}

#[test]
fn a_form_of_histograms_without_effect_is_refused() {
    let of = |metrics: Value| problems(json!({"monitoring": {"metrics": metrics}}));
    for form in ["Native", "Classic"] {
        let with = |profile: &str| of(json!({"profile": profile, "histograms": form}));
        assert_eq!(with("FastApiInstrumentator"), [""; 0]);
        assert_eq!(
            with("Triton"),
            ["spec.monitoring.metrics.histograms: servers of the profile Triton have no histogram: remove it"]
        );
    }
    assert_eq!(
        of(json!({"profile": "Custom", "histograms": "Native", "custom": {"requests": "a"}})),
        ["spec.monitoring.metrics.histograms: the expressions of custom have the form that you write: remove it"]
    );
}

#[test]
fn servers_without_a_histogram_may_follow_their_cpu() {
    let autoscaling = json!({"maxReplicas": 3, "cpu": {"targetUtilizationPercent": 70}});
    let spec = json!({
        "serving": {"image": "s", "autoscaling": autoscaling, "resources": {"requests": {"cpu": "1"}}},
        "monitoring": {"metrics": {"profile": "Triton"}},
    });
    assert_eq!(problems(spec), [""; 0]);
}

#[test]
fn changes_of_alerts_that_cannot_be_made_are_refused_with_what_to_write() {
    let of = |profile: &str, alerts: serde_json::Value| {
        problems(json!({"monitoring": {"metrics": {"profile": profile}, "alerts": alerts}}))
    };
    let fast_api = |alerts: serde_json::Value| of("FastApiInstrumentator", alerts);
    let refused = |name: &str, why: &str| vec![format!("spec.monitoring.alerts.{name}{why}")];
    for (name, threshold, why) in [
        ("RecommenderLatencyHigh", "1s", ".threshold: \"1s\" is no number of seconds: write for example \"1\""),
        ("RecommenderLatencyHigh", "inf", ".threshold: \"inf\" is no number of seconds: write for example \"1\""),
        ("RecommenderLagHigh", "1e-400", ".threshold: \"1e-400\" is no number of messages: write for example \"1000\""),
        ("RecommenderLatencyHigh", "", ".threshold: \"\" is no number of seconds: write for example \"1\""),
        (
            "RecommenderLatencyHigh",
            "60",
            ".threshold: 60 s is not below the largest bucket of http_request_duration_highr_seconds, 60000 ms, so that a higher \
             latency would not be measured: write less",
        ),
        ("RecommenderNoHealthyTarget", "1", ".threshold: it compares with none that can be changed: remove the field"),
    ] {
        assert_eq!(fast_api(json!({name: {"threshold": threshold}})), refused(name, why), "{threshold}");
    }
    let (ratio, seconds) = ("(ratio)", "(seconds)");
    for (name, threshold, unit, bounds) in [
        ("RecommenderErrorRatioHigh", json!("5"), ratio, "0.000001 to 0.999999"),
        ("RecommenderErrorRatioHigh", json!(1), ratio, "0.000001 to 0.999999"),
        ("RecommenderErrorRatioHigh", json!(0), ratio, "0.000001 to 0.999999"),
        ("RecommenderLatencyHigh", json!("-1"), seconds, "0.001 to 31536000"),
        ("RecommenderLatencyHigh", json!("0"), seconds, "0.001 to 31536000"),
        ("RecommenderReplicationLag", json!("31536001"), seconds, "0.001 to 31536000"),
        ("RecommenderLagHigh", json!("-0"), "(messages)", "0 to 1000000000000"),
    ] {
        let value = threshold.as_str().map_or_else(|| threshold.to_string(), str::to_owned);
        let why = format!(".threshold: with {value} {unit} the alert would fire always or never: write {bounds}");
        assert_eq!(fast_api(json!({name: {"threshold": threshold}})), refused(name, &why));
    }
    assert_eq!(
        fast_api(json!({"RecommenderLatenciesHigh": {"disabled": true}})),
        refused(
            "RecommenderLatenciesHigh",
            ": there is no such alert of objects; the most similar one is RecommenderLatencyHigh: write its name; docs/runbooks has a \
             page for each alert, also for those on the operator itself, which its chart has"
        )
    );
    assert_eq!(
        of("Triton", json!({"RecommenderLatencyHigh": {"threshold": "2"}})),
        refused(
            "RecommenderLatencyHigh",
            ".threshold: servers of the profile Triton have no histogram of the latency, so this alert is left out: remove it"
        )
    );
    let valid = json!({
        "RecommenderLatencyHigh": {"threshold": "0.25", "forSeconds": 60, "severity": "Critical"},
        "RecommenderLatencyP95High": {"threshold": 2},
        "RecommenderLagHigh": {"threshold": "0e9"},
        "RecommenderNoHealthyTarget": {"disabled": true},
    });
    assert_eq!(fast_api(valid), Vec::<String>::new());
}

#[test]
fn a_base_that_is_too_old_before_the_next_full_run_is_warned_of() {
    let warnings = |schedule: &str, hours: i64| {
        let partial = json!({"schedule": "*/15 * * * *", "maxBaseAgeHours": hours});
        let training = json!({"image": "t", "full": {"schedule": schedule}, "partial": partial});
        model(json!({"training": training})).warnings().len()
    };
    assert_eq!([24, 23].map(|hours| warnings("0 3 * * *", hours)), [0, 1]);
    assert_eq!([96, 48].map(|hours| warnings("0 3 * * 1,5", hours)), [0, 1], "from Friday to Monday are three days");
}

#[test]
fn an_objective_on_an_age_that_is_exceeded_before_the_next_run_is_warned_of() {
    let warnings = |schedules: [Option<&str>; 2], hours: i32| {
        let [full, partial] = schedules;
        let mut training = json!({"image": "t", "full": {"schedule": full}});
        if let Some(schedule) = partial {
            training["partial"] = json!({"schedule": schedule});
        }
        let fresh = json!({"name": "fresh", "goal": "99", "modelAge": {"maxHours": hours}});
        let monitoring = json!({"metrics": {"profile": "FastApiInstrumentator"}, "objectives": [fresh]});
        let found = model(json!({"training": training, "monitoring": monitoring})).warnings();
        found.into_iter().map(|of| of.problem.to_string()).collect::<Vec<_>>()
    };
    let daily = Some("0 3 * * *");
    assert_eq!(
        warnings([daily, None], 2),
        [
            "spec.monitoring.objectives[0].modelAge.maxHours: two runs by schedule are up to 24 h apart, so that the age is exceeded \
             before the next one: write more than that, and the hours that a run takes, or train more often"
        ]
    );
    assert_eq!([24, 25].map(|hours| warnings([daily, None], hours).len()), [1, 0]);
    assert_eq!(warnings([daily, Some("*/15 * * * *")], 2), [""; 0], "partial runs renew it");
    assert_eq!(warnings([None, None], 2), [""; 0], "runs are requested");
}
