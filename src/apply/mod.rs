//! Brings the children to their desired state: one write per child that is not as desired, and none for the others.

mod client;
mod corrections;
mod ownership;

pub use client::{CALL_DEADLINE, CallError, Cluster};
pub use corrections::Corrections;
use jiff::Timestamp;
use kube::core::ObjectMeta;
pub use ownership::converted as converted_ownership;
use serde_json::Value;

use crate::{
    api::{FIELD_MANAGER, MANAGED_BY_LABEL, conditions::reasons},
    child::{self, Child},
    kinds::Kind,
    model::Identity,
    names,
    observe::{self, Cache, ChildState, Children, DeploymentState, ObservedChild},
    render,
};

/// The result of applying the children.
#[derive(Clone, Debug, Default, PartialEq)]
pub struct Outcome {
    /// Children that are not as desired.
    pub problems: Vec<ChildProblem>,
    /// Children that another manager had changed and that were corrected.
    pub corrected: Vec<(Kind, String)>,
    /// Deployments whose replicas could not be set. They are to be set with the next try.
    pub failed_orders: Vec<String>,
}

/// Why a child is not as desired.
#[derive(Clone, Debug, PartialEq)]
pub struct ChildProblem {
    /// Its kind.
    pub kind: Kind,
    /// Its name.
    pub name: String,
    /// `NameConflict`, `FieldConflict`, `ApplyFailed`, `ApiMissing` or `Pending`.
    pub reason: &'static str,
    /// What is wrong and what to do.
    pub message: String,
    /// Whether it lasts until something is changed.
    pub permanent: bool,
}

/// The desired children of one object.
pub struct Desired<'a> {
    /// The object's identity.
    pub identity: &'a Identity,
    /// The object's UID.
    pub uid: &'a str,
    /// All children that are desired now.
    pub children: &'a [Child],
    /// Whether serving is decided; if not, the autoscaler and the PodDisruptionBudget of the servers are not deleted.
    pub serving_decided: bool,
    /// Whether the Deployment of a canary is left as it is.
    pub is_canary_held: bool,
    /// Names and UIDs of the training Jobs to delete.
    pub jobs_to_delete: &'a [(&'a str, &'a str)],
    /// Replicas to set at once, by Deployment, because its autoscaler would take its time.
    pub replicas: &'a [(String, i32)],
    /// Earlier corrections of the children.
    pub corrections: &'a Corrections,
    /// The time of this reconcile.
    pub now: Timestamp,
}

/// Applies the desired children and deletes those of ours that are no longer desired. A failure of one child does not keep
/// the others from being tried.
pub async fn apply(cluster: &Cluster, cache: &Cache, desired: &Desired<'_>, children: &Children) -> Outcome {
    let mut outcome = Outcome::default();
    // Deletions come first: an autoscaler that is no longer desired must be gone before the replicas are set.
    for (kind, name, observed) in to_delete(desired, children) {
        let deleted = cluster.delete(kind, &desired.identity.namespace, name, &observed.uid).await;
        outcome.problems.extend(deleted.err().map(|error| failed(kind, name, &error)));
    }
    for child in desired.children {
        match ensure(cluster, cache, desired, children.child(child.kind, &child.name), child).await {
            Ok(Ensured::AsDesired) => {}
            Ok(Ensured::Applied { corrected }) => {
                outcome.corrected.extend(corrected.then(|| (child.kind, child.name.clone())));
                // The child is as desired for the moment. Without this the condition would alternate with every reconcile.
                if corrected && desired.corrections.has_field_conflict(child, desired.now) {
                    outcome.problems.push(field_conflict(child));
                }
            }
            Err(problem) => outcome.problems.push(problem),
        }
    }
    let unreleased = release(cluster, cache, desired, children, &outcome.problems).await;
    outcome.problems.extend(unreleased);
    for (job, uid) in desired.jobs_to_delete {
        let deleted = cluster.delete(Kind::Job, &desired.identity.namespace, job, uid).await;
        outcome.problems.extend(deleted.err().map(|error| failed(Kind::Job, job, &error)));
    }
    for (deployment, replicas) in desired.replicas {
        if is_undone(desired, children, &outcome.problems, deployment, *replicas) {
            outcome.failed_orders.push(deployment.clone());
        } else if let Err(error) = cluster.set_replicas(&desired.identity.namespace, deployment, *replicas).await {
            outcome.failed_orders.push(deployment.clone());
            outcome.problems.push(failed(Kind::Deployment, deployment, &error));
        }
    }
    outcome
}

/// Gives all requests of an HTTPRoute that is no longer desired to the Service of the servers. It is not deleted, because requests come by
/// it. That Service comes first: it has to select what is to answer them.
async fn release(
    cluster: &Cluster,
    cache: &Cache,
    desired: &Desired<'_>,
    children: &Children,
    problems: &[ChildProblem],
) -> Option<ChildProblem> {
    let Identity { base, namespace, .. } = desired.identity;
    let is_desired = desired.children.iter().any(|child| child.kind == Kind::HTTPRoute);
    let is_service_wrong = problems.iter().any(|problem| problem.kind == Kind::Service && problem.name == *base);
    let is_there = cache.has_kind(Kind::HTTPRoute);
    if !is_there
        || is_desired
        || is_service_wrong
        || !children.route(base, desired.uid).is_some_and(|route| route.refers)
    {
        return None;
    }
    let route = children.own(Kind::HTTPRoute, base, desired.uid).filter(|of| !of.deleting)?;
    let released = cluster.set_rules(namespace, base, &route.uid, &render::released_route(base)).await;
    released.err().map(|error| failed(Kind::HTTPRoute, base, &error))
}

/// Makes the object the owner of children that we have written and that have no owner, as after the restore of a backup. They are
/// reconciled from then on. A Job is left alone: without its pods its report is lost. Returns whether the cache has changed.
pub async fn take_over(cluster: &Cluster, cache: &Cache, identity: &Identity, children: &Children) -> bool {
    let Some(uid) = &identity.uid else { return false };
    let owner = child::owner(identity, uid);
    let orphans = children.iter().filter(|(kind, _, observed)| is_adoptable(*kind, observed));
    let mut has_changed = false;
    for (kind, name, observed) in orphans {
        match cluster.set_owner(kind, &identity.namespace, name, observed, &owner).await {
            Ok(meta) => {
                tracing::info!(kind = kind.as_str(), name, "the child had no owner and is owned by this object now");
                cache.record_read(kind, &meta);
                has_changed = true;
            }
            Err(error) => tracing::warn!(%error, kind = kind.as_str(), name, "the child has no owner; retrying"),
        }
    }
    has_changed
}

fn is_adoptable(kind: Kind, observed: &ObservedChild) -> bool {
    kind != Kind::Job && observed.is_orphan && !observed.deleting
}

/// Whether an order of replicas would be undone by an autoscaler of ours that has other bounds, because it could not be
/// changed or another manager keeps changing it. An autoscaler that could not be created undoes nothing. One of another owner
/// does not either: if it scaled the Deployment, there would be no order.
///
/// An autoscaler is disabled at 0 replicas, so an order of 0 stays. One of the first replicas enables it: it may return to its
/// old bounds then, which is better than to stay at none.
fn is_undone(
    desired: &Desired<'_>,
    children: &Children,
    problems: &[ChildProblem],
    deployment: &str,
    replicas: i32,
) -> bool {
    let autoscaler = Kind::HorizontalPodAutoscaler;
    let is_disabled = replicas == 0 || children.deployment(deployment, desired.uid).is_some_and(|of| of.desired == 0);
    !is_disabled
        && children.owned(autoscaler, desired.uid).any(|(name, _)| name == deployment)
        && problems.iter().any(|problem| problem.kind == autoscaler && problem.name == deployment)
}

/// Children that are ours and not desired. Jobs are left to the training. The Deployment of the servers is deleted only with its owner: an
/// unknown version must not take down the servers. So is an HTTPRoute ([`Kind::is_deleted`]), see [`release`].
fn to_delete<'a>(desired: &Desired<'_>, children: &'a Children) -> Vec<(Kind, &'a str, &'a ObservedChild)> {
    let serving = names::serving(&desired.identity.base);
    let canary = names::canary(&desired.identity.base);
    let trainers = names::trainers(&desired.identity.base);
    let is_training = || {
        let mut jobs = children.owned(Kind::Job, desired.uid);
        jobs.any(|(_, observed)| matches!(&observed.state, ChildState::Job(job) if job.end.is_none()))
    };
    let is_routed_to = || {
        let mut routes = children.owned(Kind::HTTPRoute, desired.uid);
        let state = children.route(&desired.identity.base, desired.uid);
        routes.next().is_some() && state.is_none_or(|route| route.refers || route.gives())
    };
    let kept = |kind, name: &str| match kind {
        Kind::Job => true,
        // Trainers of an active run find each other by it. Gateways send requests to a canary by its own.
        Kind::Service => (name == trainers && is_training()) || (name == canary && is_routed_to()),
        Kind::Deployment => name == serving || (name == canary && desired.is_canary_held),
        Kind::ConfigMap => is_mounted(desired, children, name),
        Kind::HorizontalPodAutoscaler | Kind::PodDisruptionBudget => name == serving && !desired.serving_decided,
        _ => false,
    };
    children
        .iter()
        .filter(|(kind, name, observed)| {
            kind.is_deleted()
                && !kept(*kind, name)
                && !observed.deleting
                && observed.controller.as_deref() == Some(desired.uid)
                && !desired.children.iter().any(|child| child.kind == *kind && child.name == *name)
        })
        .collect()
}

/// Whether pods may mount a version file that is not desired any more: those of a template that is being replaced need it to start.
fn is_mounted(desired: &Desired<'_>, children: &Children, name: &str) -> bool {
    let serving = names::serving(&desired.identity.base);
    let is_left = !desired.children.iter().any(|child| child.kind == Kind::Deployment && child.name == serving);
    let deployed = children.deployment(&serving, desired.uid);
    let is_used = |state: &DeploymentState| {
        let current = state.file.as_ref().is_some_and(|file| file.config_map == name);
        current || state.is_stale() || !state.observed || state.total != state.updated
    };
    is_left || deployed.is_some_and(is_used)
}

/// The state of a child that could be brought to its desired state.
enum Ensured {
    AsDesired,
    /// It existed and was applied. `corrected`: because another manager had changed it.
    Applied {
        corrected: bool,
    },
}

async fn ensure(
    cluster: &Cluster,
    cache: &Cache,
    desired: &Desired<'_>,
    observed: Option<&ObservedChild>,
    child: &Child,
) -> Result<Ensured, ChildProblem> {
    if !cache.has_kind(child.kind) {
        return Err(api_missing(child));
    }
    let identity = desired.identity;
    let failed = |error| failed(child.kind, &child.name, &error);
    let existing;
    let observed = match observed {
        Some(observed) => observed,
        None => {
            match cluster.create(child.kind, &identity.namespace, &created(child)).await {
                Ok(Some(meta)) => {
                    cache.record_write(child.kind, &meta);
                    return Ok(Ensured::AsDesired);
                }
                Ok(None) => existing = adopt(cluster, cache, desired, child).await?.ok_or_else(|| vanished(child))?,
                // A quota is checked before the name is: an object that exists may be refused as one too many.
                Err(error) if error.code() == Some(403) => {
                    existing = adopt(cluster, cache, desired, child).await?.ok_or_else(|| failed(error))?;
                }
                Err(error) => return Err(failed(error)),
            }
            &existing
        }
    };
    if is_adoptable(child.kind, observed) {
        return Err(without_owner(child));
    }
    if observed.controller.as_deref() != Some(desired.uid) {
        return Err(if observed.outlived(&identity.name) { outlived(child) } else { name_conflict(child) });
    }
    // A Job's template is immutable. A child that is being deleted is created again once it is gone.
    if child.kind == Kind::Job || observed.deleting {
        return Ok(Ensured::AsDesired);
    }
    if observed.is_as_applied(child) {
        cache.confirm(&identity.namespace, &identity.base, child.kind, &child.name);
        return Ok(Ensured::AsDesired);
    }
    let has_drifted = observed.has_drifted(child);
    if has_drifted && desired.corrections.is_backed_off(child, desired.now) {
        return Err(field_conflict(child));
    }
    let updated = update(cluster, cache, desired, observed, child).await.map_err(failed)?;
    Ok(if updated { Ensured::Applied { corrected: has_drifted } } else { Ensured::AsDesired })
}

/// A child as it is created: with the replicas that its autoscaler would set anyway, which saves the autoscaler's first
/// period. The autoscaler owns them from its first change on.
fn created(child: &Child) -> Value {
    let mut object = child.object.clone();
    if let Some(replicas) = child.seed_replicas {
        object["spec"]["replicas"] = replicas.into();
    }
    object
}

/// Handles an object of the child's name that exists and is not cached: it is ours and the watch is late, or it belongs to
/// another owner, which is an error. None when there is no such object.
async fn adopt(
    cluster: &Cluster,
    cache: &Cache,
    desired: &Desired<'_>,
    child: &Child,
) -> Result<Option<ObservedChild>, ChildProblem> {
    let failed = |error| failed(child.kind, &child.name, &error);
    let namespace = &desired.identity.namespace;
    let Some(meta) = cluster.get(child.kind, namespace, &child.name).await.map_err(failed)? else { return Ok(None) };
    if observe::controller(&meta).is_none_or(|owner| owner.uid != desired.uid) {
        let orphan = cache.record_read(child.kind, &meta).filter(|observed| is_adoptable(child.kind, observed));
        return Err(orphan.map_or_else(|| name_conflict(child), |_| without_owner(child)));
    }
    let observed = cache.record_read(child.kind, &meta).ok_or_else(|| name_conflict(child))?;
    // Only the watch delivers the state of these two kinds. A Job is never applied again, so nothing else would restore the
    // label.
    if matches!(child.kind, Kind::Job | Kind::Deployment) && !is_watched(&meta) {
        cluster.label(child.kind, namespace, &child.name, &observed.uid).await.map_err(failed)?;
    }
    Ok(Some(observed))
}

/// Applies a child that exists and is not as desired. Returns false when it is too early for that.
async fn update(
    cluster: &Cluster,
    cache: &Cache,
    desired: &Desired<'_>,
    observed: &ObservedChild,
    child: &Child,
) -> Result<bool, CallError> {
    let namespace = &desired.identity.namespace;
    if observed.owns_replicas && child.object["spec"]["replicas"].is_null() {
        let ChildState::Deployment(state) = &observed.state else {
            // The current number is not known yet, and giving up the field now would reset it to one. The watch will deliver
            // it.
            return Ok(false);
        };
        cluster.hand_over_replicas(namespace, &child.name, &observed.uid, state.desired).await?;
    }
    if observed.has_unconverted {
        cluster.convert_ownership(child, namespace, &observed.uid).await?;
    }
    let meta = cluster.apply(child.kind, namespace, child.object.clone(), &observed.uid).await?;
    cache.record_write(child.kind, &meta);
    Ok(true)
}

/// Whether our watches include an object: they select by its label.
fn is_watched(meta: &ObjectMeta) -> bool {
    let label = meta.labels.as_ref().and_then(|labels| labels.get(MANAGED_BY_LABEL));
    label.is_some_and(|manager| manager == FIELD_MANAGER)
}

/// The problem of a failed call for a child.
pub fn failed(kind: Kind, name: &str, error: &CallError) -> ChildProblem {
    let message = format!("{} {name}: {error}", kind.as_str());
    ChildProblem { kind, name: name.into(), reason: reasons::APPLY_FAILED, message, permanent: error.is_permanent() }
}

/// A problem of a child that lasts until something is changed.
fn permanent(child: &Child, reason: &'static str, message: String) -> ChildProblem {
    ChildProblem { kind: child.kind, name: child.name.clone(), reason, message, permanent: true }
}

/// A problem of a child that may pass by itself.
fn temporary(child: &Child, reason: &'static str, message: String) -> ChildProblem {
    ChildProblem { permanent: false, ..permanent(child, reason, message) }
}

/// The child of a deleted object of the same name: the garbage collector will delete it, and that enqueues the object.
fn outlived(child: &Child) -> ChildProblem {
    let (kind, name) = (child.kind.as_str(), &child.name);
    let message = format!(
        "{kind} {name} still belongs to a deleted RecommenderModel of the same name; it is created again once that one is deleted"
    );
    temporary(child, reasons::PENDING, message)
}

/// A child of ours without an owner that could not be taken over this time, or was not cached yet.
fn without_owner(child: &Child) -> ChildProblem {
    let (kind, name) = (child.kind.as_str(), &child.name);
    temporary(
        child,
        reasons::PENDING,
        format!("{kind} {name} has no owner; this RecommenderModel is to become its owner"),
    )
}

/// An object of the child's name existed when the child was to be created, and was gone a moment later.
fn vanished(child: &Child) -> ChildProblem {
    let (kind, name) = (child.kind.as_str(), &child.name);
    let message =
        format!("another {kind} {name} was deleted while this one was to be created; it is created with the next try");
    temporary(child, reasons::PENDING, message)
}

fn name_conflict(child: &Child) -> ChildProblem {
    let (kind, name) = (child.kind.as_str(), &child.name);
    let message = format!(
        "{kind} {name} exists and is not owned by this RecommenderModel; it is not changed: delete or rename it, or \
         give the RecommenderModel another name"
    );
    permanent(child, reasons::NAME_CONFLICT, message)
}

fn field_conflict(child: &Child) -> ChildProblem {
    let (kind, name) = (child.kind.as_str(), &child.name);
    let message = format!(
        "{kind} {name}: another field manager keeps changing fields that this RecommenderModel sets, so they are \
         corrected with a back-off; find it with kubectl -n {} get {} {name} -o yaml --show-managed-fields, and stop it \
         from setting them",
        child.object["metadata"]["namespace"].as_str().unwrap_or_default(),
        kind.to_lowercase()
    );
    temporary(child, reasons::FIELD_CONFLICT, message)
}

fn api_missing(child: &Child) -> ChildProblem {
    permanent(child, reasons::API_MISSING, child.kind.absence())
}

#[cfg(test)]
mod tests;
