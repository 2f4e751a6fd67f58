//! What an object stands on: lag, arrivals and consumption of its dependencies, one file for each exporter that tells them.
//!
//! Every exporter is a value of [`Exporter`], and one generator turns it into the same four series, with the labels
//! `namespace`, `recommender` and `dependency`, recorded every 5 s:
//!
//! | Series | Unit | What |
//! |---|---|---|
//! | `recommender:lag_partitions` | 1 | parts that can be worked on at the same time; absent where nothing limits that |
//! | `recommender:lag_messages` | messages | what waits |
//! | `recommender:consumed:rate1m` | messages/s | what is worked off |
//! | `recommender:arrivals:rate1m` | messages/s | what comes in |
//!
//! The rates' windows are those of their [`Exporter::window`], whatever the name says: a rate needs two samples, and how
//! often an exporter is scraped is up to whoever runs it.
//!
//! Part of the truth is no truth: where one of several partitions or queues is missing, everything is absent, because a
//! smaller lag would take replicas away from a larger one. Two exporters of the same thing count once. NaN is no sample.
//! A thing that jumps (a topic made anew, offsets set back) has no rate for a window, because what a counter's reset would
//! make of it is as large as all messages there ever were.
//!
//! To add one: a file here with an `EXPORTER`, its line in [`told_by`], and scenarios with its real series in
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
use crate::api::{Dependency, Kafka, KafkaExporter, monitoring_coreos::Rule};

const PARTITIONS: &str = "recommender:lag_partitions";
const LAG: &str = "recommender:lag_messages";
const CONSUMED: &str = "recommender:consumed:rate1m";
const ARRIVALS: &str = "recommender:arrivals:rate1m";

/// The window of an exporter's rates.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Window {
    /// It is scraped as its owner likes it: two minutes are two scrapes a minute apart at worst, four at the 30 s that are
    /// usual.
    AsItIs,
    /// The workers tell, which we scrape: four scrapes, and a minute at least.
    Workers,
}

impl Window {
    /// Its length. `workers_interval`: seconds between two scrapes of the workers.
    fn seconds(self, workers_interval: i32) -> i32 {
        match self {
            Self::AsItIs => 120,
            Self::Workers => workers_interval.saturating_mul(4).max(60),
        }
    }
}

/// How an exporter tells of a dependency. Templates are PromQL in which `@name` stands for a term or for a value of the
/// object, see [`template`].
#[derive(Clone, Copy, Debug)]
pub struct Exporter {
    /// Templates that have a name, to be used in others.
    pub terms: &'static [(&'static str, &'static str)],
    /// How many parts there are.
    pub parts: Parts,
    /// What waits.
    pub lag: Sum,
    /// What is worked off per second; none where the exporter cannot tell.
    pub consumed: Option<Sum>,
    /// What comes in per second; none: what is consumed and what the lag grows by.
    pub arrivals: Option<Sum>,
    /// The window of rates: `@window` in templates.
    pub window: Window,
}

/// How many parts a dependency has, and so from how many elements a sum is complete.
#[derive(Clone, Copy, Debug)]
pub enum Parts {
    /// As many as the object names (`@count`). They are queues, and any number of workers may take from each.
    Named,
    /// This template tells the number of partitions, an element for each of the topics that the object names.
    Told(&'static str),
    /// This template gives the number, and no sum is made over the parts.
    Total(&'static str),
    /// Nobody tells.
    Unknown,
}

/// How a sum over the parts is made.
#[derive(Clone, Copy, Debug)]
pub enum Sum {
    /// This template gives an element for each part. All must be there.
    Parts(&'static str),
    /// This selects offsets, by topic and partition; the sum is how many messages per second they advance. All must be there.
    Offsets(&'static str),
    /// This template gives the sum, and cares for its completeness itself.
    Total(&'static str),
}

/// All recording rules, in the order in which they build on each other.
pub fn rules(watched: &Watched) -> Vec<Rule> {
    watched.dependencies.iter().flat_map(|dependency| of(watched, dependency)).collect()
}

/// Whether it is told what arrives and is consumed, and not only what waits.
pub fn tells_rates(dependency: &Dependency) -> bool {
    told_by(dependency).is_none_or(|(exporter, _)| exporter.arrivals.is_some() || exporter.consumed.is_some())
}

/// Seconds of the window of a dependency's rates. `workers_interval`: seconds between two scrapes of the workers.
pub fn window_seconds(dependency: &Dependency, workers_interval: i32) -> i32 {
    told_by(dependency).map_or(Window::AsItIs, |(exporter, _)| exporter.window).seconds(workers_interval)
}

fn of(watched: &Watched, dependency: &Dependency) -> Vec<Rule> {
    let Some((exporter, mut values)) = told_by(dependency) else { return Vec::new() };
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
        Parts::Told(template) => Some(complete(&source.fill(template), &source.fill("@count"))),
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

/// Who tells of a dependency, and what the object says for the templates. None for a kind that an older operator does not
/// know.
fn told_by(dependency: &Dependency) -> Option<(Exporter, Values)> {
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
    vec![("group", quote(&kafka.consumer_group)), ("topics", any_name(&kafka.topics)), ("count", count(&kafka.topics))]
}

/// The string literal of a regular expression for these names.
fn any_name(names: &[String]) -> String {
    any_of(names.iter().map(String::as_str))
}

/// How many different names there are.
fn count(names: &[String]) -> String {
    names.iter().collect::<BTreeSet<_>>().len().to_string()
}

/// A duration as people write it in PromQL.
fn duration(seconds: i32) -> String {
    if seconds % 60 == 0 { format!("{}m", seconds / 60) } else { format!("{seconds}s") }
}

/// The sum of the elements if there are as many as expected and none is NaN.
fn complete(elements: &str, expected: &str) -> String {
    format!("sum({elements}) >= 0 and count({elements}) == {expected}")
}

/// The expressions for one dependency. Each gives at most one element, without labels; the rule adds them.
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

    /// A series of this dependency that was just recorded.
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
            Parts::Told(_) | Parts::Total(_) | Parts::Unknown => format!("sum({})", self.recorded(PARTITIONS)),
        }
    }

    /// Where the lag is not known, the counters of some part may be missing as well.
    fn consumed(&self) -> Option<String> {
        let sum = self.exporter.consumed?;
        let known = matches!(sum, Sum::Total(_)).then(|| format!(" and sum({})", self.recorded(LAG)));
        Some(self.sum(sum) + &known.unwrap_or_default())
    }

    /// Absent with the consumption, and that with the lag.
    fn arrivals(&self) -> Option<String> {
        if let Some(sum) = self.exporter.arrivals {
            return Some(self.sum(sum));
        }
        self.exporter.consumed?;
        let (consumed, lag, window) = (self.recorded(CONSUMED), self.recorded(LAG), self.fill("@window"));
        Some(format!("clamp_min(sum({consumed}) + sum(deriv({lag}[{window}])), 0)"))
    }
}

/// How many messages per second offsets advance, by topic and partition. Only what is there now counts, and what neither was
/// set back within the window nor committed for the first time (-1 before): such jumps are no messages.
fn advance(offsets: &str, window: &str) -> String {
    format!(
        "max by (topic, partition) (deriv({offsets}[{window}]) and {offsets} unless (resets({offsets}[{window}]) > 0 \
         or min_over_time({offsets}[{window}]) < 0 and {offsets} >= 0))"
    )
}
