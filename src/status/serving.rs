//! ServingReady: whether the desired version is rolled out, and why pods are missing.

use super::{
    ConditionValue, Inputs,
    condition::remarked,
    problems::{of_problem, serving_problem},
};
use crate::{
    api::{
        ProbeType, ReloadStatus, ServingStatus,
        conditions::{reasons, types},
    },
    observe::{DeploymentState, PodState},
    promotion::unreadable,
};

/// ServingReady:
///
/// | a child is not as desired | desired version | Deployment | condition |
/// |---|---|---|---|
/// | yes | any | any | False, the problem's reason |
/// | no | none | any | False, NoVersion |
/// | no | none, the newest is in an earlier artifact store, or its artifact is not known | any | False, ArtifactsMoved |
/// | no | new, with the same full version at its root as the one before, with hot reload | not every ready pod reports it | False, Reloading |
/// | no | new, or with new settings | stuck | False, RolloutStuck |
/// | no | new, or with new settings | pods are refused or cannot start, within the progress deadline | False, RolloutBlocked |
/// | no | new, or with new settings | older pods exist | False, RollingOut |
/// | no | rolled out before | fewer ready than the minimum, because some left the Service under load | False, ServersOverloaded |
/// | no | rolled out before | fewer ready than the minimum | False, ReplicasMissing |
/// | no | rolled out before | enough ready | True, Serving |
pub(super) fn serving(inputs: &Inputs<'_>, serving: &ServingStatus) -> ConditionValue {
    let deployment = inputs.servers();
    if let Some(problem) = serving_problem(inputs) {
        return of_problem(inputs, problem, ConditionValue::no);
    }
    if let Some(version) = &inputs.rollout.elsewhere {
        let store = inputs.model.artifacts.root_uri();
        let known = inputs.rollout.versions.iter().find(|known| known.id == *version);
        let message = match known.filter(|known| !known.has_artifact()) {
            Some(unknown) => {
                let answers = inputs.rollout.serving.as_deref();
                format!("version {}", unreadable(&inputs.model.identity, unknown, &store, answers))
            }
            None => format!(
                "version {version} is not in the artifact store of the spec ({store}): it is served with its earlier settings until \
                 a version is trained there"
            ),
        };
        return ConditionValue::no(reasons::ARTIFACTS_MOVED, message);
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
