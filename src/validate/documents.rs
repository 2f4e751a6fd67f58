//! Finds `RecommenderModel`s in a file of YAML documents, parsed as by `kubectl`.

use std::fmt;

use kube::Resource;
use serde_json::{Number, Value};

use crate::{api::RecommenderModel, catalog::yaml};

/// An object found in a file.
#[derive(Clone, Debug, PartialEq)]
pub struct Document {
    /// The line its document starts at, from 1.
    pub line: usize,
    /// Its content.
    pub object: Value,
}

/// A place in a file that is not YAML.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct DocumentError {
    /// The line, from 1.
    pub line: usize,
    /// The column, from 1.
    pub column: usize,
    /// The parser's message.
    pub message: String,
}

impl fmt::Display for DocumentError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}:{}: {}", self.line, self.column, self.message)
    }
}

impl std::error::Error for DocumentError {}

/// All `RecommenderModel`s in `text`, also those in a `List`; objects of other kinds are ignored.
///
/// # Errors
/// The first place that is not YAML. The caller adds the name of the file: `{file}:{error}`.
pub fn documents(text: &str) -> Result<Vec<Document>, DocumentError> {
    let mut found = Vec::new();
    for (line, text) in split(text) {
        let mut value = parse(line, text)?;
        integers(&mut value);
        collect(line, value, &mut found);
    }
    Ok(found)
}

/// The documents between lines of `---`, each with the line it starts at.
fn split(text: &str) -> Vec<(usize, &str)> {
    let mut documents = Vec::new();
    let (mut start, mut first_line, mut offset) = (0, 1, 0);
    for (index, line) in text.split_inclusive('\n').enumerate() {
        offset += line.len();
        // A comment after the dashes is supported, a document that begins on the same line is not.
        if line.trim_end() == "---" || line.starts_with("--- #") {
            documents.push((first_line, &text[start..offset - line.len()]));
            (start, first_line) = (offset, index + 2);
        }
    }
    documents.push((first_line, &text[start..]));
    documents
}

fn parse(first_line: usize, text: &str) -> Result<Value, DocumentError> {
    // YAML as parsed by kubectl: `yes` is a boolean and 0777 is octal.
    let options = serde_saphyr::options! { legacy_octal_numbers: true, with_snippet: false };
    serde_saphyr::from_str_with_options::<Option<Value>>(text, options).map(Option::unwrap_or_default).map_err(
        |error| {
            let location = error.location();
            let at = |part: Option<u64>| part.and_then(|part| usize::try_from(part).ok()).unwrap_or(1).max(1);
            DocumentError {
                line: first_line - 1 + at(location.map(|location| location.line())),
                column: at(location.map(|location| location.column())),
                message: message(&error),
            }
        },
    )
}

/// The message of `error` without its location, which is relative to the document.
fn message(error: &serde_saphyr::Error) -> String {
    let printed = |c: char| if c.is_control() { c.escape_default().to_string() } else { c.to_string() };
    yaml::message(error).chars().map(printed).collect()
}

/// Converts numbers without a fraction to integers, regardless of their notation: 1e3 is 1000.
fn integers(value: &mut Value) {
    /// The largest integer (2^53 - 1) up to which a float represents every integer exactly.
    const LOSSLESS: f64 = 9_007_199_254_740_991.0;
    match value {
        Value::Number(number) if number.is_f64() => {
            let whole = number.as_f64().filter(|float| float.fract() == 0.0 && float.abs() <= LOSSLESS);
            if let Some(whole) = whole {
                *number = Number::from(whole as i64);
            }
        }
        Value::Array(values) => values.iter_mut().for_each(integers),
        Value::Object(values) => values.values_mut().for_each(integers),
        _ => {}
    }
}

fn collect(line: usize, object: Value, found: &mut Vec<Document>) {
    let group = RecommenderModel::group(&());
    let ours = object["kind"] == RecommenderModel::kind(&()).as_ref()
        || object["apiVersion"].as_str().and_then(|version| version.split_once('/')).is_some_and(|(g, _)| g == group);
    match object {
        // Also with a wrong version or kind: it is meant as a RecommenderModel, and validation reports the error.
        object if ours => found.push(Document { line, object }),
        Value::Object(mut fields) if fields.get("kind").is_some_and(|kind| kind == "List") => {
            if let Some(Value::Array(items)) = fields.remove("items") {
                items.into_iter().for_each(|item| collect(line, item, found));
            }
        }
        _ => {}
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn models_are_found_among_other_objects() {
        let text = "# a comment\n---\napiVersion: v1\nkind: Secret\n--- # ours\nkind: RecommenderModel\n\
                    spec: {a: yes, b: 1e3}\n---\n\n---\nkind: List\nitems:\n- kind: RecommenderModel\n- kind: Pod\n";
        let found = documents(text).expect("the text is YAML");
        assert_eq!(found.iter().map(|document| document.line).collect::<Vec<_>>(), [6, 11]);
        assert_eq!(found[0].object["spec"], serde_json::json!({ "a": true, "b": 1000 }));
    }

    #[test]
    fn an_object_of_our_api_group_is_found_whatever_its_version_and_kind() {
        let found = documents("apiVersion: recommender.dev/v9\nkind: Recommender\n").expect("the text is YAML");
        assert_eq!(found.len(), 1);
    }

    #[test]
    fn broken_yaml_is_reported_with_its_line_in_the_file() {
        let error = documents("kind: A\n---\nkind: B\nspec: [\nmetadata: {\n").expect_err("the brackets are open");
        assert!(error.line >= 5, "{error}");
        let error = documents("kind: A\n---\nkind: B\nkind: C\n").expect_err("the key is there twice");
        assert_eq!((error.line, error.column), (4, 1), "{error}");
        assert_eq!(error.message, "duplicate key kind: remove one of them");
    }

    #[test]
    fn scalars_are_read_as_kubectl_reads_them() {
        // Expected values as printed by `kubectl create --dry-run=client -o json`.
        let read = "[y, n, Y, on, off, ~, 1_000, 0b11, 0o17, 017, +1, .5, 1e3, 12e03, 0x1F, 190:20:30, 2026-11-21, \
                    !!str 5, TRUE, -0, 1., 08]";
        let expected = serde_json::json!([
            true,
            false,
            true,
            true,
            false,
            null,
            1000,
            3,
            15,
            15,
            1,
            0.5,
            1000,
            12000,
            31,
            "190:20:30",
            "2026-11-21",
            "5",
            true,
            0,
            1,
            8
        ]);
        let found = documents(&format!("kind: RecommenderModel\nargs: {read}\n")).expect("the text is YAML");
        assert_eq!(found[0].object["args"], expected);
    }

    #[test]
    fn an_empty_file_has_no_models() {
        assert_eq!(documents(""), Ok(Vec::new()));
        assert_eq!(documents("---\n# nothing\n---\n"), Ok(Vec::new()));
    }
}
