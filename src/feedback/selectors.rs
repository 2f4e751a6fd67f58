//! Why no Prometheus of prometheus-operator selects an object of ours: its selectors against the labels of the object. Namespaces
//! are not read, so of their labels only the one is known that every namespace has.

use std::collections::BTreeMap;

use k8s_openapi::apimachinery::pkg::apis::meta::v1::LabelSelector;
use kube::ResourceExt;

use crate::{
    api::monitoring_coreos::{Prometheus, PrometheusSpec},
    kinds::Kind,
};

/// The label that every namespace has, with its name.
const NAMESPACE_NAME: &str = "kubernetes.io/metadata.name";

/// An object that is not loaded.
#[derive(Clone, Copy, Debug)]
pub struct Unloaded<'a> {
    /// Its kind.
    pub kind: Kind,
    /// Its labels.
    pub labels: &'a BTreeMap<String, String>,
}

/// Why an object is not selected, and the remedy.
#[derive(Clone, Debug, PartialEq)]
struct Obstacle {
    /// What is selected, as text to follow the kind.
    selected: String,
    remedy: String,
}

/// Why these objects of a namespace are not selected, and the remedy, by the Prometheus that lacks least. None without any
/// Prometheus. `source`: name of the metric source.
pub fn explain(servers: &[Prometheus], unloaded: &[Unloaded<'_>], namespace: &str, source: &str) -> Option<String> {
    let obstacles = |server: &Prometheus| -> Vec<(Kind, Obstacle)> {
        let of = |&Unloaded { kind, labels }| {
            self::obstacles(server, Unloaded { kind, labels }, namespace).into_iter().map(move |of| (kind, of))
        };
        unloaded.iter().flat_map(of).collect()
    };
    let server =
        servers.iter().min_by_key(|server| (obstacles(server).len(), server.namespace(), server.name_any()))?;
    let name = format!("Prometheus {}/{}", server.namespace().unwrap_or_default(), server.name_any());
    if server.spec.paused {
        return Some(format!("{name} is paused: set its spec.paused to false"));
    }
    let found = obstacles(server);
    if found.is_empty() {
        return Some(format!(
            "{name} selects it: check that prometheus-operator runs and accepts it (its log), and that metric source {source:?} of \
             the operator reads this Prometheus"
        ));
    }
    let mut sentences: Vec<(Obstacle, Vec<Kind>)> = Vec::new();
    for (kind, obstacle) in found {
        match sentences.iter_mut().find(|(known, _)| *known == obstacle) {
            Some((_, kinds)) if kinds.contains(&kind) => {}
            Some((_, kinds)) => kinds.push(kind),
            None => sentences.push((obstacle, vec![kind])),
        }
    }
    let sentences = sentences.into_iter().map(|(Obstacle { selected, remedy }, kinds)| {
        let kinds: Vec<String> = kinds.into_iter().map(|kind| format!("{}s", kind.as_str())).collect();
        format!("{name} selects {} {selected}: {remedy}", kinds.join(" and "))
    });
    Some(sentences.collect::<Vec<_>>().join("; "))
}

/// A selector of objects, that of their namespaces, and the beginning of the names of both fields.
fn selectors(spec: &PrometheusSpec, kind: Kind) -> (Option<&LabelSelector>, Option<&LabelSelector>, &'static str) {
    match kind {
        Kind::ServiceMonitor => {
            (spec.service_monitor_selector.as_ref(), spec.service_monitor_namespace_selector.as_ref(), "serviceMonitor")
        }
        Kind::PodMonitor => {
            (spec.pod_monitor_selector.as_ref(), spec.pod_monitor_namespace_selector.as_ref(), "podMonitor")
        }
        Kind::Probe => (spec.probe_selector.as_ref(), spec.probe_namespace_selector.as_ref(), "probe"),
        _ => (spec.rule_selector.as_ref(), spec.rule_namespace_selector.as_ref(), "rule"),
    }
}

fn obstacles(server: &Prometheus, object: Unloaded<'_>, namespace: &str) -> Vec<Obstacle> {
    let (objects, namespaces, field) = selectors(&server.spec, object.kind);
    let mut obstacles = Vec::new();
    match objects {
        None => obstacles.push(Obstacle {
            selected: "by no label, which is none of them".into(),
            remedy: format!("set its spec.{field}Selector to {{}}"),
        }),
        Some(selector) => {
            let unmet = requirements(selector).into_iter().filter(|of| !of.is_met(object.labels));
            obstacles
                .extend(unmet.map(|of| Obstacle { selected: format!("with {}", of.text()), remedy: of.remedy(field) }));
        }
    }
    match namespaces {
        None if server.namespace().as_deref() == Some(namespace) => {}
        None => obstacles.push(Obstacle {
            selected: "of its own namespace".into(),
            remedy: format!("set its spec.{field}NamespaceSelector to {{}}"),
        }),
        Some(selector) => {
            let known = BTreeMap::from([(NAMESPACE_NAME.to_owned(), namespace.to_owned())]);
            let unmet = requirements(selector).into_iter().filter(|of| !of.is_met(&known));
            obstacles.extend(unmet.filter(|of| of.key == NAMESPACE_NAME || !of.is_met_without()).map(|of| Obstacle {
                selected: format!("of namespaces with {}", of.text()),
                remedy: of.namespace_remedy(namespace, field),
            }));
        }
    }
    obstacles
}

/// One requirement of a selector.
struct Requirement {
    key: String,
    operator: Operator,
    values: Vec<String>,
}

#[derive(Clone, Copy, PartialEq)]
enum Operator {
    In,
    NotIn,
    Exists,
    DoesNotExist,
}

fn requirements(selector: &LabelSelector) -> Vec<Requirement> {
    let labels = selector.match_labels.iter().flatten();
    let labels = labels.map(|(key, value)| Requirement {
        key: key.clone(),
        operator: Operator::In,
        values: vec![value.clone()],
    });
    let expressions = selector.match_expressions.iter().flatten().map(|of| Requirement {
        key: of.key.clone(),
        operator: match of.operator.as_str() {
            "NotIn" => Operator::NotIn,
            "Exists" => Operator::Exists,
            "DoesNotExist" => Operator::DoesNotExist,
            _ => Operator::In,
        },
        values: of.values.clone().unwrap_or_default(),
    });
    labels.chain(expressions).collect()
}

impl Requirement {
    fn is_met(&self, labels: &BTreeMap<String, String>) -> bool {
        let value = labels.get(&self.key);
        match self.operator {
            Operator::In => value.is_some_and(|value| self.values.contains(value)),
            Operator::NotIn => value.is_none_or(|value| !self.values.contains(value)),
            Operator::Exists => value.is_some(),
            Operator::DoesNotExist => value.is_none(),
        }
    }

    /// Whether an object without the label meets it.
    fn is_met_without(&self) -> bool {
        self.is_met(&BTreeMap::new())
    }

    fn text(&self) -> String {
        let (key, values) = (&self.key, self.values.join(", "));
        match self.operator {
            Operator::In if self.values.len() == 1 => format!("{key}={values}"),
            Operator::In => format!("{key} in ({values})"),
            Operator::NotIn => format!("{key} not in ({values})"),
            Operator::Exists => format!("a label {key}"),
            Operator::DoesNotExist => format!("no label {key}"),
        }
    }

    /// What to change so that our objects meet it. `field`: the beginning of the selector's name.
    fn remedy(&self, field: &str) -> String {
        let key = &self.key;
        if key.contains("recommender.dev/") || key.starts_with("app.kubernetes.io/") {
            return format!("remove {key} from its spec.{field}Selector, because the operator sets this label itself");
        }
        let is_plain = key.chars().all(|c| c.is_ascii_alphanumeric() || c == '_' || c == '-');
        let key =
            if is_plain { format!("spec.monitoring.labels.{key}") } else { format!("spec.monitoring.labels[{key:?}]") };
        match self.operator {
            Operator::In | Operator::Exists => match self.values.first() {
                Some(value) => format!("set {key} to {value:?}"),
                None => format!("set {key}"),
            },
            Operator::NotIn | Operator::DoesNotExist => format!("remove {key}"),
        }
    }

    /// What to change so that a namespace meets it.
    fn namespace_remedy(&self, namespace: &str, field: &str) -> String {
        let key = &self.key;
        let label = match (self.operator, self.values.first()) {
            _ if key == NAMESPACE_NAME => {
                return format!("add {namespace} to its spec.{field}NamespaceSelector");
            }
            (Operator::In, Some(value)) => format!("{key}={value}"),
            (Operator::Exists, _) => format!("{key}="),
            _ => format!("{key}-"),
        };
        format!("if this one has not, run kubectl label namespace {namespace} {label}")
    }
}

#[cfg(test)]
mod tests {
    use serde_json::{Value, json};

    use super::*;

    fn server(name: &str, spec: Value) -> Prometheus {
        let object = json!({"apiVersion": "monitoring.coreos.com/v1", "kind": "Prometheus",
            "metadata": {"name": name, "namespace": "monitoring"}, "spec": spec});
        serde_json::from_value(object).expect("a Prometheus")
    }

    /// What is reported of a PrometheusRule and a ServiceMonitor with the label team=search.
    fn explained(servers: &[Prometheus]) -> Option<String> {
        let labels = BTreeMap::from([("team".to_owned(), "search".to_owned())]);
        let unloaded = [Kind::PrometheusRule, Kind::ServiceMonitor].map(|kind| Unloaded { kind, labels: &labels });
        explain(servers, &unloaded, "shop", "default")
    }

    /// A Prometheus that selects all ServiceMonitors, and PrometheusRules like this.
    fn rules(selector: Value, namespaces: Value) -> Prometheus {
        let spec = json!({"ruleSelector": selector, "ruleNamespaceSelector": namespaces,
            "serviceMonitorSelector": {}, "serviceMonitorNamespaceSelector": {}});
        server("k8s", spec)
    }

    #[test]
    fn each_selector_is_explained_with_its_remedy() {
        let expression = |key: &str, operator: &str, values: Value| json!({"matchExpressions": [{"key": key, "operator": operator, "values": values}]});
        let labels = |key: &str, value: &str| json!({"matchLabels": {key: value}});
        for (selector, namespaces, expected) in [
            (labels("release", "x"), json!({}), r#"with release=x: set spec.monitoring.labels.release to "x""#),
            (labels("a.b/c", "x"), json!({}), r#"with a.b/c=x: set spec.monitoring.labels["a.b/c"] to "x""#),
            (
                labels("app.kubernetes.io/part-of", "x"),
                json!({}),
                "with app.kubernetes.io/part-of=x: remove app.kubernetes.io/part-of from its spec.ruleSelector, because the operator \
                 sets this label itself",
            ),
            (
                expression("team", "In", json!(["ads", "feed"])),
                json!({}),
                r#"with team in (ads, feed): set spec.monitoring.labels.team to "ads""#,
            ),
            (expression("tier", "Exists", json!([])), json!({}), "with a label tier: set spec.monitoring.labels.tier"),
            (
                expression("team", "NotIn", json!(["search"])),
                json!({}),
                "with team not in (search): remove spec.monitoring.labels.team",
            ),
            (
                expression("team", "DoesNotExist", json!([])),
                json!({}),
                "with no label team: remove spec.monitoring.labels.team",
            ),
            (Value::Null, json!({}), "by no label, which is none of them: set its spec.ruleSelector to {}"),
            (json!({}), Value::Null, "of its own namespace: set its spec.ruleNamespaceSelector to {}"),
            (
                json!({}),
                labels("monitored", "yes"),
                "of namespaces with monitored=yes: if this one has not, run kubectl label namespace shop monitored=yes",
            ),
            (
                json!({}),
                labels(NAMESPACE_NAME, "ops"),
                "of namespaces with kubernetes.io/metadata.name=ops: add shop to its spec.ruleNamespaceSelector",
            ),
        ] {
            let expected = format!("Prometheus monitoring/k8s selects PrometheusRules {expected}");
            assert_eq!(explained(&[rules(selector, namespaces)]).as_deref(), Some(expected.as_str()));
        }
    }

    #[test]
    fn a_requirement_of_several_kinds_is_stated_once() {
        let spec = json!({"ruleSelector": {"matchLabels": {"release": "x"}}, "ruleNamespaceSelector": {},
            "serviceMonitorSelector": {"matchLabels": {"release": "x"}}, "serviceMonitorNamespaceSelector": {}});
        let expected = "Prometheus monitoring/k8s selects PrometheusRules and ServiceMonitors with release=x: set \
                        spec.monitoring.labels.release to \"x\"";
        assert_eq!(explained(&[server("k8s", spec)]).as_deref(), Some(expected));
    }

    #[test]
    fn the_prometheus_that_lacks_least_counts() {
        let none = server("all", json!({}));
        let near = rules(json!({"matchLabels": {"release": "x"}}), json!({}));
        let text = explained(&[none, near]).expect("a reason");
        assert!(text.starts_with("Prometheus monitoring/k8s selects PrometheusRules with release=x"), "{text}");
        assert_eq!(explained(&[]), None);

        let met = rules(json!({"matchLabels": {"team": "search"}}), json!({"matchLabels": {NAMESPACE_NAME: "shop"}}));
        let text = explained(&[met]).expect("a reason");
        assert!(text.contains("monitoring/k8s selects it: check that prometheus-operator runs"), "{text}");
        let paused = server("k8s", json!({"paused": true}));
        let expected = "Prometheus monitoring/k8s is paused: set its spec.paused to false";
        assert_eq!(explained(&[paused]).as_deref(), Some(expected));
    }
}
