//! Condition types and reasons, used in status, Events, logs and metrics.

/// Types of conditions, in the order they are listed. Which there are is in [`SUMMARIES`](types::SUMMARIES) and
/// [`SUMMARIZED`](types::SUMMARIZED); the status, Events and the tests take their lists from there.
pub mod types {
    /// A trained version answers requests.
    pub const READY: &str = "Ready";
    /// The operator is still working towards the spec (kstatus: in progress while true).
    pub const RECONCILING: &str = "Reconciling";
    /// No progress until a user fixes an error (kstatus: failed while true).
    pub const STALLED: &str = "Stalled";
    /// A newer version can take the place of the one that serves.
    pub const REFRESHABLE: &str = "Refreshable";
    /// The last training run produced a valid version.
    pub const TRAINING_READY: &str = "TrainingReady";
    /// The newest valid version is rolled out and its pods are ready.
    pub const SERVING_READY: &str = "ServingReady";
    /// The newest version is to serve: it passes its gates, and is not held back.
    pub const PROMOTION_READY: &str = "PromotionReady";
    /// The number of replicas can follow its signals.
    pub const SCALING_ACTIVE: &str = "ScalingActive";
    /// The workers' pods are ready.
    pub const WORKERS_READY: &str = "WorkersReady";
    /// The monitoring objects exist as desired, and the metric source has loaded them.
    pub const MONITORING_READY: &str = "MonitoringReady";

    /// What the recommender depends on works, as exporters report it.
    pub const DEPENDENCIES_HEALTHY: &str = "DependenciesHealthy";

    /// Those that only summarize the others.
    pub const SUMMARIES: [&str; 4] = [READY, RECONCILING, STALLED, REFRESHABLE];
    /// The others. Each emits an Event when it becomes False for a reason that is not [quiet](super::reasons::QUIET). Its
    /// last known value stays while the spec is invalid.
    pub const SUMMARIZED: [&str; 7] = [
        TRAINING_READY,
        PROMOTION_READY,
        SERVING_READY,
        WORKERS_READY,
        SCALING_ACTIVE,
        MONITORING_READY,
        DEPENDENCIES_HEALTHY,
    ];

    /// All types, in the order of the status.
    pub fn all() -> impl Iterator<Item = &'static str> {
        SUMMARIES.into_iter().chain(SUMMARIZED)
    }
}

/// Reasons of conditions, Events and finished runs.
pub mod reasons {
    /// The state is as specified.
    pub const AS_SPECIFIED: &str = "AsSpecified";
    /// A version answers requests and is the newest valid one.
    pub const SERVING: &str = "Serving";
    /// The spec is invalid; the message contains what to write instead.
    pub const INVALID_SPEC: &str = "InvalidSpec";
    /// An object that is not owned by the model has the name of a child.
    pub const NAME_CONFLICT: &str = "NameConflict";
    /// Another field manager keeps changing fields of a child that the operator applies.
    pub const FIELD_CONFLICT: &str = "FieldConflict";
    /// The API server rejected a child, or applying it failed.
    pub const APPLY_FAILED: &str = "ApplyFailed";
    /// The reconcile of the object failed and is retried.
    pub const RECONCILE_FAILED: &str = "ReconcileFailed";
    /// Drift correction: another field manager changed a child, and it was applied again.
    pub const CHILD_RESTORED: &str = "ChildRestored";
    /// Not reconciled yet.
    pub const PENDING: &str = "Pending";
    /// A training run is active.
    pub const TRAINING: &str = "Training";
    /// The training pod cannot start.
    pub const TRAINING_BLOCKED: &str = "TrainingBlocked";
    /// Training is suspended, so nothing newer is trained.
    pub const TRAINING_SUSPENDED: &str = "TrainingSuspended";
    /// A training run that is due waits for its inputs or for others to end.
    pub const TRAINING_WAITS: &str = "TrainingWaits";
    /// The last training run produced a valid version.
    pub const TRAINED: &str = "Trained";
    /// The trainer ended with an error.
    pub const TRAINING_FAILED: &str = "TrainingFailed";
    /// The run was ended at its deadline.
    pub const DEADLINE_EXCEEDED: &str = "DeadlineExceeded";
    /// The run ended without a valid report.
    pub const INVALID_REPORT: &str = "InvalidReport";
    /// The newest version did not pass its gates.
    pub const VERSION_REJECTED: &str = "VersionRejected";
    /// The newest version passed its gates and waits for an approval.
    pub const AWAITING_APPROVAL: &str = "AwaitingApproval";
    /// The newest version passed its gates and waits for the inputs of promotion.readiness.
    pub const AWAITING_INPUTS: &str = "AwaitingInputs";
    /// The newest version was rolled back.
    pub const ROLLED_BACK: &str = "RolledBack";
    /// A version is a canary: it gets a part of the requests.
    pub const CANARY: &str = "Canary";
    /// A Gateway does not accept the HTTPRoute that divides the requests, or none has reported on it yet.
    pub const ROUTE_NOT_ACCEPTED: &str = "RouteNotAccepted";
    /// The rollout of the newest version failed, or it does harm and there is no other one.
    pub const ROLLOUT_FAILED: &str = "RolloutFailed";
    /// A version is pinned by an annotation.
    pub const PINNED: &str = "Pinned";
    /// Promotion is paused by an annotation.
    pub const PAUSED: &str = "Paused";
    /// An annotation that requests something has an invalid value.
    pub const INVALID_REQUEST: &str = "InvalidRequest";
    /// The partial training waits for the next full run, because the full version at the root of its base is too old.
    pub const BASE_TOO_OLD: &str = "BaseTooOld";
    /// There is no version to serve yet.
    pub const NO_VERSION: &str = "NoVersion";
    /// The served version is not in the artifact store of the spec, or its artifact is not known since the status was lost: it is served as
    /// it is until a newer one is promoted.
    pub const ARTIFACTS_MOVED: &str = "ArtifactsMoved";
    /// The pods of a version are being started.
    pub const ROLLING_OUT: &str = "RollingOut";
    /// Servers change to another version without a restart.
    pub const RELOADING: &str = "Reloading";
    /// Servers have not changed to another version in time, so they are restarted.
    pub const RELOAD_TIMED_OUT: &str = "ReloadTimedOut";
    /// The pods of a version or worker cannot start; the rollout goes on by itself once that is fixed.
    pub const ROLLOUT_BLOCKED: &str = "RolloutBlocked";
    /// The pods of a version do not become ready.
    pub const ROLLOUT_STUCK: &str = "RolloutStuck";
    /// Fewer pods are ready than desired.
    pub const REPLICAS_MISSING: &str = "ReplicasMissing";
    /// Not configured in the spec.
    pub const NOT_REQUESTED: &str = "NotRequested";
    /// The autoscaler has no metrics yet, or cannot get them.
    pub const NO_METRICS: &str = "NoMetrics";
    /// A Deployment is scaled by an external autoscaler; ours does not exist meanwhile.
    pub const SCALING_CONFLICT: &str = "ScalingConflict";
    /// A number of replicas was decided on.
    pub const SCALED: &str = "Scaled";
    /// Decisions are only reported, as specified by `advisory`.
    pub const ADVISORY: &str = "Advisory";
    /// Signals that decisions are based on are missing or old, so replicas are not reduced.
    pub const METRICS_MISSING: &str = "MetricsMissing";
    /// Servers that use all of their CPU do not answer any more: replicas are added without their signals.
    pub const OVERLOADED: &str = "Overloaded";
    /// Servers left the Service under load, because they do not answer their readiness probes in time.
    pub const SERVERS_OVERLOADED: &str = "ServersOverloaded";
    /// More replicas would be needed than `maxReplicas` allows.
    pub const MAX_REPLICAS: &str = "MaxReplicas";
    /// More consumers would be needed than there are partitions.
    pub const PARTITIONS: &str = "Partitions";
    /// More messages are waiting than `maxLagMessages`.
    pub const LAG_ABOVE_MAXIMUM: &str = "LagAboveMaximum";
    /// The latency is above its target even without load.
    pub const TARGET_IMPOSSIBLE: &str = "TargetImpossible";
    /// More replicas did not improve the latency or the lag.
    pub const SCALING_INEFFECTIVE: &str = "ScalingIneffective";
    /// The limiting reasons: the target for latency or lag may be missed, and only a user can resolve it.
    pub const LIMITING_REASONS: [&str; 5] =
        [MAX_REPLICAS, PARTITIONS, LAG_ABOVE_MAXIMUM, TARGET_IMPOSSIBLE, SCALING_INEFFECTIVE];
    /// A critical dependency is down.
    pub const DEPENDENCY_DOWN: &str = "DependencyDown";
    /// A dependency that is not critical is down, or nothing is known of it.
    pub const DEPENDENCY_DEGRADED: &str = "DependencyDegraded";
    /// The monitoring objects were changed a short time ago, and the metric source has not loaded them yet.
    pub const LOADING: &str = "Loading";
    /// The metric source has not loaded the rules, or has loaded earlier ones.
    pub const RULES_NOT_LOADED: &str = "RulesNotLoaded";
    /// A rule cannot be evaluated, or is not evaluated in time.
    pub const RULES_FAILING: &str = "RulesFailing";
    /// Ready pods have no scrape target.
    pub const NOT_SCRAPED: &str = "NotScraped";
    /// No scrape target of a workload answers.
    pub const TARGETS_DOWN: &str = "TargetsDown";
    /// The servers do not expose the series of their metric profile.
    pub const PROFILE_MISMATCH: &str = "ProfileMismatch";
    /// The metric source does not answer: it is not known what it has loaded, and no canary begins.
    pub const SOURCE_FAILED: &str = "SourceFailed";
    /// The operator does not have the metric source that the object needs.
    pub const UNKNOWN_SOURCE: &str = "UnknownSource";
    /// The artifacts of versions that left the status were deleted.
    pub const PRUNED: &str = "Pruned";
    /// The artifacts of versions that left the status could not be deleted.
    pub const PRUNE_FAILED: &str = "PruneFailed";
    /// A kind is missing in the cluster.
    pub const API_MISSING: &str = "ApiMissing";

    /// Reasons without an Event: intermediate states, and ends of training runs and refused versions, which have an Event of their
    /// own.
    pub const QUIET: [&str; 12] = [
        NOT_REQUESTED,
        NO_VERSION,
        ROLLING_OUT,
        RELOADING,
        TRAINING,
        TRAINING_FAILED,
        DEADLINE_EXCEEDED,
        INVALID_REPORT,
        PENDING,
        VERSION_REJECTED,
        ROLLED_BACK,
        ROLLOUT_FAILED,
    ];
}
