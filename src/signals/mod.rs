//! Reads the canonical series from metric sources: Prometheus, and servers with the same HTTP API (Thanos, Mimir,
//! VictoriaMetrics). No other code sends PromQL over HTTP.
//!
//! ```text
//! source (config) -> one query per series for all objects (client) -> newest samples (answer) -> signals (readings)
//!        -> published, for every decision
//! ```
//!
//! A query is a range of a plain series, as in `recommender:lag_messages{recommender!=""}[30s]`: only ranges contain the
//! samples' own times, while an instant vector has the time of the evaluation. The query for error budgets selects the alert on their
//! fast burn as well ([`crate::burns`]). An object's newest sample determines its signal:
//!
//! | newest sample | signal |
//! |---|---|
//! | a number not older than [`Quality::fresh_seconds`] | fresh: may raise and lower |
//! | a number not older than [`Quality::stale_seconds`], from this or an earlier answer | stale: may raise |
//! | a number in an answer that its server marks as partial | stale, regardless of its age |
//! | NaN, infinite, negative, too large for a measurement, not a number, from the future | missing |
//! | from two series of the same object (two clusters, or two Prometheus without de-duplication) | missing |
//! | older, or none | missing, for the reason that the last answer gives |
//!
//! The age is the server's time minus the sample's time, so the clocks of operator and server need not agree.

mod answer;
mod client;
pub mod config;
mod failure;
mod inspector;
mod kubelet;
mod loaded;
mod past;
mod published;
mod reader;
mod readings;
mod reason;
mod servers;
mod transport;

#[cfg(test)]
pub(crate) mod fake;
#[cfg(test)]
mod promises;
#[cfg(test)]
mod tests;
#[cfg(test)]
mod tls_tests;
#[cfg(test)]
mod wire;

pub use config::{ConfigError, SourceConfig};
pub use inspector::Inspector;
pub use kubelet::{FailedProbe, Kubelets, PodCpu};
pub use loaded::{Asked, Evaluated, Group, Loaded, LoadedRule, Pool, Scraped};
pub use past::{Subject, past};
pub use published::Published;
pub use reader::Reader;
pub use readings::{Quality, ReadStats, Readings, Sampled};
pub use reason::is_not_recorded;
pub use servers::Servers;
