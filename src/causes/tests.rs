use kube::CustomResourceExt;
use serde_json::Value;

use super::*;
use crate::api::RecommenderModel;

/// The cause of a text as it is reported for the servers of an object in namespace shop.
fn cause(source: Source, reason: &str, message: &str) -> String {
    of(Part::Serving, source, reason, message)
}

fn of(part: Part, source: Source, reason: &str, message: &str) -> String {
    let subject = Subject { part, namespace: "shop", object: "pod p-1", image: "example.org/r:1", is_init: false };
    explain(&subject, source, reason, message).map(|cause| cause.text).unwrap_or_default()
}

/// What is reported, and what its cause and remedy contain.
type Case = (Source, &'static str, &'static str, &'static [&'static str]);

/// Texts of Kubernetes 1.33 to 1.36, containerd 2 and common admission controllers.
const CASES: &[Case] = &[
    (
        Source::Waiting,
        "ErrImagePull",
        "failed to pull and unpack image \"registry.invalid/r:1\": failed to resolve reference \"registry.invalid/r:1\": failed \
         to do request: Head \"https://registry.invalid/v2/r/manifests/1\": dial tcp: lookup registry.invalid on \
         10.0.0.10:53: no such host",
        &[
            "image example.org/r:1 cannot be pulled, because the nodes do not know the host",
            ": \"Head 'https://registry.invalid/v2/r/manifests/1': dial tcp: lookup registry.invalid on 10.0.0.10:53: no such \
             host\"; correct the host in spec.serving.image",
        ],
    ),
    (
        Source::Waiting,
        "ErrImagePull",
        "failed to pull and unpack image \"registry.internal/r:1\": failed to resolve reference \"registry.internal/r:1\": \
         unexpected status from HEAD request to https://registry.internal/v2/r/manifests/1: 401 Unauthorized",
        &["requires other credentials", "spec.imagePullSecrets (kubectl -n shop create secret docker-registry)"],
    ),
    (
        Source::Waiting,
        "ErrImagePull",
        "rpc error: code = Unknown desc = failed to pull and unpack image \"docker.io/library/nope:1\": failed to resolve \
         reference \"docker.io/library/nope:1\": pull access denied, repository does not exist or may require authorization: \
         server message: insufficient_scope: authorization failed",
        &["requires other credentials, or does not have it: \"pull access denied, repository does not exist"],
    ),
    (
        Source::Waiting,
        "ErrImagePull",
        "rpc error: code = NotFound desc = failed to pull and unpack image \"docker.io/library/nginx:no\": failed to resolve \
         reference \"docker.io/library/nginx:no\": docker.io/library/nginx:no: not found",
        &["because its registry does not have it", "correct the name or the tag in spec.serving.image"],
    ),
    (
        Source::Waiting,
        "ErrImagePull",
        "failed to do request: Head \"https://r/v2/\": tls: failed to verify certificate: x509: certificate signed by unknown \
         authority",
        &["do not trust the certificate", "install the registry's CA on the nodes"],
    ),
    (
        Source::Waiting,
        "ErrImagePull",
        "429 Too Many Requests - Server message: toomanyrequests: You have reached your unauthenticated pull rate limit.",
        &["limits the number of pulls", "spec.imagePullSecrets"],
    ),
    (
        Source::Waiting,
        "ErrImagePull",
        "failed to do request: Head \"http://r/v2/\": dial tcp 10.0.0.9:5000: connect: connection refused",
        &["because its registry does not answer", "it is pulled again"],
    ),
    (
        Source::Waiting,
        "InvalidImageName",
        "Failed to apply default image tag \"UPPER\": couldn't parse image name \"UPPER\": invalid reference format: repository \
         name must be lowercase",
        &["example.org/r:1 is no name of an image", "correct spec.serving.image"],
    ),
    (
        Source::Waiting,
        "CreateContainerConfigError",
        "container has runAsNonRoot and image will run as root (pod: \"p-1_shop(u)\", container: server)",
        &[
            "runs as root, which its pod does not allow: \"container has runAsNonRoot and image will run as root\"; ",
            "USER 1000, or set spec.serving.pod.securityContext.runAsUser",
        ],
    ),
    (
        Source::Waiting,
        "CreateContainerConfigError",
        "container has runAsNonRoot and image has non-numeric user (app), cannot verify user is non-root (pod: \"p_shop(u)\", \
         container: server)",
        &["the image names its user", "USER 1000"],
    ),
    (
        Source::Waiting,
        "CreateContainerConfigError",
        "secret \"db\" not found",
        &[
            "a Secret does not exist: \"secret 'db' not found\"; create it in namespace shop, or correct the reference in \
           spec.serving.env",
        ],
    ),
    (
        Source::Waiting,
        "CreateContainerConfigError",
        "configmap \"settings\" not found",
        &["a ConfigMap does not exist", "namespace shop"],
    ),
    (
        Source::Waiting,
        "CreateContainerConfigError",
        "couldn't find key password in Secret shop/db",
        &["a key of a Secret or ConfigMap does not exist", "add the key to it in namespace shop"],
    ),
    (
        Source::Waiting,
        "RunContainerError",
        "failed to create containerd task: failed to create shim task: OCI runtime create failed: runc create failed: unable to \
         start container process: error during container init: exec: \"serve\": executable file not found in $PATH: unknown",
        &[
            "the command is not in the image: \"exec: 'serve': executable file not found in $PATH\"; ",
            "correct spec.serving.command",
        ],
    ),
    (
        Source::Waiting,
        "RunContainerError",
        "failed to create containerd task: failed to create shim task: OCI runtime create failed: runc create failed: unable to \
         start container process: error during container init: exec: \"/app/serve\": permission denied: unknown",
        &["may not be executed", "chmod a+rx"],
    ),
    (
        Source::Unscheduled,
        "Unschedulable",
        "0/3 nodes are available: 1 node(s) had untolerated taint {nvidia.com/gpu: true}, 2 Insufficient cpu. preemption: 0/3 \
         nodes are available: 1 Preemption is not helpful for scheduling, 2 No preemption victims found for incoming pod.",
        &[
            "a taint that the pod does not tolerate, and no node has enough CPU",
            "\"0/3 nodes are available: 1 node(s) had untolerated taint {nvidia.com/gpu: true}, 2 Insufficient cpu\"; ",
            "spec.serving.pod.tolerations; lower spec.serving.resources.requests.cpu",
        ],
    ),
    (
        Source::Unscheduled,
        "Unschedulable",
        "0/1 nodes are available: 1 Insufficient example.org/gpu. no new claims to deallocate, preemption: 0/1 nodes are \
         available: 1 No preemption victims found for incoming pod.",
        &[
            "no node has the requested GPUs free",
            "1 Insufficient example.org/gpu\"; ",
            "one more pod, unless spec.serving.strategy.maxSurge is 0",
        ],
    ),
    (
        Source::Unscheduled,
        "Unschedulable",
        "0/2 nodes are available: 2 Insufficient memory.",
        &["lower spec.serving.resources.requests.memory"],
    ),
    (Source::Unscheduled, "Unschedulable", "0/1 nodes are available: 1 Too many pods.", &["as many pods as they can"]),
    (
        Source::Unscheduled,
        "Unschedulable",
        "0/4 nodes are available: 4 node(s) didn't match Pod's node affinity/selector.",
        &["do not have the labels", "spec.serving.pod.nodeSelector"],
    ),
    (
        Source::Unscheduled,
        "Unschedulable",
        "0/1 nodes are available: persistentvolumeclaim \"models\" not found. not found.",
        &[
            "claim does not exist: \"0/1 nodes are available: persistentvolumeclaim 'models' not found\"; create the claim",
        ],
    ),
    (
        Source::Unscheduled,
        "Unschedulable",
        "0/1 nodes are available: pod has unbound immediate PersistentVolumeClaims.",
        &["has no volume", "kubectl -n shop describe pvc"],
    ),
    (
        Source::Unscheduled,
        "Unschedulable",
        "0/2 nodes are available: 1 node(s) had volume node affinity conflict, 1 node(s) were unschedulable.",
        &["in another zone, and nodes are cordoned", "kubectl uncordon NODE"],
    ),
    (
        Source::Event,
        "FailedAttachVolume",
        "Multi-Attach error for volume \"pvc-1\" Volume is already used by pod(s) r-serving-1",
        &["in use on another node", "(ReadWriteOnce)", "ReadWriteMany, or spec.artifacts.s3"],
    ),
    (
        Source::Event,
        "FailedMount",
        "MountVolume.SetUp failed for volume \"creds\" : secret \"db\" not found",
        &["a Secret that does not exist: \"secret 'db' not found\"; create it in namespace shop"],
    ),
    (
        Source::Event,
        "FailedMount",
        "Unable to attach or mount volumes: unmounted volumes=[artifacts], unattached volumes=[], failed to process volumes=[]: \
         timed out waiting for the condition",
        &["its volume cannot be mounted", "kubectl -n shop describe pod p-1"],
    ),
    (
        Source::Ended,
        "OOMKilled",
        "exit code 137",
        &["more memory than its limit", "spec.serving.resources.limits.memory"],
    ),
    (Source::Ended, "Error", "exit code 135", &["bus error", "/dev/shm", "spec.serving.pod.volumes"]),
    (Source::Ended, "Error", "exit code 137", &["SIGKILL"]),
    (Source::Ended, "Error", "exit code 139", &["SIGSEGV"]),
    (
        Source::Pod,
        "Evicted",
        "The node was low on resource: memory. Threshold quantity: 100Mi, available: 80Mi. Container server was using 2Gi, \
         request is 0, has larger consumption of memory. ",
        &["ran out of memory", "set spec.serving.resources.requests.memory"],
    ),
    (
        Source::Pod,
        "Evicted",
        "Usage of EmptyDir volume \"tmp\" exceeds the limit \"1Gi\". ",
        &["more to its local disk", "exceeds the limit '1Gi'\"; raise"],
    ),
    (
        Source::Refused,
        "FailedCreate",
        "Error creating: pods \"full-1-abcde\" is forbidden: exceeded quota: compute, requested: requests.cpu=1, used: \
         requests.cpu=4, limited: requests.cpu=4",
        &["a ResourceQuota of namespace shop refuses its pod: \"exceeded quota: compute, requested", "raise the quota"],
    ),
    (
        Source::Refused,
        "FailedCreate",
        "Error creating: pods \"a\" is forbidden: violates PodSecurity \"restricted:latest\": seccompProfile (pod or container \
         \"server\" must set securityContext.seccompProfile.type to \"RuntimeDefault\" or \"Localhost\")",
        &["Pod Security level of namespace shop", "\"violates PodSecurity 'restricted:latest': seccompProfile"],
    ),
    (
        Source::Refused,
        "FailedCreate",
        "Error creating: pods \"a\" is forbidden: ValidatingAdmissionPolicy 'team-label' with binding 'team-label' denied \
         request: pods need a label team: ask #platform",
        &[
            "denied request: pods need a label team: ask #platform\"; set the labels that it names in spec.serving.pod.labels",
        ],
    ),
    (
        Source::Refused,
        "FailedCreate",
        "Error creating: pods \"a\" is forbidden: ValidatingAdmissionPolicy 'like-restricted-v2' with binding \
         'like-restricted-v2' denied request: fsGroup is not in the range of this namespace",
        &["(fsGroup)", "set spec.serving.pod.securityContext.fsGroup"],
    ),
    (
        Source::Refused,
        "FailedCreate",
        "admission webhook \"validate.kyverno.svc-fail\" denied the request: resource Pod/shop/a was blocked due to the \
         following policies: require-requests: CPU requests are required.",
        &[
            "a policy of the cluster refuses its pod: \"resource Pod/shop/a was blocked",
            "are required\"; change what it names",
        ],
    ),
    (
        Source::Refused,
        "FailedCreate",
        "Error creating: pods \"a-\" is forbidden: error looking up service account shop/trainer: serviceaccount \"trainer\" not \
         found",
        &["ServiceAccount of its pod does not exist", "spec.serving.pod.serviceAccountName"],
    ),
];

#[test]
fn every_text_of_the_kubelet_the_scheduler_and_the_controllers_has_its_cause_and_remedy() {
    for (source, reason, message, expected) in CASES {
        let text = cause(*source, reason, message);
        for part in *expected {
            assert!(text.contains(part), "{reason}: {message}\n  gives {text}\n  without {part}");
        }
    }
}

/// All parts of a spec that pods come from.
const PARTS: [Part; 4] = [Part::Training, Part::PartialTraining, Part::Serving, Part::Worker];

#[test]
fn a_remedy_for_a_partial_run_names_its_own_fields() {
    let field = |name| fields::field(name, Part::of_pod("training", "partial-20261121-0315")).unwrap_or_default();
    assert_eq!(field("Command"), "spec.training.partial.command");
    assert_eq!(field("Limits"), "spec.training.partial.resources.limits");
    assert_eq!(field("Deadline"), "spec.training.partial.deadlineSeconds");
    assert_eq!(field("NodeSelector"), "spec.training.pod.nodeSelector", "which both share");
    let full = fields::field("Command", Part::of_pod("training", "full-20261121-0300"));
    assert_eq!(full.as_deref(), Some("spec.training.full.command"));
}

#[test]
fn every_cause_is_punctuated_once_has_quotes_that_close_and_a_namespace_for_kubectl() {
    for (source, reason, message, _) in CASES {
        for part in PARTS {
            let text = of(part, *source, reason, message);
            assert!(!text.contains(".;") && !text.contains("..") && !text.contains(".\""), "{text}");
            assert_eq!(text.matches('"').count() % 2, 0, "{text}");
            let commands = text.matches("kubectl ").count();
            let named = text.matches("kubectl -n shop ").count() + text.matches("kubectl uncordon").count();
            assert_eq!(commands, named, "{text}");
            assert!(!text.contains("preemption") && !text.contains("raise spec.training.full.deadline"), "{text}");
            assert!(text.chars().count() < 700, "{text}");
        }
    }
}

#[test]
fn every_placeholder_of_every_row_is_a_field_for_every_part() {
    for row in TABLES.into_iter().flatten() {
        for part in PARTS {
            let subject = Subject { part, namespace: "n", object: "o", image: "i", is_init: false };
            let text = filled(&format!("{} {}", row.cause, row.remedy), &subject, "Startup");
            assert!(!text.contains('{'), "{text}");
        }
    }
}

#[test]
fn the_fields_of_an_init_container_are_its_own() {
    let subject = |part| Subject { part, namespace: "shop", object: "pod p-1", image: "i:1", is_init: true };
    let cause = |reason, message| {
        let texts = [Part::Training, Part::Serving].map(|part| {
            explain(&subject(part), Source::Waiting, reason, message).map(|cause| cause.text).unwrap_or_default()
        });
        assert!(texts[0].contains("spec.training.pod.initContainers[]"), "{}", texts[0]);
        texts[1].clone()
    };
    let missing = cause("CreateContainerConfigError", "configmap \"nosuch\" not found");
    assert!(
        missing.contains("spec.serving.pod.initContainers[].env, spec.serving.pod.initContainers[].envFrom or"),
        "{missing}"
    );
    let unknown = "failed to resolve reference \"r\": dial tcp: lookup r: no such host";
    let image = cause("ErrImagePull", unknown);
    assert!(
        image.contains("spec.serving.pod.initContainers[].image") && !image.contains("spec.serving.image"),
        "{image}"
    );
}

#[test]
fn the_two_reasons_between_which_a_failing_pull_alternates_have_one_text() {
    let failed = "failed to pull and unpack image \"r:1\": failed to resolve reference \"r:1\": r:1: not found";
    let back_off = format!("Back-off pulling image \"r:1\": ErrImagePull: {failed}");
    assert_eq!(cause(Source::Waiting, "ErrImagePull", failed), cause(Source::Waiting, "ImagePullBackOff", &back_off));
    let lookup = |port: u16| {
        format!(
            "failed to do request: Head \"https://r/\": dial tcp: lookup r: read udp 10.0.0.7:{port}->10.0.0.10:53: i/o timeout"
        )
    };
    let text = |port| cause(Source::Waiting, "ErrImagePull", &lookup(port));
    assert_eq!(text(52110), text(40009), "the local port differs with every try");
}

#[test]
fn a_sentence_without_a_row_of_its_own_is_quoted_with_the_command_that_shows_more() {
    let subject = Subject { part: Part::Training, namespace: "shop", object: "job j", image: "", is_init: false };
    let cause = explain(&subject, Source::Refused, "FailedCreate", "Error creating: etcd is full").expect("a cause");
    assert!(!cause.is_specific);
    assert_eq!(cause.text, "its pod is refused: \"etcd is full\"; kubectl -n shop describe job j shows more");
    assert_eq!(explain(&subject, Source::Waiting, "ContainerCreating", ""), None, "a normal start has no cause");
}

/// Texts of the kubelet on probes, and what their cause and remedy contain.
const PROBES: &[(&str, &[&str])] = &[
    (
        "Startup probe failed: Get \"http://10.1.0.5:8000/health\": dial tcp 10.1.0.5:8000: connect: connection refused",
        &[
            "nothing listens on the port of its startup probe: \"Get 'http://10.1.0.5:8000/health': dial tcp",
            "spec.serving.port, correct spec.serving.pod.probes (type Startup), or raise spec.serving.probes.startupSeconds",
        ],
    ),
    ("Liveness probe failed: dial tcp 10.1.0.5:8000: connect: connection refused", &["liveness", "(type Liveness)"]),
    (
        "Startup probe failed: HTTP probe failed with statuscode: 404",
        &[
            "the path of its startup probe does not exist: \"HTTP probe failed with statuscode: 404\"",
            "spec.serving.probes.path",
        ],
    ),
    (
        "Readiness probe failed: HTTP probe failed with statuscode: 503",
        &["answers its readiness probe with an error", "kubectl -n shop logs pod/p-1 shows more", "(type Readiness)"],
    ),
    (
        "Readiness probe failed: Get \"http://10.1.0.5:8000/health\": context deadline exceeded (Client.Timeout exceeded while \
         awaiting headers)",
        &["does not answer its readiness probe in time", "raise spec.serving.probes.timeoutSeconds"],
    ),
    (
        "(combined from similar events): Startup probe failed: Get \"http://10.1.0.5:8000/\": read tcp 10.1.0.1:40222->10.1.0.5:8000: \
         i/o timeout",
        &[
            "does not answer its startup probe in time",
            "raise spec.serving.probes.startupSeconds",
            "read tcp 10.1.0.5:8000",
        ],
    ),
    ("Startup probe failed: ", &["its startup probe fails; correct spec.serving.pod.probes (type Startup)"]),
    ("Liveness probe failed: cat: /tmp/alive: No such device", &["its liveness probe fails: \"cat: /tmp/alive"]),
    (
        "Startup probe errored and resulted in unknown state: rpc error: code = Unknown desc = failed to exec in container: \
         exec: \"/bin/ready\": executable file not found in $PATH",
        &[
            "the command of its startup probe is not in the image",
            "correct exec of spec.serving.pod.probes (type Startup)",
        ],
    ),
    ("Readiness probe failed: service unhealthy (responded with \"NOT_SERVING\")", &["readiness", "'NOT_SERVING'"]),
    (
        "Readiness probe failed: error: this server does not implement the grpc health protocol (grpc.health.v1.Health): unknown \
         service grpc.health.v1.Health",
        &["no gRPC health service", "add grpc.health.v1.Health"],
    ),
];

#[test]
fn every_text_on_a_failed_probe_names_the_probe_quotes_its_result_once_and_names_the_field() {
    for (message, expected) in PROBES {
        let (probe, output) = failed_probe(message).expect("a failed probe");
        for part in PARTS {
            let text = of(part, Source::Probe, probe, output);
            assert!(text.contains(&format!("pod.probes (type {probe})")), "{text}");
            assert!(!text.contains("probe failed:") && !text.contains("memory"), "{text}");
            assert_eq!(text.matches('"').count() % 2, 0, "{text}");
        }
        let text = cause(Source::Probe, probe, output);
        for part in *expected {
            assert!(text.contains(part), "{message}\n  gives {text}\n  without {part}");
        }
    }
    assert_eq!(failed_probe("Readiness probe warning: Probe terminated redirects"), None, "that is a success");
    assert_eq!(failed_probe("Back-off restarting failed container"), None);
    assert_eq!(killed_for("Container server failed startup probe, will be restarted"), Some("Startup"));
    assert_eq!(killed_for("Container trainer failed liveness probe"), Some("Liveness"));
    assert_eq!(killed_for("Stopping container server"), None);
}

/// The schema at a path such as `spec.workers[].image`.
fn schema<'a>(root: &'a Value, path: &str) -> Option<&'a Value> {
    path.split('.').try_fold(root, |at, name| match name.strip_suffix("[]") {
        Some(list) => at["properties"].get(list)?.get("items"),
        None => at["properties"].get(name),
    })
}

#[test]
fn every_field_that_a_remedy_names_exists_in_the_object() {
    let crd = serde_json::to_value(RecommenderModel::crd()).expect("a CRD");
    let root = &crd["spec"]["versions"][0]["schema"]["openAPIV3Schema"];
    for part in PARTS {
        for path in fields::paths(part) {
            assert!(schema(root, &path).is_some(), "{path}");
        }
    }
}
