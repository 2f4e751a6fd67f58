//! Metric profiles: the known sets of metric names that servers expose, one entry each.
//!
//! To add one: a variant of [`MetricProfile`], its arm in [`of`] with its entry below, and scenarios with its real series in
//! `e2e/tests/rules/`. The compiler asks for the arm, and tests for the scenarios and the generated files.

use crate::api::MetricProfile;

/// The metric names of a server that the canonical series are computed from.
pub struct Profile {
    /// The program or library that exposes these, and what an application has to set so that it does: Markdown for
    /// `docs/profiles.md`.
    pub about: &'static str,
    /// A counter that exists as soon as the server runs, before its first request. Counters with labels exist only after
    /// the first request, so without it "no requests yet" could not be distinguished from "wrong profile".
    pub presence: &'static str,
    /// Counter of requests.
    pub requests: &'static str,
    /// Label of the counter and of `in_flight` that contains the path or the route of the request.
    pub route_label: &'static str,
    /// Matcher on the counter that selects the requests the server failed to answer.
    pub errors: &'static str,
    /// Histogram of the durations of requests, in seconds; its name without `_bucket`.
    pub latency: &'static str,
    /// Largest finite bucket bound of the histogram, in seconds. No quantile exceeds it, so no alert threshold may either.
    pub latency_limit_seconds: f64,
    /// Gauge of the requests in flight, if the server exposes one.
    pub in_flight: Option<&'static str>,
}

/// The names of a profile.
pub fn of(profile: MetricProfile) -> &'static Profile {
    match profile {
        MetricProfile::FastApiInstrumentator => &FAST_API_INSTRUMENTATOR,
    }
}

/// Every profile, as the schema of the API lists them: the tests and the documentation of profiles iterate over this.
///
/// # Panics
/// If the schema of the enum lists other names than its own, which does not happen.
pub fn all() -> Vec<MetricProfile> {
    let schema = schemars::schema_for!(MetricProfile).to_value();
    let constants = schema["oneOf"].as_array().into_iter().flatten().map(|variant| &variant["const"]);
    let names: Vec<_> = constants.chain(schema["enum"].as_array().into_iter().flatten()).collect();
    assert!(!names.is_empty(), "{schema}");
    names.into_iter().map(|name| serde_json::from_value(name.clone()).expect("the name of a profile")).collect()
}

/// - Latency is read from the histogram of the whole service. The histogram per handler has the buckets 0.1, 0.5 and 1 s
///   unless an application changes them: it can show neither a p95 of 75 ms nor a p99 above one second.
/// - The histogram of the service has no labels, so only the application can exclude health checks and scrapes from it
///   (`excluded_handlers`). Requests and errors are counted by handler, and are filtered here.
/// - `status` is grouped (`5xx`) unless an application configures codes (`503`); `5..` matches both.
/// - The in-flight gauge is opt-in (`should_instrument_requests_inprogress`). Unless it is labelled too
///   (`inprogress_labels`) or scrapes are excluded, every scrape counts itself: the value is one too high per server.
const FAST_API_INSTRUMENTATOR: Profile = Profile {
    about: r#"FastAPI with [prometheus-fastapi-instrumentator](https://github.com/trallnag/prometheus-fastapi-instrumentator)
and its default metrics; names as in release 8.1. The gauge is off by default, and without `excluded_handlers` probes and
scrapes count as quick requests in the latency:

```python
Instrumentator(
    should_instrument_requests_inprogress=True, inprogress_labels=True, excluded_handlers=["^/health$", "^/metrics$"]
)
```"#,
    presence: "http_request_duration_highr_seconds_count",
    requests: "http_requests_total",
    route_label: "handler",
    errors: r#"status=~"5..""#,
    latency: "http_request_duration_highr_seconds",
    latency_limit_seconds: 60.0,
    in_flight: Some("http_requests_inprogress"),
};
