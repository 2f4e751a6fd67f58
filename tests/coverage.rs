//! docs/coverage.md: what five designs of a monitored recommender ask for, what produces it here, and the test that shows it.
//!
//! The rows are docs/coverage.yaml. `UPDATE_GENERATED=1 cargo test --test coverage` writes the page.

use std::{
    collections::{BTreeMap, BTreeSet},
    fmt::Write,
    fs,
    path::Path,
};

use recommender_operator::{catalog, series::Series};
use serde::Deserialize;

const ROOT: &str = env!("CARGO_MANIFEST_DIR");

/// What one design asks for.
#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct Row {
    /// The design, and the number of the row after its kind: M of metrics, P of panels, A of alerts, R of reactions, T of training,
    /// L of logs and traces, H of health, C of components. X are rows that all designs miss.
    id: String,
    asks: String,
    /// Canonical series that answer it.
    #[serde(default)]
    series: Vec<String>,
    /// Alerts that answer it.
    #[serde(default)]
    alerts: Vec<String>,
    /// What else answers it.
    by: Option<String>,
    /// Files with the tests that show it: each series and alert is in one of them.
    #[serde(default)]
    tests: Vec<String>,
    /// What is still to come that will answer it.
    later: Option<String>,
}

/// Kinds of rows that must have an answer. Components (C) may come later: those that do not come from metrics.
const ANSWERED: [&str; 3] = ["M", "A", "H"];

/// What the designs are about, by the beginning of their rows' names.
const DESIGNS: [(&str, &str); 6] = [
    ("S0", "FastAPI with ALS and LightFM, MongoDB, MinIO, Redis and RQ"),
    ("S1", "A Python service with a cache, websockets and an upstream behind circuit breakers"),
    ("S2", "Golden signals, RED and USE for three APIs, RabbitMQ, databases and S3"),
    ("S3", "Kafka and Flink with drift monitoring"),
    ("S4", "A distributed recommender with Kafka, NGINX and a log pipeline"),
    ("X", "What all of them miss"),
];

fn rows() -> Vec<Row> {
    serde_saphyr::from_str(include_str!("../docs/coverage.yaml")).expect("docs/coverage.yaml is valid")
}

fn read(path: &str) -> Option<String> {
    fs::read_to_string(Path::new(ROOT).join(path)).ok()
}

/// Why a row does not show what it states.
fn problems(row: &Row, alerts: &BTreeSet<String>, texts: &BTreeMap<&str, String>) -> Vec<String> {
    let mut problems = Vec::new();
    let is_answered = !row.series.is_empty() || !row.alerts.is_empty() || row.by.is_some();
    let kind = row.id.split_once('-').map_or("", |(_, rest)| &rest[..1]);
    match (&row.later, is_answered) {
        (None, false) => problems.push("nothing produces it: write series, alerts or by".into()),
        (Some(later), _) if ANSWERED.contains(&kind) => problems.push(format!("it may not come later ({later})")),
        _ => {}
    }
    if is_answered && row.tests.is_empty() {
        problems.push("no test shows it: write tests".into());
    }
    let known: BTreeSet<&str> = Series::all().map(Series::name).collect();
    let unknown = row.series.iter().filter(|name| !known.contains(name.as_str()));
    problems.extend(unknown.map(|name| format!("{name} is no canonical series")));
    let unknown = row.alerts.iter().filter(|name| !alerts.contains(*name));
    problems.extend(unknown.map(|name| format!("there is no alert {name}")));
    let missing = row.tests.iter().filter(|path| !texts.contains_key(path.as_str()));
    problems.extend(missing.map(|path| format!("{path} cannot be read")));
    let shows = |name: &String| {
        row.tests.iter().any(|path| texts.get(path.as_str()).is_some_and(|text| expects(path, text, name)))
    };
    let untested = row.series.iter().chain(&row.alerts).filter(|name| !shows(name));
    problems.extend(untested.map(|name| format!("none of its tests contains {name}")));
    problems
}

/// Whether a test shows a series or an alert. In a scenario it is expected or evaluated, not only in a comment or an input.
fn expects(path: &str, text: &str, name: &str) -> bool {
    if !path.starts_with("e2e/tests/rules/") {
        return has(text, name);
    }
    let is_given = |line: &&str| line.trim_start().starts_with('#') || line.contains("{series: ");
    text.lines().filter(|line| !is_given(line)).any(|line| has(line, name))
}

/// Whether a text contains a name as a whole.
fn has(text: &str, name: &str) -> bool {
    let is_part = |c: char| c.is_ascii_alphanumeric() || c == '_' || c == ':';
    text.match_indices(name).any(|(at, _)| !text[at + name.len()..].starts_with(is_part))
}

#[test]
fn every_row_is_answered_and_its_test_shows_it() {
    let rows = rows();
    let chart = read("charts/recommender-operator/files/alerts.yaml").unwrap_or_default();
    let of_the_chart = chart.lines().filter_map(|line| line.trim().strip_prefix("- alert: "));
    let alerts = catalog::embedded().alerts.iter().map(|alert| alert.name.as_str()).chain(of_the_chart);
    let alerts: BTreeSet<String> = alerts.map(Into::into).collect();
    let paths = rows.iter().flat_map(|row| &row.tests).map(String::as_str);
    let texts: BTreeMap<&str, String> = paths.filter_map(|path| Some((path, read(path)?))).collect();
    let mut names = BTreeSet::new();
    let mut wrong = Vec::new();
    for row in &rows {
        if !names.insert(&row.id) {
            wrong.push(format!("{}: it is there twice", row.id));
        }
        wrong.extend(problems(row, &alerts, &texts).into_iter().map(|problem| format!("{}: {problem}", row.id)));
    }
    assert!(wrong.is_empty(), "docs/coverage.yaml:\n{}", wrong.join("\n"));
}

#[test]
fn a_row_without_an_answer_or_a_test_is_found() {
    let row = |yaml: &str| serde_saphyr::from_str::<Row>(yaml).expect("a row");
    let texts = BTreeMap::from([("a.yaml", "recommender:requests:rate1m{".to_owned())]);
    let alerts = BTreeSet::from(["RecommenderDrift".to_owned()]);
    for (yaml, problem) in [
        ("{id: S0-M01, asks: a}", "nothing produces it"),
        ("{id: S0-M01, asks: a, later: dashboards}", "it may not come later"),
        ("{id: S0-M01, asks: a, by: b}", "no test shows it"),
        ("{id: S0-M01, asks: a, by: b, tests: [gone.rs]}", "gone.rs cannot be read"),
        ("{id: S0-M01, asks: a, series: ['recommender:nothing'], tests: [a.yaml]}", "no canonical series"),
        ("{id: S0-M01, asks: a, alerts: [RecommenderNothing], tests: [a.yaml]}", "there is no alert"),
        ("{id: S0-M01, asks: a, alerts: [RecommenderDrift], tests: [a.yaml]}", "none of its tests contains"),
        ("{id: S0-M01, asks: a, series: ['recommender:requests'], tests: [a.yaml]}", "no canonical series"),
    ] {
        let found = problems(&row(yaml), &alerts, &texts).join("\n");
        assert!(found.contains(problem), "{yaml}: {found}");
    }
    for yaml in [
        "{id: S0-M01, asks: a, series: ['recommender:requests:rate1m'], tests: [a.yaml]}",
        "{id: S0-P01, asks: a, later: dashboards}",
    ] {
        assert_eq!(problems(&row(yaml), &alerts, &texts), Vec::<String>::new());
    }
}

#[test]
fn the_page_is_up_to_date() {
    let rows = rows();
    let mut page = String::from(HEAD);
    let answered = rows.iter().filter(|row| row.later.is_none()).count();
    writeln!(
        page,
        "{answered} of {} rows have an answer; of the others, the table states what is to come.",
        rows.len()
    )
    .expect("a String takes everything");
    for (prefix, about) in DESIGNS {
        write!(page, "\n## {prefix}: {about}\n\n| Row | It asks for | What produces it | Test |\n|---|---|---|---|\n")
            .expect("a String takes everything");
        for row in rows.iter().filter(|row| row.id.starts_with(prefix)) {
            writeln!(page, "| {} | {} | {} | {} |", row.id, cell(&row.asks), produced(row), shown(row))
                .expect("a String takes everything");
        }
    }
    let path = Path::new(ROOT).join("docs/coverage.md");
    if std::env::var_os("UPDATE_GENERATED").is_some() {
        fs::write(&path, &page).expect("the file can be written");
    }
    let found = fs::read_to_string(path).unwrap_or_default();
    assert!(found == page, "docs/coverage.md is out of date: run `UPDATE_GENERATED=1 cargo test --test coverage`");
}

/// Text of a table: a bar would end its cell.
fn cell(text: &str) -> String {
    text.replace('|', "\\|")
}

fn produced(row: &Row) -> String {
    let code = row.series.iter().chain(&row.alerts).map(|name| format!("`{name}`"));
    let all: Vec<String> = code.chain(row.by.as_deref().map(cell)).collect();
    match &row.later {
        Some(later) => [all.join(", "), format!("to come: {later}")].join(" ").trim().to_owned(),
        None => all.join(", "),
    }
}

fn shown(row: &Row) -> String {
    let link = |path: &String| {
        let name = path.rsplit('/').next().unwrap_or(path);
        format!("[{name}](../{path})")
    };
    row.tests.iter().map(link).collect::<Vec<_>>().join(", ")
}

/// How the page begins.
const HEAD: &str = "<!-- Generated from docs/coverage.yaml by UPDATE_GENERATED=1 cargo test --test coverage -->
# Coverage: what five designs of a monitored recommender ask for

This operator grew out of five designs. Each row is one thing that one of them watches, plots, alerts on or reacts to, with the series,
alerts and settings that produce it here, and the file with the test that shows it. M are metrics, P panels, A alerts, R reactions, T
training, L logs and traces, H health, C components and their configuration.

";
