//! One reconcile of one object, step by step.

use std::{collections::BTreeSet, sync::Arc, time::Duration};

use jiff::{SignedDuration, Timestamp};
use kube::{ResourceExt, runtime::controller::Action};

use super::{
    context::Context,
    error::Error,
    explain::{self, Explained},
    gateways,
    observed::{self, Handed, Observed},
    report,
    ticked::Observe,
    wakes,
};
use crate::{
    api::{
        FinishedRun, Guarded, RecommenderModel, RecommenderModelStatus, TrainingKind,
        conditions::{reasons, types},
    },
    apply::{self, ChildProblem, Desired, Outcome},
    child::Child,
    feedback::Expected,
    kinds::Kind,
    model::{Identity, Model, Workload},
    names,
    observe::Children,
    promotion::{self, reload, route::Routed, trial},
    render::{self, Decided},
    status::{self, ConditionValue, Event},
    telemetry::models,
};

mod decisions;

use decisions::Decisions;

/// Time after which a training that waits for others asks again: 60 s. It is woken when one ends, unless that is not observed.
const HELD: SignedDuration = SignedDuration::from_secs(60);

/// Everything known at the beginning of a reconcile.
struct Reconcile {
    object: Arc<Guarded>,
    identity: Identity,
    uid: String,
    prior: RecommenderModelStatus,
    /// The version that serves although the status was lost.
    found: Option<String>,
    now: Timestamp,
}

/// Brings the cluster in line with an object:
///
/// 1. validate the object, and observe its cached children and what the last tick decided on replicas (no request, except for
///    the Events of what hangs)
/// 2. decide what to train, what to serve, and which replicas to set (pure)
/// 3. render the children (pure, cannot fail); before that, write the status if a version is taken back
/// 4. apply what is not as desired, delete what is no longer desired, order the replicas that were newly decided
/// 5. report: observe the children again, compute the status (pure), and write it if it changed
///
/// Decisions use only what the first step read: the caches of the watches, and the decisions of the ticks
/// ([`super::scaler`]). The status is computed from the caches as they are after the writes.
///
/// # Errors
/// What could not be done and is retried.
pub async fn reconcile(context: &Context, object: Arc<Guarded>, now: Timestamp) -> Result<Action, Error> {
    let Some(mut reconcile) = Reconcile::at(context, Arc::clone(&object), now) else {
        // One that is being deleted trains no more.
        context.admission.reconciled(kube::Resource::meta(object.as_ref()).uid.as_deref().unwrap_or_default(), false);
        return Ok(Action::await_change());
    };
    let model = match reconcile.validate(context) {
        Ok(model) => model,
        Err(message) => return reconcile.refuse(context, &message).await,
    };
    let children = reconcile.restore(context, &model).await;
    let mut observed = Observed::new(context, &model, &reconcile.uid, &reconcile.prior, children);
    let explained = reconcile.explain(context, &observed.children).await;
    observed.children.explain(&explain::found(&explained));
    let gateways = reconcile.gateways(context, &model, observed.route.as_ref()).await;
    let refusal = gateways::refusal(&model, gateways.as_ref());
    let asks_again = gateways.filter(|_| refusal.is_some()).map(|read| read.next());
    if let Some(why) = refusal {
        observed.route = observed.route.map(|route| route.refused(why));
    }
    let decisions = reconcile.decide(context, &model, &observed);
    reconcile.record(context, &decisions).await?;
    let desired = reconcile.render(&model, &decisions, &observed);
    let outcome = reconcile.apply(context, &model, &decisions, &desired, &observed).await;
    context.admission.reconciled(&reconcile.uid, decisions.is_held);
    context.metrics.set_trainings_waiting(context.admission.waiting());
    let (children, reports) = (reconcile.children(context), observed.reports.as_ref());
    let mut children = observed::effective(context, &model, &reconcile.uid, &reconcile.prior, children, reports);
    children.explain(&explain::found(&explained));
    observed.feedback = reconcile.feedback(context, &model, &desired, &children, &outcome);
    reconcile.report(context, &model, &decisions, &observed, &children, &outcome).await?;
    let held_until = decisions.is_held.then(|| now + HELD);
    let next_read = [explain::next_read(&explained), asks_again, held_until].into_iter().flatten().min();
    reconcile.next(&model, &decisions, &children, next_read, outcome)
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
        Some(Self { identity: Identity::of(meta, now), uid, prior, found: None, now, object })
    }

    fn validate(&self, context: &Context) -> Result<Model, String> {
        let object: &RecommenderModel =
            self.object.0.as_ref().map_err(|error| {
                format!("the object cannot be read by this version of the operator: {}", error.error)
            })?;
        Model::new(object, self.now)
            .map(|model| model.with_runbooks(&context.runbooks).with_hot_reload(context.may_reload()))
            .map_err(|problems| problems.iter().map(ToString::to_string).collect::<Vec<_>>().join("; "))
    }

    /// Reports an object that is invalid or unreadable. Its children stay, and there is nothing to do until it is changed.
    async fn refuse(&self, context: &Context, message: &str) -> Result<Action, Error> {
        context.admission.reconciled(&self.uid, false);
        // Ticks would count on: the time that it waits for pods, and that it is judged.
        context.observers.canaries.forget(&self.uid);
        let ended = self.end_canary(context).await;
        let generation = self.identity.generation;
        let next = status::stalled(&self.prior, generation, reasons::INVALID_SPEC, message, self.now);
        if self.object.0.is_ok() {
            report::report(context, &self.identity, &self.uid, &self.prior, &next, self.now).await?;
        } else {
            report::report_unreadable(context, &self.identity, &self.uid, &self.prior, &next, self.now).await?;
        }
        ended.map(|()| Action::await_change())
    }

    /// Deletes the pods of a canary of an object that is not reconciled: nothing follows the verdict on it. It begins anew once the object
    /// is valid.
    async fn end_canary(&self, context: &Context) -> Result<(), Error> {
        let (children, name) = (self.children(context), names::canary(&self.identity.base));
        let canary = children.own(Kind::Deployment, &name, &self.uid).filter(|of| !of.deleting);
        let Some(canary) = canary else { return Ok(()) };
        let state = children.route(&self.identity.base, &self.uid).filter(|route| route.gives());
        let route = children.own(Kind::HTTPRoute, &self.identity.base, &self.uid);
        if let Some((state, route)) = state.zip(route) {
            let name = self.identity.base.as_str();
            // Its pods go once the Gateways have observed that, which enqueues the object.
            if state.canary == 0 && state.mirrored == 0 {
                return Ok(());
            }
            let rules = render::closed_route(&self.identity.base);
            let closed = context.cluster.set_rules(&self.identity.namespace, name, &route.uid, &rules).await;
            return closed
                .map_err(|error| Error::Child { problem: apply::failed(Kind::HTTPRoute, name, &error), due: None });
        }
        let deleted = context.cluster.delete(Kind::Deployment, &self.identity.namespace, &name, &canary.uid).await;
        deleted.map_err(|error| Error::Child { problem: apply::failed(Kind::Deployment, &name, &error), due: None })
    }

    fn children(&self, context: &Context) -> Children {
        context.cache.children(&self.identity.namespace, &self.identity.base)
    }

    /// Takes over the children that were restored from a backup, and the version they serve. Returns the children as they are
    /// then.
    async fn restore(&mut self, context: &Context, model: &Model) -> Children {
        let mut children = self.children(context);
        if apply::take_over(&context.cluster, &context.cache, &self.identity, &children).await {
            children = self.children(context);
        }
        self.found = promotion::served(&self.identity, &self.prior, &children);
        if self.found.is_some() {
            // It is not known whether it was followed. What serves goes on until it is set anew.
            self.prior.last_rollback.clone_from(&model.promotion_requests.rollback);
        }
        let read = if self.found.is_some() { self.read_versions(model, &children) } else { Vec::new() };
        let restored = promotion::restored(&self.identity, &self.prior, &children, &read);
        // Also one that a report gives serves on: it is not judged, held or promoted again.
        if let Some(found) = &self.found {
            self.prior.serving.get_or_insert_default().version = Some(found.clone());
        }
        self.prior.versions.extend(restored);
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

    /// Reads what the Gateways of a canary can do, where that has to be known.
    async fn gateways(&self, context: &Context, model: &Model, route: Option<&Routed>) -> Option<gateways::Read> {
        let (known, of) = (context.memory.gateways(&self.uid), gateways::asked(model, &self.prior, route));
        let read = match of {
            Some(of) => {
                let namespace = &self.identity.namespace;
                Some(gateways::read(&context.cluster, namespace, of, known.clone(), self.now).await)
            }
            None => None,
        };
        if read != known {
            context.memory.read_gateways(&self.uid, read.clone());
        }
        read
    }

    /// Records that a version is taken back, or that servers are to change versions, before that is applied.
    async fn record(&mut self, context: &Context, decisions: &Decisions) -> Result<(), Error> {
        let Decisions { rollout, reload, .. } = decisions;
        if !(rollout.is_recorded_first || reload.is_recorded_first) {
            return Ok(());
        }
        let next = status::recorded(&self.prior, rollout, reload.status.as_ref(), self.now);
        report::report(context, &self.identity, &self.uid, &self.prior, &next, self.now).await?;
        self.prior = next;
        Ok(())
    }

    fn render(&self, model: &Model, decisions: &Decisions, observed: &Observed) -> Vec<Child> {
        let Decisions { training, rollout, reload, scaling, .. } = decisions;
        // Until something is decided, the current replicas stay.
        let replicas = |workload: Workload| {
            let decided = scaling.decided.get(&workload.name).map(|decided| decided.replicas);
            let current = || observed.children.deployment(&workload.deployment, &self.uid).map(|state| state.desired);
            Some((decided.or_else(current)?, workload.deployment))
        };
        let decided = Decided {
            serve: rollout.serve.as_ref(),
            placement: reload.placement.as_ref(),
            returned: &reload.returned,
            keeps_servers: reload.keeps_servers,
            canary: rollout.canary.as_ref().zip(decisions.canary_pods),
            shares: decisions.directed.shares,
            is_canary_held: decisions.directed.is_held,
            train: training.start.as_ref(),
            prune: decisions.pruning.start.as_ref(),
            replicas: model.workloads().into_iter().filter_map(replicas).map(|(count, name)| (name, count)).collect(),
            open: scaling.open(model),
            externally_scaled: scaling.external.keys().cloned().collect(),
        };
        render::children(model, &decided)
    }

    /// Before the first request, the ticks get what was observed: they decide on it until the next reconcile.
    async fn apply(
        &self,
        context: &Context,
        model: &Model,
        decisions: &Decisions,
        desired: &[Child],
        observed: &Observed,
    ) -> Outcome {
        let children = &observed.children;
        let Decisions { rollout, canary_pods, .. } = decisions;
        let tracks = rollout.canary.as_ref().zip(rollout.serve.as_ref());
        let canary = self.canary(model, observed);
        let plan = tracks.zip(*canary_pods).and_then(|(tracks, pods)| trial::Plan::new(&canary, tracks, pods));
        let status = decisions.reload.status.as_ref();
        let deployed = status.and_then(|_| reload::deployed(model, children));
        let late = decisions.late.as_ref().filter(|_| status.is_none());
        let reload = reload::plan(deployed.as_ref(), status).or_else(|| late.map(|(plan, _)| plan.clone()));
        let handed = Handed { canary: plan, reload, reads_source: rollout.reads_source };
        observed.hand_over(context, model, &self.uid, &self.prior, handed, self.now);
        let ended = decisions.training.replace.iter().chain(&decisions.training.remove);
        let ended = ended.map(|run| (run.job.as_str(), run.uid.as_str()));
        let pruned = decisions.pruning.remove.iter().map(|(job, uid)| (job.as_str(), uid.as_str()));
        let desired = Desired {
            identity: &self.identity,
            uid: &self.uid,
            children: desired,
            serving_decided: decisions.rollout.serve.is_some(),
            is_canary_held: decisions.directed.is_held,
            jobs_to_delete: &ended.chain(pruned).collect::<Vec<_>>(),
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
        // A Job for pruning that is refused keeps nothing from being trained or served.
        let is_of_prune = |of: &&ChildProblem| of.kind == Kind::Job && names::is_prune(&self.identity.base, &of.name);
        let (of_prune, problems): (Vec<_>, Vec<_>) = outcome.problems.iter().partition(is_of_prune);
        let problems: Vec<ChildProblem> = problems.into_iter().cloned().collect();
        let pruning = decisions.pruning.reported(of_prune.first().map(|problem| problem.message.as_str()));
        status::compute(&status::Inputs {
            model,
            prior: &self.prior,
            training: &decisions.training,
            rollout: &decisions.rollout,
            pruning: pruning.as_ref(),
            scaling: &decisions.scaling,
            health: &observed.health,
            budgets: &observed.budgets,
            canary: observed.canary.as_ref(),
            reload: decisions.reload.status.as_ref(),
            route: observed.route.as_ref(),
            feedback: observed.feedback.as_ref(),
            children,
            problems: &problems,
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
        let samples = models::samples(&models::Observed {
            status: next,
            children,
            uid: &self.uid,
            serving_expected: decisions.rollout.serve.is_some() || decisions.rollout.elsewhere.is_some(),
            rules_loaded: context.feedback.rules_loaded(&self.uid),
        });
        context.metrics.models().set(&self.identity.namespace, &self.identity.name, samples);
        context.memory.ordered(&self.uid, &outcome.failed_orders);
        // Recorded before anything can fail. Only the first correction of a series is an Event; if the series continues, a
        // condition reports it.
        let is_first = |(kind, name): &&(Kind, String)| context.memory.corrected(&self.uid, *kind, name, self.now);
        let corrected: Vec<_> =
            outcome.corrected.iter().filter(is_first).map(|(kind, name)| restored(*kind, name)).collect();
        report::report(context, &self.identity, &self.uid, &self.prior, next, self.now).await?;
        report::emit(context, &self.identity, &self.uid, &corrected, self.now).await;
        for run in newly_ended(&self.prior, next) {
            context.metrics.models().run_ended(&self.identity.namespace, &self.identity.name, run);
        }
        Ok(())
    }

    /// When to reconcile again without a change.
    fn next(
        &self,
        model: &Model,
        decisions: &Decisions,
        children: &Children,
        next_read: Option<Timestamp>,
        outcome: Outcome,
    ) -> Result<Action, Error> {
        let until = |instant: Timestamp| Duration::try_from(instant.duration_since(self.now)).unwrap_or_default();
        let decided = [decisions.training.wake_at, decisions.rollout.wake_at, decisions.pruning.wake_at];
        let late = decisions.late.as_ref().and_then(|(_, until)| *until);
        let later = [late, wakes::next(model, children, self.now), next_read, decisions.reload.until];
        let due = later.into_iter().chain(decided).flatten().map(until).min();
        // One second late, so that what is due then is due for certain.
        let due = due.map(|wake| wake + Duration::from_secs(1));
        match outcome.problems.into_iter().find(|problem| problem.reason != reasons::API_MISSING) {
            Some(problem) => Err(Error::Child { problem, due }),
            None => Ok(due.map_or_else(Action::await_change, Action::requeue)),
        }
    }
}

/// The training runs whose end the status reports for the first time.
fn newly_ended<'a>(
    prior: &RecommenderModelStatus,
    next: &'a RecommenderModelStatus,
) -> impl Iterator<Item = &'a FinishedRun> {
    let id = |run: &FinishedRun| (run.job.clone(), run.finished_at.clone());
    TrainingKind::ALL.into_iter().filter_map(move |kind| {
        let before = prior.training.as_ref().and_then(|training| training.last(kind));
        next.training.as_ref()?.last(kind).filter(|run| before.map(id) != Some(id(run)))
    })
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
