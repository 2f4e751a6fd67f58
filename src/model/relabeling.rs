//! What the schema cannot check of `spec.monitoring.scrape.metricRelabelings`: whether Prometheus can compile them.

use super::{FieldPath, InvalidField};
use crate::{api::Monitoring, catalog::re2};

/// Regular expressions that Prometheus refuses: with one of them, it takes no part of the ServiceMonitor, and scrapes nothing.
pub(super) fn problems(monitoring: Option<&Monitoring>) -> Vec<InvalidField> {
    let relabelings = monitoring.iter().flat_map(|of| &of.scrape).flat_map(|scrape| &scrape.metric_relabelings);
    let path = FieldPath::spec().field("monitoring.scrape");
    let wrong = relabelings.enumerate().filter_map(|(index, rule)| {
        let field = path.field(&format!("metricRelabelings[{index}].regex"));
        re2::invalid(&rule.regex).map(|why| field.problem(format!("{why}; write one of RE2, as in go_.*")))
    });
    wrong.collect()
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use crate::model::tests::problems;

    #[test]
    fn a_regular_expression_that_prometheus_refuses_is_refused_with_its_field() {
        let of = |regexes: &[&str]| {
            let rules: Vec<_> = regexes.iter().map(|regex| json!({"action": "Drop", "regex": regex})).collect();
            let scrape = json!({"metricRelabelings": rules});
            problems(json!({"monitoring": {"metrics": {"profile": "FastApiInstrumentator"}, "scrape": scrape}}))
        };
        assert_eq!(of(&["go_.*", "process_(cpu|memory)_.+"]), [""; 0]);
        let field = "spec.monitoring.scrape.metricRelabelings";
        let expected = [
            format!(
                "{field}[1].regex: the regular expression http_( is not valid: unclosed group; write one of RE2, as in go_.*"
            ),
            format!(
                "{field}[2].regex: (?x) in the regular expression (?x)a is not one of RE2; write one of RE2, as in go_.*"
            ),
        ];
        assert_eq!(of(&["go_.*", "http_(", "(?x)a"]), expected);
    }
}
