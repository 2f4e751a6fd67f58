//! What Prometheus accepts as an expression, and evaluates to nothing, to an error or to something else than was meant.

use std::sync::LazyLock;

use promql_parser::{
    label::Matchers,
    parser::{
        Call, Expr,
        token::{T_LUNLESS, T_QUANTILE},
    },
    util::{ExprVisitor, walk_expr},
};
use regex::Regex;

use super::{promql, re2};

/// A variable of Grafana as the value of a matcher. In a regular expression nothing follows after the end of the text.
static VARIABLE: LazyLock<Regex> =
    LazyLock::new(|| Regex::new(r"\$(?:[A-Za-z_]\w*|\{[A-Za-z_][^}]*\})").expect("a constant pattern is valid"));
/// Functions of gauges: for a counter they give a wrong value when its process restarts.
const OF_GAUGES: [&str; 4] = ["delta", "idelta", "deriv", "predict_linear"];

/// The first mistake in an expression.
pub fn first(tree: &Expr) -> Option<String> {
    let mut found = Mistakes;
    walk_expr(&mut found, tree).err()
}

/// Whether a function is one of gauges.
pub fn is_of_gauges(function: &str) -> bool {
    OF_GAUGES.contains(&function)
}

struct Mistakes;

impl ExprVisitor for Mistakes {
    type Error = String;

    fn pre_visit(&mut self, part: &Expr) -> Result<bool, String> {
        let mistake = match part {
            Expr::VectorSelector(selector) => of_matchers(&selector.matchers),
            Expr::MatrixSelector(range) => of_matchers(&range.vs.matchers),
            Expr::Call(call) => of_call(call),
            Expr::Aggregate(of) if of.op.id() == T_QUANTILE => of.param.as_deref().and_then(beyond),
            _ => None,
        };
        mistake.map_or(Ok(true), Err)
    }
}

fn of_matchers(matchers: &Matchers) -> Option<String> {
    let found = matchers.matchers.iter().find_map(|of| VARIABLE.find(&of.value))?;
    let name = found.as_str();
    Some(format!(
        "{name} is a variable of Grafana, which Prometheus does not know: write its value, or remove the matcher"
    ))
}

fn of_call(call: &Call) -> Option<String> {
    let argument = |index: usize| call.args.args.get(index).map(AsRef::as_ref);
    match call.func.name {
        "label_replace" => match argument(4) {
            Some(Expr::StringLiteral(pattern)) => re2::invalid(&pattern.val),
            _ => None,
        },
        "quantile_over_time" => argument(0).and_then(beyond),
        "histogram_quantile" => argument(0).and_then(beyond).or_else(|| argument(1).and_then(without_le)),
        _ => None,
    }
}

/// A quantile that is a number beyond 0 to 1.
fn beyond(quantile: &Expr) -> Option<String> {
    let quantile = number(quantile)?;
    let is_one = (0.0..=1.0).contains(&quantile);
    (!is_one).then(|| format!("the quantile {quantile} is infinite: write 0 to 1, as in 0.95"))
}

/// Buckets of which an aggregation has dropped the bounds.
fn without_le(buckets: &Expr) -> Option<String> {
    let left = promql::labels(buckets)?;
    let mut names = Names(Vec::new());
    let Ok(_) = walk_expr(&mut names, buckets);
    let are_buckets = !names.0.is_empty() && names.0.iter().all(|name| name.ends_with("_bucket"));
    (are_buckets && !left.contains("le"))
        .then(|| "histogram_quantile needs the label le of the buckets: write sum by (le) (...) inside".into())
}

/// Names of the selectors of an expression.
struct Names(Vec<String>);

impl ExprVisitor for Names {
    type Error = std::convert::Infallible;

    fn pre_visit(&mut self, part: &Expr) -> Result<bool, Self::Error> {
        match part {
            Expr::VectorSelector(of) => self.0.extend(of.name.clone()),
            Expr::MatrixSelector(of) => self.0.extend(of.vs.name.clone()),
            _ => {}
        }
        Ok(true)
    }
}

/// The value of a literal.
fn number(part: &Expr) -> Option<f64> {
    match part {
        Expr::NumberLiteral(of) => Some(of.val),
        Expr::Paren(of) => number(&of.expr),
        Expr::Unary(of) => number(&of.expr).map(|value| -value),
        _ => None,
    }
}

/// Whether something in an expression drops elements, or makes one of nothing: without that, it has a result as long as its series
/// have.
pub fn filters(tree: &Expr) -> bool {
    struct Filter;

    impl ExprVisitor for Filter {
        type Error = ();

        fn pre_visit(&mut self, part: &Expr) -> Result<bool, ()> {
            let is_one = match part {
                Expr::Binary(of) => of.op.id() == T_LUNLESS || of.op.is_comparison_operator() && !of.return_bool(),
                Expr::Call(of) => ["absent", "absent_over_time"].contains(&of.func.name),
                _ => false,
            };
            if is_one { Err(()) } else { Ok(true) }
        }
    }

    walk_expr(&mut Filter, tree).is_err()
}

/// Whether an expression is an aggregation of what a comparison with a number leaves: it never has a value of what it drops.
pub fn is_what_a_comparison_leaves(tree: &Expr) -> bool {
    match tree {
        Expr::Paren(of) => is_what_a_comparison_leaves(&of.expr),
        Expr::Aggregate(of) => is_what_a_comparison_leaves(&of.expr),
        Expr::Binary(of) => of.op.is_comparison_operator() && !of.return_bool() && number(&of.rhs).is_some(),
        _ => false,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn tree(text: &str) -> Expr {
        promql::tree(text).unwrap_or_else(|why| panic!("{text}: {why}"))
    }

    #[test]
    fn what_gives_nothing_or_an_error_is_named() {
        for (text, reason) in [
            (r#"label_replace(a, "b", "$1", "c", "((")"#, "the regular expression (( is not valid"),
            ("histogram_quantile(0.95, sum(rate(x_bucket[1m])))", "histogram_quantile needs the label le"),
            (
                "max(histogram_quantile(0.95, sum by (pod) (rate(x_bucket[1m]))))",
                "histogram_quantile needs the label le",
            ),
            ("histogram_quantile(95, sum by (le) (rate(x_bucket[1m])))", "the quantile 95 is infinite: write 0 to 1"),
            ("quantile(99, a)", "the quantile 99 is infinite"),
            ("quantile_over_time(-(1), a[5m])", "the quantile -1 is infinite"),
            (r#"sum(rate(a{b=~"$b"}[1m]))"#, "$b is a variable of Grafana"),
            (r#"a{b="${instance:regex}"}"#, "${instance:regex} is a variable of Grafana"),
        ] {
            let found = first(&tree(text)).unwrap_or_default();
            assert!(found.starts_with(reason), "{text}: {found}");
        }
        for text in [
            r#"label_replace(a, "b", "$1", "c", "(.*)")"#,
            r#"label_replace(a, "b", "$1", "c", "\\Qa\\E")"#,
            "histogram_quantile(0.95, rate(x_bucket[1m]))",
            "histogram_quantile(0.95, sum by (le) (rate(x_bucket[1m])))",
            "histogram_quantile(0.95, sum(rate(x[1m])))",
            "histogram_quantile(scalar(a), rate(x[1m]))",
            "quantile(1, a)",
            r#"a{b=~"x$|y${2}|z$"}"#,
        ] {
            assert_eq!(first(&tree(text)), None, "{text}");
        }
    }

    #[test]
    fn what_drops_elements_is_found_wherever_it_is() {
        for text in ["a > 1", "absent(a)", "a unless b", "sum(a == 1)", "a / (b > 0)", "a and b >= 2"] {
            assert!(filters(&tree(text)), "{text}");
        }
        for text in ["a", "a > bool 1", "vector(1)", "a and b", "a or b", "sum(a) / sum(b)"] {
            assert!(!filters(&tree(text)), "{text}");
        }
        for text in ["min(a == 1)", "(a > 0)", "min by (x) ((a != -1))"] {
            assert!(is_what_a_comparison_leaves(&tree(text)), "{text}");
        }
        for text in ["min(a == bool 1)", "min(a)", "min(a == 1) or vector(0)", "a == b"] {
            assert!(!is_what_a_comparison_leaves(&tree(text)), "{text}");
        }
    }
}
