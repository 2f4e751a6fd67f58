use std::collections::BTreeMap;

use kube::KubeSchema;
use serde::{Deserialize, Serialize};

use crate::api::rules;

/// What a recommender depends on, as an exporter reports it: exactly one of `kafka`, `rabbitmq`, `rq`, `redisList`, `flink`,
/// `custom` and `exporter`.
#[derive(KubeSchema, Serialize, Deserialize, Clone, Debug, Default, PartialEq)]
#[x_kube(
    validation = Rule::new(rules::ONE_DEPENDENCY)
        .message("set exactly one of kafka, rabbitmq, rq, redisList, flink, custom and exporter"),
    validation = Rule::new("!(has(self.custom) && has(self.matchLabels))")
        .message("matchLabels narrow the series of an exporter: write them into the expressions of custom"),
    validation = Rule::new("!(has(self.custom) && has(self.scrape))")
        .message("scrape is for the pods of an exporter: remove it, or name the exporter instead of custom")
)]
#[serde(rename_all = "camelCase")]
pub struct Dependency {
    /// Name: the label `dependency` of its series. lag.dependency refers to it.
    #[schemars(length(min = 1, max = 30))]
    #[x_kube(validation = Rule::new(rules::LABEL_NAME)
        .message("write lower case letters, digits and -, with a letter at the beginning"))]
    pub name: String,
    /// Messages of Kafka topics that a consumer group has not read yet.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub kafka: Option<Kafka>,
    /// Messages in queues of RabbitMQ, ready or delivered and not yet acknowledged.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub rabbitmq: Option<RabbitMq>,
    /// Jobs in queues of RQ, queued or started, as rq-exporter counts them.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub rq: Option<Rq>,
    /// Entries of lists in Redis, as redis_exporter counts them for the keys it is configured to check.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub redis_list: Option<RedisList>,
    /// Records that the sources of a Flink job have not read yet.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub flink: Option<Flink>,
    /// Any other lag, in PromQL. Its selectors are limited to the namespace of the object.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub custom: Option<Custom>,
    /// A database, cache, store or service without a lag, by the exporter that reports its health.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub exporter: Option<NamedExporter>,
    /// Whether the recommender needs it. While one that it needs is down, the condition DependenciesHealthy is False; of others only
    /// its message changes.
    #[serde(default = "yes")]
    pub critical: bool,
    /// Labels that the exporter's series must have, for example instance: db-1:9187, or cluster: main if one Prometheus has
    /// several clusters. Without instance, job, namespace, pod or service, only exporters in the object's namespace count.
    #[serde(default, skip_serializing_if = "BTreeMap::is_empty")]
    #[schemars(extend("maxProperties" = 8, "additionalProperties" = { "type": "string", "maxLength": 128 }))]
    #[x_kube(validation = Rule::new(rules::METRIC_LABELS)
        .message("write label names of Prometheus but __name__: letters, digits and _, with no digit at the beginning"))]
    pub match_labels: BTreeMap<String, String>,
    /// Pods of this namespace that expose the series: a PodMonitor is created for them, and only their series count. Without it, a
    /// Prometheus must scrape the exporter already.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub scrape: Option<ScrapedPods>,
}

/// Pods that are scraped.
#[derive(KubeSchema, Serialize, Deserialize, Clone, Debug, PartialEq)]
#[serde(rename_all = "camelCase")]
pub struct ScrapedPods {
    /// Labels of the pods.
    #[schemars(extend("maxProperties" = 8, "additionalProperties" = { "type": "string", "maxLength": 63 }))]
    #[x_kube(
        validation = Rule::new("size(self) > 0").message("write a label of the pods: without one, every pod is selected"),
        validation = Rule::new(rules::LABEL_VALUES).message(rules::LABEL_VALUES_MESSAGE)
    )]
    pub match_labels: BTreeMap<String, String>,
    /// Name of the container's port with the metrics.
    #[schemars(length(min = 1, max = 15))]
    #[x_kube(validation = Rule::new(rules::LABEL_NAME)
        .message("write lower case letters, digits and -, with a letter at the beginning"))]
    pub port: String,
    /// HTTP path of the metrics, with its query if it has one.
    #[serde(default = "default_path")]
    #[schemars(length(min = 1, max = 512))]
    #[x_kube(validation = Rule::new(rules::HTTP_PATH).message("write a path that starts with / and has no blanks"))]
    pub path: String,
    /// Seconds between two scrapes. Default: 15.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[schemars(range(min = 1, max = 60))]
    pub interval_seconds: Option<i32>,
}

/// A consumer group of Kafka.
#[derive(KubeSchema, Serialize, Deserialize, Clone, Debug, PartialEq)]
#[serde(rename_all = "camelCase")]
pub struct Kafka {
    /// The consumer group.
    #[schemars(length(min = 1, max = 255))]
    pub consumer_group: String,
    /// The topics it consumes.
    #[schemars(length(min = 1, max = 16), inner(length(min = 1, max = 249)))]
    pub topics: Vec<String>,
    /// The exporter that reports the lag: KafkaExporter, Burrow, KafkaLagExporter, or ConsumerClient, which are the consumers
    /// themselves, so that minReplicas must not be 0; docs/dependencies.md has their series. Administrators may add others.
    #[serde(default = "kafka_exporter")]
    #[schemars(length(min = 1, max = 63))]
    #[x_kube(validation = Rule::new(rules::CATALOG_NAME).message(rules::CATALOG_NAME_MESSAGE))]
    pub exporter: String,
    /// Whether all producers of the topics use transactions. Each transaction ends with a marker, which takes an offset but is
    /// no message, and which many consumers never commit: without this, the worker never counts as idle.
    #[serde(default)]
    pub transactional: bool,
    /// The topic that messages are sent to which cannot be processed.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[schemars(length(min = 1, max = 249))]
    pub dead_letter_topic: Option<String>,
    /// How long the topics keep messages, in hours: an alert fires before messages are deleted that were not consumed.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[schemars(range(min = 1, max = 87_600))]
    pub retention_hours: Option<i32>,
}

/// Queues of RabbitMQ.
#[derive(KubeSchema, Serialize, Deserialize, Clone, Debug, PartialEq)]
#[serde(rename_all = "camelCase")]
pub struct RabbitMq {
    /// The queues.
    #[schemars(length(min = 1, max = 16), inner(length(min = 1, max = 255)))]
    pub queues: Vec<String>,
    /// Their virtual host.
    #[serde(default = "default_vhost")]
    #[schemars(length(min = 1, max = 255))]
    pub vhost: String,
    /// The endpoint of the Prometheus plugin that is scraped: Detailed
    /// (/metrics/detailed?family=queue_coarse_metrics&family=queue_delivery_metrics) or PerObject (/metrics/per-object); the plain
    /// /metrics has no queue names. Administrators may add other exporters.
    #[serde(default = "rabbitmq_endpoint")]
    #[schemars(length(min = 1, max = 63))]
    #[x_kube(validation = Rule::new(rules::CATALOG_NAME).message(rules::CATALOG_NAME_MESSAGE))]
    pub endpoint: String,
    /// The queues that messages are sent to which cannot be processed.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    #[schemars(length(max = 16), inner(length(min = 1, max = 255)))]
    pub dead_letter_queues: Vec<String>,
}

/// Queues of RQ.
#[derive(KubeSchema, Serialize, Deserialize, Clone, Debug, PartialEq)]
#[serde(rename_all = "camelCase")]
pub struct Rq {
    /// The queues.
    #[schemars(length(min = 1, max = 16), inner(length(min = 1, max = 255)))]
    pub queues: Vec<String>,
    /// The exporter that reports them. Administrators may add others.
    #[serde(default = "rq_exporter")]
    #[schemars(length(min = 1, max = 63))]
    #[x_kube(validation = Rule::new(rules::CATALOG_NAME).message(rules::CATALOG_NAME_MESSAGE))]
    pub exporter: String,
}

/// Lists in Redis.
#[derive(KubeSchema, Serialize, Deserialize, Clone, Debug, PartialEq)]
#[serde(rename_all = "camelCase")]
pub struct RedisList {
    /// Keys of the lists. redis_exporter must be configured to check them (--check-single-keys).
    #[schemars(length(min = 1, max = 16), inner(length(min = 1, max = 255)))]
    pub keys: Vec<String>,
    /// Number of the database.
    #[serde(default)]
    #[schemars(range(min = 0, max = 9999))]
    pub database: i32,
    /// The exporter that reports them. Administrators may add others.
    #[serde(default = "redis_exporter")]
    #[schemars(length(min = 1, max = 63))]
    #[x_kube(validation = Rule::new(rules::CATALOG_NAME).message(rules::CATALOG_NAME_MESSAGE))]
    pub exporter: String,
}

/// A job of Flink.
#[derive(KubeSchema, Serialize, Deserialize, Clone, Debug, PartialEq)]
#[serde(rename_all = "camelCase")]
pub struct Flink {
    /// Name of the job, as in the label job_name.
    #[schemars(length(min = 1, max = 255))]
    pub job: String,
    /// How many TaskManagers there should be: an alert fires while there are fewer.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[schemars(range(min = 1, max = 10_000))]
    pub task_managers: Option<i32>,
    /// The reporter of its metrics. Administrators may add others.
    #[serde(default = "flink_reporter")]
    #[schemars(length(min = 1, max = 63))]
    #[x_kube(validation = Rule::new(rules::CATALOG_NAME).message(rules::CATALOG_NAME_MESSAGE))]
    pub exporter: String,
}

/// Signals in PromQL. Each expression is an instant vector (vector(5), not 5). The sum over its series is used; without
/// series the value is unknown.
#[derive(KubeSchema, Serialize, Deserialize, Clone, Debug, PartialEq)]
#[serde(rename_all = "camelCase")]
pub struct Custom {
    /// Messages waiting.
    #[schemars(length(min = 1, max = 1024))]
    pub lag: String,
    /// Messages arriving per second. Default: consumed plus the growth of the lag. Without arrivals and consumed, replicas are
    /// added while messages are waiting, and removed one by one while none are.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[schemars(length(min = 1, max = 1024))]
    pub arrivals: Option<String>,
    /// Messages consumed per second. Without it, the capacity of one replica is not estimated.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[schemars(length(min = 1, max = 1024))]
    pub consumed: Option<String>,
    /// Number of partitions that can be consumed concurrently, like those of a topic. It limits the number of replicas.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[schemars(length(min = 1, max = 1024))]
    pub partitions: Option<String>,
}

/// An exporter of the catalogue that reports no lag.
#[derive(KubeSchema, Serialize, Deserialize, Clone, Debug, PartialEq)]
#[serde(rename_all = "camelCase")]
pub struct NamedExporter {
    /// Name of the exporter, for example PostgresExporter, RedisExporter or BlackboxExporter; docs/dependencies.md has all.
    #[schemars(length(min = 1, max = 63))]
    pub name: String,
}

fn default_path() -> String {
    "/metrics".into()
}

fn yes() -> bool {
    true
}

fn default_vhost() -> String {
    "/".into()
}

fn kafka_exporter() -> String {
    "KafkaExporter".into()
}

fn rabbitmq_endpoint() -> String {
    "Detailed".into()
}

fn rq_exporter() -> String {
    "RqExporter".into()
}

fn redis_exporter() -> String {
    "RedisExporter".into()
}

fn flink_reporter() -> String {
    "PrometheusReporter".into()
}
