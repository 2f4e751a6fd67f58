//! prometheus-fastapi-instrumentator with its default metrics; names read off release 8.1.
//!
//! - Latency comes from the histogram of the whole service. The one per handler has the buckets 0.1, 0.5 and 1 s unless
//!   an application changes them: it can neither show a p95 of 75 ms nor a p99 above one second.
//! - That histogram has no labels, so health checks and scrapes can only be kept out of it by the application
//!   (`excluded_handlers`). Requests and errors are counted by handler, and are kept clean here.
//! - `status` is grouped (`5xx`) unless an application asks for codes (`503`); `5..` matches both.
//! - In flight is opt-in (`should_instrument_requests_inprogress`). Unless it is labelled too (`inprogress_labels`) or
//!   scrapes are excluded, every scrape counts itself: one request per server more than there are.

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
