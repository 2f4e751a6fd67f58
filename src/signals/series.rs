//! The series that decisions on replicas are made from.

/// A canonical series. Our rules record it under the same name for all objects, whatever their servers expose.
///
/// | series | name | unit |
/// |---|---|---|
/// | request rate | `recommender:requests:rate20s` | requests/s |
/// | latest request rate | `recommender:requests:rate10s` | requests/s, over the last two scrapes |
/// | latency | `recommender:scaling_latency_seconds:rate20s` | seconds, at the object's own quantile |
/// | in flight | `recommender:requests_in_flight` | requests |
/// | CPU | `recommender:cpu_use:rate20s` | cores used over cores allowed, mean per pod |
/// | failed | `recommender:request_errors:rate20s` | requests/s answered with 5xx |
/// | unanswered | `recommender:targets_unanswered` | scrape targets that did not answer their last scrape |
/// | container CPU | `recommender:container_cpu_use` | as CPU, measured by the kubelet |
/// | front | `recommender:front_requests:rate1m` | requests/s in front of the servers |
/// | lag | `recommender:lag_messages` | messages |
/// | arrivals | `recommender:arrivals:rate1m` | messages/s |
/// | consumed | `recommender:consumed:rate1m` | messages/s |
/// | partitions | `recommender:lag_partitions` | partitions |
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub enum Series {
    /// Requests per second.
    RequestRate,
    /// Requests per second over the last two scrapes.
    LatestRequestRate,
    /// The latency quantile that has a target, seconds.
    Latency,
    /// Requests in flight.
    InFlight,
    /// Cores used over cores allowed, mean per pod.
    Cpu,
    /// Requests per second that failed on the servers' side.
    Failed,
    /// Scrape targets that did not answer their last scrape.
    Unanswered,
    /// Cores used over cores allowed as the kubelet measures them, or the share of periods in which the pods were throttled.
    ContainerCpu,
    /// Requests per second that arrive in front of the servers.
    Front,
    /// Messages that wait.
    Lag,
    /// Messages that arrive, per second.
    Arrivals,
    /// Messages that are consumed, per second.
    Consumed,
    /// Partitions that consumers share.
    Partitions,
}

impl Series {
    /// All series, in the order of declaration.
    pub const ALL: [Self; 13] = [
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
    ];

    /// Its name in Prometheus.
    pub const fn name(self) -> &'static str {
        match self {
            Self::RequestRate => "recommender:requests:rate20s",
            Self::LatestRequestRate => "recommender:requests:rate10s",
            Self::Latency => "recommender:scaling_latency_seconds:rate20s",
            Self::InFlight => "recommender:requests_in_flight",
            Self::Cpu => "recommender:cpu_use:rate20s",
            Self::Failed => "recommender:request_errors:rate20s",
            Self::Unanswered => "recommender:targets_unanswered",
            Self::ContainerCpu => "recommender:container_cpu_use",
            Self::Front => "recommender:front_requests:rate1m",
            Self::Lag => "recommender:lag_messages",
            Self::Arrivals => "recommender:arrivals:rate1m",
            Self::Consumed => "recommender:consumed:rate1m",
            Self::Partitions => "recommender:lag_partitions",
        }
    }

    /// The label that identifies the part of an object: a workload or a dependency.
    pub const fn about(self) -> &'static str {
        match self {
            Self::Lag | Self::Arrivals | Self::Consumed | Self::Partitions => "dependency",
            _ => "workload",
        }
    }

    /// Its index in [`Series::ALL`].
    pub(super) const fn index(self) -> usize {
        self as usize
    }
}

#[cfg(test)]
mod tests {
    use std::collections::HashSet;

    use super::*;

    #[test]
    fn all_contains_each_series_once_at_its_index() {
        for (index, series) in Series::ALL.iter().enumerate() {
            assert_eq!(series.index(), index, "{series:?}");
        }
        let names: HashSet<_> = Series::ALL.iter().map(|series| series.name()).collect();
        assert_eq!(names.len(), Series::ALL.len());
    }
}
