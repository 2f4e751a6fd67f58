use super::*;

const SERVERS: &str = "alerts/servers.yaml";

/// What is replaced by what in the alerts of servers, the text in whose line the problem is, and its reason.
#[test]
fn a_wrong_alert_is_refused_with_its_line_and_the_reason() {
    let latency = "    expr: recommender:request_latency_seconds:p99";
    let unexpected: Vec<String> = [
        ("severity: warning", "severity: urgent", "    severity: warning", "unknown value `urgent`, expected one of critical, warning, info"),
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
            "expr: recommender:lag_messages has the label dependency, which does not go with appliesTo: write appliesTo: dependencies",
        ),
        (
            "recommender:request_latency_seconds:p99{@}",
            "recommender:training_progress_ratio{@}",
            latency,
            "expr: recommender:training_progress_ratio has the label version, which does not go with appliesTo: leave it out, because",
        ),
        (
            "recommender:request_latency_seconds:p99{@}",
            "http_request_duration_seconds_sum{@}",
            latency,
            "expr: http_request_duration_seconds_sum is no canonical series, and alerts read these alone, so that they fit every profile: \
             write one of docs/series.md, or record yours as one of spec.monitoring.signals",
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
        ("p99{@} > @threshold", "p99{@} > @threshold @ start()", latency, "expr: the modifier @ of PromQL, which fixes the time, is not possible"),
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
        "{{ if $labels.workload }} of {{ $labels.workload }}{{ end }}",
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

/// What is wrong with alerts of one's own, beside the embedded ones.
fn problems(alerts: &[(&str, &str, &str, &str, &str)]) -> Vec<String> {
    let entry = |(name, applies_to, expr, by, words): &(&str, &str, &str, &str, &str)| {
        format!(
            "- name: {name}\n  appliesTo: {applies_to}\n  expr: '{expr}'\n  severity: info\n  silencedBy: [{by}]\n  summary: None.\n  \
             description: '{{{{$labels.namespace}}}} {{{{- $labels.recommender -}}}} {words}'\n"
        )
    };
    let text = format!("alerts:\n{}", alerts.iter().map(entry).collect::<String>());
    let mut catalog = embedded().clone();
    let problems = add(&mut catalog, [("alerts/own.yaml", text.as_str())]);
    assert_eq!(catalog.alerts.len() - embedded().alerts.len(), if problems.is_empty() { alerts.len() } else { 0 });
    problems.iter().map(|of| format!("{}: {}", of.line, of.reason)).collect()
}

#[test]
fn an_alert_that_would_always_or_never_fire_or_lose_its_object_is_refused() {
    for (applies_to, expr, words, reason) in [
        (
            "serving",
            "sum(recommender:requests:rate1m{@}) > 5",
            "",
            "4: expr: the label namespace is lost, in sum(recommender:requests:rate1m{@})",
        ),
        (
            "serving",
            "sum by (namespace) (recommender:requests:rate1m{@}) > 5",
            "",
            "4: expr: the label recommender is lost",
        ),
        (
            "serving",
            "recommender:requests:rate1m{@,namespace=\"other\"} > 5",
            "",
            "4: expr: {@} of recommender:requests:rate1m has the label namespace of each object: remove your matcher of it",
        ),
        (
            "training",
            "recommender:requests:rate1m{@} > 5",
            "",
            "4: expr: recommender:requests:rate1m is one of serving, and never there with appliesTo: training: write appliesTo: serving",
        ),
        (
            "serving",
            "recommender:training_failed{@} > 0",
            "",
            "4: expr: recommender:training_failed is one of training",
        ),
        (
            "serving",
            "recommender:requests:rate1m{@}",
            "",
            "4: expr: it has a result as long as its series have, so the alert would always fire",
        ),
        (
            "serving",
            "recommender:requests:rate1m{@} > bool 5",
            "",
            "4: expr: it has a result as long as its series have",
        ),
        ("serving", "vector(1) > 0", "", "4: expr: it reads no series of an object"),
        ("serving", "1", "", "4: expr: a scalar is no series"),
        (
            "serving",
            "recommender:sessions{@,foo=\"x\"} > 1",
            "",
            "4: expr: recommender:sessions has no label foo; it has namespace, recommender, workload",
        ),
        (
            "serving",
            "recommender:requests:rate1m{@} > 5",
            "{{ $labels.pod }}",
            "8: description: pod is no label of the alert, so nothing would be written: it has namespace, recommender, workload",
        ),
        (
            "serving",
            "sum without (workload) (recommender:requests:rate1m{@}) > 5",
            "{{ if $labels.queue }}x{{ end }}",
            "8: description: queue is no label of the alert",
        ),
        (
            "eachDependency",
            "absent(recommender:dependency_up{@}) # x",
            "",
            "4: expr: a comment hides the dependencies that follow",
        ),
        ("serving", "quantile(95, recommender:requests:rate1m{@}) > 5", "", "4: expr: the quantile 95 is infinite"),
    ] {
        let found = problems(&[("RecommenderOwn", applies_to, expr, "", words)]);
        assert!(found.len() == 1 && found[0].starts_with(reason), "{expr}: {found:?}");
    }
    for (applies_to, expr, words) in [
        ("serving", "recommender:requests:rate1m{@,workload=\"serving\"} > 5", "{{ $labels.workload }}"),
        (
            "serving",
            "recommender:responses:rate1m{@} > 5",
            "{{ $labels.class }}{{$value|humanize}}{{- $value | printf \"%.1f\" -}}",
        ),
        ("serving", "sum without (route) (recommender:route_requests:rate1m{@}) > 5", "{{ $labels.class }}"),
        (
            "serving",
            "sum by (namespace, recommender) (recommender:requests:rate1m{@}) > 5",
            "{{if $labels.recommender}}x{{end}}",
        ),
        ("serving", "recommender:requests:rate1m{@} unless recommender:sessions{@}", ""),
        ("workloads", "recommender:pods{@,state=\"ready\"} < 1", "{{ $labels.state }}"),
        ("training", "recommender:training_runs:increase1d{@} > 5", "{{ $labels.kind }}"),
        ("eachDependency", "absent(recommender:dependency_up{@})", "{{ $labels.dependency }}"),
    ] {
        assert_eq!(problems(&[("RecommenderOwn", applies_to, expr, "", words)]), [""; 0], "{expr}");
    }
}

#[test]
fn alerts_do_not_silence_themselves_or_each_other() {
    let expr = "recommender:requests:rate1m{@} > 5";
    let alert = |name, by| (name, "serving", expr, by, "");
    let found = problems(&[alert("RecommenderA", "RecommenderA")]);
    assert_eq!(found, ["6: silencedBy: RecommenderA would silence itself, and never be heard: remove it"]);
    let found = problems(&[
        alert("RecommenderA", "RecommenderB"),
        alert("RecommenderB", "RecommenderC"),
        alert("RecommenderC", "RecommenderA"),
    ]);
    assert_eq!(found.len(), 3, "{found:?}");
    assert_eq!(
        found[0],
        "6: silencedBy: RecommenderA silences RecommenderB as well, so neither would be heard while both fire: remove one of them"
    );
    assert_eq!(
        problems(&[alert("RecommenderA", "RecommenderB"), alert("RecommenderB", "RecommenderNoHealthyTarget")]),
        [""; 0]
    );
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
