//! prometheus-fastapi-instrumentator with its default metrics; names as in release 8.1.
//!
//! - Latency is read from the histogram of the whole service. The histogram per handler has the buckets 0.1, 0.5 and 1 s
//!   unless an application changes them: it can show neither a p95 of 75 ms nor a p99 above one second.
//! - The histogram of the service has no labels, so only the application can exclude health checks and scrapes from it
//!   (`excluded_handlers`). Requests and errors are counted by handler, and are filtered here.
//! - `status` is grouped (`5xx`) unless an application configures codes (`503`); `5..` matches both.
//! - The in-flight gauge is opt-in (`should_instrument_requests_inprogress`). Unless it is labelled too
//!   (`inprogress_labels`) or scrapes are excluded, every scrape counts itself: the value is one too high per server.

use super::Profile;

pub const PROFILE: Profile = Profile {
    presence: "http_request_duration_highr_seconds_count",
    requests: "http_requests_total",
    route_label: "handler",
    errors: r#"status=~"5..""#,
    latency: "http_request_duration_highr_seconds",
    latency_limit_seconds: 60.0,
    in_flight: Some("http_requests_inprogress"),
};
