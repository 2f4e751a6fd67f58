//! The table of the canonical series.

use super::{About, Row, Subject};

/// Of the servers.
const SERVERS: About = About { subject: Subject::Workload, workload: Some("serving") };
/// Of the trainings and the versions.
const TRAINING: About = About { subject: Subject::Workload, workload: Some("training") };
/// Of any workload.
const WORKLOADS: About = About { subject: Subject::Workload, workload: None };
/// Of a server.
const POD: About = About { subject: Subject::Pod, workload: Some("serving") };
/// Of a training run.
const RUN: About = About { subject: Subject::Run, workload: Some("training") };
/// Of a dependency.
const DEPENDENCY: About = About { subject: Subject::Dependency, workload: None };
/// Of an objective.
const OBJECTIVE: About = About { subject: Subject::Objective, workload: None };

/// Declares [`Series`] and its lists from the table, so that no list can lack a series. A row has, below a comment that docs/series.md
/// repeats: name, unit, what it is about, and the labels that tell its values apart within that.
macro_rules! series {
    ($($(#[$of_list:meta])+ $list:ident {
        $($(#[$doc:meta])+ $series:ident: $name:literal, $unit:literal, $about:ident $(, [$($label:literal),+])?;)+
    })+) => {
        /// A canonical series, in the order of the table.
        #[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
        pub enum Series {
            $($($(#[$doc])+ $series,)+)+
        }

        impl Series {
            $($(#[$of_list])+
            pub const $list: [Self; [$($name),+].len()] = [$(Self::$series),+];)+

            pub(super) const fn row(self) -> Row {
                match self {
                    $($(Self::$series => Row { name: $name, unit: $unit, about: $about, labels: &[$($($label),+)?] },)+)+
                }
            }
        }
    };
}

series! {
    /// The series that the operator always reads, in the order of the table: those that decisions on replicas are made from, the
    /// health of dependencies, and the error budgets of objectives. Others are read on demand: what triggers of trainings name, and
    /// the counters of servers while there is a canary.
    SCALING {
        /// The request rate that replicas are decided on.
        RequestRate: "recommender:requests:rate20s", "requests/s", SERVERS;
        /// The request rate over the last two scrapes.
        LatestRequestRate: "recommender:requests:rate10s", "requests/s", SERVERS;
        /// The latency quantile that has a target.
        Latency: "recommender:scaling_latency_seconds:rate20s", "seconds", SERVERS;
        /// Requests in flight.
        InFlight: "recommender:requests_in_flight", "requests", SERVERS;
        /// CPU use of the servers by their own metrics, mean per pod.
        Cpu: "recommender:cpu_use:rate20s", "cores used over cores allowed", SERVERS;
        /// Requests that failed on the servers' side.
        Failed: "recommender:request_errors:rate20s", "requests/s", SERVERS;
        /// Scrape targets that did not answer their last scrape.
        Unanswered: "recommender:targets_unanswered", "targets", SERVERS;
        /// CPU use by the kubelet's metrics, mean per pod, or the share of periods in which the pods were throttled.
        ContainerCpu: "recommender:container_cpu_use", "cores used over the limit, or 0 to 1", SERVERS;
        /// Requests that arrive in front of the servers.
        Front: "recommender:front_requests:rate1m", "requests/s", SERVERS;
        /// Messages that wait.
        Lag: "recommender:lag_messages", "messages", DEPENDENCY;
        /// Messages that arrive.
        Arrivals: "recommender:arrivals:rate1m", "messages/s", DEPENDENCY;
        /// Messages that are consumed.
        Consumed: "recommender:consumed:rate1m", "messages/s", DEPENDENCY;
        /// Partitions that consumers share.
        Partitions: "recommender:lag_partitions", "partitions", DEPENDENCY;
        /// Scrape targets behind which several processes answer in turn, each with its own counters.
        SeveralProcesses: "recommender:targets_of_several_processes", "targets", SERVERS;
        /// Whether a dependency works, as its exporter reports it.
        DependencyUp: "recommender:dependency_up", "0 or 1", DEPENDENCY;
        /// How much of the error budget of an objective is spent, as a part of all; above 1 when the goal is missed.
        BudgetSpent: "recommender:error_budget_spent", "budget spent over all of it", OBJECTIVE;
    }

    /// The others: for people and alerts.
    MONITORING {
        /// Requests that a server has answered since it started.
        PodRequests: "recommender:pod_requests", "requests", POD;
        /// Those that failed on its side.
        PodErrors: "recommender:pod_request_errors", "requests", POD;
        /// Those that were slow.
        PodSlow: "recommender:pod_requests_slow", "requests", POD;
        /// When a server that answers with a version was scraped last.
        PodVersion: "recommender:pod_version_timestamp_seconds", "seconds", POD, ["version"];
        /// Median latency.
        LatencyP50: "recommender:request_latency_seconds:p50", "seconds", SERVERS;
        /// 95th percentile of the latency.
        LatencyP95: "recommender:request_latency_seconds:p95", "seconds", SERVERS;
        /// 99th percentile of the latency.
        LatencyP99: "recommender:request_latency_seconds:p99", "seconds", SERVERS;
        /// The request rate that people and alerts read.
        Requests: "recommender:requests:rate1m", "requests/s", SERVERS;
        /// The rate of failed requests that people and alerts read.
        RequestErrors: "recommender:request_errors:rate1m", "requests/s", SERVERS;
        /// Scrape targets.
        Targets: "recommender:targets", "targets", SERVERS;
        /// Scrape targets that answered their last scrape.
        TargetsUp: "recommender:targets_up", "targets", SERVERS;
        /// Whether the servers answer the requests of a blackbox exporter.
        ProbeUp: "recommender:probe_up", "0 or 1", SERVERS;
        /// Restarts of servers.
        Restarts: "recommender:restarts:increase1h", "restarts", SERVERS;
        /// The latency target of the servers.
        LatencyTarget: "recommender:latency_target_seconds", "seconds", SERVERS;
        /// Memory of the server that uses most of its limit.
        MemoryUse: "recommender:memory_use", "bytes used over the limit", SERVERS;
        /// 1 while replicas are held because signals are missing or old, 0 otherwise.
        ScalingHeld: "recommender:scaling_held", "0 or 1", WORKLOADS;
        /// 1 while more replicas are needed than the maximum, 0 otherwise.
        ScalingAtMaximum: "recommender:scaling_at_maximum", "0 or 1", WORKLOADS;
        /// 1 while more replicas do not help, 0 otherwise.
        ScalingIneffective: "recommender:scaling_ineffective", "0 or 1", WORKLOADS;
        /// How long it takes to consume what waits, without what arrives meanwhile.
        LagSeconds: "recommender:lag_seconds", "seconds", DEPENDENCY;
        /// Time within which a worker is to consume what waits.
        LagTarget: "recommender:lag_target_seconds", "seconds", DEPENDENCY;
        /// 1 once there is a version to serve, 0 before.
        ServingExpected: "recommender:serving_expected", "0 or 1", SERVERS;
        /// Servers that pass their readiness probes.
        ServingReady: "recommender:serving_ready", "servers", SERVERS;
        /// 1 while the last training run has failed, 0 otherwise.
        TrainingFailed: "recommender:training_failed", "0 or 1", TRAINING;
        /// Time since the last successful training run.
        TrainingAge: "recommender:training_age_seconds", "seconds", TRAINING;
        /// The longest time between two runs of the schedule; 0 without a schedule.
        TrainingPeriod: "recommender:training_period_seconds", "seconds", TRAINING;
        /// Time since the training of the version that is served.
        ModelAge: "recommender:model_age_seconds", "seconds", TRAINING;
        /// Time since the end of the data of the version that is served.
        DataAge: "recommender:data_age_seconds", "seconds", TRAINING;
        /// How long no newer version can take the place of the one that serves.
        NotRefreshable: "recommender:not_refreshable_seconds", "seconds", TRAINING;
        /// Training runs of the last day.
        TrainingRuns: "recommender:training_runs:increase1d", "runs", TRAINING, ["kind", "result"];
        /// Failed training runs of the last hour, by stage.
        TrainingFailures: "recommender:training_failures:increase1h", "runs", TRAINING, ["stage"];
        /// Failed training runs since the last one that succeeded.
        TrainingFailuresInARow: "recommender:training_failures_in_a_row", "runs", TRAINING;
        /// How long the last successful training run took.
        TrainingDuration: "recommender:training_duration_seconds", "seconds", TRAINING, ["kind"];
        /// How long the active training run has been running.
        TrainingRunning: "recommender:training_running_seconds", "seconds", TRAINING, ["kind"];
        /// How long a training run that is due has waited.
        TrainingWaiting: "recommender:training_waiting_seconds", "seconds", TRAINING;
        /// How long a version that passes its gates has waited for its inputs.
        PromotionWaiting: "recommender:promotion_waiting_seconds", "seconds", TRAINING;
        /// Jobs that delete artifacts and failed since the last one that succeeded.
        PruneFailuresInARow: "recommender:prune_failures_in_a_row", "runs", TRAINING;
        /// Which part of the active training run is done.
        TrainingProgress: "recommender:training_progress_ratio", "0 to 1", RUN;
        /// Steps of that run that are done.
        TrainingStep: "recommender:training_step", "steps", RUN;
        /// The loss of that run.
        TrainingLoss: "recommender:training_loss", "as reported", RUN;
        /// Time until that run ends.
        TrainingRemaining: "recommender:training_remaining_seconds", "seconds", RUN;
        /// What the trainer of the served version measured.
        ModelQuality: "recommender:model_quality", "as reported", TRAINING, ["metric"];
        /// What a gate asks for at least.
        QualityMinimum: "recommender:model_quality_minimum", "as reported", TRAINING, ["metric"];
        /// Versions since the last one that passed its gates.
        VersionsRefused: "recommender:versions_refused_in_a_row", "versions", TRAINING;
        /// Versions that were rolled back, since the last one that was promoted.
        VersionsRolledBack: "recommender:versions_rolled_back", "versions", TRAINING;
        /// How many users, items and entries of its matrix the served version has.
        ModelEntities: "recommender:model_entities", "entities", TRAINING, ["entity", "model"];
        /// Size of the artifact of the served version, and of its parts.
        ArtifactBytes: "recommender:artifact_bytes", "bytes", TRAINING, ["artifact"];
        /// The versions in the status.
        VersionInfo: "recommender:version_info", "1", TRAINING, ["version", "kind", "state"];
        /// How long a rollout has been under way.
        Rollout: "recommender:rollout_seconds", "seconds", SERVERS;
        /// Servers by the version that they answer with, without those of a canary.
        ServingVersion: "recommender:serving_version", "servers", SERVERS, ["version"];
        /// Pods by state: ready, running, or why they wait.
        Pods: "recommender:pods", "pods", WORKLOADS, ["state"];
        /// Time since a container last ended because it used more memory than it may.
        OutOfMemoryAge: "recommender:out_of_memory_age_seconds", "seconds", WORKLOADS;
        /// CPU cores in use.
        CpuCores: "recommender:cpu_cores:rate5m", "cores", WORKLOADS;
        /// Periods in which a CPU limit stopped containers, as a part of all.
        CpuThrottled: "recommender:cpu_throttled_ratio", "periods over all", WORKLOADS;
        /// Memory in use that cannot be given back.
        MemoryBytes: "recommender:memory_bytes", "bytes", WORKLOADS;
        /// CPU in use by the CPU that is requested, mean per pod: what it exceeded in a twentieth of a week.
        CpuRequestedWeek: "recommender:cpu_requested_use:p95_1w", "cores used over the request", WORKLOADS;
        /// Memory in use by the memory that is requested, of the pod that uses most.
        MemoryRequested: "recommender:memory_requested_use", "bytes used over the request", WORKLOADS;
        /// The most of that within a week.
        MemoryRequestedWeek: "recommender:memory_requested_use:max_1w", "bytes used over the request", WORKLOADS;
        /// Bytes that pods receive.
        NetworkReceived: "recommender:network_receive_bytes:rate5m", "bytes/s", WORKLOADS;
        /// Bytes that pods send.
        NetworkTransmitted: "recommender:network_transmit_bytes:rate5m", "bytes/s", WORKLOADS;
        /// Free part of the volume with the artifacts.
        VolumeFree: "recommender:volume_free_ratio", "bytes free over all", TRAINING;
        /// How long messages are kept.
        Retention: "recommender:retention_seconds", "seconds", DEPENDENCY;
        /// Stream processors that there should be.
        TaskManagersExpected: "recommender:taskmanagers_expected", "TaskManagers", DEPENDENCY;
        /// Messages of a queue: ready, or delivered and not acknowledged.
        QueueMessages: "recommender:queue_messages", "messages", DEPENDENCY, ["queue", "state"];
        /// Consumers of a queue, or members of a consumer group.
        Consumers: "recommender:consumers", "consumers", DEPENDENCY, ["queue"];
        /// Jobs by status.
        Jobs: "recommender:jobs", "jobs", DEPENDENCY, ["queue", "status"];
        /// Jobs that ended, by result: success or failed.
        JobsDone: "recommender:jobs_done:rate5m", "jobs/s", DEPENDENCY, ["result"];
        /// How long jobs take.
        JobSeconds: "recommender:job_seconds:mean", "seconds", DEPENDENCY;
        /// Messages that become dead letters.
        DeadLetters: "recommender:dead_letters:rate5m", "messages/s", DEPENDENCY, ["reason"];
        /// Dead letters that wait.
        DeadLetterMessages: "recommender:dead_letter_messages", "messages", DEPENDENCY, ["queue"];
        /// Messages that are lost.
        MessagesDropped: "recommender:messages_dropped:rate5m", "messages/s", DEPENDENCY;
        /// Log records that a shipper gives up; those that it tries again are not lost.
        LogsLost: "recommender:logs_lost:rate5m", "records/s", DEPENDENCY;
        /// Spans that a collector gives up.
        SpansLost: "recommender:spans_lost:rate5m", "spans/s", DEPENDENCY;
        /// Messages waiting in the partition in which most wait.
        LagOfPartition: "recommender:lag_partition:max", "messages", DEPENDENCY;
        /// Partitions in which messages wait and none is consumed.
        StuckPartitions: "recommender:stuck_partitions", "partitions", DEPENDENCY;
        /// How far the records that a stream emits are behind their events.
        EventLag: "recommender:event_lag_seconds", "seconds", DEPENDENCY;
        /// Part of the time in which a task waits for the tasks behind it, worst subtask.
        Backpressure: "recommender:backpressure", "0 to 1", DEPENDENCY, ["task"];
        /// Part of the time in which a task is busy, worst subtask.
        StreamBusy: "recommender:stream_busy", "0 to 1", DEPENDENCY, ["task"];
        /// CPU use of the stream processor that uses most.
        StreamCpu: "recommender:stream_cpu_use", "0 to 1", DEPENDENCY;
        /// Failed checkpoints.
        CheckpointFailures: "recommender:checkpoint_failures:increase5m", "checkpoints", DEPENDENCY;
        /// How long the last checkpoint took.
        CheckpointSeconds: "recommender:checkpoint_seconds", "seconds", DEPENDENCY;
        /// Time since a checkpoint was completed, 30 minutes at most.
        CheckpointAge: "recommender:checkpoint_age_seconds", "seconds", DEPENDENCY;
        /// Jobs of a stream that run.
        StreamJobs: "recommender:stream_jobs_running", "jobs", DEPENDENCY;
        /// Stream processors that are registered.
        TaskManagers: "recommender:taskmanagers", "TaskManagers", DEPENDENCY;
        /// Restarts of a stream.
        StreamRestarts: "recommender:stream_restarts:increase1h", "restarts", DEPENDENCY;
        /// Records that come too late for their window, as a part of all.
        LateRatio: "recommender:late_ratio:rate5m", "late records over all", DEPENDENCY;
        /// How fast the slowest watermark advances.
        WatermarkAdvance: "recommender:watermark_advance:rate5m", "seconds/s", DEPENDENCY;
        /// CPU use of a dependency.
        DependencyCpuUse: "recommender:dependency_cpu_use", "cores used over all", DEPENDENCY;
        /// Part of the time in which the disks of a dependency are busy.
        DependencyIoUse: "recommender:dependency_io_use", "0 to 1", DEPENDENCY;
        /// CPU use by the CPU limits, or else the requests, mean per pod.
        CpuUse: "recommender:cpu_use", "cores used over cores allowed", WORKLOADS;
        /// How long a probe of a dependency took.
        DependencyProbe: "recommender:dependency_probe_seconds", "seconds", DEPENDENCY;
        /// Requests to a dependency.
        DependencyRequests: "recommender:dependency_requests:rate1m", "requests/s", DEPENDENCY, ["operation"];
        /// Requests to a dependency that failed.
        DependencyErrors: "recommender:dependency_errors:rate1m", "requests/s", DEPENDENCY, ["reason"];
        /// Mean latency of a dependency.
        DependencyLatencyMean: "recommender:dependency_latency_seconds:mean", "seconds", DEPENDENCY, ["operation"];
        /// 95th percentile of the latency of a dependency.
        DependencyLatencyP95: "recommender:dependency_latency_seconds:p95", "seconds", DEPENDENCY;
        /// 99th percentile of the latency of a dependency.
        DependencyLatencyP99: "recommender:dependency_latency_seconds:p99", "seconds", DEPENDENCY;
        /// Connections to a dependency.
        DependencyConnections: "recommender:dependency_connections", "connections", DEPENDENCY, ["state"];
        /// Connections in use, as a part of those that are allowed.
        DependencyConnectionUse: "recommender:dependency_connection_use", "connections over those allowed", DEPENDENCY;
        /// Memory that a dependency uses.
        DependencyMemory: "recommender:dependency_memory_bytes", "bytes", DEPENDENCY;
        /// The same, as a part of its limit.
        DependencyMemoryUse: "recommender:dependency_memory_use", "bytes used over bytes allowed", DEPENDENCY;
        /// What a dependency stores.
        DependencyBytes: "recommender:dependency_bytes", "bytes", DEPENDENCY, ["bucket", "database"];
        /// What it can still store.
        DependencyFree: "recommender:dependency_free_bytes", "bytes", DEPENDENCY;
        /// Entries that a dependency stores.
        DependencyItems: "recommender:dependency_items", "items", DEPENDENCY, ["collection"];
        /// How far the replica that is furthest behind is behind.
        ReplicationLag: "recommender:replication_lag_seconds", "seconds", DEPENDENCY;
        /// How long the oldest transaction has been running.
        OldestTransaction: "recommender:oldest_transaction_seconds", "seconds", DEPENDENCY;
        /// Deadlocks of a database.
        Deadlocks: "recommender:deadlocks:increase15m", "deadlocks", DEPENDENCY;
        /// Lookups in a cache.
        CacheLookups: "recommender:cache_lookups:rate5m", "lookups/s", DEPENDENCY;
        /// Lookups that a cache answered, as a part of all.
        CacheHitRatio: "recommender:cache_hit_ratio", "hits over lookups", DEPENDENCY;
        /// Entries that a cache removed for lack of memory.
        CacheEvictions: "recommender:cache_evictions:rate5m", "entries/s", DEPENDENCY;
        /// Pods by the state of their circuit breaker.
        CircuitPods: "recommender:circuit_pods", "pods", DEPENDENCY, ["state"];
        /// Requests that a dependency allows in its period.
        UpstreamQuota: "recommender:upstream_quota", "requests", DEPENDENCY;
        /// How many of them are left.
        UpstreamQuotaLeft: "recommender:upstream_quota_left", "requests", DEPENDENCY;
        /// Time until the first certificate of a dependency expires.
        CertificateLeft: "recommender:certificate_seconds_left", "seconds", DEPENDENCY;
        /// Whether a broker refuses messages for lack of memory or disk.
        BrokerAlarm: "recommender:broker_alarm", "0 or 1", DEPENDENCY;
        /// Partitions with fewer replicas in sync than they should have.
        UnderReplicated: "recommender:under_replicated_partitions", "partitions", DEPENDENCY;
        /// How far the values of a feature are from those of the training.
        DriftScore: "recommender:drift_score", "score", DEPENDENCY, ["feature"];
        /// Features that drifted, as a part of all.
        DriftedFeatures: "recommender:drifted_features_ratio", "drifted features over all", DEPENDENCY;
        /// Time since the drift was last computed.
        DriftAge: "recommender:drift_age_seconds", "seconds", DEPENDENCY;
        /// Bad requests of an objective; of one that is a share of time, whether it is bad now.
        ObjectiveBad: "recommender:objective_bad:rate1m", "requests/s, or 0 or 1", OBJECTIVE;
        /// All requests of an objective; of one that is a share of time, 1 while it is known.
        ObjectiveAll: "recommender:objective_all:rate1m", "requests/s, or 1", OBJECTIVE;
        /// [`Series::ObjectiveBad`], averaged for the windows of hours and days.
        ObjectiveBadMean: "recommender:objective_bad:rate5m", "requests/s, or 0 to 1", OBJECTIVE;
        /// [`Series::ObjectiveAll`], averaged for the windows of hours and days.
        ObjectiveAllMean: "recommender:objective_all:rate5m", "requests/s, or 1", OBJECTIVE;
        /// What is bad, as a part of all, of five minutes.
        ErrorRatio5m: "recommender:objective_errors:ratio_rate5m", "bad over all", OBJECTIVE;
        /// The same of half an hour.
        ErrorRatio30m: "recommender:objective_errors:ratio_rate30m", "bad over all", OBJECTIVE;
        /// The same of an hour.
        ErrorRatio1h: "recommender:objective_errors:ratio_rate1h", "bad over all", OBJECTIVE;
        /// The same of two hours.
        ErrorRatio2h: "recommender:objective_errors:ratio_rate2h", "bad over all", OBJECTIVE;
        /// The same of six hours.
        ErrorRatio6h: "recommender:objective_errors:ratio_rate6h", "bad over all", OBJECTIVE;
        /// The same of a day.
        ErrorRatio1d: "recommender:objective_errors:ratio_rate1d", "bad over all", OBJECTIVE;
        /// The same of three days.
        ErrorRatio3d: "recommender:objective_errors:ratio_rate3d", "bad over all", OBJECTIVE;
        /// Requests of an objective that were counted within an hour.
        ObjectiveRequests1h: "recommender:objective_requests:increase1h", "requests", OBJECTIVE;
        /// The same within six hours.
        ObjectiveRequests6h: "recommender:objective_requests:increase6h", "requests", OBJECTIVE;
        /// The same within a day.
        ObjectiveRequests1d: "recommender:objective_requests:increase1d", "requests", OBJECTIVE;
        /// The same within three days.
        ObjectiveRequests3d: "recommender:objective_requests:increase3d", "requests", OBJECTIVE;
        /// What an objective allows to be bad, as a part of all.
        ErrorBudget: "recommender:objective_error_budget", "bad over all, as allowed", OBJECTIVE;
        /// Bad requests in the longer window of an alert below which it does not fire.
        BadRequestsFloor: "recommender:objective_min_bad_requests", "requests", OBJECTIVE;
        /// How much of the error budget of an objective is left, as a part of all; negative when the goal is missed.
        BudgetLeft: "recommender:error_budget_left", "budget left over all of it", OBJECTIVE;
        /// Bad requests within the window of the error budget; of an objective that is a share of time, seconds.
        BudgetBad: "recommender:error_budget_bad", "requests, or seconds", OBJECTIVE;
        /// Mean latency.
        LatencyMean: "recommender:request_latency_seconds:mean", "seconds", SERVERS;
        /// A lower bound of the shortest request: the lower bound of the first bucket that has one.
        LatencyMin: "recommender:request_latency_seconds:min", "seconds", SERVERS;
        /// An upper bound of the longest request; absent if it is in the last bucket or above it.
        LatencyMax: "recommender:request_latency_seconds:max", "seconds", SERVERS;
        /// Responses by class of their status.
        Responses: "recommender:responses:rate1m", "requests/s", SERVERS, ["class"];
        /// Requests of the busiest routes by class of their status.
        RouteRequests: "recommender:route_requests:rate1m", "requests/s", SERVERS, ["route", "class"];
        /// Mean latency of the busiest routes.
        RouteLatencyMean: "recommender:route_latency_seconds:mean", "seconds", SERVERS, ["route"];
        /// Bytes of the bodies of requests.
        RequestBytes: "recommender:request_bytes:rate1m", "bytes/s", SERVERS;
        /// Bytes of the bodies of responses.
        ResponseBytes: "recommender:response_bytes:rate1m", "bytes/s", SERVERS;
        /// Requests of the tenant that sends most, as a part of all.
        TenantShare: "recommender:tenant_share:max", "its requests over all", SERVERS;
    }

    /// The series that only the application itself can measure: an object states them in PromQL.
    SIGNALS {
        /// Exceptions in the application.
        Exceptions: "recommender:exceptions:rate1m", "exceptions/s", SERVERS, ["type", "component"];
        /// Requests that the application refuses because their values are not valid.
        ValidationErrors: "recommender:validation_errors:rate1m", "requests/s", SERVERS;
        /// Sessions of users.
        Sessions: "recommender:sessions", "sessions", SERVERS;
        /// Open WebSocket connections.
        WebsocketConnections: "recommender:websocket_connections", "connections", SERVERS;
        /// Messages over WebSockets.
        WebsocketMessages: "recommender:websocket_messages:rate1m", "messages/s", SERVERS, ["direction"];
        /// Median duration of an inference.
        InferenceP50: "recommender:inference_latency_seconds:p50", "seconds", SERVERS;
        /// 95th percentile of the duration of an inference.
        InferenceP95: "recommender:inference_latency_seconds:p95", "seconds", SERVERS;
        /// 99th percentile of the duration of an inference.
        InferenceP99: "recommender:inference_latency_seconds:p99", "seconds", SERVERS;
        /// Answers with recommendations, by result: ok, or why they are not personal.
        Recommendations: "recommender:recommendations:rate1m", "answers/s", SERVERS, ["result"];
        /// Requests of the tenants that send most.
        TenantRequests: "recommender:tenant_requests:top10", "requests/s", SERVERS, ["tenant"];
        /// What the business counts.
        Business: "recommender:business:rate5m", "events/s", SERVERS, ["event"];
        /// Ratios that the business computes.
        BusinessRatio: "recommender:business_ratio", "ratio", SERVERS, ["event"];
        /// Events that are not valid, as a part of all.
        InvalidEvents: "recommender:invalid_events_ratio:rate5m", "invalid events over all", SERVERS;
        /// Operations on the caches of the application.
        CacheOperations: "recommender:cache_operations:rate5m", "operations/s", SERVERS, ["level", "result"];
        /// Size of the caches of the application.
        CacheBytes: "recommender:cache_bytes", "bytes", SERVERS, ["level"];
        /// 95th percentile of the size of stored objects.
        ObjectBytes: "recommender:object_bytes:p95", "bytes", SERVERS;
        /// How long a server takes to load its model.
        ModelLoad: "recommender:model_load_seconds", "seconds", SERVERS, ["version"];
    }
}
