//! Versions that wait for an approval: what the condition tells people to do.

use super::*;

/// Approves what the condition names, lets canaries pass and rollouts complete, until it names nothing more. Returns what was approved.
pub(super) fn approve_as_told(story: &mut Story) -> Vec<String> {
    let mut approved = Vec::new();
    // Each version is named at most twice: before the canary of its base, and after.
    for _ in 0..=3 * story.rollout.versions.len() {
        if story.rollout.canary.is_some() {
            story.judged(true);
        }
        story.completes().completes();
        let (reason, message) = story.condition();
        let named = message.split_once("recommender.dev/approve=").filter(|_| reason == "AwaitingApproval");
        let named = named.and_then(|(_, rest)| rest.split_whitespace().next()).map(str::to_owned);
        match named {
            Some(id) => {
                story.annotated(|of| of.approve = Some(id.clone()));
                approved.push(id);
            }
            None if story.rollout.canary.is_none() => break,
            None => {}
        }
    }
    approved
}

#[test]
fn of_a_chain_of_versions_that_have_to_be_canaries_the_oldest_is_named_first() {
    let mut story = Story::new(&Promotion { mode: PromotionMode::Manual, ..Promotion::default() });
    story.canary_versions = Some(CanaryVersions::All);
    story.trained("v1", "0.5").annotated(|of| of.approve = some("v1")).completes();
    story.add(based("p1", "v1", "v1")).add(based("p2", "p1", "v1")).add(based("p3", "p2", "v1"));
    for approved in ["p3", "p2"] {
        let mut story = story.clone();
        let message = format!(
            "version p1 waits for an approval ({approved:?} is approved): {approved} is based on it and waits with it; \
             kubectl -n shop annotate recommendermodel packages recommender.dev/approve=p1 --overwrite; v1 serves"
        );
        story.annotated(|of| of.approve = some(approved));
        assert_eq!(story.condition(), ("AwaitingApproval", message.as_str()));
        assert_eq!(approve_as_told(&mut story), ["p1", "p2", "p3"]);
        assert_eq!(story.serve(), Some("p3"), "{}", story.states());
    }
    assert_eq!((approve_as_told(&mut story).last().map(String::as_str), story.serve()), (Some("p3"), Some("p3")));
}

#[test]
fn what_an_approved_version_waits_for_is_stated_also_once_newer_ones_are_trained() {
    let mut story = Story::new(&Promotion { mode: PromotionMode::Manual, ..gated() });
    story.canary_versions = Some(CanaryVersions::Full);
    story.trained("v1", "0.5").annotated(|of| of.approve = some("v1")).completes().trained("v2", "0.5");
    let partial = |id, base| Version { metrics: version_that_measures("0.5"), ..based(id, base, "v2") };
    story.add(partial("p1", "v2")).annotated(|of| of.approve = some("p1"));
    let expected = "version v2 waits for an approval (\"p1\" is approved): p1 is based on it and waits with it; ";
    assert!(story.condition().1.starts_with(expected), "{:?}", story.condition());
    for newer in [partial("p2", "p1"), Version { metrics: version_that_measures("0.5"), ..version("v3") }] {
        let mut story = story.clone();
        story.add(newer);
        assert!(story.condition().1.starts_with(expected), "{:?}", story.condition());
    }
    // One that did not pass does not hide it either.
    story.trained("v3", "0.1");
    assert_eq!(story.rollout.versions[0].state, VersionState::Rejected);
    assert!(story.condition().1.starts_with(expected), "{:?}", story.condition());
    story.annotated(|of| of.approve = some("v2"));
    story.source = Source::Silent("it is down".into());
    story.ends_without_data();
    assert_eq!(story.condition().0, "SourceFailed");
}

fn version_that_measures(precision: &str) -> BTreeMap<String, String> {
    [("precision".to_owned(), precision.to_owned())].into()
}
