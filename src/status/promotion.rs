//! The condition on promotion.

use super::{
    ConditionValue, Inputs,
    condition::remarked,
    problems::{canary_problem, of_problem},
};
use crate::{
    api::{
        Version,
        conditions::{reasons, types},
    },
    model::Identity,
    promotion::route::{Acceptance, Shares},
};

/// PromotionReady: as decided, unless the requests cannot be divided as specified. What was decided is in the message then. The first row
/// that applies counts:
///
/// | HTTPRoute | canary | condition |
/// |---|---|---|
/// | missing in the cluster, or it, the Service or the Deployment of the canary cannot be applied | any | False, the problem's reason |
/// | a Gateway does not accept it, or does not find the Services | any | False, RouteNotAccepted |
/// | a Gateway has not reported on it | yes | Unknown, RouteNotAccepted |
/// | a Gateway has not observed its last change | yes | as decided, and that |
/// | as desired | any | as decided |
/// | not in the spec any more | any | as decided, with how to remove it |
pub(super) fn promotion(inputs: &Inputs<'_>) -> ConditionValue {
    let decided = left(inputs, ConditionValue::from(&inputs.rollout.condition));
    let canary = inputs.rollout.canary.as_ref().filter(|version| version.canary.is_none());
    let decided = match canary.filter(|_| decided.reason == reasons::CANARY) {
        Some(version) => decided.more(&format!("it gets {}", shares(inputs, version))),
        None => decided,
    };
    let also = |value: ConditionValue| {
        let rest = match canary {
            Some(version) => {
                format!("version {}, the canary, waits for that and gets {}", version.id, shares(inputs, version))
            }
            None => decided.message.clone(),
        };
        value.more(&rest)
    };
    if let Some(problem) = canary_problem(inputs) {
        return also(of_problem(inputs, problem, ConditionValue::no));
    }
    match inputs.route.map(|route| &route.state) {
        Some(Acceptance::Refused(why)) => also(ConditionValue::no(reasons::ROUTE_NOT_ACCEPTED, why)),
        Some(Acceptance::Unreported(why)) if canary.is_some() => {
            also(ConditionValue::unknown(reasons::ROUTE_NOT_ACCEPTED, why))
        }
        Some(Acceptance::Late(why)) if canary.is_some() => {
            remarked(inputs, types::PROMOTION_READY, decided.more(why), [])
        }
        _ => remarked(inputs, types::PROMOTION_READY, decided, []),
    }
}

/// The same, with what to do about an HTTPRoute that is no longer in the spec: it is left, because requests may still come by it.
fn left(inputs: &Inputs<'_>, decided: ConditionValue) -> ConditionValue {
    let Identity { base, namespace, .. } = &inputs.model.identity;
    let is_left = inputs.model.http_route().is_none() && inputs.children.route(base, inputs.uid()).is_some();
    if !is_left {
        return decided;
    }
    let text = format!(
        "HTTPRoute {base} is not in the spec and gives all requests to Service {base}: once none come by it, kubectl -n {namespace} \
         delete httproute {base}"
    );
    decided.more(&text)
}

/// What the canary gets now: by the HTTPRoute as it is, or by its pods.
fn shares(inputs: &Inputs<'_>, version: &Version) -> Shares {
    let given = inputs.route.and_then(|route| route.shares);
    given.unwrap_or_else(|| inputs.known().memory(&version.id, inputs.now).shares())
}
