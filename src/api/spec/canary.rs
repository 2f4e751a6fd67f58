use kube::KubeSchema;
use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

use crate::api::rules;

/// A new version gets a part of the requests first, in pods of its own, and is compared with the version that serves.
#[derive(KubeSchema, Serialize, Deserialize, Clone, Debug, PartialEq)]
#[x_kube(
    validation = Rule::new(rules::MIRROR_ROUTED)
        .message("only a Gateway copies requests: set httpRoute, or use weightPercent in place of mirrorPercent")
)]
#[serde(rename_all = "camelCase")]
pub struct Canary {
    /// Requests from Gateways are divided by the weights of an HTTPRoute. By default the Service divides them by numbers of pods.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub http_route: Option<HttpRoute>,
    /// The steps, one after the other, with rising weights; after the last one the version is rolled out.
    #[schemars(length(min = 1, max = 8))]
    pub steps: Vec<CanaryStep>,
    /// Which versions begin as a canary: Full, or All.
    #[serde(default)]
    pub versions: CanaryVersions,
    /// Seconds that a ready canary has before its requests count, to fill its caches.
    #[serde(default = "default_warm_up_seconds")]
    #[schemars(range(min = 0, max = 3600))]
    pub warm_up_seconds: i32,
    /// Seconds that a step may last without a verdict, beyond its least time. Then the version is taken back.
    #[serde(default = "default_max_step_seconds")]
    #[schemars(range(min = 60, max = 604_800))]
    pub max_step_seconds: i32,
    /// Milliseconds from which on a request is slow: a bound of the buckets of the profile's histogram. By default the
    /// latency target of the servers; without both, only errors are compared.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[schemars(range(min = 1, max = 600_000))]
    pub slow_milliseconds: Option<i32>,
    /// Per cent of failed requests from which on a canary is taken back, whatever the other version has.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[schemars(length(min = 1, max = 8))]
    #[x_kube(validation = Rule::new(rules::PER_CENT).message(rules::PER_CENT_MESSAGE))]
    pub max_error_percent: Option<String>,
    /// Probability that a version that is not worse is taken for worse, for each canary.
    #[serde(default = "default_level")]
    #[schemars(length(min = 1, max = 8))]
    #[x_kube(validation = Rule::new(rules::LEVEL).message("write a number between 0 and 0.5, for example \"0.05\""))]
    pub significance_level: String,
}

/// The HTTPRoute of the servers (gateway.networking.k8s.io/v1), with the name of the object.
#[derive(KubeSchema, Serialize, Deserialize, Clone, Debug, PartialEq)]
#[serde(rename_all = "camelCase")]
pub struct HttpRoute {
    /// The Gateways.
    #[schemars(length(min = 1, max = 4))]
    pub parent_refs: Vec<ParentRef>,
    /// Host names of the requests; all of the Gateways by default.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    #[schemars(length(max = 16), inner(length(min = 1, max = 253)))]
    #[x_kube(validation = Rule::new(rules::HOSTNAMES).message("write lower case names such as shop.example.org or *.example.org"))]
    pub hostnames: Vec<String>,
}

/// A Gateway, or a listener of it.
#[derive(KubeSchema, Serialize, Deserialize, Clone, Debug, PartialEq)]
#[serde(rename_all = "camelCase")]
pub struct ParentRef {
    /// Its name.
    #[schemars(length(min = 1, max = 253))]
    #[x_kube(validation = Rule::new(rules::OBJECT_NAME).message(rules::OBJECT_NAME_MESSAGE))]
    pub name: String,
    /// Its namespace; that of the object by default.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[schemars(length(min = 1, max = 63))]
    #[x_kube(validation = Rule::new(rules::OBJECT_NAME).message(rules::OBJECT_NAME_MESSAGE))]
    pub namespace: Option<String>,
    /// Name of the listener; all by default.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[schemars(length(min = 1, max = 253))]
    #[x_kube(validation = Rule::new(rules::OBJECT_NAME).message(rules::OBJECT_NAME_MESSAGE))]
    pub section_name: Option<String>,
    /// Port of the listeners.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[schemars(range(min = 1, max = 65_535))]
    pub port: Option<i32>,
}

/// A step of a canary.
#[derive(KubeSchema, Serialize, Deserialize, Clone, Debug, PartialEq, Eq)]
#[x_kube(validation = Rule::new(rules::ONE_SHARE).message("set either weightPercent or mirrorPercent"))]
#[serde(rename_all = "camelCase")]
pub struct CanaryStep {
    /// Per cent of the requests that the canary gets. Without httpRoute, by its share of the pods, rounded up to whole pods.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[schemars(range(min = 1, max = 50))]
    pub weight_percent: Option<i32>,
    /// Per cent of the requests that the canary gets copies of. Its answers are thrown away. Needs httpRoute.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[schemars(range(min = 1, max = 100))]
    pub mirror_percent: Option<i32>,
    /// Least seconds.
    #[serde(default = "default_step_seconds")]
    #[schemars(range(min = 0, max = 604_800))]
    pub seconds: i32,
    /// Least number of requests that the canary answers.
    #[serde(default = "default_step_requests")]
    #[schemars(range(min = 1, max = 1_000_000_000))]
    pub requests: i32,
}

/// Which versions begin as a canary.
#[derive(Serialize, Deserialize, JsonSchema, Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum CanaryVersions {
    /// Those of full trainings. Partial ones are rolled out at once.
    #[default]
    Full,
    /// All.
    All,
}

fn default_step_seconds() -> i32 {
    300
}

fn default_step_requests() -> i32 {
    100
}

fn default_warm_up_seconds() -> i32 {
    30
}

fn default_max_step_seconds() -> i32 {
    3600
}

fn default_level() -> String {
    "0.05".into()
}
