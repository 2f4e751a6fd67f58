//! What is wrong with YAML, in the words of this project: those of the library name its own options and types.

use std::borrow::Cow;

use serde_saphyr::{DefaultMessageFormatter, Error, MessageFormatter};

use super::{is_like, most_similar};

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
        // What the parser says; others quote what is in the file, such as the text "a table" where a number is expected.
        Error::ExternalMessage { .. } | Error::UnknownAnchor { .. } => {
            syntax(DefaultMessageFormatter.format_message(error))
        }
        other => DefaultMessageFormatter.format_message(other),
    }
}

/// What is wrong with the syntax, with what to write instead.
fn syntax(text: Cow<'_, str>) -> Cow<'_, str> {
    if let Some(quoted) = text.strip_prefix(UNEXPECTED) {
        // The library ends the quotation with another sign than it opens it with, and escapes what cannot be printed.
        let character = quoted.strip_suffix('\'').unwrap_or(quoted);
        let remedy = if character.starts_with('\\') { "remove it" } else { "put a text that begins with it in quotes" };
        return format!("unexpected character {character}: {remedy}").into();
    }
    remedy(&text).map_or(text.clone(), |remedy| format!("{text}: {remedy}").into())
}

/// The begin of the library's words about a character that no text without quotes begins with.
const UNEXPECTED: &str = "unexpected character: `";

/// What to write instead of mistakes in the syntax that are made often: a part of the library's words, and the remedy.
const REMEDIES: [(&str, &str); 9] = [
    ("a tab", "indent with blanks"),
    ("tabs disallowed", "indent with blanks"),
    ("anchor or alias", "put a text that begins with * or & in quotes, as in \"* 3 * * *\""),
    ("unknown anchor", "put a text that begins with * in quotes, as in \"*/15 * * * *\""),
    (
        "mapping values are not allowed",
        "put a text with a colon in quotes, and begin the keys of a block below each other",
    ),
    ("did not find expected key", "begin the keys of a block below each other, and the entries of a list too"),
    ("simple key expected", "write a key with a colon, and indent the lines of a text more than its key"),
    ("unknown escape character", "write two backslashes, or single quotes"),
    (
        "indentation in multiline quoted",
        "close the quotes that are open, or indent the lines of the text more than its key",
    ),
];

fn remedy(message: &str) -> Option<&'static str> {
    REMEDIES.iter().find(|(words, _)| message.contains(words)).map(|(_, remedy)| *remedy)
}

fn unknown(what: &str, name: &str, expected: &[&str]) -> Cow<'static, str> {
    let nearest = most_similar(name, expected.iter().copied())
        .filter(|known| is_like(known, name))
        .map(|known| format!("; the most similar one is {known}"));
    format!("unknown {what} `{name}`{}, expected one of {}", nearest.unwrap_or_default(), expected.join(", ")).into()
}

#[cfg(test)]
mod tests {
    use std::collections::BTreeMap;

    fn message(text: &str) -> String {
        let options = serde_saphyr::options! { with_snippet: false };
        let read: Result<BTreeMap<String, serde_json::Value>, _> = serde_saphyr::from_str_with_options(text, options);
        super::message(&read.expect_err("it is no YAML")).into_owned()
    }

    #[test]
    fn what_to_write_instead_of_syntax_that_is_no_yaml_is_said() {
        for (text, remedy) in [
            ("a:\n\tb: 1", "indent with blanks"),
            ("a: 1\n\tb: 1", "indent with blanks"),
            ("schedule: * 3 * * *", "put a text that begins with * or & in quotes, as in \"* 3 * * *\""),
            ("schedule: *x 3 * * *", "put a text that begins with * in quotes, as in \"*/15 * * * *\""),
            ("a: @daily", "put a text that begins with it in quotes"),
            ("a: b: c", "put a text with a colon in quotes, and begin the keys of a block below each other"),
            ("a:\n  b: 1\n c: 2", "begin the keys of a block below each other, and the entries of a list too"),
            ("a: >-\nb", "write a key with a colon, and indent the lines of a text more than its key"),
            ("a: \"\\y\"", "write two backslashes, or single quotes"),
            ("a: 'b\nc: d'", "close the quotes that are open, or indent the lines of the text more than its key"),
        ] {
            let message = message(text);
            assert!(message.ends_with(&format!(": {remedy}")), "{text}: {message}");
        }
        assert_eq!(message("a: @daily"), "unexpected character @: put a text that begins with it in quotes");
        assert_eq!(message("a: \0"), r"unexpected character \u{0}: remove it");
    }

    #[test]
    fn what_a_file_has_as_text_is_not_taken_for_a_mistake_in_its_syntax() {
        let read = serde_saphyr::from_str::<BTreeMap<String, Word>>("a: {other: a table}");
        let message = super::message(&read.expect_err("it is no word")).into_owned();
        assert!(message.contains("a table") && !message.contains("indent"), "{message}");
    }

    /// A text that may not be any.
    #[derive(Debug)]
    struct Word;

    impl<'a> serde::Deserialize<'a> for Word {
        fn deserialize<D: serde::Deserializer<'a>>(deserializer: D) -> Result<Self, D::Error> {
            let value = BTreeMap::<String, String>::deserialize(deserializer)?;
            Err(serde::de::Error::invalid_value(serde::de::Unexpected::Str(&value["other"]), &"a word"))
        }
    }
}
