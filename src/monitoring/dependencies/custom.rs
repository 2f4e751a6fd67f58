//! Signals in PromQL of the spec.
//!
//! Each expression is embedded on lines of its own between parentheses, so that a comment at its end does not reach further.
//! Expressions that could close the parentheses are refused, see [`problem`].

use super::{Exporter, Parts, Sum, Window, template::Values};
use crate::api::Custom;

/// The exporter for the expressions of a spec.
pub fn exporter(custom: &Custom) -> Exporter {
    Exporter {
        terms: &[],
        parts: custom.partitions.as_ref().map_or(Parts::Unknown, |_| Parts::Total("sum((@partitions))")),
        lag: Sum::Total("sum((@lag))"),
        consumed: custom.consumed.as_ref().map(|_| Sum::Total("sum((@consumed))")),
        arrivals: custom.arrivals.as_ref().map(|_| Sum::Total("sum((@arrivals))")),
        window: Window::AsItIs,
    }
}

pub(super) fn values(custom: &Custom) -> Values {
    let all = [
        ("lag", Some(&custom.lag)),
        ("partitions", custom.partitions.as_ref()),
        ("consumed", custom.consumed.as_ref()),
        ("arrivals", custom.arrivals.as_ref()),
    ];
    all.into_iter().filter_map(|(name, expr)| Some((name, format!("\n{}\n", expr?)))).collect()
}

/// Why an expression cannot be embedded between parentheses; `None` if it can. It must not have an unbalanced bracket or an
/// unterminated string, and must not be empty. Whether it is valid PromQL otherwise is checked by Prometheus only.
///
/// A parser would have to accept all that the user's Prometheus, Thanos or VictoriaMetrics does. The crate `promql-parser`
/// 0.11 does not: it refuses backslashes between back-quotes (``up{a=~`\d+`}``), `1_000 * up`, `rate(up[5m*2])`,
/// `up{a=~"\\Qa.b\\E"}` and every function that it does not know. For most mistakes its message is only "invalid promql
/// query".
pub fn problem(expression: &str) -> Option<String> {
    let mut open = Vec::new();
    let mut empty = true;
    let mut rest = expression.chars();
    while let Some(c) = rest.next() {
        match c {
            '#' => drop(rest.by_ref().find(|c| matches!(c, '\n' | '\r'))),
            '"' | '\'' | '`' if !string_ends(&mut rest, c) => {
                return Some(format!("a string that begins with {c} has no end"));
            }
            '(' | '[' | '{' => open.push(c),
            ')' | ']' | '}' if open.pop() != Some(opening(c)) => {
                return Some(format!("there is a {c} that closes nothing"));
            }
            _ => {}
        }
        empty &= c == '#' || c.is_whitespace();
    }
    match open.pop() {
        Some(bracket) => Some(format!("there is a {bracket} that is not closed")),
        None => empty.then(|| "there is no expression in it".into()),
    }
}

fn opening(closing: char) -> char {
    match closing {
        ')' => '(',
        ']' => '[',
        _ => '{',
    }
}

/// Whether the string is terminated; consumes it up to its end. Between back-quotes there are no escapes, and only there
/// line breaks are allowed.
fn string_ends(rest: &mut std::str::Chars, quote: char) -> bool {
    while let Some(c) = rest.next() {
        match c {
            c if c == quote => return true,
            '\\' if quote != '`' => drop(rest.next()),
            '\n' if quote != '`' => return false,
            _ => {}
        }
    }
    false
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn expressions_with_balanced_brackets_and_terminated_strings_are_accepted() {
        for expression in [
            "lag",
            "sum by (queue) (lag{queue=~\"a|b\"}[1m:5s])",
            "lag # what waits ) ] }",
            "lag # )\n+ 1",
            "lag # )\r\n+ 1",
            r#"lag{a=")",b='(',c=`\`,d="\")"}"#,
            "`\n`",
        ] {
            assert_eq!(problem(expression), None, "{expression}");
        }
    }

    #[test]
    fn expressions_that_would_close_the_parentheses_are_refused_with_a_reason() {
        for (expression, reason) in [
            ("a) or (b", "there is a ) that closes nothing"),
            ("sum(a", "there is a ( that is not closed"),
            ("a{b=\"c\"", "there is a { that is not closed"),
            ("rate(a[1m)]", "there is a ) that closes nothing"),
            ("a # (\n)", "there is a ) that closes nothing"),
            ("a # \r) or (b", "there is a ) that closes nothing"),
            ("a{b=\"c}", "a string that begins with \" has no end"),
            ("a{b=\"c\\\"}", "a string that begins with \" has no end"),
            ("a{b=\"\n\"}", "a string that begins with \" has no end"),
            ("a{b=`c}", "a string that begins with ` has no end"),
            (" # a\n", "there is no expression in it"),
        ] {
            assert_eq!(problem(expression).as_deref(), Some(reason), "{expression}");
        }
    }
}
