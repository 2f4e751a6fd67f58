use super::*;

/// What is wrong with an exporter of this kind with these lines.
fn problem(kind: &str, lines: &str) -> Option<String> {
    let text = format!(
        "exporter: Own\nseries:\n  - {{name: own_up, type: gauge, unit: one, labels: [role]}}\n  - {{name: own_total, type: counter, unit: one}}\n  \
         - {{name: own_lag, type: gauge, unit: messages, labels: [group, topic, partition]}}\n  \
         - {{name: own_end, type: gauge, unit: messages, labels: [topic, partition]}}\n  \
         - {{name: own_seconds, type: histogram, unit: seconds, buckets: [1]}}\n{lines}\n"
    );
    let path = format!("dependencies/{kind}/Own.yaml");
    let (_, problems) = load([(path.as_str(), text.as_str())]);
    assert!(problems.len() < 2, "{problems:?}");
    problems.first().map(|of| format!("{}: {}", of.line, of.reason))
}

fn up(template: &str) -> Option<String> {
    problem("exporter", &format!("records:\n  dependency_up: '{template}'"))
}

#[test]
fn a_template_is_promql_without_and_with_matchers_and_as_a_rule() {
    for accepted in [
        "min(own_up{@matchers})",
        "min(own_up{role=\"x\"@labels})",
        "min(own_up{instance!=\"\"@labels})",
        "min(up{@target})",
        "min(own_up{@matchers}) or vector(0)",
        "min(own_up{@matchers} == bool 1)",
        "min(own_up{namespace=@namespace@labels})",
        "0 * min(own_total{@matchers})",
        "0 * max(rate(own_total{@matchers}[@window]))",
        "0 * max(rate(own_total{@matchers}[1m]))",
        "0 * max(max_over_time(own_up{@matchers}[30s]))",
        "0 * max(max_over_time(rate(own_total{@matchers}[2m])[30s:10s]))",
    ] {
        assert_eq!(up(accepted), None, "{accepted}");
    }
    let places =
        "write {@matchers} alone in the braces, or @labels behind another matcher, as in {state=\"ready\"@labels}";
    for refused in [
        "min(own_up{@labels})",
        "min(own_up{instance!=\"\",@labels})",
        "min(own_up{instance!=\"\"@matchers})",
        "min(own_up@labels)",
    ] {
        let why = up(refused).unwrap_or_default();
        let begin = "9: records.dependency_up: with the matchLabels of an object, ";
        assert!(why.starts_with(begin) && why.ends_with(&format!("{places}, in {refused}")), "{refused}: {why}");
    }
    let why = up("min(own_up{@matchers,role=\"x\"})").unwrap_or_default();
    assert!(
        why.starts_with("9: records.dependency_up: for an object without matchLabels, ") && why.contains(places),
        "{why}"
    );
}

#[test]
fn a_template_with_no_or_a_wrong_value_is_refused() {
    for (template, reason) in [
        ("1", "records.dependency_up: a scalar is no series: write an expression with one, as in sum(...), in 1"),
        (
            "min(own_up{@matchers}) * max(rate(own_total{@matchers}[59s]))",
            "records.dependency_up: rate over 59 s may have fewer than two scrapes of an exporter that is scraped every 30 s: write \
             [@window], in ",
        ),
        ("0 * max(irate(own_total{@matchers}[500ms]))", "irate over 0.5 s may have fewer than two scrapes"),
        ("0 * max(rate((own_total{@matchers})[30s:5s]))", "rate over 30 s may have fewer than two scrapes"),
        ("0 * max(deriv(own_up{@matchers}[30s]))", "deriv over 30 s may have fewer than two scrapes"),
        ("time()", "records.dependency_up: a scalar is no series"),
        ("scalar(own_up{@matchers})", "records.dependency_up: a scalar is no series"),
        ("vector(1)", "records.dependency_up: it reads no series, so its value says nothing, in vector(1)"),
        ("min(own_up{@matchers}) # x", "records.dependency_up: in a rule, "),
        (
            "min(own_up)",
            "own_up is not limited by the matchLabels of an object: write own_up{@matchers}, or @labels behind other matchers",
        ),
        ("min(own_up{role=\"x\"})", "own_up is not limited by the matchLabels of an object"),
        ("min(own_up{@matchers}) * min(own_up)", "own_up is not limited by the matchLabels of an object"),
        ("min(up{job=\"x\"})", "up is not limited by the matchLabels of an object: write up{@target}"),
        ("min(own_up{namespace=\"data\"@labels})", "namespace=\"data\" of own_up would be that of every object"),
        ("min(own_up{recommender=\"x\"@labels})", "recommender=\"x\" of own_up would be that of every object"),
        (
            "min(own_up{@matchers} == 1)",
            "so it is never 0, and the dependency never down: compare with bool, as in == bool 1",
        ),
        ("min(own_up{role=\"$role\"@labels})", "$role is a variable of Grafana"),
        (
            "sum(delta(own_total{@matchers}[5m]))",
            "own_total is a counter, of which delta, deriv and alike are wrong when it starts again",
        ),
        (
            "histogram_quantile(0.9, sum(rate(own_seconds_bucket{@matchers}[2m])))",
            "histogram_quantile needs the label le",
        ),
        ("min(own_up{@matchers}) @ start()", "the modifier @ of PromQL"),
    ] {
        let why = up(template).unwrap_or_default();
        assert!(why.starts_with("9: ") && why.contains(reason), "{template}: {why}");
    }
}

#[test]
fn a_lag_is_that_of_what_the_spec_names() {
    let own = "{group=@group,topic=~@topics@labels}";
    for accepted in [
        format!("lag: {{total: 'sum(own_lag{own})'}}"),
        format!(
            "lag: {{total: 'sum(own_lag{own})'}}\narrivals: {{total: 'sum(deriv(own_end{{topic=~@topics@labels}}[@window]))'}}"
        ),
        format!(
            "parts: {{reported: 'count by (topic) (own_end{{topic=~@topics@labels}})'}}\nlag: {{total: 'sum(own_lag{own})'}}\n\
             consumed: {{offsets: 'own_end{{topic=~@topics@labels}}'}}"
        ),
    ] {
        assert_eq!(problem("kafka", &accepted), None, "{accepted}");
    }
    for (lines, reason) in [
        (
            "lag: {total: 'sum(own_lag{topic=~@topics@labels})'}".to_owned(),
            "8: lag: it is not that of the object: no selector has @group",
        ),
        (
            "lag: {total: 'sum(own_lag{group=@group@labels})'}".to_owned(),
            "8: lag: it is not that of the object: no selector has @topics",
        ),
        (
            "lag: {total: 'sum(own_lag{group=@group,topic=@topics@labels})'}".to_owned(),
            "8: lag: @topics is a regular expression, so topic of own_lag would equal none of several: write topic=~@topics",
        ),
        (
            format!("lag: {{total: 'own_lag{own}'}}"),
            "8: lag: a total is one value without labels: aggregate it, as in sum(...)",
        ),
        (format!("lag: {{total: 'sum by (topic) (own_lag{own})'}}"), "8: lag: a total is one value without labels"),
        (
            format!("lag: {{total: 'sum(own_end{{@matchers}}) - sum(own_lag{own})'}}"),
            "8: lag: own_end has the label topic and is not selected by it, so it counts those of others as well: write a matcher with @topics",
        ),
        (
            format!(
                "lag: {{total: 'sum(own_lag{own})'}}\narrivals: {{total: 'sum(deriv(own_end{{@matchers}}[@window]))'}}"
            ),
            "9: arrivals: own_end has the label topic and is not selected by it",
        ),
        (
            format!("lag: {{total: 'sum(own_lag{own})'}}\nconsumed: {{total: '5'}}"),
            "9: consumed: a scalar is no series: write an expression with one",
        ),
        (
            format!(
                "parts: {{reported: 'count by (topic) (own_end{{topic=~@topics@labels}})'}}\nlag: {{total: 'sum(own_lag{own})'}}\n\
                 consumed: {{offsets: 'own_end{{topic=~@topics@labels}} offset 1m'}}"
            ),
            "10: consumed: in a rule, ",
        ),
    ] {
        let why = problem("kafka", &lines).unwrap_or_default();
        assert!(why.starts_with(reason), "{lines}: {why}");
    }
}
