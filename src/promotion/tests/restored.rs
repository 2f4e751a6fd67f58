//! What is known after the status was lost.

use super::*;

#[test]
fn what_is_not_known_to_be_older_than_the_version_that_serves_is_held_back() {
    let versions = ["v3", "v2", "v1"].map(version);
    let is_held_back = |serving| {
        let of = hold_back_newer(&versions, serving).into_iter();
        of.map(|version| version.state == VersionState::RolledBack).collect::<Vec<_>>()
    };
    assert_eq!(is_held_back(None), [false; 3], "the status was not lost");
    assert_eq!([is_held_back(Some("v3")), is_held_back(Some("v1"))], [[false; 3], [true, true, false]]);
    assert_eq!(is_held_back(Some("v0")), [true; 3], "it is not known which are newer");
}

/// `b` was taken over with servers that do not name its artifact, and `a` is older and has one.
fn taken_over() -> Story {
    let mut story = without_gates();
    let with = |id: &str, state| Version { state, served_at: Some(Time(Timestamp::UNIX_EPOCH)), ..version(id) };
    story.rollout.versions =
        vec![Version { uri: String::new(), ..with("b", VersionState::Serving) }, with("a", VersionState::Previous)];
    story.rollout.serving = some("b");
    story.reconcile(Some("b"));
    story
}

#[test]
fn a_version_without_an_artifact_is_left_as_it_is_only_where_it_serves() {
    let mut story = taken_over();
    let run = "kubectl -n shop annotate recommendermodel packages recommender.dev/train=\"full: status lost\" --overwrite starts a run";
    let message = format!(
        "version b is left as it is in the Deployment of the servers until a newer version is promoted, because its artifact is not known: \
         the status was lost, and that Deployment does not name it. {run}"
    );
    assert_eq!(
        (story.rollout.elsewhere.as_deref(), story.condition()),
        (Some("b"), ("ArtifactsMoved", message.as_str()))
    );
    story.annotated(|of| of.pin = some("a")).completes();
    story.annotated(|of| of.pin = None);
    let message = format!(
        "version b cannot be rolled out, because its artifact is not known since the status was lost. {run}; a serves"
    );
    assert_eq!((story.serve(), story.condition()), (Some("a"), ("ArtifactsMoved", message.as_str())));
}

#[test]
fn who_requests_a_version_without_an_artifact_is_told_what_can_be_written() {
    let mut story = taken_over();
    story.annotated(|of| of.pin = some("b"));
    let message = "annotation recommender.dev/pin: \"b\" names a version whose artifact is not known; write one of a";
    assert_eq!(story.condition(), ("InvalidRequest", message));
}
