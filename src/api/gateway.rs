//! The fields of an HTTPRoute (gateway.networking.k8s.io/v1) that we write, and of its status those that we read.

use k8s_openapi::apimachinery::pkg::apis::meta::v1::Condition;
use kube::CustomResource;
use serde::{Deserialize, Serialize};

/// Spec of an HTTPRoute.
#[derive(CustomResource, Serialize, Deserialize, Clone, Debug, Default, PartialEq)]
#[kube(
    group = "gateway.networking.k8s.io",
    version = "v1",
    kind = "HTTPRoute",
    plural = "httproutes",
    namespaced,
    status = "RouteStatus",
    schema = "disabled",
    derive = "PartialEq"
)]
#[serde(rename_all = "camelCase", default)]
pub struct HttpRouteSpec {
    /// The Gateways whose requests it routes.
    pub parent_refs: Vec<ParentReference>,
    /// Host names of these requests; all without one.
    #[serde(skip_serializing_if = "Vec::is_empty")]
    pub hostnames: Vec<String>,
    /// Where they go.
    pub rules: Vec<RouteRule>,
}

/// Spec of a Gateway, of which only the class is read.
#[derive(CustomResource, Serialize, Deserialize, Clone, Debug, Default, PartialEq)]
#[kube(
    group = "gateway.networking.k8s.io",
    version = "v1",
    kind = "Gateway",
    namespaced,
    schema = "disabled",
    derive = "PartialEq"
)]
#[serde(rename_all = "camelCase", default)]
pub struct GatewaySpec {
    /// Name of its GatewayClass.
    pub gateway_class_name: String,
}

/// Spec of a GatewayClass.
#[derive(CustomResource, Serialize, Deserialize, Clone, Debug, Default, PartialEq)]
#[kube(
    group = "gateway.networking.k8s.io",
    version = "v1",
    kind = "GatewayClass",
    plural = "gatewayclasses",
    status = "GatewayClassStatus",
    schema = "disabled",
    derive = "PartialEq"
)]
#[serde(default)]
pub struct GatewayClassSpec {}

/// Status of a GatewayClass.
#[derive(Serialize, Deserialize, Clone, Debug, Default, PartialEq)]
#[serde(rename_all = "camelCase", default)]
pub struct GatewayClassStatus {
    /// What its controller supports beyond the core of the Gateway API; empty where it does not state that.
    pub supported_features: Vec<SupportedFeature>,
}

/// A feature of the Gateway API: an object since its version 1.2, and its name before.
#[derive(Serialize, Deserialize, Clone, Debug, PartialEq)]
#[serde(untagged)]
pub enum SupportedFeature {
    /// Its name.
    Name(String),
    /// An object with its name.
    Object {
        /// Its name.
        name: String,
    },
}

impl From<SupportedFeature> for String {
    fn from(feature: SupportedFeature) -> Self {
        match feature {
            SupportedFeature::Name(name) | SupportedFeature::Object { name } => name,
        }
    }
}

/// A Gateway, or a listener of it. Its group and kind are those of Gateways by default.
#[derive(Serialize, Deserialize, Clone, Debug, Default, PartialEq, Eq)]
#[serde(rename_all = "camelCase", default)]
pub struct ParentReference {
    /// Its name.
    pub name: String,
    /// Its namespace; that of the route by default.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub namespace: Option<String>,
    /// Name of the listener; all without one.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub section_name: Option<String>,
    /// Port of the listeners; all without one.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub port: Option<i32>,
}

/// A rule for all requests: without matches, it is for each path.
#[derive(Serialize, Deserialize, Clone, Debug, Default, PartialEq)]
#[serde(rename_all = "camelCase", default)]
pub struct RouteRule {
    /// What is done beside forwarding a request.
    #[serde(skip_serializing_if = "Vec::is_empty")]
    pub filters: Vec<RouteFilter>,
    /// The Services, and their weights.
    pub backend_refs: Vec<BackendRef>,
}

/// A filter of requests: of its kinds we write `RequestMirror` only.
#[derive(Serialize, Deserialize, Clone, Debug, Default, PartialEq)]
#[serde(rename_all = "camelCase", default)]
pub struct RouteFilter {
    /// Its kind.
    #[serde(rename = "type")]
    pub type_: String,
    /// Which requests are copied.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub request_mirror: Option<RequestMirror>,
}

/// Copies requests to a Service, whose answers are thrown away.
#[derive(Serialize, Deserialize, Clone, Debug, Default, PartialEq)]
#[serde(rename_all = "camelCase", default)]
pub struct RequestMirror {
    /// The Service.
    pub backend_ref: BackendRef,
    /// Per cent of the requests; all without it. Earlier versions of the Gateway API (1.2) do not have it.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub percent: Option<i32>,
}

/// A Service: its group and kind are those by default.
#[derive(Serialize, Deserialize, Clone, Debug, Default, PartialEq)]
#[serde(rename_all = "camelCase", default)]
pub struct BackendRef {
    /// Its name.
    pub name: String,
    /// Its port.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub port: Option<i32>,
    /// Its share of the sum of all weights; 1 without it.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub weight: Option<i32>,
}

/// Status of an HTTPRoute.
#[derive(Serialize, Deserialize, Clone, Debug, Default, PartialEq)]
#[serde(default)]
pub struct RouteStatus {
    /// What the controllers of the Gateways report, each of its own ones.
    pub parents: Vec<RouteParentStatus>,
}

/// What a controller reports of a Gateway.
#[derive(Serialize, Deserialize, Clone, Debug, Default, PartialEq)]
#[serde(rename_all = "camelCase", default)]
pub struct RouteParentStatus {
    /// The Gateway, as in the spec.
    pub parent_ref: ParentReference,
    /// `Accepted` and `ResolvedRefs`, among others.
    pub conditions: Vec<Condition>,
}
