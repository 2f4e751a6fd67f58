//! Reading the canonical series from metric sources: Prometheus and what speaks its HTTP API (Thanos, Mimir,
//! VictoriaMetrics). The only code that speaks PromQL over HTTP.
//!
//! ```text
//! source (config) -> one query per series for all objects (client) -> newest samples (answer) -> signals (readings)
//! ```
//!
//! A query is a range of a plain series, as in `recommender:lag_messages{recommender!=""}[30s]`, because only ranges come
//! with the samples' own times; an instant vector has the time of the evaluation. The newest sample of an object decides:
//!
//! | newest sample known | signal |
//! |---|---|
//! | a number of at most [`Quality::fresh_seconds`] | fresh: may raise and lower |
//! | a number of at most [`Quality::stale_seconds`], of this or an earlier answer | stale: may raise |
//! | a number in an answer that its server calls partial | stale, however new it is |
//! | NaN, infinite, negative, above any measurement, no number at all, from the future | missing |
//! | two series for the same thing (two clusters, or two Prometheus without de-duplication) | missing |
//! | older, or none | missing, with the reason that the last answer gives |
//!
//! Age is the server's time less the sample's, so that the clocks of the operator and the server need not agree.

mod answer;
mod client;
pub mod config;
mod failure;
mod kubelet;
mod past;
mod reader;
mod readings;
mod series;
mod servers;

#[cfg(test)]
pub(crate) mod fake;
#[cfg(test)]
mod promises;
#[cfg(test)]
mod tests;
#[cfg(test)]
mod wire;

pub use config::{ConfigError, SourceConfig};
pub use kubelet::{FailedProbe, Kubelets, PodCpu};
pub use past::{Subject, past};
pub use reader::Reader;
pub use readings::{Quality, ReadStats, Readings, Sampled};
pub use series::Series;
pub use servers::Servers;
