//! What is wrong with YAML, in the words of this project: those of the library name its own options and types.

use std::borrow::Cow;

use serde_saphyr::{DefaultMessageFormatter, Error, MessageFormatter};

use super::most_similar;

/// What is wrong, without the place.
pub fn message(error: &Error) -> Cow<'_, str> {
    match error {
        Error::WithSnippet { error, .. } | Error::AliasError { error, .. } => message(error),
        Error::DuplicateMappingKey { key: Some(key), .. } => format!("duplicate key {key}: remove one of them").into(),
        Error::DuplicateMappingKey { key: None, .. } => "duplicate key: remove one of them".into(),
        Error::MultipleDocuments { .. } => "a second document begins: put it into a file of its own".into(),
        Error::Eof { .. } => "the file is empty or ends too early: write its keys".into(),
        Error::Unexpected { expected, .. } => match *expected {
            "sequence start" => "expected a list, as in [a, b]".into(),
            "mapping start" => "expected keys with values, as in {name: a}".into(),
            "string scalar" => "expected a text: put it in quotes if it has characters of YAML".into(),
            other => format!("expected {other}").into(),
        },
        Error::InvalidScalar { ty, .. } if ty.contains("float") => "expected a finite number".into(),
        Error::InvalidScalar { ty, .. } => format!("expected a value of the type {ty}").into(),
        Error::NonFiniteFloat { value, .. } => format!("expected a finite number, not {value}").into(),
        Error::NullIntoString { .. } => "expected a text, and nothing is there".into(),
        Error::ExpectedMappingEndAfterEnumVariantValue { .. } => {
            "expected one key with a value: remove the other keys".into()
        }
        Error::ExternallyTaggedEnumExpectedScalarOrMapping { .. } => "expected a word, or one key with a value".into(),
        Error::SerdeUnknownField { field, expected, .. } => unknown("field", field, expected),
        Error::SerdeUnknownVariant { variant, expected, .. } => unknown("value", variant, expected),
        Error::SerdeMissingField { field, .. } => format!("missing field `{field}`: add it").into(),
        other => DefaultMessageFormatter.format_message(other),
    }
}

fn unknown(what: &str, name: &str, expected: &[&str]) -> Cow<'static, str> {
    let nearest =
        most_similar(name, expected.iter().copied()).map(|known| format!("; the most similar one is {known}"));
    format!("unknown {what} `{name}`{}, expected one of {}", nearest.unwrap_or_default(), expected.join(", ")).into()
}
