//! Lag, arrivals and consumption of an object's dependencies, and their health.
//!
//! Every exporter that reports them is a file of the catalogue (`src/catalog/dependencies/`), see [`Exporter`]. One generator
//! turns it into the same series, with the labels `namespace`, `recommender` and `dependency`, recorded every 5 s where a
//! worker scales on the lag:
//!
//! | Series | Unit | Meaning |
//! |---|---|---|
//! | `recommender:lag_partitions` | 1 | partitions that can be consumed concurrently; absent if there is no such limit |
//! | `recommender:lag_messages` | messages | messages waiting |
//! | `recommender:consumed:rate1m` | messages/s | messages consumed |
//! | `recommender:arrivals:rate1m` | messages/s | messages arriving |
//! | `recommender:lag_seconds` | s | time to consume what waits; +Inf while nothing is consumed |
//! | `recommender:lag_target_seconds` | s | `catchUpSeconds` of the worker that scales on it |
//!
//! What an exporter reports beside a lag, or instead of it, is in [`Exporter::records`]: `recommender:dependency_up`, which
//! the operator reads for a condition, and others for people and alerts.
//!
//! The windows of the rates are those of [`Exporter::window`], regardless of the suffix of the names: a rate needs two
//! samples, and the scrape interval of an exporter is not under the operator's control.
//!
//! - Incomplete data is treated as no data: if one of several partitions or queues is missing, all series are absent. A lag
//!   that is too small would remove replicas that are needed.
//! - Two exporters of the same dependency count once.
//! - NaN is treated as no sample.
//! - After a jump (a topic created again, offsets set back) there is no rate for one window. Treated as a counter reset, the
//!   jump would count as many messages as there ever were.
//!
//! To add one: its file in the catalogue, its name in the API, and scenarios with its real series in `e2e/tests/rules/`.

mod custom;
mod values;

use std::borrow::Cow;

use values::exporter_of;
pub use values::reported;

use super::{
    Watched,
    promql::{equals, quote, series},
};
use crate::{
    api::{Dependency, monitoring_coreos::Rule},
    catalog::{
        Exporter, Parts, Sum, Window,
        template::{self, Values},
    },
    series::Series,
};

/// Series: number of partitions.
const PARTITIONS: &str = Series::Partitions.name();
/// Series: messages waiting.
const LAG: &str = Series::Lag.name();
/// Series: messages consumed per second.
const CONSUMED: &str = Series::Consumed.name();
/// Series: messages arriving per second.
const ARRIVALS: &str = Series::Arrivals.name();

/// Series: time to consume what waits.
const LAG_SECONDS: &str = Series::LagSeconds.name();
/// Series: time within which a worker is to consume it.
const LAG_TARGET: &str = Series::LagTarget.name();

/// The recording rules of some dependencies that the operator reads: their lag, and whether they are up. A rule comes after the
/// rules whose series it reads.
pub fn rules(watched: &Watched, dependencies: &[&Dependency]) -> Vec<Rule> {
    let sources = dependencies.iter().filter_map(|dependency| Source::new(watched, dependency));
    sources
        .flat_map(|source| [source.lag(), source.records(|series| series == Series::DependencyUp)].concat())
        .collect()
}

/// The other recording rules of the health of dependencies, which people and alerts read.
pub fn health(watched: &Watched) -> Vec<Rule> {
    let sources = watched.dependencies.iter().filter_map(|dependency| Source::new(watched, dependency));
    sources.flat_map(|source| source.records(|series| series != Series::DependencyUp)).collect()
}

/// Whether its exporter reports that a dependency is up or down.
pub fn reports_health(dependency: &Dependency) -> bool {
    exporter_of(dependency).is_some_and(|(exporter, _)| exporter.records.contains_key(&Series::DependencyUp))
}

/// Whether the exporter reports arrivals or consumption in addition to the lag.
pub fn reports_rates(dependency: &Dependency) -> bool {
    exporter_of(dependency).is_none_or(|(exporter, _)| exporter.arrivals.is_some() || exporter.consumed.is_some())
}

/// Seconds of the window of a dependency's rates. `workers_interval`: seconds between two scrapes of the workers.
pub fn window_seconds(dependency: &Dependency, workers_interval: i32) -> i32 {
    exporter_of(dependency).map_or(Window::AsItIs, |(exporter, _)| exporter.window).seconds(workers_interval)
}

/// A duration in PromQL, in minutes where possible.
fn duration(seconds: i32) -> String {
    if seconds % 60 == 0 { format!("{}m", seconds / 60) } else { format!("{seconds}s") }
}

/// The sum of the elements, if their number is as expected and none is NaN.
fn complete(elements: &str, expected: &str) -> String {
    format!("sum({elements}) >= 0 and count({elements}) == {expected}")
}

/// The expressions for one dependency. Each returns at most one element, without labels; the rule adds the labels.
struct Source<'a> {
    watched: &'a Watched<'a>,
    dependency: &'a Dependency,
    exporter: Cow<'static, Exporter>,
    values: Values,
}

impl<'a> Source<'a> {
    /// `None` if there is no such exporter.
    fn new(watched: &'a Watched<'a>, dependency: &'a Dependency) -> Option<Self> {
        let (exporter, mut values) = exporter_of(dependency)?;
        let labels = dependency.match_labels.iter().map(|(name, value)| format!(",{}", equals(name, value)));
        values.extend([
            ("labels", labels.collect()),
            ("namespace", quote(watched.namespace)),
            ("recommender", quote(watched.recommender)),
            ("window", duration(exporter.window.seconds(watched.workers_interval_seconds))),
        ]);
        Some(Self { watched, dependency, exporter, values })
    }

    /// The rules of its lag; none if the exporter reports none.
    fn lag(&self) -> Vec<Rule> {
        let Some(lag) = &self.exporter.lag else { return Vec::new() };
        let parts = match &self.exporter.parts {
            Parts::Reported(template) => Some(complete(&self.fill(template), &self.fill("@count"))),
            Parts::Total(template) => Some(self.total(template)),
            Parts::Named | Parts::Unknown => None,
        };
        let target = self.watched.catch_up_seconds(self.dependency).map(|seconds| format!("vector({seconds})"));
        [
            (PARTITIONS, parts),
            (LAG, Some(self.sum(lag))),
            (CONSUMED, self.consumed()),
            (ARRIVALS, self.arrivals()),
            (LAG_SECONDS, self.lag_seconds()),
            (LAG_TARGET, target),
        ]
        .into_iter()
        .filter_map(|(name, expr)| Some(self.rule(name, expr?)))
        .collect()
    }

    /// The rules of the series for which `is_wanted` is true.
    fn records(&self, is_wanted: impl Fn(Series) -> bool) -> Vec<Rule> {
        let wanted = self.exporter.records.iter().filter(|(series, _)| is_wanted(**series));
        wanted.map(|(series, template)| self.rule(series.name(), self.total(template))).collect()
    }

    fn rule(&self, name: &str, expr: String) -> Rule {
        let mut labels = self.watched.labels();
        labels.insert("dependency".into(), self.dependency.name.clone());
        Rule { record: Some(name.into()), expr, labels, ..Rule::default() }
    }

    fn fill(&self, template: &str) -> String {
        template::fill(template, &self.exporter.terms, &self.values)
    }

    /// Selector of a recorded series of this dependency.
    fn recorded(&self, name: &str) -> String {
        series(name, &[&self.watched.object(), &equals("dependency", &self.dependency.name)])
    }

    fn sum(&self, sum: &Sum) -> String {
        match sum {
            Sum::Parts(template) => complete(&self.fill(template), &self.expected()),
            Sum::Offsets(selector) => complete(&advance(&self.fill(selector), &self.fill("@window")), &self.expected()),
            Sum::Total(template) => self.total(template),
        }
    }

    fn total(&self, template: &str) -> String {
        format!("({}) >= 0", self.fill(template))
    }

    fn expected(&self) -> String {
        match &self.exporter.parts {
            Parts::Named => self.fill("@count"),
            Parts::Reported(_) | Parts::Total(_) | Parts::Unknown => format!("sum({})", self.recorded(PARTITIONS)),
        }
    }

    /// A total is absent while the lag is unknown: then the counters of some part may be missing as well.
    fn consumed(&self) -> Option<String> {
        let sum = self.exporter.consumed.as_ref()?;
        let known = matches!(sum, Sum::Total(_)).then(|| format!(" and sum({})", self.recorded(LAG)));
        Some(self.sum(sum) + &known.unwrap_or_default())
    }

    /// 0 / 0 is NaN, which `>= 0` drops: nothing waits.
    fn lag_seconds(&self) -> Option<String> {
        self.exporter.consumed.as_ref()?;
        let (lag, consumed) = (self.recorded(LAG), self.recorded(CONSUMED));
        Some(format!("sum({lag}) / sum({consumed}) >= 0 or sum({lag}) == 0"))
    }

    /// Computed from consumption and lag unless the exporter reports arrivals; then absent whenever one of them is.
    fn arrivals(&self) -> Option<String> {
        if let Some(sum) = &self.exporter.arrivals {
            return Some(self.sum(sum));
        }
        self.exporter.consumed.as_ref()?;
        let (consumed, lag, window) = (self.recorded(CONSUMED), self.recorded(LAG), self.fill("@window"));
        Some(format!("clamp_min(sum({consumed}) + sum(deriv({lag}[{window}])), 0)"))
    }
}

/// Messages per second by which offsets advance, by topic and partition. Excluded are offsets that do not exist now, that
/// were set back within the window, or that were committed for the first time within it (-1 before): such jumps are not
/// messages.
fn advance(offsets: &str, window: &str) -> String {
    format!(
        "max by (topic, partition) (deriv({offsets}[{window}]) and {offsets} unless (resets({offsets}[{window}]) > 0 \
         or min_over_time({offsets}[{window}]) < 0 and {offsets} >= 0))"
    )
}
