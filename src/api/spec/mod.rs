#![allow(clippy::duplicated_attributes)] // Every printer column repeats type_.

mod artifacts;
mod autoscaling;
mod canary;
mod container;
mod dependencies;
mod hot_reload;
mod monitoring;
mod pod;
mod promotion;
mod serving;
mod training;
mod workers;

pub use artifacts::*;
pub use autoscaling::*;
pub use canary::*;
pub use container::*;
pub use dependencies::*;
pub use hot_reload::*;
pub use monitoring::*;
pub use pod::*;
pub use promotion::*;
pub use serving::*;
pub use training::*;
pub use workers::*;

use std::collections::BTreeMap;

use kube::{CustomResource, KubeSchema};
use serde::{Deserialize, Serialize};

use super::{RecommenderModelStatus, rules};

/// A recommender: how its model is trained, served and monitored. The operator creates and reconciles training Jobs, the
/// serving Deployment, Service, autoscaler, disruption budget and monitoring.
#[derive(CustomResource, KubeSchema, Serialize, Deserialize, Clone, Debug, PartialEq)]
#[kube(
    group = "recommender.dev",
    version = "v1alpha1",
    kind = "RecommenderModel",
    plural = "recommendermodels",
    shortname = "recmodel",
    category = "recommenders",
    namespaced,
    status = "RecommenderModelStatus",
    derive = "PartialEq",
    doc = "A recommender: how its model is trained, served and watched.",
    printcolumn(
        name = "Ready",
        type_ = "string",
        json_path = r#".status.conditions[?(@.type=="Ready")].status"#,
        description = "Whether a trained version answers requests"
    ),
    printcolumn(
        name = "Version",
        type_ = "string",
        json_path = ".status.serving.version",
        description = "The model version that answers requests"
    ),
    printcolumn(
        name = "Replicas",
        type_ = "integer",
        json_path = ".status.serving.replicas",
        description = "Serving pods that are ready"
    ),
    printcolumn(
        name = "Trained",
        type_ = "date",
        json_path = ".status.training.lastSuccessTime",
        description = "Since the last training run that gave a valid version"
    ),
    printcolumn(
        name = "Refreshable",
        type_ = "string",
        json_path = r#".status.conditions[?(@.type=="Refreshable")].status"#,
        description = "Whether a newer version can be trained and serve"
    ),
    printcolumn(
        name = "Reason",
        type_ = "string",
        json_path = r#".status.conditions[?(@.type=="Ready")].reason"#,
        description = "Why the model is ready, or is not"
    ),
    printcolumn(name = "Age", type_ = "date", json_path = ".metadata.creationTimestamp"),
    printcolumn(
        name = "Data",
        type_ = "date",
        json_path = ".status.serving.dataThrough",
        description = "Age of the data of that version",
        priority = 1
    ),
    printcolumn(
        name = "Budget",
        type_ = "integer",
        json_path = ".status.errorBudgetRemainingPercent",
        description = "Per cent left of the error budget that has least left",
        priority = 1
    ),
    printcolumn(
        name = "Progress",
        type_ = "integer",
        json_path = ".status.training.active.progress.percent",
        description = "Per cent of the active training run that are done",
        priority = 1
    ),
    printcolumn(
        name = "Message",
        type_ = "string",
        json_path = r#".status.conditions[?(@.type=="Ready")].message"#,
        priority = 1
    )
)]
#[x_kube(
    validation = Rule::new(rules::SCALING_MONITORED)
        .message("autoscaling on latency or lag reads recording rules: set monitoring"),
    validation = Rule::new(rules::SERVING_LAG_KNOWN)
        .message("serving.autoscaling.lag.dependency must be the name of one of dependencies"),
    validation = Rule::new(rules::WORKER_LAG_KNOWN)
        .message("lag.dependency of every worker must be the name of one of dependencies")
)]
#[serde(rename_all = "camelCase")]
pub struct RecommenderModelSpec {
    /// Where model versions are stored. Only training and serving pods read it; the operator never does.
    pub artifacts: Artifacts,
    /// How the model is trained.
    pub training: Training,
    /// Which versions may serve. Default: the newest valid one.
    #[serde(default, skip_serializing_if = "Promotion::is_default")]
    pub promotion: Promotion,
    /// How the model is served over HTTP.
    pub serving: Serving,
    /// Additional Deployments that process events or jobs.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    #[schemars(length(max = 8))]
    #[x_kube(merge_strategy = ListMerge::Map(vec!["name".into()]))]
    pub workers: Vec<Worker>,
    /// Message queues and topics whose lag is measured, so that servers or workers can scale on it.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    #[schemars(length(max = 16))]
    #[x_kube(merge_strategy = ListMerge::Map(vec!["name".into()]))]
    pub dependencies: Vec<Dependency>,
    /// How the model is monitored. Without it, no ServiceMonitor, PodMonitor or PrometheusRule is created.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub monitoring: Option<Monitoring>,
    /// Secrets of type kubernetes.io/dockerconfigjson in the same namespace, used to pull the images.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    #[schemars(length(max = 8))]
    pub image_pull_secrets: Vec<LocalReference>,
    /// Annotations of the ServiceAccount that is created for the pods, by which clouds give them an identity, for example
    /// eks.amazonaws.com/role-arn.
    #[serde(default, skip_serializing_if = "BTreeMap::is_empty")]
    #[schemars(extend("maxProperties" = 16, "additionalProperties" = { "type": "string", "maxLength": 1024 }))]
    #[x_kube(
        validation = Rule::new(rules::FREE_KEYS).message(rules::FREE_KEYS_MESSAGE),
        validation = Rule::new(rules::LABEL_KEYS).message(rules::LABEL_KEYS_MESSAGE)
    )]
    pub service_account_annotations: BTreeMap<String, String>,
}
