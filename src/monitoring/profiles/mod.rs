//! What servers expose, one file for each known set of metric names.
//!
//! To add one: a file here with a `PROFILE`, a variant of [`MetricProfile`], its line in [`of`], its name in `PROFILES` of
//! `monitoring/tests.rs`, and scenarios with its real series beside those in `e2e/tests/rules/`.

mod fast_api_instrumentator;

use crate::api::MetricProfile;

/// The names a server exposes, as far as the canonical series need them.
pub struct Profile {
    /// A series that is there as soon as the server runs, before its first request. Counters with labels are born with
    /// the first request, so without this "no requests yet" and "wrong profile" would look the same.
    pub presence: &'static str,
    /// Counter of requests.
    pub requests: &'static str,
    /// Label of the counter and of `in_flight` that holds the path or the route of the request.
    pub route_label: &'static str,
    /// Matcher on the counter that selects the requests the server failed to answer.
    pub errors: &'static str,
    /// Histogram of the seconds that requests took, without its `_bucket`.
    pub latency: &'static str,
    /// Largest finite bound of the histogram, in seconds: no quantile is ever above it, so no alert may ask for more.
    pub latency_limit_seconds: f64,
    /// Gauge of the requests being worked on, if there is one.
    pub in_flight: Option<&'static str>,
}

/// The names of a profile.
pub fn of(profile: MetricProfile) -> &'static Profile {
    match profile {
        MetricProfile::FastApiInstrumentator => &fast_api_instrumentator::PROFILE,
    }
}
