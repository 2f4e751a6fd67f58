use std::collections::BTreeMap;

use k8s_openapi::apimachinery::pkg::api::resource::Quantity;
use kube::KubeSchema;
use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

use crate::api::rules;

/// An environment variable: a value, a key of a Secret or ConfigMap, or a field of the pod.
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
#[x_kube(validation = Rule::new(
    "[has(self.secretKeyRef), has(self.configMapKeyRef), has(self.fieldRef), has(self.resourceFieldRef)].exists_one(x, x)")
    .message("set exactly one of secretKeyRef, configMapKeyRef, fieldRef and resourceFieldRef"))]
#[serde(rename_all = "camelCase")]
pub struct EnvVarSource {
    /// A key of a Secret.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub secret_key_ref: Option<OptionalKeyReference>,
    /// A key of a ConfigMap.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub config_map_key_ref: Option<OptionalKeyReference>,
    /// A field of the pod.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub field_ref: Option<FieldReference>,
    /// A resource of the container.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub resource_field_ref: Option<ResourceReference>,
}

/// A field of a pod.
#[derive(KubeSchema, Serialize, Deserialize, Clone, Debug, PartialEq)]
#[serde(rename_all = "camelCase")]
pub struct FieldReference {
    /// Path of the field, for example metadata.name, spec.nodeName or status.podIP.
    #[schemars(length(min = 1, max = 253))]
    #[x_kube(validation = Rule::new(rules::POD_FIELD).message("write the path of a field, such as metadata.name or status.podIP"))]
    pub field_path: String,
}

/// A resource of a container.
#[derive(KubeSchema, Serialize, Deserialize, Clone, Debug, PartialEq)]
#[serde(rename_all = "camelCase")]
pub struct ResourceReference {
    /// The resource.
    pub resource: ResourceField,
    /// Unit of the value, for example 1Mi or 1m. Default: 1, which rounds CPUs up to whole ones.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub divisor: Option<Divisor>,
}

/// A resource of a container as a variable has it.
#[derive(Serialize, Deserialize, JsonSchema, Clone, Copy, Debug, PartialEq, Eq)]
pub enum ResourceField {
    /// CPU limit; without one, the node's.
    #[serde(rename = "limits.cpu")]
    CpuLimit,
    /// Memory limit; without one, the node's.
    #[serde(rename = "limits.memory")]
    MemoryLimit,
    /// CPU request.
    #[serde(rename = "requests.cpu")]
    CpuRequest,
    /// Memory request.
    #[serde(rename = "requests.memory")]
    MemoryRequest,
}

/// Unit of a resource.
#[derive(Serialize, Deserialize, JsonSchema, Clone, Copy, Debug, PartialEq, Eq)]
pub enum Divisor {
    /// Cores or bytes.
    #[serde(rename = "1")]
    One,
    /// Thousandths of a core.
    #[serde(rename = "1m")]
    Milli,
    /// Kibibytes.
    #[serde(rename = "1Ki")]
    Kibi,
    /// Mebibytes.
    #[serde(rename = "1Mi")]
    Mebi,
    /// Gibibytes.
    #[serde(rename = "1Gi")]
    Gibi,
}

/// All keys of a ConfigMap or Secret as variables: exactly one of the two.
#[derive(KubeSchema, Serialize, Deserialize, Clone, Debug, PartialEq)]
#[x_kube(validation = Rule::new("has(self.configMapRef) != has(self.secretRef)")
    .message("set exactly one of configMapRef and secretRef"))]
#[serde(rename_all = "camelCase")]
pub struct EnvFrom {
    /// Text before each key. Default: none.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[schemars(length(min = 1, max = 64))]
    pub prefix: Option<String>,
    /// A ConfigMap.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub config_map_ref: Option<OptionalReference>,
    /// A Secret.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub secret_ref: Option<OptionalReference>,
}

/// An object of the same namespace that may be missing.
#[derive(KubeSchema, Serialize, Deserialize, Clone, Debug, PartialEq)]
#[serde(rename_all = "camelCase")]
pub struct OptionalReference {
    /// Its name.
    #[schemars(length(min = 1, max = 253))]
    pub name: String,
    /// It may be missing. Default: false.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub optional: Option<bool>,
}

/// A key of an object in the same namespace.
#[derive(KubeSchema, Serialize, Deserialize, Clone, Debug, PartialEq)]
#[serde(rename_all = "camelCase")]
pub struct KeyReference {
    /// Its name.
    #[schemars(length(min = 1, max = 253))]
    #[x_kube(validation = Rule::new(rules::OBJECT_NAME).message(rules::OBJECT_NAME_MESSAGE))]
    pub name: String,
    /// Its key.
    #[schemars(length(min = 1, max = 253))]
    #[x_kube(validation = Rule::new(rules::DATA_KEY).message("write letters, digits, -, _ and ."))]
    pub key: String,
}

/// A key of an object in the same namespace that may be missing.
#[derive(KubeSchema, Serialize, Deserialize, Clone, Debug, PartialEq)]
#[serde(rename_all = "camelCase")]
pub struct OptionalKeyReference {
    /// Its name.
    #[schemars(length(min = 1, max = 253))]
    #[x_kube(validation = Rule::new(rules::OBJECT_NAME).message(rules::OBJECT_NAME_MESSAGE))]
    pub name: String,
    /// Its key.
    #[schemars(length(min = 1, max = 253))]
    #[x_kube(validation = Rule::new(rules::DATA_KEY).message("write letters, digits, -, _ and ."))]
    pub key: String,
    /// It may be missing. Default: false.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub optional: Option<bool>,
}

/// Compute resources of a container, as in a pod: for example cpu: 500m, memory: 512Mi.
#[derive(KubeSchema, Serialize, Deserialize, Clone, Debug, Default, PartialEq)]
#[serde(rename_all = "camelCase")]
pub struct Resources {
    /// Resources reserved for the container, for example cpu: 500m; fractions in quotes.
    #[serde(default, skip_serializing_if = "BTreeMap::is_empty")]
    #[schemars(extend("maxProperties" = 8))]
    #[x_kube(validation = Rule::new(rules::RESOURCE_NAMES)
        .message("use cpu, memory or another of a pod, such as nvidia.com/gpu"))]
    pub requests: BTreeMap<String, Quantity>,
    /// Maximum resources of the container, for example memory: 1.5Gi; fractions in quotes.
    #[serde(default, skip_serializing_if = "BTreeMap::is_empty")]
    #[schemars(extend("maxProperties" = 8))]
    #[x_kube(validation = Rule::new(rules::RESOURCE_NAMES)
        .message("use cpu, memory or another of a pod, such as nvidia.com/gpu"))]
    pub limits: BTreeMap<String, Quantity>,
}
