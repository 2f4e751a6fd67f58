//! The consumers themselves: metrics that a worker exposes about its own Kafka client, scraped by our PodMonitor.
//!
//! | Series | Labels | Meaning |
//! |---|---|---|
//! | `recommender_kafka_consumer_lag` | consumergroup, topic, partition | end minus position; only of partitions it owns |
//! | `recommender_kafka_end_offset` | consumergroup, topic, partition | end offset of the partition |
//! | `recommender_kafka_position` | consumergroup, topic, partition | offset of the next message it reads |
//! | `recommender_kafka_partitions` | consumergroup, topic | number of partitions of the topic |
//!
//! - During a rebalance some partitions have no owner, and the lag is absent. A worker must remove the series of a partition
//!   that it loses. If two workers expose the same partition, it counts once, with the larger lag.
//! - Without replicas there are no metrics: `minReplicas` must not be 0.
//! - The window is four scrapes, at least one minute: our own PodMonitor scrapes the workers.

use super::{Exporter, Parts, Sum, Window};

pub const EXPORTER: Exporter = Exporter {
    terms: &[("ours", "namespace=@namespace,recommender=@recommender,consumergroup=@group,topic=~@topics@labels")],
    parts: Parts::Reported("max by (topic) (recommender_kafka_partitions{@ours})"),
    lag: Sum::Parts("clamp_min(max by (topic, partition) (recommender_kafka_consumer_lag{@ours})@markers, 0)"),
    consumed: Some(Sum::Offsets("recommender_kafka_position{@ours}")),
    arrivals: Some(Sum::Offsets("recommender_kafka_end_offset{@ours}")),
    window: Window::Workers,
};
