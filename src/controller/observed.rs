//! What a reconcile observes of an object, and what it hands over to the ticks.

use std::collections::BTreeMap;

use jiff::Timestamp;

use super::context::Context;
use crate::{
    api::RecommenderModelStatus,
    budgets, burns, health,
    kinds::Kind,
    model::Model,
    observe::{Children, ExternalAutoscaler},
    observed::OfSource,
    promotion::{
        Source, reload,
        reports::{self, Reports},
        route::Routed,
        trial::{self, Plan, Progress},
    },
    replicas::{self, Observation},
    status::ConditionValue,
    training,
};

/// The children with the versions that their files name, and servers without the restarts of versions before.
pub fn effective(
    context: &Context,
    model: &Model,
    uid: &str,
    prior: &RecommenderModelStatus,
    children: Children,
    reports: Option<&Reports>,
) -> Children {
    let children = reload::effective(model, children, prior, reports);
    let before = context.memory.restarts_before(uid, reload::since(&children, prior));
    children.without_restarts(&before)
}

/// What is observed of an object at one time, without a request.
pub struct Observed {
    pub children: Children,
    /// External autoscalers, by the Deployment they scale.
    pub external: BTreeMap<String, ExternalAutoscaler>,
    /// What the last tick decided on replicas.
    pub ticked: replicas::ScalingStatuses,
    /// What the last tick observed of its dependencies.
    pub health: health::Observed,
    /// What the last tick observed of its error budgets.
    pub budgets: budgets::Observed,
    /// How far the last tick found its canary.
    pub canary: Option<Progress>,
    /// What is known of the metric source that a canary would be counted by.
    pub source: Source,
    /// Which servers the last tick found to report the version that they are to change to.
    pub reports: Option<Reports>,
    /// The HTTPRoute that divides its requests, if one does.
    pub route: Option<Routed>,
    /// What the last tick observed of alerts on its objectives.
    pub burns: burns::Observed,
    /// What the last tick observed of the triggers, inputs and progress of its trainings.
    pub signals: training::Signals,
    /// What its metric source has loaded of it; none when there is nothing to ask.
    pub feedback: Option<ConditionValue>,
    /// Deployments whose replicas could not be set in the last reconcile.
    pub failed_orders: Vec<String>,
}

impl Observed {
    /// From the caches of the watches, and what the last tick decided and observed. `prior`: what ticks observed of trainings before a
    /// restart of the operator is taken over from it; the status would lose that until the next reconcile otherwise.
    pub fn new(
        context: &Context,
        model: &Model,
        uid: &str,
        prior: &RecommenderModelStatus,
        children: Children,
    ) -> Self {
        context.observers.triggers.update(uid, model, prior);
        context.observers.inputs.update(uid, model, prior);
        context.observers.progress.update(uid, model, prior);
        let namespace = &model.identity.namespace;
        let scaled = model.workloads().into_iter().filter(|workload| workload.scaling.is_some());
        let external = scaled.filter_map(|workload| {
            let external = context.cache.external_autoscaler(namespace, &workload.deployment)?;
            Some((workload.deployment, external))
        });
        let reports = context.observers.reloads.observed(uid);
        let route = Routed::new(model, &children, context.cache.has_kind(Kind::HTTPRoute));
        Self {
            children: effective(context, model, uid, prior, children, reports.as_ref()),
            reports,
            route,
            external: external.collect(),
            ticked: context.scaler.decided(uid),
            health: context.observers.dependencies.observed(uid),
            budgets: context.observers.budgets.observed(uid),
            canary: context.observers.canaries.observed(uid),
            source: source(context, model, uid),
            burns: context.observers.burns.observed(uid),
            signals: training::Signals {
                inputs: context.observers.inputs.observed(uid),
                progress: context.observers.progress.observed(uid),
                ..context.observers.triggers.observed(uid)
            },
            feedback: None,
            failed_orders: context.memory.failed_orders(uid),
        }
    }

    /// Gives the ticks what was observed: they decide on it until the next reconcile.
    pub fn hand_over(
        &self,
        context: &Context,
        model: &Model,
        uid: &str,
        prior: &RecommenderModelStatus,
        Handed { canary, reload, waits_for_source }: Handed,
        now: Timestamp,
    ) {
        let observation = Observation::new(model, &self.children, prior, now);
        context.scaler.observe(uid, observation, context.metrics.scaling(), now);
        context.observers.dependencies.update(uid, model, prior);
        context.observers.budgets.update(uid, model, prior);
        context.observers.burns.update(uid, model, prior);
        context.observers.sources.update_with(uid, model, prior, |state| state.plan(waits_for_source));
        context.observers.reloads.update_with(uid, model, prior, |state| state.plan(reload));
        context
            .observers
            .canaries
            .update_with(uid, model, prior, |state| state.plan(canary, trial::status(prior), now));
    }
}

/// What the ticks need of what a reconcile has decided.
pub struct Handed {
    /// Of the canary.
    pub canary: Option<Plan>,
    /// Of servers that change versions.
    pub reload: Option<reports::Plan>,
    /// Whether a version waits for its metric source, to be a canary.
    pub waits_for_source: bool,
}

/// What is known of the metric source of an object.
fn source(context: &Context, model: &Model, uid: &str) -> Source {
    let name = OfSource::new(model).source;
    if context.signals.is_configured(&name) {
        context.observers.sources.observed(uid)
    } else {
        Source::Unconfigured(name)
    }
}
