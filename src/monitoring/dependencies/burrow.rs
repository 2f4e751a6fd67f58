//! Burrow's own /metrics; names and behaviour as in release 1.9.5.
//!
//! - A partition of which Burrow has read no commits has `burrow_kafka_consumer_partition_lag` 0, as if it had no lag.
//!   `burrow_kafka_consumer_current_offset` appears once Burrow has read as many commits as it keeps (`intervals`, 10).
//!   Until then a lag of 0 means unknown, unless the partition never had a message.
//! - Burrow reports a lag of 0 if the committed offset is beyond the end offset, which it refreshes only periodically.
//! - `burrow_kafka_consumer_lag_total` is a gauge that misses partitions; it is not used.
//! - A group that no longer commits keeps its last values until Burrow expires it (`expire-group`, a week).

use super::{Exporter, Parts, Sum, Window};

pub const EXPORTER: Exporter = Exporter {
    terms: &[
        ("behind", "burrow_kafka_consumer_partition_lag{consumer_group=@group,topic=~@topics@labels}"),
        ("committed", "burrow_kafka_consumer_current_offset{consumer_group=@group,topic=~@topics@labels}"),
        ("newest", "burrow_kafka_topic_partition_offset{topic=~@topics@labels}"),
        ("lag", "max by (topic, partition) (@behind)"),
        ("end", "max by (topic, partition) (@newest)"),
        ("known", "@lag > 0 or max by (topic, partition) (@committed) or @end == 0"),
    ],
    parts: Parts::Reported("count by (topic) (@end)"),
    lag: Sum::Parts("clamp_min(@lag@markers, 0) and (@known)"),
    consumed: Some(Sum::Offsets("@committed")),
    arrivals: Some(Sum::Offsets("@newest")),
    window: Window::AsItIs,
};
