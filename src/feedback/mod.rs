//! Whether a metric source has really loaded what the operator created for an object: are its rules loaded, healthy and evaluated in
//! time, are its targets up, do the series of its metric profile exist? When not, why, and what to change. Pure.
//!
//! ```text
//! children -> expected --+
//! source -> loaded ------+-> judge -> problems -> describe (selectors of Prometheus objects, scrape pools) -> state -> condition
//! ```
//!
//! A source is asked about an object rarely once everything is loaded, and more often before. Of a source that does not list rules,
//! their recorded series are evidence instead.

mod describe;
mod expected;
mod judge;
mod profile;
mod rules;
mod selectors;
mod state;

pub use describe::{Details, describe};
pub use expected::Expected;
pub use judge::{Problem, judge};
pub use profile::probed;
pub use state::{Due, State};

#[cfg(test)]
mod tests;
