use jiff::{SignedDuration, Timestamp};

use super::{at, simulation::Simulation};
use crate::{
    api::{TrainingKind, Trigger},
    model::readiness::Input,
    training::{Reading, RunState},
};

/// An object that was trained at creation and is due at 13:00, whose input is there or not.
fn due(input: Input) -> Simulation {
    let mut simulation = Simulation::scheduled("0 13 * * *").partial("30 13 * * *", None).trained();
    simulation.plan.readiness.inputs = vec![Input { dependency: "clicks".into(), ..input }];
    simulation.go_to("2026-11-20T13:00:00Z");
    simulation
}

fn healthy() -> Input {
    Input { has_health: true, ..Input::default() }
}

fn reads(simulation: &mut Simulation, reading: Reading) {
    simulation.signals.inputs.insert("clicks".into(), reading);
}

fn up(up: bool) -> Reading {
    Reading { up: Some(up), ..Reading::default() }
}

/// Why the run that is due waits; none if it starts.
fn waits(simulation: &Simulation) -> Option<String> {
    let decision = simulation.decide();
    let message = decision.condition.message;
    let because = message.split_once(", because ").map(|(_, why)| why.trim_end_matches('.').to_owned());
    assert_eq!(decision.start.is_none(), because.is_some(), "{message}");
    because
}

#[test]
fn a_run_that_is_due_waits_for_its_inputs_and_the_status_has_for_what_and_since_when() {
    let mut simulation = due(healthy());
    let waiting = simulation.reconcile();
    assert_eq!((waiting.start, waiting.wake_at), (None, Some(at("2026-11-20T13:01:00Z"))));
    let message = "Training run full-20261120-1300 is due and waits since 2026-11-20T13:00:00Z, because it is not known whether \
                   clicks works.";
    assert!(waiting.condition.message.ends_with(message), "{}", waiting.condition.message);
    simulation.pass_minutes(10);
    reads(&mut simulation, up(false));
    assert_eq!(waits(&simulation).as_deref(), Some("clicks is down"));
    simulation.reconcile();
    let since = simulation.status.as_ref().and_then(|status| status.waiting_since.clone());
    assert_eq!(since.map(|time| time.0), Some(at("2026-11-20T13:00:00Z")), "also after a restart");
    reads(&mut simulation, up(true));
    let run = simulation.reconcile().start.expect("a run");
    assert_eq!((run.version.as_str(), run.due), ("full-20261120-1300", at("2026-11-20T13:00:00Z")));
    assert_eq!(simulation.status.and_then(|status| status.waiting_since), None);
}

#[test]
fn each_bound_is_met_or_named_and_what_is_not_known_is_missing() {
    let events = |count, after: Option<String>| [(TrainingKind::Full, (count, after))].into();
    let first = Simulation::scheduled("0 13 * * *").partial("30 13 * * *", None).trained();
    let first = first.versions.first().map(|version| version.id.clone());
    let until = |text| Reading { events_until: Some(at(text)), ..Reading::default() };
    let lag = |lag| Reading { lag: Some(lag), ..Reading::default() };
    let count = |has_arrivals, events| Reading { has_arrivals, events, ..Reading::default() };
    let max_lag = Input { max_lag: Some(9), ..Input::default() };
    let stream = Input { events_until_due: true, ..Input::default() };
    let least = Input { min_events: Some(100), ..Input::default() };
    let few = "fewer than 100 messages arrived at clicks since the last run (minNewEvents)";
    for (input, reading, expected) in [
        (max_lag.clone(), lag(9.0), None),
        (max_lag.clone(), lag(9.1), Some("more than 9 messages wait at clicks (maxLagMessages)")),
        (max_lag, Reading::default(), Some("it is not known how many messages wait at clicks")),
        (stream.clone(), until("2026-11-20T13:00:00Z"), None),
        (
            stream.clone(),
            until("2026-11-20T12:59:59Z"),
            Some("clicks has not processed the events until the run was due (eventsUntilDue)"),
        ),
        (stream, Reading::default(), Some("it is not known how far clicks is with its events")),
        (least.clone(), count(true, events(100, first.clone())), None),
        (least.clone(), count(true, events(90, first.clone())), Some(few)),
        (least.clone(), count(true, events(100, Some("full-of-before".into()))), Some(few)),
        (least, count(false, events(90, first)), Some("it is not known how many messages arrive at clicks")),
    ] {
        let mut simulation = due(input.clone());
        reads(&mut simulation, reading.clone());
        assert_eq!(waits(&simulation).as_deref(), expected, "{input:?} {reading:?}");
    }
}

#[test]
fn after_the_longest_wait_a_run_starts_anyway_and_a_requested_one_does_not_wait() {
    let mut simulation = due(healthy());
    simulation.plan.readiness.max_wait = Some(SignedDuration::from_mins(30));
    simulation.reconcile();
    simulation.go_to("2026-11-20T13:29:59Z");
    assert_eq!(simulation.reconcile().wake_at, Some(at("2026-11-20T13:30:00Z")));
    simulation.go_to("2026-11-20T13:30:00Z");
    assert_eq!(simulation.reconcile().start.map(|run| run.trigger), Some(Trigger::Schedule));

    let mut simulation = due(healthy());
    assert_eq!(simulation.reconcile().start, None);
    simulation.request("full: anyway");
    assert_eq!(simulation.reconcile().start.map(|run| run.trigger), Some(Trigger::Request));
}

#[test]
fn a_full_run_that_waits_does_not_end_a_partial_one_and_a_lost_run_does_not_wait() {
    let mut simulation = due(healthy());
    simulation.request("partial now");
    simulation.plan.schedule = None;
    let partial = simulation.reconcile().start.expect("a partial run");
    simulation.become_state(RunState::Pending { blocked: None });
    simulation.plan.schedule = due(healthy()).plan.schedule;
    let decision = simulation.reconcile();
    assert_eq!((decision.replace.len(), simulation.active_version()), (0, partial.version.clone()));
    simulation.lose_active();
    assert_eq!(simulation.reconcile().start.map(|run| run.version), Some(partial.version));
}

#[test]
fn a_requested_partial_run_starts_beside_a_full_one_that_waits_and_is_covered_by_one_that_does_not() {
    let mut simulation = due(healthy());
    simulation.request("partial: anyway");
    let mut covered = simulation.clone();
    let run = simulation.reconcile().start.expect("a run");
    assert_eq!((run.kind, run.trigger), (TrainingKind::Partial, Trigger::Request));
    simulation.pass_minutes(1);
    simulation.succeed();
    assert_eq!(simulation.reconcile().start, None, "the full one still waits");
    reads(&mut simulation, up(true));
    let full = simulation.reconcile().start.expect("a run");
    assert_eq!((full.version.as_str(), full.request), ("full-20261120-1300", None));

    reads(&mut covered, up(true));
    let run = covered.reconcile().start.expect("a run");
    assert_eq!((run.kind, run.request.as_deref()), (TrainingKind::Full, Some("partial: anyway")));
}

/// An object that was trained at creation, whose partial run of 12:30 waits, before the full one of 13:00.
fn partial_waits(input: Input) -> Simulation {
    let mut simulation = Simulation::scheduled("0 13 * * *").partial("30,45 12 * * *", None).trained();
    simulation.plan.readiness.inputs = vec![Input { dependency: "clicks".into(), ..input }];
    simulation.go_to("2026-11-20T12:30:00Z");
    assert_eq!(simulation.reconcile().start, None);
    simulation
}

#[test]
fn a_run_of_another_kind_begins_its_own_wait() {
    let mut simulation = partial_waits(healthy());
    simulation.plan.readiness.max_wait = Some(SignedDuration::from_mins(30));
    simulation.go_to("2026-11-20T13:00:00Z");
    assert_eq!(simulation.reconcile().wake_at, Some(at("2026-11-20T13:01:00Z")));
    let since = simulation.status.as_ref().and_then(|status| status.waiting_since.clone());
    assert_eq!(since.map(|time| time.0), Some(simulation.now));
    simulation.go_to("2026-11-20T13:29:59Z");
    assert_eq!(simulation.reconcile().start, None);
    simulation.go_to("2026-11-20T13:30:00Z");
    assert_eq!(simulation.reconcile().start.map(|run| run.kind), Some(TrainingKind::Full));
}

#[test]
fn the_events_until_a_later_run_was_due_have_to_be_processed_for_that_and_its_wait_goes_on() {
    let mut simulation = partial_waits(Input { events_until_due: true, ..Input::default() });
    let until = |text| Reading { events_until: Some(at(text)), ..Reading::default() };
    for (now, short, enough) in [
        ("2026-11-20T12:46:00Z", "2026-11-20T12:44:59Z", "2026-11-20T12:45:00Z"),
        ("2026-11-20T13:01:00Z", "2026-11-20T12:59:59Z", "2026-11-20T13:00:00Z"),
    ] {
        simulation.go_to(now);
        reads(&mut simulation, until(short));
        assert!(waits(&simulation).is_some(), "{now}");
        reads(&mut simulation, until(enough));
        let due = simulation.decide().start.map(|run| run.due);
        assert_eq!(due, Some(at(enough)), "a partial run gets the data until then");
    }
    simulation.plan.readiness.max_wait = Some(SignedDuration::from_mins(20));
    reads(&mut simulation, Reading::default());
    simulation.go_to("2026-11-20T12:49:59Z");
    assert_eq!(simulation.decide().start, None);
    simulation.go_to("2026-11-20T12:50:00Z");
    assert_eq!(simulation.decide().start.map(|run| run.version).as_deref(), Some("partial-20261120-1245"));
}

#[test]
fn messages_for_a_partial_run_are_recorded_before_there_was_one_and_not_without_partial_training() {
    let mut simulation = Simulation::new().partial("30 13 * * *", None).trained();
    simulation.plan.partial.as_mut().expect("partial training").schedule = None;
    let newest = simulation.versions.first().map(|version| version.id.clone());
    let events = TrainingKind::ALL.map(|kind| (kind, (90, newest.clone()))).into();
    reads(&mut simulation, Reading { events, ..Reading::default() });
    let recorded = |simulation: &mut Simulation| {
        let status = simulation.reconcile().status;
        TrainingKind::ALL.map(|kind| status.new_events(kind).get("clicks").copied())
    };
    assert_eq!(recorded(&mut simulation), [Some(90), Some(90)]);
    simulation.plan.partial = None;
    assert_eq!(recorded(&mut simulation), [Some(90), None]);
}

/// Since when a run waits according to the status.
fn waiting_since(simulation: &Simulation) -> Option<(TrainingKind, Timestamp)> {
    let status = simulation.status.as_ref()?;
    Some((status.waiting_kind?, status.waiting_since.as_ref()?.0))
}

#[test]
fn a_partial_run_meanwhile_does_not_begin_the_wait_of_a_full_one_anew() {
    let mut simulation = due(healthy());
    simulation.plan.readiness.max_wait = Some(SignedDuration::from_mins(30));
    let since = Some((TrainingKind::Full, simulation.now));
    simulation.reconcile();
    simulation.request("partial: anyway");
    simulation.held = Some((at("2026-11-20T13:05:00Z"), "others run".into()));
    for minutes in [5, 10, 20] {
        simulation.pass_minutes(minutes);
        simulation.reconcile();
        assert_eq!(waiting_since(&simulation), since, "{}", simulation.now);
        simulation.held = None;
        simulation.become_state(RunState::Running);
    }
    simulation.succeed();
    assert_eq!(simulation.reconcile().start.map(|run| run.kind), Some(TrainingKind::Full), "its longest wait is over");
    assert_eq!(waiting_since(&simulation), None);
}

#[test]
fn a_run_that_starts_after_the_longest_wait_does_not_wait_for_inputs_again_while_others_run() {
    for mut simulation in [due(healthy()), partial_waits(healthy())] {
        simulation.plan.readiness.max_wait = Some(SignedDuration::from_mins(10));
        simulation.reconcile();
        let since = waiting_since(&simulation);
        simulation.pass_minutes(10);
        simulation.held = Some((simulation.now, "others run".into()));
        simulation.reconcile();
        assert_eq!(waiting_since(&simulation), since);
        simulation.pass_minutes(1);
        simulation.held = None;
        assert!(simulation.reconcile().start.is_some());
    }
}
