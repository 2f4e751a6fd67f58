//! kafka_exporter (danielqsj), also as deployed by Strimzi; names and behaviour as in release 1.9.0.
//!
//! - The lag is computed from the offsets, not taken from `kafka_consumergroup_lag`. That is -1 if the group has committed no
//!   offset, but also if the committed offset is beyond the end. The latter happens because offsets are fetched one after
//!   the other. A committed offset beyond the end is a lag of 0 here.
//! - A partition without a committed offset is -1 in `kafka_consumergroup_current_offset`. Kafka does not report whether the
//!   group will read it from the beginning (`auto.offset.reset=earliest`) or from now on (`latest`). The lag is unknown
//!   unless the partition is empty. For topics on which a group has committed nothing at all, the exporter has no series.
//! - Messages deleted by retention are not counted: an offset committed before the oldest one counts as the oldest one.
//! - A partition without a leader has no offsets; `kafka_topic_partitions` still counts it.
//! - Flink commits when a checkpoint completes, so between checkpoints its lag is a saw-tooth. Use `flink` for it.

use super::{Exporter, Parts, Sum, Window};

pub const EXPORTER: Exporter = Exporter {
    terms: &[
        ("committed", "kafka_consumergroup_current_offset{consumergroup=@group,topic=~@topics@labels}"),
        ("oldest", "kafka_topic_partition_oldest_offset{topic=~@topics@labels}"),
        ("newest", "kafka_topic_partition_current_offset{topic=~@topics@labels}"),
        ("end", "max by (topic, partition) (@newest)"),
        ("next", "max by (topic, partition) (@committed or @oldest)"),
        ("known", "max by (topic, partition) (@committed) >= 0 or @end == max by (topic, partition) (@oldest)"),
    ],
    parts: Parts::Reported("max by (topic) (kafka_topic_partitions{topic=~@topics@labels})"),
    lag: Sum::Parts("clamp_min(@end - @next@markers, 0) and (@known)"),
    consumed: Some(Sum::Offsets("@committed")),
    arrivals: Some(Sum::Offsets("@newest")),
    window: Window::AsItIs,
};
