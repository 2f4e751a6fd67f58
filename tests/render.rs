//! What the examples become, whole, so that every change of a child is seen in review.

mod merge;

use std::{
    collections::{BTreeMap, BTreeSet, HashSet},
    path::Path,
};

use k8s_openapi::apimachinery::pkg::apis::meta::v1::Time;
use recommender_operator::{
    api::{Base, RecommenderModel, TrainingKind, Trigger, Version},
    kinds::Kind,
    model::Model,
    promotion::route::Shares,
    pruning::NewPrune,
    render::{self, Decided},
    training::{NewBase, NewRun},
    validate,
};
use serde_json::{Value, json};

use merge::merge;

const NOW: &str = "2026-11-21T12:00:00Z";

fn model(file: &str, change: impl Fn(&mut Value)) -> Model {
    let path = Path::new(env!("CARGO_MANIFEST_DIR")).join("examples").join(file);
    let text = std::fs::read_to_string(&path).expect("the example exists");
    let mut documents = validate::documents(&text).expect("the example is YAML");
    let mut object = documents.remove(0).object;
    change(&mut object);
    assert_eq!(validate::validate(&object), [], "{file}");
    let object: RecommenderModel = serde_json::from_value(object).expect("the example is a RecommenderModel");
    Model::new(&object, NOW.parse().expect("an instant")).expect("the example is valid")
}

fn children(model: &Model) -> Vec<render::Child> {
    render::offline(model, NOW.parse().expect("an instant"))
}

#[test]
fn the_example_becomes_these_children() {
    let yaml = render::as_yaml(&children(&model("packages.yaml", |_| {}))).expect("YAML");
    insta::assert_snapshot!("packages", yaml);
}

#[test]
fn the_smallest_object_becomes_these_children() {
    let yaml = render::as_yaml(&children(&model("minimal.yaml", |_| {}))).expect("YAML");
    insta::assert_snapshot!("minimal", yaml);
}

#[test]
fn servers_that_keep_a_latency_become_these_children() {
    let yaml = render::as_yaml(&children(&model("latency.yaml", |_| {}))).expect("YAML");
    insta::assert_snapshot!("latency", yaml);
}

#[test]
fn workers_become_these_children() {
    let yaml = render::as_yaml(&children(&model("workers.yaml", |_| {}))).expect("YAML");
    insta::assert_snapshot!("workers", yaml);
}

#[test]
fn pods_of_production_become_these_children() {
    let yaml = render::as_yaml(&children(&model("production.yaml", |_| {}))).expect("YAML");
    insta::assert_snapshot!("production", yaml);
}

/// Scalars of a value with the name of the field that they are in.
fn scalars(name: &str, value: &Value, found: &mut Vec<(String, Value)>) {
    match value {
        Value::Object(fields) => fields.iter().for_each(|(name, value)| scalars(name, value, found)),
        Value::Array(values) => values.iter().for_each(|value| scalars(name, value, found)),
        scalar => found.push((name.to_owned(), scalar.clone())),
    }
}

#[test]
fn every_setting_of_pods_is_rendered() {
    /// Fields that are rendered by another name: the types of probes, and what becomes part of another field.
    const RENAMED: [&str; 7] =
        ["type", "exec", "grpcService", "omitFsGroup", "sleepSeconds", "port", "storageClassName"];
    let cases: Value = serde_saphyr::from_str(include_str!("bad_input/cases.yaml")).expect("YAML");
    let valid = cases["valid"].as_array().expect("valid objects").iter().map(|valid| &valid["object"]["spec"]);
    let every = valid.max_by_key(|spec| spec["serving"]["pod"].to_string().len()).expect("an object");
    let pod = &every["serving"]["pod"];
    let model = model("workers.yaml", |object| {
        object["spec"]["artifacts"] = json!({"persistentVolumeClaim": {"claimName": "models"}});
        object["spec"]["serving"]["pod"] = pod.clone();
        object["spec"]["workers"][2]["pod"] = pod.clone();
        object["spec"]["training"]["pod"] = pod.clone();
        let probes = object["spec"]["training"]["pod"]["probes"].as_array_mut().expect("probes");
        probes.retain(|probe| probe["type"] != "Readiness");
    });
    let children = children(&model);
    for (kind, name) in
        [(Kind::Deployment, "shop-serving"), (Kind::Deployment, "shop-worker-mails"), (Kind::Job, "shop-full")]
    {
        let child = children.iter().find(|child| child.kind == kind && child.name.starts_with(name)).expect("rendered");
        let (mut asked, mut rendered) = (Vec::new(), Vec::new());
        scalars("", pod, &mut asked);
        scalars("", &child.object["spec"]["template"], &mut rendered);
        let missing: Vec<_> = asked
            .iter()
            .filter(|(name, value)| {
                !RENAMED.contains(&name.as_str()) && !rendered.contains(&(name.clone(), value.clone()))
            })
            .collect();
        // A trainer has no readiness probe; a sidecar's is the same.
        assert!(missing.is_empty(), "{name}: {missing:?}");
    }
}

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
fn on_openshift_no_group_is_set_and_a_named_account_replaces_ours() {
    let model = model("minimal.yaml", |object| {
        object["spec"]["serving"]["pod"] =
            json!({"securityContext": {"omitFsGroup": true}, "serviceAccountName": "shop"});
    });
    let children = children(&model);
    let deployment = children.iter().find(|child| child.kind == Kind::Deployment).expect("a Deployment");
    let spec = &deployment.object["spec"]["template"]["spec"];
    let security = &spec["securityContext"];
    assert_eq!((&security["fsGroup"], &security["fsGroupChangePolicy"]), (&Value::Null, &Value::Null), "{security}");
    assert_eq!(spec["serviceAccountName"], "shop");
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
fn requests_of_all_probes_of_servers_are_no_load() {
    let model = model("latency.yaml", |object| {
        object["spec"]["serving"]["pod"] = json!({"probes": [{"type": "Readiness", "path": "/ready"}]});
    });
    let rules = children(&model).into_iter().find(|child| child.kind == Kind::PrometheusRule).expect("rules");
    let rules = rules.object.to_string();
    assert!(rules.contains("/ready") && rules.contains("/health"), "{rules}");
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

#[test]
fn settings_of_its_pod_are_part_of_what_a_run_that_cannot_start_is_replaced_for() {
    let of = |model: &Model| render::training_template(model, TrainingKind::Full);
    let template = |pod: Value| of(&model("minimal.yaml", |object| object["spec"]["training"]["pod"] = pod.clone()));
    let plain = template(json!({}));
    assert_eq!(plain, template(json!({"labels": {}, "volumes": []})));
    assert_ne!(plain, template(json!({"tolerations": [{"key": "gpu", "operator": "Exists"}]})));
    assert_ne!(plain, template(json!({"labels": {"team": "search"}})), "a policy may demand it");
    let with_secret =
        model("minimal.yaml", |object| object["spec"]["imagePullSecrets"] = json!([{"name": "registry"}]));
    assert_ne!(plain, of(&with_secret));
}

#[test]
fn pull_secrets_are_in_every_pod_and_not_in_the_account_which_others_edit() {
    let model = model("workers.yaml", |object| object["spec"]["imagePullSecrets"] = json!([{"name": "registry"}]));
    let secrets = json!([{"name": "registry"}]);
    for child in children(&model) {
        let object = &child.object;
        match child.kind {
            Kind::ServiceAccount => assert!(object["imagePullSecrets"].is_null(), "{object}"),
            Kind::Job | Kind::Deployment => {
                assert_eq!(object["spec"]["template"]["spec"]["imagePullSecrets"], secrets, "{}", child.name);
            }
            _ => {}
        }
    }
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
fn a_bucket_becomes_environment_variables_and_no_volume() {
    let model = model("minimal.yaml", |object| {
        object["spec"]["artifacts"] = json!({"s3": {
            "uri": "s3://models/packages/", "endpoint": "http://s3.data:9000", "region": "eu-north-1",
            "credentialsSecret": {"name": "packages-s3"},
        }});
    });
    let yaml = render::as_yaml(&children(&model)).expect("YAML");
    insta::assert_snapshot!("s3", yaml);
}

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
fn the_same_object_gives_the_same_hashes_and_another_one_does_not() {
    let hashes = |model: &Model| -> Vec<String> { children(model).into_iter().map(|child| child.hash).collect() };
    let packages = || model("packages.yaml", |_| {});
    assert_eq!(hashes(&packages()), hashes(&packages()));
    let more_time = model("packages.yaml", |object| object["spec"]["serving"]["terminationGraceSeconds"] = 45.into());
    let differing = hashes(&packages()).iter().zip(hashes(&more_time)).filter(|(a, b)| *a != b).count();
    assert_eq!(differing, 1, "only the Deployment changes");
}

#[test]
fn no_two_children_share_kind_and_name() {
    for file in ["packages.yaml", "workers.yaml"] {
        let children = children(&model(file, |_| {}));
        let names: HashSet<_> = children.iter().map(|child| (child.kind, child.name.as_str())).collect();
        assert_eq!(names.len(), children.len(), "{file}");
    }
}

/// The children of every example, by file.
fn of_examples() -> Vec<(String, Vec<render::Child>)> {
    let directory = Path::new(env!("CARGO_MANIFEST_DIR")).join("examples");
    let files = std::fs::read_dir(directory).expect("there are examples");
    let names = files.map(|file| file.expect("the directory can be read").file_name().into_string().expect("UTF-8"));
    let names = names.filter(|name| Path::new(name).extension().is_some_and(|extension| extension == "yaml"));
    names.map(|name| (name.clone(), children(&model(&name, |_| {})))).collect()
}

#[test]
fn every_kind_is_rendered_for_an_example() {
    let examples = of_examples();
    let rendered: BTreeSet<Kind> = examples.iter().flat_map(|(_, children)| children).map(|child| child.kind).collect();
    let missing: Vec<Kind> = Kind::ALL.into_iter().filter(|kind| !rendered.contains(kind)).collect();
    assert!(
        missing.is_empty(),
        "add these to `children` in src/render/mod.rs, and what they need to an example: {missing:?}"
    );
}

#[test]
fn an_object_comes_after_those_that_it_refers_to() {
    let mut references = 0;
    for (file, children) in of_examples() {
        for (index, child) in children.iter().enumerate() {
            for (path, kind) in [
                ("/spec/template/spec/serviceAccountName", Kind::ServiceAccount),
                ("/spec/scaleTargetRef/name", Kind::Deployment),
                ("/spec/rules/0/backendRefs/0/name", Kind::Service),
                ("/spec/rules/0/backendRefs/1/name", Kind::Service),
            ] {
                let Some(name) = child.object.pointer(path) else { continue };
                let place = children.iter().position(|other| other.kind == kind && *name == *other.name);
                assert!(place.is_some_and(|place| place < index), "{file}: {:?} before {kind:?} {name}", child.kind);
                references += 1;
            }
        }
    }
    assert!(references > 10, "only {references} references were found");
}

/// The rules of the chart, without the template around them.
fn permissions() -> Vec<Value> {
    let text = include_str!("../charts/recommender-operator/templates/_rules.tpl");
    let (_, rules) = text.split_once("\"recommender-operator.rules\" -}}").expect("the rules are defined");
    let (rules, _) = rules.split_once("{{- end -}}").expect("the definition ends");
    // Those that values ask for as well.
    let rules: Vec<&str> = rules.lines().filter(|line| !line.starts_with("{{-")).collect();
    serde_saphyr::from_str(&rules.join("\n")).expect("rules are YAML")
}

#[test]
fn the_operator_may_read_and_write_every_kind_and_delete_what_it_deletes() {
    let permissions = permissions();
    let lists = |list: &Value, text: &str| list.as_array().is_some_and(|list| list.iter().any(|entry| entry == text));
    let may = |kind: &Kind, verb: &str| {
        let resource = kind.resource();
        permissions.iter().any(|rule| {
            lists(&rule["apiGroups"], &resource.group)
                && lists(&rule["resources"], &resource.plural)
                && lists(&rule["verbs"], verb)
        })
    };
    let needed = ["get", "list", "watch", "create", "patch"];
    let lacks = |kind: &Kind| !needed.iter().all(|verb| may(kind, verb)) || may(kind, "delete") != kind.is_deleted();
    let wrong: Vec<Kind> = Kind::ALL.into_iter().filter(lacks).collect();
    assert!(wrong.is_empty(), "the chart's templates/_rules.tpl has not the permissions that {wrong:?} need");
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
    let named = |child: &&render::Child| child.kind == Kind::HorizontalPodAutoscaler && child.name == EVENTS;
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

/// The first training Job of the smallest object, with these settings of the training.
fn job_with(training: Value) -> Value {
    let model = model("minimal.yaml", |object| merge(&mut object["spec"]["training"], &training));
    children(&model).into_iter().find(|child| child.kind == Kind::Job).expect("a Job").object
}

#[test]
fn the_settings_of_a_job_become_its_fields_and_none_of_them_is_a_reason_to_train_anew() {
    let plain = job_with(json!({}));
    let job = job_with(json!({
        "startingDeadlineSeconds": 600, "jitterSeconds": 900, "successfulJobsHistoryLimit": 1, "failedJobsHistoryLimit": 2,
        "job": {"ttlSecondsAfterFinished": 3600, "queueName": "gpus"},
    }));
    let template = |job: &Value| job["metadata"]["annotations"]["recommender.dev/training-template"].clone();
    assert!(template(&plain).is_string());
    assert_eq!(template(&job), template(&plain));
    assert_eq!(job["metadata"]["labels"]["kueue.x-k8s.io/queue-name"], "gpus");
    let labelled = job_with(json!({
        "pod": {"labels": {"team": "search"}, "annotations": {"example.org/cost": "7"}},
        "job": {"queueName": "gpus"},
    }));
    assert_eq!(labelled["metadata"]["labels"]["team"], "search");
    assert_eq!(labelled["metadata"]["labels"]["kueue.x-k8s.io/queue-name"], "gpus");
    assert_eq!(labelled["metadata"]["annotations"]["example.org/cost"], "7");
    assert_eq!((&job["spec"]["suspend"], &job["spec"]["ttlSecondsAfterFinished"]), (&json!(true), &json!(3600)));
    assert_eq!(job["spec"]["template"], plain["spec"]["template"]);
    assert_eq!((&plain["spec"]["suspend"], &plain["spec"]["completions"]), (&Value::Null, &Value::Null));
    assert_ne!(
        template(&job_with(json!({"job": {"completions": 2}}))),
        template(&plain),
        "other trainers, another result"
    );
}

#[test]
fn distributed_trainers_find_the_first_of_them_by_a_headless_service() {
    let model = model("minimal.yaml", |object| {
        merge(&mut object["spec"]["training"], &json!({"job": {"completions": 4, "parallelism": 2}}));
    });
    let children = children(&model);
    let job = &children.iter().find(|child| child.kind == Kind::Job).expect("a Job").object;
    let services: Vec<_> = children.iter().filter(|child| child.kind == Kind::Service).collect();
    let service = &services.iter().find(|service| service.name.ends_with("-trainers")).expect("a Service").object;
    let spec = &job["spec"];
    assert_eq!((&spec["completions"], &spec["parallelism"]), (&json!(4), &json!(2)));
    assert_eq!(spec["completionMode"], "Indexed");
    let pod = &spec["template"]["spec"];
    assert_eq!(pod["subdomain"], service["metadata"]["name"]);
    assert_eq!(service["spec"]["clusterIP"], "None");
    for (name, value) in service["spec"]["selector"].as_object().expect("labels") {
        assert_eq!(spec["template"]["metadata"]["labels"][name], *value);
    }
    let env = pod["containers"][0]["env"].as_array().expect("a list");
    let leader = env.iter().find(|variable| variable["name"] == "RECOMMENDER_LEADER_HOST").expect("a variable");
    let name = |object: &Value| object["metadata"]["name"].as_str().expect("a name").to_owned();
    assert_eq!(leader["value"], format!("{}-0.{}", name(job), name(service)));
    assert_eq!(services.len(), 2);
}

/// The Job of a run of a kind.
fn job_of(model: &Model, kind: TrainingKind) -> Value {
    let base = Base {
        version: "partial-20261121-1145".into(),
        full: "full-20261121-0300".into(),
        full_trained_at: Time(at("2026-11-21T04:00:00Z")),
        data_from: Time(at("2026-11-21T11:45:00Z")),
    };
    let base = NewBase { base, uri: "file:///artifacts/x/model".into(), digest: "sha256:0a".into() };
    let run = NewRun {
        version: "partial-20261121-1200".into(),
        kind,
        trigger: Trigger::Schedule,
        due: at(NOW),
        request: None,
        cause: None,
        base: (kind == TrainingKind::Partial).then_some(base),
    };
    let children = render::children(model, &Decided { train: Some(&run), ..Decided::default() });
    children.into_iter().find(|child| child.kind == Kind::Job).expect("a Job").object
}

fn at(text: &str) -> jiff::Timestamp {
    text.parse().expect("an instant")
}

#[test]
fn a_partial_run_has_settings_of_its_own_and_names_its_base_and_its_data() {
    let model = model("minimal.yaml", |object| {
        let training = json!({
            "job": {"completions": 4},
            "env": [{"name": "A", "value": "1"}, {"name": "B", "value": "2"}],
            "resources": {"requests": {"cpu": "4"}},
            "partial": {
                "image": "example.org/small:1", "args": ["train", "--partial"], "env": [{"name": "B", "value": "3"}],
                "resources": {"requests": {"cpu": "100m"}}, "deadlineSeconds": 60, "backoffLimit": 0,
            },
        });
        merge(&mut object["spec"]["training"], &training);
    });
    let job = job_of(&model, TrainingKind::Partial);
    let spec = &job["spec"];
    assert_eq!(
        (&spec["activeDeadlineSeconds"], &spec["backoffLimit"], &spec["completions"]),
        (&json!(60), &json!(0), &Value::Null)
    );
    let trainer = &spec["template"]["spec"]["containers"][0];
    assert_eq!((&trainer["image"], &trainer["args"]), (&json!("example.org/small:1"), &json!(["train", "--partial"])));
    assert_eq!(trainer["resources"], json!({"requests": {"cpu": "100m"}}));
    let variables = |job: &Value| -> BTreeMap<String, String> {
        let env = job["spec"]["template"]["spec"]["containers"][0]["env"].as_array().expect("a list").clone();
        let text = |value: &Value| value.as_str().unwrap_or_default().to_owned();
        env.iter().map(|variable| (text(&variable["name"]), text(&variable["value"]))).collect()
    };
    let given = variables(&job);
    for (name, value) in [
        ("RECOMMENDER_KIND", "Partial"),
        ("RECOMMENDER_BASE_VERSION", "partial-20261121-1145"),
        ("RECOMMENDER_BASE_URI", "file:///artifacts/x/model"),
        ("RECOMMENDER_BASE_DIGEST", "sha256:0a"),
        ("RECOMMENDER_DATA_FROM", "2026-11-21T11:45:00Z"),
        ("RECOMMENDER_DATA_TO", NOW),
        ("A", "1"),
        ("B", "3"),
    ] {
        assert_eq!(given.get(name).map(String::as_str), Some(value), "{name}");
    }
    let full = job_of(&model, TrainingKind::Full);
    assert_eq!((&full["spec"]["completions"], variables(&full)["B"].as_str()), (&json!(4), "2"));
    assert!(
        variables(&full)
            .keys()
            .all(|name| !name.starts_with("RECOMMENDER_BASE") && !name.starts_with("RECOMMENDER_DATA"))
    );
    assert_eq!(full["metadata"]["annotations"].get("recommender.dev/base"), None);
}

#[test]
fn what_deletes_artifacts_is_a_pod_like_that_of_a_trainer_with_arguments_of_its_own() {
    let model = model("minimal.yaml", |object| {
        let training = json!({
            "env": [{"name": "A", "value": "1"}], "pod": {"nodeSelector": {"disk": "fast"}},
            "resources": {"limits": {"nvidia.com/gpu": 1}}, "metrics": {"port": 9091},
            "prune": {"command": ["python3"], "args": ["prune"]},
        });
        merge(&mut object["spec"]["training"], &training);
    });
    let uri = |id: &str| format!("s3://models/shop/minimal/{id}");
    let versions = vec![("full-1".to_owned(), uri("full-1")), ("partial-2".to_owned(), uri("partial-2"))];
    let prune = NewPrune { job: "minimal-prune-3".into(), versions };
    let child = |model: &Model| {
        let children = render::children(model, &Decided { prune: Some(&prune), ..Decided::default() });
        children.into_iter().find(|child| child.kind == Kind::Job)
    };
    let found = child(&model).expect("a Job");
    assert_eq!(found.name, "minimal-prune-3");
    assert_eq!(found.object["metadata"]["annotations"]["recommender.dev/prune"], json!("full-1 partial-2"));
    for of in [&found.object["metadata"], &found.object["spec"]["template"]["metadata"]] {
        assert_eq!(of["labels"]["app.kubernetes.io/component"], "prune", "it is no trainer");
    }
    assert_eq!(found.object["metadata"]["annotations"]["recommender.dev/training-template"], Value::Null, "no run");
    let (spec, of_run) = (&found.object["spec"], job_of(&model, TrainingKind::Full));
    assert_eq!((&spec["backoffLimit"], &spec["activeDeadlineSeconds"]), (&json!(0), &json!(3600)));
    let (pod, trainer) = (&spec["template"]["spec"], &of_run["spec"]["template"]["spec"]);
    for field in ["serviceAccountName", "volumes", "nodeSelector", "securityContext", "restartPolicy"] {
        assert_eq!(pod[field], trainer[field], "{field}");
    }
    let container = &pod["containers"][0];
    for field in ["image", "volumeMounts", "securityContext"] {
        assert_eq!(container[field], trainer["containers"][0][field], "{field}");
    }
    assert_eq!((&container["command"], &container["args"]), (&json!(["python3"]), &json!(["prune"])));
    assert_eq!(container["resources"]["limits"], json!({"memory": "1Gi"}), "no GPU for a deletion");
    assert_eq!(container["ports"], Value::Null);
    let variable = |name: &str| {
        let env = container["env"].as_array().expect("a list");
        env.iter().find(|variable| variable["name"] == name).map(|variable| variable["value"].clone())
    };
    assert_eq!(variable("A"), Some(json!("1")));
    assert_eq!(variable("RECOMMENDER_KIND"), Some(json!("Prune")));
    assert_eq!(variable("RECOMMENDER_PRUNE_VERSIONS"), Some(json!("full-1 partial-2")));
    assert_eq!(variable("RECOMMENDER_PRUNE_URIS"), Some(json!(format!("{} {}", uri("full-1"), uri("partial-2")))));
    assert_eq!(
        (variable("RECOMMENDER_VERSION"), variable("RECOMMENDER_OUTPUT_URI")),
        (None, None),
        "it trains nothing"
    );
    let mut without = model;
    without.training.prune = None;
    assert_eq!(child(&without), None);
}

#[test]
fn a_partial_run_has_the_settings_of_the_full_one_where_it_has_none() {
    let model = model("minimal.yaml", |object| {
        merge(&mut object["spec"]["training"], &json!({"partial": {}, "resources": {"requests": {"cpu": "4"}}}));
    });
    let [partial, full] = [TrainingKind::Partial, TrainingKind::Full].map(|kind| job_of(&model, kind));
    let trainer = |job: &Value| job["spec"]["template"]["spec"]["containers"][0].clone();
    for field in ["image", "resources"] {
        assert_eq!(trainer(&partial)[field], trainer(&full)[field], "{field}");
    }
    assert_ne!(
        render::training_template(&model, TrainingKind::Partial),
        render::training_template(&model, TrainingKind::Full)
    );
}

#[test]
fn the_base_of_a_job_is_read_back_as_it_was_written() {
    let model = model("minimal.yaml", |object| object["spec"]["training"]["partial"] = json!({}));
    let job = job_of(&model, TrainingKind::Partial);
    let text = job["metadata"]["annotations"]["recommender.dev/base"].as_str().expect("the base");
    let base: Base = serde_json::from_str(text).expect("JSON");
    assert_eq!((base.version.as_str(), base.full.as_str()), ("partial-20261121-1145", "full-20261121-0300"));
    assert_eq!(base.data_from.0, at("2026-11-21T11:45:00Z"));
}

#[test]
fn a_disrupted_trainer_is_no_failed_attempt_and_never_replaced_before_it_has_ended() {
    let spec = &job_with(json!({}))["spec"];
    assert_eq!(spec["podReplacementPolicy"], "Failed");
    let disrupted = json!([{"action": "Ignore", "onPodConditions": [{"type": "DisruptionTarget", "status": "True"}]}]);
    assert_eq!(spec["podFailurePolicy"]["rules"], disrupted);
    assert_eq!(spec["template"]["spec"]["restartPolicy"], "Never", "which the policy requires");
}

#[test]
fn nothing_is_overdue_while_training_is_suspended() {
    let period = |suspend: bool| {
        let model = model("packages.yaml", |object| object["spec"]["training"]["suspend"] = suspend.into());
        let groups = render::children(&model, &Decided::default()).into_iter();
        let rules =
            groups.filter(|child| child.kind == Kind::PrometheusRule).map(|child| child.object).collect::<Vec<_>>();
        let rules = rules.iter().flat_map(|object| object["spec"]["groups"].as_array()).flatten();
        let mut rules = rules.flat_map(|group| group["rules"].as_array()).flatten();
        let rule = rules.find(|rule| rule["record"] == "recommender:training_period_seconds").expect("a rule");
        rule["expr"].clone()
    };
    assert_ne!(period(false), "vector(0)");
    assert_eq!(period(true), "vector(0)");
}

/// The children of the smallest object, with these settings of the servers.
fn served_with(serving: Value) -> Vec<render::Child> {
    children(&model("minimal.yaml", |object| merge(&mut object["spec"]["serving"], &serving)))
}

fn of_kind(children: &[render::Child], kind: Kind) -> &Value {
    &children.iter().find(|child| child.kind == kind).expect("it is rendered").object
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
    let spec = |children: &[render::Child]| of_kind(children, Kind::Deployment)["spec"].clone();
    let update = |children: &[render::Child]| spec(children)["strategy"]["rollingUpdate"].clone();
    assert_eq!(update(&by_default), json!({"maxSurge": "25%", "maxUnavailable": 0}));
    assert_eq!(update(&in_place), json!({"maxSurge": 0, "maxUnavailable": 1}), "a text is a percentage");
    assert_eq!(update(&served_with(json!({"strategy": {"maxUnavailable": "50%"}})))["maxSurge"], "25%");
    assert_eq!(spec(&in_place)["minReadySeconds"], 30);
    let deadline = |children: &[render::Child]| spec(children)["progressDeadlineSeconds"].as_i64().expect("a number");
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

/// The container of the servers and the volumes of their pods, and the URI of the first version.
fn with_artifacts(artifacts: Value) -> (Value, Value, String) {
    let model = model("minimal.yaml", |object| object["spec"]["artifacts"] = artifacts.clone());
    let children = children(&model);
    let pod = &of_kind(&children, Kind::Deployment)["spec"]["template"]["spec"];
    let container = pod["containers"][0].clone();
    let uri = variable(&container, "RECOMMENDER_MODEL_URI")["value"].as_str().expect("a URI").to_owned();
    (container, pod["volumes"].clone(), uri)
}

fn variable(container: &Value, name: &str) -> Value {
    let env = container["env"].as_array().expect("a list");
    env.iter().find(|variable| variable["name"] == name).cloned().unwrap_or_default()
}

#[test]
fn a_bucket_needs_no_secret_and_has_certificates_of_its_own() {
    let ca = json!({"configMapKeyRef": {"name": "company-ca", "key": "ca.pem"}});
    let (container, volumes, _) = with_artifacts(json!({"s3": {"uri": "s3://models", "ca": ca, "pathStyle": true}}));
    assert_eq!(variable(&container, "AWS_ACCESS_KEY_ID"), Value::Null);
    assert_eq!(variable(&container, "RECOMMENDER_S3_PATH_STYLE")["value"], "true");
    let mount = container["volumeMounts"].as_array().expect("mounts").last().expect("a mount").clone();
    let file = format!("{}/ca.crt", mount["mountPath"].as_str().expect("a path"));
    assert_eq!(variable(&container, "AWS_CA_BUNDLE")["value"], file);
    let volume = volumes.as_array().expect("volumes").last().expect("a volume").clone();
    assert_eq!((&volume["name"], &volume["configMap"]["name"]), (&mount["name"], &json!("company-ca")));
    assert_eq!(volume["configMap"]["items"], json!([{"key": "ca.pem", "path": "ca.crt"}]));

    let temporary = json!({"s3": {"uri": "s3://models", "credentialsSecret": {"name": "sts"}, "sessionToken": true}});
    let token = variable(&with_artifacts(temporary).0, "AWS_SESSION_TOKEN");
    assert_eq!(token["valueFrom"]["secretKeyRef"], json!({"name": "sts", "key": "AWS_SESSION_TOKEN"}));
}

#[test]
fn init_containers_and_sidecars_reach_the_bucket_as_the_main_container_does() {
    let model = model("minimal.yaml", |object| {
        object["spec"]["artifacts"] = json!({"s3": {
            "uri": "s3://models", "endpoint": "http://s3.data:9000", "region": "eu-north-1", "pathStyle": true,
            "credentialsSecret": {"name": "s3"}, "ca": {"configMapKeyRef": {"name": "company-ca", "key": "ca.pem"}},
        }});
        let containers = json!([
            {"name": "fetch", "image": "i", "env": [{"name": "AWS_REGION", "value": "us-east-1"}]},
            {"name": "reload", "image": "i", "restartPolicy": "Always"},
        ]);
        object["spec"]["serving"]["pod"] = json!({"initContainers": containers});
    });
    let children = children(&model);
    let pod = &of_kind(&children, Kind::Deployment)["spec"]["template"]["spec"];
    let [main, fetch, reload] = [&pod["containers"][0], &pod["initContainers"][0], &pod["initContainers"][1]];
    assert_eq!((&reload["env"], &reload["volumeMounts"]), (&main["env"], &main["volumeMounts"]));
    assert_eq!(variable(fetch, "AWS_REGION")["value"], "us-east-1", "its own settings take precedence");
    assert_eq!(fetch["env"].as_array().map(Vec::len), main["env"].as_array().map(Vec::len));
}

#[test]
fn versions_in_other_clouds_are_below_their_uri_and_need_nothing_else() {
    for (artifacts, start) in [
        (json!({"gcs": {"uri": "gs://models/packages/"}}), "gs://models/packages/default/minimal/full-"),
        (json!({"azure": {"uri": "az://models"}}), "az://models/default/minimal/full-"),
    ] {
        let (container, volumes, uri) = with_artifacts(artifacts);
        assert!(uri.starts_with(start), "{uri}");
        assert!(!container["env"].to_string().contains("AWS_"));
        assert_eq!(volumes.as_array().map(Vec::len), Some(1), "only /tmp");
    }
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
        let is_it = |child: &&render::Child| child.kind == Kind::HorizontalPodAutoscaler && child.name == name;
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

#[test]
fn a_canary_is_a_deployment_of_its_own_behind_the_same_service() {
    let model = model("latency.yaml", |_| {});
    let versions: Vec<_> = ["full-1", "full-2"].map(version).into();
    let replicas = BTreeMap::from([(format!("{}-serving", model.identity.base), 2)]);
    let decided =
        |canary| Decided { serve: Some(&versions[0]), canary, replicas: replicas.clone(), ..Decided::default() };
    let children = render::children(&model, &decided(Some((&versions[1], 3))));
    let without = render::children(&model, &decided(None));
    let find = |children: &[render::Child], kind: Kind, name: &str| -> Value {
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
    let down = |children: &[render::Child]| {
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
    let find = |children: &[render::Child], kind: Kind, name: &str| -> Option<Value> {
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
