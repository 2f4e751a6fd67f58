use jiff::SignedDuration;

use super::{at, simulation::Simulation};
use crate::{
    api::{TrainingKind, Trigger},
    model::triggers::Condition,
    series::Series,
    training::{Decision, NewRun},
};

const COOL_DOWN: SignedDuration = SignedDuration::from_hours(1);

fn started(decision: &Decision) -> &NewRun {
    decision.start.as_ref().expect("a run to start")
}

/// An object that was trained at creation, with a trigger of its full training.
fn trained() -> Simulation {
    Simulation::new().triggered("clicks", TrainingKind::Full, COOL_DOWN).trained()
}

#[test]
fn a_condition_that_is_met_starts_a_run_and_its_record_states_what_was_observed() {
    let mut simulation = trained();
    assert_eq!(simulation.reconcile().start, None);
    simulation.meet("clicks");
    let run = started(&simulation.reconcile()).clone();
    let cause = "clicks: 100 messages arrived at clicks";
    assert_eq!((run.kind, run.trigger, run.cause.as_deref()), (TrainingKind::Full, Trigger::Signal, Some(cause)));
    assert!(run.version.starts_with("full-s") && run.version.len() == 14, "{}", run.version);
    let status = simulation.status.clone().expect("a status");
    assert_eq!(status.active.and_then(|run| run.cause).as_deref(), Some(cause));
    assert_eq!(status.triggers[0].last_trigger_time.as_ref().map(|time| time.0), Some(run.due));
    simulation.succeed();
    simulation.reconcile();
    let status = simulation.status.clone().expect("a status");
    assert_eq!(status.last.and_then(|run| run.cause).as_deref(), Some(cause));
    assert_eq!(simulation.reconcile().start, None, "what was observed is covered by that run");
}

#[test]
fn a_trigger_starts_a_run_once_per_cool_down_and_the_operator_wakes_at_its_end() {
    let mut simulation = trained();
    simulation.meet("clicks");
    let first = started(&simulation.reconcile()).clone();
    simulation.pass_minutes(10);
    simulation.succeed();
    simulation.reconcile();
    simulation.meet("clicks");
    let waits = simulation.reconcile();
    assert_eq!((waits.start, waits.wake_at), (None, Some(first.due + COOL_DOWN)));
    let met = simulation.status.as_ref().and_then(|status| status.triggers[0].met_since.clone());
    assert_eq!(met.map(|time| time.0), Some(at("2026-11-20T12:20:00Z")));
    simulation.now = first.due + COOL_DOWN;
    let second = started(&simulation.reconcile()).clone();
    assert_ne!(second.version, first.version);
}

#[test]
fn no_run_is_started_beside_another_and_one_for_another_reason_covers_what_was_observed() {
    let mut simulation = trained();
    simulation.meet("clicks");
    simulation.request("full");
    assert_eq!(started(&simulation.reconcile()).trigger, Trigger::Request);
    assert_eq!(simulation.reconcile().start, None, "one run at a time");
    simulation.succeed();
    assert_eq!(simulation.reconcile().start, None, "the requested run has its data");
}

#[test]
fn a_full_trigger_waits_for_full_runs_alone_and_a_partial_one_for_any() {
    let simulation = Simulation::new().partial("0 0 1 1 *", None);
    let simulation = simulation.triggered("full", TrainingKind::Full, COOL_DOWN);
    let mut simulation = simulation.triggered("partial", TrainingKind::Partial, COOL_DOWN).trained();
    simulation.meet("full");
    simulation.meet("partial");
    assert_eq!(started(&simulation.reconcile()).kind, TrainingKind::Full);
    simulation.pass_minutes(1);
    simulation.succeed();
    assert_eq!(simulation.reconcile().start, None, "it covers the partial one");
    simulation.meet("partial");
    assert_eq!(started(&simulation.reconcile()).kind, TrainingKind::Partial);
    simulation.meet("full");
    simulation.pass_minutes(61);
    simulation.succeed();
    assert_eq!(
        started(&simulation.reconcile()).kind,
        TrainingKind::Full,
        "a partial run does not stand for a full one"
    );
}

#[test]
fn a_suspended_training_and_one_without_partial_training_start_nothing_by_a_trigger() {
    let mut simulation = trained();
    simulation.meet("clicks");
    simulation.plan.suspended = true;
    assert_eq!(simulation.reconcile().start, None);
    simulation.plan.suspended = false;
    assert!(simulation.reconcile().start.is_some());

    let mut simulation = Simulation::new().triggered("clicks", TrainingKind::Partial, COOL_DOWN).trained();
    simulation.meet("clicks");
    assert_eq!(simulation.reconcile().start, None);
}

#[test]
fn a_crash_between_the_creation_of_the_job_and_the_status_starts_no_run_twice() {
    let mut simulation = trained();
    simulation.meet("clicks");
    let first = started(&simulation.reconcile_until(1)).clone();
    assert_eq!(simulation.status.as_ref().map(|status| status.triggers.len()), Some(0), "the status is not written");
    assert_eq!(simulation.decide().start, None);
    simulation.succeed();
    simulation.reconcile();
    simulation.meet("clicks");
    assert_eq!(simulation.reconcile().start, None, "the cool-down counts from the Job");
    simulation.now = first.due + COOL_DOWN;
    assert_ne!(started(&simulation.reconcile()).version, first.version);

    let mut simulation = Simulation { status_first: true, ..trained() };
    simulation.meet("clicks");
    let lost = started(&simulation.reconcile_until(1)).clone();
    let again = started(&simulation.reconcile()).clone();
    assert_eq!((again.version, again.cause), (lost.version, lost.cause));
}

#[test]
fn a_run_that_failed_is_repeated_after_a_cool_down_that_doubles_until_one_succeeds() {
    let mut simulation = trained();
    simulation.meet("clicks");
    let mut run = started(&simulation.reconcile()).clone();
    for hours in [1, 2, 4, 8, 16, 24, 24] {
        simulation.pass_minutes(10);
        simulation.fail();
        simulation.signals.met.clear();
        let again = run.due + SignedDuration::from_hours(hours);
        let waits = simulation.reconcile();
        assert_eq!((waits.start, waits.wake_at), (None, Some(again)), "{hours}");
        simulation.now = again;
        let next = started(&simulation.reconcile()).clone();
        assert_eq!((next.trigger, &next.cause), (Trigger::Signal, &run.cause));
        assert_ne!(next.version, run.version);
        run = next;
    }
    simulation.succeed();
    assert_eq!(simulation.reconcile().start, None);
    simulation.pass_minutes(60 * 48);
    assert_eq!(simulation.reconcile().start, None, "it is trained");
}

#[test]
fn a_run_that_failed_is_not_repeated_once_another_one_has_its_data_nor_of_a_trigger_that_is_gone_nor_of_a_signal() {
    let failed = || {
        let mut simulation = trained();
        simulation.meet("clicks");
        simulation.reconcile();
        simulation.fail();
        simulation.signals.met.clear();
        simulation.reconcile();
        simulation
    };
    let after = |mut simulation: Simulation| {
        simulation.pass_minutes(90);
        simulation.reconcile().start
    };
    assert!(after(failed()).is_some());
    let mut requested = failed();
    requested.request("full");
    requested.reconcile();
    requested.succeed();
    assert_eq!(after(requested), None);
    let mut gone = failed();
    gone.plan.triggers.clear();
    assert_eq!(after(gone), None);
    let mut suspended = failed();
    suspended.plan.suspended = true;
    assert_eq!(after(suspended), None);
    let mut signal = failed();
    let (series, about) = (Series::DriftScore, "drift".to_owned());
    signal.plan.triggers[0].condition = Condition::Above { series, about, value: 0.2, duration: SignedDuration::ZERO };
    assert_eq!(after(signal), None, "it is observed again");
}

/// Fails the active run, ten minutes later, and records that. What was met is over.
fn fail(simulation: &mut Simulation) {
    simulation.pass_minutes(10);
    simulation.fail();
    simulation.signals.met.clear();
    simulation.reconcile();
}

/// Fails a run of the trigger, and then so many that were requested.
fn failed_before(requests: usize) -> (Simulation, NewRun) {
    let mut simulation = trained();
    simulation.meet("clicks");
    let run = started(&simulation.reconcile()).clone();
    fail(&mut simulation);
    for request in 0..requests {
        simulation.request(&format!("full {request}"));
        assert_eq!(started(&simulation.reconcile()).trigger, Trigger::Request);
        fail(&mut simulation);
    }
    (simulation, run)
}

#[test]
fn a_run_that_failed_is_repeated_although_others_failed_after_it_and_those_do_not_delay_it() {
    let (mut simulation, run) = failed_before(3);
    let again = run.due + COOL_DOWN;
    assert_eq!(simulation.decide().wake_at, Some(again));
    simulation.now = again;
    let retry = started(&simulation.reconcile()).clone();
    assert_eq!((retry.trigger, &retry.cause), (Trigger::Signal, &run.cause));
    fail(&mut simulation);
    let status = simulation.status.as_ref().expect("a status");
    assert_eq!((status.triggers[0].failures, status.consecutive_failures), (2, 5));
    assert_eq!(simulation.decide().wake_at, Some(retry.due + COOL_DOWN * 2));

    let (mut simulation, _) = failed_before(1);
    simulation.request("full again");
    simulation.reconcile();
    simulation.succeed();
    simulation.reconcile();
    let status = simulation.status.as_ref().expect("a status");
    assert_eq!((status.triggers[0].failures, &status.triggers[0].failed_cause), (0, &None), "it has the data");
    simulation.pass_minutes(60 * 48);
    assert_eq!(simulation.reconcile().start, None);
}

#[test]
fn a_partial_run_that_failed_is_repeated_after_a_full_one_that_failed_and_not_after_one_that_succeeded() {
    let failed = || {
        let simulation = Simulation::new().partial("0 0 1 1 *", None);
        let mut simulation = simulation.triggered("clicks", TrainingKind::Partial, COOL_DOWN).trained();
        simulation.meet("clicks");
        assert_eq!(started(&simulation.reconcile()).kind, TrainingKind::Partial);
        fail(&mut simulation);
        simulation.request("full");
        assert_eq!(started(&simulation.reconcile()).kind, TrainingKind::Full);
        simulation
    };
    let mut simulation = failed();
    fail(&mut simulation);
    simulation.pass_minutes(60);
    assert_eq!(started(&simulation.reconcile()).kind, TrainingKind::Partial);

    let mut simulation = failed();
    simulation.succeed();
    simulation.reconcile();
    simulation.pass_minutes(60);
    assert_eq!(simulation.reconcile().start, None);
}

#[test]
fn a_run_that_failed_under_an_operator_that_repeats_none_is_not_repeated_by_a_later_one() {
    let (mut simulation, _) = failed_before(0);
    let trigger = &mut simulation.status.as_mut().expect("a status").triggers[0];
    assert_eq!((trigger.failures, trigger.failed_cause.is_some()), (1, true));
    (trigger.failures, trigger.failed_cause) = (0, None);
    simulation.pass_minutes(60 * 72);
    assert_eq!(simulation.reconcile().start, None);
}
