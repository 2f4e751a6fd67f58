use k8s_openapi::apimachinery::pkg::apis::meta::v1::{FieldsV1, ManagedFieldsEntry, OwnerReference};
use serde_json::json;

use super::*;
use crate::api::{FIELD_MANAGER, TEMPLATE_ANNOTATION, VERSION_LABEL};

const NOW: Timestamp = Timestamp::UNIX_EPOCH;
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

fn put(world: &World, meta: &ObjectMeta) -> bool {
    let seen = Seen::new(meta, Facts::Nothing, None).expect("the object belongs to a model");
    world.put(SERVICE, meta, seen, NOW)
}

fn service(world: &World) -> Option<Seen> {
    world.family("shop", "packages").child(Kind::Service, "packages").cloned()
}

fn wanted(object: serde_json::Value) -> Child {
    Child { kind: Kind::Service, name: "packages".into(), object, hash: "h".into(), seed_replicas: None }
}

#[test]
fn an_event_that_is_older_than_our_own_write_is_passed_over() {
    let world = World::default();
    world.record(Kind::Service, &meta("a", 5));
    assert!(!put(&world, &meta("a", 4)));
    assert_eq!(service(&world).map(|seen| seen.version), Some(5));
}

#[test]
fn an_event_that_changes_nothing_that_counts_calls_for_no_look() {
    let world = World::default();
    assert!(put(&world, &meta("a", 5)), "it is new");
    assert!(!put(&world, &meta("a", 6)), "only the version differs");
    let mut labelled = meta("a", 7);
    labelled.annotations = None;
    assert!(put(&world, &labelled), "the hash is gone");
}

#[test]
fn what_was_held_against_the_wanted_stays_confirmed_until_our_fields_change() {
    let world = World::default();
    put(&world, &meta("a", 1));
    world.confirm("shop", "packages", Kind::Service, "packages");
    put(&world, &meta("a", 2));
    let unrelated = wanted(json!({"spec": {"selector": {}}}));
    assert!(service(&world).is_some_and(|seen| seen.is_as_applied(&unrelated)), "confirmed ones are not looked into");

    let mut taken = meta("a", 3);
    taken.managed_fields = None;
    assert!(put(&world, &taken), "somebody took our fields");
    assert!(service(&world).is_some_and(|seen| !seen.is_as_applied(&wanted(json!({"spec": {"ports": []}})))));
}

#[test]
fn the_deletion_of_an_earlier_object_does_not_remove_the_one_that_took_its_name() {
    let world = World::default();
    put(&world, &meta("new", 9));
    assert_eq!(world.remove(SERVICE, &meta("old", 8)), None);
    assert!(service(&world).is_some());
    assert_eq!(world.remove(SERVICE, &meta("new", 9)), Some(("shop".into(), "packages".into())));
    assert!(service(&world).is_none());
}

#[test]
fn a_new_list_removes_what_it_does_not_have_and_nothing_of_other_kinds() {
    let world = World::default();
    put(&world, &meta("a", 1));
    world.record(Kind::Job, &ObjectMeta { uid: Some("job".into()), ..meta("job", 1) });
    let gone = world.retain(SERVICE, &HashSet::new());
    assert_eq!(gone, [("shop".to_owned(), "packages".to_owned())]);
    assert_eq!(world.family("shop", "packages").children().count(), 1);
}

#[test]
fn the_generation_we_applied_is_kept_when_the_watch_brings_news() {
    let world = World::default();
    let of = |version, observed_generation| {
        let facts = Facts::Deployment(DeploymentFacts { observed_generation, ..DeploymentFacts::default() });
        Seen::new(&meta("a", version), facts, None).expect("the object belongs to a model")
    };
    let deployment = Watched::Child(Kind::Deployment);
    let is_rolling = || match &world.family("shop", "packages").child(Kind::Deployment, "packages").expect("seen").facts
    {
        Facts::Deployment(facts) => facts.is_rolling(),
        other => panic!("{other:?}"),
    };
    world.put(deployment, &meta("a", 1), of(1, 1), NOW);
    assert!(!is_rolling());
    world.record(Kind::Deployment, &ObjectMeta { generation: Some(2), ..meta("a", 2) });
    assert!(is_rolling(), "its controller has not looked yet");
    world.put(deployment, &meta("a", 3), of(3, 1), NOW);
    assert!(is_rolling(), "nor now");
    world.put(deployment, &meta("a", 4), of(4, 2), NOW);
    assert!(!is_rolling());
}

#[test]
fn a_job_that_was_just_made_runs_before_the_watch_has_shown_it() {
    let world = World::default();
    let mut job = meta("job", 1);
    job.labels = Some([(VERSION_LABEL.to_owned(), "full-1".to_owned())].into());
    job.annotations.get_or_insert_default().insert(TEMPLATE_ANNOTATION.into(), "t".into());
    world.record(Kind::Job, &job);
    let facts = world.family("shop", "packages").child(Kind::Job, "packages").map(|seen| seen.facts.clone());
    assert!(matches!(facts, Some(Facts::Job(job)) if job.end.is_none()));
}

#[test]
fn a_child_that_was_deleted_before_our_write_was_answered_does_not_come_back() {
    let world = World::default();
    world.tells(SERVICE, &meta("a", 5));
    put(&world, &meta("a", 5));
    world.tells(SERVICE, &meta("a", 6));
    world.remove(SERVICE, &meta("a", 6));
    let answer = world.record(Kind::Service, &meta("a", 5));
    assert!(answer.is_some() && service(&world).is_none(), "{:?}", service(&world));
    world.record(Kind::Service, &meta("b", 7));
    assert!(service(&world).is_some_and(|seen| seen.uid == "b"), "the watch has not come to that one yet");
}

#[test]
fn a_write_to_a_child_that_the_watch_knows_is_recorded_however_far_the_watch_is() {
    let world = World::default();
    put(&world, &meta("a", 5));
    world.tells(SERVICE, &ObjectMeta { name: Some("another".into()), ..meta("z", 9) });
    world.record(Kind::Service, &meta("a", 8));
    assert_eq!(service(&world).map(|seen| seen.version), Some(8));
}

#[test]
fn the_end_of_a_job_is_dated_by_our_own_clock_when_it_is_first_seen() {
    let end = |seen_at| JobEnd { succeeded: true, at: NOW, seen_at, reason: String::new(), message: String::new() };
    let of = |version, end| {
        let facts = Facts::Job(JobFacts {
            version: "full-1".into(),
            due: NOW,
            trigger: crate::api::Trigger::Initial,
            template: "t".into(),
            request: None,
            end,
            pod_due: NOW,
        });
        Seen::new(&meta("job", version), facts, None).expect("the object belongs to a model")
    };
    let job = Watched::Child(Kind::Job);
    let seen_at = |world: &World| match &world.family("shop", "packages").child(Kind::Job, "packages")?.facts {
        Facts::Job(job) => Some(job.end.as_ref()?.seen_at),
        _ => None,
    };
    let later = |seconds| NOW + jiff::SignedDuration::from_secs(seconds);
    let world = World::default();
    world.put(job, &meta("job", 1), of(1, None), later(100));
    world.put(job, &meta("job", 2), of(2, Some(end(NOW))), later(200));
    assert_eq!(seen_at(&world), Some(later(200)));
    assert!(!world.put(job, &meta("job", 3), of(3, Some(end(NOW))), later(300)), "that is no news");
    assert_eq!(seen_at(&world), Some(later(200)));

    let restarted = World::default();
    restarted.put(job, &meta("job", 3), of(3, Some(end(NOW))), later(400));
    assert_eq!(seen_at(&restarted), Some(NOW), "when it was seen to end is not known any more");
}

#[test]
fn nothing_counts_as_loaded_before_every_list_has_arrived() {
    let world = World::default();
    world.expect_list();
    world.expect_list();
    world.list_arrived();
    assert!(!world.is_loaded());
    world.list_arrived();
    assert!(world.is_loaded());
}

#[test]
fn a_child_whose_owner_reference_was_removed_is_nobodys() {
    let world = World::default();
    put(&world, &meta("a", 1));
    let orphan = ObjectMeta { owner_references: None, ..meta("a", 2) };
    assert!(Seen::new(&orphan, Facts::Nothing, None).is_none());
    assert_eq!(
        world.disown(SERVICE, &ObjectMeta { uid: Some("b".into()), ..orphan.clone() }),
        None,
        "it is another one"
    );
    assert_eq!(world.disown(SERVICE, &orphan), Some(("shop".into(), "packages".into())));
    assert!(service(&world).is_none());
    assert_eq!(world.disown(SERVICE, &orphan), None);
}

const DEPLOYMENT: &str = "packages-serving";

/// The world with the Deployment of an object's servers in it.
fn with_deployment() -> World {
    let world = World::default();
    let meta = ObjectMeta { name: Some(DEPLOYMENT.into()), ..meta("d", 1) };
    let seen = Seen::new(&meta, Facts::Nothing, None).expect("the object belongs to a model");
    world.put(Watched::Child(Kind::Deployment), &meta, seen, NOW);
    world
}

fn foreign_meta(name: &str) -> ObjectMeta {
    let owner = OwnerReference {
        kind: "ScaledObject".into(),
        name: "shop-scaler".into(),
        controller: Some(true),
        ..OwnerReference::default()
    };
    let (name, uid) = (Some(name.to_owned()), Some(format!("uid of {name}")));
    ObjectMeta { name, uid, annotations: None, owner_references: Some(vec![owner]), ..meta("", 1) }
}

fn moving(kind: &str, name: &str) -> Facts {
    let autoscaler = json!({
        "metadata": {},
        "spec": {"maxReplicas": 1, "scaleTargetRef": {"apiVersion": "apps/v1", "kind": kind, "name": name}},
    });
    facts::autoscaler(&serde_json::from_value(autoscaler).expect("an autoscaler"))
}

fn packages() -> Vec<(String, String)> {
    vec![("shop".into(), "packages".into())]
}

#[test]
fn an_autoscaler_of_somebody_else_is_told_with_its_owner_until_it_goes() {
    let world = with_deployment();
    let told = || world.foreign_autoscaler("shop", DEPLOYMENT);
    let keda = foreign_meta("keda-hpa-shop-scaler");
    assert_eq!(world.note_mover(&keda, &moving("Deployment", DEPLOYMENT)), packages());
    let owner = Some("ScaledObject shop-scaler".to_owned());
    assert_eq!(told(), Some(ForeignAutoscaler { name: "keda-hpa-shop-scaler".into(), owner }));
    assert_eq!(world.note_mover(&keda, &moving("Deployment", DEPLOYMENT)), [], "that is no news");
    assert_eq!(world.foreign_autoscaler("another", DEPLOYMENT), None);

    assert_eq!(world.forget_mover(&keda), packages());
    assert_eq!(told(), None);
    assert_eq!(world.forget_mover(&keda), []);
}

#[test]
fn an_autoscaler_that_takes_another_target_concerns_both() {
    let world = with_deployment();
    let worker = ObjectMeta { name: Some("packages-worker-events".into()), ..meta("w", 1) };
    let seen = Seen::new(&worker, Facts::Nothing, None).expect("the object belongs to a model");
    world.put(Watched::Child(Kind::Deployment), &worker, seen, NOW);
    let made_by_hand = ObjectMeta { owner_references: None, ..foreign_meta("mine") };
    world.note_mover(&made_by_hand, &moving("Deployment", DEPLOYMENT));
    let touched = world.note_mover(&made_by_hand, &moving("Deployment", "packages-worker-events"));
    assert_eq!(touched, [packages(), packages()].concat());
    assert_eq!(world.foreign_autoscaler("shop", DEPLOYMENT), None);
    let told = world.foreign_autoscaler("shop", "packages-worker-events");
    assert_eq!(told, Some(ForeignAutoscaler { name: "mine".into(), owner: None }));
    assert_eq!(world.note_mover(&made_by_hand, &moving("StatefulSet", "packages-worker-events")), packages());
    assert_eq!(world.foreign_autoscaler("shop", "packages-worker-events"), None);
}

#[test]
fn of_several_autoscalers_of_others_each_counts_until_a_new_list_has_none() {
    let world = with_deployment();
    for name in ["b", "a"] {
        world.note_mover(&foreign_meta(name), &moving("Deployment", DEPLOYMENT));
    }
    let told = || world.foreign_autoscaler("shop", DEPLOYMENT).map(|autoscaler| autoscaler.name);
    assert_eq!(told().as_deref(), Some("a"));
    let autoscalers = Watched::Child(Kind::HorizontalPodAutoscaler);
    assert_eq!(world.retain(SERVICE, &HashSet::new()), [], "the list was of another kind");
    assert_eq!(world.retain(autoscalers, &HashSet::from(["uid of b".to_owned()])), packages());
    assert_eq!(told().as_deref(), Some("b"));
    assert_eq!(world.retain(autoscalers, &HashSet::new()), packages());
    assert_eq!(told(), None);
}

#[test]
fn an_autoscaler_of_somebody_else_may_be_seen_before_the_deployment() {
    let world = World::default();
    assert_eq!(world.note_mover(&foreign_meta("a"), &moving("Deployment", DEPLOYMENT)), [], "there is nobody to tell");
    assert!(world.foreign_autoscaler("shop", DEPLOYMENT).is_some());
}

#[test]
fn nothing_is_kept_of_autoscalers_that_are_ours_or_move_what_cannot_be_ours() {
    let world = with_deployment();
    assert_eq!(world.note_mover(&meta("a", 1), &moving("Deployment", DEPLOYMENT)), []);
    for (kind, name) in [("StatefulSet", DEPLOYMENT), ("Deployment", "web"), ("Deployment", "packages")] {
        assert_eq!(world.note_mover(&foreign_meta("a"), &moving(kind, name)), []);
    }
    assert_eq!(format!("{:?}", lock(&world.foreign)), format!("{:?}", Foreign::default()));
}

#[test]
fn deployments_and_autoscalers_are_found_by_name_and_only_for_whoever_controls_them() {
    let deployment = |ready| Facts::Deployment(DeploymentFacts { ready, ..DeploymentFacts::default() });
    let worker = "packages-worker-events";
    let family = Family::default()
        .with(Watched::Child(Kind::Deployment), DEPLOYMENT, deployment(2), None)
        .with(Watched::Child(Kind::Deployment), worker, deployment(7), None)
        .with(Watched::Child(Kind::Deployment), "packages-worker-new", Facts::Nothing, None)
        .with(Watched::Child(Kind::HorizontalPodAutoscaler), worker, moving("Deployment", worker), None);
    assert_eq!(family.deployment(DEPLOYMENT, "uid").map(|facts| facts.ready), Some(2));
    assert_eq!(family.deployment(worker, "uid").map(|facts| facts.ready), Some(7));
    assert_eq!(family.deployment(worker, "another"), None);
    assert_eq!(family.deployment("packages-worker-new", "uid"), None, "its state was not told yet");
    let target = |name, uid| family.autoscaler(name, uid).and_then(|facts| facts.target.as_deref());
    assert_eq!(target(worker, "uid"), Some(worker));
    assert_eq!((target(DEPLOYMENT, "uid"), target(worker, "another")), (None, None));
}

/// A worker's pod, created at the epoch; its conditions and the state of its container are given.
fn pod_facts(meta: serde_json::Value, ready: Option<&str>, container: serde_json::Value) -> PodFacts {
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
    facts::pod(&serde_json::from_value(pod).expect("a pod"))
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
        facts::pod(&serde_json::from_value(pod).expect("a pod")).lost_readiness
    };
    assert!(lost("1970-01-01T00:10:00Z"));
    assert!(!lost("1970-01-01T00:00:00Z"), "it was not ready yet, as with readiness gates that take their time");
}

#[test]
fn the_start_of_a_pod_is_measured_to_its_first_readiness() {
    let seconds = |seconds| Some(jiff::SignedDuration::from_secs(seconds));
    let new = pod_facts(json!({}), None, json!({}));
    assert_eq!((new.component.as_str(), new.ready_since, new.started_after), ("worker-events", None, None));
    let mut ready = pod_facts(json!({}), Some("1970-01-01T00:00:09Z"), json!({}));
    ready.keep(&new);
    assert_eq!((ready.ready_since, ready.started_after), (Some(NOW + jiff::SignedDuration::from_secs(9)), seconds(9)));

    let mut back = pod_facts(json!({}), Some("1970-01-01T01:00:00Z"), json!({}));
    back.keep(&ready);
    assert_eq!(back.started_after, seconds(9), "its readiness was lost in between");
    assert_eq!(back.ready_since, Some(NOW + jiff::SignedDuration::from_hours(1)));

    let unknown = pod_facts(json!({}), Some("1970-01-01T03:00:00Z"), json!({}));
    assert_eq!(unknown.started_after, None, "no start takes three hours: it had been ready before");

    let mut restarted = pod_facts(json!({}), Some("1970-01-01T01:00:00Z"), json!({"restartCount": 1}));
    assert_eq!(restarted.started_after, None, "that is not how a start normally goes");
    restarted.keep(&ready);
    assert_eq!(restarted.started_after, seconds(9), "it had been ready before");
}

#[test]
fn a_pod_that_is_being_deleted_is_not_ready() {
    let deleted = json!({"deletionTimestamp": "1970-01-01T00:01:00Z"});
    assert_eq!(pod_facts(deleted, Some("1970-01-01T00:00:09Z"), json!({})).ready_since, None);
}

#[test]
fn why_a_worker_does_not_start_and_how_it_ended_is_told_as_of_servers() {
    let waiting = json!({"state": {"waiting": {"reason": "ImagePullBackOff"}}});
    let facts = pod_facts(json!({}), None, waiting);
    assert_eq!(facts.blocked_at(NOW), Some("image w:1 cannot be pulled"));
    let crashing = json!({"state": {"waiting": {"reason": "CrashLoopBackOff"}}, "restartCount": 3});
    let facts = pod_facts(json!({}), None, crashing);
    let why = "the container ends right after its start (CrashLoopBackOff); see its log";
    assert_eq!(facts.blocked_at(NOW), Some(why));
    let ended = json!({"state": {"terminated": {"exitCode": 137, "reason": "OOMKilled"}}});
    let end = pod_facts(json!({}), None, ended).end.expect("it ended");
    assert_eq!((end.exit_code, end.reason.as_str()), (137, "OOMKilled"));
}
