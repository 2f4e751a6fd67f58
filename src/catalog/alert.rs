//! Alerts over canonical series.

use std::{collections::BTreeSet, ops::RangeInclusive, sync::LazyLock};

use regex::Regex;
use serde::Deserialize;
use serde_saphyr::Spanned;

use super::{load::Refused, promql, series::most_similar, template};
use crate::series::{PREFIX, Series, Subject};

/// Stands for the matchers of the object in an expression, alone as `{@}` or before others as in `{@,state="ready"}`.
const SELECTOR: &str = "{@";
/// Actions of templates that every Prometheus accepts: it drops all rules of an object with another one.
static ACTIONS: LazyLock<Regex> = LazyLock::new(|| {
    let function = r#"humanize|humanize1024|humanizePercentage|humanizeDuration|printf "%[.\d]*[efg]""#;
    let pattern =
        format!(r#"^((if )?\$labels\.[A-Za-z_]\w*|\$value( \| ({function}))?|printf "%[.\d]*[efg]" \$value)$"#);
    Regex::new(&pattern).expect("a constant pattern is valid")
});
/// What [`ACTIONS`] are.
const ACTIONS_MESSAGE: &str = "write {{ $labels.NAME }}, {{ $value }}, {{ $value | humanize }}, also with humanize1024, \
                               humanizePercentage, humanizeDuration or printf \"%.2f\", or {{ if $labels.NAME }}...{{ end }}";
/// The only name that expressions and descriptions of alerts use, see [`template`].
const THRESHOLD: &str = "threshold";
/// Matchers in place of [`SELECTOR`] in checks.
const EXAMPLE: &str = r#"{namespace="n",recommender="r""#;
/// The label by which a check recognises that a selector had [`SELECTOR`].
const SELECTED: &str = "namespace";
/// The labels of an object.
const OBJECT: [&str; 2] = [SELECTED, "recommender"];

/// An alert.
#[derive(Clone, Debug, PartialEq)]
pub struct Alert {
    /// Name: the value of Alertmanager's label `alertname`.
    pub name: String,
    /// Whose series its expression reads.
    pub applies_to: AppliesTo,
    expr: String,
    /// What its expression compares with, if an object may change it.
    pub threshold: Option<Threshold>,
    /// How long the expression must be true before it fires, as in "5m"; `None`: it fires at once.
    pub for_: Option<String>,
    /// Who responds how soon.
    pub severity: Severity,
    /// Alerts of the same object that make this one redundant while they fire.
    pub silenced_by: Vec<String>,
    /// Whether only an object that changes it has it.
    pub is_only_if_set: bool,
    /// URL of its runbook, of an alert that is not embedded.
    pub runbook: Option<String>,
    /// Whether it is embedded: then its runbook is a page in docs/runbooks.
    pub is_embedded: bool,
    /// What is wrong. Contains no values, so that it does not change while the alert fires.
    pub summary: String,
    description: String,
    /// The series that its expression reads and without which it cannot fire.
    pub series: Vec<Series>,
}

/// Whose series an alert reads.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Deserialize)]
#[serde(rename_all = "camelCase")]
pub enum AppliesTo {
    /// The servers.
    Serving,
    /// The training.
    Training,
    /// Servers and workers.
    Workloads,
    /// All dependencies.
    Dependencies,
    /// One dependency at a time, which `absent` needs: the expressions of all are joined by `or`.
    EachDependency,
    /// Service level objectives.
    Objectives,
}

impl AppliesTo {
    /// What the series are about that its expression reads.
    pub const fn subject(self) -> Subject {
        match self {
            Self::Serving | Self::Training | Self::Workloads => Subject::Workload,
            Self::Dependencies | Self::EachDependency => Subject::Dependency,
            Self::Objectives => Subject::Objective,
        }
    }
}

/// Who responds how soon.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Deserialize)]
#[serde(rename_all = "camelCase")]
pub enum Severity {
    /// A person at any time: users get no or wrong answers.
    Critical,
    /// A person in working hours.
    Warning,
    /// A person reads it within a day: it explains another alert, or saves money.
    Info,
}

impl Severity {
    /// The value of the label `severity`.
    pub const fn as_str(self) -> &'static str {
        match self {
            Self::Critical => "critical",
            Self::Warning => "warning",
            Self::Info => "info",
        }
    }
}

/// What an expression compares with.
#[derive(Clone, Copy, Debug, PartialEq, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Threshold {
    /// Its value unless the object sets another.
    pub default: f64,
    /// Its unit.
    pub unit: ThresholdUnit,
    /// The most that it may be, if its series cannot show more.
    most: Option<f64>,
}

/// Unit of a threshold.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Deserialize)]
#[serde(rename_all = "camelCase")]
#[allow(missing_docs, reason = "the names are those of the units")]
pub enum ThresholdUnit {
    Seconds,
    /// A part of a whole, 0 to 1.
    Ratio,
    Restarts,
    Runs,
    Versions,
    Messages,
    PerSecond,
    /// A multiple of what the spec asks for.
    Times,
    /// How much values differ from those of the training, such as the PSI.
    Score,
}

impl ThresholdUnit {
    /// Its name in the catalogue.
    pub const fn as_str(self) -> &'static str {
        match self {
            Self::Seconds => "seconds",
            Self::Ratio => "ratio",
            Self::Restarts => "restarts",
            Self::Runs => "runs",
            Self::Versions => "versions",
            Self::Messages => "messages",
            Self::PerSecond => "per second",
            Self::Times => "times",
            Self::Score => "score",
        }
    }

    /// The thresholds that a value can be on both sides of: beyond, an alert fires always or never.
    const fn bounds(self) -> RangeInclusive<f64> {
        match self {
            // A year.
            Self::Seconds => 0.001..=31_536_000.0,
            Self::Ratio => 0.000_001..=0.999_999,
            Self::Restarts | Self::Runs | Self::Versions => 0.0..=1_000.0,
            Self::Messages => 0.0..=1e12,
            Self::PerSecond => 0.0..=1e9,
            Self::Times => 0.01..=1_000.0,
            Self::Score => 0.001..=1_000.0,
        }
    }

    /// A value as people read it.
    fn readable(self, value: f64) -> String {
        match self {
            Self::Seconds => format!("{value}s"),
            // A ratio has at most a few digits; those of the multiplication are rounded off.
            Self::Ratio => format!("{}%", (value * 1e8).round() / 1e6),
            Self::Restarts
            | Self::Runs
            | Self::Versions
            | Self::Messages
            | Self::PerSecond
            | Self::Times
            | Self::Score => value.to_string(),
        }
    }
}

impl Threshold {
    /// Why it cannot have this value; `None` if it can.
    pub fn problem(self, value: f64) -> Option<String> {
        let bounds = self.unit.bounds();
        let (least, most) = (*bounds.start(), self.most.unwrap_or(*bounds.end()));
        let is_within = (least..=most).contains(&value) && value.is_sign_positive();
        (!is_within).then(|| {
            let unit = self.unit.as_str();
            format!("with {value} ({unit}) the alert would fire always or never: write {least} to {most}")
        })
    }
}

impl Alert {
    /// Its expression for the matchers of an object.
    pub fn expr(&self, matchers: &str, threshold: f64) -> String {
        // The matchers last, because they contain text of the object.
        fill(&self.expr, &threshold.to_string()).replace(SELECTOR, &format!("{{{matchers}"))
    }

    /// What was measured, and what to check; a template of Prometheus.
    pub fn description(&self, threshold: f64) -> String {
        let readable = self.threshold.map(|of| of.unit.readable(threshold));
        fill(&self.description, &readable.unwrap_or_default())
    }

    /// Whether its threshold is a latency, which the buckets of the servers' histogram limit.
    pub fn is_on_latency(&self) -> bool {
        self.threshold.is_some_and(|of| of.unit == ThresholdUnit::Seconds)
            && self.series.iter().any(|series| series.is_latency())
    }
}

fn fill(template: &str, threshold: &str) -> String {
    template::fill(template, &std::collections::BTreeMap::new(), &vec![(THRESHOLD, threshold.to_owned())])
}

/// A file in `alerts/`.
#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
pub struct File {
    /// The alerts of the group.
    pub alerts: Vec<Entry>,
}

/// An alert of a file.
#[derive(Deserialize)]
#[serde(deny_unknown_fields, rename_all = "camelCase")]
pub struct Entry {
    /// Its name.
    pub name: Spanned<String>,
    applies_to: AppliesTo,
    expr: Spanned<String>,
    threshold: Option<Spanned<Threshold>>,
    #[serde(rename = "for")]
    for_: Option<Spanned<String>>,
    severity: Severity,
    /// Only an object that changes it has it.
    #[serde(default)]
    only_if_set: bool,
    /// Alerts that make it redundant.
    #[serde(default)]
    pub silenced_by: Vec<Spanned<String>>,
    runbook: Option<Spanned<String>>,
    summary: Spanned<String>,
    description: Spanned<String>,
}

/// An alert of a file, or why it is refused.
pub fn check(entry: Entry) -> Result<Alert, Refused> {
    let name = &entry.name;
    let is_name = |name: &str| name.starts_with("Recommender") && name.chars().all(|c| c.is_ascii_alphanumeric());
    if !is_name(&name.value) {
        return Err(Refused::at(name, format!("{}: write letters and digits after Recommender", name.value)));
    }
    let (series, labels) = check_expr(&entry)?;
    if let Some(of) = &entry.threshold
        && let Some(why) = of.value.problem(of.value.default)
    {
        return Err(Refused::at(of, format!("threshold: {why}")));
    }
    if let Some(text) = entry.for_.as_ref().filter(|text| !promql::is_duration(&text.value)) {
        return Err(Refused::at(text, format!("for: {} is no duration: write for example 5m", text.value)));
    }
    let (summary, description) = (&entry.summary, &entry.description);
    if summary.value.contains("{{") || summary.value.contains('@') || !summary.value.ends_with('.') {
        return Err(Refused::at(summary, "summary: write a sentence without values, which go into the description"));
    }
    if let Some(url) = entry.runbook.as_ref().filter(|url| !is_url(&url.value)) {
        let reason = "runbook: write a URL without blanks and braces, as in https://wiki.example.org/RecommenderX";
        return Err(Refused::at(url, reason));
    }
    check_names("description", description, entry.threshold.is_some())?;
    check_description(description, &labels)?;
    Ok(Alert {
        name: entry.name.value,
        applies_to: entry.applies_to,
        expr: entry.expr.value,
        threshold: entry.threshold.map(|of| of.value),
        for_: entry.for_.map(|of| of.value),
        severity: entry.severity,
        silenced_by: entry.silenced_by.into_iter().map(|of| of.value).collect(),
        is_only_if_set: entry.only_if_set,
        runbook: entry.runbook.map(|of| of.value),
        is_embedded: false,
        summary: entry.summary.value,
        description: entry.description.value,
        series,
    })
}

/// The actions of a template of Prometheus, with one blank where Go allows any or none.
///
/// # Errors
/// The first one that [`ACTIONS`] do not have, or what is open at the end.
fn actions(text: &str) -> Result<Vec<String>, String> {
    let (mut is_open, mut actions) = (false, Vec::new());
    for piece in text.split("{{").skip(1) {
        let Some((action, _)) = piece.split_once("}}") else { return Err(format!("{{{{{piece}")) };
        let action = normal(action);
        let is_allowed = match action.as_str() {
            "end" => std::mem::replace(&mut is_open, false),
            condition if condition.starts_with("if ") => {
                !std::mem::replace(&mut is_open, true) && ACTIONS.is_match(condition)
            }
            value => ACTIONS.is_match(value),
        };
        if !is_allowed {
            return Err(format!("{{{{ {action} }}}}"));
        }
        actions.push(action);
    }
    if is_open { Err("{{ if }} without {{ end }}".into()) } else { Ok(actions) }
}

/// An action without the marks that trim what is around it, and with blanks around pipes.
fn normal(action: &str) -> String {
    let is_blank = |c: char| c.is_ascii_whitespace();
    let action = action.strip_prefix('-').filter(|rest| rest.starts_with(is_blank)).unwrap_or(action);
    let action = action.strip_suffix('-').filter(|rest| rest.ends_with(is_blank)).unwrap_or(action);
    action.replace('|', " | ").split_whitespace().collect::<Vec<_>>().join(" ")
}

/// Fails unless a description has only actions that Prometheus accepts, of labels that the alert has, and names the object.
fn check_description(text: &Spanned<String>, labels: &BTreeSet<String>) -> Result<(), Refused> {
    let refuse = |why: String| Err(Refused::at(text, format!("description: {why}")));
    let actions = match actions(&text.value) {
        Ok(actions) => actions,
        Err(action) => return refuse(format!("{action} is no action that descriptions may have: {ACTIONS_MESSAGE}")),
    };
    let named = |action: &str| Some(action.trim_start_matches("if ").strip_prefix("$labels.")?.to_owned());
    let named: BTreeSet<String> = actions.iter().filter_map(|action| named(action)).collect();
    for label in ["recommender", "namespace"] {
        if !named.contains(label) {
            return refuse(format!("name the object with {{{{ $labels.{label} }}}}"));
        }
    }
    if let Some(label) = named.iter().find(|label| !labels.contains(*label)) {
        let known: Vec<&str> = labels.iter().map(String::as_str).collect();
        return refuse(format!(
            "{label} is no label of the alert, so nothing would be written: it has {}",
            known.join(", ")
        ));
    }
    Ok(())
}

/// Whether a text is a URL. Annotations are templates, so it has no braces.
pub fn is_url(text: &str) -> bool {
    let has_scheme = ["http://", "https://"].iter().any(|scheme| text.starts_with(scheme));
    has_scheme && !text.contains(|c: char| c.is_whitespace() || "{}".contains(c))
}

/// The series without which an expression has no result, and the labels that its result may have.
fn check_expr(entry: &Entry) -> Result<(Vec<Series>, BTreeSet<String>), Refused> {
    let text = &entry.expr;
    let refuse = |reason: String| Refused::at(text, format!("expr: {reason}"));
    let selected = text.value.replace(SELECTOR, EXAMPLE);
    let default = entry.threshold.as_ref().map(|of| of.value.default.to_string());
    check_names("expr", &Spanned { value: selected.clone(), ..text.clone() }, default.is_some())?;
    if default.is_some() && !template::names(&selected).any(|name| name == THRESHOLD) {
        return Err(refuse("the threshold is not used: compare with @threshold, or leave threshold out".into()));
    }
    let filled = fill(&selected, &default.unwrap_or_default());
    let found = promql::parse(&filled).map_err(|why| refuse(format!("{why}, in {}", text.value)))?;
    let (mut series, mut labels) = (Vec::new(), found.created.iter().cloned().collect::<BTreeSet<_>>());
    for selector in &found.selectors {
        let canonical = check_selector(selector, entry.applies_to).map_err(refuse)?;
        labels.extend(labels_of(canonical).into_iter().map(str::to_owned));
        if !selector.is_optional {
            series.push(canonical);
        }
    }
    if entry.applies_to == AppliesTo::EachDependency && promql::has_comment(&filled) {
        let why = "a comment hides the dependencies that follow in the rule: write it as one of YAML";
        return Err(refuse(format!("{why}, in {}", text.value)));
    }
    if found.selectors.is_empty() {
        return Err(refuse(format!(
            "it reads no series of an object, in {}: write one of them with {{@}}",
            text.value
        )));
    }
    if !found.filters {
        let why = "it has a result as long as its series have, so the alert would always fire: compare it, as in > 5, without bool";
        return Err(refuse(format!("{why}, in {}", text.value)));
    }
    let labels = found.labels.unwrap_or(labels);
    if let Some(lost) = OBJECT.iter().find(|label| !labels.contains(**label)) {
        return Err(refuse(format!(
            "the label {lost} is lost, in {}, so nobody would know whose alert it is: aggregate with sum without (...) of the labels to \
             add up over, or with sum by (namespace, recommender)",
            text.value
        )));
    }
    Ok((series, labels))
}

/// The labels that a series has.
fn labels_of(series: Series) -> Vec<&'static str> {
    OBJECT.into_iter().chain([series.subject().label()]).chain(series.labels().iter().copied()).collect()
}

/// The series of a selector, or why it cannot be one of an alert.
fn check_selector(selector: &promql::Used, applies_to: AppliesTo) -> Result<Series, String> {
    let name = &selector.name;
    let Some(canonical) = Series::named(name) else {
        let known = Series::all().map(Series::name);
        if !name.starts_with(PREFIX) {
            return Err(format!(
                "{name} is no canonical series, and alerts read these alone, so that they fit every profile: write one of \
                 docs/series.md, or record yours as one of spec.monitoring.signals"
            ));
        }
        let nearest = most_similar(name, known).unwrap_or_default();
        return Err(format!("{name} is no canonical series; the most similar one is {nearest}"));
    };
    if !selector.labels.iter().any(|label| label == SELECTED) {
        return Err(format!("{name} is not that of one object: write {name}{{@}}"));
    }
    for label in OBJECT {
        if selector.labels.iter().filter(|of| *of == label).count() > 1 {
            return Err(format!("{{@}} of {name} has the label {label} of each object: remove your matcher of it"));
        }
    }
    let known = labels_of(canonical);
    if let Some(label) = selector.labels.iter().find(|label| !known.contains(&label.as_str())) {
        return Err(format!("{name} has no label {label}; it has {}", known.join(", ")));
    }
    if canonical.subject() != applies_to.subject() {
        let label = canonical.subject().label();
        let remedy = match canonical.subject() {
            Subject::Workload => "write appliesTo: serving, training or workloads",
            Subject::Dependency => "write appliesTo: dependencies",
            Subject::Objective => "write appliesTo: objectives",
            Subject::Pod | Subject::Run => "leave it out, because alerts cannot read it",
        };
        return Err(format!("{name} has the label {label}, which does not go with appliesTo: {remedy}"));
    }
    let (of, other) = match (applies_to, canonical.workload()) {
        (AppliesTo::Serving, Some("training")) => ("serving", "training"),
        (AppliesTo::Training, Some("serving")) => ("training", "serving"),
        _ => return Ok(canonical),
    };
    Err(format!("{name} is one of {other}, and never there with appliesTo: {of}: write appliesTo: {other}"))
}

/// Fails if a template contains another name than that of the threshold, or that without there being one.
fn check_names(field: &str, text: &Spanned<String>, has_threshold: bool) -> Result<(), Refused> {
    let unknown = template::names(&text.value).find(|name| !has_threshold || *name != THRESHOLD);
    let Some(unknown) = unknown else { return Ok(()) };
    let why = template::modifier(unknown).unwrap_or_else(|| {
        format!("@{unknown} stands for nothing: write @{THRESHOLD}, and threshold with its default")
    });
    Err(Refused::at(text, format!("{field}: {why}")))
}
