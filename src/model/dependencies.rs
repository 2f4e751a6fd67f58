//! What the schema cannot check of dependencies: names of exporters, and PromQL.

use super::{FieldPath, InvalidField, unknown};
use crate::{
    api::Dependency,
    catalog::{self, NO_LAG, Window},
    monitoring::{dependencies::reported, limited},
};

/// The dependency that a field names.
///
/// # Errors
/// If there is none of that name.
pub(super) fn named<'a>(field: &FieldPath, name: &str, all: &'a [Dependency]) -> Result<&'a Dependency, InvalidField> {
    let found = all.iter().find(|dependency| dependency.name == name);
    found.ok_or_else(|| field.problem(format!("there is no {name:?} among spec.dependencies: write the name of one")))
}

/// `is_monitored`: whether anything is recorded.
pub(super) fn problems(dependencies: &[Dependency], is_monitored: bool) -> Vec<InvalidField> {
    let all = || FieldPath::spec().items("dependencies", dependencies);
    let exporters = all().filter_map(|(path, dependency)| exporter(&path, dependency));
    let unscraped = all().filter(|(_, of)| of.scrape.is_some() && !is_monitored && of.exporter.is_none());
    let unscraped = unscraped.map(|(path, _)| {
        path.field("scrape").problem("without spec.monitoring there is no PodMonitor: set that, or remove scrape")
    });
    let unrecorded = all().filter(|(_, of)| !is_monitored && of.exporter.is_some()).map(|(path, _)| unrecorded(&path));
    let scraped = all().filter_map(|(path, dependency)| scraped(&path, dependency));
    exporters.chain(unscraped).chain(unrecorded).chain(scraped).collect()
}

/// Pods whose scrapes could not give the series that are read.
fn scraped(path: &FieldPath, dependency: &Dependency) -> Option<InvalidField> {
    let (scrape, (_, exporter, _)) = (dependency.scrape.as_ref()?, reported(dependency)?);
    let path = path.field("scrape");
    if let Some(key) = scrape.match_labels.keys().find(|key| !is_label_key(key)) {
        return Some(
            path.field("matchLabels")
                .problem(format!("no pod has the label {key:?}: write keys like team or example.org/team")),
        );
    }
    let is_probe = || scrape.path.starts_with("/probe?") && scrape.path.contains("target=");
    if exporter == "BlackboxExporter" && !is_probe() {
        return Some(path.field("path").problem(
            "its own metrics do not contain the probes, which are made by scrapes of /probe: write the target and the module, as in \
             /probe?target=https://ads.example.org/health&module=http_2xx",
        ));
    }
    if dependency.rabbitmq.is_some() && exporter == "Detailed" && !scrape.path.starts_with("/metrics/detailed?") {
        return Some(path.field("path").problem(
            "the endpoint Detailed has only the families that are asked for: write \
             /metrics/detailed?family=queue_coarse_metrics&family=queue_delivery_metrics&family=queue_consumer_count",
        ));
    }
    dependency.match_labels.contains_key("job").then(|| {
        path.problem("the series have the job of the PodMonitor: remove job from matchLabels, or remove scrape")
    })
}

/// An exporter that nothing reads.
fn unrecorded(path: &FieldPath) -> InvalidField {
    path.field("exporter").problem(
        "without spec.monitoring nothing is recorded of it, and no alert fires: set that, or remove the dependency",
    )
}

/// Whether the catalogue has the exporter. What else is wrong with one that it does not have follows from that.
pub(super) fn has_known_exporter(dependency: &Dependency) -> bool {
    exporter(&FieldPath::spec(), dependency).is_none()
}

/// An exporter that the catalogue does not have.
fn exporter(path: &FieldPath, dependency: &Dependency) -> Option<InvalidField> {
    let (kind, name, _) = reported(dependency)?;
    if catalog::current().exporter(kind, &name).is_some() {
        return None;
    }
    let field = match kind {
        NO_LAG => path.field("exporter.name"),
        "rabbitmq" => path.field("rabbitmq.endpoint"),
        kind => path.field(kind).field("exporter"),
    };
    let of_kind = catalog::current().exporters.keys().filter(move |(of, _)| of == kind);
    let why = unknown(&name, of_kind.map(|(_, name)| name.as_str()));
    Some(field.problem(format!("{why}, or add it to the catalogue: docs/catalog.md")))
}

/// Whether the workers themselves report the lag, so that nothing does without them.
pub(super) fn is_reported_by_workers(dependency: &Dependency) -> bool {
    let exporter = reported(dependency).and_then(|(kind, name, _)| catalog::current().exporter(kind, &name));
    exporter.is_some_and(|exporter| exporter.window == Window::Workers)
}

/// Whether a label may have this key, whose part after a slash is its name.
fn is_label_key(key: &str) -> bool {
    let name = key.rsplit_once('/').map_or(key, |(_, name)| name);
    let is_alphanumeric = |c: char| c.is_ascii_alphanumeric();
    (1..=63).contains(&name.len())
        && name.starts_with(is_alphanumeric)
        && name.ends_with(is_alphanumeric)
        && name.chars().all(|c| is_alphanumeric(c) || "-_.".contains(c))
}

/// Dependencies whose PromQL is limited to a namespace.
///
/// # Errors
/// Each expression that cannot be used.
pub(super) fn in_namespace(dependencies: &[Dependency], namespace: &str) -> Result<Vec<Dependency>, Vec<InvalidField>> {
    let mut problems = Vec::new();
    let mut dependencies = dependencies.to_vec();
    for (index, dependency) in dependencies.iter_mut().enumerate() {
        let Some(custom) = &mut dependency.custom else { continue };
        let path = FieldPath::spec().field("dependencies").item(index).field("custom");
        let expressions = [
            ("lag", Some(&mut custom.lag)),
            ("arrivals", custom.arrivals.as_mut()),
            ("consumed", custom.consumed.as_mut()),
            ("partitions", custom.partitions.as_mut()),
        ];
        for (field, expression) in expressions.into_iter().filter_map(|(field, of)| Some((field, of?))) {
            match limited(expression, namespace) {
                Ok(limited) => *expression = limited,
                Err(why) => problems.push(path.field(field).problem(why)),
            }
        }
    }
    if problems.is_empty() { Ok(dependencies) } else { Err(problems) }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::api::NamedExporter;

    fn messages(name: &str) -> Vec<String> {
        let exporter = Some(NamedExporter { name: name.into() });
        let dependency = Dependency { name: "users-db".into(), exporter, ..Dependency::default() };
        problems(&[dependency], true).iter().map(ToString::to_string).collect()
    }

    #[test]
    fn an_exporter_without_monitoring_is_refused_because_nothing_would_read_it() {
        let exporter = Some(NamedExporter { name: "PostgresExporter".into() });
        let dependency = Dependency { name: "users-db".into(), exporter, ..Dependency::default() };
        let [problem] = &problems(&[dependency], false)[..] else { panic!("one problem") };
        assert!(
            problem
                .to_string()
                .starts_with("spec.dependencies[0].exporter: without spec.monitoring nothing is recorded"),
            "{problem}"
        );
    }

    #[test]
    fn an_exporter_that_is_not_in_the_catalogue_is_refused_with_the_most_similar_one_and_all() {
        assert_eq!(messages("PostgresExporter"), Vec::<String>::new());
        let [message] = &messages("PostgresqlExporter")[..] else { panic!("one problem") };
        let begin = "spec.dependencies[0].exporter.name: there is no PostgresqlExporter; the most similar one is \
                     PostgresExporter: write one of BlackboxExporter, Client, ";
        assert!(message.starts_with(begin), "{message}");
        assert!(messages("postgresexporter")[0].contains("; the most similar one is PostgresExporter: "));
        // An exporter of a kind with a lag.
        assert_eq!(messages("Burrow").len(), 1);
    }

    #[test]
    fn an_exporter_of_a_kind_with_a_lag_that_is_not_in_the_catalogue_is_refused_with_the_name_of_its_field() {
        let of = |text: &str| {
            let dependency: Dependency = serde_saphyr::from_str(text).expect("a dependency");
            problems(&[dependency], true).iter().map(ToString::to_string).collect::<Vec<_>>()
        };
        assert_eq!(
            of("{name: a, kafka: {consumerGroup: g, topics: [t], exporter: KafkaLag}}"),
            [
                "spec.dependencies[0].kafka.exporter: there is no KafkaLag; the most similar one is KafkaLagExporter: write one of \
                 Burrow, ConsumerClient, KafkaExporter, KafkaLagExporter, or add it to the catalogue: docs/catalog.md"
            ]
        );
        assert_eq!(
            of("{name: a, rabbitmq: {queues: [q], endpoint: Object}}"),
            [
                "spec.dependencies[0].rabbitmq.endpoint: there is no Object; the most similar one is PerObject: write one of \
              Detailed, PerObject, or add it to the catalogue: docs/catalog.md"
            ]
        );
        for (text, field) in [
            ("{name: a, rq: {queues: [q], exporter: X}}", "rq.exporter"),
            ("{name: a, redisList: {keys: [q], exporter: X}}", "redisList.exporter"),
            ("{name: a, flink: {job: q, exporter: X}}", "flink.exporter"),
        ] {
            assert!(of(text)[0].starts_with(&format!("spec.dependencies[0].{field}: there is no X")), "{text}");
        }
        assert_eq!(of("{name: a, flink: {job: q}}"), Vec::<String>::new());
    }
}
