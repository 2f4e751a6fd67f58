//! Whether a loaded group has the rules that are expected, and not those of an earlier version.

use std::{collections::BTreeMap, sync::LazyLock};

use promql_parser::parser;
use regex::Regex;

use super::expected::ExpectedGroup;
use crate::signals::{Group, LoadedRule};

/// Whether a group is the expected version. What a source does not report is not compared.
pub fn is_current(expected: &ExpectedGroup, loaded: &Group) -> bool {
    let is_timed = loaded.interval_seconds.is_none_or(|seconds| seconds == expected.interval_seconds);
    let mut others: Vec<&LoadedRule> = loaded.rules.iter().collect();
    // Each in its own place, because several rules may record one series.
    let has_all = expected.rules.iter().all(|rule| {
        let position = others.iter().position(|loaded| is_same(rule, loaded));
        position.map(|position| others.swap_remove(position)).is_some()
    });
    is_timed && has_all && others.is_empty()
}

fn is_same(expected: &LoadedRule, loaded: &LoadedRule) -> bool {
    let annotations = expected.annotations.as_ref().zip(loaded.annotations.as_ref());
    let waits = expected.for_seconds.zip(loaded.for_seconds);
    let queries = expected.query.as_ref().zip(loaded.query.as_ref());
    expected.name == loaded.name
        && has(&loaded.labels, &expected.labels)
        && annotations.is_none_or(|(expected, loaded)| has(loaded, expected))
        && waits.is_none_or(|(expected, loaded)| expected == loaded)
        && queries.is_none_or(|(expected, loaded)| is_same_query(expected, loaded))
}

/// Servers add labels of their own, as those of a Thanos or of a rule group; an empty label is none.
fn has(all: &BTreeMap<String, String>, some: &BTreeMap<String, String>) -> bool {
    some.iter().all(|(key, value)| all.get(key).map_or("", String::as_str) == value)
}

/// A matcher on the namespace, which prometheus-operator adds where `enforcedNamespaceLabel` is set.
static ENFORCED: LazyLock<Regex> = LazyLock::new(|| {
    Regex::new(r#"\{namespace="[^"]*"\}|,\s*namespace="[^"]*"|namespace="[^"]*",\s*"#)
        .expect("a constant pattern is valid")
});

/// Servers print what they have parsed, which has other white space, durations and orders of matchers.
fn is_same_query(expected: &str, loaded: &str) -> bool {
    let normal = |text: &str| parser::parse(text).map(|tree| ENFORCED.replace_all(&tree.to_string(), "").into_owned());
    expected == loaded
        || match (normal(expected), normal(loaded)) {
            (Ok(expected), Ok(loaded)) => expected == loaded,
            _ => true,
        }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::signals::Evaluated;

    fn texts(pairs: &[(&str, &str)]) -> BTreeMap<String, String> {
        pairs.iter().map(|(key, value)| (key.to_string(), value.to_string())).collect()
    }

    fn rule(name: &str, query: &str) -> LoadedRule {
        LoadedRule {
            name: name.into(),
            query: Some(query.into()),
            labels: texts(&[("severity", "page")]),
            annotations: Some(texts(&[("summary", "s")])),
            for_seconds: Some(300.0),
        }
    }

    const QUERY: &str = r#"sum by (pod) (rate(a_total{job="x", app='y'}[60s])) > 1e3"#;

    fn is(change: impl FnOnce(&mut Group)) -> bool {
        let rules = vec![rule("A", QUERY), rule("B", "up"), rule("B", "down")];
        let mut loaded =
            Group { rules: rules.clone(), interval_seconds: Some(30.0), failed: None, evaluated: Evaluated::Unknown };
        change(&mut loaded);
        is_current(&ExpectedGroup { name: "g".into(), interval_seconds: 30.0, rules }, &loaded)
    }

    #[test]
    fn a_group_is_current_as_its_server_prints_it() {
        let query = |text: &'static str| move |of: &mut Group| of.rules[0].query = Some(text.into());
        assert!(is(|_| {}));
        assert!(is(query(r#"sum by (pod) (rate(a_total{app="y",job="x"}[1m])) > 1000"#)));
        assert!(is(query("WITH (x = 1) x")), "it is not PromQL");
        assert!(is(|of| of.rules.reverse()));
        let empty = LoadedRule { labels: texts(&[("team", "")]), ..rule("A", QUERY) };
        assert!(is_same(&empty, &rule("A", QUERY)), "Prometheus drops it");
        assert!(is(|of| _ = of.rules[0].labels.insert("cluster".into(), "eu".into())));
        assert!(is(|of| {
            of.interval_seconds = None;
            of.rules.iter_mut().for_each(|of| (of.query, of.annotations, of.for_seconds) = (None, None, None));
        }));
    }

    #[test]
    fn queries_are_the_same_as_prometheus_prints_them() {
        for (written, printed) in [
            ("sum(x) by (a,b)", "sum by (a, b) (x)"),
            ("a * on(x) group_left b", "a * on (x) group_left () b"),
            ("a * on(x) group_left(y) b", "a * on (x) group_left (y) b"),
            ("a / ignoring(x) b", "a / ignoring (x) b"),
            ("a unless on() b", "a unless on () b"),
            ("(a > bool 1e-3) or -b ^ 2", "(a > bool 0.001) or -b ^ 2"),
            (
                r"label_replace(a{b=~'x\\.y'}, 'x', '$1', 'y', '(.*)')",
                r#"label_replace(a{b=~"x\\.y"}, "x", "$1", "y", "(.*)")"#,
            ),
            ("max_over_time(a[300s:60s] offset 3600s)", "max_over_time(a[5m:1m] offset 1h)"),
            ("sum without(a) (x) / scalar(y)\n  + Inf", "sum without (a) (x) / scalar(y) + +Inf"),
            (
                "histogram_quantile(.95, sum by(le)(rate(a[120s])))",
                "histogram_quantile(0.95, sum by (le) (rate(a[2m])))",
            ),
            ("x @ end()", "x @ end()"),
            (
                "rate(x[1m]) + y{a='b'} + z{p='q'}",
                r#"rate(x{namespace="n"}[1m]) + y{a="b",namespace="n"} + z{namespace="n",p="q"}"#,
            ),
        ] {
            assert!(parser::parse(written).is_ok() && parser::parse(printed).is_ok(), "{written}");
            assert!(is_same_query(written, printed), "{written}");
            assert!(!is_same_query(written, &format!("{printed} * 2")), "{written}");
        }
    }

    #[test]
    fn another_threshold_label_annotation_duration_or_interval_is_another_version() {
        assert!(!is(|of| of.rules[0].query = Some(QUERY.replace("1e3", "999"))));
        assert!(!is(|of| _ = of.rules[0].labels.insert("severity".into(), "ticket".into())));
        assert!(!is(|of| of.rules[0].annotations = Some(texts(&[("summary", "t")]))));
        assert!(!is(|of| of.rules[0].annotations = Some(BTreeMap::new())));
        assert!(!is(|of| of.rules[0].for_seconds = Some(60.0)));
        assert!(!is(|of| of.interval_seconds = Some(60.0)));
        assert!(!is(|of| of.rules[1].query = Some("down".into())));
        assert!(!is(|of| _ = of.rules.pop()));
        assert!(!is(|of| of.rules.push(rule("C", "up"))));
    }
}
