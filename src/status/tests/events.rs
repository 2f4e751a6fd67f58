//! Events of what changed.

use super::*;

#[test]
fn computing_the_status_again_changes_nothing_and_has_no_events() {
    let trained = training(Truth::True, reasons::TRAINED, &["v1"]);
    let mut case = Case::new(Default::default(), trained, children(deployment("v1", 2, 2)));
    let first = case.compute();
    case.prior = first.clone();
    assert_eq!(case.compute(), first);
    assert_eq!(events(&first, &case.compute()), []);
}

#[test]
fn the_start_of_a_run_is_an_event_unless_it_is_the_first_one() {
    let running = |version: &str| {
        let run = ActiveRun {
            job: format!("packages-{version}"),
            version: version.into(),
            kind: TrainingKind::Full,
            trigger: Trigger::Initial,
            cause: None,
            blocked: None,
            progress: None,
        };
        let training = TrainingStatus { active: Some(run), ..TrainingStatus::default() };
        RecommenderModelStatus { training: Some(training), ..RecommenderModelStatus::default() }
    };
    assert_eq!(events(&RecommenderModelStatus::default(), &running("full-1")), []);
    let later = events(&running("full-1"), &running("full-2"));
    assert!(later.len() == 1 && later[0].message.contains("packages-full-2"), "{later:?}");
}

#[test]
fn the_event_of_a_requested_run_repeats_its_reason() {
    let run = ActiveRun {
        job: "packages-partial-r1".into(),
        version: "partial-r1".into(),
        kind: TrainingKind::Partial,
        trigger: Trigger::Request,
        cause: None,
        blocked: None,
        progress: None,
    };
    let request = Some("partial: drift\nof the catalogue".to_owned());
    let training = TrainingStatus { active: Some(run), last_request: request, ..TrainingStatus::default() };
    let before = RecommenderModelStatus { training: Some(Default::default()), ..Default::default() };
    let after = RecommenderModelStatus { training: Some(training), ..Default::default() };
    let message = "started Job packages-partial-r1 (Request: partial: drift of the catalogue) for version partial-r1";
    assert_eq!(events(&before, &after).iter().map(|event| event.message.as_str()).collect::<Vec<_>>(), [message]);
}

#[test]
fn the_end_of_a_job_that_deletes_artifacts_is_an_event_once() {
    let status = |jobs, failures| {
        let message = Some(format!("Job {jobs}"));
        let pruning = PruningStatus { last_job: jobs, failures, message, ..PruningStatus::default() };
        RecommenderModelStatus { pruning: Some(pruning), ..RecommenderModelStatus::default() }
    };
    let of = |before: &RecommenderModelStatus, after: &RecommenderModelStatus| {
        events(before, after).into_iter().map(|event| (event.warning, event.reason, event.message)).collect::<Vec<_>>()
    };
    let (none, pruned, failed) = (RecommenderModelStatus::default(), status(1, 0), status(2, 1));
    assert_eq!(of(&none, &pruned), [(false, reasons::PRUNED.to_owned(), "Job 1".to_owned())]);
    assert_eq!(of(&pruned, &failed), [(true, reasons::PRUNE_FAILED.to_owned(), "Job 2".to_owned())]);
    assert_eq!((of(&pruned, &pruned), of(&pruned, &none)), (vec![], vec![]));
}

#[test]
fn the_end_of_a_run_of_each_kind_and_a_base_that_is_too_old_are_events() {
    let run = |kind: TrainingKind| FinishedRun {
        job: "j".into(),
        version: "v".into(),
        kind,
        trigger: Trigger::Schedule,
        cause: None,
        template: "t".into(),
        succeeded: false,
        reason: reasons::TRAINING_FAILED.into(),
        stage: None,
        message: kind.as_str().into(),
        started_at: None,
        finished_at: Time(NOW),
    };
    let partial = PartialTrainingStatus { last: Some(run(TrainingKind::Partial)), ..Default::default() };
    let training =
        TrainingStatus { last: Some(run(TrainingKind::Full)), partial: Some(partial), ..TrainingStatus::default() };
    let old = training_condition(reasons::BASE_TOO_OLD, "it waits");
    let after = RecommenderModelStatus { training: Some(training), conditions: vec![old], ..Default::default() };
    let emitted = |before: &RecommenderModelStatus| -> Vec<_> {
        events(before, &after).into_iter().map(|event| (event.warning, event.message)).collect()
    };
    let messages = ["Full", "Partial", "it waits"].map(|message| (true, message.to_owned()));
    assert_eq!(emitted(&RecommenderModelStatus::default()), messages);
    assert_eq!(emitted(&after), []);
}

/// TrainingReady, True.
fn training_condition(reason: &str, message: &str) -> k8s_openapi::apimachinery::pkg::apis::meta::v1::Condition {
    k8s_openapi::apimachinery::pkg::apis::meta::v1::Condition {
        type_: types::TRAINING_READY.into(),
        status: "True".into(),
        reason: reason.into(),
        message: message.into(),
        observed_generation: None,
        last_transition_time: Time(NOW),
    }
}
