use std::collections::BTreeMap;

use jiff::Timestamp;
use k8s_openapi::apimachinery::pkg::apis::meta::v1::Time;

use super::*;
use crate::api::TrainingKind;

/// URI of the artifact store.
const STORE: &str = "file:///artifacts";

fn version(id: &str) -> Version {
    Version {
        id: id.into(),
        state: VersionState::default(),
        kind: TrainingKind::Full,
        job: String::new(),
        uri: format!("{STORE}/{id}"),
        digest: String::new(),
        bytes: 0,
        metrics: BTreeMap::new(),
        data_through: None,
        due_at: Time(Timestamp::UNIX_EPOCH),
        trained_at: Time(Timestamp::UNIX_EPOCH),
    }
}

/// A history of rollouts: each version is trained, and rolled out where the second value says so.
fn after(history: &[(&str, bool)]) -> Rollout {
    history.iter().fold(Rollout::default(), |before, (id, completes)| {
        let versions: Vec<Version> = std::iter::once(version(id)).chain(before.versions).collect();
        let decide = |versions: &[Version], serving: Option<&str>, rolled_out| {
            Rollout::decide(&Inputs { versions, store: STORE, serving, rolled_out })
        };
        let begun = decide(&versions, before.serving.as_deref(), before.serving.as_deref());
        if *completes { decide(&begun.versions, begun.serving.as_deref(), Some(id)) } else { begun }
    })
}

fn states(rollout: &Rollout) -> String {
    rollout.versions.iter().map(|version| format!("{}:{:?} ", version.id, version.state)).collect()
}

#[test]
fn without_a_version_nothing_serves() {
    let none = Rollout::decide(&Inputs { versions: &[], store: STORE, serving: None, rolled_out: None });
    assert_eq!((none.serve, none.serving, none.rolling_out), (None, None, None));
}

#[test]
fn the_newest_version_is_rolled_out_while_the_one_before_answers_requests() {
    let rollout = after(&[("a", true), ("b", false)]);
    assert_eq!(rollout.serve.as_ref().map(|version| version.id.as_str()), Some("b"));
    assert_eq!((rollout.serving.as_deref(), rollout.rolling_out.as_deref()), (Some("a"), Some("b")));
    assert_eq!(states(&rollout), "b:Candidate a:Serving ");
}

#[test]
fn a_completed_rollout_makes_the_version_before_the_previous_one() {
    let rollout = after(&[("a", true), ("b", true)]);
    assert_eq!((rollout.serving.as_deref(), rollout.rolling_out), (Some("b"), None));
    assert_eq!(states(&after(&[("a", true), ("b", true)])), "b:Serving a:Previous ");
    assert_eq!(states(&after(&[("a", true), ("b", true), ("c", true)])), "c:Serving b:Previous a:Superseded ");
}

#[test]
fn a_version_that_never_answered_is_superseded_by_a_newer_one_that_does() {
    assert_eq!(states(&after(&[("a", true), ("b", false), ("c", false)])), "c:Candidate b:Candidate a:Serving ");
    assert_eq!(states(&after(&[("a", true), ("b", false), ("c", true)])), "c:Serving b:Superseded a:Previous ");
}

#[test]
fn another_decision_on_the_same_changes_nothing() {
    let rollout = after(&[("a", true), ("b", true), ("c", true)]);
    let again = Rollout::decide(&Inputs {
        versions: &rollout.versions,
        store: STORE,
        serving: Some("c"),
        rolled_out: Some("c"),
    });
    assert_eq!(again, rollout);
}

#[test]
fn servers_of_an_older_version_complete_no_rollout() {
    let versions = [version("b"), version("a")];
    let rollout = Rollout::decide(&Inputs { versions: &versions, store: STORE, serving: None, rolled_out: Some("a") });
    assert_eq!((rollout.serving, rollout.rolling_out.as_deref()), (None, Some("b")));
}

#[test]
fn a_version_in_an_earlier_artifact_store_is_not_rolled_out_and_goes_on_serving() {
    let versions = after(&[("a", true)]).versions;
    let moved =
        |store| Rollout::decide(&Inputs { versions: &versions, store, serving: Some("a"), rolled_out: Some("a") });
    let rollout = moved("s3://models");
    assert_eq!((rollout.serve, rollout.rolling_out), (None, None), "the Deployment is left as it is");
    assert_eq!((rollout.serving.as_deref(), rollout.elsewhere.as_deref()), (Some("a"), Some("a")));
    assert_eq!(rollout.versions, versions, "its state stays");
    assert!(moved("file:///art").elsewhere.is_some(), "a longer name of the same beginning is another store");
    assert_eq!(moved(STORE).elsewhere, None);
}
