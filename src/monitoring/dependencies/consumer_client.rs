//! The consumers themselves: what a worker exposes of its own Kafka client, scraped with the object's other pods.
//!
//! | Series | Labels | What |
//! |---|---|---|
//! | `recommender_kafka_consumer_lag` | consumergroup, topic, partition | end minus position; only of partitions it owns |
//! | `recommender_kafka_end_offset` | consumergroup, topic, partition | the partition's end |
//! | `recommender_kafka_position` | consumergroup, topic, partition | what it reads next |
//! | `recommender_kafka_partitions` | consumergroup, topic | partitions of the topic |
//!
//! - While partitions are handed over some have no owner: there is no lag then. A worker must take a partition's series away
//!   when it loses the partition; two that claim the same one count once, the larger lag.
//! - Without replicas nobody tells: `minReplicas` must not be 0.
//! - The window is four scrapes, and a minute at least: our own PodMonitor scrapes the workers.

use super::{Exporter, Parts, Sum, Window};

pub const EXPORTER: Exporter = Exporter {
    terms: &[("ours", "namespace=@namespace,recommender=@recommender,consumergroup=@group,topic=~@topics@labels")],
    parts: Parts::Told("max by (topic) (recommender_kafka_partitions{@ours})"),
    lag: Sum::Parts("clamp_min(max by (topic, partition) (recommender_kafka_consumer_lag{@ours}), 0)"),
    consumed: Some(Sum::Offsets("recommender_kafka_position{@ours}")),
    arrivals: Some(Sum::Offsets("recommender_kafka_end_offset{@ours}")),
    window: Window::Workers,
};
