//! Telemetry of the operator: logs, metrics, liveness and readiness. Metrics and probes are served on one HTTP port.

mod health;
mod http;
mod logs;
mod metrics;
pub mod models;
mod register;
mod scaling;

pub use health::{Health, Liveness, Readiness};
pub use http::{router, serve};
pub use logs::{LogError, LogFormat, init_logs, log_panics};
pub use metrics::{Metrics, ReconcileTimer};
pub use scaling::ScalingMetrics;
