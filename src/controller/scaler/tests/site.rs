//! An object with its fleets: what the operator does with it between two ticks, without a cluster.

use std::collections::BTreeMap;

use k8s_openapi::apimachinery::pkg::apis::meta::v1::{Condition, Time};

use super::{
    super::{Scaler, to_order},
    at,
    fleet::{Fleet, Load, Recorded},
};
use crate::{
    api::{RecommenderModelStatus, ScalingStatus, TrainingKind, TrainingStatus, Version, conditions::types},
    model::Model,
    observe::{DeploymentFacts, Facts, Family, PodFacts, Watched},
    render::{self, Kind},
    signals::Readings,
    status::{self, Note, Scaling},
    telemetry::Metrics,
    training::{Decision, Outcome, Truth},
};

/// One object.
pub struct Site {
    pub model: Model,
    pub fleets: Vec<Fleet>,
    pub status: RecommenderModelStatus,
    /// When ticks brought news.
    pub news: Vec<i64>,
    /// Events, and when they were written.
    pub notes: Vec<(i64, Note)>,
    pub scaler: Scaler,
    pub metrics: Metrics,
    training: Decision,
    /// What was last seen of the pods.
    seen: Vec<(u32, u32)>,
    /// So many of the first fleet's pods run and are not ready any more.
    unready: u32,
}

impl Site {
    pub fn new(model: Model) -> Self {
        let scaled = model.workloads().into_iter().filter(|workload| workload.scaling.is_some());
        let mut site = Self {
            fleets: scaled.map(Fleet::new).collect(),
            model,
            status: RecommenderModelStatus::default(),
            news: Vec::new(),
            notes: Vec::new(),
            scaler: Scaler::default(),
            metrics: Metrics::new(),
            training: trained(),
            seen: Vec::new(),
            unready: 0,
        };
        site.look(0);
        site
    }

    /// The operator is another process now: of the old one there is the status.
    pub fn restart(&mut self, now: i64) {
        self.scaler = Scaler::default();
        self.look(now);
    }

    /// From the next look on, so many of the first fleet's pods do not pass their readiness probes.
    pub fn lose_readiness(&mut self, count: u32) {
        (self.unready, self.seen) = (count, Vec::new());
    }

    /// A scrape interval goes by. Returns what is recorded at its end.
    pub fn go_on(&mut self, load: Load, now: i64) -> Vec<Recorded> {
        let mut recorded = Vec::new();
        for fleet in &mut self.fleets {
            fleet.follow(now);
            recorded.extend(fleet.measure(load, now));
        }
        if self.seen != self.pods(now) {
            self.look(now);
        }
        recorded
    }

    /// A tick, and the look at the object that it may call for.
    pub fn tick(&mut self, readings: Option<&Readings>, now: i64) {
        let touched = self.scaler.tick(&|_| true, readings, self.metrics.scaling(), at(now), now as f64);
        if !touched.is_empty() {
            self.news.push(now);
            self.look(now);
        }
    }

    /// As the operator looks at an object: takes over what was decided, moves the autoscaler's window, tells.
    pub fn look(&mut self, now: i64) {
        let family = self.family(now);
        let decided = self.scaler.look(&self.model, &family, &self.status, self.metrics.scaling(), at(now));
        let scaling = Scaling { decided, foreign: BTreeMap::new() };
        self.render(&scaling);
        self.order(&scaling);
        let next = status::compute(&status::Inputs {
            model: &self.model,
            prior: &self.status,
            training: &self.training,
            family: &family,
            problems: &[],
            scaling: &scaling,
            now: at(now),
        });
        self.notes.extend(status::notes(&self.status, &next).into_iter().map(|note| (now, note)));
        self.status = next;
        self.seen = self.pods(now);
    }

    fn render(&mut self, scaling: &Scaling) {
        let replicas = |fleet: &Fleet| {
            let decided = scaling.decided.get(&fleet.workload.name).map(|decided| decided.replicas);
            (fleet.workload.deployment.clone(), decided.unwrap_or(fleet.desired as i32))
        };
        let children = render::children(
            &self.model,
            &render::Decided {
                serve: self.training.versions.first(),
                train: None,
                replicas: self.fleets.iter().map(replicas).collect(),
                open: scaling.open(&self.model),
                left_alone: Default::default(),
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

    /// What is newly decided is ordered at once.
    fn order(&mut self, scaling: &Scaling) {
        for fleet in &mut self.fleets {
            let ordered = to_order(&self.status, &fleet.workload, &scaling.decided, fleet.desired as i32);
            fleet.desired = ordered.map_or(fleet.desired, |ordered| ordered as u32);
        }
    }

    /// What a workload's status says.
    pub fn told(&self, workload: &str) -> Option<&ScalingStatus> {
        match self.status.workers.iter().find(|worker| worker.name == workload) {
            Some(worker) => worker.scaling.as_ref(),
            None => self.status.serving.as_ref()?.scaling.as_ref(),
        }
    }

    pub fn scaling_active(&self) -> &Condition {
        self.status.conditions.iter().find(|condition| condition.type_ == types::SCALING_ACTIVE).expect("told")
    }

    /// Desired and ready pods of each fleet.
    fn pods(&self, now: i64) -> Vec<(u32, u32)> {
        self.fleets.iter().map(|fleet| (fleet.desired, fleet.ready(now))).collect()
    }

    fn family(&self, now: i64) -> Family {
        let mut family = Family::default();
        for fleet in &self.fleets {
            let (name, component) = (&fleet.workload.deployment, &fleet.workload.component);
            let facts = Facts::Deployment(deployment(
                component,
                fleet.desired as i32,
                fleet.ready(now).saturating_sub(self.unready) as i32,
            ));
            family = family.with(Watched::Child(Kind::Deployment), name, facts, None);
            for (index, ready) in fleet.ready.iter().enumerate() {
                let pod = pod(component, *ready, fleet.startup, now);
                let ready_since = pod.ready_since.filter(|_| index >= self.unready as usize);
                let lost_readiness = pod.started && ready_since.is_none();
                let pod = PodFacts { name: format!("{name}-{index}"), ready_since, lost_readiness, ..pod };
                family = family.with(Watched::Pod, &format!("{name}-{index}"), Facts::Nothing, Some(pod));
            }
        }
        family
    }
}

fn deployment(component: &str, desired: i32, ready: i32) -> DeploymentFacts {
    DeploymentFacts {
        version: (component == "serving").then(|| "v1".into()),
        observed: true,
        observed_generation: 1,
        applied_generation: 1,
        desired,
        total: desired,
        updated: desired,
        ready,
        stuck: None,
    }
}

fn pod(component: &str, ready: i64, startup: i64, now: i64) -> PodFacts {
    let is_ready = ready <= now;
    PodFacts {
        started: is_ready,
        job: None,
        component: component.into(),
        version: if component == "serving" { "v1".into() } else { String::new() },
        created_at: at(ready - startup),
        ready_since: is_ready.then(|| at(ready)),
        started_after: is_ready.then(|| jiff::SignedDuration::from_secs(startup)),
        blocked: None,
        end: None,
        ..PodFacts::default()
    }
}

/// A model that is trained and is not to be trained anew.
fn trained() -> Decision {
    let version = Version {
        id: "v1".into(),
        kind: TrainingKind::Full,
        job: "packages-v1".into(),
        uri: "file:///artifacts/m".into(),
        digest: "sha256:0".into(),
        bytes: 1,
        metrics: Default::default(),
        data_through: None,
        due_at: Time(at(0)),
        trained_at: Time(at(0)),
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
