use serde_json::{Value, json};

use super::tests::problems;

/// The problems of these settings of the servers' pods.
fn of_servers(pod: Value) -> Vec<String> {
    problems(json!({"serving": {"image": "s", "pod": pod}}))
}

#[test]
fn references_to_nothing_and_names_that_are_taken_are_refused() {
    let tmp = || json!([{"name": "a", "emptyDir": {}}]);
    for (pod, message) in [
        (
            json!({"volumeMounts": [{"name": "b", "mountPath": "/b"}], "volumes": tmp()}),
            "volumeMounts[0].name: there is no \"b\" among spec.serving.pod.volumes: write the name of one, or add it",
        ),
        (
            json!({"initContainers": [{"name": "i", "image": "i", "volumeMounts": [{"name": "b", "mountPath": "/b"}]}]}),
            "initContainers[0].volumeMounts[0].name: there is no \"b\" among spec.serving.pod.volumes: write the name of one, or add it",
        ),
        (
            json!({"volumes": [{"name": "tmp", "emptyDir": {}}]}),
            "volumes[0].name: \"tmp\" is a volume of the operator: set spec.serving.pod.tmp to change /tmp, or choose another name",
        ),
        (
            json!({"volumes": [{"name": "artifacts", "emptyDir": {}}]}),
            "volumes[0].name: \"artifacts\" is a volume of the operator: choose another name",
        ),
        (
            json!({"volumes": tmp(), "volumeMounts": [{"name": "a", "mountPath": "/artifacts/"}]}),
            "volumeMounts[0].mountPath: /artifacts is the operator's: mount the volume elsewhere",
        ),
        (
            json!({"volumes": tmp(), "volumeMounts": [{"name": "a", "mountPath": "/tmp"}]}),
            "volumeMounts[0].mountPath: /tmp is the operator's: mount the volume elsewhere",
        ),
        (
            json!({"volumes": tmp(), "volumeMounts": [{"name": "a", "mountPath": "data"}]}),
            "volumeMounts[0].mountPath: \"data\" is no absolute path: write one that starts with /",
        ),
        (
            json!({"initContainers": [{"name": "i", "image": "i", "ports": [{"name": "a", "containerPort": 1}]}]}),
            "initContainers[0]: only sidecars have ports and probes: write restartPolicy: Always, or remove them",
        ),
        (
            json!({"initContainers": [
                {"name": "i", "image": "i", "restartPolicy": "Always", "ports": [{"name": "http", "containerPort": 1}]},
            ]}),
            "initContainers[0].ports[0].name: \"http\" is a port of the operator: choose another name",
        ),
        (
            json!({"initContainers": [
                {"name": "i", "image": "i", "restartPolicy": "Always", "ports": [{"name": "a", "containerPort": 8000}]},
            ]}),
            "initContainers[0].ports[0].containerPort: 8000 is also a port of the main container: choose another",
        ),
        (
            json!({"volumes": tmp(), "volumeMounts": [{"name": "a", "mountPath": "/artifacts/mine/"}]}),
            "volumeMounts[0].mountPath: /artifacts/mine is below /artifacts, which is the operator's: mount the volume elsewhere",
        ),
        (
            json!({"volumes": tmp(), "initContainers": [
                {"name": "i", "image": "i", "volumeMounts": [{"name": "a", "mountPath": "/etc/recommender/artifacts-ca"}]},
            ]}),
            "initContainers[0].volumeMounts[0].mountPath: /etc/recommender/artifacts-ca is the operator's: mount the volume elsewhere",
        ),
        (
            json!({"tolerations": [{"key": "a b", "operator": "Exists"}]}),
            "tolerations[0].key: \"a b\" is no key of a label: write a key like dedicated or example.org/zone",
        ),
    ] {
        assert_eq!(of_servers(pod), [format!("spec.serving.pod.{message}")]);
    }
}

#[test]
fn values_that_the_api_server_would_refuse_in_a_pod_are_refused() {
    let mounts = |mounts: Value| json!({"volumes": [{"name": "a", "emptyDir": {}}], "volumeMounts": mounts});
    let sidecar = |port: &str| {
        let ports = json!([{"name": port, "containerPort": 9000}]);
        json!({"initContainers": [{"name": "i", "image": "i", "restartPolicy": "Always", "ports": ports}]})
    };
    let node = |operator: &str, values: Value| json!({"affinity": {"node": [{"matchExpressions": [{"key": "a", "operator": operator, "values": values}]}]}});
    let is_no_port = "is no name: write at most 15 lower case letters, digits and single -, with a letter";
    for (pod, message) in [
        (json!({"tolerations": [{"key": "a", "value": "x y"}]}), "tolerations[0].value: no taint has the value \"x y\": write letters, digits, -, _ and .".into()),
        (node("Gt", json!(["1", "2"])), "affinity.node[0].matchExpressions[0].values: Gt compares with one whole number: write one value".into()),
        (node("Lt", json!(["many"])), "affinity.node[0].matchExpressions[0].values: Lt compares with one whole number: write one value".into()),
        (
            node("In", json!(["x y"])),
            "affinity.node[0].matchExpressions[0].values: no label has the value \"x y\": write letters, digits, -, _ and .".into(),
        ),
        (
            json!({"affinity": {"antiPod": [{"topologyKey": "z", "matchLabels": {"a": "x y"}}]}}),
            "affinity.antiPod[0].matchLabels.a: no label has the value \"x y\": write letters, digits, -, _ and .".into(),
        ),
        (
            json!({"topologySpreadConstraints": [
                {"topologyKey": "z"}, {"topologyKey": "z", "whenUnsatisfiable": "ScheduleAnyway"},
            ]}),
            "topologySpreadConstraints[1]: \"z\" with ScheduleAnyway is there twice: remove one".into(),
        ),
        (json!({"priorityClassName": "Bad Name"}), "priorityClassName: \"Bad Name\" is no name: write lower case letters, digits, and between them - and single .".into()),
        (json!({"runtimeClassName": "N vidia"}), "runtimeClassName: \"N vidia\" is no name: write lower case letters, digits, and between them - and single .".into()),
        (
            mounts(json!([{"name": "a", "mountPath": "/m", "subPath": "../x"}])),
            "volumeMounts[0].subPath: \"../x\" leaves the volume: write a path without / at its beginning and without ..".into(),
        ),
        (
            mounts(json!([{"name": "a", "mountPath": "/m"}, {"name": "a", "mountPath": "/m/"}])),
            "volumeMounts[1].mountPath: \"/m/\" is mounted twice: mount one of them elsewhere".into(),
        ),
        (
            mounts(json!([{"name": "a", "mountPath": "/"}])),
            "volumeMounts[0].mountPath: \"/\" would hide the whole image: mount the volume below a directory".into(),
        ),
        (
            mounts(json!([{"name": "a", "mountPath": "/x/../tmp"}])),
            "volumeMounts[0].mountPath: \"/x/../tmp\" is another path than it seems: write it without //, . and ..".into(),
        ),
        (
            json!({"volumes": [{"name": "a", "csi": {"driver": "bad driver!"}}]}),
            "volumes[0].csi.driver: \"bad driver!\" is no name: write lower case letters, digits, and between them - and single .".into(),
        ),
        (
            json!({"volumes": [{"name": "a", "projected": {"sources": [{"serviceAccountToken": {"path": "../x"}}]}}]}),
            "volumes[0].projected.sources[0].serviceAccountToken.path: \"../x\" leaves the volume: write a path without / at its beginning and without ..".into(),
        ),
        (
            json!({"envFrom": [{"prefix": "1=", "configMapRef": {"name": "c"}}]}),
            "envFrom[0].prefix: \"1=\" is no prefix of a variable: write letters, digits and _, first a letter or _".into(),
        ),
        (
            json!({"probes": [{"type": "Readiness", "path": "/", "httpHeaders": [{"name": "a b", "value": "x"}]}]}),
            "probes[0].httpHeaders[0].name: \"a b\" is no name of a header: write letters, digits and -, as in X-Probe".into(),
        ),
        (sidecar("123"), format!("initContainers[0].ports[0].name: \"123\" {is_no_port}")),
        (sidecar("a--b"), format!("initContainers[0].ports[0].name: \"a--b\" {is_no_port}")),
    ] {
        assert_eq!(of_servers(pod), [format!("spec.serving.pod.{message}")]);
    }
    let fine = json!({
        "tolerations": [{"key": "a", "value": "x"}, {"operator": "Exists"}],
        "affinity": {"node": [{"matchExpressions": [{"key": "a", "operator": "Gt", "values": ["1"]}]}]},
        "topologySpreadConstraints": [{"topologyKey": "z"}, {"topologyKey": "z", "whenUnsatisfiable": "DoNotSchedule"}],
        "volumes": [{"name": "a", "emptyDir": {}}],
        "volumeMounts": [{"name": "a", "mountPath": "/m/"}, {"name": "a", "mountPath": "/m/n", "subPath": "n/..o"}],
    });
    assert_eq!(of_servers(fine), [""; 0]);
}

#[test]
fn devices_are_whole_and_the_same_in_requests_and_limits() {
    let of = |resources: Value| {
        problems(json!({"training": {"image": "t", "full": {"command": ["t"]}, "resources": resources}}))
    };
    let wrong = "write a whole number in limits, and the same or nothing in requests";
    for (resources, map) in [
        (json!({"requests": {"nvidia.com/gpu": 1}}), "requests"),
        (json!({"requests": {"nvidia.com/gpu": 1}, "limits": {"nvidia.com/gpu": 2}}), "limits"),
        (json!({"limits": {"nvidia.com/gpu": "0.5"}}), "limits"),
    ] {
        assert_eq!(of(resources), [format!("spec.training.resources.{map}[nvidia.com/gpu]: {wrong}")]);
    }
    for resources in [
        json!({"limits": {"nvidia.com/gpu": 1}}),
        json!({"requests": {"nvidia.com/gpu": "2"}, "limits": {"nvidia.com/gpu": 2, "cpu": "1.5"}}),
    ] {
        assert_eq!(of(resources), [""; 0]);
    }
    let init = json!([{"name": "i", "image": "i", "resources": {"requests": {"nvidia.com/gpu": 1}}}]);
    let of_init = format!("spec.serving.pod.initContainers[0].resources.requests[nvidia.com/gpu]: {wrong}");
    assert_eq!(of_servers(json!({"initContainers": init})), [of_init]);
}

#[test]
fn no_request_is_above_its_limit() {
    let of = |request: Value, limit: Value| {
        let resources = json!({"requests": {"memory": request, "cpu": 1}, "limits": {"memory": limit}});
        problems(json!({"serving": {"image": "s", "resources": resources}}))
    };
    for (request, limit) in [("2Gi", "1500Mi"), ("1", "0"), ("1.0001", "1"), ("1Gi", "1G"), ("1e3", "999")] {
        let expected = format!(
            "spec.serving.resources.requests.memory: {request} is above limits.memory, {limit}: write at most {limit}, or a \
             higher limit"
        );
        assert_eq!(of(json!(request), json!(limit)), [expected]);
    }
    for (request, limit) in [("1100m", "1.1"), ("300m", "0.3"), ("0.7", "700m"), ("1Gi", "1073741824"), ("0", "0")] {
        assert_eq!(of(json!(request), json!(limit)), [""; 0]);
    }
    assert_eq!(of(json!(2), json!(2)), [""; 0]);
    let of_init =
        json!([{"name": "i", "image": "i", "resources": {"requests": {"cpu": 2}, "limits": {"cpu": "500m"}}}]);
    let [problem] = &of_servers(json!({"initContainers": of_init}))[..] else { panic!("one problem") };
    assert!(problem.starts_with("spec.serving.pod.initContainers[0].resources.requests.cpu: 2 is"), "{problem}");
}

#[test]
fn variables_have_fields_and_units_that_exist() {
    let of = |source: Value| problems(json!({"serving": {"image": "s", "env": [{"name": "A", "valueFrom": source}]}}));
    for path in ["spec.foo", "metadata.labels"] {
        let [problem] = &of(json!({"fieldRef": {"fieldPath": path}}))[..] else { panic!("{path}") };
        assert!(problem.starts_with(&format!(
            "spec.serving.env[0].valueFrom.fieldRef.fieldPath: {path:?} is no field that a variable can have"
        )));
    }
    for path in ["status.podIP", "metadata.labels['a/b']"] {
        assert_eq!(of(json!({"fieldRef": {"fieldPath": path}})), [""; 0]);
    }
    let resource =
        |resource: &str, divisor: &str| of(json!({"resourceFieldRef": {"resource": resource, "divisor": divisor}}));
    assert!(
        resource("limits.cpu", "1Mi")[0]
            .ends_with("resourceFieldRef.divisor: CPUs are not counted in bytes: write 1 or 1m")
    );
    assert!(resource("requests.memory", "1m")[0].contains("memory has no thousandths"));
    assert_eq!([resource("limits.cpu", "1m"), resource("limits.memory", "1Mi")].concat(), [""; 0]);
}

#[test]
fn what_makes_a_trainer_one_of_a_run_or_queue_is_set_by_kubernetes_and_kueue() {
    let index = json!([{"name": "JOB_COMPLETION_INDEX", "value": "7"}]);
    let training = |job: Value| {
        problems(json!({"training": {"image": "t", "full": {"command": ["t"]}, "env": index, "job": job}}))
    };
    let wrong = "spec.training.env[0].name: JOB_COMPLETION_INDEX is the number of a trainer, which Kubernetes sets: choose another name";
    assert_eq!(training(json!({"completions": 2})), [wrong]);
    assert_eq!(training(json!({"completions": 1})), [""; 0], "one trainer has no number");
    assert_eq!(training(json!({})), [""; 0]);
    let pod = json!({"labels": {"kueue.x-k8s.io/queue-name": "gpus"}});
    let queue = "spec.training.pod.labels[kueue.x-k8s.io/queue-name]: it needs a suspended Job: write the queue in spec.training.job.queueName";
    assert_eq!(problems(json!({"training": {"image": "t", "full": {"command": ["t"]}, "pod": pod}})), [queue]);
}

#[test]
fn init_containers_may_mount_what_the_operator_mounts() {
    let mounts = json!([{"name": "artifacts", "mountPath": "/artifacts"}, {"name": "tmp", "mountPath": "/scratch"}]);
    let pod = json!({"initContainers": [{"name": "i", "image": "i", "volumeMounts": mounts}]});
    assert_eq!(of_servers(pod), [""; 0]);
}

#[test]
fn probes_need_something_to_do_and_a_port() {
    let worker = |probe: Value| problems(json!({"workers": [{"name": "w", "pod": {"probes": [probe]}}]}));
    let nothing = "does nothing: set path, exec, grpcService or port";
    assert_eq!(
        worker(json!({"type": "Liveness", "periodSeconds": 5})),
        [format!("spec.workers[0].pod.probes[0]: it {nothing}")]
    );
    assert_eq!(
        worker(json!({"type": "Startup", "path": "/"})),
        ["spec.workers[0].pod.probes[0]: the container has no port: set port"]
    );
    assert_eq!(
        worker(json!({"type": "Startup", "port": 1, "successThreshold": 2})),
        ["spec.workers[0].pod.probes[0].successThreshold: a probe of type Startup can only have 1: remove it"]
    );
    assert_eq!(worker(json!({"type": "Readiness", "exec": ["a"], "successThreshold": 2})), [""; 0]);
    assert_eq!(of_servers(json!({"probes": [{"type": "Readiness", "failureThreshold": 5}]})), [""; 0]);
    let trainer = json!({"image": "t", "full": {}, "pod": {"probes": [{"type": "Readiness", "port": 1}]}});
    assert_eq!(
        problems(json!({"training": trainer})),
        ["spec.training.pod.probes[0]: nothing waits for a trainer to be ready: remove the probe of type Readiness"]
    );
}

#[test]
fn a_pause_leaves_time_to_end() {
    let worker = |seconds: i64| {
        let pod = json!({"preStop": {"sleepSeconds": seconds}});
        problems(json!({"workers": [{"name": "w", "terminationGraceSeconds": 60, "pod": pod}]}))
    };
    assert_eq!(worker(59), [""; 0]);
    assert_eq!(
        worker(60),
        ["spec.workers[0].pod.preStop.sleepSeconds: a sleep of 60 s leaves nothing of the 60 s of \
             spec.workers[0].terminationGraceSeconds until the container is killed: write less, or raise \
             spec.workers[0].terminationGraceSeconds"]
    );
    assert_eq!(of_servers(json!({"preStop": {"sleepSeconds": 600}})), [""; 0], "it is added to the grace of servers");
}

/// A sidecar with a port.
fn sidecar(container: &str, port: &str, number: i32) -> Value {
    let ports = json!([{"name": port, "containerPort": number}]);
    json!({"name": container, "image": "i", "restartPolicy": "Always", "ports": ports})
}

#[test]
fn ports_of_a_pod_have_names_and_numbers_of_their_own() {
    let of = |sidecars: Value| {
        let ports = json!([{"name": "grpc", "port": 9000}]);
        problems(json!({"serving": {"image": "s", "ports": ports, "pod": {"initContainers": sidecars}}}))
    };
    let is_also = |what: &str, of: &str, remedy: &str| {
        let (index, field) =
            (usize::from(of != "the main container"), if remedy.is_empty() { "containerPort" } else { "name" });
        [format!(
            "spec.serving.pod.initContainers[{index}].ports[0].{field}: {what} is also a port of {of}: choose another{remedy}"
        )]
    };
    assert_eq!(of(json!([sidecar("b", "grpc", 1)])), is_also("\"grpc\"", "the main container", " name"));
    assert_eq!(of(json!([sidecar("b", "b", 9000)])), is_also("9000", "the main container", ""));
    assert_eq!(of(json!([sidecar("a", "a", 1), sidecar("b", "a", 2)])), is_also("\"a\"", "\"a\"", " name"));
    assert_eq!(of(json!([sidecar("a", "a", 1), sidecar("b", "b", 1)])), is_also("1", "\"a\"", ""));
    assert_eq!(of(json!([sidecar("a", "a", 1), sidecar("b", "b", 2)])), [""; 0]);
}

#[test]
fn settings_that_would_be_ignored_are_refused() {
    for (pod, message) in [
        (
            json!({"probes": [{"type": "Readiness", "exec": ["ready"], "port": 9000}]}),
            "probes[0].port: a command uses no port: remove port or exec",
        ),
        (
            json!({"preStop": {"exec": ["drain"], "port": 9000}}),
            "preStop.port: it is that of an HTTP request: remove it, or set path",
        ),
        (
            json!({"preStop": {"sleepSeconds": 5, "port": 9000}}),
            "preStop.port: it is that of an HTTP request: remove it, or set path",
        ),
    ] {
        assert_eq!(of_servers(pod), [format!("spec.serving.pod.{message}")]);
    }
    let drain = |seconds: i64, hook: Value| {
        problems(json!({"serving": {"image": "s", "drainSeconds": seconds, "pod": {"preStop": hook}}}))
    };
    assert_eq!(
        drain(30, json!({"sleepSeconds": 45})),
        [
            "spec.serving.drainSeconds: it is 30 and spec.serving.pod.preStop.sleepSeconds 45, but servers pause once: remove one of them"
        ]
    );
    assert_eq!(drain(5, json!({"sleepSeconds": 45})), [""; 0], "the default");
    assert_eq!(drain(30, json!({"exec": ["drain"]})), [""; 0], "which may take so long");
}

#[test]
fn paths_of_the_runtime_and_relative_ones_are_refused() {
    let mount = |path: &str| {
        of_servers(
            json!({"volumes": [{"name": "a", "emptyDir": {}}], "volumeMounts": [{"name": "a", "mountPath": path}]}),
        )
    };
    for (path, why) in [
        ("/dev/", "would hide the devices of the container: mount the volume below it, as in /dev/shm, or elsewhere"),
        ("/proc/self", "is where the kernel shows processes: mount the volume elsewhere"),
        ("/sys", "is where the kernel shows devices: mount the volume elsewhere"),
    ] {
        assert_eq!(mount(path), [format!("spec.serving.pod.volumeMounts[0].mountPath: {path:?} {why}")]);
    }
    for path in ["/dev/shm", "/devices", "/system", "/artifacts2", "/tmp/cache"] {
        assert_eq!(mount(path), [""; 0], "{path}");
    }
    let relative = "workingDir: \"app\" is no absolute path: write one that starts with /";
    assert_eq!(of_servers(json!({"workingDir": "app"})), [format!("spec.serving.pod.{relative}")]);
    let init = json!([{"name": "i", "image": "i", "workingDir": "app"}]);
    assert_eq!(of_servers(json!({"initContainers": init})), [format!("spec.serving.pod.initContainers[0].{relative}")]);
}

#[test]
fn names_of_secrets_config_maps_and_claims_are_names() {
    let volume = |source: Value| {
        let mut volume = json!({"name": "a"});
        volume.as_object_mut().expect("a map").extend(source.as_object().expect("a source").clone());
        json!({"volumes": [volume]})
    };
    let init = json!([{"name": "i", "image": "i", "envFrom": [{"secretRef": {"name": "my_secret"}}]}]);
    for (pod, field) in [
        (volume(json!({"configMap": {"name": "my_secret"}})), "volumes[0].configMap.name"),
        (volume(json!({"secret": {"secretName": "my_secret"}})), "volumes[0].secret.secretName"),
        (
            volume(json!({"persistentVolumeClaim": {"claimName": "my_secret"}})),
            "volumes[0].persistentVolumeClaim.claimName",
        ),
        (
            volume(json!({"projected": {"sources": [{"secret": {"name": "my_secret"}}]}})),
            "volumes[0].projected.sources[0].secret.name",
        ),
        (
            volume(json!({"projected": {"sources": [{"configMap": {"name": "my_secret"}}]}})),
            "volumes[0].projected.sources[0].configMap.name",
        ),
        (json!({"envFrom": [{"configMapRef": {"name": "my_secret"}}]}), "envFrom[0].configMapRef.name"),
        (json!({"initContainers": init}), "initContainers[0].envFrom[0].secretRef.name"),
    ] {
        let remedy = "is no name: write lower case letters, digits, and between them - and single .";
        assert_eq!(of_servers(pod), [format!("spec.serving.pod.{field}: \"my_secret\" {remedy}")]);
    }
    let env = json!([{"name": "A", "valueFrom": {"secretKeyRef": {"name": "a..b", "key": "k"}}}]);
    let [problem] = &problems(json!({"serving": {"image": "s", "env": env}}))[..] else { panic!("one problem") };
    assert!(problem.starts_with("spec.serving.env[0].valueFrom.secretKeyRef.name: \"a..b\" is no name"), "{problem}");
    assert_eq!(of_servers(volume(json!({"secret": {"secretName": "shop.example.org"}}))), [""; 0]);
}

#[test]
fn resources_have_names_and_huge_pages_are_the_same_and_not_alone() {
    let of = |resources: Value| problems(json!({"serving": {"image": "s", "resources": resources}}));
    let no_name = "that is no name of a resource: write cpu, memory, ephemeral-storage, hugepages-2Mi, or one with a domain such as nvidia.com/gpu";
    for name in ["nvidia.com/g pu", "nvidia.com /gpu", "hugepages-2 Mi"] {
        let limits = json!({name: 1, "cpu": 1});
        assert_eq!(of(json!({"limits": limits})), [format!("spec.serving.resources.limits[{name}]: {no_name}")]);
    }
    assert_eq!(
        of(json!({"limits": {"hugepages-2Mi": "64Mi"}})),
        ["spec.serving.resources.limits.hugepages-2Mi: huge pages need cpu or memory beside them: set one of them"]
    );
    assert_eq!(
        of(json!({"requests": {"hugepages-2Mi": "64Mi", "memory": "1Gi"}, "limits": {"hugepages-2Mi": "128Mi"}})),
        [
            "spec.serving.resources.limits.hugepages-2Mi: write the amount in limits, and the same or nothing in requests"
        ]
    );
    assert_eq!(of(json!({"limits": {"hugepages-2Mi": "64Mi", "memory": "1Gi", "ephemeral-storage": "1Gi"}})), [""; 0]);
}

#[test]
fn secrets_for_images_are_named_once_and_annotations_are_for_an_account_that_pods_have() {
    let secrets = |names: [&str; 2]| problems(json!({"imagePullSecrets": names.map(|name| json!({"name": name}))}));
    assert_eq!(secrets(["a", "a"]), ["spec.imagePullSecrets[1].name: \"a\" is there twice: remove one"]);
    assert_eq!(secrets(["a", "b"]), [""; 0]);
    let annotated = |of_training: Value| {
        let own = json!({"serviceAccountName": "own"});
        problems(json!({
            "serviceAccountAnnotations": {"eks.amazonaws.com/role-arn": "arn"},
            "training": {"image": "t", "full": {}, "pod": of_training},
            "serving": {"image": "s", "pod": own.clone()},
            "workers": [{"name": "w", "pod": own}],
        }))
    };
    assert_eq!(annotated(json!({})), [""; 0], "the trainer has the account");
    let [problem] = &annotated(json!({"serviceAccountName": "own"}))[..] else { panic!("one problem") };
    assert!(
        problem.starts_with("spec.serviceAccountAnnotations: they are for a ServiceAccount that no pod has"),
        "{problem}"
    );
}
