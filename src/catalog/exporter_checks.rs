//! The templates of exporters: what they may contain, and whether they are about one object.

use std::{collections::BTreeMap, time::Duration};

use super::{
    exporter::{Parts, Sum, Text},
    load::Refused,
    promql,
    series::{Declarations, UP, most_similar},
    template,
};
use crate::series::{PREFIX, Series};

/// Values of every kind, with an example of each. `labels` are the matchers of the spec, which follow after a comma; `matchers` are
/// the same without the comma. `target` are matchers for `up`, never none of them.
const COMMON: [(&str, &str); 6] = [
    ("labels", ""),
    ("matchers", ""),
    ("target", r#"namespace="n""#),
    ("namespace", r#""n""#),
    ("recommender", r#""r""#),
    ("window", "2m"),
];

/// The values by which each kind selects the messages of an object: its lag has a matcher with each.
const OF_LAG: [(&str, &[&str]); 5] = [
    ("kafka", &["group", "topics"]),
    ("rabbitmq", &["queues"]),
    ("rq", &["queues"]),
    ("redisList", &["keys"]),
    ("flink", &["job"]),
];
/// The values that are regular expressions for any of several names.
const NAMES: [&str; 5] = ["topics", "queues", "keys", "only", "some"];
/// The label by which a check recognises that a selector had the matchers of an object.
const MARKER: &str = "matcher_of_the_object";
/// Where the matchers of an object stand.
const PLACES: &str =
    "write {@matchers} alone in the braces, or @labels behind another matcher, as in {state=\"ready\"@labels}";

/// What the templates of a file are checked against.
pub struct Checks<'a> {
    /// The series that it declares.
    pub series: &'a Declarations,
    /// Its terms.
    pub terms: &'a BTreeMap<String, String>,
    /// Its kind of dependency.
    pub kind: &'a str,
    /// The values of that kind, with an example of each.
    pub values: &'static [(&'static str, &'static str)],
}

impl Checks<'_> {
    fn examples(&self) -> impl Iterator<Item = &(&'static str, &'static str)> {
        self.values.iter().chain(&COMMON)
    }

    /// Fails if a template contains the name of nothing.
    pub fn names(&self, field: &str, text: &Text) -> Result<(), Refused> {
        let is_known = |name: &&str| self.terms.contains_key(*name) || self.examples().any(|(value, _)| value == name);
        let Some(unknown) = template::names(&text.value).find(|name| !is_known(name)) else { return Ok(()) };
        let why = template::modifier(unknown).unwrap_or_else(|| {
            let values: Vec<String> = self.examples().map(|(name, _)| format!("@{name}")).collect();
            format!("@{unknown} is neither a term nor a value of {}: {}", self.kind, values.join(", "))
        });
        Err(Refused::at(text, format!("{field}: {why}")))
    }

    /// A template with its terms, a value that no selector has by accident for each text of the object, and these matchers of it.
    fn filled(&self, template: &str, matchers: &str) -> String {
        let value = |(name, example): &(&'static str, &'static str)| {
            let value = match *name {
                "labels" if !matchers.is_empty() => format!(",{matchers}"),
                "matchers" => matchers.into(),
                "target" if !matchers.is_empty() => format!("{},{matchers}", example_of("namespace", "namespace")),
                "target" => example_of("namespace", "namespace"),
                _ if example.starts_with('"') => format!("\"{}\"", example_value(name)),
                _ => (*example).to_owned(),
            };
            (*name, value)
        };
        template::fill(template, self.terms, &self.examples().map(value).collect())
    }

    /// Checks a template without and with matchers of the object, and as it stands in a rule. Returns it with them.
    pub fn parse(&self, field: &str, text: &Text, embedded: Embedded) -> Result<promql::Expression, Refused> {
        self.names(field, text)?;
        let refuse = |reason: String| Refused::at(text, format!("{field}: {reason}, in {}", text.value));
        let without = self.filled(&text.value, "");
        let with = self.filled(&text.value, &format!("{MARKER}=\"x\""));
        let expression = match (promql::parse(&without), promql::parse(&with)) {
            (Ok(expression), Ok(_)) => expression,
            (Err(why), Err(_)) => return Err(refuse(why)),
            (Err(why), Ok(_)) => return Err(refuse(format!("for an object without matchLabels, {why}: {PLACES}"))),
            (Ok(_), Err(why)) => return Err(refuse(format!("with the matchLabels of an object, {why}: {PLACES}"))),
        };
        for filled in [without, with.clone()] {
            let rule = match embedded {
                Embedded::Value => format!("({filled}) >= 0"),
                Embedded::Range if expression.is_selector => format!("deriv({filled}[2m])"),
                Embedded::Range => continue,
            };
            promql::tree(&rule).map_err(|why| {
                refuse(format!("in a rule, {why}: what stands behind it must be free, so write comments as those of YAML, and no offset"))
            })?;
        }
        self.series.check_uses(&expression).map_err(refuse)?;
        self.series.check_numbers(&expression).map_err(refuse)?;
        if expression.selectors.iter().any(|of| of.name == UP && of.labels.is_empty()) {
            return Err(refuse(
                "up without matchers is that of every target of a Prometheus: write up{@target}".into(),
            ));
        }
        let expression = promql::parse(&with).map_err(refuse)?;
        if let Some((function, range)) = expression.shortest_change.as_ref().filter(|(_, range)| *range < LEAST_RANGE) {
            return Err(refuse(format!(
                "{function} over {} s may have fewer than two scrapes of an exporter that is scraped every 30 s: write [@window]",
                range.as_secs_f64()
            )));
        }
        check_selectors(&expression).map_err(refuse)?;
        Ok(expression)
    }

    /// The canonical series that a template is of.
    pub fn record(&self, name: &str, text: &Text) -> Result<Series, Refused> {
        let expression = self.parse(&format!("records.{name}"), text, Embedded::Value)?;
        let known = || Series::of_exporters().map(|series| (series, series.short_name()));
        let Some((series, _)) = known().find(|(_, known)| *known == name) else {
            if let Some(short) = name.strip_prefix(PREFIX) {
                return Err(Refused::at(text, format!("records: write {name} without its begin, as {short}")));
            }
            let nearest = most_similar(name, known().map(|(_, known)| known)).unwrap_or_default();
            let reason =
                format!("records: {name} is no canonical series of dependencies; the most similar one is {nearest}");
            return Err(Refused::at(text, reason));
        };
        if series == Series::DependencyUp && expression.is_rest {
            let reason = format!(
                "records.{name}: what the comparison is false for is left out, so it is never 0, and the dependency never down: compare with \
                 bool, as in == bool 1"
            );
            return Err(Refused::at(text, reason));
        }
        let Some(labels) = expression.labels else {
            let reason =
                format!("records.{name}: it has the labels of the exporter's series: aggregate it, as in max(...)");
            return Err(Refused::at(text, reason));
        };
        if let Some(label) = labels.iter().find(|label| !series.labels().contains(&label.as_str())) {
            let known = match series.labels() {
                [] => "it has none".into(),
                known => format!("it has {}", known.join(" and ")),
            };
            let reason = format!("records.{name}: {label} is no label of this series; {known}: aggregate without it");
            return Err(Refused::at(text, reason));
        }
        Ok(series)
    }

    /// A sum over the parts of a dependency. Fails if it is none.
    pub fn sum(&self, field: &str, sum: &Sum<Text>, parts: &Parts<Text>) -> Result<promql::Expression, Refused> {
        let text = sum.text();
        let embedded = if matches!(sum, Sum::Offsets(_)) { Embedded::Range } else { Embedded::Value };
        let expression = self.parse(field, text, embedded)?;
        if matches!(sum, Sum::Total(_)) && expression.labels.as_ref().is_none_or(|labels| !labels.is_empty()) {
            let reason = format!(
                "{field}: a total is one value without labels: aggregate it, as in sum(...), in {}",
                text.value
            );
            return Err(Refused::at(text, reason));
        }
        if !matches!(sum, Sum::Total(_)) && matches!(parts, Parts::Unknown | Parts::Total(_)) {
            let reason =
                format!("{field}: how many parts there are is not known, so this would never be complete: use total");
            return Err(Refused::at(text, reason));
        }
        let has_offsets = |name: &str| {
            let found = self.series.find(name);
            found.is_some_and(|of| of.has("topic") && of.has("partition"))
        };
        let is_offset = expression.is_selector && expression.selectors.iter().all(|of| has_offsets(&of.name));
        if matches!(sum, Sum::Offsets(_)) && !is_offset {
            let reason = format!("{field}: offsets need one selector of a series with the labels topic and partition");
            return Err(Refused::at(text, reason));
        }
        Ok(expression)
    }

    /// Fails if the lag is not that of what the spec names, or if a series of another sum is not that which has a label for it.
    pub fn check_parts(&self, all: &[(&str, &Text, promql::Expression)]) -> Result<(), Refused> {
        let Some((_, values)) = OF_LAG.iter().find(|(kind, _)| *kind == self.kind) else { return Ok(()) };
        for value in *values {
            let example = example_value(value);
            let of_value =
                |of: &promql::Used| of.values.iter().position(|(of, _)| *of == example).map(|at| of.labels[at].clone());
            let labels =
                |expression: &promql::Expression| expression.selectors.iter().filter_map(of_value).collect::<Vec<_>>();
            let lag = all.iter().find(|(field, ..)| *field == "lag");
            if let Some((_, text, _)) = lag.filter(|(.., lag)| labels(lag).is_empty()) {
                let reason = format!("lag: it is not that of the object: no selector has @{value}, in {}", text.value);
                return Err(Refused::at(text, reason));
            }
            let known: Vec<String> = all.iter().flat_map(|(.., expression)| labels(expression)).collect();
            for (field, text, expression) in all {
                let lacks = |of: &&promql::Used, label: &String| {
                    !of.labels.contains(label)
                        && self
                            .series
                            .find(&of.name)
                            .and_then(|of| of.declared)
                            .is_some_and(|of| of.labels.contains(label))
                };
                let lacking = known
                    .iter()
                    .find_map(|label| Some((label, expression.selectors.iter().find(|of| lacks(of, label))?)));
                if let Some((label, of)) = lacking {
                    let reason = format!(
                        "{field}: {} has the label {label} and is not selected by it, so it counts those of others as well: write a \
                         matcher with @{value}, in {}",
                        of.name, text.value
                    );
                    return Err(Refused::at(text, reason));
                }
            }
        }
        Ok(())
    }
}

/// Least range of a change over time, which scrapes every 30 s, a common interval of exporters, fill with two samples.
const LEAST_RANGE: Duration = Duration::from_secs(60);

/// What stands around a template in a rule.
#[derive(Clone, Copy)]
pub enum Embedded {
    /// A comparison.
    Value,
    /// The brackets of a range.
    Range,
}

/// What a value of an object is in a check.
fn example_value(name: &str) -> String {
    format!("the {name} of the object")
}

fn example_of(label: &str, name: &str) -> String {
    format!("{label}=\"{}\"", example_value(name))
}

/// Fails unless the selectors of an expression are those of one object. It is filled in with [`MARKER`].
fn check_selectors(expression: &promql::Expression) -> Result<(), String> {
    if expression.selectors.is_empty() {
        return Err("it reads no series, so its value says nothing".into());
    }
    for of in &expression.selectors {
        let name = &of.name;
        let matchers = || of.labels.iter().zip(&of.values);
        for label in ["namespace", "recommender"] {
            let other = matchers().find(|(of, (value, is_equal))| {
                *of == label && *is_equal && !value.is_empty() && *value != example_value(label)
            });
            if let Some((_, (value, _))) = other {
                return Err(format!(
                    "{label}={value:?} of {name} would be that of every object, beside the one that an object adds: remove it, so that \
                     matchLabels select, or write {label}=@{label}"
                ));
            }
        }
        let of_names = |value: &str| NAMES.into_iter().find(|names| example_value(names) == value);
        if let Some((label, names)) = matchers()
            .filter(|(_, (_, is_equal))| *is_equal)
            .find_map(|(label, (value, _))| Some((label, of_names(value)?)))
        {
            return Err(format!(
                "@{names} is a regular expression, so {label} of {name} would equal none of several: write {label}=~@{names}"
            ));
        }
        if !of.labels.iter().any(|label| label == MARKER) {
            let at = if name == UP { "up{@target}".into() } else { format!("{name}{{@matchers}}") };
            return Err(format!(
                "{name} is not limited by the matchLabels of an object: write {at}, or @labels behind other matchers"
            ));
        }
    }
    Ok(())
}
