use super::{at, world::World, world::report};
use crate::{
    api::{TrainingStatus, conditions::reasons},
    training::{Decision, Outcome, Truth},
};

fn told(decision: &Decision) -> (Truth, &'static str, &str) {
    let Outcome { status, reason, message } = &decision.condition;
    (*status, reason, message)
}

fn status(world: &World) -> TrainingStatus {
    world.status.clone().expect("a status")
}

/// A first run that was just started.
fn first_run() -> World {
    let mut world = World::new();
    world.reconcile();
    world.pass_minutes(10);
    world
}

#[test]
fn the_first_run_is_unknown_until_it_ends() {
    let mut world = World::new();
    let started = world.reconcile().condition;
    let version = world.active_version();
    let message = format!("Training run {version} is under way. There is no version to serve yet.");
    assert_eq!((started.status, started.reason, &started.message), (Truth::Unknown, reasons::TRAINING, &message));
    world.become_state(crate::training::RunState::Running);
    assert_eq!(world.reconcile().condition, started, "and that it runs is no news");
}

#[test]
fn a_run_with_a_valid_report_becomes_a_version() {
    let mut world = first_run();
    let version = world.active_version();
    world.succeed();
    let decision = world.reconcile();
    let message = format!("Version {version} is trained: precision_at_10 0.31.");
    assert_eq!(told(&decision), (Truth::True, reasons::TRAINED, message.as_str()));
    let [trained] = world.versions.as_slice() else { panic!("one version") };
    assert_eq!(
        (trained.id.as_str(), trained.job.clone(), trained.bytes),
        (version.as_str(), format!("packages-{version}"), 123)
    );
    assert_eq!((trained.due_at.0, trained.trained_at.0), (at("2026-11-20T12:00:00Z"), at("2026-11-20T12:10:00Z")));
    let status = status(&world);
    let last = status.last.expect("a finished run");
    assert_eq!((last.succeeded, last.reason.as_str(), last.message), (true, "Succeeded", message));
    assert_eq!((status.active, status.last_success_time.map(|time| time.0)), (None, Some(at("2026-11-20T12:10:00Z"))));
}

#[test]
fn many_metrics_are_told_in_part() {
    let mut world = first_run();
    let version = world.active_version();
    let many =
        report(&version).replace(r#""precision_at_10": "0.31""#, r#""a": 1, "b": 2, "c": 3, "d": 4, "e": 5, "f": 6"#);
    world.end_with_report(Some(&many));
    assert!(world.reconcile().condition.message.ends_with("is trained: a 1, b 2, c 3, d 4, 2 more."));
}

#[test]
fn a_run_without_a_valid_report_has_failed() {
    let cases = [
        (None, "nothing was reported: write the JSON report to /dev/termination-log before the trainer exits"),
        (Some("done!"), "the report is not JSON: expected value at line 1, column 1: \"done!\""),
        (Some(r#"{"metrics": {"p": NaN}}"#), "p is NaN, which is no JSON and no result"),
    ];
    for (text, expected) in cases {
        let mut world = first_run();
        world.end_with_report(text);
        let decision = world.reconcile();
        let (truth, reason, message) = told(&decision);
        assert_eq!((truth, reason), (Truth::False, reasons::INVALID_REPORT));
        assert!(message.contains(expected), "{message}");
        assert!(message.ends_with("There is no version to serve yet."), "{message}");
        assert!(world.versions.is_empty());
        assert_eq!(status(&world).last_success_time, None);
    }
}

#[test]
fn the_artifact_of_another_version_is_no_report() {
    let mut world = first_run();
    let version = world.active_version();
    world.end_with_report(Some(&report(&format!("{version}0"))));
    let message = world.reconcile().condition.message;
    assert!(message.contains(&format!("write a URI below s3://models/shop/packages/{version}/")), "{message}");
}

#[test]
fn a_failed_run_is_told_with_exit_code_job_reason_and_what_it_wrote() {
    let mut world = first_run();
    let version = world.active_version();
    world.fail_with(
        "BackoffLimitExceeded",
        Some(1),
        Some("Error"),
        Some("Traceback:\n\tKeyError: 'item'\u{1b}[0m\u{202e}"),
    );
    let decision = world.reconcile();
    let message = format!(
        "Training run {version} failed: the trainer ended with exit code 1 (BackoffLimitExceeded: Job has reached the \
         specified backoff limit). It wrote: Traceback: KeyError: 'item' [0m. It is not repeated before the training \
         settings change, its schedule is due, or the annotation recommender.dev/train gets a new value. There is no \
         version to serve yet."
    );
    assert_eq!(told(&decision), (Truth::False, reasons::TRAINING_FAILED, message.as_str()));
}

#[test]
fn a_trainer_that_fails_may_say_why_as_json() {
    let mut world = first_run();
    let wrote = r#"{"error": "403 from the store: check the keys", "code": 2}"#;
    world.fail_with("BackoffLimitExceeded", Some(2), Some("Error"), Some(wrote));
    let message = world.reconcile().condition.message;
    assert!(message.contains("It wrote: 403 from the store: check the keys. It is not repeated"), "{message}");
}

#[test]
fn a_failure_after_a_good_version_says_which_one_goes_on_being_served() {
    let mut world = World::new().trained();
    let good = world.versions[0].id.clone();
    world.request("full");
    world.reconcile();
    world.fail();
    let decision = world.reconcile();
    let (truth, reason, message) = told(&decision);
    assert_eq!((truth, reason), (Truth::False, reasons::TRAINING_FAILED));
    assert!(message.ends_with(&format!("Version {good} goes on being served.")), "{message}");
    assert_eq!(world.version_ids(), [good]);
}

#[test]
fn a_deadline_and_lack_of_memory_are_told_with_what_to_change() {
    let mut world = first_run();
    world.fail_with("DeadlineExceeded", None, None, None);
    let decision = world.reconcile();
    assert_eq!(decision.condition.reason, reasons::DEADLINE_EXCEEDED);
    assert!(
        decision.condition.message.contains("raise training.full.deadlineSeconds"),
        "{}",
        decision.condition.message
    );
    let mut world = first_run();
    world.fail_with("BackoffLimitExceeded", Some(137), Some("OOMKilled"), None);
    let message = world.reconcile().condition.message;
    assert!(message.contains("(OOMKilled); raise training.resources.limits.memory"), "{message}");
}

#[test]
fn what_a_trainer_wrote_is_kept_short() {
    let mut world = first_run();
    world.fail_with("BackoffLimitExceeded", None, None, Some(&"é\n".repeat(4096)));
    world.reconcile();
    let message = status(&world).last.expect("a finished run").message;
    assert!(message.chars().count() <= 512 && message.ends_with('…'), "{message}");
}

#[test]
fn a_pod_that_cannot_start_is_told_with_its_reason() {
    let mut world = first_run();
    let version = world.active_version();
    world.block("ErrImagePull: example.org/no:1 not found");
    let decision = world.reconcile();
    let message = format!(
        "Training run {version} cannot start: ErrImagePull: example.org/no:1 not found. It starts by itself once that \
         is mended; after a change of the training settings it is started anew. There is no version to serve yet."
    );
    assert_eq!(told(&decision), (Truth::False, reasons::TRAINING_BLOCKED, message.as_str()));
    assert_eq!((decision.start, decision.replace), (None, vec![]));
}

#[test]
fn a_run_that_could_not_start_is_replaced_when_the_settings_change() {
    let mut world = first_run();
    let version = world.active_version();
    world.plan.template = "settings-2".into();
    assert_eq!(world.decide().replace, [], "not while it may still start");
    world.block("ErrImagePull");
    let decision = world.reconcile();
    assert_eq!(decision.replace.iter().map(|run| run.version.clone()).collect::<Vec<_>>(), [version]);
    assert_eq!(decision.start, None, "the old one has to be gone first");
    assert!(decision.condition.message.contains("it is deleted and started anew"), "{}", decision.condition.message);
    assert!(world.reconcile().start.is_some());
    assert_eq!(world.active().map(|run| run.template.clone()).as_deref(), Some("settings-2"));
    world.succeed();
    assert_eq!(told(&world.reconcile()).0, Truth::True);
}

#[test]
fn a_run_that_runs_is_not_replaced_when_the_settings_change() {
    let mut world = first_run();
    world.become_state(crate::training::RunState::Running);
    world.plan.template = "settings-2".into();
    assert_eq!(world.reconcile().replace, []);
}

#[test]
fn a_job_that_is_gone_is_started_again_under_the_same_name() {
    let mut world = World::scheduled("0 3 * * *").trained();
    for (instant, request) in [("2026-11-21T03:00:00Z", None), ("2026-11-21T09:00:00Z", Some("full a"))] {
        world.go_to(instant);
        world.plan.request = request.map(Into::into);
        let lost = world.reconcile().start.expect("a run");
        world.lose_active();
        world.pass_minutes(1);
        let decision = world.reconcile();
        let again = decision.start.expect("the same run");
        assert_eq!((&again.version, again.trigger, &again.request), (&lost.version, lost.trigger, &lost.request));
        assert!(
            decision.condition.message.contains("is started again, because there is no Job packages-full-"),
            "{}",
            decision.condition.message
        );
        world.succeed();
        assert_eq!(world.reconcile().start, None);
        assert_eq!(world.versions[0].id, lost.version);
    }
}

#[test]
fn a_scheduled_run_that_is_started_again_keeps_its_instant() {
    let mut world = World::scheduled("0 3 * * *").trained();
    world.go_to("2026-11-21T03:00:00Z");
    world.reconcile();
    world.lose_active();
    world.pass_minutes(90);
    assert_eq!(world.reconcile().start.map(|run| run.due), Some(at("2026-11-21T03:00:00Z")));
}

#[test]
fn a_job_is_only_lost_when_all_jobs_are_known() {
    let mut world = first_run();
    let before = status(&world);
    world.lose_active();
    world.settled = false;
    let decision = world.reconcile();
    assert_eq!((decision.start, &decision.status), (None, &before));
    assert_eq!(told(&world.decide()).1, reasons::TRAINING);
}

#[test]
fn a_value_that_is_not_understood_is_told_and_the_state_kept() {
    let mut world = World::new().trained();
    let good = world.decide().condition.message;
    world.request("train\nnow");
    let decision = world.reconcile();
    let message = format!(
        "{good} The annotation recommender.dev/train has the value \"train now\", which asks for nothing: write full, \
         or full and a text that was not used before, as in \"full 2026-11-21\"."
    );
    assert_eq!(told(&decision), (Truth::True, reasons::INVALID_REQUEST, message.as_str()));
    let mut world = first_run();
    world.request("partial");
    world.fail();
    let decision = world.reconcile();
    assert_eq!(decision.condition.reason, reasons::TRAINING_FAILED, "what is wrong otherwise is more urgent");
    assert!(decision.condition.message.contains("\"partial\", which asks for nothing"));
}

#[test]
fn a_new_run_after_a_failure_is_told_with_the_failure() {
    let mut world = first_run();
    world.fail();
    world.reconcile();
    world.request("full");
    let decision = world.reconcile();
    let (truth, reason, message) = told(&decision);
    assert_eq!((truth, reason), (Truth::Unknown, reasons::TRAINING));
    assert!(message.contains("is under way.") && message.contains("Before: Training run full-i"), "{message}");
}

#[test]
fn at_most_five_versions_are_kept_and_those_in_use_stay() {
    let mut world = World::scheduled("0 * * * *").trained();
    let first = world.versions[0].id.clone();
    world.in_use = vec![first.clone()];
    for _ in 0..7 {
        world.pass_minutes(60);
        world.reconcile();
        world.succeed();
        world.reconcile();
    }
    let kept: Vec<_> = world.version_ids().into_iter().map(str::to_owned).collect();
    assert_eq!(kept[..4], ["full-20261120-1900", "full-20261120-1800", "full-20261120-1700", "full-20261120-1600"]);
    assert_eq!(kept[4..], [first], "it is served");
    world.in_use.clear();
    world.pass_minutes(60);
    world.reconcile();
    world.succeed();
    world.reconcile();
    assert_eq!(world.version_ids().len(), 5);
    assert_eq!(world.version_ids()[4], "full-20261120-1600");
}

#[test]
fn the_newest_three_finished_jobs_are_kept() {
    let mut world = World::scheduled("0 * * * *").trained();
    for _ in 0..5 {
        world.pass_minutes(60);
        world.reconcile();
        world.fail();
        world.reconcile();
    }
    world.reconcile();
    assert_eq!(world.job_versions(), ["full-20261120-1500", "full-20261120-1600", "full-20261120-1700"]);
}

#[test]
fn a_job_is_not_removed_before_the_status_tells_how_it_ended() {
    let mut world = World::scheduled("0 * * * *");
    for _ in 0..6 {
        // Killed before the status is written: all the API server takes is the Job.
        assert_eq!(world.reconcile_until(1).remove, []);
        world.pass_minutes(10);
        world.succeed();
        world.pass_minutes(50);
    }
    world.go_to("2026-11-20T17:30:00Z");
    world.reconcile();
    assert_eq!((world.jobs.len(), world.versions.len()), (6, 5));
    world.reconcile();
    assert_eq!((world.jobs.len(), world.versions.len()), (3, 5));
}

#[test]
fn a_verdict_stands_when_the_place_of_the_artifacts_changes() {
    let mut world = World::new().trained();
    let (versions, before) = (world.versions.clone(), status(&world));
    world.plan.output_base = "file:///artifacts".into();
    let decision = world.reconcile();
    assert_eq!((world.versions.clone(), status(&world)), (versions, before));
    assert_eq!(told(&decision).1, reasons::TRAINED);
}

#[test]
fn a_status_that_was_lost_is_made_again_from_the_jobs() {
    let mut world = World::scheduled("0 3 * * *").trained();
    world.go_to("2026-11-21T03:00:00Z");
    world.reconcile();
    world.pass_minutes(5);
    world.succeed();
    world.reconcile();
    let before = (world.status.take(), std::mem::take(&mut world.versions));
    assert_eq!(world.reconcile().start, None);
    assert_eq!((world.status, world.versions), before);
}
