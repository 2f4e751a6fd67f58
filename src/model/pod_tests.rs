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
            "volumeMounts: there is no \"b\" among pod.volumes",
        ),
        (
            json!({"initContainers": [{"name": "i", "image": "i", "volumeMounts": [{"name": "b", "mountPath": "/b"}]}]}),
            "initContainers: \"i\": volumeMounts: there is no \"b\" among pod.volumes",
        ),
        (
            json!({"volumes": [{"name": "tmp", "emptyDir": {}}]}),
            "volumes: \"tmp\" is a volume of the operator: set pod.tmp to change /tmp, or choose another name",
        ),
        (
            json!({"volumes": [{"name": "artifacts", "emptyDir": {}}]}),
            "volumes: \"artifacts\" is a volume of the operator: choose another name",
        ),
        (
            json!({"volumes": tmp(), "volumeMounts": [{"name": "a", "mountPath": "/artifacts/"}]}),
            "volumeMounts: /artifacts is the operator's: mount the volume elsewhere",
        ),
        (
            json!({"volumes": tmp(), "volumeMounts": [{"name": "a", "mountPath": "/tmp"}]}),
            "volumeMounts: /tmp is the operator's: mount the volume elsewhere",
        ),
        (
            json!({"volumes": tmp(), "volumeMounts": [{"name": "a", "mountPath": "data"}]}),
            "volumeMounts: \"data\" is no absolute path: write one that starts with /",
        ),
        (
            json!({"initContainers": [{"name": "i", "image": "i", "ports": [{"name": "a", "containerPort": 1}]}]}),
            "initContainers: \"i\": only sidecars have ports and probes: write restartPolicy: Always, or remove them",
        ),
        (
            json!({"initContainers": [
                {"name": "i", "image": "i", "restartPolicy": "Always", "ports": [{"name": "http", "containerPort": 1}]},
            ]}),
            "initContainers: \"i\": ports: \"http\" is a port of the operator: choose another name",
        ),
        (
            json!({"initContainers": [
                {"name": "i", "image": "i", "restartPolicy": "Always", "ports": [{"name": "a", "containerPort": 8000}]},
            ]}),
            "initContainers: \"i\": ports: 8000 is the main container's: choose another",
        ),
        (
            json!({"tolerations": [{"key": "a b", "operator": "Exists"}]}),
            "tolerations: \"a b\" is no key of a label: write a key like dedicated or nvidia.com/gpu",
        ),
    ] {
        assert_eq!(of_servers(pod), [format!("spec.serving: pod.{message}")]);
    }
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
        [format!("spec.workers: \"w\": pod.probes: Liveness: it {nothing}")]
    );
    assert_eq!(
        worker(json!({"type": "Startup", "path": "/"})),
        ["spec.workers: \"w\": pod.probes: Startup: the container has no port: set port"]
    );
    assert_eq!(
        worker(json!({"type": "Startup", "port": 1, "successThreshold": 2})),
        ["spec.workers: \"w\": pod.probes: Startup: successThreshold can only be 1 here: remove it"]
    );
    assert_eq!(worker(json!({"type": "Readiness", "exec": ["a"], "successThreshold": 2})), [""; 0]);
    assert_eq!(of_servers(json!({"probes": [{"type": "Readiness", "failureThreshold": 5}]})), [""; 0]);
    let trainer = json!({"image": "t", "full": {}, "pod": {"probes": [{"type": "Readiness", "port": 1}]}});
    assert_eq!(
        problems(json!({"training": trainer})),
        ["spec.training: pod.probes: nothing waits for a trainer to be ready: remove the one of type Readiness"]
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
        [
            "spec.workers: \"w\": pod.preStop: a sleep of 60 s leaves nothing of the 60 s until the container is killed: write \
             less, or raise terminationGraceSeconds"
        ]
    );
    assert_eq!(of_servers(json!({"preStop": {"sleepSeconds": 600}})), [""; 0], "it is added to the grace of servers");
}
