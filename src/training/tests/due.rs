use proptest::prelude::*;

use super::{at, world::World};
use crate::{
    api::{TrainingKind, Trigger},
    training::{Decision, NewRun, Plan, Schedule, ids},
};

fn started(decision: &Decision) -> &NewRun {
    decision.start.as_ref().expect("a run to start")
}

fn due(run: &NewRun) -> String {
    run.due.to_string()
}

#[test]
fn a_new_object_is_trained_at_once() {
    let mut world = World::new();
    let run = started(&world.reconcile()).clone();
    assert_eq!(
        (run.kind, run.trigger, due(&run)),
        (TrainingKind::Full, Trigger::Initial, "2026-11-20T12:00:00Z".into())
    );
    assert!(run.version.starts_with("full-i") && run.version.len() == 14, "{}", run.version);
    let active = world.status.as_ref().and_then(|status| status.active.clone()).expect("an active run");
    assert_eq!((active.job, active.version.clone()), (format!("packages-{}", run.version), run.version));
    assert_eq!(world.reconcile().start, None, "one run at a time");
}

#[test]
fn a_failed_first_run_is_not_repeated_until_the_settings_change() {
    let mut world = World::new();
    world.reconcile();
    let first = world.active_version();
    world.fail();
    assert_eq!(world.reconcile().start, None);
    world.pass_minutes(60 * 24 * 30);
    assert_eq!(world.reconcile().start, None, "not after any time");
    world.plan.template = "settings-2".into();
    let second = started(&world.reconcile()).clone();
    assert_eq!(second.trigger, Trigger::Initial);
    assert_ne!(second.version, first);
}

#[test]
fn settings_that_failed_are_tried_again_when_they_come_back() {
    let mut world = World::new();
    let mut versions = Vec::new();
    for template in ["settings-1", "settings-2", "settings-1"] {
        world.plan.template = template.into();
        versions.push(started(&world.reconcile()).version.clone());
        world.fail();
        assert_eq!(world.reconcile().start, None);
    }
    assert_ne!(versions[0], versions[2], "it is another run");
}

#[test]
fn new_settings_do_not_train_anew_while_there_is_a_version() {
    let mut world = World::new().trained();
    world.plan.template = "settings-2".into();
    assert_eq!(world.reconcile().start, None);
}

#[test]
fn a_failed_run_is_repeated_when_its_schedule_is_due_or_it_is_asked_for() {
    let mut world = World::scheduled("0 3 * * *");
    world.reconcile();
    world.fail();
    world.go_to("2026-11-21T03:00:00Z");
    assert_eq!(started(&world.reconcile()).version, "full-20261121-0300");
    world.fail();
    world.reconcile();
    world.request("full please");
    assert_eq!(started(&world.reconcile()).trigger, Trigger::Request);
}

#[test]
fn the_schedule_counts_from_creation() {
    let mut world = World::scheduled("0 12 * * *").trained();
    assert_eq!(
        world.status.clone().and_then(|status| status.next_schedule_time).map(|time| time.0),
        Some(at("2026-11-21T12:00:00Z"))
    );
    world.go_to("2026-11-21T11:59:59Z");
    let before = world.reconcile();
    assert_eq!((before.start, before.wake_at), (None, Some(at("2026-11-21T12:00:00Z"))));
    world.go_to("2026-11-21T12:00:00Z");
    let run = started(&world.reconcile()).clone();
    assert_eq!(
        (run.version.as_str(), run.trigger, due(&run)),
        ("full-20261121-1200", Trigger::Schedule, "2026-11-21T12:00:00Z".into())
    );
    let status = world.status.clone().expect("a status");
    assert_eq!(status.last_schedule_time.map(|time| time.0), Some(at("2026-11-21T12:00:00Z")));
    assert_eq!(status.next_schedule_time.map(|time| time.0), Some(at("2026-11-22T12:00:00Z")));
}

#[test]
fn missed_runs_are_caught_up_once_with_the_latest() {
    let mut world = World::scheduled("0 3 * * *").trained();
    world.go_to("2026-12-24T18:00:00Z");
    assert_eq!(started(&world.reconcile()).version, "full-20261224-0300");
    world.succeed();
    world.pass_minutes(30);
    assert_eq!(world.reconcile().start, None);
    world.go_to("2026-12-25T03:00:00Z");
    assert_eq!(started(&world.reconcile()).version, "full-20261225-0300");
}

#[test]
fn what_becomes_due_during_a_run_is_done_after_it() {
    let mut world = World::scheduled("*/20 * * * *").trained();
    world.go_to("2026-11-20T12:20:00Z");
    assert_eq!(started(&world.reconcile()).version, "full-20261120-1220");
    world.go_to("2026-11-20T13:35:00Z");
    assert_eq!(world.reconcile().start, None);
    world.succeed();
    assert_eq!(started(&world.reconcile()).version, "full-20261120-1320", "the latest instant only");
    world.request("full");
    assert_eq!(world.reconcile().start, None);
    world.pass_minutes(1);
    world.succeed();
    assert_eq!(started(&world.reconcile()).trigger, Trigger::Request);
}

#[test]
fn a_run_under_way_does_not_swallow_a_later_instant() {
    let mut world = World::scheduled("0 13 * * *");
    world.reconcile();
    world.go_to("2026-11-20T13:30:00Z");
    world.reconcile();
    world.succeed();
    assert_eq!(started(&world.reconcile()).version, "full-20261120-1300", "although the first run ended after it");
}

#[test]
fn the_next_instant_stands_still_while_it_waits_for_a_run() {
    let mut world = World::scheduled("* * * * *");
    world.reconcile();
    world.pass_minutes(1);
    world.reconcile();
    let waiting = world.status.clone();
    assert_eq!(
        waiting.clone().and_then(|status| status.next_schedule_time).map(|time| time.0),
        Some(at("2026-11-20T12:01:00Z"))
    );
    world.pass_minutes(60);
    world.reconcile();
    assert_eq!(world.status, waiting, "no write of the status each minute");
}

#[test]
fn one_run_does_for_all_that_is_due_at_the_same_time() {
    let mut world = World::scheduled("0 3 * * *");
    world.request("full first");
    world.go_to("2026-11-22T09:00:00Z");
    let run = started(&world.reconcile()).clone();
    assert_eq!(
        (run.trigger, due(&run), run.request.as_deref()),
        (Trigger::Request, "2026-11-22T09:00:00Z".into(), Some("full first"))
    );
    let status = world.status.clone().expect("a status");
    assert_eq!(status.last_request.as_deref(), Some("full first"));
    assert_eq!(status.last_schedule_time.map(|time| time.0), Some(at("2026-11-22T03:00:00Z")));
    assert_eq!(status.next_schedule_time.map(|time| time.0), Some(at("2026-11-23T03:00:00Z")));
    world.succeed();
    assert_eq!(world.reconcile().start, None);
}

#[test]
fn each_new_value_of_the_annotation_starts_one_run() {
    let mut world = World::new().trained();
    let mut versions = Vec::new();
    for value in ["full", "full 2026-11-21", "full:now", "full", "full-2"] {
        world.pass_minutes(5);
        world.request(value);
        versions.push(started(&world.reconcile()).version.clone());
        assert_eq!(world.reconcile().start, None, "{value}");
        world.succeed();
        assert_eq!(world.reconcile().start, None, "{value} is done");
    }
    let distinct: std::collections::BTreeSet<_> = versions.iter().collect();
    assert_eq!(distinct.len(), versions.len(), "a value that comes back is a run of its own: {versions:?}");
}

#[test]
fn removing_the_annotation_and_setting_it_again_asks_for_nothing() {
    let mut world = World::new().trained();
    world.request("full");
    world.reconcile();
    world.succeed();
    world.reconcile();
    world.plan.request = None;
    world.reconcile();
    world.request("full");
    assert_eq!(world.reconcile().start, None);
}

#[test]
fn a_value_that_is_not_understood_starts_nothing_and_changes_nothing() {
    let mut world = World::scheduled("0 3 * * *").trained();
    let before = world.status.clone();
    let too_long = format!("full {}", "x".repeat(128));
    for value in ["", "Full", "fully", "full2", "partial", " full", "fullé", &too_long] {
        world.request(value);
        assert_eq!(world.reconcile().start, None, "{value:?}");
        assert_eq!(world.status, before, "{value:?}");
    }
    world.go_to("2026-11-21T03:00:00Z");
    let run = started(&world.reconcile()).clone();
    assert_eq!((run.trigger, run.request), (Trigger::Schedule, None), "the schedule goes on");
}

#[test]
fn an_edit_of_the_schedule_does_not_catch_up_what_was_never_announced() {
    let mut world = World::scheduled("0 3 * * *").trained();
    world.go_to("2026-11-21T03:00:00Z");
    world.reconcile();
    world.succeed();
    world.go_to("2026-11-21T10:00:00Z");
    world.reconcile();
    world.plan.schedule = Schedule::parse("0 9 * * *", None).ok();
    assert_eq!(world.reconcile().start, None, "9 o'clock has passed");
    world.go_to("2026-11-22T09:00:00Z");
    assert_eq!(started(&world.reconcile()).version, "full-20261122-0900");
}

#[test]
fn a_schedule_added_to_an_old_object_begins_with_its_next_instant() {
    let mut world = World::new().trained();
    world.go_to("2027-01-10T10:00:00Z");
    world.plan.schedule = Schedule::parse("0 9 * * *", None).ok();
    assert_eq!(world.reconcile().start, None);
    world.go_to("2027-01-11T09:00:00Z");
    assert_eq!(started(&world.reconcile()).version, "full-20270111-0900");
}

#[test]
fn a_schedule_that_is_removed_starts_nothing_any_more() {
    let mut world = World::scheduled("0 3 * * *").trained();
    world.plan.schedule = None;
    world.go_to("2026-11-25T03:00:00Z");
    let decision = world.reconcile();
    assert_eq!((decision.start, decision.wake_at, decision.status.next_schedule_time), (None, None, None));
}

#[test]
fn a_run_is_newer_than_every_other_even_when_the_clock_was_put_back() {
    let mut world = World::new().trained();
    world.go_to("2026-11-20T08:00:00Z");
    world.request("full");
    assert_eq!(due(started(&world.reconcile())), "2026-11-20T12:00:01Z");
    world.succeed();
    assert_eq!(world.reconcile().versions[0].job, world.jobs[1].job, "and its version is the newest");
}

#[test]
fn versions_are_fit_for_labels_and_differ_by_their_cause() {
    let plan = World::new().plan;
    let name =
        |plan: &Plan, trigger, last| ids::version(plan, TrainingKind::Full, trigger, at("2026-11-21T01:30:00Z"), last);
    assert_eq!(name(&plan, Trigger::Schedule, Some("x")), "full-20261121-0130");
    let asked = |value: &str| Plan { request: Some(value.into()), ..plan.clone() };
    let other = Plan { uid: "other".into(), ..plan.clone() };
    let changed = Plan { template: "settings-2".into(), ..plan.clone() };
    let names = [
        name(&plan, Trigger::Initial, None),
        name(&plan, Trigger::Initial, Some("full-20261121-0130")),
        name(&other, Trigger::Initial, None),
        name(&changed, Trigger::Initial, None),
        name(&asked("full"), Trigger::Request, None),
        name(&asked("full 2"), Trigger::Request, None),
        name(&asked("full"), Trigger::Request, Some("full-20261121-0130")),
    ];
    let distinct: std::collections::BTreeSet<_> = names.iter().collect();
    assert_eq!(distinct.len(), names.len(), "{names:?}");
    assert_eq!(name(&plan, Trigger::Initial, None), names[0], "and follow from nothing else");
    for name in names {
        let label = name.chars().all(|c| c.is_ascii_lowercase() || c.is_ascii_digit() || c == '-');
        assert!(label && name.len() <= 24, "{name}");
    }
}

proptest! {
    /// The scheduled runs of an operator that is away for random times: each is the latest instant before its return.
    #[test]
    fn after_any_absence_exactly_the_latest_instant_is_run(absences in prop::collection::vec(1_i64..5000, 1..20)) {
        let mut world = World::scheduled("30 */6 * * *").trained();
        let schedule = world.plan.schedule.clone().expect("a schedule");
        for minutes in absences {
            let left = world.now;
            world.pass_minutes(minutes);
            let expected = schedule.latest_within(left, world.now);
            let decision = world.reconcile();
            prop_assert_eq!(decision.start.map(|run| run.due), expected);
            world.succeed();
            prop_assert_eq!(world.reconcile().start, None);
        }
    }
}
