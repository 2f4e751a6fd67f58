//! Versions that do harm: what comes back, and that it ends.

use super::*;

const STUCK: &str = "its rollout made no progress within 360 s: 1 of 1 pods are not ready";
const CRASHES: &str = "1 of 1 pods were restarted 4 times or more";

/// Versions `a` and `b` have served, and `b` still does.
fn serving_b() -> Story {
    let mut story = serving_a(&gated());
    story.trained("b", "0.31").completes();
    story
}

fn after(story: &mut Story, minutes: i64) -> &mut Story {
    story.now += SignedDuration::from_mins(minutes);
    story
}

fn verdicts(story: &Story, id: &str) -> Option<String> {
    story.rollout.versions.iter().find(|version| version.id == id).and_then(harm_of)
}

#[test]
fn a_rollout_that_fails_is_taken_back_and_not_tried_again() {
    for (fails, why) in [(Story::gets_stuck as fn(&mut Story) -> &mut Story, STUCK), (Story::crashes, CRASHES)] {
        let mut story = serving_b();
        story.trained("c", "0.31");
        fails(&mut story);
        assert!(story.rollout.is_recorded_first, "it is recorded first");
        assert_eq!((story.serve(), story.states().as_str()), (Some("b"), "c:Failed b:Serving a:Previous"));
        assert_eq!((story.rollout.serving.as_deref(), story.rollout.rolling_out.as_deref()), (Some("b"), None));
        let message = format!("the rollout of version c failed, and it is not promoted again: {why}; b serves");
        assert_eq!(story.condition(), ("RolloutFailed", message.as_str()));
        assert_eq!(verdicts(&story, "c").as_deref(), Some(why));
        story.completes().reconcile(Some("b"));
        assert_eq!((story.serve(), story.rollout.is_recorded_first), (Some("b"), false));
        assert_eq!(story.trained("d", "0.31").completes().states(), "d:Serving c:Failed b:Previous a:Superseded");
    }
}

#[test]
fn a_version_that_crashes_while_it_is_watched_is_rolled_back() {
    let mut story = serving_b();
    assert_eq!(story.rollout.watched_until, Some(Timestamp::UNIX_EPOCH + SignedDuration::from_mins(30)));
    after(&mut story, 29).crashes();
    assert_eq!((story.serve(), story.states().as_str()), (Some("a"), "b:RolledBack a:Previous"));
    assert_eq!((story.rollout.serving.as_deref(), story.rollout.rolling_out.as_deref()), (Some("b"), Some("a")));
    assert_eq!(story.rollout.why, "it is rolled back to");
    assert_eq!(story.reconcile(Some("b")).serve(), Some("a"), "it goes on");
    assert_eq!(story.completes().states(), "b:RolledBack a:Serving");
    let message = format!("version b was rolled back, and is not promoted again: {CRASHES}; a serves");
    assert_eq!(story.condition(), ("RolledBack", message.as_str()));
    assert_eq!(story.rollout.watched_until, None, "one that has served is not watched again");
}

#[test]
fn after_its_time_a_version_is_not_watched_any_more() {
    let mut story = serving_b();
    assert_eq!(after(&mut story, 30).crashes().states(), "b:Serving a:Previous");
    let mut off = serving_a(&Promotion { watch_seconds: 0, ..gated() });
    assert_eq!(off.trained("b", "0.31").completes().crashes().states(), "b:Serving a:Previous");
}

#[test]
fn the_first_version_is_not_watched_and_stays_when_its_rollout_fails() {
    let mut story = Story::new(&gated());
    story.trained("a", "0.30").gets_stuck();
    assert_eq!((story.serve(), story.states().as_str()), (Some("a"), "a:Candidate"));
    assert_eq!(story.completes().crashes().states(), "a:Serving");
}

#[test]
fn when_what_comes_back_fails_as_well_the_next_older_one_serves_and_at_last_the_one_that_answers() {
    let mut story = serving_b();
    story.trained("c", "0.31").completes().crashes();
    assert_eq!((story.serve(), story.states().as_str()), (Some("b"), "c:RolledBack b:Previous a:Superseded"));
    story.gets_stuck();
    assert_eq!((story.serve(), story.states().as_str()), (Some("a"), "c:RolledBack b:Failed a:Superseded"));
    story.crashes();
    assert_eq!((story.serve(), story.states().as_str()), (Some("c"), "c:Serving b:Failed a:Failed"));
    let message = format!(
        "version c stays, because there is no other one to return to: {CRASHES}; a, to which it was rolled back, failed: {CRASHES}"
    );
    assert_eq!(story.condition(), ("RolloutFailed", message.as_str()));
    for _ in 0..3 {
        assert_eq!(story.crashes().states(), "c:Serving b:Failed a:Failed", "nothing is left to try");
        assert_eq!(story.condition().1, message);
    }
    assert_eq!(story.trained("d", "0.31").completes().condition().0, "AsSpecified");
}

#[test]
fn what_was_trained_before_and_never_served_does_not_take_the_place_of_a_failed_version() {
    let mut story = serving_b();
    story.trained("c", "0.31").trained("d", "0.31").gets_stuck();
    assert_eq!((story.serve(), story.states().as_str()), (Some("b"), "d:Failed c:Superseded b:Serving a:Previous"));
    story.trained("e", "0.31").trained("f", "0.31").completes().crashes();
    assert_eq!(story.serve(), Some("b"), "e has not served either");
}

#[test]
fn a_version_is_not_blamed_for_other_settings() {
    let mut story = serving_b();
    story.trained("c", "0.31").servers.settings = some("another image");
    assert_eq!(story.gets_stuck().crashes().states(), "c:Candidate b:Serving a:Previous");
    story.completes();
    assert_eq!(story.rollout.watched_until, None);
    assert_eq!(story.crashes().states(), "c:Serving b:Previous a:Superseded");
    assert_eq!(story.trained("d", "0.31").gets_stuck().serve(), Some("c"), "c has served with them");
    let mut watched = serving_b();
    watched.servers.settings = some("another image");
    assert_eq!(watched.crashes().states(), "b:Serving a:Previous");
    assert_eq!(watched.rollout.watched_until, None, "and they stay");
}

#[test]
fn nothing_is_taken_back_while_a_version_is_pinned_and_a_pin_tries_a_failed_one_again() {
    let mut story = serving_b();
    story.trained("c", "0.31").gets_stuck().completes().annotated(|requests| requests.pin = some("c"));
    assert_eq!(story.serve(), Some("c"));
    assert_eq!(story.gets_stuck().crashes().serve(), Some("c"));
    assert_eq!(story.completes().states(), "c:Serving b:Previous a:Superseded");
    assert_eq!(verdicts(&story, "c"), None);
    assert_eq!(story.annotated(|requests| requests.pin = None).serve(), Some("c"));
}

#[test]
fn a_version_elsewhere_does_not_come_back() {
    let mut story = serving_b();
    story.store = "s3://models";
    story.rollout.versions.insert(0, Version { uri: "s3://models/c".into(), ..version("c") });
    story.policy = Policy::new(&Promotion::default()).expect("valid");
    story.reconcile(Some("b")).gets_stuck();
    assert_eq!((story.serve(), story.states().as_str()), (Some("c"), "c:Candidate b:Serving a:Previous"));
    let message = format!("version c stays, because there is no other one to return to: {STUCK}");
    assert_eq!(story.condition(), ("RolloutFailed", message.as_str()));
}

#[test]
fn a_version_that_breaches_an_objective_while_it_is_watched_is_rolled_back() {
    let mut story = serving_b();
    assert_eq!(story.breaches().states(), "b:RolledBack a:Previous");
    assert_eq!(verdicts(&story, "b").as_deref(), Some("the objective fast is breached"));
    assert_eq!(story.completes().breaches().states(), "b:RolledBack a:Serving", "a is not watched");
    let mut later = serving_b();
    assert_eq!(after(&mut later, 30).breaches().states(), "b:Serving a:Previous");
}

#[test]
fn a_breach_from_before_the_rollout_is_not_the_fault_of_the_new_version() {
    let mut story = serving_a(&gated());
    story.servers.doubtful = vec!["fast".into()];
    story.trained("b", "0.31");
    assert_eq!(story.rollout.breached, ["fast"]);
    story.servers.doubtful.clear();
    assert_eq!(story.completes().breaches().states(), "b:Serving a:Previous");
    assert_eq!(story.trained("c", "0.31").completes().breaches().states(), "c:RolledBack b:Previous a:Superseded");
}

#[test]
fn a_breach_during_a_rollout_counts_once_the_version_serves() {
    let mut story = serving_a(&gated());
    story.trained("b", "0.31").breaches();
    assert_eq!(story.states(), "b:Candidate a:Serving");
    assert_eq!(story.completes().breaches().states(), "b:RolledBack a:Previous");
}
