//! The catalogue: what servers and exporters expose, and what is computed from it, as YAML files that need no knowledge of
//! Rust. They are embedded, and [`load`] checks them. Depends on no other modules than [`series`](crate::series) and
//! [`text`](crate::text).
//!
//! | Directory | A file for each | Named after |
//! |---|---|---|
//! | `alerts/` | group of alerts over canonical series | what it is about |
//! | `profiles/` | set of metric names that servers expose | what `spec.monitoring.metrics.profile` takes |
//! | `dependencies/KIND/` | exporter of a kind of dependency | what the kind's field `exporter` takes (`endpoint` of rabbitmq, `name` of `exporter`) |
//!
//! Each file but those of alerts declares the series that it uses, with their type, unit and labels. A file that uses anything
//! else is refused with its name, the line and the reason, and the others are not affected. An administrator adds files of the
//! same kinds at run time, see [`extend`].

mod alert;
mod directory;
mod exporter;
mod exporter_checks;
mod exporter_file;
mod load;
mod pitfalls;
mod profile;
mod profile_file;
pub mod promql;
pub mod re2;
mod series;
pub mod template;
mod tokens;
pub mod yaml;

use std::{
    collections::BTreeMap,
    path::Path,
    sync::{LazyLock, OnceLock},
};

pub use alert::{Alert, AppliesTo, Severity, Threshold, ThresholdUnit, is_url};
pub use directory::read;
pub use exporter::{Exporter, KINDS, Kind, NO_LAG, Parts, Sum, Window};
pub use load::{Problem, add};
pub use profile::{CUSTOM, Durations, Latency, Profile, Responses, Selector};
pub use series::{Declared, Type, UP, Unit, is_like, most_similar};

/// The embedded files: path below `src/catalog/`, and text.
const FILES: &[(&str, &str)] = include!(concat!(env!("OUT_DIR"), "/catalog.rs"));

/// All that the files declare.
#[derive(Clone, Debug, Default)]
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
        let mut catalog = Catalog::default();
        let problems = add(&mut catalog, FILES.iter().copied());
        catalog.alerts.iter_mut().for_each(|alert| alert.is_embedded = true);
        let problems: Vec<String> = problems.iter().map(ToString::to_string).collect();
        assert!(problems.is_empty(), "src/catalog is not valid:\n{}", problems.join("\n"));
        catalog
    });
    &CATALOG
}

/// The catalogue of this process, once it is extended. A value handed to every check and rendering would always be the same one.
static CURRENT: OnceLock<Catalog> = OnceLock::new();

/// The catalogue that objects are validated and rendered with: the embedded one, unless [`extend`] was called.
pub fn current() -> &'static Catalog {
    CURRENT.get().unwrap_or_else(|| embedded())
}

/// Makes the embedded catalogue and the files of a directory the current one. To be called once, at the start, before anything is
/// validated. Returns the files that are refused.
///
/// # Panics
/// If it is called again.
pub fn extend(directory: &Path) -> Vec<Problem> {
    let (files, mut problems) = read(directory);
    let mut catalog = embedded().clone();
    problems.extend(add(&mut catalog, files.iter().map(|(path, text)| (path.as_str(), text.as_str()))));
    assert!(CURRENT.set(catalog).is_ok(), "the catalogue is set once");
    problems
}

#[cfg(test)]
mod tests;
