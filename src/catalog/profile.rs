//! Metric profiles: the known sets of metric names that servers expose.

use std::collections::BTreeSet;

use super::{
    promql,
    series::{Declared, Type},
};

/// The profile of PromQL in an object, which no file has.
pub const CUSTOM: &str = "Custom";

/// The metric names of a server that the canonical series are computed from.
#[derive(Clone, Debug, Default, PartialEq)]
pub struct Profile {
    /// The program or library that exposes these, and what an application has to set so that it does: Markdown for
    /// `docs/profiles.md`.
    pub about: String,
    /// The series that it declares.
    pub series: Vec<Declared>,
    /// A series that exists as soon as the server runs, before its first request. That of a native histogram is named as its count,
    /// as are counters of one: [`histogram`](Self::histogram) has its form. Counters with labels exist only after
    /// the first request, so without it "no requests yet" could not be distinguished from "wrong profile".
    pub presence: String,
    /// Counters whose sum are the requests.
    pub requests: Vec<Selector>,
    /// Counters whose sum are the requests that the server failed to answer; none if the server does not count them.
    pub errors: Vec<Selector>,
    /// Label that contains the path or the route of the request, of the series that have one.
    pub route: Option<String>,
    /// The durations of requests; `None` if the server has no histogram of them.
    pub latency: Option<Latency>,
    /// Responses by their status; `None` if the server does not count them so.
    pub responses: Option<Responses>,
    /// The durations of the requests of each route.
    pub route_latency: Option<Durations>,
    /// Counter of the bytes of requests.
    pub request_bytes: Option<Selector>,
    /// Counter of the bytes of responses.
    pub response_bytes: Option<Selector>,
    /// Gauge of the requests in flight, if the server exposes one.
    pub in_flight: Option<Selector>,
    /// Whether the server exposes `process_cpu_seconds_total` and `process_start_time_seconds`.
    pub process: bool,
}

/// Some series of one name.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Selector {
    /// The name.
    pub name: String,
    /// The matchers, without braces; may be empty.
    pub matchers: String,
}

/// Counter of responses.
#[derive(Clone, Debug, PartialEq)]
pub struct Responses {
    /// The counter.
    pub counter: Selector,
    /// Its label with the status, of which the first digit is the class: 404, 4xx or 4.
    pub status: String,
}

/// Sum and count of durations: a histogram or a summary.
#[derive(Clone, Debug, PartialEq)]
pub struct Durations {
    /// Its name without `_sum` and `_count`.
    pub of: Selector,
    /// How many of its unit are a second.
    pub per_second: u32,
}

impl Durations {
    /// The counter of this end.
    pub fn counter(&self, end: &str) -> Selector {
        Selector { name: format!("{}{end}", self.of.name), matchers: self.of.matchers.clone() }
    }
}

/// Histogram of the durations of requests.
#[derive(Clone, Debug, PartialEq)]
pub struct Latency {
    /// Its name without `_bucket`.
    pub histogram: String,
    /// The matchers, without braces; may be empty.
    pub matchers: String,
    /// How many of its unit are a second.
    pub per_second: u32,
    /// Smallest bucket bound, in seconds: of faster requests, only that is known, so no threshold may be below it. 0 where it is not known:
    /// of a native histogram, and where one bound is declared, which is the largest.
    pub least_seconds: f64,
    /// Largest finite bucket bound, in seconds. No quantile exceeds it, so no threshold may either. Infinite of a native histogram.
    pub limit_seconds: f64,
}

impl Latency {
    /// Its sum and count.
    pub fn durations(&self) -> Durations {
        let of = Selector { name: self.histogram.clone(), matchers: self.matchers.clone() };
        Durations { of, per_second: self.per_second }
    }

    /// Whether it can show that a latency of so many seconds is exceeded.
    pub fn shows_excess(&self, seconds: f64) -> bool {
        seconds < self.limit_seconds
    }

    /// Whether it can show that a latency of so many seconds is kept.
    pub fn shows_success(&self, seconds: f64) -> bool {
        seconds >= self.least_seconds
    }
}

impl Profile {
    /// The histogram that a counter is a part of, and the end of the counter's name.
    pub fn histogram(&self, counter: &str) -> Option<(&Declared, &'static str)> {
        let (base, end) = promql::histogram_part(counter)?;
        let declared = self.series.iter().find(|of| of.type_ == Type::Histogram && of.name == base)?;
        Some((declared, end))
    }

    /// Whether its presence is a counter: the resets of one are restarts of its process, those of a gauge mean nothing.
    pub fn counts_from_start(&self) -> bool {
        self.histogram(&self.presence).is_some() || self.series.iter().any(|of| of.is_counter(&self.presence))
    }

    /// The histograms that its rules read.
    pub fn histograms(&self) -> impl Iterator<Item = &Declared> {
        let single = [&self.request_bytes, &self.response_bytes].into_iter().flatten();
        let counters = self.requests.iter().chain(&self.errors).chain(single);
        let counters = counters.chain(self.responses.as_ref().map(|of| &of.counter));
        let durations = self.latency.as_ref().map(Latency::durations).into_iter().chain(self.route_latency.clone());
        let names = counters.map(|of| of.name.clone()).chain([self.presence.clone()]);
        let names: BTreeSet<String> = names.chain(durations.map(|of| of.counter("_sum").name)).collect();
        let is_read = move |of: &&Declared| {
            of.type_ == Type::Histogram
                && ["_count", "_sum"].iter().any(|end| names.contains(&format!("{}{end}", of.name)))
        };
        self.series.iter().filter(is_read)
    }

    /// The bounds of the buckets of the durations, in their unit; none without a histogram.
    pub fn buckets(&self) -> &[f64] {
        let is_it = |series: &&Declared| self.latency.as_ref().is_some_and(|of| of.histogram == series.name);
        self.series.iter().find(is_it).map_or(&[], |series| &series.buckets)
    }

    /// Whether the series of this name has the label of routes.
    pub fn has_route(&self, name: &str) -> bool {
        let base = promql::histogram_part(name).map(|(base, _)| base);
        let is_it = |series: &&Declared| series.name == name || Some(series.name.as_str()) == base;
        let labels = self.series.iter().filter(is_it).flat_map(|series| &series.labels);
        self.route.as_ref().is_some_and(|route| labels.into_iter().any(|label| label == route))
    }

    /// The responses of each route, with the label of routes.
    pub fn routed(&self) -> Option<(&Responses, &str)> {
        let responses = self.responses.as_ref().filter(|of| self.has_route(&of.counter.name))?;
        Some((responses, self.route.as_deref()?))
    }
}
