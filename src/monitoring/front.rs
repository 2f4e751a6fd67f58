//! The requests that arrive in front of the servers, as counted by an ingress, a mesh or another proxy. They are known even
//! while no server answers its scrapes.

use super::{
    Monitored,
    promql::{any_of, equals, series},
    recording::Source,
};
use crate::{api::monitoring_coreos::Rule, series::Series};

/// Window of the rate, as a PromQL duration. The scrape interval of ingresses and meshes is not known here; it is mostly 15
/// to 30 s.
const WINDOW: &str = "1m";

/// The rule for an expression of the spec, if it has one.
pub(super) fn custom_rule(monitored: &Monitored) -> Vec<Rule> {
    let custom = monitored.servers.front.and_then(|front| front.custom.as_ref());
    let expr = custom.map(|custom| format!("sum((\n{}\n))", custom.requests));
    expr.map(|expr| Source::new(monitored).rule(Series::Front.name(), expr)).into_iter().collect()
}

/// The matcher of the Services that requests go to.
fn of_service(label: &str, monitored: &Monitored) -> String {
    match monitored.canary.is_some_and(|canary| canary.is_routed) {
        true => format!("{label}=~{}", any_of([monitored.object.base, &monitored.object.canary()])),
        false => equals(label, monitored.object.base),
    }
}

/// Requests per second to the object's Service; `None` if the spec has no front, or an expression for it.
pub(super) fn requests(monitored: &Monitored) -> Option<String> {
    let front = monitored.servers.front.filter(|front| front.custom.is_none())?;
    let counters = match &front.istio {
        // As counted by the clients' proxies: the servers' own proxies may be as overloaded as the servers.
        Some(_) => vec![series(
            "istio_requests_total",
            &[
                r#"reporter="source""#,
                &equals("destination_service_namespace", monitored.object.namespace),
                &of_service("destination_service_name", monitored),
            ],
        )],
        // Without `honorLabels`, `namespace` and `service` are those of the controller, and the Service's are in
        // `exported_namespace` and `exported_service`.
        None => [("namespace", "service", r#"exported_service="""#), ("exported_namespace", "exported_service", "")]
            .map(|(namespace, service, honoured)| {
                let (namespace, service) =
                    (equals(namespace, monitored.object.namespace), of_service(service, monitored));
                series("nginx_ingress_controller_requests", &[&namespace, &service, honoured])
            })
            .to_vec(),
    };
    let rates: Vec<String> = counters.iter().map(|counter| format!("rate({counter}[{WINDOW}])")).collect();
    Some(format!("sum({})", rates.join(" or ")))
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;
    use crate::{
        api::Front,
        monitoring::{Servers, canary::Canary, tests},
    };

    #[test]
    fn requests_that_an_http_route_gives_to_a_canary_are_requests_as_well() {
        for of in ["istio", "ingressNginx"] {
            let front: Front = serde_json::from_value(json!({ of: {} })).expect("a front");
            let expr = |is_routed| {
                let usual = tests::packages("FastApiInstrumentator");
                let canary = Some(Canary { is_routed, compared: tests::COMPARED });
                let servers = Servers { front: Some(&front), ..usual.servers };
                let monitored = Monitored { servers, canary, ..usual };
                requests(&monitored).expect("a front has an expression")
            };
            assert!(expr(true).contains(r#"=~"packages|packages-canary""#), "{}", expr(true));
            assert!(!expr(false).contains("canary"), "{}", expr(false));
        }
    }
}
