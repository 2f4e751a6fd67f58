//! Tests of the decisions, by aspect, and the small cluster they share.

mod crashes;
mod due;
mod outcomes;
mod report;
mod schedule;
mod world;

use jiff::Timestamp;

fn at(text: &str) -> Timestamp {
    text.parse().expect("an instant")
}
