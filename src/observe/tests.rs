use std::collections::HashSet;

use jiff::Timestamp;
use k8s_openapi::apimachinery::pkg::apis::meta::v1::{FieldsV1, ManagedFieldsEntry, OwnerReference};
use kube::core::ObjectMeta;
use serde_json::json;

use super::{cache::lock, external::External, *};
use crate::{
    api::{FIELD_MANAGER, HASH_ANNOTATION, PRUNE_ANNOTATION, TEMPLATE_ANNOTATION, VERSION_LABEL},
    child::Child,
};

/// The time at which watches deliver objects.
const NOW: Timestamp = Timestamp::UNIX_EPOCH;
/// The kind that most tests watch.
const SERVICE: Watched = Watched::Child(Kind::Service);

fn meta(uid: &str, version: u64) -> ObjectMeta {
    ObjectMeta {
        name: Some("packages".into()),
        namespace: Some("shop".into()),
        uid: Some(uid.into()),
        resource_version: Some(version.to_string()),
        annotations: Some([(HASH_ANNOTATION.to_owned(), "h".to_owned())].into()),
        owner_references: Some(vec![OwnerReference {
            kind: "RecommenderModel".into(),
            name: "packages".into(),
            uid: "owner".into(),
            controller: Some(true),
            ..OwnerReference::default()
        }]),
        managed_fields: Some(vec![ManagedFieldsEntry {
            manager: Some(FIELD_MANAGER.into()),
            operation: Some("Apply".into()),
            fields_v1: Some(FieldsV1(json!({"f:spec": {"f:ports": {}}}))),
            ..ManagedFieldsEntry::default()
        }]),
        ..ObjectMeta::default()
    }
}

fn put(cache: &Cache, meta: &ObjectMeta) -> bool {
    let observed = ObservedChild::new(meta, ChildState::Nothing, None).expect("the object belongs to a model");
    cache.put(SERVICE, meta, observed, NOW)
}

fn service(cache: &Cache) -> Option<ObservedChild> {
    cache.children("shop", "packages").child(Kind::Service, "packages").cloned()
}

fn desired(object: serde_json::Value) -> Child {
    Child { kind: Kind::Service, name: "packages".into(), object, hash: "h".into(), seed_replicas: None }
}

#[test]
fn a_watch_event_older_than_our_own_write_is_ignored() {
    let cache = Cache::default();
    cache.record_write(Kind::Service, &meta("a", 5));
    assert!(!put(&cache, &meta("a", 4)));
    assert_eq!(service(&cache).map(|observed| observed.version), Some(5));
}

#[test]
fn a_watch_event_that_changes_only_the_resource_version_is_no_change() {
    let cache = Cache::default();
    assert!(put(&cache, &meta("a", 5)), "it is new");
    assert!(!put(&cache, &meta("a", 6)), "only the version differs");
    let mut labelled = meta("a", 7);
    labelled.annotations = None;
    assert!(put(&cache, &labelled), "the hash is gone");
}

/// A Service with a hash.
fn hashed(uid: &str, version: u64, hash: &str) -> ObjectMeta {
    let mut meta = meta(uid, version);
    meta.annotations.get_or_insert_default().insert(HASH_ANNOTATION.into(), hash.into());
    meta
}

#[test]
fn an_old_copy_applied_by_another_manager_is_drift_and_a_change_of_the_spec_is_not() {
    let has_drifted = |cache: &Cache| service(cache).map(|child| child.has_drifted(&desired(json!({}))));
    let after = |written: &str| {
        let cache = Cache::default();
        cache.record_write(Kind::Service, &hashed("a", 5, written));
        cache
    };
    let (ours, earlier) = (after("h"), after("an earlier spec"));
    for cache in [&ours, &earlier] {
        put(cache, &hashed("a", 6, "an old copy"));
    }
    assert_eq!(has_drifted(&ours), Some(true), "what is desired was written");
    assert_eq!(has_drifted(&earlier), Some(false), "what is desired was not written yet");

    put(&ours, &hashed("a later object of that name", 7, "an old copy"));
    assert_eq!(has_drifted(&ours), Some(false), "it was not written to that object");

    let late = Cache::default();
    put(&late, &hashed("a", 6, "an old copy"));
    late.record_write(Kind::Service, &hashed("a", 5, "h"));
    assert_eq!(has_drifted(&late), Some(true), "the watch was faster than the response");
}

#[test]
fn a_child_confirmed_as_desired_stays_confirmed_until_our_fields_change() {
    let cache = Cache::default();
    put(&cache, &meta("a", 1));
    cache.confirm("shop", "packages", Kind::Service, "packages");
    put(&cache, &meta("a", 2));
    let unrelated = desired(json!({"spec": {"selector": {}}}));
    assert!(
        service(&cache).is_some_and(|observed| observed.is_as_applied(&unrelated)),
        "a confirmed child is not compared again"
    );

    let mut taken = meta("a", 3);
    taken.managed_fields = None;
    assert!(put(&cache, &taken), "another manager took over our fields");
    assert!(service(&cache).is_some_and(|observed| !observed.is_as_applied(&desired(json!({"spec": {"ports": []}})))));
}

#[test]
fn the_deletion_of_an_earlier_object_does_not_remove_a_later_one_of_the_same_name() {
    let cache = Cache::default();
    put(&cache, &meta("new", 9));
    assert_eq!(cache.remove(SERVICE, &meta("old", 8)), None);
    assert!(service(&cache).is_some());
    assert_eq!(cache.remove(SERVICE, &meta("new", 9)), Some(("shop".into(), "packages".into())));
    assert!(service(&cache).is_none());
}

#[test]
fn a_new_list_removes_the_objects_it_does_not_contain_and_none_of_other_kinds() {
    let cache = Cache::default();
    put(&cache, &meta("a", 1));
    cache.record_write(Kind::Job, &ObjectMeta { uid: Some("job".into()), ..meta("job", 1) });
    let gone = cache.retain(SERVICE, &HashSet::new());
    assert_eq!(gone, [("shop".to_owned(), "packages".to_owned())]);
    assert_eq!(cache.children("shop", "packages").iter().count(), 1);
}

#[test]
fn the_applied_generation_is_kept_when_the_watch_delivers_a_change() {
    let cache = Cache::default();
    let of = |version, observed_generation| {
        let state = ChildState::Deployment(DeploymentState { observed_generation, ..DeploymentState::default() });
        ObservedChild::new(&meta("a", version), state, None).expect("the object belongs to a model")
    };
    let deployment = Watched::Child(Kind::Deployment);
    let is_rolling =
        || match &cache.children("shop", "packages").child(Kind::Deployment, "packages").expect("in the cache").state {
            ChildState::Deployment(state) => state.is_rolling(),
            other => panic!("{other:?}"),
        };
    cache.put(deployment, &meta("a", 1), of(1, 1), NOW);
    assert!(!is_rolling());
    cache.record_write(Kind::Deployment, &ObjectMeta { generation: Some(2), ..meta("a", 2) });
    assert!(is_rolling(), "the Deployment controller has not observed it yet");
    cache.put(deployment, &meta("a", 3), of(3, 1), NOW);
    assert!(is_rolling(), "still not observed");
    cache.put(deployment, &meta("a", 4), of(4, 2), NOW);
    assert!(!is_rolling());
}

#[test]
fn a_job_that_was_just_created_counts_as_running_before_the_watch_delivers_it() {
    let cache = Cache::default();
    let mut job = meta("job", 1);
    job.labels = Some([(VERSION_LABEL.to_owned(), "full-1".to_owned())].into());
    job.annotations.get_or_insert_default().insert(TEMPLATE_ANNOTATION.into(), "t".into());
    cache.record_write(Kind::Job, &job);
    let state = cache.children("shop", "packages").child(Kind::Job, "packages").map(|observed| observed.state.clone());
    assert!(matches!(state, Some(ChildState::Job(job)) if job.end.is_none()));
}

#[test]
fn a_job_that_deletes_artifacts_is_no_training() {
    let cache = Cache::default();
    let mut job = meta("job", 1);
    job.annotations.get_or_insert_default().insert(PRUNE_ANNOTATION.into(), "full-1 partial-2".into());
    cache.record_write(Kind::Job, &job);
    let state = cache.children("shop", "packages").child(Kind::Job, "packages").map(|observed| observed.state.clone());
    let Some(ChildState::Prune(state)) = state else { panic!("it deletes artifacts: {state:?}") };
    assert_eq!((state.versions, state.end), (vec!["full-1".to_owned(), "partial-2".to_owned()], None));
    assert_eq!(cache.active_trainings(), [], "it fills no limit of trainings");
}

#[test]
fn a_child_deleted_before_the_response_to_our_write_is_not_cached_again() {
    let cache = Cache::default();
    cache.record_progress(SERVICE, &meta("a", 5));
    put(&cache, &meta("a", 5));
    cache.record_progress(SERVICE, &meta("a", 6));
    cache.remove(SERVICE, &meta("a", 6));
    let answer = cache.record_write(Kind::Service, &meta("a", 5));
    assert!(answer.is_some() && service(&cache).is_none(), "{:?}", service(&cache));
    cache.record_write(Kind::Service, &meta("b", 7));
    assert!(service(&cache).is_some_and(|observed| observed.uid == "b"), "the watch has not reached that one yet");
}

#[test]
fn a_write_to_a_cached_child_is_recorded_whatever_the_progress_of_the_watch() {
    let cache = Cache::default();
    put(&cache, &meta("a", 5));
    cache.record_progress(SERVICE, &ObjectMeta { name: Some("another".into()), ..meta("z", 9) });
    cache.record_write(Kind::Service, &meta("a", 8));
    assert_eq!(service(&cache).map(|observed| observed.version), Some(8));
}

#[test]
fn no_pod_is_due_of_a_job_that_the_job_controller_ends() {
    let job = |condition: &str| {
        let text = json!({
            "metadata": {
                "labels": {"recommender.dev/version": "full-1"},
                "annotations": {"recommender.dev/training-template": "t"},
                "creationTimestamp": "2026-11-21T12:00:00Z",
            },
            "status": {"conditions": [{"type": condition, "status": "True"}]},
        });
        let job = serde_json::from_value(text).expect("a Job");
        let ChildState::Job(state) = super::state::job(&job) else { panic!("it is a training run") };
        (state.pod_due.is_some(), state.end.is_some())
    };
    assert_eq!(job("Suspended"), (true, false));
    assert_eq!([job("FailureTarget"), job("SuccessCriteriaMet")], [(false, false); 2]);
}

#[test]
fn the_end_of_a_job_is_dated_by_our_own_clock_when_first_observed() {
    let end =
        |observed_at| JobEnd { succeeded: true, at: NOW, observed_at, reason: String::new(), message: String::new() };
    let of = |version, end| {
        let state = ChildState::Job(JobState {
            version: "full-1".into(),
            due: NOW,
            trigger: crate::api::Trigger::Initial,
            template: "t".into(),
            request: None,
            cause: None,
            base: None,
            started_at: None,
            end,
            pod_due: Some(NOW),
            suspended: false,
            queue: None,
            refused: None,
        });
        ObservedChild::new(&meta("job", version), state, None).expect("the object belongs to a model")
    };
    let job = Watched::Child(Kind::Job);
    let observed_at = |cache: &Cache| match &cache.children("shop", "packages").child(Kind::Job, "packages")?.state {
        ChildState::Job(job) => Some(job.end.as_ref()?.observed_at),
        _ => None,
    };
    let later = |seconds| NOW + jiff::SignedDuration::from_secs(seconds);
    let cache = Cache::default();
    cache.put(job, &meta("job", 1), of(1, None), later(100));
    cache.put(job, &meta("job", 2), of(2, Some(end(NOW))), later(200));
    assert_eq!(observed_at(&cache), Some(later(200)));
    assert!(!cache.put(job, &meta("job", 3), of(3, Some(end(NOW))), later(300)), "nothing changed");
    assert_eq!(observed_at(&cache), Some(later(200)));

    let restarted = Cache::default();
    restarted.put(job, &meta("job", 3), of(3, Some(end(NOW))), later(400));
    assert_eq!(observed_at(&restarted), Some(NOW), "when its end was observed is not known any more");
}

#[test]
fn the_cache_is_not_loaded_before_every_list_has_arrived() {
    let cache = Cache::default();
    cache.expect_list();
    cache.expect_list();
    cache.list_arrived();
    assert!(!cache.is_loaded());
    cache.list_arrived();
    assert!(cache.is_loaded());
}

#[test]
fn a_child_whose_owner_reference_was_removed_is_removed_from_the_cache() {
    let cache = Cache::default();
    put(&cache, &meta("a", 1));
    let orphan = ObjectMeta { owner_references: None, ..meta("a", 2) };
    assert!(ObservedChild::new(&orphan, ChildState::Nothing, None).is_none());
    assert_eq!(
        cache.disown(SERVICE, &ObjectMeta { uid: Some("b".into()), ..orphan.clone() }),
        None,
        "it is another object"
    );
    assert_eq!(cache.disown(SERVICE, &orphan), Some(("shop".into(), "packages".into())));
    assert!(service(&cache).is_none());
    assert_eq!(cache.disown(SERVICE, &orphan), None);
}

/// Name of the servers' Deployment.
const DEPLOYMENT: &str = "packages-serving";

/// A cache with the Deployment of an object's servers.
fn with_deployment() -> Cache {
    let cache = Cache::default();
    let meta = ObjectMeta { name: Some(DEPLOYMENT.into()), ..meta("d", 1) };
    let observed = ObservedChild::new(&meta, ChildState::Nothing, None).expect("the object belongs to a model");
    cache.put(Watched::Child(Kind::Deployment), &meta, observed, NOW);
    cache
}

fn external_meta(name: &str) -> ObjectMeta {
    let owner = OwnerReference {
        kind: "ScaledObject".into(),
        name: "shop-scaler".into(),
        controller: Some(true),
        ..OwnerReference::default()
    };
    let (name, uid) = (Some(name.to_owned()), Some(format!("uid of {name}")));
    ObjectMeta { name, uid, annotations: None, owner_references: Some(vec![owner]), ..meta("", 1) }
}

fn scaling(kind: &str, name: &str) -> ChildState {
    let autoscaler = json!({
        "metadata": {},
        "spec": {"maxReplicas": 1, "scaleTargetRef": {"apiVersion": "apps/v1", "kind": kind, "name": name}},
    });
    state::autoscaler(&serde_json::from_value(autoscaler).expect("an autoscaler"))
}

fn packages() -> Vec<(String, String)> {
    vec![("shop".into(), "packages".into())]
}

#[test]
fn an_external_autoscaler_is_reported_with_its_owner_until_it_is_deleted() {
    let cache = with_deployment();
    let reported = || cache.external_autoscaler("shop", DEPLOYMENT);
    let keda = external_meta("keda-hpa-shop-scaler");
    assert_eq!(cache.record_external(&keda, &scaling("Deployment", DEPLOYMENT)), packages());
    let owner = Some("ScaledObject shop-scaler".to_owned());
    assert_eq!(reported(), Some(ExternalAutoscaler { name: "keda-hpa-shop-scaler".into(), owner }));
    assert_eq!(cache.record_external(&keda, &scaling("Deployment", DEPLOYMENT)), [], "nothing changed");
    assert_eq!(cache.external_autoscaler("another", DEPLOYMENT), None);

    assert_eq!(cache.forget_external(&keda), packages());
    assert_eq!(reported(), None);
    assert_eq!(cache.forget_external(&keda), []);
}

#[test]
fn an_autoscaler_that_changes_its_target_affects_both_deployments() {
    let cache = with_deployment();
    let worker = ObjectMeta { name: Some("packages-worker-events".into()), ..meta("w", 1) };
    let observed = ObservedChild::new(&worker, ChildState::Nothing, None).expect("the object belongs to a model");
    cache.put(Watched::Child(Kind::Deployment), &worker, observed, NOW);
    let made_by_hand = ObjectMeta { owner_references: None, ..external_meta("mine") };
    cache.record_external(&made_by_hand, &scaling("Deployment", DEPLOYMENT));
    let enqueued = cache.record_external(&made_by_hand, &scaling("Deployment", "packages-worker-events"));
    assert_eq!(enqueued, [packages(), packages()].concat());
    assert_eq!(cache.external_autoscaler("shop", DEPLOYMENT), None);
    let reported = cache.external_autoscaler("shop", "packages-worker-events");
    assert_eq!(reported, Some(ExternalAutoscaler { name: "mine".into(), owner: None }));
    assert_eq!(cache.record_external(&made_by_hand, &scaling("StatefulSet", "packages-worker-events")), packages());
    assert_eq!(cache.external_autoscaler("shop", "packages-worker-events"), None);
}

#[test]
fn each_of_several_external_autoscalers_counts_until_a_new_list_does_not_contain_it() {
    let cache = with_deployment();
    for name in ["b", "a"] {
        cache.record_external(&external_meta(name), &scaling("Deployment", DEPLOYMENT));
    }
    let reported = || cache.external_autoscaler("shop", DEPLOYMENT).map(|autoscaler| autoscaler.name);
    assert_eq!(reported().as_deref(), Some("a"));
    let autoscalers = Watched::Child(Kind::HorizontalPodAutoscaler);
    assert_eq!(cache.retain(SERVICE, &HashSet::new()), [], "the list was of another kind");
    assert_eq!(cache.retain(autoscalers, &HashSet::from(["uid of b".to_owned()])), packages());
    assert_eq!(reported().as_deref(), Some("b"));
    assert_eq!(cache.retain(autoscalers, &HashSet::new()), packages());
    assert_eq!(reported(), None);
}

#[test]
fn an_external_autoscaler_may_be_observed_before_the_deployment() {
    let cache = Cache::default();
    assert_eq!(
        cache.record_external(&external_meta("a"), &scaling("Deployment", DEPLOYMENT)),
        [],
        "there is no object to enqueue"
    );
    assert!(cache.external_autoscaler("shop", DEPLOYMENT).is_some());
}

#[test]
fn nothing_is_kept_of_autoscalers_that_are_ours_or_scale_workloads_that_are_not() {
    let cache = with_deployment();
    assert_eq!(cache.record_external(&meta("a", 1), &scaling("Deployment", DEPLOYMENT)), []);
    for (kind, name) in [("StatefulSet", DEPLOYMENT), ("Deployment", "web"), ("Deployment", "packages")] {
        assert_eq!(cache.record_external(&external_meta("a"), &scaling(kind, name)), []);
    }
    assert_eq!(format!("{:?}", lock(&cache.external)), format!("{:?}", External::default()));
}

#[test]
fn deployments_and_autoscalers_are_found_by_name_and_only_for_their_controller() {
    let deployment = |ready| ChildState::Deployment(DeploymentState { ready, ..DeploymentState::default() });
    let worker = "packages-worker-events";
    let children = Children::default()
        .with(Watched::Child(Kind::Deployment), DEPLOYMENT, deployment(2), None)
        .with(Watched::Child(Kind::Deployment), worker, deployment(7), None)
        .with(Watched::Child(Kind::Deployment), "packages-worker-new", ChildState::Nothing, None)
        .with(Watched::Child(Kind::HorizontalPodAutoscaler), worker, scaling("Deployment", worker), None);
    assert_eq!(children.deployment(DEPLOYMENT, "uid").map(|state| state.ready), Some(2));
    assert_eq!(children.deployment(worker, "uid").map(|state| state.ready), Some(7));
    assert_eq!(children.deployment(worker, "another"), None);
    assert_eq!(children.deployment("packages-worker-new", "uid"), None, "its state was not delivered yet");
    let target = |name, uid| children.autoscaler(name, uid).and_then(|state| state.target.as_deref());
    assert_eq!(target(worker, "uid"), Some(worker));
    assert_eq!((target(DEPLOYMENT, "uid"), target(worker, "another")), (None, None));
}

/// A worker's pod, created at the epoch: with these fields of its metadata, ready since `ready`, and these fields of its
/// container status.
fn pod_state(meta: serde_json::Value, ready: Option<&str>, container: serde_json::Value) -> PodState {
    let ready = ready.map(|at| json!({"type": "Ready", "status": "True", "lastTransitionTime": at}));
    let mut pod = json!({
        "metadata": {
            "creationTimestamp": "1970-01-01T00:00:00Z",
            "labels": {"app.kubernetes.io/component": "worker-events"},
        },
        "status": {
            "conditions": ready.into_iter().collect::<Vec<_>>(),
            "containerStatuses": [{"name": "worker", "image": "w:1", "imageID": "", "ready": true, "restartCount": 0}],
        },
    });
    for (place, more) in [("/metadata", meta), ("/status/containerStatuses/0", container)] {
        let fields = more.as_object().expect("fields").clone();
        pod.pointer_mut(place).and_then(|target| target.as_object_mut()).expect("an object").extend(fields);
    }
    state::pod(&serde_json::from_value(pod).expect("a pod"))
}

#[test]
fn readiness_that_became_false_after_the_container_started_was_lost() {
    let lost = |became_false: &str| {
        let pod = json!({
            "metadata": {"creationTimestamp": "1970-01-01T00:00:00Z"},
            "status": {
                "conditions": [{"type": "Ready", "status": "False", "lastTransitionTime": became_false}],
                "containerStatuses": [{
                    "name": "worker", "image": "w:1", "imageID": "", "ready": false, "restartCount": 0,
                    "state": {"running": {"startedAt": "1970-01-01T00:00:05Z"}},
                }],
            },
        });
        state::pod(&serde_json::from_value(pod).expect("a pod")).lost_readiness
    };
    assert!(lost("1970-01-01T00:10:00Z"));
    assert!(!lost("1970-01-01T00:00:00Z"), "it was not ready yet, for example because of a slow readiness gate");
}

#[test]
fn the_start_of_a_pod_is_measured_to_its_first_readiness() {
    let seconds = |seconds| Some(jiff::SignedDuration::from_secs(seconds));
    let new = pod_state(json!({}), None, json!({}));
    assert_eq!((new.component.as_str(), new.ready_since, new.started_after), ("worker-events", None, None));
    let mut ready = pod_state(json!({}), Some("1970-01-01T00:00:09Z"), json!({}));
    ready.keep(&new);
    assert_eq!((ready.ready_since, ready.started_after), (Some(NOW + jiff::SignedDuration::from_secs(9)), seconds(9)));

    let mut back = pod_state(json!({}), Some("1970-01-01T01:00:00Z"), json!({}));
    back.keep(&ready);
    assert_eq!(back.started_after, seconds(9), "its readiness was lost in between");
    assert_eq!(back.ready_since, Some(NOW + jiff::SignedDuration::from_hours(1)));

    let unknown = pod_state(json!({}), Some("1970-01-01T03:00:00Z"), json!({}));
    assert_eq!(unknown.started_after, None, "no start takes three hours: it had been ready before");

    let mut restarted = pod_state(json!({}), Some("1970-01-01T01:00:00Z"), json!({"restartCount": 1}));
    assert_eq!(restarted.started_after, None, "a start with a restart is no normal start");
    restarted.keep(&ready);
    assert_eq!(restarted.started_after, seconds(9), "it had been ready before");
}

#[test]
fn a_pod_that_is_being_deleted_is_not_ready() {
    let deleted = json!({"deletionTimestamp": "1970-01-01T00:01:00Z"});
    assert_eq!(pod_state(deleted, Some("1970-01-01T00:00:09Z"), json!({})).ready_since, None);
}

#[test]
fn why_a_worker_does_not_start_and_how_it_ended_is_recorded_as_for_servers() {
    let waiting = json!({"state": {"waiting": {"reason": "ImagePullBackOff"}}});
    let state = pod_state(json!({}), None, waiting);
    let why = "image w:1 cannot be pulled; check spec.workers[].image and spec.imagePullSecrets";
    assert_eq!(state.blocked_at(NOW), Some(why));
    let ended = json!({"state": {"terminated": {"exitCode": 137, "reason": "OOMKilled"}}});
    let end = pod_state(json!({}), None, ended).end.expect("it ended");
    assert_eq!((end.exit_code, end.reason.as_str()), (137, "OOMKilled"));
}

/// A crash with exit code 1 at this time of the first hour.
fn crash(at: &str) -> serde_json::Value {
    let at = format!("1970-01-01T00:{at}Z");
    json!({"terminated": {"exitCode": 1, "reason": "Error", "startedAt": at, "finishedAt": at, "message": "no model"}})
}

#[test]
fn a_crash_loop_has_one_text_while_the_container_waits_runs_and_has_just_ended() {
    let meta = json!({"name": "p", "namespace": "shop"});
    let blocked = |state: serde_json::Value| {
        let container = json!({"ready": false, "restartCount": 3, "lastState": crash("10:00"), "state": state});
        pod_state(meta.clone(), None, container).blocked_at(NOW).map(str::to_owned)
    };
    let why = "the container ends right after its start (CrashLoopBackOff): exit code 1, and wrote \"no model\"; kubectl -n shop \
               logs p -c worker --previous shows more";
    assert_eq!(blocked(json!({"waiting": {"reason": "CrashLoopBackOff"}})).as_deref(), Some(why));
    assert_eq!(blocked(json!({"running": {"startedAt": "1970-01-01T00:10:40Z"}})).as_deref(), Some(why));
    assert_eq!(blocked(crash("10:40")).as_deref(), Some(why));
    let restarted_at_once = json!({"running": {"startedAt": "1970-01-01T00:10:01Z"}});
    assert_eq!(blocked(restarted_at_once), None, "a first restart has no pause before it");
}

#[test]
fn what_the_status_of_a_pod_leaves_open_depends_on_what_its_container_does() {
    let open = |ready: Option<&str>, container: serde_json::Value| {
        let unexplained = pod_state(json!({}), ready, container).unexplained?;
        Some((unexplained.open, unexplained.from.duration_since(NOW).as_secs()))
    };
    let running = |started: bool| json!({"ready": false, "started": started, "state": {"running": {"startedAt": "1970-01-01T00:10:00Z"}}});
    assert_eq!(open(None, running(false)), Some((Open::Start, 630)));
    assert_eq!(open(None, running(true)), Some((Open::Readiness, 630)));
    assert_eq!(open(Some("1970-01-01T00:10:09Z"), running(true)), None, "it is ready");
    let ended = |code: i32, reason: &str| {
        let end = json!({"terminated": {"exitCode": code, "reason": reason, "finishedAt": "1970-01-01T00:09:00Z"}});
        let mut container = running(false);
        container["restartCount"] = 1.into();
        container["lastState"] = end;
        container
    };
    assert_eq!(open(None, ended(137, "Error")), Some((Open::Kill, 540)));
    assert_eq!(open(None, ended(143, "Error")), Some((Open::Kill, 540)));
    assert_eq!(open(None, ended(137, "OOMKilled")), Some((Open::Start, 630)), "that states its cause");
    assert_eq!(open(None, ended(1, "Error")), Some((Open::Start, 630)), "it ended by itself");
    let trainer = json!({"name": "trainer", "ready": false, "started": false, "state": {"running": {"startedAt": "1970-01-01T00:10:00Z"}}});
    assert_eq!(open(None, trainer), None, "nothing waits for a trainer to be ready");

    let evicted = |name: &str| {
        let end = json!({"terminated": {"exitCode": 137, "reason": "Error", "finishedAt": NOW}});
        let container =
            json!({"name": name, "image": "i", "imageID": "", "ready": false, "restartCount": 0, "state": end});
        let pod = json!({"metadata": {"creationTimestamp": NOW}, "status": {"phase": "Failed", "containerStatuses": [container]}});
        state::pod(&serde_json::from_value(pod).expect("a pod")).unexplained.map(|of| of.open)
    };
    assert_eq!(evicted("server"), None, "it is not started again, and may stay for weeks");
    assert_eq!(evicted("trainer"), Some(Open::Kill));
}

#[test]
fn a_pod_on_which_no_scheduler_reports_names_the_field_after_half_a_minute() {
    let pod = |scheduler: &str, conditions: serde_json::Value| {
        let pod = json!({
            "metadata": {"creationTimestamp": NOW, "labels": {"app.kubernetes.io/component": "training"}},
            "spec": {"containers": [], "schedulerName": scheduler},
            "status": {"phase": "Pending", "conditions": conditions},
        });
        state::pod(&serde_json::from_value(pod).expect("a pod"))
    };
    let after = |seconds| NOW + jiff::SignedDuration::from_secs(seconds);
    let unclaimed = pod("volcanoo", json!([]));
    assert_eq!(unclaimed.blocked_at(after(29)), None);
    let why = "no scheduler has reported on the pod, which is for the one with this name: \"volcanoo\"; correct \
               spec.training.pod.schedulerName, or start that scheduler; without the field, the cluster's own takes the pod";
    assert_eq!(unclaimed.blocked_at(after(30)), Some(why));
    assert_eq!(unclaimed.unexplained.map(|of| of.open), Some(Open::Scheduling), "it may have reported in an Event");
    let late = pod("default-scheduler", json!([]));
    assert!(late.blocked_at(after(30)).is_some_and(|why| !why.contains("schedulerName")));
    let scheduled = pod("volcanoo", json!([{"type": "PodScheduled", "status": "True", "lastTransitionTime": NOW}]));
    assert_eq!(scheduled.blocked_at(after(30)), None);
}

#[test]
fn a_failing_pull_with_secrets_has_its_events_read_for_one_that_does_not_exist() {
    let pod = |secrets: serde_json::Value| {
        let waiting = json!({"waiting": {"reason": "ImagePullBackOff", "message": "r:1: 401 Unauthorized"}});
        let container = json!({"name": "server", "image": "r:1", "imageID": "", "ready": false, "restartCount": 0, "state": waiting});
        let pod = json!({
            "metadata": {"creationTimestamp": NOW, "labels": {"app.kubernetes.io/component": "serving"}},
            "spec": {"containers": [], "nodeName": "a", "imagePullSecrets": secrets},
            "status": {"phase": "Pending", "containerStatuses": [container]},
        });
        state::pod(&serde_json::from_value(pod).expect("a pod"))
    };
    assert_eq!(pod(json!([])).unexplained, None);
    let mut failing = pod(json!([{"name": "registry"}]));
    failing.explain("a Secret of spec.imagePullSecrets does not exist");
    let why = failing.blocked_at(NOW).expect("it is blocked");
    assert!(why.starts_with("a Secret of spec.imagePullSecrets does not exist; image r:1 cannot be pulled"), "{why}");
}

#[test]
fn an_init_container_that_failed_a_pod_is_named_with_its_end() {
    let pod = |phase: &str, exit_code: i32| {
        let end = json!({"exitCode": exit_code, "reason": "Error", "message": "no such bucket", "startedAt": NOW});
        let init = json!([
            {"name": "wait", "image": "i:1", "imageID": "", "ready": true, "restartCount": 0,
             "state": {"terminated": {"exitCode": 0}}},
            {"name": "fetch", "image": "i:1", "imageID": "", "ready": false, "restartCount": 0,
             "state": {"terminated": end}},
        ]);
        let pod = json!({
            "metadata": {"creationTimestamp": NOW},
            "status": {"phase": phase, "initContainerStatuses": init, "containerStatuses": [{
                "name": "trainer", "image": "t:1", "imageID": "", "ready": false, "restartCount": 0,
                "state": {"waiting": {"reason": "PodInitializing"}},
            }]},
        });
        state::pod(&serde_json::from_value(pod).expect("a pod"))
    };
    let failed = pod("Failed", 3);
    let why = "init container fetch: exit code 3, and wrote \"no such bucket\"";
    assert_eq!((failed.failed_by.as_deref(), failed.end), (Some(why), None));
    let missing = pod("Failed", 127).failed_by.expect("it failed");
    assert!(missing.starts_with("init container fetch: its command is not in the image (exit code 127)"), "{missing}");
    assert_eq!(pod("Pending", 3).failed_by, None, "it is started again");
    assert_eq!(pod("Failed", 0).failed_by, None, "it did not fail");
}

#[test]
fn an_image_of_an_init_container_that_cannot_be_pulled_is_named() {
    let waiting = json!({"waiting": {"reason": "ErrImagePull", "message": "i:1: not found"}});
    let init =
        json!([{"name": "fetch", "image": "i:1", "imageID": "", "ready": false, "restartCount": 0, "state": waiting}]);
    let pod = json!({"metadata": {"creationTimestamp": NOW}, "status": {"initContainerStatuses": init}});
    let state = state::pod(&serde_json::from_value(pod).expect("a pod"));
    let why = state.blocked_at(NOW).unwrap_or_default();
    assert!(why.starts_with("init container fetch: image i:1 cannot be pulled, because its registry"), "{why}");
}

#[test]
fn refused_pods_and_a_passed_progress_deadline_are_distinguished() {
    let quota = json!({"type": "ReplicaFailure", "status": "True", "reason": "FailedCreate",
        "message": "pods \"a\" is forbidden: exceeded quota: compute, requested: pods=1, used: pods=2, limited: pods=2"});
    let late = json!({"type": "Progressing", "status": "False", "reason": "ProgressDeadlineExceeded",
        "message": "ReplicaSet \"a\" has timed out progressing."});
    let state = |conditions: serde_json::Value| {
        let deployment = json!({"metadata": {"namespace": "shop"}, "status": {"conditions": conditions}});
        match state::deployment(&serde_json::from_value(deployment).expect("a Deployment")) {
            ChildState::Deployment(state) => state,
            other => panic!("{other:?}"),
        }
    };
    let refused = state(json!([quota]));
    let why = refused.failure().unwrap_or_default();
    assert!(
        why.starts_with("a ResourceQuota of namespace shop allows no more pods: \"exceeded quota: compute"),
        "{why}"
    );
    assert_eq!(refused.stuck, None);
    assert_eq!(state(json!([late])).failure(), Some("\"ReplicaSet 'a' has timed out progressing\""));
    assert_eq!(state(json!([late, quota])).failure(), Some(why), "the cause, not its consequence");
}
