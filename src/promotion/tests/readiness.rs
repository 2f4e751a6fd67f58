use super::*;
use crate::model::readiness::Input;

/// An object that serves `a`, whose promotions require that `users-db` works.
fn requires(promotion: &Promotion) -> Story {
    let mut story = serving_a(promotion);
    let input = Input { dependency: "users-db".into(), has_health: true, ..Input::default() };
    story.readiness.inputs = vec![input];
    story
}

fn reads(story: &mut Story, up: bool) {
    story.readings.insert("users-db".into(), Reading { up: Some(up), ..Reading::default() });
}

fn minutes(minutes: i64) -> Timestamp {
    Timestamp::UNIX_EPOCH + SignedDuration::from_mins(minutes)
}

#[test]
fn a_version_that_passes_its_gates_waits_for_the_inputs_and_the_one_before_serves() {
    let mut story = requires(&gated());
    story.now = minutes(10);
    story.trained("b", "0.31");
    assert_eq!((story.serve(), story.states().as_str()), (Some("a"), "b:Candidate a:Serving"));
    let (reason, message) = story.condition();
    assert_eq!(reason, "AwaitingInputs");
    let expected = "version b waits since 1970-01-01T00:10:00Z, because it is not known whether users-db works \
                    (promotion.readiness): precision 0.31 is at least 0.2, is not worse than 0.30 of a; the annotation \
                    recommender.dev/pin=b does not wait; a serves";
    assert_eq!(message, expected);
    assert_eq!(story.rollout.wake_at, Some(minutes(11)), "its inputs are recorded every minute");
    reads(&mut story, false);
    story.now = minutes(20);
    let (_, message) = story.reconcile(None).condition();
    assert!(message.starts_with("version b waits since 1970-01-01T00:10:00Z, because users-db is down ("), "{message}");
    reads(&mut story, true);
    story.reconcile(None);
    assert_eq!((story.serve(), story.rollout.held.clone()), (Some("b"), None));
    reads(&mut story, false);
    assert_eq!(story.reconcile(None).serve(), Some("b"), "a rollout that has begun goes on");
    story.completes();
    assert_eq!((story.states().as_str(), story.condition().0), ("b:Serving a:Previous", "AsSpecified"));
}

#[test]
fn after_the_longest_wait_the_newest_version_is_promoted_also_if_it_came_later() {
    let mut story = requires(&gated());
    story.readiness.max_wait = Some(SignedDuration::from_mins(30));
    story.trained("b", "0.31");
    story.now = minutes(25);
    story.trained("c", "0.32");
    assert_eq!(story.serve(), Some("a"));
    assert!(story.condition().1.starts_with("version c waits since 1970-01-01T00:00:00Z"), "{}", story.condition().1);
    story.now = minutes(29) + SignedDuration::from_secs(30);
    assert_eq!(story.reconcile(None).rollout.wake_at, Some(minutes(30)));
    story.now = minutes(30);
    assert_eq!(story.reconcile(None).serve(), Some("c"));
}

#[test]
fn nothing_waits_before_anything_serves_and_neither_do_a_pin_and_a_rollback() {
    let mut first = Story::new(&gated());
    first.readiness.inputs = requires(&gated()).readiness.inputs;
    assert_eq!(first.trained("a", "0.30").serve(), Some("a"));

    let mut story = requires(&gated());
    story.trained("b", "0.31").annotated(|requests| requests.pin = some("b"));
    assert_eq!((story.serve(), story.condition().0), (Some("b"), "Pinned"));
    story.completes();
    story.annotated(|requests| *requests = Requests { rollback: some("a"), ..Requests::default() });
    assert_eq!((story.serve(), story.rollout.held.clone()), (Some("a"), None));
}

#[test]
fn a_version_that_waits_for_an_approval_does_not_wait_for_inputs_before() {
    let mut story = requires(&Promotion { mode: PromotionMode::Manual, ..gated() });
    story.rollout = {
        let mut first = Story::new(&gated());
        first.trained("a", "0.30").completes();
        first.rollout
    };
    story.trained("b", "0.31");
    assert_eq!((story.condition().0, story.rollout.held.clone()), ("AwaitingApproval", None));
    story.annotated(|requests| requests.approve = some("b"));
    assert_eq!((story.serve(), story.condition().0), (Some("a"), "AwaitingInputs"));
}

#[test]
fn a_canary_begins_once_the_inputs_are_there_and_then_goes_on() {
    let mut story = requires(&gated());
    story.canary_versions = Some(CanaryVersions::All);
    story.trained("b", "0.31");
    assert_eq!((story.condition().0, story.rollout.canary.clone()), ("AwaitingInputs", None));
    reads(&mut story, true);
    story.reconcile(Some("a"));
    assert_eq!(story.rollout.canary.as_ref().map(|version| version.id.as_str()), Some("b"));
    reads(&mut story, false);
    assert_eq!(story.reconcile(Some("a")).condition().0, "Canary");
    let passed = Verdict { gate: "canary".into(), passed: true, message: "no worse".into() };
    story.verdict = Some(("b".into(), passed));
    assert_eq!(story.reconcile(Some("a")).serve(), Some("b"), "it has passed");
}

#[test]
fn behind_a_canary_the_longest_wait_does_not_begin_anew() {
    let mut story = requires(&gated());
    story.canary_versions = Some(CanaryVersions::All);
    story.readiness.max_wait = Some(SignedDuration::from_mins(30));
    reads(&mut story, true);
    story.trained("b", "0.31");
    let canary = |story: &Story| story.rollout.canary.as_ref().map(|version| version.id.clone());
    assert_eq!(canary(&story).as_deref(), Some("b"));
    reads(&mut story, false);
    story.now = minutes(10);
    story.trained("c", "0.32");
    assert_eq!(story.rollout.waiting_since, Some(minutes(10)));
    // Its wait is over, and b is still a canary.
    for at in [40, 41, 60] {
        story.now = minutes(at);
        assert_eq!(canary(story.reconcile(Some("a"))).as_deref(), Some("b"));
        assert_eq!(story.rollout.waiting_since, Some(minutes(10)), "{at}");
    }
    let failed = Verdict { gate: "canary".into(), passed: false, message: "slower".into() };
    story.verdict = Some(("b".into(), failed));
    story.reconcile(Some("a"));
    assert_eq!((canary(&story).as_deref(), story.rollout.waiting_since), (Some("c"), None));
}

#[test]
fn a_wait_ends_with_its_inputs_and_the_next_one_begins_anew() {
    let mut story = requires(&gated());
    story.canary_versions = Some(CanaryVersions::All);
    reads(&mut story, true);
    story.trained("b", "0.31");
    for (at, up, since) in [(10, false, Some(minutes(10))), (20, true, None), (30, false, Some(minutes(30)))] {
        reads(&mut story, up);
        story.now = minutes(at);
        match at {
            10 => story.trained("c", "0.32"),
            _ => story.reconcile(Some("a")),
        };
        assert_eq!(story.rollout.waiting_since, since, "{at}");
    }
}

#[test]
fn a_version_on_top_of_one_that_waits_says_so() {
    let mut story = requires(&gated());
    story.canary_versions = Some(CanaryVersions::All);
    story.now = minutes(10);
    story.trained("b", "0.31");
    let metrics = story.rollout.versions[0].metrics.clone();
    story.add(Version { metrics, ..based("p", "b", "b") });
    let (reason, message) = story.condition();
    let expected = "version b waits since 1970-01-01T00:10:00Z, because it is not known whether users-db works \
                    (promotion.readiness): p is newer and waits with it; the annotation recommender.dev/pin=b does not wait; a serves";
    assert_eq!((reason, message), ("AwaitingInputs", expected));
}
