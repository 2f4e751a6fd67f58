//! Declarations of series, and what their names stand for.

use std::{cmp::Reverse, collections::BTreeSet};

use serde::Deserialize;
use serde_saphyr::Spanned;

use super::{load::Refused, promql};
use crate::series::PREFIX;

/// Labels of a target, which Prometheus and the scrape objects add to every series.
pub const TARGET_LABELS: [&str; 9] =
    ["namespace", "pod", "container", "endpoint", "service", "job", "instance", "recommender", "workload"];
/// The series that Prometheus itself writes about every target.
pub const UP: &str = "up";

/// A series that a server or an exporter exposes.
#[derive(Clone, Debug, PartialEq, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Declared {
    /// Its name; that of a histogram or a summary without `_bucket`, `_sum` and `_count`.
    pub name: String,
    /// Its type.
    #[serde(rename = "type")]
    pub type_: Type,
    /// What its values are.
    pub unit: Unit,
    /// Its labels, without `le` and `quantile`.
    #[serde(default)]
    pub labels: Vec<String>,
    /// Upper bounds of a histogram's buckets in its unit, without `+Inf`.
    #[serde(default)]
    pub buckets: Vec<f64>,
    /// Whether it is a histogram that exists as a native one only, under its plain name and without declared buckets.
    #[serde(default)]
    pub native: bool,
}

impl Declared {
    /// Whether the series of this name, which is it or a part of it, only ever increases, and the label that its type adds. `None` if
    /// it is another series.
    fn part(&self, name: &str) -> Option<(bool, Option<&'static str>)> {
        Some(match (self.type_, name.strip_prefix(self.name.as_str())?) {
            (Type::Histogram, "") if self.native => (true, None),
            (Type::Histogram, _) if self.native => return None,
            (Type::Counter, "") | (Type::Histogram | Type::Summary, "_sum" | "_count") => (true, None),
            (Type::Gauge, "") => (false, None),
            (Type::Summary, "") => (false, Some("quantile")),
            (Type::Histogram, "_bucket") => (true, Some("le")),
            _ => return None,
        })
    }

    /// Whether the series of this name is it or a part of it, and only ever increases.
    pub fn is_counter(&self, name: &str) -> bool {
        self.part(name).is_some_and(|(is_counter, _)| is_counter)
    }
}

/// Type of a series.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum Type {
    /// Only ever increases, but for restarts.
    Counter,
    /// Any value.
    Gauge,
    /// Counters by upper bound.
    Histogram,
    /// Sum and count, and quantiles if the program computes them.
    Summary,
}

/// Unit of a series.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Deserialize)]
#[serde(rename_all = "lowercase")]
#[allow(missing_docs, reason = "the names are those of the units")]
pub enum Unit {
    Seconds,
    Milliseconds,
    Microseconds,
    Bytes,
    Requests,
    Messages,
    Partitions,
    Jobs,
    Workers,
    /// Anything that has no unit: a ratio, 0 or 1, information in labels.
    One,
}

impl Unit {
    /// As files state it.
    pub const fn as_str(self) -> &'static str {
        match self {
            Self::Seconds => "seconds",
            Self::Milliseconds => "milliseconds",
            Self::Microseconds => "microseconds",
            Self::Bytes => "bytes",
            Self::Requests => "requests",
            Self::Messages => "messages",
            Self::Partitions => "partitions",
            Self::Jobs => "jobs",
            Self::Workers => "workers",
            Self::One => "one",
        }
    }

    /// How many are one second; `None` of a unit that is not of time.
    pub const fn per_second(self) -> Option<u32> {
        match self {
            Self::Seconds => Some(1),
            Self::Milliseconds => Some(1_000),
            Self::Microseconds => Some(1_000_000),
            _ => None,
        }
    }
}

/// Ends of names that state a unit.
const SUFFIXES: [(&str, Unit); 7] = [
    ("_milliseconds", Unit::Milliseconds),
    ("_ms", Unit::Milliseconds),
    ("_microseconds", Unit::Microseconds),
    ("_us", Unit::Microseconds),
    ("_seconds", Unit::Seconds),
    ("_secs", Unit::Seconds),
    ("_bytes", Unit::Bytes),
];

/// The declarations of a file.
pub struct Declarations(Vec<Declared>);

/// A series by the name that expressions use.
pub struct Found<'a> {
    /// Its declaration; `None` of `up`.
    pub declared: Option<&'a Declared>,
    /// Whether its values only ever increase.
    pub is_counter: bool,
    /// The label that its type adds.
    added: Option<&'static str>,
}

impl Found<'_> {
    /// Whether its selectors may have this label.
    pub fn has(&self, label: &str) -> bool {
        let declared = self.declared.is_some_and(|series| series.labels.iter().any(|of| of == label));
        declared || self.added == Some(label) || TARGET_LABELS.contains(&label)
    }
}

impl Declarations {
    /// Checks the declarations of a file.
    pub fn new(series: Vec<Spanned<Declared>>) -> Result<Self, Refused> {
        let mut names = BTreeSet::new();
        for of in &series {
            check(&of.value).map_err(|reason| Refused::at(of, format!("{}: {reason}", of.value.name)))?;
            if !names.insert(of.value.name.as_str()) {
                return Err(Refused::at(of, format!("{} is declared twice: remove one of them", of.value.name)));
            }
        }
        for of in &series {
            let name = of.value.name.as_str();
            let whole =
                series.iter().map(|other| &other.value).find(|other| other.name != name && other.part(name).is_some());
            if let Some(whole) = whole {
                let reason =
                    format!("{name} is a part of {}, which is declared as well: remove one of them", whole.name);
                return Err(Refused::at(of, reason));
            }
        }
        Ok(Self(series.into_iter().map(|of| of.value).collect()))
    }

    /// The declarations, in their order.
    pub fn into_vec(self) -> Vec<Declared> {
        self.0
    }

    /// The series of this name.
    pub fn find(&self, name: &str) -> Option<Found<'_>> {
        if name == UP {
            return Some(Found { declared: None, is_counter: false, added: None });
        }
        self.0.iter().find_map(|declared| {
            let (is_counter, added) = declared.part(name)?;
            Some(Found { declared: Some(declared), is_counter, added })
        })
    }

    /// The histogram or the summary of this name.
    pub fn composite(&self, name: &str) -> Option<&Declared> {
        let is_composite = |of: &&Declared| matches!(of.type_, Type::Histogram | Type::Summary);
        self.0.iter().find(|of| of.name == name).filter(is_composite)
    }

    /// The native histogram of this name.
    pub fn native(&self, name: &str) -> Option<&Declared> {
        self.0.iter().find(|of| of.native && of.name == name)
    }

    /// The series of this name, or why there is none.
    pub fn get(&self, name: &str) -> Result<Found<'_>, String> {
        self.find(name).ok_or_else(|| {
            if let Some((base, end)) = promql::histogram_part(name).filter(|(base, _)| self.native(base).is_some()) {
                return format!("{base} is native, so there is no {base}{end}: write {base}");
            }
            if self.composite(name).is_some() {
                return format!(
                    "{name} is a histogram, which is no series itself: write {name}_count for how many there were, or {name}_sum for \
                     their sum"
                );
            }
            let nearest = most_similar(name, self.0.iter().map(|of| of.name.as_str()));
            let nearest = nearest.map(|known| format!("; the most similar one is {known}")).unwrap_or_default();
            format!("{name} is not declared: add it to series, with _bucket, _sum or _count of a histogram left out{nearest}")
        })
    }

    /// Fails if the result of an expression has native histograms, which no rule may record.
    pub fn check_numbers(&self, expression: &promql::Expression) -> Result<(), String> {
        let native = expression.selectors.iter().find(|of| !of.is_number && self.native(&of.name).is_some());
        native.map_or(Ok(()), |of| {
            Err(format!(
                "{} is a native histogram, and a rule needs a number: write histogram_quantile, histogram_count, histogram_sum or \
                 histogram_fraction around it",
                of.name
            ))
        })
    }

    /// Fails if an expression uses a series or a label that is not declared, or the rate of a gauge.
    pub fn check_uses(&self, expression: &promql::Expression) -> Result<(), String> {
        let mut labels: BTreeSet<&str> = expression.created.iter().map(String::as_str).collect();
        for selector in &expression.selectors {
            let found = self.get(&selector.name)?;
            if let Some(label) = selector.labels.iter().find(|label| !found.has(label)) {
                return Err(format!(
                    "{} has no label {label}: add it to its labels, or remove the matcher",
                    selector.name
                ));
            }
            if selector.is_rate && !found.is_counter {
                return Err(format!(
                    "{} is a gauge, whose rate has no meaning: use deriv, or declare a counter",
                    selector.name
                ));
            }
            if selector.is_of_gauges && found.is_counter {
                return Err(format!(
                    "{} is a counter, of which delta, deriv and alike are wrong when it starts again: use rate or increase, or declare \
                     a gauge",
                    selector.name
                ));
            }
            labels.extend(found.added);
            labels.extend(found.declared.into_iter().flat_map(|series| &series.labels).map(String::as_str));
        }
        let unknown =
            expression.grouped.iter().find(|of| !labels.contains(of.as_str()) && !TARGET_LABELS.contains(&of.as_str()));
        unknown.map_or(Ok(()), |label| Err(format!("no series of the expression has the label {label}")))
    }
}

/// Of several names the one that is most like another, and of two the shorter one.
pub fn most_similar<'a>(name: &str, known: impl IntoIterator<Item = &'a str>) -> Option<&'a str> {
    known.into_iter().max_by_key(|known| (similarity(known, name), Reverse(known.len())))
}

/// Whether two names share so much that one may be meant by the other: half of the longer one.
pub fn is_like(a: &str, b: &str) -> bool {
    2 * similarity(a, b) >= a.chars().count().max(b.chars().count())
}

/// How many characters two names share at their begin and at their end, in upper or lower case.
fn similarity(a: &str, b: &str) -> usize {
    let is_same = |(a, b): &(char, char)| a.eq_ignore_ascii_case(b);
    let begin = a.chars().zip(b.chars()).take_while(is_same).count();
    begin + a.chars().rev().zip(b.chars().rev()).take_while(is_same).count()
}

fn check(series: &Declared) -> Result<(), String> {
    if !promql::is_metric_name(&series.name) {
        return Err("it is no name of Prometheus: write letters, digits, _ and :, with no digit at the begin".into());
    }
    if series.name.starts_with(PREFIX) {
        return Err(format!(
            "the rules of objects record what begins with {PREFIX}: name what the program itself exposes"
        ));
    }
    for label in &series.labels {
        if label.starts_with("__") {
            return Err(format!("{label} is not stored: Prometheus drops labels that begin with __: remove it"));
        }
        if !promql::is_label_name(label) {
            return Err(format!(
                "{label:?} is not a label of Prometheus: write letters, digits and _, with no digit at the begin"
            ));
        }
        let added = match series.type_ {
            Type::Histogram => Some("le"),
            Type::Summary => Some("quantile"),
            Type::Counter | Type::Gauge => None,
        };
        if added == Some(label.as_str()) {
            return Err(format!("{label} is a label that the type adds: remove it"));
        }
    }
    let base = series.name.strip_suffix("_total").unwrap_or(&series.name);
    let stated = SUFFIXES.iter().find(|(suffix, _)| base.ends_with(suffix)).map(|(_, unit)| *unit);
    if let Some(unit) = stated.filter(|unit| *unit != series.unit) {
        return Err(format!(
            "its name ends with the unit {}, its unit is {}: correct one of them",
            unit.as_str(),
            series.unit.as_str()
        ));
    }
    check_buckets(series)
}

fn check_buckets(series: &Declared) -> Result<(), String> {
    let buckets = &series.buckets;
    if series.type_ != Type::Histogram {
        if series.native {
            return Err("only a histogram is native: remove native".into());
        }
        return buckets.is_empty().then_some(()).ok_or_else(|| "only a histogram has buckets: remove them".into());
    }
    if series.native {
        return buckets.is_empty().then_some(()).ok_or_else(|| {
            "the buckets of a native histogram are not known before: remove them, or remove native if it is converted from a classic one"
                .into()
        });
    }
    if buckets.is_empty() {
        return Err("a histogram needs buckets: write all their upper bounds, without +Inf".into());
    }
    if buckets.iter().any(|bound| !bound.is_finite() || *bound < 0.0) {
        return Err("buckets are finite bounds from 0 on: remove others, also +Inf, which every histogram has".into());
    }
    let ascending = buckets.windows(2).all(|pair| pair[0] < pair[1]);
    ascending.then_some(()).ok_or_else(|| "buckets are not in ascending order: sort them, without repetition".into())
}
