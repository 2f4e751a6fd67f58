//! The metric profiles of the API, each a file of the catalogue (`src/catalog/profiles/`).

use crate::{
    api::MetricProfile,
    catalog::{self, Profile},
};

/// The names of a profile.
///
/// # Panics
/// If the catalogue has no file for it; a test requires one for each.
pub fn of(profile: MetricProfile) -> &'static Profile {
    let name = format!("{profile:?}");
    catalog::embedded().profiles.get(&name).unwrap_or_else(|| panic!("write src/catalog/profiles/{name}.yaml"))
}

/// Every profile, as the schema of the API lists them: the tests and the documentation of profiles iterate over this.
///
/// # Panics
/// If the schema of the enum lists other names than its own, which does not happen.
pub fn all() -> Vec<MetricProfile> {
    let schema = schemars::schema_for!(MetricProfile).to_value();
    let described = schema["oneOf"].as_array().into_iter().flatten();
    let constants = described.clone().filter_map(|variant| variant.get("const"));
    let lists = std::iter::once(&schema).chain(described).filter_map(|variant| variant["enum"].as_array());
    let names: Vec<_> = constants.chain(lists.flatten()).collect();
    assert!(!names.is_empty(), "{schema}");
    names.into_iter().map(|name| serde_json::from_value(name.clone()).expect("the name of a profile")).collect()
}
