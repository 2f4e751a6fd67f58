//! The operator's own metrics. The number of series is bounded, except that the metrics of
//! [`super::models`] have series per object, and those of [`super::scaling`] one per workload.

use std::{sync::Arc, time::Duration};

use prometheus::{
    Encoder, Histogram, HistogramVec, IntCounter, IntCounterVec, IntGauge, Registry, TextEncoder,
    process_collector::ProcessCollector,
};
use tokio::time::Instant;

use super::{
    models::ModelMetrics,
    register::{histogram, opts, register},
    scaling::ScalingMetrics,
};

/// Buckets of the duration of a reconcile, seconds: from one without changes to its deadline.
const RECONCILE_BUCKETS: [f64; 11] = [0.001, 0.005, 0.01, 0.025, 0.05, 0.1, 0.25, 1.0, 5.0, 20.0, 60.0];
/// Buckets of the duration of an API request, seconds: from a cached read to its deadline.
const API_BUCKETS: [f64; 9] = [0.005, 0.01, 0.025, 0.05, 0.1, 0.25, 1.0, 5.0, 10.0];

/// All metrics, in their own registry. Clones share them.
#[derive(Clone, Debug)]
pub struct Metrics(Arc<Inner>);

#[derive(Debug)]
struct Inner {
    registry: Registry,
    reconciles: IntCounterVec,
    reconcile_failures: IntCounterVec,
    reconcile_seconds: Histogram,
    reconciles_in_flight: IntGauge,
    objects: IntGauge,
    queue_length: IntGauge,
    trainings_waiting: IntGauge,
    undecodable_objects: IntGauge,
    catalog_problems: IntGauge,
    api_requests: IntCounterVec,
    api_seconds: HistogramVec,
    panics: IntCounter,
    leader: IntGauge,
    models: ModelMetrics,
    scaling: ScalingMetrics,
}

impl Default for Metrics {
    fn default() -> Self {
        Self::new()
    }
}

impl Metrics {
    /// The content type of [`Metrics::encode`].
    pub const CONTENT_TYPE: &str = prometheus::TEXT_FORMAT;

    /// New metrics, all at zero.
    pub fn new() -> Self {
        let registry = Registry::new();
        register_build_info(&registry);
        // Resident memory, CPU, file descriptors, start time.
        registry.register(Box::new(ProcessCollector::for_self())).expect("a metric of its own name");
        let metrics = Self(Arc::new(Inner::new(registry)));
        for result in ["success", "failure"] {
            metrics.0.reconciles.with_label_values(&[result]);
        }
        metrics
    }

    /// Creates the failure series of these classes with the value zero, so that Prometheus sees the first failure as an
    /// increase.
    pub fn initialize_failures(&self, classes: impl IntoIterator<Item = &'static str>) {
        for class in classes {
            self.0.reconcile_failures.with_label_values(&[class]);
        }
    }

    /// A reconcile begins. It counts as in flight until the timer is dropped, which also records its duration for any outcome.
    pub fn reconcile_timer(&self) -> ReconcileTimer {
        self.0.reconciles_in_flight.inc();
        ReconcileTimer { metrics: self.clone(), started: Instant::now() }
    }

    /// A reconcile ended, successfully or with an error of this class.
    pub fn reconciled(&self, result: Result<(), &'static str>) {
        let label = if result.is_ok() { "success" } else { "failure" };
        self.0.reconciles.with_label_values(&[label]).inc();
        if let Err(class) = result {
            self.0.reconcile_failures.with_label_values(&[class]).inc();
        }
    }

    /// A request to the API server ended after `seconds`. `code` is the HTTP status, `ok` or `none`; anything else counts as
    /// `other`.
    pub fn api_request(&self, verb: &'static str, kind: &'static str, code: &str, seconds: f64) {
        self.0.api_requests.with_label_values(&[verb, kind, bounded(code)]).inc();
        self.0.api_seconds.with_label_values(&[verb, kind]).observe(seconds);
    }

    /// The number of objects in the cache, and of those that cannot be decoded.
    pub fn set_objects(&self, known: usize, undecodable: usize) {
        self.0.objects.set(whole(known));
        self.0.undecodable_objects.set(whole(undecodable));
    }

    /// The number of problems with files of the administrator's catalogue.
    pub fn set_catalog_problems(&self, problems: usize) {
        self.0.catalog_problems.set(whole(problems));
    }

    /// The number of enqueued objects that wait for a reconcile.
    pub fn set_queue_length(&self, waiting: usize) {
        self.0.queue_length.set(whole(waiting));
    }

    /// The number of trainings that are due and wait for others to end.
    pub fn set_trainings_waiting(&self, waiting: usize) {
        self.0.trainings_waiting.set(whole(waiting));
    }

    /// The metrics of objects.
    pub fn models(&self) -> &ModelMetrics {
        &self.0.models
    }

    /// The metrics of scaling.
    pub fn scaling(&self) -> &ScalingMetrics {
        &self.0.scaling
    }

    /// Whether this replica holds the lease.
    pub fn set_leader(&self, leads: bool) {
        self.0.leader.set(i64::from(leads));
    }

    /// A panic happened, caught or not.
    pub fn panicked(&self) {
        self.0.panics.inc();
    }

    /// All metrics in the text format of Prometheus.
    ///
    /// # Errors
    /// When a metric cannot be encoded, which is a defect.
    pub fn encode(&self) -> prometheus::Result<Vec<u8>> {
        let mut text = Vec::new();
        TextEncoder::new().encode(&self.0.registry.gather(), &mut text)?;
        Ok(text)
    }
}

impl Inner {
    fn new(registry: Registry) -> Self {
        let counter = |name, help, labels: &[&str]| register(&registry, IntCounterVec::new(opts(name, help), labels));
        let gauge = |name, help| register(&registry, IntGauge::with_opts(opts(name, help)));
        Self {
            reconciles: counter("reconciles_total", "Reconciles by result: success or failure.", &["result"]),
            reconcile_failures: counter("reconcile_failures_total", "Failed reconciles by class of error.", &["class"]),
            reconcile_seconds: register(
                &registry,
                Histogram::with_opts(
                    histogram("reconcile_duration_seconds", "How long reconciles took.")
                        .buckets(RECONCILE_BUCKETS.into()),
                ),
            ),
            reconciles_in_flight: gauge("reconciles_in_flight", "Reconciles running now."),
            objects: gauge("objects", "RecommenderModels known."),
            undecodable_objects: gauge("undecodable_objects", "RecommenderModels that cannot be decoded."),
            catalog_problems: gauge(
                "catalog_problems",
                "Problems with files of --catalog, which were refused for them.",
            ),
            api_requests: counter(
                "api_requests_total",
                "Requests to the API server by verb, kind, and HTTP status: ok, a code, or none without an answer.",
                &["verb", "kind", "code"],
            ),
            api_seconds: register(
                &registry,
                HistogramVec::new(
                    histogram("api_request_duration_seconds", "How long requests to the API server took.")
                        .buckets(API_BUCKETS.into()),
                    &["verb", "kind"],
                ),
            ),
            panics: register(
                &registry,
                IntCounter::with_opts(opts("panics_total", "Panics: defects of the operator.")),
            ),
            queue_length: gauge("queue_length", "Enqueued objects that wait for a reconcile."),
            trainings_waiting: gauge(
                "trainings_waiting",
                "Trainings that are due and wait, because as many run as may at the same time.",
            ),
            leader: gauge("leader", "1 while this replica holds the lease, else 0."),
            models: ModelMetrics::new(&registry),
            scaling: ScalingMetrics::new(&registry),
            registry,
        }
    }
}

/// Measures one reconcile until it is dropped: at its end, at its deadline, or by a panic.
#[derive(Debug)]
pub struct ReconcileTimer {
    metrics: Metrics,
    started: Instant,
}

impl Drop for ReconcileTimer {
    fn drop(&mut self) {
        let took: Duration = self.started.elapsed();
        self.metrics.0.reconcile_seconds.observe(took.as_secs_f64());
        self.metrics.0.reconciles_in_flight.dec();
    }
}

fn register_build_info(registry: &Registry) {
    let opts = opts("build_info", "Always 1; the version of the operator is the label.");
    let info = register(registry, IntGauge::with_opts(opts.const_label("version", env!("CARGO_PKG_VERSION"))));
    info.set(1);
}

/// Limits the values of a label, so that unexpected codes do not create more and more series.
fn bounded(code: &str) -> &str {
    let is_status = code.len() == 3 && code.bytes().all(|byte| byte.is_ascii_digit());
    if is_status || matches!(code, "ok" | "none") { code } else { "other" }
}

fn whole(count: usize) -> i64 {
    i64::try_from(count).unwrap_or(i64::MAX)
}

#[cfg(test)]
mod tests {
    use std::collections::BTreeSet;

    use super::*;
    use crate::{
        scaling::{Decision, Limit, decision::Inputs},
        telemetry::models::tests::every_sample,
    };

    fn text(metrics: &Metrics) -> String {
        String::from_utf8(metrics.encode().expect("encodes")).expect("UTF-8")
    }

    /// The value of one series, written as in the text format.
    fn value(metrics: &Metrics, series: &str) -> Option<f64> {
        let text = text(metrics);
        let line = text.lines().find_map(|line| line.strip_prefix(series)?.strip_prefix(' ').map(str::to_owned));
        line.map(|value| value.parse().expect("a number"))
    }

    #[test]
    fn names_have_our_prefix_and_process_metrics_are_included() {
        let metrics = Metrics::new();
        metrics.api_request("get", "Service", "ok", 0.1);
        metrics.initialize_failures(["child"]);
        metrics.models().set("shop", "packages", every_sample());
        metrics.scaling().read("default", 0.1, true);
        let inputs = Inputs::Lag { lag: None, arrivals: 0.0, capacity: 1.0, catch_up: 60.0 };
        let decision =
            Decision { replicas: 1, current: 1, unclamped: 1, limit: Limit::Idle, inputs, others: Vec::new() };
        metrics.scaling().decided(["shop", "packages", "events"], &decision, Some(0.5));
        let text = text(&metrics);
        let names: BTreeSet<_> =
            text.lines().filter_map(|line| line.strip_prefix("# TYPE ")?.split(' ').next()).collect();
        let ours = names.iter().filter(|name| name.starts_with("recommender_operator_")).count();
        assert_eq!(ours, 49, "{names:?}");
        assert!(names.iter().all(|name| name.starts_with("recommender_operator_") || name.starts_with("process_")));
        assert!(value(&metrics, "process_resident_memory_bytes").is_some_and(|bytes| bytes > 1e6));
        let version = format!("recommender_operator_build_info{{version=\"{}\"}}", env!("CARGO_PKG_VERSION"));
        assert_eq!(value(&metrics, &version), Some(1.0));
    }

    #[test]
    fn reconciles_are_counted_by_result_and_failures_by_class() {
        let metrics = Metrics::new();
        metrics.initialize_failures(["child", "status"]);
        let success = "recommender_operator_reconciles_total{result=\"success\"}";
        let failure = "recommender_operator_reconciles_total{result=\"failure\"}";
        assert_eq!((value(&metrics, success), value(&metrics, failure)), (Some(0.0), Some(0.0)));
        metrics.reconciled(Ok(()));
        metrics.reconciled(Ok(()));
        metrics.reconciled(Err("child"));
        assert_eq!((value(&metrics, success), value(&metrics, failure)), (Some(2.0), Some(1.0)));
        let class = |class: &str| {
            value(&metrics, &format!("recommender_operator_reconcile_failures_total{{class=\"{class}\"}}"))
        };
        assert_eq!((class("child"), class("status"), class("panic")), (Some(1.0), Some(0.0), None));
    }

    #[tokio::test(start_paused = true)]
    async fn the_timer_records_reconciles_that_were_cancelled() {
        let metrics = Metrics::new();
        let in_flight = "recommender_operator_reconciles_in_flight";
        let work = async {
            let _timer = metrics.reconcile_timer();
            assert_eq!(value(&metrics, in_flight), Some(1.0));
            std::future::pending::<()>().await;
        };
        assert!(tokio::time::timeout(Duration::from_secs(60), work).await.is_err());
        assert_eq!(value(&metrics, in_flight), Some(0.0));
        assert_eq!(value(&metrics, "recommender_operator_reconcile_duration_seconds_count"), Some(1.0));
        assert_eq!(value(&metrics, "recommender_operator_reconcile_duration_seconds_sum"), Some(60.0));
    }

    #[test]
    fn a_panic_does_not_leave_a_reconcile_in_flight() {
        let metrics = Metrics::new();
        let timer = metrics.reconcile_timer();
        let caught = std::panic::catch_unwind(std::panic::AssertUnwindSafe(move || {
            let _timer = timer;
            std::panic::resume_unwind(Box::new("quiet"));
        }));
        assert!(caught.is_err());
        assert_eq!(value(&metrics, "recommender_operator_reconciles_in_flight"), Some(0.0));
    }

    #[test]
    fn requests_are_counted_by_bounded_codes() {
        let metrics = Metrics::new();
        for code in ["ok", "409", "none", "4090", "", "a long story", "٤٠٩"] {
            metrics.api_request("apply", "Deployment", code, 0.02);
        }
        let count = |code: &str| {
            let labels = format!("{{code=\"{code}\",kind=\"Deployment\",verb=\"apply\"}}");
            value(&metrics, &format!("recommender_operator_api_requests_total{labels}"))
        };
        assert_eq!(
            (count("ok"), count("409"), count("none"), count("other")),
            (Some(1.0), Some(1.0), Some(1.0), Some(4.0))
        );
        let seconds =
            "recommender_operator_api_request_duration_seconds_bucket{kind=\"Deployment\",verb=\"apply\",le=\"0.025\"}";
        assert_eq!(value(&metrics, seconds), Some(7.0));
    }

    #[test]
    fn gauges_report_the_current_state() {
        let metrics = Metrics::new();
        metrics.set_leader(true);
        metrics.set_objects(7, 2);
        metrics.set_catalog_problems(4);
        metrics.set_queue_length(3);
        metrics.set_trainings_waiting(5);
        metrics.panicked();
        let gauge = |name: &str| value(&metrics, &format!("recommender_operator_{name}"));
        let names = [
            "leader",
            "objects",
            "undecodable_objects",
            "catalog_problems",
            "queue_length",
            "trainings_waiting",
            "panics_total",
        ];
        let all = names.map(gauge);
        assert_eq!(all, [1.0, 7.0, 2.0, 4.0, 3.0, 5.0, 1.0].map(Some));
        metrics.set_leader(false);
        assert_eq!(gauge("leader"), Some(0.0));
        assert_eq!(value(&Metrics::new(), "recommender_operator_objects"), Some(0.0), "no state is shared by accident");
    }
}
