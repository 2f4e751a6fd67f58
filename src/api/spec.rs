#![allow(clippy::duplicated_attributes)] // every printer column repeats type_

use std::collections::BTreeMap;

use k8s_openapi::apimachinery::pkg::api::resource::Quantity;
use kube::{CustomResource, KubeSchema};
use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

use super::{RecommenderModelStatus, rules};

/// A recommender: how its model is trained, served and watched. The operator keeps training Jobs, the serving
/// Deployment, Service, autoscaler, disruption budget and monitoring in line with it.
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
        name = "Reason",
        type_ = "string",
        json_path = r#".status.conditions[?(@.type=="Ready")].reason"#,
        description = "Why the model is ready, or is not"
    ),
    printcolumn(name = "Age", type_ = "date", json_path = ".metadata.creationTimestamp"),
    printcolumn(
        name = "Message",
        type_ = "string",
        json_path = r#".status.conditions[?(@.type=="Ready")].message"#,
        priority = 1
    )
)]
#[serde(rename_all = "camelCase")]
pub struct RecommenderModelSpec {
    /// Where model versions are stored. Only training and serving pods read it; the operator never does.
    pub artifacts: Artifacts,
    /// How the model is trained.
    pub training: Training,
    /// How the model is served over HTTP.
    pub serving: Serving,
    /// How the model is watched. Without it no ServiceMonitor and no PrometheusRule are made.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub monitoring: Option<Monitoring>,
    /// Secrets of type kubernetes.io/dockerconfigjson in the same namespace, used to pull both images.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    #[schemars(length(max = 8))]
    pub image_pull_secrets: Vec<LocalReference>,
}

/// Storage of model versions: exactly one of `s3` and `persistentVolumeClaim`.
#[derive(KubeSchema, Serialize, Deserialize, Clone, Debug, Default, PartialEq)]
#[x_kube(validation = Rule::new("has(self.s3) != has(self.persistentVolumeClaim)")
    .message("set exactly one of s3 and persistentVolumeClaim"))]
#[serde(rename_all = "camelCase")]
pub struct Artifacts {
    /// A bucket behind the S3 API.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub s3: Option<S3Artifacts>,
    /// A PersistentVolumeClaim in the same namespace, mounted at /artifacts: read-write for training, read-only for
    /// serving. With pods on several nodes its access mode must be ReadWriteMany.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub persistent_volume_claim: Option<PvcArtifacts>,
}

/// Model versions in a bucket.
#[derive(KubeSchema, Serialize, Deserialize, Clone, Debug, PartialEq)]
#[serde(rename_all = "camelCase")]
pub struct S3Artifacts {
    /// Bucket and prefix, as s3://bucket/prefix. Each version gets a prefix of its own below it:
    /// <namespace>/<name>/<version>.
    #[schemars(length(max = 512))]
    #[x_kube(validation = Rule::new(rules::S3_URI)
        .message("write s3://bucket or s3://bucket/prefix, the bucket in lower case"))]
    pub uri: String,
    /// URL of the S3 API, for everything that is not AWS, for example http://minio.storage:9000. Pods get it as
    /// AWS_ENDPOINT_URL.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[schemars(length(max = 512))]
    #[x_kube(validation = Rule::new(rules::URL)
        .message("write a URL without a path, for example http://minio.storage:9000"))]
    pub endpoint: Option<String>,
    /// Region of the bucket. Pods get it as AWS_REGION.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[schemars(length(min = 1, max = 63))]
    pub region: Option<String>,
    /// Secret with the keys AWS_ACCESS_KEY_ID and AWS_SECRET_ACCESS_KEY. It is only named in pods; the operator has no
    /// permission to read secrets.
    pub credentials_secret: LocalReference,
}

/// Model versions on a volume.
#[derive(KubeSchema, Serialize, Deserialize, Clone, Debug, PartialEq)]
#[serde(rename_all = "camelCase")]
pub struct PvcArtifacts {
    /// Name of the PersistentVolumeClaim.
    #[schemars(length(min = 1, max = 253))]
    #[x_kube(validation = Rule::new(rules::OBJECT_NAME)
        .message("write the name of an object: lower case letters, digits, - and ."))]
    pub claim_name: String,
}

/// An object of the same namespace, by name.
#[derive(KubeSchema, Serialize, Deserialize, Clone, Debug, PartialEq)]
#[serde(rename_all = "camelCase")]
pub struct LocalReference {
    /// Name of the object.
    #[schemars(length(min = 1, max = 253))]
    #[x_kube(validation = Rule::new(rules::OBJECT_NAME)
        .message("write the name of an object: lower case letters, digits, - and ."))]
    pub name: String,
}

/// How the model is trained. A run is a Job; it is told its version and where to write by the environment variables
/// RECOMMENDER_VERSION, RECOMMENDER_KIND and RECOMMENDER_OUTPUT_URI, and reports by its exit code and a JSON report of
/// at most 4096 bytes in /dev/termination-log.
#[derive(KubeSchema, Serialize, Deserialize, Clone, Debug, PartialEq)]
#[serde(rename_all = "camelCase")]
pub struct Training {
    /// Container image of the trainer.
    #[schemars(length(min = 1, max = 512))]
    #[x_kube(validation = Rule::new(rules::IMAGE)
        .message("write an image without blanks, for example example.org/recommender:1.4"))]
    pub image: String,
    /// The full training, on all data. It runs when the object is created, on its schedule, and when the annotation
    /// recommender.dev/train gets a new value that starts with "full".
    pub full: FullTraining,
    /// Environment variables of the trainer.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    #[schemars(length(max = 64))]
    #[x_kube(merge_strategy = ListMerge::Map(vec!["name".into()]))]
    pub env: Vec<EnvVar>,
    /// Compute resources of the trainer, for example requests: {cpu: 500m, memory: 2Gi}.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub resources: Option<Resources>,
}

/// The full training: when it runs and with which command.
#[derive(KubeSchema, Serialize, Deserialize, Clone, Debug, PartialEq)]
#[x_kube(validation = Rule::new("!has(self.timeZone) || has(self.schedule)")
    .message("timeZone only means something with a schedule: set schedule or remove timeZone"))]
#[serde(rename_all = "camelCase")]
pub struct FullTraining {
    /// When to run, in cron's five fields (minute hour day-of-month month day-of-week), for example "0 3 * * *".
    /// A run missed while the operator was away is caught up once. Without a schedule the model is trained at creation
    /// and on request only.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[schemars(length(max = 128))]
    #[x_kube(validation = Rule::new(rules::FIVE_FIELDS)
        .message("write minute, hour, day of month, month and day of week with single blanks, for example 0 3 * * *"))]
    pub schedule: Option<String>,
    /// Time zone of the schedule as in the IANA database, for example Europe/Helsinki. Default: UTC.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[schemars(length(min = 1, max = 64))]
    #[x_kube(validation = Rule::new(rules::TIME_ZONE)
        .message("write a name of the IANA database, for example Europe/Helsinki"))]
    pub time_zone: Option<String>,
    /// Replaces the image's entrypoint.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    #[schemars(length(max = 64), inner(length(max = 4096)))]
    pub command: Vec<String>,
    /// Arguments of the entrypoint.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    #[schemars(length(max = 64), inner(length(max = 4096)))]
    pub args: Vec<String>,
    /// Seconds after which a run is ended as failed, its retries included.
    #[serde(default = "default_deadline")]
    #[schemars(range(min = 1, max = 604_800))]
    pub deadline_seconds: i64,
    /// How often a failed trainer is started again within the same run.
    #[serde(default = "default_backoff_limit")]
    #[schemars(range(min = 0, max = 20))]
    pub backoff_limit: i32,
}

/// How the model is served. Pods are told what to load by RECOMMENDER_VERSION, RECOMMENDER_MODEL_URI and
/// RECOMMENDER_MODEL_DIGEST, and must be ready only when exactly that version answers.
#[derive(KubeSchema, Serialize, Deserialize, Clone, Debug, PartialEq)]
#[x_kube(
    validation = Rule::new("!(has(self.replicas) && has(self.autoscaling))")
        .message("set replicas or autoscaling, not both: with autoscaling the number of replicas follows the load"),
    validation = Rule::new(
        "!has(self.autoscaling) || (has(self.resources) && has(self.resources.requests) && 'cpu' in self.resources.requests)")
        .message("autoscaling on CPU is relative to the request: set resources.requests.cpu")
)]
#[serde(rename_all = "camelCase")]
pub struct Serving {
    /// Container image of the server.
    #[schemars(length(min = 1, max = 512))]
    #[x_kube(validation = Rule::new(rules::IMAGE)
        .message("write an image without blanks, for example example.org/recommender:1.4"))]
    pub image: String,
    /// Replaces the image's entrypoint.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    #[schemars(length(max = 64), inner(length(max = 4096)))]
    pub command: Vec<String>,
    /// Arguments of the entrypoint.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    #[schemars(length(max = 64), inner(length(max = 4096)))]
    pub args: Vec<String>,
    /// Port the server listens on; the Service offers it as port 80, named http.
    #[serde(default = "default_port")]
    #[schemars(range(min = 1, max = 65535))]
    pub port: i32,
    /// Environment variables of the server.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    #[schemars(length(max = 64))]
    #[x_kube(merge_strategy = ListMerge::Map(vec!["name".into()]))]
    pub env: Vec<EnvVar>,
    /// How it is found out whether a server is ready.
    #[serde(default)]
    pub probes: Probes,
    /// Compute resources of each server, for example requests: {cpu: 500m, memory: 512Mi}.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub resources: Option<Resources>,
    /// A fixed number of replicas. Default without autoscaling: 1.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[schemars(range(min = 1, max = 1000))]
    pub replicas: Option<i32>,
    /// Lets the number of replicas follow the load.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub autoscaling: Option<Autoscaling>,
}

/// How a server's state is probed.
#[derive(KubeSchema, Serialize, Deserialize, Clone, Debug, PartialEq)]
#[serde(rename_all = "camelCase")]
pub struct Probes {
    /// HTTP path that answers 200 exactly when the told version answers requests.
    #[serde(default = "default_probe_path")]
    #[schemars(length(min = 1, max = 512))]
    #[x_kube(validation = Rule::new(rules::HTTP_PATH).message("write a path that starts with / and has no blanks"))]
    pub path: String,
    /// Seconds a server may take from its start until the path first answers 200; after that it is restarted.
    #[serde(default = "default_startup_seconds")]
    #[schemars(range(min = 1, max = 7200))]
    pub startup_seconds: i32,
    /// Seconds between two readiness probes.
    #[serde(default = "default_probe_period")]
    #[schemars(range(min = 1, max = 300))]
    pub period_seconds: i32,
    /// Seconds after which an unanswered probe counts as failed.
    #[serde(default = "default_probe_timeout")]
    #[schemars(range(min = 1, max = 60))]
    pub timeout_seconds: i32,
}

impl Default for Probes {
    fn default() -> Self {
        Self {
            path: default_probe_path(),
            startup_seconds: default_startup_seconds(),
            period_seconds: default_probe_period(),
            timeout_seconds: default_probe_timeout(),
        }
    }
}

/// Bounds and signals of the replicas.
#[derive(KubeSchema, Serialize, Deserialize, Clone, Debug, PartialEq)]
#[x_kube(validation = Rule::new("self.minReplicas <= self.maxReplicas")
    .message("minReplicas must not be above maxReplicas"))]
#[serde(rename_all = "camelCase")]
pub struct Autoscaling {
    /// Fewest replicas.
    #[serde(default = "default_min_replicas")]
    #[schemars(range(min = 1, max = 1000))]
    pub min_replicas: i32,
    /// Most replicas.
    #[schemars(range(min = 1, max = 1000))]
    pub max_replicas: i32,
    /// Follows the CPU use of the pods.
    #[serde(default)]
    pub cpu: CpuTarget,
}

/// CPU use that the autoscaler aims at.
#[derive(KubeSchema, Serialize, Deserialize, Clone, Debug, PartialEq)]
#[serde(rename_all = "camelCase")]
pub struct CpuTarget {
    /// Mean CPU use over all pods, in per cent of resources.requests.cpu.
    #[serde(default = "default_cpu_target")]
    #[schemars(range(min = 1, max = 1000))]
    pub target_utilization_percent: i32,
}

impl Default for CpuTarget {
    fn default() -> Self {
        Self { target_utilization_percent: default_cpu_target() }
    }
}

/// How the model is watched; needs the prometheus-operator's kinds (monitoring.coreos.com) in the cluster.
#[derive(KubeSchema, Serialize, Deserialize, Clone, Debug, PartialEq)]
#[serde(rename_all = "camelCase")]
pub struct Monitoring {
    /// Which metrics the server exposes.
    pub metrics: Metrics,
    /// Labels added to the ServiceMonitor and the PrometheusRule, so that your Prometheus selects them, for example
    /// release: kube-prometheus-stack.
    #[serde(default, skip_serializing_if = "BTreeMap::is_empty")]
    #[schemars(extend("maxProperties" = 16, "additionalProperties" = { "type": "string", "maxLength": 63 }))]
    #[x_kube(
        validation = Rule::new("self.all(k, !k.contains('recommender.dev/') && !k.startsWith('app.kubernetes.io/'))")
            .message("labels of recommender.dev and app.kubernetes.io are set by the operator: remove them"),
        validation = Rule::new(rules::LABEL_KEYS).message("write keys like team or example.org/team"),
        validation = Rule::new(rules::LABEL_VALUES)
            .message("write values of letters, digits, -, _ and . that begin and end with a letter or digit")
    )]
    pub labels: BTreeMap<String, String>,
}

/// Where metrics are and which names they have.
#[derive(KubeSchema, Serialize, Deserialize, Clone, Debug, PartialEq)]
#[serde(rename_all = "camelCase")]
pub struct Metrics {
    /// The names the server exposes. The recording rules turn them into one vocabulary.
    pub profile: MetricProfile,
    /// HTTP path of the metrics on the serving port.
    #[serde(default = "default_metrics_path")]
    #[schemars(length(min = 1, max = 512))]
    #[x_kube(validation = Rule::new(rules::HTTP_PATH).message("write a path that starts with / and has no blanks"))]
    pub path: String,
    /// Seconds between two scrapes.
    #[serde(default = "default_scrape_interval")]
    #[schemars(range(min = 1, max = 120))]
    pub interval_seconds: i32,
}

/// A known set of metric names.
#[derive(Serialize, Deserialize, JsonSchema, Clone, Copy, Debug, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub enum MetricProfile {
    /// prometheus-fastapi-instrumentator for FastAPI: http_request_duration_seconds and its relatives.
    FastApiInstrumentator,
}

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
    /// Takes the value from elsewhere.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub value_from: Option<EnvVarSource>,
}

/// Where a variable's value comes from: exactly one of the fields.
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
    #[x_kube(validation = Rule::new(rules::OBJECT_NAME)
        .message("write the name of an object: lower case letters, digits, - and ."))]
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
    /// What is reserved for the container.
    #[serde(default, skip_serializing_if = "BTreeMap::is_empty")]
    #[schemars(extend("maxProperties" = 8))]
    #[x_kube(
        validation = Rule::new(rules::QUANTITIES)
            .message("write quantities that are not negative, such as 500m, 2 or 1.5Gi"),
        validation = Rule::new(rules::RESOURCE_NAMES)
            .message("use cpu, memory, ephemeral-storage, hugepages-<size> or a name with a domain, as nvidia.com/gpu")
    )]
    pub requests: BTreeMap<String, Quantity>,
    /// What the container may use at most.
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

fn default_deadline() -> i64 {
    3600
}
fn default_backoff_limit() -> i32 {
    2
}
fn default_port() -> i32 {
    8000
}
fn default_probe_path() -> String {
    "/health".into()
}
fn default_startup_seconds() -> i32 {
    300
}
fn default_probe_period() -> i32 {
    5
}
fn default_probe_timeout() -> i32 {
    2
}
fn default_min_replicas() -> i32 {
    1
}
fn default_cpu_target() -> i32 {
    70
}
fn default_metrics_path() -> String {
    "/metrics".into()
}
fn default_scrape_interval() -> i32 {
    15
}
