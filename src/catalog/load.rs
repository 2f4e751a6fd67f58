//! The loader: reads the files of a catalogue and checks them.

use std::{
    collections::{BTreeMap, BTreeSet},
    fmt,
};

use serde::de::DeserializeOwned;
use serde_saphyr::Spanned;

use super::{Catalog, alert, exporter_file, profile_file, series::most_similar, yaml};

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
        match self.line {
            0 => write!(f, "{}: {}", self.file, self.reason),
            line => write!(f, "{}:{line}: {}", self.file, self.reason),
        }
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

    fn of(self, path: &str) -> Problem {
        Problem { file: path.into(), line: self.line, reason: self.reason }
    }

    /// A problem with the whole file.
    pub fn whole(reason: impl Into<String>) -> Self {
        Self { line: 0, reason: reason.into() }
    }
}

/// Fails unless a file states the name that it has. `field`: where it states it.
pub fn check_name(field: &str, stated: &Spanned<String>, name: &str) -> Result<(), Refused> {
    if !is_name(name) {
        let reason =
            format!("{field}: objects could not name {name}: write letters and digits, with a letter at the beginning");
        return Err(Refused::at(stated, reason));
    }
    if stated.value == name {
        return Ok(());
    }
    let reason = format!("{field} is {}, the file is {name}.yaml: give both the same name", stated.value);
    Err(Refused::at(stated, reason))
}

/// Whether the API accepts it as the name of a profile or an exporter.
fn is_name(name: &str) -> bool {
    name.len() <= 63
        && name.starts_with(|c: char| c.is_ascii_alphabetic())
        && name.chars().all(|c| c.is_ascii_alphanumeric())
}

/// Adds files to a catalogue: path and text of each. One that is refused changes nothing of it. Names that it has already are
/// refused, so that a file never replaces what others rely on.
pub fn add<'a>(catalog: &mut Catalog, files: impl IntoIterator<Item = (&'a str, &'a str)>) -> Vec<Problem> {
    let (mut problems, mut silenced) = (Vec::new(), Vec::new());
    for (path, text) in files {
        match add_file(catalog, path, text) {
            Ok(alerts) => silenced.push((path, alerts)),
            Err(refused) => problems.push(refused.of(path)),
        }
    }
    // Last, because an alert of another file may be named; if one is refused, its names are not known.
    if problems.iter().any(|problem| problem.file.starts_with("alerts/")) {
        return problems;
    }
    let all: BTreeMap<String, Vec<String>> =
        catalog.alerts.iter().map(|alert| (alert.name.clone(), alert.silenced_by.clone())).collect();
    for (path, Alerts { names, silenced_by }) in silenced {
        let wrong =
            silenced_by.iter().filter_map(|(alert, by)| Some(Refused::at(by, silence(alert, by, &all)?).of(path)));
        let wrong: Vec<Problem> = wrong.collect();
        if !wrong.is_empty() {
            catalog.alerts.retain(|alert| !names.contains(&alert.name));
        }
        problems.extend(wrong);
    }
    problems
}

/// Why an alert cannot be silenced by another one; `None` if it can. `all`: by whom each is silenced.
fn silence(alert: &str, by: &Spanned<String>, all: &BTreeMap<String, Vec<String>>) -> Option<String> {
    let by = by.value.as_str();
    if !all.contains_key(by) {
        let nearest = most_similar(by, all.keys().map(String::as_str)).unwrap_or_default();
        return Some(format!("silencedBy: there is no alert {by}; the most similar one is {nearest}"));
    }
    if by == alert {
        return Some(format!("silencedBy: {alert} would silence itself, and never be heard: remove it"));
    }
    let (mut reached, mut next) = (BTreeSet::new(), vec![by]);
    while let Some(name) = next.pop() {
        if reached.insert(name) {
            next.extend(all.get(name).into_iter().flatten().map(String::as_str));
        }
    }
    reached.contains(alert).then(|| {
        format!(
            "silencedBy: {alert} silences {by} as well, so neither would be heard while both fire: remove one of them"
        )
    })
}

/// What a file of alerts names.
#[derive(Default)]
struct Alerts {
    /// Its alerts.
    names: Vec<String>,
    /// An alert and one that silences it.
    silenced_by: Vec<(String, Spanned<String>)>,
}

fn add_file(catalog: &mut Catalog, path: &str, text: &str) -> Result<Alerts, Refused> {
    let name = path.strip_suffix(".yaml").unwrap_or(path);
    let taken = |what: &str, of: &Spanned<String>| {
        let reason = format!("there is already {what} {}: give this one another name", of.value);
        Err(Refused::at(of, reason))
    };
    let alike = |what: &str, of: &Spanned<String>, known: &str| {
        let reason =
            format!("there is {what} {known}, and {} would be taken for it: give this one another name", of.value);
        Err(Refused::at(of, reason))
    };
    match name.split('/').collect::<Vec<_>>()[..] {
        ["alerts", _] => return add_alerts(catalog, read(text)?),
        ["profiles", name] => {
            let file: profile_file::File = read(text)?;
            let stated = file.profile.clone();
            let profile = profile_file::check(name, file)?;
            if catalog.profiles.contains_key(name) {
                return taken("a profile", &stated);
            }
            if let Some(known) = catalog.profiles.keys().find(|known| known.eq_ignore_ascii_case(name)) {
                return alike("a profile", &stated, known);
            }
            catalog.profiles.insert(name.into(), profile);
        }
        ["dependencies", kind, name] => {
            let file: exporter_file::File = read(text)?;
            let stated = file.exporter.clone();
            let (exporter, key) = (exporter_file::check(kind, name, file)?, (kind.to_owned(), name.to_owned()));
            if catalog.exporters.contains_key(&key) {
                return taken("an exporter", &stated);
            }
            let mut of_kind = catalog.exporters.keys().filter(|(of, _)| of == kind).map(|(_, known)| known);
            if let Some(known) = of_kind.find(|known| known.eq_ignore_ascii_case(name)) {
                return alike("an exporter", &stated, known);
            }
            catalog.exporters.insert(key, exporter);
        }
        _ => {
            return Err(Refused::whole(
                "no place for it: use alerts/GROUP.yaml, profiles/NAME.yaml or dependencies/KIND/NAME.yaml",
            ));
        }
    }
    Ok(Alerts::default())
}

fn add_alerts(catalog: &mut Catalog, file: alert::File) -> Result<Alerts, Refused> {
    let of = |entry: &alert::Entry| {
        entry.silenced_by.iter().map(|by| (entry.name.value.clone(), by.clone())).collect::<Vec<_>>()
    };
    let silenced_by = file.alerts.iter().flat_map(of).collect();
    let mut alerts: Vec<alert::Alert> = Vec::new();
    for entry in file.alerts {
        let name = entry.name.clone();
        if catalog.alerts.iter().chain(&alerts).any(|alert| alert.name == name.value) {
            let reason = format!("there is already an alert {}: give this one another name", name.value);
            return Err(Refused::at(&name, reason));
        }
        alerts.push(alert::check(entry)?);
    }
    let names = alerts.iter().map(|alert| alert.name.clone()).collect();
    catalog.alerts.extend(alerts);
    Ok(Alerts { names, silenced_by })
}

fn read<T: DeserializeOwned>(text: &str) -> Result<T, Refused> {
    let options = serde_saphyr::options! { with_snippet: false };
    serde_saphyr::from_str_with_options(text, options).map_err(|error| Refused {
        line: error.location().map_or(0, |at| at.line()),
        reason: yaml::message(&error).into_owned(),
    })
}
