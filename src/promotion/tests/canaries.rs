//! Versions that begin as a canary.

use serde_json::json;

use super::*;
use crate::observe::{ChildState, PodState, Watched};

#[test]
fn a_canary_that_is_no_worse_is_rolled_out_and_keeps_its_pods_until_that_is_complete() {
    let mut story = Story::new(&Promotion::default());
    story.canary_versions = Some(CanaryVersions::All);
    assert_eq!(
        story.trained("v1", "0.5").completes().serve(),
        Some("v1"),
        "there is nothing to compare the first one with"
    );
    story.trained("v2", "0.5");
    assert_eq!((story.serve(), story.states().as_str()), (Some("v1"), "v2:Canary v1:Serving"));
    let message = "version v2 is a canary: it is compared with the version that serves; v1 serves";
    assert_eq!(story.condition(), ("Canary", message));
    story.trained("v3", "0.5");
    assert_eq!(story.states(), "v3:Candidate v2:Canary v1:Serving", "the one that is a canary comes to its end");
    assert!(story.condition().1.contains("v3 is newer and waits until that has ended"), "{:?}", story.condition());
    story.judged(true);
    assert_eq!((story.serve(), story.rollout.canary.as_ref().map(|of| of.id.as_str())), (Some("v2"), Some("v2")));
    story.completes();
    assert_eq!((story.serve(), story.states().as_str()), (Some("v2"), "v3:Canary v2:Serving v1:Previous"));
}

/// `v1` serves, and `v2` is to be a canary.
fn with_source(source: Source) -> Story {
    let mut story = Story::new(&Promotion::default());
    (story.canary_versions, story.source) = (Some(CanaryVersions::Full), source);
    story.trained("v1", "0.5").completes().trained("v2", "0.5");
    story
}

#[test]
fn a_canary_whose_requests_could_not_be_counted_does_not_begin_and_blames_no_version() {
    let mut story = with_source(Source::Unconfigured("default".into()));
    assert_eq!((story.serve(), story.states().as_str()), (Some("v1"), "v2:Candidate v1:Serving"));
    assert!(story.rollout.canary.is_none());
    let message = "version v2 waits, because it has to be a canary, and its requests cannot be counted: the operator has no metric \
                   source \"default\". Set the value metricSources of its chart, or its flag --prometheus-url or --metric-sources, \
                   or name another one in spec.monitoring.source; or remove promotion.canary: the annotation \
                   recommender.dev/pin=v2 does not wait; v1 serves";
    assert_eq!(story.condition(), ("UnknownSource", message));
    assert_eq!(story.rollout.condition.status, Truth::False);
    story.add(based("p1", "v2", "v2"));
    assert_eq!((story.serve(), story.states().as_str()), (Some("v1"), "p1:Candidate v2:Candidate v1:Serving"));
    assert!(story.condition().1.contains("p1 is newer and waits with it"), "{:?}", story.condition());
    let mut pinned = story.clone();
    pinned.annotated(|of| of.pin = Some("v2".into()));
    assert_eq!((pinned.serve(), pinned.condition().0), (Some("v2"), "Pinned"));
    story.canary_versions = None;
    assert_eq!(story.reconcile(Some("v1")).serve(), Some("p1"), "no canary is asked for any more");
}

#[test]
fn a_canary_begins_once_its_metric_source_answers_and_then_goes_on_without_it() {
    let mut story = with_source(Source::Unread);
    assert_eq!((story.condition().0, story.rollout.condition.status), ("SourceFailed", Truth::Unknown));
    story.source = Source::Silent("metric source \"default\" (http://prometheus): HTTP 503".into());
    let (reason, message) = story.reconcile(Some("v1")).condition();
    let expected = "version v2 waits, because it has to be a canary, and its requests cannot be counted: metric source \"default\" \
                    (http://prometheus): HTTP 503; it begins once the source answers: ";
    assert!(reason == "SourceFailed" && message.starts_with(expected), "{message}");
    assert_eq!((story.states().as_str(), story.rollout.canary.is_none()), ("v2:Candidate v1:Serving", true));
    story.source = Source::Answers;
    assert_eq!(story.reconcile(Some("v1")).states(), "v2:Canary v1:Serving");
    assert_eq!(story.rollout.held, None);
    story.source = Source::Unread;
    assert_eq!(story.reconcile(Some("v1")).states(), "v2:Canary v1:Serving");
}

#[test]
fn behind_a_rollout_a_version_waits_for_that_whatever_is_known_of_its_source() {
    let mut story = with_source(Source::Answers);
    story.judged(true).trained("v3", "0.5");
    for source in [Source::Unread, Source::Answers, Source::Silent("it is down".into())] {
        story.source = source;
        story.reconcile(Some("v1"));
        assert_eq!(story.condition(), ("RollingOut", "version v3 waits until v2 is rolled out: v1 serves meanwhile"));
        assert!(story.rollout.reads_source && story.rollout.held.is_none());
    }
    story.completes();
    assert_eq!((story.condition().0, story.states().as_str()), ("SourceFailed", "v3:Candidate v2:Serving v1:Previous"));
    story.source = Source::Unconfigured("default".into());
    assert!(!story.reconcile(Some("v2")).rollout.reads_source, "it needs a person");
}

#[test]
fn a_canary_that_ended_while_its_source_did_not_answer_begins_anew() {
    let mut story = with_source(Source::Answers);
    assert_eq!(story.states(), "v2:Canary v1:Serving");
    story.source = Source::Unread;
    story.ends_without_data();
    assert_eq!((story.serve(), story.states().as_str()), (Some("v1"), "v2:Candidate v1:Serving"));
    assert!(story.rollout.canary.is_none() && story.rollout.versions[0].canary.is_none());
    story.source = Source::Answers;
    assert_eq!(story.reconcile(Some("v1")).states(), "v2:Canary v1:Serving");
    assert_eq!(story.judged(true).completes().serve(), Some("v2"));
}

#[test]
fn a_canary_that_is_worse_is_not_promoted_again() {
    let mut story = Story::new(&Promotion::default());
    story.canary_versions = Some(CanaryVersions::All);
    story.trained("v1", "0.5").completes().trained("v2", "0.5").judged(false);
    assert_eq!((story.serve(), story.states().as_str()), (Some("v1"), "v2:RolledBack v1:Serving"));
    assert!(story.rollout.canary.is_none());
    let message = "version v2 was rolled back, and is not promoted again: errors are worse; v1 serves";
    assert_eq!(story.condition(), ("RolledBack", message));
    story.verdict = None;
    story.annotated(|_| {});
    assert_eq!(story.states(), "v2:RolledBack v1:Serving");
    story.annotated(|of| of.pin = Some("v2".into()));
    assert_eq!(story.serve(), Some("v2"), "people may");
}

#[test]
fn a_pause_a_pin_and_a_rollback_end_a_canary() {
    let mut story = Story::new(&Promotion::default());
    story.canary_versions = Some(CanaryVersions::All);
    story.trained("v0", "0.5").completes().trained("v1", "0.5").judged(true).completes().trained("v2", "0.5");
    let canary = |story: &Story| story.rollout.canary.as_ref().map(|of| of.id.clone());
    assert_eq!(canary(&story).as_deref(), Some("v2"));
    let mut other = story.clone();
    other.annotated(|of| of.is_paused = true);
    assert_eq!((canary(&other), other.states().as_str()), (None, "v2:Candidate v1:Serving v0:Previous"));
    other.annotated(|of| of.is_paused = false);
    assert_eq!(canary(&other).as_deref(), Some("v2"), "it begins anew");
    let mut other = story.clone();
    other.annotated(|of| of.pin = Some("v1".into()));
    assert_eq!((canary(&other), other.serve()), (None, Some("v1")));
    story.annotated(|of| of.rollback = Some("v0".into()));
    assert_eq!((canary(&story), story.serve()), (None, Some("v0")));
    story.completes();
    assert_eq!((canary(&story).as_deref(), story.serve()), (Some("v2"), Some("v0")), "it begins anew beside that one");
}

#[test]
fn a_rollback_goes_to_the_version_that_it_names_also_while_there_is_a_canary() {
    let mut story = Story::new(&Promotion::default());
    for id in ["v0", "v1", "v2", "v3"] {
        story.trained(id, "0.5").completes();
    }
    story.canary_versions = Some(CanaryVersions::All);
    story.trained("v4", "0.5").annotated(|of| of.rollback = Some("v0".into()));
    assert_eq!(story.serve(), Some("v0"), "{}", story.states());
}

#[test]
fn a_rollout_that_has_begun_is_completed_before_a_newer_version_is_tried() {
    let mut story = Story::new(&Promotion::default());
    story.trained("v0", "0.5").completes().trained("v1", "0.5");
    story.canary_versions = Some(CanaryVersions::Full);
    story.trained("v2", "0.5");
    assert_eq!((story.serve(), story.states().as_str()), (Some("v1"), "v2:Candidate v1:Candidate v0:Serving"));
    story.completes();
    assert_eq!(story.states(), "v2:Canary v1:Serving v0:Previous");
}

#[test]
fn a_partial_version_waits_for_the_canary_of_what_it_is_based_on_and_is_refused_with_it() {
    let mut story = Story::new(&Promotion::default());
    story.canary_versions = Some(CanaryVersions::Full);
    story.trained("v0", "0.5").completes().trained("v1", "0.5").add(based("p1", "v1", "v1"));
    // The one in between is not kept.
    story.add(based("p2", "p1", "v1")).rollout.versions.retain(|version| version.id != "p1");
    story.annotated(|of| of.is_paused = true);
    story.annotated(|of| of.is_paused = false);
    assert_eq!((story.serve(), story.states().as_str()), (Some("v0"), "p2:Candidate v1:Canary v0:Serving"));
    story.judged(false);
    assert_eq!((story.serve(), story.states().as_str()), (Some("v0"), "p2:Rejected v1:RolledBack v0:Serving"));
}

#[test]
fn a_version_is_rolled_out_at_once_where_no_server_answers() {
    let mut story = Story::new(&Promotion::default());
    story.canary_versions = Some(CanaryVersions::All);
    story.trained("v0", "0.5").completes();
    story.servers.is_stopped = true;
    assert_eq!(story.trained("v1", "0.5").serve(), Some("v1"));
}

#[test]
fn the_data_of_a_canary_do_not_become_too_old() {
    let mut story = Story::new(&Promotion { max_data_age_hours: Some(1), ..Promotion::default() });
    story.canary_versions = Some(CanaryVersions::All);
    let fresh = |id| Version { data_through: Some(Time(Timestamp::UNIX_EPOCH)), ..version(id) };
    story.add(fresh("v0")).completes().add(fresh("v1"));
    story.now += SignedDuration::from_hours(2);
    story.annotated(|_| {});
    assert_eq!(story.states(), "v1:Canary v0:Serving");
    assert_eq!(story.judged(true).serve(), Some("v1"));
}

#[test]
fn versions_of_partial_trainings_are_rolled_out_at_once_unless_all_are_tried() {
    let mut story = Story::new(&Promotion::default());
    story.canary_versions = Some(CanaryVersions::Full);
    story.trained("v1", "0.5").completes();
    let partial = |id| Version { kind: TrainingKind::Partial, ..version(id) };
    assert_eq!(story.add(partial("p1")).serve(), Some("p1"));
    story.completes().canary_versions = Some(CanaryVersions::All);
    assert_eq!(story.add(partial("p2")).serve(), Some("p1"));
}

#[test]
fn requests_of_servers_that_changed_versions_without_a_restart_count_once_these_have_warmed_up() {
    let object = json!({
        "promotion": {"canary": {"steps": [{"weightPercent": 10}], "warmUpSeconds": 30}},
        "monitoring": {"metrics": {"profile": "FastApiInstrumentator"}},
    });
    let model = crate::model::tests::model(object);
    let at = |seconds: i64| Timestamp::from_second(1_800_000_000 + seconds).expect("a time");
    let ready = |name: &str, seconds| PodState {
        name: name.into(),
        component: crate::names::SERVING_COMPONENT.into(),
        version: "v1".into(),
        ready_since: Some(at(seconds)),
        ..PodState::default()
    };
    let with = |children: Children, pod: PodState| {
        let name = pod.name.clone();
        children.with(Watched::Pod, &name, ChildState::Nothing, Some(pod))
    };
    let children = [ready("old", -9000), ready("new", 500)].into_iter().fold(Children::default(), with);
    let prior = RecommenderModelStatus::default();
    let known = trial::Known { model: &model, children: &children, progress: None, route: None, prior: &prior };
    let baseline = Version { served_at: Some(Time(at(0))), ..version("v1") };
    let plan = trial::Plan::new(&known, (&version("v2"), &baseline), 1).expect("a plan");
    let from: Vec<_> = plan.pods.iter().map(|(name, (_, from))| (name.as_str(), *from)).collect();
    assert_eq!(from, [("new", at(530)), ("old", at(30))]);
}

#[test]
fn a_version_whose_base_waits_for_an_approval_says_so() {
    let mut story = Story::new(&Promotion { mode: PromotionMode::Manual, ..Promotion::default() });
    story.canary_versions = Some(CanaryVersions::Full);
    story.trained("v1", "0.5").annotated(|of| of.approve = some("v1")).completes().trained("v2", "0.5");
    story.add(based("p1", "v2", "v2")).annotated(|of| of.approve = some("p1"));
    let message = "version v2 waits for an approval (\"p1\" is approved): p1 is based on it and waits with it; \
                   kubectl -n shop annotate recommendermodel packages recommender.dev/approve=v2 --overwrite; v1 serves";
    assert_eq!(story.condition(), ("AwaitingApproval", message));
    story.annotated(|of| of.approve = some("v2"));
    assert_eq!(story.states(), "p1:Candidate v2:Canary v1:Serving");
    // The approval of another one withdraws it.
    assert_eq!(story.annotated(|of| of.approve = some("p1")).states(), "p1:Candidate v2:Candidate v1:Serving");
    assert_eq!(story.condition(), ("AwaitingApproval", message));
    story.canary_versions = None;
    assert_eq!(story.reconcile(Some("v1")).serve(), Some("p1"), "it is approved with what it is based on");
}

/// `v0` has served, `v1` serves, and `v2` is the canary.
pub(super) fn with_canary() -> Story {
    let mut story = Story::new(&Promotion::default());
    story.trained("v0", "0.5").completes().trained("v1", "0.5").completes();
    story.canary_versions = Some(CanaryVersions::Full);
    story.trained("v2", "0.5");
    assert_eq!(story.states(), "v2:Canary v1:Serving v0:Previous");
    story
}

#[test]
fn a_rollback_to_the_version_that_serves_takes_the_canary_back() {
    let mut story = with_canary();
    let mut passes = story.clone();
    story.annotated(|of| of.rollback = some("v1"));
    assert_eq!((story.serve(), story.states().as_str()), (Some("v1"), "v2:RolledBack v1:Serving v0:Previous"));
    assert_eq!(story.condition(), ("RolledBack", "version v2 was rolled back, and is not promoted again; v1 serves"));
    assert_eq!(story.add(based("p1", "v2", "v2")).states(), "p1:Rejected v2:RolledBack v1:Serving v0:Previous");
    assert_eq!(story.trained("v3", "0.5").condition().0, "Canary", "the annotation was followed once");
    // It passes at the same moment.
    passes.requests.rollback = some("v1");
    assert_eq!(passes.judged(true).states(), "v2:RolledBack v1:Serving v0:Previous");
    assert_eq!(passes.serve(), Some("v1"));
}

#[test]
fn a_canary_cannot_be_rolled_back_to_and_goes_on() {
    let mut story = with_canary();
    story.annotated(|of| of.rollback = some("v2"));
    let message = "annotation recommender.dev/rollback: \"v2\" names a version that cannot be rolled back to, because it is Canary; \
                   write one of v1, v0; v1 serves";
    assert_eq!(story.condition(), ("InvalidRequest", message));
    assert_eq!((story.states().as_str(), &story.rollout.last_rollback), ("v2:Canary v1:Serving v0:Previous", &None));
}

#[test]
fn requests_that_come_together_during_a_canary_are_followed_one_after_the_other() {
    let mut story = with_canary();
    story.annotated(|of| (of.pin, of.rollback, of.is_paused) = (some("v1"), some("v0"), true));
    assert_eq!((story.serve(), story.condition().0), (Some("v1"), "InvalidRequest"));
    assert_eq!(
        (story.states().as_str(), story.rollout.canary.is_none()),
        ("v2:Candidate v1:Serving v0:Previous", true)
    );
    story.annotated(|of| of.pin = None);
    assert_eq!((story.serve(), story.states().as_str()), (Some("v0"), "v2:Candidate v1:RolledBack v0:Previous"));
    story.completes().annotated(|_| {});
    assert_eq!((story.states().as_str(), story.condition().0), ("v2:Candidate v1:RolledBack v0:Serving", "Paused"));
    story.annotated(|of| of.is_paused = false);
    assert_eq!(story.states(), "v2:Canary v1:RolledBack v0:Serving");
    story.annotated(|of| of.pin = some("v2"));
    assert_eq!((story.serve(), story.rollout.rolling_out.as_deref()), (Some("v2"), Some("v2")));
}

#[test]
fn a_canary_whose_store_is_left_ends_and_begins_anew_when_that_comes_back() {
    let mut story = with_canary();
    story.store = "s3://models";
    story.reconcile(Some("v1"));
    assert_eq!(
        (story.rollout.elsewhere.as_deref(), story.states().as_str()),
        (Some("v1"), "v2:Candidate v1:Serving v0:Previous")
    );
    assert_eq!(story.condition().0, "ArtifactsMoved");
    story.store = STORE;
    assert_eq!(story.reconcile(Some("v1")).states(), "v2:Canary v1:Serving v0:Previous");
    assert_eq!(story.judged(true).serve(), Some("v2"));
}

#[test]
fn a_rollback_takes_back_a_canary_that_passes_at_the_same_moment() {
    let mut story = with_canary();
    let mut paused = story.clone();
    story.requests.rollback = some("v0");
    story.judged(true);
    assert_eq!((story.serve(), story.states().as_str()), (Some("v0"), "v2:RolledBack v1:RolledBack v0:Previous"));
    assert_eq!((story.rollout.canary.as_ref(), story.rollout.last_rollback.as_deref()), (None, Some("v0")));
    story.completes().annotated(|_| {});
    assert_eq!((story.serve(), story.states().as_str()), (Some("v0"), "v2:RolledBack v1:RolledBack v0:Serving"));
    assert_eq!(story.condition(), ("RolledBack", "version v2 was rolled back, and is not promoted again; v0 serves"));
    // It has passed beside the version that is taken back, and waits.
    paused.requests.is_paused = true;
    paused.judged(true);
    assert_eq!(paused.states(), "v2:Candidate v1:Serving v0:Previous");
    paused.annotated(|of| of.rollback = some("v0")).completes().annotated(|of| of.is_paused = false);
    assert_eq!((paused.serve(), paused.states().as_str()), (Some("v0"), "v2:RolledBack v1:RolledBack v0:Serving"));
}

#[test]
fn a_rollback_takes_back_a_canary_that_has_nothing_to_be_compared_with_any_more() {
    let mut story = with_canary();
    story.requests.rollback = some("v0");
    story.crashes();
    assert_eq!((story.serve(), story.states().as_str()), (Some("v0"), "v2:RolledBack v1:RolledBack v0:Previous"));
}

#[test]
fn a_pin_that_is_removed_during_its_rollout_does_not_spare_a_version_its_canary() {
    let pinned = |id: &str| {
        let mut story = with_canary();
        story.trained("v3", "0.5").annotated(|of| of.pin = some(id));
        assert_eq!((story.serve(), story.rollout.rolling_out.as_deref()), (Some(id), Some(id)));
        assert!(story.rollout.canary.is_none());
        story
    };
    for (id, begins) in [("v2", "v3"), ("v3", "v3")] {
        let mut story = pinned(id);
        let mut completed = story.clone();
        story.requests.pin = None;
        story.reconcile(None);
        let canary = story.rollout.canary.as_ref().map(|version| version.id.as_str());
        assert_eq!((story.serve(), canary, story.rollout.rolling_out.as_deref()), (Some("v1"), Some(begins), None));
        story.judged(true).completes();
        assert_eq!(story.serve(), Some(begins), "{}", story.states());
        // What all servers have serves on.
        completed.requests.pin = None;
        assert_eq!(completed.completes().rollout.serving.as_deref(), Some(id));
    }
    let mut older = pinned("v0");
    older.requests.pin = None;
    older.reconcile(None);
    assert_eq!((older.serve(), older.states().as_str()), (Some("v1"), "v3:Canary v2:Candidate v1:Serving v0:Previous"));
}

#[test]
fn a_version_that_was_pinned_waits_and_is_taken_back_as_if_it_had_never_been() {
    let pinned = || {
        let mut story = with_canary();
        story.annotated(|of| of.pin = some("v2"));
        story.requests.pin = None;
        story
    };
    let mut silent = pinned();
    silent.source = Source::Silent("it is down".into());
    assert_eq!(silent.reconcile(None).condition().0, "SourceFailed");
    assert_eq!((silent.serve(), silent.states().as_str()), (Some("v1"), "v2:Candidate v1:Serving v0:Previous"));
    let mut paused = pinned();
    paused.requests.is_paused = true;
    assert_eq!((paused.reconcile(None).condition().0, paused.serve()), ("Paused", Some("v1")));
    // Its own servers crash, which says nothing of those that it is to be compared with.
    let mut crashes = pinned();
    crashes.rollout.settings = some("others");
    crashes.crashes();
    assert_eq!((crashes.serve(), crashes.states().as_str()), (Some("v1"), "v2:Canary v1:Serving v0:Previous"));
    let mut failed = pinned();
    failed.crashes();
    assert_eq!((failed.serve(), failed.states().as_str()), (Some("v1"), "v2:Failed v1:Serving v0:Previous"));
    let mut back = pinned();
    (back.canary_versions, back.requests.rollback) = (None, some("v0"));
    back.reconcile(None);
    assert_eq!((back.serve(), back.states().as_str()), (Some("v0"), "v2:RolledBack v1:RolledBack v0:Previous"));
    // Where the store is another one, the Deployment goes on with it.
    let mut moved = pinned();
    moved.store = "s3://models";
    assert_eq!(moved.reconcile(None).rollout.rolling_out.as_deref(), Some("v2"));
    assert_eq!(moved.reconcile(Some("v2")).rollout.serving.as_deref(), Some("v2"));
}

#[test]
fn a_version_whose_rollout_crashes_does_not_spare_a_newer_one_its_canary() {
    let pinned = || {
        let mut story = with_canary();
        story.annotated(|of| of.pin = some("v2")).trained("v3", "0.5");
        assert_eq!((story.serve(), story.rollout.rolling_out.as_deref()), (Some("v2"), Some("v2")));
        story.requests.pin = None;
        story
    };
    let passed = || {
        let mut story = with_canary();
        story.judged(true).trained("v3", "0.5");
        assert_eq!((story.serve(), story.rollout.rolling_out.as_deref()), (Some("v2"), Some("v2")));
        story
    };
    for mut story in [pinned(), passed()] {
        let mut silent = story.clone();
        story.crashes();
        assert_eq!(
            (story.serve(), story.states().as_str()),
            (Some("v1"), "v3:Canary v2:Failed v1:Serving v0:Previous")
        );
        silent.source = Source::Silent("it is down".into());
        silent.crashes();
        assert_eq!((silent.serve(), silent.condition().0), (Some("v1"), "SourceFailed"));
    }
    // With other settings it is not blamed.
    let mut other = pinned();
    other.rollout.settings = some("others");
    other.crashes();
    assert_eq!((other.serve(), other.states().as_str()), (Some("v1"), "v3:Canary v2:Candidate v1:Serving v0:Previous"));
    // One that serves and is taken back, because it crashes, is not what the next one is compared with.
    let mut watched = with_canary();
    watched.judged(true).completes().annotated(|of| of.is_paused = true).trained("v3", "0.5");
    watched.requests.is_paused = false;
    watched.rollout.watched_until = Some(watched.now + SignedDuration::from_mins(30));
    watched.crashes();
    assert_eq!(
        (watched.serve(), watched.states().as_str()),
        (Some("v1"), "v3:Canary v2:RolledBack v1:Previous v0:Superseded")
    );
    // Where what stands crashes, nothing is left to compare with.
    let mut stands = with_canary();
    stands.ends_without_data().crashes();
    assert_eq!((stands.serve(), stands.rollout.canary.is_none()), (Some("v2"), true));
}

#[test]
fn a_pin_that_is_removed_while_the_store_is_another_one_does_not_spare_a_version_its_canary_either() {
    for is_removed_there in [false, true] {
        let mut story = with_canary();
        story.annotated(|of| of.pin = some("v2")).store = "s3://models";
        story.requests.pin = some("v2").filter(|_| !is_removed_there);
        story.reconcile(None);
        assert_eq!((story.rollout.rolling_out.as_deref(), &story.rollout.pinned), (Some("v2"), &None));
        (story.store, story.requests.pin) = (STORE, None);
        story.reconcile(None);
        assert_eq!((story.serve(), story.states().as_str()), (Some("v1"), "v2:Canary v1:Serving v0:Previous"));
        assert_eq!(story.rollout.recorded_pin, None);
    }
}

#[test]
fn a_pin_that_is_removed_where_what_serves_cannot_be_rolled_out_leaves_its_rollout() {
    let mut story = with_canary();
    // The store moves, and what is trained there is not approved.
    story.store = "s3://models";
    story.policy.is_manual = true;
    let elsewhere = Version { uri: "s3://models/v3".into(), ..version("v3") };
    story.add(elsewhere).annotated(|of| of.pin = some("v3"));
    assert_eq!((story.serve(), story.rollout.rolling_out.as_deref()), (Some("v3"), Some("v3")));
    story.requests.pin = None;
    for _ in 0..2 {
        story.reconcile(None);
        assert_eq!(story.rollout.rolling_out.as_deref(), Some("v3"), "its servers are replaced: {}", story.states());
    }
    assert_eq!(story.reconcile(Some("v3")).rollout.serving.as_deref(), Some("v3"));
}
