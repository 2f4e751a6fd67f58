use super::{at, simulation::Simulation, simulation::report};
use crate::{
    api::{TrainingStatus, conditions::reasons},
    training::{Decision, JobsKept, Outcome, RunState, Truth},
};

fn reported(decision: &Decision) -> (Truth, &'static str, &str) {
    let Outcome { status, reason, message } = &decision.condition;
    (*status, reason, message)
}

fn status(simulation: &Simulation) -> TrainingStatus {
    simulation.status.clone().expect("a status")
}

/// A first run that was just started.
fn first_run() -> Simulation {
    let mut simulation = Simulation::new();
    simulation.reconcile();
    simulation.pass_minutes(10);
    simulation
}

#[test]
fn training_ready_is_unknown_until_the_first_run_ends() {
    let mut simulation = Simulation::new();
    let started = simulation.reconcile().condition;
    let version = simulation.active_version();
    let message = format!("Training run {version} is under way. There is no version to serve yet.");
    assert_eq!((started.status, started.reason, &started.message), (Truth::Unknown, reasons::TRAINING, &message));
    simulation.become_state(crate::training::RunState::Running);
    assert_eq!(simulation.reconcile().condition, started, "a running pod does not change it");
}

#[test]
fn a_run_with_a_valid_report_becomes_a_version() {
    let mut simulation = first_run();
    let version = simulation.active_version();
    simulation.succeed();
    let decision = simulation.reconcile();
    let message = format!("Version {version} is trained: precision_at_10 0.31.");
    assert_eq!(reported(&decision), (Truth::True, reasons::TRAINED, message.as_str()));
    let [trained] = simulation.versions.as_slice() else { panic!("one version") };
    assert_eq!(
        (trained.id.as_str(), trained.job.clone(), trained.bytes),
        (version.as_str(), format!("packages-{version}"), 123)
    );
    assert_eq!((trained.due_at.0, trained.trained_at.0), (at("2026-11-20T12:00:00Z"), at("2026-11-20T12:10:00Z")));
    let status = status(&simulation);
    let last = status.last.expect("a finished run");
    assert_eq!((last.succeeded, last.reason.as_str(), last.message), (true, "Succeeded", message));
    assert_eq!((status.active, status.last_success_time.map(|time| time.0)), (None, Some(at("2026-11-20T12:10:00Z"))));
}

#[test]
fn the_message_names_four_metrics_and_counts_the_others() {
    let mut simulation = first_run();
    let version = simulation.active_version();
    let many =
        report(&version).replace(r#""precision_at_10": "0.31""#, r#""a": 1, "b": 2, "c": 3, "d": 4, "e": 5, "f": 6"#);
    simulation.end_with_report(Some(&many));
    assert!(simulation.reconcile().condition.message.ends_with("is trained: a 1, b 2, c 3, d 4, 2 more."));
}

#[test]
fn a_run_without_a_valid_report_has_failed() {
    let cases = [
        (None, "nothing was reported: write the JSON report to /dev/termination-log before the trainer exits"),
        (Some("done!"), "the report is not JSON: expected value at line 1, column 1: \"done!\""),
        (Some(r#"{"metrics": {"p": NaN}}"#), "p is NaN, which is no JSON and no result"),
    ];
    for (text, expected) in cases {
        let mut simulation = first_run();
        simulation.end_with_report(text);
        let decision = simulation.reconcile();
        let (truth, reason, message) = reported(&decision);
        assert_eq!((truth, reason), (Truth::False, reasons::INVALID_REPORT));
        assert!(message.contains(expected), "{message}");
        assert!(message.ends_with("There is no version to serve yet."), "{message}");
        assert!(simulation.versions.is_empty());
        assert_eq!(status(&simulation).last_success_time, None);
    }
}

#[test]
fn a_report_with_the_artifact_of_another_version_is_refused() {
    let mut simulation = first_run();
    let version = simulation.active_version();
    simulation.end_with_report(Some(&report(&format!("{version}0"))));
    let message = simulation.reconcile().condition.message;
    assert!(message.contains(&format!("write a URI below s3://models/shop/packages/{version}/")), "{message}");
}

#[test]
fn a_failed_run_is_reported_with_exit_code_job_reason_and_termination_message() {
    let mut simulation = first_run();
    let version = simulation.active_version();
    simulation.fail_with(
        "BackoffLimitExceeded",
        Some(1),
        Some("Error"),
        Some("Traceback:\n\tKeyError: 'item'\u{1b}[0m\u{202e}"),
    );
    let decision = simulation.reconcile();
    let message = format!(
        "Training run {version} failed: the trainer ended with exit code 1 (BackoffLimitExceeded: Job has reached the \
         specified backoff limit). It wrote: Traceback: KeyError: 'item' [0m. It is not repeated before the training \
         settings change, its schedule is due, or the annotation recommender.dev/train gets a new value. There is no \
         version to serve yet."
    );
    assert_eq!(reported(&decision), (Truth::False, reasons::TRAINING_FAILED, message.as_str()));
}

#[test]
fn a_failed_trainer_may_report_its_error_as_json() {
    let mut simulation = first_run();
    let wrote = r#"{"error": "403 from the store: check the keys", "code": 2}"#;
    simulation.fail_with("BackoffLimitExceeded", Some(2), Some("Error"), Some(wrote));
    let message = simulation.reconcile().condition.message;
    assert!(message.contains("It wrote: 403 from the store: check the keys. It is not repeated"), "{message}");
}

#[test]
fn a_failure_after_a_valid_version_reports_the_version_that_is_still_served() {
    let mut simulation = Simulation::new().trained();
    let good = simulation.versions[0].id.clone();
    simulation.request("full");
    simulation.reconcile();
    simulation.fail();
    let decision = simulation.reconcile();
    let (truth, reason, message) = reported(&decision);
    assert_eq!((truth, reason), (Truth::False, reasons::TRAINING_FAILED));
    assert!(message.ends_with(&format!("Version {good} is still served.")), "{message}");
    assert_eq!(simulation.version_ids(), [good]);
}

#[test]
fn deadline_exceeded_and_oom_killed_are_reported_with_the_field_to_raise() {
    let mut simulation = first_run();
    simulation.fail_with("DeadlineExceeded", None, None, None);
    let decision = simulation.reconcile();
    assert_eq!(decision.condition.reason, reasons::DEADLINE_EXCEEDED);
    assert!(
        decision.condition.message.contains("raise spec.training.full.deadlineSeconds"),
        "{}",
        decision.condition.message
    );
    let mut simulation = first_run();
    simulation.fail_with("BackoffLimitExceeded", Some(137), Some("OOMKilled"), None);
    let message = simulation.reconcile().condition.message;
    assert!(message.contains("(OOMKilled); raise spec.training.resources.limits.memory"), "{message}");
    let mut simulation = first_run();
    simulation.fail_with("BackoffLimitExceeded", Some(135), Some("Error"), None);
    let message = simulation.reconcile().condition.message;
    assert!(message.contains("SIGBUS), often because /dev/shm is full"), "{message}");
    assert!(message.contains("; kubectl -n shop logs pod/packages-full-1-2-x7k2p --all-containers shows"), "{message}");
}

#[test]
fn a_long_termination_message_is_truncated_in_the_status() {
    let mut simulation = first_run();
    simulation.fail_with("BackoffLimitExceeded", None, None, Some(&"é\n".repeat(4096)));
    simulation.reconcile();
    let message = status(&simulation).last.expect("a finished run").message;
    assert!(message.chars().count() <= 512 && message.ends_with('…'), "{message}");
}

#[test]
fn a_pod_that_cannot_start_is_reported_with_its_reason() {
    let mut simulation = first_run();
    let version = simulation.active_version();
    simulation.block("ErrImagePull: example.org/no:1 not found");
    let decision = simulation.reconcile();
    let message = format!(
        "Training run {version} cannot start: ErrImagePull: example.org/no:1 not found. It starts by itself once that \
         is fixed; after a change of the training settings it is started anew. There is no version to serve yet."
    );
    assert_eq!(reported(&decision), (Truth::False, reasons::TRAINING_BLOCKED, message.as_str()));
    assert_eq!((decision.start, decision.replace), (None, vec![]));
}

#[test]
fn a_run_that_could_not_start_is_replaced_when_the_settings_change() {
    let mut simulation = first_run();
    let version = simulation.active_version();
    simulation.plan.template = "settings-2".into();
    assert_eq!(simulation.decide().replace, [], "not while it may still start");
    simulation.block("ErrImagePull");
    let decision = simulation.reconcile();
    assert_eq!(decision.replace.iter().map(|run| run.version.clone()).collect::<Vec<_>>(), [version]);
    assert_eq!(decision.start, None, "the old Job has to be deleted first");
    assert!(decision.condition.message.contains("it is deleted and started anew"), "{}", decision.condition.message);
    assert!(simulation.reconcile().start.is_some());
    assert_eq!(simulation.active().map(|run| run.template.clone()).as_deref(), Some("settings-2"));
    simulation.succeed();
    assert_eq!(reported(&simulation.reconcile()).0, Truth::True);
}

#[test]
fn a_running_job_is_not_replaced_when_the_settings_change() {
    let mut simulation = first_run();
    simulation.become_state(crate::training::RunState::Running);
    simulation.plan.template = "settings-2".into();
    assert_eq!(simulation.reconcile().replace, []);
}

#[test]
fn a_deleted_job_is_created_again_under_the_same_name() {
    let mut simulation = Simulation::scheduled("0 3 * * *").trained();
    for (instant, request) in [("2026-11-21T03:00:00Z", None), ("2026-11-21T09:00:00Z", Some("full a"))] {
        simulation.go_to(instant);
        simulation.plan.request = request.map(Into::into);
        let lost = simulation.reconcile().start.expect("a run");
        simulation.lose_active();
        simulation.pass_minutes(1);
        let decision = simulation.reconcile();
        let again = decision.start.expect("the same run");
        assert_eq!((&again.version, again.trigger, &again.request), (&lost.version, lost.trigger, &lost.request));
        assert!(
            decision.condition.message.contains("is started again, because there is no Job packages-full-"),
            "{}",
            decision.condition.message
        );
        simulation.succeed();
        assert_eq!(simulation.reconcile().start, None);
        assert_eq!(simulation.versions[0].id, lost.version);
    }
}

#[test]
fn a_scheduled_run_that_is_started_again_keeps_its_due_time() {
    let mut simulation = Simulation::scheduled("0 3 * * *").trained();
    simulation.go_to("2026-11-21T03:00:00Z");
    simulation.reconcile();
    simulation.lose_active();
    simulation.pass_minutes(90);
    assert_eq!(simulation.reconcile().start.map(|run| run.due), Some(at("2026-11-21T03:00:00Z")));
}

#[test]
fn a_missing_job_is_created_again_only_when_all_jobs_are_known() {
    let mut simulation = first_run();
    let before = status(&simulation);
    simulation.lose_active();
    simulation.runs_complete = false;
    let decision = simulation.reconcile();
    assert_eq!((decision.start, &decision.status), (None, &before));
    assert_eq!(reported(&simulation.decide()).1, reasons::TRAINING);
}

#[test]
fn an_invalid_annotation_value_is_reported_and_the_status_true_is_kept() {
    let mut simulation = Simulation::new().trained();
    let good = simulation.decide().condition.message;
    simulation.request("train\nnow");
    let decision = simulation.reconcile();
    let message = format!(
        "{good} The annotation recommender.dev/train has the value \"train now\", which asks for nothing: write full, \
         or full and a text that was not used before, as in \"full 2026-11-21\"."
    );
    assert_eq!(reported(&decision), (Truth::True, reasons::INVALID_REQUEST, message.as_str()));
    let mut simulation = first_run();
    simulation.request("partial");
    simulation.fail();
    let decision = simulation.reconcile();
    assert_eq!(decision.condition.reason, reasons::TRAINING_FAILED, "the failure is more urgent");
    assert!(decision.condition.message.contains("\"partial\", but there is no partial training"));
}

#[test]
fn the_message_of_a_new_run_includes_the_failure_before_it() {
    let mut simulation = first_run();
    simulation.fail();
    simulation.reconcile();
    simulation.request("full");
    let decision = simulation.reconcile();
    let (truth, reason, message) = reported(&decision);
    assert_eq!((truth, reason), (Truth::Unknown, reasons::TRAINING));
    assert!(message.contains("is under way.") && message.contains("Before: Training run full-i"), "{message}");
}

#[test]
fn at_most_five_versions_are_kept_and_those_in_use_stay() {
    let mut simulation = Simulation::scheduled("0 * * * *").trained();
    let first = simulation.versions[0].id.clone();
    simulation.in_use = vec![first.clone()];
    for _ in 0..7 {
        simulation.pass_minutes(60);
        simulation.reconcile();
        simulation.succeed();
        simulation.reconcile();
    }
    let kept: Vec<_> = simulation.version_ids().into_iter().map(str::to_owned).collect();
    assert_eq!(kept[..4], ["full-20261120-1900", "full-20261120-1800", "full-20261120-1700", "full-20261120-1600"]);
    assert_eq!(kept[4..], [first], "it is served");
    simulation.in_use.clear();
    simulation.pass_minutes(60);
    simulation.reconcile();
    simulation.succeed();
    simulation.reconcile();
    assert_eq!(simulation.version_ids().len(), 5);
    assert_eq!(simulation.version_ids()[4], "full-20261120-1600");
}

#[test]
fn the_newest_jobs_of_successful_and_of_failed_runs_are_kept() {
    let mut simulation = Simulation::scheduled("0 * * * *").trained();
    simulation.plan.jobs_kept = JobsKept { successful: 2, failed: 1 };
    for succeeds in [true, true, false, false, true] {
        simulation.pass_minutes(60);
        simulation.reconcile();
        if succeeds {
            simulation.succeed()
        } else {
            simulation.fail()
        }
        simulation.reconcile();
    }
    simulation.reconcile();
    assert_eq!(simulation.job_versions(), ["full-20261120-1400", "full-20261120-1600", "full-20261120-1700"]);
    simulation.plan.jobs_kept = JobsKept { successful: 0, failed: 0 };
    assert_eq!(simulation.reconcile().start, None);
    assert_eq!((simulation.jobs.len(), simulation.versions.len()), (0, 4), "versions are kept");
    assert_eq!(simulation.reconcile().start, None);
}

#[test]
fn a_suspended_job_waits_and_is_no_failure() {
    let mut simulation = Simulation::new();
    simulation.reconcile();
    for (queue, expected) in [
        (Some("gpus"), "to the queue gpus (training.job.queueName). That needs Kueue in the cluster and a LocalQueue"),
        (None, "is suspended (spec.suspend)"),
    ] {
        simulation.become_state(RunState::Suspended { queue: queue.map(Into::into) });
        let condition = simulation.reconcile().condition;
        assert_eq!((condition.status, condition.reason), (Truth::Unknown, reasons::TRAINING));
        assert!(condition.message.contains(expected), "{}", condition.message);
    }
    simulation.succeed();
    assert_eq!(reported(&simulation.reconcile()).1, reasons::TRAINED);
}

#[test]
fn a_job_is_not_removed_before_its_outcome_is_in_the_status() {
    let mut simulation = Simulation::scheduled("0 * * * *");
    for _ in 0..6 {
        // Killed before the status is written: only the Job is created.
        assert_eq!(simulation.reconcile_until(1).remove, []);
        simulation.pass_minutes(10);
        simulation.succeed();
        simulation.pass_minutes(50);
    }
    simulation.go_to("2026-11-20T17:30:00Z");
    simulation.reconcile();
    assert_eq!((simulation.jobs.len(), simulation.versions.len()), (6, 5));
    simulation.reconcile();
    assert_eq!((simulation.jobs.len(), simulation.versions.len()), (3, 5));
}

#[test]
fn a_recorded_outcome_stands_when_the_artifact_uri_changes() {
    let mut simulation = Simulation::new().trained();
    let (versions, before) = (simulation.versions.clone(), status(&simulation));
    simulation.plan.output_base = "file:///artifacts".into();
    let decision = simulation.reconcile();
    assert_eq!((simulation.versions.clone(), status(&simulation)), (versions, before));
    assert_eq!(reported(&decision).1, reasons::TRAINED);
}

#[test]
fn a_lost_status_is_rebuilt_from_the_jobs() {
    let mut simulation = Simulation::scheduled("0 3 * * *").trained();
    simulation.go_to("2026-11-21T03:00:00Z");
    simulation.reconcile();
    simulation.pass_minutes(5);
    simulation.succeed();
    simulation.reconcile();
    let before = (simulation.status.take(), std::mem::take(&mut simulation.versions));
    assert_eq!(simulation.reconcile().start, None);
    assert_eq!((simulation.status, simulation.versions), before);
}

#[test]
fn what_was_left_out_of_a_report_is_in_the_condition_and_the_version_is_used() {
    let mut simulation = first_run();
    let version = simulation.active_version();
    let odd = report(&version).replace(r#""precision_at_10""#, r#""Recall": 1, "precision_at_10""#);
    simulation.end_with_report(Some(&odd));
    let decision = simulation.reconcile();
    let (truth, reason, message) = reported(&decision);
    assert_eq!((truth, reason), (Truth::True, reasons::TRAINED));
    assert!(
        message.contains("precision_at_10 0.31. Left out of its report: the name of a metric is \"Recall\""),
        "{message}"
    );
    assert_eq!(simulation.version_ids(), [version]);
}

/// The active Job ends at its deadline, before its trainer started or after its pod was evicted.
fn interrupt(simulation: &mut Simulation, had_started: bool, why: &str) {
    let at = simulation.now;
    simulation.become_state(crate::training::RunState::Interrupted { at, had_started, why: why.into() });
}

#[test]
fn a_run_that_never_started_is_not_failed_and_is_started_again_after_its_deadline() {
    let mut simulation = first_run();
    let version = simulation.active_version();
    simulation.block("a Secret does not exist");
    let blocked = simulation.reconcile();
    interrupt(&mut simulation, false, "a Secret does not exist");
    let ended = simulation.reconcile();
    assert_eq!((&ended.condition, &ended.replace), (&blocked.condition, &vec![]), "not within a minute");
    assert_eq!(ended.wake_at, Some(simulation.now + jiff::SignedDuration::from_mins(1)));
    simulation.pass_minutes(1);
    assert_eq!(simulation.reconcile().replace.len(), 1);
    let again = simulation.reconcile();
    assert_eq!(again.start.map(|run| run.version), Some(version.clone()));
    assert_eq!(again.condition, blocked.condition, "nothing is known of its new pod yet");
    assert_eq!(status(&simulation).last, None, "it has not failed");
    simulation.succeed();
    assert_eq!(reported(&simulation.reconcile()).0, Truth::True);
    assert_eq!(simulation.version_ids(), [version]);
}

#[test]
fn an_evicted_run_is_started_again_and_has_not_failed() {
    let mut simulation = Simulation::new().trained();
    let last = status(&simulation).last;
    simulation.request("full");
    simulation.reconcile();
    interrupt(&mut simulation, true, "it was evicted, because its node was drained or lost");
    let message = simulation.reconcile().condition.message;
    assert!(message.contains("was interrupted: it was evicted"), "{message}");
    assert!(message.contains("It is started again, and does not count as failed."), "{message}");
    simulation.pass_minutes(2);
    simulation.reconcile();
    assert!(simulation.reconcile().start.is_some());
    assert_eq!(status(&simulation).last, last);
}

#[test]
fn a_run_starts_when_the_newest_version_is_not_in_the_artifact_store_any_more() {
    let mut simulation = Simulation::new().trained();
    (simulation.plan.store, simulation.plan.output_base) =
        ("file:///artifacts".into(), "file:///artifacts/shop/p".into());
    simulation.plan.template = "settings-2".into();
    simulation.pass_minutes(1);
    let decision = simulation.reconcile();
    assert_eq!(decision.start.map(|run| run.trigger), Some(crate::api::Trigger::Initial));
    assert_eq!(simulation.version_ids().len(), 1, "the earlier version stays");
    let version = simulation.active_version();
    let moved = report(&version).replace("s3://models/shop/packages", "file:///artifacts/shop/p");
    simulation.end_with_report(Some(&moved));
    assert_eq!(simulation.reconcile().start, None);
    assert_eq!(simulation.version_ids().len(), 2);
}
