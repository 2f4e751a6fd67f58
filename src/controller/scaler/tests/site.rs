//! An object with its fleets: the operator's ticks and reconciles for it, without a cluster.

use std::collections::BTreeMap;

use k8s_openapi::apimachinery::pkg::apis::meta::v1::{Condition, Time};

use super::{
    super::Scaler,
    at,
    fleet::{Fleet, Load, Recorded},
};
use crate::{
    api::{RecommenderModelStatus, ScalingStatus, TrainingKind, TrainingStatus, Version, conditions::types},
    kinds::Kind,
    limits::Current,
    model::Model,
    observe::{ChildState, Children, DeploymentState, PodState, Watched},
    promotion::{self, Rollout},
    render,
    replicas::{self, Observation},
    signals::Readings,
    status::{self, Event, Scaling},
    telemetry::Metrics,
    training::{Decision, Outcome, Truth},
};

/// One object.
pub struct Site {
    pub model: Model,
    pub fleets: Vec<Fleet>,
    pub status: RecommenderModelStatus,
    /// Times of the ticks that enqueued the object.
    pub changed: Vec<i64>,
    /// Events, and when they were emitted.
    pub events: Vec<(i64, Event)>,
    pub scaler: Scaler,
    pub metrics: Metrics,
    training: Decision,
    /// Desired and ready pods of each fleet at the last reconcile.
    observed: Vec<(u32, u32)>,
    /// Number of the first fleet's pods that run and have lost readiness.
    unready: u32,
}

impl Site {
    pub fn new(model: Model) -> Self {
        let scaled = model.workloads().into_iter().filter(|workload| workload.scaling.is_some());
        let mut site = Self {
            fleets: scaled.map(Fleet::new).collect(),
            model,
            status: RecommenderModelStatus::default(),
            changed: Vec::new(),
            events: Vec::new(),
            scaler: Scaler::default(),
            metrics: Metrics::new(),
            training: trained(),
            observed: Vec::new(),
            unready: 0,
        };
        site.reconcile(0);
        site
    }

    /// The operator restarts: only the status is left of the old process.
    pub fn restart(&mut self, now: i64) {
        self.scaler = Scaler::default();
        self.reconcile(now);
    }

    /// From the next reconcile on, so many of the first fleet's pods fail their readiness probes.
    pub fn lose_readiness(&mut self, count: u32) {
        (self.unready, self.observed) = (count, Vec::new());
    }

    /// One scrape interval passes. Returns what is recorded at its end.
    pub fn go_on(&mut self, load: Load, now: i64) -> Vec<Recorded> {
        let mut recorded = Vec::new();
        for fleet in &mut self.fleets {
            fleet.follow(now);
            recorded.extend(fleet.measure(load, now));
        }
        if self.observed != self.pods(now) {
            self.reconcile(now);
        }
        recorded
    }

    /// A tick, and the reconcile of the object if the tick enqueues it.
    pub fn tick(&mut self, readings: Option<&Readings>, now: i64) {
        let enqueued = self.scaler.tick(&|_| true, readings, self.metrics.scaling(), at(now), now as f64);
        if !enqueued.is_empty() {
            self.changed.push(now);
            self.reconcile(now);
        }
    }

    /// One reconcile: applies the decisions to the autoscaler and the replicas, computes the status, and emits Events.
    pub fn reconcile(&mut self, now: i64) {
        let children = self.children(now);
        let decided = replicas::decided(&self.model, &self.status, &self.scaler.decided("uid"));
        let observation = Observation::new(&self.model, &children, &self.status, at(now));
        self.scaler.observe("uid", observation, self.metrics.scaling(), at(now));
        let scaling = Scaling { decided, external: BTreeMap::new() };
        self.render(&scaling);
        self.order(&scaling);
        let (model, versions) = (&self.model, &self.training.versions);
        let store = model.artifacts.root_uri();
        let servers = promotion::Servers::new(model, &self.status, &children, &Default::default(), at(now));
        let none = BTreeMap::new();
        let inputs = promotion::Inputs::new(
            model,
            (&store, versions),
            &self.status,
            &servers,
            promotion::CanaryInputs::NONE,
            &none,
            at(now),
        );
        let rollout = Rollout::decide(&inputs);
        let next = status::compute(&status::Inputs {
            reload: None,
            model: &self.model,
            prior: &self.status,
            training: &self.training,
            rollout: &rollout,
            pruning: None,
            children: &children,
            problems: &[],
            scaling: &scaling,
            health: &Default::default(),
            budgets: &Default::default(),
            canary: None,
            route: None,
            feedback: None,
            now: at(now),
        });
        self.events.extend(status::events(&self.status, &next).into_iter().map(|event| (now, event)));
        self.status = next;
        self.observed = self.pods(now);
    }

    fn render(&mut self, scaling: &Scaling) {
        let replicas = |fleet: &Fleet| {
            let decided = scaling.decided.get(&fleet.workload.name).map(|decided| decided.replicas);
            (fleet.workload.deployment.clone(), decided.unwrap_or(fleet.desired as i32))
        };
        let children = render::children(
            &self.model,
            &render::Decided {
                placement: None,
                returned: &[],
                keeps_servers: false,
                canary: None,
                shares: Default::default(),
                is_canary_held: false,
                serve: self.training.versions.first(),
                train: None,
                prune: None,
                replicas: self.fleets.iter().map(replicas).collect(),
                open: scaling.open(&self.model),
                externally_scaled: Default::default(),
            },
        );
        for fleet in &mut self.fleets {
            let autoscaler = children
                .iter()
                .find(|child| child.kind == Kind::HorizontalPodAutoscaler && child.name == fleet.workload.deployment);
            let bound = |object: &serde_json::Value, field| object["spec"][field].as_u64().expect("a bound") as u32;
            fleet.window =
                autoscaler.map(|child| (bound(&child.object, "minReplicas"), bound(&child.object, "maxReplicas")));
        }
    }

    /// Sets the replicas of new decisions on the Deployments.
    fn order(&mut self, scaling: &Scaling) {
        for fleet in &mut self.fleets {
            let current = Current { replicas: fleet.desired as i32, is_ordered: true };
            let ordered = replicas::to_order(&self.status, &fleet.workload, &scaling.decided, current, false);
            fleet.desired = ordered.map_or(fleet.desired, |ordered| ordered as u32);
        }
    }

    /// The scaling status of a workload.
    pub fn reported(&self, workload: &str) -> Option<&ScalingStatus> {
        match self.status.workers.iter().find(|worker| worker.name == workload) {
            Some(worker) => worker.scaling.as_ref(),
            None => self.status.serving.as_ref()?.scaling.as_ref(),
        }
    }

    pub fn scaling_active(&self) -> &Condition {
        self.status.conditions.iter().find(|condition| condition.type_ == types::SCALING_ACTIVE).expect("reported")
    }

    /// Desired and ready pods of each fleet.
    fn pods(&self, now: i64) -> Vec<(u32, u32)> {
        self.fleets.iter().map(|fleet| (fleet.desired, fleet.ready(now))).collect()
    }

    fn children(&self, now: i64) -> Children {
        let mut children = Children::default();
        for fleet in &self.fleets {
            let (name, component) = (&fleet.workload.deployment, &fleet.workload.component);
            let state = ChildState::Deployment(deployment(
                component,
                fleet.desired as i32,
                fleet.ready(now).saturating_sub(self.unready) as i32,
            ));
            children = children.with(Watched::Child(Kind::Deployment), name, state, None);
            for (index, ready) in fleet.ready.iter().enumerate() {
                let pod = pod(component, *ready, fleet.startup, now);
                let ready_since = pod.ready_since.filter(|_| index >= self.unready as usize);
                let lost_readiness = pod.started && ready_since.is_none();
                let pod = PodState { name: format!("{name}-{index}"), ready_since, lost_readiness, ..pod };
                children = children.with(Watched::Pod, &format!("{name}-{index}"), ChildState::Nothing, Some(pod));
            }
        }
        children
    }
}

fn deployment(component: &str, desired: i32, ready: i32) -> DeploymentState {
    DeploymentState {
        version: (component == "serving").then(|| "v1".into()),
        observed: true,
        observed_generation: 1,
        applied_generation: 1,
        desired,
        is_ordered: true,
        total: desired,
        updated: desired,
        ready,
        stuck: None,
        ..DeploymentState::default()
    }
}

fn pod(component: &str, ready: i64, startup: i64, now: i64) -> PodState {
    let is_ready = ready <= now;
    PodState {
        started: is_ready,
        job: None,
        component: component.into(),
        version: if component == "serving" { "v1".into() } else { String::new() },
        created_at: at(ready - startup),
        ready_since: is_ready.then(|| at(ready)),
        started_after: is_ready.then(|| jiff::SignedDuration::from_secs(startup)),
        blocked: None,
        end: None,
        ..PodState::default()
    }
}

/// A trained model for which no new training is due.
fn trained() -> Decision {
    let version = Version {
        id: "v1".into(),
        kind: TrainingKind::Full,
        job: "packages-v1".into(),
        uri: "file:///artifacts/m".into(),
        digest: "sha256:0".into(),
        bytes: 1,
        metrics: Default::default(),
        samples: None,
        standard_errors: Default::default(),
        gates: Vec::new(),
        canary: None,
        data_through: None,
        base: None,
        due_at: Time(at(0)),
        state: crate::api::VersionState::Candidate,
        started_at: None,
        trained_at: Time(at(0)),
        served_at: Some(Time(at(0))),
    };
    Decision {
        start: None,
        replace: Vec::new(),
        remove: Vec::new(),
        status: TrainingStatus::default(),
        versions: vec![version],
        condition: Outcome { status: Truth::True, reason: "Trained", message: "trained".into() },
        wake_at: None,
    }
}
