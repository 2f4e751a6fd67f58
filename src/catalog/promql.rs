//! What PromQL of the catalogue uses: its series and labels, taken from the tree of the crate `promql-parser`, which checks the
//! syntax, the types of operands and arguments, and regular expressions.
//!
//! Added to it: each selector has a name, because only declared series may be used, and what Prometheus refuses unless it is
//! configured otherwise; the crate accepts that, and `or` between matchers as VictoriaMetrics does.

use std::{collections::BTreeSet, time::Duration};

use promql_parser::{
    label::MatchOp,
    parser::{
        self, Expr, LabelModifier, VectorMatchCardinality, VectorMatchFillValues, VectorSelector,
        token::{T_BOTTOMK, T_COUNT, T_COUNT_VALUES, T_LAND, T_LIMIT_RATIO, T_LIMITK, T_LOR, T_LUNLESS, T_TOPK},
        value::ValueType,
    },
    util::{ExprVisitor, walk_expr},
};

use super::{pitfalls, re2, tokens};

pub use tokens::has_comment;

/// What the crate reports about most mistakes.
const UNSPECIFIC: &str = "invalid promql query";
/// Ends of the names of the series of a classic histogram.
const PARTS: [&str; 3] = ["_bucket", "_count", "_sum"];
/// Functions that give a number for a native histogram.
const NUMBERS: [&str; 7] =
    ["absent", "absent_over_time", "changes", "count_over_time", "present_over_time", "resets", "timestamp"];
/// Functions of counters.
const RATES: [&str; 3] = ["increase", "irate", "rate"];

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
    /// The labels that its result may have; `None`: those of a series.
    pub labels: Option<BTreeSet<String>>,
    /// Whether something in it drops elements, or makes one of nothing.
    pub filters: bool,
    /// Whether it is an aggregation of what a comparison with a number leaves.
    pub is_rest: bool,
    /// A function that compares at least two samples, and its range: the one with the shortest.
    pub shortest_change: Option<(&'static str, Duration)>,
}

/// A selector.
#[derive(Debug, PartialEq, Eq)]
pub struct Used {
    /// Name of the series.
    pub name: String,
    /// Labels of its matchers.
    pub labels: Vec<String>,
    /// The values of its matchers, in the same order, and whether the label is to be equal to it.
    pub values: Vec<(String, bool)>,
    /// Whether its rate is computed.
    pub is_rate: bool,
    /// Whether a function of gauges is computed of it.
    pub is_of_gauges: bool,
    /// Whether the result is a number also of a native histogram.
    pub is_number: bool,
    /// Whether there is a result without it: it is on the right of `unless`.
    pub is_optional: bool,
    /// Whether the result has none of its values: it is on the right of `and` or `unless`.
    pub is_condition: bool,
    /// Whether it is read at another time, by `offset` or `@`.
    pub is_past: bool,
}

/// The name of a histogram, and the end of the name of one of its series.
pub fn histogram_part(name: &str) -> Option<(&str, &'static str)> {
    PARTS.into_iter().find_map(|end| Some((name.strip_suffix(end)?, end)))
}

/// What a part of an expression is an argument of.
#[derive(Clone, Copy, Default)]
struct Within {
    /// A rate.
    rate: bool,
    /// A function of gauges.
    of_gauges: bool,
    /// Something that gives a number for a native histogram.
    number: bool,
    /// A subquery at another time.
    past: bool,
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

/// Whether a text is a duration such as 5m. A range may be a number of seconds without a unit, `for` of a rule may not.
pub fn is_duration(text: &str) -> bool {
    tokens::is_duration(text) && tree(&format!("x[{text}]")).is_ok()
}

/// A counter of which an expression that is to be a rate computes none: what has grown since a process started is no rate. Only the
/// end `_total` shows that a series is a counter, and only where there is nothing else, because a gauge may have that end too. Beside what
/// it was before (`offset`), it is a rate by hand.
pub fn counter_without_rate(text: &str) -> Option<String> {
    let selectors = parse(text).ok()?.selectors;
    let is_by_hand = selectors.iter().any(|of| of.is_past) && selectors.iter().any(|of| !of.is_past);
    if is_by_hand || selectors.iter().any(|of| of.is_rate || of.is_of_gauges) {
        return None;
    }
    let mut values = selectors.into_iter().filter(|of| !of.is_condition && !of.is_number).map(|of| of.name).peekable();
    let first = values.peek()?.clone();
    values.all(|name| name.ends_with("_total")).then_some(first)
}

/// Name and matchers, without their braces, of a text that is a selector and nothing else.
///
/// # Errors
/// Why it is not one.
pub fn selector(text: &str) -> Result<(&str, &str), String> {
    let is_not_one = || format!("{text} is not a selector: write a name, and matchers in braces");
    let Expr::VectorSelector(selector) = tree(text)? else { return Err(is_not_one()) };
    if tokens::has_comment(text) {
        return Err(format!(
            "{text} has a comment in the text of its selector: put it behind the quotes, as one of YAML"
        ));
    }
    let text = text.trim();
    let (name, matchers) = text.split_once('{').map_or((text, ""), |(name, matchers)| (name.trim_end(), matchers));
    let matchers = matchers.strip_suffix('}').unwrap_or(matchers).trim();
    if selector.offset.is_some() || selector.at.is_some() {
        return Err(format!(
            "{text} has something behind the selector: write a name and matchers in braces alone, without offset and @"
        ));
    }
    if !is_metric_name(name) {
        return Err(is_not_one());
    }
    // More matchers follow after a comma.
    Ok((name, matchers.strip_suffix(',').unwrap_or(matchers)))
}

/// The tree of an expression of any type.
///
/// # Errors
/// What is wrong.
pub fn tree(text: &str) -> Result<Expr, String> {
    let tree = parser::parse(&tokens::prepared(text)?).map_err(|why| match why.as_str() {
        UNSPECIFIC => "an operator, an operand or a label is missing or misplaced".into(),
        _ => why,
    })?;
    walk_expr(&mut Flagless, &tree)?;
    Ok(tree)
}

/// Refuses what a Prometheus without feature flags does not accept.
struct Flagless;

impl ExprVisitor for Flagless {
    type Error = String;

    fn pre_visit(&mut self, part: &Expr) -> Result<bool, String> {
        let experimental = match part {
            Expr::VectorSelector(selector) => return matchers(selector).map(|()| true),
            Expr::MatrixSelector(range) => return matchers(&range.vs).map(|()| true),
            Expr::Call(of) => of.func.experimental.then(|| of.func.name.to_owned()),
            Expr::Aggregate(of) => {
                // The walk leaves it out.
                of.param.iter().try_for_each(|param| walk_expr(self, param).map(drop))?;
                [T_LIMITK, T_LIMIT_RATIO].contains(&of.op.id()).then(|| of.op.to_string())
            }
            Expr::Binary(of) => {
                let fills = of.modifier.as_ref().map(|modifier| &modifier.fill_values);
                fills.is_some_and(|fills| *fills != VectorMatchFillValues::default()).then(|| "fill".into())
            }
            _ => None,
        };
        let why = |name: String| format!("{name} is experimental, so Prometheus refuses it without a feature flag");
        experimental.map_or(Ok(true), |name| Err(why(name)))
    }
}

/// Fails unless the matchers of a selector are those of Prometheus.
fn matchers(selector: &VectorSelector) -> Result<(), String> {
    let is_regex = |op: &MatchOp| matches!(op, MatchOp::Re(_) | MatchOp::NotRe(_));
    let patterns = selector.matchers.matchers.iter().filter(|matcher| is_regex(&matcher.op));
    if let Some(why) = patterns.filter_map(|matcher| re2::problem(&matcher.value)).next() {
        return Err(why);
    }
    if selector.matchers.or_matchers.is_empty() {
        return Ok(());
    }
    let name = selector.name.as_ref().map(|name| format!("{name}: ")).unwrap_or_default();
    Err(format!("{name}or between matchers is no PromQL: write two selectors with or between them"))
}

/// Parses an expression of one value for each series.
///
/// # Errors
/// Why it is not one.
pub fn parse(text: &str) -> Result<Expression, String> {
    let tree = tree(text)?;
    match tree.value_type() {
        ValueType::Matrix => return Err("a range has no single value: write rate(...[2m]) or alike".into()),
        ValueType::String => return Err("a string is no value of a series".into()),
        ValueType::Scalar => return Err("a scalar is no series: write an expression with one, as in sum(...)".into()),
        ValueType::Vector => {}
    }
    if let Some(mistake) = pitfalls::first(&tree) {
        return Err(mistake);
    }
    let mut found = Expression {
        is_selector: matches!(tree, Expr::VectorSelector(_)),
        labels: labels(&tree),
        filters: pitfalls::filters(&tree),
        is_rest: pitfalls::is_what_a_comparison_leaves(&tree),
        ..Expression::default()
    };
    found.add(&tree, Within::default())?;
    Ok(found)
}

/// The labels that the result of a part may have; `None`: those of a series.
pub fn labels(part: &Expr) -> Option<BTreeSet<String>> {
    match part {
        Expr::Aggregate(of) => {
            let kept = match &of.modifier {
                None => Some(BTreeSet::new()),
                Some(LabelModifier::Include(by)) => Some(by.labels.iter().cloned().collect()),
                Some(LabelModifier::Exclude(_)) => labels(&of.expr),
            };
            match (of.op.id(), &of.param) {
                // Elements as they are.
                (T_TOPK | T_BOTTOMK, _) => labels(&of.expr),
                (T_COUNT_VALUES, Some(param)) => match param.as_ref() {
                    Expr::StringLiteral(label) => with(kept, label.val.clone()),
                    _ => None,
                },
                _ => kept,
            }
        }
        Expr::Binary(of) => {
            let (left, right) = (labels(&of.lhs), labels(&of.rhs));
            let matching = of.modifier.as_ref().and_then(|modifier| modifier.matching.as_ref());
            let card = of.modifier.as_ref().map(|modifier| &modifier.card);
            match (of.op.id(), card, matching) {
                (T_LAND | T_LUNLESS, ..) => left,
                (T_LOR, ..) => Some(left?.union(&right?).cloned().collect()),
                (_, Some(VectorMatchCardinality::ManyToOne(copied)), _) => {
                    copied.labels.iter().fold(left, |all, label| with(all, label.clone()))
                }
                (_, Some(VectorMatchCardinality::OneToMany(copied)), _) => {
                    copied.labels.iter().fold(right, |all, label| with(all, label.clone()))
                }
                _ if of.rhs.value_type() == ValueType::Scalar => left,
                _ if of.lhs.value_type() == ValueType::Scalar => right,
                (_, _, Some(LabelModifier::Include(on))) => Some(on.labels.iter().cloned().collect()),
                // Elements with the same labels match.
                _ => left.or(right),
            }
        }
        Expr::Call(of) => {
            let of_argument = |index: usize| of.args.args.get(index).and_then(|argument| labels(argument));
            match (of.func.name, of.args.args.get(1).map(AsRef::as_ref)) {
                ("vector" | "scalar" | "time" | "pi", _) => Some(BTreeSet::new()),
                ("absent" | "absent_over_time", _) => None,
                ("label_replace" | "label_join", Some(Expr::StringLiteral(label))) => {
                    with(of_argument(0), label.val.clone())
                }
                ("histogram_quantile", _) => {
                    let mut left = of_argument(1)?;
                    left.remove("le");
                    Some(left)
                }
                ("quantile_over_time" | "histogram_fraction", _) => of_argument(of.args.args.len() - 1),
                _ => of_argument(0),
            }
        }
        Expr::Paren(of) => labels(&of.expr),
        Expr::Unary(of) => labels(&of.expr),
        Expr::Subquery(of) => labels(&of.expr),
        Expr::NumberLiteral(_) | Expr::StringLiteral(_) => Some(BTreeSet::new()),
        Expr::VectorSelector(_) | Expr::MatrixSelector(_) | Expr::Extension(_) => None,
    }
}

fn with(labels: Option<BTreeSet<String>>, label: String) -> Option<BTreeSet<String>> {
    labels.map(|mut labels| {
        labels.insert(label);
        labels
    })
}

/// The range of an argument; `None` of others.
fn range(argument: &Expr) -> Option<Duration> {
    match argument {
        Expr::MatrixSelector(of) => Some(of.range),
        Expr::Subquery(of) => Some(of.range),
        Expr::Paren(of) => range(&of.expr),
        _ => None,
    }
}

impl Expression {
    /// Adds what a part uses.
    fn add(&mut self, part: &Expr, within: Within) -> Result<(), String> {
        match part {
            Expr::VectorSelector(selector) => self.select(selector, within),
            Expr::MatrixSelector(of) => self.select(&of.vs, within),
            Expr::Subquery(of) => {
                let past = within.past || of.offset.is_some() || of.at.is_some();
                self.add(&of.expr, Within { past, ..within })
            }
            Expr::Paren(of) => self.add(&of.expr, within),
            Expr::Unary(of) => self.add(&of.expr, within),
            Expr::Aggregate(of) => {
                self.grouped.extend(of.modifier.iter().flat_map(|by| by.labels().labels.iter().cloned()));
                let within = Within { number: within.number || of.op.id() == T_COUNT, ..within };
                of.param.iter().chain([&of.expr]).try_for_each(|part| self.add(part, within))
            }
            Expr::Binary(of) => {
                let matched = of.modifier.iter().flat_map(|on| &on.matching).map(|on| on.labels());
                let copied = of.modifier.iter().filter_map(|on| on.card.labels());
                self.grouped.extend(matched.chain(copied).flat_map(|of| of.labels.iter().cloned()));
                self.add(&of.lhs, within)?;
                let left = self.selectors.len();
                self.add(&of.rhs, within)?;
                let op = of.op.id();
                for of_right in &mut self.selectors[left..] {
                    of_right.is_optional |= op == T_LUNLESS;
                    of_right.is_condition |= [T_LAND, T_LUNLESS].contains(&op);
                }
                Ok(())
            }
            Expr::Call(of) => {
                // The second argument of label_replace and label_join.
                if let (true, Some(Expr::StringLiteral(label))) =
                    (of.func.name.starts_with("label_"), of.args.args.get(1).map(AsRef::as_ref))
                {
                    self.created.push(label.val.clone());
                }
                let name = of.func.name;
                if RATES.contains(&name) || pitfalls::is_of_gauges(name) {
                    let ranges = of.args.args.iter().filter_map(|argument| Some((name, range(argument)?)));
                    self.shortest_change =
                        self.shortest_change.into_iter().chain(ranges).min_by_key(|(_, range)| *range);
                }
                let is_number = name.starts_with("histogram_") || NUMBERS.contains(&name);
                let within = Within {
                    rate: within.rate || RATES.contains(&name),
                    of_gauges: within.of_gauges || pitfalls::is_of_gauges(name),
                    number: within.number || is_number,
                    ..within
                };
                of.args.args.iter().try_for_each(|part| self.add(part, within))
            }
            Expr::NumberLiteral(_) | Expr::StringLiteral(_) | Expr::Extension(_) => Ok(()),
        }
    }

    fn select(&mut self, selector: &VectorSelector, within: Within) -> Result<(), String> {
        let Some(name) = selector.name.clone() else {
            return Err(format!("{selector} has no name: write that of a series before the braces"));
        };
        let matchers = || selector.matchers.matchers.iter();
        self.selectors.push(Used {
            name,
            labels: matchers().map(|of| of.name.clone()).collect(),
            values: matchers().map(|of| (of.value.clone(), of.op == MatchOp::Equal)).collect(),
            is_rate: within.rate,
            is_of_gauges: within.of_gauges,
            is_number: within.number,
            is_optional: false,
            is_condition: false,
            is_past: within.past || selector.offset.is_some() || selector.at.is_some(),
        });
        Ok(())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn selectors_and_labels_are_listed() {
        let text = r#"sum by (topic) (label_replace(rate(a:b_total{x="}\"",y!~"z"}[2m]), "how", "c", "", "")) and on (pod) c > bool 0.5"#;
        let found = parse(text).expect("it is valid");
        let used = |name: &str, labels: &[&str], values: &[(&str, bool)], is_rate| Used {
            name: name.into(),
            labels: labels.iter().map(|label| (*label).to_owned()).collect(),
            values: values.iter().map(|(value, is_equal)| ((*value).to_owned(), *is_equal)).collect(),
            is_rate,
            is_of_gauges: false,
            is_number: false,
            is_optional: false,
            is_condition: false,
            is_past: false,
        };
        assert_eq!(
            found.selectors,
            [
                used("a:b_total", &["x", "y"], &[("}\"", true), ("z", false)], true),
                Used { is_condition: true, ..used("c", &[], &[], false) }
            ]
        );
        assert_eq!(found.grouped, ["pod", "topic"]);
        assert_eq!(found.created, ["how"]);
        assert!(!found.is_selector && parse(" a{b=\"c\"} ").expect("it is valid").is_selector);
    }

    #[test]
    fn the_labels_of_a_result_are_those_that_its_operations_leave() {
        for (text, labels) in [
            ("a", None),
            ("rate(a[2m]) * 1", None),
            ("sum(a)", Some("")),
            ("sum by (x, y) (a) / on (x) group_left (z) max by (x, z) (b)", Some("x y z")),
            ("max by (pod) (a) > 0 unless b", Some("pod")),
            ("max(a) or sum by (pod) (b)", Some("pod")),
            ("max(a) or b", None),
            ("sum without (x) (max by (x, y) (a))", Some("x y")),
            ("topk(3, a)", None),
            ("a / sum(b)", Some("")),
            ("a / on (x) b", Some("x")),
            (r#"count_values by (y) ("x", a)"#, Some("x y")),
            (r#"label_replace(vector(1), "x", "$1", "y", "(.*)")"#, Some("x")),
            ("histogram_quantile(0.95, sum by (le, x) (rate(a[2m])))", Some("x")),
            ("clamp_max(max(a), 1) + time()", Some("")),
            ("max_over_time(max by (x) (a)[5m:1m])", Some("x")),
        ] {
            let expected = labels.map(|of| of.split_whitespace().map(str::to_owned).collect());
            assert_eq!(parse(text).expect(text).labels, expected, "{text}");
        }
    }

    #[test]
    fn what_is_on_the_right_of_unless_is_optional() {
        let found = parse("a > 1 unless (b or c{x=\"y\"}) and d").expect("it is valid");
        let optional: Vec<_> = found.selectors.iter().map(|of| (of.name.as_str(), of.is_optional)).collect();
        assert_eq!(optional, [("a", false), ("b", true), ("c", true), ("d", false)]);
    }

    #[test]
    fn labels_that_are_copied_from_one_side_are_listed() {
        let found =
            parse("time() - x * on (a) group_left (b) max_over_time(y[5m:15s] offset 1m)").expect("it is valid");
        assert_eq!(found.grouped, ["a", "b"]);
        assert_eq!(found.selectors.len(), 2);
    }

    #[test]
    fn what_is_not_promql_of_the_catalogue_is_refused_with_the_reason() {
        for (text, reason) in [
            ("", "no expression found in input"),
            ("sum(x", "unclosed left parenthesis"),
            ("x y", "an operator, an operand or a label is missing or misplaced"),
            ("x)", "unexpected right parenthesis ')'"),
            ("rate(x)", "expected type matrix in call to function 'rate', got vector"),
            ("x[2m]", "a range has no single value: write rate(...[2m]) or alike"),
            ("\"x\"", "a string is no value of a series"),
            ("1", "a scalar is no series: write an expression with one, as in sum(...)"),
            ("scalar(x)", "a scalar is no series: write an expression with one, as in sum(...)"),
            ("rates(x[2m])", "unknown function with name 'rates'"),
            ("x{a=~\"[\"}", "illegal regex for ["),
            ("{a=\"b\"}", "{a=\"b\"} has no name: write that of a series before the braces"),
            ("x{a=\"b\" or c=\"d\"}", "x: or between matchers is no PromQL: write two selectors with or between them"),
        ] {
            assert_eq!(parse(text).expect_err(text), reason, "{text}");
        }
    }
}
