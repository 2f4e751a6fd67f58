//! Exporters of dependencies: how the lag, the arrivals and the consumption are computed from their series, and what they
//! report of the health of a dependency.

use std::collections::BTreeMap;

use serde::Deserialize;
use serde_saphyr::Spanned;

use super::{
    load::{Refused, check_name},
    promql,
    series::{Declarations, Declared, UP, most_similar},
    template,
};
use crate::series::Series;

/// The window of an exporter's rates.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Deserialize)]
#[serde(rename_all = "camelCase")]
pub enum Window {
    /// The exporter's scrape interval is not known: two minutes, which contain two scrapes at an interval of one minute and
    /// four at the common interval of 30 s.
    #[default]
    AsItIs,
    /// The workers are the exporter, and our PodMonitor scrapes them: four scrapes, at least one minute.
    Workers,
}

impl Window {
    /// Its length in seconds. `workers_interval`: seconds between two scrapes of the workers.
    pub fn seconds(self, workers_interval: i32) -> i32 {
        match self {
            Self::AsItIs => 120,
            Self::Workers => workers_interval.saturating_mul(4).max(60),
        }
    }
}

/// How the series of a dependency are computed from the metrics of an exporter. Templates are PromQL in which `@name` stands
/// for a term or for a value of the object, see [`template`].
#[derive(Clone, Debug, PartialEq)]
pub struct Exporter {
    /// The series that it declares.
    pub series: Vec<Declared>,
    /// Named templates, for use in other templates.
    pub terms: BTreeMap<String, String>,
    /// Number of partitions or queues.
    pub parts: Parts,
    /// Messages waiting; `None` if the exporter reports no lag.
    pub lag: Option<Sum>,
    /// Messages consumed per second; `None` if the exporter does not report them.
    pub consumed: Option<Sum>,
    /// Messages arriving per second; `None`: computed as the consumption plus the growth of the lag.
    pub arrivals: Option<Sum>,
    /// The window of rates: `@window` in templates.
    pub window: Window,
    /// What it reports of the health of the dependency: a template of each canonical series. Its value is absent while the
    /// template gives a negative number or NaN.
    pub records: BTreeMap<Series, String>,
}

/// Number of partitions or queues of a dependency. A sum over fewer elements is incomplete.
#[derive(Clone, Debug, PartialEq, Eq, Deserialize)]
#[serde(rename_all = "camelCase")]
pub enum Parts<T = String> {
    /// As many as the spec names (`@count`). They are queues, and any number of workers may consume from each.
    Named,
    /// The partition count reported by the exporter: this template returns one element for each topic that the spec names.
    Reported(T),
    /// This template returns the number, and no sum is computed over the parts.
    Total(T),
    /// The exporter does not report it.
    Unknown,
}

/// How a sum over the parts is computed.
#[derive(Clone, Debug, PartialEq, Eq, Deserialize)]
#[serde(rename_all = "camelCase")]
pub enum Sum<T = String> {
    /// This template returns one element for each part. All must be present.
    Parts(T),
    /// This selector returns offsets by topic and partition; the sum is their total rate in messages per second. All must be
    /// present.
    Offsets(T),
    /// This template returns the sum, and ensures its completeness itself.
    Total(T),
}

/// A template with its line.
type Text = Spanned<String>;

impl Parts<Text> {
    fn text(&self) -> Option<&Text> {
        match self {
            Self::Reported(text) | Self::Total(text) => Some(text),
            Self::Named | Self::Unknown => None,
        }
    }

    fn plain(self) -> Parts {
        match self {
            Self::Named => Parts::Named,
            Self::Reported(text) => Parts::Reported(text.value),
            Self::Total(text) => Parts::Total(text.value),
            Self::Unknown => Parts::Unknown,
        }
    }
}

impl Sum<Text> {
    const fn text(&self) -> &Text {
        match self {
            Self::Parts(text) | Self::Offsets(text) | Self::Total(text) => text,
        }
    }

    fn plain(self) -> Sum {
        match self {
            Self::Parts(text) => Sum::Parts(text.value),
            Self::Offsets(text) => Sum::Offsets(text.value),
            Self::Total(text) => Sum::Total(text.value),
        }
    }
}

/// A kind of dependency: its name in the spec, and the values of it that templates may use, with an example of each.
pub type Kind = (&'static str, &'static [(&'static str, &'static str)]);

/// The kinds of dependencies whose exporters are in the catalogue.
pub const KINDS: [Kind; 6] = [
    (
        "kafka",
        &[("group", r#""g""#), ("topics", r#""a|b""#), ("count", "2"), ("markers", " - 1"), ("dead", r#""a-dlq""#)],
    ),
    ("rabbitmq", &[("vhost", r#""/""#), ("queues", r#""a|b""#), ("count", "2"), ("dead", r#""a-dlq""#)]),
    ("rq", &[("queues", r#""a|b""#), ("count", "2"), ("only", r#""a(,a)*""#), ("some", r#""(.*,)?a""#)]),
    ("redisList", &[("db", r#""db0""#), ("keys", r#""a|b""#), ("count", "2")]),
    ("flink", &[("job", r#""j""#)]),
    (NO_LAG, &[("dependency", r#""d""#)]),
];

/// The kind of dependencies without a lag.
pub const NO_LAG: &str = "exporter";

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

/// A file in `dependencies/KIND/`.
#[derive(Deserialize)]
#[serde(deny_unknown_fields, rename_all = "camelCase")]
pub struct File {
    /// Its name, as that of the file.
    pub exporter: Text,
    series: Vec<Spanned<Declared>>,
    #[serde(default)]
    terms: BTreeMap<String, Text>,
    parts: Option<Spanned<Parts<Text>>>,
    lag: Option<Sum<Text>>,
    consumed: Option<Sum<Text>>,
    arrivals: Option<Sum<Text>>,
    #[serde(default)]
    window: Window,
    /// By the name of the canonical series without `recommender:`.
    #[serde(default)]
    records: BTreeMap<String, Text>,
}

/// The exporter of a file, or why it is refused.
pub fn check(kind: &str, name: &str, file: File) -> Result<Exporter, Refused> {
    check_name("exporter", &file.exporter, name)?;
    let Some((_, values)) = KINDS.iter().find(|(known, _)| *known == kind) else {
        let known: Vec<&str> = KINDS.iter().map(|(known, _)| *known).collect();
        return Err(Refused::at(&file.exporter, format!("{kind} is no kind of dependency: use {}", known.join(", "))));
    };
    check_fields(kind, &file)?;
    let series = Declarations::new(file.series)?;
    for (name, text) in &file.terms {
        if let Some(cycle) = template::cycle(name, |term| file.terms.get(term).map(|text| text.value.as_str())) {
            return Err(Refused::at(text, format!("terms: @{cycle} contains itself: remove it from its own template")));
        }
    }
    let terms: BTreeMap<String, String> =
        file.terms.iter().map(|(name, text)| (name.clone(), text.value.clone())).collect();
    let checks = Checks { series: &series, terms: &terms, kind, values };
    let parts = file.parts.map_or(Parts::Unknown, |parts| parts.value);
    if let Some(text) = parts.text() {
        checks.parse("parts", text)?;
    }
    let sums = [("lag", &file.lag), ("consumed", &file.consumed), ("arrivals", &file.arrivals)];
    for (field, sum) in sums.into_iter().filter_map(|(field, sum)| Some((field, sum.as_ref()?))) {
        checks.sum(field, sum, &parts)?;
    }
    let mut records = BTreeMap::new();
    for (name, text) in &file.records {
        records.insert(checks.record(name, text)?, text.value.clone());
    }
    // Last, because a term that is used is reported where it is used.
    for (name, text) in &file.terms {
        checks.names(&format!("terms.{name}"), text)?;
    }
    Ok(Exporter {
        terms,
        parts: parts.plain(),
        lag: file.lag.map(Sum::plain),
        consumed: file.consumed.map(Sum::plain),
        arrivals: file.arrivals.map(Sum::plain),
        window: file.window,
        records,
        series: series.into_vec(),
    })
}

/// Fails if a file has none of what its kind consists of, or what it cannot have.
fn check_fields(kind: &str, file: &File) -> Result<(), Refused> {
    let refuse = |reason: &str| Err(Refused::at(&file.exporter, reason));
    match (kind == NO_LAG, &file.lag) {
        (false, None) => refuse("lag is missing: dependencies of this kind have one"),
        (true, None) if file.records.is_empty() => refuse("records is empty: write a template of each series"),
        (true, _)
            if file.lag.is_some() || file.parts.is_some() || file.consumed.is_some() || file.arrivals.is_some() =>
        {
            refuse("lag, parts, consumed and arrivals are those of another kind of dependency: write records alone")
        }
        _ => Ok(()),
    }
}

/// What the templates of a file are checked against.
struct Checks<'a> {
    series: &'a Declarations,
    terms: &'a BTreeMap<String, String>,
    kind: &'a str,
    values: &'static [(&'static str, &'static str)],
}

impl Checks<'_> {
    fn examples(&self) -> impl Iterator<Item = &(&'static str, &'static str)> {
        self.values.iter().chain(&COMMON)
    }

    /// Fails if a template contains the name of nothing.
    fn names(&self, field: &str, text: &Text) -> Result<(), Refused> {
        let is_known = |name: &&str| self.terms.contains_key(*name) || self.examples().any(|(value, _)| value == name);
        let Some(unknown) = template::names(&text.value).find(|name| !is_known(name)) else { return Ok(()) };
        let values: Vec<String> = self.examples().map(|(name, _)| format!("@{name}")).collect();
        let reason =
            format!("{field}: @{unknown} is neither a term nor a value of {}: {}", self.kind, values.join(", "));
        Err(Refused::at(text, reason))
    }

    fn parse(&self, field: &str, text: &Text) -> Result<promql::Expression, Refused> {
        self.names(field, text)?;
        let values = self.examples().map(|(name, value)| (*name, (*value).to_owned())).collect();
        let filled = template::fill(&text.value, self.terms, &values);
        let refuse = |reason: String| Refused::at(text, format!("{field}: {reason}, in {filled}"));
        let expression = promql::parse(&filled).map_err(refuse)?;
        self.series.check_uses(&expression).map_err(refuse)?;
        self.series.check_numbers(&expression).map_err(refuse)?;
        if expression.selectors.iter().any(|of| of.name == UP && of.labels.is_empty()) {
            return Err(refuse(
                "up without matchers is that of every target of a Prometheus: write up{@target}".into(),
            ));
        }
        Ok(expression)
    }

    /// The canonical series that a template is of.
    fn record(&self, name: &str, text: &Text) -> Result<Series, Refused> {
        let expression = self.parse(&format!("records.{name}"), text)?;
        let known = || Series::of_exporters().map(|series| (series, series.short_name()));
        let Some((series, _)) = known().find(|(_, known)| *known == name) else {
            let nearest = most_similar(name, known().map(|(_, known)| known)).unwrap_or_default();
            let reason =
                format!("records: {name} is no canonical series of dependencies; the most similar one is {nearest}");
            return Err(Refused::at(text, reason));
        };
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

    fn sum(&self, field: &str, sum: &Sum<Text>, parts: &Parts<Text>) -> Result<(), Refused> {
        let text = sum.text();
        let expression = self.parse(field, text)?;
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
        Ok(())
    }
}
