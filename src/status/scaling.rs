//! ScalingActive: what the replicas of each workload follow, or why they do not.

use jiff::SignedDuration;

use super::{ConditionValue, Inputs};
use crate::{
    api::{ScalingStatus, conditions::reasons},
    apply::ChildProblem,
    kinds::Kind,
    model::{Scaling, Workload},
};

/// Age of an autoscaler from which missing metrics are reported: 180 s. It gets its first metrics some time after the
/// pods' start.
pub const FIRST_METRICS: SignedDuration = SignedDuration::from_secs(180);

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
pub(super) fn scaling(inputs: &Inputs<'_>) -> ConditionValue {
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
