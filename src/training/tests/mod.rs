//! Tests of the decisions, one file per topic, and the simulated cluster they share.

mod crashes;
mod due;
mod outcomes;
mod report;
mod schedule;
mod simulation;

use jiff::Timestamp;

fn at(text: &str) -> Timestamp {
    text.parse().expect("an instant")
}
