//! Status, reason and message of each condition.

use jiff::SignedDuration;
use k8s_openapi::apimachinery::pkg::apis::meta::v1::Condition;

use super::{
    Inputs,
    dependencies::dependencies,
    monitoring::monitoring,
    promotion::promotion,
    refresh::{Others, refreshable},
    workers::{broken_workers, not_ready, workers},
};
use crate::{
    api::{
        Pod, ProbeType, ReloadStatus, ScalingStatus, ServingStatus,
        conditions::{reasons, types},
    },
    apply::ChildProblem,
    kinds::Kind,
    model::{Scaling, Workload, names},
    observe::{DeploymentState, PodState},
    pruning,
    training::Outcome,
};

/// Age of an autoscaler from which missing metrics are reported: 180 s. It gets its first metrics some time after the
/// pods' start.
pub const FIRST_METRICS: SignedDuration = SignedDuration::from_secs(180);

/// Status, reason and message of a condition.
#[derive(Clone, Debug, PartialEq)]
pub struct ConditionValue {
    /// `True`, `False` or `Unknown`.
    pub status: &'static str,
    /// Why, as one of [`reasons`].
    pub reason: String,
    /// Why, as readable text.
    pub message: String,
}

impl ConditionValue {
    /// With the status `True`.
    pub fn yes(reason: &str, message: impl Into<String>) -> Self {
        Self { status: "True", reason: reason.into(), message: message.into() }
    }

    /// With the status `False`.
    pub fn no(reason: &str, message: impl Into<String>) -> Self {
        Self { status: "False", reason: reason.into(), message: message.into() }
    }

    /// With the status `Unknown`.
    pub fn unknown(reason: &str, message: impl Into<String>) -> Self {
        Self { status: "Unknown", reason: reason.into(), message: message.into() }
    }

    /// Of a condition that was not computed yet.
    pub fn pending() -> Self {
        Self::unknown(reasons::PENDING, "not evaluated yet")
    }

    /// The same, with more in its message.
    pub(super) fn more(self, text: &str) -> Self {
        Self { message: format!("{}; {text}", self.message.trim_end_matches('.')), ..self }
    }

    /// Whether the status is `True`.
    pub fn is_yes(&self) -> bool {
        self.status == "True"
    }
}

impl From<&Condition> for ConditionValue {
    fn from(condition: &Condition) -> Self {
        let make = match condition.status.as_str() {
            "True" => Self::yes,
            "False" => Self::no,
            _ => Self::unknown,
        };
        make(&condition.reason, condition.message.clone())
    }
}

impl From<&Outcome> for ConditionValue {
    fn from(outcome: &Outcome) -> Self {
        Self { status: outcome.status.as_str(), reason: outcome.reason.into(), message: outcome.message.clone() }
    }
}

/// All conditions, in the order of [`types::all`].
pub fn all(inputs: &Inputs<'_>, status: &ServingStatus) -> [(&'static str, ConditionValue); 11] {
    let training = training(inputs);
    let serving = serving(inputs, status);
    let broken = broken_workers(inputs);
    let workers = workers(inputs, &broken);
    let ready = ready(&training, &serving, status, not_ready(&broken));
    let (stalled, reconciling) = summary(inputs, &ready, &training, &[&serving, &workers]);
    let promotion = promotion(inputs);
    let others = Others { training: &training, serving: &serving };
    let refreshable = refreshable(inputs, status, &others);
    [
        (types::READY, ready),
        (types::RECONCILING, reconciling),
        (types::STALLED, stalled),
        (types::REFRESHABLE, refreshable),
        (types::TRAINING_READY, training),
        (types::PROMOTION_READY, promotion),
        (types::SERVING_READY, serving),
        (types::WORKERS_READY, workers),
        (types::SCALING_ACTIVE, scaling(inputs)),
        (types::MONITORING_READY, monitoring(inputs)),
        (types::DEPENDENCIES_HEALTHY, remarked(inputs, types::DEPENDENCIES_HEALTHY, dependencies(inputs), [])),
    ]
}

/// TrainingReady: as decided, unless a Job was refused.
fn training(inputs: &Inputs<'_>) -> ConditionValue {
    match training_problem(inputs) {
        Some(problem) => of_problem(inputs, problem, ConditionValue::no),
        None => {
            let condition = ConditionValue::from(&inputs.training.condition);
            let condition = remarked(inputs, types::TRAINING_READY, condition, [("", &inputs.model.training.pod)]);
            // Trainings go on until the store is full.
            match inputs.pruning.and_then(pruning::warning) {
                Some(warning) => condition.more(&warning),
                None => condition,
            }
        }
    }
}

/// A condition that is `True`, with the warnings about its part of the spec, and a remark where pods may run as root. `pods`:
/// their settings, by the name of the worker.
pub fn remarked<'a>(
    inputs: &Inputs<'_>,
    type_: &str,
    condition: ConditionValue,
    pods: impl IntoIterator<Item = (&'a str, &'a Pod)>,
) -> ConditionValue {
    if !condition.is_yes() {
        return condition;
    }
    let warnings = inputs.model.warnings_of(type_).into_iter().map(|problem| problem.to_string());
    let remarks: Vec<String> = as_root(pods).into_iter().chain(warnings).collect();
    if remarks.is_empty() {
        return condition;
    }
    condition.more(&remarks.join("; "))
}

/// A remark on pods that may run as root.
fn as_root<'a>(pods: impl IntoIterator<Item = (&'a str, &'a Pod)>) -> Option<String> {
    let as_root = pods
        .into_iter()
        .filter(|(_, pod)| pod.security_context.as_ref().is_some_and(|context| context.run_as_non_root == Some(false)));
    let names: Vec<&str> = as_root.map(|(name, _)| name).collect();
    let of = if names.iter().all(|name| name.is_empty()) { String::new() } else { format!(" of {}", names.join(", ")) };
    (!names.is_empty())
        .then(|| format!("with runAsNonRoot: false the pods{of} do not meet the Pod Security level restricted"))
}

/// A problem with a child that serving needs; workers have Deployments of their own, trainers a Service, and a canary both.
fn serving_problem<'a>(inputs: &'a Inputs<'_>) -> Option<&'a ChildProblem> {
    let serving = names::serving(&inputs.model.identity.base);
    let concerns = |problem: &&ChildProblem| {
        problem.kind.condition() == types::SERVING_READY
            && (problem.kind != Kind::Deployment || problem.name == serving)
            && !is_of_trainers(inputs, problem)
            && !is_of_canary(inputs, problem)
    };
    inputs.problems.iter().find(concerns)
}

/// Whether a problem is one of the Service of distributed trainers.
fn is_of_trainers(inputs: &Inputs<'_>, problem: &ChildProblem) -> bool {
    problem.kind == Kind::Service && problem.name == names::trainers(&inputs.model.identity.base)
}

/// Whether a problem is one of the Service or the Deployment of a canary: what serves does not need them.
fn is_of_canary(inputs: &Inputs<'_>, problem: &ChildProblem) -> bool {
    matches!(problem.kind, Kind::Service | Kind::Deployment)
        && problem.name == names::canary(&inputs.model.identity.base)
}

/// A problem with a child that a canary needs.
pub(super) fn canary_problem<'a>(inputs: &'a Inputs<'_>) -> Option<&'a ChildProblem> {
    let of_canary = || inputs.problems.iter().find(|problem| is_of_canary(inputs, problem));
    problem(inputs, types::PROMOTION_READY).or_else(of_canary)
}

/// A problem with a child that training needs.
fn training_problem<'a>(inputs: &'a Inputs<'_>) -> Option<&'a ChildProblem> {
    let of_trainers = || inputs.problems.iter().find(|problem| is_of_trainers(inputs, problem));
    problem(inputs, types::TRAINING_READY).or_else(of_trainers)
}

/// A condition that reports a problem. All conflicts of names are reported together, because one remedy ends them.
pub(super) fn of_problem(
    inputs: &Inputs<'_>,
    problem: &ChildProblem,
    make: fn(&str, String) -> ConditionValue,
) -> ConditionValue {
    let is_other = |of: &&ChildProblem| {
        of.reason == reasons::NAME_CONFLICT && (of.kind, &of.name) != (problem.kind, &problem.name)
    };
    let others = inputs.problems.iter().filter(|_| problem.reason == reasons::NAME_CONFLICT).filter(is_other);
    let others: Vec<String> = others.map(|of| format!("{} {}", of.kind.as_str(), of.name)).collect();
    let more = if others.is_empty() { String::new() } else { format!("; likewise {}", others.join(", ")) };
    make(problem.reason, format!("{}{more}", problem.message))
}

/// The first problem with a child that a condition reports.
pub(super) fn problem<'a>(inputs: &'a Inputs<'_>, condition: &str) -> Option<&'a ChildProblem> {
    inputs.problems.iter().find(|problem| problem.kind.condition() == condition)
}

/// ServingReady:
///
/// | a child is not as desired | desired version | Deployment | condition |
/// |---|---|---|---|
/// | yes | any | any | False, the problem's reason |
/// | no | none | any | False, NoVersion |
/// | no | none, the newest is in an earlier artifact store | any | False, ArtifactsMoved |
/// | no | new, with the same full version at its root as the one before, with hot reload | not every ready pod reports it | False, Reloading |
/// | no | new, or with new settings | stuck | False, RolloutStuck |
/// | no | new, or with new settings | pods are refused or cannot start, within the progress deadline | False, RolloutBlocked |
/// | no | new, or with new settings | older pods exist | False, RollingOut |
/// | no | rolled out before | fewer ready than the minimum, because some left the Service under load | False, ServersOverloaded |
/// | no | rolled out before | fewer ready than the minimum | False, ReplicasMissing |
/// | no | rolled out before | enough ready | True, Serving |
fn serving(inputs: &Inputs<'_>, serving: &ServingStatus) -> ConditionValue {
    let deployment = inputs.servers();
    if let Some(problem) = serving_problem(inputs) {
        return of_problem(inputs, problem, ConditionValue::no);
    }
    if let Some(version) = &inputs.rollout.elsewhere {
        let store = inputs.model.artifacts.root_uri();
        return ConditionValue::no(
            reasons::ARTIFACTS_MOVED,
            format!(
                "version {version} is not in the artifact store of the spec ({store}): it is served with its earlier settings until \
                 a version is trained there"
            ),
        );
    }
    let Some(desired) = &inputs.rollout.serve else {
        let why = match inputs.rollout.versions.is_empty() {
            true => "there is no trained version to serve yet",
            false => &inputs.rollout.condition.message,
        };
        return ConditionValue::no(reasons::NO_VERSION, why);
    };
    let of_version = |pod: &&PodState| pod.job.is_none() && pod.version == desired.id;
    let (blocked, why) = missing_pods(inputs, of_version, deployment);
    let under_way = if blocked { reasons::ROLLOUT_BLOCKED } else { reasons::ROLLING_OUT };
    let is_reloaded = |reload: &&ReloadStatus| !reload.restarts && inputs.model.hot_reload.is_some();
    if let Some(reload) = inputs.reload.filter(is_reloaded) {
        let meanwhile = serving.version.as_ref().filter(|old| **old != desired.id);
        let meanwhile = meanwhile.map(|old| format!("; the others answer with {old}")).unwrap_or_default();
        let message = format!(
            "the servers change to version {} without a restart because {}: {}{why}{meanwhile}",
            desired.id, inputs.rollout.why, reload.message
        );
        return ConditionValue::no(reasons::RELOADING, message);
    }
    let restarted = inputs.reload.filter(|reload| reload.restarts);
    let restarted = restarted.map(|reload| format!("; {}", reload.message)).unwrap_or_default();
    // A change of the settings rolls out the same version again.
    if serving.rolling_out.is_some() || deployment.is_some_and(DeploymentState::is_rolling) {
        let meanwhile = match &serving.version {
            Some(old) if *old != desired.id => format!("; {old} continues to serve"),
            Some(_) if serving.replicas > 0 => "; its earlier pods continue to serve".into(),
            _ => String::new(),
        };
        let (reason, what) = match deployment.and_then(|state| state.stuck.as_ref()) {
            Some(_) => (reasons::ROLLOUT_STUCK, "does not get ready".to_owned()),
            None if serving.rolling_out.is_some() => {
                (under_way, format!("is being rolled out because {}", inputs.rollout.why))
            }
            None => (under_way, "is being rolled out".to_owned()),
        };
        return ConditionValue::no(reason, format!("version {} {what}{why}{restarted}{meanwhile}", desired.id));
    }
    let least = inputs.model.serving_workload().replicas;
    if serving.replicas < least {
        let ready = serving.replicas;
        if let Some(left) = left_under_load(inputs) {
            return ConditionValue::no(
                reasons::SERVERS_OVERLOADED,
                format!("{ready} of at least {least} pods are ready: {left}"),
            );
        }
        return ConditionValue::no(
            reasons::REPLICAS_MISSING,
            format!("{ready} of at least {least} pods are ready{why}"),
        );
    }
    let left = left_under_load(inputs).map(|left| format!("; {left}")).unwrap_or_default();
    let other = answers_otherwise(inputs, &desired.id).unwrap_or_default();
    let rolled_out =
        ConditionValue::yes(reasons::SERVING, format!("version {} is rolled out{left}{other}", desired.id));
    remarked(inputs, types::SERVING_READY, rolled_out, [("", &inputs.model.serving.pod)])
}

/// Which servers answer with another version than their file names, and what to do. Such a server got ready without having loaded it.
fn answers_otherwise(inputs: &Inputs<'_>, version: &str) -> Option<String> {
    let other = |pod: &PodState| Some((pod.name.clone(), pod.answers.clone()?));
    let all: Vec<_> = inputs.children.pods().filter(|pod| pod.version == version).filter_map(other).collect();
    let (pod, answers) = all.first()?;
    let more = if all.len() == 1 { String::new() } else { format!(", and {} more likewise", all.len() - 1) };
    let namespace = &inputs.model.identity.namespace;
    Some(format!(
        "; pod {pod} answers with {answers}, although its file names {version}{more}: its log says why it could not load that \
         (kubectl -n {namespace} logs {pod}); once that is mended, kubectl -n {namespace} delete pod {pod}"
    ))
}

/// How many servers left the Service because they fail their readiness probes under load, and what to do. None when none
/// did.
fn left_under_load(inputs: &Inputs<'_>) -> Option<String> {
    let workload = inputs.model.serving_workload();
    let decided = inputs.scaling.decided.get(&workload.name)?;
    if decided.reason != reasons::OVERLOADED && decided.reason != reasons::MAX_REPLICAS {
        return None;
    }
    let is_one = |pod: &&PodState| pod.component == workload.component && pod.started && pod.lost_readiness;
    let count = inputs.children.pods().filter(is_one).count();
    let serving = &inputs.model.serving;
    let asked = serving.pod.probe(ProbeType::Readiness).and_then(|probe| probe.timeout_seconds);
    let seconds = asked.unwrap_or(serving.probes.timeout_seconds);
    (count > 0).then(|| {
        format!(
            "{count} left the Service under load, because their readiness probe failed (time-out {seconds} s); let the \
             server refuse what it cannot answer in time, and answer its probe meanwhile"
        )
    })
}

/// Ready: a trained version answers requests. A model that cannot be trained again, or whose newer version is still
/// rolling out, is ready as long as the older one answers. `workers`: a remark on workers that are not ready.
fn ready(
    training: &ConditionValue,
    serving_ready: &ConditionValue,
    serving: &ServingStatus,
    workers: Option<String>,
) -> ConditionValue {
    let answers = serving.version.as_ref().filter(|_| serving.replicas > 0);
    match answers {
        Some(version) => {
            let answers = format!("version {version} answers requests");
            let message = [answers].into_iter().chain(workers).collect::<Vec<_>>().join("; ");
            ConditionValue::yes(reasons::SERVING, message)
        }
        // Before the first version, the state of the training is the reason.
        None if serving_ready.reason == reasons::NO_VERSION => ConditionValue::no(&training.reason, &training.message),
        None => ConditionValue::no(&serving_ready.reason, &serving_ready.message),
    }
}

/// Whether some of these pods cannot start or are refused, and why they are missing or not ready, to be appended to a message.
pub fn missing_pods(
    inputs: &Inputs<'_>,
    is_one: impl Fn(&&PodState) -> bool,
    deployment: Option<&DeploymentState>,
) -> (bool, String) {
    let pods = || inputs.children.pods().filter(&is_one);
    let blocked = pods().filter_map(|pod| pod.blocked_at(inputs.now)).min();
    let blocked = blocked.or_else(|| deployment?.refused.as_deref());
    let unready = pods().filter_map(|pod| pod.unready.as_deref()).min();
    let why = blocked.or(unready).or_else(|| deployment?.failure());
    (blocked.is_some(), why.map(|why| format!(": {why}")).unwrap_or_default())
}

/// Reasons of conditions that last until a person changes something.
const WAIT_FOR_A_PERSON: [&str; 1] = [reasons::ROLLOUT_STUCK];
/// Reasons of conditions that pass by themselves: the operator or the cluster is still working on it.
const UNDER_WAY: [&str; 6] = [
    reasons::ROLLING_OUT,
    reasons::RELOADING,
    reasons::ROLLOUT_BLOCKED,
    reasons::ARTIFACTS_MOVED,
    reasons::REPLICAS_MISSING,
    reasons::SERVERS_OVERLOADED,
];

/// The first of `pods`, ServingReady and WorkersReady, that is not `True` for one of these reasons.
fn because<'a>(pods: &[&'a ConditionValue], reasons: &[&str]) -> Option<&'a ConditionValue> {
    pods.iter().copied().find(|condition| !condition.is_yes() && reasons.contains(&condition.reason.as_str()))
}

/// Stalled and Reconciling summarize all other conditions. The first row that applies counts; `pods` are ServingReady and
/// WorkersReady.
///
/// | case | Stalled | Reconciling |
/// |---|---|---|
/// | a child that is neither optional nor a canary's is refused permanently | True | False |
/// | one of `pods` is False for a reason of [`WAIT_FOR_A_PERSON`] | True | False |
/// | there is no version in the artifact store, and no run that could make one | True | False |
/// | a child could not be applied this time | False | True |
/// | Ready is not True | False | True |
/// | one of `pods` is False for a reason of [`UNDER_WAY`] | False | True |
/// | none of these: a regular training run of a model that serves, scaling, optional kinds and dependencies do not count | False | False |
pub fn summary(
    inputs: &Inputs<'_>,
    ready: &ConditionValue,
    training: &ConditionValue,
    pods: &[&ConditionValue],
) -> (ConditionValue, ConditionValue) {
    let is_needed = |problem: &ChildProblem| !problem.kind.is_optional() && !is_of_canary(inputs, problem);
    let refused = inputs.problems.iter().find(|problem| problem.permanent && is_needed(problem));
    let ended_badly = training.status == "False" && inputs.training.status.active.is_none();
    let no_run = (!ready.is_yes() || inputs.rollout.elsewhere.is_some())
        && ended_badly
        && inputs.rollout.serve.is_none()
        && training_problem(inputs).is_none();
    let of_problem = |problem: &ChildProblem| of_problem(inputs, problem, ConditionValue::yes);
    let of_condition = |condition: &ConditionValue| ConditionValue::yes(&condition.reason, &condition.message);
    let waits = refused
        .map(of_problem)
        .or_else(|| because(pods, &WAIT_FOR_A_PERSON).map(of_condition))
        .or_else(|| no_run.then(|| of_condition(training)));
    if let Some(stalled) = waits {
        let reconciling = ConditionValue::no(&stalled.reason, "waits for a person, see Stalled");
        return (stalled, reconciling);
    }
    let failed = inputs.problems.iter().find(|problem| !problem.permanent);
    let works = failed
        .map(of_problem)
        .or_else(|| (!ready.is_yes()).then(|| of_condition(ready)))
        .or_else(|| because(pods, &UNDER_WAY).map(of_condition));
    (
        ConditionValue::no(reasons::AS_SPECIFIED, "nothing waits for a person"),
        works.unwrap_or_else(|| ConditionValue::no(reasons::AS_SPECIFIED, "everything is as specified")),
    )
}

/// ScalingActive: the worst of all workloads.
///
/// | workload | condition |
/// |---|---|
/// | none has autoscaling | False, NotRequested |
/// | its autoscaler is not as desired | False, the problem's reason |
/// | an external autoscaler scales it | False, ScalingConflict |
/// | scales on latency or lag, signals missing or old | False, MetricsMissing |
/// | scales on latency or lag, nothing decided yet | Unknown, Pending |
/// | scales on latency or lag, cannot meet its target | True, the limiting reason |
/// | scales on latency or lag, overloaded | True, Overloaded; Advisory if it is advisory |
/// | scales on latency or lag, none of these | True, AsSpecified; Advisory if it is advisory |
/// | scales on CPU | what its autoscaler reports |
fn scaling(inputs: &Inputs<'_>) -> ConditionValue {
    let workloads = inputs.model.workloads();
    let scaled: Vec<_> = workloads.iter().filter(|workload| workload.scaling.is_some()).collect();
    let several = scaled.len() > 1;
    let conditions = scaled.iter().map(|workload| {
        let condition = scaling_of(inputs, workload);
        let message = if several { format!("{}: {}", workload.name, condition.message) } else { condition.message };
        ConditionValue { message, ..condition }
    });
    let rank = |condition: &ConditionValue| match condition.status {
        "False" => 0,
        "Unknown" => 1,
        _ if reasons::LIMITING_REASONS.contains(&condition.reason.as_str()) => 2,
        _ => 3,
    };
    let worst = conditions.min_by_key(rank);
    worst.unwrap_or_else(|| ConditionValue::no(reasons::NOT_REQUESTED, "the number of replicas is fixed"))
}

fn scaling_of(inputs: &Inputs<'_>, workload: &Workload) -> ConditionValue {
    let refused =
        |problem: &&ChildProblem| problem.kind == Kind::HorizontalPodAutoscaler && problem.name == workload.deployment;
    if let Some(problem) = inputs.problems.iter().find(refused) {
        return ConditionValue::no(problem.reason, &problem.message);
    }
    if let Some(external) = inputs.scaling.external.get(&workload.deployment) {
        let owner = external.owner.as_ref().map(|owner| format!(" (of {owner})")).unwrap_or_default();
        return ConditionValue::no(
            reasons::SCALING_CONFLICT,
            format!(
                "HorizontalPodAutoscaler {}{owner} also scales Deployment {}, so this object's is deleted until that one \
                 is gone: delete that one, or remove autoscaling here",
                external.name, workload.deployment
            ),
        );
    }
    match workload.scaling.as_ref().filter(|scaling| scaling.is_decided()) {
        Some(scaling) => decided(scaling, inputs.scaling.decided.get(&workload.name)),
        None => by_autoscaler(inputs, workload),
    }
}

/// ScalingActive of a workload that the operator decides on.
fn decided(scaling: &Scaling, reported: Option<&ScalingStatus>) -> ConditionValue {
    let Some(reported) = reported else {
        return ConditionValue::unknown(
            reasons::PENDING,
            "nothing is decided yet, because the first signals are awaited",
        );
    };
    if reported.reason == reasons::METRICS_MISSING {
        return ConditionValue::no(reasons::METRICS_MISSING, &reported.message);
    }
    if scaling.advisory && reported.reason == reasons::OVERLOADED {
        return ConditionValue::yes(reasons::ADVISORY, format!("advisory, not applied: {}", reported.message));
    }
    if reported.reason == reasons::OVERLOADED || reasons::LIMITING_REASONS.contains(&reported.reason.as_str()) {
        return ConditionValue::yes(&reported.reason, &reported.message);
    }
    if scaling.advisory {
        return ConditionValue::yes(reasons::ADVISORY, "advisory: decisions on replicas are reported and not applied");
    }
    ConditionValue::yes(reasons::AS_SPECIFIED, format!("the replicas follow the {}", signals(scaling)))
}

/// What the replicas of a workload follow.
fn signals(scaling: &Scaling) -> String {
    let signals = [
        ("latency", scaling.latency.is_some()),
        ("lag", scaling.lag.is_some()),
        ("CPU use", scaling.cpu.is_some()),
        ("memory use", scaling.memory.is_some()),
    ];
    let followed: Vec<_> = signals.iter().filter(|(_, followed)| *followed).map(|(name, _)| *name).collect();
    followed.join(" and the ")
}

/// ScalingActive of a workload that scales on its use of CPU or memory: what its autoscaler reports.
fn by_autoscaler(inputs: &Inputs<'_>, workload: &Workload) -> ConditionValue {
    let autoscaler = inputs.children.autoscaler(&workload.deployment, inputs.uid());
    match autoscaler.and_then(|state| Some((state.created_at, state.active.as_ref()?))) {
        Some((_, (true, _))) => {
            let followed = workload.scaling.as_ref().map(signals).unwrap_or_default();
            ConditionValue::yes(reasons::AS_SPECIFIED, format!("the replicas follow the {followed}"))
        }
        Some((created_at, (false, message))) if inputs.now.duration_since(created_at) > FIRST_METRICS => {
            ConditionValue::no(reasons::NO_METRICS, message)
        }
        _ => ConditionValue::unknown(reasons::PENDING, "the autoscaler has no metrics of the pods yet"),
    }
}
