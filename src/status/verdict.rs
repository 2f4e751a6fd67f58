//! How each aspect stands, and why.

use jiff::SignedDuration;
use k8s_openapi::apimachinery::pkg::apis::meta::v1::Condition;

use super::Inputs;
use crate::{
    api::{
        ScalingStatus, ServingStatus,
        conditions::{reasons, types},
    },
    apply::Problem,
    model::{Scaling, Workload, names},
    observe::{DeploymentFacts, PodFacts},
    render::Kind,
    training::Outcome,
};

/// An autoscaler gets its first metrics some time after the pods' start; before, their absence is no news.
pub const FIRST_METRICS: SignedDuration = SignedDuration::from_secs(180);

/// How an aspect stands.
#[derive(Clone, Debug, PartialEq)]
pub struct Verdict {
    /// `True`, `False` or `Unknown`.
    pub status: &'static str,
    /// Why, in one word of [`reasons`].
    pub reason: String,
    /// Why, for a person.
    pub message: String,
}

impl Verdict {
    /// It is so.
    pub fn yes(reason: &str, message: impl Into<String>) -> Self {
        Self { status: "True", reason: reason.into(), message: message.into() }
    }

    /// It is not so.
    pub fn no(reason: &str, message: impl Into<String>) -> Self {
        Self { status: "False", reason: reason.into(), message: message.into() }
    }

    /// It is not known.
    pub fn unknown(reason: &str, message: impl Into<String>) -> Self {
        Self { status: "Unknown", reason: reason.into(), message: message.into() }
    }

    /// Nobody looked yet.
    pub fn pending() -> Self {
        Self::unknown(reasons::PENDING, "not looked at yet")
    }

    /// Whether it is so.
    pub fn is_yes(&self) -> bool {
        self.status == "True"
    }
}

impl From<&Condition> for Verdict {
    fn from(condition: &Condition) -> Self {
        let make = match condition.status.as_str() {
            "True" => Self::yes,
            "False" => Self::no,
            _ => Self::unknown,
        };
        make(&condition.reason, condition.message.clone())
    }
}

impl From<&Outcome> for Verdict {
    fn from(outcome: &Outcome) -> Self {
        Self { status: outcome.status.as_str(), reason: outcome.reason.into(), message: outcome.message.clone() }
    }
}

/// Kinds without which nothing is served.
const SERVING_KINDS: [Kind; 4] = [Kind::ServiceAccount, Kind::Service, Kind::Deployment, Kind::PodDisruptionBudget];
const MONITORING_KINDS: [Kind; 3] = [Kind::ServiceMonitor, Kind::PodMonitor, Kind::PrometheusRule];

/// A problem with a child that serving needs; workers have Deployments of their own.
fn serving_problem<'a>(inputs: &'a Inputs<'_>) -> Option<&'a Problem> {
    let serving = names::serving(&inputs.model.identity.base);
    let concerns = |problem: &&Problem| {
        SERVING_KINDS.contains(&problem.kind) && (problem.kind != Kind::Deployment || problem.name == serving)
    };
    inputs.problems.iter().find(concerns)
}

fn problem<'a>(inputs: &'a Inputs<'_>, kinds: &[Kind]) -> Option<&'a Problem> {
    inputs.problems.iter().find(|problem| kinds.contains(&problem.kind))
}

/// ServingReady:
///
/// | a child is not as wanted | version wanted | Deployment | verdict |
/// |---|---|---|---|
/// | yes | any | any | False, the problem's reason |
/// | no | none | any | False, NoVersion |
/// | no | new, or with new settings | stuck | False, RolloutStuck |
/// | no | new, or with new settings | older pods are there | False, RollingOut |
/// | no | rolled out before | fewer ready than wanted at least, as some left under load | False, ServersOverloaded |
/// | no | rolled out before | fewer ready than wanted at least | False, ReplicasMissing |
/// | no | rolled out before | enough ready | True, Serving |
pub fn serving(inputs: &Inputs<'_>, deployment: Option<&DeploymentFacts>, serving: &ServingStatus) -> Verdict {
    if let Some(problem) = serving_problem(inputs) {
        return Verdict::no(problem.reason, &problem.message);
    }
    let Some(wanted) = inputs.training.versions.first() else {
        return Verdict::no(reasons::NO_VERSION, "there is no trained version to serve yet");
    };
    let why = || {
        let pod = inputs.family.pods().filter(|pod| pod.job.is_none() && pod.version == wanted.id);
        let pod = pod.filter_map(|pod| pod.blocked_at(inputs.now)).min();
        let why = pod.or(deployment.and_then(|facts| facts.stuck.as_deref()));
        why.map(|why| format!(": {why}")).unwrap_or_default()
    };
    // A change of the settings rolls out the same version anew.
    if serving.rolling_out.is_some() || deployment.is_some_and(DeploymentFacts::is_rolling) {
        let goes_on = match &serving.version {
            Some(old) if *old != wanted.id => format!("; {old} goes on serving"),
            Some(_) if serving.replicas > 0 => "; its earlier pods go on serving".into(),
            _ => String::new(),
        };
        let (reason, what) = match deployment.and_then(|facts| facts.stuck.as_ref()) {
            Some(_) => (reasons::ROLLOUT_STUCK, "does not get ready"),
            None => (reasons::ROLLING_OUT, "is being rolled out"),
        };
        return Verdict::no(reason, format!("version {} {what}{}{goes_on}", wanted.id, why()));
    }
    let least = inputs.model.serving_workload().replicas;
    if serving.replicas < least {
        let ready = serving.replicas;
        if let Some(left) = left_under_load(inputs) {
            return Verdict::no(
                reasons::SERVERS_OVERLOADED,
                format!("{ready} of at least {least} pods are ready: {left}"),
            );
        }
        return Verdict::no(reasons::REPLICAS_MISSING, format!("{ready} of at least {least} pods are ready{}", why()));
    }
    let left = left_under_load(inputs).map(|left| format!("; {left}")).unwrap_or_default();
    Verdict::yes(reasons::SERVING, format!("version {} is rolled out{left}", wanted.id))
}

/// Which servers left the Service because they do not answer their probes in time under load; None when none did.
fn left_under_load(inputs: &Inputs<'_>) -> Option<String> {
    let workload = inputs.model.serving_workload();
    let decided = inputs.scaling.decided.get(&workload.name)?;
    if decided.reason != reasons::OVERLOADED && decided.reason != reasons::MAX_REPLICAS {
        return None;
    }
    let is_one = |pod: &&PodFacts| pod.component == workload.component && pod.started && pod.lost_readiness;
    let count = inputs.family.pods().filter(is_one).count();
    let seconds = inputs.model.serving.probes.timeout_seconds;
    (count > 0).then(|| {
        format!(
            "{count} left the Service under load, because their readiness probe failed (time-out {seconds} s); let the \
             server refuse what it cannot answer in time, and answer its probe meanwhile"
        )
    })
}

/// Ready: a trained version answers requests. A model that cannot be trained anew, or whose newer version is still
/// rolling out, is ready as long as the older one answers.
pub fn ready(training: &Verdict, serving_ready: &Verdict, serving: &ServingStatus) -> Verdict {
    let answers = serving.version.as_ref().filter(|_| serving.replicas > 0);
    match answers {
        Some(version) => Verdict::yes(reasons::SERVING, format!("version {version} answers requests")),
        // The first version is on its way: what holds up the training is what people want to read.
        None if serving_ready.reason == reasons::NO_VERSION => Verdict::no(&training.reason, &training.message),
        None => Verdict::no(&serving_ready.reason, &serving_ready.message),
    }
}

/// Reasons of conditions that do not pass before a person changes something.
const WAIT_FOR_A_PERSON: [&str; 1] = [reasons::ROLLOUT_STUCK];
/// Reasons of conditions that pass by themselves: the operator or the cluster still works on it.
const UNDER_WAY: [&str; 3] = [reasons::ROLLING_OUT, reasons::REPLICAS_MISSING, reasons::SERVERS_OVERLOADED];

/// The first condition of pods, of the servers or the workers, that is not as specified for one of these reasons.
fn because<'a>(pods: &[&'a Verdict], reasons: &[&str]) -> Option<&'a Verdict> {
    pods.iter().copied().find(|verdict| !verdict.is_yes() && reasons.contains(&verdict.reason.as_str()))
}

/// Stalled and Reconciling sum up all else. The first row that applies counts; `pods` are ServingReady and WorkersReady.
///
/// | what holds | Stalled | Reconciling |
/// |---|---|---|
/// | a child that is not optional is refused for good | True | False |
/// | one of `pods` is False for a reason of [`WAIT_FOR_A_PERSON`] | True | False |
/// | there is no version, and no run that could make one | True | False |
/// | a child could not be applied this time | False | True |
/// | Ready is not True | False | True |
/// | one of `pods` is False for a reason of [`UNDER_WAY`] | False | True |
/// | none of these: a regular training run of a model that serves, scaling and optional kinds do not count | False | False |
pub fn summary(inputs: &Inputs<'_>, ready: &Verdict, training: &Verdict, pods: &[&Verdict]) -> (Verdict, Verdict) {
    let refused = inputs.problems.iter().find(|problem| problem.permanent && !problem.kind.is_optional());
    let ended_badly = training.status == "False" && inputs.training.status.active.is_none();
    let no_run = !ready.is_yes()
        && ended_badly
        && inputs.training.versions.is_empty()
        && problem(inputs, &[Kind::Job]).is_none();
    let of_problem = |problem: &Problem| Verdict::yes(problem.reason, &problem.message);
    let of_verdict = |verdict: &Verdict| Verdict::yes(&verdict.reason, &verdict.message);
    let waits = refused
        .map(of_problem)
        .or_else(|| because(pods, &WAIT_FOR_A_PERSON).map(of_verdict))
        .or_else(|| no_run.then(|| of_verdict(training)));
    if let Some(stalled) = waits {
        let reconciling = Verdict::no(&stalled.reason, "waits for a person, see Stalled");
        return (stalled, reconciling);
    }
    let failed = inputs.problems.iter().find(|problem| !problem.permanent);
    let works = failed
        .map(of_problem)
        .or_else(|| (!ready.is_yes()).then(|| of_verdict(ready)))
        .or_else(|| because(pods, &UNDER_WAY).map(of_verdict));
    (
        Verdict::no(reasons::AS_SPECIFIED, "nothing waits for a person"),
        works.unwrap_or_else(|| Verdict::no(reasons::AS_SPECIFIED, "everything is as specified")),
    )
}

/// WorkersReady: every worker has at least the pods it is to have, and none is being replaced.
pub fn workers(inputs: &Inputs<'_>) -> Verdict {
    if inputs.model.workers.is_empty() {
        return Verdict::no(reasons::NOT_REQUESTED, "spec.workers is empty");
    }
    let workloads = inputs.model.workloads();
    let of_workers = workloads.iter().filter(|workload| !workload.is_serving());
    let verdicts = of_workers.filter_map(|workload| worker(inputs, workload));
    verdicts.into_iter().next().unwrap_or_else(|| Verdict::yes(reasons::AS_SPECIFIED, "the workers' pods are ready"))
}

/// What keeps a worker from being ready.
fn worker(inputs: &Inputs<'_>, workload: &Workload) -> Option<Verdict> {
    let refused = |problem: &&Problem| problem.kind == Kind::Deployment && problem.name == workload.deployment;
    if let Some(problem) = inputs.problems.iter().find(refused) {
        return Some(Verdict::no(problem.reason, &problem.message));
    }
    let name = &workload.name;
    let uid = inputs.model.identity.uid.as_deref().unwrap_or_default();
    let facts = inputs.family.deployment(&workload.deployment, uid);
    let Some(facts) = facts else {
        return Some(Verdict::no(reasons::ROLLING_OUT, format!("worker {name} is being rolled out")));
    };
    let blocked = inputs.family.pods().filter(|pod| pod.component == workload.component);
    let blocked = blocked.filter_map(|pod| pod.blocked_at(inputs.now)).min();
    let why = blocked.or(facts.stuck.as_deref()).map(|why| format!(": {why}")).unwrap_or_default();
    let least = workload.replicas.min(facts.desired);
    if facts.stuck.is_some() {
        return Some(Verdict::no(reasons::ROLLOUT_STUCK, format!("worker {name} does not get ready{why}")));
    }
    if facts.is_rolling() {
        return Some(Verdict::no(reasons::ROLLING_OUT, format!("worker {name} is being rolled out{why}")));
    }
    let ready = facts.ready;
    // The first pods of a worker are on their way, and not missing.
    let was_ready = inputs.prior.conditions.iter().any(|condition| {
        condition.type_ == types::WORKERS_READY
            && (condition.status == "True" || condition.reason == reasons::REPLICAS_MISSING)
    });
    let reason = if was_ready || !why.is_empty() { reasons::REPLICAS_MISSING } else { reasons::ROLLING_OUT };
    (ready < least)
        .then(|| Verdict::no(reason, format!("worker {name}: {ready} of at least {least} pods are ready{why}")))
}

/// ScalingActive: the worst of all workloads.
///
/// | workload | verdict |
/// |---|---|
/// | none has autoscaling | False, NotRequested |
/// | its autoscaler is not as wanted | False, the problem's reason |
/// | somebody else's autoscaler moves it | False, ScalingConflict |
/// | scales on latency or lag, signals missing or old | False, MetricsMissing |
/// | scales on latency or lag, nothing decided yet | Unknown, Pending |
/// | scales on latency or lag, cannot keep its promise | True, why not |
/// | scales on latency or lag | True |
/// | scales on CPU | what its autoscaler says |
pub fn scaling(inputs: &Inputs<'_>) -> Verdict {
    let workloads = inputs.model.workloads();
    let scaled: Vec<_> = workloads.iter().filter(|workload| workload.scaling.is_some()).collect();
    let several = scaled.len() > 1;
    let verdicts = scaled.iter().map(|workload| {
        let verdict = scaling_of(inputs, workload);
        let message = if several { format!("{}: {}", workload.name, verdict.message) } else { verdict.message };
        Verdict { message, ..verdict }
    });
    let rank = |verdict: &Verdict| match verdict.status {
        "False" => 0,
        "Unknown" => 1,
        _ if reasons::SCALING_TROUBLES.contains(&verdict.reason.as_str()) => 2,
        _ => 3,
    };
    let worst = verdicts.min_by_key(rank);
    worst.unwrap_or_else(|| Verdict::no(reasons::NOT_REQUESTED, "the number of replicas is fixed"))
}

fn scaling_of(inputs: &Inputs<'_>, workload: &Workload) -> Verdict {
    let refused =
        |problem: &&Problem| problem.kind == Kind::HorizontalPodAutoscaler && problem.name == workload.deployment;
    if let Some(problem) = inputs.problems.iter().find(refused) {
        return Verdict::no(problem.reason, &problem.message);
    }
    if let Some(foreign) = inputs.scaling.foreign.get(&workload.deployment) {
        let owner = foreign.owner.as_ref().map(|owner| format!(" (of {owner})")).unwrap_or_default();
        return Verdict::no(
            reasons::SCALING_CONFLICT,
            format!(
                "HorizontalPodAutoscaler {}{owner} moves Deployment {} too, so this one's is taken away meanwhile: delete \
                 that one, or remove autoscaling here",
                foreign.name, workload.deployment
            ),
        );
    }
    match workload.scaling.as_ref().filter(|scaling| scaling.is_decided()) {
        Some(scaling) => decided(scaling, inputs.scaling.decided.get(&workload.name)),
        None => by_autoscaler(inputs, workload),
    }
}

/// Of a workload that the operator decides on.
fn decided(scaling: &Scaling, told: Option<&ScalingStatus>) -> Verdict {
    let Some(told) = told else {
        return Verdict::unknown(reasons::PENDING, "nothing is decided yet, because the first signals are awaited");
    };
    if told.reason == reasons::METRICS_MISSING {
        return Verdict::no(reasons::METRICS_MISSING, &told.message);
    }
    if scaling.advisory && told.reason == reasons::OVERLOADED {
        return Verdict::yes(reasons::ADVISORY, format!("as asked for, nothing is done: {}", told.message));
    }
    if told.reason == reasons::OVERLOADED || reasons::SCALING_TROUBLES.contains(&told.reason.as_str()) {
        return Verdict::yes(&told.reason, &told.message);
    }
    let signals =
        [("latency", scaling.latency.is_some()), ("lag", scaling.lag.is_some()), ("CPU use", scaling.cpu.is_some())];
    let signals: Vec<_> = signals.iter().filter(|(_, followed)| *followed).map(|(name, _)| *name).collect();
    if scaling.advisory {
        return Verdict::yes(reasons::ADVISORY, "decisions on replicas are told and not acted on, as asked for");
    }
    Verdict::yes(reasons::AS_SPECIFIED, format!("the replicas follow the {}", signals.join(" and the ")))
}

/// Of a workload that follows the CPU use: what the autoscaler says of itself.
fn by_autoscaler(inputs: &Inputs<'_>, workload: &Workload) -> Verdict {
    let uid = inputs.model.identity.uid.as_deref().unwrap_or_default();
    let autoscaler = inputs.family.autoscaler(&workload.deployment, uid);
    match autoscaler.and_then(|facts| Some((facts.created_at, facts.active.as_ref()?))) {
        Some((_, (true, _))) => Verdict::yes(reasons::AS_SPECIFIED, "the replicas follow the CPU use"),
        Some((created_at, (false, message))) if inputs.now.duration_since(created_at) > FIRST_METRICS => {
            Verdict::no(reasons::NO_METRICS, message)
        }
        _ => Verdict::unknown(reasons::PENDING, "the autoscaler has no metrics of the pods yet"),
    }
}

/// MonitoringReady.
pub fn monitoring(inputs: &Inputs<'_>) -> Verdict {
    if inputs.model.monitoring.is_none() {
        return Verdict::no(reasons::NOT_REQUESTED, "spec.monitoring is not set");
    }
    match problem(inputs, &MONITORING_KINDS) {
        Some(problem) => Verdict::no(problem.reason, &problem.message),
        None => Verdict::yes(reasons::AS_SPECIFIED, "ServiceMonitor and PrometheusRule are in place"),
    }
}
