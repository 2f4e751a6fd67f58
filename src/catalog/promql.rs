//! A parser of the PromQL that the catalogue uses. It refuses what is not PromQL, and lists the series and labels that an
//! expression uses. Stricter than Prometheus: each selector has a name, and of functions it knows those in [`FUNCTIONS`].

/// Functions, with whether their argument is a range.
const FUNCTIONS: [(&str, bool); 31] = [
    ("abs", false),
    ("absent", false),
    ("ceil", false),
    ("clamp", false),
    ("clamp_max", false),
    ("clamp_min", false),
    ("floor", false),
    ("histogram_quantile", false),
    ("label_join", false),
    ("label_replace", false),
    ("round", false),
    ("scalar", false),
    ("sort", false),
    ("time", false),
    ("timestamp", false),
    ("vector", false),
    ("absent_over_time", true),
    ("avg_over_time", true),
    ("changes", true),
    ("count_over_time", true),
    ("delta", true),
    ("deriv", true),
    ("idelta", true),
    ("increase", true),
    ("irate", true),
    ("last_over_time", true),
    ("max_over_time", true),
    ("min_over_time", true),
    ("rate", true),
    ("resets", true),
    ("sum_over_time", true),
];
/// Functions of counters.
const RATES: [&str; 3] = ["increase", "irate", "rate"];
/// Aggregations without a parameter, then those with one.
const AGGREGATIONS: [&str; 11] =
    ["avg", "count", "group", "max", "min", "stddev", "sum", "bottomk", "count_values", "quantile", "topk"];
/// Operators, longer ones before those that they begin with.
const OPERATORS: [&str; 16] =
    ["==", "!=", "<=", ">=", "<", ">", "+", "-", "*", "/", "%", "^", "and", "or", "unless", "atan2"];
/// Units of durations.
const DURATIONS: [&str; 7] = ["ms", "s", "m", "h", "d", "w", "y"];

/// What an expression uses.
#[derive(Debug, Default, PartialEq, Eq)]
pub struct Expression {
    /// Its selectors.
    pub selectors: Vec<Used>,
    /// Labels that it groups or matches by.
    pub grouped: Vec<String>,
    /// Labels that it creates.
    pub created: Vec<String>,
    /// Whether it is one selector and nothing else.
    pub is_selector: bool,
}

/// A selector.
#[derive(Debug, PartialEq, Eq)]
pub struct Used {
    /// Name of the series.
    pub name: String,
    /// Labels of its matchers.
    pub labels: Vec<String>,
    /// Whether its rate is computed.
    pub is_rate: bool,
}

/// Whether a series may have this name.
pub fn is_metric_name(name: &str) -> bool {
    is_name(name, |c| c == ':')
}

/// Whether a label may have this name.
pub fn is_label_name(name: &str) -> bool {
    is_name(name, |_| false) && !name.starts_with("__")
}

fn is_name(name: &str, also: impl Fn(char) -> bool) -> bool {
    let is_letter = |c: char| c.is_ascii_alphabetic() || c == '_' || also(c);
    name.starts_with(is_letter) && name.chars().all(|c| is_letter(c) || c.is_ascii_digit())
}

/// Parses an expression.
///
/// # Errors
/// The first thing that is not as expected.
pub fn parse(text: &str) -> Result<Expression, String> {
    let mut parser = Parser { rest: text.trim(), found: Expression::default() };
    let kind = parser.expression()?;
    if !parser.rest.is_empty() {
        return Err(parser.expected("an operator or the end"));
    }
    if kind == Value::Range {
        return Err("a range has no single value: write rate(...[2m]) or alike".into());
    }
    parser.found.is_selector = kind == Value::Selector;
    Ok(parser.found)
}

/// What a part of an expression is.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Value {
    /// A selector and nothing else.
    Selector,
    /// A selector or a subquery with a range.
    Range,
    /// A string.
    Text,
    /// Any other value.
    Instant,
}

struct Parser<'a> {
    rest: &'a str,
    found: Expression,
}

impl<'a> Parser<'a> {
    fn expected(&self, what: &str) -> String {
        let found: String = self.rest.chars().take(20).collect();
        let found = if found.is_empty() { "the end".into() } else { format!("{found:?}") };
        format!("expected {what}, found {found}")
    }

    fn skip(&mut self, length: usize) -> &'a str {
        let (skipped, rest) = self.rest.split_at(length);
        self.rest = rest.trim_start();
        skipped
    }

    fn sign(&mut self, sign: char) -> bool {
        let is_next = self.rest.starts_with(sign);
        if is_next {
            self.skip(1);
        }
        is_next
    }

    fn require(&mut self, sign: char) -> Result<(), String> {
        if self.sign(sign) { Ok(()) } else { Err(self.expected(&format!("{sign:?}"))) }
    }

    /// The name at the begin, which may be empty.
    fn peek(&self) -> &'a str {
        let is_part = |c: char| c.is_ascii_alphanumeric() || "_:".contains(c);
        &self.rest[..self.rest.find(|c| !is_part(c)).unwrap_or(self.rest.len())]
    }

    fn word(&mut self, word: &str) -> bool {
        let is_next = self.peek() == word;
        if is_next {
            self.skip(word.len());
        }
        is_next
    }

    fn operator(&mut self) -> bool {
        let is_word = |operator: &str| operator.starts_with(|c: char| c.is_ascii_alphabetic());
        let is_next = |operator: &&str| {
            if is_word(operator) { self.peek() == *operator } else { self.rest.starts_with(*operator) }
        };
        let Some(operator) = OPERATORS.iter().find(|operator| is_next(operator)) else { return false };
        self.skip(operator.len());
        true
    }

    /// Operands with operators between them. Their precedence does not matter here.
    fn expression(&mut self) -> Result<Value, String> {
        let mut kind = self.operand()?;
        while self.operator() {
            self.word("bool");
            if self.word("on") || self.word("ignoring") {
                self.labels()?;
            }
            if (self.word("group_left") || self.word("group_right")) && self.rest.starts_with('(') {
                self.labels()?;
            }
            let other = self.operand()?;
            if [kind, other].iter().any(|of| matches!(of, Value::Range | Value::Text)) {
                return Err("a range or a string cannot be an operand".into());
            }
            kind = Value::Instant;
        }
        Ok(kind)
    }

    fn operand(&mut self) -> Result<Value, String> {
        if self.sign('-') || self.sign('+') {
            return self.operand().map(|_| Value::Instant);
        }
        let mut kind = self.primary()?;
        loop {
            if self.sign('[') {
                self.duration()?;
                if self.sign(':') && !self.rest.starts_with(']') {
                    self.duration()?;
                }
                self.require(']')?;
                kind = Value::Range;
            } else if self.word("offset") {
                self.sign('-');
                self.duration()?;
            } else {
                return Ok(kind);
            }
        }
    }

    fn primary(&mut self) -> Result<Value, String> {
        if self.sign('(') {
            let kind = self.expression()?;
            self.require(')')?;
            return Ok(if kind == Value::Range { kind } else { Value::Instant });
        }
        if self.rest.starts_with('"') {
            return self.string().map(|_| Value::Text);
        }
        if self.rest.starts_with(|c: char| c.is_ascii_digit()) {
            return self.number();
        }
        let name = self.peek();
        if AGGREGATIONS.contains(&name) {
            return self.aggregation();
        }
        if let Some((_, of_range)) = FUNCTIONS.iter().find(|(function, _)| *function == name) {
            return self.call(name, *of_range);
        }
        self.selector()
    }

    fn number(&mut self) -> Result<Value, String> {
        let length = self.rest.find(|c: char| !c.is_ascii_alphanumeric() && c != '.').unwrap_or(self.rest.len());
        if self.rest[..length].parse::<f64>().is_err() {
            return Err(self.expected("a number"));
        }
        self.skip(length);
        Ok(Value::Instant)
    }

    fn duration(&mut self) -> Result<(), String> {
        let digits = self.rest.find(|c: char| !c.is_ascii_digit()).unwrap_or(self.rest.len());
        let letters =
            self.rest[digits..].find(|c: char| !c.is_ascii_alphanumeric()).unwrap_or(self.rest.len() - digits);
        if digits == 0 || !DURATIONS.contains(&&self.rest[digits..digits + letters]) {
            return Err(self.expected("a duration such as 5m"));
        }
        self.skip(digits + letters);
        Ok(())
    }

    /// A string, without its quotes.
    fn string(&mut self) -> Result<&'a str, String> {
        let mut escaped = false;
        let end = self.rest.char_indices().skip(1).find(|(_, c)| {
            let is_end = *c == '"' && !escaped;
            escaped = *c == '\\' && !escaped;
            is_end
        });
        match end {
            Some((end, _)) if self.rest.starts_with('"') => Ok(&self.skip(end + 1)[1..end]),
            _ => Err(self.expected("a string between double quotes")),
        }
    }

    /// Labels between parentheses.
    fn labels(&mut self) -> Result<(), String> {
        self.require('(')?;
        while !self.sign(')') {
            let label = self.peek();
            if !is_label_name(label) {
                return Err(self.expected("a label"));
            }
            self.skip(label.len());
            self.found.grouped.push(label.into());
            if !self.sign(',') && !self.rest.starts_with(')') {
                return Err(self.expected("a comma or the end of the labels"));
            }
        }
        Ok(())
    }

    fn aggregation(&mut self) -> Result<Value, String> {
        self.skip(self.peek().len());
        let is_grouped = self.word("by") || self.word("without");
        if is_grouped {
            self.labels()?;
        }
        self.arguments(false)?;
        if !is_grouped && (self.word("by") || self.word("without")) {
            self.labels()?;
        }
        Ok(Value::Instant)
    }

    fn call(&mut self, name: &str, of_range: bool) -> Result<Value, String> {
        self.skip(name.len());
        let first = self.found.selectors.len();
        let texts = self.arguments(of_range)?;
        if RATES.contains(&name) {
            self.found.selectors[first..].iter_mut().for_each(|selector| selector.is_rate = true);
        }
        if name.starts_with("label_") {
            self.found.created.extend(texts.first().map(|label| (*label).to_owned()));
        }
        Ok(Value::Instant)
    }

    /// Arguments between parentheses; gives those that are strings.
    fn arguments(&mut self, of_range: bool) -> Result<Vec<&'a str>, String> {
        self.require('(')?;
        let (mut texts, mut ranges) = (Vec::new(), 0);
        while !self.sign(')') {
            if self.rest.starts_with('"') {
                texts.push(self.string()?);
            } else if self.expression()? == Value::Range {
                ranges += 1;
            }
            if !self.sign(',') && !self.rest.starts_with(')') {
                return Err(self.expected("a comma or )"));
            }
        }
        match (of_range, ranges) {
            (true, 1) | (false, 0) => Ok(texts),
            (true, _) => Err("expected a range such as x[2m] as the argument of a function over time".into()),
            (false, _) => Err("a range needs a function over time around it, such as rate".into()),
        }
    }

    fn selector(&mut self) -> Result<Value, String> {
        let name = self.peek();
        if !is_metric_name(name) {
            return Err(self.expected("the name of a series, a function or a number"));
        }
        self.skip(name.len());
        if self.rest.starts_with('(') {
            return Err(format!("{name} is no known function"));
        }
        let mut labels = Vec::new();
        if self.sign('{') {
            while !self.sign('}') {
                labels.push(self.matcher()?);
                if !self.sign(',') && !self.rest.starts_with('}') {
                    return Err(self.expected("a comma or }"));
                }
            }
        }
        self.found.selectors.push(Used { name: name.into(), labels, is_rate: false });
        Ok(Value::Selector)
    }

    /// The label of a matcher.
    fn matcher(&mut self) -> Result<String, String> {
        let label = self.peek();
        if !is_label_name(label) {
            return Err(self.expected("a label"));
        }
        self.skip(label.len());
        let operator = ["=~", "!~", "!=", "="].iter().find(|operator| self.rest.starts_with(**operator));
        let Some(operator) = operator else { return Err(self.expected("=, !=, =~ or !~")) };
        self.skip(operator.len());
        self.string()?;
        Ok(label.into())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn selectors_and_labels_are_listed() {
        let text = r#"sum by (topic) (label_replace(rate(a:b_total{x="}\"",y!~"z"}[2m]), "how", "c", "", "")) and on (pod) c > bool 0.5"#;
        let found = parse(text).expect("it is valid");
        let used = |name: &str, labels: &[&str], is_rate| Used {
            name: name.into(),
            labels: labels.iter().map(|label| (*label).to_owned()).collect(),
            is_rate,
        };
        assert_eq!(found.selectors, [used("a:b_total", &["x", "y"], true), used("c", &[], false)]);
        assert_eq!(found.grouped, ["topic", "pod"]);
        assert_eq!(found.created, ["how"]);
        assert!(!found.is_selector && parse(" a{b=\"c\"} ").expect("it is valid").is_selector);
    }

    #[test]
    fn expressions_of_the_catalogue_are_accepted() {
        for text in [
            "max_over_time(x[5m:15s]) and x",
            "x offset 5m - -1",
            "sum(x) by (a, b,)",
            "histogram_quantile(0.95, sum by (le) (rate(x_bucket[1h]))) / 1000 >= 0",
            ":tensorflow:serving:request_count{status=\"OK\",}",
            "time() - x * on (a) group_left (b) y",
            "rate((x[2m]))",
        ] {
            assert_eq!(parse(text).err(), None, "{text}");
        }
    }

    #[test]
    fn what_is_not_promql_is_refused_with_what_was_expected() {
        for (text, reason) in [
            ("", "expected the name of a series, a function or a number, found the end"),
            ("sum(x", "expected a comma or ), found the end"),
            ("x)", "expected an operator or the end, found \")\""),
            ("x y", "expected an operator or the end, found \"y\""),
            ("x + ", "expected the name of a series, a function or a number, found the end"),
            ("rate(x)", "expected a range such as x[2m] as the argument of a function over time"),
            ("sum(x[2m])", "a range needs a function over time around it, such as rate"),
            ("x[2m]", "a range has no single value: write rate(...[2m]) or alike"),
            ("x[2m] + 1", "a range or a string cannot be an operand"),
            ("rate(x[2x])", "expected a duration such as 5m, found \"2x])\""),
            ("rates(x[2m])", "rates is no known function"),
            ("x{a=b}", "expected a string between double quotes, found \"b}\""),
            ("x{a=\"b}", "expected a string between double quotes, found \"\\\"b}\""),
            ("x{a}", "expected =, !=, =~ or !~, found \"}\""),
            ("x{__name__=\"y\"}", "expected a label, found \"__name__=\\\"y\\\"}\""),
            ("{a=\"b\"}", "expected the name of a series, a function or a number, found \"{a=\\\"b\\\"}\""),
            ("sum by (1) (x)", "expected a label, found \"1) (x)\""),
            ("x @ 5", "expected an operator or the end, found \"@ 5\""),
        ] {
            assert_eq!(parse(text).expect_err(text), reason, "{text}");
        }
    }
}
