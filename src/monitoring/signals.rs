//! The signals of servers in PromQL of the spec: the profile `Custom`.
//!
//! Each selector is limited to the namespace of the object, so that an object shows nobody the series of other namespaces, and two
//! objects with the same expressions in two namespaces do not count each other's requests.

use promql_parser::{
    label::{MatchOp, Matcher, Matchers},
    parser::Expr,
};

use super::expression;
use crate::{
    api::{CustomMetrics, Quantile},
    catalog::promql,
    series::Series,
};

/// Labels that contain the namespace of what a series is about. A selector with one of them is limited already.
const NAMESPACES: [&str; 4] =
    ["namespace", "exported_namespace", "destination_service_namespace", "destination_workload_namespace"];
/// The series that are recorded from these expressions.
const RECORDED: [Series; 10] = [
    Series::Requests,
    Series::RequestErrors,
    Series::LatencyP50,
    Series::LatencyP95,
    Series::LatencyP99,
    Series::InFlight,
    Series::RequestRate,
    Series::LatestRequestRate,
    Series::Failed,
    Series::Latency,
];

/// The expressions of an object, limited to its namespace.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Signals {
    /// Requests per second.
    pub requests: String,
    /// Failed requests per second.
    pub errors: Option<String>,
    /// Requests in flight.
    pub in_flight: Option<String>,
    latency: [Option<String>; 3],
}

impl Signals {
    /// Reads the expressions of a spec.
    ///
    /// # Errors
    /// Each that cannot be used: its field, and why.
    pub fn new(custom: &CustomMetrics, namespace: &str) -> Result<Self, Vec<(&'static str, String)>> {
        let mut problems = Vec::new();
        let mut read =
            |field, text: Option<&String>| limited(text?, namespace).map_err(|why| problems.push((field, why))).ok();
        let signals = Self {
            requests: read("requests", Some(&custom.requests)).unwrap_or_default(),
            errors: read("errors", custom.errors.as_ref()),
            in_flight: read("inFlight", custom.in_flight.as_ref()),
            latency: [
                read("latencyP50", custom.latency_p50.as_ref()),
                read("latencyP95", custom.latency_p95.as_ref()),
                read("latencyP99", custom.latency_p99.as_ref()),
            ],
        };
        if problems.is_empty() { Ok(signals) } else { Err(problems) }
    }

    /// The quantile of the latency in seconds.
    pub fn latency(&self, quantile: Quantile) -> Option<&str> {
        let [p50, p95, p99] = &self.latency;
        let of = match quantile {
            Quantile::P50 => p50,
            Quantile::P95 => p95,
            Quantile::P99 => p99,
        };
        of.as_deref()
    }

    /// Whether a series is recorded from these expressions.
    pub fn record(name: &str) -> bool {
        RECORDED.into_iter().any(|series| series.name() == name)
    }
}

/// An expression whose selectors are limited to a namespace, or why it cannot be used.
pub fn limited(text: &str, namespace: &str) -> Result<String, String> {
    if let Some(why) = expression::problem(text) {
        return Err(why);
    }
    let mut tree = promql::tree(text)?;
    limit(&mut tree, namespace)?;
    let printed = tree.to_string();
    // The parser's printer is not Prometheus'.
    if promql::tree(&printed).is_ok_and(|again| again == tree) {
        return Ok(printed);
    }
    Err("the namespace cannot be added to its selectors: record it with another rule, and write the name of that series".into())
}

fn limit(part: &mut Expr, namespace: &str) -> Result<(), String> {
    match part {
        Expr::VectorSelector(of) => limit_matchers(&mut of.matchers, namespace),
        Expr::MatrixSelector(of) => limit_matchers(&mut of.vs.matchers, namespace),
        Expr::Subquery(of) => limit(&mut of.expr, namespace),
        Expr::Paren(of) => limit(&mut of.expr, namespace),
        Expr::Unary(of) => limit(&mut of.expr, namespace),
        Expr::Aggregate(of) => of.param.iter_mut().chain([&mut of.expr]).try_for_each(|part| limit(part, namespace)),
        Expr::Binary(of) => limit(&mut of.lhs, namespace).and_then(|()| limit(&mut of.rhs, namespace)),
        Expr::Call(of) => of.args.args.iter_mut().try_for_each(|part| limit(part, namespace)),
        Expr::NumberLiteral(_) | Expr::StringLiteral(_) | Expr::Extension(_) => Ok(()),
    }
}

fn limit_matchers(matchers: &mut Matchers, namespace: &str) -> Result<(), String> {
    let own = |of: &Matcher| of.op == MatchOp::Equal && of.value == namespace;
    let mut limits = matchers.matchers.iter().filter(|of| NAMESPACES.contains(&of.name.as_str())).peekable();
    if limits.peek().is_none() {
        matchers.matchers.push(Matcher::new(MatchOp::Equal, NAMESPACES[0], namespace));
    } else if let Some(other) = limits.find(|of| !own(of)) {
        return Err(format!(
            "{other} selects another namespace, and an object reads the series of its own: write {}={namespace:?}, or leave the \
             matcher out",
            other.name
        ));
    }
    // As they are printed.
    matchers.matchers.sort_by_key(ToString::to_string);
    Ok(())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_selector_is_limited_to_the_namespace_of_the_object() {
        for (text, expected) in [
            ("rate(a[1m])", r#"rate(a{namespace="shop"}[1m])"#),
            (
                r#"sum(rate(a{x="y"}[1m])) / on () group_left () sum(-b + (c offset 5m))"#,
                r#"sum(rate(a{namespace="shop",x="y"}[1m])) / on () group_left () sum(-b{namespace="shop"} + (c{namespace="shop"} offset 5m))"#,
            ),
            (
                "topk(scalar(a), max_over_time(b[5m:10s])) unless c # comment",
                r#"topk(scalar(a{namespace="shop"}), max_over_time(b{namespace="shop"}[5m:10s])) unless c{namespace="shop"}"#,
            ),
            (
                r#"histogram_quantile(0.95, sum by (le) (rate(a_bucket{exported_namespace="shop",q="a\"\\b"}[1m])))"#,
                r#"histogram_quantile(0.95, sum by (le) (rate(a_bucket{exported_namespace="shop",q="a\"\\b"}[1m])))"#,
            ),
            (
                r#"rate(istio_requests_total{destination_service_namespace="shop"}[1m])"#,
                r#"rate(istio_requests_total{destination_service_namespace="shop"}[1m])"#,
            ),
            (r#"{__name__=~"a|b"}"#, r#"{__name__=~"a|b",namespace="shop"}"#),
        ] {
            assert_eq!(limited(text, "shop").as_deref(), Ok(expected), "{text}");
        }
    }

    #[test]
    fn expressions_about_other_namespaces_are_refused() {
        for (text, matcher) in [
            (r#"a{namespace="data"}"#, r#"namespace="data" selects"#),
            (r#"a or b{namespace=~"shop|data"}"#, r#"namespace=~"shop|data" selects"#),
            (r#"a{namespace!="shop"}"#, r#"namespace!="shop" selects"#),
            (r#"a{namespace="shop",exported_namespace="data"}"#, r#"exported_namespace="data" selects"#),
            (r#"topk(scalar(x{namespace=""}), y)"#, r#"namespace="" selects"#),
        ] {
            let why = limited(text, "shop").expect_err(text);
            assert!(why.starts_with(matcher) && why.contains("=\"shop\", or leave the matcher out"), "{text}: {why}");
        }
        assert!(limited("rate(a[1m", "shop").expect_err("no PromQL").starts_with("it is not PromQL, "));
    }
}
