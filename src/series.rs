//! The canonical vocabulary: the series that our rules record under the same name for every object, whatever its servers expose.
//! Recording rules, the scaler and the tests of alerts take the names from here.

/// What a series is about, which is the label that identifies it beside the object.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Subject {
    /// Servers, a worker or the training: the label `workload`.
    Workload,
    /// What an object depends on: the label `dependency`.
    Dependency,
}

impl Subject {
    /// The label.
    pub const fn label(self) -> &'static str {
        match self {
            Self::Workload => "workload",
            Self::Dependency => "dependency",
        }
    }
}

/// A canonical series. [`Series::row`] has its name, unit and subject.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub enum Series {
    /// The request rate that replicas are decided on.
    RequestRate,
    /// The request rate over the last two scrapes.
    LatestRequestRate,
    /// The latency quantile that has a target.
    Latency,
    /// Requests in flight.
    InFlight,
    /// CPU use of the servers by their own metrics, mean per pod.
    Cpu,
    /// Requests that failed on the servers' side.
    Failed,
    /// Scrape targets that did not answer their last scrape.
    Unanswered,
    /// CPU use by the kubelet's metrics, mean per pod, or the share of periods in which the pods were throttled.
    ContainerCpu,
    /// Requests that arrive in front of the servers.
    Front,
    /// Messages that wait.
    Lag,
    /// Messages that arrive.
    Arrivals,
    /// Messages that are consumed.
    Consumed,
    /// Partitions that consumers share.
    Partitions,
    /// Scrape targets behind which several processes answer in turn, each with its own counters.
    SeveralProcesses,
    /// Whether a dependency works, as its exporter reports it.
    DependencyUp,
    /// Median latency.
    LatencyP50,
    /// 95th percentile of the latency.
    LatencyP95,
    /// 99th percentile of the latency.
    LatencyP99,
    /// The request rate that people and alerts read.
    Requests,
    /// The rate of failed requests that people and alerts read.
    RequestErrors,
    /// Scrape targets.
    Targets,
    /// Scrape targets that answered their last scrape.
    TargetsUp,
    /// Restarts of servers.
    Restarts,
    /// The latency target of the servers.
    LatencyTarget,
    /// Memory of the server that uses most of its limit.
    MemoryUse,
    /// 1 while replicas are held because signals are missing or old, 0 otherwise.
    ScalingHeld,
    /// 1 while more replicas are needed than the maximum, 0 otherwise.
    ScalingAtMaximum,
    /// 1 while more replicas do not help, 0 otherwise.
    ScalingIneffective,
    /// How long it takes to consume what waits, without what arrives meanwhile.
    LagSeconds,
    /// Time within which a worker is to consume what waits.
    LagTarget,
    /// 1 once there is a version to serve, 0 before.
    ServingExpected,
    /// Servers that pass their readiness probes.
    ServingReady,
    /// 1 while the last training run has failed, 0 otherwise.
    TrainingFailed,
    /// Time since the last successful training run.
    TrainingAge,
    /// The longest time between two runs of the schedule; 0 without a schedule.
    TrainingPeriod,
    /// How long a probe of a dependency took.
    DependencyProbe,
    /// Requests to a dependency.
    DependencyRequests,
    /// Requests to a dependency that failed.
    DependencyErrors,
    /// Mean latency of a dependency.
    DependencyLatencyMean,
    /// 95th percentile of the latency of a dependency.
    DependencyLatencyP95,
    /// 99th percentile of the latency of a dependency.
    DependencyLatencyP99,
    /// Connections to a dependency.
    DependencyConnections,
    /// Connections in use, as a part of those that are allowed.
    DependencyConnectionUse,
    /// Memory that a dependency uses.
    DependencyMemory,
    /// The same, as a part of its limit.
    DependencyMemoryUse,
    /// What a dependency stores.
    DependencyBytes,
    /// What it can still store.
    DependencyFree,
    /// Entries that a dependency stores.
    DependencyItems,
    /// How far the replica that is furthest behind is behind.
    ReplicationLag,
    /// How long the oldest transaction has been running.
    OldestTransaction,
    /// Deadlocks of a database.
    Deadlocks,
    /// Lookups in a cache.
    CacheLookups,
    /// Lookups that a cache answered, as a part of all.
    CacheHitRatio,
    /// Entries that a cache removed for lack of memory.
    CacheEvictions,
    /// Pods by the state of their circuit breaker.
    CircuitPods,
    /// Requests that a dependency allows in its period.
    UpstreamQuota,
    /// How many of them are left.
    UpstreamQuotaLeft,
    /// Time until the first certificate of a dependency expires.
    CertificateLeft,
    /// Whether a broker refuses messages for lack of memory or disk.
    BrokerAlarm,
    /// Partitions with fewer replicas in sync than they should have.
    UnderReplicated,
    /// How far the values of a feature are from those of the training.
    DriftScore,
    /// Features that drifted, as a part of all.
    DriftedFeatures,
    /// Time since the drift was last computed.
    DriftAge,
}

/// Name, unit and subject of a series. The end of a name says over what it is computed; names with `rate20s` and `rate10s` refer to
/// scrapes every 5 s, see [`crate::monitoring::scaling`].
struct Row(&'static str, &'static str, Subject);

impl Series {
    /// The series that decisions on replicas are made from, and the health of dependencies, in the order of declaration.
    pub const SCALING: [Self; 15] = [
        Self::RequestRate,
        Self::LatestRequestRate,
        Self::Latency,
        Self::InFlight,
        Self::Cpu,
        Self::Failed,
        Self::Unanswered,
        Self::ContainerCpu,
        Self::Front,
        Self::Lag,
        Self::Arrivals,
        Self::Consumed,
        Self::Partitions,
        Self::SeveralProcesses,
        Self::DependencyUp,
    ];

    /// The others: for people and alerts.
    pub const MONITORING: [Self; 48] = [
        Self::LatencyP50,
        Self::LatencyP95,
        Self::LatencyP99,
        Self::Requests,
        Self::RequestErrors,
        Self::Targets,
        Self::TargetsUp,
        Self::Restarts,
        Self::LatencyTarget,
        Self::MemoryUse,
        Self::ScalingHeld,
        Self::ScalingAtMaximum,
        Self::ScalingIneffective,
        Self::LagSeconds,
        Self::LagTarget,
        Self::ServingExpected,
        Self::ServingReady,
        Self::TrainingFailed,
        Self::TrainingAge,
        Self::TrainingPeriod,
        Self::DependencyProbe,
        Self::DependencyRequests,
        Self::DependencyErrors,
        Self::DependencyLatencyMean,
        Self::DependencyLatencyP95,
        Self::DependencyLatencyP99,
        Self::DependencyConnections,
        Self::DependencyConnectionUse,
        Self::DependencyMemory,
        Self::DependencyMemoryUse,
        Self::DependencyBytes,
        Self::DependencyFree,
        Self::DependencyItems,
        Self::ReplicationLag,
        Self::OldestTransaction,
        Self::Deadlocks,
        Self::CacheLookups,
        Self::CacheHitRatio,
        Self::CacheEvictions,
        Self::CircuitPods,
        Self::UpstreamQuota,
        Self::UpstreamQuotaLeft,
        Self::CertificateLeft,
        Self::BrokerAlarm,
        Self::UnderReplicated,
        Self::DriftScore,
        Self::DriftedFeatures,
        Self::DriftAge,
    ];

    #[rustfmt::skip] // a table
    const fn row(self) -> Row {
        use Subject::{Dependency, Workload};
        match self {
            Self::RequestRate => Row("recommender:requests:rate20s", "requests/s", Workload),
            Self::LatestRequestRate => Row("recommender:requests:rate10s", "requests/s", Workload),
            Self::Latency => Row("recommender:scaling_latency_seconds:rate20s", "seconds", Workload),
            Self::InFlight => Row("recommender:requests_in_flight", "requests", Workload),
            Self::Cpu => Row("recommender:cpu_use:rate20s", "cores used over cores allowed", Workload),
            Self::Failed => Row("recommender:request_errors:rate20s", "requests/s", Workload),
            Self::Unanswered => Row("recommender:targets_unanswered", "targets", Workload),
            Self::ContainerCpu => Row("recommender:container_cpu_use", "cores used over the limit, or 0 to 1", Workload),
            Self::Front => Row("recommender:front_requests:rate1m", "requests/s", Workload),
            Self::Lag => Row("recommender:lag_messages", "messages", Dependency),
            Self::Arrivals => Row("recommender:arrivals:rate1m", "messages/s", Dependency),
            Self::Consumed => Row("recommender:consumed:rate1m", "messages/s", Dependency),
            Self::Partitions => Row("recommender:lag_partitions", "partitions", Dependency),
            Self::SeveralProcesses => Row("recommender:targets_of_several_processes", "targets", Workload),
            Self::DependencyUp => Row("recommender:dependency_up", "0 or 1", Dependency),
            Self::LatencyP50 => Row("recommender:request_latency_seconds:p50", "seconds", Workload),
            Self::LatencyP95 => Row("recommender:request_latency_seconds:p95", "seconds", Workload),
            Self::LatencyP99 => Row("recommender:request_latency_seconds:p99", "seconds", Workload),
            Self::Requests => Row("recommender:requests:rate1m", "requests/s", Workload),
            Self::RequestErrors => Row("recommender:request_errors:rate1m", "requests/s", Workload),
            Self::Targets => Row("recommender:targets", "targets", Workload),
            Self::TargetsUp => Row("recommender:targets_up", "targets", Workload),
            Self::Restarts => Row("recommender:restarts:increase1h", "restarts", Workload),
            Self::LatencyTarget => Row("recommender:latency_target_seconds", "seconds", Workload),
            Self::MemoryUse => Row("recommender:memory_use", "bytes used over the limit", Workload),
            Self::ScalingHeld => Row("recommender:scaling_held", "0 or 1", Workload),
            Self::ScalingAtMaximum => Row("recommender:scaling_at_maximum", "0 or 1", Workload),
            Self::ScalingIneffective => Row("recommender:scaling_ineffective", "0 or 1", Workload),
            Self::LagSeconds => Row("recommender:lag_seconds", "seconds", Dependency),
            Self::LagTarget => Row("recommender:lag_target_seconds", "seconds", Dependency),
            Self::ServingExpected => Row("recommender:serving_expected", "0 or 1", Workload),
            Self::ServingReady => Row("recommender:serving_ready", "servers", Workload),
            Self::TrainingFailed => Row("recommender:training_failed", "0 or 1", Workload),
            Self::TrainingAge => Row("recommender:training_age_seconds", "seconds", Workload),
            Self::TrainingPeriod => Row("recommender:training_period_seconds", "seconds", Workload),
            Self::DependencyProbe => Row("recommender:dependency_probe_seconds", "seconds", Dependency),
            Self::DependencyRequests => Row("recommender:dependency_requests:rate1m", "requests/s", Dependency),
            Self::DependencyErrors => Row("recommender:dependency_errors:rate1m", "requests/s", Dependency),
            Self::DependencyLatencyMean => Row("recommender:dependency_latency_seconds:mean", "seconds", Dependency),
            Self::DependencyLatencyP95 => Row("recommender:dependency_latency_seconds:p95", "seconds", Dependency),
            Self::DependencyLatencyP99 => Row("recommender:dependency_latency_seconds:p99", "seconds", Dependency),
            Self::DependencyConnections => Row("recommender:dependency_connections", "connections", Dependency),
            Self::DependencyConnectionUse => Row("recommender:dependency_connection_use", "connections over those allowed", Dependency),
            Self::DependencyMemory => Row("recommender:dependency_memory_bytes", "bytes", Dependency),
            Self::DependencyMemoryUse => Row("recommender:dependency_memory_use", "bytes used over bytes allowed", Dependency),
            Self::DependencyBytes => Row("recommender:dependency_bytes", "bytes", Dependency),
            Self::DependencyFree => Row("recommender:dependency_free_bytes", "bytes", Dependency),
            Self::DependencyItems => Row("recommender:dependency_items", "items", Dependency),
            Self::ReplicationLag => Row("recommender:replication_lag_seconds", "seconds", Dependency),
            Self::OldestTransaction => Row("recommender:oldest_transaction_seconds", "seconds", Dependency),
            Self::Deadlocks => Row("recommender:deadlocks:increase15m", "deadlocks", Dependency),
            Self::CacheLookups => Row("recommender:cache_lookups:rate5m", "lookups/s", Dependency),
            Self::CacheHitRatio => Row("recommender:cache_hit_ratio", "hits over lookups", Dependency),
            Self::CacheEvictions => Row("recommender:cache_evictions:rate5m", "entries/s", Dependency),
            Self::CircuitPods => Row("recommender:circuit_pods", "pods", Dependency),
            Self::UpstreamQuota => Row("recommender:upstream_quota", "requests", Dependency),
            Self::UpstreamQuotaLeft => Row("recommender:upstream_quota_left", "requests", Dependency),
            Self::CertificateLeft => Row("recommender:certificate_seconds_left", "seconds", Dependency),
            Self::BrokerAlarm => Row("recommender:broker_alarm", "0 or 1", Dependency),
            Self::UnderReplicated => Row("recommender:under_replicated_partitions", "partitions", Dependency),
            Self::DriftScore => Row("recommender:drift_score", "score", Dependency),
            Self::DriftedFeatures => Row("recommender:drifted_features_ratio", "drifted features over all", Dependency),
            Self::DriftAge => Row("recommender:drift_age_seconds", "seconds", Dependency),
        }
    }

    /// The series of what an exporter reports of a dependency: all of dependencies but those of a lag, which are computed.
    pub fn of_exporters() -> impl Iterator<Item = Self> {
        let of_dependencies = Self::MONITORING.into_iter().filter(|series| series.subject() == Subject::Dependency);
        std::iter::once(Self::DependencyUp).chain(of_dependencies)
    }

    /// The labels that tell its values apart within its subject.
    pub const fn labels(self) -> &'static [&'static str] {
        match self {
            Self::DependencyRequests => &["operation"],
            Self::DependencyErrors => &["reason"],
            Self::DependencyLatencyMean => &["operation"],
            Self::DependencyConnections => &["state"],
            Self::DependencyBytes => &["bucket", "database"],
            Self::DependencyItems => &["collection"],
            Self::CircuitPods => &["state"],
            Self::DriftScore => &["feature"],
            _ => &[],
        }
    }

    /// All of them, in the order of declaration.
    pub fn all() -> impl Iterator<Item = Self> {
        Self::SCALING.into_iter().chain(Self::MONITORING)
    }

    /// The series of this name.
    pub fn named(name: &str) -> Option<Self> {
        Self::all().find(|series| series.name() == name)
    }

    /// Whether its values are computed from the buckets of a histogram of latencies.
    pub const fn is_latency(self) -> bool {
        matches!(self, Self::Latency | Self::LatencyP50 | Self::LatencyP95 | Self::LatencyP99)
    }

    /// Its name in Prometheus.
    pub const fn name(self) -> &'static str {
        self.row().0
    }

    /// Its unit.
    pub const fn unit(self) -> &'static str {
        self.row().1
    }

    /// What it is about.
    pub const fn subject(self) -> Subject {
        self.row().2
    }

    /// Its index in [`Series::SCALING`]. Only for those.
    pub(crate) const fn index(self) -> usize {
        self as usize
    }
}

#[cfg(test)]
mod tests {
    use std::collections::HashSet;

    use super::*;

    #[test]
    fn each_series_is_listed_once_at_its_index_with_a_name_and_a_unit_of_its_own() {
        let all = Series::all;
        assert!(all().enumerate().all(|(index, series)| series.index() == index));
        assert_eq!(all().map(Series::name).collect::<HashSet<_>>().len(), all().count());
        assert!(all().all(|series| !series.unit().is_empty() && series.name().starts_with("recommender:")));
    }
}
