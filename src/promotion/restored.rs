//! What serves although the status does not have it: it was lost, or the object was restored from a backup without it. Pure.

use std::collections::BTreeMap;

use k8s_openapi::apimachinery::pkg::apis::meta::v1::Time;

use super::watch;
use crate::{
    api::{PIN_ANNOTATION, RecommenderModelStatus, TRAIN_ANNOTATION, TrainingKind, Version, VersionState},
    kinds::Kind,
    model::Identity,
    names,
    observe::{ChildState, Children, DeploymentState},
    time::whole_seconds,
};

/// A version, and the URI and the digest of its artifact.
type Deployed = (String, Option<(String, String)>);

/// The version that a Deployment serves although the status has no version: object and children were restored from a backup,
/// without the status, perhaps with another artifact store. None when it is among `read`, the versions that reports of the object's Jobs
/// give. A Job whose pod is gone gives none, but when its run was due, and on top of what. A Deployment that does not name the artifact
/// gives a version without one: the Deployment is left as it is, and what is trained later is known to be newer.
pub fn restored(
    identity: &Identity,
    prior: &RecommenderModelStatus,
    children: &Children,
    read: &[Version],
) -> Option<Version> {
    let (servers, started) = deployed(identity, prior, children)?;
    let uid = identity.uid.as_deref()?;
    let (id, artifact) = started;
    let (uri, digest) = artifact.unwrap_or_default();
    let job = names::job(&identity.base, &id);
    let run = children.own(Kind::Job, &job, uid).and_then(|of| match &of.state {
        ChildState::Job(run) => Some(run),
        _ => None,
    });
    let created_at = Time(whole_seconds(servers.created_at));
    let ended_at = run.and_then(|run| run.end.as_ref()).map(|end| Time(whole_seconds(end.at)));
    let version = Version {
        state: VersionState::Serving,
        kind: TrainingKind::of_version(&id),
        id,
        job,
        uri,
        digest,
        bytes: 0,
        metrics: BTreeMap::new(),
        samples: None,
        standard_errors: BTreeMap::new(),
        gates: Vec::new(),
        canary: None,
        data_through: None,
        base: run.and_then(|run| run.base.clone()),
        due_at: run.map_or_else(|| created_at.clone(), |run| Time(whole_seconds(run.due))),
        started_at: None,
        trained_at: ended_at.unwrap_or_else(|| created_at.clone()),
        served_at: Some(created_at),
    };
    let is_read = read.iter().any(|read| read.id == version.id);
    (!is_read).then_some(version)
}

/// Why pods cannot read a version that is not in the artifact store of the spec, and what to do, as text to follow "version". `serving`: the
/// version that answers requests.
pub fn unreadable(identity: &Identity, version: &Version, store: &str, serving: Option<&str>) -> String {
    let (id, Identity { namespace, name, .. }) = (&version.id, identity);
    if version.has_artifact() {
        return format!("{id} is not in the artifact store of the spec ({store})");
    }
    let run = format!(
        "kubectl -n {namespace} annotate recommendermodel {name} {TRAIN_ANNOTATION}=\"full: status lost\" --overwrite starts a run"
    );
    if serving == Some(id) {
        format!(
            "{id} is left as it is in the Deployment of the servers until a newer version is promoted, because its artifact is not known: \
             the status was lost, and that Deployment does not name it. {run}"
        )
    } else {
        format!("{id} cannot be rolled out, because its artifact is not known since the status was lost. {run}")
    }
}

/// The version that a Deployment serves although the status has no version, also if one of the object's Jobs has trained it.
pub fn served(identity: &Identity, prior: &RecommenderModelStatus, children: &Children) -> Option<String> {
    deployed(identity, prior, children).map(|(_, (id, _))| id)
}

/// The versions after the status was lost while one of them served. The Jobs of newer ones are read again, but not what was decided on
/// these: they may have been taken back, so none of them is promoted by itself. The one that serves is among them ([`restored`]); if it were
/// not, it would not be known which are newer, and none would be promoted. `serving`: none if the status was not lost.
pub fn hold_back_newer(versions: &[Version], serving: Option<&str>) -> Vec<Version> {
    let newer = serving
        .map_or(0, |serving| versions.iter().position(|version| version.id == serving).unwrap_or(versions.len()));
    let held_back = |version: &Version| {
        let why = format!(
            "the status was lost while {} served, so it is not known why this newer version did not; set the annotation \
             {PIN_ANNOTATION}={} if it is to serve, or wait for the next one",
            serving.unwrap_or_default(),
            version.id
        );
        Version { state: VersionState::RolledBack, ..watch::with_verdict(version, watch::ROLLBACK, why) }
    };
    let of = |(index, version): (usize, &Version)| if index < newer { held_back(version) } else { version.clone() };
    versions.iter().enumerate().map(of).collect()
}

/// The Deployment of the servers, and the version that they have, while the status has no version.
fn deployed<'a>(
    identity: &Identity,
    prior: &RecommenderModelStatus,
    children: &'a Children,
) -> Option<(&'a DeploymentState, Deployed)> {
    let uid = identity.uid.as_deref().filter(|_| prior.versions.is_empty())?;
    let servers = children.deployment(&names::serving(&identity.base), uid)?;
    // They may have changed versions since they were started.
    let named = servers.file.as_ref().and_then(|file| children.version_file(&file.config_map, uid));
    let named = named.map(|of| (of.version.clone(), Some((of.uri.clone(), of.digest.clone()))));
    Some((servers, named.or_else(|| Some((servers.version.clone()?, servers.artifact.clone())))?))
}
