//! One reconcile of one object, step by step.

use std::{
    collections::{BTreeMap, BTreeSet},
    sync::Arc,
    time::Duration,
};

use jiff::Timestamp;
use kube::{ResourceExt, runtime::controller::Action};

use super::{
    context::Context,
    error::Error,
    explain::{self, Explained},
    report, runs,
};
use crate::{
    api::{
        Guarded, RecommenderModel, RecommenderModelStatus,
        conditions::{reasons, types},
    },
    apply::{self, Desired, Outcome},
    feedback::Expected,
    health,
    kinds::Kind,
    limits::Current,
    model::{Identity, Model, Workload},
    observe::{ChildState, Children, ExternalAutoscaler},
    promotion::{self, Rollout},
    render::{self, Child, Decided},
    replicas::{self, Observation},
    status::{self, ConditionValue, Event, FIRST_METRICS, Scaling},
    telemetry::OfModel,
    training::{self, Decision, Plan},
};

/// Everything known at the beginning of a reconcile.
struct Reconcile {
    object: Arc<Guarded>,
    identity: Identity,
    uid: String,
    prior: RecommenderModelStatus,
    now: Timestamp,
}

/// What is observed of an object at one time, without a request.
struct Observed {
    children: Children,
    /// External autoscalers, by the Deployment they scale.
    external: BTreeMap<String, ExternalAutoscaler>,
    /// What the last tick decided on replicas.
    ticked: replicas::ScalingStatuses,
    /// What the last tick observed of its dependencies.
    health: health::Observed,
    /// What its metric source has loaded of it; none when there is nothing to ask.
    feedback: Option<ConditionValue>,
    /// Deployments whose replicas could not be set in the last reconcile.
    failed_orders: Vec<String>,
}

/// What is decided in a reconcile.
struct Decisions {
    training: Decision,
    rollout: Rollout,
    scaling: Scaling,
    /// Replicas to set at once, by Deployment.
    orders: Vec<(String, i32)>,
}

/// Brings the cluster in line with an object:
///
/// 1. validate the object, and observe its cached children and what the last tick decided on replicas (no request, except for
///    the Events of what hangs)
/// 2. decide what to train, what to serve, and which replicas to set (pure)
/// 3. render the children (pure, cannot fail)
/// 4. apply what is not as desired, delete what is no longer desired, order the replicas that were newly decided
/// 5. report: observe the children again, compute the status (pure), and write it if it changed
///
/// Decisions use only what the first step read: the caches of the watches, and the decisions of the ticks
/// ([`super::scaler`]). The status is computed from the caches as they are after the writes.
///
/// # Errors
/// What could not be done and is retried.
pub async fn reconcile(context: &Context, object: Arc<Guarded>, now: Timestamp) -> Result<Action, Error> {
    let Some(mut reconcile) = Reconcile::at(context, object, now) else {
        return Ok(Action::await_change());
    };
    let model = match reconcile.validate(&context.runbooks) {
        Ok(model) => model,
        Err(message) => return reconcile.refuse(context, &message).await,
    };
    let children = reconcile.restore(context, &model).await;
    let mut observed = reconcile.observe(context, &model, children);
    let explained = reconcile.explain(context, &observed.children).await;
    observed.children.explain(&explain::found(&explained));
    let decisions = reconcile.decide(&model, &observed);
    let desired = reconcile.render(&model, &decisions, &observed);
    let outcome = reconcile.apply(context, &model, &decisions, &desired, &observed.children).await;
    let mut children = reconcile.children(context);
    children.explain(&explain::found(&explained));
    observed.feedback = reconcile.feedback(context, &model, &desired, &children, &outcome);
    reconcile.report(context, &model, &decisions, &observed, &children, &outcome).await?;
    let next_read = explain::next_read(&explained);
    reconcile.next(&model, &decisions.training, &children, next_read, outcome)
}

impl Reconcile {
    /// None when there is nothing to do: the object is being deleted, not everything was listed yet, or the lease is lost.
    fn at(context: &Context, object: Arc<Guarded>, now: Timestamp) -> Option<Self> {
        let meta = kube::Resource::meta(object.as_ref());
        let uid = meta.uid.clone()?;
        if meta.deletion_timestamp.is_some() || !context.cache.is_loaded() || !context.may_write() {
            return None;
        }
        let shown = object.0.as_ref().ok().map(|model| model.status.clone().unwrap_or_default());
        let version = meta.resource_version.as_ref().and_then(|version| version.parse().ok()).unwrap_or_default();
        let prior = context.memory.newest_status(&uid, version, shown.as_ref());
        Some(Self { identity: Identity::of(meta, now), uid, prior, now, object })
    }

    fn validate(&self, runbooks: &Arc<str>) -> Result<Model, String> {
        let object: &RecommenderModel =
            self.object.0.as_ref().map_err(|error| {
                format!("the object cannot be read by this version of the operator: {}", error.error)
            })?;
        Model::new(object, self.now)
            .map(|model| model.with_runbooks(runbooks))
            .map_err(|problems| problems.iter().map(ToString::to_string).collect::<Vec<_>>().join("; "))
    }

    /// Reports an object that is invalid or unreadable. Its children stay, and there is nothing to do until it is changed.
    async fn refuse(&self, context: &Context, message: &str) -> Result<Action, Error> {
        let generation = self.identity.generation;
        let next = status::stalled(&self.prior, generation, reasons::INVALID_SPEC, message, self.now);
        if self.object.0.is_ok() {
            report::report(context, &self.identity, &self.uid, &self.prior, &next, self.now).await?;
        } else {
            report::report_unreadable(context, &self.identity, &self.uid, &self.prior, &next, self.now).await?;
        }
        Ok(Action::await_change())
    }

    fn children(&self, context: &Context) -> Children {
        context.cache.children(&self.identity.namespace, &self.identity.base)
    }

    fn observe(&self, context: &Context, model: &Model, children: Children) -> Observed {
        let scaled = model.workloads().into_iter().filter(|workload| workload.scaling.is_some());
        let external = scaled.filter_map(|workload| {
            let external = context.cache.external_autoscaler(&self.identity.namespace, &workload.deployment)?;
            Some((workload.deployment, external))
        });
        Observed {
            children,
            external: external.collect(),
            ticked: context.scaler.decided(&self.uid),
            health: context.dependencies.observed(&self.uid),
            feedback: None,
            failed_orders: context.memory.failed_orders(&self.uid),
        }
    }

    /// Takes over the children that were restored from a backup, and the version they serve. Returns the children as they are
    /// then.
    async fn restore(&mut self, context: &Context, model: &Model) -> Children {
        let mut children = self.children(context);
        if apply::take_over(&context.cluster, &context.cache, &self.identity, &children).await {
            children = self.children(context);
        }
        let store = model.artifacts.root_uri();
        if let Some(version) = promotion::restored(&self.identity, &store, &self.prior, &children) {
            self.prior.serving.get_or_insert_default().version = Some(version.id.clone());
            self.prior.versions.push(version);
        }
        children
    }

    /// Reads why pods and Jobs hang, where only Events state it.
    async fn explain(&self, context: &Context, children: &Children) -> Explained {
        let hanging = explain::hanging(children, &self.uid, self.now);
        let known = context.memory.explained(&self.uid);
        let explained = explain::explain(&context.cluster, &self.identity.namespace, &hanging, &known, self.now).await;
        if explained != known {
            context.memory.explain(&self.uid, &explained);
        }
        explained
    }

    fn decide(&self, model: &Model, observed: &Observed) -> Decisions {
        let training = self.training(model, &observed.children);
        let store = model.artifacts.root_uri();
        let inputs =
            promotion::Inputs::new(&self.identity, &store, &training.versions, &self.prior, &observed.children);
        let rollout = Rollout::decide(&inputs);
        let decided = replicas::decided(model, &self.prior, &observed.ticked);
        let scaling = Scaling { decided, external: observed.external.clone() };
        let orders = self.orders(model, &scaling, observed);
        Decisions { training, rollout, scaling, orders }
    }

    fn training(&self, model: &Model, children: &Children) -> Decision {
        let serving = self.prior.serving.clone().unwrap_or_default();
        let in_use: Vec<String> = serving.version.into_iter().chain(serving.rolling_out).collect();
        let plan = Plan::new(model, render::training_template(model));
        training::decide(&training::Inputs {
            plan: &plan,
            prior: self.prior.training.as_ref(),
            versions: &self.prior.versions,
            in_use: &in_use,
            runs: &runs::observed(&runs::Inputs {
                children,
                uid: &self.uid,
                namespace: &self.identity.namespace,
                active: self.prior.training.as_ref().and_then(|training| training.active.as_ref()),
                now: self.now,
            }),
            now: self.now,
            // A reconcile starts only after every list was delivered, and our own writes are recorded at once.
            runs_complete: true,
        })
    }

    fn render(&self, model: &Model, decisions: &Decisions, observed: &Observed) -> Vec<Child> {
        let Decisions { training, rollout, scaling, .. } = decisions;
        // Until something is decided, the current replicas stay.
        let replicas = |workload: Workload| {
            let decided = scaling.decided.get(&workload.name).map(|decided| decided.replicas);
            let current = || observed.children.deployment(&workload.deployment, &self.uid).map(|state| state.desired);
            Some((decided.or_else(current)?, workload.deployment))
        };
        let decided = Decided {
            serve: rollout.serve.as_ref(),
            train: training.start.as_ref(),
            replicas: model.workloads().into_iter().filter_map(replicas).map(|(count, name)| (name, count)).collect(),
            open: scaling.open(model),
            externally_scaled: scaling.external.keys().cloned().collect(),
        };
        render::children(model, &decided)
    }

    /// Replicas to set, by Deployment: those that were newly decided, see [`replicas::to_order`]. An external autoscaler takes
    /// precedence.
    fn orders(&self, model: &Model, scaling: &Scaling, observed: &Observed) -> Vec<(String, i32)> {
        let Observed { children, failed_orders: failed, .. } = observed;
        let ours = model.workloads().into_iter().filter(|of| !scaling.external.contains_key(&of.deployment));
        let order = |workload: Workload| {
            let state = children.deployment(&workload.deployment, &self.uid)?;
            let current = Current { replicas: state.desired, is_ordered: state.is_ordered };
            let has_failed = failed.contains(&workload.deployment);
            let replicas = replicas::to_order(&self.prior, &workload, &scaling.decided, current, has_failed)?;
            Some((workload.deployment, replicas))
        };
        ours.filter_map(order).collect()
    }

    /// Before the first request, the ticks get what was observed: they decide on it until the next reconcile.
    async fn apply(
        &self,
        context: &Context,
        model: &Model,
        decisions: &Decisions,
        desired: &[Child],
        children: &Children,
    ) -> Outcome {
        let observation = Observation::new(model, children, &self.prior, self.now);
        context.scaler.observe(&self.uid, observation, context.metrics.scaling(), self.now);
        context.dependencies.update(&self.uid, model, &self.prior);
        let ended = decisions.training.replace.iter().chain(&decisions.training.remove);
        let desired = Desired {
            identity: &self.identity,
            uid: &self.uid,
            children: desired,
            serving_decided: decisions.rollout.serve.is_some(),
            jobs_to_delete: &ended.map(|run| (run.job.as_str(), run.uid.as_str())).collect::<Vec<_>>(),
            replicas: &decisions.orders,
            corrections: &context.memory.corrections(&self.uid),
            now: self.now,
        };
        apply::apply(&context.cluster, &context.cache, &desired, children).await
    }

    /// What the metric source has loaded of the children that were applied. None where they could not be, and where there is no
    /// source.
    fn feedback(
        &self,
        context: &Context,
        model: &Model,
        desired: &[Child],
        children: &Children,
        outcome: &Outcome,
    ) -> Option<ConditionValue> {
        let is_applied = !outcome.problems.iter().any(|of| of.kind.condition() == types::MONITORING_READY);
        let expected =
            Expected::new(model, desired).filter(|of| is_applied && context.signals.is_configured(&of.source));
        let is_ready = |workload: &Workload| {
            children.pods().any(|pod| pod.component == workload.component && pod.ready_since.is_some())
        };
        let ready: BTreeSet<String> =
            model.workloads().into_iter().filter(is_ready).map(|workload| workload.name).collect();
        context.feedback.update(&self.uid, expected, ready, &self.prior, self.now);
        // It may have been deleted during the requests of this reconcile, and it is forgotten only once.
        if super::is_gone(context, &self.object) {
            context.feedback.forget(&self.uid);
        }
        context.feedback.condition(&self.uid)
    }

    fn status(
        &self,
        model: &Model,
        decisions: &Decisions,
        observed: &Observed,
        children: &Children,
        outcome: &Outcome,
    ) -> RecommenderModelStatus {
        status::compute(&status::Inputs {
            model,
            prior: &self.prior,
            training: &decisions.training,
            rollout: &decisions.rollout,
            scaling: &decisions.scaling,
            health: &observed.health,
            feedback: observed.feedback.as_ref(),
            children,
            problems: &outcome.problems,
            now: self.now,
        })
    }

    async fn report(
        &self,
        context: &Context,
        model: &Model,
        decisions: &Decisions,
        observed: &Observed,
        children: &Children,
        outcome: &Outcome,
    ) -> Result<(), Error> {
        let next = &self.status(model, decisions, observed, children, outcome);
        context.metrics.set_model(
            &self.identity.namespace,
            &self.identity.name,
            &of_model(decisions, next, context.feedback.rules_loaded(&self.uid)),
        );
        context.memory.ordered(&self.uid, &outcome.failed_orders);
        // Recorded before anything can fail. Only the first correction of a series is an Event; if the series continues, a
        // condition reports it.
        let is_first = |(kind, name): &&(Kind, String)| context.memory.corrected(&self.uid, *kind, name, self.now);
        let corrected: Vec<_> =
            outcome.corrected.iter().filter(is_first).map(|(kind, name)| restored(*kind, name)).collect();
        report::report(context, &self.identity, &self.uid, &self.prior, next, self.now).await?;
        report::emit(context, &self.identity, &self.uid, &corrected, self.now).await;
        Ok(())
    }

    /// When to reconcile again without a change.
    fn next(
        &self,
        model: &Model,
        training: &Decision,
        children: &Children,
        next_read: Option<Timestamp>,
        outcome: Outcome,
    ) -> Result<Action, Error> {
        let until = |instant: Timestamp| Duration::try_from(instant.duration_since(self.now)).unwrap_or_default();
        let schedule = training.wake_at.map(until);
        let later =
            [self.report_due(children), self.first_metrics_due(model, children), self.blocked_due(children), next_read];
        let wakes = later.into_iter().map(|due| due.map(until)).chain([schedule]);
        // One second late, so that what is due then is due for certain.
        let due = wakes.flatten().min().map(|wake| wake + Duration::from_secs(1));
        match outcome.problems.into_iter().find(|problem| problem.reason != reasons::API_MISSING) {
            Some(problem) => Err(Error::Child { problem, due }),
            None => Ok(due.map_or_else(Action::await_change, Action::requeue)),
        }
    }

    /// When a complete Job whose report was not observed counts as one without a report.
    fn report_due(&self, children: &Children) -> Option<Timestamp> {
        let is_reported = |job: &str| children.pods().any(|pod| pod.job.as_deref() == Some(job) && pod.end.is_some());
        let ends = children.of_kind(Kind::Job).filter_map(|(name, observed)| match &observed.state {
            ChildState::Job(job) if !is_reported(name) => Some(job.end.as_ref()?.observed_at + runs::POD_LAG),
            _ => None,
        });
        ends.filter(|due| *due > self.now).min()
    }

    /// When a pod that does not start, or a Job that gets no pod, is to be reported.
    fn blocked_due(&self, children: &Children) -> Option<Timestamp> {
        let blocked = children.pods().filter_map(|pod| Some(pod.blocked.as_ref()?.counts_from));
        let unexplained = children.pods().filter_map(|pod| Some(pod.unexplained?.from));
        let lingering = children.pods().filter_map(runs::lingers_from);
        let jobs = children.of_kind(Kind::Job).filter_map(|(_, observed)| match &observed.state {
            ChildState::Job(job) if job.end.is_none() => job.pod_due,
            _ => None,
        });
        blocked.chain(unexplained).chain(jobs).chain(lingering).filter(|due| *due > self.now).min()
    }

    /// When an autoscaler without metrics is to be reported.
    fn first_metrics_due(&self, model: &Model, children: &Children) -> Option<Timestamp> {
        let by_cpu = |workload: Workload| workload.scaling.is_some_and(|scaling| !scaling.is_decided());
        model.workloads().into_iter().any(by_cpu).then_some(())?;
        let due = children.of_kind(Kind::HorizontalPodAutoscaler).filter_map(|(_, observed)| match &observed.state {
            ChildState::Autoscaler(state) => match &state.active {
                Some((false, _)) => Some(state.created_at + FIRST_METRICS),
                _ => None,
            },
            _ => None,
        });
        due.filter(|due| *due > self.now).min()
    }
}

/// What the operator's metrics report of an object.
fn of_model(decisions: &Decisions, next: &RecommenderModelStatus, rules_loaded: Option<bool>) -> OfModel {
    let training = next.training.as_ref();
    OfModel {
        training_failed: training.and_then(|training| training.last.as_ref()).is_some_and(|run| !run.succeeded),
        serving_expected: decisions.rollout.serve.is_some() || decisions.rollout.elsewhere.is_some(),
        serving_ready: next.serving.as_ref().map_or(0, |serving| serving.replicas),
        trained: next.versions.first().map(|version| version.trained_at.0.as_second()),
        rules_loaded,
    }
}

fn restored(kind: Kind, name: &str) -> Event {
    Event {
        warning: false,
        reason: reasons::CHILD_RESTORED.into(),
        message: format!("{} {name} was changed by another field manager and corrected", kind.as_str()),
    }
}

/// The name of an object for logs: namespace/name.
pub fn display_name(object: &Guarded) -> String {
    format!("{}/{}", object.namespace().unwrap_or_default(), object.name_any())
}
