//! PromQL of the spec: what can be said against an expression without a parser.
//!
//! An expression is embedded between parentheses, so it must not close them: brackets and strings are checked completely.
//! Beyond that, mistakes that occur when a query is copied from a dashboard are recognised, to state what to write instead.
//! Whether the rest is valid is checked by Prometheus only: a parser would have to accept all that the user's Prometheus,
//! Thanos or VictoriaMetrics does. The crate `promql-parser` 0.11 does not: it refuses backslashes between back-quotes
//! (``up{a=~`\d+`}``), `1_000 * up`, `rate(up[5m*2])`, `up{a=~"\\Qa.b\\E"}` and every function that it does not know. For most
//! mistakes its message is only "invalid promql query".

/// Functions of Grafana's template variables, which are not part of PromQL.
const OF_GRAFANA: [&str; 4] = ["label_names", "label_values", "metrics", "query_result"];
/// Words after which something must follow, lower case.
const CONNECTIVES: [&str; 12] =
    ["and", "atan2", "bool", "by", "group_left", "group_right", "ignoring", "offset", "on", "or", "unless", "without"];
/// Signs that stand between two operands.
const OPERATORS: &str = "+-*/%^=!<>~,@";

/// A piece of an expression. Comments and blanks are none.
#[derive(Clone, Copy, Debug, PartialEq)]
enum Token<'a> {
    /// A name, a keyword, a number or a duration.
    Word(&'a str),
    /// A string, without its quotes.
    Text(&'a str),
    /// Any other character.
    Sign(char),
}

impl Token<'_> {
    fn is(&self, sign: char) -> bool {
        *self == Token::Sign(sign)
    }

    /// Whether something must follow.
    fn is_connective(&self) -> bool {
        match self {
            Token::Word(word) => CONNECTIVES.contains(&word.to_ascii_lowercase().as_str()),
            Token::Sign(sign) => OPERATORS.contains(*sign),
            Token::Text(_) => false,
        }
    }

    /// Whether it is a number or a duration.
    fn is_number(&self) -> bool {
        matches!(self, Token::Word(word) if word.starts_with(|c: char| c.is_ascii_digit()))
    }
}

/// Why an expression cannot be used, and what to write instead; `None` if nothing is known against it.
pub fn problem(expression: &str) -> Option<String> {
    let tokens = match tokens(expression) {
        Ok(tokens) => tokens,
        Err(why) => return Some(why),
    };
    // Variables first: the text of one may have brackets of its own.
    let checks = [of_grafana, unbalanced, empty, incomplete, not_a_vector];
    checks.iter().find_map(|check| check(&tokens))
}

fn tokens(expression: &str) -> Result<Vec<Token<'_>>, String> {
    let (mut tokens, mut rest) = (Vec::new(), expression);
    while let Some(c) = rest.chars().next() {
        let is_word = |c: char| c.is_alphanumeric() || "_:.".contains(c);
        let length = match c {
            '#' => rest.find(['\n', '\r']).unwrap_or(rest.len()),
            '"' | '\'' | '`' => {
                let length = string_length(rest, c).ok_or(format!("a string that begins with {c} has no end"))?;
                tokens.push(Token::Text(&rest[1..length - 1]));
                length
            }
            c if is_word(c) => {
                let length = rest.find(|c: char| !is_word(c)).unwrap_or(rest.len());
                tokens.push(Token::Word(&rest[..length]));
                length
            }
            c => {
                tokens.extend((!c.is_whitespace()).then_some(Token::Sign(c)));
                c.len_utf8()
            }
        };
        rest = &rest[length..];
    }
    Ok(tokens)
}

/// Length of the string at the beginning, with its quotes. Between back-quotes there are no escapes, and only there line
/// breaks are allowed.
fn string_length(text: &str, quote: char) -> Option<usize> {
    let mut rest = text.char_indices().skip(1);
    while let Some((at, c)) = rest.next() {
        match c {
            c if c == quote => return Some(at + 1),
            '\\' if quote != '`' => drop(rest.next()),
            '\n' if quote != '`' => return None,
            _ => {}
        }
    }
    None
}

/// An unbalanced bracket.
fn unbalanced(tokens: &[Token]) -> Option<String> {
    let mut open = Vec::new();
    for token in tokens {
        match token {
            Token::Sign(c @ ('(' | '[' | '{')) => open.push(*c),
            Token::Sign(c @ (')' | ']' | '}')) if open.pop() != Some(opening(*c)) => {
                return Some(format!("there is a {c} that closes nothing"));
            }
            _ => {}
        }
    }
    open.pop().map(|bracket| format!("there is a {bracket} that is not closed"))
}

fn opening(closing: char) -> char {
    match closing {
        ')' => '(',
        ']' => '[',
        _ => '{',
    }
}

fn empty(tokens: &[Token]) -> Option<String> {
    tokens.is_empty().then(|| "there is no expression in it".into())
}

/// A variable or a function of Grafana.
fn of_grafana(tokens: &[Token]) -> Option<String> {
    let mut braces = 0;
    for (index, token) in tokens.iter().enumerate() {
        let next = |ahead: usize| tokens.get(index + ahead).copied();
        match token {
            Token::Sign('{') => braces += 1,
            Token::Sign('}') => braces -= 1,
            // $name, ${name}, ${name:regex}
            Token::Sign('$') => match (next(1), next(2)) {
                (Some(Token::Word(name)), _) => return Some(variable(&format!("${name}"), name)),
                (Some(Token::Sign('{')), Some(Token::Word(name))) => {
                    return Some(variable(&format!("${{{name}}}"), name));
                }
                _ => return Some("there is a $, which has no meaning in PromQL: remove it".into()),
            },
            Token::Sign('[') if next(1).is_some_and(|next| next.is('[')) => {
                if let Some(Token::Word(name)) = next(2) {
                    return Some(variable(&format!("[[{name}]]"), name));
                }
            }
            // Elsewhere $1 is a group of label_replace. In a regular expression nothing can follow the end of the text.
            Token::Text(text) if braces > 0 => {
                if let Some(name) = variable_in(text) {
                    return Some(variable(&format!("${name}"), name));
                }
            }
            Token::Word(word) if OF_GRAFANA.contains(word) && next(1).is_some_and(|next| next.is('(')) => {
                return Some(format!(
                    "{word}() is a function of Grafana's variables, not of PromQL: write the series itself, as in \
                     sum(queue_depth{{queue=\"mail\"}})"
                ));
            }
            _ => {}
        }
    }
    None
}

/// The name of the first `$name` or `${name}` in a string.
fn variable_in(text: &str) -> Option<&str> {
    text.match_indices('$').find_map(|(at, _)| {
        let name = text[at + 1..].trim_start_matches('{');
        let end = name.find(|c: char| !c.is_alphanumeric() && c != '_').unwrap_or(name.len());
        name.starts_with(|c: char| c.is_alphabetic() || c == '_').then_some(&name[..end])
    })
}

fn variable(written: &str, name: &str) -> String {
    let instead = match name {
        "__rate_interval" | "__interval" | "__range" | "__interval_ms" | "__range_s" | "__range_ms" | "__auto" => {
            "write a duration of at least four scrapes, for example 2m"
        }
        _ => "write its value, or remove the matcher that contains it",
    };
    format!("{written} is a variable of Grafana, which Prometheus does not know: {instead}")
}

/// An expression, or a part of it between parentheses, that ends where something must follow.
fn incomplete(tokens: &[Token]) -> Option<String> {
    let ends = tokens.iter().enumerate().filter(|(_, token)| token.is(')'));
    for (index, _) in ends {
        match tokens[..index] {
            // A comma may end a list.
            [.., Token::Sign(sign)] if sign != ',' && OPERATORS.contains(sign) => {
                return Some(format!("nothing follows after {sign}: add the other operand"));
            }
            // Elsewhere it is a label.
            [.., before, Token::Word("offset")] if ends_operand(&before) => {
                return Some("nothing follows after offset: add a duration, for example 5m".into());
            }
            _ => {}
        }
    }
    let last = tokens.last().filter(|last| last.is_connective())?;
    let instead = match last {
        Token::Word("by" | "without" | "on" | "ignoring") => "add the labels, as in by (queue)",
        Token::Word("offset") => "add a duration, for example 5m",
        _ => "add the other operand",
    };
    let last = match last {
        Token::Word(text) | Token::Text(text) => (*text).to_owned(),
        Token::Sign(sign) => sign.to_string(),
    };
    Some(format!("nothing follows after {last}: {instead}"))
}

/// Whether a modifier such as `offset` can come next.
fn ends_operand(token: &Token) -> bool {
    matches!(token, Token::Sign(')' | ']' | '}') | Token::Word(_))
}

/// A number, or a range vector.
fn not_a_vector(tokens: &[Token]) -> Option<String> {
    if tokens.last().is_some_and(|last| last.is(']')) {
        return Some(
            "it ends with a range, and a sum needs one value for each series: write rate(...[2m]) or alike".into(),
        );
    }
    let is_series = |token: &Token| token.is('{') || matches!(token, Token::Word(_)) && !token.is_number();
    let number = tokens.iter().find(|token| token.is_number()).filter(|_| !tokens.iter().any(is_series))?;
    let Token::Word(number) = number else { return None };
    Some(format!("it is a number, not a series: write vector({number})"))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn expressions_that_prometheus_or_victoria_metrics_accept_are_accepted() {
        for expression in [
            "lag",
            "sum by (queue) (lag{queue=~\"a|b\"}[1m:5s])",
            "lag # what waits ) ] }",
            "lag # )\n+ 1",
            "lag # )\r\n+ 1",
            r#"lag{a=")",b='(',c=`\`,d="\")"}"#,
            "`\n`",
            "vector(5)",
            r#"up{a=~"x$"}"#,
            r#"up{a=~"x$|y${2}"}"#,
            r#"label_replace(up, "a", "$1-${name}", "b", "(.*)(?P<name>x)")"#,
            r#"label_replace(up, "a", "$name", "b", "(?P<name>x)")"#,
            "sum by (on, by, offset) (x)",
            "sum by (on,) (x)",
            "sum(x) by (offset)",
            "x offset 5m",
            "-x + -1",
            "a / on (b) group_left c",
            "a * on (b) group_left () c",
            "x @ end()",
            "x @ 1609746000",
            r#"{"my.series"}"#,
            r#"{__name__="x"}"#,
            r#"count({a="b",})"#,
            "1_000 * up",
            "rate(up[5m*2])",
            "sum(x) default 0",
            "sum(metrics)",
            "up == bool 1",
            "d > x",
        ] {
            assert_eq!(problem(expression), None, "{expression}");
        }
    }

    #[test]
    fn expressions_that_would_close_the_parentheses_are_refused_with_a_reason() {
        for (expression, reason) in [
            ("a) or (b", "there is a ) that closes nothing"),
            ("sum(a", "there is a ( that is not closed"),
            ("absent(x", "there is a ( that is not closed"),
            ("a{b=\"c\"", "there is a { that is not closed"),
            ("rate(a[1m)]", "there is a ) that closes nothing"),
            ("a # (\n)", "there is a ) that closes nothing"),
            ("a # \r) or (b", "there is a ) that closes nothing"),
            ("a{b=\"c}", "a string that begins with \" has no end"),
            ("a{b=\"c\\\"}", "a string that begins with \" has no end"),
            ("a{b=\"\n\"}", "a string that begins with \" has no end"),
            ("a{b=`c}", "a string that begins with ` has no end"),
            (" # a\n", "there is no expression in it"),
        ] {
            assert_eq!(problem(expression).as_deref(), Some(reason), "{expression}");
        }
    }

    #[test]
    fn what_is_copied_from_a_dashboard_is_refused_with_what_to_write_instead() {
        let duration = "is a variable of Grafana, which Prometheus does not know: write a duration of at least four scrapes, for \
                        example 2m";
        let value = "is a variable of Grafana, which Prometheus does not know: write its value, or remove the matcher that \
                     contains it";
        for (expression, reason) in [
            ("sum(rate(jobs_added_total[$__rate_interval]))", format!("$__rate_interval {duration}")),
            ("rate(x[${__interval}])", format!("${{__interval}} {duration}")),
            ("rate(x[[[__interval]]])", format!("[[__interval]] {duration}")),
            (r#"sum(queue_depth{queue=~"$queue"})"#, format!("$queue {value}")),
            (r#"sum(queue_depth{namespace="${namespace:regex}"})"#, format!("$namespace {value}")),
            ("topk($n, x)", format!("$n {value}")),
            (
                "label_values(queue_depth, queue)",
                "label_values() is a function of Grafana's variables, not of PromQL: write the series itself, as in \
                 sum(queue_depth{queue=\"mail\"})"
                    .into(),
            ),
            (
                "x[5m]",
                "it ends with a range, and a sum needs one value for each series: write rate(...[2m]) or alike".into(),
            ),
            ("5", "it is a number, not a series: write vector(5)".into()),
            ("sum(x) by", "nothing follows after by: add the labels, as in by (queue)".into()),
            ("sum(rate(x[5m]) offset)", "nothing follows after offset: add a duration, for example 5m".into()),
            ("sum(rate(x[5m])) offset", "nothing follows after offset: add a duration, for example 5m".into()),
            ("sum(x >) + 1", "nothing follows after >: add the other operand".into()),
            ("x /", "nothing follows after /: add the other operand".into()),
            ("x AND", "nothing follows after AND: add the other operand".into()),
        ] {
            assert_eq!(problem(expression), Some(reason), "{expression}");
        }
    }
}
