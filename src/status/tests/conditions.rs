//! What is common to conditions, and their summary.

use super::*;

#[test]
fn prunes_that_fail_again_and_again_and_versions_that_are_not_deleted_are_in_the_condition_of_training() {
    let message = |failures, pending: usize| {
        let mut case = Case::well();
        let pending = (0..pending).map(|n| (format!("full-{n}"), String::new())).collect();
        let message = Some("Job packages-prune-3 failed: access denied".to_owned());
        case.pruning = Some(PruningStatus { failures, pending, message, ..PruningStatus::default() });
        let status = case.compute();
        let of = status.conditions.into_iter().find(|of| of.type_ == types::TRAINING_READY).expect("a condition");
        (of.status, of.message)
    };
    let yes = |message: &str| ("True".to_owned(), format!("training: Trained{message}"));
    assert_eq!(message(2, 63), yes(""));
    let fails =
        "; the last 3 Jobs that delete artifacts failed (training.prune): Job packages-prune-3 failed: access denied";
    assert_eq!(message(3, 63), yes(fails));
    let full = "; 64 versions wait to be deleted, the most that can: the artifacts of later ones stay in the store";
    assert_eq!(message(0, 64), yes(full));
    assert_eq!(message(3, 64), yes(&format!("{fails}{full}")));
}

#[test]
fn the_time_of_transition_stays_while_only_the_reason_changes() {
    let earlier = Time(NOW - jiff::SignedDuration::from_hours(1));
    let training_now = training(Truth::Unknown, reasons::TRAINING, &[]);
    let mut case = Case::new(Default::default(), training_now, Children::default());
    case.prior = case.compute();
    for condition in &mut case.prior.conditions {
        condition.last_transition_time = earlier.clone();
    }
    case.training = training(Truth::True, reasons::TRAINED, &["v1"]);
    case.children = children(deployment("v1", 1, 2));
    let status = case.compute();
    let condition = |type_: &str| status.conditions.iter().find(|c| c.type_ == type_).expect("a condition").clone();
    assert_eq!(condition(types::READY).last_transition_time, earlier, "it was and is False");
    assert_eq!(condition(types::TRAINING_READY).last_transition_time, Time(NOW), "Unknown became True");
}

#[test]
fn an_invalid_spec_keeps_all_that_is_known_and_has_one_event() {
    let good = Case::well().compute();
    let bad = stalled(&good, 4, reasons::INVALID_SPEC, "spec.x: wrong", NOW);
    assert_eq!(bad.versions, good.versions);
    assert_eq!(bad.serving, good.serving);
    assert_eq!(bad.observed_generation, Some(4));
    let reported = events(&good, &bad);
    assert_eq!(reported.len(), 1, "{reported:?}");
    assert_eq!((reported[0].warning, reported[0].reason.as_str()), (true, reasons::INVALID_SPEC));
    assert_eq!(events(&bad, &stalled(&bad, 4, reasons::INVALID_SPEC, "spec.x: wrong", NOW)), []);
}

#[test]
fn every_condition_is_in_every_status_in_the_same_order() {
    let valid = Case::well().compute();
    let invalid = stalled(&RecommenderModelStatus::default(), 1, reasons::INVALID_SPEC, "spec.x: wrong", NOW);
    let retried = interrupted(&RecommenderModelStatus::default(), 1, "port 1 is closed", NOW);
    for status in [valid, invalid, retried] {
        let found: Vec<&str> = status.conditions.iter().map(|condition| condition.type_.as_str()).collect();
        assert_eq!(found, types::all().collect::<Vec<_>>());
    }
}

#[test]
fn messages_are_cut_at_the_longest_that_a_condition_may_have() {
    let long = "x".repeat(5000);
    let status = stalled(&RecommenderModelStatus::default(), 1, reasons::INVALID_SPEC, &long, NOW);
    assert!(status.conditions.iter().all(|condition| condition.message.len() <= 1024));
}

/// All values of ServingReady and WorkersReady, and for each whether it waits for a person and whether it passes by itself.
fn of_pods() -> Vec<(ConditionValue, bool, bool)> {
    let no = |reason: &str| ConditionValue::no(reason, format!("pods: {reason}"));
    vec![
        (ConditionValue::yes(reasons::AS_SPECIFIED, "pods"), false, false),
        (no(reasons::NOT_REQUESTED), false, false),
        (no(reasons::ROLLOUT_STUCK), true, false),
        (no(reasons::ROLLING_OUT), false, true),
        (no(reasons::REPLICAS_MISSING), false, true),
        (no(reasons::SERVERS_OVERLOADED), false, true),
    ]
}

#[test]
fn servers_and_workers_count_alike_in_the_summary() {
    let case = Case::new(serving("v1"), training(Truth::True, reasons::TRAINED, &["v1"]), Children::default());
    let rollout = case.rollout();
    let inputs = case.inputs(&rollout);
    let (ready, trained) = (ConditionValue::yes(reasons::SERVING, ""), ConditionValue::yes(reasons::TRAINED, ""));
    for (servers, servers_wait, servers_pass) in of_pods() {
        for (workers, workers_wait, workers_pass) in of_pods() {
            let (stalled, reconciling) = summary::summary(&inputs, &ready, &trained, &[&servers, &workers]);
            let waits = servers_wait || workers_wait;
            assert_eq!(stalled.is_yes(), waits, "{servers:?} {workers:?}");
            assert_eq!(reconciling.is_yes(), !waits && (servers_pass || workers_pass), "{servers:?} {workers:?}");
            if waits {
                assert_eq!(
                    (stalled.reason.as_str(), reconciling.reason.as_str()),
                    (reasons::ROLLOUT_STUCK, reasons::ROLLOUT_STUCK)
                );
            }
        }
    }
}
