//! What hangs is explained by its Events: one request for it in two minutes, and none while nothing hangs.

use super::*;
use crate::api::conditions::types;

/// The request that lists Events.
const EVENTS: &str = "GET events";

/// An object whose training Job was created a minute ago. Returns the name of the Job.
async fn with_old_job(fixture: &mut Fixture, object: &Value) -> String {
    fixture.requests(object).await;
    let job = fixture.status().training.and_then(|training| training.active).expect("a run").job;
    let mut old = fixture.server.object(&format!("jobs/{job}")).expect("was created");
    old["metadata"]["creationTimestamp"] = json!(Timestamp::now() - SignedDuration::from_secs(60));
    old["metadata"]["resourceVersion"] = "9000".into();
    fixture.context.cache.show(Watched::Child(Kind::Job), old);
    job
}

/// An Event as the kubelet and the controllers write them.
fn warning(reason: &str, message: &str) -> Value {
    json!({"metadata": {"name": "e"}, "involvedObject": {}, "type": "Warning", "reason": reason, "message": message})
}

#[tokio::test]
async fn a_job_whose_pods_are_refused_is_explained_by_the_sentence_of_the_policy() {
    let (mut fixture, object) = (Fixture::new(), object(json!({})));
    with_old_job(&mut fixture, &object).await;
    let refused = "Error creating: pods \"p\" is forbidden: ValidatingAdmissionPolicy 'team' with binding 'team' denied request: \
                   pods need a label team: ask #platform";
    fixture.server.store("events/e", warning("FailedCreate", refused));
    assert_eq!(fixture.requests(&object).await, [EVENTS, STATUS, EVENT]);
    let (reason, message) = fixture.condition(types::TRAINING_READY);
    assert_eq!(reason, "TrainingBlocked");
    assert!(message.contains("pods need a label team: ask #platform\"; set the labels"), "{message}");
    assert!(message.contains("It starts by itself once that is fixed"), "{message}");
    assert_eq!(fixture.requests(&object).await, [""; 0], "its Events were read lately");
    assert_eq!(fixture.condition(types::STALLED).0, "AsSpecified", "it passes by itself");

    let known = fixture.status().training.and_then(|training| training.active?.blocked).unwrap_or_default();
    assert!(known.contains("ask #platform"), "{known}");
}

#[tokio::test]
async fn a_job_without_a_pod_and_without_events_is_reported_with_the_command_that_shows_more() {
    let (mut fixture, object) = (Fixture::new(), object(json!({})));
    let job = with_old_job(&mut fixture, &object).await;
    assert_eq!(fixture.requests(&object).await, [EVENTS, STATUS, EVENT]);
    let (_, message) = fixture.condition(types::TRAINING_READY);
    assert!(message.contains(&format!("kubectl -n shop describe job {job} shows why")), "{message}");
}

#[tokio::test]
async fn a_pod_whose_volume_is_in_use_on_another_node_is_explained_after_a_minute() {
    let (mut fixture, object) = (Fixture::new(), object(json!({})));
    let job = with_old_job(&mut fixture, &object).await;
    let in_use = "Multi-Attach error for volume \"pvc-1\" Volume is already used by pod(s) packages-serving-1";
    fixture.server.store("events/e", warning("FailedAttachVolume", in_use));
    let pod = |seconds, version: &str| {
        let at = Timestamp::now() - SignedDuration::from_secs(seconds);
        let labels = json!({"batch.kubernetes.io/job-name": job, "app.kubernetes.io/component": "training"});
        let waiting = json!({"name": "trainer", "image": "i", "imageID": "", "ready": false, "restartCount": 0,
            "state": {"waiting": {"reason": "ContainerCreating"}}});
        let scheduled = json!({"type": "PodScheduled", "status": "True", "lastTransitionTime": at});
        json!({
            "metadata": {
                "name": "p", "namespace": "shop", "uid": "p", "resourceVersion": version, "creationTimestamp": at, "labels": labels,
                "annotations": {crate::api::MODEL_NAME_ANNOTATION: "packages"},
            },
            "status": {"phase": "Pending", "conditions": [scheduled], "containerStatuses": [waiting]},
        })
    };
    fixture.context.cache.show(Watched::Pod, pod(30, "9001"));
    assert_eq!(fixture.requests(&object).await, [""; 0], "that may be a normal start");
    fixture.context.cache.show(Watched::Pod, pod(61, "9002"));
    assert_eq!(fixture.requests(&object).await, [EVENTS, STATUS, EVENT]);
    let (reason, message) = fixture.condition(types::TRAINING_READY);
    assert_eq!(reason, "TrainingBlocked");
    assert!(message.contains("use a claim with ReadWriteMany") && !message.contains("deadline"), "{message}");
}

#[tokio::test]
async fn a_trainer_that_the_kubelet_ended_for_its_probe_has_failed_by_it_and_not_by_its_memory() {
    let (mut fixture, object) = (Fixture::new(), object(json!({})));
    let job = with_old_job(&mut fixture, &object).await;
    let mut killed = warning("Killing", "Container trainer failed liveness probe");
    killed["type"] = "Normal".into();
    fixture.server.store("events/e", killed);
    let at = Timestamp::now() - SignedDuration::from_secs(5);
    let labels = json!({"batch.kubernetes.io/job-name": job, "app.kubernetes.io/component": "training"});
    let ended = json!({"name": "trainer", "image": "i", "imageID": "", "ready": false, "restartCount": 0,
        "state": {"terminated": {"exitCode": 137, "reason": "Error", "finishedAt": at}}});
    let pod = json!({
        "metadata": {
            "name": "p", "namespace": "shop", "uid": "p", "resourceVersion": "9001", "creationTimestamp": at, "labels": labels,
            "annotations": {crate::api::MODEL_NAME_ANNOTATION: "packages"},
        },
        "status": {"phase": "Failed", "containerStatuses": [ended]},
    });
    fixture.context.cache.show(Watched::Pod, pod);
    let mut failed = fixture.server.object(&format!("jobs/{job}")).expect("was created");
    failed["metadata"]["resourceVersion"] = "9002".into();
    failed["status"] = json!({"conditions": [
        {"type": "Failed", "status": "True", "reason": "BackoffLimitExceeded", "message": "limit", "lastTransitionTime": at},
    ]});
    fixture.context.cache.show(Watched::Child(Kind::Job), failed);
    assert_eq!(fixture.requests(&object).await, [EVENTS, STATUS, EVENT]);
    let (reason, message) = fixture.condition(types::TRAINING_READY);
    assert_eq!(reason, "TrainingFailed");
    assert!(message.contains("because its liveness probe had failed"), "{message}");
    assert!(message.contains("spec.training.pod.probes (type Liveness)") && !message.contains("memory"), "{message}");
}

#[tokio::test]
async fn events_that_cannot_be_read_fail_nothing() {
    let (mut fixture, object) = (Fixture::new(), object(json!({})));
    with_old_job(&mut fixture, &object).await;
    fixture.server.refuse(EVENTS, 403, "not allowed");
    assert_eq!(fixture.requests(&object).await, [EVENTS, STATUS, EVENT]);
    assert_eq!(fixture.requests(&object).await, [""; 0]);
}
