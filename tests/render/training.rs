//! Jobs of trainings, and those that delete artifacts.

use super::*;

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
