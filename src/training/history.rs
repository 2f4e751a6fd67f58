//! What has ended: outcomes of runs, and the versions they gave.
//!
//! Each run is judged once. What the status already tells of a run stands, even if the settings it was judged by have
//! changed since (the place of the artifacts, for example).

use jiff::Timestamp;
use k8s_openapi::apimachinery::pkg::apis::meta::v1::Time;

use super::{Inputs, ObservedRun, Plan, RunState, outcome, report, text::MESSAGE_MAX, text::one_line};
use crate::api::{FinishedRun, Version, conditions::reasons};

/// Versions that are kept, as long as no more are in use.
const VERSIONS_KEPT: usize = 5;
/// Finished Jobs that are kept, so that people can look at their logs.
const JOBS_KEPT: usize = 3;
/// Reason of a run that gave a valid version.
pub const SUCCEEDED: &str = "Succeeded";

/// What has ended.
#[derive(Clone, Debug, PartialEq)]
pub struct History {
    /// The run that ended last.
    pub last: Option<FinishedRun>,
    /// The valid versions, newest first.
    pub versions: Vec<Version>,
}

impl History {
    /// The status and the observed Jobs taken together.
    pub fn of(inputs: &Inputs<'_>) -> Self {
        let mut last = inputs.prior.and_then(|status| status.last.clone());
        let last_is_observed = inputs.runs.iter().any(|run| is_of(run, last.as_ref()));
        let mut versions = inputs.versions.to_vec();
        let mut ended: Vec<_> = inputs.runs.iter().filter(|run| !is_recorded(inputs, run)).collect();
        ended.sort_by_key(|run| run.due);
        for (run, version) in ended.into_iter().filter_map(|run| judge(run, inputs.plan)) {
            versions.extend(version);
            // Runs that are not recorded came after the last one. Only when its Job is gone we cannot be sure.
            if last_is_observed || last.as_ref().is_none_or(|last| last.finished_at < run.finished_at) {
                last = Some(run);
            }
        }
        versions.sort_by(|a, b| (&b.due_at, &b.id).cmp(&(&a.due_at, &a.id)));
        Self { last, versions: bounded(versions, inputs.in_use) }
    }
}

/// Finished Jobs older than the newest three whose outcome is in the status that was written last, so that a crash loses
/// nothing.
pub fn removable(inputs: &Inputs<'_>) -> Vec<ObservedRun> {
    let mut finished: Vec<_> = inputs.runs.iter().filter(|run| run.state.finished_at().is_some()).collect();
    finished.sort_by_key(|run| std::cmp::Reverse(run.due));
    finished.into_iter().skip(JOBS_KEPT).filter(|run| is_recorded(inputs, run)).cloned().collect()
}

/// Whether the status tells how a run ended, or told it once. Runs do not overlap, so what was due no later than a run
/// that is recorded is recorded as well.
pub fn is_recorded(inputs: &Inputs<'_>, run: &ObservedRun) -> bool {
    let last = inputs.prior.and_then(|status| status.last.as_ref());
    let last_due = inputs.runs.iter().filter(|run| is_of(run, last)).map(|run| run.due);
    let recorded = inputs.versions.iter().map(|version| version.due_at.0).chain(last_due).max();
    run.state.finished_at().is_some() && recorded.is_some_and(|recorded| run.due <= recorded)
}

fn is_of(run: &ObservedRun, finished: Option<&FinishedRun>) -> bool {
    finished.is_some_and(|finished| finished.job == run.job)
}

/// At most five versions, newest first; the newest and those in use always stay.
fn bounded(versions: Vec<Version>, in_use: &[String]) -> Vec<Version> {
    let is_needed = |index: usize, version: &Version| index == 0 || in_use.contains(&version.id);
    let needed = versions.iter().enumerate().filter(|(index, version)| is_needed(*index, version)).count();
    let mut room = VERSIONS_KEPT.saturating_sub(needed);
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

/// How a run ended and which version it gave; none while it is under way.
fn judge(run: &ObservedRun, plan: &Plan) -> Option<(FinishedRun, Option<Version>)> {
    let finished_at = whole_seconds(run.state.finished_at()?);
    let verdict = match &run.state {
        RunState::Succeeded { termination_message, .. } => {
            version(run, plan, finished_at, termination_message.as_deref())
        }
        failed => Err(failure(failed)),
    };
    let (reason, message) = match &verdict {
        Ok(version) => (SUCCEEDED, outcome::describe(version)),
        Err((reason, problem)) => (*reason, format!("Training run {} failed: {problem}", run.version)),
    };
    let finished = FinishedRun {
        job: run.job.clone(),
        version: run.version.clone(),
        kind: run.kind,
        trigger: run.trigger,
        template: run.template.clone(),
        succeeded: verdict.is_ok(),
        reason: reason.into(),
        message: one_line(&message, MESSAGE_MAX),
        finished_at: Time(finished_at),
    };
    Some((finished, verdict.ok()))
}

fn version(
    run: &ObservedRun,
    plan: &Plan,
    finished_at: Timestamp,
    message: Option<&str>,
) -> Result<Version, (&'static str, String)> {
    let expected = format!("{}/{}", plan.output_base.trim_end_matches('/'), run.version);
    let report = report::parse(message, &expected).map_err(|error| (reasons::INVALID_REPORT, error.to_string()))?;
    Ok(Version {
        id: run.version.clone(),
        kind: run.kind,
        job: run.job.clone(),
        uri: report.uri,
        digest: report.digest,
        bytes: report.bytes,
        metrics: report.metrics,
        data_through: report.data_through.map(Time),
        due_at: Time(whole_seconds(run.due)),
        trained_at: Time(finished_at),
    })
}

/// Reason and message of a failed Job.
fn failure(state: &RunState) -> (&'static str, String) {
    let RunState::Failed { reason, message, termination_message, exit_code, container_reason, .. } = state else {
        return (reasons::TRAINING_FAILED, "it did not end".into());
    };
    let (class, how) = match (reason.as_str(), container_reason.as_deref(), exit_code) {
        ("DeadlineExceeded", ..) => (
            reasons::DEADLINE_EXCEEDED,
            "it was ended at its deadline; if it needs more time, raise training.full.deadlineSeconds".into(),
        ),
        (_, Some("OOMKilled"), _) => (
            reasons::TRAINING_FAILED,
            "the trainer was killed because it used more memory than its limit (OOMKilled); raise \
             training.resources.limits.memory"
                .into(),
        ),
        (.., Some(code)) => (reasons::TRAINING_FAILED, format!("the trainer ended with exit code {code}")),
        (.., None) => (reasons::TRAINING_FAILED, "no end of the trainer was seen".into()),
    };
    let job = format!("{reason}: {message}");
    let wrote = termination_message.as_deref().map(said).map(|text| one_line(&text, 240));
    let wrote = wrote.filter(|text| !text.is_empty());
    let wrote = wrote.map(|text| format!(". It wrote: {text}")).unwrap_or_default();
    (class, format!("{how} ({}){wrote}", one_line(job.trim_end_matches([':', ' ']), 120)))
}

/// What a trainer that failed has to say: the text of `{"error": "..."}`, or whatever else it wrote.
fn said(termination_message: &str) -> String {
    let json: serde_json::Value = serde_json::from_str(termination_message).unwrap_or_default();
    json["error"].as_str().unwrap_or(termination_message).to_owned()
}

/// As the API keeps it; with fractions the status would differ from what is read back.
pub fn whole_seconds(instant: Timestamp) -> Timestamp {
    Timestamp::from_second(instant.as_second()).unwrap_or(instant)
}
