//! Random histories of an object.

use proptest::prelude::*;

use super::{approvals::approve_as_told, *};
use crate::model::readiness::Input;

/// Something that happens to an object.
#[derive(Clone, Debug)]
enum Step {
    Trained(u8),
    Completes,
    Nothing,
    Approved(usize),
    Pinned(Option<usize>),
    RolledBack(Option<usize>),
    Paused(bool),
    Strict(bool),
    TrainedPartially,
    CanaryVersions(Option<bool>),
    Judged(bool),
    GetsStuck,
    Crashes,
    Breaches,
    Waits,
    NewSettings(u8),
    /// Whether the inputs of promotions are there.
    Inputs(bool),
    /// What is known of the metric source.
    Source(u8),
    /// A canary ends without a verdict, because its source does not answer.
    EndsWithoutData,
    /// Several of these before one decision.
    Together(Vec<Sudden>),
}

/// Something that may happen at the same time as others.
#[derive(Clone, Debug)]
enum Sudden {
    Approved(usize),
    Pinned(Option<usize>),
    RolledBack(Option<usize>),
    Paused(bool),
    Completes,
    Judged(bool),
    EndsWithoutData,
    GetsStuck,
    Crashes,
    Breaches,
}

fn sudden() -> impl Strategy<Value = Sudden> {
    prop_oneof![
        1 => (0..6usize).prop_map(Sudden::Approved),
        1 => proptest::option::of(0..6usize).prop_map(Sudden::Pinned),
        3 => proptest::option::of(0..6usize).prop_map(Sudden::RolledBack),
        1 => any::<bool>().prop_map(Sudden::Paused),
        2 => Just(Sudden::Completes),
        2 => any::<bool>().prop_map(Sudden::Judged),
        1 => Just(Sudden::EndsWithoutData),
        1 => Just(Sudden::GetsStuck),
        1 => Just(Sudden::Crashes),
        1 => Just(Sudden::Breaches),
    ]
}

/// They happen, and then it is decided once.
fn happen(story: &mut Story, all: &[Sudden]) {
    let before = story.rollout.clone();
    let id = |index: &usize| before.versions.get(*index).map_or("none".into(), |version| version.id.clone());
    let mut rolled_out = before.serving.clone();
    for sudden in all {
        match sudden {
            Sudden::Approved(index) => story.requests.approve = Some(id(index)),
            Sudden::Pinned(index) => story.requests.pin = index.as_ref().map(id),
            Sudden::RolledBack(index) => story.requests.rollback = index.as_ref().map(id),
            Sudden::Paused(is_paused) => story.requests.is_paused = *is_paused,
            Sudden::Completes => rolled_out = before.serve.as_ref().map(|version| version.id.clone()),
            Sudden::Judged(passed) => story.verdict = story.verdict_of(*passed),
            Sudden::EndsWithoutData => story.lacks_data = true,
            Sudden::GetsStuck => story.servers.stuck = Some("its rollout made no progress".into()),
            Sudden::Crashes => story.servers.crashes = Some("1 of 1 pods were restarted 4 times or more".into()),
            Sudden::Breaches => {
                story.servers.breaches = BTreeMap::from([("fast".to_owned(), "it is breached".to_owned())]);
            }
        }
    }
    story.reconcile(rolled_out.as_deref());
    story.lacks_data = false;
    (story.servers.stuck, story.servers.crashes, story.servers.breaches) = Default::default();
}

/// Whether all versions begin as a canary, or those of full trainings; or none.
fn canary_versions(all: Option<bool>) -> Option<CanaryVersions> {
    all.map(|all| if all { CanaryVersions::All } else { CanaryVersions::Full })
}

fn step() -> impl Strategy<Value = Step> {
    prop_oneof![
        4 => (0..40u8).prop_map(Step::Trained),
        4 => Just(Step::Completes),
        1 => Just(Step::Nothing),
        1 => (0..6usize).prop_map(Step::Approved),
        1 => proptest::option::of(0..6usize).prop_map(Step::Pinned),
        2 => proptest::option::of(0..6usize).prop_map(Step::RolledBack),
        1 => any::<bool>().prop_map(Step::Paused),
        1 => any::<bool>().prop_map(Step::Strict),
        2 => Just(Step::TrainedPartially),
        1 => any::<Option<bool>>().prop_map(Step::CanaryVersions),
        3 => any::<bool>().prop_map(Step::Judged),
        2 => Just(Step::GetsStuck),
        3 => Just(Step::Crashes),
        2 => Just(Step::Breaches),
        1 => Just(Step::Waits),
        1 => (0..2u8).prop_map(Step::NewSettings),
        2 => any::<bool>().prop_map(Step::Inputs),
        2 => (0..4u8).prop_map(Step::Source),
        1 => Just(Step::EndsWithoutData),
        4 => proptest::collection::vec(sudden(), 2..5).prop_map(Step::Together),
    ]
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(500))]
    #[test]
    fn nothing_that_was_refused_serves_something_always_does_and_a_rollback_ends(
        steps in proptest::collection::vec(step(), 1..60),
        is_manual in any::<bool>(),
        canaries in any::<Option<bool>>(),
    ) {
        let mode = if is_manual { PromotionMode::Manual } else { PromotionMode::Automatic };
        let policy = |promotion: Promotion| Policy::new(&Promotion { mode, ..promotion }).expect("valid");
        let mut story = Story::new(&Promotion { mode, ..gated() });
        story.canary_versions = canary_versions(canaries);
        story.readiness.inputs = vec![Input { dependency: "users-db".into(), has_health: true, ..Input::default() }];
        story.readings.insert("users-db".into(), Reading { up: Some(true), ..Reading::default() });
        // What was there when a rollback to the version that serves was followed.
        let mut taken: Vec<String> = Vec::new();
        for (number, step) in steps.into_iter().enumerate() {
            let before = story.rollout.clone();
            let id = |index: usize| before.versions.get(index).map_or("none".into(), |version| version.id.clone());
            let sudden = if let Step::Together(all) = &step { all.clone() } else { Vec::new() };
            let is_judged = matches!(step, Step::Judged(_)) || sudden.iter().any(|of| matches!(of, Sudden::Judged(_)));
            let has_no_data = sudden.iter().any(|of| matches!(of, Sudden::EndsWithoutData));
            let crashes = matches!(step, Step::Crashes) || sudden.iter().any(|of| matches!(of, Sudden::Crashes));
            match step {
                Step::Trained(value) => _ = story.trained(&format!("v{number}"), &format!("0.{value:02}")),
                Step::Completes => _ = story.completes(),
                Step::Nothing => _ = story.annotated(|_| {}),
                Step::Approved(index) => _ = story.annotated(|of| of.approve = Some(id(index))),
                Step::Pinned(index) => _ = story.annotated(|of| of.pin = index.map(id)),
                Step::RolledBack(index) => _ = story.annotated(|of| of.rollback = index.map(id)),
                Step::Paused(is_paused) => _ = story.annotated(|of| of.is_paused = is_paused),
                Step::Strict(is_strict) => {
                    story.policy = policy(if is_strict { gated() } else { Promotion::default() });
                    story.annotated(|_| {});
                }
                Step::TrainedPartially => {
                    // As trainings choose it: the newest version that is not refused.
                    let refused = [VersionState::Rejected, VersionState::RolledBack, VersionState::Failed];
                    let base = before.versions.iter().find(|version| !refused.contains(&version.state));
                    if let Some(base) = base {
                        let root = base.base.as_ref().map_or(&base.id, |base| &base.full);
                        let metrics = base.metrics.clone();
                        story.add(Version { metrics, ..based(&format!("p{number}"), &base.id, root) });
                    }
                }
                Step::CanaryVersions(all) => {
                    story.canary_versions = canary_versions(all);
                    story.annotated(|_| {});
                }
                Step::Judged(passed) => _ = story.judged(passed),
                Step::GetsStuck => _ = story.gets_stuck(),
                Step::Crashes => _ = story.crashes(),
                Step::Breaches => _ = story.breaches(),
                Step::Waits => {
                    story.now += SignedDuration::from_mins(40);
                    story.annotated(|_| {});
                }
                Step::Inputs(are_there) => {
                    story.readings.insert("users-db".into(), Reading { up: Some(are_there), ..Reading::default() });
                    story.annotated(|_| {});
                }
                Step::Source(number) => {
                    let source = [Source::Answers, Source::Unread, Source::Silent("down".into()), Source::Unconfigured("a".into())];
                    story.source = source[usize::from(number)].clone();
                    story.annotated(|_| {});
                }
                Step::EndsWithoutData => _ = story.ends_without_data(),
                Step::Together(all) => happen(&mut story, &all),
                Step::NewSettings(settings) => {
                    story.servers.settings = Some(settings.to_string());
                    story.reconcile(None);
                }
            }
            let Rollout { serve, serving, versions, .. } = &story.rollout;
            let desired = serve.as_ref().map(|version| version.id.clone());
            let is_pinned = desired.is_some() && story.requests.pin == desired;
            if let Some(serve) = serve {
                prop_assert_ne!(serve.state, VersionState::Rejected);
                let is_refused = |version: &Version| matches!(version.state, VersionState::RolledBack | VersionState::Failed);
                prop_assert!(!is_refused(serve) || is_pinned, "{}", story.states());
                // One that was taken back may go on answering when nothing else is left.
                let was_refused = before.versions.iter().any(|of| of.id == serve.id && is_refused(of));
                let completes_its_pin = before.pinned == desired && *serving == desired;
                prop_assert!(!was_refused || is_pinned || completes_its_pin || before.serving == desired, "{}", story.states());
                let serves_already = before.serve.as_ref().is_some_and(|of| of.id == serve.id);
                prop_assert!(!(story.rollout.is_recorded_first && serves_already) || is_judged, "it is not taken back: {}", story.states());
                let was_skipped = before.versions.iter().any(|of| {
                    of.id == serve.id && of.state == VersionState::Superseded && of.served_at.is_none()
                });
                let is_requested = is_pinned || serves_already || story.requests.rollback == desired;
                prop_assert!(!was_skipped || is_requested, "it has never served: {}", story.states());
                let is_new = !before.versions.iter().any(|of| of.id == serve.id && of.state != VersionState::Candidate);
                let is_approved = story.requests.approve.as_ref() == Some(&serve.id);
                let is_first = before.serving.is_none() && before.rolling_out.as_ref() == Some(&serve.id);
                prop_assert!(!is_new || !is_manual || is_approved || is_pinned || is_first || serve.state != VersionState::Candidate);
            }
            // The servers go on with it in any case.
            prop_assert!(before.rolling_out.is_none() || desired.is_some(), "a rollout is left: {}", story.states());
            let canary = story.rollout.canary.as_ref();
            // The servers of the version that stands: nothing is left to compare with. Those of one that is rolled out say nothing of it.
            let crashing = story.servers.version.as_ref().filter(|_| crashes);
            let is_broken = crashing.is_some_and(|id| {
                let state = |id: &String| versions.iter().find(|of| of.id == *id).map(|of| of.state);
                let is_leaving = serving.as_ref().and_then(state) == Some(VersionState::RolledBack);
                state(id) != Some(VersionState::Candidate) && (serving.as_ref() == Some(id)) != is_leaving
            });
            // What a pin alone has begun begins anew without it.
            let began = before.rolling_out.as_ref().filter(|of| before.pinned.as_ref() != Some(of));
            let is_new = |of: &&Version| before.serve.as_ref().is_none_or(|serve| serve.id != of.id) || before.pinned.as_ref() == Some(&of.id);
            let begun = serve.as_ref().filter(is_new);
            if let Some(begun) = begun.filter(|of| of.state == VersionState::Candidate && !is_pinned) {
                let is_ready = story.readings["users-db"].up == Some(true);
                let was_begun = [began, before.serving.as_ref()].contains(&Some(&begun.id));
                let was_canary = track::has_passed(begun) || before.canary.as_ref().is_some_and(|of| of.id == begun.id);
                let may_begin = is_ready || was_begun || was_canary || before.serving.is_none();
                prop_assert!(may_begin, "{} begins without its inputs: {}", begun.id, story.states());
                let was_alone = before.serving.is_none() || before.serving.as_ref() == Some(&begun.id);
                // The rollout of one that has begun goes on, also as part of a newer one.
                let passed_canary = |version: &Version| {
                    let is_begun = began == Some(&version.id);
                    track::has_passed(version) || version.served_at.is_some() || is_begun
                };
                let root = begun.base.as_ref().and_then(|base| versions.iter().find(|of| of.id == base.full));
                let is_fine = match story.canary_versions {
                    None => true,
                    Some(CanaryVersions::All) => passed_canary(begun),
                    Some(CanaryVersions::Full) if begun.kind == TrainingKind::Full => passed_canary(begun),
                    // What it is based on was a canary, or was not to be when it was superseded.
                    Some(CanaryVersions::Full) => root.is_none_or(|root| passed_canary(root) || root.state == VersionState::Superseded),
                };
                prop_assert!(is_fine || was_alone || is_broken, "{} begins: {}", begun.id, story.states());
            }
            let has_begun = canary.filter(|of| before.canary.as_ref().is_none_or(|before| before.id != of.id));
            let is_kept = |version: &Version| track::has_passed(version);
            prop_assert!(has_begun.is_none_or(is_kept) || story.source == Source::Answers, "its requests are not counted");
            taken.retain(|id| story.requests.pin.as_ref() != Some(id));
            let begins = [desired.as_ref(), canary.map(|version| &version.id)].into_iter().flatten().find(|id| taken.contains(id));
            prop_assert!(begins.is_none(), "{begins:?} begins after a rollback: {}", story.states());
            let followed = story.rollout.last_rollback.as_ref().filter(|id| before.last_rollback.as_ref() != Some(*id));
            // One that is named itself serves by now.
            let goes_back = |from: &Version| followed.is_some_and(|to| *to != from.id);
            if let Some(tried) = before.canary.as_ref().filter(|of| goes_back(of) && !has_no_data) {
                prop_assert!(desired.as_ref() != Some(&tried.id), "a canary is promoted by a rollback: {}", story.states());
            }
            if let Some(to) = followed.filter(|id| [&before.serving, serving].iter().all(|of| of.as_ref() == Some(*id))) {
                let newer = versions.iter().take_while(|version| version.id != *to);
                taken.extend(newer.filter(|version| version.state != VersionState::Rejected).map(|version| version.id.clone()));
                prop_assert!(canary.is_none() && desired.as_ref() == Some(to), "{}", story.states());
            }
            let canaries = versions.iter().filter(|version| version.state == VersionState::Canary);
            for version in canaries {
                prop_assert!(version.canary.is_none() && serve.is_some() && desired.as_ref() != Some(&version.id));
                prop_assert_eq!(canary.map(|canary| &canary.id), Some(&version.id));
            }
            let judged = versions.iter().filter(|version| version.canary.as_ref().is_some_and(|of| !of.passed));
            for version in judged {
                // A person may have pinned it before.
                let served = version.served_at.is_some();
                prop_assert!(desired.as_ref() != Some(&version.id) || is_pinned || served, "{}", story.states());
            }
            prop_assert!(before.serving.is_none() || (serving.is_some() && serve.is_some()), "nothing serves");
            let count = versions.iter().filter(|version| version.state == VersionState::Serving).count();
            prop_assert!(count <= 1, "{}", story.states());
            if let Some(id) = serving {
                let state = versions.iter().find(|version| version.id == *id).map(|version| version.state);
                let is_leaving = state == Some(VersionState::RolledBack) && desired.as_ref() != Some(id);
                prop_assert!(state == Some(VersionState::Serving) || is_leaving, "{id} of {}", story.states());
            }
            prop_assert_ne!(story.condition().0, "ArtifactsMoved", "{}", story.condition().1);
            // Another decision changes nothing. It may take one more when a rollback or a pin makes another version the baseline.
            let serving = serving.clone();
            let mut again = story.clone();
            again.reconcile(serving.as_deref());
            let decided = again.reconcile(serving.as_deref()).rollout.clone();
            again.reconcile(serving.as_deref());
            prop_assert_eq!(&again.rollout.versions, &decided.versions);
            prop_assert_eq!(&again.rollout.serve, &decided.serve);
            // A rollout ends.
            let mut completed = story.clone();
            completed.completes();
            prop_assert_eq!(completed.rollout.serving.clone(), desired);
            prop_assert!(completed.completes().rollout.rolling_out.is_none() || is_pinned || completed.serve().is_some());
        }
        // Who does what the condition says gets the newest version promoted.
        let mut told = story.clone();
        (told.requests, told.source) = (Requests::default(), Source::Answers);
        told.readings.insert("users-db".into(), Reading { up: Some(true), ..Reading::default() });
        told.completes().completes();
        let newest = told.rollout.versions.first().filter(|version| version.state == VersionState::Candidate).cloned();
        let approved = approve_as_told(&mut told);
        // Those that are promoted before it are what it is compared with then.
        let is_refused = told.rollout.versions.first().is_some_and(|version| version.state == VersionState::Rejected);
        let is_promoted = newest.as_ref().is_none_or(|newest| told.serve() == Some(newest.id.as_str()));
        prop_assert!(is_promoted || is_refused, "{approved:?} are approved: {}; {}", told.states(), told.condition().1);
        // A series of rollbacks ends, whether what comes back completes its rollout or not.
        for completes in [false, true] {
            let mut failing = story.clone();
            let step = |story: &mut Story| {
                if completes {
                    story.completes();
                }
                story.gets_stuck().crashes().breaches();
            };
            // A version begins in one step, if only when what served before has failed, and fails in the next one at the latest.
            (0..=2 * story.rollout.versions.len()).for_each(|_| step(&mut failing));
            let ended = failing.rollout.clone();
            step(&mut failing);
            prop_assert_eq!((&failing.rollout.versions, failing.serve()), (&ended.versions, ended.serve.as_ref().map(|of| of.id.as_str())));
        }
    }
}
