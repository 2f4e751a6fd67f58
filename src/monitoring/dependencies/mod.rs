//! Lag, arrivals and consumption of an object's dependencies, and their health.
//!
//! Every exporter that reports them is a file of the catalogue (`src/catalog/dependencies/`), see [`Exporter`]. One generator
//! turns it into the same series, with the labels `namespace`, `recommender` and `dependency`. The first four are recorded every
//! 10 s where a worker scales on the lag:
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
    Monitored,
    promql::{equals, quote, series, words},
    recording::record,
};
use crate::{
    api::{Dependency, monitoring_coreos::Rule},
    catalog::{
        Declared, Exporter, Parts, Sum, Window,
        template::{self, Values},
    },
    names,
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

/// The recording rules of some dependencies that decisions on replicas are made from. A rule comes after the rules whose series it
/// reads.
pub fn signals(monitored: &Monitored, dependencies: &[&Dependency]) -> Vec<Rule> {
    let sources = dependencies.iter().filter_map(|dependency| Source::new(monitored, dependency));
    sources.flat_map(|source| source.signals()).collect()
}

/// What is computed from the signals of all dependencies, and their health: for people, alerts and the condition of the object.
pub fn states(monitored: &Monitored) -> Vec<Rule> {
    let sources = monitored.dependencies.iter().filter_map(|dependency| Source::new(monitored, dependency));
    sources.flat_map(|source| [source.lag(), source.records()].concat()).collect()
}

/// What the spec states of dependencies, for alerts to compare with.
pub fn of_spec(monitored: &Monitored) -> Vec<Rule> {
    let sources = monitored.dependencies.iter().filter_map(|dependency| Source::new(monitored, dependency));
    sources.flat_map(|source| source.of_spec()).collect()
}

/// The series that are recorded of a dependency.
pub fn recorded(dependency: &Dependency) -> Vec<Series> {
    let Some((exporter, _)) = exporter_of(dependency) else { return Vec::new() };
    let of_lag = [
        (Series::Lag, exporter.lag.is_some()),
        (Series::Arrivals, exporter.arrivals.is_some() || exporter.consumed.is_some()),
        (Series::Consumed, exporter.consumed.is_some()),
        (Series::LagSeconds, exporter.lag.is_some() && exporter.consumed.is_some()),
    ];
    let of_lag = of_lag.into_iter().filter(|(_, is_recorded)| *is_recorded).map(|(series, _)| series);
    of_lag.chain(exporter.records.keys().copied()).collect()
}

/// Whether its exporter reports that a dependency is up or down.
pub fn reports_health(dependency: &Dependency) -> bool {
    recorded(dependency).contains(&Series::DependencyUp)
}

/// A label of `matchLabels` by which the exporter's health cannot be selected: other series of the exporter have it, and one that
/// `dependency_up` is computed from has not.
pub fn label_without_health(dependency: &Dependency) -> Option<&str> {
    let (exporter, values) = exporter_of(dependency)?;
    let health = template::fill(exporter.records.get(&Series::DependencyUp)?, &exporter.terms, &values);
    let is_read = |name: &str| words(&health).any(|word| word == name);
    let has = |series: &Declared, label: &str| series.labels.iter().any(|of| of == label);
    let lack = |label: &str| {
        is_read("up") || exporter.series.iter().any(|series| is_read(&series.name) && !has(series, label))
    };
    let mut labels = dependency.match_labels.keys().map(String::as_str);
    labels.find(|label| exporter.series.iter().any(|series| has(series, label)) && lack(label))
}

/// Whether the exporter reports arrivals or consumption in addition to the lag.
pub fn reports_rates(dependency: &Dependency) -> bool {
    exporter_of(dependency).is_none_or(|(exporter, _)| exporter.arrivals.is_some() || exporter.consumed.is_some())
}

/// Whether it is recorded how long it takes to consume what waits.
pub fn reports_lag_seconds(dependency: &Dependency) -> bool {
    recorded(dependency).contains(&Series::LagSeconds)
}

/// Seconds of the window of a dependency's rates. `workers_interval`: seconds between two scrapes of the workers.
pub fn window_seconds(dependency: &Dependency, workers_interval: i32) -> i32 {
    exporter_of(dependency).map_or(Window::AsItIs, |(exporter, _)| exporter.window).seconds(workers_interval)
}

/// Labels of a target that select it among those of a Prometheus, and not only a cluster.
const TARGET: [&str; 5] = ["instance", "job", "namespace", "pod", "service"];

/// Whether the spec selects among the targets of a cluster. Otherwise only those in the namespace of the object count: the exporter of
/// another object would make its dependency down, and the rules of each object would read `up` of all objects.
fn selects_targets(dependency: &Dependency) -> bool {
    dependency.scrape.is_some() || TARGET.iter().any(|label| dependency.match_labels.contains_key(*label))
}

/// The label `job` of the targets of a PodMonitor, as prometheus-operator sets it.
pub fn job(namespace: &str, monitor: &str) -> String {
    format!("{namespace}/{monitor}")
}

/// A duration in PromQL, in minutes where possible.
fn duration(seconds: i32) -> String {
    if seconds % 60 == 0 { format!("{}m", seconds / 60) } else { format!("{seconds}s") }
}

/// More messages than ever wait in all parts together, in PromQL. Sums of up to 9,000 of them are exact.
const ABOVE_MESSAGES: &str = "1e12";
/// More messages per second than ever arrive in all parts together, in PromQL: rates beside a sum of 100 are exact to 1e-7.
const ABOVE_RATES: &str = "1e7";

/// The sum of the elements, if their number is as expected and none is NaN. `above`: more than that sum can be. Each element is raised by
/// it, and the sum lowered by it as often as there should be elements, so that the result is negative if one is missing, and too
/// large if there are too many. The elements are then read once, not a second time to count them.
fn complete(elements: &str, expected: &str, above: &str) -> String {
    format!("sum(({elements}) + {above}) - {above} * {expected} >= 0 < {above}")
}

/// The expressions for one dependency. Each returns at most one element, without labels; the rule adds the labels.
struct Source<'a> {
    monitored: &'a Monitored<'a>,
    dependency: &'a Dependency,
    exporter: Cow<'static, Exporter>,
    values: Values,
}

impl<'a> Source<'a> {
    /// `None` if there is no such exporter.
    fn new(monitored: &'a Monitored<'a>, dependency: &'a Dependency) -> Option<Self> {
        let (exporter, mut values) = exporter_of(dependency)?;
        let scraped = dependency.scrape.as_ref().map(|_| names::scraped(monitored.object.base, &dependency.name));
        let scraped = scraped.map(|name| equals("job", &job(monitored.object.namespace, &name)));
        let labels = dependency.match_labels.iter().map(|(name, value)| equals(name, value));
        let mut matchers: Vec<String> = labels.chain(scraped).collect();
        let own = (!selects_targets(dependency)).then(|| equals("namespace", monitored.object.namespace));
        let target: Vec<String> = matchers.iter().cloned().chain(own.clone()).collect();
        // What has a lag is selected by the names of its topics, queues or job.
        matchers.extend(own.filter(|_| dependency.exporter.is_some()));
        values.extend([
            ("labels", matchers.iter().map(|matcher| format!(",{matcher}")).collect()),
            ("matchers", matchers.join(",")),
            ("target", target.join(",")),
            ("namespace", quote(monitored.object.namespace)),
            ("recommender", quote(monitored.object.name)),
            ("window", duration(exporter.window.seconds(monitored.metrics.workers_interval_seconds))),
        ]);
        Some(Self { monitored, dependency, exporter, values })
    }

    /// The rules of its lag, arrivals and consumption; none if the exporter reports no lag.
    fn signals(&self) -> Vec<Rule> {
        let Some(lag) = &self.exporter.lag else { return Vec::new() };
        let parts = match &self.exporter.parts {
            Parts::Reported(template) => Some(complete(&self.fill(template), &self.fill("@count"), ABOVE_MESSAGES)),
            Parts::Total(template) => Some(self.total(template)),
            Parts::Named | Parts::Unknown => None,
        };
        self.recorded_rules([
            (PARTITIONS, parts),
            (LAG, Some(self.sum(lag, ABOVE_MESSAGES))),
            (CONSUMED, self.consumed()),
            (ARRIVALS, self.arrivals()),
        ])
    }

    /// The rule of its lag in seconds; none if the exporter reports no lag.
    fn lag(&self) -> Vec<Rule> {
        self.exporter.lag.iter().flat_map(|_| self.recorded_rules([(LAG_SECONDS, self.lag_seconds())])).collect()
    }

    /// The rules of what the spec states; none if the exporter reports no lag.
    fn of_spec(&self) -> Vec<Rule> {
        if self.exporter.lag.is_none() {
            return Vec::new();
        }
        let vector = |value: i64| format!("vector({value})");
        let target = self.monitored.catch_up_seconds(self.dependency).map(|seconds| vector(seconds.into()));
        let retention = self.dependency.kafka.as_ref().and_then(|kafka| kafka.retention_hours);
        let task_managers = self.dependency.flink.as_ref().and_then(|flink| flink.task_managers);
        self.recorded_rules([
            (LAG_TARGET, target),
            (Series::Retention.name(), retention.map(|hours| vector(3600 * i64::from(hours)))),
            (Series::TaskManagersExpected.name(), task_managers.map(|count| vector(count.into()))),
        ])
    }

    fn recorded_rules<const N: usize>(&self, expressions: [(&str, Option<String>); N]) -> Vec<Rule> {
        expressions.into_iter().filter_map(|(name, expr)| Some(self.rule(name, expr?))).collect()
    }

    /// The rules of its health.
    fn records(&self) -> Vec<Rule> {
        self.exporter.records.iter().map(|(series, template)| self.rule(series.name(), self.total(template))).collect()
    }

    fn rule(&self, name: &str, expr: String) -> Rule {
        record(self.monitored, name, &[("dependency", &self.dependency.name)], expr)
    }

    fn fill(&self, template: &str) -> String {
        template::fill(template, &self.exporter.terms, &self.values)
    }

    /// Selector of a recorded series of this dependency.
    fn recorded(&self, name: &str) -> String {
        series(name, &[&self.monitored.object.matchers(), &equals("dependency", &self.dependency.name)])
    }

    /// `above`: more than the sum can be.
    fn sum(&self, sum: &Sum, above: &str) -> String {
        let complete = |elements: &str| complete(elements, &self.expected(), above);
        match sum {
            Sum::Parts(template) => complete(&self.fill(template)),
            Sum::Offsets(selector) => complete(&advance(&self.fill(selector), &self.fill("@window"))),
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
        Some(self.sum(sum, ABOVE_RATES) + &known.unwrap_or_default())
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
            return Some(self.sum(sum, ABOVE_RATES));
        }
        self.exporter.consumed.as_ref()?;
        let (consumed, lag, window) = (self.recorded(CONSUMED), self.recorded(LAG), self.fill("@window"));
        Some(format!("clamp_min(sum({consumed}) + sum(deriv({lag}[{window}])), 0)"))
    }
}

/// Messages per second by which offsets advance, by topic and partition. Excluded are offsets that do not exist now, that
/// were set back within the window, or that were committed for the first time within it (-1 before): such jumps are not
/// messages. The product is negative if only one of the two is -1.
fn advance(offsets: &str, window: &str) -> String {
    format!(
        "max by (topic, partition) (deriv({offsets}[{window}]) \
         and ({offsets} + 0.5) * (min_over_time({offsets}[{window}]) + 0.5) > 0 unless resets({offsets}[{window}]) > 0)"
    )
}
