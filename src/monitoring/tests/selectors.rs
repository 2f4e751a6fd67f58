//! A parser of selectors, independent of the code that generates them.

/// Keywords and functions of PromQL and labels that occur in our expressions outside of selectors. Any other word is the
/// name of a series, and without braces it would select the series of all objects.
const WORDS: &[&str] = &[
    "Inf",
    "absent",
    "and",
    "artifact",
    "avg",
    "avg_over_time",
    "bool",
    "bucket",
    "by",
    "changes",
    "clamp_max",
    "clamp_min",
    "class",
    "collection",
    "component",
    "count",
    "count_over_time",
    "database",
    "dependency",
    "deriv",
    "entity",
    "event",
    "feature",
    "group_left",
    "histogram_count",
    "histogram_fraction",
    "histogram_quantile",
    "histogram_sum",
    "ignoring",
    "increase",
    "instance",
    "irate",
    "job",
    "job_id",
    "job_name",
    "key",
    "kind",
    "label_replace",
    "last_over_time",
    "le",
    "max",
    "max_over_time",
    "metric",
    "min",
    "min_over_time",
    "model",
    "name",
    "namespace",
    "offset",
    "on",
    "op_type",
    "operation",
    "operator_id",
    "or",
    "partition",
    "pod",
    "predict_linear",
    "present_over_time",
    "quantile_over_time",
    "queue",
    "rate",
    "reason",
    "recommender",
    "resets",
    "result",
    "round",
    "route",
    "stage",
    "state",
    "status",
    "subtask_index",
    "sum",
    "sum_over_time",
    "task",
    "time",
    "timestamp",
    "topic",
    "topk",
    "type",
    "unless",
    "vector",
    "version",
    "without",
    "workload",
];

#[derive(Debug)]
pub struct Selector {
    pub name: String,
    /// Label, operator, value.
    pub matchers: Vec<(String, String, String)>,
}

impl Selector {
    pub fn value(&self, label: &str) -> Option<&str> {
        self.matchers.iter().find(|(l, op, _)| l == label && op == "=").map(|(_, _, value)| value.as_str())
    }
}

/// All selectors of an expression, parsed by Prometheus' rules for names and strings. (Whether the whole is valid PromQL is
/// checked with Prometheus' own parser in the e2e crate's tests of the rules.)
pub fn selectors(expr: &str) -> Vec<Selector> {
    let mut rest = expr.chars().peekable();
    let mut found = Vec::new();
    while let Some(&c) = rest.peek() {
        match c {
            'a'..='z' | 'A'..='Z' | ':' => {
                let name = word(&mut rest);
                if rest.next_if_eq(&'{').is_some() {
                    found.push(Selector { name, matchers: matchers(&mut rest) });
                } else {
                    assert!(WORDS.contains(&name.as_str()), "{name} without a selector in {expr}");
                }
            }
            // Numbers and durations.
            '0'..='9' => drop(word(&mut rest)),
            '"' => drop(string(&mut rest)),
            _ if "()[], <>=!+-/*.".contains(c) => _ = rest.next(),
            other => panic!("{other:?} outside of a string in {expr}"),
        }
    }
    found
}

type Characters<'a> = std::iter::Peekable<std::str::Chars<'a>>;

fn word(rest: &mut Characters) -> String {
    std::iter::from_fn(|| rest.next_if(|c| c.is_ascii_alphanumeric() || "_:".contains(*c))).collect()
}

fn matchers(rest: &mut Characters) -> Vec<(String, String, String)> {
    let mut all = Vec::new();
    loop {
        let label = word(rest);
        let operator = std::iter::from_fn(|| rest.next_if(|c| "=!~".contains(*c))).collect();
        all.push((label, operator, string(rest)));
        match rest.next() {
            Some(',') => {}
            Some('}') => return all,
            other => panic!("{other:?} after a matcher"),
        }
    }
}

fn string(rest: &mut Characters) -> String {
    assert_eq!(rest.next(), Some('"'), "a string begins");
    let mut value = String::new();
    loop {
        match rest.next().expect("a string ends") {
            '"' => return value,
            '\n' => panic!("a line ends within a string"),
            '\\' => match rest.next() {
                Some('u') => {
                    let code: String = rest.by_ref().take(4).collect();
                    value.extend(u32::from_str_radix(&code, 16).ok().and_then(char::from_u32));
                }
                Some(c @ ('"' | '\\')) => value.push(c),
                other => panic!("unknown escape {other:?}"),
            },
            c => value.push(c),
        }
    }
}

/// An expression with each string literal replaced by the index of its value in `values`, so that it does not depend on the
/// names of the object.
pub fn without_strings(expr: &str, values: &[String]) -> String {
    let mut rest = expr.chars().peekable();
    let mut left = String::new();
    while let Some(&c) = rest.peek() {
        if c == '"' {
            let value = string(&mut rest);
            let index = values.iter().position(|known| *known == value);
            left += &index.map_or(format!("{value:?}"), |index| format!("<{index}>"));
        } else {
            left.push(c);
            rest.next();
        }
    }
    left
}
