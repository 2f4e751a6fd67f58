//! Lag, arrivals and consumption of an object's dependencies, one file for each exporter that reports them.
//!
//! Every exporter is a value of [`Exporter`]. One generator turns it into the same four series, with the labels `namespace`,
//! `recommender` and `dependency`, recorded every 5 s:
//!
//! | Series | Unit | Meaning |
//! |---|---|---|
//! | `recommender:lag_partitions` | 1 | partitions that can be consumed concurrently; absent if there is no such limit |
//! | `recommender:lag_messages` | messages | messages waiting |
//! | `recommender:consumed:rate1m` | messages/s | messages consumed |
//! | `recommender:arrivals:rate1m` | messages/s | messages arriving |
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
//! To add one: a file here with an `EXPORTER`, its line in [`exporter_of`], and scenarios with its real series in
//! `e2e/tests/rules/`.

mod burrow;
mod consumer_client;
pub mod custom;
mod flink;
mod kafka_exporter;
mod kafka_lag_exporter;
mod rabbitmq;
mod redis_list;
mod rq;
mod template;

use std::collections::{BTreeMap, BTreeSet};

use template::Values;

use super::{
    Watched,
    promql::{any_of, equals, quote, series},
};
use crate::{
    api::{Dependency, Kafka, KafkaExporter, monitoring_coreos::Rule},
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

/// The window of an exporter's rates.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Window {
    /// The exporter's scrape interval is not known: two minutes, which contain two scrapes at an interval of one minute and
    /// four at the common interval of 30 s.
    AsItIs,
    /// The workers are the exporter, and our PodMonitor scrapes them: four scrapes, at least one minute.
    Workers,
}

impl Window {
    /// Its length in seconds. `workers_interval`: seconds between two scrapes of the workers.
    fn seconds(self, workers_interval: i32) -> i32 {
        match self {
            Self::AsItIs => 120,
            Self::Workers => workers_interval.saturating_mul(4).max(60),
        }
    }
}

/// How the series of a dependency are computed from the metrics of an exporter. Templates are PromQL in which `@name` stands
/// for a term or for a value of the object, see [`template`].
#[derive(Clone, Copy, Debug)]
pub struct Exporter {
    /// Named templates, for use in other templates.
    pub terms: &'static [(&'static str, &'static str)],
    /// Number of partitions or queues.
    pub parts: Parts,
    /// Messages waiting.
    pub lag: Sum,
    /// Messages consumed per second; `None` if the exporter does not report them.
    pub consumed: Option<Sum>,
    /// Messages arriving per second; `None`: computed as the consumption plus the growth of the lag.
    pub arrivals: Option<Sum>,
    /// The window of rates: `@window` in templates.
    pub window: Window,
}

/// Number of partitions or queues of a dependency. A sum over fewer elements is incomplete.
#[derive(Clone, Copy, Debug)]
pub enum Parts {
    /// As many as the spec names (`@count`). They are queues, and any number of workers may consume from each.
    Named,
    /// The partition count reported by the exporter: this template returns one element for each topic that the spec names.
    Reported(&'static str),
    /// This template returns the number, and no sum is computed over the parts.
    Total(&'static str),
    /// The exporter does not report it.
    Unknown,
}

/// How a sum over the parts is computed.
#[derive(Clone, Copy, Debug)]
pub enum Sum {
    /// This template returns one element for each part. All must be present.
    Parts(&'static str),
    /// This selector returns offsets by topic and partition; the sum is their total rate in messages per second. All must be
    /// present.
    Offsets(&'static str),
    /// This template returns the sum, and ensures its completeness itself.
    Total(&'static str),
}

/// All recording rules of some dependencies. A rule comes after the rules whose series it reads.
pub fn rules(watched: &Watched, dependencies: &[&Dependency]) -> Vec<Rule> {
    dependencies.iter().flat_map(|dependency| of(watched, dependency)).collect()
}

/// Whether the exporter reports arrivals or consumption in addition to the lag.
pub fn reports_rates(dependency: &Dependency) -> bool {
    exporter_of(dependency).is_none_or(|(exporter, _)| exporter.arrivals.is_some() || exporter.consumed.is_some())
}

/// Seconds of the window of a dependency's rates. `workers_interval`: seconds between two scrapes of the workers.
pub fn window_seconds(dependency: &Dependency, workers_interval: i32) -> i32 {
    exporter_of(dependency).map_or(Window::AsItIs, |(exporter, _)| exporter.window).seconds(workers_interval)
}

fn of(watched: &Watched, dependency: &Dependency) -> Vec<Rule> {
    let Some((exporter, mut values)) = exporter_of(dependency) else { return Vec::new() };
    let labels: String =
        dependency.match_labels.iter().map(|(name, value)| format!(",{}", equals(name, value))).collect();
    values.extend([
        ("labels", labels),
        ("namespace", quote(watched.namespace)),
        ("recommender", quote(watched.recommender)),
        ("window", duration(exporter.window.seconds(watched.workers_interval_seconds))),
    ]);
    let source = Source { watched, name: &dependency.name, exporter, values };
    let parts = match exporter.parts {
        Parts::Reported(template) => Some(complete(&source.fill(template), &source.fill("@count"))),
        Parts::Total(template) => Some(source.sum(Sum::Total(template))),
        Parts::Named | Parts::Unknown => None,
    };
    [
        (PARTITIONS, parts),
        (LAG, Some(source.sum(exporter.lag))),
        (CONSUMED, source.consumed()),
        (ARRIVALS, source.arrivals()),
    ]
    .into_iter()
    .filter_map(|(name, expr)| Some(source.rule(name, expr?)))
    .collect()
}

/// The exporter of a dependency, and the values of the spec for its templates. `None` for a kind of dependency that this
/// version of the operator does not know.
fn exporter_of(dependency: &Dependency) -> Option<(Exporter, Values)> {
    let kafka = dependency.kafka.as_ref().map(|kafka| (of_kafka(kafka.exporter), kafka_values(kafka)));
    let rabbitmq = dependency.rabbitmq.as_ref().map(|of| (rabbitmq::exporter(of.endpoint), rabbitmq::values(of)));
    let rq = dependency.rq.as_ref().map(|of| (rq::EXPORTER, rq::values(of)));
    let redis_list = dependency.redis_list.as_ref().map(|of| (redis_list::EXPORTER, redis_list::values(of)));
    let flink = dependency.flink.as_ref().map(|of| (flink::EXPORTER, vec![("job", quote(&of.job))]));
    let custom = dependency.custom.as_ref().map(|of| (custom::exporter(of), custom::values(of)));
    [kafka, rabbitmq, rq, redis_list, flink, custom].into_iter().flatten().next()
}

fn of_kafka(exporter: KafkaExporter) -> Exporter {
    match exporter {
        KafkaExporter::KafkaExporter => kafka_exporter::EXPORTER,
        KafkaExporter::Burrow => burrow::EXPORTER,
        KafkaExporter::KafkaLagExporter => kafka_lag_exporter::EXPORTER,
        KafkaExporter::ConsumerClient => consumer_client::EXPORTER,
    }
}

fn kafka_values(kafka: &Kafka) -> Values {
    // The marker of the last transaction stays behind in each partition. A message that waits is followed by its own marker,
    // so it still counts.
    let markers = if kafka.transactional { " - 1" } else { "" };
    vec![
        ("group", quote(&kafka.consumer_group)),
        ("topics", any_name(&kafka.topics)),
        ("count", count(&kafka.topics)),
        ("markers", markers.into()),
    ]
}

/// The string literal of a regular expression for these names.
fn any_name(names: &[String]) -> String {
    any_of(names.iter().map(String::as_str))
}

/// Number of distinct names.
fn count(names: &[String]) -> String {
    names.iter().collect::<BTreeSet<_>>().len().to_string()
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
    name: &'a str,
    exporter: Exporter,
    values: Values,
}

impl Source<'_> {
    fn rule(&self, name: &str, expr: String) -> Rule {
        let labels = BTreeMap::from([
            ("namespace".into(), self.watched.namespace.into()),
            ("recommender".into(), self.watched.recommender.into()),
            ("dependency".into(), self.name.into()),
        ]);
        Rule { record: Some(name.into()), expr, labels, ..Rule::default() }
    }

    fn fill(&self, template: &str) -> String {
        template::fill(template, self.exporter.terms, &self.values)
    }

    /// Selector of a recorded series of this dependency.
    fn recorded(&self, name: &str) -> String {
        let object = [equals("namespace", self.watched.namespace), equals("recommender", self.watched.recommender)];
        series(name, &[&object[0], &object[1], &equals("dependency", self.name)])
    }

    fn sum(&self, sum: Sum) -> String {
        match sum {
            Sum::Parts(template) => complete(&self.fill(template), &self.expected()),
            Sum::Offsets(selector) => complete(&advance(&self.fill(selector), &self.fill("@window")), &self.expected()),
            Sum::Total(template) => format!("({}) >= 0", self.fill(template)),
        }
    }

    fn expected(&self) -> String {
        match self.exporter.parts {
            Parts::Named => self.fill("@count"),
            Parts::Reported(_) | Parts::Total(_) | Parts::Unknown => format!("sum({})", self.recorded(PARTITIONS)),
        }
    }

    /// A total is absent while the lag is unknown: then the counters of some part may be missing as well.
    fn consumed(&self) -> Option<String> {
        let sum = self.exporter.consumed?;
        let known = matches!(sum, Sum::Total(_)).then(|| format!(" and sum({})", self.recorded(LAG)));
        Some(self.sum(sum) + &known.unwrap_or_default())
    }

    /// Computed from consumption and lag unless the exporter reports arrivals; then absent whenever one of them is.
    fn arrivals(&self) -> Option<String> {
        if let Some(sum) = self.exporter.arrivals {
            return Some(self.sum(sum));
        }
        self.exporter.consumed?;
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
