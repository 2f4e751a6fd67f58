use std::collections::{BTreeMap, BTreeSet};

use k8s_openapi::apimachinery::pkg::apis::meta::v1::Time;
use proptest::prelude::*;

use super::*;
use crate::{
    api::{Base, ServingStatus, TrainingKind, TrainingStatus, Trigger, VersionState},
    model::promotion::Requests,
    promotion,
    training::{NewRun, Outcome, RunState, Truth, bounded},
};

/// URI below which the versions are stored.
const STORE: &str = "file:///artifacts/shop/packages";

fn at(seconds: i64) -> Timestamp {
    Timestamp::UNIX_EPOCH + SignedDuration::from_secs(seconds)
}

fn version(id: &str, base: Option<(&str, &str)>) -> Version {
    let time = Time(at(0));
    let base = base.map(|(base, full)| Base {
        version: base.into(),
        full: full.into(),
        full_trained_at: time.clone(),
        data_from: time.clone(),
    });
    Version {
        id: id.into(),
        state: VersionState::Candidate,
        kind: TrainingKind::of_version(id),
        job: format!("packages-{id}"),
        uri: format!("{STORE}/{id}/model.npz"),
        digest: "sha256:0".into(),
        bytes: 1,
        metrics: BTreeMap::new(),
        samples: None,
        standard_errors: BTreeMap::new(),
        gates: Vec::new(),
        canary: None,
        data_through: None,
        base,
        due_at: time.clone(),
        started_at: None,
        trained_at: time,
        served_at: None,
    }
}

fn training(versions: Vec<Version>) -> Training {
    Training {
        start: None,
        replace: Vec::new(),
        remove: Vec::new(),
        status: TrainingStatus::default(),
        versions,
        condition: Outcome { status: Truth::True, reason: "Trained", message: String::new() },
        wake_at: None,
    }
}

fn plan() -> Plan {
    Plan { base: "packages".into(), output_base: STORE.into(), claim: None, suspended: false }
}

fn run(id: &str, base: Option<(&str, &str)>) -> ObservedRun {
    ObservedRun {
        job: format!("packages-{id}"),
        uid: id.into(),
        version: id.into(),
        kind: TrainingKind::of_version(id),
        trigger: Trigger::Schedule,
        due: at(0),
        template: "t".into(),
        request: None,
        cause: None,
        base: version(id, base).base,
        started_at: None,
        state: RunState::Running,
    }
}

/// An object over several reconciles.
struct Story {
    plan: Option<Plan>,
    status: RecommenderModelStatus,
    training: Training,
    used: Vec<String>,
    runs: Vec<ObservedRun>,
    jobs: Vec<ObservedPrune>,
    now: i64,
    decision: Decision,
}

impl Story {
    fn new(ids: &[&str]) -> Self {
        let versions: Vec<Version> = ids.iter().map(|id| version(id, None)).collect();
        Self {
            plan: Some(plan()),
            status: RecommenderModelStatus { versions: versions.clone(), ..RecommenderModelStatus::default() },
            training: training(versions),
            used: Vec::new(),
            runs: Vec::new(),
            jobs: Vec::new(),
            now: 100_000,
            decision: Decision::default(),
        }
    }

    fn decide(&self) -> Decision {
        decide(&Inputs {
            plan: self.plan.as_ref(),
            prior: &self.status,
            training: &self.training,
            used: &self.used,
            runs: &self.runs,
            has_trainer: false,
            jobs: &self.jobs,
            now: at(self.now),
        })
    }

    /// One reconcile: Jobs are created and deleted, and the status is written.
    fn reconcile(&mut self) -> &mut Self {
        let decision = self.decide();
        self.apply(&decision);
        self.status.versions.clone_from(&self.training.versions);
        self.status.pruning.clone_from(&decision.status);
        self.decision = decision;
        self
    }

    /// Creating a Job twice is harmless.
    fn apply(&mut self, decision: &Decision) {
        self.jobs.retain(|job| decision.remove.iter().all(|(name, _)| *name != job.job));
        if let Some(start) = &decision.start
            && self.jobs.iter().all(|job| job.job != start.job)
        {
            let versions = start.versions.iter().map(|(id, _)| id.clone()).collect();
            let (job, uid) = (start.job.clone(), start.job.clone());
            self.jobs.push(ObservedPrune { job, uid, versions, blocked: None, end: None });
        }
    }

    /// These versions are kept from now on.
    fn keeps(&mut self, ids: &[&str]) -> &mut Self {
        self.training.versions = ids.iter().map(|id| version(id, None)).collect();
        self.reconcile()
    }

    /// The Job ends now.
    fn ends(&mut self, result: Result<(), &str>) -> &mut Self {
        let now = at(self.now);
        let active = self.jobs.iter_mut().find(|job| job.end.is_none()).expect("a Job is active");
        active.end = Some((now, result.map_err(Into::into)));
        self.reconcile()
    }

    fn after(&mut self, seconds: i64) -> &mut Self {
        self.now += seconds;
        self.reconcile()
    }

    fn pruning(&self) -> PruningStatus {
        self.status.pruning.clone().unwrap_or_default()
    }

    /// The Job that is started.
    fn started(&self) -> Option<(&str, Vec<&str>)> {
        let start = self.decision.start.as_ref()?;
        Some((start.job.as_str(), start.versions.iter().map(|(id, _)| id.as_str()).collect()))
    }
}

#[test]
fn a_version_that_leaves_the_status_is_deleted_once_that_is_written() {
    let mut story = Story::new(&["full-3", "full-2", "full-1"]);
    story.keeps(&["full-3", "full-2"]);
    assert_eq!(story.started(), None, "a crash now would leave it in the status");
    assert_eq!(story.decision.wake_at, Some(at(story.now)));
    assert_eq!(story.pruning().pending, [("full-1".to_owned(), format!("{STORE}/full-1"))].into());
    story.reconcile();
    assert_eq!(story.started(), Some(("packages-prune-1", vec!["full-1"])));
    story.ends(Ok(()));
    let status = story.pruning();
    assert_eq!((status.pending.len(), status.pruned, status.last_job), (0, vec!["full-1".to_owned()], 1));
    assert_eq!(status.message.as_deref(), Some("Job packages-prune-1 deleted the artifacts of full-1"));
    assert_eq!(story.reconcile().started(), None);
    assert_eq!(story.jobs.len(), 1, "its log can be read");
}

#[test]
fn what_leaves_within_the_hour_is_deleted_together_and_the_job_before_is_removed() {
    let mut story = Story::new(&["full-4", "full-3", "full-2", "full-1"]);
    story.keeps(&["full-4", "full-3", "full-2"]).reconcile().ends(Ok(()));
    story.after(60).keeps(&["full-4", "full-3"]).after(60).keeps(&["full-4"]);
    assert_eq!((story.started(), story.decision.wake_at), (None, Some(at(103_600))));
    story.after(3480);
    assert_eq!(story.started(), Some(("packages-prune-2", vec!["full-2", "full-3"])));
    story.ends(Ok(())).reconcile();
    assert_eq!(story.jobs.iter().map(|job| job.job.as_str()).collect::<Vec<_>>(), ["packages-prune-2"]);
}

#[test]
fn a_failure_is_reported_and_tried_again_after_a_pause_that_doubles() {
    let mut story = Story::new(&["full-2", "full-1"]);
    story.keeps(&["full-2"]).reconcile();
    for (failures, pause) in [(1, 300), (2, 600), (3, 1200)] {
        story.ends(Err("it ended with exit code 2: 403 from the store"));
        let status = story.pruning();
        assert_eq!((status.failures, status.pending.len(), status.pruned.len()), (failures, 1, 0));
        let message = format!(
            "Job packages-prune-{failures}, which is to delete the artifacts of full-1, failed: it ended with exit code 2: 403 \
             from the store"
        );
        assert_eq!(status.message, Some(message));
        assert_eq!((story.started(), story.decision.wake_at), (None, Some(at(story.now + pause))));
        assert!(story.after(pause - 1).started().is_none() && story.after(1).started().is_some(), "{pause}");
    }
    let long = PruningStatus { failures: 40, finished_at: Some(Time(at(0))), ..PruningStatus::default() };
    assert_eq!(due(&long), Some(at(86_400)), "at most a day");
    story.ends(Ok(()));
    assert_eq!(story.pruning().failures, 0);
}

#[test]
fn a_training_waits_for_no_job_and_no_job_starts_beside_one() {
    let mut story = Story::new(&["full-2", "full-1"]);
    story.keeps(&["full-2"]);
    story.runs = vec![run("full-3", None)];
    assert_eq!(story.reconcile().started(), None);
    story.runs.clear();
    story.training.start = Some(NewRun {
        version: "full-3".into(),
        kind: TrainingKind::Full,
        trigger: Trigger::Schedule,
        due: at(0),
        request: None,
        cause: None,
        base: None,
    });
    assert_eq!(story.reconcile().started(), None);
    story.training.start = None;
    story.plan = Some(Plan { suspended: true, ..plan() });
    story.reconcile();
    assert_eq!((story.started(), story.decision.wake_at), (None, None), "training.suspend stops it, too");
    story.plan = Some(plan());
    assert!(story.reconcile().started().is_some());
}

#[test]
fn what_is_in_use_or_a_base_stays_until_nothing_needs_it() {
    let mut story = Story::new(&["partial-3", "partial-2", "full-1"]);
    story.training.versions = vec![version("partial-3", Some(("partial-2", "full-1")))];
    story.reconcile().reconcile();
    assert_eq!((story.started(), story.pruning().pending.len()), (None, 2), "its base, and the root of its lineage");
    story.training.versions = vec![version("full-4", None)];
    story.runs = vec![run("partial-5", Some(("partial-3", "full-1")))];
    story.reconcile().reconcile();
    story.runs[0].state = RunState::Succeeded { finished_at: at(0), termination_message: None, warning: None };
    story.used = vec!["partial-2".into()];
    assert_eq!(story.reconcile().started(), Some(("packages-prune-1", vec!["full-1", "partial-3"])));
}

#[test]
fn nothing_is_deleted_without_the_field_nor_in_an_earlier_store() {
    let mut story = Story::new(&["full-2", "full-1"]);
    story.plan = None;
    story.keeps(&["full-2"]).reconcile();
    assert_eq!((story.started(), story.status.pruning.clone()), (None, None));
    let mut moved = Story::new(&["full-2", "full-1"]);
    moved.keeps(&["full-2"]);
    moved.plan = Some(Plan { output_base: "s3://other/shop/packages".into(), ..plan() });
    moved.reconcile();
    assert_eq!((moved.started(), moved.status.pruning.clone()), (None, None));
    let mut taken_over = Story::new(&["full-2", "full-1"]);
    taken_over.status.versions[1].bytes = 0;
    taken_over.keeps(&["full-2"]).reconcile().reconcile();
    assert_eq!(taken_over.started(), None, "another object may have trained and serve it");
    let mut elsewhere = Story::new(&["full-2", "full-1"]);
    elsewhere.status.versions[1].uri = format!("{STORE}/full-10/model.npz");
    elsewhere.keeps(&["full-2"]).reconcile();
    assert_eq!(elsewhere.started(), None, "what is not below its own URI may be another version's");
}

#[test]
fn a_job_that_cannot_start_is_reported() {
    let mut story = Story::new(&["full-2", "full-1"]);
    story.keeps(&["full-2"]).reconcile();
    story.jobs[0].blocked = Some("the image cannot be pulled".into());
    story.reconcile();
    let cannot = "Job packages-prune-1 cannot start: the image cannot be pulled";
    assert_eq!(story.pruning().message.as_deref(), Some(cannot));
    assert_eq!(story.decision.reported(Some("refused")).and_then(|of| of.message).as_deref(), Some("refused"));
}

#[test]
fn a_version_whose_artifact_was_deleted_is_none_any_more_unless_it_serves() {
    let pruned = vec!["full-1".to_owned(), "full-2".to_owned()];
    let mut status = RecommenderModelStatus {
        versions: ["full-3", "full-2", "full-1"].iter().map(|id| version(id, None)).collect(),
        pruning: Some(PruningStatus { pruned, ..PruningStatus::default() }),
        serving: Some(ServingStatus { version: Some("full-2".into()), ..ServingStatus::default() }),
        ..RecommenderModelStatus::default()
    };
    let ids = |status: &RecommenderModelStatus| known(status).into_iter().map(|of| of.id).collect::<Vec<_>>();
    assert_eq!(ids(&status), ["full-3", "full-2"]);
    status.pruning = None;
    assert_eq!(ids(&status).len(), 3);
}

/// What happens in a random history.
#[derive(Clone, Debug)]
enum Step {
    /// A version is trained: a partial one on that of this index, or a full one.
    Trained(Option<prop::sample::Index>),
    /// A partial run on that of this index starts, and goes on.
    Runs(prop::sample::Index),
    /// It is gone.
    RunGone,
    /// A version serves, is rolled out, pinned, and served before.
    Used([prop::sample::Index; 4]),
    /// A Job ends.
    Ends(bool),
    /// Time passes, in seconds.
    Passes(i64),
    /// The operator crashes after it has created Jobs, and before it has written the status.
    Crash,
}

fn step() -> impl Strategy<Value = Step> {
    let index = any::<prop::sample::Index>;
    prop_oneof![
        4 => prop::option::of(index()).prop_map(Step::Trained),
        1 => index().prop_map(Step::Runs),
        2 => Just(Step::RunGone),
        1 => [index(), index(), index(), index()].prop_map(Step::Used),
        3 => any::<bool>().prop_map(Step::Ends),
        3 => (0_i64..20_000).prop_map(Step::Passes),
        1 => Just(Step::Crash),
    ]
}

/// An object whose versions leave the status as they do in a reconcile.
struct History {
    story: Story,
    requests: Requests,
    kept: usize,
    trained: usize,
    deleted: BTreeSet<String>,
}

impl History {
    fn id(&self, index: prop::sample::Index) -> Option<String> {
        let versions = &self.story.status.versions;
        (!versions.is_empty()).then(|| versions[index.index(versions.len())].id.clone())
    }

    /// One reconcile with a new version.
    fn reconcile(&mut self, new: Option<Version>, has_crashed: bool) {
        let in_use = promotion::in_use(&self.story.status, &self.requests);
        let versions = new.into_iter().chain(known(&self.story.status)).collect();
        self.story.training.versions = bounded(versions, self.kept, &in_use);
        self.story.used = in_use;
        let decision = self.story.decide();
        self.check(&decision);
        if has_crashed {
            self.story.apply(&decision);
        } else {
            self.story.reconcile();
        }
    }

    /// A Job names nothing that serves, served before, is pinned, is rolled out, is kept, or is a base of what is kept or trained.
    fn check(&self, decision: &Decision) {
        let Some(start) = &decision.start else { return };
        let kept = &self.story.training.versions;
        let bases = kept.iter().filter_map(|of| of.base.as_ref());
        let of_runs = self.story.runs.iter().filter_map(|run| run.base.as_ref());
        let bases: BTreeSet<&String> = bases.chain(of_runs).flat_map(|base| [&base.version, &base.full]).collect();
        for (id, uri) in &start.versions {
            assert!(kept.iter().all(|of| of.id != *id), "{id} is kept");
            assert!(self.story.status.versions.iter().all(|of| of.id != *id), "{id} is in the status");
            assert!(!bases.contains(id) && !self.story.used.contains(id), "{id} is needed");
            assert!(kept.iter().all(|of| !of.is_in(uri)), "{uri} has another version");
        }
        assert!(self.story.jobs.iter().all(|job| job.end.is_some()), "one Job at a time");
        assert!(self.story.runs.is_empty(), "none beside a training");
    }

    fn step(&mut self, step: Step) {
        match step {
            Step::Trained(on) => {
                self.trained += 1;
                let base = on.and_then(|index| self.id(index));
                let base = base.and_then(|id| self.story.status.versions.iter().find(|of| of.id == id).cloned());
                let root = |of: &Version| of.base.as_ref().map_or_else(|| of.id.clone(), |base| base.full.clone());
                let kind = if base.is_some() { "partial" } else { "full" };
                let roots = base.as_ref().map(|base| (base.id.as_str(), root(base)));
                let based = roots.as_ref().map(|(base, full)| (*base, full.as_str()));
                self.reconcile(Some(version(&format!("{kind}-{}", self.trained), based)), false);
            }
            Step::Runs(index) => {
                let base = self.id(index).filter(|_| self.story.runs.is_empty());
                self.story.runs.extend(base.map(|id| run("partial-0", Some((&id, &id)))));
            }
            Step::RunGone => self.story.runs.clear(),
            Step::Used([serving, rolling_out, pinned, before]) => {
                let (serving, rolling_out) = (self.id(serving), self.id(rolling_out));
                self.story.status.serving =
                    Some(ServingStatus { version: serving, rolling_out, ..ServingStatus::default() });
                self.requests.pin = self.id(pinned);
                let before = self.id(before);
                for version in &mut self.story.status.versions {
                    let is_before = before.as_ref() == Some(&version.id);
                    version.state = if is_before { VersionState::Previous } else { VersionState::Superseded };
                }
            }
            Step::Ends(succeeds) => {
                let now = at(self.story.now);
                if let Some(job) = self.story.jobs.iter_mut().find(|job| job.end.is_none()) {
                    job.end = Some((now, if succeeds { Ok(()) } else { Err("no".into()) }));
                    self.deleted.extend(job.versions.iter().cloned());
                }
                self.reconcile(None, false);
            }
            Step::Passes(seconds) => {
                self.story.now += seconds;
                self.reconcile(None, false);
            }
            Step::Crash => self.reconcile(None, true),
        }
        let gone = self.story.status.versions.iter().find(|version| self.deleted.contains(&version.id));
        assert_eq!(gone, None, "nothing that was deleted is in the status");
    }
}

proptest! {
    #[test]
    fn no_history_deletes_what_serves_served_before_is_pinned_or_is_a_base(
        kept in 2_usize..6,
        steps in prop::collection::vec(step(), 1..120),
    ) {
        let story = Story::new(&[]);
        let mut history =
            History { story, requests: Requests::default(), kept, trained: 0, deleted: BTreeSet::new() };
        for step in steps {
            history.step(step);
        }
        // Once nothing else happens, all that left the status is deleted, but for what something is based on.
        history.story.runs.clear();
        for _ in 0..4 {
            history.step(Step::Passes(100_000));
            history.step(Step::Ends(true));
        }
        let needed = protected(&Inputs {
            plan: None,
            prior: &history.story.status,
            training: &history.story.training,
            used: &history.story.used,
            runs: &[],
            has_trainer: false,
            jobs: &[],
            now: at(0),
        }).into_iter().cloned().collect::<BTreeSet<_>>();
        let pending: Vec<_> = history.story.pruning().pending.into_keys().collect();
        prop_assert!(pending.iter().all(|id| needed.contains(id)), "{pending:?} is never deleted");
    }
}

#[test]
fn what_is_on_an_earlier_claim_is_not_reported_as_deleted() {
    let on = |claim: &str| Some(Plan { claim: Some(claim.into()), ..plan() });
    let mut story = Story::new(&["full-3", "full-2", "full-1"]);
    story.plan = on("models");
    story.keeps(&["full-3", "full-2"]);
    let pending = |story: &Story| {
        let status = story.status.pruning.clone().unwrap_or_default();
        (status.pending.into_keys().collect::<Vec<_>>(), status.claim, status.claim_since.map(|since| since.0))
    };
    assert_eq!(pending(&story), (vec!["full-1".into()], Some("models".into()), None));
    // The Job would find nothing below file:///artifacts of the new claim.
    story.plan = on("models-2");
    story.reconcile();
    let since = Some(at(story.now));
    assert_eq!((story.started(), pending(&story)), (None, (vec![], Some("models-2".into()), since)));
    story.keeps(&["full-3"]).reconcile().reconcile();
    assert_eq!((story.started(), pending(&story).0), (None, vec![]), "full-2 is on the earlier one as well");
    // What was trained since is deleted.
    let mut new = version("full-4", None);
    new.started_at = Some(Time(at(story.now)));
    story.status.versions.insert(0, new.clone());
    story.training.versions.insert(0, new);
    story.reconcile();
    story.keeps(&["full-3"]);
    assert_eq!(pending(&story).0, ["full-4"]);
    story.reconcile();
    assert!(story.started().is_some());
}
