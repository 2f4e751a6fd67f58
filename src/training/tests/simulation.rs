//! A simulated cluster: Jobs, a status, a clock. Writes are made one after the other and may stop after any of them.

use jiff::{SignedDuration, Timestamp};
use serde::{Serialize, de::DeserializeOwned};

use super::at;
use crate::{
    api::{TrainingKind, TrainingStatus, Version},
    model::{
        readiness::Readiness,
        schedule::Schedule,
        triggers::{Condition, TriggerPlan},
    },
    training::{Decision, Inputs, JobsKept, Met, NewRun, ObservedRun, PartialPlan, Plan, RunState, Signals, decide},
};

/// URI below which versions are stored.
pub const OUTPUT: &str = "s3://models/shop/packages";

/// Everything that persists over a restart of the operator, and the settings.
#[derive(Clone, Debug, PartialEq)]
pub struct Simulation {
    pub plan: Plan,
    pub status: Option<TrainingStatus>,
    pub versions: Vec<Version>,
    pub in_use: Vec<String>,
    pub jobs: Vec<ObservedRun>,
    pub now: Timestamp,
    /// What ticks observe of the triggers.
    pub signals: Signals,
    /// Since when a run that is due waits for others, and why.
    pub held: Option<(Timestamp, String)>,
    pub runs_complete: bool,
    pub has_trainer: bool,
    /// Whether the status is written before the Job is created.
    pub status_first: bool,
}

#[derive(Clone, Debug)]
enum Write {
    Delete(Box<ObservedRun>),
    Create(Box<NewRun>),
    Status,
}

impl Simulation {
    /// An object created at noon of 20 November 2026 (UTC), without a schedule.
    pub fn new() -> Self {
        let created_at = at("2026-11-20T12:00:00Z");
        Self {
            plan: Plan {
                is_gated: false,
                versions_kept: 5,
                uid: "6f9c".into(),
                namespace: "shop".into(),
                base: "packages".into(),
                created_at,
                schedule: None,
                template: "settings-1".into(),
                partial: None,
                request: None,
                triggers: Vec::new(),
                readiness: Readiness::default(),
                output_base: OUTPUT.into(),
                store: "s3://models".into(),
                suspended: false,
                delay: SignedDuration::ZERO,
                starting_deadline: None,
                jobs_kept: JobsKept { successful: 3, failed: 1 },
            },
            status: None,
            versions: Vec::new(),
            in_use: Vec::new(),
            jobs: Vec::new(),
            now: at("2026-11-20T12:00:00.7Z"),
            signals: Signals::default(),
            held: None,
            runs_complete: true,
            has_trainer: false,
            status_first: false,
        }
    }

    pub fn scheduled(cron: &str) -> Self {
        let mut simulation = Self::new();
        simulation.plan.schedule = Some(Schedule::parse(cron, None).expect("a schedule"));
        simulation
    }

    /// With partial training.
    pub fn partial(mut self, cron: &str, max_base_age_hours: Option<i64>) -> Self {
        let schedule = Some(Schedule::parse(cron, None).expect("a schedule"));
        self.plan.partial = Some(PartialPlan { schedule, template: "partial-1".into(), max_base_age_hours });
        self
    }

    /// With a first version, trained at creation.
    pub fn trained(mut self) -> Self {
        self.reconcile();
        self.pass_minutes(10);
        self.succeed();
        self.reconcile();
        self
    }

    /// With a trigger.
    pub fn triggered(mut self, name: &str, kind: TrainingKind, cool_down: SignedDuration) -> Self {
        let condition = Condition::Events { dependency: "clicks".into(), count: 100 };
        self.plan.triggers.push(TriggerPlan { name: name.into(), kind, cool_down, condition });
        self
    }

    /// The condition of a trigger is met, as a tick observes it with the status that was written last.
    pub fn meet(&mut self, name: &str) {
        let Some(trigger) = self.plan.triggers.iter().find(|of| of.name == name) else { return };
        let newest = self.status.as_ref().and_then(|status| status.newest(trigger.kind));
        let after = newest.map(|(version, _)| version.to_owned());
        let met = Met { since: self.now, why: "100 messages arrived at clicks".into(), after };
        self.signals.met.insert(name.into(), met);
    }

    pub fn request(&mut self, value: &str) {
        self.plan.request = Some(value.into());
    }

    /// The Jobs as they are observed: of a Job without a pod the recorded cause is known.
    fn observed(&self) -> Vec<ObservedRun> {
        let active = self.status.as_ref().and_then(|status| status.active.as_ref());
        let mut runs = self.jobs.clone();
        for run in &mut runs {
            let known = active.filter(|active| active.job == run.job).and_then(|active| active.blocked.clone());
            if let RunState::Pending { blocked: blocked @ None } = &mut run.state {
                *blocked = known;
            }
        }
        runs
    }

    pub fn decide(&self) -> Decision {
        decide(&Inputs {
            plan: &self.plan,
            prior: self.status.as_ref(),
            versions: &self.versions,
            in_use: &self.in_use,
            runs: &self.observed(),
            now: self.now,
            signals: &self.signals,
            held: self.held.as_ref(),
            runs_complete: self.runs_complete,
            has_trainer: self.has_trainer,
        })
    }

    /// Decides and makes all writes.
    pub fn reconcile(&mut self) -> Decision {
        self.reconcile_until(usize::MAX)
    }

    /// Decides, and is killed after `killed_after` writes.
    pub fn reconcile_until(&mut self, killed_after: usize) -> Decision {
        let decision = self.decide();
        let mut writes: Vec<_> =
            decision.replace.iter().chain(&decision.remove).cloned().map(|run| Write::Delete(Box::new(run))).collect();
        let create = decision.start.clone().map(|run| Write::Create(Box::new(run)));
        if self.status_first {
            writes.push(Write::Status);
            writes.extend(create);
        } else {
            writes.extend(create);
            writes.push(Write::Status);
        }
        for write in writes.into_iter().take(killed_after) {
            self.write(write, &decision);
        }
        decision
    }

    fn write(&mut self, write: Write, decision: &Decision) {
        match write {
            Write::Delete(run) => self.jobs.retain(|job| job.uid != run.uid),
            Write::Create(run) => self.create(&run),
            Write::Status => {
                self.status = Some(read_back(&decision.status));
                self.versions = read_back(&decision.versions);
            }
        }
    }

    /// Creates a Job, unless the name exists already.
    fn create(&mut self, run: &NewRun) {
        let job = format!("{}-{}", self.plan.base, run.version);
        if self.jobs.iter().any(|other| other.job == job) {
            return;
        }
        self.jobs.push(ObservedRun {
            uid: format!("uid of {job}"),
            job,
            version: run.version.clone(),
            kind: run.kind,
            trigger: run.trigger,
            due: run.due,
            template: self.plan.template(run.kind).unwrap_or_default().into(),
            request: run.request.clone(),
            cause: run.cause.clone(),
            base: run.base.as_ref().map(|base| base.base.clone()),
            started_at: Some(self.now),
            state: RunState::Pending { blocked: None },
        });
    }

    pub fn pass_minutes(&mut self, minutes: i64) {
        self.now += SignedDuration::from_mins(minutes);
    }

    pub fn go_to(&mut self, instant: &str) {
        self.now = at(instant);
    }

    /// The active Job.
    pub fn active(&mut self) -> Option<&mut ObservedRun> {
        self.jobs.iter_mut().find(|job| job.state.finished_at().is_none())
    }

    pub fn active_version(&mut self) -> String {
        self.active().expect("a Job under way").version.clone()
    }

    pub fn become_state(&mut self, state: RunState) {
        if let Some(job) = self.active() {
            job.state = state;
        }
    }

    pub fn block(&mut self, why: &str) {
        self.become_state(RunState::Pending { blocked: Some(why.into()) });
    }

    pub fn succeed(&mut self) {
        let version = self.active().map(|job| job.version.clone()).unwrap_or_default();
        self.end_with_report(Some(&report(&version)));
    }

    /// The active run succeeds, and reports until when it has data.
    pub fn succeed_through(&mut self, data_through: &str) {
        let version = self.active().map(|job| job.version.clone()).unwrap_or_default();
        let through = format!(r#", "dataThrough": "{data_through}"}}"#);
        let report = report(&version);
        self.end_with_report(Some(&format!("{}{through}", report.strip_suffix('}').expect("an object"))));
    }

    pub fn end_with_report(&mut self, text: Option<&str>) {
        let finished_at = self.now;
        self.become_state(RunState::Succeeded {
            finished_at,
            termination_message: text.map(Into::into),
            warning: None,
        });
    }

    pub fn fail(&mut self) {
        self.fail_with("BackoffLimitExceeded", Some(1), None, Some("KeyError: 'item'"));
    }

    pub fn fail_with(&mut self, reason: &str, code: Option<i32>, container: Option<&str>, text: Option<&str>) {
        let finished_at = self.now;
        self.become_state(RunState::Failed {
            finished_at,
            reason: reason.into(),
            message: "Job has reached the specified backoff limit".into(),
            termination_message: text.map(Into::into),
            exit_code: code,
            container_reason: container.map(Into::into),
            failed_by: None,
            pod: code.map(|_| "packages-full-1-2-x7k2p".into()),
        });
    }

    /// Another manager deletes the active Job.
    pub fn lose_active(&mut self) {
        self.jobs.retain(|job| job.state.finished_at().is_some());
    }

    pub fn version_ids(&self) -> Vec<&str> {
        self.versions.iter().map(|version| version.id.as_str()).collect()
    }

    pub fn job_versions(&self) -> Vec<&str> {
        self.jobs.iter().map(|job| job.version.as_str()).collect()
    }
}

pub fn report(version: &str) -> String {
    format!(
        r#"{{"metrics": {{"precision_at_10": "0.31"}}, "artifact": {{"uri": "{OUTPUT}/{version}/model.npz", "digest": "sha256:{}", "bytes": 123}}}}"#,
        "0a".repeat(32)
    )
}

/// The value as the API server returns it after a write.
fn read_back<T: Serialize + DeserializeOwned>(value: &T) -> T {
    let json = serde_json::to_string(value).expect("JSON");
    serde_json::from_str(&json).expect("what was written")
}
