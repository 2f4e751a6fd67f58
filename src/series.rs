//! The canonical vocabulary: the series that our rules record under the same name for every object, whatever its servers expose.
//! Recording rules, the scaler and the tests of alerts take the names from here.

mod table;

pub use table::Series;

/// What all names begin with.
pub const PREFIX: &str = "recommender:";

/// What a series is about, which is the label that identifies it beside the object.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Subject {
    /// Servers, a worker or the training: the label `workload`.
    Workload,
    /// What an object depends on: the label `dependency`.
    Dependency,
    /// A service level objective of an object: the label `objective`.
    Objective,
    /// A pod of an object: the label `pod`.
    Pod,
    /// A training run: the label `version`.
    Run,
}

impl Subject {
    /// The label.
    pub const fn label(self) -> &'static str {
        match self {
            Self::Workload => "workload",
            Self::Dependency => "dependency",
            Self::Objective => "objective",
            Self::Pod => "pod",
            Self::Run => "version",
        }
    }
}

/// A row of the table of series. The end of a name says over what it is computed; names with `rate20s` and `rate10s` refer to
/// scrapes every 5 s, see [`crate::monitoring::scaling`].
struct Row {
    name: &'static str,
    unit: &'static str,
    about: About,
    labels: &'static [&'static str],
}

/// What a series is about.
#[derive(Clone, Copy)]
struct About {
    subject: Subject,
    /// The one workload; `None` if it may be any, or there is no such label.
    workload: Option<&'static str>,
}

impl Series {
    /// What a trainer reports of its progress.
    pub const PROGRESS: [Self; 4] =
        [Self::TrainingProgress, Self::TrainingStep, Self::TrainingLoss, Self::TrainingRemaining];

    /// The series of what an exporter reports of a dependency: all of dependencies but those of a lag and of the spec, which are
    /// computed.
    pub fn of_exporters() -> impl Iterator<Item = Self> {
        let computed = [Self::LagSeconds, Self::LagTarget, Self::Retention, Self::TaskManagersExpected];
        let is_reported = move |series: &Self| series.subject() == Subject::Dependency && !computed.contains(series);
        let of_dependencies = Self::MONITORING.into_iter().filter(is_reported);
        std::iter::once(Self::DependencyUp).chain(of_dependencies)
    }

    /// The one workload that it is about, as in the label; `None` if it may be any, or has no such label.
    pub fn workload(self) -> Option<&'static str> {
        self.row().about.workload
    }

    /// The labels that tell its values apart within its subject.
    pub const fn labels(self) -> &'static [&'static str] {
        self.row().labels
    }

    /// The most values of its labels that are known: of a label with values that a dependency chooses, one.
    pub const fn most(self) -> usize {
        match self {
            Self::CircuitPods => 3, // closed, open and half_open
            Self::Responses => 4,   // 2xx to 5xx
            _ => 1,
        }
    }

    /// Whether the operator adds up its values where it reads it on demand; otherwise the largest counts.
    pub fn is_total(self) -> bool {
        self.is_sum() && Self::SIGNALS.contains(&self)
    }

    /// Whether several values of a signal are added up; otherwise the largest is the value.
    pub const fn is_sum(self) -> bool {
        !matches!(
            self,
            Self::InferenceP50
                | Self::InferenceP95
                | Self::InferenceP99
                | Self::BusinessRatio
                | Self::InvalidEvents
                | Self::ObjectBytes
                | Self::ModelLoad
        )
    }

    /// All of them, in the order of the table.
    pub fn all() -> impl Iterator<Item = Self> {
        Self::SCALING.into_iter().chain(Self::MONITORING).chain(Self::SIGNALS)
    }

    /// The series of this name.
    pub fn named(name: &str) -> Option<Self> {
        Self::all().find(|series| series.name() == name)
    }

    /// Whether its values are computed from the buckets of a histogram of latencies.
    pub const fn is_latency(self) -> bool {
        matches!(
            self,
            Self::Latency
                | Self::LatencyP50
                | Self::LatencyP95
                | Self::LatencyP99
                | Self::LatencyMin
                | Self::LatencyMax
        )
    }

    /// Its name in Prometheus.
    pub const fn name(self) -> &'static str {
        self.row().name
    }

    /// Its name without [`PREFIX`].
    pub fn short_name(self) -> &'static str {
        self.name().trim_start_matches(PREFIX)
    }

    /// Its unit.
    pub const fn unit(self) -> &'static str {
        self.row().unit
    }

    /// What it is about.
    pub const fn subject(self) -> Subject {
        self.row().about.subject
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
