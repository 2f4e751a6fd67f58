//! Random histories of full and partial runs: Jobs that succeed, fail, hang and end late, operators that are killed between two
//! writes, clocks that step, and settings that change.

use std::collections::{BTreeMap, BTreeSet};

use jiff::{SignedDuration, Timestamp};
use proptest::prelude::*;

use super::simulation::Simulation;
use crate::{
    api::{TrainingKind, Trigger, Version, VersionState},
    model::{readiness::Input, schedule::Schedule},
    time::whole_seconds,
    training::{NewRun, ObservedRun, PartialPlan, Reading, RunState},
};

/// What may happen between two reconciles.
#[derive(Clone, Debug)]
enum Event {
    Pass(i64),
    ClockSteps(i64),
    PodStarts,
    PodIsBlocked,
    IsQueued,
    IsInterrupted,
    /// With data until so many minutes before now, or without a report of it.
    Succeeds(Option<i64>),
    Fails,
    JobIsDeleted,
    Request(&'static str),
    FullSchedule(usize),
    PartialSchedule(usize),
    MaxBaseAge(Option<i64>),
    Settings(u8),
    Suspend(bool),
    StoreMoves(bool),
    IsRejected,
    IsMet(&'static str),
    IsNotMet(&'static str),
    InputIsThere(bool),
}

/// Triggers, their kinds, and how long they cool down, minutes.
const TRIGGERS: [(&str, TrainingKind, i64); 3] =
    [("drift", TrainingKind::Full, 600), ("clicks", TrainingKind::Partial, 90), ("users-db", TrainingKind::Partial, 1)];

const FULL: [Option<&str>; 3] = [None, Some("0 */6 * * *"), Some("30 3 * * *")];
const PARTIAL: [Option<&str>; 4] = [None, Some("*/15 * * * *"), Some("0 * * * *"), Some("30 3 * * *")];
const REQUESTS: [&str; 5] = ["full 1", "full: 2", "partial 1", "partial: drift", "nonsense"];

fn event() -> impl Strategy<Value = Event> {
    prop_oneof![
        8 => (1_i64..200).prop_map(Event::Pass),
        1 => (1000_i64..9000).prop_map(Event::Pass),
        1 => prop_oneof![Just(-60_i64), Just(60)].prop_map(Event::ClockSteps),
        3 => Just(Event::PodStarts),
        1 => Just(Event::PodIsBlocked),
        1 => Just(Event::IsQueued),
        1 => Just(Event::IsInterrupted),
        // A minute after the end of the run counts as that end, and so would be neither a report nor none.
        6 => prop::option::of(prop_oneof![1 => -30_i64..-1, 3 => 0_i64..90]).prop_map(Event::Succeeds),
        2 => Just(Event::Fails),
        1 => Just(Event::JobIsDeleted),
        2 => prop::sample::select(&REQUESTS[..]).prop_map(Event::Request),
        1 => (0..FULL.len()).prop_map(Event::FullSchedule),
        1 => (0..PARTIAL.len() + 1).prop_map(Event::PartialSchedule),
        1 => prop::option::of(1_i64..48).prop_map(Event::MaxBaseAge),
        1 => (0_u8..2).prop_map(Event::Settings),
        1 => any::<bool>().prop_map(Event::Suspend),
        1 => prop::bool::weighted(0.2).prop_map(Event::StoreMoves),
        1 => Just(Event::IsRejected),
        4 => prop::sample::select(&TRIGGERS[..]).prop_map(|(name, ..)| Event::IsMet(name)),
        1 => prop::sample::select(&TRIGGERS[..]).prop_map(|(name, ..)| Event::IsNotMet(name)),
        1 => prop::bool::weighted(0.7).prop_map(Event::InputIsThere),
    ]
}

fn schedule(cron: Option<&str>) -> Option<Schedule> {
    cron.and_then(|cron| Schedule::parse(cron, Some("Europe/Helsinki")).ok())
}

fn happens(simulation: &mut Simulation, event: &Event) {
    match event {
        Event::Pass(minutes) | Event::ClockSteps(minutes) => simulation.pass_minutes(*minutes),
        Event::PodStarts => simulation.become_state(RunState::Running),
        Event::PodIsBlocked => simulation.block("ErrImagePull"),
        Event::IsQueued => simulation.become_state(RunState::Suspended { queue: None }),
        Event::IsInterrupted => {
            let (at, why) = (simulation.now, "it was evicted".into());
            simulation.become_state(RunState::Interrupted { at, had_started: true, why });
        }
        Event::Succeeds(None) => simulation.succeed(),
        Event::Succeeds(Some(minutes)) => {
            let through = simulation.now - SignedDuration::from_mins(*minutes);
            simulation.succeed_through(&through.to_string());
        }
        Event::Fails => simulation.fail(),
        Event::JobIsDeleted => simulation.lose_active(),
        Event::Request(value) => simulation.request(value),
        Event::FullSchedule(number) => simulation.plan.schedule = schedule(FULL[*number]),
        Event::PartialSchedule(number) => {
            let plan = |cron| PartialPlan { schedule: schedule(cron), template: "p".into(), max_base_age_hours: None };
            simulation.plan.partial = PARTIAL.get(*number).map(|cron| plan(*cron));
        }
        Event::MaxBaseAge(hours) => {
            simulation.plan.partial.iter_mut().for_each(|partial| partial.max_base_age_hours = *hours);
        }
        Event::IsRejected => {
            simulation.versions.iter_mut().take(1).for_each(|version| version.state = VersionState::Rejected);
        }
        Event::IsMet(name) => simulation.meet(name),
        Event::IsNotMet(name) => drop(simulation.signals.met.remove(*name)),
        Event::InputIsThere(up) => {
            simulation.signals.inputs.insert("db".into(), Reading { up: Some(*up), ..Reading::default() });
        }
        Event::Settings(number) => simulation.plan.template = format!("settings-{number}"),
        Event::Suspend(suspended) => simulation.plan.suspended = *suspended,
        Event::StoreMoves(away) => simulation.plan.store = if *away { "s3://elsewhere" } else { "s3://models" }.into(),
    }
}

/// Until when the trainer of the active run has read, if it succeeds now: as it reports, for it may have read beyond what it was given, and
/// else until the end of what it was given, also if it reports a time of the future.
fn reads(simulation: &Simulation, event: &Event) -> Option<(String, Timestamp)> {
    let Event::Succeeds(ago) = event else { return None };
    let run = simulation.jobs.iter().find(|job| job.state.finished_at().is_none())?;
    let from = run.base.as_ref().map(|base| base.data_from.0);
    let reported =
        ago.filter(|ago| *ago >= 0).map(|ago| whole_seconds(simulation.now - SignedDuration::from_mins(ago)));
    Some((run.version.clone(), reported.unwrap_or(run.due).max(from.unwrap_or(Timestamp::MIN))))
}

/// What is known of all runs so far.
#[derive(Default)]
struct Ledger {
    versions: BTreeMap<String, Version>,
    /// Until when the trainer of each version has read.
    read: BTreeMap<String, Timestamp>,
    ended: BTreeSet<String>,
    /// The run that each trigger started last, with when it was due.
    triggered: BTreeMap<String, (String, Timestamp)>,
}

impl Ledger {
    fn note(&mut self, simulation: &Simulation) {
        let ended = simulation.jobs.iter().filter(|job| job.state.finished_at().is_some());
        self.ended.extend(ended.map(|job| job.version.clone()));
        self.versions.extend(simulation.versions.iter().map(|version| (version.id.clone(), version.clone())));
    }

    /// A trigger starts another run only after its cool-down.
    fn assert_cool(&mut self, job: &ObservedRun) -> Result<(), TestCaseError> {
        let Some(cause) = &job.cause else { return Ok(()) };
        let name = TRIGGERS.iter().find(|(name, ..)| cause.starts_with(&format!("{name}: ")));
        let (name, kind, minutes) = name.ok_or_else(|| TestCaseError::fail(format!("an unknown trigger: {cause}")))?;
        prop_assert_eq!((job.kind, job.trigger), (*kind, Trigger::Signal));
        let before = self.triggered.insert((*name).into(), (job.version.clone(), job.due));
        let Some((version, due)) = before.filter(|(version, _)| *version != job.version) else { return Ok(()) };
        let passed = job.due.duration_since(due);
        prop_assert!(passed >= SignedDuration::from_mins(*minutes), "{} {} after {}", job.version, passed, version);
        Ok(())
    }

    /// The lineage of a partial version: its data begins where that of its base ends, and its root is the full version below it.
    fn assert_lineage(&self, version: &Version) -> Result<(), TestCaseError> {
        let Some(base) = &version.base else {
            prop_assert_eq!(version.kind, TrainingKind::Full, "{} has no base", version.id);
            return Ok(());
        };
        let below = self.versions.get(&base.version);
        let below = below.ok_or_else(|| TestCaseError::fail(format!("{} has an unknown base", version.id)))?;
        let end = self.read.get(&base.version).copied();
        prop_assert_eq!(Some(base.data_from.0), end, "{} leaves a gap or overlaps", version.id);
        let root = below.base.as_ref().map_or((&below.id, &below.trained_at), |of| (&of.full, &of.full_trained_at));
        prop_assert_eq!((&base.full, &base.full_trained_at), root);
        Ok(())
    }
}

/// Whether a full run would be started if there were no partial training.
fn is_full_due(before: &Simulation) -> bool {
    let mut alone = before.clone();
    alone.plan.partial = None;
    alone.jobs.retain(|job| job.kind == TrainingKind::Full);
    alone.decide().start.is_some_and(|run| run.kind == TrainingKind::Full)
}

/// A Job that is created is allowed by everything known before.
fn assert_may_start(
    before: &Simulation,
    run: &NewRun,
    job: &ObservedRun,
    ledger: &Ledger,
) -> Result<(), TestCaseError> {
    prop_assert!(!ledger.ended.contains(&job.version), "{} ran before", job.version);
    prop_assert!(before.jobs.iter().all(|other| other.due < job.due), "{} is not the newest", job.version);
    prop_assert_eq!(run.base.is_some(), run.kind == TrainingKind::Partial);
    let is_there = before.signals.inputs.get("db").and_then(|reading| reading.up) == Some(true);
    let active = before.status.as_ref().and_then(|status| status.active.as_ref());
    let is_again = active.is_some_and(|active| active.version == job.version);
    prop_assert!(is_there || is_again || run.trigger == Trigger::Request, "{} has no input", job.version);
    let Some(base) = &run.base else { return Ok(()) };
    let plan = before.plan.partial.as_ref();
    let plan = plan.ok_or_else(|| TestCaseError::fail("a partial run without partial training"))?;
    let (age, limit) = (before.now.duration_since(base.base.full_trained_at.0), plan.max_base_age_hours);
    prop_assert!(limit.is_none_or(|hours| age.as_secs() <= hours * 3600), "{} has a base of {age}", job.version);
    prop_assert!(base.uri.starts_with(&before.plan.store), "its base is elsewhere");
    let rejected = before.versions.iter().filter(|version| version.state == VersionState::Rejected);
    prop_assert!(rejected.map(|version| &version.id).all(|id| *id != base.base.version), "its base is rejected");
    prop_assert!(!is_full_due(before), "{} is started although a full run is due", job.version);
    Ok(())
}

proptest! {
    #![proptest_config(ProptestConfig { cases: 100, ..ProptestConfig::default() })]

    #[test]
    fn whatever_happens_full_and_partial_runs_exclude_each_other_and_leave_no_gap(
        steps in prop::collection::vec((event(), 0_usize..6, prop::bool::weighted(0.9), prop::bool::weighted(0.1)), 1..120),
        status_first in any::<bool>(),
    ) {
        let mut simulation = Simulation { status_first, ..Simulation::scheduled("0 */6 * * *").partial("*/15 * * * *", Some(24)) };
        let input = Input { dependency: "db".into(), has_health: true, ..Input::default() };
        simulation.plan.readiness.inputs.push(input);
        happens(&mut simulation, &Event::InputIsThere(true));
        for (name, kind, minutes) in TRIGGERS {
            simulation = simulation.triggered(name, kind, SignedDuration::from_mins(minutes));
        }
        let mut ledger = Ledger::default();
        for (event, writes, runs_complete, has_trainer) in steps {
            ledger.read.extend(reads(&simulation, &event));
            happens(&mut simulation, &event);
            (simulation.runs_complete, simulation.has_trainer) = (runs_complete, has_trainer);
            let before = simulation.clone();
            let decision = simulation.reconcile_until(writes);
            let active = |of: &Simulation| of.jobs.iter().filter(|job| job.state.finished_at().is_none()).count();
            prop_assert!(active(&before) + usize::from(decision.start.is_some()) <= 1, "two runs at a time");
            prop_assert!(active(&simulation) <= 1, "two runs at a time");
            prop_assert!(decision.start.is_none() || !has_trainer, "a trainer has not ended yet");
            for job in simulation.jobs.iter().filter(|job| before.jobs.iter().all(|old| old.uid != job.uid)) {
                let run = decision.start.as_ref().ok_or_else(|| TestCaseError::fail("a Job that was not decided"))?;
                assert_may_start(&before, run, job, &ledger)?;
                ledger.assert_cool(job)?;
            }
            ledger.note(&simulation);
            for version in &simulation.versions {
                ledger.assert_lineage(version)?;
            }
        }
        // Without further events everything that is due is run, and then nothing is due any more.
        (simulation.runs_complete, simulation.has_trainer) = (true, false);
        // The reports name artifacts in this store.
        happens(&mut simulation, &Event::StoreMoves(false));
        happens(&mut simulation, &Event::InputIsThere(true));
        let mut started = Vec::new();
        for _ in 0..10 {
            started.extend(simulation.reconcile().start.map(|run| run.version));
            simulation.succeed();
        }
        // Each trigger that is met starts at most one.
        prop_assert!(started.len() <= 4 + TRIGGERS.len(), "{:?}", started);
        prop_assert_eq!(simulation.decide().start, None);
        let status = simulation.status.clone().expect("a status");
        let partial = status.next_schedule_time(TrainingKind::Partial).filter(|_| !simulation.plan.suspended);
        let waits = simulation.decide().condition.message.contains("A partial run waits");
        prop_assert!(waits || partial.is_none_or(|next| next.0 > simulation.now), "{:?} is lost", partial);
        let full = status.next_schedule_time(TrainingKind::Full).filter(|_| !simulation.plan.suspended);
        prop_assert!(full.is_none_or(|next| next.0 > simulation.now), "{:?} is lost", full);
    }

    /// The operator is down for random durations. After each the latest full run before its restart is made up for, and then the
    /// latest partial one since, with all data since the last version.
    #[test]
    fn after_any_downtime_one_full_and_one_partial_run_make_up_for_all(absences in prop::collection::vec(1_i64..3000, 1..20)) {
        let mut simulation = Simulation::scheduled("40 */6 * * *").partial("*/15 * * * *", None).trained();
        let plan = simulation.plan.clone();
        let latest = |kind, from, until| plan.schedule(kind).and_then(|schedule| schedule.latest_within(from, until));
        let mut handled = at_creation(&simulation);
        let mut read_until = handled;
        for minutes in absences {
            let stopped = simulation.now;
            simulation.pass_minutes(minutes);
            let full = latest(TrainingKind::Full, stopped, simulation.now);
            let mut started = Vec::new();
            for _ in 0..4 {
                let Some(run) = simulation.reconcile().start else { break };
                prop_assert!(run.base.as_ref().is_none_or(|base| base.base.data_from.0 == read_until));
                started.push((run.kind, run.due));
                read_until = run.due;
                simulation.succeed();
            }
            handled = handled.max(full.unwrap_or(handled));
            let partial = latest(TrainingKind::Partial, handled, simulation.now);
            handled = handled.max(partial.unwrap_or(handled));
            let expected: Vec<_> = full.map(|due| (TrainingKind::Full, due)).into_iter()
                .chain(partial.map(|due| (TrainingKind::Partial, due))).collect();
            prop_assert_eq!(started, expected);
        }
    }
}

/// No scheduled time up to the first run is due.
fn at_creation(simulation: &Simulation) -> Timestamp {
    simulation.jobs.iter().map(|job| job.due).max().unwrap_or(simulation.now)
}
