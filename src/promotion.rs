//! What serves: decided once in a reconcile. Rendering, applying and the status read this value.

use std::collections::BTreeMap;

use k8s_openapi::apimachinery::pkg::apis::meta::v1::Time;

use crate::{
    api::{RecommenderModelStatus, TrainingKind, Version, VersionState},
    kinds::Kind,
    model::{Identity, names},
    observe::{Children, DeploymentState},
    training::whole_seconds,
};

/// The decision on what serves, and the state of every version.
#[derive(Clone, Debug, Default, PartialEq)]
pub struct Rollout {
    /// The version to serve; none before the first valid one, and then the Deployment is left as it is.
    pub serve: Option<Version>,
    /// Why this one, as text to follow "because".
    pub why: &'static str,
    /// The version that answers requests: the last one whose rollout was completed.
    pub serving: Option<String>,
    /// The version that is being rolled out: the one to serve until it answers requests.
    pub rolling_out: Option<String>,
    /// The newest version, if it is not in the artifact store of the spec: it is not rolled out, because its pods could not read
    /// it, and what serves is left as it is until a version is trained in the new store.
    pub elsewhere: Option<String>,
    /// All versions with their states, newest first.
    pub versions: Vec<Version>,
}

/// What a rollout is decided on.
#[derive(Clone, Copy, Debug)]
pub struct Inputs<'a> {
    /// The valid versions with the states that were recorded last, newest first.
    pub versions: &'a [Version],
    /// URI of the artifact store.
    pub store: &'a str,
    /// The version that answered requests when the status was written last.
    pub serving: Option<&'a str>,
    /// The version of which all servers are ready and no other servers exist.
    pub rolled_out: Option<&'a str>,
}

impl<'a> Inputs<'a> {
    /// From the status that was written last, and the observed Deployment of the servers.
    pub fn new(
        identity: &Identity,
        store: &'a str,
        versions: &'a [Version],
        prior: &'a RecommenderModelStatus,
        children: &'a Children,
    ) -> Self {
        let uid = identity.uid.as_deref().unwrap_or_default();
        let servers = children.deployment(&names::serving(&identity.base), uid);
        let serving = prior.serving.as_ref().and_then(|serving| serving.version.as_deref());
        Self { versions, store, serving, rolled_out: servers.and_then(DeploymentState::rolled_out_version) }
    }
}

impl Rollout {
    /// The newest valid version serves, whatever it measures, if its pods can read it.
    pub fn decide(inputs: &Inputs<'_>) -> Self {
        let newest = inputs.versions.first();
        let (usable, elsewhere) = match newest {
            Some(version) if version.is_in(inputs.store) => (newest, None),
            _ => (None, newest.map(|version| version.id.clone())),
        };
        let desired = usable.map(|version| version.id.as_str());
        let is_complete = desired.is_some() && inputs.rolled_out == desired;
        let serving = if is_complete { desired } else { inputs.serving };
        let versions = states(inputs.versions, serving);
        Self {
            serve: versions.first().filter(|_| usable.is_some()).cloned(),
            why: "it is the newest valid version",
            rolling_out: desired.filter(|desired| serving != Some(desired)).map(str::to_owned),
            serving: serving.map(str::to_owned),
            elsewhere,
            versions,
        }
    }
}

/// The version that a Deployment serves although the status has no version: object and children were restored from a backup,
/// without the status. None when one of the object's Jobs has trained it, because then its report is known.
pub fn restored(
    identity: &Identity,
    store: &str,
    prior: &RecommenderModelStatus,
    children: &Children,
) -> Option<Version> {
    let uid = identity.uid.as_deref().filter(|_| prior.versions.is_empty())?;
    let servers = children.deployment(&names::serving(&identity.base), uid)?;
    let (id, (uri, digest)) = (servers.version.clone()?, servers.artifact.clone()?);
    let job = names::job(&identity.base, &id);
    let created_at = Time(whole_seconds(servers.created_at));
    let version = Version {
        id,
        state: VersionState::Serving,
        kind: TrainingKind::Full,
        job,
        uri,
        digest,
        bytes: 0,
        metrics: BTreeMap::new(),
        data_through: None,
        due_at: created_at.clone(),
        trained_at: created_at,
    };
    let has_job = children.owned(Kind::Job, uid).any(|(name, _)| name == version.job);
    (!has_job && version.is_in(store)).then_some(version)
}

/// The versions with their states when `serving` answers requests.
fn states(versions: &[Version], serving: Option<&str>) -> Vec<Version> {
    let mut versions = versions.to_vec();
    let Some(now) = versions.iter().position(|version| serving == Some(version.id.as_str())) else { return versions };
    let changed = versions[now].state != VersionState::Serving;
    for (index, version) in versions.iter_mut().enumerate() {
        version.state = match version.state {
            _ if index == now => VersionState::Serving,
            VersionState::Serving => VersionState::Previous,
            VersionState::Previous if changed => VersionState::Superseded,
            VersionState::Candidate if index > now => VersionState::Superseded,
            state => state,
        };
    }
    versions
}

#[cfg(test)]
#[path = "promotion_tests.rs"]
mod tests;
