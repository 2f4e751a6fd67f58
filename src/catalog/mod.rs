//! The catalogue: what servers and exporters expose, and what is computed from it, as YAML files that need no knowledge of
//! Rust. They are embedded, and [`load`] checks them. Depends on no other module than [`series`](crate::series).
//!
//! | Directory | A file for each | Named after |
//! |---|---|---|
//! | `alerts/` | group of alerts over canonical series | what it is about |
//! | `profiles/` | set of metric names that servers expose | the variant of `MetricProfile` |
//! | `dependencies/KIND/` | exporter of a kind of dependency | the variant of the kind's exporters; in `exporter/`, what `exporter.name` takes |
//!
//! Each file but those of alerts declares the series that it uses, with their type, unit and labels. A file that uses anything
//! else is refused with its name, the line and the reason, and the others are not affected.

mod alert;
mod exporter;
mod load;
mod profile;
pub mod promql;
mod re2;
mod series;
pub mod template;
mod tokens;

use std::{collections::BTreeMap, sync::LazyLock};

pub use alert::{Alert, AppliesTo, Severity, Threshold, ThresholdUnit};
pub use exporter::{Exporter, KINDS, Kind, NO_LAG, Parts, Sum, Window};
pub use load::{Problem, load};
pub use profile::{Latency, Profile, Selector};
pub use series::{Declared, Type, Unit, most_similar};

/// The embedded files: path below `src/catalog/`, and text.
const FILES: &[(&str, &str)] = include!(concat!(env!("OUT_DIR"), "/catalog.rs"));

/// All that the files declare.
#[derive(Debug, Default)]
pub struct Catalog {
    /// Alerts, in the order of the files and in that within each.
    pub alerts: Vec<Alert>,
    /// Metric profiles, by name.
    pub profiles: BTreeMap<String, Profile>,
    /// Exporters of dependencies, by kind and name.
    pub exporters: BTreeMap<(String, String), Exporter>,
}

impl Catalog {
    /// The alert of this name.
    pub fn alert(&self, name: &str) -> Option<&Alert> {
        self.alerts.iter().find(|alert| alert.name == name)
    }

    /// The exporter of a kind of dependency.
    pub fn exporter(&self, kind: &str, name: &str) -> Option<&Exporter> {
        self.exporters.get(&(kind.to_owned(), name.to_owned()))
    }
}

/// The embedded catalogue, read once.
///
/// # Panics
/// If a file is refused; a test loads all of them.
pub fn embedded() -> &'static Catalog {
    static CATALOG: LazyLock<Catalog> = LazyLock::new(|| {
        let (catalog, problems) = load(FILES.iter().copied());
        let problems: Vec<String> = problems.iter().map(ToString::to_string).collect();
        assert!(problems.is_empty(), "src/catalog is not valid:\n{}", problems.join("\n"));
        catalog
    });
    &CATALOG
}

#[cfg(test)]
mod tests;
