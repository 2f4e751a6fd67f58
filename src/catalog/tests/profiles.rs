use super::*;

/// A profile of one's own: a histogram, a summary, a counter and gauges.
const SHOP: &str = "profile: Shop
about: x
series:
  - {name: go_goroutines, type: gauge, unit: one}
  - {name: shop_requests_total, type: counter, unit: requests, labels: [path, code]}
  - {name: shop_request_seconds, type: histogram, unit: seconds, labels: [path], buckets: [1]}
  - {name: shop_query_seconds, type: summary, unit: seconds, labels: [path]}
  - {name: shop_in_flight, type: gauge, unit: requests, labels: [path]}
presence: go_goroutines
requests: [shop_requests_total]
errors: ['shop_requests_total{code=~\"5..\"}']
route: path
latency: shop_request_seconds
responses: shop_requests_total
status: code
inFlight: shop_in_flight
";

fn shop(from: &str, to: &str) -> (Option<Profile>, Vec<Problem>) {
    assert!(SHOP.contains(from), "there is no {from}");
    let text = SHOP.replacen(from, to, 1);
    let (catalog, problems) = load([("profiles/Shop.yaml", text.as_str())]);
    (catalog.profiles.get("Shop").cloned(), problems)
}

/// What is unexpected about a profile with one change that is to be refused for this reason, in the line of `to`.
fn unexpected(from: &str, to: &str, reason: &str) -> Option<String> {
    let text = SHOP.replacen(from, to, 1);
    let line = text[..text.find(to).expect("the change")].matches('\n').count() as u64 + 1;
    let (_, problems) = shop(from, to);
    let is_expected = problems.len() == 1 && problems[0].line == line && problems[0].reason.contains(reason);
    (!is_expected).then(|| format!("{to}: expected {line}: {reason}, got {problems:?}"))
}

#[test]
fn only_the_resets_of_a_counter_are_restarts() {
    for (presence, is_counter) in [
        ("go_goroutines", false),
        ("shop_in_flight", false),
        ("shop_requests_total", true),
        ("shop_request_seconds_count", true),
        ("shop_query_seconds_count", true),
    ] {
        let (profile, problems) = shop("presence: go_goroutines", &format!("presence: {presence}"));
        assert_eq!(profile.map(|of| of.counts_from_start()), Some(is_counter), "{presence}: {problems:?}");
    }
    let gauges = embedded().profiles.iter().filter(|(_, of)| !of.counts_from_start()).map(|(name, _)| name.as_str());
    assert_eq!(gauges.collect::<Vec<_>>(), ["Envoy", "Istio", "RayServe", "TorchServe"]);
}

#[test]
fn presence_is_the_name_of_a_declared_series() {
    let unexpected: Vec<String> = [
        ("up", "presence: every target has up, whatever it exposes, so a wrong profile would not be noticed: write the name of a declared"),
        ("shop_request_seconds", "presence: shop_request_seconds is no series itself, but shop_request_seconds_count is: write that"),
        ("shop_query_seconds", "presence: shop_query_seconds is no series itself, but shop_query_seconds_count is: write that"),
        ("'shop_in_flight{path=\"/\"}'", "is no name of a series: write the name of a declared series that every server has"),
    ]
    .into_iter()
    .filter_map(|(presence, reason)| unexpected("presence: go_goroutines", &format!("presence: {presence}"), reason))
    .collect();
    assert!(unexpected.is_empty(), "{}", unexpected.join("\n"));
}

#[test]
fn nothing_stands_behind_the_matchers_of_a_selector() {
    let mut problems = Vec::new();
    for (field, selector) in [
        ("requests: [shop_requests_total]", "requests: ['shop_requests_total{code!=\"0\"}BEHIND']"),
        ("errors: ['shop_requests_total{code=~\"5..\"}']", "errors: ['shop_requests_total{code=~\"5..\"}BEHIND']"),
        ("latency: shop_request_seconds", "latency: 'shop_request_seconds{path!=\"/\"}BEHIND'"),
        ("responses: shop_requests_total", "responses: 'shop_requests_total{code!=\"0\"}BEHIND'"),
        ("inFlight: shop_in_flight", "inFlight: 'shop_in_flight{path!=\"/\"}BEHIND'"),
        ("inFlight: shop_in_flight", "inFlight: 'shop_in_flightBEHIND'"),
    ] {
        let at = |behind: &str| selector.replace("BEHIND", behind);
        for behind in [" # server errors", " # {x}"] {
            problems.extend(unexpected(
                field,
                &at(behind),
                "has a comment in the text of its selector: put it behind the quotes",
            ));
        }
        for behind in [" offset 1m", " @ 5", " @ start()"] {
            problems.extend(unexpected(
                field,
                &at(behind),
                "has something behind the selector: write a name and matchers in braces alone",
            ));
        }
    }
    assert!(problems.is_empty(), "{}", problems.join("\n"));
}

#[test]
fn matchers_are_read_as_they_are_written() {
    for (written, matchers) in [
        ("shop_requests_total{code=~\"5..\"}", "code=~\"5..\""),
        (" shop_requests_total { code=~\"5..\" , } ", "code=~\"5..\" "),
        ("shop_requests_total{path=\"#}\"}", "path=\"#}\""),
        ("shop_requests_total{path=~`{id},`}", "path=~`{id},`"),
    ] {
        let (profile, problems) = shop("shop_requests_total{code=~\"5..\"}", written);
        let errors = profile.unwrap_or_else(|| panic!("{written}: {problems:?}")).errors;
        assert_eq!((errors[0].name.as_str(), errors[0].matchers.as_str()), ("shop_requests_total", matchers));
    }
}

#[test]
fn a_latency_of_routes_of_which_none_is_recorded_is_refused() {
    let responses = "responses: shop_requests_total\nstatus: code\n";
    let reason = "routeLatency: it is recorded of the busiest routes, and which these are is not known without responses that have the \
                  label of route: write responses and status as well, or remove routeLatency";
    assert_eq!(unexpected(responses, "routeLatency: shop_request_seconds\n", reason), None);
    let (profile, problems) = shop(responses, &format!("{responses}routeLatency: shop_request_seconds\n"));
    assert!(profile.is_some_and(|of| of.route_latency.is_some()), "{problems:?}");
}

#[test]
fn what_would_give_no_or_wrong_values_is_refused() {
    let errors = "errors: ['shop_requests_total{code=~\"5..\"}']";
    let unexpected: Vec<String> = [
        (
            errors,
            "errors: ['shop_requests_total{code=~\"5..\",namespace=\"other\"}']",
            "errors: each object adds namespace of its own to shop_requests_total, so this would match no series: remove the matcher; a label \
             namespace that the server sets is stored as exported_namespace",
        ),
        (errors, "errors: ['shop_requests_total{workload=\"serving\"}']", "errors: each object adds workload of its own"),
        (errors, "errors: [shop_requests_total]", "errors: they are the same as requests, so every request would be an error"),
        (
            "requests: [shop_requests_total]",
            "requests: [shop_request_seconds]",
            "requests: shop_request_seconds is a histogram, which is no series itself: write shop_request_seconds_count for how many",
        ),
        ("latency: shop_request_seconds", "latency: shop_query_seconds", "latency: shop_query_seconds is a summary, which has no buckets"),
        (
            "latency: shop_request_seconds",
            "latency: 'shop_request_seconds{le=\"0.1\"}'",
            "latency: le selects some buckets of shop_request_seconds, and a quantile needs all: remove the matcher",
        ),
        (
            "  - {name: go_goroutines",
            "  - {name: shop_query_seconds_count, type: counter, unit: requests}\n  - {name: go_goroutines",
            "shop_query_seconds_count is a part of shop_query_seconds, which is declared as well: remove one of them",
        ),
        (
            "{name: go_goroutines, type: gauge, unit: one}",
            "{name: recommender:sessions, type: gauge, unit: one}",
            "the rules of objects record what begins with recommender:",
        ),
        (
            "{name: go_goroutines, type: gauge, unit: one}",
            "{name: go_goroutines, type: gauge, unit: one, labels: [__tmp]}",
            "__tmp is not stored: Prometheus drops labels that begin with __: remove it",
        ),
    ]
    .into_iter()
    .filter_map(|(from, to, reason)| unexpected(from, to, reason))
    .collect();
    assert!(unexpected.is_empty(), "{}", unexpected.join("\n"));
}
