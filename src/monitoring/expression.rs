//! PromQL of the spec: why an expression cannot be used, and what to write instead.
//!
//! It is parsed by the crate `promql-parser`, because prometheus-operator drops a PrometheusRule with an invalid expression, and
//! embedded between parentheses, as it was written. What the crate or Prometheus itself refuses (MetricsQL, `1_000`, `[5m*2]`,
//! the escape `\Q` of RE2) can be used through a series that another rule records.

use std::{convert::Infallible, sync::LazyLock};

use promql_parser::{
    label::Matchers,
    parser::{Expr, value::ValueType},
    util::{ExprVisitor, walk_expr},
};
use regex::{Captures, Regex};

use crate::catalog::promql;

/// What to do with an expression that only the user's metric source accepts.
const RECORD: &str = "correct it, or, if it is an extension of the metric source, record it with another rule and write the \
                      name of that series";
/// A variable of Grafana in the text of an expression: `$name`, `${name}`, `${name:regex}` or `[[name]]`.
static VARIABLE: LazyLock<Regex> = LazyLock::new(|| compile(r"(?:\$\{?|\[\[)([A-Za-z_]\w*)(?:\]\])?"));
/// A variable of Grafana in the value of a matcher, where `[[` is a set of characters. `$1` is a group of `label_replace`, and in
/// a regular expression nothing follows after the end of the text.
static IN_VALUE: LazyLock<Regex> = LazyLock::new(|| compile(r"\$\{?([A-Za-z_]\w*)"));
/// Functions of Grafana's template variables, which are not part of PromQL.
static FUNCTION: LazyLock<Regex> = LazyLock::new(|| compile(r"\b(label_names|label_values|metrics|query_result)\s*\("));

fn compile(pattern: &str) -> Regex {
    Regex::new(pattern).expect("a constant pattern is valid")
}

/// Why an expression cannot be used, and what to write instead; `None` if it can.
pub fn problem(expression: &str) -> Option<String> {
    match promql::tree(expression) {
        Err(why) => Some(of_grafana(expression).unwrap_or_else(|| format!("it is not PromQL, {why}: {RECORD}"))),
        Ok(tree) => variable_in_matchers(&tree).or_else(|| not_a_vector(&tree)),
    }
}

/// A variable or a function of Grafana in what is not PromQL.
fn of_grafana(expression: &str) -> Option<String> {
    if let Some(function) = FUNCTION.captures(expression) {
        return Some(format!(
            "{}() is a function of Grafana's variables, not of PromQL: write the series itself, as in \
             sum(queue_depth{{queue=\"mail\"}})",
            &function[1]
        ));
    }
    VARIABLE.captures(expression).map(|found| variable(&found))
}

/// A variable of Grafana in what is PromQL.
fn variable_in_matchers(tree: &Expr) -> Option<String> {
    struct Found(Option<String>);

    impl Found {
        fn search(&mut self, matchers: &Matchers) {
            let values = matchers.matchers.iter().map(|of| &of.value);
            let first = values.filter_map(|value| IN_VALUE.captures(value)).next();
            self.0 = self.0.take().or(first.map(|found| variable(&found)));
        }
    }

    impl ExprVisitor for Found {
        type Error = Infallible;

        fn pre_visit(&mut self, part: &Expr) -> Result<bool, Infallible> {
            match part {
                Expr::VectorSelector(selector) => self.search(&selector.matchers),
                Expr::MatrixSelector(range) => self.search(&range.vs.matchers),
                // The walk leaves the parameter out.
                Expr::Aggregate(of) => of.param.iter().try_for_each(|param| walk_expr(self, param).map(drop))?,
                _ => {}
            }
            Ok(self.0.is_none())
        }
    }

    let mut found = Found(None);
    let Ok(_) = walk_expr(&mut found, tree);
    found.0
}

fn variable(found: &Captures) -> String {
    let instead = match &found[1] {
        "__rate_interval" | "__interval" | "__range" | "__interval_ms" | "__range_s" | "__range_ms" | "__auto" => {
            "write a duration of at least four scrapes, for example 2m"
        }
        _ => "write its value, or remove the matcher that contains it",
    };
    let end = if found[0].starts_with("${") { "}" } else { "" };
    format!("{}{end} is a variable of Grafana, which Prometheus does not know: {instead}", &found[0])
}

/// A range, a number or a string, of which no sum can be computed.
fn not_a_vector(tree: &Expr) -> Option<String> {
    match (tree.value_type(), tree) {
        (ValueType::Vector, _) => None,
        (ValueType::Matrix, _) => {
            Some("it is a range, and a sum needs one value for each series: write rate(...[2m]) or alike".into())
        }
        (ValueType::Scalar, Expr::NumberLiteral(number)) if number.val.is_finite() => {
            Some(format!("it is a number, not a series: write vector({tree})"))
        }
        (ValueType::Scalar, Expr::NumberLiteral(_)) => {
            Some("it is a number, not a series: write an expression with a series, as in sum(queue_depth)".into())
        }
        (ValueType::Scalar, _) => Some("it is a scalar, not a series: write vector(...) around it".into()),
        (ValueType::String, _) => Some("it is a string, not a series: remove the quotes around it".into()),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn expressions_that_prometheus_accepts_are_accepted() {
        for expression in [
            "lag",
            "sum by (queue) (max_over_time(lag{queue=~\"a|b\"}[1m:5s]))",
            "lag # what waits ) ] }",
            "lag # )\n+ 1",
            "lag # `\n+ up{a=~`\\d`}",
            "lag # )\r\n+ 1",
            r#"lag{a=")",b='(`',c=`\`,d="\"`)"}"#,
            r"lag{a=~`\d+\.\w`}",
            "vector(5)",
            "up{a=`\n`}",
            r#"up{a=~"x$"}"#,
            r#"up{a=~"x$|y${2}"}"#,
            r#"label_replace(up, "a", "$1-${name}", "b", "(.*)(?P<name>x)")"#,
            r#"label_replace(up, "a", "$name", "b", "(?P<name>x)")"#,
            "sum by (on, by, offset) (x)",
            "sum by (on,) (x)",
            "sum(x) by (offset)",
            "x offset 5m",
            "-x + -1",
            "a / on (b) group_left c",
            "a * on (b) group_left () c",
            "x @ end()",
            "x @ 1609746000",
            r#"{"my.series"}"#,
            r#"{__name__="x"}"#,
            r#"count({a="b",})"#,
            "sum(metrics)",
            "up == bool 1",
            "d > x",
            "histogram_quantile(0.9, rate(x[5m]))",
            "histogram_count(rate(x[5m]))",
        ] {
            assert_eq!(problem(expression), None, "{expression}");
        }
    }

    #[test]
    fn what_is_not_promql_is_refused_with_the_reason() {
        for (expression, reason) in [
            ("a) or (b", "unexpected right parenthesis ')'"),
            ("sum(a", "unclosed left parenthesis"),
            ("a{b=\"c\"", "unexpected end of input inside braces"),
            ("rate(a[1m)]", "unexpected character inside brackets: ')'"),
            ("a # (\n)", "unexpected right parenthesis ')'"),
            ("a # \r) or (b", "unexpected right parenthesis ')'"),
            ("a{b=\"c}", "unterminated quoted string"),
            ("a{b=\"c\\\"}", "unterminated quoted string"),
            ("a{b=\"\n\"}", "invalid syntax"),
            ("a{b=`c}", "unterminated"),
            (" # a\n", "no expression found in input"),
            ("rate(x)", "expected type matrix in call to function 'rate', got vector"),
            ("sum(lag[1m:5s])", "expected type vector in aggregation expression, got matrix"),
            ("rates(x[5m])", "unknown function with name 'rates'"),
            ("sum(x) by", "an operator, an operand or a label is missing or misplaced"),
            ("sum(x >) + 1", "an operator, an operand or a label is missing or misplaced"),
            ("x AND", "an operator, an operand or a label is missing or misplaced"),
            ("sum(x) default 0", "an operator, an operand or a label is missing or misplaced"),
        ] {
            let found = problem(expression).unwrap_or_default();
            let expected = format!("it is not PromQL, {reason}");
            assert!(found.starts_with(&expected) && found.ends_with(RECORD), "{expression}: {found}");
        }
    }

    #[test]
    fn what_is_copied_from_a_dashboard_is_refused_with_what_to_write_instead() {
        let duration = "is a variable of Grafana, which Prometheus does not know: write a duration of at least four scrapes, for \
                        example 2m";
        let value = "is a variable of Grafana, which Prometheus does not know: write its value, or remove the matcher that \
                     contains it";
        for (expression, reason) in [
            ("sum(rate(jobs_added_total[$__rate_interval]))", format!("$__rate_interval {duration}")),
            ("rate(x[${__interval}])", format!("${{__interval}} {duration}")),
            ("rate(x[[[__interval]]])", format!("[[__interval]] {duration}")),
            (r#"sum(queue_depth{queue=~"$queue"})"#, format!("$queue {value}")),
            (r#"sum(rate(jobs{queue=~"$queue"}[5m]))"#, format!("$queue {value}")),
            (r#"sum(queue_depth{namespace="${namespace:regex}"})"#, format!("${{namespace}} {value}")),
            ("topk($n, x)", format!("$n {value}")),
            (r#"topk(scalar(y{queue="$queue"}), x)"#, format!("$queue {value}")),
            (
                "label_values(queue_depth, queue)",
                "label_values() is a function of Grafana's variables, not of PromQL: write the series itself, as in \
                 sum(queue_depth{queue=\"mail\"})"
                    .into(),
            ),
            ("x[5m]", "it is a range, and a sum needs one value for each series: write rate(...[2m]) or alike".into()),
            ("5", "it is a number, not a series: write vector(5)".into()),
            ("scalar(x)", "it is a scalar, not a series: write vector(...) around it".into()),
            ("\"x\"", "it is a string, not a series: remove the quotes around it".into()),
        ] {
            assert_eq!(problem(expression), Some(reason), "{expression}");
        }
    }
}
