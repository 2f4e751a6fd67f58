//! The shares of the requests by an HTTPRoute: which it is to give, and whether Gateways give them. Pure.
//!
//! ```text
//! Memory (share of the step) ─┐
//! Deployment (ready pods) ────┼─> direct (weights, whether the canary's pods are left as they are) ─> render, apply
//! HTTPRoute, as observed ─────┴─> Routed ─> trial (a step goes on only with its share), PromotionReady
//! ```
//!
//! Pods come before weight: [`direct`] gives nothing to a canary without ready pods. Weight goes before pods: while Gateways may still send
//! requests to the canary, its pods stay as they are, also for another version.

use std::fmt;

use crate::{
    api::Version,
    kinds::Kind,
    model::Model,
    names::{self, CANARY_COMPONENT},
    observe::{Children, PodState, RouteState},
};

/// All requests, in per cent.
pub const WHOLE: i32 = 100;

/// What a canary gets of the requests, in per cent. The rest is for the version that serves.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Shares {
    /// Requests that it answers.
    pub canary: i32,
    /// Requests that it gets copies of.
    pub mirrored: i32,
}

impl Shares {
    /// Requests that the version that serves answers.
    pub fn stable(self) -> i32 {
        WHOLE - self.canary
    }

    /// Whether the canary gets any.
    pub fn is_some(self) -> bool {
        self != Self::default()
    }
}

impl fmt::Display for Shares {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self { canary: 0, mirrored: 0 } => f.write_str("no requests"),
            Self { canary: 0, mirrored } => write!(f, "copies of {mirrored} % of the requests"),
            Self { canary, .. } => write!(f, "{canary} % of the requests"),
        }
    }
}

/// The HTTPRoute of an object, as observed.
#[derive(Clone, Debug, PartialEq)]
pub struct Routed {
    /// What it gives a canary; none if its weights are not such that we would write.
    pub shares: Option<Shares>,
    /// Whether Gateways divide the requests by it.
    pub state: Acceptance,
}

/// Whether Gateways divide the requests by an HTTPRoute, with the reason if they do not.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Acceptance {
    /// All do.
    Accepted,
    /// Some have not observed its last change yet.
    Late(String),
    /// It does not exist yet, or some Gateways have not reported on it.
    Unreported(String),
    /// Some do not.
    Refused(String),
    /// The cluster has no HTTPRoutes.
    Missing(String),
}

impl Routed {
    /// Of an object; none if its requests are not divided by an HTTPRoute. `has_kind`: whether the cluster has HTTPRoutes.
    pub fn new(model: &Model, children: &Children, has_kind: bool) -> Option<Self> {
        model.http_route()?;
        let identity = &model.identity;
        let observed = children.route(&identity.base, identity.uid.as_deref().unwrap_or_default());
        Some(match observed {
            _ if !has_kind => {
                let state = Acceptance::Missing(Kind::HTTPRoute.absence());
                Self { shares: None, state }
            }
            None => {
                let why = format!("HTTPRoute {} does not exist yet", identity.base);
                Self { shares: None, state: Acceptance::Unreported(why) }
            }
            Some(_) if !has_service(model, children) => {
                let why = format!(
                    "Service {} does not exist yet, or belongs to another owner",
                    names::canary(&identity.base)
                );
                Self { shares: None, state: Acceptance::Unreported(why) }
            }
            Some(route) => Self::of(&identity.base, route),
        })
    }

    pub(super) fn of(name: &str, route: &RouteState) -> Self {
        let is_ours = route.stable + route.canary == WHOLE && (0..=WHOLE).contains(&route.canary);
        let shares = Shares { canary: route.canary, mirrored: route.mirrored };
        let state = match route {
            RouteState { refused: Some(why), .. } => {
                Acceptance::Refused(format!("HTTPRoute {name} is not accepted: {why}"))
            }
            RouteState { unreported: Some(gateways), .. } => Acceptance::Unreported(format!(
                "no controller has reported on HTTPRoute {name} at Gateway {gateways}: check that this Gateway exists, and that its \
                 GatewayClass has a controller"
            )),
            RouteState { late: Some(gateways), .. } => {
                Acceptance::Late(format!("Gateway {gateways} has not observed the last change of HTTPRoute {name} yet"))
            }
            _ => Acceptance::Accepted,
        };
        Self { shares: is_ours.then_some(shares), state }
    }

    /// The same HTTPRoute, which is not to be used for this reason.
    pub fn refused(self, why: String) -> Self {
        Self { state: Acceptance::Refused(why), ..self }
    }

    /// Whether Gateways divide requests by it, or will once they have observed its last change.
    pub fn is_usable(&self) -> bool {
        matches!(self.state, Acceptance::Accepted | Acceptance::Late(_))
    }

    /// Why requests are not divided by it; none if they are.
    pub fn waits(&self) -> Option<&str> {
        match &self.state {
            Acceptance::Accepted => None,
            Acceptance::Late(why)
            | Acceptance::Unreported(why)
            | Acceptance::Refused(why)
            | Acceptance::Missing(why) => Some(why),
        }
    }

    /// Whether Gateways have not observed its last change yet.
    pub fn is_late(&self) -> bool {
        matches!(self.state, Acceptance::Late(_))
    }

    /// Why a canary with so many ready pods does not get these shares; none if it does. Without ready pods it is to get nothing: it waits
    /// for its pods then. Not while the HTTPRoute gives anything, or may: pods of the version before stay as long, and it has none.
    pub fn undivided(&self, ready: i32, shares: Shares) -> Option<String> {
        if ready < 1 && self.state == Acceptance::Accepted && self.shares == Some(Shares::default()) {
            return None;
        }
        let waits = self.waits().map(str::to_owned);
        waits.or_else(|| match self.shares {
            Some(given) if given == shares => None,
            Some(Shares { mirrored: WHOLE, .. }) if (1..WHOLE).contains(&shares.mirrored) => Some(format!(
                "the HTTPRoute copies all requests in place of {} %: unless that was just changed, the Gateway API of the cluster is \
                 older than 1.3 and has no percentage, so write mirrorPercent: 100",
                shares.mirrored
            )),
            Some(given) => Some(format!("the HTTPRoute gives it {given} in place of {shares}")),
            None => Some(format!("the weights of the HTTPRoute were changed; it is to give {shares}")),
        })
    }
}

/// What the HTTPRoute is to give, and what may be done with the pods of a canary.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Directed {
    /// What it is to give.
    pub shares: Shares,
    /// Whether the canary's Deployment stays as it is, because its pods may still get requests.
    pub is_held: bool,
}

/// `canary`: the version of the canary and the share of its step. `is_desired`: whether its Deployment would stay. `pods`: the version of
/// that Deployment, and its pods that are ready.
pub fn direct(
    (canary, is_desired): (Option<(&str, Shares)>, bool),
    pods: Option<(&str, usize)>,
    route: Option<&RouteState>,
) -> Directed {
    let is_of = |(version, _): &(&str, Shares)| pods.is_some_and(|(of, ready)| of == *version && ready > 0);
    let shares = canary.filter(is_of).map(|(_, shares)| shares).unwrap_or_default();
    let would_go = pods.is_some_and(|(of, _)| !is_desired || canary.is_none_or(|(version, _)| version != of));
    Directed { shares, is_held: would_go && route.is_some_and(RouteState::gives) }
}

/// Whether there is the Service of the canary.
fn has_service(model: &Model, children: &Children) -> bool {
    let (name, uid) = (names::canary(&model.identity.base), model.identity.uid.as_deref().unwrap_or_default());
    children.own(Kind::Service, &name, uid).is_some()
}

/// The same of an object. `canary`: with the pods that it is to have.
pub fn directed(model: &Model, children: &Children, canary: Option<(&Version, Shares, i32)>) -> Directed {
    let identity = &model.identity;
    let uid = identity.uid.as_deref().unwrap_or_default();
    let version = super::deployment(model, children, names::canary).and_then(|state| state.version.as_deref());
    // Requests to a Service of somebody else would leave the object.
    let canary = canary.filter(|_| has_service(model, children));
    // Its pods and not its status, which is of the version before for a moment.
    let is_ready =
        |pod: &&PodState, id: &str| pod.component == CANARY_COMPONENT && pod.version == id && pod.ready_since.is_some();
    let pods = version.map(|id| (id, children.pods().filter(|pod| is_ready(pod, id)).count()));
    let is_desired = canary.is_some_and(|(.., pods)| pods > 0);
    let canary = canary.map(|(version, shares, _)| (version.id.as_str(), shares));
    direct((canary, is_desired), pods, children.route(&identity.base, uid))
}
