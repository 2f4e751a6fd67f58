use std::collections::BTreeMap;

use kube::KubeSchema;
use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

use crate::api::rules;

/// Something the recommender stands on, by what its exporter says of it: exactly one of `kafka`, `rabbitmq`, `rq`,
/// `redisList`, `flink` and `custom`.
#[derive(KubeSchema, Serialize, Deserialize, Clone, Debug, Default, PartialEq)]
#[x_kube(
    validation = Rule::new(rules::ONE_DEPENDENCY)
        .message("set exactly one of kafka, rabbitmq, rq, redisList, flink and custom"),
    validation = Rule::new("!(has(self.custom) && has(self.matchLabels))")
        .message("matchLabels narrow the series of an exporter: write them into the expressions of custom")
)]
#[serde(rename_all = "camelCase")]
pub struct Dependency {
    /// Name that signals refer to.
    #[schemars(length(min = 1, max = 30))]
    #[x_kube(validation = Rule::new(rules::LABEL_NAME)
        .message("write lower case letters, digits and -, with a letter at the beginning"))]
    pub name: String,
    /// What a consumer group has not yet read of Kafka topics.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub kafka: Option<Kafka>,
    /// What waits in queues of RabbitMQ, ready or taken and not yet acknowledged.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub rabbitmq: Option<RabbitMq>,
    /// Jobs in queues of RQ, queued or started, as rq-exporter counts them.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub rq: Option<Rq>,
    /// Entries of lists in Redis, as redis_exporter counts them for the keys it is told to check.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub redis_list: Option<RedisList>,
    /// Records that the sources of a Flink job have not read yet.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub flink: Option<Flink>,
    /// Anything else, in PromQL.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub custom: Option<Custom>,
    /// Labels that the exporter's series must have, for example cluster: main, where several are in one Prometheus.
    #[serde(default, skip_serializing_if = "BTreeMap::is_empty")]
    #[schemars(extend("maxProperties" = 8, "additionalProperties" = { "type": "string", "maxLength": 128 }))]
    #[x_kube(validation = Rule::new(rules::METRIC_LABELS)
        .message("write label names of Prometheus but __name__: letters, digits and _, with no digit at the beginning"))]
    pub match_labels: BTreeMap<String, String>,
}

/// A consumer group of Kafka.
#[derive(KubeSchema, Serialize, Deserialize, Clone, Debug, PartialEq)]
#[serde(rename_all = "camelCase")]
pub struct Kafka {
    /// The consumer group.
    #[schemars(length(min = 1, max = 255))]
    pub consumer_group: String,
    /// The topics it reads.
    #[schemars(length(min = 1, max = 16), inner(length(min = 1, max = 249)))]
    pub topics: Vec<String>,
    /// Whose metrics tell the lag.
    #[serde(default)]
    pub exporter: KafkaExporter,
}

/// Programs that tell the lag of a consumer group.
#[derive(Serialize, Deserialize, JsonSchema, Clone, Copy, Debug, Default, PartialEq, Eq, Hash)]
pub enum KafkaExporter {
    /// kafka_exporter, also as deployed by Strimzi: kafka_consumergroup_lag.
    #[default]
    KafkaExporter,
    /// Burrow: burrow_kafka_consumer_partition_lag.
    Burrow,
    /// kafka-lag-exporter: kafka_consumergroup_group_lag.
    KafkaLagExporter,
    /// The consumers themselves: recommender_kafka_consumer_lag and its relatives. They are silent without replicas, so
    /// minReplicas must not be 0.
    ConsumerClient,
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
    /// Which endpoint of the Prometheus plugin is scraped; the plain /metrics has no queue names.
    #[serde(default)]
    pub endpoint: RabbitMqEndpoint,
}

/// Endpoints of RabbitMQ's Prometheus plugin that tell queues apart.
#[derive(Serialize, Deserialize, JsonSchema, Clone, Copy, Debug, Default, PartialEq, Eq, Hash)]
pub enum RabbitMqEndpoint {
    /// /metrics/detailed?family=queue_coarse_metrics&family=queue_delivery_metrics: rabbitmq_detailed_queue_messages.
    #[default]
    Detailed,
    /// /metrics/per-object: rabbitmq_queue_messages with the label queue.
    PerObject,
}

/// Queues of RQ.
#[derive(KubeSchema, Serialize, Deserialize, Clone, Debug, PartialEq)]
#[serde(rename_all = "camelCase")]
pub struct Rq {
    /// The queues.
    #[schemars(length(min = 1, max = 16), inner(length(min = 1, max = 255)))]
    pub queues: Vec<String>,
}

/// Lists in Redis.
#[derive(KubeSchema, Serialize, Deserialize, Clone, Debug, PartialEq)]
#[serde(rename_all = "camelCase")]
pub struct RedisList {
    /// Keys of the lists; redis_exporter must be told to check them (--check-single-keys).
    #[schemars(length(min = 1, max = 16), inner(length(min = 1, max = 255)))]
    pub keys: Vec<String>,
    /// Number of the database.
    #[serde(default)]
    #[schemars(range(min = 0, max = 9999))]
    pub database: i32,
}

/// A job of Flink.
#[derive(KubeSchema, Serialize, Deserialize, Clone, Debug, PartialEq)]
#[serde(rename_all = "camelCase")]
pub struct Flink {
    /// Name of the job, as in the label job_name.
    #[schemars(length(min = 1, max = 255))]
    pub job: String,
}

/// Signals in PromQL. Each expression is summed up, so it may give several series (an instant vector: vector(5), not 5); no
/// series means that nothing is known.
#[derive(KubeSchema, Serialize, Deserialize, Clone, Debug, PartialEq)]
#[serde(rename_all = "camelCase")]
pub struct Custom {
    /// Messages that wait.
    #[schemars(length(min = 1, max = 1024))]
    pub lag: String,
    /// Messages that arrive per second. Default: what is consumed and what the lag grows by. Without both, replicas are added
    /// while messages wait and taken away one by one while none does.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[schemars(length(min = 1, max = 1024))]
    pub arrivals: Option<String>,
    /// Messages that are worked off per second. Without it, what one replica works off is not learned.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[schemars(length(min = 1, max = 1024))]
    pub consumed: Option<String>,
    /// Parts that can be worked on at the same time, as partitions of a topic.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[schemars(length(min = 1, max = 1024))]
    pub partitions: Option<String>,
}

fn default_vhost() -> String {
    "/".into()
}
