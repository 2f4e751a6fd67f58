use super::*;

const SERVERS: &str = "alerts/servers.yaml";

/// What is replaced by what in the alerts of servers, the text in whose line the problem is, and its reason.
#[test]
fn a_wrong_alert_is_refused_with_its_line_and_the_reason() {
    let latency = "    expr: recommender:request_latency_seconds:p99";
    let unexpected: Vec<String> = [
        ("severity: warning", "severity: urgent", "    severity: warning", "unknown variant `urgent`, expected one of critical"),
        ("p99{@} > @threshold", "p99{@} > @threshold and", latency, "expr: an operator, an operand or a label is missing or misplaced, in "),
        (
            "p99{@}",
            "p98{@}",
            latency,
            "expr: recommender:request_latency_seconds:p98 is no canonical series; the most similar one is \
             recommender:request_latency_seconds:p99",
        ),
        (
            "recommender:request_latency_seconds:p99{@}",
            "http_requests_total{@}",
            latency,
            "expr: http_requests_total is no canonical series",
        ),
        (
            "p99{@}",
            "p99",
            latency,
            "expr: recommender:request_latency_seconds:p99 is not that of one object: write \
             recommender:request_latency_seconds:p99{@}",
        ),
        (
            "recommender:request_latency_seconds:p99{@}",
            "recommender:lag_messages{@}",
            latency,
            "expr: recommender:lag_messages has the label dependency, which does not go with appliesTo",
        ),
        ("p99{@} > @threshold", "p99{@} > 1", latency, "expr: the threshold is not used: compare with @threshold"),
        ("p99{@} > @threshold", "p99{@} > @limit", latency, "expr: @limit stands for nothing: write @threshold"),
        ("    threshold: {default: 1, unit: seconds}\n", "", latency, "expr: @threshold stands for nothing"),
        (
            "{default: 0.05, unit: ratio}",
            "{default: 5, unit: ratio}",
            "    threshold: {default: 0.05",
            "threshold: with 5 (ratio) the alert would fire always or never: write 0.000001 to 0.999999",
        ),
        ("for: 5m", "for: 5 minutes", "    for: 5m", "for: 5 minutes is no duration: write for example 5m"),
        ("for: 5m", "for: 10", "    for: 5m", "for: 10 is no duration: write for example 5m"),
        ("for: 5m", "for: 0x1f", "    for: 5m", "for: 0x1f is no duration: write for example 5m"),
        (
            "silencedBy: [RecommenderNoHealthyTarget, ",
            "silencedBy: [RecommenderNoHealthyTargets, ",
            "    silencedBy: ",
            "silencedBy: there is no alert RecommenderNoHealthyTargets; the most similar one is RecommenderNoHealthyTarget",
        ),
        ("name: RecommenderLatencyHigh", "name: LatencyHigh", "  - name: ", "LatencyHigh: write letters and digits after Recommender"),
        (
            "name: RecommenderScrapesFail",
            "name: RecommenderLatencyHigh",
            "  - name: RecommenderScrapesFail",
            "there is already an alert RecommenderLatencyHigh: give this one another name",
        ),
        (
            "summary: A recommender answers slowly.",
            "summary: A recommender answers in {{ $value }}.",
            "    summary: A",
            "summary: write a sentence without values",
        ),
    ]
    .into_iter()
    .filter_map(|(from, to, at, reason)| unexpected(SERVERS, from, to, line(SERVERS, at), reason))
    .collect();
    assert!(unexpected.is_empty(), "{}", unexpected.join("\n"));
}

#[test]
fn a_description_that_prometheus_would_refuse_is_refused_and_those_of_the_documentation_are_not() {
    let end = "in {{ $labels.namespace }}";
    let changed = |action: &str| {
        let text = changed(SERVERS, end, &format!("{end} {action}"));
        let others = FILES.iter().copied().filter(|(path, _)| *path != SERVERS && path.starts_with("alerts/"));
        load(others.chain([(SERVERS, text.as_str())])).1
    };
    for accepted in [
        "{{ $value }}",
        "{{ $value | humanize1024 }}",
        "{{ $value | printf \"%.2f\" }}",
        "{{printf \"%.0f\" $value}}",
        "{{ if $labels.queue }} of {{ $labels.queue }}{{ end }}",
    ] {
        assert_eq!(changed(accepted), [], "{accepted}");
    }
    for (refused, action) in [
        ("{{ $value | nothing }}", "{{ $value | nothing }}"),
        ("{{ $value", "{{ $value"),
        ("{{ $vale }}", "{{ $vale }}"),
        ("{{ $value | printf \"%d\" }}", "{{ $value | printf \"%d\" }}"),
        ("{{ if $labels.a }} b", "{{ if }} without {{ end }}"),
        ("{{ if $labels.a }}{{ if $labels.b }}{{ end }}{{ end }}", "{{ if $labels.b }}"),
        ("{{ end }}", "{{ end }}"),
        ("{{ query \"up\" }}", "{{ query \"up\" }}"),
    ] {
        let problems = changed(refused);
        let reason = problems.first().map(|of| of.reason.as_str()).unwrap_or_default();
        let begin = format!("description: {action}");
        assert!(reason.starts_with(&begin) && reason.contains("write {{ $labels.NAME }}"), "{refused}: {problems:?}");
    }
}

/// What a page of `docs/runbooks/` has.
const SECTIONS: [&str; 4] = ["## What it means", "## Check", "## What to do", "## When to wake a person"];

#[test]
fn every_alert_has_a_runbook_with_its_severity_and_summary() {
    for alert in &embedded().alerts {
        let path = format!("{}/docs/runbooks/{}.md", env!("CARGO_MANIFEST_DIR"), alert.name);
        let page = std::fs::read_to_string(&path).unwrap_or_else(|error| panic!("{path}: {error}"));
        let severity = match alert.severity {
            Severity::Critical => "Critical: a person responds within 15 minutes, at any time. ",
            Severity::Warning => "Warning: a person responds within an hour of work. ",
            Severity::Info => "Info: a person reads it within a day. ",
        };
        assert!(page.contains(severity) && page.contains(&alert.summary), "{path}: repeat {severity} and the summary");
        let missing: Vec<_> = SECTIONS.into_iter().filter(|section| !page.contains(section)).collect();
        assert!(missing.is_empty() && page.contains("kubectl "), "{path} has no {missing:?}, or no command");
        if let Some(threshold) = alert.threshold {
            let stated = format!("threshold: \"{}\"", threshold.default);
            assert!(page.contains(&stated), "{path}: state the default, {stated} ({})", threshold.unit.as_str());
        }
    }
}

#[test]
fn a_threshold_is_filled_in_as_a_number_and_in_words() {
    let alert = embedded().alert("RecommenderErrorRatioHigh").expect("an alert");
    assert!(alert.expr("a=\"@threshold{@}\"", 0.07).contains("{a=\"@threshold{@}\"}[5m]) > 0.07 and "));
    assert!(alert.description(0.07).contains("more than 7% is too much"));
    let latency = embedded().alert("RecommenderLatencyHigh").expect("an alert");
    assert!(latency.description(0.25).contains("more than 0.25s is too much"));
}
