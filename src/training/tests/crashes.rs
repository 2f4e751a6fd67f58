//! Crashes at any write, and any order of events: nothing is started twice, nothing is lost.

use std::collections::{BTreeMap, BTreeSet};

use proptest::prelude::*;

use super::simulation::Simulation;
use crate::{
    api::Trigger,
    model::schedule::Schedule,
    training::{Decision, PartialPlan, RunState},
};

/// What may happen between two reconciles.
#[derive(Clone, Debug)]
enum Event {
    Pass(i64),
    PodStarts,
    PodIsBlocked,
    IsInterrupted,
    Succeeds,
    ReportsRubbish,
    Fails,
    JobIsDeleted,
    Settings(u8),
    Request(u8),
    NonsenseRequest,
    Schedule(u8),
    PartialSchedule(u8),
    Suspend(bool),
}

/// A termination message that is not a valid report.
const RUBBISH: &str = "rubbish";
/// Schedules between which [`Event::Schedule`] chooses.
const SCHEDULES: [Option<&str>; 4] = [None, Some("0 3 * * *"), Some("0 * * * *"), Some("15 */2 * * MON-FRI")];

fn event() -> impl Strategy<Value = Event> {
    prop_oneof![
        6 => (1_i64..900).prop_map(Event::Pass),
        3 => Just(Event::PodStarts),
        2 => Just(Event::PodIsBlocked),
        2 => Just(Event::IsInterrupted),
        5 => Just(Event::Succeeds),
        1 => Just(Event::ReportsRubbish),
        2 => Just(Event::Fails),
        1 => Just(Event::JobIsDeleted),
        2 => (0_u8..3).prop_map(Event::Settings),
        2 => (0_u8..5).prop_map(Event::Request),
        1 => Just(Event::NonsenseRequest),
        1 => (0_u8..4).prop_map(Event::Schedule),
        1 => (0_u8..4).prop_map(Event::PartialSchedule),
        1 => any::<bool>().prop_map(Event::Suspend),
    ]
}

fn happens(simulation: &mut Simulation, event: &Event) {
    match event {
        Event::Pass(minutes) => simulation.pass_minutes(*minutes),
        Event::PodStarts => simulation.become_state(RunState::Running),
        Event::PodIsBlocked => simulation.block("ErrImagePull"),
        Event::IsInterrupted => {
            let (at, why) = (simulation.now, "it was evicted".into());
            simulation.become_state(RunState::Interrupted { at, had_started: true, why });
        }
        Event::Succeeds => simulation.succeed(),
        Event::ReportsRubbish => simulation.end_with_report(Some(RUBBISH)),
        Event::Fails => simulation.fail(),
        Event::JobIsDeleted => simulation.lose_active(),
        Event::Settings(number) => simulation.plan.template = format!("settings-{number}"),
        Event::Request(number) => {
            let kind = if *number < 3 { "full" } else { "partial" };
            simulation.request(&format!("{kind} {number}"));
        }
        Event::NonsenseRequest => simulation.request("nonsense"),
        Event::Suspend(suspended) => simulation.plan.suspended = *suspended,
        Event::PartialSchedule(number) => {
            simulation.plan.partial = SCHEDULES[usize::from(*number)].map(|cron| PartialPlan {
                schedule: Schedule::parse(cron, Some("Europe/Helsinki")).ok(),
                template: format!("partial-{number}"),
                max_base_age_hours: Some(100),
            });
        }
        Event::Schedule(number) => {
            let cron = SCHEDULES[usize::from(*number)];
            simulation.plan.schedule = cron.and_then(|cron| Schedule::parse(cron, Some("Europe/Helsinki")).ok());
        }
    }
}

/// The cause of a pod that is gone stays until the next pod is observed, longer after a crash.
fn assert_same_end(straight: &Simulation, crashed: &Simulation) -> Result<(), TestCaseError> {
    let without_cause = |simulation: &Simulation| {
        let mut status = simulation.status.clone();
        status.iter_mut().filter_map(|status| status.active.as_mut()).for_each(|active| active.blocked = None);
        status
    };
    prop_assert_eq!(without_cause(straight), without_cause(crashed));
    prop_assert_eq!(&straight.versions, &crashed.versions);
    // A request that a run covers beside its own cause is in the status when its Job is created again, and not in that Job.
    let jobs = |simulation: &Simulation| {
        let mut jobs = simulation.jobs.clone();
        jobs.iter_mut().filter(|job| job.trigger != Trigger::Request).for_each(|job| job.request = None);
        jobs
    };
    prop_assert_eq!(jobs(straight), jobs(crashed));
    Ok(())
}

/// The runs that ended with a valid report: due time and version.
fn good_runs(simulation: &Simulation) -> impl Iterator<Item = (jiff::Timestamp, String)> {
    let rubbish = Some(RUBBISH.to_owned());
    simulation.jobs.iter().filter_map(move |job| match &job.state {
        RunState::Succeeded { termination_message, .. } if *termination_message != rubbish => {
            Some((job.due, job.version.clone()))
        }
        _ => None,
    })
}

/// Invariants of every decision.
fn assert_sound(before: &Simulation, decision: &Decision) -> Result<(), TestCaseError> {
    let active = before.jobs.iter().filter(|job| job.state.finished_at().is_none()).count();
    prop_assert!(active + usize::from(decision.start.is_some()) <= 1, "two runs at a time");
    let versions: Vec<_> = decision.versions.iter().map(|version| &version.id).collect();
    for kept in before.versions.first().map(|version| &version.id).into_iter().chain(&before.in_use) {
        let known = before.versions.iter().any(|version| version.id == *kept);
        let newest_changed = decision.versions.len() == 5 && !before.in_use.contains(kept);
        prop_assert!(!known || versions.contains(&kept) || newest_changed, "{} is lost", kept);
    }
    prop_assert!(decision.versions.is_sorted_by(|newer, older| newer.due_at > older.due_at));
    prop_assert!(decision.condition.message.chars().count() < 2000);
    Ok(())
}

/// Until the next scheduled time, the decision does not change.
fn assert_steady(simulation: &Simulation, seconds: i64) -> Result<(), TestCaseError> {
    let now = simulation.decide();
    let mut later = simulation.clone();
    later.now += jiff::SignedDuration::from_secs(seconds);
    if now.wake_at.is_some_and(|wake_at| wake_at <= later.now) {
        return Ok(());
    }
    prop_assert_eq!(&now.start, &None, "a second decision starts nothing");
    prop_assert_eq!(Some(&now.status), simulation.status.as_ref());
    prop_assert_eq!(&now.versions, &simulation.versions);
    let Decision { status, versions, condition, start, .. } = later.decide();
    prop_assert_eq!((&status, &versions, &start), (&now.status, &now.versions, &None));
    prop_assert_eq!(condition, now.condition);
    Ok(())
}

/// Whether another decision is due at once: the watch of Jobs reports what the last one created and deleted.
fn is_reconciled_again(simulation: &Simulation) -> bool {
    let decision = simulation.decide();
    decision.start.is_some() || !decision.replace.is_empty() || Some(&decision.status) != simulation.status.as_ref()
}

proptest! {
    #![proptest_config(ProptestConfig { cases: 100, ..ProptestConfig::default() })]

    #[test]
    fn a_crash_after_any_write_ends_in_the_same_state_as_none(
        steps in prop::collection::vec((event(), prop::collection::vec(0_usize..4, 0..3), any::<bool>()), 1..40),
        status_first in any::<bool>(),
    ) {
        let mut straight = Simulation { status_first, ..Simulation::new() };
        let mut crashed = straight.clone();
        for (event, crashes, reconciled) in steps {
            happens(&mut straight, &event);
            happens(&mut crashed, &event);
            if !reconciled {
                continue;
            }
            straight.reconcile();
            for writes in crashes {
                crashed.reconcile_until(writes);
            }
            crashed.reconcile();
            if [&straight, &crashed].into_iter().any(is_reconciled_again) {
                // The cause of an interrupted run is recorded by one decision, its Job deleted by the next one, and created
                // again by a third, or not while training is suspended.
                for _ in 0..3 {
                    straight.reconcile();
                    crashed.reconcile();
                }
            }
            assert_same_end(&straight, &crashed)?;
            // The next pod that is observed would make the causes equal.
            crashed.status.clone_from(&straight.status);
        }
    }

    #[test]
    fn whatever_happens_one_run_at_a_time_and_no_version_is_lost(
        steps in prop::collection::vec((event(), 0_usize..6, any::<bool>()), 1..60),
        status_first in any::<bool>(),
        seconds in 1_i64..100_000,
    ) {
        let mut simulation = Simulation { status_first, ..Simulation::new() };
        let mut trained = BTreeMap::new();
        let mut started = BTreeSet::new();
        let mut ended = BTreeSet::new();
        for (event, writes, runs_complete) in steps {
            happens(&mut simulation, &event);
            trained.extend(good_runs(&simulation));
            simulation.in_use = simulation.versions.last().map(|version| version.id.clone()).into_iter().collect();
            simulation.runs_complete = runs_complete;
            let before = simulation.clone();
            let decision = simulation.reconcile_until(writes);
            assert_sound(&before, &decision)?;
            for job in simulation.jobs.iter().filter(|job| !before.jobs.iter().any(|old| old.uid == job.uid)) {
                let known = before.jobs.iter().map(|job| job.due).chain(before.versions.iter().map(|old| old.due_at.0));
                prop_assert!(known.max() < Some(job.due), "{} is not the newest", job.version);
                prop_assert!(started.insert(job.version.clone()) || !ended.contains(&job.version), "{} ran before", job.version);
            }
            ended.extend(simulation.jobs.iter().filter(|job| job.state.finished_at().is_some()).map(|job| job.version.clone()));
        }
        // Without further events, all requests are completed, and then nothing changes any more.
        simulation.runs_complete = true;
        for _ in 0..12 {
            simulation.reconcile();
            simulation.succeed();
            trained.extend(good_runs(&simulation));
        }
        let status = simulation.status.clone().expect("a status");
        prop_assert_eq!(&status.active, &None);
        if let Some(request) = simulation.plan.request.as_ref().filter(|request| request.starts_with("full")) {
            prop_assert_eq!(status.last_request.as_ref(), Some(request));
        }
        let newest: Vec<_> = trained.values().rev().take(4).cloned().collect();
        prop_assert_eq!(&simulation.version_ids()[..newest.len()], newest.as_slice());
        prop_assert!(simulation.versions.iter().all(|version| trained.get(&version.due_at.0) == Some(&version.id)));
        prop_assert!(simulation.jobs.len() <= 4, "old Jobs are removed: {:?}", simulation.job_versions());
        assert_steady(&simulation, seconds)?;
    }

    #[test]
    fn a_decision_is_not_repeated_once_its_writes_are_made(
        events in prop::collection::vec(event(), 1..40), seconds in 1_i64..100_000,
    ) {
        let mut simulation = Simulation::new();
        for event in events {
            happens(&mut simulation, &event);
            simulation.reconcile();
            // Deleting replaced Jobs and removing old ones takes further decisions.
            simulation.reconcile();
            simulation.reconcile();
            assert_steady(&simulation, seconds)?;
        }
    }
}
