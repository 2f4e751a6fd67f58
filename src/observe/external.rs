//! External autoscalers: those that are not ours and scale one of our Deployments. Two autoscalers of one Deployment stop
//! each other, so this is reported.
//!
//! A cluster may have thousands of autoscalers for Deployments that are not ours: nothing is kept of those.

use std::collections::{BTreeMap, HashMap, HashSet};

use kube::core::ObjectMeta;

use super::{Cache, ChildState, cache::lock, controller};
use crate::{kinds::Kind, names};

/// An external autoscaler.
#[derive(Clone, Debug, PartialEq)]
pub struct ExternalAutoscaler {
    /// Name of the `HorizontalPodAutoscaler`.
    pub name: String,
    /// Kind and name of its controller, for example `ScaledObject shop-scaler`; none when it has no controller.
    pub owner: Option<String>,
}

/// Namespace and name of a Deployment.
pub(super) type Target = (String, String);

/// All external autoscalers.
#[derive(Debug, Default)]
pub(super) struct External {
    /// The Deployment that each one scales, by the autoscaler's UID.
    targets: HashMap<String, Target>,
    /// The autoscalers of each Deployment, by their UIDs.
    autoscalers: HashMap<Target, BTreeMap<String, ExternalAutoscaler>>,
}

impl External {
    /// The autoscaler of a Deployment; of several the first by name.
    pub fn of(&self, target: &Target) -> Option<&ExternalAutoscaler> {
        self.autoscalers.get(target)?.values().min_by_key(|autoscaler| autoscaler.name.as_str())
    }

    /// Records which of our Deployments an autoscaler scales now, if any. Returns the Deployments for which that changed.
    pub fn put(&mut self, uid: &str, scaled: Option<(Target, ExternalAutoscaler)>) -> Vec<Target> {
        let Some((target, autoscaler)) = scaled else {
            return self.remove(uid).into_iter().collect();
        };
        if self.autoscalers.get(&target).and_then(|autoscalers| autoscalers.get(uid)) == Some(&autoscaler) {
            return Vec::new();
        }
        let before = self.remove(uid).filter(|before| *before != target);
        self.targets.insert(uid.to_owned(), target.clone());
        self.autoscalers.entry(target.clone()).or_default().insert(uid.to_owned(), autoscaler);
        before.into_iter().chain([target]).collect()
    }

    /// Removes an autoscaler. Returns the Deployment it scaled.
    pub fn remove(&mut self, uid: &str) -> Option<Target> {
        let target = self.targets.remove(uid)?;
        if let Some(autoscalers) = self.autoscalers.get_mut(&target) {
            autoscalers.remove(uid);
            if autoscalers.is_empty() {
                self.autoscalers.remove(&target);
            }
        }
        Some(target)
    }

    /// Removes the autoscalers that a new list does not contain. Returns the Deployments they scaled.
    pub fn retain(&mut self, listed: &HashSet<String>) -> Vec<Target> {
        let gone: Vec<String> = self.targets.keys().filter(|uid| !listed.contains(*uid)).cloned().collect();
        gone.iter().filter_map(|uid| self.remove(uid)).collect()
    }
}

impl Cache {
    /// The external autoscaler of a Deployment, if there is one.
    pub fn external_autoscaler(&self, namespace: &str, deployment: &str) -> Option<ExternalAutoscaler> {
        lock(&self.external).of(&(namespace.to_owned(), deployment.to_owned())).cloned()
    }

    /// Records which Deployment an autoscaler scales; ours are ignored. Returns (namespace, model) of those affected.
    pub(super) fn record_external(&self, meta: &ObjectMeta, state: &ChildState) -> Vec<(String, String)> {
        let scaled = scaled_by(meta, state);
        let changed = lock(&self.external).put(meta.uid.as_deref().unwrap_or_default(), scaled);
        self.models_of(&changed)
    }

    /// Removes an external autoscaler. Returns (namespace, model) of those affected.
    pub(super) fn forget_external(&self, meta: &ObjectMeta) -> Vec<(String, String)> {
        let scaled = lock(&self.external).remove(meta.uid.as_deref().unwrap_or_default());
        self.models_of(scaled.as_slice())
    }

    /// Removes the external autoscalers that a new list does not contain. Returns (namespace, model) of those affected.
    pub(super) fn retain_external(&self, listed: &HashSet<String>) -> Vec<(String, String)> {
        let scaled = lock(&self.external).retain(listed);
        self.models_of(&scaled)
    }

    /// The models that Deployments belong to, for those that are cached.
    fn models_of(&self, deployments: &[Target]) -> Vec<(String, String)> {
        let models = lock(&self.models);
        let model = |(namespace, name): &Target| {
            let models = names::bases(name).filter_map(|base| models.get(&(namespace.clone(), base.to_owned())));
            let observed = models.into_iter().find_map(|children| children.child(Kind::Deployment, name))?;
            Some((namespace.clone(), observed.model.clone()))
        };
        deployments.iter().filter_map(model).collect()
    }
}

/// The Deployment that an external autoscaler scales, if its name may be one of ours. None for our own autoscalers.
pub(super) fn scaled_by(meta: &ObjectMeta, state: &ChildState) -> Option<(Target, ExternalAutoscaler)> {
    let ChildState::Autoscaler(state) = state else {
        return None;
    };
    let owner = controller(meta);
    if owner.is_some_and(|owner| owner.kind == "RecommenderModel") {
        return None;
    }
    let deployment = state.target.as_ref().filter(|name| names::is_deployment(name))?;
    let autoscaler = ExternalAutoscaler {
        name: meta.name.clone()?,
        owner: owner.map(|owner| format!("{} {}", owner.kind, owner.name)),
    };
    Some(((meta.namespace.clone()?, deployment.clone()), autoscaler))
}
