//! Settings of pods, and how they reach the artifacts.

use super::*;

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
    let cases: Value = serde_saphyr::from_str(include_str!("../bad_input/cases.yaml")).expect("YAML");
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
