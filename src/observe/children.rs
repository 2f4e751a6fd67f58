//! The children of one object, with their pods.

use std::collections::BTreeMap;

use super::{AutoscalerState, ChildState, DeploymentState, ObservedChild, PodState, RouteState, Watched};
use crate::{
    kinds::Kind,
    version_file::{self, Artifact},
};

/// The children of one `RecommenderModel`, and their pods.
#[derive(Clone, Debug, Default)]
pub struct Children {
    pub(super) members: BTreeMap<(Watched, String), ObservedChild>,
}

impl Children {
    /// A child by kind and name.
    pub fn child(&self, kind: Kind, name: &str) -> Option<&ObservedChild> {
        self.members.get(&(Watched::Child(kind), name.to_owned()))
    }

    /// All children of a kind.
    pub fn of_kind(&self, kind: Kind) -> impl Iterator<Item = (&str, &ObservedChild)> {
        self.iter().filter(move |(of, ..)| *of == kind).map(|(_, name, observed)| (name, observed))
    }

    /// All children of a kind whose controller has the UID `uid`.
    pub fn owned(&self, kind: Kind, uid: &str) -> impl Iterator<Item = (&str, &ObservedChild)> {
        self.of_kind(kind).filter(move |(_, observed)| observed.controller.as_deref() == Some(uid))
    }

    /// The state of the Deployment `name` whose controller has the UID `uid`. None when there is no such Deployment, or
    /// the watch has not delivered its state yet.
    pub fn deployment(&self, name: &str, uid: &str) -> Option<&DeploymentState> {
        match self.state(Kind::Deployment, name, uid)? {
            ChildState::Deployment(state) => Some(state),
            _ => None,
        }
    }

    /// The state of the autoscaler `name` whose controller has the UID `uid`. None when there is no such autoscaler, or
    /// the watch has not delivered its state yet. An autoscaler has the name of its Deployment.
    pub fn autoscaler(&self, name: &str, uid: &str) -> Option<&AutoscalerState> {
        match self.state(Kind::HorizontalPodAutoscaler, name, uid)? {
            ChildState::Autoscaler(state) => Some(state),
            _ => None,
        }
    }

    /// The version that the version file `name` names, of the object with the UID `uid`. None when there is no such ConfigMap.
    pub fn version_file(&self, name: &str, uid: &str) -> Option<&Artifact> {
        match self.state(Kind::ConfigMap, name, uid)? {
            ChildState::VersionFile(named) => Some(named),
            _ => None,
        }
    }

    /// The version files of the object with the UID `uid`, by the name of their ConfigMap, with the version that they name.
    pub fn version_files(&self, uid: &str) -> impl Iterator<Item = (&str, &Artifact)> {
        self.owned(Kind::ConfigMap, uid).filter_map(|(name, observed)| match &observed.state {
            ChildState::VersionFile(named) => Some((name, named)),
            _ => None,
        })
    }

    /// The children with other versions than their own with which servers answer, by pod.
    #[must_use]
    pub fn with_answers(mut self, others: &BTreeMap<String, String>) -> Self {
        for pod in self.members.values_mut().filter_map(|observed| observed.pod.as_mut()) {
            pod.answers = others.get(&pod.name).cloned();
        }
        self
    }

    /// The Deployment `name`, and each pod of a component with the version that its own file names, in place of the one that it was
    /// started with: pods of an earlier template have another file. `file`: that of the Deployment, which counts where its ConfigMap
    /// is gone.
    #[must_use]
    pub fn with_version_files(
        mut self,
        (uid, name): (&str, &str),
        component: &str,
        file: Option<version_file::Observed>,
    ) -> Self {
        let files = self.version_files(uid).map(|(name, named)| (name.to_owned(), named.version.clone()));
        let mut files: BTreeMap<String, String> = files.collect();
        let current = file.map(|file| {
            let named = file.named.as_ref().unwrap_or(&file.started).version.clone();
            files.insert(file.config_map.clone(), named.clone());
            (named, file)
        });
        let pods = self.members.values_mut().filter_map(|observed| observed.pod.as_mut());
        for pod in pods.filter(|pod| pod.component == component) {
            let named = pod.file.as_ref().and_then(|file| files.get(&file.config_map));
            named.into_iter().for_each(|named| pod.version.clone_from(named));
        }
        if let (Some((named, file)), Some(deployment)) = (current, self.deployment_mut(name, uid)) {
            (deployment.version, deployment.file) = (Some(named), Some(file));
        }
        self
    }

    /// The pods without as many restarts, by name.
    #[must_use]
    pub fn without_restarts(mut self, before: &BTreeMap<String, i32>) -> Self {
        let pods = self.members.values_mut().filter_map(|observed| observed.pod.as_mut());
        for pod in pods {
            pod.restarts -= before.get(&pod.name).copied().unwrap_or_default().min(pod.restarts);
        }
        self
    }

    /// The Deployment `name` while its pods change versions without a restart. `is_done`: whether all of them have; none where they
    /// do not.
    #[must_use]
    pub fn with_reload(mut self, (uid, name): (&str, &str), is_done: Option<bool>) -> Self {
        if let Some(deployment) = self.deployment_mut(name, uid) {
            deployment.reloaded = is_done;
        }
        self
    }

    fn deployment_mut(&mut self, name: &str, uid: &str) -> Option<&mut DeploymentState> {
        let observed = self.members.get_mut(&(Watched::Child(Kind::Deployment), name.to_owned()))?;
        match &mut observed.state {
            ChildState::Deployment(state) if observed.controller.as_deref() == Some(uid) => Some(state),
            _ => None,
        }
    }

    /// The state of the HTTPRoute `name` whose controller has the UID `uid`. None when there is no such route, or the watch has not
    /// delivered its state yet.
    pub fn route(&self, name: &str, uid: &str) -> Option<&RouteState> {
        match self.state(Kind::HTTPRoute, name, uid)? {
            ChildState::Route(state) => Some(state),
            _ => None,
        }
    }

    /// The child `name` whose controller has the UID `uid`.
    pub fn own(&self, kind: Kind, name: &str, uid: &str) -> Option<&ObservedChild> {
        self.child(kind, name).filter(|observed| observed.controller.as_deref() == Some(uid))
    }

    fn state(&self, kind: Kind, name: &str, uid: &str) -> Option<&ChildState> {
        self.own(kind, name, uid).map(|observed| &observed.state)
    }

    /// All children, without pods.
    pub fn iter(&self) -> impl Iterator<Item = (Kind, &str, &ObservedChild)> {
        self.members.iter().filter_map(|((watched, name), observed)| match watched {
            Watched::Child(kind) => Some((*kind, name.as_str(), observed)),
            Watched::Pod => None,
        })
    }

    /// Adds causes that were read elsewhere, by UID of the pod or Job.
    pub fn explain(&mut self, causes: &BTreeMap<String, String>) {
        for observed in self.members.values_mut() {
            let Some(why) = causes.get(&observed.uid) else { continue };
            match (&mut observed.pod, &mut observed.state) {
                (Some(pod), _) => pod.explain(why),
                (None, ChildState::Job(job)) => job.refused = Some(why.clone()),
                (None, _) => {}
            }
        }
    }

    /// All pods.
    pub fn pods(&self) -> impl Iterator<Item = &PodState> {
        self.members.values().filter_map(|observed| observed.pod.as_ref())
    }

    /// Adds an object whose controller has the UID `uid`, for tests.
    #[cfg(test)]
    pub fn with(mut self, watched: Watched, name: &str, state: ChildState, pod: Option<PodState>) -> Self {
        let observed = ObservedChild::example(name, state, pod);
        self.members.insert((watched, name.to_owned()), observed);
        self
    }
}
