//! How each aspect stands, and why.

use jiff::SignedDuration;
use k8s_openapi::apimachinery::pkg::apis::meta::v1::Condition;

use super::Inputs;
use crate::{
    api::{ServingStatus, conditions::reasons},
    apply::Problem,
    observe::{AutoscalerFacts, DeploymentFacts},
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
/// | no | rolled out before | fewer ready than wanted at least | False, ReplicasMissing |
/// | no | rolled out before | enough ready | True, Serving |
pub fn serving(inputs: &Inputs<'_>, deployment: Option<&DeploymentFacts>, serving: &ServingStatus) -> Verdict {
    if let Some(problem) = problem(inputs, &SERVING_KINDS) {
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
        return Verdict::no(reasons::REPLICAS_MISSING, format!("{ready} of at least {least} pods are ready{}", why()));
    }
    Verdict::yes(reasons::SERVING, format!("version {} is rolled out", wanted.id))
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

/// Stalled: nothing goes on before a person changes something.
pub fn stalled(inputs: &Inputs<'_>, ready: &Verdict, training: &Verdict, serving: &Verdict) -> Verdict {
    if let Some(problem) = inputs.problems.iter().find(|problem| problem.permanent && !problem.kind.is_optional()) {
        return Verdict::yes(problem.reason, &problem.message);
    }
    if serving.reason == reasons::ROLLOUT_STUCK {
        return Verdict::yes(&serving.reason, &serving.message);
    }
    let ended_badly = training.status == "False" && inputs.training.status.active.is_none();
    if !ready.is_yes() && ended_badly && inputs.training.versions.is_empty() && problem(inputs, &[Kind::Job]).is_none()
    {
        return Verdict::yes(&training.reason, &training.message);
    }
    Verdict::no(reasons::AS_SPECIFIED, "nothing waits for a person")
}

/// Reconciling: the operator works towards the spec. A regular training run of a model that serves does not count.
pub fn reconciling(inputs: &Inputs<'_>, ready: &Verdict, stalled: &Verdict, serving: &Verdict) -> Verdict {
    if stalled.is_yes() {
        return Verdict::no(&stalled.reason, "waits for a person, see Stalled");
    }
    if let Some(problem) = inputs.problems.iter().find(|problem| !problem.permanent) {
        return Verdict::yes(problem.reason, &problem.message);
    }
    if !ready.is_yes() {
        return Verdict::yes(&ready.reason, &ready.message);
    }
    if [reasons::ROLLING_OUT, reasons::REPLICAS_MISSING].contains(&serving.reason.as_str()) {
        return Verdict::yes(&serving.reason, &serving.message);
    }
    Verdict::no(reasons::AS_SPECIFIED, "everything is as specified")
}

/// ScalingActive, from what the autoscaler says of itself.
pub fn scaling(inputs: &Inputs<'_>, autoscaler: Option<&AutoscalerFacts>) -> Verdict {
    if inputs.model.serving.autoscaling.is_none() {
        return Verdict::no(reasons::NOT_REQUESTED, "the number of replicas is fixed");
    }
    if let Some(problem) = problem(inputs, &[Kind::HorizontalPodAutoscaler]) {
        return Verdict::no(problem.reason, &problem.message);
    }
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
