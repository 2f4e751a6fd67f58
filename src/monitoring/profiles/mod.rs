//! Metric profiles: one file for each known set of metric names that servers expose.
//!
//! To add one: a file here with a `PROFILE`, a variant of [`MetricProfile`], its line in [`of`], and scenarios with its real series beside those in `e2e/tests/rules/`.

mod fast_api_instrumentator;

use crate::api::MetricProfile;

/// The metric names of a server that the canonical series are computed from.
pub struct Profile {
    /// A series that exists as soon as the server runs, before its first request. Counters with labels exist only after
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
        MetricProfile::FastApiInstrumentator => &fast_api_instrumentator::PROFILE,
    }
}
