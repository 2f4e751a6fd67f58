//! What a reconcile decides, from what it observed.

use jiff::{SignedDuration, Timestamp};
use kube::runtime::reflector::ObjectRef;

use super::Reconcile;
use crate::{
    api::Version,
    controller::{admission::Waker, context::Context, observed::Observed, prunes, runs},
    kinds::Kind,
    limits::Current,
    model::{Model, Workload},
    names,
    observe::{ChildState, Children},
    promotion::{
        self, Rollout,
        reload::{self, Reload},
        reports,
        route::{self, Directed},
        trial,
    },
    pruning, render, replicas,
    status::Scaling,
    training::{self, Decision, ObservedRun, Plan},
    version_file::{Artifact, Placement},
};

/// What is decided in a reconcile.
pub struct Decisions {
    pub training: Decision,
    /// Whether a training is due and waits for others.
    pub is_held: bool,
    pub rollout: Rollout,
    pub pruning: pruning::Decision,
    /// How the version to serve gets to the servers.
    pub reload: Reload,
    /// The servers that got ready after that was rolled out and are observed, and until when.
    pub late: Option<(reports::Plan, Option<Timestamp>)>,
    pub scaling: Scaling,
    /// Pods of the canary, while there is one.
    pub canary_pods: Option<i32>,
    /// What the canary gets by an HTTPRoute, and whether its pods are left as they are.
    pub directed: Directed,
    /// Replicas to set at once, by Deployment.
    pub orders: Vec<(String, i32)>,
}

/// What trainings and the deletion of artifacts are both decided on.
struct Jobs {
    /// The versions that are never dropped.
    in_use: Vec<String>,
    /// The training Jobs.
    runs: Vec<ObservedRun>,
    /// Whether a trainer has not ended.
    has_trainer: bool,
}

impl Reconcile {
    /// Decides what to train, what to serve, what to delete, and which replicas to set.
    pub fn decide(&self, context: &Context, model: &Model, observed: &Observed) -> Decisions {
        let jobs = self.jobs(model, &observed.children);
        let (training, is_held) = self.admitted_training(context, model, observed, &jobs);
        let store = model.artifacts.root_uri();
        let verdict = observed.canary.as_ref().and_then(|of| Some((of.memory.version.as_str(), of.verdict()?)));
        let verdict = verdict.as_ref().map(|(version, verdict)| (*version, verdict));
        let lacks_data = observed.canary.as_ref().is_some_and(|of| of.memory.lacks_data());
        let canaries = promotion::CanaryInputs { verdict, lacks_data, source: &observed.source };
        let versions = promotion::hold_back_newer(&training.versions, self.found.as_deref());
        let versions = (store.as_str(), versions.as_slice());
        let servers = promotion::Servers::new(model, &self.prior, &observed.children, &observed.burns, self.now);
        let inputs = promotion::Inputs::new(
            model,
            versions,
            &self.prior,
            &servers,
            canaries,
            &observed.signals.inputs,
            self.now,
        );
        let rollout = Rollout::decide(&inputs);
        let pruning = self.pruning(model, observed, &jobs, (&training, &rollout));
        let reload = self.reload(model, &rollout, observed);
        let known = observed.reports.as_ref();
        let times = (context.memory.first_at(&self.uid, self.now), self.now);
        let late = reload::late(model, &rollout, &observed.children, known, times);
        let decided = replicas::decided(model, &self.prior, &observed.ticked);
        let scaling = Scaling { decided, external: observed.external.clone() };
        let orders = self.orders(model, &scaling, observed);
        let canary = self.canary(model, observed);
        let canary_pods = rollout.canary.as_ref().map(|version| trial::replicas_of(&canary, version, self.now));
        let shares = |version: &Version| canary.memory(&version.id, self.now).shares();
        let shares = rollout.canary.as_ref().zip(canary_pods).map(|(version, pods)| (version, shares(version), pods));
        let directed = route::directed(model, &observed.children, shares);
        Decisions { training, is_held, rollout, reload, late, pruning, scaling, canary_pods, directed, orders }
    }

    /// What is deleted of the artifacts that left the status.
    fn pruning(
        &self,
        model: &Model,
        observed: &Observed,
        jobs: &Jobs,
        (training, rollout): (&Decision, &Rollout),
    ) -> pruning::Decision {
        let children = &observed.children;
        let of_pods = children.pods().map(|pod| pod.version.clone());
        let of_deployments = children.owned(Kind::Deployment, &self.uid).filter_map(|(_, of)| match &of.state {
            ChildState::Deployment(state) => state.version.clone(),
            _ => None,
        });
        let decided = [&rollout.serving, &rollout.rolling_out, &rollout.elsewhere].into_iter().flatten().cloned();
        let chosen = [&rollout.serve, &rollout.canary].into_iter().flatten().map(|version| version.id.clone());
        let requested = jobs.in_use.iter().cloned();
        let used: Vec<String> = of_pods.chain(of_deployments).chain(decided).chain(chosen).chain(requested).collect();
        pruning::decide(&pruning::Inputs {
            plan: pruning::Plan::new(model).as_ref(),
            prior: &self.prior,
            training,
            used: &used,
            runs: &jobs.runs,
            has_trainer: jobs.has_trainer,
            jobs: &prunes::observed(children, &self.uid, self.now),
            now: self.now,
        })
    }

    fn jobs(&self, model: &Model, children: &Children) -> Jobs {
        let mut in_use = promotion::in_use(&self.prior, &model.promotion_requests);
        in_use.extend(self.found.clone());
        in_use.extend(reload::mounted(children, &self.uid));
        let runs = runs::observed(&runs::Inputs {
            children,
            uid: &self.uid,
            namespace: &self.identity.namespace,
            active: self.prior.training.as_ref().and_then(|training| training.active.as_ref()),
            now: self.now,
        });
        Jobs { in_use, runs, has_trainer: runs::has_trainer(children) }
    }

    /// What trainings are decided on, while none of them is held back.
    fn of_training<'a>(
        &'a self,
        (plan, versions): (&'a Plan, &'a [Version]),
        jobs: &'a Jobs,
        signals: &'a training::Signals,
    ) -> training::Inputs<'a> {
        training::Inputs {
            plan,
            prior: self.prior.training.as_ref(),
            versions,
            in_use: &jobs.in_use,
            runs: &jobs.runs,
            signals,
            held: None,
            now: self.now,
            // A reconcile starts only after every list was delivered, and our own writes are recorded at once.
            runs_complete: true,
            has_trainer: jobs.has_trainer,
        }
    }

    /// The versions that the reports of Jobs give.
    pub fn read_versions(&self, model: &Model, children: &Children) -> Vec<Version> {
        let (plan, known) = (plan(model), pruning::known(&self.prior));
        let (jobs, signals) = (self.jobs(model, children), training::Signals::default());
        training::decide(&self.of_training((&plan, &known), &jobs, &signals)).versions
    }

    /// How the version to serve gets to the servers.
    fn reload(&self, model: &Model, rollout: &Rollout, observed: &Observed) -> Reload {
        let (base, children) = (&model.identity.base, &observed.children);
        let prior = self.prior.serving.as_ref().and_then(|serving| serving.reload.as_ref());
        let deployed = reload::deployed(model, children);
        let Some((settings, target)) = model.hot_reload.as_ref().zip(rollout.serve.as_ref()) else {
            return Reload::without_file(prior, deployed.as_ref());
        };
        let decided = Reload::decide(&reload::Inputs {
            target,
            versions: &rollout.versions,
            deployed,
            template: &|started, restarted| render::servers_template(model, started, restarted),
            named: &|template| children.version_file(&names::version_file(base, template), &self.uid).cloned(),
            prior,
            reports: observed.reports.as_ref(),
            timeout: SignedDuration::from_secs(settings.timeout_seconds.into()),
            now: self.now,
        });
        let returned = self.returned(model, rollout, &decided, children);
        Reload { returned: returned.unwrap_or_default(), ..decided }
    }

    /// The version files of pods that are replaced that are to name the version that answers requests again.
    fn returned(
        &self,
        model: &Model,
        rollout: &Rollout,
        decided: &Reload,
        children: &Children,
    ) -> Option<Vec<(String, Artifact)>> {
        let Placement { started, restarted, .. } = decided.placement.as_ref()?;
        let placed = render::servers_template(model, started, restarted.as_deref());
        let version = |id: &Option<String>| rollout.versions.iter().find(|version| Some(&version.id) == id.as_ref());
        let (serving, target) = (version(&rollout.serving)?, rollout.serve.as_ref()?);
        let prefix = names::version_file(&model.identity.base, "");
        let is_mounted =
            |name: &str| children.pods().any(|pod| pod.file.as_ref().is_some_and(|file| file.config_map == name));
        let files = children.version_files(&self.uid).filter(|(name, _)| is_mounted(name));
        let files = files.filter_map(|(name, named)| Some((name.strip_prefix(&prefix)?, named)));
        Some(reload::returned(files, &placed, (serving, &target.id), &rollout.versions))
    }

    /// A run that is due starts only if others do not fill what may run at the same time. Returns whether it waits for them.
    fn admitted_training(
        &self,
        context: &Context,
        model: &Model,
        observed: &Observed,
        jobs: &Jobs,
    ) -> (Decision, bool) {
        let (plan, known) = (plan(model), pruning::known(&self.prior));
        let inputs = self.of_training((&plan, &known), jobs, &observed.signals);
        let decision = training::decide(&inputs);
        if decision.start.is_none() {
            return (decision, false);
        }
        let waker = Waker { enqueue: context.enqueue.clone(), object: ObjectRef::from_obj(self.object.as_ref()) };
        match context.admission.ask(&self.uid, &self.identity.namespace, &waker, self.now) {
            Ok(()) => (decision, false),
            Err(held) => (training::decide(&training::Inputs { held: Some(&held), ..inputs }), true),
        }
    }

    /// What is known of a canary.
    pub fn canary<'a>(&'a self, model: &'a Model, observed: &'a Observed) -> trial::Known<'a> {
        let (children, progress) = (&observed.children, observed.canary.as_ref());
        trial::Known { model, children, progress, route: observed.route.as_ref(), prior: &self.prior }
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
}

fn plan(model: &Model) -> Plan {
    Plan::new(model, |kind| render::training_template(model, kind))
}
