//! The condition on promotion.

use super::{
    ConditionValue, Inputs,
    condition::{of_problem, problem, remarked},
};
use crate::{
    api::conditions::{reasons, types},
    promotion::route::Acceptance,
};

/// PromotionReady: as decided, unless the requests cannot be divided as specified. What was decided is in the message then. The first row
/// that applies counts:
///
/// | HTTPRoute | canary | condition |
/// |---|---|---|
/// | missing in the cluster, or it cannot be applied | any | False, the problem's reason |
/// | a Gateway does not accept it, or does not find the Services | any | False, RouteNotAccepted |
/// | a Gateway has not reported on it | yes | Unknown, RouteNotAccepted |
/// | as desired, or not in the spec | any | as decided |
pub(super) fn promotion(inputs: &Inputs<'_>) -> ConditionValue {
    let decided = ConditionValue::from(&inputs.rollout.condition);
    let tried = inputs.rollout.canary.as_ref().filter(|version| version.canary.is_none());
    let also = |value: ConditionValue| {
        let rest = match tried {
            Some(version) => format!("version {}, the canary, waits for that", version.id),
            None => decided.message.clone(),
        };
        ConditionValue { message: format!("{}; {rest}", value.message.trim_end_matches('.')), ..value }
    };
    if let Some(problem) = problem(inputs, types::PROMOTION_READY) {
        return also(of_problem(inputs, problem, ConditionValue::no));
    }
    match inputs.route.map(|route| &route.state) {
        Some(Acceptance::Refused(why)) => also(ConditionValue::no(reasons::ROUTE_NOT_ACCEPTED, why)),
        Some(Acceptance::Unreported(why)) if tried.is_some() => {
            also(ConditionValue::unknown(reasons::ROUTE_NOT_ACCEPTED, why))
        }
        _ => remarked(inputs, types::PROMOTION_READY, decided, []),
    }
}
