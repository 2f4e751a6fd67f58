//! Rollbacks to the version that serves, and requests that come together.

use super::{canaries::with_canary, *};

#[test]
fn a_rollback_to_the_version_that_serves_takes_back_what_waits_to_be_a_canary_whatever_it_waits_for() {
    let ended = |change: fn(&mut Story)| {
        let mut story = with_canary();
        change(&mut story);
        story
    };
    let paused = ended(|story| {
        story.annotated(|of| of.is_paused = true).annotated(|of| of.rollback = some("v1"));
        story.annotated(|of| of.is_paused = false);
    });
    let pinned = ended(|story| {
        story.annotated(|of| (of.pin, of.rollback) = (some("v1"), some("v1")));
        assert_eq!(story.condition().0, "InvalidRequest", "it waits for the end of the pin");
        story.annotated(|of| of.pin = None);
    });
    let silent = ended(|story| {
        story.lacks_data = true;
        (story.source, story.requests.rollback) = (Source::Silent("it is down".into()), some("v1"));
        story.reconcile(Some("v1"));
        (story.source, story.lacks_data) = (Source::Answers, false);
        story.reconcile(Some("v1"));
    });
    let held = ended(|story| {
        story.source = Source::Silent("it is down".into());
        story.ends_without_data().annotated(|of| of.rollback = some("v1"));
        story.source = Source::Answers;
        story.reconcile(Some("v1"));
    });
    // While the spec is invalid, a canary leaves the status.
    let invalid = ended(|story| {
        story.rollout.canary = None;
        story.annotated(|of| of.rollback = some("v1"));
    });
    for (what, mut story) in
        [("paused", paused), ("pinned", pinned), ("silent", silent), ("held", held), ("invalid", invalid)]
    {
        assert_eq!(story.rollout.last_rollback.as_deref(), Some("v1"), "{what}");
        assert_eq!(
            (story.serve(), story.states().as_str()),
            (Some("v1"), "v2:RolledBack v1:Serving v0:Previous"),
            "{what}"
        );
        assert_eq!(story.trained("v3", "0.5").condition().0, "Canary", "{what}: it is followed once");
    }
}

#[test]
fn a_rollback_to_the_version_that_serves_takes_back_what_waits_behind_a_canary_or_a_rollout() {
    let mut story = with_canary();
    story.trained("v3", "0.5").annotated(|of| of.rollback = some("v1"));
    assert_eq!(story.states(), "v3:RolledBack v2:RolledBack v1:Serving v0:Previous");
    let mut story = with_canary();
    story.judged(true).trained("v3", "0.5");
    assert_eq!(story.rollout.rolling_out.as_deref(), Some("v2"));
    story.requests.rollback = some("v1");
    assert_eq!(story.reconcile(None).states(), "v3:RolledBack v2:RolledBack v1:Serving v0:Previous");
}

#[test]
fn a_rollback_to_the_version_that_serves_makes_none_of_those_that_did_not_pass_their_gates_one_that_can_be_pinned() {
    let mut story = serving_a(&gated());
    story.trained("b", "0.1").annotated(|of| of.rollback = some("a"));
    assert_eq!((story.states().as_str(), story.rollout.last_rollback.as_deref()), ("b:Rejected a:Serving", Some("a")));
}

#[test]
fn a_pin_that_passes_its_gates_by_the_same_edit_has_precedence_over_a_rollback() {
    let mut story = serving_a(&gated());
    story.trained("b", "0.5").completes().trained("c", "0.1");
    assert_eq!(story.states(), "c:Rejected b:Serving a:Previous");
    let mut other = story.clone();
    story.policy = Policy::new(&Promotion::default()).expect("a valid policy");
    story.annotated(|of| (of.pin, of.rollback) = (some("c"), some("a")));
    assert_eq!((story.serve(), story.states().as_str()), (Some("c"), "c:Candidate b:Serving a:Previous"));
    let message =
        "annotation recommender.dev/rollback: \"a\" waits as long as recommender.dev/pin keeps c serving; c serves";
    assert_eq!(story.condition(), ("InvalidRequest", message));
    assert_eq!(story.rollout.last_rollback, None);
    // One that does not pass them any more keeps nothing from being rolled back.
    (other.policy, other.requests.is_paused) = (story.policy, true);
    other.annotated(|_| {});
    assert_eq!(other.states(), "c:Candidate b:Serving a:Previous");
    other.policy = Policy::new(&gated()).expect("a valid policy");
    other.annotated(|of| (of.pin, of.rollback) = (some("c"), some("a")));
    assert_eq!((other.serve(), other.states().as_str()), (Some("a"), "c:Rejected b:RolledBack a:Previous"));
    assert_eq!(other.rollout.last_rollback.as_deref(), Some("a"));
}

#[test]
fn a_pin_that_passes_its_gates_by_the_same_edit_keeps_what_serves_from_being_taken_back() {
    let mut story = serving_a(&gated());
    story.trained("b", "0.5").completes().trained("c", "0.1");
    story.policy = Policy::new(&Promotion::default()).expect("a valid policy");
    story.requests.pin = some("c");
    story.rollout.watched_until = Some(story.now + SignedDuration::from_mins(30));
    story.crashes();
    assert_eq!((story.serve(), story.states().as_str()), (Some("c"), "c:Candidate b:Serving a:Previous"));
}

#[test]
fn a_rollout_that_never_reached_the_servers_ends_when_the_store_is_another_one() {
    let mut story = serving_a(&Promotion::default());
    story.trained("b", "0");
    assert_eq!(story.rollout.rolling_out.as_deref(), Some("b"));
    let mut applied = story.clone();
    // The write was refused: the Deployment has the version before.
    (story.store, story.rollout.serve) = ("s3://models", Some(version("a")));
    story.reconcile(Some("a"));
    assert_eq!((story.rollout.elsewhere.as_deref(), story.rollout.rolling_out.clone()), (Some("a"), None));
    assert_eq!(story.states(), "b:Candidate a:Serving");
    applied.store = "s3://models";
    applied.reconcile(None);
    assert_eq!(applied.rollout.rolling_out.as_deref(), Some("b"), "its servers go on");
}

#[test]
fn a_rollback_that_a_pin_interrupts_goes_on_without_it_to_the_version_that_it_named() {
    let mut story = without_gates();
    for id in ["v0", "v1", "v2", "v3"] {
        story.trained(id, "0").completes();
    }
    let interrupted = |story: &Story, pin: &str| {
        let mut story = story.clone();
        story.requests.pin = some(pin);
        story.reconcile(None);
        assert_eq!(story.serve(), Some(pin));
        story.requests.pin = None;
        story.reconcile(None).clone()
    };
    for (to, pin) in [("v2", "v0"), ("v2", "v1"), ("v2", "v2"), ("v0", "v1"), ("v0", "v2")] {
        let mut back = story.clone();
        back.annotated(|of| of.rollback = some(to));
        let mut unpinned = interrupted(&back, pin);
        assert_eq!((unpinned.serve(), unpinned.rollout.why), (Some(to), "it is rolled back to"), "{pin}");
        assert_eq!(unpinned.completes().rollout.serving.as_deref(), Some(to));
    }
    // What is taken back because it does harm goes back to the version before, whatever a rollback named long ago.
    for rollback in [None, some("v0")] {
        let mut harmed = story.clone();
        (harmed.requests.rollback, harmed.rollout.last_rollback) = (rollback.clone(), rollback);
        harmed.rollout.watched_until = Some(harmed.now + SignedDuration::from_mins(30));
        harmed.crashes();
        assert_eq!(harmed.serve(), Some("v2"));
        assert_eq!(interrupted(&harmed, "v1").serve(), Some("v2"));
    }
}

#[test]
fn harm_brings_back_the_version_that_answered_last_and_none_that_somebody_has_gone_back_past() {
    let mut story = without_gates();
    for id in ["v0", "v1", "v2", "v3"] {
        story.trained(id, "0").completes();
    }
    story.annotated(|of| of.rollback = some("v0")).completes();
    story.policy.watch = SignedDuration::from_mins(30);
    story.trained("v4", "0").completes();
    assert_eq!(story.states(), "v4:Serving v3:RolledBack v2:RolledBack v1:Superseded v0:Previous");
    story.crashes();
    assert_eq!((story.serve(), story.states().split(' ').next()), (Some("v0"), Some("v4:RolledBack")));
}

#[test]
fn a_rollback_wins_over_a_version_that_would_be_promoted_at_the_same_moment() {
    let mut story = without_gates();
    // The first one is superseded before it has served.
    story.trained("v0", "0").trained("v1", "0").completes();
    story.canary_versions = Some(CanaryVersions::All);
    story.trained("v2", "0").trained("v3", "0");
    assert_eq!(story.states(), "v3:Candidate v2:Canary v1:Serving v0:Superseded");
    // The servers of v1 crash, and no other one has served: nothing is left to compare v3 with.
    story.requests.rollback = some("v0");
    story.crashes();
    let states = "v3:Candidate v2:RolledBack v1:RolledBack v0:Superseded";
    assert_eq!((story.serve(), story.states().as_str()), (Some("v0"), states));
    story.completes();
    let states = "v3:Canary v2:RolledBack v1:RolledBack v0:Serving";
    assert_eq!((story.serve(), story.states().as_str()), (Some("v0"), states));
}
