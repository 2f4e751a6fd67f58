//! The status of an object that serves, in every state of its parts.

mod conditions;
mod events;
mod monitoring;
mod problems;
mod scaling;
mod serving;

use serde_json::json;

use super::*;
use crate::{
    api::{
        ActiveRun, FinishedRun, PartialTrainingStatus, RecommenderModel, TrainingKind, TrainingStatus, Trigger,
        Version, VersionState,
    },
    budgets::Budget,
    kinds::Kind,
    observe::{Blocked, ChildState, PodState, Watched},
    promotion,
    training::{Decision, Outcome, Truth},
};

/// What a reconcile decides on the served version.
pub(super) fn rollout(
    training: &Decision,
    prior: &RecommenderModelStatus,
    model: &Model,
    children: &Children,
) -> Rollout {
    let store = model.artifacts.root_uri();
    let servers = promotion::Servers::new(model, prior, children, &Default::default(), NOW);
    let versions = (store.as_str(), training.versions.as_slice());
    Rollout::decide(&promotion::Inputs::new(
        model,
        versions,
        prior,
        &servers,
        promotion::CanaryInputs::NONE,
        &Default::default(),
        NOW,
    ))
}

/// The time of every reconcile.
pub(super) const NOW: Timestamp = Timestamp::constant(1_800_000_000, 0);

fn model(serving: serde_json::Value) -> Model {
    let mut object = json!({
        "apiVersion": "recommender.dev/v1alpha1", "kind": "RecommenderModel",
        "metadata": {"name": "packages", "namespace": "shop", "uid": "uid", "generation": 3},
        "spec": {
            "artifacts": {"persistentVolumeClaim": {"claimName": "models"}},
            "training": {"image": "t", "full": {}},
            "serving": {"image": "s"},
        },
    });
    for (field, value) in serving.as_object().expect("an object") {
        object["spec"]["serving"][field] = value.clone();
    }
    let object: RecommenderModel = serde_json::from_value(object).expect("a valid object");
    Model::new(&object, NOW).expect("a valid model")
}

fn version(id: &str) -> Version {
    Version {
        id: id.into(),
        kind: TrainingKind::Full,
        job: format!("packages-{id}"),
        uri: "file:///artifacts/m".into(),
        digest: "sha256:0".into(),
        bytes: 1,
        metrics: Default::default(),
        samples: None,
        standard_errors: BTreeMap::new(),
        gates: Vec::new(),
        canary: None,
        data_through: None,
        base: None,
        due_at: Time(NOW),
        state: VersionState::Candidate,
        started_at: None,
        trained_at: Time(NOW),
        served_at: None,
    }
}

pub(super) fn training(status: Truth, reason: &'static str, versions: &[&str]) -> Decision {
    Decision {
        start: None,
        replace: Vec::new(),
        remove: Vec::new(),
        status: TrainingStatus::default(),
        versions: versions.iter().map(|id| version(id)).collect(),
        condition: Outcome { status, reason, message: format!("training: {reason}") },
        wake_at: None,
    }
}

pub(super) fn deployment(version: &str, ready: i32, desired: i32) -> DeploymentState {
    DeploymentState {
        version: Some(version.into()),
        observed: true,
        observed_generation: 2,
        applied_generation: 2,
        desired,
        is_ordered: false,
        total: desired,
        updated: desired,
        ready,
        stuck: None,
        ..DeploymentState::default()
    }
}

pub(super) fn children(state: DeploymentState) -> Children {
    Children::default().with(Watched::Child(Kind::Deployment), "packages-serving", ChildState::Deployment(state), None)
}

pub(super) fn serving(version: &str) -> RecommenderModelStatus {
    let serving = ServingStatus { version: Some(version.into()), ..ServingStatus::default() };
    RecommenderModelStatus { serving: Some(serving), ..RecommenderModelStatus::default() }
}

pub(super) struct Case {
    pub(super) model: Model,
    pub(super) prior: RecommenderModelStatus,
    pub(super) training: Decision,
    pub(super) children: Children,
    pub(super) problems: Vec<ChildProblem>,
    pub(super) scaling: Scaling,
    pub(super) health: health::Observed,
    pub(super) budgets: budgets::Observed,
    pub(super) feedback: Option<ConditionValue>,
    pub(super) route: Option<Routed>,
    pub(super) pruning: Option<PruningStatus>,
}

impl Case {
    pub(super) fn new(prior: RecommenderModelStatus, training: Decision, children: Children) -> Self {
        Self {
            model: model(json!({"replicas": 2})),
            prior,
            training,
            children,
            problems: Vec::new(),
            scaling: Scaling::default(),
            health: health::Observed::default(),
            budgets: budgets::Observed::default(),
            feedback: None,
            route: None,
            pruning: None,
        }
    }

    pub(super) fn with_problem(mut self, kind: Kind, reason: &'static str, permanent: bool) -> Self {
        let name = "packages-serving".into();
        self.problems.push(ChildProblem {
            kind,
            name,
            reason,
            message: format!("{}: {reason}", kind.as_str()),
            permanent,
        });
        self
    }

    /// Version v1 serves by two pods, and its training has succeeded.
    pub(super) fn well() -> Self {
        Self::new(serving("v1"), training(Truth::True, reasons::TRAINED, &["v1"]), children(deployment("v1", 2, 2)))
    }

    fn rollout(&self) -> Rollout {
        rollout(&self.training, &self.prior, &self.model, &self.children)
    }

    fn inputs<'a>(&'a self, rollout: &'a Rollout) -> Inputs<'a> {
        Inputs {
            reload: None,
            model: &self.model,
            prior: &self.prior,
            training: &self.training,
            rollout,
            pruning: self.pruning.as_ref(),
            children: &self.children,
            problems: &self.problems,
            scaling: &self.scaling,
            health: &self.health,
            budgets: &self.budgets,
            canary: None,
            route: self.route.as_ref(),
            feedback: self.feedback.as_ref(),
            now: NOW,
        }
    }

    pub(super) fn compute(&self) -> RecommenderModelStatus {
        compute(&self.inputs(&self.rollout()))
    }

    /// Ready, Reconciling, Stalled, ServingReady: status and reason.
    fn summary(&self) -> [String; 4] {
        let status = self.compute();
        [types::READY, types::RECONCILING, types::STALLED, types::SERVING_READY].map(|type_| {
            let condition = status.conditions.iter().find(|condition| condition.type_ == type_).expect(type_);
            format!("{} {}", condition.status, condition.reason)
        })
    }
}
