//! Regular expressions that Prometheus refuses: those that the crate `regex` accepts, with which the crate `promql-parser` has compiled
//! them ([`problem`]), and all others ([`invalid`]).

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

/// What a regular expression that nothing has compiled yet has wrong; `None` if Prometheus is not known to refuse it. The crate refuses
/// some of RE2 as well, so only what both read alike is compiled: the expression without what is literal in it, and that by itself.
pub fn invalid(pattern: &str) -> Option<String> {
    const OF_RE2_ALONE: [&str; 2] = [r"\Q", r"\C"];
    if OF_RE2_ALONE.iter().any(|of| pattern.contains(of)) {
        return None;
    }
    let parts = LITERAL.find_iter(pattern).map(|found| found.as_str()).filter(|part| !is_read_otherwise(part));
    let bare = LITERAL.replace_all(pattern, "x");
    let wrong = std::iter::once(bare.as_ref()).chain(parts).find_map(|part| Regex::new(part).err());
    let why = wrong.map(|error| {
        let text = error.to_string();
        let why = text.lines().last().unwrap_or_default().trim_start_matches("error: ");
        format!("the regular expression {pattern} is not valid: {why}")
    });
    why.or_else(|| problem(pattern))
}

/// Whether the crate reads a set or an escape otherwise than RE2, or it is only the begin of one: sets in sets and operations on them,
/// octal numbers, and classes and codes without braces.
fn is_read_otherwise(part: &str) -> bool {
    let has_set = part.get(1..).is_some_and(|rest| rest.replace("[:", "").contains('['));
    let is_octal = part.starts_with('\\') && part[1..].starts_with(|c: char| c.is_ascii_digit());
    let is_begin = [r"\p", r"\P", r"\x"].contains(&part);
    has_set || is_octal || is_begin || ["&&", "--", "~~"].iter().any(|of| part.contains(of)) || part.contains("\\0")
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_prometheus_compiles_is_not_refused() {
        let valid = [
            "go_.*",
            "http_(requests|errors)_total",
            "(?i)a+?",
            r"a\.b",
            r"[[a]b",
            "[a-z&&x]",
            "[]a]",
            "[^]a]+",
            r"\Qa(b\E",
            r"\123",
            "a{2,1000}",
            r"\pL+",
            "[[:alpha:]_]*",
            r"\x{10FFFF}",
            "(?P<name>a)",
            r"[\w.-]+",
            "",
            "^a$",
            r"\[(a|b)\]",
            r"[+--]",
        ];
        for pattern in valid {
            assert_eq!(invalid(pattern), None, "{pattern}");
        }
    }

    #[test]
    fn what_prometheus_refuses_is_named_with_its_mistake() {
        for (pattern, why) in [
            ("http_(", "unclosed group"),
            ("a)", "unopened group"),
            ("*_total", "repetition operator missing expression"),
            ("[a-z", "unclosed character class"),
            ("[z-a]", "invalid character class range, the start must be <= the end"),
            (r"a\", "incomplete escape sequence, reached end of pattern prematurely"),
            (r"\y", "unrecognized escape sequence"),
            ("(?=a)", "look-around, including look-ahead and look-behind, is not supported"),
        ] {
            assert_eq!(invalid(pattern), Some(format!("the regular expression {pattern} is not valid: {why}")));
        }
        for (pattern, part) in [("a**", "**"), ("(?x)a", "(?x)"), ("a{1001}", "{1001}")] {
            assert!(invalid(pattern).is_some_and(|why| why.starts_with(part)), "{pattern}");
        }
    }
}
