//! Wire types: what users write, what we report, and the foreign objects we emit. No behaviour lives here.

pub mod conditions;
pub mod crd;
pub mod monitoring_coreos;
mod rules;
mod spec;
mod status;

pub use spec::*;
pub use status::*;

/// The field manager of everything the operator applies.
pub const FIELD_MANAGER: &str = "recommender-operator";
/// The annotation that asks for a training run: a value that was not seen before and starts with `full`.
pub const TRAIN_ANNOTATION: &str = "recommender.dev/train";
/// On every child and its pods, with [`FIELD_MANAGER`] as its value: what is watched.
pub const MANAGED_BY_LABEL: &str = "app.kubernetes.io/managed-by";
/// On every child: the hash of what was last applied, so that an unchanged child is never applied again.
pub const HASH_ANNOTATION: &str = "recommender.dev/applied-hash";
/// On every child: the base name of the `RecommenderModel` it belongs to.
pub const MODEL_LABEL: &str = "recommender.dev/model";
/// On pods and Jobs: the model version they train or serve.
pub const VERSION_LABEL: &str = "recommender.dev/version";
/// On training Jobs: the hash of the training template they were made from.
pub const TEMPLATE_ANNOTATION: &str = "recommender.dev/training-template";
/// On training Jobs: the instant the run was due (RFC 3339), which orders versions.
pub const DUE_ANNOTATION: &str = "recommender.dev/due";
/// On training Jobs: why the run was started (`Initial`, `Schedule`, `Request`).
pub const TRIGGER_ANNOTATION: &str = "recommender.dev/trigger";
/// On training Jobs: the request that started the run.
pub const REQUEST_ANNOTATION: &str = "recommender.dev/request";
/// On Jobs and pods: the full name of the `RecommenderModel` (the label holds a shortened one).
pub const MODEL_NAME_ANNOTATION: &str = "recommender.dev/model-name";
