//! Autoscalers of others that move Deployments of ours. Two autoscalers of one Deployment stop each other, so this is told.
//!
//! A cluster may have thousands of them for Deployments that are none of ours: of those nothing is kept.

use std::collections::{BTreeMap, HashMap, HashSet};

use kube::core::ObjectMeta;

use super::{Facts, World, controller, lock};
use crate::{model::names, render::Kind};

/// An autoscaler of somebody else.
#[derive(Clone, Debug, PartialEq)]
pub struct ForeignAutoscaler {
    /// Name of the `HorizontalPodAutoscaler`.
    pub name: String,
    /// Kind and name of what made it, as `ScaledObject shop-scaler`; none when nothing says so.
    pub owner: Option<String>,
}

/// Namespace and name of a Deployment.
pub(super) type Target = (String, String);

/// Which of them move which Deployment.
#[derive(Debug, Default)]
pub(super) struct Foreign {
    /// What each moves, by its UID.
    targets: HashMap<String, Target>,
    /// Those that move a Deployment, by their UIDs.
    movers: HashMap<Target, BTreeMap<String, ForeignAutoscaler>>,
}

impl Foreign {
    /// One that moves a Deployment; of several the first by name.
    pub fn of(&self, target: &Target) -> Option<&ForeignAutoscaler> {
        self.movers.get(target)?.values().min_by_key(|autoscaler| autoscaler.name.as_str())
    }

    /// Takes note of what an autoscaler moves now, if that concerns us. Returns the Deployments for which that is news.
    pub fn put(&mut self, uid: &str, moves: Option<(Target, ForeignAutoscaler)>) -> Vec<Target> {
        let Some((target, autoscaler)) = moves else {
            return self.remove(uid).into_iter().collect();
        };
        if self.movers.get(&target).and_then(|movers| movers.get(uid)) == Some(&autoscaler) {
            return Vec::new();
        }
        let before = self.remove(uid).filter(|before| *before != target);
        self.targets.insert(uid.to_owned(), target.clone());
        self.movers.entry(target.clone()).or_default().insert(uid.to_owned(), autoscaler);
        before.into_iter().chain([target]).collect()
    }

    /// Forgets an autoscaler. Returns what it moved.
    pub fn remove(&mut self, uid: &str) -> Option<Target> {
        let target = self.targets.remove(uid)?;
        if let Some(movers) = self.movers.get_mut(&target) {
            movers.remove(uid);
            if movers.is_empty() {
                self.movers.remove(&target);
            }
        }
        Some(target)
    }

    /// Forgets those that a new list did not have. Returns what they moved.
    pub fn retain(&mut self, listed: &HashSet<String>) -> Vec<Target> {
        let gone: Vec<String> = self.targets.keys().filter(|uid| !listed.contains(*uid)).cloned().collect();
        gone.iter().filter_map(|uid| self.remove(uid)).collect()
    }
}

impl World {
    /// The autoscaler of somebody else that writes the replicas of a Deployment, if there is one.
    pub fn foreign_autoscaler(&self, namespace: &str, deployment: &str) -> Option<ForeignAutoscaler> {
        lock(&self.foreign).of(&(namespace.to_owned(), deployment.to_owned())).cloned()
    }

    /// Takes note of what an autoscaler moves, whosever it is. Returns (namespace, model) of those it concerns.
    pub(super) fn note_mover(&self, meta: &ObjectMeta, facts: &Facts) -> Vec<(String, String)> {
        let moves = moves(meta, facts);
        let news = lock(&self.foreign).put(meta.uid.as_deref().unwrap_or_default(), moves);
        self.models_of(&news)
    }

    /// Forgets an autoscaler of somebody else. Returns (namespace, model) of those it concerned.
    pub(super) fn forget_mover(&self, meta: &ObjectMeta) -> Vec<(String, String)> {
        let moved = lock(&self.foreign).remove(meta.uid.as_deref().unwrap_or_default());
        self.models_of(moved.as_slice())
    }

    /// Forgets the autoscalers of others that a new list did not have. Returns (namespace, model) of those they concerned.
    pub(super) fn retain_movers(&self, listed: &HashSet<String>) -> Vec<(String, String)> {
        let moved = lock(&self.foreign).retain(listed);
        self.models_of(&moved)
    }

    /// The models that Deployments belong to, as far as those were seen.
    fn models_of(&self, deployments: &[Target]) -> Vec<(String, String)> {
        let families = lock(&self.families);
        let model = |(namespace, name): &Target| {
            let families = names::bases(name).filter_map(|base| families.get(&(namespace.clone(), base.to_owned())));
            let seen = families.into_iter().find_map(|family| family.child(Kind::Deployment, name))?;
            Some((namespace.clone(), seen.model.clone()))
        };
        deployments.iter().filter_map(model).collect()
    }
}

/// The Deployment that an autoscaler moves, where that may be one of ours and the autoscaler is not.
pub(super) fn moves(meta: &ObjectMeta, facts: &Facts) -> Option<(Target, ForeignAutoscaler)> {
    let Facts::Autoscaler(facts) = facts else {
        return None;
    };
    let owner = controller(meta);
    if owner.is_some_and(|owner| owner.kind == "RecommenderModel") {
        return None;
    }
    let deployment = facts.target.as_ref().filter(|name| names::is_deployment(name))?;
    let autoscaler = ForeignAutoscaler {
        name: meta.name.clone()?,
        owner: owner.map(|owner| format!("{} {}", owner.kind, owner.name)),
    };
    Some(((meta.namespace.clone()?, deployment.clone()), autoscaler))
}
