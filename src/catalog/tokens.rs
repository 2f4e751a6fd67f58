//! The text of an expression as the crate `promql-parser` needs it: the crate reads escapes between back-quotes, where PromQL has
//! none, refuses durations of zero where PromQL does not, and overflows, ignores or panics at numbers that are out of range.

use std::sync::LazyLock;

use regex::{Captures, Regex};

/// A token; what is not named in it needs no attention.
static TOKEN: LazyLock<Regex> = LazyLock::new(|| {
    let pattern = r##"(?xs)
        (?<blank>\#[^\r\n]*|\s+)
        | "(?:[^"\\]|\\.)*" | '(?:[^'\\]|\\.)*'
        | `(?<raw>[^`]*)`
        | (?<duration>(?:[0-9]+(?:ms|[ywdhms]))+\b)
        | (?<number>0[xX][0-9a-fA-F]+ | (?:[0-9]+\.?[0-9]*|\.[0-9]+)(?:[eE][+-]?[0-9]+)? | (?i:inf|nan)\b)
        | (?<name>:?[A-Za-z_][A-Za-z0-9_:]*)
        | (?<sign>.)"##;
    Regex::new(pattern).expect("a constant pattern is valid")
});
/// A part of a duration.
static PART: LazyLock<Regex> =
    LazyLock::new(|| Regex::new("([0-9]+)(ms|[ywdhms])").expect("a constant pattern is valid"));

/// Units of durations in milliseconds. A year has 365 days.
const UNITS: [(&str, u128); 7] = [
    ("ms", 1),
    ("s", 1_000),
    ("m", 60_000),
    ("h", 3_600_000),
    ("d", 86_400_000),
    ("w", 604_800_000),
    ("y", 31_536_000_000),
];
/// The longest duration, in seconds: 2^63 ns.
const LONGEST_SECONDS: f64 = 9_223_372_036.854_775;
/// The end of time stamps, in seconds: that of 64 bits.
const LAST_TIMESTAMP: f64 = 9_223_372_036_854_775_807.0;
/// Seconds that the crate reads as a duration: those of 32 bits.
const READ_SECONDS: f64 = u32::MAX as f64;

/// What stands before a token.
#[derive(Clone, Copy, PartialEq)]
enum Before {
    /// The bracket or the colon of a range: a duration above zero follows.
    Range,
    /// `offset`: a duration follows.
    Offset,
    /// `@`: a time stamp follows.
    At,
    /// Anything else.
    Other,
}

/// The expression for the crate.
///
/// # Errors
/// Which number is out of range.
pub fn prepared(expression: &str) -> Result<String, String> {
    let (mut prepared, mut before) = (String::with_capacity(expression.len()), Before::Other);
    for token in TOKEN.captures_iter(expression) {
        prepared += &replaced(&token, before)?;
        before = after(&token, before);
    }
    Ok(prepared)
}

/// Whether a text is one duration such as 5m, with a unit.
pub fn is_duration(text: &str) -> bool {
    TOKEN.captures(text).and_then(|token| token.name("duration")).is_some_and(|found| found.as_str() == text)
}

/// Whether an expression has a comment.
pub fn has_comment(expression: &str) -> bool {
    TOKEN.captures_iter(expression).any(|token| token[0].starts_with('#'))
}

/// A token for the crate.
fn replaced(token: &Captures, before: Before) -> Result<String, String> {
    let text = &token[0];
    if let Some(raw) = token.name("raw") {
        let escaped = raw.as_str().replace('\\', r"\\").replace('"', r#"\""#).replace('\n', r"\n");
        return Ok(format!("\"{escaped}\""));
    }
    if token.name("duration").is_some() {
        let seconds = duration(text, seconds(text), before)?;
        let is_read = seconds > 0.0 && seconds <= READ_SECONDS;
        return Ok(if is_read { text.into() } else { seconds.to_string() });
    }
    if token.name("number").is_some() {
        let number = number(text);
        if matches!(before, Before::Range | Before::Offset) {
            duration(text, number, before)?;
        }
        if before == Before::At && number.is_none_or(|number| number >= LAST_TIMESTAMP) {
            return Err(format!("the time stamp {text} is out of range"));
        }
    }
    Ok(text.into())
}

/// Seconds of a duration that Prometheus accepts.
fn duration(text: &str, seconds: Option<f64>, before: Before) -> Result<f64, String> {
    match seconds {
        Some(0.0) if before == Before::Range => Err(format!("the duration {text} must be greater than 0")),
        Some(seconds) if seconds <= LONGEST_SECONDS => Ok(seconds),
        _ => Err(format!("the duration {text} is out of range, which ends at 292 years")),
    }
}

/// What stands before the token after this one.
fn after(token: &Captures, before: Before) -> Before {
    let is_offset = token.name("name").is_some_and(|name| name.as_str().eq_ignore_ascii_case("offset"));
    match &token[0] {
        "+" | "-" => before,
        "[" | ":" => Before::Range,
        "@" => Before::At,
        _ if token.name("blank").is_some() => before,
        _ if is_offset => Before::Offset,
        _ => Before::Other,
    }
}

/// The length of a duration in seconds; `None` if it is not a number of 64 bits.
fn seconds(duration: &str) -> Option<f64> {
    let parts = PART.captures_iter(duration).map(|part| {
        let (_, milliseconds) = UNITS.iter().find(|(unit, _)| *unit == &part[2])?;
        Some(u128::from(part[1].parse::<u64>().ok()?) * milliseconds)
    });
    Some(parts.sum::<Option<u128>>()? as f64 / 1000.0)
}

/// The value of a number; `None` if it is none, or has more hexadecimal digits than fit.
fn number(text: &str) -> Option<f64> {
    let hexadecimal = text.strip_prefix("0x").or_else(|| text.strip_prefix("0X"));
    match hexadecimal {
        Some(digits) => u64::from_str_radix(digits, 16).ok().map(|value| value as f64),
        None => text.parse().ok().filter(|value: &f64| !value.is_nan()),
    }
}
