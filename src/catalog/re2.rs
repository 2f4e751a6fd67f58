//! Regular expressions that Prometheus refuses and the crate `regex` accepts. The crate `promql-parser` has compiled them with that.

use std::sync::LazyLock;

use regex::Regex;

/// Most repetitions of RE2.
const REPETITIONS: u32 = 1_000;

/// An escape, such as that of a code point, or a set of characters, in which other characters have no meaning of their own.
static LITERAL: LazyLock<Regex> =
    LazyLock::new(|| compile(r"\\[xpP]\{[^}]*\}|\\.|\[\^?\]?(?:\[:\^?[a-z]+:\]|\\.|[^\]\\])*\]"));
/// Escapes of the crate alone.
static ESCAPE: LazyLock<Regex> = LazyLock::new(|| compile(r"(?:^|[^\\])(?:\\\\)*(\\[uU<>]|\\b\{)"));
/// Flags of the crate alone.
static FLAG: LazyLock<Regex> = LazyLock::new(|| compile(r"\(\?[imsU-]*[xuR][a-zA-Z-]*[:)]"));
/// A repetition of a repetition.
static NESTED: LazyLock<Regex> = LazyLock::new(|| compile(r"(?:[*+?]|\{\d+(?:,\d*)?\})\??(?:[*+]|\{\d)"));
/// Numbers of repetitions.
static COUNT: LazyLock<Regex> = LazyLock::new(|| compile(r"\{(\d+)(?:,(\d*))?\}"));

fn compile(pattern: &str) -> Regex {
    Regex::new(pattern).expect("a constant pattern is valid")
}

/// Why Prometheus refuses a regular expression; `None` if it is not known to.
pub fn problem(pattern: &str) -> Option<String> {
    let refuse = |what: &str| Some(format!("{what} in the regular expression {pattern} is not one of RE2"));
    if let Some(found) = ESCAPE.captures(pattern) {
        return refuse(&found[1]);
    }
    let bare = LITERAL.replace_all(pattern, "x");
    if let Some(found) = FLAG.find(&bare).or_else(|| NESTED.find(&bare)) {
        return refuse(found.as_str());
    }
    let numbers = |text: &str| text.parse::<u32>().map_or(!text.is_empty(), |number| number > REPETITIONS);
    let mut counts = COUNT.captures_iter(&bare);
    let beyond = counts.find(|of| of.iter().skip(1).flatten().any(|number| numbers(number.as_str())))?;
    Some(format!("{} in the regular expression {pattern} is more than {REPETITIONS} repetitions", &beyond[0]))
}
