//! No rule reads the series of other objects: otherwise the evaluations of all objects would cost the square of their number.

use std::convert::Infallible;

use promql_parser::{
    label::MatchOp,
    parser::{Expr, VectorSelector},
    util::{ExprVisitor, walk_expr},
};

use super::{
    dependencies::{consumers, everything},
    *,
};
use crate::catalog::promql;

/// Labels whose value is the namespace of the object: of its own series, of those that were scraped with another namespace, and of
/// requests to its Service.
const NAMESPACES: [&str; 3] = ["namespace", "exported_namespace", "destination_service_namespace"];
/// Labels by which series with the namespace of the object are those of its servers, Jobs or Service. A regular expression begins
/// with the name of the object.
const PARTS: [&str; 8] = [
    "recommender",
    "pod",
    "deployment",
    "owner_name",
    "job_name",
    "service",
    "exported_service",
    "destination_service_name",
];
/// Labels by which an exporter's series are those of the consumer group, topics, queues, keys or job of a dependency.
const SUBJECTS: [&str; 8] = ["consumergroup", "consumer_group", "group", "topic", "queue", "queues", "key", "job_name"];

/// All selectors of an expression.
#[derive(Default)]
struct All(Vec<VectorSelector>);

impl ExprVisitor for All {
    type Error = Infallible;

    fn pre_visit(&mut self, part: &Expr) -> Result<bool, Infallible> {
        match part {
            Expr::VectorSelector(selector) => self.0.push(selector.clone()),
            Expr::MatrixSelector(range) => self.0.push(range.vs.clone()),
            // The walk leaves the parameter out.
            Expr::Aggregate(of) => of.param.iter().try_for_each(|param| walk_expr(self, param).map(drop))?,
            _ => {}
        }
        Ok(true)
    }
}

fn selectors_of(expr: &str) -> Vec<VectorSelector> {
    let mut all = All::default();
    let Ok(_) = walk_expr(&mut all, &promql::tree(expr).unwrap_or_else(|why| panic!("{why} in {expr}")));
    all.0
}

/// Whether a selector has a matcher for one of these labels that only values with this begin pass.
fn has(selector: &VectorSelector, labels: &[&str], value: impl Fn(&str) -> bool) -> bool {
    let matchers = selector.matchers.matchers.iter().filter(|matcher| labels.contains(&matcher.name.as_str()));
    matchers.into_iter().any(|of| matches!(of.op, MatchOp::Equal | MatchOp::Re(_)) && value(&of.value))
}

/// Whether a selector reads the series of one object, or of what its dependencies' exporters report.
fn is_bounded(selector: &VectorSelector, monitored: &Monitored) -> bool {
    let of_namespace = has(selector, &NAMESPACES, |value| value == monitored.object.namespace);
    let is_of_claim = has(selector, &["persistentvolumeclaim"], |value| Some(value) == monitored.versions.claim);
    if of_namespace && (is_of_claim || has(selector, &PARTS, |value| value.starts_with(monitored.object.name))) {
        return true;
    }
    let name = selector.name.as_deref().unwrap_or_default();
    let is_labelled = |of: &Dependency| {
        let mut labels = of.match_labels.iter();
        !of.match_labels.is_empty() && labels.all(|(label, value)| has(selector, &[label], |of| of == value))
    };
    let is_of_a_dependency = monitored.dependencies.iter().any(is_labelled);
    if name == "up" {
        return of_namespace || is_of_a_dependency;
    }
    // Other series of exporters: their number does not depend on that of objects.
    let mut declared = catalog::embedded().exporters.values().flat_map(|exporter| &exporter.series);
    let is_of_exporter = is_of_a_dependency || of_namespace || has(selector, &SUBJECTS, |_| true);
    declared.any(|series| name.starts_with(&series.name)) && is_of_exporter
}

/// The selectors of an object's rules that read more than its own series.
fn unbounded(monitored: &Monitored) -> Vec<String> {
    let rules = rules(monitored).into_iter();
    let selectors = rules.flat_map(|rule| {
        let name = rule.record.or(rule.alert).unwrap_or_default();
        selectors_of(&rule.expr).into_iter().map(move |selector| (name.clone(), selector))
    });
    selectors.filter(|(_, of)| !is_bounded(of, monitored)).map(|(name, of)| format!("{name}: {of}")).collect()
}

fn front(of: &str) -> Front {
    serde_json::from_value(json!({ of: {} })).expect("a front")
}

#[test]
fn no_rule_of_servers_reads_the_series_of_other_objects() {
    let (resources, front) = (scaling::half_a_core(), front("istio"));
    for profile in profiles::all() {
        let scaled = scaling::scaled(profile, &resources);
        let classic = Monitored { servers: Servers { front: Some(&front), ..scaled.servers }, ..scaled };
        let native = Monitored { metrics: Metrics { reads_native: true, ..classic.metrics }, ..classic };
        for monitored in [classic, native] {
            assert_eq!(unbounded(&monitored), Vec::<String>::new(), "{profile:?}");
        }
    }
}

#[test]
fn no_rule_of_dependencies_reads_the_series_of_other_objects() {
    let (resources, front, objectives) = (scaling::half_a_core(), front("ingressNginx"), objectives::some());
    // Labels of a target, labels that all targets of a cluster have, and none.
    for labels in [&[("job", "data"), ("cluster", "main")][..], &[("cluster", "main")], &[]] {
        let mut dependencies = everything(labels);
        // Without labels, what has a lag is selected by its names, in all series of its exporters.
        dependencies.retain(|of| !labels.is_empty() || of.exporter.is_some());
        let workers = consumers(&dependencies);
        let monitored = Monitored { workers: &workers, ..whole(&dependencies, &front, &resources, &objectives) };
        assert_eq!(unbounded(&monitored), Vec::<String>::new(), "{labels:?}");
    }
}
