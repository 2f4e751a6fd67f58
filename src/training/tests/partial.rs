//! Partial runs beside full ones.

use k8s_openapi::apimachinery::pkg::apis::meta::v1::Time;

use super::{at, simulation::Simulation};
use crate::{
    api::{Base, TrainingKind, Trigger, conditions::reasons},
    model::schedule::Schedule,
    training::{Decision, NewRun, PartialPlan, RunState, Truth},
};

/// Trained at 12:10 on 20 November 2026 by a run that was due at 12:00, and then partially every quarter of an hour.
fn quarterly(max_base_age_hours: Option<i64>) -> Simulation {
    Simulation::new().partial("*/15 * * * *", max_base_age_hours).trained()
}

fn started(decision: &Decision) -> &NewRun {
    decision.start.as_ref().expect("a run to start")
}

fn base(run: &NewRun) -> &Base {
    &run.base.as_ref().expect("a base").base
}

fn id(decision: &Decision) -> &str {
    &started(decision).version
}

fn next(simulation: &Simulation, kind: TrainingKind) -> Option<String> {
    let status = simulation.status.as_ref().expect("a status");
    status.next_schedule_time(kind).map(|time| time.0.to_string())
}

#[test]
fn a_partial_run_names_the_newest_version_and_has_the_data_since_it() {
    let mut simulation = quarterly(None);
    let full = simulation.versions[0].id.clone();
    simulation.go_to("2026-11-20T12:15:00Z");
    let run = started(&simulation.reconcile()).clone();
    assert_eq!(
        (run.version.as_str(), run.kind, run.trigger),
        ("partial-20261120-1215", TrainingKind::Partial, Trigger::Schedule)
    );
    assert_eq!((base(&run).version.as_str(), base(&run).full.as_str()), (full.as_str(), full.as_str()));
    assert_eq!((base(&run).data_from.0, run.due), (at("2026-11-20T12:00:00Z"), at("2026-11-20T12:15:00Z")));
    let artifact = run.base.as_ref().map(|base| (base.uri.clone(), base.digest.clone()));
    assert_eq!(artifact, Some((simulation.versions[0].uri.clone(), simulation.versions[0].digest.clone())));

    simulation.succeed();
    simulation.reconcile();
    assert_eq!(simulation.versions[0].kind, TrainingKind::Partial);
    assert_eq!(simulation.versions[0].base.as_ref(), Some(base(&run)));
    simulation.go_to("2026-11-20T12:30:00Z");
    let second = started(&simulation.reconcile()).clone();
    assert_eq!((base(&second).version.as_str(), base(&second).full.as_str()), ("partial-20261120-1215", full.as_str()));
    assert_eq!(base(&second).data_from.0, at("2026-11-20T12:15:00Z"), "where that of its base ends");

    simulation.succeed_through("2026-11-20T12:28:00Z");
    simulation.go_to("2026-11-20T12:45:00Z");
    let third = started(&simulation.reconcile()).clone();
    assert_eq!(base(&third).data_from.0, at("2026-11-20T12:28:00Z"), "as its trainer has reported");
    simulation.succeed_through("2026-11-20T12:20:00Z");
    simulation.go_to("2026-11-20T13:00:00Z");
    let fourth = started(&simulation.reconcile()).clone();
    assert_eq!(base(&fourth).data_from.0, at("2026-11-20T12:28:00Z"), "an end before its beginning does not count");
}

#[test]
fn data_of_the_future_that_a_trainer_reports_leaves_none_out() {
    let mut simulation = quarterly(None);
    let mut read_until = at("2026-11-20T12:00:00Z");
    for minute in [15, 30, 45] {
        simulation.go_to(&format!("2026-11-20T12:{minute}:00Z"));
        let run = started(&simulation.reconcile()).clone();
        assert_eq!(base(&run).data_from.0, read_until, "what arrived while its base was trained is new");
        read_until = run.due;
        // Its clock has the time of another zone.
        simulation.pass_minutes(2);
        simulation.succeed_through("2026-11-20T21:15:00Z");
        let decision = simulation.reconcile();
        let said = decision.condition.message;
        assert!(said.contains("Left out of its report: dataThrough is \"2026-11-20T21:15:00Z\""), "{said}");
        assert_eq!(simulation.versions[0].data_through, None, "no age of its data is known");
    }
}

#[test]
fn a_clock_that_is_a_little_ahead_does_not_have_data_learnt_twice() {
    let mut simulation = quarterly(None);
    simulation.request("full");
    simulation.reconcile();
    simulation.go_to("2026-11-20T13:01:00Z");
    simulation.succeed_through("2026-11-20T13:01:40Z");
    simulation.reconcile();
    simulation.go_to("2026-11-20T13:15:00Z");
    assert_eq!(base(started(&simulation.reconcile())).data_from.0, at("2026-11-20T13:01:00Z"), "the end of its run");
}

#[test]
fn a_time_of_the_future_in_the_status_leaves_no_data_out_either() {
    let mut simulation = quarterly(None);
    simulation.versions[0].data_through = Some(Time(at("2026-11-20T21:15:00Z")));
    simulation.go_to("2026-11-20T12:15:00Z");
    assert_eq!(base(started(&simulation.reconcile())).data_from.0, at("2026-11-20T12:00:00Z"));
}

#[test]
fn a_partial_version_that_was_given_data_of_the_future_leaves_none_out_either() {
    let mut simulation = quarterly(None);
    simulation.go_to("2026-11-20T12:15:00Z");
    simulation.reconcile();
    simulation.pass_minutes(2);
    simulation.succeed();
    simulation.reconcile();
    let version = &mut simulation.versions[0];
    assert_eq!((version.kind, version.data_through.is_none()), (TrainingKind::Partial, true));
    // As an earlier release put it into the status: its base had reported the time of another zone.
    version.base.as_mut().expect("a base").data_from = Time(at("2026-11-20T21:00:00Z"));
    simulation.go_to("2026-11-20T12:30:00Z");
    assert_eq!(base(started(&simulation.reconcile())).data_from.0, at("2026-11-20T12:15:00Z"));
}

#[test]
fn missed_and_failed_partial_runs_are_made_up_for_once_with_all_of_their_data() {
    let mut simulation = quarterly(None);
    simulation.go_to("2026-11-21T18:07:00Z");
    let run = started(&simulation.reconcile()).clone();
    assert_eq!((run.version.as_str(), base(&run).data_from.0), ("partial-20261121-1800", at("2026-11-20T12:00:00Z")));
    simulation.fail();
    let decision = simulation.reconcile();
    assert_eq!(decision.start, None, "the run that failed is not repeated");
    assert!(decision.condition.message.contains("The next partial run covers its data as well"), "{decision:?}");
    simulation.go_to("2026-11-21T18:15:00Z");
    let run = started(&simulation.reconcile()).clone();
    assert_eq!((run.version.as_str(), base(&run).data_from.0), ("partial-20261121-1815", at("2026-11-20T12:00:00Z")));
    simulation.succeed();
    assert_eq!(simulation.reconcile().start, None);
}

#[test]
fn without_a_version_no_partial_run_is_started() {
    let mut simulation = Simulation::new().partial("*/15 * * * *", None);
    assert_eq!(started(&simulation.reconcile()).kind, TrainingKind::Full);
    simulation.fail();
    simulation.go_to("2026-11-20T12:20:00Z");
    let decision = simulation.reconcile();
    assert_eq!((decision.start, decision.condition.reason), (None, reasons::TRAINING_FAILED));
    let message = decision.condition.message;
    assert!(message.contains("A partial run waits for the next full one, because there is no version"), "{message}");
    simulation.request("partial");
    assert_eq!(simulation.reconcile().start, None, "not on request either");
    simulation.plan.request = None;
    simulation.plan.template = "settings-2".into();
    assert_eq!(started(&simulation.reconcile()).kind, TrainingKind::Full);
    simulation.succeed();
    assert_eq!(simulation.reconcile().start, None, "the full run covers what was due before it");
    simulation.go_to("2026-11-20T12:30:00Z");
    assert_eq!(id(&simulation.reconcile()), "partial-20261120-1230");
}

#[test]
fn a_base_whose_full_version_is_too_old_waits_for_the_next_full_run() {
    let mut simulation = quarterly(Some(1));
    let full = simulation.versions[0].id.clone();
    for minute in ["12:15", "12:30", "12:45", "13:00"] {
        simulation.go_to(&format!("2026-11-20T{minute}:00Z"));
        assert_eq!(started(&simulation.reconcile()).kind, TrainingKind::Partial, "{minute}");
        simulation.succeed();
        simulation.reconcile();
    }
    // The full version was trained at 12:10.
    simulation.go_to("2026-11-20T13:15:00Z");
    let decision = simulation.reconcile();
    let condition = &decision.condition;
    assert_eq!(
        (decision.start.as_ref(), condition.status, condition.reason),
        (None, Truth::True, reasons::BASE_TOO_OLD)
    );
    let why = format!(
        "the full version {full} at the root of its base was trained at 2026-11-20T12:10:00Z, and \
         spec.training.partial.maxBaseAgeHours is 1"
    );
    assert!(condition.message.contains(&why), "{}", condition.message);
    assert_eq!(next(&simulation, TrainingKind::Partial).as_deref(), Some("2026-11-20T13:15:00Z"), "it is still due");

    simulation.go_to("2026-11-20T13:40:00Z");
    simulation.request("full");
    let run = started(&simulation.reconcile()).clone();
    assert_eq!((run.kind, run.base), (TrainingKind::Full, None));
    simulation.go_to("2026-11-20T13:50:00Z");
    simulation.succeed();
    let run = started(&simulation.reconcile()).clone();
    assert_eq!((run.version.as_str(), base(&run).data_from.0), ("partial-20261120-1345", at("2026-11-20T13:40:00Z")));
}

#[test]
fn a_version_of_unknown_origin_is_no_base() {
    let mut simulation = quarterly(None);
    simulation.versions[0].kind = TrainingKind::Partial;
    simulation.go_to("2026-11-20T12:15:00Z");
    let decision = simulation.reconcile();
    assert_eq!((decision.start, decision.condition.reason), (None, reasons::BASE_TOO_OLD));
    assert!(decision.condition.message.contains("from which full version"), "{}", decision.condition.message);
}

#[test]
fn a_full_run_that_is_due_comes_first_and_covers_the_partial_ones_until_then() {
    let mut simulation = quarterly(None);
    simulation.plan.schedule = Schedule::parse("0 3 * * *", None).ok();
    simulation.reconcile();
    simulation.go_to("2026-11-21T03:00:00Z");
    assert_eq!(id(&simulation.reconcile()), "full-20261121-0300");
    simulation.go_to("2026-11-21T03:10:00Z");
    simulation.succeed();
    assert_eq!(simulation.reconcile().start, None);
    simulation.go_to("2026-11-21T03:15:00Z");
    let run = started(&simulation.reconcile()).clone();
    assert_eq!((run.version.as_str(), base(&run).version.as_str()), ("partial-20261121-0315", "full-20261121-0300"));
}

#[test]
fn a_full_run_waits_for_the_end_of_a_partial_one_that_runs() {
    let mut simulation = quarterly(None);
    simulation.plan.schedule = Schedule::parse("50 12 * * *", None).ok();
    simulation.reconcile();
    simulation.go_to("2026-11-20T12:45:00Z");
    assert_eq!(id(&simulation.reconcile()), "partial-20261120-1245");
    simulation.become_state(RunState::Running);
    simulation.go_to("2026-11-20T13:35:00Z");
    let decision = simulation.reconcile();
    assert_eq!((decision.start, decision.replace), (None, vec![]));
    simulation.succeed();
    assert_eq!(id(&simulation.reconcile()), "full-20261120-1250", "before the partial runs that are due");
}

#[test]
fn a_full_run_replaces_a_partial_one_that_has_not_started() {
    let (queue, at) = (Some("gpus".to_owned()), at("2026-11-20T12:47:00Z"));
    for state in [
        RunState::Pending { blocked: None },
        RunState::Pending { blocked: Some("no node takes the pod".into()) },
        RunState::Suspended { queue },
        RunState::Interrupted { at, had_started: true, why: "it was evicted".into() },
    ] {
        let mut simulation = quarterly(None);
        simulation.plan.schedule = Schedule::parse("50 12 * * *", None).ok();
        simulation.reconcile();
        simulation.go_to("2026-11-20T12:45:00Z");
        simulation.reconcile();
        simulation.become_state(state.clone());
        simulation.go_to("2026-11-20T12:50:00Z");
        let decision = simulation.reconcile();
        assert_eq!((decision.start.as_ref(), decision.replace.len()), (None, 1), "{state:?}");
        let message = &decision.condition.message;
        assert!(message.contains("has not started is deleted, because a full run is due."), "{message}");
        simulation.has_trainer = true;
        assert_eq!(simulation.reconcile().start, None, "its pod has not ended yet");
        simulation.has_trainer = false;
        assert_eq!(id(&simulation.reconcile()), "full-20261120-1250", "{state:?}");
        assert_eq!(simulation.status.as_ref().and_then(|status| status.last(TrainingKind::Partial)), None);
    }
}

#[test]
fn a_partial_run_that_has_not_started_is_ended_when_there_is_no_partial_training_any_more() {
    let mut simulation = quarterly(None);
    simulation.go_to("2026-11-20T12:15:00Z");
    simulation.reconcile();
    simulation.plan.partial = None;
    assert_eq!(simulation.reconcile().replace.len(), 1);
    let decision = simulation.reconcile();
    assert_eq!((decision.start, decision.status.active), (None, None));
}

#[test]
fn the_annotation_requests_a_kind_with_a_reason() {
    let mut simulation = quarterly(None);
    for (value, kind) in [
        ("partial", TrainingKind::Partial),
        ("full: new features", TrainingKind::Full),
        ("partial because of drift", TrainingKind::Partial),
        ("partial", TrainingKind::Partial),
    ] {
        simulation.pass_minutes(1);
        simulation.request(value);
        let run = started(&simulation.reconcile()).clone();
        assert_eq!((run.kind, run.trigger, run.request.as_deref()), (kind, Trigger::Request, Some(value)));
        let status = simulation.status.clone().expect("a status");
        assert_eq!(status.last_request.as_deref(), Some(value), "with its reason");
        simulation.succeed();
        assert_eq!(simulation.reconcile().start, None, "{value} is done");
    }
    let ids: std::collections::BTreeSet<_> = simulation.job_versions().into_iter().collect();
    assert_eq!(ids.len(), simulation.jobs.len(), "each has a run of its own");
}

#[test]
fn a_request_of_a_partial_run_without_partial_training_is_invalid() {
    let mut simulation = Simulation::new().trained();
    simulation.request("partial: drift");
    let decision = simulation.reconcile();
    assert_eq!((decision.start, decision.condition.reason), (None, reasons::INVALID_REQUEST));
    assert!(
        decision.condition.message.contains("set spec.training.partial, or write full"),
        "{}",
        decision.condition.message
    );
    assert_eq!(decision.status.last_request, None);
}

#[test]
fn a_full_run_covers_a_partial_one_that_is_requested_at_the_same_time() {
    let mut simulation = quarterly(None);
    simulation.plan.schedule = Schedule::parse("0 3 * * *", None).ok();
    simulation.reconcile();
    simulation.go_to("2026-11-21T03:00:00Z");
    simulation.request("partial");
    let run = started(&simulation.reconcile()).clone();
    assert_eq!((run.version.as_str(), run.request.as_deref()), ("full-20261121-0300", Some("partial")));
    simulation.succeed();
    assert_eq!(simulation.reconcile().start, None);
}

#[test]
fn a_scheduled_full_run_is_made_up_for_although_a_partial_one_was_requested_meanwhile() {
    let mut simulation = quarterly(None);
    simulation.plan.schedule = Schedule::parse("0 3 * * *", None).ok();
    simulation.plan.suspended = true;
    simulation.reconcile();
    simulation.go_to("2026-11-21T03:05:30Z");
    assert_eq!(simulation.reconcile().start, None);
    simulation.request("partial");
    assert_eq!(started(&simulation.reconcile()).kind, TrainingKind::Partial, "on request, while training is suspended");
    simulation.succeed();
    simulation.reconcile();
    simulation.plan.suspended = false;
    let run = started(&simulation.reconcile()).clone();
    assert_eq!((run.version.as_str(), run.due), ("full-20261121-0300", at("2026-11-21T03:05:31Z")), "it is the newest");
    simulation.succeed();
    simulation.reconcile();
    assert_eq!(simulation.versions[0].id, "full-20261121-0300");
    assert_eq!(next(&simulation, TrainingKind::Full).as_deref(), Some("2026-11-22T03:00:00Z"));
}

#[test]
fn what_a_long_full_run_has_learnt_is_not_trained_again() {
    let mut simulation = quarterly(None);
    simulation.request("full");
    simulation.reconcile();
    simulation.go_to("2026-11-20T14:59:30Z");
    simulation.succeed_through("2026-11-20T14:58:00Z");
    assert_eq!(simulation.reconcile().start, None);
    assert_eq!(next(&simulation, TrainingKind::Partial).as_deref(), Some("2026-11-20T15:00:00Z"));
    simulation.go_to("2026-11-20T15:00:00Z");
    let run = started(&simulation.reconcile()).clone();
    assert_eq!((run.version.as_str(), base(&run).data_from.0), ("partial-20261120-1500", at("2026-11-20T14:58:00Z")));
}

#[test]
fn a_reported_time_of_the_future_does_not_end_partial_training() {
    let mut simulation = quarterly(None);
    simulation.request("full");
    let full = started(&simulation.reconcile()).clone();
    simulation.go_to("2026-11-20T12:29:00Z");
    simulation.succeed_through("2026-11-21T00:00:00Z");
    // Whether its trainer has read what arrived until 12:15 is not known.
    let run = started(&simulation.reconcile()).clone();
    assert_eq!((run.version.as_str(), base(&run).data_from.0), ("partial-20261120-1215", full.due));
    simulation.succeed();
    simulation.go_to("2026-11-20T12:30:00Z");
    assert_eq!(id(&simulation.reconcile()), "partial-20261120-1230");
}

#[test]
fn a_partial_run_whose_job_was_lost_is_started_again_on_the_same_base() {
    let mut simulation = quarterly(None);
    simulation.go_to("2026-11-20T12:15:00Z");
    let first = started(&simulation.reconcile()).clone();
    simulation.lose_active();
    assert_eq!(simulation.reconcile().start, Some(first));
    simulation.lose_active();
    simulation.plan.partial = None;
    assert_eq!(simulation.reconcile().start, None);
}

#[test]
fn a_full_run_that_failed_is_not_hidden_by_partial_ones_that_succeed() {
    let mut simulation = quarterly(None);
    simulation.request("full");
    simulation.reconcile();
    simulation.fail();
    simulation.reconcile();
    simulation.go_to("2026-11-20T12:15:00Z");
    simulation.reconcile();
    simulation.succeed();
    let decision = simulation.reconcile();
    assert_eq!((decision.condition.status, decision.condition.reason), (Truth::False, reasons::TRAINING_FAILED));
    assert!(decision.condition.message.ends_with("Version partial-20261120-1215 is still served."), "{decision:?}");
    assert_eq!((decision.status.consecutive_failures, decision.versions.len()), (1, 2));
    simulation.request("full again");
    simulation.reconcile();
    simulation.succeed();
    assert_eq!(simulation.reconcile().condition.status, Truth::True);
}

#[test]
fn a_partial_run_that_fails_is_reported_until_another_run_succeeds() {
    let mut simulation = quarterly(None);
    simulation.go_to("2026-11-20T12:15:00Z");
    simulation.reconcile();
    simulation.fail_with("DeadlineExceeded", None, None, None);
    let decision = simulation.reconcile();
    assert_eq!((decision.condition.status, decision.condition.reason), (Truth::False, reasons::DEADLINE_EXCEEDED));
    let message = decision.condition.message;
    assert!(message.contains("raise spec.training.partial.deadlineSeconds"), "{message}");
    let partial = decision.status.partial.expect("partial runs");
    assert_eq!((decision.status.consecutive_failures, partial.consecutive_failures), (0, 1));
    simulation.go_to("2026-11-20T12:30:00Z");
    simulation.reconcile();
    simulation.succeed();
    assert_eq!(simulation.reconcile().condition.status, Truth::True);
}

/// The versions that are started from one minute to the next, when each run takes four minutes.
fn minute_by_minute(simulation: &mut Simulation, from: &str, until: &str) -> Vec<String> {
    let mut versions = Vec::new();
    simulation.go_to(from);
    while simulation.now < at(until) {
        let running = simulation.active().map(|run| run.started_at);
        if running.flatten().is_some_and(|since| simulation.now.duration_since(since).as_mins() >= 4) {
            simulation.succeed();
        }
        versions.extend(simulation.reconcile().start.map(|run| run.version));
        simulation.pass_minutes(1);
    }
    versions
}

#[test]
fn a_change_of_the_clocks_neither_doubles_nor_loses_a_partial_run() {
    let zone = Some("Europe/Helsinki");
    // In autumn 03:30 occurs twice, in spring not at all.
    for (day, night, early) in
        [("2027-10-30", "2027-10-31", "partial-20271031-0030"), ("2027-03-27", "2027-03-28", "partial-20270328-0100")]
    {
        for (cron, expected) in [("30 3 * * *", Some(1)), ("*/15 * * * *", None)] {
            let mut simulation = Simulation::new().trained();
            let schedule = Schedule::parse(cron, zone).ok();
            simulation.plan.partial = Some(PartialPlan { schedule, template: "p".into(), max_base_age_hours: None });
            simulation.go_to(&format!("{day}T20:00:00Z"));
            simulation.reconcile();
            let (from, until) = (format!("{day}T20:01:00Z"), format!("{night}T08:00:00Z"));
            let versions = minute_by_minute(&mut simulation, &from, &until);
            // Every quarter of an hour of twelve hours, after the first instant.
            assert_eq!(versions.len(), expected.unwrap_or(47), "{cron} on {night}: {versions:?}");
            assert!(versions.iter().any(|version| version == early), "{cron} on {night}: {versions:?}");
            let distinct: std::collections::BTreeSet<_> = versions.iter().collect();
            assert_eq!(distinct.len(), versions.len());
        }
    }
}
