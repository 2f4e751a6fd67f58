//! Building blocks of PromQL expressions. Every text from an object is escaped by [`quote`].

/// `name{matcher,matcher}`, without those that are empty.
pub fn series(name: &str, matchers: &[&str]) -> String {
    let matchers: Vec<&str> = matchers.iter().copied().filter(|matcher| !matcher.is_empty()).collect();
    format!("{name}{{{}}}", matchers.join(","))
}

/// `label="value"`.
pub fn equals(label: &str, value: &str) -> String {
    format!("{label}={}", quote(value))
}

/// `label!~"a|b"`: the label has none of these values. Series without the label match too.
pub fn none_of(label: &str, values: &[&str]) -> String {
    format!("{label}!~{}", any_of(values.iter().copied()))
}

/// A string literal with the regular expression for any of these texts: the value for `label=~`.
pub fn any_of<'a>(values: impl IntoIterator<Item = &'a str>) -> String {
    let alternatives: Vec<String> = values.into_iter().map(quote_regex).collect();
    quote(&alternatives.join("|"))
}

/// A string literal.
pub fn quote(value: &str) -> String {
    let mut quoted = String::with_capacity(value.len() + 2);
    quoted.push('"');
    for c in value.chars() {
        match c {
            '\\' | '"' => quoted.extend(['\\', c]),
            c if c.is_control() => quoted.push_str(&format!("\\u{:04x}", u32::from(c))),
            c => quoted.push(c),
        }
    }
    quoted.push('"');
    quoted
}

/// A regular expression (RE2, as in Prometheus) that matches exactly this text. It is not yet quoted as a string.
pub fn quote_regex(text: &str) -> String {
    let mut escaped = String::with_capacity(text.len());
    for c in text.chars() {
        if r"\.+*?()|[]{}^$".contains(c) {
            escaped.push('\\');
        }
        escaped.push(c);
    }
    escaped
}

/// The words of an expression: its names, numbers and keywords, and those in its string literals.
pub fn words(expr: &str) -> impl Iterator<Item = &str> {
    expr.split(|c: char| !c.is_ascii_alphanumeric() && c != '_' && c != ':').filter(|word| !word.is_empty())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn quotes_backslashes_and_line_breaks_cannot_end_a_string() {
        assert_eq!(quote(r#"a"b\"#), r#""a\"b\\""#);
        assert_eq!(quote("a\nb"), r#""a\u000ab""#);
    }

    #[test]
    fn a_matcher_that_is_empty_is_left_out() {
        assert_eq!(series("up", &["", r#"job="a""#, "", r#"pod="b""#]), r#"up{job="a",pod="b"}"#);
        assert_eq!(series("up", &[""]), "up{}");
    }

    #[test]
    fn metacharacters_in_a_regular_expression_are_escaped() {
        assert_eq!(none_of("handler", &["/metrics", "/a.b"]), r#"handler!~"/metrics|/a\\.b""#);
    }
}
