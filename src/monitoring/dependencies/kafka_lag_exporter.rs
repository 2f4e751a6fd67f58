//! kafka-lag-exporter (seglo); names and behaviour as in release 0.8.2, its last. It polls Kafka every 30 s by default.
//!
//! - It reports only partitions that are assigned to members of the group, and drops them during a rebalance. The number of
//!   partitions is therefore the largest of the last five minutes.
//! - Its lag is NaN without a committed offset. Its sums exclude NaN, which makes an unknown lag a small one.
//! - Labels of the member (`member_host`, `consumer_id`, `client_id`) change with every rebalance. Offsets are therefore
//!   aggregated by topic and partition, and a partition that was just reassigned has no rate.
//! - As with kafka_exporter, the lag is unknown without a committed offset unless the partition is empty, and messages
//!   deleted by retention are not counted.

use super::{Exporter, Parts, Sum, Window};

pub const EXPORTER: Exporter = Exporter {
    terms: &[
        ("committed", "kafka_consumergroup_group_offset{group=@group,topic=~@topics@labels}"),
        ("oldest", "kafka_partition_earliest_offset{topic=~@topics@labels}"),
        ("newest", "kafka_partition_latest_offset{topic=~@topics@labels}"),
        ("end", "max by (topic, partition) (@newest)"),
        ("next", "max by (topic, partition) (@committed or @oldest)"),
        ("known", "max by (topic, partition) (@committed) >= 0 or @end == max by (topic, partition) (@oldest)"),
        ("partitions", "count by (topic) (@end)"),
    ],
    parts: Parts::Reported("max_over_time(@partitions[5m:15s]) and @partitions"),
    lag: Sum::Parts("clamp_min(@end - @next@markers, 0) and (@known)"),
    consumed: Some(Sum::Offsets("@committed")),
    arrivals: Some(Sum::Offsets("@newest")),
    window: Window::AsItIs,
};
