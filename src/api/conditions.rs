//! Condition types and reasons: the vocabulary of status, events, logs and metrics.

/// Types of conditions, in the order they are listed.
pub mod types {
    /// A trained version answers requests.
    pub const READY: &str = "Ready";
    /// The operator is still working towards the spec (kstatus: in progress while true).
    pub const RECONCILING: &str = "Reconciling";
    /// Something must be mended by a person before it goes on (kstatus: failed while true).
    pub const STALLED: &str = "Stalled";
    /// The last training run gave a valid version.
    pub const TRAINING_READY: &str = "TrainingReady";
    /// The newest valid version is rolled out and its pods are ready.
    pub const SERVING_READY: &str = "ServingReady";
    /// The number of replicas is able to follow what it is to follow.
    pub const SCALING_ACTIVE: &str = "ScalingActive";
    /// The workers' pods are ready.
    pub const WORKERS_READY: &str = "WorkersReady";
    /// The monitoring objects are in place.
    pub const MONITORING_READY: &str = "MonitoringReady";
}

/// Reasons of conditions, events and finished runs.
pub mod reasons {
    /// The aspect is as it should be.
    pub const AS_SPECIFIED: &str = "AsSpecified";
    /// A version answers requests and is the newest valid one.
    pub const SERVING: &str = "Serving";
    /// The spec cannot work; the message says what to write instead.
    pub const INVALID_SPEC: &str = "InvalidSpec";
    /// An object that is not ours has the name of a child.
    pub const NAME_CONFLICT: &str = "NameConflict";
    /// Somebody else keeps changing fields of a child that the object sets.
    pub const FIELD_CONFLICT: &str = "FieldConflict";
    /// The API server refused or did not take a child.
    pub const APPLY_FAILED: &str = "ApplyFailed";
    /// The operator could not finish its work on the object and tries again.
    pub const RECONCILE_FAILED: &str = "ReconcileFailed";
    /// Somebody else changed a child; it was put right.
    pub const CHILD_RESTORED: &str = "ChildRestored";
    /// Nothing was looked at yet.
    pub const PENDING: &str = "Pending";
    /// A training run is under way.
    pub const TRAINING: &str = "Training";
    /// The training pod cannot start.
    pub const TRAINING_BLOCKED: &str = "TrainingBlocked";
    /// The last training run gave a valid version.
    pub const TRAINED: &str = "Trained";
    /// The trainer ended with an error.
    pub const TRAINING_FAILED: &str = "TrainingFailed";
    /// The run was ended at its deadline.
    pub const DEADLINE_EXCEEDED: &str = "DeadlineExceeded";
    /// The run ended without a valid report.
    pub const INVALID_REPORT: &str = "InvalidReport";
    /// The annotation that asks for training has a value that is not understood.
    pub const INVALID_REQUEST: &str = "InvalidRequest";
    /// There is no version to serve yet.
    pub const NO_VERSION: &str = "NoVersion";
    /// The pods of a version are being started.
    pub const ROLLING_OUT: &str = "RollingOut";
    /// The pods of a version do not get ready.
    pub const ROLLOUT_STUCK: &str = "RolloutStuck";
    /// Fewer pods are ready than wanted.
    pub const REPLICAS_MISSING: &str = "ReplicasMissing";
    /// The aspect was not asked for.
    pub const NOT_REQUESTED: &str = "NotRequested";
    /// The autoscaler has no metrics yet, or cannot get them.
    pub const NO_METRICS: &str = "NoMetrics";
    /// Somebody else's autoscaler moves a Deployment; ours is not there meanwhile.
    pub const SCALING_CONFLICT: &str = "ScalingConflict";
    /// A number of replicas was decided on.
    pub const SCALED: &str = "Scaled";
    /// Decisions are told only, as asked for.
    pub const ADVISORY: &str = "Advisory";
    /// Signals that replicas are decided on are missing or old, so nothing is lowered.
    pub const METRICS_MISSING: &str = "MetricsMissing";
    /// Servers that use all of their CPU do not answer any more: replicas are added without their signals.
    pub const OVERLOADED: &str = "Overloaded";
    /// Servers left the Service under load, because they do not answer their readiness probes in time.
    pub const SERVERS_OVERLOADED: &str = "ServersOverloaded";
    /// More replicas would be needed than are allowed.
    pub const MAX_REPLICAS: &str = "MaxReplicas";
    /// More consumers would be needed than there are partitions.
    pub const PARTITIONS: &str = "Partitions";
    /// More messages wait than are to wait at most.
    pub const LAG_ABOVE_MAXIMUM: &str = "LagAboveMaximum";
    /// The latency is above its target even without load.
    pub const TARGET_IMPOSSIBLE: &str = "TargetImpossible";
    /// More replicas did not help.
    pub const SCALING_INEFFECTIVE: &str = "ScalingIneffective";
    /// The promise on latency or lag is in danger, and only a person can help.
    pub const SCALING_TROUBLES: [&str; 5] =
        [MAX_REPLICAS, PARTITIONS, LAG_ABOVE_MAXIMUM, TARGET_IMPOSSIBLE, SCALING_INEFFECTIVE];
    /// A kind is missing in the cluster.
    pub const API_MISSING: &str = "ApiMissing";
}
