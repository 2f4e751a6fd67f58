//! Exporters of dependencies: how the lag, the arrivals and the consumption are computed from their series, and what they
//! report of the health of a dependency.

use std::collections::BTreeMap;

use serde::Deserialize;
use serde_saphyr::Spanned;

use super::series::Declared;
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
/// for a term or for a value of the object, see [`template`](super::template).
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
pub type Text = Spanned<String>;

impl Parts<Text> {
    /// The template; `None` if there is none.
    pub fn text(&self) -> Option<&Text> {
        match self {
            Self::Reported(text) | Self::Total(text) => Some(text),
            Self::Named | Self::Unknown => None,
        }
    }

    /// Without lines.
    pub fn plain(self) -> Parts {
        match self {
            Self::Named => Parts::Named,
            Self::Reported(text) => Parts::Reported(text.value),
            Self::Total(text) => Parts::Total(text.value),
            Self::Unknown => Parts::Unknown,
        }
    }
}

impl Sum<Text> {
    /// The template.
    pub const fn text(&self) -> &Text {
        match self {
            Self::Parts(text) | Self::Offsets(text) | Self::Total(text) => text,
        }
    }

    /// Without lines.
    pub fn plain(self) -> Sum {
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
