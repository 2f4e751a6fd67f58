//! The children of one object, with their pods.

use std::collections::BTreeMap;

use super::{AutoscalerState, ChildState, DeploymentState, ObservedChild, PodState, RouteState, Watched};
use crate::kinds::Kind;

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

    /// The state of the HTTPRoute `name` whose controller has the UID `uid`. None when there is no such route, or the watch has not
    /// delivered its state yet.
    pub fn route(&self, name: &str, uid: &str) -> Option<&RouteState> {
        match self.state(Kind::HTTPRoute, name, uid)? {
            ChildState::Route(state) => Some(state),
            _ => None,
        }
    }

    fn state(&self, kind: Kind, name: &str, uid: &str) -> Option<&ChildState> {
        self.child(kind, name)
            .filter(|observed| observed.controller.as_deref() == Some(uid))
            .map(|observed| &observed.state)
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
