//! The trainer's report: JSON in the termination message of its container.
//!
//! ```json
//! {"metrics": {"precision_at_10": "0.31"},
//!  "artifact": {"uri": "s3://models/shop/full-20261121-0300/model.npz", "digest": "sha256:<64 hex>", "bytes": 123},
//!  "samples": 4000, "standardErrors": {"precision_at_10": "0.004"},
//!  "dataThrough": "2026-11-21T03:00:00Z"}
//! ```
//! Unknown fields are ignored, so that a trainer may report more than this operator reads.

use std::collections::BTreeMap;

use crate::text::{listed, one_line};
use jiff::{SignedDuration, Timestamp};
use serde_json::{Map, Value};

/// Length to which the kubelet truncates a termination message, in bytes.
const KUBELET_KEEPS: usize = 4096;
/// Most metrics in a report.
const METRICS_MAX: usize = 32;
/// Longest name of a metric, in characters (only ASCII is accepted).
const METRIC_NAME_MAX: usize = 63;
/// Longest value of a metric, in characters.
const METRIC_VALUE_MAX: usize = 32;
/// Longest URI of an artifact, in bytes.
const URI_MAX: usize = 1024;
/// Most entries that are named when they are left out.
const NAMED_MAX: usize = 2;
/// How far `dataThrough` may be after the end of the run: a minute, far more than clocks of nodes differ that are kept right. It then is
/// that end. What is later is the time of another zone or of a clock that is wrong, and nothing is known from it.
const DATA_AHEAD: SignedDuration = SignedDuration::from_mins(1);
/// Longest quote of an invalid value in an error, in characters.
const SHOWN: usize = 48;

/// What a trainer reports.
#[derive(Clone, Debug, PartialEq)]
pub struct Report {
    /// The metrics, as decimal numbers.
    pub metrics: BTreeMap<String, String>,
    /// Number of samples of the test set.
    pub samples: Option<i64>,
    /// Standard errors of metrics, as decimal numbers.
    pub standard_errors: BTreeMap<String, String>,
    /// URI of the artifact.
    pub uri: String,
    /// SHA-256 of the artifact, as sha256:<hex>, in lower case.
    pub digest: String,
    /// Size of the artifact in bytes.
    pub bytes: i64,
    /// Time up to which the training data reaches, at most the end of the run.
    pub data_through: Option<Timestamp>,
    /// Entries that cannot be used and were left out.
    pub invalid: Vec<ReportError>,
}

impl Report {
    /// The entries that were left out, as a sentence; none when everything was used.
    pub fn ignored(&self) -> Option<String> {
        let all = self.invalid.iter().map(ToString::to_string);
        (!self.invalid.is_empty()).then(|| format!("Left out of its report: {}.", listed(all, NAMED_MAX, "; ")))
    }
}

/// Why there is no valid report, and what to write instead.
#[derive(Clone, Debug, PartialEq, thiserror::Error)]
pub enum ReportError {
    /// The termination message is empty.
    #[error("nothing was reported: write the JSON report to /dev/termination-log before the trainer exits")]
    Nothing,
    /// The message is as long as the kubelet permits, and is not JSON.
    #[error("the report was cut at {KUBELET_KEEPS} bytes by the kubelet: report fewer metrics or shorter values")]
    Cut,
    /// Not JSON.
    #[error("the report is not JSON: {problem} at line {line}, column {column}: {text:?}")]
    NotJson {
        /// The parser's message.
        problem: String,
        /// Line, from 1.
        line: usize,
        /// Column in bytes, from 1.
        column: usize,
        /// The beginning of the message.
        text: String,
    },
    /// NaN or an infinity without quotes, as Python's json module writes them.
    #[error("{name} is {value}, which is no JSON and no result: leave the metric out, or let the run fail")]
    NotANumber {
        /// The metric.
        name: String,
        /// The value found.
        value: String,
    },
    /// A field is missing.
    #[error("the report has no {path}: write {expected}")]
    Missing {
        /// Path of the field.
        path: String,
        /// What to write there.
        expected: &'static str,
    },
    /// A field has a value that cannot be used.
    #[error("{path} is {found}: {expected}")]
    Invalid {
        /// Path of the field.
        path: String,
        /// The value found.
        found: String,
        /// What to write instead.
        expected: String,
    },
    /// Too many metrics.
    #[error("{found} of its metrics, because only {METRICS_MAX} are kept: report at most {METRICS_MAX}")]
    TooManyMetrics {
        /// Number of metrics beyond that.
        found: usize,
    },
}

/// Parses a report: what is valid is taken, and only an artifact that cannot be used makes it an error. The artifact's URI must be `expected_prefix` or below it, so that no version can report the artifact
/// of another version.
///
/// # Errors
/// The first problem found, and what to write instead.
pub fn parse(
    termination_message: Option<&str>,
    expected_prefix: &str,
    finished_at: Timestamp,
) -> Result<Report, ReportError> {
    let text = termination_message.map(str::trim).filter(|text| !text.is_empty()).ok_or(ReportError::Nothing)?;
    let whole = termination_message.unwrap_or_default();
    let value: Value = serde_json::from_str(text).map_err(|error| not_json(whole, text, &error))?;
    let Value::Object(report) = value else {
        return Err(invalid("the report", &value, "write a JSON object with the fields metrics and artifact"));
    };
    let artifact = object(&report, "artifact", "an object with uri, digest and bytes")?;
    let (metrics, mut invalid) =
        match object(&report, "metrics", "an object of names and decimal numbers; it may be empty") {
            Ok(reported) => numbers("metrics", reported),
            Err(error) => (BTreeMap::new(), vec![error]),
        };
    let (standard_errors, of_errors) = match report.get("standardErrors") {
        None | Some(Value::Null) => (BTreeMap::new(), Vec::new()),
        Some(Value::Object(reported)) => numbers("standardErrors", reported),
        Some(other) => {
            (BTreeMap::new(), vec![self::invalid("standardErrors", other, "write an object of names and numbers")])
        }
    };
    invalid.extend(of_errors);
    let reported = report.get("samples").filter(|value| !value.is_null());
    let samples = reported.map(samples).transpose().unwrap_or_else(|error| {
        invalid.push(error);
        None
    });
    let reported = report.get("dataThrough").filter(|value| !value.is_null());
    let data_through = reported.map(|value| data_through(value, finished_at)).transpose().unwrap_or_else(|error| {
        invalid.push(error);
        None
    });
    Ok(Report {
        metrics,
        samples,
        standard_errors,
        uri: uri(artifact, expected_prefix.trim_end_matches('/'))?,
        digest: digest(artifact)?,
        bytes: bytes(artifact)?,
        data_through,
        invalid,
    })
}

fn not_json(whole: &str, text: &str, error: &serde_json::Error) -> ReportError {
    if let Some((name, value)) = bare_number(text, error) {
        return ReportError::NotANumber { name, value };
    }
    if whole.len() >= KUBELET_KEEPS {
        return ReportError::Cut;
    }
    let full = error.to_string();
    let problem = full.split(" at line ").next().unwrap_or_default().to_owned();
    ReportError::NotJson { problem, line: error.line(), column: error.column(), text: one_line(text, SHOWN) }
}

/// Name and value of the metric, if the parser failed at NaN or an infinity without quotes.
fn bare_number(text: &str, error: &serde_json::Error) -> Option<(String, String)> {
    let line = text.lines().nth(error.line().checked_sub(1)?)?;
    // The parser stops at the first or second character of the value.
    let (before, after) = line.split_at_checked(line.get(..error.column())?.rfind(':')? + 1)?;
    let value =
        ["NaN", "-NaN", "Infinity", "-Infinity"].into_iter().find(|value| after.trim_start().starts_with(value))?;
    let name = before.strip_suffix(':')?.trim_end().strip_suffix('"')?.rsplit('"').next()?;
    Some((one_line(name, SHOWN), value.to_owned()))
}

fn object<'a>(
    parent: &'a Map<String, Value>,
    name: &str,
    expected: &'static str,
) -> Result<&'a Map<String, Value>, ReportError> {
    let value = parent.get(name).ok_or(ReportError::Missing { path: name.into(), expected })?;
    value.as_object().ok_or_else(|| invalid(name, value, format!("write {expected}")))
}

fn field<'a>(artifact: &'a Map<String, Value>, name: &str, expected: &'static str) -> Result<&'a Value, ReportError> {
    artifact.get(name).ok_or(ReportError::Missing { path: format!("artifact.{name}"), expected })
}

/// The valid numbers of a field, by metric, the first of them in the order of their names, and what is wrong with the others.
fn numbers(field: &str, reported: &Map<String, Value>) -> (BTreeMap<String, String>, Vec<ReportError>) {
    let read = |(name, value): (&String, &Value)| Ok((metric_name(name)?, metric_value(field, name, value)?));
    let (valid, invalid): (Vec<_>, Vec<_>) = reported.iter().map(read).partition(Result::is_ok);
    let mut metrics: BTreeMap<_, _> = valid.into_iter().flatten().collect();
    let mut invalid: Vec<_> = invalid.into_iter().filter_map(Result::err).collect();
    let beyond = metrics.keys().nth(METRICS_MAX).cloned().map(|first| metrics.split_off(&first).len());
    invalid.extend(beyond.map(|found| ReportError::TooManyMetrics { found }));
    (metrics, invalid)
}

fn metric_name(name: &str) -> Result<String, ReportError> {
    let valid = name.len() <= METRIC_NAME_MAX
        && name.starts_with(|c: char| c.is_ascii_lowercase())
        && name.chars().all(|c| c.is_ascii_lowercase() || c.is_ascii_digit() || c == '_');
    let expected = format!(
        "write a name of at most {METRIC_NAME_MAX} lower-case letters, digits and underscores that starts with a \
         letter, as in precision_at_10"
    );
    if valid { Ok(name.to_owned()) } else { Err(invalid("the name of a metric", &Value::from(name), expected)) }
}

/// A decimal number without an exponent. A string without an exponent is kept unchanged.
fn metric_value(field: &str, name: &str, value: &Value) -> Result<String, ReportError> {
    let path = format!("{field}.{name}");
    let decimal = match value {
        Value::String(text) if is_plain_decimal(text) => Some(text.clone()),
        Value::String(text) if text.bytes().all(|byte| byte.is_ascii_digit() || b"+-.eE".contains(&byte)) => {
            text.parse().ok().filter(|number: &f64| number.is_finite()).map(|number| number.to_string())
        }
        Value::Number(number) => Some(plain(number)),
        _ => None,
    };
    let decimal = decimal.ok_or_else(|| invalid(&path, value, "write a finite decimal number, as in \"0.31\""))?;
    if decimal.len() > METRIC_VALUE_MAX {
        return Err(invalid(&path, value, format!("round it to at most {METRIC_VALUE_MAX} characters")));
    }
    Ok(decimal)
}

fn plain(number: &serde_json::Number) -> String {
    match (number.as_i64(), number.as_u64(), number.as_f64()) {
        (Some(whole), ..) => whole.to_string(),
        (_, Some(whole), _) => whole.to_string(),
        // Rust formats floats without an exponent.
        (.., Some(float)) => float.to_string(),
        _ => number.to_string(),
    }
}

fn is_plain_decimal(text: &str) -> bool {
    let digits = |text: &str| !text.is_empty() && text.bytes().all(|byte| byte.is_ascii_digit());
    let unsigned = text.strip_prefix('-').unwrap_or(text);
    match unsigned.split_once('.') {
        Some((whole, fraction)) => digits(whole) && digits(fraction),
        None => digits(unsigned),
    }
}

fn uri(artifact: &Map<String, Value>, prefix: &str) -> Result<String, ReportError> {
    let value = field(artifact, "uri", "where the artifact is, below RECOMMENDER_OUTPUT_URI")?;
    let below = |uri: &str| uri.strip_prefix(prefix).is_some_and(|rest| matches!(rest, "" | "/") || is_path(rest));
    match value.as_str() {
        Some(uri) if uri.len() <= URI_MAX && below(uri) => Ok(uri.to_owned()),
        _ => {
            let expected = format!(
                "write a URI below {prefix}/ (RECOMMENDER_OUTPUT_URI) of at most {URI_MAX} characters, without \
                 empty parts, \".\", \"..\", %, ?, # or spaces"
            );
            Err(invalid("artifact.uri", value, expected))
        }
    }
}

/// Whether `rest` is `/part/part...`, without a part that changes the path when the URI is resolved.
fn is_path(rest: &str) -> bool {
    let plain = |c: char| c.is_alphanumeric() || "-._~!$&'()*+,;=:@".contains(c);
    let part = |part: &str| !matches!(part, "" | "." | "..") && part.chars().all(plain);
    rest.strip_prefix('/').is_some_and(|path| path.strip_suffix('/').unwrap_or(path).split('/').all(part))
}

fn digest(artifact: &Map<String, Value>) -> Result<String, ReportError> {
    const EXPECTED: &str = "sha256: and the 64 hex digits of the artifact's SHA-256";
    let value = field(artifact, "digest", EXPECTED)?;
    let hex = value.as_str().and_then(|text| text.strip_prefix("sha256:"));
    hex.filter(|hex| hex.len() == 64 && hex.bytes().all(|byte| byte.is_ascii_hexdigit()))
        .map(|hex| format!("sha256:{}", hex.to_ascii_lowercase()))
        .ok_or_else(|| invalid("artifact.digest", value, format!("write {EXPECTED}")))
}

fn bytes(artifact: &Map<String, Value>) -> Result<i64, ReportError> {
    const EXPECTED: &str = "the artifact's size in bytes, a whole number of at least 1 without quotes";
    let value = field(artifact, "bytes", EXPECTED)?;
    value
        .as_i64()
        .filter(|bytes| *bytes >= 1)
        .ok_or_else(|| invalid("artifact.bytes", value, format!("write {EXPECTED}")))
}

fn samples(value: &Value) -> Result<i64, ReportError> {
    let expected = "write the number of samples of the test set, a whole number of at least 1 without quotes";
    value.as_i64().filter(|samples| *samples >= 1).ok_or_else(|| invalid("samples", value, expected))
}

/// In whole seconds, the precision of the status. `finished_at` is in whole seconds, too.
fn data_through(value: &Value, finished_at: Timestamp) -> Result<Timestamp, ReportError> {
    const EXPECTED: &str = "with its zone, such as \"2026-11-21T03:00:00Z\", or leave it out";
    let instant: Option<Timestamp> = value.as_str().and_then(|text| text.parse().ok());
    let instant = instant
        .and_then(|instant| Timestamp::from_second(instant.as_second()).ok())
        // The API server rejects dates before the year 0. Training data from before 1970 is not expected.
        .filter(|instant| *instant >= Timestamp::UNIX_EPOCH)
        .ok_or_else(|| invalid("dataThrough", value, format!("write an instant of the past {EXPECTED}")))?;
    within_run(instant, finished_at).ok_or_else(|| {
        let expected =
            format!("it is after the end of the run at {finished_at}: write until when its data reach, {EXPECTED}");
        invalid("dataThrough", value, expected)
    })
}

/// `dataThrough` as far as it can be known at the end of the run; none if it is after that.
pub fn within_run(through: Timestamp, finished_at: Timestamp) -> Option<Timestamp> {
    (through.duration_since(finished_at) <= DATA_AHEAD).then(|| through.min(finished_at))
}

fn invalid(path: &str, found: &Value, expected: impl Into<String>) -> ReportError {
    let path = one_line(path, 2 * SHOWN);
    // A text is cut before it is put in quotes, so that they close.
    let found = match found {
        Value::String(text) => Value::from(one_line(text, SHOWN)).to_string(),
        other => one_line(&other.to_string(), SHOWN),
    };
    ReportError::Invalid { path, found, expected: expected.into() }
}
