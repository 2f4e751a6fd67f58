//! The base of a partial run: the newest version that can be rolled out, if its lineage is not too old.

use jiff::Timestamp;
use k8s_openapi::apimachinery::pkg::apis::meta::v1::Time;

use super::{Inputs, NewBase, history::History, report};
use crate::api::{Base, TrainingKind, Version, VersionState};

/// Why a partial run that is due is not started.
#[derive(Clone, Debug, PartialEq)]
pub enum Refusal {
    /// There is no version that can be rolled out.
    NoVersion,
    /// It is not known from which full version the newest one descends.
    UnknownRoot {
        /// The newest version.
        version: String,
    },
    /// The full version at the root of the newest one is too old.
    TooOld {
        /// That full version.
        full: String,
        /// When it was trained.
        trained_at: Timestamp,
        /// Its maximum age, hours.
        hours: i64,
    },
}

/// The newest version that can be rolled out: its pods can read it, and neither gates nor a rollback refuse it.
fn rollable<'a>(inputs: &Inputs<'_>, history: &'a History) -> Option<&'a Version> {
    let is_refused = |version: &Version| {
        matches!(version.state, VersionState::Rejected | VersionState::RolledBack | VersionState::Failed)
    };
    history.versions.iter().find(|version| version.is_in(&inputs.plan.store) && !is_refused(version))
}

/// The base of a partial run that starts now.
pub fn base(inputs: &Inputs<'_>, history: &History) -> Result<NewBase, Refusal> {
    let version = rollable(inputs, history).ok_or(Refusal::NoVersion)?;
    let (full, trained_at) = root(version).ok_or_else(|| Refusal::UnknownRoot { version: version.id.clone() })?;
    let hours = inputs.plan.partial.as_ref().and_then(|partial| partial.max_base_age_hours);
    if let Some(hours) = hours.filter(|hours| inputs.now.duration_since(trained_at).as_secs() > hours * 3600) {
        return Err(Refusal::TooOld { full: full.to_owned(), trained_at, hours });
    }
    Ok(NewBase {
        uri: version.uri.clone(),
        digest: version.digest.clone(),
        base: Base {
            version: version.id.clone(),
            full: full.to_owned(),
            full_trained_at: Time(trained_at),
            data_from: Time(data_end(version)),
        },
    })
}

/// The full version at the root of a version's lineage, and when it was trained.
pub fn root(version: &Version) -> Option<(&str, Timestamp)> {
    match version.kind {
        TrainingKind::Full => Some((&version.id, version.trained_at.0)),
        TrainingKind::Partial => version.base.as_ref().map(|base| (base.full.as_str(), base.full_trained_at.0)),
    }
}

/// Where the data of a version ends, and that of the next partial one begins: as reported, else when its run was due, which is
/// the end of the interval that a partial run is given. An end before its beginning would learn the same data twice. A beginning after its
/// run has begun is none: earlier releases took it over from a base that had reported a time of the future.
pub fn data_end(version: &Version) -> Timestamp {
    let end = reported_end(version).unwrap_or(version.due_at.0);
    let begun = version.started_at.as_ref().unwrap_or(&version.due_at).0.max(version.due_at.0);
    let from = version.base.as_ref().map(|base| base.data_from.0).filter(|from| *from <= begun);
    from.map_or(end, |from| end.max(from))
}

/// No partial run is due for scheduled times up to this one: the data of the newest version reaches as far, as when a full run
/// has taken hours.
pub fn covered(inputs: &Inputs<'_>, history: &History) -> Option<Timestamp> {
    reported_end(rollable(inputs, history)?)
}

/// Where the data of a version ends, as its trainer has reported. A status may have a time after the end of the run, from before reports of it
/// were left out. Nothing follows from it, as from one in a report: what arrived until then may have been read or not.
pub fn reported_end(version: &Version) -> Option<Timestamp> {
    report::within_run(version.data_through.as_ref()?.0, version.trained_at.0)
}
