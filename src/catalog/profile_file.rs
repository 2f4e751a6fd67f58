//! The files of metric profiles (`profiles/`): what is in one, and why one is refused.

use serde::Deserialize;
use serde_saphyr::Spanned;

use super::{
    load::{Refused, check_name},
    profile::{CUSTOM, Durations, Latency, Profile, Responses, Selector},
    promql,
    series::{Declarations, Declared, TARGET_LABELS, Type, UP, Unit},
};

/// The labels by which the rules of an object select its servers.
const OBJECT_LABELS: [&str; 3] = ["namespace", "recommender", "workload"];

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
    match &file.route_latency {
        Some(text) if profile.routed().is_none() => Err(Refused::at(
            text,
            "routeLatency: it is recorded of the busiest routes, and which these are is not known without responses that have the label \
             of route: write responses and status as well, or remove routeLatency",
        )),
        _ => Ok(with_latency_of_routes(profile)),
    }
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
