//! Service level objectives: error ratios over several windows, and what is left of the error budgets.
//!
//! Every objective is brought into the same form first: what is bad, and all. All further rules read only these two series, so that
//! one rule serves all objectives of an object, and its cost does not depend on what is measured:
//!
//! | Objective | `recommender:objective_bad:rate1m` | `recommender:objective_all:rate1m` |
//! |---|---|---|
//! | availability | failed requests/s | requests/s |
//! | latency | requests/s above the threshold | requests/s |
//! | age of the model or of its data | 1 while it is older, 0 otherwise | 1 while that is known |
//! | lag | 1 while it takes longer, 0 otherwise | 1 while that is known |
//!
//! The ratio of a window is the mean of what is bad by the mean of all, so each minute is weighted by its requests. Hours and days
//! are computed from means of five minutes, recorded every two minutes in a group of its own ([`SLOW_SECONDS`]): a window of 30 days
//! are then 21,600 samples, not the buckets of every server.
//!
//! - No data is neither good nor bad: minutes without samples are not part of a window, and a window without any has no ratio.
//!   So have windows without requests, in which 0 / 0 is NaN, which `>= 0` drops.
//! - Servers that are all down count no requests. That is what `RecommenderNoHealthyTarget` is for.
//! - Counters that are reset by a restart are what `rate` handles; see [`recording`](super::recording) for several processes.
//!
//! Alerts compare two windows with multiples of the error budget, as chapter 5 of Google's Site Reliability Workbook,
//! <https://sre.google/workbook/alerting-on-slos/>, recommends: multiwindow, multi-burn-rate, with the burn rates 14.4, 6, 3
//! and 1. The longer window shows that a relevant part of the budget was spent, and the shorter one, a twelfth of it, that it still
//! is. The burn rates do not depend on `windowDays`: at 14.4, 30 days' budget is spent after 50 hours, and that of 7 days after 12.
//!
//! At low traffic one error is a large ratio: with 10 requests/h and a goal of 99.9 %, a burn rate of 100 (the same chapter, "Low-
//! Traffic Services"). So an alert also needs a number of bad requests in its longer window, `ratio * requests >= minBadRequests`.
//! While the budget is spent just as fast as allowed, a window in which 10 are expected at the burn rate 14.4 has 0.7 of them, and
//! the probability of 10 or more is 1e-8.

use std::collections::BTreeSet;

use super::{
    Monitored, Workload,
    groups::SLOW_SECONDS,
    histogram::Counter,
    promql::{any_of, equals, series},
    recording::{Source, record},
};
use crate::{api::monitoring_coreos::Rule, series::Series};

/// A valid objective.
#[derive(Clone, Debug, PartialEq)]
pub struct Objective {
    /// Its name.
    pub name: String,
    /// What is measured.
    pub indicator: Indicator,
    /// Whether users notice at once what is bad, so that alerts may wake a person.
    pub is_critical: bool,
    /// What may be bad, as a part of all: above 0 and below 1.
    pub error_budget: f64,
    /// Days within which the goal is to be met.
    pub window_days: i32,
    /// Bad requests below which no alert fires. `None` of a share of time.
    pub min_bad_requests: Option<i32>,
}

/// What an objective measures.
#[derive(Clone, Debug, PartialEq)]
pub enum Indicator {
    /// Requests that the servers do not fail to answer.
    Availability,
    /// Requests that are answered within a bound of the buckets of the profile's histogram, in its unit.
    Latency {
        /// The bound.
        bucket: f64,
    },
    /// Time in which an age of the training is not exceeded.
    Age {
        /// The series of the age, in seconds.
        series: Series,
        /// The most that it may be.
        max_hours: i32,
    },
    /// Time in which the messages of a dependency would be consumed soon enough.
    Lag {
        /// Name of the dependency.
        dependency: String,
        /// Seconds within which.
        within_seconds: i32,
    },
}

/// The alert on a fast burn of an error budget, see `catalog/alerts/objectives.yaml`.
pub const FAST_BURN_ALERT: &str = "RecommenderObjectiveBurnFast";
/// Windows of ratios up to an hour, and of the requests within an hour.
const FAST: [(Series, &str); 3] =
    [(Series::ErrorRatio5m, "5m"), (Series::ErrorRatio30m, "30m"), (Series::ErrorRatio1h, "1h")];
/// Windows of ratios above an hour.
const SLOW: [(Series, &str); 4] = [
    (Series::ErrorRatio2h, "2h"),
    (Series::ErrorRatio6h, "6h"),
    (Series::ErrorRatio1d, "1d"),
    (Series::ErrorRatio3d, "3d"),
];
/// Windows of the requests that alerts over hours and days need.
const REQUESTS: [(Series, &str); 3] =
    [(Series::ObjectiveRequests6h, "6h"), (Series::ObjectiveRequests1d, "1d"), (Series::ObjectiveRequests3d, "3d")];

/// The rules that are evaluated every `seconds`: what is bad and all, up to an hour. A rule comes after the rules whose series it reads.
pub fn fast(monitored: &Monitored, seconds: i32) -> Vec<Rule> {
    if monitored.objectives.is_empty() {
        return Vec::new();
    }
    let source = Source::new(monitored);
    let of_each = monitored.objectives.iter().flat_map(|objective| of(monitored, &source, objective));
    let (bad, all) = (Series::ObjectiveBad, Series::ObjectiveAll);
    let ratios = FAST.map(|(series, window)| rule(monitored, series, ratio(monitored, bad, all, window)));
    let requests =
        requests(monitored, all, "1h", seconds).map(|expr| rule(monitored, Series::ObjectiveRequests1h, expr));
    of_each.chain(ratios).chain(requests).collect()
}

/// The rules that are evaluated every [`SLOW_SECONDS`]: above an hour, the error budgets, and what the spec states.
pub fn slow(monitored: &Monitored) -> Vec<Rule> {
    if monitored.objectives.is_empty() {
        return Vec::new();
    }
    let of_spec = monitored.objectives.iter().flat_map(|objective| of_spec(monitored, objective));
    let (bad, all) = (Series::ObjectiveBadMean, Series::ObjectiveAllMean);
    let mean = |of: Series| format!("avg_over_time({}[5m])", series(of.name(), &[&monitored.object.matchers()]));
    let means = [(bad, Series::ObjectiveBad), (all, Series::ObjectiveAll)];
    let means = means.map(|(series, of)| rule(monitored, series, mean(of)));
    let ratios = SLOW.map(|(series, window)| rule(monitored, series, ratio(monitored, bad, all, window)));
    let requests = REQUESTS
        .into_iter()
        .filter_map(|(series, window)| Some(rule(monitored, series, requests(monitored, all, window, SLOW_SECONDS)?)));
    let spent = [
        (Series::BudgetBad, of_windows(monitored, bad)),
        (
            Series::BudgetSpent,
            format!(
                "{} / ({}) / {} >= 0",
                series(Series::BudgetBad.name(), &[&monitored.object.matchers()]),
                of_windows(monitored, all),
                series(Series::ErrorBudget.name(), &[&monitored.object.matchers()])
            ),
        ),
    ];
    let spent = spent.map(|(series, expr)| rule(monitored, series, expr));
    let left = format!("1 - {}", series(Series::BudgetSpent.name(), &[&monitored.object.matchers()]));
    let left = rule(monitored, Series::BudgetLeft, left);
    of_spec.chain(means).chain(ratios).chain(requests).chain(spent).chain([left]).collect()
}

/// A rule for all objectives, which have their names as a label already.
fn rule(monitored: &Monitored, series: Series, expr: String) -> Rule {
    record(monitored, series.name(), &[], expr)
}

/// The matcher of some objectives.
fn named<'a>(objectives: impl IntoIterator<Item = &'a Objective>) -> String {
    format!("objective=~{}", any_of(objectives.into_iter().map(|objective| objective.name.as_str())))
}

/// What is bad in a window, as a part of all.
fn ratio(monitored: &Monitored, bad: Series, all: Series, window: &str) -> String {
    let mean = |of: Series| format!("avg_over_time({}[{window}])", series(of.name(), &[&monitored.object.matchers()]));
    format!("{} / {} >= 0", mean(bad), mean(all))
}

/// Requests that were counted in a window: less than there were if some samples are missing, so that an alert needs no fewer. `all` is
/// recorded every `seconds`. `None` if there are no objectives of requests.
fn requests(monitored: &Monitored, all: Series, window: &str, seconds: i32) -> Option<String> {
    let of_requests: Vec<&Objective> =
        monitored.objectives.iter().filter(|objective| objective.min_bad_requests.is_some()).collect();
    let matchers = [monitored.object.matchers(), named(of_requests.iter().copied())];
    let all = series(all.name(), &matchers.each_ref().map(String::as_str));
    (!of_requests.is_empty()).then(|| format!("sum_over_time({all}[{window}]) * {seconds}"))
}

/// How much was counted within the window of each objective: requests, or seconds. One range for all objectives with the same window.
fn of_windows(monitored: &Monitored, of: Series) -> String {
    let days: BTreeSet<i32> = monitored.objectives.iter().map(|objective| objective.window_days).collect();
    let sum = |days: i32| {
        let matchers =
            [monitored.object.matchers(), named(monitored.objectives.iter().filter(|of| of.window_days == days))];
        let of = series(of.name(), &matchers.each_ref().map(String::as_str));
        format!("sum_over_time({of}[{days}d]) * {SLOW_SECONDS}")
    };
    days.into_iter().map(sum).collect::<Vec<_>>().join(" or ")
}

/// The rules of one objective.
fn of(monitored: &Monitored, source: &Source, objective: &Objective) -> Vec<Rule> {
    let name = equals("objective", &objective.name);
    let own = |of: Series| format!("sum({})", series(of.name(), &[&monitored.object.matchers(), &name]));
    let (bad, all) = (Series::ObjectiveBad, Series::ObjectiveAll);
    let of_time = |measured: &str, most: i64| {
        vec![(bad, format!("max({measured}) > bool {most}")), (all, format!("0 * {} + 1", own(bad)))]
    };
    let measured = match &objective.indicator {
        Indicator::Availability => {
            let of_servers = |of: Series| format!("sum({})", source.of_servers(of.name(), &[]));
            vec![(all, of_servers(Series::Requests)), (bad, of_servers(Series::RequestErrors))]
        }
        Indicator::Latency { bucket } => {
            let (requests, fast) = answered(source, *bucket).unwrap_or_default();
            vec![(all, source.trusted(&requests)), (bad, format!("clamp_min({} - {fast}, 0)", own(all)))]
        }
        Indicator::Lag { dependency, within_seconds } => {
            let dependency = equals("dependency", dependency);
            let lag = series(Series::LagSeconds.name(), &[&monitored.object.matchers(), &dependency]);
            of_time(&lag, i64::from(*within_seconds))
        }
        Indicator::Age { series: age, max_hours } => {
            let age = series(age.name(), &[&monitored.object.matchers_of(Workload::Training)]);
            of_time(&age, i64::from(*max_hours) * 3600)
        }
    };
    measured.into_iter().map(|(series, expr)| own_rule(monitored, objective, series, expr)).collect()
}

/// The rules of what the spec states of an objective.
fn of_spec(monitored: &Monitored, objective: &Objective) -> Vec<Rule> {
    let budget = (Series::ErrorBudget, format!("vector({})", objective.error_budget));
    let floor = objective.min_bad_requests.map(|floor| (Series::BadRequestsFloor, format!("vector({floor})")));
    [budget].into_iter().chain(floor).map(|(series, expr)| own_rule(monitored, objective, series, expr)).collect()
}

/// A rule of one objective, whose name it adds as a label.
fn own_rule(monitored: &Monitored, objective: &Objective, series: Series, expr: String) -> Rule {
    record(monitored, series.name(), &[("objective", &objective.name)], expr)
}

/// The rates of all requests in the histogram of the servers, and of those up to a bound of its buckets, which are none of a native
/// histogram without requests. Classic buckets without that bound have no rate: what is bad is then unknown, not all.
fn answered(source: &Source, bucket: f64) -> Option<(String, String)> {
    let [all, fast] = source.answered(bucket)?;
    let rate = |counter: &Counter| format!("sum({})", counter.rate(&source.window));
    let fast = match fast.zero_of_native(&source.window) {
        Some(zero) => format!("({} or {zero})", rate(&fast)),
        None => rate(&fast),
    };
    Some((rate(&all), fast))
}
