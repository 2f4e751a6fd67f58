//! What the operator says about itself: logs, metrics, and whether it lives and is ready. One HTTP port serves all of it.

mod health;
mod http;
mod logs;
mod metrics;
mod scaling;

pub use health::{Health, Liveness, Readiness};
pub use http::{router, serve};
pub use logs::{LogError, LogFormat, init_logs, log_panics};
pub use metrics::{Metrics, ReconcileTimer};
pub use scaling::ScalingMetrics;
