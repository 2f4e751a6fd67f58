//! Paths of fields, and what is wrong with them.

use std::fmt;

/// Path of a field, as in `spec.workers[1].pod.volumes[0].name`.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct FieldPath(String);

impl FieldPath {
    /// The spec.
    pub fn spec() -> Self {
        Self("spec".into())
    }

    /// A field below it, or, with dots between the names, one below that.
    pub fn field(&self, name: &str) -> Self {
        Self(format!("{self}.{name}"))
    }

    /// An item of a list.
    pub fn item(&self, index: usize) -> Self {
        Self(format!("{self}[{index}]"))
    }

    /// The items of a list.
    pub fn items<'a, T>(&self, name: &str, items: &'a [T]) -> impl Iterator<Item = (Self, &'a T)> + use<'a, T> {
        let list = self.field(name);
        items.iter().enumerate().map(move |(index, item)| (list.item(index), item))
    }

    /// The entry of a map.
    pub fn key(&self, key: &str) -> Self {
        let is_plain = key.chars().all(|c| c.is_ascii_alphanumeric() || c == '-');
        if is_plain { self.field(key) } else { Self(format!("{self}[{key}]")) }
    }

    /// What is wrong with it.
    pub fn problem(&self, message: impl Into<String>) -> InvalidField {
        InvalidField { field: self.clone(), message: message.into() }
    }
}

impl fmt::Display for FieldPath {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.0)
    }
}

/// An error in a spec.
#[derive(Clone, Debug, PartialEq)]
pub struct InvalidField {
    /// The field.
    pub field: FieldPath,
    /// What is wrong and what to write instead.
    pub message: String,
}

impl fmt::Display for InvalidField {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}: {}", self.field, self.message)
    }
}
