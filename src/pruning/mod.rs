//! Which artifacts are deleted, and when. The operator holds no credentials of the store: a Job of the trainer's pods with the arguments
//! of `spec.training.prune` deletes them. Pure.
//!
//! What is deleted left the status before: a Job names only versions that the status that was written last has as pending. So nothing
//! that may serve, be rolled back to or be a base is deleted, and a training may start while a Job deletes: it reads what is kept,
//! and writes below a name of its own.

use jiff::{SignedDuration, Timestamp};
use k8s_openapi::apimachinery::pkg::apis::meta::v1::Time;

use crate::{
    api::{Base, PruningStatus, RecommenderModelStatus, Version},
    model::Model,
    names,
    text::{MESSAGE_MAX, listed, one_line},
    time::whole_seconds,
    training::{Decision as Training, ObservedRun},
};

/// Least time from the end of a Job to the next one: 1 h. With partial training a version leaves the status every few minutes, and a pod
/// for each would cost more than its artifact.
const PAUSE: SignedDuration = SignedDuration::from_hours(1);
/// Time from the first failure to the next try: 5 min. It doubles with each failure in a row.
const FIRST_RETRY: SignedDuration = SignedDuration::from_mins(5);
/// Longest time from a failure to the next try: 24 h.
const LAST_RETRY: SignedDuration = SignedDuration::from_hours(24);
/// Most versions that wait to be deleted: 64, the most entries of a map in the status. Later ones are not deleted.
const PENDING_MAX: usize = 64;
/// Failures in a row from which on the condition TrainingReady has them: 3. The first two may be an outage of the store, and are tried again
/// within a quarter of an hour.
const FAILURES_MIN: i32 = 3;
/// Number of deleted versions that the status names: 32.
const PRUNED_MAX: usize = 32;
/// Most versions that a message names.
const NAMED_MAX: usize = 8;

/// What is pruned of an object.
#[derive(Clone, Debug, PartialEq)]
pub struct Plan {
    /// Base of the names of its children.
    pub base: String,
    /// URI below which its versions are stored.
    pub output_base: String,
    /// The PersistentVolumeClaim on which they are, if they are on one: URIs on a volume do not name it.
    pub claim: Option<String>,
    /// Whether no Job is started: training is suspended.
    pub suspended: bool,
}

impl Plan {
    /// The plan of an object; none if it does not ask for pruning.
    pub fn new(model: &Model) -> Option<Self> {
        model.training.prune.as_ref()?;
        Some(Self {
            base: model.identity.base.clone(),
            output_base: model.artifacts.base_uri(&model.identity),
            claim: model.artifacts.claim().map(str::to_owned),
            suspended: model.training.suspend,
        })
    }

    /// The URI of all that a version consists of: RECOMMENDER_OUTPUT_URI of its trainer. None if it is in an earlier store, which
    /// pods cannot reach, on an earlier claim, or was taken over: another object may have trained and serve it. `since`: since when
    /// the claim is used, if there was another one before.
    fn uri(&self, version: &Version, since: Option<Timestamp>) -> Option<String> {
        let uri = format!("{}/{}", self.output_base, version.id);
        let begun = version.started_at.as_ref().unwrap_or(&version.trained_at).0;
        let is_earlier = self.claim.is_some() && since.is_some_and(|since| begun < since);
        (version.is_in(&uri) && !version.is_taken_over() && !is_earlier).then_some(uri)
    }

    /// Records which claim is used. What is pending on an earlier one is not there: a Job would find nothing, as if it had deleted it.
    fn record_claim(&self, status: &mut PruningStatus, now: Timestamp) {
        if self.claim.is_none() || self.claim == status.claim {
            return;
        }
        if status.claim.is_some() {
            status.claim_since = Some(Time(whole_seconds(now)));
            status.pending.clear();
        }
        status.claim.clone_from(&self.claim);
    }
}

/// A Job that deletes artifacts, as observed.
#[derive(Clone, Debug, PartialEq)]
pub struct ObservedPrune {
    /// Its name.
    pub job: String,
    /// Its UID.
    pub uid: String,
    /// The versions it deletes.
    pub versions: Vec<String>,
    /// Why its pod cannot start.
    pub blocked: Option<String>,
    /// When it ended, and what went wrong; none while it has not.
    pub end: Option<(Timestamp, Result<(), String>)>,
}

impl ObservedPrune {
    /// Its number, from its name: Jobs are counted.
    fn number(&self) -> i64 {
        self.job.rsplit('-').next().and_then(|number| number.parse().ok()).unwrap_or_default()
    }
}

/// What is decided on.
#[derive(Clone, Copy, Debug)]
pub struct Inputs<'a> {
    /// What is pruned; none if nothing is.
    pub plan: Option<&'a Plan>,
    /// The status that was written last.
    pub prior: &'a RecommenderModelStatus,
    /// What was decided on training: the versions that are kept, and the run to start.
    pub training: &'a Training,
    /// Versions that are in use beside these: by pods, and by the decisions of this reconcile.
    pub used: &'a [String],
    /// All training Jobs of the object.
    pub runs: &'a [ObservedRun],
    /// Whether a trainer has not ended although its Job was deleted.
    pub has_trainer: bool,
    /// The Jobs that delete artifacts.
    pub jobs: &'a [ObservedPrune],
    /// The current time.
    pub now: Timestamp,
}

/// What is done.
#[derive(Clone, Debug, Default, PartialEq)]
pub struct Decision {
    /// The Job to start.
    pub start: Option<NewPrune>,
    /// Names and UIDs of ended Jobs to delete: the last one is kept, so that its log can be read.
    pub remove: Vec<(String, String)>,
    /// What the status has of it.
    pub status: Option<PruningStatus>,
    /// When to decide again even if nothing happens.
    pub wake_at: Option<Timestamp>,
}

impl Decision {
    /// What the status has of it. `refused`: why the Job to start could not be created.
    pub fn reported(&self, refused: Option<&str>) -> Option<PruningStatus> {
        let status = self.status.clone()?;
        let refused = refused.map(|why| one_line(why, MESSAGE_MAX));
        Some(PruningStatus { message: refused.or(status.message), ..status })
    }
}

/// The versions of a status without those whose artifacts were deleted, as after a restore of an earlier status: they are no base, and
/// never serve. One that serves stays, because its servers have it.
pub fn known(prior: &RecommenderModelStatus) -> Vec<Version> {
    let pruned = prior.pruning.as_ref().map_or(&[][..], |pruning| &pruning.pruned);
    let serving = prior.serving.as_ref();
    let serving = [serving.and_then(|of| of.version.as_ref()), serving.and_then(|of| of.rolling_out.as_ref())];
    let is_known = |version: &&Version| !pruned.contains(&version.id) || serving.contains(&Some(&version.id));
    prior.versions.iter().filter(is_known).cloned().collect()
}

/// Why a version that is not in the status any more cannot be requested; none if nothing was pruned of it.
pub fn why_gone(pruning: Option<&PruningStatus>, id: &str) -> Option<&'static str> {
    let pruning = pruning?;
    if pruning.pruned.iter().any(|pruned| pruned == id) {
        return Some("names a version whose artifact was deleted (spec.training.prune)");
    }
    pruning.pending.contains_key(id).then_some("names a version whose artifact is being deleted (spec.training.prune)")
}

/// What a person has to know of it: Jobs that fail again and again, and versions that are not deleted because too many wait.
pub fn warning(status: &PruningStatus) -> Option<String> {
    let fails = (status.failures >= FAILURES_MIN).then(|| {
        let why = status.message.as_deref().unwrap_or_default();
        format!("the last {} Jobs that delete artifacts failed (training.prune): {why}", status.failures)
    });
    let is_full = status.pending.len() >= PENDING_MAX;
    let full = is_full.then(|| {
        format!("{PENDING_MAX} versions wait to be deleted, the most that can: the artifacts of later ones stay in the store")
    });
    let all: Vec<String> = fails.into_iter().chain(full).collect();
    (!all.is_empty()).then(|| all.join("; "))
}

/// A Job to start.
#[derive(Clone, Debug, PartialEq)]
pub struct NewPrune {
    /// Its name.
    pub job: String,
    /// The versions to delete, with the URI below which everything is to be deleted.
    pub versions: Vec<(String, String)>,
}

/// Decides what is deleted now.
pub fn decide(inputs: &Inputs<'_>) -> Decision {
    let prior = inputs.prior.pruning.clone().unwrap_or_default();
    let mut status = prior.clone();
    record(inputs, &prior, &mut status);
    let Some(plan) = inputs.plan else {
        // What was deleted stays known: it never serves again.
        status = PruningStatus { pending: Default::default(), message: None, ..status };
        return Decision { remove: removable(inputs, &prior), status: reported(status), ..Decision::default() };
    };
    plan.record_claim(&mut status, inputs.now);
    let since = status.claim_since.as_ref().map(|since| since.0);
    let is_kept = |id: &String| inputs.training.versions.iter().any(|version| version.id == *id);
    let dropped = inputs.prior.versions.iter().filter(|version| !is_kept(&version.id));
    for version in dropped.filter(|version| !prior.pruned.contains(&version.id)) {
        let uri = plan.uri(version, since).filter(|_| status.pending.len() < PENDING_MAX);
        status.pending.extend(uri.map(|uri| (version.id.clone(), uri)));
    }
    // The store has moved, or it is kept again because the status was restored from a backup.
    status.pending.retain(|id, uri| !is_kept(id) && *uri == format!("{}/{id}", plan.output_base));

    let active = inputs.jobs.iter().find(|job| job.end.is_none());
    if let Some(job) = active {
        let why = job.blocked.as_ref().map(|why| format!("Job {} cannot start: {why}", job.job));
        status.message = why.map(|why| one_line(&why, MESSAGE_MAX));
    }
    let protected = protected(inputs);
    let mut ready = status.pending.iter().filter(|(id, _)| !protected.contains(id)).peekable();
    let due = due(&status).unwrap_or(inputs.now);
    let is_training = inputs.training.start.is_some()
        || inputs.training.status.active.is_some()
        || inputs.has_trainer
        || inputs.runs.iter().any(|run| run.state.finished_at().is_none());
    if plan.suspended || active.is_some() || is_training || ready.peek().is_none() {
        return Decision { remove: removable(inputs, &prior), status: reported(status), ..Decision::default() };
    }
    // What is not in the status yet is deleted once it is.
    let recorded = ready.filter(|(id, _)| prior.pending.contains_key(*id));
    let versions: Vec<(String, String)> = recorded.map(|(id, uri)| (id.clone(), uri.clone())).collect();
    let job = names::prune(&plan.base, status.last_job.saturating_add(1));
    let starts = due <= inputs.now && !versions.is_empty();
    Decision {
        start: starts.then_some(NewPrune { job, versions }),
        wake_at: (!starts).then_some(due.max(inputs.now)),
        remove: removable(inputs, &prior),
        status: reported(status),
    }
}

fn reported(status: PruningStatus) -> Option<PruningStatus> {
    (status != PruningStatus::default()).then_some(status)
}

/// Records how Jobs ended that are not in the status yet.
fn record(inputs: &Inputs<'_>, prior: &PruningStatus, status: &mut PruningStatus) {
    let mut news: Vec<_> =
        inputs.jobs.iter().filter(|job| job.end.is_some() && job.number() > prior.last_job).collect();
    news.sort_by_key(|job| job.number());
    for job in news {
        let Some((at, result)) = &job.end else { continue };
        status.last_job = job.number();
        status.finished_at = Some(Time(whole_seconds(*at)));
        let named = listed(job.versions.iter().cloned(), NAMED_MAX, ", ");
        let message = match result {
            Ok(()) => {
                status.failures = 0;
                status.pending.retain(|id, _| !job.versions.contains(id));
                let known = std::mem::take(&mut status.pruned);
                let new = job.versions.iter().filter(|id| !known.contains(id)).cloned();
                status.pruned = new.chain(known.iter().cloned()).take(PRUNED_MAX).collect();
                format!("Job {} deleted the artifacts of {named}", job.job)
            }
            Err(why) => {
                status.failures = status.failures.saturating_add(1);
                format!("Job {}, which is to delete the artifacts of {named}, failed: {why}", job.job)
            }
        };
        status.message = Some(one_line(&message, MESSAGE_MAX));
    }
}

/// Ended Jobs whose end is in the status that was written last, but for the last one.
fn removable(inputs: &Inputs<'_>, prior: &PruningStatus) -> Vec<(String, String)> {
    let ended = inputs.jobs.iter().filter(|job| job.end.is_some() && job.number() < prior.last_job);
    ended.map(|job| (job.job.clone(), job.uid.clone())).collect()
}

/// When the next Job may start; none if there was none before.
fn due(status: &PruningStatus) -> Option<Timestamp> {
    let doubled = u32::try_from(status.failures).ok().and_then(|failures| failures.checked_sub(1)).map(|of| of.min(16));
    let pause = doubled.map_or(PAUSE, |times| FIRST_RETRY.saturating_mul(1 << times).min(LAST_RETRY));
    status.finished_at.as_ref()?.0.checked_add(pause).ok()
}

/// What is not deleted even though it has left the status: it is in use, or something that is kept or trained is based on it.
fn protected<'a>(inputs: &Inputs<'a>) -> Vec<&'a String> {
    let kept = inputs.training.versions.iter().flat_map(|version| lineage(&version.id, version.base.as_ref()));
    let trained = inputs.runs.iter().filter(|run| run.state.finished_at().is_none());
    let trained = trained.flat_map(|run| lineage(&run.version, run.base.as_ref()));
    let starts = inputs.training.start.iter();
    let starts = starts.flat_map(|run| lineage(&run.version, run.base.as_ref().map(|of| &of.base)));
    let active = inputs.training.status.active.iter().map(|run| &run.version);
    kept.chain(trained).chain(starts).chain(active).chain(inputs.used).collect()
}

/// A version and what it is based on.
fn lineage<'a>(id: &'a String, base: Option<&'a Base>) -> impl Iterator<Item = &'a String> {
    std::iter::once(id).chain(base.into_iter().flat_map(|of| [&of.version, &of.full]))
}

#[cfg(test)]
mod tests;
