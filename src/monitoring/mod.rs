//! Recording and alerting rules of an object. Pure.
//!
//! ```text
//! metric profile (what the server exposes) -> recording rules -> canonical series -> alerts
//! ```
//!
//! [`Monitored`] is what the rules of an object depend on, and [`rule_groups`] lists them; each other module makes some of them.
//! A new kind of server, a new exporter of a dependency and a new alert are entries of the catalogue (`src/catalog/`).

pub mod alerts;
pub mod application;
pub mod canary;
pub mod dependencies;
pub mod expression;
mod front;
mod groups;
mod histogram;
pub mod inhibition;
mod monitored;
pub mod objectives;
pub mod profiles;
pub(crate) mod promql;
pub mod recording;
pub mod reload;
mod resources;
mod responses;
pub mod scaling;
mod signals;
mod training;
mod urgency;

pub use groups::{LAG_SECONDS, SCALING_SECONDS, is_custom, rule_groups};
pub use monitored::{
    Alerting, Metrics, Monitored, Object, SCRAPE_SECONDS, Servers, Training, Versions, Worker, Workload,
};
pub use signals::{Signals, limited};

#[cfg(test)]
mod tests;
