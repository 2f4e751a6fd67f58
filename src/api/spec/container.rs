use std::collections::BTreeMap;

use k8s_openapi::apimachinery::pkg::api::resource::Quantity;
use kube::KubeSchema;
use serde::{Deserialize, Serialize};

use crate::api::rules;

/// An environment variable: a value, or a key of a Secret or ConfigMap in the same namespace.
#[derive(KubeSchema, Serialize, Deserialize, Clone, Debug, PartialEq)]
#[x_kube(
    validation = Rule::new("!(has(self.value) && has(self.valueFrom))")
        .message("set value or valueFrom, not both"),
    validation = Rule::new("!self.name.startsWith('RECOMMENDER_')")
        .message("names that start with RECOMMENDER_ are set by the operator: choose another name")
)]
#[serde(rename_all = "camelCase")]
pub struct EnvVar {
    /// Name of the variable.
    #[schemars(length(min = 1, max = 128))]
    #[x_kube(validation = Rule::new(rules::VARIABLE)
        .message("write letters, digits, _, - and ., with no digit at the beginning"))]
    pub name: String,
    /// Its value. Default: empty.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[schemars(length(max = 4096))]
    pub value: Option<String>,
    /// Source of the value, instead of value.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub value_from: Option<EnvVarSource>,
}

/// Source of a variable's value: exactly one of the fields.
#[derive(KubeSchema, Serialize, Deserialize, Clone, Debug, PartialEq)]
#[x_kube(validation = Rule::new("has(self.secretKeyRef) != has(self.configMapKeyRef)")
    .message("set exactly one of secretKeyRef and configMapKeyRef"))]
#[serde(rename_all = "camelCase")]
pub struct EnvVarSource {
    /// A key of a Secret.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub secret_key_ref: Option<KeyReference>,
    /// A key of a ConfigMap.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub config_map_key_ref: Option<KeyReference>,
}

/// A key of an object in the same namespace.
#[derive(KubeSchema, Serialize, Deserialize, Clone, Debug, PartialEq)]
#[serde(rename_all = "camelCase")]
pub struct KeyReference {
    /// Name of the object.
    #[schemars(length(min = 1, max = 253))]
    #[x_kube(validation = Rule::new(rules::OBJECT_NAME).message(rules::OBJECT_NAME_MESSAGE))]
    pub name: String,
    /// Key within the object.
    #[schemars(length(min = 1, max = 253))]
    #[x_kube(validation = Rule::new(rules::DATA_KEY).message("write a key of the object: letters, digits, -, _ and ."))]
    pub key: String,
}

/// Compute resources of a container, as in a pod: for example cpu: 500m, memory: 512Mi.
#[derive(KubeSchema, Serialize, Deserialize, Clone, Debug, Default, PartialEq)]
#[x_kube(validation = Rule::new(rules::WITHIN_LIMITS).message("requests must not be above limits"))]
#[serde(rename_all = "camelCase")]
pub struct Resources {
    /// Resources reserved for the container.
    #[serde(default, skip_serializing_if = "BTreeMap::is_empty")]
    #[schemars(extend("maxProperties" = 8))]
    #[x_kube(
        validation = Rule::new(rules::QUANTITIES)
            .message("write quantities that are not negative, such as 500m, 2 or 1.5Gi"),
        validation = Rule::new(rules::RESOURCE_NAMES)
            .message("use cpu, memory, ephemeral-storage, hugepages-<size> or a name with a domain, as nvidia.com/gpu")
    )]
    pub requests: BTreeMap<String, Quantity>,
    /// Maximum resources of the container.
    #[serde(default, skip_serializing_if = "BTreeMap::is_empty")]
    #[schemars(extend("maxProperties" = 8))]
    #[x_kube(
        validation = Rule::new(rules::QUANTITIES)
            .message("write quantities that are not negative, such as 500m, 2 or 1.5Gi"),
        validation = Rule::new(rules::RESOURCE_NAMES)
            .message("use cpu, memory, ephemeral-storage, hugepages-<size> or a name with a domain, as nvidia.com/gpu")
    )]
    pub limits: BTreeMap<String, Quantity>,
}
