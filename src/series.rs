//! The canonical vocabulary: the series that our rules record under the same name for every object, whatever its servers expose.
//! Recording rules, the scaler and the tests of alerts take the names from here.

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
    /// How much of the error budget of an objective is spent, as a part of all; above 1 when the goal is missed.
    BudgetSpent,
    /// Requests that a server has answered since it started.
    PodRequests,
    /// Those that failed on its side.
    PodErrors,
    /// Those that were slow.
    PodSlow,
    /// When a server that answers with a version was scraped last.
    PodVersion,
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
    /// Whether the servers answer the requests of a blackbox exporter.
    ProbeUp,
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
    /// Time since the training of the version that is served.
    ModelAge,
    /// Time since the end of the data of the version that is served.
    DataAge,
    /// How long no newer version can take the place of the one that serves.
    NotRefreshable,
    /// Training runs of the last day.
    TrainingRuns,
    /// Failed training runs of the last hour, by stage.
    TrainingFailures,
    /// Failed training runs since the last one that succeeded.
    TrainingFailuresInARow,
    /// How long the last successful training run took.
    TrainingDuration,
    /// How long the active training run has been running.
    TrainingRunning,
    /// How long a training run that is due has waited.
    TrainingWaiting,
    /// How long a version that passes its gates has waited for its inputs.
    PromotionWaiting,
    /// Jobs that delete artifacts and failed since the last one that succeeded.
    PruneFailuresInARow,
    /// Which part of the active training run is done.
    TrainingProgress,
    /// Steps of that run that are done.
    TrainingStep,
    /// The loss of that run.
    TrainingLoss,
    /// Time until that run ends.
    TrainingRemaining,
    /// What the trainer of the served version measured.
    ModelQuality,
    /// What a gate asks for at least.
    QualityMinimum,
    /// Versions since the last one that passed its gates.
    VersionsRefused,
    /// Versions that were rolled back, since the last one that was promoted.
    VersionsRolledBack,
    /// How many users, items and entries of its matrix the served version has.
    ModelEntities,
    /// Size of the artifact of the served version, and of its parts.
    ArtifactBytes,
    /// The versions in the status.
    VersionInfo,
    /// How long a rollout has been under way.
    Rollout,
    /// Servers by the version that they answer with, without those of a canary.
    ServingVersion,
    /// Pods by state: ready, running, or why they wait.
    Pods,
    /// Time since a container last ended because it used more memory than it may.
    OutOfMemoryAge,
    /// CPU cores in use.
    CpuCores,
    /// Periods in which a CPU limit stopped containers, as a part of all.
    CpuThrottled,
    /// Memory in use that cannot be given back.
    MemoryBytes,
    /// CPU in use by the CPU that is requested, mean per pod: what it exceeded in a twentieth of a week.
    CpuRequestedWeek,
    /// Memory in use by the memory that is requested, of the pod that uses most.
    MemoryRequested,
    /// The most of that within a week.
    MemoryRequestedWeek,
    /// Bytes that pods receive.
    NetworkReceived,
    /// Bytes that pods send.
    NetworkTransmitted,
    /// Free part of the volume with the artifacts.
    VolumeFree,
    /// How long messages are kept.
    Retention,
    /// Stream processors that there should be.
    TaskManagersExpected,
    /// Messages of a queue: ready, or delivered and not acknowledged.
    QueueMessages,
    /// Consumers of a queue, or members of a consumer group.
    Consumers,
    /// Jobs by status.
    Jobs,
    /// Jobs that ended, by result: success or failed.
    JobsDone,
    /// How long jobs take.
    JobSeconds,
    /// Messages that become dead letters.
    DeadLetters,
    /// Dead letters that wait.
    DeadLetterMessages,
    /// Messages that are lost.
    MessagesDropped,
    /// Messages waiting in the partition in which most wait.
    LagOfPartition,
    /// Partitions in which messages wait and none is consumed.
    StuckPartitions,
    /// How far the records that a stream emits are behind their events.
    EventLag,
    /// Part of the time in which a task waits for the tasks behind it, worst subtask.
    Backpressure,
    /// Part of the time in which a task is busy, worst subtask.
    StreamBusy,
    /// CPU use of the stream processor that uses most.
    StreamCpu,
    /// Failed checkpoints.
    CheckpointFailures,
    /// How long the last checkpoint took.
    CheckpointSeconds,
    /// Time since a checkpoint was completed, 30 minutes at most.
    CheckpointAge,
    /// Jobs of a stream that run.
    StreamJobs,
    /// Stream processors that are registered.
    TaskManagers,
    /// Restarts of a stream.
    StreamRestarts,
    /// Records that come too late for their window, as a part of all.
    LateRatio,
    /// How fast the slowest watermark advances.
    WatermarkAdvance,
    /// CPU use of a dependency.
    DependencyCpuUse,
    /// Part of the time in which the disks of a dependency are busy.
    DependencyIoUse,
    /// CPU use by the CPU limits, or else the requests, mean per pod.
    CpuUse,
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
    /// Bad requests of an objective; of one that is a share of time, whether it is bad now.
    ObjectiveBad,
    /// All requests of an objective; of one that is a share of time, 1 while it is known.
    ObjectiveAll,
    /// [`Series::ObjectiveBad`], averaged for the windows of hours and days.
    ObjectiveBadMean,
    /// [`Series::ObjectiveAll`], averaged for the windows of hours and days.
    ObjectiveAllMean,
    /// What is bad, as a part of all, of five minutes.
    ErrorRatio5m,
    /// The same of half an hour.
    ErrorRatio30m,
    /// The same of an hour.
    ErrorRatio1h,
    /// The same of two hours.
    ErrorRatio2h,
    /// The same of six hours.
    ErrorRatio6h,
    /// The same of a day.
    ErrorRatio1d,
    /// The same of three days.
    ErrorRatio3d,
    /// Requests of an objective that were counted within an hour.
    ObjectiveRequests1h,
    /// The same within six hours.
    ObjectiveRequests6h,
    /// The same within a day.
    ObjectiveRequests1d,
    /// The same within three days.
    ObjectiveRequests3d,
    /// What an objective allows to be bad, as a part of all.
    ErrorBudget,
    /// Bad requests in the longer window of an alert below which it does not fire.
    BadRequestsFloor,
    /// How much of the error budget of an objective is left, as a part of all; negative when the goal is missed.
    BudgetLeft,
    /// Bad requests within the window of the error budget; of an objective that is a share of time, seconds.
    BudgetBad,
    /// Mean latency.
    LatencyMean,
    /// A lower bound of the shortest request: the lower bound of the first bucket that has one.
    LatencyMin,
    /// An upper bound of the longest request; absent if it is in the last bucket or above it.
    LatencyMax,
    /// Responses by class of their status.
    Responses,
    /// Requests of the busiest routes by class of their status.
    RouteRequests,
    /// Mean latency of the busiest routes.
    RouteLatencyMean,
    /// Bytes of the bodies of requests.
    RequestBytes,
    /// Bytes of the bodies of responses.
    ResponseBytes,
    /// Requests of the tenant that sends most, as a part of all.
    TenantShare,
    /// Exceptions in the application.
    Exceptions,
    /// Requests that the application refuses because their values are not valid.
    ValidationErrors,
    /// Sessions of users.
    Sessions,
    /// Open WebSocket connections.
    WebsocketConnections,
    /// Messages over WebSockets.
    WebsocketMessages,
    /// Median duration of an inference.
    InferenceP50,
    /// 95th percentile of the duration of an inference.
    InferenceP95,
    /// 99th percentile of the duration of an inference.
    InferenceP99,
    /// Answers with recommendations, by result: ok, or why they are not personal.
    Recommendations,
    /// Requests of the tenants that send most.
    TenantRequests,
    /// What the business counts.
    Business,
    /// Ratios that the business computes.
    BusinessRatio,
    /// Events that are not valid, as a part of all.
    InvalidEvents,
    /// Operations on the caches of the application.
    CacheOperations,
    /// Size of the caches of the application.
    CacheBytes,
    /// 95th percentile of the size of stored objects.
    ObjectBytes,
    /// How long a server takes to load its model.
    ModelLoad,
}

/// Name, unit and subject of a series. The end of a name says over what it is computed; names with `rate20s` and `rate10s` refer to
/// scrapes every 5 s, see [`crate::monitoring::scaling`].
struct Row(&'static str, &'static str, Subject);

impl Series {
    /// The series that the operator always reads, in the order of declaration: those that decisions on replicas are made from, the
    /// health of dependencies, and the error budgets of objectives. Others are read on demand: what triggers of trainings name, and
    /// the counters of servers while there is a canary.
    pub const SCALING: [Self; 16] = [
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
        Self::BudgetSpent,
    ];

    /// The others: for people and alerts.
    pub const MONITORING: [Self; 143] = [
        Self::PodRequests,
        Self::PodErrors,
        Self::PodSlow,
        Self::PodVersion,
        Self::LatencyP50,
        Self::LatencyP95,
        Self::LatencyP99,
        Self::Requests,
        Self::RequestErrors,
        Self::Targets,
        Self::TargetsUp,
        Self::ProbeUp,
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
        Self::ModelAge,
        Self::DataAge,
        Self::NotRefreshable,
        Self::TrainingRuns,
        Self::TrainingFailures,
        Self::TrainingFailuresInARow,
        Self::TrainingDuration,
        Self::TrainingRunning,
        Self::TrainingWaiting,
        Self::PromotionWaiting,
        Self::PruneFailuresInARow,
        Self::TrainingProgress,
        Self::TrainingStep,
        Self::TrainingLoss,
        Self::TrainingRemaining,
        Self::ModelQuality,
        Self::QualityMinimum,
        Self::VersionsRefused,
        Self::VersionsRolledBack,
        Self::ModelEntities,
        Self::ArtifactBytes,
        Self::VersionInfo,
        Self::Rollout,
        Self::ServingVersion,
        Self::Pods,
        Self::OutOfMemoryAge,
        Self::CpuCores,
        Self::CpuThrottled,
        Self::MemoryBytes,
        Self::CpuRequestedWeek,
        Self::MemoryRequested,
        Self::MemoryRequestedWeek,
        Self::NetworkReceived,
        Self::NetworkTransmitted,
        Self::VolumeFree,
        Self::Retention,
        Self::TaskManagersExpected,
        Self::QueueMessages,
        Self::Consumers,
        Self::Jobs,
        Self::JobsDone,
        Self::JobSeconds,
        Self::DeadLetters,
        Self::DeadLetterMessages,
        Self::MessagesDropped,
        Self::LagOfPartition,
        Self::StuckPartitions,
        Self::EventLag,
        Self::Backpressure,
        Self::StreamBusy,
        Self::StreamCpu,
        Self::CheckpointFailures,
        Self::CheckpointSeconds,
        Self::CheckpointAge,
        Self::StreamJobs,
        Self::TaskManagers,
        Self::StreamRestarts,
        Self::LateRatio,
        Self::WatermarkAdvance,
        Self::DependencyCpuUse,
        Self::DependencyIoUse,
        Self::CpuUse,
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
        Self::ObjectiveBad,
        Self::ObjectiveAll,
        Self::ObjectiveBadMean,
        Self::ObjectiveAllMean,
        Self::ErrorRatio5m,
        Self::ErrorRatio30m,
        Self::ErrorRatio1h,
        Self::ErrorRatio2h,
        Self::ErrorRatio6h,
        Self::ErrorRatio1d,
        Self::ErrorRatio3d,
        Self::ObjectiveRequests1h,
        Self::ObjectiveRequests6h,
        Self::ObjectiveRequests1d,
        Self::ObjectiveRequests3d,
        Self::ErrorBudget,
        Self::BadRequestsFloor,
        Self::BudgetLeft,
        Self::BudgetBad,
        Self::LatencyMean,
        Self::LatencyMin,
        Self::LatencyMax,
        Self::Responses,
        Self::RouteRequests,
        Self::RouteLatencyMean,
        Self::RequestBytes,
        Self::ResponseBytes,
        Self::TenantShare,
    ];

    /// What a trainer reports of its progress.
    pub const PROGRESS: [Self; 4] =
        [Self::TrainingProgress, Self::TrainingStep, Self::TrainingLoss, Self::TrainingRemaining];

    /// The series that only the application itself can measure: an object states them in PromQL.
    pub const SIGNALS: [Self; 17] = [
        Self::Exceptions,
        Self::ValidationErrors,
        Self::Sessions,
        Self::WebsocketConnections,
        Self::WebsocketMessages,
        Self::InferenceP50,
        Self::InferenceP95,
        Self::InferenceP99,
        Self::Recommendations,
        Self::TenantRequests,
        Self::Business,
        Self::BusinessRatio,
        Self::InvalidEvents,
        Self::CacheOperations,
        Self::CacheBytes,
        Self::ObjectBytes,
        Self::ModelLoad,
    ];

    #[rustfmt::skip] // a table
    const fn row(self) -> Row {
        use Subject::{Dependency, Objective, Pod, Run, Workload};
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
            Self::BudgetSpent => Row("recommender:error_budget_spent", "budget spent over all of it", Objective),
            Self::PodRequests => Row("recommender:pod_requests", "requests", Pod),
            Self::PodErrors => Row("recommender:pod_request_errors", "requests", Pod),
            Self::PodSlow => Row("recommender:pod_requests_slow", "requests", Pod),
            Self::PodVersion => Row("recommender:pod_version_timestamp_seconds", "seconds", Pod),
            Self::LatencyP50 => Row("recommender:request_latency_seconds:p50", "seconds", Workload),
            Self::LatencyP95 => Row("recommender:request_latency_seconds:p95", "seconds", Workload),
            Self::LatencyP99 => Row("recommender:request_latency_seconds:p99", "seconds", Workload),
            Self::Requests => Row("recommender:requests:rate1m", "requests/s", Workload),
            Self::RequestErrors => Row("recommender:request_errors:rate1m", "requests/s", Workload),
            Self::Targets => Row("recommender:targets", "targets", Workload),
            Self::TargetsUp => Row("recommender:targets_up", "targets", Workload),
            Self::ProbeUp => Row("recommender:probe_up", "0 or 1", Workload),
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
            Self::ModelAge => Row("recommender:model_age_seconds", "seconds", Workload),
            Self::DataAge => Row("recommender:data_age_seconds", "seconds", Workload),
            Self::NotRefreshable => Row("recommender:not_refreshable_seconds", "seconds", Workload),
            Self::TrainingRuns => Row("recommender:training_runs:increase1d", "runs", Workload),
            Self::TrainingFailures => Row("recommender:training_failures:increase1h", "runs", Workload),
            Self::TrainingFailuresInARow => Row("recommender:training_failures_in_a_row", "runs", Workload),
            Self::TrainingDuration => Row("recommender:training_duration_seconds", "seconds", Workload),
            Self::TrainingRunning => Row("recommender:training_running_seconds", "seconds", Workload),
            Self::TrainingWaiting => Row("recommender:training_waiting_seconds", "seconds", Workload),
            Self::PromotionWaiting => Row("recommender:promotion_waiting_seconds", "seconds", Workload),
            Self::PruneFailuresInARow => Row("recommender:prune_failures_in_a_row", "runs", Workload),
            Self::TrainingProgress => Row("recommender:training_progress_ratio", "0 to 1", Run),
            Self::TrainingStep => Row("recommender:training_step", "steps", Run),
            Self::TrainingLoss => Row("recommender:training_loss", "as reported", Run),
            Self::TrainingRemaining => Row("recommender:training_remaining_seconds", "seconds", Run),
            Self::ModelQuality => Row("recommender:model_quality", "as reported", Workload),
            Self::QualityMinimum => Row("recommender:model_quality_minimum", "as reported", Workload),
            Self::VersionsRefused => Row("recommender:versions_refused_in_a_row", "versions", Workload),
            Self::VersionsRolledBack => Row("recommender:versions_rolled_back", "versions", Workload),
            Self::ModelEntities => Row("recommender:model_entities", "entities", Workload),
            Self::ArtifactBytes => Row("recommender:artifact_bytes", "bytes", Workload),
            Self::VersionInfo => Row("recommender:version_info", "1", Workload),
            Self::Rollout => Row("recommender:rollout_seconds", "seconds", Workload),
            Self::ServingVersion => Row("recommender:serving_version", "servers", Workload),
            Self::Pods => Row("recommender:pods", "pods", Workload),
            Self::OutOfMemoryAge => Row("recommender:out_of_memory_age_seconds", "seconds", Workload),
            Self::CpuCores => Row("recommender:cpu_cores:rate5m", "cores", Workload),
            Self::CpuThrottled => Row("recommender:cpu_throttled_ratio", "periods over all", Workload),
            Self::MemoryBytes => Row("recommender:memory_bytes", "bytes", Workload),
            Self::CpuRequestedWeek => Row("recommender:cpu_requested_use:p95_1w", "cores used over the request", Workload),
            Self::MemoryRequested => Row("recommender:memory_requested_use", "bytes used over the request", Workload),
            Self::MemoryRequestedWeek => Row("recommender:memory_requested_use:max_1w", "bytes used over the request", Workload),
            Self::NetworkReceived => Row("recommender:network_receive_bytes:rate5m", "bytes/s", Workload),
            Self::NetworkTransmitted => Row("recommender:network_transmit_bytes:rate5m", "bytes/s", Workload),
            Self::VolumeFree => Row("recommender:volume_free_ratio", "bytes free over all", Workload),
            Self::Retention => Row("recommender:retention_seconds", "seconds", Dependency),
            Self::TaskManagersExpected => Row("recommender:taskmanagers_expected", "TaskManagers", Dependency),
            Self::QueueMessages => Row("recommender:queue_messages", "messages", Dependency),
            Self::Consumers => Row("recommender:consumers", "consumers", Dependency),
            Self::Jobs => Row("recommender:jobs", "jobs", Dependency),
            Self::JobsDone => Row("recommender:jobs_done:rate5m", "jobs/s", Dependency),
            Self::JobSeconds => Row("recommender:job_seconds:mean", "seconds", Dependency),
            Self::DeadLetters => Row("recommender:dead_letters:rate5m", "messages/s", Dependency),
            Self::DeadLetterMessages => Row("recommender:dead_letter_messages", "messages", Dependency),
            Self::MessagesDropped => Row("recommender:messages_dropped:rate5m", "messages/s", Dependency),
            Self::LagOfPartition => Row("recommender:lag_partition:max", "messages", Dependency),
            Self::StuckPartitions => Row("recommender:stuck_partitions", "partitions", Dependency),
            Self::EventLag => Row("recommender:event_lag_seconds", "seconds", Dependency),
            Self::Backpressure => Row("recommender:backpressure", "0 to 1", Dependency),
            Self::StreamBusy => Row("recommender:stream_busy", "0 to 1", Dependency),
            Self::StreamCpu => Row("recommender:stream_cpu_use", "0 to 1", Dependency),
            Self::CheckpointFailures => Row("recommender:checkpoint_failures:increase5m", "checkpoints", Dependency),
            Self::CheckpointSeconds => Row("recommender:checkpoint_seconds", "seconds", Dependency),
            Self::CheckpointAge => Row("recommender:checkpoint_age_seconds", "seconds", Dependency),
            Self::StreamJobs => Row("recommender:stream_jobs_running", "jobs", Dependency),
            Self::TaskManagers => Row("recommender:taskmanagers", "TaskManagers", Dependency),
            Self::StreamRestarts => Row("recommender:stream_restarts:increase1h", "restarts", Dependency),
            Self::LateRatio => Row("recommender:late_ratio:rate5m", "late records over all", Dependency),
            Self::WatermarkAdvance => Row("recommender:watermark_advance:rate5m", "seconds/s", Dependency),
            Self::DependencyCpuUse => Row("recommender:dependency_cpu_use", "cores used over all", Dependency),
            Self::DependencyIoUse => Row("recommender:dependency_io_use", "0 to 1", Dependency),
            Self::CpuUse => Row("recommender:cpu_use", "cores used over cores allowed", Workload),
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
            Self::ObjectiveBad => Row("recommender:objective_bad:rate1m", "requests/s, or 0 or 1", Objective),
            Self::ObjectiveAll => Row("recommender:objective_all:rate1m", "requests/s, or 1", Objective),
            Self::ObjectiveBadMean => Row("recommender:objective_bad:rate5m", "requests/s, or 0 to 1", Objective),
            Self::ObjectiveAllMean => Row("recommender:objective_all:rate5m", "requests/s, or 1", Objective),
            Self::ErrorRatio5m => Row("recommender:objective_errors:ratio_rate5m", "bad over all", Objective),
            Self::ErrorRatio30m => Row("recommender:objective_errors:ratio_rate30m", "bad over all", Objective),
            Self::ErrorRatio1h => Row("recommender:objective_errors:ratio_rate1h", "bad over all", Objective),
            Self::ErrorRatio2h => Row("recommender:objective_errors:ratio_rate2h", "bad over all", Objective),
            Self::ErrorRatio6h => Row("recommender:objective_errors:ratio_rate6h", "bad over all", Objective),
            Self::ErrorRatio1d => Row("recommender:objective_errors:ratio_rate1d", "bad over all", Objective),
            Self::ErrorRatio3d => Row("recommender:objective_errors:ratio_rate3d", "bad over all", Objective),
            Self::ObjectiveRequests1h => Row("recommender:objective_requests:increase1h", "requests", Objective),
            Self::ObjectiveRequests6h => Row("recommender:objective_requests:increase6h", "requests", Objective),
            Self::ObjectiveRequests1d => Row("recommender:objective_requests:increase1d", "requests", Objective),
            Self::ObjectiveRequests3d => Row("recommender:objective_requests:increase3d", "requests", Objective),
            Self::ErrorBudget => Row("recommender:objective_error_budget", "bad over all, as allowed", Objective),
            Self::BadRequestsFloor => Row("recommender:objective_min_bad_requests", "requests", Objective),
            Self::BudgetLeft => Row("recommender:error_budget_left", "budget left over all of it", Objective),
            Self::BudgetBad => Row("recommender:error_budget_bad", "requests, or seconds", Objective),
            Self::LatencyMean => Row("recommender:request_latency_seconds:mean", "seconds", Workload),
            Self::LatencyMin => Row("recommender:request_latency_seconds:min", "seconds", Workload),
            Self::LatencyMax => Row("recommender:request_latency_seconds:max", "seconds", Workload),
            Self::Responses => Row("recommender:responses:rate1m", "requests/s", Workload),
            Self::RouteRequests => Row("recommender:route_requests:rate1m", "requests/s", Workload),
            Self::RouteLatencyMean => Row("recommender:route_latency_seconds:mean", "seconds", Workload),
            Self::RequestBytes => Row("recommender:request_bytes:rate1m", "bytes/s", Workload),
            Self::ResponseBytes => Row("recommender:response_bytes:rate1m", "bytes/s", Workload),
            Self::Exceptions => Row("recommender:exceptions:rate1m", "exceptions/s", Workload),
            Self::ValidationErrors => Row("recommender:validation_errors:rate1m", "requests/s", Workload),
            Self::Sessions => Row("recommender:sessions", "sessions", Workload),
            Self::WebsocketConnections => Row("recommender:websocket_connections", "connections", Workload),
            Self::WebsocketMessages => Row("recommender:websocket_messages:rate1m", "messages/s", Workload),
            Self::InferenceP50 => Row("recommender:inference_latency_seconds:p50", "seconds", Workload),
            Self::InferenceP95 => Row("recommender:inference_latency_seconds:p95", "seconds", Workload),
            Self::InferenceP99 => Row("recommender:inference_latency_seconds:p99", "seconds", Workload),
            Self::Recommendations => Row("recommender:recommendations:rate1m", "answers/s", Workload),
            Self::TenantRequests => Row("recommender:tenant_requests:top10", "requests/s", Workload),
            Self::TenantShare => Row("recommender:tenant_share:max", "its requests over all", Workload),
            Self::Business => Row("recommender:business:rate5m", "events/s", Workload),
            Self::BusinessRatio => Row("recommender:business_ratio", "ratio", Workload),
            Self::InvalidEvents => Row("recommender:invalid_events_ratio:rate5m", "invalid events over all", Workload),
            Self::CacheOperations => Row("recommender:cache_operations:rate5m", "operations/s", Workload),
            Self::CacheBytes => Row("recommender:cache_bytes", "bytes", Workload),
            Self::ObjectBytes => Row("recommender:object_bytes:p95", "bytes", Workload),
            Self::ModelLoad => Row("recommender:model_load_seconds", "seconds", Workload),
        }
    }

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
        match self {
            Self::CpuCores
            | Self::CpuRequestedWeek
            | Self::CpuThrottled
            | Self::CpuUse
            | Self::MemoryBytes
            | Self::MemoryRequested
            | Self::MemoryRequestedWeek
            | Self::NetworkReceived
            | Self::NetworkTransmitted
            | Self::OutOfMemoryAge
            | Self::Pods
            | Self::ScalingHeld
            | Self::ScalingAtMaximum
            | Self::ScalingIneffective => None,
            Self::ArtifactBytes
            | Self::DataAge
            | Self::ModelAge
            | Self::ModelEntities
            | Self::ModelQuality
            | Self::NotRefreshable
            | Self::PromotionWaiting
            | Self::PruneFailuresInARow
            | Self::QualityMinimum
            | Self::TrainingAge
            | Self::TrainingDuration
            | Self::TrainingFailed
            | Self::TrainingFailures
            | Self::TrainingFailuresInARow
            | Self::TrainingLoss
            | Self::TrainingPeriod
            | Self::TrainingProgress
            | Self::TrainingRemaining
            | Self::TrainingRunning
            | Self::TrainingRuns
            | Self::TrainingStep
            | Self::TrainingWaiting
            | Self::VersionInfo
            | Self::VersionsRefused
            | Self::VersionsRolledBack
            | Self::VolumeFree => Some("training"),
            _ if matches!(self.subject(), Subject::Workload | Subject::Pod) => Some("serving"),
            _ => None,
        }
    }

    /// The labels that tell its values apart within its subject.
    pub const fn labels(self) -> &'static [&'static str] {
        match self {
            Self::TrainingRuns => &["kind", "result"],
            Self::TrainingFailures => &["stage"],
            Self::TrainingDuration => &["kind"],
            Self::TrainingRunning => &["kind"],
            Self::ModelQuality | Self::QualityMinimum => &["metric"],
            Self::ModelEntities => &["entity", "model"],
            Self::ArtifactBytes => &["artifact"],
            Self::VersionInfo => &["version", "kind", "state"],
            Self::PodVersion | Self::ServingVersion => &["version"],
            Self::QueueMessages => &["queue", "state"],
            Self::Consumers | Self::DeadLetterMessages => &["queue"],
            Self::Jobs => &["queue", "status"],
            Self::JobsDone => &["result"],
            Self::Backpressure | Self::StreamBusy => &["task"],
            Self::DependencyRequests => &["operation"],
            Self::DependencyErrors | Self::DeadLetters => &["reason"],
            Self::DependencyLatencyMean => &["operation"],
            Self::DependencyConnections => &["state"],
            Self::DependencyBytes => &["bucket", "database"],
            Self::DependencyItems => &["collection"],
            Self::CircuitPods | Self::Pods => &["state"],
            Self::DriftScore => &["feature"],
            Self::Responses => &["class"],
            Self::RouteRequests => &["route", "class"],
            Self::RouteLatencyMean => &["route"],
            Self::Exceptions => &["type", "component"],
            Self::WebsocketMessages => &["direction"],
            Self::Recommendations => &["result"],
            Self::TenantRequests => &["tenant"],
            Self::Business | Self::BusinessRatio => &["event"],
            Self::CacheOperations => &["level", "result"],
            Self::CacheBytes => &["level"],
            Self::ModelLoad => &["version"],
            _ => &[],
        }
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

    /// All of them, in the order of declaration.
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
        self.row().0
    }

    /// Its name without [`PREFIX`].
    pub fn short_name(self) -> &'static str {
        self.name().trim_start_matches(PREFIX)
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
