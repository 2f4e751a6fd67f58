//! Metric profiles: the known sets of metric names that servers expose.

use std::collections::BTreeSet;

use serde::Deserialize;
use serde_saphyr::Spanned;

use super::{
    load::{Refused, check_name},
    promql,
    series::{Declarations, Declared, TARGET_LABELS, Type, UP, Unit},
};

/// The labels by which the rules of an object select its servers.
const OBJECT_LABELS: [&str; 3] = ["namespace", "recommender", "workload"];

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

/// A file in `profiles/`.
#[derive(Deserialize)]
#[serde(deny_unknown_fields, rename_all = "camelCase")]
pub struct File {
    /// Its name, as that of the file.
    pub profile: Spanned<String>,
    about: String,
    series: Vec<Spanned<Declared>>,
    presence: Spanned<String>,
    requests: Vec<Spanned<String>>,
    errors: Vec<Spanned<String>>,
    route: Option<Spanned<String>>,
    latency: Option<Spanned<String>>,
    responses: Option<Spanned<String>>,
    status: Option<Spanned<String>>,
    route_latency: Option<Spanned<String>>,
    request_bytes: Option<Spanned<String>>,
    response_bytes: Option<Spanned<String>>,
    in_flight: Option<Spanned<String>>,
    #[serde(default = "yes")]
    process: bool,
}

fn yes() -> bool {
    true
}

/// The profile of a file, or why it is refused.
pub fn check(name: &str, file: File) -> Result<Profile, Refused> {
    check_file(name, &file)?;
    check_labels(&file.series)?;
    let series = Declarations::new(file.series)?;
    read("presence", &file.presence, |name| presence(&series, name))?;
    let requests = counters(&series, "requests", &file.requests)?;
    let errors = counters(&series, "errors", &file.errors)?;
    check_errors(&requests, &errors, &file.errors)?;
    check_route(&series, file.route.as_ref(), requests.iter().chain(&errors))?;
    let responses = responses(&series, file.responses.as_ref(), file.status.as_ref(), &file.profile)?;
    let route = file.route.map(|of| of.value);
    let of_routes = |text: &str| durations(&series, text, route.as_deref());
    let route_latency = read_some("routeLatency", file.route_latency.as_ref(), of_routes)?;
    let request_bytes = read_some("requestBytes", file.request_bytes.as_ref(), |text| bytes(&series, text))?;
    let response_bytes = read_some("responseBytes", file.response_bytes.as_ref(), |text| bytes(&series, text))?;
    let latency = read_some("latency", file.latency.as_ref(), |text| latency(&series, text))?;
    let in_flight = read_some("inFlight", file.in_flight.as_ref(), |text| gauge(&series, text))?;

    let count = |of: Selector| part(&series, of, "_count");
    let sum = |of: Selector| part(&series, of, "_sum");
    let profile = Profile {
        about: file.about.trim_end().into(),
        presence: count(Selector { name: file.presence.value, matchers: String::new() }).name,
        requests: requests.into_iter().map(count).collect(),
        errors: errors.into_iter().map(count).collect(),
        route,
        latency,
        responses: responses.map(|of| Responses { counter: count(of.counter), ..of }),
        route_latency,
        request_bytes: request_bytes.map(sum),
        response_bytes: response_bytes.map(sum),
        in_flight,
        series: series.into_vec(),
        process: file.process,
    };
    Ok(with_latency_of_routes(profile))
}

/// Fails unless the file is that of a profile with this name, and counts requests.
fn check_file(name: &str, file: &File) -> Result<(), Refused> {
    check_name("profile", &file.profile, name)?;
    if name == CUSTOM {
        return Err(Refused::at(&file.profile, "profile: Custom is the one of PromQL in an object: take another name"));
    }
    if file.requests.is_empty() {
        return Err(Refused::at(&file.profile, "requests is empty: name at least one counter of requests"));
    }
    Ok(())
}

/// Fails if a series has a label that the scrape sets.
fn check_labels(series: &[Spanned<Declared>]) -> Result<(), Refused> {
    for of in series {
        if let Some(label) = of.value.labels.iter().find(|label| TARGET_LABELS.contains(&label.as_str())) {
            let reason = format!(
                "{}: the scrape has a label {label} of its own, so that of the server is stored as exported_{label}: write that",
                of.value.name
            );
            return Err(Refused::at(of, reason));
        }
    }
    Ok(())
}

/// Fails if all requests are errors. `texts`: of the errors.
fn check_errors(requests: &[Selector], errors: &[Selector], texts: &[Spanned<String>]) -> Result<(), Refused> {
    match texts {
        [first, ..] if requests.iter().all(|of| errors.contains(of)) => Err(Refused::at(
            first,
            "errors: they are the same as requests, so every request would be an error: select the failed ones, or write []",
        )),
        _ => Ok(()),
    }
}

/// Fails unless all these counters have the label of routes, if there is one.
fn check_route<'a>(
    series: &Declarations,
    route: Option<&Spanned<String>>,
    mut counters: impl Iterator<Item = &'a Selector>,
) -> Result<(), Refused> {
    let Some(route) = route else { return Ok(()) };
    match counters.find(|of| !series.find(&of.name).is_some_and(|of| of.has(&route.value))) {
        Some(Selector { name, .. }) => {
            let why = format!("route: {name} has no label {}: add it to its labels", route.value);
            Err(Refused::at(route, why))
        }
        None => Ok(()),
    }
}

/// A native histogram has one name, and its counters are distinguished by the names that they would have of a classic one.
fn part(series: &Declarations, of: Selector, end: &str) -> Selector {
    match series.native(&of.name) {
        Some(native) => Selector { name: format!("{}{end}", native.name), ..of },
        None => of,
    }
}

/// The durations of each route are those of all requests if these have the label of routes, unless the file has others.
fn with_latency_of_routes(profile: Profile) -> Profile {
    let of_all = profile.latency.as_ref().filter(|of| profile.has_route(&format!("{}_sum", of.histogram)));
    let of_all = of_all.map(Latency::durations);
    Profile { route_latency: profile.route_latency.or(of_all), ..profile }
}

/// Fails unless a server has the series of this name from its start.
fn presence(series: &Declarations, name: &str) -> Result<(), String> {
    let instead = "write the name of a declared series that every server has from its start";
    if name == UP {
        return Err(format!(
            "every target has up, whatever it exposes, so a wrong profile would not be noticed: {instead}"
        ));
    }
    if !promql::is_metric_name(name.trim()) {
        return Err(format!("{name} is no name of a series: {instead}, without matchers"));
    }
    // A summary has quantiles only if its program computes them.
    if series.composite(name).is_some_and(|of| !of.native) {
        return Err(format!("{name} is no series itself, but {name}_count is: write that"));
    }
    series.get(name).map(drop)
}

/// What is read from the text of a field.
fn read<T>(field: &str, text: &Spanned<String>, of: impl FnOnce(&str) -> Result<T, String>) -> Result<T, Refused> {
    of(&text.value).map_err(|why| Refused::at(text, format!("{field}: {why}")))
}

/// What is read from the text of a field that may be left out.
fn read_some<T>(
    field: &str,
    text: Option<&Spanned<String>>,
    of: impl FnOnce(&str) -> Result<T, String>,
) -> Result<Option<T>, Refused> {
    text.map(|text| read(field, text, of)).transpose()
}

/// The counter of responses and its label, which go together.
fn responses(
    series: &Declarations,
    selector: Option<&Spanned<String>>,
    status: Option<&Spanned<String>>,
    profile: &Spanned<String>,
) -> Result<Option<Responses>, Refused> {
    let (selector, status) = match (selector, status) {
        (None, None) => return Ok(None),
        (Some(selector), Some(status)) => (selector, status),
        _ => return Err(Refused::at(profile, "responses and status go together: set both or neither")),
    };
    let of = read("responses", selector, |text| counter(series, text))?;
    if !series.find(&of.name).is_some_and(|of| of.has(&status.value)) {
        let why = format!("status: {} has no label {}: add it to its labels", of.name, status.value);
        return Err(Refused::at(status, why));
    }
    Ok(Some(Responses { counter: of, status: status.value.clone() }))
}

/// The sum and count of durations that have the label of routes.
fn durations(series: &Declarations, text: &str, route: Option<&str>) -> Result<Durations, String> {
    let of = selector(text)?;
    let route = route.ok_or("there is no route: name the label of routes")?;
    let durations = Durations { of, per_second: 1 };
    let is_native = series.native(&durations.of.name).is_some();
    let sum = if is_native { durations.of.clone() } else { durations.counter("_sum") };
    series.check_uses(&promql::parse(&format!("{}{{{}}}", sum.name, sum.matchers))?)?;
    let found = series.get(&sum.name)?;
    if !found.has(route) {
        return Err(format!("{} has no label {route}: add it to its labels", durations.of.name));
    }
    let unit = found.declared.map_or(Unit::One, |of| of.unit);
    Ok(Durations { per_second: per_second(unit, &durations.of.name)?, ..durations })
}

/// How many of the unit of durations are a second.
fn per_second(unit: Unit, name: &str) -> Result<u32, String> {
    unit.per_second().ok_or_else(|| format!("the unit {unit:?} of {name} is not one of time"))
}

/// A selector of a counter of bytes.
fn bytes(series: &Declarations, text: &str) -> Result<Selector, String> {
    let selector = counter(series, text)?;
    let is_bytes = series.get(&selector.name)?.declared.is_some_and(|of| of.unit == Unit::Bytes);
    is_bytes.then_some(()).ok_or_else(|| format!("{} is not a counter of bytes", selector.name))?;
    Ok(selector)
}

/// The selectors of counters in a field.
fn counters(series: &Declarations, field: &str, texts: &[Spanned<String>]) -> Result<Vec<Selector>, Refused> {
    texts.iter().map(|text| read(field, text, |text| counter(series, text))).collect()
}

/// A selector of a counter.
fn counter(series: &Declarations, text: &str) -> Result<Selector, String> {
    let selector = selector(text)?;
    series.check_uses(&promql::parse(text)?)?;
    if !series.get(&selector.name)?.is_counter {
        return Err(format!("{} is not a counter: its rate has no meaning", selector.name));
    }
    Ok(selector)
}

fn selector(text: &str) -> Result<Selector, String> {
    let (name, matchers) = promql::selector(text)?;
    if let Some(label) =
        promql::parse(text)?.selectors.iter().flat_map(|of| &of.labels).find(|of| OBJECT_LABELS.contains(&of.as_str()))
    {
        return Err(format!(
            "each object adds {label} of its own to {name}, so this would match no series: remove the matcher; a label {label} that the \
             server sets is stored as exported_{label}"
        ));
    }
    Ok(Selector { name: name.into(), matchers: matchers.into() })
}

/// The histogram of a selector, which has its name without `_bucket`.
fn latency(series: &Declarations, text: &str) -> Result<Latency, String> {
    let Selector { name, matchers } = selector(text)?;
    let is_native = series.native(&name).is_some();
    if series.composite(&name).is_some_and(|of| of.type_ == Type::Summary) {
        return Err(format!(
            "{name} is a summary, which has no buckets, so no quantile of several servers can be computed: leave latency out; \
             routeLatency takes a summary"
        ));
    }
    let buckets = if is_native { name.clone() } else { format!("{name}_bucket") };
    let declared = series.get(&buckets).map_err(|_| {
        format!("{name} is not a histogram in series: write the name without _bucket, or leave latency out")
    })?;
    let declared = declared.declared.ok_or("up is no histogram")?;
    let per_second = per_second(declared.unit, &name)?;
    let (least, largest) = match is_native {
        true => (0.0, f64::INFINITY),
        false => {
            let mut bounds = declared.buckets.iter().copied().filter(|bound| *bound > 0.0);
            let largest = bounds.next_back().unwrap_or_default();
            (bounds.next().unwrap_or_default(), largest)
        }
    };
    let read = promql::parse(&format!("{buckets}{{{matchers}}}"))?;
    series.check_uses(&read)?;
    if read.selectors.iter().any(|of| of.labels.iter().any(|label| label == "le")) {
        return Err(format!("le selects some buckets of {name}, and a quantile needs all: remove the matcher"));
    }
    let seconds = |bound: f64| bound / f64::from(per_second);
    Ok(Latency {
        histogram: name,
        matchers,
        per_second,
        least_seconds: seconds(least),
        limit_seconds: seconds(largest),
    })
}

/// A selector of a gauge of requests.
fn gauge(series: &Declarations, text: &str) -> Result<Selector, String> {
    let selector = selector(text)?;
    series.check_uses(&promql::parse(text)?)?;
    let is_gauge = |of: &&Declared| of.type_ == Type::Gauge && of.unit == Unit::Requests;
    let name = &selector.name;
    match series.get(name)?.declared.filter(is_gauge) {
        Some(_) => Ok(selector),
        None => Err(format!("{name} is not a gauge of requests")),
    }
}
