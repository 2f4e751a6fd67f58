use std::collections::BTreeMap;

use jiff::{SignedDuration, Timestamp};
use k8s_openapi::apimachinery::pkg::apis::meta::v1::Time;

use super::*;
use crate::{
    api::{Base, Gate, Promotion, PromotionMode, TrainingKind},
    training::Truth,
};

mod approvals;
mod canaries;
mod gates;
mod histories;
mod readiness;
mod reloads;
mod restored;
mod rollbacks;
mod routes;
mod servers;
mod watch;

/// URI of the artifact store.
const STORE: &str = "file:///artifacts";

/// An object over time: what is trained, rolled out and requested, and what is decided on it.
#[derive(Clone)]
struct Story {
    policy: Policy,
    requests: Requests,
    store: &'static str,
    pruning: Option<PruningStatus>,
    readiness: Readiness,
    readings: BTreeMap<String, Reading>,
    rollout: Rollout,
    servers: Servers,
    now: Timestamp,
    /// Which versions begin as a canary.
    canary_versions: Option<CanaryVersions>,
    /// The verdict on a canary.
    verdict: Option<(String, Verdict)>,
    /// The metric source that canaries are counted by.
    source: Source,
    /// Whether a canary has ended without a verdict.
    lacks_data: bool,
}

impl Story {
    fn new(promotion: &Promotion) -> Self {
        let none = Outcome { status: Truth::Unknown, reason: "", message: String::new() };
        let rollout = Rollout {
            serve: None,
            why: "",
            canary: None,
            serving: None,
            rolling_out: None,
            elsewhere: None,
            versions: Vec::new(),
            last_rollback: None,
            watched_until: None,
            breached: Vec::new(),
            settings: None,
            is_recorded_first: false,
            condition: none,
            unapproved: None,
            held: None,
            reads_source: false,
            waiting_since: None,
            pinned: None,
            recorded_pin: None,
            wake_at: None,
        };
        let policy = Policy::new(promotion).expect("a valid policy");
        let now = Timestamp::UNIX_EPOCH;
        let servers = Servers { settings: some("settings"), ..Servers::default() };
        let requests = Requests::default();
        Self {
            policy,
            requests,
            store: STORE,
            pruning: None,
            readiness: Readiness::default(),
            readings: BTreeMap::new(),
            rollout,
            servers,
            now,
            canary_versions: None,
            verdict: None,
            source: Source::Answers,
            lacks_data: false,
        }
    }

    /// One reconcile. `rolled_out`: the version of which all servers are ready.
    fn reconcile(&mut self, rolled_out: Option<&str>) -> &mut Self {
        let mut meta = kube::core::ObjectMeta::default();
        (meta.name, meta.namespace) = (Some("packages".into()), Some("shop".into()));
        let before = self.rollout.clone();
        // Where nothing is rolled out, the Deployment is left as it is.
        let applied = before.serve.as_ref().map(|version| version.id.clone());
        self.servers.version = applied.or(self.servers.version.take());
        self.rollout = Rollout::decide(&Inputs {
            identity: &Identity::of(&meta, self.now),
            policy: &self.policy,
            requests: &self.requests,
            last_rollback: before.last_rollback.as_deref(),
            versions: &before.versions,
            pruning: self.pruning.as_ref(),
            store: self.store,
            serving: before.serving.as_deref(),
            rolling_out: before.rolling_out.as_deref(),
            pinned: before.recorded_pin.as_deref(),
            rolled_out,
            canary_versions: self.canary_versions,
            canary: before.canary.as_ref().filter(|_| !self.lacks_data).map(|version| version.id.as_str()),
            source: &self.source,
            verdict: self.verdict.as_ref().map(|(id, verdict)| (id.as_str(), verdict)),
            servers: &self.servers,
            settings: before.settings.as_deref(),
            watched_until: before.watched_until,
            breached: &before.breached,
            readiness: &self.readiness,
            readings: &self.readings,
            waiting_since: before.waiting_since,
            now: self.now,
        });
        self
    }

    /// A version is trained that measures so much.
    fn trained(&mut self, id: &str, precision: &str) -> &mut Self {
        self.add(Version { metrics: [("precision".to_owned(), precision.to_owned())].into(), ..version(id) })
    }

    fn add(&mut self, version: Version) -> &mut Self {
        self.rollout.versions.insert(0, version);
        let serving = self.rollout.serving.clone();
        self.reconcile(serving.as_deref())
    }

    /// The version that is to serve is ready.
    fn completes(&mut self) -> &mut Self {
        let ready = self.rollout.serve.as_ref().map(|version| version.id.clone());
        self.reconcile(ready.as_deref())
    }

    /// The rollout of the version that is to serve makes no progress within its deadline.
    fn gets_stuck(&mut self) -> &mut Self {
        self.servers.stuck = some("its rollout made no progress within 360 s: 1 of 1 pods are not ready");
        self.reconcile(None);
        self.servers.stuck = None;
        self
    }

    /// Servers of the version that is to serve crash in a loop.
    fn crashes(&mut self) -> &mut Self {
        self.servers.crashes = some("1 of 1 pods were restarted 4 times or more");
        self.reconcile(None);
        self.servers.crashes = None;
        self
    }

    /// The canary has ended without a verdict.
    fn ends_without_data(&mut self) -> &mut Self {
        self.lacks_data = true;
        let serving = self.rollout.serving.clone();
        self.reconcile(serving.as_deref());
        self.lacks_data = false;
        self
    }

    /// The alert on an objective fires.
    fn breaches(&mut self) -> &mut Self {
        let breaches = BTreeMap::from([("fast".to_owned(), "the objective fast is breached".to_owned())]);
        let serving = self.rollout.serving.clone();
        (self.servers.breaches, self.servers.doubtful) = (breaches, vec!["fast".into()]);
        self.reconcile(serving.as_deref());
        (self.servers.breaches, self.servers.doubtful) = Default::default();
        self
    }

    /// The annotations change.
    fn annotated(&mut self, change: impl FnOnce(&mut Requests)) -> &mut Self {
        change(&mut self.requests);
        let serving = self.rollout.serving.clone();
        self.reconcile(serving.as_deref())
    }

    /// The canary ends with this verdict.
    fn judged(&mut self, passed: bool) -> &mut Self {
        self.verdict = self.verdict_of(passed);
        let serving = self.rollout.serving.clone();
        self.reconcile(serving.as_deref())
    }

    /// The verdict on the canary, if there is one.
    fn verdict_of(&self, passed: bool) -> Option<(String, Verdict)> {
        let message = if passed { "no worse" } else { "errors are worse" };
        let verdict = Verdict { gate: "canary".into(), passed, message: message.into() };
        self.rollout.canary.as_ref().map(|version| (version.id.clone(), verdict))
    }

    fn serve(&self) -> Option<&str> {
        self.rollout.serve.as_ref().map(|version| version.id.as_str())
    }

    fn states(&self) -> String {
        let state = |version: &Version| format!("{}:{:?}", version.id, version.state);
        self.rollout.versions.iter().map(state).collect::<Vec<_>>().join(" ")
    }

    /// Reason and message of the condition.
    fn condition(&self) -> (&'static str, &str) {
        (self.rollout.condition.reason, &self.rollout.condition.message)
    }
}

fn version(id: &str) -> Version {
    Version {
        id: id.into(),
        state: VersionState::default(),
        kind: TrainingKind::Full,
        job: String::new(),
        uri: format!("{STORE}/{id}"),
        digest: String::new(),
        bytes: 100,
        metrics: BTreeMap::new(),
        samples: None,
        standard_errors: BTreeMap::new(),
        gates: Vec::new(),
        canary: None,
        data_through: None,
        base: None,
        due_at: Time(Timestamp::UNIX_EPOCH),
        started_at: None,
        trained_at: Time(Timestamp::UNIX_EPOCH),
        served_at: None,
    }
}

fn some(text: &str) -> Option<String> {
    Some(text.into())
}

/// A gate on the precision: at least 0.2, and at most 2 % worse.
fn gated() -> Promotion {
    let gate = Gate {
        metric: "precision".into(),
        minimum: some("0.20"),
        max_regression_percent: some("2"),
        ..Gate::default()
    };
    Promotion { gates: vec![gate], ..Promotion::default() }
}

fn without_gates() -> Story {
    Story::new(&Promotion::default())
}

/// Version `a` serves.
fn serving_a(promotion: &Promotion) -> Story {
    let mut story = Story::new(promotion);
    story.trained("a", "0.30").completes();
    story
}

#[test]
fn without_a_version_nothing_serves() {
    let mut story = without_gates();
    story.reconcile(None);
    assert_eq!((story.serve(), story.rollout.serving.clone(), story.rollout.rolling_out.clone()), (None, None, None));
    assert_eq!(story.condition().0, "NoVersion");
}

#[test]
fn the_newest_version_is_rolled_out_while_the_one_before_answers_requests() {
    let mut story = serving_a(&Promotion::default());
    story.trained("b", "0");
    assert_eq!(story.serve(), Some("b"));
    assert_eq!((story.rollout.serving.as_deref(), story.rollout.rolling_out.as_deref()), (Some("a"), Some("b")));
    assert_eq!(story.states(), "b:Candidate a:Serving");
}

#[test]
fn a_completed_rollout_makes_the_version_before_the_previous_one() {
    let mut story = serving_a(&Promotion::default());
    assert_eq!(story.trained("b", "0").completes().states(), "b:Serving a:Previous");
    assert_eq!((story.rollout.serving.as_deref(), story.rollout.rolling_out.clone()), (Some("b"), None));
    assert_eq!(story.trained("c", "0").completes().states(), "c:Serving b:Previous a:Superseded");
}

#[test]
fn a_version_that_never_answered_is_superseded_by_a_newer_one_that_does() {
    let mut story = serving_a(&Promotion::default());
    assert_eq!(story.trained("b", "0").trained("c", "0").states(), "c:Candidate b:Candidate a:Serving");
    assert_eq!(story.completes().states(), "c:Serving b:Superseded a:Previous");
}

#[test]
fn servers_of_an_older_version_complete_no_rollout() {
    let mut story = without_gates();
    story.rollout.versions = vec![version("b"), version("a")];
    story.reconcile(Some("a"));
    assert_eq!((story.rollout.serving.clone(), story.rollout.rolling_out.as_deref()), (None, Some("b")));
}

#[test]
fn a_version_in_an_earlier_artifact_store_is_not_rolled_out_and_goes_on_serving() {
    let story = serving_a(&Promotion::default());
    let moved = |store| {
        let mut story = Story { store, ..story.clone() };
        story.reconcile(Some("a")).rollout.clone()
    };
    let rollout = moved("s3://models");
    assert_eq!((rollout.serve, rollout.rolling_out), (None, None), "the Deployment is left as it is");
    assert_eq!((rollout.serving.as_deref(), rollout.elsewhere.as_deref()), (Some("a"), Some("a")));
    assert_eq!(rollout.versions, story.rollout.versions, "its state stays");
    assert!(moved("file:///art").elsewhere.is_some(), "a longer name of the same beginning is another store");
    assert_eq!(moved(STORE).elsewhere, None);
    let mut first = without_gates();
    first.trained("a", "0").store = "s3://models";
    assert_eq!(first.reconcile(None).rollout.elsewhere.as_deref(), Some("a"), "it was never rolled out");
}

#[test]
fn a_version_that_does_not_pass_its_gates_is_rejected_with_the_numbers() {
    let mut story = serving_a(&gated());
    story.trained("b", "0.18");
    assert_eq!((story.serve(), story.states().as_str()), (Some("a"), "b:Rejected a:Serving"));
    let message = "version b does not pass its gates: precision 0.18 is below the minimum 0.2, is 40 % worse than 0.30 of a, more than \
                   2 %; a serves";
    assert_eq!(story.condition(), ("VersionRejected", message));
    story.trained("c", "0.297");
    assert_eq!((story.serve(), story.states().as_str()), (Some("c"), "c:Candidate b:Rejected a:Serving"));
    let message =
        "version c passes its gates: precision 0.297 is at least 0.2, is 1 % worse than 0.30 of a, within 2 %";
    assert_eq!(story.condition(), ("AsSpecified", message));
}

#[test]
fn without_a_version_that_serves_a_rejected_one_does_not_either() {
    let mut story = Story::new(&gated());
    story.trained("a", "0.1").completes();
    assert_eq!((story.serve(), story.rollout.serving.clone(), story.states().as_str()), (None, None, "a:Rejected"));
    story.trained("b", "0.3").completes();
    assert_eq!(story.states(), "b:Serving a:Rejected");
}

#[test]
fn versions_that_did_not_serve_are_judged_again_when_the_gates_change() {
    let mut story = serving_a(&gated());
    story.trained("b", "0.18");
    story.policy = Policy::new(&Promotion::default()).expect("valid");
    assert_eq!(story.reconcile(Some("a")).serve(), Some("b"), "looser");
    story.policy = Policy::new(&gated()).expect("valid");
    assert_eq!(story.reconcile(Some("a")).serve(), Some("a"), "stricter, while it is being rolled out");
    assert_eq!(story.states(), "b:Rejected a:Serving");
}

#[test]
fn a_manual_promotion_waits_for_an_approval_of_that_version() {
    let mut story = Story::new(&Promotion { mode: PromotionMode::Manual, ..gated() });
    story.trained("a", "0.30").annotated(|requests| requests.approve = some("a")).completes();
    story.trained("b", "0.31");
    assert_eq!(story.serve(), Some("a"));
    let message = "version b waits for an approval (\"a\" is approved): precision 0.31 is at least 0.2, is not worse than 0.30 of a; \
                   kubectl -n shop annotate recommendermodel packages recommender.dev/approve=b --overwrite; a serves";
    assert_eq!(story.condition(), ("AwaitingApproval", message));
    assert_eq!(story.annotated(|requests| requests.approve = some("b")).serve(), Some("b"));
    assert_eq!(story.completes().states(), "b:Serving a:Previous");
    story.trained("c", "0.1").annotated(|requests| requests.approve = some("c"));
    assert_eq!((story.serve(), story.condition().0), (Some("b"), "VersionRejected"), "an approval passes no gate");
}

#[test]
fn a_rollback_takes_back_what_served_since_and_does_not_promote_it_again() {
    let mut story = serving_a(&gated());
    story.trained("b", "0.31").completes().trained("c", "0.32").completes();
    story.annotated(|requests| requests.rollback = some("a"));
    assert_eq!((story.serve(), story.states().as_str()), (Some("a"), "c:RolledBack b:RolledBack a:Superseded"));
    assert_eq!((story.rollout.serving.as_deref(), story.rollout.rolling_out.as_deref()), (Some("c"), Some("a")));
    assert_eq!(story.reconcile(Some("c")).serve(), Some("a"), "the rollback goes on");
    assert_eq!(story.completes().states(), "c:RolledBack b:RolledBack a:Serving");
    assert_eq!(story.condition(), ("RolledBack", "version c was rolled back, and is not promoted again; a serves"));
    assert_eq!(story.trained("d", "0.30").completes().states(), "d:Serving c:RolledBack b:RolledBack a:Previous");
    assert_eq!(story.reconcile(Some("d")).serve(), Some("d"), "the annotation was followed once");
    story.annotated(|requests| requests.rollback = None).annotated(|requests| requests.rollback = some("a"));
    assert_eq!(story.serve(), Some("a"), "again, once it was removed");
}

#[test]
fn a_rollback_during_a_rollout_returns_to_the_version_that_answers() {
    let mut story = serving_a(&Promotion::default());
    story.trained("b", "0").annotated(|requests| requests.rollback = some("a"));
    assert_eq!((story.serve(), story.states().as_str()), (Some("a"), "b:RolledBack a:Serving"));
    assert_eq!(story.completes().rollout.rolling_out, None);
}

#[test]
fn a_version_that_is_rolled_back_is_no_baseline_and_newer_candidates_are_judged_by_the_one_that_stands() {
    let mut story = serving_a(&gated());
    story.trained("b", "0.90").completes().annotated(|requests| requests.rollback = some("a"));
    assert_eq!(story.trained("c", "0.30").serve(), Some("c"), "not worse than a");
}

#[test]
fn a_pin_keeps_a_version_serving_until_it_is_removed() {
    let mut story = serving_a(&gated());
    story.trained("b", "0.31").completes().annotated(|requests| requests.pin = some("a")).completes();
    assert_eq!(story.states(), "b:Candidate a:Serving");
    story.trained("c", "0.32");
    assert_eq!(story.serve(), Some("a"));
    let message = "version a is pinned by the annotation recommender.dev/pin; c is newer and waits until it is removed";
    assert_eq!(story.condition(), ("Pinned", message));
    assert_eq!(story.annotated(|requests| requests.pin = None).serve(), Some("c"));
}

#[test]
fn a_pin_that_is_removed_during_its_rollout_leaves_what_serves() {
    let mut story = serving_a(&gated());
    story.trained("b", "0.31").completes().annotated(|requests| requests.pin = some("a"));
    assert_eq!(story.annotated(|requests| requests.pin = None).serve(), Some("b"));
    assert_eq!(story.states(), "b:Serving a:Previous");
}

#[test]
fn a_first_rollout_goes_on_without_its_pin_because_nothing_else_serves() {
    let pinned = |mode: PromotionMode| {
        let mut story = Story::new(&Promotion { mode, ..Promotion::default() });
        story.annotated(|of| of.is_paused = true).trained("a", "0.1").annotated(|of| of.pin = some("a"));
        assert_eq!(story.rollout.rolling_out.as_deref(), Some("a"));
        (story.requests.pin, story.requests.is_paused) = (None, false);
        story
    };
    let mut paused = pinned(PromotionMode::Automatic);
    paused.requests.is_paused = true;
    let mut strict = pinned(PromotionMode::Automatic);
    strict.policy = Policy::new(&gated()).expect("valid");
    let unapproved = pinned(PromotionMode::Manual);
    for mut story in [paused, strict, unapproved] {
        let rollout = &story.reconcile(None).rollout;
        assert_eq!((rollout.rolling_out.as_deref(), rollout.condition.reason), (Some("a"), "AsSpecified"));
        assert_eq!(story.completes().rollout.serving.as_deref(), Some("a"));
    }
}

#[test]
fn a_version_that_was_rolled_back_can_be_pinned() {
    let mut story = serving_a(&Promotion::default());
    story.trained("b", "0").completes().annotated(|requests| requests.rollback = some("a")).completes();
    story.annotated(|requests| *requests = Requests { pin: some("b"), ..Requests::default() }).completes();
    assert_eq!((story.serve(), story.states().as_str()), (Some("b"), "b:Serving a:Previous"));
}

#[test]
fn while_promotion_is_paused_new_versions_wait_and_a_rollout_goes_on() {
    let mut story = serving_a(&gated());
    story.trained("b", "0.31").annotated(|requests| requests.is_paused = true);
    assert_eq!(story.serve(), Some("b"), "it was being rolled out");
    story.completes().trained("c", "0.31");
    assert_eq!((story.serve(), story.condition().0), (Some("b"), "Paused"));
    assert_eq!(story.annotated(|requests| requests.is_paused = false).serve(), Some("c"));
}

#[test]
fn a_version_is_refused_with_its_base() {
    let on = |id: &str, base: &str| {
        let time = || Time(Timestamp::UNIX_EPOCH);
        let base = Base { version: base.into(), full: "a".into(), full_trained_at: time(), data_from: time() };
        Version { base: Some(base), kind: TrainingKind::Partial, ..version(id) }
    };
    let mut story = serving_a(&Promotion::default());
    story.add(on("b", "a")).completes().annotated(|requests| requests.rollback = some("a")).completes();
    story.add(on("c", "b")).add(on("d", "c"));
    assert_eq!((story.serve(), story.states().as_str()), (Some("a"), "d:Rejected c:Rejected b:RolledBack a:Serving"));
    assert_eq!(story.condition().1, "version d does not pass its gates: its base c did not pass its gates; a serves");
    assert_eq!(story.add(on("e", "a")).serve(), Some("e"));
}

#[test]
fn a_good_version_is_promoted_again_after_a_pin_although_a_newer_one_was_rolled_back() {
    let mut story = serving_a(&Promotion::default());
    story.trained("b", "0").completes().trained("c", "0").completes();
    story.annotated(|requests| requests.rollback = some("b")).completes();
    story.annotated(|requests| *requests = Requests { pin: some("a"), ..Requests::default() }).completes();
    assert_eq!(story.states(), "c:RolledBack b:Candidate a:Serving");
    assert_eq!(story.annotated(|requests| requests.pin = None).serve(), Some("b"));
}

#[test]
fn a_first_rollout_that_has_begun_goes_on_when_the_gates_change() {
    let mut story = Story::new(&Promotion { max_data_age_hours: Some(48), ..Promotion::default() });
    story.add(Version { data_through: Some(Time(Timestamp::UNIX_EPOCH)), ..version("a") });
    assert_eq!(story.serve(), Some("a"));
    story.now = Timestamp::UNIX_EPOCH + SignedDuration::from_hours(99);
    assert_eq!(story.reconcile(None).serve(), Some("a"), "its data were not too old when it was promoted");
    story.policy = Policy::new(&gated()).expect("valid");
    assert_eq!(story.reconcile(None).serve(), Some("a"), "nothing else serves");
}

#[test]
fn the_data_of_a_version_that_is_being_rolled_out_do_not_become_too_old() {
    let mut story = serving_a(&Promotion { max_data_age_hours: Some(48), ..Promotion::default() });
    let mut first = Story::new(&Promotion::default());
    first.trained("a", "0.30").completes();
    story.rollout = first.rollout;
    story.add(Version { data_through: Some(Time(Timestamp::UNIX_EPOCH)), ..version("b") });
    story.now = Timestamp::UNIX_EPOCH + SignedDuration::from_hours(99);
    assert_eq!(story.reconcile(Some("a")).serve(), Some("b"));
}

#[test]
fn a_version_that_waits_is_judged_again_when_its_data_become_too_old() {
    let promotion = Promotion { max_data_age_hours: Some(48), ..Promotion::default() };
    for hold in [true, false] {
        let mode = if hold { PromotionMode::Automatic } else { PromotionMode::Manual };
        let mut story = serving_a(&promotion);
        let mut first = Story::new(&Promotion::default());
        first.trained("a", "0.30").completes();
        story.rollout = first.rollout;
        story.policy = Policy::new(&Promotion { mode, ..promotion.clone() }).expect("valid");
        story.annotated(|requests| requests.is_paused = hold);
        story.add(Version { data_through: Some(Time(Timestamp::UNIX_EPOCH)), ..version("b") });
        let due = Timestamp::UNIX_EPOCH + SignedDuration::from_hours(48);
        assert_eq!(
            (story.reconcile(None).states().as_str(), story.rollout.wake_at),
            ("b:Candidate a:Serving", Some(due))
        );
        story.now = due + SignedDuration::from_secs(1);
        assert_eq!(story.reconcile(None).states(), "b:Rejected a:Serving");
        assert_eq!(story.rollout.wake_at, None, "nothing more happens by itself");
    }
}

#[test]
fn what_an_approved_version_waits_for_is_reported() {
    let mut story = Story::new(&Promotion { mode: PromotionMode::Manual, ..gated() });
    story.trained("a", "0.30").annotated(|requests| requests.approve = some("a")).completes();
    story.annotated(|requests| requests.is_paused = true).trained("b", "0.31");
    assert_eq!(story.annotated(|requests| requests.approve = some("b")).condition().0, "Paused");
}

#[test]
fn requests_that_cannot_be_followed_are_reported_with_what_can() {
    let mut story = serving_a(&gated());
    story.trained("b", "0.31").completes().trained("c", "0.1");
    type Case = (fn(&mut Requests), &'static str);
    let cases: [Case; 6] = [
        (|of| of.pin = some("full-9"), "pin: \"full-9\" names no version of this object; write one of b, a; b serves"),
        (
            |of| of.pin = some("c"),
            "pin: \"c\" names a version that did not pass its gates; write one of b, a; b serves",
        ),
        (|of| of.rollback = some("x"), "rollback: \"x\" names no version of this object; write one of b, a; b serves"),
        (
            |of| of.rollback = some("c"),
            "rollback: \"c\" names a version that cannot be rolled back to, because it is Rejected; write one of b, a; b serves",
        ),
        (
            |of| (of.rollback, of.pin) = (some("a"), some("b")),
            "rollback: \"a\" waits as long as recommender.dev/pin keeps b serving; b serves",
        ),
        (|of| of.pin = some("../a"), "pin: \"../a\" names no version of this object; write one of b, a; b serves"),
    ];
    for (change, message) in cases {
        let mut story = story.clone();
        story.annotated(change);
        assert_eq!((story.serve(), story.condition().0), (Some("b"), "InvalidRequest"), "{message}");
        assert_eq!(story.condition().1, format!("annotation recommender.dev/{message}"));
    }
}

#[test]
fn a_version_that_was_pruned_cannot_be_requested_and_the_reason_states_it() {
    let mut story = serving_a(&gated());
    story.trained("b", "0.31").completes();
    let pending = [("old".to_owned(), "file:///artifacts/old".to_owned())].into();
    story.pruning = Some(PruningStatus { pruned: vec!["gone".into()], pending, ..PruningStatus::default() });
    for (id, what) in [("gone", "was deleted"), ("old", "is being deleted")] {
        let why =
            format!("{id:?} names a version whose artifact {what} (spec.training.prune); write one of b, a; b serves");
        let mut pinned = story.clone();
        pinned.annotated(|requests| requests.pin = some(id));
        assert_eq!(
            (pinned.serve(), pinned.condition().1),
            (Some("b"), format!("annotation recommender.dev/pin: {why}").as_str())
        );
        let mut back = story.clone();
        back.annotated(|requests| requests.rollback = some(id));
        assert_eq!(
            (back.serve(), back.condition().1),
            (Some("b"), format!("annotation recommender.dev/rollback: {why}").as_str())
        );
    }
}

#[test]
fn a_pin_that_cannot_be_followed_keeps_nothing_from_being_rolled_back() {
    let mut story = serving_a(&gated());
    story.trained("b", "0.31").completes();
    story.annotated(|of| (of.pin, of.rollback) = (some("full-9"), some("a")));
    assert_eq!((story.serve(), story.states().as_str()), (Some("a"), "b:RolledBack a:Previous"));
    let message =
        "annotation recommender.dev/pin: \"full-9\" names no version of this object; write one of b, a; a serves";
    assert_eq!(story.condition(), ("InvalidRequest", message));
}

#[test]
fn a_rollout_that_goes_on_while_the_store_is_another_one_is_known_to_be_complete() {
    let mut story = serving_a(&Promotion::default());
    story.trained("b", "0").store = "s3://models";
    let rollout = story.reconcile(None).rollout.clone();
    assert_eq!((rollout.serve, rollout.elsewhere.as_deref()), (None, Some("a")), "the Deployment is left as it is");
    let rollout = story.reconcile(Some("b")).rollout.clone();
    assert_eq!((rollout.serving.as_deref(), rollout.rolling_out), (Some("b"), None));
    assert_eq!((rollout.elsewhere.as_deref(), story.states().as_str()), (Some("b"), "b:Serving a:Previous"));
    let mut first = without_gates();
    first.trained("a", "0").store = "s3://models";
    assert_eq!(first.reconcile(None).reconcile(Some("a")).rollout.serving.as_deref(), Some("a"));
}

#[test]
fn what_is_requested_and_has_to_wait_is_kept() {
    let with = |id: &str, state| Version { state, ..version(id) };
    let prior = RecommenderModelStatus {
        versions: vec![
            with("c", VersionState::Candidate),
            with("b", VersionState::Candidate),
            with("a", VersionState::Superseded),
        ],
        last_rollback: some("z"),
        ..RecommenderModelStatus::default()
    };
    let of = |requests: Requests| in_use(&prior, &requests);
    assert_eq!(of(Requests { approve: some("b"), ..Requests::default() }), ["b"], "it waits for its inputs");
    assert_eq!(of(Requests { approve: some("a"), ..Requests::default() }), [""; 0], "it was superseded");
    assert_eq!(of(Requests { rollback: some("a"), ..Requests::default() }), ["a"], "it waits for the end of a pin");
    assert_eq!(of(Requests { rollback: some("z"), ..Requests::default() }), [""; 0], "it was followed");
}

/// A version of a partial training.
fn based(id: &str, on: &str, full: &str) -> Version {
    let base = Base {
        version: on.into(),
        full: full.into(),
        full_trained_at: Time(Timestamp::UNIX_EPOCH),
        data_from: Time(Timestamp::UNIX_EPOCH),
    };
    Version { kind: TrainingKind::Partial, base: Some(base), ..version(id) }
}
