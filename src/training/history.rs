//! Finished runs: their outcomes and the versions they produced.
//!
//! Each run is evaluated once. An outcome recorded in the status stands, even if the settings it was evaluated against
//! (the artifact URI, for example) have changed since.

use jiff::Timestamp;
use k8s_openapi::apimachinery::pkg::apis::meta::v1::Time;

use super::{Inputs, ObservedRun, Plan, RunState, report, triggers::Failures};
use crate::{
    api::{FinishedRun, Stage, TrainingKind, Version, VersionState, conditions::reasons},
    causes::{self, Part, Source, Subject},
    text::{MESSAGE_MAX, listed, one_line},
    time::whole_seconds,
};

/// Number of metrics named in the message of a version.
const HIGHLIGHTS: usize = 4;
/// Longest part of a message that quotes the condition of a failed Job, in characters.
const JOB_MAX: usize = 280;
/// Reason of a run that produced a valid version.
pub const SUCCEEDED: &str = "Succeeded";

/// Finished runs.
#[derive(Clone, Debug, PartialEq)]
pub struct History {
    /// The full ones.
    pub full: Ended,
    /// The partial ones.
    pub partial: Ended,
    /// Those of triggers that failed, until one has their data.
    pub failures: Failures,
    /// The valid versions, newest first.
    pub versions: Vec<Version>,
    /// When the newest run was due whose outcome is in these.
    pub recorded_through: Option<Timestamp>,
}

/// Finished runs of a kind.
#[derive(Clone, Debug, PartialEq)]
pub struct Ended {
    /// The run that ended last.
    pub last: Option<FinishedRun>,
    /// How many runs in a row have failed, up to that one.
    pub consecutive_failures: i32,
}

impl Ended {
    /// As recorded in the status.
    fn recorded(inputs: &Inputs<'_>, kind: TrainingKind) -> Self {
        Self {
            last: inputs.prior.and_then(|status| status.last(kind).cloned()),
            consecutive_failures: inputs.prior.map_or(0, |status| status.consecutive_failures(kind)),
        }
    }

    fn add(&mut self, run: FinishedRun) {
        self.consecutive_failures = if run.succeeded { 0 } else { self.consecutive_failures.saturating_add(1) };
        self.last = Some(run);
    }
}

impl History {
    /// The run of a kind that ended last.
    pub fn last(&self, kind: TrainingKind) -> Option<&FinishedRun> {
        match kind {
            TrainingKind::Full => self.full.last.as_ref(),
            TrainingKind::Partial => self.partial.last.as_ref(),
        }
    }

    /// Combines the prior status with the observed Jobs.
    pub fn of(inputs: &Inputs<'_>) -> Self {
        let [mut full, mut partial] = TrainingKind::ALL.map(|kind| Ended::recorded(inputs, kind));
        let mut failures = Failures::recorded(inputs);
        let mut recorded_through = recorded_through(inputs);
        let mut versions = inputs.versions.to_vec();
        let mut ended: Vec<_> = inputs.runs.iter().filter(|run| !is_recorded(inputs, run)).collect();
        ended.sort_by_key(|run| run.due);
        for observed in ended {
            let Some((run, version)) = evaluate(observed, inputs.plan) else { continue };
            // An outcome in the status stands, also if an earlier operator did not record until when it has them.
            versions.extend(version.filter(|new| inputs.versions.iter().all(|known| known.id != new.id)));
            failures.add(inputs.plan, &run);
            match run.kind {
                TrainingKind::Full => full.add(run),
                TrainingKind::Partial => partial.add(run),
            }
            recorded_through = recorded_through.max(Some(observed.due));
        }
        versions.sort_by(|a, b| (&b.due_at, &b.id).cmp(&(&a.due_at, &a.id)));
        let versions = bounded(versions, inputs.plan.versions_kept, inputs.in_use);
        Self { full, partial, failures, versions, recorded_through }
    }
}

/// When the newest run was due whose outcome is in the status that was written last.
pub fn recorded_through(inputs: &Inputs<'_>) -> Option<Timestamp> {
    inputs.prior.and_then(|status| status.recorded_through.as_ref()).map(|time| time.0)
}

/// Finished Jobs that can be deleted: all but the newest of those that succeeded and of those that failed, if their outcome is
/// in the status that was written last. A crash therefore loses no outcome.
pub fn removable(inputs: &Inputs<'_>) -> Vec<ObservedRun> {
    let mut finished: Vec<_> = inputs.runs.iter().filter(|run| run.state.finished_at().is_some()).collect();
    finished.sort_by_key(|run| std::cmp::Reverse(run.due));
    let (successful, failed): (Vec<_>, Vec<_>) =
        finished.into_iter().partition(|run| matches!(run.state, RunState::Succeeded { .. }));
    let kept = inputs.plan.jobs_kept;
    let beyond = successful.into_iter().skip(kept.successful).chain(failed.into_iter().skip(kept.failed));
    beyond.filter(|run| is_recorded(inputs, run)).cloned().collect()
}

/// Whether the status records, or once recorded, how a run ended. Runs do not overlap: every run due no later than a
/// recorded run is recorded as well.
pub fn is_recorded(inputs: &Inputs<'_>, run: &ObservedRun) -> bool {
    run.state.finished_at().is_some() && recorded_through(inputs).is_some_and(|recorded| run.due <= recorded)
}

/// At most `kept` versions, newest first; the newest and those in use always stay.
pub fn bounded(versions: Vec<Version>, kept: usize, in_use: &[String]) -> Vec<Version> {
    let is_needed = |index: usize, version: &Version| index == 0 || in_use.contains(&version.id);
    let needed = versions.iter().enumerate().filter(|(index, version)| is_needed(*index, version)).count();
    let mut room = kept.saturating_sub(needed);
    let mut is_kept = |index: usize, version: &Version| {
        let spare = !is_needed(index, version);
        let kept = !spare || room > 0;
        room -= usize::from(spare && kept);
        kept
    };
    versions
        .into_iter()
        .enumerate()
        .filter(|(index, version)| is_kept(*index, version))
        .map(|(_, version)| version)
        .collect()
}

/// How a run ended and which version it produced; `None` while it is active.
fn evaluate(run: &ObservedRun, plan: &Plan) -> Option<(FinishedRun, Option<Version>)> {
    let finished_at = whole_seconds(run.state.finished_at()?);
    let result = match &run.state {
        RunState::Succeeded { termination_message, warning, .. } => {
            version(run, plan, finished_at, termination_message.as_deref(), warning.as_deref())
        }
        _ => Err(failure(run, plan)),
    };
    let (reason, message) = match &result {
        Ok((version, warnings)) => (SUCCEEDED, [vec![describe(version)], warnings.clone()].concat().join(" ")),
        Err((reason, problem)) => (*reason, format!("Training run {} failed: {problem}", run.version)),
    };
    let finished = FinishedRun {
        job: run.job.clone(),
        version: run.version.clone(),
        kind: run.kind,
        trigger: run.trigger,
        cause: run.cause.clone(),
        template: run.template.clone(),
        succeeded: result.is_ok(),
        reason: reason.into(),
        stage: result.is_err().then(|| stage(run, reason)),
        message: one_line(&message, MESSAGE_MAX),
        started_at: run.started_at.map(|at| Time(whole_seconds(at))),
        finished_at: Time(finished_at),
    };
    Some((finished, result.ok().map(|(version, _)| version)))
}

/// A version and its metrics, as a sentence.
pub fn describe(version: &Version) -> String {
    let all = version.metrics.iter().map(|(name, value)| format!("{name} {value}"));
    let metrics =
        if version.metrics.is_empty() { "no metrics were reported".into() } else { listed(all, HIGHLIGHTS, ", ") };
    format!("Version {} is trained: {metrics}.", version.id)
}

/// The version of a run, and sentences about what its owner has to know beside it.
fn version(
    run: &ObservedRun,
    plan: &Plan,
    finished_at: Timestamp,
    message: Option<&str>,
    warning: Option<&str>,
) -> Result<(Version, Vec<String>), (&'static str, String)> {
    let expected = format!("{}/{}", plan.output_base.trim_end_matches('/'), run.version);
    let parsed = report::parse(message, &expected, finished_at);
    let report = parsed.map_err(|error| (reasons::INVALID_REPORT, error.to_string()))?;
    let warnings = report.ignored().into_iter().chain(warning.map(|warning| format!("{warning}."))).collect();
    let version = Version {
        id: run.version.clone(),
        state: VersionState::Candidate,
        kind: run.kind,
        job: run.job.clone(),
        uri: report.uri,
        digest: report.digest,
        bytes: report.bytes,
        metrics: report.metrics,
        samples: report.samples,
        standard_errors: report.standard_errors,
        gates: Vec::new(),
        canary: None,
        data_through: report.data_through.map(Time),
        base: run.base.clone(),
        due_at: Time(whole_seconds(run.due)),
        started_at: run.started_at.map(|at| Time(whole_seconds(at))),
        trained_at: Time(finished_at),
        served_at: None,
    };
    Ok((version, warnings))
}

/// Reason and message of a failed Job.
fn failure(run: &ObservedRun, plan: &Plan) -> (&'static str, String) {
    let RunState::Failed { reason, message, termination_message, exit_code, container_reason, failed_by, pod, .. } =
        &run.state
    else {
        return (reasons::TRAINING_FAILED, "it did not end".into());
    };
    let class = match reason.as_str() {
        "DeadlineExceeded" => reasons::DEADLINE_EXCEEDED,
        _ => reasons::TRAINING_FAILED,
    };
    let of_pod = pod.as_ref().map(|pod| ("pod", pod));
    let (kind, name) = of_pod.unwrap_or(("job", &run.job));
    let ended = |code| {
        let subject = &format!("{kind} {name}");
        ended(subject, plan, part(run.kind), container_reason.as_deref().unwrap_or_default(), code)
    };
    let how = match (class, failed_by, exit_code) {
        (_, Some(cause), _) if class != reasons::DEADLINE_EXCEEDED => cause.clone(),
        (reasons::DEADLINE_EXCEEDED, ..) => {
            format!("it exceeded its deadline; if it needs more time, raise {}", deadline(run.kind))
        }
        (.., Some(code)) => ended(*code),
        (.., None) => "no end of the trainer was observed".into(),
    };
    let job = format!("{reason}: {message}");
    let wrote = termination_message.as_deref().map(error_text).map(|text| one_line(&text, 240));
    let wrote = wrote.filter(|text| !text.is_empty()).map(|text| format!(". It wrote: {text}"));
    // Of a Job, kubectl takes any of its pods.
    let log = || format!("; kubectl -n {} logs {kind}/{name} --all-containers shows more", plan.namespace);
    (class, format!("{how} ({}){}", one_line(job.trim_matches([':', ' ']), JOB_MAX), wrote.unwrap_or_else(log)))
}

const fn part(kind: TrainingKind) -> Part {
    match kind {
        TrainingKind::Full => Part::Training,
        TrainingKind::Partial => Part::PartialTraining,
    }
}

/// The field with the deadline of a run.
fn deadline(kind: TrainingKind) -> String {
    causes::field("Deadline", part(kind)).unwrap_or_default()
}

/// How the container of the trainer ended, with a remedy where its exit code has one.
/// `object`: as in [`Subject`].
fn ended(object: &str, plan: &Plan, part: Part, reason: &str, code: i32) -> String {
    let subject = Subject { part, namespace: &plan.namespace, object, image: "", is_init: false };
    let exit = format!("exit code {code}");
    let cause = causes::explain(&subject, Source::Ended, reason, &exit);
    cause.map_or_else(|| format!("the trainer ended with {exit}"), |cause| cause.text)
}

/// The stage in which a run failed.
fn stage(run: &ObservedRun, reason: &str) -> Stage {
    let reported = || match &run.state {
        RunState::Failed { termination_message: Some(message), .. } => {
            let json: serde_json::Value = serde_json::from_str(message).ok()?;
            let name = json["stage"].as_str()?.to_ascii_lowercase();
            Stage::OF_TRAINERS.into_iter().find(|stage| stage.as_str() == name)
        }
        _ => None,
    };
    match reason {
        reasons::INVALID_REPORT => Stage::Report,
        reasons::DEADLINE_EXCEEDED => Stage::Deadline,
        _ => reported().unwrap_or(Stage::Unknown),
    }
}

/// The error text of a failed trainer: the value of `error` if the termination message is JSON, as in
/// `{"error": "..."}`, else the whole termination message.
pub fn error_text(termination_message: &str) -> String {
    let json: serde_json::Value = serde_json::from_str(termination_message).unwrap_or_default();
    json["error"].as_str().unwrap_or(termination_message).to_owned()
}
