//! The files of exporters (`dependencies/KIND/`): what is in one, and why one is refused.

use std::collections::BTreeMap;

use serde::Deserialize;
use serde_saphyr::Spanned;

use super::{
    exporter::{Exporter, KINDS, NO_LAG, Parts, Sum, Text, Window},
    exporter_checks::{Checks, Embedded},
    load::{Refused, check_name},
    profile::CUSTOM,
    series::{Declarations, Declared},
    template,
};

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
    if name == CUSTOM {
        return Err(Refused::at(
            &file.exporter,
            "exporter: Custom is the word for PromQL in an object: take another name",
        ));
    }
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
    let mut of_parts = Vec::new();
    if let Some(text) = parts.text() {
        of_parts.push(("parts", text, checks.parse("parts", text, Embedded::Value)?));
    }
    let sums = [("lag", &file.lag), ("consumed", &file.consumed), ("arrivals", &file.arrivals)];
    for (field, sum) in sums.into_iter().filter_map(|(field, sum)| Some((field, sum.as_ref()?))) {
        of_parts.push((field, sum.text(), checks.sum(field, sum, &parts)?));
    }
    checks.check_parts(&of_parts)?;
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
