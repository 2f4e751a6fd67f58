//! Metric profiles: the known sets of metric names that servers expose.

use serde::Deserialize;
use serde_saphyr::Spanned;

use super::{
    load::{Refused, check_name},
    promql,
    series::{Declarations, Declared, TARGET_LABELS, Type, Unit},
};

/// The metric names of a server that the canonical series are computed from.
#[derive(Clone, Debug, PartialEq)]
pub struct Profile {
    /// The program or library that exposes these, and what an application has to set so that it does: Markdown for
    /// `docs/profiles.md`.
    pub about: String,
    /// The series that it declares.
    pub series: Vec<Declared>,
    /// A series that exists as soon as the server runs, before its first request. Counters with labels exist only after
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
    /// Gauge of the requests in flight, if the server exposes one.
    pub in_flight: Option<String>,
}

/// Some series of one name.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Selector {
    /// The name.
    pub name: String,
    /// The matchers, without braces; may be empty.
    pub matchers: String,
}

/// Histogram of the durations of requests.
#[derive(Clone, Debug, PartialEq)]
pub struct Latency {
    /// Its name without `_bucket`.
    pub histogram: String,
    /// How many of its unit are a second.
    pub per_second: u32,
    /// Largest finite bucket bound, in seconds. No quantile exceeds it, so no threshold may either.
    pub limit_seconds: f64,
}

impl Latency {
    /// Whether it can show that a latency of so many seconds is exceeded.
    pub fn shows(&self, seconds: f64) -> bool {
        seconds < self.limit_seconds
    }
}

impl Profile {
    /// Whether the series of this name has the label of routes.
    pub fn has_route(&self, name: &str) -> bool {
        let base = ["_bucket", "_count", "_sum"].iter().find_map(|suffix| name.strip_suffix(suffix));
        let is_it = |series: &&Declared| series.name == name || Some(series.name.as_str()) == base;
        let labels = self.series.iter().filter(is_it).flat_map(|series| &series.labels);
        self.route.as_ref().is_some_and(|route| labels.into_iter().any(|label| label == route))
    }
}

/// A file in `profiles/`.
#[derive(Deserialize)]
#[serde(deny_unknown_fields, rename_all = "camelCase")]
pub struct File {
    /// Its name, as that of the file.
    profile: Spanned<String>,
    about: String,
    series: Vec<Spanned<Declared>>,
    presence: Spanned<String>,
    requests: Vec<Spanned<String>>,
    errors: Vec<Spanned<String>>,
    route: Option<Spanned<String>>,
    latency: Option<Spanned<String>>,
    in_flight: Option<Spanned<String>>,
}

/// The profile of a file, or why it is refused.
pub fn check(name: &str, file: File) -> Result<Profile, Refused> {
    check_name("profile", &file.profile, name)?;
    if file.requests.is_empty() {
        return Err(Refused::at(&file.profile, "requests is empty: name at least one counter of requests"));
    }
    for of in &file.series {
        if let Some(label) = of.value.labels.iter().find(|label| TARGET_LABELS.contains(&label.as_str())) {
            let reason = format!(
                "{}: the scrape has a label {label} of its own, so that of the server is stored as exported_{label}: write that",
                of.value.name
            );
            return Err(Refused::at(of, reason));
        }
    }
    let series = Declarations::new(file.series)?;
    series.get(&file.presence.value).map_err(|reason| Refused::at(&file.presence, format!("presence: {reason}")))?;
    let counters = |field: &str, selectors: &[Spanned<String>]| {
        let all = selectors.iter().map(|text| {
            counter(&series, &text.value).map_err(|reason| Refused::at(text, format!("{field}: {reason}")))
        });
        all.collect::<Result<Vec<_>, _>>()
    };
    let (requests, errors) = (counters("requests", &file.requests)?, counters("errors", &file.errors)?);
    if let Some(route) = &file.route {
        let without =
            requests.iter().chain(&errors).find(|of| !series.find(&of.name).is_some_and(|of| of.has(&route.value)));
        if let Some(Selector { name, .. }) = without {
            return Err(Refused::at(
                route,
                format!("route: {name} has no label {}: add it to its labels", route.value),
            ));
        }
    }
    let latency =
        file.latency.map(|of| latency(&series, &of.value).map_err(|why| Refused::at(&of, format!("latency: {why}"))));
    if let Some(gauge) = &file.in_flight {
        check_gauge(&series, &gauge.value).map_err(|reason| Refused::at(gauge, format!("inFlight: {reason}")))?;
    }
    Ok(Profile {
        about: file.about.trim_end().into(),
        presence: file.presence.value,
        requests,
        errors,
        route: file.route.map(|of| of.value),
        latency: latency.transpose()?,
        in_flight: file.in_flight.map(|of| of.value),
        series: series.into_vec(),
    })
}

/// A selector of a counter.
fn counter(series: &Declarations, text: &str) -> Result<Selector, String> {
    let expression = promql::parse(text)?;
    if !expression.is_selector {
        return Err(format!("{text} is not a selector: write a name, and matchers in braces"));
    }
    series.check_uses(&expression)?;
    let (name, matchers) = text.split_once('{').unwrap_or((text, ""));
    if !series.get(name.trim())?.is_counter {
        return Err(format!("{name} is not a counter: its rate has no meaning"));
    }
    Ok(Selector {
        name: name.trim().into(),
        matchers: matchers.trim_end().strip_suffix('}').unwrap_or_default().into(),
    })
}

fn latency(series: &Declarations, name: &str) -> Result<Latency, String> {
    let declared = series.get(&format!("{name}_bucket")).map_err(|_| {
        format!("{name} is not a histogram in series: write the name without _bucket, or leave latency out")
    })?;
    let declared = declared.declared.ok_or("up is no histogram")?;
    let per_second = declared.unit.per_second();
    let per_second = per_second.ok_or_else(|| format!("the unit {:?} of {name} is not one of time", declared.unit))?;
    let largest = declared.buckets.last().copied().unwrap_or_default();
    Ok(Latency { histogram: name.into(), per_second, limit_seconds: largest / f64::from(per_second) })
}

fn check_gauge(series: &Declarations, name: &str) -> Result<(), String> {
    let found = series.get(name)?;
    let is_gauge = |of: &&Declared| of.type_ == Type::Gauge && of.unit == Unit::Requests;
    found.declared.filter(is_gauge).map(|_| ()).ok_or_else(|| format!("{name} is not a gauge of requests"))
}
