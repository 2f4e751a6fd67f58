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
    assert_eq!(world.remove(SERVICE, &meta("new", 9)), Some("packages".into()));
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
    assert_eq!(world.disown(SERVICE, "a"), Some(("shop".into(), "packages".into())));
    assert!(service(&world).is_none());
    assert_eq!(world.disown(SERVICE, "a"), None);
}
