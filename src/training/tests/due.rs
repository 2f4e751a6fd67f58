use jiff::SignedDuration;
use proptest::prelude::*;

use super::{at, simulation::Simulation};
use crate::{
    api::{TrainingKind, Trigger},
    model::schedule::Schedule,
    training::{Decision, NewRun, Plan, RunState, ids},
};

fn started(decision: &Decision) -> &NewRun {
    decision.start.as_ref().expect("a run to start")
}

fn due(run: &NewRun) -> String {
    run.due.to_string()
}

#[test]
fn a_new_object_is_trained_at_once() {
    let mut simulation = Simulation::new();
    let run = started(&simulation.reconcile()).clone();
    assert_eq!(
        (run.kind, run.trigger, due(&run)),
        (TrainingKind::Full, Trigger::Initial, "2026-11-20T12:00:00Z".into())
    );
    assert!(run.version.starts_with("full-i") && run.version.len() == 14, "{}", run.version);
    let active = simulation.status.as_ref().and_then(|status| status.active.clone()).expect("an active run");
    assert_eq!((active.job, active.version.clone()), (format!("packages-{}", run.version), run.version));
    assert_eq!(simulation.reconcile().start, None, "one run at a time");
}

#[test]
fn a_failed_first_run_is_not_repeated_until_the_settings_change() {
    let mut simulation = Simulation::new();
    simulation.reconcile();
    let first = simulation.active_version();
    simulation.fail();
    assert_eq!(simulation.reconcile().start, None);
    simulation.pass_minutes(60 * 24 * 30);
    assert_eq!(simulation.reconcile().start, None, "not after any time");
    simulation.plan.template = "settings-2".into();
    let second = started(&simulation.reconcile()).clone();
    assert_eq!(second.trigger, Trigger::Initial);
    assert_ne!(second.version, first);
}

#[test]
fn settings_that_failed_are_tried_again_when_they_come_back() {
    let mut simulation = Simulation::new();
    let mut versions = Vec::new();
    for template in ["settings-1", "settings-2", "settings-1"] {
        simulation.plan.template = template.into();
        versions.push(started(&simulation.reconcile()).version.clone());
        simulation.fail();
        assert_eq!(simulation.reconcile().start, None);
    }
    assert_ne!(versions[0], versions[2], "a run of its own");
}

#[test]
fn new_settings_do_not_train_anew_while_there_is_a_version() {
    let mut simulation = Simulation::new().trained();
    simulation.plan.template = "settings-2".into();
    assert_eq!(simulation.reconcile().start, None);
}

#[test]
fn after_a_failed_run_a_new_one_starts_when_the_schedule_is_due_or_on_request() {
    let mut simulation = Simulation::scheduled("0 3 * * *");
    simulation.reconcile();
    simulation.fail();
    simulation.go_to("2026-11-21T03:00:00Z");
    assert_eq!(started(&simulation.reconcile()).version, "full-20261121-0300");
    simulation.fail();
    simulation.reconcile();
    simulation.request("full please");
    assert_eq!(started(&simulation.reconcile()).trigger, Trigger::Request);
}

#[test]
fn the_schedule_counts_from_creation() {
    let mut simulation = Simulation::scheduled("0 12 * * *").trained();
    assert_eq!(
        simulation.status.clone().and_then(|status| status.next_schedule_time).map(|time| time.0),
        Some(at("2026-11-21T12:00:00Z"))
    );
    simulation.go_to("2026-11-21T11:59:59Z");
    let before = simulation.reconcile();
    assert_eq!((before.start, before.wake_at), (None, Some(at("2026-11-21T12:00:00Z"))));
    simulation.go_to("2026-11-21T12:00:00Z");
    let run = started(&simulation.reconcile()).clone();
    assert_eq!(
        (run.version.as_str(), run.trigger, due(&run)),
        ("full-20261121-1200", Trigger::Schedule, "2026-11-21T12:00:00Z".into())
    );
    let status = simulation.status.clone().expect("a status");
    assert_eq!(status.last_schedule_time.map(|time| time.0), Some(at("2026-11-21T12:00:00Z")));
    assert_eq!(status.next_schedule_time.map(|time| time.0), Some(at("2026-11-22T12:00:00Z")));
}

#[test]
fn missed_runs_are_caught_up_once_with_the_latest() {
    let mut simulation = Simulation::scheduled("0 3 * * *").trained();
    simulation.go_to("2026-12-24T18:00:00Z");
    assert_eq!(started(&simulation.reconcile()).version, "full-20261224-0300");
    simulation.succeed();
    simulation.pass_minutes(30);
    assert_eq!(simulation.reconcile().start, None);
    simulation.go_to("2026-12-25T03:00:00Z");
    assert_eq!(started(&simulation.reconcile()).version, "full-20261225-0300");
}

#[test]
fn a_run_that_becomes_due_during_another_run_starts_after_it() {
    let mut simulation = Simulation::scheduled("*/20 * * * *").trained();
    simulation.go_to("2026-11-20T12:20:00Z");
    assert_eq!(started(&simulation.reconcile()).version, "full-20261120-1220");
    simulation.go_to("2026-11-20T13:35:00Z");
    assert_eq!(simulation.reconcile().start, None);
    simulation.succeed();
    assert_eq!(started(&simulation.reconcile()).version, "full-20261120-1320", "the latest scheduled time only");
    simulation.request("full");
    assert_eq!(simulation.reconcile().start, None);
    simulation.pass_minutes(1);
    simulation.succeed();
    assert_eq!(started(&simulation.reconcile()).trigger, Trigger::Request);
}

#[test]
fn an_active_run_does_not_suppress_a_later_scheduled_time() {
    let mut simulation = Simulation::scheduled("0 13 * * *");
    simulation.reconcile();
    simulation.go_to("2026-11-20T13:30:00Z");
    simulation.reconcile();
    simulation.succeed();
    assert_eq!(started(&simulation.reconcile()).version, "full-20261120-1300", "although the first run ended after it");
}

#[test]
fn next_schedule_time_does_not_advance_while_another_run_is_active() {
    let mut simulation = Simulation::scheduled("* * * * *");
    simulation.reconcile();
    simulation.pass_minutes(1);
    simulation.reconcile();
    let waiting = simulation.status.clone();
    assert_eq!(
        waiting.clone().and_then(|status| status.next_schedule_time).map(|time| time.0),
        Some(at("2026-11-20T12:01:00Z"))
    );
    simulation.pass_minutes(60);
    simulation.reconcile();
    assert_eq!(simulation.status, waiting, "the status is not written each minute");
}

#[test]
fn one_run_covers_everything_that_is_due_at_the_same_time() {
    let mut simulation = Simulation::scheduled("0 3 * * *");
    simulation.request("full first");
    simulation.go_to("2026-11-22T09:00:00Z");
    let run = started(&simulation.reconcile()).clone();
    assert_eq!(
        (run.trigger, due(&run), run.request.as_deref()),
        (Trigger::Request, "2026-11-22T09:00:00Z".into(), Some("full first"))
    );
    let status = simulation.status.clone().expect("a status");
    assert_eq!(status.last_request.as_deref(), Some("full first"));
    assert_eq!(status.last_schedule_time.map(|time| time.0), Some(at("2026-11-22T03:00:00Z")));
    assert_eq!(status.next_schedule_time.map(|time| time.0), Some(at("2026-11-23T03:00:00Z")));
    simulation.succeed();
    assert_eq!(simulation.reconcile().start, None);
}

#[test]
fn each_new_value_of_the_annotation_starts_one_run() {
    let mut simulation = Simulation::new().trained();
    let mut versions = Vec::new();
    for value in ["full", "full 2026-11-21", "full:now", "full", "full-2"] {
        simulation.pass_minutes(5);
        simulation.request(value);
        versions.push(started(&simulation.reconcile()).version.clone());
        assert_eq!(simulation.reconcile().start, None, "{value}");
        simulation.succeed();
        assert_eq!(simulation.reconcile().start, None, "{value} is done");
    }
    let distinct: std::collections::BTreeSet<_> = versions.iter().collect();
    assert_eq!(distinct.len(), versions.len(), "a value that is set again later starts a run of its own: {versions:?}");
}

#[test]
fn other_settings_start_no_run_once_there_is_a_version() {
    let mut simulation = Simulation::new().trained();
    simulation.plan.template = "settings-2".into();
    let decision = simulation.reconcile();
    assert_eq!((decision.start, decision.replace), (None, vec![]));
}

#[test]
fn removing_the_annotation_and_setting_the_same_value_again_starts_nothing() {
    let mut simulation = Simulation::new().trained();
    simulation.request("full");
    simulation.reconcile();
    simulation.succeed();
    simulation.reconcile();
    simulation.plan.request = None;
    simulation.reconcile();
    simulation.request("full");
    assert_eq!(simulation.reconcile().start, None);
}

#[test]
fn an_invalid_annotation_value_starts_nothing_and_changes_nothing() {
    let mut simulation = Simulation::scheduled("0 3 * * *").trained();
    let before = simulation.status.clone();
    let too_long = format!("full {}", "x".repeat(128));
    for value in ["", "Full", "fully", "full2", "partial", " full", "fullé", &too_long] {
        simulation.request(value);
        assert_eq!(simulation.reconcile().start, None, "{value:?}");
        assert_eq!(simulation.status, before, "{value:?}");
    }
    simulation.go_to("2026-11-21T03:00:00Z");
    let run = started(&simulation.reconcile()).clone();
    assert_eq!((run.trigger, run.request), (Trigger::Schedule, None), "the schedule is still followed");
}

#[test]
fn an_edit_of_the_schedule_does_not_catch_up_times_that_were_never_reported() {
    let mut simulation = Simulation::scheduled("0 3 * * *").trained();
    simulation.go_to("2026-11-21T03:00:00Z");
    simulation.reconcile();
    simulation.succeed();
    simulation.go_to("2026-11-21T10:00:00Z");
    simulation.reconcile();
    simulation.plan.schedule = Schedule::parse("0 9 * * *", None).ok();
    assert_eq!(simulation.reconcile().start, None, "9 o'clock has passed");
    simulation.go_to("2026-11-22T09:00:00Z");
    assert_eq!(started(&simulation.reconcile()).version, "full-20261122-0900");
}

#[test]
fn a_schedule_added_to_an_old_object_begins_with_its_next_scheduled_time() {
    let mut simulation = Simulation::new().trained();
    simulation.go_to("2027-01-10T10:00:00Z");
    simulation.plan.schedule = Schedule::parse("0 9 * * *", None).ok();
    assert_eq!(simulation.reconcile().start, None);
    simulation.go_to("2027-01-11T09:00:00Z");
    assert_eq!(started(&simulation.reconcile()).version, "full-20270111-0900");
}

#[test]
fn a_removed_schedule_starts_no_more_runs() {
    let mut simulation = Simulation::scheduled("0 3 * * *").trained();
    simulation.plan.schedule = None;
    simulation.go_to("2026-11-25T03:00:00Z");
    let decision = simulation.reconcile();
    assert_eq!((decision.start, decision.wake_at, decision.status.next_schedule_time), (None, None, None));
}

#[test]
fn a_run_is_newer_than_every_other_even_when_the_clock_was_set_back() {
    let mut simulation = Simulation::new().trained();
    simulation.go_to("2026-11-20T08:00:00Z");
    simulation.request("full");
    assert_eq!(due(started(&simulation.reconcile())), "2026-11-20T12:00:01Z");
    simulation.succeed();
    assert_eq!(simulation.reconcile().versions[0].job, simulation.jobs[1].job, "and its version is the newest");
}

#[test]
fn version_names_are_valid_label_values_and_differ_by_cause() {
    let plan = Simulation::new().plan;
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
    assert_eq!(name(&plan, Trigger::Initial, None), names[0], "and depend on nothing else");
    for name in names {
        let label = name.chars().all(|c| c.is_ascii_lowercase() || c.is_ascii_digit() || c == '-');
        assert!(label && name.len() <= 24, "{name}");
    }
}

proptest! {
    /// The operator is down for random durations. After each, the latest scheduled time before its restart is run.
    #[test]
    fn after_any_downtime_exactly_the_latest_scheduled_time_is_run(absences in prop::collection::vec(1_i64..5000, 1..20)) {
        let mut simulation = Simulation::scheduled("30 */6 * * *").trained();
        let schedule = simulation.plan.schedule.clone().expect("a schedule");
        for minutes in absences {
            let stopped = simulation.now;
            simulation.pass_minutes(minutes);
            let expected = schedule.latest_within(stopped, simulation.now);
            let decision = simulation.reconcile();
            prop_assert_eq!(decision.start.map(|run| run.due), expected);
            simulation.succeed();
            prop_assert_eq!(simulation.reconcile().start, None);
        }
    }
}

/// Whether a decision starts a run.
fn starts(simulation: &mut Simulation) -> bool {
    simulation.reconcile().start.is_some()
}

#[test]
fn a_suspended_object_is_trained_on_request_only() {
    let mut simulation = Simulation::scheduled("0 3 * * *");
    simulation.plan.suspended = true;
    let decision = simulation.reconcile();
    assert_eq!((decision.start, decision.wake_at), (None, None));
    assert!(decision.condition.message.contains("training.suspend"), "{}", decision.condition.message);
    simulation.request("full 1");
    assert!(starts(&mut simulation), "as a Job that is created from a suspended CronJob");
    simulation.succeed();
    simulation.reconcile();
    simulation.go_to("2026-11-23T12:00:00Z");
    assert!(!starts(&mut simulation), "not on schedule");
    simulation.plan.suspended = false;
    let decision = simulation.reconcile();
    assert_eq!(due(started(&decision)), "2026-11-23T03:00:00Z", "what was missed is caught up once");
    simulation.succeed();
    simulation.reconcile();
    assert!(!starts(&mut simulation));
}

#[test]
fn suspending_keeps_the_run_that_is_active_and_does_not_start_it_again_when_its_job_is_deleted() {
    let mut simulation = Simulation::new();
    simulation.reconcile();
    simulation.plan.suspended = true;
    let active = simulation.reconcile().status.active;
    assert!(active.is_some());
    simulation.lose_active();
    let decision = simulation.reconcile();
    assert_eq!((decision.start, decision.status.active), (None, None));
    assert!(!starts(&mut simulation));
    simulation.plan.suspended = false;
    assert_eq!(simulation.reconcile().status.active, active, "the first training is still missing");
}

/// A run whose pod was evicted, at a time when it could be started again, with training suspended since.
fn interrupted_and_suspended() -> Simulation {
    let mut simulation = Simulation::new();
    simulation.reconcile();
    let (at, why) = (simulation.now, "it was evicted".into());
    simulation.become_state(RunState::Interrupted { at, had_started: true, why });
    simulation.reconcile();
    simulation.pass_minutes(1);
    simulation.plan.suspended = true;
    simulation
}

#[test]
fn an_interrupted_run_is_kept_while_training_is_suspended_and_started_again_when_it_is_resumed() {
    let mut simulation = interrupted_and_suspended();
    let active = simulation.status.clone().and_then(|status| status.active);
    let decision = simulation.reconcile();
    assert_eq!((&decision.status.active, decision.replace.len(), decision.wake_at), (&active, 0, None));
    let message = decision.condition.message;
    assert!(
        message.contains("was interrupted: it was evicted. Training is suspended: it is started again")
            && message.contains("Until one of these, a requested run waits as well."),
        "{message}"
    );
    simulation.plan.suspended = false;
    assert_eq!(simulation.reconcile().replace.len(), 1);
    let again = simulation.reconcile();
    assert_eq!(Some(&started(&again).version), active.as_ref().map(|active| &active.version));
}

#[test]
fn an_interrupted_run_ends_if_its_job_is_deleted_while_training_is_suspended() {
    let mut simulation = interrupted_and_suspended();
    simulation.reconcile();
    simulation.lose_active();
    let decision = simulation.reconcile();
    assert_eq!((decision.start, decision.status.active), (None, None));
    simulation.request("full 1");
    assert!(starts(&mut simulation));
}

#[test]
fn suspending_an_interrupted_run_ends_in_the_same_state_after_a_crash() {
    let mut straight = interrupted_and_suspended();
    let mut crashed = straight.clone();
    straight.reconcile();
    crashed.reconcile_until(1);
    crashed.reconcile();
    assert_eq!(straight, crashed);
}

#[test]
fn a_run_that_missed_its_starting_deadline_is_skipped() {
    for (now, expected) in [("2026-11-21T03:00:59Z", true), ("2026-11-21T03:01:01Z", false)] {
        let mut simulation = Simulation::scheduled("0 3 * * *").trained();
        simulation.plan.starting_deadline = Some(SignedDuration::from_secs(60));
        simulation.go_to(now);
        let decision = simulation.reconcile();
        assert_eq!(decision.start.is_some(), expected, "{now}");
        let next = decision.status.next_schedule_time.map(|time| time.0);
        assert_eq!(next, Some(at("2026-11-22T03:00:00Z")));
        simulation.succeed();
        simulation.go_to("2026-11-22T03:00:00Z");
        simulation.reconcile();
        assert_eq!(simulation.active().map(|run| run.due), Some(at("2026-11-22T03:00:00Z")), "the next one is started");
    }
}

#[test]
fn with_jitter_a_run_starts_later_under_the_same_version_and_a_change_of_it_starts_none() {
    let mut simulation = Simulation::scheduled("0 3 * * *").trained();
    simulation.plan.delay = SignedDuration::from_mins(20);
    simulation.plan.starting_deadline = Some(SignedDuration::from_mins(1));
    simulation.go_to("2026-11-21T03:19:59Z");
    let decision = simulation.reconcile();
    assert_eq!((decision.start, decision.wake_at), (None, Some(at("2026-11-21T03:20:00Z"))));
    simulation.go_to("2026-11-21T03:20:30Z");
    assert_eq!(started(&simulation.reconcile()).version, "full-20261121-0300");
    simulation.succeed();
    simulation.reconcile();
    simulation.plan.delay = SignedDuration::from_mins(40);
    simulation.go_to("2026-11-21T03:40:00Z");
    assert!(!starts(&mut simulation));
    simulation.plan.delay = SignedDuration::ZERO;
    assert!(!starts(&mut simulation));
    simulation.go_to("2026-11-22T03:00:00Z");
    assert!(starts(&mut simulation));
}

#[test]
fn the_share_of_the_jitter_is_constant_and_spread() {
    let shares: Vec<i64> = (0..1000).map(|uid| ids::share_of(9, &uid.to_string())).collect();
    for share in 0..10 {
        let count = shares.iter().filter(|other| **other == share).count();
        assert!((50..200).contains(&count), "{count} of 1000 have {share}");
    }
    assert_eq!(ids::share_of(3600, "a"), ids::share_of(3600, "a"));
    assert_eq!(ids::share_of(0, "a"), 0);
}

#[test]
fn a_run_that_waits_for_others_starts_once_it_may_and_counts_as_not_started_until_then() {
    let mut simulation = Simulation::new();
    let why = "at most 2 trainings run at the same time (--max-trainings)".to_owned();
    simulation.held = Some((at("2026-11-20T12:00:00Z"), why));
    let decision = simulation.reconcile();
    assert_eq!((&decision.start, &decision.status.active), (&None, &None));
    let message = "is due and waits since 2026-11-20T12:00:00Z, because at most 2 trainings run at the same time (--max-trainings).";
    assert!(decision.condition.message.contains(message), "{}", decision.condition.message);
    assert_eq!(simulation.reconcile().condition, decision.condition, "nothing changes while it waits");
    simulation.held = None;
    assert_eq!(simulation.reconcile().start.map(|run| run.trigger), Some(Trigger::Initial));
}

#[test]
fn a_scheduled_run_that_waited_is_the_one_that_was_due() {
    let mut simulation = Simulation::scheduled("0 3 * * *").trained();
    simulation.go_to("2026-11-21T03:00:00Z");
    simulation.held = Some((simulation.now, "others run".into()));
    assert_eq!(simulation.reconcile().start, None);
    simulation.go_to("2026-11-21T03:40:00Z");
    assert_eq!(simulation.reconcile().start, None);
    simulation.held = None;
    assert_eq!(simulation.reconcile().start.map(|run| run.version), Some("full-20261121-0300".into()));
}

#[test]
fn a_run_that_is_started_again_waits_as_well_and_is_not_lost() {
    let mut simulation = Simulation::new();
    let version = started(&simulation.reconcile()).version.clone();
    simulation.jobs.clear();
    simulation.held = Some((simulation.now, "others run".into()));
    let decision = simulation.reconcile();
    assert_eq!((&decision.start, decision.status.active.map(|run| run.version)), (&None, Some(version.clone())));
    simulation.held = None;
    assert_eq!(simulation.reconcile().start.map(|run| run.version), Some(version));
}
