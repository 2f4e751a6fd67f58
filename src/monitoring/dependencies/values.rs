//! The values of dependencies that templates of the catalogue use, and which exporter reports each.

use std::{borrow::Cow, collections::BTreeSet};

use super::custom;
use crate::{
    api::{Dependency, Kafka, RabbitMq, RedisList, Rq},
    catalog::{self, Exporter, NO_LAG, template::Values},
    monitoring::promql::{any_of, quote, quote_regex},
};

/// Kind and name of an exporter in the catalogue, and the values for its templates.
pub type Reported = (&'static str, String, Values);

/// The exporter of a dependency, and the values of the spec for its templates. `None` for a kind of dependency that this
/// version of the operator does not know, and for an exporter that the catalogue does not have.
pub(super) fn exporter_of(dependency: &Dependency) -> Option<(Cow<'static, Exporter>, Values)> {
    if let Some(custom) = &dependency.custom {
        return Some((Cow::Owned(custom::exporter(custom)), custom::values(custom)));
    }
    let (kind, name, values) = reported(dependency)?;
    Some((Cow::Borrowed(catalog::current().exporter(kind, &name)?), values))
}

/// The exporter in the catalogue that reports a dependency.
pub fn reported(dependency: &Dependency) -> Option<Reported> {
    let kafka = dependency.kafka.as_ref().map(|of| ("kafka", of.exporter.clone(), kafka(of)));
    let rabbitmq = dependency.rabbitmq.as_ref().map(|of| ("rabbitmq", of.endpoint.clone(), rabbitmq(of)));
    let rq = dependency.rq.as_ref().map(|of| ("rq", of.exporter.clone(), rq(of)));
    let list = dependency.redis_list.as_ref().map(|of| ("redisList", of.exporter.clone(), redis_list(of)));
    let flink = dependency.flink.as_ref().map(|of| ("flink", of.exporter.clone(), vec![("job", quote(&of.job))]));
    let named = |name: &str| (NO_LAG, name.to_owned(), vec![("dependency", quote(&dependency.name))]);
    let named = dependency.exporter.as_ref().map(|of| named(&of.name));
    [kafka, rabbitmq, rq, list, flink, named].into_iter().flatten().next()
}

fn kafka(kafka: &Kafka) -> Values {
    // The marker of the last transaction stays behind in each partition. A message that waits is followed by its own marker,
    // so it still counts.
    let markers = if kafka.transactional { " - 1" } else { "" };
    vec![
        ("group", quote(&kafka.consumer_group)),
        ("topics", any_name(&kafka.topics)),
        ("count", count(&kafka.topics)),
        ("markers", markers.into()),
        ("dead", quote(kafka.dead_letter_topic.as_deref().unwrap_or_default())),
    ]
}

fn rabbitmq(rabbitmq: &RabbitMq) -> Values {
    vec![
        ("vhost", quote(&rabbitmq.vhost)),
        ("queues", any_name(&rabbitmq.queues)),
        ("count", count(&rabbitmq.queues)),
        // Every series of a queue has its name, so that the empty one matches none.
        ("dead", any_name(&rabbitmq.dead_letter_queues)),
    ]
}

fn rq(rq: &Rq) -> Values {
    let names: Vec<String> = rq.queues.iter().map(|queue| quote_regex(queue)).collect();
    let one = format!("({})", names.join("|"));
    vec![
        ("queues", any_name(&rq.queues)),
        ("count", count(&rq.queues)),
        ("only", quote(&format!("{one}(,{one})*"))),
        ("some", quote(&format!("(.*,)?{one}(,.*)?"))),
    ]
}

fn redis_list(list: &RedisList) -> Values {
    let database = quote(&format!("db{}", list.database));
    vec![("db", database), ("keys", any_name(&list.keys)), ("count", count(&list.keys))]
}

/// The string literal of a regular expression for these names.
fn any_name(names: &[String]) -> String {
    any_of(names.iter().map(String::as_str))
}

/// Number of distinct names.
fn count(names: &[String]) -> String {
    names.iter().collect::<BTreeSet<_>>().len().to_string()
}
