//! Wire types: spec and status of `RecommenderModel`, and the objects of other API groups that we write. No behaviour.

pub mod conditions;
pub mod crd;
pub mod gateway;
pub mod monitoring_coreos;
mod rules;
mod spec;
mod status;

pub use spec::*;
pub use status::*;

use kube::core::DeserializeGuard;

/// An object that may be unreadable. One that is must not keep the others from being listed.
pub type Guarded = DeserializeGuard<RecommenderModel>;

/// The field manager of everything the operator applies.
pub const FIELD_MANAGER: &str = "recommender-operator";
/// Field manager that owns `spec.replicas` after we give it up and until the autoscaler takes it over. Replicas are also
/// ordered in its name.
pub const HANDOFF_MANAGER: &str = "recommender-operator-handoff";
/// The annotation that requests a training run: a value that differs from the last one and starts with `full` or `partial`.
pub const TRAIN_ANNOTATION: &str = "recommender.dev/train";
/// The annotation that approves a version for [`PromotionMode::Manual`]: its id.
pub const APPROVE_ANNOTATION: &str = "recommender.dev/approve";
/// The annotation that rolls back once: the id of a version that has served.
pub const ROLLBACK_ANNOTATION: &str = "recommender.dev/rollback";
/// The annotation that keeps a version serving while it is there: its id.
pub const PIN_ANNOTATION: &str = "recommender.dev/pin";
/// The annotation that keeps new versions from being promoted while it is `true`.
pub const PAUSE_ANNOTATION: &str = "recommender.dev/pause-promotion";
/// Label of every child and its pods, with [`FIELD_MANAGER`] as its value. The operator watches objects with this label.
pub const MANAGED_BY_LABEL: &str = "app.kubernetes.io/managed-by";
/// Annotation of every child: hash of the object that was applied last, so that an unchanged child is not applied again.
pub const HASH_ANNOTATION: &str = "recommender.dev/applied-hash";
/// Label of every child: base name of the `RecommenderModel` it belongs to.
pub const MODEL_LABEL: &str = "recommender.dev/model";
/// Label of the pods that get requests, with the value `true`. The Service and the PodDisruptionBudget select by it, so that a
/// second Deployment fits behind them without a change of anything that runs: selectors are immutable or expensive to change.
pub const TRAFFIC_LABEL: &str = "recommender.dev/traffic";
/// Label of pods of a Deployment: its track. Each Deployment selects its own.
pub const TRACK_LABEL: &str = "recommender.dev/track";
/// The track of the version that serves.
pub const STABLE_TRACK: &str = "stable";
/// The track of a version that is tried on a part of the requests.
pub const CANARY_TRACK: &str = "canary";
/// Label of pods and Jobs: the model version they train or serve.
pub const VERSION_LABEL: &str = "recommender.dev/version";
/// The label by which the Deployment controller distinguishes pods of different templates.
pub const TEMPLATE_HASH_LABEL: &str = "pod-template-hash";
/// The label by which Kueue knows the queue of a Job.
pub const QUEUE_LABEL: &str = "kueue.x-k8s.io/queue-name";
/// Annotation of training Jobs: hash of the training settings they were created from.
pub const TEMPLATE_ANNOTATION: &str = "recommender.dev/training-template";
/// Annotation of the ConfigMap with the version file of servers: its content.
pub const VERSION_FILE_ANNOTATION: &str = "recommender.dev/version-file";
/// Annotation of a Deployment whose servers read the version from a file: hash of their template.
pub const SERVERS_ANNOTATION: &str = "recommender.dev/servers-template";
/// Annotation of the pods of servers that were restarted because they did not change versions in time: when that began.
pub const RESTARTED_ANNOTATION: &str = "recommender.dev/reload-timed-out";
/// Annotation of training Jobs: time at which the run was due (RFC 3339), which orders versions.
pub const DUE_ANNOTATION: &str = "recommender.dev/due";
/// Annotation of training Jobs: why the run was started (`Initial`, `Schedule`, `Request`, `Signal`).
pub const TRIGGER_ANNOTATION: &str = "recommender.dev/trigger";
/// Annotation of training Jobs: the value of [`TRAIN_ANNOTATION`] that requested the run.
pub const REQUEST_ANNOTATION: &str = "recommender.dev/request";
/// Annotation of training Jobs: the trigger that started the run, and what was observed.
pub const CAUSE_ANNOTATION: &str = "recommender.dev/cause";
/// Annotation of Jobs of partial runs: the base, as in the status of their version (JSON).
pub const BASE_ANNOTATION: &str = "recommender.dev/base";
/// Annotation of Jobs that delete artifacts: the versions, separated by blanks.
pub const PRUNE_ANNOTATION: &str = "recommender.dev/prune";
/// Annotation of Jobs and pods: the full name of the `RecommenderModel` (the label contains the base name).
pub const MODEL_NAME_ANNOTATION: &str = "recommender.dev/model-name";
