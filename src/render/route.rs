//! The HTTPRoute that divides the requests of Gateways between the servers and a canary.

use super::service::PORT;
use crate::{
    api::gateway::{BackendRef, HTTPRoute, HttpRouteSpec, ParentReference, RequestMirror, RouteFilter, RouteRule},
    child::{self, Child},
    kinds::Kind,
    model::Model,
    names::{self, SERVING_COMPONENT},
    promotion::route::Shares,
};

/// The HTTPRoute; none if the Service divides the requests.
pub fn render(model: &Model, shares: Shares) -> Option<Child> {
    let route = model.http_route()?;
    let identity = &model.identity;
    let parent = |of: &crate::api::ParentRef| ParentReference {
        name: of.name.clone(),
        namespace: of.namespace.clone(),
        section_name: of.section_name.clone(),
        port: of.port,
    };
    let spec = HttpRouteSpec {
        parent_refs: route.parent_refs.iter().map(parent).collect(),
        hostnames: route.hostnames.clone(),
        rules: rules(&identity.base, shares),
    };
    let metadata = child::meta(identity, identity.base.clone(), SERVING_COMPONENT);
    Some(Child::new(Kind::HTTPRoute, HTTPRoute { metadata, spec, status: None }))
}

/// The rule of one that is no longer in the spec: all requests go to the Service of the servers.
pub fn released(base: &str) -> Vec<RouteRule> {
    let stable = BackendRef { name: base.into(), port: Some(PORT), weight: Some(Shares::default().stable()) };
    vec![RouteRule { filters: Vec::new(), backend_refs: vec![stable] }]
}

/// Its only rule. Weights add up to 100, and both Services are always in it, so that a change of a weight is no change of backends.
pub fn rules(base: &str, shares: Shares) -> Vec<RouteRule> {
    let canary = || BackendRef { name: names::canary(base), port: Some(PORT), weight: None };
    let backend_refs = vec![
        BackendRef { name: base.into(), port: Some(PORT), weight: Some(shares.stable()) },
        BackendRef { weight: Some(shares.canary), ..canary() },
    ];
    // All is the default, which every version of the Gateway API knows.
    let percent = (shares.mirrored < 100).then_some(shares.mirrored);
    let mirror = RequestMirror { backend_ref: canary(), percent };
    let filter = RouteFilter { type_: "RequestMirror".into(), request_mirror: Some(mirror) };
    vec![RouteRule { filters: (shares.mirrored > 0).then_some(filter).into_iter().collect(), backend_refs }]
}
