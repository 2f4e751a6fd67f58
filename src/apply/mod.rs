//! Brings the cluster to what is wanted, one write per child that is not as wanted, and none for those that are.

mod client;
mod heals;

pub use client::{CALL_DEADLINE, CallError, Cluster};
pub use heals::Heals;
use jiff::Timestamp;
use kube::core::ObjectMeta;

use crate::{
    api::{FIELD_MANAGER, MANAGED_BY_LABEL, conditions::reasons},
    model::{Identity, names},
    observe::{self, Facts, Family, Seen, World},
    render::{Child, Kind},
};

/// What became of the children.
#[derive(Clone, Debug, Default, PartialEq)]
pub struct Outcome {
    /// Children that are not as wanted.
    pub problems: Vec<Problem>,
    /// Children that somebody else had changed and that were put right.
    pub healed: Vec<(Kind, String)>,
}

/// Why a child is not as wanted.
#[derive(Clone, Debug, PartialEq)]
pub struct Problem {
    /// Its kind.
    pub kind: Kind,
    /// Its name.
    pub name: String,
    /// `NameConflict`, `FieldConflict`, `ApplyFailed`, `ApiMissing` or `Pending`.
    pub reason: &'static str,
    /// What is wrong and what to do.
    pub message: String,
    /// Whether it stays so until somebody changes something.
    pub permanent: bool,
}

/// What is to be applied, and to whose children.
pub struct Wanted<'a> {
    /// Whose children.
    pub identity: &'a Identity,
    /// The object's UID.
    pub uid: &'a str,
    /// All children that are wanted now.
    pub children: &'a [Child],
    /// Whether serving is decided; if not, what serves is left alone.
    pub serving_decided: bool,
    /// Children that were put right before.
    pub heals: &'a Heals,
    /// The time of this look.
    pub now: Timestamp,
}

/// Applies what is wanted and deletes what is ours and no longer wanted. One child's failure does not keep the others
/// from being tried.
pub async fn apply(cluster: &Cluster, world: &World, wanted: &Wanted<'_>, family: &Family) -> Outcome {
    let mut outcome = Outcome::default();
    // First: an autoscaler that is not wanted any more must be gone before the replicas are set.
    for (kind, name, seen) in unwanted(wanted, family) {
        let deleted = cluster.delete(kind, &wanted.identity.namespace, name, &seen.uid).await;
        outcome.problems.extend(deleted.err().map(|error| failed(kind, name, &error)));
    }
    for child in wanted.children {
        match ensure(cluster, world, wanted, family.child(child.kind, &child.name), child).await {
            Ok(Ensured::AsWanted) => {}
            Ok(Ensured::Healed) => {
                outcome.healed.push((child.kind, child.name.clone()));
                // It is right for the moment; without this the status would go to and fro with every round.
                if wanted.heals.is_contested(child, wanted.now) {
                    outcome.problems.push(field_conflict(child));
                }
            }
            Err(problem) => outcome.problems.push(problem),
        }
    }
    outcome
}

/// Children that are ours and not wanted. Jobs are the training's business, and the Deployment that serves goes only with
/// its owner: losing sight of the version must not take down what serves.
fn unwanted<'a>(wanted: &Wanted<'_>, family: &'a Family) -> Vec<(Kind, &'a str, &'a Seen)> {
    let serving = names::serving(&wanted.identity.base);
    let kept = |kind, name: &str| match kind {
        Kind::Job => true,
        Kind::Deployment => name == serving,
        Kind::HorizontalPodAutoscaler | Kind::PodDisruptionBudget => name == serving && !wanted.serving_decided,
        _ => false,
    };
    family
        .children()
        .filter(|(kind, name, seen)| {
            !kept(*kind, name)
                && !seen.deleting
                && seen.controller.as_deref() == Some(wanted.uid)
                && !wanted.children.iter().any(|child| child.kind == *kind && child.name == *name)
        })
        .collect()
}

enum Ensured {
    AsWanted,
    Healed,
}

async fn ensure(
    cluster: &Cluster,
    world: &World,
    wanted: &Wanted<'_>,
    seen: Option<&Seen>,
    child: &Child,
) -> Result<Ensured, Problem> {
    if !world.has_kind(child.kind) {
        return Err(api_missing(child));
    }
    let identity = wanted.identity;
    let failed = |error| failed(child.kind, &child.name, &error);
    let adopted;
    let seen = match seen {
        Some(seen) => seen,
        None => match cluster.get(child.kind, &identity.namespace, &child.name).await.map_err(failed)? {
            None => return create(cluster, world, wanted, child).await.map_err(failed),
            Some(meta) => {
                adopted = adopt(world, wanted, child, &meta)?;
                // The two whose state only the watch tells; a Job is never applied again, so nothing else would do it.
                if matches!(child.kind, Kind::Job | Kind::Deployment) && !is_watched(&meta) {
                    cluster.label(child.kind, &identity.namespace, &child.name, &adopted.uid).await.map_err(failed)?;
                }
                &adopted
            }
        },
    };
    if seen.controller.as_deref() != Some(wanted.uid) {
        return Err(if seen.outlived(&identity.name) { outlived(child) } else { name_conflict(child) });
    }
    // A Job's template cannot be changed; one that is being deleted is made anew when it is gone.
    if child.kind == Kind::Job || seen.deleting {
        return Ok(Ensured::AsWanted);
    }
    if seen.is_as_applied(child) {
        world.confirm(&identity.namespace, &identity.base, child.kind, &child.name);
        return Ok(Ensured::AsWanted);
    }
    // What we want now was applied before: not the spec has changed, but somebody else the child.
    let changed_by_others = seen.hash.as_deref() == Some(&child.hash);
    if changed_by_others && wanted.heals.is_resting(child, wanted.now) {
        return Err(field_conflict(child));
    }
    let updated = update(cluster, world, wanted, seen, child).await.map_err(failed)?;
    Ok(if updated && changed_by_others { Ensured::Healed } else { Ensured::AsWanted })
}

/// The child is not in the cluster: makes it.
async fn create(cluster: &Cluster, world: &World, wanted: &Wanted<'_>, child: &Child) -> Result<Ensured, CallError> {
    let namespace = &wanted.identity.namespace;
    let meta = cluster.apply(child.kind, namespace, child.object.clone(), None).await?;
    world.record(child.kind, &meta);
    if let Some(replicas) = child.seed_replicas.filter(|replicas| *replicas > 1) {
        // The API server made it 1. Starting with what the autoscaler would come to anyway saves its first period.
        cluster.set_replicas(namespace, &child.name, replicas).await?;
    }
    Ok(Ensured::AsWanted)
}

/// The child is there but was not seen by the watch: it is ours and the watch is late, or it is somebody else's.
fn adopt(world: &World, wanted: &Wanted<'_>, child: &Child, meta: &ObjectMeta) -> Result<Seen, Problem> {
    if observe::controller(meta).is_none_or(|owner| owner.uid != wanted.uid) {
        return Err(name_conflict(child));
    }
    world.record(child.kind, meta).ok_or_else(|| name_conflict(child))
}

/// The child is in the cluster and not as wanted: applies it. Returns whether it was time for that.
async fn update(
    cluster: &Cluster,
    world: &World,
    wanted: &Wanted<'_>,
    seen: &Seen,
    child: &Child,
) -> Result<bool, CallError> {
    let namespace = &wanted.identity.namespace;
    if seen.owns_replicas && child.object["spec"]["replicas"].is_null() {
        let Facts::Deployment(facts) = &seen.facts else {
            // How many there are is not known yet, and letting go now would make it one. The watch is about to tell.
            return Ok(false);
        };
        cluster.hand_over_replicas(namespace, &child.name, facts.desired).await?;
    }
    let meta = cluster.apply(child.kind, namespace, child.object.clone(), Some(&seen.uid)).await?;
    world.record(child.kind, &meta);
    Ok(true)
}

/// Whether our watches see an object: they ask for its label.
fn is_watched(meta: &ObjectMeta) -> bool {
    let label = meta.labels.as_ref().and_then(|labels| labels.get(MANAGED_BY_LABEL));
    label.is_some_and(|manager| manager == FIELD_MANAGER)
}

/// A problem of a call on a child.
pub fn failed(kind: Kind, name: &str, error: &CallError) -> Problem {
    Problem {
        kind,
        name: name.into(),
        reason: reasons::APPLY_FAILED,
        message: format!("{} {name}: {error}", kind.as_str()),
        permanent: error.is_permanent(),
    }
}

/// The child of a deleted object of the same name: the garbage collector is on its way, and its deletion wakes us.
fn outlived(child: &Child) -> Problem {
    let (kind, name) = (child.kind.as_str(), &child.name);
    Problem {
        kind: child.kind,
        name: name.clone(),
        reason: reasons::PENDING,
        message: format!(
            "{kind} {name} still belongs to a deleted RecommenderModel of the same name; it is made anew once it is gone"
        ),
        permanent: false,
    }
}

fn name_conflict(child: &Child) -> Problem {
    let (kind, name) = (child.kind.as_str(), &child.name);
    Problem {
        kind: child.kind,
        name: name.clone(),
        reason: reasons::NAME_CONFLICT,
        message: format!(
            "{kind} {name} exists and is not owned by this RecommenderModel; it is left alone: delete or rename it, or \
             give the RecommenderModel another name"
        ),
        permanent: true,
    }
}

fn field_conflict(child: &Child) -> Problem {
    let (kind, name) = (child.kind.as_str(), &child.name);
    Problem {
        kind: child.kind,
        name: name.clone(),
        reason: reasons::FIELD_CONFLICT,
        message: format!(
            "{kind} {name}: somebody else keeps changing fields that this RecommenderModel sets, so they are put right \
             only now and then; see who does it with kubectl get {} {name} -o yaml --show-managed-fields, and make them \
             leave those fields alone",
            kind.to_lowercase()
        ),
        permanent: false,
    }
}

fn api_missing(child: &Child) -> Problem {
    let kind = child.kind;
    Problem {
        kind,
        name: child.name.clone(),
        reason: reasons::API_MISSING,
        message: format!(
            "the cluster has no {}s ({}), or the operator may not list them: install prometheus-operator, it is picked \
             up without a restart, or remove spec.monitoring",
            kind.as_str(),
            kind.resource().group
        ),
        permanent: true,
    }
}

#[cfg(test)]
mod tests;
