//! The metric profiles that objects name, each a file of the catalogue (`profiles/`), and the one of PromQL in the spec.

use std::sync::LazyLock;

use crate::catalog::{self, CUSTOM, Profile};

/// The profile of PromQL in the spec: it has no names, and every target has `up`.
static EXPRESSIONS: LazyLock<Profile> =
    LazyLock::new(|| Profile { presence: "up".into(), process: true, ..Profile::default() });

/// The profile of this name.
///
/// # Panics
/// If the catalogue has none; [`Model::new`](crate::model::Model::new) refuses such an object.
pub fn of(name: &str) -> &'static Profile {
    find(name).unwrap_or_else(|| panic!("there is no profile {name}"))
}

/// The profile of this name, if there is one.
pub fn find(name: &str) -> Option<&'static Profile> {
    if name == CUSTOM { Some(&EXPRESSIONS) } else { catalog::current().profiles.get(name) }
}

/// The names of all profiles of the catalogue.
pub fn all() -> impl DoubleEndedIterator<Item = &'static str> + Clone {
    catalog::current().profiles.keys().map(String::as_str)
}
