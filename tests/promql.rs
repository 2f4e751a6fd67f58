//! PromQL of specs, see `promql.yaml`.

use std::collections::BTreeMap;

use recommender_operator::monitoring::expression;
use serde::Deserialize;

#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct Table {
    accepted: Vec<String>,
    /// The reason, or a part of it.
    refused: BTreeMap<String, String>,
}

#[test]
fn expressions_that_prometheus_accepts_are_accepted_and_all_others_are_refused_with_the_reason() {
    let table: Table = serde_saphyr::from_str(include_str!("promql.yaml")).expect("the table is well-formed");
    let mut wrong: Vec<String> = Vec::new();
    for text in &table.accepted {
        wrong.extend(expression::problem(text).map(|why| format!("{text} is refused: {why}")));
    }
    for (text, reason) in &table.refused {
        match expression::problem(text) {
            Some(why) if why.contains(reason) && !why.contains("vector(NaN)") => {}
            other => wrong.push(format!("{text}: {reason:?} was expected, found {other:?}")),
        }
    }
    assert!(wrong.is_empty(), "{}", wrong.join("\n"));
}
