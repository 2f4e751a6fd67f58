//! Names metrics of the operator with its prefix, and registers them.

use prometheus::{HistogramOpts, Opts, Registry, core::Collector};

/// Prefix of the names of all metrics.
const PREFIX: &str = "recommender_operator";

/// Options of a counter or gauge.
pub fn opts(name: &str, help: &str) -> Opts {
    Opts::new(name, help).namespace(PREFIX)
}

/// Options of a histogram.
pub fn histogram(name: &str, help: &str) -> HistogramOpts {
    HistogramOpts::new(name, help).namespace(PREFIX)
}

/// Registers a metric. Names and labels are constants, so a failure would be found by the tests.
pub fn register<C: Collector + Clone + 'static>(registry: &Registry, collector: prometheus::Result<C>) -> C {
    let collector = collector.expect("a valid metric");
    registry.register(Box::new(collector.clone())).expect("a metric of its own name");
    collector
}
