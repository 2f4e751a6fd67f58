//! The loader: reads the files of a catalogue and checks them.

use std::fmt;

use serde::de::DeserializeOwned;
use serde_saphyr::{MessageFormatter, Spanned};

use super::{Catalog, alert, exporter, profile, series::most_similar};

/// Why a file is refused.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Problem {
    /// Path of the file below the directory of the catalogue.
    pub file: String,
    /// The line, from 1 on; 0 if it concerns the whole file.
    pub line: u64,
    /// What is wrong, and what to write instead.
    pub reason: String,
}

impl fmt::Display for Problem {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}:{}: {}", self.file, self.line, self.reason)
    }
}

/// A problem of a file whose name is not known yet.
#[derive(Debug)]
pub struct Refused {
    line: u64,
    reason: String,
}

impl Refused {
    /// A problem with a value of the file.
    pub fn at<T>(value: &Spanned<T>, reason: impl Into<String>) -> Self {
        Self { line: value.referenced.line(), reason: reason.into() }
    }

    /// A problem with the whole file.
    pub fn whole(reason: impl Into<String>) -> Self {
        Self { line: 0, reason: reason.into() }
    }
}

/// Fails unless a file states the name that it has. `field`: where it states it.
pub fn check_name(field: &str, stated: &Spanned<String>, name: &str) -> Result<(), Refused> {
    if stated.value == name {
        return Ok(());
    }
    let reason = format!("{field} is {}, the file is {name}.yaml: give both the same name", stated.value);
    Err(Refused::at(stated, reason))
}

/// Reads a catalogue: path and text of each file. A file that is refused is not part of the result.
pub fn load<'a>(files: impl IntoIterator<Item = (&'a str, &'a str)>) -> (Catalog, Vec<Problem>) {
    let (mut catalog, mut problems) = (Catalog::default(), Vec::new());
    let mut silencing = Vec::new();
    for (path, text) in files {
        match add(&mut catalog, path, text) {
            Ok(names) => silencing.extend(names.into_iter().map(|name| (path, name))),
            Err(Refused { line, reason }) => problems.push(Problem { file: path.into(), line, reason }),
        }
    }
    // Last, because an alert of another file may be named; if one is refused, its names are not known.
    let is_complete = !problems.iter().any(|problem| problem.file.starts_with("alerts/"));
    silencing.retain(|(_, name)| is_complete && catalog.alert(&name.value).is_none());
    for (path, name) in silencing {
        let nearest = most_similar(&name.value, catalog.alerts.iter().map(|alert| alert.name.as_str()));
        let nearest = nearest.unwrap_or_default();
        let Refused { line, reason } = Refused::at(
            &name,
            format!("silencedBy: there is no alert {}; the most similar one is {nearest}", name.value),
        );
        problems.push(Problem { file: path.into(), line, reason });
    }
    (catalog, problems)
}

/// The names of alerts that a file refers to.
type Silencing = Vec<Spanned<String>>;

fn add(catalog: &mut Catalog, path: &str, text: &str) -> Result<Silencing, Refused> {
    let name = path.strip_suffix(".yaml").unwrap_or(path);
    match name.split('/').collect::<Vec<_>>()[..] {
        ["alerts", _] => return add_alerts(catalog, read(text)?),
        ["profiles", name] => {
            catalog.profiles.insert(name.into(), profile::check(name, read(text)?)?);
        }
        ["dependencies", kind, name] => {
            catalog.exporters.insert((kind.into(), name.into()), exporter::check(kind, name, read(text)?)?);
        }
        _ => {
            return Err(Refused::whole(
                "no place for it: use alerts/GROUP.yaml, profiles/NAME.yaml or dependencies/KIND/NAME.yaml",
            ));
        }
    }
    Ok(Vec::new())
}

fn add_alerts(catalog: &mut Catalog, file: alert::File) -> Result<Silencing, Refused> {
    let silencing = file.alerts.iter().flat_map(|entry| entry.silenced_by.iter().cloned()).collect();
    let mut alerts: Vec<alert::Alert> = Vec::new();
    for entry in file.alerts {
        let name = entry.name.clone();
        if catalog.alerts.iter().chain(&alerts).any(|alert| alert.name == name.value) {
            return Err(Refused::at(&name, format!("{} is there twice: remove one of them", name.value)));
        }
        alerts.push(alert::check(entry)?);
    }
    catalog.alerts.extend(alerts);
    Ok(silencing)
}

fn read<T: DeserializeOwned>(text: &str) -> Result<T, Refused> {
    let options = serde_saphyr::options! { with_snippet: false };
    serde_saphyr::from_str_with_options(text, options).map_err(|error| Refused {
        line: error.location().map_or(0, |at| at.line()),
        reason: serde_saphyr::DefaultMessageFormatter.format_message(&error).into_owned(),
    })
}
