//! Canonical series of the responses of servers that people and alerts read, by class and route, where the profile has them.

use super::{
    Monitored, Workload,
    promql::{quote, series},
    recording::Source,
};
use crate::{
    api::monitoring_coreos::Rule,
    catalog::{Durations, Responses, Selector},
    series::Series,
};

/// The most routes that have series of their own.
const MOST_ROUTES: usize = 20;
/// Value of the label `route` of the others.
const OTHER: &str = "other";
/// Requests per second below which a difference of rates is one of rounding.
const ROUNDING: f64 = 0.001;
/// The quantile that is in the first bucket with a request, at its lower bound. `histogram_quantile(0, ...)` takes the first bucket,
/// also without a request.
const LOWEST: &str = "0.000000001";
/// Matcher for statuses with a class, as codes, classes or their digit.
const STATUSES: &str = "[2-5].*";

/// The recording rules.
pub fn rules(monitored: &Monitored) -> Vec<Rule> {
    let of = Servers { source: Source::new(monitored), object: monitored.object.matchers_of(Workload::Serving) };
    let profile = of.source.profile;
    let latency = profile.latency.as_ref();
    let bytes = |selector: &Selector| format!("sum({})", of.rate(selector, &[]));
    let total = [
        (Series::LatencyMean, latency.map(|latency| of.mean(&latency.durations()))),
        (Series::LatencyMin, of.source.bucket(LOWEST)),
        (Series::LatencyMax, of.source.longest()),
        (Series::RequestBytes, profile.request_bytes.as_ref().map(bytes)),
        (Series::ResponseBytes, profile.response_bytes.as_ref().map(bytes)),
    ];
    let mut rules: Vec<Rule> = total
        .into_iter()
        .filter_map(|(series, expr)| Some(of.source.rule(series.name(), of.source.trusted(&expr?))))
        .collect();
    let each = |series: Series, expr: String| of.source.rule(series.name(), of.source.trusted_each(&expr));
    rules.extend(profile.responses.as_ref().map(|responses| each(Series::Responses, of.classes(responses))));
    if let Some((responses, route)) = profile.routed() {
        rules.push(each(Series::RouteRequests, of.routes(responses, route)));
        let mut others = of.source.rule(Series::RouteRequests.name(), of.others());
        others.labels.insert("route".into(), OTHER.into());
        rules.push(others);
        let latency = profile.route_latency.as_ref();
        rules.extend(latency.map(|latency| each(Series::RouteLatencyMean, of.route_latency(latency, route))));
    }
    rules
}

/// The expressions for the servers of an object.
struct Servers<'a> {
    source: Source<'a>,
    /// Matchers for their canonical series.
    object: String,
}

impl Servers<'_> {
    fn rate(&self, selector: &Selector, matchers: &[&str]) -> String {
        self.source.counter(selector, matchers).rate(&self.source.window)
    }

    /// Without requests it is NaN, for which `>= 0` is false.
    fn mean(&self, durations: &Durations) -> String {
        let [sum, count] = ["_sum", "_count"].map(|end| format!("sum({})", self.rate(&durations.counter(end), &[])));
        format!("{sum} / {count}{} >= 0", scale(durations.per_second))
    }

    fn classed(&self, responses: &Responses, matchers: &[&str]) -> String {
        let statuses = format!("{}=~{}", responses.status, quote(STATUSES));
        let rate = self.rate(&responses.counter, &[&[statuses.as_str()], matchers].concat());
        format!(r#"label_replace({rate}, "class", "${{1}}xx", {}, "(.).*")"#, quote(&responses.status))
    }

    fn classes(&self, responses: &Responses) -> String {
        format!("sum by (class) ({})", self.classed(responses, &[]))
    }

    /// Of the busiest routes.
    fn routes(&self, responses: &Responses, route: &str) -> String {
        let is_routed = format!("{route}!=\"\"");
        let classed = of_route(&self.classed(responses, &[&is_routed]), route);
        let all = of_route(&self.rate(&responses.counter, &[&is_routed]), route);
        format!("sum by (route, class) ({classed}) and on (route) topk({MOST_ROUTES}, sum by (route) ({all}))")
    }

    /// What the routes with series of their own lack of all responses.
    fn others(&self) -> String {
        let all = format!("sum by (class) ({})", series(Series::Responses.name(), &[&self.object]));
        let not_other = format!("route!={}", quote(OTHER));
        let routed = series(Series::RouteRequests.name(), &[&self.object, &not_other]);
        format!("{all} - (sum by (class) ({routed}) or 0 * {all}) > {ROUNDING}")
    }

    /// Of the routes with series of their own.
    fn route_latency(&self, durations: &Durations, route: &str) -> String {
        let is_routed = format!("{route}!=\"\"");
        let [sum, count] = ["_sum", "_count"].map(|end| {
            format!("sum by (route) ({})", of_route(&self.rate(&durations.counter(end), &[&is_routed]), route))
        });
        let routed = series(Series::RouteRequests.name(), &[&self.object]);
        format!("({sum} / {count}{} >= 0) and on (route) {routed}", scale(durations.per_second))
    }
}

fn of_route(expr: &str, route: &str) -> String {
    format!(r#"label_replace({expr}, "route", "$1", {}, "(.+)")"#, quote(route))
}

/// From a unit to seconds.
pub(super) fn scale(per_second: u32) -> String {
    if per_second == 1 { String::new() } else { format!(" / {per_second}") }
}
