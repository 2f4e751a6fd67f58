//! The state kept of an HTTPRoute: how it divides the requests, and whether the Gateways do so.

use k8s_openapi::apimachinery::pkg::apis::meta::v1::Condition;
use kube::core::ObjectMeta;

use super::ChildState;
use crate::{
    api::gateway::{HTTPRoute, ParentReference, RouteParentStatus, RouteRule},
    names,
};

/// Condition of a route at a Gateway: whether it routes by it.
const ACCEPTED: &str = "Accepted";
/// Condition of a route at a Gateway: whether it finds the Services.
const RESOLVED: &str = "ResolvedRefs";

/// The state of an HTTPRoute.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct RouteState {
    /// The weight of the version that serves.
    pub stable: i32,
    /// The weight of the canary.
    pub canary: i32,
    /// Per cent of the requests that the canary gets copies of.
    pub mirrored: i32,
    /// Whether it names the Service of the canary, with whatever weight.
    pub refers: bool,
    /// The Gateways that do not route by it, with the reasons.
    pub refused: Option<String>,
    /// The Gateways that have not reported on it.
    pub unreported: Option<String>,
    /// The Gateways that have reported, but not on its newest generation. Until then they may divide the requests as it was before.
    pub late: Option<String>,
}

impl RouteState {
    /// Whether a canary may get requests, or copies of them, by it.
    pub fn gives(&self) -> bool {
        self.canary > 0 || self.mirrored > 0 || self.late.is_some()
    }
}

/// The state of an HTTPRoute.
pub fn route(route: &HTTPRoute) -> ChildState {
    let canary = names::canary(route.metadata.name.as_deref().unwrap_or_default());
    let (mut stable, mut weight, mut mirrored, mut refers) = (0, 0, 0, false);
    for RouteRule { filters, backend_refs } in &route.spec.rules {
        for backend in backend_refs {
            let of = if backend.name == canary { &mut weight } else { &mut stable };
            *of += backend.weight.unwrap_or(1);
            refers |= backend.name == canary;
        }
        let mirrors = || filters.iter().filter_map(|filter| filter.request_mirror.as_ref());
        refers |= mirrors().any(|mirror| mirror.backend_ref.name == canary);
        mirrored += mirrors().map(|mirror| mirror.percent.unwrap_or(100)).sum::<i32>();
    }
    let (mut refused, mut unreported, mut late) = (Vec::new(), Vec::new(), Vec::new());
    for parent in &route.spec.parent_refs {
        let reports = reports(route, parent);
        if reports.is_empty() {
            unreported.push(name(parent));
        }
        refused.extend(reports.iter().flat_map(|report| refusals(parent, report)));
        if !reports.iter().all(|report| is_of_newest(report, &route.metadata)) {
            late.push(name(parent));
        }
    }
    let list = |of: Vec<String>| (!of.is_empty()).then(|| of.join("; "));
    ChildState::Route(RouteState {
        stable,
        canary: weight,
        mirrored,
        refers,
        refused: list(refused),
        unreported: list(unreported),
        late: list(late),
    })
}

/// What controllers report of a Gateway. What one left that no longer has this Gateway is not of the newest generation, while the report of
/// its successor is.
fn reports<'a>(route: &'a HTTPRoute, parent: &'a ParentReference) -> Vec<&'a RouteParentStatus> {
    let own = &route.metadata.namespace;
    let is_it = move |of: &&RouteParentStatus| {
        let of = &of.parent_ref;
        let is_near = of.namespace.as_ref().or(own.as_ref()) == parent.namespace.as_ref().or(own.as_ref());
        is_near && (&of.name, &of.section_name, of.port) == (&parent.name, &parent.section_name, parent.port)
    };
    let all: Vec<_> = route.status.iter().flat_map(|status| &status.parents).filter(is_it).collect();
    let newest: Vec<_> = all.iter().copied().filter(|report| is_of_newest(report, &route.metadata)).collect();
    if newest.is_empty() { all } else { newest }
}

/// What a controller objects to. That it has not accepted it yet is an objection, too.
fn refusals(parent: &ParentReference, report: &RouteParentStatus) -> Vec<String> {
    let find = |type_: &str| report.conditions.iter().find(|condition| condition.type_ == type_);
    let text = |of: &Condition| {
        let more =
            if of.message.is_empty() { String::new() } else { format!(" ({})", of.message.trim_end_matches('.')) };
        format!("Gateway {}: {} is {}, {}{more}", name(parent), of.type_, of.status, of.reason)
    };
    let found = [ACCEPTED, RESOLVED].map(|type_| find(type_).filter(|condition| condition.status == "False").map(text));
    let is_accepted = find(ACCEPTED).is_some();
    let missing = (!is_accepted).then(|| format!("Gateway {}: it has no condition {ACCEPTED} yet", name(parent)));
    found.into_iter().flatten().chain(missing).collect()
}

/// Whether a report is of the newest generation. A controller that states none is taken for one that is.
fn is_of_newest(report: &RouteParentStatus, meta: &ObjectMeta) -> bool {
    let accepted = report.conditions.iter().find(|condition| condition.type_ == ACCEPTED);
    let observed = accepted.and_then(|condition| condition.observed_generation);
    observed.is_none_or(|observed| observed >= meta.generation.unwrap_or_default())
}

/// The name of a Gateway, with its namespace and its listener if they are stated.
fn name(parent: &ParentReference) -> String {
    let namespace = parent.namespace.as_ref().map(|namespace| format!("{namespace}/")).unwrap_or_default();
    let listener = parent.section_name.as_ref().map(|name| format!(", listener {name}")).unwrap_or_default();
    let port = parent.port.map(|port| format!(", port {port}")).unwrap_or_default();
    format!("{namespace}{}{listener}{port}", parent.name)
}

#[cfg(test)]
mod tests {
    use serde_json::{Value, json};

    use super::*;

    fn state(rules: Value, parents: Value) -> RouteState {
        let object = json!({
            "metadata": {"name": "packages", "namespace": "shop", "generation": 3},
            "spec": {"parentRefs": [{"name": "public", "namespace": "infra", "sectionName": "https", "kind": "Gateway"}], "rules": rules},
            "status": {"parents": parents},
        });
        let ChildState::Route(state) = route(&serde_json::from_value(object).expect("an HTTPRoute")) else {
            panic!("it is a route")
        };
        state
    }

    fn backends(stable: i32, canary: i32) -> Value {
        json!([{"name": "packages", "port": 80, "weight": stable}, {"name": "packages-canary", "port": 80, "weight": canary}])
    }

    fn report(conditions: &[(&str, &str, &str, i64)]) -> Value {
        let condition = |(type_, status, reason, generation): &(&str, &str, &str, i64)| {
            json!({"type": type_, "status": status, "reason": reason, "message": "in words.", "observedGeneration": generation,
                   "lastTransitionTime": "2026-11-21T12:00:00Z"})
        };
        let conditions: Vec<Value> = conditions.iter().map(condition).collect();
        let parent = json!({"group": "gateway.networking.k8s.io", "kind": "Gateway", "name": "public", "namespace": "infra", "sectionName": "https"});
        json!([{"parentRef": parent, "controllerName": "example.org/gateway", "conditions": conditions}])
    }

    #[test]
    fn weights_and_copies_are_read_from_the_rules() {
        let accepted = report(&[("Accepted", "True", "Accepted", 3), ("ResolvedRefs", "True", "ResolvedRefs", 3)]);
        let weighted = state(json!([{"backendRefs": backends(99, 1)}]), accepted.clone());
        let expected = RouteState { stable: 99, canary: 1, refers: true, ..RouteState::default() };
        assert_eq!(weighted, expected);
        assert!(weighted.gives());
        assert!(!state(json!([{"backendRefs": [{"name": "packages", "port": 80}]}]), accepted.clone()).refers);
        let mirror = |percent: Value| {
            let to = json!({"name": "packages-canary", "port": 80});
            json!([{"type": "RequestMirror", "requestMirror": {"backendRef": to, "percent": percent}}])
        };
        for (percent, expected) in [(json!(20), 20), (Value::Null, 100)] {
            let rules = json!([{"filters": mirror(percent), "backendRefs": backends(100, 0)}]);
            assert_eq!(state(rules, accepted.clone()).mirrored, expected);
        }
        assert!(!state(json!([{"backendRefs": backends(100, 0)}]), accepted).gives());
    }

    #[test]
    fn what_gateways_object_to_and_have_not_reported_is_stated() {
        let of = |parents: Value| state(json!([{"backendRefs": backends(100, 0)}]), parents);
        let none = of(json!([]));
        assert_eq!((none.unreported.as_deref(), none.late), (Some("infra/public, listener https"), None));
        let refused = of(report(&[
            ("Accepted", "False", "NoMatchingListenerHostname", 3),
            ("ResolvedRefs", "True", "ResolvedRefs", 3),
        ]));
        let why = "Gateway infra/public, listener https: Accepted is False, NoMatchingListenerHostname (in words)";
        assert_eq!((refused.refused.as_deref(), refused.unreported), (Some(why), None));
        let unresolved =
            of(report(&[("Accepted", "True", "Accepted", 3), ("ResolvedRefs", "False", "BackendNotFound", 3)]));
        assert!(unresolved.refused.is_some_and(|why| why.contains("ResolvedRefs is False, BackendNotFound")));
        let late = of(report(&[("Accepted", "True", "Accepted", 2), ("ResolvedRefs", "True", "ResolvedRefs", 2)]));
        assert!(late.refused.is_none() && late.late.is_some() && late.gives(), "it may still divide them as before");
    }

    #[test]
    fn what_a_controller_left_that_has_a_successor_does_not_count() {
        let of = |generations: &[i64]| {
            let report = |generation: &i64| report(&[("Accepted", "True", "Accepted", *generation)])[0].clone();
            let parents = generations.iter().map(report).collect();
            let state = state(json!([{"backendRefs": backends(100, 0)}]), parents);
            (state.late, state.unreported)
        };
        assert_eq!((of(&[1, 3]), of(&[3, 1])), ((None, None), (None, None)));
        assert_eq!(of(&[1, 2]), (Some("infra/public, listener https".into()), None));
    }
}
