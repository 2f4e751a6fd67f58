//! What the schema cannot check of dependencies: names of exporters, and PromQL.

use super::{FieldPath, InvalidField};
use crate::{
    api::Dependency,
    catalog::{self, NO_LAG, most_similar},
    monitoring::expression,
};

/// `is_monitored`: whether anything is recorded.
pub(super) fn problems(dependencies: &[Dependency], is_monitored: bool) -> Vec<InvalidField> {
    let all = || FieldPath::spec().items("dependencies", dependencies);
    let exporters = all().filter_map(|(path, dependency)| exporter(&path, dependency));
    let unrecorded = all().filter(|(_, of)| !is_monitored && of.exporter.is_some()).map(|(path, _)| unrecorded(&path));
    exporters.chain(unrecorded).chain(all().flat_map(|(path, dependency)| promql(&path, dependency))).collect()
}

/// An exporter that nothing reads.
fn unrecorded(path: &FieldPath) -> InvalidField {
    path.field("exporter").problem(
        "without spec.monitoring nothing is recorded of it, and no alert fires: set that, or remove the dependency",
    )
}

/// An exporter that the catalogue does not have.
fn exporter(path: &FieldPath, dependency: &Dependency) -> Option<InvalidField> {
    let name = &dependency.exporter.as_ref()?.name;
    let known =
        || catalog::embedded().exporters.keys().filter(|(kind, _)| kind == NO_LAG).map(|(_, name)| name.as_str());
    if known().any(|known| known == name) {
        return None;
    }
    let nearest = most_similar(name, known()).unwrap_or_default();
    let all = known().collect::<Vec<_>>().join(", ");
    let message = format!("there is no {name}; the most similar one is {nearest}: write one of {all}");
    Some(path.field("exporter.name").problem(message))
}

/// PromQL of a dependency that cannot be embedded in a rule.
fn promql(path: &FieldPath, dependency: &Dependency) -> Vec<InvalidField> {
    let Some(custom) = &dependency.custom else { return Vec::new() };
    let expressions = [
        ("lag", Some(&custom.lag)),
        ("arrivals", custom.arrivals.as_ref()),
        ("consumed", custom.consumed.as_ref()),
        ("partitions", custom.partitions.as_ref()),
    ];
    let problem = |(field, expression): (&str, Option<&String>)| {
        Some(path.field("custom").field(field).problem(expression::problem(expression?)?))
    };
    expressions.into_iter().filter_map(problem).collect()
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
}
