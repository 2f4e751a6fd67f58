//! Tests of the decisions, one file per topic, and the simulated cluster they share.

mod crashes;
mod due;
mod histories;
mod outcomes;
mod partial;
mod readiness;
mod report;
mod simulation;
mod triggers;

use jiff::Timestamp;

fn at(text: &str) -> Timestamp {
    text.parse().expect("an instant")
}
