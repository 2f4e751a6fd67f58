//! kafka_exporter (danielqsj), also as Strimzi deploys it; read off release 1.9.0.
//!
//! - The lag is made from the offsets and not from `kafka_consumergroup_lag`, which is -1 where the group has committed no
//!   offset, but also where it has committed one beyond the end: offsets are fetched one after the other, so that happens.
//!   A committed offset beyond the end is a lag of 0.
//! - A partition without a committed offset is -1 in `kafka_consumergroup_current_offset`. Whether the group will read it
//!   from its beginning (`auto.offset.reset=earliest`) or from now on (`latest`) Kafka does not tell: the lag is unknown,
//!   unless the partition is empty. Of topics on which a group has committed nothing at all the exporter says nothing.
//! - Messages that retention has deleted wait no more: what was committed before the oldest offset counts from there.
//! - A partition without a leader has no offsets; `kafka_topic_partitions` still counts it.
//! - Flink commits when a checkpoint completes: between checkpoints its lag is a saw-tooth. Use `flink` for it.

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
    parts: Parts::Told("max by (topic) (kafka_topic_partitions{topic=~@topics@labels})"),
    lag: Sum::Parts("clamp_min(@end - @next, 0) and (@known)"),
    consumed: Some(Sum::Offsets("@committed")),
    arrivals: Some(Sum::Offsets("@newest")),
    window: Window::AsItIs,
};
