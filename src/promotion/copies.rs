//! Whether Gateways can copy requests, by what their GatewayClasses state. Pure.
//!
//! A Gateway that cannot may still accept an HTTPRoute with copies, and answer errors to all of its requests (seen of Traefik 3.7).

use crate::model::Canary;

use super::route::WHOLE;

/// The feature of a Gateway that copies requests, by the names of the Gateway API.
const COPIES: &str = "HTTPRouteRequestMirror";
/// The same of one that copies a share of them.
const SHARES: &str = "HTTPRouteRequestPercentageMirror";

/// What the GatewayClass of a Gateway states.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Stated {
    /// Name of the Gateway, with its namespace.
    pub gateway: String,
    /// Name of its GatewayClass.
    pub class: String,
    /// The features that it supports. Empty: it states none, which is no statement.
    pub features: Vec<String>,
}

/// The shares of the requests that a canary is to get copies of, in per cent.
pub fn percents(canary: &Canary) -> Vec<i32> {
    canary.plan.steps.iter().map(|step| step.mirror_percent).filter(|percent| *percent > 0).collect()
}

/// Why a Gateway does not copy such shares of the requests, and what to do; none if all do, or do not state what they can.
pub fn refusal(percents: &[i32], gateways: &[Stated]) -> Option<String> {
    let is_share = |percent: &i32| *percent < WHOLE;
    let needed = [
        (COPIES, !percents.is_empty(), "remove the steps with mirrorPercent, or name another Gateway"),
        (SHARES, percents.iter().any(is_share), "write mirrorPercent: 100, or name another Gateway"),
    ];
    let lacks = |(feature, is_needed, remedy): (&str, bool, &str)| {
        let states_others = |of: &&Stated| !of.features.is_empty() && !of.features.iter().any(|has| has == feature);
        let Stated { gateway, class, .. } = gateways.iter().find(states_others).filter(|_| is_needed)?;
        Some(format!(
            "Gateway {gateway} does not copy requests so: status.supportedFeatures of its GatewayClass {class} lacks {feature}; {remedy}"
        ))
    };
    needed.into_iter().find_map(lacks)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn of(gateway: &str, features: &[&str]) -> Stated {
        let features = features.iter().map(|of| (*of).to_owned()).collect();
        Stated { gateway: format!("infra/{gateway}"), class: format!("class-of-{gateway}"), features }
    }

    #[test]
    fn a_gateway_is_refused_that_states_features_and_not_those_that_copies_need() {
        let (all, whole) = (of("all", &[COPIES, SHARES]), of("whole", &[COPIES, "HTTPRouteMethodMatching"]));
        let (none, silent) = (of("none", &["HTTPRouteMethodMatching"]), of("silent", &[]));
        let gateways = [all.clone(), none.clone()];
        assert_eq!(
            refusal(&[100], &gateways).as_deref(),
            Some(
                "Gateway infra/none does not copy requests so: status.supportedFeatures of its GatewayClass class-of-none lacks \
                 HTTPRouteRequestMirror; remove the steps with mirrorPercent, or name another Gateway"
            )
        );
        let why = refusal(&[20, 100], std::slice::from_ref(&whole)).expect("it copies no shares");
        assert!(why.contains("lacks HTTPRouteRequestPercentageMirror; write mirrorPercent: 100"), "{why}");
        for (percents, gateways) in [
            (&[][..], vec![none]),
            (&[100], vec![whole]),
            (&[20], vec![all.clone()]),
            (&[20], vec![silent, all]),
            (&[20], Vec::new()),
        ] {
            assert_eq!(refusal(percents, &gateways), None, "{percents:?} {gateways:?}");
        }
    }
}
