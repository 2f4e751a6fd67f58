//! The requests that arrive in front of the servers, by whoever counts them there. They are known even while the servers
//! answer nothing.

use super::{
    Watched,
    promql::{equals, series},
};

/// Seconds over which these are counted. Ingresses and meshes are scraped as their owner likes it, mostly every 15 to 30 s.
const WINDOW: &str = "1m";

/// Requests per second to the object's Service; None when the object names no front.
pub(super) fn requests(watched: &Watched) -> Option<String> {
    let front = watched.front?;
    if let Some(custom) = &front.custom {
        return Some(format!("sum((\n{}\n))", custom.requests));
    }
    let counters = match &front.istio {
        // As the clients' side counts it: the servers' own proxies may be as overloaded as they are.
        Some(_) => vec![series(
            "istio_requests_total",
            &[
                r#"reporter="source""#,
                &equals("destination_service_namespace", watched.namespace),
                &equals("destination_service_name", watched.service),
            ],
        )],
        // Scraped without `honorLabels`, its labels of that name are the controller's own.
        None => [("namespace", "service", r#"exported_service="""#), ("exported_namespace", "exported_service", "")]
            .map(|(namespace, service, honoured)| {
                let (namespace, service) = (equals(namespace, watched.namespace), equals(service, watched.service));
                let matchers = [namespace.as_str(), &service, honoured];
                let matchers: Vec<&str> = matchers.into_iter().filter(|matcher| !matcher.is_empty()).collect();
                series("nginx_ingress_controller_requests", &matchers)
            })
            .to_vec(),
    };
    let rates: Vec<String> = counters.iter().map(|counter| format!("rate({counter}[{WINDOW}])")).collect();
    Some(format!("sum({})", rates.join(" or ")))
}
