//! kafka-lag-exporter (seglo); read off release 0.8.2, its last. It polls Kafka every 30 s unless told otherwise.
//!
//! - It knows of no partitions but those that members of the group have, and while partitions are handed over it forgets
//!   them: the number of partitions is the largest of five minutes.
//! - Its lag is NaN without a committed offset, and its sums leave NaN out, which makes an unknown lag a small one.
//! - Labels of the member (`member_host`, `consumer_id`, `client_id`) change with every hand-over: offsets count by topic
//!   and partition, and one that was just handed over has no rate.
//! - Without a committed offset the lag is unknown unless the partition is empty, and messages that retention has deleted
//!   wait no more, as with kafka_exporter.

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
    parts: Parts::Told("max_over_time(@partitions[5m:15s]) and @partitions"),
    lag: Sum::Parts("clamp_min(@end - @next, 0) and (@known)"),
    consumed: Some(Sum::Offsets("@committed")),
    arrivals: Some(Sum::Offsets("@newest")),
    window: Window::AsItIs,
};
