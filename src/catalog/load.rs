//! The loader: reads the files of a catalogue and checks them.

use std::fmt;

use serde::de::DeserializeOwned;
use serde_saphyr::{MessageFormatter, Spanned};

use super::{Catalog, exporter, profile};

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
    for (path, text) in files {
        if let Err(Refused { line, reason }) = add(&mut catalog, path, text) {
            problems.push(Problem { file: path.into(), line, reason });
        }
    }
    (catalog, problems)
}

fn add(catalog: &mut Catalog, path: &str, text: &str) -> Result<(), Refused> {
    let name = path.strip_suffix(".yaml").unwrap_or(path);
    match name.split('/').collect::<Vec<_>>()[..] {
        ["profiles", name] => {
            catalog.profiles.insert(name.into(), profile::check(name, read(text)?)?);
        }
        ["dependencies", kind, name] => {
            catalog.exporters.insert((kind.into(), name.into()), exporter::check(kind, name, read(text)?)?);
        }
        _ => return Err(Refused::whole("no place for it: use profiles/NAME.yaml or dependencies/KIND/NAME.yaml")),
    }
    Ok(())
}

fn read<T: DeserializeOwned>(text: &str) -> Result<T, Refused> {
    let options = serde_saphyr::options! { with_snippet: false };
    serde_saphyr::from_str_with_options(text, options).map_err(|error| Refused {
        line: error.location().map_or(0, |at| at.line()),
        reason: serde_saphyr::DefaultMessageFormatter.format_message(&error).into_owned(),
    })
}
