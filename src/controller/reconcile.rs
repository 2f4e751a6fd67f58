//! One look at one object, as a table of contents.

use std::{sync::Arc, time::Duration};

use jiff::Timestamp;
use kube::{ResourceExt, runtime::controller::Action};

use super::{Context, Error, Guarded, report, runs, scaler};
use crate::{
    api::{RecommenderModel, RecommenderModelStatus, conditions::reasons},
    apply::{self, Outcome, Wanted},
    model::{Identity, Model, Workload},
    observe::{Facts, Family},
    render::{self, Child, Decided, Kind},
    status::{self, FIRST_METRICS, Note, Scaling},
    training::{self, Decision, ObservedRun, Plan},
};

/// Everything known at the beginning of a look.
struct Look {
    object: Arc<Guarded>,
    identity: Identity,
    uid: String,
    prior: RecommenderModelStatus,
    now: Timestamp,
}

/// Brings the cluster in line with an object:
///
/// 1. read what is known of it, and check that it can be worked with (no request)
/// 2. decide what to train and what to serve (pure), and take over what the last tick decided on replicas
/// 3. render the children (pure, cannot fail)
/// 4. apply what is not as wanted, delete what is not wanted any more, order the replicas that were newly decided
/// 5. compute the status (pure) and write it if it changed
///
/// # Errors
/// Whatever could not be done and is to be tried again.
pub async fn reconcile(context: &Context, object: Arc<Guarded>, now: Timestamp) -> Result<Action, Error> {
    let Some(look) = Look::at(context, object, now) else {
        return Ok(Action::await_change());
    };
    let model = match look.validate() {
        Ok(model) => model,
        Err(message) => return look.refuse(context, &message).await,
    };
    let family = look.family(context);

    let training = look.decide(&model, &family);
    let scaling = look.scaling(context, &model, &family);
    let children = look.render(&model, &training, &scaling, &family);
    let mut outcome = look.apply(context, &training, &children, &family).await;
    look.order(context, &model, &scaling, &family, &mut outcome.problems).await;

    let family = look.family(context);
    let status = look.status(&model, &training, &scaling, &family, &outcome);
    look.tell(context, &status, &outcome).await?;
    look.next(&model, &training, &family, outcome)
}

impl Look {
    /// None when there is nothing to do: it is being deleted, or not everything was listed yet.
    fn at(context: &Context, object: Arc<Guarded>, now: Timestamp) -> Option<Self> {
        let meta = kube::Resource::meta(object.as_ref());
        let uid = meta.uid.clone()?;
        if meta.deletion_timestamp.is_some() || !context.world.is_loaded() || !context.may_write() {
            return None;
        }
        let shown = object.0.as_ref().ok().map(|model| model.status.clone().unwrap_or_default());
        let version = meta.resource_version.as_ref().and_then(|version| version.parse().ok()).unwrap_or_default();
        let prior = context.memory.newest_status(&uid, version, shown.as_ref());
        Some(Self { identity: Identity::of(meta, now), uid, prior, now, object })
    }

    fn validate(&self) -> Result<Model, String> {
        let object: &RecommenderModel =
            self.object.0.as_ref().map_err(|error| {
                format!("the object cannot be read by this version of the operator: {}", error.error)
            })?;
        Model::new(object, self.now)
            .map_err(|problems| problems.iter().map(ToString::to_string).collect::<Vec<_>>().join("; "))
    }

    /// The object cannot be worked with. What serves is left alone, and there is nothing to do until it is changed.
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

    fn family(&self, context: &Context) -> Family {
        context.world.family(&self.identity.namespace, &self.identity.base)
    }

    fn decide(&self, model: &Model, family: &Family) -> Decision {
        let serving = self.prior.serving.clone().unwrap_or_default();
        let in_use: Vec<String> = serving.version.into_iter().chain(serving.rolling_out).collect();
        let plan = Plan {
            uid: self.uid.clone(),
            base: self.identity.base.clone(),
            created_at: self.identity.created_at,
            schedule: model.schedule.clone(),
            template: render::training_template(model),
            request: model.request.clone(),
            output_base: model.artifacts.base_uri(&self.identity),
        };
        training::decide(&training::Inputs {
            plan: &plan,
            prior: self.prior.training.as_ref(),
            versions: &self.prior.versions,
            in_use: &in_use,
            runs: &runs::observed(family, &self.uid, self.now),
            now: self.now,
            // Only looked at when every list was delivered, and our own writes are recorded at once.
            settled: true,
        })
    }

    /// What the last tick decided on replicas, and who else moves them.
    fn scaling(&self, context: &Context, model: &Model, family: &Family) -> Scaling {
        let decided = context.scaler.look(model, family, &self.prior, context.metrics.scaling(), self.now);
        let scaled = model.workloads().into_iter().filter(|workload| workload.scaling.is_some());
        let foreign = scaled.filter_map(|workload| {
            let foreign = context.world.foreign_autoscaler(&self.identity.namespace, &workload.deployment)?;
            Some((workload.deployment, foreign))
        });
        Scaling { decided, foreign: foreign.collect() }
    }

    fn render(&self, model: &Model, training: &Decision, scaling: &Scaling, family: &Family) -> Vec<Child> {
        // Until something is decided, the replicas there are stay.
        let replicas = |workload: Workload| {
            let decided = scaling.decided.get(&workload.name).map(|decided| decided.replicas);
            let there = || family.deployment(&workload.deployment, &self.uid).map(|facts| facts.desired);
            Some((decided.or_else(there)?, workload.deployment))
        };
        let decided = Decided {
            serve: training.versions.first(),
            train: training.start.as_ref(),
            replicas: model.workloads().into_iter().filter_map(replicas).map(|(count, name)| (name, count)).collect(),
            open: scaling.open(model),
            left_alone: scaling.foreign.keys().cloned().collect(),
        };
        render::children(model, &decided)
    }

    /// Orders what was newly decided; see [`scaler::to_order`].
    async fn order(
        &self,
        context: &Context,
        model: &Model,
        scaling: &Scaling,
        family: &Family,
        problems: &mut Vec<apply::Problem>,
    ) {
        for workload in model.workloads() {
            let name = &workload.deployment;
            // An autoscaler that was not changed would undo it, and that of somebody else has the word.
            let contested = scaling.foreign.contains_key(name);
            let unchanged = problems.iter().any(|of| of.kind == Kind::HorizontalPodAutoscaler && of.name == *name);
            let there = family.deployment(name, &self.uid).filter(|_| !contested && !unchanged);
            let to_order = |there| scaler::to_order(&self.prior, &workload, &scaling.decided, there);
            let Some(ordered) = there.and_then(|facts| to_order(facts.desired)) else { continue };
            let written = context.cluster.set_replicas(&self.identity.namespace, name, ordered).await;
            problems.extend(written.err().map(|error| apply::failed(Kind::Deployment, name, &error)));
        }
    }

    async fn apply(&self, context: &Context, training: &Decision, children: &[Child], family: &Family) -> Outcome {
        let wanted = Wanted {
            identity: &self.identity,
            uid: &self.uid,
            children,
            serving_decided: !training.versions.is_empty(),
            heals: &context.memory.heals(&self.uid),
            now: self.now,
        };
        let mut outcome = apply::apply(&context.cluster, &context.world, &wanted, family).await;
        for run in training.replace.iter().chain(&training.remove) {
            outcome.problems.extend(self.delete_job(context, run).await);
        }
        outcome
    }

    async fn delete_job(&self, context: &Context, run: &ObservedRun) -> Option<apply::Problem> {
        let deleted = context.cluster.delete(Kind::Job, &self.identity.namespace, &run.job, &run.uid).await;
        deleted.err().map(|error| apply::failed(Kind::Job, &run.job, &error))
    }

    fn status(
        &self,
        model: &Model,
        training: &Decision,
        scaling: &Scaling,
        family: &Family,
        outcome: &Outcome,
    ) -> RecommenderModelStatus {
        status::compute(&status::Inputs {
            model,
            prior: &self.prior,
            training,
            scaling,
            family,
            problems: &outcome.problems,
            now: self.now,
        })
    }

    async fn tell(&self, context: &Context, next: &RecommenderModelStatus, outcome: &Outcome) -> Result<(), Error> {
        let failed =
            next.training.as_ref().and_then(|training| training.last.as_ref()).is_some_and(|run| !run.succeeded);
        let serves = !next.versions.is_empty();
        context.metrics.set_model(&self.identity.namespace, &self.identity.name, failed, serves);
        // Counted before anything can fail. Of a series only the first is told; if it goes on, a condition tells.
        let is_first = |(kind, name): &&(Kind, String)| context.memory.healed(&self.uid, *kind, name, self.now);
        let healed: Vec<_> = outcome.healed.iter().filter(is_first).map(|(kind, name)| restored(*kind, name)).collect();
        report::report(context, &self.identity, &self.uid, &self.prior, next, self.now).await?;
        report::announce(context, &self.identity, &self.uid, &healed, self.now).await;
        Ok(())
    }

    /// When to look again although nothing happens.
    fn next(&self, model: &Model, training: &Decision, family: &Family, outcome: Outcome) -> Result<Action, Error> {
        let until = |instant: Timestamp| Duration::try_from(instant.duration_since(self.now)).unwrap_or_default();
        let schedule = training.wake_at.map(until);
        let later = [self.report_due(family), self.first_metrics_due(model, family), self.blocked_due(family)];
        let wakes = later.into_iter().map(|due| due.map(until)).chain([schedule]);
        // A second later than due, so that what is due is due.
        let due = wakes.flatten().min().map(|wake| wake + Duration::from_secs(1));
        match outcome.problems.into_iter().find(|problem| problem.reason != reasons::API_MISSING) {
            Some(problem) => Err(Error::Child { problem, due }),
            None => Ok(due.map_or_else(Action::await_change, Action::requeue)),
        }
    }

    /// When a Job that is complete and whose report was not seen is judged to have none.
    fn report_due(&self, family: &Family) -> Option<Timestamp> {
        let ends = family.of_kind(Kind::Job).filter_map(|(_, seen)| match &seen.facts {
            Facts::Job(job) => job.end.as_ref().map(|end| end.seen_at + runs::POD_LAG),
            _ => None,
        });
        ends.filter(|due| *due > self.now).min()
    }

    /// When a pod that does not start, or a Job that gets no pod, becomes news.
    fn blocked_due(&self, family: &Family) -> Option<Timestamp> {
        let pods = family.pods().filter_map(|pod| Some(pod.blocked.as_ref()?.counts_from));
        let jobs = family.of_kind(Kind::Job).filter_map(|(_, seen)| match &seen.facts {
            Facts::Job(job) if job.end.is_none() => Some(job.pod_due),
            _ => None,
        });
        pods.chain(jobs).filter(|due| *due > self.now).min()
    }

    /// When an autoscaler without metrics becomes news.
    fn first_metrics_due(&self, model: &Model, family: &Family) -> Option<Timestamp> {
        let by_cpu = |workload: Workload| workload.scaling.is_some_and(|scaling| !scaling.is_decided());
        model.workloads().into_iter().any(by_cpu).then_some(())?;
        let due = family.of_kind(Kind::HorizontalPodAutoscaler).filter_map(|(_, seen)| match &seen.facts {
            Facts::Autoscaler(facts) => match &facts.active {
                Some((false, _)) => Some(facts.created_at + FIRST_METRICS),
                _ => None,
            },
            _ => None,
        });
        due.filter(|due| *due > self.now).min()
    }
}

fn restored(kind: Kind, name: &str) -> Note {
    Note {
        warning: false,
        reason: reasons::CHILD_RESTORED.into(),
        message: format!("{} {name} was changed by somebody else and put right", kind.as_str()),
    }
}

/// The name of an object for logs: namespace/name.
pub fn display_name(object: &Guarded) -> String {
    format!("{}/{}", object.namespace().unwrap_or_default(), object.name_any())
}
